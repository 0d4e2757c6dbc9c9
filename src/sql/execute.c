/* SPDX-License-Identifier: Apache-2.0 */
/* execute.c - a statement on its way through a worker; see sql_internal.h.
 *
 * A statement takes a worker from the pool and gives it back; a portal that is suspended keeps its
 * own, and the next statement takes another. A worker that was stopped in the middle is not used
 * again.
 */
#include "sql/sql_internal.h"

#include "base/clock.h"
#include "base/limits.h"
#include "sql/constraints.h"
#include "sql/live_tables.h"
#include "sql/rewrite_internal.h"
#include "sql/tables.h"
#include "sql/temporary.h"

#include <stdio.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
}

/* PostgreSQL's state for a failure of the worker itself. */
static tr_code worker_failed(tr_sql_connection *c, tr_code code, const tr_err *why, tr_err *err)
{
    const char *state = code == TR_CANCELLED   ? "57014"
                        : code == TR_LIMIT     ? "53400"
                        : code == TR_NO_MEMORY ? "53200"
                                               : "58000";
    return tr_sql_fail(c, state, err, "%s", why->text);
}

static tr_code take_worker(tr_sql_connection *c, tr_query_session **out, tr_err *err)
{
    tr_err why = {0};
    const tr_query_turn turn = {
        .sandbox = c->person.tenant.id, .cancel = &c->is_cancelled, .client_fd = c->wire.fd};
    const tr_code code = tr_query_session_take(c->sql->options.query, &turn, out, &why);
    return code == TR_OK ? TR_OK : worker_failed(c, code, &why, err);
}

