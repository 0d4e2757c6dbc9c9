/* SPDX-License-Identifier: Apache-2.0 */
/* query_job.c - jobs kept, started, cancelled, found again after a crash; see query_job.h. */
#include "sql/query_job_internal.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "sql/query_alert.h"
#include "sql/stamp.h"

#include <stdio.h>

enum { JOBS_AT_A_TIME = 4 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a query");
}

bool tr_query_has_ended(const char *state)
{
    return strcmp(state, "SUBMITTED") != 0 && strcmp(state, "IN_PROGRESS") != 0;
}

tr_code tr_query_get(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id, tr_object *out,
                     tr_err *err)
{
    const tr_code code = tr_catalog_get(jobs->parts.catalog, tenant, TR_QUERY_KIND, id, out, err);
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_NOT_FOUND, "no query with id \"%.60s\"", id)
                                : code;
}

tr_code tr_query_note(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id,
                      const char *state, json_t *members, tr_err *err)
{
    tr_object object = {0};
    tr_code code = members == NULL ? no_memory(err) : tr_catalog_begin(jobs->parts.catalog, err);
    if (code != TR_OK) {
        json_decref(members);
        return code;
    }
    code = tr_query_get(jobs, tenant, id, &object, err);
    if (code == TR_OK && json_object_update(object.doc, members) != 0)
        code = no_memory(err);
    if (code == TR_OK && state != NULL) {
        (void)snprintf(object.state, sizeof object.state, "%s", state);
        code = json_object_set_new(object.doc, "state", json_string(state)) == 0 ? TR_OK
                                                                                 : no_memory(err);
    }
    object.updated_ms = 0;
    if (code == TR_OK)
        code = tr_catalog_put(jobs->parts.catalog, tenant, TR_QUERY_KIND, &object, 0, err);
    tr_object_clear(&object);
    json_decref(members);
    return tr_catalog_end(jobs->parts.catalog, code, err);
}

/* The pool ------------------------------------------------------------------------------------ */

static void run_job(void *ctx)
{
    tr_query_run(ctx);
}

void tr_query_here_begin(tr_query_active *active)
{
    tr_query_jobs *jobs = active->jobs;
    pthread_mutex_lock(&jobs->lock);
    if (jobs->is_stopping)
        atomic_store(&active->must_end, true);
    active->is_given = active->id[0] == '\0' || active->block[0] != '\0';
    active->next = jobs->active;
    jobs->active = active;
    pthread_mutex_unlock(&jobs->lock);
}

void tr_query_here_end(tr_query_active *active)
{
    tr_query_jobs *jobs = active->jobs;
    pthread_mutex_lock(&jobs->lock);
    tr_query_active **at = &jobs->active;
    while (*at != active)
        at = &(*at)->next;
    *at = active->next;
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
}

uint32_t tr_query_limit_s(const tr_query_active *active)
{
    const uint32_t of_jobs = tr_query_deadline_s(active->jobs->parts.query);
    return active->limit_s > 0 && active->limit_s < of_jobs ? active->limit_s : of_jobs;
}

static tr_code give_next(tr_query_jobs *jobs, int64_t sandbox, tr_err *err);

static void free_active(tr_query_active *active)
{
    json_decref(active->temporary);
    tr_free(active);
}

