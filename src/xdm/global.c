/* SPDX-License-Identifier: Apache-2.0 */
/* global.c - the standard documents, from the compact form that is compiled in.
 *
 * The compact form (one document a line; its words are explained in tools/xdm_compact.py) is turned
 * into registry documents once, at first use, and kept for ever. One document is composed here: the
 * old "everything about a person" schema, which is the profile class with every standard field
 * group made for it.
 */
#include "base/check.h"
#include "xdm/xdm_internal.h"

#include <pthread.h>

extern const unsigned char tr_xdm_global_data[];
extern const size_t tr_xdm_global_data_bytes;

static const char *const kind_words[][2] = {/* compact form, door */
                                            {"class", "classes"},
                                            {"fieldgroup", "fieldgroups"},
                                            {"datatype", "datatypes"},
                                            {"behavior", "behaviors"},
                                            {"schema", "schemas"}};
enum { KIND_COUNT = sizeof kind_words / sizeof kind_words[0] };

static struct {
    json_t *by_id; /* $id and meta:altId -> document */
    json_t *lists[KIND_COUNT];
    bool is_whole;
} library;
static pthread_once_t library_once = PTHREAD_ONCE_INIT;

static json_t *expand_node(const json_t *node);

static json_t *long_id(const char *id)
{
    if (id[0] == '~')
        return json_sprintf("%s%s", TR_XDM_PREFIX, id + 1);
    return id[0] == '#' ? json_sprintf("#/definitions/%s", id + 1) : json_string(id);
}

static json_t *long_ids(const json_t *ids)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(ids); i++)
        (void)json_array_append_new(out, long_id(json_string_value(json_array_get(ids, i))));
    return out;
}

static json_t *expand_all(const json_t *nodes)
{
    const char *name;
    json_t *node;
    json_t *out = json_object();
    json_object_foreach((json_t *)(uintptr_t)nodes, name, node)
        (void)json_object_set_new(out, name, expand_node(node));
    return out;
}

static json_t *labels(const json_t *values)
{
    json_t *out = json_object();
    for (size_t i = 0; i < json_array_size(values); i++)
        if (json_is_string(json_array_get(values, i)))
            (void)json_object_set(out, json_string_value(json_array_get(values, i)),
                                  json_array_get(values, i));
    return out;
}

/* A member of a node in its long form; NULL: it is the type, which the caller has set. */
static json_t *expand_member(const char *key, json_t *value, const char **name)
{
    *name = key;
    if (strcmp(key, "p") == 0)
        *name = "properties";
    else if (strcmp(key, "i") == 0)
        *name = "items";
    else if (strcmp(key, "v") == 0)
        *name = "additionalProperties";
    else if (strcmp(key, "r") == 0)
        *name = "$ref";
    else if (strcmp(key, "known") == 0)
        *name = "meta:enum";
    switch (key[1] == '\0' ? key[0] : strcmp(key, "known") == 0 ? 'k' : '\0') {
    case 't': return NULL;
    case 'p': return expand_all(value);
    case 'i':
    case 'v': return json_is_object(value) ? expand_node(value) : json_incref(value);
    case 'r': return long_id(json_string_value(value));
    case 'k': return labels(value);
    default: return json_incref(value);
    }
}

static json_t *expand_node(const json_t *node)
{
    const char *key, *name;
    json_t *value;
    json_t *out = json_object();
    const char *type = tr_json_text(node, "t", NULL);
    if (type == NULL && json_object_get(node, "p") != NULL)
        type = "object";
    if (type == NULL && json_object_get(node, "r") == NULL &&
        json_object_get(node, "oneOf") == NULL)
        type = "string";
    if (type != NULL)
        (void)json_object_set_new(out, "type", json_string(type));
    json_object_foreach((json_t *)(uintptr_t)node, key, value) {
        json_t *expanded = expand_member(key, value, &name);
        if (expanded != NULL)
            (void)json_object_set_new(out, name, expanded);
    }
    return out;
}

