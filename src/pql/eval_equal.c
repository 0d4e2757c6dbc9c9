/* SPDX-License-Identifier: Apache-2.0 */
/* eval_equal.c - equality of any two values, and sets of values.
 *
 * Numbers are equal as doubles unless both are integers. Arrays are equal as multisets, maps and
 * objects by their members; what is absent equals what is null.
 */
#include "pql/eval_internal.h"

typedef struct pair {
    const tr_pql_vec *vec;
    uint32_t at; /* base row */
} pair;

static tr_code are_equal(tr_pql_run *run, pair a, pair b, bool *out);

static pair row_of(const tr_pql_vec *vec, uint32_t row)
{
    return (pair){vec, tr_pql_at(vec, row)};
}

static tr_code are_rows_equal(tr_pql_run *run, const tr_pql_vec *a, uint32_t row_a,
                              const tr_pql_vec *b, uint32_t row_b, bool *out)
{
    return are_equal(run, row_of(a, row_a), row_of(b, row_b), out);
}

static bool are_numbers_equal(const tr_pql_base *a, uint32_t at_a, const tr_pql_base *b,
                              uint32_t at_b)
{
    if (tr_pql_is_integer_at(a, at_a) && tr_pql_is_integer_at(b, at_b))
        return a->ints[at_a] == b->ints[at_b];
    const double x = tr_pql_number_at(a, at_a), y = tr_pql_number_at(b, at_b);
    return x <= y && x >= y;
}

/* ---- arrays and maps */

static tr_code are_lists_equal(tr_pql_run *run, pair a, pair b, bool *out)
{
    const tr_pql_base *x = a.vec->base, *y = b.vec->base;
    const uint32_t count = x->end[a.at] - x->start[a.at];
    *out = count == y->end[b.at] - y->start[b.at];
    if (!*out || count == 0)
        return TR_OK;
    uint8_t *is_used = tr_alloc_zeroed(count, 1);
    tr_code code = is_used == NULL ? tr_pql_out_of_memory(run) : TR_OK;
    for (uint32_t i = 0; i < count && *out && code == TR_OK; i++) {
        bool is_found = false;
        for (uint32_t j = 0; j < count && !is_found && code == TR_OK; j++) {
            if (is_used[j])
                continue;
            code = are_rows_equal(run, x->items, x->start[a.at] + i, y->items, y->start[b.at] + j,
                                  &is_found);
            is_used[j] = code == TR_OK && is_found;
        }
        *out = is_found;
    }
    tr_free(is_used);
    return code;
}

static tr_code are_maps_equal(tr_pql_run *run, pair a, pair b, bool *out)
{
    const tr_pql_base *x = a.vec->base, *y = b.vec->base;
    *out = x->end[a.at] - x->start[a.at] == y->end[b.at] - y->start[b.at];
    for (uint32_t i = x->start[a.at]; i < x->end[a.at] && *out; i++) {
        bool is_same = false;
        for (uint32_t j = y->start[b.at]; j < y->end[b.at] && !is_same; j++) {
            TR_TRY(are_rows_equal(run, x->keys, i, y->keys, j, &is_same));
            if (is_same)
                TR_TRY(are_rows_equal(run, x->items, i, y->items, j, out));
        }
        *out = *out && is_same;
    }
    return TR_OK;
}

/* ---- objects */

/* A member of an object of the schema; .vec NULL: it has no such member. */
static tr_code member_of(tr_pql_run *run, pair object, tr_str name, pair *out)
{
    const tr_pql_base *base = object.vec->base;
    const tr_type *member = tr_type_member(base->object, name);
    const tr_pql_vec *vec;
    *out = (pair){0};
    if (member == NULL)
        return TR_OK;
    TR_TRY(tr_pql_member(run, base->source->is_event, member, &vec));
    *out = row_of(vec, object.at);
    return TR_OK;
}

/* Every member of a equals b's; what b lacks is null in a. */
static tr_code has_members_of(tr_pql_run *run, pair a, pair b, bool *out)
{
    const tr_type *type = a.vec->base->object;
    for (uint32_t i = 0; i < type->child_count && *out; i++) {
        pair own, other;
        if (type->children[i]->kind == TR_KIND_KEY)
            continue;
        TR_TRY(member_of(run, a, type->children[i]->name, &own));
        TR_TRY(member_of(run, b, type->children[i]->name, &other));
        if (other.vec == NULL)
            *out = tr_pql_base_is_null(own.vec->base, own.at);
        else
            TR_TRY(are_equal(run, own, other, out));
    }
    return TR_OK;
}

static tr_code are_objects_equal(tr_pql_run *run, pair a, pair b, bool *out)
{
    *out = true;
    TR_TRY(has_members_of(run, a, b, out));
    return a.vec->base->object == b.vec->base->object ? TR_OK : has_members_of(run, b, a, out);
}

static tr_code are_structs_equal(tr_pql_run *run, pair a, pair b, bool *out)
{
    const tr_pql_base *x = a.vec->base, *y = b.vec->base;
    *out = x->node->count == y->node->count;
    for (uint32_t i = 0; i < x->node->count && *out; i++)
        TR_TRY(are_rows_equal(run, x->fields[i], a.at, y->fields[i], b.at, out));
    return TR_OK;
}

