/* SPDX-License-Identifier: Apache-2.0 */
/* rests_test.c - goal: what could not be made is tried again when it can go well, and not busily.
 * Method: a clock of the test's own. */
#include "base/test.h"
#include "materialized/materialized_internal.h"

#include <stdio.h>
#include <string.h>

static int passed, failed;

#define SECOND INT64_C(1000000)
#define DAY (24 * 3600 * SECOND)

static tr_merged_inputs inputs_of(const char *place, const char *digest, uint64_t rows,
                                  uint64_t bytes)
{
    tr_merged_inputs of = {.rows = rows, .bytes = bytes};
    (void)snprintf(of.place, sizeof of.place, "%s", place);
    (void)snprintf(of.digest, sizeof of.digest, "%s", digest);
    return of;
}

static void too_large_rests_until_the_inputs_are_fewer_or_a_day_went_by(void)
{
    tr_rests rests = {0};
    const tr_merged_inputs large = inputs_of("7/a", "d1", 800, 8000);
    tr_rests_begin(&rests, &large, TR_MERGED_TOO_LARGE, SECOND, 0);
    CHECK(tr_rests_has(&rests, &large, DAY - 1));
    CHECK(!tr_rests_has(&rests, &large, DAY));
    const tr_merged_inputs more = inputs_of("7/a", "d2", 801, 8001);
    CHECK(tr_rests_has(&rests, &more, DAY - 1)); /* other data of the same rule, as large */
    const tr_merged_inputs little = inputs_of("7/a", "d3", 701, 7001);
    CHECK(tr_rests_has(&rests, &little, 0));
    const tr_merged_inputs fewer_rows = inputs_of("7/a", "d4", 700, 8000);
    CHECK(!tr_rests_has(&rests, &fewer_rows, 0));
    const tr_merged_inputs fewer_bytes = inputs_of("7/a", "d5", 800, 7000);
    CHECK(!tr_rests_has(&rests, &fewer_bytes, 0));
    CHECK(!tr_rests_has(&rests, &(tr_merged_inputs){.place = "8/a", .digest = "d1"}, 0));
    tr_rests_begin(&rests, &fewer_rows, TR_MERGED_TOO_LARGE, SECOND, 5); /* in vain */
    CHECK(tr_rests_has(&rests, &fewer_rows, 6) && tr_rests_has(&rests, &large, 6));
    tr_rests_end(&rests, &fewer_rows);
    CHECK(!tr_rests_has(&rests, &large, 6));
}

static void a_failure_that_passes_rests_ever_longer_but_an_hour_at_most(void)
{
    tr_rests rests = {0};
    const tr_merged_inputs of = inputs_of("7/a", "d1", 10, 100);
    const tr_merged_inputs newer = inputs_of("7/a", "d2", 5, 50);
    int64_t now = 1000, before = 0;
    for (int i = 0; i < 20; i++) {
        int64_t pause = SECOND / 10;
        tr_rests_begin(&rests, &of, TR_MERGED_PASSING, SECOND / 1000, now);
        CHECK(tr_rests_has(&rests, &of, now + pause - 1));
        CHECK(tr_rests_has(&rests, &newer, now + pause - 1)); /* the disk is as full */
        while (tr_rests_has(&rests, &of, now + pause))
            pause += pause;
        CHECK(pause == SECOND / 10 << i || (pause >= before && i > 14));
        before = pause;
        now += pause;
    }
    CHECK(before < 2 * 3600 * SECOND);
    tr_rests_end(&rests, &of); /* it went well */
    tr_rests_begin(&rests, &of, TR_MERGED_PASSING, 0, now);
    CHECK(!tr_rests_has(&rests, &of, now + SECOND / 10));
}

static void a_slow_attempt_rests_in_proportion(void)
{
    tr_rests rests = {0};
    const tr_merged_inputs of = inputs_of("7/a", "d1", 10, 100);
    tr_rests_begin(&rests, &of, TR_MERGED_PASSING, 60 * SECOND, 0);
    CHECK(tr_rests_has(&rests, &of, 480 * SECOND - 1) && !tr_rests_has(&rests, &of, 480 * SECOND));
    tr_rests_begin(&rests, &of, TR_MERGED_PASSING, INT64_MAX / 2, 0);
    CHECK(!tr_rests_has(&rests, &of, 3600 * SECOND));
}

static void data_that_cannot_be_merged_rests_until_it_is_other_data(void)
{
    tr_rests rests = {0};
    const tr_merged_inputs of = inputs_of("7/a", "d1", 10, 100);
    const tr_merged_inputs other = inputs_of("7/a", "d2", 10, 100);
    tr_rests_begin(&rests, &of, TR_MERGED_UNFIT, SECOND, 0);
    CHECK(tr_rests_has(&rests, &of, 100 * DAY));
    CHECK(!tr_rests_has(&rests, &other, 0));
}

static void the_oldest_is_forgotten_when_there_are_too_many(void)
{
    tr_rests rests = {0};
    for (uint32_t i = 0; i <= TR_RESTS_MAX; i++) {
        char place[32];
        (void)snprintf(place, sizeof place, "%u/a", i);
        const tr_merged_inputs of = inputs_of(place, "d", 10, 100);
        tr_rests_begin(&rests, &of, TR_MERGED_TOO_LARGE, SECOND, 0);
        CHECK(tr_rests_has(&rests, &of, 0));
    }
    CHECK(!tr_rests_has(&rests, &(tr_merged_inputs){.place = "0/a", .rows = 10, .bytes = 100}, 0));
    CHECK(tr_rests_has(&rests, &(tr_merged_inputs){.place = "1/a", .rows = 10, .bytes = 100}, 0));
    CHECK(!tr_rests_has(&rests, &(tr_merged_inputs){.place = "9999/a"}, 0));
}

int main(void)
{
    RUN(too_large_rests_until_the_inputs_are_fewer_or_a_day_went_by);
    RUN(a_failure_that_passes_rests_ever_longer_but_an_hour_at_most);
    RUN(a_slow_attempt_rests_in_proportion);
    RUN(data_that_cannot_be_merged_rests_until_it_is_other_data);
    RUN(the_oldest_is_forgotten_when_there_are_too_many);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
