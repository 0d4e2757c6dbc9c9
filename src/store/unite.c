/* SPDX-License-Identifier: Apache-2.0 */
/* unite.c - several tables of values as one. Dictionaries are united by value in a hash table of codes (open
 * addressing, at most half full); plain tables follow each other, and codes shift.
 */
#include "store/gather_internal.h"
#include "codec/hash.h"

#include <string.h>

typedef struct uniter {
    tr_storage storage;
    uint32_t *slots; /* code, or 0 */
    uint64_t mask;
    union {
        uint64_t *words;
        tr_str *strings;
        uint8_t (*keys)[16];
    };
    uint32_t count;
} uniter;

static uint64_t hash_word(uint64_t word)
{
    word *= UINT64_C(0x9E3779B97F4A7C15);
    return word ^ word >> 32;
}

static uint32_t code_of_word(uniter *u, uint64_t word)
{
    uint64_t at = hash_word(word) & u->mask;
    for (; u->slots[at] != 0; at = (at + 1) & u->mask)
        if (u->words[u->slots[at] - 1] == word)
            return u->slots[at];
    u->words[u->count++] = word;
    return u->slots[at] = u->count;
}

static uint32_t code_of_string(uniter *u, tr_str value)
{
    uint64_t at = tr_hash64_of(value) & u->mask;
    for (; u->slots[at] != 0; at = (at + 1) & u->mask)
        if (tr_str_equal(u->strings[u->slots[at] - 1], value))
            return u->slots[at];
    u->strings[u->count++] = value;
    return u->slots[at] = u->count;
}

static uint32_t code_of_key(uniter *u, const uint8_t key[16])
{
    uint64_t word;
    memcpy(&word, key, 8);
    uint64_t at = hash_word(word) & u->mask;
    for (; u->slots[at] != 0; at = (at + 1) & u->mask)
        if (memcmp(u->keys[u->slots[at] - 1], key, 16) == 0)
            return u->slots[at];
    memcpy(u->keys[u->count++], key, 16);
    return u->slots[at] = u->count;
}

static void unite_part(uniter *u, const tr_values *values, uint32_t *remap)
{
    remap[0] = 0;
    for (uint32_t i = 0; i < values->count; i++)
        switch (u->storage) {
        case TR_STORAGE_WORD: remap[i + 1] = code_of_word(u, values->words[i]); break;
        case TR_STORAGE_STRING: remap[i + 1] = code_of_string(u, values->strings[i]); break;
        case TR_STORAGE_KEY: remap[i + 1] = code_of_key(u, values->keys[i]); break;
        }
}

static tr_code unite_by_value(const tr_column *parts, uint32_t part_count, uint64_t total, uniter *u,
                              tr_arena *arena, tr_united *out, tr_err *err)
{
    uint64_t slots = 16;
    while (slots < total * 2)
        slots *= 2;
    u->mask = slots - 1;
    u->slots = tr_arena_array(arena, slots, sizeof *u->slots);
    if (u->slots == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to unite %llu values", (unsigned long long)total);
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i].values.count == 0)
            continue;
        uint32_t *remap = tr_arena_alloc(arena, ((size_t)parts[i].values.count + 1) * sizeof *remap);
        if (remap == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to unite %llu values", (unsigned long long)total);
        unite_part(u, &parts[i].values, remap);
        out->remap[i] = remap;
    }
    return TR_OK;
}

static void append_all(const tr_column *parts, uint32_t part_count, uniter *u, tr_united *out)
{
    const size_t bytes = tr_storage_bytes(u->storage);
    uint8_t *to = (uint8_t *)u->words;
    for (uint32_t i = 0; i < part_count; i++) {
        const tr_values *values = &parts[i].values;
        out->shift[i] = u->count;
        if (values->count > 0)
            memcpy(to + u->count * bytes, values->words, values->count * bytes);
        u->count += values->count;
    }
}

