/* SPDX-License-Identifier: Apache-2.0 */
/* open.c - opens a file: FileMetaData into flat arrays, every offset checked against the file.
 *
 * Chunks must follow each other in the order of groups and columns, as our writer and the others
 * write them; that is also how overlapping chunks are found.
 */
#include "parquet/read_internal.h"
#include "base/check.h"
#include "base/limits.h"

enum {
    CHUNK_BYTES_MIN = 16, /* a ColumnChunk's Thrift bytes: more in truth */
    /* A page of one repeated value is tiny whatever it holds, so counts are bounded twice: some are
     * allowed anyway, more only with bytes to show for them. */
    ENTRIES_FREE = 16 * 1024 * 1024,
};

typedef struct footer {
    tr_parquet_file *file;
    tr_thrift_reader reader;
    bool has_schema;
    bool has_rows;
    bool has_groups;
    uint64_t chunks_end; /* of the last chunk read */
    tr_err *err;
} footer;

void tr_chunk_context(const tr_parquet_file *file, uint32_t group, uint32_t leaf, tr_err *err)
{
    tr_err_context(err, "column '%.*s' of row group %u", TR_STR_ARG(file->shape.leaves[leaf].path),
                   group);
}

static int32_t physical_type(const tr_leaf *leaf)
{
    switch (leaf->kind) {
    case TR_KIND_BOOLEAN:
        return TR_PQ_BOOLEAN;
    case TR_KIND_INT32:
    case TR_KIND_DATE:
        return TR_PQ_INT32;
    case TR_KIND_INT64:
    case TR_KIND_TIMESTAMP:
        return TR_PQ_INT64;
    case TR_KIND_DOUBLE:
        return TR_PQ_DOUBLE;
    case TR_KIND_STRING:
        return TR_PQ_BYTE_ARRAY;
    case TR_KIND_KEY:
        return TR_PQ_FIXED_LEN_BYTE_ARRAY;
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP:
        break;
    }
    return -1;
}

/* What ColumnMetaData and ColumnChunk say, before it is believed. */
typedef struct raw_chunk {
    int64_t type, codec, entries, compressed, data_at, dictionary_at, index_at, index_bytes;
    bool is_elsewhere, has_meta;
} raw_chunk;

static void read_meta(tr_thrift_reader *r, raw_chunk *raw)
{
    tr_thrift_field f = {0};
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_META_TYPE)
            raw->type = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_META_CODEC)
            raw->codec = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_META_VALUES)
            raw->entries = tr_thrift_i64(r, &f);
        else if (f.id == TR_PQ_META_COMPRESSED)
            raw->compressed = tr_thrift_i64(r, &f);
        else if (f.id == TR_PQ_META_DATA_AT)
            raw->data_at = tr_thrift_i64(r, &f);
        else if (f.id == TR_PQ_META_DICTIONARY_AT)
            raw->dictionary_at = tr_thrift_i64(r, &f);
        else
            tr_thrift_skip(r, &f);
    }
}

static void read_raw_chunk(tr_thrift_reader *r, raw_chunk *raw)
{
    tr_thrift_field f = {0};
    *raw = (raw_chunk){.type = -1, .codec = -1, .entries = -1, .compressed = -1, .data_at = -1};
    tr_thrift_enter(r);
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_CHUNK_META) {
            tr_thrift_struct(r, &f);
            read_meta(r, raw);
            raw->has_meta = true;
        } else if (f.id == TR_PQ_CHUNK_OFFSET_INDEX_AT) {
            raw->index_at = tr_thrift_i64(r, &f);
        } else if (f.id == TR_PQ_CHUNK_OFFSET_INDEX_BYTES) {
            raw->index_bytes = tr_thrift_i32(r, &f);
        } else {
            raw->is_elsewhere = raw->is_elsewhere || f.id == TR_PQ_CHUNK_FILE_PATH;
            tr_thrift_skip(r, &f);
        }
    }
}

static const char *codec_name(int64_t codec)
{
    static const char *const names[] = {"nothing", "snappy", "gzip", "lzo",
                                        "brotli",  "lz4",    "zstd", "lz4_raw"};
    return codec >= 0 && codec < 8 ? names[codec] : "an unknown codec";
}

