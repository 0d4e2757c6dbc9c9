/* SPDX-License-Identifier: Apache-2.0 */
/* vector.c - see vector.h. */
#include "pql/vector.h"

#include "base/check.h"

static tr_code no_memory(tr_err *err, uint32_t count)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u values of an expression", count);
}

tr_pql_vec *tr_pql_vec_make(tr_arena *arena, const tr_pql_base *base)
{
    tr_pql_vec *v = tr_arena_array(arena, 1, sizeof *v);
    if (v != NULL)
        *v = (tr_pql_vec){.base = base, .count = base->count};
    return v;
}

static size_t value_bytes(tr_pql_vec_kind kind)
{
    switch (kind) {
    case TR_PQL_VEC_BOOL: return 1;
    case TR_PQL_VEC_INT:
    case TR_PQL_VEC_NUM:
    case TR_PQL_VEC_TIME: return 8;
    case TR_PQL_VEC_STRING:
    case TR_PQL_VEC_SPAN: return 16;
    case TR_PQL_VEC_LIST:
    case TR_PQL_VEC_MAP: return sizeof(uint32_t);
    case TR_PQL_VEC_NULL:
    case TR_PQL_VEC_REF:
    case TR_PQL_VEC_STRUCT: break;
    }
    return 0;
}

static bool has_valid(tr_pql_vec_kind kind)
{
    return kind == TR_PQL_VEC_INT || kind == TR_PQL_VEC_NUM || kind == TR_PQL_VEC_TIME ||
           kind == TR_PQL_VEC_SPAN || kind == TR_PQL_VEC_STRUCT;
}

tr_code tr_pql_base_make(tr_arena *arena, tr_pql_vec_kind kind, uint32_t count, tr_pql_base **out,
                         tr_err *err)
{
    const size_t bytes = value_bytes(kind);
    tr_pql_base *base = tr_arena_array(arena, 1, sizeof *base);
    if (base == NULL)
        return no_memory(err, count);
    *base = (tr_pql_base){.kind = kind, .count = count, .null_row = TR_PQL_NO_ROW};
    base->values = bytes == 0 ? NULL : tr_arena_alloc(arena, bytes * count + 1);
    if (bytes > 0 && base->values == NULL)
        return no_memory(err, count);
    if (kind == TR_PQL_VEC_LIST || kind == TR_PQL_VEC_MAP) {
        base->end = tr_arena_alloc(arena, bytes * count + 1);
        if (base->end == NULL)
            return no_memory(err, count);
    }
    if (has_valid(kind)) {
        base->valid = tr_arena_alloc(arena, (size_t)count + 1);
        if (base->valid == NULL)
            return no_memory(err, count);
    }
    *out = base;
    return TR_OK;
}

tr_pql_vec_kind tr_pql_kind_of(const tr_pql_type *type)
{
    switch (type->kind) {
    case TR_PQL_IS_ANY:
    case TR_PQL_IS_NULL_TYPE:
    case TR_PQL_IS_TUPLE:
    case TR_PQL_IS_ENTRY: return TR_PQL_VEC_NULL;
    case TR_PQL_IS_BOOLEAN: return TR_PQL_VEC_BOOL;
    case TR_PQL_IS_INTEGER: return TR_PQL_VEC_INT;
    case TR_PQL_IS_NUMBER: return TR_PQL_VEC_NUM;
    case TR_PQL_IS_STRING: return TR_PQL_VEC_STRING;
    case TR_PQL_IS_TIMESTAMP:
    case TR_PQL_IS_DATE: return TR_PQL_VEC_TIME;
    case TR_PQL_IS_INTERVAL: return TR_PQL_VEC_SPAN;
    case TR_PQL_IS_OBJECT: return TR_PQL_VEC_REF;
    case TR_PQL_IS_STRUCT: return TR_PQL_VEC_STRUCT;
    case TR_PQL_IS_ARRAY: return TR_PQL_VEC_LIST;
    case TR_PQL_IS_MAP:
    case TR_PQL_IS_GROUPS: return TR_PQL_VEC_MAP;
    }
    return TR_PQL_VEC_NULL;
}

