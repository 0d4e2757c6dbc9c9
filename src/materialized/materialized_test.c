/* SPDX-License-Identifier: Apache-2.0 */
/* materialized_test.c - goal: a merged run is made once for what plans ask for, found again also
 * after a restart, and gone when it is of use no more. Method: small batches in a real catalog and
 * lake; what it holds is the model test's (merge/merge_model_test.c).
 */
#include "base/test.h"
#include "graph/graph_world.h"
#include "materialized/materialized.h"
#include "store/stitched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int passed, failed;

enum { PEOPLE = 200, TRIES = 1000, WAIT_US = 10 * 1000 };

static const char *const batches[] = {"01AAAAAAAAAAAAAAAAAAAAAAAA", "01BBBBBBBBBBBBBBBBBBBBBBBB",
                                      "01CCCCCCCCCCCCCCCCCCCCCCCC"};
static const tr_merge_policy by_time = {.is_precedence = false};

static void publish(tr_world_house *house, uint32_t number, uint32_t from, uint32_t to)
{
    tr_world_run *run = NULL;
    CHECK(tr_world_run_open(house->secret, false, 1000 + number, &run, NULL) == TR_OK);
    for (uint32_t p = from; p < to; p++) {
        char id[32];
        (void)snprintf(id, sizeof id, "p%u@example.org", p);
        const tr_world_identity who = {tr_str_of("Email"), tr_str_of(id)};
        CHECK(tr_world_run_add(run, &who, 1, 1000 + p, NULL) == TR_OK);
    }
    const tr_world_batch batch = {
        .dataset = "records", .id = batches[number], .ingested_us = 5000 + number};
    CHECK(tr_world_publish(house, &batch, &run, 1, NULL) == TR_OK);
    tr_world_run_close(run);
}

static tr_materialized *open_room(const tr_world_house *house, uint64_t bytes_max)
{
    const tr_materialized_parts parts = {
        .catalog = house->catalog, .store = house->store, .bytes_max = bytes_max, .rows_min = 10};
    tr_materialized *m = NULL;
    CHECK(tr_materialized_open(&parts, &m, NULL) == TR_OK);
    return m;
}

/* What a plan of now reads; id[0] == '\0': fragments. */
static tr_code take(tr_world_house *house, tr_materialized *m, const tr_merge_policy *policy,
                    const char *named, char id[48], uint64_t *rows)
{
    tr_snapshot *snapshot = NULL;
    tr_materialized_run run = {0};
    CHECK(tr_store_snapshot(house->store, &house->tenant, &snapshot, NULL) == TR_OK);
    const tr_code code =
        tr_materialized_take(m, &house->tenant, snapshot, policy, named, &run, NULL);
    const tr_run *held = tr_materialized_run_of(&run);
    (void)snprintf(id, 48, "%s", run.id);
    *rows = held == NULL ? 0 : held->rows;
    CHECK(code != TR_OK || (held == NULL) == (id[0] == '\0'));
    tr_store_release(house->store, run.at);
    tr_store_release(house->store, snapshot);
    return code;
}

/* The same once it is made. */
static void await(tr_world_house *house, tr_materialized *m, const tr_merge_policy *policy,
                  char id[48], uint64_t *rows)
{
    id[0] = '\0';
    for (int i = 0; i < TRIES && id[0] == '\0'; i++) {
        CHECK(take(house, m, policy, NULL, id, rows) == TR_OK);
        if (id[0] == '\0')
            (void)usleep(WAIT_US);
    }
    CHECK(id[0] != '\0');
}

static tr_code count_one(void *ctx, const tr_object *object, tr_err *err)
{
    (void)object, (void)err;
    ++*(uint32_t *)ctx;
    return TR_OK;
}

static uint32_t count_kept(const tr_world_house *house)
{
    uint32_t count = 0;
    const tr_catalog_filter all = {0};
    CHECK(tr_catalog_list(house->catalog, &house->tenant, "stitched", &all, count_one, &count,
                          NULL) == TR_OK);
    return count;
}

static bool has_file(const tr_world_house *house, const char *id)
{
    tr_map map = {0};
    const tr_code code =
        tr_lake_map(house->lake, &house->tenant, "merged", id, "merged.parquet", &map, NULL);
    tr_map_close(&map);
    return code == TR_OK;
}

static void what_plans_ask_for_is_made_and_found_again(void)
{
    tr_world_house house;
    char id[48], again[48], other[48];
    uint64_t rows;
    const char *order[] = {"others", "records"};
    const tr_merge_policy by_order = {.is_precedence = true, .order = order, .order_count = 2};
    const tr_merge_policy of_others = {.is_precedence = true, .order = order, .order_count = 1};
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    publish(&house, 1, PEOPLE / 2, PEOPLE + 7);
    tr_materialized *m = open_room(&house, 1 << 20);
    CHECK(take(&house, m, &by_time, NULL, id, &rows) == TR_OK);
    CHECK(id[0] == '\0');
    await(&house, m, &by_time, id, &rows);
    CHECK(rows == PEOPLE + 7);
    await(&house, m, &by_order, other, &rows);
    CHECK(rows == PEOPLE + 7 && strcmp(id, other) != 0);
    await(&house, m, &of_others, other, &rows);
    CHECK(rows == 0); /* of no dataset that takes part */
    CHECK(take(&house, m, &by_time, "", again, &rows) == TR_OK);
    CHECK(again[0] == '\0'); /* decided by an earlier attempt */
    tr_materialized_close(m);
    CHECK(tr_world_house_reopen(&house, NULL) == TR_OK);
    m = open_room(&house, 1 << 20);
    CHECK(take(&house, m, &by_time, NULL, again, &rows) == TR_OK);
    CHECK(strcmp(id, again) == 0 && rows == PEOPLE + 7);
    CHECK(take(&house, m, &by_time, id, again, &rows) == TR_OK && rows == PEOPLE + 7);
    CHECK(count_kept(&house) == 3);
    tr_materialized_close(m);
    m = open_room(&house, 0); /* turned off: none is read */
    CHECK(take(&house, m, &by_time, NULL, again, &rows) == TR_OK && again[0] == '\0');
    CHECK(take(&house, m, &by_time, id, again, &rows) == TR_NOT_FOUND);
    tr_materialized_close(m);
    tr_world_house_close(&house);
}

