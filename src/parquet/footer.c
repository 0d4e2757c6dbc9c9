/* SPDX-License-Identifier: Apache-2.0 */
/* footer.c - what a file says about itself: page indexes, row groups, the schema.
 *
 * Indexes follow the pages of their row group, and a RowGroup is written out at once as the Thrift
 * bytes that the footer will hold, so that nothing of a finished group but those bytes is kept.
 */
#include "base/limits.h"
#include "parquet/thrift.h"
#include "parquet/writer_internal.h"

static void put_locations(tr_thrift_writer *t, const tr_out_chunk *chunk)
{
    tr_thrift_put_enter(t);
    tr_thrift_put_list(t, TR_PQ_OFFSET_PAGES, TR_THRIFT_STRUCT, chunk->page_count);
    for (uint32_t i = 0; i < chunk->page_count; i++) {
        const tr_out_page *page = &chunk->pages[i];
        tr_thrift_put_enter(t);
        tr_thrift_put_i64(t, TR_PQ_LOCATION_AT, (int64_t)page->offset);
        tr_thrift_put_i32(t, TR_PQ_LOCATION_BYTES, (int32_t)page->file_bytes);
        tr_thrift_put_i64(t, TR_PQ_LOCATION_FIRST_ROW, page->row);
        tr_thrift_put_leave(t);
    }
    tr_thrift_put_leave(t);
}

/* Whether min and max go up, down, or neither, from page to page; pages without values do not
 * count. */
static int boundary_order(tr_kind kind, const tr_out_chunk *chunk)
{
    bool goes_up = true, goes_down = true;
    const tr_bounds *before = NULL;
    for (uint32_t i = 0; i < chunk->page_count; i++) {
        const tr_bounds *own = &chunk->pages[i].bounds;
        if (own->min.at == NULL)
            continue;
        if (before != NULL) {
            const int min = tr_bounds_compare(kind, before->min, own->min);
            const int max = tr_bounds_compare(kind, before->max, own->max);
            goes_up = goes_up && min <= 0 && max <= 0;
            goes_down = goes_down && min >= 0 && max >= 0;
        }
        before = own;
    }
    return goes_up ? TR_PQ_ASCENDING : goes_down ? TR_PQ_DESCENDING : TR_PQ_UNORDERED;
}

static void put_column_index(tr_thrift_writer *t, tr_kind kind, const tr_out_chunk *chunk)
{
    const uint32_t pages = chunk->page_count;
    tr_thrift_put_enter(t);
    tr_thrift_put_list(t, TR_PQ_INDEX_NULL_PAGES, TR_THRIFT_TRUE, pages);
    for (uint32_t i = 0; i < pages; i++)
        tr_thrift_put_element_bool(t, chunk->pages[i].values == 0);
    tr_thrift_put_list(t, TR_PQ_INDEX_MIN, TR_THRIFT_BINARY, pages);
    for (uint32_t i = 0; i < pages; i++)
        tr_thrift_put_element_binary(t, chunk->pages[i].bounds.min);
    tr_thrift_put_list(t, TR_PQ_INDEX_MAX, TR_THRIFT_BINARY, pages);
    for (uint32_t i = 0; i < pages; i++)
        tr_thrift_put_element_binary(t, chunk->pages[i].bounds.max);
    tr_thrift_put_i32(t, TR_PQ_INDEX_BOUNDARY, boundary_order(kind, chunk));
    tr_thrift_put_list(t, TR_PQ_INDEX_NULL_COUNTS, TR_THRIFT_I64, pages);
    for (uint32_t i = 0; i < pages; i++)
        tr_thrift_put_element_i64(t, chunk->pages[i].entries - chunk->pages[i].values);
    tr_thrift_put_leave(t);
}

/* NaN has no place in an order, so a column with one gets no column index. */
static bool has_column_index(const tr_out_chunk *chunk)
{
    return !chunk->has_nan;
}

