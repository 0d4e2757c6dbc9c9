/* SPDX-License-Identifier: Apache-2.0 */
/* pql_world.h - for tests and benches: a schema and rows written as JSON, as types and columns.
 *
 *     "string" "boolean" "int" "long" "double" "date" "timestamp"    scalars
 *     {"a": T, ...}   an object      [T]   an array      {"*": T}   a map
 *
 * Rows are {"profile": {...}, "events": [{...}, ...]}; events are sorted by timestamp, then _id.
 */
#ifndef TR_PQL_WORLD_H
#define TR_PQL_WORLD_H

#include "codec/json.h"
#include "parquet/column.h"

typedef struct tr_pql_rows {
    tr_shape shape;
    tr_column *columns; /* [shape.leaf_count] */
    tr_column_builder **builders;
    uint32_t rows;
} tr_pql_rows;

typedef struct tr_pql_world {
    tr_arena arena;
    tr_pql_rows profiles, events;
    uint32_t *event_start; /* [profiles.rows + 1] */
} tr_pql_world;

/* schema: {"profile": T, "event": T}. */
TR_MUST_CHECK tr_code tr_pql_world_open(const json_t *schema, tr_pql_world *out, tr_err *err);
TR_MUST_CHECK tr_code tr_pql_world_add(tr_pql_world *world, const json_t *row, tr_err *err);
/* Makes the columns of the rows so far. */
TR_MUST_CHECK tr_code tr_pql_world_finish(tr_pql_world *world, tr_err *err);
void tr_pql_world_close(tr_pql_world *world);

#endif
