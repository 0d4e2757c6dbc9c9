/* SPDX-License-Identifier: Apache-2.0 */
/* profile.c - one profile, or a page of its events, by keys: the steps of a partition on few rows.
 *
 * Every row of a key is found by its run's sorted keys, so a profile is a partition with one
 * group. Keys of a cluster are walked in the order in which a stitched run has them, and its
 * members are a run in memory: what follows is the same.
 * Its columns are cut out into the caller's arena: what gathering makes lives as long as a
 * column.
 */
#include "merge/merge_internal.h"

#include <string.h>

static tr_code find_rows(tr_merge_work *work, const tr_merge_asked *who, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    tr_arena *arena = &work->memory->rows;
    work->events = (tr_rows){.end = 1};
    TR_TRY(tr_merge_find(&plan->records, who, arena, &work->records, &work->record_keys, err));
    tr_merge_prefetch(&plan->records, &work->records);
    TR_TRY(tr_merge_one_group(&work->records, arena, &work->record_groups, err));
    if (work->records.end == 1 && plan->spec.with_event_only)
        TR_TRY(tr_merge_find(&plan->events, who, arena, &work->events, &work->event_keys, err));
    if (plan->membership_unit != UINT32_MAX) {
        TR_TRY(tr_merge_find(&plan->members, who, arena, &work->members, NULL, err));
        TR_TRY(tr_merge_one_group(&work->members, arena, &work->member_groups, err));
    }
    if (who->count > 1)
        TR_TRY(tr_merge_hold_members(work, who, err));
    return tr_merge_one_group(&work->events, arena, &work->event_groups, err);
}

typedef struct cutting {
    tr_arena *arena;
    tr_column *columns;
} cutting;

static tr_code cut_column(void *ctx, uint32_t leaf, const tr_column *column, tr_err *err)
{
    const cutting *c = ctx;
    return tr_column_cut(c->arena, column, 0, column->rows, &c->columns[leaf], err);
}

