/* SPDX-License-Identifier: Apache-2.0 */
/* schedule.c - schedules kept, and the thread that runs them; see schedule.h. */
#include "segment/schedule.h"

#include "base/log.h"
#include "compute/cron.h"
#include "compute/timetable.h"
#include "segment/evaluation.h"
#include "segment/jobs.h"
#include "segment/segment_internal.h"

struct tr_scheduler {
    tr_scheduler_parts parts;
    tr_timetable *timetable;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a schedule");
}

/* ---- requests */

static tr_code read_cron(const char *text, tr_cron *out, tr_err *err)
{
    const tr_code code = tr_cron_parse(tr_str_of(text), out, err);
    if (code != TR_OK) {
        tr_err_context(err, "schedule");
        return code;
    }
    if (tr_cron_is_frequent(out))
        return TR_FAIL(err, TR_INVALID, "schedule: \"%.60s\" fires more than once in 24 hours",
                       text);
    return TR_OK;
}

static tr_code check_state(const char *state, tr_err *err)
{
    return strcmp(state, "active") == 0 || strcmp(state, "inactive") == 0
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "state is \"%.40s\": expected active or inactive", state);
}

static tr_code check_properties(const char *type, const json_t *properties, tr_err *err)
{
    const json_t *list = NULL;
    if (strcmp(type, "export") == 0) {
        TR_TRY(tr_want_member(properties, "properties.", "exportJob", TR_WANT_OBJECT, &list, err));
        return list != NULL ? TR_OK
                            : TR_FAIL(err, TR_INVALID,
                                      "properties.exportJob is required for type export: the body "
                                      "of POST /export/jobs");
    }
    TR_TRY(tr_want_member(properties, "properties.", "segments", TR_WANT_ARRAY, &list, err));
    if (json_array_size(list) == 0)
        return TR_FAIL(err, TR_INVALID, "properties.segments is required: [\"*\"], or ids");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!json_is_string(json_array_get(list, i)))
            return TR_FAIL(err, TR_INVALID, "properties.segments[%zu] must be a string", i);
    return TR_OK;
}

/* The document to store. */
static tr_code make(const tr_tenant *tenant, const json_t *body, json_t **out, tr_err *err)
{
    const char *name = NULL, *type = NULL;
    const json_t *state = NULL, *schedule = NULL, *properties = NULL;
    tr_cron cron;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(tr_want_text(body, "", "name", &name, err));
    TR_TRY(tr_want_text(body, "", "type", &type, err));
    if (strcmp(type, "batch_segmentation") != 0 && strcmp(type, "export") != 0)
        return TR_FAIL(err, TR_INVALID, "type is \"%.40s\": expected batch_segmentation or export",
                       type);
    TR_TRY(tr_want_member(body, "", "state", TR_WANT_STRING, &state, err));
    TR_TRY(tr_want_member(body, "", "schedule", TR_WANT_STRING, &schedule, err));
    TR_TRY(tr_want_member(body, "", "properties", TR_WANT_OBJECT, &properties, err));
    const char *is = state == NULL ? "inactive" : json_string_value(state);
    const char *when = schedule == NULL ? "0 0 1 * * ?" : json_string_value(schedule);
    TR_TRY(check_state(is, err));
    TR_TRY(read_cron(when, &cron, err));
    TR_TRY(check_properties(type, properties, err));
    const json_int_t now = tr_time_now_ms() / 1000;
    *out = json_pack("{s:s, s:s, s:o, s:s, s:s, s:s, s:s, s:s, s:O, s:I, s:I, s:I}", "id",
                     tr_id_uuid().text, "imsOrgId", tenant->org, "sandbox",
                     tr_segment_sandbox(tenant), "name", name, "state", is, "type", type,
                     "frequency", "daily", "schedule", when, "properties", properties,
                     "createEpoch", now, "updateEpoch", now, "creationTime", now * 1000);
    return *out == NULL ? no_memory(err) : TR_OK;
}

static tr_code refuse_second(void *ctx, const tr_object *object, tr_err *err)
{
    (void)ctx;
    if (strcmp(tr_json_text(object->doc, "type", ""), "batch_segmentation") != 0)
        return TR_OK;
    return TR_FAIL(err, TR_INVALID,
                   "type: there is a batch_segmentation schedule already, \"%.60s\": a sandbox has "
                   "one",
                   object->id);
}

static tr_code put(tr_scheduler *scheduler, const tr_tenant *tenant, json_t *doc, bool is_new,
                   tr_err *err)
{
    tr_object object = {.doc = doc};
    (void)snprintf(object.id, sizeof object.id, "%s", tr_json_text(doc, "id", ""));
    (void)snprintf(object.state, sizeof object.state, "%s", tr_json_text(doc, "state", ""));
    return is_new ? tr_catalog_insert(scheduler->parts.catalog, tenant, "schedule", &object, err)
                  : tr_catalog_put(scheduler->parts.catalog, tenant, "schedule", &object, 0, err);
}

