/* SPDX-License-Identifier: Apache-2.0 */
/* print.c - a tree as text that parses back into an equal tree.
 *
 * Scopes are kept as the parser keeps them, so that a name is written bare only where the parser
 * would find the same thing behind it. A lambda is written without its variable when every use of
 * the variable is the first step of a path; where in doubt, variables and $1 are written out.
 */
#include "base/limits.h"
#include "pql/pql.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct seen {
    tr_str name; /* in the tree */
    char
        text[48]; /* as it is written; empty: not at all (an item without a name, a label unused) */
    bool is_item, is_label;
} seen;

typedef struct printer {
    tr_buf *out;
    tr_err *err;
    seen scopes[TR_PQL_DEPTH_MAX];
    uint32_t count;
    uint32_t made;
    bool is_in_when;
} printer;

/* Levels of the grammar, loosest first. */
enum { ROOT, ANY, OR, AND, NOT, TEST, ADD, MUL, UNARY, POSTFIX };

static tr_code print(printer *p, const tr_pql_node *node, unsigned least);

static tr_code put(printer *p, const char *text)
{
    return tr_buf_append(p->out, tr_str_of(text), p->err);
}

/* ---- names */

static bool is_identifier(tr_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const uint8_t c = s.at[i];
        const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.len > 0;
}

static bool is_keyword(tr_str s)
{
    static const char *const words[] = {
        "and",    "or",   "not",   "in",     "notIn", "like",    "matches",   "occurs",
        "select", "from", "where", "over",   "let",   "if",      "exists",    "forall",
        "all",    "some", "none",  "one",    "sum",   "average", "min",       "max",
        "chain",  "WHAT", "WHEN",  "COUNT",  "now",   "today",   "yesterday", "tomorrow",
        "this",   "last", "next",  "before", "after", "on",      "between",   "true",
        "false",  "null", "xEvent"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (tr_str_equal_folded(s, tr_str_of(words[i])))
            return true;
    return false;
}

static tr_code put_name(printer *p, tr_str name, bool may_be_keyword)
{
    if (is_identifier(name) && (may_be_keyword || !is_keyword(name)))
        return tr_buf_append(p->out, name, p->err);
    for (size_t i = 0; i < name.len; i++)
        if (name.at[i] == '`' || name.at[i] == '\n')
            return TR_FAIL(p->err, TR_INVALID,
                           "the field \"%.*s\" has a name that PQL text cannot say",
                           TR_STR_ARG(name));
    return tr_buf_format(p->out, p->err, "`%.*s`", TR_STR_ARG(name));
}

static bool is_visible(const printer *p, const seen *s)
{
    return s->text[0] != '\0' && (p->is_in_when || !s->is_label);
}

static bool is_written(const printer *p, tr_str text)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (is_visible(p, &p->scopes[i]) && tr_str_is(text, p->scopes[i].text))
            return true;
    return false;
}

/* Opens a scope; a variable gets its own name where nobody inside could mistake it. */
static tr_code open_scope(printer *p, tr_str name, bool is_item, bool is_label, bool is_named)
{
    if (p->count == sizeof p->scopes / sizeof p->scopes[0])
        return TR_FAIL(p->err, TR_LIMIT, "the expression has too many variables in one place");
    seen s = {.name = name, .is_item = is_item, .is_label = is_label};
    bool is_taken =
        name.len == 0 || name.len >= sizeof s.text || !is_identifier(name) || is_keyword(name);
    for (uint32_t i = 0; i < p->count; i++)
        is_taken = is_taken || tr_str_is(name, p->scopes[i].text);
    if (is_named && is_taken)
        (void)snprintf(s.text, sizeof s.text, "v_%u", ++p->made);
    else if (is_named)
        (void)snprintf(s.text, sizeof s.text, "%.*s", TR_STR_ARG(name));
    p->scopes[p->count++] = s;
    return TR_OK;
}

