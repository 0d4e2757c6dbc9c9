/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - which events of a profile are exported, and in which order.
 *
 * Deduplication comes before the bounds on ingestion time: an event is what its newest version says, whatever
 * the bounds. So compaction, which drops older versions, never changes an answer.
 */
#include "merge/merge_internal.h"
#include "codec/hash.h"
#include "store/sort.h"

#include <string.h>

typedef struct event_order {
    const tr_str *ids;
    const uint64_t *hashes; /* of ids: most comparisons end here */
    const int64_t *ingested, *times;
} event_order;

static int compare_versions(const void *ctx, uint32_t a, uint32_t b)
{
    const event_order *o = ctx;
    if (o->hashes[a] != o->hashes[b])
        return o->hashes[a] < o->hashes[b] ? -1 : 1;
    const int ids = tr_str_compare(o->ids[a], o->ids[b]);
    if (ids != 0)
        return ids;
    if (o->ingested[a] != o->ingested[b])
        return o->ingested[a] > o->ingested[b] ? -1 : 1;
    return a > b ? -1 : a < b;
}

static int compare_times(const void *ctx, uint32_t a, uint32_t b)
{
    const event_order *o = ctx;
    if (o->times[a] != o->times[b])
        return o->times[a] < o->times[b] ? -1 : 1;
    const int ids = tr_str_compare(o->ids[a], o->ids[b]);
    return ids != 0 ? ids : a < b ? -1 : a > b;
}

static int compare_arrivals(const void *ctx, uint32_t a, uint32_t b)
{
    const event_order *o = ctx;
    if (o->ingested[a] != o->ingested[b])
        return o->ingested[a] > o->ingested[b] ? -1 : 1;
    return a > b ? -1 : a < b;
}

static uint32_t member_leaf(const tr_run *run, const char *name, tr_kind kind)
{
    const tr_type *member = tr_type_member(tr_parquet_shape(run->file)->root, tr_str_of(name));
    return member == NULL || member->kind != kind ? UINT32_MAX : member->first_leaf;
}

/* _id and timestamp of every event row. Strings stay in the arena for the whole partition. */
static tr_code read_events(tr_merge_work *work, tr_err *err)
{
    const tr_rows *rows = &work->events;
    tr_str *ids = tr_arena_array(&work->arena, rows->end, sizeof *ids);
    int64_t *times = tr_arena_array(&work->arena, rows->end, sizeof *times);
    if (ids == NULL || times == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", rows->end);
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        const tr_slice *slice = &rows->slices[s];
        const tr_run *run = rows->runs[slice->run];
        const uint32_t id = member_leaf(run, "_id", TR_KIND_STRING);
        const uint32_t time = member_leaf(run, "timestamp", TR_KIND_TIMESTAMP);
        tr_column column;
        if (id != UINT32_MAX) {
            TR_TRY(tr_parquet_read(run->file, slice->group, id, slice->from, slice->rows, &work->arena,
                                   &column, err));
            for (uint32_t i = 0; i < slice->rows; i++)
                if (column.codes[i] != 0)
                    ids[slice->base + i] = tr_column_string(&column, i);
        }
        if (time != UINT32_MAX) {
            TR_TRY(tr_parquet_read(run->file, slice->group, time, slice->from, slice->rows, &work->arena,
                                   &column, err));
            for (uint32_t i = 0; i < slice->rows; i++)
                if (column.codes[i] != 0)
                    times[slice->base + i] = (int64_t)tr_column_word(&column, i);
        }
    }
    work->event_ids = ids;
    work->event_times = times;
    return TR_OK;
}

static tr_code spare_for(const tr_groups *groups, tr_arena *arena, uint32_t **out, tr_err *err)
{
    uint32_t most = 0;
    for (uint32_t g = 0; g < groups->count; g++)
        if (groups->start[g + 1] - groups->start[g] > most)
            most = groups->start[g + 1] - groups->start[g];
    *out = tr_arena_alloc(arena, (size_t)most * sizeof **out);
    return *out != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory to sort %u events", most);
}

/* An event without an _id is like no other. */
static uint32_t unique(const event_order *order, uint32_t *rows, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || order->ids[rows[i]].at == NULL ||
            order->hashes[rows[kept - 1]] != order->hashes[rows[i]] ||
            !tr_str_equal(order->ids[rows[kept - 1]], order->ids[rows[i]]))
            rows[kept++] = rows[i];
    return kept;
}

