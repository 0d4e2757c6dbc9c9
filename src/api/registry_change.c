/* SPDX-License-Identifier: Apache-2.0 */
/* registry_change.c - what a change may not do to schemas that are in use.
 *
 * A schema is bound once a dataset uses it or it carries the union tag. A change of anything
 * (schema, group, class, data type) is judged by what it does to every bound schema: each is
 * resolved twice, without and with the new document, and the two trees are compared. Additive is
 * allowed; a field that goes, changes its type or takes fewer values is not.
 */
#include "api/registry_internal.h"

#include <stdio.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to check a change");
}

tr_code tr_registry_overlay(tr_registry_call *r, const json_t *doc, tr_err *err)
{
    json_t *shared = (json_t *)(uintptr_t)doc;
    if (r->registry.held == NULL)
        r->registry.held = json_object();
    if (json_object_set(r->registry.held, tr_json_text(doc, "$id", ""), shared) != 0 ||
        json_object_set(r->registry.held, tr_json_text(doc, "meta:altId", ""), shared) != 0)
        return no_memory(err);
    return TR_OK;
}

static tr_code add_schema_id(void *ctx, const tr_object *object, tr_err *err)
{
    const char *id = tr_json_text(json_object_get(object->doc, "schemaRef"), "id", NULL);
    if (id == NULL)
        return TR_OK;
    return json_object_set_new(ctx, id,
                               json_string(tr_json_text(object->doc, "name", object->id))) == 0
               ? TR_OK
               : no_memory(err);
}

/* {schema id: name of a dataset of it}, returned. */
static tr_code datasets_by_schema(tr_registry_call *r, json_t **out, tr_err *err)
{
    const tr_catalog_filter any = {0};
    json_t *found = json_object();
    const tr_code code = tr_catalog_list(r->registry.catalog, r->registry.tenant, "dataset", &any,
                                         add_schema_id, found, err);
    if (code != TR_OK) {
        json_decref(found);
        return code;
    }
    *out = found;
    return TR_OK;
}

static const char *dataset_of(const json_t *datasets, const json_t *schema)
{
    const char *by_id = tr_json_text(datasets, tr_json_text(schema, "$id", ""), NULL);
    return by_id != NULL ? by_id
                         : tr_json_text(datasets, tr_json_text(schema, "meta:altId", ""), NULL);
}

static tr_code add_descriptor(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append(ctx, object->doc) == 0 ? TR_OK : no_memory(err);
}

tr_code tr_registry_descriptors_of(tr_registry_call *r, const char *schema_id, const char *type,
                                   json_t **out, tr_err *err)
{
    const tr_catalog_filter filter = {.parent = schema_id, .state = type};
    json_t *list = json_array();
    const tr_code code = tr_catalog_list(r->registry.catalog, r->registry.tenant, "descriptor",
                                         &filter, add_descriptor, list, err);
    if (code != TR_OK) {
        json_decref(list);
        return code;
    }
    *out = list;
    return TR_OK;
}

static tr_code has_primary(tr_registry_call *r, const char *schema_id, bool *out, tr_err *err)
{
    json_t *list = NULL;
    TR_TRY(tr_registry_descriptors_of(r, schema_id, "xdm:descriptorIdentity", &list, err));
    *out = false;
    for (size_t i = 0; i < json_array_size(list); i++)
        *out = *out || tr_json_bool(json_array_get(list, i), "xdm:isPrimary", false);
    json_decref(list);
    return TR_OK;
}

tr_code tr_registry_check_union(tr_registry_call *r, const json_t *schema, tr_err *err)
{
    const char *id = tr_json_text(schema, "$id", ""),
               *of_class = tr_json_text(schema, "meta:class", "");
    json_t *resolved = NULL, *members = NULL, *clashes = NULL;
    bool is_identified = false;
    TR_TRY(tr_xdm_resolve_doc(tr_registry_lookup, &r->registry, schema, false, &resolved, err));
    const bool has_map =
        json_object_get(json_object_get(resolved, "properties"), "identityMap") != NULL;
    json_decref(resolved);
    TR_TRY(has_primary(r, id, &is_identified, err));
    if (!has_map && !is_identified)
        return TR_XDM_FAIL(
            r, err, NO_IDENTITY,
            "\"%.200s\" cannot join the union: it has neither identityMap nor a primary "
            "identity",
            id);
    TR_TRY(tr_registry_union_members(&r->registry, of_class, &members, err));
    json_t *parts = json_pack("[{s:s}]", "$ref", id);
    for (size_t i = 0; i < json_array_size(members); i++) {
        const json_t *member = json_object_get(json_array_get(members, i), "$id");
        if (strcmp(json_string_value(member), id) != 0)
            (void)json_array_append_new(parts, json_pack("{s:O}", "$ref", member));
    }
    json_decref(members);
    json_t *together = json_pack("{s:s, s:o}", "$id", "the union", "allOf", parts);
    tr_code code = tr_xdm_clashes(tr_registry_lookup, &r->registry, together, &clashes, err);
    if (code == TR_OK && json_array_size(clashes) > 0)
        code = TR_XDM_FAIL(r, err, TYPE_CLASH, "\"%.150s\" does not fit the union: %.200s", id,
                           json_string_value(json_array_get(clashes, 0)));
    json_decref(together);
    json_decref(clashes);
    return code;
}

