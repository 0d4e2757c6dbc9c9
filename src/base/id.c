/* SPDX-License-Identifier: Apache-2.0 */
/* id.c - see id.h. */
#include "base/id.h"
#include "base/check.h"
#include "base/clock.h"

#include <sys/random.h>

void tr_random_bytes(uint8_t *out, size_t len)
{
    while (len > 0) {
        const ssize_t got = getrandom(out, len > 256 ? 256 : len, 0);
        TR_ASSERT(got > 0); /* a Linux kernel always has an entropy pool after boot */
        out += got;
        len -= (size_t)got;
    }
}

tr_id tr_id_hex(size_t digits)
{
    tr_id id = {{0}};
    uint8_t random[TR_ID_BYTES_MAX / 2];
    TR_ASSERT(digits < TR_ID_BYTES_MAX);
    tr_random_bytes(random, sizeof random);
    for (size_t i = 0; i < digits; i++)
        id.text[i] = "0123456789abcdef"[random[i / 2] >> (i % 2 * 4) & 15];
    return id;
}

tr_id tr_id_ulid(void)
{
    static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    tr_id id = {{0}};
    uint8_t random[16];
    int64_t ms = tr_time_now_ms();
    for (size_t i = 10; i-- > 0; ms >>= 5)
        id.text[i] = alphabet[ms & 31];
    tr_random_bytes(random, sizeof random);
    for (size_t i = 0; i < 16; i++)
        id.text[10 + i] = alphabet[random[i] & 31];
    return id;
}

tr_id tr_id_uuid(void)
{
    tr_id id = {{0}};
    const tr_id hex = tr_id_hex(32);
    for (size_t from = 0, to = 0; from < 32; from++) {
        if (from == 8 || from == 12 || from == 16 || from == 20)
            id.text[to++] = '-';
        id.text[to++] = hex.text[from];
    }
    id.text[14] = '4'; /* RFC 4122: version 4, variant 10xx */
    id.text[19] = "89ab"[(unsigned char)id.text[19] & 3];
    return id;
}

bool tr_is_hex(tr_str s, size_t digits)
{
    if (s.len != digits)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!((s.at[i] >= '0' && s.at[i] <= '9') || (s.at[i] >= 'a' && s.at[i] <= 'f')))
            return false;
    return true;
}
