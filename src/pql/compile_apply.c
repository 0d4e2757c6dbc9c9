/* SPDX-License-Identifier: Apache-2.0 */
/* compile_apply.c - functions and operators into the graph; see compile_internal.h. */
#include "pql/compile_internal.h"

/* An operation of some operations. */
static tr_code emit(tr_pql_compiler *c, tr_pql_op_kind kind, tr_pql_fn fn, tr_pql_op **args,
                    uint32_t count, const tr_pql_type *type, tr_pql_op **out)
{
    const tr_pql_op like = {.kind = kind, .fn = fn, .args = args, .arg_count = count, .type = type};
    return tr_pql_make_op(c->program, &like, out, c->err);
}

/* ---- scalar operators over arrays: at least one item (reference 6.4) */

typedef struct lifted {
    const tr_pql_node *node;
    tr_pql_operand operands[2];
    const tr_pql_type *types[2];
    uint32_t lift_count; /* how many of the two may be arrays */
} lifted;

static tr_code scalar_op(tr_pql_compiler *c, const lifted *l, tr_pql_op **out)
{
    const tr_pql_node *node = l->node;
    tr_pql_op *args[2] = {NULL, NULL};
    tr_pql_op like = {.fn = node->fn, .args = args, .arg_count = 2, .type = node->type};
    TR_TRY(tr_pql_as_op(c, &l->operands[0], l->types[0], &args[0]));
    if (node->fn == TR_PQL_OCCURS)
        return tr_pql_occurs_op(c, args[0], node->items[1], out);
    TR_TRY(tr_pql_as_op(c, &l->operands[1], l->types[1], &args[1]));
    if (node->fn >= TR_PQL_EQ && node->fn <= TR_PQL_GE) {
        like.kind = TR_PQL_OP_COMPARE;
    } else if (node->fn == TR_PQL_MATCHES) {
        like.kind = TR_PQL_OP_REGEX;
        like.regex = node->regex;
    } else {
        like.kind = TR_PQL_OP_TEXT;
        like.number = node->count < 3 || node->items[2]->literal.boolean;
    }
    return tr_pql_make_op(c->program, &like, out, c->err);
}

static tr_code lift(tr_pql_compiler *c, lifted *l, uint32_t which, tr_pql_op **out)
{
    if (which == l->lift_count)
        return scalar_op(c, l, out);
    if (l->types[which]->kind != TR_PQL_IS_ARRAY)
        return lift(c, l, which + 1, out);
    tr_pql_operand stream;
    tr_pql_op *test;
    const tr_pql_type *type = l->types[which];
    tr_pql_level *other = l->node->fn == TR_PQL_OCCURS
                              ? tr_pql_free_level(c, l->node->items[1])
                              : tr_pql_level_of(c, &l->operands[1 - which]);
    TR_TRY(tr_pql_stream(c, &l->operands[which], type, other, &stream));
    for (type = type->item; type->kind == TR_PQL_IS_ARRAY; type = type->item)
        TR_TRY(tr_pql_nest(c, &stream, type));
    l->operands[which] = *stream.item;
    l->types[which] = type;
    TR_TRY(lift(c, l, which + 1, &test));
    TR_TRY(tr_pql_add_mask(c, &stream, test));
    return tr_pql_any(c, &stream, out);
}

static tr_code compare(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    const tr_pql_operand *operand;
    lifted l = {.node = node, .lift_count = node->fn == TR_PQL_OCCURS ? 1 : 2};
    for (uint32_t i = 0; i < l.lift_count; i++) {
        TR_TRY(tr_pql_operand_of(c, node->items[i], &operand));
        l.operands[i] = *operand;
        l.types[i] = node->items[i]->type;
    }
    /* Two arrays are compared as multisets. */
    if ((node->fn == TR_PQL_EQ || node->fn == TR_PQL_NE) && l.types[0]->kind == TR_PQL_IS_ARRAY &&
        l.types[1]->kind == TR_PQL_IS_ARRAY)
        l.lift_count = 0;
    return lift(c, &l, 0, out);
}

/* ---- in */

