/* SPDX-License-Identifier: Apache-2.0 */
/* files.c - the files that make a tenant's graph, in the order in which their rows link.
 *
 * A batch's file that was made live in the store counts for as long as it can be read: also when a
 * compaction has folded it (state "lake"). Compacted runs do not count: they have no row that a
 * file has not, and folded rows have lost what they linked.
 */
#include "graph/graph_internal.h"

#include <stdio.h>
#include <stdlib.h>

static void copy(char *out, size_t size, const char *text)
{
    (void)snprintf(out, size, "%s", text);
}

tr_code tr_graph_files_add(tr_graph_files *files, const tr_graph_file *file, tr_err *err)
{
    TR_TRY(tr_graph_room(&files->list, files->count, 1, &files->cap, sizeof *files->list, err));
    files->list[files->count++] = *file;
    return TR_OK;
}

static tr_code add_object(void *ctx, const tr_object *object, tr_err *err)
{
    tr_graph_file file = {.bytes = (uint64_t)tr_json_int(object->doc, "bytes", 0),
                          .rows = (uint64_t)tr_json_int(object->doc, "rows", 0),
                          .ingested_us = tr_json_int(object->doc, "ingestedUs", 0)};
    const char *behavior = tr_json_text(object->doc, "behavior", "");
    file.is_event = strcmp(behavior, "event") == 0;
    if (!file.is_event && strcmp(behavior, "record") != 0)
        return TR_OK;
    if (!tr_json_bool(object->doc, "isProfile", strcmp(object->state, "profile") == 0))
        return TR_OK;
    copy(file.id, sizeof file.id, object->id);
    copy(file.dataset, sizeof file.dataset, tr_json_text(object->doc, "dataSetId", ""));
    copy(file.batch, sizeof file.batch, tr_json_text(object->doc, "batchId", object->parent));
    copy(file.name, sizeof file.name, tr_json_text(object->doc, "name", ""));
    copy(file.xxh128, sizeof file.xxh128, tr_json_text(object->doc, "xxh128", ""));
    return tr_graph_files_add(ctx, &file, err);
}

static int compare_files(const void *left, const void *right)
{
    const tr_graph_file *a = left, *b = right;
    if (a->ingested_us != b->ingested_us)
        return a->ingested_us < b->ingested_us ? -1 : 1;
    int order = strcmp(a->batch, b->batch);
    if (order == 0)
        order = strcmp(a->name, b->name);
    return order != 0 ? order : strcmp(a->id, b->id);
}

tr_code tr_graph_files_read(tr_catalog *catalog, const tr_tenant *tenant, tr_graph_files *out,
                            tr_err *err)
{
    const tr_catalog_filter readable = {.state = "profile,lake"};
    tr_graph_files files = {0};
    const tr_code code =
        tr_catalog_list(catalog, tenant, "file", &readable, add_object, &files, err);
    if (code != TR_OK) {
        tr_graph_files_free(&files);
        return code;
    }
    if (files.count > 1)
        qsort(files.list, files.count, sizeof *files.list, compare_files);
    *out = files;
    return TR_OK;
}

void tr_graph_files_free(tr_graph_files *files)
{
    tr_free(files->list);
    *files = (tr_graph_files){0};
}

bool tr_graph_file_same(const tr_graph_file *a, const tr_graph_file *b)
{
    return a->ingested_us == b->ingested_us && strcmp(a->id, b->id) == 0 &&
           strcmp(a->xxh128, b->xxh128) == 0;
}
