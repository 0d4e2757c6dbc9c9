/* SPDX-License-Identifier: Apache-2.0 */
/* api_internal.h - what a resource file sees: its call, and the table it exports.
 *
 * A resource file defines
 *
 *     const tr_endpoint tr_api_export_jobs[] = {
 *         {"POST", "/data/core/ups/export/jobs", TR_SCOPE_WRITE, post_job},
 *         {"GET", "/data/core/ups/export/jobs/{id}", TR_SCOPE_READ, get_job},
 *         {0}};
 *
 * and router.c lists the table. {name} matches one segment, {name...} the rest of the path (kept with its
 * slashes). A handler returns TR_OK after filling the response, or a code with err filled: then
 * the router answers with the error body of the endpoint's service. When the router calls a handler, token,
 * key, org, sandbox and role have been checked.
 */
#ifndef TR_API_API_INTERNAL_H
#define TR_API_API_INTERNAL_H

#include "api/api.h"

typedef enum tr_scope {
    TR_SCOPE_OPEN,       /* no token: health, token endpoints */
    TR_SCOPE_READ,       /* viewer, editor, admin */
    TR_SCOPE_WRITE,      /* editor, admin */
    TR_SCOPE_ADMIN,      /* admin */
    TR_SCOPE_ORG_READ,   /* a token, but no sandbox: sandbox list */
    TR_SCOPE_ORG_ADMIN
} tr_scope;

typedef struct tr_call {
    tr_api *api;
    const tr_api_parts *parts;
    const tr_http_request *request;
    tr_http_response *response;
    tr_tenant tenant;        /* of TR_SCOPE_READ, WRITE, ADMIN */
    char org[80];            /* of every scope but OPEN */
    char client_id[80];
    char role[16];
    char request_id[80];     /* echoed or made */
    tr_str params[8];        /* {name} values, in order of the path */
    uint32_t param_count;
} tr_call;

typedef tr_code (*tr_handler)(tr_call *call, tr_err *err);

typedef struct tr_endpoint {
    const char *method;
    const char *path;
    tr_scope scope;
    tr_handler handle;
    uint64_t body_bytes_max; /* 0: TR_BODY_BYTES_MAX */
    bool is_slow;            /* reads more than documents: others must not wait for it */
} tr_endpoint;

/* The i-th path parameter as NUL-terminated text in the request's arena. */
const char *tr_call_param(tr_call *call, uint32_t index);
/* A query parameter as NUL-terminated text, or NULL when absent or empty. */
const char *tr_call_query(tr_call *call, const char *name);
/* An integer query parameter within [least, most]; `otherwise` when absent; TR_INVALID names it. */
TR_MUST_CHECK tr_code tr_call_query_int(tr_call *call, const char *name, int64_t otherwise, int64_t least,
                                        int64_t most, int64_t *out, tr_err *err);
/* The same two, but a template that the client did not fill in, "{{status}}", is absent, too. */
const char *tr_call_given(tr_call *call, const char *name);
TR_MUST_CHECK tr_code tr_call_given_int(tr_call *call, const char *name, int64_t otherwise,
                                        int64_t least, int64_t most, int64_t *out, tr_err *err);
/* The Content-Type without its parameters; .len 0: there is none. */
tr_str tr_call_media_type(const tr_call *call);
/* The body as JSON; released with the call. TR_INVALID when empty or malformed (line, column). */
TR_MUST_CHECK tr_code tr_call_json(tr_call *call, const json_t **out, tr_err *err);

/* The same, but a body without Content-Type is read too: clients of some services leave it out. */
TR_MUST_CHECK tr_code tr_call_json_untyped(tr_call *call, const json_t **out, tr_err *err);

/* Answers. `body` is taken, also on failure; NULL means no memory and is reported so. */
TR_MUST_CHECK tr_code tr_reply_json(tr_call *call, int status, json_t *body, tr_err *err);
TR_MUST_CHECK tr_code tr_reply_empty(tr_call *call, int status, tr_err *err);
TR_MUST_CHECK tr_code tr_reply_header(tr_call *call, const char *name, const char *value, tr_err *err);

/* JSON Patch (RFC 6902): *target is replaced by the patched value; on failure it is unchanged and the
 * text names the operation's number and path. Used by registry, catalog and policies. */
TR_MUST_CHECK tr_code tr_json_patch(json_t **target, const json_t *operations, tr_err *err);

/* One table per resource file, each closed by a zeroed entry. */
extern const tr_endpoint tr_api_health[];         /* /healthz /readyz /metrics /openapi.json */
extern const tr_endpoint tr_api_ims[];            /* /ims/token/v2|v3, /ims/keys, openid configuration */
extern const tr_endpoint tr_api_sandboxes[];      /* /data/foundation/sandbox-management/... */
extern const tr_endpoint tr_api_access_control[]; /* /data/foundation/access-control/acl/... */
extern const tr_endpoint tr_api_registry[];       /* /data/foundation/schemaregistry/... */
extern const tr_endpoint tr_api_descriptors[];
extern const tr_endpoint tr_api_datasets[];       /* /data/foundation/catalog/dataSets... */
extern const tr_endpoint tr_api_batches[];        /* /data/foundation/catalog/batches, dataSetFiles */
extern const tr_endpoint tr_api_data_access[];    /* /data/foundation/export/... */
extern const tr_endpoint tr_api_ingestion[];      /* /data/foundation/import/batches... */
extern const tr_endpoint tr_api_merge_policies[]; /* /data/core/ups/config/mergePolicies... */
extern const tr_endpoint tr_api_namespaces[];     /* /data/core/idnamespace/... */
extern const tr_endpoint tr_api_identities[];     /* /data/core/identity/identity */
extern const tr_endpoint tr_api_identity_graph[]; /* /data/core/identity/v2/graph */
extern const tr_endpoint tr_api_identity_clusters[]; /* /data/core/identity/cluster..., mapping... */
extern const tr_endpoint tr_api_segments[];       /* /data/core/ups/segment/definitions... */
extern const tr_endpoint tr_api_segment_jobs[];   /* /data/core/ups/segment/jobs... */
extern const tr_endpoint tr_api_entities[];       /* /data/core/ups/access/entities */
extern const tr_endpoint tr_api_schedules[];      /* /data/core/ups/config/schedules... */
extern const tr_endpoint tr_api_previews[];       /* /data/core/ups/preview..., /estimate... */
extern const tr_endpoint tr_api_query_service[];  /* /data/foundation/query/connection_parameters */
extern const tr_endpoint tr_api_queries[];        /* /data/foundation/query/queries... */
extern const tr_endpoint tr_api_query_templates[];
extern const tr_endpoint tr_api_query_schedules[];
extern const tr_endpoint tr_api_query_alerts[];
extern const tr_endpoint tr_api_query_statistics[];
extern const tr_endpoint tr_api_audiences[];      /* /data/core/ups/audiences... */
extern const tr_endpoint tr_api_segment_search[]; /* /data/core/ups/search... */
extern const tr_endpoint tr_api_system_jobs[];    /* /data/core/ups/system/jobs... */
extern const tr_endpoint tr_api_projections[];    /* /data/core/ups/config/destinations, /projections */
extern const tr_endpoint tr_api_reports[];        /* /data/core/ups/previewsamplestatus... */
extern const tr_endpoint tr_api_export_jobs[];    /* /data/core/ups/export/jobs... */

#endif
