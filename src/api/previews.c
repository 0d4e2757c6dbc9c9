/* SPDX-License-Identifier: Apache-2.0 */
/* previews.c - /data/core/ups/preview and /estimate (reference: segmentation API, section 6). */
#include "api/segment_list.h"
#include "segment/preview.h"

#include <stdio.h>

#define UPS "/data/core/ups"

static tr_code post_preview(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *made = NULL;
    char href[160];
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_preview_create(call->parts->previews, &call->tenant, body, &made, err));
    (void)snprintf(href, sizeof href, "/preview/%.80s", tr_json_text(made, "previewId", ""));
    const tr_code code = tr_reply_header(call, "X-Location", href, err);
    if (code != TR_OK) {
        json_decref(made);
        return code;
    }
    return tr_reply_json(call, 201, made, err);
}

/* Everything but letters, digits and -._ as %XX. */
static void escape(const char *text, char *out, size_t size)
{
    size_t at = 0;
    for (; *text != '\0' && at + 4 < size; text++) {
        const unsigned char c = (unsigned char)*text;
        const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || strchr("-._", c) != NULL;
        at += (size_t)snprintf(out + at, size - at, is_plain ? "%c" : "%%%02X", c);
    }
    out[at] = '\0';
}

/* {"<id>": {"_href", "endCustomerIds": {"<id>": {"_href"}}}}, with links to the profile. */
static json_t *show_result(const tr_call *call, const json_t *result)
{
    char id[600], space[300], href[1400];
    const char *plain = tr_json_text(result, "id", "");
    escape(plain, id, sizeof id);
    escape(tr_json_text(result, "namespace", ""), space, sizeof space);
    (void)snprintf(href, sizeof href,
                   "%.200s" UPS "/access/entities?schema.name=_xdm.context.profile&entityId=%s"
                   "&entityIdNS=%s",
                   call->parts->public_url == NULL ? "" : call->parts->public_url, id, space);
    return json_pack("{s:{s:s, s:{s:{s:s}}}}", plain, "_href", href, "endCustomerIds", plain,
                     "_href", href);
}

static tr_code get_preview(tr_call *call, tr_err *err)
{
    json_t *found = NULL;
    int64_t offset = 0, limit = 0;
    char self[160], next[200] = "";
    const char *id = tr_call_param(call, 0);
    TR_TRY(tr_call_query_int(call, "offset", 0, 0, INT32_MAX, &offset, err));
    TR_TRY(tr_call_query_int(call, "limit", 1000, 1, 1000, &limit, err));
    TR_TRY(tr_preview_get(call->parts->previews, &call->tenant, id, &found, err));
    const json_t *all = json_object_get(found, "results");
    const size_t count = json_array_size(all);
    json_t *results = json_array();
    for (size_t i = (size_t)offset; i < count && i < (size_t)(offset + limit); i++)
        (void)json_array_append_new(results, show_result(call, json_array_get(all, i)));
    (void)snprintf(self, sizeof self, "/preview/%.80s", id);
    if ((size_t)(offset + limit) < count)
        (void)snprintf(next, sizeof next, "/preview/%.80s?offset=%lld&limit=%lld", id,
                       (long long)(offset + limit), (long long)limit);
    json_t *body = json_pack("{s:O, s:{s:I, s:I}, s:{s:s, s:s, s:s}, s:O}", "results", results,
                             "page", "offset", (json_int_t)offset, "size",
                             (json_int_t)json_array_size(results), "links", "_self", self, "next",
                             next, "prev", "", "state", json_object_get(found, "state"));
    json_decref(results);
    json_decref(found);
    return tr_reply_json(call, 200, body, err);
}

static tr_code delete_preview(tr_call *call, tr_err *err)
{
    TR_TRY(tr_preview_remove(call->parts->previews, &call->tenant, tr_call_param(call, 0), err));
    return tr_reply_json(call, 200, json_pack("{s:b, s:s}", "status", 1, "message", "KILLED"), err);
}

static tr_code get_estimate(tr_call *call, tr_err *err)
{
    json_t *found = NULL;
    char href[300];
    const char *id = tr_call_param(call, 0);
    TR_TRY(tr_preview_estimate(call->parts->previews, &call->tenant, id, &found, err));
    (void)snprintf(href, sizeof href, "%.200s" UPS "/preview/%.60s",
                   call->parts->public_url == NULL ? "" : call->parts->public_url, id);
    (void)json_object_set_new(found, "_links", json_pack("{s:s}", "preview", href));
    return tr_reply_json(call, 200, found, err);
}

const tr_endpoint tr_api_previews[] = {{"POST", UPS "/preview", TR_SCOPE_READ, post_preview, 0},
                                       {"GET", UPS "/preview/{id}", TR_SCOPE_READ, get_preview, 0},
                                       {"DELETE", UPS "/preview/{id}", TR_SCOPE_WRITE,
                                        delete_preview, 0},
                                       {"GET", UPS "/estimate/{id}", TR_SCOPE_READ, get_estimate,
                                        0},
                                       {0}};