/* Columns of `rows` rows in which everything is absent. */
static tr_code make_columns(const tr_shape *shape, uint32_t rows, tr_arena *arena, tr_column **out,
                            tr_err *err)
{
    tr_column *columns = tr_arena_alloc(arena, (shape->leaf_count + (size_t)1) * sizeof *columns);
    uint32_t *codes = tr_arena_array(arena, (size_t)rows + 1, sizeof *codes);
    uint32_t *start = tr_arena_alloc(arena, ((size_t)rows + 1) * sizeof *start);
    uint8_t *levels = tr_arena_array(arena, (size_t)rows + 1, 1);
    if (columns == NULL || codes == NULL || start == NULL || levels == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u columns", shape->leaf_count);
    for (uint32_t i = 0; i <= rows; i++)
        start[i] = i;
    for (uint32_t i = 0; i < shape->leaf_count; i++) {
        const tr_leaf *leaf = &shape->leaves[i];
        const bool is_nested = leaf->rep_max > 0;
        columns[i] =
            (tr_column){.leaf = leaf,
                        .rows = rows,
                        .entries = rows,
                        .codes = codes,
                        .def = is_nested ? levels : NULL,
                        .rep = is_nested ? levels : NULL,
                        .row_start = is_nested ? start : NULL,
                        .values = {.storage = tr_kind_storage(leaf->kind), .is_distinct = true}};
    }
    *out = columns;
    return TR_OK;
}

static tr_code batch_of(const tr_run *run, uint32_t group, uint32_t row, tr_arena *arena,
                        tr_str *out, tr_err *err)
{
    tr_column column;
    if (run->batch[0] != '\0') {
        *out = tr_str_of(run->batch);
        return TR_OK;
    }
    TR_TRY(tr_parquet_read(run->file, group, run->batch_leaf, row, 1, arena, &column, err));
    *out = column.codes[0] == 0 ? (tr_str){0} : tr_arena_copy(arena, tr_column_string(&column, 0));
    return TR_OK;
}

static tr_code list_fragments(const tr_rows *rows, const tr_groups *groups, const tr_fold *fold,
                              const uint32_t *identity_of, tr_arena *arena, tr_merge_profile *out,
                              tr_err *err)
{
    const int64_t *updated;
    const uint32_t count = groups->start[1] - groups->start[0];
    const uint32_t *numbers = groups->rows + groups->start[0];
    tr_merge_fragment *fragments = tr_arena_array(arena, (size_t)count + 1, sizeof *fragments);
    if (fragments == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u fragments", count);
    TR_TRY(tr_rows_times(rows, TR_ROW_UPDATED, arena, &updated, err));
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t s = tr_rows_slice(rows, numbers[i]);
        const tr_slice *slice = &rows->slices[s];
        fragments[i] = (tr_merge_fragment){.run = rows->runs[slice->run],
                                           .identity = identity_of[s],
                                           .place = slice->run,
                                           .group = slice->group,
                                           .row = slice->from + (numbers[i] - slice->base),
                                           .updated_us = updated[numbers[i]],
                                           .ingested_us = fold->ingested[numbers[i]]};
        TR_TRY(batch_of(fragments[i].run, slice->group, fragments[i].row, arena,
                        &fragments[i].batch, err));
    }
    out->fragments = fragments;
    out->fragment_count = count;
    return TR_OK;
}

static tr_code list_all(const tr_merge_work *work, const tr_merge_asked *who, tr_arena *arena,
                        tr_merge_profile *out, tr_err *err)
{
    const tr_rows *rows = out->is_event_only ? &work->events : &work->records;
    const tr_groups *groups = out->is_event_only ? &work->event_groups : &work->record_groups;
    const tr_fold *fold = out->is_event_only ? &work->event_fold : &work->record_fold;
    uint32_t *identity_of = out->is_event_only ? work->event_keys : work->record_keys;
    for (uint32_t s = 0; s < rows->slice_count; s++)
        identity_of[s] = who->place[identity_of[s]];
    return list_fragments(rows, groups, fold, identity_of, arena, out, err);
}

static tr_code merge_one(tr_merge_work *work, const tr_merge_asked *who, tr_arena *arena,
                         tr_merge_profile *out, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    tr_merge_profile profile = {.columns = NULL};
    cutting c = {.arena = arena};
    tr_merge_out to = {.work = work, .put = cut_column, .ctx = &c};
    TR_TRY(find_rows(work, who, err));
    if (work->records.end == 1 && work->events.end == 1)
        return TR_FAIL(err, TR_NOT_FOUND, "no profile has this identity");
    TR_TRY(tr_merge_rank(work, err));
    TR_TRY(tr_merge_fold_events(work, err));
    TR_TRY(tr_merge_weigh_events(work, err));
    TR_TRY(tr_merge_system_rows(work, &to, err));
    TR_TRY(make_columns(plan->spec.output, 1, arena, &c.columns, err));
    TR_TRY(tr_merge_columns(&to, 0, 1, err));
    profile.is_event_only = work->records.end == 1;
    TR_TRY(list_all(work, who, arena, &profile, err));
    profile.columns = c.columns;
    *out = profile;
    return TR_OK;
}

tr_code tr_merge_profile_get(const tr_merge_plan *plan, const tr_merge_identity *identities,
                             uint32_t identity_count, tr_arena *arena, tr_merge_profile *out,
                             tr_err *err)
{
    tr_merge_work work = {.plan = plan, .memory = tr_merge_memory_take(plan->pool)};
    tr_merge_asked who;
    if (work.memory == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to merge a profile");
    tr_arena_reset(&work.memory->rows);
    tr_code code = tr_merge_ask(identities, identity_count, &work.memory->rows, &who, err);
    work.asked = &who;
    if (code == TR_OK)
        code = merge_one(&work, &who, arena, out, err);
    tr_merge_memory_give(plan->pool, work.memory);
    return code;
}

tr_code tr_merge_who_has(const tr_merge_plan *plan, const tr_merge_profile *profile, uint32_t unit,
                         tr_arena *arena, bool *has, tr_err *err)
{
    const tr_merge_side *side = profile->is_event_only ? &plan->events : &plan->records;
    const tr_rows rows = {.runs = side->runs, .run_count = side->run_count};
    const tr_gather gather = {.shape = plan->spec.output,
                              .rows = &rows,
                              .matches = profile->is_event_only
                                             ? plan->identity_matches + plan->records.run_count
                                             : plan->records.matches};
    const bool is_taken = !profile->is_event_only || unit == plan->identity_unit;
    for (uint32_t i = 0; i < profile->fragment_count; i++) {
        const tr_merge_fragment *fragment = &profile->fragments[i];
        const tr_slice slice = {
            .run = fragment->place, .group = fragment->group, .from = fragment->row, .rows = 1};
        tr_column column;
        bool is_there = false;
        if (is_taken)
            TR_TRY(tr_gather_read(&gather, &slice, plan->spec.output->units[unit].first_leaf, arena,
                                  &column, &is_there, err));
        has[i] = is_there && (column.codes[0] != 0 || (column.def != NULL && column.def[0] != 0));
    }
    return TR_OK;
}

/* Events ------------------------------------------------------------------------------------- */

static bool is_within(const tr_merge_page *page, int64_t us)
{
    return (page->from_us == TR_TIME_NONE || us >= page->from_us) &&
           (page->before_us == TR_TIME_NONE || us < page->before_us);
}

/* The sorted events within the page's times, in its direction. */
static void choose_events(tr_merge_work *work, const tr_merge_page *page)
{
    tr_groups *groups = &work->event_groups;
    uint32_t *rows = groups->rows + groups->start[0], count = 0;
    const uint32_t all = groups->start[1] - groups->start[0];
    for (uint32_t i = 0; i < all; i++)
        if (is_within(page, work->event_facts.times[rows[i]]))
            rows[count++] = rows[i];
    for (uint32_t i = 0; page->is_descending && i < count / 2; i++) {
        const uint32_t row = rows[i];
        rows[i] = rows[count - 1 - i];
        rows[count - 1 - i] = row;
    }
    groups->start[1] = groups->start[0] + count;
}

static tr_code find_start(const tr_merge_work *work, const tr_merge_page *page, uint32_t *out,
                          tr_err *err)
{
    const tr_groups *groups = &work->event_groups;
    for (uint32_t i = groups->start[0]; i < groups->start[1] && page->start.len > 0; i++)
        if (tr_str_equal(work->event_facts.ids[groups->rows[i]], page->start)) {
            *out = i;
            return TR_OK;
        }
    if (page->start.len > 0)
        return TR_FAIL(
            err, TR_INVALID, "start is \"%.*s\": the profile has no such event in these times",
            page->start.len > 80 ? 80 : (int)page->start.len, (const char *)page->start.at);
    *out = groups->start[0];
    return TR_OK;
}

static tr_code copy_facts(const tr_merge_work *work, const uint32_t *rows, uint32_t count,
                          tr_arena *arena, tr_merge_events *out, tr_err *err)
{
    tr_str *ids = tr_arena_array(arena, (size_t)count + 1, sizeof *ids);
    int64_t *times = tr_arena_array(arena, 2 * (size_t)count + 1, sizeof *times);
    if (ids == NULL || times == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", count);
    for (uint32_t i = 0; i < count; i++) {
        const tr_str id = work->event_facts.ids[rows[i]];
        ids[i] = id.at == NULL ? id : tr_arena_copy(arena, id);
        times[i] = work->event_facts.times[rows[i]];
        times[count + i] = work->event_fold.ingested[rows[i]];
    }
    out->ids = ids;
    out->times = times;
    out->ingested = times + count;
    out->count = count;
    return TR_OK;
}

/* Columns of a shape, every event a group of its own. */
static tr_code gather_events(tr_merge_work *work, const tr_shape *shape, const tr_match *matches,
                             const tr_groups *groups, cutting *c, tr_err *err)
{
    tr_gather gather = {.shape = shape,
                        .rows = &work->events,
                        .matches = matches,
                        .lane = work->plan->events.lane,
                        .is_verbatim = true,
                        .arenas = work->memory->scratch,
                        .put = cut_column,
                        .ctx = c};
    TR_TRY(make_columns(shape, groups->count, c->arena, &c->columns, err));
    tr_arena_reset(&work->memory->index);
    TR_TRY(tr_gather_index(groups, &work->memory->index, &gather, err));
    for (uint32_t unit = 0; unit < shape->unit_count; unit++)
        TR_TRY(tr_gather_unit(&gather, unit, err));
    return TR_OK;
}

static tr_code one_by_one(tr_merge_work *work, uint32_t *rows, uint32_t count, tr_groups *out,
                          tr_err *err)
{
    *out = (tr_groups){.count = count, .rows = rows};
    out->start = tr_arena_alloc(&work->memory->rows, ((size_t)count + 1) * sizeof *out->start);
    if (out->start == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", count);
    for (uint32_t i = 0; i <= count; i++)
        out->start[i] = i;
    return TR_OK;
}

static tr_code put_events(tr_merge_work *work, uint32_t *rows, uint32_t count, tr_arena *arena,
                          tr_merge_events *out, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    cutting c = {.arena = arena};
    tr_groups groups;
    TR_TRY(one_by_one(work, rows, count, &groups, err));
    TR_TRY(gather_events(work, plan->spec.output, plan->events.matches, &groups, &c, err));
    out->columns = c.columns;
    return copy_facts(work, rows, count, arena, out, err);
}

/* Of the chosen events those that the page's caller wants. */
static tr_code ask_chooser(tr_merge_work *work, const tr_merge_page *page, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    tr_groups *events = &work->event_groups, groups;
    uint32_t *rows = events->rows + events->start[0], kept = 0;
    const uint32_t count = events->start[1] - events->start[0];
    tr_arena *own = &work->memory->rows;
    cutting c = {.arena = own};
    bool *keep = tr_arena_alloc(own, (size_t)count + 1);
    if (keep == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to choose from %u events", count);
    memset(keep, true, count);
    TR_TRY(one_by_one(work, rows, count, &groups, err));
    TR_TRY(gather_events(work, plan->spec.probe, plan->probe.events, &groups, &c, err));
    TR_TRY(page->choose(page->choose_ctx, c.columns, count, keep, err));
    for (uint32_t i = 0; i < count; i++)
        if (keep[i])
            rows[kept++] = rows[i];
    events->start[1] = events->start[0] + kept;
    return TR_OK;
}

static tr_str events_id(const tr_merge_work *work, uint32_t place)
{
    return work->event_facts.ids[work->event_groups.rows[place]];
}

static tr_code page_one(tr_merge_work *work, const tr_merge_asked *who, const tr_merge_page *page,
                        tr_arena *arena, tr_merge_events *out, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    tr_arena *own = &work->memory->rows;
    tr_merge_events events = {.next = {0}};
    uint32_t start = 0;
    TR_TRY(tr_merge_find(&plan->events, who, own, &work->events, &work->event_keys, err));
    tr_merge_prefetch(&plan->events, &work->events);
    TR_TRY(tr_merge_one_group(&work->events, own, &work->event_groups, err));
    TR_TRY(tr_merge_fold_events(work, err));
    TR_TRY(tr_merge_weigh_events(work, err));
    if (work->event_facts.known == NULL) /* all of them were settled */
        TR_TRY(tr_event_facts_read(&work->events, NULL, own, &work->event_facts, err));
    choose_events(work, page);
    if (page->choose != NULL)
        TR_TRY(ask_chooser(work, page, err));
    TR_TRY(find_start(work, page, &start, err));
    const uint32_t left = work->event_groups.start[1] - start;
    uint32_t count = left < page->limit ? left : page->limit;
    while (count < left && events_id(work, start + count).at == NULL)
        count++; /* no page can begin with an event that has no _id */
    TR_TRY(put_events(work, work->event_groups.rows + start, count, arena, &events, err));
    if (count < left) {
        events.next = tr_arena_copy(arena, events_id(work, start + count));
        if (events.next.at == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for a page of events");
    }
    *out = events;
    return TR_OK;
}

tr_code tr_merge_events_get(const tr_merge_plan *plan, const tr_merge_identity *identities,
                            uint32_t identity_count, const tr_merge_page *page, tr_arena *arena,
                            tr_merge_events *out, tr_err *err)
{
    tr_merge_work work = {.plan = plan, .memory = tr_merge_memory_take(plan->pool)};
    tr_merge_asked who;
    if (work.memory == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read events");
    tr_arena_reset(&work.memory->rows);
    tr_code code = tr_merge_ask(identities, identity_count, &work.memory->rows, &who, err);
    work.asked = &who;
    if (code == TR_OK)
        code = page_one(&work, &who, page, arena, out, err);
    tr_merge_memory_give(plan->pool, work.memory);
    return code;
}
