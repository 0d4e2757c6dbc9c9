/* SPDX-License-Identifier: Apache-2.0 */
/* query_alert.c - see query_alert.h. */
#include "sql/query_alert.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "sql/query_job.h"
#include "sql/query_schedule.h"
#include "sql/stamp.h"

#include <stdio.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for an alert");
}

static tr_code check_type(const char *type, tr_err *err)
{
    const bool is_one =
        strcmp(type, "start") == 0 || strcmp(type, "success") == 0 || strcmp(type, "failure") == 0;
    return is_one ? TR_OK
                  : TR_FAIL(err, TR_INVALID,
                            "An invalid alertType was provided. Valid values are: start, success "
                            "and failure.");
}

static void name_alert(const char *asset, const char *type, char id[256])
{
    (void)snprintf(id, 256, "query_service_flow_run_%s-%.200s", type, asset);
}

bool tr_is_email(const char *text)
{
    const char *at = strchr(text, '@');
    if (at == NULL || at == text || at[1] == '\0' || strchr(at + 1, '@') != NULL ||
        strlen(text) > TR_EMAIL_BYTES_MAX)
        return false;
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7f)
            return false;
    return true;
}

const json_t *tr_query_alert_subscriber(const json_t *alert, const char *email)
{
    size_t i;
    const json_t *one;
    json_array_foreach (json_object_get(alert, "_subscribers"), i, one)
        if (tr_str_equal_folded(tr_str_of(tr_json_text(one, "email", "")), tr_str_of(email)))
            return one;
    return NULL;
}

/* Subscribing --------------------------------------------------------------------------------- */

typedef struct wish {
    const char *asset, *type;
    const json_t *emails;
    bool by_email, in_context;
} wish;

static tr_code read_flag(const json_t *subscriptions, const char *name, bool *out, tr_err *err)
{
    const json_t *value = json_object_get(subscriptions, name);
    if (!json_is_boolean(value))
        return TR_FAIL(err, TR_INVALID, "subscriptions.%s must be true or false", name);
    *out = json_is_true(value);
    return TR_OK;
}

static tr_code read_wish(const json_t *body, wish *out, tr_err *err)
{
    enum { EMAILS_MAX = 5 };
    const json_t *subscriptions = NULL;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(tr_want_text(body, "", "assetId", &out->asset, err));
    TR_TRY(tr_want_text(body, "", "alertType", &out->type, err));
    TR_TRY(check_type(out->type, err));
    TR_TRY(tr_want_member(body, "", "subscriptions", TR_WANT_OBJECT, &subscriptions, err));
    if (subscriptions == NULL)
        return TR_FAIL(err, TR_INVALID, "subscriptions is required");
    out->emails = json_object_get(subscriptions, "emailIds");
    const size_t count = json_array_size(out->emails);
    if (!json_is_array(out->emails) || count == 0 || count > EMAILS_MAX)
        return TR_FAIL(err, TR_INVALID,
                       "subscriptions.emailIds must be an array of 1 to %d addresses", EMAILS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *email = json_string_value(json_array_get(out->emails, i));
        if (email == NULL || !tr_is_email(email))
            return TR_FAIL(err, TR_INVALID, "subscriptions.emailIds[%zu] is no e-mail address", i);
    }
    TR_TRY(read_flag(subscriptions, "emailNotifications", &out->by_email, err));
    return read_flag(subscriptions, "inContextNotifications", &out->in_context, err);
}

static tr_code check_asset(tr_catalog *catalog, const tr_tenant *tenant, const char *asset,
                           tr_err *err)
{
    static const char *const kinds[] = {TR_QUERY_KIND, TR_QUERY_SCHEDULE_KIND};
    tr_code code = TR_NOT_FOUND;
    for (size_t i = 0; i < 2 && code == TR_NOT_FOUND; i++) {
        tr_object object = {0};
        code = tr_catalog_get(catalog, tenant, kinds[i], asset, &object, err);
        if (code == TR_OK)
            tr_object_clear(&object);
    }
    return code == TR_NOT_FOUND
               ? TR_FAIL(err, TR_NOT_FOUND,
                         "The provided assetId: %.60s is invalid. Retry with another assetId.",
                         asset)
               : code;
}

