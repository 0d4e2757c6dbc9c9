/* SPDX-License-Identifier: Apache-2.0 */
/* eval_list.c - arrays, maps and objects as values; see eval_internal.h. */
#include "pql/eval_internal.h"

static tr_code make_vec(tr_pql_run *run, tr_arena *arena, const tr_pql_base *base,
                        const tr_pql_vec **out)
{
    *out = tr_pql_vec_make(arena, base);
    return *out == NULL ? tr_pql_out_of_memory(run) : TR_OK;
}

static uint32_t *make_rows(tr_arena *arena, uint64_t count)
{
    return tr_arena_alloc(arena, count * sizeof(uint32_t) + 1);
}

static bool is_list(const tr_pql_vec *v)
{
    return v->base->kind == TR_PQL_VEC_LIST || v->base->kind == TR_PQL_VEC_MAP;
}

/* The span of a row; false: null. */
static bool span_at(const tr_pql_vec *v, uint32_t row, uint32_t *start, uint32_t *end)
{
    const uint32_t at = tr_pql_at(v, row);
    *start = *end = 0;
    if (!is_list(v) || tr_pql_base_is_null(v->base, at))
        return false;
    *start = v->base->start[at];
    *end = v->base->end[at];
    return true;
}

static tr_code null_pool(tr_pql_run *run, tr_arena *arena, const tr_pql_vec **out)
{
    tr_pql_vec *none;
    TR_TRY(tr_pql_vec_null(arena, 0, &none, run->err));
    *out = none;
    return TR_OK;
}

/* ---- objects */

static tr_code member(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *of, uint32_t count,
                      tr_arena *arena, const tr_pql_vec **out)
{
    uint32_t *rows = make_rows(arena, count);
    if (of->base->kind != TR_PQL_VEC_STRUCT) {
        tr_pql_vec *null;
        TR_TRY(tr_pql_vec_null(arena, count, &null, run->err));
        *out = null;
        return TR_OK;
    }
    if (rows == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = tr_pql_at(of, i);
        if (tr_pql_base_is_null(of->base, rows[i]))
            rows[i] = TR_PQL_NO_ROW;
    }
    return tr_pql_pick(arena, of->base->fields[op->number], rows, count, out, run->err);
}

static tr_code make_struct(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *const *args,
                           uint32_t count, tr_arena *arena, const tr_pql_vec **out)
{
    tr_pql_base *base;
    const tr_pql_vec **fields = tr_arena_array(arena, op->arg_count, sizeof(tr_pql_vec *));
    if (fields == NULL)
        return tr_pql_out_of_memory(run);
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_STRUCT, count, &base, run->err));
    for (uint32_t i = 0; i < op->arg_count; i++)
        fields[i] = args[i];
    memset(base->valid, TR_PQL_VALUE, count);
    base->fields = fields;
    base->node = op->type->node;
    return make_vec(run, arena, base, out);
}

/* ---- arrays from values */

/* Vectors end to end, each `count` rows; rows of part p are at p * count. */
static tr_code stack(tr_pql_run *run, const tr_pql_vec *const *parts, uint32_t part_count,
                     uint32_t count, tr_arena *arena, const tr_pql_vec **out)
{
    const tr_pql_vec **sized = tr_arena_array(arena, part_count, sizeof(tr_pql_vec *));
    uint32_t *offsets = tr_arena_array(arena, part_count, sizeof *offsets);
    if (sized == NULL || offsets == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < part_count; i++) {
        tr_pql_vec *part = tr_pql_vec_make(arena, parts[i]->base);
        if (part == NULL)
            return tr_pql_out_of_memory(run);
        *part = *parts[i];
        part->count = count;
        sized[i] = part;
    }
    return tr_pql_join(arena, sized, part_count, offsets, out, run->err);
}

static tr_code make_list(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *const *args,
                         uint32_t count, tr_arena *arena, const tr_pql_vec **out)
{
    const uint32_t width = op->arg_count;
    const uint64_t total = (uint64_t)width * count;
    const tr_pql_vec *all;
    tr_pql_base *base;
    if (total >= TR_PQL_NO_ROW)
        return TR_FAIL(run->err, TR_LIMIT, "a list of an expression has more than 2^32 values");
    uint32_t *rows = make_rows(arena, total);
    if (rows == NULL)
        return tr_pql_out_of_memory(run);
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_LIST, count, &base, run->err));
    for (uint32_t i = 0; i < count; i++) {
        base->start[i] = i * width;
        base->end[i] = (i + 1) * width;
        for (uint32_t w = 0; w < width; w++)
            rows[i * width + w] = w * count + i;
    }
    TR_TRY(stack(run, args, width, count, arena, &all));
    TR_TRY(tr_pql_pick(arena, all, rows, (uint32_t)total, &base->items, run->err));
    return make_vec(run, arena, base, out);
}

