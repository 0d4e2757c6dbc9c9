/* SPDX-License-Identifier: Apache-2.0 */
/* writer_internal.h - a row group on its way into a file.
 *
 *     put(leaf)                                          end
 *       unit's presence bitmap  ---------------------->    objects' presence (levels.c)
 *       codes -> pages of values -> zstd (chunk.c)         definition levels, page headers, CRCs
 *         `stored`: values of all pages of all chunks        (page_write.c)
 *         `levels`: repetition levels as in the file,      indexes, RowGroup (footer.c)
 *                   definition levels as in the column
 *
 * Buffers are the writer's and are used again from group to group. Nothing here is allocated per
 * row.
 */
#ifndef TR_PARQUET_WRITER_INTERNAL_H
#define TR_PARQUET_WRITER_INTERNAL_H

#include "codec/hash.h"
#include "parquet/format_internal.h"
#include "parquet/parquet.h"

#include <zstd.h>

/* Smallest and largest value as statistics have them: PLAIN, without a string's length. */
typedef struct tr_bounds {
    tr_str min, max; /* .at NULL: not known; in the group's arena */
    bool min_is_exact, max_is_exact;
} tr_bounds;

typedef struct tr_out_page {
    uint32_t row, rows;
    uint32_t entry, entries;
    uint32_t values;       /* entries with a value */
    uint32_t raw_bytes;    /* of values, before compression */
    uint32_t stored_bytes; /* of values, in the file */
    uint32_t rep_bytes;
    size_t stored_at; /* in stored */
    size_t rep_at;    /* in levels */
    bool is_compressed;
    tr_bounds bounds;
    uint64_t offset;     /* of the page header in the file, once written */
    uint32_t file_bytes; /* header and body */
} tr_out_page;

typedef struct tr_out_chunk {
    bool is_put;
    bool is_dictionary;
    bool is_zstd; /* the chunk's codec: some page is compressed */
    bool has_nan;
    uint32_t entries, values;
    uint32_t page_count, page_cap;
    tr_out_page *pages; /* in the group's arena */
    size_t def_at;      /* nested leaves: the column's levels, in levels */
    uint32_t dictionary_count, dictionary_raw_bytes, dictionary_stored_bytes;
    size_t dictionary_at; /* in stored */
    /* Once written: */
    uint64_t dictionary_offset;
    uint64_t raw_bytes, file_bytes; /* headers counted */
    uint64_t column_index_offset, offset_index_offset;
    uint32_t column_index_bytes, offset_index_bytes;
    tr_bounds bounds;
} tr_out_chunk;

/* Memory for encoding one chunk. */
typedef struct tr_encoder {
    uint32_t cap;    /* codes and indexes the arrays have room for */
    uint32_t *remap; /* code -> place in the dictionary + 1; all 0 between chunks */
    uint32_t *used;  /* place in the dictionary -> code */
    uint64_t *order; /* place in the dictionary -> tr_order_of its value */
    uint8_t *marks;  /* place in the dictionary -> used in this page; all 0 between pages */
    uint32_t index_cap;
    uint32_t *indexes; /* of one page */
    tr_buf raw;        /* values of one page, or the dictionary */
} tr_encoder;

struct tr_parquet_writer {
    tr_sink sink;
    const tr_shape *shape; /* borrowed */
    bool is_uncompressed;
    uint32_t page_rows;
    ZSTD_CCtx *zstd;
    bool is_failed, is_in_group, is_finished;
    uint64_t offset; /* bytes of the file so far, those waiting in out counted */
    tr_buf out;      /* waits for the sink */
    tr_hash_stream *hash; /* of what the sink has */
    uint64_t rows;
    uint32_t group_count;
    tr_buf groups; /* RowGroup structs, end to end */
    uint32_t metadata_count;
    tr_buf metadata; /* KeyValue structs, end to end */
    /* The group now being written. */
    uint32_t group_rows;
    uint32_t next_leaf;
    uint64_t group_offset;
    tr_arena group;
    tr_out_chunk *chunks; /* by leaf */
    uint64_t *
        *present; /* by type id: a bitmap of rows, one word longer than needed; NULL: nowhere */
    uint64_t *spare_bitmap;
    tr_buf stored, levels;
    tr_encoder encoder;
    tr_buf body, page_levels; /* of one page */
};

/* A bitmap of the group's rows, cleared; NULL when there is no memory. */
uint64_t *tr_bitmap_make(tr_parquet_writer *writer);

/* levels.c */

/* Notes in which rows the leaf's unit is present.
 * TR_INVALID  another leaf of the unit is present in other rows */
TR_MUST_CHECK tr_code tr_presence_note(tr_parquet_writer *writer, uint32_t leaf,
                                       const tr_column *column, tr_err *err);
