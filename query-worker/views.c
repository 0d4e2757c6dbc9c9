/* SPDX-License-Identifier: Apache-2.0 */
/* views.c - see views.h. */
#include "views.h"

#include "base/limits.h"
#include "view_maker.h"

#define BOOKKEEPING "_tributary"

/* 'a', 'b', ... of one table's files, appended. */
tr_code tr_view_put_files(tr_buf *sql, const json_t *files, tr_err *err)
{
    const json_t *file;
    size_t i;
    json_array_foreach(files, i, file) {
        if (i > 0)
            TR_TRY(tr_buf_append(sql, tr_str_of(","), err));
        TR_TRY(tr_sql_literal(sql, tr_str_of(json_string_value(file)), err));
    }
    return TR_OK;
}

const json_t *tr_view_files(const json_t *table)
{
    return json_is_object(table) ? json_object_get(table, "files") : table;
}

bool tr_view_is_temporary(const json_t *table)
{
    return json_array_size(json_object_get(table, "columns")) > 0;
}

/* The server's own SELECT, the list of files in place of {files}. */
static tr_code put_own(tr_buf *sql, const json_t *table, tr_err *err)
{
    static const char place[] = "{files}";
    const char *rest = tr_json_text(table, "sql", ""), *at;
    while ((at = strstr(rest, place)) != NULL) {
        TR_TRY(tr_buf_append(sql, (tr_str){(const uint8_t *)rest, (size_t)(at - rest)}, err));
        TR_TRY(tr_buf_append(sql, tr_str_of("["), err));
        TR_TRY(tr_view_put_files(sql, tr_view_files(table), err));
        TR_TRY(tr_buf_append(sql, tr_str_of("]"), err));
        rest = at + strlen(place);
    }
    return tr_buf_append(sql, tr_str_of(rest), err);
}

/* Columns that were stored as other types than theirs (keep.h). */
static tr_code put_kept(tr_buf *sql, const json_t *table, tr_err *err)
{
    size_t i;
    const json_t *column;
    json_array_foreach(json_object_get(table, "columns"), i, column) {
        const tr_str name = tr_str_of(tr_json_text(column, "name", ""));
        TR_TRY(tr_buf_append(sql, tr_str_of(i == 0 ? "SELECT CAST(" : ", CAST("), err));
        TR_TRY(tr_sql_name(sql, name, err));
        TR_TRY(tr_buf_format(sql, err, " AS %s) AS ", tr_json_text(column, "type", "VARCHAR")));
        TR_TRY(tr_sql_name(sql, name, err));
    }
    TR_TRY(tr_buf_append(sql, tr_str_of(" FROM read_parquet(["), err));
    TR_TRY(tr_view_put_files(sql, tr_view_files(table), err));
    return tr_buf_append(sql, tr_str_of("], hive_partitioning=false)"), err);
}

/* A table without files has no columns that anybody knows, and no rows. */
static tr_code put_select(tr_buf *sql, const json_t *table, tr_err *err)
{
    if (tr_json_text(table, "sql", NULL) != NULL)
        return put_own(sql, table, err);
    if (tr_view_is_temporary(table))
        return put_kept(sql, table, err);
    if (json_array_size(tr_view_files(table)) == 0)
        return tr_buf_append(sql, tr_str_of("SELECT 1 AS empty WHERE false"), err);
    TR_TRY(tr_buf_append(sql, tr_str_of("SELECT COLUMNS(lambda c: c <> '" BOOKKEEPING
                                        "') FROM read_parquet(["), err));
    TR_TRY(tr_view_put_files(sql, tr_view_files(table), err));
    return tr_buf_append(sql, tr_str_of("], union_by_name=true, hive_partitioning=false)"), err);
}

/* Flat ---------------------------------------------------------------------------------------- */

typedef struct flat {
    tr_buf *sql;
    const char *path[TR_SCHEMA_DEPTH_MAX + 1]; /* names from the column to here */
    size_t depth;
    bool has_one; /* a column has been written */
} flat;

