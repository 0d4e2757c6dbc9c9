/* SPDX-License-Identifier: Apache-2.0 */
/* sql.h - Query Service: the datasets of a sandbox as SQL tables, over the PostgreSQL protocol.
 *
 *     user      the org id, or a client id
 *     password  an access token, or client_id:client_secret; of a client id the client_secret
 *     database  <sandbox>:all, <sandbox>:all?FLATTEN
 *
 * One thread a connection, one worker process for each that has asked something lately. A statement
 * sees the batches that were finished when it began. One that writes is a job (query_job.h).
 *
 * Threads: any.
 */
#ifndef TR_SQL_SQL_H
#define TR_SQL_SQL_H

#include "sql/live_tables.h"
#include "sql/query_job.h"
#include "sql/scram.h"

typedef struct tr_sql tr_sql;

/* Who has come in. */
typedef struct tr_sql_person {
    tr_tenant tenant;
    char client_id[80];
    bool may_write; /* CREATE TABLE AS, INSERT INTO, DROP TABLE */
} tr_sql_person;

/* Who may come in: fills *out. Called from the connections' threads.
 * TR_UNAUTHORIZED  wrong user or password;  TR_NOT_FOUND  no such sandbox for that client */
typedef struct tr_sql_guard {
    void *ctx;
    tr_code (*admit)(void *ctx, const char *user, const char *sandbox, tr_str password,
                     tr_sql_person *out, tr_err *err);
    /* What SCRAM needs of a client, who is the user then. NULL: SCRAM is not offered.
     * TR_NOT_FOUND  there is no such client;  TR_SEMANTIC  nothing was kept of its secret for
     * that */
    tr_code (*find_verifier)(void *ctx, const char *client_id, tr_scram_verifier *out, tr_err *err);
    /* Lets in a client that has proven itself; asked again before every statement, because a client
     * may lose its rights while its session stays. NULL: it is not asked. */
    tr_code (*admit_client)(void *ctx, const char *client_id, const char *sandbox,
                            tr_sql_person *out, tr_err *err);
} tr_sql_guard;

typedef struct tr_sql_options {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_query *query;
    tr_live_tables *live; /* NULL: none */
    tr_query_jobs *jobs;  /* NULL: nothing can be written */
    tr_sql_guard guard;
    const char *listen;          /* "127.0.0.1:5433"; port 0: any */
    const char *tls_certificate; /* PEM files; NULL: no TLS */
    const char *tls_key;
    uint32_t connections_max;    /* 0: 100 */
    uint32_t idle_s;             /* of silence, then a session ends; 0: for ever */
    uint64_t temporary_bytes_max; /* of one session's temporary tables; 0: TR_SPILL_BYTES_MAX */
    uint32_t rows_max; /* of a query that does not say how many; 0: TR_QUERY_ROWS_MAX */
} tr_sql_options;

TR_MUST_CHECK tr_code tr_sql_open(const tr_sql_options *options, tr_sql **out, tr_err *err);
/* Ends every connection, and what it runs. Accepts NULL. */
void tr_sql_close(tr_sql *sql);
const char *tr_sql_address(const tr_sql *sql); /* "127.0.0.1:5433", the port that it is */

#endif
