/* SPDX-License-Identifier: Apache-2.0 */
/* registry.c - the Schema Registry: its endpoints, lookups and lists; see registry_internal.h. */
#include "api/registry_internal.h"

#include <stdio.h>
#include <time.h>

static const tr_kind_of kinds[] = {
    {"schemas", "schemas", "schema", "schemas", TR_XDM_NO_SCHEMA},
    {"classes", "classes", "class", "classes", TR_XDM_NO_CLASS},
    {"fieldgroups", "mixins", "fieldgroup", "fieldgroups", TR_XDM_NO_FIELD_GROUP},
    {"mixins", "mixins", "fieldgroup", "fieldgroups", TR_XDM_NO_FIELD_GROUP},
    {"datatypes", "datatypes", "datatype", "datatypes", TR_XDM_NO_DATA_TYPE},
    {"behaviors", "behaviors", NULL, "behaviors", TR_XDM_NO_BEHAVIOR},
    {"unions", "unions", NULL, NULL, TR_XDM_NO_UNION}};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

static const struct {
    tr_xdm_error number;
    int http;
    const char *title;
} errors[] = {
#define ERROR_ROW(name, number, http, title) {TR_XDM_##name, http, title},
    TR_XDM_ERRORS(ERROR_ROW)};

const tr_kind_of *tr_kind_of_path(tr_str word)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (tr_str_is(word, kinds[i].path))
            return &kinds[i];
    return NULL;
}

const tr_kind_of *tr_kind_of_resource_type(const char *resource_type)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(resource_type, kinds[i].resource_type) == 0)
            return &kinds[i];
    return NULL;
}

static json_t *error_body(const tr_registry_call *r, int number, int http, const char *title,
                          const char *text)
{
    char when[32];
    struct tm utc;
    const time_t now = (time_t)(tr_time_now_ms() / 1000);
    (void)gmtime_r(&now, &utc);
    (void)strftime(when, sizeof when, "%m-%d-%Y %H:%M:%S", &utc);
    json_t *type = json_sprintf("http://ns.adobe.com/aep/errors/XDM-%d-%d", number, http);
    return json_pack("{s:o, s:s, s:i, s:{s:s, s:s, s:s, s:[]}, s:s}", "type", type, "title", title,
                     "status", http, "report", "registryRequestId", r->call->request_id,
                     "timestamp", when, "detailed-message", text, "sub-errors", "detail", text);
}

/* The error body for what the client can do something about; the rest is the router's. */
static tr_code answer_failure(tr_registry_call *r, tr_code code, tr_err *err)
{
    int http = tr_code_http_status(code);
    const char *title = tr_code_title(code);
    if (r->error == TR_XDM_NONE && (http >= 500 || code == TR_UNAUTHORIZED || code == TR_DENIED))
        return code;
    if (r->error == TR_XDM_NONE)
        r->error = code == TR_NOT_FOUND ? (r->of == NULL ? TR_XDM_NO_SCHEMA : r->of->missing)
                                        : TR_XDM_BODY;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++)
        if (errors[i].number == r->error && (r->error != TR_XDM_BODY || code == TR_INVALID)) {
            http = errors[i].http;
            title = errors[i].title;
        }
    return tr_reply_json(r->call, http, error_body(r, (int)r->error, http, title, err->text), err);
}

tr_code tr_registry_run(tr_call *call, tr_registry_handler handle, tr_err *err)
{
    tr_err own = {0};
    tr_registry_call r = {.call = call,
                          .registry = {.catalog = call->parts->catalog, .tenant = &call->tenant}};
    const tr_http_request *request = call->request;
    if (request->segment_count > 4) {
        r.is_global = tr_str_is(request->segments[3], "global");
        r.of = tr_kind_of_path(request->segments[4]);
    }
    tr_code code = handle(&r, &own);
    if (code != TR_OK)
        code = answer_failure(&r, code, &own);
    json_decref(r.registry.held);
    if (code != TR_OK && err != NULL)
        *err = own;
    return code;
}

