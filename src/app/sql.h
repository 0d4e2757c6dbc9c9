/* SPDX-License-Identifier: Apache-2.0 */
/* sql.h - a SELECT over the datasets and live tables of a data folder, for the commands of a
 * terminal.
 *
 * Reads catalog and lake, and merges profiles, by itself (live_rooms.h), so the folder's server may
 * be up or down; the SQL runs in the worker.
 */
#ifndef TR_APP_SQL_H
#define TR_APP_SQL_H

#include "base/memory.h"

typedef struct tr_sql_options {
    const char *data;
    const char *org; /* NULL: the only one that has datasets there */
    const char *sandbox;
    const char *format;  /* "table", "csv", "json"; "parquet" with parquet_path */
    const char *parquet_path; /* NULL: the result is text */
    const char *worker;  /* NULL: beside the binary */
    uint32_t deadline_s; /* 0, here and below: the worker's own limits */
    uint32_t memory_mb;
} tr_sql_options;

enum { TR_SQL_RESULT_BYTES_MAX = 256 * 1024 * 1024 };

/* sql  NULL: lists the tables. The result's text is appended to *out. */
TR_MUST_CHECK tr_code tr_sql_run(const tr_sql_options *options, const char *sql, tr_buf *out,
                                 tr_err *err);

#endif
