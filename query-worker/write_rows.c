/* SPDX-License-Identifier: Apache-2.0 */
/* write_rows.c - see write_rows.h. */
#include "write_rows.h"

#include "base/limits.h"
#include "rows.h"

enum { PIECE_BYTES = 256 * 1024 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a result");
}

/* Types --------------------------------------------------------------------------------------- */

static json_t *type_of(duckdb_logical_type type, unsigned depth);

/* type: taken */
static json_t *type_of_child(duckdb_logical_type type, unsigned depth)
{
    json_t *made = type_of(type, depth + 1);
    duckdb_destroy_logical_type(&type);
    return made;
}

static json_t *struct_of(duckdb_logical_type type, unsigned depth)
{
    json_t *members = json_object();
    for (uint64_t i = 0; i < duckdb_struct_type_child_count(type); i++) {
        char *name = duckdb_struct_type_child_name(type, i);
        json_t *member = type_of_child(duckdb_struct_type_child_type(type, i), depth);
        (void)json_object_set_new(members, name, member);
        duckdb_free(name);
    }
    return json_pack("{s:s,s:o}", "is", "struct", "members", members);
}

/* A whole number of 18 digits is a long; what has a fraction is a number. */
static const char *decimal_of(duckdb_logical_type type)
{
    return duckdb_decimal_scale(type) == 0 && duckdb_decimal_width(type) <= 18 ? "long" : "number";
}

static const char *scalar_of(duckdb_logical_type type)
{
    switch ((int)duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_BOOLEAN: return "boolean";
    case DUCKDB_TYPE_TINYINT:
    case DUCKDB_TYPE_SMALLINT:
    case DUCKDB_TYPE_INTEGER:
    case DUCKDB_TYPE_UTINYINT:
    case DUCKDB_TYPE_USMALLINT: return "integer";
    case DUCKDB_TYPE_BIGINT: /* and wider ones: sum() of longs is one of them */
    case DUCKDB_TYPE_UINTEGER:
    case DUCKDB_TYPE_UBIGINT:
    case DUCKDB_TYPE_HUGEINT:
    case DUCKDB_TYPE_UHUGEINT: return "long";
    case DUCKDB_TYPE_FLOAT:
    case DUCKDB_TYPE_DOUBLE: return "number";
    case DUCKDB_TYPE_DECIMAL: return decimal_of(type);
    case DUCKDB_TYPE_SQLNULL: return "null";
    case DUCKDB_TYPE_DATE: return "date";
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
    case DUCKDB_TYPE_TIMESTAMP_TZ: return "instant";
    default: return "string";
    }
}

/* NULL: no memory, or deeper than any schema. */
static json_t *type_of(duckdb_logical_type type, unsigned depth)
{
    if (depth > TR_SCHEMA_DEPTH_MAX)
        return NULL;
    switch ((int)duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_LIST:
        return json_pack("{s:s,s:o}", "is", "list", "of",
                         type_of_child(duckdb_list_type_child_type(type), depth));
    case DUCKDB_TYPE_ARRAY:
        return json_pack("{s:s,s:o}", "is", "list", "of",
                         type_of_child(duckdb_array_type_child_type(type), depth));
    case DUCKDB_TYPE_MAP:
        return json_pack("{s:s,s:o}", "is", "map", "of",
                         type_of_child(duckdb_map_type_value_type(type), depth));
    case DUCKDB_TYPE_STRUCT: return struct_of(type, depth);
    default: return json_pack("{s:s}", "is", scalar_of(type));
    }
}

static tr_code put_columns(duckdb_result *result, tr_write_answer answer, tr_err *err)
{
    tr_buf text = {0};
    json_t *columns = json_array();
    for (uint64_t i = 0; i < duckdb_column_count(result); i++) {
        duckdb_logical_type type = duckdb_column_logical_type(result, i);
        json_t *made = type_of(type, 0);
        const char *name = duckdb_column_name(result, i);
        duckdb_destroy_logical_type(&type);
        if (made == NULL) {
            json_decref(columns);
            return TR_FAIL(err, TR_LIMIT, "column %llu nests deeper than %d levels",
                           (unsigned long long)i + 1, TR_SCHEMA_DEPTH_MAX);
        }
        (void)json_array_append_new(
            columns, json_pack("{s:s,s:o}", "name", name == NULL ? "" : name, "type", made));
    }
    json_t *json = json_pack("{s:o}", "columns", columns);
    tr_code code = json == NULL ? no_memory(err) : tr_json_write(json, &text, err);
    if (code == TR_OK)
        code = answer('T', tr_buf_str(&text), err);
    json_decref(json);
    tr_buf_free(&text);
    return code;
}

/* Rows ---------------------------------------------------------------------------------------- */

static tr_code send(tr_out *out, tr_write_answer answer, tr_err *err)
{
    if (out->failure != TR_OK)
        return TR_FAIL(err, out->failure, "a row of the result is too large");
    if (out->buf.len > 0)
        TR_TRY(answer('J', tr_buf_str(&out->buf), err));
    out->buf.len = 0;
    return TR_OK;
}

static tr_code put_chunk(tr_rows *rows, duckdb_data_chunk chunk, uint64_t *number, tr_out *out,
                         tr_write_answer answer, tr_err *err)
{
    const uint64_t count = duckdb_data_chunk_get_size(chunk);
    tr_rows_bind(rows, chunk);
    for (uint64_t row = 0; row < count; row++) {
        ++*number;
        tr_rows_put(rows, row, out);
        tr_put_byte(out, '\n');
        if (rows->problem[0] != '\0') {
            tr_engine_note("22003");
            return TR_FAIL(err, TR_INVALID, "row %llu of the result: %s",
                           (unsigned long long)*number, rows->problem);
        }
        if (out->buf.len >= PIECE_BYTES || out->failure != TR_OK)
            TR_TRY(send(out, answer, err));
    }
    return TR_OK;
}

static tr_code put_rows(duckdb_result *result, tr_rows *rows, tr_write_answer answer, tr_err *err)
{
    tr_out out;
    uint64_t number = 0;
    tr_code code = TR_OK;
    duckdb_data_chunk chunk = NULL;
    tr_out_open(&out, -1, UINT64_MAX);
    do {
        code = tr_engine_next(result, &chunk, err);
        if (code != TR_OK || chunk == NULL)
            break;
        code = put_chunk(rows, chunk, &number, &out, answer, err);
        duckdb_destroy_data_chunk(&chunk);
    } while (code == TR_OK);
    if (code == TR_OK)
        code = send(&out, answer, err);
    tr_out_close(&out);
    return code;
}

tr_code tr_write_rows(tr_engine *engine, const char *sql, tr_write_answer answer, tr_err *err)
{
    duckdb_result result;
    tr_rows rows;
    TR_TRY(tr_engine_start(engine, sql, &result, err));
    tr_engine_note("0A000"); /* of a column whose type has no form in JSON */
    tr_code code = tr_rows_open(&result, &rows, err);
    if (code == TR_OK) {
        tr_engine_note("58000");
        code = put_columns(&result, answer, err);
        if (code == TR_OK)
            code = put_rows(&result, &rows, answer, err);
        tr_rows_close(&rows);
    }
    duckdb_destroy_result(&result);
    return code;
}
