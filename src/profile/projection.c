/* SPDX-License-Identifier: Apache-2.0 */
/* projection.c - destinations and projections in the catalog; see projection.h. */
#include "profile/projection.h"

#include "base/limits.h"
#include "profile/profile_internal.h"

static const char DESTINATION[] = "destination", PROJECTION[] = "projection";
static const char PROFILE_SCHEMA[] = "_xdm.context.profile";
enum { TTL_LEAST = 600, TTL_MOST = 604800, TTL_DEFAULT = 3600, NAME_BYTES_MAX = 255 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a projection");
}

/* Objects ------------------------------------------------------------------------------------ */

static tr_code get_doc(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                       const char *id, json_t **out, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(catalog, tenant, kind, id, &object, err));
    *out = json_incref(object.doc);
    tr_object_clear(&object);
    return TR_OK;
}

typedef struct wanted {
    const char *member[2], *value[2]; /* .value NULL: any */
    json_t *found;
} wanted;

static tr_code collect(void *ctx, const tr_object *object, tr_err *err)
{
    wanted *want = ctx;
    for (int i = 0; i < 2; i++)
        if (want->value[i] != NULL &&
            strcmp(tr_json_text(object->doc, want->member[i], ""), want->value[i]) != 0)
            return TR_OK;
    return json_array_append(want->found, object->doc) == 0 ? TR_OK : no_memory(err);
}

static tr_code list_docs(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                         wanted *want, json_t **out, tr_err *err)
{
    const tr_catalog_filter all = {0};
    want->found = json_array();
    if (want->found == NULL)
        return no_memory(err);
    const tr_code code = tr_catalog_list(catalog, tenant, kind, &all, collect, want, err);
    if (code == TR_OK)
        *out = want->found;
    else
        json_decref(want->found);
    return code;
}

static tr_code count_docs(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                          wanted *want, size_t *out, tr_err *err)
{
    json_t *found = NULL;
    TR_TRY(list_docs(catalog, tenant, kind, want, &found, err));
    *out = json_array_size(found);
    json_decref(found);
    return TR_OK;
}

/* Within a transaction: the object that is replaced, and the version that `doc` becomes. */
static tr_code next_version(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                            const char *id, const json_t *body, json_t **before, int64_t *version,
                            tr_err *err)
{
    const json_t *current = NULL;
    TR_TRY(tr_want_member(body, "", "currentVersion", TR_WANT_INTEGER, &current, err));
    *version = 1;
    if (id == NULL)
        return TR_OK;
    TR_TRY(get_doc(catalog, tenant, kind, id, before, err));
    const int64_t is = tr_json_int(*before, "version", 1);
    *version = is + 1;
    if (current != NULL && json_integer_value(current) != is)
        return TR_FAIL(err, TR_CONFLICT,
                       "currentVersion is %lld, and the %s is in version %lld: read it again",
                       (long long)json_integer_value(current), kind, (long long)is);
    return TR_OK;
}

/* Within a transaction. doc  borrowed; gets id and version */
static tr_code store_doc(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                         const char *id, int64_t version, json_t *doc, tr_err *err)
{
    const tr_id new_id = tr_id_uuid();
    tr_object object = {.doc = doc};
    (void)snprintf(object.id, sizeof object.id, "%s", id == NULL ? new_id.text : id);
    if (json_object_set_new(doc, "id", json_string(object.id)) != 0 ||
        json_object_set_new(doc, "version", json_integer(version)) != 0)
        return no_memory(err);
    return id == NULL ? tr_catalog_insert(catalog, tenant, kind, &object, err)
                      : tr_catalog_put(catalog, tenant, kind, &object, 0, err);
}

static tr_code check_room(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                          tr_err *err)
{
    size_t count = 0;
    TR_TRY(count_docs(catalog, tenant, kind, &(wanted){0}, &count, err));
    return count < TR_PROJECTIONS_MAX
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "a sandbox has at most %d %ss", TR_PROJECTIONS_MAX, kind);
}

/* Destinations ------------------------------------------------------------------------------- */

static tr_code check_centers(const json_t *body, const json_t **out, tr_err *err)
{
    static const char *const centers[] = {"OR1", "VA5", "NLD1"};
    TR_TRY(tr_want_member(body, "", "dataCenters", TR_WANT_ARRAY, out, err));
    if (json_array_size(*out) == 0)
        return TR_FAIL(err, TR_INVALID, "dataCenters is required: an array of OR1, VA5 and NLD1");
    for (size_t i = 0; i < json_array_size(*out); i++) {
        const json_t *item = json_array_get(*out, i);
        const char *name = json_is_string(item) ? json_string_value(item) : "";
        bool is_known = false;
        for (size_t k = 0; k < sizeof centers / sizeof centers[0]; k++)
            is_known |= strcmp(name, centers[k]) == 0;
        if (!is_known)
            return TR_FAIL(err, TR_INVALID,
                           "dataCenters[%zu] is \"%.40s\": expected OR1, VA5 or NLD1", i, name);
    }
    return TR_OK;
}