/* Checks where the chunk lies: behind the chunk before it, and before the footer. */
static tr_code place_chunk(footer *f, const raw_chunk *raw, tr_chunk *out)
{
    const int64_t at = raw->dictionary_at > 0 ? raw->dictionary_at : raw->data_at;
    int64_t end;
    if (at < 0 || raw->compressed < 0 || __builtin_add_overflow(at, raw->compressed, &end) ||
        (uint64_t)end > f->file->pages_end)
        return TR_FAIL(f->err, TR_CORRUPT, "its pages are not within the file");
    if ((uint64_t)at < f->chunks_end)
        return TR_FAIL(f->err, TR_CORRUPT, "its pages overlap those of the column before it");
    if (raw->data_at < at || raw->data_at > end)
        return TR_FAIL(f->err, TR_CORRUPT, "its data pages are not within its pages");
    if (raw->index_bytes != 0 || raw->index_at != 0) {
        int64_t index_end;
        if (raw->index_at <= 0 || raw->index_bytes <= 0 ||
            __builtin_add_overflow(raw->index_at, raw->index_bytes, &index_end) ||
            (uint64_t)index_end > f->file->pages_end)
            return TR_FAIL(f->err, TR_CORRUPT, "its page index is not within the file");
    }
    out->at = (uint64_t)at;
    out->end = (uint64_t)end;
    out->data_at = (uint64_t)raw->data_at;
    out->has_dictionary = raw->dictionary_at > 0;
    out->index_at = (uint64_t)raw->index_at;
    out->index_bytes = (uint32_t)raw->index_bytes;
    f->chunks_end = out->end;
    return TR_OK;
}

static tr_code accept_chunk(footer *f, const raw_chunk *raw, const tr_leaf *leaf, tr_chunk *out)
{
    if (raw->is_elsewhere)
        return TR_FAIL(f->err, TR_INVALID, "its pages are in another file");
    if (!raw->has_meta || raw->type != physical_type(leaf))
        return TR_FAIL(f->err, TR_CORRUPT, "its physical type is not the schema's");
    if (raw->codec != TR_PQ_UNCOMPRESSED && raw->codec != TR_PQ_ZSTD)
        return TR_FAIL(f->err, TR_INVALID, "it is compressed with %s: only zstd is read",
                       codec_name(raw->codec));
    TR_TRY(place_chunk(f, raw, out));
    const uint64_t most = (out->end - out->at) * TR_PARQUET_ENTRIES_PER_BYTE_MAX;
    if (raw->entries < 0 || raw->entries > UINT32_MAX ||
        (raw->entries > ENTRIES_FREE && (uint64_t)raw->entries > most))
        return TR_FAIL(f->err, TR_CORRUPT, "it claims %lld values in %llu bytes",
                       (long long)raw->entries, (unsigned long long)(out->end - out->at));
    out->entries = (uint32_t)raw->entries;
    out->codec = (uint8_t)raw->codec;
    return TR_OK;
}

static tr_code read_chunks(footer *f, const tr_thrift_field *field, uint32_t group)
{
    tr_parquet_file *file = f->file;
    const uint32_t count = tr_thrift_list(&f->reader, field, TR_THRIFT_STRUCT);
    if (count != file->shape.leaf_count && f->reader.problem == NULL)
        return TR_FAIL(f->err, TR_CORRUPT, "row group %u has %u columns, the schema has %u", group,
                       count, file->shape.leaf_count);
    for (uint32_t leaf = 0; leaf < count; leaf++) {
        raw_chunk raw;
        tr_chunk *chunk = &file->chunks[(size_t)group * count + leaf];
        read_raw_chunk(&f->reader, &raw);
        if (f->reader.problem != NULL)
            break;
        const tr_code code = accept_chunk(f, &raw, &file->shape.leaves[leaf], chunk);
        if (code != TR_OK) {
            tr_chunk_context(file, group, leaf, f->err);
            return code;
        }
    }
    return TR_OK;
}

static tr_code check_group(footer *f, uint32_t group, bool has_chunks, int64_t rows)
{
    const tr_parquet_file *file = f->file;
    if (!has_chunks || rows < 0 || rows > UINT32_MAX)
        return TR_FAIL(f->err, TR_CORRUPT, "row group %u has no columns, or no number of rows",
                       group);
    for (uint32_t leaf = 0; leaf < file->shape.leaf_count; leaf++) {
        const uint32_t entries = tr_chunk_of(file, group, leaf)->entries;
        const bool is_flat = file->shape.leaves[leaf].rep_max == 0;
        if (is_flat ? entries != rows : entries < rows) {
            (void)TR_FAIL(f->err, TR_CORRUPT, "it has %u values for %lld rows", entries,
                          (long long)rows);
            tr_chunk_context(file, group, leaf, f->err);
            return TR_CORRUPT;
        }
    }
    f->file->group_rows[group] = (uint32_t)rows;
    return TR_OK;
}

