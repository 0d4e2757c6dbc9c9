/* SPDX-License-Identifier: Apache-2.0 */
/* system_jobs.c - /data/core/ups/system/jobs: delete requests (reference: profile API, 7.3). */
#include "api/segment_list.h"

#include <stdio.h>

enum { LIMIT = 100, LIMIT_MAX = 1000, PAGES_MAX = 1000000 };

static tr_code post_job(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *job = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_removal_create(call->parts->removals, &call->tenant, body, &job, err));
    return tr_reply_json(call, 200, job, err);
}

/* Pages are numbered from 0, by either name. */
static tr_code read_page(tr_call *call, tr_list_request *request, int64_t *page, tr_err *err)
{
    static const char *const sortable[] = {"createdAt", "updatedAt",   "createEpoch", "updateEpoch",
                                           "status",    "batchId",     "dataSetId",   "id",
                                           "requestId", "requestType", NULL};
    const char *name = tr_call_given(call, "start") != NULL ? "start" : "page";
    *request = (tr_list_request){0};
    TR_TRY(tr_call_given_int(call, name, 0, 0, PAGES_MAX, page, err));
    TR_TRY(tr_call_given_int(call, "limit", LIMIT, 1, INT32_MAX, &request->limit, err));
    if (request->limit > LIMIT_MAX)
        request->limit = LIMIT_MAX;
    request->start = *page * request->limit;
    return tr_list_read_sort(request, tr_segment_query(call, "sort"), sortable, err);
}

/* Members of both generations; the last page has "" as its next: clients loop until they see it. */
static tr_code list_jobs(tr_call *call, tr_err *err)
{
    tr_list_request request;
    json_t *items = NULL;
    uint64_t total = 0;
    int64_t page = 0;
    char start[24];
    TR_TRY(read_page(call, &request, &page, err));
    TR_TRY(tr_removal_find(call->parts->removals, &call->tenant, &request, &items, &total, err));
    const bool has_next =
        (uint64_t)request.start + json_array_size(items) < total && json_array_size(items) > 0;
    (void)snprintf(start, sizeof start, "%lld", (long long)page);
    json_t *next = has_next ? json_integer((json_int_t)page + 1) : json_string("");
    return tr_reply_json(call, 200,
                         json_pack("{s:{s:I, s:I, s:s, s:I, s:o}, s:o}", "_page", "count",
                                   (json_int_t)total, "totalCount", (json_int_t)total, "start",
                                   start, "pageSize", (json_int_t)json_array_size(items), "next",
                                   next, "children", items),
                         err);
}

static tr_code get_job(tr_call *call, tr_err *err)
{
    json_t *job = NULL;
    TR_TRY(tr_removal_get(call->parts->removals, &call->tenant, tr_call_param(call, 0), &job, err));
    return tr_reply_json(call, 200, job, err);
}

static tr_code delete_job(tr_call *call, tr_err *err)
{
    TR_TRY(tr_removal_forget(call->parts->removals, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_empty(call, 200, err);
}

#define JOBS "/data/core/ups/system/jobs"

const tr_endpoint tr_api_system_jobs[] = {{"GET", JOBS, TR_SCOPE_READ, list_jobs, 0},
                                          {"POST", JOBS, TR_SCOPE_WRITE, post_job, 0},
                                          {"GET", JOBS "/{id}", TR_SCOPE_READ, get_job, 0},
                                          {"DELETE", JOBS "/{id}", TR_SCOPE_WRITE, delete_job, 0},
                                          {0}};
