/* SPDX-License-Identifier: Apache-2.0 */
/* run.h - what all who write or open runs share: bookkeeping columns and the footer.
 */
#ifndef TR_STORE_RUN_H
#define TR_STORE_RUN_H

#include "store/store.h"

/* A partition with more rows than this is cut into several row groups. */
#define TR_RUN_GROUP_ROWS_MAX (4 * TR_RUN_PARTITION_ROWS)

enum {
    TR_RUN_KEY,
    TR_RUN_NAMESPACE,
    TR_RUN_ID,
    TR_RUN_UPDATED,
    TR_RUN_INGESTED,
    TR_RUN_BATCH,
    TR_RUN_MEMBER_COUNT
};

/* The leaves of the bookkeeping columns. TR_INVALID: the shape is not a run's. */
TR_MUST_CHECK tr_code tr_run_find_bookkeeping(const tr_shape *shape,
                                              uint32_t leaves[TR_RUN_MEMBER_COUNT], tr_err *err);

/* UINT32_MAX: it has none. */
uint32_t tr_run_find_identity_key(const tr_shape *shape);

/* How a run is cut into row groups: what its footer says. */
typedef struct tr_run_cut {
    uint8_t bits;
    bool is_event, is_members;
    bool knows_settled;  /* which row groups are settled: all but */
    uint32_t *unsettled; /* [unsettled_count], ascending; in an arena */
    uint32_t unsettled_count, unsettled_cap;
    int64_t ingested_min_us, ingested_max_us;
    uint32_t group_count, group_cap;
    uint32_t *partition; /* [group_count], in an arena */
    uint32_t *rows;      /* [group_count] */
} tr_run_cut;

/* The keys of sorted events, several of which are the same, as a dictionary; in the arena. */
TR_MUST_CHECK tr_code tr_run_fold_keys(tr_arena *arena, tr_column *keys, tr_err *err);

/* Adds a partition's rows: one group, or several of even size. */
TR_MUST_CHECK tr_code tr_run_cut_add(tr_run_cut *cut, tr_arena *arena, uint32_t partition, uint32_t rows,
                                     tr_err *err);
/* Row group `group` is not settled. In ascending order. */
TR_MUST_CHECK tr_code tr_run_cut_unsettle(tr_run_cut *cut, tr_arena *arena, uint32_t group, tr_err *err);
/* Appends the footer's text and a NUL. */
TR_MUST_CHECK tr_code tr_run_footer(const tr_run_cut *cut, tr_buf *out, tr_err *err);

#endif
