/* SPDX-License-Identifier: Apache-2.0 */
/* test_world.h - random row types and random columns of them, for the room's property tests.
 *
 * A world is a shape and, leaf by leaf, a column of `rows` rows that belong together: rows are made
 * as values and taken apart into levels, so all leaves of a unit agree.
 */
#ifndef TR_PARQUET_TEST_WORLD_H
#define TR_PARQUET_TEST_WORLD_H

#include "parquet/parquet.h"

typedef struct tr_world {
    tr_arena arena;
    tr_shape shape;
    uint32_t rows;
    tr_column_builder **builders; /* one a leaf */
    tr_column *columns;           /* their views */
    uint64_t seed;
    uint32_t absent_percent; /* how often something is not there */
    uint32_t value_range;    /* how many different values a leaf has */
} tr_world;

typedef struct tr_world_options {
    uint64_t seed;
    uint32_t rows;
    uint32_t depth_max; /* of nesting */
} tr_world_options;

/* Aborts when there is no memory: this is for tests. */
void tr_world_make(tr_world *world, tr_world_options options);
void tr_world_free(tr_world *world);
/* The world as a file of groups of `group_rows` rows, appended to out. */
TR_MUST_CHECK tr_code tr_world_write(tr_world *world, uint32_t group_rows, uint32_t page_rows,
                                     tr_buf *out, tr_err *err);
/* True when both columns have the same entries: levels and values, whatever their codes. */
bool tr_world_is_same(const tr_column *a, const tr_column *b);

#endif
