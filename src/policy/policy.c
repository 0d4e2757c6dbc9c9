/* SPDX-License-Identifier: Apache-2.0 */
/* policy.c - merge policies and their versions in the catalog; see policy.h. */
#include "policy/policy_internal.h"

#include "base/clock.h"
#include "base/limits.h"
#include "xdm/xdm.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a merge policy");
}

static void version_id(const char *id, int64_t version, char out[256])
{
    (void)snprintf(out, 256, "%.200s:%lld", id, (long long)version);
}

/* Adds what the server decides to a checked draft. */
static tr_code finish(const tr_tenant *tenant, const char *id, int64_t version, json_t *draft,
                      tr_err *err)
{
    json_t *papers =
        json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:b}, s:I, s:I}", "id", id, "imsOrgId", tenant->org,
                  "sandbox", "sandboxId", tenant->sandbox_id, "sandboxName", tenant->sandbox,
                  "type", tenant->sandbox_type, "default", tenant->is_default, "version",
                  (json_int_t)version, "updateEpoch", (json_int_t)(tr_time_now_ms() / 1000));
    const int bad = papers == NULL ? 1 : json_object_update(draft, papers);
    json_decref(papers);
    return bad == 0 ? TR_OK : no_memory(err);
}

/* Inserts or replaces the policy and adds its version. Within a transaction. */
static tr_code store(tr_catalog *catalog, const tr_tenant *tenant, json_t *doc, bool is_new,
                     tr_err *err)
{
    tr_object object = {.doc = doc};
    (void)snprintf(object.id, sizeof object.id, "%s", tr_json_text(doc, "id", ""));
    (void)snprintf(object.parent, sizeof object.parent, "%s", TR_XDM_PROFILE_CLASS);
    if (is_new)
        TR_TRY(tr_catalog_insert(catalog, tenant, "policy", &object, err));
    else
        TR_TRY(tr_catalog_put(catalog, tenant, "policy", &object, 0, err));
    tr_object past = {.doc = doc};
    version_id(object.id, tr_json_int(doc, "version", 1), past.id);
    (void)snprintf(past.parent, sizeof past.parent, "%s", object.id);
    return tr_catalog_insert(catalog, tenant, "policy_version", &past, err);
}

static tr_code collect(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append(ctx, object->doc) == 0 ? TR_OK : no_memory(err);
}

static tr_code list(tr_catalog *catalog, const tr_tenant *tenant, json_t **out, tr_err *err)
{
    const tr_catalog_filter all = {.parent = TR_XDM_PROFILE_CLASS};
    json_t *policies = json_array();
    if (policies == NULL)
        return no_memory(err);
    const tr_code code = tr_catalog_list(catalog, tenant, "policy", &all, collect, policies, err);
    if (code != TR_OK) {
        json_decref(policies);
        return code;
    }
    *out = policies;
    return TR_OK;
}

/* The default among `policies`, borrowed; NULL: none. */
static json_t *find_default(const json_t *policies)
{
    for (size_t i = 0; i < json_array_size(policies); i++)
        if (tr_json_bool(json_array_get(policies, i), "default", false))
            return json_array_get(policies, i);
    return NULL;
}

/* All policies; the default is made when there is none. Within a transaction. */
static tr_code list_provisioned(tr_catalog *catalog, const tr_tenant *tenant, json_t **out,
                                tr_err *err)
{
    json_t *policies = NULL;
    TR_TRY(list(catalog, tenant, &policies, err));
    if (find_default(policies) != NULL) {
        *out = policies;
        return TR_OK;
    }
    const tr_id id = tr_id_uuid();
    json_t *doc =
        json_pack("{s:s, s:{s:s}, s:{s:s}, s:{s:s}, s:b, s:b}", "name", "Default Timebased",
                  "schema", "name", TR_POLICY_SCHEMA, "identityGraph", "type", "pdg",
                  "attributeMerge", "type", "timestampOrdered", "isActiveOnEdge", 0, "default", 1);
    tr_code code = doc == NULL ? no_memory(err) : finish(tenant, id.text, 1, doc, err);
    if (code == TR_OK)
        code = store(catalog, tenant, doc, true, err);
    if (code == TR_OK && json_array_append(policies, doc) != 0)
        code = no_memory(err);
    json_decref(doc);
    if (code == TR_OK)
        *out = policies;
    else
        json_decref(policies);
    return code;
}

tr_code tr_policy_list(tr_catalog *catalog, const tr_tenant *tenant, json_t **policies, tr_err *err)
{
    json_t *found = NULL;
    TR_TRY(list(catalog, tenant, &found, err));
    if (find_default(found) != NULL) { /* nearly always: no need to write */
        *policies = found;
        return TR_OK;
    }
    json_decref(found);
    found = NULL;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = list_provisioned(catalog, tenant, &found, err);
    code = tr_catalog_end(catalog, code, err);
    if (code == TR_OK)
        *policies = found;
    else
        json_decref(found);
    return code;
}