typedef struct comparison {
    char path[256];
    size_t len;
    char why[96]; /* empty: nothing is broken */
} comparison;

static bool broken(comparison *c, const char *why)
{
    (void)snprintf(c->why, sizeof c->why, "%s", why);
    return true;
}

static bool has_value(const json_t *list, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), value))
            return true;
    return false;
}

/* Whether a bound is new, or narrower than it was. way: 1 for minima, -1 for maxima. */
static bool is_narrower(const json_t *old, const json_t *new, const char *key, int way)
{
    const json_t *before = json_object_get(old, key), *after = json_object_get(new, key);
    if (!json_is_number(after))
        return false;
    return !json_is_number(before) ||
           (json_number_value(after) - json_number_value(before)) * way > 0;
}

static bool breaks_values(comparison *c, const json_t *old, const json_t *new)
{
    static const char *const minima[] = {"minimum", "exclusiveMinimum", "minLength", "minItems"};
    static const char *const maxima[] = {"maximum", "exclusiveMaximum", "maxLength", "maxItems"};
    static const char *const texts[] = {"format", "pattern"};
    const json_t *values = json_object_get(new, "enum"), *old_values = json_object_get(old, "enum");
    for (size_t i = 0; i < 4; i++)
        if (is_narrower(old, new, minima[i], 1) || is_narrower(old, new, maxima[i], -1))
            return broken(c, "its bounds are narrower");
    for (size_t i = 0; i < 2; i++) {
        const json_t *text = json_object_get(new, texts[i]);
        if (text != NULL && !json_equal(text, json_object_get(old, texts[i])))
            return broken(c, "its format or pattern changes");
    }
    if (values != NULL && old_values == NULL)
        return broken(c, "it gets an enum");
    for (size_t i = 0; values != NULL && i < json_array_size(old_values); i++)
        if (!has_value(values, json_array_get(old_values, i)))
            return broken(c, "its enum loses a value");
    return false;
}

static bool breaks(comparison *c, const json_t *old, const json_t *new);

static bool breaks_member(comparison *c, const char *name, const json_t *old, const json_t *new)
{
    const size_t before = c->len;
    const int written =
        snprintf(c->path + before, sizeof c->path - before, "%s%s", before == 0 ? "" : ".", name);
    c->len += written < 0 ? 0 : (size_t)written;
    if (c->len >= sizeof c->path)
        c->len = sizeof c->path - 1;
    const bool is_broken = new == NULL ? broken(c, "it is removed") : breaks(c, old, new);
    if (is_broken)
        return true;
    c->len = before;
    c->path[before] = '\0';
    return false;
}

static bool breaks(comparison *c, const json_t *old, const json_t *new)
{
    const json_t *required = json_object_get(new, "required");
    const char *one = tr_xdm_node_xdm_type(old), *other = tr_xdm_node_xdm_type(new);
    const char *name;
    json_t *field;
    if (one != NULL && (other == NULL || strcmp(one, other) != 0))
        return broken(c, "its type changes");
    if (breaks_values(c, old, new))
        return true;
    for (size_t i = 0; i < json_array_size(required); i++)
        if (!has_value(json_object_get(old, "required"), json_array_get(required, i)))
            return breaks_member(c, json_string_value(json_array_get(required, i)), NULL, NULL) &&
                   broken(c, "it becomes required");
    json_object_foreach(json_object_get(old, "properties"), name, field)
        if (breaks_member(c, name, field,
                          json_object_get(json_object_get(new, "properties"), name)))
            return true;
    const json_t *items = json_object_get(old, "items"),
                 *values = json_object_get(old, "additionalProperties");
    return (json_is_object(items) && breaks_member(c, "*", items, json_object_get(new, "items"))) ||
           (json_is_object(values) &&
            breaks_member(c, "*", values, json_object_get(new, "additionalProperties")));
}

static tr_code check_bound(tr_registry_call *r, const json_t *schema, tr_err *err)
{
    tr_registry stored = {.catalog = r->registry.catalog, .tenant = r->registry.tenant};
    const tr_str id = tr_str_of(tr_json_text(schema, "$id", ""));
    json_t *old = NULL, *new = NULL;
    comparison c = {.len = 0};
    tr_code code = tr_xdm_resolve_json(tr_registry_lookup, &stored, id, false, &old, err);
    if (code == TR_OK)
        code = tr_xdm_resolve_json(tr_registry_lookup, &r->registry, id, false, &new, err);
    if (code == TR_OK && breaks(&c, old, new))
        code = TR_XDM_FAIL(r, err, BREAKING, "field \"%s\" of \"%.150s\", which is in use: %s",
                           c.path, tr_json_text(schema, "title", ""), c.why);
    json_decref(old);
    json_decref(new);
    json_decref(stored.held);
    return code;
}

