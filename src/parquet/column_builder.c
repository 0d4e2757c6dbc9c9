/* SPDX-License-Identifier: Apache-2.0 */
/* column_builder.c - a column that grows entry by entry; see column.h.
 *
 * Codes are given in order of first use, and first_entry says where: so the values that only
 * truncated entries used are the last ones, and leave the table in the reverse of the order they
 * came in. Strings lie end to end in one buffer: value i is [ends[i - 1], ends[i]); it may move
 * while it grows, so pointers into it are made at the end, by view.
 */
#include "base/check.h"
#include "parquet/value_table_internal.h"
#include "parquet/column.h"

enum { DICTIONARY_VALUES_MIN = 65536 }; /* below, a dictionary is kept whatever is in it */

struct tr_column_builder {
    const tr_leaf *leaf; /* borrowed */
    tr_storage storage;
    bool is_nested;
    bool is_distinct; /* the dictionary is kept */
    uint8_t def_full; /* the level of an entry with a value, from the unit */
    uint32_t entries, entry_cap;
    uint32_t valued; /* entries with a value */
    uint32_t *codes;
    uint8_t *def, *rep; /* only when is_nested */
    uint32_t rows, row_cap;
    uint32_t *row_start; /* only when is_nested; room for one more than rows */
    uint32_t values, value_cap;
    union {
        uint64_t *words;
        tr_str *strings; /* as of the last view */
        uint8_t (*keys)[16];
        void *table_memory;
    };
    uint32_t *first_entry;
    uint64_t *hashes; /* only strings: what growing the table would have to work out again */
    size_t *ends;     /* only strings */
    tr_buf bytes;     /* only strings */
    tr_value_table table;
};

/* Objects above the leaf's unit: those that stand above its outermost array or map. */
static uint8_t objects_above_unit(const tr_leaf *leaf)
{
    uint32_t objects = 0;
    for (const tr_type *type = leaf->type; type != NULL; type = type->parent) {
        if (type->kind == TR_KIND_ARRAY || type->kind == TR_KIND_MAP)
            objects = 0;
        objects += type->kind == TR_KIND_OBJECT && type->parent != NULL;
    }
    return (uint8_t)objects;
}

tr_code tr_column_builder_open(const tr_leaf *leaf, tr_column_builder **out, tr_err *err)
{
    tr_column_builder *builder = tr_alloc_zeroed(1, sizeof *builder);
    if (builder == NULL || !tr_value_table_make(&builder->table, 0)) {
        tr_free(builder);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for column \"%.*s\"", TR_STR_ARG(leaf->path));
    }
    builder->leaf = leaf;
    builder->storage = tr_kind_storage(leaf->kind);
    builder->is_nested = leaf->rep_max > 0;
    builder->is_distinct = true;
    builder->def_full = (uint8_t)(leaf->def_max - objects_above_unit(leaf));
    *out = builder;
    return TR_OK;
}

void tr_column_builder_close(tr_column_builder *builder)
{
    if (builder == NULL)
        return;
    tr_free(builder->codes);
    tr_free(builder->def);
    tr_free(builder->rep);
    tr_free(builder->row_start);
    tr_free(builder->table_memory);
    tr_free(builder->first_entry);
    tr_free(builder->hashes);
    tr_free(builder->ends);
    tr_buf_free(&builder->bytes);
    tr_value_table_free(&builder->table);
    tr_free(builder);
}

static bool grow(void *pointer_to_array, uint32_t cap, size_t size)
{
    void *array;
    memcpy(&array, pointer_to_array, sizeof array);
    array = tr_grow_array(array, cap, size);
    if (array != NULL)
        memcpy(pointer_to_array, &array, sizeof array);
    return array != NULL;
}

static uint32_t next_cap(uint32_t cap)
{
    return cap == 0 ? 64 : cap > UINT32_MAX / 2 ? UINT32_MAX - 1 : cap * 2;
}

static tr_code fail_growing(const tr_column_builder *b, uint32_t count, tr_err *err)
{
    if (count >= UINT32_MAX - 1)
        return TR_FAIL(err, TR_LIMIT, "column \"%.*s\" is full: at most 2^32 - 2 entries fit",
                       TR_STR_ARG(b->leaf->path));
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for column \"%.*s\" after %u entries",
                   TR_STR_ARG(b->leaf->path), count);
}

static tr_code reserve_entry(tr_column_builder *b, tr_err *err)
{
    if (b->entries == b->entry_cap) {
        const uint32_t cap = next_cap(b->entry_cap);
        if (cap == b->entry_cap || !grow(&b->codes, cap, sizeof *b->codes))
            return fail_growing(b, b->entries, err);
        if (b->is_nested && (!grow(&b->def, cap, 1) || !grow(&b->rep, cap, 1)))
            return fail_growing(b, b->entries, err);
        b->entry_cap = cap;
    }
    if (b->is_nested && b->rows + 1 >= b->row_cap) {
        const uint32_t cap = next_cap(b->row_cap);
        if (cap == b->row_cap || !grow(&b->row_start, cap, sizeof *b->row_start))
            return fail_growing(b, b->entries, err);
        b->row_cap = cap;
    }
    return TR_OK;
}

