/* SPDX-License-Identifier: Apache-2.0 */
/* query_internal.h - one run of the worker process, from start to end. */
#ifndef TR_QUERY_QUERY_INTERNAL_H
#define TR_QUERY_QUERY_INTERNAL_H

#include "query/query.h"

typedef struct tr_worker_run {
    const char *path;    /* of the executable */
    tr_str request;      /* JSON */
    int input_fd;        /* the worker's descriptor 4; -1: none */
    int result_fd;       /* its descriptor 1; -1: a pipe into `result` */
    tr_buf *result;      /* appended to */
    size_t bytes_max;    /* of what is appended */
    uint32_t deadline_s; /* then it is killed */
} tr_worker_run;

/* Starts the worker, waits for its end, never longer than the deadline. *verdict is returned: what
 * it said, its code being TR_OK. Every other end is an error of its own:
 *   what the worker's verdict says
 *   TR_LIMIT    the deadline, or more than bytes_max
 *   TR_INVALID  it crashed: so would it the next time
 *   TR_IO       it could not be started, or somebody killed it */
TR_MUST_CHECK tr_code tr_worker(const tr_worker_run *run, json_t **verdict, tr_err *err);

#endif
