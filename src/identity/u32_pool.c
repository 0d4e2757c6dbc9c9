/* SPDX-License-Identifier: Apache-2.0 */
/* u32_pool.c - see u32_pool.h. */
#include "identity/u32_pool.h"

/* Blocks have 2^class numbers. */
static uint32_t class_of(uint32_t count)
{
    return count < 2 ? 0 : 32 - (uint32_t)__builtin_clz(count - 1);
}

static tr_code grow(tr_u32_pool *pool, uint64_t wanted, tr_err *err)
{
    uint64_t cap = pool->cap == 0 ? 256 : pool->cap;
    while (cap < wanted)
        cap += cap / 2;
    if (cap > UINT32_MAX)
        cap = UINT32_MAX;
    uint32_t *at = wanted > cap ? NULL : tr_grow_array(pool->at, cap, sizeof *at);
    if (at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the lists of an identity graph");
    pool->at = at;
    pool->cap = (uint32_t)cap;
    return TR_OK;
}

static tr_code take(tr_u32_pool *pool, uint32_t class, uint32_t *offset, tr_err *err)
{
    const uint64_t end = (uint64_t)pool->used + (UINT64_C(1) << class);
    if (pool->freed[class] != 0) {
        *offset = pool->freed[class] - 1;
        pool->freed[class] = pool->at[*offset];
        return TR_OK;
    }
    if (end > pool->cap)
        TR_TRY(grow(pool, end, err));
    *offset = pool->used;
    pool->used = (uint32_t)end;
    return TR_OK;
}

static void give(tr_u32_pool *pool, uint32_t class, uint32_t offset)
{
    pool->at[offset] = pool->freed[class];
    pool->freed[class] = offset + 1;
}

tr_code tr_u32_pool_resize(tr_u32_pool *pool, uint32_t *offset, uint32_t count, uint32_t wanted,
                           tr_err *err)
{
    const uint32_t old_class = class_of(count), new_class = class_of(wanted);
    uint32_t fresh = 0;
    if (count > 0 && wanted > 0 && old_class == new_class)
        return TR_OK;
    if (wanted > 0)
        TR_TRY(take(pool, new_class, &fresh, err));
    if (count > 0) {
        const uint32_t kept = wanted < count ? wanted : count;
        if (kept > 0)
            memcpy(pool->at + fresh, pool->at + *offset, kept * sizeof *pool->at);
        give(pool, old_class, *offset);
    }
    if (wanted > 0)
        *offset = fresh;
    return TR_OK;
}

void tr_u32_pool_free(tr_u32_pool *pool)
{
    tr_free(pool->at);
    *pool = (tr_u32_pool){0};
}
