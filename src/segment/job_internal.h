/* SPDX-License-Identifier: Apache-2.0 */
/* job_internal.h - what the files of segment jobs share.
 *
 *     job.c          create, look up, cancel, resume; who runs and who waits
 *     job_doc.c      the job's document: states, times, links
 *     job_plan.c     what a job needs to run anywhere: made once, stored, opened
 *     job_run.c      the coordinator, and the three ways a job ends
 *
 * In the catalog, beside kind "segment_job":
 *
 *     segment_plan   id = the job's                       instant, runs, definitions by policy
 *     segment_part   id = "<job>:<group>:<partition>"     a finished part: file, hash, counts
 */
#ifndef TR_SEGMENT_JOB_INTERNAL_H
#define TR_SEGMENT_JOB_INTERNAL_H

#include "segment/evaluation.h"
#include "segment/jobs.h"
#include "segment/segment_internal.h"

/* ---- a job under way, or an export that evaluates, in memory */
struct tr_segment_active {
    tr_segment_active *next;
    tr_segment *segment;
    tr_tenant tenant;
    char id[48];
    bool is_running;
    atomic_bool cancel;
    void (*begin)(void *ctx); /* not a job but somebody else's turn; NULL: a job */
    void *ctx;
};
void tr_segment_run_job(void *ctx); /* a tr_job_fn; ctx: tr_segment_active */

/* ---- the document */
TR_MUST_CHECK tr_code tr_segment_job_make(const tr_tenant *tenant, const json_t *definitions,
                                          const tr_segment_order *order, json_t **out, tr_err *err);
bool tr_segment_is_finished(const char *state);
/* Status and state, times, and with a last status the end of the times. */
TR_MUST_CHECK tr_code tr_segment_job_status(tr_object *job, const char *status, tr_err *err);
/* Changes a job in one transaction. A code other than TR_OK undoes everything. */
typedef tr_code (*tr_segment_edit)(void *ctx, tr_object *job, tr_err *err);
TR_MUST_CHECK tr_code tr_segment_job_edit(const tr_segment_active *active, tr_segment_edit edit,
                                          void *ctx, tr_err *err);

/* ---- the plan */
/* Makes and stores it: the definitions' policies, today's runs, the instant of now. */
TR_MUST_CHECK tr_code tr_segment_plan_make(const tr_segment_active *active,
                                           const json_t *definitions, json_t **out, tr_err *err);

typedef struct tr_segment_group { /* the definitions of one merge policy */
    const json_t *json;           /* of the plan */
    tr_evaluation *evaluation;
    tr_snapshot *snapshot; /* stitched; NULL: the run's */
    tr_materialized_run merged;
    tr_merge_plan *merge;
    uint32_t partitions;
    uint8_t bits;
    tr_evaluated *parts;
} tr_segment_group;

typedef struct tr_segment_run { /* a job while its coordinator works on it */
    tr_segment_active *active;
    tr_arena arena;
    json_t *plan;     /* owned */
    json_t *problems; /* owned: definitions that were left out */
    tr_snapshot *snapshot;
    tr_segment_group *groups;
    uint32_t group_count;
    uint32_t (*todo)[2]; /* group, partition */
    uint32_t todo_count;
    pthread_mutex_t lock; /* guards the four below */
    uint32_t *finished;   /* places in todo, in the order in which their parts were made */
    uint32_t finished_count, recorded_count;
    int64_t recorded_us; /* when parts were recorded last; monotonic */
    bool is_stale; /* data that was read was taken back meanwhile: nothing was committed */
} tr_segment_run;

/* TR_NOT_FOUND: a run or a membership of the plan is gone. */
TR_MUST_CHECK tr_code tr_segment_plan_open(tr_segment_run *run, tr_err *err);
void tr_segment_plan_close(tr_segment_run *run); /* idempotent */
/* Whether damage that was met may be that of merged runs: then they are dropped. */
bool tr_segment_plan_drops_damaged(const tr_segment_run *run, tr_code code);

/* "segment-<job>-<group>" */
void tr_segment_stage(const tr_segment_active *active, uint32_t group, char out[64]);
/* What the keeper of a group's merge plan needs. */
typedef struct tr_segment_task {
    tr_segment_run *run;
    uint32_t group;
} tr_segment_task;

#endif
