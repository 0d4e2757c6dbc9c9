/* SPDX-License-Identifier: Apache-2.0 */
/* query_job.h - statements as jobs: what POST /queries, schedules and writing sessions run.
 *
 *     SUBMITTED --> IN_PROGRESS --> SUCCESS | FAILED | KILLED | TIMEOUT
 *
 * A job is an object of kind "query" (id uuid, parent: its schedule or ""), its document what the
 * wire shows, and what begins with "_" for us. A SELECT only counts its rows. One that writes:
 *
 *     worker --lines of JSON--> uploads of a batch --COMPLETE--> ingest --> batch success
 *                               (files of PIECE_BYTES)               one transaction of ingest's
 *
 * so what it writes is there whole or not at all, checked row by row by the dataset's schema. A new
 * table's dataset is hidden (no table of SQL) until its batch is there; then one transaction shows
 * the table and ends the job.
 *
 * A block (block.h) is a job, and each of its statements one of its own that is not listed
 * (query_block.c).
 *
 * A session's statement may read its temporary tables. They are no part of what is stored: what a
 * crash has broken off fails then.
 *
 * After a crash: a job whose batch was complete waits for it; of any other the batch is aborted and
 * the new dataset dropped, and it begins again. Either way it happens once.
 *
 * Jobs run on a pool of their own: they wait for ingest's, which must not wait for them.
 *
 * Threads: any.
 */
#ifndef TR_SQL_QUERY_JOB_H
#define TR_SQL_QUERY_JOB_H

#include "ingest/ingest.h"
#include "sql/live_tables.h"

/* Kinds of the catalog. */
#define TR_QUERY_KIND "query"

typedef struct tr_new_table {
    const char *dataset;      /* its id: 24 hex digits */
    const char *name;
    const char *description;  /* NULL: none */
    const char *client_id;
    const char *schema_title; /* NULL: a schema is made of `properties` */
    const json_t *properties; /* of XDM */
    bool is_unchecked, is_profile;
} tr_new_table;

typedef struct tr_new_identity {
    const char *client_id;
    const char *schema;     /* $id */
    const char *property;   /* "/_acme/email" */
    const char *name_space; /* its code */
    bool is_primary;
} tr_new_identity;

/* What the rooms above know how to do. */
typedef struct tr_table_maker {
    void *ctx;
    /* A dataset with its table and, unless one is named, its schema; hidden: "_hidden" in its
     * document. TR_CONFLICT: the table is there;  TR_NOT_FOUND: no schema has that title */
    tr_code (*make)(void *ctx, const tr_tenant *tenant, const tr_new_table *table, tr_err *err);
    /* The dataset with all its data, and a schema that `make` made. TR_NOT_FOUND: is no more */
    tr_code (*drop)(void *ctx, const tr_tenant *tenant, const char *dataset, tr_err *err);
    /* The $id of the schema of that title, of `size` bytes. TR_NOT_FOUND */
    tr_code (*find_schema)(void *ctx, const tr_tenant *tenant, const char *title, char *id,
                           size_t size, tr_err *err);
    /* An identity descriptor. TR_INVALID says what keeps it from being one */
    tr_code (*add_identity)(void *ctx, const tr_tenant *tenant, const tr_new_identity *identity,
                            tr_err *err);
    /* TR_INVALID: the schema is in a union, and this is its primary identity */
    tr_code (*drop_identity)(void *ctx, const tr_tenant *tenant, const char *descriptor,
                             tr_err *err);
    /* Fields more, `properties`, of a schema that `make` made; one that is there as it is to be is
     * left. TR_SEMANTIC: another made it. TR_CONFLICT: there is another field of such a name */
    tr_code (*add_columns)(void *ctx, const tr_tenant *tenant, const tr_new_table *table,
                           tr_err *err);
} tr_table_maker;

