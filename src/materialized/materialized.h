/* SPDX-License-Identifier: Apache-2.0 */
/* materialized.h - merged records kept as runs, for plans to read in place of fragments.
 *
 * What a policy makes of a set of runs does not change, and jobs, previews and SQL ask for it again
 * and again: it is made once, in the background, and found by a digest of the runs and the policy's
 * rule. It is a cache: whoever finds nothing merges fragments and gets the same rows.
 *
 *     plan: policy, snapshot --take--> there: a merged run (merge.h), held by the plan
 *                                      not:   noted as wanted; the plan merges fragments
 *     wanted --the thread, at the lowest priority--> one file, published and inserted in one
 *              transaction that looks whether all of its runs are there still
 *
 * KEPT as a derived run (store/stitched.h) whose source is the rule's name. Removed when another
 * takes its place, when a run it was made of is live no more (with the store's sweeps), at once
 * when data was taken back, when it turns out to be damaged, with its sandbox, and the oldest first
 * when all of them take more than bytes_max.
 *
 * NOBODY FAILS because of one: what cannot be found, opened or made (a full disk, damage) is as
 * none, and is tried again when it can go well (materialized_internal.h). The disk's last bytes are
 * left to others.
 *
 * Threads: any.
 */
#ifndef TR_MATERIALIZED_MATERIALIZED_H
#define TR_MATERIALIZED_MATERIALIZED_H

#include "merge/merge.h"
#include "store/store.h"

typedef struct tr_materialized tr_materialized;

typedef struct tr_materialized_parts {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    uint64_t bytes_max; /* of all kept runs; 0: none are made or read */
    uint64_t rows_min;  /* of records: fewer are merged faster than they are found */
} tr_materialized_parts;

TR_MUST_CHECK tr_code tr_materialized_open(const tr_materialized_parts *parts,
                                           tr_materialized **out, tr_err *err);
/* What an earlier process kept and this one does not: of what takes more than bytes_max the oldest,
 * and what a kill left beside its successor. At start-up. */
void tr_materialized_trim(tr_materialized *materialized);
/* Whatever is being made is left. Accepts NULL. */
void tr_materialized_close(tr_materialized *materialized);

/* What a plan reads in place of its records. */
typedef struct tr_materialized_run {
    char id[48];     /* "": fragments */
    tr_snapshot *at; /* holds it; NULL: fragments. tr_store_release */
} tr_materialized_run;

static inline const tr_run *tr_materialized_run_of(const tr_materialized_run *run)
{
    return run->at == NULL ? NULL : run->at->runs[0];
}

/* materialized  NULL: fragments
 * snapshot      what the plan reads: the store's runs, or stitched ones
 * named         NULL: decided now; else what an earlier attempt at the plan decided, so that all of
 *               its parts are made of the same
 * TR_NOT_FOUND  the one that is named is gone, or cannot be read: the plan begins again */
TR_MUST_CHECK tr_code tr_materialized_take(tr_materialized *materialized, const tr_tenant *tenant,
                                           const tr_snapshot *snapshot,
                                           const tr_merge_policy *policy, const char *named,
                                           tr_materialized_run *out, tr_err *err);
/* Data of the tenant was taken back, or all of it: what is being made of it is given up. */
void tr_materialized_forget(tr_materialized *materialized, const tr_tenant *tenant);
/* Reading it met damage: it goes, and the next plan finds none. */
void tr_materialized_drop(tr_materialized *materialized, const tr_tenant *tenant, const char *id);

#endif
