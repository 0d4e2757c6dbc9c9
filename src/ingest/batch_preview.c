/* SPDX-License-Identifier: Apache-2.0 */
/* batch_preview.c - the first rows of an upload, as a client shows them before COMPLETE.
 *
 * Names of nested fields are joined by '/'; arrays are shown as JSON. CSV and Parquet go through
 * the same converter as an ingest: of a CSV only its head, of a Parquet file all, when it is not
 * too large.
 */
#include "ingest/ingest_internal.h"

enum { HEAD_BYTES = 1 << 20, PARQUET_BYTES_MAX = 64 << 20, COLUMNS_MAX = 2000, DEPTH_MAX = 32 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a preview");
}

typedef struct preview {
    tr_ingest *ingest;
    const tr_tenant *tenant;
    const char *batch;
    json_t *options; /* owned: format and CSV options */
    json_t *columns; /* {"name": "cid"} in order; owned */
    json_t *rows;    /* owned */
    uint32_t rows_max;
} preview;

/* ---- a row as cells */

static tr_code add_cell(preview *p, json_t *row, const char *name, const json_t *value, tr_err *err)
{
    char cid[16];
    const char *known = json_string_value(json_object_get(p->columns, name));
    if (known == NULL) {
        if (json_object_size(p->columns) >= COLUMNS_MAX)
            return TR_OK;
        (void)snprintf(cid, sizeof cid, "%zu", json_object_size(p->columns));
        if (json_object_set_new(p->columns, name, json_string(cid)) != 0)
            return no_memory(err);
        known = cid;
    }
    if (json_is_string(value))
        return json_object_set(row, known, (json_t *)(uintptr_t)value) == 0 ? TR_OK
                                                                            : no_memory(err);
    tr_buf text = {0};
    tr_code code = tr_json_write(value, &text, err);
    if (code == TR_OK && json_object_set_new(row, known, tr_json_str(tr_buf_str(&text))) != 0)
        code = no_memory(err);
    tr_buf_free(&text);
    return code;
}

static tr_code add_cells(preview *p, json_t *row, const char *path, const json_t *object, int depth,
                         tr_err *err)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)object, name, value) {
        tr_buf joined = {0};
        tr_code code =
            tr_buf_format(&joined, err, "%s%s%s%c", path, path[0] == '\0' ? "" : "/", name, '\0');
        if (code == TR_OK && json_is_object(value) && depth < DEPTH_MAX)
            code = add_cells(p, row, (const char *)joined.at, value, depth + 1, err);
        else if (code == TR_OK && !json_is_null(value))
            code = add_cell(p, row, (const char *)joined.at, value, err);
        tr_buf_free(&joined);
        TR_TRY(code);
    }
    return TR_OK;
}

static tr_code add_row(preview *p, tr_str text, tr_err *err)
{
    json_t *object = NULL, *row = json_object();
    tr_code code = row != NULL ? TR_OK : no_memory(err);
    if (code == TR_OK && tr_json_parse(text, &object, NULL) == TR_OK && json_is_object(object))
        code = add_cells(p, row, "", object, 0, err);
    if (code == TR_OK && json_array_append(p->rows, row) != 0)
        code = no_memory(err);
    json_decref(object);
    json_decref(row);
    return code;
}

static tr_code add_rows(preview *p, tr_str text, tr_err *err)
{
    tr_json_cutter cutter = {.text = text};
    tr_str row;
    while (json_array_size(p->rows) < p->rows_max && tr_json_next_row(&cutter, &row))
        TR_TRY(add_row(p, row, err));
    return TR_OK;
}

/* ---- the file */

/* The whole lines among the first bytes of a file, as a file of their own. */
static tr_code write_head(tr_str bytes, const char *path, tr_err *err)
{
    size_t len = bytes.len;
    if (len > HEAD_BYTES) {
        len = HEAD_BYTES;
        while (len > 0 && bytes.at[len - 1] != '\n')
            len--;
    }
    return tr_file_put(path, (tr_str){bytes.at, len}, err);
}

static tr_code add_converted(preview *p, const char *in, const char *out, tr_err *err)
{
    tr_map map = {0};
    TR_TRY(tr_query_convert(p->ingest->parts.query, p->options, in, out, err));
    TR_TRY(tr_map_open(out, &map, err));
    const tr_code code = add_rows(p, map.bytes, err);
    tr_map_close(&map);
    return code;
}

