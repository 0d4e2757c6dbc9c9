/* SPDX-License-Identifier: Apache-2.0 */
/* compact.c - which runs are folded, and how the result takes their place.
 *
 * Runs of a dataset, oldest first, with their rows:
 *
 *     8M   1M   90k 70k  5k 4k 6k 3k 5k 4k 5k 6k
 *                        |---- the newest runs, taken together while they are at least a
 *                              quarter of the next older one ----|
 *
 * Only the newest runs, without gaps, are folded, and runs of one ingestion time never part ways: the
 * order of a dataset's runs is the order in which rows replace each other. A row is rewritten about
 * log4(rows) times.
 *
 * A large batch comes as several files, each with rows of all partitions. They are folded by themselves
 * before there are many runs: once for every row, where every merge would read each file's pages and
 * dictionaries again and again, for the few rows of a partition.
 *
 * The sources stay readable for plans that name them: files of batches as lake files,
 * compacted runs until TR_RUN_RETIRED_MS have passed.
 */
#include "store/refold.h"
#include "store/stitched.h"
#include "store/store_internal.h"
#include "base/clock.h"
#include "base/log.h"

#include <string.h>

enum { FOLD_RUNS_MIN = 8, FOLD_FACTOR = 4 };

static const char run_name[] = "run.parquet";

/* The files of the newest batch among [0, *end) that came as several; *end: behind the last of them.
 * *end when there is none. */
static uint32_t find_cut_batch(const tr_run_list *list, uint32_t *end)
{
    for (uint32_t from = *end; from > 0; *end = from) {
        while (from > 0 && list->entries[from - 1].ingested_us == list->entries[*end - 1].ingested_us)
            from--;
        if (*end - from > 1)
            return from;
    }
    return *end;
}

/* Keeps of `list` only what is to be folded. */
static void choose(tr_run_list *list, const char *dataset)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->entries[i].dataset, dataset) == 0)
            list->entries[count++] = list->entries[i];
    uint64_t rows = 0;
    uint32_t from = count;
    while (from > 0) {
        const tr_run_entry *older = &list->entries[from - 1];
        const tr_run_entry *newer = from < count ? &list->entries[from] : older;
        const bool is_tied = from < count && older->ingested_us == newer->ingested_us;
        if (older->is_event != newer->is_event || older->is_upsert != newer->is_upsert)
            break;
        if (count - from >= FOLD_RUNS_MIN && older->rows > rows * FOLD_FACTOR && !is_tied)
            break;
        rows += older->rows;
        from--;
    }
    if (count - from < FOLD_RUNS_MIN)
        from = find_cut_batch(list, &count);
    list->count = count - from;
    if (list->count > 0) /* an empty sandbox has no list at all */
        memmove(list->entries, list->entries + from, list->count * sizeof *list->entries);
}

static tr_code describe(const char *dataset, const tr_lake_written *written, const tr_refolded *refolded,
                        const tr_run_list *sources, json_t **out, tr_err *err)
{
    json_t *ids = json_array();
    for (uint32_t i = 0; i < sources->count; i++)
        (void)json_array_append_new(ids, json_string(sources->entries[i].id));
    *out = json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:I, s:b, s:o}", "dataSetId", dataset, "name", run_name,
                     "bytes", (json_int_t)written->bytes, "rows", (json_int_t)refolded->rows, "xxh128",
                     written->xxh128, "behavior", sources->entries[0].is_event ? "event" : "record",
                     "partitionBits", (int)refolded->partition_bits, "ingestedUs",
                     (json_int_t)refolded->ingested_us, "isUpsert", (int)sources->entries[0].is_upsert,
                     "sources", ids);
    return *out != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory to describe a run");
}

static tr_code retire_source(tr_store *store, const tr_tenant *tenant, const tr_run_entry *entry, tr_err *err)
{
    tr_object object = {0};
    const char *kind = entry->is_compacted ? "run" : "file";
    TR_TRY(tr_catalog_get(store->catalog, tenant, kind, entry->id, &object, err));
    tr_code code = TR_OK;
    if (strcmp(object.state, "profile") != 0)
        code = TR_FAIL(err, TR_CONFLICT, "run %s was retired while it was compacted", entry->id);
    memset(object.state, 0, sizeof object.state);
    memcpy(object.state, entry->is_compacted ? "gone" : "lake", 4);
    object.updated_ms = 0;
    if (code == TR_OK)
        code = tr_catalog_put(store->catalog, tenant, kind, &object, object.revision, err);
    tr_object_clear(&object);
    return code;
}

/* One transaction: the new run is live and its sources are not. */
static tr_code take_place(tr_store *store, const tr_tenant *tenant, const tr_object *run, const tr_run_list *sources,
                          tr_err *err)
{
    TR_TRY(tr_catalog_begin(store->catalog, err));
    tr_code code = TR_OK;
    for (uint32_t i = 0; i < sources->count && code == TR_OK; i++)
        code = retire_source(store, tenant, &sources->entries[i], err);
    if (code == TR_OK)
        code = tr_catalog_insert(store->catalog, tenant, "run", run, err);
    return tr_catalog_end(store->catalog, code, err);
}

