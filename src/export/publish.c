/* SPDX-License-Identifier: Apache-2.0 */
/* publish.c - the three ways a job ends.
 *
 *     SUCCEEDED   stage --rename--> (dataset, batch)   then one transaction: batch, files, job
 *     FAILED      stage dropped; one transaction: batch "failure", job with errors[]
 *     CANCELLED   stage dropped; one transaction: batch "aborted", job
 *
 * A folder that was renamed but is not in the catalog is in no answer; the next attempt finds it
 * and goes on from there.
 */
#include "export/export_internal.h"

#include "base/log.h"

#include <unistd.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to publish an export");
}

typedef struct place { /* where the parts go */
    char dataset[32];
    char batch[64];
} place;

static void read_place(const json_t *job, uint32_t slot, place *out)
{
    const json_t *to = json_object_get(job, "destination");
    (void)snprintf(out->dataset, sizeof out->dataset, "%s", tr_json_text(to, "datasetId", ""));
    (void)snprintf(out->batch, sizeof out->batch, "%s", tr_export_batch_id(job, slot));
}

static tr_code find_place(const tr_export_active *active, uint32_t slot, place *out, tr_err *err)
{
    tr_object job = {0};
    TR_TRY(tr_catalog_get(active->export->parts.catalog, &active->tenant, "export", active->id,
                          &job, err));
    read_place(job.doc, slot, out);
    tr_object_clear(&job);
    return TR_OK;
}

bool tr_export_is_placed(const tr_export_run *run)
{
    if (!tr_export_members_are_placed(run))
        return false;
    for (uint32_t p = 0; p < run->part_count; p++)
        if (!run->parts[p].is_done)
            return false;
    for (uint32_t slot = 0; slot < run->slot_count; slot++) {
        const uint32_t first = slot * run->partitions;
        uint32_t files = 0;
        place at;
        if (find_place(run->active, slot, &at, NULL) != TR_OK)
            return false;
        for (uint32_t p = first; p < first + run->partitions; p++) {
            if (run->parts[p].name[0] == '\0')
                continue;
            if (!tr_lake_has(run->active->export->parts.lake, &run->active->tenant, at.dataset,
                             at.batch, run->parts[p].name, &run->parts[p].written))
                return false;
            files++;
        }
        if (files == 0)
            return false;
    }
    return true;
}

/* What parts are together. */
typedef struct totals {
    uint64_t profiles, bytes, files;
    json_t *namespaces; /* owned */
} totals;

/* Of parts [first, end). */
static tr_code add_up(const tr_export_run *run, uint32_t first, uint32_t end, totals *out,
                      tr_err *err)
{
    *out = (totals){.namespaces = json_object()};
    for (uint32_t p = first; p < end; p++) {
        const tr_export_part *part = &run->parts[p];
        const char *code;
        json_t *count;
        out->profiles += part->profiles;
        out->bytes += part->written.bytes;
        out->files += part->name[0] != '\0';
        json_object_foreach (part->namespaces, code, count) {
            const json_int_t sum = json_integer_value(json_object_get(out->namespaces, code)) +
                                   json_integer_value(count);
            if (json_object_set_new(out->namespaces, code, json_integer(sum)) != 0) {
                json_decref(out->namespaces);
                return no_memory(err);
            }
        }
    }
    return TR_OK;
}

static tr_code insert_files(const tr_export_run *run, uint32_t slot, const place *at, int64_t now,
                            tr_err *err)
{
    const tr_export_active *active = run->active;
    uint32_t number = 0;
    for (uint32_t p = slot * run->partitions; p < (slot + 1) * run->partitions; p++) {
        const tr_export_part *part = &run->parts[p];
        if (part->name[0] == '\0')
            continue;
        tr_object file = {.state = "lake", .created_ms = now, .updated_ms = now};
        (void)snprintf(file.id, sizeof file.id, "%s-%04u", at->batch, ++number);
        (void)snprintf(file.parent, sizeof file.parent, "%s", at->batch);
        file.doc = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:s}", "id", file.id, "batchId",
                             at->batch, "dataSetId", at->dataset, "name", part->name, "bytes",
                             (json_int_t)part->written.bytes, "rows", (json_int_t)part->profiles,
                             "xxh128", part->written.xxh128);
        if (file.doc == NULL)
            return no_memory(err);
        const tr_code code =
            tr_catalog_insert(active->export->parts.catalog, &active->tenant, "file", &file, err);
        json_decref(file.doc);
        TR_TRY(code);
    }
    return TR_OK;
}

