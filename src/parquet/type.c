/* SPDX-License-Identifier: Apache-2.0 */
/* type.c - trees of types, and the shape worked out from one; see type.h.
 *
 * A shape is made in two walks over the tree. The first counts and refuses, so that nothing is
 * written to a tree that is no good; the second numbers types and fills leaves and units.
 */
#include "parquet/type.h"
#include "base/check.h"
#include "base/limits.h"

enum { LEVEL_MAX = 255 };

tr_type *tr_type_make(tr_arena *arena, tr_kind kind, tr_str name)
{
    tr_type *type = tr_arena_array(arena, 1, sizeof *type);
    if (type == NULL)
        return NULL;
    type->kind = kind;
    type->name = tr_arena_copy(arena, name);
    return type->name.at == NULL ? NULL : type;
}

/* Room for one more child. The capacity is not kept: it is the next power of two. */
static bool reserve_child(tr_arena *arena, tr_type *parent)
{
    const uint32_t count = parent->child_count;
    if (count != 0 && (count < 4 || (count & (count - 1)) != 0))
        return true;
    const size_t cap = count == 0 ? 4 : (size_t)count * 2;
    tr_type **children = tr_arena_array(arena, cap, sizeof(tr_type *));
    if (children == NULL)
        return false;
    if (count > 0)
        memcpy(children, parent->children, count * sizeof(tr_type *));
    parent->children = children;
    return true;
}

bool tr_type_add(tr_arena *arena, tr_type *parent, tr_type *child)
{
    TR_ASSERT(!tr_kind_is_scalar(parent->kind));
    TR_ASSERT(parent->kind == TR_KIND_OBJECT || parent->child_count == 0);
    if (!reserve_child(arena, parent))
        return false;
    if (parent->kind == TR_KIND_ARRAY)
        child->name = tr_str_of("element");
    else if (parent->kind == TR_KIND_MAP)
        child->name = tr_str_of("value");
    child->parent = parent;
    parent->children[parent->child_count++] = child;
    return true;
}

tr_type *tr_type_member(const tr_type *object, tr_str name)
{
    if (object->kind != TR_KIND_OBJECT)
        return NULL;
    for (uint32_t i = 0; i < object->child_count; i++)
        if (tr_str_equal(object->children[i]->name, name))
            return object->children[i];
    return NULL;
}

tr_type *tr_type_copy(tr_arena *arena, const tr_type *type)
{
    tr_type *copy = tr_type_make(arena, type->kind, type->name);
    for (uint32_t i = 0; copy != NULL && i < type->child_count; i++) {
        tr_type *child = tr_type_copy(arena, type->children[i]);
        if (child == NULL || !tr_type_add(arena, copy, child))
            return NULL;
    }
    return copy;
}

bool tr_type_equal(const tr_type *a, const tr_type *b)
{
    if (a->kind != b->kind || a->child_count != b->child_count || !tr_str_equal(a->name, b->name))
        return false;
    for (uint32_t i = 0; i < a->child_count; i++)
        if (!tr_type_equal(a->children[i], b->children[i]))
            return false;
    return true;
}

/* Cuts the first part off a dotted path. */
static tr_str next_part(tr_str *path)
{
    const uint8_t *dot = path->len == 0 ? NULL : memchr(path->at, '.', path->len);
    const tr_str part = {path->at, dot == NULL ? path->len : (size_t)(dot - path->at)};
    *path = tr_str_from(*path, dot == NULL ? path->len : part.len + 1);
    return part;
}

const tr_type *tr_type_find(const tr_type *root, tr_str dotted_path)
{
    const tr_type *type = root;
    if (dotted_path.len > 0 && dotted_path.at[dotted_path.len - 1] == '.')
        return NULL;
    while (type != NULL && dotted_path.len > 0) {
        const tr_str part = next_part(&dotted_path);
        const bool is_any_key = tr_str_is(part, "*");
        while (type->kind == TR_KIND_ARRAY || (type->kind == TR_KIND_MAP && !is_any_key)) {
            if (type->child_count == 0)
                return NULL;
            type = type->children[0];
        }
        if (type->kind == TR_KIND_MAP)
            type = type->child_count == 0 ? NULL : type->children[0];
        else
            type = tr_type_member(type, part);
    }
    return type;
}

