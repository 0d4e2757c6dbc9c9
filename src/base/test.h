/* SPDX-License-Identifier: Apache-2.0 */
/* test.h - the whole test framework: one process, one line per test, a plain closing line for CI.
 */
#ifndef TR_BASE_TEST_H
#define TR_BASE_TEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int tr_test_failures; /* of the test now running */

#define CHECK(condition)                                                           \
    do {                                                                           \
        if (!(condition)) {                                                        \
            tr_test_failures++;                                                    \
            printf("%s:%d: CHECK(%s) is false\n", __FILE__, __LINE__, #condition); \
        }                                                                          \
    } while (0)

#define RUN(test)                                                     \
    do {                                                              \
        tr_test_failures = 0;                                         \
        test();                                                       \
        printf("%s %s\n", tr_test_failures ? "FAIL" : "ok  ", #test); \
        *(tr_test_failures ? &failed : &passed) += 1;                 \
    } while (0)

/* A small seeded generator (xorshift*): the same seed gives the same run on every machine. */
static inline uint64_t tr_test_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}

/* The seed of this run: TR_SEED if set, so that a failure can be replayed; otherwise the given one.
 */
static inline uint64_t tr_test_seed(uint64_t otherwise)
{
    const char *text = getenv("TR_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 0) : otherwise;
    printf("seed 0x%llx (TR_SEED=... replays it)\n", (unsigned long long)seed);
    return seed ? seed : 1;
}

/* How often a long loop of a test in one thread goes round: `count` times, but a tenth of that
 * where every access is watched for other threads and there are none. */
#ifdef __SANITIZE_THREAD__
#define TR_TEST_SHARE(count) ((count) / 10 + 1)
#else
#define TR_TEST_SHARE(count) (count)
#endif

#endif
