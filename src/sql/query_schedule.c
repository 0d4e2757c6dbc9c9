/* SPDX-License-Identifier: Apache-2.0 */
/* query_schedule.c - see query_schedule.h. */
#include "sql/query_schedule.h"

#include "base/limits.h"
#include "base/log.h"
#include "codec/base64.h"
#include "compute/cron.h"
#include "compute/timetable.h"
#include "os/os.h"
#include "sql/query_alert.h"
#include "sql/stamp.h"

#include <stdio.h>

#define ONCE "@once"
/* Of "@once": the id of its run before that is submitted, true when it was. What a crash comes
 * between is submitted by the next look, under the same id: it runs once. */
#define FIRED "_hasFired"

enum { ACTIVE_RUNS_MAX = 100 };

struct tr_query_schedules {
    tr_catalog *catalog;
    tr_query_jobs *jobs;
    tr_schedule_guard guard;
    tr_timetable *timetable;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a schedule");
}

/* Requests ------------------------------------------------------------------------------------ */

static tr_code check_cron(const char *text, tr_err *err)
{
    tr_cron cron;
    if (strcmp(text, ONCE) == 0)
        return TR_OK;
    const tr_code code = tr_cron_parse_unix(tr_str_of(text), &cron, err);
    if (code != TR_OK)
        tr_err_context(err, "schedule.schedule: \"%.60s\"", text);
    return code;
}

/* Absent: `otherwise`. */
static tr_code read_time(const json_t *schedule, const char *name, int64_t otherwise, int64_t *out,
                         tr_err *err)
{
    const json_t *text = NULL;
    *out = otherwise;
    TR_TRY(tr_want_member(schedule, "schedule.", name, TR_WANT_STRING, &text, err));
    if (text == NULL || json_string_length(text) == 0)
        return TR_OK;
    const tr_code code = tr_time_parse(tr_str_of(json_string_value(text)), false, out, err);
    if (code != TR_OK)
        tr_err_context(err, "schedule.%s", name);
    return code;
}

static tr_code check_schedule(const json_t *schedule, tr_err *err)
{
    const char *when = NULL;
    const json_t *runs = NULL;
    int64_t start, end;
    TR_TRY(tr_want_text(schedule, "schedule.", "schedule", &when, err));
    TR_TRY(check_cron(when, err));
    TR_TRY(read_time(schedule, "startDate", INT64_MIN, &start, err));
    TR_TRY(read_time(schedule, "endDate", INT64_MAX, &end, err));
    if (end <= start)
        return TR_FAIL(err, TR_INVALID, "schedule.endDate is not later than schedule.startDate");
    TR_TRY(tr_want_member(schedule, "schedule.", "maxActiveRuns", TR_WANT_INTEGER, &runs, err));
    if (runs != NULL &&
        (json_integer_value(runs) < 1 || json_integer_value(runs) > ACTIVE_RUNS_MAX))
        return TR_FAIL(err, TR_INVALID, "schedule.maxActiveRuns: expected 1 to %d",
                       ACTIVE_RUNS_MAX);
    return TR_OK;
}

static tr_code read_body(tr_query_schedules *s, const tr_tenant *tenant, const json_t *body,
                         const json_t **query, const json_t **schedule, tr_err *err)
{
    const char *name = NULL;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(tr_want_member(body, "", "query", TR_WANT_OBJECT, query, err));
    TR_TRY(tr_want_member(body, "", "schedule", TR_WANT_OBJECT, schedule, err));
    if (*query == NULL || *schedule == NULL)
        return TR_FAIL(err, TR_INVALID, "%s is required", *query == NULL ? "query" : "schedule");
    TR_TRY(tr_want_text(*query, "query.", "name", &name, err));
    TR_TRY(check_schedule(*schedule, err));
    const tr_code code = tr_query_check(s->jobs, tenant, *query, err);
    if (code == TR_NOT_FOUND) /* the template: here it is the request that is wrong */
        return TR_FAIL(err, TR_INVALID, "query.templateId: there is no such query template");
    if (code != TR_OK)
        tr_err_context(err, "query");
    return code;
}

