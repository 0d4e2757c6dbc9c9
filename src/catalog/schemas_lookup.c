/* SPDX-License-Identifier: Apache-2.0 */
/* schemas_lookup.c - a tenant's XDM documents by id, and unions composed of them; see schemas.h. */
#include "catalog/schemas.h"
#include "catalog/namespaces.h"

#include <stdio.h>

#define NS_PREFIX "https://ns.adobe.com/"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the schema registry");
}

static bool ends_with(tr_str s, const char *end)
{
    const size_t len = strlen(end);
    return s.len >= len && memcmp(s.at + s.len - len, end, len) == 0;
}

/* "_acme.schemas.1" -> "https://ns.adobe.com/acme/schemas/1"; false: too long. */
static bool to_long_id(tr_str id, char *out, size_t size)
{
    const bool is_short = id.len > 1 && id.at[0] == '_';
    const size_t prefix = is_short ? strlen(NS_PREFIX) : 0;
    if (prefix + id.len + 1 > size)
        return false;
    memcpy(out, NS_PREFIX, prefix);
    for (size_t i = is_short ? 1 : 0, to = prefix; i <= id.len; i++, to++) {
        const char byte = i == id.len ? '\0' : (char)id.at[i];
        out[to] = is_short && byte == '.' ? '/' : byte;
    }
    return true;
}

const char *tr_registry_kind(tr_str id, char *id_out, size_t size)
{
    static const char *const kinds[][2] = {{"/schemas/", "schema"},
                                           {"/classes/", "class"},
                                           {"/mixins/", "fieldgroup"},
                                           {"/datatypes/", "datatype"}};
    if (!to_long_id(id, id_out, size) || strncmp(id_out, NS_PREFIX, strlen(NS_PREFIX)) != 0)
        return NULL;
    const char *behind_tenant = strchr(id_out + strlen(NS_PREFIX), '/');
    for (size_t i = 0; behind_tenant != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(behind_tenant, kinds[i][0], strlen(kinds[i][0])) == 0)
            return kinds[i][1];
    return NULL;
}

/* Keeps a document alive until the registry is done; takes it. */
static tr_code hold(tr_registry *registry, const char *id, json_t *doc, const json_t **out,
                    tr_err *err)
{
    if (registry->held == NULL)
        registry->held = json_object();
    if (json_object_get(registry->held, id) != NULL) {
        json_decref(doc); /* somebody may be reading the one that is held */
        *out = json_object_get(registry->held, id);
        return TR_OK;
    }
    if (json_object_set_new(registry->held, id, doc) != 0)
        return no_memory(err);
    *out = json_object_get(registry->held, id);
    return TR_OK;
}

static tr_code add_document(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append(ctx, object->doc) == 0 ? TR_OK : no_memory(err);
}

static bool has_text(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *entry = json_string_value(json_array_get(list, i));
        if (entry != NULL && strcmp(entry, text) == 0)
            return true;
    }
    return false;
}

static tr_code add_if_tagged(void *ctx, const tr_object *object, tr_err *err)
{
    return has_text(json_object_get(object->doc, "meta:immutableTags"), "union")
               ? add_document(ctx, object, err)
               : TR_OK;
}

tr_code tr_registry_union_members(tr_registry *registry, const char *class_id, json_t **out,
                                  tr_err *err)
{
    const tr_catalog_filter filter = {.parent = class_id};
    json_t *found = json_array();
    if (found == NULL)
        return no_memory(err);
    const tr_code code = tr_catalog_list(registry->catalog, registry->tenant, "schema", &filter,
                                         add_if_tagged, found, err);
    if (code != TR_OK) {
        json_decref(found);
        return code;
    }
    *out = found;
    return TR_OK;
}

/* Adds {"$ref": id} and the id itself, once. */
static bool add_part(json_t *parts, json_t *extends, const char *id)
{
    if (has_text(extends, id))
        return true;
    return json_array_append_new(extends, json_string(id)) == 0 &&
           json_array_append_new(parts, json_pack("{s:s}", "$ref", id)) == 0;
}

/* The groups of a member; the member itself when it has fields of its own. */
static bool add_member(json_t *parts, json_t *extends, const json_t *member)
{
    const json_t *all_of = json_object_get(member, "allOf");
    bool is_good = true;
    bool has_own = json_object_size(json_object_get(member, "properties")) > 0;
    for (size_t i = 0; i < json_array_size(all_of) && is_good; i++) {
        const char *ref = tr_json_text(json_array_get(all_of, i), "$ref", "#");
        has_own = has_own || strchr(ref, '#') != NULL;
        is_good = strchr(ref, '#') != NULL || add_part(parts, extends, ref);
    }
    const char *id = tr_json_text(member, "$id", "");
    if (is_good && has_own)
        return add_part(parts, extends, id);
    return is_good && json_array_append_new(extends, json_string(id)) == 0;
}

static json_t *union_paper(const tr_registry *registry, const char *id, const json_t *of_class)
{
    tr_arena arena = {0};
    const tr_str alt_id = tr_xdm_alt_id(&arena, tr_str_of(id));
    const tr_tenant *tenant = registry->tenant;
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s}}", "$id", id,
        "meta:altId", alt_id.at == NULL ? "" : (const char *)alt_id.at, "meta:resourceType",
        "unions", "version", "1.0", "title", tr_json_text(of_class, "title", "Union"), "type",
        "object", "description", "Every field of the Profile-enabled schemas of this class",
        "imsOrg", tenant->org, "meta:class", tr_json_text(of_class, "$id", ""), "meta:containerId",
        "tenant", "meta:sandboxId", tenant->sandbox_id, "meta:sandboxType", tenant->sandbox_type,
        "meta:registryMetadata", "meta:globalLibVersion", TR_XDM_LIBRARY_VERSION);
    tr_arena_free(&arena);
    (void)json_object_set_new(doc, "meta:xdmType", json_string("object"));
    return doc;
}

