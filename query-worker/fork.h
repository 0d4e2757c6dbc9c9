/* SPDX-License-Identifier: Apache-2.0 */
/* fork.h - a statement with places where one of two texts may stand: the server cannot know types.
 *
 *     SELECT \1{unnest(x) AS col\1|unnest(map_keys(x)) AS key, ...\1} FROM t
 *
 *     ... WHERE a = \1{"chair"\1|'chair'\1}
 *
 * The first combination that the engine can prepare is the statement. Forks do not nest.
 */
#ifndef TR_WORKER_FORK_H
#define TR_WORKER_FORK_H

#include "statement.h"

/* Checks `sql` by the rules and appends what is to be run, with its NUL. When nothing can be
 * prepared, the failure is the first text's that is about something else than what was forked. */
TR_MUST_CHECK tr_code tr_fork_take(tr_engine *engine, const tr_statement_rules *rules,
                                   const char *sql, tr_buf *out, tr_err *err);

#endif
