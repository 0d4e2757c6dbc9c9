/* SPDX-License-Identifier: Apache-2.0 */
/* tables.h - the datasets of a tenant as SQL tables: their names and their Parquet files.
 *
 * A table is named by its dataset's tag "adobe/pqs/table", or by the dataset's id, and holds the
 * files of its finished batches.
 */
#ifndef TR_SQL_TABLES_H
#define TR_SQL_TABLES_H

#include "lake/lake.h"
#include "sql/write.h"

/* Every table: [{"table","dataset","name","files","rows"}]; returned. */
TR_MUST_CHECK tr_code tr_tables_list(tr_catalog *catalog, const tr_tenant *tenant, json_t **out,
                                     tr_err *err);
/* The tables and views whose names occur in `sql` or in the text of a view that it names, as
 * tr_query_select takes them; returned.
 * TR_NOT_FOUND  one of them has no rows yet, or none occurs: the text says which there are */
TR_MUST_CHECK tr_code tr_tables_of(tr_catalog *catalog, tr_lake *lake, const tr_tenant *tenant,
                                   tr_str sql, json_t **out, tr_err *err);
typedef struct tr_tables_wanted {
    tr_str sql;        /* whose words name them */
    bool is_all;       /* every table, whatever the words */
    bool falls_back;   /* a snapshot that is no more is the beginning or the end (snapshots.h) */
    bool may_be_empty; /* a table without rows has no files, and none named is an empty object */
    const tr_write *new_view; /* a view that is not kept yet (view_store.h); NULL: none */
} tr_tables_wanted;
TR_MUST_CHECK tr_code tr_tables_find(tr_catalog *catalog, tr_lake *lake, const tr_tenant *tenant,
                                     const tr_tables_wanted *wanted, json_t **out, tr_err *err);
/* Makes every struct of every table columns of their own, called "a.b.c": ?FLATTEN. */
TR_MUST_CHECK tr_code tr_tables_flatten(json_t *tables, tr_err *err);
/* *is_flat  a database's name ends in ?FLATTEN, in any case.  False: in another "?..." */
bool tr_tables_option(const char *database, bool *is_flat);
/* The ids of the datasets whose tables `sql` names, itself or by a view: an array, returned. */
TR_MUST_CHECK tr_code tr_tables_named(tr_catalog *catalog, const tr_tenant *tenant, tr_str sql,
                                      json_t **out, tr_err *err);
/* Whether a table, a view or a dataset of the tenant is called so, in any case. */
TR_MUST_CHECK tr_code tr_tables_has(tr_catalog *catalog, const tr_tenant *tenant, const char *name,
                                    bool *has, tr_err *err);
/* The only org with a dataset in a sandbox of this name.
 * TR_NOT_FOUND  none has;  TR_INVALID  several have: the text names two */
TR_MUST_CHECK tr_code tr_tables_org(tr_catalog *catalog, const char *sandbox, char out[80],
                                    tr_err *err);

#endif
