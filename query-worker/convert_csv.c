/* SPDX-License-Identifier: Apache-2.0 */
/* convert_csv.c - a CSV file as JSON lines: every cell a string, rows that cannot be cut as lines
 * that say why. DuckDB has no part in it.
 */
#include "base/limits.h"
#include "csv.h"
#include "out.h"
#include "worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

typedef struct csv_columns {
    tr_arena arena;
    tr_str *names;
    tr_str *keys; /* "name": escaped, with a comma in front of all but the first that is put */
    size_t count;
} csv_columns;

typedef struct conversion {
    tr_csv csv;
    csv_columns columns;
    tr_out out;
    tr_buf decoded; /* of one cell */
    tr_str null_marker;
    bool is_latin1;
    char problem[320];
} conversion;

/* One byte from an option of at most one character. */
static tr_code take_byte(const json_t *options, const char *key, const char *otherwise,
                         uint8_t *out, tr_err *err)
{
    const char *text = tr_json_text(options, key, otherwise);
    if (strcmp(text, "\\t") == 0)
        text = "\t";
    if (strlen(text) > 1 || (uint8_t)text[0] > 0x7f || text[0] == '\n' || text[0] == '\r')
        return TR_FAIL(err, TR_INVALID, "the option \"%s\" must be one ASCII character", key);
    *out = (uint8_t)text[0];
    return TR_OK;
}

static tr_code take_options(const json_t *options, conversion *c, tr_err *err)
{
    TR_TRY(take_byte(options, "delimiter", ",", &c->csv.delimiter, err));
    TR_TRY(take_byte(options, "quote", "\"", &c->csv.quote, err));
    TR_TRY(take_byte(options, "escape", "\\", &c->csv.escape, err));
    if (c->csv.delimiter == 0)
        return TR_FAIL(err, TR_INVALID, "the option \"delimiter\" is empty");
    if (c->csv.delimiter == c->csv.quote || c->csv.delimiter == c->csv.escape)
        return TR_FAIL(err, TR_INVALID, "the delimiter cannot be the quote or the escape, too");
    c->null_marker = tr_str_of(tr_json_text(options, "nullMarker", ""));
    const tr_str charset = tr_str_of(tr_json_text(options, "charset", "UTF-8"));
    c->is_latin1 = tr_str_equal_folded(charset, tr_str_of("ISO-8859-1"));
    if (!c->is_latin1 && !tr_str_equal_folded(charset, tr_str_of("UTF-8")) &&
        !tr_str_equal_folded(charset, tr_str_of("US-ASCII")))
        return TR_FAIL(err, TR_INVALID,
                       "the charset \"%.60s\" is not UTF-8, US-ASCII or ISO-8859-1",
                       tr_json_text(options, "charset", ""));
    return TR_OK;
}

