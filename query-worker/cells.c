/* SPDX-License-Identifier: Apache-2.0 */
/* cells.c - the tree of cells, made from a result's types and pointed at its chunks. */
#include "base/limits.h"
#include "rows_internal.h"

#include <stdio.h>

typedef struct scalar_kind {
    duckdb_type type;
    tr_cell_put put;
    bool is_number;
    int64_t per_second;
} scalar_kind;

static const scalar_kind scalar_kinds[] = {
    {DUCKDB_TYPE_BOOLEAN, tr_cell_put_bool, false, 0},
    {DUCKDB_TYPE_TINYINT, tr_cell_put_i8, true, 0},
    {DUCKDB_TYPE_SMALLINT, tr_cell_put_i16, true, 0},
    {DUCKDB_TYPE_INTEGER, tr_cell_put_i32, true, 0},
    {DUCKDB_TYPE_BIGINT, tr_cell_put_i64, true, 0},
    {DUCKDB_TYPE_UTINYINT, tr_cell_put_u8, true, 0},
    {DUCKDB_TYPE_USMALLINT, tr_cell_put_u16, true, 0},
    {DUCKDB_TYPE_UINTEGER, tr_cell_put_u32, true, 0},
    {DUCKDB_TYPE_UBIGINT, tr_cell_put_u64, true, 0},
    {DUCKDB_TYPE_HUGEINT, tr_cell_put_i128, true, 0},
    {DUCKDB_TYPE_UHUGEINT, tr_cell_put_u128, true, 0},
    {DUCKDB_TYPE_FLOAT, tr_cell_put_f32, true, 0},
    {DUCKDB_TYPE_DOUBLE, tr_cell_put_f64, true, 0},
    {DUCKDB_TYPE_VARCHAR, tr_cell_put_string, false, 0},
    {DUCKDB_TYPE_BLOB, tr_cell_put_string, false, 0}, /* old writers do not mark text as text */
    {DUCKDB_TYPE_UUID, tr_cell_put_uuid, false, 0},
    {DUCKDB_TYPE_DATE, tr_cell_put_date, false, 0},
    {DUCKDB_TYPE_TIMESTAMP_S, tr_cell_put_instant, false, 1},
    {DUCKDB_TYPE_TIMESTAMP_MS, tr_cell_put_instant, false, 1000},
    {DUCKDB_TYPE_TIMESTAMP, tr_cell_put_instant, false, 1000000},
    {DUCKDB_TYPE_TIMESTAMP_TZ, tr_cell_put_instant, false, 1000000},
    {DUCKDB_TYPE_TIMESTAMP_NS, tr_cell_put_instant, false, 1000000000},
    {DUCKDB_TYPE_TIME, tr_cell_put_time, false, 1000000},
    {DUCKDB_TYPE_TIME_NS, tr_cell_put_time, false, 1000000000},
    {DUCKDB_TYPE_TIME_TZ, tr_cell_put_time_tz, false, 0},
    {DUCKDB_TYPE_INTERVAL, tr_cell_put_interval, false, 0},
    {DUCKDB_TYPE_SQLNULL, tr_cell_put_i32, false, 0}, /* always null */
};

/* Where a cell is being made. */
typedef struct place {
    tr_arena *arena;
    tr_str above; /* path of the cell that holds it */
    unsigned depth;
} place;

static tr_code make(place at, tr_str name, duckdb_logical_type type, tr_cell *out, tr_err *err);

static uint8_t width_of(duckdb_type type)
{
    if (type == DUCKDB_TYPE_UTINYINT)
        return 1;
    if (type == DUCKDB_TYPE_SMALLINT || type == DUCKDB_TYPE_USMALLINT)
        return 2;
    if (type == DUCKDB_TYPE_INTEGER || type == DUCKDB_TYPE_UINTEGER)
        return 4;
    return type == DUCKDB_TYPE_BIGINT ? 8 : 16;
}

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a result");
}

