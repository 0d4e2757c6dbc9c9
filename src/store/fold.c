/* SPDX-License-Identifier: Apache-2.0 */
/* fold.c - see fold.h. */
#include "store/fold.h"
#include "codec/hash.h"
#include "store/sort.h"

#include <string.h>

enum { FEW_ROWS = 16 };

tr_code tr_fold_make(const tr_rows *rows, const tr_groups *groups, tr_arena *arena, tr_fold *out, tr_err *err)
{
    tr_fold fold = {.rows = rows};
    uint32_t most = 0;
    for (uint32_t g = 0; g < groups->count; g++)
        if (groups->start[g + 1] - groups->start[g] > most)
            most = groups->start[g + 1] - groups->start[g];
    uint32_t *run_of = tr_arena_alloc(arena, (size_t)rows->end * sizeof *run_of);
    fold.spare = tr_arena_alloc(arena, (size_t)most * sizeof *fold.spare);
    if (run_of == NULL || fold.spare == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to fold %u rows", rows->end);
    for (uint32_t s = 0; s < rows->slice_count; s++)
        for (uint32_t i = 0; i < rows->slices[s].rows; i++)
            run_of[rows->slices[s].base + i] = rows->slices[s].run;
    fold.run_of = run_of;
    TR_TRY(tr_rows_times(rows, TR_ROW_INGESTED, arena, &fold.ingested, err));
    *out = fold;
    return TR_OK;
}

int tr_fold_newness(const void *ctx, uint32_t a, uint32_t b)
{
    const tr_fold *fold = ctx;
    if (fold->ingested[a] != fold->ingested[b])
        return fold->ingested[a] > fold->ingested[b] ? -1 : 1;
    const int order = fold->owners == NULL ? 0 : tr_owners_compare(fold->owners, b, a);
    return order != 0 ? order : a > b ? -1 : a < b;
}

int tr_fold_by_owner(const void *ctx, uint32_t a, uint32_t b)
{
    const tr_fold *fold = ctx;
    const int order = tr_owners_compare(fold->owners, a, b);
    return order != 0 ? order : a < b ? -1 : a > b;
}

uint32_t tr_fold_records(const tr_fold *fold, uint32_t *rows, uint32_t count)
{
    uint32_t kept = 1;
    if (count > 1)
        tr_sort_rows(rows, fold->spare, count, tr_fold_newness, fold);
    while (kept < count && fold->rows->runs[fold->run_of[rows[kept - 1]]]->is_upsert)
        kept++;
    return kept < count ? kept : count;
}

static int compare_arrivals(const void *ctx, uint32_t a, uint32_t b)
{
    return tr_fold_newness(ctx, b, a);
}

void tr_fold_arrange(const tr_fold *fold, uint32_t *rows, uint32_t count)
{
    if (count > 1)
        tr_sort_rows(rows, fold->spare, count, compare_arrivals, fold);
}

static uint32_t member_leaf(const tr_run *run, const char *name, tr_kind kind)
{
    const tr_type *member = tr_type_member(tr_parquet_shape(run->file)->root, tr_str_of(name));
    return member == NULL || member->kind != kind ? UINT32_MAX : member->first_leaf;
}

static tr_code read_ids(const tr_rows *rows, tr_arena *arena, tr_str *ids, int64_t *times, tr_err *err)
{
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        const tr_slice *slice = &rows->slices[s];
        const tr_run *run = rows->runs[slice->run];
        const uint32_t id = member_leaf(run, "_id", TR_KIND_STRING);
        const uint32_t time = member_leaf(run, "timestamp", TR_KIND_TIMESTAMP);
        tr_column column;
        if (id != UINT32_MAX) {
            TR_TRY(tr_parquet_read(run->file, slice->group, id, slice->from, slice->rows, arena, &column, err));
            for (uint32_t i = 0; i < slice->rows; i++)
                if (column.codes[i] != 0)
                    ids[slice->base + i] = tr_column_string(&column, i);
        }
        if (time != UINT32_MAX) {
            TR_TRY(tr_parquet_read(run->file, slice->group, time, slice->from, slice->rows, arena, &column, err));
            for (uint32_t i = 0; i < slice->rows; i++)
                if (column.codes[i] != 0)
                    times[slice->base + i] = (int64_t)tr_column_word(&column, i);
        }
    }
    return TR_OK;
}

typedef struct version_order {
    const tr_fold *fold;
    const tr_event_ids *ids;
} version_order;

static int compare_versions(const void *ctx, uint32_t a, uint32_t b)
{
    const version_order *o = ctx;
    if (o->ids->hashes[a] != o->ids->hashes[b])
        return o->ids->hashes[a] < o->ids->hashes[b] ? -1 : 1;
    const int order = tr_str_compare(o->ids->ids[a], o->ids->ids[b]);
    return order != 0 ? order : tr_fold_newness(o->fold, a, b);
}

static bool is_same_event(const tr_event_ids *ids, uint32_t a, uint32_t b)
{
    return ids->hashes[a] == ids->hashes[b] && ids->ids[a].at != NULL && ids->ids[b].at != NULL &&
           tr_str_equal(ids->ids[a], ids->ids[b]);
}

/* Whether two of the rows may be versions of one event. */
static bool may_repeat(const tr_event_ids *ids, const uint32_t *rows, uint32_t count)
{
    if (count > FEW_ROWS)
        return true;
    for (uint32_t i = 1; i < count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (ids->hashes[rows[i]] == ids->hashes[rows[j]])
                return true;
    return false;
}

tr_code tr_fold_events(const tr_fold *fold, tr_groups *groups, tr_arena *arena, tr_event_ids *ids, tr_err *err)
{
    const uint32_t end = fold->rows->end;
    tr_str *texts = tr_arena_array(arena, end, sizeof *texts);
    uint64_t *hashes = tr_arena_array(arena, end, sizeof *hashes);
    int64_t *times = tr_arena_array(arena, end, sizeof *times);
    if (texts == NULL || hashes == NULL || times == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", end);
    TR_TRY(read_ids(fold->rows, arena, texts, times, err));
    for (uint32_t row = 1; row < end; row++)
        hashes[row] = tr_hash64_of(texts[row]);
    *ids = (tr_event_ids){.ids = texts, .hashes = hashes, .times = times};
    const version_order order = {fold, ids};
    uint32_t to = 0;
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t from = groups->start[g], count = groups->start[g + 1] - from;
        uint32_t *rows = groups->rows + from;
        groups->start[g] = to;
        if (!may_repeat(ids, rows, count)) {
            memmove(groups->rows + to, rows, count * sizeof *rows);
            to += count;
            continue;
        }
        tr_sort_rows(rows, fold->spare, count, compare_versions, &order);
        for (uint32_t i = 0; i < count; i++)
            if (to == groups->start[g] || !is_same_event(ids, groups->rows[to - 1], rows[i]))
                groups->rows[to++] = rows[i];
    }
    groups->start[groups->count] = to;
    return tr_owners_check(fold->owners, err);
}