static const seen *find(const printer *p, tr_str name)
{
    for (uint32_t i = p->count; i-- > 0;)
        if ((p->is_in_when || !p->scopes[i].is_label) && tr_str_equal(p->scopes[i].name, name))
            return &p->scopes[i];
    return NULL;
}

static bool is_in_item(const printer *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->scopes[i].is_item)
            return true;
    return false;
}

static tr_code put_variable(printer *p, tr_str name)
{
    const seen *s = find(p, name);
    if (s == NULL || s->text[0] == '\0')
        return TR_FAIL(p->err, TR_INVALID, "the variable \"%.*s\" is not declared",
                       TR_STR_ARG(name));
    return put(p, s->text);
}

/* True when `node` is a path that begins at an item without a name, or at the profile. */
static tr_code print_first_step(printer *p, const tr_pql_node *node, bool *is_done)
{
    const tr_pql_node *of = node->items[0];
    *is_done = true;
    if (of->kind == TR_PQL_PARAMETER) {
        if (tr_str_is(node->name, "xEvent") && !is_written(p, node->name))
            return put(p, "xEvent");
        if (!is_in_item(p) && !is_written(p, node->name))
            return put_name(p, node->name, false);
        TR_TRY(put(p, "$1."));
        return put_name(p, node->name, true);
    }
    const seen *s = of->kind == TR_PQL_VARIABLE ? find(p, of->name) : NULL;
    *is_done = s != NULL && s->text[0] == '\0' && s->is_item;
    if (!*is_done)
        return TR_OK;
    bool is_inner = true;
    for (const seen *up = s + 1; up < p->scopes + p->count; up++)
        if (up->is_item) {
            is_inner = false;
            TR_TRY(put(p, "^"));
        }
    return put_name(p, node->name, !is_inner);
}

static tr_code print_field(printer *p, const tr_pql_node *node)
{
    bool is_done;
    TR_TRY(print_first_step(p, node, &is_done));
    if (is_done)
        return TR_OK;
    TR_TRY(print(p, node->items[0], POSTFIX));
    TR_TRY(put(p, "."));
    return put_name(p, node->name, true);
}

/* ---- literals */

static tr_code put_string(printer *p, tr_str s)
{
    TR_TRY(put(p, "\""));
    for (size_t i = 0; i < s.len; i++) {
        const uint8_t c = s.at[i];
        if (c == '"' || c == '\\')
            TR_TRY(tr_buf_format(p->out, p->err, "\\%c", c));
        else if (c < 0x20)
            TR_TRY(tr_buf_format(p->out, p->err, "\\u%04x", c));
        else
            TR_TRY(tr_buf_append(p->out, (tr_str){s.at + i, 1}, p->err));
    }
    return put(p, "\"");
}

/* The shortest digits that read back as the same number, always with a point or an exponent. */
static tr_code put_number(printer *p, double number)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, number);
        const double back = strtod(text, NULL);
        if (!(back < number) && !(back > number))
            break;
    }
    TR_TRY(put(p, text));
    return strpbrk(text, ".e") == NULL ? put(p, ".0") : TR_OK;
}

static tr_code print_literal(printer *p, const tr_pql_literal *literal)
{
    switch (literal->kind) {
    case TR_PQL_NULL: return put(p, "null");
    case TR_PQL_BOOLEAN: return put(p, literal->boolean ? "true" : "false");
    case TR_PQL_INTEGER: return tr_buf_format(p->out, p->err, "%lld", (long long)literal->integer);
    case TR_PQL_NUMBER: return put_number(p, literal->number);
    case TR_PQL_STRING: return put_string(p, literal->string);
    }
    return TR_OK;
}

static bool is_negative(const tr_pql_literal *literal)
{
    return (literal->kind == TR_PQL_INTEGER && literal->integer < 0) ||
           (literal->kind == TR_PQL_NUMBER && literal->number < 0);
}