/* Each address once: what is said last of it holds. */
static tr_code add_subscribers(json_t *doc, const wish *w, tr_err *err)
{
    size_t i;
    const json_t *email;
    json_t *list = json_object_get(doc, "_subscribers");
    json_array_foreach (w->emails, i, email) {
        const json_t *old = tr_query_alert_subscriber(doc, json_string_value(email));
        json_t *one = json_pack("{s:O,s:b,s:b}", "email", email, "byEmail", w->by_email,
                                "inContext", w->in_context);
        if (old != NULL && one != NULL) {
            const int bad = json_object_update((json_t *)(uintptr_t)old, one);
            json_decref(one);
            if (bad != 0)
                return no_memory(err);
        } else if (json_array_append_new(list, one) != 0) {
            return no_memory(err);
        }
    }
    return json_array_size(list) <= TR_ALERT_SUBSCRIBERS_MAX
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "an alert has at most %d subscribers",
                         TR_ALERT_SUBSCRIBERS_MAX);
}

static tr_code make(tr_catalog *catalog, const tr_tenant *tenant, const wish *w, tr_object *out,
                    tr_err *err)
{
    TR_TRY(tr_stamp_check_room(catalog, tenant, TR_QUERY_ALERT_KIND, NULL, TR_QUERY_ALERTS_MAX,
                               "alerts", err));
    *out = (tr_object){.state = "enabled"};
    name_alert(w->asset, w->type, out->id);
    (void)snprintf(out->parent, sizeof out->parent, "%s", w->asset);
    out->doc = json_pack("{s:s,s:s,s:s,s:s,s:i,s:[]}", "id", out->id, "assetId", w->asset,
                         "alertType", w->type, "status", "enabled", "version", 1, "_subscribers");
    if (out->doc == NULL)
        return no_memory(err);
    TR_TRY(add_subscribers(out->doc, w, err));
    return tr_stamp_insert(catalog, tenant, TR_QUERY_ALERT_KIND, out, err);
}

static tr_code change(tr_catalog *catalog, const tr_tenant *tenant, const wish *w, tr_object *alert,
                      tr_err *err)
{
    if (strcmp(alert->state, "enabled") != 0)
        return TR_FAIL(err, TR_INVALID, "the alert is disabled: enable it first");
    TR_TRY(add_subscribers(alert->doc, w, err));
    alert->updated_ms = 0;
    return tr_catalog_put(catalog, tenant, TR_QUERY_ALERT_KIND, alert, 0, err);
}

static tr_code find(tr_catalog *catalog, const tr_tenant *tenant, const char *asset,
                    const char *type, tr_object *out, tr_err *err)
{
    char id[256];
    name_alert(asset, type, id);
    return tr_catalog_get(catalog, tenant, TR_QUERY_ALERT_KIND, id, out, err);
}

tr_code tr_query_alert_subscribe(tr_catalog *catalog, const tr_tenant *tenant, const json_t *body,
                                 tr_object *out, tr_err *err)
{
    wish w;
    tr_object alert = {0};
    TR_TRY(read_wish(body, &w, err));
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = check_asset(catalog, tenant, w.asset, err);
    if (code == TR_OK) {
        code = find(catalog, tenant, w.asset, w.type, &alert, err);
        code = code == TR_OK          ? change(catalog, tenant, &w, &alert, err)
               : code == TR_NOT_FOUND ? make(catalog, tenant, &w, &alert, err)
                                      : code;
    }
    code = tr_catalog_end(catalog, code, err);
    if (code == TR_OK)
        *out = alert;
    else
        tr_object_clear(&alert);
    return code;
}

/* One ----------------------------------------------------------------------------------------- */

tr_code tr_query_alert_get(tr_catalog *catalog, const tr_tenant *tenant, const char *asset,
                           const char *type, tr_object *out, tr_err *err)
{
    TR_TRY(check_type(type, err));
    const tr_code code = find(catalog, tenant, asset, type, out, err);
    return code == TR_NOT_FOUND
               ? TR_FAIL(err, TR_NOT_FOUND,
                         "No alert exists for assetId: %.60s and alertType: %s. Please resubmit "
                         "with different assetId and alertType.",
                         asset, type)
               : code;
}

