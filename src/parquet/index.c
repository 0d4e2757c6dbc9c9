/* SPDX-License-Identifier: Apache-2.0 */
/* index.c - a chunk's offset index: where its pages are and which rows they begin with. */
#include "parquet/read_internal.h"

typedef struct location {
    int64_t at, bytes, first_row;
} location;

static location read_location(tr_thrift_reader *r)
{
    location found = {.at = -1, .bytes = -1, .first_row = -1};
    tr_thrift_field f = {0};
    tr_thrift_enter(r);
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_LOCATION_AT)
            found.at = tr_thrift_i64(r, &f);
        else if (f.id == TR_PQ_LOCATION_BYTES)
            found.bytes = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_LOCATION_FIRST_ROW)
            found.first_row = tr_thrift_i64(r, &f);
        else
            tr_thrift_skip(r, &f);
    }
    return found;
}

/* Steps to the list of locations; the count is 0 when there is none. */
static uint32_t find_locations(tr_thrift_reader *r)
{
    tr_thrift_field f = {0};
    tr_thrift_enter(r);
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_OFFSET_PAGES)
            return tr_thrift_list(r, &f, TR_THRIFT_STRUCT);
        tr_thrift_skip(r, &f);
    }
    return 0;
}

static tr_thrift_reader open_index(const tr_parquet_file *file, const tr_chunk *chunk)
{
    return tr_thrift_reader_of((tr_str){file->bytes.at + chunk->index_at, chunk->index_bytes});
}

/* An index has no checksum, so what it says of a page is held against the page and the next one. */
static tr_code check_location(const tr_parquet_file *file, const tr_chunk *chunk,
                              const location *found, const location *next, tr_err *err)
{
    tr_page page;
    if (found->at < 0 || found->first_row < 0 || (uint64_t)found->at < chunk->data_at ||
        (uint64_t)found->at >= chunk->end)
        return TR_FAIL(err, TR_CORRUPT, "its page index points out of its pages");
    TR_TRY(tr_page_head(file, chunk, (uint64_t)found->at, &page, err));
    const uint64_t end = tr_page_end(file, &page);
    if (found->bytes != (int64_t)(end - (uint64_t)found->at) || next->at != (int64_t)end ||
        next->first_row != found->first_row + page.rows)
        return TR_FAIL(err, TR_CORRUPT, "a page is not where its page index says");
    return TR_OK;
}

tr_code tr_index_seek(const tr_parquet_file *file, const tr_chunk *chunk, uint32_t group_rows,
                      uint32_t row, tr_index_place *out, tr_err *err)
{
    tr_thrift_reader r = open_index(file, chunk);
    const uint32_t count = find_locations(&r);
    location best = {.at = -1}, next = {.at = -1};
    for (uint32_t i = 0; i < count; i++) {
        next = read_location(&r);
        if (next.first_row > row)
            break;
        best = next;
        next = (location){.at = (int64_t)chunk->end, .first_row = group_rows};
    }
    if (r.problem != NULL)
        return TR_FAIL(err, TR_CORRUPT, "its page index is damaged: %s", r.problem);
    TR_TRY(check_location(file, chunk, &best, &next, err));
    *out = (tr_index_place){.at = (uint64_t)best.at, .first_row = (uint32_t)best.first_row};
    return TR_OK;
}

tr_code tr_index_check(const tr_parquet_file *file, const tr_chunk *chunk, tr_err *err)
{
    tr_thrift_reader r = open_index(file, chunk);
    const uint32_t count = find_locations(&r);
    uint64_t at = chunk->data_at, row = 0;
    for (uint32_t i = 0; i < count; i++) {
        const location found = read_location(&r);
        tr_page page;
        TR_TRY(tr_page_head(file, chunk, at, &page, err));
        const uint64_t end = tr_page_end(file, &page);
        if (found.at != (int64_t)at || found.bytes != (int64_t)(end - at) ||
            found.first_row != (int64_t)row)
            return TR_FAIL(err, TR_CORRUPT, "page %u is not where its page index says", i);
        at = end;
        row += page.rows;
    }
    if (r.problem != NULL || at != chunk->end)
        return TR_FAIL(err, TR_CORRUPT, "its page index does not list its pages");
    return TR_OK;
}
