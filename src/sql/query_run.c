/* SPDX-License-Identifier: Apache-2.0 */
/* query_run.c - one job from its start to its end; see query_job.h.
 *
 *     "_dataset"   a new table's dataset, noted before it is made
 *     "_batch"     noted in the transaction that makes it
 *     "_complete"  all rows are uploaded: from here on the batch decides, not the query
 */
#include "sql/query_job_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "sql/query_alert.h"
#include "sql/tables.h"
#include "sql/temporary.h"
#include "sql/view_store.h"

#include <stdio.h>
#include <time.h>

enum { PIECE_BYTES = 8 * 1024 * 1024, POLL_LEAST_MS = 10, POLL_MOST_MS = 250, RETRY_MS = 1000 };

typedef struct run {
    tr_query_active *active;
    tr_query_jobs *jobs;
    const tr_tenant *tenant;
    tr_object job;
    tr_arena arena;
    tr_query_text text;
    const char *state; /* SQLSTATE of the failure; NULL: 58000 */
    json_t *columns;
    char dataset[40]; /* written to */
    char batch[64];   /* "": none yet */
    tr_buf piece;     /* lines that are not uploaded yet */
    uint32_t piece_count;
    uint64_t rows;
    int64_t started_us;
} run;

static bool is_stopping(tr_query_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    const bool is = jobs->is_stopping;
    pthread_mutex_unlock(&jobs->lock);
    return is;
}

static void sleep_ms(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&pause, NULL);
}

static tr_code note(run *r, const char *state, json_t *members, tr_err *err)
{
    return tr_query_note(r->jobs, r->tenant, r->active->id, state, members, err);
}

/* The worker ---------------------------------------------------------------------------------- */

static tr_code fail_by_answer(tr_str answer, const char **state, tr_err *err)
{
    json_t *failure = NULL;
    static const char *const states[] = {"42601", "42P01", "42883", "42703", "22P02", "22003",
                                         "22012", "42501", "0A000", "53200", "53400", "42804",
                                         "42702", "42803", "22007", "22008", "22023", "42P17",
                                         "54000", "54001"};
    TR_TRY(tr_json_parse(answer, &failure, err));
    const char *is = tr_json_text(failure, "state", "58000");
    *state = "58000";
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(states[i], is) == 0)
            *state = states[i];
    const tr_code code =
        TR_FAIL(err, TR_INVALID, "%s", tr_json_text(failure, "text", "no reason was given"));
    json_decref(failure);
    return code;
}

tr_code tr_query_next(tr_query_active *active, tr_query_answer *answer, const char **state,
                      tr_err *err)
{
    *state = "58000";
    const tr_code code = tr_query_session_next(active->session, answer, err);
    if (code == TR_LIMIT)
        *state = "53400";
    TR_TRY(code);
    return answer->kind == 'E' ? fail_by_answer(answer->bytes, state, err) : TR_OK;
}

/* A statement on its way to the worker. */
typedef struct sending {
    const char *verb;
    const tr_query_text *text;
    bool is_whole;     /* of live tables, all columns */
    bool is_narrow;    /* some were left out */
    json_t *temporary; /* files that go once the worker holds its own */
} sending;

static tr_code find_tables(tr_query_active *active, sending *s, json_t **out, tr_err *err)
{
    const tr_query_jobs_parts *parts = &active->jobs->parts;
    const tr_tables_wanted wanted = {
        .sql = s->text->plan.sql,
        .is_all = s->text->plan.is_probe,
        .may_be_empty = true,
        .new_view = s->text->new_view};
    const int64_t deadline_s = tr_query_limit_s(active);
    const tr_live_wanted live = {
        .sql = s->text->plan.sql,
        .is_columns_only = strcmp(s->verb, "describe") == 0,
        .is_whole = s->is_whole,
        .is_listed = s->text->plan.is_probe,
        .patience = {.cancel = &active->must_end,
                     .client_fd = -1,
                     .deadline_us = tr_time_monotonic_us() + deadline_s * 1000000}};
    json_t *tables = NULL;
    TR_TRY(tr_tables_find(parts->catalog, parts->lake, &active->tenant, &wanted, &tables, err));
    tr_code code = tr_temporary_put(s->text->temporary, wanted.sql, wanted.is_all, tables, err);
    if (code == TR_OK && parts->live != NULL)
        code = tr_live_tables_add(parts->live, &active->tenant, &live, tables, &s->temporary,
                                  &s->is_narrow, err);
    if (code == TR_OK && s->text->is_flat)
        code = tr_tables_flatten(tables, err);
    if (code == TR_OK)
        *out = tables;
    else
        json_decref(tables);
    return code;
}

