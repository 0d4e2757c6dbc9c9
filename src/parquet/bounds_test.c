/* SPDX-License-Identifier: Apache-2.0 */
/* bounds_test.c - statistics and the column index. Goal: no bound excludes a value, cut strings are
 * whole characters, and every index of a file says what its pages hold. Method: cases at the
 * borders of cutting, random texts and numbers, and column indexes read back beside the values.
 */
#include "base/check.h"
#include "base/test.h"
#include "parquet/thrift.h"
#include "parquet/writer_internal.h"

static int passed, failed;
static tr_arena arena;
static uint64_t seed;

static tr_bounds bounds_of(const tr_str *strings, uint32_t count)
{
    const tr_values values = {.storage = TR_STORAGE_STRING, .count = count, .strings = strings};
    tr_extremes x = {0};
    tr_bounds bounds = {0};
    for (uint32_t i = 1; i <= count; i++)
        tr_extremes_add(&x, &values, i, tr_order_of(TR_KIND_STRING, &values, i));
    CHECK(tr_bounds_make(&arena, TR_KIND_STRING, &values, &x, &bounds, NULL) == TR_OK);
    return bounds;
}

/* `text` repeated, then `last`. */
static tr_str repeated(const char *text, uint32_t times, const char *last)
{
    tr_buf buf = {0};
    for (uint32_t i = 0; i < times; i++)
        TR_ASSERT(tr_buf_append(&buf, tr_str_of(text), NULL) == TR_OK);
    TR_ASSERT(tr_buf_append(&buf, tr_str_of(last), NULL) == TR_OK);
    const tr_str copy = tr_arena_copy(&arena, tr_buf_str(&buf));
    tr_buf_free(&buf);
    return copy;
}

static void short_strings_are_kept_whole(void)
{
    const tr_str strings[] = {tr_str_of("b"), tr_str_of(""), repeated("z", 64, "")};
    const tr_bounds bounds = bounds_of(strings, 3);
    CHECK(bounds.min.len == 0 && bounds.min.at != NULL && bounds.min_is_exact);
    CHECK(tr_str_equal(bounds.max, strings[2]) && bounds.max_is_exact);
}

static void long_strings_are_cut_at_characters_and_stay_bounds(void)
{
    static const struct {
        const char *text, *last, *max;
        uint32_t times, min_len, max_times;
    } cases[] = {
        {"a", "", "b", 65, 64, 63},
        {"a", "\xC3\xA9", "b", 63, 63, 62},               /* the e acute would be cut in two */
        {"\x7F", "", "\xC2\x80", 80, 64, 63},             /* a longer character follows */
        {"\xED\x9F\xBF", "", "\xEE\x80\x80", 30, 63, 20}, /* the surrogates are stepped over */
        {"a\xF4\x8F\xBF\xBF", "", NULL, 20, 61, 0}, /* the last of all characters is left out */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const tr_str value = repeated(cases[i].text, cases[i].times, cases[i].last);
        const tr_bounds bounds = bounds_of(&value, 1);
        size_t bad;
        CHECK(bounds.min.len == cases[i].min_len && !bounds.min_is_exact && !bounds.max_is_exact);
        CHECK(tr_str_compare(bounds.min, value) < 0 && tr_str_compare(bounds.max, value) > 0);
        CHECK(tr_str_is_utf8(bounds.min, &bad) && tr_str_is_utf8(bounds.max, &bad));
        if (cases[i].max != NULL)
            CHECK(tr_str_equal(bounds.max,
                               repeated(cases[i].text, cases[i].max_times, cases[i].max)));
    }
    const tr_str last = repeated("\xF4\x8F\xBF\xBF", 20, "");
    const tr_bounds bounds = bounds_of(&last, 1);
    CHECK(bounds.max_is_exact && tr_str_equal(bounds.max, last)); /* nothing shorter is larger */
    const tr_str bytes = repeated("\xFF", 80, "");
    CHECK(tr_str_equal(bounds_of(&bytes, 1).max, bytes)); /* not text: cut nowhere */
}

