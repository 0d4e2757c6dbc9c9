/* SPDX-License-Identifier: Apache-2.0 */
/* pace.c - who asks for little does not wait for those who ask for much; see query_internal.h.
 *
 *     command sent --0.5 s of the processor--> slow: runs on what others leave over
 *                                              running <--turns--> paused (SIGSTOP)
 *
 * Even on what is left over every process that wants to run is owed a little, and gets it a tick of
 * the clock at a time, while a lookup waits. So of those that are slow no more run at once than
 * there are processors; the others wait for their turn. What is owed stays the same, however many
 * statements there are, and none of them gets less than it would have got. */
#include "base/clock.h"
#include "base/priority.h"
#include "query_internal.h"

#include <signal.h>
#include <time.h>

enum { QUIET_US = 5000 }; /* of the processor, from one look to the next */

/* What the worker has used of the processor. The mutex is held. */
static int64_t cpu_us(const tr_query_session *s)
{
    clockid_t clock;
    struct timespec used = {0};
    if (s->child.pid > 0 && clock_getcpuclockid(s->child.pid, &clock) == 0)
        (void)clock_gettime(clock, &used);
    return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

void tr_query_pace_begin(tr_query_session *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    atomic_store(&s->begun_cpu_us, cpu_us(s));
    (void)pthread_mutex_unlock(&s->mutex);
}

/* Does `what` with a worker that is there, and not being ended at this moment: its number is its
 * own. Who ends one may hold its mutex for long, while its memory is given back. */
static bool with_worker(tr_query_session *s, bool (*what)(tr_query_session *s))
{
    if (pthread_mutex_trylock(&s->mutex) != 0)
        return false;
    const bool is_done = s->child.pid > 0 && !s->is_killed && what(s);
    (void)pthread_mutex_unlock(&s->mutex);
    return is_done;
}

static bool see_cpu(tr_query_session *s)
{
    s->seen_cpu_us = cpu_us(s);
    return true;
}

static bool slow_down(tr_query_session *s)
{
    tr_process_take_left_over(s->child.pid);
    return true;
}

static bool pause_worker(tr_query_session *s)
{
    return kill(s->child.pid, SIGSTOP) == 0;
}

static bool resume_worker(tr_query_session *s)
{
    return kill(s->child.pid, SIGCONT) == 0;
}

static bool takes_turns(const tr_query_session *s)
{
    return atomic_load(&s->is_slow) && !s->is_lost;
}

static void look(tr_query_session *s, const tr_query_pace_terms *terms, int64_t now_us)
{
    const int64_t before_us = s->seen_cpu_us;
    if (s->is_lost || s->is_paused || !with_worker(s, see_cpu))
        return;
    const int64_t command_us = s->seen_cpu_us - atomic_load(&s->begun_cpu_us);
    if (atomic_load(&s->is_slow)) {
        /* Nothing runs in it: its client does not read, or fetches no more. */
        if (s->seen_cpu_us - before_us < QUIET_US)
            s->turned_us = now_us - 1 - terms->turn_us;
    } else if (atomic_load(&s->deadline_us) != 0 && command_us >= terms->much_us &&
               with_worker(s, slow_down)) {
        s->turned_us = now_us - 1; /* who has the longest turn behind him goes first */
        atomic_store(&s->is_slow, true);
    }
}

/* Of those that run, or of those that are paused, whose turn began, or ended, the longest ago. */
static tr_query_session *longest(tr_query_session *taken, bool is_paused)
{
    tr_query_session *found = NULL;
    for (tr_query_session *s = taken; s != NULL; s = s->next)
        if (takes_turns(s) && s->is_paused == is_paused &&
            (found == NULL || s->turned_us < found->turned_us))
            found = s;
    return found;
}

static void turn(tr_query_session *s, int64_t now_us)
{
    if (with_worker(s, s->is_paused ? resume_worker : pause_worker))
        s->is_paused = !s->is_paused;
    s->turned_us = now_us; /* every one is turned once a look at most */
}

static uint32_t count_running(const tr_query_session *taken)
{
    uint32_t count = 0;
    for (const tr_query_session *s = taken; s != NULL; s = s->next)
        count += takes_turns(s) && !s->is_paused;
    return count;
}

/* A cursor that is open, with nobody who fetches from it, computes nothing; how much of the
 * processor it gets does not tell, because beside others that may be none. */
static bool computes(const tr_query_session *s)
{
    return takes_turns(s) && !s->is_paused && atomic_load(&s->is_awaited);
}

static uint32_t count_computing(const tr_query_session *taken)
{
    uint32_t count = 0;
    for (const tr_query_session *s = taken; s != NULL; s = s->next)
        count += computes(s);
    return count;
}

static uint32_t count_silent(tr_query_session *taken)
{
    uint32_t count = 0;
    for (tr_query_session *s = taken; s != NULL; s = s->next)
        count += !atomic_exchange(&s->has_answered, false) && computes(s);
    return count;
}

tr_query_paced tr_query_pace(tr_query_session *taken, const tr_query_pace_terms *terms)
{
    const int64_t now_us = tr_time_monotonic_us();
    for (tr_query_session *s = taken; s != NULL; s = s->next)
        look(s, terms, now_us);
    for (;;) {
        const uint32_t running = count_running(taken);
        tr_query_session *waits = longest(taken, true), *runs = longest(taken, false);
        const bool is_one_waiting = waits != NULL && waits->turned_us < now_us;
        const bool is_one_running = runs != NULL && runs->turned_us < now_us;
        if (is_one_waiting && running < terms->at_once)
            turn(waits, now_us);
        else if (is_one_running && (running > terms->at_once ||
                                    (is_one_waiting && now_us - runs->turned_us >= terms->turn_us)))
            turn(runs, now_us);
        else
            return (tr_query_paced){.running = count_computing(taken),
                                    .silent = count_silent(taken)};
    }
}
