/* SPDX-License-Identifier: Apache-2.0 */
/* model_rows.c - see model_rows.h. Levels here count from the unit, as in parquet/column.h. */
#include "merge/model_rows.h"

#include <stdio.h>
#include <string.h>

tr_code tr_model_sink(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

static uint64_t word_of(tr_kind kind, const json_t *value)
{
    if (kind == TR_KIND_BOOLEAN)
        return json_is_true(value);
    if (kind == TR_KIND_DOUBLE) {
        const double real = json_number_value(value);
        uint64_t word;
        memcpy(&word, &real, sizeof word);
        return word;
    }
    return (uint64_t)json_integer_value(value);
}

static tr_code add_scalar(tr_column_builder *builder, tr_kind kind, uint8_t rep, const json_t *value, tr_err *err)
{
    if (kind == TR_KIND_STRING)
        return tr_column_add_string(builder, rep, tr_str_of(json_string_value(value)), err);
    if (kind == TR_KIND_KEY) {
        uint8_t key[16];
        for (size_t i = 0; i < sizeof key; i++) {
            unsigned byte = 0;
            (void)sscanf(json_string_value(value) + 2 * i, "%2x", &byte);
            key[i] = (uint8_t)byte;
        }
        return tr_column_add_key(builder, key, err);
    }
    return tr_column_add_word(builder, rep, word_of(kind, value), err);
}

static tr_code shred_nulls(tr_column_builder **builders, const tr_type *type, uint8_t rep, uint8_t def, tr_err *err)
{
    for (uint32_t i = 0; i < type->leaf_count; i++)
        TR_TRY(tr_column_add_null(builders[type->first_leaf + i], rep, def, err));
    return TR_OK;
}

/* def: the level of what is present above `type`; r: the repetition level of the list it stands in. */
static tr_code shred(tr_column_builder **builders, const tr_type *type, const json_t *value, uint8_t rep, uint8_t def,
                     uint8_t r, tr_err *err)
{
    if (value == NULL || json_is_null(value))
        return shred_nulls(builders, type, rep, def, err);
    if (tr_kind_is_scalar(type->kind))
        return add_scalar(builders[type->first_leaf], type->kind, rep, value, err);
    if (type->kind == TR_KIND_OBJECT) {
        for (uint32_t i = 0; i < type->child_count; i++) {
            char name[64];
            (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(type->children[i]->name));
            TR_TRY(shred(builders, type->children[i], json_object_get(value, name), rep, (uint8_t)(def + 1), r, err));
        }
        return TR_OK;
    }
    if (type->kind == TR_KIND_ARRAY) {
        size_t i;
        const json_t *item;
        if (json_array_size(value) == 0)
            return shred_nulls(builders, type, rep, (uint8_t)(def + 1), err);
        json_array_foreach(value, i, item)
            TR_TRY(shred(builders, type->children[0], item, i == 0 ? rep : (uint8_t)(r + 1), (uint8_t)(def + 2),
                         (uint8_t)(r + 1), err));
        return TR_OK;
    }
    if (json_object_size(value) == 0)
        return shred_nulls(builders, type, rep, (uint8_t)(def + 1), err);
    union {
        const json_t *read;
        json_t *iterated;
    } map = {.read = value};
    const char *key;
    json_t *item;
    uint8_t own = rep;
    json_object_foreach(map.iterated, key, item) {
        TR_TRY(tr_column_add_string(builders[type->first_leaf], own, tr_str_of(key), err));
        TR_TRY(shred(builders, type->children[0], item, own, (uint8_t)(def + 2), (uint8_t)(r + 1), err));
        own = (uint8_t)(r + 1);
    }
    return TR_OK;
}

/* Goes through the objects above units. */
static tr_code shred_row(tr_column_builder **builders, const tr_type *object, const json_t *value, tr_err *err)
{
    for (uint32_t i = 0; i < object->child_count; i++) {
        const tr_type *child = object->children[i];
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(child->name));
        const json_t *member = json_object_get(value, name);
        TR_TRY(child->kind == TR_KIND_OBJECT ? shred_row(builders, child, member, err)
                                             : shred(builders, child, member, 0, 0, 0, err));
    }
    return TR_OK;
}

tr_code tr_model_write_run(const tr_shape *shape, json_t *const *rows, uint32_t row_count, tr_model_kind kind,
                           uint8_t bits_min, tr_buf *out, tr_err *err)
{
    tr_column_builder **builders = tr_alloc_zeroed(shape->leaf_count, sizeof(tr_column_builder *));
    tr_column *columns = tr_alloc_zeroed(shape->leaf_count, sizeof *columns);
    tr_code code = TR_OK;
    for (uint32_t i = 0; i < shape->leaf_count && code == TR_OK; i++)
        code = tr_column_builder_open(&shape->leaves[i], &builders[i], err);
    for (uint32_t row = 0; row < row_count && code == TR_OK; row++)
        code = shred_row(builders, shape->root, rows[row], err);
    for (uint32_t i = 0; i < shape->leaf_count && code == TR_OK; i++)
        code = tr_column_builder_view(builders[i], &columns[i], err);
    if (code == TR_OK)
        code = tr_run_write(&(tr_run_rows){.shape = shape, .columns = columns, .rows = row_count,
                                           .is_event = kind != TR_MODEL_RECORDS,
                                           .keeps_arrival = kind == TR_MODEL_ARRIVED, .bits_min = bits_min},
                            (tr_sink){tr_model_sink, out}, err);
    for (uint32_t i = 0; i < shape->leaf_count; i++)
        tr_column_builder_close(builders[i]);
    tr_free(builders);
    tr_free(columns);
    return code;
}

