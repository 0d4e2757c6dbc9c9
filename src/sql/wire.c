/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - see wire.h. */
#include "sql/wire.h"

#include "base/clock.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 16 * 1024, WORTH_SENDING = 64 * 1024, SEND_S = 60 };
#define OUT_BYTES_MAX ((size_t)300 * 1024 * 1024)

void tr_wire_open(tr_wire *wire, int fd)
{
    *wire = (tr_wire){.fd = fd, .out = {.bytes_max = OUT_BYTES_MAX}};
}

void tr_wire_close(tr_wire *wire)
{
    if (wire->tls != NULL) {
        (void)SSL_shutdown(wire->tls);
        SSL_free(wire->tls);
    }
    tr_buf_free(&wire->in);
    tr_buf_free(&wire->out);
}

/* Reading ------------------------------------------------------------------------------------- */

static tr_code gone(tr_err *err)
{
    return TR_FAIL(err, TR_NOT_FOUND, "the client has gone");
}

/* Waits for `events`; TR_BUSY after the time. */
static tr_code wait_for(int fd, short events, int timeout_ms, tr_err *err)
{
    struct pollfd p = {.fd = fd, .events = events};
    const int ready = poll(&p, 1, timeout_ms);
    if (ready < 0 && errno != EINTR)
        return gone(err);
    return ready == 0 ? TR_FAIL(err, TR_BUSY, "nothing came in time") : TR_OK;
}

/* *got 0: try again. */
static tr_code read_some(tr_wire *wire, uint8_t *at, size_t len, size_t *got, tr_err *err)
{
    *got = 0;
    if (wire->tls == NULL) {
        const ssize_t bytes = recv(wire->fd, at, len, MSG_DONTWAIT);
        if (bytes > 0)
            *got = (size_t)bytes;
        else if (bytes == 0 || (errno != EINTR && errno != EAGAIN))
            return gone(err);
        return TR_OK;
    }
    const int bytes = SSL_read(wire->tls, at, (int)len);
    const int why = bytes > 0 ? SSL_ERROR_NONE : SSL_get_error(wire->tls, bytes);
    if (bytes > 0)
        *got = (size_t)bytes;
    else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return gone(err);
    return TR_OK;
}

bool tr_wire_has_input(const tr_wire *wire)
{
    return wire->in.len > wire->at || (wire->tls != NULL && SSL_pending(wire->tls) > 0);
}

tr_code tr_wire_wait(tr_wire *wire, int timeout_ms, tr_err *err)
{
    return tr_wire_has_input(wire) ? TR_OK : wait_for(wire->fd, POLLIN, timeout_ms, err);
}

tr_code tr_wire_take(tr_wire *wire, size_t len, int timeout_ms, tr_str *out, tr_err *err)
{
    const int64_t end_us = tr_time_monotonic_us() + (int64_t)timeout_ms * 1000;
    if (wire->at > 0 && wire->in.len > 0) {
        memmove(wire->in.at, wire->in.at + wire->at, wire->in.len - wire->at);
        wire->in.len -= wire->at;
        wire->at = 0;
    }
    while (wire->in.len < len) {
        size_t got;
        TR_TRY(tr_buf_reserve(&wire->in, READ_BYTES, err));
        TR_TRY(read_some(wire, wire->in.at + wire->in.len, READ_BYTES, &got, err));
        wire->in.len += got;
        if (got > 0)
            continue;
        const int64_t left_ms = (end_us - tr_time_monotonic_us()) / 1000;
        if (timeout_ms >= 0 && left_ms <= 0)
            return TR_FAIL(err, TR_BUSY, "nothing came in time");
        TR_TRY(wait_for(wire->fd, POLLIN, timeout_ms < 0 ? -1 : (int)left_ms, err));
    }
    *out = (tr_str){wire->in.at, len};
    wire->at = len;
    return TR_OK;
}

/* Writing ------------------------------------------------------------------------------------- */

void tr_wire_bytes(tr_wire *wire, tr_str bytes)
{
    if (wire->failure == TR_OK)
        wire->failure = tr_buf_append(&wire->out, bytes, NULL);
}

void tr_wire_u8(tr_wire *wire, uint8_t value)
{
    tr_wire_bytes(wire, (tr_str){&value, 1});
}

