/* SPDX-License-Identifier: Apache-2.0 */
/* descriptors.c - descriptors: what a field of a schema means (identity, relationship, label ...).
 *
 * Kept in the catalog as kind "descriptor", parent = the schema's $id, state = @type, so that the
 * identities of a schema are one list away. Every type is checked for its schema and its path;
 * types without behaviour here are stored and given back.
 */
#include "api/registry_internal.h"

#include <stdio.h>

enum { DESCRIPTORS_MAX = 4000, TITLE_MAX = 35 };

typedef struct descriptor_type {
    const char *name;
    bool has_path;        /* xdm:sourceProperty */
    bool has_destination; /* xdm:destinationSchema */
} descriptor_type;

static const descriptor_type types[] = {{"xdm:descriptorIdentity", true, false},
                                        {"xdm:descriptorReferenceIdentity", true, false},
                                        {"xdm:descriptorOneToOne", true, true},
                                        {"xdm:descriptorRelationship", true, true},
                                        {"xdm:alternateDisplayInfo", true, false},
                                        {"xdm:descriptorDeprecated", true, false},
                                        {"xdm:descriptorLabel", true, false},
                                        {"xdm:descriptorPrimaryKey", true, false},
                                        {"xdm:descriptorVersion", true, false},
                                        {"xdm:descriptorTimestamp", true, false},
                                        {"xdm:descriptorTimeSeriesGranularity", false, false},
                                        {"xdm:eventRelationship", false, true},
                                        {"xdm:descriptorOneToMany", true, true},
                                        {"xdm:descriptorManyToOne", true, true},
                                        {"xdm:descriptorManyToMany", true, true},
                                        {"xdm:descriptorMetaEnumRemove", true, false},
                                        {"xdm:descriptorDuplicationExclusions", false, false}};

