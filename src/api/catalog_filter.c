/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_filter.c - which objects a query of the Catalog means (reference: catalog, section 3.2).
 *
 *     name=a,b            one of them            name=!a,b      none of them
 *     property=name       the member exists      property=!name does not
 *     property=name==v    == != > >= < <= ~      '*' in the name is a wild card, "**" a star
 *     tags=ns:v,ns2:*     all of them            '*' in a value is a wild card
 *     createdAfter=ms     and ...Before: exclusive
 *
 * All that is given must hold. A parameter that is no word of the API is the name of a member.
 */
#include "api/catalog_api_internal.h"
#include "api/pattern.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>


/* Parameters that are no filters, and those with a meaning of their own. */
static const char *const words[] = {"limit",    "start",     "offset", "orderBy",
                                    "orderby",  "sort",      "tags",   "properties",
                                    "property", "aggregate", "path",   "requestDataSource"};

typedef struct range {
    const char *parameter, *member;
    tr_filter_op op;
} range;

static const range ranges[] = {{"createdAfter", "created", TR_FILTER_MORE},
                               {"createdBefore", "created", TR_FILTER_LESS},
                               {"updatedAfter", "updated", TR_FILTER_MORE},
                               {"updatedBefore", "updated", TR_FILTER_LESS},
                               {"startAfter", "availableDates.startDate", TR_FILTER_MORE},
                               {"startBefore", "availableDates.startDate", TR_FILTER_LESS},
                               {"endAfter", "availableDates.endDate", TR_FILTER_MORE},
                               {"endBefore", "availableDates.endDate", TR_FILTER_LESS}};

static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0' && strncmp(text, "{{", 2) != 0;
}

const char *tr_catalog_parameter(tr_call *call, const char *name)
{
    const char *value = tr_call_query(call, name);
    if (is_given(value))
        return value;
    const tr_str header = tr_http_header(call->request, name);
    value = header.len == 0 ? NULL : tr_arena_text(call->request->arena, header);
    return is_given(value) ? value : NULL;
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to read a filter");
}

static tr_code add(tr_filter *filter, const char *name, tr_filter_op op, tr_condition **out,
                   tr_err *err)
{
    if (filter->count == TR_FILTERS_MAX)
        return TR_FAIL(err, TR_INVALID, "more than %d filters in one query", TR_FILTERS_MAX);
    *out = &filter->conditions[filter->count++];
    **out = (tr_condition){.name = name, .op = op};
    return TR_OK;
}

/* Splits at commas. With more than one part the whole text is a value, too: names have commas. */
static tr_code split(tr_call *call, const char *text, tr_condition *c, tr_err *err)
{
    tr_arena *arena = call->request->arena;
    uint32_t count = 1;
    for (const char *at = text; *at != '\0'; at++)
        count += *at == ',';
    if (count > TR_FILTER_VALUES_MAX)
        return TR_FAIL(err, TR_INVALID, "%s has more than %d values", c->name,
                       TR_FILTER_VALUES_MAX);
    c->values = tr_arena_array(arena, count + 1, sizeof *c->values);
    if (c->values == NULL)
        return no_memory(err);
    for (const char *at = text; c->value_count < count; c->value_count++) {
        const size_t len = strcspn(at, ",");
        c->values[c->value_count] = tr_arena_text(arena, (tr_str){(const uint8_t *)at, len});
        if (c->values[c->value_count] == NULL)
            return no_memory(err);
        at += len + (at[len] == ',');
    }
    if (count > 1)
        c->values[c->value_count++] = text;
    return TR_OK;
}

static tr_code set_value(tr_call *call, const char *text, tr_condition *c, tr_err *err)
{
    c->values = tr_arena_array(call->request->arena, 1, sizeof *c->values);
    if (c->values == NULL)
        return no_memory(err);
    c->values[0] = text;
    c->value_count = 1;
    return TR_OK;
}

static tr_code read_simple(tr_call *call, const char *name, const char *text, tr_filter *out,
                           tr_err *err)
{
    tr_condition *c;
    const bool is_not = text[0] == '!';
    TR_TRY(add(out, name, is_not ? TR_FILTER_IS_NOT : TR_FILTER_IS, &c, err));
    return split(call, text + is_not, c, err);
}

