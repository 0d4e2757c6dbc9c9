/* SPDX-License-Identifier: Apache-2.0 */
/* policy_check.c - a client's merge policy, checked and brought into the one form that is stored.
 *
 * The stored form has every member, real booleans, and the order at attributeMerge.order,
 * wherever the client put it (attributeMerge.data.order is the old place).
 */
#include "policy/policy_internal.h"

#include "base/limits.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a merge policy");
}

static tr_code need_object(const json_t *body, const char *member, const json_t **out, tr_err *err)
{
    const json_t *value = json_object_get(body, member);
    if (value == NULL || json_is_null(value))
        return TR_FAIL(err, TR_INVALID, "%s is required", member);
    if (!json_is_object(value))
        return TR_FAIL(err, TR_INVALID, "%s must be an object", member);
    *out = value;
    return TR_OK;
}

static tr_code need_word(const json_t *object, const char *where, const char *key,
                         const char *const words[2], const char **out, tr_err *err)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value))
        return TR_FAIL(err, TR_INVALID, "%s.%s is required: %s or %s", where, key, words[0],
                       words[1]);
    for (int i = 0; i < 2 && json_is_string(value); i++)
        if (strcmp(json_string_value(value), words[i]) == 0) {
            *out = words[i];
            return TR_OK;
        }
    return TR_FAIL(err, TR_INVALID, "%s.%s is \"%.60s\": expected %s or %s", where, key,
                   json_is_string(value) ? json_string_value(value) : "not a string", words[0],
                   words[1]);
}

tr_code tr_policy_flag(const json_t *value, const char *member, bool otherwise, bool *out,
                       tr_err *err)
{
    bool flag = otherwise;
    if (json_is_boolean(value))
        flag = json_is_true(value);
    else if (json_is_string(value) && strcmp(json_string_value(value), "true") == 0)
        flag = true;
    else if (json_is_string(value) && strcmp(json_string_value(value), "false") == 0)
        flag = false;
    else if (value != NULL && !json_is_null(value))
        return TR_FAIL(err, TR_INVALID, "%s must be true or false", member);
    *out = flag;
    return TR_OK;
}

static tr_code check_dataset(tr_catalog *catalog, const tr_tenant *tenant, const json_t *order,
                             size_t at, tr_err *err)
{
    tr_object dataset = {0};
    const json_t *item = json_array_get(order, at);
    const char *id = json_string_value(item);
    if (id == NULL)
        return TR_FAIL(err, TR_INVALID, "attributeMerge.order[%zu] must be a dataset id", at);
    for (size_t i = 0; i < at; i++)
        if (json_equal(json_array_get(order, i), item))
            return TR_FAIL(err, TR_INVALID, "attributeMerge.order names dataset \"%.60s\" twice",
                           id);
    const tr_code code = tr_catalog_get(catalog, tenant, "dataset", id, &dataset, err);
    tr_object_clear(&dataset);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "attributeMerge.order[%zu]: no dataset with id \"%.60s\"",
                       at, id);
    return code;
}

static tr_code check_order(tr_catalog *catalog, const tr_tenant *tenant, const json_t *merge,
                           const json_t **out, tr_err *err)
{
    const json_t *order = json_object_get(merge, "order");
    if (order == NULL)
        order = json_object_get(json_object_get(merge, "data"), "order");
    if (!json_is_array(order) || json_array_size(order) == 0)
        return TR_FAIL(err, TR_INVALID,
                       "attributeMerge.order is required with dataSetPrecedence: "
                       "an array of dataset ids, the best first");
    if (json_array_size(order) > TR_MERGE_POLICY_DATASETS_MAX)
        return TR_FAIL(err, TR_INVALID,
                       "attributeMerge.order has %zu datasets, at most %d are allowed",
                       json_array_size(order), TR_MERGE_POLICY_DATASETS_MAX);
    for (size_t i = 0; i < json_array_size(order); i++)
        TR_TRY(check_dataset(catalog, tenant, order, i, err));
    *out = order;
    return TR_OK;
}

static tr_code check_schema(const json_t *body, tr_err *err)
{
    const json_t *schema = NULL;
    TR_TRY(need_object(body, "schema", &schema, err));
    const json_t *name = json_object_get(schema, "name");
    if (!json_is_string(name))
        return TR_FAIL(err, TR_INVALID,
                       "schema.name is required: a class name such as " TR_POLICY_SCHEMA);
    if (strcmp(json_string_value(name), TR_POLICY_SCHEMA) != 0)
        return TR_FAIL(err, TR_INVALID,
                       "schema.name is \"%.80s\": merge policies are for the "
                       "class " TR_POLICY_SCHEMA,
                       json_string_value(name));
    return TR_OK;
}

