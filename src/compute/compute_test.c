/* SPDX-License-Identifier: Apache-2.0 */
/* compute_test.c - every task once, failures and cancels honoured, jobs dropped exactly once.
 * Also run under ThreadSanitizer. */
#include "compute/compute.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/priority.h"
#include "base/test.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TASKS = 500 };

typedef struct tally {
    atomic_uint calls[TASKS];
    atomic_uint total;
    uint32_t fail_from; /* tasks from here on fail; 0: none */
    atomic_bool cancel;
    uint32_t cancel_at; /* this task sets `cancel`; 0: none */
} tally;

static tr_code count_task(void *ctx, uint32_t index, tr_err *err)
{
    tally *t = ctx;
    atomic_fetch_add(&t->calls[index], 1);
    atomic_fetch_add(&t->total, 1);
    if (t->cancel_at != 0 && index == t->cancel_at)
        atomic_store(&t->cancel, true);
    if (t->fail_from != 0 && index >= t->fail_from)
        return TR_FAIL(err, TR_IO, "task %u", index);
    return TR_OK;
}

static void every_task_runs_exactly_once(void)
{
    static tally t;
    tr_compute *compute = NULL;
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 4}, &compute, NULL) == TR_OK);
    CHECK(tr_compute_run(compute, TASKS, count_task, &t, &t.cancel, NULL) == TR_OK);
    for (int i = 0; i < TASKS; i++)
        CHECK(atomic_load(&t.calls[i]) == 1);
    CHECK(tr_compute_run(compute, 0, count_task, &t, NULL, NULL) == TR_OK);
    tr_compute_close(compute);
}

static void the_lowest_failure_is_the_answer_and_ends_the_rest(void)
{
    static tally t = {.fail_from = 20};
    tr_err err = {0};
    tr_compute *compute = NULL;
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 3}, &compute, NULL) == TR_OK);
    CHECK(tr_compute_run(compute, TASKS, count_task, &t, NULL, &err) == TR_IO);
    CHECK(strcmp(err.text, "task 20") == 0);
    CHECK(atomic_load(&t.total) < 30);
    CHECK(tr_compute_run(compute, 5, count_task, &t, NULL, &err) == TR_OK);
    tr_compute_close(compute);
}

static void a_cancel_leaves_out_what_has_not_begun(void)
{
    static tally t = {.cancel_at = 7};
    tr_compute *compute = NULL;
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 2}, &compute, NULL) == TR_OK);
    CHECK(tr_compute_run(compute, TASKS, count_task, &t, &t.cancel, NULL) == TR_CANCELLED);
    CHECK(atomic_load(&t.total) >= 8 && atomic_load(&t.total) < 20);
    tr_compute_close(compute);
}

static tr_compute *shared;
typedef struct nested {
    atomic_uint inner;
} nested;

static tr_code fan_out_again(void *ctx, uint32_t index, tr_err *err)
{
    static tally t;
    nested *n = ctx;
    (void)index;
    const tr_code code = tr_compute_run(shared, 10, count_task, &t, NULL, err);
    atomic_fetch_add(&n->inner, 10);
    return code;
}

static void a_task_may_fan_out_again(void)
{
    nested n = {0};
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 1}, &shared, NULL) == TR_OK);
    CHECK(tr_compute_run(shared, 8, fan_out_again, &n, NULL, NULL) == TR_OK);
    CHECK(atomic_load(&n.inner) == 80);
    tr_compute_close(shared);
}

static atomic_uint runs, drops, good;

static tr_code note_nice(void *ctx, uint32_t index, tr_err *err)
{
    (void)index, (void)err;
    atomic_store((atomic_int *)ctx, getpriority(PRIO_PROCESS, 0));
    return TR_OK;
}

static void tasks_stand_back_behind_whoever_asked(void)
{
    const int mine = getpriority(PRIO_PROCESS, 0);
    atomic_int its = -1;
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 2}, &shared, NULL) == TR_OK);
    CHECK(tr_compute_run(shared, 2, note_nice, &its, NULL, NULL) == TR_OK);
    tr_compute_close(shared);
    CHECK(its == (mine > TR_NICE_COMPUTE ? mine : TR_NICE_COMPUTE));
    CHECK(getpriority(PRIO_PROCESS, 0) == mine);
}

enum { WORKED_US = 5000 };

