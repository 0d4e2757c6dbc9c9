/* SPDX-License-Identifier: Apache-2.0 */
/* adhoc.h - the columns of a query as the fields of a schema: made for a new table, or held against
 * the schema of one that is there.
 *
 *     columns  [{"name":"a","type":{"is":"long"}}], as the worker tells them
 *              (query-worker/write_rows.h)
 *
 * Columns and fields meet by name, at every level. What a value of a type may become is what ingest
 * accepts: whole numbers where they fit, texts also as dates. The values are ingest's to check.
 */
#ifndef TR_SQL_ADHOC_H
#define TR_SQL_ADHOC_H

#include "codec/json.h"
#include "parquet/type.h"

/* XDM's `properties`; returned. TR_INVALID  a column without a name of its own: *state */
TR_MUST_CHECK tr_code tr_adhoc_properties(const json_t *columns, json_t **out, const char **state,
                                          tr_err *err);
/* TR_INVALID  a column that the schema lacks (42703), or of a type that it cannot take (42804) */
TR_MUST_CHECK tr_code tr_adhoc_check(const json_t *columns, const tr_type *root,
                                     const char **state, tr_err *err);

#endif
