/* SPDX-License-Identifier: Apache-2.0 */
/* select.c - one SELECT over Parquet files given as tables.
 *
 * Each table becomes a view; then the settings are locked; then the statement is checked, which
 * makes the views that are queries; then it runs and its rows leave as they are made.
 */
#include "engine.h"
#include "rows.h"
#include "statement.h"
#include "table.h"
#include "view_maker.h"
#include "views.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

typedef enum form { FORM_CSV, FORM_JSON, FORM_TABLE, FORM_PARQUET } form;

typedef struct selection {
    form form;
    tr_rows rows;
    tr_out out;
    tr_table table;
} selection;

/* Views for all tables, and no way to anything else from then on.
 * written  a file that may be written, too; NULL: none */
static tr_code prepare(tr_engine *engine, const tr_request *request, const char *written,
                       tr_err *err)
{
    const char *name;
    const json_t *files;
    tr_buf allowed = {0};
    tr_code code = TR_OK;
    json_object_foreach((json_t *)(uintptr_t)request->tables, name, files) {
        if (code == TR_OK && !tr_is_query_view(files))
            code = tr_view_make(engine, name, files, err);
        if (code == TR_OK && allowed.len > 0 && json_array_size(tr_view_files(files)) > 0)
            code = tr_buf_append(&allowed, tr_str_of(","), err);
        if (code == TR_OK)
            code = tr_view_put_files(&allowed, tr_view_files(files), err);
    }
    if (code == TR_OK && written != NULL && allowed.len > 0)
        code = tr_buf_append(&allowed, tr_str_of(","), err);
    if (code == TR_OK && written != NULL)
        code = tr_sql_literal(&allowed, tr_str_of(written), err);
    if (code == TR_OK)
        code = tr_engine_lock(engine, tr_buf_str(&allowed), NULL, request->thread_count, err);
    tr_buf_free(&allowed);
    return code;
}

static bool needs_quotes(tr_str cell)
{
    for (size_t i = 0; i < cell.len; i++)
        if (cell.at[i] == ',' || cell.at[i] == '"' || cell.at[i] == '\n' || cell.at[i] == '\r')
            return true;
    return cell.len == 0 || cell.at[0] == ' ' || cell.at[cell.len - 1] == ' ';
}

/* Quotes what has been put behind `start`, where that is needed; an empty text is "", a null
 * nothing. */
static void quote_cell(tr_out *out, size_t start)
{
    const size_t len = out->buf.len - start;
    size_t quotes = 0;
    if (out->failure != TR_OK || !needs_quotes((tr_str){out->buf.at + start, len}))
        return;
    for (size_t i = 0; i < len; i++)
        quotes += out->buf.at[start + i] == '"';
    if (tr_out_room(out, quotes + 2) == NULL)
        return;
    uint8_t *from = out->buf.at + start + len, *to = from + quotes + 2;
    out->buf.len += quotes + 2;
    *--to = '"';
    while (from > out->buf.at + start) {
        *--to = *--from;
        if (*from == '"')
            *--to = '"';
    }
    *--to = '"';
}

static void put_csv_header(selection *s)
{
    for (size_t i = 0; i < s->rows.column_count; i++) {
        const tr_str name = tr_rows_name(&s->rows, i);
        if (i > 0)
            tr_put_byte(&s->out, ',');
        const size_t start = s->out.buf.len;
        tr_put(&s->out, name.at, name.len);
        quote_cell(&s->out, start);
    }
    tr_put_byte(&s->out, '\n');
}

static void put_csv_row(selection *s, uint64_t row)
{
    for (size_t i = 0; i < s->rows.column_count; i++) {
        if (i > 0)
            tr_put_byte(&s->out, ',');
        if (tr_rows_is_null(&s->rows, i, row))
            continue;
        const size_t start = s->out.buf.len;
        tr_rows_put_plain(&s->rows, i, row, &s->out);
        quote_cell(&s->out, start);
    }
    tr_put_byte(&s->out, '\n');
}

static tr_code put_row(selection *s, uint64_t row, tr_err *err)
{
    if (s->form == FORM_TABLE)
        return tr_table_add_row(&s->table, &s->rows, row, err);
    if (s->form == FORM_CSV) {
        put_csv_row(s, row);
    } else {
        tr_rows_put(&s->rows, row, &s->out);
        tr_put_byte(&s->out, '\n');
    }
    return tr_out_line_end(&s->out, err);
}