static tr_code put_batch(const tr_export_run *run, const place *at, const totals *sum, int64_t now,
                         tr_err *err)
{
    const tr_export_active *active = run->active;
    tr_catalog *catalog = active->export->parts.catalog;
    tr_object batch = {0};
    TR_TRY(tr_catalog_get(catalog, &active->tenant, "batch", at->batch, &batch, err));
    json_t *more = json_pack(
        "{s:I, s:I, s:{s:I, s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:i}}", "recordCount",
        (json_int_t)sum->profiles, "size", (json_int_t)sum->bytes, "metrics", "startTime",
        (json_int_t)run->export_begin_ms, "endTime", (json_int_t)now, "recordsRead",
        (json_int_t)sum->profiles, "recordsWritten", (json_int_t)sum->profiles, "recordsFailed", 0,
        "outputRecordCount", (json_int_t)sum->profiles, "outputByteSize", (json_int_t)sum->bytes,
        "outputFileCount", (json_int_t)sum->files, "partitionCount", (json_int_t)run->partitions,
        "failedRecordCount", 0);
    tr_code code =
        more == NULL || json_object_update(batch.doc, more) != 0 ? no_memory(err) : TR_OK;
    json_decref(more);
    if (code == TR_OK)
        code = tr_export_batch_move(&batch, "success", now, err);
    if (code == TR_OK)
        code = tr_catalog_put(catalog, &active->tenant, "batch", &batch, 0, err);
    tr_object_clear(&batch);
    return code;
}

static tr_code finish_job(tr_export_run *run, tr_object *job, const totals *sum, int64_t now,
                          tr_err *err)
{
    json_t *metrics = json_object_get(job->doc, "metrics");
    json_t *gateway = json_object_get(job->doc, "computeGatewayJobId");
    TR_TRY(tr_export_job_timer(job->doc, "profileExportTime", run->export_begin_ms,
                               run->export_end_ms, err));
    TR_TRY(tr_export_members_commit(run, job->doc, err));
    TR_TRY(tr_export_job_timer(job->doc, "aCPDatasetWriteTime", run->write_begin_ms, now, err));
    if (json_object_set_new(metrics, "totalExportedProfileCounter",
                            json_integer((json_int_t)sum->profiles)) != 0 ||
        json_object_set(metrics, "exportedProfileByNamespaceCounter", sum->namespaces) != 0 ||
        json_object_set_new(gateway, "pushJob", json_string(tr_id_uuid().text)) != 0)
        return no_memory(err);
    return tr_export_job_status(job, "SUCCEEDED", err);
}

static tr_code finish_batch(const tr_export_run *run, const tr_object *job, uint32_t slot,
                            int64_t now, tr_err *err)
{
    totals sum;
    place at;
    read_place(job->doc, slot, &at);
    TR_TRY(add_up(run, slot * run->partitions, (slot + 1) * run->partitions, &sum, err));
    json_decref(sum.namespaces);
    TR_TRY(put_batch(run, &at, &sum, now, err));
    return insert_files(run, slot, &at, now, err);
}

static tr_code succeed(void *ctx, tr_object *job, tr_err *err)
{
    tr_export_run *run = ctx;
    const tr_export_active *active = run->active;
    tr_catalog *catalog = active->export->parts.catalog;
    const int64_t now = tr_time_now_ms();
    tr_object dataset = {0};
    totals sum;
    place at;
    if (tr_export_is_finished(job->state) ||
        tr_json_bool(json_object_get(job->doc, "_"), "cancel", false))
        return TR_FAIL(err, TR_CANCELLED, "the job was cancelled");
    read_place(job->doc, 0, &at);
    tr_code code = tr_catalog_get(catalog, &active->tenant, "dataset", at.dataset, &dataset, err);
    tr_object_clear(&dataset);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_SEMANTIC, "dataset \"%s\" was deleted while it was exported to",
                       at.dataset);
    TR_TRY(code);
    for (uint32_t slot = 0; slot < run->slot_count; slot++)
        TR_TRY(finish_batch(run, job, slot, now, err));
    TR_TRY(add_up(run, 0, run->part_count, &sum, err));
    if (code == TR_OK)
        code = tr_export_work_forget(active->export, &active->tenant, active->id, err);
    if (code == TR_OK)
        code = finish_job(run, job, &sum, now, err);
    json_decref(sum.namespaces);
    return code;
}

