/* SPDX-License-Identifier: Apache-2.0 */
/* json_read.c - pql/json into a tree (reference: PQL, section 12).
 *
 * What comes in is checked as strictly as text is: names are declared, lambdas and times stand only
 * where text could have them, so that every tree can be printed. Older spellings are read: literal
 * types in lower case with the value as text, fnCreate for lambda, range for from, XDMObject
 * "profile" for parameter 1.
 */
#include "base/limits.h"
#include "pql/pql.h"

#include <stdio.h>

enum { NAMES_MAX = 4 * TR_PQL_DEPTH_MAX, PLACE_BYTES = 400 };

typedef struct reader {
    tr_arena *arena;
    tr_err *err;
    char place[PLACE_BYTES]; /* JSON pointer of the node being read */
    size_t place_len;
    tr_str names[NAMES_MAX]; /* declared, innermost last */
    bool is_label[NAMES_MAX];
    uint32_t name_count;
    uint32_t depth, node_count;
    bool is_in_when;
} reader;

/* Where a node stands decides what it may be. */
typedef enum role { VALUE, ROOT_NODE, ARGUMENT, ITEM, TIME_TEST, ANCHOR } role;

static tr_code read_node(reader *r, const json_t *json, role as, tr_pql_node **out);

static tr_code refuse(const reader *r, const char *what)
{
    return TR_FAIL(r->err, TR_INVALID, "%s: %s", r->place_len == 0 ? "/" : r->place, what);
}

static size_t enter(reader *r, const char *key)
{
    const size_t before = r->place_len;
    const int more = snprintf(r->place + before, PLACE_BYTES - before, "/%s", key);
    r->place_len = before + (size_t)more < PLACE_BYTES ? before + (size_t)more : PLACE_BYTES - 1;
    return before;
}

static void leave(reader *r, size_t before)
{
    r->place_len = before;
    r->place[before] = '\0';
}

static tr_code no_memory(const reader *r)
{
    return TR_FAIL(r->err, TR_NO_MEMORY, "no memory for an expression");
}

static tr_code make(reader *r, tr_pql_kind kind, uint32_t count, tr_pql_node **out)
{
    if (++r->node_count > TR_PQL_NODES_MAX)
        return TR_FAIL(r->err, TR_LIMIT, "the expression has more than %d parts", TR_PQL_NODES_MAX);
    tr_pql_node *node = tr_arena_array(r->arena, 1, sizeof *node);
    if (node == NULL)
        return no_memory(r);
    *node = (tr_pql_node){.kind = kind, .count = count};
    node->items = count == 0 ? NULL : tr_arena_array(r->arena, count, sizeof(tr_pql_node *));
    if (count > 0 && node->items == NULL)
        return no_memory(r);
    *out = node;
    return TR_OK;
}

static tr_code copy_text(reader *r, const json_t *json, tr_str *out)
{
    const tr_str text = {(const uint8_t *)json_string_value(json), json_string_length(json)};
    *out = tr_arena_copy(r->arena, text);
    return out->at == NULL ? no_memory(r) : TR_OK;
}

/* A member that is a text, not empty. */
static tr_code read_text(reader *r, const json_t *json, const char *key, tr_str *out)
{
    const json_t *value = json_object_get(json, key);
    char what[80];
    (void)snprintf(what, sizeof what, "\"%s\" is missing or not a text", key);
    return json_string_length(value) == 0 ? refuse(r, what) : copy_text(r, value, out);
}

