/* SPDX-License-Identifier: Apache-2.0 */
/* gather.h - units of many rows into units of fewer: per group, the first row that has a value.
 *
 * The groups' rows stand best first (rows.h). A scalar or an array is taken from the first row of the
 * group in which it is present. Maps are taken key by key, a key's value whole. Two maps have rules of
 * their own: identityMap is the union by (namespace, id), namespaces in byte order, an item from the
 * best row that lists it; segmentMembership keeps per (namespace, segment) the newest
 * lastQualificationTime, both keys in byte order.
 *
 * Of a stitched profile `primary` in identityMap does not come with the item: the row of the members' run says
 * which identity the profile stands for (MARKS).
 *
 * A run may lack a leaf of the output, or have it with a narrower number: MATCHING finds for each leaf
 * of the output its twin in a run by structure and kind. An array that lacks one of the output's leaves still
 * has its entries: their levels are borrowed from a leaf beside it.
 *
 * DIRECT. When no group has two rows and all rows are of one slice (a merged run, merge/merge.h),
 * there is nothing to decide: a leaf's column is handed on as it was read, or its rows are picked.
 *
 * FEW OF MANY. When most rows are in no group (a filter removed their profiles), scalars are looked up row by
 * row, and only values that are taken come into the output's table.
 *
 * Threads: a match is immutable; a gather belongs to one thread. Memory: one unit's key columns and one
 * leaf of all runs at a time, in an arena that is reset per leaf.
 */
#ifndef TR_STORE_GATHER_H
#define TR_STORE_GATHER_H

#include "store/rows.h"

typedef struct tr_twin {
    uint32_t leaf;     /* of the run; UINT32_MAX: it has none */
    uint32_t beside;   /* then: a leaf of the run's unit whose levels are borrowed; UINT32_MAX: no such unit */
    uint8_t def, rep;  /* how far they are (from the unit) */
    bool is_widened;   /* INT32 in the run, DOUBLE in the output */
} tr_twin;

typedef struct tr_match {
    const tr_shape *run;   /* borrowed */
    const tr_type **types; /* [shape type_count] the run's type of each type, or NULL */
    tr_twin *twins;        /* [shape leaf_count] */
} tr_match;

/* out_root  the root of `shape`, or the type below it that stands for the run's root (an event) */
TR_MUST_CHECK tr_code tr_match_make(tr_arena *arena, const tr_shape *shape, const tr_type *out_root,
                                    const tr_shape *run, tr_match *out, tr_err *err);

/* Levels of a type counted from its unit: the definition level at which it is present, and the
 * repetition level of what is in it. */
uint8_t tr_type_def(const tr_type *unit, const tr_type *type);
uint8_t tr_type_rep(const tr_type *unit, const tr_type *type);

typedef tr_code (*tr_gather_put)(void *ctx, uint32_t leaf, const tr_column *column, tr_err *err);

typedef struct tr_gather {
    const tr_shape *shape;     /* of the output */
    const tr_rows *rows;
    const tr_match *matches;   /* per run of `rows` */
    const tr_groups *groups;
    const uint32_t *lane;      /* per run: its dataset's number */
    uint32_t marks_run;        /* identityMap: runs from this one on are members', and decide who is primary;
                                  0: there are none */
    const tr_str *hidden;      /* segmentMembership: entries of these segments do not count in runs from */
    uint32_t hidden_count;     /* hidden_run on */
    uint32_t hidden_run;
    bool is_one_per_lane;      /* no group has two rows of one lane */
    bool is_direct;            /* groups have at most one row each, whose maps are united, and ascend */
    bool is_keys_only;         /* identityMap: of all leaves only the namespaces are put */
    bool is_verbatim;          /* groups have one row each: maps are copied as they are, like arrays */
    const uint32_t *owner;     /* [rows->end] the group of a row, groups->count when it is in none; NULL: few */
    const uint32_t *first;     /* [groups->count] the first row of each group, or 0 */
    const uint32_t *slice_of;  /* per row of the groups, in their order: its slice; NULL unless few */
    const uint32_t *pick;      /* is_direct: [groups->count] the row in the slice, UINT32_MAX: none; NULL:
                                  every row in order */
    tr_arena *arenas;          /* [2] for a unit, for a leaf: reset by each use, memory kept */
    tr_gather_put put;         /* NULL: only count keys */
    void *ctx;
    void (*count_key)(void *ctx, tr_str key, uint64_t groups); /* NULL: none; how many groups have each
                                                                  namespace of identityMap */
    void *count_ctx;
} tr_gather;

/* Fills owner (or slice_of) and first for groups of gather->rows, or pick; in the arena. Takes is_direct back when
 * there are several slices. */
TR_MUST_CHECK tr_code tr_gather_index(const tr_groups *groups, tr_arena *arena, tr_gather *gather,
                                      tr_err *err);

/* Hands every leaf of the unit that has any value to `put`, in ascending order. */
TR_MUST_CHECK tr_code tr_gather_unit(const tr_gather *gather, uint32_t unit, tr_err *err);

/* A slice's rows of an output leaf, converted and with borrowed levels; *is_there: false when the run lacks
 * the unit. */
TR_MUST_CHECK tr_code tr_gather_read(const tr_gather *gather, const tr_slice *slice, uint32_t leaf,
                                     tr_arena *arena, tr_column *out, bool *is_there, tr_err *err);

/* The tables of several columns as one. */
typedef struct tr_united {
    tr_values values;
    const uint32_t **remap; /* per part: code of the part -> code of the table; NULL: */
    uint32_t *shift;        /* code + shift, 0 stays 0 */
} tr_united;

/* parts     a part with values.count 0 takes no room
 * is_whole  true: every value once, whatever it costs; false: only when all parts are dictionaries */
TR_MUST_CHECK tr_code tr_unite(const tr_column *parts, uint32_t part_count, bool is_whole, tr_arena *arena,
                               tr_united *out, tr_err *err);

static inline uint32_t tr_united_code(const tr_united *united, uint32_t part, uint32_t code)
{
    if (united->remap[part] != NULL)
        return united->remap[part][code];
    return code == 0 ? 0 : code + united->shift[part];
}

#endif
