/* SPDX-License-Identifier: Apache-2.0 */
/* node.c - see node.h: the table of functions, and when two trees are equal. */
#include "pql/node.h"

#include "base/limits.h"

#define TR_PQL_FUNCTION_ROW(id, name, least, most, form, item)                                     \
    {name, least, most, TR_PQL_##form, item},
const tr_pql_function tr_pql_functions[TR_PQL_FN_COUNT] = {TR_PQL_FUNCTIONS(TR_PQL_FUNCTION_ROW)};

tr_pql_fn tr_pql_find_function(tr_str name, tr_pql_form form)
{
    for (unsigned i = 0; i < TR_PQL_FN_COUNT; i++)
        if (tr_pql_functions[i].form == form && tr_str_is(name, tr_pql_functions[i].name))
            return (tr_pql_fn)i;
    return TR_PQL_FN_COUNT;
}

uint32_t tr_pql_depth(const tr_pql_node *node)
{
    uint32_t deepest = 0;
    for (uint32_t i = 0; i < node->count; i++) {
        const uint32_t depth = node->items[i] == NULL ? 0 : tr_pql_depth(node->items[i]);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* Pairs of variables that stand for each other, innermost last. */
typedef struct pairs {
    tr_str a[4 * TR_PQL_DEPTH_MAX], b[4 * TR_PQL_DEPTH_MAX];
    uint32_t count;
} pairs;

static bool push(pairs *bound, tr_str a, tr_str b)
{
    if (bound->count == sizeof bound->a / sizeof bound->a[0])
        return false;
    bound->a[bound->count] = a;
    bound->b[bound->count++] = b;
    return true;
}

static bool are_same_variable(const pairs *bound, tr_str a, tr_str b)
{
    for (uint32_t i = bound->count; i-- > 0;) {
        const bool is_a = tr_str_equal(bound->a[i], a), is_b = tr_str_equal(bound->b[i], b);
        if (is_a || is_b)
            return is_a && is_b;
    }
    return tr_str_equal(a, b);
}

static bool are_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b);

static bool are_items_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!are_equal(bound, a->items[i], b->items[i]))
            return false;
    return true;
}

static bool are_literals_equal(const tr_pql_literal *a, const tr_pql_literal *b)
{
    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case TR_PQL_NULL: return true;
    case TR_PQL_BOOLEAN: return a->boolean == b->boolean;
    case TR_PQL_INTEGER: return a->integer == b->integer;
    case TR_PQL_NUMBER: return !(a->number < b->number) && !(a->number > b->number);
    case TR_PQL_STRING: return tr_str_equal(a->string, b->string);
    }
    return false;
}

static bool are_times_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b)
{
    const tr_pql_time *left = &a->time, *right = &b->time;
    const bool is_relative = left->kind == TR_PQL_TIME_RELATIVE;
    return left->kind == right->kind &&
           ((!is_relative && left->kind != TR_PQL_TIME_DIRECTION) ||
            left->direction == right->direction) &&
           (!is_relative || (left->comparison == right->comparison &&
                             left->amount == right->amount && left->unit == right->unit)) &&
           are_items_equal(bound, a, b);
}

/* Each declaration sees the variables before it, and its own in its condition. The caller ends the
 * scope. */
static bool are_declarations_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b)
{
    for (uint32_t i = 0; i < a->count; i++) {
        const tr_pql_node *left = a->items[i], *right = b->items[i];
        if (!are_equal(bound, left->items[0], right->items[0]) ||
            !push(bound, left->name, right->name) ||
            !are_equal(bound, left->items[1], right->items[1]))
            return false;
    }
    return true;
}

static bool are_chains_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b)
{
    const uint32_t outside = bound->count;
    if (!are_equal(bound, a->items[0], b->items[0]) || !are_equal(bound, a->items[1], b->items[1]))
        return false;
    for (uint32_t i = 2; i < a->count; i++) {
        const tr_pql_node *left = a->items[i], *right = b->items[i];
        const uint32_t labels = bound->count;
        bound->count = outside; /* conditions do not see labels, WHEN does */
        if (left->count_comparison != right->count_comparison ||
            left->count_amount != right->count_amount ||
            !are_equal(bound, left->items[TR_PQL_WHAT], right->items[TR_PQL_WHAT]) ||
            !are_equal(bound, left->items[TR_PQL_WHERE], right->items[TR_PQL_WHERE]))
            return false;
        bound->count = labels;
        if (!are_equal(bound, left->items[TR_PQL_WHEN], right->items[TR_PQL_WHEN]) ||
            !push(bound, left->name, right->name))
            return false;
    }
    return true;
}

static bool are_names_equal(const tr_pql_node *a, const tr_pql_node *b)
{
    for (uint32_t i = 0; i < a->name_count; i++)
        if (!tr_str_equal(a->names[i], b->names[i]))
            return false;
    return true;
}

static bool are_lambdas_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b)
{
    for (uint32_t i = 0; i < a->name_count; i++)
        if (!push(bound, a->names[i], b->names[i]))
            return false;
    return are_items_equal(bound, a, b);
}

static bool are_lets_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b)
{
    return are_equal(bound, a->items[0], b->items[0]) && push(bound, a->name, b->name) &&
           are_equal(bound, a->items[1], b->items[1]);
}

static bool are_nodes_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b)
{
    switch (a->kind) {
    case TR_PQL_LITERAL: return are_literals_equal(&a->literal, &b->literal);
    case TR_PQL_LIST: return are_items_equal(bound, a, b);
    case TR_PQL_OBJECT: return are_names_equal(a, b) && are_items_equal(bound, a, b);
    case TR_PQL_PARAMETER: return a->position == b->position;
    case TR_PQL_VARIABLE: return are_same_variable(bound, a->name, b->name);
    case TR_PQL_FIELD: return tr_str_equal(a->name, b->name) && are_items_equal(bound, a, b);
    case TR_PQL_APPLY: return a->fn == b->fn && are_items_equal(bound, a, b);
    case TR_PQL_LAMBDA: return are_lambdas_equal(bound, a, b);
    case TR_PQL_SELECT: return are_declarations_equal(bound, a, b);
    case TR_PQL_QUANTIFY:
        return a->quantifier == b->quantifier && are_declarations_equal(bound, a, b);
    case TR_PQL_LET: return are_lets_equal(bound, a, b);
    case TR_PQL_CHAIN: return are_chains_equal(bound, a, b);
    case TR_PQL_RELATIVE: return a->time.which == b->time.which && a->time.unit == b->time.unit;
    case TR_PQL_TIME: return are_times_equal(bound, a, b);
    case TR_PQL_DECL: /* seen through their owners */
    case TR_PQL_ELEMENT: return false;
    }
    return false;
}

static bool are_equal(pairs *bound, const tr_pql_node *a, const tr_pql_node *b)
{
    if (a == NULL || b == NULL)
        return a == b;
    const uint32_t outside = bound->count;
    const bool are = a->kind == b->kind && a->count == b->count && a->name_count == b->name_count &&
                     are_nodes_equal(bound, a, b);
    bound->count = outside;
    return are;
}

bool tr_pql_equal(const tr_pql_node *a, const tr_pql_node *b)
{
    pairs bound = {.count = 0};
    return are_equal(&bound, a, b);
}