static tr_code is_there(tr_pql_compiler *c, const tr_pql_operand *operand, const tr_pql_type *type,
                        tr_pql_fn fn, tr_pql_op **out)
{
    const tr_pql_literal is = {.kind = TR_PQL_BOOLEAN, .boolean = fn == TR_PQL_IS_NOT_NULL};
    tr_pql_op *op = operand->op != NULL ? operand->op : operand->null_with;
    (void)type;
    if (op == NULL) /* a stream that is never null, a literal object */
        return tr_pql_constant(c, &is, TR_PQL_PLAIN(BOOLEAN), out);
    return emit(c, TR_PQL_OP_IS_NULL, fn, &op, 1, TR_PQL_PLAIN(BOOLEAN), out);
}

/* value in array, where value is one value */
static tr_code is_in(tr_pql_compiler *c, tr_pql_op *value, const tr_pql_operand *array,
                     const tr_pql_type *type, tr_pql_op **out)
{
    tr_pql_op *args[2] = {value, array->op}, *test;
    tr_pql_operand stream;
    if (array->op != NULL && array->op->kind == TR_PQL_OP_LIST &&
        array->op->scope == c->program->constant && tr_pql_is_scalar(type->item))
        return emit(c, TR_PQL_OP_IN, TR_PQL_IN, args, 2, TR_PQL_PLAIN(BOOLEAN), out);
    TR_TRY(tr_pql_stream(c, array, type, value->scope, &stream));
    TR_TRY(tr_pql_as_op(c, stream.item, type->item == NULL ? type : type->item, &args[1]));
    TR_TRY(emit(c, TR_PQL_OP_COMPARE, TR_PQL_EQ, args, 2, TR_PQL_PLAIN(BOOLEAN), &test));
    TR_TRY(tr_pql_add_mask(c, &stream, test));
    return tr_pql_any(c, &stream, out);
}

static tr_code is_not_in(tr_pql_compiler *c, tr_pql_op *value, const tr_pql_operand *array,
                         const tr_pql_type *type, tr_pql_op **out)
{
    tr_pql_op *parts[3], *in;
    tr_pql_operand one = {.op = value};
    TR_TRY(is_in(c, value, array, type, &in));
    TR_TRY(is_there(c, &one, type, TR_PQL_IS_NOT_NULL, &parts[0]));
    TR_TRY(is_there(c, array, type, TR_PQL_IS_NOT_NULL, &parts[1]));
    TR_TRY(emit(c, TR_PQL_OP_NOT, TR_PQL_NOT, &in, 1, TR_PQL_PLAIN(BOOLEAN), &parts[2]));
    return tr_pql_all_of(c, parts, 3, out);
}

static tr_code in(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_node *value,
                  const tr_pql_node *array, tr_pql_op **out)
{
    const tr_pql_operand *v, *a;
    const tr_pql_type *type = array->type, *one = value->type;
    tr_pql_op *op, *test;
    tr_pql_operand stream;
    const bool is_not = node->fn == TR_PQL_NOT_IN;
    TR_TRY(tr_pql_operand_of(c, value, &v));
    TR_TRY(tr_pql_operand_of(c, array, &a));
    if (type->kind != TR_PQL_IS_ARRAY) { /* a scalar is an array of one */
        TR_TRY(tr_pql_as_op(c, a, type, &op));
        if ((type = tr_pql_array_of(type, c->arena)) == NULL)
            return tr_pql_full(c);
        TR_TRY(emit(c, TR_PQL_OP_ONE, TR_PQL_FN_COUNT, &op, 1, type, &op));
        TR_TRY(tr_pql_from_op(c, op, &a));
    }
    if (one->kind != TR_PQL_IS_ARRAY || type->item->kind == TR_PQL_IS_ARRAY) {
        TR_TRY(tr_pql_as_op(c, v, one, &op));
        return is_not ? is_not_in(c, op, a, type, out) : is_in(c, op, a, type, out);
    }
    TR_TRY(tr_pql_stream(c, v, one, tr_pql_level_of(c, a), &stream));
    for (one = one->item; one->kind == TR_PQL_IS_ARRAY; one = one->item)
        TR_TRY(tr_pql_nest(c, &stream, one));
    TR_TRY(tr_pql_as_op(c, stream.item, one, &op));
    TR_TRY(is_not ? is_not_in(c, op, a, type, &test) : is_in(c, op, a, type, &test));
    TR_TRY(tr_pql_add_mask(c, &stream, test));
    return tr_pql_any(c, &stream, out);
}

