/* SPDX-License-Identifier: Apache-2.0 */
/* sql.c - see sql.h. */
#include "app/sql.h"

#include "app/server.h"
#include "sql/tables.h"
#include "sql/translate.h"
#include "base/log.h"
#include "query/query.h"

#include <stdio.h>
#include <stdlib.h>

static tr_code select_rows(const tr_sql_options *o, const json_t *tables, tr_str sql, tr_buf *out,
                           tr_err *err)
{
    char scratch[] = "/tmp/tributary-query-XXXXXX";
    tr_query *query = NULL;
    if (mkdtemp(scratch) == NULL)
        return TR_FAIL(err, TR_IO, "cannot make a scratch folder");
    const tr_query_options limits = {.worker_path = o->worker,
                                     .scratch_folder = scratch,
                                     .deadline_s = o->deadline_s,
                                     .memory_mb = o->memory_mb};
    tr_code code = tr_query_open(&limits, &query, err);
    if (code == TR_OK && o->parquet_path != NULL)
        code = tr_query_select_file(query, tables, sql, "parquet", o->parquet_path, err);
    else if (code == TR_OK)
        code = tr_query_select(query, tables, sql, o->format, TR_SQL_RESULT_BYTES_MAX, out, err);
    tr_query_close(query);
    if (tr_dir_remove(scratch, NULL) != TR_OK)
        tr_log(TR_LOG_WARN, "app", "scratch_left", "folder=%s", scratch);
    return code;
}

static tr_code print_tables(const json_t *list, tr_buf *out, tr_err *err)
{
    size_t i;
    json_t *row;
    TR_TRY(tr_buf_format(out, err, "%-32s %12s %8s  %s\n", "table", "rows", "files", "dataset"));
    json_array_foreach(list, i, row) TR_TRY(tr_buf_format(
        out, err, "%-32s %12lld %8lld  %s %s\n", tr_json_text(row, "table", ""),
        (long long)tr_json_int(row, "rows", 0), (long long)tr_json_int(row, "files", 0),
        tr_json_text(row, "dataset", ""), tr_json_text(row, "name", "")));
    return TR_OK;
}

static tr_code show_tables(tr_catalog *catalog, const tr_tenant *tenant, tr_buf *out, tr_err *err)
{
    json_t *found = NULL;
    TR_TRY(tr_tables_list(catalog, tenant, &found, err));
    const tr_code code = print_tables(found, out, err);
    json_decref(found);
    return code;
}

/* The one statement of a text in the worker's words, in the arena; shows_tables: SHOW TABLES. */
static tr_code translate(const tr_tenant *tenant, const char *text, tr_arena *arena, tr_plan *plan,
                         tr_err *err)
{
    size_t next;
    const char *state;
    tr_tokens rest;
    const tr_plan_session session = {
        .user = tenant->org, .database = "all", .application_name = "tributary"};
    const tr_str sql = tr_lex_first(tr_str_of(text), &next);
    TR_TRY(tr_lex(tr_str_from(tr_str_of(text), next), arena, &rest, err));
    if (rest.count > 0)
        return TR_FAIL(err, TR_INVALID, "more than one statement: give them one at a time");
    TR_TRY(tr_translate(sql, &session, arena, plan, &state, err));
    if (plan->kind == TR_PLAN_EMPTY)
        return TR_FAIL(err, TR_INVALID, "there is no statement");
    if (plan->kind == TR_PLAN_WRITE)
        return TR_FAIL(err, TR_INVALID,
                       "this command only reads: what writes goes to a server, by its "
                       "PostgreSQL port or POST /data/foundation/query/queries");
    if (plan->kind != TR_PLAN_QUERY || plan->is_probe || plan->explain != NULL)
        return TR_FAIL(err, TR_INVALID, "only a SELECT, DESCRIBE or SHOW TABLES can run here");
    return TR_OK;
}

static tr_code run_statement(const tr_sql_options *o, tr_catalog *catalog, tr_lake *lake,
                             const tr_tenant *tenant, const char *sql, tr_buf *out, tr_err *err)
{
    tr_arena arena = {0};
    tr_plan plan = {0};
    json_t *tables = NULL;
    tr_code code = translate(tenant, sql, &arena, &plan, err);
    if (code == TR_OK && plan.shows_tables)
        code = show_tables(catalog, tenant, out, err);
    else if (code == TR_OK) {
        code = tr_tables_of(catalog, lake, tenant, plan.sql, &tables, err);
        if (code == TR_OK)
            code = select_rows(o, tables, plan.sql, out, err);
    }
    json_decref(tables);
    tr_arena_free(&arena);
    return code;
}

static tr_code run_on(const tr_sql_options *o, tr_catalog *catalog, tr_lake *lake, const char *sql,
                      tr_buf *out, tr_err *err)
{
    char org[80];
    tr_tenant tenant;
    if (o->org == NULL)
        TR_TRY(tr_tables_org(catalog, o->sandbox, org, err));
    TR_TRY(tr_catalog_tenant(catalog, o->org != NULL ? o->org : org, o->sandbox, &tenant, err));
    return sql == NULL ? show_tables(catalog, &tenant, out, err)
                       : run_statement(o, catalog, lake, &tenant, sql, out, err);
}

tr_code tr_sql_run(const tr_sql_options *o, const char *sql, tr_buf *out, tr_err *err)
{
    char data[TR_DATA_PATH_BYTES], path[TR_DATA_PATH_BYTES];
    tr_catalog *catalog = NULL;
    tr_lake *lake = NULL;
    TR_TRY(tr_data_path(o->data, TR_DATA_CATALOG, path, err));
    if (!tr_path_exists(path))
        return TR_FAIL(err, TR_NOT_FOUND, "%s is no data folder of a server", o->data);
    TR_TRY(tr_data_absolute(o->data, data, err));
    tr_code code = tr_catalog_open(path, &catalog, err);
    if (code == TR_OK)
        code = tr_lake_open(data, &lake, err);
    if (code == TR_OK)
        code = run_on(o, catalog, lake, sql, out, err);
    tr_lake_close(lake);
    tr_catalog_close(catalog);
    return code;
}
