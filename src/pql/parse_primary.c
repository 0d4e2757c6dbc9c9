/* SPDX-License-Identifier: Apache-2.0 */
/* parse_primary.c - operands: literals, names in their scopes, calls, lambdas, times. */
#include "pql/parse_internal.h"

static tr_code parse_literal(tr_pql_parser *p, tr_pql_node **out)
{
    const tr_pql_token *token = tr_pql_peek(p, 0);
    tr_pql_literal literal = {.kind = TR_PQL_NULL};
    switch (token->kind) {
    case TR_PQL_TOKEN_STRING:
        literal = (tr_pql_literal){.kind = TR_PQL_STRING, .string = token->text};
        break;
    case TR_PQL_TOKEN_INTEGER:
        literal = (tr_pql_literal){.kind = TR_PQL_INTEGER, .integer = token->integer};
        break;
    case TR_PQL_TOKEN_NUMBER:
        literal = (tr_pql_literal){.kind = TR_PQL_NUMBER, .number = token->number};
        break;
    case TR_PQL_TOKEN_WORD:
        if (!tr_pql_is_word(p, 0, "null"))
            literal =
                (tr_pql_literal){.kind = TR_PQL_BOOLEAN, .boolean = tr_pql_is_word(p, 0, "true")};
        break;
    case TR_PQL_TOKEN_END:
    case TR_PQL_TOKEN_QUOTED:
    case TR_PQL_TOKEN_PARAMETER:
    case TR_PQL_TOKEN_SYMBOL: return tr_pql_refuse(p, "a literal");
    }
    TR_TRY(tr_pql_make(p, TR_PQL_LITERAL, token, 0, out));
    (*out)->literal = literal;
    p->at++;
    return TR_OK;
}

static tr_code parse_list(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *item;
    TR_TRY(tr_pql_make(p, TR_PQL_LIST, tr_pql_peek(p, 0), 0, out));
    p->at++;
    if (tr_pql_take_symbol(p, "]"))
        return TR_OK;
    do {
        TR_TRY(tr_pql_parse_expr(p, &item));
        TR_TRY(tr_pql_add_item(p, *out, item));
    } while (tr_pql_take_symbol(p, ","));
    return tr_pql_expect(p, "]");
}

static tr_code parse_object(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *item;
    uint32_t cap = 0;
    TR_TRY(tr_pql_make(p, TR_PQL_OBJECT, tr_pql_peek(p, 0), 0, out));
    tr_pql_node *object = *out;
    p->at++;
    do {
        const tr_pql_token *key = tr_pql_peek(p, 0);
        if (!tr_pql_is_name(p, 0) && key->kind != TR_PQL_TOKEN_STRING)
            return tr_pql_refuse(p, "the name of a field");
        p->at++;
        TR_TRY(tr_pql_expect(p, ":"));
        TR_TRY(tr_pql_parse_expr(p, &item));
        if (object->count == cap) {
            tr_str *names = tr_arena_array(p->arena, (size_t)cap * 2 + 4, sizeof *names);
            if (names == NULL)
                return TR_FAIL(p->err, TR_NO_MEMORY, "no memory for an expression");
            if (cap > 0)
                memcpy(names, object->names, cap * sizeof *names);
            object->names = names;
            cap = cap * 2 + 4;
        }
        object->names[object->count] = key->text;
        TR_TRY(tr_pql_add_item(p, object, item));
        object->name_count = object->count;
    } while (tr_pql_take_symbol(p, ","));
    return tr_pql_expect(p, "}");
}

/* ---- names */

static tr_code make_profile(tr_pql_parser *p, const tr_pql_token *where, tr_pql_node **out)
{
    TR_TRY(tr_pql_make(p, TR_PQL_PARAMETER, where, 0, out));
    (*out)->position = 1;
    return TR_OK;
}

static tr_code make_variable(tr_pql_parser *p, const tr_pql_token *where, tr_str name,
                             tr_pql_node **out)
{
    TR_TRY(tr_pql_make(p, TR_PQL_VARIABLE, where, 0, out));
    (*out)->name = name;
    return TR_OK;
}

/* The item `up` levels out; the profile stands behind the last. */
static tr_code make_item(tr_pql_parser *p, const tr_pql_token *where, uint32_t up,
                         tr_pql_node **out)
{
    for (uint32_t i = p->scope_count; i-- > 0;)
        if (p->scopes[i].is_item && up-- == 0)
            return make_variable(p, where, p->scopes[i].name, out);
    if (up > 0)
        return TR_FAIL(p->err, TR_INVALID,
                       "line %u, column %u: more \"^\" than there are enclosing items", where->line,
                       where->column);
    return make_profile(p, where, out);
}

