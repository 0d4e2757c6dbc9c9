/* SPDX-License-Identifier: Apache-2.0 */
/* data_access.c - /data/foundation/export (reference: catalog, section 10).
 *
 *     batch --/files--> one entry "<batch>-1" --/files/{entry}--> its parts --?path=name--> bytes
 *           --/failed-> rejected rows          both of the lake's batch "<batch>-diagnostics",
 *           --/meta---> input files, errors    with '/' in a path written "__" in a name
 *
 * What is served is what the catalog lists; a path is looked up there and never opened.
 */
#include "api/data_access_internal.h"

#include <ctype.h>
#include <stdio.h>

enum { PAGE_MAX = 100, HREF_BYTES = 1024 };

#define FAILED "failed__"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to list files");
}

static const char *public_url(const tr_call *call)
{
    return call->parts->public_url == NULL ? "" : call->parts->public_url;
}

/* ---- Pages: {"data": [...], "_page": {limit, count}, "_links": {...}} */

typedef struct page {
    int64_t start, limit;
    int64_t total;
    json_t *data;
} page;

static tr_code read_page(tr_call *call, page *out, tr_err *err)
{
    *out = (page){0};
    TR_TRY(tr_call_query_int(call, "start", 0, 0, INT32_MAX, &out->start, err));
    TR_TRY(tr_call_query_int(call, "limit", PAGE_MAX, 1, INT32_MAX, &out->limit, err));
    out->limit = out->limit > PAGE_MAX ? PAGE_MAX : out->limit; /* the next link tells the rest */
    out->data = json_array();
    return out->data == NULL ? no_memory(err) : TR_OK;
}

/* Counts one more; an item is made only when it is on the page. */
static bool is_on_page(page *p)
{
    const int64_t index = p->total++;
    return index >= p->start && index < p->start + p->limit;
}

/* item: taken; NULL: no memory. */
static tr_code add_item(page *p, json_t *item, tr_err *err)
{
    return item != NULL && json_array_append_new(p->data, item) == 0 ? TR_OK : no_memory(err);
}

/* Percent-encodes a query value. */
static void encode(const char *text, char *out, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at != 0 && len + 4 < size; at++) {
        if (isalnum(*at) || strchr("-._~", *at) != NULL) {
            out[len++] = (char)*at;
        } else {
            out[len++] = '%';
            out[len++] = digits[*at >> 4];
            out[len++] = digits[*at & 15];
        }
    }
    out[len] = '\0';
}

/* {"next": ..., "page": ...}: of the request's own path, and its `path` parameter. */
static json_t *page_links(tr_call *call, const page *p)
{
    char path[HREF_BYTES], encoded[HREF_BYTES / 2] = "";
    const char *given = tr_call_given(call, "path");
    json_t *links = json_object();
    if (given != NULL)
        encode(given, encoded, sizeof encoded);
    (void)snprintf(path, sizeof path, "%.200s%.*s?%s%s%s", public_url(call),
                   TR_STR_ARG(call->request->raw_path), given == NULL ? "" : "path=", encoded,
                   given == NULL ? "" : "&");
    if (p->start + p->limit < p->total)
        (void)json_object_set_new(
            links, "next",
            json_pack("{s:o}", "href",
                      json_sprintf("%sstart=%lld&limit=%lld", path,
                                   (long long)(p->start + p->limit), (long long)p->limit)));
    (void)json_object_set_new(links, "page",
                              json_pack("{s:o, s:b}", "href",
                                        json_sprintf("%sstart={start}&limit={limit}", path),
                                        "templated", 1));
    return links;
}

/* Answers; the page's data is taken. */
static tr_code reply_page(tr_call *call, page *p, tr_code code, tr_err *err)
{
    if (code != TR_OK) {
        json_decref(p->data);
        return code;
    }
    return tr_reply_json(call, 200,
                         json_pack("{s:o, s:{s:I, s:I}, s:o}", "data", p->data, "_page", "limit",
                                   (json_int_t)p->limit, "count", (json_int_t)p->total, "_links",
                                   page_links(call, p)),
                         err);
}

