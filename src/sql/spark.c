/* SPDX-License-Identifier: Apache-2.0 */
/* spark.c - Query Service's SQL into DuckDB's, where no types are needed to know how; and what both
 * kinds of rewriting share.
 */
#include "base/limits.h"
#include "sql/dimension_tables.h"
#include "sql/rewrite_internal.h"

#include <stdio.h>

/* The mark of a fork (generators.c), with which a value would choose what of the statement runs. */
enum { FORK_MARK = 1 };

static tr_code put_marked_literal(tr_buf *sql, tr_str text, tr_err *err)
{
    TR_TRY(tr_buf_append(sql, tr_str_of("('"), err));
    for (size_t i = 0; i < text.len; i++) {
        const tr_str one = {text.at + i, 1};
        TR_TRY(tr_buf_append(sql,
                             text.at[i] == '\''        ? tr_str_of("''")
                             : text.at[i] == FORK_MARK ? tr_str_of("' || chr(1) || '")
                                                       : one,
                             err));
    }
    return tr_buf_append(sql, tr_str_of("')"), err);
}

static tr_code put_quoted(tr_buf *sql, tr_str text, uint8_t quote, tr_err *err)
{
    TR_TRY(tr_buf_reserve(sql, text.len * 2 + 2, err));
    sql->at[sql->len++] = quote;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == quote)
            sql->at[sql->len++] = quote;
        sql->at[sql->len++] = text.at[i];
    }
    sql->at[sql->len++] = quote;
    return TR_OK;
}

tr_code tr_put_name(tr_buf *sql, tr_str name, tr_err *err)
{
    return put_quoted(sql, name, '"', err);
}

tr_code tr_put_literal(tr_buf *sql, tr_str text, tr_err *err)
{
    if (text.len > 0 && memchr(text.at, '\0', text.len) != NULL)
        return TR_FAIL(err, TR_INVALID, "a text with a NUL byte in it");
    if (text.len > 0 && memchr(text.at, FORK_MARK, text.len) != NULL)
        return put_marked_literal(sql, text, err);
    return put_quoted(sql, text, '\'', err);
}

tr_code tr_rewrite_copy_to(tr_rewrite *w, const uint8_t *end, tr_err *err)
{
    const tr_str part = {w->copied, (size_t)(end - w->copied)};
    w->copied = end;
    return tr_buf_append(w->out, part, err);
}

static const uint8_t *end_of(const tr_rewrite *w, size_t i)
{
    return w->tokens->at[i].text.at + w->tokens->at[i].text.len;
}

tr_code tr_rewrite_put(tr_rewrite *w, size_t from, size_t to, const char *text, tr_err *err)
{
    TR_TRY(tr_rewrite_copy_to(w, w->tokens->at[from].text.at, err));
    w->copied = end_of(w, to - 1);
    return tr_buf_append(w->out, tr_str_of(text), err);
}

tr_code tr_rewrite_put_literal(tr_rewrite *w, size_t from, size_t to, const char *before,
                               tr_str value, const char *after, tr_err *err)
{
    TR_TRY(tr_rewrite_put(w, from, to, before, err));
    TR_TRY(tr_put_literal(w->out, value, err));
    return tr_buf_append(w->out, tr_str_of(after), err);
}

/* Spark --------------------------------------------------------------------------------------- */

static bool is_call(const tr_tokens *t, size_t i, const char *name)
{
    return t->at[i].kind == TR_TOKEN_WORD && tr_token_is(t, i, name) && tr_token_is(t, i + 1, "(");
}

static bool is_empty_call(const tr_tokens *t, size_t i, const char *name)
{
    return is_call(t, i, name) && tr_token_is(t, i + 2, ")");
}

/* `name` */
static tr_code put_backticks(tr_rewrite *w, size_t i, tr_err *err)
{
    TR_TRY(tr_rewrite_put(w, i, i + 1, "", err));
    return tr_put_name(w->out, tr_token_name(w->tokens->at + i, w->arena), err);
}

/* = "chair": a column, or else a text, as the engine finds it. */
static bool is_compared(const tr_tokens *t, size_t i)
{
    static const char *const signs[] = {"=", "==", "!=", NULL};
    return i > 0 && t->at[i].text.at[0] == '"' && tr_word_is_one_of(t, i - 1, signs) &&
           !tr_token_is(t, i + 1, ".") && !tr_token_is(t, i + 1, "(");
}

static tr_code put_compared(tr_rewrite *w, size_t i, tr_err *err)
{
    TR_TRY(tr_rewrite_put(w, i, i + 1, "\1{", err));
    TR_TRY(tr_buf_append(w->out, w->tokens->at[i].text, err));
    TR_TRY(tr_buf_append(w->out, tr_str_of("\1|"), err));
    TR_TRY(tr_put_literal(w->out, tr_token_name(w->tokens->at + i, w->arena), err));
    return tr_buf_append(w->out, tr_str_of("\1}"), err);
}

/* value[3]: Spark counts from 0, DuckDB from 1. Not ARRAY[3], not [3], not a map's ['key']. */
static bool is_index(const tr_tokens *t, size_t i, int64_t *number)
{
    if (i == 0 || !tr_token_is(t, i, "[") || !tr_token_is(t, i + 2, "]") ||
        t->at[i + 1].kind != TR_TOKEN_NUMBER || !tr_str_to_i64(t->at[i + 1].text, number))
        return false;
    const tr_token *base = t->at + i - 1;
    static const char *const before_a_list[] = {"array", "select", "distinct", "all", "in", "by",
                                                "then",  "else",   "when",     "and", "or", "not",
                                                "where", "on",     "from",     "any", "as", NULL};
    if (base->kind == TR_TOKEN_WORD)
        return !tr_word_is_one_of(t, i - 1, before_a_list);
    return base->kind == TR_TOKEN_QUOTED || tr_str_is(base->text, "]") ||
           tr_str_is(base->text, ")");
}

