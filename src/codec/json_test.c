/* SPDX-License-Identifier: Apache-2.0 */
/* json_test.c - rows are cut out of every form that clients upload, and walked value by value. */
#include "base/limits.h"
#include "base/test.h"
#include "codec/json.h"

static void expect_rows(const char *text, const char *const *rows, bool is_broken)
{
    tr_json_cutter cutter = {.text = tr_str_of(text)};
    tr_str row;
    size_t count = 0;
    while (tr_json_next_row(&cutter, &row)) {
        CHECK(rows[count] != NULL && tr_str_is(row, rows[count]));
        count++;
    }
    CHECK(rows[count] == NULL);
    CHECK(cutter.is_broken == is_broken);
    CHECK(cutter.row_number == count);
}

#define ROWS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void lines_are_rows(void)
{
    expect_rows("{\"a\":1}\n\n{\"b\":\"x\\n}\"}\r\n{bad\n{\"c\":3}",
                ROWS("{\"a\":1}", "{\"b\":\"x\\n}\"}", "{bad", "{\"c\":3}"), false);
}

static void elements_of_an_array_are_rows(void)
{
    expect_rows("\xEF\xBB\xBF [ {\"a\":[1,2]} ,\n{\"b\":\"]\\\"\"}\n, 7]\n ",
                ROWS("{\"a\":[1,2]}", "{\"b\":\"]\\\"\"}", "7"), false);
    expect_rows("[]", ROWS(NULL), false);
}

static void objects_over_several_lines_are_rows(void)
{
    expect_rows("{\n \"a\": 1\n}\n{\n \"b\": 2 }", ROWS("{\n \"a\": 1\n}", "{\n \"b\": 2 }"), false);
}

static void an_open_array_is_broken_behind_its_last_whole_row(void)
{
    expect_rows("[{\"a\":1},{\"b\":", ROWS("{\"a\":1}"), true);
    expect_rows("[{\"a\":1} {\"b\":2}]", ROWS("{\"a\":1}"), true);
    expect_rows("[{\"a\":1}] x", ROWS("{\"a\":1}"), true);
}

static tr_code note(void *ctx, tr_err *err, const char *text)
{
    return tr_buf_append(ctx, tr_str_of(text), err);
}
static tr_code on_object(void *ctx, tr_err *err) { return note(ctx, err, "{"); }
static tr_code on_object_end(void *ctx, tr_err *err) { return note(ctx, err, "}"); }
static tr_code on_array(void *ctx, size_t count, tr_err *err) { return tr_buf_format(ctx, err, "[%zu:", count); }
static tr_code on_array_end(void *ctx, tr_err *err) { return note(ctx, err, "]"); }
static tr_code on_key(void *ctx, tr_str name, tr_err *err)
{
    return tr_buf_format(ctx, err, "%.*s=", TR_STR_ARG(name));
}
static tr_code on_scalar(void *ctx, const tr_json_scalar *value, tr_err *err)
{
    static const char *const kinds[] = {"null", "bool", "int", "double", "string"};
    if (value->kind == TR_JSON_INT)
        return tr_buf_format(ctx, err, "%lld,", (long long)value->integer);
    if (value->kind == TR_JSON_STRING)
        return tr_buf_format(ctx, err, "'%.*s',", TR_STR_ARG(value->string));
    return tr_buf_format(ctx, err, "%s,", kinds[value->kind]);
}
static const tr_json_events events = {on_object, on_key, on_object_end, on_array, on_array_end, on_scalar};

static void a_row_is_walked_in_order(void)
{
    tr_json_walker *walker = NULL;
    tr_buf seen = {0};
    CHECK(tr_json_walker_open(1000, &walker, NULL) == TR_OK);
    const char *text = "{\"a\":[1,\"\\u00e9\",null],\"b\":{\"c\":1.5,\"d\":true}}";
    CHECK(tr_json_walk(walker, tr_str_of(text), &events, &seen, NULL) == TR_OK);
    CHECK(tr_str_is(tr_buf_str(&seen), "{a=[3:1,'\xC3\xA9',null,]b={c=double,d=bool,}}"));
    tr_buf_free(&seen);
    tr_json_walker_close(walker);
}

static void bad_rows_call_nothing(void)
{
    static const char *const bad[] = {"", "{", "{\"a\":}", "{\"a\":1}x", "\"\xC0\xAF\"", "nul"};
    tr_json_walker *walker = NULL;
    tr_buf seen = {0}, deep = {0};
    tr_err err;
    CHECK(tr_json_walker_open(1000, &walker, NULL) == TR_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(tr_json_walk(walker, tr_str_of(bad[i]), &events, &seen, &err) == TR_INVALID);
    for (int i = 0; i < TR_JSON_DEPTH_MAX + 1; i++)
        CHECK(tr_buf_append(&deep, tr_str_of("["), NULL) == TR_OK);
    for (int i = 0; i < TR_JSON_DEPTH_MAX + 1; i++)
        CHECK(tr_buf_append(&deep, tr_str_of("]"), NULL) == TR_OK);
    CHECK(tr_json_walk(walker, tr_buf_str(&deep), &events, &seen, &err) == TR_INVALID);
    char long_row[1002];
    memset(long_row, ' ', sizeof long_row);
    long_row[1000] = '1';
    CHECK(tr_json_walk(walker, (tr_str){(uint8_t *)long_row, 1001}, &events, &seen, &err) == TR_LIMIT);
    CHECK(strstr(err.text, "1000") != NULL);
    CHECK(seen.len == 0);
    tr_buf_free(&deep);
    tr_buf_free(&seen);
    tr_json_walker_close(walker);
}

static void a_tree_error_names_line_and_column(void)
{
    json_t *tree = NULL;
    tr_err err;
    CHECK(tr_json_parse(tr_str_of("{\n\"a\": ,\n}"), &tree, &err) == TR_INVALID);
    CHECK(tree == NULL && strstr(err.text, "line 2") != NULL);
}

static void a_tree_error_speaks_to_clients_only(void)
{
    json_t *tree = NULL;
    tr_err err;
    CHECK(tr_json_parse(tr_str_of("\"a\\u0000b\""), &tree, &err) == TR_INVALID);
    CHECK(strstr(err.text, "\\u0000 is not allowed") != NULL && strstr(err.text, "JSON_") == NULL);
}

static void the_first_of_a_list_is_found_by_a_text(void)
{
    json_t *list = json_pack("[{s:s,s:i},{s:s,s:i},{s:s,s:i},{s:i}]", "name", "a", "n", 1, "name",
                             "b", "n", 2, "name", "b", "n", 3, "name", 7);
    CHECK(tr_json_int(tr_json_find(list, "name", "b"), "n", 0) == 2);
    CHECK(tr_json_find(list, "name", "7") == NULL && tr_json_find(list, "n", "1") == NULL);
    CHECK(tr_json_find(list, "name", "") == json_array_get(list, 3));
    CHECK(tr_json_find(NULL, "name", "a") == NULL);
    json_decref(list);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(lines_are_rows);
    RUN(elements_of_an_array_are_rows);
    RUN(objects_over_several_lines_are_rows);
    RUN(an_open_array_is_broken_behind_its_last_whole_row);
    RUN(a_row_is_walked_in_order);
    RUN(bad_rows_call_nothing);
    RUN(a_tree_error_names_line_and_column);
    RUN(a_tree_error_speaks_to_clients_only);
    RUN(the_first_of_a_list_is_found_by_a_text);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
