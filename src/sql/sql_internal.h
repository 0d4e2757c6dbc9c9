/* SPDX-License-Identifier: Apache-2.0 */
/* sql_internal.h - a connection, seen by the files that serve it.
 *
 *     listener.c    the port, threads, who may be cancelled by whom
 *     connection.c  start-up, password, messages one after the other, simple queries
 *     extended.c    Parse, Bind, Describe, Execute, Close: statements and portals by name
 *     idle.c        while nothing comes from the client
 *     execute.c     a statement on its way through a worker; its rows, COPY
 *     session_write.c  one that writes, as a job
 *     session_temporary.c  tables of the session alone
 *     session_block.c  a block of several, variables
 */
#ifndef TR_SQL_SQL_INTERNAL_H
#define TR_SQL_SQL_INTERNAL_H

#include "sql/live_tables.h"
#include "sql/sql.h"
#include "sql/translate.h"
#include "sql/wire.h"
#include "sql/write.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct tr_sql_named tr_sql_named; /* prepared statements and portals: extended.c */

typedef struct tr_sql_connection {
    tr_sql *sql;
    tr_wire wire;
    uint32_t number, secret;   /* what a cancel request must know */
    char user[80];
    char database[80];         /* "all" */
    char application_name[64], first_application_name[64];
    json_t *settings;          /* what SET said: {name in lower case: text} */
    json_t *variables;         /* what SET @name said: block.h */
    json_t *temporary;         /* its own tables: temporary.h */
    char *room;                /* the folder of their files; NULL: none yet */
    uint32_t temporary_count;  /* of files that were made */
    uint64_t temporary_bytes;  /* of those that are there */
    tr_sql_person person;
    bool is_local, is_flat;    /* is_flat: ?FLATTEN */
    uint64_t run_count;        /* statements that a worker was asked for; the log counts by it */
    char state;                /* 'I' idle, 'T' in a transaction, 'E' in a failed one */
    atomic_bool is_cancelled;  /* what it does, without a worker, too; reset by every statement */
    bool is_script;            /* other statements of the simple query follow */
    bool is_skipping;          /* after an error, up to Sync */
    char error_state[6];       /* of the failure last met */
    tr_query_session *running; /* guarded by the service's mutex */
    tr_sql_named *named;
    struct tr_sql_connection *next;
} tr_sql_connection;

struct tr_sql {
    tr_sql_options options;
    int listen_fd, stop_fd[2];
    char address[128];
    SSL_CTX *tls;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    tr_sql_connection *connections;
    uint32_t count, last_number;
    _Atomic uint64_t temporary_bytes; /* of all sessions */
    _Atomic bool is_stopping;
};

/* listener.c */
void tr_sql_cancel(tr_sql *sql, uint32_t number, uint32_t secret);
/* NULL: nothing runs. */
void tr_sql_set_running(tr_sql_connection *c, tr_query_session *worker);

/* connection.c */
void tr_sql_serve(tr_sql_connection *c, int fd);
/* Sends an ErrorResponse. severity  "ERROR" or "FATAL" */
void tr_sql_put_error(tr_sql_connection *c, const char *severity, const char *state,
                      const char *text);
