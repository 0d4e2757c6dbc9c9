/* SPDX-License-Identifier: Apache-2.0 */
/* compile_array.c - streams of items and what binds variables over them; compile_internal.h. */
#include "pql/compile_internal.h"

/* ---- how deep something reaches */

tr_pql_level *tr_pql_level_of(const tr_pql_compiler *c, const tr_pql_operand *operand)
{
    tr_pql_level *level = c->program->constant;
    if (operand->op != NULL)
        return operand->op->scope;
    if (operand->node == NULL)
        return operand->base;
    for (uint32_t i = 0; i < operand->node->count; i++)
        level = tr_pql_deeper(level, tr_pql_level_of(c, operand->fields[i]));
    return level;
}

/* A name that hides outer ones and needs nothing itself. */
static void hide(tr_pql_compiler *c, tr_str name)
{
    if (c->bound_count < sizeof c->bound / sizeof c->bound[0])
        c->bound[c->bound_count++] = (tr_pql_bound){.name = name, .label = TR_PQL_NO_LABEL};
}

static tr_pql_level *level_of_name(const tr_pql_compiler *c, tr_str name)
{
    for (uint32_t i = c->bound_count; i-- > 0;)
        if (tr_str_equal(c->bound[i].name, name))
            return c->bound[i].operand == NULL ? c->program->constant
                                               : tr_pql_level_of(c, c->bound[i].operand);
    return c->program->constant; /* a label */
}

static tr_pql_level *free_of_items(tr_pql_compiler *c, const tr_pql_node *node)
{
    tr_pql_level *level = c->program->constant;
    for (uint32_t i = 0; i < node->count; i++)
        if (node->items[i] != NULL)
            level = tr_pql_deeper(level, tr_pql_free_level(c, node->items[i]));
    return level;
}

static tr_pql_level *free_of_chain(tr_pql_compiler *c, const tr_pql_node *node)
{
    const uint32_t outside = c->bound_count;
    tr_pql_level *level = tr_pql_free_level(c, node->items[0]);
    level = tr_pql_deeper(level, tr_pql_free_level(c, node->items[1]));
    for (uint32_t i = 2; i < node->count; i++) {
        const tr_pql_node *const *parts =
            (const tr_pql_node *const *)node->items[i]->items; /* conditions see no labels */
        const uint32_t labels = c->bound_count;
        c->bound_count = outside;
        for (int part = TR_PQL_WHAT; part <= TR_PQL_WHERE; part++)
            if (parts[part] != NULL)
                level = tr_pql_deeper(level, tr_pql_free_level(c, parts[part]));
        c->bound_count = labels;
        if (parts[TR_PQL_WHEN] == NULL)
            continue;
        for (uint32_t before = 2; before < i; before++)
            if (node->items[before]->name.len > 0)
                hide(c, node->items[before]->name);
        level = tr_pql_deeper(level, free_of_items(c, parts[TR_PQL_WHEN]));
        c->bound_count = outside;
    }
    c->bound_count = outside;
    return level;
}

static tr_pql_level *free_of_declarations(tr_pql_compiler *c, const tr_pql_node *node,
                                          uint32_t from)
{
    tr_pql_level *level = c->program->constant;
    for (uint32_t i = from; i < node->count; i++) {
        const tr_pql_node *decl = node->items[i];
        if (i > from)
            level = tr_pql_deeper(level, tr_pql_free_level(c, decl->items[0]));
        hide(c, decl->name);
        if (decl->items[1] != NULL)
            level = tr_pql_deeper(level, tr_pql_free_level(c, decl->items[1]));
    }
    return level;
}

