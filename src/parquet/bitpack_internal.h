/* SPDX-License-Identifier: Apache-2.0 */
/* bitpack_internal.h - numbers of a few bits to words and bytes and back: inner loops of a read.
 *
 * Each has a plain form for every processor and one for AVX2 and BMI2; both give the same, and
 * tr_bitpack_plain lets a test compare them.
 */
#ifndef TR_PARQUET_BITPACK_INTERNAL_H
#define TR_PARQUET_BITPACK_INTERNAL_H

#include "base/str.h"

enum { TR_BITPACK_WIDTH_MAX = 32, TR_SPREAD_SLACK = 8 };

/* `count` values of `width` (1..32) bits plus `add` into out; returns the largest, before adding.
 * bytes  begins with the values; has at least (count + 7) / 8 * width bytes, of which no more are
 *        looked at, unless there are more */
uint32_t tr_unpack_codes(tr_str bytes, uint32_t width, uint32_t count, uint32_t add, uint32_t *out);
/* The same for widths 1..8 into bytes. */
void tr_unpack_levels(tr_str bytes, uint32_t width, uint32_t count, uint8_t *out);
/* Packs, and pads with zeros to a group of 8; returns the bytes written. */
size_t tr_pack(const uint32_t *in, uint32_t width, size_t count, uint8_t *out);

/* How many of the levels are `level`; *most is the largest of all and of what it was. */
uint32_t tr_count_level(const uint8_t *levels, uint32_t count, uint8_t level, uint8_t *most);
/* Codes of all entries from the codes of those with a value (def == full): 0 where there is none.
 * values  has TR_SPREAD_SLACK more than are used, so that reading goes on without a branch */
void tr_spread_codes(const uint8_t *def, uint8_t full, uint32_t entries, const uint32_t *values,
                     uint32_t *codes);

/* For tests: keeps to the plain forms. */
void tr_bitpack_plain(bool is_plain);

#endif
