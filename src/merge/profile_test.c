/* SPDX-License-Identifier: Apache-2.0 */
/* profile_test.c - goal: a profile looked up by its key is the row that an export has of it, and
 * its
 * events are that row's timeSeriesEvents; with runs read through a cache or not. Method: the
 * random
 * worlds of model.c, every person of each; also of many identities, out of plain runs.
 */
#include "base/test.h"
#include "merge/model_internal.h"
#include "parquet/cache.h"

#include <string.h>

enum { WORLDS = 60 };

static int passed, failed;

/* Columns as rows of JSON: written as a file and read as the model reads one. */
static json_t *rows_of(const tr_shape *shape, const tr_column *columns, uint32_t rows)
{
    tr_buf file = {0};
    tr_parquet_writer *writer = NULL;
    tr_parquet_file *parquet = NULL;
    json_t *out = NULL;
    tr_err err = {0};
    if (rows == 0)
        return json_array();
    tr_code code = tr_parquet_writer_open((tr_sink){tr_model_sink, &file}, shape,
                                          &(tr_parquet_options){0}, &writer, &err);
    if (code == TR_OK)
        code = tr_parquet_begin_group(writer, rows, &err);
    for (uint32_t leaf = 0; leaf < shape->leaf_count && code == TR_OK; leaf++)
        code = tr_parquet_put(writer, leaf, &columns[leaf], &err);
    if (code == TR_OK)
        code = tr_parquet_end_group(writer, &err);
    if (code == TR_OK)
        code = tr_parquet_finish(writer, &err);
    tr_parquet_writer_close(writer);
    if (code == TR_OK)
        code = tr_parquet_open(tr_buf_str(&file), &parquet, &err);
    if (code == TR_OK)
        code = tr_model_read(parquet, &out, &err);
    if (code != TR_OK)
        printf("%s\n", err.text);
    tr_parquet_close(parquet);
    tr_buf_free(&file);
    return out;
}

typedef struct lookup {
    const model_world *world;
    tr_merge_spec spec, event_spec;
    tr_shape event_shape;
    tr_merge_plan *plan, *event_plan;
    bool has_events;
} lookup;

static tr_code open_lookup(lookup *l, tr_arena *arena)
{
    const uint32_t unit = tr_shape_unit(l->spec.output, tr_str_of("timeSeriesEvents"));
    l->spec.is_lookup = true;
    l->has_events = l->spec.with_events && unit != UINT32_MAX;
    l->spec.with_events = false;
    TR_TRY(tr_merge_plan_open(&l->spec, &l->plan, NULL));
    if (!l->has_events)
        return TR_OK;
    tr_type *root = tr_type_copy(arena, l->spec.output->units[unit].type->children[0]);
    root->name = tr_str_of("");
    TR_TRY(tr_shape_make(arena, root, &l->event_shape, NULL));
    l->event_spec = l->spec;
    l->event_spec.output = &l->event_shape;
    l->event_spec.is_of_events = true;
    return tr_merge_plan_open(&l->event_spec, &l->event_plan, NULL);
}

