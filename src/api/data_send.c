/* SPDX-License-Identifier: Apache-2.0 */
/* data_send.c - the bytes of a file of the lake (reference: catalog, section 10.4).
 *
 * The answer takes over an open descriptor and the server sends from it: the bytes never pass
 * through our memory, and a folder that is removed meanwhile still has them until the last one is
 * sent. Files of a batch never change, so their hash is their entity tag for ever.
 */
#include "api/core_internal.h"
#include "api/data_access_internal.h"

#include <stdio.h>

static const char *content_type(const char *name)
{
    static const char *const types[][2] = {{".parquet", "application/parquet"},
                                           {".csv", "application/csv"}};
    const size_t len = strlen(name);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        const size_t end = strlen(types[i][0]);
        if (len > end && strcmp(name + len - end, types[i][0]) == 0)
            return types[i][1];
    }
    return "application/octet-stream";
}

/* Whether a header lists the tag: quoted, weak or plain, or is "*". */
static bool names_tag(tr_call *call, const char *header, const char *etag)
{
    const tr_str value = tr_http_header(call->request, header);
    const size_t len = etag == NULL ? 0 : strlen(etag);
    if (value.len == 1 && value.at[0] == '*')
        return true;
    for (size_t i = 0; len > 0 && i + len <= value.len; i++)
        if (memcmp(value.at + i, etag, len) == 0)
            return true;
    return false;
}

static tr_code add_headers(tr_call *call, const tr_download *file, tr_err *err)
{
    char tag[80];
    call->response->content_type = content_type(file->name);
    TR_TRY(tr_reply_header(call, "Accept-Ranges", "bytes", err));
    if (file->etag == NULL)
        return TR_OK;
    (void)snprintf(tag, sizeof tag, "\"%.64s\"", file->etag);
    return tr_reply_header(call, "ETag", tag, err);
}

static tr_code not_satisfiable(tr_call *call, uint64_t total, tr_err *err)
{
    char range[64], detail[120];
    (void)snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)total);
    (void)snprintf(detail, sizeof detail, "Range: the file has %llu bytes",
                   (unsigned long long)total);
    TR_TRY(tr_reply_header(call, "Content-Range", range, err));
    tr_error_service(call, 416, detail);
    return TR_OK;
}

/* The part that the request asks for; 416 is answered and *is_answered. */
static tr_code choose_part(tr_call *call, const tr_download *file, uint64_t total,
                           bool *is_answered, tr_err *err)
{
    tr_http_response *response = call->response;
    bool is_satisfiable = true;
    uint64_t from = 0, bytes = total;
    char range[96];
    const bool is_stale = tr_http_header(call->request, "If-Range").at != NULL &&
                          !names_tag(call, "If-Range", file->etag);
    response->status = 200;
    response->file_from = 0;
    response->file_bytes = total;
    if (is_stale || !tr_http_range(tr_http_header(call->request, "Range"), total, &from, &bytes,
                                   &is_satisfiable))
        return TR_OK;
    if (!is_satisfiable) {
        *is_answered = true;
        return not_satisfiable(call, total, err);
    }
    response->status = 206;
    response->file_from = from;
    response->file_bytes = bytes;
    (void)snprintf(range, sizeof range, "bytes %llu-%llu/%llu", (unsigned long long)from,
                   (unsigned long long)(from + bytes - 1), (unsigned long long)total);
    return tr_reply_header(call, "Content-Range", range, err);
}

static bool is_head(const tr_call *call)
{
    return strcmp(call->request->method, "HEAD") == 0;
}

/* Opens the file, and learns its length from the open file. */
static tr_code open_file(tr_call *call, const tr_download *file, tr_file *out, uint64_t *total,
                         tr_err *err)
{
    tr_buf path = {0};
    tr_code code = tr_lake_path(call->parts->lake, &call->tenant, file->dataset, file->batch,
                                file->name, &path, err);
    if (code == TR_OK)
        code = tr_file_open((const char *)path.at, out, err);
    if (code == TR_OK)
        code = tr_file_bytes((const char *)path.at, total, err);
    if (code == TR_OK && file->bytes != UINT64_MAX && *total != file->bytes)
        code = TR_FAIL(err, TR_CORRUPT, "\"%s\" has %llu bytes, %llu expected", file->name,
                       (unsigned long long)*total, (unsigned long long)file->bytes);
    tr_buf_free(&path);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_NOT_FOUND, "no file \"%.100s\"", file->name);
    return code;
}

tr_code tr_data_send(tr_call *call, const tr_download *file, tr_err *err)
{
    tr_file opened = TR_FILE_NONE;
    uint64_t total = 0;
    bool is_answered = false;
    if (file->etag != NULL && names_tag(call, "If-None-Match", file->etag))
        return tr_reply_empty(call, 304, err);
    tr_code code = open_file(call, file, &opened, &total, err);
    if (code == TR_OK)
        code = add_headers(call, file, err);
    if (code == TR_OK)
        code = choose_part(call, file, total, &is_answered, err);
    if (code != TR_OK || is_answered) {
        tr_file_close(&opened);
        return code;
    }
    call->response->is_head = is_head(call);
    call->response->file_fd = opened.fd;
    return TR_OK;
}

tr_code tr_data_send_empty(tr_call *call, const char *name, tr_err *err)
{
    call->response->status = 200;
    call->response->is_head = is_head(call);
    call->response->content_type = content_type(name);
    return tr_reply_header(call, "Accept-Ranges", "bytes", err);
}
