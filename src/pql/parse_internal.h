/* SPDX-License-Identifier: Apache-2.0 */
/* parse_internal.h - what the files of the parser share: the cursor, scopes, makers of nodes.
 *
 * SCOPES, innermost last: a variable with a name (lambda, select, quantifier, let, chain label), or
 * an ITEM: the thing whose fields bare names mean. `select` and quantifiers bind variables, but
 * open no item; filters, per-item arguments and WHAT do. ^ counts items outwards; beyond the last
 * is the profile.
 */
#ifndef TR_PQL_PARSE_INTERNAL_H
#define TR_PQL_PARSE_INTERNAL_H

#include "base/limits.h"
#include "pql/lex.h"
#include "pql/node.h"

typedef struct tr_pql_scope {
    tr_str name;     /* of the variable */
    bool is_item;    /* bare names are its fields */
    bool is_visible; /* its own name can be written */
    bool is_label;   /* of a chain's element: visible inside WHEN */
} tr_pql_scope;

typedef struct tr_pql_parser {
    const tr_pql_token *tokens;
    uint32_t at, count;
    tr_arena *arena;
    tr_err *err;
    tr_pql_scope scopes[4 * TR_PQL_DEPTH_MAX];
    uint32_t scope_count;
    uint32_t depth, node_count;
    uint32_t made; /* names x1, x2, ... so far */
    bool is_in_when;
} tr_pql_parser;

/* ---- the cursor */
const tr_pql_token *tr_pql_peek(const tr_pql_parser *p, uint32_t ahead);
bool tr_pql_is_symbol(const tr_pql_parser *p, uint32_t ahead, const char *symbol);
/* A bare word, in any case. */
bool tr_pql_is_word(const tr_pql_parser *p, uint32_t ahead, const char *word);
/* A name: a word or a quoted one. */
bool tr_pql_is_name(const tr_pql_parser *p, uint32_t ahead);
bool tr_pql_take_symbol(tr_pql_parser *p, const char *symbol);
bool tr_pql_take_word(tr_pql_parser *p, const char *word);
TR_MUST_CHECK tr_code tr_pql_expect(tr_pql_parser *p, const char *symbol);
TR_MUST_CHECK tr_code tr_pql_expect_word(tr_pql_parser *p, const char *word);
/* Fails at the token here: "line 1, column 3: found ..., expected <what>". */
tr_code tr_pql_refuse(const tr_pql_parser *p, const char *expected);

/* ---- nodes; they take the place of the token given */
TR_MUST_CHECK tr_code tr_pql_make(tr_pql_parser *p, tr_pql_kind kind, const tr_pql_token *where,
                                  uint32_t count, tr_pql_node **out);
TR_MUST_CHECK tr_code tr_pql_make_apply(tr_pql_parser *p, tr_pql_fn fn, const tr_pql_token *where,
                                        uint32_t count, tr_pql_node **out);
/* A node with room for one item more; the same node when it has it. */
TR_MUST_CHECK tr_code tr_pql_add_item(tr_pql_parser *p, tr_pql_node *node, tr_pql_node *item);

/* ---- scopes */
TR_MUST_CHECK tr_code tr_pql_push(tr_pql_parser *p, tr_pql_scope scope);
/* Opens an item with a made name. */
TR_MUST_CHECK tr_code tr_pql_push_item(tr_pql_parser *p, tr_str *name);

/* ---- the grammar */
TR_MUST_CHECK tr_code tr_pql_parse_expr(tr_pql_parser *p, tr_pql_node **out);
TR_MUST_CHECK tr_code tr_pql_parse_add(tr_pql_parser *p, tr_pql_node **out);
TR_MUST_CHECK tr_code tr_pql_parse_primary(tr_pql_parser *p, tr_pql_node **out);
/* What follows `occurs` or stands in WHEN. */
TR_MUST_CHECK tr_code tr_pql_parse_time(tr_pql_parser *p, tr_pql_node **out);
bool tr_pql_is_lambda(const tr_pql_parser *p);
/* (a, b) => body; opens_item: bare names in the body are fields of the one variable. */
TR_MUST_CHECK tr_code tr_pql_parse_lambda(tr_pql_parser *p, bool opens_item, tr_pql_node **out);
/* An expression per item: a lambda, or a bare one. */
TR_MUST_CHECK tr_code tr_pql_parse_item(tr_pql_parser *p, tr_pql_node **out);
/* select, quantifiers, prefix aggregates, chain. *is_one: false when the tokens here begin none of
 * these. */
TR_MUST_CHECK tr_code tr_pql_parse_binding(tr_pql_parser *p, bool *is_one, tr_pql_node **out);

#endif
