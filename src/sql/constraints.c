/* SPDX-License-Identifier: Apache-2.0 */
/* constraints.c - see constraints.h. */
#include "sql/constraints.h"

#include "sql/rewrite_internal.h"
#include "sql/tables.h"

#include <stdio.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of tables");
}

/* Fields --------------------------------------------------------------------------------------- */

static const tr_type *find_member(const tr_type *object, tr_str name)
{
    const tr_type *exact = tr_type_member(object, name);
    for (uint32_t i = 0; exact == NULL && i < object->child_count; i++)
        if (tr_str_equal_folded(object->children[i]->name, name))
            return object->children[i];
    return exact;
}

const tr_type *tr_constraint_field(const tr_xdm_schema *schema, tr_str path, char path_out[256])
{
    size_t at = 0;
    const tr_type *type = schema->shape.root;
    while (path.len > 0 && type != NULL && type->kind == TR_KIND_OBJECT) {
        const uint8_t *dot = memchr(path.at, '.', path.len);
        const size_t len = dot == NULL ? path.len : (size_t)(dot - path.at);
        type = find_member(type, (tr_str){path.at, len});
        path = tr_str_from(path, dot == NULL ? len : len + 1);
        if (type == NULL || at + type->name.len + 2 > 256)
            return NULL;
        at += (size_t)snprintf(path_out + at, 256 - at, "%s%.*s", at == 0 ? "" : ".",
                               TR_STR_ARG(type->name));
    }
    return type != NULL && path.len == 0 && tr_kind_is_scalar(type->kind) ? type : NULL;
}

const char *tr_constraint_type(const tr_type *field)
{
    switch (field == NULL ? TR_KIND_KEY : field->kind) {
    case TR_KIND_BOOLEAN: return "boolean";
    case TR_KIND_INT32: return "integer";
    case TR_KIND_INT64: return "bigint";
    case TR_KIND_DOUBLE: return "double precision";
    case TR_KIND_STRING: return "text";
    case TR_KIND_DATE: return "date";
    case TR_KIND_TIMESTAMP: return "timestamp with time zone";
    case TR_KIND_KEY:
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP: break;
    }
    return NULL;
}

/* Identities ----------------------------------------------------------------------------------- */

typedef struct reading {
    tr_registry registry;
    json_t *list;
} reading;

/* "/_acme/email" -> "_acme.email"; in the names of the schema, which are without "xdm:". */
static void path_of(const char *property, char out[256])
{
    size_t len = 0;
    for (const char *at = property + (*property == '/'); *at != '\0' && len < 255; at++) {
        const bool is_first = at == property || at[-1] == '/';
        if (is_first && strncmp(at, "xdm:", 4) == 0)
            at += 4;
        out[len++] = *at == '/' ? '.' : *at;
    }
    out[len] = '\0';
}

static tr_code add_identity(void *ctx, const tr_object *descriptor, tr_err *err)
{
    reading *r = ctx;
    char path[256], code[256];
    const char *property = tr_json_text(descriptor->doc, "xdm:sourceProperty", NULL);
    if (property == NULL)
        return TR_OK;
    path_of(property, path);
    TR_TRY(tr_registry_namespace(&r->registry, tr_json_text(descriptor->doc, "xdm:namespace", ""),
                                 code, sizeof code, err));
    json_t *one =
        json_pack("{s:s,s:s,s:s,s:b}", "id", descriptor->id, "path", path, "namespace", code,
                  "isPrimary", (int)tr_json_bool(descriptor->doc, "xdm:isPrimary", false));
    return one != NULL && json_array_append_new(r->list, one) == 0 ? TR_OK : no_memory(err);
}

tr_code tr_constraint_identities(tr_catalog *catalog, const tr_tenant *tenant, const char *schema,
                                 json_t **out, tr_err *err)
{
    const tr_catalog_filter filter = {.parent = schema, .state = "xdm:descriptorIdentity"};
    reading r = {.registry = {.catalog = catalog, .tenant = tenant}, .list = json_array()};
    const tr_code code = r.list == NULL ? no_memory(err)
                                        : tr_catalog_list(catalog, tenant, "descriptor", &filter,
                                                          add_identity, &r, err);
    json_decref(r.registry.held);
    if (code == TR_OK)
        *out = r.list;
    else
        json_decref(r.list);
    return code;
}

/* SHOW ----------------------------------------------------------------------------------------- */

typedef struct listing {
    tr_catalog *catalog;
    const tr_tenant *tenant;
    tr_alter_what what;
    tr_buf *sql;
    const json_t *tables;        /* of tr_tables_list's form: whose names they have */
    const char *table;           /* the one that is told of */
    const tr_xdm_schema *schema; /* its; NULL: it cannot be read */
} listing;

static tr_code put_cells(listing *l, const char *const *cells, size_t count, tr_err *err)
{
    for (size_t i = 0; i < count; i++) {
        TR_TRY(tr_buf_append(l->sql, tr_str_of(i == 0 ? ",(" : ","), err));
        TR_TRY(cells[i] == NULL ? tr_buf_append(l->sql, tr_str_of("NULL"), err)
                                : tr_put_literal(l->sql, tr_str_of(cells[i]), err));
    }
    return tr_buf_append(l->sql, tr_str_of(")"), err);
}

