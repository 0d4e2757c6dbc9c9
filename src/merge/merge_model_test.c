/* SPDX-License-Identifier: Apache-2.0 */
/* merge_model_test.c - the kernel against model.c's slow merge, on random worlds.
 *
 * Goal: whatever the schemas, gaps, ties, policies, filters, runs and partitions are, an export holds
 * exactly what the model says; also after a compaction; and twice the same bytes.
 * Method: random worlds of a few hundred profiles, 20,000 profiles in all; the seed is printed.
 */
#include "base/test.h"
#include "merge/model_internal.h"
#include "store/rekey.h"
#include "store/settle.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROFILES_MIN = TR_TEST_SHARE(20000) };

static tr_code count_namespace_into(json_t *counts, tr_str code, uint64_t profiles)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(code));
    const json_int_t before = json_integer_value(json_object_get(counts, name));
    return json_object_set_new(counts, name, json_integer(before + (json_int_t)profiles)) == 0 ? TR_OK : TR_NO_MEMORY;
}

static void count_namespace(void *ctx, tr_str code, uint64_t profiles)
{
    CHECK(count_namespace_into(ctx, code, profiles) == TR_OK);
}

/* Merges all partitions; the files' bytes end to end and their rows as JSON. */
static tr_code merge_all(const tr_merge_spec *spec, tr_buf *bytes, json_t *rows, json_t *counts,
                         tr_merge_stats *total, tr_err *err)
{
    tr_merge_plan *plan = NULL;
    TR_TRY(tr_merge_plan_open(spec, &plan, err));
    tr_code code = TR_OK;
    for (uint32_t p = 0; p < tr_merge_partition_count(plan) && code == TR_OK; p++) {
        tr_merge_stats stats;
        tr_buf file = {0};
        tr_parquet_file *parquet = NULL;
        json_t *own = NULL;
        code = tr_merge_partition(plan, p, (tr_sink){tr_model_sink, &file}, NULL, count_namespace, counts, &stats, err);
        if (code == TR_OK)
            code = tr_buf_append(bytes, tr_buf_str(&file), err);
        if (code == TR_OK)
            code = tr_parquet_open(tr_buf_str(&file), &parquet, err);
        if (code == TR_OK)
            code = tr_model_read(parquet, &own, err);
        if (code == TR_OK) {
            CHECK(stats.profiles == json_array_size(own));
            total->profiles += stats.profiles;
            total->profiles_kept += stats.profiles_kept;
            total->events += stats.events;
            (void)json_array_extend(rows, own);
        }
        json_decref(own);
        tr_parquet_close(parquet);
        tr_buf_free(&file);
    }
    tr_merge_plan_close(plan);
    return code;
}

