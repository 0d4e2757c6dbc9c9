/* SPDX-License-Identifier: Apache-2.0 */
/* cron.h - Quartz cron expressions: when a schedule fires (reference: segmentation API, 7.3).
 *
 *     second minute hour day-of-month month day-of-week [year]       in UTC
 *     0      0      1    *            *     ?                        01:00 every day
 *
 * Exactly one of the two day fields is `?`. Days of the week are 1 to 7 from Sunday, or names.
 *
 * Threads: an expression is a plain value.
 */
#ifndef TR_SEGMENT_CRON_H
#define TR_SEGMENT_CRON_H

#include "base/clock.h"

enum { TR_CRON_YEAR_MIN = 1970, TR_CRON_YEAR_MAX = 2099 };

typedef struct tr_cron {
    uint64_t seconds, minutes; /* bit n: n is in the set */
    uint32_t hours, days, months, weekdays;
    uint64_t years[3];        /* bit y - TR_CRON_YEAR_MIN */
    bool uses_weekdays;       /* the days of the month are `?` */
    bool is_last_day;         /* L: the last day of the month ... */
    uint8_t before_last;      /* ... L-n: so many days before it */
    uint8_t nearest_day;      /* nW: the weekday nearest to day n; 0: none. LW: with is_last_day */
    bool is_nearest_last;     /* LW */
    uint8_t last_weekday;     /* nL: the last such day of the month, 1 from Sunday; 0: none */
    uint8_t nth_weekday, nth; /* n#k */
} tr_cron;

/* TR_INVALID  names the field and what was expected, or that it never fires */
TR_MUST_CHECK tr_code tr_cron_parse(tr_str text, tr_cron *out, tr_err *err);
/* The first instant after `after_us`; TR_TIME_NONE: never again. */
int64_t tr_cron_next(const tr_cron *cron, int64_t after_us);
/* Whether it ever fires twice within 24 hours. */
bool tr_cron_is_frequent(const tr_cron *cron);

#endif
