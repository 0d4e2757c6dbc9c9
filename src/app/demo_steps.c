/* SPDX-License-Identifier: Apache-2.0 */
/* demo_steps.c - the tutorial, one function a step: as in AEP's own, but on this server. */
#include "app/demo.h"

#include "app/bar.h"
#include "app/batch_files.h"
#include "app/sql.h"
#include "base/clock.h"
#include "os/os.h"

#include <stdio.h>
#include <unistd.h>

#define XDM "https://ns.adobe.com/xdm/"
#define PROFILE XDM "context/profile"
#define SCHEMAS "/data/foundation/schemaregistry/tenant/schemas"
#define DATASETS "/data/foundation/catalog/dataSets"
#define BATCHES "/data/foundation/catalog/batches"
#define IMPORT "/data/foundation/import/batches"
#define POLICIES "/data/core/ups/config/mergePolicies"
#define JOBS "/data/core/ups/export/jobs"
#define NAMESPACES "/data/core/idnamespace/identities"
#define ENTITIES "/data/core/ups/access/entities?schema.name=_xdm.context.profile"

enum { POLL_US = 50 * 1000, WAIT_S = 120 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the demo");
}

/* Posts `body`, which is taken. */
static tr_code post(tr_demo *demo, const char *path, json_t *body, json_t **out, tr_err *err)
{
    if (body == NULL)
        return no_memory(err);
    const tr_code code = tr_demo_call(demo, "POST", path, body, out, err);
    json_decref(body);
    return code;
}

/* The last part of the path in `["@/dataSets/<id>"]`. */
static tr_code read_id(const json_t *answer, char *out, size_t size, tr_err *err)
{
    const char *text = json_string_value(json_array_get(answer, 0));
    const char *slash = text != NULL ? strrchr(text, '/') : NULL;
    if (slash == NULL)
        return TR_FAIL(err, TR_IO, "POST " DATASETS ": the answer names no dataset");
    (void)snprintf(out, size, "%s", slash + 1);
    return TR_OK;
}

static tr_code make_schema(tr_demo *demo, const char *title, const char *class_id,
                           const char *const *groups, char *out, size_t size, tr_err *err)
{
    json_t *made = NULL;
    json_t *parts =
        json_pack("[{s:s}, {s:s}]", "$ref", class_id, "$ref", XDM "context/identitymap");
    for (; parts != NULL && *groups != NULL; groups++)
        (void)json_array_append_new(parts, json_pack("{s:s}", "$ref", *groups));
    json_t *body = json_pack("{s:s, s:s, s:o, s:[s]}", "title", title, "type", "object", "allOf",
                             parts, "meta:immutableTags", "union");
    TR_TRY(post(demo, SCHEMAS, body, &made, err));
    (void)snprintf(out, size, "%s", tr_json_text(made, "$id", ""));
    tr_demo_note(demo, "%s: %s", title, out);
    json_decref(made);
    return TR_OK;
}

static tr_code make_schemas(tr_demo *demo, tr_err *err)
{
    const char *const crm[] = {XDM "context/profile-person-details",
                               XDM "context/profile-personal-details", NULL};
    const char *const loyalty[] = {XDM "context/profile-personal-details",
                                   XDM "mixins/profile/profile-loyalty-details", NULL};
    const char *const web[] = {XDM "context/experienceevent-web", NULL};
    tr_demo_step(demo, "Schemas: what each system knows of a person, in standard XDM field groups");
    TR_TRY(make_schema(demo, "CRM", PROFILE, crm, demo->crm_schema, sizeof demo->crm_schema, err));
    TR_TRY(make_schema(demo, "Loyalty", PROFILE, loyalty, demo->loyalty_schema,
                       sizeof demo->loyalty_schema, err));
    return make_schema(demo, "Web", XDM "context/experienceevent", web, demo->web_schema,
                       sizeof demo->web_schema, err);
}

