/* SPDX-License-Identifier: Apache-2.0 */
/* job.c - the document of an export job, and of the batch it makes (reference: profile API,
 * 2.6). */
#include "export/export_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for an export job's document");
}

bool tr_export_is_finished(const char *state)
{
    return strcmp(state, "NEW") != 0 && strcmp(state, "PROCESSING") != 0;
}

uint32_t tr_export_batch_count(const json_t *job)
{
    const json_t *batches = json_object_get(json_object_get(job, "destination"), "batches");
    return json_is_array(batches) ? (uint32_t)json_array_size(batches) : 1;
}

const char *tr_export_batch_id(const json_t *job, uint32_t slot)
{
    const json_t *to = json_object_get(job, "destination");
    const json_t *batches = json_object_get(to, "batches");
    return tr_json_text(json_is_array(batches) ? json_array_get(batches, slot) : to, "batchId", "");
}

void tr_export_stage(const char *job, uint32_t slot, uint32_t slots, char out[48])
{
    if (slots <= 1)
        (void)snprintf(out, 48, "export-%s", job);
    else
        (void)snprintf(out, 48, "export-%s-%u", job, slot);
}

/* Where the parts go: the ids are known from the start. NULL: no memory. */
static json_t *make_destination(const tr_export_request *request)
{
    json_t *to = json_pack("{s:s, s:s, s:b}", "datasetId", request->dataset, "dataSetId",
                           request->dataset, "segmentPerBatch", request->is_per_segment);
    if (to == NULL || !request->is_per_segment) {
        if (to != NULL && json_object_set_new(to, "batchId", json_string(tr_id_ulid().text)) == 0)
            return to;
        json_decref(to);
        return NULL;
    }
    json_t *batches = json_array();
    bool is_good = json_object_set_new(to, "batches", batches) == 0;
    for (size_t i = 0; i < json_array_size(request->segments) && is_good; i++) {
        const json_t *segment = json_array_get(request->segments, i);
        json_t *status = json_deep_copy(json_object_get(segment, "status"));
        if (json_array_size(status) == 0 && !json_is_string(status)) {
            json_decref(status);
            status = json_pack("[s, s]", "realized", "existing");
        } else if (json_is_string(status)) {
            status = json_pack("[o]", status);
        }
        const char *namespace = tr_json_text(segment, "segmentNs", "");
        is_good = json_array_append_new(
                      batches, json_pack("{s:s, s:s, s:o, s:s}", "segmentId",
                                         tr_json_text(segment, "segmentId", ""), "segmentNs",
                                         namespace[0] == '\0' ? "ups" : namespace, "status", status,
                                         "batchId", tr_id_ulid().text)) == 0;
    }
    if (is_good)
        return to;
    json_decref(to);
    return NULL;
}

/* Members of the request that the job shows as they were sent. */
static bool echo(json_t *job, const json_t *body)
{
    static const char *const members[] = {"fields", "filter", "additionalFields", "evaluationInfo"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const json_t *value = json_object_get(body, members[i]);
        if (value != NULL && !json_is_null(value) &&
            json_object_set_new(job, members[i], json_deep_copy(value)) != 0)
            return false;
    }
    return true;
}

tr_code tr_export_job_make(const tr_tenant *tenant, const json_t *body, int64_t created_ms,
                           const tr_export_request *request, const json_t *policy,
                           const char *request_id, json_t **out, tr_err *err)
{
    const json_int_t now = created_ms;
    json_t *job = json_pack("{s:I, s:s, s:s, s:s, s:s, s:{s:s}}", "id", (json_int_t)0, "jobType",
                            "BATCH", "profileInstanceId", "ups", "status", "NEW", "imsOrgId",
                            tenant->org, "schema", "name", TR_POLICY_SCHEMA);
    json_t *more = json_pack(
        "{s:{s:s, s:I}, s:o, s:s, s:{}, s:{s:{s:I}}, s:I, s:I}", "mergePolicy", "id",
        tr_json_text(policy, "id", ""), "version", (json_int_t)tr_json_int(policy, "version", 1),
        "destination", make_destination(request), "requestId", request_id == NULL ? "" : request_id,
        "computeGatewayJobId", "metrics", "totalTime", "startTimeInMs", now, "creationTime", now,
        "updateTime", now);
    const bool is_good =
        job != NULL && more != NULL && echo(job, body) && json_object_update(job, more) == 0;
    json_decref(more);
    if (!is_good) {
        json_decref(job);
        return no_memory(err);
    }
    *out = job;
    return TR_OK;
}

