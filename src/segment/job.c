/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - segment jobs: created, looked up, cancelled, resumed; who runs and who waits. See jobs.h.
 * */
#include "segment/job_internal.h"

#include "base/log.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a segment job");
}

/* ---- who runs and who waits: the lock guards the list */

static bool is_tenant_busy(const tr_segment *segment, const tr_tenant *tenant)
{
    for (const tr_segment_active *at = segment->active; at != NULL; at = at->next)
        if (at->is_running && at->tenant.id == tenant->id)
            return true;
    return false;
}

static tr_segment_active *find_active(const tr_segment *segment, const tr_tenant *tenant,
                                      const char *id)
{
    for (tr_segment_active *at = segment->active; at != NULL; at = at->next)
        if (at->tenant.id == tenant->id && strcmp(at->id, id) == 0)
            return at;
    return NULL;
}

static void drop_active(void *ctx);

/* Starts what waits. Failing that it runs after the next start. */
static void start(tr_segment_active *active)
{
    tr_err err = {0};
    if (active->begin != NULL) {
        active->begin(active->ctx);
        return;
    }
    if (tr_compute_submit(active->segment->parts.compute, tr_segment_run_job, drop_active, active,
                          &err) != TR_OK)
        tr_log(TR_LOG_WARN, "segment", "segment_not_queued", "reason=\"%s\"", err.text);
}

/* After a job's end the one that waited longest begins: the list is newest first. */
static void drop_active(void *ctx)
{
    tr_segment_active *active = ctx, *next = NULL;
    tr_segment *segment = active->segment;
    pthread_mutex_lock(&segment->lock);
    tr_segment_active **at = &segment->active;
    while (*at != NULL && *at != active)
        at = &(*at)->next;
    if (*at != NULL)
        *at = active->next;
    for (tr_segment_active *other = segment->active; other != NULL; other = other->next)
        if (!other->is_running && other->tenant.id == active->tenant.id)
            next = other;
    if (next != NULL)
        next->is_running = true;
    pthread_mutex_unlock(&segment->lock);
    if (segment->tell_end != NULL && active->begin == NULL)
        segment->tell_end(segment->tell_ctx, &active->tenant, active->id);
    tr_free(active);
    if (next != NULL && !tr_compute_is_stopping(segment->parts.compute))
        start(next);
}

/* Puts a new one at the end of its tenant's line; NULL: no memory. When it is not the first,
 * another thread may begin, end and free it from now on. */
static tr_segment_active *line_up(tr_segment *segment, const tr_tenant *tenant, const char *id,
                                  void (*begin)(void *ctx), void *ctx, bool *is_first)
{
    tr_segment_active *active = tr_alloc_zeroed(1, sizeof *active);
    if (active == NULL)
        return NULL;
    active->segment = segment;
    active->tenant = *tenant;
    active->begin = begin;
    active->ctx = ctx;
    (void)snprintf(active->id, sizeof active->id, "%s", id);
    pthread_mutex_lock(&segment->lock);
    *is_first = !is_tenant_busy(segment, tenant);
    active->is_running = *is_first;
    active->next = segment->active;
    segment->active = active;
    pthread_mutex_unlock(&segment->lock);
    return active;
}

tr_code tr_segment_ask_turn(tr_segment *segment, const tr_tenant *tenant, const char *id,
                            void (*begin)(void *ctx), void *ctx, tr_err *err)
{
    bool is_first = false;
    if (line_up(segment, tenant, id, begin, ctx, &is_first) == NULL)
        return no_memory(err);
    if (is_first)
        begin(ctx);
    return TR_OK;
}

void tr_segment_end_turn(tr_segment *segment, const tr_tenant *tenant, const char *id)
{
    pthread_mutex_lock(&segment->lock);
    tr_segment_active *active = find_active(segment, tenant, id);
    pthread_mutex_unlock(&segment->lock);
    if (active != NULL)
        drop_active(active);
}

static tr_code mark_queued(void *ctx, tr_object *job, tr_err *err)
{
    (void)ctx;
    return strcmp(job->state, "NEW") == 0 ? tr_segment_job_status(job, "QUEUED", err) : TR_OK;
}

static tr_code submit(tr_segment *segment, const tr_tenant *tenant, const char *id, tr_err *err)
{
    bool is_first = false;
    tr_segment_active copy = {.segment = segment, .tenant = *tenant};
    (void)snprintf(copy.id, sizeof copy.id, "%s", id);
    tr_segment_active *active = line_up(segment, tenant, id, NULL, NULL, &is_first);
    if (active == NULL)
        return no_memory(err);
    if (is_first)
        start(active);
    else /* it may have begun by now, and then is not NEW any more */
        TR_TRY(tr_segment_job_edit(&copy, mark_queued, NULL, err));
    return TR_OK;
}

/* ---- a request */

static tr_code read_body(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                         json_t *definitions, tr_err *err)
{
    const json_t *list = json_is_array(body) ? body : json_object_get(body, "segments");
    if (!json_is_array(list) || json_array_size(list) == 0)
        return TR_FAIL(err, TR_INVALID,
                       "the request body must be an array of {\"segmentId\": ...}, or an object "
                       "with such an array as segments");
    if (json_array_size(list) > TR_SEGMENT_JOB_IDS_MAX)
        return TR_FAIL(err, TR_INVALID, "%zu segments, at most %d are named at once: \"*\" is all",
                       json_array_size(list), TR_SEGMENT_JOB_IDS_MAX);
    return tr_evaluation_find(segment, tenant, list, definitions, err);
}

