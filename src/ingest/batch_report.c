/* SPDX-License-Identifier: Apache-2.0 */
/* batch_report.c - whether a batch lives with its bad rows, and what is told of them.
 *
 *     bad * 100 <= percent * rows      the good rows are ingested; errors are listed
 *     otherwise                        nothing is
 *
 * Diagnostics are files of the lake's batch "<batch>-diagnostics" (catalog/README.md):
 *
 *     row_errors__parsing_errors_0.json      rows that are not JSON, or not objects
 *     row_errors__conversion_errors_0.json   values that cannot be converted
 *     row_errors__validation_errors_0.json   values that break a rule
 *     row_errors__unknown_fields_0.json      fields that the schema lacks: they were left out
 *     unknown_namespaces.json                 namespaces that the org lacks: identities that
 *                                             never link
 *     failed__part-00000.json                all rejected rows
 *     input_files__fileMetaData1.json        the paths of the uploads
 */
#include "ingest/ingest_internal.h"
#include "ingest/row_internal.h"

enum { SHOWN_PATH_BYTES = 200 };

typedef enum report_file {
    REPORT_PARSING,
    REPORT_CONVERSION,
    REPORT_VALIDATION,
    REPORT_UNKNOWN,
    REPORT_IDENTITIES,
    REPORT_FAILED,
    REPORT_INPUT,
    REPORT_COUNT
} report_file;

static const char *const report_names[REPORT_COUNT] = {
    "row_errors__parsing_errors_0.json",    "row_errors__conversion_errors_0.json",
    "row_errors__validation_errors_0.json", "row_errors__unknown_fields_0.json",
    "unknown_namespaces.json",        "failed__part-00000.json",
    "input_files__fileMetaData1.json"};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to report bad rows");
}

/* ---- errors of the batch */

static const char *meaning_of(const char *code)
{
    static const char *const known[][2] = {
        {TR_ROW_CORRUPT, "rows cannot be parsed"},
        {TR_ROW_TYPE, "rows have a value that cannot be converted to the field's type"},
        {TR_ROW_ENUM, "rows have a value that is not one of the allowed ones"},
        {TR_ROW_FORMAT, "rows have a value that does not have the field's format"},
        {TR_ROW_RANGE, "rows have a value out of the field's bounds"},
        {TR_ROW_UNKNOWN, "rows have a field that the schema lacks"},
        {TR_ROW_REQUIRED, "rows lack a required field, or it is null"}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(code, known[i][0]) == 0)
            return known[i][1];
    return "rows cannot be ingested";
}

static const tr_bad_row *first_bad(const tr_batch_run *run)
{
    for (uint32_t b = 0; b < run->block_count; b++)
        if (run->results[b].bad != NULL)
            return run->results[b].bad;
    return NULL;
}

/* "; the first: file "a.json", row 7, column "x": ..." */
static tr_code describe_first(const tr_batch_run *run, tr_buf *out, tr_err *err)
{
    const tr_bad_row *bad = first_bad(run);
    if (bad == NULL)
        return TR_OK;
    const tr_str path = tr_row_cut(run->files[bad->file].path, SHOWN_PATH_BYTES);
    const char *column = tr_json_text(bad->why, "column", NULL);
    TR_TRY(tr_buf_format(out, err, "; the first: file \"%.*s\", row %llu", TR_STR_ARG(path),
                         (unsigned long long)bad->number));
    if (column != NULL)
        TR_TRY(tr_buf_format(out, err, ", column \"%s\"", column));
    return tr_buf_format(out, err, ": %s", tr_json_text(bad->why, "message", ""));
}

static tr_code add_error(tr_batch_run *run, const char *code, const tr_buf *text, int64_t count,
                         tr_err *err)
{
    char *description = tr_copy_text(tr_buf_str(text));
    if (description == NULL)
        return no_memory(err);
    const tr_code added = tr_batch_add_error(run->errors, code, description, count, err);
    tr_free(description);
    return added;
}

static tr_code add_head(tr_batch_run *run, bool is_alive, tr_err *err)
{
    const tr_block_result *total = &run->total;
    tr_buf text = {0};
    tr_code code =
        tr_buf_format(&text, err, "%llu of %llu rows rejected, %llu ingested",
                      (unsigned long long)total->rows_bad, (unsigned long long)total->rows_in,
                      (unsigned long long)(is_alive ? total->rows_good : 0));
    if (code == TR_OK && !is_alive && run->percent > 0)
        code = tr_buf_format(&text, err, " (%g %% may be rejected)", run->percent);
    if (code == TR_OK)
        code = run->has_diagnostics ? tr_buf_format(&text, err, "; see diagnostics")
                                    : tr_buf_format(&text, err, "; no diagnostics were collected");
    if (code == TR_OK)
        code = describe_first(run, &text, err);
    if (code == TR_OK)
        code = add_error(run, run->has_diagnostics ? "INGEST-1212-400" : "INGEST-1211-400", &text,
                         run->has_diagnostics ? (int64_t)total->rows_bad : -1, err);
    tr_buf_free(&text);
    return code;
}

