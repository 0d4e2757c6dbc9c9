/* SPDX-License-Identifier: Apache-2.0 */
/* server.c - see server.h. */
#include "app/server.h"
#include "app/server_internal.h"

#include "api/api.h"
#include "base/log.h"
#include "segment/jobs.h"
#include "segment/preview.h"
#include "segment/schedule.h"
#include "sql/sql.h"

#include <stdio.h>
#include <unistd.h>

struct tr_server {
    int lock_fd;
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    tr_graph *graph;
    tr_materialized *materialized;
    tr_compute *compute;
    tr_query *query;
    tr_query *job_query; /* with the limits of queries that run as jobs */
    tr_query_jobs *query_jobs;
    tr_query_schedules *query_schedules;
    tr_live_tables *live;
    tr_ingest *ingest;
    tr_segment *segment;
    tr_scheduler *scheduler;
    tr_previews *previews;
    tr_removals *removals;
    tr_export *export;
    tr_profiles *profiles;
    tr_api *api;
    tr_http_server *http;
    tr_sql *sql;             /* NULL: no SQL is served */
    tr_buf certificate, key; /* PEM, ending in NUL */
    char listen[128];
    char url[192];
};

/* Not while a command reads what it would take for a crash's. */
static tr_code sweep(tr_server *s, const char *data, tr_err *err)
{
    int readers_fd = -1;
    const tr_code code = tr_data_keep_readers_out(data, &readers_fd, err);
    if (code == TR_BUSY) {
        tr_log(TR_LOG_INFO, "app", "sweep_put_off", "reason=\"a command reads the data folder\"");
        return TR_OK;
    }
    TR_TRY(code);
    const tr_code swept = tr_sweep(s->catalog, s->lake, err);
    (void)close(readers_fd);
    return swept;
}

static tr_code open_storage(tr_server *s, const tr_settings *settings, tr_err *err)
{
    char data[TR_DATA_PATH_BYTES], path[TR_DATA_PATH_BYTES];
    TR_TRY(tr_dir_make(settings->data, err));
    TR_TRY(tr_data_absolute(settings->data, data, err));
    TR_TRY(tr_data_lock(data, &s->lock_fd, err));
    TR_TRY(tr_data_path(data, TR_DATA_CATALOG, path, err));
    TR_TRY(tr_catalog_open(path, &s->catalog, err));
    TR_TRY(tr_lake_open(data, &s->lake, err));
    TR_TRY(sweep(s, data, err));
    TR_TRY(tr_store_open(s->catalog, s->lake, &s->store, err));
    return tr_graph_open(s->catalog, s->lake, s->store, &s->graph, err);
}

/* What is kept in memory and scratch files of data that was taken back. */
static void forget_data(void *ctx, const tr_tenant *tenant)
{
    tr_server *s = ctx;
    tr_previews_forget(s->previews, tenant);
    tr_materialized_forget(s->materialized, tenant);
    if (s->live != NULL)
        tr_live_tables_drop(s->live, tenant);
}

