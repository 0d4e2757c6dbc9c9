/* SPDX-License-Identifier: Apache-2.0 */
/* api.c - a request's way: route, rights, handler, error body, counters; see core_internal.h. */
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "api/core_internal.h"

#include <stdio.h>

enum { TOKENS_KEPT = 4096, ACCESS_KEPT = 1024, LOG_LINES_PER_S = 10 };

/* A body that comes with no valid token: enough for a clear 401, too little to fill a disk. */
#define STRANGER_BYTES_MAX TR_BODY_BYTES_MAX

/* Every resource. */
static const tr_endpoint *const tables[] = {tr_api_health,
                                            tr_api_ims,
                                            tr_api_sandboxes,
                                            tr_api_access_control,
                                            tr_api_registry,
                                            tr_api_descriptors,
                                            tr_api_datasets,
                                            tr_api_batches,
                                            tr_api_data_access,
                                            tr_api_ingestion,
                                            tr_api_merge_policies,
                                            tr_api_namespaces,
                                            tr_api_identities,
                                            tr_api_identity_graph,
                                            tr_api_identity_clusters,
                                            tr_api_entities,
                                            tr_api_segments,
                                            tr_api_segment_jobs,
                                            tr_api_schedules,
                                            tr_api_previews,
                                            tr_api_audiences,
                                            tr_api_segment_search,
                                            tr_api_projections,
                                            tr_api_reports,
                                            tr_api_export_jobs,
                                            tr_api_system_jobs,
                                            tr_api_query_service,
                                            tr_api_queries,
                                            tr_api_query_templates,
                                            tr_api_query_schedules,
                                            tr_api_query_alerts,
                                            tr_api_query_statistics,
                                            NULL};

static tr_code open_parts(tr_api *api, tr_err *err)
{
    TR_TRY(tr_router_open(tables, &api->router, err));
    TR_TRY(tr_metrics_open(tr_router_count(api->router), &api->metrics, err));
    TR_TRY(tr_recall_open(TOKENS_KEPT, sizeof(tr_jwt_claims), &api->tokens, err));
    TR_TRY(tr_recall_open(ACCESS_KEPT, tr_rights_access_bytes(), &api->access, err));
    TR_TRY(tr_openapi_text(api->router, &api->openapi, err));
    return tr_jwt_open(api->parts.catalog, &api->jwt, err);
}