tr_code tr_policy_default(tr_catalog *catalog, const tr_tenant *tenant, json_t **policy,
                          tr_err *err)
{
    json_t *policies = NULL;
    TR_TRY(tr_policy_list(catalog, tenant, &policies, err));
    *policy = json_incref(find_default(policies));
    json_decref(policies);
    return TR_OK;
}

static tr_code get_stored(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                          int64_t version, json_t **policy, tr_err *err)
{
    tr_object object = {0};
    tr_code code = tr_catalog_get(catalog, tenant, "policy", id, &object, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_NOT_FOUND, "no merge policy with id \"%.80s\"", id);
    TR_TRY(code);
    if (version != 0 && version != tr_json_int(object.doc, "version", 0)) {
        char past[256];
        tr_object_clear(&object);
        version_id(id, version, past);
        code = tr_catalog_get(catalog, tenant, "policy_version", past, &object, err);
        if (code == TR_NOT_FOUND)
            return TR_FAIL(err, TR_NOT_FOUND, "merge policy \"%.80s\" has no version %lld", id,
                           (long long)version);
        TR_TRY(code);
    }
    *policy = json_incref(object.doc);
    tr_object_clear(&object);
    return TR_OK;
}

/* One of those that are there in every sandbox; false: none has this id. */
static bool get_standard(const tr_tenant *tenant, const char *id, int64_t version, json_t **policy)
{
    static const char *const graphs[] = {"none", "pdg"};
    for (size_t i = 0; i < sizeof graphs / sizeof *graphs && version <= 1; i++) {
        char own[48];
        (void)snprintf(own, sizeof own, "timestampOrdered-%s-mp", graphs[i]);
        if (strcmp(id, own) != 0)
            continue;
        json_t *doc =
            json_pack("{s:s, s:{s:s}, s:{s:s}, s:{s:s}, s:b, s:b}", "name", own, "schema", "name",
                      TR_POLICY_SCHEMA, "identityGraph", "type", graphs[i], "attributeMerge",
                      "type", "timestampOrdered", "isActiveOnEdge", 0, "default", 0);
        *policy = doc;
        return doc != NULL && finish(tenant, own, 1, doc, NULL) == TR_OK &&
               json_object_set_new(doc, "updateEpoch", json_integer(0)) == 0;
    }
    return false;
}

tr_code tr_policy_get(tr_catalog *catalog, const tr_tenant *tenant, const char *id, int64_t version,
                      json_t **policy, tr_err *err)
{
    json_t *standard = NULL;
    tr_err why = {0};
    const tr_code code = get_stored(catalog, tenant, id, version, policy, &why);
    if (code == TR_NOT_FOUND && get_standard(tenant, id, version, &standard)) {
        *policy = standard;
        return TR_OK;
    }
    json_decref(standard);
    return code == TR_OK ? TR_OK : TR_FAIL(err, code, "%s", why.text);
}

/* Takes the marks that only one policy may have from all others. Their version stays: how they
 * merge has not changed. Within a transaction. */
static tr_code clear_marks(tr_catalog *catalog, const tr_tenant *tenant, const json_t *policies,
                           const json_t *doc, tr_err *err)
{
    static const char *const marks[] = {"default", "isActiveOnEdge"};
    const char *own = tr_json_text(doc, "id", "");
    for (size_t i = 0; i < json_array_size(policies); i++) {
        json_t *other = json_array_get(policies, i);
        tr_object object = {.doc = other};
        bool has_changed = false;
        (void)snprintf(object.id, sizeof object.id, "%s", tr_json_text(other, "id", ""));
        (void)snprintf(object.parent, sizeof object.parent, "%s", TR_XDM_PROFILE_CLASS);
        for (int m = 0; m < 2 && strcmp(object.id, own) != 0; m++)
            if (tr_json_bool(doc, marks[m], false) && tr_json_bool(other, marks[m], false)) {
                has_changed = true;
                if (json_object_set_new(other, marks[m], json_false()) != 0)
                    return no_memory(err);
            }
        if (has_changed)
            TR_TRY(tr_catalog_put(catalog, tenant, "policy", &object, 0, err));
    }
    return TR_OK;
}

static tr_code create(tr_catalog *catalog, const tr_tenant *tenant, const json_t *body,
                      json_t **out, tr_err *err)
{
    json_t *policies = NULL, *doc = NULL;
    const tr_id id = tr_id_uuid();
    tr_code code = list_provisioned(catalog, tenant, &policies, err);
    if (code == TR_OK)
        code = tr_policy_check(catalog, tenant, body, false, &doc, err);
    if (code == TR_OK && json_array_size(policies) >= TR_MERGE_POLICIES_MAX)
        code = TR_FAIL(err, TR_INVALID,
                       "sandbox \"%s\" has %d merge policies for %s already: no more "
                       "are allowed",
                       tenant->sandbox, TR_MERGE_POLICIES_MAX, TR_POLICY_SCHEMA);
    if (code == TR_OK)
        code = finish(tenant, id.text, 1, doc, err);
    if (code == TR_OK)
        code = clear_marks(catalog, tenant, policies, doc, err);
    if (code == TR_OK)
        code = store(catalog, tenant, doc, true, err);
    json_decref(policies);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}

