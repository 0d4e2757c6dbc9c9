/* SPDX-License-Identifier: Apache-2.0 */
/* stitch.h - the runs that a plan reads because of its policy's identity graph.
 *
 * Under `none` they are the store's. Under `pdg` they are stitched (graph/graph.h) when the plan
 * begins, and named in it: what is read from then on does not change with the graph.
 *
 * Threads: any.
 */
#ifndef TR_SEGMENT_STITCH_H
#define TR_SEGMENT_STITCH_H

#include "segment/segment.h"

#include <stdatomic.h>

/* Whether profiles of a policy are clusters. */
bool tr_policy_is_stitched(const json_t *policy);

/* runs         array of ids of the store's runs
 * memberships  array of ids of membership runs, "" is none of them: their rows come along
 * out          array of ids for tr_store_snapshot_of; returned
 * TR_NOT_FOUND  a run or a membership is gone */
TR_MUST_CHECK tr_code tr_segment_stitch(const tr_segment_parts *parts, const tr_tenant *tenant,
                                        const json_t *runs, const json_t *memberships,
                                        const atomic_bool *cancel, json_t **out, tr_err *err);

/* Of the graph by which a plan of the policy would be stitched now; 0 when it would not be. It
 * never comes back to what it was. */
TR_MUST_CHECK tr_code tr_segment_graph_version(const tr_segment_parts *parts,
                                               const tr_tenant *tenant, const json_t *policy,
                                               uint64_t *out, tr_err *err);

/* What a policy reads now: the store's runs, or those stitched of them.
 * membership  id of the run in force, whose rows come along; "" none
 * Release with tr_store_release. */
TR_MUST_CHECK tr_code tr_segment_snapshot(const tr_segment_parts *parts, const tr_tenant *tenant,
                                          const json_t *policy, const char *membership,
                                          const atomic_bool *cancel, tr_snapshot **out,
                                          tr_err *err);

#endif
