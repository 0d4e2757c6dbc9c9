/* SPDX-License-Identifier: Apache-2.0 */
/* job_doc.c - the document of a segment job (reference: segmentation API, 4.2 and 4.3). */
#include "segment/job_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a segment job's document");
}

bool tr_segment_is_finished(const char *state)
{
    return strcmp(state, "SUCCEEDED") == 0 || strcmp(state, "FAILED") == 0 ||
           strcmp(state, "CANCELLED") == 0;
}

/* What the job shows of each definition; more than AEP shows one by one are "*". */
static json_t *list_segments(const json_t *definitions)
{
    json_t *list = json_array();
    if (json_array_size(definitions) > TR_SEGMENT_JOB_IDS_MAX) {
        (void)json_array_append_new(list, json_pack("{s:s}", "segmentId", "*"));
        return list;
    }
    for (size_t i = 0; i < json_array_size(definitions); i++) {
        const json_t *doc = json_array_get(definitions, i);
        const char *id = tr_json_text(doc, "id", ""),
                   *policy = tr_json_text(doc, "mergePolicyId", "");
        json_t *shown =
            json_pack("{s:s, s:{s:s, s:I, s:O, s:s, s:{s:s}}}", "segmentId", id, "segment", "id",
                      id, "version", (json_int_t)tr_json_int(doc, "version", 1), "expression",
                      json_object_get(doc, "expression"), "mergePolicyId", policy, "mergePolicy",
                      "id", policy);
        if (json_array_append_new(list, shown) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

tr_code tr_segment_job_make(const tr_tenant *tenant, const json_t *definitions,
                            const tr_segment_order *order, json_t **out, tr_err *err)
{
    const json_int_t now = tr_time_now_ms();
    const tr_id id = tr_id_uuid();
    char href[100];
    (void)snprintf(href, sizeof href, "/segment/jobs/%s", id.text);
    json_t *job = json_pack(
        "{s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s}, s:o}", "id", id.text, "imsOrgId",
        tenant->org, "sandbox", tr_segment_sandbox(tenant), "profileInstanceId", "ups", "source",
        order->source, "status", "NEW", "computeGatewayJobId", "", "requestId",
        order->request_id == NULL ? "" : order->request_id, "modelName", TR_SEGMENT_SCHEMA,
        "schema", "name", TR_SEGMENT_SCHEMA, "segments", list_segments(definitions));
    json_t *more = json_pack(
        "{s:{s:{s:I}, s:{}, s:{}, s:{}, s:{}}, s:{s:{s:s, s:s}, s:{s:s, s:s}}, s:I, s:I, s:I}",
        "metrics", "totalTime", "startTimeInMs", now, "profileSegmentationTime",
        "segmentedProfileCounter", "segmentedProfileByNamespaceCounter",
        "segmentedProfileByStatusCounter", "_links", "cancel", "href", href, "method", "DELETE",
        "checkStatus", "href", href, "method", "GET", "creationTime", now, "updateTime", now,
        "updateEpoch", now / 1000);
    bool is_good = job != NULL && more != NULL && json_object_update(job, more) == 0;
    json_decref(more);
    if (is_good && order->properties != NULL)
        is_good = json_object_set_new(job, "properties", json_deep_copy(order->properties)) == 0;
    if (!is_good) {
        json_decref(job);
        return no_memory(err);
    }
    *out = job;
    return TR_OK;
}

/* Ends a timer that has begun. */
static bool end_timer(json_t *metrics, const char *name, int64_t now)
{
    json_t *timer = json_object_get(metrics, name);
    const int64_t begin = tr_json_int(timer, "startTimeInMs", 0);
    return begin == 0 ||
           (json_object_set_new(timer, "endTimeInMs", json_integer(now)) == 0 &&
            json_object_set_new(timer, "totalTimeInMs", json_integer(now - begin)) == 0);
}

tr_code tr_segment_job_status(tr_object *job, const char *status, tr_err *err)
{
    const int64_t now = tr_time_now_ms();
    json_t *metrics = json_object_get(job->doc, "metrics");
    json_t *compute = json_object_get(metrics, "profileSegmentationTime");
    bool is_good = json_object_set_new(job->doc, "status", json_string(status)) == 0 &&
                   json_object_set_new(job->doc, "updateTime", json_integer(now)) == 0 &&
                   json_object_set_new(job->doc, "updateEpoch", json_integer(now / 1000)) == 0;
    if (strcmp(status, "PROCESSING") == 0 && tr_json_int(compute, "startTimeInMs", 0) == 0)
        is_good = is_good && json_object_set_new(compute, "startTimeInMs", json_integer(now)) == 0;
    if (tr_segment_is_finished(status))
        is_good = is_good && end_timer(metrics, "totalTime", now) &&
                  end_timer(metrics, "profileSegmentationTime", now);
    (void)snprintf(job->state, sizeof job->state, "%s", status);
    return is_good ? TR_OK : no_memory(err);
}

static tr_code edit_in(const tr_segment_active *active, tr_segment_edit edit, void *ctx,
                       tr_err *err)
{
    tr_catalog *catalog = active->segment->parts.catalog;
    tr_object job = {0};
    TR_TRY(tr_catalog_get(catalog, &active->tenant, "segment_job", active->id, &job, err));
    tr_code code = edit(ctx, &job, err);
    job.updated_ms = 0;
    if (code == TR_OK)
        code = tr_catalog_put(catalog, &active->tenant, "segment_job", &job, 0, err);
    tr_object_clear(&job);
    return code;
}

tr_code tr_segment_job_edit(const tr_segment_active *active, tr_segment_edit edit, void *ctx,
                            tr_err *err)
{
    TR_TRY(tr_catalog_begin(active->segment->parts.catalog, err));
    return tr_catalog_end(active->segment->parts.catalog, edit_in(active, edit, ctx, err), err);
}