tr_code tr_query_schedule_create(tr_query_schedules *s, const tr_tenant *tenant, const json_t *body,
                                 const char *client_id, char id[40], tr_err *err)
{
    const json_t *query = NULL, *schedule = NULL;
    tr_object object = {.state = "ENABLED"};
    TR_TRY(tr_stamp_check_room(s->catalog, tenant, TR_QUERY_SCHEDULE_KIND, NULL,
                               TR_QUERY_SCHEDULES_MAX, "schedules of queries", err));
    TR_TRY(read_body(s, tenant, body, &query, &schedule, err));
    (void)snprintf(object.id, sizeof object.id, "%s", tr_id_uuid().text);
    object.doc = json_pack("{s:s,s:s,s:s,s:s,s:O,s:O,s:i}", "id", object.id, "userId", client_id,
                           "updatedUserId", client_id, "state", "ENABLED", "query", query,
                           "schedule", schedule, "version", 2);
    tr_code code = object.doc == NULL
                       ? no_memory(err)
                       : tr_stamp_insert(s->catalog, tenant, TR_QUERY_SCHEDULE_KIND, &object, err);
    json_decref(object.doc);
    if (code == TR_OK) {
        (void)snprintf(id, 40, "%s", object.id);
        tr_timetable_wake(s->timetable);
    }
    return code;
}

tr_code tr_query_schedule_get(tr_query_schedules *s, const tr_tenant *tenant, const char *id,
                              tr_object *out, tr_err *err)
{
    const tr_code code = tr_catalog_get(s->catalog, tenant, TR_QUERY_SCHEDULE_KIND, id, out, err);
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_NOT_FOUND, "no schedule with id \"%.60s\"", id)
                                : code;
}

/* Changes ------------------------------------------------------------------------------------- */

static tr_code set_state(tr_object *object, const char *word, tr_err *err)
{
    const bool is_on = strcmp(word, "enable") == 0;
    const char *state = is_on ? "ENABLED" : "DISABLED";
    if (!is_on && strcmp(word, "disable") != 0)
        return TR_FAIL(err, TR_INVALID, "\"%.40s\": expected enable or disable", word);
    if (strcmp(object->state, state) == 0)
        return TR_FAIL(err, TR_INVALID, "the schedule is %s already", state);
    (void)snprintf(object->state, sizeof object->state, "%s", state);
    return json_object_set_new(object->doc, "state", json_string(state)) == 0 ? TR_OK
                                                                              : no_memory(err);
}

static tr_code patch_one(tr_object *object, const json_t *op, size_t i, tr_err *err)
{
    const char *verb = tr_json_text(op, "op", ""), *path = tr_json_text(op, "path", "");
    const char *value = tr_json_text(op, "value", NULL);
    if (strcmp(verb, "replace") != 0)
        return TR_FAIL(err, TR_INVALID, "operation %zu: op is \"%.40s\": expected replace", i,
                       verb);
    if (value == NULL)
        return TR_FAIL(err, TR_INVALID, "operation %zu: value must be a string", i);
    if (strcmp(path, "/state") == 0)
        return set_state(object, value, err);
    if (strcmp(path, "/schedule/schedule") != 0)
        return TR_FAIL(err, TR_INVALID,
                       "operation %zu: path is \"%.80s\": expected /state or /schedule/schedule", i,
                       path);
    TR_TRY(check_cron(value, err));
    json_t *schedule = json_deep_copy(json_object_get(object->doc, "schedule"));
    (void)json_object_set_new(schedule, "schedule", json_string(value));
    (void)json_object_del(object->doc, FIRED);
    return json_object_set_new(object->doc, "schedule", schedule) == 0 ? TR_OK : no_memory(err);
}

static tr_code apply(tr_object *object, const json_t *body, tr_err *err)
{
    const json_t *list = json_is_array(body) ? body : json_object_get(body, "body");
    const char *op = tr_json_text(body, "op", NULL);
    if (list == NULL && op != NULL && strcmp(op, "replace") != 0)
        return set_state(object, op, err);
    if (list == NULL && op != NULL)
        return patch_one(object, body, 0, err);
    if (!json_is_array(list) || json_array_size(list) == 0)
        return TR_FAIL(err, TR_INVALID,
                       "the request body must be {\"op\": \"enable\"}, {\"op\": \"disable\"} or an "
                       "array of {\"op\": \"replace\", \"path\", \"value\"}");
    for (size_t i = 0; i < json_array_size(list); i++)
        TR_TRY(patch_one(object, json_array_get(list, i), i, err));
    return TR_OK;
}

