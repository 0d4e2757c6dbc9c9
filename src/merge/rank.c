/* SPDX-License-Identifier: Apache-2.0 */
/* rank.c - the order of a profile's fragments, and which profiles stay.
 *
 * The walk leaves a profile's rows by lane (dataset), then by run, then by row. Two things are left to do:
 *
 *   FOLD   within a lane the newest row stands first; the older ones stay behind it when the newer one
 *          is from an upsert dataset, and go otherwise
 *   ORDER  lanes by the effective time of their newest row, newest first; equal times by lane. With
 *          dataSetPrecedence the lanes are in order already
 *
 * A stitched profile has several identities: a lane's rows are folded owner by owner, and what is ordered are
 * owners' rows; with dataSetPrecedence within their lane.
 */
#include "merge/merge_internal.h"
#include "store/sort.h"

#include <string.h>

typedef struct lane_span {
    uint32_t from, count;
    uint32_t place; /* with precedence the lane's; else 0 */
    int64_t updated_us;
} lane_span;

typedef struct ranker {
    tr_merge_work *work;
    const int64_t *updated; /* NULL: lanes are in order */
    lane_span *spans;       /* of one profile */
} ranker;

/* Stable, newest first; profiles have few lanes. */
static void sort_spans(lane_span *spans, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const lane_span span = spans[i];
        uint32_t at = i;
        for (; at > 0 && spans[at - 1].place == span.place && spans[at - 1].updated_us < span.updated_us; at--)
            spans[at] = spans[at - 1];
        spans[at] = span;
    }
}

/* The end of a lane's rows, and of those the first owner's. */
static uint32_t end_of_lane(const ranker *r, const uint32_t *rows, uint32_t from, uint32_t count)
{
    const uint32_t *lane = r->work->plan->records.lane, *run_of = r->work->record_fold.run_of;
    uint32_t to = from + 1;
    while (to < count && lane[run_of[rows[to]]] == lane[run_of[rows[from]]])
        to++;
    return to;
}

static uint32_t end_of_owner(const tr_fold *fold, const uint32_t *rows, uint32_t from, uint32_t end)
{
    uint32_t to = from + 1;
    if (fold->owners == NULL)
        return end;
    while (to < end && tr_owners_are_same(fold->owners, rows[from], rows[to]))
        to++;
    return to;
}

/* The general case: several rows in a lane. Returns how many rows stay. */
static uint32_t rank_profile(ranker *r, uint32_t *rows, uint32_t count)
{
    const tr_fold *fold = &r->work->record_fold;
    const tr_merge_plan *plan = r->work->plan;
    uint32_t kept = 0, spans = 0;
    for (uint32_t first = 0, end; first < count; first = end) {
        const uint32_t kept_before = kept;
        end = end_of_lane(r, rows, first, count);
        if (fold->owners != NULL && end - first > 1)
            tr_sort_rows(rows + first, fold->spare, end - first, tr_fold_by_owner, fold);
        for (uint32_t from = first, to; from < end; from = to) {
            to = end_of_owner(fold, rows, from, end);
            const uint32_t stay = tr_fold_records(fold, rows + from, to - from);
            memmove(rows + kept, rows + from, stay * sizeof *rows);
            const uint32_t lane = plan->records.lane[fold->run_of[rows[kept]]];
            r->spans[spans++] = (lane_span){.from = kept,
                                            .count = stay,
                                            .place = plan->is_precedence ? lane : 0,
                                            .updated_us = r->updated == NULL ? 0 : r->updated[rows[kept]]};
            kept += stay;
        }
        r->work->is_lane_shared = r->work->is_lane_shared || kept - kept_before > 1;
    }
    if (r->updated == NULL || spans < 2)
        return kept;
    sort_spans(r->spans, spans);
    memcpy(fold->spare, rows, kept * sizeof *rows);
    for (uint32_t s = 0, to = 0; s < spans; to += r->spans[s++].count)
        memcpy(rows + to, fold->spare + r->spans[s].from, r->spans[s].count * sizeof *rows);
    return kept;
}

