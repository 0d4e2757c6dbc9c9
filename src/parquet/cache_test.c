/* SPDX-License-Identifier: Apache-2.0 */
/* cache_test.c - goal: few rows read through a cache are what the file says, whatever the cache
 * had
 * to let go, and it keeps to its size. Method: random files, random stretches of rows, compared
 * with a read of the same file without a cache; caches that hold everything, little and nothing.
 */
#include "parquet/cache.h"
#include "parquet/test_world.h"
#include "base/test.h"

#include <pthread.h>
#include <stdlib.h>

enum { ROWS = 400, GROUP_ROWS = 150, READS = 300 };

static int passed, failed;
static uint64_t seed;

typedef struct pair {
    tr_world world;
    tr_buf bytes;
    tr_parquet_file *plain, *cached;
    tr_chunk_cache *cache;
} pair;

static void open_pair(pair *p, uint64_t bytes_max)
{
    *p = (pair){.cache = NULL};
    tr_world_make(&p->world, (tr_world_options){.seed = seed, .rows = ROWS, .depth_max = 4});
    CHECK(tr_world_write(&p->world, GROUP_ROWS, 40, &p->bytes, NULL) == TR_OK);
    CHECK(tr_parquet_open(tr_buf_str(&p->bytes), &p->plain, NULL) == TR_OK);
    CHECK(tr_parquet_open(tr_buf_str(&p->bytes), &p->cached, NULL) == TR_OK);
    CHECK(tr_chunk_cache_open(bytes_max, &p->cache, NULL) == TR_OK);
    CHECK(tr_parquet_use_cache(p->cached, p->cache, NULL) == TR_OK);
}

static void close_pair(pair *p)
{
    tr_parquet_close(p->plain);
    tr_parquet_close(p->cached);
    CHECK(tr_chunk_cache_bytes(p->cache) == 0);
    tr_chunk_cache_close(p->cache);
    tr_buf_free(&p->bytes);
    tr_world_free(&p->world);
}

static bool is_read_alike(const pair *p, uint64_t *random)
{
    tr_arena arena = {0};
    tr_column a, b;
    const uint32_t group = (uint32_t)(tr_test_random(random) % tr_parquet_group_count(p->plain));
    const uint32_t leaf =
        (uint32_t)(tr_test_random(random) % tr_parquet_shape(p->plain)->leaf_count);
    const uint32_t all = tr_parquet_group_rows(p->plain, group);
    const uint32_t from = (uint32_t)(tr_test_random(random) % (all + 1));
    const uint32_t left = all - from;
    const uint32_t rows = (uint32_t)(tr_test_random(random) % ((left < 70 ? left : 70) + 1));
    bool is_alike = tr_parquet_read(p->plain, group, leaf, from, rows, &arena, &a, NULL) == TR_OK &&
                    tr_parquet_read(p->cached, group, leaf, from, rows, &arena, &b, NULL) == TR_OK;
    is_alike = is_alike && a.rows == b.rows && tr_world_is_same(&a, &b);
    tr_arena_free(&arena);
    return is_alike;
}

static void few_rows_are_what_the_file_says(void)
{
    static const uint64_t sizes[] = {UINT64_MAX, 200 * 1024, 0};
    for (size_t s = 0; s < 3; s++) {
        pair p;
        uint64_t random = seed + s;
        open_pair(&p, sizes[s]);
        uint32_t bad = 0;
        for (int i = 0; i < READS; i++)
            bad += !is_read_alike(&p, &random);
        CHECK(bad == 0);
        if (s == 1)
            CHECK(tr_chunk_cache_bytes(p.cache) < 2 * sizes[s]);
        close_pair(&p);
    }
}

