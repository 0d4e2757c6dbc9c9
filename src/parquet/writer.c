/* SPDX-License-Identifier: Apache-2.0 */
/* writer.c - a file from its first byte to its last; see parquet.h and writer_internal.h. */
#include "base/check.h"
#include "parquet/thrift.h"
#include "parquet/writer_internal.h"

enum { PAGE_ROWS_DEFAULT = 16384, ZSTD_LEVEL_DEFAULT = 1 };

static void put_metadata(tr_parquet_writer *writer, tr_thrift_writer *t, const char *key,
                         const char *value)
{
    tr_thrift_put_enter(t);
    tr_thrift_put_binary(t, TR_PQ_KEY, tr_str_of(key));
    tr_thrift_put_binary(t, TR_PQ_VALUE, tr_str_of(value));
    tr_thrift_put_leave(t);
    writer->metadata_count++;
}

static tr_code keep_metadata(tr_parquet_writer *writer, const char *const *metadata, tr_err *err)
{
    tr_thrift_writer t = tr_thrift_writer_of(&writer->metadata, err);
    for (; metadata != NULL && metadata[0] != NULL; metadata += 2)
        put_metadata(writer, &t, metadata[0], metadata[1]);
    return t.code;
}

tr_code tr_parquet_put_metadata(tr_parquet_writer *writer, const char *key, const char *value,
                                tr_err *err)
{
    const char *const metadata[] = {key, value, NULL};
    return keep_metadata(writer, metadata, err);
}

static tr_code make_zstd(tr_parquet_writer *writer, int level, tr_err *err)
{
    writer->zstd = ZSTD_createCCtx();
    if (writer->zstd == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for zstd");
    if (ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, level)))
        return TR_FAIL(err, TR_INVALID, "zstd has no level %d", level);
    return TR_OK;
}

