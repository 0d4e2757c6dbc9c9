/* SPDX-License-Identifier: Apache-2.0 */
/* snapshots.c - see snapshots.h. */
#include "sql/snapshots.h"

#include "base/clock.h"
#include "sql/live_tables.h"
#include "sql/rewrite_internal.h"
#include "sql/temporary.h"

#include <stdio.h>

/* Rewriting ------------------------------------------------------------------------------------ */

static tr_code refuse(tr_rewrite *w, tr_err *err, const char *what)
{
    *w->state = "42601";
    return TR_FAIL(err, TR_INVALID, "%s", what);
}

/* 17, '17', HEAD, 'TAIL'. */
static bool take_bound(const tr_tokens *t, size_t i, char out[24])
{
    int64_t number;
    tr_str text = i < t->count ? t->at[i].text : (tr_str){0};
    if (text.len > 2 && t->at[i].kind == TR_TOKEN_STRING)
        text = (tr_str){text.at + 1, text.len - 2};
    const bool is_end = tr_str_equal_folded(text, tr_str_of("head")) ||
                        tr_str_equal_folded(text, tr_str_of("tail"));
    if (!is_end && !tr_str_to_i64(text, &number))
        return false;
    (void)snprintf(out, 24, "%.*s", text.len > 20 ? 20 : (int)text.len, (const char *)text.at);
    return true;
}

/* What stands behind a table's name; *to is behind it. false: nothing of a snapshot does. */
static bool read_wanted(const tr_tokens *t, size_t i, char out[64], size_t *to, bool *is_bad)
{
    char from[24] = "", until[24] = "";
    const bool has_word = tr_token_is(t, i, "snapshot");
    const size_t at = i + has_word;
    const bool is_since = has_word && tr_token_is(t, at, "since");
    const bool is_between = has_word && tr_token_is(t, at, "between");
    const bool is_as_of = tr_token_is(t, at, "as") && tr_token_is(t, at + 1, "of");
    if (!is_since && !is_between && !(is_as_of && (has_word || take_bound(t, at + 2, from))))
        return false;
    const size_t first = at + 1 + is_as_of;
    *is_bad =
        !take_bound(t, first, from) ||
        (is_between && (!tr_token_is(t, first + 1, "and") || !take_bound(t, first + 2, until)));
    *to = first + (is_between ? 3 : 1);
    (void)snprintf(out, 64, "%s %s%s%s",
                   is_since     ? "since"
                   : is_between ? "between"
                                : "as of",
                   from, is_between ? " " : "", until);
    return true;
}

/* Whether something that can be an alias follows. */
static bool has_alias(const tr_tokens *t, size_t i)
{
    static const char *const none[] = {
        "where",  "on",    "join",      "left",    "right",   "inner",  "full",    "cross",
        "order",  "group", "limit",     "union",   "using",   "having", "qualify", "window",
        "except", "minus", "intersect", "lateral", "natural", "offset", NULL};
    return tr_token_is(t, i, "as") || (tr_token_is_name(t, i) && !tr_word_is_one_of(t, i, none));
}

/* "crm@wanted" AS "crm" */
static tr_code write_name(tr_rewrite *w, tr_str table, const char *wanted, bool has_own,
                          tr_buf *out, tr_err *err)
{
    if (memchr(table.at, '"', table.len) != NULL)
        return refuse(w, err, "a snapshot of a table with a quote in its name");
    TR_TRY(tr_buf_format(out, err, "\"%.*s@%s\"", TR_STR_ARG(table), wanted));
    return has_own ? TR_OK : tr_buf_format(out, err, " AS \"%.*s\"", TR_STR_ARG(table));
}

static tr_code put_name(tr_rewrite *w, size_t from, size_t to, tr_str table, const char *wanted,
                        bool has_own, tr_err *err)
{
    tr_buf out = {0};
    tr_code code = write_name(w, table, wanted, has_own, &out, err);
    if (code == TR_OK)
        code = tr_buf_append(&out, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK)
        code = tr_rewrite_put(w, from, to, (const char *)out.at, err);
    tr_buf_free(&out);
    return code;
}

/* Temporary tables ----------------------------------------------------------------------------- */

bool tr_names_temporary(const tr_rewrite *w, size_t i)
{
    return tr_token_is_name(w->tokens, i) &&
           tr_temporary_find(w->session->temporary, tr_token_name(w->tokens->at + i, w->arena)) !=
               NULL;
}

bool tr_is_shadowed(const tr_rewrite *w, size_t i)
{
    char wanted[64];
    size_t to;
    bool is_bad;
    if (read_wanted(w->tokens, i + 3, wanted, &to, &is_bad))
        return false; /* a snapshot of it has another name already */
    return tr_token_is(w->tokens, i, "public") && tr_token_is(w->tokens, i + 1, ".") &&
           !tr_token_is(w->tokens, i + 3, ".") && tr_is_table_place(w->tokens, i) &&
           tr_names_temporary(w, i + 2);
}