static void drop_job(void *ctx)
{
    tr_query_active *active = ctx;
    tr_query_jobs *jobs = active->jobs;
    const int64_t sandbox = active->tenant.id;
    tr_err err = {0};
    tr_query_here_end(active);
    free_active(active);
    if (give_next(jobs, sandbox, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "sql", "query_not_started", "reason=\"%s\"", err.text);
}

/* The oldest job of a sandbox that waits, when the sandbox may run one more; the lock is held. */
static tr_query_active *next_of(const tr_query_jobs *jobs, int64_t sandbox)
{
    uint32_t given = 0;
    tr_query_active *oldest = NULL;
    for (tr_query_active *a = jobs->active; a != NULL; a = a->next) {
        if (a->tenant.id != sandbox || a->id[0] == '\0' || a->block[0] != '\0')
            continue;
        given += a->is_given;
        if (!a->is_given)
            oldest = a; /* the newest come first */
    }
    return given < (jobs->job_count + 1) / 2 && !jobs->is_stopping ? oldest : NULL;
}

/* A sandbox has half of the pool at most, so that its long jobs are nobody else's. */
static tr_code give_next(tr_query_jobs *jobs, int64_t sandbox, tr_err *err)
{
    pthread_mutex_lock(&jobs->lock);
    tr_query_active *next = next_of(jobs, sandbox);
    if (next != NULL)
        next->is_given = true;
    pthread_mutex_unlock(&jobs->lock);
    return next == NULL ? TR_OK
                        : tr_compute_submit(jobs->compute, run_job, drop_job, next, err);
}

/* temporary  tables of the session that waits for it; NULL: none */
static tr_code start(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id,
                     const json_t *temporary, tr_err *err)
{
    tr_query_active *active = tr_alloc_zeroed(1, sizeof *active);
    if (active == NULL)
        return no_memory(err);
    active->jobs = jobs;
    active->tenant = *tenant;
    (void)snprintf(active->id, sizeof active->id, "%s", id);
    active->temporary = temporary == NULL ? NULL : json_deep_copy(temporary);
    if (active->temporary == NULL && temporary != NULL) {
        tr_free(active);
        return no_memory(err);
    }
    tr_query_here_begin(active);
    return give_next(jobs, tenant->id, err);
}

/* A block's statement goes on with its block. */
static tr_code resume_one(void *ctx, const tr_tenant *tenant, const char *id, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_query_get(ctx, tenant, id, &object, err));
    const bool is_child = json_object_get(object.doc, "_block") != NULL;
    tr_object_clear(&object);
    return is_child ? TR_OK : start(ctx, tenant, id, NULL, err);
}

tr_code tr_query_jobs_resume(tr_query_jobs *jobs, tr_err *err)
{
    static const char *const states[] = {"IN_PROGRESS", "SUBMITTED", NULL};
    return tr_catalog_resume(jobs->parts.catalog, TR_QUERY_KIND, states, resume_one, jobs, err);
}

tr_code tr_query_jobs_open(const tr_query_jobs_parts *parts, tr_query_jobs **out, tr_err *err)
{
    tr_query_jobs *jobs = tr_alloc_zeroed(1, sizeof *jobs);
    if (jobs == NULL)
        return no_memory(err);
    jobs->parts = *parts;
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->changed, NULL);
    jobs->job_count = parts->job_count > 0 ? parts->job_count : JOBS_AT_A_TIME;
    const tr_compute_options options = {.worker_count = 1, /* no tasks are fanned out here */
                                        .job_count = jobs->job_count};
    const tr_code code = tr_compute_open(&options, &jobs->compute, err);
    if (code == TR_OK)
        *out = jobs;
    else
        tr_query_jobs_close(jobs);
    return code;
}

void tr_query_jobs_stop(tr_query_jobs *jobs)
{
    if (jobs == NULL)
        return;
    pthread_mutex_lock(&jobs->lock);
    jobs->is_stopping = true;
    for (tr_query_active *a = jobs->active; a != NULL; a = a->next) {
        atomic_store(&a->must_end, true);
        if (a->session != NULL)
            tr_query_session_kill(a->session);
    }
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
}

void tr_query_jobs_close(tr_query_jobs *jobs)
{
    if (jobs == NULL)
        return;
    tr_query_jobs_stop(jobs);
    tr_compute_close(jobs->compute);
    while (jobs->active != NULL) { /* they wait for the next start */
        tr_query_active *waiting = jobs->active;
        jobs->active = waiting->next;
        free_active(waiting);
    }
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    tr_free(jobs);
}

/* Submitted ----------------------------------------------------------------------------------- */

