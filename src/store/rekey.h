/* SPDX-License-Identifier: Apache-2.0 */
/* rekey.h - a run's rows under other keys: how a stitched run is made (store.h), outside of any
 * catalog.
 *
 *     run       rows that stay     -----------------------------\
 *               rows that move  -> chunks, sorted by the new key -> walked together -> sorted run
 *
 * Rows that stay keep their place: they are read where they are, partition by partition. Rows that
 * move may go anywhere: they are written to scratch files first, each sorted by itself. Memory: a
 * chunk's rows, then one partition. Same run, same moves: same bytes.
 *
 * Threads: one caller a run; none of its own.
 */
#ifndef TR_STORE_REKEY_H
#define TR_STORE_REKEY_H

#include "codec/hash.h"
#include "store/refold.h"

typedef struct tr_moved {
    uint8_t from[16], to[16];
} tr_moved;

/* Ordered by `from`, each once; no `to` is a `from`. */
struct tr_moves {
    const tr_moved *at;
    uint32_t count;
};

/* NULL: the key stays. */
const tr_moved *tr_moves_find(const tr_moves *moves, const uint8_t key[16]);

typedef struct tr_rekey_look {
    uint64_t rows;     /* that move */
    tr_hash128 digest; /* of the moves that its keys make: the same digest, the same stitched run */
} tr_rekey_look;
TR_MUST_CHECK tr_code tr_rekey_look_at(const tr_run *run, const tr_moves *moves, tr_rekey_look *out,
                                       tr_err *err);

/* Rows of a chunk: what is in memory at a time. */
#define TR_REKEY_CHUNK_ROWS (256u * 1024)

/* scratch     the beginning of scratch files' paths; none is left behind
 * chunk_rows  TR_REKEY_CHUNK_ROWS; tests say less */
TR_MUST_CHECK tr_code tr_rekey(const tr_run *run, const tr_moves *moves, const char *scratch,
                               uint32_t chunk_rows, tr_sink sink, tr_refolded *out, tr_err *err);

#endif