static const descriptor_type *type_of(const json_t *doc)
{
    const char *name = tr_json_text(doc, "@type", "");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static bool is_identity(const json_t *doc)
{
    return strcmp(tr_json_text(doc, "@type", ""), "xdm:descriptorIdentity") == 0;
}

static bool is_primary(const json_t *doc)
{
    return is_identity(doc) && tr_json_bool(doc, "xdm:isPrimary", false);
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for descriptors");
}

static tr_code append(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append(ctx, object->doc) == 0 ? TR_OK : no_memory(err);
}

static tr_code all_descriptors(tr_registry_call *r, json_t **out, tr_err *err)
{
    const tr_catalog_filter any = {0};
    json_t *docs = json_array();
    const tr_code code = r->is_global ? TR_OK
                                      : tr_catalog_list(r->registry.catalog, r->registry.tenant,
                                                        "descriptor", &any, append, docs, err);
    if (code != TR_OK) {
        json_decref(docs);
        return code;
    }
    *out = docs;
    return TR_OK;
}

/* A descriptor as the list's Accept wants it: whole, its id, or a link. */
static json_t *form_of(const json_t *doc, const tr_accept *accept)
{
    const char *id = tr_json_text(doc, "@id", "");
    if (accept->is_link)
        return json_sprintf("/tenant/descriptors/%s", id);
    return accept->is_id ? json_string(id) : json_incref((json_t *)(uintptr_t)doc);
}

static json_t *by_type(const tr_registry_call *r, const json_t *docs, const tr_accept *accept)
{
    json_t *out = json_object();
    for (size_t i = 0; i < json_array_size(docs); i++) {
        const json_t *doc = json_array_get(docs, i);
        const char *type = tr_json_text(doc, "@type", "");
        if (!tr_registry_matches(r, doc))
            continue;
        if (json_object_get(out, type) == NULL)
            (void)json_object_set_new(out, type, json_array());
        (void)json_array_append_new(json_object_get(out, type), form_of(doc, accept));
    }
    return out;
}

static tr_code do_list(tr_registry_call *r, tr_err *err)
{
    tr_accept accept;
    json_t *docs = NULL, *page = NULL;
    TR_TRY(tr_accept_read(r, TR_XDM_DESCRIPTOR_ACCEPT, &accept, err));
    accept.is_standard = true;
    TR_TRY(all_descriptors(r, &docs, err));
    if (!accept.is_v2) {
        page = by_type(r, docs, &accept);
        json_decref(docs);
        return tr_registry_reply(r, 200, &accept, page, err);
    }
    TR_TRY(tr_registry_page(r, docs, &page, err));
    json_t *results = json_object_get(page, "results");
    for (size_t i = 0; i < json_array_size(results); i++)
        (void)json_array_set_new(results, i, form_of(json_array_get(results, i), &accept));
    return tr_registry_reply(r, 200, &accept, page, err);
}

static tr_code get_stored(tr_registry_call *r, tr_object *out, tr_err *err)
{
    const char *id = tr_arena_text(r->call->request->arena, r->call->request->segments[5]);
    if (id == NULL)
        return no_memory(err);
    const tr_code code = r->is_global ? TR_NOT_FOUND
                                      : tr_catalog_get(r->registry.catalog, r->registry.tenant,
                                                       "descriptor", id, out, err);
    if (code != TR_NOT_FOUND)
        return code;
    r->error = TR_XDM_NO_DESCRIPTOR;
    return TR_FAIL(err, TR_NOT_FOUND, "no descriptor with id \"%.100s\"", id);
}

static tr_code do_get(tr_registry_call *r, tr_err *err)
{
    tr_object object;
    TR_TRY(get_stored(r, &object, err));
    const tr_code code = tr_reply_json(r->call, 200, json_incref(object.doc), err);
    tr_object_clear(&object);
    return code;
}

/* The field a path names in a resolved schema; arrays are stepped through ("[*]" is optional). */
static const json_t *field_at(const json_t *node, const char *path)
{
    while (*path != '\0' && node != NULL) {
        size_t len;
        path += *path == '/';
        len = strcspn(path, "/");
        const char *name = strncmp(path, "xdm:", 4) == 0 ? path + 4 : path;
        size_t name_len = len - (size_t)(name - path);
        if (name_len > 3 && memcmp(name + name_len - 3, "[*]", 3) == 0)
            name_len -= 3;
        while (json_object_get(node, "items") != NULL)
            node = json_object_get(node, "items");
        if (len > 0)
            node = json_object_getn(json_object_get(node, "properties"), name, name_len);
        path += len;
    }
    return node;
}

static tr_code check_path(tr_registry_call *r, const json_t *schema, const json_t *path,
                          const json_t *doc, tr_err *err)
{
    const char *text = json_string_value(path);
    const size_t len = json_string_length(path);
    if (text == NULL || text[0] != '/' || len < 2 || text[len - 1] == '/')
        return TR_XDM_FAIL(r, err, DESCRIPTOR,
                           "\"xdm:sourceProperty\" is a path such as /personalEmail/address");
    const json_t *field = field_at(schema, text);
    if (field == NULL)
        return TR_XDM_FAIL(r, err, DESCRIPTOR, "the schema has no field \"%.200s\"", text);
    const char *type = tr_xdm_node_xdm_type(field);
    if (!is_identity(doc) || type == NULL)
        return TR_OK;
    if (strcmp(type, "string") != 0 && strcmp(type, "int") != 0 && strcmp(type, "long") != 0 &&
        strcmp(type, "short") != 0 && strcmp(type, "byte") != 0)
        return TR_XDM_FAIL(r, err, DESCRIPTOR, "\"%.200s\" is of type %s: an identity is a string",
                           text, type);
    return TR_OK;
}

static tr_code check_source(tr_registry_call *r, json_t *doc, const descriptor_type *type,
                            tr_err *err)
{
    const json_t *schema, *path = json_object_get(doc, "xdm:sourceProperty");
    const char *id = tr_json_text(doc, "xdm:sourceSchema", "");
    json_t *resolved = NULL;
    tr_code code = tr_registry_lookup(&r->registry, tr_str_of(id), &schema, err);
    if (code == TR_NOT_FOUND)
        return TR_XDM_FAIL(r, err, DESCRIPTOR, "\"xdm:sourceSchema\": no schema with id \"%.200s\"",
                           id);
    TR_TRY(code);
    (void)json_object_set(doc, "xdm:sourceSchema", json_object_get(schema, "$id"));
    if (!type->has_path && path == NULL)
        return TR_OK;
    TR_TRY(tr_xdm_resolve_doc(tr_registry_lookup, &r->registry, schema, false, &resolved, err));
    if (json_array_size(path) == 0)
        code = check_path(r, resolved, path, doc, err);
    for (size_t i = 0; i < json_array_size(path) && code == TR_OK; i++)
        code = check_path(r, resolved, json_array_get(path, i), doc, err);
    json_decref(resolved);
    return code;
}

static tr_code check_identity(tr_registry_call *r, json_t *doc, tr_err *err)
{
    const json_t *named = json_object_get(doc, "xdm:namespace");
    int64_t number;
    if (json_is_integer(named))
        (void)json_object_set_new(doc, "xdm:namespace",
                                  json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(named)));
    const char *namespace = tr_json_text(doc, "xdm:namespace", "");
    if (namespace[0] == '\0')
        return TR_XDM_FAIL(r, err, DESCRIPTOR,
                           "\"xdm:namespace\" is missing: the code or id of a namespace");
    if (json_object_get(doc, "xdm:property") == NULL)
        (void)json_object_set_new(
            doc, "xdm:property",
            json_string(tr_str_to_i64(tr_str_of(namespace), &number) ? "xdm:id" : "xdm:code"));
    if (json_object_get(doc, "xdm:isPrimary") == NULL)
        (void)json_object_set_new(doc, "xdm:isPrimary", json_false());
    if (!json_is_boolean(json_object_get(doc, "xdm:isPrimary")))
        return TR_XDM_FAIL(r, err, DESCRIPTOR, "\"xdm:isPrimary\" is true or false");
    return TR_OK;
}

