/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - the type checker: every field must exist, every operand fit (reference: PQL, 14).
 *
 * Writes into the tree's nodes: their types; literals as their place wants them ("94040" where a
 * string is compared with 94040, milliseconds where a text stands for an instant); compiled regular
 * expressions; which bare names mean a scalar item, and which names of a WHERE mean the profile.
 * A tree that was checked prints and writes as before.
 *
 * Without a schema everything unknown is `any`, which passes every rule.
 *
 * Threads: none of its own. Ownership: types are in the arena; the schema is borrowed as long as
 * the tree is used.
 */
#ifndef TR_PQL_CHECK_H
#define TR_PQL_CHECK_H

#include "pql/types.h"

typedef struct tr_pql_schema {
    const tr_type *profile; /* an object; NULL: unknown */
    const tr_type *event;   /* an object, of xEvent; NULL: the element of the profile's array
                               timeSeriesEvents, or unknown when that is not there */
    bool (*knows_segment)(void *ctx, tr_str id); /* NULL: every id is known */
    void *ctx;
} tr_pql_schema;

/* TR_INVALID  the first error: "line 1, column 1: unknown field "homeAdress.city", expected ..." */
TR_MUST_CHECK tr_code tr_pql_check(tr_pql_node *root, const tr_pql_schema *schema, tr_arena *arena,
                                   tr_err *err);

#endif