static tr_code check_own_parts(tr_registry_call *r, const json_t *before, const json_t *after,
                               tr_err *err)
{
    const json_t *parts = json_object_get(before, "allOf");
    if (strcmp(tr_json_text(before, "meta:class", ""), tr_json_text(after, "meta:class", "")) != 0)
        return TR_XDM_FAIL(r, err, BREAKING, "the class of a schema in use cannot change");
    for (size_t i = 0; i < json_array_size(parts); i++) {
        const char *ref = tr_json_text(json_array_get(parts, i), "$ref", "#");
        if (ref[0] != '#' && !tr_registry_lists(json_object_get(after, "meta:extends"), ref))
            return TR_XDM_FAIL(r, err, BREAKING,
                               "\"%.200s\" cannot be taken out of a schema in use", ref);
    }
    return TR_OK;
}

bool tr_registry_refers(const json_t *doc, const char *id)
{
    const json_t *refs = json_object_get(doc, "refs");
    const size_t len = strlen(id);
    for (size_t i = 0; i < json_array_size(refs); i++) {
        const char *ref = json_string_value(json_array_get(refs, i));
        if (ref != NULL && strncmp(ref, id, len) == 0 &&
            (ref[len] == '\0' || ref[len] == '#' || ref[len] == '%'))
            return true;
    }
    return false;
}

/* What refers to a changed document must still find its parts there, and agree with them. */
static tr_code check_users(tr_registry_call *r, const char *id, tr_err *err)
{
    json_t *all = NULL;
    TR_TRY(tr_registry_all(r, NULL, &all, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(all) && code == TR_OK; i++) {
        const json_t *user = json_array_get(all, i);
        json_t *clashes = NULL;
        if (!tr_registry_refers(user, id) || strcmp(tr_json_text(user, "$id", ""), id) == 0)
            continue;
        code = tr_xdm_clashes(tr_registry_lookup, &r->registry, user, &clashes, err);
        if (code == TR_NOT_FOUND) {
            r->error = TR_XDM_REFERENCE;
            code = TR_INVALID;
        } else if (code == TR_OK && json_array_size(clashes) > 0) {
            code = TR_XDM_FAIL(r, err, TYPE_CLASH, "in \"%.200s\", which uses it: %.200s",
                               tr_json_text(user, "$id", ""),
                               json_string_value(json_array_get(clashes, 0)));
        }
        json_decref(clashes);
    }
    json_decref(all);
    return code;
}

/* Refuses the removal of what anybody refers to. */
static tr_code check_removal(tr_registry_call *r, const json_t *doc, const json_t *datasets,
                             tr_err *err)
{
    const char *id = tr_json_text(doc, "$id", ""), *user = dataset_of(datasets, doc);
    json_t *all = NULL;
    if (user != NULL)
        return TR_XDM_FAIL(r, err, IN_USE, "\"%.200s\" is the schema of dataset \"%.100s\"", id,
                           user);
    if (tr_registry_has_tag(doc))
        return TR_XDM_FAIL(r, err, IN_USE, "\"%.200s\" is in the union of its class", id);
    TR_TRY(tr_registry_all(r, NULL, &all, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(all) && code == TR_OK; i++) {
        const json_t *other = json_array_get(all, i);
        if (tr_registry_refers(other, id) && strcmp(tr_json_text(other, "$id", ""), id) != 0)
            code = TR_XDM_FAIL(r, err, IN_USE, "\"%.200s\" is used by \"%.200s\"", id,
                               tr_json_text(other, "$id", ""));
    }
    json_decref(all);
    return code;
}

tr_code tr_registry_check_change(tr_registry_call *r, const json_t *before, const json_t *after,
                                 tr_err *err)
{
    json_t *datasets = NULL, *schemas = NULL;
    const char *id = tr_json_text(before, "$id", "");
    TR_TRY(datasets_by_schema(r, &datasets, err));
    tr_code code = after == NULL ? check_removal(r, before, datasets, err) : TR_OK;
    if (code == TR_OK && after != NULL)
        code = check_users(r, id, err);
    if (code == TR_OK && after != NULL)
        code = tr_registry_all(r, "schema", &schemas, err);
    for (size_t i = 0; i < json_array_size(schemas) && code == TR_OK; i++) {
        const json_t *schema = json_array_get(schemas, i);
        if (!tr_registry_has_tag(schema) && dataset_of(datasets, schema) == NULL)
            continue;
        if (strcmp(tr_json_text(schema, "$id", ""), id) == 0)
            code = check_own_parts(r, before, after, err);
        if (code == TR_OK)
            code = check_bound(r, schema, err);
        if (code == TR_OK && tr_registry_has_tag(schema) &&
            strcmp(tr_json_text(schema, "$id", ""), id) != 0)
            code = tr_registry_check_union(r, schema, err);
    }
    json_decref(schemas);
    json_decref(datasets);
    return code;
}

tr_code tr_registry_dataset_of(tr_registry_call *r, const char *schema_id, char name[128],
                               tr_err *err)
{
    json_t *datasets = NULL;
    TR_TRY(datasets_by_schema(r, &datasets, err));
    (void)snprintf(name, 128, "%s", tr_json_text(datasets, schema_id, ""));
    json_decref(datasets);
    return TR_OK;
}