/* {"name", "length", "_links": {"self": {"href"}}}; path: what the href asks for. */
static json_t *file_item(tr_call *call, const char *name, uint64_t bytes, const char *of,
                         const char *path)
{
    char encoded[HREF_BYTES / 2];
    encode(path, encoded, sizeof encoded);
    return json_pack(
        "{s:s, s:o, s:{s:{s:o}}}", "name", name, "length",
        json_sprintf("%llu", (unsigned long long)bytes), "_links", "self", "href",
        json_sprintf("%.200s" TR_DATA_BASE "/%s?path=%s", public_url(call), of, encoded));
}

/* ---- Batches and their entries */

static tr_code get_batch(tr_call *call, const char *id, tr_object *out, tr_err *err)
{
    return tr_catalog_get(call->parts->catalog, &call->tenant, "batch", id, out, err);
}

/* Its data is there to be read. */
static bool is_readable(const tr_object *batch)
{
    return strcmp(batch->state, "success") == 0 && !tr_json_bool(batch->doc, "_catalog", false);
}

static json_t *entry_item(tr_call *call, const tr_object *batch, const char *view)
{
    const long long completed = (long long)tr_json_int(batch->doc, "completed", batch->updated_ms);
    return json_pack(
        "{s:o, s:s, s:s, s:o, s:o, s:b, s:o, s:o, s:{s:{s:o}}}", "dataSetFileId",
        json_sprintf("%s-1", batch->id), "dataSetViewId", view, "version", "1.0.0", "created",
        json_sprintf("%lld", completed), "updated", json_sprintf("%lld", completed), "isValid", 1,
        "records", json_sprintf("%lld", (long long)tr_json_int(batch->doc, "recordCount", 0)),
        "size", json_sprintf("%lld", (long long)tr_json_int(batch->doc, "size", 0)), "_links",
        "self", "href",
        json_sprintf("%.200s" TR_DATA_BASE "/files/%s-1", public_url(call), batch->id));
}

static tr_code list_entries(tr_call *call, tr_err *err)
{
    tr_object batch = {0}, dataset = {0};
    page p;
    TR_TRY(get_batch(call, tr_call_param(call, 0), &batch, err));
    tr_code code = read_page(call, &p, err);
    if (code != TR_OK) {
        tr_object_clear(&batch);
        return code;
    }
    code = tr_catalog_get(call->parts->catalog, &call->tenant, "dataset", batch.parent, &dataset,
                          NULL);
    code = code == TR_NOT_FOUND ? TR_OK : code;
    if (code == TR_OK && is_readable(&batch) && is_on_page(&p))
        code = add_item(&p, entry_item(call, &batch, tr_json_text(dataset.doc, "viewId", "")), err);
    tr_object_clear(&batch);
    tr_object_clear(&dataset);
    return reply_page(call, &p, code, err);
}

/* ---- The files of an entry */

/* "<batch>-1" -> the batch, in the arena; NULL: another form. */
static const char *batch_of_entry(tr_call *call, const char *entry)
{
    const size_t len = strlen(entry);
    if (len < 3 || strcmp(entry + len - 2, "-1") != 0)
        return NULL;
    return tr_arena_text(call->request->arena, (tr_str){(const uint8_t *)entry, len - 2});
}

/* The batch of the path's entry, when its data is there to be read. */
static tr_code find_entry(tr_call *call, tr_object *batch, tr_err *err)
{
    const char *entry = tr_call_param(call, 0), *id = batch_of_entry(call, entry);
    tr_code code = id == NULL ? TR_NOT_FOUND : get_batch(call, id, batch, err);
    if (code == TR_OK && !is_readable(batch)) {
        tr_object_clear(batch);
        code = TR_NOT_FOUND;
    }
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_NOT_FOUND, "no dataset file with id \"%.120s\"", entry);
    return code;
}

