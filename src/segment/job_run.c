/* SPDX-License-Identifier: Apache-2.0 */
/* job_run.c - the coordinator of one segment job, and the ways a job ends; see jobs.h.
 *
 *     plan --open--> (group, partition) ...     each on some worker: look, evaluate, write
 *                         every now and then, and at the end: what was finished is recorded
 *                         all done: each group's stage --rename--> (membership, run)
 *                         ONE transaction: runs in force, counts, SUCCEEDED
 */
#include "segment/job_internal.h"

#include "base/log.h"

#include <unistd.h>

enum { RECORD_US = 250 * 1000 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to run a segment job");
}

/* ---- parts */

static void part_id(const tr_segment_run *run, const uint32_t at[2], char out[256])
{
    (void)snprintf(out, 256, "%.48s:%u:%u", run->active->id, at[0], at[1]);
}

/* Within a transaction. */
static tr_code record_part(tr_segment_run *run, const uint32_t at[2], tr_err *err)
{
    const tr_evaluated *part = &run->groups[at[0]].parts[at[1]];
    tr_catalog *catalog = run->active->segment->parts.catalog;
    tr_object object = {0}, old = {0};
    part_id(run, at, object.id);
    (void)snprintf(object.parent, sizeof object.parent, "%s", run->active->id);
    object.doc = tr_evaluated_to_json(part);
    if (object.doc == NULL)
        return no_memory(err);
    tr_code code =
        tr_catalog_get(catalog, &run->active->tenant, "segment_part", object.id, &old, NULL);
    tr_object_clear(&old);
    if (code == TR_NOT_FOUND)
        code = tr_catalog_insert(catalog, &run->active->tenant, "segment_part", &object, err);
    else if (code == TR_OK)
        code = tr_catalog_put(catalog, &run->active->tenant, "segment_part", &object, 0, err);
    json_decref(object.doc);
    return code;
}

/* Records what was finished and is not recorded, when that was RECORD_US ago or is_all. A commit
 * waits for the disk as long as many parts take to make. */
static tr_code record_finished(tr_segment_run *run, bool is_all, tr_err *err)
{
    tr_catalog *catalog = run->active->segment->parts.catalog;
    const int64_t now_us = tr_time_monotonic_us();
    (void)pthread_mutex_lock(&run->lock);
    const uint32_t from = run->recorded_count;
    const bool is_due = is_all || now_us - run->recorded_us >= RECORD_US;
    const uint32_t to = is_due ? run->finished_count : from;
    run->recorded_count = to;
    run->recorded_us = is_due ? now_us : run->recorded_us;
    (void)pthread_mutex_unlock(&run->lock);
    if (from == to)
        return TR_OK;
    tr_code code = tr_catalog_begin(catalog, err);
    if (code != TR_OK)
        return code;
    for (uint32_t i = from; i < to && code == TR_OK; i++)
        code = record_part(run, run->todo[run->finished[i]], err);
    TR_TRY(tr_catalog_end(catalog, code, err));
    tr_crash_point("segment_part_recorded");
    return TR_OK;
}

static tr_code run_task(void *ctx, uint32_t index, tr_err *err)
{
    tr_segment_run *run = ctx;
    const uint32_t *at = run->todo[index];
    tr_merge_stats stats;
    TR_TRY(tr_merge_look(run->groups[at[0]].merge, at[1], &run->active->cancel, &stats, err));
    tr_crash_point("segment_part_written");
    (void)pthread_mutex_lock(&run->lock);
    run->finished[run->finished_count++] = index;
    (void)pthread_mutex_unlock(&run->lock);
    return record_finished(run, false, err);
}

