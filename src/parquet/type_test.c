/* SPDX-License-Identifier: Apache-2.0 */
/* type_test.c - trees of types and their shapes.
 *
 * Goal: leaves, units, levels and paths are those of the picture in type.h, and no tree that is no
 * good gets through. Method: the picture itself, and trees that break one rule each.
 */
#include "base/limits.h"
#include "base/test.h"
#include "parquet/type.h"

#include <string.h>

static tr_type *put(tr_arena *arena, tr_type *parent, tr_kind kind, const char *name)
{
    tr_type *type = tr_type_make(arena, kind, tr_str_of(name));
    if (type == NULL || (parent != NULL && !tr_type_add(arena, parent, type)))
        exit(3);
    return type;
}

/* The tree of type.h's picture. */
static tr_type *profile(tr_arena *arena)
{
    tr_type *root = put(arena, NULL, TR_KIND_OBJECT, "");
    tr_type *name = put(arena, put(arena, root, TR_KIND_OBJECT, "person"), TR_KIND_OBJECT, "name");
    (void)put(arena, name, TR_KIND_STRING, "firstName");
    (void)put(arena, put(arena, root, TR_KIND_ARRAY, "tags"), TR_KIND_STRING, "any");
    tr_type *visit = put(arena, put(arena, root, TR_KIND_ARRAY, "visits"), TR_KIND_OBJECT, "x");
    (void)put(arena, visit, TR_KIND_TIMESTAMP, "at");
    (void)put(arena, visit, TR_KIND_STRING, "url");
    tr_type *list = put(arena, put(arena, root, TR_KIND_MAP, "identityMap"), TR_KIND_ARRAY, "y");
    (void)put(arena, put(arena, list, TR_KIND_OBJECT, "z"), TR_KIND_STRING, "id");
    return root;
}

static bool is_leaf(const tr_leaf *leaf, const char *path, uint32_t unit, uint8_t def_max,
                    uint8_t rep_max)
{
    return tr_str_is(leaf->path, path) && leaf->unit == unit && leaf->def_max == def_max &&
           leaf->rep_max == rep_max;
}

static void leaves_are_listed_with_paths_and_levels(void)
{
    tr_arena arena = {0};
    tr_shape shape;
    CHECK(tr_shape_make(&arena, profile(&arena), &shape, NULL) == TR_OK);
    CHECK(shape.leaf_count == 6 && shape.unit_count == 4 && shape.type_count == 14);
    CHECK(is_leaf(&shape.leaves[0], "person.name.firstName", 0, 3, 0));
    CHECK(is_leaf(&shape.leaves[1], "tags.list.element", 1, 3, 1));
    CHECK(is_leaf(&shape.leaves[2], "visits.list.element.at", 2, 4, 1));
    CHECK(is_leaf(&shape.leaves[3], "visits.list.element.url", 2, 4, 1));
    CHECK(is_leaf(&shape.leaves[4], "identityMap.key_value.key", 3, 2, 1));
    CHECK(is_leaf(&shape.leaves[5], "identityMap.key_value.value.list.element.id", 3, 6, 2));
    CHECK(shape.leaves[4].is_map_key && shape.leaves[4].kind == TR_KIND_STRING);
    CHECK(!shape.leaves[5].is_map_key && shape.leaves[2].kind == TR_KIND_TIMESTAMP);
    CHECK(tr_shape_leaf(&shape, tr_str_of("visits.list.element.url")) == 3);
    CHECK(tr_shape_leaf(&shape, tr_str_of("visits.url")) == UINT32_MAX);
    tr_arena_free(&arena);
}