tr_code tr_indexes_write(tr_parquet_writer *writer, tr_err *err)
{
    const uint32_t leaves = writer->shape->leaf_count;
    for (uint32_t i = 0; i < leaves * 2; i++) {
        const bool is_column_index = i < leaves;
        tr_out_chunk *chunk = &writer->chunks[i % leaves];
        const size_t before = writer->out.len;
        tr_thrift_writer t = tr_thrift_writer_of(&writer->out, err);
        if (is_column_index && !has_column_index(chunk))
            continue;
        if (is_column_index)
            put_column_index(&t, writer->shape->leaves[i].kind, chunk);
        else
            put_locations(&t, chunk);
        TR_TRY(t.code);
        const size_t bytes = writer->out.len - before;
        *(is_column_index ? &chunk->column_index_offset : &chunk->offset_index_offset) =
            writer->offset;
        *(is_column_index ? &chunk->column_index_bytes : &chunk->offset_index_bytes) =
            (uint32_t)bytes;
        writer->offset += bytes;
        TR_TRY(tr_out_flush(writer, 1024 * 1024, err));
    }
    return TR_OK;
}

static bool is_repeated(const tr_type *type)
{
    return type->kind == TR_KIND_ARRAY || type->kind == TR_KIND_MAP;
}

/* Names from the root down to `type`; `more` of them follow. Depth is bounded by tr_shape_make. */
static void put_path_to(tr_thrift_writer *t, const tr_type *type, uint32_t more)
{
    if (type->parent == NULL) {
        tr_thrift_put_list(t, TR_PQ_META_PATH, TR_THRIFT_BINARY, more);
        return;
    }
    const tr_kind above = type->parent->kind;
    put_path_to(t, type->parent, more + (is_repeated(type->parent) ? 2 : 1));
    if (above == TR_KIND_ARRAY)
        tr_thrift_put_element_binary(t, tr_str_of(TR_PQ_LIST_NAME));
    else if (above == TR_KIND_MAP)
        tr_thrift_put_element_binary(t, tr_str_of(TR_PQ_ENTRIES_NAME));
    tr_thrift_put_element_binary(t, type->name);
}

static void put_path(tr_thrift_writer *t, const tr_leaf *leaf)
{
    put_path_to(t, leaf->type, leaf->is_map_key ? 2 : 0);
    if (leaf->is_map_key) {
        tr_thrift_put_element_binary(t, tr_str_of(TR_PQ_ENTRIES_NAME));
        tr_thrift_put_element_binary(t, tr_str_of(TR_PQ_KEY_NAME));
    }
}

static void put_statistics(tr_thrift_writer *t, const tr_out_chunk *chunk)
{
    tr_thrift_put_struct(t, TR_PQ_META_STATISTICS);
    tr_thrift_put_i64(t, TR_PQ_STAT_NULLS, chunk->entries - chunk->values);
    if (chunk->bounds.min.at != NULL) {
        tr_thrift_put_binary(t, TR_PQ_STAT_MAX, chunk->bounds.max);
        tr_thrift_put_binary(t, TR_PQ_STAT_MIN, chunk->bounds.min);
        tr_thrift_put_bool(t, TR_PQ_STAT_MAX_EXACT, chunk->bounds.max_is_exact);
        tr_thrift_put_bool(t, TR_PQ_STAT_MIN_EXACT, chunk->bounds.min_is_exact);
    }
    tr_thrift_put_leave(t);
}

