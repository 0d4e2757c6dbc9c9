/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - a document resolved into a tr_xdm_schema: types, rules, identities, behaviour. */
#include "xdm/xdm_internal.h"

enum { EXTENDS_DEPTH_MAX = 8 };

tr_xdm_schema *tr_xdm_schema_new(void)
{
    tr_xdm_schema *schema = tr_alloc_zeroed(1, sizeof *schema);
    if (schema != NULL)
        schema->warnings = json_array();
    return schema;
}

void tr_xdm_schema_close(tr_xdm_schema *schema)
{
    if (schema == NULL)
        return;
    json_decref(schema->warnings);
    tr_arena_free(&schema->arena);
    tr_free(schema);
}

static bool behavior_word(const char *id, tr_xdm_behavior *out)
{
    static const struct {
        const char *id;
        tr_xdm_behavior behavior;
    } known[] = {{TR_XDM_PREFIX "xdm/data/record", TR_XDM_RECORD},
                 {TR_XDM_PREFIX "xdm/data/time-series", TR_XDM_EVENT},
                 {TR_XDM_PREFIX "xdm/data/adhoc", TR_XDM_ADHOC},
                 {"record", TR_XDM_RECORD},
                 {"time-series", TR_XDM_EVENT}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(id, known[i].id) == 0) {
            *out = known[i].behavior;
            return true;
        }
    return false;
}

/* The class a document is of, and its behaviour, found along allOf; both optional. */
typedef struct lineage {
    tr_str class_id; /* borrowed of the document; .len 0: none */
    tr_xdm_behavior behavior;
    bool has_behavior;
} lineage;

static tr_code trace(tr_xdm_lookup lookup, void *ctx, const json_t *doc, uint32_t depth,
                     lineage *out, tr_err *err)
{
    const json_t *parts = json_object_get(doc, "allOf");
    const char *type = tr_json_text(doc, "meta:resourceType", "");
    if (out->class_id.len == 0 && strcmp(type, "classes") == 0)
        out->class_id = tr_str_of(tr_json_text(doc, "$id", ""));
    if (!out->has_behavior)
        out->has_behavior =
            behavior_word(tr_json_text(doc, "$id", ""), &out->behavior) ||
            behavior_word(tr_json_text(doc, "meta:behaviorType", ""), &out->behavior);
    for (size_t i = 0; i < json_array_size(parts) && depth < EXTENDS_DEPTH_MAX; i++) {
        const char *ref = tr_json_text(json_array_get(parts, i), "$ref", "#");
        const json_t *target;
        if (ref[0] == '#' || strchr(ref, '#') != NULL ||
            (out->has_behavior && out->class_id.len > 0))
            continue;
        TR_TRY(lookup(ctx, tr_str_of(ref), &target, err));
        const char *of = tr_json_text(target, "meta:resourceType", "");
        if (strcmp(of, "classes") == 0 || strcmp(of, "behaviors") == 0 ||
            strcmp(of, "schemas") == 0)
            TR_TRY(trace(lookup, ctx, target, depth + 1, out, err));
    }
    return TR_OK;
}

static bool has_union_tag(const json_t *doc)
{
    const json_t *tags = json_object_get(doc, "meta:immutableTags");
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *tag = json_string_value(json_array_get(tags, i));
        if (tag != NULL && strcmp(tag, "union") == 0)
            return true;
    }
    return false;
}

/* The field a descriptor's path names; NULL: none that can be an identity. */
static const tr_type *field_at(const tr_type *root, const char *path)
{
    char name[TR_XDM_NAME_BYTES_MAX];
    const tr_type *at = root;
    while (*path != '\0' && at != NULL) {
        const size_t len = strcspn(path, "/");
        tr_xdm_name mapped;
        if (len >= sizeof name)
            return NULL;
        memcpy(name, path, len);
        name[len] = '\0';
        path += len + (path[len] == '/');
        if (len == 0)
            continue;
        tr_xdm_name_split(name, &mapped);
        for (uint32_t i = 0; i < mapped.part_count && at != NULL; i++)
            at = at->kind == TR_KIND_OBJECT ? tr_type_member(at, tr_str_of(mapped.parts[i])) : NULL;
    }
    if (at == NULL ||
        (at->kind != TR_KIND_STRING && at->kind != TR_KIND_INT32 && at->kind != TR_KIND_INT64))
        return NULL;
    return at;
}

