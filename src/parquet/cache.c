/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - see cache.h.
 *
 * A chunk is decoded outside of the lock: two threads may decode the same one, and the second
 * throws
 * its own away. Readers hold the lock shared while they copy a few rows out.
 */
#include "parquet/cache.h"
#include "parquet/read_internal.h"
#include "base/check.h"

#include <pthread.h>
#include <stdatomic.h>

struct tr_cached_chunk {
    tr_cached_chunk *newer, *older;
    tr_cached_chunk **slot; /* where its file finds it */
    atomic_bool is_used;
    tr_arena arena;
    tr_column column;
    const uint8_t (*keys)[16]; /* instead of column */
};

struct tr_chunk_cache {
    pthread_rwlock_t lock; /* guards everything below, and the slots of all files */
    uint64_t bytes, bytes_max;
    tr_cached_chunk *newest, *oldest;
};

tr_code tr_chunk_cache_open(uint64_t bytes_max, tr_chunk_cache **out, tr_err *err)
{
    pthread_rwlockattr_t how;
    tr_chunk_cache *cache = tr_alloc_zeroed(1, sizeof *cache);
    if (cache == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a cache of columns");
    (void)pthread_rwlockattr_init(&how);
    (void)pthread_rwlockattr_setkind_np(&how, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&cache->lock, &how);
    (void)pthread_rwlockattr_destroy(&how);
    cache->bytes_max = bytes_max;
    *out = cache;
    return TR_OK;
}

static void free_chunk(tr_cached_chunk *chunk)
{
    tr_arena_free(&chunk->arena);
    tr_free(chunk);
}

static void unlink_chunk(tr_chunk_cache *cache, tr_cached_chunk *chunk)
{
    *(chunk->newer == NULL ? &cache->newest : &chunk->newer->older) = chunk->older;
    *(chunk->older == NULL ? &cache->oldest : &chunk->older->newer) = chunk->newer;
    chunk->newer = chunk->older = NULL;
}

static void link_newest(tr_chunk_cache *cache, tr_cached_chunk *chunk)
{
    chunk->older = cache->newest;
    *(cache->newest == NULL ? &cache->oldest : &cache->newest->newer) = chunk;
    cache->newest = chunk;
}

static void drop(tr_chunk_cache *cache, tr_cached_chunk *chunk)
{
    unlink_chunk(cache, chunk);
    cache->bytes -= chunk->arena.bytes;
    *chunk->slot = NULL;
    free_chunk(chunk);
}

void tr_chunk_cache_close(tr_chunk_cache *cache)
{
    if (cache == NULL)
        return;
    TR_ASSERT(cache->newest == NULL);
    (void)pthread_rwlock_destroy(&cache->lock);
    tr_free(cache);
}

uint64_t tr_chunk_cache_bytes(tr_chunk_cache *cache)
{
    (void)pthread_rwlock_rdlock(&cache->lock);
    const uint64_t bytes = cache->bytes;
    (void)pthread_rwlock_unlock(&cache->lock);
    return bytes;
}

tr_code tr_parquet_use_cache(tr_parquet_file *file, tr_chunk_cache *cache, tr_err *err)
{
    /* a column per leaf, and a last one for sorted keys */
    const size_t slots = (size_t)file->group_count * (file->shape.leaf_count + 1);
    file->cached = tr_alloc_zeroed(slots + 1, sizeof *file->cached);
    if (file->cached == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to cache columns");
    file->cache = cache;
    return TR_OK;
}

void tr_cache_forget(tr_parquet_file *file)
{
    const size_t slots = (size_t)file->group_count * (file->shape.leaf_count + 1);
    if (file->cache == NULL)
        return;
    (void)pthread_rwlock_wrlock(&file->cache->lock);
    for (size_t i = 0; i < slots; i++)
        if (file->cached[i] != NULL)
            drop(file->cache, file->cached[i]);
    (void)pthread_rwlock_unlock(&file->cache->lock);
    tr_free(file->cached);
}

static tr_cached_chunk **slot_of(const tr_parquet_file *file, uint32_t group, uint32_t place)
{
    return &file->cached[(size_t)group * (file->shape.leaf_count + 1) + place];
}

/* Decodes a whole chunk. */
static tr_code load(const tr_parquet_file *file, uint32_t group, uint32_t leaf, bool is_keys,
                    tr_cached_chunk **out, tr_err *err)
{
    const uint32_t rows = file->group_rows[group];
    tr_cached_chunk *chunk = tr_alloc_zeroed(1, sizeof *chunk);
    tr_code code = TR_OK;
    if (chunk == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to cache a column");
    if (is_keys) {
        uint8_t(*keys)[16] = tr_arena_array(&chunk->arena, (size_t)rows + 1, sizeof *keys);
        code = keys == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u rows", rows)
                            : tr_parquet_read_keys(file, group, leaf, keys, err);
        chunk->keys = (const uint8_t(*)[16])keys;
    } else {
        code = tr_parquet_read_past_cache(file, group, leaf, 0, rows, &chunk->arena, &chunk->column,
                                          err);
    }
    if (code != TR_OK)
        free_chunk(chunk);
    else
        *out = chunk;
    return code;
}

/* Makes room: what was used since it was last looked at gets another round. */
static void evict(tr_chunk_cache *cache, const tr_cached_chunk *kept)
{
    while (cache->bytes > cache->bytes_max && cache->oldest != NULL && cache->oldest != kept) {
        tr_cached_chunk *oldest = cache->oldest;
        if (atomic_exchange(&oldest->is_used, false)) {
            unlink_chunk(cache, oldest);
            link_newest(cache, oldest);
        } else {
            drop(cache, oldest);
        }
    }
}

/* The chunk of a slot with the lock held: shared when it was there, else exclusively. The caller
 * unlocks, also on failure. */
static tr_code hold(const tr_parquet_file *file, uint32_t group, uint32_t leaf, bool is_keys,
                    const tr_cached_chunk **out, tr_err *err)
{
    tr_chunk_cache *cache = file->cache;
    tr_cached_chunk **slot = slot_of(file, group, is_keys ? file->shape.leaf_count : leaf);
    tr_cached_chunk *fresh = NULL;
    (void)pthread_rwlock_rdlock(&cache->lock);
    if (*slot != NULL) {
        if (!atomic_load_explicit(&(*slot)->is_used, memory_order_relaxed))
            atomic_store_explicit(&(*slot)->is_used, true, memory_order_relaxed);
        *out = *slot;
        return TR_OK;
    }
    (void)pthread_rwlock_unlock(&cache->lock);
    const tr_code code = load(file, group, leaf, is_keys, &fresh, err);
    (void)pthread_rwlock_wrlock(&cache->lock);
    if (code != TR_OK)
        return code;
    if (*slot == NULL) {
        *slot = fresh;
        fresh->slot = slot;
        link_newest(cache, fresh);
        cache->bytes += fresh->arena.bytes;
        evict(cache, fresh);
    } else {
        free_chunk(fresh);
    }
    *out = *slot;
    return TR_OK;
}

tr_code tr_cache_read(const tr_parquet_file *file, uint32_t group, uint32_t leaf, uint32_t from,
                      uint32_t rows, tr_arena *arena, tr_column *out, tr_err *err)
{
    const tr_cached_chunk *chunk = NULL;
    tr_code code = hold(file, group, leaf, false, &chunk, err);
    if (code == TR_OK)
        code = tr_column_cut(arena, &chunk->column, from, rows, out, err);
    (void)pthread_rwlock_unlock(&file->cache->lock);
    return code;
}

/* The first row whose key is not below `key`; with is_behind the first one above it. */
static uint32_t bound(const uint8_t (*keys)[16], uint32_t rows, const uint8_t key[16],
                      bool is_behind)
{
    uint32_t low = 0, high = rows;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = memcmp(keys[middle], key, 16);
        if (order < 0 || (is_behind && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void find(const uint8_t (*keys)[16], uint32_t group_rows, const uint8_t key[16],
                 uint32_t *from, uint32_t *rows)
{
    const uint32_t first = bound(keys, group_rows, key, false);
    uint32_t last = first;
    while (last < group_rows && last - first < 4 && memcmp(keys[last], key, 16) == 0)
        last++;
    if (last - first == 4)
        last = bound(keys, group_rows, key, true);
    *from = first;
    *rows = last - first;
}

tr_code tr_parquet_find_key(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                            const uint8_t key[16], uint32_t *from, uint32_t *rows, tr_err *err)
{
    const tr_cached_chunk *chunk = NULL;
    tr_cached_chunk *own = NULL;
    TR_ASSERT(group < file->group_count);
    if (file->cache == NULL) {
        TR_TRY(load(file, group, leaf, true, &own, err));
        find(own->keys, file->group_rows[group], key, from, rows);
        free_chunk(own);
        return TR_OK;
    }
    const tr_code code = hold(file, group, leaf, true, &chunk, err);
    if (code == TR_OK)
        find(chunk->keys, file->group_rows[group], key, from, rows);
    (void)pthread_rwlock_unlock(&file->cache->lock);
    return code;
}
