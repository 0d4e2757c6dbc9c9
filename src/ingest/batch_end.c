/* SPDX-License-Identifier: Apache-2.0 */
/* batch_end.c - the three ways a batch ends, and the way it is taken back.
 *
 * success    staged runs read again and compared, one rename, then ONE transaction: files, batch,
 * the
 *                batches it replaces, its ingestion time
 *     failure    one transaction: batch with errors; stage and raw files go
 *     aborted    (by batch_action.c) stage and raw files go
 *
 * The ingestion time is taken inside the transaction and is later than that of any batch before:
 * whoever looked before saw nothing of the batch, whoever looks later sees it whole, and "ingested
 * after" is true.
 */
#include "base/log.h"
#include "ingest/ingest_internal.h"

#include <unistd.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to end a batch");
}

/* ---- success */

typedef struct totals {
    uint64_t bytes, files, partitions;
} totals;

static totals add_up(const tr_batch_run *run)
{
    totals sum = {0};
    for (uint32_t b = 0; b < run->block_count; b++)
        for (const tr_batch_part *part = run->results[b].parts; part != NULL; part = part->next) {
            const uint64_t partitions = UINT64_C(1) << tr_run_bits_for(part->rows);
            sum.bytes += part->written.bytes;
            sum.files++;
            if (partitions > sum.partitions)
                sum.partitions = partitions;
        }
    return sum;
}

/* What will be read is what was written. */
static tr_code check_parts(const tr_batch_run *run, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    for (uint32_t b = 0; b < run->block_count; b++)
        for (const tr_batch_part *part = run->results[b].parts; part != NULL; part = part->next)
            if (!tr_lake_stage_has(active->ingest->parts.lake, &active->tenant, run->stage,
                                   part->name, &part->written))
                return TR_FAIL(err, TR_CORRUPT, "%s is not what was written", part->name);
    return TR_OK;
}

/* Ids in the order of names, which is the order in which files are listed. */
static tr_code insert_file(const tr_batch_run *run, const tr_batch_part *part, uint32_t number,
                           int64_t ingested_us, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    tr_object file = {0};
    if (number > UINT16_MAX)
        return TR_FAIL(err, TR_LIMIT, "the batch has more than %d runs", UINT16_MAX);
    (void)snprintf(file.id, sizeof file.id, "%.26s-%04x", active->batch, number);
    (void)snprintf(file.parent, sizeof file.parent, "%s", active->batch);
    (void)snprintf(file.state, sizeof file.state, "%s", run->is_profile ? "profile" : "lake");
    file.doc =
        json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:i, s:I, s:b, s:b}", "id", file.id,
                  "dataSetId", active->dataset, "batchId", active->batch, "name", part->name,
                  "bytes", (json_int_t)part->written.bytes, "rows", (json_int_t)part->rows,
                  "xxh128", part->written.xxh128, "behavior", run->behavior, "partitionBits",
                  (int)tr_run_bits_for(part->rows), "ingestedUs", (json_int_t)ingested_us,
                  "isUpsert", (int)run->is_upsert, "isProfile", (int)run->is_profile);
    if (file.doc == NULL)
        return no_memory(err);
    const tr_code code =
        tr_catalog_insert(active->ingest->parts.catalog, &active->tenant, "file", &file, err);
    json_decref(file.doc);
    return code;
}

static tr_code insert_files(const tr_batch_run *run, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    int64_t ingested_us;
    uint32_t number = 0;
    TR_TRY(tr_catalog_clock(active->ingest->parts.catalog, &active->tenant, &ingested_us, err));
    for (uint32_t b = 0; b < run->block_count; b++)
        for (const tr_batch_part *part = run->results[b].parts; part != NULL; part = part->next)
            TR_TRY(insert_file(run, part, ++number, ingested_us, err));
    return TR_OK;
}

static json_t *metrics(const tr_batch_run *run, const totals *sum)
{
    const tr_block_result *total = &run->total;
    const json_int_t bad = (json_int_t)total->rows_bad;
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "inputRecordCount",
                     (json_int_t)total->rows_in, "outputRecordCount", (json_int_t)total->rows_good,
                     "failedRecordCount", bad, "inputByteSize", (json_int_t)run->bytes_in,
                     "outputByteSize", (json_int_t)sum->bytes, "inputFileCount",
                     (json_int_t)run->file_count, "outputFileCount", (json_int_t)sum->files,
                     "partitionCount", (json_int_t)sum->partitions, "invalidRecordCount", bad,
                     "invalidRecordsProfile", (json_int_t)total->rows_without_identity,
                     "invalidRecordsIdentity", (json_int_t)total->rows_with_bad_identity);
}

