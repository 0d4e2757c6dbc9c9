/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite_internal.h - a statement written again, token by token: what is not changed is copied
 * with the spaces and comments around it.
 */
#ifndef TR_SQL_REWRITE_INTERNAL_H
#define TR_SQL_REWRITE_INTERNAL_H

#include "sql/translate.h"

/* PostgreSQL's tools choose their questions by it. */
#define TR_SQL_SERVER_VERSION "9.6.24"

/* One of two texts, whichever the engine can prepare: the worker's fork.c knows them, too. */
#define TR_FORK_BEGIN "\1{"
#define TR_FORK_OR "\1|"
#define TR_FORK_END "\1}"

typedef struct tr_rewrite {
    const tr_tokens *tokens;
    const tr_plan_session *session;
    tr_arena *arena;
    tr_buf *out;
    const uint8_t *copied; /* the statement up to here has been written */
    const char **state;
    uint32_t depth; /* of calls whose arguments are rewritten */
    bool is_in_one; /* in the argument of a function that gives rows */
} tr_rewrite;

TR_MUST_CHECK tr_code tr_rewrite_copy_to(tr_rewrite *w, const uint8_t *end, tr_err *err);
/* Writes `text` in place of the tokens from `from` to before `to`. */
TR_MUST_CHECK tr_code tr_rewrite_put(tr_rewrite *w, size_t from, size_t to, const char *text,
                                     tr_err *err);
/* The same with 'value' as an SQL literal between two texts. */
TR_MUST_CHECK tr_code tr_rewrite_put_literal(tr_rewrite *w, size_t from, size_t to,
                                             const char *before, tr_str value, const char *after,
                                             tr_err *err);

bool tr_is_probe(const tr_tokens *tokens);
TR_MUST_CHECK tr_code tr_rewrite_probe(tr_rewrite *w, tr_err *err);
TR_MUST_CHECK tr_code tr_rewrite_spark(tr_rewrite *w, tr_err *err);
/* The argument of a call, to `out`. */
TR_MUST_CHECK tr_code tr_rewrite_argument(const tr_rewrite *w, const tr_tokens *part, tr_buf *out,
                                          tr_err *err);

/* generators.c: token *i may be a function that gives rows, or LATERAL of LATERAL VIEW; *i is then
 * its last token. */
TR_MUST_CHECK tr_code tr_rewrite_generator(tr_rewrite *w, size_t *i, bool *is_one, tr_err *err);
TR_MUST_CHECK tr_code tr_rewrite_lateral_view(tr_rewrite *w, size_t *i, tr_err *err);

/* constructors.c: token *i may be struct, array or map; *i is then its closing parenthesis. */
TR_MUST_CHECK tr_code tr_rewrite_constructor(tr_rewrite *w, size_t *i, bool *is_one, tr_err *err);

/* snapshots.c: token *i may be a table's name with SNAPSHOT behind it, or ( of history_meta. */
TR_MUST_CHECK tr_code tr_rewrite_snapshot(tr_rewrite *w, size_t *i, bool *is_one, tr_err *err);

/* Whether token i is the name of a temporary table of the session. */
bool tr_names_temporary(const tr_rewrite *w, size_t i);
/* Whether tokens from i on are public.t, where a table stands, and t is such a name, too: then it
 * is written as "t@public" AS "t". */
bool tr_is_shadowed(const tr_rewrite *w, size_t i);
TR_MUST_CHECK tr_code tr_rewrite_shadowed(tr_rewrite *w, size_t i, tr_err *err);

bool tr_word_is_one_of(const tr_tokens *tokens, size_t i, const char *const *list);
/* Appends 'text', quotes doubled. TR_INVALID: a NUL */
TR_MUST_CHECK tr_code tr_put_literal(tr_buf *sql, tr_str text, tr_err *err);
/* Appends "name", quotes doubled. */
TR_MUST_CHECK tr_code tr_put_name(tr_buf *sql, tr_str name, tr_err *err);

#endif
