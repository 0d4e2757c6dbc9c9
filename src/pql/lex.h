/* SPDX-License-Identifier: Apache-2.0 */
/* lex.h - PQL text into tokens. Keywords are words here: which words are keywords depends on where
 * they stand, and only the parser knows.
 */
#ifndef TR_PQL_LEX_H
#define TR_PQL_LEX_H

#include "base/memory.h"
#include "base/str.h"

typedef enum tr_pql_token_kind {
    TR_PQL_TOKEN_END,
    TR_PQL_TOKEN_WORD,   /* text is the name */
    TR_PQL_TOKEN_QUOTED, /* `any text`: text is what stands between; never a keyword */
    TR_PQL_TOKEN_STRING, /* text is unescaped */
    TR_PQL_TOKEN_INTEGER,
    TR_PQL_TOKEN_NUMBER,
    TR_PQL_TOKEN_PARAMETER, /* $1: integer */
    TR_PQL_TOKEN_SYMBOL     /* text is the operator or bracket */
} tr_pql_token_kind;

typedef struct tr_pql_token {
    tr_pql_token_kind kind;
    tr_str text;
    tr_str source; /* as it stands in the text */
    int64_t integer;
    double number;
    uint32_t line, column; /* 1-based; columns count characters */
} tr_pql_token;

/* Cuts the text into tokens; the last is END.
 * arena       holds tokens and unescaped strings; names point into the text
 * TR_INVALID  a character or string that is not PQL: line, column and what was expected
 * TR_LIMIT    longer than TR_PQL_TEXT_BYTES_MAX */
TR_MUST_CHECK tr_code tr_pql_lex(tr_str text, tr_arena *arena, tr_pql_token **out, uint32_t *count,
                                 tr_err *err);

#endif
