/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_filter_test.c - a wild card fits what a slow model says, and members compare by value.
 *
 * Method: conditions made by hand over documents made by hand; random patterns and texts of a small
 * alphabet, against a recursive model.
 */
#include "api/catalog_api_internal.h"
#include "api/pattern.h"
#include "base/test.h"

#include <malloc.h>

static bool matches(tr_condition condition, const char *document)
{
    tr_filter filter = {.conditions = {condition}, .count = 1};
    tr_object object = {.id = "the id", .parent = "the dataset"};
    json_t *doc = json_loads(document, 0, NULL);
    object.doc = doc;
    const bool is_match = tr_filter_matches(&filter, &object);
    json_decref(doc);
    return is_match;
}

static bool is(const char *name, tr_filter_op op, const char *value, const char *document)
{
    const char *values[] = {value};
    const tr_condition condition = {
        .name = name, .op = op, .values = values, .value_count = value != NULL};
    return matches(condition, document);
}

static bool model(const char *wild, const char *text)
{
    if (*wild == '\0')
        return *text == '\0';
    if (*wild == '*')
        return model(wild + 1, text) || (*text != '\0' && model(wild, text + 1));
    return *wild == *text && model(wild + 1, text + 1);
}

static void random_text(uint64_t *seed, const char *alphabet, size_t letters, char out[12])
{
    const size_t len = tr_test_random(seed) % 10;
    for (size_t i = 0; i < len; i++)
        out[i] = alphabet[tr_test_random(seed) % letters];
    out[len] = '\0';
}

static void a_star_fits_what_the_model_says(void)
{
    uint64_t seed = tr_test_seed(7);
    int fitted = 0;
    for (int i = 0; i < 20000; i++) {
        char wild[12], text[12], document[64];
        random_text(&seed, "ab*", 3, wild);
        random_text(&seed, "ab", 2, text);
        (void)snprintf(document, sizeof document, "{\"tags\":{\"t\":[\"%s\"]}}", text);
        const bool fits = is("t", TR_FILTER_TAG, wild, document);
        if (strcmp(wild, "*") != 0 && fits != model(wild, text))
            printf("\"%s\" and \"%s\"\n", wild, text);
        CHECK(strcmp(wild, "*") == 0 || fits == model(wild, text));
        fitted += fits;
    }
    CHECK(fitted > 500 && fitted < 19500);
}

static void members_compare_by_value(void)
{
    const char *doc = "{\"n\":9007199254740993,\"r\":0.5,\"b\":true,\"s\":\"10\",\"a\":[1,\"x\"],"
                      "\"o\":{\"n\":2},\"z\":null}";
    CHECK(is("n", TR_FILTER_IS, "9007199254740993", doc)); /* no double holds it */
    CHECK(!is("n", TR_FILTER_IS, "9007199254740992", doc));
    CHECK(is("n", TR_FILTER_MORE, "9007199254740992", doc));
    CHECK(is("r", TR_FILTER_IS, "0.50", doc) && is("r", TR_FILTER_LESS, "1", doc));
    CHECK(is("b", TR_FILTER_IS, "true", doc) && !is("b", TR_FILTER_IS, "1", doc));
    CHECK(is("s", TR_FILTER_LESS, "9", doc)); /* texts by bytes */
    CHECK(is("a", TR_FILTER_IS, "x", doc) && is("a", TR_FILTER_IS, "1", doc));
    CHECK(is("o.n", TR_FILTER_IS, "2", doc) && !is("o", TR_FILTER_IS, "2", doc));
    CHECK(!is("n", TR_FILTER_MORE, "x", doc) && !is("nothing", TR_FILTER_LESS, "1", doc));
    CHECK(is("z", TR_FILTER_HAS, NULL, doc) && is("nothing", TR_FILTER_HAS_NOT, NULL, doc));
    CHECK(is("nothing", TR_FILTER_IS_NOT, "1", doc));
}

static void an_object_has_an_id_and_a_dataset(void)
{
    CHECK(is("id", TR_FILTER_IS, "the id", "{}") && is("id", TR_FILTER_IS_NOT, "x", "{}"));
    CHECK(is("dataSet", TR_FILTER_IS, "the dataset", "{\"dataSet\":\"other\"}"));
}

static void private_members_are_no_members(void)
{
    const tr_condition any = {.name = "*", .op = TR_FILTER_HAS, .has_wild_name = true};
    CHECK(!is("_secret", TR_FILTER_IS, "1", "{\"_secret\":1}"));
    CHECK(!is("_secret", TR_FILTER_HAS, NULL, "{\"_secret\":1}"));
    CHECK(!matches(any, "{\"_secret\":1}") && matches(any, "{\"open\":1}"));
}

static void a_status_has_two_words(void)
{
    CHECK(is("status", TR_FILTER_IS, "active", "{\"status\":\"success\"}"));
    CHECK(!is("status", TR_FILTER_IS_NOT, "active", "{\"status\":\"success\"}"));
    CHECK(!is("status", TR_FILTER_IS, "active", "{\"status\":\"loading\"}"));
    CHECK(is("status", TR_FILTER_IS, "failed", "{\"status\":\"failure\"}"));
}

/* What a client may send must not cost the server its memory. */
static void patterns_that_grow_when_compiled_are_refused(void)
{
    static const char *const bad[] = {"a{2}", "(a)\\1", "a\\", "((((((((((a+)+)+)+)+)+)+)+)+)+)+",
                                      "(((((((a+)*)+)*)+)*)+)*++++", "a++++++++", "(", NULL};
    static const char *const good[] = {"^test",      "(crm|loyalty)+ data", "a+b+c+d+e+f+g+h+",
                                       "\\w+\\.x$", "(a)+(b)+(c)+[+)+]",   NULL};
    uint64_t seed = tr_test_seed(11);
    int compiled = 0;
    regex_t regex;
    for (int i = 0; bad[i] != NULL; i++)
        CHECK(!tr_pattern_compile(bad[i], &regex));
    for (int i = 0; good[i] != NULL; i++) {
        CHECK(tr_pattern_compile(good[i], &regex));
        regfree(&regex);
    }
    for (int i = 0; i < 600; i++) { /* nests of groups, each repeated somehow */
        char pattern[256] = "";
        size_t len = 0;
        const size_t depth = 1 + tr_test_random(&seed) % 24;
        for (size_t d = 0; d < depth; d++)
            pattern[len++] = '(';
        pattern[len++] = 'a';
        for (size_t d = 0; d < depth; d++) {
            pattern[len++] = "+*?+"[tr_test_random(&seed) % 4];
            pattern[len++] = ')';
        }
        if (!tr_pattern_compile(pattern, &regex))
            continue;
        compiled++;
        regfree(&regex);
    }
    CHECK(compiled > 100 && mallinfo2().arena < (size_t)64 << 20);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(a_star_fits_what_the_model_says);
    RUN(members_compare_by_value);
    RUN(an_object_has_an_id_and_a_dataset);
    RUN(private_members_are_no_members);
    RUN(a_status_has_two_words);
    RUN(patterns_that_grow_when_compiled_are_refused);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