static tr_code add_identities(tr_xdm_schema *schema, const json_t *descriptors, tr_err *err)
{
    const size_t most = json_array_size(descriptors);
    schema->identities = tr_arena_array(&schema->arena, most, sizeof *schema->identities);
    if (schema->identities == NULL && most > 0)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the identities of a schema");
    for (size_t i = 0; i < most; i++) {
        const json_t *descriptor = json_array_get(descriptors, i);
        const char *path = tr_json_text(descriptor, "xdm:sourceProperty", "");
        const tr_type *field = field_at(schema->shape.root, path);
        if (strcmp(tr_json_text(descriptor, "@type", ""), "xdm:descriptorIdentity") != 0)
            continue;
        if (field == NULL) {
            tr_xdm_warn(schema->warnings, "%s: has an identity descriptor, but is no such field",
                        path);
            continue;
        }
        tr_xdm_identity *identity = &schema->identities[schema->identity_count++];
        *identity = (tr_xdm_identity){
            .field = field,
            .leaf = field->first_leaf,
            .namespace_code = tr_arena_copy(
                &schema->arena, tr_str_of(tr_json_text(descriptor, "xdm:namespace", ""))),
            .is_primary = tr_json_bool(descriptor, "xdm:isPrimary", false)};
        if (identity->namespace_code.at == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for the identities of a schema");
    }
    return TR_OK;
}

static tr_code fill_papers(tr_xdm_lookup lookup, void *ctx, const json_t *doc,
                           tr_xdm_schema *schema, tr_err *err)
{
    lineage found = {.behavior = TR_XDM_ADHOC};
    TR_TRY(trace(lookup, ctx, doc, 0, &found, err));
    schema->behavior = found.behavior;
    schema->is_union_member = has_union_tag(doc);
    schema->id = tr_arena_copy(&schema->arena, tr_str_of(tr_json_text(doc, "$id", "")));
    schema->title = tr_arena_copy(&schema->arena, tr_str_of(tr_json_text(doc, "title", "")));
    schema->class_id = tr_arena_copy(&schema->arena, found.class_id);
    if (schema->id.at == NULL || schema->title.at == NULL || schema->class_id.at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a schema");
    return TR_OK;
}

static tr_code fill_types(tr_xdm_lookup lookup, void *ctx, const json_t *doc, tr_xdm_schema *schema,
                          tr_err *err)
{
    const tr_xdm_notes notes = {.warnings = schema->warnings};
    tr_xdm_build build = {.arena = &schema->arena, .warnings = schema->warnings};
    json_t *resolved = NULL, *node = NULL;
    tr_type *root = NULL;
    tr_code code = tr_xdm_resolve(lookup, ctx, doc, &notes, &resolved, err);
    if (code == TR_OK)
        code = tr_xdm_compat(resolved, false, &node, err);
    if (code == TR_OK && json_object_set_new(node, "type", json_string("object")) != 0)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a schema");
    if (code == TR_OK)
        code = tr_xdm_type_of(&build, node, "", false, 0, &root, err);
    if (code == TR_OK && root == NULL)
        code = TR_FAIL(err, TR_INVALID, "schema \"%.*s\" has no field that can be stored",
                       TR_STR_ARG(schema->id));
    if (code == TR_OK)
        code = tr_xdm_build_finish(&build, root, schema, err);
    tr_xdm_build_free(&build);
    json_decref(node);
    json_decref(resolved);
    return code;
}

tr_code tr_xdm_schema_open(tr_xdm_lookup lookup, void *ctx, tr_str id, const json_t *descriptors,
                           tr_xdm_schema **out, tr_err *err)
{
    const json_t *doc;
    TR_TRY(lookup(ctx, id, &doc, err));
    tr_xdm_schema *schema = tr_xdm_schema_new();
    if (schema == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a schema");
    tr_code code = fill_papers(lookup, ctx, doc, schema, err);
    if (code == TR_OK)
        code = fill_types(lookup, ctx, doc, schema, err);
    if (code == TR_OK)
        code = add_identities(schema, descriptors, err);
    if (code != TR_OK) {
        tr_xdm_schema_close(schema);
        return code;
    }
    *out = schema;
    return TR_OK;
}

tr_code tr_xdm_resolve_doc(tr_xdm_lookup lookup, void *ctx, const json_t *doc, bool keep_prefix,
                           json_t **out, tr_err *err)
{
    json_t *resolved = NULL, *flat = NULL;
    TR_TRY(tr_xdm_resolve(lookup, ctx, doc, NULL, &resolved, err));
    if (keep_prefix) {
        tr_xdm_mark_types(resolved);
        *out = resolved;
        return TR_OK;
    }
    const tr_code code = tr_xdm_compat(resolved, true, &flat, err);
    json_decref(resolved);
    if (code == TR_OK)
        *out = flat;
    return code;
}

tr_code tr_xdm_resolve_json(tr_xdm_lookup lookup, void *ctx, tr_str id, bool keep_prefix,
                            json_t **out, tr_err *err)
{
    const json_t *doc;
    TR_TRY(lookup(ctx, id, &doc, err));
    return tr_xdm_resolve_doc(lookup, ctx, doc, keep_prefix, out, err);
}

tr_code tr_xdm_clashes(tr_xdm_lookup lookup, void *ctx, const json_t *doc, json_t **out,
                       tr_err *err)
{
    json_t *resolved = NULL;
    const tr_xdm_notes notes = {.clashes = json_array()};
    const tr_code code = tr_xdm_resolve(lookup, ctx, doc, &notes, &resolved, err);
    json_decref(resolved);
    if (code != TR_OK) {
        json_decref(notes.clashes);
        return code;
    }
    *out = notes.clashes;
    return TR_OK;
}
