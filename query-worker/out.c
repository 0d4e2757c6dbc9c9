/* SPDX-License-Identifier: Apache-2.0 */
/* out.c - buffering and writing; see out.h. */
#include "out.h"
#include "base/limits.h"

#include <errno.h>
#include <unistd.h>

enum { WORTH_WRITING = 256 * 1024 };

void tr_out_open(tr_out *out, int fd, uint64_t bytes_max)
{
    /* What is worth writing, and one row of any length that we let through. */
    *out = (tr_out){.fd = fd, .bytes_max = bytes_max};
    out->buf.bytes_max = WORTH_WRITING + 6 * (size_t)TR_ROW_BYTES_MAX;
}

void tr_out_close(tr_out *out)
{
    tr_buf_free(&out->buf);
}

uint8_t *tr_out_grow(tr_out *out, size_t more)
{
    if (out->failure == TR_OK)
        out->failure = tr_buf_reserve(&out->buf, more, NULL);
    return out->failure == TR_OK ? out->buf.at + out->buf.len : NULL;
}

static tr_code write_all(tr_out *out, tr_err *err)
{
    size_t at = 0;
    while (at < out->buf.len) {
        const ssize_t written = write(out->fd, out->buf.at + at, out->buf.len - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == ENOSPC)
            return TR_FAIL(err, TR_NO_SPACE, "the disk is full");
        if (written < 0 && errno == EFBIG)
            return TR_FAIL(err, TR_LIMIT, "the result is larger than %llu bytes",
                           (unsigned long long)out->bytes_max);
        if (written < 0)
            return TR_FAIL(err, TR_IO, "writing the result: %s", strerrordesc_np(errno));
        at += (size_t)written;
        out->bytes_written += (size_t)written;
    }
    out->buf.len = 0;
    return TR_OK;
}

tr_code tr_out_flush(tr_out *out, tr_err *err)
{
    if (out->failure != TR_OK)
        return TR_FAIL(err, out->failure, "a row of the result is too large");
    if (out->bytes_written + out->buf.len > out->bytes_max)
        return TR_FAIL(err, TR_LIMIT, "the result is larger than %llu bytes",
                       (unsigned long long)out->bytes_max);
    return write_all(out, err);
}

tr_code tr_out_line_end(tr_out *out, tr_err *err)
{
    if (out->buf.len < WORTH_WRITING && out->failure == TR_OK)
        return TR_OK;
    return tr_out_flush(out, err);
}
