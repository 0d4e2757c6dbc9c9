/* SPDX-License-Identifier: Apache-2.0 */
/* data_preview.c - the first rows of a dataset as JSON (reference: catalog, section 10.6).
 *
 * The newest batch comes first, its files in order; older ones follow until there are enough rows.
 * Only the pages that hold these rows are read, and the bookkeeping column is never shown.
 */
#include "api/data_access_internal.h"
#include "parquet/row_json.h"

#include <stdio.h>

enum { ROWS_MAX = 100, BODY_BYTES_MAX = 64 * 1024 * 1024, PAGES_BYTES_MAX = 256 * 1024 * 1024 };

typedef struct preview {
    tr_call *call;
    const char *dataset;
    const char *batch; /* whose files are being read */
    uint32_t rows;     /* so far */
    tr_buf body;
} preview;

static tr_code stop(tr_err *err)
{
    return TR_FAIL(err, TR_CANCELLED, "there are enough rows");
}

/* The first rows of a row group. TR_CANCELLED: there are enough. */
static tr_code add_group(preview *p, const tr_parquet_file *file, uint32_t group, tr_arena *arena,
                         tr_err *err)
{
    const tr_shape *shape = tr_parquet_shape(file);
    const uint32_t left = ROWS_MAX - p->rows, all = tr_parquet_group_rows(file, group);
    const uint32_t rows = all < left ? all : left;
    tr_row_json *printer = NULL;
    tr_column *columns = tr_arena_array(arena, shape->leaf_count, sizeof *columns);
    if (columns == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read rows");
    for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++)
        TR_TRY(tr_parquet_read(file, group, leaf, 0, rows, arena, &columns[leaf], err));
    TR_TRY(tr_row_json_open(shape, columns, &printer, err));
    tr_code code = TR_OK;
    for (uint32_t row = 0; row < rows && code == TR_OK; row++) {
        const size_t len = p->body.len;
        if (p->rows > 0)
            code = tr_buf_append(&p->body, tr_str_of(","), err);
        if (code == TR_OK)
            code = tr_row_json_write(printer, row, &p->body, err);
        if (code == TR_LIMIT && p->rows > 0) { /* very long rows: fewer of them */
            p->body.len = len;
            p->rows = ROWS_MAX;
            code = stop(err);
        }
        p->rows += code == TR_OK;
    }
    tr_row_json_close(printer);
    return code == TR_OK && p->rows >= ROWS_MAX ? stop(err) : code;
}

static tr_code add_groups(preview *p, tr_str bytes, tr_err *err)
{
    tr_parquet_file *file = NULL;
    tr_arena arena = {.bytes_max = PAGES_BYTES_MAX};
    TR_TRY(tr_parquet_open(bytes, &file, err));
    tr_code code = TR_OK;
    for (uint32_t group = 0; group < tr_parquet_group_count(file) && code == TR_OK; group++) {
        code = add_group(p, file, group, &arena, err);
        tr_arena_reset(&arena);
    }
    tr_arena_free(&arena);
    tr_parquet_close(file);
    return code;
}

static tr_code each_file(void *ctx, const tr_object *file, tr_err *err)
{
    preview *p = ctx;
    tr_map map = {{NULL, 0}};
    const char *name = tr_json_text(file->doc, "name", "");
    if (strcmp(file->state, "gone") == 0)
        return TR_OK;
    tr_code code =
        tr_lake_map(p->call->parts->lake, &p->call->tenant, p->dataset, p->batch, name, &map, err);
    if (code == TR_NOT_FOUND)
        return TR_OK; /* removed since the catalog was asked */
    TR_TRY(code);
    code = add_groups(p, map.bytes, err);
    tr_map_close(&map);
    return code;
}

static tr_code each_batch(void *ctx, const tr_object *batch, tr_err *err)
{
    preview *p = ctx;
    const tr_catalog_filter files = {.parent = batch->id};
    p->batch = batch->id;
    return tr_catalog_list(p->call->parts->catalog, &p->call->tenant, "file", &files, each_file, p,
                           err);
}

tr_code tr_data_preview(tr_call *call, tr_err *err)
{
    tr_object dataset = {0};
    const char *id = tr_call_param(call, 0);
    preview p = {.call = call, .dataset = id, .body = {.bytes_max = BODY_BYTES_MAX}};
    const tr_catalog_filter batches = {.parent = id, .state = "success", .is_descending = true};
    TR_TRY(tr_catalog_get(call->parts->catalog, &call->tenant, "dataset", id, &dataset, err));
    tr_object_clear(&dataset);
    tr_code code = tr_buf_append(&p.body, tr_str_of("{\"data\":["), err);
    if (code == TR_OK)
        code = tr_catalog_list(call->parts->catalog, &call->tenant, "batch", &batches, each_batch,
                               &p, err);
    p.body.bytes_max = 0; /* the last two bytes always have room */
    if (code == TR_OK || code == TR_CANCELLED)
        code = tr_buf_append(&p.body, tr_str_of("]}"), err);
    if (code != TR_OK) {
        tr_buf_free(&p.body);
        return code;
    }
    call->response->status = 200;
    call->response->body = p.body;
    return TR_OK;
}
