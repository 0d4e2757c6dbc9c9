/* SPDX-License-Identifier: Apache-2.0 */
/* read_craft_test.c - files made to hurt are refused, cheaply, saying why. Goal: every rule that the
 * reader holds a file to has a file that breaks just that rule. Method: a recipe whose defaults are a
 * good file of one column; each test changes one thing. Memory is watched: no count in a file of a
 * few hundred bytes may cost more than a stated amount.
 */
#include "base/limits.h"
#include "base/test.h"
#include "codec/hash.h"
#include "parquet/read_internal.h"
#include "parquet/rle.h"

#include <zstd.h>

static int passed, failed;

enum { ROWS = 4, OMIT = -1, MEMORY_MAX = 1 << 20 };
static uint64_t memory_max = MEMORY_MAX; /* what opening and reading may cost */

/* What the file says; the good file has four rows of an optional INT64 column, PLAIN. */
typedef struct recipe {
    int32_t schema_count, schema_children, schema_columns, depth;
    int32_t type, repetition, logical;
    int64_t rows, group_rows, entries, compressed, data_at, dictionary_at;
    int32_t groups, columns, codec;
    int32_t page_type, page_bytes, page_compressed, page_entries, page_nulls, page_rows, encoding;
    int32_t def_bytes, rep_bytes;
    int32_t dictionary_count; /* > 0: a dictionary of that many words, and codes */
    bool no_crc, is_elsewhere, is_zstd;
    tr_str codes; /* of a dictionary's page */
} recipe;

static recipe good(void)
{
    return (recipe){.schema_count = OMIT, .schema_children = OMIT, .schema_columns = 1, .type = TR_PQ_INT64,
                    .repetition = TR_PQ_OPTIONAL, .rows = ROWS, .group_rows = ROWS,
                    .entries = ROWS, .compressed = OMIT, .data_at = OMIT, .dictionary_at = OMIT,
                    .groups = 1, .columns = 1, .page_type = TR_PQ_DATA_PAGE_V2,
                    .page_bytes = OMIT, .page_compressed = OMIT, .page_entries = ROWS,
                    .page_rows = ROWS, .encoding = OMIT, .def_bytes = OMIT};
}

static void put_page(tr_buf *out, const recipe *r, tr_str body, bool is_dictionary)
{
    tr_thrift_writer w = tr_thrift_writer_of(out, NULL);
    const int32_t len = (int32_t)body.len;
    tr_thrift_put_enter(&w);
    tr_thrift_put_i32(&w, TR_PQ_PAGE_TYPE, is_dictionary ? TR_PQ_DICTIONARY_PAGE : r->page_type);
    tr_thrift_put_i32(&w, TR_PQ_PAGE_BYTES, r->page_bytes == OMIT ? len : r->page_bytes);
    tr_thrift_put_i32(&w, TR_PQ_PAGE_COMPRESSED,
                      r->page_compressed == OMIT ? len : r->page_compressed);
    if (!r->no_crc)
        tr_thrift_put_i32(&w, TR_PQ_PAGE_CRC, (int32_t)tr_crc32(body));
    if (is_dictionary) {
        tr_thrift_put_struct(&w, TR_PQ_PAGE_DICTIONARY);
        tr_thrift_put_i32(&w, TR_PQ_DICTIONARY_VALUES, r->dictionary_count);
        tr_thrift_put_i32(&w, TR_PQ_DICTIONARY_ENCODING, TR_PQ_PLAIN);
    } else {
        tr_thrift_put_struct(&w, TR_PQ_PAGE_DATA_V2);
        tr_thrift_put_i32(&w, TR_PQ_V2_VALUES, r->page_entries);
        tr_thrift_put_i32(&w, TR_PQ_V2_NULLS, r->page_nulls);
        tr_thrift_put_i32(&w, TR_PQ_V2_ROWS, r->page_rows);
        tr_thrift_put_i32(&w, TR_PQ_V2_ENCODING,
                          r->encoding != OMIT          ? r->encoding
                          : r->dictionary_count > 0 ? TR_PQ_RLE_DICTIONARY
                                                       : TR_PQ_PLAIN);
        tr_thrift_put_i32(&w, TR_PQ_V2_DEF_BYTES, r->def_bytes == OMIT ? 2 : r->def_bytes);
        tr_thrift_put_i32(&w, TR_PQ_V2_REP_BYTES, r->rep_bytes);
        tr_thrift_put_bool(&w, TR_PQ_V2_IS_COMPRESSED, r->is_zstd);
    }
    tr_thrift_put_leave(&w);
    tr_thrift_put_leave(&w);
    CHECK(w.code == TR_OK);
    CHECK(tr_buf_append(out, body, NULL) == TR_OK);
}