tr_code tr_pql_vec_null(tr_arena *arena, uint32_t count, tr_pql_vec **out, tr_err *err)
{
    static const tr_pql_base null_base = {.kind = TR_PQL_VEC_NULL, .count = 1, .null_row = 0};
    tr_pql_vec *v = tr_pql_vec_make(arena, &null_base);
    if (v == NULL)
        return no_memory(err, count);
    v->count = count;
    v->is_constant = true;
    *out = v;
    return TR_OK;
}

/* ---- a base with one null row more */

static void set_null(tr_pql_base *base, uint32_t at)
{
    switch (base->kind) {
    case TR_PQL_VEC_BOOL: base->bools[at] = TR_PQL_UNKNOWN; break;
    case TR_PQL_VEC_STRING: base->strings[at] = (tr_str){0}; break;
    case TR_PQL_VEC_LIST:
    case TR_PQL_VEC_MAP: base->start[at] = TR_PQL_NO_ROW; break;
    case TR_PQL_VEC_INT:
    case TR_PQL_VEC_NUM:
    case TR_PQL_VEC_TIME:
    case TR_PQL_VEC_SPAN:
    case TR_PQL_VEC_STRUCT: base->valid[at] = TR_PQL_NO_VALUE; break;
    case TR_PQL_VEC_NULL:
    case TR_PQL_VEC_REF: break;
    }
}

static void copy_values(tr_pql_base *to, const tr_pql_base *from)
{
    const size_t bytes = value_bytes(to->kind) * from->count;
    if (bytes > 0)
        memcpy(to->values, from->values, bytes);
    if (to->end != NULL && bytes > 0)
        memcpy(to->end, from->end, bytes);
    if (to->valid != NULL && from->valid != NULL)
        memcpy(to->valid, from->valid, from->count);
    else if (to->valid != NULL)
        memset(to->valid, TR_PQL_VALUE, from->count);
}

static tr_code with_null_row(tr_arena *arena, const tr_pql_base *base, const tr_pql_base **out,
                             tr_err *err)
{
    tr_pql_base *more;
    if (base->null_row != TR_PQL_NO_ROW) {
        *out = base;
        return TR_OK;
    }
    TR_TRY(tr_pql_base_make(arena, base->kind, base->count + 1, &more, err));
    copy_values(more, base);
    set_null(more, base->count);
    more->null_row = base->count;
    more->items = base->items;
    more->keys = base->keys;
    more->node = base->node;
    more->is_distinct = base->is_distinct;
    if (base->kind ==
        TR_PQL_VEC_STRUCT) { /* its fields are read at that row only when it is valid */
        const uint32_t fields = base->node->count;
        const tr_pql_vec **padded = tr_arena_array(arena, fields, sizeof(tr_pql_vec *));
        if (padded == NULL)
            return no_memory(err, fields);
        for (uint32_t i = 0; i < fields; i++) {
            uint32_t *rows = tr_arena_alloc(arena, ((size_t)base->count + 1) * sizeof *rows);
            if (rows == NULL)
                return no_memory(err, base->count);
            for (uint32_t row = 0; row < base->count; row++)
                rows[row] = row;
            rows[base->count] = TR_PQL_NO_ROW;
            TR_TRY(tr_pql_pick(arena, base->fields[i], rows, base->count + 1, &padded[i], err));
        }
        more->fields = padded;
    }
    *out = more;
    return TR_OK;
}

tr_code tr_pql_pick(tr_arena *arena, const tr_pql_vec *v, const uint32_t *rows, uint32_t count,
                    const tr_pql_vec **out, tr_err *err)
{
    bool has_none = false;
    if (rows == NULL) {
        *out = v;
        return TR_OK;
    }
    for (uint32_t i = 0; i < count && !has_none; i++)
        has_none = rows[i] == TR_PQL_NO_ROW;
    const tr_pql_base *base = v->base;
    if (has_none)
        TR_TRY(with_null_row(arena, base, &base, err));
    tr_pql_vec *picked = tr_pql_vec_make(arena, base);
    if (picked == NULL)
        return no_memory(err, count);
    picked->count = count;
    if (v->is_constant && (!has_none || base->null_row == 0)) {
        picked->is_constant = true;
    } else if (v->index == NULL && !v->is_constant && !has_none) {
        picked->index = rows;
    } else {
        uint32_t *index = tr_arena_alloc(arena, (size_t)count * sizeof *index + 1);
        if (index == NULL)
            return no_memory(err, count);
        for (uint32_t i = 0; i < count; i++)
            index[i] = rows[i] == TR_PQL_NO_ROW ? base->null_row : tr_pql_at(v, rows[i]);
        picked->index = index;
    }
    *out = picked;
    return TR_OK;
}

