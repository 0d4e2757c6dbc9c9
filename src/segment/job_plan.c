/* SPDX-License-Identifier: Apache-2.0 */
/* job_plan.c - a segment job's plan: that of an evaluation (evaluation.h) with "runs":[ids], and
 * for a group whose policy stitches "stitched":[ids], and "isCutByKeys" (merge.h; plans that were
 * stored before lack it, and their parts are of other partitions); opened.
 */
#include "segment/job_internal.h"

#include "segment/stitch.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a segment job's plan");
}

void tr_segment_stage(const tr_segment_active *active, uint32_t group, char out[64])
{
    (void)snprintf(out, 64, "segment-%.40s-%u", active->id, group);
}

/* ---- making */

/* What groups whose policy says so read instead. */
static tr_code stitch_groups(const tr_segment_active *active, json_t *plan, tr_err *err)
{
    json_t *groups = json_object_get(plan, "groups"), *group;
    size_t i;
    json_array_foreach (groups, i, group) {
        json_t *memberships, *stitched = NULL;
        const json_t *runs = json_object_get(plan, "runs");
        if (!tr_policy_is_stitched(json_object_get(group, "policy")))
            continue;
        memberships = json_pack("[O]", json_object_get(group, "before"));
        if (memberships == NULL)
            return no_memory(err);
        const tr_code code = tr_segment_stitch(&active->segment->parts, &active->tenant, runs,
                                               memberships, &active->cancel, &stitched, err);
        json_decref(memberships);
        TR_TRY(code);
        if (json_object_set_new(group, "stitched", stitched) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code make_once(const tr_segment_active *active, const json_t *definitions, json_t **out,
                         tr_err *err)
{
    tr_store *store = active->segment->parts.store;
    tr_snapshot *snapshot = NULL;
    json_t *plan = NULL;
    TR_TRY(tr_evaluation_plan(active->segment, &active->tenant, definitions, &plan, err));
    tr_code code = tr_store_snapshot(store, &active->tenant, &snapshot, err);
    if (code == TR_OK && (json_object_set_new(plan, "runs", tr_store_run_ids(snapshot)) != 0 ||
                          json_object_set_new(plan, "isCutByKeys", json_true()) != 0))
        code = no_memory(err);
    tr_store_release(store, snapshot);
    if (code == TR_OK)
        code = stitch_groups(active, plan, err);
    if (code == TR_OK)
        *out = plan;
    else
        json_decref(plan);
    return code;
}

/* Data may be taken back between the list of runs and their stitching: then it is made again. */
tr_code tr_segment_plan_make(const tr_segment_active *active, const json_t *definitions,
                             json_t **out, tr_err *err)
{
    tr_code code = TR_NOT_FOUND;
    for (int i = 0; i < TR_PLANS_IN_A_ROW_MAX && code == TR_NOT_FOUND; i++)
        code = make_once(active, definitions, out, err);
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_BUSY, "the data changes too fast to plan a job")
                                : code;
}

/* ---- opening */

/* Nothing is written of the profiles that a job looks at. */
static tr_code keep(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep_it, tr_err *err)
{
    const tr_segment_task *task = ctx;
    const tr_segment_run *run = task->run;
    const tr_segment_active *active = run->active;
    tr_segment_group *group = &run->groups[task->group];
    tr_evaluated part = {0};
    tr_buf file = {0};
    char stage[64];
    (void)keep_it;
    tr_segment_stage(active, task->group, stage);
    tr_code code =
        tr_evaluation_run(group->evaluation, view, group->bits, &active->cancel, &file, &part, err);
    if (code == TR_OK)
        code = tr_evaluated_write(&part, active->segment->parts.lake, &active->tenant, stage,
                                  partition, tr_buf_str(&file), err);
    tr_buf_free(&file);
    part.is_done = true;
    if (code == TR_OK)
        group->parts[partition] = part;
    else
        json_decref(part.segments);
    return code;
}

static tr_code open_merge(tr_segment_run *run, tr_segment_group *group, uint32_t index, tr_err *err)
{
    tr_segment_task *task = tr_arena_alloc(&run->arena, sizeof *task);
    if (task == NULL)
        return no_memory(err);
    *task = (tr_segment_task){.run = run, .group = index};
    tr_merge_spec spec = {.snapshot = group->snapshot != NULL ? group->snapshot : run->snapshot,
                          .with_event_only = true,
                          .updated_after_us = TR_TIME_NONE,
                          .event_after_us = TR_TIME_NONE,
                          .event_before_us = TR_TIME_NONE,
                          .is_cut_by_keys = tr_json_bool(run->plan, "isCutByKeys", false),
                          .keep = keep,
                          .keep_ctx = task};
    tr_evaluation_ask(group->evaluation, &spec);
    spec.output = spec.probe;
    TR_TRY(tr_policy_read(json_object_get(group->json, "policy"), &run->arena, &spec.policy, err));
    /* decided at each opening: a part has the same bytes whatever its profiles were read from */
    TR_TRY(tr_materialized_take(run->active->segment->parts.materialized, &run->active->tenant,
                                spec.snapshot, &spec.policy, NULL, &group->merged, err));
    spec.merged = tr_materialized_run_of(&group->merged);
    TR_TRY(tr_merge_plan_open(&spec, &group->merge, err));
    group->partitions = tr_merge_partition_count(group->merge);
    while (group->partitions >> group->bits > 1)
        group->bits++;
    group->parts = tr_alloc_zeroed(group->partitions, sizeof *group->parts);
    return group->parts == NULL ? no_memory(err) : TR_OK;
}

static tr_code open_group(tr_segment_run *run, uint32_t index, tr_err *err)
{
    const tr_segment_active *active = run->active;
    tr_segment_group *group = &run->groups[index];
    group->json = json_array_get(json_object_get(run->plan, "groups"), index);
    TR_TRY(tr_evaluation_open(active->segment, &active->tenant, run->plan, index, run->problems,
                              &group->evaluation, err));
    const json_t *stitched = json_object_get(group->json, "stitched");
    if (stitched != NULL)
        TR_TRY(tr_store_snapshot_of(active->segment->parts.store, &active->tenant, stitched,
                                    &group->snapshot, err));
    return open_merge(run, group, index, err);
}

tr_code tr_segment_plan_open(tr_segment_run *run, tr_err *err)
{
    const tr_segment_active *active = run->active;
    const json_t *groups = json_object_get(run->plan, "groups");
    run->problems = json_array();
    run->groups = tr_arena_array(&run->arena, json_array_size(groups), sizeof *run->groups);
    if (run->problems == NULL || run->groups == NULL)
        return no_memory(err);
    TR_TRY(tr_store_snapshot_of(active->segment->parts.store, &active->tenant,
                                json_object_get(run->plan, "runs"), &run->snapshot, err));
    for (uint32_t g = 0; g < json_array_size(groups); g++) {
        run->group_count++; /* closed with the rest from here on */
        TR_TRY(open_group(run, g, err));
    }
    return TR_OK;
}

void tr_segment_plan_close(tr_segment_run *run)
{
    for (uint32_t g = 0; g < run->group_count; g++) {
        tr_segment_group *group = &run->groups[g];
        tr_merge_plan_close(group->merge);
        tr_evaluation_close(group->evaluation);
        tr_store_release(run->active->segment->parts.store, group->merged.at);
        tr_store_release(run->active->segment->parts.store, group->snapshot);
        for (uint32_t p = 0; group->parts != NULL && p < group->partitions; p++)
            json_decref(group->parts[p].segments);
        tr_free(group->parts);
    }
    if (run->snapshot != NULL)
        tr_store_release(run->active->segment->parts.store, run->snapshot);
    json_decref(run->problems);
    tr_free(run->todo);
    tr_free(run->finished);
    tr_arena_free(&run->arena);
    run->snapshot = NULL;
    run->problems = NULL;
    run->groups = NULL;
    run->group_count = 0;
    run->todo = NULL;
    run->todo_count = 0;
    run->finished = NULL;
    run->finished_count = run->recorded_count = 0;
}

bool tr_segment_plan_drops_damaged(const tr_segment_run *run, tr_code code)
{
    bool is_any = false;
    for (uint32_t g = 0; g < run->group_count && code == TR_CORRUPT; g++) {
        const tr_materialized_run *merged = &run->groups[g].merged;
        if (merged->at == NULL)
            continue;
        tr_materialized_drop(run->active->segment->parts.materialized, &run->active->tenant,
                             merged->id);
        is_any = true;
    }
    return is_any;
}