static bool say_difference(const char *what, const json_t *expected, const json_t *got)
{
    char *a = json_dumps(expected, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char *b = json_dumps(got, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    printf("%s\n  expected %s\n  got      %s\n", what, a, b);
    free(a);
    free(b);
    return false;
}

/* All events of a person, page by page. */
static json_t *page_events(const lookup *l, const tr_merge_identity *who, uint32_t count,
                           uint32_t limit, bool is_descending)
{
    tr_arena arena = {0};
    json_t *all = json_array();
    tr_merge_page page = {.from_us = TR_TIME_NONE,
                          .before_us = TR_TIME_NONE,
                          .limit = limit,
                          .is_descending = is_descending};
    tr_merge_events events = {.next = {.at = (const uint8_t *)"", .len = 0}};
    tr_err err = {0};
    while (events.next.at != NULL) {
        tr_code code = tr_merge_events_get(l->event_plan, who, count, &page, &arena, &events, &err);
        if (code != TR_OK) {
            printf("%s\n", err.text);
            json_decref(all);
            all = NULL;
            break;
        }
        json_t *rows = rows_of(&l->event_shape, events.columns, events.count);
        (void)json_array_extend(all, rows);
        json_decref(rows);
        page.start = events.next;
    }
    tr_arena_free(&arena);
    return all;
}

static bool check_events(const lookup *l, const tr_merge_identity *who, uint32_t count,
                         const json_t *expected)
{
    bool is_good = true;
    static const uint32_t limits[] = {1, 3, 1000};
    for (size_t i = 0; i < 3 && is_good; i++) {
        json_t *down = json_array(), *up = page_events(l, who, count, limits[i], false);
        json_t *read_down = page_events(l, who, count, limits[i], true);
        for (size_t e = json_array_size(expected); e-- > 0;)
            (void)json_array_append(down, json_array_get(expected, e));
        if (json_array_size(expected) == 0 ? json_array_size(up) != 0 : !json_equal(expected, up))
            is_good = say_difference("events", expected, up);
        if (is_good && !json_equal(down, read_down))
            is_good = say_difference("events, newest first", down, read_down);
        json_decref(up);
        json_decref(down);
        json_decref(read_down);
    }
    return is_good;
}

/* *at is the place of the next expected row. */
static bool check_person(const lookup *l, const tr_merge_identity *who, uint32_t count,
                         const json_t *expected, size_t *at)
{
    tr_arena arena = {0};
    tr_merge_profile found = {0};
    tr_err err = {0};
    bool is_good = true;
    const tr_code code = tr_merge_profile_get(l->plan, who, count, &arena, &found, &err);
    if (code == TR_OK) {
        json_t *row = json_array_get(expected, *at);
        json_t *rest = json_copy(row);
        json_t *got = rows_of(l->spec.output, found.columns, 1);
        (void)json_object_del(rest, "timeSeriesEvents");
        if (row == NULL || !json_equal(rest, json_array_get(got, 0)))
            is_good = say_difference("profile", rest, json_array_get(got, 0));
        if (is_good && l->has_events)
            is_good = check_events(l, who, count, json_object_get(row, "timeSeriesEvents"));
        CHECK(found.fragment_count > 0);
        json_decref(rest);
        json_decref(got);
        (*at)++;
    } else if (code != TR_NOT_FOUND) {
        printf("%s\n", err.text);
        is_good = false;
    }
    tr_arena_free(&arena);
    return is_good;
}

static bool check_world(uint64_t seed, tr_chunk_cache *cache)
{
    const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
    model_request request;
    tr_arena arena = {0};
    model_world *world = NULL;
    lookup l = {0};
    if (model_world_open(seed, &world, NULL) != TR_OK)
        return false;
    model_request_make(world, &request);
    request.updated_after_us = request.event_after_us = request.event_before_us = TR_TIME_NONE;
    const tr_snapshot snapshot = {.runs = runs, .run_count = model_list_runs(world, runs)};
    for (uint32_t r = 0; r < snapshot.run_count && cache != NULL; r++)
        CHECK(tr_parquet_use_cache(runs[r]->file, cache, NULL) == TR_OK);
    json_t *counts = json_object(), *expected = model_export(world, &request, counts);
    l.world = world;
    l.spec = model_spec(world, &snapshot, &request);
    bool is_good = open_lookup(&l, &arena) == TR_OK;
    size_t at = 0;
    for (uint32_t i = 0; i < world->people && is_good; i++) {
        const uint32_t p = world->by_key[i];
        tr_merge_identity who[MODEL_MEMBERS_MAX] = {0};
        memcpy(who[0].key, world->keys[p], sizeof who[0].key);
        if (request.is_stitched && world->anchor[p] != p)
            continue;
        is_good = check_person(&l, who, request.is_stitched ? model_members(world, p, who) : 1,
                               expected, &at);
    }
    if (is_good && at != json_array_size(expected)) {
        printf("expected %zu profiles, found %zu\n", json_array_size(expected), at);
        is_good = false;
    }
    tr_merge_plan_close(l.plan);
    tr_merge_plan_close(l.event_plan);
    json_decref(expected);
    json_decref(counts);
    model_world_close(world);
    tr_arena_free(&arena);
    return is_good;
}

static void a_profile_is_the_row_that_an_export_has_of_it(void)
{
    uint64_t seed = tr_test_seed(0x51ab);
    static const uint64_t sizes[] = {0, UINT64_MAX, 64 * 1024};
    for (int i = 0; i < WORLDS && tr_test_failures == 0; i++) {
        tr_chunk_cache *cache = NULL;
        if (i % 3 != 0)
            CHECK(tr_chunk_cache_open(sizes[i % 3], &cache, NULL) == TR_OK);
        const bool is_good = check_world(seed, cache);
        if (!is_good)
            printf("TR_SEED=0x%llx, world %d\n", (unsigned long long)seed, i);
        CHECK(is_good);
        tr_chunk_cache_close(cache);
        (void)tr_test_random(&seed);
    }
}

static void what_nobody_knows_is_not_found(void)
{
    const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
    const tr_merge_identity nobody = {0}, stranger = {.key = {1, 2, 3}};
    model_world *world = NULL;
    model_request request;
    tr_merge_plan *plan = NULL;
    tr_arena arena = {0};
    tr_merge_profile found;
    CHECK(model_world_open(9, &world, NULL) == TR_OK);
    model_request_make(world, &request);
    request.with_events = false;
    const tr_snapshot snapshot = {.runs = runs, .run_count = model_list_runs(world, runs)};
    tr_merge_spec spec = model_spec(world, &snapshot, &request);
    spec.is_lookup = true;
    CHECK(tr_merge_plan_open(&spec, &plan, NULL) == TR_OK);
    CHECK(tr_merge_profile_get(plan, &nobody, 1, &arena, &found, NULL) == TR_NOT_FOUND);
    CHECK(tr_merge_profile_get(plan, &stranger, 1, &arena, &found, NULL) == TR_NOT_FOUND);
    tr_merge_plan_close(plan);
    tr_arena_free(&arena);
    model_world_close(world);
}

int main(void)
{
    RUN(a_profile_is_the_row_that_an_export_has_of_it);
    RUN(what_nobody_knows_is_not_found);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
