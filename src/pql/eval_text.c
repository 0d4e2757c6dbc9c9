/* SPDX-License-Identifier: Apache-2.0 */
/* eval_text.c - strings: prefixes, patterns, regular expressions; see eval_internal.h.
 *
 * Case is ignored by Unicode's simple folding, code point by code point, as towlower does it in the
 * C.UTF-8 locale: no language's own rules.
 */
#include "pql/eval_internal.h"

#include <locale.h>
#include <wctype.h>

enum { AHEAD = 16 }; /* strings: so far ahead is the memory asked for that they stand in */

/* The code point at s.at[*at]; what is no UTF-8 counts as single bytes. */
static uint32_t next_point(tr_str s, size_t *at)
{
    static const uint8_t lengths[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 3, 4};
    const uint8_t first = s.at[*at];
    const size_t len = lengths[first >> 4];
    uint32_t point = first;
    if (len > 1 && *at + len <= s.len) {
        point = first & (0xFFU >> (len + 1));
        for (size_t i = 1; i < len; i++)
            point = point << 6 | (s.at[*at + i] & 0x3FU);
        *at += len;
        return point;
    }
    *at += 1;
    return point;
}

static uint32_t fold(uint32_t point, locale_t locale)
{
    if (point < 0x80)
        return point >= 'A' && point <= 'Z' ? point + 32 : point;
    return (uint32_t)towlower_l((wint_t)towupper_l((wint_t)point, locale), locale);
}

/* True when s has p at s.at[at]; *end is one past it. */
static bool has_at(tr_str s, size_t at, tr_str p, bool is_exact, locale_t locale, size_t *end)
{
    size_t in_p = 0;
    if (is_exact) {
        *end = at + p.len;
        return s.len - at >= p.len && (p.len == 0 || memcmp(s.at + at, p.at, p.len) == 0);
    }
    while (in_p < p.len) {
        if (at >= s.len)
            return false;
        if (fold(next_point(s, &at), locale) != fold(next_point(p, &in_p), locale))
            return false;
    }
    *end = at;
    return true;
}

static bool contains(tr_str s, tr_str p, bool is_exact, locale_t locale)
{
    size_t end;
    if (is_exact)
        return p.len == 0 || memmem(s.at, s.len, p.at, p.len) != NULL;
    for (size_t at = 0; at <= s.len; at++)
        if ((at == s.len || (s.at[at] & 0xC0) != 0x80) && has_at(s, at, p, false, locale, &end))
            return true;
    return false;
}

static bool ends_with(tr_str s, tr_str p, bool is_exact, locale_t locale)
{
    size_t end;
    if (is_exact)
        return s.len >= p.len && has_at(s, s.len - p.len, p, true, locale, &end);
    for (size_t at = 0; at <= s.len; at++) /* folded lengths may differ */
        if ((at == s.len || (s.at[at] & 0xC0) != 0x80) && has_at(s, at, p, false, locale, &end) &&
            end == s.len)
            return true;
    return false;
}

/* % is any run, _ one character. Goes back to the last % only: enough for whole-string patterns. */
static bool is_like(tr_str s, tr_str p)
{
    size_t at = 0, in_p = 0, back_p = SIZE_MAX, back = 0;
    while (at < s.len) {
        if (in_p < p.len && p.at[in_p] == '%') {
            back_p = ++in_p;
            back = at;
        } else if (in_p < p.len && p.at[in_p] == '_') {
            in_p++;
            (void)next_point(s, &at);
        } else if (in_p < p.len && p.at[in_p] == s.at[at]) {
            in_p++;
            at++;
        } else if (back_p != SIZE_MAX) {
            (void)next_point(s, &back);
            in_p = back_p;
            at = back;
        } else {
            return false;
        }
    }
    while (in_p < p.len && p.at[in_p] == '%')
        in_p++;
    return in_p == p.len;
}

static bool is_equal(tr_str s, tr_str p, bool is_exact, locale_t locale)
{
    size_t end;
    return has_at(s, 0, p, is_exact, locale, &end) && end == s.len;
}

static bool test(const tr_pql_op *op, tr_str s, tr_str p, locale_t locale)
{
    size_t end;
    const bool is_exact = op->number != 0;
    switch ((int)op->fn) {
    case TR_PQL_LIKE: return is_like(s, p);
    case TR_PQL_STARTS_WITH: return has_at(s, 0, p, is_exact, locale, &end);
    case TR_PQL_NOT_STARTS_WITH: return !has_at(s, 0, p, is_exact, locale, &end);
    case TR_PQL_ENDS_WITH: return ends_with(s, p, is_exact, locale);
    case TR_PQL_NOT_ENDS_WITH: return !ends_with(s, p, is_exact, locale);
    case TR_PQL_CONTAINS: return contains(s, p, is_exact, locale);
    case TR_PQL_NOT_CONTAINS: return !contains(s, p, is_exact, locale);
    case TR_PQL_EQUALS: return is_equal(s, p, is_exact, locale);
    default: return !is_equal(s, p, is_exact, locale);
    }
}

