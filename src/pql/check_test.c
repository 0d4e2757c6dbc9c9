/* SPDX-License-Identifier: Apache-2.0 */
/* check_test.c - what the type checker lets through and what it refuses, with which words.
 *
 * Expressions of the conformance table pass over the schema of its profile; expressions with a
 * mistake of names or types are refused at the right place.
 */
#include "pql/check.h"

#include "base/clock.h"
#include "base/test.h"
#include "pql/pql.h"
#include "pql/pql_world.h"
#include "pql/regex.h"
#include "pql/times.h"

static const char *table_path, *world_path;
static tr_pql_world world;

static bool knows_segment(void *ctx, tr_str id)
{
    (void)ctx;
    return !tr_str_is(id, "no-such-segment");
}

static tr_code check_with(const tr_pql_schema *schema, const char *text, char *error, size_t size)
{
    tr_arena arena = {0};
    tr_pql_node *tree = NULL;
    tr_err err = {0};
    tr_code code = tr_pql_parse(tr_str_of(text), &arena, &tree, &err);
    if (code == TR_OK)
        code = tr_pql_check(tree, schema, &arena, &err);
    (void)snprintf(error, size, "%s", err.text);
    tr_arena_free(&arena);
    return code;
}

static tr_code check(const char *text, char *error, size_t size)
{
    const tr_pql_schema schema = {.profile = world.profiles.shape.root,
                                  .event = world.events.shape.root,
                                  .knows_segment = knows_segment};
    return check_with(&schema, text, error, size);
}

static void every_row_of_the_conformance_table_is_checked(void)
{
    char line[1024], error[480];
    unsigned rows = 0;
    FILE *file = fopen(table_path, "r");
    CHECK(file != NULL);
    for (; file != NULL && fgets(line, sizeof line, file) != NULL; rows++) {
        char *result = strchr(line, '\t') + 1, *text = strchr(result, '\t') + 1;
        text[strcspn(text, "\n")] = '\0';
        const bool is_error = strncmp(result, "error", 5) == 0;
        const tr_code code = check(text, error, sizeof error);
        if (is_error != (code == TR_INVALID))
            printf("%s\n  %s\n", text, error);
        CHECK(is_error ? code == TR_INVALID : code == TR_OK);
        CHECK(is_error || check_with(&(tr_pql_schema){0}, text, error, sizeof error) == TR_OK);
    }
    if (file != NULL)
        (void)fclose(file);
    CHECK(rows == 100);
}