typedef struct files {
    tr_call *call;
    page *page;         /* of a list */
    const char *wanted; /* of a download: the file's name */
    json_t *found;      /* its document, owned */
    const char *of;     /* "files/<entry>" */
} files;

static tr_code each_file(void *ctx, const tr_object *file, tr_err *err)
{
    files *f = ctx;
    const char *name = tr_json_text(file->doc, "name", "");
    if (strcmp(file->state, "gone") == 0)
        return TR_OK;
    if (f->wanted != NULL) {
        if (f->found == NULL && strcmp(name, f->wanted) == 0)
            f->found = json_incref(file->doc);
        return TR_OK;
    }
    const uint64_t bytes = (uint64_t)tr_json_int(file->doc, "bytes", 0);
    return is_on_page(f->page)
               ? add_item(f->page, file_item(f->call, name, bytes, f->of, name), err)
               : TR_OK;
}

static tr_code walk_files(files *f, const char *batch, tr_err *err)
{
    const tr_catalog_filter filter = {.parent = batch};
    return tr_catalog_list(f->call->parts->catalog, &f->call->tenant, "file", &filter, each_file, f,
                           err);
}

static tr_code send_file(tr_call *call, const tr_object *batch, const char *name, tr_err *err)
{
    files f = {.call = call, .wanted = name};
    TR_TRY(walk_files(&f, batch->id, err));
    if (f.found == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "path: batch \"%.64s\" has no file \"%.120s\"", batch->id,
                       name);
    const tr_download file = {.dataset = batch->parent,
                              .batch = batch->id,
                              .name = name,
                              .bytes = (uint64_t)tr_json_int(f.found, "bytes", 0),
                              .etag = tr_json_text(f.found, "xxh128", NULL)};
    const tr_code code = tr_data_send(call, &file, err);
    json_decref(f.found);
    return code;
}

static tr_code list_parts(tr_call *call, const tr_object *batch, tr_err *err)
{
    char of[320];
    page p;
    TR_TRY(read_page(call, &p, err));
    (void)snprintf(of, sizeof of, "files/%s-1", batch->id);
    files f = {.call = call, .page = &p, .of = of};
    return reply_page(call, &p, walk_files(&f, batch->id, err), err);
}

static tr_code get_file(tr_call *call, tr_err *err)
{
    tr_object batch = {0};
    const char *path = tr_call_given(call, "path");
    if (path == NULL && strcmp(call->request->method, "HEAD") == 0)
        return TR_FAIL(err, TR_INVALID, "path is required: the name of a file of the entry");
    TR_TRY(find_entry(call, &batch, err));
    const tr_code code =
        path == NULL ? list_parts(call, &batch, err) : send_file(call, &batch, path, err);
    tr_object_clear(&batch);
    return code;
}

/* ---- Diagnostics */

/* A path as it is named in the lake: "row_errors/a.json" -> "row_errors__a.json". */
static void lake_name(const char *path, char *out, size_t size)
{
    size_t len = 0;
    for (const char *at = path; *at != '\0' && len + 2 < size; at++) {
        out[len++] = *at == '/' ? '_' : *at;
        if (*at == '/')
            out[len++] = '_';
    }
    out[len] = '\0';
}

typedef struct diagnostics {
    tr_call *call;
    tr_object batch;
    const json_t *list; /* of {"name", "bytes"} */
    const char *kind;   /* "failed", "meta": the last word of the path */
} diagnostics;

static tr_code open_diagnostics(tr_call *call, const char *kind, diagnostics *out, tr_err *err)
{
    *out = (diagnostics){.call = call, .kind = kind};
    TR_TRY(get_batch(call, tr_call_param(call, 0), &out->batch, err));
    out->list = json_object_get(out->batch.doc, "_diagnostics");
    return TR_OK;
}

