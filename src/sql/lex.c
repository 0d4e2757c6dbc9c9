/* SPDX-License-Identifier: Apache-2.0 */
/* lex.c - see lex.h. */
#include "sql/lex.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_name_part(uint8_t c)
{
    return is_name_start(c) || is_digit(c) || c == '$';
}

/* Bytes up to and with the closing quote; a doubled one does not close. */
static size_t quoted_len(tr_str s, size_t from, uint8_t quote, bool has_backslashes)
{
    size_t i = from;
    while (i < s.len) {
        if (has_backslashes && s.at[i] == '\\' && i + 1 < s.len)
            i += 2;
        else if (s.at[i] != quote)
            i++;
        else if (i + 1 < s.len && s.at[i + 1] == quote)
            i += 2;
        else
            return i + 1;
    }
    return s.len;
}

/* Comments nest, as PostgreSQL's do. */
static size_t comment_len(tr_str s)
{
    size_t i = 2;
    if (s.at[0] == '-') {
        while (i < s.len && s.at[i] != '\n')
            i++;
        return i;
    }
    for (unsigned depth = 1; i < s.len && depth > 0;) {
        const bool has_two = i + 1 < s.len;
        if (has_two && s.at[i] == '/' && s.at[i + 1] == '*') {
            depth++;
            i += 2;
        } else if (has_two && s.at[i] == '*' && s.at[i + 1] == '/') {
            depth--;
            i += 2;
        } else {
            i++;
        }
    }
    return i;
}

/* $tag$ ... $tag$; 0: it is none. */
static size_t dollar_len(tr_str s)
{
    size_t tag = 1;
    while (tag < s.len && is_name_part(s.at[tag]) && s.at[tag] != '$')
        tag++;
    if (tag >= s.len || s.at[tag] != '$' || (tag > 1 && is_digit(s.at[1])))
        return 0;
    tag++;
    const uint8_t *end = memmem(s.at + tag, s.len - tag, s.at, tag);
    return end == NULL ? s.len : (size_t)(end - s.at) + tag;
}

static size_t number_len(tr_str s)
{
    size_t i = 0;
    while (i < s.len && (is_name_part(s.at[i]) || s.at[i] == '.' ||
                         ((s.at[i] == '+' || s.at[i] == '-') && (s.at[i - 1] | 0x20) == 'e')))
        i++;
    return i;
}

/* Bytes that belong to no token. */
static size_t blank_len(tr_str s)
{
    size_t i = 0;
    while (i < s.len) {
        const bool has_two = i + 1 < s.len;
        if (s.at[i] == ' ' || (s.at[i] >= '\t' && s.at[i] <= '\r'))
            i++;
        else if (has_two && ((s.at[i] == '-' && s.at[i + 1] == '-') ||
                             (s.at[i] == '/' && s.at[i + 1] == '*')))
            i += comment_len(tr_str_from(s, i));
        else
            break;
    }
    return i;
}

/* s begins with a token. */
static tr_token first_token(tr_str s)
{
    const uint8_t c = s.at[0];
    size_t len = 1;
    tr_token_kind kind = TR_TOKEN_OTHER;
    if (c == '\'') {
        kind = TR_TOKEN_STRING;
        len = quoted_len(s, 1, '\'', false);
    } else if ((c == 'E' || c == 'e') && s.len > 1 && s.at[1] == '\'') {
        kind = TR_TOKEN_STRING;
        len = quoted_len(s, 2, '\'', true);
    } else if (c == '"' || c == '`') {
        kind = TR_TOKEN_QUOTED;
        len = quoted_len(s, 1, c, false);
    } else if (is_name_start(c)) {
        kind = TR_TOKEN_WORD;
        while (len < s.len && is_name_part(s.at[len]))
            len++;
    } else if (is_digit(c)) {
        kind = TR_TOKEN_NUMBER;
        len = number_len(s);
    } else if (c == '$' && s.len > 1 && is_digit(s.at[1])) {
        kind = TR_TOKEN_PARAM;
        while (len < s.len && is_digit(s.at[len]))
            len++;
    } else if (c == '$' && dollar_len(s) > 0) {
        kind = TR_TOKEN_STRING;
        len = dollar_len(s);
    } else if (c == ':' && s.len > 1 && s.at[1] == ':') {
        len = 2;
    } else if ((c == '!' || c == '=') && s.len > 1 && (s.at[1] == '=' || s.at[1] == '~')) {
        len = 2;
    }
    return (tr_token){kind, {s.at, len}};
}

tr_code tr_lex(tr_str sql, tr_arena *arena, tr_tokens *out, tr_err *err)
{
    tr_tokens tokens = {0};
    size_t cap = 0;
    for (size_t i = blank_len(sql); i < sql.len; i += blank_len(tr_str_from(sql, i))) {
        if (tokens.count == cap) {
            cap = cap == 0 ? 64 : cap * 2;
            tr_token *grown = tr_arena_array(arena, cap, sizeof *grown);
            if (grown == NULL)
                return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
            if (tokens.count > 0)
                memcpy(grown, tokens.at, tokens.count * sizeof *grown);
            tokens.at = grown;
        }
        tokens.at[tokens.count] = first_token(tr_str_from(sql, i));
        i += tokens.at[tokens.count++].text.len;
    }
    *out = tokens;
    return TR_OK;
}

bool tr_token_is(const tr_tokens *tokens, size_t i, const char *text)
{
    return i < tokens->count && tr_str_equal_folded(tokens->at[i].text, tr_str_of(text));
}

bool tr_token_is_name(const tr_tokens *tokens, size_t i)
{
    return i < tokens->count &&
           (tokens->at[i].kind == TR_TOKEN_WORD || tokens->at[i].kind == TR_TOKEN_QUOTED);
}

tr_str tr_token_name(const tr_token *token, tr_arena *arena)
{
    if (token->kind != TR_TOKEN_QUOTED || token->text.len < 2)
        return token->text;
    const uint8_t quote = token->text.at[0];
    uint8_t *to = tr_arena_alloc(arena, token->text.len);
    size_t len = 0;
    for (size_t i = 1; to != NULL && i + 1 < token->text.len; i++) {
        to[len++] = token->text.at[i];
        if (token->text.at[i] == quote)
            i++;
    }
    return (tr_str){to, to == NULL ? 0 : len};
}

tr_str tr_lex_first(tr_str script, size_t *next)
{
    size_t i = blank_len(script);
    while (i < script.len && script.at[i] != ';') {
        i += first_token(tr_str_from(script, i)).text.len;
        i += blank_len(tr_str_from(script, i));
    }
    *next = i < script.len ? i + 1 : i;
    return (tr_str){script.at, i};
}
