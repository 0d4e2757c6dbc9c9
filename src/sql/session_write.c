/* SPDX-License-Identifier: Apache-2.0 */
/* session_write.c - a session's statement that writes: a job as POST /queries makes one, and its
 * end awaited. Cancelling the statement, or going, cancels the job.
 */
#include "sql/sql_internal.h"

#include "sql/query_job.h"
#include "sql/temporary.h"

#include <stdio.h>

enum { LOOK_MS = 200 };

static bool has_gone(const tr_sql_connection *c)
{
    const tr_query_patience patience = {.cancel = &c->is_cancelled, .client_fd = c->wire.fd};
    return tr_query_check_patience(&patience, "", NULL) != TR_OK;
}

static tr_code await_end(tr_sql_connection *c, const char *id, tr_object *out, tr_err *err)
{
    tr_query_jobs *jobs = c->sql->options.jobs;
    bool is_asked = false;
    for (;;) {
        TR_TRY(tr_query_wait(jobs, &c->person.tenant, id, LOOK_MS, out, err));
        if (tr_query_has_ended(out->state))
            return TR_OK;
        tr_object_clear(out);
        if (atomic_load(&c->sql->is_stopping))
            return TR_FAIL(err, TR_BUSY, "the server is shutting down");
        if (!is_asked && has_gone(c)) {
            is_asked = true;
            (void)!tr_query_cancel(jobs, &c->person.tenant, id, NULL); /* it may have ended */
        }
    }
}

/* How it ended, as the session tells it. */
static tr_code judge(tr_sql_connection *c, const tr_object *query, uint64_t *rows, tr_err *err)
{
    const json_t *why = json_array_get(json_object_get(query->doc, "errors"), 0);
    if (strcmp(query->state, "SUCCESS") != 0)
        return tr_sql_fail(c, tr_json_text(why, "code", "58000"), err, "%s",
                           tr_json_text(why, "message", "the query failed"));
    *rows = (uint64_t)tr_json_int(query->doc, "rowCount", 0);
    return TR_OK;
}

/* temporary  those of the session that it reads; NULL: none */
static tr_code submit(tr_sql_connection *c, tr_str sql, const json_t *temporary, json_t **out,
                      tr_err *err)
{
    tr_err why = {0};
    const char *state = "58000";
    json_t *text = tr_json_str(sql);
    json_t *request =
        text == NULL ? NULL
                     : json_pack("{s:o,s:o}", "dbName",
                                 json_sprintf("%s:all%s", c->person.tenant.sandbox,
                                              c->is_flat ? "?FLATTEN" : ""),
                                 "sql", text);
    if (request == NULL)
        return tr_sql_fail(c, "22021", err, "the statement is not UTF-8 text");
    const tr_query_order order = {.request = request,
                                  .client = c->application_name[0] != '\0' ? c->application_name
                                                                           : "PostgreSQL",
                                  .client_id = c->person.client_id,
                                  .temporary = temporary,
                                  .state = &state};
    const tr_code code =
        tr_query_submit(c->sql->options.jobs, &c->person.tenant, &order, out, &why);
    json_decref(request);
    return code == TR_OK ? TR_OK
                         : tr_sql_fail(c, state == NULL ? "58000" : state, err, "%s", why.text);
}

/* What a statement is about; one about a temporary table needs no job. */
static tr_code read(tr_sql_connection *c, tr_str sql, tr_arena *arena, tr_write *out, tr_err *err)
{
    const char *state = "58000";
    tr_err why = {0};
    return tr_write_read(sql, arena, out, &state, &why) == TR_OK
               ? TR_OK : tr_sql_fail(c, state, err, "%s", why.text);
}

/* A view is of all sessions: what is of this one only is no part of it. */
static tr_code check_view(tr_sql_connection *c, const tr_write *write, tr_arena *arena, tr_err *err)
{
    tr_tokens tokens;
    TR_TRY(tr_lex(write->query, arena, &tokens, err));
    for (size_t i = 0; i < tokens.count; i++) {
        if (!tr_is_table_place(&tokens, i) || tr_token_is(&tokens, i - 1, "."))
            continue;
        const tr_str name = tr_token_name(tokens.at + i, arena);
        if (tr_temporary_find(c->temporary, name) != NULL)
            return tr_sql_fail(c, "0A000", err,
                               "a view does not read the temporary table \"%.*s\": public.%.*s "
                               "means the one that stays",
                               TR_STR_ARG(name), TR_STR_ARG(name));
    }
    return TR_OK;
}

static tr_code write_as_job(tr_sql_connection *c, tr_str sql, bool is_view, uint64_t *rows,
                            tr_err *err)
{
    json_t *doc = NULL, *temporary = NULL;
    tr_object query = {0};
    if (c->sql->options.jobs == NULL)
        return tr_sql_fail(c, "0A000", err, "this server runs no statements that write");
    if (!is_view)
        TR_TRY(tr_temporary_named(c->temporary, sql, &temporary, err));
    tr_code code = submit(c, sql, temporary, &doc, err);
    json_decref(temporary);
    if (code == TR_OK)
        code = await_end(c, tr_json_text(doc, "id", ""), &query, err);
    if (code == TR_OK)
        code = judge(c, &query, rows, err);
    tr_object_clear(&query);
    json_decref(doc);
    return code;
}

tr_code tr_sql_write(tr_sql_connection *c, tr_str sql, uint64_t *rows, tr_err *err)
{
    tr_write write;
    tr_arena arena = {0};
    TR_TRY(tr_sql_admit_again(c, err));
    if (!c->person.may_write)
        return tr_sql_fail(c, "42501", err, "this client may read only: its role is viewer");
    tr_code code = read(c, sql, &arena, &write, err);
    const bool is_view = code == TR_OK && write.kind == TR_WRITE_VIEW;
    if (is_view)
        code = check_view(c, &write, &arena, err);
    if (code == TR_OK)
        code = tr_sql_is_temporary(c, &write) ? tr_sql_write_temporary(c, &write, rows, err)
                                              : write_as_job(c, sql, is_view, rows, err);
    tr_arena_free(&arena);
    return code;
}
