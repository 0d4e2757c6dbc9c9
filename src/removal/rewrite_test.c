/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite_test.c - store/rewrite.h: a run without some identities.
 *
 * Goal: exactly the rows of the identities go, exactly the items that name them, and nothing else
 * changes. Method: random rows of JSON through the row reader into a run; the rewritten run, taken
 * apart into rows by ingest/row_check.h, against the same done to the JSON of the run before.
 */
#include "base/test.h"
#include "ingest/ingest.h"
#include "ingest/row_check.h"
#include "store/rewrite.h"

#include <stdlib.h>

static const uint8_t secret[192] = {7, 1, 3};
static const char properties[] =
    "{\"n\":{\"type\":\"integer\"},\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}";
static const char *const codes[] = {"Email", "CRMID", "ECID"};

enum { IDS = 12, CODES = 3 };

static tr_code into_buf(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

/* A row of up to five identities, one of them primary; or of none. */
static json_t *random_row(uint64_t *random, uint32_t number)
{
    json_t *map = json_object(), *tags = json_array();
    const uint32_t count = (uint32_t)(tr_test_random(random) % 6);
    for (uint32_t i = 0; i < count; i++) {
        const char *code = codes[tr_test_random(random) % CODES];
        char id[16];
        (void)snprintf(id, sizeof id, "id%u", (uint32_t)(tr_test_random(random) % IDS));
        if (json_object_get(map, code) == NULL)
            (void)json_object_set_new(map, code, json_array());
        json_t *item = json_pack("{s:s, s:b}", "id", id, "primary", i == 0);
        if (tr_test_random(random) % 3 == 0)
            (void)json_object_set_new(item, "authenticatedState", json_string("ambiguous"));
        (void)json_array_append_new(json_object_get(map, code), item);
    }
    for (uint64_t i = tr_test_random(random) % 3; i > 0; i--)
        (void)json_array_append_new(tags, json_string("tag"));
    return json_pack("{s:o, s:i, s:o}", "identityMap", map, "n", (int)number, "tags", tags);
}

static void write_run(uint64_t *random, uint32_t rows, tr_buf *out)
{
    tr_xdm_schema *schema = tr_check_schema(TR_XDM_PROFILE_CLASS, properties, NULL);
    tr_row_reader *reader = NULL;
    const tr_row_options options = {.schema = schema,
                                    .secret = secret,
                                    .batch = "batch",
                                    .ingested_us = 1700000000000001,
                                    .is_profile = true};
    CHECK(tr_row_reader_open(&options, &reader, NULL) == TR_OK);
    for (uint32_t i = 0; i < rows; i++) {
        tr_buf text = {0};
        json_t *why = NULL, *row = random_row(random, i);
        CHECK(tr_json_write(row, &text, NULL) == TR_OK);
        CHECK(tr_row_reader_add(reader, tr_buf_str(&text), &why, NULL) == TR_OK);
        json_decref(row);
        tr_buf_free(&text);
    }
    CHECK(tr_row_reader_write(reader, (tr_sink){into_buf, out}, NULL) == TR_OK);
    tr_row_reader_close(reader);
    tr_xdm_schema_close(schema);
}

/* All rows in their order, bookkeeping included. */
static json_t *rows_of(const tr_run *run)
{
    json_t *rows = json_array();
    const tr_shape *shape = tr_parquet_shape(run->file);
    for (uint32_t g = 0; g < tr_parquet_group_count(run->file); g++) {
        tr_arena arena = {0};
        const uint32_t count = tr_parquet_group_rows(run->file, g);
        tr_column *columns = tr_arena_array(&arena, shape->leaf_count, sizeof *columns);
        for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++)
            CHECK(tr_parquet_read(run->file, g, leaf, 0, count, &arena, &columns[leaf], NULL) ==
                  TR_OK);
        for (uint32_t row = 0; row < count; row++) {
            bool is_whole = true;
            json_t *raw = tr_check_row(shape, columns, row, &is_whole);
            CHECK(is_whole);
            (void)json_array_append_new(rows, tr_check_plain(raw));
            json_decref(raw);
        }
        tr_arena_free(&arena);
    }
    return rows;
}

static bool is_one(const tr_forget_list *list, const char *code, const char *id)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (tr_str_equal_folded(list->at[i].code, tr_str_of(code)) && tr_str_is(list->at[i].id, id))
            return true;
    return false;
}

/* The model: false when the row goes. */
static bool forget(json_t *row, const tr_forget_list *list, bool *has_changed)
{
    const json_t *book = json_object_get(row, TR_BOOKKEEPING);
    json_t *map = json_object_get(row, "identityMap"), *items;
    const char *code;
    void *next;
    if (is_one(list, tr_json_text(book, "namespace", ""), tr_json_text(book, "id", "")))
        return false;
    json_object_foreach_safe (map, next, code, items) {
        for (size_t i = json_array_size(items); i > 0; i--)
            if (is_one(list, code, tr_json_text(json_array_get(items, i - 1), "id", ""))) {
                (void)json_array_remove(items, i - 1);
                *has_changed = true;
            }
        if (json_array_size(items) == 0)
            (void)json_object_del(map, code);
    }
    if (map != NULL && json_object_size(map) == 0)
        (void)json_object_del(row, "identityMap");
    return true;
}

