/* SPDX-License-Identifier: Apache-2.0 */
/* beside_test.c - goal: who asks for the graph while a deletion reads what it will be has the one
 * in force, and has the new one at the commit without a file being read; and whatever becomes of
 * the deletion, the graph is right. Method: a real house; files that are opened tell who reads.
 * What it is after random histories: graph_test.c.
 */
#include "base/limits.h"
#include "base/test.h"
#include "graph/graph_world.h"
#include "os/os.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static int passed, failed;

static const char dataset[] = "64b0c0ffee0000000000a001";
static const char first[] = "01FIRST0000000000000000001", second[] = "01SECOND000000000000000001";
static const char cookie[] = "00000000000000000000000000000000000001";

typedef struct scene {
    tr_world_house house;
    tr_forgotten who; /* (ECID, cookie) */
    tr_forget_list list;
    tr_store_removal *removal;
    json_t *bytes;
    tr_graph_preparation coming;
} scene;

static bool publish_pair(tr_world_house *house, const char *id, int64_t ingested_us,
                         const char *code, const char *name)
{
    tr_world_run *run = NULL;
    const tr_world_batch batch = {.dataset = dataset, .id = id, .ingested_us = ingested_us};
    const tr_world_identity pair[] = {{tr_str_of("Email"), tr_str_of("a@example.org")},
                                      {tr_str_of(code), tr_str_of(name)}};
    const bool is_good =
        tr_world_run_open(house->secret, false, ingested_us, &run, NULL) == TR_OK &&
        tr_world_run_add(run, pair, 2, 5, NULL) == TR_OK &&
        tr_world_publish(house, &batch, &run, 1, NULL) == TR_OK;
    tr_world_run_close(run);
    return is_good;
}

/* Email a is linked with a cookie and a device; the cookie is about to be forgotten. */
static void set(scene *s)
{
    *s =
        (scene){.who = {.code = tr_str_of("ECID"), .id = tr_str_of(cookie)}, .bytes = json_array()};
    s->list = (tr_forget_list){&s->who, 1};
    CHECK(tr_world_house_open(&s->house, NULL) == TR_OK);
    CHECK(publish_pair(&s->house, first, 1000, "ECID", cookie));
    CHECK(publish_pair(&s->house, second, 2000, "IDFA", "i"));
    tr_profile_key(s->house.secret, s->who.code, s->who.id, s->who.key);
}

static void begin_removal(scene *s)
{
    CHECK(tr_store_removal_open(s->house.store, &s->house.tenant, 7, &s->list, &s->removal, NULL) ==
          TR_OK);
    CHECK(tr_store_removal_prepare(s->removal, NULL) == TR_OK);
}

static void prepare(scene *s)
{
    tr_arena arena = {0};
    CHECK(tr_store_removal_exchanged(s->removal, &arena, &s->coming.exchanged, &s->coming.count,
                                     NULL) == TR_OK);
    CHECK(s->coming.count == 1);
    tr_graph_prepare(s->house.graph, &s->house.tenant, &s->coming);
    tr_arena_free(&arena);
}

static void commit(scene *s)
{
    bool is_complete = false;
    CHECK(tr_catalog_begin(s->house.catalog, NULL) == TR_OK);
    CHECK(tr_catalog_end(s->house.catalog,
                         tr_store_removal_apply(s->removal, s->bytes, &is_complete, NULL),
                         NULL) == TR_OK);
    CHECK(is_complete);
}

static void end_removal(scene *s, bool is_in_force)
{
    tr_graph_prepare_end(s->house.graph, &s->house.tenant, &s->coming, is_in_force);
    tr_store_removal_close(s->removal, is_in_force);
    s->removal = NULL;
}

static void clear(scene *s)
{
    json_decref(s->bytes);
    tr_world_house_close(&s->house);
}

/* How many keys a lookup of Email a would ask for. */
static uint32_t keys(scene *s)
{
    uint8_t key[16];
    tr_arena arena = {0};
    const uint8_t(*found)[16] = NULL;
    uint32_t count = 0;
    tr_profile_key(s->house.secret, tr_str_of("email"), tr_str_of("a@example.org"), key);
    const tr_code code =
        tr_graph_keys(s->house.graph, &s->house.tenant, key, &arena, &found, &count, NULL);
    tr_arena_free(&arena);
    return code == TR_OK ? count : 0;
}