tr_code tr_api_open(const tr_api_parts *parts, tr_api **out, tr_err *err)
{
    tr_api *api = tr_alloc_zeroed(1, sizeof *api);
    if (api == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the API");
    api->parts = *parts;
    api->started_ms = tr_time_now_ms();
    const tr_code code = open_parts(api, err);
    if (code == TR_OK)
        *out = api;
    else
        tr_api_close(api);
    return code;
}

void tr_api_close(tr_api *api)
{
    if (api == NULL)
        return;
    tr_jwt_close(api->jwt);
    tr_buf_free(&api->openapi);
    tr_recall_close(api->access);
    tr_recall_close(api->tokens);
    tr_metrics_close(api->metrics);
    tr_router_close(api->router);
    tr_free(api);
}

void tr_api_tell_sql(tr_api *api, const char *address)
{
    api->sql_address = address;
}

void tr_api_tell_jobs(tr_api *api, tr_query_jobs *jobs, tr_query_schedules *schedules)
{
    api->jobs = jobs;
    api->query_schedules = schedules;
}

bool tr_api_may_log(tr_api *api)
{
    const int64_t second = tr_time_monotonic_us() / 1000000;
    if (atomic_exchange(&api->log_second, second) != second)
        atomic_store(&api->log_count, 0);
    return atomic_fetch_add(&api->log_count, 1) < LOG_LINES_PER_S;
}

/* One request -------------------------------------------------------------------------------- */

/* The client's id when it is one line of plain characters, else one of ours. */
static void name_request(tr_call *call)
{
    const tr_str sent = tr_http_header(call->request, "x-request-id");
    bool is_plain = sent.len > 0 && sent.len < sizeof call->request_id;
    for (size_t i = 0; is_plain && i < sent.len; i++)
        is_plain = sent.at[i] > 0x20 && sent.at[i] < 0x7f && sent.at[i] != '"' &&
                   sent.at[i] != '<' && sent.at[i] != '\\';
    if (is_plain)
        (void)snprintf(call->request_id, sizeof call->request_id, "%.*s", TR_STR_ARG(sent));
    else
        (void)snprintf(call->request_id, sizeof call->request_id, "%s", tr_id_hex(32).text);
}

static void answer_failure(tr_call_frame *frame, tr_code code, const tr_err *err)
{
    tr_call *call = &frame->call;
    const int status = tr_code_http_status(code);
    if (code == TR_MEDIA && frame->has_no_json_type) {
        tr_error_media(call);
        return;
    }
    if (status >= 500)
        tr_log(TR_LOG_ERROR, "api", "request_failed", "req=%s method=%s endpoint=%s text=\"%s\"",
               call->request_id, call->request->method, frame->endpoint->path, err->text);
    tr_error_service(call, status, err->text);
}

static void log_refusal(const tr_call_frame *frame, const tr_refusal *why)
{
    const tr_call *call = &frame->call;
    if (tr_api_may_log(call->api))
        tr_log(TR_LOG_INFO, "api", "access_refused",
               "req=%s client=%s org=%s method=%s endpoint=%s status=%d code=%s", call->request_id,
               call->client_id[0] == '\0' ? "-" : call->client_id,
               call->org[0] == '\0' ? "-" : call->org, call->request->method,
               frame->endpoint->path, why->status, why->code != NULL ? why->code : why->type);
}

/* Rights, then the handler. */
static void serve(tr_call_frame *frame)
{
    tr_call *call = &frame->call;
    tr_refusal why = {0};
    tr_err err = {0};
    bool is_allowed = false;
    tr_code code = tr_rights_check(call, frame->endpoint, &is_allowed, &why, &err);
    if (code == TR_OK && !is_allowed) {
        log_refusal(frame, &why);
        tr_error_refusal(call, &why);
        return;
    }
    if (code == TR_OK)
        code = frame->endpoint->handle(call, &err);
    if (code != TR_OK)
        answer_failure(frame, code, &err);
}

static void answer_no_route(tr_call *call, const tr_route *route)
{
    tr_err err = {0};
    if (route->allow[0] == '\0') {
        tr_error_service(call, 404, "There is no such path.");
        return;
    }
    tr_error_service(call, 405, "The path does not have this method.");
    if (tr_reply_header(call, "Allow", route->allow, &err) != TR_OK)
        tr_error_service(call, 500, err.text);
}

static bool has_header(const tr_http_response *response, const char *name)
{
    for (uint32_t i = 0; i < response->header_count; i++)
        if (tr_str_equal_folded(response->headers[i].name, tr_str_of(name)))
            return true;
    return false;
}

/* What every answer carries. Answers are somebody's data: no cache on the way may keep them. */
static void add_common_headers(tr_call *call)
{
    tr_http_response *response = call->response;
    static const struct {
        const char *name, *value;
    } common[] = {{"X-Content-Type-Options", "nosniff"}, {"Cache-Control", "no-store"}};
    bool is_good = tr_reply_header(call, "X-Request-Id", call->request_id, NULL) == TR_OK;
    for (size_t i = 0; i < sizeof common / sizeof common[0]; i++)
        if (!has_header(response, common[i].name))
            is_good = tr_reply_header(call, common[i].name, common[i].value, NULL) == TR_OK &&
                      is_good;
    if (!is_good)
        tr_log(TR_LOG_WARN, "api", "headers_left_out", "req=%s", call->request_id);
}

static void handle(void *ctx, const tr_http_request *request, tr_http_response *response)
{
    tr_api *api = ctx;
    tr_route route;
    tr_call_frame frame = {
        .call = {.api = api, .parts = &api->parts, .request = request, .response = response}};
    tr_call *call = &frame.call;
    const int64_t begun = tr_time_monotonic_us();
    tr_router_find(api->router, request, &route);
    if (request->may_defer && route.endpoint != NULL && route.endpoint->is_slow) {
        response->is_deferred = true;
        return;
    }
    name_request(call);
    frame.endpoint = route.endpoint;
    if (route.endpoint != NULL) {
        memcpy(call->params, route.params, sizeof call->params);
        call->param_count = route.param_count;
        response->is_head = strcmp(request->method, "HEAD") == 0;
        serve(&frame);
    } else {
        answer_no_route(call, &route);
    }
    if (response->is_deferred) { /* it comes again */
        json_decref(frame.body);
        return;
    }
    add_common_headers(call);
    json_decref(frame.body);
    const int64_t us = tr_time_monotonic_us() - begun;
    const int status = response->status == 0 ? 200 : response->status;
    tr_metrics_count(api->metrics,
                     route.endpoint == NULL ? tr_router_count(api->router) : route.index, status,
                     us);
    tr_log(TR_LOG_DEBUG, "api", "access",
           "req=%s client=%s org=%s sandbox=%s method=%s endpoint=%s status=%d us=%lld",
           call->request_id, call->client_id, call->org, call->tenant.sandbox, request->method,
           route.endpoint == NULL ? "-" : route.endpoint->path, status, (long long)us);
}

static uint64_t body_max(void *ctx, const tr_http_request *head)
{
    tr_api *api = ctx;
    tr_route route;
    tr_router_find(api->router, head, &route);
    if (route.endpoint == NULL || route.endpoint->body_bytes_max == 0)
        return TR_BODY_BYTES_MAX;
    const uint64_t most = route.endpoint->body_bytes_max;
    return most > STRANGER_BYTES_MAX && route.endpoint->scope != TR_SCOPE_OPEN &&
                   !tr_rights_has_token(api, head)
               ? STRANGER_BYTES_MAX
               : most;
}

/* A request refused before it was whole has no path that we know of: the plain problem. */
static void refuse(void *ctx, int status, const char *text, tr_http_response *response)
{
    (void)ctx;
    json_t *body = json_pack("{s:s, s:s, s:i, s:{}, s:s}", "type",
                             "http://ns.adobe.com/aep/errors/PLATFORM-100000", "title", text,
                             "status", status, "report", "detail",
                             status == 413 ? "The body is larger than this call takes, or is sent "
                                             "without a valid token."
                                           : text);
    if (body == NULL || tr_json_write(body, &response->body, NULL) != TR_OK)
        tr_buf_free(&response->body); /* the status says it */
    json_decref(body);
}

tr_http_handler tr_api_handler(tr_api *api)
{
    return (tr_http_handler){
        .ctx = api, .body_max = body_max, .handle = handle, .refuse = refuse};
}