/* Whether the bytes begin with `p`; eight of them are looked at in one step, and seldom more. */
static inline bool begins_with(const uint8_t *at, tr_str p)
{
    uint64_t have, wanted;
    if (p.len < sizeof have)
        return p.len == 0 || (at[0] == p.at[0] && memcmp(at, p.at, p.len) == 0);
    memcpy(&have, at, sizeof have);
    memcpy(&wanted, p.at, sizeof wanted);
    return have == wanted && memcmp(at, p.at, p.len) == 0;
}

/* Where a constant of so many bytes begins or ends a string that is long enough. */
static inline const uint8_t *edge_of(tr_str s, size_t bytes, bool is_end)
{
    return s.at + (is_end ? s.len - bytes : 0);
}

/* The commonest test: a constant at the beginning or the end of many strings. Memory is what it
 * waits for, so it is asked for ahead. */
static void test_edges(const tr_pql_op *op, const tr_pql_vec *const *args, uint32_t count,
                       uint8_t *out)
{
    const bool is_end = op->fn == TR_PQL_ENDS_WITH || op->fn == TR_PQL_NOT_ENDS_WITH;
    const bool is_wanted = op->fn == TR_PQL_ENDS_WITH || op->fn == TR_PQL_STARTS_WITH;
    const tr_str p = args[1]->base->strings[tr_pql_at(args[1], 0)];
    const tr_str *strings = args[0]->base->strings;
    for (uint32_t i = 0; i < count; i++) {
        const tr_str s = strings[tr_pql_at(args[0], i)];
        if (i + AHEAD < count) {
            const tr_str later = strings[tr_pql_at(args[0], i + AHEAD)];
            __builtin_prefetch(later.at + (is_end && later.len > 0 ? later.len - 1 : 0));
        }
        const bool may_be = s.at != NULL && p.at != NULL && s.len >= p.len;
        const bool is_it = may_be && begins_with(edge_of(s, p.len, is_end), p);
        out[i] = s.at != NULL && p.at != NULL && is_it == is_wanted;
    }
}

/* Constants of one length look at the same bytes of a column's strings: these are laid side by side
 * for the first one. */
static tr_code lay_edges(tr_pql_run *run, const tr_pql_vec *v, tr_pql_edges *made)
{
    const tr_str *strings = v->base->strings;
    made->words = tr_arena_array(&run->arena, made->count, sizeof *made->words);
    made->fits = tr_arena_array(&run->arena, made->count, 1);
    if (made->words == NULL || made->fits == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < made->count; i++) {
        const tr_str s = strings[tr_pql_at(v, i)];
        if (i + AHEAD < made->count) {
            const tr_str later = strings[tr_pql_at(v, i + AHEAD)];
            __builtin_prefetch(later.at + (made->is_end && later.len > 0 ? later.len - 1 : 0));
        }
        made->fits[i] = s.at == NULL ? 0 : s.len < made->bytes ? 1 : 2;
        if (made->fits[i] == 2)
            memcpy(&made->words[i], edge_of(s, made->bytes, made->is_end), sizeof *made->words);
    }
    return TR_OK;
}

/* *out NULL: others have taken the places. */
static tr_code edges_for(tr_pql_run *run, const tr_pql_vec *v, const tr_pql_edges *like,
                         const tr_pql_edges **out)
{
    *out = NULL;
    for (uint32_t i = 0; i < run->edge_count; i++) {
        const tr_pql_edges *old = &run->edges[i];
        if (old->base == like->base && old->index == like->index && old->count == like->count &&
            old->bytes == like->bytes && old->is_end == like->is_end) {
            *out = old;
            return TR_OK;
        }
    }
    if (run->edge_count == TR_PQL_EDGES_MAX)
        return TR_OK;
    tr_pql_edges *made = &run->edges[run->edge_count];
    *made = *like;
    TR_TRY(lay_edges(run, v, made));
    run->edge_count++;
    *out = made;
    return TR_OK;
}

/* Of all strings: eight bytes first, and the whole constant where they are its first. */
static void test_words(const tr_pql_edges *edges, const tr_pql_vec *v, tr_str p, bool is_wanted,
                       uint8_t *out)
{
    const uint32_t count = edges->count;
    const uint64_t *words = edges->words;
    const uint8_t *fits = edges->fits;
    uint64_t wanted;
    memcpy(&wanted, p.at, sizeof wanted);
    for (uint32_t i = 0; i < count; i++)
        out[i] = (uint8_t)((fits[i] == 2) & (words[i] == wanted));
    for (uint8_t *at = out; (at = memchr(at, 1, (size_t)(out + count - at))) != NULL; at++) {
        const tr_str s = v->base->strings[tr_pql_at(v, (uint32_t)(at - out))];
        *at = memcmp(edge_of(s, p.len, edges->is_end), p.at, p.len) == 0;
    }
    for (uint32_t i = 0; i < count && !is_wanted; i++)
        out[i] = (uint8_t)((fits[i] != 0) & (out[i] == 0));
}