tr_code tr_pql_flatten(tr_arena *arena, const tr_pql_vec **args, uint32_t arg_count, uint32_t count,
                       tr_pql_flat *out, tr_err *err)
{
    const tr_pql_vec *first = NULL;
    *out = (tr_pql_flat){.count = count};
    for (uint32_t i = 0; i < arg_count; i++) {
        if (args[i]->is_constant)
            continue;
        if (args[i]->index == NULL || args[i]->base->count > count ||
            (first != NULL &&
             (first->index != args[i]->index || first->base->count != args[i]->base->count)))
            return TR_OK;
        if (args[i]->base->kind == TR_PQL_VEC_REF) /* the null instance is beyond its count */
            return TR_OK;
        first = args[i];
    }
    if (first == NULL)
        return TR_OK;
    for (uint32_t i = 0; i < arg_count; i++) {
        if (args[i]->is_constant)
            continue;
        args[i] = tr_pql_vec_make(arena, args[i]->base);
        if (args[i] == NULL)
            return no_memory(err, count);
    }
    *out = (tr_pql_flat){.index = first->index, .count = first->base->count};
    return TR_OK;
}

/* ---- end to end */

static tr_code join_lists(tr_arena *arena, const tr_pql_vec *const *parts, uint32_t part_count,
                          tr_pql_base *to, tr_err *err);

/* Rows of all parts into flat bases of one kind; INT becomes NUM when any part is NUM. */
static tr_pql_vec_kind kind_of_all(const tr_pql_vec *const *parts, uint32_t part_count)
{
    tr_pql_vec_kind kind = TR_PQL_VEC_NULL;
    for (uint32_t i = 0; i < part_count; i++) {
        const tr_pql_vec_kind own = parts[i]->base->kind;
        if (kind == TR_PQL_VEC_NULL || (kind == TR_PQL_VEC_INT && own == TR_PQL_VEC_NUM) ||
            (kind == TR_PQL_VEC_TIME && own == TR_PQL_VEC_SPAN))
            kind = own;
    }
    return kind;
}

static void copy_row(tr_pql_base *to, uint32_t at, const tr_pql_base *from, uint32_t row)
{
    if (tr_pql_base_is_null(from, row)) {
        set_null(to, at);
        return;
    }
    if (to->valid != NULL)
        to->valid[at] =
            from->kind == TR_PQL_VEC_INT && to->kind == TR_PQL_VEC_INT && from->valid != NULL
                ? from->valid[row]
                : TR_PQL_VALUE;
    switch (to->kind) {
    case TR_PQL_VEC_BOOL: to->bools[at] = from->bools[row]; break;
    case TR_PQL_VEC_INT:
    case TR_PQL_VEC_TIME: to->ints[at] = from->ints[row]; break;
    case TR_PQL_VEC_NUM: to->numbers[at] = tr_pql_number_at(from, row); break;
    case TR_PQL_VEC_SPAN: to->spans[at] = tr_pql_span_at(from, row); break;
    case TR_PQL_VEC_STRING: to->strings[at] = from->strings[row]; break;
    case TR_PQL_VEC_STRUCT:
    case TR_PQL_VEC_NULL:
    case TR_PQL_VEC_REF:
    case TR_PQL_VEC_LIST:
    case TR_PQL_VEC_MAP: break;
    }
}

