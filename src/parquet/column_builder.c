/* SPDX-License-Identifier: Apache-2.0 */
/* column_builder.c - a column that grows entry by entry; see column.h.
 *
 * Adding only appends: an entry's code is the number of its value, and values follow each other.
 * The dictionary is made when the column is looked at, column by column, while its table is in the
 * cache; a table per column that every row reached into would be out of it.
 *
 *     adding    codes  1 2 0 3     values  a b a         (as a column without a dictionary)
 *     view      codes  1 2 0 1     values  a b           unless that does not pay: then as it is
 *
 * Strings lie end to end in one buffer: value i is [ends[i - 1], ends[i]); it may move while it
 * grows, so pointers into it are made at the end, by view.
 */
#include "base/check.h"
#include "codec/hash.h"
#include "parquet/column.h"
#include "parquet/value_table_internal.h"

enum {
    DICTIONARY_VALUES_MIN = 4096, /* a dictionary of so few values is kept whatever is in it */
    NEARLY_ALL = 64,              /* more than 63 of 64 values are new: no dictionary */
    HASHES_AT_ONCE = 64
};

/* The dictionary of a view; memory is kept from view to view. */
typedef struct dictionary {
    uint64_t *slots; /* upper half of the hash, code; 0: free; at most half are taken */
    uint64_t mask;   /* slots - 1; 0: none yet */
    uint32_t *codes; /* per entry */
    uint32_t code_cap;
    uint32_t count, cap;
    union {
        uint64_t *words;
        tr_str *strings;
        uint8_t (*keys)[16];
        void *memory;
    };
} dictionary;

struct tr_column_builder {
    const tr_leaf *leaf; /* borrowed */
    tr_storage storage;
    bool is_nested;
    uint8_t def_full; /* the level of an entry with a value, from the unit */
    uint32_t entries, entry_cap;
    uint32_t *codes;
    uint8_t *def, *rep; /* only when is_nested */
    uint32_t rows, row_cap;
    uint32_t *row_start; /* only when is_nested; room for one more than rows */
    uint32_t values, value_cap;
    union {
        uint64_t *words;
        uint8_t (*keys)[16];
        size_t *ends; /* of strings */
        void *memory;
    };
    tr_buf bytes; /* of strings */
    dictionary dict;
};

static size_t value_bytes(tr_storage storage)
{
    return storage == TR_STORAGE_KEY ? 16 : sizeof(uint64_t); /* a word, or an end */
}

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
    if (builder == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for column \"%.*s\"", TR_STR_ARG(leaf->path));
    builder->leaf = leaf;
    builder->storage = tr_kind_storage(leaf->kind);
    builder->is_nested = leaf->rep_max > 0;
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
    tr_free(builder->memory);
    tr_free(builder->dict.slots);
    tr_free(builder->dict.codes);
    tr_free(builder->dict.memory);
    tr_buf_free(&builder->bytes);
    tr_free(builder);
}

/* ---- adding */

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

static __attribute__((noinline)) tr_code grow_entries(tr_column_builder *b, tr_err *err)
{
    if (b->entries == b->entry_cap) {
        const uint32_t cap = next_cap(b->entry_cap);
        if (cap == b->entry_cap || !tr_resize_array(&b->codes, cap, sizeof *b->codes))
            return fail_growing(b, b->entries, err);
        if (b->is_nested &&
            (!tr_resize_array(&b->def, cap, 1) || !tr_resize_array(&b->rep, cap, 1)))
            return fail_growing(b, b->entries, err);
        b->entry_cap = cap;
    }
    if (b->is_nested && b->rows + 1 >= b->row_cap) {
        const uint32_t cap = next_cap(b->row_cap);
        if (cap == b->row_cap || !tr_resize_array(&b->row_start, cap, sizeof *b->row_start))
            return fail_growing(b, b->entries, err);
        b->row_cap = cap;
    }
    return TR_OK;
}