static const struct {
    const char *text, *error;
} refused[] = {
    {"homeAdress.city = \"X\"", "line 1, column 1: unknown field \"homeAdress.city\", expected a "
                                "field of the schema: did you mean \"homeAddress\"?"},
    {"person.name.firstName = \"A\"",
     "line 1, column 1: unknown field \"person.name.firstName\", expected a field of the schema"},
    {"person.firstName.x = 1",
     "line 1, column 18: unknown field \"person.firstName.x\": it would be "
     "a field of a value of type string"},
    {"xEvent[homeAddress.city = \"X\"]",
     "line 1, column 8: unknown field \"homeAddress.city\", expected a field of the schema"},
    {"loyalty.points = \"many\"",
     "line 1, column 18: \"many\" is compared with an integer, expected "
     "a value of that type"},
    {"flags.optIn = \"yes\"", "line 1, column 15: \"yes\" is compared with a boolean, expected a "
                              "value of that type"},
    {"loyalty.joined = \"yesterday\"", "line 1, column 18: \"yesterday\" is no instant, expected "
                                       "YYYY-MM-DDThh:mm:ssZ or YYYY-MM-DD"},
    {"loyalty.tier < \"gold\"",
     "line 1, column 9: < has an operand of type string, expected a number or a timestamp"},
    {"loyalty.tier + 1 = 2",
     "line 1, column 9: + has an operand of type string, expected a number"},
    {"loyalty.points.contains(\"2\")",
     "line 1, column 9: contains has an operand of type integer, expected a string"},
    {"loyalty.tier.equals(\"a\", loyalty.points)",
     "line 1, column 34: equals has an operand of type integer, expected true or false: is case "
     "significant"},
    {"loyalty.tier.matches(\"(a\")",
     "line 1, column 22: the regular expression fails at its byte 3: missing closing parenthesis"},
    {"loyalty.tier.regexGroup(\"(a)\", 2) = \"a\"",
     "line 1, column 32: the regular expression has only 1 groups"},
    {"loyalty.points occurs today",
     "line 1, column 9: occurs has an operand of type integer, expected a timestamp or a date"},
    {"loyalty.joined occurs before loyalty.tier",
     "line 1, column 38: this has an operand of type string, expected a time: now, today, last "
     "month, date(...), a timestamp"},
    {"loyalty.joined occurs on date(2023, 2, 29)",
     "line 1, column 26: there is no day date(2023, 2, 29)"},
    {"loyalty.points.count() = 1",
     "line 1, column 9: count has an operand of type integer, expected an array or a map"},
    {"identityMap.filter(id = \"a\")",
     "line 1, column 1: filter has an operand of type map of array of object, expected an array: "
     "use keys() or values()"},
    {"xEvent.sum(eventType) > 1",
     "line 1, column 12: sum has an operand of type string, expected numbers"},
    {"(select A from xEvent, B from xEvent).distinct().count() > 1",
     "line 1, column 2: distinct has an operand of type array of tuple, expected an array"},
    {"if(flags, 1, \"a\") = 1",
     "line 1, column 14: if has an operand of type string, expected both branches of one type"},
    {"[1, \"a\"].count() = 2",
     "line 1, column 5: a list has an operand of type string, expected items of one type"},
    {"inSegment(\"no-such-segment\")",
     "line 1, column 11: there is no segment \"no-such-segment\""},
    {"inSegment(loyalty.tier)", "line 1, column 19: inSegment has an operand of type string, "
                                "expected the id of a segment, as a string"},
    {"chain(person.favoriteColors, c, [A: WHAT(true)])",
     "line 1, column 14: chain has an operand of type array of string, expected an array of "
     "objects "
     "such as xEvent"},
    {"chain(xEvent, eventType, [A: WHAT(true)])",
     "line 1, column 15: chain has an operand of type string, expected a timestamp"},
    {"mapEntry(\"a\", 1)",
     "line 1, column 1: mapEntry stands alone as what map() makes of an item"},
    {"homeAddress.country.contains((x) => x)", "line 1, column 30: a lambda cannot stand here"},
    {"xEvent.topN(commerce.order.priceTotal, \"1\").head()",
     "line 1, column 40: topN has an operand of type string, expected an integer: how many"},
    {"homeAddress = person.favoriteColors",
     "line 1, column 22: = has an operand of type array of string, expected object as on its other "
     "side"}};

static void errors_name_place_and_what_was_expected(void)
{
    char error[480];
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        CHECK(check(refused[i].text, error, sizeof error) == TR_INVALID);
        if (strcmp(error, refused[i].error) != 0)
            printf("%s\n  %s\n", refused[i].text, error);
        CHECK(strcmp(error, refused[i].error) == 0);
    }
}

