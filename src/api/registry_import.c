/* SPDX-License-Identifier: Apache-2.0 */
/* registry_import.c - resources of one tenant taken to another.
 *
 * An export is an array of documents, what is referred to before what refers to it. The tenant's
 * name in ids and field names is a placeholder there, which an import replaces by its own tenant's
 * name.
 */
#include "api/registry_internal.h"

#include <stdio.h>

#define PLACEHOLDER "<XDM_TENANTID_PLACEHOLDER>"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to export or import schema resources");
}

/* Whether a tenant's name may stand here: not inside a longer word. */
static bool ends_word(char byte)
{
    return byte == '\0' || byte == '/' || byte == '.' || byte == ':';
}

/* The text with the tenant's name behind `lead` replaced by `to`, or as it is. */
static json_t *swap_text(const char *text, const char *from, const char *to)
{
    static const char *const leads[] = {"https://ns.adobe.com/", "_"};
    const size_t from_len = strlen(from);
    if (from[0] == '<') { /* the placeholder: wherever it stands */
        const char *at = strstr(text, from);
        return at == NULL ? json_string(text)
                          : json_sprintf("%.*s%s%s", (int)(at - text), text, to, at + from_len);
    }
    for (size_t i = 0; i < 2; i++) {
        const size_t lead = strlen(leads[i]);
        if (strncmp(text, leads[i], lead) == 0 && strncmp(text + lead, from, from_len) == 0 &&
            ends_word(text[lead + from_len]))
            return json_sprintf("%s%s%s", leads[i], to, text + lead + from_len);
    }
    /* JSON pointers of a path kind: "/_acme/loyalty" */
    if (text[0] == '/' && text[1] == '_' && strncmp(text + 2, from, from_len) == 0 &&
        ends_word(text[2 + from_len]))
        return json_sprintf("/_%s%s", to, text + 2 + from_len);
    return json_string(text);
}

/* A copy with the tenant's name exchanged in every key and string. */
static json_t *swap_tenant(const json_t *node, const char *from, const char *to)
{
    const char *key;
    json_t *value;
    if (json_is_string(node))
        return swap_text(json_string_value(node), from, to);
    if (json_is_array(node)) {
        json_t *list = json_array();
        for (size_t i = 0; i < json_array_size(node); i++)
            (void)json_array_append_new(list, swap_tenant(json_array_get(node, i), from, to));
        return list;
    }
    if (!json_is_object(node))
        return json_incref((json_t *)(uintptr_t)node);
    json_t *object = json_object();
    json_object_foreach((json_t *)(uintptr_t)node, key, value) {
        json_t *name = swap_text(key, from, to);
        if (name != NULL)
            (void)json_object_set_new(object, json_string_value(name),
                                      swap_tenant(value, from, to));
        json_decref(name);
    }
    return object;
}

/* Appends what a document refers to, then the document; *seen holds the ids that are there. */
static tr_code add_with_needs(tr_registry_call *r, const json_t *doc, uint32_t depth, json_t *seen,
                              json_t *out, tr_err *err)
{
    const json_t *refs = json_object_get(doc, "refs");
    const char *id = tr_json_text(doc, "$id", "");
    if (strcmp(tr_json_text(doc, "meta:containerId", ""), "tenant") != 0 ||
        tr_registry_lists(seen, id) || depth > 32)
        return TR_OK;
    (void)json_array_append_new(seen, json_string(id));
    for (size_t i = 0; i < json_array_size(refs); i++) {
        const json_t *target;
        const char *ref = json_string_value(json_array_get(refs, i));
        const tr_str target_id = {(const uint8_t *)ref, strcspn(ref, "#")};
        if (tr_registry_lookup(&r->registry, target_id, &target, NULL) == TR_OK)
            TR_TRY(add_with_needs(r, target, depth + 1, seen, out, err));
    }
    return json_array_append(out, (json_t *)(uintptr_t)doc) == 0 ? TR_OK : no_memory(err);
}