typedef struct reader {
    tr_column *columns;
    uint32_t *at;   /* next entry per leaf */
    uint32_t row;
} reader;

static json_t *scalar_of(const tr_column *column, tr_kind kind, uint32_t entry)
{
    if (column->codes[entry] == 0)
        return json_null();
    if (kind == TR_KIND_STRING) {
        const tr_str s = tr_column_string(column, entry);
        return json_stringn((const char *)s.at, s.len);
    }
    if (kind == TR_KIND_KEY) {
        char text[33];
        for (size_t i = 0; i < 16; i++)
            (void)snprintf(text + 2 * i, 3, "%02x", column->values.keys[column->codes[entry] - 1][i]);
        return json_string(text);
    }
    const uint64_t word = tr_column_word(column, entry);
    if (kind == TR_KIND_BOOLEAN)
        return json_boolean(word != 0);
    if (kind == TR_KIND_DOUBLE) {
        double real;
        memcpy(&real, &word, sizeof real);
        return json_real(real);
    }
    return json_integer((json_int_t)word);
}

static void skip(reader *r, const tr_type *type)
{
    for (uint32_t i = 0; i < type->leaf_count; i++)
        r->at[type->first_leaf + i]++;
}

static bool is_more(const reader *r, uint32_t leaf, uint8_t rep)
{
    const tr_column *column = &r->columns[leaf];
    return r->at[leaf] < column->row_start[r->row + 1] && column->rep[r->at[leaf]] == rep;
}

static json_t *assemble(reader *r, const tr_type *type, uint8_t def, uint8_t rep)
{
    const tr_column *first = &r->columns[type->first_leaf];
    const uint32_t entry = r->at[type->first_leaf];
    if (tr_kind_is_scalar(type->kind)) {
        r->at[type->first_leaf]++;
        return scalar_of(first, type->kind, entry);
    }
    if (first->def[entry] < def + 1) {
        skip(r, type);
        return json_null();
    }
    json_t *out = type->kind == TR_KIND_ARRAY ? json_array() : json_object();
    if (type->kind == TR_KIND_OBJECT) {
        for (uint32_t i = 0; i < type->child_count; i++) {
            json_t *member = assemble(r, type->children[i], (uint8_t)(def + 1), rep);
            char name[64];
            (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(type->children[i]->name));
            if (json_is_null(member))
                json_decref(member);
            else
                (void)json_object_set_new(out, name, member);
        }
        return out;
    }
    if (first->def[entry] < def + 2) {
        skip(r, type);
        return out;
    }
    do {
        char key[128] = "";
        if (type->kind == TR_KIND_MAP) {
            const tr_str text = tr_column_string(first, r->at[type->first_leaf]++);
            (void)snprintf(key, sizeof key, "%.*s", TR_STR_ARG(text));
        }
        json_t *item = assemble(r, type->children[0], (uint8_t)(def + 2), (uint8_t)(rep + 1));
        if (type->kind == TR_KIND_MAP)
            (void)json_object_set_new(out, key, item);
        else
            (void)json_array_append_new(out, item);
    } while (is_more(r, type->first_leaf, (uint8_t)(rep + 1)));
    return out;
}

/* NULL: nothing in the object. */
static json_t *assemble_row(reader *r, const tr_type *object)
{
    json_t *out = json_object();
    for (uint32_t i = 0; i < object->child_count; i++) {
        const tr_type *child = object->children[i];
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", TR_STR_ARG(child->name));
        json_t *member = child->kind == TR_KIND_OBJECT ? assemble_row(r, child) : assemble(r, child, 0, 0);
        if (member == NULL || json_is_null(member))
            json_decref(member);
        else
            (void)json_object_set_new(out, name, member);
    }
    if (json_object_size(out) > 0)
        return out;
    json_decref(out);
    return NULL;
}

static tr_code read_group(const tr_parquet_file *file, uint32_t group, json_t *out, tr_err *err)
{
    tr_arena arena = {0};
    const tr_shape *shape = tr_parquet_shape(file);
    const uint32_t rows = tr_parquet_group_rows(file, group);
    reader r = {.columns = tr_arena_array(&arena, shape->leaf_count, sizeof *r.columns),
                .at = tr_arena_array(&arena, shape->leaf_count, sizeof *r.at)};
    tr_code code = TR_OK;
    for (uint32_t i = 0; i < shape->leaf_count && code == TR_OK; i++)
        code = tr_parquet_read(file, group, i, 0, rows, &arena, &r.columns[i], err);
    for (r.row = 0; code == TR_OK && r.row < rows; r.row++) {
        json_t *row = assemble_row(&r, shape->root);
        (void)json_array_append_new(out, row == NULL ? json_object() : row);
    }
    tr_arena_free(&arena);
    return code;
}

tr_code tr_model_read(const tr_parquet_file *file, json_t **out, tr_err *err)
{
    json_t *rows = json_array();
    for (uint32_t g = 0; g < tr_parquet_group_count(file); g++) {
        const tr_code code = read_group(file, g, rows, err);
        if (code != TR_OK) {
            json_decref(rows);
            return code;
        }
    }
    *out = rows;
    return TR_OK;
}
