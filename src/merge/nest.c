/* SPDX-License-Identifier: Apache-2.0 */
/* nest.c - rows of event runs as entries of the array timeSeriesEvents.
 *
 *     in a run, one row an event                 in the output, one row a profile
 *     web.url        [ u1 u2 -- u4 ]             rep [ 0 1 1 | 0 ]   0: first event of the profile
 *     (no levels above the unit)                 def [ 5 5 3 | 5 ]   3: an event, but no `web` in it
 *
 * An event's own arrays keep their levels, moved by one repetition and by the levels above them. A missing value's
 * level says how many of the objects above it are present; in memory nobody knows that of a run (column.h),
 * so it is worked out first: an object is present when a unit in it is.
 */
#include "merge/merge_internal.h"

#include <string.h>

typedef struct nester {
    tr_gather gather;        /* of event rows; its groups are not used */
    const tr_groups *groups; /* events by profile */
    const tr_type *unit;     /* timeSeriesEvents */
    const tr_type *element;
    uint32_t *slice_of;      /* per picked event */
    uint32_t *row_of;        /* its row in the slice */
    uint32_t *place;         /* per event row number: its place among the picked, or UINT32_MAX */
    uint32_t event_count;
    uint8_t **level;         /* per type id: objects' levels per picked event; NULL: always the element's */
} nester;

/* The object that a leaf's own unit (within the event) stands in. */
static const tr_type *anchor_of(const nester *n, const tr_leaf *leaf)
{
    const tr_type *inner = leaf->type;
    for (const tr_type *t = leaf->type; t != n->element; t = t->parent)
        if (t->kind == TR_KIND_ARRAY || t->kind == TR_KIND_MAP)
            inner = t;
    return inner->parent;
}

static tr_code find_places(nester *n, tr_arena *arena, tr_err *err)
{
    const tr_rows *rows = n->gather.rows;
    const uint32_t from = n->groups->start[0];
    uint32_t slice = 0; /* of the event before */
    n->event_count = n->groups->start[n->groups->count] - from;
    n->slice_of = tr_arena_alloc(arena, (size_t)n->event_count * sizeof *n->slice_of);
    n->row_of = tr_arena_alloc(arena, (size_t)n->event_count * sizeof *n->row_of);
    n->place = tr_arena_alloc(arena, (size_t)rows->end * sizeof *n->place);
    if (n->slice_of == NULL || n->row_of == NULL || n->place == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", n->event_count);
    memset(n->place, 0xff, (size_t)rows->end * sizeof *n->place);
    for (uint32_t i = 0; i < n->event_count; i++) {
        const uint32_t number = n->groups->rows[from + i];
        if (number - rows->slices[slice].base >= rows->slices[slice].rows)
            slice = tr_rows_slice(rows, number);
        n->slice_of[i] = slice;
        n->row_of[i] = number - rows->slices[n->slice_of[i]].base;
        n->place[number] = i;
    }
    return TR_OK;
}

/* The array of an object's levels, made with the presence of nothing in it yet. */
static tr_code level_of(nester *n, const tr_type *object, tr_arena *arena, uint8_t **out, tr_err *err)
{
    if (n->level[object->id] == NULL)
        n->level[object->id] = tr_arena_array(arena, n->event_count, 1);
    *out = n->level[object->id];
    return *out != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", n->event_count);
}

/* Marks the object that a unit stands in as present (1) where the unit is. */
static tr_code mark(nester *n, uint32_t leaf, const tr_type *anchor, tr_arena *arena, tr_arena *scratch,
                    tr_err *err)
{
    uint8_t *level;
    const tr_rows *rows = n->gather.rows;
    TR_TRY(level_of(n, anchor, arena, &level, err));
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        tr_column column;
        bool is_there;
        TR_TRY(tr_gather_read(&n->gather, &rows->slices[s], leaf, scratch, &column, &is_there, err));
        for (uint32_t i = 0; is_there && i < rows->slices[s].rows; i++) {
            const uint32_t place = n->place[rows->slices[s].base + i];
            if (place != UINT32_MAX)
                level[place] |= column.row_start == NULL ? column.codes[i] != 0
                                                         : column.def[column.row_start[i]] != 0;
        }
    }
    return TR_OK;
}

