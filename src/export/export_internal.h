/* SPDX-License-Identifier: Apache-2.0 */
/* export_internal.h - what the files of this room share.
 *
 *     request.c       a body, checked member by member
 *     fields.c        the columns it asks for, out of the union schema
 *     type_json.c     a type as JSON and back, so that a plan does not depend on later schemas
 *     plan.c          what a job needs to run anywhere: made once, stored, opened
 *     job.c           the job's document: states, metrics, what the wire shows
 *     export.c        the door: create, look up, cancel, resume
 *     run.c           partitions into parts
 *     publish.c       parts into a batch; the three ways a job ends
 *     list.c          lists and pages
 *
 * In the catalog, beside kind "export" (the job's document, with a member "_" that no answer
 * shows):
 *
 *     export_plan     id = the job's           the plan
 *     export_part     id = "<job>:<partition>" a finished part: name, rows, bytes, hash, counts
 */
#ifndef TR_EXPORT_EXPORT_INTERNAL_H
#define TR_EXPORT_EXPORT_INTERNAL_H

#include "export/export.h"

#include <pthread.h>
#include <stdio.h>

/* ---- a request */
typedef struct tr_export_request {
    char dataset[32];
    const char *policy_id;  /* NULL: the default; borrowed from the body */
    int64_t policy_version; /* 0: the newest */
    tr_str fields;          /* .len 0: all */
    tr_str event_fields;    /* .len 0: all */
    bool with_events;
    bool with_event_only;
    int64_t updated_after_us, event_after_us, event_before_us; /* TR_TIME_NONE: open */
} tr_export_request;

TR_MUST_CHECK tr_code tr_export_request_read(const json_t *body, tr_export_request *out,
                                             tr_err *err);

/* The row type of the parts: the union's root cut down to what the request asks for, in the
 * arena. */
TR_MUST_CHECK tr_code tr_export_output(const tr_type *root, const tr_export_request *request,
                                       tr_arena *arena, tr_type **out, tr_err *err);
/* NULL: no memory. */
json_t *tr_type_to_json(const tr_type *type);
TR_MUST_CHECK tr_code tr_type_of_json(const json_t *json, tr_arena *arena, tr_type **out,
                                      tr_err *err);

/* ---- a plan */
TR_MUST_CHECK tr_code tr_export_plan_make(const tr_export_request *request, const tr_type *output,
                                          const json_t *policy, const tr_snapshot *snapshot,
                                          json_t **out, tr_err *err);
typedef struct tr_export_plan {
    tr_arena arena;
    tr_store *store;
    tr_snapshot *snapshot;
    tr_shape shape;
    tr_merge_plan *merge;
    uint32_t partitions;
} tr_export_plan;
/* TR_NOT_FOUND: a run of the snapshot is gone. */
TR_MUST_CHECK tr_code tr_export_plan_open(const json_t *json, tr_store *store,
                                          const tr_tenant *tenant, tr_export_plan *out,
                                          tr_err *err);
void tr_export_plan_close(tr_export_plan *plan); /* idempotent */
/* The ids of a snapshot's runs. NULL: no memory. */
json_t *tr_export_run_ids(const tr_snapshot *snapshot);

/* ---- a job under way, in memory */
typedef struct tr_export_active tr_export_active;
struct tr_export_active {
    tr_export_active *next;
    tr_export *export;
    tr_tenant tenant;
    char id[24];
    char stage[40];
    atomic_bool cancel;
    _Atomic uint32_t partitions_done, partitions_total;
    _Atomic uint64_t profiles, bytes;
    _Atomic int64_t begun_us;     /* monotonic; 0: not yet */
    _Atomic uint32_t done_before; /* partitions that an earlier attempt finished */
};

struct tr_export {
    tr_export_parts parts;
    pthread_mutex_t lock; /* guards active */
    tr_export_active *active;
};

void tr_export_run_job(void *ctx); /* a tr_job_fn; ctx: tr_export_active */

