/* SPDX-License-Identifier: Apache-2.0 */
/* graph.h - a sandbox's identity graph, in step with its live batches; its runs, stitched by it.
 *
 * The graph is a function of the sandbox's live batch files (docs/decisions/0008): nothing about it
 * is stored, so nothing about it can be lost or contradict the data. It is read when somebody first
 * asks, then kept up to date: every function here first takes in what was committed since.
 *
 *     tr_graph_read        locks the graph of a tenant for reading, as of now
 *       tr_graph_clusters  members, links, history: identity/clusters.h
 *     tr_graph_done
 *
 *     snapshot, runs sorted by primary identity --tr_graph_stitch--> snapshot, sorted by cluster
 *
 * A STITCHED RUN has a run's rows with the key of the cluster's anchor as profile key. Its own key
 * is in the bookkeeping leaf `identityKey`; namespace, id and times stay. Its rows of one key are
 * ordered by (own key, arrival). It is a catalog object of kind `stitched` with the run's document,
 * and the run's name and a digest of its rows' clusters; a run none of whose rows moved stays as it
 * is. tr_graph_stitch also gives ONE run of kind `members` that no dataset wrote: for every cluster
 * its identities as identityMap, which merge ranks last.
 *
 * WHICH ROWS. Those of every batch file that was made live in the store, folded since or not.
 * Batches in the order of ingestion; within a batch by time of the link (an event's timestamp, a
 * record's ingestion), then by profile key, then as they arrived. Namespaces link by their idType;
 * an identity of a namespace that the org does not have links nothing until the org has it. Data
 * that was taken back, and such a namespace, make all be read again.
 *
 * Threads: any. A tr_graph_reading is held briefly: never while reading files, nor while asking for
 * another one of the same tenant.
 *
 * Under failure: a damaged file is TR_CORRUPT for whoever asks, until it is gone; the batches
 * before it stay read.
 */
#ifndef TR_GRAPH_GRAPH_H
#define TR_GRAPH_GRAPH_H

#include "catalog/catalog.h"
#include "identity/clusters.h"
#include "lake/lake.h"
#include "store/remove.h"
#include "store/store.h"

#include <stdatomic.h>

typedef struct tr_graph tr_graph;
typedef struct tr_graph_reading tr_graph_reading;

TR_MUST_CHECK tr_code tr_graph_open(tr_catalog *catalog, tr_lake *lake, tr_store *store,
                                    tr_graph **out, tr_err *err);
/* Ends preparations at once, and lets none begin: for a server that stops. */
void tr_graph_stop(tr_graph *graph);  /* accepts NULL */
void tr_graph_close(tr_graph *graph); /* accepts NULL */
/* A tenant was removed: forgets its graph. */
void tr_graph_retire_tenant(tr_graph *graph, int64_t tenant);

TR_MUST_CHECK tr_code tr_graph_read(tr_graph *graph, const tr_tenant *tenant,
                                    tr_graph_reading **out, tr_err *err);
void tr_graph_done(tr_graph_reading *reading); /* accepts NULL */
const tr_clusters *tr_graph_clusters(const tr_graph_reading *reading);
/* Catalog ids of the batch with a number in links, and of its dataset. */
void tr_graph_batch(const tr_graph_reading *reading, uint32_t number, tr_str *batch,
                    tr_str *dataset);
/* What was read, and what of it links nobody. */
typedef struct tr_graph_counts {
    uint64_t rows;
    uint64_t unknown_namespaces; /* identities of a namespace that the org does not have */
    uint64_t bad_values;         /* identities whose value is nobody's (identity.h) */
} tr_graph_counts;
tr_graph_counts tr_graph_counts_of(const tr_graph_reading *reading);
/* Changes whenever a cluster may have. */
uint64_t tr_graph_version(const tr_graph_reading *reading);

/* Before a transaction exchanges files of batches, or takes them back: reads beside the graph in
 * force what it will be, so that who asks after the commit has it at once instead of waiting until
 * all is read anew. Does nothing when nobody has asked for this graph yet, when none of its files
 * goes, when there is no memory for two, or when TR_GRAPH_PREPARATIONS_MAX are under way; it may
 * fail (a line in the log): then all is read anew. Waits until others of the tenant have ended
 * theirs: each commit is read on top of the one before. May be called again, with what has changed
 * since. End it by the same thread after the commit, or when it is given up, also when it was not
 * begun. */
typedef struct tr_graph_preparation {
    const tr_exchanged_file *exchanged;
    uint32_t count;
    const char *dataset;        /* whose files go; NULL: nobody's */
    const char *const *batches; /* as well */
    uint32_t batch_count;
    tr_graph_reading *held; /* the graph room's own: NULL at first */
} tr_graph_preparation;
void tr_graph_prepare(tr_graph *graph, const tr_tenant *tenant, tr_graph_preparation *preparation);
void tr_graph_prepare_end(tr_graph *graph, const tr_tenant *tenant,
                          tr_graph_preparation *preparation, bool is_in_force);

/* The keys under which the fragments of an identity's cluster are stored: its own alone when it has
 * no links; the anchor's first. In the arena. */
TR_MUST_CHECK tr_code tr_graph_keys(tr_graph *graph, const tr_tenant *tenant, const uint8_t key[16],
                                    tr_arena *arena, const uint8_t (**out)[16], uint32_t *count,
                                    tr_err *err);

/* What a plan under `pdg` reads: stitched runs where rows moved, made now when they are not there,
 * each published in one transaction, and members' runs. *runs names them all for
 * tr_graph_snapshot_of; returned. A plan that names them finds the same bytes after a restart, or
 * TR_NOT_FOUND. TR_NOT_FOUND  a run was taken back meanwhile */
typedef struct tr_graph_order {
    const tr_snapshot *snapshot;
    const tr_run *const *memberships; /* of segments: their rows come along under today's keys */
    uint32_t membership_count;
    const atomic_bool *cancel; /* polled; set: TR_CANCELLED; NULL: nobody asks */
} tr_graph_order;
TR_MUST_CHECK tr_code tr_graph_stitch(tr_graph *graph, const tr_tenant *tenant,
                                      const tr_graph_order *order, json_t **runs, tr_err *err);
/* Release with tr_store_release. */
TR_MUST_CHECK tr_code tr_graph_snapshot_of(tr_graph *graph, const tr_tenant *tenant,
                                           const json_t *runs, tr_snapshot **out, tr_err *err);
/* Removes stitched runs that are of use no more; compaction does it as well. */
TR_MUST_CHECK tr_code tr_graph_sweep(tr_graph *graph, const tr_tenant *tenant, tr_err *err);

/* The same of all tenants: once, at start-up. */
TR_MUST_CHECK tr_code tr_graph_sweep_all(tr_graph *graph, tr_err *err);

#endif
