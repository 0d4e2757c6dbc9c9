/* SPDX-License-Identifier: Apache-2.0 */
/* query.h - the door to the SQL worker, the only process that links DuckDB.
 *
 * libduckdb can abort its process on hostile input, so it lives in `tributary-query`: one process a
 * call or a session, started with an empty environment, confined by Landlock
 * and rlimits, killed at the deadline. If it dies, one call fails with a clear error.
 *
 * The worker reads one JSON request on stdin and answers on stdout; see query-worker/README.md.
 *
 * Threads: any.
 */
#ifndef TR_QUERY_QUERY_H
#define TR_QUERY_QUERY_H

#include "base/memory.h"
#include "codec/json.h"

#include <stdatomic.h>

typedef struct tr_query tr_query;

typedef struct tr_query_options {
    const char *worker_path;   /* NULL: "tributary-query" beside the running binary */
    const char *scratch_folder;
    uint32_t memory_mb;        /* 0: 1,024 */
    uint32_t deadline_s;       /* 0: 600 */
    uint32_t thread_count;     /* 0: 2 */
    uint32_t workers_max;      /* of sessions at a time; 0: 32 */
    bool is_confinement_required; /* false: a kernel without Landlock is a warning, not an error */
} tr_query_options;

TR_MUST_CHECK tr_code tr_query_open(const tr_query_options *options, tr_query **out, tr_err *err);
void tr_query_close(tr_query *query); /* accepts NULL */
uint32_t tr_query_deadline_s(const tr_query *query);

/* Turns a foreign Parquet or CSV file into JSON lines at out_path, one XDM-shaped object a row:
 * nulls are left out, maps are objects, timestamps RFC 3339 UTC with a Z, dates YYYY-MM-DD; CSV
 * cells are strings (ingest converts by schema), an unquoted empty cell or one equal to nullMarker
 * is left out.
 *   options  {"format":"parquet"} or {"format":"csv","delimiter":",","quote":"\"","escape":"\\",
 *            "nullMarker":"","header":true}
 * Rows of a CSV that cannot be cut into cells become lines
 * {"__corrupt":"<text>","__error":"...","__line":n}.
 * TR_INVALID  the file is not what it should be: the text says what and where, without any path */
TR_MUST_CHECK tr_code tr_query_convert(tr_query *query, const json_t *options, const char *in_path,
                                       const char *out_path, tr_err *err);

/* Runs one SELECT over Parquet files given as tables.
 *   tables   {"<table name>": ["/path/a.parquet", ...], ...}: united by name; the bookkeeping
 *            column hidden. A table may also be {"files":[...], "sql":"SELECT ... {files} ..."}
 *            with the list of files in place of {files}
 *   format   "csv", "json" (lines) or "table" (aligned, for a terminal)
 *   out      the result text is appended; at most bytes_max, else TR_LIMIT
 * TR_INVALID  the SQL is wrong: DuckDB's message without paths */
TR_MUST_CHECK tr_code tr_query_select(tr_query *query, const json_t *tables, tr_str sql,
                                      const char *format, size_t bytes_max, tr_buf *out,
                                      tr_err *err);

/* The same into a file, which is replaced; on failure there is none. "parquet" is a format, too. */
TR_MUST_CHECK tr_code tr_query_select_file(tr_query *query, const json_t *tables, tr_str sql,
                                           const char *format, const char *out_path, tr_err *err);

/* A worker of one sandbox that runs one statement after the other (session.c of query-worker). It
 * dies with the server. What it answers to a statement, in this order:
 *     T   {"columns":[{"name","oid","bytes","modifier"}], "params":[oid]}   (params: of describe)
 *     D   DataRow messages of the PostgreSQL protocol, each whole
 *     M   behind them: there are more rows than the command's rows_max
 *     J   of "write": lines of JSON, each whole; T then has types (query-worker/write_rows.h)
 *         of "keep" T has "rows", and types for "columns" of a table (query-worker/keep.h)
 *     E   {"state":"42601","text":"...","code":n}: the statement failed; no more rows. When it was
 *         by a bug of DuckDB's, the worker has ended, and is not used again
 *     Z   the end
 * Threads: one, but tr_query_session_kill from any. */
typedef struct tr_query_session tr_query_session;
typedef struct tr_query_answer {
    char kind;
    tr_str bytes; /* borrowed until the next call */
} tr_query_answer;

/* Why a wait, or what takes its time, may end early. */
typedef struct tr_query_patience {
    const atomic_bool *cancel; /* NULL: never */
    int64_t deadline_us;       /* monotonic; 0: none */
    int client_fd;             /* whose going ends it; -1: none */
} tr_query_patience;
/* TR_CANCELLED  by `cancel`, or the client has gone;  TR_LIMIT  with the text `late` */
TR_MUST_CHECK tr_code tr_query_check_patience(const tr_query_patience *patience, const char *late,
                                              tr_err *err);

/* Workers are started before they are asked for, and there are at most workers_max of them: who
 * asks when all are taken waits in a queue. */
typedef struct tr_query_turn {
    int64_t sandbox;           /* 0: a worker that is used once */
    const atomic_bool *cancel; /* NULL: never */
    int client_fd;             /* whose going ends the wait; -1: none */
} tr_query_turn;
/* A worker for one statement; give it back when it waits for a command, else close it.
 * TR_CANCELLED, TR_LIMIT  the wait is over */
TR_MUST_CHECK tr_code tr_query_session_take(tr_query *query, const tr_query_turn *turn,
                                            tr_query_session **out, tr_err *err);
void tr_query_session_give_back(tr_query_session *session);
void tr_query_session_close(tr_query_session *session); /* accepts NULL */
/* command  {"do":"run","sql","tables","formats"?,"probe"?,"rows_max"?,"id"?}, "write", "keep" or
 *          "describe"; the deadline begins. id: what the log calls the statement when the engine
 *          crashes on it. The tables' files are held until the next command: removing them changes
 *          nothing for it.
 * TR_NOT_FOUND  a file has gone already, and nothing was sent: ask the catalog again */
TR_MUST_CHECK tr_code tr_query_session_send(tr_query_session *session, const json_t *command,
                                            tr_err *err);
/* Waits for the next piece. After a failure the session is over: close it.
 * TR_CANCELLED  killed;  TR_LIMIT  the deadline, memory;  TR_INVALID  the engine crashed */
TR_MUST_CHECK tr_code tr_query_session_next(tr_query_session *session, tr_query_answer *out,
                                            tr_err *err);
/* Behind the Z of "keep": moves the file of the rows to this path, of a folder that
 * tr_query_make_room gave. */
TR_MUST_CHECK tr_code tr_query_session_take_kept(tr_query_session *session, const char *path,
                                                 uint64_t *bytes, tr_err *err);
/* A folder for them beside those of the workers: it goes with tr_dir_remove, or at the next start.
 * *out is returned (tr_free). */
TR_MUST_CHECK tr_code tr_query_make_room(tr_query *query, char **out, tr_err *err);
void tr_query_session_kill(tr_query_session *session);
/* When the command under way must have ended (monotonic); 0: none was sent. */
int64_t tr_query_session_deadline_us(const tr_query_session *session);
/* From the next command on, a deadline that is not longer than this. */
void tr_query_session_limit(tr_query_session *session, uint32_t deadline_s);
/* Kills it when the other side of this socket goes; -1: no longer. */
void tr_query_session_watch(tr_query_session *session, int fd);

#endif
