/* SPDX-License-Identifier: Apache-2.0 */
/* compile.c - names, fields and literals into the graph; see compile_internal.h. */
#include "pql/compile_internal.h"

tr_code tr_pql_full(const tr_pql_compiler *c)
{
    return TR_FAIL(c->err, TR_NO_MEMORY, "no memory to compile an expression");
}

tr_code tr_pql_bind(tr_pql_compiler *c, tr_str name, const tr_pql_operand *operand)
{
    if (c->bound_count == sizeof c->bound / sizeof c->bound[0])
        return TR_FAIL(c->err, TR_LIMIT, "the expression has too many variables in one place");
    c->bound[c->bound_count++] =
        (tr_pql_bound){.name = name, .operand = operand, .label = TR_PQL_NO_LABEL};
    return TR_OK;
}

/* ---- operands */

tr_code tr_pql_from_op(tr_pql_compiler *c, tr_pql_op *op, const tr_pql_operand **out)
{
    tr_pql_operand *operand = tr_arena_array(c->arena, 1, sizeof *operand);
    if (operand == NULL)
        return tr_pql_full(c);
    operand->op = op;
    *out = operand;
    return TR_OK;
}

tr_code tr_pql_emit(tr_pql_compiler *c, const tr_pql_op *like, const tr_pql_operand **out)
{
    tr_pql_op *op;
    TR_TRY(tr_pql_make_op(c->program, like, &op, c->err));
    return tr_pql_from_op(c, op, out);
}

static tr_code struct_op(tr_pql_compiler *c, const tr_pql_operand *operand, const tr_pql_type *type,
                         tr_pql_op **out)
{
    const uint32_t count = operand->node->count;
    tr_pql_op **args = tr_arena_array(c->arena, count, sizeof(tr_pql_op *));
    if (args == NULL)
        return tr_pql_full(c);
    for (uint32_t i = 0; i < count; i++)
        TR_TRY(tr_pql_as_op(c, operand->fields[i], operand->node->items[i]->type, &args[i]));
    const tr_pql_op like = {
        .kind = TR_PQL_OP_STRUCT, .args = args, .arg_count = count, .type = type};
    return tr_pql_make_op(c->program, &like, out, c->err);
}

static tr_code collect(tr_pql_compiler *c, const tr_pql_operand *stream, const tr_pql_type *type,
                       tr_pql_op **out)
{
    tr_pql_op *values[2];
    const tr_pql_literal null = {.kind = TR_PQL_NULL};
    const tr_pql_op like = {.kind = TR_PQL_OP_COLLECT, .type = type};
    if (stream->item == NULL) /* tuples: an array of nothing, to be counted */
        TR_TRY(tr_pql_constant(c, &null, TR_PQL_PLAIN(NULL_TYPE), &values[0]));
    else
        TR_TRY(tr_pql_as_op(c, stream->item, type->item, &values[0]));
    values[1] = stream->null_with;
    return tr_pql_fold(c, stream, &like, values, stream->null_with == NULL ? 1 : 2, out);
}

tr_code tr_pql_as_op(tr_pql_compiler *c, const tr_pql_operand *operand, const tr_pql_type *type,
                     tr_pql_op **out)
{
    if (operand->op != NULL) {
        *out = operand->op;
        return TR_OK;
    }
    return operand->node != NULL ? struct_op(c, operand, type, out)
                                 : collect(c, operand, type, out);
}

tr_code tr_pql_op_of(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    const tr_pql_operand *operand;
    TR_TRY(tr_pql_operand_of(c, node, &operand));
    return tr_pql_as_op(c, operand, node->type, out);
}

tr_code tr_pql_truth(tr_pql_compiler *c, const tr_pql_operand *operand, const tr_pql_type *type,
                     tr_pql_op **out)
{
    const tr_pql_literal is = {.kind = TR_PQL_BOOLEAN, .boolean = true};
    if (operand->node != NULL)
        return tr_pql_constant(c, &is, TR_PQL_PLAIN(BOOLEAN), out);
    if (operand->op == NULL)
        return tr_pql_any(c, operand, out);
    if (type->kind == TR_PQL_IS_BOOLEAN) {
        *out = operand->op;
        return TR_OK;
    }
    tr_pql_op *args[] = {operand->op};
    const tr_pql_op like = {
        .kind = TR_PQL_OP_TRUTH, .args = args, .arg_count = 1, .type = TR_PQL_PLAIN(BOOLEAN)};
    return tr_pql_make_op(c->program, &like, out, c->err);
}

tr_code tr_pql_truth_of(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    const tr_pql_operand *operand;
    TR_TRY(tr_pql_operand_of(c, node, &operand));
    return tr_pql_truth(c, operand, node->type, out);
}

