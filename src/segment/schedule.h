/* SPDX-License-Identifier: Apache-2.0 */
/* schedule.h - what runs at set times (reference: segmentation API, 7): evaluations and exports.
 *
 * A schedule is an object of kind "schedule", state "active" or "inactive". One thread sleeps to
 * the next instant at which an active one fires, starts its job, and sleeps again; a change wakes
 * it. What would have fired while the server was down does not fire later. When both kinds are due
 * at one instant, evaluations begin first.
 *
 * Threads: any. Ownership: close before the segments and before what `run_export` uses.
 */
#ifndef TR_SEGMENT_SCHEDULE_H
#define TR_SEGMENT_SCHEDULE_H

#include "segment/segment.h"

typedef struct tr_scheduler tr_scheduler;
typedef struct tr_scheduler_parts {
    tr_catalog *catalog;
    tr_segment *segment;
    /* Starts an export by the body of POST /export/jobs. */
    tr_code (*run_export)(void *ctx, const tr_tenant *tenant, const json_t *body, tr_err *err);
    void *ctx;
} tr_scheduler_parts;

TR_MUST_CHECK tr_code tr_scheduler_open(const tr_scheduler_parts *parts, tr_scheduler **out,
                                        tr_err *err);
void tr_scheduler_close(tr_scheduler *scheduler); /* accepts NULL */

/* Every *out is the wire document; returned. TR_INVALID names the member at fault. */
TR_MUST_CHECK tr_code tr_schedule_create(tr_scheduler *scheduler, const tr_tenant *tenant,
                                         const json_t *body, json_t **out, tr_err *err);
TR_MUST_CHECK tr_code tr_schedule_get(tr_scheduler *scheduler, const tr_tenant *tenant,
                                      const char *id, json_t **out, tr_err *err);
/* operations  [{"op":"add","path":"/state"|"/schedule","value":...}] */
TR_MUST_CHECK tr_code tr_schedule_patch(tr_scheduler *scheduler, const tr_tenant *tenant,
                                        const char *id, const json_t *operations, tr_err *err);
TR_MUST_CHECK tr_code tr_schedule_remove(tr_scheduler *scheduler, const tr_tenant *tenant,
                                         const char *id, tr_err *err);
TR_MUST_CHECK tr_code tr_schedule_find(tr_scheduler *scheduler, const tr_tenant *tenant,
                                       const tr_list_request *request, json_t **items,
                                       uint64_t *total, tr_err *err);

#endif
