/* SPDX-License-Identifier: Apache-2.0 */
/* schema_read.c - Parquet's flat list of SchemaElements back into a tree of types.
 *
 * The list is the tree in preorder, a group saying how many children follow. We take exactly what
 * our writer makes of a type (type.h); any other form is refused with the column's path.
 */
#include "parquet/read_internal.h"
#include "base/limits.h"

#include <stdio.h>

enum {
    ELEMENTS_MAX = 16 * TR_ROW_FIELDS_MAX,
    DEPTH_MAX = 258, /* 255 levels, the root, a map's key */
    NONE = -1
};

typedef struct element {
    tr_str name;
    int32_t type, type_length, repetition, children, converted; /* NONE: not there */
    int32_t logical;                                            /* 0: none */
    int32_t unit;
    int32_t bits;
    bool is_utc, is_signed;
} element;

typedef struct building {
    tr_arena *arena;
    const element *elements;
    uint32_t count;
    uint32_t at; /* the next one */
    uint32_t depth;
    tr_str path[DEPTH_MAX];
} building;

static int32_t read_time_unit(tr_thrift_reader *r, const tr_thrift_field *field)
{
    int32_t unit = 0;
    tr_thrift_field f = {0};
    tr_thrift_struct(r, field);
    while (tr_thrift_next(r, &f)) {
        unit = f.id;
        tr_thrift_skip(r, &f);
    }
    return unit;
}

static void read_logical_fields(tr_thrift_reader *r, const tr_thrift_field *field, element *e)
{
    tr_thrift_field f = {0};
    tr_thrift_struct(r, field);
    while (tr_thrift_next(r, &f)) {
        if (e->logical == TR_PQ_LOGICAL_TIMESTAMP && f.id == TR_PQ_TIMESTAMP_IS_UTC)
            e->is_utc = tr_thrift_bool(r, &f);
        else if (e->logical == TR_PQ_LOGICAL_TIMESTAMP && f.id == TR_PQ_TIMESTAMP_UNIT)
            e->unit = read_time_unit(r, &f);
        else if (e->logical == TR_PQ_LOGICAL_INTEGER && f.id == TR_PQ_INTEGER_BITS)
            e->bits = tr_thrift_byte(r, &f);
        else if (e->logical == TR_PQ_LOGICAL_INTEGER && f.id == TR_PQ_INTEGER_IS_SIGNED)
            e->is_signed = tr_thrift_bool(r, &f);
        else
            tr_thrift_skip(r, &f);
    }
}

static void read_logical(tr_thrift_reader *r, const tr_thrift_field *field, element *e)
{
    tr_thrift_field f = {0};
    tr_thrift_struct(r, field);
    while (tr_thrift_next(r, &f)) {
        e->logical = f.id;
        read_logical_fields(r, &f, e);
    }
}

static void read_element(tr_thrift_reader *r, element *e)
{
    tr_thrift_field f = {0};
    *e = (element){.type = NONE, .type_length = NONE, .repetition = NONE, .children = NONE,
                   .converted = NONE};
    tr_thrift_enter(r);
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_SCHEMA_TYPE)
            e->type = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_SCHEMA_TYPE_LENGTH)
            e->type_length = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_SCHEMA_REPETITION)
            e->repetition = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_SCHEMA_NAME)
            e->name = tr_thrift_binary(r, &f);
        else if (f.id == TR_PQ_SCHEMA_CHILDREN)
            e->children = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_SCHEMA_CONVERTED)
            e->converted = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_SCHEMA_LOGICAL)
            read_logical(r, &f, e);
        else
            tr_thrift_skip(r, &f);
    }
    if (!tr_str_is_utf8(e->name, &(size_t){0}))
        tr_thrift_fault(r, "a column's name is not UTF-8");
    if (e->type == NONE && e->children < 0)
        tr_thrift_fault(r, "a column has neither a type nor children");
    if (e->type != NONE && e->children > 0)
        tr_thrift_fault(r, "a column has a type and children");
}

static bool is_group(const element *e)
{
    return e->type == NONE;
}

