/* SPDX-License-Identifier: Apache-2.0 */
/* csv.c - see csv.h. */
#include "csv.h"

#include <stdio.h>

static bool is_line_end(const tr_csv *csv, size_t at)
{
    return at < csv->text.len && (csv->text.at[at] == '\n' || csv->text.at[at] == '\r');
}

/* Behind the line end at `at`: CRLF is one. */
static size_t past_line_end(const tr_csv *csv, size_t at)
{
    const uint8_t *text = csv->text.at;
    return text[at] == '\r' && at + 1 < csv->text.len && text[at + 1] == '\n' ? at + 2 : at + 1;
}

/* The line end at or behind `at`, or the end of the text. */
static size_t find_line_end(const tr_csv *csv, size_t at)
{
    while (at < csv->text.len && !is_line_end(csv, at))
        at++;
    return at;
}

static bool is_escaped_at(const tr_csv *csv, size_t at)
{
    const uint8_t *text = csv->text.at;
    if (at + 1 >= csv->text.len)
        return false;
    if (text[at] == csv->escape && csv->escape != 0 &&
        (text[at + 1] == csv->quote || (text[at + 1] == csv->escape && csv->escape != csv->quote)))
        return true;
    return text[at] == csv->quote && text[at + 1] == csv->quote;
}

static bool keep_cell(tr_csv *csv, tr_csv_cell cell)
{
    if (csv->cell_count < csv->cells_max) {
        if (csv->cell_count == csv->cells_cap) {
            const size_t cap = csv->cells_cap == 0 ? 64 : csv->cells_cap * 2;
            tr_csv_cell *grown = tr_grow_array(csv->cells, cap, sizeof *grown);
            if (grown == NULL)
                return false;
            csv->cells = grown;
            csv->cells_cap = cap;
        }
        csv->cells[csv->cell_count] = cell;
    }
    csv->cell_count++;
    return true;
}

/* The closing quote of the cell that opens before `at`, or the end of the text. Counts lines. */
static size_t find_closing(tr_csv *csv, size_t at, bool *has_escapes)
{
    const uint8_t *text = csv->text.at;
    while (at < csv->text.len) {
        if (is_escaped_at(csv, at)) {
            *has_escapes = true;
            at += 2;
            continue;
        }
        if (text[at] == csv->quote)
            return at;
        if (is_line_end(csv, at)) {
            csv->line_at++;
            at = past_line_end(csv, at);
            continue;
        }
        at++;
    }
    return csv->text.len;
}

/* The row cannot be cut: it ends at `end`, and reading goes on behind that line. */
static void give_up(tr_csv *csv, size_t start, size_t end, const char *why)
{
    csv->row = (tr_str){csv->text.at + start, end - start};
    (void)snprintf(csv->problem, sizeof csv->problem, "cell %zu: %s", csv->cell_count + 1, why);
    csv->at = end < csv->text.len ? past_line_end(csv, end) : end;
    csv->line_at++;
}

typedef enum cut { CUT_MORE, CUT_ROW_DONE, CUT_BROKEN, CUT_NO_MEMORY } cut;

/* What stands at the end of a cell decides whether the row goes on. */
static cut after_cell(tr_csv *csv, size_t end, size_t start)
{
    if (end < csv->text.len && csv->text.at[end] == csv->delimiter) {
        csv->at = end + 1;
        return CUT_MORE;
    }
    csv->row = (tr_str){csv->text.at + start, end - start};
    csv->at = end < csv->text.len ? past_line_end(csv, end) : end;
    csv->line_at++;
    return CUT_ROW_DONE;
}

static cut cut_quoted(tr_csv *csv, size_t start)
{
    const size_t open = csv->at;
    const uint64_t line_of_open = csv->line_at;
    tr_csv_cell cell = {.is_quoted = true};
    const size_t close = find_closing(csv, open + 1, &cell.has_escapes);
    if (close == csv->text.len) {
        const size_t end = find_line_end(csv, open);
        csv->line_at = line_of_open;
        give_up(csv, start, end, "its quote is never closed");
        return CUT_BROKEN;
    }
    const size_t end = close + 1;
    if (end < csv->text.len && csv->text.at[end] != csv->delimiter && !is_line_end(csv, end)) {
        give_up(csv, start, find_line_end(csv, end), "text behind its closing quote");
        return CUT_BROKEN;
    }
    cell.raw = (tr_str){csv->text.at + open + 1, close - open - 1};
    return keep_cell(csv, cell) ? after_cell(csv, end, start) : CUT_NO_MEMORY;
}

static cut cut_plain(tr_csv *csv, size_t start)
{
    const uint8_t *text = csv->text.at;
    size_t end = csv->at;
    while (end < csv->text.len && text[end] != csv->delimiter && text[end] != '\n' &&
           text[end] != '\r')
        end++;
    const tr_csv_cell cell = {.raw = {text + csv->at, end - csv->at}};
    return keep_cell(csv, cell) ? after_cell(csv, end, start) : CUT_NO_MEMORY;
}

bool tr_csv_next(tr_csv *csv, tr_code *code, tr_err *err)
{
    *code = TR_OK;
    if (csv->at == 0 && csv->line_at == 0) {
        csv->line_at = 1;
        if (csv->text.len >= 3 && memcmp(csv->text.at, "\xef\xbb\xbf", 3) == 0)
            csv->at = 3;
    }
    while (is_line_end(csv, csv->at)) {
        csv->at = past_line_end(csv, csv->at);
        csv->line_at++;
    }
    if (csv->at >= csv->text.len)
        return false;
    const size_t start = csv->at;
    csv->cell_count = 0;
    csv->problem[0] = '\0';
    csv->line = csv->line_at;
    cut state = CUT_MORE;
    while (state == CUT_MORE) {
        const bool is_quoted =
            csv->quote != 0 && csv->at < csv->text.len && csv->text.at[csv->at] == csv->quote;
        state = is_quoted ? cut_quoted(csv, start) : cut_plain(csv, start);
    }
    if (state == CUT_NO_MEMORY)
        *code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the cells of a row");
    return state != CUT_NO_MEMORY;
}

tr_code tr_csv_decode(const tr_csv *csv, const tr_csv_cell *cell, tr_buf *out, tr_err *err)
{
    const tr_csv inside = {.text = cell->raw, .quote = csv->quote, .escape = csv->escape};
    TR_TRY(tr_buf_reserve(out, cell->raw.len, err));
    for (size_t i = 0; i < cell->raw.len; i++) {
        if (cell->is_quoted && is_escaped_at(&inside, i))
            i++;
        out->at[out->len++] = cell->raw.at[i];
    }
    return TR_OK;
}

void tr_csv_close(tr_csv *csv)
{
    tr_free(csv->cells);
    csv->cells = NULL;
}
