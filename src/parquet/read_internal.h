/* SPDX-License-Identifier: Apache-2.0 */
/* read_internal.h - an open file: its footer in flat arrays, and pages on their way to values.
 *
 *     open.c          FileMetaData -> tr_parquet_file      all offsets checked against the file
 *     schema_read.c   SchemaElements -> tr_type tree -> shape
 *     page_read.c     one page: header, checksum, decompression
 *     index.c         which page holds a row
 *     read.c          the pages that hold some rows -> tr_column
 *     cache.c         few rows out of chunks that stay decoded
 *     values.c        PLAIN values and dictionaries -> tr_values
 *     verify.c        everything once
 *     same.c          whether two columns have the same values, by their stored bytes
 */
#ifndef TR_PARQUET_READ_INTERNAL_H
#define TR_PARQUET_READ_INTERNAL_H

#include "parquet/format_internal.h"
#include "parquet/parquet.h"
#include "parquet/thrift.h"

typedef struct tr_chunk {
    uint64_t at;       /* its first page: the dictionary, if there is one */
    uint64_t end;      /* behind its last page */
    uint64_t data_at;  /* its first data page */
    uint64_t index_at; /* offset index; 0: none */
    uint32_t index_bytes;
    uint32_t entries;
    uint8_t codec;
    bool has_dictionary;
} tr_chunk;

typedef struct tr_cached_chunk tr_cached_chunk;

struct tr_parquet_file {
    tr_str bytes; /* borrowed */
    tr_arena arena;
    tr_shape shape;
    uint64_t rows;
    uint64_t pages_end; /* where the footer begins */
    uint32_t group_count;
    uint32_t *group_rows;
    tr_chunk *chunks; /* [group * leaf_count + leaf] */
    tr_str metadata;  /* footer bytes from the first KeyValue on */
    uint32_t metadata_count;
    tr_str created_by; /* .at NULL: nobody says */
    struct tr_chunk_cache *cache; /* NULL: none */
    tr_cached_chunk **cached;     /* [group * (leaf_count + 1) + leaf]; guarded by the cache */
};

static inline const tr_chunk *tr_chunk_of(const tr_parquet_file *file, uint32_t group,
                                          uint32_t leaf)
{
    return &file->chunks[(size_t)group * file->shape.leaf_count + leaf];
}

/* Reads the list of SchemaElements at the reader. */
TR_MUST_CHECK tr_code tr_schema_read(tr_thrift_reader *reader, const tr_thrift_field *field,
                                     tr_arena *arena, tr_shape *out, tr_err *err);

typedef struct tr_page {
    uint64_t at;           /* of its header */
    tr_str body;           /* as in the file: levels, then values */
    bool is_dictionary;
    bool is_compressed;    /* its values are a zstd frame */
    uint8_t encoding;
    uint32_t entries;      /* of a dictionary: its values */
    uint32_t nulls;
    uint32_t rows;
    uint32_t rep_bytes;
    uint32_t def_bytes;
    uint32_t values_bytes; /* uncompressed */
    uint32_t crc;
} tr_page;

/* Reads the header at `at` within the chunk; counts are bounded by the chunk's, sizes by its bytes.
 * The next page begins behind the body. */
TR_MUST_CHECK tr_code tr_page_head(const tr_parquet_file *file, const tr_chunk *chunk, uint64_t at,
                                   tr_page *out, tr_err *err);
/* TR_CORRUPT when the body does not have its checksum. */
TR_MUST_CHECK tr_code tr_page_check(const tr_page *page, tr_err *err);
uint64_t tr_page_end(const tr_parquet_file *file, const tr_page *page);

/* Memory of this thread that reads use again and again, with its zstd context. */
enum { TR_SCRATCH_VALUES, TR_SCRATCH_CODES, TR_SCRATCH_LEVELS, TR_SCRATCH_PAGES, TR_SCRATCH_SLOTS };
typedef struct tr_scratch tr_scratch;
/* NULL when there is no memory. Belongs to the thread; given back by its end. */
tr_scratch *tr_scratch_of_thread(void);
/* At least `bytes` bytes of a slot, contents kept; NULL when there is no memory. */
void *tr_scratch_get(tr_scratch *scratch, int slot, size_t bytes);
/* Frees slots that grew unusually large. */
void tr_scratch_trim(tr_scratch *scratch);

