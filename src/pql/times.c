/* SPDX-License-Identifier: Apache-2.0 */
/* times.c - see times.h. */
#include "pql/times.h"

#include "base/clock.h"

#define SECOND INT64_C(1000)
#define DAY (86400 * SECOND)
#define MONTHS_MAX INT64_C(1200000000) /* a hundred million years */

static const int64_t unit_ms[] = {
    [TR_PQL_MILLISECOND] = 1,      [TR_PQL_SECOND] = SECOND, [TR_PQL_MINUTE] = 60 * SECOND,
    [TR_PQL_HOUR] = 3600 * SECOND, [TR_PQL_DAY] = DAY,       [TR_PQL_WEEK] = 7 * DAY};
static const int64_t unit_months[] = {[TR_PQL_MONTH] = 1,
                                      [TR_PQL_YEAR] = 12,
                                      [TR_PQL_DECADE] = 120,
                                      [TR_PQL_CENTURY] = 1200,
                                      [TR_PQL_MILLENNIUM] = 12000};

static int64_t floor_to(int64_t value, int64_t step)
{
    const int64_t over = value % step;
    return value - (over < 0 ? over + step : over);
}

static int64_t clamp(int64_t instant)
{
    return instant > TR_PQL_INSTANT_MAX    ? TR_PQL_INSTANT_MAX
           : instant < -TR_PQL_INSTANT_MAX ? -TR_PQL_INSTANT_MAX
                                           : instant;
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

void tr_pql_civil(int64_t instant, int64_t *year, unsigned *month, unsigned *day)
{
    tr_time_civil_from_days(floor_to(instant, DAY) / DAY, year, month, day);
}

static int64_t shift_months(int64_t instant, int64_t months)
{
    int64_t year;
    unsigned month, day;
    const int64_t midnight = floor_to(instant, DAY);
    tr_pql_civil(instant, &year, &month, &day);
    const int64_t at = year * 12 + (int64_t)month - 1 + months, to_year = floor_to(at, 12) / 12;
    const unsigned to_month = (unsigned)(at - to_year * 12) + 1;
    const unsigned most = days_in_month(to_year, to_month);
    const int64_t days = tr_time_days_from_civil(to_year, to_month, day < most ? day : most);
    return clamp(days * DAY + (instant - midnight));
}

int64_t tr_pql_shift(int64_t instant, int64_t amount, tr_pql_unit unit)
{
    int64_t much, sum;
    instant = clamp(instant);
    const int64_t edge = amount < 0 ? -TR_PQL_INSTANT_MAX : TR_PQL_INSTANT_MAX;
    if (unit <= TR_PQL_WEEK) {
        if (__builtin_mul_overflow(amount, unit_ms[unit], &much) ||
            __builtin_add_overflow(instant, much, &sum))
            return edge;
        return clamp(sum);
    }
    if (__builtin_mul_overflow(amount, unit_months[unit], &much) || much > MONTHS_MAX ||
        much < -MONTHS_MAX)
        return edge;
    return shift_months(instant, much);
}

static int64_t unit_begin(int64_t now, tr_pql_unit unit)
{
    int64_t year;
    unsigned month, day;
    if (unit <= TR_PQL_DAY)
        return floor_to(now, unit_ms[unit]);
    if (unit == TR_PQL_WEEK) /* weeks begin on Monday; 1 January 1970 was a Thursday */
        return floor_to(now + 3 * DAY, 7 * DAY) - 3 * DAY;
    tr_pql_civil(now, &year, &month, &day);
    if (unit != TR_PQL_MONTH) {
        year = floor_to(year, unit_months[unit] / 12);
        month = 1;
    }
    return tr_time_days_from_civil(year, month, 1) * DAY;
}

tr_pql_span tr_pql_calendar(int64_t now, tr_pql_which which, tr_pql_unit unit)
{
    const int64_t begin = unit_begin(now, unit), end = tr_pql_shift(begin, 1, unit);
    if (which == TR_PQL_LAST)
        return (tr_pql_span){tr_pql_shift(begin, -1, unit), begin - 1};
    if (which == TR_PQL_NEXT)
        return (tr_pql_span){end, tr_pql_shift(end, 1, unit) - 1};
    return (tr_pql_span){begin, end - 1};
}

tr_pql_span tr_pql_day_of(int64_t instant)
{
    const int64_t begin = floor_to(instant, DAY);
    return (tr_pql_span){begin, begin + DAY - 1};
}

bool tr_pql_day_at(int64_t year, int64_t month, int64_t day, tr_pql_span *out)
{
    if (year < 1 || year > 9999 || month < 1 || month > 12 || day < 1 ||
        day > days_in_month(year, (unsigned)month))
        return false;
    *out = tr_pql_day_of(tr_time_days_from_civil(year, (unsigned)month, (unsigned)day) * DAY);
    return true;
}

/* ---- occurs */

static const tr_pql_span empty = {1, 0};

/* An anchor moved by a time's distance, to both sides. */
typedef struct edges {
    tr_pql_span back, forward;
} edges;

static edges edges_of(const tr_pql_time *time, tr_pql_anchor a)
{
    edges to;
    to.back.lo = tr_pql_shift(a.span.lo, -time->amount, time->unit);
    to.forward.lo = tr_pql_shift(a.span.lo, time->amount, time->unit);
    if (a.is_instant) {
        to.back.hi = to.back.lo;
        to.forward.hi = to.forward.lo;
    } else {
        to.back.hi = tr_pql_shift(a.span.hi + 1, -time->amount, time->unit) - 1;
        to.forward.hi = tr_pql_shift(a.span.hi + 1, time->amount, time->unit) - 1;
    }
    return to;
}

static tr_pql_span before(const tr_pql_time *time, tr_pql_anchor a, int64_t edge)
{
    const int64_t end = a.is_instant ? a.span.lo : a.span.lo - 1;
    switch ((int)time->comparison) {
    case TR_PQL_LT: return (tr_pql_span){edge + 1, end};
    case TR_PQL_LE: return (tr_pql_span){edge, end};
    case TR_PQL_GT: return (tr_pql_span){INT64_MIN, edge - 1};
    default: return (tr_pql_span){INT64_MIN, edge};
    }
}

static tr_pql_span after(const tr_pql_time *time, tr_pql_anchor a, int64_t edge)
{
    const int64_t begin = a.is_instant ? a.span.hi : a.span.hi + 1;
    switch ((int)time->comparison) {
    case TR_PQL_LT: return (tr_pql_span){begin, edge - 1};
    case TR_PQL_LE: return (tr_pql_span){begin, edge};
    case TR_PQL_GT: return (tr_pql_span){edge + 1, INT64_MAX};
    default: return (tr_pql_span){edge, INT64_MAX};
    }
}

static tr_pql_window from(const tr_pql_time *time, const edges *to)
{
    const bool has_edges = time->comparison == TR_PQL_LE || time->comparison == TR_PQL_GT;
    const tr_pql_span near = {to->back.lo + !has_edges, to->forward.hi - !has_edges};
    return (tr_pql_window){.spans = {near, empty},
                           .is_outside =
                               time->comparison == TR_PQL_GT || time->comparison == TR_PQL_GE};
}

static tr_pql_window at_distance(const tr_pql_time *time, tr_pql_anchor a)
{
    const edges to = edges_of(time, a);
    if (time->comparison == TR_PQL_EQ || time->comparison == TR_PQL_NE)
        return (tr_pql_window){.spans = {time->direction == TR_PQL_AFTER ? empty : to.back,
                                         time->direction == TR_PQL_BEFORE ? empty : to.forward},
                               .is_outside = time->comparison == TR_PQL_NE};
    if (time->direction == TR_PQL_FROM)
        return from(time, &to);
    return (tr_pql_window){.spans = {time->direction == TR_PQL_BEFORE
                                         ? before(time, a, to.back.lo)
                                         : after(time, a, to.forward.hi),
                                     empty}};
}

tr_pql_window tr_pql_window_of(const tr_pql_time *time, tr_pql_anchor anchor, tr_pql_span second)
{
    tr_pql_window window = {.spans = {anchor.span, empty}};
    switch (time->kind) {
    case TR_PQL_TIME_ON: return window;
    case TR_PQL_TIME_BETWEEN: window.spans[0].hi = second.hi; return window;
    case TR_PQL_TIME_RELATIVE: return at_distance(time, anchor);
    case TR_PQL_TIME_DIRECTION: break;
    }
    if (time->direction == TR_PQL_BEFORE)
        window.spans[0] = (tr_pql_span){INT64_MIN, anchor.span.lo - 1};
    else if (time->direction == TR_PQL_AFTER)
        window.spans[0] = (tr_pql_span){anchor.span.hi + 1, INT64_MAX};
    else
        window.is_outside = true;
    return window;
}

bool tr_pql_occurs(const tr_pql_time *time, int64_t x, tr_pql_anchor anchor, tr_pql_span second)
{
    const tr_pql_window window = tr_pql_window_of(time, anchor, second);
    return tr_pql_is_in_window(&window, x);
}
