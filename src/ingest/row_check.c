/* SPDX-License-Identifier: Apache-2.0 */
/* row_check.c - see row_check.h. Rows are put together from levels by the book, one value at a
 * time, and share nothing with the reader that took them apart. */
#include "ingest/row_check.h"

#include <stdio.h>
#include <stdlib.h>

static tr_code look(void *ctx, tr_str id, const json_t **doc, tr_err *err)
{
    if (tr_str_is(id, TR_CHECK_SCHEMA)) {
        *doc = ctx;
        return TR_OK;
    }
    return tr_xdm_global_find(id, doc, err);
}

static json_t *parse(const char *text)
{
    json_t *out = NULL;
    tr_err err = {0};
    if (tr_json_parse(tr_str_of(text), &out, &err) != TR_OK) {
        printf("%s\n  %s\n", err.text, text);
        exit(2);
    }
    return out;
}

tr_xdm_schema *tr_check_schema(const char *class_id, const char *properties,
                               const char *descriptors)
{
    tr_xdm_schema *schema = NULL;
    tr_err err = {0};
    json_t *own = parse(properties);
    json_t *list = descriptors == NULL ? json_array() : parse(descriptors);
    json_t *required = json_incref(json_object_get(own, "required"));
    (void)json_object_del(own, "required");
    json_t *doc =
        json_pack("{s:s, s:s, s:s, s:[{s:s}], s:o}", "$id", TR_CHECK_SCHEMA, "type", "object",
                  "meta:resourceType", "schemas", "allOf", "$ref", class_id, "properties", own);
    if (required != NULL)
        (void)json_object_set_new(doc, "required", required);
    if (tr_xdm_schema_open(look, doc, tr_str_of(TR_CHECK_SCHEMA), list, &schema, &err) != TR_OK) {
        printf("%s\n", err.text);
        exit(2);
    }
    json_decref(list);
    json_decref(doc);
    return schema;
}

/* ---- columns into rows */

typedef struct assembly {
    const tr_column *columns;
    uint32_t *at;  /* per leaf: the next entry */
    uint32_t *end; /* per leaf: one past the row's last */
    bool is_whole;
} assembly;

static json_t *scalar(const tr_column *column, uint32_t entry, tr_kind kind)
{
    const uint64_t word =
        kind == TR_KIND_STRING || kind == TR_KIND_KEY ? 0 : tr_column_word(column, entry);
    double real;
    switch (kind) {
    case TR_KIND_STRING: return tr_json_str(tr_column_string(column, entry));
    case TR_KIND_BOOLEAN: return json_boolean(word);
    case TR_KIND_DOUBLE: memcpy(&real, &word, sizeof real); return json_real(real);
    case TR_KIND_KEY: {
        char text[33];
        const uint8_t *key = column->values.keys[column->codes[entry] - 1];
        for (uint32_t i = 0; i < 16; i++)
            (void)snprintf(text + 2 * i, 3, "%02x", key[i]);
        return json_string(text);
    }
    case TR_KIND_INT32:
    case TR_KIND_INT64:
    case TR_KIND_DATE:
    case TR_KIND_TIMESTAMP:
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP: break;
    }
    return json_integer((json_int_t)word);
}

/* Takes one entry of every leaf below `type`: it is absent here. */
static void consume(assembly *a, const tr_type *type)
{
    for (uint32_t leaf = type->first_leaf; leaf < type->first_leaf + type->leaf_count; leaf++) {
        if (a->at[leaf] >= a->end[leaf] || a->columns[leaf].codes[a->at[leaf]] != 0)
            a->is_whole = false;
        a->at[leaf]++;
    }
}

static json_t *assemble(assembly *a, const tr_type *type, uint32_t def, uint32_t rep);

static bool goes_on(const assembly *a, uint32_t leaf, uint32_t rep)
{
    return a->at[leaf] < a->end[leaf] && a->columns[leaf].rep[a->at[leaf]] == rep;
}

