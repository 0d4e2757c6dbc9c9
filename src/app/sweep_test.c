/* SPDX-License-Identifier: Apache-2.0 */
/* sweep_test.c - at start-up the remains of a crash go, and nothing that somebody needs.
 *
 * Method: a real catalog and lake with one folder of every kind, wanted and unwanted; then a sweep.
 */
#include "app/server_internal.h"
#include "base/test.h"
#include "os/os.h"

#include <unistd.h>

#define DATASET "64b0c0ffee0000000000a001"

static char folder[] = "/tmp/tr_sweep_test_XXXXXX";
static tr_catalog *catalog;
static tr_lake *lake;
static tr_tenant tenant;

static void must(tr_code code)
{
    if (code != TR_OK)
        exit(1);
}

static void put(const char *kind, const char *id, const char *parent, const char *state,
                json_t *doc)
{
    tr_object object = {.doc = doc};
    (void)snprintf(object.id, sizeof object.id, "%s", id);
    (void)snprintf(object.parent, sizeof object.parent, "%s", parent);
    (void)snprintf(object.state, sizeof object.state, "%s", state);
    must(tr_catalog_insert(catalog, &tenant, kind, &object, NULL));
    json_decref(doc);
}

static void put_export(const char *id, const char *state, const char *batch)
{
    put("export", id, "", state, json_pack("{s:{s:s}}", "destination", "batchId", batch));
}

static void stage(const char *id)
{
    tr_lake_file file;
    tr_lake_written written;
    must(tr_lake_create(lake, &tenant, id, "part", &file, NULL));
    must(tr_lake_write(&file, tr_str_of("x"), NULL));
    must(tr_lake_finish(&file, &written, NULL));
}

static void publish(const char *batch)
{
    stage(batch);
    must(tr_lake_publish(lake, &tenant, batch, DATASET, batch, NULL));
}

static void upload(const char *batch)
{
    must(tr_lake_upload_put(lake, &tenant, batch, tr_str_of("rows.json"), tr_str_of("{}"), NULL));
}

static bool is_there(const char *kind, const char *id)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/lake/%s/%s/%s", folder, tenant.folder, kind, id);
    return tr_path_exists(path);
}

static void an_export_that_goes_on_keeps_its_parts(void)
{
    put_export("1", "PROCESSING", "batch-1");
    put_export("2", "SUCCEEDED", "batch-2");
    put_export("3", "NEW", "batch-3");
    stage("export-1");
    stage("export-2");
    stage("export-3");
    stage("export-4");
    stage("01HB3K4W6T9N4S3J2M8Q7R5V1A");
    publish("batch-1"); /* between rename and commit */
    publish("batch-2"); /* its files are unknown */
    must(tr_sweep(catalog, lake, NULL));
    CHECK(is_there("staging", "export-1") && is_there("staging", "export-3"));
    CHECK(!is_there("staging", "export-2") && !is_there("staging", "export-4"));
    CHECK(!is_there("staging", "01HB3K4W6T9N4S3J2M8Q7R5V1A"));
    CHECK(is_there("data/" DATASET, "batch-1") && !is_there("data/" DATASET, "batch-2"));
}

static void uploads_stay_until_their_batch_is_over(void)
{
    static const char *const states[] = {"loading", "loaded",  "processing",
                                         "success", "failure", "aborted"};
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        put("batch", states[i], DATASET, states[i], json_object());
        upload(states[i]);
    }
    upload("nobody");
    must(tr_sweep(catalog, lake, NULL));
    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        CHECK(is_there("uploads", states[i]) == (i < 3));
    CHECK(!is_there("uploads", "nobody"));
}

static void only_what_the_catalog_lists_is_data(void)
{
    put("file", "f1", "live", "profile", json_object());
    put("file", "f2", "read", "lake", json_object());
    put("file", "f3", "lost", "gone", json_object());
    put("run", "folded", DATASET, "profile", json_object());
    put("run", "retired", DATASET, "gone", json_object());
    put("batch", "orphan", DATASET, "processing", json_object()); /* renamed, not committed */
    static const char *const batches[] = {"live", "read", "folded", "retired", "lost", "orphan"};
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        publish(batches[i]);
    must(tr_sweep(catalog, lake, NULL));
    for (size_t i = 0; i < sizeof batches / sizeof *batches; i++)
        CHECK(is_there("data/" DATASET, batches[i]) == (i < 4));
}

static void diagnostics_stay_as_long_as_their_batch_lists_them(void)
{
    json_t *lists = json_pack("{s:[{s:s, s:i}]}", "_diagnostics", "name", "failed__a", "bytes", 1);
    put("batch", "bad", DATASET, "failure", json_deep_copy(lists));
    put("batch", "was", DATASET, "deleted", lists);
    put("batch", "good", DATASET, "success", json_object());
    publish("bad-diagnostics");
    publish("was-diagnostics");
    publish("good-diagnostics");
    publish("nobody-diagnostics");
    must(tr_sweep(catalog, lake, NULL));
    CHECK(is_there("data/" DATASET, "bad-diagnostics"));
    CHECK(!is_there("data/" DATASET, "was-diagnostics"));
    CHECK(!is_there("data/" DATASET, "good-diagnostics"));
    CHECK(!is_there("data/" DATASET, "nobody-diagnostics"));
}

static void nothing_goes_when_the_catalog_cannot_answer(void)
{
    stage("export-9");
    publish("unknown");
    for (uint64_t n = 0; n < 200; n++) {
        tr_memory_fail_after(n);
        const tr_code code = tr_sweep(catalog, lake, NULL);
        tr_memory_fail_after(UINT64_MAX);
        CHECK(is_there("data/" DATASET, "live") && is_there("data/" DATASET, "folded"));
        CHECK(is_there("staging", "export-1"));
        if (code == TR_OK)
            break;
    }
    CHECK(!is_there("staging", "export-9") && !is_there("data/" DATASET, "unknown"));
}

int main(void)
{
    int passed = 0, failed = 0;
    char path[300];
    if (mkdtemp(folder) == NULL)
        return 1;
    (void)snprintf(path, sizeof path, "%s/catalog.db", folder);
    must(tr_catalog_open(path, &catalog, NULL));
    must(tr_lake_open(folder, &lake, NULL));
    must(tr_catalog_org_ensure(catalog, "0123456789ABCDEF01234567@AdobeOrg", NULL));
    must(tr_catalog_tenant(catalog, "0123456789ABCDEF01234567@AdobeOrg", "prod", &tenant, NULL));
    put("dataset", DATASET, "", "", json_object());
    RUN(an_export_that_goes_on_keeps_its_parts);
    RUN(uploads_stay_until_their_batch_is_over);
    RUN(only_what_the_catalog_lists_is_data);
    RUN(diagnostics_stay_as_long_as_their_batch_lists_them);
    RUN(nothing_goes_when_the_catalog_cannot_answer);
    tr_lake_close(lake);
    tr_catalog_close(catalog);
    if (tr_dir_remove(folder, NULL) != TR_OK)
        return 1;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
