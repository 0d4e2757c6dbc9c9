/* SPDX-License-Identifier: Apache-2.0 */
/* program_test.c - programs over the reference's profile and over small made ones.
 *
 * Every row of the conformance table has its result, as text and through JSON, alone and with all
 * others in one program; products of arrays are the same in chunks; sequences, segments of
 * segments, columns that contradict each other, cancel and failing memory.
 */
#include "pql/program.h"

#include "base/clock.h"
#include "base/test.h"
#include "pql/check.h"
#include "pql/pql.h"
#include "pql/pql_world.h"

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
    tr_pql_world_close(&reference);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
