/* SPDX-License-Identifier: Apache-2.0 */
/* typing.c - resolved nodes as types with rules.
 *
 * Members come out sorted by name, so that the order in which documents were written or merged
 * never shows in a file. What cannot be stored (no type, an object without members) is left out
 * with a warning that names it.
 */
#include "xdm/xdm_internal.h"

#include <math.h>

tr_type *tr_xdm_build_type(tr_xdm_build *build, tr_kind kind, tr_str name, const tr_xdm_rule *rule)
{
    if (build->ruled_count == build->ruled_cap) {
        const size_t cap = build->ruled_cap == 0 ? 256 : build->ruled_cap * 2;
        tr_xdm_ruled *grown = tr_grow_array(build->ruled, cap, sizeof *grown);
        if (grown == NULL)
            return NULL;
        build->ruled = grown;
        build->ruled_cap = cap;
    }
    tr_type *type = tr_type_make(build->arena, kind, name);
    if (type == NULL)
        return NULL;
    type->id = (uint32_t)build->ruled_count;
    build->ruled[build->ruled_count++] = (tr_xdm_ruled){.type = type, .rule = *rule};
    return type;
}

void tr_xdm_build_free(tr_xdm_build *build)
{
    tr_free(build->ruled);
    build->ruled = NULL;
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the types of a schema");
}

static int64_t length_of(const json_t *node, const char *key)
{
    const json_t *value = json_object_get(node, key);
    return json_is_number(value) && json_number_value(value) >= 0 && json_number_value(value) < 1e15
               ? (int64_t)json_number_value(value)
               : -1;
}

static void read_bounds(const json_t *node, bool is_integer, tr_xdm_rule *rule)
{
    const json_t *above = json_object_get(node, "exclusiveMinimum");
    const json_t *below = json_object_get(node, "exclusiveMaximum");
    const json_t *least = json_object_get(node, "minimum");
    const json_t *most = json_object_get(node, "maximum");
    rule->has_minimum = json_is_number(least);
    rule->has_maximum = json_is_number(most);
    rule->minimum = json_number_value(least);
    rule->maximum = json_number_value(most);
    if (json_is_number(above)) {
        const double bound = json_number_value(above);
        const double next = is_integer ? floor(bound) + 1 : nextafter(bound, INFINITY);
        rule->minimum = rule->has_minimum && rule->minimum > next ? rule->minimum : next;
        rule->has_minimum = true;
    }
    if (json_is_number(below)) {
        const double bound = json_number_value(below);
        const double next = is_integer ? ceil(bound) - 1 : nextafter(bound, -INFINITY);
        rule->maximum = rule->has_maximum && rule->maximum < next ? rule->maximum : next;
        rule->has_maximum = true;
    }
}

static tr_code copy_text(tr_xdm_build *build, const json_t *value, tr_str *out, tr_err *err)
{
    const tr_str text = {(const uint8_t *)json_string_value(value), json_string_length(value)};
    *out = tr_arena_copy(build->arena, text);
    return out->at == NULL ? no_memory(err) : TR_OK;
}

/* enum, or const as an enum of one; only of strings. */
static tr_code read_members(tr_xdm_build *build, const json_t *node, tr_xdm_rule *rule, tr_err *err)
{
    const json_t *list = json_object_get(node, "enum");
    const json_t *single = json_object_get(node, "const");
    const size_t most = json_is_string(single) ? 1 : json_array_size(list);
    tr_str *members = tr_arena_array(build->arena, most, sizeof *members);
    if (members == NULL && most > 0)
        return no_memory(err);
    for (size_t i = 0; i < most; i++) {
        const json_t *value = json_is_string(single) ? single : json_array_get(list, i);
        if (json_is_string(value))
            TR_TRY(copy_text(build, value, &members[rule->member_count++], err));
    }
    rule->members = members;
    return TR_OK;
}

static tr_code read_rule(tr_xdm_build *build, const json_t *node, tr_kind kind, tr_xdm_rule *rule,
                         tr_err *err)
{
    const char *type = tr_xdm_node_xdm_type(node);
    rule->min_length = rule->max_length = -1;
    if (kind == TR_KIND_INT32 || kind == TR_KIND_INT64 || kind == TR_KIND_DOUBLE)
        read_bounds(node, kind != TR_KIND_DOUBLE, rule);
    rule->is_byte_sized = type != NULL && strcmp(type, "byte") == 0;
    rule->is_short_sized = type != NULL && strcmp(type, "short") == 0;
    if (kind != TR_KIND_STRING)
        return TR_OK;
    rule->min_length = length_of(node, "minLength");
    rule->max_length = length_of(node, "maxLength");
    if (json_is_string(json_object_get(node, "format")))
        TR_TRY(copy_text(build, json_object_get(node, "format"), &rule->format, err));
    if (json_is_string(json_object_get(node, "pattern")))
        TR_TRY(copy_text(build, json_object_get(node, "pattern"), &rule->pattern, err));
    return read_members(build, node, rule, err);
}

