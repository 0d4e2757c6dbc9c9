/* SPDX-License-Identifier: Apache-2.0 */
/* audience.c - see audience.h. */
#include "segment/audience.h"

#include "segment/segment_internal.h"

#define OWN_NAMESPACE "AEPSegments" /* of definitions */

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for an audience");
}

/* What both kinds show besides their own members. NULL: no memory. */
static json_t *dress(json_t *shown, const char *type, const char *origin, const char *namespace)
{
    char tag[48]; /* a quoted string, as AEP has it */
    (void)snprintf(tag, sizeof tag, "\"%llx-%lld\"",
                   (unsigned long long)tr_json_int(shown, "updateTime", 0),
                   (long long)tr_json_int(shown, "version", 1));
    json_t *more =
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:s, s:[{s:s, s:s, s:s}], s:[], s:[]}",
                  "type", type, "originName", origin, "namespace", namespace, "_etag", tag,
                  "isSystem", 0, "ansibleUiEnabled", 0, "saveSegmentMembership", 1, "state",
                  "enabled", "definedOn", "meta:resourceType", "unions", "meta:containerId",
                  "tenant", "$ref", TR_XDM_PROFILE_UNION, "dependencies", "dependents");
    const bool is_good = shown != NULL && more != NULL && json_object_update(shown, more) == 0;
    json_decref(more);
    if (is_good)
        return shown;
    json_decref(shown);
    return NULL;
}

static json_t *show_definition(const json_t *doc)
{
    json_t *shown = dress(tr_list_show_doc(doc), "SegmentDefinition", "REAL_TIME_CUSTOMER_PROFILE",
                          OWN_NAMESPACE);
    json_t *uses = json_object_get(json_object_get(doc, "_"), "uses");
    if (shown == NULL)
        return NULL;
    (void)json_object_set(shown, "audienceId", json_object_get(doc, "id"));
    if (uses != NULL)
        (void)json_object_set_new(shown, "dependencies", json_deep_copy(uses));
    return shown;
}

static json_t *show_external(const json_t *doc)
{
    return dress(tr_list_show_doc(doc), "ExternalSegment",
                 tr_json_text(doc, "originName", "CUSTOM_UPLOAD"),
                 tr_json_text(doc, "namespace", "CustomerAudienceUpload"));
}

/* ---- who uses whom */

