/* SPDX-License-Identifier: Apache-2.0 */
/* query_alter.c - ALTER TABLE: keys and identities (constraints.h), added and dropped; columns
 * more.
 *
 * A change is one transaction. A job that a crash broke off does not know whether it was made: it
 * is done again, and what is as it should be is no failure then.
 */
#include "sql/query_job_internal.h"

#include "catalog/namespaces.h"
#include "sql/adhoc.h"
#include "sql/constraints.h"
#include "sql/view_store.h"

#include <stdio.h>

enum { FOREIGN_KEYS_MAX = 100, PATH_BYTES = 256 };

typedef struct altering {
    tr_query_jobs *jobs;
    const tr_tenant *tenant;
    const tr_alter *alter;
    const char *client_id;
    tr_arena *arena;
    bool is_again; /* it may have been made before a crash */
    tr_object dataset;
    const tr_xdm_schema *schema;
    const char *schema_id;       /* borrowed from the dataset */
    const char **paths;          /* of the columns; arena */
    const tr_type **fields;      /* arena */
    char name_space[PATH_BYTES]; /* "": none */
    json_t *foreign;             /* the foreign key to be; NULL: none */
    const char **state;
} altering;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for ALTER TABLE");
}

/* What it is about ---------------------------------------------------------------------------- */

static tr_code find_columns(altering *a, tr_err *err)
{
    const size_t count = a->alter->column_count;
    a->paths = tr_arena_array(a->arena, count, sizeof *a->paths);
    a->fields = tr_arena_array(a->arena, count, sizeof *a->fields);
    if (a->paths == NULL || a->fields == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        char path[PATH_BYTES];
        const tr_str name = a->alter->columns[i];
        a->fields[i] = tr_constraint_field(a->schema, name, path);
        *a->state = "42703";
        if (a->fields[i] == NULL)
            return TR_FAIL(err, TR_INVALID, "the table has no column \"%.*s\" with plain values",
                           (int)(name.len < 100 ? name.len : 100), (const char *)name.at);
        a->paths[i] = tr_arena_text(a->arena, tr_str_of(path));
        if (a->paths[i] == NULL)
            return no_memory(err);
        *a->state = "42701";
        for (size_t k = 0; k < i; k++)
            if (strcmp(a->paths[k], path) == 0)
                return TR_FAIL(err, TR_INVALID, "column \"%.100s\" specified more than once", path);
    }
    return TR_OK;
}

static tr_code find_namespace(altering *a, tr_err *err)
{
    json_t *found = NULL;
    const tr_str name = a->alter->name_space;
    if (name.len == 0)
        return TR_OK;
    const tr_code code =
        tr_namespace_get(a->jobs->parts.catalog, a->tenant->org, name, &found, NULL);
    *a->state = "42704";
    if (code != TR_OK)
        return TR_FAIL(err, code == TR_NOT_FOUND ? TR_INVALID : code,
                       "there is no namespace \"%.*s\"", (int)(name.len < 100 ? name.len : 100),
                       (const char *)name.at);
    (void)snprintf(a->name_space, sizeof a->name_space, "%s", tr_json_text(found, "code", ""));
    json_decref(found);
    return TR_OK;
}

static tr_code open_table(altering *a, const tr_write *write, tr_err *err)
{
    char name[PATH_BYTES];
    *a->state = "42P01";
    if (write->table.len >= sizeof name)
        return TR_FAIL(err, TR_INVALID, "there is no table of a name of %zu bytes",
                       write->table.len);
    (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(write->table));
    if (tr_view_is_kept(a->jobs->parts.catalog, a->tenant, write->table)) {
        *a->state = "42809";
        return TR_FAIL(err, TR_INVALID, "\"%.100s\" is a view: its columns are its query's", name);
    }
    const tr_code code = tr_query_find_table(a->jobs, a->tenant, name, &a->dataset, err);
    if (code != TR_OK)
        return code == TR_NOT_FOUND
                   ? TR_FAIL(err, TR_NOT_FOUND, "there is no table \"%.100s\"", name)
                   : code;
    a->schema_id = tr_json_text(json_object_get(a->dataset.doc, "schemaRef"), "id", "");
    *a->state = "55000";
    return tr_catalog_schema_open(a->jobs->parts.catalog, a->tenant, tr_str_of(a->schema_id),
                                  &a->schema, err);
}

