/* SPDX-License-Identifier: Apache-2.0 */
/* levels.c - presence of units and objects, and the definition levels that follow from it.
 *
 * An object is present in a row exactly when something in it is; so an object's bitmap is the OR of
 * those of its members, and a child's bits are always among its parent's. Hence the level of a row
 * without the unit is the number of objects above that have the row's bit: a sum, no search.
 */
#include "base/check.h"
#include "parquet/rle.h"
#include "parquet/writer_internal.h"

static size_t words_of(uint32_t rows)
{
    return ((size_t)rows + 63) / 64 + 1; /* one more, so that 64 bits can be read from any row */
}

uint64_t *tr_bitmap_make(tr_parquet_writer *writer)
{
    return tr_arena_array(&writer->group, words_of(writer->group_rows), sizeof(uint64_t));
}

/* The bits of rows [row, row + 64); those after the group's end are 0. */
static inline uint64_t bits_at(const uint64_t *bitmap, uint32_t row)
{
    const uint32_t word = row / 64, shift = row % 64;
    return shift == 0 ? bitmap[word] : bitmap[word] >> shift | bitmap[word + 1] << (64 - shift);
}

uint32_t tr_bitmap_count(const uint64_t *bitmap, uint32_t from, uint32_t count)
{
    uint32_t ones = 0;
    for (uint32_t i = 0; i < count; i += 64) {
        uint64_t bits = bits_at(bitmap, from + i);
        if (count - i < 64)
            bits &= (UINT64_C(1) << (count - i)) - 1;
        ones += (uint32_t)__builtin_popcountll(bits);
    }
    return ones;
}

static void bits_of_codes(const uint32_t *codes, uint32_t rows, uint64_t *bitmap)
{
    uint32_t row = 0;
    for (; row + 64 <= rows; row += 64) {
        uint8_t bytes[64]; /* two loops that each work on many entries at once */
        uint64_t bits = 0;
        for (uint32_t i = 0; i < 64; i++)
            bytes[i] = codes[row + i] != 0;
        for (uint32_t i = 0; i < 8; i++) {
            uint64_t eight;
            memcpy(&eight, bytes + 8 * i, sizeof eight);
            bits |= (eight * UINT64_C(0x0102040810204080)) >> 56 << 8 * i;
        }
        bitmap[row / 64] = bits;
    }
    for (; row < rows; row++)
        bitmap[row / 64] |= (uint64_t)(codes[row] != 0) << row % 64;
}

static void bits_of_levels(const tr_column *column, uint64_t *bitmap)
{
    for (uint32_t row = 0; row < column->rows; row++)
        bitmap[row / 64] |= (uint64_t)(column->def[column->row_start[row]] != 0) << row % 64;
}

