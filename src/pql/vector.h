/* SPDX-License-Identifier: Apache-2.0 */
/* vector.h - the values of one part of an expression for all rows of a domain.
 *
 * A vector looks at a BASE through an optional index, so that picking rows, repeating them and
 * reading a dictionary by code are one thing:
 *
 *     vector  index [ 2 0 1 1 2 ]        rows 0..4
 *     base    [ null | "a" | "b" ]       rows 0..2, here a column's table with null in front
 *
 * What is computed from one base row holds for every row that looks at it: see tr_pql_flatten.
 *
 * A list is a span [start, end) of rows of `items`; a map has `keys` besides. An object of the
 * schema is the number of an instance of its SOURCE (rows of a table, elements of an array in it):
 * nothing of it is copied, its fields are read from the source's columns.
 *
 * Ownership: memory is in the arena of the scope that the vector belongs to. Threads: one.
 */
#ifndef TR_PQL_VECTOR_H
#define TR_PQL_VECTOR_H

#include "pql/times.h"
#include "pql/types.h"

#define TR_PQL_NO_ROW UINT32_MAX

typedef enum tr_pql_vec_kind {
    TR_PQL_VEC_NULL, /* every row is null */
    TR_PQL_VEC_BOOL,
    TR_PQL_VEC_INT,
    TR_PQL_VEC_NUM,
    TR_PQL_VEC_STRING,
    TR_PQL_VEC_TIME, /* milliseconds, in ints */
    TR_PQL_VEC_SPAN,
    TR_PQL_VEC_REF, /* the row is the instance; source->count is null */
    TR_PQL_VEC_LIST,
    TR_PQL_VEC_MAP,
    TR_PQL_VEC_STRUCT
} tr_pql_vec_kind;

enum { TR_PQL_FALSE, TR_PQL_TRUE, TR_PQL_UNKNOWN }; /* bools */
enum {
    TR_PQL_NO_VALUE,
    TR_PQL_VALUE,
    TR_PQL_DOUBLE_VALUE
}; /* valid; the last: an integer that
                                                                became a double by overflow */

/* What an object may be an instance of. */
typedef struct tr_pql_source {
    bool is_event;
    const tr_type *owner; /* the array or map whose elements these are; NULL: the table's rows */
    uint32_t count;
} tr_pql_source;

typedef struct tr_pql_vec tr_pql_vec;
typedef struct tr_pql_base {
    tr_pql_vec_kind kind;
    uint32_t count;
    uint32_t null_row; /* a row that is null, or NO_ROW: none is known */
    bool is_distinct;  /* STRING: different rows have different values */
    union {
        void *values;
        uint8_t *bools;
        int64_t *ints;
        double *numbers;
        tr_str *strings; /* .at NULL: null */
        tr_pql_span *spans;
        uint32_t *start; /* NO_ROW: null */
    };
    uint32_t *end;
    uint8_t
        *valid; /* INT NUM TIME SPAN; REF of an object that may be absent, STRUCT: NULL is all */
    const tr_pql_vec *items;         /* LIST MAP */
    const tr_pql_vec *keys;          /* MAP */
    const tr_pql_vec *const *fields; /* STRUCT, in the order of its node */
    const tr_pql_node *node;         /* STRUCT */
    const tr_pql_source *source;     /* REF */
    const tr_type *object;           /* REF */
} tr_pql_base;

struct tr_pql_vec {
    const tr_pql_base *base;
    const uint32_t *index; /* NULL: row i is base row i */
    uint32_t count;
    bool is_constant; /* every row is base row 0 */
};

static inline uint32_t tr_pql_at(const tr_pql_vec *v, uint32_t row)
{
    return v->is_constant ? 0 : v->index == NULL ? row : v->index[row];
}