static tr_code name_identities(tr_demo *demo, tr_err *err)
{
    static const char *const codes[] = {"CRMID", "LOYALTYID"};
    tr_demo_step(demo, "Identities: what each system calls a person");
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        TR_TRY(post(demo, NAMESPACES,
                    json_pack("{s:s, s:s, s:s}", "name", codes[i], "code", codes[i], "idType",
                              "CROSS_DEVICE"),
                    NULL, err));
    tr_demo_note(demo, "Email, ECID (a browser) and others are there from the start");
    return TR_OK;
}

/* is_source  its rows go into profiles; else it is one to export to */
static tr_code make_dataset(tr_demo *demo, const char *name, const char *schema, bool is_source,
                            char out[40], tr_err *err)
{
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:{s:s, s:s}}", "name", name, "schemaRef", "id", schema,
                             "contentType", "application/vnd.adobe.xed+json;version=1");
    if (is_source)
        (void)json_object_set_new(body, "tags",
                                  json_pack("{s:[s], s:[s]}", "unifiedProfile", "enabled:true",
                                            "unifiedIdentity", "enabled:true"));
    TR_TRY(post(demo, DATASETS, body, &answer, err));
    const tr_code code = read_id(answer, out, 40, err);
    json_decref(answer);
    if (code == TR_OK)
        tr_demo_note(demo, "%s: %s", name, out);
    return code;
}

static tr_code make_datasets(tr_demo *demo, tr_err *err)
{
    tr_demo_step(demo, "Datasets: a place for each system's records");
    TR_TRY(make_dataset(demo, "CRM", demo->crm_schema, true, demo->crm, err));
    TR_TRY(make_dataset(demo, "Loyalty", demo->loyalty_schema, true, demo->loyalty, err));
    return make_dataset(demo, "Web", demo->web_schema, true, demo->web, err);
}

/* Polls a batch until it is over. */
static tr_code wait_batch(tr_demo *demo, const char *batch, int64_t *rows, tr_err *err)
{
    char path[256];
    (void)snprintf(path, sizeof path, BATCHES "/%.100s", batch);
    for (int64_t end = tr_time_monotonic_us() + (int64_t)WAIT_S * 1000000;;) {
        json_t *answer = NULL;
        TR_TRY(tr_demo_poll(demo, path, &answer, err));
        const json_t *found = json_object_get(answer, batch);
        const char *status = tr_json_text(found, "status", "");
        const bool is_good = strcmp(status, "success") == 0;
        const bool is_bad = strcmp(status, "failure") == 0 || strcmp(status, "failed") == 0;
        const char *why =
            tr_json_text(json_array_get(json_object_get(found, "errors"), 0), "description", "");
        tr_code code = TR_OK;
        if (is_good)
            *rows = tr_json_int(found, "recordCount", 0);
        if (is_bad)
            code = TR_FAIL(err, TR_SEMANTIC, "batch %s failed: %s", batch, why);
        else if (!is_good && tr_time_monotonic_us() > end)
            code =
                TR_FAIL(err, TR_BUSY, "batch %s is still \"%s\" after %d s", batch, status, WAIT_S);
        json_decref(answer);
        if (is_good || code != TR_OK)
            return code;
        usleep(POLL_US);
    }
}

static tr_code load(tr_demo *demo, const char *dataset, const char *file, tr_str bytes,
                    const char *what, tr_err *err)
{
    char path[512], id[128];
    json_t *batch = NULL;
    int64_t rows = 0;
    TR_TRY(post(demo, IMPORT,
                json_pack("{s:s, s:{s:s}}", "datasetId", dataset, "inputFormat", "format", "json"),
                &batch, err));
    (void)snprintf(id, sizeof id, "%s", tr_json_text(batch, "id", ""));
    json_decref(batch);
    (void)snprintf(path, sizeof path, IMPORT "/%.100s/datasets/%s/files/%s", id, dataset, file);
    TR_TRY(tr_demo_send(demo, path, bytes, err));
    (void)snprintf(path, sizeof path, IMPORT "/%.100s?action=COMPLETE", id);
    TR_TRY(tr_demo_call(demo, "POST", path, NULL, NULL, err));
    TR_TRY(wait_batch(demo, id, &rows, err));
    tr_demo_note(demo, "%s %s", tr_group_digits(rows).text, what);
    return TR_OK;
}

