/* SPDX-License-Identifier: Apache-2.0 */
/* cron.c - see cron.h. */
#include "compute/cron.h"

#include <stdio.h>

enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, YEAR, FIELDS };
enum { UNIX_WEEKDAY = FIELDS, UNIX_FIELDS = 5 }; /* 0 and 7 are Sunday */

static const struct {
    const char *name;
    int64_t least, most;
} fields[FIELDS + 1] = {{"seconds", 0, 59},
                    {"minutes", 0, 59},
                    {"hours", 0, 23},
                    {"day of month", 1, 31},
                    {"month", 1, 12},
                    {"day of week", 1, 7},
                    {"year", TR_CRON_YEAR_MIN, TR_CRON_YEAR_MAX},
                        {"day of week", 0, 7}};

static const char *const month_names[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL",
                                          "AUG", "SEP", "OCT", "NOV", "DEC", NULL};
static const char *const day_names[] = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", NULL};

static tr_code refuse(int field, tr_str text, const char *expected, tr_err *err)
{
    return TR_FAIL(err, TR_INVALID, "%s: \"%.*s\": expected %s", fields[field].name,
                   text.len > 40 ? 40 : (int)text.len, (const char *)text.at, expected);
}

/* ---- sets of values, years by their distance from the first */

static void add_value(tr_cron *cron, int field, int64_t value)
{
    const uint64_t bit = UINT64_C(1) << (field == YEAR ? (value - TR_CRON_YEAR_MIN) % 64 : value);
    switch (field) {
    case SECOND: cron->seconds |= bit; break;
    case MINUTE: cron->minutes |= bit; break;
    case HOUR: cron->hours |= (uint32_t)bit; break;
    case DAY: cron->days |= (uint32_t)bit; break;
    case MONTH: cron->months |= (uint32_t)bit; break;
    case WEEKDAY: cron->weekdays |= (uint32_t)bit; break;
    case UNIX_WEEKDAY: cron->weekdays |= 1u << (value % 7 + 1); break;
    default: cron->years[(value - TR_CRON_YEAR_MIN) / 64] |= bit; break;
    }
}

static bool has_year(const tr_cron *cron, int64_t year)
{
    if (year < TR_CRON_YEAR_MIN || year > TR_CRON_YEAR_MAX)
        return false;
    const int64_t at = year - TR_CRON_YEAR_MIN;
    return (cron->years[at / 64] >> (at % 64) & 1) != 0;
}

static bool read_value(int field, tr_str text, int64_t *out)
{
    const bool is_weekday = field == WEEKDAY || field == UNIX_WEEKDAY;
    const char *const *names = field == MONTH ? month_names : is_weekday ? day_names : NULL;
    for (int64_t i = 0; names != NULL && names[i] != NULL; i++)
        if (tr_str_equal_folded(text, tr_str_of(names[i]))) {
            *out = field == UNIX_WEEKDAY ? i : i + 1;
            return true;
        }
    return text.len > 0 && text.at[0] != '-' && tr_str_to_i64(text, out) &&
           *out >= fields[field].least && *out <= fields[field].most;
}

static tr_str cut(tr_str *rest, uint8_t mark)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->at, mark, rest->len);
    const tr_str part = {rest->at, end == NULL ? rest->len : (size_t)(end - rest->at)};
    *rest = end == NULL ? (tr_str){0} : tr_str_from(*rest, part.len + 1);
    return part;
}

/* "*", "5", "1-5", each with "/step"; "5/step" goes on to the last. */
static tr_code read_range(tr_cron *cron, int field, tr_str item, tr_err *err)
{
    tr_str step_text = item;
    tr_str range = cut(&step_text, '/');
    int64_t from = fields[field].least, to = fields[field].most, step = 1;
    if (step_text.at != NULL && (!tr_str_to_i64(step_text, &step) || step < 1 ||
                                 step > fields[field].most || step_text.at[0] == '-'))
        return refuse(field, item, "a step of 1 or more behind \"/\"", err);
    if (!tr_str_is(range, "*") && !(range.len == 0 && step_text.at != NULL)) {
        const tr_str whole = range;
        tr_str last = range;
        const tr_str first = cut(&last, '-');
        if (!read_value(field, first, &from) || (last.at != NULL && !read_value(field, last, &to)))
            return refuse(field, whole, "a value of this field, a range, or *", err);
        if (last.at == NULL && step_text.at == NULL)
            to = from;
    }
    const int64_t span = fields[field].most - fields[field].least + 1;
    if (to < from && field == YEAR)
        return refuse(field, item, "a range that goes up", err);
    for (int64_t v = from; v <= (to < from ? to + span : to); v += step)
        add_value(cron, field, v > fields[field].most ? v - span : v);
    return TR_OK;
}

static tr_code read_list(tr_cron *cron, int field, tr_str text, tr_err *err)
{
    tr_str rest = text;
    while (rest.at != NULL) {
        const tr_str item = cut(&rest, ',');
        if (item.len == 0)
            return refuse(field, text, "a value between commas", err);
        TR_TRY(read_range(cron, field, item, err));
    }
    return TR_OK;
}

