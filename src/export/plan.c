/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - a plan as JSON, and opened.
 *
 *     {"format":1, "runs":[ids], "policy":{document}, "output":{row type}, "partitions":n,
 *      "emptyProfiles":b, "events":b, "updatedAfter":us, "eventAfter":us, "eventBefore":us}
 *
 * Nothing else decides what an export holds, so two runs of one plan write the same bytes. Open
 * bounds are left out; `partitions` appears when the plan is first opened.
 */
#include "export/export_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for an export plan");
}

json_t *tr_export_run_ids(const tr_snapshot *snapshot)
{
    json_t *ids = json_array();
    for (uint32_t i = 0; ids != NULL && i < snapshot->run_count; i++)
        if (json_array_append_new(ids, json_string(snapshot->runs[i]->id)) != 0) {
            json_decref(ids);
            return NULL;
        }
    return ids;
}

static bool set_bound(json_t *plan, const char *name, int64_t us)
{
    return us == TR_TIME_NONE || json_object_set_new(plan, name, json_integer(us)) == 0;
}

tr_code tr_export_plan_make(const tr_export_request *request, const tr_type *output,
                            const json_t *policy, const tr_snapshot *snapshot, json_t **out,
                            tr_err *err)
{
    json_t *plan = json_pack("{s:i, s:o, s:o, s:o, s:b, s:b}", "format", 1, "runs",
                             tr_export_run_ids(snapshot), "policy", json_deep_copy(policy),
                             "output", tr_type_to_json(output), "emptyProfiles",
                             request->with_event_only, "events", request->with_events);
    if (plan == NULL || !set_bound(plan, "updatedAfter", request->updated_after_us) ||
        !set_bound(plan, "eventAfter", request->event_after_us) ||
        !set_bound(plan, "eventBefore", request->event_before_us)) {
        json_decref(plan);
        return no_memory(err);
    }
    *out = plan;
    return TR_OK;
}

/* The policy's order as texts that live in the arena's array; the texts are the document's. */
static tr_code read_policy(const json_t *policy, tr_arena *arena, tr_merge_policy *out, tr_err *err)
{
    const json_t *merge = json_object_get(policy, "attributeMerge");
    const json_t *order = json_object_get(merge, "order");
    const size_t count = json_array_size(order);
    *out =
        (tr_merge_policy){.is_precedence = strcmp(tr_json_text(merge, "type", ""), "dataSetPreceden"
                                                                                   "ce") == 0};
    if (!out->is_precedence)
        return TR_OK;
    const char **names = tr_arena_array(arena, count, sizeof *names);
    if (names == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        names[i] = json_string_value(json_array_get(order, i));
    out->order = names;
    out->order_count = (uint32_t)count;
    return TR_OK;
}

static tr_code open_plan(const json_t *json, const tr_tenant *tenant, tr_export_plan *plan,
                         tr_err *err)
{
    tr_type *root = NULL;
    tr_merge_spec spec = {.output = &plan->shape,
                          .with_event_only = tr_json_bool(json, "emptyProfiles", false),
                          .with_events = tr_json_bool(json, "events", false),
                          .updated_after_us = tr_json_int(json, "updatedAfter", TR_TIME_NONE),
                          .event_after_us = tr_json_int(json, "eventAfter", TR_TIME_NONE),
                          .event_before_us = tr_json_int(json, "eventBefore", TR_TIME_NONE)};
    TR_TRY(tr_type_of_json(json_object_get(json, "output"), &plan->arena, &root, err));
    TR_TRY(tr_shape_make(&plan->arena, root, &plan->shape, err));
    TR_TRY(read_policy(json_object_get(json, "policy"), &plan->arena, &spec.policy, err));
    TR_TRY(tr_store_snapshot_of(plan->store, tenant, json_object_get(json, "runs"), &plan->snapshot,
                                err));
    spec.snapshot = plan->snapshot;
    TR_TRY(tr_merge_plan_open(&spec, &plan->merge, err));
    plan->partitions = tr_merge_partition_count(plan->merge);
    return TR_OK;
}

tr_code tr_export_plan_open(const json_t *json, tr_store *store, const tr_tenant *tenant,
                            tr_export_plan *out, tr_err *err)
{
    *out = (tr_export_plan){.store = store};
    const tr_code code = open_plan(json, tenant, out, err);
    if (code != TR_OK)
        tr_export_plan_close(out);
    return code;
}

void tr_export_plan_close(tr_export_plan *plan)
{
    tr_merge_plan_close(plan->merge);
    if (plan->snapshot != NULL)
        tr_store_release(plan->store, plan->snapshot);
    tr_arena_free(&plan->arena);
    *plan = (tr_export_plan){0};
}