static tr_code make_command(tr_query_active *active, sending *s, json_t **out, tr_err *err)
{
    json_t *tables = NULL;
    const tr_plan *plan = &s->text->plan;
    TR_TRY(find_tables(active, s, &tables, err));
    json_t *sql = tr_json_str(plan->sql);
    *out = sql == NULL || memchr(plan->sql.at, '\0', plan->sql.len) != NULL
               ? NULL
               : json_pack("{s:s,s:O,s:O,s:b,s:s*,s:s,s:s,s:s}", "do", s->verb, "sql", sql,
                           "tables", tables, "probe", plan->is_probe, "explain", plan->explain,
                           "user", active->tenant.org, "database", "all", "id", active->id);
    json_decref(sql);
    json_decref(tables);
    return *out == NULL ? TR_FAIL(err, TR_INVALID, "the statement is not UTF-8 text") : TR_OK;
}

/* A worker of its own, which a cancel kills. */
static tr_code open_session(tr_query_active *active, tr_err *err)
{
    tr_query_session *session = NULL;
    const tr_query_turn turn = {.cancel = &active->must_end, .client_fd = -1};
    TR_TRY(tr_query_session_take(active->jobs->parts.query, &turn, &session, err));
    tr_query_session_limit(session, tr_query_limit_s(active));
    pthread_mutex_lock(&active->jobs->lock);
    active->session = session;
    if (atomic_load(&active->must_end) || active->jobs->is_stopping)
        tr_query_session_kill(session);
    pthread_mutex_unlock(&active->jobs->lock);
    return TR_OK;
}

void tr_query_worker_end(tr_query_active *active)
{
    pthread_mutex_lock(&active->jobs->lock);
    tr_query_session *session = active->session;
    active->session = NULL;
    pthread_mutex_unlock(&active->jobs->lock);
    tr_query_session_close(session);
}

static tr_code start_once(tr_query_active *active, sending *s, tr_query_answer *answer,
                          const char **state, tr_err *err)
{
    json_t *command = NULL;
    tr_code code = make_command(active, s, &command, err);
    if (code == TR_INVALID || code == TR_SEMANTIC) /* a snapshot that is no more, or of a view */
        *state = code == TR_INVALID ? "22023" : "0A000";
    if (code == TR_OK)
        code = tr_query_session_send(active->session, command, err);
    json_decref(command);
    tr_live_tables_forget(s->temporary);
    s->temporary = NULL;
    return code == TR_OK ? tr_query_next(active, answer, state, err) : code;
}

/* Again when a file has gone before the worker could hold it, and once when a column is not there
 * of which some were left out. */
static tr_code start_command(tr_query_active *active, sending *s, tr_query_answer *answer,
                             const char **state, tr_err *err)
{
    enum { TRIES = 20 };
    tr_code code = TR_NOT_FOUND;
    for (int i = 0; i < TRIES && code == TR_NOT_FOUND; i++) {
        *state = "58000";
        code = start_once(active, s, answer, state, err);
        if (code == TR_INVALID && s->is_narrow && strcmp(*state, "42703") == 0) {
            TR_TRY(tr_query_session_next(active->session, answer, err)); /* Z */
            *s = (sending){.verb = s->verb, .text = s->text, .is_whole = true};
            code = TR_NOT_FOUND;
        }
    }
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_IO, "the data changes too fast to read it")
                                : code;
}

tr_code tr_query_worker_start(tr_query_active *active, const char *verb, const tr_query_text *text,
                              json_t **first, const char **state, tr_err *err)
{
    tr_query_answer answer;
    sending s = {.verb = verb, .text = text, .is_whole = strcmp(verb, "describe") == 0};
    *state = "58000";
    TR_TRY(open_session(active, err));
    TR_TRY(start_command(active, &s, &answer, state, err));
    if (answer.kind != 'T')
        return TR_FAIL(err, TR_IO, "the SQL worker answered out of order");
    return tr_json_parse(answer.bytes, first, err);
}

/* Rows ---------------------------------------------------------------------------------------- */

