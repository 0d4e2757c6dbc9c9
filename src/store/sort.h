/* SPDX-License-Identifier: Apache-2.0 */
/* sort.h - the order of a run's rows: by profile key, and by arrival among equal keys.
 *
 * Arrival order matters: of several rows of one identity in a batch the later one wins, and the row's
 * place in the run is the only memory of which came later.
 */
#ifndef TR_STORE_SORT_H
#define TR_STORE_SORT_H

#include "parquet/column.h"

/* Fills order[column->rows] with the row numbers of a KEY column, sorted stably by key.
 * TR_INVALID  a row has no key */
TR_MUST_CHECK tr_code tr_sort_by_key(const tr_column *column, uint32_t *order, tr_err *err);

/* A stable merge sort of row numbers by any order. `spare` has room for `count` numbers.
 * before(ctx, a, b)  <= 0 when a may stand before b */
void tr_sort_rows(uint32_t *rows, uint32_t *spare, uint32_t count,
                  int (*compare)(const void *ctx, uint32_t a, uint32_t b), const void *ctx);

#endif