static tr_code convert(preview *p, const char *upload, tr_str bytes, const char *format,
                       tr_err *err)
{
    const char *scratch = tr_lake_scratch(p->ingest->parts.lake);
    const tr_id id = tr_id_ulid();
    char head[4096], out[4096];
    const char *in = upload;
    if ((size_t)snprintf(head, sizeof head, "%s/%s-head", scratch, id.text) >= sizeof head ||
        (size_t)snprintf(out, sizeof out, "%s/%s.jsonl", scratch, id.text) >= sizeof out)
        return TR_FAIL(err, TR_LIMIT, "the data folder's path is too long");
    if (strcmp(format, "parquet") == 0 && bytes.len > PARQUET_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "a Parquet file of %zu bytes is too large for a preview",
                       bytes.len);
    tr_code code = TR_OK;
    if (strcmp(format, "csv") == 0) {
        code = write_head(bytes, head, err);
        in = head;
    }
    if (code == TR_OK)
        code = add_converted(p, in, out, err);
    /* What cannot be removed now is swept at the next start. */
    if (tr_file_remove(head, NULL) != TR_OK || tr_file_remove(out, NULL) != TR_OK)
        return code;
    return code;
}

static tr_code read_file(preview *p, const json_t *upload, tr_err *err)
{
    const char *format = tr_json_text(p->options, "format", "json");
    const tr_str path = tr_str_of(tr_json_text(upload, "path", ""));
    tr_buf at = {0};
    tr_map map = {0};
    tr_code code = tr_lake_upload_path(p->ingest->parts.lake, p->tenant, p->batch, path, &at, err);
    if (code == TR_OK)
        code = tr_map_open((const char *)at.at, &map, err);
    if (code == TR_OK)
        code = strcmp(format, "json") == 0
                   ? add_rows(p, map.bytes, err)
                   : convert(p, (const char *)at.at, map.bytes, format, err);
    tr_map_close(&map);
    tr_buf_free(&at);
    return code;
}

static tr_code first_file(preview *p, tr_err *err)
{
    json_t *uploads = NULL;
    TR_TRY(tr_upload_list(p->ingest, p->tenant, p->batch, &uploads, err));
    tr_code code = TR_FAIL(err, TR_NOT_FOUND, "batch %.64s has no uploaded file to show", p->batch);
    for (size_t i = 0; i < json_array_size(uploads); i++)
        if (strcmp(tr_json_text(json_array_get(uploads, i), "state", ""), "done") == 0) {
            code = read_file(p, json_array_get(uploads, i), err);
            break;
        }
    json_decref(uploads);
    return code;
}

static json_t *answer(const preview *p)
{
    json_t *columns = json_array(), *params = json_deep_copy(p->options);
    const char *name;
    json_t *cid;
    (void)json_object_del(params, "percent");
    (void)json_object_del(params, "diagnostics");
    json_object_foreach (p->columns, name, cid)
        (void)json_array_append_new(columns, json_pack("{s:O, s:s}", "cid", cid, "name", name));
    return json_pack("{s:o, s:{s:o, s:O}}", "formatParams", params, "preview", "columns", columns,
                     "rows", p->rows);
}

static tr_code read_preview(preview *p, const char *dataset, const json_t *options, tr_err *err)
{
    tr_object batch = {0};
    TR_TRY(tr_batch_get(p->ingest, p->tenant, p->batch, &batch, err));
    const bool is_its = strcmp(batch.parent, dataset) == 0;
    p->options = json_deep_copy(json_object_get(batch.doc, "_options"));
    tr_object_clear(&batch);
    if (!is_its)
        return TR_FAIL(err, TR_INVALID, "batch %.64s is not of dataset %.60s", p->batch, dataset);
    if (p->options == NULL)
        return TR_FAIL(err, TR_INVALID, "batch %.64s was not made by this service", p->batch);
    if (options != NULL && json_object_update(p->options, (json_t *)(uintptr_t)options) != 0)
        return no_memory(err);
    p->columns = json_object();
    p->rows = json_array();
    return p->columns != NULL && p->rows != NULL ? first_file(p, err) : no_memory(err);
}

tr_code tr_ingest_preview(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                          const char *dataset, const json_t *options, uint32_t rows, json_t **out,
                          tr_err *err)
{
    preview p = {.ingest = ingest, .tenant = tenant, .batch = batch, .rows_max = rows};
    tr_code code = read_preview(&p, dataset, options, err);
    if (code == TR_OK) {
        *out = answer(&p);
        if (*out == NULL)
            code = no_memory(err);
    }
    json_decref(p.options);
    json_decref(p.columns);
    json_decref(p.rows);
    return code;
}
