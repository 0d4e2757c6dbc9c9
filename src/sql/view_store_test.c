/* SPDX-License-Identifier: Apache-2.0 */
/* view_store_test.c - views are found by the texts that name them, all of them and no others: at
 * random, compared with a walk over who names whom; names are taken and given back; limits hold on
 * both sides; without memory nothing is half done. A catalog in a folder of its own, no server. */
#include "sql/view_store.h"

#include "base/limits.h"
#include "base/test.h"
#include "os/os.h"

#include <stdio.h>

static char folder[] = "/tmp/view_store_test.XXXXXX";
static tr_catalog *catalog;
static tr_tenant tenant;

/* The SQLSTATE of a statement's failure, "" when there is none. */
static const char *obey(const char *sql)
{
    tr_arena arena = {0};
    tr_write write = {0};
    const char *state = "";
    tr_code code = tr_write_read(tr_str_of(sql), &arena, &write, &state, NULL);
    if (code == TR_OK && tr_catalog_begin(catalog, NULL) == TR_OK) {
        code = write.kind == TR_WRITE_VIEW
                   ? tr_view_keep(catalog, &tenant, &write, "c", &state, NULL)
                   : tr_view_drop(catalog, &tenant, &write, &state, NULL);
        code = tr_catalog_end(catalog, code, NULL);
    }
    tr_arena_free(&arena);
    return code == TR_OK ? "" : state;
}

/* What a statement finds: names with blanks between. */
static void check_found(const char *sql, const char *expected)
{
    const tr_views_wanted wanted = {.sql = tr_str_of(sql)};
    json_t *found = NULL;
    const char *name;
    const json_t *view;
    char got[400] = "";
    CHECK(tr_views_find(catalog, &tenant, &wanted, &found, NULL) == TR_OK);
    json_object_foreach (found, name, view) {
        CHECK(tr_view_text(view) != NULL);
        (void)strncat(got, name, sizeof got - strlen(got) - 2);
        (void)strncat(got, " ", 2);
    }
    if (strcmp(got, expected) != 0)
        printf("%s finds %s, expected %s\n", sql, got, expected);
    CHECK(strcmp(got, expected) == 0);
    json_decref(found);
}

static void drop_all(void)
{
    json_t *ids = json_array();
    const tr_catalog_filter all = {0};
    size_t i;
    const json_t *id;
    char sql[100];
    CHECK(tr_catalog_ids(catalog, &tenant, TR_VIEW_KIND, &all, ids, NULL) == TR_OK);
    CHECK(tr_catalog_begin(catalog, NULL) == TR_OK); /* one sync for all */
    json_array_foreach (ids, i, id) {
        (void)snprintf(sql, sizeof sql, "DROP VIEW %s", json_string_value(id));
        CHECK(strcmp(obey(sql), "") == 0);
    }
    CHECK(tr_catalog_commit(catalog, NULL) == TR_OK);
    json_decref(ids);
}

static void views_are_found_by_name_in_any_case_and_through_each_other(void)
{
    CHECK(strcmp(obey("CREATE VIEW low AS SELECT * FROM t"), "") == 0);
    CHECK(strcmp(obey("CREATE VIEW Mid AS SELECT * FROM LOW, other"), "") == 0);
    CHECK(strcmp(obey("CREATE VIEW high AS SELECT * FROM \"mid\""), "") == 0);
    check_found("SELECT * FROM t", "");
    check_found("SELECT * FROM low", "low ");
    check_found("SELECT 1 FROM t JOIN main.High x", "high mid low ");
    check_found("SELECT high + low.x FROM t", "");
    check_found("SELECT 1, low FROM t", "low "); /* which the worker does not meet */
    check_found("SELECT 'low' FROM t WHERE low = 1", "");
    drop_all();
    check_found("SELECT * FROM high", "");
}

