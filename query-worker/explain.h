/* SPDX-License-Identifier: Apache-2.0 */
/* explain.h - the engine's plan of a statement as PostgreSQL shows one: lines of a column QUERY
 * PLAN. */
#ifndef TR_WORKER_EXPLAIN_H
#define TR_WORKER_EXPLAIN_H

#include "engine.h"

/* Replaces the checked statement in `sql` (with its NUL) by a SELECT of its plan's lines.
 * how  "text", "json"; "analyze" and "analyze json" run it */
TR_MUST_CHECK tr_code tr_explain(tr_engine *engine, const char *how, tr_buf *sql, tr_err *err);

#endif
