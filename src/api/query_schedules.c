/* SPDX-License-Identifier: Apache-2.0 */
/* query_schedules.c - /data/foundation/query/schedules and their runs (reference: Query Service,
 * section 5). */
#include "api/core_internal.h"
#include "api/query_list.h"
#include "sql/query_schedule.h"

static json_t *links_of(tr_call *call, const char *id)
{
    static const char enable[] = "{ \"body\": [{ \"op\": \"replace\", \"path\": \"/state\", "
                                 "\"value\": \"enable\"}]}";
    static const char disable[] = "{ \"body\": [{ \"op\": \"replace\", \"path\": \"/state\", "
                                  "\"value\": \"disable\"}]}";
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "self",
                     tr_query_link(call, "GET", NULL, "/schedules/%s", id), "enable",
                     tr_query_link(call, "PATCH", enable, "/schedules/%s", id), "disable",
                     tr_query_link(call, "PATCH", disable, "/schedules/%s", id), "delete",
                     tr_query_link(call, "DELETE", NULL, "/schedules/%s", id), "runs",
                     tr_query_link(call, "GET", NULL, "/schedules/%s/runs", id), "trigger",
                     tr_query_link(call, "POST", NULL, "/schedules/%s/runs", id));
}

static json_t *show_schedule(tr_call *call, const tr_object *object)
{
    char created[TR_QUERY_TIME_BYTES], updated[TR_QUERY_TIME_BYTES];
    json_t *shown = json_copy(object->doc);
    (void)json_object_del(shown, "_hasFired");
    json_t *more =
        json_pack("{s:s,s:s,s:o}", "created", tr_query_time(object->created_ms, created), "updated",
                  tr_query_time(object->updated_ms, updated), "_links", links_of(call, object->id));
    return tr_query_add_members(shown, more);
}

static tr_code get_object(tr_call *call, const char *id, tr_object *out, tr_err *err)
{
    return tr_query_schedule_get(call->api->query_schedules, &call->tenant, id, out, err);
}

/* The answer comes before it is registered, as the reference has it. */
static tr_code post_schedule(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    tr_object object = {0};
    char id[40];
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(tr_query_schedule_create(call->api->query_schedules, &call->tenant, body,
                                    call->client_id, id, err));
    TR_TRY(get_object(call, id, &object, err));
    json_t *shown = show_schedule(call, &object);
    tr_object_clear(&object);
    (void)json_object_del(shown, "created");
    (void)json_object_del(shown, "updated");
    (void)json_object_set_new(shown, "state", json_string("REGISTERING"));
    return tr_reply_json(call, 202, shown, err);
}

static tr_code get_schedule(tr_call *call, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(get_object(call, tr_call_param(call, 0), &object, err));
    json_t *shown = show_schedule(call, &object);
    tr_object_clear(&object);
    return tr_reply_json(call, 200, shown, err);
}

static tr_code list_schedules(tr_call *call, tr_err *err)
{
    static const tr_query_field fields[] = {{"created", "> < >= <= ==", TR_QUERY_CREATED, NULL},
                                            {"updated", "> < >= <= ==", TR_QUERY_UPDATED, NULL},
                                            {"templateId", "==", TR_QUERY_TEXT, "query.templateId"},
                                            {"userId", "==", TR_QUERY_TEXT, "userId"},
                                            {"state", "== !=", TR_QUERY_TEXT, "state"},
                                            {0}};
    const tr_query_list of = {.kind = TR_QUERY_SCHEDULE_KIND,
                              .key = "schedules",
                              .path = "/schedules",
                              .version = 2,
                              .fields = fields,
                              .show = show_schedule};
    return tr_query_list_reply(call, &of, err);
}

static tr_code patch_schedule(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    TR_TRY(tr_call_json_untyped(call, &body, err));
    TR_TRY(tr_query_schedule_patch(call->api->query_schedules, &call->tenant,
                                   tr_call_param(call, 0), body, call->client_id, err));
    return tr_query_reply_message(call, "Request to patch accepted", err);
}

static tr_code delete_schedule(tr_call *call, tr_err *err)
{
    TR_TRY(tr_query_schedule_remove(call->api->query_schedules, &call->tenant,
                                    tr_call_param(call, 0), err));
    return tr_query_reply_message(call, "Request to delete accepted", err);
}

/* Runs ---------------------------------------------------------------------------------------- */

static const char *state_of_run(const char *state)
{
    if (strcmp(state, "SUBMITTED") == 0)
        return "QUEUED";
    if (strcmp(state, "KILLED") == 0 || strcmp(state, "TIMEOUT") == 0)
        return "FAILED";
    return state;
}