tr_code tr_parquet_writer_open(tr_sink sink, const tr_shape *shape,
                               const tr_parquet_options *options, tr_parquet_writer **out,
                               tr_err *err)
{
    static const tr_parquet_options defaults;
    const tr_parquet_options *o = options == NULL ? &defaults : options;
    tr_parquet_writer *writer = tr_alloc_zeroed(1, sizeof *writer);
    if (writer == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a Parquet writer");
    writer->sink = sink;
    writer->shape = shape;
    writer->is_uncompressed = o->is_uncompressed;
    writer->page_rows = o->page_rows == 0 ? PAGE_ROWS_DEFAULT : o->page_rows;
    writer->chunks = tr_alloc_zeroed(shape->leaf_count, sizeof *writer->chunks);
    writer->present = tr_alloc_zeroed(shape->type_count, sizeof *writer->present);
    writer->hash = tr_hash_stream_open();
    tr_code code = TR_OK;
    if (writer->chunks == NULL || writer->present == NULL || writer->hash == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a Parquet writer");
    if (code == TR_OK)
        code = make_zstd(writer, o->zstd_level == 0 ? ZSTD_LEVEL_DEFAULT : o->zstd_level, err);
    if (code == TR_OK)
        code = keep_metadata(writer, o->metadata, err);
    if (code == TR_OK)
        code = tr_buf_append(&writer->out, tr_str_of(TR_PQ_MAGIC), err);
    if (code != TR_OK) {
        tr_parquet_writer_close(writer);
        return code;
    }
    writer->offset = TR_PQ_MAGIC_BYTES;
    *out = writer;
    return TR_OK;
}

void tr_parquet_writer_close(tr_parquet_writer *writer)
{
    if (writer == NULL)
        return;
    (void)ZSTD_freeCCtx(writer->zstd);
    tr_hash_stream_close(writer->hash);
    tr_buf_free(&writer->out);
    tr_buf_free(&writer->groups);
    tr_buf_free(&writer->metadata);
    tr_buf_free(&writer->stored);
    tr_buf_free(&writer->levels);
    tr_buf_free(&writer->body);
    tr_buf_free(&writer->page_levels);
    tr_encoder_free(&writer->encoder);
    tr_arena_free(&writer->group);
    tr_free(writer->chunks);
    tr_free(writer->present);
    tr_free(writer);
}

/* After a failure the bytes written so far are no file, and buffers may be in any state. */
static tr_code check_sound(const tr_parquet_writer *writer, tr_err *err)
{
    if (writer->is_failed)
        return TR_FAIL(err, TR_INVALID, "this Parquet writer has failed before");
    return TR_OK;
}

static tr_code noting_failure(tr_parquet_writer *writer, tr_code code)
{
    writer->is_failed = writer->is_failed || code != TR_OK;
    return code;
}

tr_code tr_parquet_begin_group(tr_parquet_writer *writer, uint32_t rows, tr_err *err)
{
    TR_TRY(check_sound(writer, err));
    TR_ASSERT(!writer->is_in_group && !writer->is_finished);
    if (rows == 0)
        return noting_failure(writer, TR_FAIL(err, TR_INVALID, "a row group without rows"));
    tr_arena_reset(&writer->group);
    memset(writer->present, 0, writer->shape->type_count * sizeof *writer->present);
    memset(writer->chunks, 0, writer->shape->leaf_count * sizeof *writer->chunks);
    writer->spare_bitmap = NULL;
    writer->stored.len = writer->levels.len = 0;
    writer->group_rows = rows;
    writer->next_leaf = 0;
    writer->is_in_group = true;
    return TR_OK;
}

static tr_code put(tr_parquet_writer *writer, uint32_t leaf, const tr_column *column, tr_err *err)
{
    const tr_leaf *own = &writer->shape->leaves[leaf];
    TR_ASSERT(column->rows == writer->group_rows);
    TR_ASSERT(column->values.count == 0 || column->values.storage == tr_kind_storage(own->kind));
    TR_ASSERT((column->row_start != NULL) == (own->rep_max > 0));
    TR_TRY(tr_presence_note(writer, leaf, column, err));
    return tr_chunk_put(writer, leaf, column, err);
}

tr_code tr_parquet_put(tr_parquet_writer *writer, uint32_t leaf, const tr_column *column,
                       tr_err *err)
{
    TR_TRY(check_sound(writer, err));
    TR_ASSERT(writer->is_in_group);
    TR_ASSERT(leaf >= writer->next_leaf && leaf < writer->shape->leaf_count);
    writer->next_leaf = leaf + 1;
    return noting_failure(writer, put(writer, leaf, column, err));
}

/* The leaves of a unit share their lists: one cannot be absent where another is not. */
static tr_code check_unit(const tr_parquet_writer *writer, const tr_unit *unit, tr_err *err)
{
    const tr_out_chunk *chunks = writer->chunks + unit->first_leaf;
    for (uint32_t i = 1; i < unit->leaf_count; i++)
        if (chunks[i].is_put != chunks[0].is_put)
            return TR_FAIL(err, TR_INVALID,
                           "of the columns of \"%.*s\" some were written and some were not",
                           TR_STR_ARG(unit->path));
    return TR_OK;
}

static tr_code end_group(tr_parquet_writer *writer, tr_err *err)
{
    const tr_shape *shape = writer->shape;
    for (uint32_t i = 0; i < shape->unit_count; i++)
        TR_TRY(check_unit(writer, &shape->units[i], err));
    TR_TRY(tr_presence_derive(writer, err));
    writer->group_offset = writer->offset;
    for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++) {
        if (!writer->chunks[leaf].is_put)
            TR_TRY(tr_chunk_absent(writer, leaf, err));
        TR_TRY(tr_chunk_write(writer, leaf, err));
    }
    TR_TRY(tr_indexes_write(writer, err));
    TR_TRY(tr_group_add(writer, err));
    writer->is_in_group = false;
    return TR_OK;
}

tr_code tr_parquet_end_group(tr_parquet_writer *writer, tr_err *err)
{
    TR_TRY(check_sound(writer, err));
    TR_ASSERT(writer->is_in_group);
    return noting_failure(writer, end_group(writer, err));
}

static tr_code finish(tr_parquet_writer *writer, tr_err *err)
{
    TR_TRY(tr_parquet_put_metadata(writer, TR_PQ_HASH_NAME, TR_PQ_HASH_ZEROS, err));
    TR_TRY(tr_footer_write(writer, err));
    return tr_out_flush(writer, 0, err);
}

tr_code tr_parquet_finish(tr_parquet_writer *writer, tr_err *err)
{
    TR_TRY(check_sound(writer, err));
    TR_ASSERT(!writer->is_in_group && !writer->is_finished);
    writer->is_finished = true;
    return noting_failure(writer, finish(writer, err));
}
