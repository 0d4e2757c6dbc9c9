/* SPDX-License-Identifier: Apache-2.0 */
/* query.c - the door: requests for the worker, and the files and folders they need; see query.h. */
#include "query/query.h"
#include "base/limits.h"
#include "base/log.h"
#include "os/os.h"
#include "query_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct tr_query {
    char *worker_path;
    char *scratch_folder; /* NULL: queries cannot spill */
    uint32_t memory_mb, deadline_s, thread_count;
    bool is_confinement_required;
    tr_query_pool *pool;
    _Atomic bool has_warned;
};

/* "tributary-query" in the folder of the running binary; tr_free it. */
static char *find_worker(void)
{
    static const char name[] = "tributary-query";
    char path[4096];
    const ssize_t len = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    if (len <= 0)
        return tr_copy_text(tr_str_of(name));
    path[len] = '\0';
    char *slash = strrchr(path, '/');
    memcpy(slash == NULL ? path : slash + 1, name, sizeof name);
    return tr_copy_text(tr_str_of(path));
}

/* Removes the folders of a process that is no more: spill-<pid>-<n>, held-, room-. */
static tr_code sweep_one(void *ctx, const char *name, tr_err *err)
{
    const tr_query *query = ctx;
    char path[4096];
    int64_t pid;
    if (strncmp(name, "spill-", 6) != 0 && strncmp(name, "held-", 5) != 0 &&
        strncmp(name, "room-", 5) != 0)
        return TR_OK;
    const char *digits = strchr(name, '-') + 1, *end = strchr(digits, '-');
    if (end == NULL ||
        !tr_str_to_i64((tr_str){(const uint8_t *)digits, (size_t)(end - digits)}, &pid))
        return TR_OK;
    if (pid <= 0 || pid > INT32_MAX || kill((pid_t)pid, 0) == 0 || errno != ESRCH)
        return TR_OK;
    (void)snprintf(path, sizeof path, "%s/%s", query->scratch_folder, name);
    return tr_dir_remove(path, err);
}

tr_code tr_query_open(const tr_query_options *options, tr_query **out, tr_err *err)
{
    tr_query *query = tr_alloc_zeroed(1, sizeof *query);
    if (query == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the SQL worker's door");
    query->memory_mb = options->memory_mb > 0 ? options->memory_mb : 1024;
    query->deadline_s = options->deadline_s > 0 ? options->deadline_s : 600;
    query->thread_count = options->thread_count > 0 ? options->thread_count : 2;
    query->is_confinement_required = options->is_confinement_required;
    query->worker_path = options->worker_path != NULL
                             ? tr_copy_text(tr_str_of(options->worker_path))
                             : find_worker();
    tr_code code = TR_OK;
    if (options->scratch_folder != NULL) {
        query->scratch_folder = tr_copy_text(tr_str_of(options->scratch_folder));
        code =
            query->scratch_folder == NULL ? TR_NO_MEMORY : tr_dir_make(query->scratch_folder, err);
    }
    if (query->worker_path == NULL || code == TR_NO_MEMORY)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the SQL worker's door");
    if (code == TR_OK && query->scratch_folder != NULL)
        code = tr_dir_list(query->scratch_folder, sweep_one, query, err);
    if (code == TR_OK)
        code = tr_query_pool_open(query, options->workers_max, &query->pool, err);
    if (code == TR_OK && access(query->worker_path, X_OK) != 0)
        tr_log(TR_LOG_WARN, "query", "worker_missing",
               "hint=\"foreign Parquet, CSV and SQL need tributary-query: make setup\"");
    if (code != TR_OK)
        tr_query_close(query);
    else
        *out = query;
    return code;
}

void tr_query_close(tr_query *query)
{
    if (query == NULL)
        return;
    tr_query_pool_close(query->pool);
    tr_free(query->worker_path);
    tr_free(query->scratch_folder);
    tr_free(query);
}

/* Adds what every request has and runs it; `request` is taken. */
static tr_code run(tr_query *query, json_t *request, tr_worker_run *worker, uint64_t bytes_max,
                   tr_err *err)
{
    const int64_t cpu_s = (int64_t)query->deadline_s * query->thread_count + 5;
    tr_buf text = {0};
    json_t *verdict = NULL;
    json_t *common =
        json_pack("{s:I,s:I,s:I,s:I,s:b}", "bytes_max", (json_int_t)bytes_max, "memory_mb",
                  (json_int_t)query->memory_mb, "threads", (json_int_t)query->thread_count, "cpu_s",
                  (json_int_t)cpu_s, "confinement_required", query->is_confinement_required);
    tr_code code = TR_OK;
    if (request == NULL || common == NULL || json_object_update(request, common) != 0)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a request to the SQL worker");
    if (code == TR_OK)
        code = tr_json_write(request, &text, err);
    if (code == TR_OK) {
        worker->path = query->worker_path;
        worker->request = tr_buf_str(&text);
        worker->deadline_s = query->deadline_s;
        code = tr_worker(worker, &verdict, err);
    }
    if (code == TR_OK && !tr_json_bool(verdict, "confined", false) &&
        !atomic_exchange(&query->has_warned, true))
        tr_log(TR_LOG_WARN, "query", "worker_unconfined",
               "hint=\"this kernel has no Landlock: the worker can open what the server can\"");
    json_decref(verdict);
    json_decref(common);
    json_decref(request);
    tr_buf_free(&text);
    return code;
}

void tr_query_note_kept(tr_code code)
{
    if (code != TR_OK)
        tr_log(TR_LOG_WARN, "query", "scratch_kept", "code=%d", (int)code);
}

static tr_code open_input(const char *path, int *out, uint64_t *bytes, tr_err *err)
{
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT)
        return TR_FAIL(err, TR_NOT_FOUND, "the input file is not there");
    if (fd < 0)
        return TR_FAIL(err, TR_IO, "opening the input file: %s", strerrordesc_np(errno));
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        (void)close(fd);
        return TR_FAIL(err, TR_INVALID, "the input is not a regular file");
    }
    *out = fd;
    *bytes = (uint64_t)info.st_size;
    return TR_OK;
}

