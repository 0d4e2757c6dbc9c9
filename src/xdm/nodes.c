/* SPDX-License-Identifier: Apache-2.0 */
/* nodes.c - JSON-Schema nodes: what type they are, two merged into one, names in compatibility
 * mode.
 */
#include "xdm/xdm_internal.h"

#include <stdarg.h>
#include <stdio.h>

void tr_xdm_warn(json_t *warnings, const char *format, ...)
{
    char text[TR_XDM_PATH_BYTES_MAX + 128];
    va_list args;
    if (warnings == NULL)
        return;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)json_array_append_new(warnings, json_string(text));
}

static double bound(const json_t *node, const char *key, double otherwise)
{
    const json_t *value = json_object_get(node, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

/* The smallest integer type that holds [minimum, maximum]; without bounds, int. The upper bounds
 * are one too large on purpose: clients send -128..128 for a byte. */
static const char *integer_type(const json_t *node)
{
    static const struct {
        const char *name;
        double most;
    } sizes[] = {{"byte", 128}, {"short", 32768}, {"int", 2147483648.0}};
    const char *named = tr_json_text(node, "meta:xdmType", "");
    if (strcmp(named, "long") == 0 || strcmp(named, "int") == 0 || strcmp(named, "short") == 0 ||
        strcmp(named, "byte") == 0)
        return named;
    if (json_object_get(node, "minimum") == NULL && json_object_get(node, "maximum") == NULL)
        return "int";
    const double least = bound(node, "minimum", -9007199254740992.0);
    const double most = bound(node, "maximum", 9007199254740992.0);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (least >= -sizes[i].most && most <= sizes[i].most)
            return sizes[i].name;
    return "long";
}

static const char *string_type(const json_t *node)
{
    const char *format = tr_json_text(node, "format", "");
    const char *named = tr_json_text(node, "meta:xdmType", "");
    if (strcmp(format, "date") == 0 || strcmp(named, "date") == 0)
        return "date";
    return strcmp(format, "date-time") == 0 || strcmp(named, "date-time") == 0 ? "date-time"
                                                                               : "string";
}

static const char *object_type(const json_t *node)
{
    if (json_object_get(node, "properties") != NULL)
        return "object";
    return json_is_object(json_object_get(node, "additionalProperties")) ? "map" : "object";
}

/* JSON Schema's type word, or what the other members say it must be; "" when nothing does. */
static const char *type_word(const json_t *node)
{
    const json_t *type = json_object_get(node, "type");
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *word = json_string_value(json_array_get(type, i));
        if (word != NULL && strcmp(word, "null") != 0)
            return word;
    }
    if (json_is_string(type))
        return json_string_value(type);
    if (json_is_object(json_object_get(node, "properties")) ||
        json_is_object(json_object_get(node, "additionalProperties")))
        return "object";
    if (json_is_object(json_object_get(node, "items")))
        return "array";
    if (json_object_get(node, "enum") != NULL)
        return "string";
    return tr_json_text(node, "meta:xdmType", "");
}

const char *tr_xdm_node_xdm_type(const json_t *node)
{
    static const char *const plain[] = {"number", "boolean", "array", "map", "date", "date-time"};
    const char *type = type_word(node);
    if (strcmp(type, "string") == 0)
        return string_type(node);
    if (strcmp(type, "integer") == 0 || strcmp(type, "long") == 0 || strcmp(type, "int") == 0 ||
        strcmp(type, "short") == 0 || strcmp(type, "byte") == 0)
        return integer_type(node);
    if (strcmp(type, "object") == 0)
        return object_type(node);
    if (strcmp(type, "double") == 0)
        return "number";
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(type, plain[i]) == 0)
            return plain[i];
    return NULL;
}

bool tr_xdm_node_kind(const json_t *node, tr_kind *out)
{
    static const struct {
        const char *name;
        tr_kind kind;
    } kinds[] = {
        {"string", TR_KIND_STRING},   {"number", TR_KIND_DOUBLE}, {"int", TR_KIND_INT32},
        {"short", TR_KIND_INT32},     {"byte", TR_KIND_INT32},    {"long", TR_KIND_INT64},
        {"boolean", TR_KIND_BOOLEAN}, {"date", TR_KIND_DATE},     {"date-time", TR_KIND_TIMESTAMP},
        {"object", TR_KIND_OBJECT},   {"map", TR_KIND_MAP},       {"array", TR_KIND_ARRAY}};
    const char *name = tr_xdm_node_xdm_type(node);
    for (size_t i = 0; name != NULL && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(name, kinds[i].name) == 0) {
            *out = kinds[i].kind;
            return true;
        }
    return false;
}