static tr_code read_pattern(const char *pattern, tr_condition *c, tr_err *err)
{
    if (!tr_pattern_compile(pattern, &c->pattern))
        return TR_FAIL(err, TR_INVALID,
                       "property: \"%.130s\" is not a pattern: expected a POSIX extended regular "
                       "expression of at most %d bytes without { }, back references and "
                       "repetitions of repetitions",
                       pattern, TR_PATTERN_BYTES_MAX);
    c->op = TR_FILTER_FITS;
    return TR_OK;
}

/* name, then an operator and a value, or nothing. */
static tr_code read_property(tr_call *call, const char *text, tr_filter *out, tr_err *err)
{
    static const struct {
        const char *text;
        tr_filter_op op;
    } ops[] = {{"==", TR_FILTER_IS},
               {"!=", TR_FILTER_IS_NOT},
               {">=", TR_FILTER_MORE_OR_EQUAL},
               {"<=", TR_FILTER_LESS_OR_EQUAL},
               {">", TR_FILTER_MORE},
               {"<", TR_FILTER_LESS},
               {"~", TR_FILTER_FITS}};
    const bool is_not = text[0] == '!';
    const char *from = text + is_not;
    const size_t len = strcspn(from, "=!<>~");
    tr_condition *c;
    if (len == 0 || (is_not && from[len] != '\0'))
        return TR_FAIL(err, TR_INVALID, "property: \"%.100s\" has no member name", text);
    const char *name = tr_arena_text(call->request->arena, (tr_str){(const uint8_t *)from, len});
    if (name == NULL)
        return no_memory(err);
    TR_TRY(add(out, name, is_not ? TR_FILTER_HAS_NOT : TR_FILTER_HAS, &c, err));
    c->has_wild_name = strchr(name, '*') != NULL;
    if (from[len] == '\0')
        return TR_OK;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        const size_t op_len = strlen(ops[i].text);
        if (strncmp(from + len, ops[i].text, op_len) != 0)
            continue;
        if (ops[i].op == TR_FILTER_FITS)
            return read_pattern(from + len + op_len, c, err);
        c->op = ops[i].op;
        return set_value(call, from + len + op_len, c, err);
    }
    return TR_FAIL(err, TR_INVALID,
                   "property: \"%.100s\" has no operator: expected ==, !=, >, >=, <, <= or ~",
                   text);
}

static tr_code read_tags(tr_call *call, const char *text, tr_filter *out, tr_err *err)
{
    tr_condition all = {.name = "tags"};
    TR_TRY(split(call, text, &all, err));
    const uint32_t count = all.value_count - (all.value_count > 1); /* not the whole text */
    for (uint32_t i = 0; i < count; i++) {
        const char *colon = strchr(all.values[i], ':');
        tr_condition *c;
        if (colon == NULL || colon == all.values[i])
            return TR_FAIL(err, TR_INVALID, "tags: \"%.100s\" is not <name>:<value>",
                           all.values[i]);
        const tr_str name = {(const uint8_t *)all.values[i], (size_t)(colon - all.values[i])};
        const char *own = tr_arena_text(call->request->arena, name);
        if (own == NULL)
            return no_memory(err);
        TR_TRY(add(out, own, TR_FILTER_TAG, &c, err));
        TR_TRY(set_value(call, colon + 1, c, err));
    }
    return TR_OK;
}

static tr_code read_range(tr_call *call, const range *of, const char *text, tr_filter *out,
                          tr_err *err)
{
    int64_t number;
    tr_condition *c;
    if (!tr_str_to_i64(tr_str_of(text), &number))
        return TR_FAIL(err, TR_INVALID, "%s is \"%.40s\": expected a number", of->parameter, text);
    TR_TRY(add(out, of->member, of->op, &c, err));
    return set_value(call, text, c, err);
}

static bool is_word(const char *name)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