/* ---- booleans */

static tr_code and_or(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    tr_pql_op **args = tr_arena_array(c->arena, node->count, sizeof(tr_pql_op *));
    if (args == NULL)
        return tr_pql_full(c);
    for (uint32_t i = 0; i < node->count; i++)
        TR_TRY(tr_pql_truth_of(c, node->items[i], &args[i]));
    return emit(c, node->fn == TR_PQL_AND ? TR_PQL_OP_AND : TR_PQL_OP_OR, node->fn, args,
                node->count, node->type, out);
}

static tr_code negate(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    tr_pql_op *op;
    TR_TRY(tr_pql_truth_of(c, node->items[0], &op));
    return emit(c, TR_PQL_OP_NOT, TR_PQL_NOT, &op, 1, node->type, out);
}

static tr_code if_else(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    tr_pql_op *args[3];
    TR_TRY(tr_pql_truth_of(c, node->items[0], &args[0]));
    TR_TRY(tr_pql_op_of(c, node->items[1], &args[1]));
    TR_TRY(tr_pql_op_of(c, node->items[2], &args[2]));
    return emit(c, TR_PQL_OP_IF, TR_PQL_IF, args, 3, node->type, out);
}

/* status of segmentMembership.ups.<id> is realized or existing */
static tr_code read_membership(tr_pql_compiler *c, tr_str id, const tr_pql_type *type,
                               tr_pql_op **out)
{
    static const char *const statuses[] = {"realized", "existing"};
    const tr_type *profile = c->program->shapes[TR_PQL_PROFILES]->root;
    const tr_str path[] = {tr_str_of("segmentMembership"), tr_str_of("ups"), id,
                           tr_str_of("status")};
    const tr_pql_type *at = tr_pql_type_of_xdm(profile, c->arena);
    const tr_pql_operand *operand;
    tr_pql_op *args[2], *items[2];
    if (at == NULL)
        return tr_pql_full(c);
    TR_TRY(tr_pql_emit(
        c, &(tr_pql_op){.kind = TR_PQL_OP_PROFILE, .scope = c->program->profiles, .type = at},
        &operand));
    for (uint32_t i = 0; i < 4; i++) {
        TR_TRY(tr_pql_field(c, operand, at, path[i], &operand));
        at = operand->op->type;
    }
    args[0] = operand->op;
    for (uint32_t i = 0; i < 2; i++) {
        const tr_pql_literal status = {.kind = TR_PQL_STRING, .string = tr_str_of(statuses[i])};
        TR_TRY(tr_pql_constant(c, &status, TR_PQL_PLAIN(STRING), &items[i]));
    }
    if ((at = tr_pql_array_of(TR_PQL_PLAIN(STRING), c->arena)) == NULL)
        return tr_pql_full(c);
    TR_TRY(emit(c, TR_PQL_OP_LIST, TR_PQL_FN_COUNT, items, 2, at, &args[1]));
    return emit(c, TR_PQL_OP_IN, TR_PQL_IN, args, 2, type, out);
}

/* A segment of this program is its own mask; any other is read from the profile. */
static tr_code in_segment(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    const tr_str id = node->items[0]->literal.string;
    const tr_type *profile = c->program->shapes[TR_PQL_PROFILES]->root;
    const tr_type *map = tr_type_member(profile, tr_str_of("segmentMembership"));
    for (uint32_t i = 0; i < c->program->segment_count; i++)
        if (tr_str_equal(c->program->segments[i].id, id) && id.len > 0) {
            *out = c->program->segments[i].root;
            return TR_OK;
        }
    const tr_pql_literal no = {.kind = TR_PQL_BOOLEAN};
    const bool has_status = map != NULL && map->kind == TR_KIND_MAP &&
                            map->children[0]->kind == TR_KIND_MAP &&
                            map->children[0]->children[0]->kind == TR_KIND_OBJECT &&
                            tr_type_member(map->children[0]->children[0], tr_str_of("status"));
    return has_status ? read_membership(c, id, node->type, out)
                      : tr_pql_constant(c, &no, node->type, out);
}

