/* SPDX-License-Identifier: Apache-2.0 */
/* eval.c - a run: scopes into domains, operations into vectors, each once; see eval_internal.h. */
#include "pql/eval_internal.h"

#include "base/check.h"
#include "base/clock.h"

tr_code tr_pql_out_of_memory(const tr_pql_run *run)
{
    return TR_FAIL(run->err, TR_NO_MEMORY, "no memory to evaluate expressions");
}

tr_arena *tr_pql_arena_of(tr_pql_run *run, const tr_pql_level *level)
{
    for (; level != NULL; level = level->parent)
        if (run->states[level->id].own != NULL)
            return run->states[level->id].own;
    return &run->arena;
}

const tr_pql_domain *tr_pql_domain_of(const tr_pql_run *run, const tr_pql_level *level)
{
    return &run->states[level->id].domain;
}

/* ---- domains */

typedef struct building {
    const tr_pql_vec *lists, *where;
    uint32_t from, to;
    uint64_t total;
    bool is_identity;
} building;

static bool has_items(const building *b, uint32_t row, uint32_t *start, uint32_t *end)
{
    const uint32_t at = tr_pql_at(b->lists, row);
    if (tr_pql_base_is_null(b->lists->base, at) ||
        (b->where != NULL && !tr_pql_is_true(b->where, row)))
        return false;
    *start = b->lists->base->start[at];
    *end = b->lists->base->end[at];
    return true;
}

static void measure(building *b)
{
    uint32_t start, end;
    b->is_identity = true;
    for (uint32_t row = b->from; row < b->to; row++)
        if (has_items(b, row, &start, &end)) {
            b->is_identity = b->is_identity && (start == end || start == b->total);
            b->total += end - start;
        }
    b->is_identity =
        b->is_identity && b->lists->base->items != NULL && b->total == b->lists->base->items->count;
}

static tr_code fill_domain(tr_pql_run *run, const building *b, tr_arena *arena,
                           tr_pql_domain *domain)
{
    uint32_t start, end, at = 0;
    uint32_t *parent = tr_arena_alloc(arena, b->total * sizeof *parent + 1);
    uint32_t *position =
        b->is_identity ? NULL : tr_arena_alloc(arena, b->total * sizeof *position + 1);
    if (parent == NULL || (position == NULL && !b->is_identity))
        return tr_pql_out_of_memory(run);
    for (uint32_t row = b->from; row < b->to; row++) {
        if (!has_items(b, row, &start, &end))
            continue;
        for (uint32_t i = start; i < end; i++) {
            parent[at] = row;
            if (position != NULL)
                position[at] = i;
            at++;
        }
    }
    *domain = (tr_pql_domain){.count = (uint32_t)b->total, .parent = parent, .position = position};
    return TR_OK;
}

tr_code tr_pql_enter_part(tr_pql_run *run, const tr_pql_level *level, uint32_t from, uint32_t to,
                          tr_arena *arena)
{
    tr_pql_level_state *state = &run->states[level->id];
    building b = {.from = from, .to = to};
    TR_TRY(tr_pql_value(run, level->array, level->parent, &b.lists));
    if (level->where != NULL)
        TR_TRY(tr_pql_value(run, level->where, level->parent, &b.where));
    measure(&b);
    if (b.total >= TR_PQL_NO_ROW)
        return TR_FAIL(run->err, TR_LIMIT,
                       "an expression looks at more than 2^32 items of a partition together");
    TR_TRY(fill_domain(run, &b, arena, &state->domain));
    state->epoch = ++run->epoch;
    state->parent_epoch = run->states[level->parent->id].epoch;
    state->ancestries = NULL;
    state->last = NULL;
    return TR_OK;
}

