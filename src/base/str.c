/* SPDX-License-Identifier: Apache-2.0 */
/* str.c - the few things one asks of bytes; see str.h. */
#include "base/str.h"

static uint8_t folded(uint8_t byte)
{
    return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
}

bool tr_str_equal_folded(tr_str a, tr_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (folded(a.at[i]) != folded(b.at[i]))
            return false;
    return true;
}

int tr_str_compare_folded(tr_str a, tr_str b)
{
    const size_t common = a.len < b.len ? a.len : b.len;
    for (size_t i = 0; i < common; i++)
        if (folded(a.at[i]) != folded(b.at[i]))
            return folded(a.at[i]) < folded(b.at[i]) ? -1 : 1;
    return (a.len > b.len) - (a.len < b.len);
}

bool tr_str_to_i64(tr_str s, int64_t *out)
{
    const bool is_negative = s.len > 0 && s.at[0] == '-';
    int64_t value = 0;
    size_t i = is_negative ? 1 : 0;
    if (i == s.len)
        return false;
    for (; i < s.len; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        /* Counted downwards, because INT64_MIN has no positive twin. */
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, s.at[i] - '0', &value))
            return false;
    }
    if (!is_negative && __builtin_sub_overflow((int64_t)0, value, &value))
        return false;
    *out = value;
    return true;
}

/* Bytes of the sequence that starts at s[i], or 0 when it is not valid UTF-8. */
static size_t utf8_sequence(tr_str s, size_t i)
{
    const uint8_t first = s.at[i];
    if (first < 0x80)
        return 1;
    const size_t len = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || s.len - i < len)
        return 0;
    uint32_t code = first & (0xFFu >> (len + 1));
    for (size_t k = 1; k < len; k++) {
        if ((s.at[i + k] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (s.at[i + k] & 0x3Fu);
    }
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool is_surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code < smallest[len] || is_surrogate || code > 0x10FFFF ? 0 : len;
}

bool tr_str_is_utf8(tr_str s, size_t *bad_at)
{
    size_t i = 0;
    while (i < s.len) {
        uint64_t word;
        if (s.len - i >= 8) { /* eight ASCII bytes at a time: nearly all text is */
            memcpy(&word, s.at + i, 8);
            if ((word & UINT64_C(0x8080808080808080)) == 0) {
                i += 8;
                continue;
            }
        }
        const size_t step = utf8_sequence(s, i);
        if (step == 0) {
            *bad_at = i;
            return false;
        }
        i += step;
    }
    return true;
}

void tr_text_mend(char *text)
{
    size_t bad_at;
    while (!tr_str_is_utf8(tr_str_of(text), &bad_at))
        text[bad_at] = '?';
}
