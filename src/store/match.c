/* SPDX-License-Identifier: Apache-2.0 */
/* match.c - which column of a run is which column of the output; see gather.h. */
#include "store/gather.h"

#include <string.h>

static bool is_inside(const tr_type *parent)
{
    return parent->kind == TR_KIND_ARRAY || parent->kind == TR_KIND_MAP;
}

uint8_t tr_type_def(const tr_type *unit, const tr_type *type)
{
    uint32_t def = 1;
    for (; type != unit && type->parent != NULL; type = type->parent)
        def += is_inside(type->parent) ? 2 : 1; /* an entry, and that it is not null */
    return (uint8_t)def;
}

uint8_t tr_type_rep(const tr_type *unit, const tr_type *type)
{
    uint32_t rep = is_inside(type);
    for (; type != unit && type->parent != NULL; type = type->parent)
        rep += is_inside(type->parent);
    return (uint8_t)rep;
}

static bool is_same_kind(tr_kind out, tr_kind run)
{
    if (run == TR_KIND_INT32 && (out == TR_KIND_INT64 || out == TR_KIND_DOUBLE))
        return true;
    return out == run;
}

/* Pairs two types and what is below them. An array or map whose element has no twin has none itself:
 * entries without contents would be an invention. Depth is bounded by tr_shape_make's levels. */
static bool pair(const tr_type *out, const tr_type *run, const tr_type **types)
{
    if (!is_same_kind(out->kind, run->kind))
        return false;
    if (is_inside(out) && !pair(out->children[0], run->children[0], types))
        return false;
    types[out->id] = run;
    for (uint32_t i = 0; out->kind == TR_KIND_OBJECT && i < out->child_count; i++) {
        const tr_type *member = tr_type_member(run, out->children[i]->name);
        if (member != NULL)
            (void)pair(out->children[i], member, types);
    }
    return true;
}

/* Nothing below an array without a twin may have one, although its members were paired first. */
static bool has_twin(const tr_type *type, const tr_type *root, const tr_type *const *types)
{
    for (; type != NULL; type = type->parent) {
        if (types[type->id] == NULL)
            return false;
        if (type == root)
            return true;
    }
    return false;
}

/* The outermost array or map at or above a type, or NULL. */
static const tr_type *unit_above(const tr_type *type)
{
    const tr_type *unit = NULL;
    for (; type != NULL; type = type->parent)
        if (is_inside(type))
            unit = type;
    return unit;
}

static tr_twin twin_of(const tr_leaf *leaf, const tr_type *root, const tr_type *const *types)
{
    tr_twin twin = {.leaf = UINT32_MAX, .beside = UINT32_MAX};
    if (has_twin(leaf->type, root, types)) {
        const tr_type *own = types[leaf->type->id];
        twin.leaf = own->first_leaf; /* a map's own leaf is its key, the first below it */
        twin.is_widened = leaf->kind == TR_KIND_DOUBLE && own->kind == TR_KIND_INT32;
        return twin;
    }
    const tr_type *near = leaf->type;
    while (near != NULL && !has_twin(near, root, types))
        near = near->parent;
    const tr_type *beside = near == NULL ? NULL : types[near->id];
    const tr_type *unit = unit_above(beside);
    if (unit != NULL) { /* `beside` is an object in an array or map: it lacks the member */
        twin.beside = beside->first_leaf;
        twin.def = tr_type_def(unit, beside);
        twin.rep = tr_type_rep(unit, beside);
    }
    return twin;
}

tr_code tr_match_make(tr_arena *arena, const tr_shape *shape, const tr_type *out_root, const tr_shape *run,
                      tr_match *out, tr_err *err)
{
    tr_match match = {.run = run};
    match.types = tr_arena_array(arena, shape->type_count, sizeof *match.types);
    match.twins = tr_arena_array(arena, shape->leaf_count, sizeof *match.twins);
    if (match.types == NULL || match.twins == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to match %u columns", shape->leaf_count);
    (void)pair(out_root, run->root, match.types);
    for (uint32_t i = 0; i < shape->leaf_count; i++)
        match.twins[i] = twin_of(&shape->leaves[i], out_root, match.types);
    *out = match;
    return TR_OK;
}
