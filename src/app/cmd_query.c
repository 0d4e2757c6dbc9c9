/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_query.c - tributary query: a SELECT over the datasets of a data folder, by the SQL worker.
 *
 * It reads the folder itself, with the server up or down: published files never change.
 */
#include "app/args.h"
#include "app/commands.h"
#include "app/sql.h"

#include <stdio.h>
#include <string.h>

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
    "SQL over the network: serve --pg-listen, and any PostgreSQL client.\n"
    "\n"
    "  tributary query --data ./data 'SELECT count(*) FROM crm'\n";

/* The exit status. */
static int run(const tr_sql_options *options, const char *sql)
{
    tr_err err = {0};
    tr_buf out = {.bytes_max = TR_SQL_RESULT_BYTES_MAX + 4096};
    const tr_code code = tr_sql_run(options, sql, &out, &err);
    if (code == TR_OK)
        (void)fwrite(out.at, 1, out.len, stdout);
    else
        fprintf(stderr, "tributary query: %s\n", err.text);
    tr_buf_free(&out);
    return code != TR_OK;
}

int tr_cmd_query(int argc, char **argv)
{
    tr_sql_options o = {.sandbox = "prod", .format = "table"};
    const char *url = NULL;
    int words;
    const tr_arg args[] = {{"data", TR_ARG_TEXT, &o.data},
                           {"org", TR_ARG_TEXT, &o.org},
                           {"sandbox", TR_ARG_TEXT, &o.sandbox},
                           {"format", TR_ARG_TEXT, &o.format},
                           {"url", TR_ARG_TEXT, &url},
                           {"worker", TR_ARG_TEXT, &o.worker},
                           {"deadline-s", TR_ARG_NUMBER, &o.deadline_s},
                           {"memory-mb", TR_ARG_NUMBER, &o.memory_mb},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {.name = "query", .usage = usage, .args = args, .words_most = 1};
    const int status = tr_args_read(&command, argc, argv, &words);
    if (status != -1)
        return status;
    if (url != NULL)
        return tr_args_refuse(&command, "SQL of a server is for PostgreSQL clients (serve "
                                        "--pg-listen): this runs where its data folder is, with "
                                        "--data DIR");
    if (o.data == NULL)
        return tr_args_refuse(&command, "--data is missing: the data folder of a server");
    if (strcmp(o.format, "table") != 0 && strcmp(o.format, "csv") != 0 &&
        strcmp(o.format, "json") != 0)
        return tr_args_refuse(&command, "--format: \"%s\" is not table, csv or json", o.format);
    return run(&o, words == 1 ? argv[1] : NULL);
}
