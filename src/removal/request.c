/* SPDX-License-Identifier: Apache-2.0 */
/* request.c - delete requests: checked, made into jobs, looked up; see removal.h. */
#include "removal/removal_internal.h"

#include "base/log.h"
#include "catalog/namespaces.h"
#include "catalog/schemas.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a delete request");
}

/* ---- what a request is about */

typedef struct target {
    const char *type; /* requestType */
    char dataset[64], batch[64];
    tr_identity identity; /* .id.at NULL: none */
    char parent[80];      /* tells requests for the same data */
} target;

static tr_code note_file(void *ctx, const tr_object *file, tr_err *err)
{
    bool *has_profile_data = ctx;
    (void)err;
    *has_profile_data = *has_profile_data || (strcmp(file->state, "gone") != 0 &&
                                              tr_json_bool(file->doc, "isProfile", false));
    return TR_OK;
}

/* It was enabled for Profile once: the batch's files say so. */
static tr_code has_profile_data(tr_removals *r, const tr_tenant *tenant, const char *dataset,
                                bool *out, tr_err *err)
{
    const tr_catalog_filter good = {.parent = dataset, .state = "success,active"};
    json_t *batches = json_array();
    *out = false;
    tr_code code = batches == NULL
                       ? no_memory(err)
                       : tr_catalog_ids(r->parts.catalog, tenant, "batch", &good, batches, err);
    for (size_t i = 0; i < json_array_size(batches) && code == TR_OK && !*out; i++) {
        const tr_catalog_filter files = {.parent = json_string_value(json_array_get(batches, i))};
        code = tr_catalog_list(r->parts.catalog, tenant, "file", &files, note_file, out, err);
    }
    json_decref(batches);
    return code;
}

static tr_code check_dataset(tr_removals *r, const tr_tenant *tenant, const target *t,
                             bool *is_of_events, tr_err *err)
{
    tr_object dataset = {0};
    const tr_xdm_schema *schema = NULL;
    bool has_data = true;
    tr_code code = tr_catalog_get(r->parts.catalog, tenant, "dataset", t->dataset, &dataset, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "Dataset not found: \"%s\"", t->dataset);
    TR_TRY(code);
    if (!tr_dataset_has_tag(dataset.doc, "unifiedProfile", "enabled:true"))
        code = has_profile_data(r, tenant, t->dataset, &has_data, err);
    if (code == TR_OK && !has_data)
        code = TR_FAIL(err, TR_INVALID,
                       "dataset \"%s\" is not enabled for Profile and has no Profile data",
                       t->dataset);
    const char *id = tr_json_text(json_object_get(dataset.doc, "schemaRef"), "id", "");
    if (code == TR_OK)
        code = tr_catalog_schema_open(r->parts.catalog, tenant, tr_str_of(id), &schema, err);
    if (code == TR_OK)
        *is_of_events = schema->behavior == TR_XDM_EVENT;
    if (schema != NULL)
        tr_catalog_schema_close(r->parts.catalog, schema);
    tr_object_clear(&dataset);
    return code;
}

/* Records overwrite each other: what a batch of them replaced would not come back in Profile. */
static tr_code check_batch(tr_removals *r, const tr_tenant *tenant, target *t, tr_err *err)
{
    tr_object batch = {0};
    bool is_of_events = false;
    const tr_code code = tr_catalog_get(r->parts.catalog, tenant, "batch", t->batch, &batch, err);
    const bool is_there = code == TR_OK && (strcmp(batch.state, "success") == 0 ||
                                            strcmp(batch.state, "active") == 0);
    const bool is_of_dataset =
        is_there && (t->dataset[0] == '\0' || strcmp(batch.parent, t->dataset) == 0);
    if (is_there && t->dataset[0] == '\0')
        (void)snprintf(t->dataset, sizeof t->dataset, "%.63s", batch.parent);
    tr_object_clear(&batch);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    if (!is_of_dataset)
        return TR_FAIL(err, TR_INVALID, "Batch not found for profile dataset \"%s\": \"%s\"",
                       t->dataset, t->batch);
    TR_TRY(check_dataset(r, tenant, t, &is_of_events, err));
    return is_of_events
               ? TR_OK
               : TR_FAIL(err, TR_INVALID,
                         "Batch can only be specified for EE type: dataset \"%s\" is one of "
                         "records, which replace each other. Ingest the right ones, or "
                         "delete the dataset",
                         t->dataset);
}

static tr_code read_text(const json_t *body, const char *name, const char *other, char out[64],
                         tr_err *err)
{
    const json_t *value = json_object_get(body, name);
    if (value == NULL && other != NULL) {
        name = other;
        value = json_object_get(body, name);
    }
    if (value == NULL || json_is_null(value))
        return TR_OK;
    if (!json_is_string(value) || json_string_length(value) == 0 || json_string_length(value) > 63)
        return TR_FAIL(err, TR_INVALID, "%s: expected an id, a text of 1 to 63 bytes", name);
    (void)snprintf(out, 64, "%s", json_string_value(value));
    return TR_OK;
}

