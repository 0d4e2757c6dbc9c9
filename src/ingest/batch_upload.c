/* SPDX-License-Identifier: Apache-2.0 */
/* batch_upload.c - raw files of a batch that is loading: whole ones, and large ones in parts.
 *
 * Bytes first (synced), then the catalog: what an answer says is there, is there. Which parts of a
 * large file came is known only by the catalog; holes and overlaps are looked for when it is
 * completed.
 */
#include "ingest/ingest_internal.h"

#include <stdlib.h>

enum { PATH_BYTES_MAX = 1024 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to upload a file");
}

static tr_code check_path(tr_str path, tr_err *err)
{
    size_t bad_at, from = 0;
    if (path.len == 0 || path.len > PATH_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "the file's path has %zu bytes: expected 1 to %d", path.len,
                       PATH_BYTES_MAX);
    if (!tr_str_is_utf8(path, &bad_at))
        return TR_FAIL(err, TR_INVALID, "the file's path is not UTF-8 at byte %zu", bad_at + 1);
    for (size_t i = 0; i <= path.len; i++) {
        if (i < path.len && (path.at[i] < ' ' || path.at[i] == 0x7f))
            return TR_FAIL(err, TR_INVALID, "the file's path has a control character");
        if (i < path.len && path.at[i] != '/')
            continue;
        const tr_str segment = {path.at + from, i - from};
        if (segment.len == 0 || tr_str_is(segment, ".") || tr_str_is(segment, ".."))
            return TR_FAIL(err, TR_INVALID,
                           "the file's path has an empty, \".\" or \"..\" segment");
        from = i + 1;
    }
    return TR_OK;
}

/* The start of a path, for messages. */
#define SHOWN(path) (int)((path).len < 200 ? (path).len : 200), (const char *)(path).at

static tr_code check_loading(const tr_object *batch, const char *dataset, tr_err *err)
{
    if (json_object_get(batch->doc, "_options") == NULL)
        return TR_FAIL(err, TR_INVALID, "batch %s does not take uploads", batch->id);
    if (strcmp(batch->parent, dataset) != 0)
        return TR_FAIL(err, TR_INVALID, "batch %s is of dataset %s, not of %.60s", batch->id,
                       batch->parent, dataset);
    if (strcmp(batch->state, "loading") != 0)
        return TR_FAIL(err, TR_INVALID,
                       "batch %s is \"%s\": files can only be uploaded while it is "
                       "\"loading\"",
                       batch->id, batch->state);
    return TR_OK;
}

/* The batch takes files: checked before bytes are written, and again with the catalog's change. */
static tr_code begin(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                     const char *dataset, tr_str path, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(check_path(path, err));
    TR_TRY(tr_gate_enter(ingest, tenant, batch, err));
    tr_code code = tr_batch_get(ingest, tenant, batch, &object, err);
    if (code == TR_OK)
        code = check_loading(&object, dataset, err);
    tr_object_clear(&object);
    if (code != TR_OK)
        tr_gate_leave(ingest, tenant, batch);
    return code;
}

static void upload_id(const char *batch, tr_str path, char out[256])
{
    uint8_t hash[32];
    tr_sha256(path, hash);
    int len = snprintf(out, 256, "%.64s:", batch);
    for (size_t i = 0; i < 16; i++)
        len += snprintf(out + len, 256 - (size_t)len, "%02x", hash[i]);
}

static tr_code file_document(tr_str path, int64_t bytes, json_t **file, tr_err *err)
{
    *file = json_pack("{s:o, s:I}", "name", tr_json_str(path), "sizeInBytes", (json_int_t)bytes);
    return *file != NULL ? TR_OK : no_memory(err);
}

/* One change of an upload's document, in one transaction, while the batch is loading. `edit` gets
 * an object with .doc NULL when there is none yet. */
typedef struct upload_edit {
    tr_ingest *ingest;
    const tr_tenant *tenant;
    const char *batch, *dataset;
    tr_str path;
    tr_code (*edit)(void *ctx, tr_object *upload, tr_err *err);
    void *ctx;
} upload_edit;

