/* SPDX-License-Identifier: Apache-2.0 */
/* constructors.c - Spark's functions that make objects, lists and maps, in DuckDB's words.
 *
 *     struct(a AS b, c.d)       struct_pack("b" := a, "d" := c.d); without a name: col1, col2 ...
 *     named_struct('b', a)      struct_pack("b" := a)
 *     array(1, 2)               [1, 2]
 *     map('k', 1, 'l', 2)       MAP {'k': 1, 'l': 2}
 *
 * Not where a type stands (x::MAP(VARCHAR, INT), CAST(x AS STRUCT(a INT))), not ARRAY(SELECT ...),
 * and not map([keys], [values]), which is DuckDB's.
 */
#include "sql/rewrite_internal.h"

#include <stdio.h>

enum { ARGUMENTS_MAX = 200 };

typedef struct call {
    size_t from, close;           /* its name; its ) */
    size_t at[ARGUMENTS_MAX + 1]; /* where each argument begins; behind the last, close + 1 */
    size_t count;
} call;

static tr_code fail(const tr_rewrite *w, tr_err *err, const char *what)
{
    *w->state = "42601";
    return TR_FAIL(err, TR_INVALID, "%s", what);
}

static bool opens(const tr_tokens *t, size_t i)
{
    return tr_token_is(t, i, "(") || tr_token_is(t, i, "[") || tr_token_is(t, i, "{");
}

static bool closes(const tr_tokens *t, size_t i)
{
    return tr_token_is(t, i, ")") || tr_token_is(t, i, "]") || tr_token_is(t, i, "}");
}

/* False: it does not close (.close is behind all tokens), or has too many arguments. */
static bool read_call(const tr_tokens *t, size_t from, call *c)
{
    size_t depth = 1;
    *c = (call){.from = from};
    c->at[0] = from + 2;
    for (size_t i = from + 2; i < t->count; i++) {
        depth += opens(t, i);
        depth -= closes(t, i);
        const bool is_end = depth == 0;
        if (!is_end && !(depth == 1 && tr_token_is(t, i, ",")))
            continue;
        if (c->count == ARGUMENTS_MAX)
            return false;
        c->at[++c->count] = i + 1;
        if (!is_end)
            continue;
        c->close = i;
        if (c->count == 1 && i == from + 2) /* name() */
            c->count = 0;
        return true;
    }
    c->close = t->count;
    return false;
}

/* Tokens of an argument, without the comma behind it. */
static tr_tokens argument(const tr_tokens *t, const call *c, size_t i)
{
    return (tr_tokens){t->at + c->at[i], c->at[i + 1] - 1 - c->at[i]};
}

static tr_code put_part(tr_rewrite *w, const tr_tokens *part, tr_err *err)
{
    if (part->count == 0)
        return fail(w, err, "an argument of struct, array or map is missing");
    return tr_rewrite_argument(w, part, w->out, err);
}

/* "name" := */
static tr_code put_member(tr_rewrite *w, tr_str name, bool is_first, tr_err *err)
{
    TR_TRY(tr_buf_append(w->out, tr_str_of(is_first ? "" : ", "), err));
    TR_TRY(tr_put_name(w->out, name, err));
    return tr_buf_append(w->out, tr_str_of(" := "), err);
}

/* The member's name, and its tokens without it. */
static tr_str take_name(tr_rewrite *w, tr_tokens *part, size_t number, char own[16])
{
    const size_t n = part->count;
    if (n > 2 && tr_token_is(part, n - 2, "as") && tr_token_is_name(part, n - 1)) {
        part->count -= 2;
        return tr_token_name(part->at + n - 1, w->arena);
    }
    if (n > 0 && tr_token_is_name(part, n - 1) && (n == 1 || tr_token_is(part, n - 2, ".")))
        return tr_token_name(part->at + n - 1, w->arena);
    (void)snprintf(own, 16, "col%zu", number);
    return tr_str_of(own);
}

