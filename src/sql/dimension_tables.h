/* SPDX-License-Identifier: Apache-2.0 */
/* dimension_tables.h - what AEP's accelerated store (qsaccel.profile_agg) tells of merge policies
 * and namespaces, from the catalog: aepp's interactive classes ask for it when they connect.
 *
 *     adwh_dim_merge_policies   MERGE_POLICY_ID (1, 2 ...), MERGE_POLICY, IS_DEFAULT_MERGE_POLICY
 *     adwh_dim_namespaces       MERGE_POLICY_ID, NAMESPACE_ID, NAMESPACE_DESCRIPTION (the code)
 */
#ifndef TR_SQL_DIMENSION_TABLES_H
#define TR_SQL_DIMENSION_TABLES_H

#include "catalog/catalog.h"

bool tr_is_dimension_table(const char *name);
/* Appends the SELECT of a table that is one.
 * policies  as tr_policy_list gives them */
TR_MUST_CHECK tr_code tr_dimension_table(tr_catalog *catalog, const tr_tenant *tenant,
                                         const char *name, const json_t *policies, tr_buf *sql,
                                         tr_err *err);

#endif