/* Identities ----------------------------------------------------------------------------------- */

typedef struct sharing {
    const char *schema, *own;
    char name[100];
} sharing;

static tr_code note_sharer(void *ctx, const tr_object *dataset, tr_err *err)
{
    sharing *s = ctx;
    (void)err;
    if (strcmp(dataset->id, s->own) != 0 &&
        strcmp(tr_json_text(json_object_get(dataset->doc, "schemaRef"), "id", ""), s->schema) == 0)
        (void)snprintf(s->name, sizeof s->name, "%s", tr_json_text(dataset->doc, "name", ""));
    return TR_OK;
}

/* As in AEP: an identity is the schema's, so a schema of several tables is not changed by one. */
static tr_code check_own_schema(altering *a, tr_err *err)
{
    const tr_catalog_filter all = {0};
    sharing s = {.schema = a->schema_id, .own = a->dataset.id};
    TR_TRY(
        tr_catalog_list(a->jobs->parts.catalog, a->tenant, "dataset", &all, note_sharer, &s, err));
    *a->state = "55000";
    return s.name[0] == '\0'
               ? TR_OK
               : TR_FAIL(err, TR_INVALID,
                         "the table's schema is that of the dataset \"%s\", too: POST "
                         "/data/foundation/schemaregistry/tenant/descriptors changes it for all",
                         s.name);
}

static const json_t *find_primary(const json_t *all)
{
    size_t i;
    const json_t *one;
    json_array_foreach (all, i, one)
        if (tr_json_bool(one, "isPrimary", false))
            return one;
    return NULL;
}

static tr_code add_identity(altering *a, const json_t *all, tr_err *err)
{
    char property[PATH_BYTES + 1];
    const tr_table_maker *maker = &a->jobs->parts.maker;
    const bool is_primary = a->alter->what == TR_ALTER_PRIMARY_IDENTITY;
    const json_t *there = tr_json_find(all, "path", a->paths[0]), *primary = find_primary(all);
    if (there != NULL && a->is_again && tr_json_bool(there, "isPrimary", false) == is_primary &&
        strcmp(tr_json_text(there, "namespace", ""), a->name_space) == 0)
        return TR_OK;
    *a->state = "42710";
    if (there != NULL)
        return TR_FAIL(err, TR_INVALID, "column \"%s\" is an identity already, of namespace %s",
                       a->paths[0], tr_json_text(there, "namespace", ""));
    *a->state = "42P16";
    if (is_primary && primary != NULL)
        return TR_FAIL(err, TR_INVALID, "column \"%s\" is the primary identity already",
                       tr_json_text(primary, "path", ""));
    *a->state = "42804";
    if (a->fields[0]->kind != TR_KIND_STRING && a->fields[0]->kind != TR_KIND_INT32 &&
        a->fields[0]->kind != TR_KIND_INT64)
        return TR_FAIL(err, TR_INVALID, "column \"%s\" is of type %s: an identity is a text",
                       a->paths[0], tr_constraint_type(a->fields[0]));
    (void)snprintf(property, sizeof property, "/%s", a->paths[0]);
    for (char *at = property; *at != '\0'; at++)
        *at = *at == '.' ? '/' : *at;
    const tr_new_identity identity = {.client_id = a->client_id,
                                      .schema = a->schema_id,
                                      .property = property,
                                      .name_space = a->name_space,
                                      .is_primary = is_primary};
    *a->state = "55000";
    return maker->add_identity(maker->ctx, a->tenant, &identity, err);
}

