/* SPDX-License-Identifier: Apache-2.0 */
/* prefetch.c - a lookup reads one row of forty columns, each of them a miss of the processor's
 * caches; asked for at once, they come in the time of a few. Which leaves of a run a plan reads is
 * listed when it is opened.
 */
#include "merge/merge_internal.h"
#include "parquet/cache.h"

static void mark(bool *is_read, uint32_t leaf)
{
    if (leaf != UINT32_MAX)
        is_read[leaf] = true;
}

static tr_code list_leaves(tr_merge_plan *plan, const tr_run *run, const tr_match *match,
                           tr_merge_leaves *out, tr_err *err)
{
    const uint32_t count = tr_parquet_shape(run->file)->leaf_count;
    bool *is_read = tr_arena_array(&plan->arena, count, sizeof *is_read);
    out->leaves = tr_arena_alloc(&plan->arena, (size_t)count * sizeof *out->leaves);
    if (is_read == NULL || out->leaves == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge");
    for (uint32_t i = 0; i < plan->spec.output->leaf_count; i++) {
        mark(is_read, match->twins[i].leaf);
        mark(is_read, match->twins[i].beside);
    }
    mark(is_read, run->updated_leaf);
    if (run->ingested_min_us != run->ingested_us)
        mark(is_read, run->ingested_leaf);
    if (run->batch[0] == '\0')
        mark(is_read, run->batch_leaf);
    for (uint32_t i = 0; i < count; i++)
        if (is_read[i])
            out->leaves[out->count++] = i;
    return TR_OK;
}

tr_code tr_merge_list_leaves(tr_merge_plan *plan, tr_merge_side *side, tr_err *err)
{
    if (side->matches == NULL)
        return TR_OK;
    side->read = tr_arena_array(&plan->arena, side->run_count, sizeof *side->read);
    if (side->read == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge");
    for (uint32_t r = 0; r < side->run_count; r++)
        TR_TRY(list_leaves(plan, side->runs[r], &side->matches[r], &side->read[r], err));
    return TR_OK;
}

void tr_merge_prefetch(const tr_merge_side *side, const tr_rows *rows)
{
    for (uint32_t s = 0; s < rows->slice_count && side->read != NULL; s++) {
        const tr_slice *slice = &rows->slices[s];
        const tr_merge_leaves *read = &side->read[slice->run];
        tr_parquet_prefetch(side->runs[slice->run]->file, slice->group, slice->from, read->leaves,
                            read->count);
    }
}
