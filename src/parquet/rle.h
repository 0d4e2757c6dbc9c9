/* SPDX-License-Identifier: Apache-2.0 */
/* rle.h - Parquet's RLE / bit-packed hybrid: how levels and dictionary codes are written.
 *
 *     runs   header (varint), then
 *            header even: one value in ceil(width / 8) bytes, repeated header >> 1 times
 *            header odd:  (header >> 1) groups of 8 values, `width` bits each, lowest bit first
 *
 * The last bit-packed run may hold up to 7 values more than asked for (padding to a group).
 * Packing and unpacking: bitpack_internal.h.
 *
 * Decoding never reads outside of the given slice and checks every run against the values that are
 * left; it answers false (and leaves `out` in any state) when the bytes are not exactly the runs of
 * `count` values.
 *
 * Threads: no state.
 */
#ifndef TR_PARQUET_RLE_H
#define TR_PARQUET_RLE_H

#include "base/memory.h"
#include "base/str.h"

enum { TR_RLE_WIDTH_MAX = 32 };

/* Bytes the encoding of `count` values cannot exceed. */
size_t tr_rle_bytes_max(size_t count, uint32_t width);

/* Appends the encoding of values[0..count); each value < 2^width. */
TR_MUST_CHECK tr_code tr_rle_encode(tr_buf *out, const uint32_t *values, size_t count,
                                    uint32_t width, tr_err *err);
/* The same for levels; width <= 8. */
TR_MUST_CHECK tr_code tr_rle_encode_levels(tr_buf *out, const uint8_t *levels, size_t count,
                                           uint32_t width, tr_err *err);

/* Fills out[0..count) with value + add (a column's codes are a file's codes + 1).
 * most  gets the largest value (before adding), 0 when count is 0: for the caller to check */
TR_MUST_CHECK bool tr_rle_decode(tr_str bytes, uint32_t width, uint32_t count, uint32_t add,
                                 uint32_t *out, uint32_t *most);
/* Levels, width <= 8. Whether they are in range is seen when they are counted (tr_count_level). */
TR_MUST_CHECK bool tr_rle_decode_levels(tr_str bytes, uint32_t width, uint32_t count,
                                        uint8_t *out);
/* True when the bytes are `count` times one value, so that nothing needs decoding. */
bool tr_rle_is_constant(tr_str bytes, uint32_t width, uint32_t count, uint32_t *value);

#endif