static tr_code edit_inside(const upload_edit *e, tr_err *err)
{
    tr_catalog *catalog = e->ingest->parts.catalog;
    tr_object batch = {0}, upload = {0};
    TR_TRY(tr_batch_get(e->ingest, e->tenant, e->batch, &batch, err));
    tr_code code = check_loading(&batch, e->dataset, err);
    tr_object_clear(&batch);
    TR_TRY(code);
    upload_id(e->batch, e->path, upload.id);
    code = tr_catalog_get(catalog, e->tenant, "upload", upload.id, &upload, err);
    const bool is_new = code == TR_NOT_FOUND;
    if (is_new) {
        code = TR_OK;
        upload_id(e->batch, e->path, upload.id);
        (void)snprintf(upload.parent, sizeof upload.parent, "%s", e->batch);
    }
    upload.updated_ms = 0;
    if (code == TR_OK)
        code = e->edit(e->ctx, &upload, err);
    if (code == TR_OK)
        code = is_new ? tr_catalog_insert(catalog, e->tenant, "upload", &upload, err)
                      : tr_catalog_put(catalog, e->tenant, "upload", &upload, 0, err);
    tr_object_clear(&upload);
    return code;
}

static tr_code edit_upload(const upload_edit *e, tr_err *err)
{
    TR_TRY(tr_catalog_begin(e->ingest->parts.catalog, err));
    return tr_catalog_end(e->ingest->parts.catalog, edit_inside(e, err), err);
}

/* ---- whole files */

typedef struct whole {
    tr_str path;
    int64_t bytes;
    const char *state;
} whole;

static tr_code set_whole(void *ctx, tr_object *upload, tr_err *err)
{
    const whole *w = ctx;
    json_decref(upload->doc);
    upload->doc = json_pack("{s:o, s:I, s:[]}", "path", tr_json_str(w->path), "bytes",
                            (json_int_t)w->bytes, "parts");
    (void)snprintf(upload->state, sizeof upload->state, "%s", w->state);
    return upload->doc != NULL ? TR_OK : no_memory(err);
}

static tr_code put_whole(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                         const char *dataset, tr_str bytes, whole *w, tr_err *err)
{
    const upload_edit edit = {.ingest = ingest,
                              .tenant = tenant,
                              .batch = batch,
                              .dataset = dataset,
                              .path = w->path,
                              .edit = set_whole,
                              .ctx = w};
    TR_TRY(begin(ingest, tenant, batch, dataset, w->path, err));
    tr_code code = tr_lake_upload_put(ingest->parts.lake, tenant, batch, w->path, bytes, err);
    tr_crash_point("ingest_upload_written");
    if (code == TR_OK)
        code = edit_upload(&edit, err);
    tr_crash_point("ingest_upload_noted");
    tr_gate_leave(ingest, tenant, batch);
    return code;
}

tr_code tr_ingest_put(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                      const char *dataset, tr_str path, tr_str bytes, json_t **file, tr_err *err)
{
    whole w = {.path = path, .bytes = (int64_t)bytes.len, .state = "done"};
    if (bytes.len == 0)
        return TR_FAIL(err, TR_INVALID, "file \"%.*s\" is empty: expected at least 1 byte",
                       SHOWN(path));
    if (bytes.len > TR_UPLOAD_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT,
                       "file \"%.*s\" has %zu bytes; at most %d in one request: upload it in parts",
                       SHOWN(path), bytes.len, TR_UPLOAD_BYTES_MAX);
    TR_TRY(put_whole(ingest, tenant, batch, dataset, bytes, &w, err));
    return file_document(path, w.bytes, file, err);
}

tr_code tr_ingest_file_begin(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                             const char *dataset, tr_str path, json_t **file, tr_err *err)
{
    whole w = {.path = path, .state = "open"};
    TR_TRY(put_whole(ingest, tenant, batch, dataset, (tr_str){(const uint8_t *)"", 0}, &w, err));
    return file_document(path, 0, file, err);
}

/* ---- parts */

typedef struct part {
    tr_str path;
    int64_t first, last;
    int64_t total; /* -1: not said */
} part;

static bool take_number(tr_str *text, int64_t *out)
{
    size_t digits = 0;
    while (digits < text->len && text->at[digits] >= '0' && text->at[digits] <= '9')
        digits++;
    if (!tr_str_to_i64((tr_str){text->at, digits}, out))
        return false;
    *text = tr_str_from(*text, digits);
    return true;
}

static bool take_byte(tr_str *text, char byte)
{
    if (text->len == 0 || text->at[0] != (uint8_t)byte)
        return false;
    *text = tr_str_from(*text, 1);
    return true;
}