static inline tr_code reserve_entry(tr_column_builder *b, tr_err *err)
{
    const bool is_full = b->entries == b->entry_cap || (b->is_nested && b->rows + 1 >= b->row_cap);
    return __builtin_expect(is_full, 0) ? grow_entries(b, err) : TR_OK;
}

static __attribute__((noinline)) tr_code grow_values(tr_column_builder *b, tr_err *err)
{
    const uint32_t cap = next_cap(b->value_cap);
    if (cap == b->value_cap || !tr_resize_array(&b->memory, cap, value_bytes(b->storage)))
        return fail_growing(b, b->values, err);
    b->value_cap = cap;
    return TR_OK;
}

static inline tr_code reserve_value(tr_column_builder *b, tr_err *err)
{
    return __builtin_expect(b->values == b->value_cap, 0) ? grow_values(b, err) : TR_OK;
}

/* Room is there: this cannot fail. */
static inline void push_entry(tr_column_builder *b, uint8_t rep, uint8_t def, uint32_t code)
{
    if (b->is_nested) {
        if (rep == 0)
            b->row_start[b->rows++] = b->entries;
        b->rep[b->entries] = rep;
        b->def[b->entries] = def;
    }
    b->codes[b->entries++] = code;
}

tr_code tr_column_add_null(tr_column_builder *builder, uint8_t rep, uint8_t def, tr_err *err)
{
    TR_TRY(reserve_entry(builder, err));
    push_entry(builder, rep, def, 0);
    return TR_OK;
}

tr_code tr_column_add_word(tr_column_builder *builder, uint8_t rep, uint64_t word, tr_err *err)
{
    TR_ASSERT(builder->storage == TR_STORAGE_WORD);
    TR_TRY(reserve_entry(builder, err));
    TR_TRY(reserve_value(builder, err));
    builder->words[builder->values++] = word;
    push_entry(builder, rep, builder->def_full, builder->values);
    return TR_OK;
}

tr_code tr_column_add_key(tr_column_builder *builder, const uint8_t key[16], tr_err *err)
{
    TR_ASSERT(builder->storage == TR_STORAGE_KEY);
    TR_TRY(reserve_entry(builder, err));
    TR_TRY(reserve_value(builder, err));
    memcpy(builder->keys[builder->values++], key, 16);
    push_entry(builder, 0, builder->def_full, builder->values);
    return TR_OK;
}

tr_code tr_column_add_string(tr_column_builder *builder, uint8_t rep, tr_str value, tr_err *err)
{
    TR_ASSERT(builder->storage == TR_STORAGE_STRING);
    TR_TRY(reserve_entry(builder, err));
    TR_TRY(reserve_value(builder, err));
    TR_TRY(tr_buf_append(&builder->bytes, value, err));
    builder->ends[builder->values++] = builder->bytes.len;
    push_entry(builder, rep, builder->def_full, builder->values);
    return TR_OK;
}

uint32_t tr_column_builder_entries(const tr_column_builder *builder)
{
    return builder->entries;
}

static size_t table_bytes(tr_storage storage)
{
    return storage == TR_STORAGE_STRING ? sizeof(tr_str) : value_bytes(storage);
}

uint64_t tr_column_builder_bytes(const tr_column_builder *builder)
{
    const tr_column_builder *b = builder;
    const uint64_t per_entry = sizeof *b->codes + (b->is_nested ? 2 : 0);
    return sizeof *b + b->entry_cap * per_entry + b->value_cap * value_bytes(b->storage) +
           b->row_cap * sizeof *b->row_start + b->bytes.cap +
           b->dict.code_cap * sizeof *b->dict.codes + b->dict.cap * table_bytes(b->storage) +
           (b->dict.slots == NULL ? 0 : (b->dict.mask + 1) * sizeof *b->dict.slots);
}