static tr_code print_items(printer *p, const tr_pql_node *node, uint32_t from)
{
    for (uint32_t i = from; i < node->count; i++) {
        if (i > from)
            TR_TRY(put(p, ", "));
        if (node->kind == TR_PQL_OBJECT) {
            TR_TRY(put_string(p, node->names[i]));
            TR_TRY(put(p, ": "));
        }
        TR_TRY(print(p, node->items[i], ANY));
    }
    return TR_OK;
}

/* ---- lambdas */

/* True when the variable is used as the first step of paths only, and no path would be read as
 * something else. */
static bool can_hide(const printer *p, const tr_pql_node *node, tr_str name)
{
    if (node == NULL)
        return true;
    if (node->kind == TR_PQL_VARIABLE)
        return !tr_str_equal(node->name, name);
    const bool is_step = node->kind == TR_PQL_FIELD && node->items[0]->kind == TR_PQL_VARIABLE &&
                         tr_str_equal(node->items[0]->name, name);
    if (is_step)
        return !is_written(p, node->name);
    for (uint32_t i = 0; i < node->name_count; i++)
        if (node->kind == TR_PQL_LAMBDA && tr_str_equal(node->names[i], name))
            return false;
    if ((node->kind == TR_PQL_DECL || node->kind == TR_PQL_LET) && tr_str_equal(node->name, name))
        return false;
    for (uint32_t i = 0; i < node->count; i++)
        if (!can_hide(p, node->items[i], name))
            return false;
    return true;
}

/* A variable that is bound inside could be named like a field of the item. */
static bool binds_names(const tr_pql_node *node)
{
    if (node == NULL)
        return false;
    if (node->kind == TR_PQL_DECL || node->kind == TR_PQL_LET ||
        (node->kind == TR_PQL_LAMBDA && !node->is_implicit))
        return true;
    for (uint32_t i = 0; i < node->count; i++)
        if (binds_names(node->items[i]))
            return true;
    return false;
}

static bool is_bare(const printer *p, const tr_pql_node *lambda)
{
    const tr_pql_node *body = lambda->items[0];
    return lambda->is_implicit && lambda->name_count == 1 && !binds_names(body) &&
           can_hide(p, body, lambda->names[0]);
}

static tr_code print_lambda(printer *p, const tr_pql_node *lambda, bool opens_item)
{
    const uint32_t outside = p->count;
    const bool is_item = opens_item && lambda->name_count == 1;
    if (opens_item && is_bare(p, lambda)) {
        TR_TRY(open_scope(p, lambda->names[0], true, false, false));
        TR_TRY(print(p, lambda->items[0], ANY));
        p->count = outside;
        return TR_OK;
    }
    for (uint32_t i = 0; i < lambda->name_count; i++)
        TR_TRY(open_scope(p, lambda->names[i], is_item, false, true));
    TR_TRY(put(p, "("));
    for (uint32_t i = 0; i < lambda->name_count; i++)
        TR_TRY(
            tr_buf_format(p->out, p->err, "%s%s", i > 0 ? ", " : "", p->scopes[outside + i].text));
    TR_TRY(put(p, ") => "));
    TR_TRY(print(p, lambda->items[0], ANY));
    p->count = outside;
    return TR_OK;
}

/* ---- functions */

static tr_code print_arguments(printer *p, const tr_pql_node *node, uint32_t from)
{
    TR_TRY(put(p, "("));
    for (uint32_t i = from; i < node->count; i++) {
        const tr_pql_node *item = node->items[i];
        if (i > from)
            TR_TRY(put(p, ", "));
        if (item->kind == TR_PQL_LAMBDA)
            TR_TRY(print_lambda(p, item, tr_pql_functions[node->fn].item == i));
        else
            TR_TRY(print(p, item, ANY));
    }
    return put(p, ")");
}

