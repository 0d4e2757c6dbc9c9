/* SPDX-License-Identifier: Apache-2.0 */
/* column_cut.c - few rows of a column as a column of their own; see column.h. */
#include "parquet/column.h"

/* Up to so many entries values are told apart: beyond, the quadratic search would cost more than
 * values that stand there twice. */
enum { DISTINCT_ENTRIES_MAX = 32 };

typedef struct cut {
    const tr_column *in;
    uint32_t first, entries;
    uint32_t *codes;  /* of the new column */
    uint32_t *picked; /* new code - 1 -> code of `in` */
    uint32_t count;   /* of picked */
    bool is_distinct;
} cut;

static void pick_codes(cut *c)
{
    for (uint32_t i = 0; i < c->entries; i++) {
        const uint32_t code = c->in->codes[c->first + i];
        uint32_t at = c->is_distinct ? 0 : c->count;
        while (code != 0 && at < c->count && c->picked[at] != code)
            at++;
        if (code != 0 && at == c->count)
            c->picked[c->count++] = code;
        c->codes[i] = code == 0 ? 0 : at + 1;
    }
}

static bool copy_strings(const cut *c, tr_arena *arena, tr_str *to)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < c->count; i++)
        bytes += c->in->values.strings[c->picked[i] - 1].len;
    uint8_t *text = tr_arena_alloc(arena, bytes == 0 ? 1 : bytes);
    for (uint32_t i = 0; i < c->count && text != NULL; i++) {
        const tr_str value = c->in->values.strings[c->picked[i] - 1];
        if (value.len > 0)
            memcpy(text, value.at, value.len);
        to[i] = (tr_str){text, value.len};
        text += value.len;
    }
    return c->count == 0 || text != NULL;
}

static tr_code copy_values(const cut *c, tr_arena *arena, tr_values *out, tr_err *err)
{
    const tr_storage storage = c->in->values.storage;
    const size_t size = storage == TR_STORAGE_WORD     ? sizeof(uint64_t)
                        : storage == TR_STORAGE_STRING ? sizeof(tr_str)
                                                       : 16;
    uint8_t *to = tr_arena_alloc(arena, (c->count + (size_t)1) * size);
    bool is_good = to != NULL;
    if (is_good && storage == TR_STORAGE_STRING)
        is_good = copy_strings(c, arena, (tr_str *)(void *)to);
    for (uint32_t i = 0; i < c->count && is_good && storage != TR_STORAGE_STRING; i++)
        memcpy(to + i * size, (const uint8_t *)c->in->values.words + (c->picked[i] - 1) * size,
               size);
    if (!is_good)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u values", c->count);
    *out = (tr_values){.storage = storage, .count = c->count};
    out->is_distinct = c->count <= 1 || (c->is_distinct && c->in->values.is_distinct);
    out->words = (const uint64_t *)(const void *)to;
    return TR_OK;
}

/* The levels of a nested column; row_start counts from its own first entry. */
static tr_code copy_levels(const cut *c, uint32_t from, tr_arena *arena, tr_column *out,
                           tr_err *err)
{
    uint8_t *levels = tr_arena_alloc(arena, (size_t)c->entries * 2 + 1);
    uint32_t *start = tr_arena_alloc(arena, ((size_t)out->rows + 1) * sizeof *start);
    if (levels == NULL || start == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u entries", c->entries);
    memcpy(levels, c->in->def + c->first, c->entries);
    memcpy(levels + c->entries, c->in->rep + c->first, c->entries);
    for (uint32_t i = 0; i <= out->rows; i++)
        start[i] = c->in->row_start[from + i] - c->first;
    out->def = levels;
    out->rep = levels + c->entries;
    out->row_start = start;
    return TR_OK;
}

tr_code tr_column_cut(tr_arena *arena, const tr_column *in, uint32_t from, uint32_t rows,
                      tr_column *out, tr_err *err)
{
    const bool is_nested = in->row_start != NULL;
    cut c = {.in = in, .first = is_nested ? in->row_start[from] : from};
    c.entries = is_nested ? in->row_start[from + rows] - c.first : rows;
    c.is_distinct = c.entries <= DISTINCT_ENTRIES_MAX;
    c.codes = tr_arena_alloc(arena, ((size_t)c.entries * 2 + 1) * sizeof *c.codes);
    if (c.codes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u entries", c.entries);
    c.picked = c.codes + c.entries;
    pick_codes(&c);
    tr_column column = {.leaf = in->leaf, .rows = rows, .entries = c.entries, .codes = c.codes};
    TR_TRY(copy_values(&c, arena, &column.values, err));
    if (is_nested)
        TR_TRY(copy_levels(&c, from, arena, &column, err));
    *out = column;
    return TR_OK;
}