static void units_are_scalars_and_outermost_arrays_and_maps(void)
{
    tr_arena arena = {0};
    tr_shape shape;
    CHECK(tr_shape_make(&arena, profile(&arena), &shape, NULL) == TR_OK);
    CHECK(tr_str_is(shape.units[0].path, "person.name.firstName") && shape.units[0].base_def == 2);
    CHECK(tr_str_is(shape.units[2].path, "visits") && shape.units[2].base_def == 0);
    CHECK(shape.units[2].first_leaf == 2 && shape.units[2].leaf_count == 2);
    CHECK(shape.units[3].first_leaf == 4 && shape.units[3].leaf_count == 2);
    CHECK(shape.units[3].type->kind == TR_KIND_MAP);
    CHECK(tr_shape_unit(&shape, tr_str_of("identityMap")) == 3);
    CHECK(tr_shape_unit(&shape, tr_str_of("person")) == UINT32_MAX);
    tr_arena_free(&arena);
}

static void types_are_numbered_and_know_their_leaves(void)
{
    tr_arena arena = {0};
    tr_shape shape;
    tr_type *root = profile(&arena);
    CHECK(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    const tr_type *map = tr_type_member(root, tr_str_of("identityMap"));
    CHECK(root->id == 0 && root->first_leaf == 0 && root->leaf_count == 6);
    CHECK(map != NULL && map->id == 10 && map->first_leaf == 4 && map->leaf_count == 2);
    CHECK(map != NULL && map->children[0]->first_leaf == 5 &&
          tr_str_is(map->children[0]->name, "value"));
    CHECK(tr_str_is(tr_type_member(root, tr_str_of("tags"))->children[0]->name, "element"));
    CHECK(tr_type_member(root, tr_str_of("tag")) == NULL);
    tr_arena_free(&arena);
}

static void an_array_below_objects_counts_them_once(void)
{
    tr_arena arena = {0};
    tr_shape shape;
    tr_type *root = put(&arena, NULL, TR_KIND_OBJECT, "");
    tr_type *a = put(&arena, put(&arena, root, TR_KIND_OBJECT, "a"), TR_KIND_ARRAY, "b");
    tr_type *element = put(&arena, a, TR_KIND_OBJECT, "");
    (void)put(&arena, put(&arena, element, TR_KIND_OBJECT, "c"), TR_KIND_INT32, "d");
    CHECK(tr_shape_make(&arena, root, &shape, NULL) == TR_OK);
    CHECK(shape.units[0].base_def == 1 && tr_str_is(shape.units[0].path, "a.b"));
    CHECK(is_leaf(&shape.leaves[0], "a.b.list.element.c.d", 0, 6, 1));
    tr_arena_free(&arena);
}

static void paths_step_through_arrays_and_maps(void)
{
    tr_arena arena = {0};
    const tr_type *root = profile(&arena);
    const tr_type *id = tr_type_find(root, tr_str_of("identityMap.id"));
    CHECK(id != NULL && id->kind == TR_KIND_STRING);
    CHECK(tr_type_find(root, tr_str_of("identityMap.*.id")) == id);
    CHECK(tr_type_find(root, tr_str_of("identityMap.*"))->kind == TR_KIND_ARRAY);
    CHECK(tr_type_find(root, tr_str_of("identityMap.ecid.id")) == NULL);
    CHECK(tr_str_is(tr_type_find(root, tr_str_of("visits.url"))->name, "url"));
    CHECK(tr_type_find(root, tr_str_of("tags"))->kind == TR_KIND_ARRAY);
    CHECK(tr_type_find(root, tr_str_of("person.name"))->kind == TR_KIND_OBJECT);
    CHECK(tr_type_find(root, tr_str_of("person.name.firstName.x")) == NULL);
    CHECK(tr_type_find(root, tr_str_of("person.")) == NULL);
    CHECK(tr_type_find(root, tr_str_of("tags.*")) == NULL);
    CHECK(tr_type_find(root, tr_str_of("")) == root);
    tr_arena_free(&arena);
}

static void a_copy_is_equal_until_it_is_changed(void)
{
    tr_arena arena = {0}, other = {0};
    tr_type *root = profile(&arena);
    tr_type *copy = tr_type_copy(&other, root);
    CHECK(copy != NULL && tr_type_equal(root, copy));
    (void)put(&other, copy, TR_KIND_DATE, "birthday");
    CHECK(!tr_type_equal(root, copy));
    tr_arena_free(&arena);
    tr_shape shape;
    CHECK(tr_shape_make(&other, copy, &shape, NULL) == TR_OK && shape.leaf_count == 7);
    tr_arena_free(&other);
}

static void what_has_nothing_in_it_is_refused_by_its_path(void)
{
    const tr_kind kinds[] = {TR_KIND_OBJECT, TR_KIND_ARRAY, TR_KIND_MAP};
    for (size_t i = 0; i < 3; i++) {
        tr_arena arena = {0};
        tr_err err = {0};
        tr_shape shape = {.leaf_count = 77};
        tr_type *root = profile(&arena);
        (void)put(&arena, root->children[0], kinds[i], "empty");
        CHECK(tr_shape_make(&arena, root, &shape, &err) == TR_INVALID);
        CHECK(strstr(err.text, "\"person.empty\"") != NULL && shape.leaf_count == 77);
        tr_arena_free(&arena);
    }
    tr_arena arena = {0};
    tr_shape shape;
    CHECK(tr_shape_make(&arena, put(&arena, NULL, TR_KIND_OBJECT, ""), &shape, NULL) == TR_INVALID);
    CHECK(tr_shape_make(&arena, put(&arena, NULL, TR_KIND_STRING, ""), &shape, NULL) == TR_INVALID);
    tr_arena_free(&arena);
}

static void levels_over_255_are_refused(void)
{
    for (uint32_t objects = 254; objects <= 255; objects++) {
        tr_arena arena = {0};
        tr_shape shape;
        tr_type *root = put(&arena, NULL, TR_KIND_OBJECT, ""), *at = root;
        for (uint32_t i = 0; i < objects; i++)
            at = put(&arena, at, TR_KIND_OBJECT, "o");
        (void)put(&arena, at, TR_KIND_BOOLEAN, "leaf");
        const tr_code code = tr_shape_make(&arena, root, &shape, NULL);
        CHECK(objects == 254 ? code == TR_OK && shape.leaves[0].def_max == 255 : code == TR_LIMIT);
        tr_arena_free(&arena);
    }
}

static void leaves_over_the_limit_are_refused(void)
{
    tr_arena arena = {0};
    tr_shape shape;
    tr_type *root = put(&arena, NULL, TR_KIND_OBJECT, "");
    for (uint32_t i = 0; i < TR_ROW_FIELDS_MAX; i++)
        (void)put(&arena, root, TR_KIND_INT64, "n");
    CHECK(tr_shape_make(&arena, root, &shape, NULL) == TR_OK &&
          shape.leaf_count == TR_ROW_FIELDS_MAX);
    (void)put(&arena, root, TR_KIND_INT64, "n");
    CHECK(tr_shape_make(&arena, root, &shape, NULL) == TR_LIMIT);
    tr_arena_free(&arena);
}

static void a_full_arena_is_an_answer(void)
{
    for (size_t most = 1024; most < 8 * 1024; most += 512) {
        tr_arena arena = {0}, small = {.bytes_max = most};
        tr_shape shape;
        const tr_code code = tr_shape_make(&small, profile(&arena), &shape, NULL);
        CHECK(code == TR_OK || code == TR_NO_MEMORY);
        tr_arena_free(&arena);
        tr_arena_free(&small);
    }
    tr_arena none = {.bytes_max = 1};
    CHECK(tr_type_make(&none, TR_KIND_STRING, tr_str_of("x")) == NULL);
    tr_arena_free(&none);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(leaves_are_listed_with_paths_and_levels);
    RUN(units_are_scalars_and_outermost_arrays_and_maps);
    RUN(types_are_numbered_and_know_their_leaves);
    RUN(an_array_below_objects_counts_them_once);
    RUN(paths_step_through_arrays_and_maps);
    RUN(a_copy_is_equal_until_it_is_changed);
    RUN(what_has_nothing_in_it_is_refused_by_its_path);
    RUN(levels_over_255_are_refused);
    RUN(leaves_over_the_limit_are_refused);
    RUN(a_full_arena_is_an_answer);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
