/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_ingest.c - tributary ingest: files into a dataset, as one batch.
 *
 *     crm.json  [#########...............]  38.1 %  12.4 MB       (a terminal)
 *     crm.json  12,411,904 bytes                                   (a pipe)
 *
 * POST /batches, PUT each file (or, when large, its parts), COMPLETE; then it waits until the batch
 * is readable and prints what was wrong with which row. Progress goes to stderr; the summary, or
 * with --json the batch, to stdout.
 */
#include "app/bar.h"
#include "app/commands.h"
#include "app/remote.h"
#include "os/os.h"

#include <stdio.h>
#include <unistd.h>

#define IMPORT "/data/foundation/import/batches"
#define BATCHES "/data/foundation/catalog/batches"
#define META "/data/foundation/export/batches"

enum { POLL_US = 200 * 1000, PART_BYTES = 64 * 1024 * 1024, BAD_ROWS_SHOWN = 20 };

static const char usage[] =
    "usage: tributary ingest --dataset ID [--format json|csv|parquet] [--partial PERCENT] "
    "[--json]\n"
    "                        FILE...\n"
    "Uploads files as one batch of a dataset, and waits until the batch is readable. JSON is one "
    "object\n"
    "a line, or one array. All files are of one format, which their names tell unless --format "
    "does.\n"
    "  --partial PERCENT good rows go in while at most so many percent are bad; 0 unless given\n"
    "  --delimiter C --quote C --escape C --null TEXT         how a CSV is written\n"
    "  --json            the batch on stdout\n" TR_REMOTE_USAGE;

typedef struct options {
    tr_remote_options remote;
    const char *dataset, *format;
    const char *delimiter, *quote, *escape, *null_marker;
    uint32_t partial;
    bool is_json;
} options;

static const char *format_of(const char *path)
{
    static const char *const ends[][2] = {{".json", "json"},
                                          {".jsonl", "json"},
                                          {".ndjson", "json"},
                                          {".csv", "csv"},
                                          {".parquet", "parquet"}};
    const size_t len = strlen(path);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const size_t end = strlen(ends[i][0]);
        if (len > end && strcmp(path + len - end, ends[i][0]) == 0)
            return ends[i][1];
    }
    return NULL;
}

/* Sets o->format from the names. */
static tr_code find_format(options *o, int count, char **files, tr_err *err)
{
    for (int i = 0; o->format == NULL && i < count; i++) {
        const char *format = format_of(files[i]);
        if (format == NULL)
            return TR_FAIL(err, TR_INVALID, "%s: its name does not tell the format: give --format",
                           files[i]);
        if (i + 1 == count)
            o->format = format;
        else if (format_of(files[i + 1]) != format)
            return TR_FAIL(err, TR_INVALID, "%s and %s are of two formats: make two batches",
                           files[i], files[i + 1]);
    }
    for (int i = 0; i < count; i++)
        if (access(files[i], R_OK) != 0)
            return TR_FAIL(err, TR_INVALID, "%s: there is no such file, or it cannot be read",
                           files[i]);
    return TR_OK;
}

static void add_text(json_t *object, const char *name, const char *value)
{
    if (value != NULL)
        (void)json_object_set_new(object, name, json_string(value));
}

static json_t *body_of(const options *o)
{
    json_t *body = json_pack("{s:s, s:b, s:i, s:{s:s}}", "datasetId", o->dataset,
                             "enableErrorDiagnostics", 1, "partialIngestionPercentage",
                             (int)o->partial, "inputFormat", "format", o->format);
    json_t *format = json_object_get(body, "inputFormat");
    add_text(format, "delimiter", o->delimiter);
    add_text(format, "quote", o->quote);
    add_text(format, "escape", o->escape);
    add_text(format, "nullMarker", o->null_marker);
    return body;
}

/* One file on its way up. */
typedef struct sending {
    const char *name;
    uint64_t before, total; /* bytes of earlier parts, of all */
} sending;

