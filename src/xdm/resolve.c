/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.c - follows $ref and allOf until one tree of JSON is left.
 *
 * A node is resolved into a fresh object: its own members first, then what it refers to, then the
 * parts of its allOf, then its properties. Whoever speaks first wins; properties are merged member
 * by member. What crosses from one document into another is structure, not the document's papers
 * ($id, version, meta:extends ...).
 *
 * Nothing ends badly on hostile input: a reference to itself is cut, and the number of nodes, of
 * open references and of nested fields is limited.
 */
#include "xdm/xdm_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { OPEN_REFS_MAX = 48, NESTING_MAX = 128 };

typedef enum role {
    ROLE_ROOT,   /* the document asked for: keeps its papers */
    ROLE_FIELD,  /* a property, element or value */
    ROLE_TARGET, /* what a field refers to: lends its title when the field has none */
    ROLE_PART    /* of an allOf: structure only */
} role;

typedef struct resolver {
    tr_xdm_lookup lookup;
    void *ctx;
    const tr_xdm_notes *notes;
    tr_xdm_path path;
    const json_t *open[OPEN_REFS_MAX]; /* targets being resolved */
    uint32_t open_count;
    uint32_t nesting;
    uint32_t node_count;
} resolver;

static tr_code resolve(resolver *r, const json_t *doc, const json_t *node, role as, json_t **out,
                       tr_err *err);

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to resolve a schema");
}

static bool is_any(const char *key, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(key, *names) == 0)
            return true;
    return false;
}

static bool is_copied(const char *key, role as)
{
    static const char *const structure[] = {
        "$ref",     "allOf", "definitions", "refs", "properties", "items", "additionalProperties",
        "required", NULL};
    static const char *const papers[] = {"$id",
                                         "$schema",
                                         "meta:altId",
                                         "meta:resourceType",
                                         "version",
                                         "imsOrg",
                                         "meta:extends",
                                         "meta:intendedToExtend",
                                         "meta:class",
                                         "meta:abstract",
                                         "meta:extensible",
                                         "meta:containerId",
                                         "meta:sandboxId",
                                         "meta:sandboxType",
                                         "meta:tenantNamespace",
                                         "meta:registryMetadata",
                                         "meta:immutableTags",
                                         "meta:createdDate",
                                         "meta:tags",
                                         "meta:status",
                                         "auditable",
                                         "meta:behaviorType",
                                         NULL};
    static const char *const words[] = {"title", "description", NULL};
    if (is_any(key, structure))
        return false;
    if (as != ROLE_ROOT && as != ROLE_FIELD && is_any(key, papers))
        return false;
    return as != ROLE_PART || !is_any(key, words);
}

/* One step of a JSON pointer: ~0, ~1 and %xx undone. */
static bool pointer_step(tr_str *pointer, char *name, size_t size)
{
    size_t len = 0, i = 0;
    for (; i < pointer->len && pointer->at[i] != '/'; i++) {
        char byte = (char)pointer->at[i];
        if (byte == '~' && i + 1 < pointer->len)
            byte = pointer->at[++i] == '1' ? '/' : '~';
        else if (byte == '%' && i + 2 < pointer->len) {
            const char hex[3] = {(char)pointer->at[i + 1], (char)pointer->at[i + 2], '\0'};
            byte = (char)strtol(hex, NULL, 16); /* tidy: two digits, no room for errors */
            i += 2;
        }
        if (len + 1 >= size)
            return false;
        name[len++] = byte;
    }
    name[len] = '\0';
    *pointer = tr_str_from(*pointer, i < pointer->len ? i + 1 : i);
    return true;
}

static const json_t *array_item(const json_t *array, const char *index)
{
    int64_t number;
    if (!tr_str_to_i64(tr_str_of(index), &number) || number < 0)
        return NULL;
    return json_array_get(array, (size_t)number);
}

static const json_t *at_pointer(const json_t *doc, tr_str pointer)
{
    char name[TR_XDM_NAME_BYTES_MAX];
    const json_t *node = doc;
    if (pointer.len > 0 && pointer.at[0] == '/')
        pointer = tr_str_from(pointer, 1);
    while (pointer.len > 0 && node != NULL) {
        if (!pointer_step(&pointer, name, sizeof name))
            return NULL;
        node = json_is_array(node) ? array_item(node, name) : json_object_get(node, name);
    }
    return node;
}

/* Where a reference has its '#' (or "%23"); the length of the reference when it has none. */
static size_t hash_at(tr_str ref, size_t *hash_len)
{
    for (size_t i = 0; i < ref.len; i++) {
        *hash_len = 1;
        if (ref.at[i] == '#')
            return i;
        *hash_len = 3;
        if (i + 2 < ref.len && memcmp(ref.at + i, "%23", 3) == 0)
            return i;
    }
    *hash_len = 0;
    return ref.len;
}

static tr_code find_target(resolver *r, const json_t *doc, tr_str ref, const json_t **doc_out,
                           const json_t **out, tr_err *err)
{
    size_t hash_len;
    const size_t hash = hash_at(ref, &hash_len);
    const json_t *target_doc = doc;
    if (hash > 0) {
        const tr_code code = r->lookup(r->ctx, (tr_str){ref.at, hash}, &target_doc, err);
        if (code == TR_NOT_FOUND)
            return TR_FAIL(err, TR_NOT_FOUND, "\"%.200s\" refers to \"%.*s\", which does not exist",
                           tr_json_text(doc, "$id", "the resource"), TR_STR_ARG(ref));
        TR_TRY(code);
    }
    const json_t *target = at_pointer(target_doc, tr_str_from(ref, hash + hash_len));
    if (!json_is_object(target))
        return TR_FAIL(err, TR_NOT_FOUND, "\"%.200s\" refers to \"%.*s\", which does not exist",
                       tr_json_text(doc, "$id", "the resource"), TR_STR_ARG(ref));
    *doc_out = target_doc;
    *out = target;
    return TR_OK;
}

