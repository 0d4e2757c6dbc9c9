/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - see table.h. What a terminal would obey (escape sequences, marks that turn the
 * direction of text) is shown as \u....; long cells are cut, for csv and json have them whole.
 */
#include "table.h"

#include <stdio.h>

enum { CELL_WIDTH_MAX = 80 };

void tr_table_open(tr_table *table, uint64_t bytes_max)
{
    *table = (tr_table){0};
    tr_out_open(&table->text, -1, bytes_max);
    table->text.buf.bytes_max = bytes_max < SIZE_MAX / 2 ? (size_t)bytes_max + 4096 : SIZE_MAX / 2;
}

void tr_table_close(tr_table *table)
{
    tr_out_close(&table->text);
    tr_free(table->cells);
    table->cells = NULL;
}

/* The code point that starts here, and its length; the text is UTF-8. */
static uint32_t code_point(const uint8_t *at, size_t *len)
{
    if (at[0] < 0x80) {
        *len = 1;
        return at[0];
    }
    *len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    uint32_t point = at[0] & (0x7fU >> *len);
    for (size_t i = 1; i < *len; i++)
        point = point << 6 | (at[i] & 0x3f);
    return point;
}

typedef struct range {
    uint32_t from, to;
} range;

static bool is_in(uint32_t point, const range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (point >= ranges[i].from && point <= ranges[i].to)
            return true;
    return false;
}

static bool is_obeyed(uint32_t point)
{
    static const range ranges[] = {
        {0, 0x1f}, {0x7f, 0x9f}, {0x200e, 0x200f}, {0x2028, 0x202e}, {0x2066, 0x2069}};
    return is_in(point, ranges, sizeof ranges / sizeof ranges[0]);
}

/* Columns of a terminal: the wide ranges are those of East Asian scripts and emoji. */
static uint32_t width_of(uint32_t point)
{
    static const range none[] = {
        {0x300, 0x36f}, {0x200b, 0x200d}, {0x20d0, 0x20f0}, {0xfe00, 0xfe0f}};
    static const range wide[] = {{0x1100, 0x115f},  {0x2e80, 0x303e}, {0x3041, 0xa4cf},
                                 {0xac00, 0xd7a3},  {0xf900, 0xfaff}, {0xfe30, 0xfe6f},
                                 {0xff00, 0xff60},  {0xffe0, 0xffe6}, {0x1f300, 0x1faff},
                                 {0x20000, 0x3fffd}};
    if (is_in(point, none, sizeof none / sizeof none[0]))
        return 0;
    return is_in(point, wide, sizeof wide / sizeof wide[0]) ? 2 : 1;
}

/* Turns what stands behind `from` in the text into a cell. */
static tr_code add_cell(tr_table *table, tr_str value, tr_err *err)
{
    if (table->count == table->cap) {
        const size_t cap = table->cap == 0 ? 256 : table->cap * 2;
        tr_table_cell *grown = tr_grow_array(table->cells, cap, sizeof *grown);
        if (grown == NULL)
            return TR_FAIL(err, TR_LIMIT, "the table is too large for its memory");
        table->cells = grown;
        table->cap = cap;
    }
    const size_t from = table->text.buf.len;
    uint32_t width = 0;
    for (size_t i = 0, len; i < value.len; i += len) {
        const uint32_t point = code_point(value.at + i, &len);
        if (width + 6 > CELL_WIDTH_MAX && value.len - i > 6) {
            tr_put_text(&table->text, "...");
            width += 3;
            break;
        }
        char escaped[16];
        if (is_obeyed(point)) {
            width += (uint32_t)snprintf(escaped, sizeof escaped, point == '\n' ? "\\n" : "\\u%04x",
                                        point);
            tr_put_text(&table->text, escaped);
        } else {
            width += width_of(point);
            tr_put(&table->text, value.at + i, len);
        }
    }
    if (table->text.failure != TR_OK || table->text.buf.len > table->text.bytes_max)
        return TR_FAIL(err, TR_LIMIT, "the result is larger than %llu bytes",
                       (unsigned long long)table->text.bytes_max);
    table->cells[table->count++] =
        (tr_table_cell){from, (uint32_t)(table->text.buf.len - from), width};
    return TR_OK;
}

tr_code tr_table_add_header(tr_table *table, const tr_rows *rows, tr_err *err)
{
    for (size_t i = 0; i < rows->column_count; i++)
        TR_TRY(add_cell(table, tr_rows_name(rows, i), err));
    return TR_OK;
}

tr_code tr_table_add_row(tr_table *table, tr_rows *rows, uint64_t row, tr_err *err)
{
    tr_out value;
    tr_code code = TR_OK;
    tr_out_open(&value, -1, UINT64_MAX);
    for (size_t i = 0; i < rows->column_count && code == TR_OK; i++) {
        value.buf.len = 0;
        if (!tr_rows_is_null(rows, i, row))
            tr_rows_put_plain(rows, i, row, &value);
        if (value.failure != TR_OK)
            code = TR_FAIL(err, value.failure, "a cell of the result is too large");
        else
            code = add_cell(table, tr_buf_str(&value.buf), err);
    }
    tr_out_close(&value);
    table->row_count++;
    return code;
}

static void put_filled(tr_out *out, size_t count, char fill)
{
    for (size_t i = 0; i < count; i++)
        tr_put_byte(out, (uint8_t)fill);
}

static void put_line(const tr_table *table, const tr_rows *rows, const uint32_t *widths,
                     uint64_t line, tr_out *out)
{
    for (size_t i = 0; i < rows->column_count; i++) {
        const tr_table_cell *cell = table->cells + line * rows->column_count + i;
        const bool is_right = line > 0 && tr_rows_is_number(rows, i);
        const bool is_last = i + 1 == rows->column_count;
        tr_put_text(out, i == 0 ? " " : " | ");
        if (is_right)
            put_filled(out, widths[i] - cell->width, ' ');
        tr_put(out, table->text.buf.at + cell->from, cell->len);
        if (!is_right && !is_last)
            put_filled(out, widths[i] - cell->width, ' ');
    }
    tr_put_byte(out, '\n');
}

tr_code tr_table_put(const tr_table *table, const tr_rows *rows, tr_out *out, tr_err *err)
{
    const size_t columns = rows->column_count;
    uint32_t *widths = tr_alloc_zeroed(columns, sizeof *widths);
    if (widths == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a table");
    for (size_t i = 0; i < table->count; i++)
        if (table->cells[i].width > widths[i % columns])
            widths[i % columns] = table->cells[i].width;
    tr_code code = TR_OK;
    for (uint64_t line = 0; line <= table->row_count && code == TR_OK; line++) {
        put_line(table, rows, widths, line, out);
        for (size_t i = 0; i < columns && line == 0; i++) {
            tr_put_text(out, i == 0 ? "-" : "-+-");
            put_filled(out, widths[i], '-');
        }
        if (line == 0)
            tr_put_text(out, "-\n");
        code = tr_out_line_end(out, err);
    }
    tr_free(widths);
    char count[48];
    (void)snprintf(count, sizeof count, "(%llu row%s)\n", (unsigned long long)table->row_count,
                   table->row_count == 1 ? "" : "s");
    tr_put_text(out, count);
    return code;
}
