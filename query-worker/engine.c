/* SPDX-License-Identifier: Apache-2.0 */
/* engine.c - see engine.h. */
#include "engine.h"

#include <stdio.h>

static const tr_disguise *disguises;
static const char *sqlstate = "58000";
static bool is_broken;

bool tr_engine_is_broken(void)
{
    return is_broken;
}

const char *tr_engine_sqlstate(void)
{
    return sqlstate;
}

void tr_engine_note(const char *state)
{
    sqlstate = state;
}

/* By the words in front of DuckDB's message: a failed preparation has no other kind. */
static void note_kind(const char *message)
{
    static const struct {
        const char *words, *state;
    } kinds[] = {{"Parser Error", "42601"},      {"Syntax Error", "42601"},
                 {"Catalog Error: Table", "42P01"}, {"Catalog Error: Scalar Function", "42883"},
                 {"Catalog Error: Type", "42704"}, {"Catalog Error", "42883"},
                 {"Binder Error: No function", "42883"},
                 {"Binder Error: Referenced table", "42P01"},
                 {"Binder Error", "42703"},      {"Conversion Error", "22P02"},
                 {"Out of Range", "22003"},      {"INTERRUPT", "57014"},
                 {"Permission", "42501"},        {"Not implemented", "0A000"},
                 {"Out of Memory", "53200"},     {"Invalid Input", "22023"},
                 {"Invalid type", "42804"},      {"Divide by Zero", "22012"}};
    sqlstate = "58000";
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(message, kinds[i].words, strlen(kinds[i].words)) == 0) {
            sqlstate = kinds[i].state;
            return;
        }
}

void tr_engine_disguise(const tr_disguise *list)
{
    disguises = list;
}

/* Of the path that the text begins with; NULL: it begins with none. */
static const tr_disguise *find_disguise(tr_str text)
{
    for (const tr_disguise *d = disguises; d != NULL && d->path != NULL; d++) {
        const tr_str path = tr_str_of(d->path);
        if (text.len >= path.len && memcmp(text.at, path.at, path.len) == 0)
            return d;
    }
    return NULL;
}

/* Copies DuckDB's message into `to` with paths replaced and without the kind of error in front
 * ("Invalid Input Error: "), which says nothing to whoever sent the file or the query. */
static void clean_message(const char *message, char *to, size_t cap)
{
    const char *kind_end = strstr(message, "Error: ");
    const char *line_end = strchr(message, '\n');
    if (kind_end != NULL && (line_end == NULL || kind_end < line_end))
        message = kind_end + strlen("Error: ");
    size_t len = 0;
    while (*message != '\0' && len + 1 < cap) {
        const tr_disguise *d = find_disguise(tr_str_of(message));
        if (d == NULL) {
            to[len++] = *message++;
            continue;
        }
        message += strlen(d->path);
        for (const char *shown = d->shown; *shown != '\0' && len + 1 < cap; shown++)
            to[len++] = *shown;
    }
    to[len] = '\0';
}

tr_code tr_engine_disguised(tr_str text, tr_buf *out, tr_err *err)
{
    while (text.len > 0) {
        const tr_disguise *d = find_disguise(text);
        TR_TRY(tr_buf_append(out, d != NULL ? tr_str_of(d->shown) : (tr_str){text.at, 1}, err));
        text = tr_str_from(text, d != NULL ? strlen(d->path) : 1);
    }
    return TR_OK;
}

static tr_code fail(duckdb_error_type type, const char *message, tr_err *err)
{
    char text[sizeof err->text];
    if (message == NULL)
        message = "no reason was given";
    note_kind(message);
    if (type == DUCKDB_ERROR_INTERNAL || type == DUCKDB_ERROR_FATAL ||
        strncmp(message, "INTERNAL", 8) == 0 || strncmp(message, "FATAL", 5) == 0) {
        is_broken = true; /* the message carries addresses and a stack */
        return TR_FAIL(err, TR_INVALID, "the engine stopped with an internal error");
    }
    if (type == DUCKDB_ERROR_OUT_OF_MEMORY)
        note_kind("Out of Memory");
    if (type == DUCKDB_ERROR_OUT_OF_MEMORY)
        return TR_FAIL(err, TR_LIMIT, "more memory was needed than one query may have");
    clean_message(message, text, sizeof text);
    return TR_FAIL(err, TR_INVALID, "%s", text);
}

