/* SPDX-License-Identifier: Apache-2.0 */
/* same_test.c - goal: columns are called the same only when every row has one value in both, and
 * the same one; levels read alone are the levels. Method: pairs of columns that differ in one place
 * of one page, texts that repeat (dictionaries) and that do not; random files, read both ways.
 */
#include "base/test.h"
#include "parquet/cache.h"
#include "parquet/test_world.h"

#include <stdlib.h>

enum { ROWS = 1000, PAGE_ROWS = 64, ODD = 700 };

static int passed, failed;
static uint64_t seed;

/* How the second column, a list of texts, is not the first one, a text, at row ODD. */
typedef enum oddity { NO_ODDITY, OTHER_TEXT, NO_TEXT, NO_LIST, TWO_TEXTS, ODDITIES } oddity;

static tr_str text_of(uint32_t row, uint32_t range, char out[32])
{
    (void)snprintf(out, 32, "text-%u", row % range);
    return tr_str_of(out);
}

static tr_code add_list(tr_column_builder *list, uint32_t row, tr_str text, oddity odd)
{
    if (row != ODD || odd == NO_ODDITY)
        return tr_column_add_string(list, 0, text, NULL);
    if (odd == NO_TEXT || odd == NO_LIST)
        return tr_column_add_null(list, 0, odd == NO_TEXT ? 2 : 0, NULL);
    TR_TRY(tr_column_add_string(list, 0, tr_str_of(odd == OTHER_TEXT ? "text-x" : "text-0"), NULL));
    return odd == TWO_TEXTS ? tr_column_add_string(list, 1, text, NULL) : TR_OK;
}