/* Sends a NoticeResponse: a warning. */
void tr_sql_put_notice(tr_sql_connection *c, const char *state, const char *text);
/* Fails with a state of PostgreSQL's; for `return`. */
tr_code tr_sql_fail(tr_sql_connection *c, const char *state, tr_err *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void tr_sql_put_complete(tr_sql_connection *c, const tr_plan *plan, uint64_t rows);
/* Whether the client may still do what it could when it came in; its rights are read again. */
TR_MUST_CHECK tr_code tr_sql_admit_again(tr_sql_connection *c, tr_err *err);
/* What BEGIN, SET, PREPARE and their like change. */
TR_MUST_CHECK tr_code tr_sql_take_effect(tr_sql_connection *c, const tr_plan *plan, tr_err *err);
/* A plan of kind TAG: what it changes, and its tag. */
TR_MUST_CHECK tr_code tr_sql_run_tag(tr_sql_connection *c, const tr_plan *plan, tr_err *err);
TR_MUST_CHECK tr_code tr_sql_plan(tr_sql_connection *c, tr_str sql, tr_arena *arena, tr_plan *out,
                                  tr_err *err);

/* idle.c: the next message has begun to come; false: the session is over. */
bool tr_sql_await_message(tr_sql_connection *c);
bool tr_sql_is_duration(tr_str name);                  /* a setting whose value is one */
bool tr_sql_read_duration(tr_str text, int64_t *ms);   /* "500" (ms), "30s", "10min" ... */

/* settings.c */
TR_MUST_CHECK tr_code tr_sql_set(tr_sql_connection *c, const tr_plan *plan, tr_err *err);
void tr_sql_reset_settings(tr_sql_connection *c);
void tr_sql_put_parameter(tr_sql_connection *c, const char *name, const char *value);
bool tr_sql_keeps_limit_zero(const tr_sql_connection *c);

/* extended.c */
TR_MUST_CHECK tr_code tr_sql_parse(tr_sql_connection *c, tr_body *body, tr_err *err);
TR_MUST_CHECK tr_code tr_sql_bind(tr_sql_connection *c, tr_body *body, tr_err *err);
TR_MUST_CHECK tr_code tr_sql_describe(tr_sql_connection *c, tr_body *body, tr_err *err);
TR_MUST_CHECK tr_code tr_sql_execute(tr_sql_connection *c, tr_body *body, tr_err *err);
TR_MUST_CHECK tr_code tr_sql_close_named(tr_sql_connection *c, tr_body *body, tr_err *err);
typedef enum tr_portals { TR_PORTALS_ALL, TR_PORTALS_NOT_HELD, TR_PORTALS_OF_FAILURE } tr_portals;
/* NOT_HELD: what ends with a transaction; OF_FAILURE: with one that is rolled back */
void tr_sql_drop_portals(tr_sql_connection *c, tr_portals which);
/* Those whose deadline has come let their workers go; the next deadline is returned, 0: none. */
int64_t tr_sql_expire_portals(tr_sql_connection *c, int64_t now_us);
/* PREPARE, DECLARE, CLOSE. */
TR_MUST_CHECK tr_code tr_sql_prepare_named(tr_sql_connection *c, const tr_plan *plan, tr_err *err);
TR_MUST_CHECK tr_code tr_sql_declare(tr_sql_connection *c, const tr_plan *plan, tr_err *err);
TR_MUST_CHECK tr_code tr_sql_close_cursor(tr_sql_connection *c, tr_str name, tr_err *err);
/* The plan of EXECUTE becomes the one of what it executes. */
TR_MUST_CHECK tr_code tr_sql_resolve_execute(tr_sql_connection *c, tr_arena *arena, tr_plan *plan,
                                             tr_err *err);
/* FETCH and MOVE: rows with has_header's columns in front, *rows of them. formats: NULL: text */
TR_MUST_CHECK tr_code tr_sql_fetch(tr_sql_connection *c, const tr_plan *plan, const json_t *formats,
                                   bool has_header, uint64_t *rows, tr_err *err);
void tr_sql_drop_statements(tr_sql_connection *c, tr_str name); /* .len 0: all that have a name */
TR_MUST_CHECK tr_code tr_sql_named_open(tr_sql_connection *c, tr_err *err);
void tr_sql_named_close(tr_sql_connection *c);

/* execute.c: a statement under way. */
typedef struct tr_sql_run {
    tr_query_session *worker;
    json_t *columns; /* [{"name","oid","bytes","modifier"}] */
    tr_buf rows;     /* DataRow messages that have come and not gone */
    size_t at;
    uint64_t row_count;
    bool is_quiet; /* rows are counted and not sent: MOVE */
    bool is_cut;   /* there are more rows than may go, and the client has been told */
    bool has_begun, is_done;
    bool is_late; /* its deadline came while nobody fetched: the worker has gone */
} tr_sql_run;

/* sql  the plan's, its parameters filled in; formats: borrowed, NULL: all text */
TR_MUST_CHECK tr_code tr_sql_run_begin(tr_sql_connection *c, const tr_plan *plan, tr_str sql,
                                       const json_t *formats, tr_sql_run *out, tr_err *err);
/* Sends at most `most` rows (0: all). */
TR_MUST_CHECK tr_code tr_sql_run_send(tr_sql_connection *c, tr_sql_run *run, uint64_t most,
                                      tr_err *err);
/* COPY: all rows, with what goes before and after. */
TR_MUST_CHECK tr_code tr_sql_run_copy(tr_sql_connection *c, const tr_plan *plan, tr_sql_run *run,
                                      tr_err *err);
/* The one value of the first row; *text: borrowed from the run, .at NULL for NULL and no row.
 * TR_INVALID  it has several columns */
TR_MUST_CHECK tr_code tr_sql_run_value(tr_sql_connection *c, tr_sql_run *run, uint32_t *oid,
                                       tr_str *text, tr_err *err);
void tr_sql_run_end(tr_sql_connection *c, tr_sql_run *run);
/* The worker goes, and what it has sent stays: all rows, or is_late. */
void tr_sql_run_let_go(tr_sql_connection *c, tr_sql_run *run);
/* {"columns","params"}; returned. */
TR_MUST_CHECK tr_code tr_sql_run_describe(tr_sql_connection *c, const tr_plan *plan, tr_str sql,
                                          json_t **out, tr_err *err);
/* Writes all rows to a Parquet file. columns: of the table that gets them, NULL: a new one
 * *told  {"columns":[{"name","type"}],"rows":n}; returned */
TR_MUST_CHECK tr_code tr_sql_run_keep(tr_sql_connection *c, const tr_plan *plan,
                                      const json_t *columns, const char *path, uint64_t *bytes,
                                      json_t **told, tr_err *err);
/* session_temporary.c: whether a statement is about a temporary table; what it says; the end of all
 * of them. */
bool tr_sql_is_temporary(const tr_sql_connection *c, const tr_write *write);
TR_MUST_CHECK tr_code tr_sql_write_temporary(tr_sql_connection *c, const tr_write *write,
                                             uint64_t *rows, tr_err *err);
void tr_sql_drop_temporary(tr_sql_connection *c);
/* session_write.c: runs it to its end. */
TR_MUST_CHECK tr_code tr_sql_write(tr_sql_connection *c, tr_str sql, uint64_t *rows, tr_err *err);
/* Of a column, by Bind's rule: none given is text, one given is of all. */
bool tr_sql_is_binary(const json_t *formats, size_t column);
/* session_block.c: a block, to its end, with its tag.
 * gives_rows  those of its last statement go to the client: not by the extended protocol, which
 *             would have to tell of their columns before */
TR_MUST_CHECK tr_code tr_sql_run_block(tr_sql_connection *c, const tr_plan *plan, bool gives_rows,
                                       tr_err *err);
TR_MUST_CHECK tr_code tr_sql_set_variable(tr_sql_connection *c, const tr_plan *plan, tr_err *err);
/* RowDescription. */
void tr_sql_put_columns(tr_sql_connection *c, const json_t *columns, const json_t *formats);

#endif