static bool list_has(const json_t *list, const json_t *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), text))
            return true;
    return false;
}

/* Adds what is missing to the list under `key`; false: no memory. */
static bool unite_list(json_t *into, const char *key, const json_t *more)
{
    json_t *list = json_object_get(into, key);
    if (!json_is_array(more))
        return true;
    json_t *united = json_is_array(list) ? json_copy(list) : json_array();
    for (size_t i = 0; i < json_array_size(more); i++)
        if (!list_has(united, json_array_get(more, i)) &&
            json_array_append(united, json_array_get(more, i)) != 0) {
            json_decref(united);
            return false;
        }
    return json_object_set_new(into, key, united) == 0;
}

static void note_clash(const json_t *a, const json_t *b, const tr_xdm_path *path, json_t *clashes)
{
    const char *one = tr_xdm_node_xdm_type(a);
    const char *other = tr_xdm_node_xdm_type(b);
    if (clashes == NULL || one == NULL || other == NULL || strcmp(one, other) == 0)
        return;
    /* A path that was cut inside a character is no JSON text: then the types must do. */
    json_t *sentence = json_sprintf("%s is %s and %s", path->text, one, other);
    if (sentence == NULL)
        sentence = json_sprintf("a deep field is %s and %s", one, other);
    (void)json_array_append_new(clashes, sentence);
}

/* The field of that name, or of its twin: a tenant's "person" means the standard "xdm:person". */
static json_t *known_field(const json_t *fields, const char *name)
{
    char twin[TR_XDM_NAME_BYTES_MAX];
    json_t *found = json_object_get(fields, name);
    if (found != NULL || name[0] == '_' || name[0] == '@')
        return found;
    if (strncmp(name, "xdm:", 4) == 0)
        return json_object_get(fields, name + 4);
    if (strchr(name, ':') != NULL ||
        snprintf(twin, sizeof twin, "xdm:%s", name) >= (int)sizeof twin)
        return NULL;
    return json_object_get(fields, twin);
}

static tr_code merge_properties(json_t *into, const json_t *from, tr_xdm_path *path,
                                json_t *clashes, tr_err *err)
{
    json_t *mine = json_object_get(into, "properties");
    const char *name;
    json_t *field;
    if (mine == NULL) {
        if (json_object_set_new(into, "properties", mine = json_object()) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to resolve a schema");
    }
    json_object_foreach((json_t *)(uintptr_t)from, name, field) {
        json_t *known = known_field(mine, name);
        if (known == NULL) {
            if (json_object_set(mine, name, field) != 0)
                return TR_FAIL(err, TR_NO_MEMORY, "no memory to resolve a schema");
            continue;
        }
        const size_t before = tr_xdm_path_push(path, name);
        note_clash(known, field, path, clashes);
        TR_TRY(tr_xdm_node_merge(known, field, path, clashes, err));
        tr_xdm_path_pop(path, before);
    }
    return TR_OK;
}

tr_code tr_xdm_node_merge(json_t *into, const json_t *from, tr_xdm_path *path, json_t *clashes,
                          tr_err *err)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)from, key, value) {
        json_t *known = json_object_get(into, key);
        bool is_done = true;
        if (strcmp(key, "properties") == 0) {
            TR_TRY(merge_properties(into, value, path, clashes, err));
        } else if (strcmp(key, "required") == 0) {
            is_done = unite_list(into, key, value);
        } else if (known == NULL) {
            is_done = json_object_set(into, key, value) == 0;
        } else if ((strcmp(key, "items") == 0 || strcmp(key, "additionalProperties") == 0) &&
                   json_is_object(known) && json_is_object(value)) {
            const size_t before = tr_xdm_path_push(path, "*");
            note_clash(known, value, path, clashes);
            TR_TRY(tr_xdm_node_merge(known, value, path, clashes, err));
            tr_xdm_path_pop(path, before);
        }
        if (!is_done)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to resolve a schema");
    }
    return TR_OK;
}