static tr_code read_name(reader *r, const json_t *json, const char *key, tr_str *out)
{
    TR_TRY(read_text(r, json, key, out));
    for (size_t i = 0; i < out->len; i++) {
        const uint8_t c = out->at[i];
        if (c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z'))
            return refuse(r, "a variable's name has letters, digits and \"_\"");
    }
    return TR_OK;
}

static tr_code declare(reader *r, tr_str name, bool is_label)
{
    if (r->name_count == NAMES_MAX)
        return TR_FAIL(r->err, TR_LIMIT, "the expression has too many variables in one place");
    r->is_label[r->name_count] = is_label;
    r->names[r->name_count++] = name;
    return TR_OK;
}

/* A member that is a node. */
static tr_code read_member(reader *r, const json_t *json, const char *key, role as,
                           tr_pql_node **out)
{
    const json_t *member = json_object_get(json, key);
    const size_t before = enter(r, key);
    if (member == NULL)
        return refuse(r, "is missing");
    TR_TRY(read_node(r, member, as, out));
    leave(r, before);
    return TR_OK;
}

static const json_t *array_member(const json_t *json, const char *key)
{
    const json_t *array = json_object_get(json, key);
    return json_is_array(array) ? array : NULL;
}

/* ---- literals */

static bool is_type(const char *type, const char *name)
{
    return tr_str_equal_folded(tr_str_of(type), tr_str_of(name));
}

static tr_code read_plain(reader *r, const json_t *value, tr_pql_literal *out)
{
    if (json_is_null(value)) {
        out->kind = TR_PQL_NULL;
    } else if (json_is_boolean(value)) {
        *out = (tr_pql_literal){.kind = TR_PQL_BOOLEAN, .boolean = json_is_true(value)};
    } else if (json_is_integer(value)) {
        *out = (tr_pql_literal){.kind = TR_PQL_INTEGER, .integer = json_integer_value(value)};
        if (out->integer == INT64_MIN)
            return refuse(r, "this integer does not fit into 64 bits with a sign");
    } else if (json_is_real(value)) {
        *out = (tr_pql_literal){.kind = TR_PQL_NUMBER, .number = json_real_value(value)};
    } else if (json_is_string(value)) {
        out->kind = TR_PQL_STRING;
        return copy_text(r, value, &out->string);
    } else {
        return refuse(r, "a literal is a text, a number, true, false or null");
    }
    return TR_OK;
}

/* "6" of type integer, "true" of type boolean. */
static tr_code read_typed_text(reader *r, const char *type, tr_str text, tr_pql_literal *out)
{
    char digits[64], *end;
    if (is_type(type, "integer") && tr_str_to_i64(text, &out->integer) &&
        out->integer != INT64_MIN) {
        out->kind = TR_PQL_INTEGER;
        return TR_OK;
    }
    if (is_type(type, "boolean") && (tr_str_is(text, "true") || tr_str_is(text, "false"))) {
        *out = (tr_pql_literal){.kind = TR_PQL_BOOLEAN, .boolean = tr_str_is(text, "true")};
        return TR_OK;
    }
    if ((is_type(type, "number") || is_type(type, "double")) && text.len > 0 &&
        text.len < sizeof digits) {
        (void)snprintf(digits, sizeof digits, "%.*s", TR_STR_ARG(text));
        out->number = strtod(digits, &end);
        if (*end == '\0' && out->number - out->number == 0) { /* finite */
            out->kind = TR_PQL_NUMBER;
            return TR_OK;
        }
    }
    return refuse(r, "the value is not of the literal's type");
}

static tr_code convert_literal(reader *r, const char *type, tr_pql_literal *literal)
{
    const bool is_number = is_type(type, "number") || is_type(type, "double");
    if (is_type(type, "string") && literal->kind != TR_PQL_STRING)
        return refuse(r, "the value is not of the literal's type");
    if (literal->kind == TR_PQL_STRING && !is_type(type, "string") && type[0] != '\0')
        return read_typed_text(r, type, literal->string, literal);
    if (is_number && literal->kind == TR_PQL_INTEGER)
        *literal = (tr_pql_literal){.kind = TR_PQL_NUMBER, .number = (double)literal->integer};
    return TR_OK;
}

static tr_code read_list_literal(reader *r, const json_t *values, tr_pql_node **out)
{
    if (!json_is_array(values))
        return refuse(r, "the value of a List is an array");
    TR_TRY(make(r, TR_PQL_LIST, (uint32_t)json_array_size(values), out));
    for (uint32_t i = 0; i < (*out)->count; i++) {
        TR_TRY(make(r, TR_PQL_LITERAL, 0, &(*out)->items[i]));
        TR_TRY(read_plain(r, json_array_get(values, i), &(*out)->items[i]->literal));
    }
    return TR_OK;
}

static tr_code read_literal(reader *r, const json_t *json, tr_pql_node **out)
{
    const char *type = tr_json_text(json, "literalType", "");
    const json_t *value = json_object_get(json, "value");
    static const char *const known[] = {"",       "string",  "integer", "number",
                                        "double", "boolean", "null"};
    bool is_known = false;
    if (is_type(type, "List") || (type[0] == '\0' && json_is_array(value)))
        return read_list_literal(r, value, out);
    if (is_type(type, "XDMObject")) {
        if (!json_is_string(value) || strcmp(json_string_value(value), "profile") != 0)
            return refuse(r, "the only XDMObject is \"profile\"");
        TR_TRY(make(r, TR_PQL_PARAMETER, 0, out));
        (*out)->position = 1;
        return TR_OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        is_known = is_known || is_type(type, known[i]);
    if (!is_known)
        return refuse(
            r, "unknown literalType: expected String, Integer, Number, Boolean, Null or List");
    if (value == NULL)
        return refuse(r, "\"value\" is missing");
    TR_TRY(make(r, TR_PQL_LITERAL, 0, out));
    TR_TRY(read_plain(r, value, &(*out)->literal));
    return convert_literal(r, type, &(*out)->literal);
}

/* ---- names */

static tr_code read_variable(reader *r, const json_t *json, tr_pql_node **out)
{
    TR_TRY(make(r, TR_PQL_VARIABLE, 0, out));
    TR_TRY(read_name(r, json, "varName", &(*out)->name));
    for (uint32_t i = r->name_count; i-- > 0;)
        if (tr_str_equal(r->names[i], (*out)->name) && (r->is_in_when || !r->is_label[i]))
            return TR_OK;
    return refuse(r, "this variable is not declared");
}

static tr_code read_parameter(reader *r, const json_t *json, tr_pql_node **out)
{
    if (tr_json_int(json, "position", 0) != 1)
        return refuse(r, "\"position\" is 1: a segment has one parameter, the profile");
    TR_TRY(make(r, TR_PQL_PARAMETER, 0, out));
    (*out)->position = 1;
    return TR_OK;
}

static tr_code read_field(reader *r, const json_t *json, tr_pql_node **out)
{
    TR_TRY(make(r, TR_PQL_FIELD, 1, out));
    TR_TRY(read_text(r, json, "fieldName", &(*out)->name));
    for (size_t i = 0; i < (*out)->name.len; i++)
        if ((*out)->name.at[i] == '`' || (*out)->name.at[i] < 0x20)
            return refuse(r, "\"fieldName\" has a character that no field has");
    if (json_object_get(json, "object") != NULL)
        return read_member(r, json, "object", VALUE, &(*out)->items[0]);
    TR_TRY(make(r, TR_PQL_PARAMETER, 0, &(*out)->items[0]));
    (*out)->items[0]->position = 1;
    return TR_OK;
}

/* ---- functions */

static tr_pql_fn find_fn(tr_str name)
{
    for (unsigned i = 0; i < TR_PQL_FN_COUNT; i++) {
        const tr_pql_function *function = &tr_pql_functions[i];
        const bool is_word = function->form == TR_PQL_INFIX || function->form == TR_PQL_PREFIX;
        if (is_word ? tr_str_equal_folded(name, tr_str_of(function->name))
                    : tr_str_is(name, function->name))
            return (tr_pql_fn)i;
    }
    return TR_PQL_FN_COUNT;
}

static role role_of_param(tr_pql_fn fn, uint32_t index)
{
    const tr_pql_function *function = &tr_pql_functions[fn];
    if (fn == TR_PQL_OCCURS && index == 1)
        return TIME_TEST;
    if (function->form != TR_PQL_METHOD || index == 0)
        return VALUE;
    return function->item == index ? ITEM : ARGUMENT;
}

static tr_code read_params(reader *r, const json_t *params, tr_pql_node *node)
{
    char key[32];
    for (uint32_t i = 0; i < node->count; i++) {
        (void)snprintf(key, sizeof key, "params/%u", i);
        const size_t before = enter(r, key);
        TR_TRY(
            read_node(r, json_array_get(params, i), role_of_param(node->fn, i), &node->items[i]));
        leave(r, before);
    }
    return TR_OK;
}

static tr_code read_apply(reader *r, const json_t *json, role as, tr_pql_node **out)
{
    tr_str name;
    char what[120];
    const json_t *params = array_member(json, "params");
    const size_t count = json_array_size(params);
    TR_TRY(read_text(r, json, "fnName", &name));
    const tr_pql_fn fn = find_fn(name);
    (void)snprintf(what, sizeof what, "the function \"%.*s\" does not exist here",
                   name.len > 40 ? 40 : (int)name.len, (const char *)name.at);
    if (fn == TR_PQL_FN_COUNT || (tr_pql_functions[fn].form == TR_PQL_WORD && as != ANCHOR))
        return refuse(r, what);
    (void)snprintf(what, sizeof what, "%s takes at least %u and at most %u params, not %zu",
                   tr_pql_functions[fn].name, tr_pql_functions[fn].least, tr_pql_functions[fn].most,
                   count);
    if (params == NULL || count < tr_pql_functions[fn].least || count > tr_pql_functions[fn].most)
        return refuse(r, what);
    if ((fn == TR_PQL_AND || fn == TR_PQL_OR) && count == 1) { /* of one: the one */
        const size_t before = enter(r, "params/0");
        TR_TRY(read_node(r, json_array_get(params, 0), VALUE, out));
        leave(r, before);
        return TR_OK;
    }
    TR_TRY(make(r, TR_PQL_APPLY, (uint32_t)count, out));
    (*out)->fn = fn;
    return read_params(r, params, *out);
}

static tr_code read_lambda(reader *r, const json_t *json, role as, tr_pql_node **out)
{
    const bool is_old = array_member(json, "varNames") == NULL; /* fnCreate */
    const json_t *names = is_old ? array_member(json, "params") : array_member(json, "varNames");
    const uint32_t outside = r->name_count;
    tr_pql_node *lambda;
    if (as != ROOT_NODE && as != ARGUMENT && as != ITEM)
        return refuse(r, "a lambda cannot stand here");
    if (json_array_size(names) == 0 || json_array_size(names) > 16)
        return refuse(r, "a lambda has one to 16 variables");
    TR_TRY(make(r, TR_PQL_LAMBDA, 1, &lambda));
    lambda->name_count = (uint32_t)json_array_size(names);
    lambda->names = tr_arena_array(r->arena, lambda->name_count, sizeof *lambda->names);
    if (lambda->names == NULL)
        return no_memory(r);
    for (uint32_t i = 0; i < lambda->name_count; i++) {
        json_t *one = is_old ? json_incref(json_array_get(names, i))
                             : json_pack("{s:O}", "varName", json_array_get(names, i));
        const tr_code code = read_name(r, one, "varName", &lambda->names[i]);
        json_decref(one);
        if (code != TR_OK)
            return code;
        for (uint32_t before = 0; before < i; before++)
            if (tr_str_equal(lambda->names[before], lambda->names[i]))
                return refuse(r, "a lambda has two variables of one name");
        TR_TRY(declare(r, lambda->names[i], false));
    }
    lambda->is_implicit = as == ITEM && lambda->name_count == 1;
    TR_TRY(read_member(r, json, "body", VALUE, &lambda->items[0]));
    r->name_count = outside;
    *out = lambda;
    return TR_OK;
}

/* ---- lists and objects */

static tr_code read_items(reader *r, const json_t *list, const char *key, const char *member,
                          tr_pql_node *node)
{
    char place[64];
    for (uint32_t i = 0; i < node->count; i++) {
        (void)snprintf(place, sizeof place, "%s/%u", key, i);
        const size_t before = enter(r, place);
        const json_t *item = json_array_get(list, i);
        if (member != NULL) {
            TR_TRY(read_text(r, item, "fieldName", &node->names[i]));
            TR_TRY(read_member(r, item, member, VALUE, &node->items[i]));
        } else {
            TR_TRY(read_node(r, item, VALUE, &node->items[i]));
        }
        leave(r, before);
    }
    return TR_OK;
}

static tr_code read_list(reader *r, const json_t *json, tr_pql_node **out)
{
    const json_t *items = array_member(json, "items");
    if (items == NULL)
        return refuse(r, "\"items\" is missing or not an array");
    TR_TRY(make(r, TR_PQL_LIST, (uint32_t)json_array_size(items), out));
    return read_items(r, items, "items", NULL, *out);
}

static tr_code read_object(reader *r, const json_t *json, tr_pql_node **out)
{
    const json_t *fields = array_member(json, "fields");
    if (json_array_size(fields) == 0)
        return refuse(r, "\"fields\" is missing or empty");
    TR_TRY(make(r, TR_PQL_OBJECT, (uint32_t)json_array_size(fields), out));
    (*out)->name_count = (*out)->count;
    (*out)->names = tr_arena_array(r->arena, (*out)->count, sizeof(tr_str));
    if ((*out)->names == NULL)
        return no_memory(r);
    return read_items(r, fields, "fields", "value", *out);
}

/* ---- what binds variables */

static tr_code read_declaration(reader *r, const json_t *json, const tr_pql_node *owner,
                                uint32_t index, tr_pql_node **out)
{
    tr_pql_node *decl;
    const bool is_old =
        json_object_get(json, "from") == NULL && json_object_get(json, "range") != NULL;
    TR_TRY(make(r, TR_PQL_DECL, 2, &decl));
    TR_TRY(read_name(r, json, "varName", &decl->name));
    for (uint32_t i = 0; i < index; i++)
        if (tr_str_equal(owner->items[i]->name, decl->name))
            return refuse(r, "this variable is declared twice");
    TR_TRY(read_member(r, json, is_old ? "range" : "from", VALUE, &decl->items[0]));
    TR_TRY(declare(r, decl->name, false));
    if (json_object_get(json, "where") != NULL)
        TR_TRY(read_member(r, json, "where", VALUE, &decl->items[1]));
    *out = decl;
    return TR_OK;
}

static tr_code read_select(reader *r, const json_t *json, tr_pql_kind kind, tr_pql_node **out)
{
    static const char *const quantifiers[] = {"some", "all", "none", "one"};
    const json_t *variables = array_member(json, "variables");
    const uint32_t outside = r->name_count;
    uint32_t quantifier = 0;
    char place[32];
    if (json_array_size(variables) == 0)
        return refuse(r, "\"variables\" is missing or empty");
    if (kind == TR_PQL_QUANTIFY)
        while (quantifier < 4 &&
               strcmp(tr_json_text(json, "quantifier", ""), quantifiers[quantifier]) != 0)
            quantifier++;
    if (quantifier == 4)
        return refuse(r, "\"quantifier\" is all, some, none or one");
    TR_TRY(make(r, kind, (uint32_t)json_array_size(variables), out));
    (*out)->quantifier = (tr_pql_quantifier)quantifier;
    for (uint32_t i = 0; i < (*out)->count; i++) {
        (void)snprintf(place, sizeof place, "variables/%u", i);
        const size_t before = enter(r, place);
        TR_TRY(read_declaration(r, json_array_get(variables, i), *out, i, &(*out)->items[i]));
        leave(r, before);
    }
    r->name_count = outside;
    return TR_OK;
}

static tr_code read_let(reader *r, const json_t *json, tr_pql_node **out)
{
    TR_TRY(make(r, TR_PQL_LET, 2, out));
    TR_TRY(read_name(r, json, "varName", &(*out)->name));
    TR_TRY(read_member(r, json, "value", VALUE, &(*out)->items[0]));
    TR_TRY(declare(r, (*out)->name, false));
    TR_TRY(read_member(r, json, "body", VALUE, &(*out)->items[1]));
    r->name_count--;
    return TR_OK;
}

/* ---- times */

static tr_code read_unit(reader *r, const json_t *json, tr_pql_unit *out)
{
    const char *unit = tr_json_text(json, "unit", "");
    for (unsigned i = 0; i < TR_PQL_UNIT_COUNT; i++)
        if (is_type(unit, tr_pql_unit_names[i][0]) || is_type(unit, tr_pql_unit_names[i][1])) {
            *out = (tr_pql_unit)i;
            return TR_OK;
        }
    return refuse(r, "\"unit\" is a unit of time such as day");
}

static tr_code choose(reader *r, const json_t *json, const char *key, const char *const *words,
                      unsigned *out)
{
    char what[64];
    const char *word = tr_json_text(json, key, "");
    for (unsigned i = 0; words[i] != NULL; i++)
        if (is_type(word, words[i])) {
            *out = i;
            return TR_OK;
        }
    (void)snprintf(what, sizeof what, "\"%s\" is missing or unknown", key);
    return refuse(r, what);
}

static tr_code read_comparison(reader *r, const json_t *json, tr_pql_fn *out)
{
    const tr_pql_fn fn =
        tr_pql_find_function(tr_str_of(tr_json_text(json, "comparison", "")), TR_PQL_INFIX);
    if (fn < TR_PQL_EQ || fn > TR_PQL_GE)
        return refuse(r, "\"comparison\" is one of = != < <= > >=");
    *out = fn;
    return TR_OK;
}

static tr_code read_relative(reader *r, const json_t *json, role as, tr_pql_node **out)
{
    static const char *const words[] = {"this", "last", "next", NULL};
    unsigned which;
    if (as != ANCHOR)
        return refuse(r, "a relativeTime cannot stand here");
    TR_TRY(make(r, TR_PQL_RELATIVE, 0, out));
    TR_TRY(choose(r, json, "which", words, &which));
    (*out)->time.which = (tr_pql_which)which;
    return read_unit(r, json, &(*out)->time.unit);
}

static tr_code read_time(reader *r, const json_t *json, tr_pql_node **out)
{
    static const char *const kinds[] = {"on", "direction", "relative", "between", NULL};
    static const char *const directions[] = {"before", "after", "from", NULL};
    unsigned kind, direction;
    tr_pql_node *node;
    TR_TRY(choose(r, json, "kind", kinds, &kind));
    TR_TRY(make(r, TR_PQL_TIME, kind == TR_PQL_TIME_BETWEEN ? 2 : 1, &node));
    node->time.kind = (tr_pql_time_kind)kind;
    if (kind == TR_PQL_TIME_RELATIVE || kind == TR_PQL_TIME_DIRECTION) {
        TR_TRY(choose(r, json, "direction", directions, &direction));
        node->time.direction = (tr_pql_direction)direction;
    }
    if (kind == TR_PQL_TIME_RELATIVE) {
        node->time.amount = tr_json_int(json, "amount", -1);
        if (node->time.amount < 0)
            return refuse(r, "\"amount\" is a whole number, not negative");
        TR_TRY(read_comparison(r, json, &node->time.comparison));
        TR_TRY(read_unit(r, json, &node->time.unit));
    }
    TR_TRY(read_member(r, json, "time", ANCHOR, &node->items[0]));
    if (kind == TR_PQL_TIME_BETWEEN)
        TR_TRY(read_member(r, json, "time2", ANCHOR, &node->items[1]));
    *out = node;
    return TR_OK;
}

/* ---- chains */

static tr_code read_count(reader *r, const json_t *json, tr_pql_node *element)
{
    const json_t *count = json_object_get(json, "count");
    element->count_comparison = TR_PQL_GE;
    element->count_amount = 1;
    if (count == NULL)
        return TR_OK;
    TR_TRY(read_comparison(r, count, &element->count_comparison));
    element->count_amount = tr_json_int(count, "value", -1);
    if (element->count_amount < 0 || element->count_comparison == TR_PQL_NE ||
        element->count_comparison == TR_PQL_LT || element->count_comparison == TR_PQL_LE)
        return refuse(r, "\"count\" is {\"comparison\": =, >= or >, \"value\": a whole number}");
    return TR_OK;
}

static tr_code read_element(reader *r, const json_t *json, const tr_pql_node *chain, uint32_t index,
                            tr_pql_node **out)
{
    const bool was_in_when = r->is_in_when;
    tr_pql_node *element;
    TR_TRY(make(r, TR_PQL_ELEMENT, TR_PQL_ELEMENT_ITEMS, &element));
    if (json_object_get(json, "label") != NULL)
        TR_TRY(read_name(r, json, "label", &element->name));
    for (uint32_t i = 2; i < index; i++)
        if (element->name.len > 0 && tr_str_equal(chain->items[i]->name, element->name))
            return refuse(r, "two elements have one label");
    TR_TRY(read_count(r, json, element));
    r->is_in_when = false;
    TR_TRY(read_member(r, json, "what", ITEM, &element->items[TR_PQL_WHAT]));
    if (json_object_get(json, "where") != NULL)
        TR_TRY(read_member(r, json, "where", ITEM, &element->items[TR_PQL_WHERE]));
    r->is_in_when = true;
    if (json_object_get(json, "when") != NULL)
        TR_TRY(read_member(r, json, "when", TIME_TEST, &element->items[TR_PQL_WHEN]));
    r->is_in_when = was_in_when;
    if (element->name.len > 0)
        TR_TRY(declare(r, element->name, true));
    *out = element;
    return TR_OK;
}

static tr_code read_chain(reader *r, const json_t *json, tr_pql_node **out)
{
    const json_t *elements = array_member(json, "elements");
    const uint32_t outside = r->name_count;
    char place[32];
    if (json_array_size(elements) == 0)
        return refuse(r, "\"elements\" is missing or empty");
    TR_TRY(make(r, TR_PQL_CHAIN, 2 + (uint32_t)json_array_size(elements), out));
    TR_TRY(read_member(r, json, "array", VALUE, &(*out)->items[0]));
    TR_TRY(read_member(r, json, "timestampField", ITEM, &(*out)->items[1]));
    for (uint32_t i = 2; i < (*out)->count; i++) {
        (void)snprintf(place, sizeof place, "elements/%u", i - 2);
        const size_t before = enter(r, place);
        TR_TRY(read_element(r, json_array_get(elements, i - 2), *out, i, &(*out)->items[i]));
        leave(r, before);
    }
    r->name_count = outside;
    return TR_OK;
}

static tr_code read_by_type(reader *r, const json_t *json, const char *type, role as,
                            tr_pql_node **out)
{
    if (strcmp(type, "fnApply") == 0)
        return read_apply(r, json, as, out);
    if (strcmp(type, "fieldLookup") == 0)
        return read_field(r, json, out);
    if (strcmp(type, "parameterReference") == 0)
        return read_parameter(r, json, out);
    if (strcmp(type, "varRef") == 0)
        return read_variable(r, json, out);
    if (strcmp(type, "literal") == 0)
        return read_literal(r, json, out);
    if (strcmp(type, "lambda") == 0 || strcmp(type, "fnCreate") == 0)
        return read_lambda(r, json, as, out);
    if (strcmp(type, "chain") == 0)
        return read_chain(r, json, out);
    if (strcmp(type, "select") == 0)
        return read_select(r, json, TR_PQL_SELECT, out);
    if (strcmp(type, "quantification") == 0)
        return read_select(r, json, TR_PQL_QUANTIFY, out);
    if (strcmp(type, "listCreate") == 0)
        return read_list(r, json, out);
    if (strcmp(type, "objectCreate") == 0)
        return read_object(r, json, out);
    if (strcmp(type, "let") == 0)
        return read_let(r, json, out);
    if (strcmp(type, "relativeTime") == 0)
        return read_relative(r, json, as, out);
    return refuse(r, "unknown nodeType");
}

static tr_code read_node(reader *r, const json_t *json, role as, tr_pql_node **out)
{
    const char *type = tr_json_text(json, "nodeType", NULL);
    if (!json_is_object(json) || type == NULL)
        return refuse(r, "expected a node: an object with \"nodeType\"");
    if (++r->depth > TR_PQL_DEPTH_MAX)
        return TR_FAIL(r->err, TR_LIMIT, "the expression is nested more than %d levels deep",
                       TR_PQL_DEPTH_MAX);
    if ((strcmp(type, "timeConstraint") == 0) != (as == TIME_TEST))
        return refuse(r, as == TIME_TEST ? "expected a timeConstraint"
                                         : "a timeConstraint cannot stand here");
    if (as == ITEM && strcmp(type, "lambda") != 0 && strcmp(type, "fnCreate") != 0)
        return refuse(r, "expected a lambda");
    TR_TRY(as == TIME_TEST ? read_time(r, json, out) : read_by_type(r, json, type, as, out));
    r->depth--;
    return TR_OK;
}

tr_code tr_pql_read_json(const json_t *json, tr_arena *arena, tr_pql_node **out, tr_err *err)
{
    tr_pql_node *root;
    reader *r = tr_arena_array(arena, 1, sizeof *r);
    if (r == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for an expression");
    r->arena = arena;
    r->err = err;
    TR_TRY(read_node(r, json, ROOT_NODE, &root));
    *out = root;
    return TR_OK;
}
