/* SPDX-License-Identifier: Apache-2.0 */
/* core_internal.h - what carries every resource: router, rights, errors, tokens, counters.
 *
 *     api.c         a request's way: route, rights, handler, error body, counters
 *     router.c      tables of endpoints compiled into a tree of segments
 *     rights.c      token, key, org, sandbox, role: who may call what
 *     error_body.c  the error bodies, each service its own
 *     call.c        what a handler reads and answers with
 *     jwt.c         access tokens, made and verified
 *     clients.c     API clients and their secrets
 *     recall.c      a small cache of facts that may be a second old
 *     metrics.c     counters, and their text
 *     openapi.c     the tables as an OpenAPI document
 */
#ifndef TR_API_CORE_INTERNAL_H
#define TR_API_CORE_INTERNAL_H

#include "api/api_internal.h"
#include "api/jwt_internal.h"

/* Router ------------------------------------------------------------------------------------- */

typedef struct tr_router tr_router;
/* tables: NULL-terminated list of tables. TR_CONFLICT: two endpoints of one method and path */
TR_MUST_CHECK tr_code tr_router_open(const tr_endpoint *const *tables, tr_router **out,
                                     tr_err *err);
void tr_router_close(tr_router *router); /* accepts NULL */
uint32_t tr_router_count(const tr_router *router);
const tr_endpoint *tr_router_endpoint(const tr_router *router, uint32_t index);

typedef struct tr_route {
    const tr_endpoint *endpoint; /* NULL: none; then allow tells whether another method would do */
    uint32_t index;              /* of the endpoint */
    tr_str params[8];
    uint32_t param_count;
    char allow[64];              /* "GET, POST": the methods of the path; "" when it is unknown */
} tr_route;
/* The best endpoint of a request: at the first segment where two differ, a literal wins over a
 * {name}, a {name} over a {name...}. HEAD is answered by GET where there is no HEAD. */
void tr_router_find(const tr_router *router, const tr_http_request *request, tr_route *out);

/* Facts kept for a moment -------------------------------------------------------------------- */

/* A bounded table of fixed-size values, each with an end. Threads: any. */
typedef struct tr_recall tr_recall;
TR_MUST_CHECK tr_code tr_recall_open(uint32_t entries, size_t value_bytes, tr_recall **out,
                                     tr_err *err);
void tr_recall_close(tr_recall *recall); /* accepts NULL */
bool tr_recall_get(tr_recall *recall, const uint8_t key[32], int64_t now_ms, void *value);
void tr_recall_put(tr_recall *recall, const uint8_t key[32], int64_t until_ms, const void *value);
void tr_recall_forget(tr_recall *recall); /* everything */

/* Rights ------------------------------------------------------------------------------------- */

/* Why a call is refused: what its error body is made of. */
typedef struct tr_refusal {
    int status;
    const char *code;  /* of the gateway: "403010"; NULL: the body of a problem */
    const char *type;  /* of a problem: "SMS-2003-403" */
    char title[200];
} tr_refusal;

/* Checks the whole chain for an endpoint and fills org, client, role and tenant of the call.
 * False: *why is filled. A failure of the machine (catalog) is a code. */
TR_MUST_CHECK tr_code tr_rights_check(tr_call *call, const tr_endpoint *endpoint, bool *is_allowed,
                                      tr_refusal *why, tr_err *err);
tr_str tr_rights_token(const tr_http_request *request); /* of its Authorization; .len 0: none */
/* The claims of a valid token. TR_UNAUTHORIZED: it is none */
TR_MUST_CHECK tr_code tr_rights_claims(tr_api *api, tr_str token, tr_jwt_claims *out, tr_err *err);
/* The tenant of a sandbox for the call's client and org, proven with something made at made_ms; the
 * call's role is filled.
 * TR_UNAUTHORIZED  the client may do nothing (any more);  TR_NOT_FOUND  no such sandbox for it */
TR_MUST_CHECK tr_code tr_rights_admit(tr_call *call, const char *sandbox, int64_t made_ms,
                                      tr_tenant *out, tr_err *err);
/* Whether the request carries a valid token: asked before a large body is let in. */
bool tr_rights_has_token(tr_api *api, const tr_http_request *request);
/* Whether the caller may use this sandbox of its org. */
TR_MUST_CHECK tr_code tr_rights_may_use(tr_call *call, const char *sandbox, bool *may, tr_err *err);
size_t tr_rights_access_bytes(void); /* of a value of tr_api.access */
bool tr_scope_admits(tr_scope scope, const char *role);
const char *tr_scope_name(tr_scope scope);
bool tr_org_is_valid(tr_str org);
bool tr_sandbox_name_is_valid(tr_str name);

/* Clients ------------------------------------------------------------------------------------ */

/* Of its newest secret. TR_NOT_FOUND: no such client, or disabled; TR_SEMANTIC: none is kept */
TR_MUST_CHECK tr_code tr_client_verifier(tr_catalog *catalog, const char *id,
                                         tr_scram_verifier *out, tr_err *err);
/* Whether the pair is an enabled client's; takes the same time when it is not. *doc: returned. */
TR_MUST_CHECK tr_code tr_client_check(tr_catalog *catalog, tr_str id, tr_str secret, bool *is_good,
                                      json_t **doc, tr_err *err);
bool tr_client_is_id(tr_str id);
/* "2019-09-04 04:57:24", UTC: how sandboxes tell a time; returned. NULL: no memory. */
json_t *tr_api_now_text(void);

/* Errors ------------------------------------------------------------------------------------- */

/* Replace the response by an error body. */
void tr_error_gateway(tr_call *call, int status, const char *code, const char *message);
void tr_error_refusal(tr_call *call, const tr_refusal *why);
void tr_error_service(tr_call *call, int status, const char *detail);
void tr_error_media(tr_call *call);

/* Counters ----------------------------------------------------------------------------------- */

typedef struct tr_metrics tr_metrics;
TR_MUST_CHECK tr_code tr_metrics_open(uint32_t endpoints, tr_metrics **out, tr_err *err);
void tr_metrics_close(tr_metrics *metrics); /* accepts NULL */
/* index: the endpoint's; the number of endpoints for a request that found none */
void tr_metrics_count(tr_metrics *metrics, uint32_t index, int status, int64_t us);
TR_MUST_CHECK tr_code tr_metrics_text(tr_api *api, tr_buf *out, tr_err *err);

TR_MUST_CHECK tr_code tr_openapi_text(const tr_router *router, tr_buf *out, tr_err *err);

/* The API ------------------------------------------------------------------------------------ */

struct tr_api {
    tr_api_parts parts;
    tr_router *router;
    tr_jwt *jwt;
    tr_recall *tokens; /* SHA-256 of a token -> tr_jwt_claims: spares hot callers the signature */
    tr_recall *access; /* client and sandbox -> what it may: spares them the catalog */
    tr_metrics *metrics;
    tr_buf openapi;
    int64_t started_ms;
    const char *sql_address; /* NULL: none */
    tr_query_jobs *jobs;     /* of Query Service */
    tr_query_schedules *query_schedules;
    _Atomic int64_t log_second;
    _Atomic int log_count;
};

/* A call with what only the core knows of it. */
typedef struct tr_call_frame {
    tr_call call; /* first: a handler's tr_call * is one of these */
    json_t *body;
    bool has_no_json_type; /* its Content-Type is not the JSON that its endpoint reads */
    const tr_endpoint *endpoint;
} tr_call_frame;

/* At most ten a second: whether a line about a refused call may be logged. */
bool tr_api_may_log(tr_api *api);

#endif
