/* SPDX-License-Identifier: Apache-2.0 */
/* hash.h - XXH3-128 (files and profile keys), CRC-32 (Parquet pages), SHA-256 (secrets). */
#ifndef TR_CODEC_HASH_H
#define TR_CODEC_HASH_H

#include "base/memory.h"
#include "base/str.h"

typedef struct tr_hash128 {
    uint8_t bytes[16]; /* canonical, big-endian: memcmp orders it as a number */
} tr_hash128;

typedef struct tr_hash_stream tr_hash_stream;

tr_hash128 tr_hash128_of(tr_str bytes);
uint64_t tr_hash64_of(tr_str bytes);
/* Keyed: `secret` is at least 136 bytes (XXH3's minimum). */
tr_hash128 tr_hash128_keyed(tr_str bytes, tr_str secret);

tr_hash_stream *tr_hash_stream_open(void); /* NULL when there is no memory */
void tr_hash_stream_add(tr_hash_stream *stream, tr_str bytes);
tr_hash128 tr_hash_stream_now(const tr_hash_stream *stream);
void tr_hash_stream_close(tr_hash_stream *stream); /* accepts NULL */

/* 32 hex digits and a NUL. */
void tr_hash128_text(tr_hash128 hash, char out[33]);

/* CRC-32 of gzip and Parquet (polynomial 0x04C11DB7). */
uint32_t tr_crc32(tr_str bytes);

void tr_sha256(tr_str bytes, uint8_t out[32]);
bool tr_equal_constant_time(const uint8_t *a, const uint8_t *b, size_t len);

#endif
