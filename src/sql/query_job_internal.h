/* SPDX-License-Identifier: Apache-2.0 */
/* query_job_internal.h - a job, seen by the files that keep, run and end it.
 *
 *     query_request.c  a request into the statement that runs
 *     query_job.c      jobs kept, started, cancelled, found again after a crash
 *     query_run.c      one job: the worker's rows, the batch
 *     query_target.c   what a statement writes to
 *     query_alter.c    ALTER TABLE
 *     query_view.c     CREATE VIEW, DROP VIEW
 *     query_now.c      a SELECT answered at once, with its rows
 *     query_block.c    a block, statement by statement
 */
#ifndef TR_SQL_QUERY_JOB_INTERNAL_H
#define TR_SQL_QUERY_JOB_INTERNAL_H

#include "sql/block.h"
#include "sql/query_job.h"
#include "sql/translate.h"
#include "sql/write.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct tr_query_active { /* a job that waits or runs, or a statement without one */
    tr_query_jobs *jobs;
    tr_tenant tenant;
    char id[40];               /* "": no job */
    char block[40];            /* the block whose statement it is; it is no job of the pool's */
    json_t *temporary;         /* tables of the session that waits for it; NULL: none */
    uint32_t limit_s;          /* its deadline; 0: that of jobs */
    bool is_given;             /* to the pool, or no job */
    atomic_bool is_cancelled;  /* by a client; written under the jobs' lock, as are the others */
    atomic_bool must_end;      /* that, or the server stops */
    tr_query_session *session; /* its worker now; NULL: none */
    struct tr_query_active *next;
} tr_query_active;

struct tr_query_jobs {
    tr_query_jobs_parts parts;
    tr_compute *compute;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a job has ended */
    tr_query_active *active;
    uint32_t job_count; /* at a time */
    uint32_t now_count; /* statements that are answered at once */
    bool is_stopping;
};

/* query_request.c: the statement that a request means, in the arena.
 * state  SQLSTATE of TR_INVALID; NULL inside when the request itself is wrong */
typedef struct tr_query_text {
    tr_str sql; /* effectiveSQL */
    tr_write write;
    tr_plan plan; /* of the query in it; none of a DROP */
    const char *template_name; /* NULL: none */
    const json_t *temporary;   /* set before it is read: tables of the session; NULL: none */
    bool is_flat;              /* dbName ends in ?FLATTEN */
    const tr_write *new_view;  /* that the plan reads and that is not kept yet; NULL: none */
    bool is_block;             /* of several statements: write and plan are none */
    tr_block block;
} tr_query_text;
TR_MUST_CHECK tr_code tr_query_read(tr_query_jobs *jobs, const tr_tenant *tenant,
                                    const json_t *request, tr_arena *arena, tr_query_text *out,
                                    const char **state, tr_err *err);
/* The same of a statement that has been made of a request before. */
TR_MUST_CHECK tr_code tr_query_read_sql(const tr_tenant *tenant, tr_str sql, tr_arena *arena,
                                        tr_query_text *out, const char **state, tr_err *err);

/* query_block.c */
typedef struct tr_query_step { /* a statement of a block */
    bool is_setting;    /* SET name: there is nothing to do */
    tr_str variable;    /* of SET @name: text is then the query of its value; .len 0: none */
    tr_query_text text;
} tr_query_step;
/* variables  NULL: each is 0: only a look */
TR_MUST_CHECK tr_code tr_query_block_statement(const tr_tenant *tenant, tr_str sql,
                                               const json_t *variables, tr_arena *arena,
                                               tr_query_step *out, const char **state,
                                               tr_err *err);
TR_MUST_CHECK tr_code tr_query_block_check(const tr_tenant *tenant, const tr_block *block,
                                           tr_arena *arena, const char **state, tr_err *err);
typedef struct tr_query_block_end {
    uint64_t rows;     /* of the last statement */
    const char *state; /* SQLSTATE of the failure; arena */
} tr_query_block_end;
TR_MUST_CHECK tr_code tr_query_block_run(tr_query_active *active, const tr_object *job,
                                         const tr_block *block, tr_arena *arena,
                                         tr_query_block_end *end, tr_err *err);

/* query_job.c: makes the job of a block's statement and notes it in the block's. */
TR_MUST_CHECK tr_code tr_query_keep_child(tr_query_jobs *jobs, const tr_tenant *tenant,
                                          const tr_object *block, const tr_query_text *text,
                                          char id[40], tr_err *err);
/* Members (taken) over those of the stored document; state NULL: stays. */
TR_MUST_CHECK tr_code tr_query_note(tr_query_jobs *jobs, const tr_tenant *tenant, const char *id,
                                    const char *state, json_t *members, tr_err *err);

/* A statement without a job, so that a stop of the server ends it, too. */
void tr_query_here_begin(tr_query_active *active);
void tr_query_here_end(tr_query_active *active);
/* The deadline of what it runs. */
uint32_t tr_query_limit_s(const tr_query_active *active);

/* query_run.c */
void tr_query_run(tr_query_active *active);
TR_MUST_CHECK tr_code tr_query_worker_start(tr_query_active *active, const char *verb,
                                             const tr_query_text *text, json_t **first,
                                             const char **state, tr_err *err);

/* The next answer; of E the failure that it tells. */
TR_MUST_CHECK tr_code tr_query_next(tr_query_active *active, tr_query_answer *answer,
                                    const char **state, tr_err *err);
void tr_query_worker_end(tr_query_active *active);

/* query_target.c */
/* The dataset whose table, or whose own name or id, this is. TR_NOT_FOUND */
TR_MUST_CHECK tr_code tr_query_find_table(tr_query_jobs *jobs, const tr_tenant *tenant,
                                          const char *name, tr_object *dataset, tr_err *err);
/* Whether the columns fit the schema. */
TR_MUST_CHECK tr_code tr_query_check_columns(tr_query_jobs *jobs, const tr_tenant *tenant,
                                             const char *schema, const json_t *columns,
                                             const char **state, tr_err *err);
/* Makes the hidden dataset of a new table. */
TR_MUST_CHECK tr_code tr_query_make_table(tr_query_jobs *jobs, const tr_tenant *tenant,
                                          const tr_object *job, const tr_write *write,
                                          const char *dataset, const json_t *columns,
                                          const char **state, tr_err *err);
TR_MUST_CHECK tr_code tr_query_drop_table(tr_query_jobs *jobs, const tr_tenant *tenant,
                                          const tr_write *write, const char **state, tr_err *err);
/* Within the transaction that ends the job. */
TR_MUST_CHECK tr_code tr_query_show_table(tr_query_jobs *jobs, const tr_tenant *tenant,
                                          const char *dataset, tr_err *err);

/* query_alter.c; job: as it was before it began. */
TR_MUST_CHECK tr_code tr_query_alter(tr_query_jobs *jobs, const tr_tenant *tenant,
                                     const tr_object *job, const tr_write *write, tr_arena *arena,
                                     const char **state, tr_err *err);

/* query_view.c */
TR_MUST_CHECK tr_code tr_query_make_view(tr_query_active *active, const tr_object *job,
                                         const tr_query_text *text, const char **state,
                                         tr_err *err);
TR_MUST_CHECK tr_code tr_query_drop_view(tr_query_active *active, const tr_object *job,
                                         const tr_write *write, const char **state, tr_err *err);

#endif
