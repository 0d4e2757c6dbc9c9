/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot.c - the live runs of a tenant, opened once and counted.
 *
 * Runs are immutable, so an opened one serves every snapshot that lists it; it is closed when
 * nobody holds it and it was retired, or when too many idle ones are kept. Which runs are live is
 * the catalog's answer, asked in one transaction: a compaction moves files and runs at once, and
 * half of that would count rows twice or not at all.
 */
#include "store/store_internal.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

tr_code tr_store_open(tr_catalog *catalog, tr_lake *lake, tr_store **out, tr_err *err)
{
    tr_store *store = tr_alloc_zeroed(1, sizeof *store);
    if (store == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the store");
    store->catalog = catalog;
    store->lake = lake;
    const tr_code code = tr_chunk_cache_open(TR_LOOKUP_CACHE_BYTES_MAX, &store->cache, err);
    if (code != TR_OK) {
        tr_free(store);
        return code;
    }
    (void)pthread_mutex_init(&store->mutex, NULL);
    (void)pthread_mutex_init(&store->compacting, NULL);
    *out = store;
    return TR_OK;
}

static void close_opened(tr_opened *opened)
{
    tr_run_close(opened->run);
    tr_map_close(&opened->map);
    tr_free(opened);
}

void tr_store_close(tr_store *store)
{
    if (store == NULL)
        return;
    while (store->opened != NULL) {
        tr_opened *next = store->opened->next;
        close_opened(store->opened);
        store->opened = next;
    }
    tr_chunk_cache_close(store->cache);
    (void)pthread_mutex_destroy(&store->mutex);
    (void)pthread_mutex_destroy(&store->compacting);
    tr_free(store);
}

/* Closes idle runs that were retired, and all idle ones when there are too many. The mutex is held. */
static void close_idle(tr_store *store)
{
    for (tr_opened **at = &store->opened; *at != NULL;) {
        tr_opened *opened = *at;
        if (opened->holders == 0 && (opened->is_retired || store->opened_count > TR_STORE_IDLE_RUNS_MAX)) {
            *at = opened->next;
            store->opened_count--;
            close_opened(opened);
        } else {
            at = &opened->next;
        }
    }
}

/* id  NULL: all of the tenant */
static void retire(tr_store *store, int64_t tenant, const char *id)
{
    if (store->on_retire != NULL)
        store->on_retire(store->on_retire_ctx);
    (void)pthread_mutex_lock(&store->mutex);
    store->retired++;
    for (tr_opened *opened = store->opened; opened != NULL; opened = opened->next)
        if (opened->tenant == tenant && (id == NULL || strcmp(opened->run->id, id) == 0))
            opened->is_retired = true;
    close_idle(store);
    (void)pthread_mutex_unlock(&store->mutex);
}

tr_code tr_store_use_cache(tr_store *store, const tr_run *run, tr_err *err)
{
    return tr_parquet_use_cache(run->file, store->cache, err);
}

void tr_store_on_retire(tr_store *store, void (*fn)(void *ctx), void *ctx)
{
    store->on_retire = fn;
    store->on_retire_ctx = ctx;
}

void tr_store_retire(tr_store *store, int64_t tenant, const char *id)
{
    retire(store, tenant, id);
}

void tr_store_retire_tenant(tr_store *store, int64_t tenant)
{
    retire(store, tenant, NULL);
}

static tr_opened *find_held(tr_store *store, int64_t tenant, const char *id)
{
    for (tr_opened *opened = store->opened; opened != NULL; opened = opened->next)
        if (opened->tenant == tenant && strcmp(opened->run->id, id) == 0) {
            opened->holders++;
            return opened;
        }
    return NULL;
}

static tr_code open_run(tr_store *store, const tr_tenant *tenant, const tr_run_entry *entry, tr_opened **out,
                        tr_err *err)
{
    tr_opened *opened = tr_alloc_zeroed(1, sizeof *opened);
    if (opened == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to open run %s", entry->id);
    tr_code code = tr_lake_map(store->lake, tenant, entry->dataset, entry->folder, entry->name, &opened->map, err);
    if (code == TR_OK)
        code = tr_run_open(opened->map.bytes, entry->id, entry->dataset, &opened->run, err);
    if (code == TR_OK)
        code = tr_parquet_use_cache(opened->run->file, store->cache, err);
    if (code == TR_OK && (opened->run->rows != entry->rows || opened->map.bytes.len != entry->bytes))
        code = TR_FAIL(err, TR_CORRUPT, "run %s is not what the catalog knows: %llu rows, %llu expected", entry->id,
                       (unsigned long long)opened->run->rows, (unsigned long long)entry->rows);
    if (code != TR_OK) {
        tr_err_context(err, "run %s", entry->id);
        close_opened(opened);
        return code;
    }
    tr_run *run = opened->run;
    run->is_upsert = entry->is_upsert;
    run->is_membership = entry->is_membership;
    if (!entry->is_compacted) {
        (void)snprintf(run->batch, sizeof run->batch, "%.31s", entry->batch);
        run->ingested_us = run->ingested_min_us = entry->ingested_us;
    }
    opened->tenant = tenant->id;
    opened->holders = 1;
    *out = opened;
    return TR_OK;
}

/* Opens outside of the lock: reading a footer may wait for the disk. Two threads may open the same run;
 * the second throws its own away. A run that was retired while it was opened would be kept for ever, and its
 * removed file's bytes with it: what was opened meanwhile is closed with its last holder. */
static tr_code hold_run(tr_store *store, const tr_tenant *tenant, const tr_run_entry *entry, tr_opened **out,
                        tr_err *err)
{
    tr_opened *fresh = NULL;
    (void)pthread_mutex_lock(&store->mutex);
    tr_opened *opened = find_held(store, tenant->id, entry->id);
    const uint64_t retired = store->retired;
    (void)pthread_mutex_unlock(&store->mutex);
    if (opened == NULL) {
        TR_TRY(open_run(store, tenant, entry, &fresh, err));
        (void)pthread_mutex_lock(&store->mutex);
        opened = find_held(store, tenant->id, entry->id);
        if (opened == NULL) {
            fresh->is_retired = store->retired != retired;
            fresh->next = store->opened;
            store->opened = opened = fresh;
            store->opened_count++;
            fresh = NULL;
        }
        (void)pthread_mutex_unlock(&store->mutex);
        if (fresh != NULL)
            close_opened(fresh);
    }
    *out = opened;
    return TR_OK;
}

/* Reads what a file, run or stitched object says; false: it is no run. A stitched one says what its source did,
 * so that it stands where that would; only its folder is its own. */
static bool read_entry(const tr_object *object, tr_run_source source, tr_run_entry *entry)
{
    const bool is_compacted = source == TR_RUN_COMPACTED ||
                              (source == TR_RUN_STITCHED && tr_json_bool(object->doc, "isCompacted", false));
    const char *dataset = tr_json_text(object->doc, "dataSetId", is_compacted ? object->parent : "");
    const char *own = source == TR_RUN_STITCHED ? object->parent : object->id;
    const char *batch = is_compacted ? own : tr_json_text(object->doc, "batchId", object->parent);
    const char *behavior = tr_json_text(object->doc, "behavior", "");
    *entry = (tr_run_entry){.is_compacted = is_compacted,
                            .is_event = strcmp(behavior, "event") == 0,
                            .is_upsert = tr_json_bool(object->doc, "isUpsert", false),
                            .is_membership = strcmp(behavior, "membership") == 0,
                            .bytes = (uint64_t)tr_json_int(object->doc, "bytes", 0),
                            .rows = (uint64_t)tr_json_int(object->doc, "rows", 0),
                            .ingested_us = tr_json_int(object->doc, "ingestedUs", 0),
                            .updated_ms = object->updated_ms};
    (void)snprintf(entry->id, sizeof entry->id, "%s", object->id);
    (void)snprintf(entry->dataset, sizeof entry->dataset, "%s", dataset);
    (void)snprintf(entry->batch, sizeof entry->batch, "%s", batch);
    (void)snprintf(entry->folder, sizeof entry->folder, "%s", source == TR_RUN_STITCHED ? object->id : batch);
    (void)snprintf(entry->name, sizeof entry->name, "%s", tr_json_text(object->doc, "name", ""));
    return source == TR_RUN_STITCHED || entry->is_event || strcmp(behavior, "record") == 0;
}

tr_code tr_run_list_add(tr_run_list *list, const tr_object *object, tr_run_source source, tr_err *err)
{
    if (list->count == list->cap) {
        const uint32_t cap = list->cap == 0 ? 32 : list->cap * 2;
        tr_run_entry *entries = tr_grow_array(list->entries, cap, sizeof *entries);
        if (entries == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for a list of %u runs", cap);
        list->entries = entries;
        list->cap = cap;
    }
    list->count += read_entry(object, source, &list->entries[list->count]);
    return TR_OK;
}

static tr_code add_file(void *ctx, const tr_object *object, tr_err *err)
{
    return tr_run_list_add(ctx, object, TR_RUN_OF_FILE, err);
}

static tr_code add_run(void *ctx, const tr_object *object, tr_err *err)
{
    return tr_run_list_add(ctx, object, TR_RUN_COMPACTED, err);
}

/* Within a dataset by ingestion; files of one batch by name, which is the order they were written in. */
static int compare_entries(const void *left, const void *right)
{
    const tr_run_entry *a = left, *b = right;
    int order = strcmp(a->dataset, b->dataset);
    if (order == 0)
        order = a->ingested_us < b->ingested_us ? -1 : a->ingested_us > b->ingested_us;
    if (order == 0)
        order = strcmp(a->batch, b->batch);
    if (order == 0)
        order = strcmp(a->name, b->name);
    return order != 0 ? order : strcmp(a->id, b->id);
}

void tr_run_list_sort(tr_run_list *list)
{
    if (list->count > 1)
        qsort(list->entries, list->count, sizeof *list->entries, compare_entries);
}

tr_code tr_run_list_live(tr_store *store, const tr_tenant *tenant, tr_run_list *list, tr_err *err)
{
    const tr_catalog_filter live = {.state = "profile"};
    TR_TRY(tr_catalog_begin(store->catalog, err));
    tr_code code = tr_catalog_list(store->catalog, tenant, "file", &live, add_file, list, err);
    if (code == TR_OK)
        code = tr_catalog_list(store->catalog, tenant, "run", &live, add_run, list, err);
    code = tr_catalog_end(store->catalog, code, err);
    tr_run_list_sort(list);
    return code;
}

typedef struct held {
    tr_snapshot snapshot; /* first: what callers hold */
    const tr_run **runs;
    tr_opened **opened;
} held;

tr_code tr_run_list_hold(tr_store *store, const tr_tenant *tenant, const tr_run_list *list, tr_snapshot **out,
                         tr_err *err)
{
    tr_code code = TR_OK;
    held *own = tr_alloc_zeroed(1, sizeof *own);
    if (own == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a snapshot");
    own->runs = tr_alloc_zeroed(list->count, sizeof *own->runs);
    own->opened = tr_alloc_zeroed(list->count, sizeof *own->opened);
    own->snapshot.runs = own->runs;
    if (own->runs == NULL || own->opened == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a snapshot of %u runs", list->count);
    for (uint32_t i = 0; i < list->count && code == TR_OK; i++) {
        code = hold_run(store, tenant, &list->entries[i], &own->opened[i], err);
        if (code == TR_OK)
            own->runs[own->snapshot.run_count++] = own->opened[i]->run;
    }
    if (code == TR_OK)
        *out = &own->snapshot;
    else
        tr_store_release(store, &own->snapshot);
    return code;
}

void tr_store_release(tr_store *store, tr_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    held *own = (held *)(void *)snapshot;
    (void)pthread_mutex_lock(&store->mutex);
    for (uint32_t i = 0; i < snapshot->run_count; i++)
        own->opened[i]->holders--;
    close_idle(store);
    (void)pthread_mutex_unlock(&store->mutex);
    tr_free(own->runs);
    tr_free(own->opened);
    tr_free(own);
}

static tr_code list_and_hold(tr_store *store, const tr_tenant *tenant, tr_snapshot **out, tr_err *err)
{
    tr_run_list list = {0};
    tr_code code = tr_run_list_live(store, tenant, &list, err);
    if (code == TR_OK)
        code = tr_run_list_hold(store, tenant, &list, out, err);
    tr_free(list.entries);
    return code;
}

/* A batch may be removed between the catalog's answer and the opening of its file: then the catalog is asked
 * again. A file that is missing every time is damage. */
tr_code tr_store_snapshot(tr_store *store, const tr_tenant *tenant, tr_snapshot **out, tr_err *err)
{
    enum { TRIES = 8 };
    tr_code code = TR_NOT_FOUND;
    for (int i = 0; i < TRIES && code == TR_NOT_FOUND; i++)
        code = list_and_hold(store, tenant, out, err);
    if (code != TR_NOT_FOUND)
        return code;
    const tr_err why = err == NULL ? (tr_err){0} : *err;
    return TR_FAIL(err, TR_CORRUPT, "a file of the profile store is missing: %s", why.text);
}

bool tr_run_is_withdrawn(const char *kind, const char *state)
{
    return (strcmp(kind, "file") == 0 && strcmp(state, "gone") == 0) ||
           (strcmp(kind, "run") == 0 && strcmp(state, TR_RUN_WITHDRAWN) == 0);
}

/* A run by id, whether it is live or only still readable. */
static tr_code find_run(tr_store *store, const tr_tenant *tenant, const char *id, tr_run_list *list, tr_err *err)
{
    static const char *const kinds[] = {[TR_RUN_OF_FILE] = "file",
                                        [TR_RUN_COMPACTED] = "run",
                                        [TR_RUN_STITCHED] = "stitched"};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    tr_object object = {0};
    tr_code code = TR_NOT_FOUND;
    uint32_t kind = 0;
    for (; kind < KINDS && code == TR_NOT_FOUND; kind += code == TR_NOT_FOUND)
        code = tr_catalog_get(store->catalog, tenant, kinds[kind], id, &object, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_NOT_FOUND, "run %s of the snapshot is gone", id);
    TR_TRY(code);
    if (tr_run_is_withdrawn(kinds[kind], object.state))
        code = TR_FAIL(err, TR_NOT_FOUND, "run %s of the snapshot is gone", id);
    else
        code = tr_run_list_add(list, &object, (tr_run_source)kind, err);
    tr_object_clear(&object);
    return code;
}

static tr_code find_runs(tr_store *store, const tr_tenant *tenant, const json_t *run_ids, tr_run_list *list,
                         tr_err *err)
{
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(run_ids) && code == TR_OK; i++) {
        const char *id = json_string_value(json_array_get(run_ids, i));
        code = id == NULL ? TR_FAIL(err, TR_INVALID, "a run id of the snapshot is not a string")
                          : find_run(store, tenant, id, list, err);
    }
    return code;
}

tr_code tr_store_has_runs(tr_store *store, const tr_tenant *tenant, const json_t *run_ids, tr_err *err)
{
    tr_run_list list = {0};
    const tr_code code = find_runs(store, tenant, run_ids, &list, err);
    tr_free(list.entries);
    return code;
}

tr_code tr_store_snapshot_of(tr_store *store, const tr_tenant *tenant, const json_t *run_ids, tr_snapshot **out,
                             tr_err *err)
{
    tr_run_list list = {0};
    tr_code code = find_runs(store, tenant, run_ids, &list, err);
    if (code == TR_OK) {
        tr_run_list_sort(&list);
        code = tr_run_list_hold(store, tenant, &list, out, err);
    }
    tr_free(list.entries);
    return code;
}
