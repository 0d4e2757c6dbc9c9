/* SPDX-License-Identifier: Apache-2.0 */
/* evaluated.c - segments evaluated while an export merges, in the same pass over the data.
 *
 *     turn --> plan: today's runs, "evaluation" (segment/evaluation.h)
 *     a partition: merged columns --> who is in now --> filter, columns --> part
 *                                         |
 *                                         +--> stage export-<job>-members, in force with the batch
 *
 * Of an export with a batch a segment, the first batch's part of a partition is the one that
 * evaluates; the others are merged afterwards, with the members that it staged.
 */
#include "export/export_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to evaluate the segments of an export");
}

void tr_export_members_stage(const char *job, char out[48])
{
    (void)snprintf(out, 48, "export-%.24s-members", job);
}

/* ---- planning */

/* Within the export's own merge when the segments are all of its policy, as it is now. */
static tr_code is_same_policy(tr_export *export, const tr_tenant *tenant, const json_t *policy,
                              const json_t *own, bool *out, tr_err *err)
{
    json_t *newest = NULL;
    const char *id = tr_json_text(policy, "id", "");
    *out = false;
    if (json_array_size(own) != 1 || strcmp(json_string_value(json_array_get(own, 0)), id) != 0)
        return TR_OK;
    TR_TRY(tr_policy_get(export->parts.catalog, tenant, id, 0, &newest, err));
    *out = tr_json_int(newest, "version", 1) == tr_json_int(policy, "version", 1);
    json_decref(newest);
    return TR_OK;
}