static json_t *expand_parts(const json_t *parts)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(parts); i++)
        (void)json_array_append_new(
            out, json_pack("{s:o}", "$ref", long_id(json_string_value(json_array_get(parts, i)))));
    return out;
}

static const char *resource_type(const char *kind)
{
    if (strcmp(kind, "fieldgroup") == 0)
        return "mixins";
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind_words[i][0], kind) == 0)
            return kind_words[i][1];
    return "datatypes";
}

static json_t *new_document(const char *id, const char *kind, const char *title)
{
    tr_arena arena = {0};
    const tr_str alt_id = tr_xdm_alt_id(&arena, tr_str_of(id));
    json_t *doc = json_pack(
        "{s:s, s:s%, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:{s:s}}", "$id", id,
        "meta:altId", (const char *)alt_id.at, alt_id.len, "meta:resourceType", resource_type(kind),
        "version", TR_XDM_LIBRARY_VERSION, "$schema", "http://json-schema.org/draft-06/schema#",
        "title", title, "description", "", "type", "object", "meta:extensible",
        strcmp(kind, "schema") != 0, "meta:abstract", strcmp(kind, "schema") != 0, "meta:xdmType",
        "object", "meta:registryMetadata", "meta:globalLibVersion", TR_XDM_LIBRARY_VERSION);
    tr_arena_free(&arena);
    return doc;
}

static json_t *expand_document(const json_t *compact)
{
    const char *key;
    json_t *value;
    json_t *id = long_id(tr_json_text(compact, "id", ""));
    json_t *doc = new_document(json_string_value(id), tr_json_text(compact, "kind", ""),
                               tr_json_text(compact, "title", ""));
    json_decref(id);
    json_object_foreach((json_t *)(uintptr_t)compact, key, value) {
        if (strcmp(key, "kind") == 0 || strcmp(key, "id") == 0)
            continue;
        if (strcmp(key, "defs") == 0)
            (void)json_object_set_new(doc, "definitions", expand_all(value));
        else if (strcmp(key, "parts") == 0)
            (void)json_object_set_new(doc, "allOf", expand_parts(value));
        else if (strcmp(key, "p") == 0)
            (void)json_object_set_new(doc, "properties", expand_all(value));
        else if (strcmp(key, "meta:extends") == 0 || strcmp(key, "meta:intendedToExtend") == 0)
            (void)json_object_set_new(doc, key, long_ids(value));
        else
            (void)json_object_set(doc, key, value);
    }
    return doc;
}

/* Takes the document. */
static void keep(const char *kind, json_t *doc)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind_words[i][0], kind) == 0)
            (void)json_array_append(library.lists[i], doc);
    (void)json_object_set(library.by_id, tr_json_text(doc, "$id", ""), doc);
    (void)json_object_set(library.by_id, tr_json_text(doc, "meta:altId", ""), doc);
    json_decref(doc);
}

static bool is_for_profiles(const json_t *group)
{
    const json_t *classes = json_object_get(group, "meta:intendedToExtend");
    if (strcmp(tr_json_text(group, "$id", ""), TR_XDM_PROFILE_GROUP) == 0)
        return false; /* the union's own */
    for (size_t i = 0; i < json_array_size(classes); i++)
        if (strcmp(json_string_value(json_array_get(classes, i)), TR_XDM_PROFILE_CLASS) == 0)
            return true;
    return json_array_size(classes) == 0;
}

/* A group in the old schema, where nobody chose it: so it may not require its own fields. */
static void add_group(json_t *doc, json_t *parts, const json_t *group)
{
    const char *name;
    json_t *definition;
    bool requires = false;
    json_object_foreach(json_object_get(group, "definitions"), name, definition)
    requires = requires || json_object_get(definition, "required") != NULL;
    if (!requires) {
        (void)json_array_append_new(parts,
                                    json_pack("{s:O}", "$ref", json_object_get(group, "$id")));
        return;
    }
    json_object_foreach(json_object_get(group, "definitions"), name, definition) {
        json_t *lifted = json_copy(definition);
        (void)json_object_del(lifted, "required");
        (void)json_object_set_new(json_object_get(doc, "definitions"), name, lifted);
        (void)json_array_append_new(
            parts, json_pack("{s:o}", "$ref", json_sprintf("#/definitions/%s", name)));
    }
}

