/* SPDX-License-Identifier: Apache-2.0 */
/* pg_rows.h - rows of DuckDB's chunks as DataRow messages of the PostgreSQL protocol.
 *
 *     'D' | int32 length | int16 columns | per column: int32 length (-1: null), bytes
 *
 * Text is what PostgreSQL's own types look like (t, 2024-03-01 10:00:00+00, \x00ff); what holds
 * other values (struct, list, map) is JSON as text. Binary is for the types PostgreSQL has; all
 * others are their text in either format, and are described as text.
 *
 * Threads: one.
 */
#ifndef TR_WORKER_PG_ROWS_H
#define TR_WORKER_PG_ROWS_H

#include "codec/json.h"
#include "rows.h"

typedef struct tr_pg_type {
    uint32_t oid;
    int16_t bytes;    /* -1: varies */
    int32_t modifier; /* -1: none */
} tr_pg_type;

tr_pg_type tr_pg_type_of(duckdb_logical_type type);

typedef struct tr_pg_rows {
    tr_rows rows;
    tr_pg_type *types; /* arena of rows */
    duckdb_type *kinds;
    bool *is_binary;
} tr_pg_rows;

/* formats  NULL or an array: 0 text, 1 binary; one for all, or one a column */
TR_MUST_CHECK tr_code tr_pg_rows_open(duckdb_result *result, const json_t *formats,
                                      tr_pg_rows *out, tr_err *err);
void tr_pg_rows_close(tr_pg_rows *rows);
/* Puts one message. */
void tr_pg_rows_put(tr_pg_rows *rows, uint64_t row, tr_out *out);

#endif