/* Presence from the inside out, then levels from the outside in: types of an event are numbered in preorder. */
static void settle_levels(nester *n, const tr_type *object)
{
    for (uint32_t i = 0; i < object->child_count; i++) {
        const tr_type *child = object->children[i];
        if (child->kind != TR_KIND_OBJECT || n->level[child->id] == NULL)
            continue;
        const uint8_t def = tr_type_def(n->unit, child);
        const uint8_t *outer = n->level[object->id];
        const uint8_t outer_def = tr_type_def(n->unit, object);
        uint8_t *own = n->level[child->id];
        for (uint32_t e = 0; e < n->event_count; e++)
            own[e] = own[e] != 0 ? def : outer == NULL ? outer_def : outer[e];
        settle_levels(n, child);
    }
}

static tr_code spread_presence(nester *n, const tr_type *object, tr_arena *arena, tr_err *err)
{
    for (uint32_t i = 0; i < object->child_count; i++) {
        const tr_type *child = object->children[i];
        uint8_t *own, *inner;
        if (child->kind != TR_KIND_OBJECT)
            continue;
        TR_TRY(spread_presence(n, child, arena, err));
        if (object == n->element)
            continue; /* an event is always present */
        TR_TRY(level_of(n, object, arena, &own, err));
        TR_TRY(level_of(n, child, arena, &inner, err));
        for (uint32_t e = 0; e < n->event_count; e++)
            own[e] |= inner[e];
    }
    return TR_OK;
}

