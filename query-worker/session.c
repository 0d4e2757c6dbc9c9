/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - many statements of one sandbox in one process: Query Service's mode of the worker.
 *
 *     4  commands:  int32 length | JSON         1  answers:  kind | int32 length | bytes
 *
 *     {"do":"describe","sql","tables","probe"}             T params and columns, then Z
 *     {"do":"run","sql","tables","probe","formats",        T columns, D* rows,
 *      "rows_max"}                                         M when rows_max cut them off, Z
 *     {"do":"write","sql","tables"}                        T columns, J* lines, Z: write_rows.h
 *     {"do":"keep","sql","tables","columns"}               T columns, rows, Z: keep.h. The rows
 *                                                          are TR_KEPT_FILE of the spill folder
 *     ... with "explain":"text"                            the rows are its plan
 *     what fails                                           E {"state","text","code"}, then Z
 *     ... by a bug of DuckDB's                             F, as E; and the process ends
 *
 * D holds whole DataRow messages of the PostgreSQL protocol (pg_rows.h): the server only counts
 * them and passes them on. Nothing is read ahead of the reader: a full pipe stops the engine's
 * stream. Tables are views, made again when their list of files is another than before. There is
 * no command to cancel: the server kills the process, which keeps nothing that it would miss.
 */
#include "catalog_tables.h"
#include "explain.h"
#include "fork.h"
#include "keep.h"
#include "pg_rows.h"
#include "spark_macros.h"
#include "statement.h"
#include "view_maker.h"
#include "views.h"
#include "worker.h"
#include "write_rows.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { COMMAND_BYTES_MAX = 64 * 1024 * 1024, HEAD_BYTES = 5, BATCH_BYTES = 64 * 1024 };

typedef struct session {
    tr_engine *engine;
    json_t *command;      /* the one under way: messages borrow its paths */
    json_t *views;        /* what is there: name -> files */
    tr_view_maker *maker; /* of views that are queries */
    tr_disguise *hidden;
    char kept[4096];      /* what "keep" writes: the one file that may be written */
    bool is_prepared;     /* the catalog's fixed part is there: made for the first probe */
    bool has_catalog;     /* the catalog's tables are those of `views` */
} session;

/* Answers ------------------------------------------------------------------------------------- */

