/* SPDX-License-Identifier: Apache-2.0 */
/* pql_eval.c - expressions over rows, for tests in other languages.
 *
 *     pql_eval WORLD.json [--together N] [--pairs N] < expressions
 *
 * One expression a line: text, or a pql/json node when it begins with {.
 *
 * WORLD is {"schema": {"profile", "event"}, "now": instant, "rows": [{"profile", "events"}]} (see
 * pql_world.h). Prints a line an expression: "error", tab, why; or the mask as 0s and 1s, tab, the
 * expression as pql/json. --together: so many lines are one program (100). --pairs: so many rows of
 * a product are looked at together (TR_PQL_PAIRS_MAX).
 */
#include "base/clock.h"
#include "pql/check.h"
#include "pql/eval_internal.h"
#include "pql/pql.h"
#include "pql/pql_world.h"
#include "pql/program.h"

#include <stdio.h>
#include <stdlib.h>

enum { TOGETHER_MAX = 1000 };

typedef struct driver {
    tr_pql_world world;
    int64_t now;
    uint32_t together, pairs, count;
    tr_arena arena;
    tr_pql_program *program;
    char *trees[TOGETHER_MAX]; /* JSON, or NULL */
    char errors[TOGETHER_MAX][500];
    uint8_t *masks[TOGETHER_MAX];
} driver;

static tr_code column_of(void *ctx, tr_pql_table table, uint32_t leaf, const tr_column **out,
                         tr_err *err)
{
    tr_pql_world *world = ctx;
    (void)err;
    *out = table == TR_PQL_EVENTS ? &world->events.columns[leaf] : &world->profiles.columns[leaf];
    return TR_OK;
}

static tr_code read_world(driver *d, const char *path, tr_err *err)
{
    json_t *json = json_load_file(path, 0, NULL), *row;
    size_t index;
    if (json == NULL)
        return TR_FAIL(err, TR_INVALID, "%s is no JSON", path);
    tr_code code = tr_pql_world_open(json_object_get(json, "schema"), &d->world, err);
    json_array_foreach(json_object_get(json, "rows"), index, row)
    {
        if (code == TR_OK)
            code = tr_pql_world_add(&d->world, row, err);
    }
    if (code == TR_OK)
        code = tr_pql_world_finish(&d->world, err);
    if (code == TR_OK)
        code = tr_time_parse(tr_str_of(tr_json_text(json, "now", "")), true, &d->now, err);
    json_decref(json);
    return code;
}

static tr_code read_tree(driver *d, tr_str line, tr_pql_node **out, tr_err *err)
{
    json_t *json;
    if (line.len == 0 || line.at[0] != '{')
        return tr_pql_parse(line, &d->arena, out, err);
    TR_TRY(tr_json_parse(line, &json, err));
    const tr_code code = tr_pql_read_json(json, &d->arena, out, err);
    json_decref(json);
    return code;
}

static tr_code add(driver *d, tr_str line, tr_err *err)
{
    tr_pql_node *tree;
    json_t *json;
    const tr_pql_schema schema = {.profile = d->world.profiles.shape.root,
                                  .event = d->world.events.shape.root};
    TR_TRY(read_tree(d, line, &tree, err));
    TR_TRY(tr_pql_check(tree, &schema, &d->arena, err));
    TR_TRY(tr_pql_write_json(tree, &json, err));
    d->trees[d->count] = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return tr_pql_program_add(d->program, (tr_str){0}, tree, err);
}

static tr_code run_program(driver *d, tr_err *err)
{
    tr_pql_run *run = NULL;
    const tr_pql_input input = {.profiles = d->world.profiles.rows,
                                .event_start = d->world.event_start,
                                .column = column_of,
                                .ctx = &d->world};
    const uint32_t trees = tr_pql_program_count(d->program);
    for (uint32_t i = 0; i < trees; i++)
        if (d->masks[i] == NULL && (d->masks[i] = malloc(input.profiles + 1)) == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for masks");
    TR_TRY(tr_pql_run_open(d->program, d->now, &run, err));
    run->pairs_max = d->pairs;
    const tr_code code = tr_pql_run_masks(run, &input, d->masks, err);
    tr_pql_run_close(run);
    return code;
}

static tr_code flush(driver *d, tr_err *err)
{
    const tr_code code = run_program(d, err);
    uint32_t at = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        if (d->errors[i][0] != '\0') {
            printf("error\t%s\n", d->errors[i]);
        } else if (code != TR_OK) {
            printf("error\t%s\n", err->text);
        } else {
            for (uint32_t row = 0; row < d->world.profiles.rows; row++)
                putchar('0' + d->masks[at][row]);
            printf("\t%s\n", d->trees[i]);
            at++;
        }
        free(d->trees[i]);
        d->trees[i] = NULL;
    }
    d->count = 0;
    tr_pql_program_close(d->program);
    d->program = NULL;
    tr_arena_reset(&d->arena);
    return TR_OK;
}

static tr_code take_line(driver *d, char *line, tr_err *err)
{
    tr_err why = {0};
    if (d->program == NULL)
        TR_TRY(tr_pql_program_open(&d->world.profiles.shape, &d->world.events.shape, &d->program,
                                   err));
    line[strcspn(line, "\n")] = '\0';
    const tr_str text = tr_arena_copy(&d->arena, tr_str_of(line));
    const tr_code code = add(d, text, &why);
    (void)snprintf(d->errors[d->count], sizeof d->errors[0], "%s", code == TR_OK ? "" : why.text);
    d->count++;
    return d->count == d->together ? flush(d, err) : TR_OK;
}

int main(int argc, char **argv)
{
    static driver d = {.together = 100, .pairs = TR_PQL_PAIRS_MAX};
    char *line = NULL;
    size_t cap = 0;
    tr_err err = {0};
    for (int i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--together") == 0)
            d.together = (uint32_t)atoi(argv[i + 1]);
        if (strcmp(argv[i], "--pairs") == 0)
            d.pairs = (uint32_t)atoi(argv[i + 1]);
    }
    if (argc < 2 || d.together == 0 || d.together > TOGETHER_MAX)
        return 2;
    tr_code code = read_world(&d, argv[1], &err);
    while (code == TR_OK && getline(&line, &cap, stdin) > 0)
        code = take_line(&d, line, &err);
    if (code == TR_OK && d.count > 0)
        code = flush(&d, &err);
    if (code != TR_OK)
        fprintf(stderr, "%s\n", err.text);
    free(line);
    for (uint32_t i = 0; i < TOGETHER_MAX; i++)
        free(d.masks[i]);
    tr_pql_program_close(d.program);
    tr_arena_free(&d.arena);
    tr_pql_world_close(&d.world);
    return code != TR_OK;
}
