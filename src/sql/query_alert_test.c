/* SPDX-License-Identifier: Apache-2.0 */
/* query_alert_test.c - subscribers of alerts on queries are kept, told and forgotten as they
 * should, also when memory ends anywhere; random subscriptions are compared with a plain table. A
 * catalog in a folder of its own, no server. */
#include "sql/query_alert.h"
#include "sql/query_job.h"
#include "sql/query_schedule.h"

#include "base/limits.h"
#include "base/test.h"
#include "os/os.h"

#include <stdio.h>

static char folder[] = "/tmp/query_alert_test.XXXXXX";
static tr_catalog *catalog;
static tr_tenant tenant;

static void put(const char *kind, const char *id, json_t *doc)
{
    tr_object object = {.doc = doc, .state = "SUCCESS"};
    (void)snprintf(object.id, sizeof object.id, "%s", id);
    CHECK(tr_catalog_insert(catalog, &tenant, kind, &object, NULL) == TR_OK);
    json_decref(doc);
}

static tr_code subscribe(const char *asset, const char *type, const char *email, bool by_email,
                         tr_err *err)
{
    tr_object made = {0};
    json_t *body = json_pack("{s:s,s:s,s:{s:[s],s:b,s:b}}", "assetId", asset, "alertType", type,
                             "subscriptions", "emailIds", email, "emailNotifications", by_email,
                             "inContextNotifications", !by_email);
    const tr_code code = tr_query_alert_subscribe(catalog, &tenant, body, &made, err);
    tr_object_clear(&made);
    json_decref(body);
    return code;
}

static bool has_been_told(const char *asset, const char *type)
{
    tr_object alert = {0};
    CHECK(tr_query_alert_get(catalog, &tenant, asset, type, &alert, NULL) == TR_OK);
    const bool is = json_object_get(alert.doc, "lastTriggered") != NULL;
    tr_object_clear(&alert);
    return is;
}

