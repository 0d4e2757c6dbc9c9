/* SPDX-License-Identifier: Apache-2.0 */
/* constraints.h - the keys and identities of tables, as ALTER TABLE makes them and SHOW tells them.
 *
 * Identities are the identity descriptors of the dataset's schema, whoever made them. Keys are
 * metadata that nothing enforces, in the dataset's document:
 *
 *     "_keys": {"primary": {"columns": ["a", "b.c"], "namespace": "Email"},
 *               "foreign": [{"column": "a", "dataset": "<id>", "otherColumn": "b"}]}
 *
 * A foreign key to a table that is no more is told no more.
 */
#ifndef TR_SQL_CONSTRAINTS_H
#define TR_SQL_CONSTRAINTS_H

#include "catalog/schemas.h"
#include "sql/write.h"

/* The scalar field that a path like "a.b" names, its names in any case; NULL: there is none.
 * path_out  as the schema writes it */
const tr_type *tr_constraint_field(const tr_xdm_schema *schema, tr_str path, char path_out[256]);
/* PostgreSQL's name of its type. */
const char *tr_constraint_type(const tr_type *field);
/* The identities of a schema: [{"id","path","namespace","isPrimary"}], the path as "a.b"; returned.
 * id: of the descriptor */
TR_MUST_CHECK tr_code tr_constraint_identities(tr_catalog *catalog, const tr_tenant *tenant,
                                               const char *schema, json_t **out, tr_err *err);
/* SHOW PRIMARY KEYS, FOREIGN KEYS, IDENTITIES as a SELECT. */
TR_MUST_CHECK tr_code tr_constraints_list(tr_catalog *catalog, const tr_tenant *tenant,
                                          tr_alter_what what, tr_buf *sql, tr_err *err);

#endif
