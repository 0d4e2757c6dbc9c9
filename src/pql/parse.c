/* SPDX-License-Identifier: Apache-2.0 */
/* parse.c - operators and postfixes, by recursive descent; the grammar is the reference's section
 * 13. */
#include "pql/parse_internal.h"
#include "pql/pql.h"

#include <stdio.h>
#include <strings.h>

const tr_pql_token *tr_pql_peek(const tr_pql_parser *p, uint32_t ahead)
{
    const uint32_t at = p->at + ahead;
    return &p->tokens[at < p->count ? at : p->count - 1];
}

bool tr_pql_is_symbol(const tr_pql_parser *p, uint32_t ahead, const char *symbol)
{
    const tr_pql_token *token = tr_pql_peek(p, ahead);
    return token->kind == TR_PQL_TOKEN_SYMBOL && tr_str_is(token->text, symbol);
}

bool tr_pql_is_word(const tr_pql_parser *p, uint32_t ahead, const char *word)
{
    const tr_pql_token *token = tr_pql_peek(p, ahead);
    return token->kind == TR_PQL_TOKEN_WORD && tr_str_equal_folded(token->text, tr_str_of(word));
}

bool tr_pql_is_name(const tr_pql_parser *p, uint32_t ahead)
{
    const tr_pql_token_kind kind = tr_pql_peek(p, ahead)->kind;
    return kind == TR_PQL_TOKEN_WORD || kind == TR_PQL_TOKEN_QUOTED;
}

bool tr_pql_take_symbol(tr_pql_parser *p, const char *symbol)
{
    const bool is_it = tr_pql_is_symbol(p, 0, symbol);
    p->at += is_it;
    return is_it;
}

bool tr_pql_take_word(tr_pql_parser *p, const char *word)
{
    const bool is_it = tr_pql_is_word(p, 0, word);
    p->at += is_it;
    return is_it;
}

tr_code tr_pql_refuse(const tr_pql_parser *p, const char *expected)
{
    const tr_pql_token *token = tr_pql_peek(p, 0);
    const int shown = token->source.len > 40 ? 40 : (int)token->source.len;
    if (token->kind == TR_PQL_TOKEN_END)
        return TR_FAIL(p->err, TR_INVALID,
                       "line %u, column %u: the expression ends here, expected %s", token->line,
                       token->column, expected);
    return TR_FAIL(p->err, TR_INVALID, "line %u, column %u: found \"%.*s\", expected %s",
                   token->line, token->column, shown, (const char *)token->source.at, expected);
}

tr_code tr_pql_expect(tr_pql_parser *p, const char *symbol)
{
    char expected[8];
    if (tr_pql_take_symbol(p, symbol))
        return TR_OK;
    (void)snprintf(expected, sizeof expected, "\"%s\"", symbol);
    return tr_pql_refuse(p, expected);
}

tr_code tr_pql_expect_word(tr_pql_parser *p, const char *word)
{
    return tr_pql_take_word(p, word) ? TR_OK : tr_pql_refuse(p, word);
}

tr_code tr_pql_make(tr_pql_parser *p, tr_pql_kind kind, const tr_pql_token *where, uint32_t count,
                    tr_pql_node **out)
{
    if (++p->node_count > TR_PQL_NODES_MAX)
        return TR_FAIL(p->err, TR_LIMIT,
                       "line %u, column %u: the expression has more than %d parts", where->line,
                       where->column, TR_PQL_NODES_MAX);
    tr_pql_node *node = tr_arena_array(p->arena, 1, sizeof *node);
    if (node == NULL)
        return TR_FAIL(p->err, TR_NO_MEMORY, "no memory for an expression");
    *node =
        (tr_pql_node){.kind = kind, .line = where->line, .column = where->column, .count = count};
    if (count > 0)
        node->items = tr_arena_array(p->arena, count, sizeof(tr_pql_node *));
    if (count > 0 && node->items == NULL)
        return TR_FAIL(p->err, TR_NO_MEMORY, "no memory for an expression");
    *out = node;
    return TR_OK;
}