static void rehash(tr_column_builder *b)
{
    for (uint32_t i = 0; i < b->values;
         i++) { /* in order: the last value must be the last one in */
        const uint64_t hash = b->storage == TR_STORAGE_WORD     ? tr_word_hash(b->words[i])
                              : b->storage == TR_STORAGE_STRING ? b->hashes[i]
                                                                : tr_key_hash(b->keys[i]);
        uint64_t at = hash & b->table.mask;
        while (b->table.slots[at] != 0)
            at = (at + 1) & b->table.mask;
        b->table.slots[at] = tr_slot_of(hash, i + 1);
    }
}

/* Makes room for one more value, with string_bytes bytes. */
static tr_code reserve_value(tr_column_builder *b, size_t string_bytes, tr_err *err)
{
    TR_TRY(tr_buf_reserve(&b->bytes, string_bytes, err));
    if (b->values == b->value_cap) {
        const uint32_t cap = next_cap(b->value_cap);
        const bool is_string = b->storage == TR_STORAGE_STRING;
        if (cap == b->value_cap || !grow(&b->table_memory, cap, tr_storage_bytes(b->storage)) ||
            !grow(&b->first_entry, cap, sizeof *b->first_entry))
            return fail_growing(b, b->values, err);
        if (is_string &&
            (!grow(&b->ends, cap, sizeof *b->ends) || !grow(&b->hashes, cap, sizeof *b->hashes)))
            return fail_growing(b, b->values, err);
        b->value_cap = cap;
    }
    if (b->is_distinct && ((uint64_t)b->values + 1) * 2 > b->table.mask + 1) {
        tr_value_table larger;
        if (!tr_value_table_make(&larger, ((uint64_t)b->values + 1) * 2))
            return fail_growing(b, b->values, err);
        tr_value_table_free(&b->table);
        b->table = larger;
        rehash(b);
    }
    return TR_OK;
}

/* Room is there: this cannot fail. */
static void push_entry(tr_column_builder *b, uint8_t rep, uint8_t def, uint32_t code)
{
    if (b->is_nested) {
        if (rep == 0)
            b->row_start[b->rows++] = b->entries;
        b->rep[b->entries] = rep;
        b->def[b->entries] = def;
    }
    b->valued += code != 0;
    b->codes[b->entries++] = code;
}

tr_code tr_column_add_null(tr_column_builder *builder, uint8_t rep, uint8_t def, tr_err *err)
{
    TR_TRY(reserve_entry(builder, err));
    push_entry(builder, rep, def, 0);
    return TR_OK;
}

/* The value that was just stored behind the last one becomes a value of the table, at this slot. */
static uint32_t accept_value(tr_column_builder *b, uint64_t at, uint64_t hash)
{
    b->first_entry[b->values] = b->entries;
    b->values++;
    if (!b->is_distinct)
        return b->values;
    b->table.slots[at] = tr_slot_of(hash, b->values);
    if (b->values > DICTIONARY_VALUES_MIN && (uint64_t)b->values * 2 > (uint64_t)b->valued + 1)
        b->is_distinct = false;
    return b->values;
}

tr_code tr_column_add_word(tr_column_builder *builder, uint8_t rep, uint64_t word, tr_err *err)
{
    TR_ASSERT(builder->storage == TR_STORAGE_WORD);
    TR_TRY(reserve_entry(builder, err));
    TR_TRY(reserve_value(builder, 0, err));
    uint32_t code = 0;
    uint64_t hash = 0, at = 0;
    if (builder->is_distinct) {
        hash = tr_word_hash(word);
        at = tr_slot_of_word(&builder->table, builder->words, word, hash);
        code = (uint32_t)builder->table.slots[at];
    }
    if (code == 0) {
        builder->words[builder->values] = word;
        code = accept_value(builder, at, hash);
    }
    push_entry(builder, rep, builder->def_full, code);
    return TR_OK;
}

tr_code tr_column_add_key(tr_column_builder *builder, const uint8_t key[16], tr_err *err)
{
    TR_ASSERT(builder->storage == TR_STORAGE_KEY);
    TR_TRY(reserve_entry(builder, err));
    TR_TRY(reserve_value(builder, 0, err));
    uint32_t code = 0;
    uint64_t hash = 0, at = 0;
    if (builder->is_distinct) {
        hash = tr_key_hash(key);
        at = tr_slot_of_key(&builder->table, (const uint8_t(*)[16])builder->keys, key, hash);
        code = (uint32_t)builder->table.slots[at];
    }
    if (code == 0) {
        memcpy(builder->keys[builder->values], key, 16);
        code = accept_value(builder, at, hash);
    }
    push_entry(builder, 0, builder->def_full, code);
    return TR_OK;
}

static tr_str value_of(const tr_column_builder *b, uint32_t i)
{
    const size_t from = i == 0 ? 0 : b->ends[i - 1];
    return (tr_str){b->bytes.at + from, b->ends[i] - from};
}