static tr_code join_structs(tr_arena *arena, const tr_pql_vec *const *parts, uint32_t part_count,
                            tr_pql_base *to, tr_err *err)
{
    const tr_pql_vec **column = tr_arena_array(arena, part_count, sizeof(tr_pql_vec *));
    uint32_t *offsets = tr_arena_array(arena, part_count, sizeof *offsets);
    for (uint32_t i = 0; i < part_count && to->node == NULL; i++)
        to->node = parts[i]->base->node;
    const tr_pql_vec **fields = tr_arena_array(arena, to->node->count, sizeof(tr_pql_vec *));
    if (column == NULL || offsets == NULL || fields == NULL)
        return no_memory(err, to->count);
    for (uint32_t f = 0; f < to->node->count; f++) {
        for (uint32_t i = 0; i < part_count; i++) {
            tr_pql_vec *null;
            if (parts[i]->base->kind != TR_PQL_VEC_STRUCT) {
                TR_TRY(tr_pql_vec_null(arena, parts[i]->count, &null, err));
                column[i] = null;
                continue;
            }
            uint32_t *rows = tr_arena_alloc(arena, (size_t)parts[i]->count * sizeof *rows + 1);
            if (rows == NULL)
                return no_memory(err, to->count);
            for (uint32_t row = 0; row < parts[i]->count; row++)
                rows[row] = tr_pql_at(parts[i], row);
            TR_TRY(tr_pql_pick(arena, parts[i]->base->fields[f], rows, parts[i]->count, &column[i],
                               err));
        }
        TR_TRY(tr_pql_join(arena, column, part_count, offsets, &fields[f], err));
    }
    to->fields = fields;
    return TR_OK;
}

/* Objects of one schema type have one source: their instances follow each other as they are. */
static tr_code join_refs(tr_arena *arena, const tr_pql_vec *const *parts, uint32_t part_count,
                         uint32_t count, const tr_pql_vec **out, tr_err *err)
{
    const tr_pql_base *base = NULL;
    uint32_t *index = tr_arena_alloc(arena, (size_t)count * sizeof *index + 1), at = 0;
    for (uint32_t i = 0; i < part_count && base == NULL; i++)
        base = parts[i]->base->kind == TR_PQL_VEC_REF ? parts[i]->base : NULL;
    tr_pql_vec *v = tr_pql_vec_make(arena, base);
    if (index == NULL || v == NULL)
        return no_memory(err, count);
    for (uint32_t i = 0; i < part_count; i++)
        for (uint32_t row = 0; row < parts[i]->count; row++)
            index[at++] = parts[i]->base->kind == TR_PQL_VEC_REF ? tr_pql_at(parts[i], row)
                                                                 : base->source->count;
    v->index = index;
    v->count = count;
    *out = v;
    return TR_OK;
}

tr_code tr_pql_join(tr_arena *arena, const tr_pql_vec *const *parts, uint32_t part_count,
                    uint32_t *offsets, const tr_pql_vec **out, tr_err *err)
{
    uint64_t total = 0;
    tr_pql_base *to;
    for (uint32_t i = 0; i < part_count; i++) {
        offsets[i] = (uint32_t)total;
        total += parts[i]->count;
        if (total >= TR_PQL_NO_ROW)
            return TR_FAIL(err, TR_LIMIT, "a list of an expression has more than 2^32 values");
    }
    const uint32_t count = (uint32_t)total;
    const tr_pql_vec_kind kind = kind_of_all(parts, part_count);
    if (kind == TR_PQL_VEC_REF)
        return join_refs(arena, parts, part_count, count, out, err);
    if (kind == TR_PQL_VEC_NULL) {
        tr_pql_vec *null;
        TR_TRY(tr_pql_vec_null(arena, count, &null, err));
        *out = null;
        return TR_OK;
    }
    TR_TRY(tr_pql_base_make(arena, kind, count, &to, err));
    uint32_t at = 0;
    for (uint32_t i = 0; i < part_count; i++)
        for (uint32_t row = 0; row < parts[i]->count; row++)
            copy_row(to, at++, parts[i]->base, tr_pql_at(parts[i], row));
    if (kind == TR_PQL_VEC_LIST || kind == TR_PQL_VEC_MAP)
        TR_TRY(join_lists(arena, parts, part_count, to, err));
    if (kind == TR_PQL_VEC_STRUCT)
        TR_TRY(join_structs(arena, parts, part_count, to, err));
    *out = tr_pql_vec_make(arena, to);
    return *out == NULL ? no_memory(err, count) : TR_OK;
}

