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
    RUN(threads_may_read_at_once);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