/* The document of a destination; returned. */
static tr_code read_destination(const json_t *body, json_t **out, tr_err *err)
{
    const char *type = NULL;
    const json_t *centers = NULL, *ttl = NULL, *policy = NULL;
    TR_TRY(tr_want_text(body, "", "type", &type, err));
    if (strcmp(type, "EDGE") != 0)
        return TR_FAIL(err, TR_INVALID, "type is \"%.40s\": expected EDGE", type);
    TR_TRY(check_centers(body, &centers, err));
    TR_TRY(tr_want_member(body, "", "ttl", TR_WANT_INTEGER, &ttl, err));
    const json_int_t seconds = ttl == NULL ? TTL_DEFAULT : json_integer_value(ttl);
    if (seconds < TTL_LEAST || seconds > TTL_MOST)
        return TR_FAIL(err, TR_INVALID, "ttl is %lld: expected %d to %d seconds",
                       (long long)seconds, TTL_LEAST, TTL_MOST);
    TR_TRY(tr_want_member(body, "", "replicationPolicy", TR_WANT_STRING, &policy, err));
    const char *word = policy == NULL ? "REACTIVE" : json_string_value(policy);
    if (strcmp(word, "REACTIVE") != 0 && strcmp(word, "PROACTIVE") != 0)
        return TR_FAIL(err, TR_INVALID,
                       "replicationPolicy is \"%.40s\": expected PROACTIVE or REACTIVE", word);
    *out = json_pack("{s:s, s:O, s:I, s:s}", "type", type, "dataCenters", centers, "ttl", seconds,
                     "replicationPolicy", word);
    return *out != NULL ? TR_OK : no_memory(err);
}

static tr_code put_destination(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                               const json_t *body, json_t *doc, tr_err *err)
{
    json_t *before = NULL;
    int64_t version = 0;
    tr_code code = next_version(catalog, tenant, DESTINATION, id, body, &before, &version, err);
    json_decref(before);
    if (code == TR_OK && id == NULL)
        code = check_room(catalog, tenant, DESTINATION, err);
    return code == TR_OK ? store_doc(catalog, tenant, DESTINATION, id, version, doc, err) : code;
}

tr_code tr_destination_put(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                           const json_t *body, json_t **out, tr_err *err)
{
    json_t *doc = NULL;
    TR_TRY(read_destination(body, &doc, err));
    tr_code code = tr_catalog_begin(catalog, err);
    if (code == TR_OK)
        code = tr_catalog_end(catalog, put_destination(catalog, tenant, id, body, doc, err), err);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}

tr_code tr_destination_get(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                           json_t **out, tr_err *err)
{
    return get_doc(catalog, tenant, DESTINATION, id, out, err);
}

tr_code tr_destination_list(tr_catalog *catalog, const tr_tenant *tenant, json_t **out, tr_err *err)
{
    return list_docs(catalog, tenant, DESTINATION, &(wanted){0}, out, err);
}

static tr_code remove_destination(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                                  tr_err *err)
{
    size_t users = 0;
    wanted want = {.member = {"destinationId"}, .value = {id}};
    TR_TRY(count_docs(catalog, tenant, PROJECTION, &want, &users, err));
    if (users > 0)
        return TR_FAIL(err, TR_CONFLICT, "destination \"%.60s\" is used by %zu projections", id,
                       users);
    return tr_catalog_remove(catalog, tenant, DESTINATION, id, err);
}

tr_code tr_destination_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                              tr_err *err)
{
    TR_TRY(tr_catalog_begin(catalog, err));
    return tr_catalog_end(catalog, remove_destination(catalog, tenant, id, err), err);
}

/* Projections -------------------------------------------------------------------------------- */

static tr_code check_schema(const char *schema_name, tr_err *err)
{
    if (schema_name == NULL || schema_name[0] == '\0')
        return TR_FAIL(err, TR_INVALID, "schemaName is required: %s", PROFILE_SCHEMA);
    if (strcmp(schema_name, PROFILE_SCHEMA) != 0)
        return TR_FAIL(err, TR_INVALID, "schemaName is \"%.80s\": expected %s", schema_name,
                       PROFILE_SCHEMA);
    return TR_OK;
}

