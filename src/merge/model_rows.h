/* SPDX-License-Identifier: Apache-2.0 */
/* model_rows.h - rows as JSON trees, for tests: into columns and back, slowly and obviously. */
#ifndef TR_MERGE_MODEL_ROWS_H
#define TR_MERGE_MODEL_ROWS_H

#include "store/store.h"

#include <jansson.h>

typedef enum tr_model_kind {
    TR_MODEL_RECORDS,
    TR_MODEL_EVENTS,
    TR_MODEL_ARRIVED /* events that are not settled (store/settle.h): an older run */
} tr_model_kind;

/* Writes rows (objects by their member names; numbers for dates and timestamps; keys as 32 hex digits) as a
 * run. rows[i] may have any members; those that the type lacks are ignored. */
TR_MUST_CHECK tr_code tr_model_write_run(const tr_shape *shape, json_t *const *rows, uint32_t row_count,
                                         tr_model_kind kind, uint8_t bits_min, tr_buf *out, tr_err *err);

/* Reads all rows of a file; *out is a JSON array. Objects without anything in them are left out. */
TR_MUST_CHECK tr_code tr_model_read(const tr_parquet_file *file, json_t **out, tr_err *err);

/* A tr_sink's write with ctx = tr_buf *. */
tr_code tr_model_sink(void *ctx, tr_str bytes, tr_err *err);

#endif