static inline bool tr_pql_base_is_null(const tr_pql_base *b, uint32_t at)
{
    switch (b->kind) {
    case TR_PQL_VEC_NULL: return true;
    case TR_PQL_VEC_BOOL: return b->bools[at] == TR_PQL_UNKNOWN;
    case TR_PQL_VEC_INT:
    case TR_PQL_VEC_NUM:
    case TR_PQL_VEC_TIME:
    case TR_PQL_VEC_SPAN:
    case TR_PQL_VEC_STRUCT: return b->valid != NULL && b->valid[at] == TR_PQL_NO_VALUE;
    case TR_PQL_VEC_STRING: return b->strings[at].at == NULL;
    case TR_PQL_VEC_REF: return at >= b->source->count || (b->valid != NULL && !b->valid[at]);
    case TR_PQL_VEC_LIST:
    case TR_PQL_VEC_MAP: return b->start[at] == TR_PQL_NO_ROW;
    }
    return true;
}

static inline bool tr_pql_is_null_at(const tr_pql_vec *v, uint32_t row)
{
    return tr_pql_base_is_null(v->base, tr_pql_at(v, row));
}

static inline bool tr_pql_is_true(const tr_pql_vec *mask, uint32_t row)
{
    return mask->base->kind == TR_PQL_VEC_BOOL &&
           mask->base->bools[tr_pql_at(mask, row)] == TR_PQL_TRUE;
}

/* The number at a base row that is not null, of INT or NUM. */
static inline double tr_pql_number_at(const tr_pql_base *b, uint32_t at)
{
    double number;
    if (b->kind == TR_PQL_VEC_NUM)
        return b->numbers[at];
    if (b->valid == NULL || b->valid[at] == TR_PQL_VALUE)
        return (double)b->ints[at];
    memcpy(&number, &b->ints[at], sizeof number);
    return number;
}

static inline bool tr_pql_is_integer_at(const tr_pql_base *b, uint32_t at)
{
    return b->kind == TR_PQL_VEC_INT && (b->valid == NULL || b->valid[at] == TR_PQL_VALUE);
}

/* A TIME is a span of one instant. */
static inline tr_pql_span tr_pql_span_at(const tr_pql_base *b, uint32_t at)
{
    if (b->kind == TR_PQL_VEC_SPAN)
        return b->spans[at];
    return (tr_pql_span){b->ints[at], b->ints[at]};
}

/* A vector over a base, row by row. NULL: no memory. */
tr_pql_vec *tr_pql_vec_make(tr_arena *arena, const tr_pql_base *base);
/* A base with room for `count` values of its kind; LIST and MAP: start and end. */
TR_MUST_CHECK tr_code tr_pql_base_make(tr_arena *arena, tr_pql_vec_kind kind, uint32_t count,
                                       tr_pql_base **out, tr_err *err);
tr_pql_vec_kind tr_pql_kind_of(const tr_pql_type *type);
/* `count` rows that are all null. */
TR_MUST_CHECK tr_code tr_pql_vec_null(tr_arena *arena, uint32_t count, tr_pql_vec **out,
                                      tr_err *err);

/* Rows rows[0..count) of v; NO_ROW picks null. rows NULL: v itself. */
TR_MUST_CHECK tr_code tr_pql_pick(tr_arena *arena, const tr_pql_vec *v, const uint32_t *rows,
                                  uint32_t count, const tr_pql_vec **out, tr_err *err);

/* When every vector that is not constant looks through one index at bases no larger than itself:
 * the same vectors without index, their rows, and the index to put on what comes of them. Otherwise
 * the vectors as they are, and NULL. */
typedef struct tr_pql_flat {
    const uint32_t *index;
    uint32_t count;
} tr_pql_flat;
TR_MUST_CHECK tr_code tr_pql_flatten(tr_arena *arena, const tr_pql_vec **args, uint32_t arg_count,
                                     uint32_t count, tr_pql_flat *out, tr_err *err);

/* Vectors of one type end to end; *offsets[i] is the first row of part i. */
TR_MUST_CHECK tr_code tr_pql_join(tr_arena *arena, const tr_pql_vec *const *parts,
                                  uint32_t part_count, uint32_t *offsets, const tr_pql_vec **out,
                                  tr_err *err);

/* Writes a mask of 0 and 1, a byte per row. */
void tr_pql_to_mask(const tr_pql_vec *v, uint32_t count, uint8_t *out);
/* mask and v (is_and), or mask or v, into the mask. */
void tr_pql_join_mask(const tr_pql_vec *v, uint32_t count, bool is_and, uint8_t *mask);

#endif
