/* SPDX-License-Identifier: Apache-2.0 */
/* eval_scalar.c - numbers, booleans, times, one row at a time; see eval_internal.h. */
#include "pql/eval_internal.h"

#include <math.h>

static tr_code open(tr_pql_run *run, const tr_pql_op *op, uint32_t count, tr_arena *arena,
                    tr_pql_base **out)
{
    return tr_pql_base_make(arena, tr_pql_kind_of(op->type), count, out, run->err);
}

static bool is_number(const tr_pql_vec *v)
{
    return v->base->kind == TR_PQL_VEC_INT || v->base->kind == TR_PQL_VEC_NUM;
}

static bool is_time(const tr_pql_vec *v)
{
    return v->base->kind == TR_PQL_VEC_TIME || v->base->kind == TR_PQL_VEC_SPAN;
}

/* ---- constants */

static void literal(const tr_pql_op *op, tr_pql_base *out)
{
    const tr_pql_literal *l = &op->literal;
    if (out->valid != NULL)
        out->valid[0] = TR_PQL_VALUE;
    if (l->kind == TR_PQL_BOOLEAN)
        out->bools[0] = l->boolean;
    else if (l->kind == TR_PQL_STRING)
        out->strings[0] = l->string.at != NULL ? l->string : (tr_str){(const uint8_t *)"", 0};
    else if (l->kind == TR_PQL_INTEGER)
        out->ints[0] = l->integer;
    else if (l->kind == TR_PQL_NUMBER)
        out->numbers[0] = l->number;
}

static void instant_or_part(const tr_pql_run *run, const tr_pql_op *op, tr_pql_base *out)
{
    int64_t year;
    unsigned month, day;
    tr_pql_span span = tr_pql_day_of(run->now);
    tr_pql_civil(run->now, &year, &month, &day);
    out->valid[0] = TR_PQL_VALUE;
    switch ((int)op->fn) {
    case TR_PQL_CURRENT_YEAR: out->ints[0] = year; return;
    case TR_PQL_CURRENT_MONTH: out->ints[0] = month; return;
    case TR_PQL_CURRENT_DAY: out->ints[0] = day; return;
    case TR_PQL_NOW: out->ints[0] = run->now; return;
    case TR_PQL_TODAY: break;
    case TR_PQL_YESTERDAY: span = tr_pql_calendar(run->now, TR_PQL_LAST, TR_PQL_DAY); break;
    case TR_PQL_TOMORROW: span = tr_pql_calendar(run->now, TR_PQL_NEXT, TR_PQL_DAY); break;
    default: span = tr_pql_calendar(run->now, op->time.which, op->time.unit); break;
    }
    out->spans[0] = span;
}

/* ---- arithmetic */

static bool integers(tr_pql_fn fn, int64_t a, int64_t b, int64_t *out)
{
    switch ((int)fn) {
    case TR_PQL_ADD: return !__builtin_add_overflow(a, b, out);
    case TR_PQL_SUB: return !__builtin_sub_overflow(a, b, out);
    case TR_PQL_MUL: return !__builtin_mul_overflow(a, b, out);
    default: *out = b == -1 ? 0 : a % b; return true;
    }
}

static double doubles(tr_pql_fn fn, double a, double b)
{
    switch ((int)fn) {
    case TR_PQL_ADD: return a + b;
    case TR_PQL_SUB: return a - b;
    case TR_PQL_MUL: return a * b;
    case TR_PQL_DIV: return a / b;
    default: return fmod(a, b);
    }
}

static void put_double(tr_pql_base *out, uint32_t row, double number)
{
    if (out->kind == TR_PQL_VEC_NUM) {
        out->numbers[row] = number;
        out->valid[row] = TR_PQL_VALUE;
        return;
    }
    memcpy(&out->ints[row], &number, sizeof number);
    out->valid[row] = TR_PQL_DOUBLE_VALUE;
}

