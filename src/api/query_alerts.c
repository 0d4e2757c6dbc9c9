/* SPDX-License-Identifier: Apache-2.0 */
/* query_alerts.c - /data/foundation/query/alert-subscriptions: who wants to know how a query or a
 * schedule goes (reference: Query Service, section 6). */
#include "api/query_list.h"
#include "sql/query_alert.h"

#include <stdio.h>

#define ALERTS TR_QUERY_BASE "/alert-subscriptions"

static json_t *links_of(tr_call *call, const json_t *alert)
{
    static const char subscribe[] =
        "{\"assetId\": \"queryId/scheduleId\", \"alertType\": \"start/success/failure\", "
        "\"subscriptions\": {\"emailIds\": [\"xyz@example.com\", \"abc@example.com\"], "
        "\"emailNotifications\": true, \"inContextNotifications\": false}}";
    static const char patch[] =
        "{ \"op\": \"replace\", \"path\": \"/status\", \"value\": \"enable/disable\" }";
    static const char one[] = "/alert-subscriptions/%s/%s", of_asset[] = "/alert-subscriptions/%s";
    const char *asset = tr_json_text(alert, "assetId", "");
    const char *type = tr_json_text(alert, "alertType", "");
    return json_pack(
        "{s:o,s:o,s:o,s:o,s:o}", "self", tr_query_link(call, "GET", NULL, of_asset, asset),
        "subscribe", tr_query_link(call, "POST", subscribe, "/alert-subscriptions"), "patch_status",
        tr_query_link(call, "PATCH", patch, one, asset, type),
        "get_list_of_subscribers_by_alert_type", tr_query_link(call, "GET", NULL, one, asset, type),
        "delete", tr_query_link(call, "DELETE", NULL, one, asset, type));
}

/* Two lists of addresses, by channel. */
static json_t *subscriptions_of(const json_t *alert)
{
    size_t i;
    const json_t *one;
    json_t *by_email = json_array(), *in_context = json_array();
    json_array_foreach (json_object_get(alert, "_subscribers"), i, one) {
        json_t *email = json_object_get(one, "email");
        if (tr_json_bool(one, "byEmail", false))
            (void)json_array_append(by_email, email);
        if (tr_json_bool(one, "inContext", false))
            (void)json_array_append(in_context, email);
    }
    return json_pack("{s:o,s:o}", "emailNotifications", by_email, "inContextNotifications",
                     in_context);
}

/* What every answer tells of one. */
static json_t *core_of(const json_t *alert)
{
    return json_pack("{s:s,s:s,s:s,s:s}", "id", tr_json_text(alert, "id", ""), "assetId",
                     tr_json_text(alert, "assetId", ""), "alertType",
                     tr_json_text(alert, "alertType", ""), "status",
                     tr_json_text(alert, "status", ""));
}

static json_t *show_listed(tr_call *call, const tr_object *object)
{
    return tr_query_add_members(core_of(object->doc),
                                json_pack("{s:o}", "_links", links_of(call, object->doc)));
}

static json_t *show_whole(tr_call *call, const tr_object *object)
{
    return tr_query_add_members(show_listed(call, object),
                                json_pack("{s:o,s:O*}", "subscriptions",
                                          subscriptions_of(object->doc), "lastTriggered",
                                          json_object_get(object->doc, "lastTriggered")));
}

/* Of a list for one address, which the path names. */
static json_t *show_own(tr_call *call, const tr_object *object)
{
    const json_t *alert = object->doc;
    const json_t *one = tr_query_alert_subscriber(alert, tr_call_param(call, 0));
    json_t *shown = core_of(alert);
    (void)json_object_del(shown, "id");
    return tr_query_add_members(
        shown, json_pack("{s:s,s:{s:b,s:b},s:o}", "name", tr_json_text(alert, "id", ""),
                         "subscriptions", "inContextNotifications",
                         tr_json_bool(one, "inContext", false), "emailNotifications",
                         tr_json_bool(one, "byEmail", false), "_links", links_of(call, alert)));
}

/* Lists --------------------------------------------------------------------------------------- */

static const tr_query_field fields[] = {{"id", "==", TR_QUERY_TEXT, "id"},
                                        {"assetId", "==", TR_QUERY_TEXT, "assetId"},
                                        {"status", "==", TR_QUERY_TEXT, "status"},
                                        {"alertType", "==", TR_QUERY_TEXT, "alertType"},
                                        {0}};

static tr_code list_alerts(tr_call *call, tr_err *err)
{
    static const tr_query_list of = {.kind = TR_QUERY_ALERT_KIND,
                                     .key = "alerts",
                                     .page_key = "_page",
                                     .path = "/alert-subscriptions",
                                     .version = 1,
                                     .fields = fields,
                                     .show = show_listed};
    return tr_query_list_reply(call, &of, err);
}