static tr_code put_rows(selection *s, duckdb_result *result, tr_verdict *verdict, tr_err *err)
{
    if (s->form == FORM_CSV)
        put_csv_header(s);
    if (s->form == FORM_TABLE)
        TR_TRY(tr_table_add_header(&s->table, &s->rows, err));
    for (;;) {
        duckdb_data_chunk chunk;
        tr_code code = TR_OK;
        TR_TRY(tr_engine_next(result, &chunk, err));
        if (chunk == NULL)
            break;
        tr_rows_bind(&s->rows, chunk);
        const uint64_t count = duckdb_data_chunk_get_size(chunk);
        for (uint64_t row = 0; row < count && code == TR_OK; row++)
            code = put_row(s, row, err);
        verdict->rows += count;
        duckdb_destroy_data_chunk(&chunk);
        TR_TRY(code);
    }
    if (s->form == FORM_TABLE)
        TR_TRY(tr_table_put(&s->table, &s->rows, &s->out, err));
    return tr_out_flush(&s->out, err);
}

static tr_code take_form(const char *format, form *out, tr_err *err)
{
    if (strcmp(format, "csv") == 0)
        *out = FORM_CSV;
    else if (strcmp(format, "json") == 0)
        *out = FORM_JSON;
    else if (strcmp(format, "table") == 0)
        *out = FORM_TABLE;
    else if (strcmp(format, "parquet") == 0)
        *out = FORM_PARQUET;
    else
        return TR_FAIL(err, TR_INVALID, "the format \"%.40s\" is none of csv, json, table, parquet",
                       format);
    return TR_OK;
}

/* Parquet ------------------------------------------------------------------------------------- */

/* The file that DuckDB has written, to where results go. */
static tr_code send_file(const char *path, uint64_t bytes_max, tr_err *err)
{
    tr_out out;
    uint8_t bytes[8 * 1024];
    ssize_t got = -1;
    tr_code code = TR_OK;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    tr_out_open(&out, TR_WORKER_RESULT_FD, bytes_max);
    while (fd >= 0 && code == TR_OK && (got = read(fd, bytes, sizeof bytes)) > 0) {
        tr_put(&out, bytes, (size_t)got);
        code = tr_out_line_end(&out, err);
    }
    if (code == TR_OK && got < 0)
        code = TR_FAIL(err, TR_IO, "reading the result: %s", strerrordesc_np(errno));
    if (code == TR_OK)
        code = tr_out_flush(&out, err);
    tr_out_close(&out);
    if (fd >= 0)
        (void)close(fd);
    return code;
}

/* By DuckDB's own writer into the spill folder, the one place that may be written. */
static tr_code select_parquet(const tr_request *request, const tr_statement_rules *rules,
                              tr_engine *engine, tr_err *err)
{
    char path[4096];
    tr_buf sql = {0};
    if (request->spill_folder == NULL)
        return TR_FAIL(err, TR_INVALID, "Parquet needs a scratch folder");
    (void)snprintf(path, sizeof path, "%s/result.parquet", request->spill_folder);
    TR_TRY(prepare(engine, request, path, err));
    TR_TRY(tr_statement_check(engine, rules, request->sql, err));
    /* On lines of its own: the statement may end in a comment. It was checked to be one statement.
     */
    tr_code code = tr_buf_format(&sql, err, "COPY (\n%s\n) TO ", request->sql);
    if (code == TR_OK)
        code = tr_sql_literal(&sql, tr_str_of(path), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, tr_str_of(" (FORMAT parquet, COMPRESSION zstd, "
                                             "USE_TMP_FILE false)"), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK)
        code = tr_engine_run(engine, (const char *)sql.at, err);
    if (code == TR_OK)
        code = send_file(path, request->bytes_max, err);
    tr_buf_free(&sql);
    return code;
}

tr_code tr_select(const tr_request *request, tr_engine *engine, tr_verdict *verdict, tr_err *err)
{
    selection s = {0};
    duckdb_result result;
    tr_disguise *hidden = NULL; /* lives as long as the process */
    tr_view_maker *maker = NULL; /* and this */
    TR_TRY(take_form(request->format, &s.form, err));
    TR_TRY(tr_views_check(request->tables, err));
    TR_TRY(tr_views_disguise(request->tables, NULL, &hidden, err));
    TR_TRY(tr_view_maker_open(engine, &maker, err));
    TR_TRY(tr_view_maker_begin(maker, request->tables, err));
    const tr_statement_rules rules = {.tables = request->tables, .maker = maker};
    if (s.form == FORM_PARQUET)
        return select_parquet(request, &rules, engine, err);
    TR_TRY(prepare(engine, request, NULL, err));
    TR_TRY(tr_statement_check(engine, &rules, request->sql, err));
    TR_TRY(tr_engine_start(engine, request->sql, &result, err));
    TR_TRY(tr_rows_open(&result, &s.rows, err));
    s.rows.keep_nulls = true;
    s.rows.is_lenient = true;
    tr_out_open(&s.out, TR_WORKER_RESULT_FD, request->bytes_max);
    tr_table_open(&s.table, request->bytes_max);
    const tr_code code = put_rows(&s, &result, verdict, err);
    tr_table_close(&s.table);
    tr_out_close(&s.out);
    tr_rows_close(&s.rows);
    duckdb_destroy_result(&result);
    return code;
}
