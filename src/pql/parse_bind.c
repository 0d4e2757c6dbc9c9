/* SPDX-License-Identifier: Apache-2.0 */
/* parse_bind.c - what binds variables: select, quantifiers, prefix aggregates, chain. */
#include "pql/parse_internal.h"

static bool is_declaration(const tr_pql_parser *p, uint32_t ahead)
{
    return tr_pql_is_name(p, ahead) && tr_pql_is_word(p, ahead + 1, "from");
}

static tr_code parse_declaration(tr_pql_parser *p, tr_pql_node *owner)
{
    tr_pql_node *decl;
    TR_TRY(tr_pql_make(p, TR_PQL_DECL, tr_pql_peek(p, 0), 2, &decl));
    decl->name = tr_pql_peek(p, 0)->text;
    for (uint32_t i = 0; i < owner->count; i++)
        if (tr_str_equal(owner->items[i]->name, decl->name))
            return tr_pql_refuse(p, "a variable that is not declared yet");
    p->at += 2;
    TR_TRY(tr_pql_parse_add(p, &decl->items[0]));
    TR_TRY(tr_pql_push(p, (tr_pql_scope){.name = decl->name, .is_visible = true}));
    if (tr_pql_take_word(p, "where") || tr_pql_take_symbol(p, ":"))
        TR_TRY(tr_pql_parse_expr(p, &decl->items[1]));
    return tr_pql_add_item(p, owner, decl);
}

/* The variables stay in scope: the caller ends it. */
static tr_code parse_declarations(tr_pql_parser *p, tr_pql_node *owner)
{
    if (!is_declaration(p, 0))
        return tr_pql_refuse(p, "a variable and \"from\"");
    TR_TRY(parse_declaration(p, owner));
    while (tr_pql_is_symbol(p, 0, ",") && is_declaration(p, 1)) {
        p->at++;
        TR_TRY(parse_declaration(p, owner));
    }
    return TR_OK;
}

static tr_code parse_select(tr_pql_parser *p, tr_pql_kind kind, tr_pql_quantifier quantifier,
                            tr_pql_node **out)
{
    const uint32_t before = p->scope_count;
    TR_TRY(tr_pql_make(p, kind, tr_pql_peek(p, 0), 0, out));
    (*out)->quantifier = quantifier;
    p->at++;
    TR_TRY(parse_declarations(p, *out));
    p->scope_count = before;
    return TR_OK;
}

/* ---- sum EXPR over V from E where C */

static tr_pql_fn aggregate_here(const tr_pql_parser *p)
{
    static const tr_pql_fn fns[] = {TR_PQL_SUM, TR_PQL_AVERAGE, TR_PQL_MIN, TR_PQL_MAX};
    static const char *const not_operands[] = {"and",     "or",     "in",    "notIn", "like",
                                               "matches", "occurs", "where", "over",  "from"};
    tr_pql_fn fn = TR_PQL_FN_COUNT;
    const tr_pql_token *next = tr_pql_peek(p, 1);
    for (size_t i = 0; i < sizeof fns / sizeof fns[0]; i++)
        if (tr_pql_is_word(p, 0, tr_pql_functions[fns[i]].name))
            fn = fns[i];
    for (size_t i = 0; i < sizeof not_operands / sizeof not_operands[0]; i++)
        if (tr_pql_is_word(p, 1, not_operands[i]))
            return TR_PQL_FN_COUNT;
    const bool is_operand = next->kind == TR_PQL_TOKEN_WORD || next->kind == TR_PQL_TOKEN_QUOTED ||
                            next->kind == TR_PQL_TOKEN_INTEGER ||
                            next->kind == TR_PQL_TOKEN_NUMBER ||
                            next->kind == TR_PQL_TOKEN_PARAMETER || tr_pql_is_symbol(p, 1, "(") ||
                            tr_pql_is_symbol(p, 1, "^");
    return is_operand ? fn : TR_PQL_FN_COUNT;
}

