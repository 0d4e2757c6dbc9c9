/* SPDX-License-Identifier: Apache-2.0 */
/* gather_own.c - identityMap of rows that list the identity they are stored under, and no other.
 *
 * Rows of one key are of one identity. When each lists exactly that one, the union of their maps is
 * any of them: nothing needs to be compared, and the ids, which are as many as there are profiles
 * and hardly repeat, are read from the fewest row groups that have them all.
 *
 *     of the best ranked row     all leaves but those below (`primary` and the like)
 *     of the fullest row group   namespace, id: the same in every row of the profile
 *
 * That a row group is so is told by its stored bytes: one entry a row, and ids that are those of
 * the bookkeeping (parquet.h, tr_parquet_has_same_values). Namespaces, which rows may write in
 * several ways, are compared row by row, as codes.
 *
 * Not for stitched runs: there rows of one key are of several identities.
 */
#include "store/gather_internal.h"

#include <string.h>

typedef struct own {
    const tr_gather *gather;
    const tr_unit *unit;
    const tr_parts *outer;
    const tr_united *table;
    tr_arena *arena;
    uint32_t id_leaf;         /* of the output */
    uint32_t *namespace;      /* per row number: its code in the table; 0: it lists nothing */
    uint32_t *slice_of;       /* per row number */
    uint32_t *best, *fullest; /* per group: a row's number, or 0 */
} own;

static tr_code no_memory(const own *o, tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a map of %u rows", o->gather->rows->end);
}

/* The leaf of a run that has the ids; UINT32_MAX: none. */
static uint32_t id_leaf_of(const own *o, uint32_t run)
{
    const tr_type *map = o->gather->matches[run].types[o->unit->type->id];
    const tr_type *id =
        map == NULL ? NULL : tr_type_member(map->children[0]->children[0], tr_str_of("id"));
    return id == NULL || id->kind != TR_KIND_STRING ? UINT32_MAX : id->first_leaf;
}

static bool lists_own(const own *o, uint32_t s)
{
    const tr_slice *slice = &o->gather->rows->slices[s];
    const tr_run *run = o->gather->rows->runs[slice->run];
    const tr_column *outer = &o->outer->columns[s];
    const uint32_t leaf = id_leaf_of(o, slice->run);
    if (run->file == NULL || run->identity_key_leaf != UINT32_MAX || leaf == UINT32_MAX ||
        outer->entries != slice->rows)
        return false;
    for (uint32_t row = 0; row < slice->rows; row++)
        if (outer->codes[row] == 0)
            return false;
    return tr_parquet_has_same_values(run->file, slice->group, leaf, run->id_leaf, slice->from,
                                      slice->rows);
}

static bool all_list_own(const own *o)
{
    for (uint32_t s = 0; s < o->gather->rows->slice_count; s++)
        if (o->outer->is_there[s] && !lists_own(o, s))
            return false;
    return true;
}

static tr_code lay_out(own *o, tr_err *err)
{
    const tr_rows *rows = o->gather->rows;
    const uint32_t groups = o->gather->groups->count;
    o->namespace = tr_arena_array(o->arena, rows->end, sizeof *o->namespace);
    o->slice_of = tr_arena_alloc(o->arena, (size_t)rows->end * sizeof *o->slice_of);
    o->best = tr_arena_array(o->arena, groups, sizeof *o->best);
    o->fullest = tr_arena_array(o->arena, groups, sizeof *o->fullest);
    if (o->namespace == NULL || o->slice_of == NULL || o->best == NULL || o->fullest == NULL)
        return no_memory(o, err);
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        const tr_slice *slice = &rows->slices[s];
        for (uint32_t i = 0; i < slice->rows; i++) {
            o->slice_of[slice->base + i] = s;
            if (o->outer->is_there[s])
                o->namespace[slice->base + i] =
                    tr_united_code(o->table, s, o->outer->columns[s].codes[i]);
        }
    }
    return TR_OK;
}