static tr_code put_struct(tr_rewrite *w, const call *c, tr_err *err)
{
    for (size_t i = 0; i < c->count; i++) {
        char own[16];
        tr_tokens part = argument(w->tokens, c, i);
        const tr_str name = take_name(w, &part, i + 1, own);
        TR_TRY(put_member(w, name, i == 0, err));
        TR_TRY(put_part(w, &part, err));
    }
    return TR_OK;
}

static tr_code put_named(tr_rewrite *w, const call *c, tr_err *err)
{
    if (c->count % 2 != 0)
        return fail(w, err, "named_struct takes names and values: 'name', value, ...");
    for (size_t i = 0; i < c->count; i += 2) {
        const tr_tokens name = argument(w->tokens, c, i), value = argument(w->tokens, c, i + 1);
        if (name.count != 1 || name.at[0].kind != TR_TOKEN_STRING || name.at[0].text.len < 2)
            return fail(w, err, "a name of named_struct must be a text");
        const tr_str text = name.at[0].text;
        TR_TRY(put_member(w, (tr_str){text.at + 1, text.len - 2}, i == 0, err));
        TR_TRY(put_part(w, &value, err));
    }
    return TR_OK;
}

static tr_code put_list(tr_rewrite *w, const call *c, bool is_map, tr_err *err)
{
    if (is_map && c->count % 2 != 0)
        return fail(w, err, "map takes keys and values: key, value, ...");
    for (size_t i = 0; i < c->count; i++) {
        const tr_tokens part = argument(w->tokens, c, i);
        const char *before = i == 0 ? "" : is_map && i % 2 == 1 ? ": " : ", ";
        TR_TRY(tr_buf_append(w->out, tr_str_of(before), err));
        TR_TRY(put_part(w, &part, err));
    }
    return TR_OK;
}

typedef enum kind { NONE, STRUCT, NAMED, ARRAY, MAP } kind;

static kind kind_of(const tr_tokens *t, size_t i)
{
    static const char *const names[] = {"", "struct", "named_struct", "array", "map"};
    static const char *const queries[] = {"select", "with", "from", "values", NULL};
    for (int k = STRUCT; k <= MAP; k++)
        if (tr_token_is(t, i, names[k]) && tr_token_is(t, i + 1, "("))
            return k == ARRAY && tr_word_is_one_of(t, i + 2, queries) ? NONE : (kind)k;
    return NONE;
}

tr_code tr_rewrite_constructor(tr_rewrite *w, size_t *i, bool *is_one, tr_err *err)
{
    static const char *const open[] = {"", "struct_pack(", "struct_pack(", "[", "MAP {"};
    static const char *const close[] = {"", ")", ")", "]", "}"};
    const tr_tokens *t = w->tokens;
    call c;
    const kind k = kind_of(t, *i);
    *is_one = false;
    if (k == NONE || (*i > 0 && tr_token_is(t, *i - 1, ".")))
        return TR_OK;
    if (!read_call(t, *i, &c)) /* each of many that are open would look for its end as far */
        return c.close != t->count
                   ? TR_OK
                   : fail(w, err, "syntax error at end of input: a parenthesis is not closed");
    const bool is_type = *i > 0 && (tr_token_is(t, *i - 1, "as") || tr_token_is(t, *i - 1, "::"));
    const bool is_own = k == MAP && c.count == 2 && tr_token_is(t, c.at[0], "[");
    *is_one = is_type || !is_own;
    if (!*is_one)
        return TR_OK;
    *i = c.close;
    if (is_type)
        return TR_OK;
    TR_TRY(tr_rewrite_put(w, c.from, c.close + 1, open[k], err));
    TR_TRY(k == STRUCT  ? put_struct(w, &c, err)
           : k == NAMED ? put_named(w, &c, err)
                        : put_list(w, &c, k == MAP, err));
    return tr_buf_append(w->out, tr_str_of(close[k]), err);
}