tr_code tr_presence_note(tr_parquet_writer *writer, uint32_t leaf, const tr_column *column,
                         tr_err *err)
{
    const tr_unit *unit = &writer->shape->units[writer->shape->leaves[leaf].unit];
    uint64_t **known = &writer->present[unit->type->id];
    uint64_t *bitmap = writer->spare_bitmap;
    writer->spare_bitmap = NULL;
    if (bitmap != NULL)
        memset(bitmap, 0, words_of(column->rows) * sizeof *bitmap);
    else if ((bitmap = tr_bitmap_make(writer)) == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the presence of %u rows", column->rows);
    if (column->row_start == NULL)
        bits_of_codes(column->codes, column->rows, bitmap);
    else
        bits_of_levels(column, bitmap);
    if (*known == NULL) {
        *known = bitmap;
        return TR_OK;
    }
    if (memcmp(*known, bitmap, words_of(column->rows) * sizeof *bitmap) != 0)
        return TR_FAIL(err, TR_INVALID,
                       "column \"%.*s\" is present in other rows than its neighbours in \"%.*s\"",
                       TR_STR_ARG(writer->shape->leaves[leaf].path), TR_STR_ARG(unit->path));
    writer->spare_bitmap = bitmap;
    return TR_OK;
}

static tr_code derive_below(tr_parquet_writer *writer, const tr_type *type, tr_err *err)
{
    if (type->kind != TR_KIND_OBJECT)
        return TR_OK;
    for (uint32_t i = 0; i < type->child_count; i++) {
        const tr_type *child = type->children[i];
        TR_TRY(derive_below(writer, child, err));
        const uint64_t *bits = writer->present[child->id];
        if (bits == NULL || type->parent == NULL)
            continue;
        uint64_t **own = &writer->present[type->id];
        if (*own == NULL && (*own = tr_bitmap_make(writer)) == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for the presence of %u rows",
                           writer->group_rows);
        for (size_t word = 0; word < words_of(writer->group_rows); word++)
            (*own)[word] |= bits[word];
    }
    return TR_OK;
}

tr_code tr_presence_derive(tr_parquet_writer *writer, tr_err *err)
{
    return derive_below(writer, writer->shape->root, err);
}

/* Eight bits as eight bytes, 0 or 1. */
static inline uint64_t spread(uint8_t bits)
{
    const uint64_t each = (bits * UINT64_C(0x0101010101010101)) & UINT64_C(0x8040201008040201);
    return ((each + UINT64_C(0x7F7F7F7F7F7F7F7F)) >> 7) & UINT64_C(0x0101010101010101);
}

/* levels[i] += 1 where the bit of row + i is set; levels has room for whole groups of 64. */
static void add_bits(const uint64_t *bitmap, uint32_t row, uint32_t rows, uint8_t *levels)
{
    for (uint32_t i = 0; i < rows; i += 64) {
        const uint64_t bits = bits_at(bitmap, row + i);
        for (uint32_t k = 0; k < 8; k++) {
            uint64_t eight;
            memcpy(&eight, levels + i + 8 * k, sizeof eight);
            eight += spread((uint8_t)(bits >> 8 * k));
            memcpy(levels + i + 8 * k, &eight, sizeof eight);
        }
    }
}

/* How many objects above the unit are present, row by row. */
static void sum_objects(const tr_parquet_writer *writer, const tr_type *unit,
                        const tr_out_page *page, uint8_t *levels)
{
    memset(levels, 0, ((size_t)page->rows + 63) & ~(size_t)63);
    for (const tr_type *type = unit->parent; type->parent != NULL; type = type->parent)
        if (writer->present[type->id] != NULL)
            add_bits(writer->present[type->id], page->row, page->rows, levels);
}

/* A nested leaf's levels: a unit that is present adds the objects above it; one that is not has the
 * level of its row, and rows without it come in the order of their entries. */
static void lift_levels(const uint8_t *def, const tr_out_page *page, uint8_t base_def,
                        const uint64_t *unit_bits, const uint8_t *depth, uint8_t *levels)
{
    uint32_t row = 0;
    for (uint32_t e = 0; e < page->entries; e++) {
        if (def[e] != 0) {
            levels[e] = (uint8_t)(def[e] + base_def);
            continue;
        }
        while (unit_bits[(page->row + row) / 64] >> (page->row + row) % 64 & 1)
            row++;
        levels[e] = depth[row++];
    }
}

tr_code tr_levels_put(tr_parquet_writer *writer, uint32_t leaf, const tr_out_page *page,
                      tr_buf *out, tr_err *err)
{
    const tr_leaf *own = &writer->shape->leaves[leaf];
    const tr_unit *unit = &writer->shape->units[own->unit];
    const tr_out_chunk *chunk = &writer->chunks[leaf];
    const uint32_t width = tr_pq_width(own->def_max);
    const bool is_nested = own->rep_max > 0 && chunk->is_put;
    const uint8_t *def = is_nested ? writer->levels.at + chunk->def_at + page->entry : NULL;
    if (is_nested && unit->base_def == 0)
        return tr_rle_encode_levels(out, def, page->entries, width, err);
    writer->page_levels.len = 0;
    const size_t depth_bytes = ((size_t)page->rows + 63) & ~(size_t)63;
    TR_TRY(tr_buf_reserve(&writer->page_levels, depth_bytes + page->entries, err));
    uint8_t *depth = writer->page_levels.at, *levels = depth;
    const uint64_t *bits = writer->present[unit->type->id];
    sum_objects(writer, unit->type, page, depth);
    if (is_nested) {
        levels = depth + depth_bytes;
        lift_levels(def, page, unit->base_def, bits, depth, levels);
    } else if (bits != NULL) {
        add_bits(bits, page->row, page->rows, levels);
    }
    return tr_rle_encode_levels(out, levels, page->entries, width, err);
}