/* What every union has by itself: the identity map; for profiles segments and events as well. */
static bool add_standard_parts(json_t *doc, json_t *parts, json_t *extends, bool is_profile)
{
    if (!add_part(parts, extends, TR_XDM_IDENTITY_MAP_GROUP))
        return false;
    if (!is_profile)
        return true;
    return add_part(parts, extends, NS_PREFIX "xdm/context/profile-segmentation") &&
           add_part(parts, extends, TR_XDM_PROFILE_GROUP) &&
           json_object_set_new(doc, "properties",
                               json_pack("{s:{s:s, s:{s:s}}}", "xdm:timeSeriesEvents", "type",
                                         "array", "items", "$ref",
                                         TR_XDM_EVENT_CLASS TR_XDM_UNION_SUFFIX)) == 0;
}

static tr_code compose_union(tr_registry *registry, const char *id, const json_t *of_class,
                             json_t **out, tr_err *err)
{
    const char *class_id = tr_json_text(of_class, "$id", "");
    const json_t *inherited = json_object_get(of_class, "meta:extends");
    json_t *members = NULL;
    TR_TRY(tr_registry_union_members(registry, class_id, &members, err));
    json_t *doc = union_paper(registry, id, of_class);
    json_t *parts = json_array(), *extends = json_array();
    bool is_good = add_part(parts, extends, class_id);
    for (size_t i = 0; i < json_array_size(inherited) && is_good; i++)
        is_good = json_array_append(extends, json_array_get(inherited, i)) == 0;
    for (size_t i = 0; i < json_array_size(members) && is_good; i++)
        is_good = add_member(parts, extends, json_array_get(members, i));
    if (is_good)
        is_good =
            add_standard_parts(doc, parts, extends, strcmp(class_id, TR_XDM_PROFILE_CLASS) == 0);
    is_good = json_object_set_new(doc, "allOf", parts) == 0 && is_good;
    is_good = json_object_set_new(doc, "meta:extends", extends) == 0 && is_good;
    json_decref(members);
    if (!is_good) {
        json_decref(doc);
        return no_memory(err);
    }
    *out = doc;
    return TR_OK;
}

static tr_code not_found(tr_str id, tr_err *err)
{
    return TR_FAIL(err, TR_NOT_FOUND, "no schema resource with id \"%.*s\"", TR_STR_ARG(id));
}

static tr_code lookup_union(tr_registry *registry, tr_str id, const json_t **doc, tr_err *err)
{
    const size_t suffix = strlen(TR_XDM_UNION_SUFFIX);
    const json_t *of_class;
    char text[300];
    json_t *composed = NULL;
    if (id.len - suffix + sizeof TR_XDM_UNION_SUFFIX > sizeof text)
        return not_found(id, err);
    const tr_code code =
        tr_registry_lookup(registry, (tr_str){id.at, id.len - suffix}, &of_class, err);
    if (code == TR_NOT_FOUND ||
        (code == TR_OK && strcmp(tr_json_text(of_class, "meta:resourceType", ""), "classes") != 0))
        return not_found(id, err);
    TR_TRY(code);
    (void)snprintf(text, sizeof text, "%.240s%s", tr_json_text(of_class, "$id", ""),
                   TR_XDM_UNION_SUFFIX);
    TR_TRY(compose_union(registry, text, of_class, &composed, err));
    return hold(registry, text, composed, doc, err);
}

tr_code tr_registry_lookup(void *ctx, tr_str id, const json_t **doc, tr_err *err)
{
    tr_registry *registry = ctx;
    char long_id[256];
    tr_object object;
    const json_t *held = json_object_getn(registry->held, (const char *)id.at, id.len);
    if (held != NULL) {
        *doc = held;
        return TR_OK;
    }
    if (ends_with(id, TR_XDM_UNION_SUFFIX))
        return lookup_union(registry, id, doc, err);
    if (tr_xdm_global_find(id, doc, err) == TR_OK)
        return TR_OK;
    const char *kind = tr_registry_kind(id, long_id, sizeof long_id);
    if (kind == NULL)
        return not_found(id, err);
    if (json_object_get(registry->held, long_id) != NULL) {
        *doc = json_object_get(registry->held, long_id);
        return TR_OK;
    }
    const tr_code code =
        tr_catalog_get(registry->catalog, registry->tenant, kind, long_id, &object, err);
    if (code == TR_NOT_FOUND)
        return not_found(id, err);
    TR_TRY(code);
    return hold(registry, long_id, object.doc, doc, err);
}

tr_code tr_registry_namespace(tr_registry *registry, const char *namespace, char *out, size_t size,
                              tr_err *err)
{
    json_t *known = NULL;
    const tr_code code = tr_namespace_get(registry->catalog, registry->tenant->org,
                                          tr_str_of(namespace), &known, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    (void)snprintf(out, size, "%s", tr_json_text(known, "code", namespace));
    json_decref(known);
    return TR_OK;
}
