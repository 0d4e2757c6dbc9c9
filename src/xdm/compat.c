/* SPDX-License-Identifier: Apache-2.0 */
/* compat.c - nodes with their property names in compatibility mode.
 *
 * A name with a namespace becomes a path of objects, and several such names share their objects:
 *
 *     "repo:createDate": A, "repo:modifyDate": B  ->  "_repo": {"properties": {createDate: A,
 *                                                                             modifyDate: B}}
 *
 * Names that are already in compatibility mode stay, so the function may be applied twice.
 */
#include "xdm/xdm_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to rename the fields of a schema");
}

static tr_code compat(const json_t *node, bool has_marks, uint32_t depth, json_t **out,
                      tr_err *err);

/* {"properties": {a: {"properties": {b: field}}}} for the path a, b; takes the field. */
static json_t *wrap(const tr_xdm_name *name, json_t *field, bool has_marks)
{
    for (uint32_t i = name->part_count; field != NULL && i-- > 0;) {
        json_t *around = json_pack("{s:{s:o}}", "properties", name->parts[i], field);
        if (around != NULL && i > 0) {
            (void)json_object_set_new(around, "type", json_string("object"));
            if (has_marks)
                (void)json_object_set_new(around, "meta:xdmType", json_string("object"));
        }
        field = around;
    }
    return field;
}

static tr_code add_property(json_t *into, const char *standard, const json_t *field, bool has_marks,
                            uint32_t depth, tr_err *err)
{
    tr_xdm_name name;
    tr_xdm_path path = {.len = 0};
    json_t *renamed = NULL;
    tr_xdm_name_split(standard, &name);
    TR_TRY(compat(field, has_marks, depth, &renamed, err));
    const bool is_changed = name.part_count > 1 || strcmp(name.parts[0], standard) != 0;
    if (has_marks && is_changed && json_is_object(renamed) &&
        json_object_get(renamed, "meta:xdmField") == NULL)
        (void)json_object_set_new(renamed, "meta:xdmField", json_string(standard));
    json_t *wrapped = wrap(&name, renamed, has_marks);
    if (wrapped == NULL)
        return no_memory(err);
    const tr_code code = tr_xdm_node_merge(into, wrapped, &path, NULL, err);
    json_decref(wrapped);
    return code;
}

/* Every object on the way to a required field requires the next one. */
static tr_code add_required(json_t *into, const char *standard, tr_err *err)
{
    tr_xdm_name name;
    json_t *at = into;
    tr_xdm_name_split(standard, &name);
    for (uint32_t i = 0; i < name.part_count && at != NULL; i++) {
        tr_xdm_path path = {.len = 0};
        json_t *list = json_pack("{s:[s]}", "required", name.parts[i]);
        if (list == NULL)
            return no_memory(err);
        const tr_code code = tr_xdm_node_merge(at, list, &path, NULL, err);
        json_decref(list);
        TR_TRY(code);
        at = json_object_get(json_object_get(at, "properties"), name.parts[i]);
    }
    return TR_OK;
}

static tr_code add_nodes(json_t *into, const char *key, const json_t *nodes, bool has_marks,
                         uint32_t depth, tr_err *err)
{
    const char *name;
    json_t *node;
    json_t *made = json_is_array(nodes) ? json_array() : json_object();
    tr_code code = made == NULL ? no_memory(err) : TR_OK;
    for (size_t i = 0; code == TR_OK && i < json_array_size(nodes); i++) {
        json_t *renamed = NULL;
        code = compat(json_array_get(nodes, i), has_marks, depth, &renamed, err);
        if (code == TR_OK && json_array_append_new(made, renamed) != 0)
            code = no_memory(err);
    }
    json_object_foreach((json_t *)(uintptr_t)nodes, name, node) {
        json_t *renamed = NULL;
        if (code == TR_OK)
            code = compat(node, has_marks, depth, &renamed, err);
        if (code == TR_OK && json_object_set_new(made, name, renamed) != 0)
            code = no_memory(err);
    }
    if (code == TR_OK && json_object_set(into, key, made) != 0)
        code = no_memory(err);
    json_decref(made);
    return code;
}

static tr_code add_member(json_t *into, const char *key, const json_t *value, bool has_marks,
                          uint32_t depth, tr_err *err)
{
    const char *name;
    json_t *field;
    json_t *renamed = NULL;
    if (strcmp(key, "properties") == 0 && json_is_object(value)) {
        if (json_object_set_new(into, key, json_object()) != 0)
            return no_memory(err);
        json_object_foreach((json_t *)(uintptr_t)value, name, field)
            TR_TRY(add_property(into, name, field, has_marks, depth, err));
        return TR_OK;
    }
    if (strcmp(key, "definitions") == 0 || strcmp(key, "allOf") == 0)
        return add_nodes(into, key, value, has_marks, depth, err);
    if (strcmp(key, "items") == 0 || strcmp(key, "additionalProperties") == 0) {
        TR_TRY(compat(value, has_marks, depth, &renamed, err));
        return json_object_set_new(into, key, renamed) == 0 ? TR_OK : no_memory(err);
    }
    if (strcmp(key, "required") == 0 && json_is_array(value))
        return TR_OK; /* afterwards, when the properties are there */
    return json_object_set(into, key, (json_t *)(uintptr_t)value) == 0 ? TR_OK : no_memory(err);
}

static tr_code fill(json_t *into, const json_t *node, bool has_marks, uint32_t depth, tr_err *err)
{
    const char *key;
    json_t *value;
    const json_t *required = json_object_get(node, "required");
    json_object_foreach((json_t *)(uintptr_t)node, key, value)
        TR_TRY(add_member(into, key, value, has_marks, depth + 1, err));
    for (size_t i = 0; i < json_array_size(required); i++)
        if (json_is_string(json_array_get(required, i)))
            TR_TRY(add_required(into, json_string_value(json_array_get(required, i)), err));
    const char *type = has_marks && depth > 0 ? tr_xdm_node_xdm_type(into) : NULL;
    if (type != NULL && json_object_set_new(into, "meta:xdmType", json_string(type)) != 0)
        return no_memory(err);
    return TR_OK;
}

static tr_code compat(const json_t *node, bool has_marks, uint32_t depth, json_t **out, tr_err *err)
{
    if (!json_is_object(node)) {
        *out = json_incref((json_t *)(uintptr_t)node);
        return TR_OK;
    }
    if (depth > TR_JSON_DEPTH_MAX * 2)
        return TR_FAIL(err, TR_LIMIT, "a schema nests deeper than %d levels",
                       TR_JSON_DEPTH_MAX * 2);
    json_t *made = json_object();
    if (made == NULL)
        return no_memory(err);
    const tr_code code = fill(made, node, has_marks, depth, err);
    if (code != TR_OK) {
        json_decref(made);
        return code;
    }
    *out = made;
    return TR_OK;
}

tr_code tr_xdm_compat(const json_t *node, bool has_marks, json_t **out, tr_err *err)
{
    return compat(node, has_marks, 0, out, err);
}

void tr_xdm_mark_types(json_t *node)
{
    const char *name;
    json_t *field;
    const char *type = tr_xdm_node_xdm_type(node);
    if (type != NULL)
        (void)json_object_set_new(node, "meta:xdmType", json_string(type));
    json_object_foreach(json_object_get(node, "properties"), name, field)
        tr_xdm_mark_types(field);
    if (json_is_object(json_object_get(node, "items")))
        tr_xdm_mark_types(json_object_get(node, "items"));
    if (json_is_object(json_object_get(node, "additionalProperties")))
        tr_xdm_mark_types(json_object_get(node, "additionalProperties"));
}
