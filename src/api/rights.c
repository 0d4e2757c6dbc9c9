/* SPDX-License-Identifier: Apache-2.0 */
/* rights.c - token, key, org, sandbox, role: who may call what.
 *
 * The order of the checks is the gateway's, so that clients meet the error they expect:
 *
 *     Authorization there 403010, valid 401013 - x-api-key there 403000, the token's 403003 -
 *     x-gw-ims-org-id there 400003, an org id 403027, the client's 403025 - sandbox - role
 *
 * An unknown sandbox, one that is not active and one that the client was not given get the same
 * answer. So do an unknown org and another's. What the catalog says of a client and a sandbox is
 * kept for a second: a client that loses its rights loses them within that.
 */
#include "api/core_internal.h"
#include "base/clock.h"
#include "codec/hash.h"

#include <stdio.h>

enum { ACCESS_KEPT_MS = 1000, TOKEN_KEPT_MS = 10 * 60 * 1000 };

typedef struct scope_row {
    const char *name;
    const char *roles;
} scope_row;

static const scope_row scopes[] = {[TR_SCOPE_OPEN] = {"open", "viewer editor admin"},
                                   [TR_SCOPE_READ] = {"read", "viewer editor admin"},
                                   [TR_SCOPE_WRITE] = {"write", "editor admin"},
                                   [TR_SCOPE_ADMIN] = {"admin", "admin"},
                                   [TR_SCOPE_ORG_READ] = {"org-read", "viewer editor admin"},
                                   [TR_SCOPE_ORG_ADMIN] = {"org-admin", "admin"}};

const char *tr_scope_name(tr_scope scope)
{
    return scopes[scope].name;
}

bool tr_scope_admits(tr_scope scope, const char *role)
{
    const char *at = scopes[scope].roles;
    const size_t len = strlen(role);
    while (len > 0 && strchr(role, ' ') == NULL && (at = strstr(at, role)) != NULL) {
        const bool starts = at == scopes[scope].roles || at[-1] == ' ';
        if (starts && (at[len] == ' ' || at[len] == '\0'))
            return true;
        at += len;
    }
    return false;
}

static bool refuse(tr_refusal *why, int status, const char *code, const char *text)
{
    *why = (tr_refusal){.status = status, .code = code};
    (void)snprintf(why->title, sizeof why->title, "%s", text);
    return false;
}

/* The headers that decide -------------------------------------------------------------------- */

typedef struct headers_sent {
    tr_str authorization, key, org, sandbox, sandbox_id;
    bool is_contradictory; /* one of them twice, with different values */
} headers_sent;

static void take(tr_str *to, tr_str value, bool *is_contradictory)
{
    if (to->at != NULL && !tr_str_equal(*to, value))
        *is_contradictory = true;
    *to = value;
}

static void read_headers(const tr_http_request *request, headers_sent *out)
{
    const struct {
        const char *name;
        tr_str *to;
    } wanted[] = {{"authorization", &out->authorization},
                  {"x-api-key", &out->key},
                  {"x-gw-ims-org-id", &out->org},
                  {"x-sandbox-name", &out->sandbox},
                  {"x-sandbox-id", &out->sandbox_id}};
    for (uint32_t i = 0; i < request->header_count; i++)
        for (size_t w = 0; w < sizeof wanted / sizeof wanted[0]; w++)
            if (tr_str_equal_folded(request->headers[i].name, tr_str_of(wanted[w].name)))
                take(wanted[w].to, request->headers[i].value, &out->is_contradictory);
}

/* "Bearer <token>", the scheme in any case. .len 0: another scheme or no token. */
static tr_str token_of(tr_str authorization)
{
    static const char scheme[] = "bearer ";
    const size_t len = sizeof scheme - 1;
    if (authorization.len <= len ||
        !tr_str_equal_folded((tr_str){authorization.at, len}, tr_str_of(scheme)))
        return (tr_str){0};
    tr_str token = tr_str_from(authorization, len);
    while (token.len > 0 && token.at[0] == ' ')
        token = tr_str_from(token, 1);
    return token;
}

/* The token's claims: from memory when it was verified before, else by its signature. */
static tr_code claims_of(tr_api *api, tr_str token, tr_jwt_claims *out, tr_err *err)
{
    uint8_t key[32];
    const int64_t now = tr_time_now_ms();
    if (token.len == 0 || token.len > TR_TOKEN_BYTES_MAX)
        return TR_FAIL(err, TR_UNAUTHORIZED, "it is not a token");
    tr_sha256(token, key);
    if (tr_recall_get(api->tokens, key, now, out))
        return TR_OK;
    TR_TRY(tr_jwt_verify(api->jwt, token, now, out, err));
    const int64_t ends = out->expires_ms + TR_TOKEN_SKEW_S * 1000;
    tr_recall_put(api->tokens, key, ends < now + TOKEN_KEPT_MS ? ends : now + TOKEN_KEPT_MS, out);
    return TR_OK;
}

tr_str tr_rights_token(const tr_http_request *request)
{
    return token_of(tr_http_header(request, "authorization"));
}

