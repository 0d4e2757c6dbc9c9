/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - the queue of delete requests, the states of a job, and jobs about datasets and batches.
 *
 *     NEW -> IN-PROGRESS -ONE transaction: batches inactive, files, runs gone, SUCCESS-> bytes go
 *
 * One background job works on all that wait, so that a hundred requests do not keep batches from
 * being ingested. Jobs about identities of one tenant that wait together are done together: their
 * files are rewritten once.
 */
#include "removal/removal_internal.h"

#include "base/log.h"

#include <unistd.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a delete request");
}

/* ---- a job's document */

void tr_removal_time(char out[TR_TIME_TEXT_BYTES])
{
    char seconds[TR_TIME_TEXT_BYTES];
    const int64_t us = tr_time_now_us();
    (void)tr_time_format(us - us % 1000000, seconds);
    (void)snprintf(out, TR_TIME_TEXT_BYTES, "%.19s.%06dZ", seconds, (int)(us % 1000000));
}

tr_code tr_removal_move(tr_object *job, const char *status, tr_err *err)
{
    char when[TR_TIME_TEXT_BYTES];
    json_t *own = json_object_get(job->doc, "_");
    const int64_t now_ms = tr_time_now_ms();
    tr_removal_time(when);
    bool is_good = json_object_set_new(job->doc, "status", json_string(status)) == 0 &&
                   json_object_set_new(job->doc, "updatedAt", json_string(when)) == 0 &&
                   json_object_set_new(job->doc, "updateEpoch", json_integer(now_ms / 1000)) == 0;
    if (is_good && json_object_get(own, "began") == NULL)
        is_good = json_object_set_new(own, "began", json_integer(now_ms)) == 0;
    (void)snprintf(job->state, sizeof job->state, "%s", status);
    job->updated_ms = 0;
    return is_good ? TR_OK : no_memory(err);
}

tr_code tr_removal_tell(tr_object *job, uint64_t records, tr_err *err)
{
    char text[100];
    const int64_t began_ms = tr_json_int(json_object_get(job->doc, "_"), "began", 0);
    (void)snprintf(text, sizeof text, "{\"recordsProcessed\":%llu,\"timeTakenInSec\":%lld}",
                   (unsigned long long)records,
                   (long long)((tr_time_now_ms() - began_ms + 999) / 1000));
    return json_object_set_new(job->doc, "metrics", json_string(text)) == 0 ? TR_OK
                                                                            : no_memory(err);
}

static tr_code edit_in(tr_removals *r, const tr_tenant *tenant, const char *id,
                       tr_removal_edit_fn edit, void *ctx, tr_err *err)
{
    tr_object job = {0};
    TR_TRY(tr_catalog_get(r->parts.catalog, tenant, TR_REMOVAL_KIND, id, &job, err));
    tr_code code = edit(ctx, &job, err);
    if (code == TR_OK)
        code = tr_catalog_put(r->parts.catalog, tenant, TR_REMOVAL_KIND, &job, 0, err);
    tr_object_clear(&job);
    return code;
}

tr_code tr_removal_edit(tr_removals *removals, const tr_tenant *tenant, const char *id,
                        tr_removal_edit_fn edit, void *ctx, tr_err *err)
{
    TR_TRY(tr_catalog_begin(removals->parts.catalog, err));
    return tr_catalog_end(removals->parts.catalog, edit_in(removals, tenant, id, edit, ctx, err),
                          err);
}

/* ---- datasets and batches */

typedef struct taking {
    tr_removals *removals;
    const tr_removal_waiting *job;
    json_t *batches; /* ids whose bytes go */
    char type[32], dataset[64], batch[64];
} taking;

static tr_code begin(void *ctx, tr_object *job, tr_err *err)
{
    taking *t = ctx;
    (void)snprintf(t->type, sizeof t->type, "%s", tr_json_text(job->doc, "requestType", ""));
    (void)snprintf(t->dataset, sizeof t->dataset, "%s", tr_json_text(job->doc, "dataSetId", ""));
    (void)snprintf(t->batch, sizeof t->batch, "%s", tr_json_text(job->doc, "batchId", ""));
    return tr_removal_move(job, "IN-PROGRESS", err);
}

