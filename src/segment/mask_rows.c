/* SPDX-License-Identifier: Apache-2.0 */
/* mask_rows.c - see mask_rows.h. Sixty-four profiles and definitions are turned over at a time, as
 * a square of bits. */
#include "segment/mask_rows.h"

#include "base/bits.h"

enum { SIDE = TR_BITS_OF_WORD, FEW = 8 };

/* A mask after the other; every loop is one of vectors. */
static void put_few(const uint8_t *const *masks, uint32_t count, uint32_t profiles, uint64_t *bits)
{
    for (uint32_t p = 0; p < profiles; p++)
        bits[p] = count == 0 ? 0 : masks[0][p];
    for (uint32_t d = 1; d < count; d++)
        for (uint32_t p = 0; p < profiles; p++)
            bits[p] |= (uint64_t)masks[d][p] << d;
}

/* Up to 64 bytes of 0 and 1. */
static uint64_t pack(const uint8_t *bytes, uint32_t count)
{
    uint8_t all[SIDE] = {0};
    if (count == SIDE)
        return tr_bits_of(bytes);
    memcpy(all, bytes, count);
    return tr_bits_of(all);
}

/* Bit c of word r becomes bit r of word c: halves of ever smaller squares change places. */
static void turn_over(uint64_t square[SIDE])
{
    uint64_t mask = UINT64_C(0x00000000ffffffff);
    for (unsigned half = SIDE / 2; half > 0; half /= 2, mask ^= mask << half)
        for (unsigned row = 0; row < SIDE; row = ((row | half) + 1) & ~half) {
            const uint64_t change = ((square[row] >> half) ^ square[row | half]) & mask;
            square[row | half] ^= change;
            square[row] ^= change << half;
        }
}

tr_code tr_mask_rows_make(const uint8_t *const *masks, uint32_t count, uint32_t profiles,
                          tr_arena *arena, tr_mask_rows *out, tr_err *err)
{
    const uint32_t words = count / SIDE + (count % SIDE != 0);
    uint64_t *bits = tr_arena_alloc(arena, (size_t)profiles * words * sizeof *bits + 1);
    if (bits == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the masks of %u profiles", profiles);
    *out = (tr_mask_rows){.words = words, .bits = bits};
    if (count <= FEW) {
        if (words > 0)
            put_few(masks, count, profiles, bits);
        return TR_OK;
    }
    for (uint32_t from = 0; from < profiles; from += SIDE)
        for (uint32_t word = 0; word < words; word++) {
            const uint32_t rows = profiles - from < SIDE ? profiles - from : SIDE;
            uint64_t square[SIDE] = {0};
            for (uint32_t d = 0; d < SIDE && word * SIDE + d < count; d++)
                square[d] = pack(masks[word * SIDE + d] + from, rows);
            turn_over(square);
            for (uint32_t row = 0; row < rows; row++)
                bits[(size_t)(from + row) * words + word] = square[row];
        }
    return TR_OK;
}
