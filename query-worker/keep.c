/* SPDX-License-Identifier: Apache-2.0 */
/* keep.c - see keep.h. */
#include "keep.h"

#include <unistd.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a table");
}

static tr_code end_text(tr_buf *sql, tr_err *err)
{
    return tr_buf_append(sql, (tr_str){(const uint8_t *)"", 1}, err);
}

/* Types ---------------------------------------------------------------------------------------- */

typedef struct stored {
    const char *type, *as; /* as NULL: not at all */
} stored;

static const stored others[] = {{"HUGEINT", "DECIMAL(38,0)"},
                                {"UHUGEINT", "DECIMAL(38,0)"},
                                {"INTERVAL", "VARCHAR"}, /* Parquet's has milliseconds */
                                {"TIME WITH TIME ZONE", "VARCHAR"},
                                {"TIME_NS", "VARCHAR"},
                                {"BIT", "VARCHAR"},
                                {"BIGNUM", "VARCHAR"},
                                {"UNION", NULL},
                                {"VARIANT", NULL},
                                {"GEOMETRY", NULL}};

/* Of the type whose name stands here: a member's name has its type behind it. */
static const stored *find_other(tr_str rest)
{
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        const tr_str name = tr_str_of(others[i].type);
        if (rest.len < name.len || memcmp(rest.at, name.at, name.len) != 0)
            continue;
        if (rest.len == name.len || strchr(",)[(", rest.at[name.len]) != NULL)
            return others + i;
    }
    return NULL;
}

static bool is_of_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c >= 0x80;
}

tr_code tr_keep_type(tr_str type, tr_buf *out, tr_err *err)
{
    uint8_t quote = '\0';
    for (size_t i = 0; i < type.len; i++) {
        const uint8_t c = type.at[i];
        const bool is_first = quote == '\0' && (i == 0 || !is_of_word(type.at[i - 1]));
        const stored *other = is_first ? find_other(tr_str_from(type, i)) : NULL;
        if (other != NULL && other->as == NULL) {
            tr_engine_note("0A000");
            return TR_FAIL(err, TR_INVALID, "a %s cannot be kept in a table", other->type);
        }
        if (other != NULL) {
            TR_TRY(tr_buf_append(out, tr_str_of(other->as), err));
            i += strlen(other->type) - 1;
            continue;
        }
        if (c == quote)
            quote = '\0'; /* one that is doubled opens again */
        else if (quote == '\0' && (c == '"' || c == '\''))
            quote = c;
        TR_TRY(tr_buf_append(out, (tr_str){&c, 1}, err));
    }
    return TR_OK;
}

/* Columns -------------------------------------------------------------------------------------- */

/* The types of a query's columns, in order: an array of texts, returned. */
static tr_code find_types(tr_engine *engine, const char *sql, json_t **out, tr_err *err)
{
    tr_buf ask = {0}, told = {0};
    tr_code code = tr_buf_format(&ask, err,
                                 "SELECT to_json(list(column_type))::VARCHAR FROM (DESCRIBE "
                                 "SELECT * FROM (\n%s\n))",
                                 sql);
    if (code == TR_OK)
        code = end_text(&ask, err);
    if (code == TR_OK)
        code = tr_engine_text(engine, (const char *)ask.at, &told, err);
    if (code == TR_OK)
        code = tr_json_parse(tr_buf_str(&told), out, err);
    tr_buf_free(&ask);
    tr_buf_free(&told);
    return code;
}

static const json_t *find_column(const json_t *columns, const char *name)
{
    size_t i;
    const json_t *column;
    json_array_foreach (columns, i, column)
        if (tr_str_equal_folded(tr_str_of(name), tr_str_of(tr_json_text(column, "name", ""))))
            return column;
    return NULL;
}

static tr_code add_column(json_t *columns, const char *name, const char *type, tr_err *err)
{
    if (find_column(columns, name) != NULL) {
        tr_engine_note("42701");
        return TR_FAIL(err, TR_INVALID, "column \"%.80s\" specified more than once", name);
    }
    json_t *column = json_pack("{s:s,s:s}", "name", name, "type", type);
    return column != NULL && json_array_append_new(columns, column) == 0 ? TR_OK : no_memory(err);
}

