/* SPDX-License-Identifier: Apache-2.0 */
/* bounds.c - smallest and largest values, for statistics and the column index.
 *
 * A bound may be wider than the values are: a min may be smaller, a max larger. So strings are cut
 * at STRING_BYTES_MAX, at a character's border, because readers show bounds as text; a cut max gets
 * its last character increased.
 */
#include "base/check.h"
#include "parquet/writer_internal.h"

enum { STRING_BYTES_MAX = 64 };

static const uint64_t SIGN = UINT64_C(1) << 63;

bool tr_is_nan(tr_kind kind, uint64_t word)
{
    return kind == TR_KIND_DOUBLE && (word & ~SIGN) > UINT64_C(0x7FF) << 52;
}

static uint64_t first_bytes(const uint8_t *at, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, at, len < 8 ? len : 8);
    return __builtin_bswap64(word); /* the machine is little-endian: store and file are, too */
}

uint64_t tr_order_of_string(tr_str s)
{
    return s.len == 0 ? 0 : first_bytes(s.at, s.len);
}

uint64_t tr_order_of(tr_kind kind, const tr_values *values, uint32_t code)
{
    if (values->storage == TR_STORAGE_STRING)
        return tr_order_of_string(values->strings[code - 1]);
    if (values->storage == TR_STORAGE_KEY)
        return first_bytes(values->keys[code - 1], 8);
    const uint64_t word = values->words[code - 1];
    if (kind == TR_KIND_DOUBLE)
        return word & SIGN ? ~word : word | SIGN;
    return word ^ SIGN;
}

int tr_tie_compare(const tr_values *values, uint32_t a, uint32_t b)
{
    if (values->storage == TR_STORAGE_STRING)
        return tr_str_compare(values->strings[a - 1], values->strings[b - 1]);
    return memcmp(values->keys[a - 1], values->keys[b - 1], 16);
}

/* The longest prefix of s of at most STRING_BYTES_MAX bytes that ends with a whole character. */
static size_t cut_length(tr_str s)
{
    size_t len = STRING_BYTES_MAX;
    while (len > 0 && (s.at[len] & 0xC0) == 0x80)
        len--;
    return len;
}

static size_t put_character(uint32_t c, uint8_t *out)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    const size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t heads[] = {0, 0xC0, 0xE0, 0xF0};
    out[0] = (uint8_t)(heads[more] | c >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        out[i] = (uint8_t)(0x80 | (c >> (6 * (more - i)) & 0x3F));
    return more + 1;
}

/* Makes the text larger than all that begin with it; returns its length, 0: there is none. */
static size_t increase(uint8_t *text, size_t len)
{
    while (len > 0) {
        size_t start = len - 1;
        while (start > 0 && (text[start] & 0xC0) == 0x80)
            start--;
        const size_t bytes = len - start;
        uint32_t c = bytes == 1 ? text[start] : text[start] & (0x7Fu >> bytes);
        for (size_t i = 1; i < bytes; i++)
            c = c << 6 | (text[start + i] & 0x3F);
        c = c == 0xD7FF ? 0xE000 : c + 1; /* the gap of the surrogates */
        if (c <= 0x10FFFF)
            return start + put_character(c, text + start);
        len = start;
    }
    return 0;
}

static bool bound_string(tr_arena *arena, tr_str value, bool is_max, tr_str *out, bool *is_exact)
{
    size_t bad_at;
    *is_exact = value.len <= STRING_BYTES_MAX || !tr_str_is_utf8(value, &bad_at);
    if (!*is_exact) {
        uint8_t text[STRING_BYTES_MAX + 4];
        size_t len = cut_length(value);
        memcpy(text, value.at, len);
        if (is_max)
            len = increase(text, len);
        if (len > 0) {
            *out = tr_arena_copy(arena, (tr_str){text, len});
            return out->at != NULL;
        }
        *is_exact = true; /* no character is larger: the whole value must do */
    }
    *out = tr_arena_copy(arena, value);
    return out->at != NULL;
}

static bool bound_word(tr_arena *arena, tr_kind kind, uint64_t word, bool is_max, tr_str *out)
{
    if (kind == TR_KIND_DOUBLE && (word & ~SIGN) == 0)
        word = is_max ? 0 : SIGN; /* 0 equals -0, so either may stand for the other */
    const size_t bytes = kind == TR_KIND_BOOLEAN ? 1 : tr_plain_bytes(kind);
    *out = tr_arena_copy(arena, (tr_str){(const uint8_t *)&word, bytes});
    return out->at != NULL;
}

static bool bound(tr_arena *arena, tr_kind kind, const tr_values *values, uint32_t code,
                  bool is_max, tr_str *out, bool *is_exact)
{
    *is_exact = true;
    if (values->storage == TR_STORAGE_STRING)
        return bound_string(arena, values->strings[code - 1], is_max, out, is_exact);
    if (values->storage == TR_STORAGE_WORD)
        return bound_word(arena, kind, values->words[code - 1], is_max, out);
    *out = tr_arena_copy(arena, (tr_str){values->keys[code - 1], 16});
    return out->at != NULL;
}

tr_code tr_bounds_make(tr_arena *arena, tr_kind kind, const tr_values *values, const tr_extremes *x,
                       tr_bounds *out, tr_err *err)
{
    tr_bounds bounds = {0};
    if (x->min_code != 0 &&
        (!bound(arena, kind, values, x->min_code, false, &bounds.min, &bounds.min_is_exact) ||
         !bound(arena, kind, values, x->max_code, true, &bounds.max, &bounds.max_is_exact)))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for statistics");
    *out = bounds;
    return TR_OK;
}

static uint64_t order_of_bytes(tr_kind kind, tr_str bytes)
{
    uint64_t word = 0;
    memcpy(&word, bytes.at, bytes.len);
    if (kind == TR_KIND_DOUBLE)
        return word & SIGN ? ~word : word | SIGN;
    if (bytes.len == 4)
        word = (uint64_t)(int64_t)(int32_t)(uint32_t)word;
    return word ^ SIGN;
}

int tr_bounds_compare(tr_kind kind, tr_str a, tr_str b)
{
    if (tr_kind_storage(kind) != TR_STORAGE_WORD)
        return tr_str_compare(a, b);
    const uint64_t x = order_of_bytes(kind, a), y = order_of_bytes(kind, b);
    return (x > y) - (x < y);
}

tr_bounds tr_bounds_of_pages(tr_kind kind, const tr_out_page *pages, uint32_t count)
{
    tr_bounds all = {0};
    for (uint32_t i = 0; i < count; i++) {
        const tr_bounds *own = &pages[i].bounds;
        if (own->min.at == NULL)
            continue;
        const int min = all.min.at == NULL ? -1 : tr_bounds_compare(kind, own->min, all.min);
        const int max = all.max.at == NULL ? 1 : tr_bounds_compare(kind, own->max, all.max);
        if (min < 0 || (min == 0 && own->min_is_exact)) {
            all.min = own->min;
            all.min_is_exact = own->min_is_exact;
        }
        if (max > 0 || (max == 0 && own->max_is_exact)) {
            all.max = own->max;
            all.max_is_exact = own->max_is_exact;
        }
    }
    return all;
}