tr_code tr_rights_claims(tr_api *api, tr_str token, tr_jwt_claims *out, tr_err *err)
{
    return claims_of(api, token, out, err);
}

bool tr_rights_has_token(tr_api *api, const tr_http_request *request)
{
    tr_jwt_claims claims;
    const tr_str token = token_of(tr_http_header(request, "authorization"));
    return claims_of(api, token, &claims, NULL) == TR_OK;
}

static tr_code check_identity(tr_call *call, const headers_sent *sent, tr_jwt_claims *claims,
                              bool *is_good, tr_refusal *why, tr_err *err)
{
    const tr_str token = token_of(sent->authorization);
    *is_good = false;
    if (token.len == 0) { /* or another scheme than Bearer */
        *is_good = refuse(why, 403, "403010", "Oauth token is missing.");
        return TR_OK;
    }
    const tr_code code = claims_of(call->api, token, claims, err);
    if (code == TR_UNAUTHORIZED) {
        *is_good = refuse(why, 401, "401013", "Oauth token is not valid");
        return TR_OK;
    }
    TR_TRY(code);
    (void)snprintf(call->client_id, sizeof call->client_id, "%s", claims->client_id);
    if (sent->key.len == 0)
        *is_good = refuse(why, 403, "403000", "Api Key is required");
    else if (!tr_str_is(sent->key, claims->client_id))
        *is_good = refuse(why, 403, "403003", "Api Key is invalid");
    else if (sent->org.len == 0)
        *is_good = refuse(why, 400, "400003", "Missing header: x-gw-ims-org-id");
    else if (!tr_org_is_valid(sent->org))
        *is_good = refuse(why, 403, "403027", "User region is missing");
    else if (!tr_str_is(sent->org, claims->org))
        *is_good = refuse(why, 403, "403025", "Profile is not valid");
    else
        *is_good = true;
    (void)snprintf(call->org, sizeof call->org, "%s", claims->org);
    return TR_OK;
}

/* Client and sandbox ------------------------------------------------------------------------- */

typedef struct access_facts {
    tr_tenant tenant;
    char role[16];
    int64_t not_before_ms; /* tokens made before are void */
    bool is_enabled;       /* the client */
    bool has_sandbox;      /* it exists, is active and was given to the client */
    bool has_other_id;     /* it is the client's, but x-sandbox-id is another's */
} access_facts;

size_t tr_rights_access_bytes(void)
{
    return sizeof(access_facts);
}

static void access_key(const tr_call *call, const char *sandbox, const char *sandbox_id,
                       uint8_t out[32])
{
    char text[400];
    const int len = snprintf(text, sizeof text, "%s\n%s\n%s\n%s", call->client_id, call->org,
                             sandbox, sandbox_id);
    tr_sha256((tr_str){(const uint8_t *)text, (size_t)len}, out);
}

static bool is_given(const json_t *client, const char *sandbox)
{
    const json_t *names = json_object_get(client, "sandboxes");
    if (names == NULL)
        return true;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name != NULL && strcmp(name, sandbox) == 0)
            return true;
    }
    return false;
}

/* The active sandbox of a name (or, when that is empty, of an id), of a list of the org's. */
static const char *active_name(const json_t *list, const char *name, const char *id)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *doc = json_array_get(list, i);
        const char *its = tr_json_text(doc, "name", "");
        if ((name[0] != '\0' && strcmp(its, name) != 0) ||
            (id[0] != '\0' && strcmp(tr_json_text(doc, "id", ""), id) != 0))
            continue;
        return strcmp(tr_json_text(doc, "state", ""), "active") == 0 ? its : NULL;
    }
    return NULL;
}

static tr_code find_sandbox(tr_call *call, const json_t *client, const char *name, const char *id,
                            access_facts *out, tr_err *err)
{
    json_t *list = NULL;
    tr_catalog *catalog = call->parts->catalog;
    TR_TRY(tr_catalog_sandbox_list(catalog, call->org, &list, err));
    const char *found = active_name(list, name, id);
    const char *named = name[0] == '\0' || found != NULL ? NULL : active_name(list, name, "");
    tr_code code = TR_OK;
    out->has_other_id = named != NULL && is_given(client, named);
    if (found != NULL && is_given(client, found)) {
        code = tr_catalog_tenant(catalog, call->org, found, &out->tenant, err);
        out->has_sandbox = code == TR_OK;
        if (code == TR_NOT_FOUND || code == TR_DENIED)
            code = TR_OK; /* it went meanwhile */
    }
    json_decref(list);
    return code;
}

/* sandbox: "" when the call needs none. */
static tr_code load_access(tr_call *call, const char *sandbox, const char *sandbox_id,
                           access_facts *out, tr_err *err)
{
    json_t *client = NULL;
    tr_code code = tr_catalog_client_get(call->parts->catalog, call->client_id, &client, err);
    if (code == TR_NOT_FOUND)
        return TR_OK; /* is_enabled is false */
    TR_TRY(code);
    out->is_enabled = !tr_json_bool(client, "isDisabled", false) &&
                      strcmp(tr_json_text(client, "org", ""), call->org) == 0;
    out->not_before_ms = tr_json_int(client, "notBeforeMs", 0);
    (void)snprintf(out->role, sizeof out->role, "%s", tr_json_text(client, "role", ""));
    if (out->is_enabled && (sandbox[0] != '\0' || sandbox_id[0] != '\0'))
        code = find_sandbox(call, client, sandbox, sandbox_id, out, err);
    json_decref(client);
    return code;
}

