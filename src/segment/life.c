/* SPDX-License-Identifier: Apache-2.0 */
/* life.c - see life.h. */
#include "segment/life.h"

static const char *const names[] = {"", "realized", "existing", "exited"};

const char *tr_status_name(tr_status status)
{
    return names[status];
}

tr_status tr_status_of(tr_str name)
{
    for (int status = TR_REALIZED; status <= TR_EXITED; status++)
        if (tr_str_is(name, names[status]))
            return (tr_status)status;
    return TR_STATUS_NONE;
}

bool tr_member_is_over(const tr_member *member, int64_t now_us)
{
    return member->status == TR_EXITED && member->since_us < now_us - TR_EXIT_KEPT_US;
}

tr_member tr_member_step(tr_member before, bool matches, bool has_three_states, int64_t now_us)
{
    const bool was_in = before.status == TR_REALIZED || before.status == TR_EXISTING;
    if (matches && was_in)
        return (tr_member){has_three_states ? TR_EXISTING : TR_REALIZED, before.since_us};
    if (matches)
        return (tr_member){TR_REALIZED, now_us};
    if (was_in)
        return (tr_member){TR_EXITED, now_us};
    return tr_member_is_over(&before, now_us) ? (tr_member){TR_STATUS_NONE, 0} : before;
}