tr_code tr_query_schedule_patch(tr_query_schedules *s, const tr_tenant *tenant, const char *id,
                                const json_t *body, const char *client_id, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_begin(s->catalog, err));
    tr_code code = tr_query_schedule_get(s, tenant, id, &object, err);
    if (code == TR_OK)
        code = apply(&object, body, err);
    if (code == TR_OK &&
        json_object_set_new(object.doc, "updatedUserId", json_string(client_id)) != 0)
        code = no_memory(err);
    object.updated_ms = 0;
    if (code == TR_OK)
        code = tr_catalog_put(s->catalog, tenant, TR_QUERY_SCHEDULE_KIND, &object, 0, err);
    tr_object_clear(&object);
    TR_TRY(tr_catalog_end(s->catalog, code, err));
    tr_timetable_wake(s->timetable);
    return TR_OK;
}

/* Runs ---------------------------------------------------------------------------------------- */

static tr_code count_one(void *ctx, const tr_object *object, tr_err *err)
{
    (void)object, (void)err;
    ++*(int64_t *)ctx;
    return TR_OK;
}

static tr_code count_active(tr_query_schedules *s, const tr_tenant *tenant, const char *id,
                            int64_t *out, tr_err *err)
{
    const tr_catalog_filter active = {.parent = id, .state = "SUBMITTED,IN_PROGRESS"};
    *out = 0;
    return tr_catalog_list(s->catalog, tenant, TR_QUERY_KIND, &active, count_one, out, err);
}

/* A path segment: without what a URL would have to escape. */
static tr_code name_run(int64_t at_us, bool is_external, tr_buf *out, tr_err *err)
{
    char text[80], time[TR_TIME_TEXT_BYTES];
    (void)snprintf(text, sizeof text, "%s__%s", is_external ? "manual" : "scheduled",
                   tr_time_format(at_us, time));
    TR_TRY(tr_base64url(tr_str_of(text), out, err));
    return tr_buf_append(out, (tr_str){(const uint8_t *)"", 1}, err);
}

/* id  of the run's query; NULL: a new one */
static tr_code start_run(tr_query_schedules *s, const tr_tenant *tenant, const tr_object *schedule,
                         const char *id, int64_t at_us, bool is_external, tr_err *err)
{
    tr_buf run = {0};
    json_t *query = NULL;
    int64_t active = 0;
    const int64_t most =
        tr_json_int(json_object_get(schedule->doc, "schedule"), "maxActiveRuns", 1);
    TR_TRY(count_active(s, tenant, schedule->id, &active, err));
    if (active >= most)
        return TR_FAIL(err, TR_INVALID, "%lld of at most %lld runs are under way",
                       (long long)active, (long long)most);
    tr_code code = name_run(at_us, is_external, &run, err);
    if (code == TR_OK) {
        const tr_query_order order = {.id = id,
                                      .request = json_object_get(schedule->doc, "query"),
                                      .client = "API",
                                      .client_id = tr_json_text(schedule->doc, "userId", ""),
                                      .schedule = schedule->id,
                                      .schedule_run = (const char *)run.at,
                                      .is_external = is_external};
        code = tr_query_submit(s->jobs, tenant, &order, &query, err);
        if (code == TR_NOT_FOUND) /* the schedule is there */
            code = TR_FAIL(err, TR_INVALID, "the schedule's query template is no longer there");
    }
    json_decref(query);
    tr_buf_free(&run);
    return code;
}

tr_code tr_query_schedule_trigger(tr_query_schedules *s, const tr_tenant *tenant, const char *id,
                                  tr_err *err)
{
    tr_object schedule = {0};
    TR_TRY(tr_query_schedule_get(s, tenant, id, &schedule, err));
    const tr_code code = strcmp(schedule.state, "ENABLED") == 0
                             ? start_run(s, tenant, &schedule, NULL, tr_time_now_us(), true, err)
                             : TR_FAIL(err, TR_INVALID, "the schedule is disabled");
    tr_object_clear(&schedule);
    return code;
}

tr_code tr_query_schedule_remove(tr_query_schedules *s, const tr_tenant *tenant, const char *id,
                                 tr_err *err)
{
    tr_object schedule = {0};
    int64_t active = 0;
    TR_TRY(tr_query_schedule_get(s, tenant, id, &schedule, err));
    const bool is_enabled = strcmp(schedule.state, "ENABLED") == 0;
    tr_object_clear(&schedule);
    if (is_enabled)
        return TR_FAIL(err, TR_INVALID, "the schedule is enabled: disable it first");
    TR_TRY(count_active(s, tenant, id, &active, err));
    if (active > 0)
        return TR_FAIL(err, TR_INVALID, "%lld of its runs are under way", (long long)active);
    TR_TRY(tr_query_alerts_drop(s->catalog, tenant, id, err));
    return tr_catalog_remove(s->catalog, tenant, TR_QUERY_SCHEDULE_KIND, id, err);
}