static void put_pages(tr_buf *out, const recipe *r, int64_t *data_at)
{
    static const uint64_t words[ROWS] = {10, 20, 30, 40};
    if (r->dictionary_count > 0)
        put_page(out, r, (tr_str){(const uint8_t *)words, 8 * (size_t)r->dictionary_count}, true);
    *data_at = (int64_t)out->len;
    tr_buf body = {0};
    static const uint8_t all_defined[] = {ROWS << 1, 1};
    CHECK(tr_buf_append(&body, (tr_str){all_defined, 2}, NULL) == TR_OK);
    tr_str values = {(const uint8_t *)words, sizeof words};
    uint8_t frame[200];
    if (r->is_zstd)
        values = (tr_str){frame, ZSTD_compress(frame, sizeof frame, words, sizeof words, 1)};
    CHECK(tr_buf_append(&body, r->dictionary_count > 0 ? r->codes : values, NULL) == TR_OK);
    put_page(out, r, tr_buf_str(&body), false);
    tr_buf_free(&body);
}

static void put_schema(tr_thrift_writer *w, const recipe *r)
{
    const int32_t inner = r->depth, columns = r->schema_columns;
    const int32_t count = r->schema_count == OMIT ? 1 + inner + columns : r->schema_count;
    const int32_t children = r->schema_children == OMIT ? columns : r->schema_children;
    tr_thrift_put_list(w, TR_PQ_FILE_SCHEMA, TR_THRIFT_STRUCT, (uint32_t)count);
    for (int32_t i = 0; i <= inner; i++) {
        tr_thrift_put_enter(w);
        if (i > 0)
            tr_thrift_put_i32(w, TR_PQ_SCHEMA_REPETITION, TR_PQ_OPTIONAL);
        tr_thrift_put_binary(w, TR_PQ_SCHEMA_NAME, tr_str_of("o"));
        tr_thrift_put_i32(w, TR_PQ_SCHEMA_CHILDREN, i == inner ? children : 1);
        tr_thrift_put_leave(w);
    }
    for (int32_t i = 0; i < columns; i++) {
        tr_thrift_put_enter(w);
        tr_thrift_put_i32(w, TR_PQ_SCHEMA_TYPE, r->type);
        tr_thrift_put_i32(w, TR_PQ_SCHEMA_REPETITION, r->repetition);
        tr_thrift_put_binary(w, TR_PQ_SCHEMA_NAME, tr_str_of(i == 0 ? "n" : "m"));
        if (r->logical != 0) {
            tr_thrift_put_struct(w, TR_PQ_SCHEMA_LOGICAL);
            tr_thrift_put_struct(w, (int16_t)r->logical);
            tr_thrift_put_leave(w);
            tr_thrift_put_leave(w);
        }
        tr_thrift_put_leave(w);
    }
}

static void put_chunk(tr_thrift_writer *w, const recipe *r, int64_t data_at, int64_t bytes)
{
    tr_thrift_put_enter(w);
    if (r->is_elsewhere)
        tr_thrift_put_binary(w, TR_PQ_CHUNK_FILE_PATH, tr_str_of("/etc/passwd"));
    tr_thrift_put_i64(w, TR_PQ_CHUNK_FILE_OFFSET, 0);
    tr_thrift_put_struct(w, TR_PQ_CHUNK_META);
    tr_thrift_put_i32(w, TR_PQ_META_TYPE, r->type);
    tr_thrift_put_list(w, TR_PQ_META_PATH, TR_THRIFT_BINARY, 1);
    tr_thrift_put_element_binary(w, tr_str_of("n"));
    tr_thrift_put_i32(w, TR_PQ_META_CODEC, r->is_zstd ? TR_PQ_ZSTD : r->codec);
    tr_thrift_put_i64(w, TR_PQ_META_VALUES, r->entries);
    tr_thrift_put_i64(w, TR_PQ_META_BYTES, bytes);
    tr_thrift_put_i64(w, TR_PQ_META_COMPRESSED, r->compressed == OMIT ? bytes : r->compressed);
    tr_thrift_put_i64(w, TR_PQ_META_DATA_AT, r->data_at == OMIT ? data_at : r->data_at);
    if (r->dictionary_at != OMIT || r->dictionary_count > 0)
        tr_thrift_put_i64(w, TR_PQ_META_DICTIONARY_AT, r->dictionary_at == OMIT ? 4 : r->dictionary_at);
    tr_thrift_put_leave(w);
    tr_thrift_put_leave(w);
}

