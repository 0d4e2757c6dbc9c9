/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - rows as JSON; see rows.h. cells.c makes the tree that is walked here. */
#include "rows_internal.h"

#include <math.h>
#include <stdio.h>

void tr_cell_problem(tr_rows *rows, const tr_cell *cell, const char *what)
{
    if (rows->problem[0] == '\0')
        (void)snprintf(rows->problem, sizeof rows->problem, "%.200s: %s",
                       (const char *)cell->path.at, what);
}

static inline bool is_null(const tr_cell *cell, uint64_t row)
{
    return cell->validity != NULL && (cell->validity[row / 64] >> (row % 64) & 1) == 0;
}

static void put_cell(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    if (is_null(cell, row))
        tr_put_text(out, "null");
    else
        cell->put(rows, cell, row, out);
}

/* Numbers. */

#define PUT_INTEGER(name, type, put)                                                    \
    void tr_cell_put_##name(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out) \
    {                                                                                   \
        (void)rows;                                                                     \
        put(out, ((const type *)cell->data)[row]);                                      \
    }

PUT_INTEGER(i8, int8_t, tr_put_i64)
PUT_INTEGER(i16, int16_t, tr_put_i64)
PUT_INTEGER(i32, int32_t, tr_put_i64)
PUT_INTEGER(i64, int64_t, tr_put_i64)
PUT_INTEGER(u8, uint8_t, tr_put_u64)
PUT_INTEGER(u16, uint16_t, tr_put_u64)
PUT_INTEGER(u32, uint32_t, tr_put_u64)
PUT_INTEGER(u64, uint64_t, tr_put_u64)

void tr_cell_put_bool(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    (void)rows;
    tr_put_text(out, ((const bool *)cell->data)[row] ? "true" : "false");
}

static tr_i128 wide(duckdb_hugeint value)
{
    return (tr_i128)((tr_u128)(uint64_t)value.upper << 64 | value.lower);
}

/* Integers of more than 64 bits: strict readers of JSON take them only as what they would make of
 * them anyway, a double. */
static void put_wide(const tr_rows *rows, tr_i128 value, tr_out *out)
{
    tr_put_i128(out, value);
    if (!rows->is_lenient && (value > UINT64_MAX || value < INT64_MIN))
        tr_put_text(out, ".0");
}

void tr_cell_put_i128(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    put_wide(rows, wide(((const duckdb_hugeint *)cell->data)[row]), out);
}

void tr_cell_put_u128(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    const duckdb_uhugeint value = ((const duckdb_uhugeint *)cell->data)[row];
    tr_put_u128(out, (tr_u128)value.upper << 64 | value.lower, false);
    if (!rows->is_lenient && value.upper > 0)
        tr_put_text(out, ".0");
}

void tr_cell_put_decimal(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    tr_i128 unscaled;
    if (cell->width == 2)
        unscaled = ((const int16_t *)cell->data)[row];
    else if (cell->width == 4)
        unscaled = ((const int32_t *)cell->data)[row];
    else if (cell->width == 8)
        unscaled = ((const int64_t *)cell->data)[row];
    else
        unscaled = wide(((const duckdb_hugeint *)cell->data)[row]);
    if (cell->scale == 0)
        put_wide(rows, unscaled, out);
    else
        tr_put_decimal(out, unscaled, cell->scale);
}

static void put_not_finite(tr_rows *rows, const tr_cell *cell, double value, tr_out *out)
{
    const char *name = isnan(value) ? "NaN" : value < 0 ? "-Infinity" : "Infinity";
    char what[64];
    (void)snprintf(what, sizeof what, "%s is not a number that JSON has", name);
    tr_put_byte(out, '"');
    tr_put_text(out, name);
    tr_put_byte(out, '"');
    if (!rows->is_lenient)
        tr_cell_problem(rows, cell, what);
}

void tr_cell_put_f32(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    const float value = ((const float *)cell->data)[row];
    if (!tr_put_float(out, value))
        put_not_finite(rows, cell, (double)value, out);
}

void tr_cell_put_f64(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    const double value = ((const double *)cell->data)[row];
    if (!tr_put_double(out, value))
        put_not_finite(rows, cell, value, out);
}

/* Text. */

tr_str tr_cell_string(const tr_cell *cell, uint64_t row)
{
    const duckdb_string_t *s = (const duckdb_string_t *)cell->data + row;
    const uint32_t len = s->value.inlined.length;
    const char *at = len <= 12 ? s->value.inlined.inlined : s->value.pointer.ptr;
    return (tr_str){(const uint8_t *)at, len};
}

