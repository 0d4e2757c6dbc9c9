/* SPDX-License-Identifier: Apache-2.0 */
/* check_apply.c - functions and operators; see check.h. */
#include "pql/check_internal.h"

#include "pql/regex.h"
#include "pql/times.h"

#include <stdio.h>

static tr_code check_operands(tr_pql_checker *c, tr_pql_node *node)
{
    for (uint32_t i = 0; i < node->count; i++)
        TR_TRY(tr_pql_check_node(c, node->items[i]));
    return TR_OK;
}

static bool is_tuple(const tr_pql_type *type)
{
    return type->kind == TR_PQL_IS_ARRAY && type->item->kind == TR_PQL_IS_TUPLE;
}

/* ---- comparisons */

/* A boolean literal beside a number: never equal, but no mistake of types either. */
static bool is_boolean_beside_number(const tr_pql_node *a, const tr_pql_node *b)
{
    return a->kind == TR_PQL_LITERAL && a->literal.kind == TR_PQL_BOOLEAN &&
           tr_pql_is_numeric(tr_pql_scalar_of(b->type));
}

static bool is_number_beside_boolean(const tr_pql_node *a, const tr_pql_node *b)
{
    return a->kind == TR_PQL_LITERAL && tr_pql_is_numeric(a->type) &&
           tr_pql_scalar_of(b->type)->kind == TR_PQL_IS_BOOLEAN;
}

static tr_code check_equality(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_node *left = node->items[0], *right = node->items[1];
    TR_TRY(check_operands(c, node));
    TR_TRY(tr_pql_fit_both(c, left, right));
    if (is_tuple(left->type) || is_tuple(right->type))
        return tr_pql_mismatch(c, node, is_tuple(left->type) ? left : right, "values");
    if (is_boolean_beside_number(left, right) || is_boolean_beside_number(right, left) ||
        is_number_beside_boolean(left, right) || is_number_beside_boolean(right, left))
        return TR_OK;
    const tr_pql_type *a = left->type, *b = right->type;
    if (a->kind == TR_PQL_IS_ARRAY && b->kind != TR_PQL_IS_ARRAY)
        a = tr_pql_scalar_of(a);
    else if (b->kind == TR_PQL_IS_ARRAY && a->kind != TR_PQL_IS_ARRAY)
        b = tr_pql_scalar_of(b);
    char expected[120], name[100];
    if (tr_pql_are_comparable(a, b))
        return TR_OK;
    (void)snprintf(expected, sizeof expected, "%s as on its other side",
                   tr_pql_type_text(a, name, sizeof name));
    return tr_pql_mismatch(c, node, right, expected);
}

static tr_code check_order(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_node *left = node->items[0], *right = node->items[1];
    TR_TRY(check_operands(c, node));
    TR_TRY(tr_pql_fit_both(c, left, right));
    const tr_pql_type *a = tr_pql_scalar_of(left->type), *b = tr_pql_scalar_of(right->type);
    const bool is_a = tr_pql_is_numeric(a) || tr_pql_is_time(a) || tr_pql_is_open(a);
    if ((tr_pql_is_literal(left) && b->kind == TR_PQL_IS_ANY) ||
        (tr_pql_is_literal(right) && a->kind == TR_PQL_IS_ANY))
        return TR_OK;
    if (!is_a || (!tr_pql_is_numeric(b) && !tr_pql_is_time(b) && !tr_pql_is_open(b)))
        return tr_pql_mismatch(c, node, is_a ? right : left, "a number or a timestamp");
    if (!tr_pql_are_comparable(a, b))
        return tr_pql_mismatch(c, node, right, "two numbers or two timestamps");
    return TR_OK;
}

/* v in A; A.includes(v) */
static tr_code check_in(tr_pql_checker *c, tr_pql_node *node, tr_pql_node *value,
                        tr_pql_node *array)
{
    TR_TRY(check_operands(c, node));
    if (array->kind == TR_PQL_LIST && !(tr_pql_is_literal(value) && !tr_pql_is_literal(array)))
        TR_TRY(tr_pql_fit(c, array, tr_pql_scalar_of(value->type)));
    else
        TR_TRY(tr_pql_fit_both(c, value, array));
    const tr_pql_type *item =
        array->type->kind == TR_PQL_IS_ARRAY ? array->type->item : array->type;
    const tr_pql_type *one = value->type;
    if (one->kind == TR_PQL_IS_ARRAY && item->kind != TR_PQL_IS_ARRAY)
        one = tr_pql_scalar_of(one);
    if (!tr_pql_are_comparable(one, item) || item->kind == TR_PQL_IS_TUPLE)
        return tr_pql_mismatch(c, node, array, "a list of values that can be equal to it");
    return TR_OK;
}

