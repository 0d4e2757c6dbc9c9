/* SPDX-License-Identifier: Apache-2.0 */
/* compile_chain.c - sequences of events, and times as arguments; see compile_internal.h.
 *
 * Everything about one event (WHAT, WHERE, a WHEN without a label) becomes a mask over the events,
 * so that only order and labels are left to the sequence itself.
 */
#include "pql/compile_internal.h"

/* The TIME of occurs as an operation: a date means the whole day. */
static tr_code anchor(tr_pql_compiler *c, const tr_pql_node *node, tr_pql_op **out)
{
    TR_TRY(tr_pql_op_of(c, node, out));
    if (node->type->kind != TR_PQL_IS_DATE)
        return TR_OK;
    const tr_pql_op like = {
        .kind = TR_PQL_OP_DAY, .args = out, .arg_count = 1, .type = TR_PQL_PLAIN(INTERVAL)};
    return tr_pql_make_op(c->program, &like, out, c->err);
}

tr_code tr_pql_occurs_op(tr_pql_compiler *c, tr_pql_op *x, const tr_pql_node *time, tr_pql_op **out)
{
    tr_pql_op *args[3] = {x};
    for (uint32_t i = 0; i < time->count; i++)
        TR_TRY(anchor(c, time->items[i], &args[1 + i]));
    const tr_pql_op like = {.kind = TR_PQL_OP_OCCURS,
                            .args = args,
                            .arg_count = 1 + time->count,
                            .time = time->time,
                            .type = TR_PQL_PLAIN(BOOLEAN)};
    return tr_pql_make_op(c->program, &like, out, c->err);
}

typedef struct chain {
    const tr_pql_node *node;
    tr_pql_operand stream;
    tr_pql_op *time;
    tr_pql_op **values; /* time, then matches and anchors */
    uint32_t value_count;
    tr_pql_element *elements;
} sequence;

/* The element whose label this is, or NO_LABEL. */
static uint32_t label_of(const sequence *chain, uint32_t before, const tr_pql_node *time)
{
    if (time->kind == TR_PQL_VARIABLE)
        for (uint32_t i = before; i-- > 0;)
            if (tr_str_equal(chain->node->items[2 + i]->name, time->name))
                return i;
    return TR_PQL_NO_LABEL;
}

static uint32_t add_value(sequence *chain, tr_pql_op *op)
{
    chain->values[chain->value_count] = op;
    return chain->value_count++;
}

static tr_code compile_when(tr_pql_compiler *c, sequence *chain, uint32_t index,
                            const tr_pql_node *when, tr_pql_op **mask)
{
    tr_pql_element *element = &chain->elements[index];
    bool has_label = false;
    *mask = NULL;
    for (uint32_t i = 0; i < when->count; i++) {
        element->label[i] = label_of(chain, index, when->items[i]);
        has_label = has_label || element->label[i] != TR_PQL_NO_LABEL;
    }
    if (!has_label)
        return tr_pql_occurs_op(c, chain->time, when, mask);
    element->has_when = true;
    element->time = when->time;
    for (uint32_t i = 0; i < when->count; i++) {
        tr_pql_op *op;
        if (element->label[i] != TR_PQL_NO_LABEL)
            continue;
        TR_TRY(anchor(c, when->items[i], &op));
        element->anchor[i] = add_value(chain, op);
    }
    return TR_OK;
}

static tr_code compile_element(tr_pql_compiler *c, sequence *chain, uint32_t index)
{
    const tr_pql_node *node = chain->node->items[2 + index];
    tr_pql_op *masks[3], *match;
    uint32_t count = 0;
    chain->elements[index] = (tr_pql_element){.comparison = node->count_comparison,
                                              .amount = node->count_amount,
                                              .label = {TR_PQL_NO_LABEL, TR_PQL_NO_LABEL}};
    for (int part = TR_PQL_WHAT; part <= TR_PQL_WHERE; part++) {
        const tr_pql_operand *body;
        if (node->items[part] == NULL)
            continue;
        TR_TRY(tr_pql_body(c, chain->stream.item, node->items[part], &body));
        TR_TRY(tr_pql_truth(c, body, node->items[part]->type, &masks[count++]));
    }
    if (node->items[TR_PQL_WHEN] != NULL) {
        TR_TRY(compile_when(c, chain, index, node->items[TR_PQL_WHEN], &masks[count]));
        count += masks[count] != NULL;
    }
    TR_TRY(tr_pql_all_of(c, masks, count, &match));
    chain->elements[index].match = add_value(chain, match);
    return TR_OK;
}

tr_code tr_pql_chain(tr_pql_compiler *c, const tr_pql_node *node, const tr_pql_operand **out)
{
    const tr_pql_operand *array, *time;
    tr_pql_op *op;
    const uint32_t elements = node->count - 2;
    sequence chain = {.node = node};
    chain.values = tr_arena_array(c->arena, 1 + 3 * (size_t)elements, sizeof(tr_pql_op *));
    chain.elements = tr_arena_array(c->arena, elements, sizeof *chain.elements);
    if (chain.values == NULL || chain.elements == NULL)
        return tr_pql_full(c);
    tr_pql_level *free = tr_pql_free_level(c, node);
    TR_TRY(tr_pql_operand_of(c, node->items[0], &array));
    if (node->items[0]->type->kind == TR_PQL_IS_NULL_TYPE) { /* no events at all */
        const tr_pql_literal no = {.kind = TR_PQL_BOOLEAN};
        TR_TRY(tr_pql_constant(c, &no, TR_PQL_PLAIN(BOOLEAN), &op));
        return tr_pql_from_op(c, op, out);
    }
    TR_TRY(tr_pql_stream(c, array, node->items[0]->type, free, &chain.stream));
    TR_TRY(tr_pql_body(c, chain.stream.item, node->items[1], &time));
    TR_TRY(tr_pql_as_op(c, time, node->items[1]->type, &chain.time));
    chain.values[chain.value_count++] = chain.time;
    for (uint32_t i = 0; i < elements; i++)
        TR_TRY(compile_element(c, &chain, i));
    const tr_pql_op like = {.kind = TR_PQL_OP_CHAIN,
                            .elements = chain.elements,
                            .element_count = elements,
                            .type = TR_PQL_PLAIN(BOOLEAN)};
    TR_TRY(tr_pql_fold(c, &chain.stream, &like, chain.values, chain.value_count, &op));
    return tr_pql_from_op(c, op, out);
}