void tr_wire_u16(tr_wire *wire, uint32_t value)
{
    const uint8_t at[2] = {(uint8_t)(value >> 8), (uint8_t)value};
    tr_wire_bytes(wire, (tr_str){at, sizeof at});
}

void tr_wire_u32(tr_wire *wire, uint32_t value)
{
    const uint8_t at[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16), (uint8_t)(value >> 8),
                           (uint8_t)value};
    tr_wire_bytes(wire, (tr_str){at, sizeof at});
}

void tr_wire_text(tr_wire *wire, const char *text)
{
    tr_wire_bytes(wire, (tr_str){(const uint8_t *)text, strlen(text) + 1});
}

void tr_wire_begin(tr_wire *wire, char type)
{
    wire->message_at = wire->out.len;
    tr_wire_u8(wire, (uint8_t)type);
    tr_wire_u32(wire, 0);
}

void tr_wire_end(tr_wire *wire)
{
    const size_t len = wire->out.len - wire->message_at - 1;
    for (unsigned i = 0; i < 4 && wire->failure == TR_OK; i++)
        wire->out.at[wire->message_at + 1 + i] = (uint8_t)(len >> 8 * (3 - i));
}

/* *sent 0: try again. */
static tr_code send_some(tr_wire *wire, tr_str bytes, size_t *sent, tr_err *err)
{
    *sent = 0;
    if (wire->tls == NULL) {
        const ssize_t done = send(wire->fd, bytes.at, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done >= 0)
            *sent = (size_t)done;
        else if (errno != EINTR && errno != EAGAIN)
            return gone(err);
        return TR_OK;
    }
    const int most = bytes.len > WORTH_SENDING ? WORTH_SENDING : (int)bytes.len;
    const int done = SSL_write(wire->tls, bytes.at, most);
    const int why = done > 0 ? SSL_ERROR_NONE : SSL_get_error(wire->tls, done);
    if (done > 0)
        *sent = (size_t)done;
    else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return gone(err);
    return TR_OK;
}

tr_code tr_wire_flush(tr_wire *wire, tr_err *err)
{
    if (wire->failure != TR_OK)
        return TR_FAIL(err, wire->failure, "an answer is too large");
    tr_str rest = tr_buf_str(&wire->out);
    while (rest.len > 0) {
        size_t sent;
        TR_TRY(send_some(wire, rest, &sent, err));
        rest = tr_str_from(rest, sent);
        if (sent == 0)
            TR_TRY(wait_for(wire->fd, POLLOUT, SEND_S * 1000, err));
    }
    wire->out.len = 0;
    return TR_OK;
}

tr_code tr_wire_relieve(tr_wire *wire, tr_err *err)
{
    return wire->out.len < WORTH_SENDING && wire->failure == TR_OK ? TR_OK
                                                                   : tr_wire_flush(wire, err);
}

/* Bodies -------------------------------------------------------------------------------------- */

tr_str tr_body_bytes(tr_body *body, size_t len)
{
    if (body->is_bad || body->rest.len < len) {
        body->is_bad = true;
        return (tr_str){(const uint8_t *)"", 0};
    }
    const tr_str out = {body->rest.at, len};
    body->rest = tr_str_from(body->rest, len);
    return out;
}

uint32_t tr_body_u16(tr_body *body)
{
    const tr_str s = tr_body_bytes(body, 2);
    return s.len < 2 ? 0 : (uint32_t)s.at[0] << 8 | s.at[1];
}

uint32_t tr_body_u32(tr_body *body)
{
    const tr_str s = tr_body_bytes(body, 4);
    return s.len < 4 ? 0 : (uint32_t)s.at[0] << 24 | (uint32_t)s.at[1] << 16 |
                               (uint32_t)s.at[2] << 8 | s.at[3];
}

const char *tr_body_text(tr_body *body)
{
    const uint8_t *end =
        body->is_bad || body->rest.len == 0 ? NULL : memchr(body->rest.at, '\0', body->rest.len);
    if (end == NULL) {
        body->is_bad = true;
        return "";
    }
    return (const char *)tr_body_bytes(body, (size_t)(end - body->rest.at) + 1).at;
}