/* The i-th file's name, in the lake's form. */
static void name_at(const diagnostics *d, size_t i, char out[128])
{
    lake_name(tr_json_text(json_array_get(d->list, i), "name", ""), out, 128);
}

static uint64_t bytes_at(const diagnostics *d, size_t i)
{
    const int64_t bytes = tr_json_int(json_array_get(d->list, i), "bytes", -1);
    return bytes < 0 ? UINT64_MAX : (uint64_t)bytes;
}

/* Answers with the file of this name if there is one. */
static tr_code try_send(const diagnostics *d, const char *wanted, bool *is_sent, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(d->list) && !*is_sent; i++) {
        char name[128], folder[280];
        name_at(d, i, name);
        if (strcmp(name, wanted) != 0)
            continue;
        *is_sent = true;
        (void)snprintf(folder, sizeof folder, "%s-diagnostics", d->batch.id);
        const tr_download file = {
            .dataset = d->batch.parent, .batch = folder, .name = name, .bytes = bytes_at(d, i)};
        return tr_data_send(d->call, &file, err);
    }
    return TR_OK;
}

/* Lists files whose name begins with `prefix`, by what follows it; path: of the folder, or "". */
static tr_code add_files(const diagnostics *d, page *p, const char *prefix, const char *path,
                         tr_err *err)
{
    char of[320];
    (void)snprintf(of, sizeof of, "batches/%s/%s", d->batch.id, d->kind);
    for (size_t i = 0; i < json_array_size(d->list); i++) {
        char name[128], full[256];
        const uint64_t bytes = bytes_at(d, i);
        name_at(d, i, name);
        if (strncmp(name, prefix, strlen(prefix)) != 0 || !is_on_page(p))
            continue;
        (void)snprintf(full, sizeof full, "%s%s%s", path, path[0] == '\0' ? "" : "/",
                       name + strlen(prefix));
        TR_TRY(add_item(
            p, file_item(d->call, name + strlen(prefix), bytes == UINT64_MAX ? 0 : bytes, of, full),
            err));
    }
    return TR_OK;
}

static tr_code list_failed(const diagnostics *d, page *p, tr_err *err)
{
    char of[320];
    bool has_any = false;
    (void)snprintf(of, sizeof of, "batches/%s/%s", d->batch.id, d->kind);
    for (size_t i = 0; i < json_array_size(d->list); i++) {
        char name[128];
        name_at(d, i, name);
        has_any = has_any || strncmp(name, FAILED, sizeof FAILED - 1) == 0;
    }
    if (has_any && is_on_page(p))
        TR_TRY(add_item(p, file_item(d->call, "_SUCCESS", 0, of, "_SUCCESS"), err));
    return add_files(d, p, FAILED, "", err);
}

static tr_code send_failed(const diagnostics *d, const char *path, tr_err *err)
{
    char wanted[256];
    bool is_sent = false;
    if (strcmp(path, "_SUCCESS") == 0 && json_array_size(d->list) > 0)
        return tr_data_send_empty(d->call, path, err);
    (void)snprintf(wanted, sizeof wanted, FAILED "%.200s", path);
    TR_TRY(try_send(d, wanted, &is_sent, err));
    return is_sent ? TR_OK : TR_FAIL(err, TR_NOT_FOUND, "path: no failed rows in \"%.120s\"", path);
}

static tr_code get_failed(tr_call *call, tr_err *err)
{
    diagnostics d;
    page p;
    const char *path = tr_call_given(call, "path");
    TR_TRY(open_diagnostics(call, "failed", &d, err));
    tr_code code;
    if (path != NULL) {
        code = send_failed(&d, path, err);
    } else {
        code = read_page(call, &p, err);
        if (code == TR_OK)
            code = reply_page(call, &p, list_failed(&d, &p, err), err);
    }
    tr_object_clear(&d.batch);
    return code;
}

