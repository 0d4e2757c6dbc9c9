/* SPDX-License-Identifier: Apache-2.0 */
/* row_random_test.c - any row of any schema, through columns and through a run.
 *
 * Goal: whatever is nested in what, and whichever rows are bad in between, a good row comes out as
 * it went in. Method: random schemas and rows; row_check.c puts rows together from levels by the
 * book.
 */
#include "ingest/row_bench.h"

static uint32_t below(uint64_t *random, uint32_t most)
{
    return (uint32_t)(tr_test_random(random) >> 33) % most;
}

static json_t *random_type(uint64_t *random, int depth)
{
    static const char *const scalars[] = {"string", "integer", "number", "boolean"};
    const uint32_t roll = below(random, 10);
    if (depth > 0 && roll < 2) {
        json_t *members = json_object();
        for (uint32_t i = 0, count = 1 + below(random, 4); i < count; i++) {
            char name[8];
            (void)snprintf(name, sizeof name, "%c%u", 'a' + (char)below(random, 26), i);
            (void)json_object_set_new(members, name, random_type(random, depth - 1));
        }
        return json_pack("{s:s, s:o}", "type", "object", "properties", members);
    }
    if (depth > 0 && roll < 4)
        return json_pack("{s:s, s:o}", "type", "array", "items", random_type(random, depth - 1));
    if (depth > 0 && roll < 5)
        return json_pack("{s:s, s:s, s:o}", "type", "object", "meta:xdmType", "map",
                         "additionalProperties", random_type(random, depth - 1));
    return json_pack("{s:s}", "type", scalars[below(random, 4)]);
}

static json_t *random_value(uint64_t *random, const json_t *type)
{
    const char *name = tr_json_text(type, "type", "");
    const json_t *members = json_object_get(type, "properties"),
                 *inner = json_object_get(type, "additionalProperties");
    const uint32_t roll = below(random, 8);
    if (roll == 0)
        return json_null();
    if (strcmp(name, "string") == 0)
        return json_pack("s", roll < 3 ? "" : roll < 5 ? "abc" : "some longer text, \xc3\xa4");
    if (strcmp(name, "integer") == 0)
        return json_integer((json_int_t)below(random, 100) - 50);
    if (strcmp(name, "number") == 0)
        return json_real((double)below(random, 1000) / 8);
    if (strcmp(name, "boolean") == 0)
        return json_boolean(roll < 4);
    if (strcmp(name, "array") == 0) {
        json_t *out = json_array();
        for (uint32_t i = 0, count = below(random, 4); i < count; i++)
            (void)json_array_append_new(out, random_value(random, json_object_get(type, "items")));
        return out;
    }
    json_t *out = json_object();
    const char *member;
    json_t *of;
    if (inner != NULL) {
        static const char *const keys[] = {"k", "other key", "\xd0\xba", "x.y"};
        for (uint32_t i = 0, count = below(random, 4); i < count; i++)
            (void)json_object_set_new(out, keys[below(random, 4)], random_value(random, inner));
        return out;
    }
    json_object_foreach ((json_t *)(uintptr_t)members, member, of)
        if (below(random, 3) > 0)
            (void)json_object_set_new(out, member, random_value(random, of));
    return out;
}

/* Puts a value into the row that no field takes, somewhere: the row is bad. */
static bool spoil(json_t *row, const json_t *members)
{
    const char *name;
    json_t *type;
    json_object_foreach ((json_t *)(uintptr_t)members, name, type)
        if (strcmp(tr_json_text(type, "type", ""), "array") == 0)
            return json_object_set_new(row, name, json_pack("[s]", "\x01")) == 0 &&
                   strcmp(tr_json_text(json_object_get(type, "items"), "type", ""), "string") != 0;
    return false;
}