/* {"entityId", "entityIdNS": code or {"code"}} */
static tr_code read_identity(const json_t *body, target *t, tr_err *err)
{
    const json_t *id = json_object_get(body, "entityId"),
                 *space = json_object_get(body, "entityIdNS");
    if (json_is_object(space))
        space = json_object_get(space, "code");
    if (id == NULL && space == NULL)
        return TR_OK;
    if (!json_is_string(id) || json_string_length(id) == 0 ||
        json_string_length(id) > TR_IDENTITY_ID_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "entityId: expected a text of 1 to %d bytes",
                       TR_IDENTITY_ID_BYTES_MAX);
    if (!json_is_string(space) || !tr_namespace_code_is_valid(tr_str_of(json_string_value(space))))
        return TR_FAIL(err, TR_INVALID,
                       "entityIdNS: expected a namespace's code, of letters, digits, '_', '.' and "
                       "'-'");
    t->identity = (tr_identity){tr_str_of(json_string_value(space)),
                                {(const uint8_t *)json_string_value(id), json_string_length(id)}};
    return TR_OK;
}

/* What two requests for one identity have in common, and no text of it. */
static tr_code name_identity(tr_removals *r, const tr_tenant *tenant, target *t, tr_err *err)
{
    uint8_t secret[192], key[16];
    TR_TRY(tr_catalog_secret(r->parts.catalog, tenant, secret, err));
    tr_profile_key(secret, t->identity.code, t->identity.id, key);
    for (size_t i = 0; i < sizeof key; i++)
        (void)snprintf(t->parent + 2 * i, 3, "%02x", key[i]);
    t->type = "DELETE_IDENTITY";
    return TR_OK;
}

static tr_code read_body(tr_removals *r, const tr_tenant *tenant, const json_t *body, target *t,
                         tr_err *err)
{
    bool is_of_events = false;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(read_text(body, "dataSetId", "datasetId", t->dataset, err));
    TR_TRY(read_text(body, "batchId", NULL, t->batch, err));
    TR_TRY(read_identity(body, t, err));
    const bool is_of_data = t->dataset[0] != '\0' || t->batch[0] != '\0';
    if (is_of_data == (t->identity.id.at != NULL))
        return TR_FAIL(err, TR_INVALID,
                       "expected dataSetId, or batchId of a dataset of events, or entityId and "
                       "entityIdNS");
    if (t->identity.id.at != NULL)
        return name_identity(r, tenant, t, err);
    if (t->batch[0] != '\0')
        TR_TRY(check_batch(r, tenant, t, err));
    else
        TR_TRY(check_dataset(r, tenant, t, &is_of_events, err));
    t->type = t->batch[0] != '\0' ? "DELETE_EE_BATCH" : "TRUNCATE_DATASET";
    (void)snprintf(t->parent, sizeof t->parent, "%s", t->batch[0] != '\0' ? t->batch : t->dataset);
    return TR_OK;
}

/* ---- the job */

/* Members of old and new generations of the service: the reference's superset. */
static json_t *describe(const tr_tenant *tenant, const target *t, const char *id, int64_t now_ms)
{
    char when[TR_TIME_TEXT_BYTES];
    tr_removal_time(when);
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:{s:s, s:s}, s:{}, s:{}}", "id",
        id, "requestId", id, "imsOrgId", tenant->org, "jobType", "DELETE", "requestType", t->type,
        "status", "NEW", "metrics", "{\"recordsProcessed\":0,\"timeTakenInSec\":0}", "createEpoch",
        (json_int_t)(now_ms / 1000), "updateEpoch", (json_int_t)(now_ms / 1000), "createdAt", when,
        "updatedAt", when, "sandbox", "sandboxName", tenant->sandbox, "sandboxId",
        tenant->sandbox_id, "properties", "_");
    json_t *properties = json_object_get(doc, "properties");
    json_t *own = json_object_get(doc, "_");
    bool is_good = doc != NULL;
    if (is_good && t->dataset[0] != '\0')
        is_good = json_object_set_new(doc, "dataSetId", json_string(t->dataset)) == 0 &&
                  json_object_set_new(properties, "datasetId", json_string(t->dataset)) == 0;
    if (is_good && t->batch[0] != '\0')
        is_good = json_object_set_new(doc, "batchId", json_string(t->batch)) == 0 &&
                  json_object_set_new(properties, "batchId", json_string(t->batch)) == 0;
    if (is_good && t->identity.id.at != NULL)
        is_good =
            json_object_set_new(properties, "entityIdNS",
                                json_pack("{s:o}", "code", tr_json_str(t->identity.code))) == 0 &&
            json_object_set_new(own, "code", tr_json_str(t->identity.code)) == 0 &&
            json_object_set_new(own, "id", tr_json_str(t->identity.id)) == 0;
    if (is_good)
        return doc;
    json_decref(doc);
    return NULL;
}

static tr_code note_id(void *ctx, const tr_object *object, tr_err *err)
{
    char *id = ctx;
    (void)err;
    (void)snprintf(id, 48, "%.47s", object->id);
    return TR_OK;
}

