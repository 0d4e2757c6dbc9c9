/* SPDX-License-Identifier: Apache-2.0 */
/* job_plan.c - a segment job's plan as JSON, and opened.
 *
 *     {"now":us, "states":2|3, "runs":[ids], "groups":[
 * {"policy":{document}, "before":run, "run":run, "definitions":[documents], "carried":[ids]}]}
 *
 * A group is what one merge policy evaluates. `carried` are the other segments of that policy,
 * whose entries stay as they are; entries of all others (deleted, or of another policy now) end
 * here.
 */
#include "segment/job_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a segment job's plan");
}

void tr_segment_stage(const tr_segment_active *active, uint32_t group, char out[64])
{
    (void)snprintf(out, 64, "segment-%.40s-%u", active->id, group);
}

/* ---- making */

typedef struct planning {
    const tr_segment_active *active;
    json_t *groups;
} planning;

static json_t *find_group(const json_t *groups, const char *policy)
{
    for (size_t i = 0; i < json_array_size(groups); i++) {
        json_t *group = json_array_get(groups, i);
        if (strcmp(tr_json_text(json_object_get(group, "policy"), "id", ""), policy) == 0)
            return group;
    }
    return NULL;
}

static tr_code add_group(const planning *p, const char *id, json_t **out, tr_err *err)
{
    tr_catalog *catalog = p->active->segment->parts.catalog;
    const tr_tenant *tenant = &p->active->tenant;
    json_t *policy = NULL;
    char before[32];
    TR_TRY(tr_membership_now(catalog, tenant, id, before, err));
    const tr_code code = tr_policy_get(catalog, tenant, id, 0, &policy, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_SEMANTIC, "the merge policy \"%.60s\" of a segment has been deleted",
                       id);
    TR_TRY(code);
    const char *graph = tr_json_text(json_object_get(policy, "identityGraph"), "type", "none");
    if (strcmp(graph, "none") != 0) {
        json_decref(policy);
        return TR_FAIL(err, TR_SEMANTIC,
                       "the merge policy \"%.60s\" of a segment has the identityGraph %.20s, which "
                       "is not available in this version",
                       id, graph);
    }
    json_t *group = json_pack("{s:o, s:s, s:s, s:[], s:[]}", "policy", policy, "before", before,
                              "run", tr_id_ulid().text, "definitions", "carried");
    if (json_array_append_new(p->groups, group) != 0)
        return no_memory(err);
    *out = group;
    return TR_OK;
}

