/* SPDX-License-Identifier: Apache-2.0 */
/* sign_in.c - who may open a session of Query Service: the checks of a call, without its headers.
 *
 * The user is the org. The password is an access token, as in a call, or client_id:client_secret.
 * Or the user is a client id, which proves its secret by SCRAM or gives it as the password.
 * Both then need the client to be enabled, of that org, and given the sandbox.
 */
#include "api/core_internal.h"

#include <stdio.h>

/* The client id and org that a password proves. */
static tr_code prove(tr_api *api, const char *user, tr_str password, tr_call *call,
                     int64_t *made_ms, tr_err *err)
{
    tr_jwt_claims claims;
    bool is_good = false;
    json_t *doc = NULL;
    enum { CLIENT_ID_BYTES = 32 };
    *made_ms = INT64_MAX;
    const bool has_id = password.len > CLIENT_ID_BYTES && password.at[CLIENT_ID_BYTES] == ':';
    const bool is_secret = !has_id && tr_client_is_id(tr_str_of(user)) && password.len > 0 &&
                           memchr(password.at, '.', password.len) == NULL; /* a token has dots */
    if (has_id || is_secret) {
        const tr_str id = has_id ? (tr_str){password.at, CLIENT_ID_BYTES} : tr_str_of(user);
        TR_TRY(tr_client_check(api->parts.catalog, id,
                               has_id ? tr_str_from(password, CLIENT_ID_BYTES + 1) : password,
                               &is_good, &doc, err));
        if (!is_good)
            return TR_FAIL(err, TR_UNAUTHORIZED, "unknown client or wrong secret");
        (void)snprintf(call->client_id, sizeof call->client_id, "%.*s", TR_STR_ARG(id));
        (void)snprintf(call->org, sizeof call->org, "%s", tr_json_text(doc, "org", ""));
        json_decref(doc);
        return TR_OK;
    }
    TR_TRY(tr_rights_claims(api, password, &claims, err));
    (void)snprintf(call->client_id, sizeof call->client_id, "%s", claims.client_id);
    (void)snprintf(call->org, sizeof call->org, "%s", claims.org);
    *made_ms = claims.created_ms;
    return TR_OK;
}

static tr_code let_in(tr_call *call, const char *sandbox, int64_t made_ms, tr_sql_person *out,
                      tr_err *err)
{
    if (!tr_sandbox_name_is_valid(tr_str_of(sandbox)))
        return TR_FAIL(err, TR_NOT_FOUND, "the sandbox is not accessible");
    TR_TRY(tr_rights_admit(call, sandbox, made_ms, &call->tenant, err));
    out->tenant = call->tenant;
    out->may_write = tr_scope_admits(TR_SCOPE_WRITE, call->role);
    (void)snprintf(out->client_id, sizeof out->client_id, "%s", call->client_id);
    return TR_OK;
}

tr_code tr_api_sign_in(void *ctx, const char *user, const char *sandbox, tr_str password,
                       tr_sql_person *out, tr_err *err)
{
    tr_api *api = ctx;
    int64_t made_ms;
    tr_call call = {.api = api, .parts = &api->parts};
    TR_TRY(prove(api, user, password, &call, &made_ms, err));
    if (strcmp(user, call.org) != 0 && strcmp(user, call.client_id) != 0)
        return TR_FAIL(err, TR_UNAUTHORIZED, "the user is neither the client's org nor the client");
    return let_in(&call, sandbox, made_ms, out, err);
}

tr_code tr_api_find_verifier(void *ctx, const char *client_id, tr_scram_verifier *out, tr_err *err)
{
    const tr_api *api = ctx;
    return tr_client_verifier(api->parts.catalog, client_id, out, err);
}

tr_code tr_api_sign_in_client(void *ctx, const char *client_id, const char *sandbox,
                              tr_sql_person *out, tr_err *err)
{
    tr_api *api = ctx;
    json_t *doc = NULL;
    tr_call call = {.api = api, .parts = &api->parts};
    TR_TRY(tr_catalog_client_get(api->parts.catalog, client_id, &doc, err));
    (void)snprintf(call.client_id, sizeof call.client_id, "%s", client_id);
    (void)snprintf(call.org, sizeof call.org, "%s", tr_json_text(doc, "org", ""));
    json_decref(doc);
    return let_in(&call, sandbox, INT64_MAX, out, err);
}
