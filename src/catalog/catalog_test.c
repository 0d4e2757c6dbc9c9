/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_test.c - goal: what is committed is there for its own tenant and nobody else, in order,
 * also after SIGKILL and with a second process on the same file. Method: a real file; random lists
 * are compared with a slow model; processes are forked before anything is opened.
 */
#include "base/clock.h"
#include "base/test.h"
#include "catalog/catalog.h"
#include "os/os.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#define ORG_A "0123456789ABCDEF01234567@AdobeOrg"
#define ORG_B "76543210FEDCBA9876543210@AdobeOrg"

static char folder[64];
static char path[96];
static tr_catalog *catalog;
static tr_tenant tenant, other;

static void fresh(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/catalog_test.XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/catalog.db", folder);
}

static void open_catalog(void)
{
    tr_err err = {0};
    if (tr_catalog_open(path, &catalog, &err) != TR_OK)
        printf("%s\n", err.text);
    CHECK(tr_catalog_org_ensure(catalog, ORG_A, &err) == TR_OK);
    CHECK(tr_catalog_org_ensure(catalog, ORG_B, &err) == TR_OK);
    CHECK(tr_catalog_tenant(catalog, ORG_A, "prod", &tenant, &err) == TR_OK);
    CHECK(tr_catalog_tenant(catalog, ORG_B, "prod", &other, &err) == TR_OK);
}

static void close_catalog(void)
{
    tr_catalog_close(catalog);
    catalog = NULL;
    CHECK(tr_dir_remove(folder, NULL) == TR_OK);
}

static tr_object made(const char *id, const char *parent, const char *state, int64_t created_ms)
{
    tr_object object = {.created_ms = created_ms, .doc = json_pack("{s:s}", "name", id)};
    (void)snprintf(object.id, sizeof object.id, "%s", id);
    (void)snprintf(object.parent, sizeof object.parent, "%s", parent);
    (void)snprintf(object.state, sizeof object.state, "%s", state);
    return object;
}

static tr_code insert_at(const tr_tenant *to, const char *id, int64_t created_ms)
{
    tr_object object = made(id, "p", "s", created_ms);
    const tr_code code = tr_catalog_insert(catalog, to, "thing", &object, NULL);
    tr_object_clear(&object);
    return code;
}

static bool has(const tr_tenant *of, const char *id)
{
    tr_object object;
    const tr_code code = tr_catalog_get(catalog, of, "thing", id, &object, NULL);
    if (code == TR_OK)
        tr_object_clear(&object);
    CHECK(code == TR_OK || code == TR_NOT_FOUND);
    return code == TR_OK;
}

static void an_object_is_its_tenants_alone(void)
{
    fresh();
    open_catalog();
    CHECK(insert_at(&tenant, "a", 0) == TR_OK);
    CHECK(has(&tenant, "a") && !has(&other, "a"));
    CHECK(insert_at(&other, "a", 0) == TR_OK); /* the same id is another object there */
    CHECK(tr_catalog_remove(catalog, &other, "thing", "a", NULL) == TR_OK);
    CHECK(has(&tenant, "a") && !has(&other, "a"));
    CHECK(tr_catalog_remove(catalog, &other, "thing", "a", NULL) == TR_NOT_FOUND);
    tr_object object = {.id = "a"};
    object.doc = json_object();
    CHECK(tr_catalog_put(catalog, &other, "thing", &object, 0, NULL) == TR_NOT_FOUND);
    CHECK(tr_catalog_get(catalog, &tenant, "other_kind", "a", &object, NULL) == TR_NOT_FOUND);
    tr_object_clear(&object);
    CHECK(tr_catalog_tenant(catalog, ORG_A, "nope", &other, NULL) == TR_NOT_FOUND);
    CHECK(tr_catalog_tenant(catalog, "nope", "prod", &other, NULL) == TR_DENIED);
    close_catalog();
}

