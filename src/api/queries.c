/* SPDX-License-Identifier: Apache-2.0 */
/* queries.c - /data/foundation/query/queries (reference: Query Service, section 3). */
#include "api/core_internal.h"
#include "api/query_list.h"
#include "base/clock.h"

#include <stdio.h>

static json_t *dataset_link(tr_call *call, const char *id)
{
    return json_pack("{s:s,s:o}", "id", id, "href",
                     json_sprintf("%s/data/foundation/catalog/dataSets/%s",
                                  call->parts->public_url == NULL ? "" : call->parts->public_url,
                                  id));
}

static json_t *links_of(tr_call *call, const tr_object *object)
{
    const char *id = object->id;
    const char *schedule = tr_json_text(object->doc, "scheduleId", NULL);
    const char *made = tr_json_text(object->doc, "_dataset", "");
    const json_t *used = json_object_get(object->doc, "_datasets");
    json_t *links = json_pack(
        "{s:o,s:o}", "self", tr_query_link(call, "GET", NULL, "/queries/%s", id), "soft_delete",
        tr_query_link(call, "PATCH", "{ \"op\": \"soft_delete\"}", "/queries/%s", id));
    if (!tr_query_has_ended(object->state))
        (void)json_object_set_new(
            links, "cancel",
            tr_query_link(call, "PATCH", "{ \"op\": \"cancel\"}", "/queries/%s", id));
    json_t *list = json_array();
    for (size_t i = 0; i < json_array_size(used); i++)
        (void)json_array_append_new(list,
                                    dataset_link(call, json_string_value(json_array_get(used, i))));
    (void)json_object_set_new(links, "referenced_datasets", list);
    if (tr_json_bool(object->doc, "isCTAS", false) && made[0] != '\0' &&
        strcmp(object->state, "SUCCESS") == 0)
        (void)json_object_set_new(links, "created_dataset", dataset_link(call, made));
    if (schedule != NULL) {
        const char *run = tr_json_text(object->doc, "scheduleRunId", "");
        json_t *link = tr_query_link(call, "GET", NULL, "/schedules/%s", schedule);
        (void)json_object_set_new(link, "id", json_string(schedule));
        (void)json_object_set_new(links, "schedule", link);
        link = tr_query_link(call, "GET", NULL, "/schedules/%s/runs/%s", schedule, run);
        (void)json_object_set_new(link, "id", json_string(run));
        (void)json_object_set_new(links, "schedule_run", link);
    }
    return links;
}

/* What is stored without what is ours, and the links. */
static json_t *show(tr_call *call, const tr_object *object)
{
    char created[TR_QUERY_TIME_BYTES], updated[TR_QUERY_TIME_BYTES];
    const char *name;
    json_t *value, *shown = json_object();
    json_object_foreach(object->doc, name,
                        value) if (name[0] != '_' && json_object_set(shown, name, value) != 0)
    {
        json_decref(shown);
        return NULL;
    }
    json_t *more =
        json_pack("{s:s,s:s,s:o}", "created", tr_query_time(object->created_ms, created), "updated",
                  tr_query_time(object->updated_ms, updated), "_links", links_of(call, object));
    if (!tr_query_has_ended(object->state)) /* it is under way: so long by now */
        (void)json_object_set_new(more, "elapsedTime",
                                  json_integer(tr_time_now_ms() - object->created_ms));
    return tr_query_add_members(shown, more);
}

static tr_code reply_query(tr_call *call, int status, const char *id, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_query_get(call->api->jobs, &call->tenant, id, &object, err));
    json_t *shown = show(call, &object);
    tr_object_clear(&object);
    return tr_reply_json(call, status, shown, err);
}

static tr_code post_query(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    char id[64];
    TR_TRY(tr_call_json(call, &body, err));
    const tr_query_order order = {.request = body, .client = "API", .client_id = call->client_id};
    TR_TRY(tr_query_submit(call->api->jobs, &call->tenant, &order, &doc, err));
    (void)snprintf(id, sizeof id, "%s", tr_json_text(doc, "id", ""));
    json_decref(doc);
    return reply_query(call, 202, id, err);
}

static tr_code get_query(tr_call *call, tr_err *err)
{
    return reply_query(call, 200, tr_call_param(call, 0), err);
}

/* Hidden: a statement of a block, which is listed itself. */
static bool is_listed(tr_call *call, const tr_object *object)
{
    const bool is_hidden = json_object_get(object->doc, "_block") != NULL;
    if (is_hidden && tr_query_flag(call, "excludeHidden", true))
        return false;
    return !tr_query_flag(call, "excludeSoftDeleted", true) ||
           !tr_json_bool(object->doc, "isSoftDeleted", false);
}

#define ANY_OP "> < >= <= == != ~"

