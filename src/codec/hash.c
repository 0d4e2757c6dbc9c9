/* SPDX-License-Identifier: Apache-2.0 */
/* hash.c - thin doors to xxHash, libdeflate and OpenSSL; see hash.h. */
#include "codec/hash.h"
#include "base/check.h"

#include <libdeflate.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <xxhash.h>

struct tr_hash_stream {
    XXH3_state_t *state;
};

static tr_hash128 canonical(XXH128_hash_t hash)
{
    XXH128_canonical_t form;
    tr_hash128 out;
    XXH128_canonicalFromHash(&form, hash);
    memcpy(out.bytes, form.digest, sizeof out.bytes);
    return out;
}

tr_hash128 tr_hash128_of(tr_str bytes)
{
    return canonical(XXH3_128bits(bytes.at, bytes.len));
}

uint64_t tr_hash64_of(tr_str bytes)
{
    return XXH3_64bits(bytes.at, bytes.len);
}

tr_hash128 tr_hash128_keyed(tr_str bytes, tr_str secret)
{
    TR_ASSERT(secret.len >= XXH3_SECRET_SIZE_MIN);
    return canonical(XXH3_128bits_withSecret(bytes.at, bytes.len, secret.at, secret.len));
}

tr_hash_stream *tr_hash_stream_open(void)
{
    tr_hash_stream *stream = tr_alloc(sizeof *stream);
    if (stream == NULL)
        return NULL;
    stream->state = XXH3_createState();
    if (stream->state == NULL) {
        tr_free(stream);
        return NULL;
    }
    XXH3_128bits_reset(stream->state);
    return stream;
}

void tr_hash_stream_add(tr_hash_stream *stream, tr_str bytes)
{
    XXH3_128bits_update(stream->state, bytes.at, bytes.len);
}

tr_hash128 tr_hash_stream_now(const tr_hash_stream *stream)
{
    return canonical(XXH3_128bits_digest(stream->state));
}

void tr_hash_stream_close(tr_hash_stream *stream)
{
    if (stream == NULL)
        return;
    XXH3_freeState(stream->state);
    tr_free(stream);
}

void tr_hash128_text(tr_hash128 hash, char out[33])
{
    for (size_t i = 0; i < 32; i++)
        out[i] = "0123456789abcdef"[hash.bytes[i / 2] >> (i % 2 == 0 ? 4 : 0) & 15];
    out[32] = '\0';
}

uint32_t tr_crc32(tr_str bytes)
{
    return (uint32_t)libdeflate_crc32(0, bytes.at, bytes.len);
}

void tr_sha256(tr_str bytes, uint8_t out[32])
{
    (void)SHA256(bytes.at, bytes.len, out);
}

bool tr_equal_constant_time(const uint8_t *a, const uint8_t *b, size_t len)
{
    return CRYPTO_memcmp(a, b, len) == 0;
}