static json_t *without_papers(const json_t *doc)
{
    static const char *const ours[] = {"imsOrg",
                                       "meta:registryMetadata",
                                       "meta:containerId",
                                       "meta:tenantNamespace",
                                       "meta:immutableTags",
                                       "refs"};
    json_t *copy = json_copy((json_t *)(uintptr_t)doc);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        (void)json_object_del(copy, ours[i]);
    return copy;
}

tr_code tr_registry_export(tr_registry_call *r, tr_err *err)
{
    const json_t *doc;
    TR_TRY(tr_registry_lookup(&r->registry, r->call->request->segments[5], &doc, err));
    json_t *seen = json_array(), *found = json_array(), *out = json_array();
    const tr_code code = add_with_needs(r, doc, 0, seen, found, err);
    for (size_t i = 0; i < json_array_size(found); i++) {
        json_t *plain = without_papers(json_array_get(found, i));
        (void)json_array_append_new(
            out, swap_tenant(plain, r->registry.tenant->tenant_name, PLACEHOLDER));
        json_decref(plain);
    }
    json_decref(seen);
    json_decref(found);
    if (code != TR_OK) {
        json_decref(out);
        return code;
    }
    return tr_reply_json(r->call, 200, out, err);
}

static tr_code import_one(tr_registry_call *r, const json_t *sent, json_t *created, tr_err *err)
{
    const json_t *taken;
    char id[256];
    json_t *doc = swap_tenant(sent, PLACEHOLDER, r->registry.tenant->tenant_name);
    const char *sent_id = tr_json_text(doc, "$id", "");
    const char *kind = tr_registry_kind(tr_str_of(sent_id), id, sizeof id);
    json_t *version = json_incref(json_object_get(doc, "version"));
    tr_code code = TR_OK;
    (void)json_object_del(doc, "meta:immutableTags");
    r->of = tr_kind_of_resource_type(tr_json_text(doc, "meta:resourceType", ""));
    if (r->of == NULL || kind == NULL || r->of->kind == NULL || strcmp(kind, r->of->kind) != 0)
        code = TR_XDM_FAIL(r, err, IMPORT,
                           "\"%.200s\" is not the $id of a resource that can be imported", sent_id);
    else if (tr_registry_lookup(&r->registry, tr_str_of(id), &taken, NULL) == TR_OK)
        code = TR_XDM_FAIL(r, err, IMPORT, "a resource with $id \"%.200s\" exists", id);
    if (code == TR_OK)
        code = tr_registry_papers(r, doc, NULL, id, err);
    if (code == TR_OK && json_is_string(version))
        (void)json_object_set(doc, "version", version);
    if (code == TR_OK)
        code = tr_registry_check(r, doc, err);
    if (code == TR_INVALID && r->error == TR_XDM_TITLE)
        r->error = TR_XDM_IMPORT;
    if (code == TR_OK)
        code = tr_registry_commit(r, doc, 0, "add", json_incref(doc), err);
    if (code == TR_OK && json_array_append(created, doc) != 0)
        code = no_memory(err);
    json_decref(version);
    json_decref(doc);
    return code;
}

static tr_code import_all(tr_registry_call *r, const json_t *body, json_t *created, tr_err *err)
{
    tr_catalog *catalog = r->registry.catalog;
    tr_code code = tr_catalog_begin(catalog, err);
    if (code != TR_OK)
        return code;
    for (size_t i = 0; i < json_array_size(body) && code == TR_OK; i++)
        code = import_one(r, json_array_get(body, i), created, err);
    return tr_catalog_end(catalog, code, err);
}

tr_code tr_registry_import(tr_registry_call *r, tr_err *err)
{
    const json_t *body;
    TR_TRY(tr_call_json(r->call, &body, err));
    if (!json_is_array(body))
        return TR_XDM_FAIL(r, err, BODY, "the request body is not an array of resources");
    json_t *created = json_array();
    tr_registry_write_begin();
    const tr_code code = import_all(r, body, created, err);
    tr_registry_write_end(r);
    if (code != TR_OK) {
        json_decref(created);
        return code;
    }
    return tr_reply_json(r->call, 200, created, err);
}