tr_code tr_pql_enter(tr_pql_run *run, const tr_pql_level *level)
{
    tr_pql_level_state *state = &run->states[level->id];
    if (level->array == NULL) /* made by the run */
        return TR_OK;
    TR_TRY(tr_pql_enter(run, level->parent));
    if (state->epoch != 0 && state->parent_epoch == run->states[level->parent->id].epoch)
        return TR_OK;
    TR_DCHECK(state->own == NULL);
    return tr_pql_enter_part(run, level, 0, run->states[level->parent->id].domain.count,
                             tr_pql_arena_of(run, level));
}

static tr_code compose(tr_pql_run *run, const tr_pql_level *level, const tr_pql_level *above,
                       const uint32_t **out)
{
    const tr_pql_domain *domain = &run->states[level->id].domain;
    const uint32_t *outer;
    if (level->parent == above) {
        *out = domain->parent;
        return TR_OK;
    }
    TR_TRY(tr_pql_rows_above(run, level->parent, above, &outer));
    uint32_t *rows =
        tr_arena_alloc(tr_pql_arena_of(run, level), (size_t)domain->count * sizeof *rows + 1);
    if (rows == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < domain->count; i++)
        rows[i] = outer[domain->parent[i]];
    *out = rows;
    return TR_OK;
}

tr_code tr_pql_rows_above(tr_pql_run *run, const tr_pql_level *level, const tr_pql_level *above,
                          const uint32_t **out)
{
    tr_pql_level_state *state = &run->states[level->id];
    if (level == above) {
        *out = NULL;
        return TR_OK;
    }
    for (const tr_pql_ancestry *a = state->ancestries; a != NULL; a = a->next)
        if (a->above == above) {
            *out = a->rows;
            return TR_OK;
        }
    tr_pql_ancestry *made = tr_arena_array(tr_pql_arena_of(run, level), 1, sizeof *made);
    if (made == NULL)
        return tr_pql_out_of_memory(run);
    TR_TRY(compose(run, level, above, &made->rows));
    made->above = above;
    made->next = state->ancestries;
    state->ancestries = made;
    *out = made->rows;
    return TR_OK;
}

/* ---- operations */

/* An operation of its arguments row by row: once per base row where they look through one index. */
tr_code tr_pql_by_rows(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **args,
                       uint32_t count, tr_arena *arena, const tr_pql_vec **out)
{
    tr_pql_flat flat;
    tr_pql_base *base;
    TR_TRY(tr_pql_flatten(arena, args, op->arg_count, count, &flat, run->err));
    TR_TRY(tr_pql_scalar(run, op, args, flat.count, arena, &base));
    tr_pql_vec *vec = tr_pql_vec_make(arena, base);
    if (vec == NULL)
        return tr_pql_out_of_memory(run);
    vec->index = flat.index;
    vec->count = count;
    *out = vec;
    return TR_OK;
}

static tr_code by_rows(tr_pql_run *run, const tr_pql_op *op, uint32_t count, tr_arena *arena,
                       const tr_pql_vec **out)
{
    const tr_pql_vec *args[3] = {NULL};
    if (op->kind == TR_PQL_OP_COMPARE) {
        TR_TRY(tr_pql_fold_test(run, op, out));
        if (*out != NULL)
            return TR_OK;
    }
    for (uint32_t i = 0; i < op->arg_count; i++)
        TR_TRY(tr_pql_value(run, op->args[i], op->scope, &args[i]));
    return tr_pql_by_rows(run, op, args, count, arena, out);
}

/* Of what costs the same, that goes first which others want as well. */
static bool is_dearer(const tr_pql_op *a, const tr_pql_op *b)
{
    return a->weight != b->weight ? a->weight > b->weight : a->uses < b->uses;
}

void tr_pql_sort_by_weight(const tr_pql_op **ops, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const tr_pql_op *op = ops[i];
        uint32_t at = i;
        for (; at > 0 && is_dearer(ops[at - 1], op); at--)
            ops[at] = ops[at - 1];
        ops[at] = op;
    }
}

