/* SPDX-License-Identifier: Apache-2.0 */
/* verify.c - reads everything once: every page of every column with its checksum, levels, codes and
 * UTF-8, every page index, and that the leaves of a unit agree where the unit is present. */
#include "codec/hash.h"
#include "parquet/read_internal.h"

static tr_code check_strings(const tr_column *column, tr_err *err)
{
    for (uint32_t i = 0; i < column->values.count; i++) {
        size_t bad_at;
        if (!tr_str_is_utf8(column->values.strings[i], &bad_at))
            return TR_FAIL(err, TR_CORRUPT, "value %u is not UTF-8 at byte %zu", i, bad_at);
    }
    return TR_OK;
}

static bool is_present(const tr_column *column, uint32_t row)
{
    if (column->row_start == NULL)
        return column->codes[row] != 0;
    return column->def[column->row_start[row]] != 0;
}

typedef struct verifying {
    const tr_parquet_file *file;
    tr_arena arena; /* of one leaf at a time */
    bool *presence; /* of the unit, row by row, as its first leaf says */
} verifying;

static tr_code verify_leaf(verifying *v, uint32_t group, uint32_t leaf, bool is_first, tr_err *err)
{
    const tr_parquet_file *file = v->file;
    const tr_chunk *chunk = tr_chunk_of(file, group, leaf);
    const uint32_t rows = file->group_rows[group];
    tr_column column;
    TR_TRY(tr_parquet_read(file, group, leaf, 0, rows, &v->arena, &column, err));
    tr_code code = TR_OK;
    if (column.values.storage == TR_STORAGE_STRING)
        code = check_strings(&column, err);
    if (code == TR_OK && chunk->index_bytes > 0)
        code = tr_index_check(file, chunk, err);
    for (uint32_t row = 0; code == TR_OK && row < rows; row++) {
        if (is_first)
            v->presence[row] = is_present(&column, row);
        else if (v->presence[row] != is_present(&column, row))
            code = TR_FAIL(err, TR_CORRUPT, "row %u is there in one column of '%.*s' only", row,
                           TR_STR_ARG(file->shape.units[column.leaf->unit].path));
    }
    if (code != TR_OK)
        tr_chunk_context(file, group, leaf, err);
    tr_arena_reset(&v->arena);
    return code;
}

static tr_code verify_group(verifying *v, uint32_t group, tr_err *err)
{
    const tr_shape *shape = &v->file->shape;
    bool *presence = tr_grow_array(v->presence, v->file->group_rows[group], sizeof *presence);
    if (presence == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to verify row group %u", group);
    v->presence = presence;
    for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++) {
        const bool is_first = shape->units[shape->leaves[leaf].unit].first_leaf == leaf;
        TR_TRY(verify_leaf(v, group, leaf, is_first, err));
    }
    return TR_OK;
}

/* Whether the file is one of ours: what others make of one may keep its metadata. A damaged byte of
 * the name, or of the number of its field, is not to hide it. */
static bool is_ours(const tr_parquet_file *file)
{
    static const char name[] = TR_PQ_CREATED_BY;
    const size_t len = sizeof name - 1;
    const tr_str said = file->created_by;
    if (said.at == NULL)
        return memmem(file->bytes.at + file->pages_end, file->bytes.len - file->pages_end, name,
                      len) != NULL;
    size_t wrong = 0;
    for (size_t i = 0; i < len; i++)
        wrong += i >= said.len || said.at[i] != (uint8_t)name[i];
    return wrong <= 1;
}

/* The checksum of the whole file, which what we write has. */
static tr_code check_file(const tr_parquet_file *file, tr_err *err)
{
    static const tr_str zeros = {(const uint8_t *)TR_PQ_HASH_ZEROS, sizeof TR_PQ_HASH_ZEROS - 1};
    const tr_str said = tr_parquet_metadata(file, TR_PQ_HASH_NAME);
    if (!is_ours(file))
        return TR_OK;
    if (said.len != zeros.len)
        return TR_FAIL(err, TR_CORRUPT, "the file lacks its checksum, " TR_PQ_HASH_NAME);
    tr_hash_stream *hash = tr_hash_stream_open();
    if (hash == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to verify a file");
    const tr_str all = file->bytes;
    const size_t before = (size_t)(said.at - all.at), behind = before + said.len;
    char digits[33];
    tr_hash_stream_add(hash, (tr_str){all.at, before});
    tr_hash_stream_add(hash, zeros);
    tr_hash_stream_add(hash, (tr_str){all.at + behind, all.len - TR_PQ_TAIL_BYTES - behind});
    tr_hash128_text(tr_hash_stream_now(hash), digits);
    tr_hash_stream_close(hash);
    if (!tr_str_is(said, digits))
        return TR_FAIL(err, TR_CORRUPT, "the file says that its checksum is %.*s, and it is %s",
                       TR_STR_ARG(said), digits);
    return TR_OK;
}

tr_code tr_parquet_verify(const tr_parquet_file *file, tr_err *err)
{
    verifying v = {.file = file};
    tr_code code = check_file(file, err);
    for (uint32_t group = 0; code == TR_OK && group < file->group_count; group++)
        code = verify_group(&v, group, err);
    tr_arena_free(&v.arena);
    tr_free(v.presence);
    return code;
}