/* Files that are read ------------------------------------------------------------------------- */

static scene *asking; /* while a file is opened, somebody asks; NULL: nobody */
static uint32_t runs_opened, answers[8];
static int nice_of_reader;

static int open_and_ask(const char *path, int flags, int mode)
{
    scene *s = asking;
    if (strstr(path, ".parquet") != NULL) {
        asking = NULL;
        nice_of_reader = getpriority(PRIO_PROCESS, 0);
        if (s != NULL && runs_opened < 8)
            answers[runs_opened] = keys(s);
        asking = s;
        runs_opened++;
    }
    return tr_os_kernel.open(path, flags, mode);
}

static void watch_files(scene *who_asks)
{
    static tr_os table;
    table = tr_os_kernel;
    table.open = open_and_ask;
    runs_opened = 0;
    asking = who_asks;
    tr_os_replace(&table);
}

static uint32_t files_read(void)
{
    tr_os_replace(NULL);
    return runs_opened;
}

/* Tests --------------------------------------------------------------------------------------- */

static void nobody_waits_and_at_the_commit_it_is_there(void)
{
    scene s;
    set(&s);
    CHECK(keys(&s) == 3);
    begin_removal(&s);
    watch_files(&s);
    prepare(&s);
    CHECK(files_read() == 2 && answers[0] == 3 && answers[1] == 3);
    const int mine = getpriority(PRIO_PROCESS, 0); /* who reads stands back, who asks does not */
    CHECK(nice_of_reader == (mine > TR_NICE_COMPUTE ? mine : TR_NICE_COMPUTE));
    CHECK(keys(&s) == 3); /* it is not in force yet */
    commit(&s);
    watch_files(NULL);
    CHECK(keys(&s) == 2);
    CHECK(files_read() == 0);
    end_removal(&s, true);
    CHECK(keys(&s) == 2);
    clear(&s);
}

static void what_comes_meanwhile_is_read_behind_it(void)
{
    scene s;
    set(&s);
    CHECK(keys(&s) == 3);
    begin_removal(&s);
    prepare(&s);
    CHECK(publish_pair(&s.house, "01THIRD0000000000000000001", 3000, "IDFA", "j"));
    CHECK(keys(&s) == 4);
    CHECK(tr_store_removal_prepare(s.removal, NULL) == TR_OK); /* it does not name the cookie */
    commit(&s);
    watch_files(NULL);
    CHECK(keys(&s) == 3);
    CHECK(files_read() == 1);
    end_removal(&s, true);
    clear(&s);
}

/* The first batch, both, or the dataset with both. */
static void take_back(tr_graph_preparation coming, uint32_t left)
{
    scene s;
    set(&s);
    CHECK(keys(&s) == 3);
    watch_files(&s);
    tr_graph_prepare(s.house.graph, &s.house.tenant, &coming);
    CHECK(files_read() == left - 1);
    for (uint32_t i = 0; i + 1 < left; i++)
        CHECK(answers[i] == 3); /* while its files are opened */
    CHECK(keys(&s) == 3);
    CHECK(coming.batch_count == 1 || tr_world_set_state(&s.house, second, "gone", NULL) == TR_OK);
    CHECK(tr_world_set_state(&s.house, first, "gone", NULL) == TR_OK);
    watch_files(NULL);
    CHECK(keys(&s) == left);
    CHECK(files_read() == 0);
    tr_graph_prepare_end(s.house.graph, &s.house.tenant, &coming, true);
    CHECK(keys(&s) == left);
    clear(&s);
}

static void what_batches_or_a_dataset_leave_is_there_as_well(void)
{
    const char *both[] = {first, second};
    take_back((tr_graph_preparation){.batches = both, .batch_count = 1}, 2);
    take_back((tr_graph_preparation){.batches = both, .batch_count = 2}, 1);
    take_back((tr_graph_preparation){.dataset = dataset}, 1);
}

static void where_no_file_goes_nothing_is_read(void)
{
    scene s;
    const char *other[] = {"01OTHER0000000000000000001"};
    tr_graph_preparation coming = {.batches = other, .batch_count = 1};
    set(&s);
    CHECK(keys(&s) == 3);
    watch_files(NULL);
    tr_graph_prepare(s.house.graph, &s.house.tenant, &coming);
    tr_graph_prepare_end(s.house.graph, &s.house.tenant, &coming, true);
    CHECK(keys(&s) == 3);
    CHECK(files_read() == 0);
    clear(&s);
}