static tr_code read_group(footer *f, uint32_t group)
{
    tr_thrift_field field = {0};
    bool has_chunks = false;
    int64_t rows = -1;
    tr_thrift_enter(&f->reader);
    while (tr_thrift_next(&f->reader, &field)) {
        if (field.id == TR_PQ_GROUP_COLUMNS) {
            TR_TRY(read_chunks(f, &field, group));
            has_chunks = true;
        } else if (field.id == TR_PQ_GROUP_ROWS) {
            rows = tr_thrift_i64(&f->reader, &field);
        } else {
            tr_thrift_skip(&f->reader, &field);
        }
    }
    return f->reader.problem != NULL ? TR_OK : check_group(f, group, has_chunks, rows);
}

static tr_code read_groups(footer *f, const tr_thrift_field *field)
{
    tr_parquet_file *file = f->file;
    const uint32_t count = tr_thrift_list(&f->reader, field, TR_THRIFT_STRUCT);
    const size_t left = (size_t)(f->reader.end - f->reader.at);
    size_t chunks;
    if (f->reader.problem != NULL || count == 0)
        return TR_OK;
    if (!f->has_schema)
        return TR_FAIL(f->err, TR_CORRUPT, "the footer has row groups and no schema");
    if (!tr_mul_size(count, file->shape.leaf_count, &chunks) || chunks > left / CHUNK_BYTES_MIN)
        return TR_FAIL(f->err, TR_CORRUPT, "the footer claims %u row groups in %zu bytes", count,
                       left);
    file->chunks = tr_arena_alloc(&file->arena, chunks * sizeof *file->chunks);
    file->group_rows = tr_arena_array(&file->arena, count, sizeof *file->group_rows);
    if (file->chunks == NULL || file->group_rows == NULL)
        return TR_FAIL(f->err, TR_NO_MEMORY, "no memory for %u row groups", count);
    for (uint32_t group = 0; group < count && f->reader.problem == NULL; group++)
        TR_TRY(read_group(f, group));
    file->group_count = count;
    return TR_OK;
}

static void read_key_value(tr_thrift_reader *r, tr_str *key, tr_str *value)
{
    tr_thrift_field f = {0};
    *key = *value = (tr_str){(const uint8_t *)"", 0};
    tr_thrift_enter(r);
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_KEY)
            *key = tr_thrift_binary(r, &f);
        else if (f.id == TR_PQ_VALUE)
            *value = tr_thrift_binary(r, &f);
        else
            tr_thrift_skip(r, &f);
    }
}

/* Walks the pairs once; tr_parquet_metadata walks them again when it is asked. */
static void read_metadata(footer *f, const tr_thrift_field *field)
{
    const uint32_t count = tr_thrift_list(&f->reader, field, TR_THRIFT_STRUCT);
    f->file->metadata = (tr_str){f->reader.at, (size_t)(f->reader.end - f->reader.at)};
    f->file->metadata_count = count;
    for (uint32_t i = 0; i < count && f->reader.problem == NULL; i++) {
        tr_str key, value;
        read_key_value(&f->reader, &key, &value);
    }
}

static tr_code read_footer_fields(footer *f)
{
    tr_thrift_field field = {0};
    tr_thrift_reader *r = &f->reader;
    tr_thrift_enter(r);
    while (tr_thrift_next(r, &field)) {
        if (field.id == TR_PQ_FILE_SCHEMA) {
            TR_TRY(tr_schema_read(r, &field, &f->file->arena, &f->file->shape, f->err));
            f->has_schema = true;
        } else if (field.id == TR_PQ_FILE_ROWS) {
            const int64_t rows = tr_thrift_i64(r, &field);
            f->has_rows = rows >= 0;
            f->file->rows = (uint64_t)rows;
        } else if (field.id == TR_PQ_FILE_GROUPS) {
            TR_TRY(read_groups(f, &field));
            f->has_groups = true;
        } else if (field.id == TR_PQ_FILE_METADATA) {
            read_metadata(f, &field);
        } else if (field.id == TR_PQ_FILE_CREATED_BY) {
            f->file->created_by = tr_thrift_binary(r, &field);
        } else {
            tr_thrift_skip(r, &field);
        }
    }
    if (r->problem != NULL)
        return TR_FAIL(f->err, TR_CORRUPT, "the footer is damaged: %s", r->problem);
    return TR_OK;
}