/* Whatever the cache has, a thread that must not decode gets what the file says or TR_BUSY. */
static void a_thread_that_must_not_decode_is_told_to_come_again(void)
{
    pair p;
    tr_arena arena = {0};
    tr_column column;
    open_pair(&p, UINT64_MAX);
    const uint32_t rows = tr_parquet_group_rows(p.cached, 0);
    tr_cache_may_decode(false);
    CHECK(tr_parquet_read(p.cached, 0, 0, 0, 1, &arena, &column, NULL) == TR_BUSY);
    CHECK(tr_parquet_read(p.cached, 0, 0, 0, rows, &arena, &column, NULL) == TR_BUSY);
    CHECK(tr_parquet_read(p.plain, 0, 0, 0, 1, &arena, &column, NULL) == TR_OK);
    tr_cache_may_decode(true);
    CHECK(tr_parquet_read(p.cached, 0, 0, 0, 1, &arena, &column, NULL) == TR_OK);
    tr_cache_may_decode(false);
    CHECK(tr_parquet_read(p.cached, 0, 0, 1, 2, &arena, &column, NULL) == TR_OK);
    CHECK(tr_parquet_read(p.cached, 1, 0, 0, 1, &arena, &column, NULL) == TR_BUSY);
    tr_cache_may_decode(true);
    tr_arena_free(&arena);
    close_pair(&p);
}

static void prefetching_changes_nothing(void)
{
    pair p;
    uint64_t random = seed;
    uint32_t leaves[1000], bad = 0;
    open_pair(&p, 200 * 1024);
    const uint32_t count = tr_parquet_shape(p.cached)->leaf_count;
    for (uint32_t i = 0; i < count && i < 1000; i++)
        leaves[i] = i;
    for (int i = 0; i < READS; i++) {
        const uint32_t group = (uint32_t)(tr_test_random(&random) % 2);
        tr_parquet_prefetch(p.cached, group, (uint32_t)(tr_test_random(&random) % GROUP_ROWS),
                            leaves, count < 1000 ? count : 1000);
        tr_parquet_prefetch(p.plain, group, 0, leaves, count < 1000 ? count : 1000);
        bad += !is_read_alike(&p, &random);
    }
    CHECK(bad == 0);
    close_pair(&p);
}

/* Keys ---------------------------------------------------------------------------------------- */

enum { KEYS = 3000 };

static tr_code append(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* Sorted: spread evenly (0), in a narrow place of all (1), few different ones (2), mostly equal
 * tokens (3). */
static void make_keys(uint8_t (*keys)[16], int how, uint64_t *random)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        memset(keys[i], 0x77, 16);
        if (how == 0)
            for (int b = 0; b < 16; b++)
                keys[i][b] = (uint8_t)tr_test_random(random);
        else if (how == 1)
            keys[i][3] = (uint8_t)tr_test_random(random), keys[i][4] = (uint8_t)(i / 200);
        else
            keys[i][how == 2 ? 0 : 15] = (uint8_t)(tr_test_random(random) % 7);
    }
    qsort(keys, KEYS, 16, compare_keys);
}

static void write_keys(uint8_t (*keys)[16], tr_arena *arena, tr_buf *out)
{
    tr_shape shape;
    tr_parquet_writer *writer = NULL;
    tr_column_builder *builder = NULL;
    tr_column column;
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    CHECK(tr_type_add(arena, root, tr_type_make(arena, TR_KIND_KEY, tr_str_of("key"))));
    CHECK(tr_shape_make(arena, root, &shape, NULL) == TR_OK);
    CHECK(tr_column_builder_open(&shape.leaves[0], &builder, NULL) == TR_OK);
    uint32_t bad = 0;
    for (uint32_t i = 0; i < KEYS; i++)
        bad += tr_column_add_key(builder, keys[i], NULL) != TR_OK;
    CHECK(bad == 0 && tr_column_builder_view(builder, &column, NULL) == TR_OK);
    CHECK(tr_parquet_writer_open((tr_sink){append, out}, &shape,
                                 &(tr_parquet_options){.page_rows = 500}, &writer, NULL) == TR_OK);
    CHECK(tr_parquet_begin_group(writer, KEYS, NULL) == TR_OK);
    CHECK(tr_parquet_put(writer, 0, &column, NULL) == TR_OK);
    CHECK(tr_parquet_end_group(writer, NULL) == TR_OK && tr_parquet_finish(writer, NULL) == TR_OK);
    tr_parquet_writer_close(writer);
    tr_column_builder_close(builder);
}

static bool is_found(const tr_parquet_file *file, uint8_t (*keys)[16], const uint8_t key[16])
{
    uint32_t from, rows, first = 0, last;
    while (first < KEYS && memcmp(keys[first], key, 16) < 0)
        first++;
    for (last = first; last < KEYS && memcmp(keys[last], key, 16) == 0;)
        last++;
    return tr_parquet_find_key(file, 0, 0, key, &from, &rows, NULL) == TR_OK &&
           rows == last - first && (rows == 0 || from == first);
}