/* ---- strings */

static tr_code check_text(const tr_pql_checker *c, const tr_pql_node *node, tr_pql_node *operand,
                          bool may_be_array)
{
    TR_TRY(tr_pql_fit(c, operand, TR_PQL_PLAIN(STRING)));
    const tr_pql_type *type = may_be_array ? tr_pql_scalar_of(operand->type) : operand->type;
    if (type->kind != TR_PQL_IS_STRING && !tr_pql_is_open(type))
        return tr_pql_mismatch(c, node, operand, "a string");
    return TR_OK;
}

static tr_code check_strings(tr_pql_checker *c, tr_pql_node *node)
{
    TR_TRY(check_operands(c, node));
    TR_TRY(check_text(c, node, node->items[0], true));
    TR_TRY(check_text(c, node, node->items[1], true));
    if (node->count == 3 &&
        (node->items[2]->kind != TR_PQL_LITERAL || node->items[2]->literal.kind != TR_PQL_BOOLEAN))
        return tr_pql_mismatch(c, node, node->items[2], "true or false: is case significant");
    return TR_OK;
}

static tr_code make_regex(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_regex *regex;
    tr_err why;
    const tr_pql_node *pattern = node->items[1];
    if (pattern->kind != TR_PQL_LITERAL || pattern->value.kind != TR_PQL_STRING)
        return TR_OK;
    const tr_code code = tr_pql_regex_make(pattern->value.string, c->arena, &regex, &why);
    if (code == TR_INVALID)
        return tr_pql_error(c, pattern, "%s", why.text);
    if (code != TR_OK)
        return tr_pql_no_memory(c);
    node->regex = regex;
    return TR_OK;
}

static tr_code check_regex_group(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_node *group = node->items[2];
    TR_TRY(check_operands(c, node));
    TR_TRY(check_text(c, node, node->items[0], false));
    TR_TRY(check_text(c, node, node->items[1], false));
    if (group->kind != TR_PQL_LITERAL || group->literal.kind != TR_PQL_INTEGER ||
        group->literal.integer < 0 || group->literal.integer > 99)
        return tr_pql_mismatch(c, node, group, "the number of a group");
    TR_TRY(make_regex(c, node));
    if (node->regex != NULL && group->literal.integer > tr_pql_regex_groups(node->regex))
        return tr_pql_error(c, group, "the regular expression has only %u groups",
                            tr_pql_regex_groups(node->regex));
    node->type = TR_PQL_PLAIN(STRING);
    return TR_OK;
}

/* ---- numbers and times */

static tr_code check_arithmetic(tr_pql_checker *c, tr_pql_node *node)
{
    bool is_integer = node->fn != TR_PQL_DIV;
    TR_TRY(check_operands(c, node));
    for (uint32_t i = 0; i < node->count; i++) {
        const tr_pql_type *type = node->items[i]->type;
        if (!tr_pql_is_numeric(type) && !tr_pql_is_open(type))
            return tr_pql_mismatch(c, node, node->items[i], "a number");
        is_integer = is_integer && type->kind == TR_PQL_IS_INTEGER;
    }
    node->type = is_integer ? TR_PQL_PLAIN(INTEGER) : TR_PQL_PLAIN(NUMBER);
    return TR_OK;
}

static tr_code check_occurs(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_node *x = node->items[0];
    TR_TRY(tr_pql_check_node(c, x));
    TR_TRY(tr_pql_fit(c, x, TR_PQL_PLAIN(TIMESTAMP)));
    const tr_pql_type *type = tr_pql_scalar_of(x->type);
    if (!tr_pql_is_instant(type) && !tr_pql_is_open(type))
        return tr_pql_mismatch(c, node, x, "a timestamp or a date");
    return tr_pql_check_time(c, node->items[1]);
}