static bool is_repeated(const tr_type *type)
{
    return type->kind == TR_KIND_ARRAY || type->kind == TR_KIND_MAP;
}

/* The dotted names from the root, for messages; cut off on the left when out is too small. */
static tr_str path_text(const tr_type *type, char *out, size_t cap)
{
    size_t at = cap;
    for (; type->parent != NULL; type = type->parent) {
        const size_t dot = at == cap ? 0 : 1;
        if (type->name.len + dot > at)
            break;
        if (dot == 1)
            out[--at] = '.';
        at -= type->name.len;
        if (type->name.len > 0)
            memcpy(out + at, type->name.at, type->name.len);
    }
    return (tr_str){(const uint8_t *)out + at, cap - at};
}

typedef struct counts {
    uint32_t types;
    uint32_t leaves;
    uint32_t units;
} counts;

static tr_code refuse_empty(const tr_type *type, tr_err *err)
{
    char text[200];
    if (type->parent == NULL)
        return TR_FAIL(err, TR_INVALID, "the row has no field at all");
    const tr_str path = path_text(type, text, sizeof text);
    return TR_FAIL(err, TR_INVALID,
                   "\"%.*s\" has nothing in it: expected at least one field, an element or a value",
                   TR_STR_ARG(path));
}

/* def: levels above `type`. Each step adds one, so levels bound the recursion, too. */
static tr_code count_types(const tr_type *type, uint32_t def, bool is_in_unit, counts *n,
                           tr_err *err)
{
    char text[200];
    const tr_str path = path_text(type, text, sizeof text);
    const uint32_t own = type->parent == NULL ? 0 : is_repeated(type) ? 2 : 1;
    if (def + own > LEVEL_MAX)
        return TR_FAIL(err, TR_LIMIT, "\"%.*s\" is nested too deeply: more than %d levels",
                       TR_STR_ARG(path), LEVEL_MAX);
    n->types++;
    n->units += type->kind != TR_KIND_OBJECT && !is_in_unit;
    n->leaves += tr_kind_is_scalar(type->kind) || type->kind == TR_KIND_MAP;
    if (n->leaves > TR_ROW_FIELDS_MAX)
        return TR_FAIL(err, TR_LIMIT, "a row has more than %d fields", TR_ROW_FIELDS_MAX);
    if (!tr_kind_is_scalar(type->kind) && type->child_count == 0)
        return refuse_empty(type, err);
    for (uint32_t i = 0; i < type->child_count; i++)
        TR_TRY(count_types(type->children[i], def + own, is_in_unit || is_repeated(type), n, err));
    return TR_OK;
}

typedef struct filler {
    tr_arena *arena;
    tr_shape *shape;
} filler;

/* Where the walk stands: paths and levels of the type it looks at. */
typedef struct place {
    tr_str physical;
    tr_str logical;
    uint32_t def; /* levels above */
    uint32_t rep;
    uint32_t unit; /* UINT32_MAX: above all units */
} place;

/* parent "." middle name; .at is NULL when there is no memory. */
static tr_str join_path(tr_arena *arena, tr_str parent, const char *middle, tr_str name)
{
    const size_t dot = parent.len > 0, middle_len = strlen(middle);
    uint8_t *at = tr_arena_alloc(arena, parent.len + dot + middle_len + name.len + 1);
    if (at == NULL)
        return (tr_str){0};
    size_t len = 0;
    if (parent.len > 0) {
        memcpy(at, parent.at, parent.len);
        at[parent.len] = '.';
        len = parent.len + 1;
    }
    memcpy(at + len, middle, middle_len);
    len += middle_len;
    if (name.len > 0)
        memcpy(at + len, name.at, name.len);
    return (tr_str){at, len + name.len};
}