/* The folders of the top level, each once, then the files that are in none. */
static tr_code list_top(const diagnostics *d, page *p, tr_err *err)
{
    static const char *const folders[] = {"input_files", "row_errors"};
    char of[320];
    (void)snprintf(of, sizeof of, "batches/%s/%s", d->batch.id, d->kind);
    for (size_t f = 0; f < sizeof folders / sizeof folders[0]; f++) {
        bool has_any = false;
        for (size_t i = 0; i < json_array_size(d->list); i++) {
            char name[128];
            const size_t len = strlen(folders[f]);
            name_at(d, i, name);
            has_any = has_any ||
                      (strncmp(name, folders[f], len) == 0 && strncmp(name + len, "__", 2) == 0);
        }
        if (has_any && is_on_page(p))
            TR_TRY(add_item(p, file_item(d->call, folders[f], 0, of, folders[f]), err));
    }
    for (size_t i = 0; i < json_array_size(d->list); i++) {
        char name[128];
        const uint64_t bytes = bytes_at(d, i);
        name_at(d, i, name);
        if (strstr(name, "__") == NULL && is_on_page(p))
            TR_TRY(add_item(p, file_item(d->call, name, bytes == UINT64_MAX ? 0 : bytes, of, name),
                            err));
    }
    return TR_OK;
}

/* Rejected rows are /failed's alone; input_files and row_errors are there for every batch. */
static tr_code get_meta_path(const diagnostics *d, const char *path, tr_err *err)
{
    char wanted[256], prefix[260];
    bool is_sent = false;
    page p;
    size_t len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    (void)snprintf(prefix, sizeof prefix, "%.*s", (int)(len < 200 ? len : 200), path);
    lake_name(prefix, wanted, sizeof wanted);
    if (strncmp(wanted, "failed", 6) != 0)
        TR_TRY(try_send(d, wanted, &is_sent, err));
    if (is_sent)
        return TR_OK;
    if (strcmp(wanted, "input_files") != 0 && strcmp(wanted, "row_errors") != 0)
        return TR_FAIL(err, TR_NOT_FOUND, "path: batch \"%.64s\" has no \"%.120s\"", d->batch.id,
                       path);
    TR_TRY(read_page(d->call, &p, err));
    (void)snprintf(prefix, sizeof prefix, "%s__", wanted);
    return reply_page(d->call, &p, add_files(d, &p, prefix, wanted, err), err);
}

static tr_code get_meta(tr_call *call, tr_err *err)
{
    diagnostics d;
    page p;
    const char *path = tr_call_given(call, "path");
    TR_TRY(open_diagnostics(call, "meta", &d, err));
    tr_code code;
    if (path != NULL) {
        code = get_meta_path(&d, path, err);
    } else {
        code = read_page(call, &p, err);
        if (code == TR_OK)
            code = reply_page(call, &p, list_top(&d, &p, err), err);
    }
    tr_object_clear(&d.batch);
    return code;
}

const tr_endpoint tr_api_data_access[] = {
    {"GET", TR_DATA_BASE "/batches/{id}/files", TR_SCOPE_READ, list_entries, 0},
    {"GET", TR_DATA_BASE "/batches/{id}/failed", TR_SCOPE_READ, get_failed, 0},
    {"GET", TR_DATA_BASE "/batches/{id}/meta", TR_SCOPE_READ, get_meta, 0},
    {"GET", TR_DATA_BASE "/files/{id}", TR_SCOPE_READ, get_file, 0},
    {"HEAD", TR_DATA_BASE "/files/{id}", TR_SCOPE_READ, get_file, 0},
    {"GET", TR_DATA_BASE "/datasets/{id}/preview", TR_SCOPE_READ, tr_data_preview, 0,
     .is_slow = true},
    {"GET", TR_DATA_BASE "/dataSets/{id}/preview", TR_SCOPE_READ, tr_data_preview, 0,
     .is_slow = true},
    {0}};