static void write_pair(uint32_t range, oddity odd, tr_buf *out)
{
    tr_arena arena = {0};
    tr_shape shape;
    tr_column columns[2];
    tr_column_builder *builders[2] = {NULL, NULL};
    tr_world sink = {.rows = ROWS};
    char text[32];
    tr_type *root = tr_type_make(&arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *one = tr_type_make(&arena, TR_KIND_STRING, tr_str_of("one"));
    tr_type *list = tr_type_make(&arena, TR_KIND_ARRAY, tr_str_of("list"));
    tr_type *item = tr_type_make(&arena, TR_KIND_STRING, tr_str_of("element"));
    CHECK(tr_type_add(&arena, list, item) && tr_type_add(&arena, root, one) &&
          tr_type_add(&arena, root, list));
    CHECK(tr_shape_make(&arena, root, &shape, NULL) == TR_OK && shape.leaf_count == 2);
    for (uint32_t leaf = 0; leaf < 2; leaf++)
        CHECK(tr_column_builder_open(&shape.leaves[leaf], &builders[leaf], NULL) == TR_OK);
    for (uint32_t row = 0; row < ROWS; row++) {
        const tr_str value = text_of(row, range, text);
        CHECK(tr_column_add_string(builders[0], 0, value, NULL) == TR_OK);
        CHECK(add_list(builders[1], row, value, odd) == TR_OK);
    }
    for (uint32_t leaf = 0; leaf < 2; leaf++)
        CHECK(tr_column_builder_view(builders[leaf], &columns[leaf], NULL) == TR_OK);
    sink.shape = shape;
    sink.columns = columns;
    CHECK(tr_world_write(&sink, ROWS, PAGE_ROWS, out, NULL) == TR_OK);
    for (uint32_t leaf = 0; leaf < 2; leaf++)
        tr_column_builder_close(builders[leaf]);
    tr_arena_free(&arena);
}

static bool are_same(const tr_buf *bytes, uint32_t from, uint32_t rows)
{
    tr_parquet_file *file = NULL;
    CHECK(tr_parquet_open(tr_buf_str(bytes), &file, NULL) == TR_OK);
    const bool same = tr_parquet_has_same_values(file, 0, 0, 1, from, rows);
    CHECK(tr_parquet_has_same_values(file, 0, 1, 0, from, rows) == same);
    tr_parquet_close(file);
    return same;
}

static void columns_are_the_same_where_no_row_differs(void)
{
    static const uint32_t ranges[] = {7, ROWS};
    for (size_t r = 0; r < 2; r++)
        for (int odd = 0; odd < ODDITIES; odd++) {
            tr_buf bytes = {0};
            const bool is_even = odd == NO_ODDITY;
            write_pair(ranges[r], (oddity)odd, &bytes);
            CHECK(are_same(&bytes, 0, ROWS) == is_even);
            CHECK(are_same(&bytes, ODD, 1) == is_even);
            CHECK(are_same(&bytes, ODD - 100, 200) == is_even);
            CHECK(!are_same(&bytes, 0, 0));
            /* A text that a dictionary has not seen makes it another one. */
            if (odd != OTHER_TEXT || ranges[r] == ROWS)
                CHECK(are_same(&bytes, 0, ODD - PAGE_ROWS));
            tr_buf_free(&bytes);
        }
}

static void a_flipped_bit_makes_columns_differ(void)
{
    tr_buf bytes = {0};
    uint64_t random = seed;
    write_pair(ROWS, NO_ODDITY, &bytes);
    uint32_t differ = 0;
    for (int i = 0; i < 300; i++) {
        const size_t at = 8 + tr_test_random(&random) % (bytes.len / 2); /* pages come first */
        tr_parquet_file *file = NULL;
        bytes.at[at] ^= 0x10;
        if (tr_parquet_open(tr_buf_str(&bytes), &file, NULL) == TR_OK) {
            const bool same = tr_parquet_has_same_values(file, 0, 0, 1, 0, ROWS);
            tr_err err = {0};
            CHECK(!same || tr_parquet_verify(file, &err) != TR_OK);
            differ += !same;
            tr_parquet_close(file);
        }
        bytes.at[at] ^= 0x10;
    }
    CHECK(differ > 250); /* the rest are statistics in page headers, which nobody reads here */
    tr_buf_free(&bytes);
}

static void of_few_rows_of_a_file_with_a_cache_nothing_is_said(void)
{
    tr_buf bytes = {0};
    tr_parquet_file *file = NULL;
    tr_chunk_cache *cache = NULL;
    write_pair(ROWS, NO_ODDITY, &bytes);
    CHECK(tr_parquet_open(tr_buf_str(&bytes), &file, NULL) == TR_OK);
    CHECK(tr_chunk_cache_open(1 << 20, &cache, NULL) == TR_OK);
    CHECK(tr_parquet_use_cache(file, cache, NULL) == TR_OK);
    CHECK(!tr_parquet_has_same_values(file, 0, 0, 1, 5, TR_CACHE_ROWS_MAX));
    CHECK(tr_parquet_has_same_values(file, 0, 0, 1, 5, TR_CACHE_ROWS_MAX + 1));
    tr_parquet_close(file);
    tr_chunk_cache_close(cache);
    tr_buf_free(&bytes);
}

static bool has_same_levels(const tr_column *a, const tr_column *b)
{
    bool same = a->rows == b->rows && a->entries == b->entries && b->values.count == 0;
    for (uint32_t e = 0; same && e < a->entries; e++)
        same = (a->codes[e] != 0) == (b->codes[e] == 1) && b->codes[e] <= 1 &&
               (a->rep == NULL || (a->rep[e] == b->rep[e] && a->def[e] == b->def[e]));
    for (uint32_t row = 0; same && a->row_start != NULL && row <= a->rows; row++)
        same = a->row_start[row] == b->row_start[row];
    return same;
}

static void levels_read_alone_are_those_of_the_column(void)
{
    tr_world world;
    tr_buf bytes = {0};
    tr_parquet_file *file = NULL;
    uint64_t random = seed;
    tr_world_make(&world, (tr_world_options){.seed = seed, .rows = 400, .depth_max = 4});
    CHECK(tr_world_write(&world, 150, 40, &bytes, NULL) == TR_OK);
    CHECK(tr_parquet_open(tr_buf_str(&bytes), &file, NULL) == TR_OK);
    for (int i = 0; i < 300; i++) {
        tr_arena arena = {0};
        tr_column whole, levels;
        const uint32_t group = (uint32_t)(tr_test_random(&random) % tr_parquet_group_count(file));
        const uint32_t leaf = (uint32_t)(tr_test_random(&random) % world.shape.leaf_count);
        const uint32_t all = tr_parquet_group_rows(file, group);
        const uint32_t from = (uint32_t)(tr_test_random(&random) % (all + 1));
        const uint32_t rows = (uint32_t)(tr_test_random(&random) % (all - from + 1));
        CHECK(tr_parquet_read(file, group, leaf, from, rows, &arena, &whole, NULL) == TR_OK);
        CHECK(tr_parquet_read_levels(file, group, leaf, from, rows, &arena, &levels, NULL) ==
              TR_OK);
        CHECK(has_same_levels(&whole, &levels));
        tr_arena_free(&arena);
    }
    tr_parquet_close(file);
    tr_buf_free(&bytes);
    tr_world_free(&world);
}

int main(void)
{
    seed = tr_test_seed(17);
    RUN(columns_are_the_same_where_no_row_differs);
    RUN(a_flipped_bit_makes_columns_differ);
    RUN(of_few_rows_of_a_file_with_a_cache_nothing_is_said);
    RUN(levels_read_alone_are_those_of_the_column);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