static void what_is_put_is_read_back(void)
{
    fresh();
    open_catalog();
    tr_object object = made("x", "parent", "NEW", 1700000000123), read;
    CHECK(tr_catalog_insert(catalog, &tenant, "thing", &object, NULL) == TR_OK);
    CHECK(tr_catalog_insert(catalog, &tenant, "thing", &object, NULL) == TR_CONFLICT);
    CHECK(json_object_set_new(object.doc, "n", json_real(0.1)) == 0);
    (void)snprintf(object.state, sizeof object.state, "DONE");
    object.updated_ms = 1700000000999;
    CHECK(tr_catalog_put(catalog, &tenant, "thing", &object, 1, NULL) == TR_OK);
    CHECK(tr_catalog_put(catalog, &tenant, "thing", &object, 1, NULL) == TR_CONFLICT);
    CHECK(tr_catalog_get(catalog, &tenant, "thing", "x", &read, NULL) == TR_OK);
    CHECK(read.revision == 2 && read.created_ms == 1700000000123);
    CHECK(read.updated_ms == 1700000000999 && strcmp(read.state, "DONE") == 0);
    CHECK(strcmp(read.parent, "parent") == 0 && json_equal(read.doc, object.doc));
    tr_object_clear(&read);
    tr_object_clear(&object);
    close_catalog();
}

static void only_the_outermost_commit_writes(void)
{
    fresh();
    open_catalog();
    CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
    CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
    CHECK(insert_at(&tenant, "a", 0) == TR_OK);
    CHECK(tr_catalog_commit(catalog, NULL) == TR_OK);
    CHECK(has(&tenant, "a"));                          /* its own writes */
    CHECK(insert_at(&tenant, "a", 0) == TR_CONFLICT);  /* does not end the transaction */
    tr_catalog_rollback(catalog);
    CHECK(!has(&tenant, "a"));
    CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
    CHECK(insert_at(&tenant, "b", 0) == TR_OK);
    CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
    CHECK(tr_catalog_end(catalog, TR_IO, NULL) == TR_IO);
    CHECK(insert_at(&tenant, "c", 0) == TR_CANCELLED); /* nor does what comes after it */
    CHECK(tr_catalog_end(catalog, TR_OK, NULL) == TR_CANCELLED); /* a part gave up */
    CHECK(!has(&tenant, "b") && !has(&tenant, "c"));
    CHECK(insert_at(&tenant, "b", 0) == TR_OK && has(&tenant, "b"));
    tr_catalog_rollback(catalog); /* of nothing */
    CHECK(tr_catalog_commit(catalog, NULL) == TR_CANCELLED);
    close_catalog();
}

typedef struct ids {
    int count;
    char text[300][16];
} ids;

static tr_code collect(void *ctx, const tr_object *object, tr_err *err)
{
    ids *list = ctx;
    (void)err;
    (void)snprintf(list->text[list->count++], 16, "%s", object->id);
    return TR_OK;
}

static ids listed(const tr_catalog_filter *filter)
{
    ids list = {0};
    CHECK(tr_catalog_list(catalog, &tenant, "thing", filter, collect, &list, NULL) == TR_OK);
    return list;
}

static void a_tenants_clock_never_stands_still(void)
{
    fresh();
    open_catalog();
    int64_t us = 0, before = tr_time_now_us() - 1;
    for (int i = 0; i < 100; i++) {
        CHECK(tr_catalog_clock(catalog, &tenant, &us, NULL) == TR_OK && us > before);
        before = us;
    }
    CHECK(us <= tr_time_now_us() + 100);
    CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
    CHECK(tr_catalog_clock(catalog, &tenant, &us, NULL) == TR_OK && us > before);
    tr_catalog_rollback(catalog);
    close_catalog();
}

static void decimal_ids_are_ordered_as_numbers(void)
{
    fresh();
    open_catalog();
    CHECK(insert_at(&tenant, "10", 5) == TR_OK && insert_at(&tenant, "9", 5) == TR_OK);
    CHECK(insert_at(&tenant, "100", 5) == TR_OK && insert_at(&tenant, "1", 9) == TR_OK);
    tr_catalog_filter filter = {0};
    ids list = listed(&filter);
    CHECK(list.count == 4 && strcmp(list.text[0], "9") == 0 && strcmp(list.text[3], "1") == 0);
    filter = (tr_catalog_filter){.after_id = "10", .after_created_ms = 5};
    list = listed(&filter);
    CHECK(list.count == 2 && strcmp(list.text[0], "100") == 0);
    filter.is_descending = true;
    list = listed(&filter);
    CHECK(list.count == 1 && strcmp(list.text[0], "9") == 0);
    close_catalog();
}

