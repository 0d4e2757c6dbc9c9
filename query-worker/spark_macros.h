/* SPDX-License-Identifier: Apache-2.0 */
/* spark_macros.h - functions of Spark that DuckDB has under another name or with another meaning.
 *
 * They are macros of SQL, made in a session's engine when the first statement names one: all of
 * them take 20 ms. Some stand over a function of the engine of the same name (log, dayofweek,
 * trunc): the statements are Spark's. What a macro cannot be given where it is called: DISTINCT,
 * ORDER BY, FILTER. Not here: what no macro can do (concat of nulls, regexp_replace of all, formats
 * of dates).
 *
 * Threads: one; a process has one engine.
 */
#ifndef TR_WORKER_SPARK_MACROS_H
#define TR_WORKER_SPARK_MACROS_H

#include "engine.h"

/* Those that the statement names and that are not there yet. */
TR_MUST_CHECK tr_code tr_spark_macros_make(tr_engine *engine, const char *statement, tr_err *err);
bool tr_is_spark_macro(const char *name); /* any case */

#endif