static tr_code load_part(void *ctx, const tr_object *object, tr_err *err)
{
    tr_segment_run *run = ctx;
    int64_t group = -1, partition = -1;
    const char *first = strchr(object->id, ':');
    const char *second = first == NULL ? NULL : strchr(first + 1, ':');
    if (second == NULL ||
        !tr_str_to_i64((tr_str){(const uint8_t *)first + 1, (size_t)(second - first - 1)},
                       &group) ||
        !tr_str_to_i64(tr_str_of(second + 1), &partition) || group < 0 ||
        group >= run->group_count || partition < 0 || partition >= run->groups[group].partitions)
        return TR_OK;
    return tr_evaluated_of_json(object->doc, &run->groups[group].parts[partition], err);
}

/* Staged, or already where the membership will be. */
static bool is_there(const tr_segment_run *run, uint32_t group, const tr_evaluated *part)
{
    const tr_segment_active *active = run->active;
    tr_lake *lake = active->segment->parts.lake;
    char stage[64];
    if (part->name[0] == '\0')
        return true;
    tr_segment_stage(active, group, stage);
    return tr_lake_stage_has(lake, &active->tenant, stage, part->name, &part->written) ||
           tr_lake_has(lake, &active->tenant, TR_MEMBERSHIP_FOLDER,
                       tr_json_text(run->groups[group].json, "run", ""), part->name,
                       &part->written);
}

static tr_code choose_todo(tr_segment_run *run, tr_err *err)
{
    const tr_catalog_filter own = {.parent = run->active->id};
    uint32_t all = 0;
    TR_TRY(tr_catalog_list(run->active->segment->parts.catalog, &run->active->tenant,
                           "segment_part", &own, load_part, run, err));
    for (uint32_t g = 0; g < run->group_count; g++)
        all += run->groups[g].partitions;
    run->todo = tr_alloc_zeroed(all + 1, sizeof *run->todo);
    run->finished = tr_alloc_zeroed(all + 1, sizeof *run->finished);
    if (run->todo == NULL || run->finished == NULL)
        return no_memory(err);
    run->recorded_us = tr_time_monotonic_us();
    for (uint32_t g = 0; g < run->group_count; g++)
        for (uint32_t p = 0; p < run->groups[g].partitions; p++) {
            tr_evaluated *part = &run->groups[g].parts[p];
            if (part->is_done && is_there(run, g, part))
                continue;
            json_decref(part->segments);
            *part = (tr_evaluated){0};
            run->todo[run->todo_count][0] = g;
            run->todo[run->todo_count++][1] = p;
        }
    if (run->todo_count < all)
        tr_log(TR_LOG_INFO, "segment", "segment_resumed", "job=%s kept=%u of=%u", run->active->id,
               all - run->todo_count, all);
    return TR_OK;
}

/* ---- beginning */

static tr_code begin(void *ctx, tr_object *job, tr_err *err)
{
    json_t **definitions = ctx;
    if (tr_segment_is_finished(job->state) || strcmp(job->state, "CANCELLING") == 0)
        return TR_FAIL(err, TR_CANCELLED, "the job was cancelled");
    *definitions = json_incref(json_object_get(json_object_get(job->doc, "_"), "definitions"));
    return tr_segment_job_status(job, "PROCESSING", err);
}

static tr_code store_plan(tr_segment_run *run, const json_t *definitions, bool is_new, tr_err *err)
{
    const tr_segment_active *active = run->active;
    tr_catalog *catalog = active->segment->parts.catalog;
    tr_object object = {0};
    json_decref(run->plan);
    run->plan = NULL;
    TR_TRY(tr_segment_plan_make(active, definitions, &run->plan, err));
    (void)snprintf(object.id, sizeof object.id, "%s", active->id);
    object.doc = run->plan;
    return is_new ? tr_catalog_insert(catalog, &active->tenant, "segment_plan", &object, err)
                  : tr_catalog_put(catalog, &active->tenant, "segment_plan", &object, 0, err);
}

/* Within a transaction, or not. */
static tr_code forget_parts(const tr_segment_active *active, tr_err *err)
{
    return tr_catalog_remove_of(active->segment->parts.catalog, &active->tenant, "segment_part",
                                active->id, err);
}

