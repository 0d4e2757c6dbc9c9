/* SPDX-License-Identifier: Apache-2.0 */
/* shape_json.c - a schema's types and rules shown as JSON Schema, in compatibility mode. */
#include "xdm/xdm_internal.h"

static const char *xdm_word(const tr_type *type, const tr_xdm_rule *rule)
{
    switch (type->kind) {
    case TR_KIND_BOOLEAN: return "boolean";
    case TR_KIND_INT32:
        return rule->is_byte_sized ? "byte" : rule->is_short_sized ? "short" : "int";
    case TR_KIND_INT64: return "long";
    case TR_KIND_DOUBLE: return "number";
    case TR_KIND_DATE: return "date";
    case TR_KIND_TIMESTAMP: return "date-time";
    case TR_KIND_OBJECT: return "object";
    case TR_KIND_ARRAY: return "array";
    case TR_KIND_MAP: return "map";
    case TR_KIND_STRING:
    case TR_KIND_KEY: break;
    }
    return "string";
}

static const char *json_word(const tr_type *type)
{
    switch (type->kind) {
    case TR_KIND_BOOLEAN: return "boolean";
    case TR_KIND_INT32:
    case TR_KIND_INT64: return "integer";
    case TR_KIND_DOUBLE: return "number";
    case TR_KIND_OBJECT:
    case TR_KIND_MAP: return "object";
    case TR_KIND_ARRAY: return "array";
    case TR_KIND_STRING:
    case TR_KIND_DATE:
    case TR_KIND_TIMESTAMP:
    case TR_KIND_KEY: break;
    }
    return "string";
}

static bool set_rule(json_t *node, const tr_type *type, const tr_xdm_rule *rule)
{
    int bad = 0;
    if (type->kind == TR_KIND_DATE || type->kind == TR_KIND_TIMESTAMP)
        bad |= json_object_set_new(node, "format", json_string(xdm_word(type, rule)));
    else if (rule->format.len > 0)
        bad |= json_object_set_new(node, "format", tr_json_str(rule->format));
    if (rule->pattern.len > 0)
        bad |= json_object_set_new(node, "pattern", tr_json_str(rule->pattern));
    if (rule->has_minimum)
        bad |= json_object_set_new(node, "minimum", json_real(rule->minimum));
    if (rule->has_maximum)
        bad |= json_object_set_new(node, "maximum", json_real(rule->maximum));
    if (rule->min_length >= 0)
        bad |= json_object_set_new(node, "minLength", json_integer(rule->min_length));
    if (rule->max_length >= 0)
        bad |= json_object_set_new(node, "maxLength", json_integer(rule->max_length));
    if (rule->member_count == 0)
        return bad == 0;
    json_t *members = json_array();
    for (uint32_t i = 0; i < rule->member_count; i++)
        bad |= json_array_append_new(members, tr_json_str(rule->members[i]));
    return (bad | json_object_set_new(node, "enum", members)) == 0;
}

/* NULL: no memory. */
static json_t *node_of(const tr_xdm_schema *schema, const tr_type *type)
{
    const tr_xdm_rule *rule = &schema->rules[type->id];
    json_t *node =
        json_pack("{s:s, s:s}", "type", json_word(type), "meta:xdmType", xdm_word(type, rule));
    bool is_good = node != NULL && set_rule(node, type, rule);
    if (is_good && type->kind == TR_KIND_ARRAY)
        is_good = json_object_set_new(node, "items", node_of(schema, type->children[0])) == 0;
    if (is_good && type->kind == TR_KIND_MAP)
        is_good = json_object_set_new(node, "additionalProperties",
                                      node_of(schema, type->children[0])) == 0;
    if (is_good && type->kind == TR_KIND_OBJECT) {
        json_t *members = json_object();
        json_t *required = json_array();
        for (uint32_t i = 0; i < type->child_count && is_good; i++) {
            const tr_type *child = type->children[i];
            is_good = json_object_setn_new(members, (const char *)child->name.at, child->name.len,
                                           node_of(schema, child)) == 0;
            if (is_good && schema->rules[child->id].is_required)
                is_good = json_array_append_new(required, tr_json_str(child->name)) == 0;
        }
        is_good = json_object_set_new(node, "properties", members) == 0 && is_good;
        if (json_array_size(required) > 0)
            is_good = json_object_set(node, "required", required) == 0 && is_good;
        json_decref(required);
    }
    if (is_good)
        return node;
    json_decref(node);
    return NULL;
}

tr_code tr_xdm_shape_json(const tr_xdm_schema *schema, json_t **out, tr_err *err)
{
    json_t *node = node_of(schema, schema->shape.root);
    if (node == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to show a schema");
    *out = node;
    return TR_OK;
}
