/* SPDX-License-Identifier: Apache-2.0 */
/* query_statistics.c - GET /data/foundation/query/statistics?dataSet=&statisticType=table: how much
 * SQL sees of a dataset. AEP does not document the answer; its public Python client asks for it.
 */
#include "api/query_list.h"

typedef struct counts {
    tr_call *call;
    json_t *batches; /* ids */
    uint64_t files, rows, bytes;
} counts;

static tr_code add_file(void *ctx, const tr_object *file, tr_err *err)
{
    counts *c = ctx;
    (void)err;
    c->files++;
    c->rows += (uint64_t)tr_json_int(file->doc, "rows", 0);
    c->bytes += (uint64_t)tr_json_int(file->doc, "bytes", 0);
    return TR_OK;
}

/* Those of finished batches: what SQL reads. */
static tr_code count_all(void *ctx, tr_err *err)
{
    size_t i;
    json_t *batch;
    counts *c = ctx;
    tr_catalog *catalog = c->call->parts->catalog;
    const tr_tenant *tenant = &c->call->tenant;
    const tr_catalog_filter done = {.parent = tr_call_query(c->call, "dataSet"),
                                    .state = "success,active"};
    json_array_clear(c->batches);
    c->files = c->rows = c->bytes = 0;
    TR_TRY(tr_catalog_ids(catalog, tenant, "batch", &done, c->batches, err));
    json_array_foreach (c->batches, i, batch) {
        const tr_catalog_filter live = {.parent = json_string_value(batch),
                                        .state = "profile,lake"};
        TR_TRY(tr_catalog_list(catalog, tenant, "file", &live, add_file, c, err));
    }
    return TR_OK;
}

/* aepp asks for the type "table HTTP/1.1", the end of a line that somebody copied. */
static tr_code check_type(const char *type, tr_err *err)
{
    return type == NULL || strcmp(type, "table") == 0 || strcmp(type, "table HTTP/1.1") == 0
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "statisticType is \"%.40s\": expected table", type);
}

static tr_code get_statistics(tr_call *call, tr_err *err)
{
    tr_object dataset = {0};
    const char *id = tr_call_query(call, "dataSet");
    if (id == NULL || id[0] == '\0')
        return TR_FAIL(err, TR_INVALID, "dataSet is required: the id of a dataset");
    TR_TRY(check_type(tr_call_query(call, "statisticType"), err));
    TR_TRY(tr_catalog_get(call->parts->catalog, &call->tenant, "dataset", id, &dataset, err));
    const bool is_hidden = tr_json_bool(dataset.doc, "_hidden", false);
    tr_object_clear(&dataset);
    if (is_hidden)
        return TR_FAIL(err, TR_NOT_FOUND, "no dataset with id \"%.60s\"", id);
    counts c = {.call = call, .batches = json_array()};
    const tr_code code = tr_catalog_read_at_once(call->parts->catalog, count_all, &c, err);
    json_t *shown = json_pack("{s:s,s:s,s:{s:I,s:I,s:I,s:I},s:i}", "dataSet", id, "statisticType",
                              "table", "statistics", "rowCount", (json_int_t)c.rows, "sizeInBytes",
                              (json_int_t)c.bytes, "fileCount", (json_int_t)c.files, "batchCount",
                              (json_int_t)json_array_size(c.batches), "version", 1);
    json_decref(c.batches);
    if (code == TR_OK)
        return tr_reply_json(call, 200, shown, err);
    json_decref(shown);
    return code;
}

const tr_endpoint tr_api_query_statistics[] = {
    {"GET", TR_QUERY_BASE "/statistics", TR_SCOPE_READ, get_statistics, 0, .is_slow = true}, {0}};
