/* SPDX-License-Identifier: Apache-2.0 */
/* same.c - whether two columns of a file have the same values, told by their stored bytes.
 *
 *     leaf a   | page: 16,384 rows | page ...       the same rows, encoding and bytes behind the
 *     leaf b   | page: 16,384 rows | page ...       levels, page by page; dictionaries likewise
 *
 * Compressed bytes are compared as they are: equal ones stand for equal values, and where they
 * differ nothing is said of the values. Levels must be those of one value a row. Checksums are
 * looked at, so that what is answered holds of what was written.
 */
#include "parquet/cache.h"
#include "parquet/read_internal.h"
#include "parquet/rle.h"

typedef struct walk {
    const tr_parquet_file *file;
    const tr_chunk *chunk;
    const tr_leaf *leaf;
    uint64_t at;  /* of the next page */
    uint32_t row; /* its first */
    tr_page page; /* the one before it */
} walk;

/* To the page that holds row `from`, as far as the chunk has an index. */
static bool begin(const tr_parquet_file *file, uint32_t group, uint32_t leaf, uint32_t from,
                  walk *out)
{
    const tr_chunk *chunk = tr_chunk_of(file, group, leaf);
    tr_index_place place = {.at = chunk->data_at};
    if (from > 0 && chunk->index_bytes > 0 &&
        tr_index_seek(file, chunk, file->group_rows[group], from, &place, NULL) != TR_OK)
        return false;
    *out = (walk){.file = file,
                  .chunk = chunk,
                  .leaf = &file->shape.leaves[leaf],
                  .at = place.at,
                  .row = place.first_row};
    return true;
}

/* The next page, when each of its rows has one value. */
static bool step(walk *w)
{
    const tr_leaf *leaf = w->leaf;
    tr_page *page = &w->page;
    uint32_t level;
    if (tr_page_head(w->file, w->chunk, w->at, page, NULL) != TR_OK || page->is_dictionary ||
        page->rows != page->entries || page->nulls != 0 || tr_page_check(page, NULL) != TR_OK)
        return false;
    if (leaf->rep_max == 0 ? page->rep_bytes != 0
                           : !tr_rle_is_constant(tr_page_rep(page), tr_pq_width(leaf->rep_max),
                                                 page->entries, &level) ||
                                 level != 0)
        return false;
    if (!tr_rle_is_constant(tr_page_def(page), tr_pq_width(leaf->def_max), page->entries, &level) ||
        level != leaf->def_max)
        return false;
    w->at = tr_page_end(w->file, page);
    w->row += page->rows;
    return true;
}

static bool is_same_page(const tr_page *a, const tr_page *b)
{
    return a->entries == b->entries && a->encoding == b->encoding &&
           a->is_compressed == b->is_compressed && a->values_bytes == b->values_bytes &&
           tr_str_equal(tr_page_stored(a), tr_page_stored(b));
}

static bool has_same_dictionary(const walk *a, const walk *b)
{
    tr_page own, other;
    if (a->chunk->has_dictionary != b->chunk->has_dictionary)
        return false;
    if (!a->chunk->has_dictionary)
        return true;
    return tr_page_head(a->file, a->chunk, a->chunk->at, &own, NULL) == TR_OK &&
           tr_page_head(b->file, b->chunk, b->chunk->at, &other, NULL) == TR_OK &&
           own.is_dictionary && other.is_dictionary && tr_page_check(&own, NULL) == TR_OK &&
           tr_page_check(&other, NULL) == TR_OK && is_same_page(&own, &other);
}

bool tr_parquet_has_same_values(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                                uint32_t other, uint32_t from, uint32_t rows)
{
    walk a, b;
    if (rows == 0 || (file->cache != NULL && rows <= TR_CACHE_ROWS_MAX))
        return false;
    if (!begin(file, group, leaf, from, &a) || !begin(file, group, other, from, &b) ||
        a.leaf->kind != b.leaf->kind || !has_same_dictionary(&a, &b))
        return false;
    while (a.row < from + rows)
        if (a.row != b.row || !step(&a) || !step(&b) || !is_same_page(&a.page, &b.page))
            return false;
    return true;
}