static tr_code drop_identity(altering *a, const json_t *all, tr_err *err)
{
    const tr_table_maker *maker = &a->jobs->parts.maker;
    const bool is_primary = a->alter->what == TR_ALTER_PRIMARY_IDENTITY;
    const json_t *there = tr_json_find(all, "path", a->paths[0]);
    if (there == NULL && a->is_again)
        return TR_OK;
    *a->state = "42704";
    if (there == NULL)
        return TR_FAIL(err, TR_INVALID, "column \"%s\" is no identity", a->paths[0]);
    if (tr_json_bool(there, "isPrimary", false) != is_primary)
        return TR_FAIL(err, TR_INVALID, "column \"%s\" is %s: DROP %sIDENTITY drops it",
                       a->paths[0], is_primary ? "no primary identity" : "the primary identity",
                       is_primary ? "" : "PRIMARY ");
    *a->state = "55000";
    return maker->drop_identity(maker->ctx, a->tenant, tr_json_text(there, "id", ""), err);
}

static tr_code alter_identity(altering *a, tr_err *err)
{
    json_t *all = NULL;
    TR_TRY(check_own_schema(a, err));
    TR_TRY(tr_constraint_identities(a->jobs->parts.catalog, a->tenant, a->schema_id, &all, err));
    const tr_code code = a->alter->is_drop ? drop_identity(a, all, err) : add_identity(a, all, err);
    json_decref(all);
    return code;
}

/* Keys ----------------------------------------------------------------------------------------- */

static json_t *path_list(const altering *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->alter->column_count; i++)
        (void)json_array_append_new(list, json_string(a->paths[i]));
    return list;
}

typedef struct referring {
    const char *dataset;
    char by[100];
} referring;

static tr_code note_reference(void *ctx, const tr_object *dataset, tr_err *err)
{
    referring *r = ctx;
    (void)err;
    const json_t *keys = json_object_get(json_object_get(dataset->doc, "_keys"), "foreign");
    if (tr_json_find(keys, "dataset", r->dataset) != NULL)
        (void)snprintf(r->by, sizeof r->by, "%s", tr_json_text(dataset->doc, "name", ""));
    return TR_OK;
}

static tr_code check_no_reference(altering *a, tr_err *err)
{
    const tr_catalog_filter all = {0};
    referring r = {.dataset = a->dataset.id};
    TR_TRY(tr_catalog_list(a->jobs->parts.catalog, a->tenant, "dataset", &all, note_reference, &r,
                           err));
    *a->state = "2BP01";
    return r.by[0] == '\0'
               ? TR_OK
               : TR_FAIL(err, TR_INVALID,
                         "a foreign key of the dataset \"%s\" is of this primary key", r.by);
}

static tr_code alter_primary(altering *a, json_t *keys, tr_err *err)
{
    json_t *columns = path_list(a);
    const json_t *old = json_object_get(keys, "primary");
    const bool is_same = json_equal(json_object_get(old, "columns"), columns);
    tr_code code = TR_OK;
    *a->state = "42P16";
    if (a->is_again && (a->alter->is_drop ? old == NULL : is_same)) {
        json_decref(columns);
        return TR_OK;
    }
    if (!a->alter->is_drop && old != NULL)
        code = TR_FAIL(err, TR_INVALID, "the table has a primary key already");
    if (a->alter->is_drop && !is_same) {
        *a->state = "42704";
        code = TR_FAIL(err, TR_INVALID, "the table has no such primary key");
    }
    if (code == TR_OK && a->alter->is_drop)
        code = check_no_reference(a, err);
    if (code == TR_OK && a->alter->is_drop)
        (void)json_object_del(keys, "primary");
    else if (code == TR_OK &&
             json_object_set_new(keys, "primary",
                                 json_pack("{s:O,s:s*}", "columns", columns, "namespace",
                                           a->name_space[0] == '\0' ? NULL : a->name_space)) != 0)
        code = no_memory(err);
    json_decref(columns);
    return code;
}

/* The one column of the other table's primary key, of the same type.
 * other  the dataset, filled also when it fails */
