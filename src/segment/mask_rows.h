/* SPDX-License-Identifier: Apache-2.0 */
/* mask_rows.h - masks turned over: a bit per definition for each profile.
 *
 *     masks   [definition][profile]  0 1 0 0 1 ...       as an evaluation makes them
 *     rows    [profile]              bit d: definition d
 *
 * Who goes from profile to profile finds the few definitions that hold for one without asking all.
 *
 * Threads: none of its own. Ownership: memory is in the arena.
 */
#ifndef TR_SEGMENT_MASK_ROWS_H
#define TR_SEGMENT_MASK_ROWS_H

#include "base/memory.h"

typedef struct tr_mask_rows {
    uint32_t words; /* of a profile */
    uint64_t *bits;
} tr_mask_rows;

/* masks  [count][profiles] of 0 and 1 */
TR_MUST_CHECK tr_code tr_mask_rows_make(const uint8_t *const *masks, uint32_t count,
                                        uint32_t profiles, tr_arena *arena, tr_mask_rows *out,
                                        tr_err *err);

/* The first definition has the lowest bit of the first word; bits behind the last are 0. */
static inline uint64_t *tr_mask_row(const tr_mask_rows *rows, uint32_t profile)
{
    return rows->bits + (size_t)profile * rows->words;
}

#endif
