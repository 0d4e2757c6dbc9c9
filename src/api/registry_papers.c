/* SPDX-License-Identifier: Apache-2.0 */
/* registry_papers.c - the members of a resource that the server decides, not the client. */
#include "api/registry_internal.h"
#include "codec/hash.h"

#include <stdio.h>
#include <stdlib.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to complete a schema resource");
}

/* Adds what a document inherits, directly or not; what does not exist is reported by the checks. */
static void add_extends(tr_registry_call *r, const json_t *doc, uint32_t depth, json_t *list)
{
    const json_t *parts = json_object_get(doc, "allOf");
    for (size_t i = 0; i < json_array_size(parts) && depth < 16; i++) {
        const char *ref = tr_json_text(json_array_get(parts, i), "$ref", "#");
        const size_t len = strcspn(ref, "#%");
        const json_t *target;
        json_t *id = json_stringn(ref, len);
        const bool is_new =
            len > 0 && ref[len] != '%' && !tr_registry_lists(list, json_string_value(id));
        if (is_new)
            (void)json_array_append(list, id);
        if (is_new && tr_registry_lookup(&r->registry, tr_str_of(json_string_value(id)), &target,
                                         NULL) == TR_OK)
            add_extends(r, target, depth + 1, list);
        json_decref(id);
    }
}

static void add_refs(const json_t *node, json_t *list)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)node, key, value) {
        const char *ref = strcmp(key, "$ref") == 0 ? json_string_value(value) : NULL;
        if (ref != NULL && ref[0] != '#' && !tr_registry_lists(list, ref))
            (void)json_array_append(list, value);
        add_refs(value, list);
    }
    for (size_t i = 0; i < json_array_size(node); i++)
        add_refs(json_array_get(node, i), list);
}

/* Clients write {"type": {"type": "object"}} and refer to resources by their alt ids. */
static void tidy_node(tr_registry_call *r, json_t *node)
{
    const char *key;
    json_t *value;
    void *tmp;
    const json_t *target;
    const char *inner = tr_json_text(json_object_get(node, "type"), "type", NULL);
    const char *ref = tr_json_text(node, "$ref", NULL);
    if (inner != NULL)
        (void)json_object_set_new(node, "type", json_string(inner));
    if (ref != NULL && ref[0] == '_' &&
        tr_registry_lookup(&r->registry, tr_str_of(ref), &target, NULL) == TR_OK)
        (void)json_object_set(node, "$ref", json_object_get(target, "$id"));
    json_object_foreach_safe(node, tmp, key, value)
        tidy_node(r, value);
    for (size_t i = 0; i < json_array_size(node); i++)
        tidy_node(r, json_array_get(node, i));
}

/* The class of a schema: the first part that is one; NULL: none. */
static const json_t *class_of(tr_registry_call *r, const json_t *doc)
{
    const json_t *parts = json_object_get(doc, "allOf");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *target;
        const char *ref = tr_json_text(json_array_get(parts, i), "$ref", "#");
        if (ref[0] != '#' &&
            tr_registry_lookup(&r->registry, tr_str_of(ref), &target, NULL) == TR_OK &&
            strcmp(tr_json_text(target, "meta:resourceType", ""), "classes") == 0)
            return target;
    }
    return NULL;
}

static void set_class(tr_registry_call *r, json_t *doc)
{
    const json_t *of_class = class_of(r, doc);
    const char *adhoc = tr_json_text(of_class, "meta:datasetNamespace", NULL);
    (void)json_object_del(doc, "meta:class");
    if (of_class != NULL)
        (void)json_object_set(doc, "meta:class", json_object_get(of_class, "$id"));
    else if (tr_json_text(doc, "meta:behaviorType", NULL) != NULL)
        (void)json_object_set_new(doc, "meta:class",
                                  json_string("https://ns.adobe.com/xdm/data/adhoc-v2"));
    if (adhoc != NULL)
        (void)json_object_set_new(doc, "meta:datasetNamespace", json_string(adhoc));
}

/* The fields of an ad-hoc class live under a name that no other class has. */
static void rename_adhoc(json_t *doc, const char *id)
{
    json_t *properties = json_object_get(doc, "properties");
    json_t *fields = json_object_get(properties, "_adhoc");
    const char *hash = strrchr(id, '/');
    if (fields == NULL || hash == NULL)
        return;
    json_t *name = json_sprintf("_%s", hash + 1);
    (void)json_object_set(properties, json_string_value(name), fields);
    (void)json_object_del(properties, "_adhoc");
    (void)json_object_set_new(doc, "meta:datasetNamespace", name);
}

/* "1.0", then "1.1" ... */
static json_t *next_version(const json_t *before)
{
    const char *version = tr_json_text(before, "version", "1.0");
    const char *dot = strchr(version, '.');
    if (before == NULL || dot == NULL)
        return json_string("1.0");
    return json_sprintf("1.%d", atoi(dot + 1) + 1); /* tidy: our own text */
}

