/* SPDX-License-Identifier: Apache-2.0 */
/* compute.c - the local pool: see compute.h.
 *
 *     submit -> [job][job]... -> coordinators --tr_compute_run--> ring of fans <- workers
 *
 * A FAN is one tr_compute_run under way; it stands on its caller's stack and in a ring. A worker
 * takes one index of the fan that is first and moves that fan to the end, so that a job with two
 * tasks need not wait for one with two thousand. One mutex guards everything: it is taken twice a
 * task, and a task takes milliseconds.
 */
#include "compute/compute.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/priority.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { WORKERS_MAX = 256, JOBS_MAX = 64, JOBS_DEFAULT = 4 };

typedef struct fan {
    struct fan *next;
    tr_task_fn task;
    void *ctx;
    const atomic_bool *cancel; /* may be NULL */
    uint32_t count;
    uint32_t begun; /* indices given out */
    uint32_t running;
    uint32_t failed_index;
    tr_code code; /* of failed_index; TR_OK: none failed */
    bool is_queued;
    tr_err err;
    pthread_cond_t is_done;
} fan;

typedef struct queued_job {
    struct queued_job *next;
    tr_job_fn run;
    tr_job_fn drop;
    void *ctx;
} queued_job;

struct tr_compute {
    pthread_mutex_t lock;
    pthread_cond_t has_task;
    pthread_cond_t has_job;
    fan *first_fan, *last_fan;
    queued_job *first_job, *last_job;
    bool workers_end;
    atomic_bool is_stopping;
    uint32_t worker_count, job_count; /* threads that were started */
    pthread_t workers[WORKERS_MAX];
    pthread_t coordinators[JOBS_MAX];
};

static _Thread_local bool is_worker; /* a task that fans out again does so on its own thread */

static bool is_over(const tr_compute *compute, const fan *f)
{
    return f->begun == f->count || f->code != TR_OK || atomic_load(&compute->is_stopping) ||
           (f->cancel != NULL && atomic_load(f->cancel));
}

static void push_fan(tr_compute *compute, fan *f)
{
    f->next = NULL;
    f->is_queued = true;
    if (compute->last_fan == NULL)
        compute->first_fan = f;
    else
        compute->last_fan->next = f;
    compute->last_fan = f;
}

static fan *pop_fan(tr_compute *compute)
{
    fan *f = compute->first_fan;
    compute->first_fan = f->next;
    if (compute->first_fan == NULL)
        compute->last_fan = NULL;
    f->is_queued = false;
    return f;
}

static void unlink_fan(tr_compute *compute, fan *f)
{
    fan *before = NULL;
    for (fan *at = compute->first_fan; at != f; at = at->next)
        before = at;
    if (before == NULL)
        compute->first_fan = f->next;
    else
        before->next = f->next;
    if (compute->last_fan == f)
        compute->last_fan = before;
    f->is_queued = false;
}

/* A fan that has one more index to give, taken; fans that are over leave the ring. The lock is
 * held. */
static fan *take_task(tr_compute *compute, uint32_t *index)
{
    while (compute->first_fan != NULL) {
        fan *f = pop_fan(compute);
        if (is_over(compute, f)) {
            if (f->running == 0)
                pthread_cond_signal(&f->is_done);
            continue;
        }
        *index = f->begun++;
        f->running++;
        push_fan(compute, f);
        return f;
    }
    return NULL;
}

static void note_result(tr_compute *compute, fan *f, uint32_t index, tr_code code,
                        const tr_err *err)
{
    f->running--;
    if (code != TR_OK && (f->code == TR_OK || index < f->failed_index)) {
        f->code = code;
        f->failed_index = index;
        f->err = *err;
    }
    if (f->running == 0 && is_over(compute, f))
        pthread_cond_signal(&f->is_done);
}

static void *worker_main(void *ctx)
{
    tr_compute *compute = ctx;
    is_worker = true;
    tr_thread_stand_back(TR_NICE_COMPUTE); /* lookups over HTTP go first */
    pthread_mutex_lock(&compute->lock);
    for (;;) {
        uint32_t index = 0;
        tr_err err = {0};
        fan *f = take_task(compute, &index);
        if (f == NULL) {
            if (compute->workers_end)
                break;
            pthread_cond_wait(&compute->has_task, &compute->lock);
            continue;
        }
        pthread_mutex_unlock(&compute->lock);
        const int64_t begun_us = tr_time_monotonic_us();
        const tr_code code = f->task(f->ctx, index, &err);
        const int64_t worked_us = tr_time_monotonic_us() - begun_us;
        pthread_mutex_lock(&compute->lock);
        note_result(compute, f, index, code, &err);
        pthread_mutex_unlock(&compute->lock);
        tr_left_over_give(worked_us);
        pthread_mutex_lock(&compute->lock);
    }
    pthread_mutex_unlock(&compute->lock);
    return NULL;
}

static void *coordinator_main(void *ctx)
{
    tr_compute *compute = ctx;
    tr_thread_stand_back(TR_NICE_COMPUTE); /* lookups over HTTP go first */
    pthread_mutex_lock(&compute->lock);
    while (!atomic_load(&compute->is_stopping)) {
        queued_job *job = compute->first_job;
        if (job == NULL) {
            pthread_cond_wait(&compute->has_job, &compute->lock);
            continue;
        }
        compute->first_job = job->next;
        if (compute->first_job == NULL)
            compute->last_job = NULL;
        pthread_mutex_unlock(&compute->lock);
        job->run(job->ctx);
        job->drop(job->ctx);
        tr_free(job);
        pthread_mutex_lock(&compute->lock);
    }
    pthread_mutex_unlock(&compute->lock);
    return NULL;
}

