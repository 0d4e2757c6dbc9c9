/* SPDX-License-Identifier: Apache-2.0 */
/* priority.h - which threads wait when all want the processor. */
#ifndef TR_BASE_PRIORITY_H
#define TR_BASE_PRIORITY_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes the calling thread at least this nice, and lets it take its share in small pieces: else
 * whoever goes first would still wait for a whole slice, which is longer than a few lookups. On
 * Linux both are a thread's own, and threads that it starts inherit them. It cannot be undone. */
void tr_thread_stand_back(int nice);

/* All threads of a process, which is not reaped yet, run on what others leave over (SCHED_IDLE):
 * whoever wakes takes the processor from it at once. It cannot be undone. */
void tr_process_take_left_over(pid_t pid);

/* Jobs use the machine whole, and would leave nothing over for as long as they take. So whoever
 * does their work calls tr_left_over_give after each piece of it, which sleeps for a ninth as long,
 * a second at most, while there are such processes: a tenth of its processor is left. */
void tr_left_over_want(uint32_t processes);
void tr_left_over_give(int64_t worked_us);

/* Keeps the calling thread, and those that it starts, on the index'th of the processors that it may
 * use; *before is what it might use, for tr_thread_stay_anywhere. False: nothing was changed. */
bool tr_thread_stay(uint32_t index, cpu_set_t *before);
void tr_thread_stay_anywhere(const cpu_set_t *before);
/* How many processors the calling thread may use. */
uint32_t tr_thread_processors(void);

#endif
