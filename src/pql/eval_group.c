/* SPDX-License-Identifier: Apache-2.0 */
/* eval_group.c - the folds that make arrays and maps; see eval_internal.h.
 *
 * The pool of what is made is picked from the innermost scope: no value is copied.
 */
#include "pql/eval_internal.h"

typedef struct making {
    tr_pql_run *run;
    const tr_pql_op *op;
    tr_arena *arena;
    tr_pql_rows_in rows;
    uint32_t owners;
    uint32_t *start;  /* per owner: its rows of the innermost scope */
    uint32_t *picked; /* rows of the innermost scope, in the order of the pool */
    uint32_t count;
    tr_pql_base *base;
} making;

static tr_code open(tr_pql_run *run, const tr_pql_op *op, making *m)
{
    const bool is_map = op->kind == TR_PQL_OP_ENTRIES || op->kind == TR_PQL_OP_GROUPS;
    TR_TRY(tr_pql_enter(run, op->over));
    *m = (making){.run = run,
                  .op = op,
                  .arena = tr_pql_arena_of(run, op->scope),
                  .owners = tr_pql_domain_of(run, op->scope)->count};
    TR_TRY(tr_pql_masks_of(run, op, &m->rows));
    TR_TRY(tr_pql_starts(run, &m->rows, m->owners, m->arena, &m->start));
    m->picked = tr_arena_alloc(m->arena, (size_t)m->rows.count * sizeof *m->picked + 1);
    if (m->picked == NULL)
        return tr_pql_out_of_memory(run);
    return tr_pql_base_make(m->arena, is_map ? TR_PQL_VEC_MAP : TR_PQL_VEC_LIST, m->owners,
                            &m->base, run->err);
}

static tr_code value(const making *m, uint32_t arg, const tr_pql_vec **out)
{
    return tr_pql_value(m->run, m->op->args[arg], m->op->over, out);
}

static tr_code pick(const making *m, const tr_pql_vec *from, const uint32_t *rows, uint32_t count,
                    const tr_pql_vec **out)
{
    return tr_pql_pick(m->arena, from, rows, count, out, m->run->err);
}

static tr_code close_making(const making *m, const tr_pql_vec **out)
{
    *out = tr_pql_vec_make(m->arena, m->base);
    return *out == NULL ? tr_pql_out_of_memory(m->run) : TR_OK;
}

/* ---- arrays */

static tr_code collect(making *m, const tr_pql_vec **out)
{
    const tr_pql_vec *item, *null_with = NULL;
    TR_TRY(value(m, 0, &item));
    if (m->op->fixed == 2)
        TR_TRY(tr_pql_value(m->run, m->op->args[1], m->op->scope, &null_with));
    for (uint32_t owner = 0; owner < m->owners; owner++) {
        m->base->start[owner] = m->count;
        for (uint32_t i = m->start[owner]; i < m->start[owner + 1]; i++)
            if (m->rows.mask[i])
                m->picked[m->count++] = i;
        m->base->end[owner] = m->count;
        if (null_with != NULL && tr_pql_is_null_at(null_with, owner))
            m->base->start[owner] = TR_PQL_NO_ROW;
    }
    TR_TRY(pick(m, item, m->picked, m->count, &m->base->items));
    return close_making(m, out);
}

/* Whether row a stands before row b of the same owner. */
static bool is_before(const making *m, const tr_pql_vec *number, uint32_t a, uint32_t b)
{
    const tr_pql_base *base = number->base;
    const uint32_t x = tr_pql_at(number, a), y = tr_pql_at(number, b);
    const bool is_top = m->op->fn == TR_PQL_TOP_N;
    if (tr_pql_is_integer_at(base, x) && tr_pql_is_integer_at(base, y)) {
        if (base->ints[x] != base->ints[y])
            return is_top ? base->ints[x] > base->ints[y] : base->ints[x] < base->ints[y];
        return a < b;
    }
    const double left = tr_pql_number_at(base, x), right = tr_pql_number_at(base, y);
    if (left < right || left > right)
        return is_top ? left > right : left < right;
    return a < b;
}

