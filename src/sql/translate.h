/* SPDX-License-Identifier: Apache-2.0 */
/* translate.h - a client's statement into what the worker runs, or into what needs no worker.
 *
 *     nothing, a comment                        EMPTY
 *     SET, BEGIN, COMMIT, PREPARE, DECLARE ...  TAG: answered here (commands.h)
 *     SELECT, WITH, VALUES, SHOW, DESCRIBE      QUERY: its text in DuckDB's words
 *     CREATE TABLE AS, INSERT, DROP TABLE       WRITE: as it stands; write.h reads it
 *     COPY (SELECT ...) TO STDOUT               COPY: a QUERY, and how its rows leave
 *     $$ BEGIN ... END $$                       BLOCK: of several statements
 *     all others                                an error that says so
 *
 * A statement that names pg_catalog or information_schema is a client's tool looking around: a
 * probe. Its names are moved to the worker's schema with PostgreSQL's numbers. Any other statement
 * is Query Service's SQL, a dialect of Spark: `name` is "name", arr[0] is the first element,
 * explode() gives rows (generators.c), MINUS is EXCEPT, LIMIT 0 at the end is no limit.
 */
#ifndef TR_SQL_TRANSLATE_H
#define TR_SQL_TRANSLATE_H

#include "codec/json.h"
#include "sql/lex.h"

typedef enum tr_plan_kind {
    TR_PLAN_EMPTY,
    TR_PLAN_TAG,
    TR_PLAN_QUERY,
    TR_PLAN_COPY,
    TR_PLAN_WRITE,
    TR_PLAN_BLOCK,  /* inner: what stands between its $$ (block.h) */
    TR_PLAN_FETCH,  /* of the cursor `name`, at most `most` rows */
    TR_PLAN_EXECUTE /* of the statement `name`, with `args` */
} tr_plan_kind;
typedef enum tr_plan_effect {
    TR_EFFECT_NONE,
    TR_EFFECT_BEGIN,
    TR_EFFECT_COMMIT,
    TR_EFFECT_ROLLBACK,
    TR_EFFECT_DEALLOCATE, /* name: one prepared statement; empty: all */
    TR_EFFECT_DISCARD,
    TR_EFFECT_DISCARD_TEMP,
    TR_EFFECT_SET,       /* name, sql: its value; without has_value the one it had at first */
    TR_EFFECT_RESET_ALL,
    TR_EFFECT_SET_VARIABLE, /* name, inner: what its value is of */
    TR_EFFECT_PREPARE,   /* name, oids, inner */
    TR_EFFECT_DECLARE,   /* name, inner, is_held */
    TR_EFFECT_CLOSE      /* name: one cursor; empty: all */
} tr_plan_effect;

typedef enum tr_shown {
    TR_SHOWN_TABLES,
    TR_SHOWN_PRIMARY_KEYS,
    TR_SHOWN_FOREIGN_KEYS,
    TR_SHOWN_IDENTITIES
} tr_shown;

typedef struct tr_plan {
    tr_plan_kind kind;
    const char *tag;   /* "SELECT", "SET", ...; a literal */
    tr_plan_effect effect;
    tr_str name;       /* of the effect; arena */
    tr_str sql;        /* for the worker; arena */
    bool is_probe;
    bool shows_tables; /* SHOW TABLES, or what else `shown` says: there is no sql yet */
    tr_shown shown;
    bool is_csv;       /* COPY: else PostgreSQL's text */
    bool has_header;
    bool is_limited;      /* it says itself how many rows it wants: LIMIT */
    uint32_t param_count; /* the highest $n */
    const char *explain;  /* "text", "json", "analyze", "analyze json": the rows are its plan */
    bool has_value, is_held, is_move;
    int64_t most;         /* -1: all */
    tr_str inner;         /* of PREPARE, DECLARE, SET @name, a block: as the client wrote it */
    tr_str *args;         /* of EXECUTE: SQL; borrowed from the statement */
    size_t arg_count;
    uint32_t *oids;       /* of PREPARE */
    uint32_t oid_count;
} tr_plan;

typedef struct tr_plan_session { /* what SHOW and current_user tell */
    const char *user;
    const char *database;
    const char *application_name;
    const json_t *settings;   /* what SET said; NULL: nothing */
    const json_t *temporary;  /* its tables: temporary.h; NULL: none */
    bool keeps_limit_zero;    /* LIMIT 0 is no row; else it is no limit, as in AEP */
} tr_plan_session;

/* What SHOW tells of a setting that nobody SET, in any case; NULL: it is not known. */
const char *tr_setting_default(tr_str name);
/* TR_INVALID  *state says which error it is ("0A000") */
TR_MUST_CHECK tr_code tr_translate(tr_str sql, const tr_plan_session *session, tr_arena *arena,
                                   tr_plan *out, const char **state, tr_err *err);

#endif