/* What a job leaves that does not succeed: staged files, and folders that no commit put in force.
 * */
static void drop_files(const tr_segment_run *run)
{
    const tr_segment_active *active = run->active;
    tr_lake *lake = active->segment->parts.lake;
    const json_t *groups = json_object_get(run->plan, "groups");
    tr_err err = {0};
    char stage[64];
    for (uint32_t g = 0; g < json_array_size(groups); g++) {
        const char *folder = tr_json_text(json_array_get(groups, g), "run", "");
        tr_segment_stage(active, g, stage);
        if (tr_lake_drop_stage(lake, &active->tenant, stage, &err) != TR_OK ||
            tr_lake_remove_batch(lake, &active->tenant, TR_MEMBERSHIP_FOLDER, folder, &err) !=
                TR_OK)
            tr_log(TR_LOG_WARN, "segment", "segment_files_kept", "job=%s reason=\"%s\"", active->id,
                   err.text);
    }
}

/* What the plan reads is gone: nothing of it is kept. */
static tr_code plan_again(tr_segment_run *run, const json_t *definitions, tr_err *err)
{
    const tr_segment_active *active = run->active;
    tr_log(TR_LOG_WARN, "segment", "segment_planned_again",
           "job=%s reason=\"what its plan reads is gone\"", active->id);
    tr_segment_plan_close(run);
    drop_files(run);
    TR_TRY(forget_parts(active, err));
    TR_TRY(store_plan(run, definitions, false, err));
    return tr_segment_plan_open(run, err);
}

/* Data may go again between a new plan and its opening, whose code is handed in. */
static tr_code plan_while_gone(tr_segment_run *run, const json_t *definitions, tr_code code,
                               tr_err *err)
{
    for (int i = 0; i < TR_PLANS_IN_A_ROW_MAX && code == TR_NOT_FOUND; i++)
        code = plan_again(run, definitions, err);
    return code;
}

/* The stored plan; a new one when there is none, or when what it reads is gone. */
static tr_code open_plan(tr_segment_run *run, const json_t *definitions, tr_err *err)
{
    const tr_segment_active *active = run->active;
    tr_object stored = {0};
    tr_code code = tr_catalog_get(active->segment->parts.catalog, &active->tenant, "segment_plan",
                                  active->id, &stored, err);
    if (code == TR_NOT_FOUND) {
        code = store_plan(run, definitions, true, err);
    } else if (code == TR_OK) {
        run->plan = json_incref(stored.doc);
        tr_object_clear(&stored);
    }
    TR_TRY(code);
    tr_crash_point("segment_planned");
    return plan_while_gone(run, definitions, tr_segment_plan_open(run, err), err);
}

/* ---- the good end */

static json_t *list_files(const tr_segment_group *group)
{
    return tr_evaluated_files(group->parts, group->partitions);
}

static tr_code publish_files(tr_segment_run *run, tr_err *err)
{
    const tr_segment_active *active = run->active;
    char stage[64];
    for (uint32_t g = 0; g < run->group_count; g++) {
        json_t *files = list_files(&run->groups[g]);
        const size_t count = json_array_size(files);
        json_decref(files);
        if (count == 0)
            continue;
        tr_segment_stage(active, g, stage);
        tr_crash_point("segment_publishing");
        TR_TRY(tr_lake_publish(active->segment->parts.lake, &active->tenant, stage,
                               TR_MEMBERSHIP_FOLDER, tr_json_text(run->groups[g].json, "run", ""),
                               err));
        tr_crash_point("segment_published");
    }
    return TR_OK;
}

