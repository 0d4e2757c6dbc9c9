/* SPDX-License-Identifier: Apache-2.0 */
/* store.h - the profile store: immutable sorted runs, snapshots of them, compaction.
 *
 * A RUN is a Parquet file of fragments (records, or events) of one dataset, sorted by profile key; rows
 * with the same key stay in the order of their arrival, because of two rows of an identity in one
 * batch the later wins; events are in that of time (SETTLED, below). Its bookkeeping struct
 * (TR_BOOKKEEPING in parquet/type.h) holds what merging needs. A batch's file in the lake IS a run.
 * Rows of a key of zeros have no identity: they stand first and are in no profile.
 *
 * TOKENS AND PARTITIONS. The first 64 bits of a key are its token; keys are uniform. A run is cut
 * into 2^partition_bits ranges of tokens, and its row groups never cross such a border:
 *
 *     key space    0x0000...                                          0xffff...
 *     bits = 2     |  partition 0  |  partition 1  |  partition 2  |  partition 3  |
 *     row groups   |  0   |   1    |      2        |               |       3       |
 *
 * A range may have several row groups, or none. The footer says so:
 *     tributary.run = {"bits":2,"partitions":[0,0,1,3],"behavior":"record","ingested":[1700,1700]}
 * Borders of a run with fewer bits are borders of one with more, so any two runs can be walked
 * together at the coarser or the finer grain.
 *
 * SETTLED. Rows of an event run that have one key stand by `timestamp`, then `_id`, and no `_id` is among them
 * twice; a profile that has one twice is not settled, and its rows stay in order of arrival. The footer lists
 * the row groups that have a row of such a profile: "unsettled":[]. Runs written before there was such a list
 * have none: nothing is known of them (settle.h).
 *
 * INGESTION TIME. A batch is ingested when the catalog's transaction makes it visible: later than any
 * snapshot without it, earlier than any with it. Its rows were written before, so they carry the time at
 * which writing began (`written_us`), in `ingested` and, where a row has no time of its own, in `updated`;
 * both mean the catalog's `ingestedUs` of the file. A compaction writes the real times.
 *
 * STITCHED RUNS (docs/decisions/0008) have the key of the identity that a row's cluster stands for as profile
 * key, and the row's own beside it in the leaf `identityKey`, which is missing or empty where both are the
 * same. Their rows of one key are ordered by (namespace, id), then arrival; settled events as always. A run of
 * MEMBERS has no fragments: a row per cluster with its identities as identityMap, `primary` at the one it
 * stands for.
 *
 * A compacted run is in state "profile" (live), "gone" (folded into another, readable for plans that name it), or
 * TR_RUN_WITHDRAWN: data that it may hold was taken back, and no plan finds it any more.
 *
 * A SNAPSHOT is the list of live runs of a tenant at one moment, opened and counted. Compaction
 * publishes new runs and retires old ones; a snapshot keeps the files it holds.
 *
 * Threads: any. Ownership: release every snapshot.
 */
#ifndef TR_STORE_STORE_H
#define TR_STORE_STORE_H

#include "catalog/catalog.h"
#include "lake/lake.h"
#include "parquet/parquet.h"

/* Rows a writer aims at per partition: small enough for caches, large enough for encodings. */
#define TR_RUN_PARTITION_ROWS 49152u
#define TR_RUN_PARTITION_BITS_MAX 12

#define TR_RUN_WITHDRAWN "withdrawn"
#define TR_RUN_FOOTER "tributary.run" /* the metadata that makes a Parquet file a run */

typedef struct tr_store tr_store;

typedef struct tr_run {
    char id[48];       /* of the catalog's file or run object */
    char dataset[32];
    char batch[32];    /* "" for a compacted run */
    bool is_event;
    bool is_upsert;    /* the dataset's isUpsert tag when the run was made */
    bool is_members;   /* the members of clusters, and no fragments */
    bool is_membership; /* members of segments, under the keys of today's anchors */
    uint8_t partition_bits;
    int64_t ingested_us;   /* of its newest row */
    int64_t ingested_min_us; /* of its oldest: equal unless compacted */
    int64_t written_us;    /* what its rows carry instead, see below */
    uint64_t rows, bytes; /* 0 bytes: its rows are in memory */
    tr_parquet_file *file;
    const uint32_t *group_partition; /* [group count] partition of each row group, ascending */
    const bool *group_settled; /* [group count] all profiles in it are; NULL: nothing is known */
    /* leaves of the bookkeeping columns */
    uint32_t key_leaf, namespace_leaf, id_leaf, updated_leaf, ingested_leaf, batch_leaf;
    uint32_t identity_key_leaf; /* UINT32_MAX: every row's key is its own */
    const tr_shape *held_shape; /* without a file: */
    const tr_column *held;      /* its rows, in memory */
} tr_run;

static inline const tr_shape *tr_run_shape(const tr_run *run)
{
    return run->file == NULL ? run->held_shape : tr_parquet_shape(run->file);
}
/* Rows of a leaf, wherever they are: of a run in memory all of them. */
TR_MUST_CHECK tr_code tr_run_read(const tr_run *run, uint32_t group, uint32_t leaf, uint32_t from,
                                  uint32_t rows, tr_arena *arena, tr_column *out, tr_err *err);
/* Likewise, for who looks at levels alone, and at whether a code is 0: values may be left out. */
TR_MUST_CHECK tr_code tr_run_read_levels(const tr_run *run, uint32_t group, uint32_t leaf, uint32_t from,
                                         uint32_t rows, tr_arena *arena, tr_column *out, tr_err *err);