static json_t *compose_old_profile(void)
{
    const json_t *groups = library.lists[1];
    json_t *doc = new_document(TR_XDM_OLD_PROFILE, "schema", "XDM Individual Profile, all fields");
    json_t *parts = json_pack("[{s:s}]", "$ref", TR_XDM_PROFILE_CLASS);
    json_t *extends =
        json_pack("[s, s]", TR_XDM_PROFILE_CLASS, "https://ns.adobe.com/xdm/data/record");
    (void)json_object_set_new(doc, "definitions", json_object());
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *group = json_array_get(groups, i);
        if (!is_for_profiles(group))
            continue;
        add_group(doc, parts, group);
        (void)json_array_append(extends, json_object_get(group, "$id"));
    }
    (void)json_object_set_new(doc, "allOf", parts);
    (void)json_object_set_new(doc, "meta:extends", extends);
    (void)json_object_set_new(doc, "meta:class", json_string(TR_XDM_PROFILE_CLASS));
    /* What profiles carried before identityMap; clients of that time still send it. */
    (void)json_object_set_new(doc, "properties",
                              json_pack("{s:{s:s, s:s, s:{s:s}}}", "xdm:identities", "type",
                                        "array", "title", "Identities", "items", "$ref",
                                        "https://ns.adobe.com/xdm/context/identity"));
    return doc;
}

/* Takes a tree out of reference counting: threads share it without touching it, and it never dies. */
static void make_immortal(json_t *node)
{
    const char *key;
    json_t *value;
    if (node == NULL || node->refcount == SIZE_MAX)
        return;
    node->refcount = SIZE_MAX;
    json_object_foreach(node, key, value)
        make_immortal(value);
    for (size_t i = 0; i < json_array_size(node); i++)
        make_immortal(json_array_get(node, i));
}

static void load(void)
{
    const unsigned char *at = tr_xdm_global_data;
    const unsigned char *end = at + tr_xdm_global_data_bytes;
    bool is_whole = true;
    library.by_id = json_object();
    for (size_t i = 0; i < KIND_COUNT; i++)
        library.lists[i] = json_array();
    while (at < end && is_whole) {
        const unsigned char *newline = memchr(at, '\n', (size_t)(end - at));
        const size_t len = (size_t)((newline == NULL ? end : newline) - at);
        json_t *compact = NULL;
        is_whole = tr_json_parse((tr_str){at, len}, &compact, NULL) == TR_OK;
        if (is_whole)
            keep(tr_json_text(compact, "kind", ""), expand_document(compact));
        json_decref(compact);
        at += len + 1;
    }
    keep("schema", compose_old_profile());
    make_immortal(library.by_id);
    for (size_t i = 0; i < KIND_COUNT; i++)
        make_immortal(library.lists[i]);
    library.is_whole = is_whole;
}

static tr_code library_load(tr_err *err)
{
    (void)pthread_once(&library_once, load);
    return library.is_whole
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "the standard schemas could not be loaded");
}

tr_code tr_xdm_global_find(tr_str id, const json_t **doc, tr_err *err)
{
    TR_TRY(library_load(err));
    const json_t *found = json_object_getn(library.by_id, (const char *)id.at, id.len);
    if (found == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "no schema resource with id \"%.*s\"", TR_STR_ARG(id));
    *doc = found;
    return TR_OK;
}

tr_code tr_xdm_global_list(const char *kind, const json_t **out, tr_err *err)
{
    TR_TRY(library_load(err));
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kind_words[i][1], kind) == 0) {
            *out = library.lists[i];
            return TR_OK;
        }
    return TR_FAIL(err, TR_NOT_FOUND, "no standard resources of type \"%s\"", kind);
}
