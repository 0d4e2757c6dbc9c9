/* SPDX-License-Identifier: Apache-2.0 */
/* cache.h - decoded column chunks kept in memory, for readers of few rows here and there.
 *
 * To read one row a page must be checked, inflated and decoded whole: a thousand times the work
 * of
 * the row. Whoever looks up single rows again and again therefore reads through a cache. A file
 * that
 * is given one answers tr_parquet_read of at most TR_CACHE_ROWS_MAX rows out of chunks that stay
 * decoded; larger reads (merging, SQL) go past it and do not disturb it.
 *
 *     file --slot of (group, leaf)--> chunk: tr_column     newest first; the oldest that was not
 *                                     chunk: sorted keys    used since it came goes when it is
 * full
 *
 * A chunk takes exactly the memory of its column. What is read is copied into the caller's arena,
 * so a chunk may go at any time.
 *
 * Decoding takes a thousand times as long as a read. A thread that others wait for says that it
 * must not decode, gets TR_BUSY then, and leaves the work to one that may.
 *
 * Threads: any. A cache outlives the files that have it.
 */
#ifndef TR_PARQUET_CACHE_H
#define TR_PARQUET_CACHE_H

#include "parquet/parquet.h"

#define TR_CACHE_ROWS_MAX 64

typedef struct tr_chunk_cache tr_chunk_cache;

TR_MUST_CHECK tr_code tr_chunk_cache_open(uint64_t bytes_max, tr_chunk_cache **out, tr_err *err);
void tr_chunk_cache_close(tr_chunk_cache *cache); /* accepts NULL */
uint64_t tr_chunk_cache_bytes(tr_chunk_cache *cache);

/* From now on few rows of this file are read through the cache. Before others see the file. */
TR_MUST_CHECK tr_code tr_parquet_use_cache(tr_parquet_file *file, tr_chunk_cache *cache,
                                           tr_err *err);

/* Whether the calling thread may decode; false: a read of a file with a cache that would have to is
 * TR_BUSY. Threads may, unless they say otherwise. */
void tr_cache_may_decode(bool may);

/* A row of many leaves is a miss of the processor's caches for each, one after the other. This asks
 * memory for all of them at once, of those that are decoded; a hint, nothing else.
 * leaves  that are about to be read at this row */
void tr_parquet_prefetch(const tr_parquet_file *file, uint32_t group, uint32_t row,
                         const uint32_t *leaves, uint32_t count);

/* The rows of a group whose key is `key`, for a leaf of sorted keys (parquet.h, read_keys): the
 * first one and how many. A file without a cache reads all keys of the group each time. */
TR_MUST_CHECK tr_code tr_parquet_find_key(const tr_parquet_file *file, uint32_t group,
                                          uint32_t leaf, const uint8_t key[16], uint32_t *from,
                                          uint32_t *rows, tr_err *err);

#endif