static tr_code join_lists(tr_arena *arena, const tr_pql_vec *const *parts, uint32_t part_count,
                          tr_pql_base *to, tr_err *err)
{
    const tr_pql_vec **pools = tr_arena_array(arena, part_count, sizeof(tr_pql_vec *));
    const tr_pql_vec **keys = tr_arena_array(arena, part_count, sizeof(tr_pql_vec *));
    uint32_t *offsets = tr_arena_array(arena, part_count, sizeof *offsets), at = 0;
    tr_pql_vec *none;
    if (pools == NULL || keys == NULL || offsets == NULL)
        return no_memory(err, to->count);
    TR_TRY(tr_pql_vec_null(arena, 0, &none, err));
    for (uint32_t i = 0; i < part_count; i++) {
        const bool is_null = parts[i]->base->kind == TR_PQL_VEC_NULL;
        pools[i] = is_null ? none : parts[i]->base->items;
        keys[i] = is_null ? none : parts[i]->base->keys;
    }
    TR_TRY(tr_pql_join(arena, pools, part_count, offsets, &to->items, err));
    if (to->kind == TR_PQL_VEC_MAP)
        TR_TRY(tr_pql_join(arena, keys, part_count, offsets, &to->keys, err));
    for (uint32_t i = 0; i < part_count; i++)
        for (uint32_t row = 0; row < parts[i]->count; row++, at++) {
            const uint32_t from = tr_pql_at(parts[i], row);
            if (tr_pql_base_is_null(parts[i]->base, from))
                continue;
            to->start[at] = parts[i]->base->start[from] + offsets[i];
            to->end[at] = parts[i]->base->end[from] + offsets[i];
        }
    return TR_OK;
}

void tr_pql_to_mask(const tr_pql_vec *v, uint32_t count, uint8_t *out)
{
    const uint8_t *bools = v->base->bools;
    if (v->base->kind != TR_PQL_VEC_BOOL)
        memset(out, 0, count);
    else if (v->is_constant)
        memset(out, bools[0] == TR_PQL_TRUE, count);
    else if (v->index == NULL)
        for (uint32_t i = 0; i < count; i++)
            out[i] = bools[i] == TR_PQL_TRUE;
    else
        for (uint32_t i = 0; i < count; i++)
            out[i] = bools[v->index[i]] == TR_PQL_TRUE;
}

static void and_rows(const tr_pql_vec *v, uint32_t count, uint8_t *mask)
{
    const uint8_t *bools = v->base->bools;
    if (v->index == NULL)
        for (uint32_t i = 0; i < count; i++)
            mask[i] = (uint8_t)(mask[i] & (bools[i] == TR_PQL_TRUE));
    else
        for (uint32_t i = 0; i < count; i++)
            mask[i] = (uint8_t)(mask[i] & (bools[v->index[i]] == TR_PQL_TRUE));
}

static void or_rows(const tr_pql_vec *v, uint32_t count, uint8_t *mask)
{
    const uint8_t *bools = v->base->bools;
    if (v->index == NULL)
        for (uint32_t i = 0; i < count; i++)
            mask[i] = (uint8_t)(mask[i] | (bools[i] == TR_PQL_TRUE));
    else
        for (uint32_t i = 0; i < count; i++)
            mask[i] = (uint8_t)(mask[i] | (bools[v->index[i]] == TR_PQL_TRUE));
}

void tr_pql_join_mask(const tr_pql_vec *v, uint32_t count, bool is_and, uint8_t *mask)
{
    const bool is_bool = v->base->kind == TR_PQL_VEC_BOOL;
    if (is_bool && !v->is_constant) {
        if (is_and)
            and_rows(v, count, mask);
        else
            or_rows(v, count, mask);
        return;
    }
    const bool is_true = is_bool && v->base->bools[0] == TR_PQL_TRUE;
    if (is_true != is_and)
        memset(mask, is_true, count);
}