static tr_code test_constant(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *const *args,
                             uint32_t count, const tr_arena *arena, uint8_t *out)
{
    const tr_pql_vec *v = args[0];
    const tr_str p = args[1]->base->strings[0];
    const tr_pql_edges like = {.base = v->base,
                               .index = v->index,
                               .count = count,
                               .bytes = p.len,
                               .is_end =
                                   op->fn == TR_PQL_ENDS_WITH || op->fn == TR_PQL_NOT_ENDS_WITH};
    const bool is_wanted = op->fn == TR_PQL_ENDS_WITH || op->fn == TR_PQL_STARTS_WITH;
    const tr_pql_edges *edges = NULL;
    /* What lies in another arena may be gone before the run ends. */
    if (arena == &run->arena && !v->is_constant && p.at != NULL && p.len >= sizeof(uint64_t))
        TR_TRY(edges_for(run, v, &like, &edges));
    if (edges != NULL)
        test_words(edges, v, p, is_wanted, out);
    else
        test_edges(op, args, count, out);
    return TR_OK;
}

static bool are_edges(const tr_pql_op *op, const tr_pql_vec *const *args)
{
    return op->number != 0 && args[1]->is_constant &&
           (op->fn == TR_PQL_STARTS_WITH || op->fn == TR_PQL_NOT_STARTS_WITH ||
            op->fn == TR_PQL_ENDS_WITH || op->fn == TR_PQL_NOT_ENDS_WITH);
}

static bool are_strings(const tr_pql_vec *const *args)
{
    return args[0]->base->kind == TR_PQL_VEC_STRING && args[1]->base->kind == TR_PQL_VEC_STRING;
}

static tr_str string_at(const tr_pql_vec *v, uint32_t row)
{
    return v->base->strings[tr_pql_at(v, row)];
}

/* ---- regular expressions */

/* A pattern that is data: compiled when it changes from row to row. One that is no regular
 * expression matches nothing. */
typedef struct pattern {
    const tr_pql_regex *regex;
    tr_arena memory;
    tr_str text;
} pattern;

static tr_code pattern_at(tr_pql_run *run, const tr_pql_op *op, tr_str text, pattern *p)
{
    tr_pql_regex *regex;
    if (op->regex != NULL) {
        p->regex = op->regex;
        return TR_OK;
    }
    if (p->text.at != NULL && tr_str_equal(p->text, text))
        return TR_OK;
    tr_arena_reset(&p->memory);
    p->regex = NULL;
    p->text = text;
    const tr_code code = tr_pql_regex_make(text, &p->memory, &regex, run->err);
    if (code == TR_OK)
        p->regex = regex;
    return code == TR_INVALID ? TR_OK : code;
}

static tr_code regex_rows(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *const *args,
                          uint32_t count, tr_pql_base *out)
{
    pattern p = {.regex = NULL};
    tr_code code = TR_OK;
    const bool is_test = op->fn == TR_PQL_MATCHES, are = are_strings(args);
    if (op->regex != NULL)
        tr_pql_matcher_use(run->matcher, op->regex);
    for (uint32_t i = 0; i < count && code == TR_OK; i++) {
        tr_str group = {0};
        const tr_str s = are ? string_at(args[0], i) : (tr_str){0};
        const tr_str text = are ? string_at(args[1], i) : (tr_str){0};
        bool is_found = false;
        if (s.at != NULL && text.at != NULL) {
            code = pattern_at(run, op, text, &p);
            is_found = code == TR_OK && p.regex != NULL &&
                       tr_pql_regex_find(p.regex, run->matcher, s, op->number, &group);
        }
        if (is_test)
            out->bools[i] = is_found;
        else
            out->strings[i] = is_found ? group : (tr_str){0};
    }
    tr_arena_free(&p.memory);
    return code;
}

tr_code tr_pql_text(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec *const *args,
                    uint32_t count, tr_arena *arena, tr_pql_base *out)
{
    if (op->kind == TR_PQL_OP_REGEX)
        return regex_rows(run, op, args, count, out);
    if (are_strings(args) && are_edges(op, args))
        return test_constant(run, op, args, count, arena, out->bools);
    const locale_t locale =
        op->number != 0 ? (locale_t)0 : newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (op->number == 0 && locale == (locale_t)0)
        return tr_pql_out_of_memory(run);
    const bool are = are_strings(args);
    for (uint32_t i = 0; i < count; i++) {
        const tr_str s = are ? string_at(args[0], i) : (tr_str){0};
        const tr_str p = are ? string_at(args[1], i) : (tr_str){0};
        out->bools[i] = s.at != NULL && p.at != NULL && test(op, s, p, locale);
    }
    if (locale != (locale_t)0)
        freelocale(locale);
    return TR_OK;
}
