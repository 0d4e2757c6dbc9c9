/* SPDX-License-Identifier: Apache-2.0 */
/* registry_check.c - the rules of composition, in the order in which clients are told of them. */
#include "api/registry_internal.h"
#include "base/limits.h"

#include <ctype.h>
#include <strings.h>

static bool is_type(const json_t *doc, const char *type)
{
    return strcmp(tr_json_text(doc, "meta:resourceType", ""), type) == 0;
}

static tr_code check_title(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    const char *title = tr_json_text(doc, "title", "");
    json_t *all = NULL;
    tr_code code = TR_OK;
    if (title[0] == '\0')
        return TR_XDM_FAIL(r, err, BODY, "\"title\" is missing: a resource needs a title");
    TR_TRY(tr_registry_all(r, NULL, &all, err));
    for (size_t i = 0; i < json_array_size(all) && code == TR_OK; i++) {
        const json_t *other = json_array_get(all, i);
        if (strcmp(tr_json_text(other, "title", ""), title) == 0 &&
            strcmp(tr_json_text(other, "$id", ""), tr_json_text(doc, "$id", "")) != 0)
            code = TR_XDM_FAIL(r, err, TITLE, "the title \"%.100s\" is taken by \"%.200s\"", title,
                               tr_json_text(other, "$id", ""));
    }
    json_decref(all);
    return code;
}

static tr_code check_members(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    static const char *const objects[] = {"properties", "definitions"};
    static const char *const arrays[] = {"allOf", "meta:immutableTags", "meta:intendedToExtend"};
    for (size_t i = 0; i < 2; i++)
        if (json_object_get(doc, objects[i]) != NULL &&
            !json_is_object(json_object_get(doc, objects[i])))
            return TR_XDM_FAIL(r, err, BODY, "\"%s\" is not an object", objects[i]);
    for (size_t i = 0; i < 3; i++)
        if (json_object_get(doc, arrays[i]) != NULL &&
            !json_is_array(json_object_get(doc, arrays[i])))
            return TR_XDM_FAIL(r, err, BODY, "\"%s\" is not an array", arrays[i]);
    const json_t *parts = json_object_get(doc, "allOf");
    for (size_t i = 0; i < json_array_size(parts); i++)
        if (!json_is_object(json_array_get(parts, i)))
            return TR_XDM_FAIL(r, err, BODY, "entry %zu of \"allOf\" is not an object", i);
    if (is_type(doc, "schemas") && json_array_size(parts) == 0)
        return TR_XDM_FAIL(r, err, BODY,
                           "\"allOf\" is missing: a schema refers to one class there");
    if (is_type(doc, "mixins") &&
        json_array_size(json_object_get(doc, "meta:intendedToExtend")) == 0)
        return TR_XDM_FAIL(r, err, BODY,
                           "\"meta:intendedToExtend\" is missing: a field group names the "
                           "classes it is made for");
    if (is_type(doc, "datatypes") && json_object_get(doc, "properties") == NULL &&
        json_object_get(doc, "items") == NULL && json_object_get(doc, "definitions") == NULL &&
        json_array_size(parts) == 0)
        return TR_XDM_FAIL(r, err, BODY,
                           "a data type has \"properties\", \"items\" or \"definitions\"");
    return TR_OK;
}

