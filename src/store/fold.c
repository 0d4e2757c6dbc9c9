/* SPDX-License-Identifier: Apache-2.0 */
/* fold.c - see fold.h. */
#include "store/fold.h"
#include "store/sort.h"

#include <string.h>

tr_code tr_fold_make(const tr_rows *rows, const tr_groups *groups, tr_arena *arena, tr_fold *out, tr_err *err)
{
    tr_fold fold = {.rows = rows};
    uint32_t most = 0;
    for (uint32_t g = 0; g < groups->count; g++)
        if (groups->start[g + 1] - groups->start[g] > most)
            most = groups->start[g + 1] - groups->start[g];
    uint32_t *run_of = tr_arena_alloc(arena, (size_t)rows->end * sizeof *run_of);
    fold.spare = tr_arena_alloc(arena, 2 * (size_t)most * sizeof *fold.spare);
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

typedef struct event_order {
    const tr_fold *fold;
    const tr_event_facts *facts;
} event_order;

static int compare_versions(const void *ctx, uint32_t a, uint32_t b)
{
    const event_order *o = ctx;
    if (o->facts->hashes[a] != o->facts->hashes[b])
        return o->facts->hashes[a] < o->facts->hashes[b] ? -1 : 1;
    const int order = tr_str_compare(o->facts->ids[a], o->facts->ids[b]);
    return order != 0 ? order : tr_fold_newness(o->fold, a, b);
}

static int compare_events(const void *ctx, uint32_t a, uint32_t b)
{
    const event_order *o = ctx;
    int order = tr_event_compare(o->facts, a, b);
    if (order == 0 && o->fold->owners != NULL)
        order = tr_owners_compare(o->fold->owners, a, b);
    return order != 0 ? order : a < b ? -1 : a > b;
}

/* Returns how many rows stay. */
static uint32_t fold_profile(const event_order *o, uint32_t *rows, uint32_t count)
{
    uint32_t kept = count;
    if (tr_events_repeat(o->facts, rows, o->fold->spare, count)) {
        tr_sort_rows(rows, o->fold->spare, count, compare_versions, o);
        kept = 0;
        for (uint32_t i = 0; i < count; i++)
            if (kept == 0 || !tr_event_is_same(o->facts, rows[kept - 1], rows[i]))
                rows[kept++] = rows[i];
    }
    tr_sort_rows(rows, o->fold->spare, kept, compare_events, o);
    return kept;
}

tr_code tr_fold_events(const tr_fold *fold, const tr_unsettled *unsettled, const tr_event_facts *facts,
                       tr_groups *groups, tr_err *err)
{
    const event_order order = {fold, facts};
    uint32_t to = 0;
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t from = groups->start[g];
        uint32_t *rows = groups->rows + from, count = groups->start[g + 1] - from;
        if (unsettled->groups != NULL && unsettled->groups[g])
            count = fold_profile(&order, rows, count);
        if (to != from)
            memmove(groups->rows + to, rows, count * sizeof *rows);
        groups->start[g] = to;
        to += count;
    }
    groups->start[groups->count] = to;
    return tr_owners_check(fold->owners, err);
}
