/* SPDX-License-Identifier: Apache-2.0 */
/* registry_list.c - filter, order and page of the registry's lists.
 *
 *     property=<name><op><value>[,<name><op><value> ...]   repeatable; all must hold
 *     orderby=[-]<name>[,...]                              default: updated
 *     start=<value of the first orderby property>          entries strictly behind it
 *     limit=<n>                                            a hint, see below
 *
 * A page never ends between two entries of one start value: the next page would skip the second.
 */
#include "api/pattern.h"
#include "api/registry_internal.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIMIT_DEFAULT = 300, LIMIT_MAX = 500, ORDER_MAX = 4, NAME_BYTES = 128, VALUE_BYTES = 512 };

typedef struct condition {
    char name[NAME_BYTES];
    char op[3]; /* "" : the member exists */
    char value[VALUE_BYTES];
} condition;

/* "meta:class" and "@type" are names as they are; "updated" and "created" stand for times. */
static const json_t *member_of(const json_t *doc, const char *name)
{
    const json_t *papers = json_object_get(doc, "meta:registryMetadata");
    const json_t *direct = json_object_get(doc, name);
    if (strcmp(name, "updated") == 0)
        return json_object_get(papers, "repo:lastModifiedDate");
    if (strcmp(name, "created") == 0)
        return json_object_get(papers, "repo:createdDate");
    if (direct != NULL)
        return direct;
    const char *dot = strchr(name, '.');
    if (dot != NULL) {
        char head[NAME_BYTES];
        (void)snprintf(head, sizeof head, "%.*s", (int)(dot - name), name);
        return json_object_get(json_object_get(doc, head), dot + 1);
    }
    return json_object_get(papers, name);
}

static bool read_condition(const char *text, size_t len, condition *out)
{
    static const char *const ops[] = {"==", "!=", "<=", ">=", "<", ">", "~"};
    char whole[NAME_BYTES + VALUE_BYTES];
    if (len >= sizeof whole)
        return false;
    (void)snprintf(whole, sizeof whole, "%.*s", (int)len, text);
    const size_t name_len = strcspn(whole, "=!<>~");
    if (name_len == 0 || name_len >= sizeof out->name)
        return false;
    (void)snprintf(out->name, sizeof out->name, "%.*s", (int)name_len, whole);
    out->op[0] = out->value[0] = '\0';
    if (whole[name_len] == '\0')
        return true;
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (strncmp(whole + name_len, ops[i], strlen(ops[i])) == 0) {
            (void)snprintf(out->op, sizeof out->op, "%s", ops[i]);
            (void)snprintf(out->value, sizeof out->value, "%.*s", VALUE_BYTES - 1,
                           whole + name_len + strlen(ops[i]));
            return true;
        }
    return false;
}

/* Whether a comma is followed by another condition: a name, then an operator or nothing more. */
static bool begins_condition(const char *text)
{
    const size_t len = strcspn(text, "=!<>~,");
    if (len == 0 || memchr(text, '/', len) != NULL || memchr(text, ' ', len) != NULL)
        return false;
    return isalpha((unsigned char)text[0]) || text[0] == '@' || text[0] == '_' || text[0] == '$';
}

static int compare_values(const json_t *member, const char *value)
{
    if (json_is_number(member)) {
        const double a = json_number_value(member), b = strtod(value, NULL);
        return (a > b) - (a < b);
    }
    const char *text = json_is_string(member)  ? json_string_value(member)
                       : json_is_true(member)  ? "true"
                       : json_is_false(member) ? "false"
                                               : "";
    return strcmp(text, value);
}

static bool fits_pattern(const json_t *member, const char *pattern)
{
    regex_t compiled;
    if (!json_is_string(member) || !tr_pattern_compile(pattern, &compiled))
        return false;
    const bool fits = regexec(&compiled, json_string_value(member), 0, NULL, 0) == 0;
    regfree(&compiled);
    return fits;
}