static void show(void *ctx, uint64_t bytes)
{
    const sending *s = ctx;
    const double done = (double)(s->before + bytes);
    tr_bar_draw(s->name, s->total == 0 ? 1 : done / (double)s->total, "%.1f MB", done / 1e6);
}

static tr_code send_parts(tr_remote *remote, const char *path, tr_str bytes, sending *s,
                          tr_err *err)
{
    char action[1400], range[80];
    (void)snprintf(action, sizeof action, "%s?action=INITIALIZE", path);
    TR_TRY(tr_remote_call(remote, "POST", action, NULL, NULL, err));
    for (size_t from = 0; from < bytes.len; from += PART_BYTES) {
        const size_t len = bytes.len - from < PART_BYTES ? bytes.len - from : PART_BYTES;
        (void)snprintf(range, sizeof range, "bytes %zu-%zu/%zu", from, from + len - 1, bytes.len);
        s->before = from;
        const tr_remote_upload part = {.method = "PATCH",
                                       .path = path,
                                       .content_range = range,
                                       .bytes = {bytes.at + from, len},
                                       .progress = show,
                                       .ctx = s};
        TR_TRY(tr_remote_send(remote, &part, err));
    }
    (void)snprintf(action, sizeof action, "%s?action=COMPLETE", path);
    return tr_remote_call(remote, "POST", action, NULL, NULL, err);
}

/* number: files are read in the order of their names, and equal names must not meet. */
static tr_code send_file(tr_remote *remote, const options *o, const char *batch, const char *file,
                         int number, tr_err *err)
{
    char name[600], path[1300];
    tr_map map = {0};
    const char *slash = strrchr(file, '/');
    sending s = {.name = slash != NULL ? slash + 1 : file};
    TR_TRY(tr_remote_escape(tr_str_of(s.name), name, sizeof name, err));
    (void)snprintf(path, sizeof path, IMPORT "/%.100s/datasets/%.100s/files/%05d-%s", batch,
                   o->dataset, number, name);
    TR_TRY(tr_map_open(file, &map, err));
    s.total = map.bytes.len;
    const tr_remote_upload whole = {
        .method = "PUT", .path = path, .bytes = map.bytes, .progress = show, .ctx = &s};
    const tr_code code = map.bytes.len > PART_BYTES ? send_parts(remote, path, map.bytes, &s, err)
                                                    : tr_remote_send(remote, &whole, err);
    tr_map_close(&map);
    tr_bar_clear();
    if (code == TR_OK && !o->is_json)
        fprintf(stderr, "%s  %s bytes\n", s.name, tr_group_digits((int64_t)s.total).text);
    return code;
}

