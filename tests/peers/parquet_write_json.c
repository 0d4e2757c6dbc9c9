/* SPDX-License-Identifier: Apache-2.0 */
/* parquet_write_json.c - rows as JSON into a Parquet file, for other software to read.
 *
 *     parquet_write_json CASE.json OUT.parquet
 *
 * CASE.json: {"type": {"kind": "object", "members": [{"name": "n", "kind": "int64"}, ...]},
 *             "rows": [...],
 *             "group_rows": 100, "page_rows": 7, "skip": ["unit", ...]}
 * Below arrays "element", below maps "value" is the type of what is in it. Numbers stand for
 * themselves (a date: days, a timestamp: microseconds), a key is 32 hex digits. Units in "skip" are
 * not put.
 */
#include "base/check.h"
#include "parquet/parquet.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kind_names[] = {"boolean",   "int32", "int64",  "double", "string", "date",
                                         "timestamp", "key",   "object", "array",  "map"};

static void fail(const char *what)
{
    (void)fprintf(stderr, "parquet_write_json: %s\n", what);
    exit(1);
}

static tr_str text_of(const json_t *value)
{
    return (tr_str){(const uint8_t *)json_string_value(value), json_string_length(value)};
}

static tr_type *type_of(tr_arena *arena, const json_t *json)
{
    uint32_t kind = 0;
    while (kind <= TR_KIND_MAP &&
           !tr_str_is(text_of(json_object_get(json, "kind")), kind_names[kind]))
        kind++;
    const json_t *name = json_object_get(json, "name");
    tr_type *type = tr_type_make(arena, (tr_kind)kind, name == NULL ? (tr_str){0} : text_of(name));
    const json_t *inner = json_object_get(json, kind == TR_KIND_ARRAY ? "element" : "value");
    size_t i;
    json_t *member;
    if (kind > TR_KIND_MAP || type == NULL)
        fail("no such kind");
    json_array_foreach(json_object_get(json, "members"), i,
                       member) if (!tr_type_add(arena, type, type_of(arena, member)))
        fail("no memory");
    if (inner != NULL && !tr_type_add(arena, type, type_of(arena, inner)))
        fail("no memory");
    return type;
}

typedef struct shredder {
    const tr_shape *shape;
    tr_column_builder **builders;
} shredder;

static void check(tr_code code, const tr_err *err)
{
    if (code != TR_OK)
        fail(err->text);
}

static void add_nulls(const shredder *s, const tr_type *type, uint8_t rep, uint8_t def)
{
    tr_err err;
    for (uint32_t i = 0; i < type->leaf_count; i++)
        check(tr_column_add_null(s->builders[type->first_leaf + i], rep, def, &err), &err);
}

static void add_key(tr_column_builder *builder, const char *hex)
{
    tr_err err;
    uint8_t key[16];
    for (size_t i = 0; i < 16; i++) {
        const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        key[i] = (uint8_t)strtoul(pair, NULL, 16);
    }
    check(tr_column_add_key(builder, key, &err), &err);
}

static void add_scalar(const shredder *s, const tr_type *type, const json_t *value, uint8_t rep)
{
    tr_err err;
    tr_column_builder *builder = s->builders[type->first_leaf];
    uint64_t word = (uint64_t)json_integer_value(value);
    if (type->kind == TR_KIND_KEY) {
        add_key(builder, json_string_value(value));
        return;
    }
    if (type->kind == TR_KIND_STRING) {
        check(tr_column_add_string(builder, rep, text_of(value), &err), &err);
        return;
    }
    if (type->kind == TR_KIND_BOOLEAN)
        word = json_is_true(value);
    if (type->kind == TR_KIND_DOUBLE) {
        const double real = json_is_string(value) ? strtod(json_string_value(value), NULL)
                                                  : json_number_value(value);
        memcpy(&word, &real, sizeof word);
    }
    check(tr_column_add_word(builder, rep, word, &err), &err);
}

static void shred(const shredder *s, const tr_type *type, json_t *value, uint8_t rep, uint8_t def,
                  uint8_t depth);

static void shred_entries(const shredder *s, const tr_type *type, json_t *value, uint8_t rep,
                          uint8_t def, uint8_t depth)
{
    tr_err err;
    const uint8_t inner = (uint8_t)(depth + 1);
    const char *key;
    json_t *item;
    size_t i;
    if (type->kind == TR_KIND_ARRAY) {
        json_array_foreach(value, i, item)
        {
            shred(s, type->children[0], item, i == 0 ? rep : inner, (uint8_t)(def + 2), inner);
        }
        return;
    }
    json_object_foreach(value, key, item)
    {
        check(tr_column_add_string(s->builders[type->first_leaf], rep, tr_str_of(key), &err), &err);
        shred(s, type->children[0], item, rep, (uint8_t)(def + 2), inner);
        rep = inner;
    }
}