static tr_code one(tr_pql_run *run, const tr_pql_vec *value, uint32_t count, tr_arena *arena,
                   const tr_pql_vec **out)
{
    tr_pql_base *base;
    tr_pql_vec *items = tr_pql_vec_make(arena, value->base);
    if (items == NULL)
        return tr_pql_out_of_memory(run);
    *items = *value;
    items->count = count;
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_LIST, count, &base, run->err));
    for (uint32_t i = 0; i < count; i++) {
        base->start[i] = tr_pql_is_null_at(value, i) ? TR_PQL_NO_ROW : i;
        base->end[i] = i + 1;
    }
    base->items = items;
    return make_vec(run, arena, base, out);
}

static tr_code if_else(tr_pql_run *run, const tr_pql_vec *const *args, uint32_t count,
                       tr_arena *arena, const tr_pql_vec **out)
{
    const tr_pql_vec *both;
    uint32_t *rows = make_rows(arena, count);
    if (rows == NULL)
        return tr_pql_out_of_memory(run);
    if (count > TR_PQL_NO_ROW / 2)
        return TR_FAIL(run->err, TR_LIMIT, "a partition has too many rows for if()");
    TR_TRY(stack(run, args + 1, 2, count, arena, &both));
    for (uint32_t i = 0; i < count; i++)
        rows[i] = tr_pql_is_true(args[0], i) ? i : count + i;
    return tr_pql_pick(arena, both, rows, count, out, run->err);
}

/* ---- from arrays and maps */

static tr_code head(tr_pql_run *run, const tr_pql_vec *list, uint32_t count, tr_arena *arena,
                    const tr_pql_vec **out)
{
    uint32_t *rows = make_rows(arena, count), start, end;
    const tr_pql_vec *pool = list->base->items;
    if (rows == NULL)
        return tr_pql_out_of_memory(run);
    if (!is_list(list))
        TR_TRY(null_pool(run, arena, &pool));
    for (uint32_t i = 0; i < count; i++)
        rows[i] = span_at(list, i, &start, &end) && start < end ? start : TR_PQL_NO_ROW;
    return tr_pql_pick(arena, pool, rows, count, out, run->err);
}

/* The same spans over another pool; a null map has no keys and no values, but is an array. */
static tr_code spans_over(tr_pql_run *run, const tr_pql_vec *map, const tr_pql_vec *pool,
                          uint32_t count, tr_arena *arena, const tr_pql_vec **out)
{
    tr_pql_base *base;
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_LIST, count, &base, run->err));
    for (uint32_t i = 0; i < count; i++)
        (void)span_at(map, i, &base->start[i], &base->end[i]);
    base->items = pool;
    if (pool == NULL)
        TR_TRY(null_pool(run, arena, &base->items));
    return make_vec(run, arena, base, out);
}

/* Where a constant key stands among the keys' base rows; NULL: it is not constant. */
static tr_code match_key(tr_pql_run *run, const tr_pql_vec *keys, const tr_pql_vec *key,
                         tr_arena *arena, uint8_t **out)
{
    const tr_pql_vec *all = tr_pql_vec_make(arena, keys->base);
    *out = NULL;
    if (!key->is_constant || keys->is_constant || keys->base->count > keys->count + 1)
        return TR_OK;
    *out = tr_arena_array(arena, keys->base->count, 1);
    if (*out == NULL || all == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t at = 0; at < keys->base->count; at++) {
        bool is_it = false;
        if (!tr_pql_base_is_null(keys->base, at))
            TR_TRY(tr_pql_equals(run, all, at, key, 0, &is_it));
        (*out)[at] = is_it;
    }
    return TR_OK;
}