static tr_code print_method(printer *p, const tr_pql_node *node)
{
    TR_TRY(print(p, node->items[0], POSTFIX));
    const tr_pql_node *lambda = node->fn == TR_PQL_FILTER ? node->items[1] : NULL;
    const bool is_number = lambda != NULL && lambda->items[0]->kind == TR_PQL_LITERAL;
    if (lambda != NULL && is_bare(p, lambda) && !is_number) {
        TR_TRY(put(p, "["));
        TR_TRY(print_lambda(p, lambda, true));
        return put(p, "]");
    }
    TR_TRY(tr_buf_format(p->out, p->err, ".%s", tr_pql_functions[node->fn].name));
    return print_arguments(p, node, 1);
}

/* Operands left and right, and the level of the whole. */
static unsigned level_of_infix(tr_pql_fn fn)
{
    return fn == TR_PQL_OR                                            ? OR
           : fn == TR_PQL_AND                                         ? AND
           : fn == TR_PQL_ADD || fn == TR_PQL_SUB                     ? ADD
           : fn == TR_PQL_MUL || fn == TR_PQL_DIV || fn == TR_PQL_MOD ? MUL
                                                                      : TEST;
}

static tr_code print_infix(printer *p, const tr_pql_node *node)
{
    const unsigned own = level_of_infix(node->fn);
    const bool is_left = own == ADD || own == MUL; /* associates to the left */
    if (node->fn == TR_PQL_SUB && node->count == 1) {
        const tr_pql_node *operand = node->items[0];
        const bool is_literal = operand->kind == TR_PQL_LITERAL && !is_negative(&operand->literal);
        TR_TRY(put(p, is_literal ? "-(" : "-"));
        TR_TRY(print(p, operand, UNARY));
        return is_literal ? put(p, ")") : TR_OK;
    }
    for (uint32_t i = 0; i < node->count; i++) {
        if (i > 0)
            TR_TRY(tr_buf_format(p->out, p->err, " %s ", tr_pql_functions[node->fn].name));
        TR_TRY(print(p, node->items[i], i == 0 && is_left ? own : own + 1));
    }
    return TR_OK;
}

static tr_code print_apply(printer *p, const tr_pql_node *node)
{
    switch (tr_pql_functions[node->fn].form) {
    case TR_PQL_INFIX: return print_infix(p, node);
    case TR_PQL_PREFIX: TR_TRY(put(p, "not ")); return print(p, node->items[0], NOT);
    case TR_PQL_METHOD: return print_method(p, node);
    case TR_PQL_PLAIN:
        TR_TRY(put(p, tr_pql_functions[node->fn].name));
        return print_arguments(p, node, 0);
    case TR_PQL_WORD: return put(p, tr_pql_functions[node->fn].name);
    }
    return TR_OK;
}

/* ---- what binds variables; the caller ends the scopes */

static tr_code print_declarations(printer *p, const tr_pql_node *node)
{
    for (uint32_t i = 0; i < node->count; i++) {
        const tr_pql_node *decl = node->items[i];
        const size_t at = p->out->len;
        tr_buf from = {0};
        TR_TRY(put(p, i > 0 ? ", " : " "));
        /* The array does not see the variable, whose text comes first: print it aside. */
        tr_buf *out = p->out;
        p->out = &from;
        tr_code code = print(p, decl->items[0], ADD);
        p->out = out;
        if (code == TR_OK)
            code = open_scope(p, decl->name, false, false, true);
        if (code == TR_OK)
            code = tr_buf_format(p->out, p->err, "%s from ", p->scopes[p->count - 1].text);
        if (code == TR_OK)
            code = tr_buf_append(p->out, tr_buf_str(&from), p->err);
        tr_buf_free(&from);
        if (code != TR_OK) {
            p->out->len = at;
            return code;
        }
        if (decl->items[1] != NULL) {
            TR_TRY(put(p, " where "));
            TR_TRY(print(p, decl->items[1], ANY));
        }
    }
    return TR_OK;
}

