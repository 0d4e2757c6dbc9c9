/* SPDX-License-Identifier: Apache-2.0 */
/* life.h - the life of a membership (reference: segmentation API, 11.3 and 11.4).
 *
 *                 match              no match
 *     (none)   -> realized, now   -> (none)
 *     realized -> existing, kept  -> exited, now
 *     existing -> existing, kept  -> exited, now
 *     exited   -> realized, now   -> exited, kept; (none) after 30 days
 *
 * With two states `existing` is written `realized`. The time is that of the last entry or exit.
 */
#ifndef TR_SEGMENT_LIFE_H
#define TR_SEGMENT_LIFE_H

#include "base/clock.h"

typedef enum tr_status { TR_STATUS_NONE, TR_REALIZED, TR_EXISTING, TR_EXITED } tr_status;

#define TR_EXIT_KEPT_US (INT64_C(30) * 24 * 3600 * 1000000)

typedef struct tr_member {
    tr_status status;
    int64_t since_us; /* lastQualificationTime */
} tr_member;

const char *tr_status_name(tr_status status);
/* TR_STATUS_NONE: no such status. */
tr_status tr_status_of(tr_str name);
/* An exit so old that it counts as no entry. */
bool tr_member_is_over(const tr_member *member, int64_t now_us);
tr_member tr_member_step(tr_member before, bool matches, bool has_three_states, int64_t now_us);

#endif