static tr_code get(tr_pql_run *run, const tr_pql_vec *map, const tr_pql_vec *key, uint32_t count,
                   tr_arena *arena, const tr_pql_vec **out)
{
    uint32_t *rows = make_rows(arena, count), start, end;
    uint8_t *matches = NULL;
    const tr_pql_vec *pool = map->base->items, *keys = map->base->keys;
    if (rows == NULL)
        return tr_pql_out_of_memory(run);
    if (!is_list(map))
        TR_TRY(null_pool(run, arena, &pool));
    else
        TR_TRY(match_key(run, keys, key, arena, &matches));
    for (uint32_t i = 0; i < count; i++) {
        bool is_it = false;
        rows[i] = TR_PQL_NO_ROW;
        if (!span_at(map, i, &start, &end) || (matches == NULL && tr_pql_is_null_at(key, i)))
            continue;
        for (uint32_t k = start; k < end && !is_it; k++) {
            if (matches != NULL)
                is_it = matches[tr_pql_at(keys, k)];
            else
                TR_TRY(tr_pql_equals(run, keys, k, key, i, &is_it));
            if (is_it)
                rows[i] = k;
        }
    }
    return tr_pql_pick(arena, pool, rows, count, out, run->err);
}

/* ---- sets */

typedef struct picking { /* lists that are made by picking rows of a pool */
    tr_pql_base *base;
    uint32_t *rows;
    uint32_t count;
} picking;

static tr_code open_picking(tr_pql_run *run, const tr_pql_vec *list, uint32_t count,
                            tr_arena *arena, picking *out)
{
    uint64_t total = 0;
    uint32_t start, end;
    for (uint32_t i = 0; i < count; i++)
        if (span_at(list, i, &start, &end))
            total += end - start;
    *out = (picking){.rows = make_rows(arena, total)};
    if (out->rows == NULL)
        return tr_pql_out_of_memory(run);
    if (total >= TR_PQL_NO_ROW)
        return TR_FAIL(run->err, TR_LIMIT, "lists of an expression have more than 2^32 values");
    return tr_pql_base_make(arena, TR_PQL_VEC_LIST, count, &out->base, run->err);
}

static tr_code close_picking(tr_pql_run *run, picking *p, const tr_pql_vec *pool, tr_arena *arena,
                             const tr_pql_vec **out)
{
    if (pool == NULL)
        TR_TRY(null_pool(run, arena, &pool));
    TR_TRY(tr_pql_pick(arena, pool, p->rows, p->count, &p->base->items, run->err));
    return make_vec(run, arena, p->base, out);
}

static tr_code distinct(tr_pql_run *run, const tr_pql_vec *list, uint32_t count, tr_arena *arena,
                        const tr_pql_vec **out)
{
    picking p;
    tr_pql_set set = {0};
    uint32_t start, end, entry;
    const tr_pql_vec *pool = is_list(list) ? list->base->items : NULL;
    TR_TRY(open_picking(run, list, count, arena, &p));
    for (uint32_t i = 0; i < count; i++) {
        p.base->start[i] = p.count;
        if (span_at(list, i, &start, &end)) {
            TR_TRY(tr_pql_set_begin(&set, run, end - start, arena));
            for (uint32_t k = start; k < end; k++) {
                const uint32_t before = set.count;
                TR_TRY(tr_pql_set_find(&set, pool, k, true, &entry));
                if (set.count > before)
                    p.rows[p.count++] = k;
            }
        }
        p.base->end[i] = p.count;
    }
    return close_picking(run, &p, pool, arena, out);
}

/* The items of b that are not null, as a set. */
static tr_code fill_set(tr_pql_run *run, const tr_pql_vec *b, uint32_t row, tr_arena *arena,
                        tr_pql_set *set)
{
    uint32_t start, end, entry;
    (void)span_at(b, row, &start, &end);
    TR_TRY(tr_pql_set_begin(set, run, end - start, arena));
    for (uint32_t k = start; k < end; k++)
        if (!tr_pql_is_null_at(b->base->items, k))
            TR_TRY(tr_pql_set_find(set, b->base->items, k, true, &entry));
    return TR_OK;
}

