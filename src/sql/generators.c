/* SPDX-License-Identifier: Apache-2.0 */
/* generators.c - Spark's functions that give rows, as DuckDB's unnest.
 *
 *     explode(a)                        unnest(a) AS col
 *     explode(m), explode(m) AS (k, v)  unnest(map_keys(m)) AS k, unnest(map_values(m)) AS v
 *     explode_outer(a)                  the same of [NULL] where there is nothing
 *     posexplode(a)                     unnest(range(len(a))) AS pos, unnest(a) AS col
 *     inline(a)                         unnest(a, max_depth := 2)
 *     LATERAL VIEW explode(a) t AS c    CROSS JOIN LATERAL (SELECT unnest(a)) AS t(c); OUTER: LEFT
 *
 * Whether explode's argument is a list or a map is known only to the engine. Where its names do
 * not tell, both are written, as a fork: \1{ list \1| map \1}. The worker takes what can be
 * prepared (fork.h).
 */
#include "sql/rewrite_internal.h"

#include <stdio.h>

typedef enum generator {
    GENERATOR_NONE,
    GENERATOR_EXPLODE,
    GENERATOR_POSITIONS,
    GENERATOR_INLINE
} generator;

enum { NAMES_MAX = 16 };

/* A call, and what is said behind it. */
typedef struct call {
    generator kind;
    bool is_outer;
    bool is_item; /* nothing else is in its column of the select list, or it is a LATERAL VIEW's */
    size_t from, close;
    size_t table; /* of a LATERAL VIEW: its name's token; 0: none */
    size_t names[NAMES_MAX], name_count;
    size_t to; /* behind all of it */
} call;

static tr_code refuse(tr_rewrite *w, const char *what, tr_err *err)
{
    *w->state = "0A000";
    return TR_FAIL(err, TR_INVALID, "%s is not there", what);
}

static generator kind_of(const tr_tokens *t, size_t i, bool *is_outer)
{
    static const struct {
        const char *name;
        generator kind;
        bool is_outer;
    } all[] = {
        {"explode", GENERATOR_EXPLODE, false},      {"explode_outer", GENERATOR_EXPLODE, true},
        {"posexplode", GENERATOR_POSITIONS, false}, {"posexplode_outer", GENERATOR_POSITIONS, true},
        {"inline", GENERATOR_INLINE, false},        {"inline_outer", GENERATOR_INLINE, true}};
    for (size_t k = 0; k < sizeof all / sizeof all[0] && tr_token_is(t, i + 1, "("); k++)
        if (tr_token_is(t, i, all[k].name)) {
            *is_outer = all[k].is_outer;
            return all[k].kind;
        }
    return GENERATOR_NONE;
}

/* The place of the ')' that closes the '(' at i; the count of tokens: nothing does. */
static size_t find_close(const tr_tokens *t, size_t i)
{
    for (size_t depth = 0; i < t->count; i++) {
        depth += tr_token_is(t, i, "(");
        if (tr_token_is(t, i, ")") && --depth == 0)
            return i;
    }
    return t->count;
}

/* n1, n2, ... from i on; behind them. */
static size_t take_names(const tr_tokens *t, size_t i, call *c)
{
    while (tr_token_is_name(t, i) && c->name_count < NAMES_MAX) {
        c->names[c->name_count++] = i++;
        if (!tr_token_is(t, i, ",") || !tr_token_is_name(t, i + 1))
            break;
        i++;
    }
    return i;
}

/* AS name, AS (name, name), name: behind a call of the select list. */
static void read_item(const tr_tokens *t, call *c)
{
    static const char *const before[] = {"select", "distinct", "all", ",", NULL};
    static const char *const behind[] = {"as",    ",",         "from",   ")",       "limit",
                                         "where", "order",     "group",  "union",   "except",
                                         "minus", "intersect", "having", "qualify", NULL};
    const size_t i = c->close + 1;
    c->is_item = c->from > 0 && tr_word_is_one_of(t, c->from - 1, before);
    if (c->is_item && i < t->count && !tr_word_is_one_of(t, i, behind)) {
        c->is_item = tr_token_is_name(t, i);
        c->names[0] = i;
        c->name_count = c->is_item;
        c->to = i + c->is_item;
        return;
    }
    if (!c->is_item || !tr_token_is(t, i, "as"))
        return;
    if (!tr_token_is(t, i + 1, "(")) {
        if (tr_token_is_name(t, i + 1)) {
            c->names[c->name_count++] = i + 1;
            c->to = i + 2;
        }
        return;
    }
    const size_t end = take_names(t, i + 2, c);
    c->to = tr_token_is(t, end, ")") ? end + 1 : c->to;
}

