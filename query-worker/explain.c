/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c - see explain.h. */
#include "explain.h"

/* Appends the second column of every row: the first one names the kind of plan. */
static tr_code read_plan(tr_engine *engine, const char *sql, tr_buf *out, tr_err *err)
{
    duckdb_result result;
    tr_code code = TR_OK;
    TR_TRY(tr_engine_start(engine, sql, &result, err));
    while (code == TR_OK) {
        duckdb_data_chunk chunk = NULL;
        code = tr_engine_next(&result, &chunk, err);
        if (code != TR_OK || chunk == NULL)
            break;
        const uint64_t rows = duckdb_data_chunk_get_size(chunk);
        duckdb_vector vector = duckdb_data_chunk_get_vector(chunk, 1);
        duckdb_string_t *texts = duckdb_vector_get_data(vector);
        for (uint64_t i = 0; i < rows && code == TR_OK; i++) {
            const tr_str text = {(const uint8_t *)duckdb_string_t_data(texts + i),
                                 duckdb_string_t_length(texts[i])};
            code = tr_buf_append(out, text, err);
            if (code == TR_OK)
                code = tr_buf_append(out, tr_str_of("\n"), err);
        }
        duckdb_destroy_data_chunk(&chunk);
    }
    duckdb_destroy_result(&result);
    return code;
}

/* SELECT unnest(['line', ...]) AS "QUERY PLAN"; JSON is one value. */
static tr_code write_select(tr_buf *plan, bool is_json, tr_buf *sql, tr_err *err)
{
    tr_buf shown = {0};
    tr_str rest = tr_buf_str(plan);
    while (rest.len > 0 && rest.at[rest.len - 1] == '\n')
        rest.len--;
    sql->len = 0;
    tr_code code = tr_engine_disguised(rest, &shown, err);
    rest = tr_buf_str(&shown);
    if (code == TR_OK)
        code = tr_buf_append(sql, tr_str_of("SELECT unnest(["), err);
    for (size_t i = 0; code == TR_OK; i++) {
        const uint8_t *end = is_json ? NULL : memchr(rest.at, '\n', rest.len);
        const tr_str line = {rest.at, end == NULL ? rest.len : (size_t)(end - rest.at)};
        if (i > 0)
            code = tr_buf_append(sql, tr_str_of(","), err);
        if (code == TR_OK)
            code = tr_sql_literal(sql, line, err);
        if (end == NULL)
            break;
        rest = tr_str_from(rest, line.len + 1);
    }
    if (code == TR_OK)
        code = tr_buf_append(sql, tr_str_of("]) AS \"QUERY PLAN\""), err);
    if (code == TR_OK)
        code = tr_buf_append(sql, (tr_str){(const uint8_t *)"", 1}, err);
    tr_buf_free(&shown);
    return code;
}

tr_code tr_explain(tr_engine *engine, const char *how, tr_buf *sql, tr_err *err)
{
    const bool is_json = strcmp(how, "json") == 0;
    tr_buf text = {0}, plan = {0};
    tr_code code = tr_buf_append(&text,
                                 tr_str_of(is_json                       ? "EXPLAIN (FORMAT json) "
                                           : strcmp(how, "analyze") == 0 ? "EXPLAIN ANALYZE "
                                                                         : "EXPLAIN "),
                                 err);
    if (code == TR_OK)
        code = tr_buf_append(&text, tr_buf_str(sql), err);
    if (code == TR_OK)
        code = read_plan(engine, (const char *)text.at, &plan, err);
    if (code == TR_OK)
        code = write_select(&plan, is_json, sql, err);
    tr_buf_free(&text);
    tr_buf_free(&plan);
    return code;
}