static void negate(const tr_pql_vec *a, uint32_t count, tr_pql_base *out)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = tr_pql_at(a, i);
        int64_t value;
        out->valid[i] = TR_PQL_NO_VALUE;
        if (!is_number(a) || tr_pql_base_is_null(a->base, at))
            continue;
        if (out->kind == TR_PQL_VEC_INT && tr_pql_is_integer_at(a->base, at) &&
            integers(TR_PQL_SUB, 0, a->base->ints[at], &value)) {
            out->ints[i] = value;
            out->valid[i] = TR_PQL_VALUE;
        } else {
            put_double(out, i, -tr_pql_number_at(a->base, at));
        }
    }
}

static void arithmetic(tr_pql_fn fn, const tr_pql_vec *a, const tr_pql_vec *b, uint32_t count,
                       tr_pql_base *out)
{
    const bool divides = fn == TR_PQL_DIV || fn == TR_PQL_MOD;
    const bool are_numbers = is_number(a) && is_number(b);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t x = tr_pql_at(a, i), y = tr_pql_at(b, i);
        int64_t value;
        out->valid[i] = TR_PQL_NO_VALUE;
        if (!are_numbers || tr_pql_base_is_null(a->base, x) || tr_pql_base_is_null(b->base, y))
            continue;
        const double right = tr_pql_number_at(b->base, y);
        if (divides && right >= 0 && right <= 0)
            continue;
        if (out->kind == TR_PQL_VEC_INT && tr_pql_is_integer_at(a->base, x) &&
            tr_pql_is_integer_at(b->base, y) &&
            integers(fn, a->base->ints[x], b->base->ints[y], &value)) {
            out->ints[i] = value;
            out->valid[i] = TR_PQL_VALUE;
        } else {
            put_double(out, i, doubles(fn, tr_pql_number_at(a->base, x), right));
        }
    }
}

/* ---- comparisons */

static bool holds(tr_pql_fn fn, bool is_less, bool is_more)
{
    switch ((int)fn) {
    case TR_PQL_LT: return is_less;
    case TR_PQL_GT: return is_more;
    case TR_PQL_LE: return !is_more;
    default: return !is_less;
    }
}

static bool compare_numbers(tr_pql_fn fn, const tr_pql_base *a, uint32_t x, const tr_pql_base *b,
                            uint32_t y)
{
    if (tr_pql_is_integer_at(a, x) && tr_pql_is_integer_at(b, y))
        return holds(fn, a->ints[x]<b->ints[y], a->ints[x]> b->ints[y]);
    const double left = tr_pql_number_at(a, x), right = tr_pql_number_at(b, y);
    if (isnan(left) || isnan(right))
        return false;
    return holds(fn, left<right, left> right);
}

/* An interval is before what is after its end. */
static bool compare_times(tr_pql_fn fn, tr_pql_span a, tr_pql_span b)
{
    return holds(fn, a.hi<b.lo, a.lo> b.hi);
}

static void order(tr_pql_fn fn, const tr_pql_vec *a, const tr_pql_vec *b, uint32_t count,
                  uint8_t *out)
{
    const bool are_numbers = is_number(a) && is_number(b), are_times = is_time(a) && is_time(b);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t x = tr_pql_at(a, i), y = tr_pql_at(b, i);
        out[i] = TR_PQL_FALSE;
        if (tr_pql_base_is_null(a->base, x) || tr_pql_base_is_null(b->base, y))
            continue;
        if (are_numbers)
            out[i] = compare_numbers(fn, a->base, x, b->base, y);
        else if (are_times)
            out[i] = compare_times(fn, tr_pql_span_at(a->base, x), tr_pql_span_at(b->base, y));
    }
}

static tr_code equality(tr_pql_run *run, tr_pql_fn fn, const tr_pql_vec *a, const tr_pql_vec *b,
                        uint32_t count, uint8_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        bool is_equal;
        out[i] = TR_PQL_FALSE;
        if (tr_pql_is_null_at(a, i) || tr_pql_is_null_at(b, i))
            continue;
        TR_TRY(tr_pql_equals(run, a, i, b, i, &is_equal));
        out[i] = is_equal == (fn == TR_PQL_EQ);
    }
    return TR_OK;
}

