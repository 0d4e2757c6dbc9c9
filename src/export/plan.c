/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - a plan as JSON, and opened.
 *
 *     {"format":1, "runs":[ids], "stitched":[ids], "policy":{document}, "output":{row type},
 *      "emptyProfiles":b, "events":b, "isCutByKeys":b, "updatedAfter":us, "eventAfter":us,
 *      "eventBefore":us, "memberships":[ids], "hidden":[ids], "segments":[as sent],
 *      "perSegment":b, "qualifiedFrom":us, "qualifiedUntil":us, "now":us,
 *      "evaluate":[documents], "evaluation":{segment/evaluation.h}, "segmentJob":id,
 *      "isEvaluated":b, "merged":id}
 *
 * Nothing else decides what an export holds, so two runs of one plan write the same bytes. Open
 * bounds are left out; of a policy that stitches `stitched` appears when the plan is first opened:
 * what is read in place of `runs`. `merged`: the merged run that is read in place of their records,
 * "" for none; a job notes it before its first part. `isCutByKeys`: as in merge.h; plans that were
 * stored before lack it, and their parts are of other partitions.
 */
#include "export/export_internal.h"

#include "segment/stitch.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for an export plan");
}

static bool set_bound(json_t *plan, const char *name, int64_t us)
{
    return us == TR_TIME_NONE || json_object_set_new(plan, name, json_integer(us)) == 0;
}

static bool set_segments(json_t *plan, const tr_export_request *request)
{
    if (request->segments == NULL)
        return true;
    return json_object_set_new(plan, "segments", json_deep_copy(request->segments)) == 0 &&
           json_object_set_new(plan, "perSegment", json_boolean(request->is_per_segment)) == 0 &&
           json_object_set_new(plan, "now", json_integer(tr_time_now_us())) == 0 &&
           set_bound(plan, "qualifiedFrom", request->qualified_from_us) &&
           set_bound(plan, "qualifiedUntil", request->qualified_until_us);
}

tr_code tr_export_plan_make(const tr_export_request *request, const tr_type *output,
                            const json_t *policy, const tr_snapshot *snapshot, json_t **out,
                            tr_err *err)
{
    json_t *plan = json_pack("{s:i, s:o, s:o, s:o, s:b, s:b, s:b}", "format", 1, "runs",
                             tr_store_run_ids(snapshot), "policy", json_deep_copy(policy), "output",
                             tr_type_to_json(output), "emptyProfiles", request->with_event_only,
                             "events", request->with_events, "isCutByKeys", true);
    if (plan == NULL || !set_bound(plan, "updatedAfter", request->updated_after_us) ||
        !set_bound(plan, "eventAfter", request->event_after_us) ||
        !set_bound(plan, "eventBefore", request->event_before_us) || !set_segments(plan, request)) {
        json_decref(plan);
        return no_memory(err);
    }
    *out = plan;
    return TR_OK;
}

/* The memberships whose rows come along: those the plan reads, or the one its evaluation begins
 * with. */
static json_t *list_memberships(const json_t *plan)
{
    const json_t *evaluation = json_object_get(plan, "evaluation");
    json_t *ids = evaluation != NULL
                      ? json_pack("[O]", json_object_get(tr_export_group(evaluation), "before"))
                      : json_copy(json_object_get(plan, "memberships"));
    return ids != NULL || evaluation != NULL ? ids : json_array();
}

tr_code tr_export_plan_stitch(json_t *plan, const tr_export_parts *parts, const tr_tenant *tenant,
                              const atomic_bool *cancel, bool *is_changed, tr_err *err)
{
    json_t *memberships, *stitched = NULL;
    if (!tr_policy_is_stitched(json_object_get(plan, "policy")) ||
        json_object_get(plan, "stitched") != NULL)
        return TR_OK;
    memberships = list_memberships(plan);
    if (memberships == NULL)
        return no_memory(err);
    const tr_code code =
        tr_segment_stitch(tr_segment_parts_of(parts->segment), tenant,
                          json_object_get(plan, "runs"), memberships, cancel, &stitched, err);
    json_decref(memberships);
    TR_TRY(code);
    if (json_object_set_new(plan, "stitched", stitched) != 0)
        return no_memory(err);
    *is_changed = true;
    return TR_OK;
}

static tr_code keep_selected(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep,
                             tr_err *err)
{
    const tr_export_slot *slot = ctx;
    if (slot->plan->evaluation != NULL)
        return tr_export_keep_evaluated(slot, partition, view, keep, err);
    return tr_selection_apply(&slot->plan->selection, slot->segment, slot->plan->probe, view, keep,
                              err);
}

static tr_code open_selection(const json_t *json, tr_export_plan *plan, tr_merge_spec *spec,
                              tr_err *err)
{
    const json_t *segments = json_object_get(json, "segments");
    if (segments == NULL)
        return TR_OK;
    TR_TRY(tr_selection_read(segments, &plan->arena, &plan->selection, err));
    plan->selection.from_us = tr_json_int(json, "qualifiedFrom", TR_TIME_NONE);
    plan->selection.until_us = tr_json_int(json, "qualifiedUntil", TR_TIME_NONE);
    plan->selection.now_us = tr_json_int(json, "now", 0);
    spec->keep = keep_selected;
    if (plan->evaluation != NULL) {
        tr_evaluation_ask(plan->evaluation, spec);
        spec->keep_evaluates = true;
        plan->probe = spec->probe;
        return TR_OK;
    }
    tr_type *root = tr_selection_probe(&plan->arena);
    if (root == NULL)
        return no_memory(err);
    TR_TRY(tr_shape_make(&plan->arena, root, &plan->own_probe, err));
    spec->probe = plan->probe = &plan->own_probe;
    return TR_OK;
}

