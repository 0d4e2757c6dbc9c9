/* SPDX-License-Identifier: Apache-2.0 */
/* sql.c - see sql.h. */
#include "app/sql.h"

#include "app/live_rooms.h"
#include "app/server.h"
#include "base/clock.h"
#include "sql/tables.h"
#include "sql/translate.h"
#include "sql/view_store.h"
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

/* A folder as a statement sees it. */
typedef struct place {
    const tr_sql_options *options;
    tr_catalog *catalog;
    tr_lake *lake;
    tr_live_rooms *rooms;
    tr_tenant tenant;
} place;

static tr_code print_tables(const json_t *list, tr_buf *out, tr_err *err)
{
    size_t i;
    json_t *row;
    TR_TRY(tr_buf_format(out, err, "%-32s %12s %8s  %s\n", "table", "rows", "files", "dataset"));
    json_array_foreach (list, i, row)
        TR_TRY(tr_buf_format(out, err, "%-32s %12lld %8lld  %s %s\n",
                             tr_json_text(row, "table", ""), (long long)tr_json_int(row, "rows", 0),
                             (long long)tr_json_int(row, "files", 0),
                             tr_json_text(row, "dataset", ""), tr_json_text(row, "name", "")));
    return TR_OK;
}

static tr_code print_others(const json_t *list, tr_buf *out, tr_err *err)
{
    size_t i;
    json_t *row;
    json_array_foreach (list, i, row)
        TR_TRY(tr_buf_format(out, err, "%-32s %12s %8s  %s\n", tr_json_text(row, "table", ""), "-",
                             "-", tr_json_text(row, "description", "")));
    return TR_OK;
}

static tr_code show_tables(const place *p, tr_buf *out, tr_err *err)
{
    json_t *found = NULL, *views = NULL, *live = NULL;
    tr_code code = tr_tables_list(p->catalog, &p->tenant, &found, err);
    if (code == TR_OK)
        code = tr_views_list(p->catalog, &p->tenant, &views, err);
    if (code == TR_OK)
        code = tr_live_tables_list(tr_live_rooms_tables(p->rooms), &p->tenant, &live, err);
    if (code == TR_OK)
        code = print_tables(found, out, err);
    if (code == TR_OK)
        code = print_others(views, out, err);
    if (code == TR_OK)
        code = print_others(live, out, err);
    json_decref(found);
    json_decref(views);
    json_decref(live);
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

/* The tables that a statement names, while it is run. */
typedef struct named {
    json_t *tables;
    json_t *temporary; /* files that go when it has run */
    bool is_whole;     /* of live tables, all columns */
    bool is_narrow;    /* some were left out */
} named;

static void forget_tables(named *n)
{
    tr_live_tables_forget(n->temporary);
    json_decref(n->tables);
    n->tables = n->temporary = NULL;
}

static tr_code find_tables(const place *p, tr_str sql, named *n, tr_err *err)
{
    enum { DEADLINE_S = 600 };
    json_t *none = NULL;
    const int64_t deadline_s = p->options->deadline_s > 0 ? p->options->deadline_s : DEADLINE_S;
    const tr_tables_wanted datasets = {.sql = sql, .may_be_empty = true};
    const tr_live_wanted live = {
        .sql = sql,
        .is_whole = n->is_whole,
        .patience = {.client_fd = -1,
                     .deadline_us = tr_time_monotonic_us() + deadline_s * 1000000}};
    TR_TRY(tr_tables_find(p->catalog, p->lake, &p->tenant, &datasets, &n->tables, err));
    TR_TRY(tr_live_tables_add(tr_live_rooms_tables(p->rooms), &p->tenant, &live, n->tables,
                              &n->temporary, &n->is_narrow, err));
    if (json_object_size(n->tables) > 0)
        return TR_OK;
    const tr_code code = tr_tables_of(p->catalog, p->lake, &p->tenant, sql, &none, err);
    json_decref(none);
    return code;
}

/* Again when a file went before the worker held it, and once when it may have missed a column. */
static tr_code run_select(const place *p, tr_str sql, tr_buf *out, tr_err *err)
{
    enum { TRIES = 20 };
    named n = {0};
    tr_code code = TR_NOT_FOUND;
    for (int i = 0; i < TRIES; i++) {
        code = find_tables(p, sql, &n, err);
        const bool is_found = code == TR_OK;
        if (is_found)
            code = select_rows(p->options, n.tables, sql, out, err);
        const bool is_gone = is_found && code == TR_NOT_FOUND;
        const bool is_missed = is_found && code == TR_INVALID && n.is_narrow && !n.is_whole;
        forget_tables(&n);
        if (!is_gone && !is_missed)
            break;
        n.is_whole = n.is_whole || is_missed;
        n.is_narrow = false;
    }
    return code;
}

static tr_code run_statement(const place *p, const char *sql, tr_buf *out, tr_err *err)
{
    tr_arena arena = {0};
    tr_plan plan = {0};
    tr_code code = translate(&p->tenant, sql, &arena, &plan, err);
    if (code == TR_OK)
        code = plan.shows_tables ? show_tables(p, out, err) : run_select(p, plan.sql, out, err);
    tr_arena_free(&arena);
    return code;
}

static tr_code run_on(place *p, const char *data, const char *sql, tr_buf *out, tr_err *err)
{
    char org[80];
    const tr_sql_options *o = p->options;
    if (o->org == NULL)
        TR_TRY(tr_tables_org(p->catalog, o->sandbox, org, err));
    TR_TRY(
        tr_catalog_tenant(p->catalog, o->org != NULL ? o->org : org, o->sandbox, &p->tenant, err));
    TR_TRY(tr_live_rooms_open(data, p->catalog, p->lake, &p->rooms, err));
    const tr_code code = sql == NULL ? show_tables(p, out, err) : run_statement(p, sql, out, err);
    tr_live_rooms_close(p->rooms);
    return code;
}

tr_code tr_sql_run(const tr_sql_options *o, const char *sql, tr_buf *out, tr_err *err)
{
    char data[TR_DATA_PATH_BYTES], path[TR_DATA_PATH_BYTES];
    place p = {.options = o};
    TR_TRY(tr_data_path(o->data, TR_DATA_CATALOG, path, err));
    if (!tr_path_exists(path))
        return TR_FAIL(err, TR_NOT_FOUND, "%s is no data folder of a server", o->data);
    TR_TRY(tr_data_absolute(o->data, data, err));
    tr_code code = tr_catalog_open(path, &p.catalog, err);
    if (code == TR_OK)
        code = tr_lake_open(data, &p.lake, err);
    if (code == TR_OK)
        code = run_on(&p, data, sql, out, err);
    tr_lake_close(p.lake);
    tr_catalog_close(p.catalog);
    return code;
}