static json_t *make_document(const tr_query_order *order, const tr_query_text *text, const char *id)
{
    const bool is_schedule = order->schedule != NULL;
    json_t *doc =
        json_pack("{s:s,s:O,s:s%,s:b,s:b,s:s,s:i,s:i,s:[],s:s,s:s,s:s,s:i,s:b}", "id", id,
                  "request", order->request, "effectiveSQL", (const char *)text->sql.at,
                  text->sql.len, "isCTAS", text->write.kind == TR_WRITE_TABLE, "isInsertInto",
                  text->write.kind == TR_WRITE_INSERT, "state", "SUBMITTED", "rowCount", 0,
                  "elapsedTime", 0, "errors", "clientId", order->client_id, "client", order->client,
                  "userId", order->client_id, "version", 1, "isSoftDeleted", 0);
    json_t *more = json_pack(
        "{s:s*,s:s*,s:s*,s:s*,s:b,s:O*}", "templateName", text->template_name, "templateId",
        text->template_name == NULL ? NULL : tr_json_text(order->request, "templateId", NULL),
        "scheduleId", order->schedule, "scheduleRunId", order->schedule_run, "_isExternal",
        is_schedule && order->is_external, "_temporary",
        order->temporary == NULL ? NULL : json_true());
    if (doc != NULL && (more == NULL || json_object_update(doc, more) != 0)) {
        json_decref(doc);
        doc = NULL;
    }
    json_decref(more);
    return doc;
}

static tr_code check_syntax(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_query_text *text,
                            const char **state, tr_err *err);

/* Each of its statements, with 0 for every variable. */
static tr_code check_block(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_query_text *text,
                           const char **state, tr_err *err)
{
    const tr_block *block = &text->block;
    tr_code code = TR_OK;
    for (size_t i = 0; i < block->count + block->handler_count && code == TR_OK; i++) {
        tr_arena arena = {0};
        tr_query_step step;
        const tr_str sql = i < block->count ? block->at[i] : block->handler[i - block->count];
        code = tr_query_block_statement(tenant, sql, NULL, &arena, &step, state, err);
        if (code == TR_OK && !step.is_setting) {
            step.text.is_flat = text->is_flat;
            code = check_syntax(jobs, tenant, &step.text, state, err);
        }
        tr_arena_free(&arena);
    }
    return code;
}

/* A statement that DuckDB cannot parse is the request's fault: told at once, by the worker. */
static tr_code check_syntax(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_query_text *text,
                            const char **state, tr_err *err)
{
    enum { PATIENCE_S = 30 };
    tr_query_active here = {.jobs = jobs, .tenant = *tenant, .limit_s = PATIENCE_S};
    json_t *first = NULL;
    tr_err why = {0};
    *state = "58000";
    if (!tr_write_has_query(&text->write))
        return TR_OK;
    if (text->is_block)
        return check_block(jobs, tenant, text, state, err);
    tr_query_here_begin(&here);
    const tr_code code = tr_query_worker_start(&here, "describe", text, &first, state, &why);
    json_decref(first);
    tr_query_worker_end(&here);
    tr_query_here_end(&here);
    return code == TR_INVALID && strcmp(*state, "42601") == 0
               ? TR_FAIL(err, TR_INVALID, "sql: %s", why.text)
               : TR_OK; /* anything else is the job's to meet */
}

/* text  its `temporary` is set */
static tr_code read_checked(tr_query_jobs *jobs, const tr_tenant *tenant, const json_t *request,
                            tr_arena *arena, tr_query_text *text, const char **state, tr_err *err)
{
    TR_TRY(tr_query_read(jobs, tenant, request, arena, text, state, err));
    return check_syntax(jobs, tenant, text, state, err);
}

tr_code tr_query_check(tr_query_jobs *jobs, const tr_tenant *tenant, const json_t *request,
                       tr_err *err)
{
    tr_arena arena = {0};
    tr_query_text text = {.temporary = NULL};
    const char *state;
    const tr_code code = read_checked(jobs, tenant, request, &arena, &text, &state, err);
    tr_arena_free(&arena);
    return code;
}