tr_code tr_pql_all_of(tr_pql_compiler *c, tr_pql_op **masks, uint32_t count, tr_pql_op **out)
{
    const tr_pql_literal is = {.kind = TR_PQL_BOOLEAN, .boolean = true};
    if (count == 0)
        return tr_pql_constant(c, &is, TR_PQL_PLAIN(BOOLEAN), out);
    if (count == 1) {
        *out = masks[0];
        return TR_OK;
    }
    const tr_pql_op like = {
        .kind = TR_PQL_OP_AND, .args = masks, .arg_count = count, .type = TR_PQL_PLAIN(BOOLEAN)};
    return tr_pql_make_op(c->program, &like, out, c->err);
}

tr_code tr_pql_constant(tr_pql_compiler *c, const tr_pql_literal *literal, const tr_pql_type *type,
                        tr_pql_op **out)
{
    tr_pql_op like = {.kind = TR_PQL_OP_CONST, .type = type};
    like.literal.kind = literal->kind; /* only what the kind says, so that equal ones are one */
    if (literal->kind == TR_PQL_STRING)
        like.literal.string = literal->string;
    else if (literal->kind == TR_PQL_NUMBER)
        like.literal.number = literal->number;
    else if (literal->kind == TR_PQL_INTEGER)
        like.literal.integer = literal->integer;
    else if (literal->kind == TR_PQL_BOOLEAN)
        like.literal.boolean = literal->boolean;
    return tr_pql_make_op(c->program, &like, out, c->err);
}

/* ---- fields */

static tr_code profile_op(tr_pql_compiler *c, const tr_pql_type *type, tr_pql_op **out)
{
    const tr_pql_op like = {.kind = TR_PQL_OP_PROFILE, .scope = c->program->profiles, .type = type};
    return tr_pql_make_op(c->program, &like, out, c->err);
}

static tr_code field_op(tr_pql_compiler *c, tr_pql_op *of, const tr_type *xdm,
                        const tr_pql_operand **out)
{
    const tr_type *root = xdm;
    while (root->parent != NULL)
        root = root->parent;
    const bool is_event = c->program->shapes[TR_PQL_EVENTS] != NULL &&
                          root == c->program->shapes[TR_PQL_EVENTS]->root;
    /* What is in an object that is absent is null anyway: whether it is there need not be asked. */
    while (of->kind == TR_PQL_OP_FIELD && of->xdm->kind == TR_KIND_OBJECT)
        of = of->args[0];
    tr_pql_op *args[] = {of};
    const tr_pql_op like = {.kind = TR_PQL_OP_FIELD,
                            .args = args,
                            .arg_count = 1,
                            .xdm = xdm,
                            .is_event = is_event,
                            .type = tr_pql_type_of_xdm(xdm, c->arena)};
    if (like.type == NULL)
        return tr_pql_full(c);
    return tr_pql_emit(c, &like, out);
}

/* xEvent: rows of the event table, or the profile's own array, which is never null. */
static tr_code events_op(tr_pql_compiler *c, const tr_pql_type *profile, tr_pql_op *of,
                         const tr_pql_operand **out)
{
    const bool has_table = c->program->shapes[TR_PQL_EVENTS] != NULL;
    tr_pql_op like = {.kind = TR_PQL_OP_EVENTS, .scope = c->program->profiles, .args = &of};
    const tr_type *nested = tr_type_member(profile->xdm, tr_str_of("timeSeriesEvents"));
    const tr_pql_operand *array;
    if (has_table) {
        const tr_pql_type *event =
            tr_pql_type_of_xdm(c->program->shapes[TR_PQL_EVENTS]->root, c->arena);
        like.type = event == NULL ? NULL : tr_pql_array_of(event, c->arena);
        if (like.type == NULL)
            return tr_pql_full(c);
        c->program->reads_events = true;
        return tr_pql_emit(c, &like, out);
    }
    if (nested == NULL || nested->kind != TR_KIND_ARRAY)
        return TR_FAIL(c->err, TR_INVALID, "the schema has no events");
    TR_TRY(field_op(c, of, nested, &array));
    tr_pql_op *own = array->op;
    like.args = &own;
    like.arg_count = 1;
    like.type = own->type;
    return tr_pql_emit(c, &like, out);
}

static tr_code struct_field(tr_pql_compiler *c, const tr_pql_operand *of, const tr_pql_type *type,
                            tr_str name, const tr_pql_operand **out)
{
    for (uint32_t i = 0; i < type->node->count; i++) {
        if (!tr_str_equal(type->node->names[i], name))
            continue;
        if (of->node != NULL) {
            *out = of->fields[i];
            return TR_OK;
        }
        tr_pql_op *args[] = {of->op};
        const tr_pql_op like = {.kind = TR_PQL_OP_MEMBER,
                                .args = args,
                                .arg_count = 1,
                                .number = i,
                                .type = type->node->items[i]->type};
        return tr_pql_emit(c, &like, out);
    }
    return TR_FAIL(c->err, TR_INVALID, "the expression was not checked");
}

