/* SPDX-License-Identifier: Apache-2.0 */
/* registry_internal.h - what the files of the Schema Registry API share.
 *
 *     registry.c          the table of endpoints; lookups and lists
 *     registry_accept.c   the Accept header, and a document as it asks for it
 *     registry_list.c     filter, order, page
 *     registry_write.c    create, replace, patch, delete
 *     registry_papers.c   the members that the server writes: ids, version, meta:extends, eTag ...
 *     registry_check.c    the rules of composition
 *     registry_change.c   what a change may not break
 *     registry_rpc.c      stats, sample data
 *     registry_import.c   export and import
 *     descriptors.c       descriptors
 *
 * A failed check sets the number of its XDM-<number>-<status> code and returns; tr_registry_run,
 * the frame around every handler, writes the error body. Failures of the machine go on to the
 * router.
 */
#ifndef TR_API_REGISTRY_INTERNAL_H
#define TR_API_REGISTRY_INTERNAL_H

#include "api/api_internal.h"
#include "catalog/schemas.h"

/* A kind of the catalog: one object a write, its parent is the resource's $id. */
#define TR_REGISTRY_AUDIT "schemaaudit"
#define TR_REGISTRY_BASE "/data/foundation/schemaregistry"

/* number, http status, title of the error body */
/* clang-format off */
#define TR_XDM_ERRORS(X)                                          \
    X(LIST_ACCEPT,       1006, 400, "Accept header invalid")      \
    X(LOOKUP_ACCEPT,     1007, 400, "Accept header invalid")      \
    X(DESCRIPTOR_ACCEPT, 1008, 400, "Accept header invalid")      \
    X(NO_CLASS,          1010, 404, "Resource not found")         \
    X(NO_BEHAVIOR,       1011, 404, "Resource not found")         \
    X(NO_SCHEMA,         1012, 404, "Resource not found")         \
    X(NO_FIELD_GROUP,    1013, 404, "Resource not found")         \
    X(NO_DATA_TYPE,      1014, 404, "Resource not found")         \
    X(NO_UNION,          1015, 404, "Resource not found")         \
    X(NO_DESCRIPTOR,     1016, 404, "Resource not found")         \
    X(TENANT_FIELD,      1021, 400, "Namespace validation error") \
    X(FIELD_NAME,        1022, 400, "Namespace validation error") \
    X(TYPE_CLASH,        1413, 400, "Merge Schema Error")         \
    X(TITLE,             1521, 400, "Title not unique")           \
    X(NO_REFERENCE,      1526, 400, "Union descriptor validation error") \
    X(OTHER_NAMESPACE,   1527, 400, "Union descriptor validation error") \
    X(NO_IDENTITY,       1528, 400, "Union descriptor validation error") \
    X(BODY,              1900, 400, "Request body not valid")     \
    X(REFERENCE,         1901, 400, "Reference not resolved")     \
    X(CLASS,             1902, 400, "Class not valid")            \
    X(IN_USE,            1903, 400, "Resource in use")            \
    X(BREAKING,          1904, 400, "Breaking change")            \
    X(PATCH,             1905, 400, "JSON Patch not valid")       \
    X(DESCRIPTOR,        1906, 400, "Descriptor not valid")       \
    X(READ_ONLY,         1907, 403, "Resource is read-only")      \
    X(GROUP,             1908, 400, "Field group not compatible") \
    X(PRECONDITION,      1909, 412, "Precondition failed")        \
    X(VERSION,           1910, 406, "Version not available")      \
    X(PARAMETER,         1911, 400, "Query parameter not valid")  \
    X(IMPORT,            3005, 400, "Import Resource Failed")
/* clang-format on */
#define TR_XDM_ERROR_NAME(name, number, http, title) TR_XDM_##name = number,
typedef enum tr_xdm_error { TR_XDM_NONE = 0, TR_XDM_ERRORS(TR_XDM_ERROR_NAME) } tr_xdm_error;

typedef struct tr_kind_of {    /* a type of resource in paths, in documents and in the catalog */
    const char *path;          /* "fieldgroups" */
    const char *resource_type; /* "mixins" */
    const char *kind;          /* of the catalog; NULL: none */
    const char *library;       /* of tr_xdm_global_list; NULL: none */
    tr_xdm_error missing;
} tr_kind_of;
/* By the word of a path; NULL: none. "mixins" is the old name of "fieldgroups". */
const tr_kind_of *tr_kind_of_path(tr_str word);
const tr_kind_of *tr_kind_of_resource_type(const char *resource_type);

typedef struct tr_registry_call {
    tr_call *call;
    tr_registry registry; /* lookups for this call */
    tr_xdm_error error;   /* of the failure that is being returned */
    const tr_kind_of *of; /* of the path's type; NULL: /stats, /rpc */
    bool is_global;
} tr_registry_call;

/* Sets the error's number and the text, and returns the code: "return TR_XDM_FAIL(r, err, BODY,
 * ...)". */
