/* SPDX-License-Identifier: Apache-2.0 */
/* query_view.c - CREATE VIEW and DROP VIEW as jobs; see query_job_internal.h and view_store.h.
 *
 * A view is described before it is kept, with everything that it reads: what is wrong with it is
 * told when it is made. That it was kept, or dropped, is noted in the job by the same transaction,
 * so that a crash does not make it a second time.
 */
#include "sql/query_job_internal.h"

#include "sql/dimension_tables.h"
#include "sql/rewrite_internal.h"
#include "sql/view_store.h"

#define NOTED "_view"

/* Checks --------------------------------------------------------------------------------------- */

static tr_code check_live_tables(tr_query_jobs *jobs, const tr_tenant *tenant, const char *name,
                                 const char **state, tr_err *err)
{
    json_t *list = NULL;
    *state = "58000";
    if (jobs->parts.live != NULL)
        TR_TRY(tr_live_tables_list(jobs->parts.live, tenant, &list, err));
    const bool is_taken = tr_is_dimension_table(name) || tr_json_find(list, "table", name) != NULL;
    json_decref(list);
    *state = "42P07";
    return is_taken ? TR_FAIL(err, TR_INVALID, "the table \"%s\" is there already", name) : TR_OK;
}

/* What the worker says of a query. */
static tr_code describe(tr_query_active *active, const tr_query_text *text, json_t **columns,
                        const char **state, tr_err *err)
{
    json_t *first = NULL;
    const tr_code code = tr_query_worker_start(active, "describe", text, &first, state, err);
    tr_query_worker_end(active);
    if (code == TR_OK)
        *columns = json_incref(json_object_get(first, "columns"));
    json_decref(first);
    return code;
}

static tr_str column_name(const tr_write *write, const json_t *columns, size_t i)
{
    return i < write->column_count
               ? write->columns[i]
               : tr_str_of(tr_json_text(json_array_get(columns, i), "name", ""));
}

/* By the names that the view gives them, each is one of a kind. */
static tr_code check_names(const tr_write *write, const json_t *columns, const char **state,
                           tr_err *err)
{
    const size_t count = json_array_size(columns);
    *state = "42601";
    if (write->column_count > count)
        return TR_FAIL(err, TR_INVALID, "the view names %zu columns, its query has %zu",
                       write->column_count, count);
    *state = "42701";
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (tr_str_equal_folded(column_name(write, columns, i), column_name(write, columns, k)))
                return TR_FAIL(err, TR_INVALID,
                               "the view has two columns \"%.*s\": name them apart",
                               TR_STR_ARG(column_name(write, columns, i)));
    return TR_OK;
}

/* The query on its own, and then as the view that it is to be: through its names, and through the
 * views that it reads. */
static tr_code check_query(tr_query_active *active, const tr_query_text *text, const char *name,
                           const char **state, tr_err *err)
{
    tr_buf sql = {0};
    json_t *columns = NULL, *seen = NULL;
    tr_query_text query = *text, whole = {.new_view = &text->write};
    query.new_view = &text->write; /* one that reads itself through others is found out */
    tr_code code = describe(active, &query, &columns, state, err);
    if (code == TR_OK)
        code = check_names(&text->write, columns, state, err);
    if (code == TR_OK)
        code = tr_buf_format(&sql, err, "SELECT * FROM \"%s\"", name);
    whole.plan = (tr_plan){.kind = TR_PLAN_QUERY, .tag = "SELECT", .sql = tr_buf_str(&sql)};
    if (code == TR_OK)
        code = describe(active, &whole, &seen, state, err);
    json_decref(columns);
    json_decref(seen);
    tr_buf_free(&sql);
    return code;
}

/* Done ----------------------------------------------------------------------------------------- */

static tr_code note(tr_query_active *active, tr_err *err)
{
    return tr_query_note(active->jobs, &active->tenant, active->id, NULL,
                         json_pack("{s:b}", NOTED, 1), err);
}

tr_code tr_query_make_view(tr_query_active *active, const tr_object *job, const tr_query_text *text,
                           const char **state, tr_err *err)
{
    char name[64];
    tr_catalog *catalog = active->jobs->parts.catalog;
    const char *client = tr_json_text(job->doc, "clientId", "");
    if (tr_json_bool(job->doc, NOTED, false))
        return TR_OK;
    TR_TRY(tr_view_name(text->write.table, name, state, err));
    *state = "0A000";
    if (text->is_flat)
        return TR_FAIL(err, TR_INVALID,
                       "a view is made in a database without ?FLATTEN; with it, its columns are "
                       "flat, too");
    if (text->plan.is_probe)
        return TR_FAIL(err, TR_INVALID, "a view of the catalog's tables is not there");
    TR_TRY(check_live_tables(active->jobs, &active->tenant, name, state, err));
    TR_TRY(check_query(active, text, name, state, err));
    *state = "58000";
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_view_keep(catalog, &active->tenant, &text->write, client, state, err);
    if (code == TR_OK)
        code = note(active, err);
    code = tr_catalog_end(catalog, code, err);
    tr_crash_point("query_view_kept");
    return code;
}

tr_code tr_query_drop_view(tr_query_active *active, const tr_object *job, const tr_write *write,
                           const char **state, tr_err *err)
{
    tr_catalog *catalog = active->jobs->parts.catalog;
    if (tr_json_bool(job->doc, NOTED, false))
        return TR_OK;
    *state = "58000";
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_view_drop(catalog, &active->tenant, write, state, err);
    if (code == TR_OK)
        code = note(active, err);
    code = tr_catalog_end(catalog, code, err);
    tr_crash_point("query_view_dropped");
    return code;
}