static tr_code make_field(tr_pql_parser *p, const tr_pql_token *name, tr_pql_node *of,
                          tr_pql_node **out)
{
    TR_TRY(tr_pql_make(p, TR_PQL_FIELD, name, 1, out));
    (*out)->name = name->text;
    (*out)->items[0] = of;
    return TR_OK;
}

/* A bare first step: a variable, the events, or a field of the innermost item. */
static tr_code parse_name(tr_pql_parser *p, tr_pql_node **out)
{
    const tr_pql_token *name = tr_pql_peek(p, 0);
    tr_pql_node *of;
    p->at++;
    for (uint32_t i = p->scope_count; i-- > 0;)
        if (p->scopes[i].is_visible && (p->is_in_when || !p->scopes[i].is_label) &&
            tr_str_equal(p->scopes[i].name, name->text))
            return make_variable(p, name, p->scopes[i].name, out);
    if (tr_str_is(name->text, "xEvent"))
        TR_TRY(make_profile(p, name, &of));
    else
        TR_TRY(make_item(p, name, 0, &of));
    return make_field(p, name, of, out);
}

static tr_code parse_up(tr_pql_parser *p, tr_pql_node **out)
{
    const tr_pql_token *where = tr_pql_peek(p, 0);
    tr_pql_node *of;
    uint32_t up = 0;
    while (tr_pql_take_symbol(p, "^"))
        up++;
    TR_TRY(make_item(p, where, up, &of));
    (void)tr_pql_take_symbol(p, ".");
    if (!tr_pql_is_name(p, 0))
        return tr_pql_refuse(p, "the name of a field");
    const tr_pql_token *name = tr_pql_peek(p, 0);
    p->at++;
    return make_field(p, name, of, out);
}

static tr_code parse_parameter(tr_pql_parser *p, tr_pql_node **out)
{
    const tr_pql_token *token = tr_pql_peek(p, 0);
    if (token->integer != 1)
        return tr_pql_refuse(p, "$1: a segment has one parameter, the profile");
    p->at++;
    return make_profile(p, token, out);
}

/* ---- lambdas */

bool tr_pql_is_lambda(const tr_pql_parser *p)
{
    uint32_t at = 1;
    if (tr_pql_is_name(p, 0) && tr_pql_is_symbol(p, 1, "=>"))
        return true;
    if (!tr_pql_is_symbol(p, 0, "("))
        return false;
    while (tr_pql_is_name(p, at)) {
        at++;
        if (tr_pql_is_symbol(p, at, ")"))
            return tr_pql_is_symbol(p, at + 1, "=>");
        if (!tr_pql_is_symbol(p, at, ","))
            return false;
        at++;
    }
    return false;
}

enum { LAMBDA_NAMES_MAX = 16 };

static tr_code parse_lambda_names(tr_pql_parser *p, tr_pql_node *lambda)
{
    const bool is_closed = tr_pql_take_symbol(p, "(");
    lambda->names = tr_arena_array(p->arena, LAMBDA_NAMES_MAX, sizeof *lambda->names);
    if (lambda->names == NULL)
        return TR_FAIL(p->err, TR_NO_MEMORY, "no memory for an expression");
    do {
        const tr_str name = tr_pql_peek(p, 0)->text;
        for (uint32_t i = 0; i < lambda->name_count; i++)
            if (tr_str_equal(lambda->names[i], name))
                return tr_pql_refuse(p, "a name that this lambda does not have yet");
        if (lambda->name_count == LAMBDA_NAMES_MAX)
            return tr_pql_refuse(p, "fewer variables");
        lambda->names[lambda->name_count++] = name;
        p->at++;
    } while (is_closed && tr_pql_take_symbol(p, ","));
    return is_closed ? tr_pql_expect(p, ")") : TR_OK;
}

tr_code tr_pql_parse_lambda(tr_pql_parser *p, bool opens_item, tr_pql_node **out)
{
    const uint32_t before = p->scope_count;
    tr_pql_node *lambda;
    TR_TRY(tr_pql_make(p, TR_PQL_LAMBDA, tr_pql_peek(p, 0), 1, &lambda));
    TR_TRY(parse_lambda_names(p, lambda));
    TR_TRY(tr_pql_expect(p, "=>"));
    for (uint32_t i = 0; i < lambda->name_count; i++)
        TR_TRY(tr_pql_push(p, (tr_pql_scope){.name = lambda->names[i],
                                             .is_visible = true,
                                             .is_item = opens_item && lambda->name_count == 1}));
    TR_TRY(tr_pql_parse_expr(p, &lambda->items[0]));
    p->scope_count = before;
    *out = lambda;
    return TR_OK;
}

