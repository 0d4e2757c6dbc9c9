/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.h - segment jobs: definitions evaluated over all profiles, membership rewritten (reference:
 * segmentation API, 4 and 11).
 *
 *     NEW --> QUEUED --> PROCESSING --> SUCCEEDED | FAILED (errors[] filled)
 *       \________\____________\--> CANCELLING --> CANCELLED (DELETE)
 *
 * One job of a sandbox runs at a time; the others wait as QUEUED. The instant of evaluation, the
 * runs of the snapshot and the definitions are fixed when a job begins, and stored; partitions that
 * are finished are known by hash, so a job that a crash interrupts goes on with them. One
 * transaction puts the new membership of all policies in force and ends the job: whatever ends a
 * job otherwise leaves the membership as it was.
 *
 * Threads: any.
 */
#ifndef TR_SEGMENT_JOBS_H
#define TR_SEGMENT_JOBS_H

#include "segment/segment.h"

typedef struct tr_segment_order {
    const char *request_id;
    const char *source;       /* "api", "scheduler" */
    const json_t *properties; /* NULL: none */
} tr_segment_order;

/* body  [{"segmentId"}] or {"schema", "segments": [{"segmentId": "*"}]}; every *job is returned.
 * TR_INVALID  names the member at fault, or the segment that is not there */
TR_MUST_CHECK tr_code tr_segment_job_create(tr_segment *segment, const tr_tenant *tenant,
                                            const json_t *body, const tr_segment_order *order,
                                            json_t **job, tr_err *err);
TR_MUST_CHECK tr_code tr_segment_job_get(tr_segment *segment, const tr_tenant *tenant,
                                         const char *id, json_t **job, tr_err *err);
/* Marks it; a running job ends CANCELLED soon after. Finished jobs: TR_OK, no change. */
TR_MUST_CHECK tr_code tr_segment_job_cancel(tr_segment *segment, const tr_tenant *tenant,
                                            const char *id, tr_err *err);
TR_MUST_CHECK tr_code tr_segment_job_find(tr_segment *segment, const tr_tenant *tenant,
                                          const tr_list_request *request, json_t **items,
                                          uint64_t *total, tr_err *err);
/* A job's status in *out; "" when there is no such job. */
TR_MUST_CHECK tr_code tr_segment_job_state(tr_segment *segment, const tr_tenant *tenant,
                                           const char *id, char out[32], tr_err *err);
/* Who is told of every job that ended, or that was let go without an end (the server stops); at
 * most one, set before the first job. */
typedef void (*tr_segment_on_end)(void *ctx, const tr_tenant *tenant, const char *id);
void tr_segment_tell_ends(tr_segment *segment, tr_segment_on_end tell, void *ctx);

/* Once, at start-up: jobs that were under way go on. */
TR_MUST_CHECK tr_code tr_segment_resume(tr_segment *segment, tr_err *err);

#endif
