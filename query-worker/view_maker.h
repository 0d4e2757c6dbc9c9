/* SPDX-License-Identifier: Apache-2.0 */
/* view_maker.h - the views that a statement's sandbox has: queries with a name.
 *
 *     {"name": {"files": [], "view": "SELECT ...", "names": ["a"], "definition": "...",
 *               "broken": "why"}}
 *
 * "view" is the server's text of it, with forks (fork.h); "names" are those of its first columns;
 * "definition" is what the client wrote. "broken": the server found that it cannot be read now,
 * which is told when a statement reads it.
 *
 * A view is made when the check of a statement meets its name, and those that it reads are met by
 * its own check: so they are made in the order in which they need each other, each is checked by
 * the rules of statements, one that reads itself is found out, and one that nobody reads may fail.
 * They are made anew for each statement, unless its tables are those of the last one, file by file:
 * what they read may have become something else.
 *
 * Where a name means something else to the statement than to a view, views and what they read are
 * made in the schema "plain", and in "main" stands what they give. With ?FLATTEN the statement's
 * tables are flat; a view is written for tables as they are. A temporary table is of a session; a
 * view reads what it hides, which the server gives as "name@public".
 */
#ifndef TR_WORKER_VIEW_MAKER_H
#define TR_WORKER_VIEW_MAKER_H

#include "codec/json.h"
#include "engine.h"

typedef struct tr_view_maker tr_view_maker;

TR_MUST_CHECK tr_code tr_view_maker_open(tr_engine *engine, tr_view_maker **out, tr_err *err);
void tr_view_maker_close(tr_view_maker *maker); /* accepts NULL */
bool tr_is_query_view(const json_t *table);
/* Begins a statement: the views of the last one go, unless it had the same tables. */
TR_MUST_CHECK tr_code tr_view_maker_begin(tr_view_maker *maker, const json_t *tables, tr_err *err);
/* The check of a text begins: a statement's, a view's, one choice of forks. What it reads is
 * counted from here. */
void tr_view_maker_begin_text(tr_view_maker *maker);
/* A check has met the name of a table of the statement, as it is spelled among the tables.
 * TR_INVALID  the view cannot be read: the text names it and what it misses */
TR_MUST_CHECK tr_code tr_view_maker_meet(tr_view_maker *maker, const char *name, tr_err *err);
/* Makes all of them, for tools: what cannot be read is listed, too. The table pgc.user_views has
 * their names, definitions, and why they cannot be read. */
TR_MUST_CHECK tr_code tr_view_maker_list(tr_view_maker *maker, tr_err *err);

#endif