/* The common case: every row is a lane of its own. */
static void order_rows(const int64_t *updated, uint32_t *rows, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t row = rows[i];
        const int64_t us = updated[row];
        uint32_t at = i;
        for (; at > 0 && updated[rows[at - 1]] < us; at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
    }
}

static bool may_share_lane(const uint32_t *rows, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++)
        if (rows[i] == rows[i - 1] + 1) /* neighbours in a run, or (rarely) at the seam of two */
            return true;
    return false;
}

static tr_code make_ranker(tr_merge_work *work, ranker *r, tr_err *err)
{
    const tr_groups *groups = &work->record_groups;
    uint32_t most = 0;
    for (uint32_t g = 0; g < groups->count; g++)
        if (groups->start[g + 1] - groups->start[g] > most)
            most = groups->start[g + 1] - groups->start[g];
    r->spans = tr_arena_alloc(&work->memory->rows, (size_t)most * sizeof *r->spans);
    if (r->spans == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to rank %u rows", most);
    TR_TRY(tr_fold_make(&work->records, groups, &work->memory->rows, &work->record_fold, err));
    TR_TRY(tr_merge_own(work, &work->plan->records, &work->record_fold, err));
    if (!work->plan->is_precedence || work->record_fold.owners != NULL)
        TR_TRY(tr_rows_times(&work->records, TR_ROW_UPDATED, &work->memory->rows, &r->updated, err));
    return TR_OK;
}

tr_code tr_merge_rank(tr_merge_work *work, tr_err *err)
{
    ranker r = {.work = work};
    tr_groups *groups = &work->record_groups;
    if (work->is_ranked || work->plan->is_merged) /* of a merged run there is one row each */
        return TR_OK;
    work->is_ranked = true;
    if (groups->count == 0) /* nobody's times need be read */
        return TR_OK;
    TR_TRY(make_ranker(work, &r, err));
    uint32_t to = 0;
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t from = groups->start[g];
        uint32_t *rows = groups->rows + from;
        uint32_t count = groups->start[g + 1] - from;
        if (count > 1) {
            if (!work->plan->is_run_per_lane || may_share_lane(rows, count))
                count = rank_profile(&r, rows, count);
            else if (!work->plan->is_precedence)
                order_rows(r.updated, rows, count);
        }
        if (to != from)
            memmove(groups->rows + to, rows, count * sizeof *rows);
        groups->start[g] = to;
        to += count;
    }
    groups->start[groups->count] = to;
    return tr_owners_check(work->record_fold.owners, err);
}

static bool is_any_after(const tr_groups *groups, uint32_t g, const int64_t *ingested, int64_t after_us)
{
    for (uint32_t i = groups->start[g]; i < groups->start[g + 1]; i++)
        if (ingested[groups->rows[i]] > after_us)
            return true;
    return false;
}

/* Moves a group's rows to the place behind those that stayed. */
static void keep_group(tr_groups *groups, uint32_t g, uint32_t to)
{
    const uint32_t from = groups->start[g], count = groups->start[g + 1] - from, at = groups->start[to];
    memmove(groups->rows + at, groups->rows + from, count * sizeof *groups->rows);
    groups->start[to + 1] = at + count;
}

/* Moves group g to place `to`, on every side that is read. */
static void move_group(tr_merge_work *work, uint32_t g, uint32_t to)
{
    keep_group(&work->record_groups, g, to);
    if (work->keys != NULL && to != g)
        memcpy(work->keys[to], work->keys[g], sizeof *work->keys);
    if (work->member_groups.start != NULL)
        keep_group(&work->member_groups, g, to);
    if (work->cluster_groups.start != NULL)
        keep_group(&work->cluster_groups, g, to);
    if (work->event_groups.start != NULL)
        keep_group(&work->event_groups, g, to);
}

static void cut_groups(tr_merge_work *work, uint32_t count)
{
    work->record_groups.count = count;
    work->member_groups.count = count;
    work->cluster_groups.count = count;
    work->event_groups.count = count;
}

