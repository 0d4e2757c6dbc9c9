/* SPDX-License-Identifier: Apache-2.0 */
/* compute.h - runs background jobs, and the tasks of one job in parallel.
 *
 * JOBS (an export, a batch to ingest, a compaction) wait in a queue and are coordinated by a few
 * threads that mostly wait. TASKS (a partition) run on one worker thread per core. A job fans its
 * tasks out with tr_compute_run and waits; tasks of several jobs take turns.
 *
 * Threads: any. tr_compute_close waits for running tasks and drops queued jobs (they are in the catalog and
 * start again at the next start).
 */
#ifndef TR_COMPUTE_COMPUTE_H
#define TR_COMPUTE_COMPUTE_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct tr_compute tr_compute;

typedef struct tr_compute_options {
    uint32_t worker_count; /* 0: one per core */
    uint32_t job_count;    /* jobs at a time; 0: 4 */
} tr_compute_options;

TR_MUST_CHECK tr_code tr_compute_open(const tr_compute_options *options, tr_compute **out, tr_err *err);
/* Asks running jobs to stop (tr_compute_is_stopping), waits, frees. Accepts NULL. */
void tr_compute_close(tr_compute *compute);
bool tr_compute_is_stopping(const tr_compute *compute);

typedef void (*tr_job_fn)(void *ctx);
/* ctx is taken: `drop` frees it after the run, or when the job is dropped unrun. */
TR_MUST_CHECK tr_code tr_compute_submit(tr_compute *compute, tr_job_fn run, tr_job_fn drop, void *ctx, tr_err *err);

/* Runs task(ctx, 0 .. count-1) on the workers and waits for all. The first failure (lowest index among those that
 * failed) is the answer; after a failure, or once *cancel is set, tasks that have not begun are left out. */
typedef tr_code (*tr_task_fn)(void *ctx, uint32_t index, tr_err *err);
TR_MUST_CHECK tr_code tr_compute_run(tr_compute *compute, uint32_t count, tr_task_fn task, void *ctx,
                                     const atomic_bool *cancel, tr_err *err);

#endif