static tr_code find_access(tr_call *call, const char *sandbox, const char *sandbox_id,
                           access_facts *out, tr_err *err)
{
    uint8_t key[32];
    const int64_t now = tr_time_now_ms();
    access_key(call, sandbox, sandbox_id, key);
    if (tr_recall_get(call->api->access, key, now, out))
        return TR_OK;
    *out = (access_facts){0};
    TR_TRY(load_access(call, sandbox, sandbox_id, out, err));
    tr_recall_put(call->api->access, key, now + ACCESS_KEPT_MS, out);
    return TR_OK;
}

static bool needs_sandbox(tr_scope scope)
{
    return scope == TR_SCOPE_READ || scope == TR_SCOPE_WRITE || scope == TR_SCOPE_ADMIN;
}

/* A header's value as text; "" also for what can be no name. */
static bool header_text(tr_str value, char *out, size_t size)
{
    out[0] = '\0';
    if (value.len >= size)
        return false;
    if (value.len > 0)
        memcpy(out, value.at, value.len);
    out[value.len] = '\0';
    return memchr(out, '\n', value.len) == NULL;
}

tr_code tr_rights_check(tr_call *call, const tr_endpoint *endpoint, bool *is_allowed,
                        tr_refusal *why, tr_err *err)
{
    headers_sent sent = {0};
    tr_jwt_claims claims;
    access_facts access;
    char sandbox[128] = "", sandbox_id[64] = "";
    const bool has_sandbox = needs_sandbox(endpoint->scope);
    *is_allowed = endpoint->scope == TR_SCOPE_OPEN;
    if (*is_allowed)
        return TR_OK;
    read_headers(call->request, &sent);
    if (sent.is_contradictory) {
        *is_allowed = refuse(why, 400, "400003", "A header is there twice with different values");
        return TR_OK;
    }
    TR_TRY(check_identity(call, &sent, &claims, is_allowed, why, err));
    if (!*is_allowed)
        return TR_OK;
    const bool is_text = header_text(sent.sandbox, sandbox, sizeof sandbox) &&
                         header_text(sent.sandbox_id, sandbox_id, sizeof sandbox_id);
    if (!has_sandbox)
        sandbox[0] = sandbox_id[0] = '\0';
    else if (sandbox[0] == '\0' && sandbox_id[0] == '\0')
        (void)snprintf(sandbox, sizeof sandbox, "prod");
    TR_TRY(find_access(call, sandbox, sandbox_id, &access, err));
    (void)snprintf(call->role, sizeof call->role, "%s", access.role);
    call->tenant = access.tenant;
    if (!access.is_enabled || claims.created_ms < access.not_before_ms) {
        *is_allowed = refuse(why, 401, "401013", "Oauth token is not valid");
    } else if (has_sandbox && access.has_other_id) {
        *is_allowed = refuse(why, 400, NULL, "x-sandbox-name and x-sandbox-id do not agree");
        why->type = "SMS-2003-400";
    } else if (has_sandbox && (!access.has_sandbox || !is_text)) {
        *is_allowed = refuse(why, 403, NULL, "Sandbox is not accessible");
        why->type = "SMS-2003-403";
    } else if (!tr_scope_admits(endpoint->scope, access.role)) {
        *is_allowed = false;
        *why = (tr_refusal){.status = 403, .type = "PDP-4042-403"};
        (void)snprintf(why->title, sizeof why->title,
                       "The client's role \"%s\" does not have the permission for this call (%s)",
                       access.role, tr_scope_name(endpoint->scope));
    }
    return TR_OK;
}

tr_code tr_rights_admit(tr_call *call, const char *sandbox, int64_t made_ms, tr_tenant *out,
                        tr_err *err)
{
    access_facts access;
    TR_TRY(find_access(call, sandbox, "", &access, err));
    if (!access.is_enabled || made_ms < access.not_before_ms)
        return TR_FAIL(err, TR_UNAUTHORIZED, "the client is disabled or its token is void");
    if (!access.has_sandbox || !tr_scope_admits(TR_SCOPE_READ, access.role))
        return TR_FAIL(err, TR_NOT_FOUND, "the sandbox is not accessible");
    (void)snprintf(call->role, sizeof call->role, "%s", access.role);
    *out = access.tenant;
    return TR_OK;
}

tr_code tr_rights_may_use(tr_call *call, const char *sandbox, bool *may, tr_err *err)
{
    json_t *client = NULL;
    TR_TRY(tr_catalog_client_get(call->parts->catalog, call->client_id, &client, err));
    *may = is_given(client, sandbox);
    json_decref(client);
    return TR_OK;
}
