/* SPDX-License-Identifier: Apache-2.0 */
/* query_templates.c - /data/foundation/query/query-templates (reference: Query Service, section
 * 4). */
#include "api/query_list.h"
#include "sql/template.h"

static json_t *show(tr_call *call, const tr_object *object)
{
    char created[TR_QUERY_TIME_BYTES], updated[TR_QUERY_TIME_BYTES];
    json_t *shown = json_copy(object->doc);
    json_t *body = json_pack("{s:O,s:O,s:O}", "sql", json_object_get(object->doc, "sql"),
                             "queryParameters", json_object_get(object->doc, "queryParameters"),
                             "name", json_object_get(object->doc, "name"));
    tr_buf text = {0};
    if (tr_json_write(body, &text, NULL) != TR_OK ||
        tr_buf_append(&text, (tr_str){(const uint8_t *)"", 1}, NULL) != TR_OK)
        text.len = 0;
    json_t *more = json_pack(
        "{s:s,s:s,s:{s:o,s:o,s:o}}", "created", tr_query_time(object->created_ms, created),
        "updated", tr_query_time(object->updated_ms, updated), "_links", "self",
        tr_query_link(call, NULL, NULL, "/query-templates/%s", object->id), "delete",
        tr_query_link(call, "DELETE", NULL, "/query-templates/%s", object->id), "update",
        tr_query_link(call, "PUT", text.len > 0 ? (const char *)text.at : NULL,
                      "/query-templates/%s", object->id));
    json_decref(body);
    tr_buf_free(&text);
    return tr_query_add_members(shown, more);
}

static tr_code reply_template(tr_call *call, int status, const char *id, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_template_get(call->parts->catalog, &call->tenant, id, &object, err));
    json_t *shown = show(call, &object);
    tr_object_clear(&object);
    return tr_reply_json(call, status, shown, err);
}

static tr_code post_template(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    char id[40];
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_template_create(call->parts->catalog, &call->tenant, body, call->client_id, id, err));
    return reply_template(call, 202, id, err);
}

static tr_code get_template(tr_call *call, tr_err *err)
{
    return reply_template(call, 200, tr_call_param(call, 0), err);
}

static tr_code put_template(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    const char *id = tr_call_param(call, 0);
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(
        tr_template_replace(call->parts->catalog, &call->tenant, id, body, call->client_id, err));
    return reply_template(call, 202, id, err);
}

static tr_code delete_template(tr_call *call, tr_err *err)
{
    TR_TRY(tr_template_remove(call->parts->catalog, &call->tenant, tr_call_param(call, 0), err));
    return tr_query_reply_message(call, "Deleted", err);
}

static const tr_query_field fields[] = {{"name", "~ ==", TR_QUERY_TEXT, "name"},
                                        {"userId", "==", TR_QUERY_TEXT, "userId"},
                                        {"lastUpdatedBy", "==", TR_QUERY_TEXT, "lastUpdatedBy"},
                                        {0}};
static const tr_query_list of = {.kind = TR_TEMPLATE_KIND,
                                 .key = "templates",
                                 .path = "/query-templates",
                                 .version = 1,
                                 .fields = fields,
                                 .show = show};

static tr_code list_templates(tr_call *call, tr_err *err)
{
    return tr_query_list_reply(call, &of, err);
}

static tr_code count_templates(tr_call *call, tr_err *err)
{
    int64_t count = 0;
    TR_TRY(tr_query_list_count(call, &of, &count, err));
    return tr_reply_json(
        call, 200, json_pack("{s:I,s:i}", "totalCount", (json_int_t)count, "version", 1), err);
}

#define TEMPLATES TR_QUERY_BASE "/query-templates"

const tr_endpoint tr_api_query_templates[] = {
    {"GET", TEMPLATES, TR_SCOPE_READ, list_templates, 0, .is_slow = true},
    {"POST", TEMPLATES, TR_SCOPE_WRITE, post_template, 0},
    {"GET", TEMPLATES "/count", TR_SCOPE_READ, count_templates, 0, .is_slow = true},
    {"GET", TEMPLATES "/{id}", TR_SCOPE_READ, get_template, 0},
    {"PUT", TEMPLATES "/{id}", TR_SCOPE_WRITE, put_template, 0},
    {"DELETE", TEMPLATES "/{id}", TR_SCOPE_WRITE, delete_template, 0},
    {0}};
