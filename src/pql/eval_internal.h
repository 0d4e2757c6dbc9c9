/* SPDX-License-Identifier: Apache-2.0 */
/* eval_internal.h - what the files of the evaluator share.
 *
 *     eval.c         a run: scopes into domains, operations into vectors, each once
 *     eval_source.c  columns of the partition as vectors over their rows and elements
 *     eval_scalar.c  numbers, booleans, times, one row at a time
 *     eval_range.c   numbers and times compared with a constant
 *     eval_text.c    strings
 *     eval_list.c    arrays and maps as values
 *     eval_take.c    which items a fold looks at
 *     eval_bits.c    what is true of a scope's rows, a bit a row
 *     eval_fold.c    items back to the scope that they came from
 *     eval_group.c   the folds that make arrays and maps
 *     eval_chain.c   sequences, a profile at a time
 *     eval_steps.c   their order alone, all profiles at a time
 *     eval_equal.c   equality of any two values, sets of values
 *
 * DOMAIN. The rows of a scope: each has a parent row and a place in the array's pool. An EPOCH
 * tells whether what was worked out still holds: a product of arrays too large to be held is looked
 * at in chunks, and each chunk is a new epoch of its scope.
 */
#ifndef TR_PQL_EVAL_INTERNAL_H
#define TR_PQL_EVAL_INTERNAL_H

#include "base/limits.h"
#include "pql/graph.h"
#include "pql/vector.h"

typedef struct tr_pql_domain {
    uint32_t count;
    const uint32_t *parent;   /* rows of the parent scope, ascending */
    const uint32_t *position; /* rows of the array's pool; NULL: all of them, in order */
} tr_pql_domain;

typedef struct tr_pql_order tr_pql_order; /* of times in a scope: eval_steps.c */

typedef struct tr_pql_slot {
    const tr_pql_level *level;
    uint64_t epoch;
    const tr_pql_vec *vec;
    /* once somebody asked, and as long as vec: */
    const uint64_t *bits;     /* where it is true */
    const uint32_t *selected; /* the same as rows */
    uint32_t selected_count;
    const tr_pql_order *order; /* of a time */
    struct tr_pql_slot *next;
} tr_pql_slot;

typedef struct tr_pql_ancestry { /* rows of a scope above, per row */
    const tr_pql_level *above;
    uint64_t epoch;
    const uint32_t *rows;
    struct tr_pql_ancestry *next;
} tr_pql_ancestry;

typedef struct tr_pql_level_state {
    uint64_t epoch; /* 0: not made */
    uint64_t parent_epoch;
    tr_pql_domain domain;
    tr_pql_ancestry *ancestries;
    const uint64_t *last; /* rows that are the last of their parent row, once somebody asked */
    tr_arena *own;        /* of a chunk; NULL: memory is where the parent's is */
} tr_pql_level_state;

/* Eight bytes of each string of a vector where a constant of so many bytes begins or ends it. */
typedef struct tr_pql_edges {
    const tr_pql_base *base;
    const uint32_t *index;
    uint32_t count;
    size_t bytes; /* of the constant */
    bool is_end;
    uint64_t *words;
    uint8_t *fits; /* 0: null; 1: too short; 2 */
} tr_pql_edges;
enum { TR_PQL_EDGES_MAX = 8 };

typedef struct tr_pql_columns {
    const tr_column **columns; /* [leaf_count] */
    bool *is_asked;
    const tr_pql_vec **leaves;     /* [leaf_count] values over their source */
    const tr_pql_source **sources; /* [type_count] elements of an array or map; the root: rows */
    const tr_pql_vec **lists;      /* [type_count] an array or map over its source */
    const tr_pql_vec **objects;    /* [type_count] an object over its source */
} tr_pql_columns;

struct tr_pql_run {
    const tr_pql_program *program;
    int64_t now; /* ms */
    const tr_pql_input *input;
    tr_err *err;
    tr_arena arena;
    tr_pql_matcher *matcher;
    uint64_t epoch;
    uint64_t pairs_max;         /* TR_PQL_PAIRS_MAX; tests want less */
    tr_pql_slot **slots;        /* [op_count] */
    tr_pql_level_state *states; /* [level_count] */
    tr_pql_columns tables[TR_PQL_TABLES];
    tr_pql_source *rows[TR_PQL_TABLES];
    tr_pql_edges edges[TR_PQL_EDGES_MAX]; /* of vectors in the run's arena */
    uint32_t edge_count;
    int64_t *times_us; /* [segment_count] */
};

tr_code tr_pql_out_of_memory(const tr_pql_run *run);
tr_arena *tr_pql_arena_of(tr_pql_run *run, const tr_pql_level *level);