/* The model: everything in order of insertion, which the test makes the order of the list. */
static void lists_agree_with_a_slow_model(void)
{
    static const char *const parents[] = {"p", "q"}, *const states[] = {"NEW", "DONE", "GONE"};
    uint64_t random = tr_test_seed(0xca7a);
    int parent_of[200], state_of[200];
    fresh();
    open_catalog();
    CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
    for (int i = 0; i < 200; i++) {
        char id[16];
        parent_of[i] = (int)(tr_test_random(&random) % 2);
        state_of[i] = (int)(tr_test_random(&random) % 3);
        (void)snprintf(id, sizeof id, "%d", i + 1);
        tr_object object = made(id, parents[parent_of[i]], states[state_of[i]], 100 + i / 7);
        CHECK(tr_catalog_insert(catalog, &tenant, "thing", &object, NULL) == TR_OK);
        tr_object_clear(&object);
    }
    CHECK(tr_catalog_commit(catalog, NULL) == TR_OK);
    for (int round = 0; round < 300; round++) {
        const int parent = (int)(tr_test_random(&random) % 3), two = (int)(tr_test_random(&random) % 3);
        tr_catalog_filter filter = {.parent = parent == 2 ? NULL : parents[parent],
                                    .state = two == 0 ? NULL : two == 1 ? "DONE" : "NEW,GONE",
                                    .is_descending = tr_test_random(&random) % 2 == 0,
                                    .limit = (int64_t)(tr_test_random(&random) % 50),
                                    .offset = (int64_t)(tr_test_random(&random) % 20)};
        const ids list = listed(&filter);
        int64_t seen = 0, kept = 0;
        for (int n = 0; n < 200; n++) {
            const int i = filter.is_descending ? 199 - n : n;
            if ((parent != 2 && parent_of[i] != parent) ||
                (two == 1 && state_of[i] != 1) || (two == 2 && state_of[i] == 1) ||
                seen++ < filter.offset || (filter.limit != 0 && kept == filter.limit))
                continue;
            CHECK(kept < list.count && atoi(list.text[kept]) == i + 1);
            kept++;
        }
        CHECK(kept == list.count);
    }
    close_catalog();
}

static void a_sequence_counts_per_tenant(void)
{
    int64_t number = 0;
    fresh();
    open_catalog();
    for (int64_t i = 1; i <= 3; i++)
        CHECK(tr_catalog_next(catalog, &tenant, "export", &number, NULL) == TR_OK && number == i);
    CHECK(tr_catalog_next(catalog, &other, "export", &number, NULL) == TR_OK && number == 1);
    CHECK(tr_catalog_next(catalog, &tenant, "else", &number, NULL) == TR_OK && number == 1);
    close_catalog();
}

