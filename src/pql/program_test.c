/* SPDX-License-Identifier: Apache-2.0 */
/* program_test.c - programs over the reference's profile and over small made ones.
 *
 * Every row of the conformance table has its result, as text and through JSON, alone and with all
 * others in one program; products of arrays are the same in chunks; sequences, segments of
 * segments, columns that contradict each other, cancel and failing memory.
 */
#include "pql/program.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/test.h"
#include "pql/check.h"
#include "pql/pql.h"
#include "pql/pql_world.h"

#include <assert.h>

enum { ROWS_MAX = 128 };

static const char *table_path, *world_path;
static tr_pql_world reference;
static int64_t reference_now;

typedef struct row {
    char line[1024];
    const char *text;
    bool is_error, is_true;
} row;
static row rows[ROWS_MAX];
static uint32_t row_count;

static tr_code column_of(void *ctx, tr_pql_table table, uint32_t leaf, const tr_column **out,
                         tr_err *err)
{
    const tr_pql_world *world = ctx;
    (void)err;
    *out = table == TR_PQL_EVENTS ? &world->events.columns[leaf] : &world->profiles.columns[leaf];
    return TR_OK;
}

static tr_pql_input input_of(tr_pql_world *world)
{
    return (tr_pql_input){.profiles = world->profiles.rows,
                          .event_start = world->event_start,
                          .column = column_of,
                          .ctx = world};
}

static tr_code add(tr_pql_program *program, const tr_pql_world *world, tr_arena *arena,
                   const char *id, const char *text, bool is_by_json, tr_err *err)
{
    tr_pql_node *tree = NULL;
    json_t *json = NULL;
    const tr_pql_schema schema = {.profile = world->profiles.shape.root,
                                  .event = world->events.shape.root};
    TR_TRY(tr_pql_parse(tr_str_of(text), arena, &tree, err));
    if (is_by_json) {
        TR_TRY(tr_pql_write_json(tree, &json, err));
        const tr_code code = tr_pql_read_json(json, arena, &tree, err);
        json_decref(json);
        TR_TRY(code);
    }
    TR_TRY(tr_pql_check(tree, &schema, arena, err));
    return tr_pql_program_add(program, tr_str_of(id), tree, err);
}

/* The masks of texts over a world; TR_OK, or what failed. */
static tr_code evaluate(tr_pql_world *world, const char *const *texts, uint32_t count,
                        bool is_by_json, uint8_t *const *masks, tr_err *err)
{
    tr_arena arena = {0};
    tr_pql_program *program = NULL;
    tr_pql_run *run = NULL;
    const tr_pql_input input = input_of(world);
    tr_code code = tr_pql_program_open(&world->profiles.shape, &world->events.shape, &program, err);
    for (uint32_t i = 0; i < count && code == TR_OK; i++) {
        char id[16];
        (void)snprintf(id, sizeof id, "s%u", i);
        code = add(program, world, &arena, tr_arena_text(&arena, tr_str_of(id)), texts[i],
                   is_by_json, err);
    }
    if (code == TR_OK)
        code = tr_pql_run_open(program, reference_now, &run, err);
    if (code == TR_OK)
        code = tr_pql_run_masks(run, &input, masks, err);
    tr_pql_run_close(run);
    tr_pql_program_close(program);
    tr_arena_free(&arena);
    return code;
}

static bool is_true(tr_pql_world *world, const char *text, bool is_by_json)
{
    uint8_t mask[64] = {2};
    uint8_t *const masks[] = {mask};
    tr_err err = {0};
    if (evaluate(world, &text, 1, is_by_json, masks, &err) != TR_OK) {
        printf("%s\n  %s\n", text, err.text);
        tr_test_failures++;
    }
    return mask[0] == 1;
}

static void every_row_of_the_conformance_table_has_its_result(void)
{
    for (uint32_t i = 0; i < row_count; i++)
        for (int json = 0; json < 2 && !rows[i].is_error; json++) {
            const bool is = is_true(&reference, rows[i].text, json != 0);
            if (is != rows[i].is_true)
                printf("%u%s %s\n", i + 1, json ? " (JSON)" : "", rows[i].text);
            CHECK(is == rows[i].is_true);
        }
}

