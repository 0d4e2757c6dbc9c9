/* SPDX-License-Identifier: Apache-2.0 */
/* base64.c - see base64.h. */
#include "codec/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

tr_code tr_base64url(tr_str bytes, tr_buf *out, tr_err *err)
{
    TR_TRY(tr_buf_reserve(out, bytes.len / 3 * 4 + 4, err));
    uint8_t *to = out->at + out->len;
    for (size_t i = 0; i < bytes.len; i += 3) {
        const size_t left = bytes.len - i;
        const uint32_t word = (uint32_t)bytes.at[i] << 16 |
                              (left > 1 ? (uint32_t)bytes.at[i + 1] << 8 : 0) |
                              (left > 2 ? bytes.at[i + 2] : 0);
        *to++ = (uint8_t)alphabet[word >> 18];
        *to++ = (uint8_t)alphabet[word >> 12 & 63];
        if (left > 1)
            *to++ = (uint8_t)alphabet[word >> 6 & 63];
        if (left > 2)
            *to++ = (uint8_t)alphabet[word & 63];
    }
    out->len = (size_t)(to - out->at);
    return TR_OK;
}

static int sextet(uint8_t byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return byte - 'A';
    if (byte >= 'a' && byte <= 'z')
        return byte - 'a' + 26;
    if (byte >= '0' && byte <= '9')
        return byte - '0' + 52;
    return byte == '-' ? 62 : byte == '_' ? 63 : -1;
}

bool tr_base64url_decode(tr_str text, uint8_t *out, size_t *len)
{
    uint32_t word = 0;
    unsigned bits = 0;
    size_t n = 0;
    if (text.len % 4 == 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const int value = sextet(text.at[i]);
        if (value < 0)
            return false;
        word = word << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(word >> bits);
        }
    }
    *len = n;
    return (word & ((1U << bits) - 1)) == 0;
}
