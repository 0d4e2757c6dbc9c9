/* SPDX-License-Identifier: Apache-2.0 */
/* registry_accept.c - the Accept header of the Schema Registry, and documents as it asks for them.
 *
 *     application/vnd.adobe.{xed|xdm}[-<modifier> ...]+json[; version=1]
 *     modifiers: id full notext desc deprecatefield deprecated flat; of descriptors: v2 link
 *
 * Lenient where clients are known to differ from the book: a list may carry a version, a lookup may
 * lack it, and no header, "application/json" or "*" mean xed.
 */
#include "api/registry_internal.h"
#include "base/limits.h"

#include <stdio.h>
#include <stdlib.h>

#define VENDOR "application/vnd.adobe."

typedef struct modifier {
    const char *word;
    size_t offset; /* of the flag in tr_accept */
} modifier;

static const modifier modifiers[] = {{"id", offsetof(tr_accept, is_id)},
                                     {"full", offsetof(tr_accept, is_full)},
                                     {"notext", offsetof(tr_accept, has_no_text)},
                                     {"desc", offsetof(tr_accept, has_descriptors)},
                                     {"deprecatefield", offsetof(tr_accept, has_deprecated)},
                                     {"deprecated", offsetof(tr_accept, has_deprecated)},
                                     {"flat", offsetof(tr_accept, is_flat)},
                                     {"link", offsetof(tr_accept, is_link)},
                                     {"v2", offsetof(tr_accept, is_v2)}};

static bool set_modifier(tr_accept *accept, const char *word, size_t len)
{
    for (size_t i = 0; i < sizeof modifiers / sizeof modifiers[0]; i++)
        if (strlen(modifiers[i].word) == len && memcmp(word, modifiers[i].word, len) == 0) {
            *(bool *)((char *)accept + modifiers[i].offset) = true;
            return true;
        }
    return false;
}

/* Reads "xed-full-notext+json"; false: not understood. */
static bool read_type(const char *text, tr_accept *accept)
{
    const char *plus = strstr(text, "+json");
    if (plus == NULL || (strncmp(text, "xed", 3) != 0 && strncmp(text, "xdm", 3) != 0))
        return false;
    accept->is_standard = text[2] == 'm';
    for (const char *at = text + 3; at < plus;) {
        if (*at != '-')
            return false;
        const size_t len = strcspn(at + 1, "-+");
        if (!set_modifier(accept, at + 1, len))
            return false;
        at += 1 + len;
    }
    return true;
}

static tr_code check_version(tr_registry_call *r, const char *text, tr_accept *accept, tr_err *err)
{
    const char *version = strstr(text, "version=");
    const char *next = strchr(text, ',');
    if (version == NULL || (next != NULL && version > next))
        return TR_OK;
    accept->version = atoi(version + strlen("version=")); /* tidy: all but 1 is refused */
    return accept->version == 1
               ? TR_OK
               : TR_XDM_FAIL(r, err, VERSION, "only version 1 of a resource exists");
}

