/* SPDX-License-Identifier: Apache-2.0 */
/* json_patch_test.c - goal: RFC 6902 to the letter, and a target that a failed patch leaves alone.
 * Method: the RFC's own examples (appendix A) as rows of a table, then edges, then random patches
 * that are undone by their inverse.
 */
#include "api/api_internal.h"
#include "base/test.h"

static json_t *parse(const char *text)
{
    return json_loads(text, JSON_DECODE_ANY, NULL);
}

/* expected NULL: refused. */
static bool patches(const char *target, const char *operations, const char *expected)
{
    json_t *doc = parse(target), *before = parse(target), *ops = parse(operations);
    json_t *after = expected == NULL ? NULL : parse(expected);
    tr_err err = {0};
    const tr_code code = tr_json_patch(&doc, ops, &err);
    const bool is_good = expected == NULL
                             ? code == TR_INVALID && json_equal(doc, before) && err.text[0]
                             : code == TR_OK && json_equal(doc, after);
    if (!is_good) {
        char *shown = json_dumps(doc, JSON_COMPACT | JSON_ENCODE_ANY);
        printf("%s + %s: %d %s, now %s\n", target, operations, (int)code, err.text, shown);
        free(shown);
    }
    json_decref(doc);
    json_decref(before);
    json_decref(ops);
    json_decref(after);
    return is_good;
}

typedef struct row {
    const char *target, *operations, *expected;
} row;

static void check_rows(const row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        CHECK(patches(rows[i].target, rows[i].operations, rows[i].expected));
}

static void every_operation_does_what_the_rfc_says(void)
{
    static const row rows[] = {
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]",
         "{\"baz\":\"qux\",\"foo\":\"bar\"}"},
        {"{\"foo\":[\"bar\",\"baz\"]}", "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
         "{\"foo\":[\"bar\",\"qux\",\"baz\"]}"},
        {"{\"baz\":\"qux\",\"foo\":\"bar\"}", "[{\"op\":\"remove\",\"path\":\"/baz\"}]",
         "{\"foo\":\"bar\"}"},
        {"{\"foo\":[\"bar\",\"qux\",\"baz\"]}", "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]",
         "{\"foo\":[\"bar\",\"baz\"]}"},
        {"{\"baz\":\"qux\",\"foo\":\"bar\"}",
         "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]",
         "{\"baz\":\"boo\",\"foo\":\"bar\"}"},
        {"{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
         "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
         "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}"},
        {"{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
         "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
         "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}"},
        {"{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
         "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},{\"op\":\"test\",\"path\":\"/foo/"
         "1\","
         "\"value\":2}]",
         "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}"},
        {"{\"baz\":\"qux\"}", "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]", NULL},
        {"{\"foo\":\"bar\"}",
         "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"grandchild\":{}}}]",
         "{\"foo\":\"bar\",\"child\":{\"grandchild\":{}}}"},
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\",\"xyz\":123}]",
         "{\"foo\":\"bar\",\"baz\":\"qux\"}"},
        {"{\"foo\":\"bar\"}", "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]", NULL},
        {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10}]",
         "{\"/\":9,\"~1\":10}"},
        {"{\"/\":9,\"~1\":10}", "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":\"10\"}]", NULL},
        {"{\"foo\":[\"bar\"]}", "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\"]}]",
         "{\"foo\":[\"bar\",[\"abc\"]]}"},
        {"{\"a\":1}", "[{\"op\":\"copy\",\"from\":\"/a\",\"path\":\"/b\"}]", "{\"a\":1,\"b\":1}"}};
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

