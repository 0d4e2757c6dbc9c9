/* SPDX-License-Identifier: Apache-2.0 */
/* pql_test.c - text and JSON into trees and back.
 *
 * The expressions of the reference's conformance table must survive text -> tree -> text -> tree
 * and text -> tree -> JSON -> tree; what is not PQL is refused at the right place.
 */
#include "pql/pql.h"

#include "base/limits.h"
#include "base/test.h"

#include <string.h>

/* argv[1]: number, tab, true|false|error, tab, expression */
static const char *table_path;

static bool survives(tr_str text, const tr_pql_node *tree, tr_arena *arena)
{
    tr_buf printed = {0};
    tr_pql_node *again = NULL;
    json_t *json = NULL;
    tr_err err = {0};
    bool does = tr_pql_print(tree, &printed, &err) == TR_OK &&
                tr_pql_parse(tr_buf_str(&printed), arena, &again, &err) == TR_OK &&
                tr_pql_equal(tree, again);
    if (!does)
        printf("%.*s\n  printed as %.*s\n  %s\n", TR_STR_ARG(text),
               TR_STR_ARG(tr_buf_str(&printed)), err.text);
    bool as_json = tr_pql_write_json(tree, &json, &err) == TR_OK &&
                   tr_pql_read_json(json, arena, &again, &err) == TR_OK &&
                   tr_pql_equal(tree, again);
    if (!as_json)
        printf("%.*s\n  as JSON: %s\n", TR_STR_ARG(text), err.text);
    printed.len = 0;
    as_json = as_json && tr_pql_print(again, &printed, &err) == TR_OK;
    json_decref(json);
    tr_arena copy = {0}; /* the printed text must outlive its tree */
    if (as_json) {
        const tr_str kept = tr_arena_copy(&copy, tr_buf_str(&printed));
        as_json = tr_pql_parse(kept, arena, &again, &err) == TR_OK && tr_pql_equal(tree, again);
        if (!as_json)
            printf("%.*s\n  from JSON printed as %.*s\n  %s\n", TR_STR_ARG(text), TR_STR_ARG(kept),
                   err.text);
    }
    tr_arena_free(&copy);
    tr_buf_free(&printed);
    return does && as_json;
}

static void check_row(char *line)
{
    tr_arena arena = {0};
    tr_pql_node *tree = NULL;
    tr_err err = {0};
    char *result = strchr(line, '\t') + 1, *text = strchr(result, '\t') + 1;
    text[strcspn(text, "\n")] = '\0';
    const bool is_error = strncmp(result, "error", 5) == 0;
    const tr_code code = tr_pql_parse(tr_str_of(text), &arena, &tree, &err);
    if (is_error ? code != TR_INVALID : code != TR_OK)
        printf("%s: %s\n", text, err.text);
    CHECK(is_error ? code == TR_INVALID : code == TR_OK);
    if (code == TR_OK)
        CHECK(survives(tr_str_of(text), tree, &arena));
    tr_arena_free(&arena);
}

static void every_row_of_the_conformance_table_survives(void)
{
    char line[1024];
    unsigned rows = 0;
    FILE *file = fopen(table_path, "r");
    CHECK(file != NULL);
    if (file == NULL)
        return;
    for (; fgets(line, sizeof line, file) != NULL; rows++)
        check_row(line);
    (void)fclose(file);
    CHECK(rows == 100);
}

static void check_survives(const char *text)
{
    tr_arena arena = {0};
    tr_pql_node *tree = NULL;
    tr_err err = {0};
    const tr_code code = tr_pql_parse(tr_str_of(text), &arena, &tree, &err);
    if (code != TR_OK)
        printf("%s: %s\n", text, err.text);
    CHECK(code == TR_OK && survives(tr_str_of(text), tree, &arena));
    tr_arena_free(&arena);
}

static void names_that_could_be_mistaken_survive(void)
{
    static const char *const texts[] = {
        "min > 3 and `select` = 1 and $1.last = 2 and `or`.`and` = true",
        "xEvent[x1 = 1 and ^x2 = 2]",
        "orders.filter(o => o.items[price > o.limit and ^^x = 1])",
        "select X from xEvent where exists X from X.items where X.a = 1",
        "xEvent.map(e => e.items.filter(e => e.price > 1).count())",
        "let homeAddress = 5 in (homeAddress > 4 and $1.homeAddress.city = \"x\")",
        "chain(xEvent, timestamp, [eventType: WHAT(eventType = \"a\"), B: WHAT(eventType = \"b\") "
        "WHEN(< 1 hour after eventType)])",
        "xEvent[let y = a + 1 in (y > b)]",
        "context.`1697323153`.timestamp occurs after `now`",
        "`xdm:person`.`a b c`.`1x` = 1",
        "loyalty.joined occurs on date(currentYear() - 1, 10, 1)",
        "a - (b - c) - -5 = -(5) and -(-a) < - -b",
        "not not (a = 1) or ((b and c) and d)",
        "(a or b) and (select X from c).count() > 1 and (1 + 2) * 3 % 4 = 1.5e300",
        "x occurs between last month and `month` and y occurs from this century",
        "sum > 1 and (sum X.a * Y over X from xEvent where X.b, Y from X.items) > 10",
        "{\"n\": G.count(), a: [1, \"\\\"\\\\\\u00e9\\ud83d\\ude00\\n\", null, true]}.n = 0.1",
        "if(a, b, c).matches(\"\\w+\") and d matches \"x\""};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_survives(texts[i]);
}