static tr_code apply(tr_object *alert, const json_t *patch, tr_err *err)
{
    const char *op = tr_json_text(patch, "op", ""), *path = tr_json_text(patch, "path", "");
    const char *value = tr_json_text(patch, "value", "");
    const bool is_on = strcmp(value, "enable") == 0;
    if (strcmp(op, "replace") != 0)
        return TR_FAIL(err, TR_INVALID, "op is \"%.40s\": expected replace", op);
    if (strcmp(path, "/status") != 0)
        return TR_FAIL(err, TR_INVALID, "path is \"%.40s\": expected /status", path);
    if (!is_on && strcmp(value, "disable") != 0)
        return TR_FAIL(err, TR_INVALID, "value is \"%.40s\": expected enable or disable", value);
    (void)snprintf(alert->state, sizeof alert->state, "%s", is_on ? "enabled" : "disabled");
    alert->updated_ms = 0;
    return json_object_set_new(alert->doc, "status", json_string(alert->state)) == 0
               ? TR_OK
               : no_memory(err);
}

tr_code tr_query_alert_patch(tr_catalog *catalog, const tr_tenant *tenant, const char *asset,
                             const char *type, const json_t *patch, tr_object *out, tr_err *err)
{
    tr_object alert = {0};
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_query_alert_get(catalog, tenant, asset, type, &alert, err);
    if (code == TR_OK)
        code = apply(&alert, patch, err);
    if (code == TR_OK)
        code = tr_catalog_put(catalog, tenant, TR_QUERY_ALERT_KIND, &alert, 0, err);
    code = tr_catalog_end(catalog, code, err);
    if (code == TR_OK)
        *out = alert;
    else
        tr_object_clear(&alert);
    return code;
}

tr_code tr_query_alert_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *asset,
                              const char *type, tr_err *err)
{
    tr_object alert = {0};
    TR_TRY(tr_query_alert_get(catalog, tenant, asset, type, &alert, err));
    const tr_code code = tr_catalog_remove(catalog, tenant, TR_QUERY_ALERT_KIND, alert.id, err);
    tr_object_clear(&alert);
    return code;
}

tr_code tr_query_alerts_drop(tr_catalog *catalog, const tr_tenant *tenant, const char *asset,
                             tr_err *err)
{
    return tr_catalog_remove_of(catalog, tenant, TR_QUERY_ALERT_KIND, asset, err);
}

/* Told ---------------------------------------------------------------------------------------- */

static tr_code tell_one(tr_catalog *catalog, const tr_tenant *tenant, const char *asset,
                        const char *type, const char *query, tr_err *err)
{
    char time[TR_TIME_TEXT_BYTES];
    tr_object alert = {0};
    TR_TRY(find(catalog, tenant, asset, type, &alert, err));
    tr_code code = TR_OK;
    if (strcmp(alert.state, "enabled") == 0) {
        tr_log(TR_LOG_INFO, "sql", "query_alert", "alert=%s query=%s subscribers=%zu", alert.id,
               query, json_array_size(json_object_get(alert.doc, "_subscribers")));
        json_t *last = json_pack("{s:s,s:s}", "queryId", query, "time",
                                 tr_time_format(tr_time_now_us() / 1000000 * 1000000, time));
        code = json_object_set_new(alert.doc, "lastTriggered", last) == 0
                   ? tr_catalog_put(catalog, tenant, TR_QUERY_ALERT_KIND, &alert, 0, err)
                   : no_memory(err);
    }
    tr_object_clear(&alert);
    return code;
}

void tr_query_alert_tell(tr_catalog *catalog, const tr_tenant *tenant, const tr_object *query,
                         const char *state)
{
    const char *type = strcmp(state, "IN_PROGRESS") == 0 ? "start"
                       : strcmp(state, "SUCCESS") == 0   ? "success"
                                                         : "failure";
    const char *const assets[] = {query->id, tr_json_text(query->doc, "scheduleId", "")};
    for (size_t i = 0; i < 2; i++) {
        tr_err err = {0};
        tr_code code = assets[i][0] == '\0' ? TR_NOT_FOUND : tr_catalog_begin(catalog, &err);
        if (code == TR_OK) {
            code = tell_one(catalog, tenant, assets[i], type, query->id, &err);
            code = tr_catalog_end(catalog, code, &err);
        }
        if (code != TR_OK && code != TR_NOT_FOUND)
            tr_log(TR_LOG_WARN, "sql", "query_alert_lost", "query=%s reason=\"%s\"", query->id,
                   err.text);
    }
}
