/* SPDX-License-Identifier: Apache-2.0 */
/* export_life_test.c - a job's life over the fakes: success, failure, cancel, and a crash at
 * every point followed by a restart, which must end in the same bytes with nothing left behind.
 */
#include "export/fakes_internal.h"

#include "base/test.h"

#define DATASET "64b0c0ffee0000000000a001"

static const tr_tenant tenant = {.id = 1,
                                 .org = "O@AdobeOrg",
                                 .sandbox = "prod",
                                 .sandbox_id = "s",
                                 .sandbox_type = "production",
                                 .is_default = true};

static void open_export(void)
{
    const tr_export_parts parts = {0};
    CHECK(tr_export_open(&parts, &tr_fake_export, NULL) == TR_OK);
}

static void begin(uint32_t partitions, uint64_t profiles)
{
    tr_fake_reset();
    tr_fake_partitions = partitions;
    for (uint32_t i = 0; i < 8; i++)
        tr_fake_profiles[i] = profiles == 0 ? 0 : profiles + i;
    tr_fake_put_dataset(DATASET, TR_XDM_PROFILE_UNION);
    open_export();
}

static void end(void)
{
    tr_export_close(tr_fake_export);
    tr_fake_reset();
}

static tr_code create(json_t **job, tr_err *err)
{
    json_t *body = json_pack("{s:{s:s}, s:{s:s}, s:s}", "destination", "datasetId", DATASET,
                             "schema", "name", "_xdm.context.profile", "fields", "name");
    const tr_code code =
        tr_export_create(tr_fake_export, &tenant, body, "request", "client", job, err);
    json_decref(body);
    return code;
}

static const char *status_of(const char *id)
{
    static char status[32];
    json_t *job = NULL;
    (void)snprintf(status, sizeof status, "none");
    if (tr_export_get(tr_fake_export, &tenant, id, &job, NULL) == TR_OK)
        (void)snprintf(status, sizeof status, "%s", tr_json_text(job, "status", ""));
    json_decref(job);
    return status;
}

static const char *batch_of(const char *id)
{
    return tr_json_text(json_object_get(tr_fake_doc("export", id, NULL), "destination"), "batchId",
                        "");
}

static bool batch_is(const char *id, const char *expected)
{
    const char *state = NULL;
    const json_t *doc = tr_fake_doc("batch", batch_of(id), &state);
    return strcmp(state, expected) == 0 && strcmp(tr_json_text(doc, "status", ""), expected) == 0;
}

static void a_job_ends_with_a_whole_batch(void)
{
    json_t *job = NULL;
    begin(4, 10);
    CHECK(create(&job, NULL) == TR_OK);
    CHECK(strcmp(tr_json_text(job, "status", ""), "NEW") == 0 && batch_is("1", "processing"));
    CHECK(tr_json_int(job, "creationTime", 0) <= tr_fake_snapshot_ms); /* the next one's bound */
    json_decref(job);
    tr_fake_run_queue();
    CHECK(strcmp(status_of("1"), "SUCCEEDED") == 0 && batch_is("1", "success"));
    const json_t *doc = tr_fake_doc("export", "1", NULL);
    const json_t *metrics = json_object_get(doc, "metrics");
    CHECK(tr_json_int(metrics, "totalExportedProfileCounter", -1) == 46);
    CHECK(tr_json_int(json_object_get(metrics, "exportedProfileByNamespaceCounter"), "CRMID", -1) ==
          46);
    CHECK(json_object_get(doc, "_") == NULL &&
          tr_json_text(json_object_get(doc, "computeGatewayJobId"), "pushJob", NULL));
    CHECK(tr_fake_files("data/") == 4 && tr_fake_files("stage/") == 0);
    CHECK(tr_fake_count("file") == 4 && tr_fake_count("export_part") == 0);
    CHECK(tr_fake_count("export_plan") == 0); /* as large as the schema: not kept for every job */
    end();
}

static const json_t *batch_doc(const char *id)
{
    return tr_fake_doc("batch", batch_of(id), NULL);
}