static void put_hex(tr_str bytes, const char *prefix, tr_out *out)
{
    static const char hex[] = "0123456789abcdef";
    tr_put_text(out, prefix);
    for (size_t i = 0; i < bytes.len; i++) {
        tr_put_byte(out, (uint8_t)hex[bytes.at[i] >> 4]);
        tr_put_byte(out, (uint8_t)hex[bytes.at[i] & 15]);
    }
}

void tr_cell_put_string(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    const size_t start = out->buf.len;
    const tr_str value = tr_cell_string(cell, row);
    if (tr_put_json(out, value))
        return;
    if (!rows->is_lenient) {
        tr_cell_problem(rows, cell, "text that is not UTF-8");
        return;
    }
    tr_out_cut(out, start);
    put_hex(value, "\"\\\\x", out);
    tr_put_byte(out, '"');
}

tr_str tr_cell_label(const tr_cell *cell, uint64_t row)
{
    const size_t code = cell->width == 1   ? ((const uint8_t *)cell->data)[row]
                        : cell->width == 2 ? ((const uint16_t *)cell->data)[row]
                                           : ((const uint32_t *)cell->data)[row];
    return code < cell->label_count ? cell->labels[code] : (tr_str){0};
}

void tr_cell_put_enum(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    (void)rows;
    (void)tr_put_json(out, tr_cell_label(cell, row));
}

void tr_cell_put_uuid(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    (void)rows;
    static const char hex[] = "0123456789abcdef";
    const duckdb_hugeint value = ((const duckdb_hugeint *)cell->data)[row];
    /* stored with its top bit flipped, so that it sorts as a signed number */
    const uint64_t halves[] = {(uint64_t)value.upper ^ (UINT64_C(1) << 63), value.lower};
    char text[38];
    size_t len = 0;
    text[len++] = '"';
    for (unsigned i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            text[len++] = '-';
        text[len++] = hex[halves[i / 16] >> (60 - 4 * (i % 16)) & 15];
    }
    text[len++] = '"';
    tr_put(out, text, len);
}

/* Times. */

static int64_t floor_div(int64_t value, int64_t by, int64_t *rest)
{
    int64_t whole = value / by;
    *rest = value % by;
    if (*rest < 0) {
        *rest += by;
        whole--;
    }
    return whole;
}

/* value counts `per_second`ths of a second since 1970. */
static void put_instant(tr_rows *rows, const tr_cell *cell, int64_t value, tr_out *out)
{
    int64_t rest;
    const int64_t seconds = floor_div(value, cell->per_second, &rest);
    tr_put_byte(out, '"');
    if (!tr_put_instant(out, seconds, (uint32_t)(rest * (1000000000 / cell->per_second)))) {
        tr_put_text(out, value > 0 ? "infinity" : "-infinity");
        tr_cell_problem(rows, cell, "a time outside the years 0001 to 9999");
    }
    tr_put_byte(out, '"');
}

void tr_cell_put_instant(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    put_instant(rows, cell, ((const int64_t *)cell->data)[row], out);
}

void tr_cell_put_date(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    const int32_t days = ((const int32_t *)cell->data)[row];
    tr_put_byte(out, '"');
    if (!tr_put_date(out, days)) {
        tr_put_text(out, days > 0 ? "infinity" : "-infinity");
        tr_cell_problem(rows, cell, "a date outside the years 0001 to 9999");
    }
    tr_put_byte(out, '"');
}

void tr_cell_put_time(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    (void)rows;
    int64_t rest;
    const int64_t value = ((const int64_t *)cell->data)[row];
    const int64_t seconds = floor_div(value, cell->per_second, &rest);
    tr_put_byte(out, '"');
    tr_put_time(out, seconds, (uint32_t)(rest * (1000000000 / cell->per_second)));
    tr_put_byte(out, '"');
}

void tr_cell_put_time_tz(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    (void)rows;
    const duckdb_time_tz value = ((const duckdb_time_tz *)cell->data)[row];
    const int64_t micros = (int64_t)(value.bits >> 24);
    const int32_t offset = duckdb_from_time_tz(value).offset;
    char zone[16] = "Z";
    const int32_t size = offset < 0 ? -offset : offset;
    if (offset != 0)
        (void)snprintf(zone, sizeof zone, "%c%02d:%02d", offset < 0 ? '-' : '+', size / 3600,
                       size / 60 % 60);
    tr_put_byte(out, '"');
    tr_put_time(out, micros / 1000000, (uint32_t)(micros % 1000000) * 1000);
    tr_put_text(out, zone);
    tr_put_byte(out, '"');
}

