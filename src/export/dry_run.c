/* SPDX-License-Identifier: Apache-2.0 */
/* dry_run.c - what an export would hold, without a job, a batch or a file.
 *
 * Profiles are counted exactly: keys, filters and memberships of every partition are looked at, no
 * columns. Bytes and time come from a few partitions that are merged into nothing, and are
 * scaled by profiles; when these are all partitions, bytes are exact, too.
 */
#include "export/export_internal.h"

#include "base/limits.h"

enum { SAMPLES_MAX = 4 };

typedef struct dry_run {
    tr_export *export;
    tr_export_plan plan;
    tr_merge_stats *stats; /* [slots * partitions] */
    uint32_t sampled[SAMPLES_MAX];
    uint64_t sample_bytes[SAMPLES_MAX];
    uint32_t sample_count;
    uint64_t sampled_profiles;
    int64_t look_us, sample_us;
} dry_run;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a dry run");
}

static tr_code look(void *ctx, uint32_t index, tr_err *err)
{
    const dry_run *d = ctx;
    return tr_merge_look(d->plan.slots[index / d->plan.partitions].merge,
                         index % d->plan.partitions, NULL, &d->stats[index], err);
}

static tr_code count_bytes(void *ctx, tr_str bytes, tr_err *err)
{
    (void)err;
    *(uint64_t *)ctx += bytes.len;
    return TR_OK;
}

static tr_code sample(void *ctx, uint32_t index, tr_err *err)
{
    dry_run *d = ctx;
    const uint32_t at = d->sampled[index];
    const tr_sink sink = {count_bytes, &d->sample_bytes[index]};
    tr_merge_stats stats;
    return tr_merge_partition(d->plan.slots[at / d->plan.partitions].merge, at % d->plan.partitions,
                              sink, NULL, NULL, NULL, &stats, err);
}

/* Partitions with profiles, spread over all. */
static void choose_samples(dry_run *d, uint32_t all)
{
    const uint32_t stride = all > SAMPLES_MAX ? all / SAMPLES_MAX : 1;
    for (uint32_t at = 0; at < all && d->sample_count < SAMPLES_MAX; at += stride) {
        if (d->stats[at].profiles == 0)
            continue;
        d->sampled_profiles += d->stats[at].profiles;
        d->sampled[d->sample_count++] = at;
    }
}

static tr_code measure(dry_run *d, tr_err *err)
{
    tr_compute *compute = d->export->parts.compute;
    const uint32_t all = d->plan.slot_count * d->plan.partitions;
    d->stats = tr_alloc_zeroed(all, sizeof *d->stats);
    if (d->stats == NULL)
        return no_memory(err);
    const int64_t begin = tr_time_monotonic_us();
    TR_TRY(tr_compute_run(compute, all, look, d, NULL, err));
    const int64_t looked = tr_time_monotonic_us();
    choose_samples(d, all);
    TR_TRY(tr_compute_run(compute, d->sample_count, sample, d, NULL, err));
    d->look_us = looked - begin;
    d->sample_us = tr_time_monotonic_us() - looked;
    return TR_OK;
}

/* Profiles there are at all, with those that are only events. */
static tr_code count_all(dry_run *d, const json_t *plan, const tr_tenant *tenant, uint64_t *out,
                         tr_err *err)
{
    dry_run open = {.export = d->export};
    json_t *wide = json_deep_copy(plan);
    *out = 0;
    if (wide == NULL || json_object_set_new(wide, "emptyProfiles", json_true()) != 0) {
        json_decref(wide);
        return no_memory(err);
    }
    (void)json_object_del(wide, "segments");
    (void)json_object_del(wide, "perSegment");
    (void)json_object_del(wide, "updatedAfter");
    tr_code code = tr_export_plan_open(wide, &d->export->parts, tenant, NULL, &open.plan, err);
    if (code == TR_OK)
        open.stats = tr_alloc_zeroed(open.plan.partitions, sizeof *open.stats);
    if (code == TR_OK)
        code = open.stats == NULL ? no_memory(err)
                                  : tr_compute_run(d->export->parts.compute, open.plan.partitions,
                                                   look, &open, NULL, err);
    for (uint32_t p = 0; code == TR_OK && p < open.plan.partitions; p++)
        *out += open.stats[p].profiles_seen;
    tr_free(open.stats);
    tr_export_plan_close(&open.plan);
    json_decref(wide);
    return code;
}

static json_t *column_names(const tr_shape *shape)
{
    json_t *names = json_array();
    for (uint32_t i = 0; i < shape->root->child_count; i++)
        (void)json_array_append_new(names, tr_json_str(shape->root->children[i]->name));
    return names;
}