uint32_t tr_bitmap_count(const uint64_t *bitmap, uint32_t from, uint32_t count);
/* Works out which objects are present in which rows: those with something in them. */
TR_MUST_CHECK tr_code tr_presence_derive(tr_parquet_writer *writer, tr_err *err);
/* Appends a page's definition levels, encoded. */
TR_MUST_CHECK tr_code tr_levels_put(tr_parquet_writer *writer, uint32_t leaf,
                                    const tr_out_page *page, tr_buf *out, tr_err *err);

/* bounds.c */

/* The codes of the smallest and largest value seen so far. */
typedef struct tr_extremes {
    uint32_t min_code, max_code; /* 0: none */
    uint64_t min_order, max_order;
    bool has_nan; /* met, and left out */
} tr_extremes;

bool tr_is_nan(tr_kind kind, uint64_t word);
/* A number that orders as the values do; strings and keys by their first 8 bytes: ties are open. */
uint64_t tr_order_of(tr_kind kind, const tr_values *values, uint32_t code);
uint64_t tr_order_of_string(tr_str s);
/* Ties: compares two strings or keys whose numbers are equal. */
int tr_tie_compare(const tr_values *values, uint32_t a, uint32_t b);
static inline void tr_extremes_add(tr_extremes *x, const tr_values *values, uint32_t code,
                                   uint64_t order)
{
    const bool has_ties = values->storage != TR_STORAGE_WORD;
    if (x->min_code == 0 || order < x->min_order ||
        (has_ties && order == x->min_order && tr_tie_compare(values, code, x->min_code) < 0)) {
        x->min_code = code;
        x->min_order = order;
    }
    if (x->max_code == 0 || order > x->max_order ||
        (has_ties && order == x->max_order && tr_tie_compare(values, code, x->max_code) > 0)) {
        x->max_code = code;
        x->max_order = order;
    }
}
/* Long strings are cut to a smaller min and a larger max, which then are not exact. */
TR_MUST_CHECK tr_code tr_bounds_make(tr_arena *arena, tr_kind kind, const tr_values *values,
                                     const tr_extremes *x, tr_bounds *out, tr_err *err);
int tr_bounds_compare(tr_kind kind, tr_str a, tr_str b);
/* The bounds of all pages together. */
tr_bounds tr_bounds_of_pages(tr_kind kind, const tr_out_page *pages, uint32_t count);

/* plain.c: appends the values of a page to raw. */
TR_MUST_CHECK tr_code tr_plain_encode(const tr_leaf *leaf, const tr_column *column,
                                      const tr_out_page *page, tr_buf *raw, tr_extremes *x,
                                      tr_err *err);

/* chunk.c: values of a column into pages. */
TR_MUST_CHECK tr_code tr_chunk_put(tr_parquet_writer *writer, uint32_t leaf,
                                   const tr_column *column, tr_err *err);
/* The pages of a leaf that was not put. */
TR_MUST_CHECK tr_code tr_chunk_absent(tr_parquet_writer *writer, uint32_t leaf, tr_err *err);
void tr_encoder_free(tr_encoder *encoder);

/* page_write.c */
TR_MUST_CHECK tr_code tr_out_flush(tr_parquet_writer *writer, size_t keep_below, tr_err *err);
/* Writes the chunk's pages and fills in what is known once they are written. */
TR_MUST_CHECK tr_code tr_chunk_write(tr_parquet_writer *writer, uint32_t leaf, tr_err *err);

/* footer.c */
TR_MUST_CHECK tr_code tr_indexes_write(tr_parquet_writer *writer, tr_err *err);
TR_MUST_CHECK tr_code tr_group_add(tr_parquet_writer *writer, tr_err *err);
TR_MUST_CHECK tr_code tr_footer_write(tr_parquet_writer *writer, tr_err *err);

/* The physical type of a kind, and the bytes of a PLAIN value; 0: a BOOLEAN's bit, a BYTE_ARRAY. */
static inline int tr_physical_type(tr_kind kind)
{
    switch (kind) {
    case TR_KIND_BOOLEAN: return TR_PQ_BOOLEAN;
    case TR_KIND_INT32:
    case TR_KIND_DATE: return TR_PQ_INT32;
    case TR_KIND_INT64:
    case TR_KIND_TIMESTAMP: return TR_PQ_INT64;
    case TR_KIND_DOUBLE: return TR_PQ_DOUBLE;
    case TR_KIND_KEY: return TR_PQ_FIXED_LEN_BYTE_ARRAY;
    case TR_KIND_STRING:
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP: break;
    }
    return TR_PQ_BYTE_ARRAY;
}

static inline uint32_t tr_plain_bytes(tr_kind kind)
{
    const int type = tr_physical_type(kind);
    return type == TR_PQ_INT32                           ? 4
           : type == TR_PQ_INT64 || type == TR_PQ_DOUBLE ? 8
           : type == TR_PQ_FIXED_LEN_BYTE_ARRAY          ? 16
                                                         : 0;
}

#endif
