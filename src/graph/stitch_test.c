/* SPDX-License-Identifier: Apache-2.0 */
/* stitch_test.c - goal: a stitched snapshot has every row once, under the key of whom its cluster
 * stands for; what did not change is not made again; what was taken back is gone. Method: small
 * batches in a real catalog and lake, compared with what the graph itself answers.
 */
#include "base/test.h"
#include "graph/graph_world.h"
#include "store/stitched.h"

#include <string.h>

static int passed, failed;

enum { PEOPLE = 300 };

static const char *const batches[] = {"01AAAAAAAAAAAAAAAAAAAAAAAA", "01BBBBBBBBBBBBBBBBBBBBBBBB",
                                      "01CCCCCCCCCCCCCCCCCCCCCCCC"};

typedef struct texts {
    char email[32], phone[32];
} texts;

/* Everybody by phone, every other one with an email; the first batch in two files. */
static void publish(tr_world_house *house, uint32_t number, bool is_event, uint32_t from,
                    uint32_t to)
{
    static texts names[PEOPLE];
    tr_world_run *runs[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++)
        CHECK(tr_world_run_open(house->secret, is_event, 1000 + number, &runs[i], NULL) == TR_OK);
    for (uint32_t p = from; p < to; p++) {
        (void)snprintf(names[p].email, sizeof names[p].email, "p%u@example.org", p);
        (void)snprintf(names[p].phone, sizeof names[p].phone, "%u", 100000 + p);
        const tr_world_identity both[] = {{tr_str_of("Phone"), tr_str_of(names[p].phone)},
                                          {tr_str_of("Email"), tr_str_of(names[p].email)}};
        const tr_world_identity *who = number == 1 ? &both[1] : both;
        const uint32_t count = number == 1 ? 1 : 1 + p % 2;
        CHECK(tr_world_run_add(runs[p % 2], who, count, 1000 + p, NULL) == TR_OK);
    }
    const tr_world_batch batch = {.dataset = is_event ? "events" : "records",
                                  .id = batches[number],
                                  .is_event = is_event,
                                  .ingested_us = 5000 + number};
    CHECK(tr_world_publish(house, &batch, runs, 2, NULL) == TR_OK);
    for (int i = 0; i < 2; i++)
        tr_world_run_close(runs[i]);
}

static json_t *stitch(tr_world_house *house)
{
    tr_snapshot *snapshot = NULL;
    json_t *runs = NULL;
    tr_err err = {0};
    CHECK(tr_store_snapshot(house->store, &house->tenant, &snapshot, NULL) == TR_OK);
    const tr_graph_order order = {.snapshot = snapshot};
    if (tr_graph_stitch(house->graph, &house->tenant, &order, &runs, &err) != TR_OK)
        printf("%s\n", err.text);
    CHECK(runs != NULL);
    tr_store_release(house->store, snapshot);
    return runs;
}

/* Every row of a run stands where its own identity's cluster says; returns its rows. */
static uint64_t check_run(tr_world_house *house, const tr_run *run)
{
    tr_arena arena = {0};
    uint64_t rows = 0;
    for (uint32_t g = 0; g < tr_parquet_group_count(run->file); g++) {
        const uint32_t count = tr_parquet_group_rows(run->file, g);
        tr_column key, code, id;
        CHECK(tr_run_read(run, g, run->key_leaf, 0, count, &arena, &key, NULL) == TR_OK);
        CHECK(tr_run_read(run, g, run->namespace_leaf, 0, count, &arena, &code, NULL) == TR_OK);
        CHECK(tr_run_read(run, g, run->id_leaf, 0, count, &arena, &id, NULL) == TR_OK);
        for (uint32_t i = 0; i < count; i++, rows++) {
            uint8_t own[16];
            const uint8_t(*keys)[16] = NULL;
            uint32_t members = 0;
            tr_profile_key(house->secret, tr_column_string(&code, i), tr_column_string(&id, i),
                           own);
            CHECK(tr_graph_keys(house->graph, &house->tenant, own, &arena, &keys, &members, NULL) ==
                  TR_OK);
            CHECK(memcmp(keys[0], key.values.keys[key.codes[i] - 1], 16) == 0);
            CHECK(!run->is_members || members > 1);
        }
    }
    tr_arena_free(&arena);
    return rows;
}

