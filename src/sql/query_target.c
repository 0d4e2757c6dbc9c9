/* SPDX-License-Identifier: Apache-2.0 */
/* query_target.c - the datasets that statements write to; see query_job_internal.h. */
#include "sql/query_job_internal.h"

#include "catalog/schemas.h"
#include "sql/adhoc.h"
#include "sql/view_store.h"

#include <ctype.h>
#include <stdio.h>

/* Found --------------------------------------------------------------------------------------- */

typedef struct by_name {
    const char *name;
    char id[256];
} by_name;

static tr_code match_name(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    by_name *b = ctx;
    if (strcmp(tr_json_text(object->doc, "name", ""), b->name) == 0)
        (void)snprintf(b->id, sizeof b->id, "%s", object->id);
    return TR_OK;
}

static tr_code find_id(tr_query_jobs *jobs, const tr_tenant *tenant, const char *name, char id[256],
                       tr_err *err)
{
    tr_object table = {0};
    char folded[256];
    (void)snprintf(folded, sizeof folded, "%s", name);
    for (char *at = folded; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    const tr_code code = tr_catalog_get(jobs->parts.catalog, tenant, "table", folded, &table, NULL);
    if (code == TR_OK) {
        (void)snprintf(id, 256, "%s", table.parent);
        tr_object_clear(&table);
        return TR_OK;
    }
    const tr_catalog_filter all = {0};
    by_name b = {.name = name};
    if (tr_is_hex(tr_str_of(name), 24))
        (void)snprintf(b.id, sizeof b.id, "%s", name);
    else
        TR_TRY(tr_catalog_list(jobs->parts.catalog, tenant, "dataset", &all, match_name, &b, err));
    (void)snprintf(id, 256, "%s", b.id);
    return id[0] != '\0' ? TR_OK : TR_NOT_FOUND;
}

tr_code tr_query_find_table(tr_query_jobs *jobs, const tr_tenant *tenant, const char *name,
                            tr_object *dataset, tr_err *err)
{
    char id[256] = "";
    tr_object found = {0};
    tr_code code = find_id(jobs, tenant, name, id, err);
    if (code == TR_OK)
        code = tr_catalog_get(jobs->parts.catalog, tenant, "dataset", id, &found, err);
    if (code == TR_OK && tr_json_bool(found.doc, "_hidden", false)) {
        tr_object_clear(&found);
        code = TR_NOT_FOUND;
    }
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_NOT_FOUND, "there is no table \"%.100s\"", name);
    if (code == TR_OK)
        *dataset = found;
    return code;
}

tr_code tr_query_check_columns(tr_query_jobs *jobs, const tr_tenant *tenant, const char *schema_id,
                               const json_t *columns, const char **state, tr_err *err)
{
    const tr_xdm_schema *schema = NULL;
    TR_TRY(tr_catalog_schema_open(jobs->parts.catalog, tenant, tr_str_of(schema_id), &schema, err));
    const tr_code code = tr_adhoc_check(columns, schema->shape.root, state, err);
    tr_catalog_schema_close(jobs->parts.catalog, schema);
    return code;
}

/* Made, shown, dropped ------------------------------------------------------------------------- */

/* The schema of the title, against the columns; without one, a schema's fields for them. */
static tr_code find_fields(tr_query_jobs *jobs, const tr_tenant *tenant, const char *title,
                           const json_t *columns, json_t **properties, const char **state,
                           tr_err *err)
{
    char schema[256];
    if (title[0] == '\0')
        return tr_adhoc_properties(columns, properties, state, err);
    *state = "42704";
    const tr_code code = jobs->parts.maker.find_schema(jobs->parts.maker.ctx, tenant, title, schema,
                                                       sizeof schema, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "there is no schema titled \"%.100s\"", title);
    TR_TRY(code);
    return tr_query_check_columns(jobs, tenant, schema, columns, state, err);
}

tr_code tr_query_make_table(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_object *job,
                            const tr_write *write, const char *dataset, const json_t *columns,
                            const char **state, tr_err *err)
{
    char name[256], title[256];
    json_t *properties = NULL;
    const json_t *request = json_object_get(job->doc, "request");
    (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(write->table));
    (void)snprintf(title, sizeof title, "%.*s", TR_STR_ARG(write->schema));
    if (write->schema.len >= sizeof title) {
        *state = "42704";
        return TR_FAIL(err, TR_INVALID, "there is no schema of a title of %zu bytes",
                       write->schema.len);
    }
    TR_TRY(find_fields(jobs, tenant, title, columns, &properties, state, err));
    const tr_new_table table = {
        .dataset = dataset,
        .name = name,
        .description = tr_json_text(json_object_get(request, "ctasParameters"), "description",
                                    tr_json_text(request, "description", NULL)),
        .client_id = tr_json_text(job->doc, "clientId", ""),
        .schema_title = title[0] == '\0' ? NULL : title,
        .properties = properties,
        .is_unchecked = write->is_unchecked,
        .is_profile = write->is_profile};
    *state = "42P07";
    const tr_code code = jobs->parts.maker.make(jobs->parts.maker.ctx, tenant, &table, err);
    json_decref(properties);
    if (code == TR_CONFLICT)
        return TR_FAIL(err, TR_INVALID, "the table \"%.100s\" is there already", name);
    if (code == TR_INVALID)
        *state = "42601";
    return code;
}

tr_code tr_query_show_table(tr_query_jobs *jobs, const tr_tenant *tenant, const char *dataset,
                            tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(jobs->parts.catalog, tenant, "dataset", dataset, &object, err));
    (void)json_object_del(object.doc, "_hidden");
    object.updated_ms = 0;
    const tr_code code =
        tr_catalog_put(jobs->parts.catalog, tenant, "dataset", &object, object.revision, err);
    tr_object_clear(&object);
    return code;
}

tr_code tr_query_drop_table(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_write *write,
                            const char **state, tr_err *err)
{
    char name[256];
    tr_object dataset = {0};
    (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(write->table));
    *state = "42P01";
    if (write->table.len >= sizeof name) /* cut off, it would be another one */
        return TR_FAIL(err, TR_INVALID, "there is no table of a name of %zu bytes",
                       write->table.len);
    if (tr_view_is_kept(jobs->parts.catalog, tenant, write->table)) {
        *state = "42809";
        return TR_FAIL(err, TR_INVALID, "\"%.100s\" is a view: DROP VIEW drops it", name);
    }
    tr_code code = tr_query_find_table(jobs, tenant, name, &dataset, err);
    if (code == TR_NOT_FOUND && write->is_lenient)
        return TR_OK;
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "there is no table \"%.100s\"", name);
    TR_TRY(code);
    if (write->is_restricted)
        code = tr_view_check_unread(jobs->parts.catalog, tenant, write->table, state, err);
    if (code != TR_OK) {
        tr_object_clear(&dataset);
        return code;
    }
    const bool is_ours = tr_json_bool(dataset.doc, "_bySql", false);
    *state = "42501";
    if (is_ours)
        code = jobs->parts.maker.drop(jobs->parts.maker.ctx, tenant, dataset.id, err);
    else
        code = TR_FAIL(err, TR_INVALID,
                       "the table \"%.100s\" was not made by CREATE TABLE: its dataset is removed "
                       "by DELETE /data/foundation/catalog/dataSets/%.40s",
                       name, dataset.id);
    tr_object_clear(&dataset);
    return code;
}
