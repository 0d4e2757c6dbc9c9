/* SPDX-License-Identifier: Apache-2.0 */
/* listener.c - the port and the threads behind it; see sql.h and sql_internal.h. */
#include "base/limits.h"
#include "base/log.h"
#include "base/priority.h"
#include "sql/sql_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 64, CONNECTIONS_MAX = 100, STACK_BYTES = 1024 * 1024 };

/* Connections --------------------------------------------------------------------------------- */

void tr_sql_set_running(tr_sql_connection *c, tr_query_session *worker)
{
    (void)pthread_mutex_lock(&c->sql->mutex);
    c->running = worker;
    /* A cancel, or the server's end, that came while there was nobody to kill. */
    if (worker != NULL && (atomic_load(&c->is_cancelled) || atomic_load(&c->sql->is_stopping)))
        tr_query_session_kill(worker);
    (void)pthread_mutex_unlock(&c->sql->mutex);
}

void tr_sql_cancel(tr_sql *sql, uint32_t number, uint32_t secret)
{
    (void)pthread_mutex_lock(&sql->mutex);
    for (tr_sql_connection *c = sql->connections; c != NULL; c = c->next)
        if (c->number == number && c->secret == secret) {
            atomic_store(&c->is_cancelled, true);
            if (c->running != NULL)
                tr_query_session_kill(c->running);
        }
    (void)pthread_mutex_unlock(&sql->mutex);
}

static void leave(tr_sql_connection *c)
{
    tr_sql *sql = c->sql;
    (void)pthread_mutex_lock(&sql->mutex);
    tr_sql_connection **at = &sql->connections;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    const int fd = c->wire.fd;
    (void)close(fd); /* under the lock: tr_sql_close shuts down what is in the list */
    sql->count--;
    (void)pthread_cond_broadcast(&sql->changed);
    (void)pthread_mutex_unlock(&sql->mutex);
    tr_free(c);
}

static void *serve_connection(void *arg)
{
    tr_sql_connection *c = arg;
    tr_thread_stand_back(TR_NICE_SESSION);
    tr_sql_serve(c, c->wire.fd);
    leave(c);
    return NULL;
}

static bool start_thread(tr_sql_connection *c)
{
    pthread_t thread;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    const bool is_on = pthread_create(&thread, &attributes, serve_connection, c) == 0;
    (void)pthread_attr_destroy(&attributes);
    return is_on;
}

static bool is_local(const struct sockaddr_storage *peer)
{
    if (peer->ss_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)peer)->sin_addr.s_addr) >> 24 == 127;
    return peer->ss_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)peer)->sin6_addr);
}

/* One too many is told so, without reading what it sends. */
static void turn_away(tr_sql *sql, int fd)
{
    tr_err err = {0};
    tr_sql_connection c = {.sql = sql};
    tr_wire_open(&c.wire, fd);
    tr_sql_put_error(&c, "FATAL", "53300", "Session Limit Reached");
    (void)!tr_wire_flush(&c.wire, &err);
    tr_wire_close(&c.wire);
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
}

/* A client that is no more, by a cable or a firewall, is found after two minutes of silence. */
static void set_up(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, 60},
                   {IPPROTO_TCP, TCP_KEEPINTVL, 10},
                   {IPPROTO_TCP, TCP_KEEPCNT, 6}};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
}

static void welcome(tr_sql *sql, int fd, const struct sockaddr_storage *peer)
{
    tr_sql_connection *c = NULL;
    set_up(fd);
    (void)pthread_mutex_lock(&sql->mutex);
    if (sql->count < sql->options.connections_max)
        c = tr_alloc_zeroed(1, sizeof *c);
    if (c != NULL) {
        *c = (tr_sql_connection){
            .sql = sql, .is_local = is_local(peer), .number = ++sql->last_number};
        c->wire.fd = fd;
        tr_random_bytes((uint8_t *)&c->secret, sizeof c->secret);
        c->next = sql->connections;
        sql->connections = c;
        sql->count++;
    }
    (void)pthread_mutex_unlock(&sql->mutex);
    if (c == NULL)
        turn_away(sql, fd);
    else if (!start_thread(c))
        leave(c);
}

static void *accept_all(void *arg)
{
    tr_sql *sql = arg;
    while (!atomic_load(&sql->is_stopping)) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        struct pollfd fds[] = {{.fd = sql->listen_fd, .events = POLLIN},
                               {.fd = sql->stop_fd[0], .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 || fds[0].revents == 0)
            continue;
        const int fd = accept4(sql->listen_fd, (struct sockaddr *)&peer, &len,
                               SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            welcome(sql, fd, &peer);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            (void)poll(&fds[1], 1, 200); /* until somebody leaves; not a busy loop */
    }
    return NULL;
}

/* The port ------------------------------------------------------------------------------------ */

static tr_code listen_at(tr_sql *sql, const struct addrinfo *at, tr_err *err)
{
    const int yes = 1;
    sql->listen_fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sql->listen_fd < 0)
        return TR_FAIL(err, TR_IO, "make a socket: %s", strerrordesc_np(errno));
    (void)setsockopt(sql->listen_fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(sql->listen_fd, at->ai_addr, at->ai_addrlen) != 0 ||
        listen(sql->listen_fd, BACKLOG) != 0)
        return TR_FAIL(err, TR_IO, "listen on %s: %s", sql->options.listen, strerrordesc_np(errno));
    return TR_OK;
}

