/* SPDX-License-Identifier: Apache-2.0 */
/* sign_in.c - who may open a session of Query Service: the checks of a call, without its headers.
 *
 * The user is the org. The password is an access token, as in a call, or client_id:client_secret.
 * Both then need the client to be enabled, of that org, and given the sandbox.
 */
#include "api/core_internal.h"

#include <stdio.h>

/* The client id and org that a password proves. */
static tr_code prove(tr_api *api, tr_str password, tr_call *call, int64_t *made_ms, tr_err *err)
{
    tr_jwt_claims claims;
    bool is_good = false;
    json_t *doc = NULL;
    enum { CLIENT_ID_BYTES = 32 };
    *made_ms = INT64_MAX;
    if (password.len > CLIENT_ID_BYTES && password.at[CLIENT_ID_BYTES] == ':') {
        const tr_str id = {password.at, CLIENT_ID_BYTES};
        TR_TRY(tr_client_check(api->parts.catalog, id, tr_str_from(password, CLIENT_ID_BYTES + 1),
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

tr_code tr_api_sign_in(void *ctx, const char *user, const char *sandbox, tr_str password,
                       tr_sql_person *out, tr_err *err)
{
    tr_api *api = ctx;
    int64_t made_ms;
    tr_call call = {.api = api, .parts = &api->parts};
    TR_TRY(prove(api, password, &call, &made_ms, err));
    if (strcmp(user, call.org) != 0)
        return TR_FAIL(err, TR_UNAUTHORIZED, "the user is not the client's org");
    if (!tr_sandbox_name_is_valid(tr_str_of(sandbox)))
        return TR_FAIL(err, TR_NOT_FOUND, "the sandbox is not accessible");
    TR_TRY(tr_rights_admit(&call, sandbox, made_ms, &call.tenant, err));
    out->tenant = call.tenant;
    out->may_write = tr_scope_admits(TR_SCOPE_WRITE, call.role);
    (void)snprintf(out->client_id, sizeof out->client_id, "%s", call.client_id);
    return TR_OK;
}
