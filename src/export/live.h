/* SPDX-License-Identifier: Apache-2.0 */
/* live.h - merged profiles as they are now, for readers who want no job, no batch and no dataset.
 *
 * An export's own plan, opened and merged partition by partition, with the profiles that are only
 * events (as lookups answer them) and without their events.
 *
 *     tr_live_open   what there is now: runs, policy, members, columns. Reads no data
 *     tr_live_name   what tells them from others, with the identity graph
 *     tr_live_begin  opens the runs
 *     tr_live_write  one partition, a whole Parquet file; on any thread
 *
 * Ownership: close every one. Threads: one, but for tr_live_write.
 */
#ifndef TR_EXPORT_LIVE_H
#define TR_EXPORT_LIVE_H

#include "export/export.h"

typedef struct tr_live tr_live;

/* policy_id  NULL: the default one
 * TR_NOT_FOUND  no such policy;  TR_SEMANTIC  one that cannot be used */
TR_MUST_CHECK tr_code tr_live_open(tr_export *export, const tr_tenant *tenant,
                                   const char *policy_id, tr_live **out, tr_err *err);
void tr_live_close(tr_live *live); /* accepts NULL */

/* Makes the key. Of a policy that asks the identity graph, what was committed is taken in first. */
TR_MUST_CHECK tr_code tr_live_name(tr_live *live, tr_err *err);
/* 32 hex digits that name the profiles, whatever their columns: the same, the same profiles.
 * "" before tr_live_name. */
const char *tr_live_key(const tr_live *live);
/* The columns: [{"n": name, ...}], in order; of equal objects, equal columns. Borrowed. */
const json_t *tr_live_columns(const tr_live *live);
const char *tr_live_policy(const tr_live *live); /* its id */
/* Leaves out the columns that `wants` says no to; one stays at least. */
TR_MUST_CHECK tr_code tr_live_narrow(tr_live *live, bool (*wants)(void *ctx, const char *column),
                                     void *ctx, tr_err *err);

/* TR_NOT_FOUND: a run has gone since; open it again. */
TR_MUST_CHECK tr_code tr_live_begin(tr_live *live, tr_err *err);
uint32_t tr_live_partitions(const tr_live *live);
/* *profiles: how many rows the file has. cancel: TR_CANCELLED
 * TR_NOT_FOUND: what it reads was damaged and is only a copy; open it again */
TR_MUST_CHECK tr_code tr_live_write(const tr_live *live, uint32_t partition, tr_sink sink,
                                    const atomic_bool *cancel, uint64_t *profiles, tr_err *err);
/* Instead of all that: a file with the columns and no rows. */
TR_MUST_CHECK tr_code tr_live_write_columns(tr_live *live, tr_sink sink, tr_err *err);

#endif
