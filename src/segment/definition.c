/* SPDX-License-Identifier: Apache-2.0 */
/* definition.c - the body of a definition, checked in the order of the reference (2.2), into the
 * document that is stored.
 */
#include "segment/segment_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a segment definition");
}

/* What a client may say; everything else is the server's or not known. */
static const char *const own_members[] = {"name",
                                          "description",
                                          "schema",
                                          "expression",
                                          "evaluationInfo",
                                          "mergePolicyId",
                                          "profileInstanceId",
                                          "payloadSchema",
                                          "dataGovernancePolicy",
                                          "ttlInDays",
                                          "labels",
                                          "tags",
                                          "lifecycleState",
                                          "overridePerformanceWarnings"};
enum { OWN_COUNT = sizeof own_members / sizeof own_members[0] };

/* The members of `body` over those of `old`. */
static tr_code merge_members(const json_t *body, const json_t *old, json_t **out, tr_err *err)
{
    json_t *merged = json_object();
    bool is_good = merged != NULL;
    for (int i = 0; i < OWN_COUNT && is_good; i++) {
        json_t *value = strcmp(own_members[i], "lifecycleState") == 0
                            ? tr_lifecycle_of(body)
                            : json_object_get(body, own_members[i]);
        if (value == NULL || json_is_null(value))
            value = json_object_get(old, own_members[i]);
        if (value != NULL && !json_is_null(value))
            is_good = json_object_set_new(merged, own_members[i], json_deep_copy(value)) == 0;
    }
    if (!is_good) {
        json_decref(merged);
        return no_memory(err);
    }
    *out = merged;
    return TR_OK;
}

static tr_code check_texts(const json_t *doc, tr_err *err)
{
    static const char *const texts[] = {"description", "mergePolicyId", "profileInstanceId",
                                        "payloadSchema"};
    const json_t *value = NULL;
    const char *name = NULL;
    TR_TRY(tr_want_text(doc, "", "name", &name, err));
    if (json_string_length(json_object_get(doc, "name")) > TR_SEGMENT_NAME_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "name has more than %d bytes", TR_SEGMENT_NAME_BYTES_MAX);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        TR_TRY(tr_want_member(doc, "", texts[i], TR_WANT_STRING, &value, err));
    TR_TRY(tr_want_member(doc, "", "ttlInDays", TR_WANT_INTEGER, &value, err));
    if (value != NULL && json_integer_value(value) < 1)
        return TR_FAIL(err, TR_INVALID, "ttlInDays must be 1 or more");
    TR_TRY(tr_want_member(doc, "", "labels", TR_WANT_ARRAY, &value, err));
    TR_TRY(tr_want_member(doc, "", "tags", TR_WANT_ARRAY, &value, err));
    TR_TRY(tr_want_member(doc, "", "overridePerformanceWarnings", TR_WANT_BOOLEAN, &value, err));
    TR_TRY(tr_want_member(doc, "", "dataGovernancePolicy", TR_WANT_OBJECT, &value, err));
    return tr_want_member(value, "dataGovernancePolicy.", "excludeOptOut", TR_WANT_BOOLEAN, &value,
                          err);
}

static tr_code check_schema(const json_t *doc, tr_err *err)
{
    const json_t *schema = NULL, *name = NULL, *id = NULL;
    TR_TRY(tr_want_member(doc, "", "schema", TR_WANT_OBJECT, &schema, err));
    TR_TRY(tr_want_member(schema, "schema.", "name", TR_WANT_STRING, &name, err));
    TR_TRY(tr_want_member(schema, "schema.", "id", TR_WANT_STRING, &id, err));
    if (name == NULL && id == NULL)
        return TR_FAIL(err, TR_INVALID, "schema.name is required: " TR_SEGMENT_SCHEMA);
    if (name != NULL && strcmp(json_string_value(name), TR_SEGMENT_SCHEMA) != 0)
        return TR_FAIL(err, TR_INVALID, "schema.name is \"%.80s\": expected " TR_SEGMENT_SCHEMA,
                       json_string_value(name));
    if (id != NULL && strcmp(json_string_value(id), TR_XDM_PROFILE_CLASS) != 0 &&
        strcmp(json_string_value(id), TR_XDM_PROFILE_UNION) != 0)
        return TR_FAIL(err, TR_INVALID,
                       "schema.id is \"%.120s\": expected " TR_XDM_PROFILE_CLASS " or its union",
                       json_string_value(id));
    return TR_OK;
}

