/* SPDX-License-Identifier: Apache-2.0 */
/* reports.c - /data/core/ups/previewsamplestatus and its reports (reference: profile API, 7.1,
 * 7.2).
 *
 * AEP reports on a sample that it takes from time to time; here every profile is counted when
 * somebody asks (profile/report.h), so that the sample is everything.
 */
#include "api/api_internal.h"
#include "catalog/namespaces.h"
#include "profile/report.h"

#include <stdio.h>

#define STATUS "/data/core/ups/previewsamplestatus"

/* The report that the query's date asks for, or one as of now; returned. */
static tr_code get_report(tr_call *call, json_t **out, tr_err *err)
{
    const char *date = tr_call_given(call, "date");
    return date == NULL
               ? tr_profile_report(call->parts->profiles, &call->tenant, out, err)
               : tr_profile_report_of(call->parts->profiles, &call->tenant, date, out, err);
}

/* Numbers are strings here, and some strings have quotes within: "\"300803\"". */
static json_t *quoted(int64_t number)
{
    return json_sprintf("\"%lld\"", (long long)number);
}

static json_t *quoted_text(const char *text)
{
    return json_sprintf("\"%s\"", text == NULL ? "null" : text);
}

static tr_code get_status(tr_call *call, tr_err *err)
{
    json_t *report = NULL;
    char when[24];
    TR_TRY(tr_profile_report(call->parts->profiles, &call->tenant, &report, err));
    const int64_t profiles = tr_json_int(report, "profiles", 0);
    const int64_t batch_ms = tr_json_int(report, "batchTimestamp", 0);
    (void)snprintf(when, sizeof when, "%.23s", tr_json_text(report, "timestamp", ""));
    when[10] = ' '; /* "2026-05-01 10:00:00.000" */
    json_t *body = json_pack(
        "{s:o, s:o, s:{s:b, s:s}, s:o, s:o, s:I, s:o, s:o, s:s, s:b, s:s, s:f, s:s, s:s}",
        "numRowsToRead", json_sprintf("%lld", (long long)profiles), "totalRows",
        json_sprintf("%lld", (long long)profiles), "sampleJobRunning", "status", 0,
        "submissionTimestamp", when, "docCount", quoted(tr_json_int(report, "documents", 0)),
        "cosmosDocCount", quoted(tr_json_int(report, "documents", 0)), "totalFragmentCount",
        (json_int_t)tr_json_int(report, "fragments", 0), "lastSuccessfulBatchTimestamp",
        batch_ms == 0 ? quoted_text(NULL) : quoted(batch_ms), "lastBatchId",
        quoted_text(tr_json_text(report, "batch", NULL)), "mergePolicyId",
        tr_json_text(report, "policy", ""), "streamingDriven", 0, "status", "TASK_FINISHED",
        "samplingRatio", 1.0, "mergeStrategy", "timestampOrdered_auto", "lastSampledTimestamp",
        when);
    json_decref(report);
    return tr_reply_json(call, 200, body, err);
}

/* ---- by dataset, by namespace */

static double share(int64_t part, const json_t *report)
{
    const int64_t all = tr_json_int(report, "profiles", 0);
    return all == 0 ? 0 : (double)part / (double)all;
}

/* What both reports have of one row. NULL: no memory. */
static json_t *row_of(const json_t *report, int64_t profiles)
{
    return json_pack("{s:I, s:f, s:I, s:f, s:s}", "sampleCount", (json_int_t)profiles,
                     "samplePercentage", share(profiles, report), "fullIDsCount",
                     (json_int_t)profiles, "fullIDsPercentage", share(profiles, report),
                     "reportTimestamp", tr_json_text(report, "timestamp", ""));
}

/* data, report: taken */
static tr_code reply_data(tr_call *call, json_t *data, json_t *report, tr_err *err)
{
    json_t *body = json_pack("{s:o, s:s}", "data", data, "reportTimestamp",
                             tr_json_text(report, "timestamp", ""));
    json_decref(report);
    return tr_reply_json(call, 200, body, err);
}

static json_t *dataset_row(tr_call *call, const json_t *report, const char *id, int64_t profiles)
{
    tr_object dataset = {0};
    const tr_code code =
        tr_catalog_get(call->parts->catalog, &call->tenant, "dataset", id, &dataset, NULL);
    json_t *row = row_of(report, profiles);
    json_t *names =
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "value", id, "name",
                  code == TR_OK ? tr_json_text(dataset.doc, "name", "") : "", "description",
                  code == TR_OK ? tr_json_text(dataset.doc, "description", "") : "",
                  "streamingIngestionEnabled", "false", "createdUser",
                  code == TR_OK ? tr_json_text(dataset.doc, "createdUser", "") : "");
    (void)json_object_update(row, names);
    json_decref(names);
    tr_object_clear(&dataset);
    return row;
}

