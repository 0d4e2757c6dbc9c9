/* SPDX-License-Identifier: Apache-2.0 */
/* segment_test.c - what of segments needs no server: cron expressions, the life of a membership,
 * masks. */
#include "base/test.h"
#include "compute/cron.h"
#include "segment/life.h"
#include "segment/mask_rows.h"

static int64_t at(const char *text)
{
    int64_t us = 0;
    CHECK(tr_time_parse(tr_str_of(text), true, &us, NULL) == TR_OK);
    return us;
}

static bool fires(const char *expression, const char *after, const char *expected)
{
    char text[TR_TIME_TEXT_BYTES] = "";
    tr_cron cron;
    tr_err err = {0};
    if (tr_cron_parse(tr_str_of(expression), &cron, &err) != TR_OK) {
        printf("%s: %s\n", expression, err.text);
        return false;
    }
    const int64_t next = tr_cron_next(&cron, at(after));
    if (next != at(expected))
        printf("%s after %s: %s, expected %s\n", expression, after,
               next == TR_TIME_NONE ? "never" : tr_time_format(next, text), expected);
    return next == at(expected);
}

static void a_schedule_fires_when_quartz_says(void)
{
    CHECK(fires("0 0 1 * * ?", "2024-05-01T00:59:59Z", "2024-05-01T01:00:00Z"));
    CHECK(fires("0 0 1 * * ?", "2024-05-01T01:00:00Z", "2024-05-02T01:00:00Z"));
    CHECK(fires("0 0 12 ? * MON", "2024-05-01T00:00:00Z", "2024-05-06T12:00:00Z"));
    CHECK(fires("0 0 12 ? * 2-6", "2024-05-03T13:00:00Z", "2024-05-06T12:00:00Z"));
    CHECK(fires("0 0 0 L * ?", "2024-02-01T00:00:00Z", "2024-02-29T00:00:00Z"));
    CHECK(fires("0 0 0 L-3 * ?", "2023-02-01T00:00:00Z", "2023-02-25T00:00:00Z"));
    CHECK(fires("0 0 0 LW * ?", "2024-06-01T00:00:00Z", "2024-06-28T00:00:00Z"));
    CHECK(fires("0 0 0 15W * ?", "2024-06-01T00:00:00Z", "2024-06-14T00:00:00Z"));
    CHECK(fires("0 0 0 1W * ?", "2024-06-01T00:00:00Z", "2024-06-03T00:00:00Z"));
    CHECK(fires("0 0 0 ? * 6L", "2024-05-01T00:00:00Z", "2024-05-31T00:00:00Z"));
    CHECK(fires("0 0 0 ? * FRI#3", "2024-05-01T00:00:00Z", "2024-05-17T00:00:00Z"));
    CHECK(fires("0 0 0 ? * L", "2024-05-01T00:00:00Z", "2024-05-04T00:00:00Z"));
    CHECK(fires("0 0 0 29 FEB ?", "2024-03-01T00:00:00Z", "2028-02-29T00:00:00Z"));
    CHECK(fires("5/20 10 3 1,15 JAN-MAR ? *", "2024-01-15T03:10:05Z", "2024-01-15T03:10:25Z"));
    CHECK(fires("0 0 0 1 11-2 ?", "2024-03-01T00:00:00Z", "2024-11-01T00:00:00Z"));
    CHECK(fires("0 0 0 1 1 ? 2090/5", "2024-03-01T00:00:00Z", "2090-01-01T00:00:00Z"));
}