/* ---- domains */
/* Makes the scope's domain unless it is there. */
TR_MUST_CHECK tr_code tr_pql_enter(tr_pql_run *run, const tr_pql_level *level);
const tr_pql_domain *tr_pql_domain_of(const tr_pql_run *run, const tr_pql_level *level);
/* Makes a domain of the parent's rows [from, to) alone; in the arena. */
TR_MUST_CHECK tr_code tr_pql_enter_part(tr_pql_run *run, const tr_pql_level *level, uint32_t from,
                                        uint32_t to, tr_arena *arena);
/* The rows of a scope above, per row of the scope; NULL: the same scope. Both are entered. */
TR_MUST_CHECK tr_code tr_pql_rows_above(tr_pql_run *run, const tr_pql_level *level,
                                        const tr_pql_level *above, const uint32_t **out);

/* Operations that say of each row by itself what they are, given what their arguments are there. */
/* clang-format off */
#define TR_PQL_CASES_BY_ROWS                                                                     \
    case TR_PQL_OP_ARITH: case TR_PQL_OP_COMPARE: case TR_PQL_OP_TEXT: case TR_PQL_OP_REGEX:     \
    case TR_PQL_OP_IN: case TR_PQL_OP_OCCURS: case TR_PQL_OP_DAY: case TR_PQL_OP_DATE:           \
    case TR_PQL_OP_DATE_PART: case TR_PQL_OP_NOT: case TR_PQL_OP_TRUTH: case TR_PQL_OP_IS_NULL:  \
    case TR_PQL_OP_COUNT
/* clang-format on */

/* ---- values */
/* What an operation is for each row of a scope at or below its own. */
TR_MUST_CHECK tr_code tr_pql_value(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                                   const tr_pql_vec **out);
/* Where the value of an operation for a level is kept; .vec NULL: it is not worked out. NULL: no
 * memory. */
tr_pql_slot *tr_pql_slot_of(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level);
void tr_pql_sort_by_weight(const tr_pql_op **ops, uint32_t count);

/* Some rows of a scope. */
typedef struct tr_pql_taken {
    const uint32_t *at; /* ascending; NULL: [0, count) */
    uint32_t count;
    const uint32_t *owner; /* per row of the scope: the row of a scope above */
} tr_pql_taken;
static inline uint32_t tr_pql_owner_of(const tr_pql_taken *rows, uint32_t i)
{
    return rows->owner[rows->at == NULL ? i : rows->at[i]];
}
/* Row i is the value at rows->at[i]. */
TR_MUST_CHECK tr_code tr_pql_value_at(tr_pql_run *run, const tr_pql_op *op,
                                      const tr_pql_level *level, const tr_pql_taken *rows,
                                      const tr_pql_vec **out);

/* ---- bitmaps: a bit for each row of a scope, the first the lowest of the first word; behind the
 * last row all are 0 */
static inline size_t tr_pql_words(uint32_t rows)
{
    return ((size_t)rows + 63) / 64;
}
/* The rows of a scope where an operation is true. */
TR_MUST_CHECK tr_code tr_pql_true_bits(tr_pql_run *run, const tr_pql_op *op,
                                       const tr_pql_level *level, const uint64_t **out);
/* Those that are the last of their parent row; of a scope that is entered. */
TR_MUST_CHECK tr_code tr_pql_last_bits(tr_pql_run *run, const tr_pql_level *level,
                                       const uint64_t **out);
/* The first as row numbers. */
TR_MUST_CHECK tr_code tr_pql_true_rows(tr_pql_run *run, const tr_pql_op *op,
                                       const tr_pql_level *level, const uint32_t **rows,
                                       uint32_t *count);
/* The rows of a fold's innermost scope that its masks let in. */
TR_MUST_CHECK tr_code tr_pql_take(tr_pql_run *run, const tr_pql_op *op, tr_pql_taken *out);

/* Rows [0, count) of an operation of TR_PQL_CASES_BY_ROWS, whose arguments are there. */
TR_MUST_CHECK tr_code tr_pql_by_rows(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **args,
                                     uint32_t count, tr_arena *arena, const tr_pql_vec **out);
/* Operations of one row at a time: fills a base for rows [0, count) of the arguments. */
TR_MUST_CHECK tr_code tr_pql_scalar(tr_pql_run *run, const tr_pql_op *op,
                                    const tr_pql_vec *const *args, uint32_t count, tr_arena *arena,
                                    tr_pql_base **out);
TR_MUST_CHECK tr_code tr_pql_text(tr_pql_run *run, const tr_pql_op *op,
                                  const tr_pql_vec *const *args, uint32_t count, tr_arena *arena,
                                  tr_pql_base *out);
/* COMPARE and OCCURS of numbers or times and a constant: which of `of` it holds for. Null is in no
 * range, nor outside of one. */