static tr_code check_part_of_date(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_node *x = node->items[0];
    TR_TRY(tr_pql_check_node(c, x));
    TR_TRY(tr_pql_fit(c, x, TR_PQL_PLAIN(TIMESTAMP)));
    if (!tr_pql_is_instant(x->type) && !tr_pql_is_open(x->type))
        return tr_pql_mismatch(c, node, x, "a timestamp or a date");
    node->type = TR_PQL_PLAIN(INTEGER);
    return TR_OK;
}

static tr_code check_date(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_span span;
    bool is_constant = true;
    TR_TRY(check_operands(c, node));
    for (uint32_t i = 0; i < 3; i++) {
        const tr_pql_node *part = node->items[i];
        if (part->type->kind != TR_PQL_IS_INTEGER && !tr_pql_is_open(part->type))
            return tr_pql_mismatch(c, node, part, "an integer");
        is_constant =
            is_constant && part->kind == TR_PQL_LITERAL && part->literal.kind == TR_PQL_INTEGER;
    }
    if (is_constant &&
        !tr_pql_day_at(node->items[0]->literal.integer, node->items[1]->literal.integer,
                       node->items[2]->literal.integer, &span))
        return tr_pql_error(c, node, "there is no day date(%lld, %lld, %lld)",
                            (long long)node->items[0]->literal.integer,
                            (long long)node->items[1]->literal.integer,
                            (long long)node->items[2]->literal.integer);
    node->type = TR_PQL_PLAIN(INTERVAL);
    return TR_OK;
}

/* ---- arrays and maps */

/* The receiver is an array of values; *item is what its items are. */
static tr_code check_array(tr_pql_checker *c, tr_pql_node *node, const tr_pql_type **item)
{
    const tr_pql_node *array = node->items[0];
    TR_TRY(tr_pql_check_node(c, node->items[0]));
    if (tr_pql_is_open(array->type)) {
        *item = array->type;
        return TR_OK;
    }
    if (array->type->kind == TR_PQL_IS_MAP)
        return tr_pql_mismatch(c, node, array, "an array: use keys() or values()");
    if (array->type->kind != TR_PQL_IS_ARRAY || is_tuple(array->type))
        return tr_pql_mismatch(c, node, array, "an array");
    *item = array->type->item;
    return TR_OK;
}

static tr_code check_per_item(tr_pql_checker *c, tr_pql_node *node, const tr_pql_type **item)
{
    TR_TRY(check_array(c, node, item));
    return tr_pql_check_lambda(c, node->items[1], item, 1, false);
}

static tr_code want_number(const tr_pql_checker *c, const tr_pql_node *node,
                           const tr_pql_node *operand, const tr_pql_type *type)
{
    if (!tr_pql_is_numeric(type) && !tr_pql_is_open(type))
        return tr_pql_mismatch(c, node, operand, "numbers");
    return TR_OK;
}

/* Variables of `sum EXPR over V1 from ..., V2 from ...`. */
static tr_code check_over(tr_pql_checker *c, tr_pql_node *node, const tr_pql_type **value)
{
    const tr_pql_node *select = node->items[0];
    const tr_pql_type **types = tr_arena_array(c->arena, select->count, sizeof(tr_pql_type *));
    if (types == NULL)
        return tr_pql_no_memory(c);
    TR_TRY(tr_pql_check_node(c, node->items[0]));
    for (uint32_t i = 0; i < select->count; i++)
        types[i] = select->items[i]->type;
    TR_TRY(tr_pql_check_lambda(c, node->items[1], types, select->count, false));
    *value = node->items[1]->type;
    return TR_OK;
}

static tr_code check_aggregate(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_type *value;
    const tr_pql_node *operand = node->items[0];
    if (node->count == 2 && operand->kind == TR_PQL_SELECT && operand->count > 1) {
        TR_TRY(check_over(c, node, &value));
    } else if (node->count == 2) {
        TR_TRY(check_per_item(c, node, &value));
        value = node->items[1]->type;
    } else {
        TR_TRY(check_array(c, node, &value));
    }
    TR_TRY(want_number(c, node, node->count == 2 ? node->items[1]->items[0] : operand, value));
    node->type = node->fn != TR_PQL_AVERAGE && value->kind == TR_PQL_IS_INTEGER
                     ? TR_PQL_PLAIN(INTEGER)
                     : TR_PQL_PLAIN(NUMBER);
    return TR_OK;
}