static bool is_over(const json_t *batch)
{
    static const char *const ends[] = {"success", "active",    "failure",  "failed",
                                       "aborted", "abandoned", "inactive", "deleted"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (strcmp(tr_json_text(batch, "status", ""), ends[i]) == 0)
            return true;
    return false;
}

/* *batch is replaced by its last state. */
static tr_code wait(tr_remote *remote, const char *id, json_t **batch, tr_err *err)
{
    char path[256];
    (void)snprintf(path, sizeof path, BATCHES "/%.100s", id);
    for (;;) {
        json_t *answer = NULL;
        TR_TRY(tr_remote_call(remote, "GET", path, NULL, &answer, err));
        json_decref(*batch);
        *batch = json_incref(json_object_get(answer, id));
        json_decref(answer);
        if (*batch == NULL)
            return TR_FAIL(err, TR_IO, "GET %s: the answer does not hold the batch", path);
        if (is_over(*batch))
            return TR_OK;
        usleep(POLL_US);
    }
}

/* Prints the bad rows of one file of diagnostics; how many there were. */
static size_t print_rows(tr_str lines, size_t shown)
{
    tr_json_cutter cutter = {.text = lines};
    size_t count = 0;
    tr_str line;
    while (tr_json_next_row(&cutter, &line)) {
        json_t *row = NULL, *error;
        size_t i;
        if (++count + shown > BAD_ROWS_SHOWN || tr_json_parse(line, &row, NULL) != TR_OK)
            continue;
        const json_int_t number = tr_json_int(row, "_row", 0);
        json_array_foreach (json_object_get(row, "_errors"), i, error) {
            fprintf(stderr, "  %s", tr_json_text(row, "_filename", ""));
            if (number > 0)
                fprintf(stderr, " row %lld", (long long)number);
            fprintf(stderr, "  %s  %s\n", tr_json_text(error, "code", ""),
                    tr_json_text(error, "message", ""));
        }
        json_decref(row);
    }
    return count;
}

static tr_code print_diagnostics(tr_remote *remote, const char *id, tr_err *err)
{
    char path[1024], name[600];
    json_t *list = NULL, *file;
    size_t i, shown = 0;
    (void)snprintf(path, sizeof path, META "/%.100s/meta?path=row_errors", id);
    TR_TRY(tr_remote_call(remote, "GET", path, NULL, &list, err));
    tr_code code = TR_OK;
    json_array_foreach (json_object_get(list, "data"), i, file) {
        tr_buf text = {.bytes_max = (size_t)1 << 30};
        code = tr_remote_escape(tr_str_of(tr_json_text(file, "name", "")), name, sizeof name, err);
        (void)snprintf(path, sizeof path, META "/%.100s/meta?path=row_errors%%2F%s", id, name);
        if (code == TR_OK)
            code = tr_remote_get(remote, path, &text, err);
        if (code == TR_OK)
            shown += print_rows(tr_buf_str(&text), shown);
        tr_buf_free(&text);
        if (code != TR_OK)
            break;
    }
    if (shown > BAD_ROWS_SHOWN)
        fprintf(stderr, "  and %zu rows more: GET " META "/%s/meta?path=row_errors\n",
                shown - BAD_ROWS_SHOWN, id);
    json_decref(list);
    return code;
}

/* Identities that link nobody are no error, but look like links that are missing: so they are told.
 * Of namespaces nobody named, or values that are nobody's ("null", say). */
static tr_code print_unlinked(tr_remote *remote, const char *id, json_int_t rows, tr_err *err)
{
    char path[256];
    tr_buf text = {.bytes_max = (size_t)1 << 26};
    tr_str line;
    bool is_first = true;
    fprintf(stderr, "note: identities of %s rows link nobody", tr_group_digits(rows).text);
    (void)snprintf(path, sizeof path, META "/%.100s/meta?path=unknown_namespaces.json", id);
    const tr_code code = tr_remote_get(remote, path, &text, err);
    tr_json_cutter cutter = {.text = tr_buf_str(&text)};
    while (code == TR_OK && tr_json_next_row(&cutter, &line)) {
        json_t *row = NULL;
        if (tr_json_parse(line, &row, NULL) == TR_OK)
            fprintf(stderr, "%s%s", is_first ? "; not among the org's namespaces: " : ", ",
                    tr_json_text(row, "namespace", ""));
        json_decref(row);
        is_first = false;
    }
    fprintf(stderr, "%s\n", is_first ? ": their values are blank, \"null\" or the like" : "");
    tr_buf_free(&text);
    return code == TR_NOT_FOUND ? TR_OK : code;
}

/* What went wrong goes to stderr, the result to stdout. */
static tr_code report(tr_remote *remote, const options *o, const char *id, const json_t *batch,
                      tr_err *err)
{
    size_t i;
    json_t *error;
    const json_t *metrics = json_object_get(batch, "metrics");
    const json_int_t rows =
        tr_json_int(batch, "recordCount", tr_json_int(metrics, "outputRecordCount", 0));
    const char *status = tr_json_text(batch, "status", "");
    const bool is_good = strcmp(status, "success") == 0 || strcmp(status, "active") == 0;
    json_array_foreach (json_object_get(batch, "errors"), i, error)
        fprintf(stderr, "%s  %s\n", tr_json_text(error, "code", ""),
                tr_json_text(error, "description", ""));
    if (json_array_size(json_object_get(batch, "errors")) > 0)
        TR_TRY(print_diagnostics(remote, id, err));
    if (o->is_json) {
        (void)json_dumpf(batch, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (is_good) {
        printf("batch %s: %s rows", id, tr_group_digits(rows).text);
        const json_int_t bad = tr_json_int(metrics, "failedRecordCount", 0);
        if (bad > 0)
            printf(", %s refused", tr_group_digits(bad).text);
        printf("\n");
        const json_int_t unlinked = tr_json_int(metrics, "invalidRecordsIdentity", 0);
        if (unlinked > 0)
            TR_TRY(print_unlinked(remote, id, unlinked, err));
    }
    return is_good ? TR_OK
                   : TR_FAIL(err, TR_SEMANTIC, "batch %s ended %s: nothing of it was taken", id,
                             status);
}

static tr_code run(const options *o, int count, char **files, tr_err *err)
{
    char path[256];
    tr_remote *remote = NULL;
    json_t *body = body_of(o), *batch = NULL;
    char id[128] = "";
    tr_code code = tr_remote_open(&o->remote, &remote, err);
    if (code == TR_OK)
        code = tr_remote_call(remote, "POST", IMPORT, body, &batch, err);
    if (code == TR_OK)
        (void)snprintf(id, sizeof id, "%s", tr_json_text(batch, "id", ""));
    for (int i = 0; i < count && code == TR_OK; i++)
        code = send_file(remote, o, id, files[i], i + 1, err);
    (void)snprintf(path, sizeof path, IMPORT "/%.100s?action=COMPLETE", id);
    if (code == TR_OK)
        code = tr_remote_call(remote, "POST", path, NULL, NULL, err);
    if (code == TR_OK)
        code = wait(remote, id, &batch, err);
    if (code == TR_OK)
        code = report(remote, o, id, batch, err);
    json_decref(batch);
    json_decref(body);
    tr_remote_close(remote);
    return code;
}

int tr_cmd_ingest(int argc, char **argv)
{
    options o = {0};
    tr_arena arena = {0};
    tr_err err = {0};
    int files;
    const tr_arg args[] = {TR_REMOTE_ARGS(o.remote),
                           {"dataset", TR_ARG_TEXT, &o.dataset},
                           {"format", TR_ARG_TEXT, &o.format},
                           {"delimiter", TR_ARG_TEXT, &o.delimiter},
                           {"quote", TR_ARG_TEXT, &o.quote},
                           {"escape", TR_ARG_TEXT, &o.escape},
                           {"null", TR_ARG_TEXT, &o.null_marker},
                           {"partial", TR_ARG_NUMBER, &o.partial},
                           {"json", TR_ARG_SWITCH, &o.is_json},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {
        .name = "ingest", .usage = usage, .args = args, .words_least = 1, .words_most = 25000};
    int status = tr_args_read(&command, argc, argv, &files);
    if (status != -1)
        return status;
    if (o.dataset == NULL)
        return tr_args_refuse(&command, "--dataset is missing");
    if (find_format(&o, files, argv + 1, &err) != TR_OK)
        return tr_args_refuse(&command, "%s", err.text);
    if (tr_remote_complete(&o.remote, &arena, &err) != TR_OK) {
        status = tr_args_refuse(&command, "%s", err.text);
    } else {
        status = run(&o, files, argv + 1, &err) != TR_OK;
        if (status != 0)
            fprintf(stderr, "tributary ingest: %s\n", err.text);
    }
    tr_arena_free(&arena);
    return status;
}
