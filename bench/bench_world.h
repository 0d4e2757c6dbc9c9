/* SPDX-License-Identifier: Apache-2.0 */
/* bench_world.h - the data of the merge bench, as run files that any Parquet reader reads.
 *
 * Five datasets know 100, 60, 70, 50 and 40 % of the people; 20 leaves; a tenth of all values are
 * null. With `copies` the leaves stand several times, as c00.* to cNN.*: a wide schema. With
 * `events` there is a dataset of events as well. Bookkeeping (namespace, id, updated) is in
 * _tributary. The same options give the same bytes. Any trouble ends the process: this is a bench.
 */
#ifndef TR_BENCH_WORLD_H
#define TR_BENCH_WORLD_H

#include "store/store.h"

enum { TR_BENCH_RECORD_DATASETS = 5, TR_BENCH_DATASETS = 6, TR_BENCH_COPIES_MAX = 100 };

typedef struct tr_bench_world {
    uint32_t profiles;
    uint32_t copies; /* 1: the 20 leaves as they are */
    uint32_t events; /* 0: no dataset of events */
} tr_bench_world;

/* In the order of generation; the last one has the events. */
extern const char *const tr_bench_datasets[TR_BENCH_DATASETS];

/* Writes DIR/<dataset>.parquet. */
void tr_bench_generate(const char *dir, const tr_bench_world *world);

/* The columns of an export. fields  comma-separated paths; NULL: all */
tr_shape tr_bench_output(tr_arena *arena, const tr_bench_world *world, const char *fields);

/* Prints and ends the process. */
_Noreturn void tr_bench_fail(const char *what, const tr_err *err);
/* A tr_sink's write. */
TR_MUST_CHECK tr_code tr_bench_to_file(void *file, tr_str bytes, tr_err *err);

#endif
