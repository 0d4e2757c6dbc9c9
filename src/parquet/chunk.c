/* SPDX-License-Identifier: Apache-2.0 */
/* chunk.c - the values of a column into the pages of a chunk.
 *
 * DICTIONARY. remap[code] is the value's place in the dictionary + 1, in order of first use; so a
 * page's places are below the number of values met so far, which gives the page's bit width. remap
 * is all 0 between chunks and is cleared by the codes that were used, not by the table's size.
 *
 * The smallest and largest value of a page are looked for among its distinct values: places are
 * marked, then the marks are walked, so no entry costs a comparison. PLAIN is in plain.c.
 */
#include "base/check.h"
#include "base/limits.h"
#include "parquet/rle.h"
#include "parquet/writer_internal.h"

enum {
    PAGE_ENTRIES_TARGET = 128 * 1024,       /* a page of arrays ends after so many */
    PAGE_BYTES_TARGET = 1024 * 1024,        /* a page of strings ends after so many */
    DICTIONARY_BYTES_MAX = 16 * 1024 * 1024 /* readers keep it in memory, whole */
};

/* One chunk while it is encoded. */
typedef struct chunk_work {
    tr_parquet_writer *writer;
    tr_encoder *encoder;
    const tr_leaf *leaf;
    const tr_column *column;
    tr_out_chunk *chunk;
    bool is_compressing; /* the kind is worth a try */
    uint32_t prefix;     /* bytes that all strings of a dictionary share */
} chunk_work;

void tr_encoder_free(tr_encoder *encoder)
{
    tr_free(encoder->remap);
    tr_free(encoder->used);
    tr_free(encoder->order);
    tr_free(encoder->marks);
    tr_free(encoder->indexes);
    tr_buf_free(&encoder->raw);
    *encoder = (tr_encoder){0};
}

static tr_code no_memory(const tr_leaf *leaf, tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to write column \"%.*s\"", TR_STR_ARG(leaf->path));
}

/* Room for codes below `codes`; what must be 0 is 0. */
static tr_code reserve_codes(tr_encoder *encoder, const tr_leaf *leaf, uint32_t codes, tr_err *err)
{
    if (codes <= encoder->cap)
        return TR_OK;
    tr_free(encoder->remap);
    tr_free(encoder->used);
    tr_free(encoder->order);
    tr_free(encoder->marks);
    encoder->remap = tr_alloc_zeroed(codes, sizeof *encoder->remap);
    encoder->used = tr_alloc_array(codes, sizeof *encoder->used);
    encoder->order = tr_alloc_array(codes, sizeof *encoder->order);
    encoder->marks = tr_alloc_zeroed(codes, 1);
    encoder->cap = codes;
    if (encoder->remap != NULL && encoder->used != NULL && encoder->order != NULL &&
        encoder->marks != NULL)
        return TR_OK;
    encoder->cap = 0;
    return no_memory(leaf, err);
}

static tr_code reserve_indexes(tr_encoder *encoder, const tr_leaf *leaf, uint32_t entries,
                               tr_err *err)
{
    if (entries <= encoder->index_cap)
        return TR_OK;
    uint32_t *indexes = tr_grow_array(encoder->indexes, entries, sizeof *indexes);
    if (indexes == NULL)
        return no_memory(leaf, err);
    encoder->indexes = indexes;
    encoder->index_cap = entries;
    return TR_OK;
}

static uint64_t string_bytes(const tr_values *values)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < values->count; i++)
        bytes += values->strings[i].len + 4;
    return bytes;
}

