/* SPDX-License-Identifier: Apache-2.0 */
/* error_body.c - the error bodies of AEP, each service its own.
 *
 *     gateway     {"error_code","message"}                           who are you
 *     problem     {"type","title","status","report",...,"detail"}    everything else
 *     token       {"error","error_description"}                      /ims, RFC 6749
 *
 * The problem's dress differs by service; clients take a body with `status` and `report` for an
 * error. The detail of a failure that is ours (5xx) is generic: the log has the text, under the
 * request's id.
 */
#include "api/core_internal.h"
#include "base/clock.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

typedef enum dress {
    DRESS_PLATFORM,
    DRESS_REGISTRY,
    DRESS_PROFILE,
    DRESS_SEGMENT, /* PROFILE, and the errors by status */
    DRESS_SANDBOX,
    DRESS_TOKEN
} dress;

typedef struct service_row {
    const char *prefix;
    const char *tag;  /* <tag>-<number>-<status> */
    int number;
    dress dress;
} service_row;

/* The longest prefix that fits; the last one fits all. */
static const service_row services[] = {
    {"/ims/", "IMS", 0, DRESS_TOKEN},
    {"/data/foundation/schemaregistry", "XDM", 1900, DRESS_REGISTRY},
    {"/data/foundation/sandbox-management", "SMS", 2000, DRESS_SANDBOX},
    {"/data/foundation/access-control", "PDP", 4000, DRESS_PLATFORM},
    {"/data/foundation/catalog", "CATALOG", 100000, DRESS_PLATFORM},
    {"/data/foundation/import", "INGEST", 100000, DRESS_PLATFORM},
    {"/data/foundation/export", "DATAACCESS", 100000, DRESS_PLATFORM},
    {"/data/foundation/query", "QUERY", 100000, DRESS_PLATFORM},
    {"/data/core/ups/config/mergePolicies", "UPLIB", 101221, DRESS_PROFILE},
    {"/data/core/ups/config/schedules", "UPAPI", 113430, DRESS_SEGMENT},
    {"/data/core/ups/config", "UPAPI", 113430, DRESS_PROFILE},
    {"/data/core/ups/segment", "NEBULA", 100058, DRESS_SEGMENT},
    {"/data/core/ups/preview", "UPAPI", 100001, DRESS_SEGMENT},
    {"/data/core/ups/estimate", "UPAPI", 100001, DRESS_SEGMENT},
    {"/data/core/ups/audiences", "UPAPI", 113430, DRESS_SEGMENT},
    {"/data/core/ups/system/jobs", "UPAPI", 36002, DRESS_SEGMENT},
    {"/data/core/ups", "UPAPI", 100001, DRESS_PROFILE},
    {"", "PLATFORM", 100000, DRESS_PLATFORM}};

static const service_row *service_of(tr_str path)
{
    const service_row *at = services;
    for (;; at++) {
        const tr_str prefix = tr_str_of(at->prefix);
        if (path.len >= prefix.len && tr_str_equal((tr_str){path.at, prefix.len}, prefix))
            return at;
    }
}

/* Takes the body; when there was no memory for it, the status alone has to do. */
static void put_body(tr_call *call, int status, json_t *body)
{
    tr_http_response *response = call->response;
    response->body.len = 0;
    if (response->file_fd >= 0)
        (void)close(response->file_fd);
    response->file_fd = -1;
    response->content_type = NULL;
    if (body == NULL || tr_json_write(body, &response->body, NULL) != TR_OK)
        tr_buf_free(&response->body);
    json_decref(body);
    response->status = status;
    const bool is_later = status == 429 || status == 503;
    if (is_later && tr_reply_header(call, "Retry-After", "1", NULL) != TR_OK)
        response->status = status; /* the header is a courtesy */
}

void tr_error_gateway(tr_call *call, int status, const char *code, const char *message)
{
    put_body(call, status, json_pack("{s:s, s:s}", "error_code", code, "message", message));
}

void tr_error_media(tr_call *call)
{
    put_body(call, 400,
             json_pack("{s:s, s:i, s:s, s:s}", "type", "/placeholder/type/uri", "status", 400,
                       "title", "BadRequestError", "detail",
                       "A valid content-type must be specified"));
}

static json_t *tenant_info(const tr_call *call)
{
    const bool has_tenant = call->tenant.id != 0;
    return json_pack("{s:s, s:s, s:s}", "sandboxName", has_tenant ? call->tenant.sandbox : "N/A",
                     "sandboxId", has_tenant ? call->tenant.sandbox_id : "N/A", "imsOrgId",
                     call->org[0] == '\0' ? "N/A" : call->org);
}

static json_t *error_chain(const char *id, const char *code)
{
    return json_pack("[{s:s, s:s, s:s, s:I}]", "serviceId", id, "errorCode", code,
                     "invokingServiceId", "tributary", "unixTimeStampMs",
                     (json_int_t)tr_time_now_ms());
}