static tr_code check_top(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_type *item;
    TR_TRY(check_per_item(c, node, &item));
    TR_TRY(want_number(c, node, node->items[1]->items[0], node->items[1]->type));
    TR_TRY(tr_pql_check_node(c, node->items[2]));
    if (node->items[2]->type->kind != TR_PQL_IS_INTEGER && !tr_pql_is_open(node->items[2]->type))
        return tr_pql_mismatch(c, node, node->items[2], "an integer: how many");
    node->type = node->items[0]->type;
    return TR_OK;
}

static tr_code check_entry(tr_pql_checker *c, tr_pql_node *node)
{
    tr_pql_type *type = tr_arena_array(c->arena, 1, sizeof *type);
    if (type == NULL)
        return tr_pql_no_memory(c);
    if (c->entry != node)
        return tr_pql_error(c, node, "mapEntry stands alone as what map() makes of an item");
    TR_TRY(check_operands(c, node));
    TR_TRY(tr_pql_fit(c, node->items[0], TR_PQL_PLAIN(STRING)));
    if (node->items[0]->type->kind != TR_PQL_IS_STRING && !tr_pql_is_open(node->items[0]->type))
        return tr_pql_mismatch(c, node, node->items[0], "a string as key");
    *type = (tr_pql_type){.kind = TR_PQL_IS_ENTRY, .item = node->items[1]->type};
    node->type = type;
    return TR_OK;
}

/* A.map(expr); G.map((K, L) => expr). An expression that is mapEntry makes a map. */
static tr_code check_map(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_type *item;
    tr_pql_type *type = tr_arena_array(c->arena, 1, sizeof *type);
    if (type == NULL)
        return tr_pql_no_memory(c);
    TR_TRY(tr_pql_check_node(c, node->items[0]));
    const tr_pql_type *from = node->items[0]->type;
    c->entry = node->items[1]->kind == TR_PQL_LAMBDA ? node->items[1]->items[0] : NULL;
    if (from->kind == TR_PQL_IS_GROUPS) {
        const tr_pql_type *const types[] = {from->key, from->item};
        TR_TRY(tr_pql_check_lambda(c, node->items[1], types, 2, false));
    } else {
        if (!tr_pql_is_open(from) && (from->kind != TR_PQL_IS_ARRAY || is_tuple(from)))
            return tr_pql_mismatch(c, node, node->items[0], "an array or what groupBy makes");
        item = from->kind == TR_PQL_IS_ARRAY ? from->item : from;
        TR_TRY(tr_pql_check_lambda(c, node->items[1], &item, 1, false));
    }
    const tr_pql_type *body = node->items[1]->type;
    if (is_tuple(body))
        return tr_pql_mismatch(c, node, node->items[1]->items[0], "values");
    *type = body->kind == TR_PQL_IS_ENTRY ? (tr_pql_type){.kind = TR_PQL_IS_MAP, .item = body->item}
                                          : (tr_pql_type){.kind = TR_PQL_IS_ARRAY, .item = body};
    node->type = type;
    return TR_OK;
}

static tr_code check_group_by(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_type *item;
    tr_pql_type *type = tr_arena_array(c->arena, 1, sizeof *type);
    if (type == NULL)
        return tr_pql_no_memory(c);
    TR_TRY(check_per_item(c, node, &item));
    const tr_pql_type *key = node->items[1]->type;
    if (!tr_pql_is_scalar(key) || key->kind == TR_PQL_IS_INTERVAL)
        return tr_pql_mismatch(c, node, node->items[1]->items[0], "a key of one value");
    const tr_pql_type *array = node->items[0]->type;
    if (array->kind != TR_PQL_IS_ARRAY && (array = tr_pql_array_of(array, c->arena)) == NULL)
        return tr_pql_no_memory(c);
    *type = (tr_pql_type){.kind = TR_PQL_IS_GROUPS, .key = key, .item = array};
    node->type = type;
    return TR_OK;
}