/* {id: [ids of the definitions that name it in inSegment]} */
static tr_code note_uses(void *ctx, const tr_object *object, tr_err *err)
{
    json_t *users = ctx;
    const json_t *uses = json_object_get(json_object_get(object->doc, "_"), "uses");
    for (size_t i = 0; i < json_array_size(uses); i++) {
        const char *used = json_string_value(json_array_get(uses, i));
        if (json_object_get(users, used) == NULL)
            (void)json_object_set_new(users, used, json_array());
        if (json_array_append_new(json_object_get(users, used), json_string(object->id)) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

/* Adds `dependents` to the shown audiences. */
static tr_code add_dependents(tr_segment *segment, const tr_tenant *tenant, json_t *items,
                              tr_err *err)
{
    const tr_catalog_filter all = {0};
    json_t *users = json_object();
    tr_code code = users == NULL ? no_memory(err)
                                 : tr_catalog_list(segment->parts.catalog, tenant, "segment", &all,
                                                   note_uses, users, err);
    for (size_t i = 0; i < json_array_size(items) && code == TR_OK; i++) {
        json_t *item = json_array_get(items, i);
        json_t *own = json_object_get(users, tr_json_text(item, "id", ""));
        if (own != NULL && json_object_set(item, "dependents", own) != 0)
            code = no_memory(err);
    }
    json_decref(users);
    return code;
}

/* ---- external ones */

static tr_code check_dataset(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                             tr_err *err)
{
    const json_t *id = NULL;
    tr_object dataset = {0};
    TR_TRY(tr_want_member(body, "", "datasetId", TR_WANT_STRING, &id, err));
    if (id == NULL || json_string_length(id) == 0)
        return TR_OK;
    const tr_code code = tr_catalog_get(segment->parts.catalog, tenant, "dataset",
                                        json_string_value(id), &dataset, NULL);
    tr_object_clear(&dataset);
    return code == TR_NOT_FOUND
               ? TR_FAIL(err, TR_INVALID, "datasetId: no dataset with id \"%.60s\"",
                         json_string_value(id))
               : code;
}

static tr_code check_texts(const json_t *body, tr_err *err)
{
    static const char *const texts[] = {"description", "originName", "sourceId"};
    const json_t *value = NULL;
    const char *text = NULL;
    TR_TRY(tr_want_text(body, "", "name", &text, err));
    TR_TRY(tr_want_text(body, "", "audienceId", &text, err));
    TR_TRY(tr_want_text(body, "", "namespace", &text, err));
    if (tr_str_equal_folded(tr_str_of(text), tr_str_of(TR_SEGMENT_NS)) ||
        strcmp(text, OWN_NAMESPACE) == 0)
        return TR_FAIL(err, TR_INVALID,
                       "namespace \"%.40s\" is that of the segments evaluated here", text);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        TR_TRY(tr_want_member(body, "", texts[i], TR_WANT_STRING, &value, err));
    return tr_want_member(body, "", "labels", TR_WANT_ARRAY, &value, err);
}

/* What tells an audience in the data never changes. */
static tr_code check_same(const json_t *doc, const json_t *old, tr_err *err)
{
    static const char *const fixed[] = {"namespace", "audienceId"};
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0] && old != NULL; i++)
        if (!json_equal(json_object_get(doc, fixed[i]), json_object_get(old, fixed[i])))
            return TR_FAIL(err, TR_INVALID, "%s cannot be changed", fixed[i]);
    return TR_OK;
}

/* The document to store, of the members of `body`; what tells it in the data may stand in `old`. */
static tr_code make_external(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                             const json_t *old, json_t **out, tr_err *err)
{
    static const char *const own[] = {
        "name",     "audienceId",   "namespace",  "labels", "datasetId",   "linkedAudienceRef",
        "sourceId", "audienceMeta", "originName", "tags",   "description", "lifecycleState"};
    const char *state = tr_json_text(old, "lifecycleState", "published");
    const int64_t now = tr_time_now_ms();
    const tr_id id = tr_id_uuid();
    const int64_t created = tr_json_int(old, "creationTime", now);
    json_t *doc = json_pack(
        "{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:s}", "id", tr_json_text(old, "id", id.text),
        "imsOrgId", tenant->org, "sandbox", tr_segment_sandbox(tenant), "creationTime",
        (json_int_t)created, "createEpoch", (json_int_t)(created / 1000), "updateTime",
        (json_int_t)now, "updateEpoch", (json_int_t)(now / 1000), "lifecycleState", "published");
    tr_code code = doc == NULL ? no_memory(err) : TR_OK;
    for (size_t i = 0; i < sizeof own / sizeof own[0] && code == TR_OK; i++) {
        const bool is_kept = i == 1 || i == 2 || strcmp(own[i], "lifecycleState") == 0;
        json_t *value = strcmp(own[i], "lifecycleState") == 0 ? tr_lifecycle_of(body)
                                                              : json_object_get(body, own[i]);
        if ((value == NULL || json_is_null(value)) && is_kept)
            value = json_object_get(old, own[i]);
        if (value != NULL && !json_is_null(value) &&
            json_object_set_new(doc, own[i], json_deep_copy(value)) != 0)
            code = no_memory(err);
    }
    if (code == TR_OK)
        code = check_texts(doc, err);
    if (code == TR_OK)
        code = check_dataset(segment, tenant, doc, err);
    if (code == TR_OK)
        code = tr_lifecycle_read(doc, err);
    if (code == TR_OK && old != NULL)
        code = tr_lifecycle_step(state, tr_json_text(doc, "lifecycleState", "published"), err);
    if (code == TR_OK)
        code = check_same(doc, old, err);
    if (code == TR_OK)
        *out = doc;
    else
        json_decref(doc);
    return code;
}

static tr_code store(tr_segment *segment, const tr_tenant *tenant, json_t *doc, bool is_new,
                     json_t **out, tr_err *err)
{
    tr_catalog *catalog = segment->parts.catalog;
    tr_object object = {.doc = doc, .created_ms = tr_json_int(doc, "creationTime", 0)};
    (void)snprintf(object.id, sizeof object.id, "%s", tr_json_text(doc, "id", ""));
    const tr_code code = is_new ? tr_catalog_insert(catalog, tenant, "audience", &object, err)
                                : tr_catalog_put(catalog, tenant, "audience", &object, 0, err);
    json_t *shown = code == TR_OK ? show_external(doc) : NULL;
    json_decref(doc);
    TR_TRY(code);
    if (shown == NULL)
        return no_memory(err);
    *out = shown;
    return TR_OK;
}

/* ---- both */

static bool is_external(const json_t *body)
{
    const char *type = tr_json_text(body, "type", "");
    return strncmp(type, "External", 8) == 0 || (json_object_get(body, "expression") == NULL &&
                                                 json_object_get(body, "audienceId") != NULL);
}

/* The stored document of either kind; *is_own: a definition. */
static tr_code find(tr_segment *segment, const tr_tenant *tenant, const char *id, bool *is_own,
                    tr_object *out, tr_err *err)
{
    tr_catalog *catalog = segment->parts.catalog;
    tr_code code = tr_catalog_get(catalog, tenant, "segment", id, out, err);
    *is_own = code == TR_OK;
    if (code == TR_NOT_FOUND)
        code = tr_catalog_get(catalog, tenant, "audience", id, out, err);
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_NOT_FOUND, "Audience %.60s not found.", id)
                                : code;
}