typedef struct reverting {
    scene *s;
    const char *batch;
} reverting;

static void *take_back_one(void *ctx)
{
    const reverting *r = ctx;
    tr_graph_preparation coming = {.batches = &r->batch, .batch_count = 1};
    tr_graph_prepare(r->s->house.graph, &r->s->house.tenant, &coming);
    CHECK(tr_world_set_state(&r->s->house, r->batch, "gone", NULL) == TR_OK);
    tr_graph_prepare_end(r->s->house.graph, &r->s->house.tenant, &coming, true);
    return NULL;
}

/* Each reads what the one before it left: three files, two, one, and none of them twice. */
static void who_take_back_at_a_time_take_turns(void)
{
    scene s;
    pthread_t threads[3];
    reverting all[] = {{&s, first}, {&s, second}, {&s, "01THIRD0000000000000000001"}};
    set(&s);
    CHECK(publish_pair(&s.house, all[2].batch, 3000, "IDFA", "j"));
    CHECK(publish_pair(&s.house, "01FOURTH000000000000000001", 4000, "IDFA", "k"));
    CHECK(keys(&s) == 5);
    watch_files(NULL);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, take_back_one, &all[i]) == 0);
    for (uint32_t i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(keys(&s) == 2);
    CHECK(files_read() == 3 + 2 + 1);
    clear(&s);
}

/* One more than may wait does not: who comes after its commit waits instead. */
static void no_more_prepare_than_may(void)
{
    scene s[TR_GRAPH_PREPARATIONS_MAX + 1];
    tr_graph_preparation coming[TR_GRAPH_PREPARATIONS_MAX + 1];
    const tr_rewritten_file by = {0};
    const tr_exchanged_file one = {.old_id = "", .new_id = "", .file = &by};
    set(&s[0]);
    const tr_tenant own = s[0].house.tenant;
    for (uint32_t i = 0; i <= TR_GRAPH_PREPARATIONS_MAX; i++) { /* tenants of one house */
        char org[32];
        (void)snprintf(org, sizeof org, "ORG%u@AdobeOrg", i);
        s[i] = s[0];
        CHECK(tr_catalog_org_ensure(s[0].house.catalog, org, NULL) == TR_OK);
        CHECK(tr_catalog_tenant(s[0].house.catalog, org, "prod", &s[i].house.tenant, NULL) ==
              TR_OK);
        CHECK(keys(&s[i]) > 0);
        coming[i] = (tr_graph_preparation){.exchanged = &one, .count = 1};
        tr_graph_prepare(s[i].house.graph, &s[i].house.tenant, &coming[i]);
        CHECK((coming[i].held != NULL) == (i < TR_GRAPH_PREPARATIONS_MAX));
    }
    for (uint32_t i = 0; i <= TR_GRAPH_PREPARATIONS_MAX; i++)
        tr_graph_prepare_end(s[i].house.graph, &s[i].house.tenant, &coming[i], false);
    tr_graph_prepare(s[0].house.graph, &s[0].house.tenant, &coming[0]);
    CHECK(coming[0].held != NULL);
    tr_graph_prepare_end(s[0].house.graph, &s[0].house.tenant, &coming[0], false);
    s[0].house.tenant = own;
    clear(&s[0]);
}

static void nobody_asks_until_the_end_and_it_is_kept(void)
{
    scene s;
    set(&s);
    CHECK(keys(&s) == 3);
    begin_removal(&s);
    prepare(&s);
    commit(&s);
    end_removal(&s, true);
    watch_files(NULL);
    CHECK(keys(&s) == 2);
    CHECK(files_read() == 0);
    clear(&s);
}

static void one_that_is_given_up_changes_nothing(void)
{
    scene s;
    set(&s);
    CHECK(keys(&s) == 3);
    begin_removal(&s);
    prepare(&s);
    end_removal(&s, false);
    CHECK(keys(&s) == 3);
    CHECK(tr_world_set_state(&s.house, second, "gone", NULL) == TR_OK);
    CHECK(keys(&s) == 2);
    clear(&s);
}