/* "bytes 0-99/1000", "bytes=0-99", "0-99"; a total of * is none */
static bool read_range(tr_str text, part *out)
{
    static const char unit[] = "bytes";
    out->total = -1;
    if (text.len >= 5 && tr_str_equal_folded((tr_str){text.at, 5}, tr_str_of(unit))) {
        text = tr_str_from(text, 5);
        while (take_byte(&text, ' ') || take_byte(&text, '='))
            continue;
    }
    if (!take_number(&text, &out->first) || !take_byte(&text, '-') ||
        !take_number(&text, &out->last))
        return false;
    if (take_byte(&text, '/') && !take_byte(&text, '*') && !take_number(&text, &out->total))
        return false;
    return text.len == 0 && out->first <= out->last;
}

static tr_code read_part(tr_str content_range, tr_str bytes, part *out, tr_err *err)
{
    if (content_range.len == 0)
        return TR_FAIL(err, TR_INVALID,
                       "the header Content-Range is missing: expected bytes a-b/total");
    if (!read_range(content_range, out))
        return TR_FAIL(err, TR_INVALID, "Content-Range \"%.*s\" is not of the form bytes a-b/total",
                       (int)(content_range.len < 80 ? content_range.len : 80),
                       (const char *)content_range.at);
    const uint64_t length = (uint64_t)(out->last - out->first) + 1;
    if (length != bytes.len)
        return TR_FAIL(err, TR_INVALID, "Content-Range says %llu bytes, the body has %zu",
                       (unsigned long long)length, bytes.len);
    if (bytes.len > TR_UPLOAD_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "a part of %zu bytes; at most %d are allowed", bytes.len,
                       TR_UPLOAD_BYTES_MAX);
    if (out->total >= 0 && out->last >= out->total)
        return TR_FAIL(err, TR_INVALID, "Content-Range ends at byte %lld of a file of %lld bytes",
                       (long long)out->last, (long long)out->total);
    if ((uint64_t)out->last >= TR_BATCH_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "a file of more than %llu bytes",
                       (unsigned long long)TR_BATCH_BYTES_MAX);
    return TR_OK;
}

static tr_code add_part(void *ctx, tr_object *upload, tr_err *err)
{
    const part *p = ctx;
    json_t *parts = json_object_get(upload->doc, "parts");
    if (upload->doc == NULL || strcmp(upload->state, "open") != 0)
        return TR_FAIL(err, TR_NOT_FOUND,
                       "file \"%.*s\" was not initialized: POST it with "
                       "action=INITIALIZE first",
                       SHOWN(p->path));
    const int64_t total = tr_json_int(upload->doc, "total", -1);
    if (p->total >= 0 && total >= 0 && total != p->total)
        return TR_FAIL(err, TR_INVALID,
                       "file \"%.*s\" has %lld bytes by an earlier part, %lld by this one",
                       SHOWN(p->path), (long long)total, (long long)p->total);
    if (p->total >= 0)
        TR_TRY(tr_batch_set(upload->doc, "total", json_integer((json_int_t)p->total), err));
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *old = json_array_get(parts, i);
        if (json_integer_value(json_array_get(old, 0)) == p->first &&
            json_integer_value(json_array_get(old, 1)) == p->last)
            return TR_OK; /* sent again */
    }
    if (json_array_size(parts) >= TR_INGEST_PARTS_MAX)
        return TR_FAIL(err, TR_LIMIT, "file \"%.*s\" has more than %d parts", SHOWN(p->path),
                       TR_INGEST_PARTS_MAX);
    return json_array_append_new(
               parts, json_pack("[I, I]", (json_int_t)p->first, (json_int_t)p->last)) == 0
               ? TR_OK
               : no_memory(err);
}

static tr_code get_upload(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                          tr_str path, tr_object *out, tr_err *err)
{
    char id[256];
    upload_id(batch, path, id);
    const tr_code code = tr_catalog_get(ingest->parts.catalog, tenant, "upload", id, out, err);
    return code != TR_NOT_FOUND
               ? code
               : TR_FAIL(err, TR_NOT_FOUND, "batch %.64s has no file \"%.*s\"", batch, SHOWN(path));
}

/* Whether the part will be taken: asked before its bytes are written. */
static tr_code check_part(tr_ingest *ingest, const tr_tenant *tenant, const char *batch, part *p,
                          tr_err *err)
{
    tr_object upload = {0};
    TR_TRY(get_upload(ingest, tenant, batch, p->path, &upload, err));
    tr_code code = add_part(p, &upload, err); /* to a copy that is thrown away */
    if (strcmp(upload.state, "done") == 0)
        code = TR_FAIL(err, TR_INVALID, "file \"%.*s\" is complete and takes no parts",
                       SHOWN(p->path));
    tr_object_clear(&upload);
    return code;
}