/* The ids of the segments evaluated here, in an array. */
static tr_code list_own(const json_t *segments, json_t *ids, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(segments); i++) {
        const json_t *segment = json_array_get(segments, i);
        const char *namespace = tr_json_text(segment, "segmentNs", "");
        if (namespace[0] != '\0' &&
            !tr_str_equal_folded(tr_str_of(namespace), tr_str_of(TR_SEGMENT_NS)))
            continue;
        if (json_array_append_new(
                ids, json_pack("{s:s}", "segmentId", tr_json_text(segment, "segmentId", ""))) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

/* Under another policy it is another merge: a segment job, which the export waits for. */
static tr_code start_job(tr_export *export, const tr_tenant *tenant, const json_t *ids,
                         const char *request_id, json_t *plan, tr_err *err)
{
    const tr_segment_order order = {.request_id = request_id, .source = "export"};
    json_t *job = NULL;
    TR_TRY(tr_segment_job_create(export->parts.segment, tenant, ids, &order, &job, err));
    const int bad = json_object_set(plan, "segmentJob", json_object_get(job, "id"));
    json_decref(job);
    return bad == 0 ? TR_OK : no_memory(err);
}

static tr_code plan_documents(tr_export *export, const tr_tenant *tenant, const json_t *ids,
                              json_t *plan, tr_err *err)
{
    json_t *documents = json_array();
    tr_code code = documents == NULL
                       ? no_memory(err)
                       : tr_evaluation_find(export->parts.segment, tenant, ids, documents, err);
    if (code == TR_OK && json_object_set(plan, "evaluate", documents) != 0)
        code = no_memory(err);
    json_decref(documents);
    return code;
}

tr_code tr_export_evaluate(tr_export *export, const tr_tenant *tenant,
                           const tr_export_request *request, const char *request_id, json_t *plan,
                           tr_err *err)
{
    json_t *ids = json_array();
    bool is_same = false;
    tr_code code = ids == NULL ? no_memory(err) : list_own(request->segments, ids, err);
    if (code == TR_OK && json_array_size(ids) > 0) {
        code = is_same_policy(export, tenant, json_object_get(plan, "policy"),
                              json_object_get(plan, "segmentPolicies"), &is_same, err);
        if (code == TR_OK && is_same)
            code = plan_documents(export, tenant, ids, plan, err);
        else if (code == TR_OK)
            code = start_job(export, tenant, ids, request_id, plan, err);
    }
    json_decref(ids);
    return code;
}

/* The evaluation, its instant, and the runs of now: once it is this export's turn. */
static tr_code begin_evaluation(tr_export *export, const tr_tenant *tenant, json_t *plan,
                                tr_err *err)
{
    tr_snapshot *snapshot = NULL;
    json_t *evaluation = NULL;
    TR_TRY(tr_evaluation_plan(export->parts.segment, tenant, json_object_get(plan, "evaluate"),
                              &evaluation, err));
    tr_code code = tr_store_snapshot(export->parts.store, tenant, &snapshot, err);
    json_t *runs = code == TR_OK ? tr_store_run_ids(snapshot) : NULL;
    if (code == TR_OK && (json_object_set_new(plan, "runs", runs) != 0 ||
                          json_object_set(plan, "evaluation", evaluation) != 0 ||
                          json_object_set(plan, "now", json_object_get(evaluation, "now")) != 0))
        code = no_memory(err);
    tr_store_release(export->parts.store, snapshot);
    json_decref(evaluation);
    return code;
}

/* The memberships in force, once the segment job has succeeded. */
static tr_code take_memberships(tr_export *export, const tr_tenant *tenant, json_t *plan,
                                tr_err *err)
{
    const char *id = tr_json_text(plan, "segmentJob", "");
    char state[32];
    TR_TRY(tr_segment_job_state(export->parts.segment, tenant, id, state, err));
    if (strcmp(state, "FAILED") == 0 || strcmp(state, "CANCELLED") == 0 || state[0] == '\0')
        return TR_FAIL(err, TR_SEMANTIC, "segment job %s, which evaluates its segments, ended %s",
                       id, state[0] == '\0' ? "with the sandbox" : state);
    if (strcmp(state, "SUCCEEDED") != 0)
        return TR_FAIL(err, TR_CANCELLED, "segment job %s has not ended", id);
    if (json_object_set_new(plan, "isEvaluated", json_true()) != 0)
        return no_memory(err);
    return tr_export_memberships(export, tenant, plan, err);
}

tr_code tr_export_settle(tr_export *export, const tr_tenant *tenant, tr_object *stored, tr_err *err)
{
    json_t *plan = stored->doc;
    if (json_object_get(plan, "evaluate") != NULL && json_object_get(plan, "evaluation") == NULL)
        TR_TRY(begin_evaluation(export, tenant, plan, err));
    else if (json_object_get(plan, "segmentJob") != NULL &&
             !tr_json_bool(plan, "isEvaluated", false))
        TR_TRY(take_memberships(export, tenant, plan, err));
    else
        return TR_OK;
    stored->updated_ms = 0;
    return tr_catalog_put(export->parts.catalog, tenant, "export_plan", stored, 0, err);
}

/* ---- a partition */

const json_t *tr_export_group(const json_t *evaluation)
{
    return json_array_get(json_object_get(evaluation, "groups"), 0);
}

/* The id of the membership that an evaluation makes. */
static const char *members_of(const json_t *evaluation)
{
    return tr_json_text(tr_export_group(evaluation), "run", "");
}

/* The members that a part is merged with, from its file's bytes; without any there are none. */
static tr_code open_members(const tr_export_plan *plan, tr_export_fresh *fresh, tr_str bytes,
                            tr_err *err)
{
    if (bytes.len == 0)
        return TR_OK;
    return tr_run_open(bytes, members_of(plan->evaluated), TR_MEMBERSHIP_FOLDER, &fresh->run, err);
}

tr_code tr_export_keep_evaluated(const tr_export_slot *slot, uint32_t partition,
                                 tr_merge_view *view, bool *keep, tr_err *err)
{
    const tr_export_plan *plan = slot->plan;
    tr_export_fresh *fresh = &plan->fresh[slot->number * plan->partitions + partition];
    if (slot->number == 0) {
        TR_TRY(tr_evaluation_run(plan->evaluation, view, plan->bits, plan->cancel, &fresh->bytes,
                                 &fresh->part, err));
        TR_TRY(open_members(plan, fresh, tr_buf_str(&fresh->bytes), err));
    }
    TR_TRY(tr_merge_view_set_members(view, fresh->run, err));
    return tr_selection_apply(&plan->selection, slot->segment, plan->probe, view, keep, err);
}

tr_code tr_export_members_load(tr_export_run *run, uint32_t index, tr_err *err)
{
    const tr_export_active *active = run->active;
    const tr_evaluated *part = &run->members[index % run->partitions];
    tr_export_fresh *fresh = &run->plan.fresh[index];
    char stage[48];
    if (part->name[0] == '\0')
        return TR_OK;
    tr_export_members_stage(active->id, stage);
    TR_TRY(tr_lake_map_stage(active->export->parts.lake, &active->tenant, stage, part->name,
                             &fresh->map, err));
    return open_members(&run->plan, fresh, fresh->map.bytes, err);
}

tr_code tr_export_members_save(tr_export_run *run, uint32_t partition, tr_err *err)
{
    const tr_export_active *active = run->active;
    tr_export_fresh *fresh = &run->plan.fresh[partition];
    char stage[48];
    tr_export_members_stage(active->id, stage);
    TR_TRY(tr_evaluated_write(&fresh->part, active->export->parts.lake, &active->tenant, stage,
                              partition, tr_buf_str(&fresh->bytes), err));
    json_decref(run->members[partition].segments);
    run->members[partition] = fresh->part;
    run->members[partition].is_done = true;
    fresh->part = (tr_evaluated){0};
    return TR_OK;
}

void tr_export_fresh_close(tr_export_fresh *fresh)
{
    tr_run_close(fresh->run);
    tr_map_close(&fresh->map);
    tr_buf_free(&fresh->bytes);
    json_decref(fresh->part.segments);
    *fresh = (tr_export_fresh){0};
}

bool tr_export_members_are_staged(const tr_export_run *run, uint32_t partition)
{
    const tr_export_active *active = run->active;
    const tr_evaluated *part = &run->members[partition];
    char stage[48];
    tr_export_members_stage(active->id, stage);
    return part->is_done &&
           (part->name[0] == '\0' || tr_lake_stage_has(active->export->parts.lake, &active->tenant,
                                                       stage, part->name, &part->written));
}

/* ---- the ends */

static uint32_t count_files(const tr_export_run *run)
{
    uint32_t files = 0;
    for (uint32_t p = 0; p < run->partitions; p++)
        files += run->members[p].name[0] != '\0';
    return files;
}

bool tr_export_members_are_placed(const tr_export_run *run)
{
    const tr_export_active *active = run->active;
    const char *id = members_of(run->evaluation);
    for (uint32_t p = 0; run->evaluation != NULL && p < run->partitions; p++) {
        const tr_evaluated *part = &run->members[p];
        if (!part->is_done || (part->name[0] != '\0' &&
                               !tr_lake_has(active->export->parts.lake, &active->tenant,
                                            TR_MEMBERSHIP_FOLDER, id, part->name, &part->written)))
            return false;
    }
    return true;
}

tr_code tr_export_members_publish(const tr_export_run *run, tr_err *err)
{
    const tr_export_active *active = run->active;
    tr_lake *lake = active->export->parts.lake;
    const char *id = members_of(run->evaluation);
    char stage[48];
    if (run->evaluation == NULL || count_files(run) == 0)
        return TR_OK;
    tr_export_members_stage(active->id, stage);
    TR_TRY(tr_lake_remove_batch(lake, &active->tenant, TR_MEMBERSHIP_FOLDER, id, err));
    TR_TRY(tr_lake_publish(lake, &active->tenant, stage, TR_MEMBERSHIP_FOLDER, id, err));
    tr_crash_point("export_members_published");
    return TR_OK;
}

/* Members of data that is gone must not come back with this membership: then all is done again. */
static tr_code check_runs(tr_export_run *run, tr_err *err)
{
    const tr_export_active *active = run->active;
    const tr_code code = tr_store_has_runs(active->export->parts.store, &active->tenant,
                                           json_object_get(run->json, "runs"), err);
    run->is_stale = code == TR_NOT_FOUND;
    return code;
}

tr_code tr_export_members_commit(tr_export_run *run, json_t *job, tr_err *err)
{
    const tr_export_active *active = run->active;
    json_t *metrics = json_object();
    if (run->evaluation == NULL) {
        json_decref(metrics);
        return TR_OK;
    }
    json_t *files = tr_evaluated_files(run->members, run->partitions);
    tr_code code = metrics == NULL || files == NULL ? no_memory(err) : TR_OK;
    if (code == TR_OK)
        code = check_runs(run, err);
    if (code == TR_OK)
        code =
            tr_membership_replace(active->export->parts.catalog, &active->tenant,
                                  tr_export_group(run->evaluation), files, run->members_gone, err);
    if (code == TR_OK)
        code = tr_evaluated_begin_metrics(metrics, err);
    if (code == TR_OK)
        code = tr_evaluated_add_metrics(metrics, run->evaluation, 0, run->members, run->partitions,
                                        err);
    if (code == TR_OK && json_array_size(run->problems) > 0 &&
        json_object_set(metrics, "errors", run->problems) != 0)
        code = no_memory(err);
    if (code == TR_OK &&
        json_object_set(json_object_get(job, "metrics"), "segmentation", metrics) != 0)
        code = no_memory(err);
    json_decref(metrics);
    json_decref(files);
    return code;
}

tr_code tr_export_members_drop(const tr_export_active *active, const char *id, tr_err *err)
{
    tr_lake *lake = active->export->parts.lake;
    char stage[48];
    tr_export_members_stage(active->id, stage);
    TR_TRY(tr_lake_drop_stage(lake, &active->tenant, stage, err));
    if (id[0] == '\0')
        return TR_OK;
    return tr_lake_remove_batch(lake, &active->tenant, TR_MEMBERSHIP_FOLDER, id, err);
}

tr_code tr_export_members_run(const tr_export_active *active, char out[32], tr_err *err)
{
    tr_object plan = {0};
    const tr_code code = tr_catalog_get(active->export->parts.catalog, &active->tenant,
                                        "export_plan", active->id, &plan, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    (void)snprintf(out, 32, "%s", members_of(json_object_get(plan.doc, "evaluation")));
    tr_object_clear(&plan);
    return TR_OK;
}