static void what_is_no_schedule_is_refused_with_the_field(void)
{
    static const char *const cases[][2] = {
        {"0 0 1 * *", "5 fields"},         {"0 0 1 * * ? * *", "more than 7"},
        {"60 0 1 * * ?", "seconds"},       {"0 x 1 * * ?", "minutes"},
        {"0 0 24 * * ?", "hours"},         {"0 0 0 0 * ?", "day of month"},
        {"0 0 0 32 * ?", "day of month"},  {"0 0 0 * 13 ?", "month"},
        {"0 0 0 ? * 8", "day of week"},    {"0 0 0 ? * 6#6", "day of week"},
        {"0 0 0 * * *", "exactly one"},    {"0 0 0 ? * ?", "exactly one"},
        {"0 0 0 30 2 ?", "never fires"},   {"0 0 0 * * ? 1999", "never fires"},
        {"0 0 0 * * ? 2100", "year"},      {"0/0 0 0 * * ?", "seconds"},
        {"0, 0 0 * * ?", "seconds"},       {"-1 0 0 * * ?", "seconds"},
        {"0 0 0 W * ?", "day of month"},   {"", "0 fields"},
        {"0 0 0 * * ? 2090-2080", "year"}, {"0 0 0 L-31 * ?", "day of month"}};
    tr_cron cron;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tr_err err = {0};
        CHECK(tr_cron_parse(tr_str_of(cases[i][0]), &cron, &err) == TR_INVALID);
        if (strstr(err.text, cases[i][1]) == NULL)
            printf("%s: %s\n", cases[i][0], err.text);
        CHECK(strstr(err.text, cases[i][1]) != NULL);
    }
}

static bool fires_unix(const char *expression, const char *after, const char *expected)
{
    tr_cron cron;
    return tr_cron_parse_unix(tr_str_of(expression), &cron, NULL) == TR_OK &&
           tr_cron_next(&cron, at(after)) == at(expected);
}

static void a_schedule_fires_when_crontab_says(void)
{
    CHECK(fires_unix("30 * * * *", "2024-05-01T00:30:00Z", "2024-05-01T01:30:00Z"));
    CHECK(fires_unix("*/15 3 * * *", "2024-05-01T03:30:00Z", "2024-05-01T03:45:00Z"));
    CHECK(fires_unix("0 0 * * 0", "2024-05-01T00:00:00Z", "2024-05-05T00:00:00Z"));
    CHECK(fires_unix("0 0 * * 7", "2024-05-01T00:00:00Z", "2024-05-05T00:00:00Z"));
    CHECK(fires_unix("0 0 * * FRI-MON", "2024-05-06T00:00:00Z", "2024-05-10T00:00:00Z"));
    CHECK(fires_unix("0 0 13 * 5", "2024-05-01T00:00:00Z", "2024-05-03T00:00:00Z"));
    CHECK(fires_unix("0 0 13 * 5", "2024-05-10T00:00:00Z", "2024-05-13T00:00:00Z"));
    CHECK(fires_unix("0 12 29 2 *", "2024-03-01T00:00:00Z", "2028-02-29T12:00:00Z"));
}

static void what_is_no_crontab_line_is_refused_with_the_field(void)
{
    static const char *const cases[][2] = {
        {"* * * *", "4 fields"},      {"0 0 1 * * ?", "6 fields"},   {"60 * * * *", "minutes"},
        {"* 24 * * *", "hours"},      {"* * 0 * *", "day of month"}, {"* * * 13 *", "month"},
        {"* * * * 8", "day of week"}, {"0 0 31 2 *", "never fires"}, {"", "0 fields"},
        {"0 0 * * ?", "day of week"}};
    tr_cron cron;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tr_err err = {0};
        CHECK(tr_cron_parse_unix(tr_str_of(cases[i][0]), &cron, &err) == TR_INVALID);
        CHECK(strstr(err.text, cases[i][1]) != NULL);
    }
}

static void what_is_due_lies_between_two_looks(void)
{
    tr_cron cron;
    int64_t next = TR_TIME_NONE;
    CHECK(tr_cron_parse_unix(tr_str_of("30 * * * *"), &cron, NULL) == TR_OK);
    CHECK(!tr_cron_is_due(&cron, at("2024-05-01T00:30:00Z"), at("2024-05-01T01:29:59Z"), &next));
    CHECK(next == at("2024-05-01T01:30:00Z"));
    CHECK(tr_cron_is_due(&cron, at("2024-05-01T01:29:59Z"), at("2024-05-01T01:30:00Z"), &next));
    CHECK(next == at("2024-05-01T01:30:00Z")); /* the earlier one of two schedules stays */
}

