/* SPDX-License-Identifier: Apache-2.0 */
/* graph_world.h - runs with identities, and a house with a catalog and a lake to publish them in:
 * for tests and benches.
 *
 * A run's rows have timestamp and identityMap beside the bookkeeping: what ingest writes of them,
 * and nothing else.
 */
#ifndef TR_GRAPH_GRAPH_WORLD_H
#define TR_GRAPH_GRAPH_WORLD_H

#include "graph/graph.h"

typedef struct tr_world_identity {
    tr_str code, id;
} tr_world_identity;

/* Rows on their way to a run. */
typedef struct tr_world_run tr_world_run;
TR_MUST_CHECK tr_code tr_world_run_open(const uint8_t secret[192], bool is_event,
                                        int64_t written_us, tr_world_run **out, tr_err *err);
/* The first identity is the primary one. No identities: the row has no map and a key of zeros. */
TR_MUST_CHECK tr_code tr_world_run_add(tr_world_run *run, const tr_world_identity *identities,
                                       uint32_t count, int64_t time_us, tr_err *err);
TR_MUST_CHECK tr_code tr_world_run_write(tr_world_run *run, tr_sink sink, uint64_t *rows,
                                         tr_err *err);
void tr_world_run_close(tr_world_run *run); /* accepts NULL */

typedef struct tr_world_house {
    char folder[512];
    bool is_temporary;
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    tr_graph *graph;
    tr_tenant tenant;
    uint8_t secret[192];
} tr_world_house;

/* In a temporary folder, removed at the end; or in one that stays. */
TR_MUST_CHECK tr_code tr_world_house_open(tr_world_house *house, tr_err *err);
TR_MUST_CHECK tr_code tr_world_house_open_in(tr_world_house *house, const char *folder,
                                             tr_err *err);
/* As a restart: everything is closed and opened again. */
TR_MUST_CHECK tr_code tr_world_house_reopen(tr_world_house *house, tr_err *err);
void tr_world_house_close(tr_world_house *house);

/* Publishes runs as the files of a batch, as ingest does. */
typedef struct tr_world_batch {
    const char *dataset, *id;
    bool is_event;
    int64_t ingested_us;
} tr_world_batch;
TR_MUST_CHECK tr_code tr_world_publish(tr_world_house *house, const tr_world_batch *batch,
                                       tr_world_run *const *runs, uint32_t run_count, tr_err *err);
/* Moves all files of a batch into a state: "lake" (a compaction folded them), "gone". */
TR_MUST_CHECK tr_code tr_world_set_state(tr_world_house *house, const char *batch,
                                         const char *state, tr_err *err);

#endif
