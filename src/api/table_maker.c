/* SPDX-License-Identifier: Apache-2.0 */
/* table_maker.c - what SQL that writes needs of Catalog and registry: a new table's schema and
 * dataset, and their removal (tr_table_maker of sql/query_job.h).
 *
 * Without a schema of the client's, one is made: an ad-hoc class with the columns as its fields,
 * and a schema of that class alone. Their ids follow from the dataset's, so whoever removes the
 * dataset finds them, whatever a crash left.
 */
#include "api/catalog_api_internal.h"
#include "api/core_internal.h"
#include "api/registry_internal.h"

#include <stdio.h>

#define CONTENT_TYPE "application/vnd.adobe.xed+json;version=1"
#define ADHOC "https://ns.adobe.com/xdm/data/adhoc"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a new table");
}

/* A call that no request made. */
static void fill_call(tr_api *api, const tr_tenant *tenant, const char *client_id, tr_call *out)
{
    *out = (tr_call){.api = api, .parts = &api->parts, .tenant = *tenant};
    (void)snprintf(out->org, sizeof out->org, "%s", tenant->org);
    (void)snprintf(out->client_id, sizeof out->client_id, "%s", client_id);
}

static void name_resource(const tr_tenant *tenant, const char *type, const char *dataset,
                          char out[256])
{
    (void)snprintf(out, 256, "https://ns.adobe.com/%s/%s/%.24s%.8s", tenant->tenant_name, type,
                   dataset, dataset);
}

/* Schemas ------------------------------------------------------------------------------------- */

/* doc: taken */
static tr_code put_resource(tr_registry_call *r, const char *path, const char *id, json_t *doc,
                            tr_err *err)
{
    if (doc == NULL)
        return no_memory(err);
    r->of = tr_kind_of_path(tr_str_of(path));
    tr_code code =
        json_object_set_new(doc, "meta:resourceType", json_string(r->of->resource_type)) == 0
            ? tr_registry_papers(r, doc, NULL, id, err)
            : no_memory(err);
    if (code == TR_OK)
        code = tr_registry_check(r, doc, err);
    if (code == TR_OK)
        code = tr_registry_commit(r, doc, 0, "add", json_incref(doc), err);
    if (code == TR_OK)
        code = tr_registry_overlay(r, doc, err);
    json_decref(doc);
    return code;
}

static tr_code make_schema(tr_call *call, const tr_new_table *table, char schema[256], tr_err *err)
{
    char class_id[256];
    tr_registry_call r = {.call = call,
                          .registry = {.catalog = call->parts->catalog, .tenant = &call->tenant}};
    name_resource(&call->tenant, "classes", table->dataset, class_id);
    name_resource(&call->tenant, "schemas", table->dataset, schema);
    tr_registry_write_begin();
    tr_code code =
        put_resource(&r, "classes", class_id,
                     json_pack("{s:o,s:s,s:s,s:[{s:s}],s:O}", "title",
                               json_sprintf("%s (class of %s)", table->name, table->dataset),
                               "description", "the columns of a query", "type", "object", "allOf",
                               "$ref", ADHOC, "properties", table->properties),
                     err);
    if (code == TR_OK)
        code = put_resource(&r, "schemas", schema,
                            json_pack("{s:o,s:s,s:s,s:[{s:s}]}", "title",
                                      json_sprintf("%s (%s)", table->name, table->dataset),
                                      "description", "made by CREATE TABLE AS", "type", "object",
                                      "allOf", "$ref", class_id),
                            err);
    tr_registry_write_end(&r);
    json_decref(r.registry.held);
    return code;
}

static void forget_schema(tr_call *call, const char *dataset)
{
    char id[256];
    json_t *descriptors = NULL;
    tr_registry_write_begin();
    name_resource(&call->tenant, "schemas", dataset, id);
    tr_registry_call r = {.call = call,
                          .registry = {.catalog = call->parts->catalog, .tenant = &call->tenant}};
    (void)!tr_registry_descriptors_of(&r, id, NULL, &descriptors, NULL);
    for (size_t i = 0; i < json_array_size(descriptors); i++)
        (void)!tr_catalog_remove(call->parts->catalog, &call->tenant, "descriptor",
                                 tr_json_text(json_array_get(descriptors, i), "@id", ""), NULL);
    json_decref(descriptors);
    (void)!tr_catalog_remove(call->parts->catalog, &call->tenant, "schema", id, NULL);
    name_resource(&call->tenant, "classes", dataset, id);
    (void)!tr_catalog_remove(call->parts->catalog, &call->tenant, "class", id, NULL);
    tr_registry_write_end(&r);
}

