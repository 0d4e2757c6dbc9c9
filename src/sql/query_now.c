/* SPDX-License-Identifier: Apache-2.0 */
/* query_now.c - a SELECT answered at once: POST /accelerated-queries; see query_job.h. */
#include "sql/query_job_internal.h"

#include "sql/adhoc.h"

enum { ROWS_BYTES_MAX = 64 * 1024 * 1024 };

static tr_code add_lines(tr_str lines, uint64_t rows_max, json_t *rows, tr_err *err)
{
    while (lines.len > 0) {
        json_t *row = NULL;
        const uint8_t *end = memchr(lines.at, '\n', lines.len);
        const size_t len = end == NULL ? lines.len : (size_t)(end - lines.at);
        TR_TRY(tr_json_parse((tr_str){lines.at, len}, &row, err));
        if (json_array_append_new(rows, row) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for the rows of a query");
        if (json_array_size(rows) > rows_max)
            return TR_FAIL(err, TR_LIMIT, "the result has more than %llu rows",
                           (unsigned long long)rows_max);
        lines = tr_str_from(lines, end == NULL ? len : len + 1);
    }
    return TR_OK;
}

static tr_code take_rows(tr_query_active *active, uint64_t rows_max, json_t *rows, tr_err *err)
{
    size_t bytes = 0;
    for (;;) {
        tr_query_answer answer;
        const char *state;
        TR_TRY(tr_query_next(active, &answer, &state, err));
        if (answer.kind == 'Z')
            return TR_OK;
        bytes += answer.bytes.len;
        if (bytes > ROWS_BYTES_MAX)
            return TR_FAIL(err, TR_LIMIT, "the result has more than %d bytes", ROWS_BYTES_MAX);
        TR_TRY(add_lines(answer.bytes, rows_max, rows, err));
    }
}

static tr_code run(tr_query_active *active, const tr_query_text *text, uint64_t rows_max,
                   json_t **columns, json_t *rows, tr_err *err)
{
    json_t *first = NULL;
    const char *state;
    tr_code code = tr_query_worker_start(active, "write", text, &first, &state, err);
    if (code == TR_OK)
        code = tr_adhoc_properties(json_object_get(first, "columns"), columns, &state, err);
    if (code == TR_OK)
        code = take_rows(active, rows_max, rows, err);
    tr_query_worker_end(active);
    json_decref(first);
    return code;
}

tr_code tr_query_now(tr_query_jobs *jobs, const tr_tenant *tenant, const json_t *request,
                     uint64_t rows_max, json_t **columns, json_t **rows, tr_err *err)
{
    tr_arena arena = {0};
    tr_query_text text;
    const char *state;
    json_t *found = NULL, *list = json_array();
    tr_query_active here = {.jobs = jobs, .tenant = *tenant};
    tr_code code = list == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for the rows of a query")
                                : tr_query_read(jobs, tenant, request, &arena, &text, &state, err);
    if (code == TR_OK && text.write.kind != TR_WRITE_NONE)
        code = TR_FAIL(err, TR_INVALID, "only a SELECT is answered at once");
    if (code == TR_OK)
        code = run(&here, &text, rows_max, &found, list, err);
    tr_arena_free(&arena);
    if (code == TR_OK) {
        *columns = found;
        *rows = list;
    } else {
        json_decref(found);
        json_decref(list);
    }
    return code;
}
