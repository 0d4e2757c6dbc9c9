/* SPDX-License-Identifier: Apache-2.0 */
/* evaluation.h - the definitions of one merge policy evaluated over its profiles: who is in now. A
 * segment job does it on its own, an export while it merges.
 *
 *     merged columns --program--> masks        [definition][profile]
 *     membership before ----------> entries before
 *                                    life.h    per profile and definition
 *                                  entries now --> a run file, and counts
 *
 * PLAN   {"now":us, "states":2|3, "groups":[GROUP]}
 * GROUP   {"policy":{document}, "before":run, "run":run, "definitions":[documents],
 *          "carried":[ids]}: what one merge policy evaluates. `carried` are the other segments of
 *         that policy, whose entries stay as they are; entries of all others (deleted, or of
 *         another policy now) end here. "run" is the id of the membership that comes out.
 *
 * The same group, instant and profiles give the same bytes.
 *
 * Only one evaluation of a sandbox is under way at a time: jobs and exports take TURNS.
 *
 * Threads: an open evaluation is immutable; partitions on any. Ownership: close it before the
 * schema's tenant ends.
 */
#ifndef TR_SEGMENT_EVALUATION_H
#define TR_SEGMENT_EVALUATION_H

#include "merge/merge.h"
#include "segment/membership.h"
#include "segment/segment.h"

/* ---- what is to be evaluated */

/* The stored documents of definitions, each once, added to `documents` (an array, the caller's).
 * ids         [{"segmentId"} or id]; "*": all that are published
 * TR_INVALID  names the member at fault, or the segment that is not there or not to be evaluated */
TR_MUST_CHECK tr_code tr_evaluation_find(tr_segment *segment, const tr_tenant *tenant,
                                         const json_t *ids, json_t *documents, tr_err *err);
/* A plan as of now: the definitions' policies, and the memberships in force. *plan is returned. */
TR_MUST_CHECK tr_code tr_evaluation_plan(tr_segment *segment, const tr_tenant *tenant,
                                         const json_t *documents, json_t **plan, tr_err *err);

/* ---- a group, opened */

typedef struct tr_evaluation tr_evaluation;
/* plan          borrowed until close
 * problems      an array, the caller's: definitions that no longer fit and are left out, as
 *               evaluate.h says
 * TR_NOT_FOUND  the membership before is gone */
TR_MUST_CHECK tr_code tr_evaluation_open(tr_segment *segment, const tr_tenant *tenant,
                                         const json_t *plan, uint32_t group, json_t *problems,
                                         tr_evaluation **out, tr_err *err);
void tr_evaluation_close(tr_evaluation *evaluation); /* accepts NULL */
/* What a merge plan needs, besides a snapshot, the policy, and columns: probe, members, all
 * profiles. */
void tr_evaluation_ask(const tr_evaluation *evaluation, tr_merge_spec *spec);

/* ---- a partition */

typedef struct tr_evaluated { /* what came out */
    bool is_done;
    char name[48]; /* of its file; "": nobody has an entry, no file */
    tr_lake_written written;
    uint64_t rows, profiles;
    json_t *segments; /* {id: {"realized","existing","exited","us","namespaces":{}}}; owned */
} tr_evaluated;

/* Evaluates what a keeper sees. Of *out, rows, profiles and segments are filled.
 * bits  of the merge plan's partitions
 * file  the run file is appended; nothing when nobody has an entry */
TR_MUST_CHECK tr_code tr_evaluation_run(const tr_evaluation *evaluation, tr_merge_view *view,
                                        uint8_t bits, const atomic_bool *cancel, tr_buf *file,
                                        tr_evaluated *out, tr_err *err);
/* The file into a stage; name and written are filled. Without bytes there is no file. */
TR_MUST_CHECK tr_code tr_evaluated_write(tr_evaluated *part, tr_lake *lake, const tr_tenant *tenant,
                                         const char *stage, uint32_t partition, tr_str bytes,
                                         tr_err *err);
/* For the catalog, and back. */
json_t *tr_evaluated_to_json(const tr_evaluated *part); /* NULL: no memory */
TR_MUST_CHECK tr_code tr_evaluated_of_json(const json_t *json, tr_evaluated *out, tr_err *err);

/* What tr_membership_replace needs of all parts. NULL: no memory. */
json_t *tr_evaluated_files(const tr_evaluated *parts, uint32_t count);
/* Starts the counters of a job's metrics: totalProfiles, segmentedProfileCounter, ... */
TR_MUST_CHECK tr_code tr_evaluated_begin_metrics(json_t *metrics, tr_err *err);
/* Adds a group's parts to them. */
TR_MUST_CHECK tr_code tr_evaluated_add_metrics(json_t *metrics, const json_t *plan, uint32_t group,
                                               const tr_evaluated *parts, uint32_t count,
                                               tr_err *err);

/* ---- turns */

/* Calls begin(ctx) once it is `id`'s turn among the evaluations of the sandbox: at once, or by the
 * thread that ends the one before. */
TR_MUST_CHECK tr_code tr_segment_ask_turn(tr_segment *segment, const tr_tenant *tenant,
                                          const char *id, void (*begin)(void *ctx), void *ctx,
                                          tr_err *err);
void tr_segment_end_turn(tr_segment *segment, const tr_tenant *tenant, const char *id);

#endif
