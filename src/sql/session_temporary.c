/* SPDX-License-Identifier: Apache-2.0 */
/* session_temporary.c - the temporary tables of a session: made, filled, dropped; see temporary.h.
 *
 *     worker: COPY (SELECT) --> spill-<pid>-<n>/kept.parquet       one command, "keep"
 *     server: moves it      --> room-<pid>-<n>/<k>.parquet         the session's own folder
 *     later statements, and jobs: linked into their workers as the files of datasets are
 *
 * Nothing of it is in the catalog. The folder goes with the session; after a crash, with the sweep
 * of the scratch folder at the next start. Each statement that writes adds a file, and a table is a
 * list of them, so that what reads while another statement writes sees what was there before.
 */
#include "sql/sql_internal.h"

#include "base/limits.h"
#include "base/log.h"
#include "os/os.h"
#include "sql/temporary.h"
#include "sql/write.h"

#include <ctype.h>
#include <stdio.h>

enum { NAME_BYTES_MAX = 255 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a temporary table");
}

static void note_left(tr_code code)
{
    if (code != TR_OK) /* swept at the next start; it changes no answer */
        tr_log(TR_LOG_WARN, "sql", "scratch_kept", "reason=\"a temporary table\"");
}

bool tr_sql_is_temporary(const tr_sql_connection *c, const tr_write *write)
{
    const bool may_be = write->kind == TR_WRITE_INSERT || write->kind == TR_WRITE_DROP ||
                        write->kind == TR_WRITE_ALTER;
    return write->is_temporary ||
           (may_be && !write->is_public && tr_temporary_find(c->temporary, write->table) != NULL);
}

/* Dropped ---------------------------------------------------------------------------------- */

static void forget_file(tr_sql_connection *c, const char *path)
{
    uint64_t bytes = 0;
    if (tr_file_bytes(path, &bytes, NULL) == TR_OK) {
        c->temporary_bytes -= bytes;
        (void)atomic_fetch_sub(&c->sql->temporary_bytes, bytes);
    }
    note_left(tr_file_remove(path, NULL));
}

static void drop(tr_sql_connection *c, const char *name)
{
    size_t i;
    const json_t *path;
    const json_t *files = json_object_get(json_object_get(c->temporary, name), "files");
    json_array_foreach (files, i, path)
        forget_file(c, json_string_value(path));
    (void)json_object_del(c->temporary, name);
}

void tr_sql_drop_temporary(tr_sql_connection *c)
{
    const char *name;
    json_t *table;
    void *next;
    json_object_foreach_safe (c->temporary, next, name, table)
        drop(c, name);
    if (c->room != NULL)
        note_left(tr_dir_remove(c->room, NULL));
    tr_free(c->room);
    c->room = NULL;
}

/* Made, filled -------------------------------------------------------------------------------- */

static tr_code check_room(tr_sql_connection *c, bool is_new, tr_err *err)
{
    if (is_new && json_object_size(c->temporary) >= TR_TEMPORARY_TABLES_MAX)
        return tr_sql_fail(c, "54000", err, "a session has at most %d temporary tables",
                           TR_TEMPORARY_TABLES_MAX);
    return c->room != NULL ? TR_OK : tr_query_make_room(c->sql->options.query, &c->room, err);
}

/* What a session, and all of them, may have on disk. */
static tr_code take_bytes(tr_sql_connection *c, uint64_t bytes, tr_err *err)
{
    const uint64_t own_max = c->sql->options.temporary_bytes_max;
    const uint64_t before = atomic_fetch_add(&c->sql->temporary_bytes, bytes);
    c->temporary_bytes += bytes;
    if (c->temporary_bytes > own_max)
        return tr_sql_fail(c, "53100", err,
                           "the temporary tables of this session would take more than %llu MiB",
                           (unsigned long long)(own_max >> 20));
    return before + bytes <= TR_TEMPORARY_BYTES_MAX
               ? TR_OK
               : tr_sql_fail(c, "53100", err,
                             "the temporary tables of all sessions would take too much room");
}

/* The query's rows as one more file. columns: of the table that gets them, NULL: a new one
 * *told  {"columns","rows"}; returned */
static tr_code keep_rows(tr_sql_connection *c, const tr_plan *plan, const json_t *columns,
                         char path[4096], json_t **told, tr_err *err)
{
    uint64_t bytes = 0;
    json_t *made = NULL;
    (void)snprintf(path, 4096, "%s/%u.parquet", c->room, c->temporary_count++);
    TR_TRY(tr_sql_run_keep(c, plan, columns, path, &bytes, &made, err));
    const tr_code code = take_bytes(c, bytes, err);
    if (code == TR_OK) {
        *told = made;
        return TR_OK;
    }
    forget_file(c, path);
    json_decref(made);
    return code;
}