static tr_code open_work(tr_server *s, const tr_settings *settings, tr_err *err)
{
    const tr_compute_options compute = {.worker_count = settings->workers,
                                        .job_count = settings->jobs};
    const tr_query_options query = {.worker_path = settings->query_worker,
                                    .scratch_folder = tr_lake_scratch(s->lake),
                                    .memory_mb = settings->query_memory_mb,
                                    .deadline_s = settings->query_deadline_s,
                                    .thread_count = settings->query_threads};
    TR_TRY(tr_compute_open(&compute, &s->compute, err));
    TR_TRY(tr_query_open(&query, &s->query, err));
    const tr_ingest_parts ingest = {.catalog = s->catalog,
                                    .lake = s->lake,
                                    .store = s->store,
                                    .graph = s->graph,
                                    .compute = s->compute,
                                    .query = s->query};
    TR_TRY(tr_ingest_open(&ingest, &s->ingest, err));
    const tr_materialized_parts materialized = {.catalog = s->catalog,
                                                .lake = s->lake,
                                                .store = s->store,
                                                .bytes_max = (uint64_t)settings->merged_mb_max
                                                             << 20,
                                                .rows_min = settings->merged_rows_min};
    TR_TRY(tr_materialized_open(&materialized, &s->materialized, err));
    tr_materialized_trim(s->materialized);
    const tr_segment_parts segment = {.catalog = s->catalog,
                                      .lake = s->lake,
                                      .store = s->store,
                                      .graph = s->graph,
                                      .compute = s->compute,
                                      .materialized = s->materialized,
                                      .has_two_states = settings->segment_states == 2};
    TR_TRY(tr_segment_open(&segment, &s->segment, err));
    TR_TRY(tr_previews_open(&segment, &s->previews, err));
    const tr_removal_parts removals = {.catalog = s->catalog,
                                       .lake = s->lake,
                                       .store = s->store,
                                       .compute = s->compute,
                                       .ingest = s->ingest,
                                       .graph = s->graph,
                                       .forget = forget_data,
                                       .ctx = s};
    TR_TRY(tr_removals_open(&removals, &s->removals, err));
    const tr_export_parts export = {.catalog = s->catalog,
                                    .lake = s->lake,
                                    .store = s->store,
                                    .compute = s->compute,
                                    .materialized = s->materialized,
                                    .segment = s->segment};
    TR_TRY(tr_export_open(&export, &s->export, err));
    const tr_profiles_parts profiles = {
        .catalog = s->catalog, .lake = s->lake, .store = s->store, .graph = s->graph};
    return tr_profiles_open(&profiles, &s->profiles, err);
}

/* Whose schedule it is may have lost the sandbox, or the right to write there. */
static tr_code admit_schedule(void *ctx, const tr_tenant *tenant, const char *client_id,
                              tr_err *err)
{
    tr_sql_person person = {0};
    TR_TRY(tr_api_sign_in_client(ctx, client_id, tenant->sandbox, &person, err));
    if (person.tenant.id != tenant->id || !person.may_write)
        return TR_FAIL(err, TR_DENIED, "it may not write here any more");
    return TR_OK;
}

static tr_code open_query_jobs(tr_server *s, const tr_settings *settings, tr_err *err)
{
    enum { DAY_S = 24 * 3600 };
    const tr_query_options query = {
        .worker_path = settings->query_worker,
        .scratch_folder = tr_lake_scratch(s->lake),
        .memory_mb = settings->query_memory_mb,
        .deadline_s = settings->query_job_deadline_s > 0 ? settings->query_job_deadline_s : DAY_S,
        .thread_count = settings->query_threads};
    const tr_live_cache_parts live = {
        .export = s->export, .compute = s->compute, .scratch_folder = tr_lake_scratch(s->lake)};
    TR_TRY(tr_live_tables_open(&live, s->catalog, &s->live, err));
    TR_TRY(tr_query_open(&query, &s->job_query, err));
    const tr_query_jobs_parts parts = {.catalog = s->catalog,
                                       .lake = s->lake,
                                       .ingest = s->ingest,
                                       .query = s->job_query,
                                       .live = s->live,
                                       .job_count = settings->query_jobs,
                                       .now_max = (settings->http_threads + 1) / 2,
                                       .now_deadline_s = settings->query_deadline_s,
                                       .now_rows_max = settings->query_rows_max,
                                       .maker = tr_api_table_maker(s->api)};
    TR_TRY(tr_query_jobs_open(&parts, &s->query_jobs, err));
    TR_TRY(tr_query_jobs_resume(s->query_jobs, err));
    const tr_schedule_guard guard = {.ctx = s->api, .admit = admit_schedule};
    TR_TRY(tr_query_schedules_open(s->catalog, s->query_jobs, &guard, &s->query_schedules, err));
    tr_api_tell_jobs(s->api, s->query_jobs, s->query_schedules);
    return TR_OK;
}