/* A call's argument, itself rewritten. */
static tr_code put_argument(tr_rewrite *w, const call *c, tr_buf *out, tr_err *err)
{
    const tr_tokens part = {w->tokens->at + c->from + 2, c->close - c->from - 2};
    if (part.count == 0)
        return TR_OK;
    tr_rewrite inner = *w;
    inner.is_in_one = true;
    return tr_rewrite_argument(&inner, &part, out, err);
}

/* before, the argument, after; of an outer call of a list that may be empty, one with a null. */
static tr_code put_list(tr_buf *out, const call *c, tr_str argument, const char *list, tr_err *err)
{
    if (c->is_outer && list[0] == '\0')
        return tr_buf_format(out, err, "CASE WHEN len(%.*s) > 0 THEN %.*s ELSE [NULL] END",
                             TR_STR_ARG(argument), TR_STR_ARG(argument));
    if (c->is_outer)
        return tr_buf_format(out, err, "CASE WHEN len(%s(%.*s)) > 0 THEN %s(%.*s) ELSE [NULL] END",
                             list, TR_STR_ARG(argument), list, TR_STR_ARG(argument));
    if (list[0] == '\0')
        return tr_buf_append(out, argument, err);
    return tr_buf_format(out, err, "%s(%.*s)", list, TR_STR_ARG(argument));
}

static tr_code put_unnest(tr_buf *out, const call *c, tr_str argument, const char *list,
                          const char *more, tr_err *err)
{
    TR_TRY(tr_buf_append(out, tr_str_of("unnest("), err));
    TR_TRY(put_list(out, c, argument, list, err));
    return tr_buf_format(out, err, "%s)", more);
}

/* " AS name": the given one, or else the one that Spark has. */
static tr_code put_alias(tr_rewrite *w, tr_buf *out, const call *c, size_t at,
                         const char *otherwise, tr_err *err)
{
    if (c->table != 0 || !c->is_item) /* LATERAL VIEW: its list of names says it */
        return TR_OK;
    if (at >= c->name_count)
        return tr_buf_format(out, err, " AS %s", otherwise);
    TR_TRY(tr_buf_append(out, tr_str_of(" AS "), err));
    return tr_put_name(out, tr_token_name(w->tokens->at + c->names[at], w->arena), err);
}

static tr_code put_map(tr_rewrite *w, tr_buf *out, const call *c, tr_str argument, tr_err *err)
{
    TR_TRY(put_unnest(out, c, argument, "map_keys", "", err));
    TR_TRY(put_alias(w, out, c, 0, "key", err));
    TR_TRY(tr_buf_append(out, tr_str_of(", "), err));
    TR_TRY(put_unnest(out, c, argument, "map_values", "", err));
    return put_alias(w, out, c, 1, "value", err);
}

static tr_code put_explode(tr_rewrite *w, tr_buf *out, const call *c, tr_str argument, tr_err *err)
{
    const bool is_fork = c->is_item && c->name_count == 0 &&
                         memmem(argument.at, argument.len, TR_FORK_BEGIN, 2) == NULL;
    if (c->name_count == 2)
        return put_map(w, out, c, argument, err);
    if (is_fork)
        TR_TRY(tr_buf_append(out, tr_str_of(TR_FORK_BEGIN), err));
    TR_TRY(put_unnest(out, c, argument, "", "", err));
    TR_TRY(put_alias(w, out, c, 0, "col", err));
    if (!is_fork)
        return TR_OK;
    TR_TRY(tr_buf_append(out, tr_str_of(TR_FORK_OR), err));
    TR_TRY(put_map(w, out, c, argument, err));
    return tr_buf_append(out, tr_str_of(TR_FORK_END), err);
}

static tr_code put_call(tr_rewrite *w, tr_buf *out, const call *c, tr_err *err)
{
    tr_buf text = {0};
    tr_code code = put_argument(w, c, &text, err);
    const tr_str argument = tr_buf_str(&text);
    if (code == TR_OK && c->kind == GENERATOR_EXPLODE) {
        code = put_explode(w, out, c, argument, err);
    } else if (code == TR_OK && c->kind == GENERATOR_INLINE) {
        code = put_unnest(out, c, argument, "", ", max_depth := 2", err);
    } else if (code == TR_OK) {
        code = tr_buf_append(out, tr_str_of("unnest(range(len("), err);
        if (code == TR_OK)
            code = put_list(out, c, argument, "", err);
        if (code == TR_OK)
            code = tr_buf_append(out, tr_str_of(")))"), err);
        if (code == TR_OK)
            code = put_alias(w, out, c, 0, "pos", err);
        if (code == TR_OK)
            code = tr_buf_append(out, tr_str_of(", "), err);
        if (code == TR_OK)
            code = put_unnest(out, c, argument, "", "", err);
        if (code == TR_OK)
            code = put_alias(w, out, c, 1, "col", err);
    }
    tr_buf_free(&text);
    return code;
}

