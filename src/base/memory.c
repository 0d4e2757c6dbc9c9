/* SPDX-License-Identifier: Apache-2.0 */
/* memory.c - see memory.h. Sizes are asked of malloc itself, so no header is put before a block. */
#include "base/memory.h"
#include "base/check.h"
#include "base/limits.h"

#include <malloc.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static _Atomic uint64_t bytes_now;
static _Atomic uint64_t bytes_peak;
static _Atomic uint64_t allocations_left = UINT64_MAX;

static bool may_allocate(void)
{
    if (atomic_load_explicit(&allocations_left, memory_order_relaxed) == UINT64_MAX)
        return true;
    return atomic_fetch_sub(&allocations_left, 1) - 1 < UINT64_MAX / 2;
}

static void count_in(size_t bytes)
{
    const uint64_t now = atomic_fetch_add_explicit(&bytes_now, bytes, memory_order_relaxed) + bytes;
    uint64_t peak = atomic_load_explicit(&bytes_peak, memory_order_relaxed);
    while (now > peak && !atomic_compare_exchange_weak_explicit(
                             &bytes_peak, &peak, now, memory_order_relaxed, memory_order_relaxed))
        continue;
}

static void count_out(size_t bytes)
{
    atomic_fetch_sub_explicit(&bytes_now, bytes, memory_order_relaxed);
}

void *tr_alloc(size_t bytes)
{
    void *memory = may_allocate() ? malloc(bytes == 0 ? 1 : bytes) : NULL;
    if (memory != NULL)
        count_in(malloc_usable_size(memory));
    return memory;
}

void *tr_alloc_array(size_t count, size_t size)
{
    size_t bytes;
    return tr_mul_size(count, size, &bytes) ? tr_alloc(bytes) : NULL;
}

void *tr_alloc_zeroed(size_t count, size_t size)
{
    void *memory = may_allocate() ? calloc(count == 0 ? 1 : count, size == 0 ? 1 : size) : NULL;
    if (memory != NULL)
        count_in(malloc_usable_size(memory));
    return memory;
}

void *tr_grow_array(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (!tr_mul_size(count, size, &bytes) || !may_allocate())
        return NULL;
    const size_t before = malloc_usable_size(old);
    void *memory = realloc(old, bytes == 0 ? 1 : bytes);
    if (memory != NULL) {
        count_out(before);
        count_in(malloc_usable_size(memory));
    }
    return memory;
}

bool tr_resize_array(void *pointer_to_array, size_t count, size_t size)
{
    void *array;
    memcpy(&array, pointer_to_array, sizeof array);
    array = tr_grow_array(array, count, size);
    if (array != NULL)
        memcpy(pointer_to_array, &array, sizeof array);
    return array != NULL;
}

bool tr_list_room(void *list, size_t count, uint32_t *cap, size_t size)
{
    enum { FIRST = 16 };
    if (count < *cap)
        return true;
    const uint32_t wanted = *cap == 0 ? FIRST : *cap <= UINT32_MAX / 2 ? *cap * 2 : 0;
    if (wanted == 0 || !tr_resize_array(list, wanted, size))
        return false;
    *cap = wanted;
    return true;
}

void tr_free(void *memory)
{
    count_out(malloc_usable_size(memory));
    free(memory);
}

void tr_memory_keep_freed(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, TR_MEMORY_MAPPED_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, TR_MEMORY_KEPT_BYTES);
}

char *tr_copy_text(tr_str s)
{
    char *copy = tr_alloc(s.len + 1);
    if (copy != NULL) {
        if (s.len > 0)
            memcpy(copy, s.at, s.len);
        copy[s.len] = '\0';
    }
    return copy;
}

uint64_t tr_memory_bytes_now(void)
{
    return atomic_load(&bytes_now);
}

uint64_t tr_memory_bytes_peak(void)
{
    return atomic_load(&bytes_peak);
}

void tr_memory_reset_peak(void)
{
    atomic_store(&bytes_peak, atomic_load(&bytes_now));
}

void tr_memory_fail_after(uint64_t after)
{
    atomic_store(&allocations_left, after);
}

static size_t buf_maximum(const tr_buf *buf)
{
    return buf->bytes_max == 0 ? TR_BUF_BYTES_MAX_DEFAULT : buf->bytes_max;
}