static void the_edges_are_where_the_rfc_puts_them(void)
{
    static const row rows[] = {
        {"{\"a\":1}", "[]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"\",\"value\":[1]}]", "[1]"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/\",\"value\":2}]", "{\"a\":1,\"\":2}"},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a\",\"value\":null}]", "{\"a\":null}"},
        {"{\"a\":1}", "[{\"op\":\"test\",\"path\":\"/a\",\"value\":1.0}]", "{\"a\":1}"},
        {"{\"a\":{\"x\":1,\"y\":2}}",
         "[{\"op\":\"test\",\"path\":\"/a\",\"value\":{\"y\":2,\"x\":1}}]",
         "{\"a\":{\"x\":1,\"y\":2}}"},
        {"[1,2]", "[{\"op\":\"replace\",\"path\":\"/1\",\"value\":3}]", "[1,3]"},
        {"[1]", "[{\"op\":\"add\",\"path\":\"/1\",\"value\":3}]", "[1,3]"},
        {"[1]", "[{\"op\":\"add\",\"path\":\"/2\",\"value\":3}]", NULL},
        {"[1]", "[{\"op\":\"add\",\"path\":\"/01\",\"value\":3}]", NULL},
        {"[1]", "[{\"op\":\"remove\",\"path\":\"/-\"}]", NULL},
        {"[1]", "[{\"op\":\"remove\",\"path\":\"/1\"}]", NULL},
        {"[1]", "[{\"op\":\"remove\",\"path\":\"\"}]", NULL},
        {"{\"a\":{\"b\":1}}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a\"}]", "{\"a\":1}"},
        {"{\"a\":1}", "[{\"op\":\"move\",\"path\":\"/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"a\",\"value\":1}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/a~2\",\"value\":1}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"add\",\"path\":\"/b\"}]", NULL},
        {"{\"a\":1}", "[{\"op\":\"merge\",\"path\":\"/b\",\"value\":1}]", NULL},
        {"{\"a\":1}", "[{\"path\":\"/b\",\"value\":1}]", NULL},
        {"{\"a\":1}", "[\"op\",\"path\",\"value\"]", NULL},
        {"{\"a\":1}", "{\"op\":\"add\",\"path\":\"/b\",\"value\":1}", NULL},
        {"{\"a\":1}",
         "[{\"op\":\"add\",\"path\":\"/b\",\"value\":1},{\"op\":\"remove\",\"path\":\"/c\"}]",
         NULL}};
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

static void a_failure_names_the_operation_and_its_path(void)
{
    json_t *doc = parse("{}");
    json_t *ops = parse(
        "[{\"op\":\"add\",\"path\":\"/a\",\"value\":1},{\"op\":\"remove\",\"path\":\"/zz\"}]");
    tr_err err = {0};
    CHECK(tr_json_patch(&doc, ops, &err) == TR_INVALID);
    CHECK(strstr(err.text, "operation 2") != NULL && strstr(err.text, "/zz") != NULL);
    json_decref(doc);
    json_decref(ops);
}

static void a_patch_that_doubles_its_document_is_refused(void)
{
    json_t *doc = parse("{\"a\":[1]}"), *ops = json_array();
    tr_err err = {0};
    for (int i = 0; i < 40; i++)
        (void)json_array_append_new(
            ops, json_pack("{s:s, s:s, s:s}", "op", "copy", "from", "/a", "path", "/a/-"));
    CHECK(tr_json_patch(&doc, ops, &err) == TR_INVALID && strstr(err.text, "too much") != NULL);
    CHECK(json_array_size(json_object_get(doc, "a")) == 1);
    json_decref(doc);
    json_decref(ops);
}

static void an_operation_and_its_inverse_leave_the_document_as_it_was(void)
{
    uint64_t seed = tr_test_seed(0x6902);
    for (int round = 0; round < 300; round++) {
        json_t *doc = json_object(), *list = json_array();
        (void)json_object_set_new(doc, "list", list);
        for (uint64_t n = tr_test_random(&seed) % 5; n > 0; n--)
            (void)json_array_append_new(list,
                                        json_integer((json_int_t)(tr_test_random(&seed) % 100)));
        json_t *before = json_deep_copy(doc);
        const size_t at = (size_t)(tr_test_random(&seed) % (json_array_size(list) + 1));
        json_t *path = json_sprintf("/list/%zu", at);
        json_t *ops = json_pack("[{s:s, s:O, s:i}, {s:s, s:O, s:i}, {s:s, s:O}]", "op", "add",
                                "path", path, "value", 7, "op", "test", "path", path, "value", 7,
                                "op", "remove", "path", path);
        CHECK(tr_json_patch(&doc, ops, NULL) == TR_OK && json_equal(doc, before));
        json_decref(path);
        json_decref(ops);
        json_decref(doc);
        json_decref(before);
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(every_operation_does_what_the_rfc_says);
    RUN(the_edges_are_where_the_rfc_puts_them);
    RUN(a_failure_names_the_operation_and_its_path);
    RUN(a_patch_that_doubles_its_document_is_refused);
    RUN(an_operation_and_its_inverse_leave_the_document_as_it_was);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