static json_t *show_run(tr_call *call, const tr_object *object)
{
    char created[TR_QUERY_TIME_BYTES];
    const char *schedule = object->parent;
    const char *id = tr_json_text(object->doc, "scheduleRunId", "");
    return json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:i,s:{s:o,s:o}}", "id", id, "state", state_of_run(object->state),
        "created", tr_query_time(object->created_ms, created), "externalTrigger",
        tr_json_bool(object->doc, "_isExternal", false) ? "true" : "false", "queryId", object->id,
        "version", 1, "_links", "self",
        tr_query_link(call, "GET", NULL, "/schedules/%s/runs/%s", schedule, id), "cancel",
        tr_query_link(call, "PATCH", "{ \"op\": \"cancel\" }", "/schedules/%s/runs/%s", schedule,
                      id));
}

static json_t *task_of(const tr_object *object)
{
    char started[TR_QUERY_TIME_BYTES], ended[TR_QUERY_TIME_BYTES];
    const json_t *why = json_array_get(json_object_get(object->doc, "errors"), 0);
    const bool is_over = tr_query_has_ended(object->state);
    const int64_t ms = tr_json_int(object->doc, "elapsedTime", 0);
    return json_pack("{s:s,s:s,s:s,s:s*,s:f,s:s}", "taskId", object->id, "state",
                     state_of_run(object->state), "startDate",
                     tr_query_time(object->created_ms, started), "endDate",
                     is_over ? tr_query_time(object->created_ms + ms, ended) : NULL, "duration",
                     (double)ms / 1000, "message", tr_json_text(why, "message", ""));
}

static tr_code list_runs(tr_call *call, tr_err *err)
{
    static const tr_query_field fields[] = {
        {"created", "> < >= <= ==", TR_QUERY_CREATED, NULL},
        {"state", "== !=", TR_QUERY_TEXT, "state"},
        {"externalTrigger", "==", TR_QUERY_BOOLEAN, "_isExternal"},
        {0}};
    tr_object object = {0};
    char path[128];
    const char *id = tr_call_param(call, 0);
    TR_TRY(get_object(call, id, &object, err));
    tr_object_clear(&object);
    (void)snprintf(path, sizeof path, "/schedules/%.60s/runs", id);
    const tr_query_list of = {.kind = TR_QUERY_KIND,
                              .parent = id,
                              .key = "runsSchedules",
                              .path = path,
                              .version = 1,
                              .fields = fields,
                              .show = show_run};
    return tr_query_list_reply(call, &of, err);
}

static tr_code post_run(tr_call *call, tr_err *err)
{
    TR_TRY(tr_query_schedule_trigger(call->api->query_schedules, &call->tenant,
                                     tr_call_param(call, 0), err));
    return tr_query_reply_message(call, "Request to trigger run of a scheduled query accepted.",
                                  err);
}

static tr_code get_run_object(tr_call *call, tr_object *out, tr_err *err)
{
    tr_object schedule = {0};
    TR_TRY(get_object(call, tr_call_param(call, 0), &schedule, err));
    tr_object_clear(&schedule);
    return tr_query_schedule_run(call->api->query_schedules, &call->tenant, tr_call_param(call, 0),
                                 tr_call_param(call, 1), out, err);
}

static tr_code get_run(tr_call *call, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(get_run_object(call, &object, err));
    json_t *shown = show_run(call, &object);
    (void)json_object_set_new(shown, "taskStatusList", json_pack("[o]", task_of(&object)));
    tr_object_clear(&object);
    return tr_reply_json(call, 200, shown, err);
}

static tr_code patch_run(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    tr_object object = {0};
    TR_TRY(tr_call_json_untyped(call, &body, err));
    const char *op = tr_json_text(body, "op", "");
    if (strcmp(op, "cancel") != 0)
        return TR_FAIL(err, TR_INVALID, "op is \"%.40s\": expected cancel", op);
    TR_TRY(get_run_object(call, &object, err));
    const tr_code code = tr_query_cancel(call->api->jobs, &call->tenant, object.id, err);
    tr_object_clear(&object);
    TR_TRY(code);
    return tr_query_reply_message(call, "Request to cancel run of a scheduled query accepted.",
                                  err);
}

#define SCHEDULES TR_QUERY_BASE "/schedules"

const tr_endpoint tr_api_query_schedules[] = {
    {"GET", SCHEDULES, TR_SCOPE_READ, list_schedules, 0, .is_slow = true},
    {"POST", SCHEDULES, TR_SCOPE_WRITE, post_schedule, 0, .is_slow = true},
    {"GET", SCHEDULES "/{id}", TR_SCOPE_READ, get_schedule, 0},
    {"PATCH", SCHEDULES "/{id}", TR_SCOPE_WRITE, patch_schedule, 0},
    {"DELETE", SCHEDULES "/{id}", TR_SCOPE_WRITE, delete_schedule, 0},
    {"GET", SCHEDULES "/{id}/runs", TR_SCOPE_READ, list_runs, 0, .is_slow = true},
    {"POST", SCHEDULES "/{id}/runs", TR_SCOPE_WRITE, post_run, 0, .is_slow = true},
    {"GET", SCHEDULES "/{id}/runs/{run}", TR_SCOPE_READ, get_run, 0},
    {"PATCH", SCHEDULES "/{id}/runs/{run}", TR_SCOPE_WRITE, patch_run, 0},
    {0}};