typedef struct run_search {
    const char *run;
    char id[256];
} run_search;

static tr_code match_run(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    run_search *r = ctx;
    if (strcmp(tr_json_text(object->doc, "scheduleRunId", ""), r->run) == 0)
        memcpy(r->id, object->id, sizeof r->id);
    return TR_OK;
}

tr_code tr_query_schedule_run(tr_query_schedules *s, const tr_tenant *tenant, const char *id,
                              const char *run, tr_object *out, tr_err *err)
{
    const tr_catalog_filter of = {.parent = id};
    run_search r = {.run = run};
    TR_TRY(tr_catalog_list(s->catalog, tenant, TR_QUERY_KIND, &of, match_run, &r, err));
    return r.id[0] != '\0'
               ? tr_query_get(s->jobs, tenant, r.id, out, err)
               : TR_FAIL(err, TR_NOT_FOUND, "no run with id \"%.60s\" of this schedule", run);
}

/* What is due --------------------------------------------------------------------------------- */

typedef struct due {
    tr_tenant tenant;
    tr_object schedule;
} due;

typedef struct looking { /* at all enabled schedules */
    int64_t after_us, now_us;
    int64_t next_us;
    due *found;
    size_t count;
} looking;

static tr_code add_due(looking *l, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    due *found = tr_grow_array(l->found, l->count + 1, sizeof *found);
    if (found == NULL)
        return no_memory(err);
    l->found = found;
    found[l->count] = (due){.tenant = *tenant, .schedule = *object};
    found[l->count++].schedule.doc = json_incref(object->doc);
    return TR_OK;
}

static void look_again(looking *l, int64_t at_us)
{
    if (l->next_us == TR_TIME_NONE || at_us < l->next_us)
        l->next_us = at_us;
}

static bool is_due(looking *l, const tr_object *object, const json_t *schedule)
{
    tr_cron cron;
    int64_t start, end, next = TR_TIME_NONE;
    const char *when = tr_json_text(schedule, "schedule", "");
    if (tr_json_text(object->doc, FIRED, NULL) != NULL)
        return true; /* it had begun */
    if (read_time(schedule, "startDate", INT64_MIN, &start, NULL) != TR_OK ||
        read_time(schedule, "endDate", INT64_MAX, &end, NULL) != TR_OK || l->now_us > end)
        return false;
    if (start > l->now_us) /* not yet: an instant of its own is looked at when it comes */
        look_again(l, start);
    if (strcmp(when, ONCE) == 0)
        return start <= l->now_us && !tr_json_bool(object->doc, FIRED, false);
    if (tr_cron_parse_unix(tr_str_of(when), &cron, NULL) != TR_OK)
        return false;
    int64_t after = object->updated_ms * 1000;
    after = after > l->after_us ? after : l->after_us;
    after = start > after ? start - 1 : after; /* an instant at startDate counts */
    const bool is = tr_cron_is_due(&cron, after, l->now_us, &next);
    if (next != TR_TIME_NONE && next <= end)
        look_again(l, next);
    return is && start <= l->now_us;
}

static tr_code look_at(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    looking *l = ctx;
    return is_due(l, object, json_object_get(object->doc, "schedule"))
               ? add_due(l, tenant, object, err)
               : TR_OK;
}

static bool is_once(const due *d)
{
    const json_t *schedule = json_object_get(d->schedule.doc, "schedule");
    return strcmp(tr_json_text(schedule, "schedule", ""), ONCE) == 0;
}

/* The id is noted, or was by a server that died. */
static tr_code note_begun(tr_query_schedules *s, const due *d, char id[40], tr_err *err)
{
    tr_object object = d->schedule;
    const char *noted = tr_json_text(object.doc, FIRED, NULL);
    (void)snprintf(id, 40, "%s", noted != NULL ? noted : tr_id_uuid().text);
    if (noted != NULL)
        return TR_OK;
    if (json_object_set_new(object.doc, FIRED, json_string(id)) != 0)
        return no_memory(err);
    return tr_catalog_put(s->catalog, &d->tenant, TR_QUERY_SCHEDULE_KIND, &object, object.revision,
                          err);
}

