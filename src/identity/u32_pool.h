/* SPDX-License-Identifier: Apache-2.0 */
/* u32_pool.h - many short lists of numbers in one array, for graphs of millions of them.
 *
 * A list of n numbers lies in a block of the next power of two, at an offset; who has the list
 * keeps offset and n. Freed blocks are kept by size and used again.
 *
 * Threads: none of its own. Offsets stay valid, pointers only until the next resize.
 */
#ifndef TR_IDENTITY_U32_POOL_H
#define TR_IDENTITY_U32_POOL_H

#include "base/memory.h"

typedef struct tr_u32_pool {
    uint32_t *at;
    uint32_t used, cap;
    uint32_t freed[32]; /* by class: offset + 1 of the first freed block, which holds the next */
} tr_u32_pool;

/* Makes a list of `count` numbers one of `wanted`, keeping what both have. A list of 0 has no
 * block: *offset is not looked at, or not set. */
TR_MUST_CHECK tr_code tr_u32_pool_resize(tr_u32_pool *pool, uint32_t *offset, uint32_t count,
                                         uint32_t wanted, tr_err *err);
void tr_u32_pool_free(tr_u32_pool *pool);

#endif
