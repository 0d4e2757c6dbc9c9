/* SPDX-License-Identifier: Apache-2.0 */
/* http.h - connections into requests and responses. Knows no tenant and no endpoint.
 *
 * One handler gets every request after its body has arrived whole, on a thread of the server's
 * pool; but a GET or HEAD on the thread that serves the connections, which is quicker, as long as
 * it takes no longer than a lookup: else the handler puts it off (is_deferred), and gets it
 * again on a thread of the pool. Bodies: up to TR_BODY_MEMORY_BYTES_MAX in memory, larger ones in
 * an unlinked scratch file that is mapped. The handler decides the body's maximum BEFORE it arrives
 * (body_max), so a 413 costs nothing.
 *
 * Paths: split at '/', each segment percent-decoded on its own, so %2F stays inside a segment;
 * empty segments (a trailing or doubled slash) vanish. Query parameters: decoded, in order, repeats
 * kept; tr_http_query returns the LAST non-empty one.
 *
 * Refused before the handler: header block over TR_HEADER_BLOCK_BYTES_MAX, URL over
 * TR_URL_BYTES_MAX, "..", control characters or invalid UTF-8 in a path, both Content-Length and
 * Transfer-Encoding.
 *
 * Ownership: request and all it points to are borrowed for the handler's call. Threads:
 * tr_http_stop from any.
 */
#ifndef TR_HTTP_HTTP_H
#define TR_HTTP_HTTP_H

#include "base/memory.h"

typedef struct tr_http_pair {
    tr_str name;
    tr_str value;
} tr_http_pair;

typedef struct tr_http_request {
    const char *method;
    tr_str raw_path;          /* as sent, without the query */
    const tr_str *segments;   /* decoded */
    uint32_t segment_count;
    const tr_http_pair *query;
    uint32_t query_count;
    const tr_http_pair *headers;
    uint32_t header_count;
    tr_str body;
    tr_arena *arena;          /* lives as long as the call */
    bool may_defer;           /* others wait while this call takes */
} tr_http_request;

tr_str tr_http_header(const tr_http_request *request, const char *name); /* .at NULL: absent */
/* The last non-empty value of a query parameter; .at NULL: absent or empty everywhere. */
tr_str tr_http_query(const tr_http_request *request, const char *name);

typedef struct tr_http_response {
    int status;               /* 0: 200 */
    const char *content_type; /* NULL: application/json */
    tr_http_pair headers[16];
    uint32_t header_count;
    tr_buf body;              /* taken */
    /* or, instead of body, a part of a file (opened, then taken: closed after sending) */
    int file_fd;              /* -1: none */
    uint64_t file_from;
    uint64_t file_bytes;
    bool is_head;             /* send the length of body/file, but not the bytes */
    bool is_deferred;         /* only when may_defer, and alone: call again where nobody waits */
} tr_http_response;

/* Adds a header; name is a literal, value is copied into the arena. */
TR_MUST_CHECK tr_code tr_http_add_header(tr_http_response *response, tr_arena *arena,
                                         const char *name, tr_str value, tr_err *err);

typedef struct tr_http_handler {
    void *ctx;
    /* The largest body this request may have, from its method, path and headers; called before
     * it arrives. */
    uint64_t (*body_max)(void *ctx, const tr_http_request *head);
    void (*handle)(void *ctx, const tr_http_request *request, tr_http_response *response);
    /* A request refused before the handler: shapes the body of this status. May be NULL. */
    void (*refuse)(void *ctx, int status, const char *text, tr_http_response *response);
} tr_http_handler;

typedef struct tr_http_options {
    const char *listen;          /* "127.0.0.1:8080"; port 0: any, see tr_http_port */
    uint32_t thread_count;       /* 0: 8 */
    uint32_t event_thread_count; /* that serve connections; 0: one per processor, 4 at most */
    uint32_t connections_max;    /* 0: 4,096 */
    uint32_t timeout_s;          /* 0: 30 of silence */
    const char *scratch_folder;  /* for large bodies */
    const char *certificate_pem; /* NULL: no TLS */
    const char *key_pem;
} tr_http_options;

typedef struct tr_http_server tr_http_server;
TR_MUST_CHECK tr_code tr_http_start(const tr_http_options *options, const tr_http_handler *handler,
                                    tr_http_server **out, tr_err *err);
uint16_t tr_http_port(const tr_http_server *server);
void tr_http_stop(tr_http_server *server); /* lets requests under way finish; accepts NULL */

/* Range: "bytes=a-b", "bytes=a-", "bytes=-n" of an object of `total` bytes. False: absent,
 * malformed or several ranges (then the whole is sent); *is_satisfiable false: 416. */
bool tr_http_range(tr_str header, uint64_t total, uint64_t *from, uint64_t *bytes,
                   bool *is_satisfiable);

#endif