static void add_leaf(filler *f, const tr_type *type, const place *at, tr_str path, uint32_t def_max,
                     uint32_t rep_max)
{
    const bool is_map_key = type->kind == TR_KIND_MAP;
    f->shape->leaves[f->shape->leaf_count++] =
        (tr_leaf){.type = type,
                  .path = path,
                  .kind = is_map_key ? TR_KIND_STRING : type->kind,
                  .is_map_key = is_map_key,
                  .unit = at->unit,
                  .def_max = (uint8_t)def_max,
                  .rep_max = (uint8_t)rep_max};
}

static void add_unit(filler *f, const tr_type *type, place *at)
{
    at->unit = f->shape->unit_count++;
    f->shape->units[at->unit] = (tr_unit){.type = type,
                                          .path = at->logical,
                                          .first_leaf = f->shape->leaf_count,
                                          .base_def = (uint8_t)at->def};
}

static bool fill(filler *f, tr_type *type, place at);

/* False: no memory. */
static bool fill_children(filler *f, tr_type *type, place at)
{
    const char *middle = type->kind == TR_KIND_ARRAY ? "list."
                         : type->kind == TR_KIND_MAP ? "key_value."
                                                     : "";
    place below = at;
    below.def += type->parent == NULL ? 0 : is_repeated(type) ? 2 : 1;
    below.rep += is_repeated(type);
    if (type->kind == TR_KIND_MAP) {
        const tr_str path = join_path(f->arena, at.physical, "key_value.key", (tr_str){0});
        if (path.at == NULL)
            return false;
        add_leaf(f, type, &at, path, below.def, below.rep);
    }
    for (uint32_t i = 0; i < type->child_count; i++) {
        tr_type *child = type->children[i];
        below.physical = join_path(f->arena, at.physical, middle, child->name);
        if (at.unit == UINT32_MAX)
            below.logical = join_path(f->arena, at.logical, "", child->name);
        if (below.physical.at == NULL || below.logical.at == NULL || !fill(f, child, below))
            return false;
    }
    return true;
}

static bool fill(filler *f, tr_type *type, place at)
{
    const bool is_unit = type->kind != TR_KIND_OBJECT && at.unit == UINT32_MAX;
    bool is_good = true;
    type->id = f->shape->type_count++;
    type->first_leaf = f->shape->leaf_count;
    if (is_unit)
        add_unit(f, type, &at);
    if (tr_kind_is_scalar(type->kind))
        add_leaf(f, type, &at, at.physical, at.def + 1, at.rep);
    else
        is_good = fill_children(f, type, at);
    type->leaf_count = f->shape->leaf_count - type->first_leaf;
    if (is_unit)
        f->shape->units[at.unit].leaf_count = type->leaf_count;
    return is_good;
}

tr_code tr_shape_make(tr_arena *arena, tr_type *root, tr_shape *out, tr_err *err)
{
    counts n = {0};
    if (root->kind != TR_KIND_OBJECT || root->parent != NULL)
        return TR_FAIL(err, TR_INVALID, "the root of a row's type is not an object");
    TR_TRY(count_types(root, 0, false, &n, err));
    tr_shape shape = {.root = root,
                      .leaves = tr_arena_array(arena, n.leaves, sizeof *shape.leaves),
                      .units = tr_arena_array(arena, n.units, sizeof *shape.units)};
    filler f = {arena, &shape};
    if (shape.leaves == NULL || shape.units == NULL || !fill(&f, root, (place){.unit = UINT32_MAX}))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a shape of %u fields", n.leaves);
    TR_ASSERT(shape.leaf_count == n.leaves && shape.unit_count == n.units &&
              shape.type_count == n.types);
    *out = shape;
    return TR_OK;
}

uint32_t tr_shape_unit(const tr_shape *shape, tr_str path)
{
    for (uint32_t i = 0; i < shape->unit_count; i++)
        if (tr_str_equal(shape->units[i].path, path))
            return i;
    return UINT32_MAX;
}

uint32_t tr_shape_leaf(const tr_shape *shape, tr_str path)
{
    for (uint32_t i = 0; i < shape->leaf_count; i++)
        if (tr_str_equal(shape->leaves[i].path, path))
            return i;
    return UINT32_MAX;
}