/* When the thread's last task ended; 0: it has had none. Of tasks that were not first. */
static _Thread_local int64_t ended_us;
static atomic_uint later_tasks, later_tasks_after_a_pause;

static tr_code work_and_note_the_pause(void *ctx, uint32_t index, tr_err *err)
{
    (void)ctx, (void)index, (void)err;
    const int64_t begun_us = tr_time_monotonic_us();
    if (ended_us != 0) {
        atomic_fetch_add(&later_tasks, 1);
        atomic_fetch_add(&later_tasks_after_a_pause, begun_us - ended_us >= WORKED_US / 9);
    }
    do
        ended_us = tr_time_monotonic_us();
    while (ended_us - begun_us < WORKED_US);
    return TR_OK;
}

static void tasks_leave_a_tenth_over_for_who_waits_for_it(void)
{
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 2}, &shared, NULL) == TR_OK);
    tr_left_over_want(1);
    CHECK(tr_compute_run(shared, 20, work_and_note_the_pause, NULL, NULL, NULL) == TR_OK);
    tr_left_over_want(0);
    tr_compute_close(shared);
    CHECK(later_tasks >= 18 && later_tasks_after_a_pause == later_tasks);
}

static void job_run(void *ctx)
{
    static tally tallies[64];
    const uint32_t mine = atomic_fetch_add(&runs, 1) % 64;
    (void)ctx;
    if (tr_compute_run(shared, 50, count_task, &tallies[mine], NULL, NULL) == TR_OK)
        atomic_fetch_add(&good, 1);
}

static void job_drop(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&drops, 1);
}

static void jobs_share_the_workers(void)
{
    atomic_store(&runs, 0), atomic_store(&drops, 0), atomic_store(&good, 0);
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 4, .job_count = 8}, &shared,
                          NULL) == TR_OK);
    for (int i = 0; i < 40; i++)
        CHECK(tr_compute_submit(shared, job_run, job_drop, NULL, NULL) == TR_OK);
    for (int i = 0; i < 2000 && atomic_load(&drops) < 40; i++)
        usleep(1000);
    CHECK(atomic_load(&good) == 40);
    tr_compute_close(shared);
    CHECK(atomic_load(&drops) == 40);
}

static atomic_bool is_let_go;

static tr_code wait_task(void *ctx, uint32_t index, tr_err *err)
{
    (void)ctx, (void)index, (void)err;
    while (!atomic_load(&is_let_go))
        usleep(200);
    return TR_OK;
}

static atomic_int last_code;

static void long_job(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&runs, 1);
    atomic_store(&last_code, (int)tr_compute_run(shared, 100, wait_task, NULL, NULL, NULL));
}

static void let_go(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&drops, 1);
}

static tr_code closer(void *ctx, uint32_t index, tr_err *err)
{
    (void)ctx, (void)err;
    if (index == 0) {
        tr_compute_close(shared);
    } else {
        usleep(20000);
        atomic_store(&is_let_go, true);
    }
    return TR_OK;
}

static void close_waits_for_running_tasks_and_drops_queued_jobs(void)
{
    tr_compute *other = NULL;
    atomic_store(&runs, 0), atomic_store(&drops, 0), atomic_store(&is_let_go, false);
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 2, .job_count = 1}, &shared,
                          NULL) == TR_OK);
    CHECK(tr_compute_open(&(tr_compute_options){.worker_count = 2}, &other, NULL) == TR_OK);
    for (int i = 0; i < 3; i++)
        CHECK(tr_compute_submit(shared, long_job, let_go, NULL, NULL) == TR_OK);
    while (atomic_load(&runs) == 0)
        usleep(100);
    CHECK(tr_compute_run(other, 2, closer, NULL, NULL, NULL) == TR_OK);
    CHECK(atomic_load(&runs) == 1 && atomic_load(&drops) == 3);
    CHECK(atomic_load(&last_code) == TR_CANCELLED);
    tr_compute_close(other);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(every_task_runs_exactly_once);
    RUN(the_lowest_failure_is_the_answer_and_ends_the_rest);
    RUN(a_cancel_leaves_out_what_has_not_begun);
    RUN(a_task_may_fan_out_again);
    RUN(tasks_stand_back_behind_whoever_asked);
    RUN(tasks_leave_a_tenth_over_for_who_waits_for_it);
    RUN(jobs_share_the_workers);
    RUN(close_waits_for_running_tasks_and_drops_queued_jobs);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
