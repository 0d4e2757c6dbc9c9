/* SPDX-License-Identifier: Apache-2.0 */
/* unite.c - several tables of values as one. Dictionaries are united by value in a hash table of codes (open
 * addressing, at most half full); plain tables follow each other, and codes shift.
 */
#include "store/gather.h"
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

static size_t value_bytes(tr_storage storage)
{
    return storage == TR_STORAGE_STRING ? sizeof(tr_str) : storage == TR_STORAGE_WORD ? 8 : 16;
}

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
    const size_t bytes = value_bytes(u->storage);
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
    u.words = tr_arena_alloc(arena, total * value_bytes(u.storage));
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
