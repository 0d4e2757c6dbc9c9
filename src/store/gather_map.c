/* SPDX-License-Identifier: Apache-2.0 */
/* gather_map.c - maps by key, over the rows of a group; see gather.h.
 *
 * What is chosen is a PIECE: the entries of one key of a map (depth 1), or of one item of a key's list or inner
 * map (depth 2: identityMap, segmentMembership). Its identity is read from one column, the key column, which
 * has exactly one entry per piece; in every other leaf of the unit a piece is the entries from one repetition
 * level <= depth to the next.
 *
 *     key column   a      b      c          the rows' pieces are numbered alike in all leaves
 *     other leaf   a1 a2  b1     c1 c2 c3   start: 0 2 3
 *
 * So: read the key columns, choose pieces per group, then copy each leaf's entries piece by piece.
 */
#include "store/gather_internal.h"
#include "store/sort.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

typedef enum map_rule { MAP_BY_KEY, MAP_IDENTITIES, MAP_SEGMENTS } map_rule;

typedef struct candidate {
    uint32_t outer; /* code of the outer key, or its place in byte order */
    uint32_t inner; /* code of the inner key; 0 at depth 1 */
    uint32_t slice;
    uint32_t piece;       /* entry in the key column */
    uint32_t outer_piece; /* entry in the outer key column */
    int64_t time;         /* lastQualificationTime */
    bool is_mark;         /* of the members' row */
    bool is_anchor;       /* and the identity that the profile stands for */
} candidate;

/* Whether a chosen item of identityMap is primary. */
typedef enum mark { MARK_AS_LISTED, MARK_FALSE, MARK_TRUE } mark;

typedef struct chosen {
    uint8_t *mark; /* NULL: all as listed */
    uint32_t *slice, *piece;
    uint8_t *rep;    /* repetition level of the piece's first entry */
    uint32_t *start; /* per group */
    uint32_t count;
} chosen;

typedef struct mapper {
    const tr_gather *gather;
    const tr_unit *unit;
    tr_arena *arena;
    map_rule rule;
    tr_parts outer, inner, times; /* inner: the key column; at depth 1 the same as outer */
    tr_parts marks;               /* `primary`, in members' slices alone */
    tr_united outer_table, inner_table;
    uint32_t *place;              /* depth 2: outer code -> place in byte order */
    uint8_t **has_value;          /* depth 1: per slice and piece, or NULL */
    uint32_t *slice_of;           /* by row number */
    candidate *candidates;        /* of one group */
    uint32_t *index, *spare;      /* of one group */
    uint32_t candidate_cap;
    chosen pieces, outer_pieces;
} mapper;

static map_rule rule_of(const tr_unit *unit)
{
    const tr_type *value = unit->type->children[0];
    if (tr_str_is(unit->path, "identityMap") && value->kind == TR_KIND_ARRAY &&
        value->children[0]->kind == TR_KIND_OBJECT)
        return MAP_IDENTITIES;
    if (tr_str_is(unit->path, "segmentMembership") && value->kind == TR_KIND_MAP &&
        value->children[0]->kind == TR_KIND_OBJECT)
        return MAP_SEGMENTS;
    return MAP_BY_KEY;
}

/* What is read beside the pieces' own values. */
typedef enum beside { BESIDE_KEY, BESIDE_PRESENCE, BESIDE_TIME, BESIDE_MARK } beside;

static const struct {
    const char *name;
    tr_kind kind;
} beside_members[] = {[BESIDE_KEY] = {"id", TR_KIND_STRING},
                      [BESIDE_PRESENCE] = {"id", TR_KIND_STRING}, /* whether it is there */
                      [BESIDE_TIME] = {"lastQualificationTime", TR_KIND_TIMESTAMP},
                      [BESIDE_MARK] = {"primary", TR_KIND_BOOLEAN}};

/* The leaf of a run that tells pieces apart at depth 2, or another one beside it; UINT32_MAX: none. */
static uint32_t inner_leaf(const mapper *m, uint32_t run, beside what)
{
    const tr_type *map = m->gather->matches[run].types[m->unit->type->id];
    if (map == NULL)
        return UINT32_MAX;
    const tr_type *item = map->children[0]->children[0];
    if (m->rule == MAP_SEGMENTS && what == BESIDE_KEY)
        return map->children[0]->first_leaf;
    if (what == BESIDE_MARK && run < m->gather->marks_run)
        return UINT32_MAX;
    const tr_type *member = tr_type_member(item, tr_str_of(beside_members[what].name));
    if (member == NULL || member->kind != beside_members[what].kind)
        return UINT32_MAX;
    return member->first_leaf;
}