/* What a schedule of type export does. */
static tr_code run_export(void *ctx, const tr_tenant *tenant, const json_t *body, tr_err *err)
{
    json_t *job = NULL;
    TR_TRY(tr_export_create(ctx, tenant, body, NULL, "scheduler", &job, err));
    json_decref(job);
    return TR_OK;
}

static tr_code read_pem(const char *path, tr_buf *out, tr_err *err)
{
    TR_TRY(tr_file_read_all(path, out, err));
    return tr_buf_append(out, (tr_str){(const uint8_t *)"", 1}, err);
}

static tr_code name_address(tr_server *s, const tr_settings *settings, tr_err *err)
{
    TR_TRY(tr_listen_address(settings->listen, s->listen, err));
    const char *colon = strrchr(s->listen, ':');
    const bool is_any =
        strncmp(s->listen, "0.0.0.0:", 8) == 0 || strncmp(s->listen, "[::]:", 5) == 0;
    const int len = settings->public_url != NULL
                        ? snprintf(s->url, sizeof s->url, "%s", settings->public_url)
                        : snprintf(s->url, sizeof s->url, "%s://%.*s%s",
                                   settings->tls_certificate != NULL ? "https" : "http",
                                   is_any ? 9 : (int)(colon - s->listen),
                                   is_any ? "127.0.0.1" : s->listen, colon);
    if (len >= (int)sizeof s->url)
        return TR_FAIL(err, TR_INVALID, "public-url is too long");
    if (!tr_is_loopback(s->listen) && settings->tls_certificate == NULL)
        tr_log(TR_LOG_WARN, "app", "clear_text_listen",
               "listen=%s hint=\"others can read secrets: set tls-certificate and tls-key, or put "
               "TLS in front\"",
               s->listen);
    return TR_OK;
}

static tr_code open_sql(tr_server *s, const tr_settings *settings, tr_err *err)
{
    const tr_sql_options sql = {.catalog = s->catalog,
                                .lake = s->lake,
                                .query = s->query,
                                .live = s->live,
                                .jobs = s->query_jobs,
                                .guard = {.ctx = s->api,
                                          .admit = tr_api_sign_in,
                                          .find_verifier = tr_api_find_verifier,
                                          .admit_client = tr_api_sign_in_client},
                                .listen = settings->pg_listen,
                                .tls_certificate = settings->tls_certificate,
                                .tls_key = settings->tls_key,
                                .connections_max = settings->pg_connections_max,
                                .idle_s = settings->pg_idle_s,
                                .temporary_bytes_max = (uint64_t)settings->query_temporary_mb << 20,
                                .rows_max = settings->query_rows_max};
    if (settings->pg_listen == NULL)
        return TR_OK;
    if (!tr_is_loopback(settings->pg_listen) && settings->tls_certificate == NULL)
        tr_log(TR_LOG_WARN, "app", "clear_text_listen",
               "listen=%s hint=\"others can read passwords: set tls-certificate and tls-key\"",
               settings->pg_listen);
    tr_err why = {0};
    const tr_code code = tr_sql_open(&sql, &s->sql, &why);
    if (code == TR_IO && !settings->is_pg_listen_given) {
        tr_log(TR_LOG_WARN, "app", "sql_not_served", "cause=\"%s\"", why.text);
        return TR_OK;
    }
    if (code != TR_OK)
        return TR_FAIL(err, code, "%s", why.text);
    tr_api_tell_sql(s->api, tr_sql_address(s->sql));
    return TR_OK;
}

