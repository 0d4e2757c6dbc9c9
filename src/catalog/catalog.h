/* SPDX-License-Identifier: Apache-2.0 */
/* catalog.h - the memory of what exists: tenants and their objects, in real transactions.
 *
 * Everything Tributary knows by name is an OBJECT: a JSON document of some kind, owned by a tenant,
 * found only as (tenant, kind, id): there is no call that takes an id alone, so nobody can reach
 * into another org or sandbox. Beside its document an object has what lists are filtered by.
 *
 *     kind        id            parent         state
 *     dataset     hex24         ""             ""
 *     batch       ulid          dataset id     AEP's batch status: loading ... success, failure
 *     file        ulid          batch id       "profile" (a live run of the store), "lake" (readable,
 *                                              not in the profile store), "gone"
 *     run         ulid          dataset id     "profile", "gone": runs made by compaction
 *     policy      uuid          class id       ""
 *     export      decimal       ""             NEW, PROCESSING, SUCCEEDED, FAILED, CANCELLED
 *     schema class fieldgroup datatype   $id   "" or the class id      ""
 *     descriptor  hex40         schema $id     @type
 *     destination projection  uuid  ""         "": which fields of profiles are kept ready
 *     profile_report  day      ""             "": how profiles are made up
 *     table       SQL name      dataset id     "": keeps names of tables apart
 *
 * Kept in SQLite, WAL, synchronous=FULL: an acknowledged commit survives power loss.
 *
 * Threads: any. A transaction belongs to the thread that began it and blocks other writers until it
 * ends: prepare everything first, keep it short.
 */
#ifndef TR_CATALOG_CATALOG_H
#define TR_CATALOG_CATALOG_H

#include "base/id.h"
#include "codec/json.h"

typedef struct tr_catalog tr_catalog;

/* One org's sandbox. Got only from tr_catalog_tenant (after authentication) or from a job's record. */
typedef struct tr_tenant {
    int64_t id;            /* the catalog's own number; in no answer */
    char org[80];          /* 0123456789ABCDEF01234567@AdobeOrg */
    char sandbox[64];      /* "prod" */
    char sandbox_id[40];   /* uuid */
    char sandbox_type[16]; /* "production", "development" */
    char folder[33];       /* its folder name in the lake: 32 hex */
    char tenant_name[40];  /* XDM tenant namespace without "_": fields live under _<tenant_name> */
    bool is_default;
} tr_tenant;

/* path  the database file; made when missing */
TR_MUST_CHECK tr_code tr_catalog_open(const char *path, tr_catalog **out, tr_err *err);
void tr_catalog_close(tr_catalog *catalog); /* accepts NULL */

/* Orgs and sandboxes. An org comes into being with its first client and has "prod" from the start.
 * TR_NOT_FOUND (sandbox) / TR_DENIED (org)  no such */