static tr_code tell_metrics(const tr_segment_run *run, tr_object *job, tr_err *err)
{
    json_t *metrics = json_object_get(job->doc, "metrics");
    TR_TRY(tr_evaluated_begin_metrics(metrics, err));
    for (uint32_t g = 0; g < run->group_count; g++)
        TR_TRY(tr_evaluated_add_metrics(metrics, run->plan, g, run->groups[g].parts,
                                        run->groups[g].partitions, err));
    return TR_OK;
}

typedef struct succeeding {
    tr_segment_run *run;
    char (*gone)[32]; /* per group: the run that is no longer kept */
} succeeding;

static tr_code succeed(void *ctx, tr_object *job, tr_err *err)
{
    succeeding *s = ctx;
    tr_segment_run *run = s->run;
    const tr_segment_active *active = run->active;
    tr_catalog *catalog = active->segment->parts.catalog;
    if (tr_segment_is_finished(job->state) || strcmp(job->state, "CANCELLING") == 0)
        return TR_FAIL(err, TR_CANCELLED, "the job was cancelled");
    const tr_code there = tr_store_has_runs(active->segment->parts.store, &active->tenant,
                                            json_object_get(run->plan, "runs"), err);
    run->is_stale = there == TR_NOT_FOUND;
    TR_TRY(there);
    for (uint32_t g = 0; g < run->group_count; g++) {
        const json_t *group = run->groups[g].json;
        json_t *files = list_files(&run->groups[g]);
        const tr_code code = files == NULL ? no_memory(err)
                                           : tr_membership_replace(catalog, &active->tenant, group,
                                                                   files, s->gone[g], err);
        json_decref(files);
        TR_TRY(code);
    }
    TR_TRY(tell_metrics(run, job, err));
    if (json_array_size(run->problems) > 0 &&
        json_object_set(job->doc, "errors", run->problems) != 0)
        return no_memory(err);
    if (run->group_count > 0 &&
        json_object_set_new(job->doc, "batchId",
                            json_string(tr_json_text(run->groups[0].json, "run", ""))) != 0)
        return no_memory(err);
    (void)json_object_del(job->doc, "_");
    TR_TRY(forget_parts(active, err));
    TR_TRY(tr_catalog_remove(catalog, &active->tenant, "segment_plan", active->id, err));
    return tr_segment_job_status(job, "SUCCEEDED", err);
}

static tr_code commit(tr_segment_run *run, tr_err *err)
{
    const tr_segment_active *active = run->active;
    succeeding s = {.run = run,
                    .gone = tr_arena_array(&run->arena, run->group_count + 1, sizeof *s.gone)};
    if (s.gone == NULL)
        return no_memory(err);
    TR_TRY(tr_segment_job_edit(active, succeed, &s, err));
    tr_crash_point("segment_committed");
    for (uint32_t g = 0; g < run->group_count; g++)
        if (s.gone[g][0] != '\0' &&
            tr_lake_remove_batch(active->segment->parts.lake, &active->tenant, TR_MEMBERSHIP_FOLDER,
                                 s.gone[g], NULL) != TR_OK)
            tr_log(TR_LOG_WARN, "segment", "membership_folder_kept", "run=%s", s.gone[g]);
    tr_log(TR_LOG_INFO, "segment", "segment_succeeded", "job=%s", active->id);
    return TR_OK;
}

static tr_code evaluate(tr_segment_run *run, tr_err *err)
{
    tr_segment_active *active = run->active;
    TR_TRY(choose_todo(run, err));
    const tr_code code = tr_compute_run(active->segment->parts.compute, run->todo_count, run_task,
                                        run, &active->cancel, err);
    const tr_code recorded = record_finished(run, true, code == TR_OK ? err : NULL);
    TR_TRY(code != TR_OK ? code : recorded);
    TR_TRY(publish_files(run, err));
    return commit(run, err);
}