tr_pql_level *tr_pql_free_level(tr_pql_compiler *c, const tr_pql_node *node)
{
    const uint32_t outside = c->bound_count;
    tr_pql_level *level;
    switch ((int)node->kind) {
    case TR_PQL_PARAMETER: return c->program->profiles;
    case TR_PQL_VARIABLE: return level_of_name(c, node->name);
    case TR_PQL_FIELD:
        return node->is_of_profile ? c->program->profiles : tr_pql_free_level(c, node->items[0]);
    case TR_PQL_LAMBDA:
        for (uint32_t i = 0; i < node->name_count; i++)
            hide(c, node->names[i]);
        level = tr_pql_free_level(c, node->items[0]);
        break;
    case TR_PQL_SELECT:
    case TR_PQL_QUANTIFY:
        level = tr_pql_free_level(c, node->items[0]->items[0]);
        level = tr_pql_deeper(level, free_of_declarations(c, node, 0));
        break;
    case TR_PQL_LET:
        level = tr_pql_free_level(c, node->items[0]);
        hide(c, node->name);
        level = tr_pql_deeper(level, tr_pql_free_level(c, node->items[1]));
        break;
    case TR_PQL_CHAIN: return free_of_chain(c, node);
    case TR_PQL_APPLY:
        level = free_of_items(c, node);
        return node->fn == TR_PQL_IN_SEGMENT ? c->program->profiles : level;
    default: return free_of_items(c, node);
    }
    c->bound_count = outside;
    return level;
}

/* ---- streams */

tr_code tr_pql_add_mask(tr_pql_compiler *c, tr_pql_operand *stream, tr_pql_op *mask)
{
    tr_pql_masks *more = tr_arena_array(c->arena, 1, sizeof *more);
    if (more == NULL)
        return tr_pql_full(c);
    *more = (tr_pql_masks){.op = mask, .next = stream->masks};
    stream->masks = more;
    return TR_OK;
}

static uint32_t mask_count(const tr_pql_operand *stream)
{
    uint32_t count = 0;
    for (const tr_pql_masks *m = stream->masks; m != NULL; m = m->next)
        count++;
    return count;
}

tr_code tr_pql_fold(tr_pql_compiler *c, const tr_pql_operand *stream, const tr_pql_op *like,
                    tr_pql_op *const *values, uint32_t fixed, tr_pql_op **out)
{
    tr_pql_op op = *like;
    op.fixed = fixed;
    op.arg_count = fixed + mask_count(stream);
    op.scope = stream->base;
    op.over = stream->inner;
    op.args = tr_arena_array(c->arena, op.arg_count, sizeof(tr_pql_op *));
    if (op.args == NULL)
        return tr_pql_full(c);
    for (uint32_t i = 0; i < fixed; i++)
        op.args[i] = values[i];
    for (const tr_pql_masks *m = stream->masks; m != NULL; m = m->next)
        op.args[fixed++] = m->op;
    return tr_pql_make_op(c->program, &op, out, c->err);
}

tr_code tr_pql_any(tr_pql_compiler *c, const tr_pql_operand *stream, tr_pql_op **out)
{
    const tr_pql_op like = {
        .kind = TR_PQL_OP_REDUCE, .reduction = TR_PQL_REDUCE_ANY, .type = TR_PQL_PLAIN(BOOLEAN)};
    return tr_pql_fold(c, stream, &like, NULL, 0, out);
}

static tr_code item_of(tr_pql_compiler *c, tr_pql_level *level, tr_pql_op_kind kind,
                       const tr_pql_type *type, const tr_pql_operand **out)
{
    const tr_pql_op like = {.kind = kind, .scope = level, .over = level, .type = type};
    return tr_pql_emit(c, &like, out);
}

static tr_code open_stream(tr_pql_compiler *c, tr_pql_op *array, const tr_pql_type *type,
                           tr_pql_level *parent, tr_pql_operand *out)
{
    *out = (tr_pql_operand){.base = parent};
    TR_TRY(tr_pql_make_level(c->program, parent, array, NULL, &out->inner, c->err));
    return item_of(c, out->inner, TR_PQL_OP_ITEM, type->item == NULL ? type : type->item,
                   &out->item);
}

static bool is_above(const tr_pql_level *above, const tr_pql_level *level)
{
    while (level != NULL && level != above)
        level = level->parent;
    return level != NULL;
}

