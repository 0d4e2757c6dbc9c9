/* SPDX-License-Identifier: Apache-2.0 */
/* table.h - rows as an aligned table for a terminal, and the count under it. */
#ifndef TR_WORKER_TABLE_H
#define TR_WORKER_TABLE_H

#include "rows.h"

typedef struct tr_table_cell {
    size_t from; /* in text */
    uint32_t len, width;
} tr_table_cell;

/* Widths are known only at the end, so all rows are kept until then. */
typedef struct tr_table {
    tr_out text;
    tr_table_cell *cells;
    size_t count, cap;
    uint64_t row_count;
} tr_table;

void tr_table_open(tr_table *table, uint64_t bytes_max);
void tr_table_close(tr_table *table);
TR_MUST_CHECK tr_code tr_table_add_header(tr_table *table, const tr_rows *rows, tr_err *err);
TR_MUST_CHECK tr_code tr_table_add_row(tr_table *table, tr_rows *rows, uint64_t row, tr_err *err);
TR_MUST_CHECK tr_code tr_table_put(const tr_table *table, const tr_rows *rows, tr_out *out,
                                   tr_err *err);

#endif
