/* SPDX-License-Identifier: Apache-2.0 */
/* segment_jobs.c - /data/core/ups/segment/jobs (reference: segmentation API, section 4). */
#include "api/segment_list.h"
#include "segment/jobs.h"

static tr_code post_job(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *job = NULL;
    const tr_segment_order order = {.request_id = call->request_id, .source = "api"};
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_segment_job_create(call->parts->segment, &call->tenant, body, &order, &job, err));
    return tr_reply_json(call, 200, job, err);
}

static tr_code get_one(tr_call *call, const char *id, json_t **out, tr_err *err)
{
    return tr_segment_job_get(call->parts->segment, &call->tenant, id, out, err);
}

static tr_code get_job(tr_call *call, tr_err *err)
{
    json_t *job = NULL;
    TR_TRY(get_one(call, tr_call_param(call, 0), &job, err));
    return tr_reply_json(call, 200, job, err);
}

static tr_code delete_job(tr_call *call, tr_err *err)
{
    TR_TRY(tr_segment_job_cancel(call->parts->segment, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_empty(call, 204, err);
}

static tr_code bulk_get(tr_call *call, tr_err *err)
{
    return tr_segment_bulk_get(call, get_one, false, err);
}

static tr_code read_status(tr_call *call, tr_list_request *request, tr_err *err)
{
    static const char *const known[] = {"NEW",    "QUEUED",     "PROCESSING", "SUCCEEDED",
                                        "FAILED", "CANCELLING", "CANCELLED"};
    const tr_str status = tr_segment_query(call, "status");
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (status.at == NULL || tr_str_equal_folded(status, tr_str_of(known[i]))) {
            request->state = status.at == NULL ? NULL : known[i];
            return TR_OK;
        }
    return TR_FAIL(err, TR_INVALID,
                   "status is \"%.*s\": expected NEW, QUEUED, PROCESSING, SUCCEEDED, FAILED, "
                   "CANCELLING or CANCELLED",
                   status.len > 40 ? 40 : (int)status.len, (const char *)status.at);
}

static tr_code list_jobs(tr_call *call, tr_err *err)
{
    static const char *const sortable[] = {"creationTime", "updateTime", "updateEpoch",
                                           "status",       "id",         NULL};
    tr_list_request request;
    json_t *items = NULL;
    uint64_t total = 0;
    TR_TRY(tr_segment_list_read(call, sortable, &request, err));
    TR_TRY(read_status(call, &request, err));
    TR_TRY(tr_list_add(&request, "snapshot.name", tr_segment_query(call, "snapshot.name"),
                       TR_LIST_EQUAL, err));
    TR_TRY(tr_segment_job_find(call->parts->segment, &call->tenant, &request, &items, &total, err));
    return tr_segment_list_reply(call, &request, "segment/jobs", items, total, err);
}

#define JOBS "/data/core/ups/segment/jobs"

const tr_endpoint tr_api_segment_jobs[] = {{"GET", JOBS, TR_SCOPE_READ, list_jobs, 0},
                                           {"POST", JOBS, TR_SCOPE_WRITE, post_job, 0},
                                           {"POST", JOBS "/bulk-get", TR_SCOPE_READ, bulk_get, 0},
                                           {"GET", JOBS "/{id}", TR_SCOPE_READ, get_job, 0},
                                           {"DELETE", JOBS "/{id}", TR_SCOPE_WRITE, delete_job, 0},
                                           {0}};