/* ---- arrays */

/* A.fn(item => ...) as the stream of A and the lambda's body. */
static tr_code per_item(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_level *free,
                        tr_pql_operand *stream, const tr_pql_operand **body)
{
    const tr_pql_operand *array;
    const tr_pql_node *lambda = node->items[1];
    free = tr_pql_deeper(free, tr_pql_free_level(c, lambda));
    TR_TRY(tr_pql_operand_of(c, node->items[0], &array));
    TR_TRY(tr_pql_stream(c, array, node->items[0]->type, free, stream));
    return tr_pql_body(c, stream->item, lambda, body);
}

static tr_code filter(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    const tr_pql_operand *body;
    tr_pql_op *mask;
    tr_pql_operand *stream = tr_arena_array(c->arena, 1, sizeof *stream);
    if (stream == NULL)
        return tr_pql_full(c);
    TR_TRY(per_item(c, node, c->program->constant, stream, &body));
    TR_TRY(tr_pql_truth(c, body, node->items[1]->type, &mask));
    TR_TRY(tr_pql_add_mask(c, stream, mask));
    stream->null_with = NULL;
    *out = stream;
    if (node->fn != TR_PQL_EXISTS)
        return TR_OK;
    TR_TRY(tr_pql_any(c, stream, &mask));
    return tr_pql_from_op(c, mask, out);
}

static tr_code entries(tr_pql_compiler *c, const tr_pql_operand *stream, const tr_pql_node *entry,
                       const tr_pql_node *node, const tr_pql_operand **out)
{
    tr_pql_op *values[2], *op;
    TR_TRY(tr_pql_op_of(c, entry->items[0], &values[0]));
    TR_TRY(tr_pql_op_of(c, entry->items[1], &values[1]));
    const tr_pql_op like = {.kind = TR_PQL_OP_ENTRIES, .type = node->type};
    TR_TRY(tr_pql_fold(c, stream, &like, values, 2, &op));
    return tr_pql_from_op(c, op, out);
}

static tr_code map(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    const tr_pql_operand *array, *key, *body;
    const tr_pql_node *lambda = node->items[1];
    const tr_pql_type *from = node->items[0]->type;
    const uint32_t outside = c->bound_count;
    tr_pql_operand *stream = tr_arena_array(c->arena, 1, sizeof *stream);
    if (stream == NULL)
        return tr_pql_full(c);
    tr_pql_level *free = tr_pql_free_level(c, lambda);
    TR_TRY(tr_pql_operand_of(c, node->items[0], &array));
    TR_TRY(tr_pql_stream(c, array, from, free, stream));
    if (from->kind == TR_PQL_IS_GROUPS) {
        const tr_pql_op like = {.kind = TR_PQL_OP_KEY,
                                .scope = stream->inner,
                                .over = stream->inner,
                                .type = from->key};
        TR_TRY(tr_pql_emit(c, &like, &key));
        TR_TRY(tr_pql_bind(c, lambda->names[0], key));
    }
    TR_TRY(tr_pql_bind(c, lambda->names[lambda->name_count - 1], stream->item));
    stream->null_with = NULL;
    *out = stream;
    if (lambda->type->kind == TR_PQL_IS_ENTRY) {
        TR_TRY(entries(c, stream, lambda->items[0], node, out));
    } else {
        TR_TRY(tr_pql_operand_of(c, lambda->items[0], &body));
        stream->item = body;
    }
    c->bound_count = outside;
    return TR_OK;
}