/* The variables of EXPR are declared behind it: their tokens are read first. */
static tr_code find_over(const tr_pql_parser *p, uint32_t *at)
{
    uint32_t open = 0;
    for (uint32_t i = p->at; i < p->count; i++) {
        const tr_pql_token *token = &p->tokens[i];
        const bool is_symbol = token->kind == TR_PQL_TOKEN_SYMBOL;
        if (is_symbol && (tr_str_is(token->text, "(") || tr_str_is(token->text, "[") ||
                          tr_str_is(token->text, "{")))
            open++;
        if (is_symbol &&
            (tr_str_is(token->text, ")") || tr_str_is(token->text, "]") ||
             tr_str_is(token->text, "}")) &&
            open-- == 0)
            break;
        if (open == 0 && token->kind == TR_PQL_TOKEN_WORD &&
            tr_str_equal_folded(token->text, tr_str_of("over"))) {
            *at = i;
            return TR_OK;
        }
    }
    return tr_pql_refuse(p, "\"EXPRESSION over VARIABLE from ARRAY\"");
}

static tr_code name_lambda(tr_pql_parser *p, const tr_pql_node *select, tr_pql_node *lambda)
{
    lambda->names = tr_arena_array(p->arena, select->count, sizeof *lambda->names);
    if (lambda->names == NULL)
        return TR_FAIL(p->err, TR_NO_MEMORY, "no memory for an expression");
    for (uint32_t i = 0; i < select->count; i++)
        lambda->names[i] = select->items[i]->name;
    lambda->name_count = select->count;
    return TR_OK;
}

static tr_code parse_aggregate(tr_pql_parser *p, tr_pql_fn fn, tr_pql_node **out)
{
    const uint32_t before = p->scope_count;
    const bool is_short = is_declaration(p, 1);
    uint32_t over, end;
    tr_pql_node *select, *lambda;
    TR_TRY(tr_pql_make_apply(p, fn, tr_pql_peek(p, 0), is_short ? 1 : 2, out));
    TR_TRY(tr_pql_make(p, TR_PQL_SELECT, tr_pql_peek(p, 0), 0, &select));
    (*out)->items[0] = select;
    const uint32_t from = ++p->at;
    if (is_short) {
        TR_TRY(parse_declarations(p, select));
        p->scope_count = before;
        return TR_OK;
    }
    TR_TRY(find_over(p, &over));
    p->at = over + 1;
    TR_TRY(parse_declarations(p, select));
    end = p->at;
    p->at = from;
    TR_TRY(tr_pql_make(p, TR_PQL_LAMBDA, tr_pql_peek(p, 0), 1, &lambda));
    TR_TRY(name_lambda(p, select, lambda));
    TR_TRY(tr_pql_parse_add(p, &lambda->items[0]));
    if (p->at != over)
        return tr_pql_refuse(p, "\"over\"");
    (*out)->items[1] = lambda;
    p->at = end;
    p->scope_count = before;
    return TR_OK;
}

/* ---- chain */

/* COUNT(3), COUNT(= 3), COUNT(>= 3), COUNT(> 3) */
static tr_code parse_count(tr_pql_parser *p, tr_pql_node *element)
{
    element->count_comparison = tr_pql_is_symbol(p, 0, "=")   ? TR_PQL_EQ
                                : tr_pql_is_symbol(p, 0, ">") ? TR_PQL_GT
                                                              : TR_PQL_GE;
    p->at +=
        tr_pql_is_symbol(p, 0, "=") || tr_pql_is_symbol(p, 0, ">") || tr_pql_is_symbol(p, 0, ">=");
    if (tr_pql_peek(p, 0)->kind != TR_PQL_TOKEN_INTEGER)
        return tr_pql_refuse(p, "how often the event must have happened");
    element->count_amount = tr_pql_peek(p, 0)->integer;
    p->at++;
    return TR_OK;
}