void tr_column_builder_truncate(tr_column_builder *builder, uint32_t entries)
{
    tr_column_builder *b = builder;
    for (; b->entries > entries; b->entries--)
        b->values -= b->codes[b->entries - 1] != 0;
    if (b->storage == TR_STORAGE_STRING)
        b->bytes.len = b->values == 0 ? 0 : b->ends[b->values - 1];
    while (b->is_nested && b->rows > 0 && b->row_start[b->rows - 1] >= entries)
        b->rows--;
}

void tr_column_builder_reset(tr_column_builder *builder)
{
    builder->entries = builder->rows = builder->values = 0;
    builder->bytes.len = 0;
}

/* ---- looking */

static tr_str string_at(const tr_column_builder *b, uint32_t i)
{
    static const uint8_t no_bytes[1]; /* the buffer may not be there yet */
    const size_t from = i == 0 ? 0 : b->ends[i - 1];
    return b->bytes.at == NULL ? (tr_str){no_bytes, 0}
                               : (tr_str){b->bytes.at + from, b->ends[i] - from};
}

static uint64_t hash_at(const tr_column_builder *b, uint32_t i)
{
    if (b->storage == TR_STORAGE_WORD)
        return tr_word_hash(b->words[i]);
    return b->storage == TR_STORAGE_STRING ? tr_hash64_of(string_at(b, i))
                                           : tr_key_hash(b->keys[i]);
}

/* Value i of the builder is value `code` of the dictionary. */
static bool is_same(const tr_column_builder *b, uint32_t i, uint32_t code)
{
    if (b->storage == TR_STORAGE_WORD)
        return b->words[i] == b->dict.words[code];
    return b->storage == TR_STORAGE_STRING ? tr_str_equal(string_at(b, i), b->dict.strings[code])
                                           : memcmp(b->keys[i], b->dict.keys[code], 16) == 0;
}

static void put_value(tr_column_builder *b, uint32_t i)
{
    if (b->storage == TR_STORAGE_WORD)
        b->dict.words[b->dict.count++] = b->words[i];
    else if (b->storage == TR_STORAGE_STRING)
        b->dict.strings[b->dict.count++] = string_at(b, i);
    else
        memcpy(b->dict.keys[b->dict.count++], b->keys[i], 16);
}

/* Twice the slots. A slot holds all that its place depends on. */
static bool grow_slots(dictionary *d)
{
    const uint64_t count = d->slots == NULL ? 1024 : (d->mask + 1) * 2;
    uint64_t *slots = tr_alloc_zeroed(count, sizeof *slots);
    if (slots == NULL)
        return false;
    for (uint64_t i = 0; d->slots != NULL && i <= d->mask; i++) {
        uint64_t at = d->slots[i] >> 32 & (count - 1);
        if (d->slots[i] == 0)
            continue;
        while (slots[at] != 0)
            at = (at + 1) & (count - 1);
        slots[at] = d->slots[i];
    }
    tr_free(d->slots);
    d->slots = slots;
    d->mask = count - 1;
    return true;
}

static bool reserve_dictionary(tr_column_builder *b)
{
    dictionary *d = &b->dict;
    if (d->code_cap < b->entry_cap) {
        if (!tr_resize_array(&d->codes, b->entry_cap, sizeof *d->codes))
            return false;
        d->code_cap = b->entry_cap;
    }
    if (d->slots != NULL)
        memset(d->slots, 0, (d->mask + 1) * sizeof *d->slots);
    d->count = 0;
    return true;
}

static tr_code put_new(tr_column_builder *b, uint32_t i, uint64_t hash, uint64_t at, tr_err *err)
{
    dictionary *d = &b->dict;
    if (d->count == d->cap) {
        const uint32_t cap = next_cap(d->cap);
        if (cap == d->cap || !tr_resize_array(&d->memory, cap, table_bytes(b->storage)))
            return fail_growing(b, d->count, err);
        d->cap = cap;
    }
    put_value(b, i);
    d->slots[at] = tr_slot_of(hash, d->count);
    return TR_OK;
}