#define TR_XDM_FAIL(r, err, name, ...)                                                             \
    ((r)->error = TR_XDM_##name, TR_FAIL((err), TR_INVALID, __VA_ARGS__))

typedef tr_code (*tr_registry_handler)(tr_registry_call *r, tr_err *err);
TR_MUST_CHECK tr_code tr_registry_run(tr_call *call, tr_registry_handler handle, tr_err *err);

/* The Accept header. */
typedef struct tr_accept {
    bool is_standard; /* xdm: standard names; else xed */
    bool is_id, is_full, has_no_text, has_descriptors, has_deprecated, is_flat, is_link, is_v2;
    int version; /* 0: none asked */
} tr_accept;
/* error: what a header that is not understood is answered with */
TR_MUST_CHECK tr_code tr_accept_read(tr_registry_call *r, tr_xdm_error error, tr_accept *out,
                                     tr_err *err);
/* Answers with a document as `accept` asks; is_list: for one entry of a list. *out is returned. */
TR_MUST_CHECK tr_code tr_registry_show(tr_registry_call *r, const json_t *doc,
                                       const tr_accept *accept, bool is_list, json_t **out,
                                       tr_err *err);
TR_MUST_CHECK tr_code tr_registry_reply(tr_registry_call *r, int status, const tr_accept *accept,
                                        json_t *body,
                                        tr_err *err); /* takes the body, also on failure */

/* Finds a document by id or alt id: the tenant's, or the library's. Fails with the kind's 404 when
 * there is none or it is of another type. */
TR_MUST_CHECK tr_code tr_registry_get(tr_registry_call *r, const tr_kind_of *of, tr_str id,
                                      const json_t **out, tr_err *err);
/* Every document of a kind of the tenant, or of all four kinds (kind NULL): an array, returned. */
TR_MUST_CHECK tr_code tr_registry_all(tr_registry_call *r, const char *kind, json_t **out,
                                      tr_err *err);

/* A page of documents by the query's property, orderby, start, limit: the body of a list. items:
 * taken. *out is returned: {"results": [documents], "_page", "_links"} */
TR_MUST_CHECK tr_code tr_registry_page(tr_registry_call *r, json_t *items, json_t **out,
                                       tr_err *err);
/* Whether a document passes every `property` of the query. */
bool tr_registry_matches(const tr_registry_call *r, const json_t *doc);

/* Rewrites what the server decides in a client's document. before: as stored, or NULL when it is
 * new. */
TR_MUST_CHECK tr_code tr_registry_papers(tr_registry_call *r, json_t *doc, const json_t *before,
                                         const char *id, tr_err *err);
/* The whole set of rules of composition for a document with its papers. */
TR_MUST_CHECK tr_code tr_registry_check(tr_registry_call *r, const json_t *doc, tr_err *err);
/* What a change (after NULL: a removal) may not do to schemas in use or in a union. */
TR_MUST_CHECK tr_code tr_registry_check_change(tr_registry_call *r, const json_t *before,
                                               const json_t *after, tr_err *err);
/* Rules of a schema that carries the union tag. */
TR_MUST_CHECK tr_code tr_registry_check_union(tr_registry_call *r, const json_t *schema,
                                              tr_err *err);
/* Puts a new document over the stored one for the lookups of this call. */
TR_MUST_CHECK tr_code tr_registry_overlay(tr_registry_call *r, const json_t *doc, tr_err *err);
bool tr_registry_has_tag(const json_t *doc);
bool tr_registry_lists(const json_t *list, const char *text);
/* Whether a document refers to a resource, or to a part of it. */
bool tr_registry_refers(const json_t *doc, const char *id);
/* The identity descriptors of a schema, an array, returned. */
TR_MUST_CHECK tr_code tr_registry_descriptors_of(tr_registry_call *r, const char *schema_id,
                                                 const char *type, json_t **out, tr_err *err);
/* Checks a new descriptor as POST does, and keeps it; doc: taken. */
TR_MUST_CHECK tr_code tr_descriptor_add(tr_registry_call *r, json_t *doc, tr_err *err);
/* One that is no more is fine. */
TR_MUST_CHECK tr_code tr_descriptor_remove(tr_registry_call *r, const char *id, tr_err *err);
/* A dataset whose schema is this one, in `name`; empty: none. */
TR_MUST_CHECK tr_code tr_registry_dataset_of(tr_registry_call *r, const char *schema_id,
                                             char name[128], tr_err *err);

/* One writer at a time, from the first check to the commit: titles stay unique, checks stay true */
void tr_registry_write_begin(void);
void tr_registry_write_end(tr_registry_call *r);
/* Commits a document and its line in the audit log. revision 0: new. value: what the log keeps;
 * taken. */
TR_MUST_CHECK tr_code tr_registry_commit(tr_registry_call *r, const json_t *doc, int64_t revision,
                                         const char *action, json_t *value, tr_err *err);

/* Handlers of the table, by file. */
tr_code tr_registry_create(tr_registry_call *r, tr_err *err);
tr_code tr_registry_replace(tr_registry_call *r, tr_err *err);
tr_code tr_registry_patch(tr_registry_call *r, tr_err *err);
tr_code tr_registry_delete(tr_registry_call *r, tr_err *err);
tr_code tr_registry_stats(tr_registry_call *r, tr_err *err);
tr_code tr_registry_sample(tr_registry_call *r, tr_err *err);
tr_code tr_registry_export(tr_registry_call *r, tr_err *err);
tr_code tr_registry_import(tr_registry_call *r, tr_err *err);
tr_code tr_registry_audit(tr_registry_call *r, tr_err *err);

#endif