static tr_code check_other(altering *a, const tr_object *other, const char **column, tr_err *err)
{
    char path[PATH_BYTES];
    const tr_xdm_schema *schema = NULL;
    const json_t *key = json_object_get(json_object_get(other->doc, "_keys"), "primary");
    const json_t *columns = json_object_get(key, "columns");
    const tr_str wanted = a->alter->other_column;
    *column = json_string_value(json_array_get(columns, 0));
    *a->state = "42830";
    if (json_array_size(columns) != 1 ||
        (wanted.len > 0 && !tr_str_equal_folded(wanted, tr_str_of(*column))))
        return TR_FAIL(err, TR_INVALID,
                       "a foreign key is of the other table's primary key, of one column: ALTER "
                       "TABLE ... ADD PRIMARY KEY makes it");
    TR_TRY(tr_catalog_schema_open(
        a->jobs->parts.catalog, a->tenant,
        tr_str_of(tr_json_text(json_object_get(other->doc, "schemaRef"), "id", "")), &schema, err));
    const tr_type *field = tr_constraint_field(schema, tr_str_of(*column), path);
    const bool fits = field != NULL && field->kind == a->fields[0]->kind;
    const char *is = tr_constraint_type(field);
    tr_catalog_schema_close(a->jobs->parts.catalog, schema);
    *a->state = "42804";
    return fits ? TR_OK
                : TR_FAIL(err, TR_INVALID, "column \"%s\" is of type %s, and \"%s\" of type %s",
                          a->paths[0], tr_constraint_type(a->fields[0]), *column,
                          is == NULL ? "none" : is);
}

/* *key is returned. */
static tr_code make_foreign(altering *a, json_t **key, tr_err *err)
{
    char name[PATH_BYTES];
    const char *column = NULL;
    tr_object other = {0};
    *a->state = "42P01";
    if (a->alter->other_table.len >= sizeof name)
        return TR_FAIL(err, TR_INVALID, "there is no table of a name of %zu bytes",
                       a->alter->other_table.len);
    (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(a->alter->other_table));
    tr_code code = tr_query_find_table(a->jobs, a->tenant, name, &other, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "there is no table \"%.100s\"", name);
    TR_TRY(code);
    code = check_other(a, &other, &column, err);
    if (code == TR_OK) {
        *key = json_pack("{s:s,s:s,s:s,s:s*}", "column", a->paths[0], "dataset", other.id,
                         "otherColumn", column, "namespace",
                         a->name_space[0] == '\0' ? NULL : a->name_space);
        code = *key == NULL ? no_memory(err) : TR_OK;
    }
    tr_object_clear(&other);
    return code;
}

static size_t find_foreign(const json_t *list, const char *path)
{
    size_t i = 0;
    while (i < json_array_size(list) &&
           strcmp(tr_json_text(json_array_get(list, i), "column", ""), path) != 0)
        i++;
    return i;
}

/* Keys of tables that have been dropped are not shown, and are in nobody's way. */
static tr_code forget_dropped(altering *a, json_t *list, tr_err *err)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        tr_object other = {0};
        const tr_code code =
            tr_catalog_get(a->jobs->parts.catalog, a->tenant, "dataset",
                           tr_json_text(json_array_get(list, i), "dataset", ""), &other, err);
        tr_object_clear(&other);
        if (code == TR_NOT_FOUND)
            (void)json_array_remove(list, i);
        else if (code != TR_OK)
            return code;
    }
    return TR_OK;
}

static tr_code alter_foreign(altering *a, json_t *keys, tr_err *err)
{
    json_t *list = json_object_get(keys, "foreign");
    if (!a->alter->is_drop)
        TR_TRY(forget_dropped(a, list, err));
    const size_t at = find_foreign(list, a->paths[0]);
    const bool is_there = at < json_array_size(list);
    if (a->alter->is_drop) {
        *a->state = "42704";
        if (!is_there && !a->is_again)
            return TR_FAIL(err, TR_INVALID, "column \"%s\" is no foreign key", a->paths[0]);
        return !is_there || json_array_remove(list, at) == 0 ? TR_OK : no_memory(err);
    }
    tr_code code = TR_OK;
    const bool is_same = is_there && json_equal(json_array_get(list, at), a->foreign);
    *a->state = "42710";
    if (is_there && !(a->is_again && is_same))
        code = TR_FAIL(err, TR_INVALID, "column \"%s\" is a foreign key already", a->paths[0]);
    if (code == TR_OK && json_array_size(list) >= FOREIGN_KEYS_MAX) {
        *a->state = "54000";
        code = TR_FAIL(err, TR_INVALID, "a table has at most %d foreign keys", FOREIGN_KEYS_MAX);
    }
    if (code == TR_OK && list == NULL) {
        list = json_array();
        code = json_object_set_new(keys, "foreign", list) == 0 ? TR_OK : no_memory(err);
    }
    if (code == TR_OK && !is_there)
        code = json_array_append(list, a->foreign) == 0 ? TR_OK : no_memory(err);
    return code;
}