tr_code tr_query_convert(tr_query *query, const json_t *options, const char *in_path,
                         const char *out_path, tr_err *err)
{
    tr_file file = TR_FILE_NONE;
    int input_fd = -1;
    uint64_t bytes = 0;
    const char *format = tr_json_text(options, "format", "");
    if (strcmp(format, "parquet") != 0 && strcmp(format, "csv") != 0)
        return TR_FAIL(err, TR_INVALID, "the format \"%.40s\" is neither parquet nor csv", format);
    TR_TRY(open_input(in_path, &input_fd, &bytes, err));
    tr_code code = tr_file_replace(out_path, &file, err);
    if (code == TR_OK) {
        tr_worker_run worker = {.input_fd = input_fd, .result_fd = file.fd};
        code =
            run(query,
                json_pack("{s:s,s:s,s:O}", "do", "convert", "format", format, "options", options),
                &worker, TR_CONVERT_BYTES_LEAST + TR_CONVERT_RATIO_MAX * bytes, err);
        tr_file_close(&file);
        if (code != TR_OK)
            tr_query_note_kept(tr_file_remove(out_path, NULL)); /* half a conversion is none */
    }
    (void)close(input_fd);
    return code;
}

tr_code tr_query_make_folder(const char *scratch_folder, const char *kind, char **out, tr_err *err)
{
    static _Atomic uint64_t count; /* of all doors: two may share a scratch folder */
    char made[4096];
    const int len = snprintf(made, sizeof made, "%s/%s-%d-%llu", scratch_folder, kind, getpid(),
                             (unsigned long long)atomic_fetch_add(&count, 1));
    if (len < 0 || (size_t)len >= sizeof made)
        return TR_FAIL(err, TR_LIMIT, "the scratch folder's name is too long");
    char *path = tr_copy_text(tr_str_of(made));
    if (path == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a query");
    const tr_code code = tr_dir_make(path, err);
    if (code == TR_OK)
        *out = path;
    else
        tr_free(path);
    return code;
}

tr_code tr_query_make_room(tr_query *query, char **out, tr_err *err)
{
    return query->scratch_folder == NULL
               ? TR_FAIL(err, TR_SEMANTIC, "temporary tables need a scratch folder")
               : tr_query_make_folder(query->scratch_folder, "room", out, err);
}

/* A folder of its own that the worker may fill; *path is returned (tr_free), NULL when there is
 * none. */
static tr_code make_spill(const tr_query *query, char **path, tr_err *err)
{
    *path = NULL;
    return query->scratch_folder == NULL
               ? TR_OK
               : tr_query_make_folder(query->scratch_folder, "spill", path, err);
}

/* Sessions ------------------------------------------------------------------------------------ */

/* The processor time of a whole session; the deadline of each statement is the server's. */
enum { SESSION_CPU_S = 24 * 3600 };

tr_code tr_query_session_request(tr_query *query, tr_query_hold *hold, char **spill, tr_buf *out,
                                 tr_err *err)
{
    if (query->scratch_folder == NULL)
        return TR_FAIL(err, TR_SEMANTIC, "a session of the SQL worker needs a scratch folder");
    TR_TRY(make_spill(query, spill, err));
    TR_TRY(tr_query_hold_open(query->scratch_folder, hold, err));
    json_t *request = json_pack(
        "{s:s,s:s,s:s?,s:I,s:I,s:I,s:I,s:I,s:b}", "do", "session", "folder", hold->folder, "spill",
        *spill, "spill_bytes_max", (json_int_t)TR_SPILL_BYTES_MAX, "bytes_max",
        (json_int_t)TR_SPILL_BYTES_MAX, "memory_mb", (json_int_t)query->memory_mb, "threads",
        (json_int_t)query->thread_count, "cpu_s", (json_int_t)SESSION_CPU_S,
        "confinement_required", query->is_confinement_required);
    const tr_code code = request == NULL
                             ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a session")
                             : tr_json_write(request, out, err);
    json_decref(request);
    return code;
}

const char *tr_query_worker_path(const tr_query *query)
{
    return query->worker_path;
}

tr_query_pool *tr_query_pool_of(tr_query *query)
{
    return query->pool;
}

uint32_t tr_query_deadline_s(const tr_query *query)
{
    return query->deadline_s;
}

void tr_query_drop_spill(char *spill)
{
    if (spill != NULL)
        tr_query_note_kept(tr_dir_remove(spill, NULL));
    tr_free(spill);
}

/* Whether the tables' files can be held without copying them: they are where the scratch is. */
static bool is_near(const tr_query *query, const json_t *tables)
{
    const char *name;
    const json_t *table;
    struct stat scratch, file;
    if (query->scratch_folder == NULL || stat(query->scratch_folder, &scratch) != 0)
        return false;
    json_object_foreach ((json_t *)(uintptr_t)tables, name, table) {
        const json_t *files = json_is_object(table) ? json_object_get(table, "files") : table;
        const char *path = json_string_value(json_array_get(files, 0));
        if (path != NULL)
            return stat(path, &file) == 0 && file.st_dev == scratch.st_dev;
    }
    return false;
}

static tr_code run_select(tr_query *query, const json_t *tables, tr_str sql, const char *format,
                          tr_worker_run *worker, tr_err *err)
{
    char *spill = NULL;
    if (sql.len > TR_SQL_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "a statement of %zu bytes; the limit is %d", sql.len,
                       TR_SQL_BYTES_MAX);
    json_t *text = tr_json_str(sql);
    if (text == NULL || memchr(sql.at, '\0', sql.len) != NULL) {
        json_decref(text);
        return TR_FAIL(err, TR_INVALID, "the statement is not UTF-8 text");
    }
    tr_query_hold hold = {0};
    json_t *held = NULL;
    tr_code code = make_spill(query, &spill, err);
    if (code == TR_OK && is_near(query, tables)) {
        code = tr_query_hold_open(query->scratch_folder, &hold, err);
        if (code == TR_OK)
            code = tr_query_hold_tables(&hold, tables, &held, err);
    }
    if (code == TR_OK) {
        const json_int_t spill_bytes_max = (json_int_t)TR_SPILL_BYTES_MAX;
        json_t *request =
            json_pack("{s:s,s:s,s:O,s:O,s:s?,s:I}", "do", "select", "format", format, "tables",
                      held != NULL ? held : tables, "sql", text, "spill", spill,
                      "spill_bytes_max", spill_bytes_max);
        code = run(query, request, worker, worker->bytes_max, err);
    }
    json_decref(held);
    tr_query_hold_close(&hold);
    tr_query_drop_spill(spill);
    json_decref(text);
    return code;
}

tr_code tr_query_select(tr_query *query, const json_t *tables, tr_str sql, const char *format,
                        size_t bytes_max, tr_buf *out, tr_err *err)
{
    const size_t start = out->len;
    tr_worker_run worker = {
        .input_fd = -1, .result_fd = -1, .result = out, .bytes_max = bytes_max};
    const tr_code code = run_select(query, tables, sql, format, &worker, err);
    if (code != TR_OK)
        out->len = start;
    return code;
}

tr_code tr_query_select_file(tr_query *query, const json_t *tables, tr_str sql, const char *format,
                             const char *out_path, tr_err *err)
{
    tr_file file = TR_FILE_NONE;
    TR_TRY(tr_file_replace(out_path, &file, err));
    tr_worker_run worker = {
        .input_fd = -1, .result_fd = file.fd, .bytes_max = TR_SPILL_BYTES_MAX};
    const tr_code code = run_select(query, tables, sql, format, &worker, err);
    tr_file_close(&file);
    if (code != TR_OK)
        tr_query_note_kept(tr_file_remove(out_path, NULL)); /* half a result is none */
    return code;
}