static void all_rows_in_one_program_have_the_same_results(void)
{
    const char *texts[ROWS_MAX];
    static uint8_t bytes[ROWS_MAX];
    uint8_t *masks[ROWS_MAX];
    uint32_t count = 0, at = 0;
    tr_err err = {0};
    for (uint32_t i = 0; i < row_count; i++)
        if (!rows[i].is_error) {
            masks[count] = &bytes[count];
            texts[count++] = rows[i].text;
        }
    CHECK(evaluate(&reference, texts, count, false, masks, &err) == TR_OK);
    for (uint32_t i = 0; i < row_count; i++)
        if (!rows[i].is_error) {
            if (bytes[at] != rows[i].is_true)
                printf("%s\n", rows[i].text);
            CHECK(bytes[at++] == rows[i].is_true);
        }
}

/* ---- small worlds */

static void open_small(tr_pql_world *world, const char *schema)
{
    json_t *json = NULL;
    tr_err err = {0};
    CHECK(tr_json_parse(tr_str_of(schema), &json, &err) == TR_OK);
    CHECK(tr_pql_world_open(json, world, &err) == TR_OK);
    json_decref(json);
}

static void add_small(tr_pql_world *world, const char *text)
{
    json_t *json = NULL;
    tr_err err = {0};
    CHECK(tr_json_parse(tr_str_of(text), &json, &err) == TR_OK);
    const tr_code code = tr_pql_world_add(world, json, &err);
    if (code != TR_OK)
        printf("%s\n  %s\n", text, err.text);
    CHECK(code == TR_OK);
    json_decref(json);
}

/* One profile with `count` events, one a minute; event i has n = i. */
static void add_events(tr_pql_world *world, uint32_t count)
{
    tr_buf json = {0};
    CHECK(tr_buf_append(&json, tr_str_of("{\"profile\":{\"a\":1},\"events\":["), NULL) == TR_OK);
    for (uint32_t i = 0; i < count; i++)
        CHECK(tr_buf_format(&json, NULL, "%s{\"n\":%u,\"t\":\"2024-03-%02uT%02u:%02u:00Z\"}",
                            i == 0 ? "" : ",", i, 1 + i / 1440, i / 60 % 24, i % 60) == TR_OK);
    CHECK(tr_buf_append(&json, tr_str_of("]}\0"), NULL) == TR_OK);
    CHECK(tr_buf_append(&json, (tr_str){(const uint8_t *)"", 1}, NULL) == TR_OK);
    add_small(world, (const char *)json.at);
    tr_buf_free(&json);
}

/* 2500 events are 6,250,000 pairs: more than TR_PQL_PAIRS_MAX. */
static void a_product_too_large_to_be_held_is_counted_in_chunks(void)
{
    enum { EVENTS = 2500 };
    tr_pql_world world;
    char text[200];
    static_assert((int64_t)EVENTS * EVENTS > TR_PQL_PAIRS_MAX, "one chunk is no test");
    open_small(&world,
               "{\"profile\":{\"a\":\"int\"},\"event\":{\"n\":\"int\",\"t\":\"timestamp\"}}");
    add_events(&world, EVENTS);
    CHECK(tr_pql_world_finish(&world, NULL) == TR_OK);
    (void)snprintf(text, sizeof text,
                   "(select X from xEvent, Y from xEvent where Y.n > X.n).count() = %d",
                   EVENTS * (EVENTS - 1) / 2);
    CHECK(is_true(&world, text, false));
    (void)snprintf(text, sizeof text,
                   "(select X from xEvent where (one Z from xEvent where Z.n = X.n), Y from xEvent "
                   "where Y.t occurs = 2 minutes after X.t).count() = %d",
                   EVENTS - 2);
    CHECK(is_true(&world, text, false));
    CHECK(is_true(&world, "(sum X.n - Y.n over X from xEvent, Y from xEvent) = 0", false));
    CHECK(is_true(&world, "xEvent.exists(xEvent.filter(n = ^n).count() = 1)", false));
    tr_pql_world_close(&world);
}

static void a_sequence_with_labels_tries_later_events(void)
{
    tr_pql_world world;
    open_small(&world,
               "{\"profile\":{\"a\":\"int\"},\"event\":{\"n\":\"int\",\"t\":\"timestamp\"}}");
    add_events(&world, 2000);
    CHECK(tr_pql_world_finish(&world, NULL) == TR_OK);
    /* The first n % 7 = 0 that works is not the first one. */
    CHECK(is_true(
        &world,
        "chain(xEvent, t, [A: WHAT(n % 7 = 0), B: WHAT(n = 1990) WHEN(<= 3 minutes after A)])",
        false));
    CHECK(!is_true(
        &world,
        "chain(xEvent, t, [A: WHAT(n % 7 = 0), B: WHAT(n = 1994) WHEN(< 1 minute after A)])",
        false));
    /* Every A is tried, each fails far behind: noted failures keep this short. */
    CHECK(!is_true(
        &world,
        "chain(xEvent, t, [A: WHAT(n >= 0), B: WHAT(n >= 0) WHEN(after A), C: WHAT(n >= 0) "
        "WHEN(after B), D: WHAT(n >= 0) WHEN(> 1 year after C)])",
        false));
    tr_pql_world_close(&world);
}

