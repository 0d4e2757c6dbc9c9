/* SPDX-License-Identifier: Apache-2.0 */
/* row_bench.h - for tests: a reader with a schema of its own, and what it holds. */
#ifndef TR_INGEST_ROW_BENCH_H
#define TR_INGEST_ROW_BENCH_H

#include "base/test.h"
#include "ingest/row_check.h"
#include "ingest/row_internal.h"

static const uint8_t secret[192] = {7, 1, 3};

static const int64_t ingested_us = 1700000000000001;

typedef struct bench { /* a reader and what it reads by */
    tr_xdm_schema *schema;
    tr_row_reader *reader;
} bench;

static bench open_with(const char *class_id, const char *properties, const char *descriptors,
                       tr_row_options options)
{
    bench b = {.schema = tr_check_schema(class_id, properties, descriptors)};
    tr_err err = {0};
    options.schema = b.schema;
    options.secret = secret;
    options.batch = "batch-1";
    options.ingested_us = ingested_us;
    if (tr_row_reader_open(&options, &b.reader, &err) != TR_OK) {
        printf("%s\n", err.text);
        exit(2);
    }
    return b;
}

static bench open_of(const char *properties)
{
    return open_with(TR_XDM_PROFILE_CLASS, properties, NULL, (tr_row_options){.is_profile = true});
}

static void close_bench(bench *b)
{
    tr_row_reader_close(b->reader);
    tr_xdm_schema_close(b->schema);
}

/* Row `number` of the reader's, in plain form. */
static json_t *row_of(bench *b, uint32_t number)
{
    tr_arena arena = {0};
    tr_column *columns = NULL;
    bool is_whole = true;
    CHECK(tr_row_columns(b->reader, &arena, &columns, NULL) == TR_OK);
    json_t *row = tr_check_row(&b->reader->shape, columns, number, &is_whole);
    CHECK(is_whole);
    tr_arena_free(&arena);
    json_t *plain = tr_check_plain(row);
    json_decref(row);
    return plain;
}

/* The row's own fields are as `expected` says (bookkeeping, and identityMap unless asked for,
 * aside). */
static bool holds(bench *b, uint32_t number, const char *expected)
{
    json_t *row = row_of(b, number), *wanted = NULL;
    CHECK(tr_json_parse(tr_str_of(expected), &wanted, NULL) == TR_OK);
    json_object_del(row, TR_BOOKKEEPING);
    if (json_object_get(wanted, "identityMap") == NULL)
        json_object_del(row, "identityMap");
    const bool is_equal = json_equal(row, wanted) == 1;
    if (!is_equal) {
        tr_buf text = {0};
        CHECK(tr_json_write(row, &text, NULL) == TR_OK);
        printf("expected %s\n     got %.*s\n", expected, TR_STR_ARG(tr_buf_str(&text)));
        tr_buf_free(&text);
    }
    json_decref(row);
    json_decref(wanted);
    return is_equal;
}

#endif
