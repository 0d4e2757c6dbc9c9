/* SPDX-License-Identifier: Apache-2.0 */
/* events.c - which events of a profile are exported, in which order, and the identities they lend it.
 *
 * Folding comes before the bounds on ingestion time: an event is what its newest version says, whatever
 * the bounds. So compaction, which drops older versions, never changes an answer.
 */
#include "merge/merge_internal.h"
#include "store/sort.h"

#include <string.h>

/* The newest ingestion first, of one ingestion the latest event; a settled profile's rows stand by time. */
static int compare_arrivals(const void *ctx, uint32_t a, uint32_t b)
{
    const tr_merge_work *work = ctx;
    const tr_event_facts *facts = &work->event_facts;
    const tr_fold *fold = &work->event_fold;
    if (fold->ingested[a] != fold->ingested[b])
        return fold->ingested[a] > fold->ingested[b] ? -1 : 1;
    if (facts->known == NULL || facts->known[a] == 0)
        return a > b ? -1 : a < b;
    const int order = tr_event_compare(facts, b, a);
    return order != 0 ? order : tr_fold_newness(fold, a, b);
}

static bool is_within(const tr_merge_spec *spec, int64_t ingested_us)
{
    return (spec->event_after_us == TR_TIME_NONE || ingested_us > spec->event_after_us) &&
           (spec->event_before_us == TR_TIME_NONE || ingested_us < spec->event_before_us);
}

tr_code tr_merge_weigh_events(tr_merge_work *work, tr_err *err)
{
    if (work->has_event_fold)
        return TR_OK;
    TR_TRY(tr_fold_make(&work->events, &work->event_groups, &work->memory->rows, &work->event_fold, err));
    TR_TRY(tr_merge_own(work, &work->plan->events, &work->event_fold, err));
    work->has_event_fold = true;
    return TR_OK;
}

tr_code tr_merge_fold_events(tr_merge_work *work, tr_err *err)
{
    tr_arena *arena = &work->memory->rows;
    tr_unsettled unsettled;
    if (work->has_folded_events)
        return TR_OK;
    work->has_folded_events = true;
    const bool is_joined = work->asked != NULL && work->asked->count > 1;
    TR_TRY(tr_unsettled_find(&work->events, &work->event_groups, is_joined, arena, &unsettled, err));
    if (unsettled.count == 0)
        return TR_OK;
    TR_TRY(tr_merge_weigh_events(work, err));
    TR_TRY(tr_event_facts_read(&work->events, unsettled.rows, arena, &work->event_facts, err));
    return tr_fold_events(&work->event_fold, &unsettled, &work->event_facts, &work->event_groups, err);
}

tr_code tr_merge_bound_events(tr_merge_work *work, tr_err *err)
{
    const tr_merge_spec *spec = &work->plan->spec;
    tr_groups *groups = &work->event_groups;
    uint32_t to = 0;
    if (spec->event_after_us == TR_TIME_NONE && spec->event_before_us == TR_TIME_NONE)
        return TR_OK;
    TR_TRY(tr_merge_weigh_events(work, err));
    const int64_t *ingested = work->event_fold.ingested;
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t from = groups->start[g], end = groups->start[g + 1];
        groups->start[g] = to;
        for (uint32_t i = from; i < end; i++)
            if (is_within(spec, ingested[groups->rows[i]]))
                groups->rows[to++] = groups->rows[i];
    }
    groups->start[groups->count] = to;
    return TR_OK;
}