/* Groups that may be written to. */
static tr_code own_groups(tr_merge_work *work, tr_err *err)
{
    const tr_groups *groups = &work->record_groups;
    const uint32_t count = groups->count;
    if (!work->is_numbered)
        return TR_OK;
    uint32_t *start = tr_arena_alloc(&work->memory->rows, ((size_t)count + 1) * sizeof *start);
    uint32_t *rows = tr_arena_alloc(&work->memory->rows, (size_t)count * sizeof *rows + 1);
    if (start == NULL || rows == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", count);
    memcpy(start, groups->start, ((size_t)count + 1) * sizeof *start);
    memcpy(rows, groups->rows, (size_t)count * sizeof *rows);
    work->record_groups = (tr_groups){count, start, rows};
    work->is_numbered = false;
    return TR_OK;
}

static bool stays(const tr_merge_work *work, uint32_t g)
{
    const tr_merge_spec *spec = &work->plan->spec;
    const tr_groups *records = &work->record_groups, *events = &work->event_groups;
    if (!spec->with_event_only && records->start[g] == records->start[g + 1])
        return false;
    if (spec->updated_after_us == TR_TIME_NONE)
        return true;
    return is_any_after(records, g, work->record_fold.ingested, spec->updated_after_us) ||
           (spec->with_event_only &&
            is_any_after(events, g, work->event_fold.ingested, spec->updated_after_us));
}

/* Rows of a merged run of which nobody asked anything yet: those that are newer are the profiles. */
static bool is_untouched(const tr_merge_work *work)
{
    return work->is_numbered && work->keys == NULL && work->member_groups.start == NULL &&
           work->cluster_groups.start == NULL && work->event_groups.start == NULL;
}

static tr_code pick_newer(tr_merge_work *work, tr_err *err)
{
    tr_groups groups = {0};
    tr_arena *arena = &work->memory->rows;
    TR_TRY(tr_rows_ingested_after(&work->records, work->plan->spec.updated_after_us, arena,
                                  &groups.rows, &groups.count, err));
    groups.start = tr_arena_alloc(arena, ((size_t)groups.count + 1) * sizeof *groups.start);
    if (groups.start == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", groups.count);
    for (uint32_t g = 0; g <= groups.count; g++)
        groups.start[g] = g;
    work->record_groups = groups;
    work->is_numbered = false;
    return TR_OK;
}

tr_code tr_merge_filter(tr_merge_work *work, tr_err *err)
{
    const tr_merge_spec *spec = &work->plan->spec;
    const bool is_updated = spec->updated_after_us != TR_TIME_NONE;
    const bool drops_event_only = spec->keep_evaluates && !spec->with_event_only;
    if (!is_updated && !drops_event_only)
        return TR_OK;
    if (is_updated && is_untouched(work))
        return pick_newer(work, err);
    TR_TRY(own_groups(work, err));
    if (is_updated)
        TR_TRY(tr_merge_rank(work, err));
    if (is_updated && work->plan->is_merged) /* it was not ranked */
        TR_TRY(tr_rows_times(&work->records, TR_ROW_INGESTED, &work->memory->rows, &work->record_fold.ingested, err));
    if (is_updated && spec->with_event_only) {
        TR_TRY(tr_merge_fold_events(work, err));
        TR_TRY(tr_merge_weigh_events(work, err));
    }
    uint32_t kept = 0;
    for (uint32_t g = 0; g < work->record_groups.count; g++)
        if (stays(work, g))
            move_group(work, g, kept++);
    cut_groups(work, kept);
    return TR_OK;
}

tr_code tr_merge_keep_groups(tr_merge_work *work, const bool *keep, tr_err *err)
{
    const uint32_t count = work->record_groups.count;
    uint32_t kept = 0;
    if (memchr(keep, false, count) == NULL)
        return TR_OK;
    TR_TRY(own_groups(work, err));
    for (uint32_t g = 0; g < count; g++)
        if (keep[g])
            move_group(work, g, kept++);
    cut_groups(work, kept);
    return TR_OK;
}