static bool is_listed(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *entry = json_string_value(json_array_get(list, i));
        if (entry != NULL && strcmp(entry, name) == 0)
            return true;
    }
    return false;
}

/* A name that would make dotted paths ambiguous, or hide the store's own column. */
static bool is_usable_name(const char *name, uint32_t depth)
{
    return name[0] != '\0' && strpbrk(name, ".*[]") == NULL &&
           !(depth == 0 && strcmp(name, TR_BOOKKEEPING) == 0);
}

static tr_code add_members(tr_xdm_build *build, const json_t *node, uint32_t depth, tr_type *object,
                           tr_err *err)
{
    const json_t *required = json_object_get(node, "required");
    const char *name;
    json_t *field;
    json_object_foreach(json_object_get(node, "properties"), name, field) {
        tr_type *member = NULL;
        const size_t before = tr_xdm_path_push(&build->path, name);
        if (is_usable_name(name, depth))
            TR_TRY(tr_xdm_type_of(build, field, name, is_listed(required, name), depth + 1, &member,
                                  err));
        else
            tr_xdm_warn(build->warnings, "%s: left out: not a usable name", build->path.text);
        tr_xdm_path_pop(&build->path, before);
        if (member != NULL && !tr_type_add(build->arena, object, member))
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code add_inner(tr_xdm_build *build, const json_t *node, uint32_t depth, tr_type *outer,
                         tr_err *err)
{
    const char *key = outer->kind == TR_KIND_ARRAY ? "items" : "additionalProperties";
    const json_t *inner = json_object_get(node, key);
    tr_type *made = NULL;
    if (!json_is_object(inner))
        return TR_OK;
    const size_t before = tr_xdm_path_push(&build->path, "*");
    TR_TRY(tr_xdm_type_of(build, inner, "", false, depth + 1, &made, err));
    tr_xdm_path_pop(&build->path, before);
    if (made != NULL && !tr_type_add(build->arena, outer, made))
        return no_memory(err);
    return TR_OK;
}

tr_code tr_xdm_type_of(tr_xdm_build *build, const json_t *node, const char *name, bool is_required,
                       uint32_t depth, tr_type **out, tr_err *err)
{
    tr_xdm_rule rule = {.is_required = is_required};
    tr_kind kind;
    *out = NULL;
    if (depth > TR_SCHEMA_DEPTH_MAX) {
        tr_xdm_warn(build->warnings, "%s: left out: deeper than %d levels", build->path.text,
                    TR_SCHEMA_DEPTH_MAX);
        return TR_OK;
    }
    if (!tr_xdm_node_kind(node, &kind)) {
        tr_xdm_warn(build->warnings, "%s: left out: no type", build->path.text);
        return TR_OK;
    }
    TR_TRY(read_rule(build, node, kind, &rule, err));
    tr_type *type = tr_xdm_build_type(build, kind, tr_str_of(name), &rule);
    if (type == NULL)
        return no_memory(err);
    if (kind == TR_KIND_OBJECT)
        TR_TRY(add_members(build, node, depth, type, err));
    else if (kind == TR_KIND_ARRAY || kind == TR_KIND_MAP)
        TR_TRY(add_inner(build, node, depth, type, err));
    if (!tr_kind_is_scalar(kind) && type->child_count == 0) {
        build->ruled[type->id].type = NULL;
        if (depth > 0)
            tr_xdm_warn(build->warnings, "%s: left out: nothing in it can be stored",
                        build->path.text);
        return TR_OK;
    }
    *out = type;
    return TR_OK;
}

static int by_name(const void *a, const void *b)
{
    return tr_str_compare((*(tr_type *const *)a)->name, (*(tr_type *const *)b)->name);
}

static void sort_members(tr_type *type)
{
    if (type->kind == TR_KIND_OBJECT && type->child_count > 1)
        qsort(type->children, type->child_count, sizeof type->children[0], by_name);
    for (uint32_t i = 0; i < type->child_count; i++)
        sort_members(type->children[i]);
}

tr_code tr_xdm_build_finish(tr_xdm_build *build, tr_type *root, tr_xdm_schema *schema, tr_err *err)
{
    sort_members(root);
    TR_TRY(tr_shape_make(build->arena, root, &schema->shape, err));
    schema->rules = tr_arena_array(build->arena, schema->shape.type_count, sizeof *schema->rules);
    if (schema->rules == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < schema->shape.type_count; i++)
        schema->rules[i].min_length = schema->rules[i].max_length = -1;
    for (size_t i = 0; i < build->ruled_count; i++)
        if (build->ruled[i].type != NULL)
            schema->rules[build->ruled[i].type->id] = build->ruled[i].rule;
    return TR_OK;
}
