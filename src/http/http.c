/* SPDX-License-Identifier: Apache-2.0 */
/* http.c - a server's life, and the callbacks of libmicrohttpd (MHD); see http_internal.h. */
#include "http/http_internal.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/priority.h"

#include <limits.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_DEFAULT = 8,
    CONNECTIONS_DEFAULT = 4096,
    TIMEOUT_DEFAULT_S = 30,
    /* URL, headers, MHD's list of them, and the answer's head */
    CONNECTION_MEMORY_BYTES = 48 * 1024,
    FILES_RESERVED = 1024, /* for the catalog, the lake, the workers */
    CONNECTIONS_MIN = 16,
    STOP_WAIT_MS = 4000, /* the jobs need their share of the ten seconds of an end */
    STOP_STEP_MS = 5
};
/* A request's arena, and what a thread keeps of it for the next one. */
#define ARENA_BYTES_MAX ((size_t)256 << 20)
#define ARENA_KEPT_BYTES ((size_t)1 << 20)
/* What is read and thrown away of a body that is too large or that the disk did not take, so that
 * its sender reads the answer instead of a reset. */
#define DISCARD_BYTES_MAX (UINT64_C(64) << 20)

/* Arenas, one a thread ------------------------------------------------------------------------ */

static pthread_key_t arena_key;
static pthread_once_t arena_once = PTHREAD_ONCE_INIT;

static void free_arena(void *arena)
{
    tr_arena_free(arena);
    tr_free(arena);
}

static void make_arena_key(void)
{
    TR_ASSERT(pthread_key_create(&arena_key, free_arena) == 0);
}

tr_arena *tr_http_arena(void)
{
    (void)pthread_once(&arena_once, make_arena_key);
    tr_arena *arena = pthread_getspecific(arena_key);
    if (arena != NULL)
        return arena;
    arena = tr_alloc_zeroed(1, sizeof *arena);
    if (arena == NULL || pthread_setspecific(arena_key, arena) != 0) {
        tr_free(arena);
        return NULL;
    }
    arena->bytes_max = ARENA_BYTES_MAX;
    return arena;
}

void tr_http_arena_done(tr_arena *arena)
{
    if (arena->bytes > ARENA_KEPT_BYTES)
        tr_arena_free(arena);
    else
        tr_arena_reset(arena);
}

/* Requests ------------------------------------------------------------------------------------ */

static void clear_request(tr_connection *c)
{
    if (c->made != NULL)
        MHD_destroy_response(c->made);
    c->made = NULL;
    tr_http_body_clear(&c->body);
    c->refusal = 0;
    c->must_close = false;
    if (c->is_counted)
        (void)atomic_fetch_sub(&c->server->under_way, 1);
    c->is_counted = false;
}

/* Ends MHD's copy of the query, which is ours to parse, at its start. Its own parser, when there
 * are more parameters than its memory holds, leaves the connection without an answer. */
static void hide_query(const char *uri)
{
    char *query = strchr((char *)(uintptr_t)uri, '?');
    if (query != NULL)
        query[1] = '\0';
}

/* The request line is there, its headers may not be. What is returned is the request's context. */
static void *on_request_line(void *ctx, const char *uri, struct MHD_Connection *mhd)
{
    (void)ctx;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    tr_connection *c = info == NULL ? NULL : info->socket_context;
    if (c == NULL)
        return NULL;
    if (c->server->has_homes)
        tr_thread_go_home((uint32_t)(c->loop - c->server->loops));
    c->uri.len = 0;
    c->uri_in_mhd = NULL;
    if (uri != NULL && tr_buf_append(&c->uri, tr_str_of(uri), NULL) == TR_OK) {
        c->uri_in_mhd = uri;
        hide_query(uri);
    }
    tr_phase_enter(c, TR_PHASE_HEAD, 0);
    return c;
}

/* Answers before the body was read: MHD then closes the connection. */
static enum MHD_Result refuse_now(tr_connection *c, int status, const char *text)
{
    c->must_close = true;
    tr_http_refuse(c, status, text);
    tr_http_make(c);
    return tr_http_send(c);
}

