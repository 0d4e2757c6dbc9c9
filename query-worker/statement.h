/* SPDX-License-Identifier: Apache-2.0 */
/* statement.h - whether a statement of a user may run at all.
 *
 * DuckDB parses it and hands out the tree (json_serialize_sql, which takes nothing but SELECT and
 * what is made of it: WITH, VALUES, FROM, DESCRIBE, SUMMARIZE, SHOW TABLES). Each node of the tree
 * must be of a kind that is known here; functions must be on a list; tables must be those of the
 * request, names the statement itself gives (WITH), or information_schema's tables and columns. A
 * table that is a string, FROM '/etc/passwd', is a table that nobody named.
 */
#ifndef TR_WORKER_STATEMENT_H
#define TR_WORKER_STATEMENT_H

#include "codec/json.h"
#include "engine.h"
#include "view_maker.h"

typedef struct tr_statement_rules {
    const json_t *tables; /* an object whose keys are the names that may be used */
    bool may_have_parameters;
    bool is_probe; /* of a client's tool: the schema pgc of catalog.h is there, too */
    tr_view_maker *maker; /* is told of each table that is named; NULL: nobody is */
    bool is_of_view;      /* the statement is a view's: it names tables without a schema */
    /* Whether the engine takes a statement with forks (fork.h); NULL: whether it prepares it. */
    tr_code (*try)(void *ctx, const char *sql, tr_err *err);
    void *ctx;
} tr_statement_rules;

/* TR_INVALID  not one statement, not SQL, or something that is not allowed: the text names it */
TR_MUST_CHECK tr_code tr_statement_check(tr_engine *engine, const tr_statement_rules *rules,
                                         const char *sql, tr_err *err);

#endif