static tr_code group_by(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    const tr_pql_operand *body;
    tr_pql_operand stream;
    tr_pql_op *values[2], *op;
    const tr_pql_type *array = node->type->item;
    TR_TRY(per_item(c, node, c->program->constant, &stream, &body));
    TR_TRY(tr_pql_as_op(c, body, node->items[1]->type, &values[0]));
    TR_TRY(tr_pql_as_op(c, stream.item, array->item, &values[1]));
    const tr_pql_op like = {.kind = TR_PQL_OP_GROUPS, .type = node->type};
    TR_TRY(tr_pql_fold(c, &stream, &like, values, 2, &op));
    return tr_pql_from_op(c, op, out);
}

static tr_code top(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    const tr_pql_operand *body;
    tr_pql_operand stream;
    tr_pql_op *values[3], *op;
    const tr_pql_type *type = node->type;
    TR_TRY(tr_pql_op_of(c, node->items[2], &values[1]));
    TR_TRY(per_item(c, node, values[1]->scope, &stream, &body));
    TR_TRY(tr_pql_as_op(c, body, node->items[1]->type, &values[0]));
    TR_TRY(tr_pql_as_op(c, stream.item, type->item == NULL ? type : type->item, &values[2]));
    const tr_pql_op like = {.kind = TR_PQL_OP_TOP, .fn = node->fn, .type = type};
    TR_TRY(tr_pql_fold(c, &stream, &like, values, 3, &op));
    return tr_pql_from_op(c, op, out);
}

static tr_code count(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    const tr_pql_operand *array;
    const tr_pql_op like = {
        .kind = TR_PQL_OP_REDUCE, .reduction = TR_PQL_REDUCE_COUNT, .type = node->type};
    tr_pql_op *op;
    TR_TRY(tr_pql_operand_of(c, node->items[0], &array));
    if (array->op == NULL)
        return tr_pql_fold(c, array, &like, NULL, 0, out);
    op = array->op;
    return emit(c, TR_PQL_OP_COUNT, TR_PQL_COUNT, &op, 1, node->type, out);
}

static tr_code aggregate(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    static const tr_pql_reduction reductions[] = {TR_PQL_REDUCE_SUM, TR_PQL_REDUCE_AVERAGE,
                                                  TR_PQL_REDUCE_MIN, TR_PQL_REDUCE_MAX};
    const tr_pql_node *array = node->items[0];
    const tr_pql_operand *operand;
    tr_pql_operand stream;
    tr_pql_op *value, *op;
    const tr_pql_op like = {.kind = TR_PQL_OP_REDUCE,
                            .reduction = reductions[node->fn - TR_PQL_SUM],
                            .type = node->type};
    if (node->count == 2 && array->kind == TR_PQL_SELECT && array->count > 1)
        return tr_pql_sum_over(c, node, &like, out);
    if (node->count == 2) {
        TR_TRY(per_item(c, node, c->program->constant, &stream, &operand));
        TR_TRY(tr_pql_as_op(c, operand, node->items[1]->type, &value));
    } else {
        const tr_pql_type *type = array->type;
        TR_TRY(tr_pql_operand_of(c, array, &operand));
        TR_TRY(tr_pql_stream(c, operand, type, c->program->constant, &stream));
        TR_TRY(tr_pql_as_op(c, stream.item, type->item == NULL ? type : type->item, &value));
    }
    TR_TRY(tr_pql_fold(c, &stream, &like, &value, 1, &op));
    return tr_pql_from_op(c, op, out);
}

/* A.subsetOf(B); A.supersetOf(B) is the same the other way round. */
static tr_code sets(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    tr_pql_op *args[2];
    const bool is_swapped = node->fn == TR_PQL_SUPERSET_OF;
    TR_TRY(tr_pql_op_of(c, node->items[is_swapped], &args[0]));
    TR_TRY(tr_pql_op_of(c, node->items[!is_swapped], &args[1]));
    return emit(c, TR_PQL_OP_SETS, is_swapped ? TR_PQL_SUBSET_OF : node->fn, args, 2, node->type,
                out);
}