static tr_code open_port(tr_sql *sql, tr_err *err)
{
    char host[256];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    const char *colon = strrchr(sql->options.listen, ':');
    if (colon == NULL || colon == sql->options.listen || colon - sql->options.listen > 200)
        return TR_FAIL(err, TR_INVALID, "pg-listen: \"%.100s\" is not of the form 127.0.0.1:5433",
                       sql->options.listen);
    const bool has_brackets = sql->options.listen[0] == '[' && colon[-1] == ']';
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - sql->options.listen) - 2 * has_brackets,
                   sql->options.listen + has_brackets);
    const int cause = getaddrinfo(host, colon + 1, &hints, &found);
    if (cause != 0)
        return TR_FAIL(err, TR_INVALID, "pg-listen: cannot listen on \"%s\": %s",
                       sql->options.listen, gai_strerror(cause));
    const tr_code code = listen_at(sql, found, err);
    freeaddrinfo(found);
    TR_TRY(code);
    if (getsockname(sql->listen_fd, (struct sockaddr *)&bound, &len) != 0)
        return TR_FAIL(err, TR_IO, "listen on %s: %s", sql->options.listen, strerrordesc_np(errno));
    const unsigned port = ntohs(bound.ss_family == AF_INET6
                                    ? ((struct sockaddr_in6 *)&bound)->sin6_port
                                    : ((struct sockaddr_in *)&bound)->sin_port);
    (void)snprintf(sql->address, sizeof sql->address, "%s%s%s:%u", has_brackets ? "[" : "", host,
                   has_brackets ? "]" : "", port);
    return TR_OK;
}

static tr_code open_tls(tr_sql *sql, tr_err *err)
{
    if (sql->options.tls_certificate == NULL)
        return TR_OK;
    sql->tls = SSL_CTX_new(TLS_server_method());
    if (sql->tls == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for TLS");
    (void)SSL_CTX_set_min_proto_version(sql->tls, TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(sql->tls,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_options(sql->tls, SSL_OP_NO_RENEGOTIATION);
    if (SSL_CTX_use_certificate_chain_file(sql->tls, sql->options.tls_certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(sql->tls, sql->options.tls_key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(sql->tls) != 1)
        return TR_FAIL(err, TR_INVALID,
                       "pg-listen: tls-certificate and tls-key are no pair of PEM files");
    return TR_OK;
}

static tr_code start(tr_sql *sql, tr_err *err)
{
    TR_TRY(open_tls(sql, err));
    TR_TRY(open_port(sql, err));
    if (pipe2(sql->stop_fd, O_CLOEXEC) != 0)
        return TR_FAIL(err, TR_IO, "start Query Service: %s", strerrordesc_np(errno));
    if (pthread_create(&sql->thread, NULL, accept_all, sql) != 0)
        return TR_FAIL(err, TR_NO_MEMORY, "no thread for Query Service");
    sql->has_thread = true;
    return TR_OK;
}

tr_code tr_sql_open(const tr_sql_options *options, tr_sql **out, tr_err *err)
{
    tr_sql *sql = tr_alloc_zeroed(1, sizeof *sql);
    if (sql == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for Query Service");
    sql->options = *options;
    if (sql->options.connections_max == 0)
        sql->options.connections_max = CONNECTIONS_MAX;
    if (sql->options.temporary_bytes_max == 0)
        sql->options.temporary_bytes_max = TR_SPILL_BYTES_MAX;
    sql->listen_fd = sql->stop_fd[0] = sql->stop_fd[1] = -1;
    (void)pthread_mutex_init(&sql->mutex, NULL);
    (void)pthread_cond_init(&sql->changed, NULL);
    const tr_code code = start(sql, err);
    if (code == TR_OK)
        *out = sql;
    else
        tr_sql_close(sql);
    return code;
}

const char *tr_sql_address(const tr_sql *sql)
{
    return sql->address;
}

static void end_connections(tr_sql *sql)
{
    (void)pthread_mutex_lock(&sql->mutex);
    for (tr_sql_connection *c = sql->connections; c != NULL; c = c->next) {
        (void)shutdown(c->wire.fd, SHUT_RD);
        atomic_store(&c->is_cancelled, true);
        if (c->running != NULL)
            tr_query_session_kill(c->running);
    }
    while (sql->count > 0)
        (void)pthread_cond_wait(&sql->changed, &sql->mutex);
    (void)pthread_mutex_unlock(&sql->mutex);
}

void tr_sql_close(tr_sql *sql)
{
    if (sql == NULL)
        return;
    atomic_store(&sql->is_stopping, true);
    if (sql->has_thread) {
        (void)!write(sql->stop_fd[1], "x", 1);
        (void)pthread_join(sql->thread, NULL);
        end_connections(sql);
    }
    const int fds[] = {sql->listen_fd, sql->stop_fd[0], sql->stop_fd[1]};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    SSL_CTX_free(sql->tls);
    (void)pthread_cond_destroy(&sql->changed);
    (void)pthread_mutex_destroy(&sql->mutex);
    tr_free(sql);
}