/* A.intersects(B) and its kin. */
static tr_code check_sets(tr_pql_checker *c, tr_pql_node *node)
{
    TR_TRY(check_operands(c, node));
    TR_TRY(tr_pql_fit_both(c, node->items[0], node->items[1]));
    for (uint32_t i = 0; i < 2; i++) {
        const tr_pql_type *type = node->items[i]->type;
        if ((type->kind != TR_PQL_IS_ARRAY && !tr_pql_is_open(type)) || is_tuple(type))
            return tr_pql_mismatch(c, node, node->items[i], "an array");
    }
    if (!tr_pql_are_comparable(node->items[0]->type, node->items[1]->type))
        return tr_pql_mismatch(c, node, node->items[1], "an array with items that can be equal");
    node->type = TR_PQL_PLAIN(BOOLEAN);
    if (node->fn == TR_PQL_INTERSECTION)
        node->type = node->items[0]->type;
    return TR_OK;
}

/* The receiver, a map or groups, and the type of its keys. *key is NULL when it may be anything:
 * then so may what comes of it. */
static tr_code check_keyed(tr_pql_checker *c, tr_pql_node *node, const tr_pql_type **key)
{
    TR_TRY(check_operands(c, node));
    const tr_pql_type *map = node->items[0]->type;
    *key = NULL;
    if (tr_pql_is_open(map)) {
        node->type = map;
        return TR_OK;
    }
    if (map->kind != TR_PQL_IS_MAP && map->kind != TR_PQL_IS_GROUPS)
        return tr_pql_mismatch(c, node, node->items[0], "a map");
    *key = map->kind == TR_PQL_IS_MAP ? TR_PQL_PLAIN(STRING) : map->key;
    return TR_OK;
}

static tr_code check_get(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_type *key;
    TR_TRY(check_keyed(c, node, &key));
    if (key == NULL)
        return TR_OK;
    TR_TRY(tr_pql_fit(c, node->items[1], key));
    if (!tr_pql_are_comparable(node->items[1]->type, key))
        return tr_pql_mismatch(c, node, node->items[1], "a key of the map");
    node->type = node->items[0]->type->item;
    return TR_OK;
}

static tr_code check_keys_or_values(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_type *key;
    TR_TRY(check_keyed(c, node, &key));
    if (key == NULL)
        return TR_OK;
    const tr_pql_type *item = node->fn == TR_PQL_KEYS ? key : node->items[0]->type->item;
    node->type = tr_pql_array_of(item, c->arena);
    return node->type == NULL ? tr_pql_no_memory(c) : TR_OK;
}

static tr_code check_count(tr_pql_checker *c, tr_pql_node *node)
{
    TR_TRY(check_operands(c, node));
    const tr_pql_type *type = node->items[0]->type;
    if (!tr_pql_is_open(type) && type->kind != TR_PQL_IS_ARRAY && type->kind != TR_PQL_IS_MAP &&
        type->kind != TR_PQL_IS_GROUPS)
        return tr_pql_mismatch(c, node, node->items[0], "an array or a map");
    node->type = TR_PQL_PLAIN(INTEGER);
    return TR_OK;
}

/* ---- others */

static tr_code check_if(tr_pql_checker *c, tr_pql_node *node)
{
    TR_TRY(check_operands(c, node));
    node->type = tr_pql_unite_types(node->items[1]->type, node->items[2]->type, c->arena);
    if (node->type == NULL)
        return tr_pql_mismatch(c, node, node->items[2], "both branches of one type");
    if (is_tuple(node->type))
        return tr_pql_mismatch(c, node, node->items[1], "values");
    return TR_OK;
}

static tr_code check_in_segment(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_node *id = node->items[0];
    TR_TRY(check_operands(c, node));
    if (id->kind != TR_PQL_LITERAL || id->literal.kind != TR_PQL_STRING)
        return tr_pql_mismatch(c, node, id, "the id of a segment, as a string");
    if (c->schema->knows_segment != NULL &&
        !c->schema->knows_segment(c->schema->ctx, id->literal.string))
        return tr_pql_error(c, id, "there is no segment \"%.*s\"",
                            id->literal.string.len > 80 ? 80 : (int)id->literal.string.len,
                            (const char *)id->literal.string.at);
    return TR_OK;
}

static tr_code check_of_array(tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_type *item;
    if (node->fn == TR_PQL_HEAD || node->fn == TR_PQL_DISTINCT)
        TR_TRY(check_array(c, node, &item));
    else
        TR_TRY(check_per_item(c, node, &item));
    if (node->fn == TR_PQL_HEAD)
        node->type = item;
    else if (node->fn != TR_PQL_EXISTS)
        node->type = node->items[0]->type;
    return TR_OK;
}

