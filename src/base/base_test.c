/* SPDX-License-Identifier: Apache-2.0 */
/* base_test.c - texts into instants and numbers and back, UTF-8, buffers and arenas at their limits. */
#include "base/id.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/test.h"
#include "base/clock.h"

#include <unistd.h>

static int64_t parsed(const char *text)
{
    int64_t us = -1;
    CHECK(tr_time_parse(tr_str_of(text), false, &us, NULL) == TR_OK);
    return us;
}

static void instants_are_read_with_every_zone(void)
{
    CHECK(parsed("1970-01-01T00:00:00Z") == 0);
    CHECK(parsed("2024-04-30T22:00:00+02:00") == parsed("2024-04-30T20:00:00Z"));
    CHECK(parsed("2024-04-30T22:00:00+0200") == parsed("2024-04-30T20:00:00Z"));
    CHECK(parsed("2024-04-30T22:00:00.123456789-01:30") == parsed("2024-04-30T23:30:00.123456"));
    CHECK(parsed("2024-02-29") == parsed("2024-02-29T00:00:00Z"));
    CHECK(parsed("1969-12-31T23:59:59.5Z") == -500000);
}

static void what_is_no_instant_is_refused(void)
{
    static const char *const bad[] = {"",           "2024-13-01",  "2023-02-29T00:00:00Z", "2024-01-01T24:00:00Z",
                                      "yesterday",  "2024-1-1",    "2024-01-01T00:00:00.Z", "2024-01-01T00:00",
                                      "2024-01-01T00:00:00Zx"};
    int64_t us = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(tr_time_parse(tr_str_of(bad[i]), false, &us, NULL) == TR_INVALID);
    CHECK(tr_time_parse(tr_str_of("2024-01-01T00:00:00"), true, &us, NULL) == TR_INVALID);
    CHECK(us == 7); /* out-parameters are untouched on failure */
}

static void any_instant_survives_text(void)
{
    uint64_t random = tr_test_seed(0x71e5);
    for (int i = 0; i < 100000; i++) {
        char text[TR_TIME_TEXT_BYTES];
        const int64_t range = INT64_C(253402300799999999); /* the end of year 9999 */
        const int64_t us = (int64_t)(tr_test_random(&random) % (uint64_t)range) - range / 8;
        CHECK(parsed(tr_time_format(us, text)) == us);
    }
}

static void texts_are_compared_in_any_case_as_in_lower_case(void)
{
    static const char *const texts[] = {"", "A", "a", "ab", "AB", "aB1", "b", "Z", "_", "[", "\xc3\x84"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t j = 0; j < sizeof texts / sizeof *texts; j++) {
            const tr_str a = tr_str_of(texts[i]), b = tr_str_of(texts[j]);
            char x[8] = "", y[8] = "";
            for (size_t k = 0; k < a.len; k++)
                x[k] = (char)(texts[i][k] >= 'A' && texts[i][k] <= 'Z' ? texts[i][k] + 32 : texts[i][k]);
            for (size_t k = 0; k < b.len; k++)
                y[k] = (char)(texts[j][k] >= 'A' && texts[j][k] <= 'Z' ? texts[j][k] + 32 : texts[j][k]);
            const int order = strcmp(x, y);
            CHECK(tr_str_compare_folded(a, b) == (order > 0) - (order < 0));
            CHECK(tr_str_equal_folded(a, b) == (order == 0));
        }
}

static void integers_are_read_to_both_ends(void)
{
    int64_t out = 7;
    CHECK(tr_str_to_i64(tr_str_of("-9223372036854775808"), &out) && out == INT64_MIN);
    CHECK(tr_str_to_i64(tr_str_of("9223372036854775807"), &out) && out == INT64_MAX);
    CHECK(!tr_str_to_i64(tr_str_of("9223372036854775808"), &out));
    CHECK(!tr_str_to_i64(tr_str_of("-9223372036854775809"), &out));
    CHECK(!tr_str_to_i64(tr_str_of(""), &out) && !tr_str_to_i64(tr_str_of("-"), &out));
    CHECK(!tr_str_to_i64(tr_str_of("1 "), &out));
}

static void only_utf8_passes(void)
{
    size_t bad = 0;
    const char *text = "plain ascii, long enough for words; \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80";
    CHECK(tr_str_is_utf8(tr_str_of(text), &bad));
    CHECK(!tr_str_is_utf8(tr_str_of("12345678\xC0\xAF"), &bad) && bad == 8); /* overlong */
    CHECK(!tr_str_is_utf8(tr_str_of("\xED\xA0\x80"), &bad));                 /* a surrogate */
    CHECK(!tr_str_is_utf8(tr_str_of("\xF4\x90\x80\x80"), &bad));             /* above U+10FFFF */
    CHECK(!tr_str_is_utf8(tr_str_of("\xE2\x82"), &bad));                     /* cut */
}

static void a_buffer_ends_at_its_maximum(void)
{
    tr_buf buf = {.bytes_max = 10};
    tr_err err;
    CHECK(tr_buf_append(&buf, tr_str_of("0123456789"), &err) == TR_OK);
    CHECK(tr_buf_append(&buf, tr_str_of("x"), &err) == TR_LIMIT && buf.len == 10);
    tr_buf_free(&buf);
}

