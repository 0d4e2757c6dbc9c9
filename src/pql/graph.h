/* SPDX-License-Identifier: Apache-2.0 */
/* graph.h - what trees are compiled into: operations on whole domains, each there once.
 *
 * A SCOPE is a domain to come: the rows that an expression is evaluated for.
 *
 *     CONSTANT  one row                                 "now", [1, 2]
 *       PROFILES  the partition's profiles              homeAddress.city
 *         ITEMS of xEvent in PROFILES                   eventType
 *           ITEMS of productListItems in those          SKU
 *
 * An OPERATION has a value for each row of its scope, which is the deepest that it needs; whoever
 * stands deeper reads it through parents. Equal operations are one (so `make` returns an old one).
 * An array that is filtered, mapped and reduced never exists: conditions are masks in the scope of
 * its items, and a REDUCE folds that scope back to the one above.
 */
#ifndef TR_PQL_GRAPH_H
#define TR_PQL_GRAPH_H

#include "pql/program.h"
#include "pql/regex.h"
#include "pql/types.h"

typedef struct tr_pql_op tr_pql_op;

typedef struct tr_pql_level tr_pql_level;
struct tr_pql_level {     /* a scope */
    tr_pql_level *parent; /* NULL: CONSTANT */
    tr_pql_op *array;     /* LIST or MAP whose items it has; NULL: CONSTANT, PROFILES */
    tr_pql_op *where;     /* only of parent rows where this is true; may be NULL */
    uint32_t depth, id;
    bool is_product; /* the array is the same for many parent rows: it may be large */
};

typedef enum tr_pql_op_kind {
    TR_PQL_OP_CONST,     /* literal */
    TR_PQL_OP_NOW,       /* now and its kin: fn, or time for this, last, next */
    TR_PQL_OP_PROFILE,   /* the profile itself */
    TR_PQL_OP_EVENTS,    /* its events */
    TR_PQL_OP_ITEM,      /* of scope */
    TR_PQL_OP_KEY,       /* of scope, which is over a map */
    TR_PQL_OP_FIELD,     /* xdm of an object */
    TR_PQL_OP_MEMBER,    /* number-th of a STRUCT */
    TR_PQL_OP_STRUCT,    /* of args; type says which */
    TR_PQL_OP_LIST,      /* args as items */
    TR_PQL_OP_ONE,       /* an array of the one value, if it is not null */
    TR_PQL_OP_ARITH,     /* fn */
    TR_PQL_OP_COMPARE,   /* fn */
    TR_PQL_OP_TEXT,      /* fn; number: case is significant */
    TR_PQL_OP_REGEX,     /* fn MATCHES or REGEX_GROUP; number: group */
    TR_PQL_OP_IN,        /* value, constant list */
    TR_PQL_OP_OCCURS,    /* x, times; time */
    TR_PQL_OP_DAY,       /* the day of an instant */
    TR_PQL_OP_DATE,      /* year, month, day */
    TR_PQL_OP_DATE_PART, /* fn */
    TR_PQL_OP_IF,
    TR_PQL_OP_AND,
    TR_PQL_OP_OR,
    TR_PQL_OP_NOT,
    TR_PQL_OP_TRUTH, /* array: not empty; others: not null */
    TR_PQL_OP_IS_NULL,
    TR_PQL_OP_GET, /* map, key */
    TR_PQL_OP_KEYS,
    TR_PQL_OP_VALUES,
    TR_PQL_OP_HEAD,
    TR_PQL_OP_COUNT, /* of an array or map */
    TR_PQL_OP_DISTINCT,
    TR_PQL_OP_SETS, /* fn: intersects, intersection, subsetOf */
    /* from `over` back to the scope: */
    TR_PQL_OP_REDUCE,  /* reduction; args: value (ALL: condition; none for ANY, COUNT), masks */
    TR_PQL_OP_COLLECT, /* an array; args: item, [the array that it is null with], masks */
    TR_PQL_OP_ENTRIES, /* a map; args: key, value, masks */
    TR_PQL_OP_GROUPS,  /* a group map; args: key, item, masks */
    TR_PQL_OP_TOP,     /* fn; args: number, how many, item, masks */
    TR_PQL_OP_CHAIN    /* args: time, elements' matches and times, masks; elements */
} tr_pql_op_kind;

typedef enum tr_pql_reduction {
    TR_PQL_REDUCE_ANY,
    TR_PQL_REDUCE_ALL,
    TR_PQL_REDUCE_COUNT,
    TR_PQL_REDUCE_SUM,
    TR_PQL_REDUCE_AVERAGE,
    TR_PQL_REDUCE_MIN,
    TR_PQL_REDUCE_MAX
} tr_pql_reduction;

typedef struct tr_pql_element {
    tr_pql_fn comparison; /* GE, GT, EQ */
    int64_t amount;
    bool has_when; /* with a label: others are part of the match */
    tr_pql_time time;
    uint32_t label[2]; /* element whose end is this time; NO_LABEL: an argument of the operation */
    uint32_t anchor[2];
    uint32_t match; /* argument */
} tr_pql_element;
#define TR_PQL_NO_LABEL UINT32_MAX

struct tr_pql_op {
    tr_pql_op_kind kind;
    tr_pql_fn fn;
    tr_pql_reduction reduction;
    tr_pql_level *scope;
    tr_pql_level *over; /* innermost scope of a reduction; ITEM, KEY: scope itself */
    tr_pql_op **args;
    uint32_t arg_count;
    uint32_t fixed; /* how many args are not masks */
    uint32_t number;
    const tr_pql_type *type;
    tr_pql_literal literal;
    tr_pql_time time;
    bool is_event;      /* FIELD: of the event table */
    const tr_type *xdm; /* FIELD */
    const tr_pql_regex *regex;
    const tr_pql_element *elements; /* CHAIN */
    uint32_t element_count;
    uint32_t id;
    bool is_noted;   /* what it reads is in the program's `reads` */
    uint32_t uses;   /* how often it was asked for: by operations and segments */
    uint32_t weight; /* a rough cost: cheap conditions are looked at first */
    uint64_t hash;
    tr_pql_op *next; /* in its bucket */
};

typedef struct tr_pql_segment {
    tr_str id;
    tr_pql_op *root;
} tr_pql_segment;

struct tr_pql_program {
    const tr_shape *shapes[TR_PQL_TABLES]; /* EVENTS may be NULL */
    tr_arena arena;
    tr_pql_op **buckets;
    uint32_t bucket_count;
    uint32_t op_count;
    tr_pql_level **levels;
    uint32_t level_count, level_cap;
    tr_pql_level *constant, *profiles;
    tr_pql_segment *segments;
    uint32_t segment_count, segment_cap;
    bool *reads[TR_PQL_TABLES];
    bool reads_events;
};

/* The operation equal to `like`, made when it is new; args are copied. Its scope is worked out from
 * args (and `over`) unless given. */
TR_MUST_CHECK tr_code tr_pql_make_op(tr_pql_program *program, const tr_pql_op *like,
                                     tr_pql_op **out, tr_err *err);
TR_MUST_CHECK tr_code tr_pql_make_level(tr_pql_program *program, tr_pql_level *parent,
                                        tr_pql_op *array, tr_pql_op *where, tr_pql_level **out,
                                        tr_err *err);
tr_pql_level *tr_pql_deeper(tr_pql_level *a, tr_pql_level *b);

/* The mask of a checked tree. */
TR_MUST_CHECK tr_code tr_pql_compile(tr_pql_program *program, const tr_pql_node *tree,
                                     tr_pql_op **out, tr_err *err);

#endif