tr_code tr_pql_stream(tr_pql_compiler *c, const tr_pql_operand *array, const tr_pql_type *type,
                      tr_pql_level *free, tr_pql_operand *out)
{
    tr_pql_op *op;
    if (array->op == NULL && is_above(free, array->base)) {
        *out = *array;
        out->null_with = NULL;
        return TR_OK;
    }
    TR_TRY(tr_pql_as_op(c, array, type, &op));
    return open_stream(c, op, type, tr_pql_deeper(op->scope, free), out);
}

static tr_code conjunction(tr_pql_compiler *c, const tr_pql_operand *stream, tr_pql_op **out)
{
    tr_pql_op **masks = tr_arena_array(c->arena, mask_count(stream), sizeof(tr_pql_op *));
    uint32_t count = 0;
    if (masks == NULL)
        return tr_pql_full(c);
    for (const tr_pql_masks *m = stream->masks; m != NULL; m = m->next)
        masks[count++] = m->op;
    return tr_pql_all_of(c, masks, count, out);
}

/* Goes one array deeper. When that array is the same for many rows, only those rows that count are
 * multiplied with it. */
static tr_code descend(tr_pql_compiler *c, tr_pql_operand *stream, const tr_pql_operand *array,
                       const tr_pql_type *type)
{
    tr_pql_op *op, *where = NULL;
    if (array->op == NULL && array->node == NULL && array->base == stream->inner) {
        for (const tr_pql_masks *m = array->masks; m != NULL; m = m->next)
            TR_TRY(tr_pql_add_mask(c, stream, m->op));
        stream->inner = array->inner;
        stream->item = array->item;
        return TR_OK;
    }
    TR_TRY(tr_pql_as_op(c, array, type, &op));
    if (op->scope != stream->inner && stream->masks != NULL) {
        TR_TRY(conjunction(c, stream, &where));
        stream->masks = NULL;
    }
    TR_TRY(tr_pql_make_level(c->program, stream->inner, op, where, &stream->inner, c->err));
    return item_of(c, stream->inner, TR_PQL_OP_ITEM, type->item == NULL ? type : type->item,
                   &stream->item);
}

tr_code tr_pql_nest(tr_pql_compiler *c, tr_pql_operand *stream, const tr_pql_type *type)
{
    return descend(c, stream, stream->item, type);
}

tr_code tr_pql_body(tr_pql_compiler *c, const tr_pql_operand *item, const tr_pql_node *lambda,
                    const tr_pql_operand **out)
{
    const uint32_t outside = c->bound_count;
    TR_TRY(tr_pql_bind(c, lambda->names[0], item));
    TR_TRY(tr_pql_operand_of(c, lambda->items[0], out));
    c->bound_count = outside;
    return TR_OK;
}

/* ---- select */

/* What a declaration runs over: an array, or anything else as the one item. */
static tr_code source_of(tr_pql_compiler *c, const tr_pql_node *from, const tr_pql_operand **out,
                         const tr_pql_type **type)
{
    tr_pql_op *one;
    TR_TRY(tr_pql_operand_of(c, from, out));
    *type = from->type;
    if (from->type->kind == TR_PQL_IS_ARRAY)
        return TR_OK;
    TR_TRY(tr_pql_as_op(c, *out, from->type, &one));
    *type = tr_pql_array_of(from->type, c->arena);
    if (*type == NULL)
        return tr_pql_full(c);
    const tr_pql_op like = {.kind = TR_PQL_OP_ONE, .args = &one, .arg_count = 1, .type = *type};
    return tr_pql_emit(c, &like, out);
}

typedef struct conditions {
    const tr_pql_node *early[TR_PQL_DEPTH_MAX], *late[TR_PQL_DEPTH_MAX];
    uint32_t early_count, late_count;
} conditions;

/* Cuts the condition of a declaration into what can be looked at before its array is multiplied
 * with the rows of the variables before, and the rest. */