static bool are_spans_equal(tr_pql_span a, tr_pql_span b)
{
    return (b.lo <= a.lo && a.hi <= b.hi) || (a.lo <= b.lo && b.hi <= a.hi);
}

static bool is_number(tr_pql_vec_kind kind)
{
    return kind == TR_PQL_VEC_INT || kind == TR_PQL_VEC_NUM;
}

static bool is_time(tr_pql_vec_kind kind)
{
    return kind == TR_PQL_VEC_TIME || kind == TR_PQL_VEC_SPAN;
}

static tr_code are_equal(tr_pql_run *run, pair a, pair b, bool *out)
{
    const tr_pql_base *x = a.vec->base, *y = b.vec->base;
    const bool is_null = tr_pql_base_is_null(x, a.at);
    *out = is_null == tr_pql_base_is_null(y, b.at);
    if (is_null || !*out)
        return TR_OK;
    if (is_number(x->kind) && is_number(y->kind)) {
        *out = are_numbers_equal(x, a.at, y, b.at);
        return TR_OK;
    }
    if (is_time(x->kind) && is_time(y->kind)) {
        *out = are_spans_equal(tr_pql_span_at(x, a.at), tr_pql_span_at(y, b.at));
        return TR_OK;
    }
    *out = x->kind == y->kind;
    if (!*out)
        return TR_OK;
    switch ((int)x->kind) {
    case TR_PQL_VEC_BOOL: *out = x->bools[a.at] == y->bools[b.at]; return TR_OK;
    case TR_PQL_VEC_STRING:
        *out = x == y && x->is_distinct ? a.at == b.at
                                        : tr_str_equal(x->strings[a.at], y->strings[b.at]);
        return TR_OK;
    case TR_PQL_VEC_REF: return are_objects_equal(run, a, b, out);
    case TR_PQL_VEC_LIST: return are_lists_equal(run, a, b, out);
    case TR_PQL_VEC_MAP: return are_maps_equal(run, a, b, out);
    case TR_PQL_VEC_STRUCT: return are_structs_equal(run, a, b, out);
    default: *out = false; return TR_OK;
    }
}

tr_code tr_pql_equals(tr_pql_run *run, const tr_pql_vec *a, uint32_t row_a, const tr_pql_vec *b,
                      uint32_t row_b, bool *out)
{
    return are_rows_equal(run, a, row_a, b, row_b, out);
}

/* ---- sets */

static uint64_t mix(uint64_t value)
{
    value *= UINT64_C(0x9E3779B97F4A7C15);
    return value ^ (value >> 32);
}

/* Equal values have equal hashes; objects and arrays all have one. */
static uint64_t hash_of(const tr_pql_base *base, uint32_t at)
{
    uint64_t hash = 1469598103934665603U;
    double number;
    if (tr_pql_base_is_null(base, at))
        return 0;
    switch ((int)base->kind) {
    case TR_PQL_VEC_BOOL: return mix(base->bools[at] + 1U);
    case TR_PQL_VEC_INT:
    case TR_PQL_VEC_NUM:
        number = tr_pql_number_at(base, at);
        if (number >= 0 && number <= 0)
            number = 0; /* -0.0 equals 0.0 */
        memcpy(&hash, &number, sizeof hash);
        return mix(hash);
    case TR_PQL_VEC_TIME: return mix((uint64_t)base->ints[at]);
    case TR_PQL_VEC_STRING:
        for (size_t i = 0; i < base->strings[at].len; i++)
            hash = (hash ^ base->strings[at].at[i]) * 1099511628211U;
        return mix(hash);
    default: return 1;
    }
}

tr_code tr_pql_set_begin(tr_pql_set *set, tr_pql_run *run, uint32_t most, tr_arena *arena)
{
    uint32_t cap = 16;
    while (cap < most && cap < UINT32_C(1) << 30)
        cap *= 2;
    cap *= 2;
    if (set->used_cap < cap) {
        set->table = tr_arena_alloc(arena, (size_t)cap * sizeof *set->table);
        set->entries = tr_arena_alloc(arena, (size_t)cap * sizeof *set->entries);
        if (set->table == NULL || set->entries == NULL)
            return tr_pql_out_of_memory(run);
        set->used_cap = cap;
    }
    set->run = run;
    set->cap = cap;
    set->count = 0;
    memset(set->table, 0, (size_t)cap * sizeof *set->table);
    return TR_OK;
}

tr_code tr_pql_set_find(tr_pql_set *set, const tr_pql_vec *vec, uint32_t row, bool is_added,
                        uint32_t *entry)
{
    uint32_t at = (uint32_t)hash_of(vec->base, tr_pql_at(vec, row)) & (set->cap - 1);
    for (; set->table[at] != 0; at = (at + 1) & (set->cap - 1)) {
        const struct tr_pql_set_entry *old = &set->entries[set->table[at] - 1];
        bool is_same;
        TR_TRY(are_rows_equal(set->run, old->vec, old->row, vec, row, &is_same));
        if (is_same) {
            *entry = set->table[at] - 1;
            return TR_OK;
        }
    }
    *entry = TR_PQL_NO_ROW;
    if (!is_added)
        return TR_OK;
    set->entries[set->count] = (struct tr_pql_set_entry){vec, row};
    *entry = set->count++;
    set->table[at] = set->count;
    return TR_OK;
}
