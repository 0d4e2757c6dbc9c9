/* SPDX-License-Identifier: Apache-2.0 */
/* eval_range.c - numbers and times compared with a constant; see eval_internal.h.
 *
 * Most conditions on numbers and times are of this kind, and each is a closed range or what is
 * outside of it, so that one loop without branches says of many rows what holds:
 *
 *     points > 2000                                    [2001, largest]       of integers
 *     value < 0.5                                      [-inf, 0.4999...]     of doubles
 *     timestamp occurs <= 3 days before now            [now - 3 days, now]   of times
 */
#include "pql/eval_internal.h"

#include <math.h>

static bool is_number(const tr_pql_vec *v)
{
    return v->base->kind == TR_PQL_VEC_INT || v->base->kind == TR_PQL_VEC_NUM;
}

static bool is_time(const tr_pql_vec *v)
{
    return v->base->kind == TR_PQL_VEC_TIME || v->base->kind == TR_PQL_VEC_SPAN;
}

/* c < x is x > c */
static tr_pql_fn turned(tr_pql_fn fn)
{
    switch ((int)fn) {
    case TR_PQL_LT: return TR_PQL_GT;
    case TR_PQL_GT: return TR_PQL_LT;
    case TR_PQL_LE: return TR_PQL_GE;
    case TR_PQL_GE: return TR_PQL_LE;
    default: return fn;
    }
}

/* ---- ranges */

static const tr_pql_span nothing = {1, 0};

/* What is less, more, ... than all of an interval; equal: in it. */
static tr_pql_span span_of(tr_pql_fn fn, tr_pql_span c)
{
    switch ((int)fn) {
    case TR_PQL_LT: return c.lo == INT64_MIN ? nothing : (tr_pql_span){INT64_MIN, c.lo - 1};
    case TR_PQL_LE: return (tr_pql_span){INT64_MIN, c.hi};
    case TR_PQL_GT: return c.hi == INT64_MAX ? nothing : (tr_pql_span){c.hi + 1, INT64_MAX};
    case TR_PQL_GE: return (tr_pql_span){c.lo, INT64_MAX};
    default: return c;
    }
}

static void set_doubles(tr_pql_fn fn, double c, tr_pql_range *out)
{
    out->low = 1; /* nothing */
    out->high = 0;
    if (isnan(c) || (fn == TR_PQL_LT && c <= -INFINITY) || (fn == TR_PQL_GT && c >= INFINITY))
        return;
    out->low = -INFINITY;
    out->high = INFINITY;
    switch ((int)fn) {
    case TR_PQL_LT: out->high = nextafter(c, -INFINITY); break;
    case TR_PQL_LE: out->high = c; break;
    case TR_PQL_GT: out->low = nextafter(c, INFINITY); break;
    case TR_PQL_GE: out->low = c; break;
    default: out->low = out->high = c; break;
    }
}

static bool is_comparison(const tr_pql_op *op, const tr_pql_vec *const *args, tr_pql_range *out)
{
    const bool is_turned = args[0]->is_constant;
    const tr_pql_vec *x = args[is_turned], *c = args[!is_turned];
    const tr_pql_fn fn = is_turned ? turned(op->fn) : op->fn;
    if (x->is_constant || !c->is_constant || tr_pql_base_is_null(c->base, 0) ||
        x->base->valid == NULL)
        return false;
    *out = (tr_pql_range){.of = x,
                          .window = {.spans = {nothing, nothing}, .is_outside = fn == TR_PQL_NE}};
    if (x->base->kind == TR_PQL_VEC_TIME && is_time(c)) {
        out->window.spans[0] = span_of(fn, tr_pql_span_at(c->base, 0));
        out->are_integers = true;
        return true;
    }
    if (!is_number(x) || !is_number(c))
        return false;
    out->are_integers = x->base->kind == TR_PQL_VEC_INT && tr_pql_is_integer_at(c->base, 0);
    if (out->are_integers)
        out->window.spans[0] = span_of(fn, (tr_pql_span){c->base->ints[0], c->base->ints[0]});
    set_doubles(fn, tr_pql_number_at(c->base, 0), out);
    return true;
}

