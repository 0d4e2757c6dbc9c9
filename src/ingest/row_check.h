/* SPDX-License-Identifier: Apache-2.0 */
/* row_check.h - for tests: schemas out of JSON documents, and columns back into rows, slowly.
 *
 * A row in PLAIN FORM has no nulls, no empty maps and no empty objects, except as items of arrays;
 * dates and instants are integers (days, microseconds).
 */
#ifndef TR_INGEST_ROW_CHECK_H
#define TR_INGEST_ROW_CHECK_H

#include "parquet/column.h"
#include "xdm/xdm.h"

#define TR_CHECK_SCHEMA "https://ns.adobe.com/acme/schemas/1"

/* A schema whose own fields are `properties` (JSON), of a class, with identity descriptors (a JSON
 * array, or NULL). Exits when there is none: tests only. */
tr_xdm_schema *tr_check_schema(const char *class_id, const char *properties,
                               const char *descriptors);

/* Row `row` of the columns, in plain form. *is_whole is set false when levels and entries do not
 * add up. Returned. */
json_t *tr_check_row(const tr_shape *shape, const tr_column *columns, uint32_t row, bool *is_whole);
/* A value in plain form; nothing is converted. Returned; NULL: nothing is left of it. */
json_t *tr_check_plain(const json_t *value);

#endif
