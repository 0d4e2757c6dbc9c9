/* SPDX-License-Identifier: Apache-2.0 */
/* priority.c - see priority.h. */
#include "base/priority.h"

#include <errno.h>
#include <sys/resource.h>

void tr_thread_stand_back(int nice)
{
    errno = 0;
    const int now = getpriority(PRIO_PROCESS, 0);
    if (errno == 0 && now < nice)
        (void)setpriority(PRIO_PROCESS, 0, nice);
}