static tr_code open_doors(tr_server *s, const tr_settings *settings, tr_err *err)
{
    TR_TRY(name_address(s, settings, err));
    if (settings->tls_certificate != NULL) {
        TR_TRY(read_pem(settings->tls_certificate, &s->certificate, err));
        TR_TRY(read_pem(settings->tls_key, &s->key, err));
    }
    const tr_scheduler_parts schedules = {
        .catalog = s->catalog, .segment = s->segment, .run_export = run_export, .ctx = s->export};
    TR_TRY(tr_scheduler_open(&schedules, &s->scheduler, err));
    const tr_api_parts parts = {.catalog = s->catalog,
                                .lake = s->lake,
                                .store = s->store,
                                .graph = s->graph,
                                .compute = s->compute,
                                .query = s->query,
                                .ingest = s->ingest,
                                .segment = s->segment,
                                .scheduler = s->scheduler,
                                .previews = s->previews,
                                .removals = s->removals,
                                .export = s->export,
                                .profiles = s->profiles,
                                .forget = forget_data,
                                .forget_ctx = s,
                                .public_url = s->url};
    TR_TRY(tr_api_open(&parts, &s->api, err));
    TR_TRY(tr_api_resume_sandboxes(s->api, err));
    TR_TRY(tr_graph_sweep_all(s->graph, err));
    TR_TRY(tr_ingest_resume(s->ingest, err));
    TR_TRY(tr_export_resume(s->export, err));
    TR_TRY(open_query_jobs(s, settings, err));
    TR_TRY(tr_removals_resume(s->removals, err)); /* it forgets what live tables keep */
    const tr_http_options http = {.listen = s->listen,
                                  .thread_count = settings->http_threads,
                                  .connections_max = settings->connections_max,
                                  .timeout_s = settings->http_timeout_s,
                                  .scratch_folder = tr_lake_scratch(s->lake),
                                  .certificate_pem = (const char *)s->certificate.at,
                                  .key_pem = (const char *)s->key.at};
    const tr_http_handler handler = tr_api_handler(s->api);
    TR_TRY(open_sql(s, settings, err));
    return tr_http_start(&http, &handler, &s->http, err);
}

tr_code tr_server_open(const tr_settings *settings, tr_server **out, tr_err *err)
{
    tr_server *s = tr_alloc_zeroed(1, sizeof *s);
    if (s == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the server");
    s->lock_fd = -1;
    tr_code code = open_storage(s, settings, err);
    if (code == TR_OK)
        code = open_work(s, settings, err);
    if (code == TR_OK)
        code = open_doors(s, settings, err);
    if (code == TR_OK)
        *out = s;
    else
        tr_server_close(s);
    return code;
}

const char *tr_server_url(const tr_server *server)
{
    return server->url;
}

const char *tr_server_sql_address(const tr_server *server)
{
    return server->sql == NULL ? "-" : tr_sql_address(server->sql);
}

void tr_server_close(tr_server *s)
{
    if (s == NULL)
        return;
    tr_query_jobs_stop(s->query_jobs); /* requests may wait for a statement, */
    tr_profiles_stop(s->profiles);     /* or for a report, */
    tr_graph_stop(s->graph);           /* or until the graph is read that a batch leaves */
    tr_http_stop(s->http);
    tr_scheduler_close(s->scheduler);
    tr_sql_close(s->sql);
    tr_query_schedules_close(s->query_schedules);
    tr_query_jobs_close(s->query_jobs); /* before ingest's jobs, which they wait for */
    tr_compute_close(s->compute);       /* before what its jobs use */
    tr_live_tables_close(s->live);
    tr_api_close(s->api);
    tr_profiles_close(s->profiles);
    tr_export_close(s->export);
    tr_removals_close(s->removals);
    tr_previews_close(s->previews);
    tr_segment_close(s->segment);
    tr_ingest_close(s->ingest);
    tr_query_close(s->job_query);
    tr_query_close(s->query);
    tr_materialized_close(s->materialized);
    tr_graph_close(s->graph);
    tr_store_close(s->store);
    tr_lake_close(s->lake);
    tr_catalog_close(s->catalog);
    if (s->key.at != NULL)
        explicit_bzero(s->key.at, s->key.len);
    tr_buf_free(&s->certificate);
    tr_buf_free(&s->key);
    if (s->lock_fd >= 0)
        (void)close(s->lock_fd);
    tr_free(s);
}