tr_code tr_pql_make_apply(tr_pql_parser *p, tr_pql_fn fn, const tr_pql_token *where, uint32_t count,
                          tr_pql_node **out)
{
    TR_TRY(tr_pql_make(p, TR_PQL_APPLY, where, count, out));
    (*out)->fn = fn;
    return TR_OK;
}

tr_code tr_pql_add_item(tr_pql_parser *p, tr_pql_node *node, tr_pql_node *item)
{
    if ((node->count & (node->count - 1)) == 0) { /* room grows at 0, 1, 2, 4, 8, ... items */
        const uint32_t cap = node->count == 0 ? 1 : node->count * 2;
        tr_pql_node **items = tr_arena_array(p->arena, cap, sizeof(tr_pql_node *));
        if (items == NULL)
            return TR_FAIL(p->err, TR_NO_MEMORY, "no memory for an expression");
        if (node->count > 0)
            memcpy(items, node->items, node->count * sizeof(tr_pql_node *));
        node->items = items;
    }
    node->items[node->count++] = item;
    return TR_OK;
}

/* JSON knows no other variables; only a quoted name can be one. */
static bool is_plain(tr_str name)
{
    for (size_t i = 0; i < name.len; i++) {
        const uint8_t c = name.at[i];
        if (c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z'))
            return false;
    }
    return true;
}

tr_code tr_pql_push(tr_pql_parser *p, tr_pql_scope scope)
{
    const tr_pql_token *here = tr_pql_peek(p, 0);
    if (scope.is_visible && !is_plain(scope.name))
        return TR_FAIL(p->err, TR_INVALID,
                       "line %u, column %u: the variable \"%.*s\" has a name with other "
                       "characters than letters, digits and \"_\"",
                       here->line, here->column, scope.name.len > 40 ? 40 : (int)scope.name.len,
                       (const char *)scope.name.at);
    if (p->scope_count == sizeof p->scopes / sizeof p->scopes[0])
        return TR_FAIL(p->err, TR_LIMIT, "the expression has too many variables in one place");
    p->scopes[p->scope_count++] = scope;
    return TR_OK;
}

tr_code tr_pql_push_item(tr_pql_parser *p, tr_str *name)
{
    char text[24];
    (void)snprintf(text, sizeof text, "x%u", ++p->made);
    *name = tr_arena_copy(p->arena, tr_str_of(text));
    if (name->at == NULL)
        return TR_FAIL(p->err, TR_NO_MEMORY, "no memory for an expression");
    return tr_pql_push(p, (tr_pql_scope){.name = *name, .is_item = true});
}

/* ---- operators, loosest first */

static tr_code parse_let(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *let;
    TR_TRY(tr_pql_make(p, TR_PQL_LET, tr_pql_peek(p, 0), 2, &let));
    let->name = tr_pql_peek(p, 1)->text;
    p->at += 3;
    TR_TRY(tr_pql_parse_add(p, &let->items[0]));
    TR_TRY(tr_pql_expect_word(p, "in"));
    TR_TRY(tr_pql_push(p, (tr_pql_scope){.name = let->name, .is_visible = true}));
    TR_TRY(tr_pql_parse_expr(p, &let->items[1]));
    p->scope_count--;
    *out = let;
    return TR_OK;
}

static tr_code parse_not(tr_pql_parser *p, tr_pql_node **out);

static tr_code parse_and(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *left, *next;
    TR_TRY(parse_not(p, &left));
    if (tr_pql_is_word(p, 0, "and")) {
        tr_pql_node *all;
        TR_TRY(tr_pql_make_apply(p, TR_PQL_AND, tr_pql_peek(p, 0), 0, &all));
        TR_TRY(tr_pql_add_item(p, all, left));
        while (tr_pql_take_word(p, "and")) {
            TR_TRY(parse_not(p, &next));
            TR_TRY(tr_pql_add_item(p, all, next));
        }
        left = all;
    }
    *out = left;
    return TR_OK;
}

static tr_code parse_or(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *left, *next;
    TR_TRY(parse_and(p, &left));
    if (tr_pql_is_word(p, 0, "or")) {
        tr_pql_node *any;
        TR_TRY(tr_pql_make_apply(p, TR_PQL_OR, tr_pql_peek(p, 0), 0, &any));
        TR_TRY(tr_pql_add_item(p, any, left));
        while (tr_pql_take_word(p, "or")) {
            TR_TRY(parse_and(p, &next));
            TR_TRY(tr_pql_add_item(p, any, next));
        }
        left = any;
    }
    *out = left;
    return TR_OK;
}

static tr_code enter(tr_pql_parser *p)
{
    const tr_pql_token *here = tr_pql_peek(p, 0);
    if (++p->depth > TR_PQL_DEPTH_MAX)
        return TR_FAIL(p->err, TR_LIMIT,
                       "line %u, column %u: the expression is nested more than %d levels deep",
                       here->line, here->column, TR_PQL_DEPTH_MAX);
    return TR_OK;
}

tr_code tr_pql_parse_expr(tr_pql_parser *p, tr_pql_node **out)
{
    TR_TRY(enter(p));
    const bool is_let =
        tr_pql_is_word(p, 0, "let") && tr_pql_is_name(p, 1) && tr_pql_is_symbol(p, 2, "=");
    TR_TRY(is_let ? parse_let(p, out) : parse_or(p, out));
    p->depth--;
    return TR_OK;
}

/* The operator of level 5 here, or TR_PQL_FN_COUNT. */
static tr_pql_fn predicate_here(const tr_pql_parser *p)
{
    static const struct {
        const char *text;
        tr_pql_fn fn;
    } words[] = {{"in", TR_PQL_IN},
                 {"notIn", TR_PQL_NOT_IN},
                 {"like", TR_PQL_LIKE},
                 {"matches", TR_PQL_MATCHES},
                 {"occurs", TR_PQL_OCCURS}};
    const tr_pql_token *token = tr_pql_peek(p, 0);
    if (token->kind == TR_PQL_TOKEN_SYMBOL) {
        const tr_pql_fn fn = tr_pql_find_function(token->text, TR_PQL_INFIX);
        return fn >= TR_PQL_EQ && fn <= TR_PQL_GE ? fn : TR_PQL_FN_COUNT;
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (tr_pql_is_word(p, 0, words[i].text))
            return words[i].fn;
    return TR_PQL_FN_COUNT;
}

static tr_code parse_predicate(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *left, *test;
    TR_TRY(tr_pql_parse_add(p, &left));
    const tr_pql_fn fn = predicate_here(p);
    if (fn == TR_PQL_FN_COUNT) {
        *out = left;
        return TR_OK;
    }
    TR_TRY(tr_pql_make_apply(p, fn, tr_pql_peek(p, 0), 2, &test));
    p->at++;
    test->items[0] = left;
    TR_TRY(fn == TR_PQL_OCCURS ? tr_pql_parse_time(p, &test->items[1])
                               : tr_pql_parse_add(p, &test->items[1]));
    if (predicate_here(p) != TR_PQL_FN_COUNT)
        return tr_pql_refuse(
            p, "the end of the comparison: comparisons do not chain, join them with \"and\"");
    *out = test;
    return TR_OK;
}

static tr_code parse_not(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node * not ;
    if (!tr_pql_is_word(p, 0, "not") && !tr_pql_is_symbol(p, 0, "!"))
        return parse_predicate(p, out);
    TR_TRY(enter(p));
    TR_TRY(tr_pql_make_apply(p, TR_PQL_NOT, tr_pql_peek(p, 0), 1, &not ));
    p->at++;
    TR_TRY(parse_not(p, &not ->items[0]));
    p->depth--;
    *out = not ;
    return TR_OK;
}

/* -5 is one literal. */
static bool fold_sign(tr_pql_node *node)
{
    if (node->kind != TR_PQL_LITERAL)
        return false;
    if (node->literal.kind == TR_PQL_INTEGER)
        node->literal.integer = -node->literal.integer;
    else if (node->literal.kind == TR_PQL_NUMBER)
        node->literal.number = -node->literal.number;
    else
        return false;
    return true;
}

static tr_code parse_argument(tr_pql_parser *p, tr_pql_fn fn, uint32_t index, tr_pql_node **out)
{
    if (tr_pql_functions[fn].item == index && index > 0)
        return tr_pql_parse_item(p, out);
    return tr_pql_is_lambda(p) ? tr_pql_parse_lambda(p, false, out) : tr_pql_parse_expr(p, out);
}

/* (a, b) into the node; `index` of the first argument. */
static tr_code parse_arguments(tr_pql_parser *p, tr_pql_node *node, uint32_t index)
{
    const tr_pql_function *function = &tr_pql_functions[node->fn];
    const tr_pql_token *where = tr_pql_peek(p, 0);
    tr_pql_node *item;
    TR_TRY(tr_pql_expect(p, "("));
    if (!tr_pql_take_symbol(p, ")")) {
        do {
            TR_TRY(parse_argument(p, node->fn, index++, &item));
            TR_TRY(tr_pql_add_item(p, node, item));
        } while (tr_pql_take_symbol(p, ","));
        TR_TRY(tr_pql_expect(p, ")"));
    }
    const uint32_t own = function->form == TR_PQL_METHOD;
    if (node->count < function->least || node->count > function->most)
        return TR_FAIL(p->err, TR_INVALID, "line %u, column %u: %s takes %u%s%s argument%s, not %u",
                       where->line, where->column, function->name, function->least - own,
                       function->most > function->least ? " or " : "",
                       function->most == function->least ? ""
                       : function->most - own == 1       ? "1"
                                                         : "2",
                       function->most - own == 1 ? "" : "s", node->count - own);
    return TR_OK;
}

static tr_code parse_call(tr_pql_parser *p, tr_pql_node *receiver, tr_pql_node **out)
{
    const tr_pql_token *name = tr_pql_peek(p, 0);
    const tr_pql_fn fn = tr_pql_find_function(name->text, TR_PQL_METHOD);
    if (fn == TR_PQL_FN_COUNT)
        return tr_pql_refuse(p, "a known function: this one does not exist");
    TR_TRY(tr_pql_make_apply(p, fn, name, 0, out));
    TR_TRY(tr_pql_add_item(p, *out, receiver));
    p->at++;
    return parse_arguments(p, *out, 1);
}

static tr_code parse_filter(tr_pql_parser *p, tr_pql_node *array, tr_pql_node **out)
{
    const tr_pql_token_kind kind = tr_pql_peek(p, 1)->kind;
    if ((kind == TR_PQL_TOKEN_INTEGER || kind == TR_PQL_TOKEN_NUMBER) &&
        tr_pql_is_symbol(p, 2, "]")) {
        p->at++;
        return tr_pql_refuse(p, "a condition: brackets filter, they do not count; use head()");
    }
    TR_TRY(tr_pql_make_apply(p, TR_PQL_FILTER, tr_pql_peek(p, 0), 2, out));
    p->at++;
    (*out)->items[0] = array;
    TR_TRY(tr_pql_parse_item(p, &(*out)->items[1]));
    return tr_pql_expect(p, "]");
}

static tr_code parse_postfix(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *node, *inner;
    uint32_t steps = 0;
    TR_TRY(tr_pql_parse_primary(p, &node));
    for (;; node = inner, steps++) {
        if (steps > TR_PQL_DEPTH_MAX)
            return TR_FAIL(p->err, TR_LIMIT, "line %u, column %u: more than %d steps in a path",
                           node->line, node->column, TR_PQL_DEPTH_MAX);
        if (tr_pql_is_symbol(p, 0, "[")) {
            TR_TRY(parse_filter(p, node, &inner));
            continue;
        }
        if (!tr_pql_take_symbol(p, "."))
            break;
        if (!tr_pql_is_name(p, 0))
            return tr_pql_refuse(p, "the name of a field or function");
        if (tr_pql_is_symbol(p, 1, "(") && tr_pql_peek(p, 0)->kind == TR_PQL_TOKEN_WORD) {
            TR_TRY(parse_call(p, node, &inner));
            continue;
        }
        TR_TRY(tr_pql_make(p, TR_PQL_FIELD, tr_pql_peek(p, 0), 1, &inner));
        inner->name = tr_pql_peek(p, 0)->text;
        inner->items[0] = node;
        p->at++;
    }
    *out = node;
    return TR_OK;
}

static tr_code parse_unary(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *minus;
    const tr_pql_token *where = tr_pql_peek(p, 0);
    if (!tr_pql_take_symbol(p, "-"))
        return parse_postfix(p, out);
    const bool is_literal = tr_pql_peek(p, 0)->kind == TR_PQL_TOKEN_INTEGER ||
                            tr_pql_peek(p, 0)->kind == TR_PQL_TOKEN_NUMBER;
    TR_TRY(enter(p));
    TR_TRY(parse_unary(p, out));
    p->depth--;
    if (is_literal && fold_sign(*out))
        return TR_OK;
    TR_TRY(tr_pql_make_apply(p, TR_PQL_SUB, where, 1, &minus));
    minus->items[0] = *out;
    *out = minus;
    return TR_OK;
}

/* Operators of one level, left to right. */
static tr_code parse_level(tr_pql_parser *p, const char *const *symbols,
                           tr_code (*inner)(tr_pql_parser *p, tr_pql_node **out), tr_pql_node **out)
{
    tr_pql_node *left, *both;
    uint32_t steps = 0;
    TR_TRY(inner(p, &left));
    for (;;) {
        const tr_pql_token *here = tr_pql_peek(p, 0);
        uint32_t i = 0;
        while (symbols[i] != NULL && !tr_pql_is_symbol(p, 0, symbols[i]))
            i++;
        if (symbols[i] == NULL)
            break;
        if (++steps > TR_PQL_DEPTH_MAX)
            return TR_FAIL(p->err, TR_LIMIT, "line %u, column %u: more than %d terms in a row",
                           here->line, here->column, TR_PQL_DEPTH_MAX);
        TR_TRY(
            tr_pql_make_apply(p, tr_pql_find_function(here->text, TR_PQL_INFIX), here, 2, &both));
        p->at++;
        both->items[0] = left;
        TR_TRY(inner(p, &both->items[1]));
        left = both;
    }
    *out = left;
    return TR_OK;
}

static tr_code parse_mul(tr_pql_parser *p, tr_pql_node **out)
{
    static const char *const symbols[] = {"*", "/", "%", NULL};
    return parse_level(p, symbols, parse_unary, out);
}

tr_code tr_pql_parse_add(tr_pql_parser *p, tr_pql_node **out)
{
    static const char *const symbols[] = {"+", "-", NULL};
    return parse_level(p, symbols, parse_mul, out);
}

/* Made names count on from the largest x1, x2, ... that the text uses itself. */
static void reserve_names(tr_pql_parser *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        int64_t number;
        const tr_str text = p->tokens[i].text;
        if (tr_pql_is_name(p, i) && text.at[0] == 'x' &&
            tr_str_to_i64(tr_str_from(text, 1), &number) && number > p->made && number < 1000000000)
            p->made = (uint32_t)number;
    }
}

static tr_code parse_query(tr_pql_parser *p, tr_pql_node **out)
{
    if (tr_pql_peek(p, 0)->kind == TR_PQL_TOKEN_END)
        return tr_pql_refuse(p, "an expression");
    TR_TRY(tr_pql_is_lambda(p) ? tr_pql_parse_lambda(p, false, out) : tr_pql_parse_expr(p, out));
    if (tr_pql_peek(p, 0)->kind != TR_PQL_TOKEN_END)
        return tr_pql_refuse(p, "an operator or the end");
    return TR_OK;
}

tr_code tr_pql_parse(tr_str text, tr_arena *arena, tr_pql_node **out, tr_err *err)
{
    tr_pql_token *tokens;
    tr_pql_node *root;
    tr_pql_parser *p = tr_arena_array(arena, 1, sizeof *p);
    if (p == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for an expression");
    p->arena = arena;
    p->err = err;
    TR_TRY(tr_pql_lex(text, arena, &tokens, &p->count, err));
    p->tokens = tokens;
    reserve_names(p);
    TR_TRY(parse_query(p, &root));
    if (tr_pql_depth(root) > TR_PQL_DEPTH_MAX)
        return TR_FAIL(err, TR_LIMIT, "the expression is nested more than %d levels deep",
                       TR_PQL_DEPTH_MAX);
    *out = root;
    return TR_OK;
}