/* What the body says, its members checked one by one; returned. */
static tr_code read_projection(const json_t *body, json_t **out, tr_err *err)
{
    const char *selector = NULL, *destination = NULL;
    const json_t *name = NULL, *policy = NULL;
    TR_TRY(tr_want_text(body, "", "selector", &selector, err));
    TR_TRY(tr_want_text(body, "", "destinationId", &destination, err));
    TR_TRY(tr_want_member(body, "", "name", TR_WANT_STRING, &name, err));
    TR_TRY(tr_want_member(body, "", "mergePolicyId", TR_WANT_STRING, &policy, err));
    if (strlen(selector) > TR_LOOKUP_FIELDS_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "selector has more than %d bytes",
                       TR_LOOKUP_FIELDS_BYTES_MAX);
    if (name != NULL && json_string_length(name) > NAME_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "name has more than %d bytes", NAME_BYTES_MAX);
    json_t *doc = json_pack("{s:s, s:s}", "selector", selector, "destinationId", destination);
    const bool is_good =
        doc != NULL &&
        (name == NULL || json_object_set_new(doc, "name", json_deep_copy(name)) == 0) &&
        (policy == NULL || json_object_set_new(doc, "mergePolicyId", json_deep_copy(policy)) == 0);
    if (is_good) {
        *out = doc;
        return TR_OK;
    }
    json_decref(doc);
    return no_memory(err);
}

/* Whether the policy is there and the schema has the selector's fields: its view is made, and stays
 * ready for whoever asks next. */
static tr_code check_view(tr_profiles *profiles, const tr_tenant *tenant, const json_t *doc,
                          tr_err *err)
{
    tr_profile_view *view = NULL;
    const tr_profile_view_spec spec = {.policy_id = tr_json_text(doc, "mergePolicyId", NULL),
                                       .fields = tr_str_of(tr_json_text(doc, "selector", "")),
                                       .may_wait = true};
    const tr_code code = tr_profile_view_open(profiles, tenant, &spec, &view, err);
    tr_profile_view_close(profiles, view);
    if (code == TR_INVALID)
        tr_err_context(err, "selector");
    return code == TR_NOT_FOUND
               ? TR_FAIL(err, TR_INVALID, "mergePolicyId: no merge policy with id \"%.60s\"",
                         spec.policy_id == NULL ? "" : spec.policy_id)
               : code;
}

static tr_code check_links(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                           const json_t *doc, tr_err *err)
{
    json_t *destination = NULL, *namesakes = NULL;
    const char *name = tr_json_text(doc, "name", NULL);
    const char *used = tr_json_text(doc, "destinationId", "");
    tr_code code = tr_destination_get(catalog, tenant, used, &destination, err);
    json_decref(destination);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "destinationId: no destination with id \"%.60s\"", used);
    TR_TRY(code);
    if (name == NULL)
        return TR_OK;
    TR_TRY(tr_projection_list(catalog, tenant, tr_json_text(doc, "schemaName", ""), name,
                              &namesakes, err));
    const char *other = tr_json_text(json_array_get(namesakes, 0), "id", NULL);
    if (other != NULL && (id == NULL || strcmp(other, id) != 0))
        code = TR_FAIL(err, TR_CONFLICT, "name: \"%.60s\" is the name of projection %.60s", name,
                       other);
    json_decref(namesakes);
    return code;
}

static tr_code put_projection(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                              const char *schema_name, const json_t *body, json_t *doc, tr_err *err)
{
    json_t *before = NULL;
    int64_t version = 0;
    tr_code code = next_version(catalog, tenant, PROJECTION, id, body, &before, &version, err);
    const char *schema = id == NULL ? schema_name : tr_json_text(before, "schemaName", "");
    if (code == TR_OK && json_object_set_new(doc, "schemaName", json_string(schema)) != 0)
        code = no_memory(err);
    json_decref(before);
    if (code == TR_OK && id == NULL)
        code = check_room(catalog, tenant, PROJECTION, err);
    if (code == TR_OK)
        code = check_links(catalog, tenant, id, doc, err);
    return code == TR_OK ? store_doc(catalog, tenant, PROJECTION, id, version, doc, err) : code;
}

tr_code tr_projection_put(tr_profiles *profiles, const tr_tenant *tenant, const char *id,
                          const char *schema_name, const json_t *body, json_t **out, tr_err *err)
{
    tr_catalog *catalog = profiles->parts.catalog;
    json_t *doc = NULL;
    if (id == NULL)
        TR_TRY(check_schema(schema_name, err));
    TR_TRY(read_projection(body, &doc, err));
    tr_code code = check_view(profiles, tenant, doc, err);
    if (code == TR_OK)
        code = tr_catalog_begin(catalog, err);
    if (code == TR_OK)
        code = tr_catalog_end(
            catalog, put_projection(catalog, tenant, id, schema_name, body, doc, err), err);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}

tr_code tr_projection_get(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                          json_t **out, tr_err *err)
{
    return get_doc(catalog, tenant, PROJECTION, id, out, err);
}

tr_code tr_projection_list(tr_catalog *catalog, const tr_tenant *tenant, const char *schema_name,
                           const char *name, json_t **out, tr_err *err)
{
    wanted want = {.member = {"schemaName", "name"}, .value = {schema_name, name}};
    return list_docs(catalog, tenant, PROJECTION, &want, out, err);
}

tr_code tr_projection_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *id,
                             tr_err *err)
{
    return tr_catalog_remove(catalog, tenant, PROJECTION, id, err);
}