/* Its version is its entity tag: a client that polls with If-None-Match must learn of the end. */
static void a_batch_gets_another_version_when_it_ends(void)
{
    json_t *job = NULL;
    begin(1, 10);
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    CHECK(strcmp(tr_json_text(batch_doc("1"), "version", ""), "1.0.0") == 0);
    tr_fake_run_queue();
    CHECK(batch_is("1", "success"));
    CHECK(strcmp(tr_json_text(batch_doc("1"), "version", ""), "1.0.1") == 0);
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    CHECK(tr_export_cancel(tr_fake_export, &tenant, "2", NULL) == TR_OK &&
          batch_is("2", "aborted"));
    CHECK(strcmp(tr_json_text(batch_doc("2"), "version", ""), "1.0.1") == 0);
    CHECK(strcmp(tr_json_text(batch_doc("2"), "createdClient", ""), "client") == 0);
    CHECK(tr_fake_count("export_plan") == 0);
    tr_fake_run_queue();
    end();
}

static void partitions_without_profiles_have_no_file(void)
{
    json_t *job = NULL;
    begin(4, 10);
    tr_fake_profiles[1] = tr_fake_profiles[2] = 0;
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    tr_fake_run_queue();
    CHECK(strcmp(status_of("1"), "SUCCEEDED") == 0);
    CHECK(tr_fake_files("data/") == 2 && tr_fake_count("file") == 2);
    end();
}

static void a_batch_of_nobody_has_one_file(void)
{
    json_t *job = NULL;
    begin(4, 0);
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    tr_fake_run_queue();
    CHECK(strcmp(status_of("1"), "SUCCEEDED") == 0 && batch_is("1", "success"));
    CHECK(tr_fake_files("data/") == 1 && tr_fake_count("file") == 1);
    end();
}

static void a_failure_leaves_nothing_and_says_why(void)
{
    json_t *job = NULL;
    begin(4, 10);
    tr_fake_now.merge_code = TR_NO_SPACE;
    tr_fake_now.merge_partition = 2;
    tr_fake_now.catalog_failures = 2;
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    tr_fake_run_queue();
    CHECK(strcmp(status_of("1"), "FAILED") == 0 && batch_is("1", "failure"));
    const json_t *error =
        json_array_get(json_object_get(tr_fake_doc("export", "1", NULL), "errors"), 0);
    CHECK(strcmp(tr_json_text(error, "code", ""), "0090000009") == 0);
    CHECK(strstr(tr_json_text(error, "msg", ""), "disk is full") != NULL);
    CHECK(tr_json_text(error, "callStack", NULL) != NULL);
    CHECK(tr_fake_files("") == 0 && tr_fake_count("file") == 0 &&
          tr_fake_count("export_part") == 0);
    end();
}

static void a_part_that_rots_is_noticed_before_it_is_published(void)
{
    json_t *job = NULL;
    begin(4, 10);
    tr_fake_now.part_rots = true;
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    tr_fake_run_queue();
    CHECK(strcmp(status_of("1"), "FAILED") == 0 && tr_fake_files("") == 0 &&
          tr_fake_count("file") == 0);
    end();
}

static void a_running_job_can_be_cancelled(void)
{
    for (uint32_t partition = 0; partition < 4; partition++) {
        json_t *job = NULL;
        begin(4, 10);
        tr_fake_now.cancel_in_partition = partition;
        CHECK(create(&job, NULL) == TR_OK);
        json_decref(job);
        tr_fake_run_queue();
        CHECK(strcmp(status_of("1"), "CANCELLED") == 0 && batch_is("1", "aborted"));
        CHECK(tr_fake_files("") == 0 && tr_fake_count("export_part") == 0);
        CHECK(json_object_get(tr_fake_doc("export", "1", NULL), "errors") == NULL);
        end();
    }
}

static void a_waiting_job_is_cancelled_at_once(void)
{
    json_t *job = NULL;
    begin(4, 10);
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    CHECK(tr_export_cancel(tr_fake_export, &tenant, "1", NULL) == TR_OK);
    CHECK(strcmp(status_of("1"), "CANCELLED") == 0 && batch_is("1", "aborted"));
    tr_fake_run_queue();
    CHECK(strcmp(status_of("1"), "CANCELLED") == 0 && tr_fake_merges == 0);
    CHECK(tr_export_cancel(tr_fake_export, &tenant, "1", NULL) == TR_OK);
    CHECK(tr_export_cancel(tr_fake_export, &tenant, "2", NULL) == TR_NOT_FOUND);
    end();
}