/* The batch, and its name in the job, in one transaction. */
static tr_code open_batch(run *r, tr_err *err)
{
    json_t *batch = NULL;
    tr_catalog *catalog = r->jobs->parts.catalog;
    json_t *body =
        json_pack("{s:s,s:{s:s}}", "datasetId", r->dataset, "inputFormat", "format", "json");
    tr_code code = tr_catalog_begin(catalog, err);
    if (code == TR_OK) {
        code = tr_ingest_create(r->jobs->parts.ingest, r->tenant, body,
                                tr_json_text(r->job.doc, "clientId", ""), &batch, err);
        if (code == TR_OK) {
            (void)snprintf(r->batch, sizeof r->batch, "%s", tr_json_text(batch, "id", ""));
            code = note(r, NULL, json_pack("{s:s}", "_batch", r->batch), err);
        }
        code = tr_catalog_end(catalog, code, err);
    }
    tr_crash_point("query_batch_made");
    json_decref(batch);
    json_decref(body);
    return code;
}

/* Files are read in the order of their names. */
static tr_code put_piece(run *r, tr_err *err)
{
    char path[32];
    json_t *file = NULL;
    if (r->batch[0] == '\0')
        TR_TRY(open_batch(r, err));
    (void)snprintf(path, sizeof path, "part-%08u.json", r->piece_count++);
    TR_TRY(tr_ingest_put(r->jobs->parts.ingest, r->tenant, r->batch, r->dataset, tr_str_of(path),
                         tr_buf_str(&r->piece), &file, err));
    json_decref(file);
    tr_crash_point("query_piece_put");
    r->piece.len = 0;
    return TR_OK;
}

static uint64_t count_lines(tr_str lines)
{
    uint64_t count = 0;
    for (const uint8_t *at = lines.at, *end = lines.at + lines.len; at < end; count++)
        at = (const uint8_t *)memchr(at, '\n', (size_t)(end - at)) + 1; /* each line is whole */
    return count;
}

/* Those of a SELECT are only counted. */
static tr_code take_rows(run *r, tr_err *err)
{
    for (;;) {
        tr_query_answer answer;
        TR_TRY(tr_query_next(r->active, &answer, &r->state, err));
        if (answer.kind == 'Z')
            break;
        if (answer.kind != 'J' || answer.bytes.len == 0 ||
            answer.bytes.at[answer.bytes.len - 1] != '\n')
            return TR_FAIL(err, TR_IO, "the SQL worker answered out of order");
        r->rows += count_lines(answer.bytes);
        if (r->text.write.kind == TR_WRITE_NONE)
            continue;
        TR_TRY(tr_buf_append(&r->piece, answer.bytes, err));
        if (r->piece.len >= PIECE_BYTES)
            TR_TRY(put_piece(r, err));
    }
    return r->piece.len > 0 ? put_piece(r, err) : TR_OK;
}

/* Targets ------------------------------------------------------------------------------------- */

static tr_code name_of_target(run *r, char name[256], tr_err *err)
{
    r->state = "42602";
    if (r->text.write.table.len >= 256)
        return TR_FAIL(err, TR_INVALID,
                       "the name of the table has %zu bytes, at most 255 are "
                       "allowed",
                       r->text.write.table.len);
    (void)snprintf(name, 256, "%.*s", TR_STR_ARG(r->text.write.table));
    return TR_OK;
}