static const char *type_of(const listing *l, const char *path)
{
    char found[256];
    return l->schema == NULL
               ? NULL
               : tr_constraint_type(tr_constraint_field(l->schema, tr_str_of(path), found));
}

static tr_code put_identities(listing *l, const json_t *dataset, tr_err *err)
{
    size_t i;
    const json_t *one;
    json_t *all = NULL;
    const char *schema = tr_json_text(json_object_get(dataset, "schemaRef"), "id", "");
    TR_TRY(tr_constraint_identities(l->catalog, l->tenant, schema, &all, err));
    tr_code code = TR_OK;
    json_array_foreach (all, i, one) {
        const char *path = tr_json_text(one, "path", "");
        const char *const cells[] = {l->table, path, type_of(l, path),
                                     tr_json_text(one, "namespace", ""),
                                     tr_json_bool(one, "isPrimary", false) ? "true" : "false"};
        if (code == TR_OK)
            code = put_cells(l, cells, 5, err);
    }
    json_decref(all);
    return code;
}

static tr_code put_primary(listing *l, const json_t *dataset, tr_err *err)
{
    size_t i;
    const json_t *column, *key = json_object_get(json_object_get(dataset, "_keys"), "primary");
    json_array_foreach (json_object_get(key, "columns"), i, column) {
        const char *path = json_string_value(column);
        const char *const cells[] = {l->table, path, type_of(l, path),
                                     tr_json_text(key, "namespace", NULL)};
        TR_TRY(put_cells(l, cells, 4, err));
    }
    return TR_OK;
}

static tr_code put_foreign(listing *l, const json_t *dataset, tr_err *err)
{
    size_t i;
    const json_t *key;
    json_array_foreach (json_object_get(json_object_get(dataset, "_keys"), "foreign"), i, key) {
        const char *path = tr_json_text(key, "column", "");
        const json_t *table = tr_json_find(l->tables, "dataset", tr_json_text(key, "dataset", "-"));
        const char *other = table == NULL ? NULL : tr_json_text(table, "table", "");
        const char *const cells[] = {l->table,
                                     path,
                                     type_of(l, path),
                                     other,
                                     tr_json_text(key, "otherColumn", ""),
                                     tr_json_text(key, "namespace", NULL)};
        if (other != NULL)
            TR_TRY(put_cells(l, cells, 6, err));
    }
    return TR_OK;
}

static tr_code put_table(listing *l, const json_t *row, tr_err *err)
{
    tr_object dataset = {0};
    tr_code code = tr_catalog_get(l->catalog, l->tenant, "dataset",
                                  tr_json_text(row, "dataset", ""), &dataset, err);
    if (code != TR_OK) /* it has gone meanwhile */
        return code == TR_NOT_FOUND ? TR_OK : code;
    const char *schema = tr_json_text(json_object_get(dataset.doc, "schemaRef"), "id", "");
    l->table = tr_json_text(row, "table", "");
    if (tr_catalog_schema_open(l->catalog, l->tenant, tr_str_of(schema), &l->schema, NULL) != TR_OK)
        l->schema = NULL; /* it cannot be read: a type is then not told */
    code = l->what == TR_ALTER_PRIMARY_KEY   ? put_primary(l, dataset.doc, err)
           : l->what == TR_ALTER_FOREIGN_KEY ? put_foreign(l, dataset.doc, err)
                                             : put_identities(l, dataset.doc, err);
    tr_catalog_schema_close(l->catalog, l->schema);
    tr_object_clear(&dataset);
    return code;
}

tr_code tr_constraints_list(tr_catalog *catalog, const tr_tenant *tenant, tr_alter_what what,
                            tr_buf *sql, tr_err *err)
{
    static const char *const none[] = {"NULL,NULL,NULL,NULL,NULL", "NULL,NULL,NULL,NULL,NULL",
                                       "NULL,NULL,NULL,NULL", "NULL,NULL,NULL,NULL,NULL,NULL"};
    static const char *const names[] = {
        "\"tableName\", \"columnName\", datatype, namespace, \"ifPrimary\"",
        "\"tableName\", \"columnName\", datatype, namespace, \"ifPrimary\"",
        "\"tableName\", \"columnName\", datatype, namespace",
        "\"tableName\", \"columnName\", datatype, \"referencedTableName\","
        " \"referencedColumnName\", namespace"};
    size_t i;
    json_t *tables = NULL, *row;
    TR_TRY(tr_tables_list(catalog, tenant, &tables, err));
    listing l = {.catalog = catalog, .tenant = tenant, .what = what, .sql = sql, .tables = tables};
    tr_code code = tr_buf_format(sql, err, "SELECT * FROM (VALUES (%s)", none[what]);
    json_array_foreach (tables, i, row)
        if (code == TR_OK)
            code = put_table(&l, row, err);
    json_decref(tables);
    TR_TRY(code);
    return tr_buf_format(sql, err,
                         ") AS t(%s) WHERE \"tableName\" IS NOT NULL ORDER BY \"tableName\", "
                         "\"columnName\"",
                         names[what]);
}
