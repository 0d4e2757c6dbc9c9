/* SPDX-License-Identifier: Apache-2.0 */
/* parquet.h - writes Parquet files that any engine reads, and reads our own back, column by column.
 *
 * WRITING one row group:
 *
 *     begin(rows)  put(column of leaf 0)  put(leaf 1) ... put(last leaf)  end
 *
 * put() encodes and compresses the values at once (data page V2: levels stand outside of the
 * compressed part), so that one column at a time is in memory; end() knows which objects are
 * present (those with something in them), writes the definition levels, then the pages.
 * A leaf that is not put is absent in every row of the group.
 *
 * A column whose table is distinct is written with a dictionary holding only the values that are
 * used, in order of first use; otherwise PLAIN. Compression zstd level 1 (keys: none), dropped where
 * it does not help. Every page header has a CRC-32; every column chunk statistics; every file
 * a page index (column and offset index). Pages end at row borders and hold at most `page_rows`.
 * The same columns give the same bytes, always.
 *
 * READING takes a mapped file. It understands what the writer writes: data page V2, PLAIN and
 * RLE_DICTIONARY, zstd or none. Anything else is a clear TR_INVALID; a wrong checksum,
 * level, length or code is TR_CORRUPT, naming column and row group. No count in the file
 * allocates memory before it is bounded by bytes that are present.
 *
 * Threads: a writer belongs to one thread; an open file is immutable and may be read by many.
 */
#ifndef TR_PARQUET_PARQUET_H
#define TR_PARQUET_PARQUET_H

#include "parquet/column.h"

/* Where a writer's bytes go: called with successive pieces. */
typedef struct tr_sink {
    tr_code (*write)(void *ctx, tr_str bytes, tr_err *err);
    void *ctx;
} tr_sink;

typedef struct tr_parquet_options {
    uint32_t page_rows;    /* 0: 16,384 */
    int zstd_level;        /* 0: 1 */
    bool is_uncompressed;  /* what is read over and over: nothing is compressed */
    const char *const *metadata; /* key, value, key, value, ..., NULL; for the footer; may be NULL */
} tr_parquet_options;

typedef struct tr_parquet_writer tr_parquet_writer;

/* shape  borrowed until close */
TR_MUST_CHECK tr_code tr_parquet_writer_open(tr_sink sink, const tr_shape *shape,
                                             const tr_parquet_options *options,
                                             tr_parquet_writer **out, tr_err *err);
TR_MUST_CHECK tr_code tr_parquet_begin_group(tr_parquet_writer *writer, uint32_t rows, tr_err *err);
/* leaf    index in the shape; ascending within a group
 * column  borrowed for the call; its rows are the group's; its own leaf pointer is not looked at */
TR_MUST_CHECK tr_code tr_parquet_put(tr_parquet_writer *writer, uint32_t leaf, const tr_column *column,
                                     tr_err *err);
TR_MUST_CHECK tr_code tr_parquet_end_group(tr_parquet_writer *writer, tr_err *err);
/* One pair more for the footer: what is known only when the rows are written. */
TR_MUST_CHECK tr_code tr_parquet_put_metadata(tr_parquet_writer *writer, const char *key, const char *value,
                                              tr_err *err);
/* Writes the footer. After any failure only tr_parquet_writer_close is of use. */
TR_MUST_CHECK tr_code tr_parquet_finish(tr_parquet_writer *writer, tr_err *err);
void tr_parquet_writer_close(tr_parquet_writer *writer); /* accepts NULL */

typedef struct tr_parquet_file tr_parquet_file;

/* bytes  the whole file, borrowed until close */
TR_MUST_CHECK tr_code tr_parquet_open(tr_str bytes, tr_parquet_file **out, tr_err *err);
void tr_parquet_close(tr_parquet_file *file); /* accepts NULL */
const tr_shape *tr_parquet_shape(const tr_parquet_file *file);
uint64_t tr_parquet_rows(const tr_parquet_file *file);
uint32_t tr_parquet_group_count(const tr_parquet_file *file);
uint32_t tr_parquet_group_rows(const tr_parquet_file *file, uint32_t group);
/* A footer metadata value; .at is NULL when the key is absent. */
tr_str tr_parquet_metadata(const tr_parquet_file *file, const char *key);
/* Compressed bytes of a column chunk: what reading it costs. */
uint64_t tr_parquet_chunk_bytes(const tr_parquet_file *file, uint32_t group, uint32_t leaf);

/* Reads rows [from, from + rows) of a row group's leaf; only the pages that hold them are touched.
 * arena  holds codes, levels and tables of *out; strings may also point into the mapping */
TR_MUST_CHECK tr_code tr_parquet_read(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                                      uint32_t from, uint32_t rows, tr_arena *arena, tr_column *out,
                                      tr_err *err);

/* As tr_parquet_read, of levels alone: a code is 1 where there is a value, else 0, and the table is
 * empty. Values are neither inflated nor looked at. */
TR_MUST_CHECK tr_code tr_parquet_read_levels(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                                             uint32_t from, uint32_t rows, tr_arena *arena, tr_column *out,
                                             tr_err *err);

/* True when both leaves have one value in each of these rows, and the same; told without decoding them.
 * false  they have not, or it cannot be told so: of few rows of a file with a cache it never is */
bool tr_parquet_has_same_values(const tr_parquet_file *file, uint32_t group, uint32_t leaf, uint32_t other,
                                uint32_t from, uint32_t rows);

/* The keys of a group's rows, when the chunk of this KEY leaf has no nulls (bookkeeping keys never
 * have): the caller's rows x 16 bytes are filled page by page, of a PLAIN chunk in place. */
TR_MUST_CHECK tr_code tr_parquet_read_keys(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                                           uint8_t (*out)[16], tr_err *err);

/* The same without repeating a key that stands behind itself, where that costs less: of a dictionary whose codes
 * ascend one by one, which is then what is read; else all of them. *count of `out` are filled. */
TR_MUST_CHECK tr_code tr_parquet_read_keys_once(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                                                 uint8_t (*out)[16], uint32_t *count, tr_err *err);

/* Reads every page of every column and checks every checksum and level, and that of the whole file when it was
 * written here: then no flipped bit goes unnoticed. */
TR_MUST_CHECK tr_code tr_parquet_verify(const tr_parquet_file *file, tr_err *err);

#endif