static tr_code intersection(tr_pql_run *run, const tr_pql_vec *a, const tr_pql_vec *b,
                            uint32_t count, tr_arena *arena, const tr_pql_vec **out)
{
    picking p;
    tr_pql_set set = {0}, taken = {0};
    uint32_t start, end, ignored_start, ignored_end, entry;
    const tr_pql_vec *pool = is_list(a) ? a->base->items : NULL;
    TR_TRY(open_picking(run, a, count, arena, &p));
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t before = p.count;
        p.base->start[i] = TR_PQL_NO_ROW;
        p.base->end[i] = p.count;
        if (!span_at(a, i, &start, &end) || !span_at(b, i, &ignored_start, &ignored_end))
            continue;
        TR_TRY(fill_set(run, b, i, arena, &set));
        TR_TRY(tr_pql_set_begin(&taken, run, end - start, arena));
        for (uint32_t k = start; k < end; k++) {
            const uint32_t had = taken.count;
            if (tr_pql_is_null_at(pool, k))
                continue;
            TR_TRY(tr_pql_set_find(&set, pool, k, false, &entry));
            if (entry == TR_PQL_NO_ROW)
                continue;
            TR_TRY(tr_pql_set_find(&taken, pool, k, true, &entry));
            if (taken.count > had)
                p.rows[p.count++] = k;
        }
        if (p.count > before) /* nothing in common is null */
            p.base->start[i] = before;
        p.base->end[i] = p.count;
    }
    return close_picking(run, &p, pool, arena, out);
}

static tr_code test_sets(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *a,
                         const tr_pql_vec *b, uint32_t count, tr_arena *arena,
                         const tr_pql_vec **out)
{
    tr_pql_base *base;
    tr_pql_set set = {0};
    uint32_t start, end, ignored_start, ignored_end, entry = 0;
    const bool is_subset = op->fn == TR_PQL_SUBSET_OF;
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_BOOL, count, &base, run->err));
    for (uint32_t i = 0; i < count; i++) {
        base->bools[i] = TR_PQL_FALSE;
        if (!span_at(a, i, &start, &end) || !span_at(b, i, &ignored_start, &ignored_end))
            continue;
        TR_TRY(fill_set(run, b, i, arena, &set));
        base->bools[i] = is_subset;
        for (uint32_t k = start; k < end && base->bools[i] == is_subset; k++) {
            entry = TR_PQL_NO_ROW;
            if (!tr_pql_is_null_at(a->base->items, k))
                TR_TRY(tr_pql_set_find(&set, a->base->items, k, false, &entry));
            base->bools[i] = entry != TR_PQL_NO_ROW;
        }
    }
    return make_vec(run, arena, base, out);
}

static tr_code one_by_one(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *const *args,
                          uint32_t count, tr_arena *arena, const tr_pql_vec **out)
{
    const tr_pql_vec *first = args[0];
    const bool is = is_list(first);
    switch ((int)op->kind) {
    case TR_PQL_OP_EVENTS:
        return spans_over(run, first, is ? first->base->items : NULL, count, arena, out);
    case TR_PQL_OP_KEYS:
        return spans_over(run, first, is ? first->base->keys : NULL, count, arena, out);
    case TR_PQL_OP_VALUES:
        return spans_over(run, first, is ? first->base->items : NULL, count, arena, out);
    case TR_PQL_OP_HEAD: return head(run, first, count, arena, out);
    case TR_PQL_OP_GET: return get(run, first, args[1], count, arena, out);
    case TR_PQL_OP_DISTINCT: return distinct(run, first, count, arena, out);
    default: break;
    }
    if (op->fn == TR_PQL_INTERSECTION)
        return intersection(run, first, args[1], count, arena, out);
    return test_sets(run, op, first, args[1], count, arena, out);
}

tr_code tr_pql_list(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *const *args,
                    uint32_t count, tr_arena *arena, const tr_pql_vec **out)
{
    tr_pql_flat flat;
    const tr_pql_vec *flat_args[2], *made;
    switch ((int)op->kind) {
    case TR_PQL_OP_MEMBER: return member(run, op, args[0], count, arena, out);
    case TR_PQL_OP_STRUCT: return make_struct(run, op, args, count, arena, out);
    case TR_PQL_OP_LIST: return make_list(run, op, args, count, arena, out);
    case TR_PQL_OP_ONE: return one(run, args[0], count, arena, out);
    case TR_PQL_OP_IF: return if_else(run, args, count, arena, out);
    default: break;
    }
    /* Arrays that many rows look at are worked on once. */
    for (uint32_t i = 0; i < op->arg_count; i++)
        flat_args[i] = args[i];
    TR_TRY(tr_pql_flatten(arena, flat_args, op->arg_count, count, &flat, run->err));
    TR_TRY(one_by_one(run, op, flat_args, flat.count, arena, &made));
    return tr_pql_pick(arena, made, flat.index, count, out, run->err);
}
