/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - the coordinator of one job: partitions into parts.
 *
 *     plan --open--> partitions 0 1 2 3 ... n
 *                              |   |       |      each on some worker:
 *     known and intact: kept   x   v       v      merge -> stage file -> sync, hash -> export_part
 *     known and intact: kept   x   v       v      merge -> stage file -> sync, hash -> export_part
 *                                                                          (several: record.c)
 * A part is known only after its file is on the disk, so whatever a crash interrupts, what the
 * catalog lists can be checked by hash, and all else is made again, to the same bytes.
 */
#include "export/export_internal.h"

#include "base/limits.h"
#include "base/log.h"

typedef struct counting {
    json_t *namespaces;
    bool is_bad;
} counting;

static void count_namespace(void *ctx, tr_str namespace_code, uint64_t profiles)
{
    counting *c = ctx;
    const char *at = (const char *)namespace_code.at;
    const json_t *before = json_object_getn(c->namespaces, at, namespace_code.len);
    const json_int_t sum = json_integer_value(before) + (json_int_t)profiles;
    if (json_object_setn_new(c->namespaces, at, namespace_code.len, json_integer(sum)) != 0)
        c->is_bad = true;
}

/* Merges a partition into its file of the stage. Without profiles there is no file, unless
 * `is_kept`. */
static tr_code write_part(tr_export_run *run, uint32_t index, bool is_kept, tr_export_part *part,
                          tr_err *err)
{
    tr_export_active *active = run->active;
    const uint32_t partition = index % run->partitions, slot = index / run->partitions;
    char stage[48];
    tr_lake_file file = {.file = TR_FILE_NONE};
    tr_merge_stats stats = {0};
    counting c = {.namespaces = json_object()};
    *part = (tr_export_part){.namespaces = c.namespaces};
    (void)snprintf(part->name, sizeof part->name, "part-%05u.parquet", partition);
    tr_export_stage(active->id, slot, run->slot_count, stage);
    tr_code code =
        tr_lake_create(active->export->parts.lake, &active->tenant, stage, part->name, &file, err);
    if (code == TR_OK && run->evaluation != NULL && slot > 0)
        code = tr_export_members_load(run, index, err);
    if (code == TR_OK)
        code = tr_merge_partition(run->plan.slots[slot].merge, partition,
                                  (tr_sink){tr_lake_write, &file}, &active->cancel, count_namespace,
                                  &c, &stats, err);
    if (code == TR_OK && (c.is_bad || c.namespaces == NULL))
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory to count namespaces");
    part->profiles = stats.profiles;
    if (code == TR_OK && stats.profiles == 0 && !is_kept)
        part->name[0] = '\0';
    else if (code == TR_OK)
        code = tr_lake_finish(&file, &part->written, err);
    tr_lake_abandon(&file);
    if (code == TR_OK && run->evaluation != NULL && slot == 0)
        code = tr_export_members_save(run, partition, err);
    if (run->evaluation != NULL)
        tr_export_fresh_close(&run->plan.fresh[index]);
    part->is_done = code == TR_OK;
    return code;
}

static tr_code make_part(tr_export_run *run, uint32_t partition, bool is_kept, tr_err *err)
{
    tr_export_part *part = &run->parts[partition];
    json_decref(part->namespaces);
    tr_code code = write_part(run, partition, is_kept, part, err);
    if (code != TR_OK)
        return code;
    tr_crash_point("export_part_written");
    TR_TRY(tr_export_note_part(run, partition, err));
    atomic_fetch_add(&run->active->profiles, part->profiles);
    atomic_fetch_add(&run->active->bytes, part->written.bytes);
    return TR_OK;
}

static tr_code run_task(void *ctx, uint32_t index, tr_err *err)
{
    tr_export_run *run = ctx;
    TR_TRY(make_part(run, run->todo[run->todo_from + index], false, err));
    atomic_fetch_add(&run->active->partitions_done, 1);
    return TR_OK;
}

