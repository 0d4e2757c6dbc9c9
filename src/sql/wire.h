/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - bytes of one connection: TLS or not, messages in, messages out.
 *
 *     in   type byte | int32 length (of itself and the body) | body
 *     out  the same; gathers in a buffer and leaves when it is large, or at a flush
 *
 * Every wait has an end: a client that does not read for SEND_S is gone.
 *
 * Threads: one.
 */
#ifndef TR_SQL_WIRE_H
#define TR_SQL_WIRE_H

#include "base/memory.h"

typedef struct ssl_st tr_tls_connection;

typedef struct tr_wire {
    int fd;
    tr_tls_connection *tls; /* NULL: none */
    tr_buf in;
    size_t at;              /* in `in`: what has been taken */
    tr_buf out;
    size_t message_at;      /* in `out`: where the message under way begins */
    tr_code failure;        /* of putting; reported by the flush */
} tr_wire;

void tr_wire_open(tr_wire *wire, int fd);
void tr_wire_close(tr_wire *wire);

/* The next `len` bytes, borrowed until the next call. timeout_ms -1: for ever.
 * TR_NOT_FOUND  the client has gone;  TR_BUSY  nothing came in time */
TR_MUST_CHECK tr_code tr_wire_take(tr_wire *wire, size_t len, int timeout_ms, tr_str *out,
                                   tr_err *err);
bool tr_wire_has_input(const tr_wire *wire); /* some of it is here already */
/* Waits for the first byte of something. TR_BUSY: nothing came in time */
TR_MUST_CHECK tr_code tr_wire_wait(tr_wire *wire, int timeout_ms, tr_err *err);

/* A message is begun, put together and ended. */
void tr_wire_begin(tr_wire *wire, char type);
void tr_wire_u8(tr_wire *wire, uint8_t value);
void tr_wire_u16(tr_wire *wire, uint32_t value);
void tr_wire_u32(tr_wire *wire, uint32_t value);
void tr_wire_text(tr_wire *wire, const char *text); /* with its NUL */
void tr_wire_bytes(tr_wire *wire, tr_str bytes);
void tr_wire_end(tr_wire *wire);
/* Sends what is much. */
TR_MUST_CHECK tr_code tr_wire_relieve(tr_wire *wire, tr_err *err);
TR_MUST_CHECK tr_code tr_wire_flush(tr_wire *wire, tr_err *err);

/* A cursor over a message's body. A read past the end gives nothing and sets is_bad. */
typedef struct tr_body {
    tr_str rest;
    bool is_bad;
} tr_body;
uint32_t tr_body_u16(tr_body *body);
uint32_t tr_body_u32(tr_body *body);
const char *tr_body_text(tr_body *body); /* in place; "" when bad */
tr_str tr_body_bytes(tr_body *body, size_t len);

#endif