/* The file that somebody meant to be CSV and that plainly is something else. */
static tr_code refuse_others(tr_str text, tr_err *err)
{
    static const struct {
        const char *magic;
        size_t len;
        const char *what;
    } others[] = {
        {"PAR1", 4, "a Parquet file"},       {"\x1f\x8b", 2, "compressed with gzip"},
        {"PK\x03\x04", 4, "a ZIP archive"},  {"\x28\xb5\x2f\xfd", 4, "compressed with zstd"},
        {"\xff\xfe", 2, "in UTF-16"},        {"\xfe\xff", 2, "in UTF-16"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (text.len >= others[i].len && memcmp(text.at, others[i].magic, others[i].len) == 0)
            return TR_FAIL(err, TR_INVALID, "the file is not CSV: it is %s", others[i].what);
    return TR_OK;
}

static tr_code map_input(tr_str *out, tr_err *err)
{
    struct stat info;
    if (fstat(TR_WORKER_INPUT_FD, &info) != 0 || !S_ISREG(info.st_mode))
        return TR_FAIL(err, TR_INVALID, "the input is not a regular file");
    *out = (tr_str){0};
    if (info.st_size == 0)
        return TR_OK;
    void *at = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, TR_WORKER_INPUT_FD, 0);
    if (at == MAP_FAILED)
        return TR_FAIL(err, TR_IO, "reading the file: %s", strerrordesc_np(errno));
    (void)madvise(at, (size_t)info.st_size, MADV_SEQUENTIAL);
    *out = (tr_str){at, (size_t)info.st_size};
    return TR_OK;
}

/* The value of a cell in UTF-8, borrowed until the next call. */
static tr_code value_of(conversion *c, const tr_csv_cell *cell, tr_str *out, tr_err *err)
{
    *out = cell->raw;
    if (!cell->has_escapes && !c->is_latin1)
        return TR_OK;
    c->decoded.len = 0;
    TR_TRY(tr_csv_decode(&c->csv, cell, &c->decoded, err));
    if (c->is_latin1) {
        const size_t len = c->decoded.len;
        TR_TRY(tr_buf_reserve(&c->decoded, 2 * len, err));
        uint8_t *to = c->decoded.at + len;
        for (size_t i = 0; i < len; i++) {
            const uint8_t byte = c->decoded.at[i];
            if (byte >= 0x80)
                *to++ = (uint8_t)(0xc0 | byte >> 6);
            *to++ = byte < 0x80 ? byte : (uint8_t)(0x80 | (byte & 0x3f));
        }
        *out = (tr_str){c->decoded.at + len, (size_t)(to - c->decoded.at) - len};
        return TR_OK;
    }
    *out = tr_buf_str(&c->decoded);
    return TR_OK;
}

static int by_name(const void *a, const void *b)
{
    return tr_str_compare(*(const tr_str *)a, *(const tr_str *)b);
}

static tr_code refuse_twins(const csv_columns *columns, tr_err *err)
{
    tr_str *sorted = tr_alloc_array(columns->count, sizeof *sorted);
    if (sorted == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a file");
    memcpy(sorted, columns->names, columns->count * sizeof *sorted);
    qsort(sorted, columns->count, sizeof *sorted, by_name);
    tr_code code = TR_OK;
    for (size_t i = 1; i < columns->count && code == TR_OK; i++)
        if (tr_str_equal(sorted[i - 1], sorted[i]))
            code = TR_FAIL(err, TR_INVALID, "the header names the column \"%.*s\" twice",
                           TR_STR_ARG(sorted[i]));
    tr_free(sorted);
    return code;
}

static tr_code set_column(conversion *c, size_t i, tr_str name, tr_err *err)
{
    csv_columns *columns = &c->columns;
    const size_t start = c->out.buf.len;
    if (name.len == 0)
        return TR_FAIL(err, TR_INVALID, "column %zu has no name in the header", i + 1);
    const bool is_utf8 = tr_put_json(&c->out, name);
    tr_put_byte(&c->out, ':');
    columns->names[i] = tr_arena_copy(&columns->arena, name);
    columns->keys[i] = tr_arena_copy(
        &columns->arena, (tr_str){c->out.buf.at + start, c->out.buf.len - start});
    tr_out_cut(&c->out, start);
    if (!is_utf8)
        return TR_FAIL(err, TR_INVALID, "the name of column %zu is not UTF-8", i + 1);
    if (columns->names[i].at == NULL || columns->keys[i].at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a file");
    return TR_OK;
}

static tr_code make_columns(conversion *c, size_t count, tr_err *err)
{
    if (count > TR_ROW_FIELDS_MAX)
        return TR_FAIL(err, TR_LIMIT, "%zu columns; the limit is %d", count, TR_ROW_FIELDS_MAX);
    c->columns.count = count;
    c->columns.names = tr_arena_array(&c->columns.arena, count, sizeof(tr_str));
    c->columns.keys = tr_arena_array(&c->columns.arena, count, sizeof(tr_str));
    if (c->columns.names == NULL || c->columns.keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a file");
    return TR_OK;
}

/* The first row is the header. */
static tr_code read_header(conversion *c, tr_err *err)
{
    tr_code code;
    if (!tr_csv_next(&c->csv, &code, err))
        return code != TR_OK ? code
                             : TR_FAIL(err, TR_INVALID, "the file is empty: a header was expected");
    if (c->csv.problem[0] != '\0')
        return TR_FAIL(err, TR_INVALID, "the header in line %llu: %s",
                       (unsigned long long)c->csv.line, c->csv.problem);
    TR_TRY(make_columns(c, c->csv.cell_count, err));
    for (size_t i = 0; i < c->columns.count; i++) {
        tr_str name;
        TR_TRY(value_of(c, c->csv.cells + i, &name, err));
        TR_TRY(set_column(c, i, name, err));
    }
    return refuse_twins(&c->columns, err);
}

/* No header: names come from the options, or are _c0, _c1, ... for as many as the first row has. */
static tr_code name_columns(conversion *c, const json_t *names, tr_err *err)
{
    tr_code code;
    tr_csv peek = c->csv;
    const bool has_row = json_array_size(names) == 0 && tr_csv_next(&peek, &code, err);
    const size_t count = has_row ? peek.cell_count : json_array_size(names);
    tr_csv_close(&peek);
    TR_TRY(make_columns(c, count, err));
    for (size_t i = 0; i < count; i++) {
        char made[32];
        (void)snprintf(made, sizeof made, "_c%zu", i);
        const char *given = json_string_value(json_array_get(names, i));
        TR_TRY(set_column(c, i, tr_str_of(given != NULL ? given : made), err));
    }
    return refuse_twins(&c->columns, err);
}

static void note(conversion *c, size_t column, const char *what)
{
    if (c->problem[0] == '\0')
        (void)snprintf(c->problem, sizeof c->problem, "column \"%.*s\": %s",
                       c->columns.names[column].len > 200 ? 200 : (int)c->columns.names[column].len,
                       (const char *)c->columns.names[column].at, what);
}

static tr_code put_cells(conversion *c, tr_err *err)
{
    bool is_first = true;
    tr_put_byte(&c->out, '{');
    for (size_t i = 0; i < c->columns.count; i++) {
        const tr_csv_cell *cell = c->csv.cells + i;
        tr_str value;
        if (!cell->is_quoted &&
            (cell->raw.len == 0 || tr_str_equal(cell->raw, c->null_marker)))
            continue;
        TR_TRY(value_of(c, cell, &value, err));
        if (!is_first)
            tr_put_byte(&c->out, ',');
        is_first = false;
        tr_put(&c->out, c->columns.keys[i].at, c->columns.keys[i].len);
        if (!tr_put_json(&c->out, value))
            note(c, i, "text that is not UTF-8");
        if (memchr(value.at, '\0', value.len) != NULL)
            note(c, i, "a NUL byte");
    }
    tr_put_text(&c->out, "}\n");
    return TR_OK;
}

/* Why the row is not a row, in c->problem; empty when it is one and has been put. */
static tr_code put_row(conversion *c, tr_err *err)
{
    const size_t start = c->out.buf.len;
    c->problem[0] = '\0';
    if (c->csv.problem[0] != '\0')
        (void)snprintf(c->problem, sizeof c->problem, "%s", c->csv.problem);
    else if (c->csv.cell_count != c->columns.count)
        (void)snprintf(c->problem, sizeof c->problem, "%zu cells; the header has %zu",
                       c->csv.cell_count, c->columns.count);
    else if (c->csv.row.len > TR_ROW_BYTES_MAX)
        (void)snprintf(c->problem, sizeof c->problem, "the row is longer than %d bytes",
                       TR_ROW_BYTES_MAX);
    if (c->problem[0] == '\0')
        TR_TRY(put_cells(c, err));
    if (c->out.failure == TR_LIMIT || c->out.buf.len - start > TR_ROW_BYTES_MAX)
        (void)snprintf(c->problem, sizeof c->problem, "the row is longer than %d bytes",
                       TR_ROW_BYTES_MAX);
    if (c->problem[0] != '\0') {
        tr_out_cut(&c->out, start);
        tr_put_corrupt(&c->out, c->csv.row, c->problem, c->csv.line);
    }
    return tr_out_line_end(&c->out, err);
}

static tr_code convert(conversion *c, const json_t *options, tr_verdict *verdict, tr_err *err)
{
    tr_code code;
    TR_TRY(take_options(options, c, err));
    TR_TRY(map_input(&c->csv.text, err));
    TR_TRY(refuse_others(c->csv.text, err));
    c->csv.cells_max = TR_ROW_FIELDS_MAX;
    if (tr_json_bool(options, "header", true))
        TR_TRY(read_header(c, err));
    else
        TR_TRY(name_columns(c, json_object_get(options, "columns"), err));
    while (tr_csv_next(&c->csv, &code, err)) {
        TR_TRY(put_row(c, err));
        verdict->rows++;
        verdict->bad_rows += c->problem[0] != '\0';
    }
    TR_TRY(code);
    return tr_out_flush(&c->out, err);
}

tr_code tr_convert_csv(const tr_request *request, tr_verdict *verdict, tr_err *err)
{
    conversion c = {0};
    tr_out_open(&c.out, TR_WORKER_RESULT_FD, request->bytes_max);
    const tr_code code = convert(&c, request->options, verdict, err);
    tr_out_close(&c.out);
    tr_buf_free(&c.decoded);
    tr_arena_free(&c.columns.arena);
    tr_csv_close(&c.csv);
    return code;
}