static void sandboxes_come_and_go_with_all_in_them(void)
{
    tr_tenant dev, again;
    uint8_t secret[192], same[192];
    json_t *doc = json_pack("{s:s, s:s}", "title", "Dev", "type", "development"), *list = NULL;
    fresh();
    open_catalog();
    CHECK(tr_catalog_sandbox_put(catalog, ORG_A, "dev", doc, NULL) == TR_OK);
    CHECK(tr_catalog_tenant(catalog, ORG_A, "dev", &dev, NULL) == TR_OK);
    CHECK(strcmp(dev.sandbox_type, "development") == 0 && !dev.is_default && tenant.is_default);
    CHECK(strcmp(dev.tenant_name, tenant.tenant_name) == 0 && strcmp(dev.folder, tenant.folder) != 0);
    CHECK(tr_catalog_secret(catalog, &dev, secret, NULL) == TR_OK);
    CHECK(tr_catalog_secret(catalog, &tenant, same, NULL) == TR_OK && memcmp(secret, same, 192) != 0);
    CHECK(tr_catalog_sandbox_list(catalog, ORG_A, &list, NULL) == TR_OK && json_array_size(list) == 2);
    CHECK(strcmp(tr_json_text(json_array_get(list, 1), "id", ""), dev.sandbox_id) == 0);
    CHECK(strcmp(tr_json_text(json_array_get(list, 1), "state", ""), "active") == 0);
    CHECK(insert_at(&dev, "a", 0) == TR_OK);
    CHECK(tr_catalog_sandbox_remove(catalog, ORG_A, "dev", NULL) == TR_OK);
    CHECK(tr_catalog_sandbox_remove(catalog, ORG_A, "dev", NULL) == TR_NOT_FOUND);
    CHECK(insert_at(&dev, "b", 0) == TR_NOT_FOUND && !has(&dev, "a"));
    CHECK(tr_catalog_sandbox_put(catalog, ORG_A, "dev", doc, NULL) == TR_OK);
    CHECK(tr_catalog_tenant(catalog, ORG_A, "dev", &again, NULL) == TR_OK && again.id != dev.id);
    CHECK(!has(&again, "a"));
    CHECK(tr_catalog_tenant_by_id(catalog, dev.id, &again, NULL) == TR_NOT_FOUND);
    json_decref(list);
    json_decref(doc);
    close_catalog();
}

static void values_and_clients_are_kept(void)
{
    tr_buf out = {0};
    json_t *doc = json_pack("{s:s}", "org", ORG_A), *read = NULL;
    fresh();
    open_catalog();
    CHECK(tr_catalog_value_get(catalog, "key", &out, NULL) == TR_NOT_FOUND);
    CHECK(tr_catalog_value_put(catalog, "key", (tr_str){(const uint8_t *)"a\0b", 3}, NULL) == TR_OK);
    CHECK(tr_catalog_value_get(catalog, "key", &out, NULL) == TR_OK && out.len == 3);
    CHECK(tr_catalog_client_get(catalog, "c", &read, NULL) == TR_NOT_FOUND);
    CHECK(tr_catalog_client_put(catalog, "c", doc, NULL) == TR_OK);
    CHECK(tr_catalog_client_get(catalog, "c", &read, NULL) == TR_OK && json_equal(read, doc));
    json_decref(read);
    json_decref(doc);
    tr_buf_free(&out);
    close_catalog();
}

static tr_code count_scanned(void *ctx, const tr_tenant *of, const tr_object *object, tr_err *err)
{
    (void)err;
    CHECK(strcmp(object->state, "s") == 0 && of->org[0] != '\0');
    ++*(int *)ctx;
    return TR_OK;
}

static void a_scan_sees_every_tenant(void)
{
    int count = 0;
    fresh();
    open_catalog();
    CHECK(insert_at(&tenant, "a", 0) == TR_OK && insert_at(&other, "b", 0) == TR_OK);
    CHECK(tr_catalog_scan(catalog, "thing", "s", count_scanned, &count, NULL) == TR_OK && count == 2);
    CHECK(tr_catalog_scan(catalog, "thing", "t,u", count_scanned, &count, NULL) == TR_OK && count == 2);
    close_catalog();
}

/* The later the letter, the earlier; none of "x". */
static bool choose_by_name(const tr_object *object, int64_t *rank)
{
    *rank = -(object->id[0] / 2); /* b and c are equal */
    return object->id[0] != 'x';
}

static tr_code note_resumed(void *ctx, const tr_tenant *of, const char *id, tr_err *err)
{
    char *order = ctx;
    (void)err;
    CHECK(of->org[0] != '\0');
    (void)snprintf(order + strlen(order), 2, "%s", id);
    return id[0] == 'a' && order[0] == 'e' ? TR_BUSY : TR_OK;
}