static void split(tr_pql_compiler *c, const tr_pql_node *decl, const tr_pql_node *condition,
                  const tr_pql_level *source, conditions *out)
{
    const bool is_and = condition->kind == TR_PQL_APPLY && condition->fn == TR_PQL_AND;
    if (is_and && condition->count + out->early_count + out->late_count <= TR_PQL_DEPTH_MAX) {
        for (uint32_t i = 0; i < condition->count; i++)
            split(c, decl, condition->items[i], source, out);
        return;
    }
    const uint32_t outside = c->bound_count;
    hide(c, decl->name);
    const bool is_early = is_above(tr_pql_free_level(c, condition), source);
    c->bound_count = outside;
    if (is_early && out->early_count < TR_PQL_DEPTH_MAX)
        out->early[out->early_count++] = condition;
    else if (out->late_count < TR_PQL_DEPTH_MAX)
        out->late[out->late_count++] = condition;
}

static tr_code add_conditions(tr_pql_compiler *c, tr_pql_operand *stream, const tr_pql_node *decl,
                              const tr_pql_node *const *parts, uint32_t count)
{
    const uint32_t outside = c->bound_count;
    tr_pql_op *mask;
    TR_TRY(tr_pql_bind(c, decl->name, stream->item));
    for (uint32_t i = 0; i < count; i++) {
        TR_TRY(tr_pql_truth_of(c, parts[i], &mask));
        TR_TRY(tr_pql_add_mask(c, stream, mask));
    }
    c->bound_count = outside;
    return TR_OK;
}

/* A variable more: the stream's rows, each with each item of the array. */
static tr_code add_declaration(tr_pql_compiler *c, tr_pql_operand *stream, const tr_pql_node *decl)
{
    const tr_pql_operand *array;
    const tr_pql_type *type;
    tr_pql_operand *before = tr_arena_array(c->arena, 1, sizeof *before);
    conditions *cut = tr_arena_array(c->arena, 1, sizeof *cut);
    if (before == NULL || cut == NULL)
        return tr_pql_full(c);
    TR_TRY(source_of(c, decl->items[0], &array, &type));
    tr_pql_level *source = tr_pql_level_of(c, array);
    const bool is_product = source != stream->inner;
    if (decl->items[1] != NULL && is_product)
        split(c, decl, decl->items[1], source, cut);
    else if (decl->items[1] != NULL)
        cut->late[cut->late_count++] = decl->items[1];
    if (cut->early_count > 0) {
        TR_TRY(tr_pql_stream(c, array, type, source, before));
        TR_TRY(add_conditions(c, before, decl, cut->early, cut->early_count));
        array = before;
    }
    TR_TRY(descend(c, stream, array, type));
    TR_TRY(add_conditions(c, stream, decl, cut->late, cut->late_count));
    return tr_pql_bind(c, decl->name, stream->item);
}

/* The variables stay bound: the caller ends the scope. */
static tr_code open_select(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_level *free,
                           tr_pql_operand *out)
{
    const tr_pql_operand *array;
    const tr_pql_type *type;
    const tr_pql_node *first = node->items[0];
    const uint32_t outside = c->bound_count;
    TR_TRY(source_of(c, first->items[0], &array, &type));
    free = tr_pql_deeper(free, free_of_declarations(c, node, 0));
    c->bound_count = outside;
    TR_TRY(tr_pql_stream(c, array, type, free, out));
    if (first->items[1] != NULL)
        TR_TRY(add_conditions(c, out, first, (const tr_pql_node *const *)&first->items[1], 1));
    TR_TRY(tr_pql_bind(c, first->name, out->item));
    for (uint32_t i = 1; i < node->count; i++)
        TR_TRY(add_declaration(c, out, node->items[i]));
    if (node->count > 1)
        out->item = NULL;
    return TR_OK;
}

tr_code tr_pql_select(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    const uint32_t outside = c->bound_count;
    tr_pql_operand *stream = tr_arena_array(c->arena, 1, sizeof *stream);
    if (stream == NULL)
        return tr_pql_full(c);
    TR_TRY(open_select(c, node, c->program->constant, stream));
    c->bound_count = outside;
    *out = stream;
    return TR_OK;
}