/* The wire's one spelling of type and format. */
static tr_code tidy_expression(json_t *doc, bool is_json, tr_err *err)
{
    json_t *expression = json_object_get(doc, "expression");
    const char *format = is_json ? "pql/json" : "pql/text";
    return json_object_set_new(expression, "type", json_string("PQL")) == 0 &&
                   json_object_set_new(expression, "format", json_string(format)) == 0
               ? TR_OK
               : no_memory(err);
}

static tr_code check_policy(tr_segment *segment, const tr_tenant *tenant, json_t *doc, tr_err *err)
{
    json_t *policy = NULL;
    const char *id = tr_json_text(doc, "mergePolicyId", "");
    tr_code code = id[0] == '\0'
                       ? tr_policy_default(segment->parts.catalog, tenant, &policy, err)
                       : tr_policy_get(segment->parts.catalog, tenant, id, 0, &policy, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "mergePolicyId: no merge policy with id \"%.80s\"", id);
    TR_TRY(code);
    if (json_object_set(doc, "mergePolicyId", json_object_get(policy, "id")) != 0)
        code = no_memory(err);
    json_decref(policy);
    return code;
}

/* ---- what inSegment names */

typedef struct visiting {
    tr_segment *segment;
    const tr_tenant *tenant;
    const char *self; /* the definition's own id, or "" */
    json_t *seen;
} visiting;

static tr_code visit(visiting *v, const json_t *uses, uint32_t depth, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(uses); i++) {
        tr_object object = {0};
        const char *id = json_string_value(json_array_get(uses, i));
        if (strcmp(id, v->self) == 0)
            return TR_FAIL(err, TR_INVALID,
                           "expression.value: inSegment leads from \"%.60s\" back to itself", id);
        if (json_object_get(v->seen, id) != NULL)
            continue;
        if (json_object_set_new(v->seen, id, json_true()) != 0)
            return no_memory(err);
        tr_code code =
            tr_catalog_get(v->segment->parts.catalog, v->tenant, "segment", id, &object, NULL);
        if (code == TR_NOT_FOUND && depth == 0)
            return TR_FAIL(err, TR_INVALID,
                           "expression.value: inSegment names \"%.60s\", which is not a segment of "
                           "this sandbox",
                           id);
        if (code == TR_OK && depth < TR_SEGMENT_DEPTH_MAX)
            code =
                visit(v, json_object_get(json_object_get(object.doc, "_"), "uses"), depth + 1, err);
        else if (code == TR_OK)
            code = TR_FAIL(err, TR_INVALID,
                           "expression.value: segments use segments more than %d levels deep",
                           TR_SEGMENT_DEPTH_MAX);
        tr_object_clear(&object);
        if (code != TR_OK && code != TR_NOT_FOUND)
            return code;
    }
    return TR_OK;
}

static tr_code check_uses(tr_segment *segment, const tr_tenant *tenant, const json_t *old,
                          const tr_pql_node *root, json_t *doc, tr_err *err)
{
    visiting v = {.segment = segment,
                  .tenant = tenant,
                  .self = tr_json_text(old, "id", ""),
                  .seen = json_object()};
    json_t *uses = json_array();
    tr_code code =
        uses == NULL || v.seen == NULL ? no_memory(err) : tr_expression_uses(root, uses, err);
    if (code == TR_OK)
        code = visit(&v, uses, 0, err);
    json_decref(v.seen);
    if (code == TR_OK && json_object_set_new(doc, "_", json_pack("{s:O}", "uses", uses)) != 0)
        code = no_memory(err);
    json_decref(uses);
    return code;
}

/* ---- ways of evaluation */

static const char *const methods[] = {"batch", "continuous", "synchronous"};

/* A new definition that asks for what its expression does not allow is refused; a changed one falls
 * back to batch. */