static tr_code check_destination(tr_registry_call *r, json_t *doc, tr_err *err)
{
    static const char *const titles[] = {"xdm:sourceToDestinationTitle",
                                         "xdm:destinationToSourceTitle"};
    const char *id = tr_json_text(doc, "xdm:destinationSchema", "");
    const json_t *schema;
    const tr_code code = tr_registry_lookup(&r->registry, tr_str_of(id), &schema, err);
    if (code == TR_NOT_FOUND)
        return TR_XDM_FAIL(r, err, DESCRIPTOR,
                           "\"xdm:destinationSchema\": no schema with id \"%.200s\"", id);
    TR_TRY(code);
    (void)json_object_set(doc, "xdm:destinationSchema", json_object_get(schema, "$id"));
    if (json_object_get(doc, "xdm:destinationVersion") == NULL)
        (void)json_object_set_new(doc, "xdm:destinationVersion", json_integer(1));
    for (size_t i = 0; i < 2; i++)
        if (strlen(tr_json_text(doc, titles[i], "")) > TITLE_MAX)
            return TR_XDM_FAIL(r, err, DESCRIPTOR, "\"%s\" is longer than %d characters", titles[i],
                               TITLE_MAX);
    return TR_OK;
}

static tr_code check_display(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    static const char *const parts[] = {"xdm:title", "xdm:description",     "xdm:note",
                                        "meta:enum", "xdm:excludeMetaEnum", "meta:excludeMetaEnum"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (json_object_get(doc, parts[i]) != NULL)
            return TR_OK;
    return TR_XDM_FAIL(r, err, DESCRIPTOR,
                       "a display descriptor has a title, description, note or meta:enum");
}

/* Against the schema's other descriptors: one of a kind per field, one primary identity. */
static tr_code check_others(tr_registry_call *r, const json_t *doc, const char *own_id, tr_err *err)
{
    json_t *others = NULL;
    tr_code code = TR_OK;
    TR_TRY(tr_registry_descriptors_of(r, tr_json_text(doc, "xdm:sourceSchema", ""), NULL, &others,
                                      err));
    for (size_t i = 0; i < json_array_size(others) && code == TR_OK; i++) {
        const json_t *other = json_array_get(others, i);
        if (strcmp(tr_json_text(other, "@id", ""), own_id) == 0)
            continue;
        if (strcmp(tr_json_text(other, "@type", ""), tr_json_text(doc, "@type", "")) == 0 &&
            json_object_get(doc, "xdm:sourceProperty") != NULL &&
            json_equal(json_object_get(other, "xdm:sourceProperty"),
                       json_object_get(doc, "xdm:sourceProperty")))
            code = TR_XDM_FAIL(r, err, DESCRIPTOR,
                               "the field has such a descriptor already: \"%.60s\"",
                               tr_json_text(other, "@id", ""));
        else if (is_primary(doc) && is_primary(other))
            code = TR_XDM_FAIL(r, err, DESCRIPTOR,
                               "the schema has a primary identity already: \"%.60s\"",
                               tr_json_text(other, "@id", ""));
    }
    json_decref(others);
    return code;
}

static tr_code check(tr_registry_call *r, json_t *doc, const char *own_id, tr_err *err)
{
    const descriptor_type *type = type_of(doc);
    if (type == NULL)
        return TR_XDM_FAIL(r, err, DESCRIPTOR,
                           "\"@type\" names no known type of descriptor: \"%.100s\"",
                           tr_json_text(doc, "@type", ""));
    TR_TRY(check_source(r, doc, type, err));
    if (is_identity(doc))
        TR_TRY(check_identity(r, doc, err));
    if (type->has_destination && json_object_get(doc, "xdm:destinationSchema") != NULL)
        TR_TRY(check_destination(r, doc, err));
    else if (type->has_destination && strcmp(type->name, "xdm:descriptorOneToOne") != 0)
        return TR_XDM_FAIL(r, err, DESCRIPTOR, "\"xdm:destinationSchema\" is missing");
    if (strcmp(type->name, "xdm:alternateDisplayInfo") == 0)
        TR_TRY(check_display(r, doc, err));
    return check_others(r, doc, own_id, err);
}

/* The members the server decides. before NULL: new. */
static tr_code papers(tr_registry_call *r, json_t *doc, const char *id, const json_t *before,
                      tr_err *err)
{
    const tr_tenant *tenant = r->registry.tenant;
    const json_int_t now = (json_int_t)tr_time_now_ms();
    const json_int_t created = (json_int_t)tr_json_int(before, "created", (int64_t)now);
    const char *client = r->call->client_id;
    const char *creator = tr_json_text(before, "createdUser", client);
    json_t *ours = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:{s:I, s:I, s:s, s:s}}", "@id",
        id, "version", "1", "imsOrg", tenant->org, "meta:containerId", "tenant", "meta:sandboxId",
        tenant->sandbox_id, "meta:sandboxType", tenant->sandbox_type, "createdUser", creator,
        "createdClient", creator, "updatedUser", client, "created", created, "updated", now,
        "meta:registryMetadata", "repo:createdDate", created, "repo:lastModifiedDate", now,
        "xdm:createdClientId", creator, "xdm:lastModifiedClientId", client);
    if (json_object_get(doc, "xdm:sourceVersion") == NULL)
        (void)json_object_set_new(doc, "xdm:sourceVersion", json_integer(1));
    const int bad = ours == NULL || json_object_update(doc, ours) != 0;
    json_decref(ours);
    return bad ? no_memory(err) : TR_OK;
}