static tr_code finish_document(const tr_batch_run *run, tr_object *batch, tr_err *err)
{
    const totals sum = add_up(run);
    const json_int_t now = (json_int_t)tr_time_now_ms();
    json_t *more =
        json_pack("{s:I, s:o, s:I, s:I, s:I}", "completed", now, "metrics", metrics(run, &sum),
                  "recordCount", (json_int_t)run->total.rows_good, "failedRecordCount",
                  (json_int_t)run->total.rows_bad, "size", (json_int_t)sum.bytes);
    bool is_good = more != NULL && json_object_update(batch->doc, more) == 0 &&
                   json_object_set(batch->doc, "errors", run->errors) == 0 &&
                   json_object_set(batch->doc, "_diagnostics", run->diagnostics) == 0;
    json_decref(more);
    return is_good ? tr_batch_move(batch, "success", err) : no_memory(err);
}

static const json_t *predecessors_of(const json_t *doc)
{
    return json_object_get(json_object_get(doc, "replay"), "predecessors");
}

static tr_code replace_predecessors(const tr_batch_run *run, const json_t *doc, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    const json_t *list = predecessors_of(doc);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *id = json_string_value(json_array_get(list, i));
        if (id != NULL)
            TR_TRY(tr_batch_withdraw(active->ingest, &active->tenant, id, active->batch, err));
    }
    return TR_OK;
}

static tr_code to_success(void *ctx, tr_object *batch, tr_err *err)
{
    const tr_batch_run *run = ctx;
    const tr_ingest_active *active = run->active;
    tr_object dataset = {0};
    if (strcmp(batch->state, "processing") != 0)
        return TR_FAIL(err, TR_CANCELLED, "the batch is \"%s\"", batch->state);
    const tr_code code = tr_catalog_get(active->ingest->parts.catalog, &active->tenant, "dataset",
                                        active->dataset, &dataset, err);
    tr_object_clear(&dataset);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "dataset %s was deleted while the batch was read",
                       active->dataset);
    TR_TRY(code);
    TR_TRY(replace_predecessors(run, batch->doc, err));
    TR_TRY(insert_files(run, err));
    TR_TRY(tr_upload_forget(active->ingest, &active->tenant, active->batch, err));
    return finish_document(run, batch, err);
}

/* The batches that this one replaces, in the run's arena. */
static tr_code list_predecessors(tr_batch_run *run, const char ***out, uint32_t *count, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    tr_object batch = {0};
    TR_TRY(tr_batch_get(active->ingest, &active->tenant, active->batch, &batch, err));
    const json_t *list = predecessors_of(batch.doc);
    const char **ids = tr_arena_array(&run->arena, json_array_size(list) + 1, sizeof *ids);
    uint32_t found = 0;
    for (size_t i = 0; i < json_array_size(list) && ids != NULL; i++) {
        const char *id = json_string_value(json_array_get(list, i));
        if (id == NULL)
            continue;
        ids[found] = tr_arena_text(&run->arena, tr_str_of(id));
        ids = ids[found++] == NULL ? NULL : ids;
    }
    tr_object_clear(&batch);
    if (ids == NULL)
        return no_memory(err);
    *out = ids;
    *count = found;
    return TR_OK;
}

/* Lookups over the graph would wait behind the commit until what replaced batches leave is read
 * anew: it is read before. */
static tr_code commit(tr_batch_run *run, const char *const *replaced, uint32_t count, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    tr_graph *graph = active->ingest->parts.graph;
    tr_graph_preparation coming = {.batches = replaced, .batch_count = count};
    tr_graph_prepare(graph, &active->tenant, &coming);
    const tr_code code =
        tr_batch_edit(active->ingest, &active->tenant, active->batch, to_success, run, err);
    tr_graph_prepare_end(graph, &active->tenant, &coming, code == TR_OK);
    return code;
}