static tr_code add_by_code(tr_batch_run *run, tr_err *err)
{
    const char *row_code;
    json_t *count;
    json_object_foreach (run->total.codes, row_code, count) {
        char code[32], text[200];
        (void)snprintf(code, sizeof code, "INGEST-%.8s-400", row_code);
        (void)snprintf(text, sizeof text, "%lld %s", (long long)json_integer_value(count),
                       meaning_of(row_code));
        TR_TRY(tr_batch_add_error(run->errors, code, text, json_integer_value(count), err));
    }
    return TR_OK;
}

/* Columns of a Parquet file must be in the schema; in JSON and CSV a field more is only a warning.
 * */
static tr_code check_columns(tr_batch_run *run, bool *is_alive, tr_err *err)
{
    const char *path;
    json_t *count;
    tr_buf text = {0};
    tr_code code = TR_OK;
    if (strcmp(run->format, "json") == 0)
        return TR_OK;
    json_object_foreach (run->total.unknown, path, count) {
        if (strncmp(path, TR_BOOKKEEPING, sizeof TR_BOOKKEEPING - 1) == 0 || code != TR_OK)
            continue; /* our own files may come back */
        code = tr_buf_format(&text, err, "%s\"%s\"",
                             text.len == 0
                                 ? "TypeCompatibilityException: the dataset's schema lacks the "
                                   "columns "
                                 : ", ",
                             path);
        if (text.len > 400)
            break;
    }
    if (code == TR_OK && text.len > 0) {
        *is_alive = false;
        code = add_error(run, "INGEST-" TR_ROW_UNKNOWN "-400", &text, -1, err);
    }
    tr_buf_free(&text);
    return code;
}

static tr_code decide(tr_batch_run *run, bool *is_alive, tr_err *err)
{
    const tr_block_result *total = &run->total;
    *is_alive = (double)total->rows_bad * 100 <= run->percent * (double)total->rows_in;
    if (total->rows_bad > 0) {
        TR_TRY(add_head(run, *is_alive, err));
        if (run->has_diagnostics)
            TR_TRY(add_by_code(run, err));
    }
    return check_columns(run, is_alive, err);
}

/* ---- diagnostics */

/* Any bytes as a JSON string; what is not UTF-8 becomes the replacement character. */
static json_t *any_text(tr_str text)
{
    tr_buf good = {0};
    tr_code code = TR_OK;
    size_t bad_at;
    while (code == TR_OK && !tr_str_is_utf8(text, &bad_at)) {
        code = tr_buf_append(&good, (tr_str){text.at, bad_at}, NULL);
        if (code == TR_OK)
            code = tr_buf_append(&good, tr_str_of("\xef\xbf\xbd"), NULL);
        text = tr_str_from(text, bad_at + 1);
    }
    if (code == TR_OK)
        code = tr_buf_append(&good, text, NULL);
    json_t *string = code == TR_OK ? tr_json_str(tr_buf_str(&good)) : NULL;
    tr_buf_free(&good);
    return string;
}

/* The rejected row with its errors; NULL: no memory. */
static json_t *report_line(const tr_batch_run *run, const tr_bad_row *bad)
{
    json_t *line = NULL;
    const bool is_corrupt = strcmp(tr_json_text(bad->why, "code", ""), TR_ROW_CORRUPT) == 0;
    if (bad->row.at != NULL && !is_corrupt && tr_json_parse(bad->row, &line, NULL) == TR_OK &&
        !json_is_object(line)) {
        json_decref(line);
        line = NULL;
    }
    if (line == NULL && bad->row.at != NULL)
        line = json_pack("{s:o}", "_corrupt_record", any_text(bad->row));
    else if (line == NULL)
        line = json_object();
    json_t *more = json_pack("{s:[O], s:o, s:I}", "_errors", bad->why, "_filename",
                             any_text(run->files[bad->file].path), "_row", (json_int_t)bad->number);
    if (line == NULL || more == NULL || json_object_update(line, more) != 0) {
        json_decref(line);
        line = NULL;
    }
    json_decref(more);
    return line;
}

static tr_code put_line(tr_buf *out, const json_t *line, tr_err *err)
{
    if (line == NULL)
        return no_memory(err);
    TR_TRY(tr_json_write(line, out, err));
    return tr_buf_append(out, tr_str_of("\n"), err);
}

static report_file kind_of(const tr_bad_row *bad)
{
    const char *code = tr_json_text(bad->why, "code", "");
    if (strcmp(code, TR_ROW_CORRUPT) == 0)
        return REPORT_PARSING;
    return strcmp(code, TR_ROW_TYPE) == 0 ? REPORT_CONVERSION : REPORT_VALIDATION;
}