static json_t *registry_report(const tr_call *call, const char *detail)
{
    char when[32];
    struct tm utc;
    const time_t now = (time_t)(tr_time_now_ms() / 1000);
    if (gmtime_r(&now, &utc) == NULL || strftime(when, sizeof when, "%m-%d-%Y %H:%M:%S", &utc) == 0)
        when[0] = '\0';
    return json_pack("{s:s, s:s, s:s, s:[]}", "registryRequestId", call->request_id, "timestamp",
                     when, "detailed-message", detail, "sub-errors");
}

static json_t *platform_report(const tr_call *call)
{
    char when[TR_TIME_TEXT_BYTES];
    return json_pack("{s:s, s:s}", "requestId", call->request_id, "timestamp",
                     tr_time_format(tr_time_now_ms() * 1000, when));
}

/* code: "SMS-2003-403" */
static json_t *problem(const char *code, int status, const char *title)
{
    return json_pack("{s:s++, s:s, s:i}", "type", "http://ns.adobe.com/aep/errors/", code, "",
                     "title", title, "status", status);
}

void tr_error_refusal(tr_call *call, const tr_refusal *why)
{
    if (why->code != NULL) {
        tr_error_gateway(call, why->status, why->code, why->title);
        return;
    }
    json_t *body = problem(why->type, why->status, why->title);
    if (body != NULL && strncmp(why->type, "PDP", 3) == 0) {
        (void)json_object_set_new(
            body, "report",
            json_pack("{s:o, s:{s:s}}", "tenantInfo", tenant_info(call), "additionalContext",
                      "request-id", call->request_id));
        (void)json_object_set_new(body, "error-chain",
                                  error_chain("Policy Decision Point", why->type));
    } else if (body != NULL) {
        (void)json_object_set_new(body, "report", platform_report(call));
        (void)json_object_set_new(
            body, "detail",
            json_string(why->status == 403
                            ? "The sandbox does not exist, is not active, or is not the client's."
                            : why->title));
        (void)json_object_set_new(body, "message", json_string(why->title));
    }
    put_body(call, why->status, body);
}

static const char *title_of(int status)
{
    switch (status) {
    case 400: return "Bad request";
    case 403: return "Not allowed";
    case 404: return "Resource not found";
    case 405: return "Method not allowed";
    case 409: return "Conflict";
    case 412: return "Precondition failed";
    case 413: return "Request too large";
    case 414: return "URL too long";
    case 415: return "Unsupported media type";
    case 422: return "Request cannot be carried out";
    case 429: return "Too many requests";
    case 431: return "Headers too large";
    case 503: return "Service unavailable";
    case 507: return "Out of storage";
    default: return status < 500 ? "Bad request" : "Internal error";
    }
}

static json_t *token_error(int status, const char *detail)
{
    return json_pack("{s:s, s:s}", "error",
                     status >= 500 ? "server_error" : status == 401 ? "invalid_client"
                                                                    : "invalid_request",
                     "error_description", detail);
}

static void dress_profile(tr_call *call, json_t *body, const char *tag, const char *code)
{
    (void)json_object_set_new(body, "requestId", json_string(call->request_id));
    (void)json_object_set_new(body, "report",
                              json_pack("{s:o, s:n}", "tenantInfo", tenant_info(call),
                                        "additionalContext"));
    (void)json_object_set_new(body, "error-chain", error_chain(tag, code));
}

static void list_by_status(json_t *body, int status, const char *code, const char *detail)
{
    char number[16];
    (void)snprintf(number, sizeof number, "%d", status);
    (void)json_object_set_new(
        body, "errors", json_pack("{s:[{s:s, s:s}]}", number, "code", code, "message", detail));
}

void tr_error_service(tr_call *call, int status, const char *detail)
{
    char code[64], generic[200];
    const service_row *service = service_of(call->request->raw_path);
    if (status >= 500) {
        (void)snprintf(generic, sizeof generic,
                       "The request could not be served; its id is %s. Try again later.",
                       call->request_id);
        detail = generic;
    }
    (void)snprintf(code, sizeof code, service->number > 9999 ? "%s-%06d-%d" : "%s-%d-%d",
                   service->tag, service->number, status);
    json_t *body = service->dress == DRESS_TOKEN ? token_error(status, detail)
                                                 : problem(code, status, title_of(status));
    if (body == NULL || service->dress == DRESS_TOKEN) {
        put_body(call, status, body);
        return;
    }
    if (service->dress == DRESS_PROFILE || service->dress == DRESS_SEGMENT)
        dress_profile(call, body, service->tag, code);
    else
        (void)json_object_set_new(body, "report",
                                  service->dress == DRESS_REGISTRY ? registry_report(call, detail)
                                                                   : platform_report(call));
    (void)json_object_set_new(body, "detail", json_string(detail));
    if (service->dress == DRESS_SEGMENT)
        list_by_status(body, status, code, detail);
    if (service->dress == DRESS_SANDBOX) {
        (void)json_object_set_new(body, "title", json_string(detail));
        (void)json_object_set_new(body, "message", json_string(detail));
    }
    put_body(call, status, body);
}