/* ---- booleans and nulls */

static void truth(const tr_pql_vec *a, uint32_t count, uint8_t *out)
{
    const tr_pql_base *base = a->base;
    const bool is_list = base->kind == TR_PQL_VEC_LIST;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = tr_pql_at(a, i);
        out[i] = !tr_pql_base_is_null(base, at) && (!is_list || base->end[at] > base->start[at]);
        if (base->kind == TR_PQL_VEC_BOOL)
            out[i] = base->bools[at] == TR_PQL_TRUE;
    }
}

/* ---- times */

static void occurs(const tr_pql_op *op, const tr_pql_vec *const *args, uint32_t count, uint8_t *out)
{
    const tr_pql_vec *x = args[0], *first = args[1], *second = op->arg_count > 2 ? args[2] : first;
    const bool are_times = is_time(x) && is_time(first) && is_time(second);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = tr_pql_at(x, i), a = tr_pql_at(first, i), b = tr_pql_at(second, i);
        out[i] = TR_PQL_FALSE;
        if (!are_times || tr_pql_base_is_null(x->base, at) || tr_pql_base_is_null(first->base, a) ||
            tr_pql_base_is_null(second->base, b))
            continue;
        const tr_pql_anchor anchor = {.span = tr_pql_span_at(first->base, a),
                                      .is_instant = first->base->kind == TR_PQL_VEC_TIME};
        out[i] =
            tr_pql_occurs(&op->time, x->base->ints[at], anchor, tr_pql_span_at(second->base, b));
    }
}

static void day_of(const tr_pql_vec *a, uint32_t count, tr_pql_base *out)
{
    for (uint32_t i = 0; i < count; i++) {
        out->valid[i] = !tr_pql_is_null_at(a, i);
        if (out->valid[i])
            out->spans[i] = tr_pql_day_of(a->base->ints[tr_pql_at(a, i)]);
    }
}

static void date(const tr_pql_vec *const *args, uint32_t count, tr_pql_base *out)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t part[3];
        bool is_there = true;
        for (int p = 0; p < 3; p++) {
            const uint32_t at = tr_pql_at(args[p], i);
            is_there = is_there && args[p]->base->kind == TR_PQL_VEC_INT &&
                       !tr_pql_base_is_null(args[p]->base, at) &&
                       tr_pql_is_integer_at(args[p]->base, at);
            part[p] = is_there ? args[p]->base->ints[at] : 0;
        }
        out->valid[i] = is_there && tr_pql_day_at(part[0], part[1], part[2], &out->spans[i]);
    }
}

static void date_part(tr_pql_fn fn, const tr_pql_vec *a, uint32_t count, tr_pql_base *out)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t year;
        unsigned month, day;
        out->valid[i] = a->base->kind == TR_PQL_VEC_TIME && !tr_pql_is_null_at(a, i);
        if (!out->valid[i])
            continue;
        tr_pql_civil(a->base->ints[tr_pql_at(a, i)], &year, &month, &day);
        out->ints[i] = fn == TR_PQL_GET_YEAR ? year : fn == TR_PQL_GET_MONTH ? month : day;
    }
}

/* ---- arrays, as far as they are one row at a time */

static void count_items(const tr_pql_vec *a, uint32_t count, tr_pql_base *out)
{
    const bool is_list = a->base->kind == TR_PQL_VEC_LIST || a->base->kind == TR_PQL_VEC_MAP;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = tr_pql_at(a, i);
        out->valid[i] = TR_PQL_VALUE;
        out->ints[i] = !is_list || tr_pql_base_is_null(a->base, at)
                           ? 0
                           : a->base->end[at] - a->base->start[at];
    }
}