tr_code tr_rewrite_shadowed(tr_rewrite *w, size_t i, tr_err *err)
{
    return put_name(w, i, i + 3, tr_token_name(w->tokens->at + i + 2, w->arena), "public",
                    has_alias(w->tokens, i + 3), err);
}

/* Of one that stands for a dataset's table there are none. */
static tr_code check_has_snapshots(tr_rewrite *w, tr_str table, bool is_public, tr_err *err)
{
    if (is_public || tr_temporary_find(w->session->temporary, table) == NULL)
        return TR_OK;
    *w->state = "0A000";
    return TR_FAIL(err, TR_INVALID,
                   "\"%.*s\" is a temporary table, which has no snapshots: public.%.*s means the "
                   "dataset's",
                   TR_STR_ARG(table), TR_STR_ARG(table));
}

/* (SELECT history_meta('crm')) */
static bool is_history(const tr_tokens *t, size_t i)
{
    return tr_token_is(t, i, "(") && tr_token_is(t, i + 1, "select") &&
           tr_token_is(t, i + 2, "history_meta") && tr_token_is(t, i + 3, "(") &&
           i + 6 < t->count && t->at[i + 4].kind == TR_TOKEN_STRING && tr_token_is(t, i + 5, ")") &&
           tr_token_is(t, i + 6, ")");
}

/* name ( 'crm' ) */
static bool is_call_of_text(const tr_tokens *t, size_t i, const char *name)
{
    return tr_token_is(t, i, name) && tr_token_is(t, i + 1, "(") && i + 3 < t->count &&
           t->at[i + 2].kind == TR_TOKEN_STRING && tr_token_is(t, i + 3, ")");
}

static tr_str text_at(const tr_tokens *t, size_t i)
{
    const tr_str text = t->at[i].text;
    return (tr_str){text.at + 1, text.len < 2 ? 0 : text.len - 2};
}

/* A call that stands for a table: history_meta, table_exists. */
static tr_code rewrite_call(tr_rewrite *w, size_t *i, bool *is_one, tr_err *err)
{
    const tr_tokens *t = w->tokens;
    const size_t from = *i;
    *is_one = true;
    if (is_history(t, from))
        TR_TRY(check_has_snapshots(w, text_at(t, from + 4), false, err));
    if (is_history(t, from)) {
        *i += 6;
        return put_name(w, from, from + 7, text_at(t, from + 4), "history", has_alias(t, from + 7),
                        err);
    }
    if (from == 1 && tr_token_is(t, 0, "select") && is_call_of_text(t, 1, "history_meta")) {
        *i += 3;
        TR_TRY(check_has_snapshots(w, text_at(t, from + 2), false, err));
        TR_TRY(tr_rewrite_put(w, from, from + 4, "* FROM ", err));
        return write_name(w, text_at(t, from + 2), "history", false, w->out, err);
    }
    if (is_call_of_text(t, from, "table_exists")) {
        *i += 3;
        if (tr_temporary_find(w->session->temporary, text_at(t, from + 2)) != NULL)
            return tr_rewrite_put(w, from, from + 4, "true", err);
        TR_TRY(tr_rewrite_put(w, from, from + 4, "(SELECT is_there FROM ", err));
        TR_TRY(write_name(w, text_at(t, from + 2), "exists", true, w->out, err));
        return tr_buf_append(w->out, tr_str_of(")"), err);
    }
    *is_one = false;
    return TR_OK;
}

tr_code tr_rewrite_snapshot(tr_rewrite *w, size_t *i, bool *is_one, tr_err *err)
{
    const tr_tokens *t = w->tokens;
    char wanted[64];
    size_t to = 0;
    bool is_bad = false;
    TR_TRY(rewrite_call(w, i, is_one, err));
    if (*is_one)
        return TR_OK;
    *is_one = tr_token_is_name(t, *i) && read_wanted(t, *i + 1, wanted, &to, &is_bad);
    if (!*is_one)
        return TR_OK;
    if (is_bad)
        return refuse(w, err,
                      "SNAPSHOT takes SINCE id, AS OF id, or BETWEEN id AND id; an id is a "
                      "number, HEAD or TAIL");
    const size_t from = *i;
    const bool is_public = from >= 2 && tr_token_is(t, from - 2, "public");
    TR_TRY(check_has_snapshots(w, tr_token_name(t->at + from, w->arena), is_public, err));
    *i = to - 1;
    return put_name(w, from, to, tr_token_name(t->at + from, w->arena), wanted, has_alias(t, to),
                    err);
}

/* Tables --------------------------------------------------------------------------------------- */

bool tr_snapshot_name(tr_str name, tr_str *table, tr_str *wanted)
{
    const uint8_t *at = memrchr(name.at, '@', name.len);
    if (at == NULL)
        return false;
    *table = (tr_str){name.at, (size_t)(at - name.at)};
    *wanted = tr_str_from(name, table->len + 1);
    return true;
}

