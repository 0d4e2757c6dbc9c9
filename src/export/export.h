/* SPDX-License-Identifier: Apache-2.0 */
/* export.h - an export job: request, plan, states, publication.
 *
 *     NEW --> PROCESSING --> SUCCEEDED | FAILED (errors[] filled)
 *       \________\________-> CANCELLED (DELETE)
 *
 * The request is checked whole before a job exists (reference: profile API, sections 2.2 to 2.6).
 * The plan (run ids of the snapshot, policy document, columns, filters) is stored with the job, so
 * a job that a crash interrupts goes on with the same snapshot; parts that were finished are known
 * by name, rows, bytes and hash and are not made again. One catalog transaction publishes the batch
 * and ends the job.
 *
 * With evaluationInfo.segmentation the job waits for its turn among the sandbox's evaluations, then
 * evaluates the segments of its filter while it merges; the same transaction puts the membership in
 * force.
 *
 * Threads: any.
 */
#ifndef TR_EXPORT_EXPORT_H
#define TR_EXPORT_EXPORT_H

#include "catalog/schemas.h"
#include "compute/compute.h"
#include "lake/lake.h"
#include "materialized/materialized.h"
#include "merge/merge.h"
#include "policy/policy.h"
#include "segment/evaluation.h"
#include "segment/jobs.h"
#include "segment/membership.h"
#include "segment/select.h"

typedef struct tr_export tr_export;
typedef struct tr_export_parts {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    tr_compute *compute;
    tr_materialized *materialized; /* NULL: plans read fragments */
    tr_segment *segment;
} tr_export_parts;

TR_MUST_CHECK tr_code tr_export_open(const tr_export_parts *parts, tr_export **out, tr_err *err);
void tr_export_close(tr_export *export);                                /* accepts NULL */
/* Once, at start-up: exports and segment jobs that were under way go on. An export that had begun to
 * evaluate comes before the segment jobs: it has begun with the membership in force. */
TR_MUST_CHECK tr_code tr_export_resume(tr_export *export, tr_err *err);

/* Every *job is the wire document of 2.6 (with `progress` while it runs); returned.
 * TR_INVALID (400) names the member at fault; TR_NOT_FOUND (404) an unknown dataset, policy or
 * version */
TR_MUST_CHECK tr_code tr_export_create(tr_export *export, const tr_tenant *tenant,
                                       const json_t *body, const char *request_id,
                                       const char *client_id, json_t **job, tr_err *err);
/* What the export would hold, without making it: {dryRun, profiles, rows, bytes, files, columns,
 * columnCount, timeInMs, removed{emptyProfiles, fromIngestTimestamp, segments}, batches[{rows, segmentId}]}.
 * Rows and files are exact; bytes and time are scaled from a few partitions. Segments are counted
 * by the membership in force, also when the body asks for an evaluation. *out is returned. */
TR_MUST_CHECK tr_code tr_export_dry_run(tr_export *export, const tr_tenant *tenant,
                                        const json_t *body, json_t **out, tr_err *err);
TR_MUST_CHECK tr_code tr_export_get(tr_export *export, const tr_tenant *tenant, const char *id,
                                    json_t **job, tr_err *err);
/* Marks it; the job ends CANCELLED soon after, its staged parts gone. Finished jobs: TR_OK, no
 * change. */
TR_MUST_CHECK tr_code tr_export_cancel(tr_export *export, const tr_tenant *tenant, const char *id,
                                       tr_err *err);

/* {records, page, link} of 2.8. Texts are the query's values; .at NULL: absent. */
typedef struct tr_export_list {
    tr_str limit, offset, status, start, page, sort;
} tr_export_list;
TR_MUST_CHECK tr_code tr_export_find(tr_export *export, const tr_tenant *tenant,
                                     const tr_export_list *query, json_t **out, tr_err *err);

#endif
