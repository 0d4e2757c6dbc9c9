/* SPDX-License-Identifier: Apache-2.0 */
/* times.h - calendar units, distances and `occurs` in UTC (reference: PQL, section 10).
 *
 * Instants are milliseconds since 1970; a TIME is a closed span of them. Arithmetic stops at
 * TR_PQL_INSTANT_MAX on either side (a hundred million years) instead of overflowing.
 */
#ifndef TR_PQL_TIMES_H
#define TR_PQL_TIMES_H

#include "pql/node.h"

#define TR_PQL_INSTANT_MAX INT64_C(3155695200000000000)

typedef struct tr_pql_span {
    int64_t lo, hi;
} tr_pql_span;

int64_t tr_pql_shift(int64_t instant, int64_t amount, tr_pql_unit unit);
/* this, last, next unit */
tr_pql_span tr_pql_calendar(int64_t now, tr_pql_which which, tr_pql_unit unit);
tr_pql_span tr_pql_day_of(int64_t instant);
/* False: no such day in the calendar. */
bool tr_pql_day_at(int64_t year, int64_t month, int64_t day, tr_pql_span *out);
void tr_pql_civil(int64_t instant, int64_t *year, unsigned *month, unsigned *day);
/* Rounds towards the past. */
static inline int64_t tr_pql_us_to_ms(int64_t us)
{
    return us / 1000 - (us % 1000 < 0);
}

typedef struct tr_pql_anchor {
    tr_pql_span span;
    bool is_instant;
} tr_pql_anchor;

/* When something occurs: in one of two spans, or (is_outside) in neither. A span that ends before
 * it begins is empty. */
typedef struct tr_pql_window {
    tr_pql_span spans[2];
    bool is_outside;
} tr_pql_window;
/* second  used by `between` only */
tr_pql_window tr_pql_window_of(const tr_pql_time *time, tr_pql_anchor anchor, tr_pql_span second);

static inline bool tr_pql_is_in_window(const tr_pql_window *window, int64_t x)
{
    const tr_pql_span *a = &window->spans[0], *b = &window->spans[1];
    const unsigned is_in = ((unsigned)(x >= a->lo) & (unsigned)(x <= a->hi)) |
                           ((unsigned)(x >= b->lo) & (unsigned)(x <= b->hi));
    return (is_in ^ (unsigned)window->is_outside) != 0;
}

/* x occurs ... */
bool tr_pql_occurs(const tr_pql_time *time, int64_t x, tr_pql_anchor anchor, tr_pql_span second);

#endif
