/* SPDX-License-Identifier: Apache-2.0 */
/* remote.h - a Tributary server as the commands of a terminal see it: JSON calls, files up, files
 * down.
 *
 * tr_remote_open fetches a token for the client; every call after it carries the four headers of
 * the API. An answer of 400 or more is a failure whose text holds method, path, status and the
 * server's own words.
 *
 * Threads: a tr_remote belongs to one.
 */
#ifndef TR_APP_REMOTE_H
#define TR_APP_REMOTE_H

#include "app/args.h"
#include "codec/json.h"

typedef struct tr_remote_options { /* borrowed until tr_remote_close */
    const char *url;               /* "http://127.0.0.1:8080" */
    const char *client_id;
    const char *client_secret;
    const char *org;
    const char *sandbox;     /* NULL: "prod" */
    const char *client_file; /* what `client add` printed: stands in for the three above */
} tr_remote_options;

typedef struct tr_remote tr_remote;

/* The options as arguments of a command, in its table of tr_arg. */
#define TR_REMOTE_ARGS(options)                                                            \
    {"url", TR_ARG_TEXT, &(options).url}, {"client", TR_ARG_TEXT, &(options).client_file}, \
        {"client-id", TR_ARG_TEXT, &(options).client_id},                                  \
        {"client-secret", TR_ARG_TEXT, &(options).client_secret},                          \
        {"org", TR_ARG_TEXT, &(options).org},                                              \
    {                                                                                      \
        "sandbox", TR_ARG_TEXT, &(options).sandbox                                         \
    }

#define TR_REMOTE_USAGE                                                                          \
    "Which server, and who asks:\n"                                                              \
    "  --url URL             the server           (or TRIBUTARY_URL; http://127.0.0.1:8080)\n"   \
    "  --client FILE         what `tributary client add` printed        (or TRIBUTARY_CLIENT)\n" \
    "  --client-id ID --client-secret SECRET --org ORG\n"                                        \
    "                        the same, one by one (or TRIBUTARY_CLIENT_ID, _CLIENT_SECRET, "     \
    "_ORG)\n"                                                                                    \
    "  --sandbox NAME        \"prod\" unless given                       (or TRIBUTARY_SANDBOX)\n"

/* Fills what is missing from the client file and the environment.
 * TR_INVALID  names what is still missing, or what is wrong with the file */
TR_MUST_CHECK tr_code tr_remote_complete(tr_remote_options *options, tr_arena *arena, tr_err *err);

/* A server that cannot be reached: TR_BUSY, with its address. */
TR_MUST_CHECK tr_code tr_remote_open(const tr_remote_options *options, tr_remote **out,
                                     tr_err *err);
void tr_remote_close(tr_remote *remote); /* accepts NULL */

/* body, out  may be NULL; *out is returned, a JSON null when the answer has no body */
TR_MUST_CHECK tr_code tr_remote_call(tr_remote *remote, const char *method, const char *path,
                                     const json_t *body, json_t **out, tr_err *err);

typedef void (*tr_remote_progress)(void *ctx, uint64_t bytes);
typedef struct tr_remote_upload {
    const char *method; /* "PUT", "PATCH" */
    const char *path;
    const char *content_range; /* NULL: none */
    tr_str bytes;
    tr_remote_progress progress; /* called with the bytes sent so far; may be NULL */
    void *ctx;
} tr_remote_upload;
TR_MUST_CHECK tr_code tr_remote_send(tr_remote *remote, const tr_remote_upload *upload,
                                     tr_err *err);

/* The bytes of an answer, appended to *out. */
TR_MUST_CHECK tr_code tr_remote_get(tr_remote *remote, const char *path, tr_buf *out, tr_err *err);
/* The bytes of an answer, as a file. */
TR_MUST_CHECK tr_code tr_remote_download(tr_remote *remote, const char *path, const char *to,
                                         tr_err *err);

/* Percent-encodes a path segment or a query's value into `out`. TR_INVALID: it has no room. */
TR_MUST_CHECK tr_code tr_remote_escape(tr_str text, char *out, size_t size, tr_err *err);

/* The HTTP status of the last answer. */
int tr_remote_status(const tr_remote *remote);

#endif
