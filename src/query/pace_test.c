/* SPDX-License-Identifier: Apache-2.0 */
/* pace_test.c - workers that compute much stand aside, and take turns.
 *
 * Method: children of this process stand for workers. Each has two threads that compute for as long
 * as its flag, in memory that both see, says so; what became of them is read in /proc. */
#include "base/clock.h"
#include "base/test.h"
#include "query_internal.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { COUNT = 4, PATIENCE_S = 60 };

static atomic_bool *computes; /* of each child */
static tr_query_session sessions[COUNT];

static void *compute(void *flag)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    while (getppid() != 1)
        if (!atomic_load((atomic_bool *)flag))
            (void)nanosleep(&pause, NULL);
    return NULL;
}

static void start(unsigned i)
{
    pthread_t second;
    const pid_t parent = getpid();
    tr_query_session *s = &sessions[i];
    *s = (tr_query_session){
        .child = TR_WORKER_CHILD_NONE, .deadline_us = INT64_MAX, .is_awaited = true};
    CHECK(pthread_mutex_init(&s->mutex, NULL) == 0);
    atomic_store(&computes[i], true);
    s->child.pid = fork();
    if (s->child.pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || pthread_create(&second, NULL, compute, &computes[i]) != 0)
            _exit(1);
        (void)compute(&computes[i]);
        _exit(0);
    }
    CHECK(s->child.pid > 0);
    tr_query_pace_begin(s);
}

/* The first `count` of them, as a list. */
static tr_query_session *start_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        start(i);
    for (unsigned i = 0; i + 1 < count; i++)
        sessions[i].next = &sessions[i + 1];
    return sessions;
}

static void end_all(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        CHECK(kill(sessions[i].child.pid, SIGKILL) == 0);
        CHECK(waitpid(sessions[i].child.pid, NULL, 0) == sessions[i].child.pid);
        (void)pthread_mutex_destroy(&sessions[i].mutex);
    }
}

static bool is_stopped(unsigned i)
{
    char path[64], text[256] = "";
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)sessions[i].child.pid);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(text, sizeof text, file) != NULL);
    (void)fclose(file);
    const char *name_end = strrchr(text, ')');
    CHECK(name_end != NULL);
    return name_end[2] == 'T';
}

static unsigned threads_of(unsigned i, unsigned *idle)
{
    char path[64];
    unsigned count = 0;
    (void)snprintf(path, sizeof path, "/proc/%ld/task", (long)sessions[i].child.pid);
    DIR *folder = opendir(path);
    CHECK(folder != NULL);
    *idle = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        *idle += sched_getscheduler((pid_t)strtol(entry->d_name, NULL, 10)) == SCHED_IDLE;
    }
    (void)closedir(folder);
    return count;
}

static bool is_time_left(int64_t begun_us)
{
    return tr_time_monotonic_us() - begun_us < INT64_C(1000000) * PATIENCE_S;
}

/* Whether it is paused; the system has been given the time to do it. */
static bool is_paused(unsigned i)
{
    const struct timespec pause = {.tv_nsec = 100000};
    const int64_t begun_us = tr_time_monotonic_us();
    while (is_stopped(i) != sessions[i].is_paused && is_time_left(begun_us))
        (void)nanosleep(&pause, NULL);
    CHECK(is_stopped(i) == sessions[i].is_paused);
    return sessions[i].is_paused;
}

/* Looks once, after a while. */
static uint32_t look(const tr_query_pace_terms *terms)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    (void)nanosleep(&pause, NULL);
    const uint32_t running = tr_query_pace(sessions, terms).running;
    CHECK(running <= terms->at_once);
    return running;
}

static bool are_slow(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!atomic_load(&sessions[i].is_slow))
            return false;
    return true;
}

static void make_slow(unsigned count, const tr_query_pace_terms *terms)
{
    const int64_t begun_us = tr_time_monotonic_us();
    while (!are_slow(count) && is_time_left(begun_us))
        (void)look(terms);
    CHECK(are_slow(count));
}

static void who_computes_much_runs_on_what_is_left_over(void)
{
    const tr_query_pace_terms terms = {.at_once = 2, .much_us = 20000, .turn_us = 20000};
    unsigned idle;
    (void)start_all(1);
    CHECK(threads_of(0, &idle) >= 1 && idle == 0);
    make_slow(1, &terms);
    CHECK(threads_of(0, &idle) == 2 && idle == 2);
    CHECK(!is_paused(0));
    end_all(1);
}

static void who_computes_little_or_nothing_is_left_alone(void)
{
    const tr_query_pace_terms little = {.at_once = 1, .much_us = INT64_MAX};
    const tr_query_pace_terms none = {.at_once = 1, .much_us = 0};
    unsigned idle;
    (void)start_all(1);
    CHECK(look(&little) == 0);
    atomic_store(&sessions[0].deadline_us, 0); /* it waits for a command */
    CHECK(look(&none) == 0);
    CHECK(threads_of(0, &idle) >= 1 && idle == 0);
    end_all(1);
}