/* The segments that are named are there. */
static tr_code check_segments(const tr_scheduler *scheduler, const tr_tenant *tenant,
                              const json_t *doc, tr_err *err)
{
    const json_t *list = json_object_get(json_object_get(doc, "properties"), "segments");
    json_t *found = json_array();
    const tr_code code =
        found == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a schedule")
                      : tr_evaluation_find(scheduler->parts.segment, tenant, list, found, err);
    json_decref(found);
    if (code != TR_OK)
        tr_err_context(err, "properties");
    return code;
}

tr_code tr_schedule_create(tr_scheduler *scheduler, const tr_tenant *tenant, const json_t *body,
                           json_t **out, tr_err *err)
{
    tr_catalog *catalog = scheduler->parts.catalog;
    const tr_catalog_filter all = {0};
    json_t *doc = NULL;
    TR_TRY(make(tenant, body, &doc, err));
    const bool is_evaluation = strcmp(tr_json_text(doc, "type", ""), "batch_segmentation") == 0;
    tr_code code = is_evaluation ? check_segments(scheduler, tenant, doc, err) : TR_OK;
    if (code != TR_OK) {
        json_decref(doc);
        return code;
    }
    code = tr_catalog_begin(catalog, err);
    if (code == TR_OK) {
        if (is_evaluation)
            code = tr_catalog_list(catalog, tenant, "schedule", &all, refuse_second, NULL, err);
        if (code == TR_OK)
            code = put(scheduler, tenant, doc, true, err);
        code = tr_catalog_end(catalog, code, err);
    }
    if (code != TR_OK) {
        json_decref(doc);
        return code;
    }
    tr_timetable_wake(scheduler->timetable);
    (void)json_object_del(doc, "creationTime");
    *out = doc;
    return TR_OK;
}

static tr_code get(tr_scheduler *scheduler, const tr_tenant *tenant, const char *id, tr_object *out,
                   tr_err *err)
{
    const tr_code code = tr_catalog_get(scheduler->parts.catalog, tenant, "schedule", id, out, err);
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_NOT_FOUND, "no schedule with id \"%.60s\"", id)
                                : code;
}

tr_code tr_schedule_get(tr_scheduler *scheduler, const tr_tenant *tenant, const char *id,
                        json_t **out, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(get(scheduler, tenant, id, &object, err));
    (void)json_object_del(object.doc, "creationTime");
    *out = object.doc;
    return TR_OK;
}

static tr_code patch_one(json_t *doc, const json_t *operation, size_t index, tr_err *err)
{
    const char *op = tr_json_text(operation, "op", ""), *path = tr_json_text(operation, "path", "");
    const char *value = tr_json_text(operation, "value", NULL);
    tr_cron cron;
    if (strcmp(op, "add") != 0)
        return TR_FAIL(err, TR_INVALID, "operation %zu: op is \"%.40s\": expected add", index, op);
    if (strcmp(path, "/state") != 0 && strcmp(path, "/schedule") != 0)
        return TR_FAIL(err, TR_INVALID,
                       "operation %zu: path is \"%.80s\": expected /state or /schedule", index,
                       path);
    if (value == NULL)
        return TR_FAIL(err, TR_INVALID, "operation %zu: value must be a string", index);
    TR_TRY(strcmp(path, "/state") == 0 ? check_state(value, err) : read_cron(value, &cron, err));
    return json_object_set_new(doc, path + 1, json_string(value)) == 0 ? TR_OK : no_memory(err);
}