static tr_code set(duckdb_config config, const char *name, const char *value, tr_err *err)
{
    if (duckdb_set_config(config, name, value) != DuckDBSuccess)
        return TR_FAIL(err, TR_IO, "this DuckDB has no setting %s", name);
    return TR_OK;
}

static tr_code configure(duckdb_config config, const tr_engine_options *options, tr_err *err)
{
    static const char *const fixed[][2] = {
        {"autoinstall_known_extensions", "false"}, {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},   {"allow_unsigned_extensions", "false"},
        {"allow_persistent_secrets", "false"},     {"extension_directory", "/nonexistent"},
        {"secret_directory", "/nonexistent"},      {"home_directory", "/nonexistent"},
        {"preserve_insertion_order", "true"},
        {"allow_parser_override_extension", "default"},
    };
    char number[32];
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        TR_TRY(set(config, fixed[i][0], fixed[i][1], err));
    TR_TRY(set(config, "threads", "1", err)); /* more, once they are confined: tr_engine_lock */
    (void)snprintf(number, sizeof number, "%uMiB", options->memory_mb);
    TR_TRY(set(config, "memory_limit", number, err));
    return set(config, "temp_directory", options->spill_folder ? options->spill_folder : "", err);
}

/* What DuckDB accepts when it is opened and then forgets. */
static tr_code limit_spill(tr_engine *engine, const tr_engine_options *options, tr_err *err)
{
    char sql[96];
    (void)snprintf(sql, sizeof sql, "SET max_temp_directory_size='%lluB'",
                   (unsigned long long)options->spill_bytes_max);
    return tr_engine_run(engine, sql, err);
}

tr_code tr_engine_open(const tr_engine_options *options, tr_engine *out, tr_err *err)
{
    duckdb_config config = NULL;
    char *why = NULL;
    tr_engine engine = {0};
    if (duckdb_create_config(&config) != DuckDBSuccess)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for DuckDB's settings");
    tr_code code = configure(config, options, err);
    if (code == TR_OK && duckdb_open_ext(NULL, &engine.db, config, &why) != DuckDBSuccess)
        code = fail(DUCKDB_ERROR_INVALID, why, err);
    if (code == TR_OK && duckdb_connect(engine.db, &engine.con) != DuckDBSuccess)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a connection");
    if (code == TR_OK)
        code = limit_spill(&engine, options, err);
    duckdb_free(why);
    duckdb_destroy_config(&config);
    if (code == TR_OK)
        *out = engine;
    return code;
}

tr_code tr_engine_run(tr_engine *engine, const char *sql, tr_err *err)
{
    duckdb_result result;
    tr_code code = TR_OK;
    if (duckdb_query(engine->con, sql, &result) != DuckDBSuccess)
        code = fail(duckdb_result_error_type(&result), duckdb_result_error(&result), err);
    duckdb_destroy_result(&result);
    return code;
}

/* SET allowed_directories=['folder'] */
static tr_code allow_folder(tr_engine *engine, const char *folder, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code = tr_buf_format(&sql, err, "SET allowed_directories=[");
    if (code == TR_OK)
        code = tr_sql_literal(&sql, tr_str_of(folder), err);
    if (code == TR_OK)
        code = tr_buf_append(&sql, (tr_str){(const uint8_t *)"]", 2}, err);
    if (code == TR_OK)
        code = tr_engine_run(engine, (const char *)sql.at, err);
    tr_buf_free(&sql);
    return code;
}

tr_code tr_engine_lock(tr_engine *engine, tr_str allowed, const char *folder,
                       uint32_t thread_count, tr_err *err)
{
    tr_buf sql = {0};
    char threads[64];
    (void)snprintf(threads, sizeof threads, "SET threads=%u", thread_count);
    TR_TRY(tr_engine_run(engine, threads, err));
    tr_code code = tr_buf_format(&sql, err, "SET allowed_paths=[%.*s]", TR_STR_ARG(allowed));
    if (code == TR_OK)
        code = tr_engine_run(engine, (const char *)sql.at, err);
    tr_buf_free(&sql);
    TR_TRY(code);
    if (folder != NULL)
        TR_TRY(allow_folder(engine, folder, err));
    TR_TRY(tr_engine_run(engine, "SET enable_external_access=false", err));
    return tr_engine_run(engine, "SET lock_configuration=true", err);
}