typedef struct tr_query_jobs_parts {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_ingest *ingest;
    tr_query *query;      /* with the limits of jobs */
    tr_live_tables *live; /* NULL: none */
    uint32_t job_count;      /* at a time, of one sandbox half of them; 0: 4 */
    uint32_t now_max;        /* statements answered at once, at a time; 0: 4 */
    uint32_t now_deadline_s; /* of each; 0: 600 */
    uint32_t now_rows_max;   /* of each that does not say how many; 0: TR_QUERY_ROWS_MAX */
    tr_table_maker maker;
} tr_query_jobs_parts;

typedef struct tr_query_jobs tr_query_jobs;
TR_MUST_CHECK tr_code tr_query_jobs_open(const tr_query_jobs_parts *parts, tr_query_jobs **out,
                                         tr_err *err);
/* Ends what runs, and what callers wait for: jobs go on at the next start. Calls may still come. */
void tr_query_jobs_stop(tr_query_jobs *jobs); /* accepts NULL */
/* The same, and frees. Before ingest and query close. Accepts NULL. */
void tr_query_jobs_close(tr_query_jobs *jobs);
/* The sandbox is being removed: its queries end, and what was kept for them goes. Accepts NULL. */
void tr_query_jobs_forget(tr_query_jobs *jobs, const tr_tenant *tenant);
/* What was under way when the server stopped; once, at start-up. */
TR_MUST_CHECK tr_code tr_query_jobs_resume(tr_query_jobs *jobs, tr_err *err);

typedef struct tr_query_order {
    const char *id;         /* NULL: a new one */
    const json_t *request;  /* the body of POST /queries */
    const char *client;     /* "API", or a session's application_name */
    const char *client_id;
    const char *schedule;   /* NULL: none; else with the run's id and start */
    const char *schedule_run;
    bool is_external;       /* the run was asked for, not due */
    const json_t *temporary; /* tables of a session that it reads (temporary.h); NULL: none */
    const char **state;     /* SQLSTATE of TR_INVALID: a literal, or NULL; NULL: not asked for */
} tr_query_order;

/* Checks the request whole, keeps it and starts it. *out is the stored document; returned.
 * TR_INVALID    names the member, or line and column of the SQL
 * TR_NOT_FOUND  no such template */
TR_MUST_CHECK tr_code tr_query_submit(tr_query_jobs *jobs, const tr_tenant *tenant,
                                      const tr_query_order *order, json_t **out, tr_err *err);
/* A SELECT's rows at once, without a job: *columns as {"name": {"type", "meta:xdmType"}}, returned;
 * to `rows` an array of objects is appended, as JSON text. What is null is left out.
 * TR_INVALID  it is no SELECT, or fails;  TR_LIMIT  more rows than may be, 64 MiB, a deadline
 * TR_BUSY     now_max of them run */
TR_MUST_CHECK tr_code tr_query_now(tr_query_jobs *jobs, const tr_tenant *tenant,
                                   const json_t *request, json_t **columns, tr_buf *rows,
                                   tr_err *err);
/* Checks a request as submit does: for schedules. */
TR_MUST_CHECK tr_code tr_query_check(tr_query_jobs *jobs, const tr_tenant *tenant,
                                     const json_t *request, tr_err *err);
TR_MUST_CHECK tr_code tr_query_get(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id,
                                   tr_object *out, tr_err *err);
/* TR_CONFLICT  it has ended */
TR_MUST_CHECK tr_code tr_query_cancel(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id,
                                      tr_err *err);
/* It is no longer listed. TR_CONFLICT  it runs */
TR_MUST_CHECK tr_code tr_query_hide(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id,
                                    tr_err *err);
/* Waits at most wait_ms for the end. *out is filled whether it has ended or not.
 * TR_BUSY  it has not, and the server stops */
TR_MUST_CHECK tr_code tr_query_wait(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id,
                                    int64_t wait_ms, tr_object *out, tr_err *err);
bool tr_query_has_ended(const char *state);

#endif