/* Cheap conditions first; the others are not looked at when every row is decided. */
static tr_code junction(tr_pql_run *run, const tr_pql_op *op, uint32_t count, tr_arena *arena,
                        const tr_pql_vec **out)
{
    const bool is_and = op->kind == TR_PQL_OP_AND;
    const tr_pql_op **ops = tr_arena_array(arena, op->arg_count, sizeof(tr_pql_op *));
    tr_pql_base *base;
    const tr_pql_vec *arg;
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_BOOL, count, &base, run->err));
    if (ops == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < op->arg_count; i++)
        ops[i] = op->args[i];
    tr_pql_sort_by_weight(ops, op->arg_count);
    memset(base->bools, is_and, count);
    for (uint32_t i = 0; i < op->arg_count; i++) {
        if (memchr(base->bools, is_and, count) == NULL)
            break;
        TR_TRY(tr_pql_value(run, ops[i], op->scope, &arg));
        tr_pql_join_mask(arg, count, is_and, base->bools);
    }
    *out = tr_pql_vec_make(arena, base);
    return *out == NULL ? tr_pql_out_of_memory(run) : TR_OK;
}

static tr_code item(tr_pql_run *run, const tr_pql_op *op, tr_arena *arena, const tr_pql_vec **out)
{
    const tr_pql_domain *domain = tr_pql_domain_of(run, op->scope);
    const tr_pql_vec *array;
    tr_pql_vec *null;
    TR_TRY(tr_pql_value(run, op->scope->array, op->scope->parent, &array));
    const tr_pql_vec *pool = array->base->kind == TR_PQL_VEC_NULL ? NULL
                             : op->kind == TR_PQL_OP_KEY          ? array->base->keys
                                                                  : array->base->items;
    if (pool != NULL)
        return tr_pql_pick(arena, pool, domain->position, domain->count, out, run->err);
    TR_TRY(tr_pql_vec_null(arena, domain->count, &null, run->err));
    *out = null;
    return TR_OK;
}

static tr_code field(tr_pql_run *run, const tr_pql_op *op, tr_arena *arena, const tr_pql_vec **out)
{
    const tr_pql_vec *of, *member;
    TR_TRY(tr_pql_value(run, op->args[0], op->scope, &of));
    TR_TRY(tr_pql_member(run, op->is_event, op->xdm, &member));
    return tr_pql_through(run, of, member, arena, out);
}

static tr_code fold(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out)
{
    switch ((int)op->kind) {
    case TR_PQL_OP_REDUCE: return tr_pql_fold_op(run, op, out);
    case TR_PQL_OP_CHAIN: return tr_pql_chain_op(run, op, out);
    default: return tr_pql_group_op(run, op, out);
    }
}

/* A fold wants whole domains. A scope that someone further out is walking in chunks is set aside
 * meanwhile. */
static tr_code fold_whole(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                          const tr_pql_vec **out)
{
    while (level != op->scope && run->states[level->id].own == NULL)
        level = level->parent;
    if (level == op->scope)
        return fold(run, op, out);
    tr_pql_level_state *state = &run->states[level->id];
    const tr_pql_level_state aside = *state;
    *state = (tr_pql_level_state){.epoch = 0};
    const tr_code code = fold_whole(run, op, level->parent, out);
    *state = aside;
    return code;
}