static void random_strings_lie_within_their_bounds(void)
{
    static const char *const letters[] = {
        "a", "b", "\x7F", "\xC3\xA9", "\xED\x9F\xBF", "\xF0\x9F\x98\x80", "\xF4\x8F\xBF\xBF"};
    for (uint32_t round = 0; round < 500; round++) {
        tr_str strings[8];
        for (uint32_t i = 0; i < 8; i++) {
            uint8_t text[400];
            size_t len = 0;
            const uint64_t count = tr_test_random(&seed) % 90;
            for (uint64_t c = 0; c < count; c++) {
                const tr_str letter = tr_str_of(letters[c < 20 ? 0 : tr_test_random(&seed) % 7]);
                memcpy(text + len, letter.at, letter.len);
                len += letter.len;
            }
            strings[i] = tr_arena_copy(&arena, (tr_str){text, len});
        }
        const tr_bounds bounds = bounds_of(strings, 8);
        bool min_is_there = false, max_is_there = false;
        for (uint32_t i = 0; i < 8; i++) {
            CHECK(tr_str_compare(bounds.min, strings[i]) <= 0);
            CHECK(tr_str_compare(bounds.max, strings[i]) >= 0);
            min_is_there = min_is_there || tr_str_equal(bounds.min, strings[i]);
            max_is_there = max_is_there || tr_str_equal(bounds.max, strings[i]);
        }
        CHECK((min_is_there || !bounds.min_is_exact) && (max_is_there || !bounds.max_is_exact));
        tr_arena_reset(&arena);
    }
}

static uint64_t bits_of(double real)
{
    uint64_t word;
    memcpy(&word, &real, sizeof word);
    return word;
}

static void numbers_order_as_numbers_do(void)
{
    const uint64_t ints[] = {(uint64_t)INT64_MIN, (uint64_t)-5, 0, 5, INT64_MAX};
    const uint64_t reals[] = {bits_of(-1e300), bits_of(-0.5),   bits_of(-0.0),
                              bits_of(0.0),    bits_of(5e-324), bits_of(2)};
    const tr_values i = {.storage = TR_STORAGE_WORD, .count = 5, .words = ints};
    const tr_values r = {.storage = TR_STORAGE_WORD, .count = 6, .words = reals};
    for (uint32_t n = 1; n < 5; n++)
        CHECK(tr_order_of(TR_KIND_INT64, &i, n) < tr_order_of(TR_KIND_INT64, &i, n + 1));
    for (uint32_t n = 1; n < 6; n++)
        CHECK(tr_order_of(TR_KIND_DOUBLE, &r, n) < tr_order_of(TR_KIND_DOUBLE, &r, n + 1));
    const int32_t low = -7, high = 3;
    CHECK(tr_bounds_compare(TR_KIND_INT32, (tr_str){(const uint8_t *)&low, 4},
                            (tr_str){(const uint8_t *)&high, 4}) < 0);
    CHECK(tr_is_nan(TR_KIND_DOUBLE, bits_of(0.0 / 1.0) | UINT64_C(0x7FF8) << 48));
    CHECK(!tr_is_nan(TR_KIND_DOUBLE, UINT64_C(0x7FF) << 52)); /* infinity is a number */
}

/* What a column index says. */
typedef struct index_said {
    uint32_t pages;
    bool is_null[16];
    int64_t min[16], max[16], nulls[16];
    int32_t boundary;
} index_said;

static int64_t number_of(tr_str bytes)
{
    int64_t number = 0;
    CHECK(bytes.len == 0 || bytes.len == 8);
    memcpy(&number, bytes.at, bytes.len);
    return number;
}

static void read_index(tr_str bytes, index_said *said)
{
    tr_thrift_reader r = tr_thrift_reader_of(bytes);
    tr_thrift_field f = {0};
    tr_thrift_enter(&r);
    while (tr_thrift_next(&r, &f)) {
        if (f.id == TR_PQ_INDEX_BOUNDARY) {
            said->boundary = tr_thrift_i32(&r, &f);
            continue;
        }
        const tr_thrift_type type = f.id == TR_PQ_INDEX_NULL_PAGES    ? TR_THRIFT_TRUE
                                    : f.id == TR_PQ_INDEX_NULL_COUNTS ? TR_THRIFT_I64
                                                                      : TR_THRIFT_BINARY;
        said->pages = tr_thrift_list(&r, &f, type);
        TR_ASSERT(said->pages <= 16);
        for (uint32_t i = 0; i < said->pages; i++) {
            if (f.id == TR_PQ_INDEX_NULL_PAGES)
                said->is_null[i] = tr_thrift_element_bool(&r);
            else if (f.id == TR_PQ_INDEX_NULL_COUNTS)
                said->nulls[i] = tr_thrift_element_i64(&r);
            else if (f.id == TR_PQ_INDEX_MIN)
                said->min[i] = number_of(tr_thrift_element_binary(&r));
            else
                said->max[i] = number_of(tr_thrift_element_binary(&r));
        }
    }
    CHECK(r.problem == NULL && r.at == r.end);
}