/* value in a constant list: null items never match. Intervals match what is in them. */
static tr_code is_in(tr_pql_run *run, const tr_pql_vec *a, const tr_pql_vec *list, uint32_t count,
                     tr_arena *arena, uint8_t *out)
{
    const tr_pql_base *lists = list->base;
    const uint32_t at = tr_pql_at(list, 0);
    const tr_pql_vec *items = lists->items;
    const uint32_t from = lists->start[at], to = lists->end[at];
    tr_pql_set set = {0};
    uint32_t entry;
    const bool is_span = a->base->kind == TR_PQL_VEC_SPAN || items->base->kind == TR_PQL_VEC_SPAN;
    TR_TRY(tr_pql_set_begin(&set, run, to - from, arena));
    for (uint32_t j = from; j < to; j++)
        if (!tr_pql_is_null_at(items, j))
            TR_TRY(tr_pql_set_find(&set, items, j, true, &entry));
    for (uint32_t i = 0; i < count; i++) {
        bool is_it = false;
        out[i] = TR_PQL_FALSE;
        if (tr_pql_is_null_at(a, i))
            continue;
        for (uint32_t j = from; is_span && j < to && !is_it; j++)
            if (!tr_pql_is_null_at(items, j))
                TR_TRY(tr_pql_equals(run, a, i, items, j, &is_it));
        if (!is_span) {
            TR_TRY(tr_pql_set_find(&set, a, i, false, &entry));
            is_it = entry != TR_PQL_NO_ROW;
        }
        out[i] = is_it;
    }
    return TR_OK;
}

/* tidy: long switch, a line or two per kind of operation */
tr_code tr_pql_scalar(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *const *args,
                      uint32_t count, tr_arena *arena, tr_pql_base **out)
{
    tr_pql_base *base;
    tr_pql_range range;
    TR_TRY(open(run, op, count, arena, &base));
    *out = base;
    switch ((int)op->kind) {
    case TR_PQL_OP_CONST: literal(op, base); break;
    case TR_PQL_OP_NOW: instant_or_part(run, op, base); break;
    case TR_PQL_OP_ARITH:
        if (op->arg_count == 1)
            negate(args[0], count, base);
        else
            arithmetic(op->fn, args[0], args[1], count, base);
        break;
    case TR_PQL_OP_COMPARE:
        if (tr_pql_range_of(op, args, &range))
            tr_pql_range_test(&range, range.of, count, base->bools);
        else if (op->fn == TR_PQL_EQ || op->fn == TR_PQL_NE)
            return equality(run, op->fn, args[0], args[1], count, base->bools);
        else
            order(op->fn, args[0], args[1], count, base->bools);
        break;
    case TR_PQL_OP_TEXT:
    case TR_PQL_OP_REGEX: return tr_pql_text(run, op, args, count, arena, base);
    case TR_PQL_OP_IN: return is_in(run, args[0], args[1], count, arena, base->bools);
    case TR_PQL_OP_OCCURS:
        if (tr_pql_range_of(op, args, &range))
            tr_pql_range_test(&range, range.of, count, base->bools);
        else
            occurs(op, args, count, base->bools);
        break;
    case TR_PQL_OP_DAY: day_of(args[0], count, base); break;
    case TR_PQL_OP_DATE: date(args, count, base); break;
    case TR_PQL_OP_DATE_PART: date_part(op->fn, args[0], count, base); break;
    case TR_PQL_OP_NOT:
        for (uint32_t i = 0; i < count; i++)
            base->bools[i] = !tr_pql_is_true(args[0], i);
        break;
    case TR_PQL_OP_TRUTH: truth(args[0], count, base->bools); break;
    case TR_PQL_OP_IS_NULL:
        for (uint32_t i = 0; i < count; i++)
            base->bools[i] = tr_pql_is_null_at(args[0], i) == (op->fn == TR_PQL_IS_NULL);
        break;
    case TR_PQL_OP_COUNT: count_items(args[0], count, base); break;
    default: break;
    }
    return TR_OK;
}