static void fill_object(const json_t *doc, tr_object *out)
{
    (void)snprintf(out->id, sizeof out->id, "%s", tr_json_text(doc, "@id", ""));
    (void)snprintf(out->parent, sizeof out->parent, "%s",
                   tr_json_text(doc, "xdm:sourceSchema", ""));
    (void)snprintf(out->state, sizeof out->state, "%s", tr_json_text(doc, "@type", ""));
    out->doc = (json_t *)(uintptr_t)doc;
}

static tr_code read_body(tr_registry_call *r, json_t **out, tr_err *err)
{
    const json_t *body;
    TR_TRY(tr_call_json(r->call, &body, err));
    if (!json_is_object(body))
        return TR_XDM_FAIL(r, err, DESCRIPTOR, "the request body is not a JSON object");
    json_t *doc = json_deep_copy(body);
    if (doc == NULL)
        return no_memory(err);
    (void)json_object_del(doc, "status");
    *out = doc;
    return TR_OK;
}

static tr_code check_limit(tr_registry_call *r, tr_err *err)
{
    json_t *all = NULL;
    TR_TRY(all_descriptors(r, &all, err));
    const size_t count = json_array_size(all);
    json_decref(all);
    return count < DESCRIPTORS_MAX
               ? TR_OK
               : TR_XDM_FAIL(r, err, DESCRIPTOR, "a sandbox has at most %d descriptors",
                             DESCRIPTORS_MAX);
}