static void put_chunk(tr_thrift_writer *t, const tr_leaf *leaf, const tr_out_chunk *chunk)
{
    tr_thrift_put_enter(t);
    tr_thrift_put_i64(t, TR_PQ_CHUNK_FILE_OFFSET, 0);
    tr_thrift_put_struct(t, TR_PQ_CHUNK_META);
    tr_thrift_put_i32(t, TR_PQ_META_TYPE, tr_physical_type(leaf->kind));
    tr_thrift_put_list(t, TR_PQ_META_ENCODINGS, TR_THRIFT_I32, chunk->is_dictionary ? 3 : 2);
    tr_thrift_put_element_i32(t, TR_PQ_PLAIN);
    tr_thrift_put_element_i32(t, TR_PQ_RLE);
    if (chunk->is_dictionary)
        tr_thrift_put_element_i32(t, TR_PQ_RLE_DICTIONARY);
    put_path(t, leaf);
    tr_thrift_put_i32(t, TR_PQ_META_CODEC, chunk->is_zstd ? TR_PQ_ZSTD : TR_PQ_UNCOMPRESSED);
    tr_thrift_put_i64(t, TR_PQ_META_VALUES, chunk->entries);
    tr_thrift_put_i64(t, TR_PQ_META_BYTES, (int64_t)chunk->raw_bytes);
    tr_thrift_put_i64(t, TR_PQ_META_COMPRESSED, (int64_t)chunk->file_bytes);
    tr_thrift_put_i64(t, TR_PQ_META_DATA_AT, (int64_t)chunk->pages[0].offset);
    if (chunk->is_dictionary)
        tr_thrift_put_i64(t, TR_PQ_META_DICTIONARY_AT, (int64_t)chunk->dictionary_offset);
    put_statistics(t, chunk);
    tr_thrift_put_leave(t);
    tr_thrift_put_i64(t, TR_PQ_CHUNK_OFFSET_INDEX_AT, (int64_t)chunk->offset_index_offset);
    tr_thrift_put_i32(t, TR_PQ_CHUNK_OFFSET_INDEX_BYTES, (int32_t)chunk->offset_index_bytes);
    if (has_column_index(chunk)) {
        tr_thrift_put_i64(t, TR_PQ_CHUNK_COLUMN_INDEX_AT, (int64_t)chunk->column_index_offset);
        tr_thrift_put_i32(t, TR_PQ_CHUNK_COLUMN_INDEX_BYTES, (int32_t)chunk->column_index_bytes);
    }
    tr_thrift_put_leave(t);
}

tr_code tr_group_add(tr_parquet_writer *writer, tr_err *err)
{
    uint64_t raw_bytes = 0, file_bytes = 0;
    tr_thrift_writer t = tr_thrift_writer_of(&writer->groups, err);
    tr_thrift_put_enter(&t);
    tr_thrift_put_list(&t, TR_PQ_GROUP_COLUMNS, TR_THRIFT_STRUCT, writer->shape->leaf_count);
    for (uint32_t i = 0; i < writer->shape->leaf_count; i++) {
        put_chunk(&t, &writer->shape->leaves[i], &writer->chunks[i]);
        raw_bytes += writer->chunks[i].raw_bytes;
        file_bytes += writer->chunks[i].file_bytes;
    }
    tr_thrift_put_i64(&t, TR_PQ_GROUP_BYTES, (int64_t)raw_bytes);
    tr_thrift_put_i64(&t, TR_PQ_GROUP_ROWS, writer->group_rows);
    tr_thrift_put_i64(&t, TR_PQ_GROUP_FILE_OFFSET, (int64_t)writer->group_offset);
    tr_thrift_put_i64(&t, TR_PQ_GROUP_COMPRESSED, (int64_t)file_bytes);
    tr_thrift_put_leave(&t);
    TR_TRY(t.code);
    writer->group_count++;
    writer->rows += writer->group_rows;
    return TR_OK;
}