tr_code tr_accept_read(tr_registry_call *r, tr_xdm_error error, tr_accept *out, tr_err *err)
{
    tr_accept accept = {0};
    const tr_str header = tr_http_header(r->call->request, "accept");
    const char *text = header.at == NULL ? "*/*" : tr_arena_text(r->call->request->arena, header);
    if (text == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read the Accept header");
    const char *vendor = strstr(text, VENDOR);
    if (vendor == NULL &&
        (strstr(text, "*/*") != NULL || strstr(text, "application/json") != NULL ||
         strstr(text, "application/*") != NULL)) {
        *out = accept;
        return TR_OK;
    }
    if (vendor == NULL || !read_type(vendor + strlen(VENDOR), &accept)) {
        r->error = error;
        return TR_FAIL(
            err, TR_INVALID,
            "the Accept header \"%.200s\" is not one of application/vnd.adobe.xed+json, "
            "-id, -full, -notext, -full-notext, -full-desc, -deprecatefield and their xdm twins",
            text);
    }
    TR_TRY(check_version(r, vendor, &accept, err));
    *out = accept;
    return TR_OK;
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to show a schema resource");
}

tr_code tr_registry_reply(tr_registry_call *r, int status, const tr_accept *accept, json_t *body,
                          tr_err *err)
{
    char text[160];
    size_t used =
        (size_t)snprintf(text, sizeof text, VENDOR "%s", accept->is_standard ? "xdm" : "xed");
    for (size_t i = 0; i < sizeof modifiers / sizeof modifiers[0]; i++) {
        const bool is_twin = i > 0 && modifiers[i].offset == modifiers[i - 1].offset;
        if (!is_twin && *(const bool *)((const char *)accept + modifiers[i].offset))
            used += (size_t)snprintf(text + used, sizeof text - used, "-%s", modifiers[i].word);
    }
    (void)snprintf(text + used, sizeof text - used, "+json%s",
                   accept->version == 1 ? "; version=1" : "");
    TR_TRY(tr_reply_json(r->call, status, body, err));
    const char *type = tr_arena_text(r->call->request->arena, tr_str_of(text));
    if (type != NULL)
        r->call->response->content_type = type;
    return TR_OK;
}

/* Takes away every title and description, at any depth; labels of values stay. */
static void strip_text(json_t *node)
{
    const char *key;
    json_t *value;
    if (json_is_string(json_object_get(node, "title")))
        (void)json_object_del(node, "title");
    if (json_is_string(json_object_get(node, "description")))
        (void)json_object_del(node, "description");
    json_object_foreach(node, key, value)
        if (strcmp(key, "meta:enum") != 0)
            strip_text(value);
    for (size_t i = 0; i < json_array_size(node); i++)
        strip_text(json_array_get(node, i));
}

static void flatten(const json_t *node, const char *prefix, uint32_t depth, json_t *out)
{
    const char *name;
    json_t *field;
    json_object_foreach(json_object_get(node, "properties"), name, field) {
        json_t *path = json_sprintf("%s%s%s", prefix, prefix[0] == '\0' ? "" : ".", name);
        const json_t *element = field;
        while (json_is_object(json_object_get(element, "items")))
            element = json_object_get(element, "items");
        if (json_object_get(element, "properties") != NULL && depth < TR_SCHEMA_DEPTH_MAX)
            flatten(element, json_string_value(path), depth + 1, out);
        else
            (void)json_object_set(out, json_string_value(path), field);
        json_decref(path);
    }
}

/* Marks the field a descriptor names, in a node with properties; false: it is not there. */
static bool mark_field(json_t *node, const char *path)
{
    char name[256];
    while (*path == '/')
        path++;
    const size_t len = strcspn(path, "/");
    if (len == 0 || len >= sizeof name)
        return false;
    (void)snprintf(name, sizeof name, "%.*s", (int)len, path);
    json_t *properties = json_object_get(node, "properties");
    json_t *field = json_object_get(properties, name);
    if (field == NULL && strncmp(name, "xdm:", 4) == 0)
        field = json_object_get(properties, name + 4);
    if (field == NULL)
        return false;
    if (path[len] == '/' && path[len + 1] != '\0') {
        json_t *items = json_object_get(field, "items");
        return mark_field(items != NULL ? items : field, path + len);
    }
    return json_object_set_new(field, "meta:status", json_string("deprecated")) == 0;
}

static void mark_everywhere(json_t *doc, const char *path)
{
    const char *name;
    json_t *definition;
    if (path == NULL || mark_field(doc, path))
        return;
    json_object_foreach(json_object_get(doc, "definitions"), name, definition)
        if (mark_field(definition, path))
            return;
}

static tr_code mark_deprecated(tr_registry_call *r, const char *id, json_t *doc, tr_err *err)
{
    json_t *list = NULL;
    TR_TRY(tr_registry_descriptors_of(r, id, "xdm:descriptorDeprecated", &list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *source = json_object_get(json_array_get(list, i), "xdm:sourceProperty");
        mark_everywhere(doc, json_string_value(source));
        for (size_t k = 0; k < json_array_size(source); k++)
            mark_everywhere(doc, json_string_value(json_array_get(source, k)));
    }
    json_decref(list);
    return TR_OK;
}

static json_t *short_form(const json_t *doc)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "$id", tr_json_text(doc, "$id", ""), "meta:altId",
                     tr_json_text(doc, "meta:altId", ""), "version",
                     tr_json_text(doc, "version", "1.0"), "title", tr_json_text(doc, "title", ""));
}

static tr_code add_extras(tr_registry_call *r, const char *id, const tr_accept *accept, json_t *doc,
                          tr_err *err)
{
    json_t *list = NULL;
    if (accept->has_deprecated)
        TR_TRY(mark_deprecated(r, id, doc, err));
    if (accept->has_descriptors) {
        TR_TRY(tr_registry_descriptors_of(r, id, NULL, &list, err));
        if (json_object_set_new(doc, "meta:descriptors", list) != 0)
            return no_memory(err);
    }
    if (accept->is_flat && accept->is_full) {
        json_t *flat = json_object();
        flatten(doc, "", 0, flat);
        if (json_object_set_new(doc, "properties", flat) != 0)
            return no_memory(err);
    }
    if (accept->has_no_text)
        strip_text(doc);
    return TR_OK;
}

tr_code tr_registry_show(tr_registry_call *r, const json_t *doc, const tr_accept *accept,
                         bool is_list, json_t **out, tr_err *err)
{
    json_t *shown = NULL;
    tr_code code = TR_OK;
    if (is_list && accept->is_id)
        shown = short_form(doc);
    else if (!is_list && accept->is_full)
        code = tr_xdm_resolve_doc(tr_registry_lookup, &r->registry, doc, accept->is_standard,
                                  &shown, err);
    else if (!accept->is_standard)
        code = tr_xdm_compat(doc, true, &shown, err);
    else
        shown = json_copy((json_t *)(uintptr_t)doc);
    TR_TRY(code);
    if (shown == NULL)
        return no_memory(err);
    if (!is_list && (accept->has_deprecated || accept->has_no_text || accept->is_flat)) {
        json_t *own =
            json_deep_copy(shown); /* what is shared with the library must not be written to */
        json_decref(shown);
        shown = own;
    }
    if (!is_list)
        code = add_extras(r, tr_json_text(doc, "$id", ""), accept, shown, err);
    if (code != TR_OK) {
        json_decref(shown);
        return code;
    }
    *out = shown;
    return TR_OK;
}