static void names_are_taken_and_given_back(void)
{
    CHECK(strcmp(obey("CREATE VIEW v AS SELECT 1"), "") == 0);
    CHECK(strcmp(obey("CREATE VIEW V AS SELECT 2"), "42P07") == 0);
    CHECK(strcmp(obey("CREATE VIEW IF NOT EXISTS v AS SELECT 3"), "") == 0);
    CHECK(strcmp(obey("CREATE OR REPLACE VIEW v AS SELECT 4 FROM u"), "") == 0);
    CHECK(strcmp(obey("CREATE VIEW w AS SELECT 5 FROM v"), "") == 0);
    CHECK(strcmp(obey("DROP VIEW v RESTRICT"), "2BP01") == 0);
    CHECK(strcmp(obey("DROP VIEW w RESTRICT"), "") == 0);
    CHECK(strcmp(obey("DROP VIEW v RESTRICT"), "") == 0);
    CHECK(strcmp(obey("DROP VIEW v"), "42P01") == 0);
    CHECK(strcmp(obey("DROP VIEW IF EXISTS v"), "") == 0);
    tr_object table = {.id = "taken", .parent = "d", .doc = json_object()};
    CHECK(tr_catalog_insert(catalog, &tenant, "table", &table, NULL) == TR_OK);
    tr_object_clear(&table);
    CHECK(strcmp(obey("CREATE VIEW taken AS SELECT 1"), "42P07") == 0);
    CHECK(strcmp(obey("CREATE OR REPLACE VIEW taken AS SELECT 1"), "42P07") == 0);
    CHECK(strcmp(obey("DROP VIEW taken"), "42809") == 0);
}

static void a_name_has_letters_digits_and_low_lines(void)
{
    static const char *const bad[] = {"\"a b\"", "\"a.b\"", "\"\xc3\xa9\"", "\"a\"\"\"",
                                      "\"0123456789abcdef01234567\""};
    char sql[200], name[65];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(sql, sizeof sql, "CREATE VIEW %s AS SELECT 1", bad[i]);
        CHECK(strcmp(obey(sql), "42602") == 0);
    }
    memset(name, 'n', sizeof name - 1);
    name[64] = '\0';
    (void)snprintf(sql, sizeof sql, "CREATE VIEW %s AS SELECT 1", name);
    CHECK(strcmp(obey(sql), "42602") == 0);
    (void)snprintf(sql, sizeof sql, "CREATE VIEW %s AS SELECT 1", name + 1);
    CHECK(strcmp(obey(sql), "") == 0);
    drop_all();
}

static void one_over_a_limit_is_refused(void)
{
    char sql[100];
    static char text[TR_VIEW_BYTES_MAX + 100];
    for (int more = 0; more <= 1; more++) {
        const int head = snprintf(text, sizeof text, "CREATE OR REPLACE VIEW v AS SELECT '");
        const size_t len = TR_VIEW_BYTES_MAX - strlen("SELECT ''") + (size_t)more;
        memset(text + head, 'x', len);
        memcpy(text + head + len, "'", 2);
        CHECK(strcmp(obey(text), more ? "54000" : "") == 0);
    }
    CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
    for (int i = 1; i < TR_VIEWS_MAX; i++) {
        (void)snprintf(sql, sizeof sql, "CREATE VIEW v%d AS SELECT 1", i);
        CHECK(strcmp(obey(sql), "") == 0);
    }
    CHECK(tr_catalog_commit(catalog, NULL) == TR_OK);
    CHECK(strcmp(obey("CREATE VIEW one_more AS SELECT 1"), "53400") == 0);
    CHECK(strcmp(obey("CREATE OR REPLACE VIEW v1 AS SELECT 2"), "") == 0);
    CHECK(strcmp(obey("DROP VIEW v1"), "") == 0);
    CHECK(strcmp(obey("CREATE VIEW one_more AS SELECT 1"), "") == 0);
    drop_all();
}

