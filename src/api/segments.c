/* SPDX-License-Identifier: Apache-2.0 */
/* segments.c - /data/core/ups/segment/definitions and /segment/conversion (reference: segmentation
 * API, sections 2 and 3).
 */
#include "api/segment_list.h"

#include <stdio.h>

static tr_code reply_with_location(tr_call *call, json_t *doc, tr_err *err)
{
    char href[200];
    (void)snprintf(href, sizeof href, "/segment/definitions/%.60s", tr_json_text(doc, "id", ""));
    const tr_code code = tr_reply_header(call, "X-Location", href, err);
    if (code != TR_OK) {
        json_decref(doc);
        return code;
    }
    return tr_reply_json(call, 200, doc, err);
}

static tr_code post_definition(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_segment_create(call->parts->segment, &call->tenant, body, &doc, err));
    return reply_with_location(call, doc, err);
}

static tr_code get_one(tr_call *call, const char *id, json_t **out, tr_err *err)
{
    return tr_segment_get(call->parts->segment, &call->tenant, id, out, err);
}

static tr_code get_definition(tr_call *call, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(get_one(call, tr_call_param(call, 0), &doc, err));
    return tr_reply_json(call, 200, doc, err);
}

static tr_code patch_definition(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_segment_change(call->parts->segment, &call->tenant, tr_call_param(call, 0), body,
                             &doc, err));
    return reply_with_location(call, doc, err);
}

static tr_code delete_definition(tr_call *call, tr_err *err)
{
    TR_TRY(tr_segment_remove(call->parts->segment, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_json(
        call, 200, json_pack("{s:b, s:s}", "status", 1, "message", "Segment definition deleted"),
        err);
}

static tr_code bulk_get(tr_call *call, tr_err *err)
{
    return tr_segment_bulk_get(call, get_one, false, err);
}

/* page is 0-based and wins over start; a page past the end is empty. */
static tr_code read_page(tr_call *call, tr_list_request *request, tr_err *err)
{
    int64_t page = 0;
    if (tr_segment_query(call, "page").at == NULL)
        return TR_OK;
    TR_TRY(tr_call_query_int(call, "page", 0, 0, INT32_MAX, &page, err));
    request->start = page * request->limit;
    return TR_OK;
}

static tr_code read_filters(tr_call *call, tr_list_request *request, tr_err *err)
{
    static const struct {
        const char *parameter, *path;
        tr_list_match match;
    } known[] = {
        {"evaluationInfo.batch.enabled", "evaluationInfo.batch.enabled", TR_LIST_EQUAL},
        {"evaluationInfo.continuous.enabled", "evaluationInfo.continuous.enabled", TR_LIST_EQUAL},
        {"evaluationInfo.synchronous.enabled", "evaluationInfo.synchronous.enabled", TR_LIST_EQUAL},
        {"name", "name", TR_LIST_CONTAINS},
        {"description", "description", TR_LIST_CONTAINS},
        {"mergePolicyId", "mergePolicyId", TR_LIST_EQUAL},
        {"status", "lifecycleState", TR_LIST_EQUAL},
        {"tag", "tags", TR_LIST_EQUAL},
        {"label", "labels", TR_LIST_EQUAL}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        TR_TRY(tr_list_add(request, known[i].path, tr_segment_query(call, known[i].parameter),
                           known[i].match, err));
    return TR_OK;
}

static tr_code list_definitions(tr_call *call, tr_err *err)
{
    static const char *const sortable[] = {"creationTime", "updateTime",    "createEpoch",
                                           "updateEpoch",  "name",          "id",
                                           "description",  "mergePolicyId", NULL};
    tr_list_request request;
    json_t *items = NULL;
    uint64_t total = 0;
    TR_TRY(tr_segment_list_read(call, sortable, &request, err));
    TR_TRY(read_page(call, &request, err));
    TR_TRY(read_filters(call, &request, err));
    TR_TRY(tr_segment_find(call->parts->segment, &call->tenant, &request, &items, &total, err));
    const uint64_t limit = (uint64_t)request.limit, next = (uint64_t)request.start + limit;
    const bool is_ascending = request.order_count > 0 && request.orders[0].is_ascending;
    json_t *link = json_object();
    char href[120];
    (void)snprintf(href, sizeof href, "@/segment/definitions?start=%llu&limit=%llu",
                   (unsigned long long)next, (unsigned long long)limit);
    if (next < total)
        (void)json_object_set_new(link, "next", json_pack("{s:s}", "href", href));
    return tr_reply_json(
        call, 200,
        json_pack("{s:o, s:{s:I, s:I, s:s, s:s, s:I, s:I}, s:o}", "segments", items, "page",
                  "totalCount", (json_int_t)total, "totalPages",
                  (json_int_t)((total + limit - 1) / limit), "sortField",
                  request.order_count == 0 ? "creationTime" : request.orders[0].path, "sort",
                  is_ascending ? "asc" : "desc", "pageSize", (json_int_t)json_array_size(items),
                  "limit", (json_int_t)limit, "link", link),
        err);
}

static tr_code convert(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    TR_TRY(tr_call_json_untyped(call, &body, err));
    TR_TRY(tr_segment_convert(&call->tenant, body, &doc, err));
    return tr_reply_json(call, 200, doc, err);
}

#define SEGMENT "/data/core/ups/segment"

const tr_endpoint tr_api_segments[] = {
    {"GET", SEGMENT "/definitions", TR_SCOPE_READ, list_definitions, 0},
    {"POST", SEGMENT "/definitions", TR_SCOPE_WRITE, post_definition, 0},
    {"POST", SEGMENT "/definitions/bulk-get", TR_SCOPE_READ, bulk_get, 0},
    {"GET", SEGMENT "/definitions/{id}", TR_SCOPE_READ, get_definition, 0},
    {"PATCH", SEGMENT "/definitions/{id}", TR_SCOPE_WRITE, patch_definition, 0},
    {"DELETE", SEGMENT "/definitions/{id}", TR_SCOPE_WRITE, delete_definition, 0},
    {"POST", SEGMENT "/conversion", TR_SCOPE_READ, convert, 0},
    {0}};
