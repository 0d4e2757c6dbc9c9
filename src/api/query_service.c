/* SPDX-License-Identifier: Apache-2.0 */
/* query_service.c - /data/foundation/query/connection_parameters (reference: Query Service,
 * section 2): where SQL is served, and the token of this very call as its password.
 */
#include "api/core_internal.h"

#include <stdio.h>

static tr_code get_parameters(tr_call *call, tr_err *err)
{
    char host[256], database[80];
    int64_t port;
    const char *address = call->api->sql_address;
    const char *colon = address == NULL ? NULL : strrchr(address, ':');
    if (colon == NULL || !tr_str_to_i64(tr_str_of(colon + 1), &port))
        return TR_FAIL(err, TR_SEMANTIC,
                       "this server serves no SQL: its pg-listen is none, or was taken");
    (void)snprintf(host, sizeof host, "%.*s", (int)(colon - address), address);
    (void)snprintf(database, sizeof database, "%s:all", call->tenant.sandbox);
    const char *token =
        tr_arena_text(call->request->arena, tr_rights_token(call->request)); /* checked before */
    return tr_reply_json(call, 200,
                         json_pack("{s:s,s:s,s:s,s:i,s:I,s:s,s:s,s:s,s:s}", "username", call->org,
                                   "dbName", database, "host", host, "version", 1, "port",
                                   (json_int_t)port, "token", token, "compressedToken", token,
                                   "websocketHost", host, "websoketHost", host),
                         err);
}

const tr_endpoint tr_api_query_service[] = {
    {"GET", "/data/foundation/query/connection_parameters", TR_SCOPE_READ, get_parameters, 0},
    {0}};