/* How far a running job is. The time left is judged by this attempt's own partitions. */
static json_t *progress(const tr_export_active *active)
{
    const int64_t begun = atomic_load(&active->begun_us);
    const uint32_t total = atomic_load(&active->partitions_total);
    const uint32_t done = atomic_load(&active->partitions_done);
    const uint32_t mine = done - atomic_load(&active->done_before);
    json_t *eta = NULL;
    if (begun != 0 && mine > 0 && total >= done)
        eta = json_integer((tr_time_monotonic_us() - begun) / 1000 * (total - done) / mine);
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:o}", "partitionsDone", (json_int_t)done,
                     "partitionsTotal", (json_int_t)total, "profiles",
                     (json_int_t)atomic_load(&active->profiles), "bytes",
                     (json_int_t)atomic_load(&active->bytes), "percent",
                     total == 0 ? 0.0 : (double)(done * UINT64_C(1000) / total) / 10.0, "etaMs",
                     eta == NULL ? json_null() : eta);
}

json_t *tr_export_job_show(const tr_object *job, const tr_export_active *active)
{
    json_t *shown = json_copy(job->doc);
    (void)json_object_del(shown, "_");
    if (shown != NULL && active != NULL && strcmp(job->state, "PROCESSING") == 0 &&
        json_object_set_new(shown, "progress", progress(active)) != 0) {
        json_decref(shown);
        return NULL;
    }
    return shown;
}

static tr_code edit_in(tr_export *export, const tr_tenant *tenant, const char *id,
                       tr_export_edit edit, void *ctx, tr_err *err)
{
    tr_object job = {0};
    TR_TRY(tr_catalog_get(export->parts.catalog, tenant, "export", id, &job, err));
    tr_code code = edit(ctx, &job, err);
    job.updated_ms = 0;
    if (code == TR_OK)
        code = tr_catalog_put(export->parts.catalog, tenant, "export", &job, 0, err);
    tr_object_clear(&job);
    return code;
}

tr_code tr_export_job_edit(tr_export *export, const tr_tenant *tenant, const char *id,
                           tr_export_edit edit, void *ctx, tr_err *err)
{
    TR_TRY(tr_catalog_begin(export->parts.catalog, err));
    return tr_catalog_end(export->parts.catalog, edit_in(export, tenant, id, edit, ctx, err), err);
}

tr_code tr_export_job_timer(json_t *job, const char *name, int64_t begin_ms, int64_t end_ms,
                            tr_err *err)
{
    json_t *timer =
        json_pack("{s:I, s:I, s:I}", "startTimeInMs", (json_int_t)begin_ms, "endTimeInMs",
                  (json_int_t)end_ms, "totalTimeInMs", (json_int_t)(end_ms - begin_ms));
    if (timer == NULL || json_object_set_new(json_object_get(job, "metrics"), name, timer) != 0)
        return no_memory(err);
    return TR_OK;
}

tr_code tr_export_job_status(tr_object *job, const char *status, tr_err *err)
{
    const int64_t now = tr_time_now_ms();
    if (json_object_set_new(job->doc, "status", json_string(status)) != 0 ||
        json_object_set_new(job->doc, "updateTime", json_integer(now)) != 0)
        return no_memory(err);
    (void)snprintf(job->state, sizeof job->state, "%s", status);
    if (!tr_export_is_finished(status))
        return TR_OK;
    (void)json_object_del(job->doc, "_");
    return tr_export_job_timer(job->doc, "totalTime", tr_json_int(job->doc, "creationTime", now),
                               now, err);
}