static const tr_pql_type *type_of_field(const tr_pql_type *type, tr_str name,
                                        const tr_pql_operand *field)
{
    for (uint32_t i = 0; type->kind == TR_PQL_IS_STRUCT && i < type->node->count; i++)
        if (tr_str_equal(type->node->names[i], name))
            return type->node->items[i]->type;
    return field->op->type;
}

/* The list of the items' fields: nulls dropped, arrays in arrays flattened. */
static tr_code fields_of_items(tr_pql_compiler *c, const tr_pql_operand *of,
                               const tr_pql_type *type, tr_str name, const tr_pql_operand **out)
{
    tr_pql_operand *stream = tr_arena_array(c->arena, 1, sizeof *stream);
    tr_pql_op *item;
    const tr_pql_operand *field;
    if (stream == NULL)
        return tr_pql_full(c);
    TR_TRY(tr_pql_stream(c, of, type, c->program->constant, stream));
    stream->null_with = of->op == NULL                     ? of->null_with
                        : of->op->kind == TR_PQL_OP_EVENTS ? NULL
                                                           : of->op;
    for (type = type->item; type->kind == TR_PQL_IS_ARRAY; type = type->item)
        TR_TRY(tr_pql_nest(c, stream, type));
    TR_TRY(tr_pql_field(c, stream->item, type, name, &field));
    stream->item = field;
    const tr_pql_type *inner = type_of_field(type, name, field);
    for (; inner->kind == TR_PQL_IS_ARRAY; inner = inner->item)
        TR_TRY(tr_pql_nest(c, stream, inner));
    TR_TRY(tr_pql_as_op(c, stream->item, inner, &item));
    tr_pql_op *args[] = {item};
    tr_pql_op *is_there;
    const tr_pql_op like = {.kind = TR_PQL_OP_IS_NULL,
                            .fn = TR_PQL_IS_NOT_NULL,
                            .args = args,
                            .arg_count = 1,
                            .type = TR_PQL_PLAIN(BOOLEAN)};
    TR_TRY(tr_pql_make_op(c->program, &like, &is_there, c->err));
    TR_TRY(tr_pql_add_mask(c, stream, is_there));
    *out = stream;
    return TR_OK;
}

tr_code tr_pql_field(tr_pql_compiler *c, const tr_pql_operand *of, const tr_pql_type *type,
                     tr_str name, const tr_pql_operand **out)
{
    tr_pql_op *map, *key, *args[2];
    const tr_pql_literal text = {.kind = TR_PQL_STRING, .string = name};
    const tr_pql_literal null = {.kind = TR_PQL_NULL};
    switch ((int)type->kind) {
    case TR_PQL_IS_OBJECT:
        if (type->is_profile && (tr_str_is(name, "xEvent") || tr_str_is(name, "timeSeriesEvents")))
            return events_op(c, type, of->op, out);
        return field_op(c, of->op, tr_type_member(type->xdm, name), out);
    case TR_PQL_IS_STRUCT: return struct_field(c, of, type, name, out);
    case TR_PQL_IS_ARRAY: return fields_of_items(c, of, type, name, out);
    case TR_PQL_IS_MAP:
    case TR_PQL_IS_GROUPS:
        TR_TRY(tr_pql_as_op(c, of, type, &map));
        TR_TRY(tr_pql_constant(c, &text, TR_PQL_PLAIN(STRING), &key));
        args[0] = map;
        args[1] = key;
        return tr_pql_emit(
            c,
            &(tr_pql_op){.kind = TR_PQL_OP_GET, .args = args, .arg_count = 2, .type = type->item},
            out);
    case TR_PQL_IS_NULL_TYPE:
        TR_TRY(tr_pql_constant(c, &null, TR_PQL_PLAIN(NULL_TYPE), &map));
        return tr_pql_from_op(c, map, out);
    default: break;
    }
    return TR_FAIL(c->err, TR_INVALID, "the expression was checked without a schema");
}

static tr_code field_of_node(tr_pql_compiler *c, const tr_pql_node *node,
                             const tr_pql_operand **out)
{
    const tr_pql_operand *of;
    tr_pql_op *profile;
    if (node->is_item)
        return tr_pql_operand_of(c, node->items[0], out);
    if (node->is_of_profile) {
        tr_pql_type *type = tr_arena_array(c->arena, 1, sizeof *type);
        if (type == NULL)
            return tr_pql_full(c);
        *type = (tr_pql_type){.kind = TR_PQL_IS_OBJECT,
                              .xdm = c->program->shapes[TR_PQL_PROFILES]->root,
                              .is_profile = true};
        TR_TRY(profile_op(c, type, &profile));
        TR_TRY(tr_pql_from_op(c, profile, &of));
        return tr_pql_field(c, of, type, node->name, out);
    }
    TR_TRY(tr_pql_operand_of(c, node->items[0], &of));
    return tr_pql_field(c, of, node->items[0]->type, node->name, out);
}