/* The members that merging looks at. */
static tr_code read_merging(tr_catalog *catalog, const tr_tenant *tenant, const json_t *body,
                            json_t **graph, json_t **merging, tr_err *err)
{
    static const char *const graphs[2] = {"none", "pdg"};
    static const char *const merges[2] = {"timestampOrdered", "dataSetPrecedence"};
    const json_t *identity = NULL, *merge = NULL, *order = NULL;
    const char *graph_type = NULL, *merge_type = NULL;
    TR_TRY(need_object(body, "attributeMerge", &merge, err));
    TR_TRY(need_word(merge, "attributeMerge", "type", merges, &merge_type, err));
    TR_TRY(need_object(body, "identityGraph", &identity, err));
    TR_TRY(need_word(identity, "identityGraph", "type", graphs, &graph_type, err));
    if (merge_type == merges[1])
        TR_TRY(check_order(catalog, tenant, merge, &order, err));
    json_t *out = json_pack("{s:s}", "type", merge_type);
    if (order != NULL && json_object_set_new(out, "order", json_deep_copy(order)) != 0) {
        json_decref(out);
        return no_memory(err);
    }
    *graph = json_pack("{s:s}", "type", graph_type);
    *merging = out;
    return TR_OK;
}

tr_code tr_policy_check(tr_catalog *catalog, const tr_tenant *tenant, const json_t *body,
                        bool default_otherwise, json_t **out, tr_err *err)
{
    json_t *graph = NULL, *merging = NULL;
    bool is_edge = false, is_default = false;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "a merge policy must be a JSON object");
    const json_t *name = json_object_get(body, "name");
    if (name != NULL && !json_is_null(name) && !json_is_string(name))
        return TR_FAIL(err, TR_INVALID, "name must be a string");
    TR_TRY(check_schema(body, err));
    TR_TRY(tr_policy_flag(json_object_get(body, "isActiveOnEdge"), "isActiveOnEdge", false,
                          &is_edge, err));
    TR_TRY(tr_policy_flag(json_object_get(body, "default"), "default", default_otherwise,
                          &is_default, err));
    TR_TRY(read_merging(catalog, tenant, body, &graph, &merging, err));
    json_t *draft = json_pack("{s:s, s:{s:s}, s:o, s:o, s:b, s:b}", "name",
                              name == NULL ? "" : tr_json_text(body, "name", ""), "schema", "name",
                              TR_POLICY_SCHEMA, "identityGraph", graph, "attributeMerge", merging,
                              "isActiveOnEdge", is_edge, "default", is_default);
    if (draft == NULL)
        return no_memory(err);
    *out = draft;
    return TR_OK;
}

/* One operation of a patch on `doc`, the stored form. */
static tr_code patch_one(json_t *doc, const json_t *operation, size_t number, tr_err *err)
{
    static const char *const paths[][3] = {{"name", NULL, "name"},
                                           {"identityGraph", "type", "identityGraph.type"},
                                           {"attributeMerge", "type", "attributeMerge.type"},
                                           {"schema", "name", "schema.name"},
                                           {"default", NULL, "default"},
                                           {"isActiveOnEdge", NULL, "isActiveOnEdge"},
                                           {"isActiveOnEdge", NULL, "idActiveOnEdge"},
                                           {NULL, NULL, "version"}};
    char wanted[64];
    const char *op = tr_json_text(operation, "op", "");
    const char *path = tr_json_text(operation, "path", "");
    json_t *value = json_object_get(operation, "value");
    if (strcmp(op, "add") != 0 && strcmp(op, "replace") != 0)
        return TR_FAIL(err, TR_INVALID, "operation %zu: op is \"%.20s\": expected add", number, op);
    if (value == NULL)
        return TR_FAIL(err, TR_INVALID, "operation %zu: value is required", number);
    (void)snprintf(wanted, sizeof wanted, "%s", path[0] == '/' ? path + 1 : path);
    for (char *at = wanted; *at != '\0'; at++)
        *at = *at == '/' ? '.' : *at;
    if (strncmp(wanted, "attributeMerge.", 15) == 0 && strcmp(wanted, "attributeMerge.type") != 0)
        return TR_FAIL(err, TR_INVALID, "operation %zu: %s cannot be patched, use PUT", number,
                       wanted);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (strcmp(wanted, paths[i][2]) != 0)
            continue;
        if (paths[i][0] == NULL)
            return TR_OK; /* the version is the server's: what clients send for it has no effect */
        json_t *object = paths[i][1] == NULL ? doc : json_object_get(doc, paths[i][0]);
        const char *key = paths[i][1] == NULL ? paths[i][0] : paths[i][1];
        return json_object_set(object, key, value) == 0 ? TR_OK : no_memory(err);
    }
    return TR_FAIL(err, TR_INVALID, "operation %zu: path \"%.60s\" cannot be patched", number,
                   path);
}

tr_code tr_policy_apply(json_t *doc, const json_t *operations, tr_err *err)
{
    if (json_is_object(operations))
        return patch_one(doc, operations, 0, err);
    if (!json_is_array(operations) || json_array_size(operations) == 0)
        return TR_FAIL(err, TR_INVALID, "a patch must be an operation or an array of operations");
    for (size_t i = 0; i < json_array_size(operations); i++) {
        if (!json_is_object(json_array_get(operations, i)))
            return TR_FAIL(err, TR_INVALID, "operation %zu must be an object", i);
        TR_TRY(patch_one(doc, json_array_get(operations, i), i, err));
    }
    return TR_OK;
}
