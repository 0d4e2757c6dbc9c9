/* SPDX-License-Identifier: Apache-2.0 */
/* priority.c - see priority.h. */
#include "base/priority.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SLICE_NS = 100000, SHARE_LEFT = 10, LEFT_US_MAX = 1000000, PASSES_MAX = 16 };

void tr_thread_stand_back(int nice)
{
    errno = 0;
    const int now = getpriority(PRIO_PROCESS, 0);
    if (errno != 0 || now >= nice)
        return;
    const struct { /* the kernel's struct sched_attr; its header and libc's exclude each other */
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attributes = {.size = sizeof attributes,
                    .policy = SCHED_OTHER,
                    .nice = nice,
                    .runtime = SLICE_NS}; /* before Linux 6.12 nobody looks at it */
    if (syscall(SYS_sched_setattr, 0, &attributes, 0) != 0)
        (void)setpriority(PRIO_PROCESS, 0, nice);
}

/* How many threads of the folder /proc/PID/task were not idle before. */
static uint32_t make_idle(DIR *threads)
{
    const struct sched_param none = {0};
    uint32_t count = 0;
    rewinddir(threads);
    for (const struct dirent *entry = readdir(threads); entry != NULL; entry = readdir(threads)) {
        int64_t thread; /* "." is none */
        if (tr_str_to_i64(tr_str_of(entry->d_name), &thread) &&
            sched_getscheduler((pid_t)thread) != SCHED_IDLE)
            count += sched_setscheduler((pid_t)thread, SCHED_IDLE, &none) == 0;
    }
    return count;
}

void tr_process_take_left_over(pid_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *threads = opendir(path);
    if (threads == NULL)
        return;
    /* One that was started meanwhile by a thread that was not idle yet is found the next time. */
    for (int pass = 0; make_idle(threads) > 0 && pass < PASSES_MAX; pass++)
        continue;
    (void)closedir(threads);
}

static _Atomic uint32_t left_over_wanted;

void tr_left_over_want(uint32_t processes)
{
    atomic_store_explicit(&left_over_wanted, processes, memory_order_relaxed);
}

void tr_left_over_give(int64_t worked_us)
{
    if (atomic_load_explicit(&left_over_wanted, memory_order_relaxed) == 0 || worked_us <= 0)
        return;
    const int64_t us =
        worked_us / (SHARE_LEFT - 1) < LEFT_US_MAX ? worked_us / (SHARE_LEFT - 1) : LEFT_US_MAX;
    const struct timespec pause = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    (void)nanosleep(&pause, NULL);
}

static atomic_bool homes_wanted;

void tr_homes_want(bool are_wanted)
{
    atomic_store_explicit(&homes_wanted, are_wanted, memory_order_relaxed);
}

static bool keep_to(uint32_t index, const cpu_set_t *all)
{
    cpu_set_t one;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, all) && index-- == 0) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            return sched_setaffinity(0, sizeof one, &one) == 0;
        }
    return false;
}

void tr_thread_go_home(uint32_t index)
{
    static _Thread_local bool is_at_home;
    static _Thread_local cpu_set_t all;
    const bool is_wanted = atomic_load_explicit(&homes_wanted, memory_order_relaxed);
    if (is_wanted == is_at_home)
        return;
    if (!is_wanted)
        is_at_home = sched_setaffinity(0, sizeof all, &all) != 0;
    else if (sched_getaffinity(0, sizeof all, &all) == 0)
        is_at_home = keep_to(index, &all);
}

uint32_t tr_thread_processors(void)
{
    cpu_set_t all;
    if (sched_getaffinity(0, sizeof all, &all) == 0) /* of more than CPU_SETSIZE it says no */
        return (uint32_t)CPU_COUNT(&all);
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : (uint32_t)online;
}
