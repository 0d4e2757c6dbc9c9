/* SPDX-License-Identifier: Apache-2.0 */
/* views.h - files as tables. {"name": ["/file", ...]} are Parquet files, united by name, the
 * bookkeeping column hidden; {"name": {"files": ["/file", ...], "sql": "SELECT ... {files}"}} is
 * what the server wants to be seen of them; with "columns" for "sql", a temporary table (keep.h).
 * "added": [{"name","type"}] are columns that are NULL where no file has them.
 * With "flat": true the members of structs are columns
 * of their own, called "a.b.c"; lists and maps stay.
 */
#ifndef TR_WORKER_VIEWS_H
#define TR_WORKER_VIEWS_H

#include "codec/json.h"
#include "engine.h"

/* TR_INVALID: not of that form. */
TR_MUST_CHECK tr_code tr_views_check(const json_t *tables, tr_err *err);
/* Shows each file's path as its table's name in messages, until the next call; *out is returned
 * (tr_free) and borrows the texts of `tables` and `own`: they live as long as it is in use.
 * own  the file that is written: borrowed, too; NULL: none */
TR_MUST_CHECK tr_code tr_views_disguise(const json_t *tables, const char *own, tr_disguise **out,
                                        tr_err *err);
/* Makes or replaces a view. A table without files has no columns that anybody knows, and no
 * rows. */
TR_MUST_CHECK tr_code tr_view_make(tr_engine *engine, const char *name, const json_t *table,
                                   tr_err *err);
/* Makes a view in another schema of the engine, without its "flat". */
TR_MUST_CHECK tr_code tr_view_make_plain(tr_engine *engine, const char *schema, const char *name,
                                         const json_t *table, tr_err *err);
/* Makes or replaces a view of what `select` gives. */
TR_MUST_CHECK tr_code tr_view_make_of(tr_engine *engine, const char *name, tr_str select,
                                      bool is_flat, tr_err *err);
/* Of a session alone (keep.h). */
bool tr_view_is_temporary(const json_t *table);
/* The list of a table's files, of either form. */
const json_t *tr_view_files(const json_t *table);
/* Appends 'a','b',... of one table's files. */
TR_MUST_CHECK tr_code tr_view_put_files(tr_buf *sql, const json_t *files, tr_err *err);

#endif