/* Within a transaction: the document as it is now. */
static tr_code change_keys(altering *a, tr_err *err)
{
    tr_object now = {0};
    tr_catalog *catalog = a->jobs->parts.catalog;
    TR_TRY(tr_catalog_get(catalog, a->tenant, "dataset", a->dataset.id, &now, err));
    json_t *keys = json_object_get(now.doc, "_keys");
    if (keys == NULL) {
        keys = json_object();
        if (json_object_set_new(now.doc, "_keys", keys) != 0) {
            tr_object_clear(&now);
            return no_memory(err);
        }
    }
    tr_code code = a->alter->what == TR_ALTER_PRIMARY_KEY ? alter_primary(a, keys, err)
                                                          : alter_foreign(a, keys, err);
    now.updated_ms = 0;
    if (code == TR_OK)
        code = tr_catalog_put(catalog, a->tenant, "dataset", &now, now.revision, err);
    tr_object_clear(&now);
    return code;
}

static tr_code alter_keys(altering *a, tr_err *err)
{
    if (a->alter->what == TR_ALTER_FOREIGN_KEY && !a->alter->is_drop)
        TR_TRY(make_foreign(a, &a->foreign, err)); /* schemas are not read in a transaction */
    TR_TRY(tr_catalog_begin(a->jobs->parts.catalog, err));
    return tr_catalog_end(a->jobs->parts.catalog, change_keys(a, err), err);
}

/* Columns -------------------------------------------------------------------------------------- */

static bool has_member(const altering *a, tr_str name)
{
    const tr_type *root = a->schema->shape.root;
    for (uint32_t i = 0; i < root->child_count; i++)
        if (tr_str_equal_folded(root->children[i]->name, name))
            return true;
    return false;
}

static tr_code check_new(altering *a, tr_err *err)
{
    *a->state = "42701";
    for (size_t i = 0; i < a->alter->column_count; i++) {
        const tr_str name = a->alter->columns[i];
        if (has_member(a, name) && !a->alter->is_lenient && !a->is_again)
            return TR_FAIL(err, TR_INVALID, "the table has a column \"%.*s\" already",
                           (int)(name.len < 100 ? name.len : 100), (const char *)name.at);
    }
    return TR_OK;
}