static void an_address_has_one_at_sign_and_no_blank(void)
{
    static const char *const good[] = {"a@b", "ann.lee+x@example.com", "\xc3\xa9@example.com"};
    static const char *const bad[] = {"",      "a",     "@",     "a@",     "@b",
                                      "a@b@c", "a b@c", "a@b\n", "a\x7f@b"};
    char longest[TR_EMAIL_BYTES_MAX + 2];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(tr_is_email(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!tr_is_email(bad[i]));
    memset(longest, 'a', sizeof longest);
    longest[1] = '@';
    longest[TR_EMAIL_BYTES_MAX] = '\0';
    CHECK(tr_is_email(longest));
    longest[TR_EMAIL_BYTES_MAX] = 'a';
    longest[TR_EMAIL_BYTES_MAX + 1] = '\0';
    CHECK(!tr_is_email(longest));
}

static void what_is_said_last_of_an_address_holds(void)
{
    enum { ADDRESSES = 12, ROUNDS = 120 };
    int model[ADDRESSES] = {0}; /* 0: none; 1: in context; 2: by e-mail */
    uint64_t chance = tr_test_seed(0x5eed0006);
    tr_object alert = {0};
    for (int round = 0; round < ROUNDS; round++) {
        char email[40];
        const int number = (int)(tr_test_random(&chance) % ADDRESSES);
        const int by_email = (int)(tr_test_random(&chance) % 2);
        (void)snprintf(email, sizeof email,
                       tr_test_random(&chance) % 2 == 0 ? "u%d@Example.com" : "U%d@example.COM",
                       number);
        CHECK(subscribe("q1", "success", email, by_email == 1, NULL) == TR_OK);
        model[number] = 1 + by_email;
    }
    CHECK(tr_query_alert_get(catalog, &tenant, "q1", "success", &alert, NULL) == TR_OK);
    size_t count = 0;
    for (int number = 0; number < ADDRESSES; number++) {
        char email[40];
        (void)snprintf(email, sizeof email, "u%d@example.com", number);
        const json_t *one = tr_query_alert_subscriber(alert.doc, email);
        CHECK((one != NULL) == (model[number] != 0));
        CHECK(one == NULL || tr_json_bool(one, "byEmail", false) == (model[number] == 2));
        CHECK(one == NULL || tr_json_bool(one, "inContext", false) == (model[number] == 1));
        count += one != NULL;
    }
    CHECK(count == json_array_size(json_object_get(alert.doc, "_subscribers")));
    tr_object_clear(&alert);
}

static void one_subscriber_over_the_limit_is_refused(void)
{
    tr_err err = {0};
    char email[40];
    for (int i = 0; i < TR_ALERT_SUBSCRIBERS_MAX; i++) {
        (void)snprintf(email, sizeof email, "n%d@example.com", i);
        CHECK(subscribe("q1", "failure", email, true, NULL) == TR_OK);
    }
    CHECK(subscribe("q1", "failure", "more@example.com", true, &err) == TR_INVALID);
    CHECK(strstr(err.text, "at most 100") != NULL);
    CHECK(subscribe("q1", "failure", "n7@example.com", false, NULL) == TR_OK);
}

static void a_run_tells_the_alerts_of_its_schedule_and_its_own(void)
{
    json_t *doc = json_pack("{s:s}", "scheduleId", "s1");
    const tr_object query = {.id = "q1", .doc = doc};
    CHECK(subscribe("s1", "start", "a@b", true, NULL) == TR_OK);
    CHECK(subscribe("s1", "failure", "a@b", true, NULL) == TR_OK);
    CHECK(subscribe("s1", "success", "a@b", true, NULL) == TR_OK);
    tr_query_alert_tell(catalog, &tenant, &query, "IN_PROGRESS");
    CHECK(has_been_told("s1", "start") && !has_been_told("s1", "failure"));
    CHECK(!has_been_told("q1", "success") && !has_been_told("s1", "success"));
    tr_query_alert_tell(catalog, &tenant, &query, "KILLED");
    CHECK(has_been_told("s1", "failure") && has_been_told("q1", "failure"));
    tr_query_alert_tell(catalog, &tenant, &query, "SUCCESS");
    CHECK(has_been_told("q1", "success") && has_been_told("s1", "success"));
    json_decref(doc);
}

static void without_memory_nothing_is_half_done(void)
{
    tr_object alert = {0};
    for (uint64_t n = 0; n < 400; n++) {
        tr_memory_fail_after(n);
        const tr_code code = subscribe("q2", "start", "a@b", true, NULL);
        tr_memory_fail_after(UINT64_MAX);
        const tr_code found = tr_query_alert_get(catalog, &tenant, "q2", "start", &alert, NULL);
        CHECK(found == (code == TR_OK ? TR_OK : TR_NOT_FOUND));
        tr_object_clear(&alert);
        alert = (tr_object){0};
        if (code == TR_OK)
            return;
    }
    CHECK(false);
}

static void alerts_go_with_their_asset_alone(void)
{
    tr_object alert = {0};
    CHECK(tr_query_alerts_drop(catalog, &tenant, "q1", NULL) == TR_OK);
    CHECK(tr_query_alert_get(catalog, &tenant, "q1", "success", &alert, NULL) == TR_NOT_FOUND);
    CHECK(tr_query_alert_get(catalog, &tenant, "q1", "failure", &alert, NULL) == TR_NOT_FOUND);
    CHECK(has_been_told("s1", "success"));
    CHECK(tr_query_alert_remove(catalog, &tenant, "s1", "end", NULL) == TR_INVALID);
    CHECK(tr_query_alert_remove(catalog, &tenant, "s1", "success", NULL) == TR_OK);
    CHECK(tr_query_alert_remove(catalog, &tenant, "s1", "success", NULL) == TR_NOT_FOUND);
    CHECK(subscribe("nobody", "start", "a@b", true, NULL) == TR_NOT_FOUND);
}

int main(void)
{
    int passed = 0, failed = 0;
    char path[64];
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/catalog.db", folder);
    if (tr_catalog_open(path, &catalog, NULL) != TR_OK ||
        tr_catalog_org_ensure(catalog, "0123456789ABCDEF01234567@AdobeOrg", NULL) != TR_OK ||
        tr_catalog_tenant(catalog, "0123456789ABCDEF01234567@AdobeOrg", "prod", &tenant, NULL) !=
            TR_OK)
        return 1;
    put(TR_QUERY_KIND, "q1", json_object());
    put(TR_QUERY_KIND, "q2", json_object());
    put(TR_QUERY_SCHEDULE_KIND, "s1", json_object());
    RUN(an_address_has_one_at_sign_and_no_blank);
    RUN(what_is_said_last_of_an_address_holds);
    RUN(one_subscriber_over_the_limit_is_refused);
    RUN(a_run_tells_the_alerts_of_its_schedule_and_its_own);
    RUN(without_memory_nothing_is_half_done);
    RUN(alerts_go_with_their_asset_alone);
    tr_catalog_close(catalog);
    if (tr_dir_remove(folder, NULL) != TR_OK)
        return 1;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
