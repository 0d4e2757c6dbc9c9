/* SPDX-License-Identifier: Apache-2.0 */
/* types.h - the static type of every part of an expression.
 *
 * Values are what the columns hold; timestamps and dates are instants in UTC milliseconds. ANY is
 * what nothing is known of (no schema): every rule accepts it, and no program can be made of it.
 *
 * Ownership: types live in the checker's arena, or are constants. Threads: immutable.
 */
#ifndef TR_PQL_TYPES_H
#define TR_PQL_TYPES_H

#include "parquet/type.h"
#include "pql/node.h"

typedef enum tr_pql_type_kind {
    TR_PQL_IS_ANY,
    TR_PQL_IS_NULL_TYPE, /* the literal null; the items of [] */
    TR_PQL_IS_BOOLEAN,
    TR_PQL_IS_INTEGER,
    TR_PQL_IS_NUMBER,
    TR_PQL_IS_STRING,
    TR_PQL_IS_TIMESTAMP, /* an instant */
    TR_PQL_IS_DATE,      /* an instant as operand, the whole day as the TIME of occurs */
    TR_PQL_IS_INTERVAL,  /* date(), today, last month */
    TR_PQL_IS_OBJECT,    /* of the schema: xdm */
    TR_PQL_IS_STRUCT,    /* an object literal: node */
    TR_PQL_IS_ARRAY,     /* item */
    TR_PQL_IS_MAP,       /* string keys; item is the value */
    TR_PQL_IS_GROUPS,    /* what groupBy makes: key, item is the array */
    TR_PQL_IS_TUPLE,     /* an element of a select with several variables */
    TR_PQL_IS_ENTRY      /* what mapEntry makes: item is the value */
} tr_pql_type_kind;

typedef struct tr_pql_type tr_pql_type;
struct tr_pql_type {
    tr_pql_type_kind kind;
    const tr_type *xdm;      /* OBJECT */
    bool is_profile;         /* OBJECT: the profile itself, which has xEvent */
    const tr_pql_node *node; /* STRUCT: the literal, its items' types are the fields' */
    const tr_pql_type *item;
    const tr_pql_type *key;
};

/* The types without parts. */
extern const tr_pql_type tr_pql_plain_types[TR_PQL_IS_INTERVAL + 1];
#define TR_PQL_PLAIN(kind) (&tr_pql_plain_types[TR_PQL_IS_##kind])

bool tr_pql_is_numeric(const tr_pql_type *type);
bool tr_pql_is_instant(const tr_pql_type *type); /* timestamp, date */
bool tr_pql_is_time(const tr_pql_type *type);    /* or interval */
bool tr_pql_is_scalar(const tr_pql_type *type);  /* boolean to interval, null, any */
bool tr_pql_is_open(const tr_pql_type *type);    /* any, null: every rule accepts it */
/* An array's item type, arrays of arrays to the bottom; else the type itself. */
const tr_pql_type *tr_pql_scalar_of(const tr_pql_type *type);
/* May stand on both sides of "=" as they are. */
bool tr_pql_are_comparable(const tr_pql_type *a, const tr_pql_type *b);
/* The one type that values of both have; NULL: none. */
const tr_pql_type *tr_pql_unite_types(const tr_pql_type *a, const tr_pql_type *b, tr_arena *arena);
/* "array of string"; for messages. */
const char *tr_pql_type_text(const tr_pql_type *type, char *out, size_t size);

/* NULL: no memory. */
const tr_pql_type *tr_pql_array_of(const tr_pql_type *item, tr_arena *arena);
const tr_pql_type *tr_pql_type_of_xdm(const tr_type *xdm, tr_arena *arena);

#endif