static bool holds(const json_t *doc, const condition *c)
{
    const json_t *member = member_of(doc, c->name);
    const bool wants_equal = strcmp(c->op, "==") == 0, wants_other = strcmp(c->op, "!=") == 0;
    if (c->op[0] == '\0')
        return member != NULL;
    if (member == NULL)
        return wants_other;
    if (json_is_array(member)) {
        bool has = false;
        for (size_t i = 0; i < json_array_size(member); i++)
            has = has || compare_values(json_array_get(member, i), c->value) == 0;
        return wants_other ? !has : wants_equal && has;
    }
    if (c->op[0] == '~')
        return fits_pattern(member, c->value);
    const int order = compare_values(member, c->value);
    if (wants_equal || wants_other)
        return (order == 0) == wants_equal;
    return c->op[0] == '<' ? order < 0 || (order == 0 && c->op[1] == '=')
                           : order > 0 || (order == 0 && c->op[1] == '=');
}

static bool holds_all(const json_t *doc, const char *text)
{
    while (*text != '\0') {
        condition c;
        size_t len = strcspn(text, ",");
        while (text[len] == ',' && !begins_condition(text + len + 1))
            len += 1 + strcspn(text + len + 1, ",");
        if (read_condition(text, len, &c) && !holds(doc, &c))
            return false;
        text += len + (text[len] == ',');
    }
    return true;
}

/* "" and a client's unfilled "{{property}}" are no filter. */
static bool is_given(const char *text)
{
    return text != NULL && text[0] != '\0' && strncmp(text, "{{", 2) != 0;
}

bool tr_registry_matches(const tr_registry_call *r, const json_t *doc)
{
    const tr_http_request *request = r->call->request;
    for (uint32_t i = 0; i < request->query_count; i++) {
        if (!tr_str_is(request->query[i].name, "property"))
            continue;
        const char *text = tr_arena_text(request->arena, request->query[i].value);
        if (is_given(text) && !holds_all(doc, text))
            return false;
    }
    return true;
}

typedef struct sort_key {
    char name[NAME_BYTES];
    bool is_descending;
} sort_key;

typedef struct sorting {
    sort_key keys[ORDER_MAX];
    size_t count;
} sorting;

static void read_order(const char *text, sorting *out)
{
    const char *at = is_given(text) ? text : "updated";
    out->count = 0;
    while (*at != '\0' && out->count < ORDER_MAX) {
        const size_t len = strcspn(at, ",");
        sort_key *key = &out->keys[out->count];
        key->is_descending = at[0] == '-';
        const size_t skip = at[0] == '-' || at[0] == '+';
        if (len > skip && len - skip < sizeof key->name) {
            (void)snprintf(key->name, sizeof key->name, "%.*s", (int)(len - skip), at + skip);
            out->count++;
        }
        at += len + (at[len] == ',');
    }
}

static int compare_members(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b)) {
        const double x = json_number_value(a), y = json_number_value(b);
        return (x > y) - (x < y);
    }
    const char *x = json_is_string(a) ? json_string_value(a) : "";
    const char *y = json_is_string(b) ? json_string_value(b) : "";
    return strcmp(x, y);
}

static int compare_docs(const void *a, const void *b, void *ctx)
{
    const sorting *order = ctx;
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    for (size_t i = 0; i < order->count; i++) {
        const int way = order->keys[i].is_descending ? -1 : 1;
        const int found =
            compare_members(member_of(x, order->keys[i].name), member_of(y, order->keys[i].name));
        if (found != 0)
            return found * way;
    }
    return strcmp(tr_json_text(x, "$id", tr_json_text(x, "@id", "")),
                  tr_json_text(y, "$id", tr_json_text(y, "@id", "")));
}

