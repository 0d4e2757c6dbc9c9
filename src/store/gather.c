/* SPDX-License-Identifier: Apache-2.0 */
/* gather.c - scalars and arrays by rank; see gather.h. Maps are in gather_map.c.
 *
 * The loops over rows are the product's hot path: no allocation, no call, and no branch that depends
 * on data but the one that asks whether a group needs another look.
 */
#include "store/gather_internal.h"

#include <string.h>

enum { FEW_OF = 4 }; /* rows are few when there are so many times as many */

/* Which group each row is in. */
static tr_code index_owners(const tr_groups *groups, uint32_t rows_end, tr_arena *arena, tr_gather *gather,
                            tr_err *err)
{
    uint32_t *owner = tr_arena_alloc(arena, (size_t)rows_end * sizeof *owner);
    if (owner == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to index %u rows", rows_end);
    for (uint32_t row = 0; row < rows_end; row++)
        owner[row] = groups->count;
    for (uint32_t g = 0; g < groups->count; g++)
        for (uint32_t i = groups->start[g]; i < groups->start[g + 1]; i++)
            owner[groups->rows[i]] = g;
    gather->owner = owner;
    gather->slice_of = NULL;
    return TR_OK;
}

/* Which slice each row of the groups is in. */
static tr_code index_slices(const tr_groups *groups, tr_arena *arena, tr_gather *gather, tr_err *err)
{
    const uint32_t from = groups->start[0], count = groups->start[groups->count] - from;
    uint32_t *slice_of = tr_arena_alloc(arena, (size_t)count * sizeof *slice_of + 1);
    if (slice_of == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to index %u rows", count);
    for (uint32_t i = 0; i < count; i++)
        slice_of[i] = tr_rows_slice(gather->rows, groups->rows[from + i]);
    gather->owner = NULL;
    gather->slice_of = slice_of;
    return TR_OK;
}

/* Which row of the slice each group has. */
static tr_code index_direct(const tr_groups *groups, tr_arena *arena, tr_gather *gather, tr_err *err)
{
    const uint32_t count = groups->count, base = gather->rows->slices[0].base;
    gather->groups = groups;
    gather->pick = NULL;
    if (count == gather->rows->end - base && groups->start[count] - groups->start[0] == count)
        return TR_OK; /* all of them: rows are in one group each */
    uint32_t *pick = tr_arena_alloc(arena, (size_t)count * sizeof *pick);
    if (pick == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to index %u rows", count);
    for (uint32_t g = 0; g < count; g++)
        pick[g] = groups->start[g] < groups->start[g + 1] ? groups->rows[groups->start[g]] - base : UINT32_MAX;
    gather->pick = pick;
    return TR_OK;
}

tr_code tr_gather_index(const tr_groups *groups, tr_arena *arena, tr_gather *gather, tr_err *err)
{
    gather->is_direct = gather->is_direct && gather->rows->slice_count == 1;
    if (gather->is_direct)
        return index_direct(groups, arena, gather, err);
    const uint32_t rows_end = gather->rows->end;
    const uint64_t taken = groups->start[groups->count] - groups->start[0];
    uint32_t *first = tr_arena_alloc(arena, (size_t)groups->count * sizeof *first);
    if (first == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to index %u rows", rows_end);
    for (uint32_t g = 0; g < groups->count; g++)
        first[g] = groups->start[g] < groups->start[g + 1] ? groups->rows[groups->start[g]] : 0;
    gather->groups = groups;
    gather->first = first;
    return taken * FEW_OF < rows_end ? index_slices(groups, arena, gather, err)
                                     : index_owners(groups, rows_end, arena, gather, err);
}

/* The words of an INT32 column as DOUBLE. */
static tr_code widen(tr_arena *arena, tr_column *column, tr_err *err)
{
    uint64_t *words = tr_arena_alloc(arena, (size_t)column->values.count * sizeof *words);
    if (words == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to widen %u numbers", column->values.count);
    for (uint32_t i = 0; i < column->values.count; i++) {
        const double real = (double)(int64_t)column->values.words[i];
        memcpy(&words[i], &real, sizeof real);
    }
    column->values.words = words;
    return TR_OK;
}

/* The levels of a leaf beside a missing one, cut off where the two part ways. */
static tr_code borrow(const tr_twin *twin, const tr_leaf *leaf, tr_arena *arena, tr_column *column, tr_err *err)
{
    uint8_t *def = tr_arena_alloc(arena, column->entries), *rep = tr_arena_alloc(arena, column->entries);
    uint32_t *start = tr_arena_alloc(arena, ((size_t)column->rows + 1) * sizeof *start);
    uint32_t *codes = tr_arena_array(arena, column->entries, sizeof *codes);
    if (def == NULL || rep == NULL || start == NULL || codes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u entries", column->entries);
    uint32_t to = 0;
    for (uint32_t row = 0; row < column->rows; row++) {
        start[row] = to;
        for (uint32_t e = column->row_start[row]; e < column->row_start[row + 1]; e++) {
            if (column->rep[e] > twin->rep)
                continue;
            def[to] = column->def[e] < twin->def ? column->def[e] : twin->def;
            rep[to++] = column->rep[e];
        }
    }
    start[column->rows] = to;
    *column = (tr_column){.leaf = leaf, .rows = column->rows, .entries = to, .codes = codes, .def = def,
                          .rep = rep, .row_start = start,
                          .values = {.storage = tr_kind_storage(leaf->kind), .is_distinct = true}};
    return TR_OK;
}

tr_code tr_gather_read(const tr_gather *gather, const tr_slice *slice, uint32_t leaf, tr_arena *arena,
                       tr_column *out, bool *is_there, tr_err *err)
{
    const tr_twin *twin = &gather->matches[slice->run].twins[leaf];
    const uint32_t from = twin->leaf != UINT32_MAX ? twin->leaf : twin->beside;
    *is_there = from != UINT32_MAX;
    if (!*is_there)
        return TR_OK;
    const tr_run *run = gather->rows->runs[slice->run];
    tr_column column;
    TR_TRY(tr_run_read(run, slice->group, from, slice->from, slice->rows, arena, &column, err));
    if (twin->leaf == UINT32_MAX)
        TR_TRY(borrow(twin, &gather->shape->leaves[leaf], arena, &column, err));
    else if (twin->is_widened)
        TR_TRY(widen(arena, &column, err));
    *out = column;
    return TR_OK;
}

/* is_used  per slice; NULL: all */
static tr_code read_parts(const tr_gather *gather, uint32_t leaf, const bool *is_used, tr_arena *arena,
                          tr_parts *out, tr_err *err)
{
    const uint32_t slices = gather->rows->slice_count;
    tr_parts parts = {.columns = tr_arena_array(arena, slices, sizeof *parts.columns),
                      .is_there = tr_arena_array(arena, slices, sizeof *parts.is_there),
                      .lane = UINT32_MAX, .is_one_lane = true};
    if (parts.columns == NULL || parts.is_there == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u row groups", slices);
    for (uint32_t s = 0; s < slices; s++) {
        const tr_slice *slice = &gather->rows->slices[s];
        if (is_used == NULL || is_used[s])
            TR_TRY(tr_gather_read(gather, slice, leaf, arena, &parts.columns[s], &parts.is_there[s], err));
        if (!parts.is_there[s]) {
            parts.columns[s].values.storage = tr_kind_storage(gather->shape->leaves[leaf].kind);
            continue;
        }
        parts.is_one_lane = parts.is_one_lane &&
                            (parts.lane == UINT32_MAX || parts.lane == gather->lane[slice->run]);
        parts.lane = gather->lane[slice->run];
    }
    *out = parts;
    return TR_OK;
}

tr_code tr_gather_parts(const tr_gather *gather, uint32_t leaf, tr_arena *arena, tr_parts *out, tr_err *err)
{
    return read_parts(gather, leaf, NULL, arena, out, err);
}

/* No group has two rows with this column: every row writes to its group, no matter what rank it has. */
static void scatter(const tr_gather *gather, const tr_parts *parts, const tr_united *united, uint32_t *out)
{
    memset(out, 0, (size_t)gather->groups->count * sizeof *out);
    for (uint32_t s = 0; s < gather->rows->slice_count; s++) {
        const tr_slice *slice = &gather->rows->slices[s];
        const uint32_t *owner = gather->owner + slice->base, *codes = parts->columns[s].codes;
        const uint32_t *remap = united->remap[s], shift = united->shift[s];
        if (!parts->is_there[s])
            continue;
        if (remap != NULL)
            for (uint32_t i = 0; i < slice->rows; i++)
                out[owner[i]] = remap[codes[i]];
        else
            for (uint32_t i = 0; i < slice->rows; i++)
                out[owner[i]] = codes[i] + (codes[i] == 0 ? 0 : shift);
    }
}

/* Codes by row number; a run without the column has zeros. */
static void lay_out(const tr_gather *gather, const tr_parts *parts, const tr_united *united, uint32_t *codes)
{
    codes[0] = 0;
    for (uint32_t s = 0; s < gather->rows->slice_count; s++) {
        const tr_slice *slice = &gather->rows->slices[s];
        uint32_t *to = codes + slice->base;
        const uint32_t *from = parts->columns[s].codes;
        const uint32_t *remap = united->remap[s], shift = united->shift[s];
        if (!parts->is_there[s])
            memset(to, 0, slice->rows * sizeof *to);
        else if (remap != NULL)
            for (uint32_t i = 0; i < slice->rows; i++)
                to[i] = remap[from[i]];
        else
            for (uint32_t i = 0; i < slice->rows; i++)
                to[i] = from[i] + (from[i] == 0 ? 0 : shift);
    }
}

/* out[g] = the first code that is not 0 among the group's rows. All groups look at their first row;
 * those still empty, with rows left, look at their second; and so on. */
static void take_first(const tr_gather *gather, const uint32_t *codes, uint32_t *left, uint32_t *out)
{
    const uint32_t *start = gather->groups->start, *rows = gather->groups->rows, *first = gather->first;
    uint32_t count = 0;
    for (uint32_t g = 0; g < gather->groups->count; g++) {
        const uint32_t code = codes[first[g]];
        out[g] = code;
        left[count] = g;
        count += (code == 0) & (start[g + 1] - start[g] > 1);
    }
    for (uint32_t rank = 1; count > 0; rank++) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t g = left[i], at = start[g] + rank;
            const uint32_t code = codes[rows[at]];
            out[g] = code;
            left[kept] = g;
            kept += (code == 0) & (at + 1 < start[g + 1]);
        }
        count = kept;
    }
}

/* Codes of a scalar that is taken from few of its rows. */
static tr_code pick_few(const tr_gather *gather, const tr_parts *parts, tr_arena *arena, uint32_t *out,
                        tr_values *values, tr_err *err)
{
    const tr_groups *groups = gather->groups;
    const uint32_t from = groups->start[0];
    tr_picker *picker;
    TR_TRY(tr_picker_open(parts->columns, gather->rows->slice_count, groups->count, arena, &picker, err));
    for (uint32_t g = 0; g < groups->count; g++) {
        out[g] = 0;
        for (uint32_t i = groups->start[g]; i < groups->start[g + 1] && out[g] == 0; i++) {
            const uint32_t s = gather->slice_of[i - from];
            const uint32_t row = groups->rows[i] - gather->rows->slices[s].base;
            if (parts->is_there[s] && parts->columns[s].codes[row] != 0)
                out[g] = tr_picker_code(picker, s, parts->columns[s].codes[row]);
        }
    }
    *values = tr_picker_values(picker);
    return TR_OK;
}

static tr_code pick_many(const tr_gather *gather, const tr_parts *parts, tr_arena *arena, uint32_t *out,
                         tr_values *values, tr_err *err)
{
    tr_united united;
    const uint32_t count = gather->groups->count;
    TR_TRY(tr_unite(parts->columns, gather->rows->slice_count, false, arena, &united, err));
    *values = united.values;
    if (united.values.count == 0)
        return TR_OK;
    if (parts->is_one_lane && gather->is_one_per_lane) {
        scatter(gather, parts, &united, out);
        return TR_OK;
    }
    uint32_t *codes = tr_arena_alloc(arena, (size_t)gather->rows->end * sizeof *codes);
    uint32_t *left = tr_arena_alloc(arena, ((size_t)count + 1) * sizeof *left);
    if (codes == NULL || left == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u rows", gather->rows->end);
    lay_out(gather, parts, &united, codes);
    take_first(gather, codes, left, out);
    return TR_OK;
}

static tr_code gather_scalar(const tr_gather *gather, uint32_t leaf, tr_arena *arena, tr_err *err)
{
    tr_parts parts;
    tr_values values;
    const uint32_t count = gather->groups->count;
    TR_TRY(tr_gather_parts(gather, leaf, arena, &parts, err));
    uint32_t *out = tr_arena_alloc(arena, ((size_t)count + 1) * sizeof *out); /* one more for no group */
    if (out == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u rows", count);
    TR_TRY(gather->slice_of != NULL ? pick_few(gather, &parts, arena, out, &values, err)
                                    : pick_many(gather, &parts, arena, out, &values, err));
    if (values.count == 0)
        return TR_OK;
    const tr_column column = {.leaf = &gather->shape->leaves[leaf], .rows = count, .entries = count,
                              .codes = out, .values = values};
    return gather->put(gather->ctx, leaf, &column, err);
}

/* Per group the number of the first row in which the unit is present, or 0. Presence is asked of the
 * unit's first leaf: all leaves of a unit agree on it. */
static tr_code pick_rows(const tr_gather *gather, uint32_t leaf, uint32_t *pick, tr_err *err)
{
    tr_parts parts;
    tr_arena *scratch = &gather->arenas[1];
    tr_arena_reset(scratch);
    TR_TRY(tr_gather_parts(gather, leaf, scratch, &parts, err));
    uint32_t *present = tr_arena_array(scratch, gather->rows->end, sizeof *present);
    uint32_t *left = tr_arena_alloc(scratch, ((size_t)gather->groups->count + 1) * sizeof *left);
    if (present == NULL || left == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u rows", gather->rows->end);
    for (uint32_t s = 0; s < gather->rows->slice_count; s++) {
        const tr_slice *slice = &gather->rows->slices[s];
        const tr_column *column = &parts.columns[s];
        for (uint32_t i = 0; parts.is_there[s] && i < slice->rows; i++)
            present[slice->base + i] = column->def[column->row_start[i]] == 0 ? 0 : slice->base + i;
    }
    take_first(gather, present, left, pick);
    return TR_OK;
}

tr_code tr_entries_begin(tr_arena *arena, uint32_t rows, uint64_t entries, tr_entries *out, tr_err *err)
{
    if (entries >= UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 array entries in a column");
    *out = (tr_entries){.codes = tr_arena_alloc(arena, entries * sizeof *out->codes),
                        .def = tr_arena_alloc(arena, entries), .rep = tr_arena_alloc(arena, entries),
                        .row_start = tr_arena_alloc(arena, ((size_t)rows + 1) * sizeof *out->row_start)};
    if (out->codes == NULL || out->def == NULL || out->rep == NULL || out->row_start == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %llu entries", (unsigned long long)entries);
    return TR_OK;
}

void tr_entries_copy(tr_entries *to, const tr_column *from, uint32_t first, uint32_t last,
                     const tr_united *united, uint32_t part)
{
    const uint32_t count = last - first;
    const uint32_t *remap = united->remap[part], shift = united->shift[part];
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t code = from->codes[first + i];
        to->codes[to->count + i] = remap != NULL ? remap[code] : code + (code == 0 ? 0 : shift);
    }
    memcpy(to->def + to->count, from->def + first, count);
    memcpy(to->rep + to->count, from->rep + first, count);
    to->count += count;
}

tr_code tr_entries_put(const tr_gather *gather, uint32_t leaf, const tr_entries *entries,
                       const tr_united *united, tr_err *err)
{
    const tr_column column = {.leaf = &gather->shape->leaves[leaf], .rows = gather->groups->count,
                              .entries = entries->count, .codes = entries->codes, .def = entries->def,
                              .rep = entries->rep, .row_start = entries->row_start, .values = united->values};
    return gather->put(gather->ctx, leaf, &column, err);
}

tr_code tr_picked_make(const tr_gather *gather, const uint32_t *row, tr_arena *arena, tr_picked *out, tr_err *err)
{
    const uint32_t groups = gather->groups->count;
    uint32_t *slice = tr_arena_array(arena, groups, sizeof *slice);
    bool *is_used = tr_arena_array(arena, gather->rows->slice_count, sizeof *is_used);
    if (slice == NULL || is_used == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u rows", groups);
    for (uint32_t g = 0; g < groups; g++) {
        if (row[g] == 0)
            continue;
        slice[g] = tr_rows_slice(gather->rows, row[g]);
        is_used[slice[g]] = true;
    }
    *out = (tr_picked){.row = row, .slice = slice, .is_used = is_used};
    return TR_OK;
}

/* Whether the groups take all rows of one slice, one after the other. */
static bool is_a_slice(const tr_gather *gather, const tr_picked *picked)
{
    const uint32_t groups = gather->groups->count;
    const tr_slice *slice = &gather->rows->slices[picked->slice[0]];
    if (groups != slice->rows)
        return false;
    for (uint32_t g = 0; g < groups; g++)
        if (picked->row[g] != slice->base + g)
            return false;
    return true;
}

static void copy_rows(const tr_gather *gather, const tr_picked *picked, const tr_parts *parts,
                      const tr_united *united, tr_entries *entries)
{
    for (uint32_t g = 0; g < gather->groups->count; g++) {
        const uint32_t s = picked->slice[g], row = picked->row[g] - gather->rows->slices[s].base;
        const tr_column *column = &parts->columns[s];
        entries->row_start[g] = entries->count;
        if (picked->row[g] == 0) {
            tr_entries_absent(entries);
            continue;
        }
        const uint32_t from = column->row_start[row], to = column->row_start[row + 1];
        if (to - from == 1) {
            entries->codes[entries->count] = tr_united_code(united, s, column->codes[from]);
            entries->def[entries->count] = column->def[from];
            entries->rep[entries->count++] = 0;
        } else {
            tr_entries_copy(entries, column, from, to, united, s);
        }
    }
    entries->row_start[gather->groups->count] = entries->count;
}

tr_code tr_gather_picked(const tr_gather *gather, uint32_t leaf, const tr_picked *picked, tr_arena *arena,
                         tr_err *err)
{
    tr_parts parts;
    tr_united united;
    tr_entries entries;
    uint64_t total = 0;
    TR_TRY(read_parts(gather, leaf, picked->is_used, arena, &parts, err));
    if (is_a_slice(gather, picked) && parts.is_there[picked->slice[0]]) { /* as it stands */
        tr_column column = parts.columns[picked->slice[0]];
        column.leaf = &gather->shape->leaves[leaf];
        return gather->put(gather->ctx, leaf, &column, err);
    }
    TR_TRY(tr_unite(parts.columns, gather->rows->slice_count, false, arena, &united, err));
    for (uint32_t g = 0; g < gather->groups->count; g++) {
        const tr_column *column = &parts.columns[picked->slice[g]];
        const uint32_t row = picked->row[g] - gather->rows->slices[picked->slice[g]].base;
        total += picked->row[g] == 0 ? 1 : column->row_start[row + 1] - column->row_start[row];
    }
    TR_TRY(tr_entries_begin(arena, gather->groups->count, total, &entries, err));
    copy_rows(gather, picked, &parts, &united, &entries);
    return tr_entries_put(gather, leaf, &entries, &united, err);
}

static tr_code gather_array(const tr_gather *gather, const tr_unit *unit, tr_arena *arena, tr_err *err)
{
    tr_arena *scratch = &gather->arenas[1];
    tr_picked picked;
    const uint32_t count = gather->groups->count;
    uint32_t *pick = tr_arena_alloc(arena, (size_t)count * sizeof *pick);
    if (pick == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u rows", count);
    TR_TRY(pick_rows(gather, unit->first_leaf, pick, err));
    TR_TRY(tr_picked_make(gather, pick, arena, &picked, err));
    const bool is_any = memchr(picked.is_used, true, gather->rows->slice_count) != NULL;
    for (uint32_t i = 0; is_any && i < unit->leaf_count; i++) {
        tr_arena_reset(scratch);
        TR_TRY(tr_gather_picked(gather, unit->first_leaf + i, &picked, scratch, err));
    }
    return TR_OK;
}

static bool is_anywhere(const tr_column *column)
{
    for (uint32_t e = 0; e < column->entries; e++)
        if (column->def[e] > 0)
            return true;
    return false;
}

/* How many groups have each key of a map's key column: a row has a key once. */
static tr_code count_direct(const tr_gather *gather, const tr_column *keys, tr_arena *arena, tr_err *err)
{
    uint64_t *counts = tr_arena_array(arena, (size_t)keys->values.count + 1, sizeof *counts);
    if (counts == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u map keys", keys->values.count);
    for (uint32_t e = 0; e < keys->entries; e++)
        counts[keys->codes[e]]++;
    for (uint32_t k = 0; k < keys->values.count; k++)
        if (counts[k + 1] > 0)
            gather->count_key(gather->count_ctx, keys->values.strings[k], counts[k + 1]);
    return TR_OK;
}

static tr_code gather_direct(const tr_gather *gather, const tr_unit *unit, tr_err *err)
{
    const bool is_scalar = tr_kind_is_scalar(unit->type->kind);
    tr_arena *arena = &gather->arenas[is_scalar ? 0 : 1];
    for (uint32_t leaf = unit->first_leaf; leaf < unit->first_leaf + unit->leaf_count; leaf++) {
        tr_column column;
        bool is_there;
        tr_arena_reset(arena);
        TR_TRY(tr_gather_read(gather, &gather->rows->slices[0], leaf, arena, &column, &is_there, err));
        if (!is_there || (is_scalar && column.values.count == 0))
            return TR_OK;
        if (gather->pick != NULL)
            TR_TRY(tr_column_pick(arena, &column, gather->pick, gather->groups->count, &column, err));
        column.leaf = &gather->shape->leaves[leaf];
        if (leaf == unit->first_leaf && !is_scalar && !is_anywhere(&column))
            return TR_OK;
        if (leaf == unit->first_leaf && gather->count_key != NULL && unit->type->kind == TR_KIND_MAP)
            TR_TRY(count_direct(gather, &column, arena, err));
        if (gather->put == NULL)
            return TR_OK;
        TR_TRY(gather->put(gather->ctx, leaf, &column, err));
        if (gather->is_keys_only)
            return TR_OK;
    }
    return TR_OK;
}

tr_code tr_gather_unit(const tr_gather *gather, uint32_t unit, tr_err *err)
{
    tr_arena *arena = &gather->arenas[0];
    const tr_unit *own = &gather->shape->units[unit];
    if (gather->rows->slice_count == 0 || gather->groups->count == 0)
        return TR_OK;
    tr_arena_reset(arena);
    if (gather->is_direct)
        return gather_direct(gather, own, err);
    if (tr_kind_is_scalar(own->type->kind))
        return gather_scalar(gather, own->first_leaf, arena, err);
    if (own->type->kind == TR_KIND_ARRAY || gather->is_verbatim)
        return gather_array(gather, own, arena, err);
    return tr_gather_map(gather, own, arena, err);
}
