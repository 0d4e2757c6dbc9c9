/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_query.c - tributary query: a SELECT over the datasets of a data folder, by the SQL worker.
 *
 * It reads the folder itself, with the server up or down: published files never change.
 */
#include "app/commands.h"
#include "app/server.h"
#include "app/tables.h"

#include "query/query.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: tributary query --data DIR [--org ORG] [--sandbox NAME] [--format table|csv|json] "
    "[SQL]\n"
    "Runs one SELECT over the datasets of a sandbox, in a process of its own (DuckDB). A dataset's "
    "table\n"
    "is named by its tag adobe/pqs/table. Without SQL: lists the tables.\n"
    "  --data DIR        the data folder of a server, which may be up or down\n"
    "  --org ORG         needed when several orgs have datasets there\n"
    "  --sandbox NAME    \"prod\" unless given\n"
    "  --format FORMAT   table (as given), csv, or json: one object a line\n"
    "  --deadline-s N --memory-mb N          limits of the query (600, 1024)\n"
    "SQL over the network (Query Service) is not there yet.\n"
    "\n"
    "  tributary query --data ./data 'SELECT count(*) FROM crm'\n";

enum { RESULT_BYTES_MAX = 256 * 1024 * 1024 };

typedef struct options {
    const char *data, *org, *sandbox, *format, *url, *sql, *worker;
    uint32_t deadline_s, memory_mb;
} options;

static tr_code select_rows(const options *o, const json_t *tables, tr_buf *out, tr_err *err)
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
    if (code == TR_OK)
        code = tr_query_select(query, tables, tr_str_of(o->sql), o->format, RESULT_BYTES_MAX, out,
                               err);
    tr_query_close(query);
    if (tr_dir_remove(scratch, NULL) != TR_OK)
        fprintf(stderr, "tributary query: %s could not be removed\n", scratch);
    return code;
}

static void print_tables(const json_t *list)
{
    size_t i;
    json_t *row;
    printf("%-32s %12s %8s  %s\n", "table", "rows", "files", "dataset");
    json_array_foreach (list, i, row)
        printf("%-32s %12lld %8lld  %s %s\n", tr_json_text(row, "table", ""),
               (long long)tr_json_int(row, "rows", 0), (long long)tr_json_int(row, "files", 0),
               tr_json_text(row, "dataset", ""), tr_json_text(row, "name", ""));
}

static tr_code find_tenant(const options *o, tr_catalog *catalog, tr_tenant *out, tr_err *err)
{
    char org[80];
    if (o->org == NULL)
        TR_TRY(tr_tables_org(catalog, o->sandbox, org, err));
    return tr_catalog_tenant(catalog, o->org != NULL ? o->org : org, o->sandbox, out, err);
}

static tr_code run_on(const options *o, tr_catalog *catalog, tr_lake *lake, tr_err *err)
{
    tr_tenant tenant;
    json_t *found = NULL;
    tr_buf out = {.bytes_max = RESULT_BYTES_MAX + 4096};
    TR_TRY(find_tenant(o, catalog, &tenant, err));
    tr_code code;
    if (o->sql == NULL) {
        code = tr_tables_list(catalog, &tenant, &found, err);
        if (code == TR_OK)
            print_tables(found);
    } else {
        code = tr_tables_of(catalog, lake, &tenant, tr_str_of(o->sql), &found, err);
        if (code == TR_OK)
            code = select_rows(o, found, &out, err);
        if (code == TR_OK)
            (void)fwrite(out.at, 1, out.len, stdout);
    }
    json_decref(found);
    tr_buf_free(&out);
    return code;
}

static tr_code run(const options *o, tr_err *err)
{
    char path[TR_DATA_PATH_BYTES];
    tr_catalog *catalog = NULL;
    tr_lake *lake = NULL;
    TR_TRY(tr_data_path(o->data, TR_DATA_CATALOG, path, err));
    if (!tr_path_exists(path))
        return TR_FAIL(err, TR_NOT_FOUND, "%s is no data folder of a server", o->data);
    tr_code code = tr_catalog_open(path, &catalog, err);
    if (code == TR_OK)
        code = tr_lake_open(o->data, &lake, err);
    if (code == TR_OK)
        code = run_on(o, catalog, lake, err);
    tr_lake_close(lake);
    tr_catalog_close(catalog);
    return code;
}

int tr_cmd_query(int argc, char **argv)
{
    options o = {.sandbox = "prod", .format = "table"};
    tr_err err = {0};
    int words;
    const tr_arg args[] = {{"data", TR_ARG_TEXT, &o.data},
                           {"org", TR_ARG_TEXT, &o.org},
                           {"sandbox", TR_ARG_TEXT, &o.sandbox},
                           {"format", TR_ARG_TEXT, &o.format},
                           {"url", TR_ARG_TEXT, &o.url},
                           {"worker", TR_ARG_TEXT, &o.worker},
                           {"deadline-s", TR_ARG_NUMBER, &o.deadline_s},
                           {"memory-mb", TR_ARG_NUMBER, &o.memory_mb},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {.name = "query", .usage = usage, .args = args, .words_most = 1};
    const int status = tr_args_read(&command, argc, argv, &words);
    if (status != -1)
        return status;
    if (o.url != NULL)
        return tr_args_refuse(&command,
                              "a server runs no SQL over the network yet: run this where its "
                              "data folder is, with --data DIR");
    if (o.data == NULL)
        return tr_args_refuse(&command, "--data is missing: the data folder of a server");
    if (strcmp(o.format, "table") != 0 && strcmp(o.format, "csv") != 0 &&
        strcmp(o.format, "json") != 0)
        return tr_args_refuse(&command, "--format: \"%s\" is not table, csv or json", o.format);
    o.sql = words == 1 ? argv[1] : NULL;
    if (run(&o, &err) == TR_OK)
        return 0;
    fprintf(stderr, "tributary query: %s\n", err.text);
    return 1;
}