/* What a dictionary of exactly the used values costs against writing every value. */
static bool dictionary_pays(const chunk_work *work)
{
    const tr_column *column = work->column;
    const tr_values *values = &column->values;
    uint32_t *seen = work->encoder->remap;
    const uint32_t each = tr_plain_bytes(work->leaf->kind);
    uint64_t distinct = 0, dictionary = 0, plain = 0;
    for (uint32_t e = 0; e < column->entries; e++) {
        const uint32_t code = column->codes[e];
        if (code == 0)
            continue;
        const uint64_t bytes = each != 0 ? each : values->strings[code - 1].len + 4;
        plain += bytes;
        if (seen[code] == 0) {
            seen[code] = 1;
            distinct++;
            dictionary += bytes;
        }
    }
    for (uint32_t e = 0; e < column->entries; e++)
        seen[column->codes[e]] = 0;
    const uint64_t packed = (uint64_t)work->chunk->values * tr_pq_width((unsigned)distinct) / 8;
    return dictionary <= DICTIONARY_BYTES_MAX && dictionary + packed < plain;
}

/* The whole table is looked at first: when even that is small against the values, all is said. */
static bool is_dictionary_better(const chunk_work *work)
{
    const tr_values *values = &work->column->values;
    const uint64_t entries = work->chunk->values;
    if (!values->is_distinct || entries == 0 || work->leaf->kind == TR_KIND_BOOLEAN)
        return false;
    if ((uint64_t)values->count * 2 > entries)
        return dictionary_pays(work);
    const uint32_t each = tr_plain_bytes(work->leaf->kind);
    if (each == 0)
        return string_bytes(values) <= DICTIONARY_BYTES_MAX || dictionary_pays(work);
    const uint64_t dictionary = (uint64_t)values->count * each;
    return (dictionary <= DICTIONARY_BYTES_MAX &&
            dictionary + entries * tr_pq_width(values->count) / 8 < entries * each) ||
           dictionary_pays(work);
}

/* How many bytes all strings of the table begin with: they say nothing about order. */
static uint32_t common_prefix(const tr_values *values)
{
    const tr_str first = values->strings[0];
    size_t len = first.len;
    for (uint32_t i = 1; i < values->count && len > 0; i++) {
        const tr_str s = values->strings[i];
        len = s.len < len ? s.len : len;
        while (len > 0 && memcmp(s.at, first.at, len) != 0)
            len--;
    }
    return (uint32_t)len;
}

/* Any number that orders as the used values do. */
static uint64_t order_in_dictionary(const chunk_work *work, uint32_t code)
{
    if (work->leaf->kind != TR_KIND_STRING)
        return tr_order_of(work->leaf->kind, &work->column->values, code);
    return tr_order_of_string(tr_str_from(work->column->values.strings[code - 1], work->prefix));
}

/* A value is used for the first time: it gets the next place in the dictionary. */
__attribute__((noinline)) static uint32_t add_to_dictionary(chunk_work *work, uint32_t code)
{
    tr_encoder *encoder = work->encoder;
    const uint32_t place = work->chunk->dictionary_count++;
    encoder->used[place] = code;
    encoder->order[place] = order_in_dictionary(work, code);
    encoder->remap[code] = place + 1;
    if (work->leaf->kind == TR_KIND_DOUBLE &&
        tr_is_nan(work->leaf->kind, work->column->values.words[code - 1]))
        work->chunk->has_nan = true;
    return place + 1;
}

/* Codes of the page's values, as places in the dictionary, to `indexes`. An entry without a value
 * writes, too, and is written over by the next: nulls come as they like, and a branch on them would
 * be mispredicted. */
static uint32_t remap_page(chunk_work *work, const tr_out_page *page)
{
    const uint32_t *codes = work->column->codes + page->entry;
    const uint32_t *remap = work->encoder->remap;
    uint32_t *indexes = work->encoder->indexes;
    uint8_t *marks = work->encoder->marks;
    const uint32_t entries = page->entries;
    uint32_t count = 0;
    for (uint32_t e = 0; e < entries; e++) {
        const uint32_t code = codes[e];
        uint32_t place = remap[code];
        if (__builtin_expect(place == 0, 0))
            place = add_to_dictionary(work, code);
        indexes[count] = place - 1;
        marks[place - 1] = 1;
        count += code != 0;
    }
    return count;
}

