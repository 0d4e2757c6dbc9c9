/* SPDX-License-Identifier: Apache-2.0 */
/* rle_test.c - every width and mix of runs comes back; bad bytes are refused. Goal: decode(encode(x))
 * is x within tr_rle_bytes_max, and no bytes make the decoder read or write outside of its slices.
 * Method: seeded property tests on blocks of exact size (the sanitizers watch both ends), hand-made
 * bytes from the format's description. */
#include "parquet/bitpack_internal.h"
#include "parquet/rle.h"
#include "base/test.h"

static int passed, failed;

enum { COUNT_MAX = 5000 };
static uint32_t values[COUNT_MAX];

/* Stretches of repeats and of noise, of random lengths. */
static void fill(uint64_t *seed, size_t count, uint32_t width)
{
    const uint32_t mask = width == 32 ? UINT32_MAX : (UINT32_C(1) << width) - 1;
    for (size_t i = 0; i < count;) {
        size_t stretch = 1 + tr_test_random(seed) % (tr_test_random(seed) % 8 == 0 ? 2000 : 30);
        const bool is_repeat = tr_test_random(seed) % 2;
        uint32_t value = (uint32_t)(tr_test_random(seed) >> 20) & mask;
        for (; stretch > 0 && i < count; stretch--) {
            values[i++] = value;
            if (!is_repeat)
                value = (uint32_t)(tr_test_random(seed) >> 20) & mask;
        }
    }
}

static void check_round_trip(size_t count, uint32_t width)
{
    tr_buf buf = {0};
    CHECK(tr_rle_encode(&buf, values, count, width, NULL) == TR_OK);
    CHECK(buf.len <= tr_rle_bytes_max(count, width));
    uint8_t *bytes = tr_alloc(buf.len);
    uint32_t *out = tr_alloc_array(count, sizeof *out);
    uint32_t most = 0, top = 0;
    if (bytes != NULL && out != NULL) {
        memcpy(bytes, buf.at, buf.len);
        CHECK(tr_rle_decode((tr_str){bytes, buf.len}, width, (uint32_t)count, 1, out, &most));
        bool is_same = true;
        for (size_t i = 0; i < count; i++) {
            is_same = is_same && out[i] == values[i] + 1;
            top = values[i] > top ? values[i] : top;
        }
        CHECK(is_same);
        CHECK(most == top);
        if (buf.len > 0)
            CHECK(!tr_rle_decode((tr_str){bytes, buf.len - 1}, width, (uint32_t)count, 0, out, &most));
    }
    tr_free(bytes);
    tr_free(out);
    tr_buf_free(&buf);
}

static void every_width_comes_back(void)
{
    uint64_t seed = tr_test_seed(7);
    for (uint32_t width = 0; width <= TR_RLE_WIDTH_MAX; width++)
        for (int round = 0; round < 30; round++) {
            tr_bitpack_plain(round % 3 == 0);
            const size_t count = tr_test_random(&seed) % (round < 15 ? 70 : COUNT_MAX);
            fill(&seed, count, width);
            check_round_trip(count, width);
        }
}

static void levels_of_every_width_come_back(void)
{
    uint64_t seed = tr_test_seed(8);
    for (uint32_t width = 0; width <= 8; width++)
        for (int round = 0; round < 30; round++) {
            static uint8_t levels[COUNT_MAX], out[COUNT_MAX];
            tr_bitpack_plain(round % 3 == 0);
            const size_t count = tr_test_random(&seed) % (round < 15 ? 70 : COUNT_MAX);
            uint8_t most = 0, top = 0;
            fill(&seed, count, width);
            for (size_t i = 0; i < count; i++) {
                levels[i] = (uint8_t)values[i];
                top = levels[i] > top ? levels[i] : top;
            }
            tr_buf buf = {0}, like = {0};
            CHECK(tr_rle_encode_levels(&buf, levels, count, width, NULL) == TR_OK);
            CHECK(tr_rle_encode(&like, values, count, width, NULL) == TR_OK);
            CHECK(tr_str_equal(tr_buf_str(&buf), tr_buf_str(&like)));
            tr_buf_free(&like);
            CHECK(tr_rle_decode_levels(tr_buf_str(&buf), width, (uint32_t)count, out));
            CHECK(memcmp(levels, out, count) == 0);
            uint32_t zeros = 0;
            for (size_t i = 0; i < count; i++)
                zeros += out[i] == 0;
            CHECK(tr_count_level(out, (uint32_t)count, 0, &most) == zeros);
            CHECK(most == top);
            tr_buf_free(&buf);
        }
}

static void the_bytes_are_those_of_the_format(void)
{
    tr_buf buf = {0};
    for (uint32_t i = 0; i < 8; i++)
        values[i] = i;
    CHECK(tr_rle_encode(&buf, values, 8, 3, NULL) == TR_OK);
    static const uint8_t packed[] = {3, 0x88, 0xc6, 0xfa}; /* the format's own example */
    CHECK(tr_str_equal(tr_buf_str(&buf), (tr_str){packed, sizeof packed}));
    buf.len = 0;
    for (uint32_t i = 0; i < 200; i++)
        values[i] = 300;
    CHECK(tr_rle_encode(&buf, values, 200, 9, NULL) == TR_OK);
    static const uint8_t run[] = {0x90, 3, 0x2c, 1};
    CHECK(tr_str_equal(tr_buf_str(&buf), (tr_str){run, sizeof run}));
    tr_buf_free(&buf);
}