static tr_code to_buf(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

/* Writes one column of numbers, pages of 4 rows, and reads its column index; false: it has none. */
static bool write_and_read_index(tr_kind kind, const uint64_t *words, const uint32_t *codes,
                                 uint32_t rows, index_said *said)
{
    tr_shape shape;
    tr_buf bytes = {0};
    tr_parquet_writer *writer = NULL;
    tr_type *root = tr_type_make(&arena, TR_KIND_OBJECT, tr_str_of(""));
    TR_ASSERT(tr_type_add(&arena, root, tr_type_make(&arena, kind, tr_str_of("x"))));
    TR_ASSERT(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    const tr_column column = {.rows = rows,
                              .entries = rows,
                              .codes = codes,
                              .values = {.storage = TR_STORAGE_WORD,
                                         .count = rows,
                                         .words = words,
                                         .is_distinct = tr_test_random(&seed) % 2 == 0}};
    CHECK(tr_parquet_writer_open((tr_sink){to_buf, &bytes}, &shape,
                                 &(tr_parquet_options){.page_rows = 4}, &writer, NULL) == TR_OK);
    CHECK(tr_parquet_begin_group(writer, rows, NULL) == TR_OK);
    CHECK(tr_parquet_put(writer, 0, &column, NULL) == TR_OK &&
          tr_parquet_end_group(writer, NULL) == TR_OK);
    CHECK(tr_parquet_finish(writer, NULL) == TR_OK);
    const tr_out_chunk chunk = writer->chunks[0];
    *said = (index_said){0};
    if (chunk.column_index_bytes > 0)
        read_index((tr_str){bytes.at + chunk.column_index_offset, chunk.column_index_bytes}, said);
    tr_parquet_writer_close(writer);
    tr_buf_free(&bytes);
    return chunk.column_index_bytes > 0;
}

static void a_column_index_says_what_the_pages_hold(void)
{
    for (uint32_t round = 0; round < 300; round++) {
        uint64_t words[40];
        uint32_t codes[40];
        index_said said;
        const uint32_t rows = 1 + (uint32_t)(tr_test_random(&seed) % 40);
        const uint64_t style = round % 4;
        for (uint32_t i = 0; i < rows; i++) {
            words[i] = style == 0   ? i * 3
                       : style == 1 ? (uint64_t) - (int64_t)i
                                    : tr_test_random(&seed) ^ i;
            codes[i] = tr_test_random(&seed) % 3 == 0 || (style == 3 && i < 5) ? 0 : i + 1;
        }
        CHECK(write_and_read_index(TR_KIND_INT64, words, codes, rows, &said));
        CHECK(said.pages == (rows + 3) / 4);
        for (uint32_t p = 0; p < said.pages; p++) {
            int64_t min = INT64_MAX, max = INT64_MIN, nulls = 0;
            for (uint32_t i = p * 4; i < rows && i < p * 4 + 4; i++) {
                const int64_t word = codes[i] == 0 ? 0 : (int64_t)words[codes[i] - 1];
                nulls += codes[i] == 0;
                min = codes[i] != 0 && word < min ? word : min;
                max = codes[i] != 0 && word > max ? word : max;
            }
            CHECK(said.nulls[p] == nulls && said.is_null[p] == (min > max));
            CHECK(min > max || (said.min[p] == min && said.max[p] == max));
        }
        const int32_t order = style == 0   ? TR_PQ_ASCENDING
                              : style == 1 ? TR_PQ_DESCENDING
                                           : said.boundary;
        CHECK(said.boundary == order || said.boundary == TR_PQ_ASCENDING);
        tr_arena_reset(&arena);
    }
}

static void a_column_with_a_nan_has_no_column_index(void)
{
    const uint64_t words[] = {bits_of(1), UINT64_C(0x7FF8) << 48};
    const uint32_t codes[] = {1, 2, 1};
    index_said said;
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(!write_and_read_index(TR_KIND_DOUBLE, words, codes, 3, &said));
        CHECK(write_and_read_index(TR_KIND_DOUBLE, words, codes, 1, &said) &&
              said.max[0] == (int64_t)words[0]);
    }
}

int main(void)
{
    seed = tr_test_seed(UINT64_C(0xb0d5));
    RUN(short_strings_are_kept_whole);
    RUN(long_strings_are_cut_at_characters_and_stay_bounds);
    RUN(random_strings_lie_within_their_bounds);
    RUN(numbers_order_as_numbers_do);
    RUN(a_column_index_says_what_the_pages_hold);
    RUN(a_column_with_a_nan_has_no_column_index);
    tr_arena_free(&arena);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