/* The transaction: all of it, or nothing. */
static tr_code take_back_in(void *ctx, tr_object *job, tr_err *err)
{
    const taking *t = ctx;
    uint64_t records = 0;
    const char *dataset = tr_json_text(job->doc, "dataSetId", "");
    const char *batch = tr_json_text(job->doc, "batchId", NULL);
    TR_TRY(tr_ingest_take_back(t->removals->parts.ingest, &t->job->tenant, dataset, batch,
                               t->batches, &records, err));
    TR_TRY(tr_removal_tell(job, records, err));
    tr_crash_point("removal_committing");
    return tr_removal_move(job, "SUCCESS", err);
}

/* Lookups over the graph would wait behind the commit until it is read anew: it is read before. */
static tr_code take_back(taking *t, tr_err *err)
{
    tr_graph *graph = t->removals->parts.graph;
    const tr_tenant *tenant = &t->job->tenant;
    const char *batch = t->batch;
    tr_graph_preparation coming = {.batches = &batch, .batch_count = batch[0] != '\0'};
    coming.dataset = coming.batch_count > 0 ? NULL : t->dataset;
    tr_graph_prepare(graph, tenant, &coming);
    const tr_code code = tr_removal_edit(t->removals, tenant, t->job->id, take_back_in, t, err);
    tr_graph_prepare_end(graph, tenant, &coming, code == TR_OK);
    return code;
}

static tr_code run_one(tr_removals *r, const tr_removal_waiting *job, tr_err *err)
{
    taking t = {.removals = r, .job = job, .batches = json_array()};
    tr_code code = t.batches == NULL ? no_memory(err)
                                     : tr_removal_edit(r, &job->tenant, job->id, begin, &t, err);
    if (code == TR_OK) {
        tr_crash_point("removal_begun");
        code = take_back(&t, err);
    }
    if (code == TR_OK) {
        tr_crash_point("removal_committed");
        tr_ingest_remove_bytes(r->parts.ingest, &job->tenant, t.batches);
        r->parts.forget(r->parts.ctx, &job->tenant);
        tr_log(TR_LOG_INFO, "removal", "removal_succeeded", "job=%s type=%s batches=%zu", job->id,
               t.type, json_array_size(t.batches));
    }
    json_decref(t.batches);
    return code;
}

/* ---- the bad end */

static tr_code to_error(void *ctx, tr_object *job, tr_err *err)
{
    const char *text = ctx;
    if (json_object_set_new(job->doc, "errors",
                            json_pack("[{s:s, s:s}]", "code", "500", "message", text)) != 0)
        return no_memory(err);
    return tr_removal_move(job, "ERROR", err);
}

/* Written again and again until the disk takes it, or the server stops: then the job goes on at the
 * next start. */
static void end_badly(tr_removals *r, const tr_removal_waiting *job, char *text)
{
    enum { WAIT_US = 500 * 1000 };
    tr_err err = {0};
    tr_log(TR_LOG_ERROR, "removal", "removal_failed", "job=%s reason=\"%s\"", job->id, text);
    while (!tr_compute_is_stopping(r->parts.compute)) {
        const tr_code code = tr_removal_edit(r, &job->tenant, job->id, to_error, text, &err);
        if (code == TR_OK || code == TR_NOT_FOUND)
            return;
        tr_log(TR_LOG_ERROR, "removal", "removal_end_not_written", "job=%s reason=\"%s\"", job->id,
               err.text);
        usleep(WAIT_US);
    }
}

/* ---- the queue */

/* The first that waits, and with an identity's all others of its tenant; the list is the
 * caller's. */
static uint32_t next_group(tr_removals *r, tr_removal_waiting **group)
{
    uint32_t count = 0;
    (void)pthread_mutex_lock(&r->lock);
    for (tr_removal_waiting **at = &r->waiting; *at != NULL && count < TR_REMOVAL_GROUP_MAX;) {
        tr_removal_waiting *w = *at;
        const bool is_alike =
            count == 0 || (w->is_of_identity && w->tenant.id == group[0]->tenant.id);
        if (count > 0 && !group[0]->is_of_identity)
            break;
        if (!is_alike) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        group[count++] = w;
    }
    if (count == 0)
        r->is_working = false;
    (void)pthread_mutex_unlock(&r->lock);
    return count;
}

