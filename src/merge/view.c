/* SPDX-License-Identifier: Apache-2.0 */
/* view.c - what a keeper sees of a partition: profiles, keys, merged units; and who stays.
 *
 * A unit is gathered as for the file, but its columns are kept: the arenas in which a leaf was made
 * are handed over to the caller's instead of being used again.
 */
#include "base/check.h"
#include "merge/merge_internal.h"

#include <string.h>

struct tr_merge_view {
    tr_merge_work *work;
    bool has_identities, has_members;
    tr_rows identity_rows, member_rows;
    tr_groups identity_groups, member_groups;
    bool has_index;
    tr_gather index; /* of the records' rows: the same for all their units */
};

uint32_t tr_merge_view_count(const tr_merge_view *view)
{
    return view->work->record_groups.count;
}

/* Whether the profiles are the rows of one row group. */
static bool has_all_rows(const tr_merge_work *work)
{
    const tr_rows *rows = &work->records;
    return work->is_numbered && rows->slice_count == 1 && rows->slices[0].from == 0 &&
           rows->slices[0].rows ==
               tr_parquet_group_rows(rows->runs[rows->slices[0].run]->file, rows->slices[0].group);
}

/* The first row of every profile tells its key. */
tr_code tr_merge_find_keys(tr_merge_work *work, tr_err *err)
{
    const tr_groups *records = &work->record_groups, *events = &work->event_groups;
    const uint8_t(*own)[16] = NULL, (*others)[16] = NULL;
    tr_arena *arena = &work->memory->rows;
    if (work->keys != NULL)
        return TR_OK;
    uint8_t(*keys)[16] = tr_arena_array(arena, records->count, sizeof *keys);
    if (keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u profiles", records->count);
    if (has_all_rows(work)) { /* of a merged run: read straight to where they belong */
        const tr_slice *slice = &work->records.slices[0];
        const tr_run *run = work->records.runs[slice->run];
        TR_TRY(tr_parquet_read_keys(run->file, slice->group, run->key_leaf, keys, err));
        work->keys = keys;
        return TR_OK;
    }
    TR_TRY(tr_rows_keys(&work->records, arena, &own, err));
    if (tr_merge_walks_event_only(work->plan))
        TR_TRY(tr_rows_keys(&work->events, arena, &others, err));
    for (uint32_t g = 0; g < records->count; g++) {
        const bool has_record = records->start[g] < records->start[g + 1];
        const uint8_t *key = has_record ? own[records->rows[records->start[g]]]
                                        : others[events->rows[events->start[g]]];
        memcpy(keys[g], key, sizeof *keys);
    }
    work->keys = keys;
    return TR_OK;
}

tr_code tr_merge_view_keys(tr_merge_view *view, const uint8_t (**out)[16], tr_err *err)
{
    TR_TRY(tr_merge_find_keys(view->work, err));
    *out = (const uint8_t(*)[16])view->work->keys;
    return TR_OK;
}

/* The profile of every row, or `count`: both lists ascend within a slice. */
static void own_rows(const tr_merge_work *work, const tr_rows *rows, const uint8_t (*keys)[16],
                     uint32_t *owner)
{
    const uint32_t count = work->record_groups.count;
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        const tr_slice *slice = &rows->slices[s];
        uint32_t g = 0;
        for (uint32_t number = slice->base; number < slice->base + slice->rows; number++) {
            while (g < count && memcmp(work->keys[g], keys[number], sizeof *keys) < 0)
                g++;
            const bool is_its = g < count && memcmp(work->keys[g], keys[number], sizeof *keys) == 0;
            owner[number] = is_its ? g : count;
        }
    }
}