tr_code tr_export_commit(tr_export_run *run, tr_err *err)
{
    const tr_export_active *active = run->active;
    if (run->export_end_ms == 0)
        run->export_end_ms = run->write_begin_ms = tr_time_now_ms();
    TR_TRY(tr_export_job_edit(active->export, &active->tenant, active->id, succeed, run, err));
    tr_crash_point("export_committed");
    if (run->members_gone[0] != '\0' &&
        tr_lake_remove_batch(active->export->parts.lake, &active->tenant, TR_MEMBERSHIP_FOLDER,
                             run->members_gone, NULL) != TR_OK)
        tr_log(TR_LOG_WARN, "export", "membership_folder_kept", "run=%s", run->members_gone);
    uint64_t profiles = 0, bytes = 0;
    for (uint32_t p = 0; p < run->part_count; p++) {
        profiles += run->parts[p].profiles;
        bytes += run->parts[p].written.bytes;
    }
    tr_log(TR_LOG_INFO, "export", "export_succeeded", "job=%s profiles=%llu bytes=%llu", active->id,
           (unsigned long long)profiles, (unsigned long long)bytes);
    return TR_OK;
}

tr_code tr_export_publish(tr_export_run *run, tr_err *err)
{
    const tr_export_active *active = run->active;
    tr_lake *lake = active->export->parts.lake;
    char stage[48];
    place at;
    run->export_end_ms = run->write_begin_ms = tr_time_now_ms();
    for (uint32_t slot = 0; slot < run->slot_count; slot++) {
        TR_TRY(find_place(active, slot, &at, err));
        tr_export_stage(active->id, slot, run->slot_count, stage);
        /* What an earlier attempt may have left there is not whole, or it would have been taken. */
        TR_TRY(tr_lake_remove_batch(lake, &active->tenant, at.dataset, at.batch, err));
        tr_crash_point("export_publishing");
        TR_TRY(tr_lake_publish(lake, &active->tenant, stage, at.dataset, at.batch, err));
        tr_crash_point("export_published");
    }
    TR_TRY(tr_export_members_publish(run, err));
    return tr_export_commit(run, err);
}

/* How a job that did not succeed ends. */
typedef struct ending {
    tr_export_active *active;
    const char *status;
    const char *batch_status;
    const char *error_code; /* NULL: cancelled */
    const char *error_text;
    char dataset[32];
    char members[32]; /* the membership that will not be; "": none */
    json_t *batches;  /* ids of its batches, once it has ended; owned */
    bool has_ended;   /* by this edit, not before */
} ending;

static bool note_batches(ending *end, const tr_object *job)
{
    place at;
    read_place(job->doc, 0, &at);
    (void)snprintf(end->dataset, sizeof end->dataset, "%s", at.dataset);
    json_decref(end->batches);
    end->batches = json_array();
    for (uint32_t slot = 0; slot < tr_export_batch_count(job->doc); slot++)
        if (json_array_append_new(end->batches, json_string(tr_export_batch_id(job->doc, slot))) !=
            0)
            return false;
    return true;
}

static tr_code end_job(void *ctx, tr_object *job, tr_err *err)
{
    ending *end = ctx;
    end->has_ended = false;
    if (tr_export_is_finished(job->state))
        return TR_OK;
    TR_TRY(tr_export_members_run(end->active, end->members, err));
    json_t *errors = json_array();
    bool is_good = errors != NULL && note_batches(end, job);
    if (is_good && end->error_code != NULL)
        is_good = json_array_append_new(errors,
                                        json_pack("{s:s, s:s, s:s}", "code", end->error_code, "msg",
                                                  end->error_text, "callStack", "")) == 0 &&
                  json_object_set(job->doc, "errors", errors) == 0;
    tr_code code = is_good ? tr_export_job_status(job, end->status, err) : no_memory(err);
    if (code == TR_OK)
        code = tr_export_batch_end(end->active->export, &end->active->tenant, job->doc,
                                   end->batch_status, errors, err);
    if (code == TR_OK)
        code =
            tr_export_work_forget(end->active->export, &end->active->tenant, end->active->id, err);
    json_decref(errors);
    end->has_ended = code == TR_OK;
    return code;
}