static void remove_bytes(const tr_batch_run *run, const char *id)
{
    const tr_ingest_active *active = run->active;
    tr_err err = {0};
    if (tr_queue_removal(active->ingest, &active->tenant, id, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "ingest", "ingest_not_queued", "batch=%s reason=\"%s\"", id, err.text);
}

static void drop_uploads(const tr_batch_run *run)
{
    tr_queue_drop(run->active->ingest, &run->active->tenant, run->active->batch);
}

tr_code tr_batch_publish(tr_batch_run *run, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    tr_lake *lake = active->ingest->parts.lake;
    const char **replaced = NULL;
    uint32_t replaced_count = 0;
    TR_TRY(list_predecessors(run, &replaced, &replaced_count, err));
    TR_TRY(check_parts(run, err));
    tr_crash_point("ingest_checked");
    if (add_up(run).files > 0)
        TR_TRY(tr_lake_publish(lake, &active->tenant, run->stage, active->dataset, active->batch,
                               err));
    tr_crash_point("ingest_published");
    TR_TRY(commit(run, replaced, replaced_count, err));
    tr_crash_point("ingest_committed");
    tr_log(TR_LOG_INFO, "ingest", "ingest_succeeded", "batch=%s rows=%llu rejected=%llu ms=%lld",
           active->batch, (unsigned long long)run->total.rows_good,
           (unsigned long long)run->total.rows_bad,
           (long long)(tr_time_now_ms() - run->started_ms));
    for (uint32_t i = 0; i < replaced_count; i++)
        remove_bytes(run, replaced[i]);
    drop_uploads(run);
    tr_crash_point("ingest_done");
    return TR_OK;
}

/* ---- failure */

typedef struct failing {
    const tr_batch_run *run;
    json_t *errors;
} failing;

static tr_code to_failure(void *ctx, tr_object *batch, tr_err *err)
{
    const failing *f = ctx;
    const tr_ingest_active *active = f->run->active;
    if (!tr_batch_is_one_of(batch->state, "loaded,processing"))
        return TR_FAIL(err, TR_CANCELLED, "the batch is \"%s\"", batch->state);
    TR_TRY(tr_upload_forget(active->ingest, &active->tenant, active->batch, err));
    TR_TRY(tr_batch_set(batch->doc, "errors", json_incref(f->errors), err));
    TR_TRY(tr_batch_set(batch->doc, "completed", json_integer((json_int_t)tr_time_now_ms()), err));
    TR_TRY(tr_batch_set(batch->doc, "failedRecordCount",
                        json_integer((json_int_t)f->run->total.rows_bad), err));
    if (f->run->diagnostics != NULL &&
        json_object_set(batch->doc, "_diagnostics", f->run->diagnostics) != 0)
        return no_memory(err);
    return tr_batch_move(batch, "failure", err);
}

static void drop_staged(const tr_batch_run *run)
{
    const tr_ingest_active *active = run->active;
    tr_err err = {0};
    tr_lake *lake = active->ingest->parts.lake;
    if (run->stage[0] == '\0')
        return;
    tr_code code = tr_lake_drop_stage(lake, &active->tenant, run->stage, &err);
    if (code == TR_OK)
        code = tr_lake_remove_batch(lake, &active->tenant, active->dataset, active->batch, &err);
    if (code != TR_OK)
        tr_log(TR_LOG_WARN, "ingest", "ingest_stage_kept", "batch=%s reason=\"%s\"", active->batch,
               err.text);
}

void tr_batch_fail(tr_batch_run *run, const char *code, const char *text)
{
    enum { WAIT_US = 500 * 1000 };
    const tr_ingest_active *active = run->active;
    tr_err err = {0};
    tr_code ended = TR_OK;
    failing f = {.run = run, .errors = run->errors};
    if (json_array_size(run->errors) == 0 && run->errors != NULL)
        ended = tr_batch_add_error(run->errors, code, text, -1, &err);
    tr_log(TR_LOG_WARN, "ingest", "ingest_failed", "batch=%s code=%s", active->batch,
           tr_json_text(json_array_get(run->errors, 0), "code", code));
    drop_staged(run); /* first: on a full disk the catalog needs the room */
    tr_crash_point("ingest_failing");
    do {
        if (ended != TR_OK) {
            tr_log(TR_LOG_ERROR, "ingest", "ingest_end_not_written", "batch=%s reason=\"%s\"",
                   active->batch, err.text);
            if (tr_compute_is_stopping(active->ingest->parts.compute))
                return; /* the next start does the batch again */
            usleep(WAIT_US);
        }
        ended = tr_batch_edit(active->ingest, &active->tenant, active->batch, to_failure, &f, &err);
    } while (ended != TR_OK && ended != TR_NOT_FOUND && ended != TR_CANCELLED);
    tr_crash_point("ingest_failed");
    drop_uploads(run);
}

void tr_batch_clean(tr_batch_run *run)
{
    drop_staged(run);
    drop_uploads(run);
    tr_log(TR_LOG_INFO, "ingest", "ingest_given_up", "batch=%s", run->active->batch);
}

/* ---- taken back */

typedef struct id_list {
    json_t *ids;
    bool is_compacted; /* a file of it is part of a run */
} id_list;

static tr_code note_file(void *ctx, const tr_object *file, tr_err *err)
{
    id_list *list = ctx;
    if (strcmp(file->state, "gone") == 0)
        return TR_OK;
    list->is_compacted = list->is_compacted || (strcmp(file->state, "lake") == 0 &&
                                                tr_json_bool(file->doc, "isProfile", false));
    return json_array_append_new(list->ids, json_string(file->id)) == 0 ? TR_OK : no_memory(err);
}

static tr_code set_state(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                         const char *id, const char *state, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(catalog, tenant, kind, id, &object, err));
    (void)snprintf(object.state, sizeof object.state, "%s", state);
    object.updated_ms = 0;
    const tr_code code = tr_catalog_put(catalog, tenant, kind, &object, 0, err);
    tr_object_clear(&object);
    return code;
}

