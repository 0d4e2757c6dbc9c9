/* SPDX-License-Identifier: Apache-2.0 */
/* export_internal.h - what the files of this room share.
 *
 *     request.c       a body, checked member by member
 *     type_json.c     a type as JSON and back, so that a plan does not depend on later schemas
 *     plan.c          what a job needs to run anywhere: made once, stored, opened
 *     job.c           the job's document: states, metrics, what the wire shows
 *     export.c        the door: create, look up, cancel, resume
 *     run.c           partitions into parts
 *     record.c        parts into the catalog
 *     publish.c       parts into a batch; the three ways a job ends
 *     segments.c      the policies and the memberships of its segments
 *     evaluated.c     segments evaluated while it merges
 *     list.c          lists and pages
 *     live.c          merged profiles without a job: live.h
 *
 * In the catalog, beside kind "export" (the job's document, with a member "_" that no answer
 * shows):
 *
 *     export_plan     id = the job's           the plan, until the job ends
 *     export_part     id = "<job>:<partition>" a finished part: name, rows, bytes, hash, counts
 */
#ifndef TR_EXPORT_EXPORT_INTERNAL_H
#define TR_EXPORT_EXPORT_INTERNAL_H

#include "export/export.h"
#include "xdm/fields.h"

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
    const json_t *segments; /* array, borrowed from the body; NULL: no filter by segments */
    int64_t qualified_from_us, qualified_until_us; /* TR_TIME_NONE: open */
    bool is_per_segment;                           /* a batch a segment */
    bool is_evaluated;                             /* the segments first */
} tr_export_request;

TR_MUST_CHECK tr_code tr_export_request_read(const json_t *body, tr_export_request *out,
                                             tr_err *err);

/* The row type of the parts: the union's root cut down to what the request asks for, in the
 * arena. */
static inline tr_code tr_export_output(const tr_type *root, const tr_export_request *request,
                                       tr_arena *arena, tr_type **out, tr_err *err)
{
    const tr_xdm_fields fields = {.fields = request->fields,
                                  .event_fields = request->event_fields,
                                  .with_events = request->with_events};
    return tr_xdm_fields_select(root, &fields, arena, out, err);
}
/* NULL: no memory. */
json_t *tr_type_to_json(const tr_type *type);
TR_MUST_CHECK tr_code tr_type_of_json(const json_t *json, tr_arena *arena, tr_type **out,
                                      tr_err *err);

/* ---- a plan */
/* Without memberships so far. */
TR_MUST_CHECK tr_code tr_export_plan_make(const tr_export_request *request, const tr_type *output,
                                          const json_t *policy, const tr_snapshot *snapshot,
                                          json_t **out, tr_err *err);
typedef struct tr_export_plan tr_export_plan;
typedef struct tr_export_slot { /* what goes into one batch */
    const tr_export_plan *plan;
    uint32_t number;
    uint32_t segment; /* of the selection; UINT32_MAX: all */
    tr_merge_plan *merge;
} tr_export_slot;
/* The members that one part is merged with, while it is made. */
typedef struct tr_export_fresh {
    tr_buf bytes; /* of the first slot: evaluated here */
    tr_evaluated part;
    tr_map map;  /* of the others: staged by the first */
    tr_run *run; /* of either; NULL: nobody is a member */
} tr_export_fresh;
struct tr_export_plan {
    tr_arena arena;
    tr_store *store;
    tr_snapshot *snapshot;
    tr_materialized_run merged; /* read in place of its records */
    tr_memberships members;
    tr_shape shape, own_probe;
    const tr_shape *probe;
    tr_selection selection;    /* no items: no filter */
    const json_t *evaluated;   /* of the plan; NULL: by the memberships in force */
    tr_evaluation *evaluation; /* likewise */
    json_t *problems;          /* of opening it; owned */
    tr_export_fresh *fresh;    /* [slots * partitions] likewise */
    const atomic_bool *cancel;
    tr_export_slot *slots; /* one a batch */
    uint32_t slot_count;
    uint32_t partitions;
    uint8_t bits; /* partitions are 2^bits */
};
/* Before a plan is opened: under a policy whose profiles are clusters, stitches its runs, once.
 * TR_NOT_FOUND: a run or a membership is gone. */
TR_MUST_CHECK tr_code tr_export_plan_stitch(json_t *plan, const tr_export_parts *parts,
                                            const tr_tenant *tenant, const atomic_bool *cancel,
                                            bool *is_changed, tr_err *err);
/* json          borrowed until close; with "merged" a merged run is read or not as it says, else
 *               one that is there
 * cancel        may be NULL; borrowed until close
 * TR_NOT_FOUND  a run of the snapshot, a membership or the merged run is gone */
