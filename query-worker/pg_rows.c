/* SPDX-License-Identifier: Apache-2.0 */
/* pg_rows.c - see pg_rows.h. */
#include "pg_rows.h"
#include "rows_internal.h"

#include <stdio.h>

enum { OID_TEXT = 25, EPOCH_DAYS = 10957, NUMERIC_DIGITS_MAX = 40 };
#define EPOCH_US INT64_C(946684800000000)

typedef struct type_row {
    duckdb_type kind;
    tr_pg_type type;
} type_row;

static const type_row type_rows[] = {
    {DUCKDB_TYPE_BOOLEAN, {16, 1, -1}},       {DUCKDB_TYPE_TINYINT, {21, 2, -1}},
    {DUCKDB_TYPE_UTINYINT, {21, 2, -1}},      {DUCKDB_TYPE_SMALLINT, {21, 2, -1}},
    {DUCKDB_TYPE_USMALLINT, {23, 4, -1}},     {DUCKDB_TYPE_INTEGER, {23, 4, -1}},
    {DUCKDB_TYPE_UINTEGER, {20, 8, -1}},      {DUCKDB_TYPE_BIGINT, {20, 8, -1}},
    {DUCKDB_TYPE_UBIGINT, {1700, -1, -1}},    {DUCKDB_TYPE_HUGEINT, {1700, -1, -1}},
    {DUCKDB_TYPE_UHUGEINT, {1700, -1, -1}},   {DUCKDB_TYPE_FLOAT, {700, 4, -1}},
    {DUCKDB_TYPE_DOUBLE, {701, 8, -1}},       {DUCKDB_TYPE_BLOB, {17, -1, -1}},
    {DUCKDB_TYPE_DATE, {1082, 4, -1}},        {DUCKDB_TYPE_TIME, {1083, 8, -1}},
    {DUCKDB_TYPE_TIMESTAMP, {1114, 8, -1}},   {DUCKDB_TYPE_TIMESTAMP_S, {1114, 8, -1}},
    {DUCKDB_TYPE_TIMESTAMP_MS, {1114, 8, -1}}, {DUCKDB_TYPE_TIMESTAMP_NS, {1114, 8, -1}},
    {DUCKDB_TYPE_TIMESTAMP_TZ, {1184, 8, -1}}, {DUCKDB_TYPE_INTERVAL, {1186, 16, -1}},
    {DUCKDB_TYPE_UUID, {2950, 16, -1}},
};

tr_pg_type tr_pg_type_of(duckdb_logical_type type)
{
    const duckdb_type kind = duckdb_get_type_id(type);
    if (kind == DUCKDB_TYPE_DECIMAL)
        return (tr_pg_type){1700, -1,
                            (duckdb_decimal_width(type) << 16 | duckdb_decimal_scale(type)) + 4};
    for (size_t i = 0; i < sizeof type_rows / sizeof type_rows[0]; i++)
        if (type_rows[i].kind == kind)
            return type_rows[i].type;
    return (tr_pg_type){OID_TEXT, -1, -1};
}