static void a_list_doubles_and_stays_as_it_was_without_memory(void)
{
    uint32_t *items = NULL, cap = 0, moves = 0;
    for (uint32_t count = 0; count < 1000; count++) {
        const uint32_t before = cap;
        CHECK(tr_list_room(&items, count, &cap, sizeof *items) && cap > count);
        CHECK(cap == before || cap == 2 * before || before == 0);
        moves += cap != before;
        items[count] = count;
    }
    CHECK(moves == 7 && cap == 1024);
    tr_memory_fail_after(0);
    CHECK(!tr_list_room(&items, cap, &cap, sizeof *items));
    tr_memory_fail_after(UINT64_MAX);
    CHECK(cap == 1024 && items[0] == 0 && items[999] == 999);
    tr_free(items);
}

static void a_list_ends_where_its_count_does(void)
{
    uint8_t *items = NULL;
    uint32_t cap = UINT32_MAX / 2 + 1;
    CHECK(tr_list_room(&items, cap - 1, &cap, 1) && items == NULL);
    CHECK(!tr_list_room(&items, cap, &cap, 1));
    CHECK(items == NULL && cap == UINT32_MAX / 2 + 1);
}

static void an_arena_ends_at_its_maximum_and_can_be_used_again(void)
{
    tr_arena arena = {.bytes_max = 100000};
    int allocations = 0;
    while (tr_arena_alloc(&arena, 1000) != NULL)
        allocations++;
    CHECK(allocations > 50 && allocations <= 100);
    tr_arena_reset(&arena);
    CHECK(tr_arena_alloc(&arena, 1000) != NULL);
    tr_arena_free(&arena);
    CHECK(arena.bytes == 0);
}

static void ids_have_their_form(void)
{
    CHECK(tr_is_hex(tr_str_of(tr_id_hex(24).text), 24));
    CHECK(strlen(tr_id_ulid().text) == 26);
    const tr_id uuid = tr_id_uuid();
    CHECK(strlen(uuid.text) == 36 && uuid.text[14] == '4' && uuid.text[8] == '-');
}

static void contexts_stand_in_front(void)
{
    tr_err err;
    CHECK(TR_FAIL(&err, TR_NO_SPACE, "disk is full") == TR_NO_SPACE);
    tr_err_context(&err, "write part %d", 3);
    CHECK(strcmp(err.text, "write part 3: disk is full") == 0);
    CHECK(tr_code_http_status(err.code) == 507);
}

/* An answer's JSON holds nothing but UTF-8, and messages quote what clients sent, cut anywhere. */
static void a_message_is_utf8_wherever_it_is_cut(void)
{
    char quoted[600] = "";
    tr_err err;
    size_t bad;
    for (size_t i = 0; i + 3 < sizeof quoted; i += 3)
        memcpy(quoted + i, "\xE2\x82\xAC", 4);
    for (int cut = 0; cut < 9; cut++) {
        (void)TR_FAIL(&err, TR_INVALID, "name is \"%.*s\": expected another", cut, quoted);
        CHECK(tr_str_is_utf8(tr_str_of(err.text), &bad));
        CHECK(strstr(err.text, "\": expected another") != NULL);
        (void)TR_FAIL(&err, TR_INVALID, "%.*s%s", cut, "123456789", quoted);
        CHECK(tr_str_is_utf8(tr_str_of(err.text), &bad) && strlen(err.text) == sizeof err.text - 1);
        tr_err_context(&err, "%.*s", cut, "123456789");
        CHECK(tr_str_is_utf8(tr_str_of(err.text), &bad));
        tr_err_context(&err, "%.*s", cut, quoted);
        CHECK(tr_str_is_utf8(tr_str_of(err.text), &bad));
    }
    (void)TR_FAIL(&err, TR_INVALID, "%s", "caf\xC3\xA9");
    CHECK(strcmp(err.text, "caf\xC3\xA9") == 0);
}

/* A terminal carries out what follows an escape character. */
static void a_line_of_the_log_is_one_line_of_text(void)
{
    char line[300] = "";
    int ends[2];
    const int before = dup(STDERR_FILENO);
    CHECK(before >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    tr_log(TR_LOG_ERROR, "base", "tried", "text=\"%s\"", "a\nb\rc\x1b[2Jd\x7f" "e\tf \xC3\xA9");
    CHECK(dup2(before, STDERR_FILENO) >= 0 && read(ends[0], line, sizeof line - 1) > 0);
    CHECK(strstr(line, "text=\"a b c [2Jd e f \xC3\xA9\"\n") != NULL);
    (void)close(before);
    (void)close(ends[0]);
    (void)close(ends[1]);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(instants_are_read_with_every_zone);
    RUN(what_is_no_instant_is_refused);
    RUN(any_instant_survives_text);
    RUN(texts_are_compared_in_any_case_as_in_lower_case);
    RUN(integers_are_read_to_both_ends);
    RUN(only_utf8_passes);
    RUN(a_buffer_ends_at_its_maximum);
    RUN(a_list_doubles_and_stays_as_it_was_without_memory);
    RUN(a_list_ends_where_its_count_does);
    RUN(an_arena_ends_at_its_maximum_and_can_be_used_again);
    RUN(ids_have_their_form);
    RUN(contexts_stand_in_front);
    RUN(a_message_is_utf8_wherever_it_is_cut);
    RUN(a_line_of_the_log_is_one_line_of_text);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
