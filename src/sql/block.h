/* SPDX-License-Identifier: Apache-2.0 */
/* block.h - anonymous blocks, and variables of a session or a block (reference: Query Service,
 * section 10). Only read here; session_block.c and query_block.c do what they say.
 *
 *     $$ BEGIN
 *          SET @since = SELECT max(snapshot_id) FROM (SELECT history_meta('crm'));
 *          CREATE TABLE new_ones AS SELECT * FROM crm SNAPSHOT SINCE @since;
 *        EXCEPTION WHEN OTHER THEN
 *          DROP TABLE IF EXISTS new_ones;
 *     END $$;
 *
 * Also `$$BEGIN ... $$END;`. Its statements run one after the other; the first that fails ends it,
 * or the statements of EXCEPTION run in place of the rest. Blocks do not nest.
 *
 * A variable holds one plain value. Where @name stands in a statement the value is written as a
 * literal, so that it can be nothing else.
 */
#ifndef TR_SQL_BLOCK_H
#define TR_SQL_BLOCK_H

#include "codec/json.h"
#include "sql/lex.h"

enum { TR_VARIABLES_MAX = 200, TR_VARIABLE_BYTES_MAX = 64 * 1024 };

typedef struct tr_block {
    tr_str *at;  /* statements without their ';', borrowed from the text; the array: arena */
    size_t count;
    tr_str *handler; /* of EXCEPTION */
    size_t handler_count;
    bool has_handler;
} tr_block;

/* Whether the statement is one: what stands between its $$; borrowed. */
bool tr_is_block(const tr_tokens *tokens, tr_str *inner);
/* TR_INVALID  it is not well formed; *state says which error that is */
TR_MUST_CHECK tr_code tr_block_read(tr_str inner, tr_arena *arena, tr_block *out,
                                    const char **state, tr_err *err);

/* `sql` with the variables' literals in it, in the arena; the first name behind SET stays.
 * variables   {name in lower case: literal};  NULL: each is 0, to look at one before it runs
 * TR_INVALID  one has no value */
TR_MUST_CHECK tr_code tr_variables_put(tr_str sql, const json_t *variables, tr_arena *arena,
                                       tr_str *out, const char **state, tr_err *err);
/* What a variable is of: SELECT (inner), in the arena. */
TR_MUST_CHECK tr_code tr_variable_query(tr_str inner, tr_arena *arena, tr_str *out, tr_err *err);
/* Sets one: {name: literal}.
 * oid         the value's type in PostgreSQL's numbers;  text: NULL without a place
 * TR_INVALID  too many, too long; *state says which error it is */
TR_MUST_CHECK tr_code tr_variable_set(json_t *variables, tr_str name, uint32_t oid, tr_str text,
                                      const char **state, tr_err *err);

#endif
