/* SPDX-License-Identifier: Apache-2.0 */
/* keep.h - a SELECT's rows into a Parquet file from which a view gives them again as they were
 * (views.h): the temporary tables of a session.
 *
 *     columns   [{"name":"total","type":"HUGEINT"}]
 *
 * Parquet has fewer types than DuckDB: a HUGEINT would come back as a DOUBLE. Such a column is
 * stored as another type that loses nothing, and the view casts every column to its own.
 */
#ifndef TR_WORKER_KEEP_H
#define TR_WORKER_KEEP_H

#include "codec/json.h"
#include "engine.h"

#define TR_KEPT_FILE "kept.parquet" /* in the spill folder; src/query knows it, too */

/* columns  of the table that gets the rows: those of the query meet them by name; NULL: a new one
 * *out     {"columns":[...],"rows":n}; returned
 * TR_INVALID  by its SQLSTATE: two columns of one name, one that the table lacks, a type that
 *             cannot be kept, or the query fails. There is no file then */
TR_MUST_CHECK tr_code tr_keep(tr_engine *engine, const char *sql, const json_t *columns,
                              const char *path, json_t **out, tr_err *err);
/* The type that a column of `type` is stored as, appended. TR_INVALID: none */
TR_MUST_CHECK tr_code tr_keep_type(tr_str type, tr_buf *out, tr_err *err);

#endif