static tr_code put_bad_rows(const tr_batch_run *run, tr_buf files[REPORT_COUNT], tr_err *err)
{
    uint32_t count = 0;
    for (uint32_t b = 0; b < run->block_count; b++)
        for (const tr_bad_row *bad = run->results[b].bad; bad != NULL; bad = bad->next) {
            if (count++ == TR_INGEST_DIAGNOSTICS_MAX)
                return TR_OK;
            json_t *line = report_line(run, bad);
            tr_code code = put_line(&files[kind_of(bad)], line, err);
            if (code == TR_OK)
                code = put_line(&files[REPORT_FAILED], line, err);
            json_decref(line);
            TR_TRY(code);
        }
    return TR_OK;
}

static tr_code put_unknown(const tr_batch_run *run, tr_buf *out, tr_err *err)
{
    const char *path;
    json_t *count;
    json_object_foreach (run->total.unknown, path, count) {
        json_t *line = json_pack("{s:s, s:O, s:s}", "column", path, "recordCount", count, "message",
                                 "the schema has no such field: it was left out");
        const tr_code code = put_line(out, line, err);
        json_decref(line);
        TR_TRY(code);
    }
    return TR_OK;
}

static tr_code put_namespaces(const tr_batch_run *run, tr_buf *out, tr_err *err)
{
    const char *name;
    json_t *count;
    json_object_foreach (run->total.unknown_namespaces, name, count) {
        json_t *line =
            json_pack("{s:s, s:O, s:s}", "namespace", name, "identityCount", count, "message",
                      "the org has no such namespace: its rows are kept, and its "
                      "identities are linked with no other");
        const tr_code code = put_line(out, line, err);
        json_decref(line);
        TR_TRY(code);
    }
    return TR_OK;
}

static tr_code put_inputs(const tr_batch_run *run, tr_buf *out, tr_err *err)
{
    for (uint32_t f = 0; f < run->file_count; f++) {
        json_t *line = json_pack("{s:o}", "path", any_text(run->files[f].path));
        const tr_code code = put_line(out, line, err);
        json_decref(line);
        TR_TRY(code);
    }
    return TR_OK;
}

static tr_code stage_file(tr_batch_run *run, const char *stage, const char *name,
                          const tr_buf *bytes, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    tr_lake_file file = {.file = TR_FILE_NONE};
    tr_lake_written written;
    TR_TRY(tr_lake_create(active->ingest->parts.lake, &active->tenant, stage, name, &file, err));
    tr_code code = tr_lake_write(&file, tr_buf_str(bytes), err);
    if (code == TR_OK)
        code = tr_lake_finish(&file, &written, err);
    tr_lake_abandon(&file);
    if (code == TR_OK &&
        json_array_append_new(run->diagnostics, json_pack("{s:s, s:I}", "name", name, "bytes",
                                                          (json_int_t)bytes->len)) != 0)
        code = no_memory(err);
    return code;
}

/* Stages all that is not empty, then publishes it as a batch that only the batch's list makes
 * readable. */
static tr_code publish_files(tr_batch_run *run, const tr_buf files[REPORT_COUNT], tr_err *err)
{
    const tr_ingest_active *active = run->active;
    tr_lake *lake = active->ingest->parts.lake;
    char folder[96];
    (void)snprintf(folder, sizeof folder, "%.64s-diagnostics", active->batch);
    TR_TRY(tr_lake_drop_stage(lake, &active->tenant, folder, err));
    TR_TRY(tr_lake_remove_batch(lake, &active->tenant, active->dataset, folder, err));
    for (int i = 0; i < REPORT_COUNT; i++)
        if (files[i].len > 0)
            TR_TRY(stage_file(run, folder, report_names[i], &files[i], err));
    if (json_array_size(run->diagnostics) == 0)
        return TR_OK;
    tr_crash_point("ingest_diagnostics_staged");
    TR_TRY(tr_lake_publish(lake, &active->tenant, folder, active->dataset, folder, err));
    tr_crash_point("ingest_diagnostics_published");
    return TR_OK;
}

static tr_code write_diagnostics(tr_batch_run *run, tr_err *err)
{
    tr_buf files[REPORT_COUNT] = {{0}};
    tr_code code = put_unknown(run, &files[REPORT_UNKNOWN], err);
    if (code == TR_OK && run->has_diagnostics)
        code = put_bad_rows(run, files, err);
    if (code == TR_OK && run->has_diagnostics)
        code = put_namespaces(run, &files[REPORT_IDENTITIES], err);
    if (code == TR_OK && run->has_diagnostics)
        code = put_inputs(run, &files[REPORT_INPUT], err);
    if (code == TR_OK)
        code = publish_files(run, files, err);
    for (int i = 0; i < REPORT_COUNT; i++)
        tr_buf_free(&files[i]);
    return code;
}

tr_code tr_batch_judge(tr_batch_run *run, tr_err *err)
{
    bool is_alive = true;
    TR_TRY(decide(run, &is_alive, err));
    TR_TRY(write_diagnostics(run, err));
    return is_alive ? TR_OK : TR_FAIL(err, TR_SEMANTIC, "too many rows are bad");
}
