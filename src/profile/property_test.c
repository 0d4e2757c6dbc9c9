/* SPDX-License-Identifier: Apache-2.0 */
/* property_test.c - goal: a filter holds for the values for which its words say so. Method: columns
 * of every kind with known values, each operator against the plain comparison of those values; and
 * texts that are none.
 */
#include "profile/property.h"
#include "base/test.h"

#include <math.h>

static int passed, failed;

enum { ROWS = 7 };

typedef struct world {
    tr_arena arena;
    tr_shape shape;
    tr_column columns[4];
    tr_column_builder *builders[4];
} world;

/* whole: 0..5 and none; real: halves of them, NaN; text: "0".."5"; when: noon of a day */
static void make(world *w)
{
    static const tr_kind kinds[] = {TR_KIND_INT64, TR_KIND_DOUBLE, TR_KIND_STRING,
                                    TR_KIND_TIMESTAMP};
    static const char *const names[] = {"whole", "real", "text", "when"};
    tr_type *root = tr_type_make(&w->arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *inner = tr_type_make(&w->arena, TR_KIND_OBJECT, tr_str_of("a"));
    for (int i = 0; i < 4; i++)
        CHECK(
            tr_type_add(&w->arena, inner, tr_type_make(&w->arena, kinds[i], tr_str_of(names[i]))));
    CHECK(tr_type_add(&w->arena, root, inner) &&
          tr_shape_make(&w->arena, root, &w->shape, NULL) == TR_OK);
    for (int i = 0; i < 4; i++)
        CHECK(tr_column_builder_open(&w->shape.leaves[i], &w->builders[i], NULL) == TR_OK);
    for (int row = 0; row < ROWS - 1; row++) {
        char text[2] = {(char)('0' + row), 0};
        const double real = row == 5 ? NAN : row / 2.0;
        uint64_t word;
        memcpy(&word, &real, sizeof word);
        CHECK(tr_column_add_word(w->builders[0], 0, (uint64_t)row, NULL) == TR_OK);
        CHECK(tr_column_add_word(w->builders[1], 0, word, NULL) == TR_OK);
        CHECK(tr_column_add_string(w->builders[2], 0, tr_str_of(text), NULL) == TR_OK);
        CHECK(tr_column_add_word(w->builders[3], 0, (uint64_t)row * 86400000000 + 43200000000,
                                 NULL) == TR_OK);
    }
    for (int i = 0; i < 4; i++) {
        CHECK(tr_column_add_null(w->builders[i], 0, 0, NULL) == TR_OK);
        CHECK(tr_column_builder_view(w->builders[i], &w->columns[i], NULL) == TR_OK);
    }
}

static void end(world *w)
{
    for (int i = 0; i < 4; i++)
        tr_column_builder_close(w->builders[i]);
    tr_arena_free(&w->arena);
}

/* Which rows a filter holds in, as "0110000"; "!" when it is refused. */
static const char *rows_of(const world *w, const char *text)
{
    static char out[ROWS + 1];
    tr_properties properties = {.count = 0};
    if (tr_property_add(&properties, tr_str_of(text), NULL) != TR_OK ||
        tr_property_bind(&properties, &w->shape, NULL) != TR_OK)
        return "!";
    for (uint32_t row = 0; row < ROWS; row++)
        out[row] = tr_property_hold(&properties, w->columns, row) ? '1' : '0';
    return out;
}

#define HOLDS(text, rows) CHECK(strcmp(rows_of(&w, text), rows) == 0)

static void each_operator_compares_as_it_says(void)
{
    world w = {0};
    make(&w);
    HOLDS("a.whole=2", "0010000");
    HOLDS("a.whole!=2", "1101111");
    HOLDS("a.whole<2", "1100000");
    HOLDS("a.whole <= 2", "1110000");
    HOLDS("a.whole>2", "0001110");
    HOLDS("a.whole>=2", "0011110");
    HOLDS("a.whole>=1.5", "0011110");
    HOLDS("a.whole<1.5", "1100000");
    HOLDS("a.whole=1.5", "0000000");
    HOLDS("a.real=1.5", "0001000");
    HOLDS("a.real!=1.5", "1110111");
    HOLDS("a.real>=1", "0011100");
    HOLDS("a.text=3", "0001000");
    HOLDS("a.text=\"3\"", "0001000");
    HOLDS("a.text>'3'", "0000110");
    end(&w);
}

static void a_date_stands_for_its_whole_day(void)
{
    world w = {0};
    make(&w);
    HOLDS("a.when=1970-01-03", "0010000");
    HOLDS("a.when=\"1970-01-03\"", "0010000");
    HOLDS("a.when!=19700103", "1101111");
    HOLDS("a.when<19700103", "1100000");
    HOLDS("a.when<=19700103", "1110000");
    HOLDS("a.when>19700103", "0001110");
    HOLDS("a.when>=19700103", "0011110");
    HOLDS("a.when>=1970-01-03T12:00:00Z", "0011110");
    HOLDS("a.when>1970-01-03T12:00:00Z", "0001110");
    end(&w);
}

static void what_is_no_filter_is_refused(void)
{
    static const char *const bad[] = {"",
                                      "a",
                                      "a.whole",
                                      "a.whole=",
                                      "=2",
                                      "a.whole=x",
                                      "a.whole=1e999",
                                      "a.b=1",
                                      "a=1",
                                      "a.whole=0x10",
                                      "a.when=x",
                                      "a.when=1970-13-01",
                                      "a.real=nan",
                                      "a.whole=99999999999999999999",
                                      "!!",
                                      "a.whole=\"\""};
    world w = {0};
    make(&w);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        HOLDS(bad[i], "!");
    tr_properties many = {.count = 0};
    for (int i = 0; i < TR_PROPERTIES_MAX; i++)
        CHECK(tr_property_add(&many, tr_str_of("a.whole=1"), NULL) == TR_OK);
    CHECK(tr_property_add(&many, tr_str_of("a.whole=1"), NULL) == TR_LIMIT);
    end(&w);
}

int main(void)
{
    RUN(each_operator_compares_as_it_says);
    RUN(a_date_stands_for_its_whole_day);
    RUN(what_is_no_filter_is_refused);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