/* A node's own words: an xdm type that agrees with the type, a map without properties. */
static tr_code check_node(tr_registry_call *r, const json_t *node, const char *name, tr_err *err)
{
    static const char *const numbers[] = {"int", "long", "short", "byte", "integer", NULL};
    const char *type = tr_json_text(node, "type", NULL);
    const char *named = tr_json_text(node, "meta:xdmType", NULL);
    bool agrees = true;
    if (json_is_object(json_object_get(node, "additionalProperties")) &&
        json_object_size(json_object_get(node, "properties")) > 0)
        return TR_XDM_FAIL(r, err, BODY,
                           "field \"%s\" has both properties and additionalProperties", name);
    if (type == NULL || named == NULL)
        return TR_OK;
    if (strcmp(type, "integer") == 0) {
        agrees = false;
        for (size_t i = 0; numbers[i] != NULL; i++)
            agrees = agrees || strcmp(named, numbers[i]) == 0;
    } else if (strcmp(type, "string") == 0) {
        agrees = strcmp(named, "string") == 0 || strncmp(named, "date", 4) == 0;
    } else if (strcmp(type, "object") == 0) {
        agrees = strcmp(named, "object") == 0 || strcmp(named, "map") == 0;
    } else if (strcmp(type, "number") == 0) {
        agrees = strcmp(named, "number") == 0 || strcmp(named, "double") == 0;
    } else {
        agrees = strcmp(named, type) == 0;
    }
    return agrees ? TR_OK
                  : TR_XDM_FAIL(r, err, BODY, "field \"%s\" has type %s and meta:xdmType %s", name,
                                type, named);
}

/* Below the tenant's name: letters, digits, '-', '_', not '_' first; no two that differ by case
 * alone. */
static tr_code check_name(tr_registry_call *r, const json_t *fields, const char *name, tr_err *err)
{
    const char *other;
    json_t *field;
    bool is_good = name[0] != '\0' && name[0] != '_';
    for (const char *at = name; *at != '\0'; at++)
        is_good =
            is_good && (isalnum((unsigned char)*at) || *at == '-' || *at == '_' || *at == ':');
    if (!is_good)
        return TR_XDM_FAIL(
            r, err, FIELD_NAME,
            "\"%.100s\" is not a field name: letters, digits, '-' and '_', not '_' first", name);
    json_object_foreach((json_t *)(uintptr_t)fields, other, field)
        if (strcasecmp(other, name) == 0 && strcmp(other, name) != 0)
            return TR_XDM_FAIL(r, err, FIELD_NAME, "\"%.100s\" and \"%.100s\" differ only by case",
                               name, other);
    return TR_OK;
}

static tr_code check_fields(tr_registry_call *r, const json_t *node, bool is_custom, uint32_t depth,
                            tr_err *err)
{
    const json_t *fields = json_object_get(node, "properties");
    const char *name;
    json_t *field;
    if (depth > TR_SCHEMA_DEPTH_MAX)
        return TR_XDM_FAIL(r, err, BODY, "fields nest deeper than %d levels", TR_SCHEMA_DEPTH_MAX);
    json_object_foreach((json_t *)(uintptr_t)fields, name, field) {
        if (!json_is_object(field))
            return TR_XDM_FAIL(r, err, BODY, "field \"%.100s\" is not an object", name);
        if (is_custom)
            TR_TRY(check_name(r, fields, name, err));
        TR_TRY(check_node(r, field, name, err));
        const bool is_tenant =
            name[0] == '_' && strcmp(name + 1, r->registry.tenant->tenant_name) == 0;
        const json_t *inner = json_object_get(field, "items");
        if (inner == NULL)
            inner = json_object_get(field, "additionalProperties");
        TR_TRY(check_fields(r, field, is_custom || is_tenant, depth + 1, err));
        if (json_is_object(inner))
            TR_TRY(check_fields(r, inner, is_custom || is_tenant, depth + 1, err));
    }
    return TR_OK;
}

/* Every field of a part that is written in place must be, or lead to, one below _<tenant>. */
static tr_code check_tenant_fields(tr_registry_call *r, const json_t *node, const char *inside,
                                   tr_err *err)
{
    const char *tenant = r->registry.tenant->tenant_name;
    const size_t tenant_len = strlen(tenant);
    const char *name;
    json_t *field;
    json_object_foreach(json_object_get(node, "properties"), name, field) {
        const bool is_tenant = (name[0] == '_' && strcmp(name + 1, tenant) == 0) ||
                               (strncmp(name, tenant, tenant_len) == 0 && name[tenant_len] == ':');
        const json_t *inner = json_object_get(field, "items");
        const json_t *object = json_object_get(inner, "properties") != NULL ? inner : field;
        if (is_tenant)
            continue;
        if (json_object_size(json_object_get(object, "properties")) == 0)
            return TR_XDM_FAIL(r, err, TENANT_FIELD,
                               "the custom field \"%.100s%s%.100s\" must be under \"_%s\"", inside,
                               inside[0] == '\0' ? "" : ".", name, tenant);
        TR_TRY(check_tenant_fields(r, object, name, err));
    }
    return TR_OK;
}