/* Merge sort: ties keep their order, and it is never slower than n log n. */
static void sort_rows(const making *m, const tr_pql_vec *number, uint32_t *rows, uint32_t *spare,
                      uint32_t count)
{
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t from = 0; from < count; from += 2 * width) {
            const uint32_t middle = from + width < count ? from + width : count;
            const uint32_t end = middle + width < count ? middle + width : count;
            uint32_t left = from, right = middle;
            for (uint32_t at = from; at < end; at++) {
                const bool is_left =
                    left < middle &&
                    (right == end || !is_before(m, number, rows[right], rows[left]));
                spare[at] = is_left ? rows[left++] : rows[right++];
            }
        }
        memcpy(rows, spare, count * sizeof *rows);
    }
}

static uint32_t how_many(const tr_pql_vec *n, uint32_t owner, uint32_t most)
{
    const uint32_t at = tr_pql_at(n, owner);
    if (n->base->kind != TR_PQL_VEC_INT || tr_pql_base_is_null(n->base, at))
        return 0;
    const double wanted = tr_pql_number_at(n->base, at);
    return wanted <= 0 ? 0 : wanted >= most ? most : (uint32_t)wanted;
}

static tr_code top(making *m, const tr_pql_vec **out)
{
    const tr_pql_vec *number, *n, *item;
    uint32_t *spare = tr_arena_alloc(m->arena, (size_t)m->rows.count * sizeof *spare + 1);
    TR_TRY(value(m, 0, &number));
    TR_TRY(tr_pql_value(m->run, m->op->args[1], m->op->scope, &n));
    TR_TRY(value(m, 2, &item));
    if (spare == NULL)
        return tr_pql_out_of_memory(m->run);
    const bool is_number =
        number->base->kind == TR_PQL_VEC_INT || number->base->kind == TR_PQL_VEC_NUM;
    for (uint32_t owner = 0; owner < m->owners; owner++) {
        uint32_t *rows = m->picked + m->count, found = 0;
        for (uint32_t i = m->start[owner]; i < m->start[owner + 1]; i++)
            if (m->rows.mask[i] && is_number && !tr_pql_is_null_at(number, i))
                rows[found++] = i;
        if (found > 1)
            sort_rows(m, number, rows, spare, found);
        m->base->start[owner] = m->count;
        m->count += how_many(n, owner, found);
        m->base->end[owner] = m->count;
    }
    TR_TRY(pick(m, item, m->picked, m->count, &m->base->items));
    return close_making(m, out);
}

/* ---- maps */

/* A later entry of a key replaces the earlier one where that stands; no entry for a null key. */
static tr_code entries(making *m, const tr_pql_vec **out)
{
    const tr_pql_vec *keys, *values;
    tr_pql_set set = {0};
    uint32_t *last = tr_arena_alloc(m->arena, (size_t)m->rows.count * sizeof *last + 1), entry;
    TR_TRY(value(m, 0, &keys));
    TR_TRY(value(m, 1, &values));
    if (last == NULL)
        return tr_pql_out_of_memory(m->run);
    for (uint32_t owner = 0; owner < m->owners; owner++) {
        const uint32_t from = m->count, begin = m->start[owner], end = m->start[owner + 1];
        m->base->start[owner] = from;
        TR_TRY(tr_pql_set_begin(&set, m->run, end - begin, m->arena));
        for (uint32_t i = begin; i < end; i++) {
            if (!m->rows.mask[i] || tr_pql_is_null_at(keys, i))
                continue;
            TR_TRY(tr_pql_set_find(&set, keys, i, true, &entry));
            m->count = from + set.count;
            m->picked[from + entry] = set.entries[entry].row;
            last[from + entry] = i;
        }
        m->base->end[owner] = m->count;
    }
    TR_TRY(pick(m, keys, m->picked, m->count, &m->base->keys));
    TR_TRY(pick(m, values, last, m->count, &m->base->items));
    return close_making(m, out);
}