static tr_code parse_error(const char *text, char *out, size_t size)
{
    tr_arena arena = {0};
    tr_pql_node *tree = NULL;
    tr_err err = {0};
    const tr_code code = tr_pql_parse(tr_str_of(text), &arena, &tree, &err);
    (void)snprintf(out, size, "%s", err.text);
    tr_arena_free(&arena);
    return code;
}

static void errors_name_place_token_and_what_was_expected(void)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "line 1, column 1: the expression ends here, expected an expression"},
        {"a = ", "line 1, column 5: the expression ends here, expected an operand"},
        {"a ==\n b", "line 1, column 3: found \"==\": PQL compares with \"=\""},
        {"a = 1\n  b", "line 2, column 3: found \"b\", expected an operator or the end"},
        {"\"\xc3\xa9\xc3\xa9\" = = 1", "line 1, column 8: found \"=\", expected an operand"},
        {"1 < a < 3",
         "line 1, column 7: found \"<\", expected the end of the comparison: comparisons do not "
         "chain, join them with \"and\""},
        {"a[0]", "line 1, column 3: found \"0\", expected a condition: brackets filter, they do "
                 "not count; use head()"},
        {"a.frob(1)",
         "line 1, column 3: found \"frob\", expected a known function: this one does not exist"},
        {"a.startsWith()", "line 1, column 13: startsWith takes 1 or 2 arguments, not 0"},
        {"a.count(1)", "line 1, column 8: count takes 0 arguments, not 1"},
        {"date(1, 2)", "line 1, column 1: date takes 3 arguments, not 2"},
        {"t occurs <= 3 fortnights before now",
         "line 1, column 15: found \"fortnights\", expected a unit of time such as \"days\""},
        {"a[^^b = 1]", "line 1, column 3: more \"^\" than there are enclosing items"},
        {"a = 'x'", "line 1, column 5: found a single quote: strings stand in double quotes"},
        {"a = \xe2\x80\x9cx\xe2\x80\x9d",
         "line 1, column 5: found a typographic quote: strings stand in plain double quotes"},
        {"a = \"x", "line 1, column 5: this string does not end: expected '\"'"},
        {"a = 99999999999999999999", "line 1, column 5: this integer does not fit into 64 bits"},
        {"a = 1e999", "line 1, column 5: this number is too large"},
        {"select X from a, X from b",
         "line 1, column 18: found \"X\", expected a variable that is not declared yet"},
        {"chain(xEvent, timestamp, [A: COUNT(2)])",
         "line 1, column 30: found \"COUNT\", expected WHAT(condition)"},
        {"`a\tb` = 1", "line 1, column 1: this name does not end: expected '`'"},
        {"a = \"\xff\"", "byte 6 of the expression is not valid UTF-8"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[480];
        const tr_code code = parse_error(cases[i].text, text, sizeof text);
        if (strcmp(text, cases[i].error) != 0)
            printf("%s\n  %s\n", cases[i].text, text);
        CHECK(code == TR_INVALID && strcmp(text, cases[i].error) == 0);
    }
}

static tr_code parse_repeated(const char *head, const char *unit, unsigned count, const char *tail)
{
    tr_buf text = {0};
    tr_arena arena = {0};
    tr_pql_node *tree = NULL;
    CHECK(tr_buf_append(&text, tr_str_of(head), NULL) == TR_OK);
    for (unsigned i = 0; i < count; i++)
        CHECK(tr_buf_append(&text, tr_str_of(unit), NULL) == TR_OK);
    CHECK(tr_buf_append(&text, tr_str_of(tail), NULL) == TR_OK);
    const tr_code code = tr_pql_parse(tr_buf_str(&text), &arena, &tree, NULL);
    tr_arena_free(&arena);
    tr_buf_free(&text);
    return code;
}

static void what_is_too_large_is_refused_and_what_is_not_is_not(void)
{
    CHECK(parse_repeated("a", ".a", TR_PQL_DEPTH_MAX - 2, "") == TR_OK);
    CHECK(parse_repeated("a", ".a", TR_PQL_DEPTH_MAX - 1, "") == TR_LIMIT);
    CHECK(parse_repeated("", "(", 100000, "") == TR_LIMIT);
    CHECK(parse_repeated("", "not ", 10000, "a") == TR_LIMIT);
    CHECK(parse_repeated("", "-", 10000, "a") == TR_LIMIT);
    CHECK(parse_repeated("a", " + a", 10000, "") == TR_LIMIT);
    CHECK(parse_repeated("a in [1", ", 1", TR_PQL_NODES_MAX - 5, "]") == TR_OK);
    CHECK(parse_repeated("a in [1", ", 1", TR_PQL_NODES_MAX, "]") == TR_LIMIT);
    CHECK(parse_repeated("a = \"", "x", TR_PQL_TEXT_BYTES_MAX - 6, "\"") == TR_OK);
    CHECK(parse_repeated("a = \"", "x", TR_PQL_TEXT_BYTES_MAX - 5, "\"") == TR_LIMIT);
}