static tr_code list_temporary(const tr_sql_connection *c, json_t *list, tr_err *err)
{
    const char *name;
    json_t *table;
    json_object_foreach (c->temporary, name, table) {
        json_t *row = json_pack("{s:s,s:s}", "table", name, "description",
                                "a temporary table of this session");
        if (row == NULL || json_array_append_new(list, row) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

/* SHOW TABLES as a SELECT. */
static tr_code list_tables(tr_sql_connection *c, tr_buf *sql, tr_err *err)
{
    size_t i;
    json_t *list = NULL, *row, *live = NULL;
    TR_TRY(tr_tables_list(c->sql->options.catalog, &c->person.tenant, &list, err));
    tr_code code = c->sql->options.live == NULL
                       ? TR_OK
                       : tr_live_tables_list(c->sql->options.live, &c->person.tenant, &live, err);
    if (code == TR_OK && live != NULL && json_array_extend(list, live) != 0)
        code = no_memory(err);
    json_decref(live);
    if (code == TR_OK)
        code = list_temporary(c, list, err);
    if (code == TR_OK)
        code = tr_buf_append(sql, tr_str_of("SELECT * FROM (VALUES (NULL,NULL,NULL,NULL,NULL)"),
                                 err);
    json_array_foreach (list, i, row) {
        const char *const cells[] = {tr_json_text(row, "table", ""),
                                     tr_json_text(row, "dataset", ""),
                                     tr_json_text(row, "name", ""),
                                     tr_json_text(row, "description", ""), "true"};
        for (size_t k = 0; k < 5 && code == TR_OK; k++) {
            code = tr_buf_append(sql, tr_str_of(k == 0 ? ",(" : ","), err);
            if (code == TR_OK)
                code = tr_put_literal(sql, tr_str_of(cells[k]), err);
        }
        if (code == TR_OK)
            code = tr_buf_append(sql, tr_str_of(")"), err);
    }
    json_decref(list);
    TR_TRY(code);
    return tr_buf_append(sql, tr_str_of(") AS t(name, \"dataSetId\", \"dataSet\", description, "
                                        "resolved) WHERE name IS NOT NULL ORDER BY name"), err);
}

static tr_code list_shown(tr_sql_connection *c, tr_shown shown, tr_buf *sql, tr_err *err)
{
    const tr_alter_what what = shown == TR_SHOWN_PRIMARY_KEYS   ? TR_ALTER_PRIMARY_KEY
                               : shown == TR_SHOWN_FOREIGN_KEYS ? TR_ALTER_FOREIGN_KEY
                                                                : TR_ALTER_IDENTITY;
    return shown == TR_SHOWN_TABLES ? list_tables(c, sql, err)
                                    : tr_constraints_list(c->sql->options.catalog,
                                                          &c->person.tenant, what, sql, err);
}

/* A statement from its text to its first answer. */
typedef struct begin {
    const char *verb; /* "run" or "describe" */
    const tr_plan *plan;
    tr_str sql;
    const json_t *formats;
    const json_t *columns; /* of "keep" */
    bool is_whole;     /* of live tables, all columns */
    bool is_narrow;    /* some were left out */
    json_t *temporary; /* files that go once they are held */
} begin;

/* Adds the tables that are no dataset. */
static tr_code find_live(tr_sql_connection *c, begin *b, json_t *tables, tr_err *err)
{
    tr_err why = {0};
    const int64_t deadline_s = tr_query_deadline_s(c->sql->options.query);
    const tr_live_wanted wanted = {
        .sql = b->sql,
        .is_columns_only = strcmp(b->verb, "describe") == 0,
        .is_whole = b->is_whole,
        .is_listed = b->plan->is_probe,
        .patience = {.cancel = &c->is_cancelled,
                     .client_fd = c->wire.fd,
                     .deadline_us = tr_time_monotonic_us() + deadline_s * 1000000}};
    if (c->sql->options.live == NULL)
        return TR_OK;
    const tr_code code = tr_live_tables_add(c->sql->options.live, &c->person.tenant, &wanted,
                                            tables, &b->temporary, &b->is_narrow, &why);
    if (code == TR_SEMANTIC)
        return tr_sql_fail(c, "0A000", err, "%s", why.text);
    return code == TR_OK ? TR_OK : worker_failed(c, code, &why, err);
}

static tr_code find_tables(tr_sql_connection *c, const tr_plan *plan, tr_str sql, json_t **out,
                           tr_err *err)
{
    const json_t *fallback =
        json_object_get(c->settings, "resolve_fallback_snapshot_on_failure");
    const tr_tables_wanted wanted = {
        .sql = sql,
        .is_all = plan->is_probe,
        .may_be_empty = true,
        .falls_back = fallback != NULL && strcasecmp(json_string_value(fallback), "true") == 0};
    tr_err why = {0};
    if (plan->shows_tables) {
        *out = json_object();
        return *out == NULL ? no_memory(err) : TR_OK;
    }
    const tr_code code = tr_tables_find(c->sql->options.catalog, c->sql->options.lake,
                                        &c->person.tenant, &wanted, out, &why);
    if (code == TR_INVALID || code == TR_SEMANTIC)
        return tr_sql_fail(c, code == TR_INVALID ? "22023" : "0A000", err, "%s", why.text);
    if (code != TR_OK)
        return TR_FAIL(err, code, "%s", why.text);
    return tr_temporary_put(c->temporary, sql, plan->is_probe, *out, err);
}

/* Interactive queries that do not say how many rows they want get AEP's default; COPY, an export,
 * gets all, and so do lists of the catalog. 0: all. */
static json_int_t rows_max(const tr_sql_connection *c, const begin *b)
{
    const tr_plan *plan = b->plan;
    const uint32_t most = c->sql->options.rows_max;
    const bool is_capped = plan->kind == TR_PLAN_QUERY && strcmp(plan->tag, "SELECT") == 0 &&
                           !plan->is_probe && !plan->is_limited;
    return !is_capped ? 0 : most > 0 ? most : TR_QUERY_ROWS_MAX;
}

static tr_code pack_command(tr_sql_connection *c, const begin *b, tr_str sql, json_t *tables,
                            json_t **out, tr_err *err)
{
    json_t *text = tr_json_str(sql);
    if (text == NULL || memchr(sql.at, '\0', sql.len) != NULL) {
        json_decref(text);
        return tr_sql_fail(c, "22021", err, "the statement is not UTF-8 text");
    }
    json_t *command = json_pack(
        "{s:s,s:o,s:O,s:b,s:s,s:s,s:I,s:s*,s:O*,s:O*,s:o}", "do", b->verb, "sql", text, "tables",
        tables, "probe", b->plan->is_probe, "user", c->user, "database", c->database, "rows_max",
        rows_max(c, b), "explain", b->plan->explain, "formats", b->formats, "columns",
        b->columns, "id",
        json_sprintf("%u.%llu", c->number, (unsigned long long)c->run_count));
    if (command == NULL)
        return no_memory(err);
    *out = command;
    return TR_OK;
}

static tr_code make_command(tr_sql_connection *c, begin *b, json_t **out, tr_err *err)
{
    tr_buf listing = {0};
    tr_str sql = b->sql;
    json_t *tables = NULL;
    tr_code code = find_tables(c, b->plan, sql, &tables, err);
    if (code == TR_OK && b->plan->shows_tables) {
        code = list_shown(c, b->plan->shown, &listing, err);
        sql = tr_buf_str(&listing);
    } else if (code == TR_OK) {
        code = find_live(c, b, tables, err);
        if (code == TR_OK && c->is_flat)
            code = tr_tables_flatten(tables, err);
    }
    if (code == TR_OK)
        code = pack_command(c, b, sql, tables, out, err);
    json_decref(tables);
    tr_buf_free(&listing);
    return code;
}

/* The next answer; an E of the worker is a failure here, and Z has been read behind it. */
static tr_code next(tr_sql_connection *c, tr_sql_run *run, tr_query_answer *answer, tr_err *err)
{
    tr_err why = {0};
    json_t *failure = NULL;
    tr_code code = tr_query_session_next(run->worker, answer, &why);
    if (code != TR_OK)
        return worker_failed(c, code, &why, err);
    run->is_done = answer->kind == 'Z';
    if (answer->kind != 'E')
        return TR_OK;
    if (tr_json_parse(answer->bytes, &failure, &why) != TR_OK)
        return worker_failed(c, TR_IO, &why, err);
    code = tr_sql_fail(c, tr_json_text(failure, "state", "58000"), err, "%s",
                       tr_json_text(failure, "text", "no reason was given"));
    json_decref(failure);
    run->is_done = tr_query_session_next(run->worker, answer, &why) == TR_OK && answer->kind == 'Z';
    return code;
}

/* Sends the command and reads the first answer, which is T. */
static tr_code start(tr_sql_connection *c, tr_sql_run *run, const json_t *command, json_t **first,
                     tr_err *err)
{
    tr_query_answer answer;
    tr_err why = {0};
    TR_TRY(take_worker(c, &run->worker, err));
    tr_query_session_watch(run->worker, c->wire.fd);
    tr_sql_set_running(c, run->worker);
    const tr_code code = tr_query_session_send(run->worker, command, &why);
    if (code == TR_NOT_FOUND) /* a file has gone before it could be held */
        return TR_FAIL(err, TR_NOT_FOUND, "%s", why.text);
    if (code != TR_OK)
        return worker_failed(c, code, &why, err);
    TR_TRY(next(c, run, &answer, err));
    if (answer.kind != 'T')
        return tr_sql_fail(c, "58000", err, "the SQL worker answered out of order");
    return tr_json_parse(answer.bytes, first, err);
}

static tr_code start_once(tr_sql_connection *c, begin *b, tr_sql_run *run, json_t **first,
                          tr_err *err)
{
    json_t *command = NULL;
    tr_sql_run_end(c, run);
    *run = (tr_sql_run){.has_begun = true};
    tr_code code = make_command(c, b, &command, err);
    if (code == TR_OK)
        code = start(c, run, command, first, err);
    run->is_done = run->is_done || code == TR_NOT_FOUND; /* the worker has not been asked */
    json_decref(command);
    tr_live_tables_forget(b->temporary);
    b->temporary = NULL;
    return code;
}

/* Again, when a file went between the catalog's answer and the link to it; and once, when a column
 * is not there of which some were left out: the engine's words then tell of all of them. */
static tr_code start_run(tr_sql_connection *c, begin *b, tr_sql_run *run, json_t **first,
                         tr_err *err)
{
    enum { TRIES = 20 };
    tr_code code = TR_NOT_FOUND;
    TR_TRY(tr_sql_admit_again(c, err));
    c->run_count++;
    for (int i = 0; i < TRIES && code == TR_NOT_FOUND; i++) {
        code = start_once(c, b, run, first, err);
        if (code == TR_INVALID && b->is_narrow && strcmp(c->error_state, "42703") == 0) {
            *b = (begin){
                b->verb, b->plan, b->sql, b->formats, b->columns, .is_whole = true};
            code = TR_NOT_FOUND;
        }
    }
    return code == TR_NOT_FOUND
               ? tr_sql_fail(c, "58000", err, "the data changes too fast to read it") : code;
}

tr_code tr_sql_run_begin(tr_sql_connection *c, const tr_plan *plan, tr_str sql,
                         const json_t *formats, tr_sql_run *out, tr_err *err)
{
    json_t *first = NULL;
    begin b = {"run", plan, sql, formats, NULL, .is_whole = false};
    *out = (tr_sql_run){0};
    const tr_code code = start_run(c, &b, out, &first, err);
    if (code == TR_OK)
        out->columns = json_incref(json_object_get(first, "columns"));
    json_decref(first);
    if (code != TR_OK)
        tr_sql_run_end(c, out);
    return code;
}

tr_code tr_sql_run_describe(tr_sql_connection *c, const tr_plan *plan, tr_str sql, json_t **out,
                            tr_err *err)
{
    tr_query_answer answer;
    tr_sql_run run = {0};
    begin b = {"describe", plan, sql, NULL, NULL, .is_whole = true};
    tr_code code = start_run(c, &b, &run, out, err);
    if (code == TR_OK) {
        code = next(c, &run, &answer, err);
        if (code != TR_OK)
            json_decref(*out);
    }
    tr_sql_run_end(c, &run);
    return code;
}

tr_code tr_sql_run_keep(tr_sql_connection *c, const tr_plan *plan, const json_t *columns,
                        const char *path, uint64_t *bytes, json_t **told, tr_err *err)
{
    tr_query_answer answer;
    tr_sql_run run = {0};
    json_t *first = NULL;
    tr_err why = {0};
    begin b = {"keep", plan, plan->sql, NULL, columns, .is_whole = false};
    tr_code code = start_run(c, &b, &run, &first, err);
    if (code == TR_OK)
        code = next(c, &run, &answer, err);
    if (code == TR_OK && answer.kind != 'Z')
        code = tr_sql_fail(c, "58000", err, "the SQL worker answered out of order");
    if (code == TR_OK) {
        code = tr_query_session_take_kept(run.worker, path, bytes, &why);
        if (code != TR_OK)
            code = worker_failed(c, code, &why, err);
    }
    tr_sql_run_end(c, &run);
    if (code == TR_OK)
        *told = first;
    else
        json_decref(first);
    return code;
}

void tr_sql_run_let_go(tr_sql_connection *c, tr_sql_run *run)
{
    if (run->worker != NULL)
        tr_sql_set_running(c, NULL);
    if (run->worker != NULL && run->is_done)
        tr_query_session_give_back(run->worker);
    else
        tr_query_session_close(run->worker);
    run->worker = NULL;
    run->is_late = !run->is_done;
}

void tr_sql_run_end(tr_sql_connection *c, tr_sql_run *run)
{
    tr_sql_run_let_go(c, run);
    json_decref(run->columns);
    tr_buf_free(&run->rows);
    *run = (tr_sql_run){0};
}

/* Rows ---------------------------------------------------------------------------------------- */

/* Behind the last row of a result that was cut. */
static void tell_cut(tr_sql_connection *c, tr_sql_run *run)
{
    const uint32_t most = c->sql->options.rows_max;
    char text[120];
    (void)snprintf(text, sizeof text,
                   "the result is cut at %u rows: LIMIT 0 at the end of the query gives all",
                   most > 0 ? most : TR_QUERY_ROWS_MAX);
    run->is_cut = true;
    tr_sql_put_notice(c, "01000", text);
}

/* The next whole DataRow; .len 0: there is no more. What the worker gives is looked at: nothing but
 * whole rows goes to a client. */
static tr_code next_row(tr_sql_connection *c, tr_sql_run *run, tr_str *out, tr_err *err)
{
    tr_query_answer answer;
    while (run->at == run->rows.len && !run->is_done) {
        if (run->is_late)
            return tr_sql_fail(c, "53400", err, "stopped: it took longer than the limit of %u s",
                               tr_query_deadline_s(c->sql->options.query));
        tr_sql_set_running(c, run->worker);
        TR_TRY(next(c, run, &answer, err));
        run->rows.len = run->at = 0;
        if (answer.kind == 'D')
            TR_TRY(tr_buf_append(&run->rows, answer.bytes, err));
        if (answer.kind == 'M')
            tell_cut(c, run);
    }
    tr_body body = {.rest = tr_str_from(tr_buf_str(&run->rows), run->at)};
    *out = (tr_str){0};
    if (body.rest.len == 0)
        return TR_OK;
    const tr_str type = tr_body_bytes(&body, 1);
    const uint32_t len = tr_body_u32(&body);
    if (body.is_bad || type.at[0] != 'D' || len < 6 || body.rest.len < len - 4)
        return tr_sql_fail(c, "58000", err, "the SQL worker sent a row that is none");
    *out = (tr_str){run->rows.at + run->at, (size_t)len + 1};
    run->at += (size_t)len + 1;
    run->row_count++;
    return TR_OK;
}

tr_code tr_sql_run_send(tr_sql_connection *c, tr_sql_run *run, uint64_t most, tr_err *err)
{
    const uint64_t start_count = run->row_count;
    while (most == 0 || run->row_count - start_count < most) {
        tr_str row;
        TR_TRY(next_row(c, run, &row, err));
        if (row.len == 0)
            break;
        if (!run->is_quiet)
            tr_wire_bytes(&c->wire, row);
        TR_TRY(tr_wire_relieve(&c->wire, err));
    }
    tr_sql_set_running(c, NULL);
    return TR_OK;
}

bool tr_sql_is_binary(const json_t *formats, size_t column)
{
    const size_t given = json_array_size(formats);
    return json_integer_value(json_array_get(formats, given == 1 ? 0 : column)) == 1;
}

tr_code tr_sql_run_value(tr_sql_connection *c, tr_sql_run *run, uint32_t *oid, tr_str *text,
                         tr_err *err)
{
    tr_str row;
    if (json_array_size(run->columns) != 1)
        return tr_sql_fail(c, "42601", err, "a variable takes one value: %zu columns were given",
                           json_array_size(run->columns));
    TR_TRY(next_row(c, run, &row, err));
    *oid = (uint32_t)tr_json_int(json_array_get(run->columns, 0), "oid", 25);
    *text = (tr_str){0};
    if (row.len == 0)
        return TR_OK;
    tr_body body = {.rest = tr_str_from(row, 7)}; /* D, length, number of columns */
    const uint32_t len = tr_body_u32(&body);
    if (len != UINT32_MAX)
        *text = tr_body_bytes(&body, len);
    return TR_OK;
}

void tr_sql_put_columns(tr_sql_connection *c, const json_t *columns, const json_t *formats)
{
    size_t i;
    const json_t *column;
    tr_wire_begin(&c->wire, 'T');
    tr_wire_u16(&c->wire, (uint32_t)json_array_size(columns));
    json_array_foreach (columns, i, column) {
        tr_wire_text(&c->wire, tr_json_text(column, "name", "?column?"));
        tr_wire_u32(&c->wire, 0); /* no table of ours has a number here */
        tr_wire_u16(&c->wire, 0);
        tr_wire_u32(&c->wire, (uint32_t)tr_json_int(column, "oid", 25));
        tr_wire_u16(&c->wire, (uint32_t)tr_json_int(column, "bytes", -1));
        tr_wire_u32(&c->wire, (uint32_t)tr_json_int(column, "modifier", -1));
        tr_wire_u16(&c->wire, tr_sql_is_binary(formats, i));
    }
    tr_wire_end(&c->wire);
}

/* COPY ---------------------------------------------------------------------------------------- */

static void put_csv_cell(tr_wire *wire, tr_str cell)
{
    bool is_plain = cell.len > 0 && !tr_str_is(cell, "\\.");
    for (size_t i = 0; i < cell.len && is_plain; i++)
        is_plain = cell.at[i] != ',' && cell.at[i] != '"' && cell.at[i] != '\n' &&
                   cell.at[i] != '\r';
    if (is_plain) {
        tr_wire_bytes(wire, cell);
        return;
    }
    tr_wire_u8(wire, '"');
    for (size_t i = 0; i < cell.len; i++) {
        if (cell.at[i] == '"')
            tr_wire_u8(wire, '"');
        tr_wire_u8(wire, cell.at[i]);
    }
    tr_wire_u8(wire, '"');
}

static void put_text_cell(tr_wire *wire, tr_str cell)
{
    static const char special[] = "\\\b\f\n\r\t\v", letters[] = "\\bfnrtv";
    for (size_t i = 0; i < cell.len; i++) {
        const char *found = cell.at[i] == '\0' ? NULL : strchr(special, cell.at[i]);
        if (found != NULL) {
            tr_wire_u8(wire, '\\');
            tr_wire_u8(wire, (uint8_t)letters[found - special]);
        } else {
            tr_wire_u8(wire, cell.at[i]);
        }
    }
}

static void put_copy_row(tr_sql_connection *c, const tr_plan *plan, tr_str row)
{
    tr_body body = {.rest = tr_str_from(row, 5)};
    const uint32_t count = tr_body_u16(&body);
    tr_wire_begin(&c->wire, 'd');
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t len = tr_body_u32(&body);
        if (i > 0)
            tr_wire_u8(&c->wire, plan->is_csv ? ',' : '\t');
        if (len == UINT32_MAX) {
            if (!plan->is_csv)
                tr_wire_bytes(&c->wire, tr_str_of("\\N"));
        } else if (plan->is_csv) {
            put_csv_cell(&c->wire, tr_body_bytes(&body, len));
        } else {
            put_text_cell(&c->wire, tr_body_bytes(&body, len));
        }
    }
    tr_wire_u8(&c->wire, '\n');
    tr_wire_end(&c->wire);
}

static void put_copy_header(tr_sql_connection *c, const tr_plan *plan, const json_t *columns)
{
    size_t i;
    const json_t *column;
    tr_wire_begin(&c->wire, 'd');
    json_array_foreach (columns, i, column) {
        const tr_str name = tr_str_of(tr_json_text(column, "name", ""));
        if (i > 0)
            tr_wire_u8(&c->wire, plan->is_csv ? ',' : '\t');
        if (plan->is_csv)
            put_csv_cell(&c->wire, name);
        else
            put_text_cell(&c->wire, name);
    }
    tr_wire_u8(&c->wire, '\n');
    tr_wire_end(&c->wire);
}

tr_code tr_sql_run_copy(tr_sql_connection *c, const tr_plan *plan, tr_sql_run *run, tr_err *err)
{
    const uint32_t count = (uint32_t)json_array_size(run->columns);
    tr_wire_begin(&c->wire, 'H');
    tr_wire_u8(&c->wire, 0);
    tr_wire_u16(&c->wire, count);
    for (uint32_t i = 0; i < count; i++)
        tr_wire_u16(&c->wire, 0);
    tr_wire_end(&c->wire);
    if (plan->has_header)
        put_copy_header(c, plan, run->columns);
    for (;;) {
        tr_str row;
        TR_TRY(next_row(c, run, &row, err));
        if (row.len == 0)
            break;
        put_copy_row(c, plan, row);
        TR_TRY(tr_wire_relieve(&c->wire, err));
    }
    tr_wire_begin(&c->wire, 'c');
    tr_wire_end(&c->wire);
    return TR_OK;
}
