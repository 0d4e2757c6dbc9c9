/* SPDX-License-Identifier: Apache-2.0 */
/* thrift_test.c - what is written is read back; no bytes make the reader leave its slice. Goal: the
 * bounds of thrift.h hold for crafted and random bytes. Method: round trips, hand-made bytes, a
 * seeded storm of mutations under the sanitizers. */
#include "parquet/thrift.h"
#include "base/test.h"

static int passed, failed;

static tr_str write_sample(tr_buf *buf)
{
    tr_thrift_writer w = tr_thrift_writer_of(buf, NULL);
    tr_thrift_put_enter(&w);
    tr_thrift_put_i32(&w, 1, -7);
    tr_thrift_put_i64(&w, 3, INT64_MIN);
    tr_thrift_put_bool(&w, 4, true);
    tr_thrift_put_bool(&w, 5, false);
    tr_thrift_put_byte(&w, 6, -128);
    tr_thrift_put_binary(&w, 100, tr_str_of("hello"));
    tr_thrift_put_struct(&w, 101);
    tr_thrift_put_i32(&w, 1, INT32_MAX);
    tr_thrift_put_leave(&w);
    tr_thrift_put_list(&w, 102, TR_THRIFT_STRUCT, 2);
    for (int32_t i = 0; i < 2; i++) {
        tr_thrift_put_enter(&w);
        tr_thrift_put_i32(&w, 2, i);
        tr_thrift_put_leave(&w);
    }
    tr_thrift_put_list(&w, 103, TR_THRIFT_I64, 20);
    for (int64_t i = 0; i < 20; i++)
        tr_thrift_put_element_i64(&w, i - 10);
    tr_thrift_put_list(&w, 104, TR_THRIFT_TRUE, 2);
    tr_thrift_put_element_bool(&w, true);
    tr_thrift_put_element_bool(&w, false);
    tr_thrift_put_list(&w, 105, TR_THRIFT_BINARY, 1);
    tr_thrift_put_element_binary(&w, tr_str_of("x"));
    tr_thrift_put_leave(&w);
    CHECK(w.code == TR_OK);
    return tr_buf_str(buf);
}

/* Reads every field in one of the ways there are. Returns how many fields were seen. */
static int read_sample(tr_thrift_reader *r, bool check)
{
    int seen = 0;
    tr_thrift_field f = {0};
    tr_thrift_enter(r);
    while (tr_thrift_next(r, &f)) {
        seen++;
        if (f.id == 1) {
            const int32_t value = tr_thrift_i32(r, &f);
            CHECK(!check || value == -7);
        } else if (f.id == 3) {
            const int64_t value = tr_thrift_i64(r, &f);
            CHECK(!check || value == INT64_MIN);
        } else if (f.id == 4 || f.id == 5) {
            const bool value = tr_thrift_bool(r, &f);
            CHECK(!check || value == (f.id == 4));
        } else if (f.id == 6) {
            const int8_t value = tr_thrift_byte(r, &f);
            CHECK(!check || value == -128);
        } else if (f.id == 100) {
            const tr_str value = tr_thrift_binary(r, &f);
            CHECK(!check || tr_str_is(value, "hello"));
        } else if (f.id == 101) {
            tr_thrift_field inner = {0};
            tr_thrift_struct(r, &f);
            while (tr_thrift_next(r, &inner))
                CHECK(tr_thrift_i32(r, &inner) == INT32_MAX || !check);
        } else if (f.id == 103) {
            const uint32_t count = tr_thrift_list(r, &f, TR_THRIFT_I64);
            CHECK(!check || count == 20);
            for (uint32_t i = 0; i < count && r->problem == NULL; i++)
                CHECK(tr_thrift_element_i64(r) == (int64_t)i - 10 || !check);
        } else if (f.id == 104) {
            const uint32_t count = tr_thrift_list(r, &f, TR_THRIFT_TRUE);
            for (uint32_t i = 0; i < count && r->problem == NULL; i++)
                CHECK(tr_thrift_element_bool(r) == (i == 0) || !check);
        } else {
            tr_thrift_skip(r, &f);
        }
    }
    return seen;
}

static void what_is_written_is_read(void)
{
    tr_buf buf = {0};
    tr_thrift_reader r = tr_thrift_reader_of(write_sample(&buf));
    CHECK(read_sample(&r, true) == 11);
    CHECK(r.problem == NULL);
    CHECK(r.at == r.end);
    CHECK(r.depth == 0);
    tr_buf_free(&buf);
}