static tr_code write_run(tr_store *store, const tr_tenant *tenant, const char *stage, const tr_snapshot *snapshot,
                         tr_refolded *refolded, tr_lake_written *written, tr_err *err)
{
    tr_lake_file file;
    TR_TRY(tr_lake_create(store->lake, tenant, stage, run_name, &file, err));
    tr_code code = tr_refold(snapshot->runs, snapshot->run_count, (tr_sink){tr_lake_write, &file}, refolded, err);
    if (code == TR_OK)
        code = tr_lake_finish(&file, written, err);
    tr_lake_abandon(&file);
    return code;
}

static tr_code fold(tr_store *store, const tr_tenant *tenant, const char *dataset, const tr_run_list *sources,
                    tr_err *err)
{
    const tr_id id = tr_id_ulid();
    tr_snapshot *snapshot = NULL;
    tr_refolded refolded;
    tr_lake_written written;
    tr_object run = {.state = "profile"};
    memcpy(run.id, id.text, sizeof id.text);
    memcpy(run.parent, dataset, strlen(dataset) + 1);
    tr_code code = tr_run_list_hold(store, tenant, sources, &snapshot, err);
    if (code == TR_OK)
        code = write_run(store, tenant, id.text, snapshot, &refolded, &written, err);
    if (code == TR_OK)
        code = describe(dataset, &written, &refolded, sources, &run.doc, err);
    if (code == TR_OK) {
        tr_crash_point("compact_before_publish");
        code = tr_lake_publish(store->lake, tenant, id.text, dataset, id.text, err);
    }
    if (code == TR_OK) {
        tr_crash_point("compact_before_commit");
        code = take_place(store, tenant, &run, sources, err);
        if (code != TR_OK && tr_lake_remove_batch(store->lake, tenant, dataset, id.text, NULL) != TR_OK)
            tr_log(TR_LOG_WARN, "store", "orphan_left", "dataset=%s run=%s", dataset, id.text);
    } else if (tr_lake_drop_stage(store->lake, tenant, id.text, NULL) != TR_OK) {
        tr_log(TR_LOG_WARN, "store", "orphan_left", "dataset=%s stage=%s", dataset, id.text);
    }
    json_decref(run.doc);
    tr_store_release(store, snapshot);
    for (uint32_t i = 0; code == TR_OK && i < sources->count; i++)
        tr_store_retire(store, tenant->id, sources->entries[i].id);
    return code;
}

static tr_code add_gone(void *ctx, const tr_object *object, tr_err *err)
{
    return tr_run_list_add(ctx, object, TR_RUN_COMPACTED, err);
}

/* Removes compacted runs that went before a time. */
static tr_code sweep(tr_store *store, const tr_tenant *tenant, const char *dataset, int64_t before_ms,
                     tr_err *err)
{
    tr_run_list gone = {0};
    const tr_catalog_filter filter = {.parent = dataset, .state = "gone," TR_RUN_WITHDRAWN};
    tr_code code = tr_catalog_list(store->catalog, tenant, "run", &filter, add_gone, &gone, err);
    for (uint32_t i = 0; i < gone.count && code == TR_OK; i++) {
        if (gone.entries[i].updated_ms > before_ms)
            continue;
        code = tr_lake_remove_batch(store->lake, tenant, dataset, gone.entries[i].folder, err);
        if (code == TR_OK)
            code = tr_catalog_remove(store->catalog, tenant, "run", gone.entries[i].id, err);
        tr_store_retire(store, tenant->id, gone.entries[i].id); /* an old plan may have opened it again */
    }
    tr_free(gone.entries);
    return code;
}

tr_code tr_store_compact(tr_store *store, const tr_tenant *tenant, const char *dataset, uint32_t *folded,
                         tr_err *err)
{
    tr_run_list list = {0};
    (void)pthread_mutex_lock(&store->compacting);
    tr_code code = sweep(store, tenant, dataset, tr_time_now_ms() - TR_RUN_RETIRED_MS, err);
    if (code == TR_OK)
        code = tr_stitched_sweep(store, tenant, false, err);
    if (code == TR_OK)
        code = tr_run_list_live(store, tenant, &list, err);
    if (code == TR_OK)
        choose(&list, dataset);
    uint32_t count = list.count;
    if (code == TR_OK && count > 0)
        code = fold(store, tenant, dataset, &list, err);
    if (code == TR_SEMANTIC || code == TR_CONFLICT || code == TR_NOT_FOUND) { /* slower, not wrong */
        tr_log(TR_LOG_WARN, "store", "compaction_skipped", "dataset=%s runs=%u", dataset, count);
        code = TR_OK;
        count = 0;
    }
    (void)pthread_mutex_unlock(&store->compacting);
    tr_free(list.entries);
    if (code == TR_OK)
        *folded = count;
    return code;
}

tr_code tr_store_sweep(tr_store *store, const tr_tenant *tenant, const char *dataset, tr_err *err)
{
    (void)pthread_mutex_lock(&store->compacting);
    tr_code code = sweep(store, tenant, dataset, INT64_MAX, err);
    if (code == TR_OK)
        code = tr_stitched_sweep(store, tenant, true, err);
    (void)pthread_mutex_unlock(&store->compacting);
    return code;
}
