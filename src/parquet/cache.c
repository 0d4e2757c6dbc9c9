/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - see cache.h.
 *
 * A chunk is decoded outside of the lock, by one thread: others that want it wait for that one.
 * Readers hold the lock shared while they copy a few rows out.
 *
 * Keys are hashes: evenly spread, so where one must be is known to within the square root of their
 * number. Two such steps take the place of ten of a binary search, each a miss in memory.
 */
#include "parquet/cache.h"
#include "parquet/read_internal.h"
#include "base/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

struct tr_cached_chunk {
    tr_cached_chunk *newer, *older;
    tr_cached_chunk **slot; /* where its file finds it */
    atomic_bool is_used;
    void *memory; /* of the rest, exactly so many bytes as it needs */
    uint64_t bytes;
    tr_column column;
    const uint8_t (*keys)[16]; /* instead of column */
};

enum { DECODERS_MAX = 16 };

struct tr_chunk_cache {
    pthread_mutex_t decoding[DECODERS_MAX]; /* each for a share of the slots; taken before `lock` */
    uint32_t decoders;     /* of them in use: half of the processors, the others go on answering */
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
    for (int i = 0; i < DECODERS_MAX; i++)
        (void)pthread_mutex_init(&cache->decoding[i], NULL);
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    cache->decoders = processors < 4                  ? 1
                      : processors / 2 < DECODERS_MAX ? (uint32_t)processors / 2
                                                      : DECODERS_MAX;
    cache->bytes_max = bytes_max;
    *out = cache;
    return TR_OK;
}

static void free_chunk(tr_cached_chunk *chunk)
{
    tr_free(chunk->memory);
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
    cache->bytes -= chunk->bytes;
    *chunk->slot = NULL;
    free_chunk(chunk);
}

void tr_chunk_cache_close(tr_chunk_cache *cache)
{
    if (cache == NULL)
        return;
    TR_ASSERT(cache->newest == NULL);
    (void)pthread_rwlock_destroy(&cache->lock);
    for (int i = 0; i < DECODERS_MAX; i++)
        (void)pthread_mutex_destroy(&cache->decoding[i]);
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

/* Compacting: an arena has twice the room that a column takes ------------------------------- */

/* 0, 1, 2 ...: where rows begin in a nested column with one entry a row, which most are. All share
 * it, and with it the line of the processor's caches that a row needs. */
static uint32_t one_a_row[1 << 17];
static pthread_once_t one_a_row_once = PTHREAD_ONCE_INIT;

static void fill_one_a_row(void)
{
    for (uint32_t i = 0; i < sizeof one_a_row / sizeof *one_a_row; i++)
        one_a_row[i] = i;
}

static bool has_one_a_row(const tr_column *column)
{
    (void)pthread_once(&one_a_row_once, fill_one_a_row);
    return column->row_start != NULL && column->entries == column->rows &&
           column->rows < sizeof one_a_row / sizeof *one_a_row &&
           memcmp(column->row_start, one_a_row, ((size_t)column->rows + 1) * sizeof *one_a_row) ==
               0;
}

/* A part of the memory, filled from `from`. */
static void *take(uint8_t **at, const void *from, size_t bytes)
{
    void *part = *at;
    if (bytes > 0)
        memcpy(part, from, bytes);
    *at += bytes;
    return part;
}

static size_t text_bytes(const tr_values *values)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < values->count && values->storage == TR_STORAGE_STRING; i++)
        bytes += values->strings[i].len;
    return bytes;
}

