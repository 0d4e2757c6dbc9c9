/* SPDX-License-Identifier: Apache-2.0 */
/* ingestion.c - /data/foundation/import/batches (reference: ingestion, sections 2, 3, 6, 11). */
#include "api/api_internal.h"
#include "base/limits.h"

#include <stdio.h>

#define IMPORT "/data/foundation/import/batches"
#define FILE_PATH IMPORT "/{batch}/datasets/{dataset}/files/{path...}"

/* Clients say "actions" in places. */
static tr_str action_of(tr_call *call)
{
    const tr_str action = tr_http_query(call->request, "action");
    return action.at != NULL ? action : tr_http_query(call->request, "actions");
}

/* The answer is the object itself, not Catalog's map. */
static tr_code post_batch(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *batch = NULL;
    TR_TRY(tr_call_json(call, &body, err));
    TR_TRY(
        tr_ingest_create(call->parts->ingest, &call->tenant, body, call->client_id, &batch, err));
    return tr_reply_json(call, 201, batch, err);
}

static tr_code post_action(tr_call *call, tr_err *err)
{
    json_t *batch = NULL;
    const tr_str action = action_of(call);
    if (action.at == NULL)
        return TR_FAIL(err, TR_INVALID,
                       "the query parameter action is missing: expected COMPLETE, ABORT, "
                       "FAIL or REVERT");
    TR_TRY(tr_ingest_action(call->parts->ingest, &call->tenant, tr_call_param(call, 0), action,
                            &batch, err));
    return tr_reply_json(call, 200, batch, err);
}

/* ---- media types */

static bool is_multipart(const tr_call *call)
{
    static const char multipart[] = "multipart/form-data";
    return tr_str_equal_folded(tr_call_media_type(call), tr_str_of(multipart));
}

/* What a small file may be sent as: bytes. A form is not a file. */
static tr_code check_media(const tr_call *call, tr_err *err)
{
    static const char *const known[] = {"",
                                        "application/octet-stream",
                                        "application/json",
                                        "text/csv",
                                        "application/x-ndjson",
                                        "application/jsonl",
                                        "text/plain",
                                        "application/vnd.apache.parquet",
                                        "application/x-parquet",
                                        "application/parquet",
                                        "binary/octet-stream"};
    const tr_str type = tr_call_media_type(call);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (tr_str_equal_folded(type, tr_str_of(known[i])))
            return TR_OK;
    return TR_FAIL(err, TR_MEDIA,
                   "Content-Type \"%.*s\" is not supported: expected application/octet-stream",
                   (int)(type.len < 80 ? type.len : 80), (const char *)type.at);
}

/* ---- forms: Postman sends the parts of a large file as multipart/form-data */

static bool find(tr_str in, size_t from, tr_str what, size_t *at)
{
    const uint8_t *hit = from > in.len || what.len == 0
                             ? NULL
                             : memmem(in.at + from, in.len - from, what.at, what.len);
    if (hit != NULL)
        *at = (size_t)(hit - in.at);
    return hit != NULL;
}

/* The boundary of a form's Content-Type, with the two dashes in front of it. */
static bool boundary_of(const tr_call *call, char out[80])
{
    const tr_str type = tr_http_header(call->request, "Content-Type");
    size_t at;
    if (!find(type, 0, tr_str_of("boundary="), &at))
        return false;
    tr_str value = tr_str_from(type, at + 9);
    const bool is_quoted = value.len > 0 && value.at[0] == '"';
    if (is_quoted)
        value = tr_str_from(value, 1);
    size_t len = 0;
    while (len < value.len && value.at[len] != (is_quoted ? '"' : ';') && value.at[len] != ' ')
        len++;
    if (len == 0 || len > 70)
        return false;
    (void)snprintf(out, 80, "--%.*s", (int)len, (const char *)value.at);
    return true;
}

/* The bytes of the form's first part. */
static tr_code first_part(const tr_call *call, tr_str *out, tr_err *err)
{
    char boundary[80], closing[84];
    size_t begin, end;
    const tr_str body = call->request->body;
    if (!boundary_of(call, boundary))
        return TR_FAIL(err, TR_INVALID, "the form has no boundary");
    (void)snprintf(closing, sizeof closing, "\r\n%s", boundary);
    if (!find(body, 0, tr_str_of(boundary), &begin) ||
        !find(body, begin, tr_str_of("\r\n\r\n"), &begin) ||
        !find(body, begin + 4, tr_str_of(closing), &end))
        return TR_FAIL(err, TR_INVALID,
                       "the form has no part that begins and ends with its boundary");
    *out = (tr_str){body.at + begin + 4, end - begin - 4};
    return TR_OK;
}

/* ---- files */

static tr_code put_file(tr_call *call, tr_err *err)
{
    json_t *file = NULL;
    TR_TRY(check_media(call, err));
    TR_TRY(tr_ingest_put(call->parts->ingest, &call->tenant, tr_call_param(call, 0),
                         tr_call_param(call, 1), call->params[2], call->request->body, &file, err));
    return tr_reply_json(call, 200, file, err);
}