/* The values of a checked page in `into`, which has values_bytes bytes. */
TR_MUST_CHECK tr_code tr_page_inflate(tr_scratch *scratch, const tr_page *page, uint8_t *into,
                                      tr_err *err);
/* The values of a checked page where they are best read: in the file, or inflated in a slot. */
TR_MUST_CHECK tr_code tr_page_values(tr_scratch *scratch, const tr_page *page, tr_str *out,
                                     tr_err *err);

static inline tr_str tr_page_rep(const tr_page *page)
{
    return (tr_str){page->body.at, page->rep_bytes};
}
static inline tr_str tr_page_def(const tr_page *page)
{
    return (tr_str){page->body.at + page->rep_bytes, page->def_bytes};
}
static inline tr_str tr_page_stored(const tr_page *page)
{
    return tr_str_from(page->body, (size_t)page->rep_bytes + page->def_bytes);
}

/* A table for `count` values of a storage, in the arena. */
TR_MUST_CHECK tr_code tr_values_make(tr_arena *arena, tr_storage storage, uint32_t count,
                                     tr_values *out, tr_err *err);
/* TR_CORRUPT unless values_bytes can be `count` PLAIN values of the kind: before anything is
 * allocated for them. */
TR_MUST_CHECK tr_code tr_values_fit(tr_kind kind, uint32_t count, uint32_t values_bytes,
                                    tr_err *err);
/* Reads `count` PLAIN values of a checked page into the table's entries from `from` on. Strings
 * point into the file, or to bytes in the arena. Not for booleans. */
TR_MUST_CHECK tr_code tr_values_read(tr_scratch *scratch, tr_arena *arena, const tr_page *page,
                                     tr_kind kind, uint32_t count, tr_values *table, uint32_t from,
                                     tr_err *err);
/* The dictionary of a chunk, as a distinct table. */
TR_MUST_CHECK tr_code tr_dictionary_read(tr_scratch *scratch, tr_arena *arena,
                                         const tr_parquet_file *file, const tr_chunk *chunk,
                                         tr_kind kind, tr_values *out, tr_err *err);

typedef struct tr_index_place {
    uint64_t at; /* of a page header */
    uint32_t first_row;
} tr_index_place;
/* The last page of the chunk's offset index that begins at or before `row`. */
TR_MUST_CHECK tr_code tr_index_seek(const tr_parquet_file *file, const tr_chunk *chunk,
                                    uint32_t group_rows, uint32_t row, tr_index_place *out,
                                    tr_err *err);
/* TR_CORRUPT unless the chunk's offset index lists exactly its pages. */
TR_MUST_CHECK tr_code tr_index_check(const tr_parquet_file *file, const tr_chunk *chunk, tr_err *err);
/* tr_parquet_read from the file itself. */
TR_MUST_CHECK tr_code tr_parquet_read_past_cache(const tr_parquet_file *file, uint32_t group,
                                                 uint32_t leaf, uint32_t from, uint32_t rows,
                                                 tr_arena *arena, tr_column *out, tr_err *err);
/* tr_parquet_read of few rows of a file that has a cache. */
TR_MUST_CHECK tr_code tr_cache_read(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                                    uint32_t from, uint32_t rows, tr_arena *arena, tr_column *out,
                                    tr_err *err);
/* TR_BUSY: the calling thread must not decode. */
TR_MUST_CHECK tr_code tr_cache_check_decode(tr_err *err);
void tr_cache_forget(tr_parquet_file *file); /* the file is closed */
/* Prepends which column of which row group failed. */
void tr_chunk_context(const tr_parquet_file *file, uint32_t group, uint32_t leaf, tr_err *err);

#endif
