/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.c - /data/core/idnamespace (reference: identity, 3).
 *
 * Errors here have a shape of their own:
 * {"timestamp","type","status","title","description","report"}.
 */
#include "api/api_internal.h"
#include "base/clock.h"
#include "catalog/namespaces.h"
#include "catalog/schemas.h"

/* Namespaces --------------------------------------------------------------------------------- */

static const char *title_of(tr_code code)
{
    return code == TR_CONFLICT ? "Conflict" : code == TR_NOT_FOUND ? "Not Found" : "Bad Request";
}

/* The answer of a refusal that is the caller's; any other failure is forwarded. */
static tr_code refuse(tr_call *call, tr_code code, const char *reason, const tr_err *why,
                      tr_err *err)
{
    if (tr_code_http_status(code) >= 500 || code == TR_OK || code == TR_MEDIA || code == TR_DENIED)
        return code;
    return tr_reply_json(call, tr_code_http_status(code),
                         json_pack("{s:I, s:s, s:i, s:s, s:s, s:{s:s, s:s}}", "timestamp",
                                   (json_int_t)tr_time_now_ms(), "type",
                                   "http://ns.adobe.com/adobecloud/problem/namespacevalidation",
                                   "status", tr_code_http_status(code), "title", title_of(code),
                                   "description", why->text, "report", "code", reason, "message",
                                   why->text),
                         err);
}

static tr_code list_namespaces(tr_call *call, tr_err *err)
{
    json_t *list = NULL;
    TR_TRY(tr_namespace_list(call->parts->catalog, call->org, &list, err));
    return tr_reply_json(call, 200, list, err);
}

/* Another org's list shows what is everybody's, and nothing of its own. */
static const char *org_of(tr_call *call)
{
    return strcmp(tr_call_param(call, 0), call->org) == 0 ? call->org : "";
}

static tr_code list_org(tr_call *call, tr_err *err)
{
    json_t *list = NULL;
    TR_TRY(tr_namespace_list(call->parts->catalog, org_of(call), &list, err));
    return tr_reply_json(call, 200, list, err);
}

static tr_code show(tr_call *call, const char *org, const char *name, tr_err *err)
{
    json_t *doc = NULL;
    const tr_code code = tr_namespace_get(call->parts->catalog, org, tr_str_of(name), &doc, err);
    if (code != TR_OK)
        return refuse(call, code, "NAMESPACE_NOT_FOUND", err, err);
    return tr_reply_json(call, 200, doc, err);
}

static tr_code get_namespace(tr_call *call, tr_err *err)
{
    return show(call, call->org, tr_call_param(call, 0), err);
}

static tr_code get_org_namespace(tr_call *call, tr_err *err)
{
    return show(call, org_of(call), tr_call_param(call, 1), err);
}

static tr_code post_namespace(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    bool is_standard = false;
    tr_code code = tr_call_json(call, &body, err);
    if (code == TR_OK)
        code = tr_namespace_create(call->parts->catalog, call->org, body, &doc, &is_standard, err);
    if (code != TR_OK)
        return refuse(call, code,
                      code != TR_CONFLICT ? "INVALID_REQUEST_PARAMS"
                      : is_standard       ? "INTEGRATION_CODE_EXISTS"
                                          : "NAMESPACE_CODE_CONFLICT",
                      err, err);
    tr_catalog_schemas_changed(call->parts->catalog, &call->tenant);
    return tr_reply_json(call, 200, doc, err);
}

static tr_code put_namespace(tr_call *call, tr_err *err)
{
    const json_t *body = NULL;
    json_t *doc = NULL;
    tr_code code = tr_call_json(call, &body, err);
    if (code == TR_OK)
        code = tr_namespace_update(call->parts->catalog, call->org,
                                   tr_str_of(tr_call_param(call, 0)), body, &doc, err);
    if (code != TR_OK)
        return refuse(call, code,
                      code == TR_NOT_FOUND ? "NAMESPACE_NOT_FOUND" : "INVALID_REQUEST_PARAMS", err,
                      err);
    return tr_reply_json(call, 200, doc, err);
}

#define NAMESPACES "/data/core/idnamespace/identities"
#define ORGS "/data/core/idnamespace/orgs/{org}/identities"

const tr_endpoint tr_api_namespaces[] = {
    {"GET", NAMESPACES, TR_SCOPE_READ, list_namespaces, 0},
    {"POST", NAMESPACES, TR_SCOPE_WRITE, post_namespace, 0},
    {"GET", NAMESPACES "/{id}", TR_SCOPE_READ, get_namespace, 0},
    {"PUT", NAMESPACES "/{id}", TR_SCOPE_WRITE, put_namespace, 0},
    {"GET", ORGS, TR_SCOPE_READ, list_org, 0},
    {"GET", ORGS "/{id}", TR_SCOPE_READ, get_org_namespace, 0},
    {0}};