/* tidy: long switch, a line or two per kind of operation */
static tr_code evaluate(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out)
{
    const uint32_t count = tr_pql_domain_of(run, op->scope)->count;
    tr_arena *arena = tr_pql_arena_of(run, op->scope);
    const tr_pql_vec *args[3] = {NULL};
    switch (op->kind) {
    case TR_PQL_OP_PROFILE: return tr_pql_row_objects(run, false, out);
    case TR_PQL_OP_EVENTS:
        if (op->arg_count == 0)
            return tr_pql_event_lists(run, out);
        break;
    case TR_PQL_OP_ITEM:
    case TR_PQL_OP_KEY: return item(run, op, arena, out);
    case TR_PQL_OP_FIELD: return field(run, op, arena, out);
    case TR_PQL_OP_AND:
    case TR_PQL_OP_OR: return junction(run, op, count, arena, out);
    case TR_PQL_OP_CONST:
    case TR_PQL_OP_NOW:
    TR_PQL_CASES_BY_ROWS:
        return by_rows(run, op, count, arena, out);
    case TR_PQL_OP_REDUCE:
    case TR_PQL_OP_COLLECT:
    case TR_PQL_OP_ENTRIES:
    case TR_PQL_OP_GROUPS:
    case TR_PQL_OP_TOP:
    case TR_PQL_OP_CHAIN: return fold_whole(run, op, op->over, out);
    case TR_PQL_OP_MEMBER:
    case TR_PQL_OP_STRUCT:
    case TR_PQL_OP_LIST:
    case TR_PQL_OP_ONE:
    case TR_PQL_OP_IF:
    case TR_PQL_OP_GET:
    case TR_PQL_OP_KEYS:
    case TR_PQL_OP_VALUES:
    case TR_PQL_OP_HEAD:
    case TR_PQL_OP_DISTINCT:
    case TR_PQL_OP_SETS: break;
    }
    const tr_pql_vec **all = args;
    if (op->arg_count > 3)
        all = tr_arena_array(arena, op->arg_count, sizeof(tr_pql_vec *));
    if (all == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < op->arg_count; i++)
        TR_TRY(tr_pql_value(run, op->args[i], op->scope, &all[i]));
    return tr_pql_list(run, op, all, count, arena, out);
}

tr_pql_slot *tr_pql_slot_of(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level)
{
    const uint64_t epoch = run->states[level->id].epoch;
    for (tr_pql_slot *slot = run->slots[op->id]; slot != NULL; slot = slot->next) {
        if (slot->level != level)
            continue;
        if (slot->epoch != epoch) {
            slot->epoch = epoch;
            slot->vec = NULL;
            slot->bits = NULL;
            slot->selected = NULL;
            slot->order = NULL;
        }
        return slot;
    }
    tr_pql_slot *slot = tr_arena_array(&run->arena, 1, sizeof *slot);
    if (slot == NULL)
        return NULL;
    *slot = (tr_pql_slot){.level = level, .epoch = epoch, .next = run->slots[op->id]};
    run->slots[op->id] = slot;
    return slot;
}

/* The vector of the operation's own scope, for the rows of a scope below. */
static tr_code lower(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                     const tr_pql_vec **out)
{
    const tr_pql_vec *own;
    const uint32_t *rows;
    const uint32_t count = tr_pql_domain_of(run, level)->count;
    TR_TRY(tr_pql_value(run, op, op->scope, &own));
    if (op->scope != run->program->constant) {
        TR_TRY(tr_pql_rows_above(run, level, op->scope, &rows));
        return tr_pql_pick(tr_pql_arena_of(run, level), own, rows, count, out, run->err);
    }
    tr_pql_vec *constant = tr_pql_vec_make(tr_pql_arena_of(run, level), own->base);
    if (constant == NULL)
        return tr_pql_out_of_memory(run);
    constant->count = count;
    constant->is_constant = tr_pql_at(own, 0) == 0;
    if (!constant->is_constant) { /* the one row looks at another base row than the first */
        uint32_t *same =
            tr_arena_alloc(tr_pql_arena_of(run, level), (size_t)count * sizeof *same + 1);
        if (same == NULL)
            return tr_pql_out_of_memory(run);
        for (uint32_t i = 0; i < count; i++)
            same[i] = tr_pql_at(own, 0);
        constant->index = same;
    }
    *out = constant;
    return TR_OK;
}

static tr_code check_cancel(const tr_pql_run *run)
{
    if (run->input->cancel != NULL &&
        atomic_load_explicit(run->input->cancel, memory_order_relaxed))
        return TR_FAIL(run->err, TR_CANCELLED, "the evaluation was cancelled");
    return TR_OK;
}