tr_code tr_unite(const tr_column *parts, uint32_t part_count, bool is_whole, tr_arena *arena,
                 tr_united *out, tr_err *err)
{
    uint64_t total = 0;
    uint32_t filled = 0, last = 0;
    bool is_distinct = true;
    tr_united united = {0};
    uniter u = {.storage = part_count == 0 ? TR_STORAGE_WORD : parts[0].values.storage};
    united.remap = tr_arena_array(arena, part_count, sizeof *united.remap);
    united.shift = tr_arena_array(arena, part_count, sizeof *united.shift);
    for (uint32_t i = 0; i < part_count; i++)
        if (parts[i].values.count > 0) {
            total += parts[i].values.count;
            is_distinct = is_distinct && parts[i].values.is_distinct;
            filled++;
            last = i;
        }
    if (total >= UINT32_MAX)
        return TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 values in a column");
    if (united.remap == NULL || united.shift == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to unite %u tables", part_count);
    if (filled <= 1 && (is_distinct || !is_whole)) { /* one table serves as it is */
        united.values = filled == 0 ? (tr_values){.storage = u.storage, .is_distinct = true}
                                    : parts[last].values;
        *out = united;
        return TR_OK;
    }
    u.words = tr_arena_alloc(arena, total * tr_storage_bytes(u.storage));
    if (u.words == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to unite %llu values", (unsigned long long)total);
    if (is_distinct || is_whole)
        TR_TRY(unite_by_value(parts, part_count, total, &u, arena, &united, err));
    else
        append_all(parts, part_count, &u, &united);
    united.values = (tr_values){.storage = u.storage, .is_distinct = is_distinct || is_whole,
                                .count = u.count, .words = u.words};
    *out = united;
    return TR_OK;
}

struct tr_picker {
    uniter table;
    const tr_column *parts;
    uint32_t **remap; /* per part: code of the table, 0: not asked for yet; NULL: values are taken again each time */
    bool is_distinct, is_one_part;
};

tr_code tr_picker_open(const tr_column *parts, uint32_t part_count, uint32_t picks, tr_arena *arena,
                       tr_picker **out, tr_err *err)
{
    uint64_t slots = 16;
    uint32_t filled = 0;
    tr_picker *picker = tr_arena_array(arena, 1, sizeof *picker);
    if (picker == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to pick %u values", picks);
    *picker = (tr_picker){.parts = parts, .is_distinct = true,
                          .remap = tr_arena_array(arena, part_count, sizeof *picker->remap)};
    picker->table.storage = part_count == 0 ? TR_STORAGE_WORD : parts[0].values.storage;
    for (uint32_t i = 0; i < part_count; i++) {
        filled += parts[i].values.count > 0;
        picker->is_distinct = picker->is_distinct && (parts[i].values.count == 0 || parts[i].values.is_distinct);
    }
    picker->is_one_part = filled <= 1;
    while (slots < (uint64_t)picks * 2)
        slots *= 2;
    picker->table.mask = slots - 1;
    picker->table.words = tr_arena_alloc(arena, picks * tr_storage_bytes(picker->table.storage) + 1);
    picker->table.slots = tr_arena_array(arena, picker->is_distinct ? slots : 1, sizeof *picker->table.slots);
    if (picker->remap == NULL || picker->table.words == NULL || picker->table.slots == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to pick %u values", picks);
    for (uint32_t i = 0; picker->is_distinct && i < part_count; i++) {
        picker->remap[i] = tr_arena_array(arena, (size_t)parts[i].values.count + 1, sizeof *picker->remap[i]);
        if (picker->remap[i] == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to pick %u values", picks);
    }
    *out = picker;
    return TR_OK;
}

static uint32_t append_one(uniter *u, const tr_values *values, uint32_t at)
{
    switch (u->storage) {
    case TR_STORAGE_WORD: u->words[u->count] = values->words[at]; break;
    case TR_STORAGE_STRING: u->strings[u->count] = values->strings[at]; break;
    case TR_STORAGE_KEY: memcpy(u->keys[u->count], values->keys[at], 16); break;
    }
    return ++u->count;
}

static uint32_t find_or_append(uniter *u, const tr_values *values, uint32_t at)
{
    switch (u->storage) {
    case TR_STORAGE_WORD: return code_of_word(u, values->words[at]);
    case TR_STORAGE_STRING: return code_of_string(u, values->strings[at]);
    case TR_STORAGE_KEY: break;
    }
    return code_of_key(u, values->keys[at]);
}

uint32_t tr_picker_code(tr_picker *picker, uint32_t part, uint32_t code)
{
    const tr_values *values = &picker->parts[part].values;
    if (!picker->is_distinct)
        return append_one(&picker->table, values, code - 1);
    uint32_t *known = &picker->remap[part][code];
    if (*known == 0)
        *known = picker->is_one_part ? append_one(&picker->table, values, code - 1)
                                     : find_or_append(&picker->table, values, code - 1);
    return *known;
}

tr_values tr_picker_values(const tr_picker *picker)
{
    return (tr_values){.storage = picker->table.storage, .is_distinct = picker->is_distinct,
                       .count = picker->table.count, .words = picker->table.words};
}