static tr_code load_data(tr_demo *demo, tr_err *err)
{
    const tr_demo_data *people = &demo->people;
    tr_demo_step(demo, "Data in: a batch each, of JSON lines");
    TR_TRY(load(demo, demo->crm, "crm.json", tr_buf_str(&people->crm), "records of the CRM", err));
    TR_TRY(load(demo, demo->loyalty, "loyalty.json", tr_buf_str(&people->loyalty),
                "loyalty members", err));
    TR_TRY(load(demo, demo->web, "web.json", tr_buf_str(&people->web), "page views", err));
    tr_demo_note(
        demo,
        "Many people are in two or three of them, linked by their CRMID; %u visitors are not.",
        people->visitors);
    return TR_OK;
}

static tr_code choose_policy(tr_demo *demo, tr_err *err)
{
    json_t *page = NULL, *made = NULL;
    tr_demo_step(demo, "Merge policies: when two systems disagree, who is right?");
    TR_TRY(tr_demo_call(demo, "GET", POLICIES "?default=true", NULL, &page, err));
    const json_t *standard = json_array_get(json_object_get(page, "children"), 0);
    tr_demo_note(demo, "the default, \"%s\": %s, linked identities are one, the newest wins",
                 tr_json_text(standard, "name", ""),
                 tr_json_text(json_object_get(standard, "attributeMerge"), "type", ""));
    json_decref(page);
    TR_TRY(post(demo, POLICIES,
                json_pack("{s:s, s:{s:s}, s:{s:s}, s:{s:s, s:[s, s, s]}, s:b}", "name", "CRM first",
                          "schema", "name", "_xdm.context.profile", "identityGraph", "type", "pdg",
                          "attributeMerge", "type", "dataSetPrecedence", "order", demo->crm,
                          demo->loyalty, demo->web, "default", 0),
                &made, err));
    (void)snprintf(demo->policy, sizeof demo->policy, "%s", tr_json_text(made, "id", ""));
    tr_demo_note(demo, "a second one, \"CRM first\": what the CRM says goes over the others");
    json_decref(made);
    return TR_OK;
}

static bool is_over(const json_t *job)
{
    const char *status = tr_json_text(job, "status", "");
    return strcmp(status, "NEW") != 0 && strcmp(status, "PROCESSING") != 0;
}

/* *job is replaced by its last state; progress is drawn while it runs. */
static tr_code watch(tr_demo *demo, json_t **job, tr_err *err)
{
    char path[128], label[48];
    const int64_t end = tr_time_monotonic_us() + (int64_t)WAIT_S * 1000000;
    (void)snprintf(path, sizeof path, JOBS "/%lld", (long long)tr_json_int(*job, "id", 0));
    (void)snprintf(label, sizeof label, "      job %lld", (long long)tr_json_int(*job, "id", 0));
    while (!is_over(*job)) {
        json_t *next = NULL;
        const json_t *progress = json_object_get(*job, "progress");
        tr_bar_draw(label, json_number_value(json_object_get(progress, "percent")) / 100,
                    "%s profiles", tr_group_digits(tr_json_int(progress, "profiles", 0)).text);
        usleep(POLL_US);
        TR_TRY(tr_demo_poll(demo, path, &next, err));
        json_decref(*job);
        *job = next;
        if (tr_time_monotonic_us() > end)
            return TR_FAIL(err, TR_BUSY, "the export is not over after %d s", WAIT_S);
    }
    tr_bar_clear();
    if (strcmp(tr_json_text(*job, "status", ""), "SUCCEEDED") != 0)
        return TR_FAIL(err, TR_SEMANTIC, "the export ended %s: %s",
                       tr_json_text(*job, "status", ""),
                       tr_json_text(json_array_get(json_object_get(*job, "errors"), 0), "msg", ""));
    return tr_demo_call(demo, "GET", path, NULL, NULL,
                        err); /* shown once, as a client would see it */
}