tr_code tr_registry_get(tr_registry_call *r, const tr_kind_of *of, tr_str id, const json_t **out,
                        tr_err *err)
{
    const json_t *doc = NULL;
    const tr_code code = r->is_global ? tr_xdm_global_find(id, &doc, err)
                                      : tr_registry_lookup(&r->registry, id, &doc, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    const char *type = tr_json_text(doc, "meta:resourceType", "");
    const bool is_union = strcmp(of->path, "schemas") == 0 && strcmp(type, "unions") == 0;
    if (code == TR_NOT_FOUND || (strcmp(type, of->resource_type) != 0 && !is_union)) {
        r->error = of->missing;
        return TR_FAIL(err, TR_NOT_FOUND, "no resource of type %s with id \"%.*s\", version 1",
                       of->path, TR_STR_ARG(id));
    }
    *out = doc;
    return TR_OK;
}

static tr_code append(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append(ctx, object->doc) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory to list schema resources");
}

tr_code tr_registry_all(tr_registry_call *r, const char *kind, json_t **out, tr_err *err)
{
    static const char *const all[] = {"schema", "class", "fieldgroup", "datatype"};
    const tr_catalog_filter any = {0};
    json_t *docs = json_array();
    tr_code code =
        docs == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory to list schema resources") : TR_OK;
    for (size_t i = 0; i < sizeof all / sizeof all[0] && code == TR_OK; i++)
        if (kind == NULL || strcmp(kind, all[i]) == 0)
            code = tr_catalog_list(r->registry.catalog, r->registry.tenant, all[i], &any, append,
                                   docs, err);
    if (code != TR_OK) {
        json_decref(docs);
        return code;
    }
    *out = docs;
    return TR_OK;
}

/* The unions of the classes that have members; the profile's always. */
static tr_code all_unions(tr_registry_call *r, json_t **out, tr_err *err)
{
    json_t *members = NULL;
    TR_TRY(tr_registry_union_members(&r->registry, NULL, &members, err));
    json_t *classes = json_pack("[s]", TR_XDM_PROFILE_CLASS);
    json_t *unions = json_array();
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(members); i++) {
        const char *id =
            tr_json_text(json_array_get(members, i), "meta:class", TR_XDM_PROFILE_CLASS);
        if (!tr_registry_lists(classes, id))
            (void)json_array_append_new(classes, json_string(id));
    }
    for (size_t i = 0; i < json_array_size(classes) && code == TR_OK; i++) {
        const json_t *doc;
        json_t *id = json_sprintf("%s%s", json_string_value(json_array_get(classes, i)),
                                  TR_XDM_UNION_SUFFIX);
        code = tr_registry_lookup(&r->registry, tr_str_of(json_string_value(id)), &doc, err);
        if (code == TR_OK)
            (void)json_array_append(unions, (json_t *)(uintptr_t)doc);
        json_decref(id);
    }
    json_decref(members);
    json_decref(classes);
    if (code != TR_OK) {
        json_decref(unions);
        return code;
    }
    *out = unions;
    return TR_OK;
}

static tr_code all_of_path(tr_registry_call *r, json_t **out, tr_err *err)
{
    const json_t *library;
    if (strcmp(r->of->path, "unions") == 0) {
        if (!r->is_global)
            return all_unions(r, out, err);
        *out = json_array();
        return TR_OK;
    }
    if (!r->is_global && r->of->kind != NULL)
        return tr_registry_all(r, r->of->kind, out, err);
    TR_TRY(tr_xdm_global_list(r->of->library, &library, err));
    *out = json_copy((json_t *)(uintptr_t)library);
    return TR_OK;
}

static tr_code do_list(tr_registry_call *r, tr_err *err)
{
    tr_accept accept;
    json_t *docs = NULL, *page = NULL;
    TR_TRY(tr_accept_read(r, TR_XDM_LIST_ACCEPT, &accept, err));
    TR_TRY(all_of_path(r, &docs, err));
    TR_TRY(tr_registry_page(r, docs, &page, err));
    json_t *results = json_object_get(page, "results");
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(results) && code == TR_OK; i++) {
        json_t *shown = NULL;
        code = tr_registry_show(r, json_array_get(results, i), &accept, true, &shown, err);
        if (code == TR_OK && json_array_set_new(results, i, shown) != 0)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory to list schema resources");
    }
    if (code != TR_OK) {
        json_decref(page);
        return code;
    }
    if (strcmp(r->of->path, "schemas") == 0)
        (void)json_object_set_new(
            json_object_get(page, "_links"), "global_schemas",
            json_pack(
                "{s:o}", "href",
                json_sprintf("%s%s/global/schemas", r->call->parts->public_url, TR_REGISTRY_BASE)));
    return tr_registry_reply(r, 200, &accept, page, err);
}

/* How many resources of the tenant refer to one, into its metadata. */
static tr_code add_usage(tr_registry_call *r, const char *id, json_t *shown, tr_err *err)
{
    json_t *all = NULL;
    json_int_t count = 0;
    TR_TRY(tr_registry_all(r, NULL, &all, err));
    for (size_t i = 0; i < json_array_size(all); i++)
        count += tr_registry_refers(json_array_get(all, i), id);
    json_decref(all);
    json_t *metadata = json_copy(json_object_get(shown, "meta:registryMetadata"));
    (void)json_object_set_new(metadata, "meta:usageCount", json_integer(count));
    return metadata == NULL || json_object_set_new(shown, "meta:registryMetadata", metadata) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory to show a schema resource");
}

static tr_code add_etag(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    char quoted[80];
    const char *etag = tr_json_text(json_object_get(doc, "meta:registryMetadata"), "eTag", NULL);
    if (etag == NULL)
        return TR_OK;
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", etag);
    return tr_reply_header(r->call, "ETag", quoted, err);
}