/* "column 'a.b' <what>", with the path down to the element being read. */
static tr_code refuse(const building *b, const char *what, tr_err *err)
{
    char path[200] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < b->depth && len + 1 < sizeof path; i++)
        len += (size_t)snprintf(path + len, sizeof path - len, "%s%.*s", i == 0 ? "" : ".",
                                TR_STR_ARG(b->path[i]));
    return TR_FAIL(err, TR_INVALID, "column '%s' %s", path, what);
}

static bool is_plain(const element *e)
{
    return e->logical == 0 && e->converted == NONE;
}

static bool int32_kind(const element *e, tr_kind *out)
{
    const bool is_date = e->logical == TR_PQ_LOGICAL_DATE ||
                         (e->logical == 0 && e->converted == TR_PQ_CONVERTED_DATE);
    *out = is_date ? TR_KIND_DATE : TR_KIND_INT32;
    if (is_date || is_plain(e))
        return true;
    return e->logical == 0 ? e->converted == TR_PQ_CONVERTED_INT_32
                           : e->logical == TR_PQ_LOGICAL_INTEGER && e->bits == 32 && e->is_signed;
}

static bool int64_kind(const element *e, tr_kind *out)
{
    *out = TR_KIND_TIMESTAMP;
    if (e->logical == TR_PQ_LOGICAL_TIMESTAMP)
        return e->is_utc && e->unit == TR_PQ_UNIT_MICROS;
    if (e->logical == 0 && e->converted == TR_PQ_CONVERTED_TIMESTAMP_MICROS)
        return true;
    *out = TR_KIND_INT64;
    if (is_plain(e))
        return true;
    return e->logical == 0 ? e->converted == TR_PQ_CONVERTED_INT_64
                           : e->logical == TR_PQ_LOGICAL_INTEGER && e->bits == 64 && e->is_signed;
}

static bool leaf_kind(const element *e, tr_kind *out)
{
    switch (e->type) {
    case TR_PQ_BOOLEAN:
        *out = TR_KIND_BOOLEAN;
        return is_plain(e);
    case TR_PQ_INT32:
        return int32_kind(e, out);
    case TR_PQ_INT64:
        return int64_kind(e, out);
    case TR_PQ_DOUBLE:
        *out = TR_KIND_DOUBLE;
        return is_plain(e);
    case TR_PQ_BYTE_ARRAY:
        *out = TR_KIND_STRING;
        return e->logical == TR_PQ_LOGICAL_STRING ||
               (e->logical == 0 && e->converted == TR_PQ_CONVERTED_UTF8);
    case TR_PQ_FIXED_LEN_BYTE_ARRAY:
        *out = TR_KIND_KEY;
        return e->type_length == 16 && is_plain(e);
    default:
        return false;
    }
}

/* Steps into the next element, of which the name is part of the path. */
static tr_code next_element(building *b, const element **out, tr_err *err)
{
    if (b->at == b->count)
        return TR_FAIL(err, TR_CORRUPT, "the schema ends before its last column");
    if (b->depth == DEPTH_MAX)
        return TR_FAIL(err, TR_LIMIT, "the schema is nested more than %d deep", DEPTH_MAX);
    *out = &b->elements[b->at++];
    b->path[b->depth++] = (*out)->name;
    return TR_OK;
}

static tr_code read_node(building *b, tr_type *parent, tr_err *err);

/* The repeated group of a list or map, with its name and number of children. */
static tr_code read_repeated(building *b, const char *name, int32_t children, tr_err *err)
{
    const element *e = NULL;
    TR_TRY(next_element(b, &e, err));
    if (!is_group(e) || e->repetition != TR_PQ_REPEATED || e->children != children ||
        !tr_str_is(e->name, name))
        return refuse(b, "is not the repeated group of a three-level list or map", err);
    return TR_OK;
}

static tr_code read_map_key(building *b, tr_err *err)
{
    const element *e = NULL;
    tr_kind kind;
    TR_TRY(next_element(b, &e, err));
    if (is_group(e) || e->repetition != TR_PQ_REQUIRED || !tr_str_is(e->name, TR_PQ_KEY_NAME) ||
        !leaf_kind(e, &kind) || kind != TR_KIND_STRING)
        return refuse(b, "is not a map's required string key", err);
    b->depth--;
    return TR_OK;
}