static json_t *expected_of(const tr_run *run, const tr_forget_list *list, tr_rewritten *counts)
{
    json_t *all = rows_of(run), *left = json_array();
    *counts = (tr_rewritten){0};
    for (size_t i = 0; i < json_array_size(all); i++) {
        bool has_changed = false;
        json_t *row = json_array_get(all, i);
        if (!forget(row, list, &has_changed)) {
            counts->removed++;
            continue;
        }
        counts->rows++;
        counts->changed += has_changed;
        (void)json_array_append(left, row);
    }
    json_decref(all);
    return left;
}

static void check_rewriting(const tr_run *run, const tr_forget_list *list)
{
    tr_buf bytes = {0}, again = {0};
    tr_rewritten counts, done = {0};
    tr_run *rewritten = NULL;
    bool is_named = false;
    json_t *expected = expected_of(run, list, &counts);
    CHECK(tr_run_names(run, list, &is_named, NULL) == TR_OK);
    CHECK(is_named == (counts.removed + counts.changed > 0));
    CHECK(tr_run_rewrite(run, list, (tr_sink){into_buf, &bytes}, &done, NULL) == TR_OK);
    CHECK(done.rows == counts.rows && done.removed == counts.removed &&
          done.changed == counts.changed);
    CHECK(tr_run_open(tr_buf_str(&bytes), "new", "d", &rewritten, NULL) == TR_OK);
    CHECK(tr_parquet_verify(rewritten->file, NULL) == TR_OK);
    CHECK(rewritten->rows == counts.rows && rewritten->partition_bits == run->partition_bits);
    CHECK(rewritten->written_us == run->written_us && rewritten->is_event == run->is_event);
    json_t *got = rows_of(rewritten);
    CHECK(json_equal(got, expected) == 1);
    CHECK(tr_run_names(rewritten, list, &is_named, NULL) == TR_OK && !is_named);
    for (uint32_t i = 0; i < list->count; i++) /* not even in a table of values that nobody uses */
        CHECK(counts.rows > 0 ||
              memmem(bytes.at, bytes.len, list->at[i].id.at, list->at[i].id.len) == NULL);
    CHECK(tr_run_rewrite(run, list, (tr_sink){into_buf, &again}, &done, NULL) == TR_OK);
    CHECK(tr_str_equal(tr_buf_str(&bytes), tr_buf_str(&again))); /* the same bytes, always */
    json_decref(got);
    json_decref(expected);
    tr_run_close(rewritten);
    tr_buf_free(&bytes);
    tr_buf_free(&again);
}

static tr_forgotten forgotten(const char *code, const char *id)
{
    tr_forgotten f = {.code = tr_str_of(code), .id = tr_str_of(id)};
    tr_profile_key(secret, f.code, f.id, f.key);
    return f;
}

static void random_identities_go_and_nothing_else(void)
{
    uint64_t random = tr_test_seed(0xde1e7e);
    for (int round = 0; round < 40; round++) {
        tr_buf bytes = {0};
        tr_run *run = NULL;
        char ids[4][16];
        tr_forgotten list[4];
        const uint32_t count = (uint32_t)(tr_test_random(&random) % 5);
        write_run(&random, (uint32_t)(tr_test_random(&random) % 60), &bytes);
        CHECK(tr_run_open(tr_buf_str(&bytes), "old", "d", &run, NULL) == TR_OK);
        for (uint32_t i = 0; i < count; i++) {
            (void)snprintf(ids[i], sizeof ids[i], "id%u",
                           (uint32_t)(tr_test_random(&random) % (IDS + 2)));
            list[i] = forgotten(codes[tr_test_random(&random) % CODES], ids[i]);
        }
        check_rewriting(run, &(tr_forget_list){list, count});
        tr_run_close(run);
        tr_buf_free(&bytes);
    }
}

static void everybody_goes(void)
{
    uint64_t random = tr_test_seed(0xa11);
    tr_buf bytes = {0};
    tr_run *run = NULL;
    char ids[IDS][16];
    tr_forgotten list[IDS * CODES];
    write_run(&random, 200, &bytes);
    CHECK(tr_run_open(tr_buf_str(&bytes), "old", "d", &run, NULL) == TR_OK);
    for (uint32_t i = 0; i < IDS * CODES; i++) {
        (void)snprintf(ids[i / CODES], sizeof ids[0], "id%u", i / CODES);
        list[i] = forgotten(codes[i % CODES], ids[i / CODES]);
    }
    check_rewriting(run, &(tr_forget_list){list, IDS * CODES}); /* rows without an identity stay */
    tr_run_close(run);
    tr_buf_free(&bytes);
}

static void a_namespace_in_any_case_is_the_same(void)
{
    uint64_t random = tr_test_seed(0xca5e);
    tr_buf bytes = {0};
    tr_run *run = NULL;
    write_run(&random, 100, &bytes);
    CHECK(tr_run_open(tr_buf_str(&bytes), "old", "d", &run, NULL) == TR_OK);
    const tr_forgotten one = forgotten("eMAIL", "id3");
    check_rewriting(run, &(tr_forget_list){&one, 1});
    tr_run_close(run);
    tr_buf_free(&bytes);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(random_identities_go_and_nothing_else);
    RUN(everybody_goes);
    RUN(a_namespace_in_any_case_is_the_same);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