/* Puts what `out` has in place of the call and its names. */
static tr_code replace(tr_rewrite *w, size_t from, size_t to, tr_buf *out, tr_err *err)
{
    TR_TRY(tr_buf_append(out, (tr_str){(const uint8_t *)"", 1}, err));
    return tr_rewrite_put(w, from, to, (const char *)out->at, err);
}

tr_code tr_rewrite_generator(tr_rewrite *w, size_t *i, bool *is_one, tr_err *err)
{
    tr_buf out = {0};
    call c = {.from = *i};
    c.kind = kind_of(w->tokens, *i, &c.is_outer);
    *is_one = false;
    if (c.kind == GENERATOR_NONE) /* nearly every word: the rest is not looked at */
        return TR_OK;
    c.close = find_close(w->tokens, *i + 1);
    c.to = c.close + 1;
    if (c.close == w->tokens->count) { /* or each of many would look for its end as far */
        *w->state = "42601";
        return TR_FAIL(err, TR_INVALID,
                       "syntax error at end of input: a parenthesis is not closed");
    }
    *is_one = true;
    if (w->is_in_one) /* no engine has it; and each level writes the ones within it twice */
        return refuse(w, "a function that gives rows in the argument of another", err);
    read_item(w->tokens, &c);
    if (c.kind == GENERATOR_INLINE && c.name_count > 0)
        return refuse(w, "inline() AS (names) in the select list", err);
    if (c.kind != GENERATOR_EXPLODE && !c.is_item)
        return refuse(w, "a function that gives rows within an expression", err);
    tr_code code = put_call(w, &out, &c, err);
    if (code == TR_OK)
        code = replace(w, c.from, c.to, &out, err);
    tr_buf_free(&out);
    *i = c.to - 1;
    return code;
}

/* LATERAL VIEW ----------------------------------------------------------------------------------
 * */

/* tablename AS c1, c2: all of it may be missing. */
static void read_view_names(const tr_tokens *t, call *c)
{
    static const char *const ends[] = {"as",      "where", "group", "order",   "having",
                                       "limit",   "union", "join",  "left",    "inner",
                                       "lateral", "cross", "on",    "qualify", NULL};
    size_t i = c->close + 1;
    c->is_item = true;
    if (tr_token_is_name(t, i) && !tr_word_is_one_of(t, i, ends))
        c->table = i++;
    if (tr_token_is(t, i, "as"))
        i = take_names(t, i + 1, c);
    c->to = i;
}

static tr_code put_view_names(tr_rewrite *w, tr_buf *out, const call *c, tr_err *err)
{
    TR_TRY(tr_buf_append(out, tr_str_of(" AS "), err));
    if (c->table == 0)
        TR_TRY(tr_buf_format(out, err, "view_%zu", c->from));
    else
        TR_TRY(tr_put_name(out, tr_token_name(w->tokens->at + c->table, w->arena), err));
    for (size_t k = 0; k < c->name_count; k++) {
        TR_TRY(tr_buf_append(out, tr_str_of(k == 0 ? "(" : ", "), err));
        TR_TRY(tr_put_name(out, tr_token_name(w->tokens->at + c->names[k], w->arena), err));
    }
    return c->name_count > 0 ? tr_buf_append(out, tr_str_of(")"), err) : TR_OK;
}

static tr_code put_view(tr_rewrite *w, tr_buf *out, const call *c, bool is_left, tr_err *err)
{
    call inner = *c; /* its names stand behind the parenthesis */
    inner.table = c->name_count > 0 ? c->from : 0;
    TR_TRY(tr_buf_append(
        out, tr_str_of(is_left ? "LEFT JOIN LATERAL (SELECT " : "CROSS JOIN LATERAL (SELECT "),
        err));
    TR_TRY(put_call(w, out, &inner, err));
    TR_TRY(tr_buf_append(out, tr_str_of(")"), err));
    TR_TRY(put_view_names(w, out, c, err));
    return tr_buf_append(out, tr_str_of(is_left ? " ON true" : ""), err);
}

tr_code tr_rewrite_lateral_view(tr_rewrite *w, size_t *i, tr_err *err)
{
    tr_buf out = {0};
    const bool is_left = tr_token_is(w->tokens, *i + 2, "outer");
    call c = {.from = *i + 2 + is_left};
    c.kind = kind_of(w->tokens, c.from, &c.is_outer);
    c.close = c.kind == GENERATOR_NONE ? w->tokens->count : find_close(w->tokens, c.from + 1);
    if (c.close >= w->tokens->count)
        return refuse(w, "LATERAL VIEW of anything but explode, posexplode and inline", err);
    read_view_names(w->tokens, &c);
    tr_code code = put_view(w, &out, &c, is_left, err);
    if (code == TR_OK)
        code = replace(w, *i, c.to, &out, err);
    tr_buf_free(&out);
    *i = c.to - 1;
    return code;
}