static void put_footer(tr_buf *out, const recipe *r, int64_t data_at)
{
    const int64_t bytes = (int64_t)out->len - 4;
    const uint32_t begin = (uint32_t)out->len;
    tr_thrift_writer w = tr_thrift_writer_of(out, NULL);
    tr_thrift_put_enter(&w);
    tr_thrift_put_i32(&w, TR_PQ_FILE_VERSION, 2);
    put_schema(&w, r);
    tr_thrift_put_i64(&w, TR_PQ_FILE_ROWS, r->rows);
    tr_thrift_put_list(&w, TR_PQ_FILE_GROUPS, TR_THRIFT_STRUCT, (uint32_t)r->groups);
    tr_thrift_put_enter(&w);
    tr_thrift_put_list(&w, TR_PQ_GROUP_COLUMNS, TR_THRIFT_STRUCT, (uint32_t)r->columns);
    put_chunk(&w, r, data_at, bytes);
    if (r->columns == 2)
        put_chunk(&w, r, data_at, bytes);
    tr_thrift_put_i64(&w, TR_PQ_GROUP_BYTES, bytes);
    tr_thrift_put_i64(&w, TR_PQ_GROUP_ROWS, r->group_rows);
    tr_thrift_put_leave(&w);
    tr_thrift_put_leave(&w);
    CHECK(w.code == TR_OK);
    const uint32_t len = (uint32_t)out->len - begin;
    CHECK(tr_buf_append(out, (tr_str){(const uint8_t *)&len, 4}, NULL) == TR_OK);
    CHECK(tr_buf_append(out, tr_str_of("PAR1"), NULL) == TR_OK);
}

/* Cooks the file, opens and verifies it: the code, and the error's text in `err`. */
static tr_code serve(const recipe *r, tr_err *err)
{
    tr_buf file_bytes = {0};
    tr_parquet_file *file = NULL;
    int64_t data_at = 0;
    CHECK(tr_buf_append(&file_bytes, tr_str_of("PAR1"), NULL) == TR_OK);
    put_pages(&file_bytes, r, &data_at);
    put_footer(&file_bytes, r, data_at);
    tr_memory_reset_peak();
    const uint64_t before = tr_memory_bytes_now();
    tr_code code = tr_parquet_open(tr_buf_str(&file_bytes), &file, err);
    if (code == TR_OK)
        code = tr_parquet_verify(file, err);
    CHECK(tr_memory_bytes_peak() - before < memory_max);
    tr_parquet_close(file);
    tr_buf_free(&file_bytes);
    return code;
}

static void refused(const recipe *r, tr_code code, const char *because, int line)
{
    tr_err err = {0};
    const tr_code found = serve(r, &err);
    if (found != code || strstr(err.text, because) == NULL) {
        tr_test_failures++;
        printf("line %d: code %d and \"%s\", expected %d and \"%s\"\n", line, (int)found, err.text,
               (int)code, because);
    }
}

/* The good file with one field changed. */
#define REFUSED(field, value, code, because)   \
    do {                                       \
        recipe r_ = good();                    \
        r_.field = value;                      \
        refused(&r_, code, because, __LINE__); \
    } while (0)

