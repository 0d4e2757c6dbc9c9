/* SPDX-License-Identifier: Apache-2.0 */
/* lex.c - see lex.h. */
#include "pql/lex.h"

#include "base/limits.h"

#include <math.h>
#include <stdlib.h>

typedef struct lexer {
    tr_str text;
    size_t at;
    uint32_t line;
    size_t line_at; /* where the line begins */
    size_t mark; /* a place in the line whose column is known, so that counting goes on from it */
    uint32_t mark_column;
    tr_arena *arena;
    tr_pql_token *tokens;
    uint32_t count, cap;
} lexer;

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static uint8_t peek(const lexer *lex, size_t ahead)
{
    return lex->at + ahead < lex->text.len ? lex->text.at[lex->at + ahead] : 0;
}

/* Columns count characters, not bytes. */
static uint32_t column_of(const lexer *lex, size_t at)
{
    const bool is_behind = lex->mark >= lex->line_at && at >= lex->mark;
    uint32_t column = is_behind ? lex->mark_column : 1;
    for (size_t i = is_behind ? lex->mark : lex->line_at; i < at; i++)
        column += (lex->text.at[i] & 0xC0) != 0x80;
    return column;
}

static tr_code add(lexer *lex, tr_pql_token token, size_t from, tr_err *err)
{
    if (lex->count == lex->cap) {
        const uint32_t cap = lex->cap == 0 ? 64 : lex->cap * 2;
        tr_pql_token *tokens = tr_arena_array(lex->arena, cap, sizeof *tokens);
        if (tokens == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u tokens", cap);
        if (lex->count > 0)
            memcpy(tokens, lex->tokens, lex->count * sizeof *tokens);
        lex->tokens = tokens;
        lex->cap = cap;
    }
    token.line = lex->line;
    token.column = column_of(lex, from);
    lex->mark = from;
    lex->mark_column = token.column;
    token.source = (tr_str){.at = lex->text.at + from, .len = lex->at - from};
    lex->tokens[lex->count++] = token;
    return TR_OK;
}

static tr_code refuse(const lexer *lex, size_t at, const char *what, tr_err *err)
{
    return TR_FAIL(err, TR_INVALID, "line %u, column %u: %s", lex->line, column_of(lex, at), what);
}

static void skip_space(lexer *lex)
{
    for (; lex->at < lex->text.len; lex->at++) {
        const uint8_t c = lex->text.at[lex->at];
        if (c == '\n') {
            lex->line++;
            lex->line_at = lex->at + 1;
        } else if (c != ' ' && c != '\t' && c != '\r') {
            return;
        }
    }
}

static int hex_digit(uint8_t c)
{
    return is_digit(c)              ? c - '0'
           : (c >= 'a' && c <= 'f') ? c - 'a' + 10
           : (c >= 'A' && c <= 'F') ? c - 'A' + 10
                                    : -1;
}

/* The four digits behind \u, or -1. */
static int32_t hex4(const lexer *lex, size_t at)
{
    int32_t value = 0;
    if (at + 4 > lex->text.len)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        const int digit = hex_digit(lex->text.at[at + i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

static size_t put_utf8(uint8_t *to, uint32_t c)
{
    if (c < 0x80) {
        to[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (uint8_t)(0xC0 | c >> 6);
        to[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (uint8_t)(0xE0 | c >> 12);
        to[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        to[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    to[0] = (uint8_t)(0xF0 | c >> 18);
    to[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    to[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    to[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* \uXXXX, or two of them for a character beyond the first 65,536; lex->at is at the 'u'. */
static tr_code unescape_unicode(lexer *lex, uint8_t *to, size_t *len, tr_err *err)
{
    int32_t c = hex4(lex, lex->at + 1);
    if (c < 0)
        return refuse(lex, lex->at - 1, "\\u needs four hexadecimal digits", err);
    lex->at += 5;
    if (c >= 0xD800 && c < 0xE000) {
        const int32_t low =
            peek(lex, 0) == '\\' && peek(lex, 1) == 'u' ? hex4(lex, lex->at + 2) : -1;
        if (c >= 0xDC00 || low < 0xDC00 || low > 0xDFFF)
            return refuse(lex, lex->at - 6, "half of a surrogate pair", err);
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
        lex->at += 6;
    }
    *len += put_utf8(to + *len, (uint32_t)c);
    return TR_OK;
}

static tr_code unescape(lexer *lex, uint8_t *to, size_t *len, tr_err *err)
{
    static const char from[] = "\"\\/bfnrt", as[] = "\"\\/\b\f\n\r\t";
    const uint8_t c = peek(lex, 0);
    const char *known = c == 0 ? NULL : strchr(from, c);
    if (c == 'u')
        return unescape_unicode(lex, to, len, err);
    if (known != NULL) {
        to[(*len)++] = (uint8_t)as[known - from];
        lex->at++;
        return TR_OK;
    }
    to[(*len)++] =
        '\\'; /* an unknown escape keeps its backslash: "\w" is for a regular expression */
    return TR_OK;
}

static tr_code lex_string(lexer *lex, tr_err *err)
{
    const size_t from = lex->at++;
    size_t len = 0;
    const uint8_t *end = lex->text.at + lex->text.len;
    const uint8_t *quote = lex->text.at + lex->at;
    for (; quote < end && *quote != '"'; quote++)
        quote += *quote == '\\' && quote + 1 < end;
    if (quote >= end)
        return refuse(lex, from, "this string does not end: expected '\"'", err);
    uint8_t *to = tr_arena_alloc(lex->arena, (size_t)(quote - lex->text.at) - from + 1);
    if (to == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a string");
    while (lex->at < lex->text.len && peek(lex, 0) != '"') {
        const uint8_t c = lex->text.at[lex->at++];
        if (c < 0x20)
            return refuse(lex, lex->at - 1,
                          "a control character in a string: write it as an escape", err);
        if (c == '\\')
            TR_TRY(unescape(lex, to, &len, err));
        else
            to[len++] = c;
    }
    lex->at++;
    return add(lex, (tr_pql_token){.kind = TR_PQL_TOKEN_STRING, .text = {to, len}}, from, err);
}

static tr_code lex_quoted(lexer *lex, tr_err *err)
{
    const size_t from = lex->at++;
    while (lex->at < lex->text.len && peek(lex, 0) != '`' && (uint8_t)peek(lex, 0) >= 0x20)
        lex->at++;
    if (peek(lex, 0) != '`')
        return refuse(lex, from, "this name does not end: expected '`'", err);
    const tr_str name = {lex->text.at + from + 1, lex->at - from - 1};
    if (name.len == 0)
        return refuse(lex, from, "an empty name", err);
    lex->at++;
    return add(lex, (tr_pql_token){.kind = TR_PQL_TOKEN_QUOTED, .text = name}, from, err);
}

static void skip_digits(lexer *lex)
{
    while (is_digit(peek(lex, 0)))
        lex->at++;
}

/* The fraction and exponent behind lex->at; false: there is none. */
static bool skip_fraction(lexer *lex)
{
    const size_t before = lex->at;
    if (peek(lex, 0) == '.' && is_digit(peek(lex, 1))) {
        lex->at++;
        skip_digits(lex);
    }
    if (peek(lex, 0) == 'e' || peek(lex, 0) == 'E') {
        const size_t sign = peek(lex, 1) == '+' || peek(lex, 1) == '-';
        if (is_digit(peek(lex, 1 + sign))) {
            lex->at += 1 + sign;
            skip_digits(lex);
        }
    }
    return lex->at > before;
}

static tr_code lex_number(lexer *lex, tr_err *err)
{
    const size_t from = lex->at;
    tr_pql_token token = {.kind = TR_PQL_TOKEN_INTEGER};
    skip_digits(lex);
    const bool is_number = skip_fraction(lex);
    const tr_str digits = {lex->text.at + from, lex->at - from};
    if (is_number) {
        char *text = tr_arena_text(lex->arena, digits);
        if (text == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for a number");
        token.kind = TR_PQL_TOKEN_NUMBER;
        token.number = strtod(text, NULL);
        if (!isfinite(token.number))
            return refuse(lex, from, "this number is too large", err);
    } else if (!tr_str_to_i64(digits, &token.integer)) {
        return refuse(lex, from, "this integer does not fit into 64 bits", err);
    } else if (peek(lex, 0) == 'L' || peek(lex, 0) == 'l') {
        lex->at++;
    }
    if (is_letter(peek(lex, 0)))
        return refuse(lex, lex->at, "a number runs into a name: expected a space or an operator",
                      err);
    return add(lex, token, from, err);
}

static tr_code lex_parameter(lexer *lex, tr_err *err)
{
    const size_t from = lex->at++;
    tr_pql_token token = {.kind = TR_PQL_TOKEN_PARAMETER};
    skip_digits(lex);
    const tr_str digits = {lex->text.at + from + 1, lex->at - from - 1};
    if (!tr_str_to_i64(digits, &token.integer) || token.integer < 1)
        return refuse(lex, from, "expected a parameter such as $1", err);
    return add(lex, token, from, err);
}

static tr_code lex_symbol(lexer *lex, tr_err *err)
{
    static const char singles[] = "=<>+-*/%!()[]{},:.^";
    const size_t from = lex->at;
    const uint8_t c = peek(lex, 0), next = peek(lex, 1);
    if ((c == '=' && next == '=') || (c == '<' && next == '>') || (c == '&' && next == '&') ||
        (c == '|' && next == '|'))
        return refuse(lex, from,
                      c == '='   ? "found \"==\": PQL compares with \"=\""
                      : c == '<' ? "found \"<>\": PQL writes \"!=\""
                      : c == '&' ? "found \"&&\": PQL writes \"and\""
                                 : "found \"||\": PQL writes \"or\"",
                      err);
    if (c == '\'')
        return refuse(lex, from, "found a single quote: strings stand in double quotes", err);
    if (c == 0xE2 && next == 0x80 && peek(lex, 2) >= 0x98 && peek(lex, 2) <= 0x9F)
        return refuse(lex, from, "found a typographic quote: strings stand in plain double quotes",
                      err);
    if (c == 0 || strchr(singles, c) == NULL)
        return TR_FAIL(err, TR_INVALID,
                       "line %u, column %u: the character \"%.*s\" has no meaning here", lex->line,
                       column_of(lex, from),
                       c < 0x20   ? 1
                       : c < 0x80 ? 1
                       : c < 0xE0 ? 2
                       : c < 0xF0 ? 3
                                  : 4,
                       c < 0x20 ? "?" : (const char *)lex->text.at + from);
    const bool is_pair =
        (next == '=' && (c == '<' || c == '>' || c == '!')) || (c == '=' && next == '>');
    lex->at += is_pair ? 2 : 1;
    return add(
        lex,
        (tr_pql_token){.kind = TR_PQL_TOKEN_SYMBOL, .text = {lex->text.at + from, is_pair ? 2 : 1}},
        from, err);
}

static tr_code lex_one(lexer *lex, tr_err *err)
{
    const uint8_t c = peek(lex, 0);
    if (c == '"')
        return lex_string(lex, err);
    if (c == '`')
        return lex_quoted(lex, err);
    if (c == '$')
        return lex_parameter(lex, err);
    if (is_digit(c) || (c == '.' && is_digit(peek(lex, 1))))
        return lex_number(lex, err);
    if (!is_letter(c))
        return lex_symbol(lex, err);
    const size_t from = lex->at;
    while (is_letter(peek(lex, 0)) || is_digit(peek(lex, 0)))
        lex->at++;
    const tr_str word = {lex->text.at + from, lex->at - from};
    return add(lex, (tr_pql_token){.kind = TR_PQL_TOKEN_WORD, .text = word}, from, err);
}

tr_code tr_pql_lex(tr_str text, tr_arena *arena, tr_pql_token **out, uint32_t *count, tr_err *err)
{
    size_t bad_at;
    lexer lex = {.text = text, .line = 1, .mark_column = 1, .arena = arena};
    if (text.len > TR_PQL_TEXT_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "the expression has %zu bytes; at most %d are allowed",
                       text.len, TR_PQL_TEXT_BYTES_MAX);
    if (!tr_str_is_utf8(text, &bad_at))
        return TR_FAIL(err, TR_INVALID, "byte %zu of the expression is not valid UTF-8",
                       bad_at + 1);
    for (skip_space(&lex); lex.at < text.len; skip_space(&lex))
        TR_TRY(lex_one(&lex, err));
    TR_TRY(add(&lex, (tr_pql_token){.kind = TR_PQL_TOKEN_END}, lex.at, err));
    *out = lex.tokens;
    *count = lex.count;
    return TR_OK;
}