static tr_code group_definitions(const planning *p, const json_t *definitions, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(definitions); i++) {
        json_t *definition = json_array_get(definitions, i);
        const char *policy = tr_json_text(definition, "mergePolicyId", "");
        json_t *group = find_group(p->groups, policy);
        if (group == NULL)
            TR_TRY(add_group(p, policy, &group, err));
        if (json_array_append(json_object_get(group, "definitions"), definition) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code carry(void *ctx, const tr_object *object, tr_err *err)
{
    const planning *p = ctx;
    const json_t *group = find_group(p->groups, tr_json_text(object->doc, "mergePolicyId", ""));
    const json_t *definitions = json_object_get(group, "definitions");
    for (size_t i = 0; i < json_array_size(definitions); i++)
        if (strcmp(tr_json_text(json_array_get(definitions, i), "id", ""), object->id) == 0)
            return TR_OK;
    if (group == NULL)
        return TR_OK;
    return json_array_append_new(json_object_get(group, "carried"), json_string(object->id)) == 0
               ? TR_OK
               : no_memory(err);
}

static json_t *run_ids(const tr_snapshot *snapshot)
{
    json_t *ids = json_array();
    for (uint32_t i = 0; i < snapshot->run_count; i++)
        (void)json_array_append_new(ids, json_string(snapshot->runs[i]->id));
    return ids;
}

tr_code tr_segment_plan_make(const tr_segment_active *active, const json_t *definitions,
                             json_t **out, tr_err *err)
{
    const tr_segment_parts *parts = &active->segment->parts;
    const tr_catalog_filter all = {0};
    planning p = {.active = active, .groups = json_array()};
    tr_snapshot *snapshot = NULL;
    tr_code code = p.groups == NULL ? no_memory(err) : group_definitions(&p, definitions, err);
    if (code == TR_OK)
        code = tr_catalog_list(parts->catalog, &active->tenant, "segment", &all, carry, &p, err);
    if (code == TR_OK)
        code = tr_store_snapshot(parts->store, &active->tenant, &snapshot, err);
    if (code != TR_OK) {
        json_decref(p.groups);
        return code;
    }
    json_t *plan =
        json_pack("{s:I, s:i, s:o, s:o}", "now", (json_int_t)tr_time_now_us(), "states",
                  parts->has_two_states ? 2 : 3, "runs", run_ids(snapshot), "groups", p.groups);
    tr_store_release(parts->store, snapshot);
    if (plan == NULL)
        return no_memory(err);
    *out = plan;
    return TR_OK;
}

/* ---- opening */

typedef struct by_id {
    const json_t *definitions;
} by_id;

static int compare_ids(const void *a, const void *b, void *ctx)
{
    const by_id *c = ctx;
    return strcmp(tr_json_text(json_array_get(c->definitions, *(const uint32_t *)a), "id", ""),
                  tr_json_text(json_array_get(c->definitions, *(const uint32_t *)b), "id", ""));
}

static tr_code sort_definitions(tr_segment_run *run, tr_segment_group *group, tr_err *err)
{
    const uint32_t count = (uint32_t)json_array_size(group->definitions);
    by_id ctx = {group->definitions};
    group->order = tr_arena_array(&run->arena, count, sizeof *group->order);
    if (group->order == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < count; i++)
        group->order[i] = i;
    qsort_r(group->order, count, sizeof *group->order, compare_ids, &ctx);
    return TR_OK;
}

static tr_code open_merge(tr_segment_run *run, tr_segment_group *group, uint32_t index, tr_err *err)
{
    tr_segment_task *task = tr_arena_alloc(&run->arena, sizeof *task);
    if (task == NULL)
        return no_memory(err);
    *task = (tr_segment_task){.run = run, .group = index};
    tr_merge_spec spec = {.snapshot = run->snapshot,
                          .output = tr_evaluator_probe(group->evaluator),
                          .probe = tr_evaluator_probe(group->evaluator),
                          .with_probe_events = tr_evaluator_reads_events(group->evaluator),
                          .with_event_only = true,
                          .updated_after_us = TR_TIME_NONE,
                          .event_after_us = TR_TIME_NONE,
                          .event_before_us = TR_TIME_NONE,
                          .keep = tr_segment_keep,
                          .keep_ctx = task};
    TR_TRY(tr_policy_read(json_object_get(group->json, "policy"), &run->arena, &spec.policy, err));
    spec.members = tr_membership_runs(group->before, &spec.member_count);
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
    const tr_segment_parts *parts = &active->segment->parts;
    tr_segment_group *group = &run->groups[index];
    group->json = json_array_get(json_object_get(run->plan, "groups"), index);
    group->definitions = json_object_get(group->json, "definitions");
    TR_TRY(sort_definitions(run, group, err));
    TR_TRY(tr_evaluator_open(parts->catalog, &active->tenant, group->definitions, run->now_us,
                             run->problems, &group->evaluator, err));
    TR_TRY(tr_membership_open(parts->catalog, parts->lake, &active->tenant,
                              tr_json_text(group->json, "before", ""), &group->before, err));
    return open_merge(run, group, index, err);
}

tr_code tr_segment_plan_open(tr_segment_run *run, tr_err *err)
{
    const tr_segment_active *active = run->active;
    const json_t *groups = json_object_get(run->plan, "groups");
    run->now_us = tr_json_int(run->plan, "now", 0);
    run->has_three_states = tr_json_int(run->plan, "states", 3) == 3;
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
        tr_membership_close(group->before);
        tr_evaluator_close(group->evaluator);
        for (uint32_t p = 0; group->parts != NULL && p < group->partitions; p++)
            json_decref(group->parts[p].segments);
        tr_free(group->parts);
    }
    if (run->snapshot != NULL)
        tr_store_release(run->active->segment->parts.store, run->snapshot);
    json_decref(run->problems);
    tr_free(run->todo);
    tr_arena_free(&run->arena);
    run->snapshot = NULL;
    run->problems = NULL;
    run->groups = NULL;
    run->group_count = 0;
    run->todo = NULL;
    run->todo_count = 0;
}