static void merge_tags(json_t *doc, const json_t *before)
{
    const json_t *kept = json_object_get(before, "meta:immutableTags");
    json_t *tags = json_object_get(doc, "meta:immutableTags");
    if (json_is_string(tags))
        (void)json_object_set_new(doc, "meta:immutableTags", json_pack("[O]", tags));
    if (json_array_size(kept) == 0)
        return;
    json_t *merged = json_copy((json_t *)(uintptr_t)kept);
    tags = json_object_get(doc, "meta:immutableTags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        if (tag != NULL && !tr_registry_lists(merged, tag))
            (void)json_array_append(merged, json_array_get(tags, i));
    }
    (void)json_object_set_new(doc, "meta:immutableTags", merged);
}

static tr_code add_etag(json_t *doc, json_t *metadata, tr_err *err)
{
    tr_buf text = {0};
    uint8_t hash[32];
    char hex[65];
    const tr_code code = tr_json_write(doc, &text, err);
    if (code == TR_OK) {
        tr_sha256(tr_buf_str(&text), hash);
        for (size_t i = 0; i < sizeof hash; i++)
            (void)snprintf(hex + 2 * i, 3, "%02x", hash[i]);
        (void)json_object_set_new(metadata, "eTag", json_string(hex));
    }
    tr_buf_free(&text);
    return code;
}

static tr_code add_metadata(tr_registry_call *r, json_t *doc, const json_t *before, tr_err *err)
{
    const json_t *old = json_object_get(before, "meta:registryMetadata");
    const int64_t now = tr_time_now_ms();
    const char *client = r->call->client_id;
    (void)json_object_del(doc, "meta:registryMetadata");
    json_t *metadata = json_pack(
        "{s:I, s:I, s:s, s:s, s:s, s:s, s:s}", "repo:createdDate",
        (json_int_t)tr_json_int(old, "repo:createdDate", now), "repo:lastModifiedDate",
        (json_int_t)now, "xdm:createdClientId", tr_json_text(old, "xdm:createdClientId", client),
        "xdm:lastModifiedClientId", client, "xdm:createdUserId",
        tr_json_text(old, "xdm:createdUserId", client), "xdm:lastModifiedUserId", client,
        "meta:globalLibVersion", TR_XDM_LIBRARY_VERSION);
    if (metadata == NULL)
        return no_memory(err);
    const tr_code code = add_etag(doc, metadata, err);
    if (code != TR_OK) {
        json_decref(metadata);
        return code;
    }
    return json_object_set_new(doc, "meta:registryMetadata", metadata) == 0 ? TR_OK
                                                                            : no_memory(err);
}

static bool set_texts(tr_registry_call *r, json_t *doc, const char *id, const char *alt_id)
{
    const tr_tenant *tenant = r->registry.tenant;
    int bad = json_object_set_new(doc, "$id", json_string(id));
    bad |= json_object_set_new(doc, "meta:altId", json_string(alt_id));
    bad |= json_object_set_new(doc, "imsOrg", json_string(tenant->org));
    bad |= json_object_set_new(doc, "meta:containerId", json_string("tenant"));
    bad |= json_object_set_new(doc, "meta:sandboxId", json_string(tenant->sandbox_id));
    bad |= json_object_set_new(doc, "meta:sandboxType", json_string(tenant->sandbox_type));
    bad |=
        json_object_set_new(doc, "meta:tenantNamespace", json_sprintf("_%s", tenant->tenant_name));
    if (!json_is_string(json_object_get(doc, "description")))
        bad |= json_object_set_new(doc, "description", json_string(""));
    if (json_object_get(doc, "type") == NULL)
        bad |= json_object_set_new(doc, "type", json_string("object"));
    bad |=
        json_object_set_new(doc, "meta:xdmType", json_string(tr_json_text(doc, "type", "object")));
    return bad == 0;
}

tr_code tr_registry_papers(tr_registry_call *r, json_t *doc, const json_t *before, const char *id,
                           tr_err *err)
{
    tr_arena arena = {0};
    const bool is_schema = strcmp(tr_json_text(doc, "meta:resourceType", ""), "schemas") == 0;
    const tr_str alt_id = tr_xdm_alt_id(&arena, tr_str_of(id));
    const bool is_good = alt_id.at != NULL && set_texts(r, doc, id, (const char *)alt_id.at);
    tr_arena_free(&arena);
    if (!is_good)
        return no_memory(err);
    tidy_node(r, json_object_get(doc, "properties"));
    tidy_node(r, json_object_get(doc, "definitions"));
    tidy_node(r, json_object_get(doc, "allOf"));
    tidy_node(r, json_object_get(doc, "items"));
    rename_adhoc(doc, id);
    merge_tags(doc, before);
    if (is_schema)
        set_class(r, doc);
    json_t *extends = json_array(), *refs = json_array();
    add_extends(r, doc, 0, extends);
    const char *of_class = tr_json_text(doc, "meta:class", NULL);
    if (is_schema && of_class != NULL && !tr_registry_lists(extends, of_class))
        (void)json_array_append_new(extends, json_string(of_class));
    add_refs(doc, refs);
    int bad = json_object_set_new(doc, "meta:extends", extends);
    bad |= json_object_set_new(doc, "refs", refs);
    bad |= json_object_set_new(doc, "meta:extensible", json_boolean(!is_schema));
    bad |= json_object_set_new(doc, "meta:abstract", json_boolean(!is_schema));
    bad |= json_object_set_new(doc, "version", next_version(before));
    return bad == 0 ? add_metadata(r, doc, before, err) : no_memory(err);
}