static tr_code work(tr_segment_run *run, tr_err *err)
{
    tr_segment_active *active = run->active;
    json_t *definitions = NULL;
    TR_TRY(tr_segment_job_edit(active, begin, &definitions, err));
    tr_crash_point("segment_processing");
    tr_code code = open_plan(run, definitions, err);
    if (code == TR_OK)
        code = evaluate(run, err);
    /* members of data that is gone must not come back; a damaged copy is no reason to fail */
    while (code != TR_OK && (run->is_stale || tr_segment_plan_drops_damaged(run, code))) {
        run->is_stale = false;
        code = plan_while_gone(run, definitions, plan_again(run, definitions, err), err);
        if (code == TR_OK)
            code = evaluate(run, err);
    }
    json_decref(definitions);
    return code;
}

/* ---- the other ends */

typedef struct ending {
    tr_segment_run *run;
    const char *status;
    const char *text; /* NULL: cancelled */
} ending;

static tr_code end_job(void *ctx, tr_object *job, tr_err *err)
{
    const ending *end = ctx;
    const tr_segment_active *active = end->run->active;
    if (tr_segment_is_finished(job->state))
        return TR_OK;
    if (end->text != NULL &&
        json_object_set_new(job->doc, "errors",
                            json_pack("[{s:s, s:s, s:s}]", "code", "0100000003", "msg", end->text,
                                      "callStack", "")) != 0)
        return no_memory(err);
    (void)json_object_del(job->doc, "_");
    TR_TRY(forget_parts(active, err));
    const tr_code code = tr_catalog_remove(active->segment->parts.catalog, &active->tenant,
                                           "segment_plan", active->id, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    return tr_segment_job_status(job, end->status, err);
}

/* Written again and again until the disk takes it, or the server stops. */
static void write_end(ending *end)
{
    const tr_segment_active *active = end->run->active;
    tr_err err = {0};
    enum { WAIT_US = 500 * 1000 };
    drop_files(end->run);
    tr_crash_point("segment_ending");
    for (;;) {
        const tr_code code = tr_segment_job_edit(active, end_job, end, &err);
        if (code == TR_OK || code == TR_NOT_FOUND)
            return;
        tr_log(TR_LOG_ERROR, "segment", "segment_end_not_written", "job=%s reason=\"%s\"",
               active->id, err.text);
        if (tr_compute_is_stopping(active->segment->parts.compute))
            return;
        usleep(WAIT_US);
    }
}

static bool is_cancelled_by_client(const tr_segment_active *active)
{
    tr_object job = {0};
    bool is_marked = atomic_load(&active->cancel);
    if (tr_catalog_get(active->segment->parts.catalog, &active->tenant, "segment_job", active->id,
                       &job, NULL) == TR_OK)
        is_marked =
            is_marked || strcmp(job.state, "CANCELLING") == 0 || tr_segment_is_finished(job.state);
    tr_object_clear(&job);
    return is_marked;
}

void tr_segment_run_job(void *ctx)
{
    tr_segment_active *active = ctx;
    tr_segment_run run = {.active = active};
    tr_err err = {0};
    (void)pthread_mutex_init(&run.lock, NULL);
    const tr_code code = work(&run, &err);
    (void)pthread_mutex_destroy(&run.lock);
    tr_segment_plan_close(&run); /* lets the runs go before the end is told */
    const bool is_stopping = tr_compute_is_stopping(active->segment->parts.compute);
    ending end = {.run = &run, .status = "FAILED", .text = err.text};
    if (code == TR_CANCELLED && is_cancelled_by_client(active)) {
        end.status = "CANCELLED";
        end.text = NULL;
        tr_log(TR_LOG_INFO, "segment", "segment_cancelled", "job=%s", active->id);
        write_end(&end);
    } else if (code != TR_OK && !(code == TR_CANCELLED && is_stopping)) {
        tr_log(TR_LOG_ERROR, "segment", "segment_failed", "job=%s reason=\"%s\"", active->id,
               err.text);
        write_end(&end);
    } /* else: done; or the server stops, and the job goes on at its next start */
    json_decref(run.plan);
}