static tr_code read_inner(mapper *m, beside what, tr_parts *out, tr_err *err)
{
    const tr_rows *rows = m->gather->rows;
    out->columns = tr_arena_array(m->arena, rows->slice_count, sizeof *out->columns);
    out->is_there = tr_arena_array(m->arena, rows->slice_count, sizeof *out->is_there);
    if (out->columns == NULL || out->is_there == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u row groups", rows->slice_count);
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        const tr_slice *slice = &rows->slices[s];
        const uint32_t leaf = inner_leaf(m, slice->run, what);
        out->columns[s].values.storage = what == BESIDE_KEY ? TR_STORAGE_STRING : TR_STORAGE_WORD;
        if (leaf == UINT32_MAX)
            continue;
        const tr_run *run = rows->runs[slice->run];
        TR_TRY((what == BESIDE_PRESENCE ? tr_run_read_levels : tr_run_read)(
            run, slice->group, leaf, slice->from, slice->rows, m->arena, &out->columns[s], err));
        out->is_there[s] = true;
    }
    return TR_OK;
}

typedef struct placed {
    tr_str key;
    uint32_t code;
} placed;

static int compare_placed(const void *a, const void *b)
{
    return tr_str_compare(((const placed *)a)->key, ((const placed *)b)->key);
}