/* struct_extract(struct_extract("a", 'b'), 'c') AS "a.b.c" */
static tr_code put_leaf(flat *f, tr_err *err)
{
    tr_buf name = {0};
    tr_code code = tr_buf_append(f->sql, tr_str_of(f->has_one ? ", " : ""), err);
    f->has_one = true;
    for (size_t i = 1; i < f->depth && code == TR_OK; i++)
        code = tr_buf_append(f->sql, tr_str_of("struct_extract("), err);
    for (size_t i = 0; i < f->depth && code == TR_OK; i++) {
        const tr_str part = tr_str_of(f->path[i]);
        if (i > 0)
            code = tr_buf_append(&name, tr_str_of("."), err);
        if (code == TR_OK)
            code = tr_buf_append(&name, part, err);
        if (code == TR_OK && i == 0)
            code = tr_sql_name(f->sql, part, err);
        if (code == TR_OK && i > 0)
            code = tr_buf_append(f->sql, tr_str_of(", "), err);
        if (code == TR_OK && i > 0)
            code = tr_sql_literal(f->sql, part, err);
        if (code == TR_OK && i > 0)
            code = tr_buf_append(f->sql, tr_str_of(")"), err);
    }
    if (code == TR_OK)
        code = tr_buf_append(f->sql, tr_str_of(" AS "), err);
    if (code == TR_OK)
        code = tr_sql_name(f->sql, tr_buf_str(&name), err);
    tr_buf_free(&name);
    return code;
}

/* Lists and maps stay as they are, and so does what nests deeper than any schema. */
static tr_code put_leaves(flat *f, const char *name, duckdb_logical_type type, tr_err *err)
{
    tr_code code = TR_OK;
    f->path[f->depth++] = name;
    if (duckdb_get_type_id(type) != DUCKDB_TYPE_STRUCT || f->depth > TR_SCHEMA_DEPTH_MAX) {
        code = put_leaf(f, err);
        f->depth--;
        return code;
    }
    for (uint64_t i = 0; i < duckdb_struct_type_child_count(type) && code == TR_OK; i++) {
        char *child = duckdb_struct_type_child_name(type, i);
        duckdb_logical_type its = duckdb_struct_type_child_type(type, i);
        code = put_leaves(f, child, its, err);
        duckdb_destroy_logical_type(&its);
        duckdb_free(child);
    }
    f->depth--;
    return code;
}

/* What `select` gives in FROM, where columns whose names differ in case only are told apart. */
static tr_code find_columns(tr_engine *engine, tr_str select, duckdb_result *out, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code = tr_buf_append(&sql, tr_str_of("SELECT * FROM ("), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, select, err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, tr_str_of(") LIMIT 0"), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK)
        code = tr_engine_start(engine, (const char *)sql.at, out, err);
    tr_buf_free(&sql);
    return code;
}

/* SELECT its leaves FROM (select) */
static tr_code put_flat(tr_engine *engine, tr_str select, tr_buf *sql, tr_err *err)
{
    flat f = {.sql = sql};
    duckdb_result result;
    TR_TRY(find_columns(engine, select, &result, err));
    tr_code code = tr_buf_append(sql, tr_str_of("SELECT "), err);
    for (uint64_t i = 0; i < duckdb_column_count(&result) && code == TR_OK; i++) {
        duckdb_logical_type type = duckdb_column_logical_type(&result, i);
        code = put_leaves(&f, duckdb_column_name(&result, i), type, err);
        duckdb_destroy_logical_type(&type);
    }
    duckdb_destroy_result(&result);
    if (code == TR_OK)
        code = tr_buf_append(sql, tr_str_of(" FROM ("), err);
    if (code == TR_OK)
        code = tr_buf_append(sql, select, err);
    return code == TR_OK ? tr_buf_append(sql, tr_str_of(")"), err) : code;
}

/* Added ---------------------------------------------------------------------------------------- */

static bool has_column(duckdb_result *result, tr_str name)
{
    for (uint64_t i = 0; i < duckdb_column_count(result); i++)
        if (tr_str_equal_folded(name, tr_str_of(duckdb_column_name(result, i))))
            return true;
    return false;
}

/* SELECT *, NULL::BIGINT AS "c" FROM (select): what no file has yet. Without files these are all
 * that is known. In place of `select`. */
static tr_code put_added(tr_engine *engine, const json_t *table, tr_buf *select, tr_err *err)
{
    size_t i;
    const json_t *column;
    duckdb_result result;
    tr_buf sql = {0};
    const bool has_files = json_array_size(tr_view_files(table)) > 0;
    bool has_one = has_files;
    TR_TRY(find_columns(engine, tr_buf_str(select), &result, err));
    tr_code code = tr_buf_append(&sql, tr_str_of(has_one ? "SELECT *" : "SELECT "), err);
    json_array_foreach(json_object_get(table, "added"), i, column) {
        const tr_str name = tr_str_of(tr_json_text(column, "name", ""));
        if (code != TR_OK || (has_files && has_column(&result, name)))
            continue;
        code = tr_buf_format(&sql, err, "%sNULL::%s AS ", has_one ? ", " : "",
                             tr_json_text(column, "type", "VARCHAR"));
        if (code == TR_OK)
            code = tr_sql_name(&sql, name, err);
        has_one = true;
    }
    duckdb_destroy_result(&result);
    if (code == TR_OK)
        code = tr_buf_append(&sql, tr_str_of(" FROM ("), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, tr_buf_str(select), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, tr_str_of(")"), err);
    tr_buf_free(select);
    *select = sql;
    return code;
}