static tr_code write_all(const uint8_t *at, size_t len, tr_err *err)
{
    while (len > 0) {
        const ssize_t written = write(TR_WORKER_RESULT_FD, at, len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return TR_FAIL(err, TR_IO, "answering: %s", strerrordesc_np(errno));
        at += written;
        len -= (size_t)written;
    }
    return TR_OK;
}

static void put_head(uint8_t *at, char kind, size_t len)
{
    at[0] = (uint8_t)kind;
    for (unsigned i = 0; i < 4; i++)
        at[1 + i] = (uint8_t)(len >> 8 * (3 - i));
}

static tr_code answer(char kind, tr_str bytes, tr_err *err)
{
    uint8_t head[HEAD_BYTES];
    put_head(head, kind, bytes.len);
    TR_TRY(write_all(head, sizeof head, err));
    return write_all(bytes.at, bytes.len, err);
}

/* `json` is taken. */
static tr_code answer_json(char kind, json_t *json, tr_err *err)
{
    tr_buf text = {0};
    tr_code code = json == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for an answer")
                                : tr_json_write(json, &text, err);
    if (code == TR_OK)
        code = answer(kind, tr_buf_str(&text), err);
    json_decref(json);
    tr_buf_free(&text);
    return code;
}

/* Commands ------------------------------------------------------------------------------------ */

/* False at the end of the commands, or when they break off. */
static bool read_all(uint8_t *at, size_t len)
{
    while (len > 0) {
        const ssize_t got = read(TR_WORKER_INPUT_FD, at, len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        len -= (size_t)got;
    }
    return true;
}

static tr_code read_command(json_t **out, tr_err *err)
{
    uint8_t head[4];
    tr_buf text = {.bytes_max = COMMAND_BYTES_MAX + 1};
    json_t *json = NULL;
    *out = NULL;
    if (!read_all(head, sizeof head))
        return TR_OK;
    const size_t len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 |
                       head[3];
    if (len > COMMAND_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "a command of %zu bytes", len);
    TR_TRY(tr_buf_reserve(&text, len, err));
    tr_code code = TR_OK;
    if (read_all(text.at, len)) {
        code = tr_json_parse((tr_str){text.at, len}, &json, err);
        if (code == TR_OK)
            *out = json;
    }
    tr_buf_free(&text);
    return code;
}

/* Tables -------------------------------------------------------------------------------------- */

static tr_code drop_view(session *s, const char *name, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code = tr_buf_append(&sql, tr_str_of("DROP VIEW IF EXISTS "), err);
    if (code == TR_OK)
        code = tr_sql_name(&sql, tr_str_of(name), err);
    if (code == TR_OK)
        code = tr_engine_run(s->engine, (const char *)sql.at, err);
    tr_buf_free(&sql);
    return code;
}

/* Views of tables that are no more go, so that the catalog does not list them. */
static tr_code drop_others(session *s, const json_t *tables, tr_err *err)
{
    const char *name;
    json_t *files;
    void *next;
    json_object_foreach_safe(s->views, next, name, files) {
        if (json_object_get(tables, name) != NULL)
            continue;
        TR_TRY(drop_view(s, name, err));
        s->has_catalog = false;
        (void)json_object_del(s->views, name);
    }
    return TR_OK;
}

static tr_code make_views(session *s, const json_t *tables, tr_err *err)
{
    const char *name;
    const json_t *files;
    tr_free(s->hidden);
    s->hidden = NULL;
    tr_engine_disguise(NULL);
    TR_TRY(tr_views_check(tables, err));
    TR_TRY(tr_views_disguise(tables, s->kept, &s->hidden, err));
    json_object_foreach((json_t *)(uintptr_t)tables, name, files) {
        const json_t *old = json_object_get(s->views, name);
        if (tr_is_query_view(files)) { /* made when it is named, perhaps over what had its name */
            (void)json_object_del(s->views, name);
            continue;
        }
        if (old != NULL && json_equal(old, files))
            continue;
        (void)json_object_del(s->views, name); /* when it cannot be made, it is not known */
        TR_TRY(tr_view_make(s->engine, name, files, err));
        s->has_catalog = false;
        if (json_object_set(s->views, name, (json_t *)(uintptr_t)files) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for a table");
    }
    return TR_OK;
}

static tr_code make_catalog(session *s, const json_t *tables, tr_err *err)
{
    TR_TRY(drop_others(s, tables, err));
    if (!s->is_prepared)
        TR_TRY(tr_catalog_tables_prepare(s->engine, err));
    s->is_prepared = true;
    if (!s->has_catalog)
        TR_TRY(tr_catalog_tables_make(s->engine, s->command, err));
    s->has_catalog = true;
    return tr_view_maker_list(s->maker, err);
}

/* Statements ---------------------------------------------------------------------------------- */

static json_t *column_json(const char *name, duckdb_logical_type type)
{
    const tr_pg_type pg = tr_pg_type_of(type);
    return json_pack("{s:s%,s:I,s:i,s:i}", "name", name == NULL ? "?column?" : name,
                     name == NULL ? (size_t)8 : strlen(name), "oid", (json_int_t)pg.oid, "bytes",
                     (int)pg.bytes, "modifier", (int)pg.modifier);
}

static json_t *described(duckdb_prepared_statement statement)
{
    json_t *columns = json_array(), *params = json_array();
    const uint64_t count = duckdb_prepared_statement_column_count(statement);
    for (uint64_t i = 0; i < count; i++) {
        duckdb_logical_type type = duckdb_prepared_statement_column_logical_type(statement, i);
        const char *name = duckdb_prepared_statement_column_name(statement, i);
        (void)json_array_append_new(columns, column_json(name, type));
        duckdb_free((void *)(uintptr_t)name);
        duckdb_destroy_logical_type(&type);
    }
    for (uint64_t i = 1; i <= duckdb_nparams(statement); i++) {
        duckdb_logical_type type = duckdb_param_logical_type(statement, i);
        (void)json_array_append_new(
            params, json_integer(type == NULL ? 25 : (json_int_t)tr_pg_type_of(type).oid));
        duckdb_destroy_logical_type(&type);
    }
    return json_pack("{s:o,s:o}", "columns", columns, "params", params);
}

static tr_code describe(session *s, const char *sql, tr_err *err)
{
    duckdb_prepared_statement statement = NULL;
    tr_code code = TR_OK;
    if (duckdb_prepare(s->engine->con, sql, &statement) != DuckDBSuccess)
        code = tr_engine_failure(duckdb_prepare_error(statement), err);
    if (code == TR_OK)
        code = answer_json('T', described(statement), err);
    duckdb_destroy_prepare(&statement);
    return code;
}

static json_t *columns_of(duckdb_result *result)
{
    json_t *columns = json_array();
    for (uint64_t i = 0; i < duckdb_column_count(result); i++) {
        duckdb_logical_type type = duckdb_column_logical_type(result, i);
        (void)json_array_append_new(columns, column_json(duckdb_column_name(result, i), type));
        duckdb_destroy_logical_type(&type);
    }
    return json_pack("{s:o}", "columns", columns);
}

/* Sends what has gathered behind the room for a head, which is made again. */
static tr_code send_rows(tr_out *out, tr_err *err)
{
    static const uint8_t room[HEAD_BYTES] = {0};
    if (out->failure != TR_OK)
        return TR_FAIL(err, out->failure, "a row of the result is too large");
    if (out->buf.len > HEAD_BYTES) {
        put_head(out->buf.at, 'D', out->buf.len - HEAD_BYTES);
        TR_TRY(write_all(out->buf.at, out->buf.len, err));
    }
    out->buf.len = 0;
    tr_put(out, room, sizeof room);
    return TR_OK;
}

/* left     rows that may go
 * *is_cut  there were more */
static tr_code send_result(duckdb_result *result, tr_pg_rows *rows, uint64_t left, bool *is_cut,
                           tr_out *out, tr_err *err)
{
    *is_cut = false;
    TR_TRY(send_rows(out, err));
    while (!*is_cut) {
        duckdb_data_chunk chunk;
        tr_code code = TR_OK;
        TR_TRY(tr_engine_next(result, &chunk, err));
        if (chunk == NULL)
            break;
        tr_rows_bind(&rows->rows, chunk);
        const uint64_t count = duckdb_data_chunk_get_size(chunk);
        const uint64_t sent = count < left ? count : left;
        *is_cut = sent < count;
        left -= sent;
        for (uint64_t row = 0; row < sent && code == TR_OK; row++) {
            tr_pg_rows_put(rows, row, out);
            if (out->buf.len >= BATCH_BYTES || out->failure != TR_OK)
                code = send_rows(out, err);
        }
        duckdb_destroy_data_chunk(&chunk);
        TR_TRY(code);
    }
    return send_rows(out, err);
}

static tr_code run(session *s, const char *sql, tr_err *err)
{
    duckdb_result result;
    tr_pg_rows rows;
    tr_out out;
    bool is_cut = false;
    const int64_t most = tr_json_int(s->command, "rows_max", 0);
    TR_TRY(tr_engine_start(s->engine, sql, &result, err));
    tr_code code = tr_pg_rows_open(&result, json_object_get(s->command, "formats"), &rows, err);
    if (code == TR_OK) {
        code = answer_json('T', columns_of(&result), err);
        tr_out_open(&out, -1, UINT64_MAX);
        if (code == TR_OK)
            code = send_result(&result, &rows, most > 0 ? (uint64_t)most : UINT64_MAX, &is_cut,
                               &out, err);
        if (code == TR_OK && is_cut)
            code = answer('M', (tr_str){0}, err);
        tr_out_close(&out);
        tr_pg_rows_close(&rows);
    }
    duckdb_destroy_result(&result);
    return code;
}

/* What EXPLAIN will answer with, without a plan. */
static tr_code to_plan_column(tr_buf *sql, tr_err *err)
{
    static const char text[] = "SELECT '' AS \"QUERY PLAN\"";
    sql->len = 0;
    return tr_buf_append(sql, (tr_str){(const uint8_t *)text, sizeof text}, err);
}

static tr_code keep(session *s, const char *sql, tr_err *err)
{
    json_t *told = NULL;
    TR_TRY(tr_keep(s->engine, sql, json_object_get(s->command, "columns"), s->kept, &told, err));
    return answer_json('T', told, err);
}

static bool is_verb(const char *verb)
{
    static const char *const all[] = {"run", "describe", "write", "keep"};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (strcmp(verb, all[i]) == 0)
            return true;
    return false;
}

static tr_code obey(session *s, tr_err *err)
{
    const char *verb = tr_json_text(s->command, "do", "");
    const char *sql = tr_json_text(s->command, "sql", "");
    const json_t *tables = json_object_get(s->command, "tables");
    const char *how = tr_json_text(s->command, "explain", NULL);
    const bool is_describe = strcmp(verb, "describe") == 0;
    const tr_statement_rules rules = {.tables = tables,
                                      .maker = s->maker,
                                      .may_have_parameters = is_describe,
                                      .is_probe = tr_json_bool(s->command, "probe", false)};
    const bool is_write = strcmp(verb, "write") == 0, is_keep = strcmp(verb, "keep") == 0;
    if (!is_verb(verb))
        return TR_FAIL(err, TR_INVALID, "nothing is known about \"%.40s\"", verb);
    TR_TRY(make_views(s, tables, err));
    if (rules.is_probe)
        TR_TRY(make_catalog(s, tables, err));
    TR_TRY(tr_spark_macros_make(s->engine, sql, err));
    tr_buf text = {0};
    tr_code code = tr_fork_take(s->engine, &rules, sql, &text, err);
    if (code == TR_OK && how != NULL)
        code = is_describe ? to_plan_column(&text, err) : tr_explain(s->engine, how, &text, err);
    if (code == TR_OK && is_write)
        code = tr_write_rows(s->engine, (const char *)text.at, answer, err);
    else if (code == TR_OK && is_keep)
        code = keep(s, (const char *)text.at, err);
    else if (code == TR_OK)
        code = is_describe ? describe(s, (const char *)text.at, err)
                           : run(s, (const char *)text.at, err);
    tr_buf_free(&text);
    return code;
}

static tr_code serve(session *s, tr_verdict *verdict, tr_err *err)
{
    for (;;) {
        json_t *command = NULL;
        tr_err why = {0};
        TR_TRY(read_command(&command, err));
        if (command == NULL)
            return TR_OK;
        json_t *old = s->command;
        s->command = command;
        tr_engine_note("58000");
        tr_code code = tr_view_maker_begin(s->maker, json_object_get(command, "tables"), &why);
        json_decref(old);
        if (code == TR_OK)
            code = obey(s, &why);
        const bool is_over = code != TR_OK && tr_engine_is_broken();
        if (code != TR_OK)
            TR_TRY(answer_json(is_over ? 'F' : 'E',
                               json_pack("{s:s,s:s,s:i}", "state", tr_engine_sqlstate(), "text",
                                         why.text, "code", (int)code), err));
        if (is_over)
            return TR_OK;
        TR_TRY(answer('Z', (tr_str){0}, err));
        verdict->rows++;
    }
}

tr_code tr_session(const tr_request *request, tr_engine *engine, tr_verdict *verdict, tr_err *err)
{
    session s = {.engine = engine, .views = json_object()};
    tr_buf allowed = {0};
    const char *spill = request->spill_folder;
    if (s.views == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a session");
    (void)snprintf(s.kept, sizeof s.kept, "%s/" TR_KEPT_FILE, spill == NULL ? "" : spill);
    TR_TRY(tr_sql_literal(&allowed, tr_str_of(spill == NULL ? "" : s.kept), err));
    tr_code code = tr_engine_lock(engine, spill == NULL ? (tr_str){0} : tr_buf_str(&allowed),
                                  request->folder, request->thread_count, err);
    tr_buf_free(&allowed);
    if (code == TR_OK)
        code = tr_view_maker_open(engine, &s.maker, err);
    if (code == TR_OK)
        code = serve(&s, verdict, err);
    tr_view_maker_close(s.maker);
    json_decref(s.views);
    json_decref(s.command);
    tr_free(s.hidden);
    return code;
}
