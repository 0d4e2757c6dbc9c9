/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c - a foreign Parquet file as JSON lines, rows in their order.
 *
 * DuckDB opens the file by /proc/self/fd/4: it never learns the file's name, so no message can
 * tell it.
 */
#include "base/limits.h"
#include "engine.h"
#include "rows.h"
#include "schema.h"
#include "worker.h"

#include <stdio.h>

#define INPUT "/proc/self/fd/4"

/* One row as its line, or as a line that says why it is none. */
static tr_code put_row(tr_rows *rows, uint64_t row, uint64_t number, tr_out *out,
                       tr_verdict *verdict, tr_err *err)
{
    const size_t start = out->buf.len;
    char why[sizeof rows->problem];
    uint8_t head[512];
    tr_rows_put(rows, row, out);
    if (out->failure == TR_LIMIT || out->buf.len - start > TR_ROW_BYTES_MAX)
        (void)snprintf(why, sizeof why, "the row is longer than %d bytes", TR_ROW_BYTES_MAX);
    else if (rows->problem[0] != '\0')
        (void)snprintf(why, sizeof why, "%s", rows->problem);
    else {
        tr_put_byte(out, '\n');
        verdict->rows++;
        return tr_out_line_end(out, err);
    }
    const size_t len = out->buf.len - start;
    const tr_str text = {head, len < sizeof head ? len : sizeof head};
    memcpy(head, out->buf.at + start, text.len);
    tr_out_cut(out, start);
    tr_put_corrupt(out, text, why, number);
    verdict->rows++;
    verdict->bad_rows++;
    return tr_out_line_end(out, err);
}

static tr_code put_rows(duckdb_result *result, tr_rows *rows, tr_out *out, tr_verdict *verdict,
                        tr_err *err)
{
    for (;;) {
        duckdb_data_chunk chunk;
        const tr_code next = tr_engine_next(result, &chunk, err);
        if (next != TR_OK)
            tr_err_context(err, "after row %llu", (unsigned long long)verdict->rows);
        TR_TRY(next);
        if (chunk == NULL)
            return TR_OK;
        tr_rows_bind(rows, chunk);
        const uint64_t count = duckdb_data_chunk_get_size(chunk);
        tr_code code = TR_OK;
        for (uint64_t row = 0; row < count && code == TR_OK; row++)
            code = put_row(rows, row, verdict->rows + 1, out, verdict, err);
        duckdb_destroy_data_chunk(&chunk);
        TR_TRY(code);
    }
}

tr_code tr_convert_parquet(const tr_request *request, tr_engine *engine, tr_verdict *verdict,
                           tr_err *err)
{
    static const tr_disguise disguises[] = {{"\"" INPUT "\"", "(the file)"},
                                            {"'" INPUT "'", "(the file)"},
                                            {INPUT, "(the file)"},
                                            {NULL, NULL}};
    duckdb_result result;
    tr_rows rows;
    tr_out out;
    tr_engine_disguise(disguises);
    TR_TRY(tr_engine_lock(engine, tr_str_of("'" INPUT "'"), NULL, request->thread_count, err));
    TR_TRY(tr_schema_check(engine, INPUT, err));
    const tr_code code = tr_engine_start(
        engine, "SELECT * FROM read_parquet('" INPUT "', hive_partitioning=false)", &result, err);
    if (code != TR_OK && engine->has_begun)
        tr_err_context(err, "after row 0");
    TR_TRY(code);
    TR_TRY(tr_rows_open(&result, &rows, err));
    tr_out_open(&out, TR_WORKER_RESULT_FD, request->bytes_max);
    TR_TRY(put_rows(&result, &rows, &out, verdict, err));
    return tr_out_flush(&out, err);
}