/* policy NULL: the default */
static tr_code export_to(tr_demo *demo, const char *dataset, const char *policy, char batch[80],
                         tr_err *err)
{
    json_t *job = NULL;
    json_t *body =
        json_pack("{s:{s:s}, s:{s:s}, s:{s:{}}}", "destination", "datasetId", dataset, "schema",
                  "name", "_xdm.context.profile", "additionalFields", "eventList");
    if (policy != NULL)
        (void)json_object_set_new(body, "mergePolicy", json_pack("{s:s}", "id", policy));
    TR_TRY(post(demo, JOBS, body, &job, err));
    const tr_code code = watch(demo, &job, err);
    const json_t *metrics = json_object_get(job, "metrics");
    if (code == TR_OK) {
        (void)snprintf(batch, 80, "%s",
                       tr_json_text(json_object_get(job, "destination"), "batchId", ""));
        tr_demo_note(
            demo, "SUCCEEDED: %s merged profiles in %.2f s, batch %s",
            tr_group_digits(tr_json_int(metrics, "totalExportedProfileCounter", 0)).text,
            (double)tr_json_int(json_object_get(metrics, "totalTime"), "totalTimeInMs", 0) / 1e3,
            batch);
    }
    json_decref(job);
    return code;
}

static tr_code export_profiles(tr_demo *demo, tr_err *err)
{
    char batch[80];
    tr_demo_step(demo, "Export jobs: one row a person, into a dataset on the union of all schemas");
    TR_TRY(make_dataset(demo, "Merged profiles", PROFILE "__union", false, demo->newest, err));
    TR_TRY(export_to(demo, demo->newest, NULL, demo->batch, err));
    TR_TRY(make_dataset(demo, "Merged profiles, CRM first", PROFILE "__union", false,
                        demo->crm_first, err));
    return export_to(demo, demo->crm_first, demo->policy, batch, err);
}

static tr_code look_up(tr_demo *demo, tr_err *err)
{
    char path[256];
    json_t *answer = NULL;
    tr_demo_step(demo, "One person, by any identity: here a loyalty number, and the CRM's name");
    (void)snprintf(path, sizeof path, ENTITIES "&entityIdNS=LOYALTYID&entityId=%s",
                   demo->people.member);
    TR_TRY(tr_demo_call(demo, "GET", path, NULL, &answer, err));
    const json_t *found = json_object_iter_value(json_object_iter(answer));
    const json_t *entity = json_object_get(found, "entity");
    const json_t *name = json_object_get(json_object_get(entity, "person"), "name");
    tr_demo_note(demo, "%s %s, %s member, made of %zu datasets and %zu identities",
                 tr_json_text(name, "firstName", ""), tr_json_text(name, "lastName", ""),
                 tr_json_text(json_object_get(entity, "loyalty"), "tier", "no"),
                 json_array_size(json_object_get(found, "sources")),
                 json_array_size(json_object_get(found, "identityGraph")));
    json_decref(answer);
    return TR_OK;
}

static tr_code fetch_file(void *ctx, const char *path, const char *name, tr_err *err)
{
    char to[TR_DATA_PATH_BYTES];
    tr_demo *demo = ctx;
    uint64_t bytes = 0;
    TR_TRY(tr_data_path(demo->data, name, to, err));
    TR_TRY(tr_demo_fetch(demo, path, to, err));
    TR_TRY(tr_file_bytes(to, &bytes, err));
    tr_demo_note(demo, "%s bytes of Parquet, for any tool to read",
                 tr_group_digits((int64_t)bytes).text);
    return TR_OK;
}

static tr_code download(tr_demo *demo, tr_err *err)
{
    char path[256];
    tr_demo_step(demo, "Data Access: the batch's files, downloaded");
    (void)snprintf(path, sizeof path, "/data/foundation/export/batches/%.100s/files", demo->batch);
    TR_TRY(tr_demo_call(demo, "GET", path, NULL, NULL, err));
    return tr_batch_files(demo->remote, demo->batch, fetch_file, demo, err);
}

