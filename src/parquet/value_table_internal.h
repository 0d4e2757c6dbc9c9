/* SPDX-License-Identifier: Apache-2.0 */
/* value_table_internal.h - finds the code of a value: a hash table of codes, open addressing.
 *
 *     slots[i]   0: free; else the upper half of the value's hash, and its code in the lower half
 *
 * The values themselves stay with the owner of the table. A value that came last can be taken out
 * again by freeing its slot: nothing that is still in the table was placed behind it. At most
 * half of the slots are taken.
 *
 * Threads: none of its own.
 */
#ifndef TR_PARQUET_VALUE_TABLE_INTERNAL_H
#define TR_PARQUET_VALUE_TABLE_INTERNAL_H

#include "codec/hash.h"
#include "parquet/type.h"

typedef struct tr_value_table {
    uint64_t *slots; /* owned */
    uint64_t mask;   /* number of slots - 1, a power of two less one */
} tr_value_table;

/* Makes an empty table with room for `values`; false: no memory. */
bool tr_value_table_make(tr_value_table *table, uint64_t values);
void tr_value_table_clear(tr_value_table *table);
void tr_value_table_free(tr_value_table *table);

static inline uint64_t tr_word_hash(uint64_t word)
{
    word = (word ^ word >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    word = (word ^ word >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return word ^ word >> 32;
}

static inline uint64_t tr_key_hash(const uint8_t key[16])
{
    uint64_t halves[2];
    memcpy(halves, key, sizeof halves);
    return tr_word_hash(halves[0] ^ tr_word_hash(halves[1]));
}

static inline uint64_t tr_slot_of(uint64_t hash, uint32_t code)
{
    return (hash & ~(uint64_t)UINT32_MAX) | code;
}

/* These three find the slot that holds the value's code, or the free one where it belongs. */
static inline uint64_t tr_slot_of_word(const tr_value_table *table, const uint64_t *words,
                                       uint64_t word, uint64_t hash)
{
    uint64_t at = hash & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask)
        if (words[(uint32_t)table->slots[at] - 1] == word)
            break;
    return at;
}

static inline uint64_t tr_slot_of_key(const tr_value_table *table, const uint8_t (*keys)[16],
                                      const uint8_t key[16], uint64_t hash)
{
    uint64_t at = hash & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask)
        if (memcmp(keys[(uint32_t)table->slots[at] - 1], key, 16) == 0)
            break;
    return at;
}

static inline uint64_t tr_slot_of_string(const tr_value_table *table, const tr_str *strings,
                                         tr_str value, uint64_t hash)
{
    uint64_t at = hash & table->mask;
    for (; table->slots[at] != 0; at = (at + 1) & table->mask)
        if (table->slots[at] >> 32 == hash >> 32 &&
            tr_str_equal(strings[(uint32_t)table->slots[at] - 1], value))
            break;
    return at;
}

#endif