static tr_code refuse(tr_rewrite *w, const char *what, tr_err *err)
{
    *w->state = "0A000";
    return TR_FAIL(err, TR_INVALID, "%s is not there", what);
}

static tr_code check_missing(tr_rewrite *w, size_t i, tr_err *err)
{
    const tr_tokens *t = w->tokens;
    static const char *const calls[] = {"history_meta", "sample_meta", "table_exists", NULL};
    if (tr_token_is(t, i + 1, "(") && tr_word_is_one_of(t, i, calls)) {
        char what[40];
        (void)snprintf(what, sizeof what, "%.*s()", TR_STR_ARG(t->at[i].text));
        return refuse(w, what, err);
    }
    return TR_OK;
}

/* A name behind qsaccel.profile_agg. */
static tr_code check_accelerated(const tr_rewrite *w, size_t i, tr_err *err)
{
    if (!tr_token_is_name(w->tokens, i))
        return TR_OK;
    const char *name = tr_arena_text(w->arena, tr_token_name(w->tokens->at + i, w->arena));
    if (name == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    if (tr_is_dimension_table(name))
        return TR_OK;
    *w->state = "0A000";
    return TR_FAIL(err, TR_INVALID,
                   "qsaccel.profile_agg.%.60s is not there: no daily counts are kept here; profile "
                   "and segment_membership tell of now",
                   name);
}

static tr_code rewrite_word(tr_rewrite *w, size_t *i, tr_err *err)
{
    const tr_tokens *t = w->tokens;
    const size_t at = *i;
    bool is_generator;
    TR_TRY(check_missing(w, at, err));
    if (tr_token_is(t, at, "lateral") && tr_token_is(t, at + 1, "view"))
        return tr_rewrite_lateral_view(w, i, err);
    TR_TRY(tr_rewrite_generator(w, i, &is_generator, err));
    if (is_generator)
        return TR_OK;
    TR_TRY(tr_rewrite_constructor(w, i, &is_generator, err));
    if (is_generator)
        return TR_OK;
    if (tr_token_is(t, at, "minus") && tr_token_is(t, at + 1, "select"))
        return tr_rewrite_put(w, at, at + 1, "EXCEPT", err);
    if (tr_is_shadowed(w, at)) {
        *i = at + 2;
        return tr_rewrite_shadowed(w, at, err);
    }
    if (tr_token_is(t, at, "public") && tr_token_is(t, at + 1, ".")) {
        *i = at + 1;
        return tr_rewrite_put(w, at, at + 2, "", err);
    }
    if (tr_token_is(t, at, "pg_temp") && tr_token_is(t, at + 1, ".") &&
        tr_names_temporary(w, at + 2)) {
        *i = at + 1;
        return tr_rewrite_put(w, at, at + 2, "", err);
    }
    if (tr_token_is(t, at, "qsaccel") && tr_token_is(t, at + 1, ".") &&
        tr_token_is(t, at + 2, "profile_agg") && tr_token_is(t, at + 3, ".")) {
        *i = at + 3;
        TR_TRY(check_accelerated(w, at + 4, err));
        return tr_rewrite_put(w, at, at + 4, "", err);
    }
    if (is_empty_call(t, at, "current_database")) {
        *i = at + 2;
        return tr_rewrite_put_literal(w, at, at + 3, "", tr_str_of(w->session->database), "", err);
    }
    if (is_empty_call(t, at, "current_schema")) {
        *i = at + 2;
        return tr_rewrite_put(w, at, at + 3, "'public'", err);
    }
    if (tr_token_is(t, at, "current_user") || tr_token_is(t, at, "session_user"))
        return tr_rewrite_put_literal(w, at, at + 1, "", tr_str_of(w->session->user), "", err);
    return TR_OK;
}

tr_code tr_rewrite_spark(tr_rewrite *w, tr_err *err)
{
    const tr_tokens *t = w->tokens;
    for (size_t i = 0; i < t->count; i++) {
        int64_t number;
        bool is_snapshot;
        TR_TRY(tr_rewrite_snapshot(w, &i, &is_snapshot, err));
        if (is_snapshot)
            continue;
        if (t->at[i].kind == TR_TOKEN_WORD) {
            TR_TRY(rewrite_word(w, &i, err));
        } else if (t->at[i].kind == TR_TOKEN_QUOTED && t->at[i].text.at[0] == '`') {
            TR_TRY(put_backticks(w, i, err));
        } else if (t->at[i].kind == TR_TOKEN_QUOTED && is_compared(t, i)) {
            TR_TRY(put_compared(w, i, err));
        } else if (is_index(t, i, &number)) {
            char text[32];
            (void)snprintf(text, sizeof text, "%lld", (long long)number + 1);
            TR_TRY(tr_rewrite_put(w, i + 1, i + 2, text, err));
            i += 2;
        }
    }
    return TR_OK;
}

tr_code tr_rewrite_argument(const tr_rewrite *w, const tr_tokens *part, tr_buf *out, tr_err *err)
{
    tr_rewrite inner = *w;
    inner.tokens = part;
    inner.out = out;
    inner.copied = part->at[0].text.at;
    if (++inner.depth > TR_SQL_CALLS_DEPTH_MAX) {
        *w->state = "54001";
        return TR_FAIL(err, TR_INVALID,
                       "struct, array, map and explode stand in each other more than %d deep",
                       TR_SQL_CALLS_DEPTH_MAX);
    }
    TR_TRY(tr_rewrite_spark(&inner, err));
    const tr_str last = part->at[part->count - 1].text;
    return tr_rewrite_copy_to(&inner, last.at + last.len, err);
}