/* The code of value i in the dictionary, which gets it when it is new. */
static tr_code encode(tr_column_builder *b, uint32_t i, uint64_t hash, uint32_t *code, tr_err *err)
{
    dictionary *d = &b->dict;
    if (d->slots == NULL || ((uint64_t)d->count + 1) * 2 > d->mask + 1)
        if (!grow_slots(d))
            return fail_growing(b, d->count, err);
    uint64_t at = hash >> 32 & d->mask;
    for (; d->slots[at] != 0; at = (at + 1) & d->mask)
        if (d->slots[at] >> 32 == hash >> 32 && is_same(b, i, (uint32_t)d->slots[at] - 1)) {
            *code = (uint32_t)d->slots[at];
            return TR_OK;
        }
    TR_TRY(put_new(b, i, hash, at, err));
    *code = d->count;
    return TR_OK;
}

/* After `seen` values it is clear that a dictionary will not pay: looked at whenever they doubled.
 */
static bool is_hopeless(const dictionary *d, uint32_t seen)
{
    return seen >= DICTIONARY_VALUES_MIN && (seen & (seen - 1)) == 0 &&
           (uint64_t)d->count * NEARLY_ALL > (uint64_t)seen * (NEARLY_ALL - 1);
}

/* Makes the dictionary; *pays false: it is of no use. */
static tr_code make_dictionary(tr_column_builder *b, bool *pays, tr_err *err)
{
    dictionary *d = &b->dict;
    uint64_t hashes[HASHES_AT_ONCE];
    uint32_t seen = 0;
    *pays = false;
    if (!reserve_dictionary(b))
        return fail_growing(b, b->entries, err);
    for (uint32_t e = 0; e < b->entries; e++) {
        d->codes[e] = 0;
        if (b->codes[e] == 0)
            continue;
        if (seen % HASHES_AT_ONCE == 0)
            for (uint32_t i = 0; i < HASHES_AT_ONCE && seen + i < b->values; i++)
                hashes[i] = hash_at(b, seen + i);
        TR_TRY(encode(b, seen, hashes[seen % HASHES_AT_ONCE], &d->codes[e], err));
        if (is_hopeless(d, ++seen))
            return TR_OK;
    }
    *pays = d->count <= DICTIONARY_VALUES_MIN || (uint64_t)d->count * 2 <= b->values;
    return TR_OK;
}

/* The strings of a column without a dictionary. */
static tr_code list_strings(tr_column_builder *b, tr_err *err)
{
    dictionary *d = &b->dict;
    if (d->cap < b->values) {
        if (!tr_resize_array(&d->memory, b->value_cap, sizeof *d->strings))
            return fail_growing(b, b->values, err);
        d->cap = b->value_cap;
    }
    for (uint32_t i = 0; i < b->values; i++)
        d->strings[i] = string_at(b, i);
    return TR_OK;
}

tr_code tr_column_builder_view(tr_column_builder *builder, tr_column *out, tr_err *err)
{
    tr_column_builder *b = builder;
    bool pays;
    if (b->is_nested && b->row_start == NULL) /* an empty column has a border, too */
        TR_TRY(grow_entries(b, err));
    TR_TRY(make_dictionary(b, &pays, err));
    if (!pays && b->storage == TR_STORAGE_STRING)
        TR_TRY(list_strings(b, err));
    if (b->is_nested)
        b->row_start[b->rows] = b->entries;
    *out = (tr_column){
        .leaf = b->leaf,
        .rows = b->is_nested ? b->rows : b->entries,
        .entries = b->entries,
        .codes = pays ? b->dict.codes : b->codes,
        .def = b->def,
        .rep = b->rep,
        .row_start = b->row_start,
        .values = {.storage = b->storage,
                   .is_distinct = pays,
                   .count = pays ? b->dict.count : b->values,
                   .words = pays || b->storage == TR_STORAGE_STRING ? b->dict.memory : b->memory}};
    return TR_OK;
}
