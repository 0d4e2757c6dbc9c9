/* SPDX-License-Identifier: Apache-2.0 */
/* timetable.h - one thread that sleeps until the next thing is due, and starts what is.
 *
 * What is due, and when something will be, is the owner's to say: `look` is called again and again,
 * for the time since it was called before. It is called at the instant it named, after every
 * tr_timetable_wake, and within a minute in any case, since the wall clock may be set.
 *
 * Threads: any; `look` runs on the timetable's own.
 */
#ifndef TR_COMPUTE_TIMETABLE_H
#define TR_COMPUTE_TIMETABLE_H

#include "base/clock.h"

typedef struct tr_timetable tr_timetable;

/* Starts what is due after after_us and not after now_us. The answer: the next instant after now_us
 * at which something is; TR_TIME_NONE: none is known. */
typedef int64_t (*tr_timetable_look)(void *ctx, int64_t after_us, int64_t now_us);

TR_MUST_CHECK tr_code tr_timetable_open(tr_timetable_look look, void *ctx, tr_timetable **out,
                                        tr_err *err);
/* Waits for the look that is under way. Accepts NULL. */
void tr_timetable_close(tr_timetable *timetable);
/* Something has changed: look again now. */
void tr_timetable_wake(tr_timetable *timetable);

#endif
