/* SPDX-License-Identifier: Apache-2.0 */
/* memory.h - the only door to malloc, growable buffers, and arenas.
 *
 * Every allocation is counted, so that a job can report its peak and a test can make the n-th one
 * fail. Running out is an answer (NULL, or TR_NO_MEMORY), never an abort.
 *
 * tr_buf    owned, growable bytes with a maximum that is given when it is made.
 * tr_arena  many small objects with one lifetime; freed together. Has a maximum, too.
 *
 * Threads: counters are atomic; a tr_buf or tr_arena belongs to one thread at a time.
 */
#ifndef TR_BASE_MEMORY_H
#define TR_BASE_MEMORY_H

#include "base/err.h"
#include "base/str.h"

/* Returned memory is freed with tr_free. NULL when there is none, or count * size overflows. */
void *tr_alloc(size_t bytes);
void *tr_alloc_array(size_t count, size_t size);   /* not cleared */
void *tr_alloc_zeroed(size_t count, size_t size);  /* cleared */
/* Grows (or makes) an array; on failure the old block stays as it was and NULL is returned. */
void *tr_grow_array(void *old, size_t count, size_t size);
/* The same in place, for an array of any type: false leaves it as it was.
 * pointer_to_array  the address of the pointer */
TR_MUST_CHECK bool tr_resize_array(void *pointer_to_array, size_t count, size_t size);
/* Room for one more in a list that doubles when it is full; on failure it stays as it was.
 * list    points to the pointer to the items, which may move
 * count   how many there are
 * cap     how many have room */
TR_MUST_CHECK bool tr_list_room(void *list, size_t count, uint32_t *cap, size_t size);
void tr_free(void *memory); /* accepts NULL */
/* Freed memory stays with the process (up to TR_MEMORY_KEPT_BYTES a thread) instead of going back to the
 * kernel: a job frees what its next partition takes again, and fresh pages cost more than merging them.
 * Once, at the start of main. */
void tr_memory_keep_freed(void);
char *tr_copy_text(tr_str s); /* a NUL-terminated copy */

uint64_t tr_memory_bytes_now(void);
uint64_t tr_memory_bytes_peak(void);
void tr_memory_reset_peak(void);
/* For tests: lets `after` allocations succeed and fails the next; UINT64_MAX switches it off. */
void tr_memory_fail_after(uint64_t after);

static inline bool tr_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

typedef struct tr_buf {
    uint8_t *at;
    size_t len;
    size_t cap;
    size_t bytes_max; /* 0 means TR_BUF_BYTES_MAX_DEFAULT */
} tr_buf;

#define TR_BUF_BYTES_MAX_DEFAULT ((size_t)1 << 32)

/* Makes room for `more` bytes behind len, without changing len. */
TR_MUST_CHECK tr_code tr_buf_reserve(tr_buf *buf, size_t more, tr_err *err);
TR_MUST_CHECK tr_code tr_buf_append(tr_buf *buf, tr_str bytes, tr_err *err);
TR_MUST_CHECK tr_code tr_buf_format(tr_buf *buf, tr_err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tr_buf_free(tr_buf *buf); /* leaves an empty tr_buf with the same maximum */

static inline tr_str tr_buf_str(const tr_buf *buf)
{
    return (tr_str){buf->at, buf->len};
}

typedef struct tr_arena_block tr_arena_block;
typedef struct tr_arena {
    tr_arena_block *last;
    size_t bytes;     /* in all blocks */
    size_t bytes_max; /* 0 means TR_BUF_BYTES_MAX_DEFAULT */
} tr_arena;

/* Memory that lives as long as the arena, aligned for any type, not cleared; NULL at the maximum. */
void *tr_arena_alloc(tr_arena *arena, size_t bytes);
void *tr_arena_array(tr_arena *arena, size_t count, size_t size); /* cleared */
tr_str tr_arena_copy(tr_arena *arena, tr_str s); /* .at is NULL when there is no memory */
char *tr_arena_text(tr_arena *arena, tr_str s);  /* NUL-terminated, or NULL */
/* Hands everything in *from over to *to; *from is empty afterwards. */
void tr_arena_adopt(tr_arena *to, tr_arena *from);
void tr_arena_reset(tr_arena *arena); /* frees all but one block, to be used again */
void tr_arena_free(tr_arena *arena);

#endif