static tr_code parse_element_part(tr_pql_parser *p, tr_pql_node *element, bool *is_part)
{
    static const char *const words[] = {"WHAT", "WHERE", "WHEN", "COUNT"};
    uint32_t which = 0;
    while (which < 4 && !(tr_pql_is_word(p, 0, words[which]) && tr_pql_is_symbol(p, 1, "(")))
        which++;
    *is_part = which < 4;
    if (!*is_part)
        return TR_OK;
    if (which < 3 && element->items[which] != NULL)
        return tr_pql_refuse(p, "each of WHAT, WHERE, COUNT and WHEN once");
    p->at += 2;
    const bool was_in_when = p->is_in_when;
    p->is_in_when = which == TR_PQL_WHEN;
    if (which == TR_PQL_WHEN)
        TR_TRY(tr_pql_parse_time(p, &element->items[which]));
    else if (which < 3)
        TR_TRY(tr_pql_parse_item(p, &element->items[which]));
    else
        TR_TRY(parse_count(p, element));
    p->is_in_when = was_in_when;
    return tr_pql_expect(p, ")");
}

static tr_code parse_element(tr_pql_parser *p, tr_pql_node *chain)
{
    tr_pql_node *element;
    bool is_part = true;
    TR_TRY(tr_pql_make(p, TR_PQL_ELEMENT, tr_pql_peek(p, 0), TR_PQL_ELEMENT_ITEMS, &element));
    element->count_comparison = TR_PQL_GE;
    element->count_amount = 1;
    if (tr_pql_is_name(p, 0) && tr_pql_is_symbol(p, 1, ":")) {
        element->name = tr_pql_peek(p, 0)->text;
        for (uint32_t i = 2; i < chain->count; i++)
            if (tr_str_equal(chain->items[i]->name, element->name))
                return tr_pql_refuse(p, "a label that is not taken yet");
        p->at += 2;
    }
    if (!tr_pql_is_word(p, 0, "WHAT"))
        return tr_pql_refuse(p, "WHAT(condition)");
    while (is_part)
        TR_TRY(parse_element_part(p, element, &is_part));
    if (element->name.len > 0) /* later WHENs may name it */
        TR_TRY(tr_pql_push(
            p, (tr_pql_scope){.name = element->name, .is_visible = true, .is_label = true}));
    return tr_pql_add_item(p, chain, element);
}

static tr_code parse_chain(tr_pql_parser *p, tr_pql_node **out)
{
    const uint32_t before = p->scope_count;
    tr_pql_node *part;
    TR_TRY(tr_pql_make(p, TR_PQL_CHAIN, tr_pql_peek(p, 0), 0, out));
    p->at += 2;
    TR_TRY(tr_pql_parse_add(p, &part));
    TR_TRY(tr_pql_add_item(p, *out, part));
    TR_TRY(tr_pql_expect(p, ","));
    TR_TRY(tr_pql_parse_item(p, &part));
    TR_TRY(tr_pql_add_item(p, *out, part));
    TR_TRY(tr_pql_expect(p, ","));
    TR_TRY(tr_pql_expect(p, "["));
    do
        TR_TRY(parse_element(p, *out));
    while (tr_pql_take_symbol(p, ","));
    p->scope_count = before;
    TR_TRY(tr_pql_expect(p, "]"));
    return tr_pql_expect(p, ")");
}

tr_code tr_pql_parse_binding(tr_pql_parser *p, bool *is_one, tr_pql_node **out)
{
    static const struct {
        const char *word;
        tr_pql_quantifier quantifier;
    } quantifiers[] = {{"exists", TR_PQL_SOME}, {"some", TR_PQL_SOME}, {"forall", TR_PQL_ALL},
                       {"all", TR_PQL_ALL},     {"none", TR_PQL_NONE}, {"one", TR_PQL_ONE}};
    *is_one = true;
    if (tr_pql_is_word(p, 0, "chain") && tr_pql_is_symbol(p, 1, "("))
        return parse_chain(p, out);
    const tr_pql_fn aggregate = aggregate_here(p);
    if (aggregate != TR_PQL_FN_COUNT)
        return parse_aggregate(p, aggregate, out);
    if (is_declaration(p, 1)) {
        if (tr_pql_is_word(p, 0, "select"))
            return parse_select(p, TR_PQL_SELECT, TR_PQL_SOME, out);
        for (size_t i = 0; i < sizeof quantifiers / sizeof quantifiers[0]; i++)
            if (tr_pql_is_word(p, 0, quantifiers[i].word))
                return parse_select(p, TR_PQL_QUANTIFY, quantifiers[i].quantifier, out);
    }
    *is_one = false;
    return TR_OK;
}