static void what_was_under_way_is_resumed_in_order(void)
{
    static const char *const states[] = {"t", "s", NULL};
    tr_catalog_waiting waiting = {.kind = "thing", .states = states, .resume = note_resumed};
    char all[16] = "", chosen[16] = "";
    fresh();
    open_catalog();
    static const char *const letters[] = {"b", "x", "e", "c", "a"};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        CHECK(insert_at(i % 2 == 0 ? &tenant : &other, letters[i], 0) == TR_OK);
    CHECK(tr_catalog_resume(catalog, "thing", states, note_resumed, all, NULL) == TR_OK);
    CHECK(strlen(all) == 5);
    waiting.choose = choose_by_name;
    CHECK(tr_catalog_resume_waiting(catalog, &waiting, chosen, NULL) == TR_BUSY);
    CHECK(chosen[0] == 'e' && strlen(chosen) == 4 && chosen[3] == 'a');
    CHECK((strchr(chosen, 'b') < strchr(chosen, 'c')) == (strchr(all, 'b') < strchr(all, 'c')));
    close_catalog();
}

static void tenants_with_objects_of_a_kind_are_listed_once(void)
{
    tr_tenant *list = NULL;
    uint32_t count = 7;
    fresh();
    open_catalog();
    CHECK(tr_catalog_tenants_with(catalog, "thing", &list, &count, NULL) == TR_OK && count == 0);
    tr_free(list);
    CHECK(insert_at(&other, "b", 0) == TR_OK && insert_at(&tenant, "a", 0) == TR_OK);
    CHECK(insert_at(&other, "c", 1) == TR_OK && insert_at(&tenant, "d", 1) == TR_OK);
    CHECK(tr_catalog_tenants_with(catalog, "thing", &list, &count, NULL) == TR_OK && count == 2);
    CHECK(list[0].id != list[1].id && list[0].id + list[1].id == tenant.id + other.id);
    tr_free(list);
    CHECK(tr_catalog_tenants_with(catalog, "other", &list, &count, NULL) == TR_OK && count == 0);
    tr_free(list);
    close_catalog();
}

static int ended(pid_t child)
{
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return status;
}

static void killed_inside_a_transaction_leaves_what_was_committed(void)
{
    fresh();
    const pid_t child = fork();
    if (child == 0) {
        open_catalog();
        (void)insert_at(&tenant, "kept", 0);
        CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
        (void)insert_at(&tenant, "lost", 0);
        (void)setenv("TR_CRASH_AT", "catalog_committing", 1);
        CHECK(tr_catalog_commit(catalog, NULL) == TR_OK);
        _exit(0);
    }
    CHECK(WIFSIGNALED(ended(child)));
    open_catalog();
    CHECK(has(&tenant, "kept") && !has(&tenant, "lost"));
    close_catalog();
}

static void two_processes_write_at_once(void)
{
    enum { EACH = 60 };
    pid_t children[2];
    fresh();
    for (int c = 0; c < 2; c++) {
        children[c] = fork();
        if (children[c] != 0)
            continue;
        int64_t number = 0;
        bool is_good = true;
        open_catalog(); /* both make the file */
        for (int i = 0; i < EACH; i++)
            is_good = tr_catalog_next(catalog, &tenant, "n", &number, NULL) == TR_OK && is_good;
        _exit(is_good ? 0 : 1);
    }
    CHECK(ended(children[0]) == 0);
    CHECK(ended(children[1]) == 0);
    int64_t number = 0;
    open_catalog();
    CHECK(tr_catalog_next(catalog, &tenant, "n", &number, NULL) == TR_OK && number == 2 * EACH + 1);
    close_catalog();
}

/* Each writer moves one coin between two objects in a transaction; readers must never see a sum
 * that is not 100, and are not held up by the writers. */
static _Atomic int bad_sums;
static void *move_coins(void *unused)
{
    (void)unused;
    for (int i = 0; i < 40; i++) {
        tr_object a, b;
        tr_err err = {0};
        if (tr_catalog_begin(catalog, &err) != TR_OK)
            continue;
        CHECK(tr_catalog_get(catalog, &tenant, "purse", "a", &a, NULL) == TR_OK);
        CHECK(tr_catalog_get(catalog, &tenant, "purse", "b", &b, NULL) == TR_OK);
        (void)json_object_set_new(a.doc, "n", json_integer(tr_json_int(a.doc, "n", 0) - 1));
        (void)json_object_set_new(b.doc, "n", json_integer(tr_json_int(b.doc, "n", 0) + 1));
        tr_code code = tr_catalog_put(catalog, &tenant, "purse", &a, a.revision, &err);
        if (code == TR_OK)
            code = tr_catalog_put(catalog, &tenant, "purse", &b, b.revision, &err);
        CHECK(tr_catalog_end(catalog, code, &err) == TR_OK);
        tr_object_clear(&a);
        tr_object_clear(&b);
    }
    return NULL;
}