/* --------------------------------------------------------------------------------------------- */

/* CREATE VIEW schema."name" AS select */
static tr_code make(tr_engine *engine, const char *schema, const char *name, tr_str select,
                    bool is_flat, tr_err *err)
{
    static const tr_str end = {(const uint8_t *)"", 1};
    tr_buf sql = {0};
    tr_code code = tr_buf_format(&sql, err, "CREATE OR REPLACE VIEW %s.", schema);
    if (code == TR_OK)
        code = tr_sql_name(&sql, tr_str_of(name), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, tr_str_of(" AS "), err);
    if (code == TR_OK)
        code = is_flat ? put_flat(engine, select, &sql, err) : tr_buf_append(&sql, select, err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, end, err);
    if (code == TR_OK)
        code = tr_engine_run(engine, (const char *)sql.at, err);
    tr_buf_free(&sql);
    return code;
}

static tr_code make_table(tr_engine *engine, const char *schema, const char *name,
                          const json_t *table, bool is_flat, tr_err *err)
{
    tr_buf select = {0};
    tr_code code = put_select(&select, table, err);
    if (code == TR_OK && json_array_size(json_object_get(table, "added")) > 0)
        code = put_added(engine, table, &select, err);
    if (code == TR_OK)
        code = make(engine, schema, name, tr_buf_str(&select), is_flat, err);
    if (code != TR_OK)
        tr_err_context(err, "table %.80s", name);
    tr_buf_free(&select);
    return code;
}

tr_code tr_view_make(tr_engine *engine, const char *name, const json_t *table, tr_err *err)
{
    return make_table(engine, "main", name, table, tr_json_bool(table, "flat", false), err);
}

tr_code tr_view_make_plain(tr_engine *engine, const char *schema, const char *name,
                           const json_t *table, tr_err *err)
{
    return make_table(engine, schema, name, table, false, err);
}

tr_code tr_view_make_of(tr_engine *engine, const char *name, tr_str select, bool is_flat,
                        tr_err *err)
{
    return make(engine, "main", name, select, is_flat, err);
}

static bool is_table(const json_t *table)
{
    const json_t *files = tr_view_files(table), *file;
    size_t i;
    const bool has_sql = json_is_array(table) || tr_json_text(table, "sql", NULL) != NULL ||
                         tr_json_bool(table, "flat", false) || tr_view_is_temporary(table) ||
                         tr_is_query_view(table) ||
                         json_is_array(json_object_get(table, "added"));
    if (!json_is_array(files) || !has_sql)
        return false;
    json_array_foreach(files, i, file)
        if (!json_is_string(file) || json_string_value(file)[0] != '/')
            return false;
    return true;
}

tr_code tr_views_check(const json_t *tables, tr_err *err)
{
    const char *name;
    const json_t *table;
    json_object_foreach((json_t *)(uintptr_t)tables, name, table)
        if (name[0] == '\0' || !is_table(table))
            return TR_FAIL(err, TR_INVALID, "the tables of the request are not as they should be");
    return TR_OK;
}

/* Each file's path is shown as its table's name. */
tr_code tr_views_disguise(const json_t *tables, const char *own, tr_disguise **out, tr_err *err)
{
    const char *name;
    const json_t *files, *file;
    size_t count = 0, i;
    json_object_foreach((json_t *)(uintptr_t)tables, name, files)
        count += json_array_size(tr_view_files(files));
    tr_disguise *list = tr_alloc_zeroed(count + 2, sizeof *list);
    if (list == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the tables of a query");
    count = 0;
    json_object_foreach((json_t *)(uintptr_t)tables, name, files)
        json_array_foreach(tr_view_files(files), i, file)
            list[count++] = (tr_disguise){json_string_value(file), name};
    if (own != NULL)
        list[count] = (tr_disguise){own, "the new table"};
    tr_engine_disguise(list);
    *out = list;
    return TR_OK;
}