static void one_run_is_known_as_constant(void)
{
    static const uint8_t run[] = {0x90, 3, 7};
    uint32_t value = 0;
    CHECK(tr_rle_is_constant((tr_str){run, 3}, 3, 200, &value));
    CHECK(value == 7);
    CHECK(!tr_rle_is_constant((tr_str){run, 3}, 3, 201, &value));
    CHECK(!tr_rle_is_constant((tr_str){run, 3}, 2, 200, &value));
    static const uint8_t packed[] = {3, 0x88, 0xc6, 0xfa};
    CHECK(!tr_rle_is_constant((tr_str){packed, 4}, 3, 8, &value));
}

static bool decodes(const uint8_t *bytes, size_t len, uint32_t width, uint32_t count)
{
    static uint32_t out[COUNT_MAX];
    uint32_t most;
    return tr_rle_decode((tr_str){bytes, len}, width, count, 0, out, &most);
}

static void bad_runs_are_refused(void)
{
    static const uint8_t run[] = {16, 1};
    CHECK(decodes(run, 2, 1, 8));
    CHECK(!decodes(run, 2, 1, 7));   /* more values than asked for */
    CHECK(!decodes(run, 2, 1, 9));   /* fewer */
    CHECK(!decodes(run, 1, 1, 8));   /* the value is missing */
    CHECK(!decodes(run, 2, 0, 8));   /* a byte that belongs to nothing */
    CHECK(!decodes(run, 2, 33, 8));  /* no such width */
    static const uint8_t wide_value[] = {16, 2};
    CHECK(!decodes(wide_value, 2, 1, 8)); /* 2 in one bit */
    static const uint8_t packed[] = {3, 0x88, 0xc6, 0xfa};
    CHECK(decodes(packed, 4, 3, 8));
    CHECK(decodes(packed, 4, 3, 1)); /* padding to a group is allowed */
    CHECK(!decodes(packed, 3, 3, 8));
    static const uint8_t two_groups[] = {5, 0, 0};
    CHECK(!decodes(two_groups, 3, 1, 8)); /* a whole group too many */
    static const uint8_t empty_run[] = {0, 1, 16, 1};
    CHECK(!decodes(empty_run, 4, 1, 8)); /* a run of nothing could go on for ever */
    static const uint8_t billions[] = {0xff, 0xff, 0xff, 0xff, 0x7f, 1};
    CHECK(!decodes(billions, 6, 0, 5000));
    CHECK(!decodes(NULL, 0, 1, 1));
    CHECK(decodes(run, 0, 1, 0));
}

static void random_bytes_never_leave_the_slice(void)
{
    uint64_t seed = tr_test_seed(9);
    for (int round = 0; round < 20000; round++) {
        const size_t len = tr_test_random(&seed) % 40;
        const uint32_t count = (uint32_t)(tr_test_random(&seed) % 100);
        const uint32_t width = (uint32_t)(tr_test_random(&seed) % 34);
        uint8_t *bytes = tr_alloc(len), *levels = tr_alloc(count);
        uint32_t *out = tr_alloc_array(count, sizeof *out), most;
        if (bytes == NULL || levels == NULL || out == NULL)
            abort();
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(tr_test_random(&seed) % (i % 3 == 0 ? 32 : 256));
        const bool is_good = tr_rle_decode((tr_str){bytes, len}, width, count, 0, out, &most);
        if (width <= 8)
            CHECK(tr_rle_decode_levels((tr_str){bytes, len}, width, count, levels) == is_good);
        tr_free(bytes);
        tr_free(levels);
        tr_free(out);
    }
}

/* Blocks of exact size: the vector form may not read or write one value more. */
static void codes_are_spread_the_same_with_and_without_vectors(void)
{
    uint64_t seed = tr_test_seed(10);
    for (uint32_t count = 0; count < 300; count++) {
        uint8_t *def = tr_alloc(count);
        uint32_t *plain = tr_alloc_array(count, 4), *vector = tr_alloc_array(count, 4), has = 0;
        const uint64_t percent = tr_test_random(&seed) % 101;
        if (def == NULL || plain == NULL || vector == NULL)
            abort();
        for (uint32_t i = 0; i < count; i++)
            def[i] = tr_test_random(&seed) % 100 < percent ? 200 : (uint8_t)tr_test_random(&seed) % 200;
        has = tr_count_level(def, count, 200, &(uint8_t){0});
        uint32_t *some = tr_alloc_array(has + TR_SPREAD_SLACK, 4), k = 0;
        if (some == NULL)
            abort();
        for (uint32_t i = 0; i < has + TR_SPREAD_SLACK; i++)
            some[i] = i + 1;
        tr_bitpack_plain(true);
        tr_spread_codes(def, 200, count, some, plain);
        tr_bitpack_plain(false);
        tr_spread_codes(def, 200, count, some, vector);
        for (uint32_t i = 0; i < count; i++)
            CHECK(plain[i] == (def[i] == 200 ? ++k : 0) && vector[i] == plain[i]);
        CHECK(k == has);
        tr_free(def);
        tr_free(plain);
        tr_free(vector);
        tr_free(some);
    }
}

int main(void)
{
    RUN(every_width_comes_back);
    RUN(levels_of_every_width_come_back);
    RUN(the_bytes_are_those_of_the_format);
    RUN(one_run_is_known_as_constant);
    RUN(bad_runs_are_refused);
    RUN(codes_are_spread_the_same_with_and_without_vectors);
    RUN(random_bytes_never_leave_the_slice);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
