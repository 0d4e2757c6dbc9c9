/* SPDX-License-Identifier: Apache-2.0 */
/* columns.c - the output columns of profiles whose rows are grouped and ranked; see merge.h. */
#include "merge/merge_internal.h"

/* Groups [from, to) as groups of their own; row lists are shared. */
static tr_groups part_of(const tr_groups *groups, uint32_t from, uint32_t to)
{
    return (tr_groups){.count = to - from, .start = groups->start + from, .rows = groups->rows};
}

static tr_code gather_identities(const tr_merge_out *out, uint32_t from, uint32_t to, tr_err *err)
{
    const tr_merge_plan *plan = out->work->plan;
    const bool is_written = plan->identity_unit != UINT32_MAX;
    const tr_groups groups = part_of(&out->identity_groups, from, to);
    tr_gather gather = {.rows = &out->identity_rows,
                        .lane = plan->all_lanes,
                        .marks_run =
                            out->work->clusters.slice_count > 0 ? tr_merge_marks_run(plan) : 0,
                        .shape = is_written ? plan->spec.output : &plan->identity_shape,
                        .matches = is_written ? plan->identity_matches : plan->counting_matches,
                        .put = is_written ? out->put : NULL,
                        .ctx = out->ctx,
                        .arenas = out->work->memory->scratch,
                        .count_key = out->count,
                        .count_ctx = out->count_ctx,
                        .is_direct = tr_merge_is_direct(out->work, &out->identity_rows)};
    tr_code code =
        tr_gather_index(&groups, &out->work->memory->index, &gather, err);
    if (code == TR_OK)
        code = tr_gather_unit(&gather, is_written ? plan->identity_unit : 0, err);
    return code;
}

static tr_code gather_membership(const tr_merge_out *out, uint32_t from, uint32_t to, tr_err *err)
{
    const tr_merge_plan *plan = out->work->plan;
    const tr_groups groups = part_of(&out->member_groups, from, to);
    tr_gather gather = {.rows = &out->member_rows,
                        .lane = plan->all_lanes,
                        .shape = plan->spec.output,
                        .matches = out->work->fresh.is_set ? out->work->fresh.matches
                                                           : plan->membership_matches,
                        .hidden = plan->spec.hidden,
                        .hidden_count = plan->spec.hidden_count,
                        .hidden_run = plan->records.run_count,
                        .put = out->put,
                        .ctx = out->ctx,
                        .arenas = out->work->memory->scratch};
    TR_TRY(tr_gather_index(&groups, &out->work->memory->index, &gather, err));
    return tr_gather_unit(&gather, plan->membership_unit, err);
}

tr_code tr_merge_system_rows(tr_merge_work *work, tr_merge_out *out, tr_err *err)
{
    const tr_merge_plan *plan = work->plan;
    if (plan->identity_unit != UINT32_MAX || out->count != NULL)
        TR_TRY(tr_merge_identity_rows(work, &out->identity_rows, &out->identity_groups, err));
    if (plan->membership_unit != UINT32_MAX)
        TR_TRY(tr_merge_member_rows(work, &out->member_rows, &out->member_groups, err));
    return TR_OK;
}

/* Whether any of the rows' runs has a unit: the others need not be asked, unit by unit. */
static bool is_anywhere(const tr_rows *rows, const tr_match *matches, const tr_unit *unit)
{
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        const tr_twin *twin = &matches[rows->slices[s].run].twins[unit->first_leaf];
        if (twin->leaf != UINT32_MAX || twin->beside != UINT32_MAX)
            return true;
    }
    return false;
}

static tr_code put_unit(const tr_merge_out *out, const tr_gather *gather, uint32_t unit,
                        uint32_t from, uint32_t to, tr_err *err)
{
    const tr_merge_work *work = out->work;
    const tr_merge_plan *plan = work->plan;
    if (unit == plan->identity_unit)
        return gather_identities(out, from, to, err);
    if (unit == plan->events_unit) {
        const tr_groups events = part_of(&work->event_groups, from, to);
        const tr_merge_nest as = {plan->spec.output, unit, plan->events.matches, NULL};
        return tr_merge_nest_events(work, &as, &events, out->put, out->ctx, err);
    }
    if (unit == plan->membership_unit)
        return gather_membership(out, from, to, err);
    const tr_unit *own = &plan->spec.output->units[unit];
    if (tr_str_is(own->path, "timeSeriesEvents") ||
        !is_anywhere(gather->rows, gather->matches, own))
        return TR_OK;
    return tr_gather_unit(gather, unit, err);
}

tr_code tr_merge_columns(const tr_merge_out *out, uint32_t from, uint32_t to, tr_err *err)
{
    const tr_merge_work *work = out->work;
    const tr_merge_plan *plan = work->plan;
    const tr_groups groups = part_of(&work->record_groups, from, to);
    tr_gather gather = {.shape = plan->spec.output,
                        .rows = &work->records,
                        .matches = plan->records.matches,
                        .lane = plan->records.lane,
                        .is_one_per_lane = !plan->has_upsert && !work->is_lane_shared,
                        .is_direct = plan->is_merged,
                        .arenas = work->memory->scratch,
                        .put = out->put,
                        .ctx = out->ctx};
    tr_arena_reset(&work->memory->index);
    TR_TRY(tr_gather_index(&groups, &work->memory->index, &gather, err));
    if (out->count != NULL && plan->identity_unit == UINT32_MAX)
        TR_TRY(gather_identities(out, from, to, err));
    for (uint32_t unit = 0; unit < plan->spec.output->unit_count; unit++) {
        if (out->cancel != NULL && atomic_load_explicit(out->cancel, memory_order_relaxed))
            return TR_FAIL(err, TR_CANCELLED, "the merge was cancelled");
        TR_TRY(put_unit(out, &gather, unit, from, to, err));
    }
    return TR_OK;
}
