/* SPDX-License-Identifier: Apache-2.0 */
/* priority.h - which threads wait when all want the processor. */
#ifndef TR_BASE_PRIORITY_H
#define TR_BASE_PRIORITY_H

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

/* While homes are wanted, every thread that calls this now and then keeps to the index'th of the
 * processors that it may use, else it may be on any: with what runs on left-over time everywhere
 * no processor has nothing to do, and none looks for what waits at another. But beside threads that
 * cannot be interrupted at once, in their own right or within the kernel, it is good to move. */
void tr_homes_want(bool are_wanted);
void tr_thread_go_home(uint32_t index);
/* How many processors the calling thread may use. */
uint32_t tr_thread_processors(void);

#endif
