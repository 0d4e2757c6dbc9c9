/* SPDX-License-Identifier: Apache-2.0 */
/* column.c - whole columns made from others: absent, picked, joined; see column.h.
 *
 * These loops run over every entry of a merge: they touch flat arrays only, and nothing is
 * allocated or looked up per entry. Values are looked at once per value of a dictionary, when
 * dictionaries are united.
 */
#include "base/check.h"
#include "parquet/value_table_internal.h"
#include "parquet/column.h"

static tr_code no_memory(tr_err *err, uint64_t entries)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %llu entries",
                   (unsigned long long)entries);
}

/* Makes room for a column's codes, and for levels where it is nested. leaf  may be NULL */
static tr_code make_room(tr_arena *arena, const tr_leaf *leaf, bool is_nested, uint32_t rows,
                         uint64_t entries, tr_column *out, tr_err *err)
{
    uint8_t *def = NULL, *rep = NULL;
    uint32_t *row_start = NULL;
    if (entries >= UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT, "a column would have %llu entries: at most 2^32 - 2 fit",
                       (unsigned long long)entries);
    uint32_t *codes = tr_arena_alloc(arena, (size_t)entries * sizeof *codes);
    if (codes == NULL)
        return no_memory(err, entries);
    if (is_nested) {
        def = tr_arena_alloc(arena, (size_t)entries);
        rep = tr_arena_alloc(arena, (size_t)entries);
        row_start = tr_arena_alloc(arena, ((size_t)rows + 1) * sizeof *row_start);
        if (def == NULL || rep == NULL || row_start == NULL)
            return no_memory(err, entries);
    }
    *out = (tr_column){.leaf = leaf,
                       .rows = rows,
                       .entries = (uint32_t)entries,
                       .codes = codes,
                       .def = def,
                       .rep = rep,
                       .row_start = row_start};
    return TR_OK;
}

/* The arrays that make_room allocated, for filling: a tr_column only shows them as const. */
typedef struct filling {
    uint32_t *codes;
    uint8_t *def;
    uint8_t *rep;
    uint32_t *row_start;
} filling;

static filling fill_of(const tr_column *column)
{
    union {
        const void *shown;
        void *own;
    } codes = {column->codes}, def = {column->def}, rep = {column->rep},
      start = {column->row_start};
    return (filling){codes.own, def.own, rep.own, start.own};
}

static void fill_absent(filling *to, uint32_t row, uint32_t entry, uint32_t rows)
{
    memset(to->codes + entry, 0, rows * sizeof *to->codes);
    if (to->def == NULL)
        return;
    memset(to->def + entry, 0, rows);
    memset(to->rep + entry, 0, rows);
    for (uint32_t i = 0; i < rows; i++)
        to->row_start[row + i] = entry + i;
}

tr_code tr_column_absent(tr_arena *arena, const tr_leaf *leaf, uint32_t rows, tr_column *out,
                         tr_err *err)
{
    tr_column column;
    TR_TRY(make_room(arena, leaf, leaf->rep_max > 0, rows, rows, &column, err));
    filling to = fill_of(&column);
    fill_absent(&to, 0, 0, rows);
    if (to.row_start != NULL)
        to.row_start[rows] = rows;
    column.values = (tr_values){.storage = tr_kind_storage(leaf->kind), .is_distinct = true};
    *out = column;
    return TR_OK;
}

static void pick_flat(const tr_column *in, const uint32_t *pick, uint32_t count, uint32_t *codes)
{
    const uint32_t *from = in->codes;
    for (uint32_t i = 0; i < count; i++)
        codes[i] = pick[i] == UINT32_MAX ? 0 : from[pick[i]];
}

/* Copies the entries of rows that follow each other; rows of a fold or a cut mostly do. */
static uint32_t copy_rows(const tr_column *in, uint32_t first, uint32_t rows, uint32_t row,
                          uint32_t entry, filling *to)
{
    const uint32_t from = in->row_start[first], entries = in->row_start[first + rows] - from;
    for (uint32_t i = 0; i < rows; i++)
        to->row_start[row + i] = in->row_start[first + i] - from + entry;
    if (entries < 16) { /* a call costs more than the bytes */
        for (uint32_t i = 0; i < entries; i++) {
            to->codes[entry + i] = in->codes[from + i];
            to->def[entry + i] = in->def[from + i];
            to->rep[entry + i] = in->rep[from + i];
        }
        return entry + entries;
    }
    memcpy(to->codes + entry, in->codes + from, entries * sizeof *to->codes);
    memcpy(to->def + entry, in->def + from, entries);
    memcpy(to->rep + entry, in->rep + from, entries);
    return entry + entries;
}

