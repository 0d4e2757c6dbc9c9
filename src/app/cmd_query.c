/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_query.c - tributary query: a SELECT over the tables of a data folder, by the SQL worker.
 *
 * It reads the folder itself, with the server up or down: published files never change.
 */
#include "app/args.h"
#include "app/commands.h"
#include "app/sql.h"
#include "base/limits.h"

#include "os/os.h"

#include <stdio.h>
#include <unistd.h>
#include <string.h>

static const char usage[] =
    "usage: tributary query --data DIR [--csv | --json | --parquet FILE] [SQL | --file FILE]\n"
    "Runs one SELECT over the datasets of a sandbox, in a process of its own (DuckDB), and prints\n"
    "its rows. A dataset's table is named by its tag adobe/pqs/table; besides there are\n"
    "  profile, profile_POLICY             the merged profiles of this moment, by a merge policy\n"
    "  segment_membership                  who is in which segment\n"
    "  batches, export_jobs                what the catalog knows of them\n"
    "and views that CREATE VIEW has made on a server. Without SQL: lists all of them.\n"
    "  --data DIR        the data folder of a server, which may be up or down\n"
    "  --org ORG         needed when several orgs have datasets there\n"
    "  --sandbox NAME    \"prod\" unless given\n"
    "The result is an aligned table, or:\n"
    "  --csv             CSV with a header row; nulls are empty, empty texts \"\"\n"
    "  --json            one JSON object a line, nulls and nested values as they are\n"
    "  --parquet FILE    a Parquet file with the columns' own types (zstd); it is replaced\n"
    "  --file FILE       reads the SQL from a file; \"-\" is stdin\n"
    "  --deadline-s N --memory-mb N          limits of the query (600, 1024)\n"
    "The dialect is Query Service's: DuckDB's SQL with Spark's `name`, ==, arr[0], "
    "explode(array).\n"
    "A mistake in the SQL is told with its line and column. SQL over the network, and statements\n"
    "that write: serve --pg-listen, and any PostgreSQL client; or POST "
    "/data/foundation/query/queries.\n"
    "\n"
    "  tributary query --data ./data 'SELECT count(*) FROM crm'\n"
    "  tributary query --data ./data --csv --file report.sql > report.csv\n"
    "  tributary query --data ./data 'SELECT \"segmentId\", count(*) FROM segment_membership GROUP "
    "BY 1'\n"
    "  tributary query --data ./data --parquet gold.parquet \"SELECT * FROM crm WHERE tier = "
    "'gold'\"\n";

/* DuckDB's "LINE 2: text\n      ^" at the end of a message as "line 2, column 7: ". */
static void print_failure(const char *text)
{
    const char *at = strstr(text, "\nLINE ");
    const char *source = at == NULL ? NULL : strchr(at, ':');
    const char *next = source == NULL ? NULL : strchr(source, '\n');
    const char *caret = next == NULL ? NULL : strchr(next, '^');
    if (caret != NULL && strncmp(source, ": ...", 5) != 0 &&
        caret - next > source - at) /* a line that was cut has another column */
        fprintf(stderr, "tributary query: line %.*s, column %td: %s\n", (int)(source - at - 6),
                at + 6, caret - next - (source - at) - 1, text);
    else
        fprintf(stderr, "tributary query: %s\n", text);
}

/* The exit status. */
static int run(const tr_sql_options *options, const char *sql)
{
    tr_err err = {0};
    tr_buf out = {.bytes_max = TR_SQL_RESULT_BYTES_MAX + 4096};
    const tr_code code = tr_sql_run(options, sql, &out, &err);
    if (code == TR_OK)
        (void)fwrite(out.at, 1, out.len, stdout);
    else
        print_failure(err.text);
    const bool is_written = code != TR_OK || (fflush(stdout) == 0 && ferror(stdout) == 0);
    if (!is_written)
        fprintf(stderr, "tributary query: the result could not be written\n");
    tr_buf_free(&out);
    return code != TR_OK || !is_written;
}