/* Runs a job that crashes at the passage of a point, restarts and ends it. False: it did not
 * crash. */
static bool crash_and_resume(const char *point, int passage)
{
    json_t *job = NULL;
    static volatile bool has_crashed; /* it is looked at after a jump */
    has_crashed = false;
    tr_fake_now.crash_at = point;
    tr_fake_now.crash_passage = passage;
    if (setjmp(tr_fake_crash) == 0) {
        CHECK(create(&job, NULL) == TR_OK);
        tr_fake_run_queue();
    } else {
        has_crashed = true;
        tr_fake_restart();
        open_export();
        CHECK(tr_export_resume(tr_fake_export, NULL) == TR_OK);
        tr_fake_run_queue();
    }
    return has_crashed;
}

/* A crash here is a longjmp: what the dead held is lost, as it is in a process that dies. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0";
}

static void a_crash_anywhere_ends_in_the_same_bytes(void)
{
    static const char *const points[] = {
        "export_created",      "export_processing",    "export_planned",
        "export_part_written", "export_part_recorded", "export_checked",
        "export_publishing",   "export_published",     "export_committed"};
    for (int empty = 0; empty < 2; empty++) {
        const uint64_t profiles = empty ? 0 : 10;
        begin(4, profiles);
        CHECK(!crash_and_resume("nowhere", 1));
        char *expected = tr_fake_bytes(batch_of("1"));
        end();
        for (size_t p = 0; p < sizeof points / sizeof points[0]; p++)
            for (int passage = 1; passage <= 4; passage++) {
                begin(4, profiles);
                const bool has_crashed = crash_and_resume(points[p], passage);
                char *bytes = tr_fake_bytes(batch_of("1"));
                CHECK(has_crashed || passage > 1);
                CHECK(strcmp(status_of("1"), "SUCCEEDED") == 0 && batch_is("1", "success"));
                CHECK(strcmp(bytes, expected) == 0);
                CHECK(tr_fake_files("stage/") == 0 && tr_fake_count("export_part") == 0);
                CHECK(tr_fake_count("file") == tr_fake_files("data/"));
                free(bytes);
                end();
            }
        free(expected);
    }
}

static void finished_parts_are_not_made_again(void)
{
    begin(4, 10);
    CHECK(crash_and_resume("export_part_recorded", 3));
    CHECK(tr_fake_merges == 4);
    end();
    begin(4, 10);
    CHECK(crash_and_resume("export_published", 1));
    CHECK(tr_fake_merges == 4 && strcmp(status_of("1"), "SUCCEEDED") == 0);
    end();
}

static void a_part_that_rots_before_a_restart_is_made_again(void)
{
    begin(4, 10);
    tr_fake_now.part_rots = true;
    static volatile int crashed;
    crashed = 0;
    tr_fake_now.crash_at = "export_part_recorded";
    tr_fake_now.crash_passage = 3;
    if (setjmp(tr_fake_crash) == 0) {
        json_t *job = NULL;
        CHECK(create(&job, NULL) == TR_OK);
        tr_fake_run_queue();
    } else {
        crashed = 1;
        tr_fake_now.part_rots = false;
        tr_fake_restart();
        open_export();
        CHECK(tr_export_resume(tr_fake_export, NULL) == TR_OK);
        tr_fake_run_queue();
    }
    CHECK(crashed == 1 && tr_fake_merges == 5 && strcmp(status_of("1"), "SUCCEEDED") == 0);
    end();
}

static void a_job_whose_runs_are_gone_is_planned_again(void)
{
    begin(4, 10);
    tr_fake_now.runs_are_gone = 0;
    json_t *job = NULL;
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    tr_fake_now.runs_are_gone = 3; /* data is taken back while it is planned again */
    tr_fake_run_queue();
    CHECK(strcmp(status_of("1"), "SUCCEEDED") == 0);
    char *bytes = tr_fake_bytes(batch_of("1"));
    CHECK(strstr(bytes, "2 runs") != NULL && strstr(bytes, "1 runs") == NULL);
    free(bytes);
    end();
}