static void new_data_takes_the_place_of_old(void)
{
    tr_world_house house;
    char old[48], id[48], named[48];
    uint64_t rows;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, 9);
    tr_materialized *m = open_room(&house, 1 << 20);
    CHECK(take(&house, m, &by_time, NULL, id, &rows) == TR_OK && id[0] == '\0');
    (void)usleep(WAIT_US);
    CHECK(count_kept(&house) == 0); /* too few to keep */
    publish(&house, 1, 0, PEOPLE);
    await(&house, m, &by_time, old, &rows);
    publish(&house, 2, PEOPLE, PEOPLE + 1);
    CHECK(take(&house, m, &by_time, NULL, id, &rows) == TR_OK && id[0] == '\0');
    await(&house, m, &by_time, id, &rows);
    CHECK(rows == PEOPLE + 1);
    for (int i = 0; i < TRIES && count_kept(&house) > 1; i++)
        (void)usleep(WAIT_US);
    CHECK(count_kept(&house) == 1 && has_file(&house, id) && !has_file(&house, old));
    CHECK(take(&house, m, &by_time, old, named, &rows) == TR_NOT_FOUND);
    tr_materialized_close(m);
    tr_world_house_close(&house);
}

/* state  that a file of it goes to; is_taken_back  what the sweep is told */
static void check_gone(const char *state, bool is_taken_back)
{
    tr_world_house house;
    char id[48], named[48];
    uint64_t rows;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    publish(&house, 1, 0, PEOPLE);
    tr_materialized *m = open_room(&house, 1 << 20);
    await(&house, m, &by_time, id, &rows);
    CHECK(tr_stitched_sweep(house.store, &house.tenant, false, NULL) == TR_OK);
    CHECK(has_file(&house, id)); /* all is as it was */
    CHECK(tr_world_set_state(&house, batches[1], state, NULL) == TR_OK);
    CHECK(tr_stitched_sweep(house.store, &house.tenant, is_taken_back, NULL) == TR_OK);
    CHECK(count_kept(&house) == 0 && !has_file(&house, id));
    CHECK(take(&house, m, &by_time, id, named, &rows) == TR_NOT_FOUND);
    tr_materialized_close(m);
    tr_world_house_close(&house);
}

static void it_goes_with_the_runs_that_it_was_made_of(void)
{
    check_gone("lake", false);
    check_gone("gone", false);
    check_gone("gone", true);
}

static void what_does_not_fit_is_not_kept(void)
{
    tr_world_house house;
    char id[48];
    uint64_t rows;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    tr_materialized *m = open_room(&house, 100);
    for (int i = 0; i < 20; i++) {
        CHECK(take(&house, m, &by_time, NULL, id, &rows) == TR_OK);
        (void)usleep(WAIT_US);
    }
    CHECK(take(&house, m, &by_time, NULL, id, &rows) == TR_OK && id[0] == '\0');
    CHECK(count_kept(&house) == 0);
    tr_materialized_close(m);
    tr_world_house_close(&house);
}

static void a_damaged_file_is_as_none_and_is_made_again(void)
{
    tr_world_house house;
    char id[48], again[48], command[1024];
    uint64_t rows;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    tr_materialized *m = open_room(&house, 1 << 20);
    await(&house, m, &by_time, id, &rows);
    tr_materialized_close(m);
    (void)snprintf(command, sizeof command,
                   "f=$(find %s -path '*%s/merged.parquet') && chmod u+w $f && truncate -s 100 $f",
                   house.folder, id);
    CHECK(system(command) == 0);
    CHECK(tr_world_house_reopen(&house, NULL) == TR_OK);
    m = open_room(&house, 1 << 20);
    CHECK(take(&house, m, &by_time, NULL, again, &rows) == TR_OK && again[0] == '\0');
    await(&house, m, &by_time, again, &rows);
    CHECK(strcmp(id, again) != 0 && rows == PEOPLE && !has_file(&house, id));
    tr_materialized_close(m);
    tr_world_house_close(&house);
}

int main(void)
{
    RUN(what_plans_ask_for_is_made_and_found_again);
    RUN(new_data_takes_the_place_of_old);
    RUN(it_goes_with_the_runs_that_it_was_made_of);
    RUN(what_does_not_fit_is_not_kept);
    RUN(a_damaged_file_is_as_none_and_is_made_again);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
