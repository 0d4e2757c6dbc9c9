/* SPDX-License-Identifier: Apache-2.0 */
/* compile_internal.h - what the files of the compiler share.
 *
 *     compile.c        names, fields, literals
 *     compile_apply.c  functions and operators
 *     compile_array.c  whatever runs over items
 *     compile_chain.c  sequences, and times as arguments
 *
 * An OPERAND is a part of an expression on its way into the graph: an operation; a STREAM, which is
 * an array that need not be made (the scope of its items, masks that tell which of them count, and
 * what each item is); or an object literal, field by field.
 */
#ifndef TR_PQL_COMPILE_INTERNAL_H
#define TR_PQL_COMPILE_INTERNAL_H

#include "base/limits.h"
#include "pql/graph.h"

typedef struct tr_pql_masks {
    tr_pql_op *op;
    const struct tr_pql_masks *next;
} tr_pql_masks;

typedef struct tr_pql_operand tr_pql_operand;
struct tr_pql_operand {
    tr_pql_op *op; /* NULL: a stream or a literal object */
    /* stream */
    tr_pql_level *base, *inner;
    const tr_pql_masks *masks;
    const tr_pql_operand *item; /* NULL: tuples, which have no value */
    tr_pql_op *null_with;       /* the array is null where this one is; NULL: never */
    /* literal object */
    const tr_pql_node *node;
    const tr_pql_operand **fields;
};

typedef struct tr_pql_bound {
    tr_str name;
    const tr_pql_operand *operand; /* NULL: a label, or hidden */
    uint32_t label;
} tr_pql_bound;

typedef struct tr_pql_compiler {
    tr_pql_program *program;
    tr_arena *arena; /* the program's */
    tr_err *err;
    tr_pql_bound bound[8 * TR_PQL_DEPTH_MAX];
    uint32_t bound_count;
    bool is_in_when;
} tr_pql_compiler;

tr_code tr_pql_full(const tr_pql_compiler *c); /* no memory */
TR_MUST_CHECK tr_code tr_pql_bind(tr_pql_compiler *c, tr_str name, const tr_pql_operand *operand);

TR_MUST_CHECK tr_code tr_pql_operand_of(tr_pql_compiler *c, const tr_pql_node *node,
                                        const tr_pql_operand **out);
TR_MUST_CHECK tr_code tr_pql_apply(tr_pql_compiler *c, const tr_pql_node *node,
                                   const tr_pql_operand **out);
/* select, quantifiers, chain */
TR_MUST_CHECK tr_code tr_pql_select(tr_pql_compiler *c, const tr_pql_node *node,
                                    const tr_pql_operand **out);
TR_MUST_CHECK tr_code tr_pql_quantify(tr_pql_compiler *c, const tr_pql_node *node,
                                      const tr_pql_operand **out);
/* sum EXPR over several variables; like: what the fold makes */
TR_MUST_CHECK tr_code tr_pql_sum_over(tr_pql_compiler *c, const tr_pql_node *node,
                                      const tr_pql_op *like, const tr_pql_operand **out);
TR_MUST_CHECK tr_code tr_pql_occurs_op(tr_pql_compiler *c, tr_pql_op *x, const tr_pql_node *time,
                                       tr_pql_op **out);
TR_MUST_CHECK tr_code tr_pql_chain(tr_pql_compiler *c, const tr_pql_node *node,
                                   const tr_pql_operand **out);

/* ---- operands */
TR_MUST_CHECK tr_code tr_pql_from_op(tr_pql_compiler *c, tr_pql_op *op, const tr_pql_operand **out);
/* Makes an operation and the operand that it is. */
TR_MUST_CHECK tr_code tr_pql_emit(tr_pql_compiler *c, const tr_pql_op *like,
                                  const tr_pql_operand **out);
/* The operation of an operand: a stream is collected, a literal object is made. */
TR_MUST_CHECK tr_code tr_pql_as_op(tr_pql_compiler *c, const tr_pql_operand *operand,
                                   const tr_pql_type *type, tr_pql_op **out);
TR_MUST_CHECK tr_code tr_pql_op_of(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out);
/* In boolean position. */
TR_MUST_CHECK tr_code tr_pql_truth(tr_pql_compiler *c, const tr_pql_operand *operand,
                                   const tr_pql_type *type, tr_pql_op **out);
TR_MUST_CHECK tr_code tr_pql_truth_of(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out);
TR_MUST_CHECK tr_code tr_pql_all_of(tr_pql_compiler *c, tr_pql_op **masks, uint32_t count,
                                    tr_pql_op **out);
TR_MUST_CHECK tr_code tr_pql_constant(tr_pql_compiler *c, const tr_pql_literal *literal,
                                      const tr_pql_type *type, tr_pql_op **out);
TR_MUST_CHECK tr_code tr_pql_field(tr_pql_compiler *c, const tr_pql_operand *of,
                                   const tr_pql_type *type, tr_str name,
                                   const tr_pql_operand **out);

/* ---- streams */
/* The deepest scope that an operand needs, or a node for the variables bound outside of it. */
tr_pql_level *tr_pql_level_of(const tr_pql_compiler *c, const tr_pql_operand *operand);
tr_pql_level *tr_pql_free_level(tr_pql_compiler *c, const tr_pql_node *node);
/* The items of an array (or map), in a scope where `free` can be read. */
TR_MUST_CHECK tr_code tr_pql_stream(tr_pql_compiler *c, const tr_pql_operand *array,
                                    const tr_pql_type *type, tr_pql_level *free,
                                    tr_pql_operand *out);
/* Each item of the stream is an array: the items of those. */
TR_MUST_CHECK tr_code tr_pql_nest(tr_pql_compiler *c, tr_pql_operand *stream,
                                  const tr_pql_type *type);
TR_MUST_CHECK tr_code tr_pql_add_mask(tr_pql_compiler *c, tr_pql_operand *stream, tr_pql_op *mask);
/* A stream back to its base. values: `fixed` of them, before the masks. */
TR_MUST_CHECK tr_code tr_pql_fold(tr_pql_compiler *c, const tr_pql_operand *stream,
                                  const tr_pql_op *like, tr_pql_op *const *values, uint32_t fixed,
                                  tr_pql_op **out);
TR_MUST_CHECK tr_code tr_pql_any(tr_pql_compiler *c, const tr_pql_operand *stream, tr_pql_op **out);
/* The body of a lambda of one variable, bound to the stream's item. */
TR_MUST_CHECK tr_code tr_pql_body(tr_pql_compiler *c, const tr_pql_operand *item,
                                  const tr_pql_node *lambda, const tr_pql_operand **out);

#endif