static json_t *assemble_many(assembly *a, const tr_type *type, uint32_t def, uint32_t rep)
{
    const uint32_t leaf = type->first_leaf;
    const bool is_map = type->kind == TR_KIND_MAP;
    json_t *out = is_map ? json_object() : json_array();
    if (a->columns[leaf].def[a->at[leaf]] == def) {
        consume(a, type);
        return out;
    }
    do {
        json_t *key = is_map ? scalar(&a->columns[leaf], a->at[leaf]++, TR_KIND_STRING) : NULL;
        json_t *item = assemble(a, type->children[0], def + 2, rep + 1);
        if (is_map)
            (void)json_object_set_new(out, json_string_value(key),
                                      item == NULL ? json_null() : item);
        else
            (void)json_array_append_new(out, item == NULL ? json_null() : item);
        json_decref(key);
    } while (goes_on(a, leaf, rep + 1));
    return out;
}

/* The value of `type`, whose level is `def` when it is there; NULL: it is not. */
static json_t *assemble(assembly *a, const tr_type *type, uint32_t def, uint32_t rep)
{
    const uint32_t leaf = type->first_leaf, entry = a->at[leaf];
    const tr_column *column = &a->columns[leaf];
    if (entry >= a->end[leaf]) {
        a->is_whole = false;
        return NULL;
    }
    if (column->def[entry] < def) {
        consume(a, type);
        return NULL;
    }
    if (tr_kind_is_scalar(type->kind)) {
        a->at[leaf]++;
        a->is_whole = a->is_whole && column->codes[entry] != 0 && column->def[entry] == def;
        return scalar(column, entry, type->kind);
    }
    if (type->kind != TR_KIND_OBJECT)
        return assemble_many(a, type, def, rep);
    json_t *out = json_object();
    for (uint32_t i = 0; i < type->child_count; i++) {
        const tr_type *child = type->children[i];
        json_t *value = assemble(a, child, def + 1, rep);
        if (value != NULL)
            (void)json_object_setn_new(out, (const char *)child->name.at, child->name.len, value);
    }
    return out;
}

/* Above units: objects are there when something in them is. */
static json_t *assemble_object(assembly *a, const tr_type *object)
{
    json_t *out = json_object();
    for (uint32_t i = 0; i < object->child_count; i++) {
        const tr_type *child = object->children[i];
        const uint32_t leaf = child->first_leaf;
        json_t *value = NULL;
        if (child->kind == TR_KIND_OBJECT) {
            value = assemble_object(a, child);
            if (json_object_size(value) == 0) {
                json_decref(value);
                value = NULL;
            }
        } else if (!tr_kind_is_scalar(child->kind)) {
            value = assemble(a, child, 1, 0);
        } else if (a->columns[leaf].codes[a->at[leaf]++] != 0) {
            value = scalar(&a->columns[leaf], a->at[leaf] - 1, child->kind);
        }
        if (value != NULL)
            (void)json_object_setn_new(out, (const char *)child->name.at, child->name.len, value);
    }
    return out;
}

json_t *tr_check_row(const tr_shape *shape, const tr_column *columns, uint32_t row, bool *is_whole)
{
    assembly a = {.columns = columns, .is_whole = true};
    a.at = tr_alloc_array(shape->leaf_count, sizeof *a.at);
    a.end = tr_alloc_array(shape->leaf_count, sizeof *a.end);
    for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++) {
        const tr_column *column = &columns[leaf];
        a.at[leaf] = column->rep == NULL ? row : column->row_start[row];
        a.end[leaf] = column->rep == NULL ? row + 1 : column->row_start[row + 1];
    }
    json_t *out = assemble_object(&a, shape->root);
    for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++)
        a.is_whole = a.is_whole && a.at[leaf] == a.end[leaf];
    if (!a.is_whole)
        *is_whole = false;
    tr_free(a.at);
    tr_free(a.end);
    return out;
}

static json_t *plain_object(const json_t *value)
{
    json_t *out = json_object();
    const char *name;
    json_t *member;
    json_object_foreach ((json_t *)(uintptr_t)value, name, member) {
        json_t *kept = tr_check_plain(member);
        if (kept != NULL)
            (void)json_object_set_new(out, name, kept);
    }
    if (json_object_size(out) > 0)
        return out;
    json_decref(out);
    return NULL;
}

json_t *tr_check_plain(const json_t *value)
{
    if (json_is_null(value))
        return NULL;
    if (json_is_object(value))
        return plain_object(value);
    if (!json_is_array(value))
        return json_deep_copy(value);
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        json_t *kept = tr_check_plain(item);
        if (kept == NULL)
            kept = json_is_object(item) ? json_object() : json_null();
        (void)json_array_append_new(out, kept);
    }
    return out;
}