static tr_code set_states(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                          const json_t *ids, const char *state, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(ids); i++)
        TR_TRY(set_state(catalog, tenant, kind, json_string_value(json_array_get(ids, i)), state,
                         err));
    return TR_OK;
}

static tr_code note_folded(void *ctx, const tr_object *file, tr_err *err)
{
    if (strcmp(file->state, "lake") != 0 || !tr_json_bool(file->doc, "isProfile", false))
        return TR_OK;
    return json_array_append_new(ctx, json_string(file->id)) == 0 ? TR_OK : no_memory(err);
}

/* What compaction made of a dataset's files is undone: its runs go, those that were folded before
 * as well, its files are live again. A compaction changes no answer, so neither does this; and rows
 * of one batch cannot be taken out of a run. No plan may read the runs any more. */
static tr_code unfold(tr_catalog *catalog, const tr_tenant *tenant, const char *dataset,
                      tr_err *err)
{
    json_t *runs = json_array(), *batches = json_array(), *files = json_array();
    const tr_catalog_filter made = {.parent = dataset, .state = "profile,gone"};
    const tr_catalog_filter good = {.parent = dataset, .state = "success,active"};
    tr_code code = runs != NULL && batches != NULL && files != NULL ? TR_OK : no_memory(err);
    if (code == TR_OK)
        code = tr_catalog_ids(catalog, tenant, "run", &made, runs, err);
    if (code == TR_OK)
        code = tr_catalog_ids(catalog, tenant, "batch", &good, batches, err);
    for (size_t i = 0; i < json_array_size(batches) && code == TR_OK; i++) {
        const tr_catalog_filter of_batch = {.parent =
                                                json_string_value(json_array_get(batches, i))};
        code = tr_catalog_list(catalog, tenant, "file", &of_batch, note_folded, files, err);
    }
    if (code == TR_OK)
        code = set_states(catalog, tenant, "run", runs, TR_RUN_WITHDRAWN, err);
    if (code == TR_OK)
        code = set_states(catalog, tenant, "file", files, "profile", err);
    json_decref(runs);
    json_decref(batches);
    json_decref(files);
    return code;
}

/* A predecessor: its document. A batch that is reverted is put by its own edit. */
static tr_code mark_replaced(tr_ingest *ingest, const tr_tenant *tenant, tr_object *batch,
                             const char *successor, tr_err *err)
{
    json_t *tags = json_object_get(batch->doc, "tags");
    if (tags != NULL)
        TR_TRY(tr_batch_set(tags, "acp_successor", json_string(successor), err));
    TR_TRY(tr_batch_set(batch->doc, "_isLeaving", json_true(), err));
    TR_TRY(tr_batch_set(batch->doc, "_isReplaced", json_true(), err));
    TR_TRY(tr_batch_move(batch, "inactive", err));
    return tr_catalog_put(ingest->parts.catalog, tenant, "batch", batch, 0, err);
}

tr_code tr_batch_withdraw(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                          const char *successor, tr_err *err)
{
    tr_catalog *catalog = ingest->parts.catalog;
    tr_object object = {0};
    id_list files = {.ids = json_array()};
    const tr_catalog_filter of_batch = {.parent = batch};
    tr_code code = files.ids != NULL ? TR_OK : no_memory(err);
    if (code == TR_OK)
        code = tr_batch_get(ingest, tenant, batch, &object, err);
    const bool is_live = code == TR_OK && tr_batch_is_one_of(object.state, "success,active");
    if (code == TR_OK && is_live)
        code = tr_catalog_list(catalog, tenant, "file", &of_batch, note_file, &files, err);
    if (code == TR_OK && files.is_compacted)
        code = unfold(catalog, tenant, object.parent, err);
    if (code == TR_OK)
        code = set_states(catalog, tenant, "file", files.ids, "gone", err);
    if (code == TR_OK && is_live && successor != NULL)
        code = mark_replaced(ingest, tenant, &object, successor, err);
    json_decref(files.ids);
    tr_object_clear(&object);
    return code;
}
