/* SPDX-License-Identifier: Apache-2.0 */
/* mask_rows.c - see mask_rows.h. Sixty-four profiles and definitions are turned over at a time, as
 * a square of bits. */
#include "segment/mask_rows.h"

enum { SIDE = 64 };

/* Bytes of 0 and 1, up to 64 of them. */
static uint64_t pack(const uint8_t *bytes, uint32_t count)
{
    uint64_t word = 0;
    uint32_t i = 0;
    for (; i + 8 <= count; i += 8) {
        uint64_t eight;
        memcpy(&eight, bytes + i, sizeof eight);
        word |= (eight * UINT64_C(0x0102040810204080)) >> 56 << i;
    }
    for (; i < count; i++)
        word |= (uint64_t)bytes[i] << i;
    return word;
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
    *out = (tr_mask_rows){.words = words, .bits = bits};
    return TR_OK;
}
