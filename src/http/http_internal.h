/* SPDX-License-Identifier: Apache-2.0 */
/* http_internal.h - what the files of this room share.
 *
 *     http.c          a server's life; the callbacks of libmicrohttpd ("MHD")
 *     http_accept.c   connections accepted, and shared out among the event threads
 *     http_head.c     request line and headers: refusals, and the parsed request
 *     http_body.c     a body as it arrives: memory, then an unlinked scratch file
 *     http_reply.c    answers; byte ranges
 *     http_deadline.c cuts connections that are too slow, or too many
 *     http_workers.c  threads for requests that may take long
 *
 * A connection's request goes through these phases. Event threads own everything but what a
 * worker holds while WORKING; the deadline thread only reads `phase`, `deadline_us`, `since_us`,
 * and shuts sockets.
 *
 *   WAITING --request line--> HEAD --checked--> BODY --arrived--> WORKING --> ANSWERED --> SENDING
 *      ^                         \                 \--- GET, HEAD: on the event thread ------^ |
 *      |                          \--refused-------------------------------------------------^ |
 *      \--------------------------------------- sent ------------------------------------------/
 */
#ifndef TR_HTTP_HTTP_INTERNAL_H
#define TR_HTTP_HTTP_INTERNAL_H

#include "http/http.h"
#include "os/os.h"

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

typedef enum tr_phase {
    TR_PHASE_WAITING, /* for a request line */
    TR_PHASE_HEAD,
    TR_PHASE_BODY,
    TR_PHASE_WORKING,
    TR_PHASE_ANSWERED,
    TR_PHASE_SENDING
} tr_phase;

typedef struct tr_http_body {
    tr_buf memory;    /* while small */
    tr_file scratch;  /* then here; no name leads to it */
    uint64_t bytes;
    uint64_t bytes_max;
    void *mapped;
} tr_http_body;

enum { TR_EVENT_THREADS_MAX = 4 };

/* A thread that serves connections: a daemon of MHD without a socket to listen on. The counts are
 * under server->connections_lock. */
typedef struct tr_event_loop {
    tr_http_server *server;
    struct MHD_Daemon *daemon;
    uint32_t open;          /* connections it serves */
    uint32_t given;         /* handed over to it, not begun yet */
    int64_t given_since_us; /* it has been more than 0 */
} tr_event_loop;

typedef struct tr_connection {
    tr_http_server *server;
    tr_event_loop *loop;
    struct tr_connection *before, *after; /* all connections, under server->connections_lock */
    struct tr_connection *queued;         /* next in the queue of the workers */
    struct MHD_Connection *mhd;
    int fd;
    _Atomic int phase;            /* tr_phase */
    _Atomic int64_t deadline_us;  /* monotonic: behind it the connection is cut */
    _Atomic int64_t since_us;     /* of the phase WAITING */
    tr_buf uri;                   /* as sent; MHD takes its own copy apart */
    const char *uri_in_mhd;
    const char *method, *version; /* in MHD's memory, while the request lives */
    tr_http_body body;
    int64_t body_since_us;
    int refusal;                  /* a status: the request is answered with it after its body */
    const char *refusal_text;
    bool must_close;
    bool is_counted;              /* in server->under_way */
    tr_http_response response;
    struct MHD_Response *made; /* of the response: what MHD sends */
    int status;
    uint64_t bytes_to_send;
} tr_connection;

typedef struct tr_work_queue {
    tr_connection *first, *last;
} tr_work_queue;

typedef struct tr_workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    tr_work_queue queue;
    tr_work_queue put_off;    /* reads that were put off; they get half of the threads at most */
    uint32_t put_off_running, put_off_max;
    pthread_t *threads;
    uint32_t thread_count;
    bool is_closing;
} tr_workers;

struct tr_http_server {
    tr_http_handler handler;
    tr_event_loop loops[TR_EVENT_THREADS_MAX];
    uint32_t loop_count; /* fixed before anything is accepted */
    bool has_homes;      /* one for each processor: priority.h */
    int listen_fd;
    uint16_t port;
    pthread_t acceptor;
    bool has_acceptor;
    pthread_cond_t room;    /* a connection has ended, or the server stops */
    int64_t refused_log_us; /* the next line about it not before */
    uint32_t connections_max;
    uint32_t timeout_s;
    char *scratch_folder;
    pthread_mutex_t connections_lock;
    tr_connection *connections;
    uint32_t connection_count;
    pthread_t deadline_thread;
    pthread_cond_t deadline_wake;
    bool has_deadline_thread;
    int64_t pressed_log_us; /* the next line about it not before */
    _Atomic bool is_stopping;
    _Atomic int64_t under_way; /* requests whose head has arrived and whose answer is not sent */
    tr_workers workers;
};

TR_MUST_CHECK tr_code tr_accept_open(tr_http_server *server, const char *listen_on, tr_err *err);
TR_MUST_CHECK tr_code tr_accept_start(tr_http_server *server, tr_err *err);
void tr_accept_stop(tr_http_server *server); /* nothing is accepted any more; is_stopping is true */
/* A connection that was given to a loop begins there; NULL: there was no memory to serve it. */
void tr_loop_begun(tr_event_loop *loop, tr_connection *c);
void tr_loop_ended(tr_connection *c);
/* MHD says nothing of a connection that it had no memory to begin: it would count for ever. The
 * lock is held. */
void tr_loops_forget_lost(tr_http_server *server, int64_t now);

/* The request's arena of this thread, empty; NULL: no memory. Given back when all is handled. */
tr_arena *tr_http_arena(void);
void tr_http_arena_done(tr_arena *arena);

/* 0, or the status to refuse the request with; *text says why (a literal). */
int tr_http_check_head(const tr_connection *c, const char **text);
/* The same for path, query and headers, parsed into `arena`. */
int tr_http_parse_head(const tr_connection *c, tr_arena *arena, tr_http_request *out,
                       const char **text);
/* What the headers say of the body: false when there is none. */
bool tr_http_has_body(struct MHD_Connection *mhd, uint64_t *content_length, bool *is_chunked);

TR_MUST_CHECK tr_code tr_http_body_add(tr_http_body *body, const char *scratch_folder, tr_str bytes,
                                       tr_err *err);
TR_MUST_CHECK tr_code tr_http_body_whole(tr_http_body *body, tr_str *out, tr_err *err);
void tr_http_body_clear(tr_http_body *body);

/* Shapes c->response as a refusal. */
void tr_http_refuse(tr_connection *c, int status, const char *text);
/* Makes c->made of c->response, which is empty afterwards. The request's arena must still live. */
void tr_http_make(tr_connection *c);
/* Queues c->made with MHD. */
enum MHD_Result tr_http_send(tr_connection *c);
void tr_http_response_clear(tr_http_response *response);

/* Parses the request, calls the handler and leaves the answer in c->made. Any thread. False: the
 * handler put it off; nothing was made. */
bool tr_http_handle(tr_connection *c, bool may_defer);

TR_MUST_CHECK tr_code tr_workers_start(tr_workers *workers, uint32_t count, tr_err *err);
/* False: closing, nothing was taken. */
bool tr_workers_push(tr_workers *workers, tr_connection *c, bool is_put_off);
void tr_workers_stop(tr_workers *workers); /* after all that is queued */

TR_MUST_CHECK tr_code tr_deadlines_start(tr_http_server *server, tr_err *err);
void tr_deadlines_stop(tr_http_server *server);
/* Moves a connection to a phase, with the time it has for it. bytes: to send, or received. */
void tr_phase_enter(tr_connection *c, tr_phase phase, uint64_t bytes);

#endif