static tr_code start_threads(tr_compute *compute, uint32_t workers, uint32_t jobs, tr_err *err)
{
    for (; compute->worker_count < workers; compute->worker_count++)
        if (pthread_create(&compute->workers[compute->worker_count], NULL, worker_main, compute) !=
            0)
            return TR_FAIL(err, TR_NO_MEMORY, "cannot start a worker thread");
    for (; compute->job_count < jobs; compute->job_count++)
        if (pthread_create(&compute->coordinators[compute->job_count], NULL, coordinator_main,
                           compute) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "cannot start a job thread");
    return TR_OK;
}

tr_code tr_compute_open(const tr_compute_options *options, tr_compute **out, tr_err *err)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t workers = options != NULL ? options->worker_count : 0;
    uint32_t jobs = options != NULL ? options->job_count : 0;
    if (workers == 0)
        workers = cores > 0 ? (uint32_t)cores : 1;
    if (jobs == 0)
        jobs = JOBS_DEFAULT;
    if (workers > WORKERS_MAX || jobs > JOBS_MAX)
        return TR_FAIL(err, TR_INVALID, "at most %d workers and %d jobs at a time", WORKERS_MAX,
                       JOBS_MAX);
    tr_compute *compute = tr_alloc_zeroed(1, sizeof *compute);
    if (compute == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the worker pool");
    pthread_mutex_init(&compute->lock, NULL);
    pthread_cond_init(&compute->has_task, NULL);
    pthread_cond_init(&compute->has_job, NULL);
    const tr_code code = start_threads(compute, workers, jobs, err);
    if (code != TR_OK) {
        tr_compute_close(compute);
        return code;
    }
    *out = compute;
    return TR_OK;
}

static void stop(tr_compute *compute)
{
    pthread_mutex_lock(&compute->lock);
    atomic_store(&compute->is_stopping, true);
    pthread_cond_broadcast(&compute->has_job);
    pthread_cond_broadcast(
        &compute->has_task); /* fans with nothing running are ended by a worker */
    pthread_mutex_unlock(&compute->lock);
}

void tr_compute_close(tr_compute *compute)
{
    if (compute == NULL)
        return;
    stop(compute);
    for (uint32_t i = 0; i < compute->job_count; i++)
        pthread_join(compute->coordinators[i], NULL);
    pthread_mutex_lock(&compute->lock);
    compute->workers_end = true;
    pthread_cond_broadcast(&compute->has_task);
    pthread_mutex_unlock(&compute->lock);
    for (uint32_t i = 0; i < compute->worker_count; i++)
        pthread_join(compute->workers[i], NULL);
    for (queued_job *job = compute->first_job; job != NULL;) {
        queued_job *next = job->next;
        job->drop(job->ctx);
        tr_free(job);
        job = next;
    }
    pthread_cond_destroy(&compute->has_job);
    pthread_cond_destroy(&compute->has_task);
    pthread_mutex_destroy(&compute->lock);
    tr_free(compute);
}

bool tr_compute_is_stopping(const tr_compute *compute)
{
    return atomic_load(&compute->is_stopping);
}

tr_code tr_compute_submit(tr_compute *compute, tr_job_fn run, tr_job_fn drop, void *ctx,
                          tr_err *err)
{
    queued_job *job = tr_alloc_zeroed(1, sizeof *job);
    if (job == NULL) {
        drop(ctx);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to queue a job");
    }
    *job = (queued_job){.run = run, .drop = drop, .ctx = ctx};
    pthread_mutex_lock(&compute->lock);
    const bool is_late = atomic_load(&compute->is_stopping);
    if (!is_late) {
        if (compute->last_job == NULL)
            compute->first_job = job;
        else
            compute->last_job->next = job;
        compute->last_job = job;
        pthread_cond_signal(&compute->has_job);
    }
    pthread_mutex_unlock(&compute->lock);
    if (!is_late)
        return TR_OK;
    drop(ctx);
    tr_free(job);
    return TR_FAIL(err, TR_BUSY, "the server is stopping");
}

/* The answer of a fan in which nothing runs any more. */
static tr_code conclude(const fan *f, tr_err *err)
{
    if (f->code != TR_OK) {
        if (err != NULL)
            *err = f->err;
        return f->code;
    }
    if (f->begun < f->count)
        return TR_FAIL(err, TR_CANCELLED, "stopped before %u of %u tasks had begun",
                       f->count - f->begun, f->count);
    return TR_OK;
}

static tr_code run_here(tr_compute *compute, fan *f, tr_err *err)
{
    while (!is_over(compute, f)) {
        f->failed_index = f->begun;
        f->code = f->task(f->ctx, f->begun++, &f->err);
    }
    return conclude(f, err);
}

tr_code tr_compute_run(tr_compute *compute, uint32_t count, tr_task_fn task, void *ctx,
                       const atomic_bool *cancel, tr_err *err)
{
    fan f = {.task = task, .ctx = ctx, .cancel = cancel, .count = count};
    if (is_worker)
        return run_here(compute, &f, err);
    pthread_cond_init(&f.is_done, NULL);
    pthread_mutex_lock(&compute->lock);
    if (!is_over(compute, &f)) {
        push_fan(compute, &f);
        pthread_cond_broadcast(&compute->has_task);
    }
    while (f.running > 0 || !is_over(compute, &f))
        pthread_cond_wait(&f.is_done, &compute->lock);
    if (f.is_queued) /* nothing may point to this stack when it goes */
        unlink_fan(compute, &f);
    pthread_mutex_unlock(&compute->lock);
    pthread_cond_destroy(&f.is_done);
    return conclude(&f, err);
}