tr_code tr_merge_assign(tr_merge_work *work, const tr_rows *rows, tr_groups *out, tr_err *err)
{
    const uint8_t(*keys)[16] = NULL;
    tr_arena *arena = &work->memory->rows;
    tr_groups groups = {.count = work->record_groups.count};
    TR_TRY(tr_merge_find_keys(work, err));
    TR_TRY(tr_rows_keys(rows, arena, &keys, err));
    const uint32_t end = rows->end;
    uint32_t *owner = tr_arena_array(arena, end, sizeof *owner);
    groups.start = tr_arena_array(arena, (size_t)groups.count + 2, sizeof *groups.start);
    groups.rows = tr_arena_array(arena, end, sizeof *groups.rows);
    if (owner == NULL || groups.start == NULL || groups.rows == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the rows of %u profiles", groups.count);
    own_rows(work, rows, keys, owner);
    for (uint32_t number = 1; number < end; number++) /* one place on, so that filling ends right */
        if (owner[number] + 2 <= groups.count + 1)
            groups.start[owner[number] + 2]++;
    for (uint32_t g = 1; g <= groups.count; g++)
        groups.start[g + 1] += groups.start[g];
    for (uint32_t number = 1; number < end; number++)
        if (owner[number] < groups.count)
            groups.rows[groups.start[owner[number] + 1]++] = number;
    *out = groups;
    return TR_OK;
}

static tr_code find_members(tr_merge_work *work, tr_err *err)
{
    if (work->member_groups.start != NULL)
        return TR_OK;
    TR_TRY(tr_rows_of(work->fresh.is_set ? &work->fresh.borders : &work->plan->members.borders,
                      work->index, &work->memory->rows, &work->members, err));
    return tr_merge_assign(work, &work->members, &work->member_groups, err);
}

tr_code tr_merge_member_rows(tr_merge_work *work, tr_rows *rows, tr_groups *groups, tr_err *err)
{
    const tr_groups *records = &work->record_groups, *members = &work->member_groups;
    const uint32_t count = records->count, shift = work->records.end - 1;
    tr_groups out = {.count = count};
    TR_TRY(tr_merge_rank(work, err));
    TR_TRY(find_members(work, err));
    TR_TRY(tr_merge_join_rows(&work->records, &work->members, &work->memory->rows, rows, err));
    out.start = tr_arena_array(&work->memory->rows, (size_t)count + 1, sizeof *out.start);
    out.rows =
        tr_arena_alloc(&work->memory->rows,
                       ((size_t)records->start[count] + members->start[count]) * sizeof *out.rows);
    if (out.start == NULL || out.rows == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", count);
    uint32_t to = 0;
    for (uint32_t g = 0; g < count; g++) {
        const uint32_t own = records->start[g + 1] - records->start[g];
        for (uint32_t i = members->start[g]; i < members->start[g + 1]; i++)
            out.rows[to++] = members->rows[i] + shift;
        memcpy(out.rows + to, records->rows + records->start[g], own * sizeof *out.rows);
        to += own;
        out.start[g + 1] = to;
    }
    *groups = out;
    return TR_OK;
}

/* ---- columns that stay */

typedef struct keeping {
    tr_merge_view *view;
    tr_merge_work *work;
    bool is_membership; /* of segments: the records', then the server's own, or these alone */
    bool is_keys_only;  /* of identityMap: namespaces alone */
    bool is_events;     /* timeSeriesEvents */
    const tr_unit *unit;
    uint32_t marks_run; /* gather.h */
    tr_arena *arena;    /* the caller's */
    tr_column *columns;
} keeping;

static tr_code keep_column(void *ctx, uint32_t leaf, const tr_column *column, tr_err *err)
{
    const keeping *k = ctx;
    (void)err;
    k->columns[leaf - k->unit->first_leaf] = *column;
    tr_arena *scratch = k->work->memory->scratch;
    const tr_kind kind = k->unit->type->kind;
    if (kind != TR_KIND_ARRAY || k->is_events) /* a map's keys, and where events begin */
        tr_arena_adopt(k->arena, &scratch[0]);
    if (!tr_kind_is_scalar(kind))
        tr_arena_adopt(k->arena, &scratch[1]);
    return TR_OK;
}

static void begin_columns(const keeping *k)
{
    for (uint32_t i = 0; i < k->unit->leaf_count; i++)
        k->columns[i].leaf = NULL;
}

/* Whether of a unit's leaves only the first is wanted. */
static bool wants_first_alone(const tr_unit *unit, const bool *wanted)
{
    return wanted != NULL && wanted[unit->first_leaf] &&
           memchr(wanted + unit->first_leaf + 1, true, unit->leaf_count - 1) == NULL;
}

/* Columns that nobody made are absent. */
static tr_code end_columns(const keeping *k, tr_err *err)
{
    const tr_leaf *leaves = &k->work->plan->spec.probe->leaves[k->unit->first_leaf];
    for (uint32_t i = 0; i < k->unit->leaf_count; i++)
        if (k->columns[i].leaf == NULL)
            TR_TRY(tr_column_absent(k->arena, &leaves[i], k->work->record_groups.count,
                                    &k->columns[i], err));
    return TR_OK;
}

static tr_code index_records(tr_merge_view *view, tr_err *err)
{
    tr_merge_work *work = view->work;
    if (view->has_index)
        return TR_OK;
    view->has_index = true;
    view->index.rows = &work->records;
    view->index.is_direct = work->plan->is_merged;
    return tr_gather_index(&work->record_groups, &work->memory->rows, &view->index, err);
}

/* No profile has two rows: a map need not be united key by key. */
static bool is_one_each(const tr_groups *groups)
{
    for (uint32_t g = 0; g < groups->count; g++)
        if (groups->start[g + 1] - groups->start[g] > 1)
            return false;
    return true;
}

static tr_code gather(const keeping *k, const tr_rows *rows, const tr_groups *groups,
                      const tr_match *matches, const uint32_t *lane, tr_err *err)
{
    const tr_merge_plan *plan = k->work->plan;
    const tr_shape *probe = plan->spec.probe;
    const bool are_alone = rows == &k->work->members;
    const uint32_t hidden = k->is_membership ? plan->spec.hidden_count : 0;
    const bool are_verbatim = are_alone && hidden == 0 && is_one_each(groups);
    union { /* keep_column takes what every sink of columns takes */
        const keeping *own;
        void *ctx;
    } self = {.own = k};
    tr_gather gather = {.shape = probe,
                        .rows = rows,
                        .matches = matches,
                        .lane = lane,
                        .marks_run = k->marks_run,
                        .is_keys_only = k->is_keys_only,
                        .hidden = plan->spec.hidden,
                        .hidden_count = hidden,
                        .hidden_run = are_alone ? 0 : plan->records.run_count,
                        .is_one_per_lane = rows == &k->work->records && !plan->has_upsert &&
                                           !k->work->is_lane_shared,
                        .is_verbatim = are_verbatim,
                        .is_direct = are_verbatim || tr_merge_is_direct(k->work, rows),
                        .arenas = k->work->memory->scratch,
                        .put = keep_column,
                        .ctx = self.ctx};
    if (rows == &k->work->records && groups == &k->work->record_groups) {
        TR_TRY(index_records(k->view, err));
        gather.groups = k->view->index.groups;
        gather.owner = k->view->index.owner;
        gather.slice_of = k->view->index.slice_of;
        gather.first = k->view->index.first;
        gather.pick = k->view->index.pick;
        gather.is_direct = k->view->index.is_direct;
    } else {
        tr_arena_reset(&k->work->memory->index);
        TR_TRY(tr_gather_index(groups, &k->work->memory->index, &gather, err));
    }
    return tr_gather_unit(&gather, (uint32_t)(k->unit - probe->units), err);
}

/* Whether some record run has the unit. */
static bool is_in_records(const tr_merge_plan *plan, const tr_unit *unit)
{
    for (uint32_t r = 0; r < plan->records.run_count; r++) {
        const tr_twin *twin = &plan->probe.records[r].twins[unit->first_leaf];
        if (twin->leaf != UINT32_MAX || twin->beside != UINT32_MAX)
            return true;
    }
    return false;
}

static tr_code gather_memberships(const keeping *k, tr_err *err)
{
    tr_merge_view *view = k->view;
    tr_merge_work *work = k->work;
    const tr_merge_plan *plan = work->plan;
    keeping own = *k;
    own.is_membership = true;
    const tr_match *matches = work->fresh.is_set ? work->fresh.probe_matches : plan->probe.records;
    if (!is_in_records(plan, k->unit)) { /* then only the server knows of memberships */
        TR_TRY(find_members(work, err));
        return gather(&own, &work->members, &work->member_groups, matches + plan->records.run_count,
                      plan->all_lanes, err);
    }
    if (!view->has_members)
        TR_TRY(tr_merge_member_rows(work, &view->member_rows, &view->member_groups, err));
    view->has_members = true;
    return gather(&own, &view->member_rows, &view->member_groups, matches, plan->all_lanes, err);
}

static tr_code view_unit(const keeping *k, uint32_t unit, const bool *wanted, tr_err *err)
{
    tr_merge_view *view = k->view;
    tr_merge_work *work = k->work;
    const tr_merge_plan *plan = work->plan;
    const tr_shape *probe = plan->spec.probe;
    union { /* keep_column takes what every sink of columns takes */
        const keeping *own;
        void *ctx;
    } self = {.own = k};
    if (unit == plan->probe.events_unit) {
        const tr_merge_nest as = {probe, unit, plan->probe.events, wanted};
        TR_TRY(tr_merge_fold_events(work, err));
        return tr_merge_nest_events(work, &as, &work->event_groups, keep_column, self.ctx, err);
    }
    if (tr_str_is(k->unit->path, "timeSeriesEvents"))
        return TR_OK; /* not asked for when the plan was made */
    if (unit == plan->probe.identity_unit) {
        if (!view->has_identities)
            TR_TRY(tr_merge_identity_rows(work, &view->identity_rows, &view->identity_groups, err));
        view->has_identities = true;
        keeping marked = *k;
        marked.is_keys_only = wants_first_alone(k->unit, wanted);
        marked.marks_run = work->clusters.slice_count > 0 ? tr_merge_marks_run(plan) : 0;
        return gather(&marked, &view->identity_rows, &view->identity_groups, plan->probe.identities,
                      plan->all_lanes, err);
    }
    if (unit == plan->probe.membership_unit && (plan->members.run_count > 0 || work->fresh.is_set))
        return gather_memberships(k, err);
    TR_TRY(tr_merge_rank(work, err));
    return gather(k, &work->records, &work->record_groups, plan->probe.records, plan->records.lane,
                  err);
}

tr_code tr_merge_view_unit(tr_merge_view *view, uint32_t unit, const bool *wanted, tr_arena *arena,
                           tr_column *columns, tr_err *err)
{
    const keeping k = {.view = view,
                       .work = view->work,
                       .unit = &view->work->plan->spec.probe->units[unit],
                       .is_events = unit == view->work->plan->probe.events_unit,
                       .arena = arena,
                       .columns = columns};
    begin_columns(&k);
    TR_TRY(view_unit(&k, unit, wanted, err));
    return end_columns(&k, err);
}

tr_code tr_merge_view_members(tr_merge_view *view, tr_arena *arena, tr_column *columns, tr_err *err)
{
    tr_merge_work *work = view->work;
    const tr_merge_plan *plan = work->plan;
    const tr_shape *probe = plan->spec.probe;
    const keeping k = {.view = view,
                       .work = work,
                       .unit = &probe->units[plan->probe.membership_unit],
                       .arena = arena,
                       .columns = columns};
    begin_columns(&k);
    if (plan->members.run_count > 0) {
        TR_TRY(find_members(work, err));
        TR_TRY(gather(&k, &work->members, &work->member_groups,
                      plan->probe.records + plan->records.run_count, plan->all_lanes, err));
    }
    return end_columns(&k, err);
}

/* The members' columns as their rows have them. */
static tr_code read_member_rows(const keeping *k, const tr_slice *slice, tr_err *err)
{
    const tr_merge_work *work = k->work;
    const tr_merge_plan *plan = work->plan;
    const tr_match *matches = work->fresh.is_set ? work->fresh.probe_matches : plan->probe.records;
    const tr_gather gather = {.shape = plan->spec.probe,
                              .rows = &work->members,
                              .matches = matches + plan->records.run_count};
    for (uint32_t i = 0; i < k->unit->leaf_count; i++) {
        const uint32_t leaf = k->unit->first_leaf + i;
        bool is_there = false;
        TR_TRY(tr_gather_read(&gather, slice, leaf, k->arena, &k->columns[i], &is_there, err));
        if (!is_there)
            TR_TRY(tr_column_absent(k->arena, &plan->spec.probe->leaves[leaf], slice->rows,
                                    &k->columns[i], err));
    }
    return TR_OK;
}

static bool is_said_by_members(const tr_merge_work *work)
{
    const tr_merge_plan *plan = work->plan;
    return plan->probe.membership_unit != UINT32_MAX && plan->spec.hidden_count == 0 &&
           (plan->members.run_count > 0 || work->fresh.is_set) &&
           !is_in_records(plan, &plan->spec.probe->units[plan->probe.membership_unit]);
}

tr_code tr_merge_view_member_rows(tr_merge_view *view, tr_arena *arena, tr_column *columns,
                                  tr_merge_members *out, bool *is_all, tr_err *err)
{
    tr_merge_work *work = view->work;
    *out = (tr_merge_members){0};
    *is_all = is_said_by_members(work);
    if (!*is_all)
        return TR_OK;
    TR_TRY(find_members(work, err));
    const tr_groups *groups = &work->member_groups;
    *is_all = work->members.slice_count <= 1 && is_one_each(groups);
    if (!*is_all || work->members.slice_count == 0)
        return TR_OK;
    const tr_slice *slice = &work->members.slices[0];
    const keeping k = {.view = view,
                       .work = work,
                       .unit = &work->plan->spec.probe->units[work->plan->probe.membership_unit],
                       .arena = arena,
                       .columns = columns};
    uint32_t *profiles = tr_arena_alloc(arena, (size_t)slice->rows * sizeof *profiles + 1);
    if (profiles == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u members", slice->rows);
    memset(profiles, 0xff, (size_t)slice->rows * sizeof *profiles);
    for (uint32_t g = 0; g < groups->count; g++)
        if (groups->start[g] < groups->start[g + 1])
            profiles[groups->rows[groups->start[g]] - slice->base] = g;
    *out = (tr_merge_members){slice->rows, profiles};
    return read_member_rows(&k, slice, err);
}

tr_code tr_merge_view_origins(tr_merge_view *view, tr_arena *arena, tr_merge_origins *out,
                              tr_err *err)
{
    TR_ASSERT(!view->work->plan->is_merged);
    return tr_merge_work_origins(view->work, arena, out, err);
}

static tr_code match_fresh(const tr_merge_work *work, const tr_shape *shape,
                           const tr_match *records, tr_match **out, tr_err *err)
{
    const uint32_t count = work->plan->records.run_count;
    tr_arena *arena = &work->memory->rows;
    tr_match *matches = tr_arena_array(arena, (size_t)count + 1, sizeof *matches);
    if (matches == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to match %u runs", count);
    memcpy(matches, records, count * sizeof *matches);
    if (work->fresh.run[0] != NULL)
        TR_TRY(tr_match_make(arena, shape, shape->root, tr_parquet_shape(work->fresh.run[0]->file),
                             &matches[count], err));
    *out = matches;
    return TR_OK;
}

tr_code tr_merge_view_set_members(tr_merge_view *view, const tr_run *run, tr_err *err)
{
    tr_merge_work *work = view->work;
    const tr_merge_plan *plan = work->plan;
    TR_ASSERT(plan->spec.keep_evaluates);
    work->fresh.run[0] = run;
    TR_TRY(match_fresh(work, plan->spec.output, plan->records.matches, &work->fresh.matches, err));
    TR_TRY(
        match_fresh(work, plan->spec.probe, plan->probe.records, &work->fresh.probe_matches, err));
    TR_TRY(tr_borders_make(work->fresh.run, run == NULL ? 0 : 1, plan->bits, &work->memory->rows,
                           &work->fresh.borders, err));
    work->fresh.is_set = true;
    work->member_groups = (tr_groups){0};
    view->has_members = false;
    return TR_OK;
}

void tr_merge_view_want_identities(tr_merge_view *view, const bool *wanted)
{
    view->work->has_identities_of = wanted;
    view->has_identities = false;
}

tr_code tr_merge_ask_keeper(tr_merge_work *work, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    const uint32_t count = work->record_groups.count;
    tr_merge_view view = {.work = work};
    bool *keep = tr_arena_alloc(&work->memory->rows, count);
    if (keep == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", count);
    memset(keep, true, count);
    TR_TRY(plan->spec.keep(plan->spec.keep_ctx, work->index, &view, keep, err));
    work->has_identities_of = NULL;
    return tr_merge_keep_groups(work, keep, err);
}
