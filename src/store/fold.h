/* SPDX-License-Identifier: Apache-2.0 */
/* fold.h - which rows of one dataset and one identity replace which. Merging and compaction fold alike, which
 * is why a compaction never changes an answer.
 *
 * Records: the newest row stands first; older ones stay behind it while the newer is from an upsert
 * run, and go otherwise. Events: of those with one _id the newest stays. "Newest" is by ingestion time,
 * then by run and row: row numbers grow in that order.
 *
 * Threads: none of its own.
 */
#ifndef TR_STORE_FOLD_H
#define TR_STORE_FOLD_H

#include "store/rows.h"

typedef struct tr_fold {
    const tr_rows *rows;
    const int64_t *ingested; /* by row number */
    const uint32_t *run_of;  /* by row number */
    uint32_t *spare;         /* as many as the largest group has rows */
} tr_fold;

/* Fills run_of and ingested, and spare for the largest of `groups`; in the arena. */
TR_MUST_CHECK tr_code tr_fold_make(const tr_rows *rows, const tr_groups *groups, tr_arena *arena, tr_fold *out,
                                   tr_err *err);

/* Rows of one dataset, in any order, become newest first; returns how many stay. */
uint32_t tr_fold_records(const tr_fold *fold, uint32_t *rows, uint32_t count);

/* Rows of one identity in order of arrival: by ingestion, run and row. */
void tr_fold_arrange(const tr_fold *fold, uint32_t *rows, uint32_t count);

/* What events are told apart and sorted by; by row number. */
typedef struct tr_event_ids {
    const tr_str *ids;       /* .at NULL: no _id: such an event is like no other */
    const uint64_t *hashes;
    const int64_t *times;    /* `timestamp`; 0 when it has none */
} tr_event_ids;

/* Drops older versions from every group. The arena holds *ids, strings included. */
TR_MUST_CHECK tr_code tr_fold_events(const tr_fold *fold, tr_groups *groups, tr_arena *arena, tr_event_ids *ids,
                                     tr_err *err);

#endif
