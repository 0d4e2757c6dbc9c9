/* SPDX-License-Identifier: Apache-2.0 */
/* schedules.c - /data/core/ups/config/schedules (reference: segmentation API, section 7). */
#include "api/segment_list.h"
#include "segment/schedule.h"

static tr_code post_schedule(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_schedule_create(call->parts->scheduler, &call->tenant, body, &doc, err));
    return tr_reply_json(call, 200, doc, err);
}

static tr_code get_schedule(tr_call *call, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(
        tr_schedule_get(call->parts->scheduler, &call->tenant, tr_call_param(call, 0), &doc, err));
    return tr_reply_json(call, 200, doc, err);
}

static tr_code patch_schedule(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    TR_TRY(tr_call_json_untyped(call, &body, err));
    TR_TRY(tr_schedule_patch(call->parts->scheduler, &call->tenant, tr_call_param(call, 0), body,
                             err));
    return tr_reply_empty(call, 204, err);
}

static tr_code delete_schedule(tr_call *call, tr_err *err)
{
    TR_TRY(tr_schedule_remove(call->parts->scheduler, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_empty(call, 204, err);
}

static tr_code list_schedules(tr_call *call, tr_err *err)
{
    static const char *const sortable[] = {"createEpoch", "updateEpoch", "name",
                                           "state",       "type",        NULL};
    tr_list_request request;
    json_t *items = NULL;
    uint64_t total = 0;
    TR_TRY(tr_segment_list_read(call, sortable, &request, err));
    TR_TRY(tr_schedule_find(call->parts->scheduler, &call->tenant, &request, &items, &total, err));
    return tr_segment_list_reply(call, &request, "config/schedules", items, total, err);
}

#define SCHEDULES "/data/core/ups/config/schedules"

const tr_endpoint tr_api_schedules[] = {
    {"GET", SCHEDULES, TR_SCOPE_READ, list_schedules, 0},
    {"POST", SCHEDULES, TR_SCOPE_WRITE, post_schedule, 0},
    {"GET", SCHEDULES "/{id}", TR_SCOPE_READ, get_schedule, 0},
    {"PATCH", SCHEDULES "/{id}", TR_SCOPE_WRITE, patch_schedule, 0},
    {"DELETE", SCHEDULES "/{id}", TR_SCOPE_WRITE, delete_schedule, 0},
    {0}};