static void a_sequence_that_would_take_for_ever_is_refused(void)
{
    uint8_t mask[1];
    uint8_t *const masks[] = {mask};
    tr_pql_world world;
    tr_err err = {0};
    const char *text = "chain(xEvent, t, [A: WHAT(n >= 0), B: WHAT(n >= 0), C: WHAT(n >= 0), "
                       "D: WHAT(n >= 0) WHEN(> 1 year after A), E: WHAT(n >= 0) WHEN(after B)])";
    open_small(&world,
               "{\"profile\":{\"a\":\"int\"},\"event\":{\"n\":\"int\",\"t\":\"timestamp\"}}");
    add_events(&world, 2000);
    CHECK(tr_pql_world_finish(&world, NULL) == TR_OK);
    CHECK(evaluate(&world, &text, 1, false, masks, &err) == TR_LIMIT);
    CHECK(strstr(err.text, "a sequence needs more than") != NULL);
    tr_pql_world_close(&world);
}

static void a_segment_of_a_segment_is_evaluated_in_the_same_run(void)
{
    static const char *const texts[] = {"loyalty.points > 100", "inSegment(\"s0\") and flags.optIn",
                                        "inSegment(\"seg-a\") and not inSegment(\"s1\")",
                                        "inSegment(\"later\")"};
    uint8_t bytes[4];
    uint8_t *const masks[] = {bytes, bytes + 1, bytes + 2, bytes + 3};
    CHECK(evaluate(&reference, texts, 4, false, masks, NULL) == TR_OK);
    CHECK(bytes[0] == 1 && bytes[1] == 1 && bytes[2] == 0 && bytes[3] == 0);
}

static void events_may_be_an_array_of_the_profile(void)
{
    tr_pql_world world;
    tr_arena arena = {0};
    tr_pql_program *program = NULL;
    tr_pql_run *run = NULL;
    tr_pql_node *tree = NULL;
    uint8_t mask[2];
    uint8_t *const masks[] = {mask};
    open_small(&world,
               "{\"profile\":{\"timeSeriesEvents\":[{\"n\":\"int\"}]},\"event\":{\"n\":\"int\"}}");
    add_small(&world, "{\"profile\":{\"timeSeriesEvents\":[{\"n\":1},{\"n\":2}]},\"events\":[]}");
    add_small(&world, "{\"profile\":{},\"events\":[]}");
    CHECK(tr_pql_world_finish(&world, NULL) == TR_OK);
    const tr_pql_schema schema = {.profile = world.profiles.shape.root};
    const tr_pql_input input = input_of(&world);
    CHECK(tr_pql_parse(tr_str_of("xEvent.sum(n) = 3 or not xEvent.isNotNull()"), &arena, &tree,
                       NULL) == TR_OK);
    CHECK(tr_pql_check(tree, &schema, &arena, NULL) == TR_OK);
    CHECK(tr_pql_program_open(&world.profiles.shape, NULL, &program, NULL) == TR_OK);
    CHECK(tr_pql_program_add(program, (tr_str){0}, tree, NULL) == TR_OK);
    CHECK(tr_pql_program_reads(program, TR_PQL_PROFILES, 0) &&
          !tr_pql_program_reads_events(program));
    CHECK(tr_pql_run_open(program, reference_now, &run, NULL) == TR_OK);
    CHECK(tr_pql_run_masks(run, &input, masks, NULL) == TR_OK && mask[0] == 1 && mask[1] == 0);
    CHECK(tr_pql_run_masks(run, &input, masks, NULL) == TR_OK && mask[0] == 1 && mask[1] == 0);
    tr_pql_run_close(run);
    tr_pql_program_close(program);
    tr_arena_free(&arena);
    tr_pql_world_close(&world);
}

/* ---- what goes wrong */