static void the_good_file_is_read(void)
{
    recipe r = good();
    tr_err err = {0};
    CHECK(serve(&r, &err) == TR_OK);
    r.is_zstd = true;
    r.page_bytes = 2 + 8 * ROWS;
    CHECK(serve(&r, &err) == TR_OK);
    static const uint8_t codes[] = {2, ROWS << 1, 1};
    r = good();
    r.dictionary_count = 2;
    r.codes = (tr_str){codes, sizeof codes};
    CHECK(serve(&r, &err) == TR_OK);
    r = good();
    r.depth = 200;
    refused(&r, TR_CORRUPT, "claims 0 nulls and has 4", __LINE__); /* levels say 1, not 201 */
}

static void counts_beyond_the_bytes_are_refused(void)
{
    REFUSED(schema_count, 1 << 30, TR_CORRUPT, "the schema is damaged");
    REFUSED(schema_children, INT32_MAX, TR_CORRUPT, "the schema ends before its last column");
    REFUSED(groups, INT32_MAX, TR_CORRUPT, "the footer is damaged");
    REFUSED(groups, 10, TR_CORRUPT, "row groups in");
    REFUSED(columns, 2, TR_CORRUPT, "has 2 columns, the schema has 1");
    REFUSED(rows, 5, TR_CORRUPT, "the footer says 5");
    REFUSED(rows, -1, TR_CORRUPT, "lacks its schema, rows");
    REFUSED(group_rows, 5, TR_CORRUPT, "4 values for 5 rows");
    REFUSED(group_rows, INT64_MAX, TR_CORRUPT, "no number of rows");
    REFUSED(entries, -4, TR_CORRUPT, "it claims -4 values");
    REFUSED(page_entries, 5, TR_CORRUPT, "impossible counts");
    REFUSED(page_rows, 3, TR_CORRUPT, "4 values for 3 rows");
    REFUSED(page_rows, 0, TR_CORRUPT, "impossible counts");
    REFUSED(page_nulls, 5, TR_CORRUPT, "impossible counts");
    REFUSED(page_nulls, 1, TR_CORRUPT, "3 values do not have 32 bytes");
    REFUSED(page_nulls, -1, TR_CORRUPT, "impossible counts");
}

static void a_billion_values_in_300_bytes_cost_nothing(void)
{
    recipe r = good();
    r.rows = r.group_rows = r.entries = 1000000000;
    r.page_entries = r.page_rows = 1000000000;
    refused(&r, TR_CORRUPT, "claims 1000000000 values", __LINE__);
    r.rows = r.group_rows = r.entries = r.page_entries = r.page_rows = 1000000;
    refused(&r, TR_CORRUPT, "1000000 values do not have 32 bytes", __LINE__);
    r.page_nulls = 1000000 - ROWS; /* the values fit; the levels do not: 7 bytes an entry */
    memory_max = 7 << 20;
    refused(&r, TR_CORRUPT, "the levels of the page", __LINE__);
    memory_max = MEMORY_MAX;
}

static void places_outside_of_the_file_are_refused(void)
{
    REFUSED(compressed, 1 << 20, TR_CORRUPT, "its pages are not within the file");
    REFUSED(compressed, INT64_MAX, TR_CORRUPT, "its pages are not within the file");
    REFUSED(compressed, -1000, TR_CORRUPT, "its pages are not within the file");
    REFUSED(compressed, 3, TR_CORRUPT, "page header");
    REFUSED(data_at, INT64_MAX, TR_CORRUPT, "its pages are not within the file");
    REFUSED(data_at, 0, TR_CORRUPT, "overlap");
    REFUSED(data_at, -5, TR_CORRUPT, "its pages are not within the file");
    REFUSED(data_at, 9, TR_CORRUPT, "not within the file");
    REFUSED(dictionary_at, INT64_MAX, TR_CORRUPT, "its pages are not within the file");
    REFUSED(dictionary_at, 20, TR_CORRUPT, "not within");
    REFUSED(page_compressed, 1 << 20, TR_CORRUPT, "impossible sizes");
    REFUSED(page_compressed, -2, TR_CORRUPT, "impossible sizes");
    REFUSED(page_bytes, TR_PARQUET_PAGE_BYTES_MAX + 1, TR_CORRUPT, "impossible sizes");
    REFUSED(page_bytes, 3, TR_CORRUPT, "impossible sizes");
    REFUSED(def_bytes, 35, TR_CORRUPT, "impossible sizes");
    REFUSED(def_bytes, -2, TR_CORRUPT, "impossible sizes");
    REFUSED(def_bytes, 3, TR_CORRUPT, "4 values do not have 31 bytes");
    REFUSED(rep_bytes, INT32_MAX, TR_CORRUPT, "impossible sizes");
}