/* One owner's groups in the order in which their keys are first seen: places[i] is the group of its
 * row i, or NO_ROW. */
static tr_code find_groups(making *m, const tr_pql_vec *keys, tr_pql_set *set, uint32_t owner,
                           uint32_t *places)
{
    const uint32_t begin = m->start[owner], end = m->start[owner + 1];
    TR_TRY(tr_pql_set_begin(set, m->run, end - begin, m->arena));
    for (uint32_t i = begin; i < end; i++) {
        places[i] = TR_PQL_NO_ROW;
        if (m->rows.mask[i] && !tr_pql_is_null_at(keys, i))
            TR_TRY(tr_pql_set_find(set, keys, i, true, &places[i]));
    }
    return TR_OK;
}

typedef struct groups {
    uint32_t *places, *first, *begin, *end, *order;
    uint32_t count, ordered;
} groups;

static tr_code add_owner(making *m, groups *g, const tr_pql_vec *keys, tr_pql_set *set,
                         uint32_t owner)
{
    TR_TRY(find_groups(m, keys, set, owner, g->places));
    m->base->start[owner] = g->count;
    for (uint32_t k = 0; k < set->count; k++) {
        g->first[g->count + k] = set->entries[k].row;
        g->end[g->count + k] = 0;
    }
    for (uint32_t i = m->start[owner]; i < m->start[owner + 1]; i++)
        if (g->places[i] != TR_PQL_NO_ROW)
            g->end[g->count + g->places[i]]++;
    for (uint32_t k = g->count; k < g->count + set->count; k++) { /* sizes into spans */
        g->begin[k] = g->ordered;
        g->ordered += g->end[k];
        g->end[k] = g->begin[k];
    }
    for (uint32_t i = m->start[owner]; i < m->start[owner + 1]; i++)
        if (g->places[i] != TR_PQL_NO_ROW)
            g->order[g->end[g->count + g->places[i]]++] = i;
    g->count += set->count;
    m->base->end[owner] = g->count;
    return TR_OK;
}

static tr_code group(making *m, const tr_pql_vec **out)
{
    const tr_pql_vec *keys, *item;
    tr_pql_set set = {0};
    tr_pql_base *lists;
    uint32_t *room = tr_arena_alloc(m->arena, 5 * (size_t)m->rows.count * sizeof *room + 1);
    groups g = {.places = room,
                .first = room + m->rows.count,
                .begin = room + 2 * (size_t)m->rows.count,
                .end = room + 3 * (size_t)m->rows.count,
                .order = room + 4 * (size_t)m->rows.count};
    TR_TRY(value(m, 0, &keys));
    TR_TRY(value(m, 1, &item));
    if (room == NULL)
        return tr_pql_out_of_memory(m->run);
    for (uint32_t owner = 0; owner < m->owners; owner++)
        TR_TRY(add_owner(m, &g, keys, &set, owner));
    TR_TRY(tr_pql_base_make(m->arena, TR_PQL_VEC_LIST, g.count, &lists, m->run->err));
    if (g.count > 0) {
        memcpy(lists->start, g.begin, g.count * sizeof *lists->start);
        memcpy(lists->end, g.end, g.count * sizeof *lists->end);
    }
    TR_TRY(pick(m, item, g.order, g.ordered, &lists->items));
    TR_TRY(pick(m, keys, g.first, g.count, &m->base->keys));
    m->base->items = tr_pql_vec_make(m->arena, lists);
    return m->base->items == NULL ? tr_pql_out_of_memory(m->run) : close_making(m, out);
}

tr_code tr_pql_group_op(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out)
{
    making m;
    TR_TRY(open(run, op, &m));
    switch ((int)op->kind) {
    case TR_PQL_OP_COLLECT: return collect(&m, out);
    case TR_PQL_OP_TOP: return top(&m, out);
    case TR_PQL_OP_ENTRIES: return entries(&m, out);
    default: return group(&m, out);
    }
}
