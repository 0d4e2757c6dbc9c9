/* SPDX-License-Identifier: Apache-2.0 */
/* partition.c - one partition, from keys to a finished file; see merge.h. */
#include "merge/merge_internal.h"

#include <string.h>

enum { GROUP_ROWS_MAX = 1000 * 1000 };

typedef struct writing {
    tr_merge_out out;
    tr_parquet_writer *writer;
} writing;

static tr_code check_cancel(const atomic_bool *cancel, tr_err *err)
{
    if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed))
        return TR_FAIL(err, TR_CANCELLED, "the merge was cancelled");
    return TR_OK;
}

static tr_code put_column(void *ctx, uint32_t leaf, const tr_column *column, tr_err *err)
{
    const writing *w = ctx;
    TR_TRY(tr_parquet_put(w->writer, leaf, column, err));
    return check_cancel(w->out.cancel, err);
}

/* One row group: the profiles [from, to). */
static tr_code write_group(writing *w, uint32_t from, uint32_t to, tr_err *err)
{
    TR_TRY(tr_parquet_begin_group(w->writer, to - from, err));
    TR_TRY(tr_merge_columns(&w->out, from, to, err));
    return tr_parquet_end_group(w->writer, err);
}

static tr_code write_file(writing *w, tr_sink sink, tr_err *err)
{
    const tr_merge_work *work = w->out.work;
    const uint32_t profiles = work->record_groups.count;
    TR_TRY(tr_parquet_writer_open(sink, work->plan->spec.output, &(tr_parquet_options){0}, &w->writer, err));
    tr_code code = TR_OK;
    for (uint32_t from = 0; from < profiles && code == TR_OK; from += GROUP_ROWS_MAX) {
        const uint32_t to = profiles - from > GROUP_ROWS_MAX ? from + GROUP_ROWS_MAX : profiles;
        code = write_group(w, from, to, err);
    }
    if (code == TR_OK)
        code = tr_parquet_finish(w->writer, err);
    tr_parquet_writer_close(w->writer);
    return code;
}

/* Every row of a merged run is a profile, and there are no others. */
static tr_code number_profiles(tr_merge_work *work, tr_err *err)
{
    tr_merge_memory *memory = work->memory;
    const uint32_t count = work->records.end - 1;
    if (count + 2 > memory->number_count) {
        uint32_t *numbers = tr_grow_array(memory->numbers, (size_t)count + 2, sizeof *numbers);
        if (numbers == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", count);
        for (uint32_t i = 0; i < count + 2; i++)
            numbers[i] = i;
        memory->numbers = numbers;
        memory->number_count = count + 2;
    }
    work->record_groups = (tr_groups){count, memory->numbers, memory->numbers + 1};
    work->is_numbered = true;
    return TR_OK;
}

/* Somebody is likely to ask for the profiles' keys. */
static bool needs_keys(const tr_merge_plan *plan)
{
    return plan->spec.keep != NULL || plan->members.run_count > 0 ||
           plan->clusters.run_count > 0 || tr_merge_walks_keys_alone(plan);
}

tr_code tr_merge_walk(tr_merge_work *work, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    const bool reads_events = tr_merge_reads_events(plan);
    TR_TRY(tr_rows_of(&plan->records.borders, work->index, &work->memory->rows, &work->records, err));
    if (plan->is_merged && !reads_events)
        return number_profiles(work, err);
    if (reads_events)
        TR_TRY(tr_rows_of(&plan->events.borders, work->index, &work->memory->rows, &work->events, err));
    const tr_walk walk = {.records = &work->records, .events = reads_events ? &work->events : NULL,
                          .with_event_only = tr_merge_walks_event_only(plan),
                          .is_by_key = tr_merge_walks_keys_alone(plan),
                          .leads = work->sees_all ? NULL : plan->leads,
                          .scratch = &work->memory->scratch[0],
                          .keys = needs_keys(plan) ? &work->keys : NULL};
    TR_TRY(tr_walk_profiles(&walk, &work->memory->rows, &work->record_groups, &work->event_groups, err));
    if (plan->is_merged && walk.is_by_key && work->record_groups.count == work->records.end - 1)
        return number_profiles(work, err);
    return TR_OK;
}

/* Keys, ranks and filters: which profiles there are, and their rows in order. */
static tr_code group_profiles(tr_merge_work *work, tr_merge_stats *stats, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    TR_TRY(tr_merge_walk(work, err));
    stats->profiles_seen = work->record_groups.count;
    stats->fragments = work->records.end - 1;
    if (!plan->spec.keep_evaluates)
        TR_TRY(tr_merge_filter(work, err));
    stats->profiles_kept = work->record_groups.count;
    if (plan->spec.keep != NULL)
        TR_TRY(tr_merge_ask_keeper(work, err));
    if (plan->spec.keep_evaluates)
        TR_TRY(tr_merge_filter(work, err));
    stats->profiles = work->record_groups.count;
    return TR_OK;
}

/* Everything that columns are made from, then the file. */
static tr_code write_partition(writing *w, tr_merge_work *work, tr_sink sink, tr_merge_stats *stats, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    TR_TRY(tr_merge_rank(work, err));
    TR_TRY(tr_merge_system_rows(work, &w->out, err));
    if (plan->events_unit != UINT32_MAX) {
        TR_TRY(tr_merge_fold_events(work, err));
        TR_TRY(tr_merge_bound_events(work, err));
        stats->events = work->event_groups.start[work->event_groups.count];
    }
    return write_file(w, sink, err);
}

tr_code tr_merge_begin(tr_merge_work *work, const atomic_bool *cancel, tr_err *err)
{
    TR_TRY(check_cancel(cancel, err));
    work->memory = tr_merge_memory_take(work->plan->pool);
    if (work->memory == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to merge a partition");
    tr_arena_reset(&work->memory->rows);
    return TR_OK;
}

tr_code tr_merge_partition(const tr_merge_plan *plan, uint32_t index, tr_sink sink,
                           const atomic_bool *cancel, tr_merge_count_namespace count, void *count_ctx,
                           tr_merge_stats *stats, tr_err *err)
{
    tr_merge_stats own = {0};
    tr_merge_work work = {.plan = plan, .index = index};
    writing w = {.out = {.work = &work, .cancel = cancel, .put = put_column, .count = count,
                         .count_ctx = count_ctx}};
    w.out.ctx = &w;
    TR_TRY(tr_merge_begin(&work, cancel, err));
    tr_code code = group_profiles(&work, &own, err);
    if (code == TR_OK)
        code = write_partition(&w, &work, sink, &own, err);
    tr_merge_memory_give(plan->pool, work.memory);
    if (code == TR_OK)
        *stats = own;
    return code;
}

tr_code tr_merge_look(const tr_merge_plan *plan, uint32_t index, const atomic_bool *cancel,
                      tr_merge_stats *stats, tr_err *err)
{
    tr_merge_stats own = {0};
    tr_merge_work work = {.plan = plan, .index = index, .sees_all = true};
    TR_TRY(tr_merge_begin(&work, cancel, err));
    const tr_code code = group_profiles(&work, &own, err);
    tr_merge_memory_give(plan->pool, work.memory);
    if (code == TR_OK)
        *stats = own;
    return code;
}