/* Newer data drove it away: the rows are those of the job's creation all the same. */
static void a_job_whose_merged_run_is_gone_keeps_its_rows(void)
{
    static volatile int crashed;
    crashed = 0;
    begin(4, 10);
    tr_fake_now.merged = "merged-1";
    tr_fake_now.crash_at = "export_part_recorded";
    tr_fake_now.crash_passage = 3;
    if (setjmp(tr_fake_crash) == 0) {
        json_t *job = NULL;
        CHECK(create(&job, NULL) == TR_OK);
        json_decref(job);
        tr_fake_run_queue();
    } else {
        crashed = 1;
        tr_fake_now.merged = NULL;
        tr_fake_now.merged_is_gone = 1;
        tr_fake_restart();
        open_export();
        CHECK(tr_export_resume(tr_fake_export, NULL) == TR_OK);
        tr_fake_run_queue();
    }
    CHECK(crashed == 1 && tr_fake_merges == 8 && tr_fake_now.merged_is_gone == 0);
    CHECK(strcmp(status_of("1"), "SUCCEEDED") == 0);
    char *bytes = tr_fake_bytes(batch_of("1"));
    CHECK(strstr(bytes, "1 runs") != NULL && strstr(bytes, "2 runs") == NULL);
    free(bytes);
    end();
}

static void data_that_goes_while_a_job_is_tried_out_is_no_error(void)
{
    json_t *told = NULL;
    json_t *body = json_pack("{s:{s:s}, s:{s:s}, s:s}", "destination", "datasetId", DATASET,
                             "schema", "name", "_xdm.context.profile", "fields", "name");
    begin(4, 10);
    tr_fake_now.runs_are_gone = 2;
    CHECK(tr_export_dry_run(tr_fake_export, &tenant, body, &told, NULL) == TR_OK);
    json_decref(told);
    json_decref(body);
    end();
}

static void a_dataset_must_exist_and_be_on_the_union(void)
{
    json_t *job = NULL;
    tr_err err = {0};
    tr_fake_reset();
    open_export();
    CHECK(create(&job, &err) == TR_NOT_FOUND && strstr(err.text, DATASET) != NULL);
    tr_fake_put_dataset(DATASET, "https://ns.adobe.com/acme/schemas/1");
    CHECK(create(&job, &err) == TR_INVALID && strstr(err.text, "destination.datasetId") != NULL);
    CHECK(tr_fake_count("export") == 0 && tr_fake_count("batch") == 0);
    end();
}

static void no_place_in_a_list_is_further_than_numbers_go(void)
{
    json_t *page = NULL, *job = NULL;
    tr_export_list query = {.page = tr_str_of("2"), .offset = tr_str_of("9223372036854775807")};
    begin(1, 1);
    CHECK(create(&job, NULL) == TR_OK);
    json_decref(job);
    CHECK(tr_export_find(tr_fake_export, &tenant, &query, &page, NULL) == TR_INVALID);
    query = (tr_export_list){.sort = tr_str_of("id:asc"), .offset = tr_str_of("2147483647")};
    CHECK(tr_export_find(tr_fake_export, &tenant, &query, &page, NULL) == TR_OK);
    CHECK(json_array_size(json_object_get(page, "records")) == 0);
    json_decref(page);
    end();
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(a_job_ends_with_a_whole_batch);
    RUN(a_batch_gets_another_version_when_it_ends);
    RUN(partitions_without_profiles_have_no_file);
    RUN(a_batch_of_nobody_has_one_file);
    RUN(a_failure_leaves_nothing_and_says_why);
    RUN(a_part_that_rots_is_noticed_before_it_is_published);
    RUN(a_running_job_can_be_cancelled);
    RUN(a_waiting_job_is_cancelled_at_once);
    RUN(a_crash_anywhere_ends_in_the_same_bytes);
    RUN(finished_parts_are_not_made_again);
    RUN(a_part_that_rots_before_a_restart_is_made_again);
    RUN(a_job_whose_runs_are_gone_is_planned_again);
    RUN(a_job_whose_merged_run_is_gone_keeps_its_rows);
    RUN(data_that_goes_while_a_job_is_tried_out_is_no_error);
    RUN(a_dataset_must_exist_and_be_on_the_union);
    RUN(no_place_in_a_list_is_further_than_numbers_go);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
