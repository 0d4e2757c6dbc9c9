/* SPDX-License-Identifier: Apache-2.0 */
/* write.h - statements that write: read into what they write to and the SELECT that it comes from.
 *
 *     CREATE TABLE [IF NOT EXISTS] t [WITH (schema='XDM title', rowvalidation='false',
 *         label='PROFILE')] AS query                          a new dataset, its table and a batch
 *     SELECT ... INTO t FROM ...                              the same
 *     INSERT INTO t [(columns)] [AS] query                    a batch of a dataset that is there
 *     DROP TABLE [IF EXISTS] t [RESTRICT | CASCADE]           the dataset and all its data
 *     CREATE [OR REPLACE] VIEW [IF NOT EXISTS] v [(columns)] AS query      view_store.h
 *     DROP VIEW [IF EXISTS] v [RESTRICT | CASCADE]
 *
 *     CREATE [LOCAL] TEMP TABLE [IF NOT EXISTS] t [ON COMMIT PRESERVE ROWS] AS query
 *     SELECT ... INTO TEMP t FROM ...                         a table of this session
 *
 *     ALTER TABLE [IF EXISTS] t                               query_alter.c
 *         ADD | DROP [CONSTRAINT] [PRIMARY] IDENTITY (column) [NAMESPACE 'Email']
 *         ADD | DROP [CONSTRAINT] PRIMARY KEY (columns) [NAMESPACE '...'] [NOT ENFORCED]
 *         ADD | DROP [CONSTRAINT] FOREIGN KEY (column) [REFERENCES u (column)] ...
 *         ADD [COLUMN] [IF NOT EXISTS] a type, b type
 *
 * INSERT and DROP of a name that a table of the session has are of that one, but for public.t.
 *
 * The query is not looked at here: translate.h and the worker do that.
 */
#ifndef TR_SQL_WRITE_H
#define TR_SQL_WRITE_H

#include "sql/lex.h"

typedef enum tr_write_kind {
    TR_WRITE_NONE, /* it does not write, or not in a way that is there */
    TR_WRITE_TABLE,
    TR_WRITE_INSERT,
    TR_WRITE_DROP,
    TR_WRITE_ALTER,
    TR_WRITE_VIEW,
    TR_WRITE_DROP_VIEW
} tr_write_kind;

typedef enum tr_alter_what {
    TR_ALTER_PRIMARY_IDENTITY,
    TR_ALTER_IDENTITY,
    TR_ALTER_PRIMARY_KEY,
    TR_ALTER_FOREIGN_KEY,
    TR_ALTER_COLUMN
} tr_alter_what;

enum { TR_ALTER_COLUMNS_MAX = 32 };
typedef struct tr_alter { /* what ALTER TABLE adds, or drops */
    tr_alter_what what;
    bool is_drop;
    tr_str columns[TR_ALTER_COLUMNS_MAX]; /* "name", "object.name" */
    const char *types[TR_ALTER_COLUMNS_MAX]; /* of columns to be: adhoc.h's "is" */
    size_t column_count;
    bool is_lenient; /* ADD COLUMN IF NOT EXISTS */
    tr_str name_space; /* .len 0: none is told */
    tr_str other_table, other_column;
} tr_alter;

typedef struct tr_write {
    tr_write_kind kind;
    tr_str table;      /* arena, here and below */
    tr_str query;
    tr_str schema;     /* the title of an XDM schema; .len 0: one is made for the columns */
    bool is_lenient;   /* IF NOT EXISTS, IF EXISTS */
    bool is_unchecked; /* rowvalidation='false' */
    bool is_profile;   /* label='PROFILE' */
    bool is_temporary; /* TEMP, or pg_temp in front of the name */
    tr_alter *alter;   /* of ALTER */
    bool is_public;    /* public in front of it: no temporary one */
    bool is_replacing;   /* OR REPLACE */
    bool is_restricted;  /* RESTRICT */
    tr_str *columns;     /* of a view: their names, for its first ones */
    size_t column_count;
} tr_write;

/* Whether it has a query, which decides what is written; also of a statement that is only one. */
bool tr_write_has_query(const tr_write *write);
/* Whether it may be one: tr_write_read then tells. */
bool tr_is_write(const tr_tokens *tokens);
/* TR_INVALID  *state says which error it is; the text names line and column */
TR_MUST_CHECK tr_code tr_write_read(tr_str sql, tr_arena *arena, tr_write *out, const char **state,
                                    tr_err *err);

#endif