/* Checks it and keeps it, with the members that are the server's. */
static tr_code insert(tr_registry_call *r, json_t *doc, tr_err *err)
{
    const tr_id id = tr_id_hex(40);
    tr_object object = {.state = ""};
    TR_TRY(check_limit(r, err));
    TR_TRY(check(r, doc, "", err));
    TR_TRY(papers(r, doc, id.text, NULL, err));
    fill_object(doc, &object);
    return tr_catalog_insert(r->registry.catalog, r->registry.tenant, "descriptor", &object, err);
}

static tr_code create(tr_registry_call *r, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(read_body(r, &doc, err));
    tr_code code = insert(r, doc, err);
    if (code == TR_OK)
        code = tr_reply_json(r->call, 201, json_incref(doc), err);
    json_decref(doc);
    return code;
}

/* The primary identity of a schema in a union stays what it is. */
static tr_code check_may_change(tr_registry_call *r, const json_t *before, const json_t *after,
                                tr_err *err)
{
    static const char *const parts[] = {"xdm:sourceProperty", "xdm:namespace", "xdm:isPrimary"};
    const json_t *schema;
    const char *id = tr_json_text(before, "xdm:sourceSchema", "");
    bool is_same = after != NULL;
    for (size_t i = 0; i < 3; i++)
        is_same = is_same &&
                  json_equal(json_object_get(before, parts[i]), json_object_get(after, parts[i]));
    if (!is_primary(before) || is_same)
        return TR_OK;
    const tr_code code = tr_registry_lookup(&r->registry, tr_str_of(id), &schema, err);
    if (code == TR_NOT_FOUND)
        return TR_OK;
    TR_TRY(code);
    return tr_registry_has_tag(schema)
               ? TR_XDM_FAIL(r, err, BREAKING,
                             "\"%.200s\" is in a union: its primary identity cannot change", id)
               : TR_OK;
}

static tr_code replace(tr_registry_call *r, tr_err *err)
{
    tr_object before, object = {.state = ""};
    json_t *doc = NULL;
    TR_TRY(get_stored(r, &before, err));
    tr_code code = read_body(r, &doc, err);
    if (code == TR_OK)
        code = check(r, doc, before.id, err);
    if (code == TR_OK &&
        (strcmp(tr_json_text(doc, "@type", ""), tr_json_text(before.doc, "@type", "")) != 0 ||
         strcmp(tr_json_text(doc, "xdm:sourceSchema", ""),
                tr_json_text(before.doc, "xdm:sourceSchema", "")) != 0))
        code = TR_XDM_FAIL(r, err, DESCRIPTOR, "\"@type\" and \"xdm:sourceSchema\" cannot change");
    if (code == TR_OK)
        code = check_may_change(r, before.doc, doc, err);
    if (code == TR_OK)
        code = papers(r, doc, before.id, before.doc, err);
    if (code == TR_OK) {
        fill_object(doc, &object);
        code = tr_catalog_put(r->registry.catalog, r->registry.tenant, "descriptor", &object,
                              before.revision, err);
    }
    if (code == TR_OK)
        code = tr_reply_json(r->call, 200, json_incref(doc), err);
    json_decref(doc);
    tr_object_clear(&before);
    return code;
}