/* ISO 8601: P14M3DT0.5S */
void tr_cell_put_interval(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    (void)rows;
    const duckdb_interval value = ((const duckdb_interval *)cell->data)[row];
    const uint64_t micros =
        value.micros < 0 ? 0 - (uint64_t)value.micros : (uint64_t)value.micros;
    char text[96];
    (void)snprintf(text, sizeof text, "\"P%dM%dDT%s%llu.%06lluS\"", value.months, value.days,
                   value.micros < 0 ? "-" : "", (unsigned long long)(micros / 1000000),
                   (unsigned long long)(micros % 1000000));
    tr_put_text(out, text);
}

/* What holds other values. */

static void put_items(tr_rows *rows, const tr_cell *item, uint64_t from, uint64_t count,
                      tr_out *out)
{
    tr_put_byte(out, '[');
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0)
            tr_put_byte(out, ',');
        put_cell(rows, item, from + i, out);
    }
    tr_put_byte(out, ']');
}

void tr_cell_put_list(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    const duckdb_list_entry entry = ((const duckdb_list_entry *)cell->data)[row];
    put_items(rows, cell->children, entry.offset, entry.length, out);
}

void tr_cell_put_array(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    put_items(rows, cell->children, row * cell->array_size, cell->array_size, out);
}

static void put_members(tr_rows *rows, const tr_cell *members, size_t count, uint64_t row,
                        tr_out *out)
{
    bool is_first = true;
    tr_put_byte(out, '{');
    for (const tr_cell *member = members; member < members + count; member++) {
        if (!rows->keep_nulls && is_null(member, row))
            continue;
        if (!is_first)
            tr_put_byte(out, ',');
        is_first = false;
        tr_put(out, member->key.at, member->key.len);
        put_cell(rows, member, row, out);
    }
    tr_put_byte(out, '}');
}

void tr_cell_put_struct(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    put_members(rows, cell->children, cell->child_count, row, out);
}

/* A key that is not text is its JSON as text. */
static void put_key(tr_rows *rows, const tr_cell *key, uint64_t row, tr_out *out)
{
    const size_t start = out->buf.len;
    tr_put_byte(out, '"');
    const size_t inside = out->buf.len;
    put_cell(rows, key, row, out);
    if (out->buf.len > inside && out->buf.at[inside] == '"') { /* quoted already */
        memmove(out->buf.at + start, out->buf.at + inside, out->buf.len - inside);
        out->buf.len--;
        return;
    }
    tr_put_byte(out, '"');
}

void tr_cell_put_map(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    const duckdb_list_entry entry = ((const duckdb_list_entry *)cell->data)[row];
    const tr_cell *key = cell->children, *value = cell->children + 1;
    bool is_first = true;
    tr_put_byte(out, '{');
    for (uint64_t i = entry.offset; i < entry.offset + entry.length; i++) {
        if (!rows->keep_nulls && is_null(value, i))
            continue;
        if (!is_first)
            tr_put_byte(out, ',');
        is_first = false;
        put_key(rows, key, i, out);
        tr_put_byte(out, ':');
        put_cell(rows, value, i, out);
    }
    tr_put_byte(out, '}');
}

/* The first child is the tag, the others the members. */
void tr_cell_put_union(tr_rows *rows, const tr_cell *cell, uint64_t row, tr_out *out)
{
    const size_t tag = ((const uint8_t *)cell->children[0].data)[row];
    if (tag + 1 < cell->child_count)
        put_cell(rows, cell->children + 1 + tag, row, out);
    else
        tr_put_text(out, "null");
}

void tr_rows_put(tr_rows *rows, uint64_t row, tr_out *out)
{
    rows->problem[0] = '\0';
    put_members(rows, rows->columns, rows->column_count, row, out);
}

void tr_rows_put_value(tr_rows *rows, size_t column, uint64_t row, tr_out *out)
{
    put_cell(rows, rows->columns + column, row, out);
}

bool tr_rows_is_null(const tr_rows *rows, size_t column, uint64_t row)
{
    return is_null(rows->columns + column, row);
}

void tr_rows_put_plain(tr_rows *rows, size_t column, uint64_t row, tr_out *out)
{
    const tr_cell *cell = rows->columns + column;
    if (cell->put == tr_cell_put_string || cell->put == tr_cell_put_enum) {
        const tr_str value =
            cell->put == tr_cell_put_enum ? tr_cell_label(cell, row) : tr_cell_string(cell, row);
        size_t bad_at;
        if (tr_str_is_utf8(value, &bad_at))
            tr_put(out, value.at, value.len);
        else
            put_hex(value, "\\x", out);
        return;
    }
    const size_t start = out->buf.len;
    cell->put(rows, cell, row, out);
    const size_t len = out->buf.len - start;
    uint8_t *at = out->buf.at + start;
    if (len < 2 || at[0] != '"') /* a number, or JSON */
        return;
    memmove(at, at + 1, len - 2); /* times and the like have nothing to unescape */
    out->buf.len -= 2;
}