static bool is_open(const resolver *r, const json_t *target)
{
    for (uint32_t i = 0; i < r->open_count; i++)
        if (r->open[i] == target)
            return true;
    return false;
}

static tr_code merge_and_drop(resolver *r, json_t *into, json_t *part, tr_err *err)
{
    json_t *clashes = r->notes == NULL ? NULL : r->notes->clashes;
    if (part == NULL)
        return no_memory(err);
    const tr_code code = tr_xdm_node_merge(into, part, &r->path, clashes, err);
    json_decref(part);
    return code;
}

static tr_code add_referred(resolver *r, const json_t *doc, const json_t *ref_text, role as,
                            json_t *into, tr_err *err)
{
    const tr_str ref = tr_str_of(json_string_value(ref_text));
    const json_t *target_doc, *target;
    json_t *resolved = NULL;
    TR_TRY(find_target(r, doc, ref, &target_doc, &target, err));
    if (is_open(r, target) || r->open_count == OPEN_REFS_MAX) {
        tr_xdm_warn(r->notes == NULL ? NULL : r->notes->warnings,
                    "%s: \"%.*s\" refers to itself and is cut there", r->path.text,
                    TR_STR_ARG(ref));
        return TR_OK;
    }
    r->open[r->open_count++] = target;
    const tr_code code =
        resolve(r, target_doc, target,
                as == ROLE_FIELD || as == ROLE_TARGET ? ROLE_TARGET : ROLE_PART, &resolved, err);
    r->open_count--;
    TR_TRY(code);
    if (as == ROLE_FIELD && target == target_doc && tr_json_text(target, "$id", NULL) != NULL &&
        json_object_set(into, "meta:referencedFrom", json_object_get(target, "$id")) != 0) {
        json_decref(resolved);
        return no_memory(err);
    }
    return merge_and_drop(r, into, resolved, err);
}

/* Resolves a field below the current one and hands it over as {key: field}, merged into `into`. */
static tr_code add_field(resolver *r, const json_t *doc, const json_t *field, const char *key,
                         const char *name, json_t *into, tr_err *err)
{
    json_t *resolved = NULL;
    if (!json_is_object(field))
        return TR_OK; /* additionalProperties: false says nothing about a type */
    const size_t before = tr_xdm_path_push(&r->path, name == NULL ? "*" : name);
    const tr_code code = resolve(r, doc, field, ROLE_FIELD, &resolved, err);
    tr_xdm_path_pop(&r->path, before);
    TR_TRY(code);
    json_t *part = name == NULL ? json_pack("{s:o}", key, resolved)
                                : json_pack("{s:{s:o}}", key, name, resolved);
    return merge_and_drop(r, into, part, err);
}

static tr_code add_structure(resolver *r, const json_t *doc, const json_t *node, role as,
                             json_t *out, tr_err *err)
{
    const json_t *all_of = json_object_get(node, "allOf");
    const json_t *ref = json_object_get(node, "$ref");
    const char *name;
    json_t *field;
    if (json_is_string(ref))
        TR_TRY(add_referred(r, doc, ref, as, out, err));
    for (size_t i = 0; i < json_array_size(all_of); i++) {
        json_t *part = NULL;
        if (!json_is_object(json_array_get(all_of, i)))
            continue;
        TR_TRY(resolve(r, doc, json_array_get(all_of, i), ROLE_PART, &part, err));
        TR_TRY(merge_and_drop(r, out, part, err));
    }
    json_object_foreach(json_object_get(node, "properties"), name, field)
        TR_TRY(add_field(r, doc, field, "properties", name, out, err));
    TR_TRY(add_field(r, doc, json_object_get(node, "items"), "items", NULL, out, err));
    TR_TRY(add_field(r, doc, json_object_get(node, "additionalProperties"), "additionalProperties",
                     NULL, out, err));
    json_t *required = json_object_get(node, "required");
    return required == NULL ? TR_OK
                            : merge_and_drop(r, out, json_pack("{s:O}", "required", required), err);
}

static tr_code resolve(resolver *r, const json_t *doc, const json_t *node, role as, json_t **out,
                       tr_err *err)
{
    const char *key;
    json_t *value;
    if (++r->node_count > TR_SCHEMA_NODES_MAX)
        return TR_FAIL(err, TR_LIMIT, "a schema has more than %d nodes when resolved",
                       TR_SCHEMA_NODES_MAX);
    if (r->nesting == NESTING_MAX)
        return TR_FAIL(err, TR_LIMIT, "%s: nested deeper than %d levels", r->path.text,
                       NESTING_MAX);
    json_t *made = json_object();
    if (made == NULL)
        return no_memory(err);
    json_object_foreach((json_t *)(uintptr_t)node, key, value)
        if (is_copied(key, as) && json_object_set(made, key, value) != 0) {
            json_decref(made);
            return no_memory(err);
        }
    r->nesting++;
    const tr_code code = add_structure(r, doc, node, as, made, err);
    r->nesting--;
    if (code != TR_OK) {
        json_decref(made);
        return code;
    }
    *out = made;
    return TR_OK;
}

tr_code tr_xdm_resolve(tr_xdm_lookup lookup, void *ctx, const json_t *doc,
                       const tr_xdm_notes *notes, json_t **out, tr_err *err)
{
    resolver r = {.lookup = lookup, .ctx = ctx, .notes = notes};
    r.open[r.open_count++] = doc;
    return resolve(&r, doc, doc, ROLE_ROOT, out, err);
}
