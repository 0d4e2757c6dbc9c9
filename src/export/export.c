/* SPDX-License-Identifier: Apache-2.0 */
/* export.c - the door: create, look up, cancel, resume; see export.h. */
#include "export/export_internal.h"

#include "base/log.h"

static void start_waiting(void *ctx, const tr_tenant *tenant, const char *segment_job);

tr_code tr_export_open(const tr_export_parts *parts, tr_export **out, tr_err *err)
{
    tr_export *export = tr_alloc_zeroed(1, sizeof *export);
    if (export == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for exports");
    export->parts = *parts;
    pthread_mutex_init(&export->lock, NULL);
    tr_segment_tell_ends(parts->segment, start_waiting, export);
    *out = export;
    return TR_OK;
}

void tr_export_close(tr_export *export)
{
    if (export == NULL)
        return;
    while (export->active != NULL) { /* those that waited for an evaluation: after the next start */
        tr_export_active *next = export->active->next;
        tr_free(export->active);
        export->active = next;
    }
    pthread_mutex_destroy(&export->lock);
    tr_free(export);
}

static void name_turn(const tr_export_active *active, char out[48])
{
    (void)snprintf(out, 48, "export-%.24s", active->id);
}

static void end_turn(const tr_export_active *active)
{
    char name[48];
    name_turn(active, name);
    tr_segment_end_turn(active->export->parts.segment, &active->tenant, name);
}

static void drop_active(void *ctx)
{
    tr_export_active *active = ctx;
    tr_export *export = active->export;
    pthread_mutex_lock(&export->lock);
    tr_export_active **at = &export->active;
    while (*at != NULL && *at != active)
        at = &(*at)->next;
    if (*at != NULL)
        *at = active->next;
    pthread_mutex_unlock(&export->lock);
    if (active->has_turn)
        end_turn(active);
    tr_free(active);
}

/* The job in memory, or NULL. The lock is held. */
static tr_export_active *find_active(tr_export *export, const tr_tenant *tenant, const char *id)
{
    for (tr_export_active *at = export->active; at != NULL; at = at->next)
        if (at->tenant.id == tenant->id && strcmp(at->id, id) == 0)
            return at;
    return NULL;
}

static void start(tr_export_active *active)
{
    tr_err err = {0};
    char id[24]; /* it may be gone once it is handed over */
    (void)snprintf(id, sizeof id, "%s", active->id);
    if (tr_compute_submit(active->export->parts.compute, tr_export_run_job, drop_active, active,
                          &err) != TR_OK) /* it stays NEW, and runs after the next start */
        tr_log(TR_LOG_WARN, "export", "export_not_queued", "job=%s reason=\"%s\"", id, err.text);
}

/* Starts what waits for a segment job: once, whoever finds it first. */
static void start_waiting(void *ctx, const tr_tenant *tenant, const char *segment_job)
{
    tr_export *export = ctx;
    for (;;) {
        pthread_mutex_lock(&export->lock);
        tr_export_active *at = export->active;
        while (at != NULL &&
               (at->tenant.id != tenant->id || strcmp(at->waits_for, segment_job) != 0))
            at = at->next;
        if (at != NULL)
            at->waits_for[0] = '\0';
        pthread_mutex_unlock(&export->lock);
        if (at == NULL)
            return;
        start(at);
    }
}

static void begin_turn(void *ctx)
{
    start(ctx);
}

/* plan  says what must come first: a segment job, or the job's turn to evaluate; NULL: nothing */
static tr_code submit(tr_export *export, const tr_tenant *tenant, const char *id,
                      const json_t *plan, tr_err *err)
{
    const bool is_settled = tr_json_bool(plan, "isEvaluated", false);
    const char *waits_for = is_settled ? "" : tr_json_text(plan, "segmentJob", "");
    char turn[48];
    char state[32] = "";
    tr_export_active *active = tr_alloc_zeroed(1, sizeof *active);
    if (active == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to queue an export");
    active->export = export;
    active->tenant = *tenant;
    (void)snprintf(active->id, sizeof active->id, "%s", id);
    (void)snprintf(active->waits_for, sizeof active->waits_for, "%s", waits_for);
    active->has_turn = json_object_get(plan, "evaluate") != NULL;
    name_turn(active, turn);
    pthread_mutex_lock(&export->lock);
    active->next = export->active;
    export->active = active;
    pthread_mutex_unlock(&export->lock);
    if (json_object_get(plan, "evaluate") != NULL)
        return tr_segment_ask_turn(export->parts.segment, tenant, turn, begin_turn, active, err);
    if (waits_for[0] == '\0') {
        start(active);
        return TR_OK;
    }
    TR_TRY(tr_segment_job_state(export->parts.segment, tenant, waits_for, state, err));
    if (state[0] == '\0' || strcmp(state, "SUCCEEDED") == 0 || strcmp(state, "FAILED") == 0 ||
        strcmp(state, "CANCELLED") == 0) /* it ended before it could be waited for */
        start_waiting(export, tenant, waits_for);
    return TR_OK;
}

/* The dataset must exist in this tenant and hold the union of profiles. */
static tr_code check_dataset(tr_export *export, const tr_tenant *tenant, const char *id,
                             tr_err *err)
{
    tr_object dataset = {0};
    tr_code code = tr_catalog_get(export->parts.catalog, tenant, "dataset", id, &dataset, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_NOT_FOUND, "destination.datasetId: no dataset with id \"%s\"", id);
    TR_TRY(code);
    const char *schema = tr_json_text(json_object_get(dataset.doc, "schemaRef"), "id", "");
    if (strcmp(schema, TR_XDM_PROFILE_UNION) != 0 &&
        strcmp(schema, TR_POLICY_SCHEMA TR_XDM_UNION_SUFFIX) != 0)
        code = TR_FAIL(err, TR_INVALID,
                       "destination.datasetId: dataset \"%s\" has the schema \"%.120s\", "
                       "expected the profile union schema " TR_XDM_PROFILE_UNION,
                       id, schema);
    tr_object_clear(&dataset);
    return code;
}

static tr_code find_policy(tr_export *export, const tr_tenant *tenant,
                           const tr_export_request *request, const json_t *own, json_t **out,
                           tr_err *err)
{
    tr_catalog *catalog = export->parts.catalog;
    json_t *policy = NULL;
    const char *id = request->policy_id;
    if (id == NULL && json_array_size(own) > 1)
        return TR_FAIL(err, TR_INVALID,
                       "mergePolicy is required: the segments have different merge policies, "
                       "\"%.60s\" and \"%.60s\" among them",
                       json_string_value(json_array_get(own, 0)),
                       json_string_value(json_array_get(own, 1)));
    if (id == NULL && json_array_size(own) == 1)
        id = json_string_value(json_array_get(own, 0));
    tr_code code = id == NULL
                       ? tr_policy_default(catalog, tenant, &policy, err)
                       : tr_policy_get(catalog, tenant, id, request->policy_version, &policy, err);
    if (code == TR_NOT_FOUND)
        tr_err_context(err, "mergePolicy");
    TR_TRY(code);
    *out = policy;
    return TR_OK;
}

/* The plan as of now: columns by today's union schema, runs by today's snapshot. */
static tr_code make_plan(tr_export *export, const tr_tenant *tenant,
                         const tr_export_request *request, const json_t *policy, const json_t *own,
                         json_t **out, tr_err *err)
{
    const tr_xdm_schema *schema = NULL;
    tr_snapshot *snapshot = NULL;
    tr_arena arena = {0};
    tr_type *output = NULL;
    json_t *plan = NULL;
    tr_code code = tr_catalog_schema_open(export->parts.catalog, tenant,
                                          tr_str_of(TR_XDM_PROFILE_UNION), &schema, err);
    if (code == TR_OK)
        code = tr_export_output(schema->shape.root, request, &arena, &output, err);
    if (code == TR_OK)
        code = tr_store_snapshot(export->parts.store, tenant, &snapshot, err);
    if (code == TR_OK)
        code = tr_export_plan_make(request, output, policy, snapshot, &plan, err);
    if (code == TR_OK && json_object_set_new(plan, "segmentPolicies", json_deep_copy(own)) != 0)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory to plan an export");
    if (code == TR_OK)
        code = tr_export_memberships(export, tenant, plan, err);
    if (code == TR_OK)
        *out = plan;
    else
        json_decref(plan);
    tr_store_release(export->parts.store, snapshot);
    tr_catalog_schema_close(export->parts.catalog, schema);
    tr_arena_free(&arena);
    return code;
}

tr_code tr_export_plan_of(tr_export *export, const tr_tenant *tenant,
                          const tr_export_request *request, json_t **policy, json_t **plan,
                          tr_err *err)
{
    json_t *own = json_array();
    if (own == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan an export");
    tr_code code = tr_export_segment_policies(export, tenant, request->segments, own, err);
    if (code == TR_OK)
        code = find_policy(export, tenant, request, own, policy, err);
    if (code == TR_OK) {
        code = make_plan(export, tenant, request, *policy, own, plan, err);
        if (code != TR_OK) {
            json_decref(*policy);
            *policy = NULL;
        }
    }
    json_decref(own);
    return code;
}

/* Job, plan and batches at once. Within a transaction. */
static tr_code insert(tr_export *export, const tr_tenant *tenant, json_t *job, json_t *plan,
                      const char *client_id, tr_err *err)
{
    tr_catalog *catalog = export->parts.catalog;
    const int64_t now = tr_json_int(job, "creationTime", 0);
    const json_t *to = json_object_get(job, "destination");
    tr_object object = {.state = "NEW", .created_ms = now, .updated_ms = now, .doc = job};
    (void)snprintf(object.id, sizeof object.id, "%lld", (long long)tr_json_int(job, "id", 0));
    TR_TRY(tr_catalog_insert(catalog, tenant, "export", &object, err));
    object.doc = plan;
    object.state[0] = '\0';
    TR_TRY(tr_catalog_insert(catalog, tenant, "export_plan", &object, err));
    for (uint32_t slot = 0; slot < tr_export_batch_count(job); slot++) {
        tr_object batch = {.state = "processing", .created_ms = now, .updated_ms = now};
        (void)snprintf(batch.id, sizeof batch.id, "%s", tr_export_batch_id(job, slot));
        (void)snprintf(batch.parent, sizeof batch.parent, "%s", tr_json_text(to, "datasetId", ""));
        TR_TRY(tr_export_batch_make(tenant, job, slot, client_id, &batch.doc, err));
        const tr_code code = tr_catalog_insert(catalog, tenant, "batch", &batch, err);
        json_decref(batch.doc);
        TR_TRY(code);
    }
    return TR_OK;
}

/* Gives the job its number and stores it. */
static tr_code store(tr_export *export, const tr_tenant *tenant, json_t *job, json_t *plan,
                     const char *client_id, tr_err *err)
{
    int64_t number = 0;
    TR_TRY(tr_catalog_begin(export->parts.catalog, err));
    tr_code code = tr_catalog_next(export->parts.catalog, tenant, "export", &number, err);
    if (code == TR_OK && json_object_set_new(job, "id", json_integer(number)) != 0)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory to number an export");
    if (code == TR_OK)
        code = insert(export, tenant, job, plan, client_id, err);
    return tr_catalog_end(export->parts.catalog, code, err);
}

tr_code tr_export_create(tr_export *export, const tr_tenant *tenant, const json_t *body,
                         const char *request_id, const char *client_id, json_t **job, tr_err *err)
{
    tr_export_request request;
    json_t *policy = NULL, *plan = NULL, *doc = NULL;
    char id[24];
    TR_TRY(tr_export_request_read(body, &request, err));
    TR_TRY(check_dataset(export, tenant, request.dataset, err));
    int64_t created_us = 0; /* before the snapshot: an incremental export goes on from there */
    TR_TRY(tr_catalog_clock(export->parts.catalog, tenant, &created_us, err));
    TR_TRY(tr_export_plan_of(export, tenant, &request, &policy, &plan, err));
    tr_code code = TR_OK;
    if (request.is_evaluated)
        code = tr_export_evaluate(export, tenant, &request, request_id, plan, err);
    if (code == TR_OK)
        code = tr_export_job_make(tenant, body, created_us / 1000, &request, policy, request_id,
                                  &doc, err);
    if (code == TR_OK)
        code = store(export, tenant, doc, plan, client_id, err);
    json_decref(policy);
    if (code != TR_OK) {
        json_decref(plan);
        json_decref(doc);
        return code;
    }
    (void)snprintf(id, sizeof id, "%lld", (long long)tr_json_int(doc, "id", 0));
    tr_crash_point("export_created");
    tr_log(TR_LOG_INFO, "export", "export_created", "job=%s tenant=%s", id, tenant->folder);
    tr_err late = {0};
    if (submit(export, tenant, id, plan, &late) != TR_OK) /* it runs after the next start */
        tr_log(TR_LOG_WARN, "export", "export_not_queued", "job=%s reason=\"%s\"", id, late.text);
    json_decref(plan);
    *job = doc;
    return TR_OK;
}

tr_code tr_export_show(tr_export *export, const tr_tenant *tenant, const tr_object *job,
                       json_t **out, tr_err *err)
{
    pthread_mutex_lock(&export->lock);
    json_t *shown = tr_export_job_show(job, find_active(export, tenant, job->id));
    pthread_mutex_unlock(&export->lock);
    if (shown == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to show an export job");
    *out = shown;
    return TR_OK;
}

static tr_code get_job(tr_export *export, const tr_tenant *tenant, const char *id, tr_object *out,
                       tr_err *err)
{
    int64_t number = 0;
    tr_code code =
        tr_str_to_i64(tr_str_of(id), &number) && number > 0 && id[0] != '0' ? TR_OK : TR_NOT_FOUND;
    if (code == TR_OK)
        code = tr_catalog_get(export->parts.catalog, tenant, "export", id, out, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_NOT_FOUND, "no export job with id \"%.40s\"", id);
    return code;
}

tr_code tr_export_get(tr_export *export, const tr_tenant *tenant, const char *id, json_t **job,
                      tr_err *err)
{
    tr_object object = {0};
    TR_TRY(get_job(export, tenant, id, &object, err));
    const tr_code code = tr_export_show(export, tenant, &object, job, err);
    tr_object_clear(&object);
    return code;
}

/* A job that nobody works on yet ends at once; a running one is marked, and its coordinator ends
 * it. */
static tr_code cancel(void *ctx, tr_object *job, tr_err *err)
{
    if (tr_export_is_finished(job->state))
        return TR_OK;
    if (strcmp(job->state, "NEW") == 0)
        return tr_export_end_queued(ctx, job, err);
    json_t *own = json_object_get(job->doc, "_");
    const int bad = own != NULL
                        ? json_object_set_new(own, "cancel", json_true())
                        : json_object_set_new(job->doc, "_", json_pack("{s:b}", "cancel", 1));
    return bad == 0 ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory to cancel an export");
}

tr_code tr_export_cancel(tr_export *export, const tr_tenant *tenant, const char *id, tr_err *err)
{
    tr_object object = {0};
    tr_export_active self = {.export = export, .tenant = *tenant};
    TR_TRY(get_job(export, tenant, id, &object, err));
    const bool was_finished = tr_export_is_finished(object.state);
    tr_object_clear(&object);
    if (was_finished)
        return TR_OK;
    (void)snprintf(self.id, sizeof self.id, "%s", id);
    TR_TRY(tr_export_job_edit(export, tenant, id, cancel, &self, err));
    pthread_mutex_lock(&export->lock);
    tr_export_active *active = find_active(export, tenant, id);
    if (active != NULL)
        atomic_store(&active->cancel, true);
    pthread_mutex_unlock(&export->lock);
    return TR_OK;
}

tr_code tr_export_decide(tr_export *export, const tr_tenant *tenant, const json_t *body,
                         json_t **policy, json_t **plan, tr_err *err)
{
    tr_export_request request;
    TR_TRY(tr_export_request_read(body, &request, err));
    TR_TRY(check_dataset(export, tenant, request.dataset, err));
    return tr_export_plan_of(export, tenant, &request, policy, plan, err);
}

typedef struct resuming {
    tr_export *export;
    bool are_evaluating; /* those that have begun to; else all others */
} resuming;

static tr_code resume_one(void *ctx, const tr_tenant *tenant, const char *id, tr_err *err)
{
    const resuming *r = ctx;
    tr_object plan = {0};
    tr_code code = tr_catalog_get(r->export->parts.catalog, tenant, "export_plan", id, &plan, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    const bool is_evaluating = json_object_get(plan.doc, "evaluation") != NULL;
    code =
        is_evaluating == r->are_evaluating ? submit(r->export, tenant, id, plan.doc, err) : TR_OK;
    tr_object_clear(&plan);
    return code;
}

tr_code tr_export_resume(tr_export *export, tr_err *err)
{
    static const char *const states[] = {"PROCESSING", "NEW", NULL};
    resuming r = {.export = export, .are_evaluating = true};
    TR_TRY(tr_catalog_resume(export->parts.catalog, "export", states, resume_one, &r, err));
    TR_TRY(tr_segment_resume(export->parts.segment, err));
    r.are_evaluating = false;
    return tr_catalog_resume(export->parts.catalog, "export", states, resume_one, &r, err);
}