/* The matching documents, sorted; *out (to be freed) borrows them. */
static tr_code sorted_matches(tr_registry_call *r, const json_t *items, const sorting *order,
                              json_t ***out, size_t *count, tr_err *err)
{
    json_t **docs = tr_alloc_array(json_array_size(items) + 1, sizeof *docs);
    if (docs == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to list schema resources");
    *count = 0;
    for (size_t i = 0; i < json_array_size(items); i++)
        if (tr_registry_matches(r, json_array_get(items, i)))
            docs[(*count)++] = json_array_get(items, i);
    qsort_r(docs, *count, sizeof *docs, compare_docs, (void *)(uintptr_t)order);
    *out = docs;
    return TR_OK;
}

static json_t *start_value(const json_t *doc, const sorting *order)
{
    const json_t *member = member_of(doc, order->keys[0].name);
    if (json_is_integer(member))
        return json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(member));
    return json_string(json_is_string(member) ? json_string_value(member) : "");
}

/* Percent-encodes what a query value may not hold as it is. */
static json_t *next_link(const tr_registry_call *r, const char *value, const char *orderby,
                         int64_t limit)
{
    char encoded[VALUE_BYTES * 3 + 1];
    size_t used = 0;
    for (const unsigned char *at = (const unsigned char *)value;
         *at != 0 && used + 4 < sizeof encoded; at++)
        used += (size_t)snprintf(encoded + used, sizeof encoded - used,
                                 isalnum(*at) || strchr("-_.~", *at) ? "%c" : "%%%02X", *at);
    encoded[used] = '\0';
    return json_pack(
        "{s:o}", "href",
        json_sprintf("%s%.*s?orderby=%s&start=%s&limit=%lld", r->call->parts->public_url,
                     TR_STR_ARG(r->call->request->raw_path), orderby, encoded, (long long)limit));
}

tr_code tr_registry_page(tr_registry_call *r, json_t *items, json_t **out, tr_err *err)
{
    const char *orderby = tr_call_query(r->call, "orderby");
    const char *start = tr_call_query(r->call, "start");
    const char *limit_text = tr_call_query(r->call, "limit");
    json_t **docs = NULL;
    json_t *results = json_array();
    sorting order;
    size_t count = 0, at = 0;
    int64_t limit =
        INT64_MAX; /* without a limit everything: some clients never ask for a next page */
    tr_code code = TR_OK;
    read_order(orderby, &order);
    if (order.count == 0)
        read_order("updated", &order);
    if (is_given(limit_text) &&
        (!tr_str_to_i64(tr_str_of(limit_text), &limit) || limit < 0 || limit > LIMIT_MAX))
        code = TR_XDM_FAIL(r, err, PARAMETER, "limit is a number from 0 to %d", LIMIT_MAX);
    if (code == TR_OK)
        code = sorted_matches(r, items, &order, &docs, &count, err);
    const int way = order.keys[0].is_descending ? -1 : 1;
    while (code == TR_OK && is_given(start) && at < count &&
           compare_values(member_of(docs[at], order.keys[0].name), start) * way <= 0)
        at++;
    for (int64_t taken = 0; code == TR_OK && at < count && limit > 0; at++, taken++) {
        if (taken >= limit && compare_members(member_of(docs[at - 1], order.keys[0].name),
                                              member_of(docs[at], order.keys[0].name)) != 0)
            break;
        (void)json_array_append(results, docs[at]);
    }
    const bool has_more = code == TR_OK && limit > 0 && at < count;
    json_t *next = has_more ? start_value(docs[at - 1], &order) : json_null();
    json_t *link = has_more ? next_link(r, json_string_value(next),
                                        is_given(orderby) ? orderby : "updated", limit)
                            : json_null();
    tr_free(docs);
    json_decref(items);
    json_t *page = json_pack("{s:o, s:{s:s, s:o, s:I}, s:{s:o}}", "results", results, "_page",
                             "orderby", is_given(orderby) ? orderby : "updated", "next", next,
                             "count", (json_int_t)json_array_size(results), "_links", "next", link);
    if (code == TR_OK && page == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory to list schema resources");
    if (code != TR_OK) {
        json_decref(page);
        return code;
    }
    *out = page;
    return TR_OK;
}