static tr_code post_file(tr_call *call, tr_err *err)
{
    json_t *file = NULL;
    const tr_str action = action_of(call);
    tr_ingest *ingest = call->parts->ingest;
    const char *batch = tr_call_param(call, 0), *dataset = tr_call_param(call, 1);
    if (tr_str_equal_folded(action, tr_str_of("INITIALIZE"))) {
        TR_TRY(tr_ingest_file_begin(ingest, &call->tenant, batch, dataset, call->params[2], &file,
                                    err));
        return tr_reply_json(call, 201, file, err);
    }
    if (tr_str_equal_folded(action, tr_str_of("COMPLETE"))) {
        TR_TRY(
            tr_ingest_file_end(ingest, &call->tenant, batch, dataset, call->params[2], &file, err));
        return tr_reply_json(call, 200, file, err);
    }
    return TR_FAIL(err, TR_INVALID, "action is \"%.*s\": expected INITIALIZE or COMPLETE",
                   (int)(action.len < 40 ? action.len : 40),
                   action.at == NULL ? "" : (const char *)action.at);
}

static tr_code patch_file(tr_call *call, tr_err *err)
{
    json_t *file = NULL;
    tr_str bytes = call->request->body;
    if (is_multipart(call))
        TR_TRY(first_part(call, &bytes, err));
    else
        TR_TRY(check_media(call, err));
    TR_TRY(tr_ingest_file_part(call->parts->ingest, &call->tenant, tr_call_param(call, 0),
                               tr_call_param(call, 1), call->params[2],
                               tr_http_header(call->request, "Content-Range"), bytes, &file, err));
    return tr_reply_json(call, 200, file, err);
}

static tr_code head_file(tr_call *call, tr_err *err)
{
    tr_buf ranges = {0};
    tr_code code = tr_ingest_file_ranges(call->parts->ingest, &call->tenant, tr_call_param(call, 0),
                                         tr_call_param(call, 1), call->params[2], &ranges, err);
    if (code == TR_OK && ranges.len > 0)
        code = tr_http_add_header(call->response, call->request->arena, "Range",
                                  tr_buf_str(&ranges), err);
    tr_buf_free(&ranges);
    return code == TR_OK ? tr_reply_empty(call, 200, err) : code;
}

/* ---- preview */

static tr_code preview_options(tr_call *call, json_t **out, tr_err *err)
{
    static const char *const texts[] = {"delimiter", "quote", "escape", "charset"};
    json_t *options = json_object();
    const char *format = tr_call_query(call, "format");
    bool is_good = options != NULL;
    if (format != NULL && is_good) {
        static const char *const known[] = {"json", "csv", "parquet"};
        const char *found = NULL;
        for (size_t i = 0; i < 3; i++)
            if (tr_str_equal_folded(tr_str_of(format), tr_str_of(known[i])))
                found = known[i];
        if (found == NULL) {
            json_decref(options);
            return TR_FAIL(err, TR_INVALID, "format is \"%.40s\": expected json, parquet or csv",
                           format);
        }
        is_good = json_object_set_new(options, "format", json_string(found)) == 0;
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0] && is_good; i++) {
        const char *value = tr_call_query(call, texts[i]);
        if (value != NULL)
            is_good = json_object_set_new(options, texts[i], json_string(value)) == 0;
    }
    if (is_good) {
        *out = options;
        return TR_OK;
    }
    json_decref(options);
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a preview");
}

static tr_code get_preview(tr_call *call, tr_err *err)
{
    json_t *options = NULL, *preview = NULL;
    int64_t rows;
    TR_TRY(tr_call_query_int(call, "nrow", 5, 0, 100, &rows, err));
    TR_TRY(preview_options(call, &options, err));
    const tr_code code =
        tr_ingest_preview(call->parts->ingest, &call->tenant, tr_call_param(call, 0),
                          tr_call_param(call, 1), options, (uint32_t)rows, &preview, err);
    json_decref(options);
    return code == TR_OK ? tr_reply_json(call, 200, preview, err) : code;
}

#define UPLOAD (TR_UPLOAD_BYTES_MAX + 64 * 1024) /* a form's headers go with the part */

const tr_endpoint tr_api_ingestion[] = {
    {"POST", IMPORT, TR_SCOPE_WRITE, post_batch, 0},
    {"PATCH", IMPORT, TR_SCOPE_WRITE, post_batch, 0}, /* how a client asks for a replay */
    {"POST", IMPORT "/{batch}", TR_SCOPE_WRITE, post_action, 0},
    {"PUT", FILE_PATH, TR_SCOPE_WRITE, put_file, TR_UPLOAD_BYTES_MAX},
    {"POST", FILE_PATH, TR_SCOPE_WRITE, post_file, 0},
    {"PATCH", FILE_PATH, TR_SCOPE_WRITE, patch_file, UPLOAD},
    {"HEAD", FILE_PATH, TR_SCOPE_READ, head_file, 0},
    {"GET", IMPORT "/{batch}/datasets/{dataset}/preview", TR_SCOPE_READ, get_preview, 0,
     .is_slow = true},
    {0}};