static void check_all(tr_world_house *house, const json_t *runs, uint64_t rows, uint64_t clusters)
{
    tr_snapshot *snapshot = NULL;
    uint64_t found = 0, members = 0;
    CHECK(tr_graph_snapshot_of(house->graph, &house->tenant, runs, &snapshot, NULL) == TR_OK);
    for (uint32_t r = 0; snapshot != NULL && r < snapshot->run_count; r++)
        *(snapshot->runs[r]->is_members ? &members : &found) += check_run(house, snapshot->runs[r]);
    CHECK(found == rows);
    CHECK(members == clusters);
    tr_store_release(house->store, snapshot);
}

static void what_did_not_change_is_not_made_again(void)
{
    tr_world_house house;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, false, 0, PEOPLE);
    publish(&house, 1, false, 0, PEOPLE);
    json_t *first = stitch(&house), *again = stitch(&house);
    check_all(&house, first, 2 * PEOPLE, PEOPLE / 2);
    CHECK(json_equal(first, again));
    CHECK(tr_world_house_reopen(&house, NULL) == TR_OK);
    json_t *after = stitch(&house);
    CHECK(json_equal(first, after));
    check_all(&house, after, 2 * PEOPLE, PEOPLE / 2);

    publish(&house, 2, true, 0, 10); /* says what is known: only new runs are looked at */
    json_t *more = stitch(&house);
    check_all(&house, more, 2 * PEOPLE + 10, PEOPLE / 2);
    size_t kept = 0, i, k;
    json_t *id, *other;
    json_array_foreach(first, i, id) json_array_foreach(more, k, other) kept +=
        (size_t)json_equal(id, other);
    CHECK(kept == json_array_size(first));
    json_decref(first);
    json_decref(again);
    json_decref(after);
    json_decref(more);
    tr_world_house_close(&house);
}

static void a_plan_keeps_its_runs_until_data_is_taken_back(void)
{
    tr_world_house house;
    tr_snapshot *snapshot = NULL;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, false, 0, PEOPLE / 2);
    publish(&house, 1, false, 0, PEOPLE);
    json_t *first = stitch(&house);
    check_all(&house, first, PEOPLE + PEOPLE / 2, PEOPLE / 4);
    publish(&house, 2, false, 0, PEOPLE); /* more people become one */
    json_t *second = stitch(&house);
    check_all(&house, second, 2 * PEOPLE + PEOPLE / 2, PEOPLE / 2);
    CHECK(tr_graph_sweep_all(house.graph, NULL) == TR_OK);
    /* The runs of before are superseded, and still there for a plan that names them. */
    CHECK(tr_graph_snapshot_of(house.graph, &house.tenant, first, &snapshot, NULL) == TR_OK);
    tr_store_release(house.store, snapshot);

    CHECK(tr_world_set_state(&house, batches[2], "gone", NULL) == TR_OK);
    CHECK(tr_store_sweep(house.store, &house.tenant, "records", NULL) == TR_OK);
    CHECK(tr_graph_snapshot_of(house.graph, &house.tenant, second, &snapshot, NULL) ==
          TR_NOT_FOUND);
    json_t *third = stitch(&house);
    check_all(&house, third, PEOPLE + PEOPLE / 2, PEOPLE / 4);
    json_decref(first);
    json_decref(second);
    json_decref(third);
    tr_world_house_close(&house);
}

static tr_code note_hash(void *ctx, const tr_object *object, tr_err *err)
{
    char name[400];
    (void)err;
    (void)snprintf(name, sizeof name, "%s %s", object->parent,
                   tr_json_text(object->doc, "digest", ""));
    return json_object_set(ctx, name, json_object_get(object->doc, "xxh128"));
}

static tr_code note_id(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    return json_array_append_new(ctx, json_string(object->id));
}

/* The hashes of all that was stitched, by source and digest. */
static json_t *hashes(tr_world_house *house)
{
    const tr_catalog_filter all = {0};
    json_t *out = json_object();
    CHECK(tr_catalog_list(house->catalog, &house->tenant, "stitched", &all, note_hash, out, NULL) ==
          TR_OK);
    return out;
}