static void what_fits_is_let_through(void)
{
    static const char *const texts[] = {
        "\"6\" = loyalty.points and 94040 = homeAddress.postalCode",
        "loyalty.points in [\"1\", 2, 3.5] and homeAddress.postalCode in [1, \"a\", true]",
        "loyalty.joined > \"2023-01-01\" and loyalty.joined != 1679306400000",
        "loyalty.joined in [\"2023-01-01T00:00:00Z\", date(2023, 3, 20)]",
        "chain(xEvent, timestamp, [A: WHAT(eventType = \"a\") WHERE(homeAddress.country = "
        "\"US\")])",
        "(P) => P.xEvent.timestamp occurs between P.person.birthDate and now",
        "xEvent.productListItems.groupBy(SKU).map((K, L) => mapEntry(K, L.count())).get(\"a\") = 1",
        "(select X from xEvent, Y from X.productListItems).count() = 1",
        "(sum X.commerce.order.priceTotal * Y.priceTotal over X from xEvent, Y from "
        "X.productListItems) > 0",
        "xEvent.map({\"n\": eventType, \"t\": timestamp})[n = \"a\"].t occurs today",
        "select X from homeAddress where X.city = \"a\"",
        "homeAddress = workAddress or null",
        "if(flags, 1, 2.5) = 1 and [].count() = 0 and [null, 1].sum() = 1"};
    char error[480];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const tr_code code = check(texts[i], error, sizeof error);
        if (code != TR_OK)
            printf("%s\n  %s\n", texts[i], error);
        CHECK(code == TR_OK);
    }
}

/* ---- times */

static bool occurs(const char *x, const char *now, const char *constraint)
{
    tr_arena arena = {0};
    tr_pql_node *tree = NULL;
    char text[200];
    int64_t us = 0, now_us = 0;
    (void)snprintf(text, sizeof text, "x occurs %s", constraint);
    CHECK(tr_time_parse(tr_str_of(x), false, &us, NULL) == TR_OK);
    CHECK(tr_time_parse(tr_str_of(now), false, &now_us, NULL) == TR_OK);
    CHECK(tr_pql_parse(tr_str_of(text), &arena, &tree, NULL) == TR_OK);
    tr_pql_anchor anchors[2] = {{.is_instant = false}};
    const tr_pql_node *time = tree->items[1];
    for (uint32_t i = 0; i < time->count; i++) {
        const tr_pql_node *a = time->items[i];
        const int64_t at = now_us / 1000;
        if (a->kind == TR_PQL_RELATIVE)
            anchors[i].span = tr_pql_calendar(at, a->time.which, a->time.unit);
        else if (a->fn == TR_PQL_NOW)
            anchors[i] = (tr_pql_anchor){{at, at}, true};
        else if (a->fn == TR_PQL_TODAY)
            anchors[i].span = tr_pql_day_of(at);
        else
            CHECK(tr_pql_day_at(a->items[0]->literal.integer, a->items[1]->literal.integer,
                                a->items[2]->literal.integer, &anchors[i].span));
    }
    const bool does = tr_pql_occurs(&time->time, us / 1000, anchors[0], anchors[1].span);
    tr_arena_free(&arena);
    return does;
}

/* The edges of section 10.3: the first and last millisecond inside, and those outside. */
static void distances_end_where_the_reference_says(void)
{
    static const struct {
        const char *constraint, *first, *last; /* NULL: open */
    } rows[] = {
        {"<= 1 month before today", "2018-07-28T00:00:00Z", "2018-08-27T23:59:59.999Z"},
        {"last month", "2018-07-01T00:00:00Z", "2018-07-31T23:59:59.999Z"},
        {"before today", NULL, "2018-08-27T23:59:59.999Z"},
        {"= 3 days before today", "2018-08-25T00:00:00Z", "2018-08-25T23:59:59.999Z"},
        {"= 3 hours before now", "2018-08-28T12:00:00Z", "2018-08-28T12:00:00Z"},
        {"> 3 weeks after date(2017,10,1)", "2017-10-23T00:00:00Z", NULL},
        {"between date(2017,10,1) and date(2017,12,31)", "2017-10-01T00:00:00Z",
         "2017-12-31T23:59:59.999Z"},
        {"between last month and last week", "2018-07-01T00:00:00Z", "2018-08-26T23:59:59.999Z"},
        {"<= 24 hours before now", "2018-08-27T15:00:00Z", "2018-08-28T15:00:00Z"},
        {"< 24 hours before now", "2018-08-27T15:00:00.001Z", "2018-08-28T15:00:00Z"},
        {">= 1 month after date(2018,1,31)", "2018-02-28T23:59:59.999Z", NULL},
        {"this decade", "2010-01-01T00:00:00Z", "2019-12-31T23:59:59.999Z"},
        {"next week", "2018-09-03T00:00:00Z", "2018-09-09T23:59:59.999Z"},
        {"<= 5 days from date(2018,3,15)", "2018-03-10T00:00:00Z", "2018-03-20T23:59:59.999Z"},
        {"<= 9223372036854775807 millennia before now", "0001-01-01T00:00:00Z",
         "2018-08-28T15:00:00Z"}};
    static const char now[] = "2018-08-28T15:00:00Z";
    char text[TR_TIME_TEXT_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *edges[] = {rows[i].first, rows[i].last};
        for (int side = 0; side < 2; side++) {
            int64_t us = 0;
            if (edges[side] == NULL)
                continue;
            CHECK(occurs(edges[side], now, rows[i].constraint));
            CHECK(tr_time_parse(tr_str_of(edges[side]), false, &us, NULL) == TR_OK);
            (void)tr_time_format(us + (side == 0 ? -1000 : 1000), text);
            if (i + 1 < sizeof rows / sizeof rows[0] || side == 1)
                CHECK(!occurs(text, now, rows[i].constraint));
        }
    }
}