static tr_code plan_query(tr_sql_connection *c, const tr_write *write, tr_arena *arena,
                          tr_plan *out, tr_err *err)
{
    TR_TRY(tr_sql_plan(c, write->query, arena, out, err));
    if (out->kind != TR_PLAN_QUERY || out->shows_tables || out->explain != NULL)
        return tr_sql_fail(c, "0A000", err, "a table is made from a query");
    return out->param_count == 0 ? TR_OK
                                 : tr_sql_fail(c, "42P02", err, "there is no parameter $1 here");
}

static tr_code create(tr_sql_connection *c, const char *name, const tr_plan *plan, uint64_t *rows,
                      tr_err *err)
{
    char path[4096];
    json_t *told = NULL;
    TR_TRY(check_room(c, true, err));
    TR_TRY(keep_rows(c, plan, NULL, path, &told, err));
    json_t *table =
        json_pack("{s:[s],s:O}", "files", path, "columns", json_object_get(told, "columns"));
    *rows = (uint64_t)tr_json_int(told, "rows", 0);
    json_decref(told);
    if (table != NULL && json_object_set_new(c->temporary, name, table) == 0)
        return TR_OK;
    forget_file(c, path);
    return no_memory(err);
}

static tr_code insert(tr_sql_connection *c, const char *name, const tr_plan *plan, uint64_t *rows,
                      tr_err *err)
{
    char path[4096];
    json_t *told = NULL;
    const json_t *old = json_object_get(c->temporary, name);
    json_t *files = json_object_get(old, "files");
    if (json_array_size(files) >= TR_TEMPORARY_FILES_MAX)
        return tr_sql_fail(c, "54000", err,
                           "%d statements have written to this temporary table, and no more may: "
                           "CREATE TEMP TABLE AS SELECT from it begins a new one",
                           TR_TEMPORARY_FILES_MAX);
    TR_TRY(check_room(c, false, err));
    TR_TRY(keep_rows(c, plan, json_object_get(old, "columns"), path, &told, err));
    *rows = (uint64_t)tr_json_int(told, "rows", 0);
    json_decref(told);
    if (json_array_append_new(files, json_string(path)) == 0)
        return TR_OK;
    forget_file(c, path);
    return no_memory(err);
}

/* The name as it is kept: names have no case here. */
static tr_code fold_name(tr_sql_connection *c, tr_str name, char out[NAME_BYTES_MAX + 1],
                         tr_err *err)
{
    if (name.len > NAME_BYTES_MAX)
        return tr_sql_fail(c, "42602", err,
                           "the name of the table has %zu bytes, at most %d are allowed", name.len,
                           NAME_BYTES_MAX);
    if (memchr(name.at, '@', name.len) != NULL || memchr(name.at, '\0', name.len) != NULL)
        return tr_sql_fail(c, "42602", err, "a table's name has no @ and no NUL");
    for (size_t i = 0; i < name.len; i++)
        out[i] = (char)tolower(name.at[i]);
    out[name.len] = '\0';
    return TR_OK;
}

tr_code tr_sql_write_temporary(tr_sql_connection *c, const tr_write *write, uint64_t *rows,
                               tr_err *err)
{
    char name[NAME_BYTES_MAX + 1];
    tr_plan plan;
    tr_arena arena = {0};
    *rows = 0;
    TR_TRY(fold_name(c, write->table, name, err));
    const bool is_there = json_object_get(c->temporary, name) != NULL;
    const bool is_new = write->kind == TR_WRITE_TABLE;
    if (write->is_lenient && is_there == is_new)
        return TR_OK;
    if (is_there && is_new)
        return tr_sql_fail(c, "42P07", err, "the temporary table \"%.100s\" is there already",
                           name);
    if (!is_there && !is_new)
        return tr_sql_fail(c, "42P01", err, "there is no temporary table \"%.100s\"", name);
    if (write->kind == TR_WRITE_ALTER)
        return tr_sql_fail(c, "0A000", err,
                           "\"%.100s\" is a temporary table, which has no keys and no identities: "
                           "public in front of the name means the dataset's",
                           name);
    if (write->kind == TR_WRITE_DROP) {
        drop(c, name);
        return TR_OK;
    }
    tr_code code = plan_query(c, write, &arena, &plan, err);
    if (code == TR_OK)
        code = is_new ? create(c, name, &plan, rows, err) : insert(c, name, &plan, rows, err);
    tr_arena_free(&arena);
    return code;
}