tr_code tr_merge_dedupe_events(tr_merge_work *work, tr_err *err)
{
    tr_groups *groups = &work->event_groups;
    uint32_t *spare;
    uint64_t *hashes = tr_arena_array(&work->arena, work->events.end, sizeof *hashes);
    if (hashes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", work->events.end);
    TR_TRY(read_events(work, err));
    TR_TRY(spare_for(groups, &work->arena, &spare, err));
    for (uint32_t row = 1; row < work->events.end; row++)
        hashes[row] = tr_hash64_of(work->event_ids[row]);
    const event_order order = {.ids = work->event_ids, .hashes = hashes, .ingested = work->event_ingested};
    uint32_t to = 0;
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t from = groups->start[g];
        uint32_t *rows = groups->rows + from, count = groups->start[g + 1] - from;
        if (count > 1) {
            tr_sort_rows(rows, spare, count, compare_versions, &order);
            count = unique(&order, rows, count);
        }
        memmove(groups->rows + to, rows, count * sizeof *rows);
        groups->start[g] = to;
        to += count;
    }
    groups->start[groups->count] = to;
    return TR_OK;
}

static bool is_within(const tr_merge_spec *spec, int64_t ingested_us)
{
    return (spec->event_after_us == TR_TIME_NONE || ingested_us > spec->event_after_us) &&
           (spec->event_before_us == TR_TIME_NONE || ingested_us < spec->event_before_us);
}

tr_code tr_merge_sort_events(tr_merge_work *work, tr_err *err)
{
    tr_groups *groups = &work->event_groups;
    const event_order order = {.ids = work->event_ids, .times = work->event_times};
    uint32_t *spare, to = 0;
    TR_TRY(spare_for(groups, &work->arena, &spare, err));
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t from = groups->start[g], end = groups->start[g + 1], start = to;
        for (uint32_t i = from; i < end; i++)
            if (is_within(&work->plan->spec, work->event_ingested[groups->rows[i]]))
                groups->rows[to++] = groups->rows[i];
        tr_sort_rows(groups->rows + start, spare, to - start, compare_times, &order);
        groups->start[g] = start;
    }
    groups->start[groups->count] = to;
    return TR_OK;
}

/* Both sides' slices end to end; the events' numbers follow the records'. */
static tr_code join_rows(tr_merge_work *work, tr_rows *out, tr_err *err)
{
    const tr_rows *a = &work->records, *b = &work->events;
    tr_rows rows = {.run_count = a->run_count + b->run_count, .slice_count = a->slice_count + b->slice_count,
                    .end = a->end};
    const tr_run **runs = tr_arena_array(&work->arena, rows.run_count, sizeof *runs);
    rows.slices = tr_arena_array(&work->arena, rows.slice_count, sizeof *rows.slices);
    if (runs == NULL || rows.slices == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a partition of %u row groups", rows.slice_count);
    for (uint32_t r = 0; r < rows.run_count; r++)
        runs[r] = r < a->run_count ? a->runs[r] : b->runs[r - a->run_count];
    for (uint32_t s = 0; s < rows.slice_count; s++) {
        rows.slices[s] = s < a->slice_count ? a->slices[s] : b->slices[s - a->slice_count];
        if (s < a->slice_count)
            continue;
        rows.slices[s].run += a->run_count;
        rows.slices[s].base = rows.end;
        if (__builtin_add_overflow(rows.end, rows.slices[s].rows, &rows.end))
            return TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 rows");
    }
    rows.runs = runs;
    *out = rows;
    return TR_OK;
}

tr_code tr_merge_identity_rows(tr_merge_work *work, tr_rows *rows, tr_groups *groups, tr_err *err)
{
    const tr_groups *records = &work->record_groups, *events = &work->event_groups;
    if (!work->plan->spec.with_event_only) {
        *rows = work->records;
        *groups = *records;
        return TR_OK;
    }
    const uint32_t count = records->count;
    const uint32_t shift = work->records.end - 1;
    const event_order order = {.ingested = work->event_ingested};
    tr_groups out = {.count = count};
    uint32_t *spare;
    TR_TRY(join_rows(work, rows, err));
    TR_TRY(spare_for(events, &work->arena, &spare, err));
    out.start = tr_arena_array(&work->arena, (size_t)count + 1, sizeof *out.start);
    out.rows = tr_arena_alloc(&work->arena, ((size_t)records->start[count] + events->start[count]) * sizeof *out.rows);
    if (out.start == NULL || out.rows == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", count);
    for (uint32_t g = 0, to = 0; g < count; g++) {
        const uint32_t own = records->start[g + 1] - records->start[g];
        if (own > 0) {
            memcpy(out.rows + to, records->rows + records->start[g], own * sizeof *out.rows);
            to += own;
        } else {
            const uint32_t own_events = events->start[g + 1] - events->start[g];
            memcpy(out.rows + to, events->rows + events->start[g], own_events * sizeof *out.rows);
            tr_sort_rows(out.rows + to, spare, own_events, compare_arrivals, &order);
            for (uint32_t i = 0; i < own_events; i++)
                out.rows[to + i] += shift;
            to += own_events;
        }
        out.start[g + 1] = to;
    }
    *groups = out;
    return TR_OK;
}