static enum MHD_Result begin_body(tr_connection *c, uint64_t content_length)
{
    const tr_http_handler *handler = &c->server->handler;
    const char *text = "out of memory";
    tr_http_request head;
    tr_arena *arena = tr_http_arena();
    int status = arena == NULL ? 503 : tr_http_parse_head(c, arena, &head, &text);
    c->body.bytes_max = TR_BODY_BYTES_MAX;
    if (status == 0 && handler->body_max != NULL)
        c->body.bytes_max = handler->body_max(handler->ctx, &head);
    if (status == 0 && content_length > c->body.bytes_max) {
        status = 413;
        text = "the body is too large";
    }
    if (arena != NULL)
        tr_http_arena_done(arena);
    return status == 0 ? MHD_YES : refuse_now(c, status, text);
}

/* All headers are there, nothing of the body. */
static enum MHD_Result on_head(tr_connection *c)
{
    const char *text = NULL;
    uint64_t content_length = 0;
    bool is_chunked = false;
    c->is_counted = true;
    (void)atomic_fetch_add(&c->server->under_way, 1);
    const int status = tr_http_check_head(c, &text);
    if (status != 0)
        return refuse_now(c, status, text);
    tr_phase_enter(c, TR_PHASE_BODY, 0);
    return tr_http_has_body(c->mhd, &content_length, &is_chunked)
               ? begin_body(c, is_chunked ? 0 : content_length)
               : MHD_YES;
}

static enum MHD_Result on_body(tr_connection *c, tr_str bytes)
{
    tr_err err = {0};
    if (c->refusal != 0) {
        c->body.bytes += bytes.len;
        return c->body.bytes > DISCARD_BYTES_MAX ? MHD_NO : MHD_YES;
    }
    const tr_code code =
        tr_http_body_add(&c->body, c->server->scratch_folder, bytes, &err);
    tr_phase_enter(c, TR_PHASE_BODY, c->body.bytes);
    if (code == TR_OK)
        return MHD_YES;
    if (code != TR_LIMIT)
        tr_log(TR_LOG_ERROR, "http", "body_not_kept", "text=\"%s\"", err.text);
    tr_http_body_clear(&c->body);
    c->refusal = tr_code_http_status(code);
    c->refusal_text = code == TR_LIMIT ? "the body is too large" : tr_code_title(code);
    return MHD_YES;
}

bool tr_http_handle(tr_connection *c, bool may_defer)
{
    const tr_http_handler *handler = &c->server->handler;
    const char *text = "out of memory";
    tr_http_request request;
    tr_err err = {0};
    tr_arena *arena = tr_http_arena();
    int status = arena == NULL ? 503 : tr_http_parse_head(c, arena, &request, &text);
    if (status == 0) {
        const tr_code code = tr_http_body_whole(&c->body, &request.body, &err);
        status = code == TR_OK ? 0 : tr_code_http_status(code);
        text = code == TR_OK ? text : tr_code_title(code);
    }
    request.may_defer = may_defer;
    if (status == 0)
        handler->handle(handler->ctx, &request, &c->response);
    else
        tr_http_refuse(c, status, text);
    const bool is_deferred = may_defer && c->response.is_deferred;
    if (is_deferred)
        tr_http_response_clear(&c->response);
    else
        tr_http_make(c);
    if (arena != NULL)
        tr_http_arena_done(arena);
    if (!is_deferred)
        tr_http_body_clear(&c->body);
    return !is_deferred;
}

/* False: the workers are gone, the server is stopping. */
static bool give_to_workers(tr_connection *c, bool is_put_off)
{
    MHD_suspend_connection(c->mhd);
    if (tr_workers_push(&c->server->workers, c, is_put_off))
        return true;
    MHD_resume_connection(c->mhd);
    return false;
}

static enum MHD_Result on_whole(tr_connection *c)
{
    if (c->refusal != 0) {
        tr_http_refuse(c, c->refusal, c->refusal_text);
        tr_http_make(c);
        return tr_http_send(c);
    }
    const bool is_read = strcmp(c->method, "GET") == 0 || strcmp(c->method, "HEAD") == 0;
    tr_phase_enter(c, TR_PHASE_WORKING, 0);
    if (is_read && tr_http_handle(c, true))
        return tr_http_send(c);
    if (give_to_workers(c, is_read))
        return MHD_YES;
    (void)tr_http_handle(c, false);
    tr_phase_enter(c, TR_PHASE_ANSWERED, 0);
    return MHD_YES;
}