/* Outer keys in byte order: there are few, so they are sorted once instead of at every profile. */
static tr_code place_outer_keys(mapper *m, tr_err *err)
{
    const uint32_t count = m->outer_table.values.count;
    placed *keys = tr_arena_array(m->arena, count, sizeof *keys);
    m->place = tr_arena_array(m->arena, (size_t)count + 1, sizeof *m->place);
    if (keys == NULL || m->place == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u map keys", count);
    for (uint32_t i = 0; i < count; i++)
        keys[i] = (placed){m->outer_table.values.strings[i], i + 1};
    qsort(keys, count, sizeof *keys, compare_placed);
    for (uint32_t i = 0; i < count; i++)
        m->place[keys[i].code] = i + 1;
    return TR_OK;
}

/* Depth 1: which pieces have a value: an entry whose value is null gives way to a lower rank. */
static tr_code find_values(mapper *m, tr_err *err)
{
    tr_parts parts;
    tr_arena *scratch = &m->gather->arenas[1];
    const tr_rows *rows = m->gather->rows;
    m->has_value = tr_arena_array(m->arena, rows->slice_count, sizeof *m->has_value);
    if (m->has_value == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a map of %u row groups", rows->slice_count);
    tr_arena_reset(scratch);
    TR_TRY(tr_gather_parts(m->gather, m->unit->first_leaf + 1, scratch, &parts, err));
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        if (!parts.is_there[s] || !m->outer.is_there[s])
            continue;
        const tr_column *column = &parts.columns[s];
        const uint32_t pieces = m->outer.columns[s].entries;
        m->has_value[s] = tr_arena_array(m->arena, pieces, 1);
        if (m->has_value[s] == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u map entries", pieces);
        uint32_t piece = 0;
        for (uint32_t e = 0; e < column->entries; e++)
            if (column->rep[e] <= 1 && piece < pieces)
                m->has_value[s][piece++] = column->def[e] >= 3;
    }
    return TR_OK;
}

static bool is_hidden(const tr_gather *gather, tr_str segment)
{
    for (uint32_t i = 0; i < gather->hidden_count; i++)
        if (tr_str_equal(gather->hidden[i], segment))
            return true;
    return false;
}

/* Entries of hidden segments lose their key, and with it they are no candidates. */
static tr_code hide(const mapper *m, tr_column *keys, tr_err *err)
{
    bool is_any = false;
    bool *hidden = tr_arena_array(m->arena, (size_t)keys->values.count + 1, sizeof *hidden);
    if (hidden == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u map keys", keys->values.count);
    for (uint32_t i = 0; i < keys->values.count; i++) {
        hidden[i + 1] = is_hidden(m->gather, keys->values.strings[i]);
        is_any = is_any || hidden[i + 1];
    }
    if (!is_any)
        return TR_OK;
    uint32_t *codes = tr_arena_array(m->arena, (size_t)keys->entries + 1, sizeof *codes);
    if (codes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u map entries", keys->entries);
    for (uint32_t e = 0; e < keys->entries; e++)
        codes[e] = hidden[keys->codes[e]] ? 0 : keys->codes[e];
    keys->codes = codes;
    return TR_OK;
}

static tr_code hide_all(mapper *m, tr_err *err)
{
    const tr_rows *rows = m->gather->rows;
    for (uint32_t s = 0; s < rows->slice_count && m->gather->hidden_count > 0; s++)
        if (m->inner.is_there[s] && rows->slices[s].run >= m->gather->hidden_run)
            TR_TRY(hide(m, &m->inner.columns[s], err));
    return TR_OK;
}

static bool has_marks(const mapper *m)
{
    return m->rule == MAP_IDENTITIES && m->gather->marks_run > 0;
}

static tr_code read_outer(mapper *m, tr_err *err)
{
    TR_TRY(tr_gather_parts(m->gather, m->unit->first_leaf, m->arena, &m->outer, err));
    return tr_unite(m->outer.columns, m->gather->rows->slice_count, true, m->arena,
                    &m->outer_table, err);
}

static tr_code read_keys(mapper *m, tr_err *err)
{
    const tr_rows *rows = m->gather->rows;
    if (m->rule == MAP_BY_KEY) {
        m->inner = m->outer;
        m->inner_table = m->outer_table;
        TR_TRY(find_values(m, err));
    } else {
        TR_TRY(place_outer_keys(m, err));
        TR_TRY(read_inner(m, BESIDE_KEY, &m->inner, err));
        TR_TRY(tr_unite(m->inner.columns, rows->slice_count, false, m->arena, &m->inner_table, err));
    }
    if (m->rule == MAP_SEGMENTS) {
        TR_TRY(read_inner(m, BESIDE_TIME, &m->times, err));
        TR_TRY(hide_all(m, err));
    }
    if (has_marks(m))
        TR_TRY(read_inner(m, BESIDE_MARK, &m->marks, err));
    return TR_OK;
}

static tr_code index_slices(mapper *m, tr_err *err)
{
    const tr_rows *rows = m->gather->rows;
    m->slice_of = tr_arena_alloc(m->arena, (size_t)rows->end * sizeof *m->slice_of);
    if (m->slice_of == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a map of %u rows", rows->end);
    for (uint32_t s = 0; s < rows->slice_count; s++)
        for (uint32_t i = 0; i < rows->slices[s].rows; i++)
            m->slice_of[rows->slices[s].base + i] = s;
    return TR_OK;
}

static tr_code make_chosen(mapper *m, uint64_t pieces, chosen *out, tr_err *err)
{
    if (pieces >= UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 map entries in a column");
    *out = (chosen){.slice = tr_arena_alloc(m->arena, pieces * sizeof *out->slice),
                    .piece = tr_arena_alloc(m->arena, pieces * sizeof *out->piece),
                    .rep = tr_arena_alloc(m->arena, pieces),
                    .start = tr_arena_array(m->arena, (size_t)m->gather->groups->count + 1, sizeof *out->start)};
    if (out->slice == NULL || out->piece == NULL || out->rep == NULL || out->start == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %llu map entries", (unsigned long long)pieces);
    return TR_OK;
}

static int compare_inner(const mapper *m, uint32_t a, uint32_t b)
{
    if (a == b)
        return 0;
    return tr_str_compare(m->inner_table.values.strings[a - 1], m->inner_table.values.strings[b - 1]);
}

/* By key; among equal keys the one to keep first. Candidates are numbered by rank. */
static int compare_keys(const void *ctx, uint32_t a, uint32_t b)
{
    const mapper *m = ctx;
    const candidate *x = &m->candidates[a], *y = &m->candidates[b];
    if (x->outer != y->outer)
        return x->outer < y->outer ? -1 : 1;
    const int inner = m->rule == MAP_BY_KEY ? 0 : compare_inner(m, x->inner, y->inner);
    if (inner != 0)
        return inner;
    if (x->time != y->time)
        return x->time > y->time ? -1 : 1;
    return a < b ? -1 : a > b;
}

static bool is_same_key(const mapper *m, const candidate *x, const candidate *y)
{
    return x->outer == y->outer && (m->rule == MAP_BY_KEY || compare_inner(m, x->inner, y->inner) == 0);
}

/* How chosen pieces stand in the output: as they were listed; identities by namespace first. */
static int compare_places(const void *ctx, uint32_t a, uint32_t b)
{
    const mapper *m = ctx;
    const candidate *x = &m->candidates[a], *y = &m->candidates[b];
    if (m->rule == MAP_IDENTITIES && x->outer != y->outer)
        return x->outer < y->outer ? -1 : 1;
    return a < b ? -1 : a > b;
}

static tr_code grow(mapper *m, uint32_t needed, tr_err *err)
{
    if (needed <= m->candidate_cap)
        return TR_OK;
    const uint32_t cap = needed < 512 ? 1024 : needed * 2;
    candidate *candidates = tr_arena_alloc(m->arena, cap * sizeof *candidates);
    m->index = tr_arena_alloc(m->arena, cap * sizeof *m->index);
    m->spare = tr_arena_alloc(m->arena, cap * sizeof *m->spare);
    if (candidates == NULL || m->index == NULL || m->spare == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u map entries of a profile", cap);
    if (m->candidate_cap > 0)
        memcpy(candidates, m->candidates, m->candidate_cap * sizeof *candidates);
    m->candidates = candidates;
    m->candidate_cap = cap;
    return TR_OK;
}

/* Adds the pieces of one row to the group's candidates. */
static tr_code collect_row(mapper *m, uint32_t number, uint32_t *count, tr_err *err)
{
    const uint32_t s = m->slice_of[number];
    if (!m->outer.is_there[s] || !m->inner.is_there[s])
        return TR_OK;
    const uint32_t row = number - m->gather->rows->slices[s].base;
    const tr_column *inner = &m->inner.columns[s], *outer = &m->outer.columns[s];
    uint32_t at = outer->row_start[row];
    const uint32_t first = inner->row_start[row], last = inner->row_start[row + 1];
    TR_TRY(grow(m, *count + (last - first), err));
    for (uint32_t e = first; e < last; e++) {
        at += e > first && inner->rep[e] <= 1;
        const uint32_t code = inner->codes[e];
        if (code == 0 || outer->codes[at] == 0)
            continue;
        candidate *c = &m->candidates[*count];
        *c = (candidate){.slice = s, .piece = e, .outer_piece = at, .time = INT64_MIN,
                         .outer = tr_united_code(&m->outer_table, s, outer->codes[at])};
        if (m->rule == MAP_BY_KEY) {
            if (m->has_value[s] == NULL || !m->has_value[s][e])
                continue;
        } else {
            c->outer = m->place[c->outer];
            c->inner = tr_united_code(&m->inner_table, s, code);
        }
        if (has_marks(m) && m->gather->rows->slices[s].run >= m->gather->marks_run) {
            const tr_column *marks = &m->marks.columns[s];
            c->is_mark = true;
            c->is_anchor = m->marks.is_there[s] && marks->codes[e] != 0 && tr_column_word(marks, e) != 0;
        }
        if (m->rule == MAP_SEGMENTS && m->times.is_there[s] && m->times.columns[s].codes[e] != 0)
            c->time = (int64_t)tr_column_word(&m->times.columns[s], e);
        ++*count;
    }
    return TR_OK;
}

/* Who is primary is the members' row's to say, when the profile has one. */
static void mark_pieces(mapper *m, uint32_t count, uint32_t kept)
{
    const candidate *anchor = NULL;
    bool is_marked = false;
    for (uint32_t i = 0; i < count; i++) {
        is_marked = is_marked || m->candidates[i].is_mark;
        if (m->candidates[i].is_anchor)
            anchor = &m->candidates[i];
    }
    for (uint32_t i = 0; i < kept && is_marked; i++) {
        const bool is_anchor = anchor != NULL && is_same_key(m, anchor, &m->candidates[m->index[i]]);
        m->pieces.mark[m->pieces.count + i] = is_anchor ? MARK_TRUE : MARK_FALSE;
    }
}

static void add_piece(chosen *to, uint32_t slice, uint32_t piece, uint8_t rep)
{
    to->slice[to->count] = slice;
    to->piece[to->count] = piece;
    to->rep[to->count++] = rep;
}

static void choose(mapper *m, uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        m->index[i] = i;
    tr_sort_rows(m->index, m->spare, count, compare_keys, m);
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || !is_same_key(m, &m->candidates[m->index[kept - 1]], &m->candidates[m->index[i]]))
            m->index[kept++] = m->index[i];
    if (m->rule != MAP_SEGMENTS)
        tr_sort_rows(m->index, m->spare, kept, compare_places, m);
    if (m->pieces.mark != NULL)
        mark_pieces(m, count, kept);
    for (uint32_t i = 0; i < kept; i++) {
        const candidate *c = &m->candidates[m->index[i]];
        const bool is_new_outer = i == 0 || c->outer != m->candidates[m->index[i - 1]].outer;
        add_piece(&m->pieces, c->slice, c->piece, i == 0 ? 0 : is_new_outer ? 1 : 2);
        if (m->rule != MAP_BY_KEY && is_new_outer)
            add_piece(&m->outer_pieces, c->slice, c->outer_piece, i == 0 ? 0 : 1);
    }
}

/* The common case, without candidates and their order: every row of the group lists one identity, and
 * all of them the same; or one row has one entry. False: it is not that, and nothing was chosen. */
static bool choose_single(mapper *m, uint32_t from, uint32_t to)
{
    const tr_gather *gather = m->gather;
    uint32_t slice = UINT32_MAX, piece = 0, outer_piece = 0, place = 0, code = 0;
    for (uint32_t i = from; i < to; i++) {
        const uint32_t number = gather->groups->rows[i], s = m->slice_of[number];
        if (!m->outer.is_there[s] || !m->inner.is_there[s])
            continue;
        const uint32_t row = number - gather->rows->slices[s].base;
        const tr_column *inner = &m->inner.columns[s], *outer = &m->outer.columns[s];
        const uint32_t e = inner->row_start[row], at = outer->row_start[row];
        const bool is_mark = has_marks(m) && gather->rows->slices[s].run >= gather->marks_run;
        if (inner->row_start[row + 1] - e != 1 || is_mark)
            return false;
        if (inner->codes[e] == 0 || outer->codes[at] == 0)
            continue;
        const uint32_t own_code = tr_united_code(&m->inner_table, s, inner->codes[e]);
        const uint32_t own_place = m->place[tr_united_code(&m->outer_table, s, outer->codes[at])];
        if (slice == UINT32_MAX) {
            slice = s;
            piece = e;
            outer_piece = at;
            place = own_place;
            code = own_code;
        } else if (m->rule != MAP_IDENTITIES || own_place != place ||
                   compare_inner(m, own_code, code) != 0) {
            return false;
        }
    }
    if (slice != UINT32_MAX) {
        add_piece(&m->pieces, slice, piece, 0);
        add_piece(&m->outer_pieces, slice, outer_piece, 0);
    }
    return true;
}

static tr_code choose_all(mapper *m, tr_err *err)
{
    const tr_groups *groups = m->gather->groups;
    uint64_t pieces = 1, outer_pieces = 1;
    for (uint32_t s = 0; s < m->gather->rows->slice_count; s++) {
        pieces += m->inner.is_there[s] ? m->inner.columns[s].entries : 0;
        outer_pieces += m->outer.is_there[s] ? m->outer.columns[s].entries : 0;
    }
    TR_TRY(make_chosen(m, pieces, &m->pieces, err));
    TR_TRY(make_chosen(m, m->rule == MAP_BY_KEY ? 1 : outer_pieces, &m->outer_pieces, err));
    if (has_marks(m))
        m->pieces.mark = tr_arena_array(m->arena, pieces, sizeof *m->pieces.mark);
    if (has_marks(m) && m->pieces.mark == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %llu map entries", (unsigned long long)pieces);
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t from = groups->start[g], to = groups->start[g + 1];
        uint32_t count = 0;
        if (m->rule == MAP_BY_KEY || !choose_single(m, from, to)) {
            for (uint32_t i = from; i < to; i++)
                TR_TRY(collect_row(m, groups->rows[i], &count, err));
            choose(m, count);
        }
        m->pieces.start[g + 1] = m->pieces.count;
        m->outer_pieces.start[g + 1] = m->outer_pieces.count;
    }
    return TR_OK;
}

/* The namespaces of a profile while they are collected, each once, in byte order. */
typedef struct namespaces {
    uint32_t *group; /* per outer code: the last group that has it, plus 1 */
    uint32_t *place, *slice, *piece;
    uint32_t count;
} namespaces;

static void add_namespace(const mapper *m, namespaces *n, uint32_t group, uint32_t s, uint32_t at)
{
    const uint32_t code = tr_united_code(&m->outer_table, s, m->outer.columns[s].codes[at]);
    if (code == 0 || n->group[code] == group + 1)
        return;
    n->group[code] = group + 1;
    uint32_t i = n->count++;
    for (; i > 0 && n->place[i - 1] > m->place[code]; i--) {
        n->place[i] = n->place[i - 1];
        n->slice[i] = n->slice[i - 1];
        n->piece[i] = n->piece[i - 1];
    }
    n->place[i] = m->place[code];
    n->slice[i] = s;
    n->piece[i] = at;
}

/* Those of the row's items that have an id. */
static void add_namespaces(const mapper *m, namespaces *n, uint32_t group, uint32_t number)
{
    const uint32_t s = m->slice_of[number];
    if (!m->outer.is_there[s] || !m->inner.is_there[s])
        return;
    const uint32_t row = number - m->gather->rows->slices[s].base;
    const tr_column *inner = &m->inner.columns[s];
    const uint32_t first = inner->row_start[row], last = inner->row_start[row + 1];
    uint32_t at = m->outer.columns[s].row_start[row];
    for (uint32_t e = first; e < last; e++) {
        at += e > first && inner->rep[e] <= 1;
        if (inner->codes[e] != 0)
            add_namespace(m, n, group, s, at);
    }
}

/* Of identityMap the outer pieces alone: ids are not read. */
static tr_code choose_namespaces(mapper *m, tr_err *err)
{
    const tr_groups *groups = m->gather->groups;
    const size_t count = (size_t)m->outer_table.values.count + 1;
    uint64_t pieces = 1;
    TR_TRY(place_outer_keys(m, err));
    TR_TRY(read_inner(m, BESIDE_PRESENCE, &m->inner, err));
    TR_TRY(index_slices(m, err));
    namespaces n = {.group = tr_arena_array(m->arena, count, sizeof *n.group),
                    .place = tr_arena_array(m->arena, count, sizeof *n.place),
                    .slice = tr_arena_array(m->arena, count, sizeof *n.slice),
                    .piece = tr_arena_array(m->arena, count, sizeof *n.piece)};
    if (n.group == NULL || n.place == NULL || n.slice == NULL || n.piece == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %zu map keys", count);
    for (uint32_t s = 0; s < m->gather->rows->slice_count; s++)
        pieces += m->outer.is_there[s] ? m->outer.columns[s].entries : 0;
    TR_TRY(make_chosen(m, pieces, &m->outer_pieces, err));
    for (uint32_t g = 0; g < groups->count; g++) {
        n.count = 0;
        for (uint32_t i = groups->start[g]; i < groups->start[g + 1]; i++)
            add_namespaces(m, &n, g, groups->rows[i]);
        for (uint32_t i = 0; i < n.count; i++)
            add_piece(&m->outer_pieces, n.slice[i], n.piece[i], i == 0 ? 0 : 1);
        m->outer_pieces.start[g + 1] = m->outer_pieces.count;
    }
    return TR_OK;
}

/* The entry at which each piece of a column begins, and one more at the end; *out is NULL when every
 * entry is a piece. */
static tr_code piece_starts(const tr_column *column, uint8_t depth, tr_arena *arena, const uint32_t **out,
                            tr_err *err)
{
    uint32_t pieces = 0;
    *out = NULL;
    for (uint32_t e = 0; e < column->entries; e++)
        pieces += column->rep[e] <= depth;
    if (pieces == column->entries)
        return TR_OK;
    uint32_t *starts = tr_arena_alloc(arena, ((size_t)pieces + 1) * sizeof *starts);
    if (starts == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u map entries", column->entries);
    pieces = 0;
    for (uint32_t e = 0; e < column->entries; e++)
        if (column->rep[e] <= depth)
            starts[pieces++] = e;
    starts[pieces] = column->entries;
    *out = starts;
    return TR_OK;
}

typedef struct copying {
    const mapper *m;
    const chosen *pieces;
    tr_parts parts;
    tr_united united;
    const uint32_t **starts; /* per slice */
    tr_entries entries;
} copying;

static uint32_t start_of(const copying *c, uint32_t slice, uint32_t piece)
{
    return c->starts[slice] == NULL ? piece : c->starts[slice][piece];
}

static void copy_piece(copying *c, uint32_t i)
{
    const uint32_t s = c->pieces->slice[i], first = c->entries.count;
    const tr_column *column = &c->parts.columns[s];
    const uint32_t from = start_of(c, s, c->pieces->piece[i]);
    const uint32_t to = start_of(c, s, c->pieces->piece[i] + 1);
    if (to - from == 1) {
        c->entries.codes[first] = tr_united_code(&c->united, s, column->codes[from]);
        c->entries.def[first] = column->def[from];
        c->entries.count++;
    } else {
        tr_entries_copy(&c->entries, column, from, to, &c->united, s);
    }
    c->entries.rep[first] = c->pieces->rep[i];
}

/* The leaf's columns and their table: those of the keys were read when pieces were chosen. */
static tr_code read_leaf(copying *c, uint32_t leaf, tr_arena *arena, tr_err *err)
{
    const mapper *m = c->m;
    const tr_type *id =
        m->rule == MAP_IDENTITIES
            ? tr_type_member(m->unit->type->children[0]->children[0], tr_str_of("id"))
            : NULL;
    if (leaf == m->unit->first_leaf) {
        c->parts = m->outer;
        c->united = m->outer_table;
        return TR_OK;
    }
    if (id != NULL && id->kind == TR_KIND_STRING && leaf == id->first_leaf) {
        c->parts = m->inner;
        c->united = m->inner_table;
        return TR_OK;
    }
    TR_TRY(tr_gather_parts(m->gather, leaf, arena, &c->parts, err));
    return tr_unite(c->parts.columns, m->gather->rows->slice_count, false, arena, &c->united, err);
}

static tr_code copy_pieces(const mapper *m, uint32_t leaf, const chosen *pieces, uint8_t depth, tr_arena *arena,
                           tr_err *err)
{
    copying c = {.m = m, .pieces = pieces};
    const uint32_t slices = m->gather->rows->slice_count, groups = m->gather->groups->count;
    uint64_t total = groups;
    TR_TRY(read_leaf(&c, leaf, arena, err));
    c.starts = tr_arena_array(arena, slices, sizeof *c.starts);
    if (c.starts == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a map of %u row groups", slices);
    for (uint32_t s = 0; s < slices; s++)
        if (c.parts.is_there[s])
            TR_TRY(piece_starts(&c.parts.columns[s], depth, arena, &c.starts[s], err));
    for (uint32_t i = 0; i < pieces->count; i++)
        total += start_of(&c, pieces->slice[i], pieces->piece[i] + 1) -
                 start_of(&c, pieces->slice[i], pieces->piece[i]);
    TR_TRY(tr_entries_begin(arena, groups, total, &c.entries, err));
    for (uint32_t g = 0; g < groups; g++) {
        c.entries.row_start[g] = c.entries.count;
        if (pieces->start[g] == pieces->start[g + 1])
            tr_entries_absent(&c.entries);
        for (uint32_t i = pieces->start[g]; i < pieces->start[g + 1]; i++)
            copy_piece(&c, i);
    }
    c.entries.row_start[groups] = c.entries.count;
    return tr_entries_put(m->gather, leaf, &c.entries, &c.united, err);
}

/* `primary`, true where the mark says so: a table of false and true. A row that has the item has the entry,
 * its own or borrowed. */
static tr_code put_marked(const mapper *m, uint32_t leaf, tr_arena *arena, tr_err *err)
{
    static const uint64_t words[] = {false, true};
    tr_parts parts;
    tr_entries entries;
    const chosen *pieces = &m->pieces;
    const uint32_t groups = m->gather->groups->count;
    const tr_united table = {.values = {.storage = TR_STORAGE_WORD, .is_distinct = true, .count = 2, .words = words}};
    const uint8_t full = tr_type_def(m->unit->type, m->gather->shape->leaves[leaf].type);
    TR_TRY(tr_gather_parts(m->gather, leaf, arena, &parts, err));
    TR_TRY(tr_entries_begin(arena, groups, (uint64_t)pieces->count + groups, &entries, err));
    for (uint32_t g = 0; g < groups; g++) {
        entries.row_start[g] = entries.count;
        if (pieces->start[g] == pieces->start[g + 1])
            tr_entries_absent(&entries);
        for (uint32_t i = pieces->start[g]; i < pieces->start[g + 1]; i++) {
            const uint32_t s = pieces->slice[i], e = pieces->piece[i], at = entries.count++;
            const tr_column *from = &parts.columns[s];
            const bool is_marked = pieces->mark[i] != MARK_AS_LISTED;
            entries.rep[at] = pieces->rep[i];
            entries.def[at] = is_marked ? full : from->def[e];
            if (is_marked)
                entries.codes[at] = pieces->mark[i] == MARK_TRUE ? 2 : 1;
            else
                entries.codes[at] = from->codes[e] == 0 ? 0 : tr_column_word(from, e) != 0 ? 2 : 1;
        }
    }
    entries.row_start[groups] = entries.count;
    return tr_entries_put(m->gather, leaf, &entries, &table, err);
}

/* The leaf of the output that marks decide, or UINT32_MAX. */
static uint32_t marked_leaf(const mapper *m)
{
    const tr_type *member =
        has_marks(m) ? tr_type_member(m->unit->type->children[0]->children[0], tr_str_of("primary")) : NULL;
    return member == NULL || member->kind != TR_KIND_BOOLEAN ? UINT32_MAX : member->first_leaf;
}

/* How many groups have each outer key: what export jobs report by namespace. */
static tr_code count_keys(const mapper *m, tr_err *err)
{
    const tr_gather *gather = m->gather;
    const uint32_t keys = m->outer_table.values.count;
    uint64_t *counts = tr_arena_array(m->arena, (size_t)keys + 1, sizeof *counts);
    if (counts == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u map keys", keys);
    for (uint32_t i = 0; i < m->outer_pieces.count; i++) {
        const uint32_t s = m->outer_pieces.slice[i];
        counts[tr_united_code(&m->outer_table, s, m->outer.columns[s].codes[m->outer_pieces.piece[i]])]++;
    }
    for (uint32_t k = 0; k < keys; k++)
        if (counts[k + 1] > 0)
            gather->count_key(gather->count_ctx, m->outer_table.values.strings[k], counts[k + 1]);
    return TR_OK;
}

static tr_code put_leaves(const mapper *m, tr_err *err)
{
    const tr_unit *unit = m->unit;
    tr_arena *scratch = &m->gather->arenas[1];
    for (uint32_t i = 0; i < unit->leaf_count; i++) {
        const bool is_outer = i == 0 && m->rule != MAP_BY_KEY;
        tr_arena_reset(scratch);
        if (unit->first_leaf + i == marked_leaf(m)) {
            TR_TRY(put_marked(m, unit->first_leaf + i, scratch, err));
            continue;
        }
        TR_TRY(copy_pieces(m, unit->first_leaf + i, is_outer ? &m->outer_pieces : &m->pieces,
                           is_outer || m->rule == MAP_BY_KEY ? 1 : 2, scratch, err));
    }
    return TR_OK;
}

static tr_code gather_namespaces(mapper *m, tr_err *err)
{
    const tr_gather *gather = m->gather;
    TR_TRY(choose_namespaces(m, err));
    if (gather->count_key != NULL)
        TR_TRY(count_keys(m, err));
    if (m->outer_pieces.count == 0 || gather->put == NULL)
        return TR_OK;
    tr_arena_reset(&gather->arenas[1]);
    return copy_pieces(m, m->unit->first_leaf, &m->outer_pieces, 1, &gather->arenas[1], err);
}

tr_code tr_gather_map(const tr_gather *gather, const tr_unit *unit, tr_arena *arena, tr_err *err)
{
    mapper m = {.gather = gather, .unit = unit, .arena = arena, .rule = rule_of(unit)};
    bool is_done = false;
    TR_TRY(read_outer(&m, err));
    if (m.rule == MAP_IDENTITIES)
        TR_TRY(tr_gather_own(gather, unit, &m.outer, &m.outer_table, arena, &is_done, err));
    if (is_done)
        return TR_OK;
    if (m.rule == MAP_IDENTITIES && (gather->put == NULL || gather->is_keys_only))
        return gather_namespaces(&m, err);
    TR_TRY(read_keys(&m, err));
    TR_TRY(index_slices(&m, err));
    TR_TRY(choose_all(&m, err));
    if (gather->count_key != NULL && m.rule == MAP_IDENTITIES)
        TR_TRY(count_keys(&m, err));
    return m.pieces.count == 0 || gather->put == NULL ? TR_OK : put_leaves(&m, err);
}