static void the_bytes_are_those_of_the_compact_protocol(void)
{
    tr_buf buf = {0};
    tr_thrift_writer w = tr_thrift_writer_of(&buf, NULL);
    tr_thrift_put_enter(&w);
    tr_thrift_put_i32(&w, 1, 1);
    tr_thrift_put_binary(&w, 20, tr_str_of("ab"));
    tr_thrift_put_list(&w, 21, TR_THRIFT_I32, 1);
    tr_thrift_put_element_i32(&w, -1);
    tr_thrift_put_leave(&w);
    static const uint8_t expected[] = {0x15, 2, 0x08, 40, 2, 'a', 'b', 0x19, 0x15, 1, 0};
    CHECK(tr_str_equal(tr_buf_str(&buf), (tr_str){expected, sizeof expected}));
    tr_buf_free(&buf);
}

static void every_truncation_is_a_fault(void)
{
    tr_buf buf = {0};
    const tr_str whole = write_sample(&buf);
    for (size_t len = 0; len < whole.len; len++) {
        uint8_t *copy = tr_alloc(len); /* of its own, so that a sanitizer sees a read behind it */
        CHECK(copy != NULL);
        if (copy == NULL)
            break;
        memcpy(copy, whole.at, len);
        tr_thrift_reader r = tr_thrift_reader_of((tr_str){copy, len});
        (void)read_sample(&r, false);
        CHECK(r.problem != NULL);
        tr_free(copy);
    }
    tr_buf_free(&buf);
}

static const char *problem_of(const uint8_t *bytes, size_t len)
{
    tr_thrift_reader r = tr_thrift_reader_of((tr_str){bytes, len});
    (void)read_sample(&r, false);
    return r.problem;
}

static void crafted_bytes_are_refused(void)
{
    /* a list of 2^31 structs in a file of a few bytes */
    static const uint8_t huge_list[] = {0x09, 0xcc, 1, 0xfc, 0xff, 0xff, 0xff, 0xff, 7, 0};
    CHECK(problem_of(huge_list, sizeof huge_list) != NULL);
    static const uint8_t long_string[] = {0x08, 0xc8, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1};
    CHECK(problem_of(long_string, sizeof long_string) != NULL);
    static const uint8_t endless_varint[] = {0x15, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                             0xff, 0xff, 0xff, 0};
    CHECK(problem_of(endless_varint, sizeof endless_varint) != NULL);
    static const uint8_t too_wide[] = {0x15, 0xff, 0xff, 0xff, 0xff, 0x7f, 0};
    CHECK(problem_of(too_wide, sizeof too_wide) != NULL);
    static const uint8_t wrong_type[] = {0x18, 0, 0};
    CHECK(problem_of(wrong_type, sizeof wrong_type) != NULL);
    static const uint8_t descending[] = {0x15, 2, 0x05, 2, 2, 0};
    CHECK(problem_of(descending, sizeof descending) != NULL);
    static const uint8_t unknown_type[] = {0x1d, 2, 0};
    CHECK(problem_of(unknown_type, sizeof unknown_type) != NULL);
}

static void nesting_is_cut_at_the_limit(void)
{
    uint8_t bytes[200];
    memset(bytes, 0x7c, sizeof bytes); /* a struct in field 7 of a struct in field 7 ... */
    CHECK(tr_str_is(tr_str_of(problem_of(bytes, sizeof bytes)), "it is nested too deeply"));
    memset(bytes, 0x19, sizeof bytes); /* a list of one list of one list ... */
    bytes[0] = 0x79;
    CHECK(tr_str_is(tr_str_of(problem_of(bytes, sizeof bytes)), "it is nested too deeply"));
    for (size_t depth = TR_THRIFT_DEPTH_MAX - 1; depth <= TR_THRIFT_DEPTH_MAX; depth++) {
        memset(bytes, 0, sizeof bytes);
        memset(bytes, 0x7c, depth);
        const bool fits = depth + 1 <= TR_THRIFT_DEPTH_MAX;
        CHECK((problem_of(bytes, 2 * depth + 1) == NULL) == fits);
    }
}

static void mutated_bytes_never_leave_the_slice(void)
{
    uint64_t seed = tr_test_seed(20260301);
    tr_buf buf = {0};
    const tr_str whole = write_sample(&buf);
    uint8_t *copy = tr_alloc(whole.len);
    CHECK(copy != NULL);
    for (int round = 0; copy != NULL && round < 20000; round++) {
        memcpy(copy, whole.at, whole.len);
        for (uint64_t flips = 1 + tr_test_random(&seed) % 4; flips > 0; flips--)
            copy[tr_test_random(&seed) % whole.len] = (uint8_t)tr_test_random(&seed);
        tr_thrift_reader r = tr_thrift_reader_of((tr_str){copy, whole.len});
        (void)read_sample(&r, false);
        CHECK(r.at <= r.end);
    }
    tr_free(copy);
    tr_buf_free(&buf);
}

int main(void)
{
    RUN(what_is_written_is_read);
    RUN(the_bytes_are_those_of_the_compact_protocol);
    RUN(every_truncation_is_a_fault);
    RUN(crafted_bytes_are_refused);
    RUN(nesting_is_cut_at_the_limit);
    RUN(mutated_bytes_never_leave_the_slice);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