static tr_code print_select(printer *p, const tr_pql_node *node)
{
    static const char *const words[] = {"exists", "forall", "none", "one"};
    const uint32_t outside = p->count;
    TR_TRY(put(p, node->kind == TR_PQL_SELECT ? "select" : words[node->quantifier]));
    TR_TRY(print_declarations(p, node));
    p->count = outside;
    return TR_OK;
}

static tr_code print_let(printer *p, const tr_pql_node *node)
{
    tr_buf value = {0}, *out = p->out;
    p->out = &value;
    tr_code code = print(p, node->items[0], ADD);
    p->out = out;
    if (code == TR_OK)
        code = open_scope(p, node->name, false, false, true);
    if (code == TR_OK)
        code = tr_buf_format(p->out, p->err, "let %s = %.*s in ", p->scopes[p->count - 1].text,
                             TR_STR_ARG(tr_buf_str(&value)));
    tr_buf_free(&value);
    if (code == TR_OK)
        code = print(p, node->items[1], ANY);
    if (code == TR_OK)
        p->count--;
    return code;
}

/* ---- times and chains */

static tr_code print_time(printer *p, const tr_pql_node *node)
{
    static const char *const directions[] = {"before", "after", "from"};
    const tr_pql_time *time = &node->time;
    switch (time->kind) {
    case TR_PQL_TIME_ON:
        if (node->items[0]->kind == TR_PQL_APPLY && node->items[0]->fn == TR_PQL_DATE)
            TR_TRY(put(p, "on "));
        break;
    case TR_PQL_TIME_DIRECTION:
        TR_TRY(tr_buf_format(p->out, p->err, "%s ", directions[time->direction]));
        break;
    case TR_PQL_TIME_RELATIVE:
        TR_TRY(tr_buf_format(p->out, p->err, "%s %lld %s %s ",
                             tr_pql_functions[time->comparison].name, (long long)time->amount,
                             tr_pql_unit_names[time->unit][time->amount != 1],
                             directions[time->direction]));
        break;
    case TR_PQL_TIME_BETWEEN:
        TR_TRY(put(p, "between "));
        TR_TRY(print(p, node->items[0], ADD));
        TR_TRY(put(p, " and "));
        return print(p, node->items[1], ADD);
    }
    return print(p, node->items[0], ADD);
}

static tr_code print_element(printer *p, const tr_pql_node *element)
{
    static const char *const words[] = {"WHAT(", " WHERE("};
    TR_TRY(open_scope(p, element->name, false, true, element->name.len > 0));
    p->count--; /* its own WHEN does not see it */
    seen label = p->scopes[p->count];
    if (label.text[0] != '\0')
        TR_TRY(tr_buf_format(p->out, p->err, "%s: ", label.text));
    for (uint32_t i = 0; i < 2; i++)
        if (element->items[i] != NULL) {
            TR_TRY(put(p, words[i]));
            TR_TRY(print_lambda(p, element->items[i], true));
            TR_TRY(put(p, ")"));
        }
    if (element->count_comparison != TR_PQL_GE || element->count_amount != 1)
        TR_TRY(tr_buf_format(p->out, p->err, " COUNT(%s%s%lld)",
                             element->count_comparison == TR_PQL_GE
                                 ? ""
                                 : tr_pql_functions[element->count_comparison].name,
                             element->count_comparison == TR_PQL_GE ? "" : " ",
                             (long long)element->count_amount));
    if (element->items[TR_PQL_WHEN] != NULL) {
        const bool was_in_when = p->is_in_when;
        p->is_in_when = true;
        TR_TRY(put(p, " WHEN("));
        TR_TRY(print_time(p, element->items[TR_PQL_WHEN]));
        TR_TRY(put(p, ")"));
        p->is_in_when = was_in_when;
    }
    p->scopes[p->count++] = label;
    return TR_OK;
}