/* One partition's finished file. */
typedef struct tr_export_part {
    bool is_done;
    char name[48]; /* "": no profiles, no file */
    uint64_t profiles;
    tr_lake_written written;
    json_t *namespaces; /* {code: profiles}; owned */
} tr_export_part;

typedef struct tr_export_run { /* a job while its coordinator works on it */
    tr_export_active *active;
    tr_export_plan plan;
    tr_export_part *parts; /* [part_count] */
    uint32_t part_count;   /* the plan's partitions; outlives the plan */
    uint32_t *todo;        /* partitions without a part */
    uint32_t todo_count;
    int64_t export_begin_ms, export_end_ms, write_begin_ms;
} tr_export_run;

/* ---- the job's document */
TR_MUST_CHECK tr_code tr_export_job_make(const tr_tenant *tenant, const json_t *body,
                                         const tr_export_request *request, const json_t *policy,
                                         const char *request_id, json_t **out,
                                         tr_err *err);
/* What the wire shows; active may be NULL. NULL: no memory. */
json_t *tr_export_job_show(const tr_object *job, const tr_export_active *active);
bool tr_export_is_finished(const char *state);
/* Changes a job in one transaction: `edit` gets the stored object and changes its document and
 * state. A code other than TR_OK undoes everything. */
typedef tr_code (*tr_export_edit)(void *ctx, tr_object *job, tr_err *err);
TR_MUST_CHECK tr_code tr_export_job_edit(tr_export *export, const tr_tenant *tenant, const char *id,
                                         tr_export_edit edit, void *ctx, tr_err *err);
/* Sets status and state, updateTime, and the end of totalTime when the status is a last one. */
TR_MUST_CHECK tr_code tr_export_job_status(tr_object *job, const char *status, tr_err *err);
TR_MUST_CHECK tr_code tr_export_job_timer(json_t *job, const char *name, int64_t begin_ms,
                                          int64_t end_ms, tr_err *err);
/* The document of the job's batch, made by a client. */
TR_MUST_CHECK tr_code tr_export_batch_make(const tr_tenant *tenant, const json_t *job,
                                           const char *client_id, json_t **out, tr_err *err);
/* Moves a batch that will be put to a last status; its version, which is its entity tag, too. */
TR_MUST_CHECK tr_code tr_export_batch_move(tr_object *batch, const char *status, int64_t now,
                                           tr_err *err);
/* Ends the batch that never was: "failure" or "aborted". Within a transaction. */
TR_MUST_CHECK tr_code tr_export_batch_end(tr_export *export, const tr_tenant *tenant,
                                          const json_t *job, const char *status,
                                          const json_t *errors, tr_err *err);
/* Forgets the parts of a job. Within a transaction. */
TR_MUST_CHECK tr_code tr_export_parts_forget(tr_export *export, const tr_tenant *tenant,
                                             const char *id, tr_err *err);

/* ---- the ends of a job */
/* True when an earlier attempt's parts stand in the batch's folder, whole. */
bool tr_export_is_placed(const tr_export_run *run);
/* The stage becomes the batch's folder; then as tr_export_commit. */
TR_MUST_CHECK tr_code tr_export_publish(tr_export_run *run, tr_err *err);
/* Batch, files and job in one transaction. TR_CANCELLED: a client was faster. */
TR_MUST_CHECK tr_code tr_export_commit(tr_export_run *run, tr_err *err);
/* Writes the end down, again and again until the disk takes it or the server stops. */
void tr_export_end_failed(tr_export_active *active, tr_code code, const tr_err *why);
void tr_export_end_cancelled(tr_export_active *active);
/* Cancels a job that has not begun: it has no files. Within its edit. */
TR_MUST_CHECK tr_code tr_export_end_queued(tr_export_active *active, tr_object *job, tr_err *err);

/* A stored job as the wire shows it, with `progress` when it runs here. *out is returned. */
TR_MUST_CHECK tr_code tr_export_show(tr_export *export, const tr_tenant *tenant,
                                     const tr_object *job, json_t **out, tr_err *err);

#endif
