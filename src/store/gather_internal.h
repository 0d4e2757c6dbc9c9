/* SPDX-License-Identifier: Apache-2.0 */
/* gather_internal.h - what gathering scalars, arrays and maps share: parts read, entries written. */
#ifndef TR_STORE_GATHER_INTERNAL_H
#define TR_STORE_GATHER_INTERNAL_H

#include "store/gather.h"

/* One output leaf of every slice. */
typedef struct tr_parts {
    tr_column *columns; /* [slice_count] */
    bool *is_there;     /* [slice_count] */
    uint32_t lane;      /* of the slices that have it, when is_one_lane */
    bool is_one_lane;
} tr_parts;

TR_MUST_CHECK tr_code tr_gather_parts(const tr_gather *gather, uint32_t leaf, tr_arena *arena, tr_parts *out,
                                      tr_err *err);

/* A leaf of a unit that each group takes whole from one row. */
typedef struct tr_picked {
    const uint32_t *row;   /* per group: number of the row, or 0 */
    const uint32_t *slice; /* ... and its slice */
    bool *is_used;         /* [slice_count] some group takes a row of it: the others are not read */
} tr_picked;
/* Fills `slice` and is_used for some rows. */
TR_MUST_CHECK tr_code tr_picked_make(const tr_gather *gather, const uint32_t *row, tr_arena *arena, tr_picked *out,
                                     tr_err *err);
TR_MUST_CHECK tr_code tr_gather_picked(const tr_gather *gather, uint32_t leaf, const tr_picked *picked,
                                       tr_arena *arena, tr_err *err);

/* identityMap of groups whose rows all list the identity that they are stored under, and no other: see
 * gather_own.c. *is_done: false when they may list others; then nothing was put or counted.
 * outer  the keys of the maps, with their table */
TR_MUST_CHECK tr_code tr_gather_own(const tr_gather *gather, const tr_unit *unit, const tr_parts *outer,
                                    const tr_united *table, tr_arena *arena, bool *is_done, tr_err *err);

/* A table of only those values of some parts that were asked for, in the order of asking. Equal values are one when
 * all parts are dictionaries. */
typedef struct tr_picker tr_picker;
/* picks  at most so many will be asked for */
TR_MUST_CHECK tr_code tr_picker_open(const tr_column *parts, uint32_t part_count, uint32_t picks, tr_arena *arena,
                                     tr_picker **out, tr_err *err);
uint32_t tr_picker_code(tr_picker *picker, uint32_t part, uint32_t code); /* code: not 0 */
tr_values tr_picker_values(const tr_picker *picker);

/* A column with levels while it is filled. */
typedef struct tr_entries {
    uint32_t *codes;
    uint8_t *def, *rep;
    uint32_t *row_start;
    uint32_t count;
} tr_entries;

TR_MUST_CHECK tr_code tr_entries_begin(tr_arena *arena, uint32_t rows, uint64_t entries, tr_entries *out,
                                       tr_err *err);
/* Appends entries [first, last) of a part. */
void tr_entries_copy(tr_entries *to, const tr_column *from, uint32_t first, uint32_t last,
                     const tr_united *united, uint32_t part);
static inline void tr_entries_absent(tr_entries *to)
{
    to->codes[to->count] = 0;
    to->def[to->count] = 0;
    to->rep[to->count++] = 0;
}
TR_MUST_CHECK tr_code tr_entries_put(const tr_gather *gather, uint32_t leaf, const tr_entries *entries,
                                     const tr_united *united, tr_err *err);

TR_MUST_CHECK tr_code tr_gather_map(const tr_gather *gather, const tr_unit *unit, tr_arena *arena, tr_err *err);

#endif
