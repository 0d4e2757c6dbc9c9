/* SPDX-License-Identifier: Apache-2.0 */
/* bits.h - bytes that are truths, sixty-four to a word.
 *
 * Threads: none of its own. */
#ifndef TR_BASE_BITS_H
#define TR_BASE_BITS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { TR_BITS_OF_WORD = 64 };

/* The lowest bit of each byte; the first is the lowest of the word. */
static inline uint64_t tr_bits_of(const uint8_t bytes[64])
{
    uint64_t word = 0;
#ifdef __SSE2__
    for (unsigned i = 0; i < 4; i++) {
        __m128i part;
        memcpy(&part, bytes + 16 * (size_t)i, sizeof part);
        const int high = _mm_movemask_epi8(_mm_slli_epi16(part, 7)); /* of each byte */
        word |= (uint64_t)(uint32_t)high << (16 * i);
    }
#else
    for (unsigned i = 0; i < 64; i++)
        word |= (uint64_t)(bytes[i] & 1) << i;
#endif
    return word;
}

#endif