typedef struct by_title {
    const char *title;
    char *id;
    size_t size;
} by_title;

static tr_code match_title(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    const by_title *b = ctx;
    if (strcmp(tr_json_text(object->doc, "title", ""), b->title) == 0)
        (void)snprintf(b->id, b->size, "%s", object->id);
    return TR_OK;
}

static tr_code find_schema(void *ctx, const tr_tenant *tenant, const char *title, char *id,
                           size_t size, tr_err *err)
{
    const tr_api *api = ctx;
    const tr_catalog_filter all = {0};
    by_title b = {.title = title, .id = id, .size = size};
    id[0] = '\0';
    TR_TRY(tr_catalog_list(api->parts.catalog, tenant, "schema", &all, match_title, &b, err));
    return id[0] != '\0' ? TR_OK : TR_FAIL(err, TR_NOT_FOUND, "no schema has that title");
}

/* Datasets ------------------------------------------------------------------------------------ */

static json_t *dataset_document(const tr_new_table *table, const char *schema)
{
    json_t *tags = json_object();
    if (table->is_unchecked)
        (void)json_object_set_new(tags, "acp_validationContext", json_pack("[s]", "disabled"));
    if (table->is_profile)
        (void)json_object_set_new(tags, "unifiedProfile", json_pack("[s]", "enabled:true"));
    return json_pack("{s:s,s:s*,s:{s:s,s:s},s:o}", "name", table->name, "description",
                     table->description, "schemaRef", "id", schema, "contentType", CONTENT_TYPE,
                     "tags", tags);
}

/* Within a transaction. */
static tr_code insert_dataset(tr_call *call, tr_object *object, const char *name, tr_err *err)
{
    char wanted[64];
    tr_dataset_table_name(name, wanted);
    TR_TRY(tr_dataset_take_table(call, object->id, object->doc, err));
    const char *taken = json_string_value(
        json_array_get(json_object_get(json_object_get(object->doc, "tags"), TR_TABLE_TAG), 0));
    if (wanted[0] != '\0' && strcmp(taken, wanted) != 0)
        return TR_FAIL(err, TR_CONFLICT, "the table \"%s\" is there", wanted);
    if (json_object_set_new(object->doc, "_bySql", json_true()) != 0 ||
        json_object_set_new(object->doc, "_hidden", json_true()) != 0)
        return no_memory(err);
    return tr_catalog_insert(call->parts->catalog, &call->tenant, "dataset", object, err);
}

static tr_code make_dataset(tr_call *call, const tr_new_table *table, const char *schema,
                            tr_err *err)
{
    tr_object object = {.doc = dataset_document(table, schema)};
    (void)snprintf(object.id, sizeof object.id, "%s", table->dataset);
    tr_code code =
        object.doc == NULL ? no_memory(err) : tr_dataset_check(call, NULL, object.doc, NULL, err);
    if (code == TR_OK)
        code = tr_dataset_papers(call, object.id, object.doc, err);
    object.created_ms = object.updated_ms = tr_json_int(object.doc, "created", 0);
    if (code == TR_OK)
        code = tr_catalog_begin(call->parts->catalog, err);
    if (code == TR_OK)
        code = tr_catalog_end(call->parts->catalog, insert_dataset(call, &object, table->name, err),
                              err);
    tr_object_clear(&object);
    return code;
}

static tr_code make(void *ctx, const tr_tenant *tenant, const tr_new_table *table, tr_err *err)
{
    char schema[256];
    tr_call call;
    fill_call(ctx, tenant, table->client_id, &call);
    tr_code code = table->schema_title != NULL
                       ? find_schema(ctx, tenant, table->schema_title, schema, sizeof schema, err)
                       : make_schema(&call, table, schema, err);
    tr_crash_point("query_schema_made");
    return code == TR_OK ? make_dataset(&call, table, schema, err) : code;
}

static tr_code drop(void *ctx, const tr_tenant *tenant, const char *dataset, tr_err *err)
{
    tr_call call;
    fill_call(ctx, tenant, "", &call);
    const tr_code code = tr_dataset_remove(&call, dataset, err);
    if (code == TR_OK || code == TR_NOT_FOUND)
        forget_schema(&call, dataset);
    return code;
}

/* Columns -------------------------------------------------------------------------------------- */

