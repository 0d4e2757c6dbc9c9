/* SPDX-License-Identifier: Apache-2.0 */
/* http_deadline.c - nobody holds a connection for nothing.
 *
 * MHD closes what is silent. A client that sends a byte now and then is never silent, so every
 * phase has a deadline of its own: the head of a request must be there soon after the silence
 * MHD allows; a body and an answer must move at a pace that any real line has. When connections
 * run out, those that have waited longest without asking anything make room.
 *
 * A late connection's socket is shut down, not closed: MHD then sees its end and cleans up. The
 * list's lock is held, and MHD tells us of an end before it closes the descriptor, so it cannot
 * be another's by now.
 */
#include "base/clock.h"
#include "base/log.h"
#include "http/http_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    HEAD_S = 10,            /* for a head, beyond the silence allowed; at most as long as that */
    GRACE_S = 20,           /* before a pace is asked for */
    PACE_BYTES_PER_S = 1024,
    TICK_MS = 250,
    LEFT_TICKS = 4,
    PRESSED_WAIT_US = 250 * 1000 /* nobody younger than this makes room */
};

#define SECOND_US INT64_C(1000000)

void tr_phase_enter(tr_connection *c, tr_phase phase, uint64_t bytes)
{
    const int64_t now = tr_time_monotonic_us();
    const int64_t paced = (GRACE_S + (int64_t)(bytes / PACE_BYTES_PER_S)) * SECOND_US;
    const int64_t silence = c->server->timeout_s;
    int64_t deadline = INT64_MAX;
    switch (phase) {
    case TR_PHASE_WAITING:
        atomic_store_explicit(&c->since_us, now, memory_order_relaxed);
        deadline = now + (silence + (silence < HEAD_S ? silence : HEAD_S)) * SECOND_US;
        break;
    case TR_PHASE_HEAD: /* the deadline of WAITING holds */
        deadline = atomic_load_explicit(&c->deadline_us, memory_order_relaxed);
        break;
    case TR_PHASE_BODY:
        if (bytes == 0)
            c->body_since_us = now;
        deadline = c->body_since_us + paced;
        break;
    case TR_PHASE_SENDING:
        deadline = now + paced;
        break;
    case TR_PHASE_WORKING:
    case TR_PHASE_ANSWERED:
        break;
    }
    atomic_store_explicit(&c->deadline_us, deadline, memory_order_relaxed);
    atomic_store_explicit(&c->phase, (int)phase, memory_order_relaxed);
}

static void cut_late(tr_http_server *server, int64_t now)
{
    uint32_t count = 0;
    for (tr_connection *c = server->connections; c != NULL; c = c->after) {
        if (now < atomic_load_explicit(&c->deadline_us, memory_order_relaxed))
            continue;
        (void)shutdown(c->fd, SHUT_RDWR);
        atomic_store_explicit(&c->deadline_us, INT64_MAX, memory_order_relaxed);
        count++;
    }
    if (count > 0)
        tr_log(TR_LOG_INFO, "http", "connections_late", "count=%u", count);
}

typedef struct waiting {
    int64_t since_us;
    tr_connection *connection;
} waiting;

static int by_age(const void *a, const void *b)
{
    const int64_t one = ((const waiting *)a)->since_us, two = ((const waiting *)b)->since_us;
    return (one > two) - (one < two);
}

/* Whether the client has closed its side in the middle of a request. MHD waits for an edge of epoll
 * that has come already when the end arrived together with the last bytes. */
static bool is_left(const tr_connection *c)
{
    char byte;
    return atomic_load_explicit(&c->phase, memory_order_relaxed) <= TR_PHASE_BODY &&
           recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void cut_left(const tr_http_server *server)
{
    for (const tr_connection *c = server->connections; c != NULL; c = c->after)
        if (is_left(c))
            (void)shutdown(c->fd, SHUT_RDWR);
}

/* Above seven eighths of what there may be, those that wait longest go until three quarters are
 * left. */
static void make_room(tr_http_server *server, int64_t now)
{
    uint32_t count = 0;
    const uint32_t wanted = server->connections_max / 4 * 3;
    if (server->connection_count < server->connections_max / 8 * 7)
        return;
    waiting *list = tr_alloc_array(server->connection_count, sizeof *list);
    if (list == NULL)
        return;
    for (tr_connection *c = server->connections; c != NULL; c = c->after) {
        const int phase = atomic_load_explicit(&c->phase, memory_order_relaxed);
        const int64_t since = atomic_load_explicit(&c->since_us, memory_order_relaxed);
        if (phase <= TR_PHASE_HEAD && now - since >= PRESSED_WAIT_US)
            list[count++] = (waiting){since, c};
    }
    qsort(list, count, sizeof *list, by_age);
    if (count > server->connection_count - wanted)
        count = server->connection_count - wanted;
    for (uint32_t i = 0; i < count; i++)
        (void)shutdown(list[i].connection->fd, SHUT_RDWR);
    tr_free(list);
    if (count > 0 && now >= server->pressed_log_us) {
        server->pressed_log_us = now + 10 * SECOND_US; /* it may happen at every tick */
        tr_log(TR_LOG_WARN, "http", "connections_pressed", "open=%u cut=%u",
               server->connection_count, count);
    }
}

static void *watch(void *ctx)
{
    tr_http_server *server = ctx;
    unsigned tick = 0;
    pthread_mutex_lock(&server->connections_lock);
    while (server->has_deadline_thread) {
        const struct timespec until = tr_time_in_ms(TICK_MS);
        (void)pthread_cond_timedwait(&server->deadline_wake, &server->connections_lock, &until);
        const int64_t now = tr_time_monotonic_us();
        cut_late(server, now);
        if (++tick % LEFT_TICKS == 0)
            cut_left(server);
        make_room(server, now);
        tr_loops_forget_lost(server, now);
    }
    pthread_mutex_unlock(&server->connections_lock);
    return NULL;
}

tr_code tr_deadlines_start(tr_http_server *server, tr_err *err)
{
    server->has_deadline_thread = true;
    const int cause = pthread_create(&server->deadline_thread, NULL, watch, server);
    if (cause == 0)
        return TR_OK;
    server->has_deadline_thread = false;
    return TR_FAIL(err, TR_NO_MEMORY, "start a thread: %s", strerror(cause));
}

void tr_deadlines_stop(tr_http_server *server)
{
    if (!server->has_deadline_thread)
        return;
    pthread_mutex_lock(&server->connections_lock);
    server->has_deadline_thread = false;
    pthread_cond_signal(&server->deadline_wake);
    pthread_mutex_unlock(&server->connections_lock);
    pthread_join(server->deadline_thread, NULL);
}