tr_code tr_export_end_queued(tr_export_active *active, tr_object *job, tr_err *err)
{
    ending end = {.active = active, .status = "CANCELLED", .batch_status = "aborted"};
    const tr_code code = end_job(&end, job, err);
    json_decref(end.batches);
    return code;
}

tr_code tr_export_drop_stages(const tr_export_active *active, size_t slots, tr_err *err)
{
    char stage[48];
    for (uint32_t slot = 0; slot < slots; slot++) {
        tr_export_stage(active->id, slot, (uint32_t)slots, stage);
        TR_TRY(tr_lake_drop_stage(active->export->parts.lake, &active->tenant, stage, err));
    }
    return TR_OK;
}

static size_t count_slots(const tr_export_active *active)
{
    tr_object job = {0};
    size_t slots = 1;
    if (tr_catalog_get(active->export->parts.catalog, &active->tenant, "export", active->id, &job,
                       NULL) == TR_OK)
        slots = tr_export_batch_count(job.doc);
    tr_object_clear(&job);
    return slots;
}

static void remove_folders(const ending *end)
{
    const tr_export_active *active = end->active;
    tr_err err = {0};
    for (size_t i = 0; i < json_array_size(end->batches); i++)
        if (tr_lake_remove_batch(active->export->parts.lake, &active->tenant, end->dataset,
                                 json_string_value(json_array_get(end->batches, i)), &err) != TR_OK)
            tr_log(TR_LOG_WARN, "export", "export_folder_kept", "job=%s reason=\"%s\"", active->id,
                   err.text);
    if (tr_export_members_drop(active, end->members, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "export", "export_folder_kept", "job=%s reason=\"%s\"", active->id,
               err.text);
}

static void write_end(ending *end)
{
    tr_export_active *active = end->active;
    tr_export *export = active->export;
    tr_err err = {0};
    enum { WAIT_US = 500 * 1000 };
    /* First the stage: on a full disk the catalog needs the room. */
    if (tr_export_drop_stages(active, count_slots(active), &err) != TR_OK ||
        tr_export_members_drop(active, "", &err) != TR_OK)
        tr_log(TR_LOG_WARN, "export", "export_stage_kept", "job=%s reason=\"%s\"", active->id,
               err.text);
    tr_crash_point("export_ending");
    for (;;) {
        const tr_code code =
            tr_export_job_edit(export, &active->tenant, active->id, end_job, end, &err);
        if (code == TR_OK)
            break;
        if (code == TR_NOT_FOUND) /* the sandbox was deleted with all in it */
            return;
        tr_log(TR_LOG_ERROR, "export", "export_end_not_written", "job=%s reason=\"%s\"", active->id,
               err.text);
        if (tr_compute_is_stopping(export->parts.compute))
            return; /* the next start does the job again */
        usleep(WAIT_US);
    }
    if (end->has_ended)
        remove_folders(end);
    json_decref(end->batches);
}

void tr_export_end_failed(tr_export_active *active, tr_code code, const tr_err *why)
{
    char text[sizeof why->text + 64];
    const bool is_write = code == TR_NO_SPACE || code == TR_IO;
    (void)snprintf(text, sizeof text, "%s: %s",
                   is_write ? "Error writing profiles" : "Error in Export Job", why->text);
    ending end = {.active = active,
                  .status = "FAILED",
                  .batch_status = "failure",
                  .error_code = is_write ? "0090000009" : "0100000003",
                  .error_text = text};
    tr_log(TR_LOG_ERROR, "export", "export_failed", "job=%s reason=\"%s\"", active->id, why->text);
    write_end(&end);
}

void tr_export_end_cancelled(tr_export_active *active)
{
    ending end = {.active = active, .status = "CANCELLED", .batch_status = "aborted"};
    tr_log(TR_LOG_INFO, "export", "export_cancelled", "job=%s", active->id);
    write_end(&end);
}