tr_code tr_pql_parse_item(tr_pql_parser *p, tr_pql_node **out)
{
    tr_pql_node *lambda;
    if (tr_pql_is_lambda(p))
        return tr_pql_parse_lambda(p, true, out);
    const uint32_t before = p->scope_count;
    TR_TRY(tr_pql_make(p, TR_PQL_LAMBDA, tr_pql_peek(p, 0), 1, &lambda));
    lambda->names = tr_arena_array(p->arena, 1, sizeof *lambda->names);
    if (lambda->names == NULL)
        return TR_FAIL(p->err, TR_NO_MEMORY, "no memory for an expression");
    lambda->name_count = 1;
    lambda->is_implicit = true;
    TR_TRY(tr_pql_push_item(p, &lambda->names[0]));
    TR_TRY(tr_pql_parse_expr(p, &lambda->items[0]));
    p->scope_count = before;
    *out = lambda;
    return TR_OK;
}

/* ---- calls such as date(2024, 1, 1) */

static tr_code parse_plain_call(tr_pql_parser *p, tr_pql_fn fn, tr_pql_node **out)
{
    const tr_pql_token *name = tr_pql_peek(p, 0);
    const tr_pql_function *function = &tr_pql_functions[fn];
    tr_pql_node *item;
    TR_TRY(tr_pql_make_apply(p, fn, name, 0, out));
    p->at++;
    TR_TRY(tr_pql_expect(p, "("));
    while (!tr_pql_is_symbol(p, 0, ")")) {
        if ((*out)->count > 0)
            TR_TRY(tr_pql_expect(p, ","));
        TR_TRY(tr_pql_parse_expr(p, &item));
        TR_TRY(tr_pql_add_item(p, *out, item));
    }
    p->at++;
    if ((*out)->count < function->least || (*out)->count > function->most)
        return TR_FAIL(p->err, TR_INVALID, "line %u, column %u: %s takes %u argument%s, not %u",
                       name->line, name->column, function->name, function->least,
                       function->least == 1 ? "" : "s", (*out)->count);
    return TR_OK;
}

static tr_code parse_parenthesis(tr_pql_parser *p, tr_pql_node **out)
{
    p->at++;
    TR_TRY(tr_pql_parse_expr(p, out));
    return tr_pql_expect(p, ")");
}

static bool is_operator_word(const tr_pql_parser *p)
{
    static const char *const words[] = {"and", "or", "in", "notIn", "like", "matches", "occurs"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (tr_pql_is_word(p, 0, words[i]))
            return true;
    return false;
}

static tr_code parse_word(tr_pql_parser *p, tr_pql_node **out)
{
    bool is_binding;
    if (tr_pql_is_word(p, 0, "true") || tr_pql_is_word(p, 0, "false") ||
        tr_pql_is_word(p, 0, "null"))
        return parse_literal(p, out);
    TR_TRY(tr_pql_parse_binding(p, &is_binding, out));
    if (is_binding)
        return TR_OK;
    if (tr_pql_is_symbol(p, 1, "(")) {
        const tr_pql_fn fn = tr_pql_find_function(tr_pql_peek(p, 0)->text, TR_PQL_PLAIN);
        if (fn == TR_PQL_FN_COUNT)
            return tr_pql_refuse(p, "a known function: this one does not exist");
        return parse_plain_call(p, fn, out);
    }
    if (is_operator_word(p))
        return tr_pql_refuse(p, "an operand");
    return parse_name(p, out);
}

tr_code tr_pql_parse_primary(tr_pql_parser *p, tr_pql_node **out)
{
    switch (tr_pql_peek(p, 0)->kind) {
    case TR_PQL_TOKEN_STRING:
    case TR_PQL_TOKEN_INTEGER:
    case TR_PQL_TOKEN_NUMBER: return parse_literal(p, out);
    case TR_PQL_TOKEN_PARAMETER: return parse_parameter(p, out);
    case TR_PQL_TOKEN_QUOTED: return parse_name(p, out);
    case TR_PQL_TOKEN_WORD: return parse_word(p, out);
    case TR_PQL_TOKEN_SYMBOL:
        if (tr_pql_is_symbol(p, 0, "("))
            return parse_parenthesis(p, out);
        if (tr_pql_is_symbol(p, 0, "["))
            return parse_list(p, out);
        if (tr_pql_is_symbol(p, 0, "{"))
            return parse_object(p, out);
        if (tr_pql_is_symbol(p, 0, "^"))
            return parse_up(p, out);
        break;
    case TR_PQL_TOKEN_END: break;
    }
    return tr_pql_refuse(p, "an operand");
}
