/* SPDX-License-Identifier: Apache-2.0 */
/* health.c - what operators ask: is it up, is it ready, what does it do; a page for a browser. */
#include "api/core_internal.h"

#include <stdio.h>

static tr_code reply_text(tr_call *call, const char *type, tr_str text, tr_err *err)
{
    call->response->body.len = 0;
    TR_TRY(tr_buf_append(&call->response->body, text, err));
    call->response->status = 200;
    call->response->content_type = type;
    return TR_OK;
}

/* The process answers. */
static tr_code get_health(tr_call *call, tr_err *err)
{
    return reply_text(call, NULL, tr_str_of("{\"state\":\"up\"}"), err);
}

/* It can do its work: the catalog answers. */
static tr_code get_ready(tr_call *call, tr_err *err)
{
    tr_buf value = {0};
    const tr_code code = tr_catalog_value_get(call->parts->catalog, "signing_keys", &value, err);
    if (value.len > 0)
        explicit_bzero(value.at, value.len);
    tr_buf_free(&value);
    if (code != TR_OK)
        return tr_reply_json(call, 503,
                             json_pack("{s:s, s:s}", "state", "not ready", "because",
                                       "the catalog does not answer"),
                             err);
    return reply_text(call, NULL, tr_str_of("{\"state\":\"ready\"}"), err);
}

static tr_code get_metrics(tr_call *call, tr_err *err)
{
    call->response->body.len = 0;
    TR_TRY(tr_metrics_text(call->api, &call->response->body, err));
    call->response->status = 200;
    call->response->content_type = "text/plain; version=0.0.4; charset=utf-8";
    return TR_OK;
}

static tr_code get_openapi(tr_call *call, tr_err *err)
{
    TR_TRY(tr_reply_header(call, "Cache-Control", "public, max-age=60", err));
    return reply_text(call, NULL, tr_buf_str(&call->api->openapi), err);
}

static const char page[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tributary</title>\n"
    "<meta name=\"viewport\" content=\"width=device-width\"></head>\n<body>\n"
    "<h1>Tributary " TR_VERSION "</h1>\n"
    "<p>A self-hosted server that speaks Adobe Experience Platform's HTTP API for customer "
    "profiles: records in, merged profiles out as Parquet.</p>\n"
    "<h2>Start here</h2>\n<ol>\n"
    "<li>Make a client: <code>tributary client add --data DIR --org "
    "0123456789ABCDEF01234567@AdobeOrg --name me --role admin</code></li>\n"
    "<li>Get a token: <code>curl -d grant_type=client_credentials -d client_id=... -d "
    "client_secret=... URL/ims/token/v3</code></li>\n"
    "<li>Call the API with the headers <code>Authorization: Bearer ...</code>, "
    "<code>x-api-key</code>, <code>x-gw-ims-org-id</code> and <code>x-sandbox-name</code>.</li>\n"
    "</ol>\n<h2>This server</h2>\n<ul>\n"
    "<li><a href=\"/openapi.json\">every call it serves</a> (OpenAPI)</li>\n"
    "<li><a href=\"/healthz\">is it up</a>, <a href=\"/readyz\">is it ready</a>, "
    "<a href=\"/metrics\">counters</a> (Prometheus)</li>\n</ul>\n</body></html>\n";

static tr_code get_page(tr_call *call, tr_err *err)
{
    TR_TRY(tr_reply_header(call, "Content-Security-Policy",
                           "default-src 'none'; base-uri 'none'; form-action 'none'; "
                           "frame-ancestors 'none'",
                           err));
    TR_TRY(tr_reply_header(call, "X-Frame-Options", "DENY", err));
    TR_TRY(tr_reply_header(call, "Referrer-Policy", "no-referrer", err));
    return reply_text(call, "text/html; charset=utf-8", tr_str_of(page), err);
}

const tr_endpoint tr_api_health[] = {{"GET", "/", TR_SCOPE_OPEN, get_page, 0},
                                     {"GET", "/healthz", TR_SCOPE_OPEN, get_health, 0},
                                     {"GET", "/readyz", TR_SCOPE_OPEN, get_ready, 0},
                                     {"GET", "/metrics", TR_SCOPE_OPEN, get_metrics, 0},
                                     {"GET", "/openapi.json", TR_SCOPE_OPEN, get_openapi, 0},
                                     {0}};