/* In a transaction. What was changed meanwhile may fire anew. */
static tr_code note_fired(tr_query_schedules *s, const due *d, const char *id, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(s->catalog, &d->tenant, TR_QUERY_SCHEDULE_KIND, d->schedule.id, &object,
                          err));
    tr_code code = TR_OK;
    if (strcmp(tr_json_text(object.doc, FIRED, ""), id) == 0)
        code =
            json_object_set_new(object.doc, FIRED, json_true()) != 0
                ? no_memory(err)
                : tr_catalog_put(s->catalog, &d->tenant, TR_QUERY_SCHEDULE_KIND, &object, 0, err);
    tr_object_clear(&object);
    return code;
}

/* Also a run that cannot be submitted was the one. */
static tr_code fire_once(tr_query_schedules *s, const due *d, int64_t now_us, tr_err *err)
{
    char id[40];
    tr_object query = {0};
    TR_TRY(note_begun(s, d, id, err));
    tr_crash_point("query_once_noted");
    tr_code code = tr_catalog_get(s->catalog, &d->tenant, TR_QUERY_KIND, id, &query, err);
    tr_object_clear(&query);
    if (code == TR_NOT_FOUND)
        code = start_run(s, &d->tenant, &d->schedule, id, now_us, false, err);
    tr_crash_point("query_once_submitted");
    tr_err why = {0};
    tr_code noted = tr_catalog_begin(s->catalog, &why);
    if (noted == TR_OK)
        noted = tr_catalog_end(s->catalog, note_fired(s, d, id, &why), &why);
    return code != TR_OK || noted == TR_OK ? code : TR_FAIL(err, noted, "%s", why.text);
}

/* Before anything is noted: an "@once" then runs when the rights are back. */
static tr_code check_rights(tr_query_schedules *s, const due *d, tr_err *err)
{
    const json_t *doc = d->schedule.doc;
    const char *maker = tr_json_text(doc, "updatedUserId", tr_json_text(doc, "userId", ""));
    tr_err why = {0};
    const tr_code code = s->guard.admit(s->guard.ctx, &d->tenant, maker, &why);
    return code == TR_OK ? TR_OK
                         : TR_FAIL(err, code, "client %.64s, who it runs as: %s", maker, why.text);
}

static void fire(tr_query_schedules *s, const due *d, int64_t now_us)
{
    tr_err err = {0};
    tr_code code = check_rights(s, d, &err);
    if (code == TR_OK)
        code = is_once(d) ? fire_once(s, d, now_us, &err)
                          : start_run(s, &d->tenant, &d->schedule, NULL, now_us, false, &err);
    if (code == TR_OK)
        tr_log(TR_LOG_INFO, "sql", "query_schedule_fired", "schedule=%s", d->schedule.id);
    else
        tr_log(TR_LOG_WARN, "sql", "query_schedule_failed", "schedule=%s reason=\"%s\"",
               d->schedule.id, err.text);
}

static int64_t run_due(void *ctx, int64_t after_us, int64_t now_us)
{
    tr_query_schedules *s = ctx;
    looking l = {.after_us = after_us, .now_us = now_us, .next_us = TR_TIME_NONE};
    tr_err err = {0};
    if (tr_catalog_scan(s->catalog, TR_QUERY_SCHEDULE_KIND, "ENABLED", look_at, &l, &err) != TR_OK)
        tr_log(TR_LOG_ERROR, "sql", "schedules_unread", "reason=\"%s\"", err.text);
    for (size_t i = 0; i < l.count; i++) {
        fire(s, &l.found[i], now_us);
        json_decref(l.found[i].schedule.doc);
    }
    tr_free(l.found);
    return l.next_us;
}

tr_code tr_query_schedules_open(tr_catalog *catalog, tr_query_jobs *jobs,
                                const tr_schedule_guard *guard, tr_query_schedules **out,
                                tr_err *err)
{
    tr_query_schedules *s = tr_alloc_zeroed(1, sizeof *s);
    if (s == NULL)
        return no_memory(err);
    s->catalog = catalog;
    s->jobs = jobs;
    s->guard = *guard;
    const tr_code code = tr_timetable_open(run_due, s, &s->timetable, err);
    if (code == TR_OK)
        *out = s;
    else
        tr_query_schedules_close(s);
    return code;
}

void tr_query_schedules_close(tr_query_schedules *s)
{
    if (s == NULL)
        return;
    tr_timetable_close(s->timetable);
    tr_free(s);
}
