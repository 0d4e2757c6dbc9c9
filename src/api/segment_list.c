/* SPDX-License-Identifier: Apache-2.0 */
/* segment_list.c - lists and bulk reads of the segmentation service; see segment_list.h. */
#include "api/segment_list.h"

#include "base/limits.h"

#include <stdio.h>

tr_str tr_segment_query(tr_call *call, const char *name)
{
    return tr_str_of(tr_call_given(call, name));
}

tr_code tr_segment_list_read(tr_call *call, const char *const *sortable, tr_list_request *out,
                             tr_err *err)
{
    *out = (tr_list_request){0};
    TR_TRY(tr_call_given_int(call, "start", 0, 0, INT64_MAX, &out->start, err));
    TR_TRY(tr_call_given_int(call, "limit", TR_SEGMENT_LIMIT, 1, INT64_MAX, &out->limit, err));
    if (out->limit > TR_SEGMENT_LIMIT_MAX)
        out->limit = TR_SEGMENT_LIMIT_MAX;
    TR_TRY(tr_list_read_sort(out, tr_segment_query(call, "sort"), sortable, err));
    for (uint32_t i = 0; i < call->request->query_count; i++) {
        const tr_http_pair *pair = &call->request->query[i];
        if (tr_str_is(pair->name, "property") && pair->value.len > 0 && pair->value.at[0] != '{')
            TR_TRY(tr_list_add_property(out, pair->value, err));
    }
    return TR_OK;
}

tr_code tr_segment_list_reply(tr_call *call, const tr_list_request *request, const char *name,
                              json_t *items, uint64_t total, tr_err *err)
{
    const uint64_t count = json_array_size(items);
    const uint64_t next = (uint64_t)request->start + count;
    const bool has_next = count > 0 && next < total;
    json_t *page = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "totalCount", (json_int_t)total, "totalPages",
        (json_int_t)((total + (uint64_t)request->limit - 1) / (uint64_t)request->limit), "pageSize",
        (json_int_t)count, "limit", (json_int_t)request->limit, "start", (json_int_t)request->start,
        "sortField", request->order_count == 0 ? "creationTime" : request->orders[0].path, "sort",
        request->order_count > 0 && request->orders[0].is_ascending ? "asc" : "desc");
    json_t *link = json_object();
    char href[200];
    (void)snprintf(href, sizeof href, "@/%.60s?start=%llu&limit=%lld", name,
                   (unsigned long long)next, (long long)request->limit);
    if (has_next && page != NULL && link != NULL) {
        (void)json_object_set_new(page, "next", json_integer((json_int_t)next));
        (void)json_object_set_new(link, "href", json_string(href));
    }
    return tr_reply_json(
        call, 200,
        json_pack("{s:o, s:o, s:{s:o}}", "_page", page, "children", items, "_links", "next", link),
        err);
}

/* ---- bulk reads */

static json_t *not_found(const tr_call *call)
{
    return json_pack("{s:s, s:{s:[{s:s, s:s}]}}", "requestId", call->request_id, "errors", "404",
                     "code", "404", "message", "Not found.");
}

static tr_code read_ids(tr_call *call, const json_t **out, tr_err *err)
{
    const json_t *body = NULL;
    TR_TRY(tr_call_json_untyped(call, &body, err));
    const json_t *ids = json_object_get(body, "ids");
    if (!json_is_array(ids))
        return TR_FAIL(err, TR_INVALID, "ids is required: an array of {\"id\": ...}");
    if (json_array_size(ids) == 0 || json_array_size(ids) > TR_SEGMENT_IDS_MAX)
        return TR_FAIL(err, TR_INVALID, "ids has %zu entries: expected 1 to %d",
                       json_array_size(ids), TR_SEGMENT_IDS_MAX);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *item = json_array_get(ids, i);
        if (!json_is_string(item) && tr_json_text(item, "id", NULL) == NULL)
            return TR_FAIL(err, TR_INVALID, "ids[%zu].id is required", i);
    }
    *out = ids;
    return TR_OK;
}

tr_code tr_segment_bulk_get(tr_call *call, tr_segment_get_one get, bool needs_one, tr_err *err)
{
    const json_t *ids = NULL;
    TR_TRY(read_ids(call, &ids, err));
    json_t *results = json_object();
    size_t found = 0;
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *item = json_array_get(ids, i);
        const char *id =
            json_is_string(item) ? json_string_value(item) : tr_json_text(item, "id", "");
        json_t *one = NULL;
        const tr_code code = get(call, id, &one, err);
        if (code != TR_OK && code != TR_NOT_FOUND) {
            json_decref(results);
            return code;
        }
        found += code == TR_OK;
        (void)json_object_set_new(results, id, code == TR_OK ? one : not_found(call));
    }
    if (needs_one && found == 0) {
        json_decref(results);
        return TR_FAIL(err, TR_NOT_FOUND, "none of the %zu ids exists", json_array_size(ids));
    }
    return tr_reply_json(call, 207, json_pack("{s:o}", "results", results), err);
}
