/* SPDX-License-Identifier: Apache-2.0 */
/* audiences.c - /data/core/ups/audiences (reference: segmentation API, section 8). */
#include "api/segment_list.h"
#include "segment/audience.h"

static tr_code post_audience(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_audience_create(call->parts->segment, &call->tenant, body, &doc, err));
    return tr_reply_json(call, 201, doc, err);
}

static tr_code get_one(tr_call *call, const char *id, json_t **out, tr_err *err)
{
    return tr_audience_get(call->parts->segment, &call->tenant, id, out, err);
}

static tr_code get_audience(tr_call *call, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(get_one(call, tr_call_param(call, 0), &doc, err));
    return tr_reply_json(call, 200, doc, err);
}

static tr_code put_audience(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_audience_replace(call->parts->segment, &call->tenant, tr_call_param(call, 0), body,
                               &doc, err));
    return tr_reply_json(call, 200, doc, err);
}

/* A JSON Patch of the audience as the wire shows it. */
static tr_code patch_audience(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL, *changed = NULL;
    const char *id = tr_call_param(call, 0);
    TR_TRY(tr_call_json(call, &body, err));
    if (!json_is_array(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be an array of operations");
    TR_TRY(get_one(call, id, &doc, err));
    tr_code code = tr_json_patch(&doc, body, err);
    if (code == TR_OK)
        code = tr_audience_replace(call->parts->segment, &call->tenant, id, doc, &changed, err);
    json_decref(doc);
    TR_TRY(code);
    return tr_reply_json(call, 200, changed, err);
}

static tr_code delete_audience(tr_call *call, tr_err *err)
{
    TR_TRY(tr_audience_remove(call->parts->segment, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_empty(call, 204, err);
}

static tr_code bulk_get(tr_call *call, tr_err *err)
{
    return tr_segment_bulk_get(call, get_one, true, err);
}

/* Audiences of people are all there are. */
static tr_code read_entity_type(tr_call *call, bool *is_people, tr_err *err)
{
    const tr_str type = tr_segment_query(call, "entityType");
    *is_people = type.at == NULL || tr_str_is(type, "_xdm.context.profile");
    if (*is_people || tr_str_is(type, "_xdm.context.account"))
        return TR_OK;
    return TR_FAIL(err, TR_INVALID,
                   "entityType is \"%.*s\": expected _xdm.context.profile or "
                   "_xdm.context.account",
                   type.len > 60 ? 60 : (int)type.len, (const char *)type.at);
}

static tr_code list_audiences(tr_call *call, tr_err *err)
{
    static const char *const sortable[] = {
        "creationTime", "updateTime", "createEpoch",    "updateEpoch", "name", "id",
        "description",  "namespace",  "lifecycleState", "originName",  "type", NULL};
    tr_list_request request;
    json_t *items = NULL;
    uint64_t total = 0;
    bool is_people = true;
    TR_TRY(read_entity_type(call, &is_people, err));
    TR_TRY(tr_segment_list_read(call, sortable, &request, err));
    TR_TRY(tr_list_add(&request, "name", tr_segment_query(call, "name"), TR_LIST_CONTAINS, err));
    TR_TRY(tr_list_add(&request, "description", tr_segment_query(call, "description"),
                       TR_LIST_CONTAINS, err));
    if (is_people)
        TR_TRY(
            tr_audience_find(call->parts->segment, &call->tenant, &request, &items, &total, err));
    else
        items = json_array();
    return tr_segment_list_reply(call, &request, "audiences", items, total, err);
}

#define AUDIENCES "/data/core/ups/audiences"

const tr_endpoint tr_api_audiences[] = {
    {"GET", AUDIENCES, TR_SCOPE_READ, list_audiences, 0},
    {"POST", AUDIENCES, TR_SCOPE_WRITE, post_audience, 0},
    {"POST", AUDIENCES "/bulk-get", TR_SCOPE_READ, bulk_get, 0},
    {"GET", AUDIENCES "/{id}", TR_SCOPE_READ, get_audience, 0},
    {"PUT", AUDIENCES "/{id}", TR_SCOPE_WRITE, put_audience, 0},
    {"PATCH", AUDIENCES "/{id}", TR_SCOPE_WRITE, patch_audience, 0},
    {"DELETE", AUDIENCES "/{id}", TR_SCOPE_WRITE, delete_audience, 0},
    {0}};
