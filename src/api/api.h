/* SPDX-License-Identifier: Apache-2.0 */
/* api.h - AEP's HTTP API over the rooms below: check rights, call a room, shape the answer.
 *
 * Endpoints are data (tr_endpoint in api_internal.h): method, path, scope and handler. The router, the
 * rights, /openapi.json and the authorisation tests all read the same tables.
 */
#ifndef TR_API_API_H
#define TR_API_API_H

#include "export/export.h"
#include "graph/graph.h"
#include "http/http.h"
#include "ingest/ingest.h"
#include "profile/profile.h"
#include "removal/removal.h"
#include "segment/preview.h"
#include "segment/schedule.h"
#include "segment/segment.h"
#include "sql/query_schedule.h"
#include "sql/sql.h"

typedef struct tr_api_parts {
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    tr_graph *graph;
    tr_compute *compute;
    tr_query *query;
    tr_ingest *ingest;
    tr_segment *segment;
    tr_scheduler *scheduler;
    tr_previews *previews;
    tr_removals *removals;
    tr_export *export;
    tr_profiles *profiles;
    void (*forget)(void *ctx, const tr_tenant *tenant); /* data was taken back; NULL: nobody keeps any */
    void *forget_ctx;
    const char *public_url; /* "http://127.0.0.1:8080": for links and inlet urls */
} tr_api_parts;

typedef struct tr_api tr_api;
TR_MUST_CHECK tr_code tr_api_open(const tr_api_parts *parts, tr_api **out, tr_err *err);
void tr_api_close(tr_api *api); /* accepts NULL */
tr_http_handler tr_api_handler(tr_api *api);
/* At a start, before any job: sandboxes whose deletion or reset had begun end now. One that cannot
 * is logged, and stays closed. */
TR_MUST_CHECK tr_code tr_api_resume_sandboxes(tr_api *api, tr_err *err);

/* What tr_sql_guard asks; ctx is the tr_api. */
tr_code tr_api_sign_in(void *ctx, const char *user, const char *sandbox, tr_str password,
                       tr_sql_person *out, tr_err *err);
tr_code tr_api_find_verifier(void *ctx, const char *client_id, tr_scram_verifier *out, tr_err *err);
tr_code tr_api_sign_in_client(void *ctx, const char *client_id, const char *sandbox,
                              tr_sql_person *out, tr_err *err);

/* What SQL that writes asks of Catalog and registry. */
tr_table_maker tr_api_table_maker(tr_api *api);
/* Who runs queries, at once and at set times; borrowed; before requests come. */
void tr_api_tell_jobs(tr_api *api, tr_query_jobs *jobs, tr_query_schedules *schedules);

/* Where SQL is served: "127.0.0.1:5433", borrowed; before requests come. NULL: nowhere. */
void tr_api_tell_sql(tr_api *api, const char *address);

/* Makes an API client of `org` (and the org, when new). role: "admin", "editor", "viewer". sandboxes: NULL or
 * names, NULL-terminated: the only ones it may use. *out is returned:
 * {"client_id","client_secret","org_id","technical_account_id"} */
TR_MUST_CHECK tr_code tr_api_client_add(tr_catalog *catalog, const char *org, const char *name, const char *role,
                                        const char *const *sandboxes, json_t **out, tr_err *err);
/* What tr_api_client_add refuses of them, without a catalog: TR_INVALID names the value. */
TR_MUST_CHECK tr_code tr_api_client_check(const char *org, const char *name, const char *role,
                                          const char *const *sandboxes, tr_err *err);

#endif