static void what_was_not_checked_is_refused(void)
{
    tr_arena arena = {0};
    tr_pql_program *program = NULL;
    tr_pql_node *tree = NULL;
    const tr_pql_schema none = {0};
    CHECK(tr_pql_parse(tr_str_of("a.b = 1"), &arena, &tree, NULL) == TR_OK);
    CHECK(tr_pql_program_open(&reference.profiles.shape, NULL, &program, NULL) == TR_OK);
    CHECK(tr_pql_program_add(program, (tr_str){0}, tree, NULL) == TR_INVALID);
    CHECK(tr_pql_check(tree, &none, &arena, NULL) == TR_OK);
    CHECK(tr_pql_program_add(program, (tr_str){0}, tree, NULL) == TR_INVALID);
    CHECK(tr_pql_program_count(program) == 0);
    tr_pql_program_close(program);
    tr_arena_free(&arena);
}

typedef struct bad_columns {
    tr_column columns[16];
    uint8_t def[16];
} bad_columns;

static tr_code bad_column_of(void *ctx, tr_pql_table table, uint32_t leaf, const tr_column **out,
                             tr_err *err)
{
    bad_columns *bad = ctx;
    (void)table;
    (void)err;
    *out = &bad->columns[leaf];
    return TR_OK;
}

/* Flips each level of each leaf of an array of objects with arrays; every answer is a mask or an
 * error. */
static void columns_that_contradict_each_other_are_found(void)
{
    tr_pql_world world;
    tr_arena arena = {0};
    tr_pql_program *program = NULL;
    tr_pql_run *run = NULL;
    uint8_t mask[2];
    uint8_t *const masks[] = {mask};
    bad_columns bad;
    uint32_t corrupt = 0;
    open_small(&world,
               "{\"profile\":{\"o\":[{\"a\":\"int\",\"l\":[\"string\"],\"m\":{\"*\":\"int\"}}]},"
               "\"event\":{\"n\":\"int\"}}");
    add_small(&world,
              "{\"profile\":{\"o\":[{\"a\":1,\"l\":[\"x\",\"y\"],\"m\":{\"k\":1}},{\"l\":[]}]}}");
    add_small(&world, "{\"profile\":{\"o\":[{\"a\":2}]}}");
    CHECK(tr_pql_world_finish(&world, NULL) == TR_OK);
    CHECK(tr_pql_program_open(&world.profiles.shape, &world.events.shape, &program, NULL) == TR_OK);
    CHECK(add(program, &world, &arena, "",
              "o.l.count() = 2 and o[m.get(\"k\") = 1].a = 1 and o.exists(l)", false,
              NULL) == TR_OK);
    CHECK(tr_pql_run_open(program, reference_now, &run, NULL) == TR_OK);
    tr_pql_input input = input_of(&world);
    input.column = bad_column_of;
    input.ctx = &bad;
    for (uint32_t leaf = 0; leaf < world.profiles.shape.leaf_count; leaf++) {
        const tr_column *good = &world.profiles.columns[leaf];
        for (uint32_t e = 0; e < good->entries; e++)
            for (int level = 0; level < 16; level++) {
                memcpy(bad.columns, world.profiles.columns,
                       world.profiles.shape.leaf_count * sizeof(tr_column));
                memcpy(bad.def, level < 8 ? good->def : good->rep, good->entries);
                bad.def[e] = (uint8_t)(level % 8);
                *(level < 8 ? &bad.columns[leaf].def : &bad.columns[leaf].rep) = bad.def;
                const tr_code code = tr_pql_run_masks(run, &input, masks, NULL);
                CHECK(code == TR_OK || code == TR_CORRUPT);
                corrupt += code == TR_CORRUPT;
            }
    }
    CHECK(corrupt > 50);
    tr_pql_run_close(run);
    tr_pql_program_close(program);
    tr_arena_free(&arena);
    tr_pql_world_close(&world);
}

static const char *const hungry =
    "xEvent[eventType in [\"checkout\"]].groupBy(store).map((K, L) => mapEntry(K, "
    "L.topN(commerce.order."
    "priceTotal, 1).head().page)).keys().distinct().count() > 1 and chain(xEvent, timestamp, [A: "
    "WHAT(eventType.equals(\"A\", false))]) or identityMap.get(\"Email\").id.matches(\"a\")";

