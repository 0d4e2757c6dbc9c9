/* SPDX-License-Identifier: Apache-2.0 */
/* tally.c - see tally.h. */
#include "profile/tally.h"

#include "codec/hash.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to count profiles");
}

void tr_tally_free(tr_tally *tally)
{
    tr_arena_free(&tally->texts);
    tr_free(tally->names);
    tr_free(tally->sets);
    tr_free(tally->counts);
    tr_free(tally->slots);
    *tally = (tr_tally){0};
}

tr_code tr_tally_name(tr_tally *tally, tr_str name, uint32_t *out, tr_err *err)
{
    for (uint32_t i = 0; i < tally->name_count; i++)
        if (tr_str_equal(tally->names[i], name)) {
            *out = i;
            return TR_OK;
        }
    if (tally->name_count == TR_TALLY_NAMES_MAX)
        return TR_FAIL(err, TR_LIMIT, "a report tells at most %d datasets or namespaces apart",
                       TR_TALLY_NAMES_MAX);
    if (!tr_list_room(&tally->names, tally->name_count, &tally->name_cap, sizeof *tally->names))
        return no_memory(err);
    const tr_str own = tr_arena_copy(&tally->texts, name);
    if (own.at == NULL)
        return no_memory(err);
    tally->names[tally->name_count] = own;
    *out = tally->name_count++;
    return TR_OK;
}

static uint32_t slot_of(const tr_tally *tally, const uint64_t set[TR_TALLY_WORDS])
{
    const size_t bytes = TR_TALLY_WORDS * sizeof *set;
    const uint64_t hash = tr_hash64_of((tr_str){(const uint8_t *)set, bytes});
    uint32_t at = (uint32_t)hash & (tally->slot_count - 1);
    while (tally->slots[at] != 0 && memcmp(tally->sets[tally->slots[at] - 1], set, bytes) != 0)
        at = (at + 1) & (tally->slot_count - 1);
    return at;
}

/* Room for one more set: tables twice as long. */
static tr_code widen(tr_tally *tally, tr_err *err)
{
    const uint32_t cap = tally->set_cap == 0 ? 32 : tally->set_cap * 2;
    uint64_t(*sets)[TR_TALLY_WORDS] = tr_grow_array(tally->sets, cap, sizeof *sets);
    if (sets == NULL)
        return no_memory(err);
    tally->sets = sets;
    uint64_t *counts = tr_grow_array(tally->counts, cap, sizeof *counts);
    if (counts == NULL)
        return no_memory(err);
    tally->counts = counts;
    uint32_t *slots = tr_alloc_zeroed((size_t)cap * 2, sizeof *slots);
    if (slots == NULL)
        return no_memory(err);
    tr_free(tally->slots);
    tally->slots = slots;
    tally->slot_count = cap * 2;
    tally->set_cap = cap;
    for (uint32_t i = 0; i < tally->set_count; i++)
        tally->slots[slot_of(tally, tally->sets[i])] = i + 1;
    return TR_OK;
}

tr_code tr_tally_add(tr_tally *tally, const uint64_t set[TR_TALLY_WORDS], tr_err *err)
{
    if (tally->set_count == tally->set_cap)
        TR_TRY(widen(tally, err));
    const uint32_t at = slot_of(tally, set);
    if (tally->slots[at] == 0) {
        if (tally->set_count == TR_TALLY_SETS_MAX)
            return TR_FAIL(err, TR_LIMIT, "profiles have more than %d different sets of names",
                           TR_TALLY_SETS_MAX);
        memcpy(tally->sets[tally->set_count], set, sizeof tally->sets[0]);
        tally->counts[tally->set_count++] = 0;
        tally->slots[at] = tally->set_count;
    }
    tally->counts[tally->slots[at] - 1]++;
    return TR_OK;
}

/* Answers ------------------------------------------------------------------------------------ */

static bool has(const uint64_t set[TR_TALLY_WORDS], uint32_t name)
{
    return (set[name / 64] >> name % 64 & 1) != 0;
}

typedef struct named {
    tr_str text;
    uint32_t number;
} named;

static int compare(const void *a, const void *b)
{
    return tr_str_compare(((const named *)a)->text, ((const named *)b)->text);
}

/* Names in byte order; freed by the caller. NULL: no memory. */
static named *sorted(const tr_tally *tally)
{
    named *names = tr_alloc_zeroed((size_t)tally->name_count + 1, sizeof *names);
    for (uint32_t i = 0; names != NULL && i < tally->name_count; i++)
        names[i] = (named){tally->names[i], i};
    if (names != NULL)
        qsort(names, tally->name_count, sizeof *names, compare);
    return names;
}

json_t *tr_tally_each(const tr_tally *tally)
{
    named *names = sorted(tally);
    json_t *out = json_object();
    for (uint32_t i = 0; names != NULL && i < tally->name_count; i++) {
        uint64_t count = 0;
        for (uint32_t s = 0; s < tally->set_count; s++)
            count += has(tally->sets[s], names[i].number) ? tally->counts[s] : 0;
        (void)json_object_setn_new(out, (const char *)names[i].text.at, names[i].text.len,
                                   json_integer((json_int_t)count));
    }
    tr_free(names);
    return out;
}

json_t *tr_tally_sets(const tr_tally *tally)
{
    named *names = sorted(tally);
    json_t *out = json_object();
    tr_buf key = {0};
    for (uint32_t s = 0; names != NULL && s < tally->set_count; s++) {
        bool is_good = true;
        key.len = 0;
        for (uint32_t i = 0; i < tally->name_count; i++)
            if (has(tally->sets[s], names[i].number))
                is_good &= tr_buf_format(&key, NULL, "%s%.*s", key.len == 0 ? "" : ",",
                                         TR_STR_ARG(names[i].text)) == TR_OK;
        if (is_good && key.len > 0)
            (void)json_object_setn_new(out, (const char *)key.at, key.len,
                                       json_integer((json_int_t)tally->counts[s]));
    }
    tr_buf_free(&key);
    tr_free(names);
    return out;
}
