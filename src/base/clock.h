/* SPDX-License-Identifier: Apache-2.0 */
/* clock.h - instants as UTC microseconds since 1970, and the RFC 3339 texts that name them. */
#ifndef TR_BASE_CLOCK_H
#define TR_BASE_CLOCK_H

#include "base/err.h"
#include "base/str.h"

#include <time.h>

#define TR_TIME_NONE INT64_MIN

enum { TR_TIME_TEXT_BYTES = 32 };

int64_t tr_time_now_us(void); /* wall clock */
int64_t tr_time_now_ms(void);
int64_t tr_time_monotonic_us(void); /* for durations */
/* The instant after so many ms from now, for pthread_cond_timedwait. */
struct timespec tr_time_in_ms(int64_t ms);

/* Days since 1970 of a proleptic Gregorian date. The caller has checked month and day. */
int64_t tr_time_days_from_civil(int64_t year, unsigned month, unsigned day);
void tr_time_civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day);

/* Reads YYYY-MM-DD[T| ]hh:mm:ss[.fraction][Z|+hh:mm|+hhmm|+hh]; digits after the sixth are cut.
 * must_have_zone  false: no zone means UTC; and a bare date means its midnight
 * TR_INVALID      names the text and what was expected
 */
TR_MUST_CHECK tr_code tr_time_parse(tr_str text, bool must_have_zone, int64_t *out_us, tr_err *err);
/* Reads YYYY-MM-DD into days since 1970. */
TR_MUST_CHECK tr_code tr_time_parse_date(tr_str text, int32_t *out_days, tr_err *err);

/* Writes 2024-05-01T00:40:12.345Z (the fraction only when it is not zero) and returns `out`. */
const char *tr_time_format(int64_t us, char out[TR_TIME_TEXT_BYTES]);

#endif