static void what_was_prepared_of_other_files_is_not_taken(void)
{
    scene s;
    set(&s);
    CHECK(keys(&s) == 3);
    begin_removal(&s);
    prepare(&s);
    CHECK(tr_world_set_state(&s.house, second, "gone", NULL) == TR_OK);
    CHECK(keys(&s) == 2); /* the cookie is there still, the device is not */
    commit(&s);
    CHECK(keys(&s) == 1);
    end_removal(&s, true);
    CHECK(keys(&s) == 1);
    clear(&s);
}

static void without_need_or_in_a_server_that_stops_nothing_is_prepared(void)
{
    scene s;
    set(&s);
    begin_removal(&s);
    watch_files(NULL);
    prepare(&s); /* nobody has asked for the graph */
    CHECK(files_read() == 0);
    CHECK(keys(&s) == 3);
    tr_graph_stop(s.house.graph);
    prepare(&s);
    commit(&s);
    watch_files(NULL);
    CHECK(keys(&s) == 2);
    CHECK(files_read() == 2);
    end_removal(&s, true);
    clear(&s);
}

static void without_memory_all_is_read_anew(void)
{
    uint32_t read = 2;
    for (uint32_t after = 0; read > 0 && after < 2000; after += 3) {
        scene s;
        set(&s);
        CHECK(keys(&s) == 3);
        begin_removal(&s);
        tr_arena arena = {0};
        CHECK(tr_store_removal_exchanged(s.removal, &arena, &s.coming.exchanged, &s.coming.count,
                                         NULL) == TR_OK);
        tr_memory_fail_after(after);
        tr_graph_prepare(s.house.graph, &s.house.tenant, &s.coming);
        tr_memory_fail_after(UINT64_MAX);
        tr_arena_free(&arena);
        commit(&s);
        watch_files(NULL);
        CHECK(keys(&s) == 2);
        read = files_read();
        end_removal(&s, true);
        clear(&s);
    }
    CHECK(read == 0);
}

typedef struct watcher {
    scene *s;
    atomic_bool *is_over;
    uint32_t before;
    atomic_uint asked;
    bool is_good;
} watcher;

/* Three keys until the cookie is forgotten, two from there on. */
static void *watch(void *ctx)
{
    watcher *w = ctx;
    w->before = 3;
    w->is_good = true;
    while (!atomic_load(w->is_over)) {
        const uint32_t now = keys(w->s);
        w->is_good = w->is_good && (now == 2 || now == 3) && now <= w->before;
        w->before = now;
        atomic_fetch_add(&w->asked, 1);
    }
    return NULL;
}

static void who_reads_meanwhile_sees_the_one_or_the_other(void)
{
    for (int round = 0; round < 3; round++) {
        scene s;
        atomic_bool is_over = false;
        pthread_t threads[2];
        watcher watchers[2];
        set(&s);
        CHECK(keys(&s) == 3);
        for (uint32_t i = 0; i < 2; i++) {
            watchers[i] = (watcher){.s = &s, .is_over = &is_over};
            CHECK(pthread_create(&threads[i], NULL, watch, &watchers[i]) == 0);
            while (atomic_load(&watchers[i].asked) == 0)
                (void)sched_yield();
        }
        begin_removal(&s);
        prepare(&s);
        commit(&s);
        CHECK(keys(&s) == 2); /* whoever asks behind the commit */
        end_removal(&s, true);
        CHECK(keys(&s) == 2);
        atomic_store(&is_over, true);
        for (uint32_t i = 0; i < 2; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
            CHECK(watchers[i].is_good);
        }
        clear(&s);
    }
}

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    RUN(nobody_waits_and_at_the_commit_it_is_there);
    RUN(what_comes_meanwhile_is_read_behind_it);
    RUN(what_batches_or_a_dataset_leave_is_there_as_well);
    RUN(where_no_file_goes_nothing_is_read);
    RUN(who_take_back_at_a_time_take_turns);
    RUN(no_more_prepare_than_may);
    RUN(nobody_asks_until_the_end_and_it_is_kept);
    RUN(one_that_is_given_up_changes_nothing);
    RUN(what_was_prepared_of_other_files_is_not_taken);
    RUN(without_need_or_in_a_server_that_stops_nothing_is_prepared);
    RUN(who_reads_meanwhile_sees_the_one_or_the_other);
    RUN(without_memory_all_is_read_anew);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