static tr_code list_queries(tr_call *call, tr_err *err)
{
    static const tr_query_field fields[] = {
        {"created", ANY_OP, TR_QUERY_CREATED, NULL},
        {"updated", ANY_OP, TR_QUERY_UPDATED, NULL},
        {"state", ANY_OP, TR_QUERY_TEXT, "state"},
        {"id", ANY_OP, TR_QUERY_TEXT, "id"},
        {"referenced_datasets", "==", TR_QUERY_IDS, "_datasets"},
        {"userId", "==", TR_QUERY_TEXT, "userId"},
        {"templateId", "==", TR_QUERY_TEXT, "templateId"},
        {"client", "==", TR_QUERY_TEXT, "client"},
        {"scheduleId", "==", TR_QUERY_TEXT, "scheduleId"},
        {"scheduleRunId", "==", TR_QUERY_TEXT, "scheduleRunId"},
        {"sql", "~", TR_QUERY_TEXT, "effectiveSQL"},
        {"templateName", "~", TR_QUERY_TEXT, "templateName"},
        {"name", "== ~", TR_QUERY_TEXT, "request.name"},
        {0}};
    const tr_query_list of = {.kind = TR_QUERY_KIND,
                              .key = "queries",
                              .path = "/queries",
                              .version = 1,
                              .fields = fields,
                              .is_listed = is_listed,
                              .show = show};
    return tr_query_list_reply(call, &of, err);
}

static tr_code patch_query(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    TR_TRY(tr_call_json_untyped(call, &body, err));
    const char *op = tr_json_text(body, "op", ""), *id = tr_call_param(call, 0);
    if (strcmp(op, "cancel") == 0) {
        TR_TRY(tr_query_cancel(call->api->jobs, &call->tenant, id, err));
        return tr_query_reply_message(call, "Query cancel request received", err);
    }
    if (strcmp(op, "soft_delete") != 0)
        return TR_FAIL(err, TR_INVALID, "op is \"%.40s\": expected cancel or soft_delete", op);
    TR_TRY(tr_query_hide(call->api->jobs, &call->tenant, id, err));
    return tr_query_reply_message(call, "Query soft delete request received", err);
}

static tr_code delete_query(tr_call *call, tr_err *err)
{
    TR_TRY(tr_query_hide(call->api->jobs, &call->tenant, tr_call_param(call, 0), err));
    return tr_query_reply_message(call, "Query soft delete request received", err);
}

/* {"queryId","resultsMeta","results","request"} */
static tr_code put_rows(tr_call *call, const json_t *columns, const tr_buf *rows,
                        const json_t *request, tr_err *err)
{
    tr_buf *out = &call->response->body;
    TR_TRY(tr_buf_format(out, err,
                         "{\"queryId\":\"%s\",\"resultsMeta\":{\"_adhoc\":{\"type\":\"object\","
                         "\"meta:xdmType\":\"object\",\"properties\":",
                         tr_id_uuid().text));
    TR_TRY(tr_json_write(columns, out, err));
    TR_TRY(tr_buf_append(out, tr_str_of("}},\"results\":"), err));
    TR_TRY(tr_buf_append(out, tr_buf_str(rows), err));
    TR_TRY(tr_buf_append(out, tr_str_of(",\"request\":"), err));
    TR_TRY(tr_json_write(request, out, err));
    TR_TRY(tr_buf_append(out, tr_str_of("}"), err));
    call->response->status = 200;
    return TR_OK;
}

/* The rows at once (reference: Query Service, section 6). */
static tr_code post_accelerated(tr_call *call, tr_err *err)
{
    enum { DESCRIPTION_BYTES_MAX = 1000 };
    const json_t *body = NULL;
    json_t *columns = NULL;
    tr_buf rows = {0};
    TR_TRY(tr_call_json(call, &body, err));
    if (strlen(tr_json_text(body, "description", "")) > DESCRIPTION_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "description has more than %d bytes",
                       DESCRIPTION_BYTES_MAX);
    tr_code code = tr_query_now(call->api->jobs, &call->tenant, body, &columns, &rows, err);
    if (code == TR_OK)
        code = put_rows(call, columns, &rows, body, err);
    json_decref(columns);
    tr_buf_free(&rows);
    return code;
}

#define QUERIES TR_QUERY_BASE "/queries"

const tr_endpoint tr_api_queries[] = {
    {"GET", QUERIES, TR_SCOPE_READ, list_queries, 0, .is_slow = true},
    {"POST", QUERIES, TR_SCOPE_WRITE, post_query, 0, .is_slow = true},
    {"POST", TR_QUERY_BASE "/accelerated-queries", TR_SCOPE_READ, post_accelerated, 0,
     .is_slow = true},
    {"GET", QUERIES "/{id}", TR_SCOPE_READ, get_query, 0},
    {"PATCH", QUERIES "/{id}", TR_SCOPE_WRITE, patch_query, 0},
    {"DELETE", QUERIES "/{id}", TR_SCOPE_WRITE, delete_query, 0},
    {0}};