/* Largest alignment first. */
static tr_code compact(const tr_column *in, tr_cached_chunk *chunk, tr_err *err)
{
    const bool is_nested = in->row_start != NULL, is_plain = has_one_a_row(in);
    const size_t values = in->values.count * tr_storage_bytes(in->values.storage);
    const size_t codes = in->entries * sizeof *in->codes, levels = is_nested ? in->entries : 0;
    const size_t starts =
        is_nested && !is_plain ? ((size_t)in->rows + 1) * sizeof *in->row_start : 0;
    const size_t bytes = values + codes + starts + 2 * levels + text_bytes(&in->values);
    uint8_t *at = tr_alloc(bytes == 0 ? 1 : bytes);
    if (at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to cache a column");
    chunk->memory = at;
    chunk->bytes = bytes + sizeof *chunk;
    chunk->column = *in;
    tr_str *strings = take(&at, in->values.words, values);
    chunk->column.values.words = (const uint64_t *)(const void *)strings;
    chunk->column.codes = take(&at, in->codes, codes);
    if (is_nested) {
        const uint32_t *own = take(&at, in->row_start, starts);
        chunk->column.row_start = is_plain ? one_a_row : own;
        chunk->column.def = take(&at, in->def, levels);
        chunk->column.rep = take(&at, in->rep, levels);
    }
    for (uint32_t i = 0; i < in->values.count && in->values.storage == TR_STORAGE_STRING; i++)
        strings[i].at = take(&at, strings[i].at, strings[i].len);
    return TR_OK;
}

static tr_code load_keys(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                         tr_cached_chunk *chunk, tr_err *err)
{
    const uint32_t rows = file->group_rows[group];
    uint8_t(*keys)[16] = tr_alloc_array((size_t)rows + 1, sizeof *keys);
    if (keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u rows", rows);
    chunk->memory = keys;
    chunk->bytes = ((uint64_t)rows + 1) * sizeof *keys + sizeof *chunk;
    chunk->keys = (const uint8_t(*)[16])keys;
    return tr_parquet_read_keys(file, group, leaf, keys, err);
}

/* Decodes a whole chunk. */
static tr_code load(const tr_parquet_file *file, uint32_t group, uint32_t leaf, bool is_keys,
                    tr_cached_chunk **out, tr_err *err)
{
    tr_arena arena = {0};
    tr_column column;
    tr_cached_chunk *chunk = tr_alloc_zeroed(1, sizeof *chunk);
    tr_code code = TR_OK;
    if (chunk == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to cache a column");
    if (is_keys) {
        code = load_keys(file, group, leaf, chunk, err);
    } else {
        code = tr_parquet_read_past_cache(file, group, leaf, 0, file->group_rows[group], &arena,
                                          &column, err);
        if (code == TR_OK)
            code = compact(&column, chunk, err);
        tr_arena_free(&arena);
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

static _Thread_local bool must_not_decode;

void tr_cache_may_decode(bool may)
{
    must_not_decode = !may;
}

tr_code tr_cache_check_decode(tr_err *err)
{
    return must_not_decode ? TR_FAIL(err, TR_BUSY, "the columns are not decoded yet") : TR_OK;
}

/* What a slot has, with the lock held shared; NULL: nothing, and the lock is not held. */
static const tr_cached_chunk *hold_there(tr_chunk_cache *cache, tr_cached_chunk **slot)
{
    (void)pthread_rwlock_rdlock(&cache->lock);
    tr_cached_chunk *chunk = *slot;
    if (chunk == NULL)
        (void)pthread_rwlock_unlock(&cache->lock);
    else if (!atomic_load_explicit(&chunk->is_used, memory_order_relaxed))
        atomic_store_explicit(&chunk->is_used, true, memory_order_relaxed);
    return chunk;
}

/* Decodes what a slot lacks; then the lock is held exclusively. */
static tr_code fill_slot(const tr_parquet_file *file, uint32_t group, uint32_t leaf, bool is_keys,
                         tr_cached_chunk **slot, tr_err *err)
{
    tr_chunk_cache *cache = file->cache;
    tr_cached_chunk *fresh = NULL;
    TR_TRY(load(file, group, leaf, is_keys, &fresh, err));
    (void)pthread_rwlock_wrlock(&cache->lock);
    *slot = fresh;
    fresh->slot = slot;
    link_newest(cache, fresh);
    cache->bytes += fresh->bytes;
    evict(cache, fresh);
    return TR_OK;
}

/* The chunk of a slot with the lock held: shared when it was there, else exclusively. The caller
 * unlocks on TR_OK. */
static tr_code hold(const tr_parquet_file *file, uint32_t group, uint32_t leaf, bool is_keys,
                    const tr_cached_chunk **out, tr_err *err)
{
    tr_chunk_cache *cache = file->cache;
    tr_cached_chunk **slot = slot_of(file, group, is_keys ? file->shape.leaf_count : leaf);
    *out = hold_there(cache, slot);
    if (*out != NULL)
        return TR_OK;
    TR_TRY(tr_cache_check_decode(err));
    pthread_mutex_t *decoding = &cache->decoding[(uintptr_t)slot / sizeof *slot % cache->decoders];
    (void)pthread_mutex_lock(decoding);
    tr_code code = TR_OK;
    *out = hold_there(cache, slot);
    if (*out == NULL) {
        code = fill_slot(file, group, leaf, is_keys, slot, err);
        if (code == TR_OK)
            *out = *slot;
    }
    (void)pthread_mutex_unlock(decoding);
    return code;
}

tr_code tr_cache_read(const tr_parquet_file *file, uint32_t group, uint32_t leaf, uint32_t from,
                      uint32_t rows, tr_arena *arena, tr_column *out, tr_err *err)
{
    const tr_cached_chunk *chunk = NULL;
    TR_TRY(hold(file, group, leaf, false, &chunk, err));
    const tr_code code = tr_column_cut(arena, &chunk->column, from, rows, out, err);
    (void)pthread_rwlock_unlock(&file->cache->lock);
    return code;
}

/* Prefetching -------------------------------------------------------------------------------- */

enum { PREFETCH_LEAVES_MAX = 256 };

/* The empty statement keeps the compiler from taking the caller for one without an effect: gcc 12
 * leaves out calls of functions that do nothing but prefetch. */
static inline void prefetch(const void *at)
{
    __builtin_prefetch(at);
    __asm__ volatile("" : : "r"(at));
}

static void prefetch_value(const tr_values *values, uint32_t code)
{
    if (code != 0)
        prefetch((const uint8_t *)values->words + (code - 1) * tr_storage_bytes(values->storage));
}

/* Every pass waits for what the one before asked for, and asks for what that leads to. */
static void prefetch_columns(const tr_column *const *columns, uint32_t count, uint32_t row)
{
    for (uint32_t i = 0; i < count; i++)
        prefetch(columns[i]->row_start == NULL ? &columns[i]->codes[row]
                                               : &columns[i]->row_start[row]);
    for (uint32_t i = 0; i < count; i++) {
        const tr_column *column = columns[i];
        if (column->row_start == NULL) {
            prefetch_value(&column->values, column->codes[row]);
        } else {
            const uint32_t entry = column->row_start[row];
            prefetch(&column->codes[entry]);
            prefetch(&column->def[entry]);
            prefetch(&column->rep[entry]);
        }
    }
    for (uint32_t i = 0; i < count; i++)
        if (columns[i]->row_start != NULL)
            prefetch_value(&columns[i]->values, columns[i]->codes[columns[i]->row_start[row]]);
    for (uint32_t i = 0; i < count; i++) {
        const tr_column *column = columns[i];
        const uint32_t entry = column->row_start == NULL ? row : column->row_start[row];
        const uint32_t code = column->codes[entry];
        if (column->values.storage == TR_STORAGE_STRING && code != 0)
            prefetch(column->values.strings[code - 1].at);
    }
}

void tr_parquet_prefetch(const tr_parquet_file *file, uint32_t group, uint32_t row,
                         const uint32_t *leaves, uint32_t count)
{
    const tr_column *columns[PREFETCH_LEAVES_MAX];
    uint32_t found = 0;
    if (file->cache == NULL)
        return;
    (void)pthread_rwlock_rdlock(&file->cache->lock);
    for (uint32_t i = 0; i < count && found < PREFETCH_LEAVES_MAX; i++) {
        const tr_cached_chunk *chunk = *slot_of(file, group, leaves[i]);
        if (chunk != NULL && row < chunk->column.rows)
            columns[found++] = &chunk->column;
    }
    prefetch_columns(columns, found, row);
    (void)pthread_rwlock_unlock(&file->cache->lock);
}

/* Keys --------------------------------------------------------------------------------------- */

/* Rows [*low, *high) are where a key must be; narrows them around where it should be. */
static void interpolate(const uint8_t (*keys)[16], const uint8_t key[16], uint32_t *low,
                        uint32_t *high)
{
    const uint64_t token = tr_key_token(key), least = tr_key_token(keys[*low]);
    const uint64_t most = tr_key_token(keys[*high - 1]);
    const uint32_t rows = *high - *low;
    if (token <= least || token >= most)
        return;
    const uint32_t guess =
        *low + (uint32_t)((double)(token - least) / (double)(most - least) * (double)(rows - 1));
    const uint32_t reach = (uint32_t)__builtin_sqrt((double)rows) + 2;
    const uint32_t below = guess - *low > reach ? guess - reach : *low;
    const uint32_t above = *high - guess > reach + 1 ? guess + reach : *high - 1;
    prefetch(keys[above]);
    if (memcmp(keys[below], key, 16) < 0)
        *low = below;
    else
        *high = below + 1;
    if (above < *high && above >= *low) {
        if (memcmp(keys[above], key, 16) < 0)
            *low = above;
        else
            *high = above + 1;
    }
}

/* The first row whose key is not below `key`; with is_behind the first one above it. */
static uint32_t bound(const uint8_t (*keys)[16], uint32_t rows, const uint8_t key[16],
                      bool is_behind)
{
    uint32_t low = 0, high = rows;
    for (int steps = 0; steps < 3 && high - low > 32 && !is_behind; steps++)
        interpolate(keys, key, &low, &high);
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
    TR_TRY(hold(file, group, leaf, true, &chunk, err));
    find(chunk->keys, file->group_rows[group], key, from, rows);
    (void)pthread_rwlock_unlock(&file->cache->lock);
    return TR_OK;
}
