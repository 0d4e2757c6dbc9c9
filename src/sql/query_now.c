/* SPDX-License-Identifier: Apache-2.0 */
/* query_now.c - a SELECT answered at once: POST /accelerated-queries; see query_job.h. */
#include "sql/query_job_internal.h"

#include "base/limits.h"
#include "sql/adhoc.h"

enum { ROWS_BYTES_MAX = 64 * 1024 * 1024, AT_A_TIME = 4, DEADLINE_S = 600 };

/* Kept as text: as a tree, small numbers would take twenty times as much. */
typedef struct found {
    tr_buf *out;
    uint64_t count, count_max;
} found;

static tr_code add_lines(found *rows, tr_str lines, tr_err *err)
{
    while (lines.len > 0) {
        const uint8_t *end = memchr(lines.at, '\n', lines.len);
        const size_t len = end == NULL ? lines.len : (size_t)(end - lines.at);
        if (rows->count++ > 0)
            TR_TRY(tr_buf_append(rows->out, tr_str_of(","), err));
        if (rows->count > rows->count_max)
            return TR_FAIL(err, TR_LIMIT,
                           "the result has more than %llu rows: with a LIMIT it may, or with "
                           "LIMIT 0",
                           (unsigned long long)rows->count_max);
        TR_TRY(tr_buf_append(rows->out, (tr_str){lines.at, len}, err));
        lines = tr_str_from(lines, end == NULL ? len : len + 1);
    }
    return TR_OK;
}

static tr_code take_rows(tr_query_active *active, found *rows, tr_err *err)
{
    size_t bytes = 0;
    TR_TRY(tr_buf_append(rows->out, tr_str_of("["), err));
    for (;;) {
        tr_query_answer answer;
        const char *state;
        TR_TRY(tr_query_next(active, &answer, &state, err));
        if (answer.kind == 'Z')
            return tr_buf_append(rows->out, tr_str_of("]"), err);
        bytes += answer.bytes.len;
        if (bytes > ROWS_BYTES_MAX)
            return TR_FAIL(err, TR_LIMIT, "the result has more than %d bytes", ROWS_BYTES_MAX);
        TR_TRY(add_lines(rows, answer.bytes, err));
    }
}

/* A plan's one column is no field of any schema. */
static tr_code describe_rows(const tr_query_text *text, const json_t *columns, json_t **out,
                             tr_err *err)
{
    const char *state;
    if (text->plan.explain == NULL)
        return tr_adhoc_properties(columns, out, &state, err);
    *out = json_pack("{s:{s:s,s:s}}", "QUERY PLAN", "type", "string", "meta:xdmType", "string");
    return *out == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a result") : TR_OK;
}

static tr_code run(tr_query_active *active, const tr_query_text *text, json_t **columns,
                   found *rows, tr_err *err)
{
    json_t *first = NULL;
    const char *state;
    tr_code code = tr_query_worker_start(active, "write", text, &first, &state, err);
    if (code == TR_OK)
        code = describe_rows(text, json_object_get(first, "columns"), columns, err);
    if (code == TR_OK)
        code = take_rows(active, rows, err);
    tr_query_worker_end(active);
    json_decref(first);
    return code;
}

/* A place among those that run at a time: each holds a thread of its caller. */
static tr_code enter(tr_query_jobs *jobs, tr_err *err)
{
    const uint32_t most = jobs->parts.now_max == 0 ? AT_A_TIME : jobs->parts.now_max;
    pthread_mutex_lock(&jobs->lock);
    const bool has_place = jobs->now_count < most;
    jobs->now_count += has_place;
    pthread_mutex_unlock(&jobs->lock);
    return has_place
               ? TR_OK
               : TR_FAIL(err, TR_BUSY, "%u accelerated queries run already: try again later", most);
}

static void leave(tr_query_jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->now_count--;
    pthread_mutex_unlock(&jobs->lock);
}

static uint64_t rows_max(const tr_query_jobs *jobs, const tr_query_text *text)
{
    const uint32_t most = jobs->parts.now_rows_max;
    return text->plan.is_limited ? UINT64_MAX : most > 0 ? most : TR_QUERY_ROWS_MAX;
}

tr_code tr_query_now(tr_query_jobs *jobs, const tr_tenant *tenant, const json_t *request,
                     json_t **columns, tr_buf *rows, tr_err *err)
{
    tr_arena arena = {0};
    tr_query_text text = {.temporary = NULL};
    const char *state;
    json_t *properties = NULL;
    found list = {.out = rows};
    const uint32_t limit_s = jobs->parts.now_deadline_s;
    tr_query_active here = {
        .jobs = jobs, .tenant = *tenant, .limit_s = limit_s == 0 ? DEADLINE_S : limit_s};
    TR_TRY(enter(jobs, err));
    tr_query_here_begin(&here);
    tr_code code = tr_query_read(jobs, tenant, request, &arena, &text, &state, err);
    if (code == TR_OK && (text.write.kind != TR_WRITE_NONE || text.is_block))
        code = TR_FAIL(err, TR_INVALID, "only a SELECT, or EXPLAIN, is answered at once");
    if (code == TR_OK) {
        list.count_max = rows_max(jobs, &text);
        code = run(&here, &text, &properties, &list, err);
    }
    tr_query_here_end(&here);
    leave(jobs);
    tr_arena_free(&arena);
    if (code == TR_OK)
        *columns = properties;
    else
        json_decref(properties);
    return code == TR_CANCELLED ? TR_FAIL(err, TR_BUSY, "the server is shutting down") : code;
}