/* Names of columns have no case, those of fields do: of two who add one, one is too late. */
static tr_code check_apart(const json_t *there, const json_t *properties, tr_err *err)
{
    const char *name, *old;
    const json_t *field, *known;
    json_object_foreach ((json_t *)(uintptr_t)properties, name, field)
        json_object_foreach ((json_t *)(uintptr_t)there, old, known) {
            const bool is_same = strcmp(name, old) == 0 &&
                                 strcmp(tr_json_text(field, "meta:xdmType", ""),
                                        tr_json_text(known, "meta:xdmType", "")) == 0;
            if (!is_same && tr_str_equal_folded(tr_str_of(name), tr_str_of(old)))
                return TR_FAIL(err, TR_CONFLICT, "the table has a column \"%.100s\" already",
                               old);
        }
    return TR_OK;
}

/* Within the writers' turn. */
static tr_code add_fields(tr_registry_call *r, const char *id, const json_t *properties,
                          tr_err *err)
{
    tr_object before = {0};
    const tr_code found =
        tr_catalog_get(r->registry.catalog, r->registry.tenant, "class", id, &before, err);
    if (found == TR_NOT_FOUND)
        return TR_FAIL(err, TR_SEMANTIC, "the schema was not made by CREATE TABLE");
    TR_TRY(found);
    const tr_code apart = check_apart(json_object_get(before.doc, "properties"), properties, err);
    if (apart != TR_OK) {
        tr_object_clear(&before);
        return apart;
    }
    json_t *doc = json_deep_copy(before.doc);
    json_t *log = json_pack("[{s:s,s:s,s:O}]", "op", "add", "path", "/properties", "value",
                            properties);
    tr_code code = doc == NULL || log == NULL ||
                           json_object_update(json_object_get(doc, "properties"),
                                              (json_t *)(uintptr_t)properties) != 0
                       ? no_memory(err)
                       : tr_registry_papers(r, doc, before.doc, id, err);
    if (code == TR_OK)
        code = tr_registry_check(r, doc, err);
    if (code == TR_OK)
        code = tr_registry_check_change(r, before.doc, doc, err);
    if (code == TR_OK)
        code = tr_registry_commit(r, doc, before.revision, "patch", json_incref(log), err);
    json_decref(log);
    json_decref(doc);
    tr_object_clear(&before);
    return code;
}

static tr_code add_columns(void *ctx, const tr_tenant *tenant, const tr_new_table *table,
                           tr_err *err)
{
    char id[256];
    tr_call call;
    fill_call(ctx, tenant, table->client_id, &call);
    tr_registry_call r = {.call = &call,
                          .registry = {.catalog = call.parts->catalog, .tenant = &call.tenant},
                          .of = tr_kind_of_path(tr_str_of("classes"))};
    name_resource(&call.tenant, "classes", table->dataset, id);
    tr_registry_write_begin();
    const tr_code code = add_fields(&r, id, table->properties, err);
    tr_registry_write_end(&r);
    json_decref(r.registry.held);
    return code;
}

/* Identities ---------------------------------------------------------------------------------- */

static tr_code add_identity(void *ctx, const tr_tenant *tenant, const tr_new_identity *identity,
                            tr_err *err)
{
    tr_call call;
    fill_call(ctx, tenant, identity->client_id, &call);
    tr_registry_call r = {.call = &call,
                          .registry = {.catalog = call.parts->catalog, .tenant = &call.tenant}};
    const tr_code code = tr_descriptor_add(
        &r,
        json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:b}", "@type", "xdm:descriptorIdentity",
                  "xdm:sourceSchema", identity->schema, "xdm:sourceVersion", 1,
                  "xdm:sourceProperty", identity->property, "xdm:namespace", identity->name_space,
                  "xdm:property", "xdm:code", "xdm:isPrimary", (int)identity->is_primary),
        err);
    json_decref(r.registry.held);
    return code;
}

static tr_code drop_identity(void *ctx, const tr_tenant *tenant, const char *descriptor,
                             tr_err *err)
{
    tr_call call;
    fill_call(ctx, tenant, "", &call);
    tr_registry_call r = {.call = &call,
                          .registry = {.catalog = call.parts->catalog, .tenant = &call.tenant}};
    const tr_code code = tr_descriptor_remove(&r, descriptor, err);
    json_decref(r.registry.held);
    return code;
}

tr_table_maker tr_api_table_maker(tr_api *api)
{
    return (tr_table_maker){.ctx = api,
                            .make = make,
                            .drop = drop,
                            .find_schema = find_schema,
                            .add_identity = add_identity,
                            .drop_identity = drop_identity,
                            .add_columns = add_columns};
}