tr_code tr_pql_sum_over(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_op *like,
                        const tr_pql_operand **out)
{
    const uint32_t outside = c->bound_count;
    const tr_pql_node *lambda = node->items[1];
    tr_pql_operand stream;
    tr_pql_op *value, *op;
    TR_TRY(open_select(c, node->items[0], tr_pql_free_level(c, lambda), &stream));
    for (uint32_t i = 0; i < lambda->name_count; i++) /* in JSON their names may differ */
        TR_TRY(tr_pql_bind(c, lambda->names[i], c->bound[outside + i].operand));
    TR_TRY(tr_pql_op_of(c, lambda->items[0], &value));
    c->bound_count = outside;
    TR_TRY(tr_pql_fold(c, &stream, like, &value, 1, &op));
    return tr_pql_from_op(c, op, out);
}

/* ---- quantifiers */

/* for every A: C1, and for every B in A.items: C2 ... */
static tr_code for_all(tr_pql_compiler *c, const tr_pql_node *node, uint32_t index, tr_pql_op **out)
{
    const tr_pql_node *decl = node->items[index];
    const tr_pql_operand *array;
    const tr_pql_type *type;
    const uint32_t outside = c->bound_count;
    tr_pql_operand stream;
    tr_pql_op *parts[2], *body;
    uint32_t count = 0;
    TR_TRY(source_of(c, decl->items[0], &array, &type));
    tr_pql_level *free = free_of_declarations(c, node, index);
    c->bound_count = outside;
    TR_TRY(tr_pql_stream(c, array, type, free, &stream));
    TR_TRY(tr_pql_bind(c, decl->name, stream.item));
    if (decl->items[1] != NULL)
        TR_TRY(tr_pql_truth_of(c, decl->items[1], &parts[count++]));
    if (index + 1 < node->count)
        TR_TRY(for_all(c, node, index + 1, &parts[count++]));
    TR_TRY(tr_pql_all_of(c, parts, count, &body));
    c->bound_count = outside;
    const tr_pql_op like = {
        .kind = TR_PQL_OP_REDUCE, .reduction = TR_PQL_REDUCE_ALL, .type = TR_PQL_PLAIN(BOOLEAN)};
    return tr_pql_fold(c, &stream, &like, &body, 1, out);
}

static tr_code is_one(tr_pql_compiler *c, const tr_pql_operand *stream, tr_pql_op **out)
{
    const tr_pql_op like = {
        .kind = TR_PQL_OP_REDUCE, .reduction = TR_PQL_REDUCE_COUNT, .type = TR_PQL_PLAIN(INTEGER)};
    const tr_pql_literal one = {.kind = TR_PQL_INTEGER, .integer = 1};
    tr_pql_op *args[2];
    TR_TRY(tr_pql_fold(c, stream, &like, NULL, 0, &args[0]));
    TR_TRY(tr_pql_constant(c, &one, TR_PQL_PLAIN(INTEGER), &args[1]));
    const tr_pql_op equal = {.kind = TR_PQL_OP_COMPARE,
                             .fn = TR_PQL_EQ,
                             .args = args,
                             .arg_count = 2,
                             .type = TR_PQL_PLAIN(BOOLEAN)};
    return tr_pql_make_op(c->program, &equal, out, c->err);
}

tr_code tr_pql_quantify(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    const tr_pql_operand *stream;
    tr_pql_op *op;
    if (node->quantifier == TR_PQL_ALL) {
        TR_TRY(for_all(c, node, 0, &op));
        return tr_pql_from_op(c, op, out);
    }
    TR_TRY(tr_pql_select(c, node, &stream));
    if (node->quantifier == TR_PQL_ONE)
        TR_TRY(is_one(c, stream, &op));
    else
        TR_TRY(tr_pql_any(c, stream, &op));
    if (node->quantifier == TR_PQL_NONE) {
        const tr_pql_op like = {
            .kind = TR_PQL_OP_NOT, .args = &op, .arg_count = 1, .type = TR_PQL_PLAIN(BOOLEAN)};
        return tr_pql_emit(c, &like, out);
    }
    return tr_pql_from_op(c, op, out);
}
