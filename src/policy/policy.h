/* SPDX-License-Identifier: Apache-2.0 */
/* policy.h - merge policies: what decides which fragment wins (reference: profile API, section 5).
 *
 * A policy is an object of kind "policy"; its document is what the wire shows. Every version it
 * ever had is kept as "policy_version" with the id "<policy id>:<version>", so that a job may
 * pin one.
 *
 *     PUT, PATCH      version 1 -> 2 -> 3 ...
 *     default: true   takes the mark from the policy that had it; there is always exactly one
 *
 * Two more are there in every sandbox, in no list, and for nobody to change, because AEP's
 * tutorials name them:
 *
 *     timestampOrdered-none-mp, timestampOrdered-pdg-mp        version 1
 *
 * A sandbox gets its default policy (timestampOrdered, identity graph pdg) when policies are first
 * looked at.
 *
 * Threads: any; writers take turns in the catalog's transactions.
 */
#ifndef TR_POLICY_POLICY_H
#define TR_POLICY_POLICY_H

#include "catalog/catalog.h"
#include "merge/merge.h"

#define TR_POLICY_SCHEMA "_xdm.context.profile" /* the class that merge policies are for */

/* Every *policy is the wire document; returned. TR_INVALID names the member at fault;
 * TR_NOT_FOUND: no such policy; TR_INVALID also when there are TR_MERGE_POLICIES_MAX already. */
TR_MUST_CHECK tr_code tr_policy_create(tr_catalog *catalog, const tr_tenant *tenant,
                                       const json_t *body, json_t **policy, tr_err *err);
TR_MUST_CHECK tr_code tr_policy_replace(tr_catalog *catalog, const tr_tenant *tenant,
                                        const char *id, const json_t *body, json_t **policy,
                                        tr_err *err);
/* operations  one {"op","path","value"} or an array of them; paths have dots:
 * "/identityGraph.type" */
TR_MUST_CHECK tr_code tr_policy_patch(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                                      const json_t *operations, json_t **policy, tr_err *err);
/* Refused (TR_INVALID) for the default policy and for one that is active on edge. */
TR_MUST_CHECK tr_code tr_policy_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                                       tr_err *err);
/* *policy is returned. */
TR_MUST_CHECK tr_code tr_policy_default(tr_catalog *catalog, const tr_tenant *tenant,
                                        json_t **policy, tr_err *err);
/* version 0: the newest. */
TR_MUST_CHECK tr_code tr_policy_get(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                                    int64_t version, json_t **policy, tr_err *err);
/* All policies of the tenant, in order of creation: an array, returned. */
TR_MUST_CHECK tr_code tr_policy_list(tr_catalog *catalog, const tr_tenant *tenant,
                                     json_t **policies, tr_err *err);
/* What merging needs of a policy's document. The list of *out is in the arena, its texts are the
 * document's. */
TR_MUST_CHECK tr_code tr_policy_read(const json_t *policy, tr_arena *arena, tr_merge_policy *out,
                                     tr_err *err);

#endif