static tr_code check_methods(json_t *doc, const tr_pql_node *root, bool is_new, tr_err *err)
{
    const json_t *info = NULL, *given = NULL, *enabled = NULL;
    bool is_on[3] = {true, false, false};
    TR_TRY(tr_want_member(doc, "", "evaluationInfo", TR_WANT_OBJECT, &info, err));
    for (int m = 0; m < 3; m++) {
        char where[64];
        (void)snprintf(where, sizeof where, "evaluationInfo.%s.", methods[m]);
        TR_TRY(tr_want_member(info, "evaluationInfo.", methods[m], TR_WANT_OBJECT, &given, err));
        TR_TRY(tr_want_member(given, where, "enabled", TR_WANT_BOOLEAN, &enabled, err));
        if (info != NULL)
            is_on[m] = json_is_true(enabled);
        const char *why = is_on[m] ? tr_method_refusal(root, (tr_method)m) : NULL;
        if (why == NULL)
            continue;
        if (is_new)
            return TR_FAIL(err, TR_INVALID,
                           "evaluationInfo.%s: the expression cannot be evaluated that way: %s",
                           methods[m], why);
        is_on[m] = false;
        is_on[TR_METHOD_BATCH] = true;
    }
    json_t *shown =
        json_pack("{s:{s:b}, s:{s:b}, s:{s:b}}", "batch", "enabled", is_on[0], "continuous",
                  "enabled", is_on[1], "synchronous", "enabled", is_on[2]);
    return json_object_set_new(doc, "evaluationInfo", shown) == 0 ? TR_OK : no_memory(err);
}

static bool fill(json_t *doc, const char *key, json_t *value)
{
    if (json_object_get(doc, key) == NULL)
        return json_object_set_new(doc, key, value) == 0;
    json_decref(value);
    return true;
}

/* Fields and types by the union schema of now. */
static tr_code check_types(tr_segment *segment, const tr_tenant *tenant,
                           const tr_expression *expression, tr_arena *arena, tr_err *err)
{
    const tr_xdm_schema *schema = NULL;
    TR_TRY(tr_catalog_schema_open(segment->parts.catalog, tenant, tr_str_of(TR_XDM_PROFILE_UNION),
                                  &schema, err));
    const tr_code code = tr_expression_check(expression, schema, arena, err);
    tr_catalog_schema_close(segment->parts.catalog, schema);
    return code;
}

static tr_code check_expression(tr_segment *segment, const tr_tenant *tenant, const json_t *old,
                                json_t *doc, tr_err *err)
{
    const json_t *expression = NULL;
    tr_expression read = {0};
    tr_arena arena = {0};
    TR_TRY(tr_want_member(doc, "", "expression", TR_WANT_OBJECT, &expression, err));
    if (expression == NULL)
        return TR_FAIL(err, TR_INVALID, "expression is required: {type, format, value}");
    tr_code code = tr_expression_read(expression, &arena, &read, err);
    if (code == TR_OK)
        code = check_types(segment, tenant, &read, &arena, err);
    if (code == TR_OK)
        code = check_policy(segment, tenant, doc, err);
    if (code == TR_OK)
        code = check_uses(segment, tenant, old, read.root, doc, err);
    if (code == TR_OK)
        code = check_methods(doc, read.root, old == NULL, err);
    if (code == TR_OK)
        code = tidy_expression(doc, read.is_json, err);
    tr_arena_free(&arena);
    return code;
}

tr_code tr_definition_make(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                           const json_t *old, bool is_whole, json_t **out, tr_err *err)
{
    json_t *doc = NULL;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(merge_members(body, is_whole ? NULL : old, &doc, err));
    tr_code code = check_texts(doc, err);
    if (code == TR_OK)
        code = check_schema(doc, err);
    if (code == TR_OK)
        code = tr_lifecycle_read(doc, err);
    if (code == TR_OK)
        code = check_expression(segment, tenant, old, doc, err);
    if (code == TR_OK &&
        (!fill(doc, "profileInstanceId", json_string("ups")) ||
         !fill(doc, "lifecycleState", json_string("published")) ||
         !fill(doc, "dataGovernancePolicy", json_pack("{s:b}", "excludeOptOut", 1)) ||
         json_object_set_new(doc, "imsOrgId", json_string(tenant->org)) != 0 ||
         json_object_set_new(doc, "sandbox", tr_segment_sandbox(tenant)) != 0))
        code = no_memory(err);
    if (code == TR_OK)
        code = tr_lifecycle_check(segment, tenant, old, doc, err);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}
