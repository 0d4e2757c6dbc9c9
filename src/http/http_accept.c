/* SPDX-License-Identifier: Apache-2.0 */
/* http_accept.c - connections come in, and are shared out among the event threads.
 *
 *     listening socket --accept--> acceptor thread --the one with the fewest--> event threads
 *
 * MHD has a pool of threads of its own, but there every thread accepts for itself: who happens to
 * be awake takes the connection. Of 16 that come at once one thread may get all and another none,
 * and then they wait for each other while a processor idles. So every event thread is an MHD daemon
 * of one thread without a socket to listen on, and each connection goes to the one that has the
 * fewest: even by construction, however many came and went before.
 *
 * At the limit of connections, and when descriptors run out, nothing is accepted: who comes then
 * waits in the kernel's backlog until one ends. */
#include "base/clock.h"
#include "base/log.h"
#include "http/http_internal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    OUT_OF_WAIT_MS = 250 /* files free descriptors, too, and nobody tells of it */
};

/* Listening ----------------------------------------------------------------------------------- */

/* Splits "127.0.0.1:8080" or "[::1]:8080". */
static tr_code split_listen(const char *listen_on, char host[256], char port[8], tr_err *err)
{
    const char *colon = strrchr(listen_on, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - listen_on);
    if (len > 1 && listen_on[0] == '[' && listen_on[len - 1] == ']') {
        listen_on++;
        len -= 2;
    }
    if (colon == NULL || len == 0 || len > 255 || strlen(colon + 1) == 0 || strlen(colon + 1) > 5)
        return TR_FAIL(err, TR_INVALID, "cannot listen on \"%.100s\": expected HOST:PORT",
                       listen_on);
    (void)snprintf(host, 256, "%.*s", (int)len, listen_on);
    (void)snprintf(port, 8, "%s", colon + 1);
    return TR_OK;
}