/* The slot of a string's code, or of where it belongs. */
static uint64_t slot_of_text(const tr_column_builder *b, tr_str value, uint64_t hash)
{
    uint64_t at = hash & b->table.mask;
    for (; b->table.slots[at] != 0; at = (at + 1) & b->table.mask)
        if (b->table.slots[at] >> 32 == hash >> 32 &&
            tr_str_equal(value_of(b, (uint32_t)b->table.slots[at] - 1), value))
            break;
    return at;
}

tr_code tr_column_add_string(tr_column_builder *builder, uint8_t rep, tr_str value, tr_err *err)
{
    TR_ASSERT(builder->storage == TR_STORAGE_STRING);
    TR_TRY(reserve_entry(builder, err));
    TR_TRY(reserve_value(builder, value.len, err));
    uint32_t code = 0;
    uint64_t hash = 0, at = 0;
    if (builder->is_distinct) {
        hash = tr_hash64_of(value);
        at = slot_of_text(builder, value, hash);
        code = (uint32_t)builder->table.slots[at];
    }
    if (code == 0) {
        TR_TRY(tr_buf_append(&builder->bytes, value, err));
        builder->ends[builder->values] = builder->bytes.len;
        builder->hashes[builder->values] = hash;
        code = accept_value(builder, at, hash);
    }
    push_entry(builder, rep, builder->def_full, code);
    return TR_OK;
}

uint32_t tr_column_builder_entries(const tr_column_builder *builder)
{
    return builder->entries;
}

uint64_t tr_column_builder_bytes(const tr_column_builder *builder)
{
    const bool is_string = builder->storage == TR_STORAGE_STRING;
    const uint64_t per_entry = sizeof *builder->codes + (builder->is_nested ? 2 : 0);
    const uint64_t per_value = tr_storage_bytes(builder->storage) + sizeof *builder->first_entry +
                               (is_string ? sizeof *builder->ends + sizeof *builder->hashes : 0);
    return sizeof *builder + builder->entry_cap * per_entry + builder->value_cap * per_value +
           builder->row_cap * sizeof *builder->row_start + builder->bytes.cap +
           (builder->table.mask + 1) * sizeof *builder->table.slots;
}

/* Takes the last value's code out of the table. */
static void forget_code(tr_column_builder *b)
{
    const uint32_t last = b->values - 1;
    uint64_t hash;
    if (b->storage == TR_STORAGE_WORD)
        hash = tr_word_hash(b->words[last]);
    else if (b->storage == TR_STORAGE_STRING)
        hash = b->hashes[last];
    else
        hash = tr_key_hash(b->keys[last]);
    uint64_t at = hash & b->table.mask;
    while ((uint32_t)b->table.slots[at] != last + 1) {
        TR_ASSERT(b->table.slots[at] != 0);
        at = (at + 1) & b->table.mask;
    }
    b->table.slots[at] = 0;
}

void tr_column_builder_truncate(tr_column_builder *builder, uint32_t entries)
{
    tr_column_builder *b = builder;
    if (entries >= b->entries)
        return;
    for (uint32_t e = entries; e < b->entries; e++)
        b->valued -= b->codes[e] != 0;
    for (; b->values > 0 && b->first_entry[b->values - 1] >= entries; b->values--)
        if (b->is_distinct)
            forget_code(b);
    if (b->storage == TR_STORAGE_STRING)
        b->bytes.len = b->values == 0 ? 0 : b->ends[b->values - 1];
    while (b->is_nested && b->rows > 0 && b->row_start[b->rows - 1] >= entries)
        b->rows--;
    b->entries = entries;
}

tr_code tr_column_builder_view(tr_column_builder *builder, tr_column *out, tr_err *err)
{
    tr_column_builder *b = builder;
    static const uint8_t no_bytes[1];
    if (b->is_nested && b->row_start == NULL) /* an empty column has a border, too */
        TR_TRY(reserve_entry(b, err));
    for (uint32_t i = 0; b->storage == TR_STORAGE_STRING && i < b->values; i++) {
        b->strings[i] = value_of(b, i);
        if (b->strings[i].len == 0)
            b->strings[i].at = no_bytes; /* the buffer may not be there yet */
    }
    if (b->is_nested)
        b->row_start[b->rows] = b->entries;
    *out = (tr_column){.leaf = b->leaf,
                       .rows = b->is_nested ? b->rows : b->entries,
                       .entries = b->entries,
                       .codes = b->codes,
                       .def = b->def,
                       .rep = b->rep,
                       .row_start = b->row_start,
                       .values = {.storage = b->storage,
                                  .is_distinct = b->is_distinct,
                                  .count = b->values,
                                  .words = b->table_memory}};
    return TR_OK;
}

void tr_column_builder_reset(tr_column_builder *builder)
{
    builder->entries = builder->rows = builder->valued = builder->values = 0;
    builder->bytes.len = 0;
    builder->is_distinct = true;
    tr_value_table_clear(&builder->table);
}