/* Functions that are operations of their own, of all their operands. */
static tr_code plain(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op_kind kind,
                     tr_pql_op **out)
{
    tr_pql_op *args[3];
    uint32_t used = node->count;
    tr_pql_op like = {.kind = kind, .fn = node->fn, .args = args, .type = node->type};
    if (node->fn == TR_PQL_REGEX_GROUP) {
        like.number = (uint32_t)node->items[2]->literal.integer;
        like.regex = node->regex;
        used = 2;
    }
    for (uint32_t i = 0; i < used; i++)
        TR_TRY(tr_pql_op_of(c, node->items[i], &args[i]));
    like.arg_count = used;
    return tr_pql_make_op(c->program, &like, out, c->err);
}

static tr_code null_test(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    const tr_pql_operand *operand;
    TR_TRY(tr_pql_operand_of(c, node->items[0], &operand));
    return is_there(c, operand, node->items[0]->type, node->fn, out);
}

/* tidy: long switch, a line per function */
static tr_code to_op(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    switch ((int)node->fn) {
    case TR_PQL_AND:
    case TR_PQL_OR: return and_or(c, node, out);
    case TR_PQL_NOT: return negate(c, node, out);
    case TR_PQL_IN:
    case TR_PQL_NOT_IN: return in(c, node, node->items[0], node->items[1], out);
    case TR_PQL_INCLUDES: return in(c, node, node->items[1], node->items[0], out);
    case TR_PQL_ADD:
    case TR_PQL_SUB:
    case TR_PQL_MUL:
    case TR_PQL_DIV:
    case TR_PQL_MOD: return plain(c, node, TR_PQL_OP_ARITH, out);
    case TR_PQL_REGEX_GROUP: return plain(c, node, TR_PQL_OP_REGEX, out);
    case TR_PQL_INTERSECTS:
    case TR_PQL_INTERSECTION:
    case TR_PQL_SUBSET_OF:
    case TR_PQL_SUPERSET_OF: return sets(c, node, out);
    case TR_PQL_DISTINCT: return plain(c, node, TR_PQL_OP_DISTINCT, out);
    case TR_PQL_HEAD: return plain(c, node, TR_PQL_OP_HEAD, out);
    case TR_PQL_COUNT: return count(c, node, out);
    case TR_PQL_GET: return plain(c, node, TR_PQL_OP_GET, out);
    case TR_PQL_KEYS: return plain(c, node, TR_PQL_OP_KEYS, out);
    case TR_PQL_VALUES: return plain(c, node, TR_PQL_OP_VALUES, out);
    case TR_PQL_IS_NULL:
    case TR_PQL_IS_NOT_NULL: return null_test(c, node, out);
    case TR_PQL_GET_YEAR:
    case TR_PQL_GET_MONTH:
    case TR_PQL_GET_DAY_OF_MONTH: return plain(c, node, TR_PQL_OP_DATE_PART, out);
    case TR_PQL_IF: return if_else(c, node, out);
    case TR_PQL_DATE: return plain(c, node, TR_PQL_OP_DATE, out);
    case TR_PQL_IN_SEGMENT: return in_segment(c, node, out);
    case TR_PQL_CURRENT_YEAR:
    case TR_PQL_CURRENT_MONTH:
    case TR_PQL_CURRENT_DAY:
    case TR_PQL_NOW:
    case TR_PQL_TODAY:
    case TR_PQL_YESTERDAY:
    case TR_PQL_TOMORROW: return plain(c, node, TR_PQL_OP_NOW, out);
    default: return compare(c, node, out);
    }
}

tr_code tr_pql_apply(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    tr_pql_op *op;
    switch ((int)node->fn) {
    case TR_PQL_FILTER:
    case TR_PQL_EXISTS: return filter(c, node, out);
    case TR_PQL_MAP: return map(c, node, out);
    case TR_PQL_GROUP_BY: return group_by(c, node, out);
    case TR_PQL_TOP_N:
    case TR_PQL_BOTTOM_N: return top(c, node, out);
    case TR_PQL_SUM:
    case TR_PQL_AVERAGE:
    case TR_PQL_MIN:
    case TR_PQL_MAX: return aggregate(c, node, out);
    default: break;
    }
    TR_TRY(to_op(c, node, &op));
    return tr_pql_from_op(c, op, out);
}