/* Reads what the catalog says of an earlier attempt's part. */
static tr_code load_part(void *ctx, const tr_object *object, tr_err *err)
{
    tr_export_run *run = ctx;
    const char *colon = strchr(object->id, ':');
    int64_t partition = -1;
    if (colon == NULL || !tr_str_to_i64(tr_str_of(colon + 1), &partition) || partition < 0 ||
        partition >= run->part_count)
        return TR_OK;
    tr_export_part part = {.is_done = true,
                           .profiles = (uint64_t)tr_json_int(object->doc, "rows", 0),
                           .written.bytes = (uint64_t)tr_json_int(object->doc, "bytes", 0)};
    (void)snprintf(part.name, sizeof part.name, "%s", tr_json_text(object->doc, "name", ""));
    (void)snprintf(part.written.xxh128, sizeof part.written.xxh128, "%s",
                   tr_json_text(object->doc, "xxh128", ""));
    part.namespaces = json_deep_copy(json_object_get(object->doc, "namespaces"));
    if (part.namespaces == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to keep a part");
    run->parts[partition] = part;
    const json_t *members = json_object_get(object->doc, "members");
    if (run->evaluation != NULL && partition < run->partitions && members != NULL)
        return tr_evaluated_of_json(members, &run->members[partition], err);
    return TR_OK;
}

static tr_code load_parts(tr_export_run *run, tr_err *err)
{
    const tr_export_active *active = run->active;
    const tr_catalog_filter of_job = {.parent = active->id};
    run->slot_count = run->plan.slot_count;
    run->partitions = run->plan.partitions;
    run->part_count = run->slot_count * run->partitions;
    run->parts = tr_alloc_zeroed(run->part_count, sizeof *run->parts);
    run->todo = tr_alloc_zeroed(run->part_count, sizeof *run->todo);
    if (run->evaluation != NULL)
        run->members = tr_alloc_zeroed(run->partitions, sizeof *run->members);
    if (run->parts == NULL || run->todo == NULL ||
        (run->evaluation != NULL && run->members == NULL))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u parts", run->part_count);
    return tr_catalog_list(active->export->parts.catalog, &active->tenant, "export_part", &of_job,
                           load_part, run, err);
}

static bool is_staged(const tr_export_run *run, uint32_t index)
{
    const tr_export_active *active = run->active;
    const tr_export_part *part = &run->parts[index];
    char stage[48];
    tr_export_stage(active->id, index / run->partitions, run->slot_count, stage);
    if (run->evaluation != NULL && index < run->partitions &&
        !tr_export_members_are_staged(run, index))
        return false;
    return part->name[0] == '\0' || tr_lake_stage_has(active->export->parts.lake, &active->tenant,
                                                      stage, part->name, &part->written);
}

/* Keeps the parts whose bytes are all there; the rest is to do. */
static void choose_todo(tr_export_run *run)
{
    tr_export_active *active = run->active;
    uint32_t kept = 0;
    for (uint32_t p = 0; p < run->part_count; p++) {
        tr_export_part *part = &run->parts[p];
        part->is_done = part->is_done && is_staged(run, p);
        if (!part->is_done) {
            run->todo[run->todo_count++] = p;
            continue;
        }
        kept++;
        atomic_fetch_add(&active->profiles, part->profiles);
        atomic_fetch_add(&active->bytes, part->written.bytes);
    }
    atomic_store(&active->done_before, kept);
    atomic_store(&active->partitions_done, kept);
    atomic_store(&active->partitions_total, run->part_count);
    atomic_store(&active->begun_us, tr_time_monotonic_us());
    if (kept > 0)
        tr_log(TR_LOG_INFO, "export", "export_resumed", "job=%s kept=%u of=%u", active->id, kept,
               run->part_count);
}

static tr_code begin(void *ctx, tr_object *job, tr_err *err)
{
    int64_t *begin_ms = ctx;
    json_t *gateway = json_object_get(job->doc, "computeGatewayJobId");
    json_t *own = json_object_get(job->doc, "_");
    if (tr_export_is_finished(job->state) || tr_json_bool(own, "cancel", false))
        return TR_FAIL(err, TR_CANCELLED, "the job was cancelled");
    TR_TRY(tr_export_job_status(job, "PROCESSING", err));
    bool is_good = true;
    if (json_object_get(gateway, "exportJob") == NULL)
        is_good = json_object_set_new(gateway, "exportJob", json_string(tr_id_uuid().text)) == 0;
    if (own == NULL) /* when the first attempt began: a resumed job tells the whole time */
        is_good = is_good && json_object_set_new(job->doc, "_",
                                                 json_pack("{s:I}", "exportBegin",
                                                           (json_int_t)tr_time_now_ms())) == 0;
    *begin_ms = tr_json_int(json_object_get(job->doc, "_"), "exportBegin", tr_time_now_ms());
    return is_good ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory to begin an export");
}

static tr_code evaluate_again(const tr_export_active *active, tr_object *stored, tr_err *err)
{
    tr_export *export = active->export;
    char run[32];
    TR_TRY(tr_export_members_run(active, run, err));
    TR_TRY(tr_export_members_drop(active, run, err));
    (void)json_object_del(stored->doc, "evaluation");
    TR_TRY(tr_catalog_begin(export->parts.catalog, err));
    tr_code code = tr_export_parts_forget(export, &active->tenant, active->id, err);
    if (code == TR_OK)
        code = tr_export_settle(export, &active->tenant, stored, err);
    return tr_catalog_end(export->parts.catalog, code, err);
}

/* All that was made of the plan so far goes, with the plan's change. */
static tr_code forget_parts(const tr_export_active *active, tr_object *stored, tr_err *err)
{
    tr_catalog *catalog = active->export->parts.catalog;
    stored->updated_ms = 0;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_export_parts_forget(active->export, &active->tenant, active->id, err);
    if (code == TR_OK)
        code = tr_catalog_put(catalog, &active->tenant, "export_plan", stored, 0, err);
    return tr_catalog_end(catalog, code, err);
}

/* What the plan reads is gone: a later attempt starts over. A merged run goes when others take its
 * place, too: first from the runs that the plan names, as rows are those of the job's creation;
 * when these are gone as well, from the newest snapshot. */
static tr_code plan_again(tr_export_active *active, tr_object *stored, tr_err *err)
{
    tr_export *export = active->export;
    tr_snapshot *snapshot = NULL;
    const bool is_per_segment = tr_json_bool(stored->doc, "perSegment", false);
    const size_t slots =
        is_per_segment ? json_array_size(json_object_get(stored->doc, "segments")) : 1;
    tr_log(TR_LOG_WARN, "export", "export_planned_again",
           "job=%s reason=\"what its plan reads is gone\"", active->id);
    TR_TRY(tr_export_drop_stages(active, slots, err));
    const bool is_evaluation = json_object_get(stored->doc, "evaluate") != NULL;
    const bool had_merged = tr_json_text(stored->doc, "merged", "")[0] != '\0';
    (void)json_object_del(stored->doc, "merged");
    if (had_merged && !is_evaluation)
        return forget_parts(active, stored, err);
    (void)json_object_del(stored->doc, "stitched");
    if (is_evaluation)
        return evaluate_again(active, stored, err);
    TR_TRY(tr_store_snapshot(export->parts.store, &active->tenant, &snapshot, err));
    json_t *ids = tr_store_run_ids(snapshot);
    tr_store_release(export->parts.store, snapshot);
    if (ids == NULL || json_object_set_new(stored->doc, "runs", ids) != 0)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan an export");
    TR_TRY(tr_export_memberships(export, &active->tenant, stored->doc, err));
    return forget_parts(active, stored, err);
}

/* What a plan reads is stored before anything is made of it. */
static tr_code stitch_stored(const tr_export_active *active, tr_object *stored, tr_err *err)
{
    tr_catalog *catalog = active->export->parts.catalog;
    bool is_changed = false;
    TR_TRY(tr_export_plan_stitch(stored->doc, &active->export->parts, &active->tenant,
                                 &active->cancel, &is_changed, err));
    stored->updated_ms = 0;
    if (is_changed)
        TR_TRY(tr_catalog_put(catalog, &active->tenant, "export_plan", stored, 0, err));
    tr_crash_point("export_stitched");
    return TR_OK;
}

static tr_code note_part(void *ctx, const tr_object *object, tr_err *err)
{
    (void)object, (void)err;
    *(bool *)ctx = true;
    return TR_OK;
}

/* Parts without a note of a merged run were made of fragments: so are the others. */
static tr_code settle_merged(const tr_export_active *active, json_t *plan, tr_err *err)
{
    const tr_catalog_filter of_job = {.parent = active->id, .is_brief = true, .limit = 1};
    bool has_parts = false;
    if (json_object_get(plan, "merged") != NULL)
        return TR_OK;
    TR_TRY(tr_catalog_list(active->export->parts.catalog, &active->tenant, "export_part", &of_job,
                           note_part, &has_parts, err));
    return !has_parts || json_object_set_new(plan, "merged", json_string("")) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory to plan an export");
}

/* Which merged run is read is stored before anything is made of it. */
static tr_code note_merged(const tr_export_run *run, tr_object *stored, tr_err *err)
{
    const tr_export_active *active = run->active;
    const tr_materialized_run *merged = &run->plan.merged;
    if (merged->id[0] == '\0' || json_object_get(stored->doc, "merged") != NULL)
        return TR_OK;
    if (json_object_set_new(stored->doc, "merged", json_string(merged->id)) != 0)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan an export");
    stored->updated_ms = 0;
    return tr_catalog_put(active->export->parts.catalog, &active->tenant, "export_plan", stored, 0,
                          err);
}

/* The plan, and what of it outlives it. */
static tr_code open_stored(tr_export_run *run, tr_object *object, tr_err *err)
{
    tr_export_active *active = run->active;
    TR_TRY(stitch_stored(active, object, err));
    TR_TRY(settle_merged(active, object->doc, err));
    json_t *stored = object->doc;
    json_decref(run->json);
    run->json = json_incref(stored);
    TR_TRY(tr_export_plan_open(stored, &active->export->parts, &active->tenant, &active->cancel,
                               &run->plan, err));
    TR_TRY(note_merged(run, object, err));
    run->evaluation = json_object_get(stored, "evaluation");
    run->problems = json_incref(run->plan.problems);
    return TR_OK;
}

/* Planning again is tried again: data may be taken back between the new list and its opening. */
static tr_code open_plan(tr_export_run *run, tr_err *err)
{
    tr_export_active *active = run->active;
    tr_export *export = active->export;
    tr_object stored = {0};
    TR_TRY(tr_catalog_get(export->parts.catalog, &active->tenant, "export_plan", active->id,
                          &stored, err));
    tr_code code = tr_export_settle(export, &active->tenant, &stored, err);
    if (code == TR_OK)
        code = open_stored(run, &stored, err);
    for (int i = 0; i < TR_PLANS_IN_A_ROW_MAX && code == TR_NOT_FOUND; i++) {
        code = plan_again(active, &stored, err);
        if (code == TR_OK)
            code = open_stored(run, &stored, err);
    }
    tr_object_clear(&stored);
    return code;
}

static tr_code check_part(void *ctx, uint32_t index, tr_err *err)
{
    if (!is_staged(ctx, index))
        return TR_FAIL(err, TR_CORRUPT, "part %u is not what was written", index);
    return TR_OK;
}

/* Every part is read again and its hash compared: what readers get is what was merged. */
static tr_code check_parts(tr_export_run *run, tr_err *err)
{
    for (uint32_t slot = 0; slot < run->slot_count; slot++) {
        const uint32_t first = slot * run->partitions;
        uint32_t files = 0;
        for (uint32_t p = first; p < first + run->partitions; p++)
            files += run->parts[p].name[0] != '\0';
        if (files == 0) /* a batch always has a file, so that readers see its columns */
            TR_TRY(make_part(run, first, true, err));
    }
    TR_TRY(tr_export_record_parts(run, err));
    return tr_compute_run(run->active->export->parts.compute, run->part_count, check_part, run,
                          &run->active->cancel, err);
}

/* With an evaluation, the first slot's parts come before the others. */
static tr_code run_tasks(tr_export_run *run, tr_err *err)
{
    tr_export_active *active = run->active;
    tr_compute *compute = active->export->parts.compute;
    uint32_t first = run->todo_count;
    while (run->evaluation != NULL && first > 0 && run->todo[first - 1] >= run->partitions)
        first--;
    TR_TRY(tr_compute_run(compute, first, run_task, run, &active->cancel, err));
    run->todo_from = first;
    return tr_compute_run(compute, run->todo_count - first, run_task, run, &active->cancel, err);
}

static tr_code work(tr_export_run *run, tr_err *err)
{
    tr_export_active *active = run->active;
    tr_export *export = active->export;
    TR_TRY(
        tr_export_job_edit(export, &active->tenant, active->id, begin, &run->export_begin_ms, err));
    tr_crash_point("export_processing");
    TR_TRY(open_plan(run, err));
    tr_crash_point("export_planned");
    TR_TRY(load_parts(run, err));
    if (tr_export_is_placed(run)) /* a crash came between the rename and the catalog */
        return tr_export_commit(run, err);
    TR_TRY(tr_export_notes_open(run, err));
    choose_todo(run);
    TR_TRY(run_tasks(run, err));
    TR_TRY(tr_export_record_parts(run, err));
    TR_TRY(check_parts(run, err));
    tr_crash_point("export_checked");
    return tr_export_publish(run, err);
}

static bool is_cancelled_by_client(tr_export_active *active)
{
    tr_object job = {0};
    bool is_marked = atomic_load(&active->cancel);
    if (tr_catalog_get(active->export->parts.catalog, &active->tenant, "export", active->id, &job,
                       NULL) == TR_OK)
        is_marked = is_marked || tr_json_bool(json_object_get(job.doc, "_"), "cancel", false) ||
                    tr_export_is_finished(job.state);
    tr_object_clear(&job);
    return is_marked;
}

static void close_run(tr_export_run *run)
{
    for (uint32_t p = 0; run->parts != NULL && p < run->part_count; p++)
        json_decref(run->parts[p].namespaces);
    for (uint32_t p = 0; run->members != NULL && p < run->partitions; p++)
        json_decref(run->members[p].segments);
    tr_export_notes_close(run);
    json_decref(run->problems);
    json_decref(run->json);
    tr_free(run->members);
    tr_free(run->parts);
    tr_free(run->todo);
}

/* One attempt; false: data that it evaluated was taken back, or the merged run that it read was
 * damaged, and there must be another. */
static bool try_job(tr_export_active *active)
{
    tr_export_run run = {.active = active};
    tr_err err = {0};
    atomic_store(&active->profiles, 0);
    atomic_store(&active->bytes, 0);
    const tr_code code = work(&run, &err);
    const bool is_damaged =
        tr_export_plan_is_to_begin_again(&run.plan, &active->export->parts, &active->tenant, code);
    tr_export_plan_close(&run.plan); /* lets the runs go before the end is told */
    const bool is_stopping = tr_compute_is_stopping(active->export->parts.compute);
    const bool is_again = is_damaged || (run.is_stale && code == TR_NOT_FOUND);
    if (code == TR_CANCELLED && is_cancelled_by_client(active))
        tr_export_end_cancelled(active);
    else if (code != TR_OK && !is_again && !(code == TR_CANCELLED && is_stopping))
        tr_export_end_failed(active, code, &err);
    /* else: done; or the server stops, and the job goes on at its next start */
    close_run(&run);
    return !is_again;
}

void tr_export_run_job(void *ctx)
{
    while (!try_job(ctx))
        continue;
}