tr_code tr_buf_reserve(tr_buf *buf, size_t more, tr_err *err)
{
    if (more <= buf->cap - buf->len)
        return TR_OK;
    const size_t maximum = buf_maximum(buf);
    if (more > maximum || buf->len > maximum - more)
        return TR_FAIL(err, TR_LIMIT, "a buffer would grow over its %zu bytes", maximum);
    size_t cap = buf->cap < 256 ? 256 : buf->cap * 2;
    if (cap < buf->len + more)
        cap = buf->len + more;
    if (cap > maximum)
        cap = maximum;
    uint8_t *at = tr_grow_array(buf->at, cap, 1);
    if (at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a buffer of %zu bytes", cap);
    buf->at = at;
    buf->cap = cap;
    return TR_OK;
}

tr_code tr_buf_append(tr_buf *buf, tr_str bytes, tr_err *err)
{
    TR_TRY(tr_buf_reserve(buf, bytes.len, err));
    if (bytes.len > 0)
        memcpy(buf->at + buf->len, bytes.at, bytes.len);
    buf->len += bytes.len;
    return TR_OK;
}

tr_code tr_buf_format(tr_buf *buf, tr_err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int needed = vsnprintf(NULL, 0, format, args);
    va_end(args);
    TR_ASSERT(needed >= 0);
    TR_TRY(tr_buf_reserve(buf, (size_t)needed + 1, err));
    va_start(args, format);
    (void)vsnprintf((char *)buf->at + buf->len, (size_t)needed + 1, format, args);
    va_end(args);
    buf->len += (size_t)needed;
    return TR_OK;
}

void tr_buf_free(tr_buf *buf)
{
    tr_free(buf->at);
    *buf = (tr_buf){.bytes_max = buf->bytes_max};
}

struct tr_arena_block {
    tr_arena_block *before;
    size_t used;
    size_t cap;
    _Alignas(16) uint8_t bytes[];
};

enum {
    ARENA_BLOCK_BYTES_MIN = 16 * 1024,
    ARENA_BLOCK_BYTES_MAX = 1024 * 1024,
    ARENA_KEPT_BYTES_MAX = 64 * 1024 * 1024
};

static bool arena_add_block(tr_arena *arena, size_t bytes)
{
    const size_t maximum = arena->bytes_max == 0 ? TR_BUF_BYTES_MAX_DEFAULT : arena->bytes_max;
    size_t cap = arena->last == NULL ? ARENA_BLOCK_BYTES_MIN : arena->last->cap * 2;
    if (cap > ARENA_BLOCK_BYTES_MAX)
        cap = ARENA_BLOCK_BYTES_MAX;
    if (bytes > maximum || arena->bytes > maximum - bytes)
        return false;
    if (cap > maximum - arena->bytes)
        cap = maximum - arena->bytes;
    if (cap < bytes)
        cap = bytes;
    tr_arena_block *block = tr_alloc(sizeof *block + cap);
    if (block == NULL)
        return false;
    *block = (tr_arena_block){.before = arena->last, .cap = cap};
    arena->last = block;
    arena->bytes += cap;
    return true;
}

void *tr_arena_alloc(tr_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX - 16)
        return NULL;
    bytes = (bytes + 15) & ~(size_t)15;
    if (arena->last == NULL || arena->last->cap - arena->last->used < bytes)
        if (!arena_add_block(arena, bytes))
            return NULL;
    void *memory = arena->last->bytes + arena->last->used;
    arena->last->used += bytes;
    return memory;
}

void *tr_arena_array(tr_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!tr_mul_size(count, size, &bytes))
        return NULL;
    void *memory = tr_arena_alloc(arena, bytes);
    if (memory != NULL)
        memset(memory, 0, bytes);
    return memory;
}

tr_str tr_arena_copy(tr_arena *arena, tr_str s)
{
    return (tr_str){(const uint8_t *)tr_arena_text(arena, s), s.len};
}

char *tr_arena_text(tr_arena *arena, tr_str s)
{
    char *copy = tr_arena_alloc(arena, s.len + 1);
    if (copy != NULL) {
        if (s.len > 0)
            memcpy(copy, s.at, s.len);
        copy[s.len] = '\0';
    }
    return copy;
}

void tr_arena_adopt(tr_arena *to, tr_arena *from)
{
    tr_arena_block *oldest = from->last;
    if (oldest == NULL)
        return;
    while (oldest->before != NULL)
        oldest = oldest->before;
    if (to->last == NULL) {
        to->last = from->last;
    } else { /* under the block that is being filled */
        oldest->before = to->last->before;
        to->last->before = from->last;
    }
    to->bytes += from->bytes;
    from->last = NULL;
    from->bytes = 0;
}

void tr_arena_reset(tr_arena *arena)
{
    if (arena->last == NULL || arena->last->before == NULL) {
        if (arena->last != NULL)
            arena->last->used = 0;
        return;
    }
    /* One block as large as all were: the next round then needs neither malloc nor fresh pages. */
    const size_t bytes = arena->bytes < ARENA_KEPT_BYTES_MAX ? arena->bytes : ARENA_KEPT_BYTES_MAX;
    tr_arena_free(arena);
    (void)arena_add_block(arena, bytes);
}

void tr_arena_free(tr_arena *arena)
{
    while (arena->last != NULL) {
        tr_arena_block *before = arena->last->before;
        tr_free(arena->last);
        arena->last = before;
    }
    arena->bytes = 0;
}