tr_code tr_merge_join_rows(const tr_rows *a, const tr_rows *b, tr_arena *arena, tr_rows *out, tr_err *err)
{
    tr_rows rows = {.run_count = a->run_count + b->run_count, .slice_count = a->slice_count + b->slice_count,
                    .end = a->end};
    const tr_run **runs = tr_arena_array(arena, rows.run_count, sizeof *runs);
    rows.slices = tr_arena_array(arena, rows.slice_count, sizeof *rows.slices);
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

/* To the first row from `from` on whose key is not before `key`: in strides that double, then by halves. */
static uint32_t seek(const uint8_t (*keys)[16], uint32_t from, uint32_t end, const uint8_t key[16])
{
    uint32_t low = from, step = 1; /* every row before `low` is before `key` */
    while (step <= end - low && memcmp(keys[low + step - 1], key, 16) < 0) {
        low += step;
        step *= 2;
    }
    uint32_t high = step <= end - low ? low + step - 1 : end;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (memcmp(keys[middle], key, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Rows by number, so by run, then as they stand. */
tr_code tr_merge_list_events(tr_merge_work *work, tr_err *err)
{
    const tr_rows *events = &work->events;
    const tr_groups *records = &work->record_groups;
    tr_arena *arena = &work->memory->rows;
    tr_groups out = {.count = records->count};
    const uint8_t(*keys)[16] = NULL;
    if (work->event_groups.start != NULL)
        return TR_OK;
    TR_TRY(tr_rows_keys(events, arena, &keys, err));
    out.start = tr_arena_array(arena, (size_t)out.count + 1, sizeof *out.start);
    out.rows = tr_arena_alloc(arena, events->end * sizeof *out.rows);
    uint32_t *at = tr_arena_alloc(arena, ((size_t)events->slice_count + 1) * sizeof *at);
    if (out.start == NULL || out.rows == NULL || at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the events of %u profiles", out.count);
    for (uint32_t s = 0; s < events->slice_count; s++)
        at[s] = events->slices[s].base;
    uint32_t count = 0;
    for (uint32_t g = 0; g < out.count; g++) {
        const bool is_event_only = records->start[g] == records->start[g + 1];
        for (uint32_t s = 0; is_event_only && s < events->slice_count; s++) {
            const uint32_t end = events->slices[s].base + events->slices[s].rows;
            for (at[s] = seek(keys, at[s], end, work->keys[g]);
                 at[s] < end && memcmp(keys[at[s]], work->keys[g], sizeof *keys) == 0; at[s]++)
                out.rows[count++] = at[s];
        }
        out.start[g + 1] = count;
    }
    work->event_groups = out;
    return TR_OK;
}

/* Whose identities are asked for. */
static bool has_event_only(const tr_merge_work *work)
{
    const tr_groups *records = &work->record_groups;
    for (uint32_t g = 0; g < records->count && tr_merge_walks_event_only(work->plan); g++)
        if (records->start[g] == records->start[g + 1] &&
            (work->has_identities_of == NULL || work->has_identities_of[g]))
            return true;
    return false;
}

/* Records, then events (none of them when no profile is made of events alone), then clusters' members. */
static tr_code join_all(const tr_merge_work *work, bool has_events, tr_rows *out, tr_err *err)
{
    const tr_merge_side *side = &work->plan->events;
    const tr_rows none = {.runs = side->runs, .run_count = side->run_count, .end = 1};
    tr_arena *arena = &work->memory->rows;
    tr_rows rows;
    TR_TRY(tr_merge_join_rows(&work->records, has_events ? &work->events : &none, arena, &rows, err));
    if (work->clusters.slice_count == 0) {
        *out = rows;
        return TR_OK;
    }
    return tr_merge_join_rows(&rows, &work->clusters, arena, out, err);
}

/* A profile's records, or else its events, the newest ingestion first; returns how many. */
static uint32_t list_own(const tr_merge_work *work, bool with_events, uint32_t g, uint32_t *out)
{
    const tr_groups *records = &work->record_groups, *events = &work->event_groups;
    const uint32_t own = records->start[g + 1] - records->start[g];
    memcpy(out, records->rows + records->start[g], own * sizeof *out);
    if (own > 0 || !with_events)
        return own;
    const uint32_t own_events = events->start[g + 1] - events->start[g];
    memcpy(out, events->rows + events->start[g], own_events * sizeof *out);
    tr_sort_rows(out, work->event_fold.spare, own_events, compare_arrivals, work);
    for (uint32_t i = 0; i < own_events; i++)
        out[i] += work->records.end - 1;
    return own_events;
}

/* The rows of clusters' members, unless a lookup brought its own. */
static tr_code find_clusters(tr_merge_work *work, tr_err *err)
{
    const tr_merge_side *side = &work->plan->clusters;
    if (work->plan->spec.is_lookup || side->run_count == 0 || work->cluster_groups.start != NULL)
        return TR_OK;
    TR_TRY(tr_rows_of(&side->borders, work->index, &work->memory->rows, &work->clusters, err));
    return tr_merge_assign(work, &work->clusters, &work->cluster_groups, err);
}

tr_code tr_merge_identity_rows(tr_merge_work *work, tr_rows *rows, tr_groups *groups, tr_err *err)
{
    const tr_groups *records = &work->record_groups, *clusters = &work->cluster_groups;
    const bool with_events = has_event_only(work);
    TR_TRY(tr_merge_rank(work, err));
    TR_TRY(find_clusters(work, err));
    if (!with_events && work->clusters.slice_count == 0) {
        *rows = work->records;
        *groups = *records;
        return TR_OK;
    }
    if (with_events) {
        TR_TRY(tr_merge_list_events(work, err));
        TR_TRY(tr_merge_fold_events(work, err));
        TR_TRY(tr_merge_weigh_events(work, err));
    }
    const uint32_t count = records->count;
    tr_groups out = {.count = count};
    TR_TRY(join_all(work, with_events, rows, err));
    const uint32_t shift = rows->end - work->clusters.end; /* clusters' rows are the last */
    size_t most = records->start[count];
    most += with_events ? work->event_groups.start[count] : 0;
    most += clusters->start == NULL ? 0 : clusters->start[count];
    out.start = tr_arena_array(&work->memory->rows, (size_t)count + 1, sizeof *out.start);
    out.rows = tr_arena_alloc(&work->memory->rows, (most + 1) * sizeof *out.rows);
    if (out.start == NULL || out.rows == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", count);
    for (uint32_t g = 0, to = 0; g < count; g++) {
        to += list_own(work, with_events, g, out.rows + to);
        for (uint32_t i = clusters->start == NULL ? 0 : clusters->start[g];
             clusters->start != NULL && i < clusters->start[g + 1]; i++)
            out.rows[to++] = clusters->rows[i] + shift;
        out.start[g + 1] = to;
    }
    *groups = out;
    return tr_owners_check(work->event_fold.owners, err);
}