static tr_code store(tr_segment *segment, const tr_tenant *tenant, json_t *job,
                     const json_t *definitions, tr_err *err)
{
    tr_catalog *catalog = segment->parts.catalog;
    const int64_t now = tr_json_int(job, "creationTime", 0);
    int64_t number = 0;
    tr_object object = {.state = "NEW", .created_ms = now, .updated_ms = now, .doc = job};
    (void)snprintf(object.id, sizeof object.id, "%s", tr_json_text(job, "id", ""));
    if (json_object_set_new(job, "_", json_pack("{s:O}", "definitions", definitions)) != 0)
        return no_memory(err);
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_catalog_next(catalog, tenant, "segment_job", &number, err);
    if (code == TR_OK && json_object_set_new(job, "computeJobId", json_integer(number)) != 0)
        code = no_memory(err);
    if (code == TR_OK)
        code = tr_catalog_insert(catalog, tenant, "segment_job", &object, err);
    return tr_catalog_end(catalog, code, err);
}

tr_code tr_segment_job_create(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                              const tr_segment_order *order, json_t **job, tr_err *err)
{
    json_t *definitions = json_array(), *doc = NULL;
    char id[48];
    tr_code code =
        definitions == NULL ? no_memory(err) : read_body(segment, tenant, body, definitions, err);
    if (code == TR_OK)
        code = tr_segment_job_make(tenant, definitions, order, &doc, err);
    if (code == TR_OK)
        code = store(segment, tenant, doc, definitions, err);
    json_decref(definitions);
    if (code != TR_OK) {
        json_decref(doc);
        return code;
    }
    (void)snprintf(id, sizeof id, "%s", tr_json_text(doc, "id", ""));
    json_t *shown = tr_list_show_doc(doc);
    json_decref(doc);
    tr_log(TR_LOG_INFO, "segment", "segment_created", "job=%s tenant=%s", id, tenant->folder);
    tr_err late = {0};
    if (submit(segment, tenant, id, &late) != TR_OK)
        tr_log(TR_LOG_WARN, "segment", "segment_not_queued", "job=%s reason=\"%s\"", id, late.text);
    if (shown == NULL)
        return no_memory(err);
    *job = shown;
    return TR_OK;
}

static tr_code get(tr_segment *segment, const tr_tenant *tenant, const char *id, tr_object *out,
                   tr_err *err)
{
    const tr_code code =
        tr_catalog_get(segment->parts.catalog, tenant, "segment_job", id, out, err);
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_NOT_FOUND, "no segment job with id \"%.60s\"", id)
                                : code;
}

tr_code tr_segment_job_get(tr_segment *segment, const tr_tenant *tenant, const char *id,
                           json_t **job, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(get(segment, tenant, id, &object, err));
    json_t *shown = tr_list_show_doc(object.doc);
    tr_object_clear(&object);
    if (shown == NULL)
        return no_memory(err);
    *job = shown;
    return TR_OK;
}

/* One that has not begun ends at once; a running one is marked, and its coordinator ends it. */
static tr_code cancel(void *ctx, tr_object *job, tr_err *err)
{
    (void)ctx;
    if (tr_segment_is_finished(job->state))
        return TR_OK;
    if (strcmp(job->state, "PROCESSING") == 0 || strcmp(job->state, "CANCELLING") == 0)
        return tr_segment_job_status(job, "CANCELLING", err);
    (void)json_object_del(job->doc, "_");
    return tr_segment_job_status(job, "CANCELLED", err);
}

tr_code tr_segment_job_cancel(tr_segment *segment, const tr_tenant *tenant, const char *id,
                              tr_err *err)
{
    tr_segment_active self = {.segment = segment, .tenant = *tenant};
    tr_object object = {0};
    TR_TRY(get(segment, tenant, id, &object, err));
    tr_object_clear(&object);
    (void)snprintf(self.id, sizeof self.id, "%s", id);
    TR_TRY(tr_segment_job_edit(&self, cancel, NULL, err));
    pthread_mutex_lock(&segment->lock);
    tr_segment_active *active = find_active(segment, tenant, id);
    if (active != NULL)
        atomic_store(&active->cancel, true);
    pthread_mutex_unlock(&segment->lock);
    return TR_OK;
}

tr_code tr_segment_job_find(tr_segment *segment, const tr_tenant *tenant,
                            const tr_list_request *request, json_t **items, uint64_t *total,
                            tr_err *err)
{
    return tr_list_find(segment->parts.catalog, tenant, "segment_job", request, tr_list_show_doc,
                        items, total, err);
}

tr_code tr_segment_job_state(tr_segment *segment, const tr_tenant *tenant, const char *id,
                             char out[32], tr_err *err)
{
    tr_object object = {0};
    const tr_code code =
        tr_catalog_get(segment->parts.catalog, tenant, "segment_job", id, &object, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    (void)snprintf(out, 32, "%s", code == TR_OK ? object.state : "");
    tr_object_clear(&object);
    return TR_OK;
}

void tr_segment_tell_ends(tr_segment *segment, tr_segment_on_end tell, void *ctx)
{
    segment->tell_end = tell;
    segment->tell_ctx = ctx;
}

/* ---- at start-up */

static tr_code resume_one(void *ctx, const tr_tenant *tenant, const char *id, tr_err *err)
{
    return submit(ctx, tenant, id, err);
}

tr_code tr_segment_resume(tr_segment *segment, tr_err *err)
{
    static const char *const states[] = {"CANCELLING", "PROCESSING", "QUEUED", "NEW", NULL};
    return tr_catalog_resume(segment->parts.catalog, "segment_job", states, resume_one, segment,
                             err);
}