/* The SQL table of a dataset, by its tag. */
static tr_code find_table(tr_demo *demo, const char *dataset, char *out, size_t size, tr_err *err)
{
    char path[256];
    json_t *answer = NULL;
    (void)snprintf(path, sizeof path, DATASETS "/%.40s", dataset);
    TR_TRY(tr_demo_poll(demo, path, &answer, err));
    const json_t *tags = json_object_get(json_object_get(answer, dataset), "tags");
    const char *name =
        json_string_value(json_array_get(json_object_get(tags, "adobe/pqs/table"), 0));
    (void)snprintf(out, size, "%s", name != NULL ? name : dataset);
    json_decref(answer);
    return TR_OK;
}

static void print_indented(tr_str text)
{
    while (text.len > 0) {
        const uint8_t *end = memchr(text.at, '\n', text.len);
        const size_t len = end != NULL ? (size_t)(end - text.at) : text.len;
        printf("     %.*s\n", (int)len, (const char *)text.at);
        text = tr_str_from(text, end != NULL ? len + 1 : len);
    }
    (void)fflush(stdout);
}

static tr_code show_sql(tr_demo *demo, const char *sql, tr_err *err)
{
    tr_buf out = {.bytes_max = 1024 * 1024};
    const tr_sql_options options = {
        .data = demo->data, .sandbox = "prod", .format = "table", .worker = demo->worker};
    tr_demo_command(demo, "query --data DIR \"%s\"", sql);
    const tr_code code = tr_sql_run(&options, sql, &out, err);
    if (code == TR_OK)
        print_indented(tr_buf_str(&out));
    tr_buf_free(&out);
    return code;
}

static tr_code query(tr_demo *demo, tr_err *err)
{
    char sql[1024];
    TR_TRY(find_table(demo, demo->newest, demo->newest_table, sizeof demo->newest_table, err));
    TR_TRY(find_table(demo, demo->crm_first, demo->crm_first_table, sizeof demo->crm_first_table,
                      err));
    tr_demo_step(demo, "SQL over the exported batches");
    (void)snprintf(sql, sizeof sql,
                   "SELECT coalesce(loyalty.tier, 'no member') AS tier, count(*) AS people,\n"
                   "            count(person.name.lastName) AS in_crm, sum(len(timeSeriesEvents)) "
                   "AS page_views\n"
                   "     FROM %s GROUP BY 1 ORDER BY 2 DESC",
                   demo->newest_table);
    TR_TRY(show_sql(demo, sql, err));
    tr_demo_note(
        demo,
        "How much does the policy matter? E-mail addresses that differ between the two exports:");
    (void)snprintf(
        sql, sizeof sql,
        "SELECT count(*) AS people, count(*) FILTER (WHERE n.personalEmail.address <> "
        "c.personalEmail.address) AS differ\n"
        "     FROM %s n JOIN %s c ON n.identityMap['CRMID'][0].id = c.identityMap['CRMID'][0].id",
        demo->newest_table, demo->crm_first_table);
    TR_TRY(show_sql(demo, sql, err));
    tr_demo_note(
        demo,
        "The first merged rows: name and city from the CRM, tier and points from loyalty, visits");
    tr_demo_note(demo, "from the web, and of two addresses the newer:");
    (void)snprintf(sql, sizeof sql,
                   "SELECT identityMap['CRMID'][0].id AS crmid, person.name.firstName AS first,\n"
                   "            person.name.lastName AS last, homeAddress.city AS city, "
                   "personalEmail.address AS "
                   "email,\n"
                   "            loyalty.tier AS tier, loyalty.points AS points, "
                   "len(timeSeriesEvents) AS visits\n"
                   "     FROM %s WHERE person IS NOT NULL AND loyalty IS NOT NULL AND "
                   "len(timeSeriesEvents) > 0\n"
                   "     ORDER BY 1 LIMIT 10",
                   demo->newest_table);
    return show_sql(demo, sql, err);
}

tr_code tr_demo_run(tr_demo *demo, tr_err *err)
{
    TR_TRY(make_schemas(demo, err));
    TR_TRY(name_identities(demo, err));
    TR_TRY(make_datasets(demo, err));
    TR_TRY(load_data(demo, err));
    TR_TRY(look_up(demo, err));
    TR_TRY(choose_policy(demo, err));
    TR_TRY(export_profiles(demo, err));
    TR_TRY(download(demo, err));
    return query(demo, err);
}
