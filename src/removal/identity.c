/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c - jobs about identities. */
#include "removal/removal_internal.h"

tr_code tr_removal_run_identities(tr_removals *removals, const tr_removal_waiting *const *jobs,
                                  uint32_t count, tr_err *err)
{
    (void)removals, (void)jobs, (void)count;
    return TR_FAIL(err, TR_SEMANTIC, "not yet");
}