typedef struct tr_snapshot {
    const tr_run *const *runs; /* ordered by (dataset, ingested_us, id): the same list, the same order */
    uint32_t run_count;
} tr_snapshot;

TR_MUST_CHECK tr_code tr_store_open(tr_catalog *catalog, tr_lake *lake, tr_store **out, tr_err *err);
void tr_store_close(tr_store *store); /* accepts NULL */

/* All live runs of the tenant now. */
TR_MUST_CHECK tr_code tr_store_snapshot(tr_store *store, const tr_tenant *tenant,
                                        tr_snapshot **out, tr_err *err);
/* The ids of its runs, for a plan; returned. NULL: no memory. */
json_t *tr_store_run_ids(const tr_snapshot *snapshot);
/* Exactly the runs of a plan: array of run ids. TR_NOT_FOUND names the run that is gone. */
TR_MUST_CHECK tr_code tr_store_snapshot_of(tr_store *store, const tr_tenant *tenant,
                                           const json_t *run_ids, tr_snapshot **out, tr_err *err);
/* Whether the runs of a plan are all there still, without opening them: TR_NOT_FOUND names one whose data was taken
 * back. Who publishes what it made of them asks in the transaction. */
TR_MUST_CHECK tr_code tr_store_has_runs(tr_store *store, const tr_tenant *tenant, const json_t *run_ids,
                                        tr_err *err);
void tr_store_release(tr_store *store, tr_snapshot *snapshot); /* accepts NULL */
/* Closes a run as soon as nobody holds it: its file was removed, and an open one keeps its bytes. */
void tr_store_retire(tr_store *store, int64_t tenant, const char *id);
/* The same for all runs of a tenant that was removed. */
void tr_store_retire_tenant(tr_store *store, int64_t tenant);

/* Calls `fn` before runs are retired, so that whoever keeps snapshots for later lets them go. One caller. */
void tr_store_on_retire(tr_store *store, void (*fn)(void *ctx), void *ctx);

/* Few rows of this run, opened by somebody else, are read through the store's cache from now on; it must
 * be closed before the store. */
TR_MUST_CHECK tr_code tr_store_use_cache(tr_store *store, const tr_run *run, tr_err *err);

/* Opens one run from a file's bytes, outside of any catalog (tools, tests, benches). Names it by `id`. */
TR_MUST_CHECK tr_code tr_run_open(tr_str bytes, const char *id, const char *dataset, tr_run **out, tr_err *err);
void tr_run_close(tr_run *run); /* accepts NULL; only for tr_run_open */

/* What the run says of its rows: keys ascend, partitions are theirs, and profiles are settled where it says so.
 * TR_CORRUPT names the row group. */
TR_MUST_CHECK tr_code tr_run_verify(const tr_run *run, tr_err *err);

/* Bits so that `rows` rows make partitions of about TR_RUN_PARTITION_ROWS. */
uint8_t tr_run_bits_for(uint64_t rows);
/* The partition of a key among 2^bits. */
static inline uint32_t tr_key_partition(const uint8_t key[16], uint8_t bits)
{
    const uint32_t top = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];
    return bits == 0 ? 0 : top >> (32 - bits);
}

/* The key of an identity: XXH3-128 keyed with the sandbox's secret over "<namespace>\0<id>",
 * namespace in lower case. */
void tr_profile_key(const uint8_t secret[192], tr_str namespace_code, tr_str id, uint8_t out[16]);

/* Writes a run. rows  columns of `shape` (with its bookkeeping leaves), in order of arrival. Sorts and settles
 * them, and cuts row groups at the borders of tr_run_bits_for(rows). */
typedef struct tr_run_rows {
    const tr_shape *shape;
    const tr_column *columns; /* [shape->leaf_count] */
    uint32_t rows;
    bool is_event, is_members;
    bool keeps_arrival; /* events are not settled: somebody still has to know which row came later */
    uint8_t bits_min; /* at least so many partition bits; 0: as the rows need */
} tr_run_rows;
TR_MUST_CHECK tr_code tr_run_write(const tr_run_rows *rows, tr_sink sink, tr_err *err);

/* Adds the bookkeeping struct to a row type. NULL: no memory. */
tr_type *tr_run_add_bookkeeping(tr_arena *arena, tr_type *root);
/* Adds identityMap, a map of lists of {id, primary?}, to a row type. False: no memory. */
bool tr_run_add_identity_map(tr_arena *arena, tr_type *root, bool with_primary);
#define TR_RUN_IDENTITY_KEY "identityKey"

/* Folds runs of a dataset when there are more than a few of a size class: newest record per identity
 * (upsert: rows merged), events deduplicated by _id. Publishes in one transaction. *folded: how many
 * runs went. Never changes what a snapshot reads, nor what any later export answers. */
TR_MUST_CHECK tr_code tr_store_compact(tr_store *store, const tr_tenant *tenant, const char *dataset,
                                       uint32_t *folded, tr_err *err);

/* Removes the runs of a dataset that are live no more, and what was stitched of them, which compaction would keep
 * for a while: data was taken back. Whoever reads them reads on; plans that name them find them gone. */
TR_MUST_CHECK tr_code tr_store_sweep(tr_store *store, const tr_tenant *tenant, const char *dataset, tr_err *err);

#endif
