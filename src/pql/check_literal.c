/* SPDX-License-Identifier: Apache-2.0 */
/* check_literal.c - literals made to fit the operand beside them (reference: PQL, 6.3). */
#include "pql/check_internal.h"

#include "base/clock.h"
#include "pql/times.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool tr_pql_is_literal(const tr_pql_node *node)
{
    if (node->kind == TR_PQL_LITERAL)
        return true;
    if (node->kind != TR_PQL_LIST)
        return false;
    for (uint32_t i = 0; i < node->count; i++)
        if (!tr_pql_is_literal(node->items[i]))
            return false;
    return true;
}

const char *tr_pql_number_text(double number, char *out, size_t size)
{
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(out, size, "%.*g", digits, number);
        const double back = strtod(out, NULL);
        if (!(back < number) && !(back > number))
            break;
    }
    return out;
}

static tr_code misfit(const tr_pql_checker *c, const tr_pql_node *node, const tr_pql_type *type)
{
    char name[80], text[64];
    const tr_pql_literal *literal = &node->literal;
    if (literal->kind == TR_PQL_STRING)
        (void)snprintf(text, sizeof text, "\"%.*s\"",
                       literal->string.len > 40 ? 40 : (int)literal->string.len,
                       (const char *)literal->string.at);
    else if (literal->kind == TR_PQL_BOOLEAN)
        (void)snprintf(text, sizeof text, "%s", literal->boolean ? "true" : "false");
    else if (literal->kind == TR_PQL_INTEGER)
        (void)snprintf(text, sizeof text, "%lld", (long long)literal->integer);
    else
        (void)tr_pql_number_text(literal->number, text, sizeof text);
    return tr_pql_error(c, node, "%s is compared with %s %s, expected a value of that type", text,
                        type->kind == TR_PQL_IS_INTEGER ? "an" : "a",
                        tr_pql_type_text(type, name, sizeof name));
}

static tr_code fit_string(const tr_pql_checker *c, tr_pql_node *node)
{
    char text[40];
    const tr_pql_literal *literal = &node->literal;
    if (literal->kind == TR_PQL_STRING) {
        node->value.string = literal->string;
    } else {
        if (literal->kind == TR_PQL_INTEGER)
            (void)snprintf(text, sizeof text, "%lld", (long long)literal->integer);
        else if (literal->kind == TR_PQL_NUMBER)
            (void)tr_pql_number_text(literal->number, text, sizeof text);
        else
            (void)snprintf(text, sizeof text, "%s", literal->boolean ? "true" : "false");
        node->value.string = tr_arena_copy(c->arena, tr_str_of(text));
        if (node->value.string.at == NULL)
            return tr_pql_no_memory(c);
    }
    node->value.kind = TR_PQL_STRING;
    node->type = TR_PQL_PLAIN(STRING);
    return TR_OK;
}

static bool is_decimal(tr_str s)
{
    size_t digits = 0;
    for (size_t i = 0; i < s.len; i++) {
        digits += s.at[i] >= '0' && s.at[i] <= '9';
        if ((s.at[i] < '0' || s.at[i] > '9') && memchr("+-.eE", s.at[i], 5) == NULL)
            return false;
    }
    return digits > 0 && s.len < 64;
}

static tr_code fit_number(const tr_pql_checker *c, tr_pql_node *node, const tr_pql_type *type)
{
    char digits[64], *end;
    const tr_pql_literal *literal = &node->literal;
    if (literal->kind == TR_PQL_INTEGER || literal->kind == TR_PQL_NUMBER) {
        node->value = *literal;
    } else if (literal->kind == TR_PQL_STRING &&
               tr_str_to_i64(literal->string, &node->value.integer)) {
        node->value.kind = TR_PQL_INTEGER;
    } else if (literal->kind == TR_PQL_STRING && is_decimal(literal->string)) {
        (void)snprintf(digits, sizeof digits, "%.*s", TR_STR_ARG(literal->string));
        node->value.kind = TR_PQL_NUMBER;
        node->value.number = strtod(digits, &end);
        if (*end != '\0' || !isfinite(node->value.number))
            return misfit(c, node, type);
    } else {
        return misfit(c, node, type);
    }
    node->type = node->value.kind == TR_PQL_INTEGER ? TR_PQL_PLAIN(INTEGER) : TR_PQL_PLAIN(NUMBER);
    return TR_OK;
}