static bool is_subscribed(tr_call *call, const tr_object *object)
{
    return tr_query_alert_subscriber(object->doc, tr_call_param(call, 0)) != NULL;
}

static tr_code list_own(tr_call *call, tr_err *err)
{
    char path[400];
    const char *email = tr_call_param(call, 0);
    if (!tr_is_email(email))
        return TR_FAIL(err, TR_INVALID, "\"%.100s\" is no e-mail address", email);
    (void)snprintf(path, sizeof path, "/alert-subscriptions/user-subscriptions/%s", email);
    const tr_query_list of = {.kind = TR_QUERY_ALERT_KIND,
                              .key = "items",
                              .page_key = "page",
                              .path = path,
                              .version = 1,
                              .fields = fields,
                              .is_listed = is_subscribed,
                              .show = show_own};
    return tr_query_list_reply(call, &of, err);
}

/* At most three: one for each type. */
static tr_code get_of_asset(tr_call *call, tr_err *err)
{
    static const char *const types[] = {"start", "success", "failure"};
    const char *asset = tr_call_param(call, 0);
    json_t *alerts = json_array();
    tr_code code = TR_OK;
    for (size_t i = 0; i < 3 && code == TR_OK; i++) {
        tr_object alert = {0};
        code =
            tr_query_alert_get(call->parts->catalog, &call->tenant, asset, types[i], &alert, err);
        if (code == TR_OK)
            (void)json_array_append_new(alerts, show_whole(call, &alert));
        tr_object_clear(&alert);
        code = code == TR_NOT_FOUND ? TR_OK : code;
    }
    if (code == TR_OK && json_array_size(alerts) == 0)
        code = TR_FAIL(err, TR_NOT_FOUND,
                       "No alert exists for assetId: %.60s. Please resubmit with different "
                       "assetId.",
                       asset);
    if (code == TR_OK)
        return tr_reply_json(call, 200, json_pack("{s:o}", "alerts", alerts), err);
    json_decref(alerts);
    return code;
}

/* One ----------------------------------------------------------------------------------------- */

static tr_code post_alert(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    tr_object alert = {0};
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_query_alert_subscribe(call->parts->catalog, &call->tenant, body, &alert, err));
    json_t *shown = show_whole(call, &alert);
    tr_object_clear(&alert);
    return tr_reply_json(call, 200, shown, err);
}

static tr_code get_alert(tr_call *call, tr_err *err)
{
    tr_object alert = {0};
    TR_TRY(tr_query_alert_get(call->parts->catalog, &call->tenant, tr_call_param(call, 0),
                              tr_call_param(call, 1), &alert, err));
    json_t *shown = show_whole(call, &alert);
    tr_object_clear(&alert);
    return tr_reply_json(call, 200, json_pack("{s:[o]}", "alerts", shown), err);
}

static tr_code patch_alert(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    tr_object alert = {0};
    TR_TRY(tr_call_json_untyped(call, &body, err));
    TR_TRY(tr_query_alert_patch(call->parts->catalog, &call->tenant, tr_call_param(call, 0),
                                tr_call_param(call, 1), body, &alert, err));
    json_t *shown = core_of(alert.doc);
    tr_object_clear(&alert);
    return tr_reply_json(call, 200, shown, err);
}

static tr_code delete_alert(tr_call *call, tr_err *err)
{
    const char *asset = tr_call_param(call, 0), *type = tr_call_param(call, 1);
    TR_TRY(tr_query_alert_remove(call->parts->catalog, &call->tenant, asset, type, err));
    return tr_reply_json(
        call, 200,
        json_pack("{s:o,s:i}", "message",
                  json_sprintf("Alert deleted successfully for assetId: %s and alertType: %s",
                               asset, type),
                  "statusCode", 200),
        err);
}

const tr_endpoint tr_api_query_alerts[] = {
    {"GET", ALERTS, TR_SCOPE_READ, list_alerts, 0, .is_slow = true},
    {"POST", ALERTS, TR_SCOPE_WRITE, post_alert, 0},
    {"GET", ALERTS "/{assetId}", TR_SCOPE_READ, get_of_asset, 0},
    {"GET", ALERTS "/user-subscriptions/{email}", TR_SCOPE_READ, list_own, 0, .is_slow = true},
    {"GET", ALERTS "/{assetId}/{alertType}", TR_SCOPE_READ, get_alert, 0},
    {"PATCH", ALERTS "/{assetId}/{alertType}", TR_SCOPE_WRITE, patch_alert, 0},
    {"DELETE", ALERTS "/{assetId}/{alertType}", TR_SCOPE_WRITE, delete_alert, 0},
    {0}};