tr_code tr_policy_create(tr_catalog *catalog, const tr_tenant *tenant, const json_t *body,
                         json_t **policy, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = create(catalog, tenant, body, &doc, err);
    code = tr_catalog_end(catalog, code, err);
    if (code == TR_OK)
        *policy = doc;
    else
        json_decref(doc);
    return code;
}

/* Stores `wanted` (in the client's words) as the next version of `before`. Within a transaction. */
static tr_code change(tr_catalog *catalog, const tr_tenant *tenant, const json_t *before,
                      const json_t *wanted, json_t **out, tr_err *err)
{
    json_t *policies = NULL, *doc = NULL;
    const bool was_default = tr_json_bool(before, "default", false);
    const char *id = tr_json_text(before, "id", "");
    tr_code code = tr_policy_check(catalog, tenant, wanted, was_default, &doc, err);
    if (code == TR_OK && was_default && !tr_json_bool(doc, "default", false))
        code = TR_FAIL(err, TR_INVALID,
                       "default cannot be false: a sandbox always has a default merge "
                       "policy; make another one the default instead");
    if (code == TR_OK)
        code = finish(tenant, id, tr_json_int(before, "version", 0) + 1, doc, err);
    if (code == TR_OK)
        code = list(catalog, tenant, &policies, err);
    if (code == TR_OK)
        code = clear_marks(catalog, tenant, policies, doc, err);
    if (code == TR_OK)
        code = store(catalog, tenant, doc, false, err);
    json_decref(policies);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}

/* body: the whole new policy; or operations: a patch of the stored one. */
static tr_code update(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                      const json_t *body, const json_t *operations, json_t **policy, tr_err *err)
{
    json_t *before = NULL, *patched = NULL, *doc = NULL;
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = get_stored(catalog, tenant, id, 0, &before, err);
    if (code == TR_OK && operations != NULL) {
        patched = json_deep_copy(before);
        code = patched == NULL ? no_memory(err) : tr_policy_apply(patched, operations, err);
    }
    if (code == TR_OK)
        code = change(catalog, tenant, before, operations != NULL ? patched : body, &doc, err);
    code = tr_catalog_end(catalog, code, err);
    json_decref(before);
    json_decref(patched);
    if (code == TR_OK)
        *policy = doc;
    else
        json_decref(doc);
    return code;
}

tr_code tr_policy_replace(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                          const json_t *body, json_t **policy, tr_err *err)
{
    return update(catalog, tenant, id, body, NULL, policy, err);
}

tr_code tr_policy_patch(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                        const json_t *operations, json_t **policy, tr_err *err)
{
    return update(catalog, tenant, id, NULL, operations, policy, err);
}

static tr_code remove_policy(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                             tr_err *err)
{
    json_t *doc = NULL;
    tr_code code = TR_OK;
    char past[256];
    TR_TRY(get_stored(catalog, tenant, id, 0, &doc, err));
    const int64_t versions = tr_json_int(doc, "version", 0);
    if (tr_json_bool(doc, "isActiveOnEdge", false))
        code = TR_FAIL(err, TR_INVALID,
                       "merge policy \"%.80s\" is active on edge: set isActiveOnEdge to "
                       "false before deleting it",
                       id);
    else if (tr_json_bool(doc, "default", false))
        code = TR_FAIL(err, TR_INVALID,
                       "merge policy \"%.80s\" is the default: make another one the "
                       "default before deleting it",
                       id);
    json_decref(doc);
    for (int64_t v = 1; v <= versions && code == TR_OK; v++) {
        version_id(id, v, past);
        code = tr_catalog_remove(catalog, tenant, "policy_version", past, err);
    }
    return code == TR_OK ? tr_catalog_remove(catalog, tenant, "policy", id, err) : code;
}

tr_code tr_policy_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *id, tr_err *err)
{
    TR_TRY(tr_catalog_begin(catalog, err));
    return tr_catalog_end(catalog, remove_policy(catalog, tenant, id, err), err);
}

tr_code tr_policy_read(const json_t *policy, tr_arena *arena, tr_merge_policy *out, tr_err *err)
{
    const json_t *merge = json_object_get(policy, "attributeMerge");
    const json_t *order = json_object_get(merge, "order");
    const size_t count = json_array_size(order);
    *out = (tr_merge_policy){.is_precedence =
                                 strcmp(tr_json_text(merge, "type", ""), "dataSetPrecedence") == 0};
    if (!out->is_precedence)
        return TR_OK;
    const char **names = tr_arena_array(arena, count, sizeof *names);
    if (names == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        names[i] = json_string_value(json_array_get(order, i));
    out->order = names;
    out->order_count = (uint32_t)count;
    return TR_OK;
}