typedef struct old_query {
    char id[256];
} old_query;

static tr_code note_old(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    if (tr_query_has_ended(object->state))
        memcpy(((old_query *)ctx)->id, object->id, sizeof object->id);
    return TR_OK;
}

/* One more is there: the oldest goes. That it could not go now changes no answer. */
static void trim(tr_query_jobs *jobs, const tr_tenant *tenant)
{
    old_query old = {.id = ""};
    tr_err err = {0};
    const tr_catalog_filter behind = {
        .is_descending = true, .is_brief = true, .limit = 1, .offset = TR_QUERIES_KEPT_MAX};
    tr_code code =
        tr_catalog_list(jobs->parts.catalog, tenant, TR_QUERY_KIND, &behind, note_old, &old, &err);
    if (code == TR_OK && old.id[0] != '\0')
        code = tr_catalog_remove(jobs->parts.catalog, tenant, TR_QUERY_KIND, old.id, &err);
    if (code == TR_OK && old.id[0] != '\0')
        code = tr_query_alerts_drop(jobs->parts.catalog, tenant, old.id, &err);
    if (code != TR_OK)
        tr_log(TR_LOG_WARN, "sql", "query_kept", "reason=\"%s\"", err.text);
}

static tr_code keep(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_query_order *order,
                    tr_object *object, tr_err *err)
{
    (void)snprintf(object->parent, sizeof object->parent, "%s",
                   order->schedule == NULL ? "" : order->schedule);
    (void)snprintf(object->state, sizeof object->state, "SUBMITTED");
    TR_TRY(tr_stamp_check_room(jobs->parts.catalog, tenant, TR_QUERY_KIND, "SUBMITTED",
                               TR_QUERIES_WAITING_MAX, "queries that wait for their turn", err));
    TR_TRY(tr_stamp_insert(jobs->parts.catalog, tenant, TR_QUERY_KIND, object, err));
    trim(jobs, tenant);
    tr_crash_point("query_submitted");
    tr_log(TR_LOG_INFO, "sql", "query_submitted", "query=%s client=%s", object->id,
           order->client_id);
    return start(jobs, tenant, object->id, order->temporary, err);
}

tr_code tr_query_keep_child(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_object *block,
                            const tr_query_text *text, char id[40], tr_err *err)
{
    tr_object object = {.state = "SUBMITTED"};
    const json_t *request = json_object_get(block->doc, "request");
    json_t *own = json_pack("{s:s,s:o}", "dbName", tr_json_text(request, "dbName", ""), "sql",
                            tr_json_str(text->sql));
    const tr_query_order order = {.request = own,
                                  .client = tr_json_text(block->doc, "client", "API"),
                                  .client_id = tr_json_text(block->doc, "clientId", "")};
    (void)snprintf(object.id, sizeof object.id, "%s", tr_id_uuid().text);
    object.doc = own == NULL ? NULL : make_document(&order, text, object.id);
    tr_catalog *catalog = jobs->parts.catalog;
    tr_code code = object.doc == NULL ||
                           json_object_set_new(object.doc, "_block", json_string(block->id)) != 0
                       ? no_memory(err)
                       : tr_catalog_begin(catalog, err);
    if (code == TR_OK) {
        code = tr_stamp_insert(catalog, tenant, TR_QUERY_KIND, &object, err);
        if (code == TR_OK)
            code = tr_query_note(jobs, tenant, block->id, NULL,
                                 json_pack("{s:s}", "_child", object.id), err);
        code = tr_catalog_end(catalog, code, err);
    }
    if (code == TR_OK) {
        (void)snprintf(id, 40, "%s", object.id);
        trim(jobs, tenant);
    }
    json_decref(object.doc);
    json_decref(own);
    return code;
}

