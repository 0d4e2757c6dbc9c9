/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - rows of DuckDB's chunks as JSON.
 *
 * A tree of cells is made once from the result's types (a column, its struct fields, its list
 * items), pointed at the vectors of each chunk, and then walked once a row. The text of every key
 * is ready with its quotes and colon. Nothing is allocated per row.
 *
 * Strings and binary are text and must be UTF-8; numbers must be finite; times within the years
 * 0001 to 9999. The first value of a row that is not so is kept as the row's problem.
 *
 * Threads: one.
 */
#ifndef TR_WORKER_ROWS_H
#define TR_WORKER_ROWS_H

#include "out.h"

#include <duckdb.h>

typedef struct tr_cell tr_cell;

typedef struct tr_rows {
    tr_arena arena;
    tr_cell *columns;
    size_t column_count;
    bool keep_nulls;    /* false: members that are null are left out of their objects */
    bool is_lenient;    /* NaN and the infinities are strings, as protocol buffers have them, and
                         * bytes that are not UTF-8 are \\x and hex, as PostgreSQL has them */
    char problem[320];  /* of the row now written; empty: none */
} tr_rows;

/* TR_INVALID  a column's type has no form in JSON */
TR_MUST_CHECK tr_code tr_rows_open(duckdb_result *result, tr_rows *out, tr_err *err);
void tr_rows_close(tr_rows *rows);
void tr_rows_bind(tr_rows *rows, duckdb_data_chunk chunk);

/* Puts {"column":value,...}; look at rows->problem afterwards. */
void tr_rows_put(tr_rows *rows, uint64_t row, tr_out *out);
/* One value as JSON, null included. */
void tr_rows_put_value(tr_rows *rows, size_t column, uint64_t row, tr_out *out);

bool tr_rows_is_null(const tr_rows *rows, size_t column, uint64_t row);
/* One value that is not null as plain text: strings and times bare, what holds other values as
 * JSON. */
void tr_rows_put_plain(tr_rows *rows, size_t column, uint64_t row, tr_out *out);
bool tr_rows_is_number(const tr_rows *rows, size_t column);
tr_str tr_rows_name(const tr_rows *rows, size_t column);

#endif