tr_code tr_ingest_file_part(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                            const char *dataset, tr_str path, tr_str content_range, tr_str bytes,
                            json_t **file, tr_err *err)
{
    part p = {.path = path};
    const upload_edit edit = {.ingest = ingest,
                              .tenant = tenant,
                              .batch = batch,
                              .dataset = dataset,
                              .path = path,
                              .edit = add_part,
                              .ctx = &p};
    TR_TRY(read_part(content_range, bytes, &p, err));
    TR_TRY(begin(ingest, tenant, batch, dataset, path, err));
    tr_code code = check_part(ingest, tenant, batch, &p, err);
    if (code == TR_OK)
        code = tr_lake_upload_part(ingest->parts.lake, tenant, batch, path, (uint64_t)p.first,
                                   bytes, err);
    tr_crash_point("ingest_part_uploaded");
    if (code == TR_OK)
        code = edit_upload(&edit, err);
    tr_gate_leave(ingest, tenant, batch);
    return code == TR_OK ? file_document(path, p.last - p.first + 1, file, err) : code;
}

typedef struct range {
    int64_t first, last;
} range;

static int by_first(const void *a, const void *b)
{
    const range *x = a, *y = b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1)
                                : (x->last > y->last) - (x->last < y->last);
}

/* The parts in order; freed with tr_free. */
static tr_code sorted_parts(const json_t *doc, range **out, size_t *count, tr_err *err)
{
    const json_t *parts = json_object_get(doc, "parts");
    *count = json_array_size(parts);
    range *ranges = tr_alloc_array(*count, sizeof *ranges);
    if (ranges == NULL)
        return no_memory(err);
    for (size_t i = 0; i < *count; i++) {
        const json_t *pair = json_array_get(parts, i);
        ranges[i] = (range){json_integer_value(json_array_get(pair, 0)),
                            json_integer_value(json_array_get(pair, 1))};
    }
    qsort(ranges, *count, sizeof *ranges, by_first);
    *out = ranges;
    return TR_OK;
}

static tr_code check_parts(const range *ranges, size_t count, int64_t total, tr_str path,
                           tr_err *err)
{
    int64_t next = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].first < next)
            return TR_FAIL(err, TR_INVALID, "file \"%.*s\": bytes %lld-%lld overlap with %lld-%lld",
                           SHOWN(path), (long long)ranges[i].first, (long long)ranges[i].last,
                           (long long)ranges[i - 1].first, (long long)ranges[i - 1].last);
        if (ranges[i].first > next)
            return TR_FAIL(err, TR_INVALID, "file \"%.*s\": bytes %lld-%lld are missing",
                           SHOWN(path), (long long)next, (long long)ranges[i].first - 1);
        next = ranges[i].last + 1;
    }
    if (count == 0)
        return TR_FAIL(err, TR_INVALID, "file \"%.*s\" is empty: no part was uploaded",
                       SHOWN(path));
    if (total >= 0 && next != total)
        return TR_FAIL(err, TR_INVALID, "file \"%.*s\": bytes %lld-%lld are missing", SHOWN(path),
                       (long long)next, (long long)total - 1);
    return TR_OK;
}

static tr_code complete(void *ctx, tr_object *upload, tr_err *err)
{
    whole *w = ctx;
    range *ranges = NULL;
    size_t count = 0;
    if (upload->doc == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "the batch has no file \"%.*s\"", SHOWN(w->path));
    w->bytes = tr_json_int(upload->doc, "bytes", 0);
    if (strcmp(upload->state, "done") == 0)
        return TR_OK; /* completed before */
    TR_TRY(sorted_parts(upload->doc, &ranges, &count, err));
    tr_code code = check_parts(ranges, count, tr_json_int(upload->doc, "total", -1), w->path, err);
    if (code == TR_OK) {
        w->bytes = ranges[count - 1].last + 1;
        (void)snprintf(upload->state, sizeof upload->state, "done");
        code = tr_batch_set(upload->doc, "bytes", json_integer((json_int_t)w->bytes), err);
    }
    tr_free(ranges);
    return code;
}

