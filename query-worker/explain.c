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

/* Files --------------------------------------------------------------------------------------- */

enum { CELLS_MAX = 64 };

/* Where, in characters, names of files stand: in boxes, broken into lines, until an empty one. */
typedef struct cells {
    size_t from[CELLS_MAX], to[CELLS_MAX];
    size_t count;
} cells;

static bool is_bar(tr_str line, const size_t *at, size_t i)
{
    return tr_str_is((tr_str){line.at + at[i], at[i + 1] - at[i]}, "\u2502");
}

static bool is_empty(tr_str line, const size_t *at, size_t count, size_t from, size_t to)
{
    for (size_t i = from; i < to && i < count; i++)
        if (line.at[at[i]] != ' ')
            return false;
    return true;
}

/* Of the cells above, those that go on. */
static void go_on(tr_str line, const size_t *at, size_t count, cells *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++) {
        const size_t from = c->from[i], to = c->to[i];
        if (to >= count || !is_bar(line, at, from - 1) || is_empty(line, at, count, from, to))
            continue;
        c->from[kept] = from;
        c->to[kept++] = to;
    }
    c->count = kept;
}

/* The cells that begin here. */
static void find_cells(tr_str line, const size_t *at, size_t count, cells *c)
{
    static const char label[] = "Filename(s)";
    for (size_t i = 0; i < count && c->count < CELLS_MAX; i++) {
        size_t from = i, to = i;
        const tr_str rest = tr_str_from(line, at[i]);
        if (rest.len < sizeof label - 1 || memcmp(rest.at, label, sizeof label - 1) != 0)
            continue;
        while (from > 0 && !is_bar(line, at, from - 1))
            from--;
        while (to < count && !is_bar(line, at, to))
            to++;
        if (from == 0 || to == count)
            continue;
        c->from[c->count] = from;
        c->to[c->count++] = to;
    }
}

static tr_code put_line(tr_str line, const size_t *at, size_t count, const cells *c, tr_buf *out,
                        tr_err *err)
{
    for (size_t i = 0; i < count; i++) {
        bool is_hidden = false;
        for (size_t k = 0; k < c->count; k++)
            is_hidden = is_hidden || (i >= c->from[k] && i < c->to[k]);
        TR_TRY(tr_buf_append(
            out, is_hidden ? tr_str_of(" ") : (tr_str){line.at + at[i], at[i + 1] - at[i]}, err));
    }
    return TR_OK;
}

static tr_code hide_in_line(tr_str line, cells *c, tr_buf *out, tr_err *err)
{
    size_t count = 0;
    size_t *at = tr_alloc_array(line.len + 1, sizeof *at);
    if (at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a plan");
    for (size_t i = 0; i < line.len; i++)
        if ((line.at[i] & 0xc0) != 0x80)
            at[count++] = i;
    at[count] = line.len;
    go_on(line, at, count, c);
    find_cells(line, at, count, c);
    const tr_code code = put_line(line, at, count, c, out, err);
    tr_free(at);
    return code;
}

/* The plan without the names of files, which say where the server has its data. */
static tr_code hide_files(tr_buf *plan, tr_err *err)
{
    tr_buf out = {0};
    cells c = {.count = 0};
    tr_code code = TR_OK;
    for (tr_str rest = tr_buf_str(plan); rest.len > 0 && code == TR_OK;) {
        const uint8_t *end = memchr(rest.at, '\n', rest.len);
        const size_t len = end == NULL ? rest.len : (size_t)(end - rest.at);
        code = hide_in_line((tr_str){rest.at, len}, &c, &out, err);
        if (code == TR_OK && end != NULL)
            code = tr_buf_append(&out, tr_str_of("\n"), err);
        rest = tr_str_from(rest, end == NULL ? len : len + 1);
    }
    if (code == TR_OK) {
        tr_buf_free(plan);
        *plan = out;
    } else {
        tr_buf_free(&out);
    }
    return code;
}

/* ---------------------------------------------------------------------------------------------- */

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
    static const char *const words[][2] = {{"json", "EXPLAIN (FORMAT json) "},
                                           {"analyze", "EXPLAIN ANALYZE "},
                                           {"analyze json", "EXPLAIN (ANALYZE, FORMAT json) "}};
    const bool is_json = strstr(how, "json") != NULL;
    const char *head = "EXPLAIN ";
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(how, words[i][0]) == 0)
            head = words[i][1];
    tr_buf text = {0}, plan = {0};
    tr_code code = tr_buf_append(&text, tr_str_of(head), err);
    if (code == TR_OK)
        code = tr_buf_append(&text, tr_buf_str(sql), err);
    if (code == TR_OK)
        code = read_plan(engine, (const char *)text.at, &plan, err);
    if (code == TR_OK && !is_json)
        code = hide_files(&plan, err);
    if (code == TR_OK)
        code = write_select(&plan, is_json, sql, err);
    tr_buf_free(&text);
    tr_buf_free(&plan);
    return code;
}
