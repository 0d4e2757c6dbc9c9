/* SPDX-License-Identifier: Apache-2.0 */
/* pql_world.c - see pql_world.h. */
#include "pql/pql_world.h"

#include "base/clock.h"

#include <string.h>

static tr_type *make_type(tr_arena *arena, const json_t *json, const char *name)
{
    static const struct {
        const char *name;
        tr_kind kind;
    } scalars[] = {{"string", TR_KIND_STRING},      {"boolean", TR_KIND_BOOLEAN},
                   {"int", TR_KIND_INT32},          {"long", TR_KIND_INT64},
                   {"double", TR_KIND_DOUBLE},      {"date", TR_KIND_DATE},
                   {"timestamp", TR_KIND_TIMESTAMP}};
    const char *key;
    json_t *member;
    for (size_t i = 0; json_is_string(json) && i < sizeof scalars / sizeof scalars[0]; i++)
        if (strcmp(json_string_value(json), scalars[i].name) == 0)
            return tr_type_make(arena, scalars[i].kind, tr_str_of(name));
    if (json_is_array(json) || json_object_get(json, "*") != NULL) {
        const bool is_map = json_is_object(json);
        tr_type *list = tr_type_make(arena, is_map ? TR_KIND_MAP : TR_KIND_ARRAY, tr_str_of(name));
        tr_type *item =
            make_type(arena, is_map ? json_object_get(json, "*") : json_array_get(json, 0), "item");
        return list != NULL && item != NULL && tr_type_add(arena, list, item) ? list : NULL;
    }
    if (!json_is_object(json))
        return NULL;
    tr_type *object = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(name));
    json_object_foreach((json_t *)(uintptr_t)json, key, member)
    {
        tr_type *child = make_type(arena, member, key);
        if (object == NULL || child == NULL || !tr_type_add(arena, object, child))
            return NULL;
    }
    return object;
}

static tr_code open_table(tr_pql_world *world, const json_t *schema, tr_pql_rows *table,
                          tr_err *err)
{
    tr_type *root = make_type(&world->arena, schema, "");
    if (root == NULL)
        return TR_FAIL(err, TR_INVALID, "this is no schema");
    TR_TRY(tr_shape_make(&world->arena, root, &table->shape, err));
    const uint32_t leaves = table->shape.leaf_count;
    table->columns = tr_arena_array(&world->arena, leaves, sizeof *table->columns);
    table->builders = tr_arena_array(&world->arena, leaves, sizeof(tr_column_builder *));
    if (table->columns == NULL || table->builders == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a table");
    for (uint32_t i = 0; i < leaves; i++)
        TR_TRY(tr_column_builder_open(&table->shape.leaves[i], &table->builders[i], err));
    return TR_OK;
}

tr_code tr_pql_world_open(const json_t *schema, tr_pql_world *out, tr_err *err)
{
    *out = (tr_pql_world){0};
    TR_TRY(open_table(out, json_object_get(schema, "profile"), &out->profiles, err));
    return open_table(out, json_object_get(schema, "event"), &out->events, err);
}

/* ---- rows into columns */

typedef struct shredder {
    tr_column_builder **builders;
    tr_err *err;
} shredder;

static tr_code shred_absent(const shredder *s, const tr_type *type, uint8_t rep, uint8_t def)
{
    for (uint32_t i = 0; i < type->leaf_count; i++)
        TR_TRY(tr_column_add_null(s->builders[type->first_leaf + i], rep, def, s->err));
    return TR_OK;
}

static tr_code shred_scalar(const shredder *s, const tr_type *type, const json_t *value,
                            uint8_t rep)
{
    tr_column_builder *builder = s->builders[type->first_leaf];
    const double number = json_number_value(value);
    const tr_str text = {(const uint8_t *)json_string_value(value), json_string_length(value)};
    uint64_t word = (uint64_t)json_integer_value(value);
    int64_t us;
    int32_t days;
    if (type->kind == TR_KIND_STRING)
        return tr_column_add_string(builder, rep, text, s->err);
    if (type->kind == TR_KIND_BOOLEAN)
        word = json_is_true(value);
    if (type->kind == TR_KIND_DOUBLE)
        memcpy(&word, &number, sizeof word);
    if (type->kind == TR_KIND_TIMESTAMP) {
        TR_TRY(tr_time_parse(text, false, &us, s->err));
        word = (uint64_t)us;
    }
    if (type->kind == TR_KIND_DATE) {
        TR_TRY(tr_time_parse_date(text, &days, s->err));
        word = (uint64_t)(int64_t)days;
    }
    return tr_column_add_word(builder, rep, word, s->err);
}

/* level: arrays and maps above; def counts from the unit, 0 above it. */
static tr_code shred(const shredder *s, const tr_type *type, const json_t *value, uint8_t rep,
                     uint8_t def, uint8_t level)
{
    const uint8_t in_unit = level > 0;
    const char *key;
    json_t *member;
    uint8_t item_rep = rep;
    if (value == NULL || json_is_null(value))
        return shred_absent(s, type, rep, def);
    if (tr_kind_is_scalar(type->kind))
        return shred_scalar(s, type, value, rep);
    if (type->kind == TR_KIND_OBJECT) {
        for (uint32_t i = 0; i < type->child_count; i++) {
            const tr_str name = type->children[i]->name;
            member = json_object_getn(value, (const char *)name.at, name.len);
            TR_TRY(shred(s, type->children[i], member, rep, (uint8_t)(def + in_unit), level));
        }
        return TR_OK;
    }
    if (json_array_size(value) + json_object_size(value) == 0)
        return shred_absent(s, type, rep, (uint8_t)(def + 1));
    if (type->kind == TR_KIND_ARRAY) {
        for (size_t i = 0; i < json_array_size(value); i++, item_rep = (uint8_t)(level + 1))
            TR_TRY(shred(s, type->children[0], json_array_get(value, i), item_rep,
                         (uint8_t)(def + 2), (uint8_t)(level + 1)));
        return TR_OK;
    }
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        TR_TRY(
            tr_column_add_string(s->builders[type->first_leaf], item_rep, tr_str_of(key), s->err));
        TR_TRY(shred(s, type->children[0], member, item_rep, (uint8_t)(def + 2),
                     (uint8_t)(level + 1)));
        item_rep = (uint8_t)(level + 1);
    }
    return TR_OK;
}

