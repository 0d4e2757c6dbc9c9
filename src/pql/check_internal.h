/* SPDX-License-Identifier: Apache-2.0 */
/* check_internal.h - what the files of the checker share.
 *
 *     check.c          names, paths and what binds variables
 *     check_apply.c    functions and operators
 *     check_literal.c  literals made to fit
 */
#ifndef TR_PQL_CHECK_INTERNAL_H
#define TR_PQL_CHECK_INTERNAL_H

#include "base/limits.h"
#include "pql/check.h"

typedef struct tr_pql_binding {
    tr_str name;
    const tr_pql_type *type;
    bool is_label;
    bool is_implicit;      /* an item whose name was made: its bare field name may mean itself */
    bool falls_to_profile; /* WHERE: what the event lacks is looked up on the profile */
} tr_pql_binding;

typedef struct tr_pql_checker {
    const tr_pql_schema *schema;
    const tr_pql_type *profile, *events; /* events: an array */
    tr_arena *arena;
    tr_err *err;
    tr_pql_binding bindings[4 * TR_PQL_DEPTH_MAX];
    uint32_t binding_count;
    bool is_in_when;
    const tr_pql_node *outer; /* the whole path that is being checked, for messages */
    const tr_pql_node *entry; /* the one node that may be mapEntry: the whole body of map */
} tr_pql_checker;

/* "line 1, column 3: <text>"; no place for trees that came as JSON. */
tr_code tr_pql_error(const tr_pql_checker *c, const tr_pql_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));
tr_code tr_pql_no_memory(const tr_pql_checker *c);
/* "found <type>, expected <what>" of a node, for the function that takes it. */
tr_code tr_pql_mismatch(const tr_pql_checker *c, const tr_pql_node *function,
                        const tr_pql_node *operand, const char *expected);

/* Checks a node and everything below it; writes node->type. */
TR_MUST_CHECK tr_code tr_pql_check_node(tr_pql_checker *c, tr_pql_node *node);
/* A lambda whose variables have these types. falls_to_profile: see tr_pql_binding. */
TR_MUST_CHECK tr_code tr_pql_check_lambda(tr_pql_checker *c, tr_pql_node *lambda,
                                          const tr_pql_type *const *types, uint32_t count,
                                          bool falls_to_profile);
TR_MUST_CHECK tr_code tr_pql_check_apply(tr_pql_checker *c, tr_pql_node *node);
/* What follows `occurs`. */
TR_MUST_CHECK tr_code tr_pql_check_time(tr_pql_checker *c, tr_pql_node *node);

/* A literal, or a list of nothing but literals. */
bool tr_pql_is_literal(const tr_pql_node *node);
/* Makes a literal (or the literals of a list) fit `type`, a scalar one; other nodes and open types
 * are left alone. */
TR_MUST_CHECK tr_code tr_pql_fit(const tr_pql_checker *c, tr_pql_node *node,
                                 const tr_pql_type *type);
/* The two operands of a comparison: the right literal is made to fit the left one, or the other way
 * round. */
TR_MUST_CHECK tr_code tr_pql_fit_both(const tr_pql_checker *c, tr_pql_node *left,
                                      tr_pql_node *right);
/* The fewest digits that read back as the same number. */
const char *tr_pql_number_text(double number, char *out, size_t size);

#endif