static void what_is_lost_is_made_again_with_the_same_bytes(void)
{
    tr_world_house house;
    const tr_catalog_filter all = {0};
    json_t *ids = json_array(), *id;
    size_t i;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, false, 0, PEOPLE);
    publish(&house, 1, false, 0, PEOPLE);
    publish(&house, 2, true, 0, PEOPLE);
    json_t *first = stitch(&house), *before = hashes(&house);
    CHECK(json_object_size(before) >= 3);
    CHECK(tr_catalog_list(house.catalog, &house.tenant, "stitched", &all, note_id, ids, NULL) ==
          TR_OK);
    json_array_foreach(ids, i, id) CHECK(tr_catalog_remove(house.catalog, &house.tenant, "stitched",
                                                           json_string_value(id), NULL) == TR_OK);
    CHECK(tr_world_house_reopen(&house, NULL) == TR_OK);
    json_t *second = stitch(&house), *after = hashes(&house);
    CHECK(!json_equal(first, second));
    CHECK(json_equal(before, after));
    check_all(&house, second, 3 * PEOPLE, PEOPLE / 2);
    json_decref(ids);
    json_decref(first);
    json_decref(second);
    json_decref(before);
    json_decref(after);
    tr_world_house_close(&house);
}

/* A sweep that is killed removes a folder and leaves the object. */
static void an_object_whose_file_is_lost_is_not_named_to_plans(void)
{
    tr_world_house house;
    const tr_catalog_filter all = {0};
    json_t *ids = json_array(), *id;
    size_t i;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, false, 0, PEOPLE);
    publish(&house, 1, false, 0, PEOPLE);
    json_t *first = stitch(&house);
    CHECK(tr_catalog_list(house.catalog, &house.tenant, "stitched", &all, note_id, ids, NULL) ==
          TR_OK);
    json_array_foreach(ids, i, id)
    {
        tr_object object = {0};
        CHECK(tr_catalog_get(house.catalog, &house.tenant, "stitched", json_string_value(id),
                             &object, NULL) == TR_OK);
        CHECK(tr_lake_remove_batch(house.lake, &house.tenant,
                                   tr_json_text(object.doc, "dataSetId", ""), object.id,
                                   NULL) == TR_OK);
        tr_object_clear(&object);
        tr_store_retire(house.store, house.tenant.id, json_string_value(id));
    }
    for (int round = 0; round < 2; round++) { /* by what is remembered; by the catalog alone */
        json_t *second = stitch(&house);
        CHECK(!json_equal(first, second));
        check_all(&house, second, 2 * PEOPLE, PEOPLE / 2);
        json_decref(second);
        CHECK(tr_world_house_reopen(&house, NULL) == TR_OK);
    }
    json_decref(ids);
    json_decref(first);
    tr_world_house_close(&house);
}

static json_t *stitch_with(tr_world_house *house, const tr_snapshot *snapshot, uint32_t run_count,
                           const tr_run *const *memberships, uint32_t count)
{
    json_t *runs = NULL;
    tr_snapshot part = *snapshot;
    tr_err err = {0};
    part.run_count = run_count;
    const tr_graph_order order = {
        .snapshot = &part, .memberships = memberships, .membership_count = count};
    if (tr_graph_stitch(house->graph, &house->tenant, &order, &runs, &err) != TR_OK)
        printf("%s\n", err.text);
    CHECK(runs != NULL);
    return runs;
}

/* The files of one membership have one id, and plans have more runs or fewer. */
static void the_files_of_a_membership_are_told_apart_whatever_runs_stand_before_them(void)
{
    tr_world_house house;
    tr_snapshot *snapshot = NULL;
    tr_object object = {.id = "M"};
    tr_run files[4];
    const tr_run *memberships[4];
    uint32_t count = 0;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, false, 0, PEOPLE);
    publish(&house, 2, true, 0, PEOPLE);
    CHECK(tr_store_snapshot(house.store, &house.tenant, &snapshot, NULL) == TR_OK);
    object.doc = json_pack("{s:[]}", "files");
    CHECK(tr_catalog_insert(house.catalog, &house.tenant, "membership_run", &object, NULL) ==
          TR_OK);
    json_decref(object.doc);
    for (uint32_t r = 0; r < snapshot->run_count && count < 4; r++, count++) {
        files[count] = *snapshot->runs[r];
        (void)snprintf(files[count].id, sizeof files[count].id, "M");
        (void)snprintf(files[count].dataset, sizeof files[count].dataset, "membership");
        memberships[count] = &files[count];
    }
    const uint32_t all = snapshot->run_count;
    json_t *first = stitch_with(&house, snapshot, all, memberships, count);
    json_t *fewer = stitch_with(&house, snapshot, all - 1, memberships, count);
    json_t *again = stitch_with(&house, snapshot, all, memberships, count);
    CHECK(json_array_size(first) == json_array_size(fewer) + 1);
    CHECK(json_equal(first, again));
    json_decref(first);
    json_decref(fewer);
    json_decref(again);
    tr_store_release(house.store, snapshot);
    tr_world_house_close(&house);
}