/* tidy: long switch, a line or two per function */
tr_code tr_pql_check_apply(tr_pql_checker *c, tr_pql_node *node)
{
    node->type = TR_PQL_PLAIN(BOOLEAN);
    switch (node->fn) {
    case TR_PQL_AND:
    case TR_PQL_OR:
    case TR_PQL_NOT:
    case TR_PQL_IS_NULL:
    case TR_PQL_IS_NOT_NULL: return check_operands(c, node);
    case TR_PQL_EQ:
    case TR_PQL_NE: return check_equality(c, node);
    case TR_PQL_LT:
    case TR_PQL_LE:
    case TR_PQL_GT:
    case TR_PQL_GE: return check_order(c, node);
    case TR_PQL_IN:
    case TR_PQL_NOT_IN: return check_in(c, node, node->items[0], node->items[1]);
    case TR_PQL_INCLUDES: return check_in(c, node, node->items[1], node->items[0]);
    case TR_PQL_LIKE:
    case TR_PQL_STARTS_WITH:
    case TR_PQL_NOT_STARTS_WITH:
    case TR_PQL_ENDS_WITH:
    case TR_PQL_NOT_ENDS_WITH:
    case TR_PQL_CONTAINS:
    case TR_PQL_NOT_CONTAINS:
    case TR_PQL_EQUALS:
    case TR_PQL_NOT_EQUAL_TO: return check_strings(c, node);
    case TR_PQL_MATCHES: TR_TRY(check_strings(c, node)); return make_regex(c, node);
    case TR_PQL_REGEX_GROUP: return check_regex_group(c, node);
    case TR_PQL_OCCURS: return check_occurs(c, node);
    case TR_PQL_ADD:
    case TR_PQL_SUB:
    case TR_PQL_MUL:
    case TR_PQL_DIV:
    case TR_PQL_MOD: return check_arithmetic(c, node);
    case TR_PQL_INTERSECTS:
    case TR_PQL_INTERSECTION:
    case TR_PQL_SUBSET_OF:
    case TR_PQL_SUPERSET_OF: return check_sets(c, node);
    case TR_PQL_DISTINCT:
    case TR_PQL_FILTER:
    case TR_PQL_EXISTS:
    case TR_PQL_HEAD: return check_of_array(c, node);
    case TR_PQL_MAP: return check_map(c, node);
    case TR_PQL_GROUP_BY: return check_group_by(c, node);
    case TR_PQL_TOP_N:
    case TR_PQL_BOTTOM_N: return check_top(c, node);
    case TR_PQL_COUNT: return check_count(c, node);
    case TR_PQL_SUM:
    case TR_PQL_AVERAGE:
    case TR_PQL_MIN:
    case TR_PQL_MAX: return check_aggregate(c, node);
    case TR_PQL_GET: return check_get(c, node);
    case TR_PQL_KEYS:
    case TR_PQL_VALUES: return check_keys_or_values(c, node);
    case TR_PQL_GET_YEAR:
    case TR_PQL_GET_MONTH:
    case TR_PQL_GET_DAY_OF_MONTH: return check_part_of_date(c, node);
    case TR_PQL_IF: return check_if(c, node);
    case TR_PQL_DATE: return check_date(c, node);
    case TR_PQL_IN_SEGMENT: return check_in_segment(c, node);
    case TR_PQL_MAP_ENTRY: return check_entry(c, node);
    case TR_PQL_CURRENT_YEAR:
    case TR_PQL_CURRENT_MONTH:
    case TR_PQL_CURRENT_DAY: node->type = TR_PQL_PLAIN(INTEGER); return TR_OK;
    case TR_PQL_NOW: node->type = TR_PQL_PLAIN(TIMESTAMP); return TR_OK;
    case TR_PQL_TODAY:
    case TR_PQL_YESTERDAY:
    case TR_PQL_TOMORROW: node->type = TR_PQL_PLAIN(INTERVAL); return TR_OK;
    case TR_PQL_FN_COUNT: break;
    }
    return tr_pql_error(c, node, "unknown function");
}