/* Finds the page's extremes among the marked places, and takes the marks away. */
static void find_extremes(chunk_work *work, tr_extremes *x)
{
    const tr_encoder *encoder = work->encoder;
    const tr_values *values = &work->column->values;
    const uint32_t count = work->chunk->dictionary_count;
    for (uint32_t from = 0; from < count; from += 8) {
        uint64_t eight = 0;
        const uint32_t bytes = count - from < 8 ? count - from : 8;
        memcpy(&eight, encoder->marks + from, bytes);
        for (; eight != 0; eight &= eight - 1) { /* a mark is a single bit in its byte */
            const uint32_t place = from + (uint32_t)__builtin_ctzll(eight) / 8;
            const uint32_t code = encoder->used[place];
            if (work->chunk->has_nan && tr_is_nan(work->leaf->kind, values->words[code - 1]))
                continue;
            tr_extremes_add(x, values, code, encoder->order[place]);
        }
        memset(encoder->marks + from, 0, bytes);
    }
}

static tr_code encode_places(chunk_work *work, const tr_out_page *page, tr_extremes *x, tr_err *err)
{
    tr_encoder *encoder = work->encoder;
    TR_TRY(reserve_indexes(encoder, work->leaf, page->entries, err));
    const uint32_t count = remap_page(work, page);
    TR_ASSERT(count == page->values);
    if (count > 0)
        find_extremes(work, x);
    const uint32_t places = work->chunk->dictionary_count;
    const uint32_t width = places == 0 ? 0 : tr_pq_width(places - 1);
    TR_TRY(tr_buf_append(&encoder->raw, (tr_str){(const uint8_t[]){(uint8_t)width}, 1}, err));
    return count == 0 ? TR_OK : tr_rle_encode(&encoder->raw, encoder->indexes, count, width, err);
}

/* Compresses `raw` to the end of `stored`; *is_compressed: it saved a sixteenth or more. Otherwise
 * nothing is stored, unless is_forced. */
static tr_code compress(chunk_work *work, bool is_forced, bool *is_compressed, tr_err *err)
{
    const tr_buf *raw = &work->encoder->raw;
    tr_buf *stored = &work->writer->stored;
    const size_t most = ZSTD_compressBound(raw->len);
    *is_compressed = false;
    if (!is_forced && (!work->is_compressing || raw->len < 64))
        return TR_OK;
    TR_TRY(tr_buf_reserve(stored, most, err));
    const size_t bytes =
        ZSTD_compress2(work->writer->zstd, stored->at + stored->len, most, raw->at, raw->len);
    if (ZSTD_isError(bytes))
        return TR_FAIL(err, TR_NO_MEMORY, "zstd: %s", ZSTD_getErrorName(bytes));
    *is_compressed = is_forced || bytes <= raw->len - raw->len / 16;
    stored->len += *is_compressed ? bytes : 0;
    return TR_OK;
}

static tr_code store_page(chunk_work *work, tr_out_page *page, tr_err *err)
{
    const tr_buf *raw = &work->encoder->raw;
    tr_buf *stored = &work->writer->stored;
    page->raw_bytes = (uint32_t)raw->len;
    page->stored_at = stored->len;
    TR_TRY(compress(work, false, &page->is_compressed, err));
    if (page->is_compressed)
        work->chunk->is_zstd = true;
    else
        TR_TRY(tr_buf_append(stored, tr_buf_str(raw), err));
    page->stored_bytes = (uint32_t)(stored->len - page->stored_at);
    return TR_OK;
}