/* A person who was known by phone gets an email. */
static void link_one(tr_world_house *house, uint32_t round)
{
    char id[32], email[32], phone[32];
    tr_world_run *run = NULL;
    (void)snprintf(id, sizeof id, "01DDDDDDDDDDDDDDDDDDDDDDD%c", (char)('A' + round));
    (void)snprintf(email, sizeof email, "p%u@example.org", 2 * round);
    (void)snprintf(phone, sizeof phone, "%u", 100000 + 2 * round);
    const tr_world_identity both[] = {{tr_str_of("Phone"), tr_str_of(phone)},
                                      {tr_str_of("Email"), tr_str_of(email)}};
    const tr_world_batch batch = {.dataset = "records", .id = id, .ingested_us = 6000 + round};
    CHECK(tr_world_run_open(house->secret, false, 2000 + round, &run, NULL) == TR_OK);
    CHECK(tr_world_run_add(run, both, 2, 9000, NULL) == TR_OK);
    CHECK(tr_world_publish(house, &batch, &run, 1, NULL) == TR_OK);
    tr_world_run_close(run);
}

static tr_code count_source(void *ctx, const tr_object *object, tr_err *err)
{
    const json_int_t before = json_integer_value(json_object_get(ctx, object->parent));
    (void)err;
    return json_object_set_new(ctx, object->parent, json_integer(before + 1)) == 0 ? TR_OK
                                                                                   : TR_NO_MEMORY;
}

static void a_graph_that_changes_all_the_time_does_not_fill_the_disk(void)
{
    enum { ROUNDS = 8 };
    tr_world_house house;
    const tr_catalog_filter all = {0};
    json_t *sources = json_object(), *count, *before = NULL;
    const char *source;
    json_int_t most = 0;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, false, 0, PEOPLE);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        tr_snapshot *snapshot = NULL;
        json_t *now;
        link_one(&house, round);
        now = stitch(&house);
        check_all(&house, now, PEOPLE + round + 1, PEOPLE / 2 + round + 1);
        if (before != NULL) /* a plan of before is still good */
            CHECK(tr_graph_snapshot_of(house.graph, &house.tenant, before, &snapshot, NULL) ==
                  TR_OK);
        tr_store_release(house.store, snapshot);
        json_decref(before);
        before = now;
    }
    CHECK(tr_catalog_list(house.catalog, &house.tenant, "stitched", &all, count_source, sources,
                          NULL) == TR_OK);
    json_object_foreach(sources, source, count) most =
        json_integer_value(count) > most ? json_integer_value(count) : most;
    CHECK(most == 1 + TR_STITCHED_KEPT);
    json_decref(before);
    json_decref(sources);
    tr_world_house_close(&house);
}

static void a_cancelled_stitching_says_so(void)
{
    tr_world_house house;
    tr_snapshot *snapshot = NULL;
    json_t *runs = NULL;
    const atomic_bool cancel = true;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, false, 0, PEOPLE);
    CHECK(tr_store_snapshot(house.store, &house.tenant, &snapshot, NULL) == TR_OK);
    const tr_graph_order order = {.snapshot = snapshot, .cancel = &cancel};
    CHECK(tr_graph_stitch(house.graph, &house.tenant, &order, &runs, NULL) == TR_CANCELLED);
    tr_store_release(house.store, snapshot);
    tr_world_house_close(&house);
}

int main(void)
{
    RUN(what_did_not_change_is_not_made_again);
    RUN(a_plan_keeps_its_runs_until_data_is_taken_back);
    RUN(what_is_lost_is_made_again_with_the_same_bytes);
    RUN(an_object_whose_file_is_lost_is_not_named_to_plans);
    RUN(the_files_of_a_membership_are_told_apart_whatever_runs_stand_before_them);
    RUN(a_graph_that_changes_all_the_time_does_not_fill_the_disk);
    RUN(a_cancelled_stitching_says_so);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
