/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h - the rows of one partition in several runs, numbered end to end, and grouped by profile.
 *
 *     run 0   group 4, rows 0..2         numbers  1  2  3       0 is "no row", so that a table of
 *     run 1   group 2, rows 7..8                  4  5          codes by row number needs no branch
 *     run 2   groups 5 and 6                      6  7 | 8  9
 *
 *     profile          0        1     2
 *     start        [   0        2     3     5 ]
 *     rows         [   1  4     6     2  5    ]    numbers of its rows, ascending: by run, then by row
 *
 * Runs are sorted by key, so grouping is one walk over all of them together. A key is a 128-bit keyed
 * hash of an identity: equal keys are the same identity, and namespace and id are never compared.
 * Two identities of a sandbox share a key with a chance of n^2 / 2^129 (10^-19 for a billion), which
 * is less likely than a wrong answer of the machine's memory.
 *
 * Threads: borders are immutable; everything else belongs to the caller. Memory: in the given arenas.
 */
#ifndef TR_STORE_ROWS_H
#define TR_STORE_ROWS_H

#include "store/store.h"

/* Where the rows of each of 2^bits partitions lie in each run. */
typedef struct tr_borders {
    const tr_run *const *runs; /* borrowed */
    uint32_t run_count;
    uint8_t bits;
    uint32_t **starts; /* per run with fewer bits: first row of each of its partitions' parts; else NULL */
} tr_borders;

/* runs  borrowed as long as *out is used. Reads the keys of runs that are cut more coarsely. */
TR_MUST_CHECK tr_code tr_borders_make(const tr_run *const *runs, uint32_t run_count, uint8_t bits,
                                      tr_arena *arena, tr_borders *out, tr_err *err);

typedef struct tr_slice {
    uint32_t run;
    uint32_t group;
    uint32_t from, rows; /* within the row group */
    uint32_t base;       /* number of its first row */
} tr_slice;

typedef struct tr_rows {
    const tr_run *const *runs;
    uint32_t run_count;
    uint32_t *first_slice; /* [run_count + 1] */
    tr_slice *slices;
    uint32_t slice_count;
    uint32_t end; /* numbers are [1, end) */
} tr_rows;

TR_MUST_CHECK tr_code tr_rows_of(const tr_borders *borders, uint32_t partition, tr_arena *arena,
                                 tr_rows *out, tr_err *err);

/* The rows of some keys: of each run those of keys[0], then of keys[1], a slice per key and row group that has
 * any. runs  as tr_borders.runs; *key_of  per slice the number of its key; NULL: not asked for */
TR_MUST_CHECK tr_code tr_rows_of_keys(const tr_run *const *runs, uint32_t run_count,
                                      const uint8_t (*keys)[16], uint32_t key_count, tr_arena *arena,
                                      tr_rows *out, uint32_t **key_of, tr_err *err);

/* The slice of a row number; its run is .slices[...].run. */
uint32_t tr_rows_slice(const tr_rows *rows, uint32_t number);

/* A bookkeeping time of every row, by number ([0] is unused). */
typedef enum tr_row_time { TR_ROW_UPDATED, TR_ROW_INGESTED } tr_row_time;
TR_MUST_CHECK tr_code tr_rows_times(const tr_rows *rows, tr_row_time which, tr_arena *arena,
                                    const int64_t **out, tr_err *err);

/* Numbers of the rows that were ingested later than `after_us`, ascending; in the arena. */
TR_MUST_CHECK tr_code tr_rows_ingested_after(const tr_rows *rows, int64_t after_us, tr_arena *arena,
                                             uint32_t **out, uint32_t *count, tr_err *err);

/* The key of every row, by number ([0] is unused). */
TR_MUST_CHECK tr_code tr_rows_keys(const tr_rows *rows, tr_arena *arena, const uint8_t (**out)[16],
                                   tr_err *err);

/* Rows by profile, or by row to be written. `rows` may be reordered and shortened by its owner. */
typedef struct tr_groups {
    uint32_t count;
    uint32_t *start; /* [count + 1] */
    uint32_t *rows;
} tr_groups;

/* Groups the rows of `records` and `events` by key, profiles in key order.
 * events           NULL: none; event_groups is then not written
 * with_event_only  false: profiles without a row in `records` are left out
 * is_by_key        of events it is only told who has any: event_groups is not written; not with `leads`
 * leads            per run of records, then of events: only profiles with a row in one that leads; NULL: all */
typedef struct tr_walk {
    const tr_rows *records;
    const tr_rows *events;
    bool with_event_only, is_by_key;
    const bool *leads;
    tr_arena *scratch; /* for keys: reset first, memory kept */
    uint8_t (**keys)[16]; /* the profiles' keys, in the arena; NULL: not asked for */
} tr_walk;
TR_MUST_CHECK tr_code tr_walk_profiles(const tr_walk *walk, tr_arena *arena, tr_groups *record_groups,
                                       tr_groups *event_groups, tr_err *err);

#endif
