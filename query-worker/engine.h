/* SPDX-License-Identifier: Apache-2.0 */
/* engine.h - one DuckDB in memory with our settings, and its failures in our words.
 *
 * Order matters (each step was tried out): everything that can be set is set when the database is
 * opened, with one thread; the process is confined; then it gets its threads; then what may be
 * read is named; then external access goes; then the settings are locked.
 *
 * Threads: one.
 */
#ifndef TR_WORKER_ENGINE_H
#define TR_WORKER_ENGINE_H

#include "base/err.h"
#include "base/memory.h"
#include "base/str.h"

#include <duckdb.h>

typedef struct tr_engine_options {
    uint32_t memory_mb;
    const char *spill_folder; /* NULL: a query that needs more than its memory fails */
    uint64_t spill_bytes_max;
} tr_engine_options;

typedef struct tr_engine {
    duckdb_database db;
    duckdb_connection con;
    bool has_begun; /* the statement last started was sound: what failed then is in the data */
} tr_engine;

/* Whether DuckDB has met a bug of its own: it may have declared its database invalid, and then
 * fails whatever comes, or go on with what it has left half done. Nothing more should be asked. */
bool tr_engine_is_broken(void);

TR_MUST_CHECK tr_code tr_engine_open(const tr_engine_options *options, tr_engine *out, tr_err *err);
/* Runs one statement of ours, its result unseen. */
TR_MUST_CHECK tr_code tr_engine_run(tr_engine *engine, const char *sql, tr_err *err);
/* allowed  a list of SQL texts with commas between: all that can be opened from now on
 * folder   NULL, or what may be opened with all that lies in it */
TR_MUST_CHECK tr_code tr_engine_lock(tr_engine *engine, tr_str allowed, const char *folder,
                                     uint32_t thread_count, tr_err *err);

/* Starts a statement; its chunks then come from tr_engine_next as they are made. */
TR_MUST_CHECK tr_code tr_engine_start(tr_engine *engine, const char *sql, duckdb_result *out,
                                      tr_err *err);
/* *out is the next chunk (destroy it), or NULL at the end. */
TR_MUST_CHECK tr_code tr_engine_next(duckdb_result *result, duckdb_data_chunk *out, tr_err *err);

/* Appends the one text value that a statement of ours gives. */
TR_MUST_CHECK tr_code tr_engine_text(tr_engine *engine, const char *sql, tr_buf *out, tr_err *err);
/* Fails with a message of DuckDB about a statement, disguised. */
tr_code tr_engine_failure(const char *message, tr_err *err);

/* What kind of failure the last one was, as PostgreSQL's five characters; "58000": unknown. */
const char *tr_engine_sqlstate(void);
void tr_engine_note(const char *sqlstate); /* a literal; of a failure that is not DuckDB's */

/* Appends 'text' as an SQL literal, quotes doubled. */
TR_MUST_CHECK tr_code tr_sql_literal(tr_buf *sql, tr_str text, tr_err *err);
/* Appends "name" as an SQL identifier. */
TR_MUST_CHECK tr_code tr_sql_name(tr_buf *sql, tr_str name, tr_err *err);

/* What a message of DuckDB must not show, and what it shows instead; NULL ends the list. */
typedef struct tr_disguise {
    const char *path;
    const char *shown;
} tr_disguise;
void tr_engine_disguise(const tr_disguise *disguises); /* borrowed for good */
/* Appends `text` with the paths disguised. */
TR_MUST_CHECK tr_code tr_engine_disguised(tr_str text, tr_buf *out, tr_err *err);

#endif
