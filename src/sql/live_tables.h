/* SPDX-License-Identifier: Apache-2.0 */
/* live_tables.h - tables that are no dataset, made of what the server knows now.
 *
 *     profile               the merged profiles by the default merge policy; _id, identityMap,
 *     ...: the
 *                           columns of the union schema, without timeSeriesEvents
 *     segment_membership    a row for each profile and segment of its segmentMembership
 *     profile_<policy>, segment_membership_<policy>
 *                           the same by another policy: its name as a table's name, or its id
 *     batches, export_jobs  from the catalog
 *     qsaccel.profile_agg.adwh_dim_merge_policies, ...namespaces    dimension_tables.h
 *
 * A dataset's table of the same name goes first. Profiles are merged when a statement names them
 * (live_cache.h), and only the columns whose names occur in it: a name is the only way to a column,
 * but for *, whole rows, and a few words; where one of these stands, all columns are merged.
 *
 * Threads: any.
 */
#ifndef TR_SQL_LIVE_TABLES_H
#define TR_SQL_LIVE_TABLES_H

#include "sql/lex.h"
#include "sql/live_cache.h"

typedef struct tr_live_tables tr_live_tables;

TR_MUST_CHECK tr_code tr_live_tables_open(const tr_live_cache_parts *parts, tr_catalog *catalog,
                                          tr_live_tables **out, tr_err *err);
void tr_live_tables_close(tr_live_tables *live); /* accepts NULL */

typedef struct tr_live_wanted {
    tr_str sql;           /* whose tokens name tables and columns */
    bool is_columns_only; /* no rows are looked at */
    bool is_whole;        /* all columns, whatever is named */
    bool is_listed;       /* the tables that are not named, too, without rows */
    tr_query_patience patience;
} tr_live_wanted;

/* Adds what `sql`, or a view among `tables`, names, as tr_query_session_send takes it.
 * *temporary   files that the caller removes once the statement holds its own; returned
 * *is_narrow   columns were left out */
TR_MUST_CHECK tr_code tr_live_tables_add(tr_live_tables *live, const tr_tenant *tenant,
                                         const tr_live_wanted *wanted, json_t *tables,
                                         json_t **temporary, bool *is_narrow, tr_err *err);
/* What was made of data that went. */
void tr_live_tables_drop(tr_live_tables *live, const tr_tenant *tenant);
void tr_live_tables_forget(json_t *temporary); /* removes them; taken, accepts NULL */

/* All of them: [{"table","description"}]; returned. */
TR_MUST_CHECK tr_code tr_live_tables_list(tr_live_tables *live, const tr_tenant *tenant,
                                          json_t **out, tr_err *err);

/* What a statement needs of a table, told by its tokens (columns_wanted.c).
 * Whether token i stands where a table's name can. */
bool tr_is_table_place(const tr_tokens *tokens, size_t i);
/* Whether all columns of the table may be needed, named or not. */
bool tr_needs_whole_rows(const tr_tokens *tokens, const char *table);
bool tr_names_column(const tr_tokens *tokens, const char *column);

#endif
