/* SPDX-License-Identifier: Apache-2.0 */
/* cron.h - cron expressions: when a schedule fires. Quartz (reference: segmentation API, 7.3):
 *
 *     second minute hour day-of-month month day-of-week [year]       in UTC
 *     0      0      1    *            *     ?                        01:00 every day
 *
 * Exactly one of the two day fields is `?`. Days of the week are 1 to 7 from Sunday, or names.
 * And crontab's five fields (reference: Query Service, 5), where they are 0 to 7, Sunday both:
 *
 *     minute hour day-of-month month day-of-week
 *     30     *    *            *     *                           every hour, in UTC
 *
 * Threads: an expression is a plain value.
 */
#ifndef TR_COMPUTE_CRON_H
#define TR_COMPUTE_CRON_H

#include "base/clock.h"

enum { TR_CRON_YEAR_MIN = 1970, TR_CRON_YEAR_MAX = 2099 };

typedef struct tr_cron {
    uint64_t seconds, minutes; /* bit n: n is in the set */
    uint32_t hours, days, months, weekdays;
    uint64_t years[3];        /* bit y - TR_CRON_YEAR_MIN */
    bool uses_weekdays;       /* the days of the month are `?` */
    bool is_either_day;       /* a day in one of the two sets is enough */
    bool is_last_day;         /* L: the last day of the month ... */
    uint8_t before_last;      /* ... L-n: so many days before it */
    uint8_t nearest_day;      /* nW: the weekday nearest to day n; 0: none. LW: with is_last_day */
    bool is_nearest_last;     /* LW */
    uint8_t last_weekday;     /* nL: the last such day of the month, 1 from Sunday; 0: none */
    uint8_t nth_weekday, nth; /* n#k */
} tr_cron;

/* TR_INVALID  names the field and what was expected, or that it never fires */
TR_MUST_CHECK tr_code tr_cron_parse(tr_str text, tr_cron *out, tr_err *err);
TR_MUST_CHECK tr_code tr_cron_parse_unix(tr_str text, tr_cron *out, tr_err *err);
/* The first instant after `after_us`; TR_TIME_NONE: never again. */
int64_t tr_cron_next(const tr_cron *cron, int64_t after_us);
/* Whether it fires after after_us and not after now_us. *next_us becomes the first instant after
 * now_us, when that is before what is there (TR_TIME_NONE: nothing). */
bool tr_cron_is_due(const tr_cron *cron, int64_t after_us, int64_t now_us, int64_t *next_us);
/* Whether it ever fires twice within 24 hours. */
bool tr_cron_is_frequent(const tr_cron *cron);

#endif