/* The page header of a dictionary does not say whether it is compressed: the chunk's codec does. */
static tr_code store_dictionary(chunk_work *work, tr_err *err)
{
    tr_out_chunk *chunk = work->chunk;
    tr_buf *raw = &work->encoder->raw, *stored = &work->writer->stored;
    const tr_values *values = &work->column->values;
    const uint32_t each = tr_plain_bytes(work->leaf->kind);
    raw->len = 0;
    for (uint32_t i = 0; i < chunk->dictionary_count; i++) {
        const uint32_t at = work->encoder->used[i] - 1;
        tr_str value = {NULL, each};
        if (values->storage == TR_STORAGE_STRING) {
            value = values->strings[at];
            const uint32_t len = (uint32_t)value.len;
            TR_TRY(tr_buf_append(raw, (tr_str){(const uint8_t *)&len, sizeof len}, err));
        } else {
            value.at = each == 16 ? values->keys[at] : (const uint8_t *)&values->words[at];
        }
        TR_TRY(tr_buf_append(raw, value, err));
    }
    bool is_compressed;
    chunk->dictionary_raw_bytes = (uint32_t)raw->len;
    chunk->dictionary_at = stored->len;
    TR_TRY(compress(work, chunk->is_zstd, &is_compressed, err));
    if (is_compressed)
        chunk->is_zstd = true;
    else
        TR_TRY(tr_buf_append(stored, tr_buf_str(raw), err));
    chunk->dictionary_stored_bytes = (uint32_t)(stored->len - chunk->dictionary_at);
    return TR_OK;
}

/* How many rows from `row` on the next page takes; always at least one. */
static uint32_t rows_of_page(const chunk_work *work, uint32_t row)
{
    const tr_column *column = work->column;
    const uint32_t page_rows = work->writer->page_rows, left = column->rows - row;
    const uint32_t *start = column->row_start;
    uint32_t rows = left < page_rows ? left : page_rows;
    while (start != NULL && rows > 1 && start[row + rows] - start[row] > PAGE_ENTRIES_TARGET)
        rows--;
    if (work->chunk->is_dictionary || work->leaf->kind != TR_KIND_STRING)
        return rows;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < rows; i++) {
        const uint32_t from = start == NULL ? row + i : start[row + i];
        const uint32_t to = start == NULL ? from + 1 : start[row + i + 1];
        for (uint32_t e = from; e < to; e++)
            bytes +=
                column->codes[e] == 0 ? 0 : column->values.strings[column->codes[e] - 1].len + 4;
        if (bytes > PAGE_BYTES_TARGET && i > 0)
            return i;
    }
    return rows;
}

static uint32_t count_values(const uint32_t *codes, uint32_t entries)
{
    uint32_t count = 0;
    for (uint32_t e = 0; e < entries; e++)
        count += codes[e] != 0;
    return count;
}

static tr_code encode_page(chunk_work *work, tr_out_page *page, tr_err *err)
{
    const tr_column *column = work->column;
    tr_extremes x = {0};
    work->encoder->raw.len = 0;
    page->values = count_values(column->codes + page->entry, page->entries);
    if (work->chunk->is_dictionary)
        TR_TRY(encode_places(work, page, &x, err));
    else
        TR_TRY(tr_plain_encode(work->leaf, column, page, &work->encoder->raw, &x, err));
    work->chunk->has_nan = work->chunk->has_nan || x.has_nan;
    TR_TRY(store_page(work, page, err));
    TR_TRY(tr_bounds_make(&work->writer->group, work->leaf->kind, &column->values, &x,
                          &page->bounds, err));
    if (column->rep == NULL)
        return TR_OK;
    tr_buf *levels = &work->writer->levels;
    page->rep_at = levels->len;
    TR_TRY(tr_rle_encode_levels(levels, column->rep + page->entry, page->entries,
                                tr_pq_width(work->leaf->rep_max), err));
    page->rep_bytes = (uint32_t)(levels->len - page->rep_at);
    return TR_OK;
}

/* The next free page of the chunk; NULL: no memory. */
static tr_out_page *next_page(tr_parquet_writer *writer, tr_out_chunk *chunk)
{
    if (chunk->page_count == chunk->page_cap) {
        const uint32_t expected = (writer->group_rows - 1) / writer->page_rows + 1;
        const uint32_t cap = chunk->page_cap == 0 ? expected : chunk->page_cap * 2;
        tr_out_page *pages = tr_arena_alloc(&writer->group, (size_t)cap * sizeof *pages);
        if (pages == NULL)
            return NULL;
        if (chunk->page_count > 0)
            memcpy(pages, chunk->pages, chunk->page_count * sizeof *pages);
        chunk->pages = pages;
        chunk->page_cap = cap;
    }
    return &chunk->pages[chunk->page_count];
}