static void a_key_is_found_however_keys_are_spread(void)
{
    static uint8_t keys[KEYS][16];
    uint64_t random = seed;
    for (int how = 0; how < 4; how++) {
        tr_arena arena = {0};
        tr_buf bytes = {0};
        tr_parquet_file *file = NULL;
        tr_chunk_cache *cache = NULL;
        uint32_t bad = 0;
        uint8_t key[16];
        make_keys(keys, how, &random);
        write_keys(keys, &arena, &bytes);
        CHECK(tr_parquet_open(tr_buf_str(&bytes), &file, NULL) == TR_OK);
        CHECK(tr_chunk_cache_open(UINT64_MAX, &cache, NULL) == TR_OK);
        CHECK(tr_parquet_use_cache(file, cache, NULL) == TR_OK);
        for (uint32_t i = 0; i < KEYS; i += 3) {
            memcpy(key, keys[i], 16);
            bad += !is_found(file, keys, key);
            key[15] = (uint8_t)(key[15] + 1);
            bad += !is_found(file, keys, key);
            key[tr_test_random(&random) % 9] ^= (uint8_t)tr_test_random(&random);
            bad += !is_found(file, keys, key);
        }
        memset(key, 0, 16);
        bad += !is_found(file, keys, key);
        memset(key, 255, 16);
        bad += !is_found(file, keys, key);
        CHECK(bad == 0);
        tr_parquet_close(file);
        tr_chunk_cache_close(cache);
        tr_buf_free(&bytes);
        tr_arena_free(&arena);
    }
}

/* Drops keys that stand behind themselves; returns how many are left. */
static uint32_t drop_repeated(uint8_t (*keys)[16], uint32_t count)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++)
        if (kept == 0 || memcmp(keys[kept - 1], keys[i], 16) != 0)
            memmove(keys[kept++], keys[i], 16);
    return kept;
}

/* Sorted ones, so that a dictionary is all there is to read, or not; and ones in any order. */
static void keys_that_are_repeated_need_not_be_read_again(void)
{
    static uint8_t keys[KEYS][16], read[KEYS][16];
    uint64_t random = seed;
    uint32_t fewer = 0;
    for (int how = 0; how < 8; how++) {
        tr_arena arena = {0};
        tr_buf bytes = {0};
        tr_parquet_file *file = NULL;
        uint32_t count = 0;
        make_keys(keys, how % 4, &random);
        for (uint32_t i = 0; how >= 4 && i < 5; i++) { /* some come back */
            const uint32_t from = (uint32_t)(tr_test_random(&random) % KEYS);
            memcpy(keys[tr_test_random(&random) % KEYS], keys[from], 16);
        }
        write_keys(keys, &arena, &bytes);
        CHECK(tr_parquet_open(tr_buf_str(&bytes), &file, NULL) == TR_OK);
        CHECK(tr_parquet_read_keys_once(file, 0, 0, read, &count, NULL) == TR_OK);
        fewer += count < KEYS;
        CHECK(count <= KEYS);
        count = drop_repeated(read, count);
        CHECK(count == drop_repeated(keys, KEYS) && memcmp(read, keys, count * 16) == 0);
        tr_parquet_close(file);
        tr_buf_free(&bytes);
        tr_arena_free(&arena);
    }
    CHECK(fewer > 0);
}

static void *read_some(void *ctx)
{
    const pair *p = ctx;
    uint64_t random = seed ^ (uint64_t)(uintptr_t)&random;
    uintptr_t bad = 0;
    for (int i = 0; i < READS; i++)
        bad += !is_read_alike(p, &random);
    return (void *)bad;
}

static void threads_may_read_at_once(void)
{
    pair p;
    pthread_t threads[3];
    void *bad = NULL;
    open_pair(&p, 100 * 1024);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, read_some, &p) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK(pthread_join(threads[i], &bad) == 0);
        CHECK(bad == NULL);
    }
    close_pair(&p);
}

int main(void)
{
    seed = tr_test_seed(11);
    RUN(few_rows_are_what_the_file_says);
    RUN(a_thread_that_must_not_decode_is_told_to_come_again);
    RUN(prefetching_changes_nothing);
    RUN(a_key_is_found_however_keys_are_spread);
    RUN(keys_that_are_repeated_need_not_be_read_again);
    RUN(threads_may_read_at_once);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