static tr_code read_stdin(tr_buf *out, tr_err *err)
{
    uint8_t bytes[4096];
    ssize_t got;
    while ((got = read(STDIN_FILENO, bytes, sizeof bytes)) > 0)
        TR_TRY(tr_buf_append(out, (tr_str){bytes, (size_t)got}, err));
    return got == 0 ? TR_OK : TR_FAIL(err, TR_IO, "stdin cannot be read");
}

/* The SQL of a file; its status. */
static int run_file(const tr_sql_options *options, const char *path)
{
    tr_err err = {0};
    tr_buf sql = {.bytes_max = TR_SQL_BYTES_MAX + 2};
    tr_code code =
        strcmp(path, "-") == 0 ? read_stdin(&sql, &err) : tr_file_read_all(path, &sql, &err);
    if (code == TR_OK && memchr(sql.at != NULL ? (const char *)sql.at : "", '\0', sql.len) != NULL)
        code = TR_FAIL(&err, TR_INVALID, "%s is no text", path);
    if (code == TR_OK)
        code = tr_buf_append(&sql, (tr_str){(const uint8_t *)"", 1}, &err);
    int status = 1;
    if (code == TR_OK)
        status = run(options, (const char *)sql.at);
    else if (code == TR_LIMIT)
        fprintf(stderr, "tributary query: %s is longer than %d bytes\n", path, TR_SQL_BYTES_MAX);
    else
        fprintf(stderr, "tributary query: %s\n", err.text);
    tr_buf_free(&sql);
    return status;
}

typedef struct forms {
    bool is_csv, is_json;
} forms;

/* -1: go on. */
static int check(const tr_command *command, tr_sql_options *o, const forms *given, bool has_format)
{
    if (given->is_csv + given->is_json + has_format + (o->parquet_path != NULL) > 1)
        return tr_args_refuse(command, "--csv, --json, --parquet and --format: only one of them");
    if (o->data == NULL)
        return tr_args_refuse(command, "--data is missing: the data folder of a server");
    if (given->is_csv || given->is_json)
        o->format = given->is_csv ? "csv" : "json";
    if (strcmp(o->format, "table") != 0 && strcmp(o->format, "csv") != 0 &&
        strcmp(o->format, "json") != 0)
        return tr_args_refuse(command, "--format: \"%s\" is not table, csv or json", o->format);
    return -1;
}

int tr_cmd_query(int argc, char **argv)
{
    tr_sql_options o = {.sandbox = "prod"};
    forms given = {0};
    const char *url = NULL, *file = NULL;
    int words;
    const tr_arg args[] = {{"data", TR_ARG_TEXT, &o.data},
                           {"org", TR_ARG_TEXT, &o.org},
                           {"sandbox", TR_ARG_TEXT, &o.sandbox},
                           {"format", TR_ARG_TEXT, &o.format},
                           {"csv", TR_ARG_SWITCH, &given.is_csv},
                           {"json", TR_ARG_SWITCH, &given.is_json},
                           {"parquet", TR_ARG_TEXT, &o.parquet_path},
                           {"file", TR_ARG_TEXT, &file},
                           {"url", TR_ARG_TEXT, &url},
                           {"worker", TR_ARG_TEXT, &o.worker},
                           {"deadline-s", TR_ARG_NUMBER, &o.deadline_s},
                           {"memory-mb", TR_ARG_NUMBER, &o.memory_mb},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {.name = "query", .usage = usage, .args = args, .words_most = 1};
    int status = tr_args_read(&command, argc, argv, &words);
    if (status != -1)
        return status;
    const bool has_format = o.format != NULL;
    if (!has_format)
        o.format = "table";
    if (url != NULL)
        return tr_args_refuse(&command, "SQL of a server is for PostgreSQL clients (serve "
                                        "--pg-listen): this runs where its data folder is, with "
                                        "--data DIR");
    status = check(&command, &o, &given, has_format);
    if (status != -1)
        return status;
    if (file != NULL && words == 1)
        return tr_args_refuse(&command, "--file and SQL: only one of them");
    if (o.parquet_path != NULL && file == NULL && words == 0)
        return tr_args_refuse(&command, "--parquet needs SQL");
    return file != NULL ? run_file(&o, file) : run(&o, words == 1 ? argv[1] : NULL);
}