static tr_code encode_pages(chunk_work *work, tr_err *err)
{
    const tr_column *column = work->column;
    for (uint32_t row = 0; row < column->rows;) {
        tr_out_page *page = next_page(work->writer, work->chunk);
        if (page == NULL)
            return no_memory(work->leaf, err);
        const uint32_t rows = rows_of_page(work, row);
        const uint32_t from = column->row_start == NULL ? row : column->row_start[row];
        const uint32_t to = column->row_start == NULL ? row + rows : column->row_start[row + rows];
        *page = (tr_out_page){.row = row, .rows = rows, .entry = from, .entries = to - from};
        TR_TRY(encode_page(work, page, err));
        work->chunk->page_count++;
        row += rows;
    }
    return TR_OK;
}

tr_code tr_chunk_put(tr_parquet_writer *writer, uint32_t leaf, const tr_column *column, tr_err *err)
{
    tr_encoder *encoder = &writer->encoder;
    tr_out_chunk *chunk = &writer->chunks[leaf];
    chunk_work work = {.writer = writer,
                       .encoder = encoder,
                       .leaf = &writer->shape->leaves[leaf],
                       .column = column,
                       .chunk = chunk};
    work.is_compressing = work.leaf->kind != TR_KIND_KEY && !writer->is_uncompressed;
    *chunk = (tr_out_chunk){.is_put = true,
                            .entries = column->entries,
                            .values = count_values(column->codes, column->entries)};
    if (column->values.is_distinct)
        TR_TRY(reserve_codes(encoder, work.leaf, column->values.count + 1, err));
    chunk->is_dictionary = is_dictionary_better(&work);
    if (column->def != NULL) {
        chunk->def_at = writer->levels.len;
        TR_TRY(tr_buf_append(&writer->levels, (tr_str){column->def, column->entries}, err));
    }
    if (!chunk->is_dictionary)
        return encode_pages(&work, err);
    encoder->remap[0] = column->values.count + 1; /* a place behind all that can be used */
    if (work.leaf->kind == TR_KIND_STRING)
        work.prefix = common_prefix(&column->values);
    TR_TRY(encode_pages(
        &work, err)); /* a failure leaves remap and marks unclean: the writer is done for */
    encoder->remap[0] = 0;
    encoder->marks[column->values.count] = 0;
    for (uint32_t i = 0; i < chunk->dictionary_count; i++)
        encoder->remap[encoder->used[i]] = 0;
    return store_dictionary(&work, err);
}

static tr_code put_zero_levels(tr_parquet_writer *writer, const tr_leaf *leaf, tr_out_page *page,
                               tr_err *err)
{
    tr_buf *zeros = &writer->page_levels;
    zeros->len = 0;
    TR_TRY(tr_buf_reserve(zeros, page->entries, err));
    memset(zeros->at, 0, page->entries);
    page->rep_at = writer->levels.len;
    TR_TRY(tr_rle_encode_levels(&writer->levels, zeros->at, page->entries,
                                tr_pq_width(leaf->rep_max), err));
    page->rep_bytes = (uint32_t)(writer->levels.len - page->rep_at);
    return TR_OK;
}

tr_code tr_chunk_absent(tr_parquet_writer *writer, uint32_t leaf, tr_err *err)
{
    tr_out_chunk *chunk = &writer->chunks[leaf];
    const tr_leaf *own = &writer->shape->leaves[leaf];
    const uint32_t rows = writer->group_rows;
    *chunk = (tr_out_chunk){.entries = rows};
    for (uint32_t row = 0; row < rows;) {
        tr_out_page *page = next_page(writer, chunk);
        if (page == NULL)
            return no_memory(own, err);
        const uint32_t here = rows - row < writer->page_rows ? rows - row : writer->page_rows;
        *page = (tr_out_page){.row = row, .rows = here, .entry = row, .entries = here};
        if (own->rep_max > 0)
            TR_TRY(put_zero_levels(writer, own, page, err));
        chunk->page_count++;
        row += here;
    }
    return TR_OK;
}
