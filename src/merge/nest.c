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
 *
 * Settled events (store/settle.h) of profiles that follow each other are rows that follow each other: SPANS, which are
 * copied as they are. Leaves that are in no array of the event have the same entries, and share what says where
 * profiles begin.
 */
#include "merge/merge_internal.h"

#include <string.h>

/* Events whose rows follow each other in a slice, and their entries in the output. */
typedef struct span {
    uint32_t event; /* the first one's number among those of the groups */
    uint32_t entry; /* of it, in a leaf that is in no array of the event */
    uint32_t slice, row;
    uint32_t count;
} span;

typedef struct nester {
    tr_gather gather;        /* of event rows; its groups are not used */
    const tr_groups *groups; /* events by profile */
    const tr_type *unit;     /* timeSeriesEvents */
    const tr_type *element;
    uint32_t event_count;
    span *spans;
    uint32_t span_count;
    uint32_t *absent;        /* entries of profiles without an event */
    uint32_t absent_count;
    uint8_t **level;         /* per type id: objects' levels per picked event; NULL: always the element's */
    struct {                 /* of leaves in no array of the event */
        uint32_t entries;
        uint8_t *rep;
        uint32_t *row_start;
    } flat;
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

static tr_code make_spans(nester *n, tr_arena *arena, tr_err *err)
{
    const size_t groups = n->groups->count;
    n->event_count = n->groups->start[groups] - n->groups->start[0];
    n->spans = tr_arena_alloc(arena, (size_t)n->event_count * sizeof *n->spans);
    n->absent = tr_arena_alloc(arena, groups * sizeof *n->absent);
    n->flat.row_start = tr_arena_alloc(arena, (groups + 1) * sizeof *n->flat.row_start);
    n->flat.rep = tr_arena_alloc(arena, n->event_count + groups);
    if (n->spans == NULL || n->absent == NULL || n->flat.row_start == NULL || n->flat.rep == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", n->event_count);
    return (uint64_t)n->event_count + groups < UINT32_MAX
               ? TR_OK
               : TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 event entries in a column");
}

/* The spans of some rows that are the next events. */
static void add_rows(nester *n, const uint32_t *numbers, uint32_t count, uint32_t event, uint32_t entry)
{
    const tr_rows *rows = n->gather.rows;
    span *last = n->span_count == 0 ? NULL : &n->spans[n->span_count - 1];
    uint32_t next = last == NULL ? 0 : rows->slices[last->slice].base + last->row + last->count;
    for (uint32_t i = 0; i < count; i++, next++) {
        const tr_slice *slice = last == NULL ? NULL : &rows->slices[last->slice];
        const bool is_within = slice != NULL && numbers[i] - slice->base < slice->rows;
        if (is_within && numbers[i] == next && entry + i == last->entry + last->count) {
            last->count++;
            continue;
        }
        const uint32_t s = is_within ? last->slice : tr_rows_slice(rows, numbers[i]);
        last = &n->spans[n->span_count++];
        *last = (span){.event = event + i, .entry = entry + i, .slice = s, .row = numbers[i] - rows->slices[s].base,
                       .count = 1};
        next = numbers[i];
    }
}

static tr_code find_spans(nester *n, tr_arena *arena, tr_err *err)
{
    const tr_groups *groups = n->groups;
    uint32_t entry = 0, event = 0;
    TR_TRY(make_spans(n, arena, err));
    memset(n->flat.rep, 1, (size_t)n->event_count + groups->count);
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t count = groups->start[g + 1] - groups->start[g];
        n->flat.row_start[g] = entry;
        n->flat.rep[entry] = 0;
        if (count == 0)
            n->absent[n->absent_count++] = entry++;
        else
            add_rows(n, groups->rows + groups->start[g], count, event, entry);
        entry += count;
        event += count;
    }
    n->flat.row_start[groups->count] = n->flat.entries = entry;
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

/* A leaf's column of every slice. */
typedef struct parts {
    tr_column *columns;
    bool *is_there;
} parts;

static tr_code read_parts(const nester *n, uint32_t leaf, tr_arena *arena, parts *out, tr_err *err)
{
    const tr_rows *rows = n->gather.rows;
    const tr_shape *shape = n->gather.shape;
    out->columns = tr_arena_array(arena, rows->slice_count, sizeof *out->columns);
    out->is_there = tr_arena_array(arena, rows->slice_count, sizeof *out->is_there);
    if (out->columns == NULL || out->is_there == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u row groups", rows->slice_count);
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        TR_TRY(tr_gather_read(&n->gather, &rows->slices[s], leaf, arena, &out->columns[s], &out->is_there[s], err));
        if (!out->is_there[s])
            out->columns[s].values.storage = tr_kind_storage(shape->leaves[leaf].kind);
    }
    return TR_OK;
}

/* Marks the object that a unit stands in as present (1) where the unit is. */
static tr_code mark(nester *n, uint32_t leaf, const tr_type *anchor, tr_arena *arena, tr_arena *scratch,
                    tr_err *err)
{
    uint8_t *level;
    parts of;
    TR_TRY(level_of(n, anchor, arena, &level, err));
    TR_TRY(read_parts(n, leaf, scratch, &of, err));
    for (uint32_t p = 0; p < n->span_count; p++) {
        const span *own = &n->spans[p];
        const tr_column *column = &of.columns[own->slice];
        for (uint32_t i = 0; of.is_there[own->slice] && i < own->count; i++)
            level[own->event + i] |= column->row_start == NULL ? column->codes[own->row + i] != 0
                                                               : column->def[column->row_start[own->row + i]] != 0;
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
    parts parts;
    tr_united united;
    uint8_t anchor_def;
    const uint8_t *level; /* NULL: anchor_def */
    uint32_t *codes, *row_start;
    uint8_t *def, *rep;
    uint32_t count;
} leaf_out;

static bool is_flat(const leaf_out *out)
{
    for (uint32_t s = 0; s < out->n->gather.rows->slice_count; s++)
        if (out->parts.is_there[s] && out->parts.columns[s].row_start != NULL)
            return false;
    return true;
}

static tr_code make_entries(leaf_out *out, uint64_t entries, bool has_own_rows, tr_arena *arena, tr_err *err)
{
    if (entries >= UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 event entries in a column");
    out->codes = tr_arena_alloc(arena, entries * sizeof *out->codes);
    out->def = tr_arena_alloc(arena, entries);
    out->rep = has_own_rows ? tr_arena_alloc(arena, entries) : out->n->flat.rep;
    out->row_start = has_own_rows ? tr_arena_alloc(arena, ((size_t)out->n->groups->count + 1) * sizeof *out->row_start)
                                  : out->n->flat.row_start;
    if (out->codes == NULL || out->def == NULL || out->rep == NULL || out->row_start == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %llu entries", (unsigned long long)entries);
    return TR_OK;
}

/* ---- a leaf that is in no array of the event */

static void copy_codes(const leaf_out *out, const span *own)
{
    const uint32_t *remap = out->united.remap[own->slice], shift = out->united.shift[own->slice];
    const uint32_t *from = out->parts.columns[own->slice].codes + own->row, count = own->count;
    uint32_t *to = out->codes + own->entry;
    for (uint32_t i = 0; remap != NULL && i < count; i++)
        to[i] = remap[from[i]];
    if (remap == NULL && shift == 0)
        memcpy(to, from, count * sizeof *to);
    for (uint32_t i = 0; remap == NULL && shift != 0 && i < count; i++)
        to[i] = from[i] == 0 ? 0 : from[i] + shift;
}

static tr_code nest_flat(leaf_out *out, tr_arena *arena, tr_err *err)
{
    const nester *n = out->n;
    TR_TRY(make_entries(out, n->flat.entries, false, arena, err));
    for (uint32_t p = 0; p < n->span_count; p++) {
        const span *own = &n->spans[p];
        const uint32_t *codes = out->codes + own->entry;
        const uint8_t there = (uint8_t)(out->anchor_def + 1), absent = out->anchor_def;
        uint8_t *def = out->def + own->entry;
        if (out->parts.is_there[own->slice])
            copy_codes(out, own);
        else
            memset(out->codes + own->entry, 0, own->count * sizeof *codes);
        for (uint32_t i = 0; out->level == NULL && i < own->count; i++)
            def[i] = codes[i] == 0 ? absent : there;
        for (uint32_t i = 0; out->level != NULL && i < own->count; i++)
            def[i] = codes[i] == 0 ? out->level[own->event + i] : there;
    }
    for (uint32_t i = 0; i < n->absent_count; i++) {
        out->codes[n->absent[i]] = 0;
        out->def[n->absent[i]] = 0;
    }
    out->count = n->flat.entries;
    return TR_OK;
}

/* ---- a leaf that is in some */

/* Entries of the next event, which is in a row of a slice. */
static void add_event(leaf_out *out, uint32_t event, uint32_t s, uint32_t row, bool is_first)
{
    const tr_column *column = &out->parts.columns[s];
    const uint8_t absent = out->level == NULL ? out->anchor_def : out->level[event];
    const bool is_there = out->parts.is_there[s], is_one = !is_there || column->row_start == NULL;
    const uint32_t first = is_one ? row : column->row_start[row];
    const uint32_t last = is_one ? row + 1 : column->row_start[row + 1];
    for (uint32_t e = first; e < last; e++) {
        const uint32_t code = is_there ? tr_united_code(&out->united, s, column->codes[e]) : 0;
        const uint8_t own = is_one ? code != 0 : column->def[e];
        out->codes[out->count] = code;
        out->def[out->count] = own == 0 ? absent : (uint8_t)(out->anchor_def + own);
        out->rep[out->count++] = e == first ? !is_first : (uint8_t)(column->rep[e] + 1);
    }
}

static uint64_t count_entries(const leaf_out *out)
{
    const nester *n = out->n;
    uint64_t entries = n->absent_count;
    for (uint32_t p = 0; p < n->span_count; p++) {
        const span *own = &n->spans[p];
        const uint32_t *start = out->parts.is_there[own->slice] ? out->parts.columns[own->slice].row_start : NULL;
        entries += start == NULL ? own->count : start[own->row + own->count] - start[own->row];
    }
    return entries;
}

static tr_code nest_arrays(leaf_out *out, tr_arena *arena, tr_err *err)
{
    const nester *n = out->n;
    const tr_groups *groups = n->groups;
    const span *own = n->spans;
    TR_TRY(make_entries(out, count_entries(out), true, arena, err));
    for (uint32_t g = 0, event = 0; g < groups->count; g++) {
        const uint32_t first = event, end = event + (groups->start[g + 1] - groups->start[g]);
        out->row_start[g] = out->count;
        for (; event < end; event++) {
            own += event - own->event == own->count;
            add_event(out, event, own->slice, own->row + (event - own->event), event == first);
        }
        if (first == end) {
            out->codes[out->count] = 0;
            out->def[out->count] = 0;
            out->rep[out->count++] = 0;
        }
    }
    out->row_start[groups->count] = out->count;
    return TR_OK;
}

static tr_code nest_leaf(const nester *n, uint32_t leaf, tr_arena *arena, tr_gather_put put, void *ctx, tr_err *err)
{
    const tr_type *anchor = anchor_of(n, &n->gather.shape->leaves[leaf]);
    leaf_out out = {.n = n, .anchor_def = tr_type_def(n->unit, anchor), .level = n->level[anchor->id]};
    TR_TRY(read_parts(n, leaf, arena, &out.parts, err));
    TR_TRY(tr_unite(out.parts.columns, n->gather.rows->slice_count, false, arena, &out.united, err));
    TR_TRY(is_flat(&out) ? nest_flat(&out, arena, err) : nest_arrays(&out, arena, err));
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
    TR_TRY(find_spans(&n, arena, err));
    TR_TRY(find_levels(&n, unit, as->wanted, arena, scratch, err));
    for (uint32_t i = 0; i < unit->leaf_count; i++) {
        if (as->wanted != NULL && !as->wanted[unit->first_leaf + i])
            continue;
        tr_arena_reset(scratch);
        TR_TRY(nest_leaf(&n, unit->first_leaf + i, scratch, put, ctx, err));
    }
    return TR_OK;
}