static void a_match_that_runs_away_is_no_match(void)
{
    tr_arena arena = {0};
    tr_pql_regex *regex = NULL;
    tr_pql_matcher *matcher = NULL;
    tr_str group = {0};
    CHECK(tr_pql_matcher_open(&matcher, NULL) == TR_OK);
    CHECK(tr_pql_regex_make(tr_str_of("^(a+)+$"), &arena, &regex, NULL) == TR_OK);
    CHECK(!tr_pql_regex_find(regex, matcher, tr_str_of("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
                             0, NULL));
    CHECK(tr_pql_matcher_given_up(matcher) == 1);
    CHECK(tr_pql_regex_find(regex, matcher, tr_str_of("aaa"), 1, &group));
    CHECK(tr_str_is(group, "aaa"));
    CHECK(!tr_pql_regex_find(regex, matcher, (tr_str){0}, 0, NULL));
    tr_pql_matcher_close(matcher);
    tr_arena_free(&arena);
}

static void running_out_of_memory_is_an_answer(void)
{
    const tr_pql_schema schema = {.profile = world.profiles.shape.root,
                                  .event = world.events.shape.root};
    const char *text = "xEvent[eventType.matches(\"^a\") and productListItems.SKU in [1, 2]]"
                       ".groupBy(store).map((K, L) => mapEntry(K, L.count())).get(\"S1\") = \"3\"";
    tr_code code = TR_NO_MEMORY;
    for (uint64_t after = 0; after < 1000 && code != TR_OK; after++) {
        tr_arena arena = {0};
        tr_pql_node *tree = NULL;
        CHECK(tr_pql_parse(tr_str_of(text), &arena, &tree, NULL) == TR_OK);
        tr_memory_fail_after(after);
        code = tr_pql_check(tree, &schema, &arena, NULL);
        tr_memory_fail_after(UINT64_MAX);
        CHECK(code == TR_OK || code == TR_NO_MEMORY);
        tr_arena_free(&arena);
    }
    CHECK(code == TR_OK);
}

static bool open_world(void)
{
    json_t *json = json_load_file(world_path, 0, NULL);
    tr_err err = {0};
    const tr_code code = tr_pql_world_open(json_object_get(json, "schema"), &world, &err);
    if (code != TR_OK)
        printf("%s\n", err.text);
    json_decref(json);
    return code == TR_OK;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    table_path = argc > 2 ? argv[1] : "";
    world_path = argc > 2 ? argv[2] : "";
    if (!open_world())
        return 1;
    RUN(every_row_of_the_conformance_table_is_checked);
    RUN(errors_name_place_and_what_was_expected);
    RUN(what_fits_is_let_through);
    RUN(distances_end_where_the_reference_says);
    RUN(a_match_that_runs_away_is_no_match);
    RUN(running_out_of_memory_is_an_answer);
    tr_pql_world_close(&world);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