/* L, L-3, LW, 15W */
static tr_code read_days(tr_cron *cron, tr_str text, tr_err *err)
{
    int64_t number = 0;
    const bool ends_in_w = (text.at[text.len - 1] | 0x20) == 'w';
    if (tr_str_equal_folded(text, tr_str_of("L"))) {
        cron->is_last_day = true;
        return TR_OK;
    }
    if (tr_str_equal_folded(text, tr_str_of("LW"))) {
        cron->is_nearest_last = true;
        return TR_OK;
    }
    if (text.len > 2 && (text.at[0] | 0x20) == 'l' && text.at[1] == '-') {
        if (!tr_str_to_i64(tr_str_from(text, 2), &number) || number < 1 || number > 30)
            return refuse(DAY, text, "L-1 to L-30", err);
        cron->is_last_day = true;
        cron->before_last = (uint8_t)number;
        return TR_OK;
    }
    if (ends_in_w) {
        if (!read_value(DAY, (tr_str){text.at, text.len - 1}, &number))
            return refuse(DAY, text, "one day before W, such as 15W", err);
        cron->nearest_day = (uint8_t)number;
        return TR_OK;
    }
    return read_list(cron, DAY, text, err);
}

/* L (Saturday), 6L, FRIL, 6#3 */
static tr_code read_weekdays(tr_cron *cron, tr_str text, tr_err *err)
{
    int64_t day = 0, nth = 0;
    tr_str rest = text;
    const tr_str first = cut(&rest, '#');
    if (tr_str_equal_folded(text, tr_str_of("L"))) {
        cron->weekdays = 1u << 7;
        return TR_OK;
    }
    if (rest.at != NULL) {
        if (!read_value(WEEKDAY, first, &day) || !tr_str_to_i64(rest, &nth) || nth < 1 || nth > 5)
            return refuse(WEEKDAY, text, "a day and 1 to 5, such as 6#3", err);
        cron->nth_weekday = (uint8_t)day;
        cron->nth = (uint8_t)nth;
        return TR_OK;
    }
    if (text.len > 1 && (text.at[text.len - 1] | 0x20) == 'l') {
        if (!read_value(WEEKDAY, (tr_str){text.at, text.len - 1}, &day))
            return refuse(WEEKDAY, text, "one day before L, such as 6L", err);
        cron->last_weekday = (uint8_t)day;
        return TR_OK;
    }
    return read_list(cron, WEEKDAY, text, err);
}

/* Fields by white space. */
static tr_code cut_fields(tr_str text, tr_str out[FIELDS], int *count, tr_err *err)
{
    *count = 0;
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && text.at[end] != ' ' && text.at[end] != '\t')
            end++;
        if (end > at) {
            if (*count == FIELDS)
                return TR_FAIL(err, TR_INVALID, "more than %d fields", FIELDS);
            out[(*count)++] = (tr_str){text.at + at, end - at};
        }
        at = end + 1;
    }
    return TR_OK;
}

static tr_code read_day_fields(tr_cron *cron, tr_str day, tr_str weekday, tr_err *err)
{
    const bool no_day = tr_str_is(day, "?"), no_weekday = tr_str_is(weekday, "?");
    if (no_day == no_weekday)
        return TR_FAIL(err, TR_INVALID,
                       "exactly one of day of month and day of week must be \"?\"");
    cron->uses_weekdays = no_day;
    return no_day ? read_weekdays(cron, weekday, err) : read_days(cron, day, err);
}

tr_code tr_cron_parse(tr_str text, tr_cron *out, tr_err *err)
{
    tr_cron cron = {0};
    tr_str parts[FIELDS];
    int count = 0;
    TR_TRY(cut_fields(text, parts, &count, err));
    if (count < YEAR)
        return TR_FAIL(err, TR_INVALID,
                       "%d fields: expected second minute hour day-of-month month day-of-week "
                       "[year]",
                       count);
    for (int field = SECOND; field <= HOUR; field++)
        TR_TRY(read_list(&cron, field, parts[field], err));
    TR_TRY(read_day_fields(&cron, parts[DAY], parts[WEEKDAY], err));
    TR_TRY(read_list(&cron, MONTH, parts[MONTH], err));
    TR_TRY(read_list(&cron, YEAR, count > YEAR ? parts[YEAR] : tr_str_of("*"), err));
    if (tr_cron_next(&cron, tr_time_now_us()) == TR_TIME_NONE)
        return TR_FAIL(err, TR_INVALID, "it never fires");
    *out = cron;
    return TR_OK;
}

/* A day fires when it is in the one restricted field of days; in either, when both are. */
static tr_code read_unix_days(tr_cron *cron, tr_str day, tr_str weekday, tr_err *err)
{
    const bool any_day = day.at[0] == '*', any_weekday = weekday.at[0] == '*';
    TR_TRY(read_list(cron, DAY, day, err));
    TR_TRY(read_list(cron, UNIX_WEEKDAY, weekday, err));
    cron->uses_weekdays = any_day && !any_weekday;
    cron->is_either_day = !any_day && !any_weekday;
    return TR_OK;
}