/* Within a transaction. *other: the request for the same data that is under way; "": none. */
static tr_code insert(tr_removals *r, const tr_tenant *tenant, const target *t,
                      const tr_object *job, char other[48], tr_err *err)
{
    const tr_catalog_filter same = {
        .parent = t->parent, .state = TR_REMOVAL_UNFINISHED, .limit = 1};
    other[0] = '\0';
    TR_TRY(tr_catalog_list(r->parts.catalog, tenant, TR_REMOVAL_KIND, &same, note_id, other, err));
    return other[0] != '\0'
               ? TR_OK
               : tr_catalog_insert(r->parts.catalog, tenant, TR_REMOVAL_KIND, job, err);
}

static tr_code create(tr_removals *r, const tr_tenant *tenant, const target *t, bool may_join,
                      json_t **out, tr_err *err)
{
    char other[48] = "";
    const int64_t now_ms = tr_time_now_ms();
    tr_object job = {.state = "NEW", .created_ms = now_ms, .updated_ms = now_ms};
    (void)snprintf(job.id, sizeof job.id, "%s", tr_id_uuid().text);
    (void)snprintf(job.parent, sizeof job.parent, "%s", t->parent);
    job.doc = describe(tenant, t, job.id, now_ms);
    tr_code code = job.doc == NULL ? no_memory(err) : tr_catalog_begin(r->parts.catalog, err);
    if (code == TR_OK)
        code = tr_catalog_end(r->parts.catalog, insert(r, tenant, t, &job, other, err), err);
    json_t *shown = code == TR_OK && other[0] == '\0' ? tr_list_show_doc(job.doc) : NULL;
    json_decref(job.doc);
    TR_TRY(code);
    if (other[0] != '\0')
        return may_join ? tr_removal_get(r, tenant, other, out, err)
                        : TR_FAIL(err, TR_SEMANTIC,
                                  "a delete request for this data exists already: \"%s\"", other);
    tr_log(TR_LOG_INFO, "removal", "removal_created", "job=%s type=%s", job.id, t->type);
    tr_removal_queue(r, tenant, job.id, t->identity.id.at != NULL);
    if (shown == NULL)
        return no_memory(err);
    *out = shown;
    return TR_OK;
}

tr_code tr_removal_create(tr_removals *removals, const tr_tenant *tenant, const json_t *body,
                          json_t **job, tr_err *err)
{
    target t = {0};
    TR_TRY(read_body(removals, tenant, body, &t, err));
    return create(removals, tenant, &t, false, job, err);
}

tr_code tr_removal_create_identity(tr_removals *removals, const tr_tenant *tenant,
                                   tr_identity identity, json_t **job, tr_err *err)
{
    target t = {.identity = identity};
    TR_TRY(name_identity(removals, tenant, &t, err));
    return create(removals, tenant, &t, true, job, err);
}

/* ---- looked up */

static tr_code not_found(const char *id, tr_err *err)
{
    return TR_FAIL(err, TR_NOT_FOUND, "no system job with id \"%.60s\"", id);
}

tr_code tr_removal_get(tr_removals *removals, const tr_tenant *tenant, const char *id, json_t **job,
                       tr_err *err)
{
    tr_object object = {0};
    const tr_code code =
        tr_catalog_get(removals->parts.catalog, tenant, TR_REMOVAL_KIND, id, &object, err);
    if (code == TR_NOT_FOUND)
        return not_found(id, err);
    TR_TRY(code);
    *job = tr_list_show_doc(object.doc);
    tr_object_clear(&object);
    return *job == NULL ? no_memory(err) : TR_OK;
}

/* Within a transaction. A job whose data is out of sight already has bytes to remove yet. */
static tr_code forget(tr_removals *r, const tr_tenant *tenant, const char *id, tr_err *err)
{
    tr_object job = {0};
    const tr_code code = tr_catalog_get(r->parts.catalog, tenant, TR_REMOVAL_KIND, id, &job, err);
    const bool is_ending =
        code == TR_OK &&
        json_array_size(json_object_get(json_object_get(job.doc, "_"), "bytes")) > 0;
    tr_object_clear(&job);
    TR_TRY(code);
    if (is_ending)
        return TR_FAIL(err, TR_SEMANTIC, "system job \"%.60s\" is about to end: try again", id);
    return tr_catalog_remove(r->parts.catalog, tenant, TR_REMOVAL_KIND, id, err);
}

tr_code tr_removal_forget(tr_removals *removals, const tr_tenant *tenant, const char *id,
                          tr_err *err)
{
    TR_TRY(tr_catalog_begin(removals->parts.catalog, err));
    const tr_code code =
        tr_catalog_end(removals->parts.catalog, forget(removals, tenant, id, err), err);
    return code == TR_NOT_FOUND ? not_found(id, err) : code;
}

tr_code tr_removal_find(tr_removals *removals, const tr_tenant *tenant, tr_list_request *request,
                        json_t **items, uint64_t *total, tr_err *err)
{
    if (request->order_count == 0) {
        request->orders[0] = (tr_list_order){.path = "createdAt", .is_ascending = true};
        request->order_count = 1;
    }
    return tr_list_find(removals->parts.catalog, tenant, TR_REMOVAL_KIND, request, tr_list_show_doc,
                        items, total, err);
}