static tr_code check_names(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    const json_t *parts = json_object_get(doc, "allOf");
    const char *name;
    json_t *definition;
    const bool is_free = is_type(doc, "datatypes") ||
                         tr_json_text(doc, "meta:datasetNamespace", NULL) ||
                         tr_json_text(doc, "meta:behaviorType", NULL) ||
                         tr_registry_lists(json_object_get(doc, "meta:extends"),
                                           "https://ns.adobe.com/xdm/data/adhoc");
    TR_TRY(check_fields(r, doc, is_type(doc, "datatypes"), 0, err));
    json_object_foreach(json_object_get(doc, "definitions"), name, definition)
        TR_TRY(check_fields(r, definition, is_type(doc, "datatypes"), 0, err));
    if (is_free)
        return TR_OK;
    TR_TRY(check_tenant_fields(r, doc, "", err));
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const json_t *part = json_array_get(parts, i);
        const char *ref = tr_json_text(part, "$ref", "");
        TR_TRY(check_tenant_fields(r, part, "", err));
        if (strncmp(ref, "#/definitions/", 14) == 0)
            TR_TRY(check_tenant_fields(
                r, json_object_get(json_object_get(doc, "definitions"), ref + 14), "", err));
    }
    return TR_OK;
}

/* record, time-series, adhoc: the behaviours a document inherits, as bits. */
static unsigned behaviors_of(const json_t *doc)
{
    static const char *const ids[] = {"https://ns.adobe.com/xdm/data/record",
                                      "https://ns.adobe.com/xdm/data/time-series",
                                      "https://ns.adobe.com/xdm/data/adhoc"};
    const json_t *extends = json_object_get(doc, "meta:extends");
    unsigned found = 0;
    for (unsigned i = 0; i < 3; i++)
        if (tr_registry_lists(extends, ids[i]) || strcmp(tr_json_text(doc, "$id", ""), ids[i]) == 0)
            found |= 1u << i;
    return found;
}

/* A group made for records cannot describe events; between classes of one behaviour we are lax. */
static tr_code check_group(tr_registry_call *r, const json_t *group, const json_t *of_class,
                           tr_err *err)
{
    const json_t *made_for = json_object_get(group, "meta:intendedToExtend");
    const unsigned wanted = behaviors_of(of_class);
    unsigned offered = 0;
    if (json_array_size(made_for) == 0 || wanted == 0 ||
        tr_registry_lists(made_for, tr_json_text(of_class, "$id", "")))
        return TR_OK;
    for (size_t i = 0; i < json_array_size(made_for); i++) {
        const json_t *target;
        const char *id = json_string_value(json_array_get(made_for, i));
        if (id != NULL && tr_registry_lookup(&r->registry, tr_str_of(id), &target, NULL) == TR_OK)
            offered |= behaviors_of(target);
    }
    if (offered == 0 || (offered & wanted) != 0)
        return TR_OK;
    return TR_XDM_FAIL(r, err, GROUP,
                       "the field group \"%.200s\" is made for another behaviour than the class "
                       "\"%.200s\" has",
                       tr_json_text(group, "$id", ""), tr_json_text(of_class, "$id", ""));
}