TR_MUST_CHECK tr_code tr_export_plan_open(const json_t *json, const tr_export_parts *parts,
                                          const tr_tenant *tenant, const atomic_bool *cancel,
                                          tr_export_plan *out, tr_err *err);
void tr_export_plan_close(tr_export_plan *plan); /* idempotent */
/* Whether damage that was met may be the merged run's: then that is dropped, and the work can begin
 * again. */
bool tr_export_plan_is_to_begin_again(const tr_export_plan *plan, const tr_export_parts *parts,
                                      const tr_tenant *tenant, tr_code code);

/* ---- a job under way, in memory */
typedef struct tr_export_active tr_export_active;
struct tr_export_active {
    tr_export_active *next;
    tr_export *export;
    tr_tenant tenant;
    char id[24];
    char waits_for[48]; /* a segment job; "": nothing. Guarded by the export's lock */
    bool has_turn;      /* it evaluates segments, and has asked for its turn */
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

/* Parts that are on the disk and not in the catalog yet. */
typedef struct tr_export_notes {
    pthread_mutex_t lock; /* guards the rest */
    bool is_open;
    uint32_t *parts; /* [part_count] indices */
    uint32_t count;
    uint64_t bytes;   /* of their files */
    int64_t since_us; /* monotonic: when others were recorded last */
} tr_export_notes;

typedef struct tr_export_run { /* a job while its coordinator works on it */
    tr_export_active *active;
    tr_export_plan plan;
    tr_export_part *parts;           /* [part_count] */
    uint32_t part_count;             /* the plan's partitions, slot by slot; outlives the plan */
    uint32_t slot_count, partitions; /* of the plan, outliving it */
    uint32_t *todo;                  /* partitions without a part */
    uint32_t todo_count;
    uint32_t todo_from;       /* of them, the first that the tasks of now are for */
    json_t *json;             /* the stored plan, outliving the open one; owned */
    const json_t *evaluation; /* of it; NULL: none */
    json_t *problems;         /* definitions that were left out; owned */
    tr_evaluated *members;    /* [partitions] with an evaluation */
    bool is_stale; /* data that was evaluated was taken back meanwhile: nothing was committed */
    char members_gone[32];    /* the membership that is no longer kept after the commit; "": none */
    int64_t export_begin_ms, export_end_ms, write_begin_ms;
    tr_export_notes notes;
} tr_export_run;

/* Once part_count is known. */
TR_MUST_CHECK tr_code tr_export_notes_open(tr_export_run *run, tr_err *err);
void tr_export_notes_close(tr_export_run *run); /* idempotent */
/* A part whose file is on the disk will be known after a crash: from now on, or soon, with
 * others. */
TR_MUST_CHECK tr_code tr_export_note_part(tr_export_run *run, uint32_t index, tr_err *err);
/* From now on: all that were noted. */
TR_MUST_CHECK tr_code tr_export_record_parts(tr_export_run *run, tr_err *err);

/* The policy and the plan of a request, as of now; both are returned. */
TR_MUST_CHECK tr_code tr_export_plan_of(tr_export *export, const tr_tenant *tenant,
                                        const tr_export_request *request, json_t **policy,
                                        json_t **plan, tr_err *err);
/* A body checked whole; its policy and its plan are returned. Nothing is stored. */
TR_MUST_CHECK tr_code tr_export_decide(tr_export *export, const tr_tenant *tenant,
                                       const json_t *body, json_t **policy, json_t **plan,
                                       tr_err *err);

/* ---- segments */
/* The merge policies of the segments evaluated here, each once, in *own (an array, the caller's).
 * Segments of other namespaces have none: their members came with the data.
 * segments      as sent; NULL: none
 * TR_NOT_FOUND  names the definition that is not there */
TR_MUST_CHECK tr_code tr_export_segment_policies(tr_export *export, const tr_tenant *tenant,
                                                 const json_t *segments, json_t *own, tr_err *err);
/* The membership runs in force of the plan's policy and of the segments' own ("segmentPolicies"),
 * as the plan's "memberships"; and what is hidden of them, as "hidden". */
TR_MUST_CHECK tr_code tr_export_memberships(tr_export *export, const tr_tenant *tenant,
                                            json_t *plan, tr_err *err);

/* Notes in the plan how the segments a request names are evaluated: "evaluate" (documents), within
 * the export; or "segmentJob", started here, when they are of another policy. */
TR_MUST_CHECK tr_code tr_export_evaluate(tr_export *export, const tr_tenant *tenant,
                                         const tr_export_request *request, const char *request_id,
                                         json_t *plan, tr_err *err);
/* What could not be planned before: "evaluation" and its runs, or the membership of a segment job.
 * TR_SEMANTIC   the job failed or was cancelled
 * TR_CANCELLED  it has not ended: the server stops */
TR_MUST_CHECK tr_code tr_export_settle(tr_export *export, const tr_tenant *tenant,
                                       tr_object *stored, tr_err *err);

/* ---- segments evaluated while the export merges */
/* The one group of an evaluation: all segments are of the export's policy. */
const json_t *tr_export_group(const json_t *evaluation);
/* "export-7-members" */
void tr_export_members_stage(const char *job, char out[48]);
/* A keeper: who is in now, and whom the filter keeps. */
TR_MUST_CHECK tr_code tr_export_keep_evaluated(const tr_export_slot *slot, uint32_t partition,
                                               tr_merge_view *view, bool *keep, tr_err *err);
/* What the first slot staged for the partition of a part. */
TR_MUST_CHECK tr_code tr_export_members_load(tr_export_run *run, uint32_t index, tr_err *err);
/* Stages what the first slot's part evaluated. */
TR_MUST_CHECK tr_code tr_export_members_save(tr_export_run *run, uint32_t partition, tr_err *err);
void tr_export_fresh_close(tr_export_fresh *fresh); /* idempotent */
/* True when all of it is there: staged, of one partition; in its folder. */
bool tr_export_members_are_staged(const tr_export_run *run, uint32_t partition);
bool tr_export_members_are_placed(const tr_export_run *run);
TR_MUST_CHECK tr_code tr_export_members_publish(const tr_export_run *run, tr_err *err);
/* The membership in force, and metrics.segmentation. Within the job's last transaction. */
TR_MUST_CHECK tr_code tr_export_members_commit(tr_export_run *run, json_t *job, tr_err *err);
/* The id of the membership that a job's plan makes, "" for none; and what a job that does not
 * succeed leaves of it. */
TR_MUST_CHECK tr_code tr_export_members_run(const tr_export_active *active, char out[32],
                                            tr_err *err);
TR_MUST_CHECK tr_code tr_export_members_drop(const tr_export_active *active, const char *id,
                                             tr_err *err);

/* ---- the job's batches */
enum { TR_EXPORT_SEGMENTS_MAX = 1500 }; /* of one request */
uint32_t tr_export_batch_count(const json_t *job);
const char *tr_export_batch_id(const json_t *job, uint32_t slot);
/* "export-7", or "export-7-2" of a job with several batches. */
void tr_export_stage(const char *job, uint32_t slot, uint32_t slots, char out[48]);

/* ---- the job's document */
/* created_ms  before the plan's snapshot was taken: what comes later is "ingested after" it */
TR_MUST_CHECK tr_code tr_export_job_make(const tr_tenant *tenant, const json_t *body,
                                         int64_t created_ms, const tr_export_request *request,
                                         const json_t *policy, const char *request_id, json_t **out,
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
                                           uint32_t slot, const char *client_id, json_t **out,
                                           tr_err *err);
/* Moves a batch that will be put to a last status; its version, which is its entity tag, too. */
TR_MUST_CHECK tr_code tr_export_batch_move(tr_object *batch, const char *status, int64_t now,
                                           tr_err *err);
/* Ends the batch that never was: "failure" or "aborted". Within a transaction. */
TR_MUST_CHECK tr_code tr_export_batch_end(tr_export *export, const tr_tenant *tenant,
                                          const json_t *job, const char *status,
                                          const json_t *errors, tr_err *err);
/* Forgets plan and parts of a job that ends. Within a transaction. */
TR_MUST_CHECK tr_code tr_export_work_forget(tr_export *export, const tr_tenant *tenant,
                                            const char *id, tr_err *err);
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
/* Drops what is staged for the job's batches. */
TR_MUST_CHECK tr_code tr_export_drop_stages(const tr_export_active *active, size_t slots,
                                            tr_err *err);
/* Writes the end down, again and again until the disk takes it or the server stops. */
void tr_export_end_failed(tr_export_active *active, tr_code code, const tr_err *why);
void tr_export_end_cancelled(tr_export_active *active);
/* Cancels a job that has not begun: it has no files. Within its edit. */
TR_MUST_CHECK tr_code tr_export_end_queued(tr_export_active *active, tr_object *job, tr_err *err);

/* A stored job as the wire shows it, with `progress` when it runs here. *out is returned. */
TR_MUST_CHECK tr_code tr_export_show(tr_export *export, const tr_tenant *tenant,
                                     const tr_object *job, json_t **out, tr_err *err);

#endif
