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

typedef struct listing {
    const tr_graph_files *known;
    tr_graph_files found;
} listing;

static void read_file(const tr_object *object, tr_graph_file *out)
{
    const json_t *doc = object->doc;
    const char *behavior = tr_json_text(doc, "behavior", "");
    const bool is_live = strcmp(object->state, "profile") == 0;
    const bool is_event = strcmp(behavior, "event") == 0;
    *out = (tr_graph_file){.is_event = is_event,
                           .is_profile = tr_json_bool(doc, "isProfile", is_live) &&
                                         (is_event || strcmp(behavior, "record") == 0),
                           .bytes = (uint64_t)tr_json_int(doc, "bytes", 0),
                           .rows = (uint64_t)tr_json_int(doc, "rows", 0),
                           .ingested_us = tr_json_int(doc, "ingestedUs", 0),
                           .revision = object->revision};
    copy(out->id, sizeof out->id, object->id);
    copy(out->dataset, sizeof out->dataset, tr_json_text(doc, "dataSetId", ""));
    copy(out->batch, sizeof out->batch, tr_json_text(doc, "batchId", object->parent));
    copy(out->name, sizeof out->name, tr_json_text(doc, "name", ""));
    copy(out->xxh128, sizeof out->xxh128, tr_json_text(doc, "xxh128", ""));
}

static int compare_ids(const void *left, const void *right)
{
    const tr_graph_file *a = left, *b = right;
    return strcmp(a->id, b->id);
}

static tr_code add_object(void *ctx, const tr_object *object, tr_err *err)
{
    listing *list = ctx;
    tr_graph_file file = {0};
    if (object->doc != NULL) {
        read_file(object, &file);
        return tr_graph_files_add(&list->found, &file, err);
    }
    copy(file.id, sizeof file.id, object->id);
    const tr_graph_file *known = bsearch(&file, list->known->list, list->known->count,
                                         sizeof *list->known->list, compare_ids);
    const bool is_same = known != NULL && known->revision == object->revision;
    return tr_graph_files_add(&list->found, is_same ? known : &file, err);
}

/* A file that was listed may be gone by now: then it is nobody's, and the next listing has it no
 * more. */
static tr_code read_document(tr_catalog *catalog, const tr_tenant *tenant, tr_graph_file *file,
                             tr_err *err)
{
    tr_object object = {0};
    if (file->revision != 0)
        return TR_OK;
    TR_TRY(tr_catalog_get(catalog, tenant, "file", file->id, &object, err));
    read_file(&object, file);
    file->is_profile = file->is_profile && strcmp(object.state, "gone") != 0;
    tr_object_clear(&object);
    return TR_OK;
}

static tr_code list_files(tr_catalog *catalog, const tr_tenant *tenant, const tr_graph_files *known,
                          tr_graph_files *out, tr_err *err)
{
    listing list = {.known = known};
    const tr_catalog_filter readable = {.state = "profile,lake", .is_brief = known->count > 0};
    tr_code code = tr_catalog_list(catalog, tenant, "file", &readable, add_object, &list, err);
    for (uint32_t i = 0; i < list.found.count && code == TR_OK; i++)
        code = read_document(catalog, tenant, &list.found.list[i], err);
    if (code == TR_OK)
        *out = list.found;
    else
        tr_graph_files_free(&list.found);
    return code;
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

static void sort(tr_graph_files *files, int (*compare)(const void *, const void *))
{
    if (files->count > 1)
        qsort(files->list, files->count, sizeof *files->list, compare);
}

void tr_graph_files_sort(tr_graph_files *files)
{
    sort(files, compare_files);
}

tr_code tr_graph_files_read(tr_catalog *catalog, const tr_tenant *tenant, tr_graph_files *known,
                            tr_graph_files *out, tr_err *err)
{
    tr_graph_files all = {0}, ours = {0};
    TR_TRY(list_files(catalog, tenant, known, &all, err));
    tr_code code = TR_OK;
    for (uint32_t i = 0; i < all.count && code == TR_OK; i++)
        if (all.list[i].is_profile)
            code = tr_graph_files_add(&ours, &all.list[i], err);
    if (code != TR_OK) {
        tr_graph_files_free(&all);
        tr_graph_files_free(&ours);
        return code;
    }
    sort(&all, compare_ids);
    tr_graph_files_sort(&ours);
    tr_graph_files_free(known);
    *known = all;
    *out = ours;
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