tr_code tr_ingest_file_end(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                           const char *dataset, tr_str path, json_t **file, tr_err *err)
{
    whole w = {.path = path};
    const upload_edit edit = {.ingest = ingest,
                              .tenant = tenant,
                              .batch = batch,
                              .dataset = dataset,
                              .path = path,
                              .edit = complete,
                              .ctx = &w};
    TR_TRY(begin(ingest, tenant, batch, dataset, path, err));
    const tr_code code = edit_upload(&edit, err);
    tr_gate_leave(ingest, tenant, batch);
    return code == TR_OK ? file_document(path, w.bytes, file, err) : code;
}

static tr_code write_ranges(const tr_object *upload, tr_buf *out, tr_err *err)
{
    range *ranges = NULL;
    size_t count = 0;
    if (strcmp(upload->state, "done") == 0)
        return tr_buf_format(out, err, "bytes=0-%lld",
                             (long long)tr_json_int(upload->doc, "bytes", 1) - 1);
    TR_TRY(sorted_parts(upload->doc, &ranges, &count, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < count && code == TR_OK;) {
        range whole_range = ranges[i];
        for (i++; i < count && ranges[i].first <= whole_range.last + 1; i++)
            if (ranges[i].last > whole_range.last)
                whole_range.last = ranges[i].last;
        code = tr_buf_format(out, err, "%s%lld-%lld", out->len == 0 ? "bytes=" : ",",
                             (long long)whole_range.first, (long long)whole_range.last);
    }
    tr_free(ranges);
    return code;
}

tr_code tr_ingest_file_ranges(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                              const char *dataset, tr_str path, tr_buf *ranges, tr_err *err)
{
    tr_object object = {0}, upload = {0};
    TR_TRY(tr_batch_get(ingest, tenant, batch, &object, err));
    const bool is_its = strcmp(object.parent, dataset) == 0;
    tr_object_clear(&object);
    if (!is_its)
        return TR_FAIL(err, TR_INVALID, "batch %.64s is not of dataset %.60s", batch, dataset);
    TR_TRY(get_upload(ingest, tenant, batch, path, &upload, err));
    const tr_code code = write_ranges(&upload, ranges, err);
    tr_object_clear(&upload);
    return code;
}

/* ---- all of a batch */

static tr_code list_one(void *ctx, const tr_object *object, tr_err *err)
{
    json_t *entry = json_pack("{s:O, s:I, s:s, s:s}", "path", json_object_get(object->doc, "path"),
                              "bytes", (json_int_t)tr_json_int(object->doc, "bytes", 0), "state",
                              object->state, "id", object->id);
    return json_array_append_new(ctx, entry) == 0 ? TR_OK : no_memory(err);
}

static int by_path(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    return strcmp(tr_json_text(*x, "path", ""), tr_json_text(*y, "path", ""));
}

/* A new array of the same entries, by path. */
static tr_code sort_by_path(const json_t *list, json_t **out, tr_err *err)
{
    const size_t count = json_array_size(list);
    const json_t **entries = tr_alloc_array(count, sizeof(json_t *));
    json_t *sorted = json_array();
    bool is_good = entries != NULL && sorted != NULL;
    for (size_t i = 0; i < count && is_good; i++)
        entries[i] = json_array_get(list, i);
    if (is_good)
        qsort(entries, count, sizeof(json_t *), by_path);
    for (size_t i = 0; i < count && is_good; i++)
        is_good = json_array_append(sorted, (json_t *)(uintptr_t)entries[i]) == 0;
    tr_free(entries);
    if (is_good)
        *out = sorted;
    else
        json_decref(sorted);
    return is_good ? TR_OK : no_memory(err);
}

tr_code tr_upload_list(tr_ingest *ingest, const tr_tenant *tenant, const char *batch, json_t **out,
                       tr_err *err)
{
    json_t *list = json_array();
    const tr_catalog_filter filter = {.parent = batch};
    tr_code code = list == NULL ? no_memory(err)
                                : tr_catalog_list(ingest->parts.catalog, tenant, "upload", &filter,
                                                  list_one, list, err);
    if (code == TR_OK)
        code = sort_by_path(list, out, err);
    json_decref(list);
    return code;
}

tr_code tr_upload_forget(tr_ingest *ingest, const tr_tenant *tenant, const char *batch, tr_err *err)
{
    json_t *list = NULL;
    TR_TRY(tr_upload_list(ingest, tenant, batch, &list, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(list) && code == TR_OK; i++)
        code = tr_catalog_remove(ingest->parts.catalog, tenant, "upload",
                                 tr_json_text(json_array_get(list, i), "id", ""), err);
    json_decref(list);
    return code;
}
