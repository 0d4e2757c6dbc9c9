/* SPDX-License-Identifier: Apache-2.0 */
/* view_store.h - views: queries that a sandbox keeps under a name.
 *
 * An object of kind "view", its id the name in lower case: {"sql", "columns": ["a"], "clientId"}.
 * One of kind "table" with the same id keeps the name from becoming a dataset's table. The text is
 * kept as the client wrote it and read anew by every statement: * is the columns that are there
 * then, and what was dropped and made again is found again.
 *
 * Which views a statement reads is told by its tokens, and may be more than it does; the worker
 * makes those that it meets (query-worker/view_maker.h).
 */
#ifndef TR_SQL_VIEW_STORE_H
#define TR_SQL_VIEW_STORE_H

#include "catalog/catalog.h"
#include "sql/write.h"

#define TR_VIEW_KIND "view"

typedef struct tr_views_wanted {
    tr_str sql;               /* of a statement, whose tokens name views */
    bool is_all;              /* every view, whatever the tokens */
    const tr_write *new_view; /* one that is not kept yet, in place of what has its name; or NULL */
} tr_views_wanted;
/* Those, and those that they name: an object as tr_query_session_send takes it; returned. */
TR_MUST_CHECK tr_code tr_views_find(tr_catalog *catalog, const tr_tenant *tenant,
                                    const tr_views_wanted *wanted, json_t **out, tr_err *err);
/* The text of a view among the tables of a statement, in the worker's words; NULL: it is none. */
const char *tr_view_text(const json_t *table);
/* Says of a view among the tables why it cannot be read. */
TR_MUST_CHECK tr_code tr_view_break(json_t *view, const char *why, tr_err *err);
/* All that are kept: [{"table","description"}]; returned. */
TR_MUST_CHECK tr_code tr_views_list(tr_catalog *catalog, const tr_tenant *tenant, json_t **out,
                                    tr_err *err);
bool tr_view_is_kept(tr_catalog *catalog, const tr_tenant *tenant, tr_str name);

/* The name as it is kept. TR_INVALID: it is no name of a view; *state says which error that is */
TR_MUST_CHECK tr_code tr_view_name(tr_str name, char out[64], const char **state, tr_err *err);
/* CREATE VIEW and DROP VIEW, each within a transaction of the caller's.
 * TR_INVALID  the name is taken, or is none; *state says which error that is */
TR_MUST_CHECK tr_code tr_view_keep(tr_catalog *catalog, const tr_tenant *tenant,
                                   const tr_write *write, const char *client_id, const char **state,
                                   tr_err *err);
TR_MUST_CHECK tr_code tr_view_drop(tr_catalog *catalog, const tr_tenant *tenant,
                                   const tr_write *write, const char **state, tr_err *err);
/* RESTRICT. TR_INVALID: the text of a view names this table or view; *state is 2BP01 */
TR_MUST_CHECK tr_code tr_view_check_unread(tr_catalog *catalog, const tr_tenant *tenant,
                                           tr_str name, const char **state, tr_err *err);

#endif