static enum MHD_Result on_access(void *ctx, struct MHD_Connection *mhd, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **request)
{
    tr_connection *c = *request;
    (void)ctx;
    (void)url;
    if (c == NULL)
        return MHD_NO;
    switch ((tr_phase)atomic_load_explicit(&c->phase, memory_order_relaxed)) {
    case TR_PHASE_HEAD:
        c->mhd = mhd;
        c->method = method;
        c->version = version;
        return on_head(c);
    case TR_PHASE_BODY:
        if (*data_len > 0) {
            const tr_str bytes = {(const uint8_t *)data, *data_len};
            *data_len = 0;
            return on_body(c, bytes);
        }
        return on_whole(c);
    case TR_PHASE_ANSWERED:
        return tr_http_send(c);
    case TR_PHASE_WAITING:
    case TR_PHASE_WORKING:
    case TR_PHASE_SENDING:
        break;
    }
    return MHD_YES;
}

static void on_completed(void *ctx, struct MHD_Connection *mhd, void **request,
                         enum MHD_RequestTerminationCode how)
{
    tr_connection *c = *request;
    (void)ctx;
    (void)mhd;
    (void)how;
    *request = NULL;
    if (c == NULL)
        return;
    clear_request(c);
    tr_phase_enter(c, TR_PHASE_WAITING, 0);
}

/* Connections --------------------------------------------------------------------------------- */

static void on_connection(void *ctx, struct MHD_Connection *mhd, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    tr_event_loop *loop = ctx;
    tr_connection *c = *context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        c = info == NULL ? NULL : tr_alloc_zeroed(1, sizeof *c);
        *context = c;
        if (c != NULL) {
            c->server = loop->server;
            c->mhd = mhd;
            c->fd = info->connect_fd;
            c->body = (tr_http_body){.scratch = TR_FILE_NONE};
            c->response.file_fd = -1;
            tr_phase_enter(c, TR_PHASE_WAITING, 0);
        }
        tr_loop_begun(loop, c);
    } else if (c != NULL) {
        tr_loop_ended(c);
        clear_request(c);
        tr_buf_free(&c->uri);
        tr_free(c);
        *context = NULL;
    }
}

/* Paths and parameters are decoded piece by piece later: %2F must not become a separator. */
static size_t leave_escaped(void *ctx, struct MHD_Connection *mhd, char *text)
{
    (void)ctx;
    (void)mhd;
    return strlen(text);
}

/* The server ---------------------------------------------------------------------------------- */

/* Every connection is a descriptor; the shell's usual 1,024 are not enough. What the system does
 * not give is taken off the connections, not off the files: at the end of the descriptors nobody
 * could be served, and MHD would try to accept without a pause. */
static uint32_t connections_for(uint32_t wanted)
{
    struct rlimit limit;
    const rlim_t all = (rlim_t)wanted + FILES_RESERVED;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    if (limit.rlim_cur < all) {
        limit.rlim_cur = limit.rlim_max < all ? limit.rlim_max : all;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur >= all)
        return wanted;
    tr_log(TR_LOG_WARN, "http", "few_descriptors", "have=%llu wanted=%llu",
           (unsigned long long)limit.rlim_cur, (unsigned long long)all);
    const rlim_t rest = limit.rlim_cur > 2 * FILES_RESERVED ? limit.rlim_cur - FILES_RESERVED
                                                            : limit.rlim_cur / 2;
    return rest < CONNECTIONS_MIN ? CONNECTIONS_MIN : (uint32_t)rest;
}