static tr_code read_one(tr_call *call, const tr_alias *aliases, const char *name, const char *value,
                        tr_filter *out, tr_err *err)
{
    if (strcmp(name, "property") == 0)
        return read_property(call, value, out, err);
    if (strcmp(name, "tags") == 0)
        return read_tags(call, value, out, err);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (strcmp(ranges[i].parameter, name) == 0)
            return read_range(call, &ranges[i], value, out, err);
    for (const tr_alias *alias = aliases; alias != NULL && alias->parameter != NULL; alias++)
        if (strcmp(alias->parameter, name) == 0)
            return read_simple(call, alias->member, value, out, err);
    if (is_word(name) || !isalpha((unsigned char)name[0]))
        return TR_OK;
    return read_simple(call, name, value, out, err);
}

tr_code tr_filter_read(tr_call *call, const tr_alias *aliases, tr_filter *out, tr_err *err)
{
    const tr_http_request *request = call->request;
    tr_code code = TR_OK;
    out->count = 0;
    for (uint32_t i = 0; i < request->query_count && code == TR_OK; i++) {
        const char *name = tr_arena_text(request->arena, request->query[i].name);
        const char *value = tr_arena_text(request->arena, request->query[i].value);
        if (name == NULL || value == NULL)
            code = no_memory(err);
        else if (is_given(value))
            code = read_one(call, aliases, name, value, out, err);
    }
    if (code != TR_OK)
        tr_filter_free(out);
    return code;
}

void tr_filter_free(tr_filter *filter)
{
    for (uint32_t i = 0; i < filter->count; i++)
        if (filter->conditions[i].op == TR_FILTER_FITS)
            regfree(&filter->conditions[i].pattern);
    filter->count = 0;
}

/* ---- Matching */

/* '*' stands for any bytes; "**" for a star when has_literals. */
static bool fits(const char *wild, const char *text, bool has_literals)
{
    const char *retry = NULL, *retry_text = NULL;
    for (;;) {
        if (has_literals && wild[0] == '*' && wild[1] == '*' && *text == '*') {
            wild += 2;
            text++;
        } else if (wild[0] == '*' && !(has_literals && wild[1] == '*')) {
            retry = ++wild;
            retry_text = text;
        } else if (*text != '\0' && *wild == *text && *wild != '*') {
            wild++;
            text++;
        } else if (*wild == '\0' && *text == '\0') {
            return true;
        } else if (retry != NULL && *retry_text != '\0') {
            wild = retry;
            text = ++retry_text;
        } else {
            return false;
        }
    }
}

const json_t *tr_member_of(const json_t *doc, const char *name)
{
    const json_t *direct = json_object_get(doc, name);
    const char *dot = strchr(name, '.');
    char head[64];
    if (direct != NULL || dot == NULL || (size_t)(dot - name) >= sizeof head)
        return direct;
    (void)snprintf(head, sizeof head, "%.*s", (int)(dot - name), name);
    return tr_member_of(json_object_get(doc, head), dot + 1);
}

int tr_member_compare(const json_t *a, const json_t *b)
{
    if (json_is_integer(a) && json_is_integer(b)) {
        const json_int_t x = json_integer_value(a), y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_number(a) && json_is_number(b)) {
        const double x = json_number_value(a), y = json_number_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_string(a) && json_is_string(b))
        return strcmp(json_string_value(a), json_string_value(b));
    const int kind_a = a == NULL ? -1 : (int)json_typeof(a),
              kind_b = b == NULL ? -1 : (int)json_typeof(b);
    return (kind_a > kind_b) - (kind_a < kind_b);
}

/* A member against the text of a query; false: they cannot be compared. */
static bool compare_text(const json_t *member, const char *text, int *out)
{
    if (json_is_number(member)) {
        char *end = NULL;
        const double a = json_number_value(member), b = strtod(text, &end);
        int64_t whole;
        if (end == text || *end != '\0')
            return false;
        if (json_is_integer(member) && tr_str_to_i64(tr_str_of(text), &whole))
            *out = (json_integer_value(member) > whole) - (json_integer_value(member) < whole);
        else
            *out = (a > b) - (a < b);
        return true;
    }
    const char *own = json_is_string(member)  ? json_string_value(member)
                      : json_is_true(member)  ? "true"
                      : json_is_false(member) ? "false"
                                              : NULL;
    if (own == NULL)
        return false;
    *out = strcmp(own, text);
    return true;
}