static tr_code fit_boolean(const tr_pql_checker *c, tr_pql_node *node)
{
    const tr_pql_literal *literal = &node->literal;
    node->value = *literal;
    if (literal->kind == TR_PQL_STRING) {
        node->value.kind = TR_PQL_BOOLEAN;
        node->value.boolean = tr_str_is(literal->string, "true");
        if (!node->value.boolean && !tr_str_is(literal->string, "false"))
            return misfit(c, node, TR_PQL_PLAIN(BOOLEAN));
    } else if (literal->kind != TR_PQL_BOOLEAN) {
        /* A number is never equal to a boolean; that is an answer and no error (row 11). */
        return TR_OK;
    }
    node->type = TR_PQL_PLAIN(BOOLEAN);
    return TR_OK;
}

static tr_code fit_instant(const tr_pql_checker *c, tr_pql_node *node)
{
    int64_t us;
    const tr_pql_literal *literal = &node->literal;
    if (literal->kind == TR_PQL_INTEGER) {
        node->value.integer = literal->integer;
        if (literal->integer > TR_PQL_INSTANT_MAX || literal->integer < -TR_PQL_INSTANT_MAX)
            return tr_pql_error(c, node, "%lld milliseconds are no instant of this calendar",
                                (long long)literal->integer);
    } else if (literal->kind == TR_PQL_STRING) {
        if (tr_time_parse(literal->string, false, &us, NULL) != TR_OK)
            return tr_pql_error(c, node,
                                "\"%.*s\" is no instant, expected YYYY-MM-DDThh:mm:ssZ or "
                                "YYYY-MM-DD",
                                literal->string.len > 40 ? 40 : (int)literal->string.len,
                                (const char *)literal->string.at);
        node->value.integer = tr_pql_us_to_ms(us);
    } else {
        return misfit(c, node, TR_PQL_PLAIN(TIMESTAMP));
    }
    node->value.kind = TR_PQL_INTEGER;
    node->type = TR_PQL_PLAIN(TIMESTAMP);
    return TR_OK;
}

static tr_code fit_list(const tr_pql_checker *c, tr_pql_node *list, const tr_pql_type *type)
{
    const tr_pql_type *item = TR_PQL_PLAIN(NULL_TYPE);
    for (uint32_t i = 0; i < list->count; i++) {
        TR_TRY(tr_pql_fit(c, list->items[i], type));
        const tr_pql_type *both = tr_pql_unite_types(item, list->items[i]->type, c->arena);
        if (both == NULL)
            return tr_pql_mismatch(c, list, list->items[i], "items of one type");
        item = both;
    }
    list->type = tr_pql_array_of(item, c->arena);
    return list->type == NULL ? tr_pql_no_memory(c) : TR_OK;
}

tr_code tr_pql_fit(const tr_pql_checker *c, tr_pql_node *node, const tr_pql_type *type)
{
    if (tr_pql_is_open(type))
        return TR_OK;
    if (node->kind == TR_PQL_LIST)
        return fit_list(c, node, type);
    if (node->kind != TR_PQL_LITERAL || node->literal.kind == TR_PQL_NULL)
        return TR_OK;
    if (type->kind == TR_PQL_IS_STRING)
        return fit_string(c, node);
    if (tr_pql_is_numeric(type))
        return node->literal.kind == TR_PQL_BOOLEAN ? TR_OK : fit_number(c, node, type);
    if (type->kind == TR_PQL_IS_BOOLEAN)
        return fit_boolean(c, node);
    return tr_pql_is_time(type) ? fit_instant(c, node) : TR_OK;
}

tr_code tr_pql_fit_both(const tr_pql_checker *c, tr_pql_node *left, tr_pql_node *right)
{
    const bool is_left = tr_pql_is_literal(left), is_right = tr_pql_is_literal(right);
    if (is_right || (right->kind == TR_PQL_LIST && !is_left))
        return tr_pql_fit(c, right, tr_pql_scalar_of(left->type));
    if (is_left || left->kind == TR_PQL_LIST)
        return tr_pql_fit(c, left, tr_pql_scalar_of(right->type));
    return TR_OK;
}
