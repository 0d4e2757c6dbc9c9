/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - reads what the server asks for. The server is trusted; the SQL and the files are
 * not. */
#include "worker.h"

#include <errno.h>
#include <unistd.h>

enum { REQUEST_BYTES_MAX = 64 * 1024 * 1024 }; /* a statement, and the paths of 100,000s of files */

static tr_code read_all(int fd, tr_buf *out, tr_err *err)
{
    for (;;) {
        TR_TRY(tr_buf_reserve(out, 64 * 1024, err));
        const ssize_t got = read(fd, out->at + out->len, out->cap - out->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return TR_FAIL(err, TR_IO, "reading the request: %s", strerrordesc_np(errno));
        if (got == 0)
            return TR_OK;
        out->len += (size_t)got;
    }
}

static uint32_t number(const json_t *json, const char *key, int64_t least, int64_t most)
{
    const int64_t value = tr_json_int(json, key, least);
    return (uint32_t)(value < least ? least : value > most ? most : value);
}

static tr_code take(json_t *json, tr_request *out, tr_err *err)
{
    *out = (tr_request){
        .json = json,
        .verb = tr_json_text(json, "do", ""),
        .format = tr_json_text(json, "format", ""),
        .options = json_object_get(json, "options"),
        .tables = json_object_get(json, "tables"),
        .sql = tr_json_text(json, "sql", ""),
        .folder = tr_json_text(json, "folder", NULL),
        .spill_folder = tr_json_text(json, "spill", NULL),
        .spill_bytes_max = (uint64_t)tr_json_int(json, "spill_bytes_max", 0),
        .bytes_max = (uint64_t)tr_json_int(json, "bytes_max", 0),
        .memory_mb = number(json, "memory_mb", 64, 1 << 20),
        .thread_count = number(json, "threads", 1, 256),
        .cpu_s = number(json, "cpu_s", 1, 1 << 30),
        .has_input = strcmp(tr_json_text(json, "do", ""), "convert") == 0,
        .is_confinement_required = tr_json_bool(json, "confinement_required", false),
    };
    if (out->bytes_max == 0)
        return TR_FAIL(err, TR_INVALID, "the request has no bytes_max");
    return TR_OK;
}

tr_code tr_request_read(int fd, tr_request *out, tr_err *err)
{
    tr_buf text = {.bytes_max = REQUEST_BYTES_MAX};
    json_t *json = NULL;
    tr_code code = read_all(fd, &text, err);
    if (code == TR_OK)
        code = tr_json_parse(tr_buf_str(&text), &json, err);
    if (code == TR_OK)
        code = take(json, out, err);
    if (code != TR_OK)
        json_decref(json);
    tr_buf_free(&text);
    return code;
}

void tr_request_close(tr_request *request)
{
    json_decref(request->json);
}