/* A group: an object, or a level that LIST and MAP add. converted, logical: -1, 0 for none. */
static void put_group(tr_thrift_writer *t, int repetition, tr_str name, uint32_t children,
                      int converted, int logical)
{
    tr_thrift_put_enter(t);
    if (repetition >= 0)
        tr_thrift_put_i32(t, TR_PQ_SCHEMA_REPETITION, repetition);
    tr_thrift_put_binary(t, TR_PQ_SCHEMA_NAME, name);
    tr_thrift_put_i32(t, TR_PQ_SCHEMA_CHILDREN, (int32_t)children);
    if (logical > 0) {
        tr_thrift_put_i32(t, TR_PQ_SCHEMA_CONVERTED, converted);
        tr_thrift_put_struct(t, TR_PQ_SCHEMA_LOGICAL);
        tr_thrift_put_struct(t, (int16_t)logical);
        tr_thrift_put_leave(t);
        tr_thrift_put_leave(t);
    }
    tr_thrift_put_leave(t);
}

static void put_timestamp(tr_thrift_writer *t)
{
    tr_thrift_put_struct(t, TR_PQ_LOGICAL_TIMESTAMP);
    tr_thrift_put_bool(t, TR_PQ_TIMESTAMP_IS_UTC, true);
    tr_thrift_put_struct(t, TR_PQ_TIMESTAMP_UNIT);
    tr_thrift_put_struct(t, TR_PQ_UNIT_MICROS);
    tr_thrift_put_leave(t);
    tr_thrift_put_leave(t);
    tr_thrift_put_leave(t);
}

/* The logical type, and the converted type that older readers look for. */
static void put_annotation(tr_thrift_writer *t, tr_kind kind)
{
    const int converted = kind == TR_KIND_STRING ? TR_PQ_CONVERTED_UTF8
                          : kind == TR_KIND_DATE ? TR_PQ_CONVERTED_DATE
                                                 : TR_PQ_CONVERTED_TIMESTAMP_MICROS;
    if (kind != TR_KIND_STRING && kind != TR_KIND_DATE && kind != TR_KIND_TIMESTAMP)
        return;
    tr_thrift_put_i32(t, TR_PQ_SCHEMA_CONVERTED, converted);
    tr_thrift_put_struct(t, TR_PQ_SCHEMA_LOGICAL);
    if (kind == TR_KIND_TIMESTAMP) {
        put_timestamp(t);
    } else {
        tr_thrift_put_struct(t, kind == TR_KIND_STRING ? TR_PQ_LOGICAL_STRING : TR_PQ_LOGICAL_DATE);
        tr_thrift_put_leave(t);
    }
    tr_thrift_put_leave(t);
}

static void put_scalar(tr_thrift_writer *t, tr_kind kind, int repetition, tr_str name)
{
    tr_thrift_put_enter(t);
    tr_thrift_put_i32(t, TR_PQ_SCHEMA_TYPE, tr_physical_type(kind));
    if (kind == TR_KIND_KEY)
        tr_thrift_put_i32(t, TR_PQ_SCHEMA_TYPE_LENGTH, 16);
    tr_thrift_put_i32(t, TR_PQ_SCHEMA_REPETITION, repetition);
    tr_thrift_put_binary(t, TR_PQ_SCHEMA_NAME, name);
    put_annotation(t, kind);
    tr_thrift_put_leave(t);
}

/* Counts the elements, and writes them when t is given. */
static uint32_t put_schema(tr_thrift_writer *t, const tr_type *type)
{
    uint32_t count = 1;
    if (tr_kind_is_scalar(type->kind)) {
        if (t != NULL)
            put_scalar(t, type->kind, TR_PQ_OPTIONAL, type->name);
        return count;
    }
    if (type->kind == TR_KIND_OBJECT && t != NULL)
        put_group(t, type->parent == NULL ? -1 : TR_PQ_OPTIONAL,
                  type->parent == NULL ? tr_str_of("schema") : type->name, type->child_count, -1,
                  0);
    if (type->kind == TR_KIND_ARRAY) {
        count += 1;
        if (t != NULL) {
            put_group(t, TR_PQ_OPTIONAL, type->name, 1, TR_PQ_CONVERTED_LIST, TR_PQ_LOGICAL_LIST);
            put_group(t, TR_PQ_REPEATED, tr_str_of(TR_PQ_LIST_NAME), 1, -1, 0);
        }
    } else if (type->kind == TR_KIND_MAP) {
        count += 2;
        if (t != NULL) {
            put_group(t, TR_PQ_OPTIONAL, type->name, 1, TR_PQ_CONVERTED_MAP, TR_PQ_LOGICAL_MAP);
            put_group(t, TR_PQ_REPEATED, tr_str_of(TR_PQ_ENTRIES_NAME), 2, -1, 0);
            put_scalar(t, TR_KIND_STRING, TR_PQ_REQUIRED, tr_str_of(TR_PQ_KEY_NAME));
        }
    }
    for (uint32_t i = 0; i < type->child_count; i++)
        count += put_schema(t, type->children[i]);
    return count;
}