tr_code tr_audience_get(tr_segment *segment, const tr_tenant *tenant, const char *id, json_t **out,
                        tr_err *err)
{
    tr_object object = {0};
    bool is_own = false;
    TR_TRY(find(segment, tenant, id, &is_own, &object, err));
    json_t *shown = is_own ? show_definition(object.doc) : show_external(object.doc);
    tr_object_clear(&object);
    json_t *one = json_pack("[O]", shown);
    tr_code code = one == NULL ? no_memory(err) : TR_OK;
    if (code == TR_OK && is_own)
        code = add_dependents(segment, tenant, one, err);
    json_decref(one);
    if (code == TR_OK)
        *out = shown;
    else
        json_decref(shown);
    return code;
}

tr_code tr_audience_create(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                           json_t **out, tr_err *err)
{
    json_t *doc = NULL;
    char id[64];
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    if (is_external(body)) {
        TR_TRY(make_external(segment, tenant, body, NULL, &doc, err));
        return store(segment, tenant, doc, true, out, err);
    }
    TR_TRY(tr_segment_create(segment, tenant, body, &doc, err));
    (void)snprintf(id, sizeof id, "%s", tr_json_text(doc, "id", ""));
    json_decref(doc);
    return tr_audience_get(segment, tenant, id, out, err);
}

/* A definition as an audience: it has one namespace. */
static tr_code check_own(const json_t *body, tr_err *err)
{
    const json_t *namespace = NULL;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(tr_want_member(body, "", "namespace", TR_WANT_STRING, &namespace, err));
    if (namespace == NULL || strcmp(json_string_value(namespace), OWN_NAMESPACE) == 0)
        return TR_OK;
    return TR_FAIL(err, TR_INVALID, "namespace cannot be changed: it is " OWN_NAMESPACE);
}

tr_code tr_audience_replace(tr_segment *segment, const tr_tenant *tenant, const char *id,
                            const json_t *body, json_t **out, tr_err *err)
{
    tr_object object = {0};
    bool is_own = false;
    json_t *doc = NULL;
    TR_TRY(find(segment, tenant, id, &is_own, &object, err));
    tr_code code = is_own ? check_own(body, err) : TR_OK;
    if (code == TR_OK)
        code = is_own ? tr_segment_replace(segment, tenant, id, body, &doc, err)
                      : make_external(segment, tenant, body, object.doc, &doc, err);
    tr_object_clear(&object);
    TR_TRY(code);
    if (!is_own)
        return store(segment, tenant, doc, false, out, err);
    json_decref(doc);
    return tr_audience_get(segment, tenant, id, out, err);
}

tr_code tr_audience_remove(tr_segment *segment, const tr_tenant *tenant, const char *id,
                           tr_err *err)
{
    tr_object object = {0};
    bool is_own = false;
    TR_TRY(find(segment, tenant, id, &is_own, &object, err));
    tr_object_clear(&object);
    return is_own ? tr_segment_remove(segment, tenant, id, err)
                  : tr_catalog_remove(segment->parts.catalog, tenant, "audience", id, err);
}

tr_code tr_audience_find(tr_segment *segment, const tr_tenant *tenant,
                         const tr_list_request *request, json_t **items, uint64_t *total,
                         tr_err *err)
{
    json_t *found = json_array();
    tr_catalog *catalog = segment->parts.catalog;
    tr_code code = found == NULL ? no_memory(err)
                                 : tr_list_collect(catalog, tenant, "segment", request,
                                                   show_definition, found, err);
    if (code == TR_OK)
        code = tr_list_collect(catalog, tenant, "audience", request, show_external, found, err);
    if (code == TR_OK)
        code = tr_list_page(request, found, total, err);
    if (code == TR_OK)
        code = add_dependents(segment, tenant, found, err);
    if (code == TR_OK)
        *items = found;
    else
        json_decref(found);
    return code;
}
