/* SPDX-License-Identifier: Apache-2.0 */
/* str.h - a borrowed run of bytes. A tr_str never owns its memory and need not end in NUL. */
#ifndef TR_BASE_STR_H
#define TR_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct tr_str {
    const uint8_t *at;
    size_t len;
} tr_str;

/* The bytes of a NUL-terminated C string; NULL is the empty string. */
static inline tr_str tr_str_of(const char *text)
{
    return (tr_str){(const uint8_t *)text, text == NULL ? 0 : strlen(text)};
}

/* For printf: printf("%.*s", TR_STR_ARG(s)). */
#define TR_STR_ARG(s) (int)(s).len, (const char *)(s).at

/* The bytes of s from byte `from` on. The caller has checked that from <= s.len. */
static inline tr_str tr_str_from(tr_str s, size_t from)
{
    return (tr_str){.at = s.at + from, .len = s.len - from};
}

static inline bool tr_str_equal(tr_str a, tr_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static inline bool tr_str_is(tr_str a, const char *text)
{
    return tr_str_equal(a, tr_str_of(text));
}

/* <0, 0, >0 by unsigned bytes; a prefix sorts before what it is a prefix of. */
static inline int tr_str_compare(tr_str a, tr_str b)
{
    const size_t common = a.len < b.len ? a.len : b.len;
    const int order = common == 0 ? 0 : memcmp(a.at, b.at, common);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Equality with ASCII letters folded: header names, namespace codes. */
bool tr_str_equal_folded(tr_str a, tr_str b);
/* As tr_str_compare, with ASCII letters folded to lower case. */
int tr_str_compare_folded(tr_str a, tr_str b);

/* Reads a whole decimal number (optional '-'); false when s is empty, has any other byte or overflows. */
bool tr_str_to_i64(tr_str s, int64_t *out);

/* True when s is valid UTF-8 (no surrogates, no overlong forms); else *bad_at is the first bad byte. */
bool tr_str_is_utf8(tr_str s, size_t *bad_at);

/* Puts '?' for every byte that is not UTF-8: a text that was cut to a length may end in half a
 * character, which is no JSON. */
void tr_text_mend(char *text);

#endif