tr_code tr_export_batch_make(const tr_tenant *tenant, const json_t *job, uint32_t slot,
                             const char *client_id, json_t **out, tr_err *err)
{
    const json_t *to = json_object_get(job, "destination");
    const char *id = tr_export_batch_id(job, slot);
    const json_int_t created = tr_json_int(job, "creationTime", 0);
    json_t *batch =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:i}", "id", id,
                  "imsOrg", tenant->org, "sandboxId", tenant->sandbox_id, "status", "processing",
                  "version", "1.0.0", "externalId", id, "created", created, "updated", created,
                  "started", created, "recordCount", 0, "failedRecordCount", 0, "size", 0);
    json_t *more =
        json_pack("{s:[], s:{s:s}, s:[{s:s, s:s}], s:{s:s, s:I}, s:{}, s:s, s:s, s:s}", "errors",
                  "inputFormat", "format", "parquet", "relatedObjects", "type", "dataSet", "id",
                  tr_json_text(to, "datasetId", ""), "tags", "acp_producer", "profile-export",
                  "exportJobId", (json_int_t)tr_json_int(job, "id", 0), "metrics", "createdClient",
                  client_id, "createdUser", client_id, "updatedUser", client_id);
    const bool is_good = batch != NULL && more != NULL && json_object_update(batch, more) == 0;
    json_decref(more);
    if (!is_good) {
        json_decref(batch);
        return no_memory(err);
    }
    *out = batch;
    return TR_OK;
}

tr_code tr_export_batch_move(tr_object *batch, const char *status, int64_t now, tr_err *err)
{
    char version[48];
    int64_t last = 0;
    const char *dot = strrchr(tr_json_text(batch->doc, "version", "1.0.0"), '.');
    if (dot == NULL || !tr_str_to_i64(tr_str_of(dot + 1), &last))
        last = 0;
    (void)snprintf(version, sizeof version, "1.0.%lld", (long long)last + 1);
    (void)snprintf(batch->state, sizeof batch->state, "%s", status);
    batch->updated_ms = now;
    const bool is_good = json_object_set_new(batch->doc, "status", json_string(status)) == 0 &&
                         json_object_set_new(batch->doc, "version", json_string(version)) == 0 &&
                         json_object_set_new(batch->doc, "updated", json_integer(now)) == 0 &&
                         json_object_set_new(batch->doc, "completed", json_integer(now)) == 0;
    return is_good ? TR_OK : no_memory(err);
}

static tr_code end_batch(tr_export *export, const tr_tenant *tenant, const char *id,
                         const char *status, const json_t *errors, tr_err *err)
{
    tr_object batch = {0};
    const json_int_t now = tr_time_now_ms();
    const tr_code found = tr_catalog_get(export->parts.catalog, tenant, "batch", id, &batch, err);
    if (found == TR_NOT_FOUND)
        return TR_OK; /* somebody removed the dataset with all its batches */
    TR_TRY(found);
    bool is_good = tr_export_batch_move(&batch, status, now, err) == TR_OK;
    for (size_t i = 0; i < json_array_size(errors) && is_good; i++) {
        const json_t *error = json_array_get(errors, i);
        is_good = json_array_append_new(json_object_get(batch.doc, "errors"),
                                        json_pack("{s:s, s:s, s:[]}", "code",
                                                  tr_json_text(error, "code", ""), "description",
                                                  tr_json_text(error, "msg", ""), "rows")) == 0;
    }
    tr_code code = is_good ? TR_OK : no_memory(err);
    if (code == TR_OK)
        code = tr_catalog_put(export->parts.catalog, tenant, "batch", &batch, 0, err);
    tr_object_clear(&batch);
    return code;
}

tr_code tr_export_batch_end(tr_export *export, const tr_tenant *tenant, const json_t *job,
                            const char *status, const json_t *errors, tr_err *err)
{
    for (uint32_t slot = 0; slot < tr_export_batch_count(job); slot++)
        TR_TRY(end_batch(export, tenant, tr_export_batch_id(job, slot), status, errors, err));
    return TR_OK;
}

tr_code tr_export_parts_forget(tr_export *export, const tr_tenant *tenant, const char *id,
                               tr_err *err)
{
    return tr_catalog_remove_of(export->parts.catalog, tenant, "export_part", id, err);
}

tr_code tr_export_work_forget(tr_export *export, const tr_tenant *tenant, const char *id,
                              tr_err *err)
{
    const tr_code code = tr_catalog_remove(export->parts.catalog, tenant, "export_plan", id, err);
    return code == TR_OK || code == TR_NOT_FOUND ? tr_export_parts_forget(export, tenant, id, err)
                                                 : code;
}
