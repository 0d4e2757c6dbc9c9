/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - strings, numbers and times as JSON has them; see out.h. */
#include "base/clock.h"
#include "out.h"

#include <math.h>

/* Length of a UTF-8 sequence that starts here and is whole and well formed (no surrogates, no
 * overlong forms, nothing above U+10FFFF), or 0. */
static size_t sequence_len(const uint8_t *at, size_t left)
{
    const uint8_t lead = at[0];
    if (lead >= 0xc2 && lead <= 0xdf)
        return left >= 2 && (at[1] & 0xc0) == 0x80 ? 2 : 0;
    if (left < 3 || (at[1] & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80)
        return 0;
    if ((lead & 0xf0) == 0xe0)
        return (lead == 0xe0 && at[1] < 0xa0) || (lead == 0xed && at[1] > 0x9f) ? 0 : 3;
    if (left < 4 || (at[3] & 0xc0) != 0x80 || lead < 0xf0 || lead > 0xf4)
        return 0;
    return (lead == 0xf0 && at[1] < 0x90) || (lead == 0xf4 && at[1] > 0x8f) ? 0 : 4;
}

static inline bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

/* True when none of eight bytes is a control, a quote, a backslash or above ASCII. */
static inline bool are_plain(const uint8_t *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
    uint64_t word;
    memcpy(&word, at, sizeof word);
    const uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
    return (((word - ones * 0x20) | (quote - ones) | (slash - ones) | word) & tops) == 0;
}

static void put_escape(tr_out *out, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    static const char short_form[32] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
    const uint8_t named = byte < 32 ? (uint8_t)short_form[byte] : byte;
    const uint8_t two[] = {'\\', named};
    const uint8_t six[] = {'\\', 'u', '0', '0', (uint8_t)hex[byte >> 4], (uint8_t)hex[byte & 15]};
    if (named != 0)
        tr_put(out, two, sizeof two);
    else
        tr_put(out, six, sizeof six);
}

bool tr_put_json_inside(tr_out *out, tr_str s)
{
    bool is_valid = true;
    size_t from = 0, i = 0;
    while (i < s.len) {
        while (s.len - i >= 8 && are_plain(s.at + i))
            i += 8;
        while (i < s.len && is_plain(s.at[i]))
            i++;
        if (i == s.len)
            break;
        const size_t whole = s.at[i] < 0x80 ? 0 : sequence_len(s.at + i, s.len - i);
        if (whole > 0) {
            i += whole;
            continue;
        }
        tr_put(out, s.at + from, i - from);
        if (s.at[i] < 0x80)
            put_escape(out, s.at[i]);
        else
            tr_put_text(out, "\xef\xbf\xbd");
        is_valid = is_valid && s.at[i] < 0x80;
        from = ++i;
    }
    if (i > from)
        tr_put(out, s.at + from, i - from);
    return is_valid;
}

bool tr_put_json(tr_out *out, tr_str s)
{
    tr_put_byte(out, '"');
    const bool is_valid = tr_put_json_inside(out, s);
    tr_put_byte(out, '"');
    return is_valid;
}

/* Digits of value written backwards, ending at `end`; returns where they start. */
static char *digits_before(char *end, uint64_t value)
{
    do {
        *--end = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return end;
}

void tr_put_u64(tr_out *out, uint64_t value)
{
    char digits[20];
    const char *from = digits_before(digits + sizeof digits, value);
    tr_put(out, from, (size_t)(digits + sizeof digits - from));
}

void tr_put_i64(tr_out *out, int64_t value)
{
    if (value < 0)
        tr_put_byte(out, '-');
    tr_put_u64(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* A double shows that it is one: 3.0. Readers of JSON would take -0 and 20 digits for integers. */
static void put_real(tr_out *out, uint8_t *text, size_t len)
{
    bool is_integer = true;
    for (size_t i = 0; i < len; i++)
        is_integer = is_integer && text[i] != '.' && text[i] != 'e';
    out->buf.len += len;
    if (is_integer)
        tr_put_text(out, ".0");
}

bool tr_put_double(tr_out *out, double value)
{
    uint8_t *to = tr_out_room(out, 34);
    if (!isfinite(value))
        return false;
    if (to != NULL)
        put_real(out, to, tr_shortest_double(value, (char *)to));
    return true;
}

bool tr_put_float(tr_out *out, float value)
{
    uint8_t *to = tr_out_room(out, 34);
    if (!isfinite(value))
        return false;
    if (to != NULL)
        put_real(out, to, tr_shortest_float(value, (char *)to));
    return true;
}

/* All digits of a 128-bit number, backwards; at most 39. */
static char *wide_digits_before(char *end, tr_u128 value)
{
    do {
        *--end = (char)('0' + (unsigned)(value % 10));
        value /= 10;
    } while (value > 0);
    return end;
}

void tr_put_u128(tr_out *out, tr_u128 value, bool is_negative)
{
    char digits[40];
    const char *from = wide_digits_before(digits + sizeof digits, value);
    if (is_negative)
        tr_put_byte(out, '-');
    tr_put(out, from, (size_t)(digits + sizeof digits - from));
}

static tr_u128 magnitude(tr_i128 value)
{
    return value < 0 ? 0 - (tr_u128)value : (tr_u128)value;
}

void tr_put_i128(tr_out *out, tr_i128 value)
{
    tr_put_u128(out, magnitude(value), value < 0);
}

void tr_put_decimal(tr_out *out, tr_i128 unscaled, unsigned scale)
{
    if (scale == 0) {
        tr_put_i128(out, unscaled);
        return;
    }
    char digits[80];
    memset(digits, '0', sizeof digits);
    const char *end = digits + sizeof digits;
    const char *from = wide_digits_before(digits + sizeof digits, magnitude(unscaled));
    if ((size_t)(end - from) <= scale) /* 0.05 has fewer digits than its scale */
        from = end - scale - 1;
    if (unscaled < 0)
        tr_put_byte(out, '-');
    tr_put(out, from, (size_t)(end - from) - scale);
    tr_put_byte(out, '.');
    tr_put(out, end - scale, scale);
}

/* value as exactly `count` digits. */
static void put_digits(tr_out *out, uint64_t value, size_t count)
{
    uint8_t *to = tr_out_room(out, count);
    if (to == NULL)
        return;
    for (size_t i = count; i > 0; i--, value /= 10)
        to[i - 1] = (uint8_t)('0' + value % 10);
    out->buf.len += count;
}

bool tr_put_date(tr_out *out, int64_t days)
{
    static const int64_t first = -719162, last = 2932896; /* 0001-01-01, 9999-12-31 */
    int64_t year;
    unsigned month, day;
    if (days < first || days > last)
        return false;
    tr_time_civil_from_days(days, &year, &month, &day);
    put_digits(out, (uint64_t)year, 4);
    tr_put_byte(out, '-');
    put_digits(out, month, 2);
    tr_put_byte(out, '-');
    put_digits(out, day, 2);
    return true;
}

void tr_put_time(tr_out *out, int64_t seconds_of_day, uint32_t nanos)
{
    const uint64_t seconds = (uint64_t)seconds_of_day;
    put_digits(out, seconds / 3600, 2);
    tr_put_byte(out, ':');
    put_digits(out, seconds / 60 % 60, 2);
    tr_put_byte(out, ':');
    put_digits(out, seconds % 60, 2);
    if (nanos == 0)
        return;
    tr_put_byte(out, '.');
    if (nanos % 1000000 == 0)
        put_digits(out, nanos / 1000000, 3);
    else if (nanos % 1000 == 0)
        put_digits(out, nanos / 1000, 6);
    else
        put_digits(out, nanos, 9);
}

bool tr_put_instant(tr_out *out, int64_t seconds, uint32_t nanos)
{
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    if (!tr_put_date(out, days))
        return false;
    tr_put_byte(out, 'T');
    tr_put_time(out, rest, nanos);
    tr_put_byte(out, 'Z');
    return true;
}

void tr_put_corrupt(tr_out *out, tr_str text, const char *why, uint64_t number)
{
    enum { SHOWN = 500 };
    if (text.len > SHOWN) {
        text.len = SHOWN;
        while (text.len > SHOWN - 4 && (text.at[text.len] & 0xc0) == 0x80)
            text.len--; /* not inside a character */
    }
    tr_put_text(out, "{\"__corrupt\":");
    (void)tr_put_json(out, text);
    tr_put_text(out, ",\"__error\":");
    (void)tr_put_json(out, tr_str_of(why));
    tr_put_text(out, ",\"__line\":");
    tr_put_u64(out, number);
    tr_put_text(out, "}\n");
}