/* Within a transaction. */
static tr_code patch(tr_scheduler *scheduler, const tr_tenant *tenant, const char *id,
                     const json_t *operations, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(get(scheduler, tenant, id, &object, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(operations) && code == TR_OK; i++)
        code = patch_one(object.doc, json_array_get(operations, i), i, err);
    if (code == TR_OK &&
        json_object_set_new(object.doc, "updateEpoch", json_integer(tr_time_now_ms() / 1000)) != 0)
        code = no_memory(err);
    if (code == TR_OK)
        code = put(scheduler, tenant, object.doc, false, err);
    tr_object_clear(&object);
    return code;
}

tr_code tr_schedule_patch(tr_scheduler *scheduler, const tr_tenant *tenant, const char *id,
                          const json_t *operations, tr_err *err)
{
    if (!json_is_array(operations) || json_array_size(operations) == 0)
        return TR_FAIL(err, TR_INVALID,
                       "the request body must be an array of {\"op\", \"path\", \"value\"}");
    TR_TRY(tr_catalog_begin(scheduler->parts.catalog, err));
    TR_TRY(tr_catalog_end(scheduler->parts.catalog, patch(scheduler, tenant, id, operations, err),
                          err));
    tr_timetable_wake(scheduler->timetable);
    return TR_OK;
}

tr_code tr_schedule_remove(tr_scheduler *scheduler, const tr_tenant *tenant, const char *id,
                           tr_err *err)
{
    tr_object object = {0};
    TR_TRY(get(scheduler, tenant, id, &object, err));
    tr_object_clear(&object);
    return tr_catalog_remove(scheduler->parts.catalog, tenant, "schedule", id, err);
}

tr_code tr_schedule_find(tr_scheduler *scheduler, const tr_tenant *tenant,
                         const tr_list_request *request, json_t **items, uint64_t *total,
                         tr_err *err)
{
    json_t *found;
    TR_TRY(tr_list_find(scheduler->parts.catalog, tenant, "schedule", request, tr_list_show_doc,
                        &found, total, err));
    for (size_t i = 0; i < json_array_size(found); i++) /* it was sorted by it */
        (void)json_object_del(json_array_get(found, i), "creationTime");
    *items = found;
    return TR_OK;
}

/* ---- what the timetable starts */

typedef struct due {
    tr_tenant tenant;
    json_t *doc;
} due;

typedef struct looking { /* at all active schedules */
    int64_t after_us, now_us;
    int64_t next_us; /* the first instant after now; TR_TIME_NONE: none */
    due *found;
    size_t count;
} looking;

static tr_code look_at(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    looking *l = ctx;
    tr_cron cron;
    const int64_t changed_us = object->updated_ms * 1000;
    if (tr_cron_parse(tr_str_of(tr_json_text(object->doc, "schedule", "")), &cron, NULL) != TR_OK)
        return TR_OK; /* a year that is over by now */
    const int64_t after = changed_us > l->after_us ? changed_us : l->after_us;
    if (!tr_cron_is_due(&cron, after, l->now_us, &l->next_us))
        return TR_OK;
    due *found = tr_grow_array(l->found, l->count + 1, sizeof *found);
    if (found == NULL)
        return no_memory(err);
    l->found = found;
    l->found[l->count++] = (due){.tenant = *tenant, .doc = json_incref(object->doc)};
    return TR_OK;
}

static tr_code start_evaluation(tr_scheduler *scheduler, const due *d, tr_err *err)
{
    json_t *job = NULL;
    json_t *properties = json_pack("{s:s, s:s}", "scheduleId", tr_json_text(d->doc, "id", ""),
                                   "runId", tr_id_uuid().text);
    const tr_segment_order order = {.source = "scheduler", .properties = properties};
    const tr_code code = tr_segment_job_create(
        scheduler->parts.segment, &d->tenant,
        json_object_get(json_object_get(d->doc, "properties"), "segments"), &order, &job, err);
    json_decref(properties);
    json_decref(job);
    return code;
}

static void fire(tr_scheduler *scheduler, const due *d, bool is_export)
{
    const char *id = tr_json_text(d->doc, "id", "");
    tr_err err = {0};
    if ((strcmp(tr_json_text(d->doc, "type", ""), "export") == 0) != is_export)
        return;
    const tr_code code =
        is_export ? scheduler->parts.run_export(
                        scheduler->parts.ctx, &d->tenant,
                        json_object_get(json_object_get(d->doc, "properties"), "exportJob"), &err)
                  : start_evaluation(scheduler, d, &err);
    if (code == TR_OK)
        tr_log(TR_LOG_INFO, "segment", "schedule_fired", "schedule=%s", id);
    else
        tr_log(TR_LOG_ERROR, "segment", "schedule_failed", "schedule=%s reason=\"%s\"", id,
               err.text);
}

/* Fires what is due: tr_timetable_look. */
static int64_t run_due(void *ctx, int64_t after_us, int64_t now_us)
{
    tr_scheduler *scheduler = ctx;
    looking l = {.after_us = after_us, .now_us = now_us, .next_us = TR_TIME_NONE};
    tr_err err = {0};
    if (tr_catalog_scan(scheduler->parts.catalog, "schedule", "active", look_at, &l, &err) != TR_OK)
        tr_log(TR_LOG_ERROR, "segment", "schedules_unread", "reason=\"%s\"", err.text);
    for (int kind = 0; kind < 2; kind++)
        for (size_t i = 0; i < l.count; i++)
            fire(scheduler, &l.found[i], kind == 1);
    for (size_t i = 0; i < l.count; i++)
        json_decref(l.found[i].doc);
    tr_free(l.found);
    return l.next_us;
}

tr_code tr_scheduler_open(const tr_scheduler_parts *parts, tr_scheduler **out, tr_err *err)
{
    tr_scheduler *scheduler = tr_alloc_zeroed(1, sizeof *scheduler);
    if (scheduler == NULL)
        return no_memory(err);
    scheduler->parts = *parts;
    const tr_code code = tr_timetable_open(run_due, scheduler, &scheduler->timetable, err);
    if (code == TR_OK)
        *out = scheduler;
    else
        tr_scheduler_close(scheduler);
    return code;
}

void tr_scheduler_close(tr_scheduler *scheduler)
{
    if (scheduler == NULL)
        return;
    tr_timetable_close(scheduler->timetable);
    tr_free(scheduler);
}