/* Before the query runs: *is_done when there is nothing left to do. */
static tr_code look_for_target(run *r, tr_object *target, bool *is_done, tr_err *err)
{
    char name[256];
    if (r->text.write.kind == TR_WRITE_NONE)
        return TR_OK;
    TR_TRY(name_of_target(r, name, err));
    if (tr_view_is_kept(r->jobs->parts.catalog, r->tenant, r->text.write.table)) {
        const bool is_insert = r->text.write.kind == TR_WRITE_INSERT;
        r->state = is_insert ? "42809" : "42P07";
        return TR_FAIL(err, TR_INVALID, "\"%.100s\" is a view%s", name,
                       is_insert ? ": rows go into tables" : " already");
    }
    const tr_code code = tr_query_find_table(r->jobs, r->tenant, name, target, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    if (r->text.write.kind == TR_WRITE_INSERT) {
        r->state = "42P01";
        return code == TR_OK ? TR_OK
                             : TR_FAIL(err, TR_INVALID, "there is no table \"%.100s\"", name);
    }
    r->state = "42P07";
    *is_done = code == TR_OK && r->text.write.is_lenient;
    return code == TR_OK && !*is_done
               ? TR_FAIL(err, TR_INVALID, "the table \"%.100s\" is there already", name)
               : TR_OK;
}

/* When the columns are known. */
static tr_code prepare_target(run *r, const tr_object *target, tr_err *err)
{
    if (r->text.write.kind == TR_WRITE_INSERT) {
        (void)snprintf(r->dataset, sizeof r->dataset, "%s", target->id);
        return tr_query_check_columns(
            r->jobs, r->tenant, tr_json_text(json_object_get(target->doc, "schemaRef"), "id", ""),
            r->columns, &r->state, err);
    }
    if (r->text.write.kind != TR_WRITE_TABLE)
        return TR_OK;
    (void)snprintf(r->dataset, sizeof r->dataset, "%s", tr_id_hex(24).text);
    TR_TRY(note(r, NULL, json_pack("{s:s}", "_dataset", r->dataset), err));
    TR_TRY(tr_query_make_table(r->jobs, r->tenant, &r->job, &r->text.write, r->dataset, r->columns,
                               &r->state, err));
    tr_crash_point("query_table_made");
    return TR_OK;
}

static tr_code run_query(run *r, bool *is_done, tr_err *err)
{
    json_t *first = NULL;
    tr_object target = {0};
    tr_code code = look_for_target(r, &target, is_done, err);
    if (code == TR_OK && !*is_done)
        code = tr_query_worker_start(r->active, "write", &r->text, &first, &r->state, err);
    if (code == TR_OK && !*is_done) {
        r->columns = json_incref(json_object_get(first, "columns"));
        code = prepare_target(r, &target, err);
        if (code == TR_OK)
            code = take_rows(r, err);
    }
    tr_query_worker_end(r->active);
    json_decref(first);
    tr_object_clear(&target);
    return code;
}

/* The batch ----------------------------------------------------------------------------------- */

static tr_code act(run *r, const char *action, tr_err *err)
{
    json_t *result = NULL;
    TR_TRY(tr_ingest_action(r->jobs->parts.ingest, r->tenant, r->batch, tr_str_of(action), &result,
                            err));
    json_decref(result);
    return TR_OK;
}

static tr_code fail_by_batch(run *r, const tr_object *batch, tr_err *err)
{
    const json_t *why = json_array_get(json_object_get(batch->doc, "errors"), 0);
    r->state = "22000";
    return TR_FAIL(err, TR_INVALID, "the rows were not taken: %s",
                   tr_json_text(why, "description", "the batch failed"));
}

/* TR_BUSY: the server stops first. */
static tr_code await_batch(run *r, tr_err *err)
{
    bool is_asked = false;
    for (int64_t pause_ms = POLL_LEAST_MS;; pause_ms += pause_ms / 2) {
        tr_object batch = {0};
        TR_TRY(tr_catalog_get(r->jobs->parts.catalog, r->tenant, "batch", r->batch, &batch, err));
        const bool is_good =
            strcmp(batch.state, "success") == 0 || strcmp(batch.state, "active") == 0;
        const bool is_bad = strcmp(batch.state, "failure") == 0;
        const bool is_gone = strcmp(batch.state, "aborted") == 0 ||
                             strcmp(batch.state, "inactive") == 0 ||
                             strcmp(batch.state, "deleted") == 0;
        const tr_code code = is_bad ? fail_by_batch(r, &batch, err) : TR_OK;
        tr_object_clear(&batch);
        if (is_good || is_bad)
            return code;
        if (is_gone)
            return TR_FAIL(err, TR_CANCELLED, "its batch was taken back");
        if (is_stopping(r->jobs))
            return TR_FAIL(err, TR_BUSY, "the server is stopping");
        if (!is_asked && atomic_load(&r->active->is_cancelled)) {
            is_asked = true; /* what is through already is not taken back */
            (void)act(r, "ABORT", NULL);
        }
        sleep_ms(pause_ms < POLL_MOST_MS ? pause_ms : POLL_MOST_MS);
    }
}

static tr_code publish(run *r, tr_err *err)
{
    if (r->batch[0] == '\0')
        return TR_OK;
    TR_TRY(note(r, NULL, json_pack("{s:b,s:I}", "_complete", 1, "rowCount", (json_int_t)r->rows),
                err));
    tr_crash_point("query_complete_noted");
    TR_TRY(act(r, "COMPLETE", err));
    tr_crash_point("query_completed");
    return await_batch(r, err);
}

/* The end ------------------------------------------------------------------------------------- */

/* Of a job that has not come through: nothing of it stays. */
static tr_code clean_up(run *r, tr_err *err)
{
    const tr_table_maker *maker = &r->jobs->parts.maker;
    const char *made = tr_json_text(r->job.doc, "_dataset", r->dataset);
    if (r->batch[0] == '\0')
        (void)snprintf(r->batch, sizeof r->batch, "%s", tr_json_text(r->job.doc, "_batch", ""));
    if (r->batch[0] != '\0')
        (void)act(r, "ABORT", NULL); /* it may be over already */
    tr_code code = TR_OK;
    if (r->text.write.kind == TR_WRITE_TABLE && made[0] != '\0')
        code = maker->drop(maker->ctx, r->tenant, made, err);
    r->batch[0] = r->dataset[0] = '\0';
    return code == TR_NOT_FOUND ? TR_OK : code;
}

static json_t *error_of(const run *r, const tr_err *why)
{
    const char *state = r->state == NULL ? "58000" : r->state;
    const bool is_system = strncmp(state, "58", 2) == 0 || strncmp(state, "53", 2) == 0;
    char text[sizeof why->text];
    (void)snprintf(text, sizeof text, "%s", why->text);
    tr_text_mend(text);
    return json_pack("{s:s,s:s,s:s}", "code", state, "message", text, "errorType",
                     is_system ? "SYSTEM_ERROR" : "USER_ERROR");
}

static const char *state_of(const run *r, tr_code code)
{
    const int64_t limit_us = (int64_t)tr_query_deadline_s(r->jobs->parts.query) * 1000000;
    if (code == TR_OK)
        return "SUCCESS";
    if (code == TR_CANCELLED)
        return "KILLED";
    return code == TR_LIMIT && tr_time_now_us() - r->started_us >= limit_us ? "TIMEOUT" : "FAILED";
}

static tr_code write_end(run *r, tr_code code, const tr_err *why, tr_err *err)
{
    tr_catalog *catalog = r->jobs->parts.catalog;
    const int64_t created_ms = r->job.created_ms;
    json_t *members =
        json_pack("{s:I,s:I,s:o}", "elapsedTime", (json_int_t)(tr_time_now_ms() - created_ms),
                  "rowCount", (json_int_t)(code == TR_OK ? r->rows : 0), "errors",
                  code == TR_OK ? json_array() : json_pack("[o]", error_of(r, why)));
    tr_code ended = tr_catalog_begin(catalog, err);
    if (ended != TR_OK) {
        json_decref(members);
        return ended;
    }
    if (code == TR_OK && r->text.write.kind == TR_WRITE_TABLE && r->dataset[0] != '\0')
        ended = tr_query_show_table(r->jobs, r->tenant, r->dataset, err);
    if (ended == TR_OK)
        ended = note(r, state_of(r, code), members, err);
    else
        json_decref(members);
    return tr_catalog_end(catalog, ended, err);
}

/* A catalog that takes no writes (a full disk) is asked again until it does. */
static void end_job(run *r, tr_code code, const tr_err *why)
{
    if (code == TR_CANCELLED)
        r->state = "57014";
    for (bool has_warned = false;; has_warned = true) {
        tr_err err = {0};
        tr_code ended = code == TR_OK ? TR_OK : clean_up(r, &err);
        if (ended == TR_OK)
            ended = write_end(r, code, why, &err);
        if (ended == TR_OK)
            break;
        if (!has_warned)
            tr_log(TR_LOG_WARN, "sql", "query_end_delayed", "query=%s reason=\"%s\"", r->active->id,
                   err.text);
        if (ended == TR_NOT_FOUND || is_stopping(r->jobs))
            return; /* the job is gone with its sandbox, or goes on with the next start */
        sleep_ms(RETRY_MS);
    }
    tr_query_alert_tell(r->jobs->parts.catalog, r->tenant, &r->job, state_of(r, code));
    tr_crash_point("query_ended");
    tr_log(TR_LOG_INFO, "sql", "query_ended", "query=%s state=%s rows=%llu", r->active->id,
           state_of(r, code), (unsigned long long)r->rows);
}

/* Of a job that a crash broke off: *is_complete when its batch has all rows. */
static tr_code pick_up(run *r, bool *is_complete, tr_err *err)
{
    *is_complete = tr_json_bool(r->job.doc, "_complete", false);
    (void)snprintf(r->batch, sizeof r->batch, "%s", tr_json_text(r->job.doc, "_batch", ""));
    (void)snprintf(r->dataset, sizeof r->dataset, "%s", tr_json_text(r->job.doc, "_dataset", ""));
    r->rows = *is_complete ? (uint64_t)tr_json_int(r->job.doc, "rowCount", 0) : 0;
    if (*is_complete)
        return TR_OK;
    TR_TRY(clean_up(r, err));
    TR_TRY(note(r, "IN_PROGRESS", json_pack("{s:s,s:s}", "_batch", "", "_dataset", ""), err));
    tr_query_alert_tell(r->jobs->parts.catalog, r->tenant, &r->job, "IN_PROGRESS");
    return TR_OK;
}

static tr_code note_tables(run *r, tr_err *err)
{
    json_t *ids = NULL;
    TR_TRY(tr_tables_named(r->jobs->parts.catalog, r->tenant, r->text.plan.sql, &ids, err));
    return note(r, NULL, json_pack("{s:o}", "_datasets", ids), err);
}

/* What read temporary tables when the server ended must not read others of their names now. */
static tr_code check_has_session(run *r, tr_err *err)
{
    if (!tr_json_bool(r->job.doc, "_temporary", false) || r->active->temporary != NULL)
        return TR_OK;
    r->state = "57P01";
    return TR_FAIL(err, TR_INVALID,
                   "its session, whose temporary tables it reads, ended when the server did");
}

static tr_code perform(run *r, tr_err *err)
{
    bool is_complete = false, is_done = false;
    const tr_str sql = tr_str_of(tr_json_text(r->job.doc, "effectiveSQL", ""));
    r->text.temporary = r->active->temporary;
    TR_TRY(tr_query_read_sql(r->tenant, sql, &r->arena, &r->text, &r->state, err));
    const json_t *request = json_object_get(r->job.doc, "request");
    (void)tr_tables_option(tr_json_text(request, "dbName", ""), &r->text.is_flat);
    r->state = NULL;
    TR_TRY(pick_up(r, &is_complete, err));
    if (is_complete) {
        TR_TRY(act(r, "COMPLETE", err)); /* safe to repeat */
        return await_batch(r, err);
    }
    if (atomic_load(&r->active->is_cancelled))
        return TR_FAIL(err, TR_CANCELLED, "canceling statement due to user request");
    TR_TRY(check_has_session(r, err));
    if (r->text.write.kind == TR_WRITE_DROP)
        return tr_query_drop_table(r->jobs, r->tenant, &r->text.write, &r->state, err);
    if (r->text.write.kind == TR_WRITE_ALTER)
        return tr_query_alter(r->jobs, r->tenant, &r->job, &r->text.write, &r->arena, &r->state,
                              err);
    if (r->text.write.kind == TR_WRITE_DROP_VIEW)
        return tr_query_drop_view(r->active, &r->job, &r->text.write, &r->state, err);
    if (r->text.is_block) {
        tr_query_block_end end = {.rows = 0};
        const tr_code code =
            tr_query_block_run(r->active, &r->job, &r->text.block, &r->arena, &end, err);
        r->rows = end.rows;
        r->state = end.state;
        return code;
    }
    TR_TRY(note_tables(r, err));
    if (r->text.write.kind == TR_WRITE_VIEW)
        return tr_query_make_view(r->active, &r->job, &r->text, &r->state, err);
    TR_TRY(run_query(r, &is_done, err));
    return is_done ? TR_OK : publish(r, err);
}

void tr_query_run(tr_query_active *active)
{
    run r = {.active = active,
             .jobs = active->jobs,
             .tenant = &active->tenant,
             .started_us = tr_time_now_us()};
    tr_err err = {0};
    if (is_stopping(r.jobs))
        return;
    tr_code code = tr_query_get(r.jobs, r.tenant, active->id, &r.job, &err);
    if (code == TR_OK && !tr_query_has_ended(r.job.state)) {
        code = perform(&r, &err);
        tr_crash_point("query_performed");
        /* What a stop of the server broke off goes on at the next start. */
        if (code == TR_OK || !is_stopping(r.jobs))
            end_job(&r, code, &err);
    }
    tr_buf_free(&r.piece);
    json_decref(r.columns);
    tr_object_clear(&r.job);
    tr_arena_free(&r.arena);
}