static void pick_nested(const tr_column *in, const uint32_t *pick, uint32_t count, filling *to)
{
    uint32_t entry = 0;
    for (uint32_t i = 0; i < count;) {
        uint32_t run = 1;
        if (pick[i] == UINT32_MAX) {
            fill_absent(to, i, entry, 1);
            entry++;
        } else {
            while (i + run < count && pick[i + run] == pick[i] + run)
                run++;
            entry = copy_rows(in, pick[i], run, i, entry, to);
        }
        i += run;
    }
    to->row_start[count] = entry;
}

tr_code tr_column_pick(tr_arena *arena, const tr_column *in, const uint32_t *pick, uint32_t count,
                       tr_column *out, tr_err *err)
{
    tr_column column;
    uint64_t entries = count;
    const bool is_nested = in->row_start != NULL;
    for (uint32_t i = 0; i < count; i++)
        TR_DCHECK(pick[i] == UINT32_MAX || pick[i] < in->rows);
    if (is_nested) {
        entries = 0;
        for (uint32_t i = 0; i < count; i++)
            entries +=
                pick[i] == UINT32_MAX ? 1 : in->row_start[pick[i] + 1] - in->row_start[pick[i]];
    }
    TR_TRY(make_room(arena, in->leaf, is_nested, count, entries, &column, err));
    filling to = fill_of(&column);
    if (is_nested)
        pick_nested(in, pick, count, &to);
    else
        pick_flat(in, pick, count, to.codes);
    column.values = in->values;
    *out = column;
    return TR_OK;
}

/* A table that grows by the values of one part after the other. */
typedef struct uniter {
    tr_storage storage;
    bool is_distinct;
    uint32_t count;
    union {
        uint64_t *words;
        tr_str *strings;
        uint8_t (*keys)[16];
        uint8_t *bytes;
    };
    tr_value_table table; /* only when is_distinct */
    uint32_t *remap;      /* code in a part -> code in the united table */
} uniter;

static uint32_t code_at(uniter *u, uint64_t at, uint64_t hash)
{
    const uint32_t known = (uint32_t)u->table.slots[at];
    if (known != 0)
        return known;
    u->count++;
    u->table.slots[at] = tr_slot_of(hash, u->count);
    return u->count;
}

static void unite_words(uniter *u, const tr_values *values)
{
    for (uint32_t i = 0; i < values->count; i++) {
        const uint64_t word = values->words[i], hash = tr_word_hash(word);
        const uint32_t code = code_at(u, tr_slot_of_word(&u->table, u->words, word, hash), hash);
        u->words[code - 1] = word;
        u->remap[i + 1] = code;
    }
}

static void unite_strings(uniter *u, const tr_values *values)
{
    for (uint32_t i = 0; i < values->count; i++) {
        const tr_str value = values->strings[i];
        const uint64_t hash = tr_hash64_of(value);
        const uint32_t before = u->count;
        const uint32_t code =
            code_at(u, tr_slot_of_string(&u->table, u->strings, value, hash), hash);
        if (code > before)
            u->strings[code - 1] = value;
        u->remap[i + 1] = code;
    }
}

static void unite_keys(uniter *u, const tr_values *values)
{
    for (uint32_t i = 0; i < values->count; i++) {
        const uint64_t hash = tr_key_hash(values->keys[i]);
        const uint64_t at =
            tr_slot_of_key(&u->table, (const uint8_t(*)[16])u->keys, values->keys[i], hash);
        const uint32_t code = code_at(u, at, hash);
        memcpy(u->keys[code - 1], values->keys[i], 16);
        u->remap[i + 1] = code;
    }
}

static void append_values(uniter *u, const tr_values *values)
{
    const size_t bytes = tr_storage_bytes(u->storage);
    if (values->count > 0)
        memcpy(u->bytes + u->count * bytes, values->words, values->count * bytes);
    u->count += values->count;
}

