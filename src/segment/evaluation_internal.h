/* SPDX-License-Identifier: Apache-2.0 */
/* evaluation_internal.h - what an open evaluation holds.
 *
 *     evaluation.c        planned, opened, parts counted up
 *     evaluation_part.c   one partition: masks, old entries, new entries, counts, a file
 */
#ifndef TR_SEGMENT_EVALUATION_INTERNAL_H
#define TR_SEGMENT_EVALUATION_INTERNAL_H

#include "segment/evaluate.h"
#include "segment/evaluation.h"
#include "segment/segment_internal.h"

struct tr_evaluation {
    tr_arena arena;
    const json_t *json; /* the group, of the plan */
    const json_t *definitions;
    uint32_t *order; /* definitions by id, in byte order */
    tr_evaluator *evaluator;
    tr_membership *before;
    int64_t now_us;
    bool has_three_states;
};

#endif