static void run_group(tr_removals *r, tr_removal_waiting *const *group, uint32_t count)
{
    tr_err err = {0};
    const tr_code code =
        group[0]->is_of_identity
            ? tr_removal_run_identities(r, (const tr_removal_waiting *const *)group, count, &err)
            : run_one(r, group[0], &err);
    const bool is_later = code == TR_CANCELLED && tr_compute_is_stopping(r->parts.compute);
    for (uint32_t i = 0; i < count && code != TR_OK && code != TR_NOT_FOUND && !is_later; i++)
        end_badly(r, group[i], err.text);
}

static void work(void *ctx)
{
    tr_removals *r = ctx;
    tr_removal_waiting *group[TR_REMOVAL_GROUP_MAX];
    uint32_t count;
    while (!tr_compute_is_stopping(r->parts.compute) && (count = next_group(r, group)) > 0) {
        run_group(r, group, count);
        for (uint32_t i = 0; i < count; i++)
            tr_free(group[i]);
    }
}

static void drop(void *ctx)
{
    (void)ctx; /* it is everybody's */
}

void tr_removal_queue(tr_removals *removals, const tr_tenant *tenant, const char *id,
                      bool is_of_identity)
{
    tr_err err = {0};
    tr_removal_waiting *w = tr_alloc_zeroed(1, sizeof *w);
    tr_code code = w == NULL ? no_memory(&err) : TR_OK;
    if (code == TR_OK) {
        w->tenant = *tenant;
        w->is_of_identity = is_of_identity;
        (void)snprintf(w->id, sizeof w->id, "%s", id);
        (void)pthread_mutex_lock(&removals->lock);
        tr_removal_waiting **end = &removals->waiting;
        while (*end != NULL)
            end = &(*end)->next;
        *end = w;
        const bool is_first = !removals->is_working;
        removals->is_working = true;
        (void)pthread_mutex_unlock(&removals->lock);
        if (is_first)
            code = tr_compute_submit(removals->parts.compute, work, drop, removals, &err);
        if (code != TR_OK) { /* the next request tries again */
            (void)pthread_mutex_lock(&removals->lock);
            removals->is_working = false;
            (void)pthread_mutex_unlock(&removals->lock);
        }
    }
    if (code != TR_OK)
        tr_log(TR_LOG_WARN, "removal", "removal_not_queued", "job=%s reason=\"%s\"", id, err.text);
}

/* ---- start and end */

tr_code tr_removals_open(const tr_removal_parts *parts, tr_removals **out, tr_err *err)
{
    tr_removals *removals = tr_alloc_zeroed(1, sizeof *removals);
    if (removals == NULL)
        return no_memory(err);
    removals->parts = *parts;
    (void)pthread_mutex_init(&removals->lock, NULL);
    *out = removals;
    return TR_OK;
}

void tr_removals_close(tr_removals *removals)
{
    if (removals == NULL)
        return;
    while (removals->waiting != NULL) {
        tr_removal_waiting *next = removals->waiting->next;
        tr_free(removals->waiting);
        removals->waiting = next;
    }
    (void)pthread_mutex_destroy(&removals->lock);
    tr_free(removals);
}

static tr_code resume_one(void *ctx, const tr_tenant *tenant, const char *id, tr_err *err)
{
    tr_removals *r = ctx;
    tr_object job = {0};
    TR_TRY(tr_catalog_get(r->parts.catalog, tenant, TR_REMOVAL_KIND, id, &job, err));
    const bool is_of_identity = json_object_get(json_object_get(job.doc, "_"), "id") != NULL;
    tr_object_clear(&job);
    tr_log(TR_LOG_INFO, "removal", "removal_resumed", "job=%s", id);
    tr_removal_queue(r, tenant, id, is_of_identity);
    return TR_OK;
}

tr_code tr_removals_resume(tr_removals *removals, tr_err *err)
{
    static const char *const states[] = {"IN-PROGRESS", "NEW", NULL};
    return tr_catalog_resume(removals->parts.catalog, TR_REMOVAL_KIND, states, resume_one, removals,
                             err);
}