typedef struct tr_pql_range {
    const tr_pql_vec *of;
    bool are_integers;    /* the window tells, else [low, high]: inside, or window.is_outside */
    tr_pql_window window; /* of integers and times */
    double low, high;
} tr_pql_range;
/* False: it is something else. */
bool tr_pql_range_of(const tr_pql_op *op, const tr_pql_vec *const *args, tr_pql_range *out);
/* A bool for each of the first rows of x. */
void tr_pql_range_test(const tr_pql_range *range, const tr_pql_vec *x, uint32_t count,
                       uint8_t *out);
/* Which of these rows are in it; *out has room for all, and may be `rows`. */
uint32_t tr_pql_range_keep(const tr_pql_range *range, const uint32_t *rows, uint32_t count,
                           uint32_t *out);
/* Operations that make vectors from vectors. */
TR_MUST_CHECK tr_code tr_pql_list(tr_pql_run *run, const tr_pql_op *op,
                                  const tr_pql_vec *const *args, uint32_t count, tr_arena *arena,
                                  const tr_pql_vec **out);
TR_MUST_CHECK tr_code tr_pql_fold_op(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out);
/* A COMPARE of count() or sum() with a constant, without keeping what is compared; *out NULL: `op`
 * is something else. */
TR_MUST_CHECK tr_code tr_pql_fold_test(tr_pql_run *run, const tr_pql_op *op,
                                       const tr_pql_vec **out);
TR_MUST_CHECK tr_code tr_pql_group_op(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out);
TR_MUST_CHECK tr_code tr_pql_chain_op(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out);
/* Which rows of a CHAIN's scope have its elements in order, times between them left aside: all
 * others have no such sequence. *may: a byte a row; NULL: any may. is_exact: that decides it. */
TR_MUST_CHECK tr_code tr_pql_chain_steps(tr_pql_run *run, const tr_pql_op *op, uint8_t **may,
                                         bool *is_exact);
/* How many events an element wants before it ends. */
static inline int64_t tr_pql_wanted_of(const tr_pql_element *element)
{
    return element->amount + (element->comparison == TR_PQL_GT);
}

/* The masks of a fold over its innermost scope, as bytes; and where each row of the fold's own
 * scope begins in it. */
typedef struct tr_pql_rows_in {
    uint32_t count;
    const uint32_t *owner; /* per row */
    uint8_t *mask;
} tr_pql_rows_in;
TR_MUST_CHECK tr_code tr_pql_masks_of(tr_pql_run *run, const tr_pql_op *op, tr_pql_rows_in *out);
/* start[owners + 1] */
TR_MUST_CHECK tr_code tr_pql_starts(tr_pql_run *run, const tr_pql_rows_in *rows, uint32_t owners,
                                    tr_arena *arena, uint32_t **out);

/* ---- columns */
TR_MUST_CHECK tr_code tr_pql_open_tables(tr_pql_run *run);
/* A field of an object of the schema over the instances of the object's source. */
TR_MUST_CHECK tr_code tr_pql_member(tr_pql_run *run, bool is_event, const tr_type *xdm,
                                    const tr_pql_vec **out);
TR_MUST_CHECK tr_code tr_pql_row_objects(tr_pql_run *run, bool is_event, const tr_pql_vec **out);
/* The profiles' events as an array. */
TR_MUST_CHECK tr_code tr_pql_event_lists(tr_pql_run *run, const tr_pql_vec **out);
/* What vec (over a source) is for each row of `of`, which are instances of it. */
TR_MUST_CHECK tr_code tr_pql_through(tr_pql_run *run, const tr_pql_vec *of, const tr_pql_vec *vec,
                                     tr_arena *arena, const tr_pql_vec **out);

/* ---- equality */
/* Deep equality; null equals null. */
TR_MUST_CHECK tr_code tr_pql_equals(tr_pql_run *run, const tr_pql_vec *a, uint32_t row_a,
                                    const tr_pql_vec *b, uint32_t row_b, bool *out);
/* A set of rows of some vectors, by value. Nulls are values, too. */
typedef struct tr_pql_set {
    tr_pql_run *run;
    uint32_t *table; /* entry + 1, 0: free */
    uint32_t cap;    /* a power of two */
    struct tr_pql_set_entry {
        const tr_pql_vec *vec;
        uint32_t row;
    } * entries;
    uint32_t count;
    uint32_t used_cap;
} tr_pql_set;
/* Empties it, with room for `most` values. */
TR_MUST_CHECK tr_code tr_pql_set_begin(tr_pql_set *set, tr_pql_run *run, uint32_t most,
                                       tr_arena *arena);
/* *entry is the number of the equal entry, or NO_ROW; is_added: it is made then. */
TR_MUST_CHECK tr_code tr_pql_set_find(tr_pql_set *set, const tr_pql_vec *vec, uint32_t row,
                                      bool is_added, uint32_t *entry);

#endif