static tr_code print_chain(printer *p, const tr_pql_node *node)
{
    const uint32_t outside = p->count;
    TR_TRY(put(p, "chain("));
    TR_TRY(print(p, node->items[0], ADD));
    TR_TRY(put(p, ", "));
    TR_TRY(print_lambda(p, node->items[1], true));
    TR_TRY(put(p, ", ["));
    for (uint32_t i = 2; i < node->count; i++) {
        if (i > 2)
            TR_TRY(put(p, ", "));
        TR_TRY(print_element(p, node->items[i]));
    }
    p->count = outside;
    return put(p, "])");
}

static unsigned level_of(const tr_pql_node *node)
{
    switch (node->kind) {
    case TR_PQL_SELECT:
    case TR_PQL_QUANTIFY:
    case TR_PQL_LET:
    case TR_PQL_LAMBDA: return ROOT;
    case TR_PQL_LITERAL: return is_negative(&node->literal) ? UNARY : POSTFIX;
    case TR_PQL_APPLY:
        if (node->fn == TR_PQL_SUB && node->count == 1)
            return UNARY;
        return tr_pql_functions[node->fn].form == TR_PQL_INFIX    ? level_of_infix(node->fn)
               : tr_pql_functions[node->fn].form == TR_PQL_PREFIX ? NOT
                                                                  : POSTFIX;
    case TR_PQL_LIST:
    case TR_PQL_OBJECT:
    case TR_PQL_PARAMETER:
    case TR_PQL_VARIABLE:
    case TR_PQL_FIELD:
    case TR_PQL_DECL:
    case TR_PQL_CHAIN:
    case TR_PQL_ELEMENT:
    case TR_PQL_RELATIVE:
    case TR_PQL_TIME: return POSTFIX;
    }
    return POSTFIX;
}

static tr_code print_relative(printer *p, const tr_pql_time *time)
{
    static const char *const which[] = {"this", "last", "next"};
    return tr_buf_format(p->out, p->err, "%s %s", which[time->which],
                         tr_pql_unit_names[time->unit][0]);
}

static tr_code print_node(printer *p, const tr_pql_node *node)
{
    switch (node->kind) {
    case TR_PQL_LITERAL: return print_literal(p, &node->literal);
    case TR_PQL_LIST:
        TR_TRY(put(p, "["));
        TR_TRY(print_items(p, node, 0));
        return put(p, "]");
    case TR_PQL_OBJECT:
        TR_TRY(put(p, "{"));
        TR_TRY(print_items(p, node, 0));
        return put(p, "}");
    case TR_PQL_PARAMETER: return put(p, "$1");
    case TR_PQL_VARIABLE: return put_variable(p, node->name);
    case TR_PQL_FIELD: return print_field(p, node);
    case TR_PQL_APPLY: return print_apply(p, node);
    case TR_PQL_LAMBDA: return print_lambda(p, node, false);
    case TR_PQL_SELECT:
    case TR_PQL_QUANTIFY: return print_select(p, node);
    case TR_PQL_LET: return print_let(p, node);
    case TR_PQL_CHAIN: return print_chain(p, node);
    case TR_PQL_RELATIVE: return print_relative(p, &node->time);
    case TR_PQL_TIME: return print_time(p, node);
    case TR_PQL_DECL:
    case TR_PQL_ELEMENT: break; /* printed by their owners */
    }
    return TR_OK;
}

static tr_code print(printer *p, const tr_pql_node *node, unsigned least)
{
    const bool is_closed = level_of(node) < least;
    if (is_closed)
        TR_TRY(put(p, "("));
    TR_TRY(print_node(p, node));
    return is_closed ? put(p, ")") : TR_OK;
}

tr_code tr_pql_print(const tr_pql_node *root, tr_buf *out, tr_err *err)
{
    printer p = {.out = out, .err = err};
    const size_t before = out->len;
    const tr_code code = print(&p, root, ROOT);
    if (code != TR_OK)
        out->len = before;
    return code;
}