/* The child types of one type, whatever holds them. */
static duckdb_logical_type child_type(duckdb_type kind, duckdb_logical_type type, size_t i)
{
    switch ((int)kind) {
    case DUCKDB_TYPE_LIST:
        return duckdb_list_type_child_type(type);
    case DUCKDB_TYPE_ARRAY:
        return duckdb_array_type_child_type(type);
    case DUCKDB_TYPE_MAP:
        return i == 0 ? duckdb_map_type_key_type(type) : duckdb_map_type_value_type(type);
    case DUCKDB_TYPE_UNION:
        return i == 0 ? duckdb_create_logical_type(DUCKDB_TYPE_UTINYINT)
                      : duckdb_union_type_member_type(type, i - 1);
    default:
        return duckdb_struct_type_child_type(type, i);
    }
}

static char *child_name(duckdb_type kind, duckdb_logical_type type, size_t i)
{
    if (kind == DUCKDB_TYPE_STRUCT)
        return duckdb_struct_type_child_name(type, i);
    if (kind == DUCKDB_TYPE_UNION && i > 0)
        return duckdb_union_type_member_name(type, i - 1);
    return NULL;
}

static tr_code make_children(place at, duckdb_type kind, duckdb_logical_type type, tr_cell *cell,
                             tr_err *err)
{
    at.above = cell->path;
    at.depth++;
    cell->children = tr_arena_array(at.arena, cell->child_count, sizeof *cell->children);
    if (cell->children == NULL)
        return no_memory(err);
    for (size_t i = 0; i < cell->child_count; i++) {
        char *name = child_name(kind, type, i);
        duckdb_logical_type child = child_type(kind, type, i);
        const tr_code code = make(at, tr_str_of(name), child, cell->children + i, err);
        duckdb_destroy_logical_type(&child);
        duckdb_free(name);
        TR_TRY(code);
    }
    return TR_OK;
}

static tr_code make_enum(place at, duckdb_logical_type type, tr_cell *cell, tr_err *err)
{
    const size_t count = duckdb_enum_dictionary_size(type);
    tr_str *labels = tr_arena_array(at.arena, count, sizeof *labels);
    if (labels == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        char *label = duckdb_enum_dictionary_value(type, i);
        labels[i] = tr_arena_copy(at.arena, tr_str_of(label));
        duckdb_free(label);
        if (labels[i].at == NULL)
            return no_memory(err);
    }
    cell->put = tr_cell_put_enum;
    cell->labels = labels;
    cell->label_count = count;
    cell->width = width_of(duckdb_enum_internal_type(type));
    return TR_OK;
}

/* What is neither a plain scalar nor unknown. */
static tr_code make_special(place at, duckdb_type kind, duckdb_logical_type type, tr_cell *cell,
                            tr_err *err)
{
    switch ((int)kind) {
    case DUCKDB_TYPE_DECIMAL:
        cell->put = tr_cell_put_decimal;
        cell->is_number = true;
        cell->scale = duckdb_decimal_scale(type);
        cell->width = width_of(duckdb_decimal_internal_type(type));
        return TR_OK;
    case DUCKDB_TYPE_ENUM:
        return make_enum(at, type, cell, err);
    case DUCKDB_TYPE_LIST:
        cell->put = tr_cell_put_list;
        cell->child_count = 1;
        break;
    case DUCKDB_TYPE_ARRAY:
        cell->put = tr_cell_put_array;
        cell->array_size = duckdb_array_type_array_size(type);
        cell->child_count = 1;
        break;
    case DUCKDB_TYPE_MAP:
        cell->put = tr_cell_put_map;
        cell->child_count = 2;
        break;
    case DUCKDB_TYPE_STRUCT:
        cell->put = tr_cell_put_struct;
        cell->child_count = duckdb_struct_type_child_count(type);
        break;
    case DUCKDB_TYPE_UNION:
        cell->put = tr_cell_put_union;
        cell->child_count = duckdb_union_type_member_count(type) + 1;
        break;
    default:
        return TR_FAIL(err, TR_INVALID, "column %.200s has a type without a form in JSON",
                       (const char *)cell->path.at);
    }
    return make_children(at, kind, type, cell, err);
}

/* "name": as JSON, in the arena. */
static tr_code make_key(tr_arena *arena, tr_str name, tr_cell *out, tr_err *err)
{
    tr_out text;
    tr_out_open(&text, -1, 0);
    const bool is_utf8 = tr_put_json(&text, name);
    tr_put_byte(&text, ':');
    out->key = tr_arena_copy(arena, tr_buf_str(&text.buf));
    tr_out_close(&text);
    if (!is_utf8)
        return TR_FAIL(err, TR_INVALID, "a column's name is not UTF-8");
    return out->key.at == NULL ? no_memory(err) : TR_OK;
}