static void twice_a_day_is_frequent(void)
{
    tr_cron cron;
    CHECK(tr_cron_parse(tr_str_of("0 0 1 * * ?"), &cron, NULL) == TR_OK);
    CHECK(!tr_cron_is_frequent(&cron));
    CHECK(tr_cron_parse(tr_str_of("0 0 1,13 * * ?"), &cron, NULL) == TR_OK);
    CHECK(tr_cron_is_frequent(&cron));
    CHECK(tr_cron_parse(tr_str_of("0/30 0 1 * * ?"), &cron, NULL) == TR_OK);
    CHECK(tr_cron_is_frequent(&cron));
}

static bool steps(tr_status before, bool matches, bool has_three, tr_status after, bool is_kept)
{
    const int64_t now = 100 * TR_EXIT_KEPT_US, since = now - 1000;
    const tr_member found = tr_member_step((tr_member){before, since}, matches, has_three, now);
    return found.status == after &&
           (after == TR_STATUS_NONE || found.since_us == (is_kept ? since : now));
}

static void a_membership_steps_as_the_table_says(void)
{
    CHECK(steps(TR_STATUS_NONE, true, true, TR_REALIZED, false));
    CHECK(steps(TR_STATUS_NONE, false, true, TR_STATUS_NONE, false));
    CHECK(steps(TR_REALIZED, true, true, TR_EXISTING, true));
    CHECK(steps(TR_REALIZED, true, false, TR_REALIZED, true));
    CHECK(steps(TR_EXISTING, true, true, TR_EXISTING, true));
    CHECK(steps(TR_EXISTING, true, false, TR_REALIZED, true));
    CHECK(steps(TR_REALIZED, false, true, TR_EXITED, false));
    CHECK(steps(TR_EXISTING, false, true, TR_EXITED, false));
    CHECK(steps(TR_EXITED, true, true, TR_REALIZED, false));
    CHECK(steps(TR_EXITED, false, true, TR_EXITED, true));
}

static void an_exit_ends_after_thirty_days(void)
{
    const int64_t now = 100 * TR_EXIT_KEPT_US;
    const tr_member young = {TR_EXITED, now - TR_EXIT_KEPT_US};
    const tr_member old = {TR_EXITED, now - TR_EXIT_KEPT_US - 1};
    CHECK(!tr_member_is_over(&young, now) && tr_member_is_over(&old, now));
    CHECK(tr_member_step(young, false, true, now).status == TR_EXITED);
    CHECK(tr_member_step(old, false, true, now).status == TR_STATUS_NONE);
    CHECK(tr_member_step(old, true, true, now).status == TR_REALIZED);
    const tr_member member = {TR_EXISTING, 0};
    CHECK(!tr_member_is_over(&member, now));
}

static void check_turned_over(uint32_t count, uint32_t profiles, tr_arena *arena)
{
    uint8_t **masks = tr_arena_array(arena, count, sizeof *masks);
    uint64_t seed = count * UINT64_C(1000) + profiles + 1;
    tr_mask_rows rows;
    for (uint32_t d = 0; d < count; d++) {
        masks[d] = tr_arena_array(arena, profiles, 1);
        for (uint32_t p = 0; p < profiles; p++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            masks[d][p] = seed >> 62 == 0;
        }
    }
    CHECK(tr_mask_rows_make((const uint8_t *const *)masks, count, profiles, arena, &rows, NULL) ==
          TR_OK);
    CHECK(rows.words == (count + 63) / 64);
    for (uint32_t p = 0; p < profiles; p++)
        for (uint32_t bit = 0; bit < rows.words * 64; bit++)
            CHECK((tr_mask_row(&rows, p)[bit / 64] >> bit % 64 & 1) ==
                  (bit < count && masks[bit][p]));
}

static void masks_turned_over_say_the_same(void)
{
    static const uint32_t sizes[] = {0, 1, 7, 63, 64, 65, 130};
    tr_arena arena = {0};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            check_turned_over(sizes[i], sizes[j], &arena);
    tr_arena_free(&arena);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(a_schedule_fires_when_quartz_says);
    RUN(what_is_no_schedule_is_refused_with_the_field);
    RUN(a_schedule_fires_when_crontab_says);
    RUN(what_is_no_crontab_line_is_refused_with_the_field);
    RUN(what_is_due_lies_between_two_looks);
    RUN(twice_a_day_is_frequent);
    RUN(a_membership_steps_as_the_table_says);
    RUN(an_exit_ends_after_thirty_days);
    RUN(masks_turned_over_say_the_same);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
