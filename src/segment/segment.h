/* SPDX-License-Identifier: Apache-2.0 */
/* segment.h - segment definitions: what they are, checked and kept (reference: segmentation API).
 *
 *     body -> shape -> schema -> expression -> policy -> inSegment -> method -> name -> stored
 *
 * A definition is an object of kind "segment" whose document is what the wire shows, with a member
 * "_" that no answer shows. Every version it ever had is kept as "segment_version" with the id
 * "<segment id>:<version>". Names are unique in a sandbox: "segment_name" holds who has which.
 *
 * Threads: any; writers take turns in the catalog's transactions.
 */
#ifndef TR_SEGMENT_SEGMENT_H
#define TR_SEGMENT_SEGMENT_H

#include "catalog/schemas.h"
#include "graph/graph.h"
#include "compute/compute.h"
#include "lake/lake.h"
#include "materialized/materialized.h"
#include "segment/list.h"
#include "store/store.h"

#define TR_SEGMENT_SCHEMA "_xdm.context.profile"
#define TR_SEGMENT_NS "ups" /* the namespace of segments evaluated here */

typedef struct tr_segment tr_segment;
typedef struct tr_segment_parts {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    tr_graph *graph;
    tr_compute *compute;
    tr_materialized *materialized; /* NULL: plans read fragments */
    bool has_two_states; /* realized and exited; else existing, too */
} tr_segment_parts;

TR_MUST_CHECK tr_code tr_segment_open(const tr_segment_parts *parts, tr_segment **out, tr_err *err);
void tr_segment_close(tr_segment *segment); /* accepts NULL */
const tr_segment_parts *tr_segment_parts_of(const tr_segment *segment);

/* Every *out is a wire document; returned.
 * TR_INVALID   names the member at fault, for an expression with line, column and token
 * TR_NOT_FOUND no such definition
 * TR_SEMANTIC  the name is taken */
TR_MUST_CHECK tr_code tr_segment_create(tr_segment *segment, const tr_tenant *tenant,
                                        const json_t *body, json_t **out, tr_err *err);
TR_MUST_CHECK tr_code tr_segment_get(tr_segment *segment, const tr_tenant *tenant, const char *id,
                                     json_t **out, tr_err *err);
/* The members of `body` replace those of the definition; what the server decides is ignored. */
TR_MUST_CHECK tr_code tr_segment_change(tr_segment *segment, const tr_tenant *tenant,
                                        const char *id, const json_t *body, json_t **out,
                                        tr_err *err);
/* The body is all of it; what it lacks goes. */
TR_MUST_CHECK tr_code tr_segment_replace(tr_segment *segment, const tr_tenant *tenant,
                                         const char *id, const json_t *body, json_t **out,
                                         tr_err *err);
/* TR_INVALID: another definition uses it. */
TR_MUST_CHECK tr_code tr_segment_remove(tr_segment *segment, const tr_tenant *tenant,
                                        const char *id, tr_err *err);
/* The definitions of a page; *total: of all pages. *items is returned. */
TR_MUST_CHECK tr_code tr_segment_find(tr_segment *segment, const tr_tenant *tenant,
                                      const tr_list_request *request, json_t **items,
                                      uint64_t *total, tr_err *err);
/* The expression of a definition in the other format; nothing is stored. */
TR_MUST_CHECK tr_code tr_segment_convert(const tr_tenant *tenant, const json_t *body, json_t **out,
                                         tr_err *err);

/* {sandboxId, sandboxName, type, default}. NULL: no memory. */
json_t *tr_segment_sandbox(const tr_tenant *tenant);

#endif