/* Writes the codes of one part into the result. */
static void join_codes(uniter *u, const tr_column *part, uint32_t *codes)
{
    const uint32_t shift = u->count;
    if (!u->is_distinct) {
        append_values(u, &part->values);
        for (uint32_t i = 0; i < part->entries; i++)
            codes[i] = part->codes[i] + (part->codes[i] == 0 ? 0 : shift);
        return;
    }
    u->remap[0] = 0;
    if (u->storage == TR_STORAGE_WORD)
        unite_words(u, &part->values);
    else if (u->storage == TR_STORAGE_STRING)
        unite_strings(u, &part->values);
    else
        unite_keys(u, &part->values);
    for (uint32_t i = 0; i < part->entries; i++)
        codes[i] = u->remap[part->codes[i]];
}

static void join_part(uniter *u, const tr_column *part, uint32_t row, uint32_t entry, filling *to)
{
    join_codes(u, part, to->codes + entry);
    if (to->def == NULL || part->entries == 0)
        return;
    memcpy(to->def + entry, part->def, part->entries);
    memcpy(to->rep + entry, part->rep, part->entries);
    for (uint32_t i = 0; i < part->rows; i++)
        to->row_start[row + i] = part->row_start[i] + entry;
}

static tr_code make_uniter(tr_arena *arena, const tr_leaf *leaf, const tr_column *const *parts,
                           uint32_t part_count, uniter *out, tr_err *err)
{
    uint64_t total = 0, largest = 0;
    uniter u = {.storage = tr_kind_storage(leaf->kind), .is_distinct = true};
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i] == NULL || parts[i]->values.count == 0)
            continue;
        TR_ASSERT(parts[i]->values.storage == u.storage);
        u.is_distinct = u.is_distinct && parts[i]->values.is_distinct;
        total += parts[i]->values.count;
        largest = parts[i]->values.count > largest ? parts[i]->values.count : largest;
    }
    if (total >= UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT,
                       "column \"%.*s\" would have %llu values: at most 2^32 - 2 fit",
                       TR_STR_ARG(leaf->path), (unsigned long long)total);
    u.bytes = tr_arena_alloc(arena, (size_t)total * tr_storage_bytes(u.storage));
    if (u.is_distinct)
        u.remap = tr_alloc_array((size_t)largest + 1, sizeof *u.remap);
    if (u.bytes == NULL ||
        (u.is_distinct && (u.remap == NULL || !tr_value_table_make(&u.table, total)))) {
        tr_free(u.remap);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to unite %llu values",
                       (unsigned long long)total);
    }
    *out = u;
    return TR_OK;
}

tr_code tr_column_join(tr_arena *arena, const tr_leaf *leaf, const tr_column *const *parts,
                       const uint32_t *part_rows, uint32_t part_count, tr_column *out, tr_err *err)
{
    uint64_t rows = 0, entries = 0;
    uniter u;
    tr_column column;
    for (uint32_t i = 0; i < part_count; i++) {
        rows += parts[i] == NULL ? part_rows[i] : parts[i]->rows;
        entries += parts[i] == NULL ? part_rows[i] : parts[i]->entries;
    }
    if (rows >= UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT, "column \"%.*s\" would have more than 2^32 - 2 rows",
                       TR_STR_ARG(leaf->path));
    TR_TRY(make_room(arena, leaf, leaf->rep_max > 0, (uint32_t)rows, entries, &column, err));
    TR_TRY(make_uniter(arena, leaf, parts, part_count, &u, err));
    filling to = fill_of(&column);
    uint32_t row = 0, entry = 0;
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i] == NULL)
            fill_absent(&to, row, entry, part_rows[i]);
        else
            join_part(&u, parts[i], row, entry, &to);
        row += parts[i] == NULL ? part_rows[i] : parts[i]->rows;
        entry += parts[i] == NULL ? part_rows[i] : parts[i]->entries;
    }
    if (to.row_start != NULL)
        to.row_start[row] = entry;
    column.values = (tr_values){
        .storage = u.storage, .is_distinct = u.is_distinct, .count = u.count, .words = u.words};
    tr_value_table_free(&u.table);
    tr_free(u.remap);
    *out = column;
    return TR_OK;
}