/* The number of batches up to a bound, the bound's own included. */
static tr_code find_bound(tr_str table, tr_str bound, const tr_snapshot_batch *batches,
                          size_t count, int64_t fallback, size_t *out, tr_err *err)
{
    int64_t id = 0;
    *out = tr_str_equal_folded(bound, tr_str_of("head")) ? 0 : count;
    if (tr_str_equal_folded(bound, tr_str_of("head")) ||
        tr_str_equal_folded(bound, tr_str_of("tail")))
        return TR_OK;
    if (!tr_str_to_i64(bound, &id))
        return TR_FAIL(err, TR_INVALID, "a snapshot's id that is no number");
    for (size_t i = 0; i < count; i++)
        if (batches[i].id == id) {
            *out = i + 1;
            return TR_OK;
        }
    if (fallback < 0)
        return TR_FAIL(err, TR_INVALID,
                       "table %.*s has no snapshot %lld: SELECT history_meta('%.*s') lists them",
                       TR_STR_ARG(table), (long long)id, TR_STR_ARG(table));
    *out = (size_t)fallback;
    return TR_OK;
}

static tr_code put_files(const tr_snapshot_batch *batches, size_t from, size_t to, json_t **out,
                         tr_err *err)
{
    json_t *files = json_array();
    for (size_t i = from; i < to && files != NULL; i++)
        if (json_array_extend(files, batches[i].files) != 0) {
            json_decref(files);
            files = NULL;
        }
    *out = files;
    return files != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for a snapshot");
}

/* Without a batch between the bounds, the columns are those of all, and there are no rows. */
static tr_code put_none(const tr_snapshot_batch *batches, size_t count, json_t **out, tr_err *err)
{
    json_t *files = NULL;
    TR_TRY(put_files(batches, 0, count, &files, err));
    if (count > 0)
        files = json_pack("{s:o, s:s}", "files", files, "sql",
                          "SELECT COLUMNS(lambda c: c <> '_tributary') FROM read_parquet({files}, "
                          "union_by_name=true, hive_partitioning=false) WHERE false");
    *out = files;
    return files != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for a snapshot");
}

static tr_code put_history(const tr_snapshot_batch *batches, size_t count, json_t **out,
                           tr_err *err)
{
    tr_buf sql = {0};
    tr_code code =
        tr_buf_append(&sql,
                      tr_str_of("SELECT * FROM (VALUES (NULL::BIGINT, NULL::BIGINT, NULL::BOOLEAN, "
                                "NULL::TIMESTAMPTZ, NULL::BOOLEAN, NULL::VARCHAR, NULL::BIGINT)"),
                      err);
    for (size_t i = 0; i < count && code == TR_OK; i++) {
        char parent[24] = "NULL";
        if (i > 0)
            (void)snprintf(parent, sizeof parent, "%lld", (long long)batches[i - 1].id);
        code =
            tr_buf_format(&sql, err, ", (%lld, %s, %s, make_timestamptz(%lld), true, '%s', %lld)",
                          (long long)batches[i].id, parent, i + 1 == count ? "true" : "false",
                          (long long)batches[i].id, batches[i].batch, (long long)batches[i].rows);
    }
    if (code == TR_OK)
        code = tr_buf_append(
            &sql,
            tr_str_of(") AS h(snapshot_id, parent_id, is_current, made_current_at, "
                      "is_current_ancestor, batch_id, records) WHERE snapshot_id IS NOT NULL"),
            err);
    if (code == TR_OK)
        *out = json_pack("{s:[], s:o}", "files", "sql", tr_json_str(tr_buf_str(&sql)));
    tr_buf_free(&sql);
    if (code == TR_OK && *out == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a history");
    return code;
}

static tr_str next_word(tr_str *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->at[len] != ' ')
        len++;
    const tr_str word = {rest->at, len};
    *rest = tr_str_from(*rest, len < rest->len ? len + 1 : len);
    return word;
}

tr_code tr_snapshot_exists(bool is_there, json_t **out, tr_err *err)
{
    *out = json_pack("{s:[], s:s}", "files", "sql",
                     is_there ? "SELECT true AS is_there" : "SELECT false AS is_there");
    return *out != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for an answer");
}

tr_code tr_snapshot_table(tr_str table, tr_str wanted, const tr_snapshot_batch *batches,
                          size_t count, bool falls_back, json_t **out, tr_err *err)
{
    size_t from = 0, to = count;
    if (tr_str_is(wanted, "history"))
        return put_history(batches, count, out, err);
    tr_str rest = wanted;
    const tr_str how = next_word(&rest);
    if (tr_str_is(how, "as"))
        (void)next_word(&rest);
    const tr_str first = next_word(&rest);
    const int64_t last = falls_back ? (int64_t)count : -1;
    if (tr_str_is(how, "as"))
        TR_TRY(find_bound(table, first, batches, count, last, &to, err));
    else
        TR_TRY(find_bound(table, first, batches, count, falls_back ? 0 : -1, &from, err));
    if (tr_str_is(how, "between"))
        TR_TRY(find_bound(table, next_word(&rest), batches, count, last, &to, err));
    return from < to ? put_files(batches, from, to, out, err) : put_none(batches, count, out, err);
}