/* Who names whom, at random, circles too: what a statement finds is what can be walked to. */
static void at_random_what_is_found_is_what_can_be_walked_to(void)
{
    enum { COUNT = 8 };
    uint64_t seed = tr_test_seed(0x5eed0011);
    for (int round = 0; round < 60; round++) {
        bool names[COUNT][COUNT] = {{false}}, is_reached[COUNT] = {false};
        CHECK(tr_catalog_begin(catalog, NULL) == TR_OK);
        for (size_t i = 0; i < COUNT; i++) {
            char sql[200];
            (void)snprintf(sql, sizeof sql, "CREATE OR REPLACE VIEW v%zu AS SELECT v%zu FROM t", i,
                           (size_t)(tr_test_random(&seed) % COUNT)); /* a column of such a name */
            for (size_t k = 0; k < COUNT; k++) {
                names[i][k] = tr_test_random(&seed) % 5 == 0;
                const size_t len = strlen(sql);
                if (names[i][k])
                    (void)snprintf(sql + len, sizeof sql - len, ", v%zu", k);
            }
            CHECK(strcmp(obey(sql), "") == 0);
        }
        CHECK(tr_catalog_commit(catalog, NULL) == TR_OK);
        is_reached[0] = true;
        for (size_t again = 0; again < COUNT; again++)
            for (size_t i = 0; i < COUNT; i++)
                for (size_t k = 0; k < COUNT; k++)
                    is_reached[k] = is_reached[k] || (is_reached[i] && names[i][k]);
        json_t *found = NULL;
        const tr_views_wanted wanted = {.sql = tr_str_of("SELECT * FROM v0")};
        CHECK(tr_views_find(catalog, &tenant, &wanted, &found, NULL) == TR_OK);
        for (size_t i = 0; i < COUNT; i++) {
            char name[8];
            (void)snprintf(name, sizeof name, "v%zu", i);
            CHECK((json_object_get(found, name) != NULL) == is_reached[i]);
        }
        json_decref(found);
    }
    drop_all();
}

static void a_view_that_is_not_kept_yet_stands_in_for_the_one_of_its_name(void)
{
    tr_arena arena = {0};
    tr_write write = {0};
    const char *state;
    json_t *found = NULL;
    CHECK(strcmp(obey("CREATE VIEW v AS SELECT 'old' AS a"), "") == 0);
    CHECK(tr_write_read(tr_str_of("CREATE OR REPLACE VIEW V(b) AS SELECT 'new' AS a"), &arena,
                        &write, &state, NULL) == TR_OK);
    const tr_views_wanted wanted = {.sql = tr_str_of("SELECT * FROM v"), .new_view = &write};
    CHECK(tr_views_find(catalog, &tenant, &wanted, &found, NULL) == TR_OK);
    const json_t *view = json_object_get(found, "v");
    CHECK(strcmp(tr_view_text(view), "SELECT 'new' AS a") == 0);
    CHECK(json_array_size(json_object_get(view, "names")) == 1);
    json_decref(found);
    tr_arena_free(&arena);
    drop_all();
}

static void without_memory_nothing_is_half_done(void)
{
    CHECK(strcmp(obey("CREATE VIEW a AS SELECT 1 FROM t"), "") == 0);
    CHECK(strcmp(obey("CREATE VIEW b AS SELECT 2 FROM a"), "") == 0);
    const tr_views_wanted wanted = {.sql = tr_str_of("SELECT * FROM b")};
    for (uint64_t after = 0;; after++) {
        json_t *found = NULL;
        tr_memory_fail_after(after);
        const tr_code code = tr_views_find(catalog, &tenant, &wanted, &found, NULL);
        tr_memory_fail_after(UINT64_MAX);
        CHECK(code == TR_OK || (code == TR_NO_MEMORY && found == NULL));
        const bool is_done = code == TR_OK;
        CHECK(!is_done || json_object_size(found) == 2);
        json_decref(found);
        if (is_done)
            break;
    }
    drop_all();
}

int main(void)
{
    char path[100];
    int passed = 0, failed = 0;
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/catalog", folder);
    if (tr_catalog_open(path, &catalog, NULL) != TR_OK ||
        tr_catalog_org_ensure(catalog, "0123456789ABCDEF01234567@AdobeOrg", NULL) != TR_OK ||
        tr_catalog_tenant(catalog, "0123456789ABCDEF01234567@AdobeOrg", "prod", &tenant, NULL) !=
            TR_OK)
        return 1;
    RUN(views_are_found_by_name_in_any_case_and_through_each_other);
    RUN(names_are_taken_and_given_back);
    RUN(a_name_has_letters_digits_and_low_lines);
    RUN(one_over_a_limit_is_refused);
    RUN(at_random_what_is_found_is_what_can_be_walked_to);
    RUN(a_view_that_is_not_kept_yet_stands_in_for_the_one_of_its_name);
    RUN(without_memory_nothing_is_half_done);
    tr_catalog_close(catalog);
    if (tr_dir_remove(folder, NULL) != TR_OK)
        return 1;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