static bool is_equal(const json_t *member, const char *text)
{
    int order;
    if (json_is_array(member)) {
        for (size_t i = 0; i < json_array_size(member); i++)
            if (is_equal(json_array_get(member, i), text))
                return true;
        return false;
    }
    return compare_text(member, text, &order) && order == 0;
}

const char *tr_batch_status_synonym(const char *status)
{
    if (strcmp(status, "active") == 0)
        return "success";
    return strcmp(status, "failed") == 0 ? "failure" : NULL;
}

static bool is_one_of(const json_t *member, const tr_condition *c)
{
    for (uint32_t i = 0; i < c->value_count; i++) {
        if (is_equal(member, c->values[i]))
            return true;
        const char *other =
            strcmp(c->name, "status") == 0 ? tr_batch_status_synonym(c->values[i]) : NULL;
        if (other != NULL && is_equal(member, other))
            return true;
    }
    return false;
}

static bool member_holds(const json_t *member, const tr_condition *c)
{
    int order = 0;
    switch (c->op) {
    case TR_FILTER_HAS:
        return member != NULL;
    case TR_FILTER_HAS_NOT:
        return member == NULL;
    case TR_FILTER_IS:
        return is_one_of(member, c);
    case TR_FILTER_IS_NOT:
        return !is_one_of(member, c);
    case TR_FILTER_LESS:
        return compare_text(member, c->values[0], &order) && order < 0;
    case TR_FILTER_LESS_OR_EQUAL:
        return compare_text(member, c->values[0], &order) && order <= 0;
    case TR_FILTER_MORE:
        return compare_text(member, c->values[0], &order) && order > 0;
    case TR_FILTER_MORE_OR_EQUAL:
        return compare_text(member, c->values[0], &order) && order >= 0;
    case TR_FILTER_FITS:
        return json_is_string(member) &&
               regexec(&c->pattern, json_string_value(member), 0, NULL, 0) == 0;
    case TR_FILTER_TAG:
        break;
    }
    return false;
}

static bool tag_holds(const json_t *doc, const tr_condition *c)
{
    const json_t *tag = json_object_get(json_object_get(doc, "tags"), c->name);
    if (tag != NULL && strcmp(c->values[0], "*") == 0)
        return true;
    if (json_is_string(tag))
        return fits(c->values[0], json_string_value(tag), false);
    for (size_t i = 0; i < json_array_size(tag); i++) {
        const char *value = json_string_value(json_array_get(tag, i));
        if (value != NULL && fits(c->values[0], value, false))
            return true;
    }
    return tag != NULL && is_equal(tag, c->values[0]);
}

/* One of the members whose name fits; for a negation none of them. */
static bool wild_holds(const json_t *doc, const tr_condition *c)
{
    const bool is_negation = c->op == TR_FILTER_HAS_NOT || c->op == TR_FILTER_IS_NOT;
    json_t *all = (json_t *)(uintptr_t)doc, *member;
    const char *name;
    json_object_foreach (all, name, member) {
        if (name[0] == '_' || !fits(c->name, name, true))
            continue;
        if (member_holds(member, c) != is_negation)
            return !is_negation;
    }
    return is_negation;
}

static bool own_holds(const char *text, const tr_condition *c)
{
    for (uint32_t i = 0; i < c->value_count; i++)
        if (strcmp(text, c->values[i]) == 0)
            return c->op == TR_FILTER_IS;
    return c->op == TR_FILTER_IS_NOT;
}

bool tr_filter_matches(const tr_filter *filter, const tr_object *object)
{
    for (uint32_t i = 0; i < filter->count; i++) {
        const tr_condition *c = &filter->conditions[i];
        const bool is_set = c->op == TR_FILTER_IS || c->op == TR_FILTER_IS_NOT;
        bool holds;
        if (c->op == TR_FILTER_TAG)
            holds = tag_holds(object->doc, c);
        else if (c->has_wild_name)
            holds = wild_holds(object->doc, c);
        else if (is_set && strcmp(c->name, "id") == 0)
            holds = own_holds(object->id, c);
        else if (is_set && strcmp(c->name, "dataSet") == 0)
            holds = own_holds(object->parent, c);
        else
            holds = member_holds(c->name[0] == '_' ? NULL : tr_member_of(object->doc, c->name), c);
        if (!holds)
            return false;
    }
    return true;
}
