/* SPDX-License-Identifier: Apache-2.0 */
/* out.h - result text on its way to descriptor 1, and the pieces it is made of.
 *
 * Text gathers in one buffer and leaves in large writes, at the ends of lines only: a line that
 * turns out to be bad is cut off again with tr_out_cut. Putting never fails in the caller's face:
 * the first failure is kept and reported by tr_out_line_end and tr_out_flush.
 *
 * Threads: one.
 */
#ifndef TR_WORKER_OUT_H
#define TR_WORKER_OUT_H

#include "base/memory.h"

typedef struct tr_out {
    tr_buf buf;
    int fd;
    uint64_t bytes_written;
    uint64_t bytes_max; /* of the whole result: above, TR_LIMIT */
    tr_code failure;    /* why the buffer could not grow: TR_LIMIT or TR_NO_MEMORY */
} tr_out;

void tr_out_open(tr_out *out, int fd, uint64_t bytes_max);
void tr_out_close(tr_out *out);
/* Writes what has gathered when it is enough to be worth it. */
TR_MUST_CHECK tr_code tr_out_line_end(tr_out *out, tr_err *err);
TR_MUST_CHECK tr_code tr_out_flush(tr_out *out, tr_err *err);
uint8_t *tr_out_grow(tr_out *out, size_t more); /* NULL: out->failure says why */

/* Room for `more` bytes at the end, or NULL; the caller adds what it used to buf.len. */
static inline uint8_t *tr_out_room(tr_out *out, size_t more)
{
    if (__builtin_expect(out->buf.cap - out->buf.len < more, 0))
        return tr_out_grow(out, more);
    return out->buf.at + out->buf.len;
}

static inline void tr_put(tr_out *out, const void *at, size_t len)
{
    uint8_t *to = tr_out_room(out, len);
    if (to != NULL && len > 0) {
        memcpy(to, at, len);
        out->buf.len += len;
    }
}

static inline void tr_put_byte(tr_out *out, uint8_t byte)
{
    uint8_t *to = tr_out_room(out, 1);
    if (to != NULL) {
        *to = byte;
        out->buf.len++;
    }
}

static inline void tr_put_text(tr_out *out, const char *text)
{
    tr_put(out, text, strlen(text));
}

static inline void tr_out_cut(tr_out *out, size_t len)
{
    if (len < out->buf.len)
        out->buf.len = len;
    if (out->failure == TR_LIMIT)
        out->failure = TR_OK; /* that line was too long; the next need not be */
}

/* A JSON string with its quotes. False: s is not UTF-8; each bad byte became U+FFFD. */
bool tr_put_json(tr_out *out, tr_str s);
/* The same text without the quotes around it. */
bool tr_put_json_inside(tr_out *out, tr_str s);

void tr_put_u64(tr_out *out, uint64_t value);
void tr_put_i64(tr_out *out, int64_t value);
/* The shortest text that reads back as the same number. False: NaN or infinite, nothing was put. */
bool tr_put_double(tr_out *out, double value);
bool tr_put_float(tr_out *out, float value);

__extension__ typedef __int128 tr_i128;
__extension__ typedef unsigned __int128 tr_u128;
void tr_put_i128(tr_out *out, tr_i128 value);
void tr_put_u128(tr_out *out, tr_u128 value, bool is_negative);
/* unscaled / 10^scale, exact. */
void tr_put_decimal(tr_out *out, tr_i128 unscaled, unsigned scale);

/* YYYY-MM-DD. False: outside the years 0001 to 9999, nothing was put. */
bool tr_put_date(tr_out *out, int64_t days);
/* hh:mm:ss and the fraction in 3, 6 or 9 digits when there is one. */
void tr_put_time(tr_out *out, int64_t seconds_of_day, uint32_t nanos);
/* RFC 3339 in UTC: seconds since 1970 and nanoseconds after it. False: as tr_put_date. */
bool tr_put_instant(tr_out *out, int64_t seconds, uint32_t nanos);

/* {"__corrupt":text cut to a few hundred bytes,"__error":why,"__line":number} and the line's
 * end. */
void tr_put_corrupt(tr_out *out, tr_str text, const char *why, uint64_t number);

/* shortest.cpp: at most 32 bytes, returns how many. */
size_t tr_shortest_double(double value, char *to);
size_t tr_shortest_float(float value, char *to);

#endif
