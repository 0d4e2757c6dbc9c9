/* SPDX-License-Identifier: Apache-2.0 */
/* row_json.h - rows of columns as JSON text: previews, lookups, results of queries.
 *
 *     {"person":{"name":{"firstName":"Ada"}},"tags":["a",null],"ids":{"Email":[{"id":"x"}]}}
 *
 * Members are in the shape's order. What is absent is left out; an absent element of an array is
 * null. The bookkeeping column is hidden. Instants are RFC 3339 texts in UTC, dates YYYY-MM-DD,
 * keys 32 hex digits; doubles have the fewest digits that read back as the same number, and NaN and
 * the infinities are null. Bytes that are not UTF-8 become U+FFFD.
 *
 * Threads: one printer, one thread. Cost: linear in the row's values; only the buffer allocates.
 */
#ifndef TR_PARQUET_ROW_JSON_H
#define TR_PARQUET_ROW_JSON_H

#include "parquet/column.h"

typedef struct tr_row_json tr_row_json;

/* shape, columns [shape->leaf_count]: borrowed until close */
TR_MUST_CHECK tr_code tr_row_json_open(const tr_shape *shape, const tr_column *columns,
                                       tr_row_json **out, tr_err *err);
void tr_row_json_close(tr_row_json *printer); /* accepts NULL */
/* Appends one row, an object. TR_CORRUPT: the levels of two leaves contradict each other. */
TR_MUST_CHECK tr_code tr_row_json_write(tr_row_json *printer, uint32_t row, tr_buf *out,
                                        tr_err *err);

#endif
