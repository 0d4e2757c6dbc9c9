/* SPDX-License-Identifier: Apache-2.0 */
/* batch_job.c - a batch's life after COMPLETE.
 *
 *     loaded -> processing      one transaction
 *     cut, read                 raw files -> blocks -> staged runs; nothing that anybody sees
 *     judge                     bad rows: does the batch live?
 *     publish                   staged runs checked, one rename, one transaction -> success
 *
 * A crash anywhere leaves the raw uploads and a state; the next start does all of it again. What an
 * earlier attempt staged or renamed is removed first: it is in no catalog, so nobody can have read
 * it.
 */
#include "base/log.h"
#include "catalog/namespaces.h"
#include "ingest/ingest_internal.h"

/* ---- what the batch is read by */

bool tr_dataset_has_tag(const json_t *dataset, const char *name, const char *value)
{
    const json_t *list = json_object_get(json_object_get(dataset, "tags"), name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text != NULL && strcmp(text, value) == 0)
            return true;
    }
    return false;
}

static tr_code to_processing(void *ctx, tr_object *batch, tr_err *err)
{
    tr_batch_run *run = ctx;
    if (!tr_batch_is_one_of(batch->state, "loaded,processing"))
        return TR_FAIL(err, TR_CANCELLED, "the batch is \"%s\"", batch->state);
    run->started_ms = tr_time_now_ms();
    run->options = json_deep_copy(json_object_get(batch->doc, "_options"));
    if (run->options == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a batch's options");
    TR_TRY(tr_batch_set(batch->doc, "started", json_integer((json_int_t)run->started_ms), err));
    return tr_batch_move(batch, "processing", err);
}

static tr_code read_dataset(tr_batch_run *run, tr_err *err)
{
    tr_ingest_active *active = run->active;
    tr_object dataset = {0};
    const tr_code code = tr_catalog_get(active->ingest->parts.catalog, &active->tenant, "dataset",
                                        active->dataset, &dataset, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "dataset %s was deleted before the batch was read",
                       active->dataset);
    TR_TRY(code);
    run->dataset_doc = dataset.doc;
    run->is_upsert = tr_dataset_has_tag(run->dataset_doc, "unifiedProfile", "isUpsert:true");
    run->is_unconstrained =
        tr_dataset_has_tag(run->dataset_doc, "acp_validationContext", "disabled");
    run->unknown_is_error = tr_dataset_has_tag(run->dataset_doc, "unknownFields", "error");
    return TR_OK;
}

static tr_code read_schema(tr_batch_run *run, tr_err *err)
{
    tr_ingest_active *active = run->active;
    const char *id = tr_json_text(json_object_get(run->dataset_doc, "schemaRef"), "id", "");
    const tr_code code = tr_catalog_schema_open(active->ingest->parts.catalog, &active->tenant,
                                                tr_str_of(id), &run->schema, err);
    if (code == TR_NOT_FOUND || code == TR_INVALID)
        return TR_FAIL(err, TR_INVALID, "the dataset's schema \"%.200s\" cannot be used", id);
    TR_TRY(code);
    const tr_xdm_behavior behavior = run->schema->behavior;
    run->is_profile = behavior != TR_XDM_ADHOC && run->schema->is_union_member &&
                      tr_dataset_has_tag(run->dataset_doc, "unifiedProfile", "enabled:true");
    run->is_upsert = run->is_upsert && behavior == TR_XDM_RECORD;
    (void)snprintf(run->behavior, sizeof run->behavior, "%s",
                   behavior == TR_XDM_ADHOC   ? "none"
                   : behavior == TR_XDM_EVENT ? "event"
                                              : "record");
    return tr_catalog_secret(active->ingest->parts.catalog, &active->tenant, run->secret, err);
}

static tr_code prepare(tr_batch_run *run, tr_err *err)
{
    tr_ingest_active *active = run->active;
    run->errors = json_array();
    run->diagnostics = json_array();
    if (run->errors == NULL || run->diagnostics == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read a batch");
    TR_TRY(tr_batch_edit(active->ingest, &active->tenant, active->batch, to_processing, run, err));
    tr_crash_point("ingest_processing");
    (void)snprintf(run->format, sizeof run->format, "%.15s",
                   tr_json_text(run->options, "format", "json"));
    (void)snprintf(run->stage, sizeof run->stage, "%.63s", active->batch);
    run->percent = json_number_value(json_object_get(run->options, "percent"));
    run->has_diagnostics = tr_json_bool(run->options, "diagnostics", false);
    run->written_us = tr_time_now_us();
    (void)snprintf(run->own_root, sizeof run->own_root, "_%s", active->tenant.tenant_name);
    TR_TRY(read_dataset(run, err));
    TR_TRY(read_schema(run, err));
    TR_TRY(tr_namespace_list(active->ingest->parts.catalog, active->tenant.org, &run->namespaces,
                             err));
    tr_lake *lake = active->ingest->parts.lake;
    TR_TRY(tr_lake_drop_stage(lake, &active->tenant, run->stage, err));
    return tr_lake_remove_batch(lake, &active->tenant, active->dataset, active->batch, err);
}

/* ---- the steps */

static tr_code work(tr_batch_run *run, tr_err *err)
{
    TR_TRY(prepare(run, err));
    tr_crash_point("ingest_prepared");
    TR_TRY(tr_batch_cut(run, err));
    tr_crash_point("ingest_cut");
    TR_TRY(tr_batch_read(run, err));
    tr_crash_point("ingest_read");
    TR_TRY(tr_batch_judge(run, err));
    tr_crash_point("ingest_judged");
    return tr_batch_publish(run, err);
}

/* The code that a batch's error shows for a failure of ours or of the file. */
static const char *error_code(const tr_batch_run *run, tr_code code, const char *text)
{
    if (code == TR_SEMANTIC) /* no files, no rows */
        return "106";
    if (code != TR_INVALID && code != TR_LIMIT)
        return "CONNECTOR-2001-500";
    if (strcmp(run->format, "csv") == 0 && strstr(text, "header") != NULL)
        return "118";
    return "INGEST-1401-400";
}

static bool is_given_up(const tr_ingest_active *active)
{
    tr_object batch = {0};
    const tr_code code = tr_batch_get(active->ingest, &active->tenant, active->batch, &batch, NULL);
    const bool is_gone = code == TR_NOT_FOUND ||
                         (code == TR_OK && !tr_batch_is_one_of(batch.state, "loaded,processing"));
    tr_object_clear(&batch);
    return is_gone;
}

static void run_free(tr_batch_run *run)
{
    tr_batch_remove_scratch(run);
    for (uint32_t b = 0; run->results != NULL && b < run->block_count; b++)
        tr_block_result_free(&run->results[b]);
    tr_block_result_free(&run->total);
    tr_free(run->results);
    tr_free(run->blocks);
    tr_free(run->segments);
    if (run->schema != NULL)
        tr_catalog_schema_close(run->active->ingest->parts.catalog, run->schema);
    json_decref(run->options);
    json_decref(run->dataset_doc);
    json_decref(run->namespaces);
    json_decref(run->errors);
    json_decref(run->diagnostics);
    tr_arena_free(&run->arena);
}

void tr_batch_run_job(void *ctx)
{
    tr_ingest_active *active = ctx;
    tr_batch_run run = {.active = active};
    tr_err err = {0};
    const tr_code code = work(&run, &err);
    const bool is_stopping = tr_compute_is_stopping(active->ingest->parts.compute);
    if (code == TR_OK) {
        if (run.is_profile)
            tr_queue_compaction(active->ingest, &active->tenant, active->dataset);
    } else if (is_given_up(active)) {
        tr_batch_clean(&run);
    } else if (code != TR_CANCELLED || !is_stopping) {
        tr_batch_fail(&run, error_code(&run, code, err.text), err.text);
    } /* else the server stops, and the batch goes on at its next start */
    run_free(&run);
}
