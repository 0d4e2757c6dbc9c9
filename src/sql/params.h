/* SPDX-License-Identifier: Apache-2.0 */
/* params.h - the values of $1, $2 ... written into a statement as literals.
 *
 * A value without a type is a plain string literal, which the engine turns into whatever stands
 * beside it, as PostgreSQL does with a parameter of unknown type. One with a type is a literal of
 * that type. Nothing of a value can be anything but a literal: quotes are doubled, NULs refused.
 */
#ifndef TR_SQL_PARAMS_H
#define TR_SQL_PARAMS_H

#include "sql/lex.h"

typedef struct tr_param {
    uint32_t oid; /* 0: not told */
    bool is_null;
    bool is_binary;
    tr_str value;
} tr_param;

/* TR_INVALID  *state says which error it is: a binary value of the wrong length, a type without a
 *             binary form here, a parameter without a value */
TR_MUST_CHECK tr_code tr_params_put(tr_str sql, const tr_param *params, size_t count,
                                    tr_arena *arena, tr_str *out, const char **state, tr_err *err);
/* The same before values are known: they stay $n, in a cast to their type. */
TR_MUST_CHECK tr_code tr_params_put_types(tr_str sql, const uint32_t *oids, size_t count,
                                          tr_arena *arena, tr_str *out, tr_err *err);
/* SQL in place of $1, $2 ...: values of EXECUTE, in a cast where a type was told. */
TR_MUST_CHECK tr_code tr_params_put_sql(tr_str sql, const tr_str *texts, const uint32_t *oids,
                                        size_t count, tr_arena *arena, tr_str *out,
                                        const char **state, tr_err *err);

#endif