static tr_code read_footer(tr_parquet_file *file, tr_str bytes, tr_err *err)
{
    footer f = {.file = file, .reader = tr_thrift_reader_of(bytes), .err = err,
                .chunks_end = TR_PQ_MAGIC_BYTES};
    TR_TRY(read_footer_fields(&f));
    if (!f.has_schema || !f.has_rows || !f.has_groups)
        return TR_FAIL(err, TR_CORRUPT, "the footer lacks its schema, rows or row groups");
    if (f.reader.at != f.reader.end)
        return TR_FAIL(err, TR_CORRUPT, "the footer goes on behind its end");
    uint64_t rows = 0;
    for (uint32_t group = 0; group < file->group_count; group++)
        rows += file->group_rows[group];
    if (rows != file->rows)
        return TR_FAIL(err, TR_CORRUPT, "the row groups have %llu rows, the footer says %llu",
                       (unsigned long long)rows, (unsigned long long)file->rows);
    return TR_OK;
}

/* Finds the footer by the file's last eight bytes. */
static tr_code find_footer(tr_str bytes, tr_str *out, tr_err *err)
{
    if (bytes.len < TR_PQ_MAGIC_BYTES || memcmp(bytes.at, TR_PQ_MAGIC, TR_PQ_MAGIC_BYTES) != 0)
        return TR_FAIL(err, TR_INVALID, "this is not a Parquet file: it does not begin with PAR1");
    if (bytes.len < TR_PQ_MAGIC_BYTES + TR_PQ_TAIL_BYTES)
        return TR_FAIL(err, TR_CORRUPT, "the file has %zu bytes: it is cut short", bytes.len);
    const uint8_t *tail = bytes.at + bytes.len - TR_PQ_TAIL_BYTES;
    if (memcmp(tail + 4, TR_PQ_MAGIC, TR_PQ_MAGIC_BYTES) != 0)
        return TR_FAIL(err, TR_CORRUPT, "the file does not end with PAR1: it is cut short");
    uint32_t len;
    memcpy(&len, tail, sizeof len);
    if (len > TR_PARQUET_FOOTER_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "the footer has %u bytes, at most %d are read", len,
                       TR_PARQUET_FOOTER_BYTES_MAX);
    if (len > bytes.len - TR_PQ_MAGIC_BYTES - TR_PQ_TAIL_BYTES)
        return TR_FAIL(err, TR_CORRUPT, "the footer has %u bytes, the file only %zu", len,
                       bytes.len);
    *out = (tr_str){tail - len, len};
    return TR_OK;
}

tr_code tr_parquet_open(tr_str bytes, tr_parquet_file **out, tr_err *err)
{
    tr_str footer_bytes;
    TR_TRY(find_footer(bytes, &footer_bytes, err));
    tr_parquet_file *file = tr_alloc_zeroed(1, sizeof *file);
    if (file == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to open a Parquet file");
    file->bytes = bytes;
    file->pages_end = (uint64_t)(footer_bytes.at - bytes.at);
    const tr_code code = read_footer(file, footer_bytes, err);
    if (code != TR_OK) {
        tr_parquet_close(file);
        return code;
    }
    *out = file;
    return TR_OK;
}

void tr_parquet_close(tr_parquet_file *file)
{
    if (file == NULL)
        return;
    tr_cache_forget(file);
    tr_arena_free(&file->arena);
    tr_free(file);
}

const tr_shape *tr_parquet_shape(const tr_parquet_file *file)
{
    return &file->shape;
}

uint64_t tr_parquet_rows(const tr_parquet_file *file)
{
    return file->rows;
}

uint32_t tr_parquet_group_count(const tr_parquet_file *file)
{
    return file->group_count;
}

uint32_t tr_parquet_group_rows(const tr_parquet_file *file, uint32_t group)
{
    TR_ASSERT(group < file->group_count);
    return file->group_rows[group];
}

tr_str tr_parquet_metadata(const tr_parquet_file *file, const char *key)
{
    if (file->metadata_count == 0)
        return (tr_str){0};
    tr_thrift_reader r = tr_thrift_reader_of(file->metadata);
    for (uint32_t i = 0; i < file->metadata_count && r.problem == NULL; i++) {
        tr_str found, value;
        read_key_value(&r, &found, &value);
        if (tr_str_is(found, key))
            return value;
    }
    return (tr_str){0};
}

uint64_t tr_parquet_chunk_bytes(const tr_parquet_file *file, uint32_t group, uint32_t leaf)
{
    TR_ASSERT(group < file->group_count);
    TR_ASSERT(leaf < file->shape.leaf_count);
    const tr_chunk *chunk = tr_chunk_of(file, group, leaf);
    return chunk->end - chunk->at;
}
