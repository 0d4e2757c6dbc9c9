/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - workers of sessions: started before they are asked for, kept between statements, not too
 * many at once, and given in turn; see query_internal.h.
 *
 *     ready    started, nobody's yet: a worker depends on no sandbox until it is given files
 *     taken    runs a statement, or holds a cursor
 *     parked   between two statements of a sandbox; any session of that sandbox may take it
 *     tickets  who waits: first come, first served. With somebody waiting nothing is parked
 *
 * taken + parked <= workers_max, and one sandbox has at most three quarters taken: cursors that are
 * left open keep theirs, and must not keep everybody else's. Who asks takes what is parked for it,
 * else one that is ready; what is parked for others goes, the longest parked first. All are started
 * by one thread, the keeper, because a worker dies with the thread that started it.
 */
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/priority.h"
#include "query_internal.h"

#include <poll.h>
#include <pthread.h>

enum {
    LOOK_MS = 100,
    PARKED_S = 10,
    READY_COUNT = 2,
    WORKERS_MAX = 32,
    RETRY_S = 5,
    MUCH_US = 500000, /* of the processor, for one statement */
    PACE_TURN_US = 500000
};

typedef struct ticket {
    struct ticket *next;
    int64_t sandbox;
    tr_query_session *session; /* given */
    tr_code code;
    tr_err err;
    bool is_done;
} ticket;

struct tr_query_pool {
    tr_query *query;
    uint32_t workers_max;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t work;  /* for the keeper */
    pthread_cond_t given; /* for who waits */
    tr_query_session *ready, *parked; /* by ->next; parked: the last one first */
    tr_query_session *taken;          /* by ->next */
    uint32_t ready_count, parked_count, taken_count;
    ticket *first, **last;
    pthread_t keeper;
    bool has_keeper, is_stopping;
    int64_t failed_us; /* when the last start failed; 0: it did not */
};

