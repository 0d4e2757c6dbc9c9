/* SPDX-License-Identifier: Apache-2.0 */
/* refold.h - several runs of one dataset as one run, outside of any catalog. */
#ifndef TR_STORE_REFOLD_H
#define TR_STORE_REFOLD_H

#include "store/store.h"

/* The row type that has everything the runs have. In the arena.
 * TR_SEMANTIC  fields of one name have different types */
TR_MUST_CHECK tr_code tr_refold_unite(const tr_run *const *runs, uint32_t run_count, tr_arena *arena,
                                      tr_type **out, tr_err *err);

typedef struct tr_refolded {
    uint64_t rows;
    uint8_t partition_bits;
    int64_t ingested_us; /* of the newest row */
} tr_refolded;

/* runs  in the order of ingestion; all of events or all of records, all upsert or none
 * TR_SEMANTIC  their schemas do not go together (a field changed its type): they stay apart */
TR_MUST_CHECK tr_code tr_refold(const tr_run *const *runs, uint32_t run_count, tr_sink sink, tr_refolded *out,
                                tr_err *err);

typedef struct tr_moves tr_moves; /* rekey.h */

/* A run and those of its rows that move, under their new keys: every row once, those of a key by namespace and id,
 * then as they came. runs[0] is the run; its moved rows are left out. */
TR_MUST_CHECK tr_code tr_refold_moved(const tr_run *const *runs, uint32_t run_count, const tr_moves *moves,
                                      tr_sink sink, tr_refolded *out, tr_err *err);

#endif
