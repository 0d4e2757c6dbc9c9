/* SPDX-License-Identifier: Apache-2.0 */
/* duckdb_alone.c - the library that the SQL worker links, without the worker: runs statements
 * that come on standard input, one a line, and answers each with its seconds and the first row's
 * first value.
 *
 *     duckdb_alone THREADS
 */
#include <duckdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int run(duckdb_connection con, const char *sql)
{
    duckdb_result result;
    const double begin = now();
    if (duckdb_query(con, sql, &result) != DuckDBSuccess) {
        fprintf(stderr, "%s\n", duckdb_result_error(&result));
        return 1;
    }
    const double took = now() - begin;
    duckdb_data_chunk chunk = duckdb_fetch_chunk(result);
    printf("%.6f %llu\n", took,
           chunk == NULL ? 0ULL : (unsigned long long)duckdb_data_chunk_get_size(chunk));
    (void)fflush(stdout);
    duckdb_destroy_data_chunk(&chunk);
    duckdb_destroy_result(&result);
    return 0;
}

int main(int argc, char **argv)
{
    duckdb_database db;
    duckdb_connection con;
    static char line[1 << 20];
    char sql[64];
    if (argc != 2 || duckdb_open(NULL, &db) != DuckDBSuccess ||
        duckdb_connect(db, &con) != DuckDBSuccess)
        return 2;
    (void)snprintf(sql, sizeof sql, "SET threads=%.10s", argv[1]);
    if (run(con, sql) != 0)
        return 1;
    while (fgets(line, sizeof line, stdin) != NULL)
        if (run(con, line) != 0)
            return 1;
    return 0;
}