static json_t *namespace_row(tr_call *call, const json_t *report, const char *name,
                             int64_t profiles)
{
    json_t *doc = NULL, *row = row_of(report, profiles);
    const json_t *documents = json_object_get(report, "namespaceDocuments");
    if (tr_namespace_get(call->parts->catalog, call->org, tr_str_of(name), &doc, NULL) == TR_OK)
        (void)json_object_set_new(row, "value",
                                  json_sprintf("%lld", (long long)tr_json_int(doc, "id", 0)));
    (void)json_object_set_new(row, "code", json_string(name));
    (void)json_object_set_new(row, "fullIDsFragmentCount",
                              json_integer(tr_json_int(documents, name, 0)));
    json_decref(doc);
    return row;
}

typedef json_t *(*row_maker)(tr_call *call, const json_t *report, const char *name,
                             int64_t profiles);

/* A row of each name that the report counts profiles of. */
static tr_code reply_rows(tr_call *call, const char *member, row_maker make, tr_err *err)
{
    json_t *report = NULL, *profiles;
    const char *name;
    TR_TRY(get_report(call, &report, err));
    json_t *rows = json_array();
    json_object_foreach(json_object_get(report, member), name, profiles)(void)
        json_array_append_new(rows, make(call, report, name, json_integer_value(profiles)));
    return reply_data(call, rows, report, err);
}

static tr_code get_datasets(tr_call *call, tr_err *err)
{
    return reply_rows(call, "datasets", dataset_row, err);
}

static tr_code get_namespaces(tr_call *call, tr_err *err)
{
    return reply_rows(call, "namespaces", namespace_row, err);
}

/* ---- what is shown as it is */

static tr_code reply_member(tr_call *call, const char *member, tr_err *err)
{
    json_t *report = NULL;
    TR_TRY(get_report(call, &report, err));
    return reply_data(call, json_incref(json_object_get(report, member)), report, err);
}

static tr_code get_dataset_overlap(tr_call *call, tr_err *err)
{
    return reply_member(call, "datasetOverlap", err);
}

static tr_code get_namespace_overlap(tr_call *call, tr_err *err)
{
    return reply_member(call, "namespaceOverlap", err);
}

/* name  of the member, which an older name of the path has differently */
static tr_code reply_unstitched(tr_call *call, const char *name, tr_err *err)
{
    json_t *report = NULL;
    TR_TRY(tr_profile_report(call->parts->profiles, &call->tenant, &report, err));
    json_t *data = json_pack("{s:I, s:I, s:O}", "totalNumberOfProfiles",
                             (json_int_t)tr_json_int(report, "profiles", 0), "totalNumberOfEvents",
                             (json_int_t)tr_json_int(report, "events", 0), name,
                             json_object_get(report, "unstitched"));
    return reply_data(call, data, report, err);
}

static tr_code get_unstitched(tr_call *call, tr_err *err)
{
    return reply_unstitched(call, "unstitchedProfiles", err);
}

static tr_code get_unknown(tr_call *call, tr_err *err)
{
    return reply_unstitched(call, "unknownProfiles", err);
}

const tr_endpoint tr_api_reports[] = {
    {"GET", STATUS, TR_SCOPE_READ, get_status, 0, .is_slow = true},
    {"GET", STATUS "/report/dataset", TR_SCOPE_READ, get_datasets, 0, .is_slow = true},
    {"GET", STATUS "/report/namespace", TR_SCOPE_READ, get_namespaces, 0, .is_slow = true},
    {"GET", STATUS "/report/dataset/overlap", TR_SCOPE_READ, get_dataset_overlap, 0,
     .is_slow = true},
    {"GET", STATUS "/report/namespace/overlap", TR_SCOPE_READ, get_namespace_overlap, 0,
     .is_slow = true},
    {"GET", STATUS "/report/unstitchedProfiles", TR_SCOPE_READ, get_unstitched, 0, .is_slow = true},
    {"GET", STATUS "/report/unknownProfiles", TR_SCOPE_READ, get_unknown, 0, .is_slow = true},
    {0}};
