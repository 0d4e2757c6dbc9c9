/* SPDX-License-Identifier: Apache-2.0 */
/* worker.h - one request, from descriptor 0 to a verdict on descriptor 3; see README.md.
 *
 *     0  the request, one JSON object, to its end       3  the verdict, one JSON object
 *     1  the result: a pipe, or the file to be written  4  the input file of a conversion
 */
#ifndef TR_WORKER_WORKER_H
#define TR_WORKER_WORKER_H

#include "base/err.h"
#include "codec/json.h"
#include "engine.h"

/* A session's commands come on descriptor 4 and its answers leave on 1: session.c. */
enum { TR_WORKER_RESULT_FD = 1, TR_WORKER_VERDICT_FD = 3, TR_WORKER_INPUT_FD = 4 };

typedef struct tr_request {
    json_t *json;             /* owns the texts below */
    const char *verb;         /* "convert", "select" or "session" */
    const char *format;
    const json_t *options;    /* of a conversion */
    const json_t *tables;     /* of a select */
    const char *sql;
    const char *folder;       /* of a session: all that lies in it may be read */
    const char *spill_folder; /* NULL: none */
    uint64_t spill_bytes_max;
    uint64_t bytes_max;       /* of the result */
    uint32_t memory_mb;
    uint32_t thread_count;
    uint32_t cpu_s;
    bool has_input;           /* descriptor 4 is a file; without one the number may be anything's */
    bool is_confinement_required;
} tr_request;

typedef struct tr_verdict {
    uint64_t rows;
    uint64_t bad_rows;
    bool is_confined; /* by Landlock; the rest always holds */
} tr_verdict;

TR_MUST_CHECK tr_code tr_request_read(int fd, tr_request *out, tr_err *err);
void tr_request_close(tr_request *request);

/* Memory, CPU, sizes: first of all. */
TR_MUST_CHECK tr_code tr_confine_resources(const tr_request *request, tr_err *err);
/* Walls, before anything foreign is looked at and while there is one thread only; *is_whole:
 * Landlock, too. DuckDB must have been opened: it asks the system what memory there is, and fails
 * when refused. */
TR_MUST_CHECK tr_code tr_confine(const tr_request *request, bool *is_whole, tr_err *err);

/* The work. `engine` is open, has one thread and is not locked yet. */
TR_MUST_CHECK tr_code tr_convert_parquet(const tr_request *request, tr_engine *engine,
                                         tr_verdict *verdict, tr_err *err);
TR_MUST_CHECK tr_code tr_convert_csv(const tr_request *request, tr_verdict *verdict, tr_err *err);
TR_MUST_CHECK tr_code tr_session(const tr_request *request, tr_engine *engine,
                                 tr_verdict *verdict, tr_err *err);
TR_MUST_CHECK tr_code tr_select(const tr_request *request, tr_engine *engine, tr_verdict *verdict,
                                tr_err *err);

#endif