tr_code tr_cron_parse_unix(tr_str text, tr_cron *out, tr_err *err)
{
    tr_cron cron = {.seconds = 1};
    tr_str parts[FIELDS];
    int count = 0;
    TR_TRY(cut_fields(text, parts, &count, err));
    if (count != UNIX_FIELDS)
        return TR_FAIL(err, TR_INVALID,
                       "%d fields: expected minute hour day-of-month month day-of-week", count);
    TR_TRY(read_list(&cron, MINUTE, parts[0], err));
    TR_TRY(read_list(&cron, HOUR, parts[1], err));
    TR_TRY(read_unix_days(&cron, parts[2], parts[4], err));
    TR_TRY(read_list(&cron, MONTH, parts[3], err));
    TR_TRY(read_list(&cron, YEAR, tr_str_of("*"), err));
    if (tr_cron_next(&cron, tr_time_now_us()) == TR_TIME_NONE)
        return TR_FAIL(err, TR_INVALID, "it never fires");
    *out = cron;
    return TR_OK;
}

/* ---- instants */

static unsigned days_in(int64_t year, unsigned month)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* 1 is Sunday. */
static unsigned weekday_of(int64_t days)
{
    return (unsigned)((days % 7 + 7 + 4) % 7) + 1; /* the first of 1970 was a Thursday */
}

/* The weekday (Monday to Friday) nearest to a day, within its month. */
static unsigned nearest_weekday(int64_t year, unsigned month, unsigned day)
{
    const unsigned last = days_in(year, month);
    const unsigned own = weekday_of(tr_time_days_from_civil(year, month, day));
    if (own == 7) /* Saturday */
        return day > 1 ? day - 1 : day + 2;
    if (own == 1) /* Sunday */
        return day < last ? day + 1 : day - 2;
    return day;
}

static bool fires_on(const tr_cron *cron, int64_t year, unsigned month, unsigned day)
{
    const unsigned last = days_in(year, month);
    const unsigned weekday = weekday_of(tr_time_days_from_civil(year, month, day));
    if (cron->is_either_day && (cron->weekdays >> weekday & 1) != 0)
        return true;
    if (cron->uses_weekdays) {
        if (cron->last_weekday != 0)
            return weekday == cron->last_weekday && day + 7 > last;
        if (cron->nth_weekday != 0)
            return weekday == cron->nth_weekday && (day - 1) / 7 + 1 == cron->nth;
        return (cron->weekdays >> weekday & 1) != 0;
    }
    if (cron->is_last_day)
        return day + cron->before_last == last;
    if (cron->is_nearest_last)
        return day == nearest_weekday(year, month, last);
    if (cron->nearest_day != 0)
        return cron->nearest_day <= last && day == nearest_weekday(year, month, cron->nearest_day);
    return (cron->days >> day & 1) != 0;
}

/* The first second of a day, from `from` on, or -1. */
static int64_t second_of_day(const tr_cron *cron, int64_t from)
{
    for (int64_t hour = from / 3600; hour < 24; hour++) {
        if ((cron->hours >> hour & 1) == 0)
            continue;
        const int64_t in_hour = hour == from / 3600 ? from % 3600 : 0;
        for (int64_t minute = in_hour / 60; minute < 60; minute++) {
            if ((cron->minutes >> minute & 1) == 0)
                continue;
            const int64_t in_minute =
                hour == from / 3600 && minute == in_hour / 60 ? in_hour % 60 : 0;
            for (int64_t second = in_minute; second < 60; second++)
                if ((cron->seconds >> second & 1) != 0)
                    return hour * 3600 + minute * 60 + second;
        }
    }
    return -1;
}

int64_t tr_cron_next(const tr_cron *cron, int64_t after_us)
{
    const int64_t second = (after_us >= 0 ? after_us / 1000000 : 0) + 1;
    const int64_t last = tr_time_days_from_civil(TR_CRON_YEAR_MAX, 12, 31);
    int64_t from = second % 86400, year;
    unsigned month, day;
    for (int64_t days = second / 86400; days <= last; days++, from = 0) {
        tr_time_civil_from_days(days, &year, &month, &day);
        if (!has_year(cron, year) || (cron->months >> month & 1) == 0 ||
            !fires_on(cron, year, month, day))
            continue;
        const int64_t found = second_of_day(cron, from);
        if (found >= 0)
            return (days * 86400 + found) * 1000000;
    }
    return TR_TIME_NONE;
}

bool tr_cron_is_frequent(const tr_cron *cron)
{
    return __builtin_popcountll(cron->seconds) > 1 || __builtin_popcountll(cron->minutes) > 1 ||
           __builtin_popcount(cron->hours) > 1;
}

bool tr_cron_is_due(const tr_cron *cron, int64_t after_us, int64_t now_us, int64_t *next_us)
{
    const int64_t fires = tr_cron_next(cron, after_us);
    const int64_t later = tr_cron_next(cron, now_us);
    if (later != TR_TIME_NONE && (*next_us == TR_TIME_NONE || later < *next_us))
        *next_us = later;
    return fires != TR_TIME_NONE && fires <= now_us;
}