/* Profiles of each batch. */
static json_t *batch_rows(const dry_run *d, const json_t *segments)
{
    json_t *batches = json_array();
    for (uint32_t slot = 0; slot < d->plan.slot_count; slot++) {
        json_int_t rows = 0;
        for (uint32_t p = 0; p < d->plan.partitions; p++)
            rows += (json_int_t)d->stats[slot * d->plan.partitions + p].profiles;
        json_t *batch = json_pack("{s:I}", "rows", rows);
        if (d->plan.slots[slot].segment != UINT32_MAX)
            (void)json_object_set(batch, "segmentId",
                                  json_object_get(json_array_get(segments, slot), "segmentId"));
        (void)json_array_append_new(batches, batch);
    }
    return batches;
}

static tr_code tell(const dry_run *d, const json_t *plan, uint64_t all, json_t **out, tr_err *err)
{
    uint64_t seen = 0, kept = 0, rows = 0, files = 0, bytes = 0;
    for (uint32_t slot = 0; slot < d->plan.slot_count; slot++) {
        uint64_t own_files = 0;
        for (uint32_t p = 0; p < d->plan.partitions; p++) {
            const tr_merge_stats *stats = &d->stats[slot * d->plan.partitions + p];
            seen += slot == 0 ? stats->profiles_seen : 0;
            kept += slot == 0 ? stats->profiles_kept : 0;
            rows += stats->profiles;
            own_files += stats->profiles > 0;
        }
        files += own_files == 0 ? 1 : own_files; /* a batch always has a file */
    }
    for (uint32_t i = 0; i < d->sample_count; i++)
        bytes += d->sample_bytes[i];
    const double scale = d->sampled_profiles == 0 ? 0 : (double)rows / (double)d->sampled_profiles;
    const uint64_t in = d->plan.slot_count > 1 || rows > kept ? 0 : kept - rows;
    json_t *removed =
        json_pack("{s:I, s:I}", "emptyProfiles", (json_int_t)(all > seen ? all - seen : 0),
                  "fromIngestTimestamp", (json_int_t)(seen - kept));
    if (d->plan.slot_count == 1)
        (void)json_object_set_new(removed, "segments", json_integer((json_int_t)in));
    json_t *told = json_pack(
        "{s:b, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o, s:o}", "dryRun", 1, "profiles",
        (json_int_t)(all > seen ? all : seen), "rows", (json_int_t)rows, "bytes",
        (json_int_t)((double)bytes * scale), "files", (json_int_t)files, "columns",
        column_names(&d->plan.shape), "columnCount", (json_int_t)d->plan.shape.leaf_count,
        "timeInMs", (json_int_t)(((double)d->sample_us * scale + (double)d->look_us) / 1000),
        "removed", removed, "batches", batch_rows(d, json_object_get(plan, "segments")));
    if (told == NULL)
        return no_memory(err);
    *out = told;
    return TR_OK;
}

/* A plan, opened. Data may be taken back between the two: then there is another plan. */
static tr_code open_plan(dry_run *d, const tr_tenant *tenant, const json_t *body, json_t **plan,
                         tr_err *err)
{
    tr_code code = TR_NOT_FOUND;
    for (int i = 0; i < TR_PLANS_IN_A_ROW_MAX && code == TR_NOT_FOUND; i++) {
        json_t *policy = NULL;
        json_decref(*plan);
        *plan = NULL;
        TR_TRY(tr_export_decide(d->export, tenant, body, &policy, plan, err));
        json_decref(policy);
        bool is_changed = false;
        code = tr_export_plan_stitch(*plan, &d->export->parts, tenant, NULL, &is_changed, err);
        if (code == TR_OK)
            code = tr_export_plan_open(*plan, &d->export->parts, tenant, NULL, &d->plan, err);
    }
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_BUSY, "the data changes too fast to look at it")
                                : code;
}

/* *is_again: a damaged merged run was met, and is no more */
static tr_code run_once(tr_export *export, const tr_tenant *tenant, const json_t *body,
                        json_t **out, bool *is_again, tr_err *err)
{
    dry_run d = {.export = export};
    json_t *plan = NULL;
    uint64_t all = 0;
    tr_code code = open_plan(&d, tenant, body, &plan, err);
    if (code == TR_OK)
        code = measure(&d, err);
    if (code == TR_OK && !tr_json_bool(plan, "emptyProfiles", false))
        code = count_all(&d, plan, tenant, &all, err);
    if (code == TR_NOT_FOUND && plan != NULL)
        code = TR_FAIL(err, TR_BUSY, "the data changes too fast to look at it");
    if (code == TR_OK)
        code = tell(&d, plan, all, out, err);
    *is_again = tr_export_plan_is_to_begin_again(&d.plan, &export->parts, tenant, code);
    tr_free(d.stats);
    tr_export_plan_close(&d.plan);
    json_decref(plan);
    return code;
}

tr_code tr_export_dry_run(tr_export *export, const tr_tenant *tenant, const json_t *body,
                          json_t **out, tr_err *err)
{
    bool is_again = false;
    const tr_code code = run_once(export, tenant, body, out, &is_again, err);
    return is_again ? run_once(export, tenant, body, out, &is_again, err) : code;
}