/* def: the level of what is present above `type`; depth: how many arrays and maps it stands in. */
static void shred(const shredder *s, const tr_type *type, json_t *value, uint8_t rep, uint8_t def,
                  uint8_t depth)
{
    const bool is_object = type->kind == TR_KIND_OBJECT;
    if (value == NULL || json_is_null(value)) {
        add_nulls(s, type, rep, def);
    } else if (tr_kind_is_scalar(type->kind)) {
        add_scalar(s, type, value, rep);
    } else if (!is_object && json_array_size(value) + json_object_size(value) == 0) {
        add_nulls(s, type, rep, (uint8_t)(def + 1));
    } else if (!is_object) {
        shred_entries(s, type, value, rep, def, depth);
    } else {
        for (uint32_t i = 0; i < type->child_count; i++) {
            const tr_str name = type->children[i]->name;
            shred(s, type->children[i], json_object_getn(value, (const char *)name.at, name.len),
                  rep, (uint8_t)(def + 1), depth);
        }
    }
}

static void shred_row(const shredder *s, const tr_type *object, const json_t *value)
{
    for (uint32_t i = 0; i < object->child_count; i++) {
        const tr_type *child = object->children[i];
        json_t *member = json_object_getn(value, (const char *)child->name.at, child->name.len);
        if (child->kind == TR_KIND_OBJECT)
            shred_row(s, child, member);
        else
            shred(s, child, member, 0, 0, 0);
    }
}

static bool is_skipped(const json_t *skip, tr_str unit)
{
    size_t i;
    json_t *name;
    json_array_foreach(skip, i, name) if (tr_str_equal(text_of(name), unit)) return true;
    return false;
}

static void write_group(tr_parquet_writer *writer, const shredder *s, const json_t *json,
                        size_t from, size_t to)
{
    tr_err err;
    const tr_shape *shape = s->shape;
    for (uint32_t i = 0; i < shape->leaf_count; i++)
        tr_column_builder_reset(s->builders[i]);
    for (size_t row = from; row < to; row++)
        shred_row(s, shape->root, json_array_get(json_object_get(json, "rows"), row));
    check(tr_parquet_begin_group(writer, (uint32_t)(to - from), &err), &err);
    for (uint32_t i = 0; i < shape->leaf_count; i++) {
        tr_column column;
        if (is_skipped(json_object_get(json, "skip"), shape->units[shape->leaves[i].unit].path))
            continue;
        check(tr_column_builder_view(s->builders[i], &column, &err), &err);
        column.values.is_distinct =
            column.values.is_distinct && !json_is_true(json_object_get(json, "plain"));
        check(tr_parquet_put(writer, i, &column, &err), &err);
    }
    check(tr_parquet_end_group(writer, &err), &err);
}

static tr_code to_file(void *ctx, tr_str bytes, tr_err *err)
{
    if (fwrite(bytes.at, 1, bytes.len, ctx) == bytes.len)
        return TR_OK;
    return TR_FAIL(err, TR_IO, "the file cannot be written");
}

static void write_case(const json_t *json, FILE *file)
{
    tr_err err;
    tr_arena arena = {0};
    tr_shape shape;
    tr_parquet_writer *writer;
    static const char *const metadata[] = {"tributary.peer", "a value", "other", "", NULL};
    const size_t rows = json_array_size(json_object_get(json, "rows"));
    const size_t group_rows = (size_t)json_integer_value(json_object_get(json, "group_rows"));
    const tr_parquet_options options = {
        .page_rows = (uint32_t)json_integer_value(json_object_get(json, "page_rows")),
        .metadata = metadata};
    check(tr_shape_make(&arena, type_of(&arena, json_object_get(json, "type")), &shape, &err),
          &err);
    shredder s = {&shape, tr_alloc_zeroed(shape.leaf_count, sizeof(tr_column_builder *))};
    if (s.builders == NULL)
        fail("no memory");
    for (uint32_t i = 0; i < shape.leaf_count; i++)
        check(tr_column_builder_open(&shape.leaves[i], &s.builders[i], &err), &err);
    check(tr_parquet_writer_open((tr_sink){to_file, file}, &shape, &options, &writer, &err), &err);
    for (size_t from = 0; from < rows; from += group_rows)
        write_group(writer, &s, json, from, from + group_rows < rows ? from + group_rows : rows);
    check(tr_parquet_finish(writer, &err), &err);
    tr_parquet_writer_close(writer);
    for (uint32_t i = 0; i < shape.leaf_count; i++)
        tr_column_builder_close(s.builders[i]);
    tr_free(s.builders);
    tr_arena_free(&arena);
}

int main(int argc, char **argv)
{
    json_error_t error;
    json_t *json =
        argc == 3 ? json_load_file(argv[1], JSON_DECODE_ANY | JSON_ALLOW_NUL, &error) : NULL;
    FILE *file = json == NULL ? NULL : fopen(argv[2], "wb");
    if (file == NULL)
        fail("usage: parquet_write_json CASE.json OUT.parquet");
    write_case(json, file);
    json_decref(json);
    return fclose(file) == 0 ? 0 : 1;
}