tr_code tr_query_submit(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_query_order *order,
                        json_t **out, tr_err *err)
{
    tr_arena arena = {0};
    tr_query_text text = {.temporary = order->temporary};
    tr_object object = {0};
    const char *state = NULL;
    tr_code code = read_checked(jobs, tenant, order->request, &arena, &text, &state, err);
    if (order->state != NULL)
        *order->state = state;
    if (code == TR_OK) {
        (void)snprintf(object.id, sizeof object.id, "%s",
                       order->id != NULL ? order->id : tr_id_uuid().text);
        object.doc = make_document(order, &text, object.id);
        code = object.doc == NULL ? no_memory(err) : keep(jobs, tenant, order, &object, err);
    }
    tr_arena_free(&arena);
    if (code == TR_OK)
        *out = object.doc;
    else
        json_decref(object.doc);
    return code;
}

/* Cancelled, hidden, awaited ------------------------------------------------------------------- */

/* The lock is held. */
static void stop_one(tr_query_active *a)
{
    atomic_store(&a->is_cancelled, true);
    atomic_store(&a->must_end, true);
    if (a->session != NULL)
        tr_query_session_kill(a->session);
}

/* False: nobody runs it here. */
static bool stop_active(tr_query_jobs *jobs, const char *id)
{
    bool is_there = false;
    pthread_mutex_lock(&jobs->lock);
    for (tr_query_active *a = jobs->active; a != NULL; a = a->next)
        if (strcmp(a->id, id) == 0 || strcmp(a->block, id) == 0) {
            is_there = true;
            stop_one(a);
        }
    pthread_mutex_unlock(&jobs->lock);
    return is_there;
}

void tr_query_jobs_forget(tr_query_jobs *jobs, const tr_tenant *tenant)
{
    if (jobs == NULL)
        return;
    pthread_mutex_lock(&jobs->lock);
    for (tr_query_active *a = jobs->active; a != NULL; a = a->next)
        if (a->tenant.id == tenant->id)
            stop_one(a);
    pthread_mutex_unlock(&jobs->lock);
    if (jobs->parts.live != NULL)
        tr_live_tables_drop(jobs->parts.live, tenant);
}

tr_code tr_query_cancel(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_query_get(jobs, tenant, id, &object, err));
    const bool has_ended = tr_query_has_ended(object.state);
    tr_code code = TR_OK;
    if (has_ended || !stop_active(jobs, object.id))
        code = TR_FAIL(err, TR_CONFLICT, "the query has ended: it is %s", object.state);
    tr_object_clear(&object);
    return code;
}

tr_code tr_query_hide(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_query_get(jobs, tenant, id, &object, err));
    const bool has_ended = tr_query_has_ended(object.state);
    tr_object_clear(&object);
    if (!has_ended)
        return TR_FAIL(err, TR_CONFLICT, "the query runs: cancel it first");
    return tr_query_note(jobs, tenant, id, NULL, json_pack("{s:b}", "isSoftDeleted", 1), err);
}

/* True: somebody runs it here, or will. */
static bool is_active(const tr_query_jobs *jobs, const char *id)
{
    for (const tr_query_active *a = jobs->active; a != NULL; a = a->next)
        if (strcmp(a->id, id) == 0)
            return true;
    return false;
}

tr_code tr_query_wait(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id, int64_t wait_ms,
                      tr_object *out, tr_err *err)
{
    const struct timespec until = tr_time_in_ms(wait_ms);
    int waited = 0;
    pthread_mutex_lock(&jobs->lock);
    while (waited == 0 && !jobs->is_stopping && is_active(jobs, id))
        waited = pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until);
    const bool is_stopping = jobs->is_stopping;
    pthread_mutex_unlock(&jobs->lock);
    TR_TRY(tr_query_get(jobs, tenant, id, out, err));
    if (!is_stopping || tr_query_has_ended(out->state))
        return TR_OK;
    tr_object_clear(out);
    return TR_FAIL(err, TR_BUSY, "the server is shutting down");
}