static tr_code delete_one(tr_registry_call *r, tr_err *err)
{
    tr_object before;
    TR_TRY(get_stored(r, &before, err));
    tr_code code = check_may_change(r, before.doc, NULL, err);
    if (code == TR_OK)
        code = tr_catalog_remove(r->registry.catalog, r->registry.tenant, "descriptor", before.id,
                                 err);
    tr_object_clear(&before);
    return code == TR_OK ? tr_reply_empty(r->call, 204, err) : code;
}

tr_code tr_descriptor_add(tr_registry_call *r, json_t *doc, tr_err *err)
{
    tr_registry_write_begin();
    const tr_code code = doc == NULL ? no_memory(err) : insert(r, doc, err);
    tr_registry_write_end(r);
    json_decref(doc);
    return code;
}

tr_code tr_descriptor_remove(tr_registry_call *r, const char *id, tr_err *err)
{
    tr_object before;
    tr_registry_write_begin();
    tr_code code =
        tr_catalog_get(r->registry.catalog, r->registry.tenant, "descriptor", id, &before, err);
    if (code == TR_OK) {
        code = check_may_change(r, before.doc, NULL, err);
        if (code == TR_OK)
            code = tr_catalog_remove(r->registry.catalog, r->registry.tenant, "descriptor", id,
                                     err);
        tr_object_clear(&before);
    }
    tr_registry_write_end(r);
    return code == TR_NOT_FOUND ? TR_OK : code;
}

static tr_code in_turn(tr_registry_call *r, tr_registry_handler write, tr_err *err)
{
    tr_registry_write_begin();
    const tr_code code = write(r, err);
    tr_registry_write_end(r);
    return code;
}

static tr_code do_create(tr_registry_call *r, tr_err *err)
{
    return in_turn(r, create, err);
}

static tr_code do_replace(tr_registry_call *r, tr_err *err)
{
    return in_turn(r, replace, err);
}

static tr_code do_delete(tr_registry_call *r, tr_err *err)
{
    return in_turn(r, delete_one, err);
}

#define ENTRY(name, handler)                                                                       \
    static tr_code name(tr_call *call, tr_err *err)                                                \
    {                                                                                              \
        return tr_registry_run(call, handler, err);                                                \
    }
ENTRY(list_descriptors, do_list)
ENTRY(get_descriptor, do_get)
ENTRY(create_descriptor, do_create)
ENTRY(replace_descriptor, do_replace)
ENTRY(delete_descriptor, do_delete)

const tr_endpoint tr_api_descriptors[] = {
    {"GET", TR_REGISTRY_BASE "/tenant/descriptors", TR_SCOPE_READ, list_descriptors, 0},
    {"GET", TR_REGISTRY_BASE "/global/descriptors", TR_SCOPE_READ, list_descriptors, 0},
    {"GET", TR_REGISTRY_BASE "/tenant/descriptors/{id}", TR_SCOPE_READ, get_descriptor, 0},
    {"GET", TR_REGISTRY_BASE "/global/descriptors/{id}", TR_SCOPE_READ, get_descriptor, 0},
    {"POST", TR_REGISTRY_BASE "/tenant/descriptors", TR_SCOPE_WRITE, create_descriptor, 0},
    {"PUT", TR_REGISTRY_BASE "/tenant/descriptors/{id}", TR_SCOPE_WRITE, replace_descriptor, 0},
    {"DELETE", TR_REGISTRY_BASE "/tenant/descriptors/{id}", TR_SCOPE_WRITE, delete_descriptor, 0},
    {0}};
