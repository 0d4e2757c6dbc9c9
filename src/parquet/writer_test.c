/* SPDX-License-Identifier: Apache-2.0 */
/* writer_test.c - what stands in the file, page by page. Goal: levels, dictionaries, page borders
 * and page indexes are those of the format, and whatever cannot be written is refused with a
 * reason. Method: small columns whose pages were worked out by hand; sinks and memory that fail.
 */
#include "base/check.h"
#include "base/test.h"
#include "parquet/read_internal.h"
#include "parquet/rle.h"

static int passed, failed;

static tr_arena arena; /* of the test that runs */
static tr_shape shape;
static tr_buf file_bytes;
static tr_parquet_file *file;

static void begin(void)
{
    tr_arena_reset(&arena);
    file_bytes.len = 0;
}

static void end(void)
{
    tr_parquet_close(file);
    file = NULL;
}

static tr_type *put(tr_type *parent, tr_kind kind, const char *name)
{
    tr_type *type = tr_type_make(&arena, kind, tr_str_of(name));
    TR_ASSERT(type != NULL && (parent == NULL || tr_type_add(&arena, parent, type)));
    return type;
}

/* One flat column "x". */
static void make_flat(tr_kind kind)
{
    tr_type *root = put(NULL, TR_KIND_OBJECT, "");
    (void)put(root, kind, "x");
    TR_ASSERT(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
}

static tr_code to_buf(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

static bool is_uncompressed; /* what write_file writes */

/* Writes the columns as `groups` equal row groups and opens the file. Without codes: not put. */
static tr_code write_file(const tr_column *columns, uint32_t groups, uint32_t page_rows,
                          tr_err *err)
{
    tr_parquet_writer *writer = NULL;
    const tr_parquet_options options = {.page_rows = page_rows, .is_uncompressed = is_uncompressed};
    tr_code code =
        tr_parquet_writer_open((tr_sink){to_buf, &file_bytes}, &shape, &options, &writer, err);
    for (uint32_t g = 0; g < groups && code == TR_OK; g++) {
        code = tr_parquet_begin_group(writer, columns[0].rows, err);
        for (uint32_t i = 0; i < shape.leaf_count && code == TR_OK; i++)
            if (columns[i].codes != NULL)
                code = tr_parquet_put(writer, i, &columns[i], err);
        if (code == TR_OK)
            code = tr_parquet_end_group(writer, err);
    }
    if (code == TR_OK)
        code = tr_parquet_finish(writer, err);
    tr_parquet_writer_close(writer);
    if (code == TR_OK) {
        TR_ASSERT(tr_parquet_open(tr_buf_str(&file_bytes), &file, err) == TR_OK);
        tr_err why;
        if (tr_parquet_verify(file, &why) != TR_OK)
            printf("%s\n", why.text);
        CHECK(tr_parquet_verify(file, NULL) == TR_OK);
    }
    return code;
}

/* Page `number` of a chunk; the dictionary is one, too. False: there are not so many. */
static bool page_of(uint32_t group, uint32_t leaf, uint32_t number, tr_page *out)
{
    const tr_chunk *chunk = tr_chunk_of(file, group, leaf);
    uint64_t at = chunk->at;
    for (uint32_t i = 0; at < chunk->end; i++) {
        TR_ASSERT(tr_page_head(file, chunk, at, out, NULL) == TR_OK);
        if (i == number)
            return true;
        at = tr_page_end(file, out);
    }
    return false;
}

static bool levels_are(tr_str bytes, uint32_t most, uint32_t count, const uint8_t *want)
{
    uint8_t levels[64];
    TR_ASSERT(count <= sizeof levels);
    return tr_rle_decode_levels(bytes, tr_pq_width(most), count, levels) &&
           memcmp(levels, want, count) == 0;
}

static tr_values words_of(const uint64_t *words, uint32_t count, bool is_distinct)
{
    return (tr_values){
        .storage = TR_STORAGE_WORD, .is_distinct = is_distinct, .count = count, .words = words};
}

/*     a: object { b: array of object { c }, e }
 *     row 0  {b: [{c: 7}, {}], e: 9}      row 1  absent      row 2  {b: []}
 *     row 3  {e: 9}                       row 4  {b: [null]} */
static void levels_of_nested_rows_are_those_worked_out_by_hand(void)
{
    static const uint32_t c_codes[] = {1, 0, 0, 0, 0, 0}, c_start[] = {0, 2, 3, 4, 5, 6};
    static const uint8_t c_def[] = {4, 3, 0, 1, 0, 2}, c_rep[] = {0, 1, 0, 0, 0, 0};
    static const uint32_t e_codes[] = {1, 0, 0, 1, 0};
    static const uint64_t seven[] = {7}, nine[] = {9};
    begin();
    tr_type *root = put(NULL, TR_KIND_OBJECT, ""), *a = put(root, TR_KIND_OBJECT, "a");
    (void)put(put(put(a, TR_KIND_ARRAY, "b"), TR_KIND_OBJECT, ""), TR_KIND_INT32, "c");
    (void)put(a, TR_KIND_INT64, "e");
    TR_ASSERT(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    const tr_column columns[] = {
        {.rows = 5,
         .entries = 6,
         .codes = c_codes,
         .def = c_def,
         .rep = c_rep,
         .row_start = c_start,
         .values = words_of(seven, 1, false)},
        {.rows = 5, .entries = 5, .codes = e_codes, .values = words_of(nine, 1, false)}};
    CHECK(write_file(columns, 1, 0, NULL) == TR_OK);
    tr_page page;
    CHECK(page_of(0, 0, 0, &page) && page.entries == 6 && page.rows == 5 && page.nulls == 5);
    CHECK(levels_are(tr_page_rep(&page), 1, 6, (const uint8_t[]){0, 1, 0, 0, 0, 0}));
    CHECK(levels_are(tr_page_def(&page), 5, 6, (const uint8_t[]){5, 4, 0, 2, 1, 3}));
    CHECK(page_of(0, 1, 0, &page) && page.entries == 5 && page.nulls == 3 && page.rep_bytes == 0);
    CHECK(levels_are(tr_page_def(&page), 2, 5, (const uint8_t[]){2, 0, 1, 2, 1}));
    end();
}

static void a_leaf_that_is_not_put_is_absent_and_objects_stay_present(void)
{
    static const uint32_t codes[] = {1, 0, 1};
    static const uint64_t nine[] = {9};
    begin();
    tr_type *root = put(NULL, TR_KIND_OBJECT, ""), *a = put(root, TR_KIND_OBJECT, "a");
    (void)put(put(a, TR_KIND_MAP, "m"), TR_KIND_INT32, "");
    (void)put(a, TR_KIND_INT64, "e");
    (void)put(put(root, TR_KIND_OBJECT, "z"), TR_KIND_STRING, "s");
    TR_ASSERT(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    tr_column columns[4] = {{.rows = 3}};
    columns[2] =
        (tr_column){.rows = 3, .entries = 3, .codes = codes, .values = words_of(nine, 1, true)};
    CHECK(write_file(columns, 1, 0, NULL) == TR_OK);
    tr_page page;
    CHECK(page_of(0, 0, 0, &page) && page.nulls == 3);
    CHECK(levels_are(tr_page_def(&page), 3, 3, (const uint8_t[]){1, 0, 1}));
    CHECK(levels_are(tr_page_rep(&page), 1, 3, (const uint8_t[]){0, 0, 0}));
    CHECK(page_of(0, 3, 0, &page) &&
          levels_are(tr_page_def(&page), 2, 3, (const uint8_t[]){0, 0, 0}));
    end();
}

static void a_dictionary_holds_the_used_values_in_order_of_first_use(void)
{
    static uint32_t codes[40];
    static const uint64_t words[] = {100, 200, 300, 400, 500};
    begin();
    make_flat(TR_KIND_INT64);
    for (uint32_t i = 0; i < 40; i++)
        codes[i] = i % 5 == 4 ? 0 : i % 2 == 0 ? 4 : 2;
    const tr_column column = {
        .rows = 40, .entries = 40, .codes = codes, .values = words_of(words, 5, true)};
    CHECK(write_file(&column, 1, 16, NULL) == TR_OK);
    tr_page page;
    CHECK(page_of(0, 0, 0, &page) && page.is_dictionary && page.entries == 2);
    tr_values table;
    CHECK(tr_dictionary_read(tr_scratch_of_thread(), &arena, file, tr_chunk_of(file, 0, 0),
                             TR_KIND_INT64, &table, NULL) == TR_OK);
    CHECK(table.count == 2 && table.words[0] == 400 && table.words[1] == 200);
    CHECK(page_of(0, 0, 1, &page) && page.encoding == TR_PQ_RLE_DICTIONARY && page.rows == 16);
    CHECK(page_of(0, 0, 3, &page) && page.rows == 8 && !page_of(0, 0, 4, &page));
    end();
}

static uint8_t encoding_of(tr_kind kind, const tr_values *values, uint32_t rows)
{
    uint32_t *codes = tr_arena_alloc(&arena, rows * sizeof *codes);
    TR_ASSERT(codes != NULL);
    for (uint32_t i = 0; i < rows; i++)
        codes[i] = 1 + i % values->count;
    make_flat(kind);
    const tr_column column = {.rows = rows, .entries = rows, .codes = codes, .values = *values};
    CHECK(write_file(&column, 1, 0, NULL) == TR_OK);
    tr_page page;
    CHECK(page_of(0, 0, 0, &page));
    const uint8_t encoding = page.is_dictionary ? TR_PQ_RLE_DICTIONARY : page.encoding;
    end();
    file_bytes.len = 0;
    return encoding;
}

static void a_dictionary_is_written_where_it_pays(void)
{
    static uint64_t words[3000];
    static tr_str strings[3000];
    static uint8_t keys[3000][16];
    static char texts[3000][8];
    begin();
    for (uint32_t i = 0; i < 3000; i++) {
        words[i] = i * 7;
        memcpy(keys[i], &words[i], sizeof words[i]);
        (void)snprintf(texts[i], sizeof texts[i], "%u", i);
        strings[i] = tr_str_of(texts[i]);
    }
    tr_values w = words_of(words, 10, true);
    CHECK(encoding_of(TR_KIND_INT64, &w, 3000) == TR_PQ_RLE_DICTIONARY);
    CHECK(encoding_of(TR_KIND_BOOLEAN, &w, 3000) == TR_PQ_PLAIN);
    w.count = 3000;
    CHECK(encoding_of(TR_KIND_INT64, &w, 3000) == TR_PQ_PLAIN);
    CHECK(encoding_of(TR_KIND_INT64, &w, 9000) == TR_PQ_RLE_DICTIONARY);
    w.is_distinct = false;
    CHECK(encoding_of(TR_KIND_INT64, &w, 9000) == TR_PQ_PLAIN);
    tr_values s = {
        .storage = TR_STORAGE_STRING, .is_distinct = true, .count = 3000, .strings = strings};
    CHECK(encoding_of(TR_KIND_STRING, &s, 3000) == TR_PQ_PLAIN);
    CHECK(encoding_of(TR_KIND_STRING, &s, 6001) == TR_PQ_RLE_DICTIONARY);
    tr_values k = {.storage = TR_STORAGE_KEY,
                   .is_distinct = true,
                   .count = 5,
                   .keys = (const uint8_t(*)[16])keys};
    CHECK(encoding_of(TR_KIND_KEY, &k, 3000) == TR_PQ_RLE_DICTIONARY);
    k.count = 3000;
    CHECK(encoding_of(TR_KIND_KEY, &k, 3000) == TR_PQ_PLAIN); /* read in place */
}

static void a_page_of_long_strings_ends_early(void)
{
    static uint8_t text[300000];
    static tr_str strings[9];
    static uint32_t codes[9];
    begin();
    make_flat(TR_KIND_STRING);
    for (uint32_t i = 0; i < 9; i++) {
        strings[i] = (tr_str){text, sizeof text - i};
        codes[i] = i + 1;
    }
    const tr_column column = {
        .rows = 9,
        .entries = 9,
        .codes = codes,
        .values = {.storage = TR_STORAGE_STRING, .count = 9, .strings = strings}};
    CHECK(write_file(&column, 1, 0, NULL) == TR_OK);
    tr_page page;
    CHECK(page_of(0, 0, 0, &page) && page.rows == 3 && page_of(0, 0, 2, &page) && page.rows == 3);
    CHECK(!page_of(0, 0, 3, &page));
    end();
}

static void nothing_is_compressed_when_it_is_not_to_be(void)
{
    static uint8_t text[3000];
    static tr_str strings[2] = {{text, sizeof text}, {text, sizeof text - 1}};
    static uint32_t codes[600];
    for (uint32_t i = 0; i < 600; i++)
        codes[i] = 1 + i % 3 % 2;
    const tr_column column = {
        .rows = 600,
        .entries = 600,
        .codes = codes,
        .values = {
            .storage = TR_STORAGE_STRING, .is_distinct = true, .count = 2, .strings = strings}};
    for (int i = 0; i < 2; i++) { /* a dictionary that compresses well, and pages of codes */
        tr_page page;
        begin();
        make_flat(TR_KIND_STRING);
        is_uncompressed = i == 1;
        CHECK(write_file(&column, 1, 300, NULL) == TR_OK);
        is_uncompressed = false;
        tr_column read;
        CHECK(page_of(0, 0, 0, &page) && page.is_dictionary);
        CHECK((tr_parquet_chunk_bytes(file, 0, 0) < 3000) == (i == 0));
        CHECK(tr_parquet_read(file, 0, 0, 0, 600, &arena, &read, NULL) == TR_OK);
        for (uint32_t row = 0; row < 600; row++)
            CHECK(tr_str_equal(tr_column_string(&read, row), strings[codes[row] - 1]));
        end();
    }
}

static void a_row_that_no_page_holds_is_refused_by_its_column(void)
{
    static uint8_t text[1 << 20];
    static uint32_t codes[65], start[] = {0, 65};
    static uint8_t def[65], rep[65];
    const tr_str string = {text, sizeof text};
    tr_err err = {0};
    begin();
    tr_type *root = put(NULL, TR_KIND_OBJECT, "");
    (void)put(put(root, TR_KIND_ARRAY, "texts"), TR_KIND_STRING, "");
    TR_ASSERT(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    for (uint32_t i = 0; i < 65; i++) {
        codes[i] = 1;
        def[i] = 3;
        rep[i] = i > 0;
    }
    const tr_column column = {
        .rows = 1,
        .entries = 65,
        .codes = codes,
        .def = def,
        .rep = rep,
        .row_start = start,
        .values = {.storage = TR_STORAGE_STRING, .count = 1, .strings = &string}};
    CHECK(write_file(&column, 1, 0, &err) == TR_LIMIT);
    CHECK(strstr(err.text, "texts.list.element") != NULL);
}

static void groups_of_the_same_columns_have_the_same_pages(void)
{
    static uint32_t codes[5000];
    static uint64_t words[400];
    begin();
    make_flat(TR_KIND_INT64);
    uint64_t seed = 99;
    for (uint32_t i = 0; i < 400; i++)
        words[i] = tr_test_random(&seed);
    for (uint32_t i = 0; i < 5000; i++)
        codes[i] = (uint32_t)(tr_test_random(&seed) % 401);
    const tr_column column = {
        .rows = 5000, .entries = 5000, .codes = codes, .values = words_of(words, 400, true)};
    CHECK(write_file(&column, 3, 1000, NULL) == TR_OK);
    for (uint32_t g = 1; g < 3; g++) {
        const tr_chunk *first = tr_chunk_of(file, 0, 0), *own = tr_chunk_of(file, g, 0);
        const tr_str a = {file_bytes.at + first->at, first->end - first->at};
        const tr_str b = {file_bytes.at + own->at, own->end - own->at};
        CHECK(tr_str_equal(a, b));
    }
    end();
}

static void columns_that_contradict_each_other_are_refused(void)
{
    static const uint32_t codes[] = {1, 0}, start[] = {0, 1, 2};
    static const uint8_t one[] = {4, 0}, other[] = {0, 4}, rep[] = {0, 0};
    static const uint64_t words[] = {1};
    tr_err err = {0};
    begin();
    tr_type *root = put(NULL, TR_KIND_OBJECT, "");
    tr_type *element = put(put(root, TR_KIND_ARRAY, "list"), TR_KIND_OBJECT, "");
    (void)put(element, TR_KIND_INT32, "a");
    (void)put(element, TR_KIND_INT32, "b");
    TR_ASSERT(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    tr_column columns[2] = {{.rows = 2,
                             .entries = 2,
                             .codes = codes,
                             .def = one,
                             .rep = rep,
                             .row_start = start,
                             .values = words_of(words, 1, true)}};
    CHECK(write_file(columns, 1, 0, &err) == TR_INVALID && strstr(err.text, "\"list\"") != NULL);
    columns[1] = columns[0];
    columns[1].def = other;
    CHECK(write_file(columns, 1, 0, &err) == TR_INVALID);
    CHECK(strstr(err.text, "list.list.element.b") != NULL);
    columns[1].def = one;
    file_bytes.len = 0;
    CHECK(write_file(columns, 1, 0, NULL) == TR_OK);
    end();
}

typedef struct full_disk {
    uint32_t calls_left;
} full_disk;

static tr_code write_until_full(void *ctx, tr_str bytes, tr_err *err)
{
    full_disk *disk = ctx;
    (void)bytes;
    if (disk->calls_left-- > 0)
        return TR_OK;
    return TR_FAIL(err, TR_NO_SPACE, "the disk is full");
}

static void a_writer_that_failed_stays_failed(void)
{
    static const uint32_t codes[] = {1};
    static const uint64_t words[] = {1};
    full_disk disk = {0};
    tr_parquet_writer *writer = NULL;
    begin();
    make_flat(TR_KIND_INT32);
    const tr_column column = {
        .rows = 1, .entries = 1, .codes = codes, .values = words_of(words, 1, true)};
    CHECK(tr_parquet_writer_open((tr_sink){write_until_full, &disk}, &shape, NULL, &writer, NULL) ==
          TR_OK);
    CHECK(tr_parquet_begin_group(writer, 1, NULL) == TR_OK &&
          tr_parquet_put(writer, 0, &column, NULL) == TR_OK);
    CHECK(tr_parquet_end_group(writer, NULL) == TR_OK);
    CHECK(tr_parquet_finish(writer, NULL) == TR_NO_SPACE);
    CHECK(tr_parquet_finish(writer, NULL) == TR_INVALID);
    tr_parquet_writer_close(writer);
    CHECK(tr_parquet_writer_open((tr_sink){write_until_full, &disk}, &shape, NULL, &writer, NULL) ==
          TR_OK);
    CHECK(tr_parquet_begin_group(writer, 0, NULL) == TR_INVALID);
    CHECK(tr_parquet_begin_group(writer, 1, NULL) == TR_INVALID);
    tr_parquet_writer_close(writer);
    tr_parquet_writer_close(NULL);
}

static void running_out_of_memory_is_an_answer_and_leaks_nothing(void)
{
    static const uint32_t codes[] = {1, 2, 0, 1}, start[] = {0, 2, 4}, flat[] = {2, 1};
    static const uint8_t def[] = {3, 3, 1, 3}, rep[] = {0, 1, 0, 1};
    static const uint64_t words[] = {10, 11};
    begin();
    tr_type *root = put(NULL, TR_KIND_OBJECT, ""), *a = put(root, TR_KIND_OBJECT, "a");
    (void)put(put(a, TR_KIND_ARRAY, "b"), TR_KIND_INT32, "");
    (void)put(root, TR_KIND_INT64, "c");
    TR_ASSERT(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    const tr_column columns[] = {
        {.rows = 2,
         .entries = 4,
         .codes = codes,
         .def = def,
         .rep = rep,
         .row_start = start,
         .values = words_of(words, 2, true)},
        {.rows = 2, .entries = 2, .codes = flat, .values = words_of(words, 2, true)}};
    TR_ASSERT(tr_buf_reserve(&file_bytes, 65536, NULL) == TR_OK);
    tr_code code = TR_NO_MEMORY;
    uint64_t after = 0;
    for (; code != TR_OK && after < 1000; after++) {
        const uint64_t before = tr_memory_bytes_now();
        tr_parquet_writer *writer = NULL;
        full_disk disk = {UINT32_MAX};
        tr_memory_fail_after(after);
        code =
            tr_parquet_writer_open((tr_sink){write_until_full, &disk}, &shape, NULL, &writer, NULL);
        if (code == TR_OK)
            code = tr_parquet_begin_group(writer, 2, NULL);
        for (uint32_t i = 0; i < 2 && code == TR_OK; i++)
            code = tr_parquet_put(writer, i, &columns[i], NULL);
        if (code == TR_OK)
            code = tr_parquet_end_group(writer, NULL);
        if (code == TR_OK)
            code = tr_parquet_finish(writer, NULL);
        tr_memory_fail_after(UINT64_MAX);
        tr_parquet_writer_close(writer);
        CHECK(code == TR_OK || code == TR_NO_MEMORY);
        CHECK(tr_memory_bytes_now() == before);
    }
    CHECK(code == TR_OK && after > 10);
}

int main(void)
{
    RUN(levels_of_nested_rows_are_those_worked_out_by_hand);
    RUN(a_leaf_that_is_not_put_is_absent_and_objects_stay_present);
    RUN(a_dictionary_holds_the_used_values_in_order_of_first_use);
    RUN(a_dictionary_is_written_where_it_pays);
    RUN(a_page_of_long_strings_ends_early);
    RUN(nothing_is_compressed_when_it_is_not_to_be);
    RUN(a_row_that_no_page_holds_is_refused_by_its_column);
    RUN(groups_of_the_same_columns_have_the_same_pages);
    RUN(columns_that_contradict_each_other_are_refused);
    RUN(a_writer_that_failed_stays_failed);
    RUN(running_out_of_memory_is_an_answer_and_leaks_nothing);
    tr_buf_free(&file_bytes);
    tr_arena_free(&arena);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