static tr_code open_evaluation(const json_t *json, const tr_export_parts *parts,
                               const tr_tenant *tenant, tr_export_plan *plan, tr_err *err)
{
    plan->evaluated = json_object_get(json, "evaluation");
    if (plan->evaluated == NULL)
        return tr_memberships_open(parts->catalog, parts->lake, tenant,
                                   json_object_get(json, "memberships"), &plan->members, err);
    plan->problems = json_array();
    if (plan->problems == NULL)
        return no_memory(err);
    return tr_evaluation_open(parts->segment, tenant, plan->evaluated, 0, plan->problems,
                              &plan->evaluation, err);
}

static tr_code open_slots(const json_t *json, tr_export_plan *plan, tr_merge_spec *spec,
                          tr_err *err)
{
    const bool is_per_segment = tr_json_bool(json, "perSegment", false);
    const uint32_t count = is_per_segment ? plan->selection.count : 1;
    plan->slots = tr_arena_array(&plan->arena, count, sizeof *plan->slots);
    if (plan->slots == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < count; i++) {
        tr_export_slot *slot = &plan->slots[i];
        *slot =
            (tr_export_slot){.plan = plan, .number = i, .segment = is_per_segment ? i : UINT32_MAX};
        spec->keep_ctx = slot;
        TR_TRY(tr_merge_plan_open(spec, &slot->merge, err));
        plan->slot_count++;
    }
    plan->partitions = tr_merge_partition_count(plan->slots[0].merge);
    while (plan->partitions >> plan->bits > 1)
        plan->bits++;
    if (plan->evaluation == NULL)
        return TR_OK;
    plan->fresh =
        tr_arena_array(&plan->arena, (size_t)count * plan->partitions, sizeof *plan->fresh);
    return plan->fresh == NULL ? no_memory(err) : TR_OK;
}

static tr_code open_plan(const json_t *json, const tr_export_parts *parts, const tr_tenant *tenant,
                         tr_export_plan *plan, tr_err *err)
{
    tr_type *root = NULL;
    tr_merge_spec spec = {.output = &plan->shape,
                          .with_event_only = tr_json_bool(json, "emptyProfiles", false),
                          .with_events = tr_json_bool(json, "events", false),
                          .is_cut_by_keys = tr_json_bool(json, "isCutByKeys", false),
                          .updated_after_us = tr_json_int(json, "updatedAfter", TR_TIME_NONE),
                          .event_after_us = tr_json_int(json, "eventAfter", TR_TIME_NONE),
                          .event_before_us = tr_json_int(json, "eventBefore", TR_TIME_NONE)};
    TR_TRY(tr_type_of_json(json_object_get(json, "output"), &plan->arena, &root, err));
    TR_TRY(tr_shape_make(&plan->arena, root, &plan->shape, err));
    TR_TRY(tr_policy_read(json_object_get(json, "policy"), &plan->arena, &spec.policy, err));
    const json_t *stitched = json_object_get(json, "stitched");
    TR_TRY(tr_store_snapshot_of(plan->store, tenant,
                                stitched != NULL ? stitched : json_object_get(json, "runs"),
                                &plan->snapshot, err));
    TR_TRY(open_evaluation(json, parts, tenant, plan, err));
    spec.members = plan->members.runs;
    spec.member_count = plan->members.run_count;
    TR_TRY(tr_membership_hidden_of(json_object_get(json, "hidden"), &plan->arena, &spec, err));
    TR_TRY(open_selection(json, plan, &spec, err));
    spec.snapshot = plan->snapshot;
    TR_TRY(tr_materialized_take(parts->materialized, tenant, plan->snapshot, &spec.policy,
                                tr_json_text(json, "merged", NULL), &plan->merged, err));
    spec.merged = tr_materialized_run_of(&plan->merged);
    return open_slots(json, plan, &spec, err);
}

/* The slots point at the plan: it must not move afterwards. */
tr_code tr_export_plan_open(const json_t *json, const tr_export_parts *parts,
                            const tr_tenant *tenant, const atomic_bool *cancel, tr_export_plan *out,
                            tr_err *err)
{
    *out = (tr_export_plan){.store = parts->store, .cancel = cancel};
    const tr_code code = open_plan(json, parts, tenant, out, err);
    if (code != TR_OK)
        tr_export_plan_close(out);
    return code;
}

void tr_export_plan_close(tr_export_plan *plan)
{
    for (uint32_t i = 0; plan->fresh != NULL && i < plan->slot_count * plan->partitions; i++)
        tr_export_fresh_close(&plan->fresh[i]);
    for (uint32_t i = 0; i < plan->slot_count; i++)
        tr_merge_plan_close(plan->slots[i].merge);
    tr_evaluation_close(plan->evaluation);
    json_decref(plan->problems);
    tr_memberships_close(&plan->members);
    if (plan->merged.at != NULL)
        tr_store_release(plan->store, plan->merged.at);
    if (plan->snapshot != NULL)
        tr_store_release(plan->store, plan->snapshot);
    tr_arena_free(&plan->arena);
    *plan = (tr_export_plan){0};
}

bool tr_export_plan_is_to_begin_again(const tr_export_plan *plan, const tr_export_parts *parts,
                                      const tr_tenant *tenant, tr_code code)
{
    if (code != TR_CORRUPT || plan->merged.at == NULL)
        return false;
    tr_materialized_drop(parts->materialized, tenant, plan->merged.id);
    return true;
}