static tr_code get_part(tr_registry_call *r, const json_t *part, const json_t **out, tr_err *err)
{
    const char *ref = tr_json_text(part, "$ref", "#");
    const char *encoded = strstr(ref, "%23");
    const size_t len = encoded != NULL ? (size_t)(encoded - ref) : strcspn(ref, "#");
    *out = NULL;
    if (len == 0)
        return TR_OK;
    const tr_code code =
        tr_registry_lookup(&r->registry, (tr_str){(const uint8_t *)ref, len}, out, err);
    return code == TR_NOT_FOUND ? TR_XDM_FAIL(r, err, REFERENCE, "\"%.200s\" does not exist", ref)
                                : code;
}

static tr_code check_parts(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    const json_t *parts = json_object_get(doc, "allOf");
    const json_t *of_class = NULL, *target;
    size_t classes = 0, behaviors = 0;
    for (size_t i = 0; i < json_array_size(parts); i++) {
        TR_TRY(get_part(r, json_array_get(parts, i), &target, err));
        if (is_type(target, "classes") && classes++ == 0)
            of_class = target;
        behaviors += is_type(target, "behaviors");
        if (is_type(doc, "schemas") && (is_type(target, "schemas") || is_type(target, "unions")))
            return TR_XDM_FAIL(r, err, REFERENCE,
                               "a schema is made of a class and field groups: \"%.200s\" is "
                               "a schema",
                               tr_json_text(target, "$id", ""));
    }
    if (is_type(doc, "classes") && behaviors + classes == 0)
        return TR_XDM_FAIL(r, err, CLASS,
                           "a class refers to one behaviour in \"allOf\", such as "
                           "https://ns.adobe.com/xdm/data/record");
    if (!is_type(doc, "schemas") || tr_json_text(doc, "meta:behaviorType", NULL) != NULL)
        return TR_OK;
    if (classes != 1)
        return TR_XDM_FAIL(r, err, CLASS,
                           "a schema refers to exactly one class in \"allOf\", not %zu", classes);
    for (size_t i = 0; i < json_array_size(parts); i++) {
        TR_TRY(get_part(r, json_array_get(parts, i), &target, err));
        if (is_type(target, "datatypes") &&
            strstr(tr_json_text(target, "$id", ""), "/xdm/common/") == NULL)
            return TR_XDM_FAIL(r, err, REFERENCE,
                               "a schema is made of a class and field groups: \"%.200s\" is "
                               "a data type",
                               tr_json_text(target, "$id", ""));
        if (is_type(target, "mixins"))
            TR_TRY(check_group(r, target, of_class, err));
    }
    return TR_OK;
}

static tr_code check_coherence(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    json_t *clashes = NULL;
    tr_code code = tr_xdm_clashes(tr_registry_lookup, &r->registry, doc, &clashes, err);
    if (code == TR_NOT_FOUND)
        r->error = TR_XDM_REFERENCE;
    if (code == TR_OK && json_array_size(clashes) > 0)
        code = TR_XDM_FAIL(r, err, TYPE_CLASH, "a field has two types: %.300s",
                           json_string_value(json_array_get(clashes, 0)));
    json_decref(clashes);
    return code == TR_NOT_FOUND ? TR_INVALID : code;
}

/* What cannot be shown must not be stored. */
static tr_code check_shown(const json_t *doc, tr_err *err)
{
    json_t *shown = NULL;
    const tr_code code = tr_xdm_compat(doc, true, &shown, err);
    if (code == TR_OK)
        json_decref(shown);
    return code;
}

tr_code tr_registry_check(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    TR_TRY(check_title(r, doc, err));
    TR_TRY(check_members(r, doc, err));
    TR_TRY(check_parts(r, doc, err));
    TR_TRY(check_names(r, doc, err));
    TR_TRY(tr_registry_overlay(r, doc, err));
    TR_TRY(check_shown(doc, err));
    TR_TRY(check_coherence(r, doc, err));
    return tr_registry_has_tag(doc) && is_type(doc, "schemas")
               ? tr_registry_check_union(r, doc, err)
               : TR_OK;
}
