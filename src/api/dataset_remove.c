/* SPDX-License-Identifier: Apache-2.0 */
/* dataset_remove.c - a dataset goes, with all its data (reference: catalog, section 4).
 *
 * One transaction removes the dataset, its table's name and its runs, marks its batches "deleted"
 * and their files "gone": from then on no answer and no new snapshot has anything of it. Jobs that
 * are writing into it find it missing when they want to publish. Then the folders go, and what was
 * made of its fragments and others': stitched and merged runs. What a crash leaves of all these is
 * swept at the next start. Records of batches and of export jobs stay.
 */
#include "api/catalog_api_internal.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/stitched.h"

#include <stdio.h>

typedef struct id_list {
    char (*ids)[256];
    size_t count, cap;
} id_list;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to remove a dataset");
}

static tr_code add_id(void *ctx, const tr_object *object, tr_err *err)
{
    id_list *list = ctx;
    if (list->count == list->cap) {
        const size_t cap = list->cap == 0 ? 64 : list->cap * 2;
        char(*more)[256] = tr_grow_array(list->ids, cap, sizeof *more);
        if (more == NULL)
            return no_memory(err);
        list->ids = more;
        list->cap = cap;
    }
    memcpy(list->ids[list->count++], object->id, sizeof object->id);
    return TR_OK;
}

static tr_code list_ids(tr_call *call, const char *kind, const char *parent, id_list *out,
                        tr_err *err)
{
    const tr_catalog_filter filter = {.parent = parent};
    return tr_catalog_list(call->parts->catalog, &call->tenant, kind, &filter, add_id, out, err);
}

/* What the folders are removed by, after the transaction. */
typedef struct removal {
    id_list batches, files, runs;
    bool had_fragments; /* in the profile store */
} removal;

/* Its bytes are no longer to be read. */
static tr_code mark_gone(tr_call *call, const char *id, bool *had_fragments, tr_err *err)
{
    tr_catalog *catalog = call->parts->catalog;
    tr_object object = {0};
    TR_TRY(tr_catalog_get(catalog, &call->tenant, "file", id, &object, err));
    tr_code code = TR_OK;
    *had_fragments = *had_fragments || strcmp(object.state, "profile") == 0;
    if (strcmp(object.state, "gone") != 0) {
        (void)snprintf(object.state, sizeof object.state, "gone");
        object.updated_ms = 0;
        code = tr_catalog_put(catalog, &call->tenant, "file", &object, 0, err);
    }
    tr_object_clear(&object);
    return code;
}

static tr_code mark_batch(tr_call *call, const char *id, removal *of, tr_err *err)
{
    id_list *files = &of->files;
    tr_catalog *catalog = call->parts->catalog;
    tr_object batch = {0};
    size_t i = files->count;
    TR_TRY(list_ids(call, "file", id, files, err));
    for (; i < files->count; i++)
        TR_TRY(mark_gone(call, files->ids[i], &of->had_fragments, err));
    TR_TRY(tr_catalog_get(catalog, &call->tenant, "batch", id, &batch, err));
    (void)snprintf(batch.state, sizeof batch.state, "deleted");
    tr_code code = json_object_set_new(batch.doc, "status", json_string("deleted")) == 0
                       ? tr_catalog_touch(call, &batch, err)
                       : no_memory(err);
    if (code == TR_OK)
        code = tr_catalog_put(catalog, &call->tenant, "batch", &batch, 0, err);
    tr_object_clear(&batch);
    return code;
}

/* Objects go without a trace; `removed` gets their ids. */
static tr_code remove_all(tr_call *call, const char *kind, const char *parent, id_list *removed,
                          tr_err *err)
{
    TR_TRY(list_ids(call, kind, parent, removed, err));
    for (size_t i = 0; i < removed->count; i++)
        TR_TRY(tr_catalog_remove(call->parts->catalog, &call->tenant, kind, removed->ids[i], err));
    return TR_OK;
}