TR_MUST_CHECK tr_code tr_catalog_org_ensure(tr_catalog *catalog, const char *org, tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_tenant(tr_catalog *catalog, const char *org, const char *sandbox,
                                        tr_tenant *out, tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_tenant_by_id(tr_catalog *catalog, int64_t id, tr_tenant *out, tr_err *err);
/* The sandboxes of an org: array of documents as given to sandbox_put plus id, name, state; returned.
 * org NULL: of all orgs, each with its `org`: only for restart. */
TR_MUST_CHECK tr_code tr_catalog_sandbox_list(tr_catalog *catalog, const char *org, json_t **out, tr_err *err);
/* Creates (name unknown) or replaces the document of a sandbox. TR_CONFLICT never. */
TR_MUST_CHECK tr_code tr_catalog_sandbox_put(tr_catalog *catalog, const char *org, const char *name,
                                             const json_t *doc, tr_err *err);
/* Ends a sandbox: its tenant is no longer found. Files are the lake's to remove. */
TR_MUST_CHECK tr_code tr_catalog_sandbox_remove(tr_catalog *catalog, const char *org, const char *name, tr_err *err);
/* A secret of 192 bytes per sandbox, made once: keys the profile keys. */
TR_MUST_CHECK tr_code tr_catalog_secret(tr_catalog *catalog, const tr_tenant *tenant, uint8_t out[192], tr_err *err);

/* Server-wide values (signing keys): kept under a name; *out is appended to. TR_NOT_FOUND: none. */
TR_MUST_CHECK tr_code tr_catalog_value_get(tr_catalog *catalog, const char *name, tr_buf *out, tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_value_put(tr_catalog *catalog, const char *name, tr_str value, tr_err *err);

/* API clients: server-wide by client id. doc holds org, name, role, sandboxes, secret hash. */
TR_MUST_CHECK tr_code tr_catalog_client_get(tr_catalog *catalog, const char *client_id, json_t **out, tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_client_put(tr_catalog *catalog, const char *client_id, const json_t *doc, tr_err *err);

typedef struct tr_object {
    char id[256];
    char parent[256];
    char state[32];
    int64_t created_ms;
    int64_t updated_ms;
    int64_t revision; /* 1 at creation, +1 with every put */
    json_t *doc;      /* returned by get and list: json_decref, or tr_object_clear */
} tr_object;
void tr_object_clear(tr_object *object);

/* Transactions nest: only the outermost commit writes. Every put, insert or remove outside of one is its own. */
TR_MUST_CHECK tr_code tr_catalog_begin(tr_catalog *catalog, tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_commit(tr_catalog *catalog, tr_err *err);
void tr_catalog_rollback(tr_catalog *catalog); /* gives up everything since the outermost begin */
/* Ends a transaction by how it went: commits on TR_OK, else rolls back and hands `code` on. */
TR_MUST_CHECK tr_code tr_catalog_end(tr_catalog *catalog, tr_code code, tr_err *err);

/* TR_NOT_FOUND: "no <kind> with id ..." */
TR_MUST_CHECK tr_code tr_catalog_get(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                                     const char *id, tr_object *out, tr_err *err);
/* TR_CONFLICT: exists. created_ms and updated_ms of 0 mean now. The document is borrowed for the call. */
TR_MUST_CHECK tr_code tr_catalog_insert(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                                        const tr_object *object, tr_err *err);
/* Replaces document, parent and state. if_revision 0: whatever it is; else TR_CONFLICT when another
 * hand was faster. updated_ms of 0 means now. */
TR_MUST_CHECK tr_code tr_catalog_put(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                                     const tr_object *object, int64_t if_revision, tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                                        const char *id, tr_err *err);
/* The next number of a tenant's sequence: 1, 2, 3 ... */
TR_MUST_CHECK tr_code tr_catalog_next(tr_catalog *catalog, const tr_tenant *tenant, const char *sequence,
                                      int64_t *out, tr_err *err);
/* A time in us that is later than any this tenant was given before: now, unless the clock was set back. What orders
 * ingested data and the exports between. */
TR_MUST_CHECK tr_code tr_catalog_clock(tr_catalog *catalog, const tr_tenant *tenant, int64_t *us, tr_err *err);

/* Counts the changes of what profiles are made of, of any tenant: files, runs, policies, members of
 * segments, the registry, namespaces. Odd while one is being committed. What was read between two equal, even
 * answers is still so. */
uint64_t tr_catalog_profile_version(tr_catalog *catalog);
/* From now on another process may change it, which no version tells: tr_catalog_read_at_once reads
 * in a transaction. */
void tr_catalog_share(tr_catalog *catalog);
/* Reads what belongs together: calls `read`, which begins anew each time, until no such change was committed while it
 * ran; when there are too many of them, in a transaction. */
TR_MUST_CHECK tr_code tr_catalog_read_at_once(tr_catalog *catalog, tr_code (*read)(void *ctx, tr_err *err),
                                              void *ctx, tr_err *err);

typedef struct tr_catalog_filter {
    const char *parent; /* NULL: any */
    const char *state;  /* NULL: any; several separated by ',' */
    bool is_descending; /* order: (created_ms, id) */
    bool is_brief;      /* objects without their documents: several times as fast */
    int64_t limit;      /* 0: all */
    int64_t offset;
    int64_t after_created_ms; /* with after_id: strictly behind that object in the order */
    const char *after_id;     /* NULL: from the start; numeric ids compare as numbers */
} tr_catalog_filter;

typedef tr_code (*tr_catalog_each)(void *ctx, const tr_object *object, tr_err *err);
/* Calls `each` for every match; a code other than TR_OK stops. Do not write inside `each`. */
TR_MUST_CHECK tr_code tr_catalog_list(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                                      const tr_catalog_filter *filter, tr_catalog_each each, void *ctx,
                                      tr_err *err);
/* Adds the ids of all matches to `ids` (an array, the caller's). */
TR_MUST_CHECK tr_code tr_catalog_ids(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                                     const tr_catalog_filter *filter, json_t *ids, tr_err *err);
/* Removes all objects of a kind that have this parent. */
TR_MUST_CHECK tr_code tr_catalog_remove_of(tr_catalog *catalog, const tr_tenant *tenant,
                                           const char *kind, const char *parent, tr_err *err);
/* The same as a list over all tenants: only for restart (what was under way when the server stopped). */
typedef tr_code (*tr_catalog_each_tenant)(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_scan(tr_catalog *catalog, const char *kind, const char *state,
                                      tr_catalog_each_tenant each, void *ctx, tr_err *err);
/* For restart, too: calls `resume`, which may write, for every object of a kind in one of the states
 * (NULL-terminated), state by state. */
typedef tr_code (*tr_catalog_resume_one)(void *ctx, const tr_tenant *tenant, const char *id,
                                         tr_err *err);
TR_MUST_CHECK tr_code tr_catalog_resume(tr_catalog *catalog, const char *kind,
                                        const char *const *states, tr_catalog_resume_one resume,
                                        void *ctx, tr_err *err);
/* The same with more to say of it. */
typedef struct tr_catalog_waiting {
    const char *kind;
    const char *const *states; /* NULL-terminated */
    /* False: it is not resumed. *rank, 0 before: the lowest are first, of equal ones as they are found. NULL: all */
    bool (*choose)(const tr_object *object, int64_t *rank);
    tr_catalog_resume_one resume;
} tr_catalog_waiting;
TR_MUST_CHECK tr_code tr_catalog_resume_waiting(tr_catalog *catalog, const tr_catalog_waiting *waiting, void *ctx,
                                                tr_err *err);
/* And: the tenants that have objects of a kind, each once; returned, tr_free. */
TR_MUST_CHECK tr_code tr_catalog_tenants_with(tr_catalog *catalog, const char *kind,
                                              tr_tenant **out, uint32_t *count, tr_err *err);

#endif