static tr_code read_text(const char *text, char *error, size_t size)
{
    tr_arena arena = {0};
    tr_pql_node *tree = NULL;
    json_t *json = NULL;
    tr_err err = {0};
    tr_code code = tr_json_parse(tr_str_of(text), &json, &err);
    if (code == TR_OK)
        code = tr_pql_read_json(json, &arena, &tree, &err);
    json_decref(json);
    tr_arena_free(&arena);
    (void)snprintf(error, size, "%s", err.text);
    return code;
}

static void json_is_checked_as_strictly_as_text(void)
{
    static const struct {
        const char *text, *error;
    } cases[] = {{"[]", "/: expected a node: an object with \"nodeType\""},
                 {"{\"nodeType\":\"set\"}", "/: unknown nodeType"},
                 {"{\"nodeType\":\"fnApply\",\"fnName\":\"=\",\"params\":[{\"nodeType\":\"varRef\","
                  "\"varName\":\"x\"},{}]}",
                  "/params/0: this variable is not declared"},
                 {"{\"nodeType\":\"fnApply\",\"fnName\":\"now\",\"params\":[]}",
                  "/: the function \"now\" does not exist here"},
                 {"{\"nodeType\":\"fnApply\",\"fnName\":\"=\",\"params\":[{\"nodeType\":"
                  "\"literal\",\"value\":1}]}",
                  "/: = takes at least 2 and at most 2 params, not 1"},
                 {"{\"nodeType\":\"literal\",\"literalType\":\"integer\",\"value\":\"six\"}",
                  "/: the value is not of the literal's type"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char error[480];
        CHECK(read_text(cases[i].text, error, sizeof error) == TR_INVALID);
        if (strcmp(error, cases[i].error) != 0)
            printf("%s\n  %s\n", cases[i].text, error);
        CHECK(strcmp(error, cases[i].error) == 0);
    }
}

static void older_json_is_read(void)
{
    tr_arena arena = {0};
    tr_pql_node *text = NULL, *tree = NULL;
    json_t *json = NULL;
    CHECK(tr_json_parse(tr_str_of("{\"nodeType\":\"fnApply\",\"fnName\":\"AND\",\"params\":[{"
                                  "\"nodeType\":\"fnApply\",\"fnName\":\"=\","
                                  "\"params\":[{\"nodeType\":\"literal\",\"literalType\":"
                                  "\"integer\",\"value\":\"6\"},{\"nodeType\":"
                                  "\"fieldLookup\",\"fieldName\":\"a\"}]},{\"nodeType\":"
                                  "\"quantification\",\"quantifier\":\"some\","
                                  "\"variables\":[{\"nodeType\":\"varDecl\",\"varName\":\"r\","
                                  "\"range\":{\"nodeType\":\"fieldLookup\","
                                  "\"fieldName\":\"b\",\"object\":{\"nodeType\":\"literal\","
                                  "\"literalType\":\"XDMObject\",\"value\":"
                                  "\"profile\"}}}]}]}"),
                        &json, NULL) == TR_OK);
    CHECK(tr_pql_read_json(json, &arena, &tree, NULL) == TR_OK);
    CHECK(tr_pql_parse(tr_str_of("6 = a and (exists r from b)"), &arena, &text, NULL) == TR_OK);
    CHECK(tree != NULL && text != NULL && tr_pql_equal(tree, text));
    json_decref(json);
    tr_arena_free(&arena);
}

static void running_out_of_memory_is_an_answer(void)
{
    const tr_str text = tr_str_of("xEvent[eventType = \"a\" and b in [1, 2.5]].count() > 2");
    tr_code code = TR_NO_MEMORY;
    for (uint64_t after = 0; after < 1000 && code != TR_OK; after++) {
        tr_arena arena = {0};
        tr_pql_node *tree = NULL;
        tr_memory_fail_after(after);
        code = tr_pql_parse(text, &arena, &tree, NULL);
        tr_memory_fail_after(UINT64_MAX);
        CHECK(code == TR_OK || (code == TR_NO_MEMORY && tree == NULL));
        tr_arena_free(&arena);
    }
    CHECK(code == TR_OK);
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    table_path = argc > 1 ? argv[1] : "";
    RUN(every_row_of_the_conformance_table_survives);
    RUN(names_that_could_be_mistaken_survive);
    RUN(errors_name_place_token_and_what_was_expected);
    RUN(what_is_too_large_is_refused_and_what_is_not_is_not);
    RUN(json_is_checked_as_strictly_as_text);
    RUN(older_json_is_read);
    RUN(running_out_of_memory_is_an_answer);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