/* ---- the rest */

static tr_code variable(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    for (uint32_t i = c->bound_count; i-- > 0;)
        if (c->bound[i].operand != NULL && tr_str_equal(c->bound[i].name, node->name)) {
            *out = c->bound[i].operand;
            return TR_OK;
        }
    return TR_FAIL(c->err, TR_INVALID, "the expression was not checked");
}

static tr_code list(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    tr_pql_op **args = tr_arena_array(c->arena, node->count, sizeof(tr_pql_op *));
    if (args == NULL)
        return tr_pql_full(c);
    for (uint32_t i = 0; i < node->count; i++)
        TR_TRY(tr_pql_op_of(c, node->items[i], &args[i]));
    const tr_pql_op like = {
        .kind = TR_PQL_OP_LIST, .args = args, .arg_count = node->count, .type = node->type};
    return tr_pql_emit(c, &like, out);
}

static tr_code object(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    tr_pql_operand *operand = tr_arena_array(c->arena, 1, sizeof *operand);
    if (operand == NULL)
        return tr_pql_full(c);
    operand->node = node;
    operand->fields = tr_arena_array(c->arena, node->count, sizeof(tr_pql_operand *));
    if (operand->fields == NULL)
        return tr_pql_full(c);
    for (uint32_t i = 0; i < node->count; i++)
        TR_TRY(tr_pql_operand_of(c, node->items[i], &operand->fields[i]));
    *out = operand;
    return TR_OK;
}

static tr_code let(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    const tr_pql_operand *value;
    const uint32_t outside = c->bound_count;
    TR_TRY(tr_pql_operand_of(c, node->items[0], &value));
    TR_TRY(tr_pql_bind(c, node->name, value));
    TR_TRY(tr_pql_operand_of(c, node->items[1], out));
    c->bound_count = outside;
    return TR_OK;
}

tr_code tr_pql_operand_of(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    tr_pql_op *op;
    switch (node->kind) {
    case TR_PQL_LITERAL:
        TR_TRY(tr_pql_constant(c, &node->value, node->type, &op));
        return tr_pql_from_op(c, op, out);
    case TR_PQL_LIST: return list(c, node, out);
    case TR_PQL_OBJECT: return object(c, node, out);
    case TR_PQL_PARAMETER:
        TR_TRY(profile_op(c, node->type, &op));
        return tr_pql_from_op(c, op, out);
    case TR_PQL_VARIABLE: return variable(c, node, out);
    case TR_PQL_FIELD: return field_of_node(c, node, out);
    case TR_PQL_APPLY: return tr_pql_apply(c, node, out);
    case TR_PQL_SELECT: return tr_pql_select(c, node, out);
    case TR_PQL_QUANTIFY: return tr_pql_quantify(c, node, out);
    case TR_PQL_LET: return let(c, node, out);
    case TR_PQL_CHAIN: return tr_pql_chain(c, node, out);
    case TR_PQL_RELATIVE:
        return tr_pql_emit(
            c,
            &(tr_pql_op){.kind = TR_PQL_OP_NOW,
                         .fn = TR_PQL_FN_COUNT,
                         .time = {.which = node->time.which, .unit = node->time.unit},
                         .type = node->type},
            out);
    case TR_PQL_LAMBDA:
    case TR_PQL_DECL:
    case TR_PQL_ELEMENT:
    case TR_PQL_TIME: break;
    }
    return TR_FAIL(c->err, TR_INVALID, "the expression was not checked");
}

tr_code tr_pql_compile(tr_pql_program *program, const tr_pql_node *tree, tr_pql_op **out,
                       tr_err *err)
{
    tr_pql_op *profile;
    const tr_pql_operand *operand;
    tr_pql_compiler *c = tr_arena_array(&program->arena, 1, sizeof *c);
    if (c == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to compile an expression");
    c->program = program;
    c->arena = &program->arena;
    c->err = err;
    if (tree->kind != TR_PQL_LAMBDA)
        return tr_pql_truth_of(c, tree, out);
    tr_pql_type *type = tr_arena_array(c->arena, 1, sizeof *type);
    if (type == NULL)
        return tr_pql_full(c);
    *type = (tr_pql_type){.kind = TR_PQL_IS_OBJECT,
                          .xdm = program->shapes[TR_PQL_PROFILES]->root,
                          .is_profile = true};
    TR_TRY(profile_op(c, type, &profile));
    TR_TRY(tr_pql_from_op(c, profile, &operand));
    TR_TRY(tr_pql_bind(c, tree->names[0], operand));
    return tr_pql_truth_of(c, tree->items[0], out);
}
