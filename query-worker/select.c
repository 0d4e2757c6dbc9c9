/* SPDX-License-Identifier: Apache-2.0 */
/* select.c - one SELECT over Parquet files given as tables.
 *
 * The statement is checked before anything is opened. Then each table becomes a view; then the
 * settings are locked; then the statement runs and its rows leave as they are made.
 */
#include "engine.h"
#include "rows.h"
#include "statement.h"
#include "table.h"
#include "views.h"
#include "worker.h"

typedef enum form { FORM_CSV, FORM_JSON, FORM_TABLE } form;

typedef struct selection {
    form form;
    tr_rows rows;
    tr_out out;
    tr_table table;
} selection;

/* Views for all tables, and no way to anything else from then on. */
static tr_code prepare(tr_engine *engine, const tr_request *request, tr_err *err)
{
    const char *name;
    const json_t *files;
    tr_buf allowed = {0};
    tr_code code = TR_OK;
    json_object_foreach((json_t *)(uintptr_t)request->tables, name, files) {
        if (code == TR_OK)
            code = tr_view_make(engine, name, files, err);
        if (code == TR_OK && allowed.len > 0 && json_array_size(tr_view_files(files)) > 0)
            code = tr_buf_append(&allowed, tr_str_of(","), err);
        if (code == TR_OK)
            code = tr_view_put_files(&allowed, tr_view_files(files), err);
    }
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
    else
        return TR_FAIL(err, TR_INVALID, "the format \"%.40s\" is none of csv, json, table", format);
    return TR_OK;
}

tr_code tr_select(const tr_request *request, tr_engine *engine, tr_verdict *verdict, tr_err *err)
{
    selection s = {0};
    duckdb_result result;
    tr_disguise *hidden = NULL; /* lives as long as the process */
    const tr_statement_rules rules = {.tables = request->tables};
    TR_TRY(take_form(request->format, &s.form, err));
    TR_TRY(tr_views_check(request->tables, err));
    TR_TRY(tr_views_disguise(request->tables, &hidden, err));
    TR_TRY(tr_statement_check(engine, &rules, request->sql, err));
    TR_TRY(prepare(engine, request, err));
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