static void print_difference(size_t row, const json_t *expected, const json_t *got)
{
    char *a = json_dumps(expected, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char *b = json_dumps(got, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    printf("row %zu\n  expected %s\n  got      %s\n", row, a, b);
    free(a);
    free(b);
}

static bool check_rows(const json_t *expected, const json_t *rows)
{
    if (json_array_size(expected) != json_array_size(rows)) {
        printf("expected %zu rows, got %zu\n", json_array_size(expected), json_array_size(rows));
        return false;
    }
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (!json_equal(json_array_get(expected, i), json_array_get(rows, i))) {
            print_difference(i, json_array_get(expected, i), json_array_get(rows, i));
            return false;
        }
    return true;
}

/* What tr_merge_write_run makes of a plan's records. */
typedef struct merged {
    tr_buf bytes;
    tr_run *run; /* NULL: the runs' schemas contradict each other, or there are no records */
} merged;

static uint32_t merged_runs; /* that could be made */

static tr_code write_merged(const tr_merge_spec *spec, merged *out, tr_err *err)
{
    tr_merged_run made;
    const tr_sink sink = {tr_model_sink, &out->bytes};
    const tr_code code = tr_merge_write_run(spec->snapshot, &spec->policy, sink, NULL, &made, err);
    if (code == TR_SEMANTIC || code == TR_NOT_FOUND)
        return TR_OK;
    TR_TRY(code);
    TR_TRY(tr_run_open(tr_buf_str(&out->bytes), "merged", "merged", &out->run, err));
    CHECK(out->run->rows == made.rows && out->run->ingested_us == made.ingested_us);
    CHECK(tr_parquet_verify(out->run->file, err) == TR_OK);
    merged_runs++;
    return TR_OK;
}

static void close_merged(merged *m)
{
    tr_run_close(m->run);
    tr_buf_free(&m->bytes);
    *m = (merged){0};
}

/* The same export out of a merged run, twice. */
static bool check_merged(const tr_merge_spec *of, const json_t *expected, const json_t *expected_counts)
{
    tr_err err = {0};
    merged m = {0};
    tr_merge_spec spec = *of;
    tr_buf bytes[2] = {{0}, {0}};
    bool is_good = true;
    tr_code code = write_merged(&spec, &m, &err);
    spec.merged = m.run;
    for (int i = 0; i < 2 && code == TR_OK && m.run != NULL && is_good; i++) {
        json_t *rows = json_array(), *counts = json_object();
        tr_merge_stats total = {0};
        code = merge_all(&spec, &bytes[i], rows, counts, &total, &err);
        is_good = code == TR_OK && check_rows(expected, rows) && json_equal(expected_counts, counts);
        json_decref(rows);
        json_decref(counts);
    }
    if (code != TR_OK)
        printf("merged run: %s\n", err.text);
    is_good = is_good && code == TR_OK && tr_str_equal(tr_buf_str(&bytes[0]), tr_buf_str(&bytes[1]));
    tr_buf_free(&bytes[0]);
    tr_buf_free(&bytes[1]);
    close_merged(&m);
    return is_good;
}

/* One export of a world against its model. */
static bool check_export(const model_world *world, const tr_snapshot *snapshot, const model_request *request,
                         bool twice)
{
    tr_err err = {0};
    tr_buf bytes = {0}, again = {0};
    tr_merge_stats total = {0}, total_again = {0};
    json_t *rows = json_array(), *rows_again = json_array(), *counts = json_object(), *counts_again = json_object();
    json_t *expected_counts = json_object();
    json_t *expected = model_export(world, request, expected_counts);
    const tr_merge_spec spec = model_spec(world, snapshot, request);
    tr_code code = merge_all(&spec, &bytes, rows, counts, &total, &err);
    if (code == TR_OK && twice)
        code = merge_all(&spec, &again, rows_again, counts_again, &total_again, &err);
    bool is_good = code == TR_OK && check_rows(expected, rows) && total.profiles == json_array_size(rows);
    if (code != TR_OK)
        printf("merge failed: %s\n", err.text);
    if (is_good && !json_equal(expected_counts, counts)) {
        print_difference(0, expected_counts, counts);
        is_good = false;
    }
    if (is_good && twice)
        is_good = bytes.len == again.len && memcmp(bytes.at, again.at, bytes.len) == 0;
    is_good = is_good && check_merged(&spec, expected, expected_counts);
    json_decref(expected);
    json_decref(expected_counts);
    json_decref(rows);
    json_decref(rows_again);
    json_decref(counts);
    json_decref(counts_again);
    tr_buf_free(&bytes);
    tr_buf_free(&again);
    return is_good;
}

/* Folds some datasets' runs into one each. */
static tr_code compact(model_world *world, tr_err *err)
{
    for (uint32_t d = 0; d < world->dataset_count; d++) {
        const tr_run *runs[MODEL_RUNS_MAX];
        uint32_t count = 0;
        model_dataset *dataset = &world->datasets[d];
        for (uint32_t r = 0; r < dataset->run_count; r++)
            runs[count++] = dataset->runs[r];
        tr_refolded refolded;
        tr_buf bytes = {0};
        if (count < 2 || tr_test_random(&world->random) % 4 == 0)
            continue;
        const tr_code code = tr_refold(runs, count, (tr_sink){tr_model_sink, &bytes}, &refolded, err);
        if (code == TR_SEMANTIC) {
            tr_buf_free(&bytes);
            continue;
        }
        if (code != TR_OK) {
            tr_buf_free(&bytes);
            return code;
        }
        TR_TRY(model_replace_runs(dataset, &bytes, err));
        CHECK(refolded.rows == dataset->runs[0]->rows);
        CHECK(tr_run_verify(dataset->runs[0], err) == TR_OK);
        for (uint32_t g = 0; dataset->is_event && g < tr_parquet_group_count(dataset->runs[0]->file); g++)
            CHECK(dataset->runs[0]->group_settled[g]);
        CHECK(refolded.ingested_us == dataset->runs[0]->ingested_us);
    }
    return TR_OK;
}

static int compare_moves(const void *a, const void *b)
{
    return memcmp(((const tr_moved *)a)->from, ((const tr_moved *)b)->from, 16);
}

/* The rows of a file that have an identity. */
static json_t *read_known(const tr_run *run)
{
    json_t *all = NULL, *known = json_array(), *row;
    size_t i;
    CHECK(tr_model_read(run->file, &all, NULL) == TR_OK);
    json_array_foreach(all, i, row) {
        const char *key = json_string_value(json_object_get(json_object_get(row, TR_BOOKKEEPING), "key"));
        if (strspn(key, "0") < 32)
            (void)json_array_append(known, row);
    }
    json_decref(all);
    return known;
}

/* A name by the process id may be there already: of a test that was killed, and whose id came again. */
static char folder[] = "/tmp/merge_model_test_XXXXXX";

/* A run stitched by the store is the run stitched by the model. */
static bool check_rekeyed(const model_world *world, const tr_run *run, const tr_run *expected, uint32_t chunk_rows)
{
    tr_moved moved[MODEL_PEOPLE_MAX];
    tr_moves moves = {.at = moved};
    tr_buf bytes = {0};
    tr_run *got = NULL;
    tr_refolded refolded;
    tr_rekey_look look;
    tr_err err = {0};
    char scratch[64];
    (void)snprintf(scratch, sizeof scratch, "%s/rekey", folder);
    for (uint32_t p = 0; p < world->people; p++)
        if (world->anchor[p] != p) {
            memcpy(moved[moves.count].from, world->keys[p], 16);
            memcpy(moved[moves.count++].to, world->keys[world->anchor[p]], 16);
        }
    qsort(moved, moves.count, sizeof *moved, compare_moves);
    tr_code code = tr_rekey_look_at(run, &moves, &look, &err);
    CHECK(code == TR_OK && (look.rows > 0) == (expected != NULL));
    if (expected == NULL)
        return code == TR_OK;
    if (code == TR_OK)
        code = tr_rekey(run, &moves, scratch, chunk_rows, (tr_sink){tr_model_sink, &bytes},
                        &refolded, &err);
    if (code == TR_OK)
        code = tr_run_open(tr_buf_str(&bytes), run->id, run->dataset, &got, &err);
    if (code == TR_OK)
        code = tr_run_verify(got, &err);
    json_t *a = code == TR_OK ? read_known(expected) : NULL, *b = code == TR_OK ? read_known(got) : NULL;
    const bool is_good = code == TR_OK && check_rows(a, b) && refolded.rows == json_array_size(b);
    if (code != TR_OK)
        printf("%s\n", err.text);
    json_decref(a);
    json_decref(b);
    tr_run_close(got);
    tr_buf_free(&bytes);
    return is_good;
}

static void a_stitched_run_has_every_row_under_its_anchors_key(void)
{
    uint64_t seed = tr_test_seed(0x5717c4);
    bool is_good = true;
    for (int i = 0; i < TR_TEST_SHARE(40) && is_good; i++, (void)tr_test_random(&seed)) {
        model_world *world = NULL;
        model_stitched stitched;
        const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
        CHECK(model_world_open(seed, &world, NULL) == TR_OK);
        CHECK(i % 3 != 0 || compact(world, NULL) == TR_OK);
        const uint32_t count = model_list_runs(world, runs);
        CHECK(model_stitch(world, &stitched, NULL) == TR_OK);
        for (uint32_t r = 0; r < count && is_good; r++)
            is_good = check_rekeyed(world, runs[r], stitched.owned[r], i % 2 == 0 ? 7 : TR_REKEY_CHUNK_ROWS);
        if (!is_good)
            printf("TR_SEED=0x%llx\n", (unsigned long long)seed);
        CHECK(is_good);
        model_stitched_close(&stitched);
        model_world_close(world);
    }
}

/* Whether a profile that has rows in a row group has an _id twice, or events out of order. By all pairs of rows. */
static bool has_unsettled(const json_t *rows, uint32_t from, uint32_t to)
{
    const size_t count = json_array_size(rows);
    for (uint32_t i = from; i < to; i++) {
        const json_t *own = json_array_get(rows, i);
        const char *key = json_string_value(json_object_get(json_object_get(own, TR_BOOKKEEPING), "key"));
        for (size_t a = 0; strspn(key, "0") < 32 && a < count; a++)
            for (size_t b = a + 1; b < count; b++) {
                const json_t *x = json_array_get(rows, a), *y = json_array_get(rows, b);
                const char *key_x = json_string_value(json_object_get(json_object_get(x, TR_BOOKKEEPING), "key"));
                const char *key_y = json_string_value(json_object_get(json_object_get(y, TR_BOOKKEEPING), "key"));
                if (strcmp(key_x, key) != 0 || strcmp(key_y, key) != 0)
                    continue;
                const json_int_t later = json_integer_value(json_object_get(y, "timestamp")) -
                                         json_integer_value(json_object_get(x, "timestamp"));
                const int order = strcmp(json_string_value(json_object_get(x, "_id")),
                                         json_string_value(json_object_get(y, "_id")));
                if (order == 0 || later < 0 || (later == 0 && order > 0))
                    return true;
            }
    }
    return false;
}

/* Row group by row group, what a run says, and what it might say. */
static bool check_said(tr_run *run, uint32_t *lies)
{
    const uint32_t groups = tr_parquet_group_count(run->file);
    const bool *said = run->group_settled;
    bool *all = tr_alloc_zeroed(groups, sizeof *all);
    json_t *rows = NULL;
    tr_err err = {0};
    bool is_good = tr_run_verify(run, &err) == TR_OK && tr_model_read(run->file, &rows, &err) == TR_OK;
    run->group_settled = all;
    for (uint32_t g = 0, from = 0; g < groups && is_good; from += tr_parquet_group_rows(run->file, g++)) {
        const bool is_unsettled = has_unsettled(rows, from, from + tr_parquet_group_rows(run->file, g));
        all[g] = true;
        is_good = (said == NULL || said[g] == !is_unsettled) &&
                  tr_run_verify(run, &err) == (is_unsettled ? TR_CORRUPT : TR_OK);
        all[g] = false;
        *lies += is_unsettled;
    }
    run->group_settled = said;
    tr_free(all);
    json_decref(rows);
    return is_good;
}

static void a_run_that_lies_of_its_events_is_found_out(void)
{
    uint32_t lies = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        model_world *world = NULL;
        CHECK(model_world_open(seed, &world, NULL) == TR_OK);
        for (uint32_t d = 0; d < world->dataset_count; d++)
            for (uint32_t r = 0; world->datasets[d].is_event && r < world->datasets[d].run_count; r++)
                CHECK(check_said(world->datasets[d].runs[r], &lies));
        model_world_close(world);
    }
    CHECK(lies > 10);
}

static uint32_t check_world(uint64_t seed)
{
    tr_err err = {0};
    model_world *world = NULL;
    bool is_good = true;
    if (model_world_open(seed, &world, &err) != TR_OK) {
        printf("seed 0x%llx: %s\n", (unsigned long long)seed, err.text);
        CHECK(false);
        return PROFILES_MIN;
    }
    uint32_t profiles = 0;
    for (uint32_t round = 0; round < 4 && is_good; round++) {
        model_request request;
        if (round == 2 && compact(world, &err) != TR_OK) {
            printf("compaction failed: %s\n", err.text);
            is_good = false;
            break;
        }
        const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
        model_stitched stitched = {.run_count = 0};
        tr_snapshot snapshot = {.runs = runs, .run_count = model_list_runs(world, runs)};
        model_request_make(world, &request);
        if (request.is_stitched && model_stitch(world, &stitched, &err) != TR_OK) {
            printf("stitching failed: %s\n", err.text);
            is_good = false;
        }
        if (request.is_stitched)
            snapshot = (tr_snapshot){.runs = stitched.runs, .run_count = stitched.run_count};
        is_good = is_good && check_export(world, &snapshot, &request, round == 0);
        model_stitched_close(&stitched);
        profiles += world->people;
    }
    if (!is_good) {
        printf("TR_SEED=0x%llx\n", (unsigned long long)seed);
        CHECK(is_good);
        profiles = PROFILES_MIN;
    }
    model_world_close(world);
    return profiles;
}

static void an_export_is_what_the_model_says(void)
{
    uint64_t seed = tr_test_seed(0x7219b3d5);
    uint32_t profiles = 0;
    while (profiles < PROFILES_MIN) {
        profiles += check_world(seed);
        (void)tr_test_random(&seed);
    }
    printf("%u merged runs\n", merged_runs);
    CHECK(merged_runs > TR_TEST_SHARE(100));
}

/* A world with something in it, and a request for all of it. */
static model_world *open_sample(uint64_t seed, const tr_run **runs, tr_snapshot *snapshot, model_request *request)
{
    model_world *world = NULL;
    CHECK(model_world_open(seed, &world, NULL) == TR_OK);
    *snapshot = (tr_snapshot){.runs = runs, .run_count = model_list_runs(world, runs)};
    model_request_make(world, request);
    request->is_precedence = request->is_stitched = false;
    request->updated_after_us = request->event_after_us = request->event_before_us = TR_TIME_NONE;
    request->with_events = request->with_event_only = true;
    return world;
}

static tr_code merge_first(const tr_merge_spec *spec, const atomic_bool *cancel, tr_merge_stats *stats)
{
    tr_merge_plan *plan = NULL;
    tr_buf file = {0};
    tr_err err = {0};
    tr_code code = tr_merge_plan_open(spec, &plan, &err);
    if (code == TR_OK)
        code = tr_merge_partition(plan, 0, (tr_sink){tr_model_sink, &file}, cancel, NULL, NULL, stats, &err);
    tr_merge_plan_close(plan);
    tr_buf_free(&file);
    return code;
}

static void running_out_of_memory_is_an_answer(void)
{
    const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
    tr_snapshot snapshot;
    model_request request;
    for (uint64_t seed = 1; seed < 4; seed++) {
        model_world *world = open_sample(seed, runs, &snapshot, &request);
        const tr_merge_spec spec = model_spec(world, &snapshot, &request);
        tr_code code = TR_NO_MEMORY;
        for (uint64_t after = 0; after < 100000 && code != TR_OK; after++) {
            tr_merge_stats stats = {.profiles = 77};
            const uint64_t before = tr_memory_bytes_now();
            tr_memory_fail_after(after);
            code = merge_first(&spec, NULL, &stats);
            tr_memory_fail_after(UINT64_MAX);
            CHECK(code == TR_OK || (code == TR_NO_MEMORY && stats.profiles == 77));
            CHECK(tr_memory_bytes_now() == before);
        }
        CHECK(code == TR_OK);
        model_world_close(world);
    }
}

static void a_cancelled_merge_says_so(void)
{
    const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
    tr_snapshot snapshot;
    model_request request;
    tr_merge_stats stats;
    const atomic_bool cancel = true;
    model_world *world = open_sample(5, runs, &snapshot, &request);
    const tr_merge_spec spec = model_spec(world, &snapshot, &request);
    CHECK(merge_first(&spec, &cancel, &stats) == TR_CANCELLED);
    model_world_close(world);
}

/* ---- keepers */

typedef struct choosing {
    json_t *kept; /* a boolean per profile, in the order of all partitions */
    const tr_shape *probe;
    uint8_t mask; /* of the key's last byte: all its bits are set in those that stay */
} choosing;

/* Half of the profiles stay, or so few that columns are gathered row by row. */
static uint8_t mask_of(uint64_t seed)
{
    return seed % 2 == 0 ? 1 : 7;
}

/* The namespaces of identityMap, asked for alone, are those that come with all the rest of it. */
static tr_code check_namespaces(tr_merge_view *view, const choosing *c, uint32_t unit, const tr_column *whole,
                                tr_arena *arena, tr_err *err)
{
    const tr_unit *own = &c->probe->units[unit];
    bool *wanted = tr_arena_array(arena, c->probe->leaf_count, sizeof *wanted);
    tr_column *columns = tr_arena_array(arena, own->leaf_count, sizeof *columns);
    if (wanted == NULL || columns == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to look");
    wanted[own->first_leaf] = true;
    TR_TRY(tr_merge_view_unit(view, unit, wanted, arena, columns, err));
    CHECK(columns[0].rows == whole->rows && columns[0].entries == whole->entries);
    for (uint32_t e = 0; e < whole->entries; e++) {
        CHECK((columns[0].codes[e] == 0) == (whole->codes[e] == 0));
        CHECK(columns[0].rep[e] == whole->rep[e] && columns[0].def[e] == whole->def[e]);
        CHECK(whole->codes[e] == 0 ||
              tr_str_equal(tr_column_string(&columns[0], e), tr_column_string(whole, e)));
    }
    return TR_OK;
}

/* Chooses profiles by their keys; looks at every unit meanwhile. */
static tr_code choose(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep, tr_err *err)
{
    choosing *c = ctx;
    const uint8_t(*keys)[16] = NULL;
    const uint32_t count = tr_merge_view_count(view);
    tr_arena arena = {0};
    tr_code code = tr_merge_view_keys(view, &keys, err);
    (void)partition;
    for (uint32_t u = 0; u < c->probe->unit_count && code == TR_OK; u++) {
        const tr_unit *unit = &c->probe->units[u];
        tr_column *columns = tr_arena_array(&arena, unit->leaf_count, sizeof *columns);
        if (columns == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory to look");
        else
            code = tr_merge_view_unit(view, u, NULL, &arena, columns, err);
        for (uint32_t i = 0; i < unit->leaf_count && code == TR_OK; i++)
            CHECK(columns[i].rows == count);
        if (code == TR_OK && tr_str_is(unit->path, "identityMap"))
            code = check_namespaces(view, c, u, &columns[0], &arena, err);
    }
    for (uint32_t i = 0; i < count && code == TR_OK; i++) {
        CHECK(i == 0 || memcmp(keys[i - 1], keys[i], sizeof *keys) < 0);
        keep[i] = (keys[i][15] & c->mask) == c->mask;
        if (json_array_append_new(c->kept, json_boolean(keep[i])) != 0)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory to choose");
    }
    tr_arena_free(&arena);
    return code;
}

static bool check_keeper(uint64_t seed, bool is_merged)
{
    const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
    tr_snapshot snapshot;
    model_request request;
    tr_err err = {0};
    tr_buf bytes = {0};
    tr_merge_stats total = {0}, total_all = {0};
    model_world *world = open_sample(seed, runs, &snapshot, &request);
    tr_merge_spec spec = model_spec(world, &snapshot, &request);
    merged m = {0};
    choosing c = {.kept = json_array(), .probe = spec.output, .mask = mask_of(seed)};
    json_t *all = json_array(), *rows = json_array(), *expected = json_array(), *counts = json_object();
    spec.bits_min = (uint8_t)(seed % 3);
    spec.with_events = seed % 4 != 0; /* else which events are whose is found out for identities alone */
    tr_code code = merge_all(&spec, &bytes, all, counts, &total_all, &err);
    bytes.len = 0;
    if (code == TR_OK && is_merged)
        code = write_merged(&spec, &m, &err);
    spec.merged = m.run;
    spec.keep = choose;
    spec.keep_ctx = &c;
    spec.probe = spec.output;
    spec.with_probe_events = seed % 8 != 0;
    if (code == TR_OK)
        code = merge_all(&spec, &bytes, rows, counts, &total, &err);
    if (code != TR_OK)
        printf("%s\n", err.text);
    CHECK(json_array_size(c.kept) == json_array_size(all));
    for (size_t i = 0; i < json_array_size(all); i++)
        if (json_is_true(json_array_get(c.kept, i)))
            (void)json_array_append(expected, json_array_get(all, i));
    const bool is_good = code == TR_OK && check_rows(expected, rows) &&
                         total.profiles == json_array_size(expected) &&
                         total.profiles_kept == json_array_size(all);
    json_decref(c.kept);
    json_decref(all);
    json_decref(rows);
    json_decref(expected);
    json_decref(counts);
    close_merged(&m);
    tr_buf_free(&bytes);
    model_world_close(world);
    return is_good;
}

/* An evaluating keeper sees everybody; the filters come after it. No members are as none. */
static tr_code evaluate(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep, tr_err *err)
{
    const choosing *c = ctx;
    const uint32_t unit = tr_shape_unit(c->probe, tr_str_of("segmentMembership"));
    tr_arena arena = {0};
    TR_TRY(tr_merge_view_set_members(view, NULL, err));
    if (unit != UINT32_MAX) {
        tr_column columns[64];
        TR_TRY(tr_merge_view_unit(view, unit, NULL, &arena, columns, err));
    }
    tr_arena_free(&arena);
    return choose(ctx, partition, view, keep, err);
}

static bool check_evaluating_keeper(uint64_t seed, bool is_merged)
{
    const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
    tr_snapshot snapshot;
    model_request request;
    tr_err err = {0};
    tr_buf bytes = {0};
    tr_merge_stats total = {0}, total_all = {0};
    model_world *world = open_sample(seed, runs, &snapshot, &request);
    tr_merge_spec spec = model_spec(world, &snapshot, &request);
    merged m = {0};
    json_t *all = json_array(), *rows = json_array(), *expected = json_array(), *counts = json_object();
    choosing seen = {.kept = json_array(), .probe = spec.output, .mask = mask_of(seed)};
    choosing kept = {.kept = json_array(), .probe = spec.output, .mask = mask_of(seed)};
    spec.with_event_only = seed % 2 == 0;
    spec.with_events = seed % 4 != 1;
    spec.updated_after_us = seed % 3 == 0 ? TR_TIME_NONE : 2000;
    spec.probe = spec.output;
    spec.with_probe_events = seed % 5 != 0;
    spec.keep = choose;
    spec.keep_ctx = &kept;
    tr_code code = merge_all(&spec, &bytes, expected, counts, &total_all, &err);
    bytes.len = 0;
    if (code == TR_OK && is_merged)
        code = write_merged(&spec, &m, &err);
    spec.merged = m.run;
    spec.keep = evaluate;
    spec.keep_evaluates = true;
    spec.keep_ctx = &seen;
    spec.bits_min = (uint8_t)(seed % 3);
    if (code == TR_OK)
        code = merge_all(&spec, &bytes, rows, counts, &total, &err);
    if (code != TR_OK)
        printf("%s\n", err.text);
    json_t *wide_counts = json_object();
    spec = model_spec(world, &snapshot, &request);
    if (code == TR_OK)
        code = merge_all(&spec, &bytes, all, wide_counts, &total_all, &err);
    const bool is_good = code == TR_OK && check_rows(expected, rows) &&
                         json_array_size(seen.kept) == json_array_size(all);
    json_decref(seen.kept);
    json_decref(kept.kept);
    json_decref(all);
    json_decref(rows);
    json_decref(expected);
    json_decref(counts);
    json_decref(wide_counts);
    close_merged(&m);
    tr_buf_free(&bytes);
    model_world_close(world);
    return is_good;
}

static void an_evaluating_keeper_sees_everybody_before_the_filters(void)
{
    for (uint64_t seed = 1; seed <= TR_TEST_SHARE(60); seed++)
        CHECK(check_evaluating_keeper(seed, false) && check_evaluating_keeper(seed, true));
}

static void profiles_that_a_keeper_drops_are_not_exported(void)
{
    for (uint64_t seed = 1; seed <= TR_TEST_SHARE(40); seed++)
        CHECK(check_keeper(seed, false) && check_keeper(seed, true));
}

int main(void)
{
    int passed = 0, failed = 0;
    if (mkdtemp(folder) == NULL)
        return 2;
    RUN(an_export_is_what_the_model_says);
    RUN(a_stitched_run_has_every_row_under_its_anchors_key);
    RUN(a_run_that_lies_of_its_events_is_found_out);
    RUN(running_out_of_memory_is_an_answer);
    RUN(a_cancelled_merge_says_so);
    RUN(profiles_that_a_keeper_drops_are_not_exported);
    RUN(an_evaluating_keeper_sees_everybody_before_the_filters);
    failed += rmdir(folder) != 0;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