static tr_code read_children(building *b, tr_type *type, const element *e, tr_err *err)
{
    if (type->kind == TR_KIND_OBJECT) {
        for (int32_t i = 0; i < e->children; i++)
            TR_TRY(read_node(b, type, err));
        return TR_OK;
    }
    const bool is_map = type->kind == TR_KIND_MAP;
    if (e->children != 1)
        return refuse(b, "is a list or map with more than its repeated group", err);
    TR_TRY(read_repeated(b, is_map ? TR_PQ_ENTRIES_NAME : TR_PQ_LIST_NAME, is_map ? 2 : 1, err));
    if (is_map)
        TR_TRY(read_map_key(b, err));
    if (b->at < b->count &&
        !tr_str_is(b->elements[b->at].name, is_map ? TR_PQ_VALUE_NAME : TR_PQ_ELEMENT_NAME))
        return refuse(b, "holds something that is not named 'element' or 'value'", err);
    TR_TRY(read_node(b, type, err));
    b->depth--;
    return TR_OK;
}

static tr_kind group_kind(const element *e)
{
    if (e->logical == TR_PQ_LOGICAL_LIST || e->converted == TR_PQ_CONVERTED_LIST)
        return TR_KIND_ARRAY;
    if (e->logical == TR_PQ_LOGICAL_MAP || e->converted == TR_PQ_CONVERTED_MAP)
        return TR_KIND_MAP;
    return TR_KIND_OBJECT;
}

/* Reads one optional column or group with all below it, and adds it to its parent. */
static tr_code read_node(building *b, tr_type *parent, tr_err *err)
{
    const element *e = NULL;
    tr_kind kind = TR_KIND_OBJECT;
    TR_TRY(next_element(b, &e, err));
    if (e->repetition != TR_PQ_OPTIONAL)
        return refuse(b, "is not optional", err);
    if (is_group(e))
        kind = group_kind(e);
    else if (!leaf_kind(e, &kind))
        return refuse(b, "has a type that Tributary does not write", err);
    tr_type *type = tr_type_make(b->arena, kind, e->name);
    if (type == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a schema of %u columns", b->count);
    if (is_group(e))
        TR_TRY(read_children(b, type, e, err));
    if (!tr_type_add(b->arena, parent, type))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a schema of %u columns", b->count);
    b->depth--;
    return TR_OK;
}

static tr_code build_shape(building *b, tr_shape *out, tr_err *err)
{
    const element *e = b->elements;
    tr_type *root = tr_type_make(b->arena, TR_KIND_OBJECT, (tr_str){(const uint8_t *)"", 0});
    if (root == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a schema of %u columns", b->count);
    if (!is_group(e))
        return TR_FAIL(err, TR_CORRUPT, "the schema's root is not a group");
    b->at = 1;
    for (int32_t i = 0; i < e->children; i++)
        TR_TRY(read_node(b, root, err));
    if (b->at != b->count)
        return TR_FAIL(err, TR_CORRUPT, "the schema goes on behind its last column");
    return tr_shape_make(b->arena, root, out, err);
}

tr_code tr_schema_read(tr_thrift_reader *reader, const tr_thrift_field *field, tr_arena *arena,
                       tr_shape *out, tr_err *err)
{
    const uint32_t count = tr_thrift_list(reader, field, TR_THRIFT_STRUCT);
    if (count == 0)
        return TR_FAIL(err, TR_CORRUPT, "the schema is damaged: %s",
                       reader->problem != NULL ? reader->problem : "it has no columns");
    if (count > ELEMENTS_MAX)
        return TR_FAIL(err, TR_LIMIT, "the schema has %u elements, at most %d are read", count,
                       ELEMENTS_MAX);
    element *elements = tr_alloc_array(count, sizeof *elements);
    building *b = tr_alloc_zeroed(1, sizeof *b);
    tr_code code = TR_OK;
    if (elements == NULL || b == NULL) {
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a schema of %u elements", count);
        goto done;
    }
    for (uint32_t i = 0; i < count && reader->problem == NULL; i++)
        read_element(reader, &elements[i]);
    if (reader->problem != NULL) {
        code = TR_FAIL(err, TR_CORRUPT, "the schema is damaged: %s", reader->problem);
        goto done;
    }
    *b = (building){.arena = arena, .elements = elements, .count = count};
    code = build_shape(b, out, err);
done:
    tr_free(b);
    tr_free(elements);
    return code;
}