static tr_code do_get(tr_registry_call *r, tr_err *err)
{
    tr_accept accept;
    const json_t *doc;
    json_t *shown = NULL;
    TR_TRY(tr_accept_read(r, TR_XDM_LOOKUP_ACCEPT, &accept, err));
    TR_TRY(tr_registry_get(r, r->of, r->call->request->segments[5], &doc, err));
    TR_TRY(tr_registry_show(r, doc, &accept, false, &shown, err));
    tr_code code = add_etag(r, doc, err);
    if (code == TR_OK)
        code = add_usage(r, tr_json_text(doc, "$id", ""), shown, err);
    if (code != TR_OK) {
        json_decref(shown);
        return code;
    }
    return tr_registry_reply(r, 200, &accept, shown, err);
}

static tr_code refuse_write(tr_registry_call *r, tr_err *err)
{
    return TR_XDM_FAIL(r, err, READ_ONLY,
                       "%s are read-only: extend them by a resource of the tenant",
                       r->is_global ? "standard resources" : "unions");
}

bool tr_registry_lists(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *entry = json_string_value(json_array_get(list, i));
        if (entry != NULL && strcmp(entry, text) == 0)
            return true;
    }
    return false;
}

bool tr_registry_has_tag(const json_t *doc)
{
    return tr_registry_lists(json_object_get(doc, "meta:immutableTags"), "union");
}

#define ENTRY(name, handler)                                                                       \
    static tr_code name(tr_call *call, tr_err *err)                                                \
    {                                                                                              \
        return tr_registry_run(call, handler, err);                                                \
    }
ENTRY(list_resources, do_list)
ENTRY(get_resource, do_get)
ENTRY(create_resource, tr_registry_create)
ENTRY(replace_resource, tr_registry_replace)
ENTRY(patch_resource, tr_registry_patch)
ENTRY(delete_resource, tr_registry_delete)
ENTRY(refuse, refuse_write)
ENTRY(stats, tr_registry_stats)
ENTRY(sample, tr_registry_sample)
ENTRY(export_resource, tr_registry_export)
ENTRY(import_resources, tr_registry_import)
ENTRY(audit, tr_registry_audit)

#define READ_OF(container, type)                                                                   \
    {"GET", TR_REGISTRY_BASE "/" container "/" type, TR_SCOPE_READ, list_resources, 0},            \
    {                                                                                              \
        "GET", TR_REGISTRY_BASE "/" container "/" type "/{id}", TR_SCOPE_READ, get_resource, 0     \
    }
#define REFUSE_OF(container, type)                                                                 \
    {"POST", TR_REGISTRY_BASE "/" container "/" type, TR_SCOPE_WRITE, refuse, 0},                  \
        {"PUT", TR_REGISTRY_BASE "/" container "/" type "/{id}", TR_SCOPE_WRITE, refuse, 0},       \
        {"PATCH", TR_REGISTRY_BASE "/" container "/" type "/{id}", TR_SCOPE_WRITE, refuse, 0},     \
    {                                                                                              \
        "DELETE", TR_REGISTRY_BASE "/" container "/" type "/{id}", TR_SCOPE_WRITE, refuse, 0       \
    }
#define WRITE_OF(type)                                                                             \
    {"POST", TR_REGISTRY_BASE "/tenant/" type, TR_SCOPE_WRITE, create_resource, 0},                \
        {"PUT", TR_REGISTRY_BASE "/tenant/" type "/{id}", TR_SCOPE_WRITE, replace_resource, 0},    \
        {"PATCH", TR_REGISTRY_BASE "/tenant/" type "/{id}", TR_SCOPE_WRITE, patch_resource, 0},    \
    {                                                                                              \
        "DELETE", TR_REGISTRY_BASE "/tenant/" type "/{id}", TR_SCOPE_WRITE, delete_resource, 0     \
    }
#define BOTH_OF(type)                                                                              \
    READ_OF("tenant", type), READ_OF("global", type), WRITE_OF(type), REFUSE_OF("global", type)

const tr_endpoint tr_api_registry[] = {
    {"GET", TR_REGISTRY_BASE "/stats", TR_SCOPE_READ, stats, 0},
    BOTH_OF("schemas"),
    BOTH_OF("classes"),
    BOTH_OF("fieldgroups"),
    BOTH_OF("mixins"),
    BOTH_OF("datatypes"),
    READ_OF("global", "behaviors"),
    READ_OF("tenant", "behaviors"),
    READ_OF("tenant", "unions"),
    READ_OF("global", "unions"),
    REFUSE_OF("tenant", "unions"),
    {"GET", TR_REGISTRY_BASE "/rpc/sampledata/{id}", TR_SCOPE_READ, sample, 0},
    {"GET", TR_REGISTRY_BASE "/rpc/export/{id}", TR_SCOPE_READ, export_resource, 0},
    {"POST", TR_REGISTRY_BASE "/rpc/import", TR_SCOPE_WRITE, import_resources, 0},
    {"POST", TR_REGISTRY_BASE "/rpc/export", TR_SCOPE_WRITE, import_resources, 0},
    {"GET", TR_REGISTRY_BASE "/rpc/auditlog/{id}", TR_SCOPE_READ, audit, 0},
    {0}};
