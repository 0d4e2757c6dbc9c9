/* SPDX-License-Identifier: Apache-2.0 */
/* views.c - see views.h. */
#include "views.h"

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

/* The server's own SELECT, the list of files in place of {files}. */
static tr_code put_select(tr_buf *sql, const json_t *table, tr_err *err)
{
    static const char place[] = "{files}";
    const char *rest = tr_json_text(table, "sql", ""), *at;
    TR_TRY(tr_buf_append(sql, tr_str_of(" AS "), err));
    while ((at = strstr(rest, place)) != NULL) {
        TR_TRY(tr_buf_append(sql, (tr_str){(const uint8_t *)rest, (size_t)(at - rest)}, err));
        TR_TRY(tr_buf_append(sql, tr_str_of("["), err));
        TR_TRY(tr_view_put_files(sql, tr_view_files(table), err));
        TR_TRY(tr_buf_append(sql, tr_str_of("]"), err));
        rest = at + strlen(place);
    }
    return tr_buf_append(sql, tr_str_of(rest), err);
}

/* A table without files has no columns that anybody knows, and no rows. */
tr_code tr_view_make(tr_engine *engine, const char *name, const json_t *files, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code = tr_buf_append(&sql, tr_str_of("CREATE OR REPLACE VIEW "), err);
    if (code == TR_OK)
        code = tr_sql_name(&sql, tr_str_of(name), err);
    if (code == TR_OK && json_is_object(files))
        code = put_select(&sql, files, err);
    else if (code == TR_OK && json_array_size(files) == 0)
        code = tr_buf_append(&sql, tr_str_of(" AS SELECT 1 AS empty WHERE false"), err);
    else if (code == TR_OK) {
        code = tr_buf_append(&sql, tr_str_of(" AS SELECT COLUMNS(lambda c: c <> '" BOOKKEEPING
                                             "') FROM read_parquet(["), err);
        if (code == TR_OK)
            code = tr_view_put_files(&sql, files, err);
        if (code == TR_OK)
            code = tr_buf_append(&sql, tr_str_of("], union_by_name=true, hive_partitioning=false)"),
                                 err);
    }
    if (code == TR_OK)
        code = tr_buf_append(&sql, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK)
        code = tr_engine_run(engine, (const char *)sql.at, err);
    if (code != TR_OK)
        tr_err_context(err, "table %.80s", name);
    tr_buf_free(&sql);
    return code;
}

static bool is_table(const json_t *table)
{
    const json_t *files = tr_view_files(table), *file;
    size_t i;
    const bool has_sql = json_is_array(table) || tr_json_text(table, "sql", NULL) != NULL;
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
tr_code tr_views_disguise(const json_t *tables, tr_disguise **out, tr_err *err)
{
    const char *name;
    const json_t *files, *file;
    size_t count = 0, i;
    json_object_foreach((json_t *)(uintptr_t)tables, name, files)
        count += json_array_size(tr_view_files(files));
    tr_disguise *list = tr_alloc_zeroed(count + 1, sizeof *list);
    if (list == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the tables of a query");
    count = 0;
    json_object_foreach((json_t *)(uintptr_t)tables, name, files)
        json_array_foreach(tr_view_files(files), i, file)
            list[count++] = (tr_disguise){json_string_value(file), name};
    tr_engine_disguise(list);
    *out = list;
    return TR_OK;
}