tr_code tr_engine_start(tr_engine *engine, const char *sql, duckdb_result *out, tr_err *err)
{
    duckdb_prepared_statement statement = NULL;
    duckdb_pending_result pending = NULL;
    tr_code code = TR_OK;
    if (duckdb_prepare(engine->con, sql, &statement) != DuckDBSuccess)
        code = fail(DUCKDB_ERROR_INVALID, duckdb_prepare_error(statement), err);
    if (code == TR_OK && duckdb_nparams(statement) > 0)
        code = TR_FAIL(err, TR_INVALID, "the statement has parameters, but no values were given");
    if (code == TR_OK && duckdb_pending_prepared_streaming(statement, &pending) != DuckDBSuccess)
        code = fail(DUCKDB_ERROR_INVALID, duckdb_pending_error(pending), err);
    engine->has_begun = code == TR_OK;
    duckdb_result result;
    if (code == TR_OK && duckdb_execute_pending(pending, &result) != DuckDBSuccess) {
        code = fail(duckdb_result_error_type(&result), duckdb_result_error(&result), err);
        duckdb_destroy_result(&result);
    }
    duckdb_destroy_pending(&pending);
    duckdb_destroy_prepare(&statement);
    if (code == TR_OK)
        *out = result;
    return code;
}

tr_code tr_engine_next(duckdb_result *result, duckdb_data_chunk *out, tr_err *err)
{
    duckdb_data_chunk chunk = duckdb_fetch_chunk(*result);
    if (chunk == NULL) {
        const char *why = duckdb_result_error(result);
        if (why != NULL && why[0] != '\0')
            return fail(duckdb_result_error_type(result), why, err);
    }
    *out = chunk;
    return TR_OK;
}

tr_code tr_engine_text(tr_engine *engine, const char *sql, tr_buf *out, tr_err *err)
{
    duckdb_result result;
    duckdb_data_chunk chunk;
    TR_TRY(tr_engine_start(engine, sql, &result, err));
    tr_code code = tr_engine_next(&result, &chunk, err);
    if (code == TR_OK && chunk == NULL)
        code = TR_FAIL(err, TR_IO, "the engine gave no answer");
    if (code == TR_OK) {
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, 0);
        duckdb_string_t *text = duckdb_vector_get_data(vector);
        const tr_str value = {(const uint8_t *)duckdb_string_t_data(text),
                              duckdb_string_t_length(*text)};
        code = tr_buf_append(out, value, err);
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return code;
}

tr_code tr_engine_failure(const char *message, tr_err *err)
{
    return fail(DUCKDB_ERROR_INVALID, message, err);
}

/* `text` between two `quote`s, each quote inside doubled; a NUL cannot be in SQL. */
static tr_code put_quoted(tr_buf *sql, tr_str text, char quote, tr_err *err)
{
    if (memchr(text.at, '\0', text.len) != NULL)
        return TR_FAIL(err, TR_INVALID, "a name with a NUL byte in it");
    TR_TRY(tr_buf_reserve(sql, text.len * 2 + 3, err));
    sql->at[sql->len++] = (uint8_t)quote;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] == (uint8_t)quote)
            sql->at[sql->len++] = (uint8_t)quote;
        sql->at[sql->len++] = text.at[i];
    }
    sql->at[sql->len++] = (uint8_t)quote;
    sql->at[sql->len] = '\0'; /* so that it can be handed to DuckDB as it is */
    return TR_OK;
}

tr_code tr_sql_literal(tr_buf *sql, tr_str text, tr_err *err)
{
    return put_quoted(sql, text, '\'', err);
}

tr_code tr_sql_name(tr_buf *sql, tr_str name, tr_err *err)
{
    return put_quoted(sql, name, '"', err);
}