static tr_code listen_at(const struct addrinfo *at, const char *listen_on, int *out, tr_err *err)
{
    const int yes = 1;
    const int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return TR_FAIL(err, TR_IO, "make a socket: %s", strerrordesc_np(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        const int cause = errno;
        (void)close(fd);
        return TR_FAIL(err, TR_IO, "listen on %s: %s", listen_on, strerrordesc_np(cause));
    }
    *out = fd;
    return TR_OK;
}

tr_code tr_accept_open(tr_http_server *server, const char *listen_on, tr_err *err)
{
    char host[256], service[8];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    TR_TRY(split_listen(listen_on, host, service, err));
    const int cause = getaddrinfo(host, service, &hints, &found);
    if (cause != 0)
        return TR_FAIL(err, TR_INVALID, "cannot listen on \"%s\": %s", listen_on,
                       gai_strerror(cause));
    const tr_code code = listen_at(found, listen_on, &server->listen_fd, err);
    freeaddrinfo(found);
    TR_TRY(code);
    if (getsockname(server->listen_fd, (struct sockaddr *)&bound, &len) == 0)
        server->port =
            ntohs(bound.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                              : ((struct sockaddr_in *)&bound)->sin_port);
    return TR_OK;
}

/* Sharing out --------------------------------------------------------------------------------- */

static uint32_t load_of(const tr_event_loop *loop)
{
    return loop->open + loop->given;
}

static bool is_full(const tr_http_server *server)
{
    uint32_t all = 0;
    for (uint32_t i = 0; i < server->loop_count; i++)
        all += load_of(&server->loops[i]);
    return all >= server->connections_max;
}

/* Counts a connection in where there are the fewest. */
static tr_event_loop *choose(tr_http_server *server)
{
    pthread_mutex_lock(&server->connections_lock);
    tr_event_loop *least = &server->loops[0];
    for (uint32_t i = 1; i < server->loop_count; i++)
        if (load_of(&server->loops[i]) < load_of(least))
            least = &server->loops[i];
    if (least->given++ == 0)
        least->given_since_us = tr_time_monotonic_us();
    pthread_mutex_unlock(&server->connections_lock);
    return least;
}

/* One that was given has arrived, or never will. The lock is held. */
static void settle(tr_event_loop *loop)
{
    if (loop->given > 0) /* else it was given up for lost */
        loop->given--;
}

static void hand_over(tr_http_server *server, int fd, const struct sockaddr_storage *peer,
                      socklen_t len)
{
    tr_event_loop *loop = choose(server);
    if (MHD_add_connection(loop->daemon, fd, (const struct sockaddr *)peer, len) == MHD_YES)
        return;
    pthread_mutex_lock(&server->connections_lock); /* no memory; MHD has closed it */
    settle(loop);
    pthread_mutex_unlock(&server->connections_lock);
}

void tr_loop_begun(tr_event_loop *loop, tr_connection *c)
{
    tr_http_server *server = loop->server;
    pthread_mutex_lock(&server->connections_lock);
    settle(loop);
    if (c != NULL) {
        c->loop = loop;
        c->after = server->connections;
        if (c->after != NULL)
            c->after->before = c;
        server->connections = c;
        server->connection_count++;
        loop->open++;
    }
    pthread_mutex_unlock(&server->connections_lock);
}

void tr_loop_ended(tr_connection *c)
{
    tr_http_server *server = c->server;
    pthread_mutex_lock(&server->connections_lock);
    if (c->after != NULL)
        c->after->before = c->before;
    *(c->before == NULL ? &server->connections : &c->before->after) = c->after;
    server->connection_count--;
    c->loop->open--;
    pthread_cond_signal(&server->room);
    pthread_mutex_unlock(&server->connections_lock);
}

void tr_loops_forget_lost(tr_http_server *server, int64_t now)
{
    for (uint32_t i = 0; i < server->loop_count; i++) {
        tr_event_loop *loop = &server->loops[i];
        if (loop->given == 0 || now - loop->given_since_us < server->timeout_s * INT64_C(1000000))
            continue;
        tr_log(TR_LOG_WARN, "http", "connections_lost", "count=%u", loop->given);
        loop->given = 0;
        pthread_cond_signal(&server->room);
    }
}

/* Accepting ----------------------------------------------------------------------------------- */

/* False: the server stops. */
static bool wait_for_room(tr_http_server *server)
{
    pthread_mutex_lock(&server->connections_lock);
    while (!atomic_load(&server->is_stopping) && is_full(server))
        pthread_cond_wait(&server->room, &server->connections_lock);
    pthread_mutex_unlock(&server->connections_lock);
    return !atomic_load(&server->is_stopping);
}

/* Until a connection ends, or a while. */
static void wait_for_means(tr_http_server *server, int cause)
{
    const struct timespec until = tr_time_in_ms(OUT_OF_WAIT_MS);
    const int64_t now = tr_time_monotonic_us();
    pthread_mutex_lock(&server->connections_lock);
    if (!atomic_load(&server->is_stopping)) {
        if (now >= server->refused_log_us) {
            server->refused_log_us = now + INT64_C(10000000);
            tr_log(TR_LOG_WARN, "http", "accept_failed", "open=%u text=\"%s\"",
                   server->connection_count, strerrordesc_np(cause));
        }
        (void)pthread_cond_timedwait(&server->room, &server->connections_lock, &until);
    }
    pthread_mutex_unlock(&server->connections_lock);
}

/* What accept fails of that concerns the one connection only, as accept(2) lists it. */
static bool is_of_the_connection(int cause)
{
    switch (cause) {
    case EINTR:
    case ECONNABORTED:
    case EPERM: /* a firewall's rule */
    case EPROTO:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ETIMEDOUT: return true;
    default: return false;
    }
}

static void *accept_all(void *ctx)
{
    tr_http_server *server = ctx;
    while (wait_for_room(server)) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        const int fd = accept4(server->listen_fd, (struct sockaddr *)&peer, &len,
                               SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            hand_over(server, fd, &peer, len);
        else if (!is_of_the_connection(errno))
            wait_for_means(server, errno);
    }
    return NULL;
}

tr_code tr_accept_start(tr_http_server *server, tr_err *err)
{
    const int cause = pthread_create(&server->acceptor, NULL, accept_all, server);
    if (cause != 0)
        return TR_FAIL(err, TR_NO_MEMORY, "start a thread: %s", strerrordesc_np(cause));
    server->has_acceptor = true;
    return TR_OK;
}

void tr_accept_stop(tr_http_server *server)
{
    pthread_mutex_lock(&server->connections_lock);
    atomic_store(&server->is_stopping, true);
    pthread_cond_signal(&server->room);
    pthread_mutex_unlock(&server->connections_lock);
    if (server->listen_fd < 0)
        return;
    (void)shutdown(server->listen_fd, SHUT_RDWR); /* ends an accept that waits */
    if (server->has_acceptor)
        pthread_join(server->acceptor, NULL);
    (void)close(server->listen_fd);
    server->listen_fd = -1;
}