static void overlapping_chunks_are_refused(void)
{
    recipe r = good();
    r.columns = r.schema_columns = 2;
    refused(&r, TR_CORRUPT, "overlap those of the column before it", __LINE__);
}

static void foreign_forms_are_named(void)
{
    REFUSED(codec, TR_PQ_SNAPPY, TR_INVALID, "snappy");
    REFUSED(codec, 99, TR_INVALID, "an unknown codec");
    REFUSED(page_type, TR_PQ_DATA_PAGE, TR_INVALID, "data page V1");
    REFUSED(page_type, TR_PQ_INDEX_PAGE, TR_INVALID, "unknown type 1");
    REFUSED(page_type, TR_PQ_DICTIONARY_PAGE, TR_CORRUPT, "lacks the header");
    REFUSED(no_crc, true, TR_INVALID, "no checksum");
    REFUSED(encoding, TR_PQ_DELTA_BINARY_PACKED, TR_INVALID, "DELTA_BINARY_PACKED");
    REFUSED(encoding, TR_PQ_RLE_DICTIONARY, TR_INVALID, "without a dictionary");
    REFUSED(repetition, TR_PQ_REQUIRED, TR_INVALID, "column 'n' is not optional");
    REFUSED(repetition, TR_PQ_REPEATED, TR_INVALID, "column 'n' is not optional");
    REFUSED(type, TR_PQ_INT96, TR_INVALID, "does not write");
    REFUSED(type, TR_PQ_BYTE_ARRAY, TR_INVALID, "does not write");
    REFUSED(logical, TR_PQ_LOGICAL_DECIMAL, TR_INVALID, "does not write");
    REFUSED(is_elsewhere, true, TR_INVALID, "another file");
    REFUSED(depth, 300, TR_LIMIT, "nested more than");
}

static void dictionaries_and_codes_are_held_to_each_other(void)
{
    static const uint8_t codes[] = {2, ROWS << 1, 3};
    recipe r = good();
    r.dictionary_count = 3;
    r.codes = (tr_str){codes, 3};
    refused(&r, TR_CORRUPT, "has code 3, its dictionary only 3 values", __LINE__);
    r.codes = (tr_str){codes, 2};
    refused(&r, TR_CORRUPT, "codes of the page", __LINE__);
    r.codes = (tr_str){codes, 0};
    refused(&r, TR_CORRUPT, "codes of the page", __LINE__);
    static const uint8_t wide[] = {33, ROWS << 1, 1};
    r.codes = (tr_str){wide, 3};
    refused(&r, TR_CORRUPT, "codes of the page", __LINE__);
    r.codes = (tr_str){codes, 3};
    r.encoding = TR_PQ_PLAIN;
    refused(&r, TR_INVALID, "PLAIN behind a dictionary", __LINE__);
}

static void a_frame_that_lies_about_its_size_is_refused(void)
{
    recipe r = good();
    r.is_zstd = true;
    r.page_bytes = 2 + 8 * ROWS + 1;
    refused(&r, TR_CORRUPT, "4 values do not have 33 bytes", __LINE__);
    r.page_bytes = 2 + 8 * (ROWS + 1); /* one value more than the frame has */
    r.rows = r.group_rows = r.entries = r.page_entries = r.page_rows = ROWS + 1;
    refused(&r, TR_CORRUPT, "levels", __LINE__);
    r = good();
    r.is_zstd = true;
    r.page_bytes = 64 << 20; /* more than zstd can make of these bytes */
    refused(&r, TR_CORRUPT, "impossible sizes", __LINE__);
}

int main(void)
{
    RUN(the_good_file_is_read);
    RUN(counts_beyond_the_bytes_are_refused);
    RUN(a_billion_values_in_300_bytes_cost_nothing);
    RUN(places_outside_of_the_file_are_refused);
    RUN(overlapping_chunks_are_refused);
    RUN(foreign_forms_are_named);
    RUN(dictionaries_and_codes_are_held_to_each_other);
    RUN(a_frame_that_lies_about_its_size_is_refused);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