static tr_code add_up(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    *(int64_t *)ctx += tr_json_int(object->doc, "n", 0);
    return TR_OK;
}

static void *watch_coins(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++) {
        int64_t sum = 0;
        if (tr_catalog_list(catalog, &tenant, "purse", NULL, add_up, &sum, NULL) != TR_OK || sum != 100)
            bad_sums++;
    }
    return NULL;
}

static void readers_see_transactions_whole(void)
{
    pthread_t threads[6];
    fresh();
    open_catalog();
    tr_object a = {.id = "a", .doc = json_pack("{s:i}", "n", 100)};
    tr_object b = {.id = "b", .doc = json_pack("{s:i}", "n", 0)};
    CHECK(tr_catalog_insert(catalog, &tenant, "purse", &a, NULL) == TR_OK);
    CHECK(tr_catalog_insert(catalog, &tenant, "purse", &b, NULL) == TR_OK);
    for (int i = 0; i < 6; i++)
        CHECK(pthread_create(&threads[i], NULL, i % 2 == 0 ? move_coins : watch_coins, NULL) == 0);
    for (int i = 0; i < 6; i++)
        (void)pthread_join(threads[i], NULL);
    CHECK(bad_sums == 0);
    tr_object_clear(&a);
    tr_object_clear(&b);
    CHECK(tr_catalog_get(catalog, &tenant, "purse", "b", &b, NULL) == TR_OK);
    CHECK(tr_json_int(b.doc, "n", 0) == 120);
    tr_object_clear(&b);
    close_catalog();
}

static void damage_is_told_and_foreign_files_are_refused(void)
{
    tr_err err = {0};
    sqlite3 *db = NULL;
    tr_object object;
    fresh();
    open_catalog();
    CHECK(insert_at(&tenant, "a", 0) == TR_OK);
    tr_catalog_close(catalog);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "UPDATE object SET doc = '{\"name\":\"b\"}'", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
    open_catalog();
    CHECK(tr_catalog_get(catalog, &tenant, "thing", "a", &object, &err) == TR_CORRUPT);
    tr_catalog_close(catalog);
    CHECK(tr_file_put(path, tr_str_of("this is not a database, but long enough to be read as one; "
                                      "SQLite looks at the first hundred bytes of the file."),
                      NULL) == TR_OK);
    catalog = NULL;
    CHECK(tr_catalog_open(path, &catalog, &err) == TR_CORRUPT && strstr(err.text, "damaged") != NULL);
    CHECK(strstr(err.text, folder) == NULL && catalog == NULL);
    CHECK(tr_file_remove(path, NULL) == TR_OK);
    CHECK(sqlite3_open(path, &db) == SQLITE_OK);
    CHECK(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL) == SQLITE_OK);
    (void)sqlite3_close(db);
    CHECK(tr_catalog_open(path, &catalog, &err) == TR_CORRUPT);
    close_catalog();
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(an_object_is_its_tenants_alone);
    RUN(what_is_put_is_read_back);
    RUN(only_the_outermost_commit_writes);
    RUN(a_tenants_clock_never_stands_still);
    RUN(decimal_ids_are_ordered_as_numbers);
    RUN(lists_agree_with_a_slow_model);
    RUN(a_sequence_counts_per_tenant);
    RUN(sandboxes_come_and_go_with_all_in_them);
    RUN(values_and_clients_are_kept);
    RUN(a_scan_sees_every_tenant);
    RUN(what_was_under_way_is_resumed_in_order);
    RUN(tenants_with_objects_of_a_kind_are_listed_once);
    RUN(killed_inside_a_transaction_leaves_what_was_committed);
    RUN(two_processes_write_at_once);
    RUN(readers_see_transactions_whole);
    RUN(damage_is_told_and_foreign_files_are_refused);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