static void running_out_of_memory_is_an_answer(void)
{
    tr_arena arena = {0};
    tr_pql_node *tree = NULL;
    tr_code code = TR_NO_MEMORY;
    uint8_t mask[1];
    uint8_t *const masks[] = {mask};
    const tr_pql_input input = input_of(&reference);
    const tr_pql_schema schema = {.profile = reference.profiles.shape.root,
                                  .event = reference.events.shape.root};
    CHECK(tr_pql_parse(tr_str_of(hungry), &arena, &tree, NULL) == TR_OK);
    CHECK(tr_pql_check(tree, &schema, &arena, NULL) == TR_OK);
    for (uint64_t after = 0; after < 2000 && code != TR_OK; after++) {
        tr_pql_program *program = NULL;
        tr_pql_run *run = NULL;
        tr_memory_fail_after(after);
        code =
            tr_pql_program_open(&reference.profiles.shape, &reference.events.shape, &program, NULL);
        if (code == TR_OK)
            code = tr_pql_program_add(program, (tr_str){0}, tree, NULL);
        if (code == TR_OK)
            code = tr_pql_run_open(program, reference_now, &run, NULL);
        if (code == TR_OK)
            code = tr_pql_run_masks(run, &input, masks, NULL);
        tr_memory_fail_after(UINT64_MAX);
        CHECK(code == TR_OK || code == TR_NO_MEMORY);
        tr_pql_run_close(run);
        tr_pql_program_close(program);
    }
    CHECK(code == TR_OK);
    tr_arena_free(&arena);
}

static void a_run_can_be_cancelled(void)
{
    tr_arena arena = {0};
    tr_pql_program *program = NULL;
    tr_pql_run *run = NULL;
    uint8_t mask[1];
    uint8_t *const masks[] = {mask};
    atomic_bool cancel = true;
    tr_pql_input input = input_of(&reference);
    input.cancel = &cancel;
    CHECK(tr_pql_program_open(&reference.profiles.shape, &reference.events.shape, &program, NULL) ==
          TR_OK);
    CHECK(add(program, &reference, &arena, "", hungry, false, NULL) == TR_OK);
    CHECK(tr_pql_run_open(program, reference_now, &run, NULL) == TR_OK);
    CHECK(tr_pql_run_masks(run, &input, masks, NULL) == TR_CANCELLED);
    cancel = false;
    CHECK(tr_pql_run_masks(run, &input, masks, NULL) == TR_OK);
    CHECK(tr_pql_run_time_us(run, 0) >= 0 && tr_pql_run_given_up(run) == 0);
    tr_pql_run_close(run);
    tr_pql_program_close(program);
    tr_arena_free(&arena);
}

static void read_table(void)
{
    FILE *file = fopen(table_path, "r");
    while (file != NULL && row_count < ROWS_MAX &&
           fgets(rows[row_count].line, sizeof rows[0].line, file) != NULL) {
        row *r = &rows[row_count++];
        char *result = strchr(r->line, '\t') + 1, *text = strchr(result, '\t') + 1;
        text[strcspn(text, "\n")] = '\0';
        r->text = text;
        r->is_error = strncmp(result, "error", 5) == 0;
        r->is_true = strncmp(result, "true", 4) == 0;
    }
    if (file != NULL)
        (void)fclose(file);
}

static bool read_world(void)
{
    json_t *json = json_load_file(world_path, 0, NULL), *one;
    size_t index;
    tr_err err = {0};
    tr_code code = tr_pql_world_open(json_object_get(json, "schema"), &reference, &err);
    json_array_foreach(json_object_get(json, "rows"), index, one)
    {
        if (code == TR_OK)
            code = tr_pql_world_add(&reference, one, &err);
    }
    if (code == TR_OK)
        code = tr_pql_world_finish(&reference, &err);
    if (code == TR_OK)
        code = tr_time_parse(tr_str_of(tr_json_text(json, "now", "")), true, &reference_now, &err);
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
    read_table();
    if (!read_world())
        return 1;
    RUN(every_row_of_the_conformance_table_has_its_result);
    RUN(all_rows_in_one_program_have_the_same_results);
    RUN(a_product_too_large_to_be_held_is_counted_in_chunks);
    RUN(a_sequence_with_labels_tries_later_events);
    RUN(a_sequence_that_would_take_for_ever_is_refused);
    RUN(a_segment_of_a_segment_is_evaluated_in_the_same_run);
    RUN(events_may_be_an_array_of_the_profile);
    RUN(what_was_not_checked_is_refused);
    RUN(columns_that_contradict_each_other_are_found);
    RUN(running_out_of_memory_is_an_answer);
    RUN(a_run_can_be_cancelled);
    tr_pql_world_close(&reference);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
