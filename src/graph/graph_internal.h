/* SPDX-License-Identifier: Apache-2.0 */
/* graph_internal.h - the graphs of all tenants, and what one was made of. */
#ifndef TR_GRAPH_GRAPH_INTERNAL_H
#define TR_GRAPH_GRAPH_INTERNAL_H

#include "graph/graph.h"

#include <pthread.h>
#include <stdatomic.h>

/* A batch that has rows in the graph; its number is its place in the list. */
typedef struct tr_graph_batch_entry {
    char id[32], dataset[32];
    int64_t ingested_us;
} tr_graph_batch_entry;

/* What is read under the lock, and replaced as a whole when data was taken back. */
typedef struct tr_graph_state {
    tr_clusters *clusters;
    tr_graph_batch_entry *batches;
    uint32_t batch_count, batch_cap;
} tr_graph_state;

/* A tenant's graph. What tr_graph_reading is. */
struct tr_graph_reading {
    tr_graph_reading *next;
    int64_t tenant;
    uint32_t holders;         /* tr_graph.mutex */
    bool is_retired;          /* tr_graph.mutex */
    pthread_mutex_t updating; /* held while it is brought up to date: one at a time */
    pthread_rwlock_t lock;    /* state, version: written for as long as linking takes */
    _Atomic uint64_t seen;    /* the catalog's version that the state has all of; odd: none */
    tr_graph_state state;
    uint64_t version;
};

struct tr_graph {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    pthread_mutex_t mutex; /* tenants, holders */
    tr_graph_reading *tenants;
};

/* Takes in what the catalog has and the state has not; `updating` is held. */
TR_MUST_CHECK tr_code tr_graph_update(tr_graph *graph, const tr_tenant *tenant,
                                      tr_graph_reading *own, tr_err *err);
void tr_graph_state_free(tr_graph_state *state);

#endif
