/* SPDX-License-Identifier: Apache-2.0 */
/* materialized_test.c - goal: a merged run is made once for what plans ask for, found again also
 * after a restart, and gone when it is of use no more. Method: small batches in a real catalog and
 * lake; what it holds is the model test's (merge/merge_model_test.c).
 */
#include "base/test.h"
#include "codec/json.h"
#include "graph/graph_world.h"
#include "materialized/materialized.h"
#include "store/stitched.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
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
    const tr_materialized_parts parts = {.catalog = house->catalog,
                                         .lake = house->lake,
                                         .store = house->store,
                                         .bytes_max = bytes_max,
                                         .rows_min = 10};
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

static void a_plan_of_before_does_not_drive_the_newer_one_away(void)
{
    tr_world_house house;
    char id[48], again[48];
    uint64_t rows;
    tr_snapshot *before = NULL;
    tr_materialized_run run = {0};
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    CHECK(tr_store_snapshot(house.store, &house.tenant, &before, NULL) == TR_OK);
    publish(&house, 1, PEOPLE, PEOPLE + 1);
    tr_materialized *m = open_room(&house, 1 << 20);
    await(&house, m, &by_time, id, &rows);
    for (int i = 0; i < 20; i++) {
        CHECK(tr_materialized_take(m, &house.tenant, before, &by_time, NULL, &run, NULL) == TR_OK);
        CHECK(run.id[0] == '\0');
        tr_store_release(house.store, run.at);
        (void)usleep(WAIT_US / 2);
    }
    CHECK(take(&house, m, &by_time, NULL, again, &rows) == TR_OK && strcmp(id, again) == 0);
    CHECK(rows == PEOPLE + 1 && count_kept(&house) == 1);
    CHECK(tr_world_set_state(&house, batches[1], "gone", NULL) == TR_OK); /* it is that of now */
    await(&house, m, &by_time, again, &rows);
    CHECK(rows == PEOPLE && strcmp(id, again) != 0);
    tr_store_release(house.store, before);
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

/* ---- a disk that fails. Calls before it does are counted by what they are for. */

static atomic_int disk_cause;  /* 0: none */
static atomic_int disk_writes; /* to a merged run, tried */
static const char *disk_part;  /* of a path: open, mkdir and rename of such fail */
static atomic_int merged_fd = -1;

static int fail_with(int cause)
{
    errno = cause;
    return -1;
}

static bool is_to_fail(const char *path)
{
    return atomic_load(&disk_cause) != 0 && disk_part != NULL && strstr(path, disk_part) != NULL;
}

static int bad_open(const char *path, int flags, int mode)
{
    if (is_to_fail(path))
        return fail_with(atomic_load(&disk_cause));
    const int fd = tr_os_kernel.open(path, flags, mode);
    if ((flags & O_CREAT) != 0 && strstr(path, "merged.parquet") != NULL)
        atomic_store(&merged_fd, fd);
    return fd;
}

static ssize_t bad_write(int fd, const void *at, size_t len)
{
    if (fd != atomic_load(&merged_fd))
        return tr_os_kernel.write(fd, at, len);
    (void)atomic_fetch_add(&disk_writes, 1);
    return atomic_load(&disk_cause) != 0 && disk_part == NULL ? fail_with(atomic_load(&disk_cause))
                                                              : tr_os_kernel.write(fd, at, len);
}

static int bad_mkdir(const char *path, int mode)
{
    return is_to_fail(path) ? fail_with(atomic_load(&disk_cause)) : tr_os_kernel.mkdir(path, mode);
}

static int bad_rename(const char *from, const char *to)
{
    return is_to_fail(to) ? fail_with(atomic_load(&disk_cause)) : tr_os_kernel.rename(from, to);
}

static int small_statvfs(const char *path, struct statvfs *out)
{
    if (tr_os_kernel.statvfs(path, out) != 0)
        return -1;
    if (atomic_load(&disk_cause) != 0)
        out->f_bavail = out->f_blocks / 1000;
    return 0;
}

/* Whether a file or folder of that name is anywhere in the house. */
static bool has_path(const tr_world_house *house, const char *name)
{
    char command[1024];
    (void)snprintf(command, sizeof command, "find %s -name '%s' | grep -q .", house->folder, name);
    return system(command) == 0;
}

/* Plans find none while the disk fails, attempts are few and leave nothing; then it is made. */
static void check_failing_disk(const tr_os *table)
{
    enum { ASKED = 30 };
    tr_world_house house;
    char id[48];
    uint64_t rows;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    atomic_store(&disk_writes, 0);
    tr_os_replace(table);
    tr_materialized *m = open_room(&house, 1 << 20);
    for (int i = 0; i < ASKED; i++) {
        CHECK(take(&house, m, &by_time, NULL, id, &rows) == TR_OK && id[0] == '\0');
        (void)usleep(WAIT_US / 4);
    }
    CHECK(atomic_load(&disk_writes) <= 3); /* it rests for ever longer */
    CHECK(count_kept(&house) == 0);
    CHECK(!has_path(&house, "stitch-*"));
    CHECK(!has_path(&house, "merged.parquet"));
    atomic_store(&disk_cause, 0);
    await(&house, m, &by_time, id, &rows);
    CHECK(rows == PEOPLE && count_kept(&house) == 1);
    tr_materialized_close(m);
    tr_os_replace(NULL);
    tr_world_house_close(&house);
}

static void a_full_disk_is_waited_for_and_keeps_nothing(void)
{
    tr_os table = tr_os_kernel;
    table.open = bad_open;
    table.write = bad_write;
    disk_part = NULL; /* the bytes */
    atomic_store(&disk_cause, ENOSPC);
    check_failing_disk(&table);
}

static void a_stage_or_folder_that_cannot_be_made_is_waited_for(void)
{
    tr_os table = tr_os_kernel;
    table.open = bad_open;
    table.mkdir = bad_mkdir;
    table.rename = bad_rename;
    disk_part = "/staging/stitch-";
    atomic_store(&disk_cause, ENOSPC);
    check_failing_disk(&table);
    disk_part = "/data/merged";
    atomic_store(&disk_cause, EDQUOT);
    check_failing_disk(&table);
}

static void the_last_bytes_of_a_disk_are_left_to_others(void)
{
    tr_os table = tr_os_kernel;
    table.open = bad_open;
    table.write = bad_write;
    table.statvfs = small_statvfs;
    disk_part = "nothing";
    atomic_store(&disk_cause, ENOSPC);
    check_failing_disk(&table);
}

static void one_that_cannot_be_opened_now_is_as_none_and_stays(void)
{
    tr_world_house house;
    char id[48], again[48];
    uint64_t rows;
    tr_os table = tr_os_kernel;
    table.open = bad_open;
    disk_part = "merged.parquet";
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    tr_materialized *m = open_room(&house, 1 << 20);
    await(&house, m, &by_time, id, &rows);
    tr_materialized_close(m);
    CHECK(tr_world_house_reopen(&house, NULL) == TR_OK);
    m = open_room(&house, 1 << 20);
    atomic_store(&disk_cause, EMFILE);
    tr_os_replace(&table);
    CHECK(take(&house, m, &by_time, NULL, again, &rows) == TR_OK && again[0] == '\0');
    CHECK(take(&house, m, &by_time, id, again, &rows) == TR_NOT_FOUND); /* plans begin again */
    atomic_store(&disk_cause, 0);
    await(&house, m, &by_time, again, &rows);
    CHECK(strcmp(id, again) == 0 && rows == PEOPLE && count_kept(&house) == 1);
    tr_materialized_close(m);
    tr_os_replace(NULL);
    tr_world_house_close(&house);
}

/* ---- bytes_max */

static uint64_t file_bytes(const tr_world_house *house, const char *id)
{
    tr_map map = {0};
    CHECK(tr_lake_map(house->lake, &house->tenant, "merged", id, "merged.parquet", &map, NULL) ==
          TR_OK);
    const uint64_t bytes = map.bytes.len;
    tr_map_close(&map);
    return bytes;
}

/* Too large, and made as soon as an eighth of the data is gone; the one before it goes at once. */
static void what_does_not_fit_is_tried_again_with_less_data(void)
{
    tr_world_house house;
    char id[48], before[48];
    uint64_t rows;
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    tr_materialized *m = open_room(&house, 1 << 20);
    await(&house, m, &by_time, before, &rows);
    const uint64_t bytes = file_bytes(&house, before);
    tr_materialized_close(m);
    m = open_room(&house, bytes + 100);
    publish(&house, 1, PEOPLE, 2 * PEOPLE);
    for (int i = 0; i < TRIES && count_kept(&house) > 0; i++) {
        CHECK(take(&house, m, &by_time, NULL, id, &rows) == TR_OK && id[0] == '\0');
        (void)usleep(WAIT_US);
    }
    CHECK(count_kept(&house) == 0 && !has_file(&house, before));
    CHECK(!has_path(&house, "stitch-*"));
    CHECK(tr_world_set_state(&house, batches[1], "gone", NULL) == TR_OK);
    await(&house, m, &by_time, id, &rows);
    CHECK(rows == PEOPLE && file_bytes(&house, id) == bytes);
    tr_materialized_close(m);
    tr_world_house_close(&house);
}

static void a_restart_with_less_room_removes_what_has_none(void)
{
    tr_world_house house;
    char id[48];
    uint64_t rows;
    const char *order[] = {"records"};
    const tr_merge_policy by_order = {.is_precedence = true, .order = order, .order_count = 1};
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    tr_materialized *m = open_room(&house, 1 << 20);
    await(&house, m, &by_time, id, &rows);
    (void)usleep(WAIT_US); /* it is older by a millisecond */
    await(&house, m, &by_order, id, &rows);
    const uint64_t bytes = file_bytes(&house, id);
    tr_materialized_close(m);
    m = open_room(&house, 2 * bytes);
    tr_materialized_trim(m);
    CHECK(count_kept(&house) == 2);
    tr_materialized_close(m);
    m = open_room(&house, 2 * bytes - 1);
    tr_materialized_trim(m);
    CHECK(count_kept(&house) == 1 && has_file(&house, id));
    tr_materialized_close(m);
    m = open_room(&house, 0);
    tr_materialized_trim(m);
    CHECK(count_kept(&house) == 0 && !has_path(&house, "merged.parquet"));
    tr_materialized_close(m);
    tr_world_house_close(&house);
}

/* As a kill leaves it: the new one is in the catalog, and the old one is still. */
static void what_a_kill_left_beside_its_successor_goes_at_the_next_start(void)
{
    tr_world_house house;
    char old[48], id[48];
    uint64_t rows;
    tr_object object = {0};
    CHECK(tr_world_house_open(&house, NULL) == TR_OK);
    publish(&house, 0, 0, PEOPLE);
    tr_materialized *m = open_room(&house, 1 << 20);
    await(&house, m, &by_time, old, &rows);
    CHECK(tr_catalog_get(house.catalog, &house.tenant, "stitched", old, &object, NULL) == TR_OK);
    (void)usleep(WAIT_US);
    publish(&house, 1, PEOPLE, PEOPLE + 1);
    await(&house, m, &by_time, id, &rows);
    tr_materialized_close(m);
    object.created_ms = 0; /* and earlier than the other's */
    CHECK(tr_catalog_insert(house.catalog, &house.tenant, "stitched", &object, NULL) == TR_OK);
    tr_object_clear(&object);
    CHECK(tr_catalog_get(house.catalog, &house.tenant, "stitched", id, &object, NULL) == TR_OK);
    CHECK(tr_catalog_remove(house.catalog, &house.tenant, "stitched", id, NULL) == TR_OK);
    (void)usleep(WAIT_US);
    object.created_ms = 0;
    CHECK(tr_catalog_insert(house.catalog, &house.tenant, "stitched", &object, NULL) == TR_OK);
    tr_object_clear(&object);
    CHECK(count_kept(&house) == 2);
    m = open_room(&house, 1 << 20);
    tr_materialized_trim(m);
    CHECK(count_kept(&house) == 1 && has_file(&house, id));
    tr_materialized_close(m);
    tr_world_house_close(&house);
}

int main(void)
{
    RUN(what_plans_ask_for_is_made_and_found_again);
    RUN(new_data_takes_the_place_of_old);
    RUN(a_plan_of_before_does_not_drive_the_newer_one_away);
    RUN(it_goes_with_the_runs_that_it_was_made_of);
    RUN(what_does_not_fit_is_not_kept);
    RUN(a_damaged_file_is_as_none_and_is_made_again);
    RUN(a_full_disk_is_waited_for_and_keeps_nothing);
    RUN(a_stage_or_folder_that_cannot_be_made_is_waited_for);
    RUN(the_last_bytes_of_a_disk_are_left_to_others);
    RUN(one_that_cannot_be_opened_now_is_as_none_and_stays);
    RUN(what_does_not_fit_is_tried_again_with_less_data);
    RUN(a_restart_with_less_room_removes_what_has_none);
    RUN(what_a_kill_left_beside_its_successor_goes_at_the_next_start);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
