/* SPDX-License-Identifier: Apache-2.0 */
/* temporary.h - the temporary tables of one session, as its statements see them.
 *
 *     tables   {"name in lower case": {"files":[path, ...], "columns":[{"name","type"}]}}
 *
 * A name means such a table before any other of that name, as in PostgreSQL, unless `public.`
 * stands in front of it. The rewriter then writes "name@public" AS "name", which tables.c knows,
 * so that a statement may read both. `pg_temp.` in front means the temporary one alone. A view
 * reads no temporary table: what one hides goes aside under "name@public", where views find it.
 */
#ifndef TR_SQL_TEMPORARY_H
#define TR_SQL_TEMPORARY_H

#include "codec/json.h"
#include "sql/lex.h"

/* The one of that name, in any case; NULL: there is none. tables NULL: none. */
const json_t *tr_temporary_find(const json_t *tables, tr_str name);
/* Those that `sql` names, and no others; *out is returned, NULL: it names none. */
TR_MUST_CHECK tr_code tr_temporary_named(const json_t *tables, tr_str sql, json_t **out,
                                         tr_err *err);
/* Puts those that `sql` names, or all, in front of what `into` has under the same names. */
TR_MUST_CHECK tr_code tr_temporary_put(const json_t *tables, tr_str sql, bool is_all, json_t *into,
                                       tr_err *err);

#endif
