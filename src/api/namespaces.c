/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.c - /data/core/idnamespace and what of /data/core/identity needs no graph
 * (reference: identity).
 *
 * Errors here have two shapes of their own: namespaces answer with
 * {"timestamp","type","status","title",
 * "description","report"}, identities with {"title","status","detail"}. The graph's calls are
 * there and
 * say that the graph is not.
 */
#include "api/api_internal.h"
#include "base/clock.h"
#include "catalog/namespaces.h"
#include "catalog/schemas.h"
#include "identity/identity.h"

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

/* Identities --------------------------------------------------------------------------------- */

static tr_code bad_input(tr_call *call, const char *detail, tr_err *err)
{
    return tr_reply_json(
        call, 400,
        json_pack("{s:s, s:i, s:s}", "title", "InvalidInput", "status", 400, "detail", detail),
        err);
}

static tr_code get_identity(tr_call *call, tr_err *err)
{
    const char *id = tr_call_query(call, "id"), *name = tr_call_query(call, "namespace");
    tr_buf xid = {0};
    json_t *known = NULL;
    if (name == NULL)
        name = tr_call_query(call, "ns");
    if (name == NULL)
        name = tr_call_query(call, "nsid");
    if (name == NULL)
        name = tr_call_query(call, "nsId");
    if (name == NULL)
        return bad_input(call, "Missing required query parameter - namespace", err);
    if (id == NULL)
        return bad_input(call, "Missing required query parameter - id", err);
    if (strlen(id) > TR_IDENTITY_ID_BYTES_MAX)
        return bad_input(call, "id is longer than 1024 bytes", err);
    tr_code code = tr_namespace_get(call->parts->catalog, call->org, tr_str_of(name), &known, err);
    if (code == TR_NOT_FOUND)
        return bad_input(call, err->text, err);
    TR_TRY(code);
    code = tr_xid_write((tr_identity){tr_str_of(tr_json_text(known, "code", "")), tr_str_of(id)},
                        &xid, err);
    json_decref(known);
    if (code == TR_OK)
        code = tr_reply_json(call, 200, json_pack("{s:s#}", "xid", (const char *)xid.at, xid.len),
                             err);
    tr_buf_free(&xid);
    return code;
}

/* Links, clusters and their history are not kept yet; an empty answer would be a lie. */
static tr_code no_graph(tr_call *call, tr_err *err)
{
    return tr_reply_json(
        call, 501,
        json_pack("{s:s, s:i, s:s}", "title", "NotImplemented", "status", 501, "detail",
                  "the identity graph is not kept in this version: identities are not linked, "
                  "and merge policies with the identityGraph none are the ones that work"),
        err);
}

#define NAMESPACES "/data/core/idnamespace/identities"
#define ORGS "/data/core/idnamespace/orgs/{org}/identities"
#define IDENTITY "/data/core/identity"

const tr_endpoint tr_api_namespaces[] = {
    {"GET", NAMESPACES, TR_SCOPE_READ, list_namespaces, 0},
    {"POST", NAMESPACES, TR_SCOPE_WRITE, post_namespace, 0},
    {"GET", NAMESPACES "/{id}", TR_SCOPE_READ, get_namespace, 0},
    {"PUT", NAMESPACES "/{id}", TR_SCOPE_WRITE, put_namespace, 0},
    {"GET", ORGS, TR_SCOPE_READ, list_org, 0},
    {"GET", ORGS "/{id}", TR_SCOPE_READ, get_org_namespace, 0},
    {"GET", IDENTITY "/identity", TR_SCOPE_READ, get_identity, 0},
    {"POST", IDENTITY "/v2/graph", TR_SCOPE_READ, no_graph, 0},
    {"GET", IDENTITY "/cluster/members", TR_SCOPE_READ, no_graph, 0},
    {"POST", IDENTITY "/clusters/members", TR_SCOPE_READ, no_graph, 0},
    {"GET", IDENTITY "/cluster/history", TR_SCOPE_READ, no_graph, 0},
    {"POST", IDENTITY "/clusters/history", TR_SCOPE_READ, no_graph, 0},
    {"GET", IDENTITY "/mapping", TR_SCOPE_READ, no_graph, 0},
    {"POST", IDENTITY "/mapping", TR_SCOPE_READ, no_graph, 0},
    {"POST", IDENTITY "/mappings", TR_SCOPE_READ, no_graph, 0},
    {0}};
