/* SPDX-License-Identifier: Apache-2.0 */
/* clock.c - see clock.h. The two calendar functions count in 400-year eras that begin in March, so
 * that the leap day is the last day of a year and needs no case of its own.
 */
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t tr_time_now_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

int64_t tr_time_now_ms(void)
{
    return tr_time_now_us() / 1000;
}

int64_t tr_time_monotonic_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

struct timespec tr_time_in_ms(int64_t ms)
{
    const int64_t at_us = tr_time_now_us() + ms * 1000;
    return (struct timespec){.tv_sec = at_us / 1000000, .tv_nsec = at_us % 1000000 * 1000};
}

int64_t tr_time_days_from_civil(int64_t year, unsigned month, unsigned day)
{
    if (month <= 2)
        year--;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t day_of_year = (153 * ((int64_t)month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    const int64_t day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void tr_time_civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t day_of_era = days - era * 146097;
    const int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t shifted = (5 * day_of_year + 2) / 153;
    *day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

/* Reads exactly `digits` digits at *at and moves past them. */
static bool take_number(tr_str s, size_t *at, size_t digits, unsigned *out)
{
    unsigned value = 0;
    if (s.len - *at < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        const uint8_t byte = s.at[*at + i];
        if (byte < '0' || byte > '9')
            return false;
        value = value * 10 + (byte - '0');
    }
    *at += digits;
    *out = value;
    return true;
}

static bool take_byte(tr_str s, size_t *at, char byte)
{
    if (*at >= s.len || s.at[*at] != (uint8_t)byte)
        return false;
    (*at)++;
    return true;
}

static bool take_date(tr_str s, size_t *at, int64_t *days)
{
    static const unsigned month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    unsigned year, month, day;
    if (!take_number(s, at, 4, &year) || !take_byte(s, at, '-') || !take_number(s, at, 2, &month) ||
        !take_byte(s, at, '-') || !take_number(s, at, 2, &day))
        return false;
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month < 1 || month > 12 || day < 1 ||
        day > month_days[month - 1] + (month == 2 && is_leap ? 1u : 0u))
        return false;
    *days = tr_time_days_from_civil(year, month, day);
    return true;
}

static bool take_clock(tr_str s, size_t *at, int64_t *us)
{
    unsigned hour, minute, second;
    if (!take_number(s, at, 2, &hour) || !take_byte(s, at, ':') || !take_number(s, at, 2, &minute) ||
        !take_byte(s, at, ':') || !take_number(s, at, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    int64_t fraction = 0;
    if (take_byte(s, at, '.')) {
        size_t digits = 0;
        for (; *at < s.len && s.at[*at] >= '0' && s.at[*at] <= '9'; digits++, (*at)++)
            if (digits < 6)
                fraction = fraction * 10 + (s.at[*at] - '0');
        if (digits == 0 || digits > 9)
            return false;
        for (; digits < 6; digits++)
            fraction *= 10;
    }
    *us = ((int64_t)hour * 3600 + minute * 60 + second) * 1000000 + fraction;
    return true;
}

/* The offset from UTC in minutes, when the rest of s is a zone. */
static bool take_zone(tr_str s, size_t *at, int64_t *minutes)
{
    *minutes = 0;
    if (take_byte(s, at, 'Z') || take_byte(s, at, 'z'))
        return *at == s.len;
    const bool is_west = take_byte(s, at, '-');
    if (!is_west && !take_byte(s, at, '+'))
        return false;
    unsigned hour, minute = 0;
    if (!take_number(s, at, 2, &hour))
        return false;
    if (*at < s.len && ((void)take_byte(s, at, ':'), !take_number(s, at, 2, &minute)))
        return false;
    if (hour > 18 || minute > 59)
        return false;
    *minutes = (int64_t)hour * 60 + minute;
    if (is_west)
        *minutes = -*minutes;
    return *at == s.len;
}

tr_code tr_time_parse(tr_str text, bool must_have_zone, int64_t *out_us, tr_err *err)
{
    size_t at = 0;
    int64_t days, us = 0, minutes = 0;
    bool is_good = take_date(text, &at, &days);
    if (is_good && (at < text.len || must_have_zone)) {
        is_good = (take_byte(text, &at, 'T') || take_byte(text, &at, 't') ||
                   take_byte(text, &at, ' ')) &&
                  take_clock(text, &at, &us);
        if (is_good && (at < text.len || must_have_zone))
            is_good = take_zone(text, &at, &minutes);
    }
    if (!is_good)
        return TR_FAIL(err, TR_INVALID, "\"%.*s\" is not a date-time such as 2024-05-01T13:45:00Z",
                       (int)(text.len > 64 ? 64 : text.len), (const char *)text.at);
    *out_us = days * INT64_C(86400000000) + us - minutes * INT64_C(60000000);
    return TR_OK;
}

tr_code tr_time_parse_date(tr_str text, int32_t *out_days, tr_err *err)
{
    size_t at = 0;
    int64_t days;
    if (!take_date(text, &at, &days) || at != text.len)
        return TR_FAIL(err, TR_INVALID, "\"%.*s\" is not a date such as 2024-05-01",
                       (int)(text.len > 64 ? 64 : text.len), (const char *)text.at);
    *out_days = (int32_t)days;
    return TR_OK;
}

const char *tr_time_format(int64_t us, char out[TR_TIME_TEXT_BYTES])
{
    const int64_t day_us = INT64_C(86400000000);
    const int64_t days = us / day_us - (us % day_us < 0);
    const int64_t rest = us - days * day_us;
    int64_t year;
    unsigned month, day;
    tr_time_civil_from_days(days, &year, &month, &day);
    const int64_t second = rest / 1000000, fraction = rest % 1000000;
    int len = snprintf(out, TR_TIME_TEXT_BYTES,
                       "%04" PRId64 "-%02u-%02uT%02" PRId64 ":%02" PRId64 ":%02" PRId64, year, month,
                       day, second / 3600, second / 60 % 60, second % 60);
    if (len < 0 || len > TR_TIME_TEXT_BYTES - 9)
        len = TR_TIME_TEXT_BYTES - 9; /* years beyond 9999 are cut rather than overrun */
    if (fraction % 1000 != 0)
        (void)snprintf(out + len, TR_TIME_TEXT_BYTES - (size_t)len, ".%06" PRId64 "Z", fraction);
    else if (fraction != 0)
        (void)snprintf(out + len, TR_TIME_TEXT_BYTES - (size_t)len, ".%03" PRId64 "Z",
                       fraction / 1000);
    else
        (void)snprintf(out + len, TR_TIME_TEXT_BYTES - (size_t)len, "Z");
    return out;
}
