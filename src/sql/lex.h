/* SPDX-License-Identifier: Apache-2.0 */
/* lex.h - SQL text into tokens, just enough to find the ends of statements, names and parameters.
 *
 * Spaces and comments belong to no token; everything else is copied as it stands when a statement
 * is written again. Text that does not close (a string, a comment) is one token to the end: the
 * engine then says what is wrong with it.
 */
#ifndef TR_SQL_LEX_H
#define TR_SQL_LEX_H

#include "base/memory.h"

typedef enum tr_token_kind {
    TR_TOKEN_WORD,   /* a name or a keyword, not quoted */
    TR_TOKEN_QUOTED, /* "name" or `name` */
    TR_TOKEN_STRING, /* 'text', E'text', $tag$text$tag$ */
    TR_TOKEN_NUMBER,
    TR_TOKEN_PARAM,  /* $1 */
    TR_TOKEN_OTHER   /* one operator or mark */
} tr_token_kind;

typedef struct tr_token {
    tr_token_kind kind;
    tr_str text; /* borrowed from the statement */
} tr_token;

typedef struct tr_tokens {
    tr_token *at; /* arena */
    size_t count;
} tr_tokens;

TR_MUST_CHECK tr_code tr_lex(tr_str sql, tr_arena *arena, tr_tokens *out, tr_err *err);
/* In any case; false past the end. */
bool tr_token_is(const tr_tokens *tokens, size_t i, const char *text);
/* A word or a quoted name; false past the end. */
bool tr_token_is_name(const tr_tokens *tokens, size_t i);
/* The name of a word or quoted token, without quotes. */
tr_str tr_token_name(const tr_token *token, tr_arena *arena);
/* The first statement of a script (without its ';') and where the next one begins. */
tr_str tr_lex_first(tr_str script, size_t *next);

#endif