tr_code tr_query_pool_open(tr_query *query, uint32_t workers_max, tr_query_pool **out, tr_err *err)
{
    tr_query_pool *pool = tr_alloc_zeroed(1, sizeof *pool);
    if (pool == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the SQL workers");
    pool->query = query;
    pool->workers_max = workers_max > 0 ? workers_max : WORKERS_MAX;
    pool->last = &pool->first;
    (void)pthread_mutex_init(&pool->lock, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    (void)pthread_cond_init(&pool->given, NULL);
    *out = pool;
    return TR_OK;
}

static void close_all(tr_query_session *list)
{
    while (list != NULL) {
        tr_query_session *next = list->next;
        tr_query_session_end(list);
        list = next;
    }
}

void tr_query_pool_close(tr_query_pool *pool)
{
    if (pool == NULL)
        return;
    (void)pthread_mutex_lock(&pool->lock);
    pool->is_stopping = true;
    (void)pthread_cond_signal(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    if (pool->has_keeper)
        (void)pthread_join(pool->keeper, NULL);
    close_all(pool->ready);
    close_all(pool->parked);
    (void)pthread_cond_destroy(&pool->given);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->lock);
    tr_free(pool);
}

static void wait_until(tr_query_pool *pool, pthread_cond_t *on, int64_t ms)
{
    const struct timespec until = tr_time_in_ms(ms);
    (void)pthread_cond_timedwait(on, &pool->lock, &until);
}

/* The keeper ----------------------------------------------------------------------------------- */

/* The place of the longest parked; of NULL when there is none. */
static tr_query_session **oldest(tr_query_pool *pool)
{
    tr_query_session **at = &pool->parked;
    while (*at != NULL && (*at)->next != NULL)
        at = &(*at)->next;
    return at;
}

static tr_query_session *unpark(tr_query_pool *pool, tr_query_session **at)
{
    tr_query_session *s = *at;
    *at = s->next;
    pool->parked_count--;
    return s;
}

static void note_taken(tr_query_pool *pool, tr_query_session *s, int64_t sandbox)
{
    s->sandbox = sandbox;
    atomic_store(&s->deadline_us, 0);
    s->next = pool->taken;
    pool->taken = s;
    pool->taken_count++;
}

static void forget_taken(tr_query_pool *pool, tr_query_session *s)
{
    tr_query_session **at = &pool->taken;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    pool->taken_count -= !s->is_lost;
}

/* A cursor that nobody fetches from keeps its worker, but not beyond the statement's deadline. The
 * worker is killed, and its place is free; its owner is told when it asks. Whoever waits for an
 * answer sees to the deadline himself, before GRACE_US are over. */
static bool lose_one(tr_query_pool *pool)
{
    enum { GRACE_US = 500000 };
    const int64_t now_us = tr_time_monotonic_us() - GRACE_US;
    for (tr_query_session *s = pool->taken; s != NULL; s = s->next) {
        const int64_t deadline_us = atomic_load(&s->deadline_us);
        if (s->is_lost || deadline_us == 0 || deadline_us > now_us)
            continue;
        s->is_lost = true;
        pool->taken_count--;
        tr_query_session_kill(s);
        return true;
    }
    return false;
}

/* Whether a sandbox may take one more. */
static bool has_share(const tr_query_pool *pool, int64_t sandbox)
{
    uint32_t count = 0;
    for (const tr_query_session *s = pool->taken; s != NULL && sandbox != 0; s = s->next)
        count += s->sandbox == sandbox && !s->is_lost;
    return count < (pool->workers_max * 3 + 3) / 4;
}

/* The first who waits and may take one; NULL: nobody. */
static ticket *next_ticket(const tr_query_pool *pool)
{
    ticket *t = pool->first;
    while (t != NULL && !has_share(pool, t->sandbox))
        t = t->next;
    return t;
}

static void leave_queue(tr_query_pool *pool, ticket *mine)
{
    ticket **at = &pool->first;
    while (*at != mine)
        at = &(*at)->next;
    *at = mine->next;
    if (mine->next == NULL)
        pool->last = at;
}

static void give(tr_query_pool *pool, ticket *t, tr_query_session *session, tr_code code,
                 const tr_err *err)
{
    leave_queue(pool, t);
    t->session = session;
    t->code = code;
    if (code != TR_OK)
        t->err = *err;
    t->is_done = true;
    if (code == TR_OK)
        note_taken(pool, session, t->sandbox);
    (void)pthread_cond_broadcast(&pool->given);
}

/* Starts one without the lock. */
static void start_one(tr_query_pool *pool)
{
    tr_query_session *made = NULL;
    tr_err err = {0};
    (void)pthread_mutex_unlock(&pool->lock);
    const tr_code code = tr_query_session_make(pool->query, &made, &err);
    (void)pthread_mutex_lock(&pool->lock);
    pool->failed_us = code == TR_OK ? 0 : tr_time_monotonic_us();
    if (code == TR_OK) {
        made->next = pool->ready;
        pool->ready = made;
        pool->ready_count++;
    } else if (pool->first != NULL) {
        give(pool, pool->first, NULL, code, &err);
    } else {
        tr_log(TR_LOG_WARN, "query", "worker_not_started", "reason=\"%s\"", err.text);
    }
}

static void drop(tr_query_pool *pool, tr_query_session *session)
{
    (void)pthread_mutex_unlock(&pool->lock);
    tr_query_session_end(session);
    (void)pthread_mutex_lock(&pool->lock);
}

static bool is_over(const tr_query_session *s)
{
    return tr_time_monotonic_us() - s->parked_us > (int64_t)PARKED_S * 1000000;
}

/* One thing that is to be done; false: there is none. */
static bool step(tr_query_pool *pool)
{
    ticket *waiting = next_ticket(pool);
    const bool is_waited_for = waiting != NULL;
    const bool has_room = pool->taken_count + pool->parked_count < pool->workers_max;
    const int64_t since_us = tr_time_monotonic_us() - pool->failed_us;
    const bool may_start = pool->failed_us == 0 || since_us > (int64_t)RETRY_S * 1000000;
    if (is_waited_for && has_room && pool->ready != NULL) {
        tr_query_session *s = pool->ready;
        pool->ready = s->next;
        pool->ready_count--;
        give(pool, waiting, s, TR_OK, NULL);
        return true;
    }
    if ((is_waited_for && has_room) || (pool->ready_count < READY_COUNT && may_start)) {
        start_one(pool);
        return true;
    }
    tr_query_session **old = oldest(pool);
    if (*old != NULL && (is_waited_for || is_over(*old))) {
        drop(pool, unpark(pool, old));
        return true;
    }
    return pool->first != NULL && lose_one(pool);
}

static void *keep(void *arg)
{
    tr_query_pool *pool = arg;
    const tr_query_pace_terms terms = {
        .at_once = tr_thread_processors(), .much_us = MUCH_US, .turn_us = PACE_TURN_US};
    tr_thread_stand_back(TR_NICE_SESSION); /* a worker that starts takes after it */
    (void)pthread_mutex_lock(&pool->lock);
    while (!pool->is_stopping) {
        const tr_query_paced paced = tr_query_pace(pool->taken, &terms);
        tr_left_over_want(paced.running);
        tr_homes_want(paced.silent > 0);
        /* Who takes one that is parked does not wake this thread. */
        if (!step(pool))
            wait_until(pool, &pool->work,
                       pool->taken != NULL || pool->parked != NULL ? LOOK_MS
                       : pool->first != NULL                       ? 500
                                                                   : 60000);
    }
    tr_left_over_want(0);
    tr_homes_want(false);
    while (pool->first != NULL) {
        const tr_err err = {.text = "the server is shutting down"};
        give(pool, pool->first, NULL, TR_CANCELLED, &err);
    }
    (void)pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Asking --------------------------------------------------------------------------------------- */

static tr_query_session *take_parked(tr_query_pool *pool, int64_t sandbox)
{
    tr_query_session **at = &pool->parked;
    while (*at != NULL && (*at)->sandbox != sandbox)
        at = &(*at)->next;
    if (*at == NULL)
        return NULL;
    tr_query_session *s = unpark(pool, at);
    note_taken(pool, s, sandbox);
    return s;
}

tr_code tr_query_check_patience(const tr_query_patience *p, const char *late, tr_err *err)
{
    struct pollfd client = {.fd = p->client_fd, .events = POLLRDHUP};
    if (p->cancel != NULL && atomic_load(p->cancel))
        return TR_FAIL(err, TR_CANCELLED, "canceling statement due to user request");
    if (p->client_fd >= 0 && poll(&client, 1, 0) > 0)
        return TR_FAIL(err, TR_CANCELLED, "the client has gone");
    if (p->deadline_us != 0 && tr_time_monotonic_us() > p->deadline_us)
        return TR_FAIL(err, TR_LIMIT, "%s", late);
    return TR_OK;
}

static tr_code queue(tr_query_pool *pool, const tr_query_turn *turn, tr_query_session **out,
                     tr_err *err)
{
    ticket mine = {.sandbox = turn->sandbox};
    tr_code code = TR_OK;
    const tr_query_patience patience = {
        .cancel = turn->cancel,
        .deadline_us =
            tr_time_monotonic_us() + (int64_t)tr_query_deadline_s(pool->query) * 1000000,
        .client_fd = turn->client_fd};
    *pool->last = &mine;
    pool->last = &mine.next;
    (void)pthread_cond_signal(&pool->work);
    while (!mine.is_done && code == TR_OK) {
        wait_until(pool, &pool->given, LOOK_MS);
        if (!mine.is_done)
            code = tr_query_check_patience(
                &patience, "stopped: too many statements ran for it to have its turn", err);
    }
    if (!mine.is_done) {
        leave_queue(pool, &mine);
        return code;
    }
    if (mine.code != TR_OK) {
        if (err != NULL)
            *err = mine.err;
        return mine.code;
    }
    *out = mine.session;
    return TR_OK;
}

static tr_code take(tr_query_pool *pool, const tr_query_turn *turn, tr_query_session **out,
                    tr_err *err)
{
    tr_code code = TR_OK;
    (void)pthread_mutex_lock(&pool->lock);
    if (!pool->has_keeper && !pool->is_stopping)
        pool->has_keeper = pthread_create(&pool->keeper, NULL, keep, pool) == 0;
    if (!pool->has_keeper)
        code = TR_FAIL(err, TR_NO_MEMORY, "no thread for the SQL workers");
    const bool is_first = pool->first == NULL && has_share(pool, turn->sandbox);
    tr_query_session *s = code == TR_OK && is_first ? take_parked(pool, turn->sandbox) : NULL;
    if (code == TR_OK && s == NULL)
        code = queue(pool, turn, &s, err);
    (void)pthread_mutex_unlock(&pool->lock);
    if (code == TR_OK)
        *out = s;
    return code;
}

/* One that has died while nobody looked is none. */
tr_code tr_query_pool_take(tr_query_pool *pool, const tr_query_turn *turn, tr_query_session **out,
                           tr_err *err)
{
    for (;;) {
        tr_query_session *s = NULL;
        TR_TRY(take(pool, turn, &s, err));
        struct pollfd answers = {.fd = s->child.result_read, .events = POLLIN};
        if (poll(&answers, 1, 0) == 0) {
            *out = s;
            return TR_OK;
        }
        tr_query_pool_give_back(pool, s, false);
    }
}

void tr_query_pool_give_back(tr_query_pool *pool, tr_query_session *s, bool is_whole)
{
    (void)pthread_mutex_lock(&pool->lock);
    forget_taken(pool, s);
    is_whole = is_whole && !s->is_lost && !atomic_load(&s->is_slow); /* the keeper's, until now */
    const bool is_parked = is_whole && s->sandbox != 0 && pool->first == NULL && !pool->is_stopping;
    if (is_parked) {
        s->parked_us = tr_time_monotonic_us();
        s->next = pool->parked;
        pool->parked = s;
        pool->parked_count++;
    }
    /* To the next in the queue, when it is of the same sandbox: nothing is started for it. */
    const bool is_handed_on = is_whole && s->sandbox != 0 && pool->first != NULL &&
                              pool->first->sandbox == s->sandbox;
    if (is_handed_on)
        give(pool, pool->first, s, TR_OK, NULL);
    (void)pthread_cond_signal(&pool->work);
    (void)pthread_mutex_unlock(&pool->lock);
    if (!is_parked && !is_handed_on)
        tr_query_session_end(s);
}
