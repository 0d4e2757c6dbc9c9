/* SPDX-License-Identifier: Apache-2.0 */
/* round_trip_test.c - what the writer writes, the reader reads. Goal: for any shape, any columns of
 * it, any sizes of groups and pages: the same entries come back, whole or in pieces, and the file
 * verifies. Method: random worlds (test_world.h), each leaf compared entry by entry.
 */
#include "base/test.h"
#include "parquet/test_world.h"

#include <pthread.h>

static int passed, failed;

static void check_piece(const tr_world *w, const tr_parquet_file *file, uint32_t leaf,
                        uint32_t group_rows, uint64_t *seed)
{
    tr_arena arena = {0};
    const uint32_t group = (uint32_t)(tr_test_random(seed) % tr_parquet_group_count(file));
    const uint32_t rows = tr_parquet_group_rows(file, group);
    uint32_t from = (uint32_t)(tr_test_random(seed) % (rows + 1));
    uint32_t count = (uint32_t)(tr_test_random(seed) % (rows - from + 1));
    if (tr_test_random(seed) % 3 == 0) {
        from = 0;
        count = rows;
    }
    uint32_t *wanted = tr_arena_alloc(&arena, count * sizeof *wanted);
    for (uint32_t i = 0; wanted != NULL && i < count; i++)
        wanted[i] = group * group_rows + from + i;
    tr_column expected, found;
    tr_err err = {0};
    CHECK(tr_column_pick(&arena, &w->columns[leaf], wanted, count, &expected, NULL) == TR_OK);
    const tr_code code = tr_parquet_read(file, group, leaf, from, count, &arena, &found, &err);
    CHECK(code == TR_OK);
    if (code == TR_OK)
        CHECK(tr_world_is_same(&expected, &found));
    else
        printf("%s\n", err.text);
    tr_arena_free(&arena);
}

static void check_world(tr_world *w, uint64_t *seed)
{
    tr_buf bytes = {0};
    tr_parquet_file *file = NULL;
    tr_err err = {0};
    const uint32_t group_rows = 1 + (uint32_t)(tr_test_random(seed) % (w->rows + 1));
    const uint32_t page_rows = 1 + (uint32_t)(tr_test_random(seed) % (2 * group_rows));
    CHECK(tr_world_write(w, group_rows, page_rows, &bytes, &err) == TR_OK);
    CHECK(tr_parquet_open(tr_buf_str(&bytes), &file, &err) == TR_OK);
    if (file != NULL) {
        CHECK(tr_parquet_rows(file) == w->rows);
        CHECK(tr_type_equal(tr_parquet_shape(file)->root, w->shape.root));
        CHECK(tr_str_is(tr_parquet_metadata(file, "tributary"), "a world"));
        CHECK(tr_parquet_metadata(file, "empty").at != NULL);
        CHECK(tr_parquet_metadata(file, "absent").at == NULL);
        CHECK(tr_parquet_verify(file, &err) == TR_OK);
        for (uint32_t i = 0; tr_parquet_group_count(file) > 0 && i < w->shape.leaf_count; i++)
            for (int piece = 0; piece < 4; piece++)
                check_piece(w, file, i, group_rows, seed);
    }
    if (err.code != TR_OK)
        printf("%s (%s:%d)\n", err.text, err.file, err.line);
    tr_parquet_close(file);
    tr_buf_free(&bytes);
}

static void random_worlds_come_back(void)
{
    uint64_t seed = tr_test_seed(1234567);
    for (int round = 0; round < 600 && tr_test_failures == 0; round++) {
        static const uint32_t sizes[] = {1, 3, 40, 400};
        tr_world w;
        const tr_world_options options = {.seed = tr_test_random(&seed),
                                          .rows = sizes[tr_test_random(&seed) % 4],
                                          .depth_max = (uint32_t)(tr_test_random(&seed) % 4)};
        tr_world_make(&w, options);
        check_world(&w, &seed);
        if (tr_test_failures > 0)
            printf("world 0x%llx, round %d\n", (unsigned long long)options.seed, round);
        tr_world_free(&w);
    }
}

static void a_file_without_rows_is_a_file(void)
{
    uint64_t seed = 5;
    tr_world w;
    tr_world_make(&w, (tr_world_options){.seed = 5, .rows = 0, .depth_max = 2});
    check_world(&w, &seed);
    tr_world_free(&w);
}

static void large_pages_come_back(void)
{
    uint64_t seed = 77;
    for (int round = 0; round < 3; round++) {
        tr_world w;
        tr_world_make(&w, (tr_world_options){.seed = tr_test_random(&seed), .rows = 20000,
                                             .depth_max = (uint32_t)round});
        check_world(&w, &seed);
        tr_world_free(&w);
    }
}

static tr_buf sweep_bytes;

/* Opens and reads with the n-th allocation failing; on a thread of its own, so that the memory
 * which reads keep for their thread is made anew. */
static void *read_all(void *ctx)
{
    tr_code *code = ctx;
    tr_parquet_file *file = NULL;
    tr_arena arena = {0};
    *code = tr_parquet_open(tr_buf_str(&sweep_bytes), &file, NULL);
    const uint32_t leaves = *code == TR_OK ? tr_parquet_shape(file)->leaf_count : 0;
    for (uint32_t leaf = 0; *code == TR_OK && leaf < leaves; leaf++) {
        tr_column column;
        *code = tr_parquet_read(file, 0, leaf, 0, tr_parquet_group_rows(file, 0), &arena, &column,
                                NULL);
    }
    if (*code == TR_OK)
        *code = tr_parquet_verify(file, NULL);
    tr_arena_free(&arena);
    tr_parquet_close(file);
    return NULL;
}

static void running_out_of_memory_is_an_answer(void)
{
    uint64_t seed = tr_test_seed(99);
    for (int round = 0; round < 5; round++) {
        tr_world w;
        tr_world_make(&w, (tr_world_options){.seed = tr_test_random(&seed), .rows = 50,
                                             .depth_max = 3});
        CHECK(tr_world_write(&w, 25, 10, &sweep_bytes, NULL) == TR_OK);
        const uint64_t before = tr_memory_bytes_now();
        tr_code code = TR_NO_MEMORY;
        uint64_t fail_at = 0;
        for (; code != TR_OK && fail_at < 10000; fail_at++) {
            pthread_t thread;
            tr_memory_fail_after(fail_at);
            CHECK(pthread_create(&thread, NULL, read_all, &code) == 0);
            CHECK(pthread_join(thread, NULL) == 0);
            tr_memory_fail_after(UINT64_MAX);
            CHECK(code == TR_OK || code == TR_NO_MEMORY);
            CHECK(tr_memory_bytes_now() == before);
        }
        CHECK(fail_at > 10);
        CHECK(code == TR_OK);
        tr_world_free(&w);
        tr_buf_free(&sweep_bytes);
    }
}

int main(void)
{
    RUN(random_worlds_come_back);
    RUN(a_file_without_rows_is_a_file);
    RUN(large_pages_come_back);
    RUN(running_out_of_memory_is_an_answer);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