/* [{"name","type":{"is"}}]: those that the schema lacks, or all; returned. NULL: no memory. */
static json_t *list_columns(const altering *a, bool is_all)
{
    json_t *list = json_array();
    const tr_alter *alter = a->alter;
    for (size_t i = 0; i < alter->column_count && list != NULL; i++) {
        const tr_str name = alter->columns[i];
        if ((is_all || !has_member(a, name)) &&
            json_array_append_new(list, json_pack("{s:s%,s:{s:s}}", "name", name.at, name.len,
                                                  "type", "is", alter->types[i])) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

/* In DuckDB's words, as files of a batch have it. */
static const char *engine_type(const char *is)
{
    static const char *const types[][2] = {{"boolean", "BOOLEAN"},    {"integer", "INTEGER"},
                                           {"long", "BIGINT"},        {"number", "DOUBLE"},
                                           {"string", "VARCHAR"},     {"date", "DATE"},
                                           {"instant", "TIMESTAMPTZ"}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i][0], is) == 0)
            return types[i][1];
    return "VARCHAR";
}

static tr_code add_notes(json_t *added, const json_t *columns, tr_err *err)
{
    size_t i;
    const json_t *column;
    json_array_foreach (columns, i, column) {
        const char *name = tr_json_text(column, "name", "");
        const char *is = tr_json_text(json_object_get(column, "type"), "is", "");
        if (tr_json_find(added, "name", name) == NULL &&
            json_array_append_new(
                added, json_pack("{s:s,s:s}", "name", name, "type", engine_type(is))) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

/* Within a transaction: what the table's view shows though no file has it. One that a file has is
 * shown as it is there. */
static tr_code note_added(altering *a, const json_t *columns, tr_err *err)
{
    tr_object now = {0};
    tr_catalog *catalog = a->jobs->parts.catalog;
    TR_TRY(tr_catalog_get(catalog, a->tenant, "dataset", a->dataset.id, &now, err));
    if (json_object_get(now.doc, "_added") == NULL)
        (void)json_object_set_new(now.doc, "_added", json_array());
    json_t *added = json_object_get(now.doc, "_added");
    tr_code code = added == NULL ? no_memory(err) : add_notes(added, columns, err);
    now.updated_ms = 0;
    if (code == TR_OK)
        code = tr_catalog_put(catalog, a->tenant, "dataset", &now, now.revision, err);
    tr_object_clear(&now);
    return code;
}

/* The schema first, then the note: a job that a crash broke off between them notes all. */
static tr_code add_fields(altering *a, const json_t *columns, tr_err *err)
{
    json_t *properties = NULL;
    const tr_table_maker *maker = &a->jobs->parts.maker;
    if (json_array_size(columns) == 0)
        return TR_OK;
    TR_TRY(tr_adhoc_properties(columns, &properties, a->state, err));
    const tr_new_table table = {
        .dataset = a->dataset.id, .client_id = a->client_id, .properties = properties};
    *a->state = "55000";
    tr_code code = maker->add_columns(maker->ctx, a->tenant, &table, err);
    json_decref(properties);
    if (code == TR_CONFLICT) { /* since check_new looked */
        *a->state = "42701";
        code = TR_INVALID;
    }
    if (code == TR_SEMANTIC) {
        *a->state = "42501";
        code = TR_FAIL(err, TR_INVALID,
                       "the table's schema was not made by CREATE TABLE: "
                       "/data/foundation/schemaregistry adds fields to it");
    }
    return code;
}

static tr_code alter_columns(altering *a, tr_err *err)
{
    tr_catalog *catalog = a->jobs->parts.catalog;
    TR_TRY(check_new(a, err));
    json_t *fields = list_columns(a, false), *noted = list_columns(a, a->is_again);
    tr_code code = fields == NULL || noted == NULL ? no_memory(err) : add_fields(a, fields, err);
    if (code == TR_OK && json_array_size(noted) > 0) {
        tr_crash_point("query_columns_added");
        code = tr_catalog_begin(catalog, err);
        if (code == TR_OK)
            code = tr_catalog_end(catalog, note_added(a, noted, err), err);
    }
    json_decref(fields);
    json_decref(noted);
    return code;
}

/* ---------------------------------------------------------------------------------------------- */

static tr_code alter(altering *a, tr_err *err)
{
    if (a->alter->what == TR_ALTER_COLUMN)
        return alter_columns(a, err);
    TR_TRY(find_columns(a, err));
    TR_TRY(find_namespace(a, err));
    return a->alter->what <= TR_ALTER_IDENTITY ? alter_identity(a, err) : alter_keys(a, err);
}

tr_code tr_query_alter(tr_query_jobs *jobs, const tr_tenant *tenant, const tr_object *job,
                       const tr_write *write, tr_arena *arena, const char **state, tr_err *err)
{
    altering a = {.jobs = jobs,
                  .tenant = tenant,
                  .alter = write->alter,
                  .client_id = tr_json_text(job->doc, "clientId", ""),
                  .arena = arena,
                  .is_again = strcmp(job->state, "SUBMITTED") != 0,
                  .state = state};
    tr_code code = open_table(&a, write, err);
    if (code == TR_NOT_FOUND)
        return write->is_lenient ? TR_OK : TR_INVALID;
    if (code == TR_OK)
        code = alter(&a, err);
    tr_crash_point("query_altered");
    tr_catalog_schema_close(jobs->parts.catalog, a.schema);
    tr_object_clear(&a.dataset);
    json_decref(a.foreign);
    return code == TR_NOT_FOUND ? TR_INVALID : code;
}
