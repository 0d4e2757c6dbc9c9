/* SPDX-License-Identifier: Apache-2.0 */
/* store_internal.h - opened runs, and lists of runs as the catalog knows them. */
#ifndef TR_STORE_STORE_INTERNAL_H
#define TR_STORE_STORE_INTERNAL_H

#include "store/store.h"
#include "os/os.h"
#include "parquet/cache.h"

#include <pthread.h>

/* Idle runs kept open: each costs a mapping and a parsed footer. */
enum { TR_STORE_IDLE_RUNS_MAX = 1024 };

typedef struct tr_opened tr_opened;
struct tr_opened {
    tr_opened *next;
    int64_t tenant;
    uint32_t holders;
    bool is_retired;
    tr_map map;
    tr_run *run;
};

struct tr_store {
    tr_catalog *catalog;
    tr_lake *lake;
    pthread_mutex_t mutex;      /* opened, opened_count, retired, holders */
    pthread_mutex_t compacting; /* one compaction at a time: two would fold the same runs */
    tr_opened *opened;
    uint32_t opened_count;
    uint64_t retired; /* counts calls of retire: who opens a run meanwhile may have opened one that goes */
    tr_chunk_cache *cache; /* of all runs: lookups read few rows of each */
    void (*on_retire)(void *ctx);
    void *on_retire_ctx;
};

typedef struct tr_run_entry {
    char id[48], dataset[32], batch[48], folder[48], name[104];
    bool is_compacted, is_event, is_upsert, is_membership;
    uint64_t bytes, rows;
    int64_t ingested_us, updated_ms;
} tr_run_entry;

typedef struct tr_run_list {
    tr_run_entry *entries; /* freed by the owner of the list */
    uint32_t count, cap;
} tr_run_list;

typedef enum tr_run_source { TR_RUN_OF_FILE, TR_RUN_COMPACTED, TR_RUN_STITCHED } tr_run_source;
/* Whether an object of kind "file" or "run" holds data that was taken back: no plan finds it. */
bool tr_run_is_withdrawn(const char *kind, const char *state);
TR_MUST_CHECK tr_code tr_run_list_add(tr_run_list *list, const tr_object *object, tr_run_source source,
                                      tr_err *err);
void tr_run_list_sort(tr_run_list *list);
TR_MUST_CHECK tr_code tr_run_list_live(tr_store *store, const tr_tenant *tenant, tr_run_list *list, tr_err *err);
TR_MUST_CHECK tr_code tr_run_list_hold(tr_store *store, const tr_tenant *tenant, const tr_run_list *list,
                                       tr_snapshot **out, tr_err *err);

/* How long runs that are live no more stay for plans that name them. */
enum { TR_RUN_RETIRED_MS = 3600 * 1000 };

#endif
