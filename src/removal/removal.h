/* SPDX-License-Identifier: Apache-2.0 */
/* removal.h - delete requests: data that is taken back (reference: profile API, 4.5 and 7.3).
 *
 *     {"dataSetId"}              all that was ingested into a dataset until the job runs
 *     {"batchId", "datasetId"?}  one batch of events
 *     {"entityId","entityIdNS"}  one identity: its fragments in every dataset, and what names it in
 *                                the rows of others
 *
 * A request becomes a JOB, an object of kind "system_job" (id: uuid; parent: what it is about), and
 * is worked on in the order of creation, by one background job at a time:
 *
 *     NEW -> IN-PROGRESS -> SUCCESS | ERROR
 *
 * One transaction takes the data out of sight. The bytes go after it, also after a restart; a job
 * about an identity is a SUCCESS only when they are gone. From SUCCESS on nobody finds the data:
 * lookups, segments and their members, previews, exports that begin then, SQL, Data Access. Who
 * reads it already reads on: an export keeps the snapshot it began with.
 *
 * Threads: any.
 */
#ifndef TR_REMOVAL_REMOVAL_H
#define TR_REMOVAL_REMOVAL_H

#include "compute/compute.h"
#include "graph/graph.h"
#include "identity/identity.h"
#include "ingest/ingest.h"
#include "segment/list.h"

typedef struct tr_removals tr_removals;
typedef struct tr_removal_parts {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    tr_compute *compute;
    tr_ingest *ingest;
    tr_graph *graph;
    /* Data of the tenant has gone: whatever else was made of it is forgotten. */
    void (*forget)(void *ctx, const tr_tenant *tenant);
    void *ctx;
} tr_removal_parts;

TR_MUST_CHECK tr_code tr_removals_open(const tr_removal_parts *parts, tr_removals **out,
                                       tr_err *err);
void tr_removals_close(tr_removals *removals); /* accepts NULL; after compute */
/* Submits again what was under way when the server stopped; once, at start-up. */
TR_MUST_CHECK tr_code tr_removals_resume(tr_removals *removals, tr_err *err);

/* *job is the wire document; returned.
 * TR_INVALID   names the member at fault, or says why the data cannot be deleted
 * TR_SEMANTIC  a request for the same data is under way */
TR_MUST_CHECK tr_code tr_removal_create(tr_removals *removals, const tr_tenant *tenant,
                                        const json_t *body, json_t **job, tr_err *err);
/* The same for an identity whose name has been read; a request that is under way is the answer. */
TR_MUST_CHECK tr_code tr_removal_create_identity(tr_removals *removals, const tr_tenant *tenant,
                                                 tr_identity identity, json_t **job, tr_err *err);
TR_MUST_CHECK tr_code tr_removal_get(tr_removals *removals, const tr_tenant *tenant, const char *id,
                                     json_t **job, tr_err *err);
/* Forgets a job; one that has not taken its data out of sight yet never will. */
TR_MUST_CHECK tr_code tr_removal_forget(tr_removals *removals, const tr_tenant *tenant,
                                        const char *id, tr_err *err);
/* Without an order: by creation, the oldest first. *items: wire documents; returned. */
TR_MUST_CHECK tr_code tr_removal_find(tr_removals *removals, const tr_tenant *tenant,
                                      tr_list_request *request, json_t **items, uint64_t *total,
                                      tr_err *err);

#endif