static void all_have_their_turns_and_no_more_run_than_may(void)
{
    const tr_query_pace_terms terms = {.at_once = 2, .much_us = 10000, .turn_us = 10000};
    unsigned ran[COUNT] = {0}, waited[COUNT] = {0}, done = 0;
    (void)start_all(COUNT);
    make_slow(COUNT, &terms);
    for (const int64_t begun_us = tr_time_monotonic_us(); done < COUNT && is_time_left(begun_us);) {
        CHECK(look(&terms) == 2);
        done = 0;
        for (unsigned i = 0; i < COUNT; i++) {
            *(is_paused(i) ? &waited[i] : &ran[i]) += 1;
            done += ran[i] >= 3 && waited[i] >= 3;
        }
    }
    CHECK(done == COUNT);
    end_all(COUNT);
}

static void who_does_nothing_in_his_turn_loses_it(void)
{
    const tr_query_pace_terms terms = {.at_once = 1, .much_us = 10000, .turn_us = INT64_MAX / 4};
    (void)start_all(2);
    make_slow(2, &terms);
    (void)look(&terms);
    const unsigned runs = is_paused(0) ? 1 : 0;
    CHECK(!is_paused(runs) && is_paused(1 - runs));
    atomic_store(&computes[runs], false);
    const int64_t begun_us = tr_time_monotonic_us();
    while (!is_paused(runs) && is_time_left(begun_us))
        CHECK(look(&terms) == 1);
    CHECK(is_paused(runs) && !is_paused(1 - runs));
    end_all(2);
}

static void who_answers_is_told_from_who_only_computes(void)
{
    const tr_query_pace_terms terms = {.at_once = 2, .much_us = 10000, .turn_us = INT64_MAX / 4};
    (void)start_all(2);
    CHECK(tr_query_pace(sessions, &terms).silent == 0); /* nothing is slow yet */
    make_slow(2, &terms);
    CHECK(tr_query_pace(sessions, &terms).silent == 2);
    atomic_store(&sessions[1].has_answered, true);
    CHECK(tr_query_pace(sessions, &terms).silent == 1);
    CHECK(tr_query_pace(sessions, &terms).silent == 2);
    end_all(2);
}

/* Jobs and event threads make room for statements that compute, not for cursors that are open. */
static void who_is_not_waited_for_computes_nothing(void)
{
    const tr_query_pace_terms terms = {.at_once = 2, .much_us = 10000, .turn_us = INT64_MAX / 4};
    (void)start_all(2);
    make_slow(2, &terms);
    atomic_store(&sessions[0].is_awaited, false);
    tr_query_paced paced = tr_query_pace(sessions, &terms);
    CHECK(paced.running == 1 && paced.silent == 1);
    atomic_store(&sessions[1].is_awaited, false);
    paced = tr_query_pace(sessions, &terms);
    CHECK(paced.running == 0 && paced.silent == 0);
    atomic_store(&sessions[0].is_awaited, true); /* it is fetched from again */
    CHECK(tr_query_pace(sessions, &terms).running == 1);
    end_all(2);
}

static void who_is_being_ended_keeps_nobody_waiting(void)
{
    const tr_query_pace_terms terms = {.at_once = 1, .much_us = 10000, .turn_us = 0};
    (void)start_all(3);
    make_slow(3, &terms);
    (void)pthread_mutex_lock(&sessions[1].mutex); /* as if it was waited for, now and for long */
    bool has_run[3] = {false, true, false};
    for (const int64_t begun_us = tr_time_monotonic_us();
         !(has_run[0] && has_run[2]) && is_time_left(begun_us);) {
        (void)tr_query_pace(sessions, &terms);
        for (unsigned i = 0; i < 3; i++)
            has_run[i] = has_run[i] || !is_paused(i);
        /* the one that holds its place goes for good, as the pool sees it */
        sessions[1].is_lost = true;
    }
    CHECK(has_run[0] && has_run[2]);
    (void)pthread_mutex_unlock(&sessions[1].mutex);
    end_all(3);
}

int main(void)
{
    int passed = 0, failed = 0;
    computes = mmap(NULL, COUNT * sizeof *computes, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(computes != MAP_FAILED);
    RUN(who_computes_much_runs_on_what_is_left_over);
    RUN(who_computes_little_or_nothing_is_left_alone);
    RUN(all_have_their_turns_and_no_more_run_than_may);
    RUN(who_does_nothing_in_his_turn_loses_it);
    RUN(who_answers_is_told_from_who_only_computes);
    RUN(who_is_not_waited_for_computes_nothing);
    RUN(who_is_being_ended_keeps_nobody_waiting);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