static tr_code start_loop(tr_http_server *server, const tr_http_options *options, tr_err *err)
{
    const bool is_tls = options->certificate_pem != NULL;
    tr_event_loop *loop = &server->loops[server->loop_count];
    struct MHD_OptionItem more[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)options->certificate_pem},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)options->key_pem},
        {MHD_OPTION_END, 0, NULL}};
    loop->server = server;
    loop->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET |
            MHD_ALLOW_SUSPEND_RESUME | (is_tls ? MHD_USE_TLS : 0),
        0, NULL, NULL, on_access, NULL,
        /* the acceptor keeps the limit; MHD takes off an ended connection later than it does */
        MHD_OPTION_CONNECTION_LIMIT, UINT_MAX, MHD_OPTION_CONNECTION_TIMEOUT, server->timeout_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, NULL, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, loop, MHD_OPTION_ARRAY,
        is_tls ? more : &more[2], MHD_OPTION_END);
    if (loop->daemon == NULL)
        return TR_FAIL(err, TR_IO, "the HTTP server does not start%s",
                       is_tls ? ": check certificate and key" : "");
    server->loop_count++;
    return TR_OK;
}

/* More than there are processors would only take turns on them, in the middle of answers. */
static uint32_t event_threads_for(const tr_http_options *options, uint32_t threads)
{
    uint32_t count = options->event_thread_count;
    if (count == 0)
        count = tr_thread_processors();
    if (count > threads)
        count = threads;
    return count < TR_EVENT_THREADS_MAX ? count : TR_EVENT_THREADS_MAX;
}

static tr_code start(tr_http_server *server, const tr_http_options *options, tr_err *err)
{
    const uint32_t threads = options->thread_count == 0 ? THREADS_DEFAULT : options->thread_count;
    if (options->scratch_folder != NULL) {
        server->scratch_folder = tr_copy_text(tr_str_of(options->scratch_folder));
        if (server->scratch_folder == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for a server");
        TR_TRY(tr_dir_make(server->scratch_folder, err));
    }
    server->connections_max = connections_for(server->connections_max);
    TR_TRY(tr_workers_start(&server->workers, threads, err));
    TR_TRY(tr_accept_open(server, options->listen, err));
    for (uint32_t i = event_threads_for(options, threads); i > 0; i--)
        TR_TRY(start_loop(server, options, err));
    server->has_homes = server->loop_count == tr_thread_processors();
    TR_TRY(tr_deadlines_start(server, err));
    return tr_accept_start(server, err);
}

tr_code tr_http_start(const tr_http_options *options, const tr_http_handler *handler,
                      tr_http_server **out, tr_err *err)
{
    tr_http_server *server = tr_alloc_zeroed(1, sizeof *server);
    if (server == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a server");
    server->handler = *handler;
    server->listen_fd = -1;
    server->connections_max =
        options->connections_max == 0 ? CONNECTIONS_DEFAULT : options->connections_max;
    server->timeout_s = options->timeout_s == 0 ? TIMEOUT_DEFAULT_S : options->timeout_s;
    pthread_mutex_init(&server->connections_lock, NULL);
    pthread_cond_init(&server->room, NULL);
    pthread_cond_init(&server->deadline_wake, NULL);
    pthread_mutex_init(&server->workers.lock, NULL);
    pthread_cond_init(&server->workers.wake, NULL);
    const tr_code code = start(server, options, err);
    if (code == TR_OK)
        *out = server;
    else
        tr_http_stop(server);
    return code;
}

uint16_t tr_http_port(const tr_http_server *server)
{
    return server->port;
}

/* New connections are refused from here on, and every answer closes its own. The workers finish
 * what they have: MHD must not stop while a connection is suspended. */
static void drain(tr_http_server *server)
{
    const struct timespec step = {.tv_nsec = STOP_STEP_MS * 1000000L};
    tr_accept_stop(server);
    tr_workers_stop(&server->workers);
    for (int waited = 0; atomic_load(&server->under_way) > 0 && waited < STOP_WAIT_MS;
         waited += STOP_STEP_MS)
        (void)nanosleep(&step, NULL);
}

void tr_http_stop(tr_http_server *server)
{
    if (server == NULL)
        return;
    drain(server);
    for (uint32_t i = 0; i < server->loop_count; i++)
        MHD_stop_daemon(server->loops[i].daemon);
    tr_deadlines_stop(server);
    pthread_cond_destroy(&server->workers.wake);
    pthread_mutex_destroy(&server->workers.lock);
    pthread_cond_destroy(&server->deadline_wake);
    pthread_cond_destroy(&server->room);
    pthread_mutex_destroy(&server->connections_lock);
    tr_free(server->scratch_folder);
    tr_free(server);
}