static tr_code remove_tables(tr_call *call, const char *id, tr_err *err)
{
    id_list tables = {0};
    const tr_code code = remove_all(call, TR_TABLE_KIND, id, &tables, err);
    tr_free(tables.ids);
    return code;
}

/* Inside the transaction. */
static tr_code forget(tr_call *call, const char *id, removal *out, tr_err *err)
{
    TR_TRY(tr_catalog_remove(call->parts->catalog, &call->tenant, "dataset", id, err));
    TR_TRY(remove_tables(call, id, err));
    TR_TRY(list_ids(call, "batch", id, &out->batches, err));
    for (size_t i = 0; i < out->batches.count; i++)
        TR_TRY(mark_batch(call, out->batches.ids[i], out, err));
    TR_TRY(remove_all(call, "run", id, &out->runs, err));
    out->had_fragments = out->had_fragments || out->runs.count > 0;
    return TR_OK;
}

static void remove_folder(tr_call *call, const char *dataset, const char *folder)
{
    tr_err err = {0};
    if (tr_lake_remove_batch(call->parts->lake, &call->tenant, dataset, folder, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "api", "dataset_folder_kept", "dataset=%s batch=%s reason=\"%s\"",
               dataset, folder, err.text);
}

static void remove_folders(tr_call *call, const char *id, const removal *of)
{
    for (size_t i = 0; i < of->batches.count; i++) {
        const char *batch = of->batches.ids[i];
        char diagnostics[300];
        tr_err err = {0};
        (void)snprintf(diagnostics, sizeof diagnostics, "%s-diagnostics", batch);
        remove_folder(call, id, batch);
        remove_folder(call, id, diagnostics);
        if (tr_lake_upload_drop(call->parts->lake, &call->tenant, batch, &err) != TR_OK)
            tr_log(TR_LOG_WARN, "api", "dataset_folder_kept", "dataset=%s uploads=%s reason=\"%s\"",
                   id, batch, err.text);
    }
    for (size_t i = 0; i < of->files.count; i++)
        tr_store_retire(call->parts->store, call->tenant.id, of->files.ids[i]);
    for (size_t i = 0; i < of->runs.count; i++) {
        remove_folder(call, id, of->runs.ids[i]);
        tr_store_retire(call->parts->store, call->tenant.id, of->runs.ids[i]);
    }
}

/* Lookups over the graph would wait behind the commit until it is read anew: it is read before. */
static tr_code commit(tr_call *call, const char *id, removal *of, tr_err *err)
{
    tr_catalog *catalog = call->parts->catalog;
    tr_graph *graph = call->parts->graph;
    tr_graph_preparation coming = {.dataset = id};
    tr_graph_prepare(graph, &call->tenant, &coming);
    tr_crash_point("dataset_removing");
    tr_code code = tr_catalog_begin(catalog, err);
    if (code == TR_OK)
        code = tr_catalog_end(catalog, forget(call, id, of, err), err);
    tr_graph_prepare_end(graph, &call->tenant, &coming, code == TR_OK);
    return code;
}

/* What was made of its fragments and others'. What cannot go now goes with the next sweep. */
static void remove_derived(tr_call *call, const char *id)
{
    const tr_api_parts *parts = call->parts;
    tr_err err = {0};
    if (parts->forget != NULL)
        parts->forget(parts->forget_ctx, &call->tenant);
    if (tr_stitched_sweep(parts->store, &call->tenant, true, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "api", "dataset_derived_kept", "dataset=%s reason=\"%s\"", id,
               err.text);
}

tr_code tr_dataset_remove(tr_call *call, const char *id, tr_err *err)
{
    removal of = {0};
    const tr_code code = commit(call, id, &of, err);
    if (code == TR_OK) {
        tr_crash_point("dataset_removed");
        remove_folders(call, id, &of);
        if (of.had_fragments)
            remove_derived(call, id);
        tr_log(TR_LOG_INFO, "api", "dataset_removed", "dataset=%s batches=%zu", id,
               of.batches.count);
    }
    tr_free(of.batches.ids);
    tr_free(of.files.ids);
    tr_free(of.runs.ids);
    return code;
}