static tr_code find_levels(nester *n, const tr_unit *unit, const bool *wanted, tr_arena *arena, tr_arena *scratch,
                           tr_err *err)
{
    const tr_shape *shape = n->gather.shape;
    const tr_type *before = NULL; /* several leaves of one inner unit follow each other */
    n->level = tr_arena_array(arena, shape->type_count, sizeof *n->level);
    if (n->level == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", n->event_count);
    for (uint32_t leaf = unit->first_leaf; leaf < unit->first_leaf + unit->leaf_count; leaf++) {
        const tr_type *anchor = anchor_of(n, &shape->leaves[leaf]), *inner = shape->leaves[leaf].type;
        if (wanted != NULL && !wanted[leaf])
            continue;
        while (inner->parent != anchor)
            inner = inner->parent;
        if (anchor == n->element || inner == before)
            continue;
        before = inner;
        tr_arena_reset(scratch);
        TR_TRY(mark(n, leaf, anchor, arena, scratch, err));
    }
    TR_TRY(spread_presence(n, n->element, arena, err));
    settle_levels(n, n->element);
    return TR_OK;
}

typedef struct leaf_out {
    const nester *n;
    tr_column *parts;
    bool *is_there;
    tr_united united;
    uint8_t anchor_def;
    const uint8_t *level; /* NULL: anchor_def */
    uint32_t *codes, *row_start;
    uint8_t *def, *rep;
    uint32_t count;
} leaf_out;

static void add_event(leaf_out *out, uint32_t event, bool is_first)
{
    const uint32_t s = out->n->slice_of[event], row = out->n->row_of[event];
    const tr_column *column = &out->parts[s];
    const uint8_t absent = out->level == NULL ? out->anchor_def : out->level[event];
    const bool is_flat = !out->is_there[s] || column->row_start == NULL;
    const uint32_t first = is_flat ? row : column->row_start[row];
    const uint32_t last = is_flat ? row + 1 : column->row_start[row + 1];
    for (uint32_t e = first; e < last; e++) {
        const uint32_t code = out->is_there[s] ? tr_united_code(&out->united, s, column->codes[e]) : 0;
        const uint8_t own = is_flat ? code != 0 : column->def[e];
        out->codes[out->count] = code;
        out->def[out->count] = own == 0 ? absent : (uint8_t)(out->anchor_def + own);
        out->rep[out->count++] = e == first ? !is_first : (uint8_t)(column->rep[e] + 1);
    }
}

static uint64_t count_entries(const leaf_out *out)
{
    uint64_t entries = out->n->groups->count;
    for (uint32_t event = 0; event < out->n->event_count; event++) {
        const uint32_t s = out->n->slice_of[event], row = out->n->row_of[event];
        const uint32_t *start = out->is_there[s] ? out->parts[s].row_start : NULL;
        entries += start == NULL ? 1 : start[row + 1] - start[row];
    }
    return entries;
}

/* The same for a leaf that is in no array of the event. */
static void add_flat_event(leaf_out *out, uint32_t event, bool is_first)
{
    const uint32_t s = out->n->slice_of[event];
    const uint32_t code = out->is_there[s] ? out->parts[s].codes[out->n->row_of[event]] : 0;
    const uint8_t absent = out->level == NULL ? out->anchor_def : out->level[event];
    out->codes[out->count] = tr_united_code(&out->united, s, code);
    out->def[out->count] = code == 0 ? absent : (uint8_t)(out->anchor_def + 1);
    out->rep[out->count++] = !is_first;
}

static bool is_flat(const leaf_out *out)
{
    for (uint32_t s = 0; s < out->n->gather.rows->slice_count; s++)
        if (out->is_there[s] && out->parts[s].row_start != NULL)
            return false;
    return true;
}

static tr_code read_parts(leaf_out *out, uint32_t leaf, tr_arena *arena, tr_err *err)
{
    const tr_rows *rows = out->n->gather.rows;
    const tr_shape *shape = out->n->gather.shape;
    out->parts = tr_arena_array(arena, rows->slice_count, sizeof *out->parts);
    out->is_there = tr_arena_array(arena, rows->slice_count, sizeof *out->is_there);
    if (out->parts == NULL || out->is_there == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u row groups", rows->slice_count);
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        TR_TRY(tr_gather_read(&out->n->gather, &rows->slices[s], leaf, arena, &out->parts[s],
                              &out->is_there[s], err));
        if (!out->is_there[s])
            out->parts[s].values.storage = tr_kind_storage(shape->leaves[leaf].kind);
    }
    return tr_unite(out->parts, rows->slice_count, false, arena, &out->united, err);
}

static tr_code nest_leaf(const nester *n, uint32_t leaf, tr_arena *arena, tr_gather_put put, void *ctx, tr_err *err)
{
    const tr_type *anchor = anchor_of(n, &n->gather.shape->leaves[leaf]);
    leaf_out out = {.n = n, .anchor_def = tr_type_def(n->unit, anchor), .level = n->level[anchor->id]};
    TR_TRY(read_parts(&out, leaf, arena, err));
    const uint64_t entries = count_entries(&out);
    if (entries >= UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 event entries in a column");
    out.codes = tr_arena_alloc(arena, entries * sizeof *out.codes);
    out.def = tr_arena_alloc(arena, entries);
    out.rep = tr_arena_alloc(arena, entries);
    out.row_start = tr_arena_alloc(arena, ((size_t)n->groups->count + 1) * sizeof *out.row_start);
    if (out.codes == NULL || out.def == NULL || out.rep == NULL || out.row_start == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %llu entries", (unsigned long long)entries);
    uint32_t event = 0;
    const bool is_flat_leaf = is_flat(&out);
    for (uint32_t g = 0; g < n->groups->count; g++) {
        const uint32_t events = n->groups->start[g + 1] - n->groups->start[g];
        out.row_start[g] = out.count;
        for (uint32_t i = 0; i < events && is_flat_leaf; i++)
            add_flat_event(&out, event++, i == 0);
        for (uint32_t i = 0; i < events && !is_flat_leaf; i++)
            add_event(&out, event++, i == 0);
        if (events == 0) {
            out.codes[out.count] = 0;
            out.def[out.count] = 0;
            out.rep[out.count++] = 0;
        }
    }
    out.row_start[n->groups->count] = out.count;
    const tr_column column = {.leaf = &n->gather.shape->leaves[leaf], .rows = n->groups->count,
                              .entries = out.count, .codes = out.codes, .def = out.def, .rep = out.rep,
                              .row_start = out.row_start, .values = out.united.values};
    return put(ctx, leaf, &column, err);
}

tr_code tr_merge_nest_events(const tr_merge_work *work, const tr_merge_nest *as, const tr_groups *groups,
                             tr_gather_put put, void *ctx, tr_err *err)
{
    const tr_unit *unit = &as->shape->units[as->unit];
    tr_arena *arena = &work->memory->scratch[0], *scratch = &work->memory->scratch[1];
    nester n = {.gather = {.shape = as->shape, .rows = &work->events, .matches = as->matches},
                .groups = groups, .unit = unit->type, .element = unit->type->children[0]};
    if (groups->start[groups->count] == groups->start[0])
        return TR_OK;
    tr_arena_reset(arena);
    TR_TRY(find_places(&n, arena, err));
    TR_TRY(find_levels(&n, unit, as->wanted, arena, scratch, err));
    for (uint32_t i = 0; i < unit->leaf_count; i++) {
        if (as->wanted != NULL && !as->wanted[unit->first_leaf + i])
            continue;
        tr_arena_reset(scratch);
        TR_TRY(nest_leaf(&n, unit->first_leaf + i, scratch, put, ctx, err));
    }
    return TR_OK;
}