/* The elements of a list that were written before. */
static void put_elements(tr_thrift_writer *t, int16_t id, uint32_t count, const tr_buf *elements)
{
    tr_thrift_put_list(t, id, TR_THRIFT_STRUCT, count);
    if (t->code == TR_OK)
        t->code = tr_buf_append(t->buf, tr_buf_str(elements), t->err);
}

/* Puts the file's checksum in the place of its zeros, in the footer: all that `out` holds. */
static void put_hash(tr_parquet_writer *writer, size_t digits_at)
{
    char digits[33];
    tr_hash_stream_add(writer->hash, tr_buf_str(&writer->out));
    tr_hash128_text(tr_hash_stream_now(writer->hash), digits);
    memcpy(writer->out.at + digits_at, digits, sizeof TR_PQ_HASH_ZEROS - 1);
}

tr_code tr_footer_write(tr_parquet_writer *writer, tr_err *err)
{
    TR_TRY(tr_out_flush(writer, 0, err));
    tr_thrift_writer t = tr_thrift_writer_of(&writer->out, err);
    tr_thrift_put_enter(&t);
    tr_thrift_put_i32(&t, TR_PQ_FILE_VERSION, 2);
    tr_thrift_put_list(&t, TR_PQ_FILE_SCHEMA, TR_THRIFT_STRUCT,
                       put_schema(NULL, writer->shape->root));
    (void)put_schema(&t, writer->shape->root);
    tr_thrift_put_i64(&t, TR_PQ_FILE_ROWS, (int64_t)writer->rows);
    put_elements(&t, TR_PQ_FILE_GROUPS, writer->group_count, &writer->groups);
    put_elements(&t, TR_PQ_FILE_METADATA, writer->metadata_count, &writer->metadata);
    const size_t hash_end = writer->out.len - 1; /* behind the digits is the last pair's stop */
    tr_thrift_put_binary(&t, TR_PQ_FILE_CREATED_BY, tr_str_of(TR_PQ_CREATED_BY TR_VERSION));
    tr_thrift_put_list(&t, TR_PQ_FILE_ORDERS, TR_THRIFT_STRUCT, writer->shape->leaf_count);
    for (uint32_t i = 0; i < writer->shape->leaf_count; i++) {
        tr_thrift_put_enter(&t);
        tr_thrift_put_struct(&t, TR_PQ_ORDER_BY_TYPE);
        tr_thrift_put_leave(&t);
        tr_thrift_put_leave(&t);
    }
    tr_thrift_put_leave(&t);
    TR_TRY(t.code);
    const size_t bytes = writer->out.len;
    if (bytes > TR_PARQUET_FOOTER_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "the footer would have %zu bytes: at most %d are read back",
                       bytes, TR_PARQUET_FOOTER_BYTES_MAX);
    put_hash(writer, hash_end - (sizeof TR_PQ_HASH_ZEROS - 1));
    const uint32_t length = (uint32_t)bytes;
    TR_TRY(tr_buf_append(&writer->out, (tr_str){(const uint8_t *)&length, sizeof length}, err));
    return tr_buf_append(&writer->out, tr_str_of(TR_PQ_MAGIC), err);
}