static tr_code into_buf(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

/* One row group of a run: every row is the kept one whose number it has; marks it as seen. */
static bool is_group_whole(const tr_run *run, uint32_t group, const json_t *kept, uint8_t *seen)
{
    const tr_shape *shape = tr_parquet_shape(run->file);
    const uint32_t rows = tr_parquet_group_rows(run->file, group);
    tr_arena arena = {0};
    bool is_good = true;
    tr_column *columns = tr_arena_array(&arena, shape->leaf_count, sizeof *columns);
    for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++)
        is_good = is_good && tr_parquet_read(run->file, group, leaf, 0, rows, &arena,
                                             &columns[leaf], NULL) == TR_OK;
    for (uint32_t r = 0; r < rows && is_good; r++) {
        json_t *row = tr_check_row(shape, columns, r, &is_good), *plain = tr_check_plain(row);
        const size_t number = (size_t)tr_json_int(plain, "n", 1 << 20);
        json_t *wanted = tr_check_plain(json_array_get(kept, number));
        json_object_del(plain, TR_BOOKKEEPING);
        is_good = is_good && number < json_array_size(kept) && json_equal(wanted, plain) == 1;
        if (is_good)
            seen[number]++;
        json_decref(row);
        json_decref(plain);
        json_decref(wanted);
    }
    tr_arena_free(&arena);
    return is_good;
}

static void check_run(bench *b, const json_t *kept)
{
    tr_buf bytes = {0};
    tr_run *run = NULL;
    uint8_t seen[64] = {0};
    CHECK(tr_row_reader_write(b->reader, (tr_sink){into_buf, &bytes}, NULL) == TR_OK);
    CHECK(tr_row_reader_rows(b->reader) == 0);
    CHECK(tr_run_open(tr_buf_str(&bytes), "r", "d", &run, NULL) == TR_OK);
    CHECK(run != NULL && run->rows == json_array_size(kept) && run->ingested_us == ingested_us);
    for (uint32_t g = 0; run != NULL && g < tr_parquet_group_count(run->file); g++)
        CHECK(is_group_whole(run, g, kept, seen));
    for (size_t i = 0; i < json_array_size(kept); i++)
        CHECK(seen[i] == 1);
    tr_run_close(run);
    tr_buf_free(&bytes);
}

static void add_random_rows(uint64_t *random, bench *b, const json_t *type, json_t *kept)
{
    const json_t *members = json_object_get(type, "properties");
    for (int i = 0; i < 60; i++) {
        char id[8];
        (void)snprintf(id, sizeof id, "id%u", below(random, 20));
        json_t *row = json_pack("{s:I, s:{s:[{s:s, s:b}]}}", "n", (json_int_t)json_array_size(kept),
                                "identityMap", "A", "id", id, "primary", 1);
        json_t *why = NULL;
        const char *name;
        json_t *of;
        json_object_foreach ((json_t *)(uintptr_t)members, name, of)
            if (below(random, 4) > 0 && strcmp(name, "n") != 0)
                (void)json_object_set_new(row, name, random_value(random, of));
        const bool is_bad = below(random, 6) == 0 && spoil(row, members);
        char *text = json_dumps(row, JSON_COMPACT);
        const tr_code code = tr_row_reader_add(b->reader, tr_str_of(text), &why, NULL);
        CHECK(code == (is_bad ? TR_INVALID : TR_OK));
        if (code == TR_OK)
            (void)json_array_append(kept, row);
        json_decref(why);
        free(text);
        json_decref(row);
    }
}

static void any_row_of_any_schema_comes_out_as_it_went_in(void)
{
    uint64_t random = tr_test_seed(0x1a9e57);
    for (int world = 0; world < 60; world++) {
        json_t *members = json_object(), *kept = json_array();
        for (uint32_t i = 0, count = 1 + below(&random, 6); i < count; i++) {
            char name[8];
            (void)snprintf(name, sizeof name, "f%u", i);
            (void)json_object_set_new(members, name, random_type(&random, 4));
        }
        (void)json_object_set_new(members, "n", json_pack("{s:s}", "type", "integer"));
        json_t *type = json_pack("{s:o}", "properties", members);
        char *text = json_dumps(members, JSON_COMPACT);
        bench b = open_of(text);
        free(text);
        add_random_rows(&random, &b, type, kept);
        CHECK(tr_row_reader_rows(b.reader) == json_array_size(kept));
        for (uint32_t row = 0; row < json_array_size(kept); row++) {
            json_t *plain = tr_check_plain(json_array_get(kept, row));
            if (plain == NULL)
                plain = json_object();
            text = json_dumps(plain, JSON_COMPACT);
            CHECK(holds(&b, row, text));
            free(text);
            json_decref(plain);
        }
        check_run(&b, kept);
        close_bench(&b);
        json_decref(kept);
        json_decref(type);
        if (tr_test_failures > 0)
            return;
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(any_row_of_any_schema_comes_out_as_it_went_in);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