static tr_code add_row(tr_pql_rows *table, const json_t *row, tr_err *err)
{
    const shredder s = {.builders = table->builders, .err = err};
    TR_TRY(shred(&s, table->shape.root, row, 0, 0, 0));
    table->rows++;
    return TR_OK;
}

tr_code tr_pql_world_add(tr_pql_world *world, const json_t *row, tr_err *err)
{
    const json_t *events = json_object_get(row, "events");
    const uint32_t at = world->profiles.rows;
    if ((at & (at - 1)) == 0) { /* room grows at 0, 1, 2, 4, 8, ... rows */
        uint32_t *start = tr_arena_array(&world->arena, 2 * (size_t)at + 2, sizeof *start);
        if (start == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for rows");
        if (at > 0)
            memcpy(start, world->event_start, ((size_t)at + 1) * sizeof *start);
        world->event_start = start;
    }
    const json_t *profile = json_object_get(row, "profile");
    if (!json_is_object(profile))
        return TR_FAIL(err, TR_INVALID, "a row has no profile");
    TR_TRY(add_row(&world->profiles, profile, err));
    for (size_t i = 0; i < json_array_size(events); i++)
        TR_TRY(add_row(&world->events, json_array_get(events, i), err));
    world->event_start[at + 1] = world->events.rows;
    return TR_OK;
}

static tr_code view_columns(tr_pql_rows *table, tr_err *err)
{
    for (uint32_t i = 0; i < table->shape.leaf_count; i++)
        TR_TRY(tr_column_builder_view(table->builders[i], &table->columns[i], err));
    return TR_OK;
}

tr_code tr_pql_world_finish(tr_pql_world *world, tr_err *err)
{
    TR_TRY(view_columns(&world->profiles, err));
    return view_columns(&world->events, err);
}

void tr_pql_world_close(tr_pql_world *world)
{
    for (uint32_t i = 0; world->profiles.builders != NULL && i < world->profiles.shape.leaf_count;
         i++)
        tr_column_builder_close(world->profiles.builders[i]);
    for (uint32_t i = 0; world->events.builders != NULL && i < world->events.shape.leaf_count; i++)
        tr_column_builder_close(world->events.builders[i]);
    tr_arena_free(&world->arena);
}