static bool is_occurrence(const tr_pql_op *op, const tr_pql_vec *const *args, tr_pql_range *out)
{
    const tr_pql_vec *first = args[1], *second = op->arg_count > 2 ? args[2] : first;
    if (args[0]->is_constant || args[0]->base->kind != TR_PQL_VEC_TIME ||
        args[0]->base->valid == NULL || !first->is_constant || !second->is_constant ||
        !is_time(first) || !is_time(second) || tr_pql_base_is_null(first->base, 0) ||
        tr_pql_base_is_null(second->base, 0))
        return false;
    const tr_pql_anchor anchor = {.span = tr_pql_span_at(first->base, 0),
                                  .is_instant = first->base->kind == TR_PQL_VEC_TIME};
    *out = (tr_pql_range){.of = args[0],
                          .are_integers = true,
                          .window =
                              tr_pql_window_of(&op->time, anchor, tr_pql_span_at(second->base, 0))};
    return true;
}

bool tr_pql_range_of(const tr_pql_op *op, const tr_pql_vec *const *args, tr_pql_range *out)
{
    if (op->kind == TR_PQL_OP_COMPARE)
        return is_comparison(op, args, out);
    return op->kind == TR_PQL_OP_OCCURS && is_occurrence(op, args, out);
}

/* ---- rows */

static inline bool is_double_in(const tr_pql_range *range, double x)
{
    const unsigned is_in = (unsigned)(x >= range->low) & (unsigned)(x <= range->high);
    return (is_in ^ (unsigned)range->window.is_outside) != 0;
}

/* Whether an integer's base row is there, and in the range; sums may have become doubles. */
static inline bool is_integer_at(const tr_pql_range *range, const tr_pql_base *base, uint32_t at)
{
    if (range->are_integers && base->valid[at] != TR_PQL_DOUBLE_VALUE)
        return (base->valid[at] != TR_PQL_NO_VALUE) &
               tr_pql_is_in_window(&range->window, base->ints[at]);
    return base->valid[at] != TR_PQL_NO_VALUE && is_double_in(range, tr_pql_number_at(base, at));
}

/* Of doubles. */
static inline bool is_number_at(const tr_pql_range *range, const tr_pql_base *base, uint32_t at)
{
    return (base->valid[at] != TR_PQL_NO_VALUE) & is_double_in(range, base->numbers[at]);
}

static void test_numbers(const tr_pql_range *range, const tr_pql_vec *x, uint32_t count,
                         uint8_t *out)
{
    const tr_pql_range own = *range; /* what is written cannot change it */
    const tr_pql_base base = *x->base;
    const uint32_t *index = x->index;
    if (index == NULL)
        for (uint32_t i = 0; i < count; i++)
            out[i] = is_number_at(&own, &base, i);
    else
        for (uint32_t i = 0; i < count; i++)
            out[i] = is_number_at(&own, &base, index[i]);
}

/* The commonest window: one span, of rows of which none is a double. */
static void test_span(const tr_pql_range *range, const tr_pql_vec *x, uint32_t count, uint8_t *out)
{
    const uint64_t from = (uint64_t)range->window.spans[0].lo;
    const uint64_t width = (uint64_t)range->window.spans[0].hi - from;
    const bool is_outside = range->window.is_outside;
    const int64_t *ints = x->base->ints;
    const uint8_t *valid = x->base->valid;
    const uint32_t *index = x->index;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t at = index == NULL ? i : index[i];
        const bool is_in = (uint64_t)ints[at] - from <= width;
        out[i] = (uint8_t)((valid[at] != TR_PQL_NO_VALUE) & (is_in != is_outside));
    }
}

static void test_integers(const tr_pql_range *range, const tr_pql_vec *x, uint32_t count,
                          uint8_t *out)
{
    const tr_pql_range own = *range;
    const tr_pql_base base = *x->base;
    const uint32_t *index = x->index;
    const tr_pql_span *spans = range->window.spans;
    if (range->are_integers && spans[0].lo <= spans[0].hi && spans[1].lo > spans[1].hi &&
        memchr(base.valid, TR_PQL_DOUBLE_VALUE, base.count) == NULL) {
        test_span(range, x, count, out);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        out[i] = is_integer_at(&own, &base, index == NULL ? i : index[i]);
}

void tr_pql_range_test(const tr_pql_range *range, const tr_pql_vec *x, uint32_t count, uint8_t *out)
{
    if (x->base->kind == TR_PQL_VEC_NUM)
        test_numbers(range, x, count, out);
    else
        test_integers(range, x, count, out);
}

uint32_t tr_pql_range_keep(const tr_pql_range *range, const uint32_t *rows, uint32_t count,
                           uint32_t *out)
{
    const tr_pql_range own = *range;
    const tr_pql_base base = *range->of->base;
    const uint32_t *index = range->of->index;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = rows[i], at = index == NULL ? row : index[row];
        out[kept] = row;
        kept += base.kind == TR_PQL_VEC_NUM ? is_number_at(&own, &base, at)
                                            : is_integer_at(&own, &base, at);
    }
    return kept;
}
