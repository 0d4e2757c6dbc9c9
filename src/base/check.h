/* SPDX-License-Identifier: Apache-2.0 */
/* check.h - assertions about ourselves. Nothing a client, file or other process sends may fire one.
 *
 * TR_ASSERT is always on: a crash is an availability bug, a wrong export is a lie to every system
 * downstream. TR_DCHECK is for O(n) checks and vanishes from release builds.
 */
#ifndef TR_BASE_CHECK_H
#define TR_BASE_CHECK_H

_Noreturn void tr_assert_failed(const char *expression, const char *file, int line)
    __attribute__((cold));

#define TR_ASSERT(condition)                                     \
    do {                                                         \
        if (__builtin_expect(!(condition), 0))                   \
            tr_assert_failed(#condition, __FILE__, __LINE__);    \
    } while (0)

#ifdef NDEBUG
#define TR_DCHECK(condition) ((void)0)
#else
#define TR_DCHECK(condition) TR_ASSERT(condition)
#endif

#endif