tr_code tr_pql_value(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                     const tr_pql_vec **out)
{
    TR_TRY(tr_pql_enter(run, level));
    tr_pql_slot *slot = tr_pql_slot_of(run, op, level);
    if (slot == NULL)
        return tr_pql_out_of_memory(run);
    if (slot->vec == NULL) {
        TR_TRY(check_cancel(run));
        TR_TRY(level == op->scope ? evaluate(run, op, &slot->vec)
                                  : lower(run, op, level, &slot->vec));
    }
    *out = slot->vec;
    return TR_OK;
}

/* ---- the run */

tr_code tr_pql_run_open(const tr_pql_program *program, int64_t now_us, tr_pql_run **out,
                        tr_err *err)
{
    tr_pql_run *run = tr_alloc_zeroed(1, sizeof *run);
    if (run == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to evaluate expressions");
    run->program = program;
    run->pairs_max = TR_PQL_PAIRS_MAX;
    run->now = tr_pql_us_to_ms(now_us);
    run->slots = tr_alloc_zeroed(program->op_count + 1, sizeof(tr_pql_slot *));
    run->states = tr_alloc_zeroed(program->level_count + 1, sizeof *run->states);
    run->times_us = tr_alloc_zeroed(program->segment_count + 1, sizeof *run->times_us);
    tr_code code = run->slots == NULL || run->states == NULL || run->times_us == NULL
                       ? TR_FAIL(err, TR_NO_MEMORY, "no memory to evaluate expressions")
                       : TR_OK;
    if (code == TR_OK)
        code = tr_pql_matcher_open(&run->matcher, err);
    if (code != TR_OK) {
        tr_pql_run_close(run);
        return code;
    }
    *out = run;
    return TR_OK;
}

void tr_pql_run_close(tr_pql_run *run)
{
    if (run == NULL)
        return;
    tr_pql_matcher_close(run->matcher);
    tr_free(run->slots);
    tr_free(run->states);
    tr_free(run->times_us);
    tr_arena_free(&run->arena);
    tr_free(run);
}

static tr_code begin(tr_pql_run *run, const tr_pql_input *input, tr_err *err)
{
    static const uint32_t zero = 0;
    const tr_pql_program *program = run->program;
    memset(run->slots, 0, program->op_count * sizeof(tr_pql_slot *));
    memset(run->states, 0, program->level_count * sizeof *run->states);
    tr_arena_reset(&run->arena);
    run->edge_count = 0;
    run->input = input;
    run->err = err;
    tr_pql_level_state *constant = &run->states[program->constant->id];
    tr_pql_level_state *profiles = &run->states[program->profiles->id];
    uint32_t *parent = tr_arena_array(&run->arena, input->profiles, sizeof *parent);
    if (parent == NULL)
        return tr_pql_out_of_memory(run);
    constant->epoch = ++run->epoch;
    constant->domain = (tr_pql_domain){.count = 1, .parent = &zero};
    profiles->epoch = ++run->epoch;
    profiles->domain = (tr_pql_domain){.count = input->profiles, .parent = parent};
    return tr_pql_open_tables(run);
}

tr_code tr_pql_run_masks(tr_pql_run *run, const tr_pql_input *input, uint8_t *const *masks,
                         tr_err *err)
{
    TR_TRY(begin(run, input, err));
    for (uint32_t i = 0; i < run->program->segment_count; i++) {
        const int64_t from = tr_time_monotonic_us();
        const tr_pql_vec *mask;
        TR_TRY(tr_pql_value(run, run->program->segments[i].root, run->program->profiles, &mask));
        tr_pql_to_mask(mask, input->profiles, masks[i]);
        run->times_us[i] += tr_time_monotonic_us() - from;
    }
    return TR_OK;
}

int64_t tr_pql_run_time_us(const tr_pql_run *run, uint32_t index)
{
    return run->times_us[index];
}

uint64_t tr_pql_run_given_up(const tr_pql_run *run)
{
    return tr_pql_matcher_given_up(run->matcher);
}