static tr_code make_path(place at, tr_str name, tr_cell *out, tr_err *err)
{
    char path[256];
    if (name.len == 0)
        (void)snprintf(path, sizeof path, "%.*s", TR_STR_ARG(at.above));
    else
        (void)snprintf(path, sizeof path, "%.*s%s%.*s", TR_STR_ARG(at.above),
                       at.above.len > 0 ? "." : "", TR_STR_ARG(name));
    const char *copy = tr_arena_text(at.arena, tr_str_of(path));
    if (copy == NULL)
        return no_memory(err);
    out->path = tr_str_of(copy);
    return TR_OK;
}

static tr_code make(place at, tr_str name, duckdb_logical_type type, tr_cell *out, tr_err *err)
{
    const duckdb_type kind = duckdb_get_type_id(type);
    TR_TRY(make_path(at, name, out, err));
    if (at.depth > TR_JSON_DEPTH_MAX)
        return TR_FAIL(err, TR_LIMIT, "column %.200s is nested deeper than %d levels",
                       (const char *)out->path.at, TR_JSON_DEPTH_MAX);
    out->name = tr_arena_copy(at.arena, name);
    TR_TRY(make_key(at.arena, name, out, err));
    for (size_t i = 0; i < sizeof scalar_kinds / sizeof scalar_kinds[0]; i++)
        if (scalar_kinds[i].type == kind) {
            out->put = scalar_kinds[i].put;
            out->is_number = scalar_kinds[i].is_number;
            out->per_second = scalar_kinds[i].per_second;
            return TR_OK;
        }
    return make_special(at, kind, type, out, err);
}

tr_code tr_rows_open(duckdb_result *result, tr_rows *out, tr_err *err)
{
    tr_rows rows = {.column_count = duckdb_column_count(result)};
    tr_code code = TR_OK;
    rows.columns = tr_arena_array(&rows.arena, rows.column_count, sizeof *rows.columns);
    if (rows.columns == NULL)
        code = no_memory(err);
    for (size_t i = 0; i < rows.column_count && code == TR_OK; i++) {
        duckdb_logical_type type = duckdb_column_logical_type(result, i);
        const place at = {.arena = &rows.arena, .depth = 1};
        code = make(at, tr_str_of(duckdb_column_name(result, i)), type, rows.columns + i, err);
        duckdb_destroy_logical_type(&type);
    }
    if (code == TR_OK)
        *out = rows;
    else
        tr_arena_free(&rows.arena);
    return code;
}

void tr_rows_close(tr_rows *rows)
{
    tr_arena_free(&rows->arena);
}

static void bind(tr_cell *cell, duckdb_vector vector)
{
    cell->data = duckdb_vector_get_data(vector);
    cell->validity = duckdb_vector_get_validity(vector);
    if (cell->put == tr_cell_put_list) {
        bind(cell->children, duckdb_list_vector_get_child(vector));
    } else if (cell->put == tr_cell_put_array) {
        bind(cell->children, duckdb_array_vector_get_child(vector));
    } else if (cell->put == tr_cell_put_map) {
        duckdb_vector entries = duckdb_list_vector_get_child(vector);
        for (size_t i = 0; i < 2; i++)
            bind(cell->children + i, duckdb_struct_vector_get_child(entries, i));
    } else {
        for (size_t i = 0; i < cell->child_count; i++)
            bind(cell->children + i, duckdb_struct_vector_get_child(vector, i));
    }
}

void tr_rows_bind(tr_rows *rows, duckdb_data_chunk chunk)
{
    for (size_t i = 0; i < rows->column_count; i++)
        bind(rows->columns + i, duckdb_data_chunk_get_vector(chunk, i));
}

bool tr_rows_is_number(const tr_rows *rows, size_t column)
{
    return rows->columns[column].is_number;
}

tr_str tr_rows_name(const tr_rows *rows, size_t column)
{
    return rows->columns[column].name;
}
