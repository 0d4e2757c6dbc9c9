/* SPDX-License-Identifier: Apache-2.0 */
/* http_body.c - a body as it arrives: in memory while it is small, then in a file that no name
 * leads to and that is mapped when it is whole. A crash leaves nothing behind. */
#include "base/id.h"
#include "base/limits.h"
#include "http/http_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

static tr_code open_scratch(tr_http_body *body, const char *folder, tr_err *err)
{
    char path[4096];
    if (folder == NULL)
        return TR_FAIL(err, TR_LIMIT, "this server takes no bodies over %d bytes",
                       TR_BODY_MEMORY_BYTES_MAX);
    const int len = snprintf(path, sizeof path, "%s/%s.body", folder, tr_id_hex(32).text);
    if (len < 0 || (size_t)len >= sizeof path)
        return TR_FAIL(err, TR_IO, "the scratch folder's path is too long");
    TR_TRY(tr_file_open_rw(path, &body->scratch, err));
    TR_TRY(tr_file_remove(path, err));
    TR_TRY(tr_file_write_at(&body->scratch, 0, tr_buf_str(&body->memory), err));
    tr_buf_free(&body->memory);
    return TR_OK;
}

tr_code tr_http_body_add(tr_http_body *body, const char *scratch_folder, tr_str bytes, tr_err *err)
{
    if (bytes.len > body->bytes_max - body->bytes)
        return TR_FAIL(err, TR_LIMIT, "the body is larger than %llu bytes",
                       (unsigned long long)body->bytes_max);
    if (body->scratch.fd < 0 && body->bytes + bytes.len > TR_BODY_MEMORY_BYTES_MAX)
        TR_TRY(open_scratch(body, scratch_folder, err));
    if (body->scratch.fd < 0)
        TR_TRY(tr_buf_append(&body->memory, bytes, err));
    else
        TR_TRY(tr_file_write_at(&body->scratch, body->bytes, bytes, err));
    body->bytes += bytes.len;
    return TR_OK;
}

tr_code tr_http_body_whole(tr_http_body *body, tr_str *out, tr_err *err)
{
    if (body->scratch.fd < 0) {
        *out = tr_buf_str(&body->memory);
        return TR_OK;
    }
    void *at = mmap(NULL, body->bytes, PROT_READ, MAP_PRIVATE, body->scratch.fd, 0);
    if (at == MAP_FAILED)
        return TR_FAIL(err, errno == ENOMEM ? TR_NO_MEMORY : TR_IO, "map the request's body: %s",
                       strerror(errno));
    (void)madvise(at, body->bytes, MADV_SEQUENTIAL);
    body->mapped = at;
    *out = (tr_str){at, body->bytes};
    return TR_OK;
}

void tr_http_body_clear(tr_http_body *body)
{
    if (body->mapped != NULL)
        (void)munmap(body->mapped, body->bytes);
    if (body->scratch.fd >= 0)
        tr_file_close(&body->scratch);
    tr_buf_free(&body->memory);
    *body = (tr_http_body){.scratch = TR_FILE_NONE};
}
