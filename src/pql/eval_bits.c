/* SPDX-License-Identifier: Apache-2.0 */
/* eval_bits.c - what is true of the rows of a scope, a bit a row; see eval_internal.h.
 *
 * The bits of an operation are made once and kept with its value, so that a hundred segments that
 * ask for the same events share them: 64 rows are then one step for whoever joins conditions or
 * walks through a sequence.
 */
#include "pql/eval_internal.h"

#include "base/bits.h"

enum { ROWS = TR_BITS_OF_WORD };

/* Rows that look at one base row. */
static void equal_rows(const uint32_t *index, uint32_t rows, uint32_t at, uint8_t *out)
{
    for (uint32_t i = 0; i < rows; i++)
        out[i] = index[i] == at;
}

static void looked_up_rows(const uint32_t *index, uint32_t rows, const uint8_t *bools, uint8_t *out)
{
    for (uint32_t i = 0; i < rows; i++)
        out[i] = bools[index[i]] == TR_PQL_TRUE;
}

/* How many base rows are true, up to two; the first of them in *at. */
static uint32_t count_true(const tr_pql_base *base, uint32_t *at)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < base->count && found < 2; i++)
        if (base->bools[i] == TR_PQL_TRUE) {
            *at = found == 0 ? i : *at;
            found++;
        }
    return found;
}

static void fill(const tr_pql_vec *mask, uint32_t count, uint64_t *words)
{
    const tr_pql_base *base = mask->base;
    uint32_t only = 0;
    const uint32_t kinds = mask->index == NULL ? 0 : count_true(base, &only);
    for (uint32_t row = 0; row < count; row += ROWS) {
        const uint32_t rows = count - row < ROWS ? count - row : ROWS;
        uint8_t bytes[ROWS];
        if (rows < ROWS)
            memset(bytes, 0, sizeof bytes);
        if (mask->index == NULL)
            for (uint32_t i = 0; i < rows; i++)
                bytes[i] = base->bools[row + i] == TR_PQL_TRUE;
        else if (kinds == 1)
            equal_rows(mask->index + row, rows, only, bytes);
        else
            looked_up_rows(mask->index + row, rows, base->bools, bytes);
        words[row / ROWS] = tr_bits_of(bytes);
    }
}

/* All rows. */
static void fill_all(uint32_t count, uint64_t *words)
{
    const size_t all = tr_pql_words(count);
    memset(words, 0xff, all * sizeof *words);
    if (count % ROWS != 0)
        words[all - 1] = (UINT64_C(1) << count % ROWS) - 1;
}

tr_code tr_pql_true_bits(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                         const uint64_t **out)
{
    const tr_pql_vec *mask;
    TR_TRY(tr_pql_value(run, op, level, &mask));
    tr_pql_slot *slot = tr_pql_slot_of(run, op, level);
    if (slot->bits == NULL) {
        const uint32_t count = tr_pql_domain_of(run, level)->count;
        uint64_t *words =
            tr_arena_array(tr_pql_arena_of(run, level), tr_pql_words(count), sizeof *words);
        if (words == NULL)
            return tr_pql_out_of_memory(run);
        if (mask->base->kind == TR_PQL_VEC_BOOL && !mask->is_constant)
            fill(mask, count, words);
        else if (mask->base->kind == TR_PQL_VEC_BOOL && mask->base->bools[0] == TR_PQL_TRUE)
            fill_all(count, words);
        slot->bits = words;
    }
    *out = slot->bits;
    return TR_OK;
}

tr_code tr_pql_true_rows(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                         const uint32_t **rows, uint32_t *count)
{
    const uint64_t *words;
    TR_TRY(tr_pql_true_bits(run, op, level, &words));
    tr_pql_slot *slot = tr_pql_slot_of(run, op, level);
    if (slot->selected == NULL) {
        const size_t all = tr_pql_words(tr_pql_domain_of(run, level)->count);
        size_t most = 0;
        for (size_t w = 0; w < all; w++)
            most += (size_t)__builtin_popcountll(words[w]);
        uint32_t *own = tr_arena_alloc(tr_pql_arena_of(run, level), most * sizeof *own + 1);
        if (own == NULL)
            return tr_pql_out_of_memory(run);
        uint32_t at = 0;
        for (size_t w = 0; w < all; w++)
            for (uint64_t left = words[w]; left != 0; left &= left - 1)
                own[at++] = (uint32_t)(w * ROWS) + (uint32_t)__builtin_ctzll(left);
        slot->selected = own;
        slot->selected_count = at;
    }
    *rows = slot->selected;
    *count = slot->selected_count;
    return TR_OK;
}

tr_code tr_pql_last_bits(tr_pql_run *run, const tr_pql_level *level, const uint64_t **out)
{
    tr_pql_level_state *state = &run->states[level->id];
    const uint32_t count = state->domain.count, *parent = state->domain.parent;
    if (state->last == NULL) {
        uint64_t *words =
            tr_arena_array(tr_pql_arena_of(run, level), tr_pql_words(count), sizeof *words);
        if (words == NULL)
            return tr_pql_out_of_memory(run);
        for (uint32_t row = 0; row < count; row += ROWS) {
            const uint32_t rows = count - row < ROWS ? count - row : ROWS;
            uint8_t bytes[ROWS] = {0};
            for (uint32_t i = 0; i < rows && row + i + 1 < count; i++)
                bytes[i] = parent[row + i] != parent[row + i + 1];
            words[row / ROWS] = tr_bits_of(bytes);
        }
        if (count > 0)
            words[(count - 1) / ROWS] |= UINT64_C(1) << (count - 1) % ROWS;
        state->last = words;
    }
    *out = state->last;
    return TR_OK;
}
