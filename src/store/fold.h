/* SPDX-License-Identifier: Apache-2.0 */
/* fold.h - which rows of one dataset and one identity replace which. Merging and compaction fold alike, which
 * is why a compaction never changes an answer.
 *
 * Records: the newest row stands first; older ones stay behind it while the newer is from an upsert
 * run, and go otherwise. Events: of those with one _id the newest stays; only profiles that are not settled
 * (settle.h) are looked at. "Newest" is by ingestion time, then by run and row: row numbers grow in that order.
 *
 * A group of a stitched plan may have rows of several identities, its OWNERS. Only rows of one dataset and
 * one owner replace each other; where times are equal, rows are ordered by dataset, then by the owner's
 * namespace and id, then by row.
 *
 * Threads: none of its own.
 */
#ifndef TR_STORE_FOLD_H
#define TR_STORE_FOLD_H

#include "store/settle.h"

/* The order of identities: by namespace in lower case, then id. */
int tr_identity_compare(tr_str code_a, tr_str id_a, tr_str code_b, tr_str id_b);

typedef struct tr_owners {
    const tr_rows *rows;
    const uint32_t *run_of;    /* by row number */
    const uint32_t *lane;      /* per run: its dataset's number */
    const uint8_t (*keys)[16]; /* by row number: the owner's key; zeros: the profile's own */
    bool is_unordered;         /* within a run the rows of a key do not stand by namespace and id yet */
    const tr_str *codes, *ids; /* by row number; NULL until a comparison needs them */
    tr_arena *arena;           /* as long as the rows */
    tr_code code;              /* why they could not be read: orders mean nothing then */
    tr_err err;
} tr_owners;

/* lane, run_of  borrowed */
TR_MUST_CHECK tr_code tr_owners_make(const tr_rows *rows, const uint32_t *run_of, const uint32_t *lane,
                                     tr_arena *arena, tr_owners **out, tr_err *err);
bool tr_owners_are_same(const tr_owners *owners, uint32_t a, uint32_t b);
/* By dataset, then namespace and id; 0: the same owner and dataset. */
int tr_owners_compare(tr_owners *owners, uint32_t a, uint32_t b);
/* What went wrong in comparisons so far. owners may be NULL. */
TR_MUST_CHECK tr_code tr_owners_check(const tr_owners *owners, tr_err *err);

typedef struct tr_fold {
    const tr_rows *rows;
    tr_owners *owners; /* NULL: every group is of one identity */
    const int64_t *ingested; /* by row number */
    const uint32_t *run_of;  /* by row number */
    uint32_t *spare;         /* twice as many as the largest group has rows */
} tr_fold;

/* Fills run_of and ingested, and spare for the largest of `groups`; in the arena. */
TR_MUST_CHECK tr_code tr_fold_make(const tr_rows *rows, const tr_groups *groups, tr_arena *arena, tr_fold *out,
                                   tr_err *err);

/* Orders for tr_sort_rows, whose ctx is the fold: the newest first; by owner (there are owners), those of one as
 * they came. */
int tr_fold_newness(const void *fold, uint32_t a, uint32_t b);
int tr_fold_by_owner(const void *fold, uint32_t a, uint32_t b);

/* Rows of one dataset and owner, in any order, become newest first; returns how many stay. */
uint32_t tr_fold_records(const tr_fold *fold, uint32_t *rows, uint32_t count);

/* Drops older versions from the groups that are not settled and puts those in order: by timestamp, then _id, then
 * owner and row. facts  of their rows */
TR_MUST_CHECK tr_code tr_fold_events(const tr_fold *fold, const tr_unsettled *unsettled,
                                     const tr_event_facts *facts, tr_groups *groups, tr_err *err);

#endif