/* [{"name","type"}] of a query; *out is returned. */
static tr_code describe(tr_engine *engine, const char *sql, json_t **out, tr_err *err)
{
    duckdb_prepared_statement statement = NULL;
    json_t *types = NULL, *columns = json_array();
    tr_code code = columns == NULL ? no_memory(err) : find_types(engine, sql, &types, err);
    if (code == TR_OK && duckdb_prepare(engine->con, sql, &statement) != DuckDBSuccess)
        code = tr_engine_failure(duckdb_prepare_error(statement), err);
    const uint64_t count =
        statement == NULL ? 0 : duckdb_prepared_statement_column_count(statement);
    if (code == TR_OK && json_array_size(types) != count)
        code = TR_FAIL(err, TR_IO, "the engine told of other columns than it has");
    for (uint64_t i = 0; i < count && code == TR_OK; i++) {
        const char *name = duckdb_prepared_statement_column_name(statement, i);
        code = name == NULL
                   ? no_memory(err)
                   : add_column(columns, name, json_string_value(json_array_get(types, i)), err);
        duckdb_free((void *)(uintptr_t)name);
    }
    duckdb_destroy_prepare(&statement);
    json_decref(types);
    if (code == TR_OK)
        *out = columns;
    else
        json_decref(columns);
    return code;
}

static tr_code check_known(const json_t *given, const json_t *columns, tr_err *err)
{
    size_t i;
    const json_t *column;
    json_array_foreach (given, i, column) {
        const char *name = tr_json_text(column, "name", "");
        if (find_column(columns, name) != NULL)
            continue;
        tr_engine_note("42703");
        return TR_FAIL(err, TR_INVALID,
                       "the table has no column \"%.80s\": columns are matched by name, such as "
                       "SELECT 1 AS id, or INSERT INTO t (id) SELECT 1",
                       name);
    }
    return TR_OK;
}

/* The file ------------------------------------------------------------------------------------- */

/* CAST(CAST("x" AS own) AS stored) AS "x" */
static tr_code put_column(tr_buf *sql, const json_t *column, const char *from, tr_err *err)
{
    const char *type = tr_json_text(column, "type", "VARCHAR");
    TR_TRY(tr_buf_append(sql, tr_str_of("CAST(CAST("), err));
    TR_TRY(from == NULL ? tr_buf_append(sql, tr_str_of("NULL"), err)
                        : tr_sql_name(sql, tr_str_of(from), err));
    TR_TRY(tr_buf_format(sql, err, " AS %s) AS ", type));
    TR_TRY(tr_keep_type(tr_str_of(type), sql, err));
    TR_TRY(tr_buf_append(sql, tr_str_of(") AS "), err));
    return tr_sql_name(sql, tr_str_of(tr_json_text(column, "name", "")), err);
}

/* COPY (SELECT the columns FROM (sql)) TO 'path'. given: the query's columns */
static tr_code put_copy(tr_buf *out, const char *sql, const json_t *columns, const json_t *given,
                        const char *path, tr_err *err)
{
    size_t i;
    const json_t *column;
    TR_TRY(tr_buf_append(out, tr_str_of("COPY (SELECT "), err));
    json_array_foreach (columns, i, column) {
        const json_t *from = find_column(given, tr_json_text(column, "name", ""));
        if (i > 0)
            TR_TRY(tr_buf_append(out, tr_str_of(", "), err));
        TR_TRY(put_column(out, column, tr_json_text(from, "name", NULL), err));
    }
    TR_TRY(tr_buf_format(out, err, " FROM (\n%s\n)) TO ", sql));
    TR_TRY(tr_sql_literal(out, tr_str_of(path), err));
    TR_TRY(tr_buf_append(out, tr_str_of(" (FORMAT parquet, USE_TMP_FILE false)"), err));
    return end_text(out, err);
}

/* Runs COPY, which tells how many rows it wrote. */
static tr_code write_file(tr_engine *engine, const char *sql, uint64_t *rows, tr_err *err)
{
    duckdb_result result;
    duckdb_data_chunk chunk = NULL;
    TR_TRY(tr_engine_start(engine, sql, &result, err));
    tr_code code = tr_engine_next(&result, &chunk, err);
    if (code == TR_OK && chunk == NULL)
        code = TR_FAIL(err, TR_IO, "the engine gave no answer");
    if (code == TR_OK) {
        const int64_t *count = duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 0));
        *rows = (uint64_t)*count;
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return code;
}

tr_code tr_keep(tr_engine *engine, const char *sql, const json_t *columns, const char *path,
                json_t **out, tr_err *err)
{
    tr_buf copy = {0};
    uint64_t rows = 0;
    json_t *given = NULL;
    TR_TRY(describe(engine, sql, &given, err));
    const bool is_new = columns == NULL;
    tr_code code = is_new ? TR_OK : check_known(given, columns, err);
    if (is_new)
        columns = given;
    if (code == TR_OK)
        code = put_copy(&copy, sql, columns, given, path, err);
    if (code == TR_OK) {
        code = write_file(engine, (const char *)copy.at, &rows, err);
        if (code != TR_OK)
            (void)unlink(path); /* what is left of it goes with the folder */
    }
    if (code == TR_OK) {
        *out = json_pack("{s:O,s:I}", "columns", columns, "rows", (json_int_t)rows);
        if (*out == NULL)
            code = no_memory(err);
    }
    json_decref(given);
    tr_buf_free(&copy);
    return code;
}
