/* SPDX-License-Identifier: Apache-2.0 */
/* priority.c - see priority.h. */
#include "base/priority.h"

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLICE_NS = 100000 };

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