/* How many of the groups' rows each slice has. */
static tr_code count_rows(const own *o, uint32_t **out, tr_err *err)
{
    const tr_groups *groups = o->gather->groups;
    uint32_t *counts =
        tr_arena_array(o->arena, (size_t)o->gather->rows->slice_count + 1, sizeof *counts);
    if (counts == NULL)
        return no_memory(o, err);
    for (uint32_t i = groups->start[0]; i < groups->start[groups->count]; i++)
        counts[o->slice_of[groups->rows[i]]]++;
    *out = counts;
    return TR_OK;
}

/* The rows that a group is taken from. False: its rows do not write their namespace alike. */
static bool pick(own *o, const uint32_t *counts, uint32_t g)
{
    const tr_groups *groups = o->gather->groups;
    uint32_t best = 0, fullest = 0;
    for (uint32_t i = groups->start[g]; i < groups->start[g + 1]; i++) {
        const uint32_t row = groups->rows[i];
        if (o->namespace[row] == 0)
            continue;
        if (best == 0)
            best = fullest = row;
        else if (o->namespace[row] != o->namespace[best])
            return false;
        else if (counts[o->slice_of[row]] > counts[o->slice_of[fullest]])
            fullest = row;
    }
    o->best[g] = best;
    o->fullest[g] = fullest;
    return true;
}

static tr_code count_namespaces(const own *o, tr_err *err)
{
    const tr_gather *gather = o->gather;
    const uint32_t namespaces = o->table->values.count;
    uint64_t *counts = tr_arena_array(o->arena, (size_t)namespaces + 1, sizeof *counts);
    if (counts == NULL)
        return no_memory(o, err);
    for (uint32_t g = 0; g < gather->groups->count; g++)
        counts[o->namespace[o->best[g]]]++; /* of no row: 0 */
    for (uint32_t i = 0; i < namespaces; i++)
        if (counts[i + 1] > 0)
            gather->count_key(gather->count_ctx, o->table->values.strings[i], counts[i + 1]);
    return TR_OK;
}

static tr_code put_all(const own *o, tr_err *err)
{
    tr_picked best, fullest;
    const tr_gather *gather = o->gather;
    const tr_unit *unit = o->unit;
    const uint32_t leaves = gather->is_keys_only ? 1 : unit->leaf_count;
    TR_TRY(tr_picked_make(gather, o->best, o->arena, &best, err));
    TR_TRY(tr_picked_make(gather, o->fullest, o->arena, &fullest, err));
    if (memchr(best.is_used, true, gather->rows->slice_count) == NULL)
        return TR_OK;
    for (uint32_t i = 0; i < leaves; i++) {
        const uint32_t leaf = unit->first_leaf + i;
        const bool is_same = i == 0 || leaf == o->id_leaf;
        tr_arena_reset(&gather->arenas[1]);
        TR_TRY(tr_gather_picked(gather, leaf, is_same ? &fullest : &best, &gather->arenas[1], err));
    }
    return TR_OK;
}

tr_code tr_gather_own(const tr_gather *gather, const tr_unit *unit, const tr_parts *outer,
                      const tr_united *table, tr_arena *arena, bool *is_done, tr_err *err)
{
    own o = {.gather = gather, .unit = unit, .outer = outer, .table = table, .arena = arena};
    const tr_type *id = tr_type_member(unit->type->children[0]->children[0], tr_str_of("id"));
    uint32_t *counts;
    *is_done = false;
    if (gather->marks_run > 0 || id == NULL || id->kind != TR_KIND_STRING || !all_list_own(&o))
        return TR_OK;
    o.id_leaf = id->first_leaf;
    TR_TRY(lay_out(&o, err));
    TR_TRY(count_rows(&o, &counts, err));
    for (uint32_t g = 0; g < gather->groups->count; g++)
        if (!pick(&o, counts, g))
            return TR_OK;
    if (gather->count_key != NULL)
        TR_TRY(count_namespaces(&o, err));
    if (gather->put != NULL)
        TR_TRY(put_all(&o, err));
    *is_done = true;
    return TR_OK;
}
