/* SPDX-License-Identifier: Apache-2.0 */
/* type.h - the nested type of a row, and its shape: the leaf columns and units of merging in it.
 *
 * A type is a tree. Objects may be absent (optional groups); arrays and maps are Parquet's
 * three-level LIST and MAP; every scalar is optional.
 *
 *     profile (root)                        leaves                       units
 *     +- person                             0 person.name.firstName      0 person.name.firstName
 *     |  +- name                            1 tags.list.element          1 tags
 *     |     +- firstName  string            2 visits.list.element.at     2 visits
 *     +- tags        array of string        3 visits.list.element.url    (2)
 *     +- visits      array of {at, url}     4 identityMap.key_value.key  3 identityMap
 *     +- identityMap map of array of {id}   5 ...value.list.element.id   (3)
 *
 * A UNIT OF MERGING is what is taken whole from one fragment (maps: key by key): a scalar that is
 * in no array or map, or an outermost array or map with all the leaves below it.
 *
 * LEVELS. Above a unit there are only objects, so `base_def` = number of objects above it. In the
 * file a leaf's definition level counts from the root; in memory (column.h) it counts from the
 * unit, so that a unit can be moved between rows and between schemas without touching its levels.
 * Whether an object above a unit is present is never stored in memory: it is present when
 * something in it is.
 *
 * Names are AEP's on the wire. Ownership: types live in the arena given to the builder; a shape
 * borrows its type. Threads: immutable once built.
 */
#ifndef TR_PARQUET_TYPE_H
#define TR_PARQUET_TYPE_H

#include "base/memory.h"
#include "base/str.h"

typedef enum tr_kind {
    TR_KIND_BOOLEAN,
    TR_KIND_INT32,     /* XDM byte, short, int */
    TR_KIND_INT64,     /* XDM long */
    TR_KIND_DOUBLE,
    TR_KIND_STRING,    /* UTF-8 */
    TR_KIND_DATE,      /* days since 1970, int32 */
    TR_KIND_TIMESTAMP, /* UTC microseconds, int64 */
    TR_KIND_KEY,       /* 16 bytes, FIXED_LEN_BYTE_ARRAY: the profile key */
    TR_KIND_OBJECT,
    TR_KIND_ARRAY,     /* children[0] is the element */
    TR_KIND_MAP        /* string keys; children[0] is the value */
} tr_kind;

/* How a kind is kept in memory: 8-byte words (boolean 0/1, integers sign-extended, double by its
 * bits), strings, or 16-byte keys. */
typedef enum tr_storage { TR_STORAGE_WORD, TR_STORAGE_STRING, TR_STORAGE_KEY } tr_storage;

static inline tr_storage tr_kind_storage(tr_kind kind)
{
    return kind == TR_KIND_STRING ? TR_STORAGE_STRING
           : kind == TR_KIND_KEY  ? TR_STORAGE_KEY
                                  : TR_STORAGE_WORD;
}

static inline bool tr_kind_is_scalar(tr_kind kind)
{
    return kind < TR_KIND_OBJECT;
}

typedef struct tr_type tr_type;
struct tr_type {
    tr_kind kind;
    tr_str name;             /* member name; "element" / "value" below arrays and maps; "" at the root */
    const tr_type *parent;   /* NULL at the root */
    tr_type **children;      /* object members in their order; the element; the value */
    uint32_t child_count;
    uint32_t id;             /* preorder number within the tree, set by tr_shape_make; root is 0 */
    uint32_t first_leaf;     /* leaves below it are [first_leaf, first_leaf + leaf_count) */
    uint32_t leaf_count;
};

/* All builders return NULL when the arena is full. The name is copied. */
tr_type *tr_type_make(tr_arena *arena, tr_kind kind, tr_str name);
/* Adds a child: a member, or THE element or value (then its name is set). False: no memory. */
bool tr_type_add(tr_arena *arena, tr_type *parent, tr_type *child);
/* The member of an object by exact name, or NULL. */
tr_type *tr_type_member(const tr_type *object, tr_str name);
/* A deep copy into another arena, without ids. */
tr_type *tr_type_copy(tr_arena *arena, const tr_type *type);
/* True when both trees have the same names, kinds and order. */
bool tr_type_equal(const tr_type *a, const tr_type *b);

/* Follows a dotted path of members ("person.name.firstName"). Arrays and maps are stepped through
 * silently ("visits.url" finds visits.element.url; below a map the next part is skipped as a key
 * only when it is "*"). NULL: no such path. */
const tr_type *tr_type_find(const tr_type *root, tr_str dotted_path);

typedef struct tr_leaf {
    const tr_type *type;  /* a scalar, or the map whose key column this is (is_map_key) */
    tr_str path;          /* physical, dotted: "visits.list.element.url"; the map's "key_value.key" */
    tr_kind kind;         /* of the value; TR_KIND_STRING for a map key */
    bool is_map_key;
    uint32_t unit;        /* index into units */
    uint8_t def_max;      /* counted from the root, as in the file */
    uint8_t rep_max;      /* 0: the leaf is its own unit */
} tr_leaf;

typedef struct tr_unit {
    const tr_type *type;  /* scalar, array or map */
    tr_str path;          /* logical, dotted: "visits" */
    uint32_t first_leaf;
    uint32_t leaf_count;
    uint8_t base_def;     /* objects above it */
} tr_unit;

typedef struct tr_shape {
    tr_type *root; /* an object */
    uint32_t type_count;
    tr_leaf *leaves; /* depth first: the order of columns in the file */
    uint32_t leaf_count;
    tr_unit *units;
    uint32_t unit_count;
} tr_shape;

/* Numbers the types and lists leaves and units.
 * root      an object; objects without any leaf are refused (TR_INVALID names the path)
 * TR_LIMIT  more than TR_ROW_FIELDS_MAX leaves, or levels over 255 */
TR_MUST_CHECK tr_code tr_shape_make(tr_arena *arena, tr_type *root, tr_shape *out, tr_err *err);

/* The unit with this logical path, or UINT32_MAX. */
uint32_t tr_shape_unit(const tr_shape *shape, tr_str path);
/* The leaf with this physical path, or UINT32_MAX. */
uint32_t tr_shape_leaf(const tr_shape *shape, tr_str path);

/* The bookkeeping column of every run: one struct that users' views hide. */
#define TR_BOOKKEEPING "_tributary"
/* Its members, in this order: key (KEY), namespace (STRING), id (STRING), updated (TIMESTAMP: the
 * effective time that orders fragments), ingested (TIMESTAMP), batch (STRING: a batch id). */

#endif
