/* SPDX-License-Identifier: Apache-2.0 */
/* page_write.c - the pages of a chunk into the file: header, levels, values.
 *
 * Bytes gather in `out` and go to the sink in large pieces: a call per page would be felt.
 */
#include "base/limits.h"
#include "parquet/rle.h"
#include "parquet/thrift.h"
#include "parquet/writer_internal.h"

enum { OUT_BYTES = 1024 * 1024 };

tr_code tr_out_flush(tr_parquet_writer *writer, size_t keep_below, tr_err *err)
{
    if (writer->out.len == 0 || writer->out.len < keep_below)
        return TR_OK;
    TR_TRY(writer->sink.write(writer->sink.ctx, tr_buf_str(&writer->out), err));
    tr_hash_stream_add(writer->hash, tr_buf_str(&writer->out));
    writer->out.len = 0;
    return TR_OK;
}

static uint32_t count_bytes(tr_parquet_writer *writer, size_t before)
{
    const size_t bytes = writer->out.len - before;
    writer->offset += bytes;
    return (uint32_t)bytes;
}

static int encoding_of(const tr_out_chunk *chunk)
{
    return chunk->is_dictionary ? TR_PQ_RLE_DICTIONARY : TR_PQ_PLAIN;
}

static void begin_header(tr_thrift_writer *t, int type, uint64_t raw_bytes, tr_str body)
{
    tr_thrift_put_enter(t);
    tr_thrift_put_i32(t, TR_PQ_PAGE_TYPE, type);
    tr_thrift_put_i32(t, TR_PQ_PAGE_BYTES, (int32_t)raw_bytes);
    tr_thrift_put_i32(t, TR_PQ_PAGE_COMPRESSED, (int32_t)body.len);
    tr_thrift_put_i32(t, TR_PQ_PAGE_CRC, (int32_t)tr_crc32(body));
}

static tr_code write_dictionary(tr_parquet_writer *writer, tr_out_chunk *chunk, tr_err *err)
{
    const tr_str body = {writer->stored.at + chunk->dictionary_at, chunk->dictionary_stored_bytes};
    const size_t before = writer->out.len;
    tr_thrift_writer t = tr_thrift_writer_of(&writer->out, err);
    chunk->dictionary_offset = writer->offset;
    begin_header(&t, TR_PQ_DICTIONARY_PAGE, chunk->dictionary_raw_bytes, body);
    tr_thrift_put_struct(&t, TR_PQ_PAGE_DICTIONARY);
    tr_thrift_put_i32(&t, TR_PQ_DICTIONARY_VALUES, (int32_t)chunk->dictionary_count);
    tr_thrift_put_i32(&t, TR_PQ_DICTIONARY_ENCODING, TR_PQ_PLAIN);
    tr_thrift_put_bool(&t, TR_PQ_DICTIONARY_SORTED, false);
    tr_thrift_put_leave(&t);
    tr_thrift_put_leave(&t);
    TR_TRY(t.code);
    const size_t header = writer->out.len - before;
    TR_TRY(tr_buf_append(&writer->out, body, err));
    chunk->raw_bytes += header + chunk->dictionary_raw_bytes;
    chunk->file_bytes += count_bytes(writer, before);
    return TR_OK;
}

static tr_code write_page(tr_parquet_writer *writer, uint32_t leaf, tr_out_page *page, tr_err *err)
{
    tr_out_chunk *chunk = &writer->chunks[leaf];
    tr_buf *body = &writer->body;
    const size_t before = writer->out.len;
    body->len = 0;
    if (page->rep_bytes > 0)
        TR_TRY(
            tr_buf_append(body, (tr_str){writer->levels.at + page->rep_at, page->rep_bytes}, err));
    TR_TRY(tr_levels_put(writer, leaf, page, body, err));
    const size_t levels = body->len;
    if (page->stored_bytes > 0)
        TR_TRY(tr_buf_append(
            body, (tr_str){writer->stored.at + page->stored_at, page->stored_bytes}, err));
    if (levels + page->raw_bytes > TR_PARQUET_PAGE_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "column \"%.*s\", row %u: more than the %d bytes of a page",
                       TR_STR_ARG(writer->shape->leaves[leaf].path), page->row,
                       TR_PARQUET_PAGE_BYTES_MAX);
    page->offset = writer->offset;
    tr_thrift_writer t = tr_thrift_writer_of(&writer->out, err);
    begin_header(&t, TR_PQ_DATA_PAGE_V2, levels + page->raw_bytes, tr_buf_str(body));
    tr_thrift_put_struct(&t, TR_PQ_PAGE_DATA_V2);
    tr_thrift_put_i32(&t, TR_PQ_V2_VALUES, (int32_t)page->entries);
    tr_thrift_put_i32(&t, TR_PQ_V2_NULLS, (int32_t)(page->entries - page->values));
    tr_thrift_put_i32(&t, TR_PQ_V2_ROWS, (int32_t)page->rows);
    tr_thrift_put_i32(&t, TR_PQ_V2_ENCODING, encoding_of(chunk));
    tr_thrift_put_i32(&t, TR_PQ_V2_DEF_BYTES, (int32_t)(levels - page->rep_bytes));
    tr_thrift_put_i32(&t, TR_PQ_V2_REP_BYTES, (int32_t)page->rep_bytes);
    tr_thrift_put_bool(&t, TR_PQ_V2_IS_COMPRESSED, page->is_compressed);
    tr_thrift_put_leave(&t);
    tr_thrift_put_leave(&t);
    TR_TRY(t.code);
    const size_t header = writer->out.len - before;
    TR_TRY(tr_buf_append(&writer->out, tr_buf_str(body), err));
    page->file_bytes = count_bytes(writer, before);
    chunk->raw_bytes += header + levels + page->raw_bytes;
    chunk->file_bytes += page->file_bytes;
    return tr_out_flush(writer, OUT_BYTES, err);
}

tr_code tr_chunk_write(tr_parquet_writer *writer, uint32_t leaf, tr_err *err)
{
    tr_out_chunk *chunk = &writer->chunks[leaf];
    if (chunk->is_dictionary)
        TR_TRY(write_dictionary(writer, chunk, err));
    for (uint32_t i = 0; i < chunk->page_count; i++)
        TR_TRY(write_page(writer, leaf, &chunk->pages[i], err));
    chunk->bounds =
        tr_bounds_of_pages(writer->shape->leaves[leaf].kind, chunk->pages, chunk->page_count);
    return TR_OK;
}