tr_code tr_pg_rows_open(duckdb_result *result, const json_t *formats, tr_pg_rows *out, tr_err *err)
{
    tr_pg_rows pg = {0};
    TR_TRY(tr_rows_open(result, &pg.rows, err));
    const size_t count = pg.rows.column_count, given = json_array_size(formats);
    pg.rows.keep_nulls = true;
    pg.rows.is_lenient = true;
    pg.types = tr_arena_array(&pg.rows.arena, count, sizeof *pg.types);
    pg.kinds = tr_arena_array(&pg.rows.arena, count, sizeof *pg.kinds);
    pg.is_binary = tr_arena_array(&pg.rows.arena, count, sizeof *pg.is_binary);
    tr_code code = TR_OK;
    if (pg.types == NULL || pg.kinds == NULL || pg.is_binary == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a result");
    else if (given > 1 && given != count)
        code = TR_FAIL(err, TR_INVALID, "%zu result formats for %zu columns", given, count);
    for (size_t i = 0; i < count && code == TR_OK; i++) {
        duckdb_logical_type type = duckdb_column_logical_type(result, i);
        pg.types[i] = tr_pg_type_of(type);
        pg.kinds[i] = duckdb_get_type_id(type);
        pg.is_binary[i] = json_integer_value(json_array_get(formats, given == 1 ? 0 : i)) == 1;
        duckdb_destroy_logical_type(&type);
    }
    if (code == TR_OK)
        *out = pg;
    else
        tr_rows_close(&pg.rows);
    return code;
}

void tr_pg_rows_close(tr_pg_rows *rows)
{
    tr_rows_close(&rows->rows);
}

/* Big-endian ---------------------------------------------------------------------------------- */

static void put_be(tr_out *out, uint64_t value, unsigned bytes)
{
    uint8_t at[8];
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    tr_put(out, at, bytes);
}

static void patch_be32(tr_out *out, size_t at, uint32_t value)
{
    for (unsigned i = 0; i < 4 && out->failure == TR_OK; i++)
        out->buf.at[at + i] = (uint8_t)(value >> 8 * (3 - i));
}

/* Text ---------------------------------------------------------------------------------------- */

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

static void put_infinity(tr_out *out, bool is_positive)
{
    tr_put_text(out, is_positive ? "infinity" : "-infinity");
}

static void put_timestamp(tr_out *out, int64_t value, int64_t per_second, bool has_zone)
{
    int64_t rest, second;
    const int64_t seconds = floor_div(value, per_second, &rest);
    const int64_t days = floor_div(seconds, 86400, &second);
    if (!tr_put_date(out, days)) {
        put_infinity(out, value > 0);
        return;
    }
    tr_put_byte(out, ' ');
    tr_put_time(out, second, (uint32_t)(rest * (1000000000 / per_second)));
    if (has_zone)
        tr_put_text(out, "+00");
}

static void put_interval(tr_out *out, duckdb_interval value)
{
    char text[128];
    const uint64_t us = value.micros < 0 ? 0 - (uint64_t)value.micros : (uint64_t)value.micros;
    const int len = snprintf(
        text, sizeof text, "%d mons %d days %s%02llu:%02llu:%02llu.%06llu", value.months,
        value.days, value.micros < 0 ? "-" : "", (unsigned long long)(us / 3600000000),
        (unsigned long long)(us / 60000000 % 60), (unsigned long long)(us / 1000000 % 60),
        (unsigned long long)(us % 1000000));
    tr_put(out, text, (size_t)len);
}

static void put_bytea(tr_out *out, tr_str bytes)
{
    static const char hex[] = "0123456789abcdef";
    tr_put_text(out, "\\x");
    for (size_t i = 0; i < bytes.len; i++) {
        tr_put_byte(out, (uint8_t)hex[bytes.at[i] >> 4]);
        tr_put_byte(out, (uint8_t)hex[bytes.at[i] & 15]);
    }
}

static void put_text(tr_pg_rows *pg, size_t column, uint64_t row, tr_out *out)
{
    const tr_cell *cell = pg->rows.columns + column;
    switch ((int)pg->kinds[column]) {
    case DUCKDB_TYPE_BOOLEAN:
        tr_put_byte(out, ((const bool *)cell->data)[row] ? 't' : 'f');
        break;
    case DUCKDB_TYPE_BLOB:
        put_bytea(out, tr_cell_string(cell, row));
        break;
    case DUCKDB_TYPE_DATE:
        if (!tr_put_date(out, ((const int32_t *)cell->data)[row]))
            put_infinity(out, ((const int32_t *)cell->data)[row] > 0);
        break;
    case DUCKDB_TYPE_INTERVAL:
        put_interval(out, ((const duckdb_interval *)cell->data)[row]);
        break;
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
        put_timestamp(out, ((const int64_t *)cell->data)[row], cell->per_second,
                      pg->kinds[column] == DUCKDB_TYPE_TIMESTAMP_TZ);
        break;
    default:
        tr_rows_put_plain(&pg->rows, column, row, out);
    }
}

/* Binary -------------------------------------------------------------------------------------- */

/* A whole number as it is stored. */
static int64_t integer_of(const tr_cell *cell, duckdb_type kind, uint64_t row)
{
    switch ((int)kind) {
    case DUCKDB_TYPE_BOOLEAN:
    case DUCKDB_TYPE_UTINYINT:
        return ((const uint8_t *)cell->data)[row];
    case DUCKDB_TYPE_TINYINT:
        return ((const int8_t *)cell->data)[row];
    case DUCKDB_TYPE_SMALLINT:
        return ((const int16_t *)cell->data)[row];
    case DUCKDB_TYPE_USMALLINT:
        return ((const uint16_t *)cell->data)[row];
    case DUCKDB_TYPE_INTEGER:
        return ((const int32_t *)cell->data)[row];
    case DUCKDB_TYPE_UINTEGER:
        return ((const uint32_t *)cell->data)[row];
    default:
        return ((const int64_t *)cell->data)[row];
    }
}

/* From its decimal text: exact for every width that DuckDB has. */
static void put_numeric(tr_pg_rows *pg, size_t column, uint64_t row, tr_out *out)
{
    tr_out text;
    int16_t groups[NUMERIC_DIGITS_MAX] = {0};
    tr_out_open(&text, -1, UINT64_MAX);
    tr_rows_put_plain(&pg->rows, column, row, &text);
    const char *at = (const char *)text.buf.at, *end = at + text.buf.len;
    const bool is_negative = at < end && *at == '-';
    at += is_negative;
    const char *point = at < end ? memchr(at, '.', (size_t)(end - at)) : NULL;
    const int whole = (int)((point == NULL ? end : point) - at);
    const int scale = point == NULL ? 0 : (int)(end - point - 1);
    const int whole_groups = (whole + 3) / 4, all = whole_groups + (scale + 3) / 4;
    for (int i = 0; i < all * 4 && all <= NUMERIC_DIGITS_MAX; i++) {
        const int place = i - (whole_groups * 4 - whole); /* in the text without its point */
        const int digit = place < 0 || place >= whole + scale ? 0
                          : place < whole ? at[place] - '0' : point[1 + place - whole] - '0';
        groups[i / 4] = (int16_t)(groups[i / 4] * 10 + digit);
    }
    int from = 0, to = all <= NUMERIC_DIGITS_MAX ? all : 0;
    while (from < to && groups[from] == 0)
        from++;
    while (to > from && groups[to - 1] == 0)
        to--;
    put_be(out, (uint64_t)(to - from), 2);
    put_be(out, (uint64_t)(to > from ? whole_groups - 1 - from : 0), 2);
    put_be(out, is_negative && to > from ? 0x4000 : 0, 2);
    put_be(out, (uint64_t)scale, 2);
    for (int i = from; i < to; i++)
        put_be(out, (uint64_t)groups[i], 2);
    tr_out_close(&text);
}

static void put_binary_time(const tr_pg_rows *pg, size_t column, uint64_t row, tr_out *out)
{
    int64_t rest;
    const tr_cell *cell = pg->rows.columns + column;
    const int64_t value = ((const int64_t *)cell->data)[row];
    if (value == INT64_MAX || value == -INT64_MAX) { /* DuckDB's infinities */
        put_be(out, value > 0 ? INT64_MAX : (uint64_t)INT64_MIN, 8);
        return;
    }
    const int64_t seconds = floor_div(value, cell->per_second, &rest);
    put_be(out, (uint64_t)(seconds * 1000000 + rest * 1000000 / cell->per_second - EPOCH_US), 8);
}

static void put_binary(tr_pg_rows *pg, size_t column, uint64_t row, tr_out *out)
{
    const tr_cell *cell = pg->rows.columns + column;
    const tr_pg_type *type = pg->types + column;
    switch (type->oid) {
    case 16:
    case 21:
    case 23:
    case 20:
    case 1083:
        put_be(out, (uint64_t)integer_of(cell, pg->kinds[column], row), (unsigned)type->bytes);
        break;
    case 700:
        put_be(out, ((const uint32_t *)cell->data)[row], 4);
        break;
    case 701:
        put_be(out, ((const uint64_t *)cell->data)[row], 8);
        break;
    case 17: {
        const tr_str bytes = tr_cell_string(cell, row);
        tr_put(out, bytes.at, bytes.len);
        break;
    }
    case 1082: {
        const int32_t days = ((const int32_t *)cell->data)[row];
        const bool is_infinite = days == INT32_MAX || days == -INT32_MAX;
        put_be(out, is_infinite ? (days > 0 ? INT32_MAX : (uint64_t)INT32_MIN)
                                : (uint64_t)(int64_t)(days - EPOCH_DAYS), 4);
        break;
    }
    case 1114:
    case 1184:
        put_binary_time(pg, column, row, out);
        break;
    case 1186: {
        const duckdb_interval value = ((const duckdb_interval *)cell->data)[row];
        put_be(out, (uint64_t)value.micros, 8);
        put_be(out, (uint64_t)(int64_t)value.days, 4);
        put_be(out, (uint64_t)(int64_t)value.months, 4);
        break;
    }
    case 1700:
        put_numeric(pg, column, row, out);
        break;
    case 2950: {
        const duckdb_hugeint value = ((const duckdb_hugeint *)cell->data)[row];
        put_be(out, (uint64_t)value.upper ^ (UINT64_C(1) << 63), 8);
        put_be(out, value.lower, 8);
        break;
    }
    default:
        put_text(pg, column, row, out);
    }
}

void tr_pg_rows_put(tr_pg_rows *pg, uint64_t row, tr_out *out)
{
    const size_t start = out->buf.len;
    tr_put_byte(out, 'D');
    put_be(out, 0, 4);
    put_be(out, pg->rows.column_count, 2);
    for (size_t i = 0; i < pg->rows.column_count; i++) {
        if (tr_rows_is_null(&pg->rows, i, row)) {
            put_be(out, UINT32_MAX, 4);
            continue;
        }
        const size_t at = out->buf.len;
        put_be(out, 0, 4);
        if (pg->is_binary[i])
            put_binary(pg, i, row, out);
        else
            put_text(pg, i, row, out);
        patch_be32(out, at, (uint32_t)(out->buf.len - at - 4));
    }
    patch_be32(out, start + 1, (uint32_t)(out->buf.len - start - 1));
}
