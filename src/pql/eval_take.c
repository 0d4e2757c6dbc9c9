/* SPDX-License-Identifier: Apache-2.0 */
/* eval_take.c - the items that a fold's conditions let in, as row numbers; see eval_internal.h.
 *
 * The first condition is looked at for all items, and the rows where it is true are kept with its
 * value: a hundred segments that begin with the same condition share them. Every other condition,
 * and what is reduced, is looked at on those rows alone.
 *
 *     eventType = "purchase"      [ 2 5 6 9 ... ]    of 600,000 events, shared
 *     total > 100                 [   5   9 ... ]    of the 50,000 that are left
 *     sum(total)                  on what is left
 *
 * An operation of which the values stand once in a small table is cheaper, and shared, when it is
 * worked out for the table.
 */
#include "pql/eval_internal.h"

/* Conditions of AND count one by one. */
static uint32_t count_conditions(const tr_pql_op *op)
{
    uint32_t count = 0;
    if (op->kind != TR_PQL_OP_AND)
        return 1;
    for (uint32_t i = 0; i < op->arg_count; i++)
        count += count_conditions(op->args[i]);
    return count;
}

static void list_conditions(const tr_pql_op *op, const tr_pql_op **out, uint32_t *count)
{
    if (op->kind != TR_PQL_OP_AND) {
        out[(*count)++] = op;
        return;
    }
    for (uint32_t i = 0; i < op->arg_count; i++)
        list_conditions(op->args[i], out, count);
}

static tr_code conditions_of(const tr_pql_run *run, const tr_pql_op *op, tr_arena *arena,
                             const tr_pql_op ***out, uint32_t *count)
{
    uint32_t most = 0;
    for (uint32_t i = op->fixed; i < op->arg_count; i++)
        most += count_conditions(op->args[i]);
    const tr_pql_op **ops = tr_arena_array(arena, most, sizeof(tr_pql_op *));
    if (ops == NULL)
        return tr_pql_out_of_memory(run);
    *count = 0;
    for (uint32_t i = op->fixed; i < op->arg_count; i++)
        list_conditions(op->args[i], ops, count);
    tr_pql_sort_by_weight(ops, *count);
    *out = ops;
    return TR_OK;
}

/* ---- values of some rows */

static bool is_by_rows(const tr_pql_op *op)
{
    switch ((int)op->kind) {
    TR_PQL_CASES_BY_ROWS:
        return true;
    default: return false;
    }
}

/* Whether it is cheaper to work an operation out for all rows, once: it was, others want it as
 * well, or its arguments look at a table no larger than what is asked for. */
static tr_code is_shared(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                         uint32_t count, bool *out)
{
    const uint32_t all = tr_pql_domain_of(run, level)->count;
    const tr_pql_slot *slot = tr_pql_slot_of(run, op, level);
    const tr_pql_vec *arg;
    if (slot == NULL)
        return tr_pql_out_of_memory(run);
    *out = true;
    if (op->scope != level || !is_by_rows(op) || slot->vec != NULL ||
        (uint64_t)count * op->uses >= all)
        return TR_OK;
    for (uint32_t i = 0; i < op->arg_count; i++) {
        if (is_by_rows(op->args[i])) {
            *out = false;
            return TR_OK;
        }
        TR_TRY(tr_pql_value(run, op->args[i], level, &arg));
        *out = *out && (arg->is_constant || (arg->index != NULL && arg->base->count <= count));
    }
    return TR_OK;
}

static tr_code value_of_rows(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                             const tr_pql_taken *rows, const tr_pql_vec **out)
{
    const tr_pql_vec *args[3] = {NULL};
    for (uint32_t i = 0; i < op->arg_count; i++)
        TR_TRY(tr_pql_value_at(run, op->args[i], level, rows, &args[i]));
    return tr_pql_by_rows(run, op, args, rows->count, tr_pql_arena_of(run, level), out);
}

tr_code tr_pql_value_at(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                        const tr_pql_taken *rows, const tr_pql_vec **out)
{
    const tr_pql_vec *all;
    bool is_whole = true;
    if (rows->at != NULL)
        TR_TRY(is_shared(run, op, level, rows->count, &is_whole));
    if (!is_whole)
        return value_of_rows(run, op, level, rows, out);
    TR_TRY(tr_pql_value(run, op, level, &all));
    return tr_pql_pick(tr_pql_arena_of(run, level), all, rows->at, rows->count, out, run->err);
}

/* ---- the rows */

/* Which of these rows are true; *out has room for all, and may be `rows`. `mask` has a value for
 * each of them, or (is_whole) for all rows of the scope. */
static uint32_t keep_true(const tr_pql_vec *mask, bool is_whole, const uint32_t *rows,
                          uint32_t count, uint32_t *out)
{
    const uint8_t *bools = mask->base->bools;
    const uint32_t *index = mask->index;
    uint32_t kept = 0;
    if (mask->base->kind != TR_PQL_VEC_BOOL || (mask->is_constant && bools[0] != TR_PQL_TRUE))
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t row = rows[i], own = is_whole ? row : i;
        const uint32_t at = mask->is_constant ? 0 : index == NULL ? own : index[own];
        out[kept] = row;
        kept += bools[at] == TR_PQL_TRUE;
    }
    return kept;
}

/* Numbers or times in a range are looked up where they are. */
static tr_code find_range(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                          tr_pql_range *out, bool *is_range)
{
    const tr_pql_vec *args[3] = {NULL};
    *is_range = op->kind == TR_PQL_OP_COMPARE || op->kind == TR_PQL_OP_OCCURS;
    for (uint32_t i = 0; i < op->arg_count && *is_range; i++)
        *is_range = op->args[i]->scope == run->program->constant || !is_by_rows(op->args[i]);
    for (uint32_t i = 0; i < op->arg_count && *is_range; i++)
        TR_TRY(tr_pql_value(run, op->args[i], level, &args[i]));
    *is_range = *is_range && tr_pql_range_of(op, args, out);
    return TR_OK;
}

/* Leaves the rows where a condition is true; `out` has room for all. */
static tr_code keep_rows(tr_pql_run *run, const tr_pql_op *op, const tr_pql_level *level,
                         tr_pql_taken *rows, uint32_t *out)
{
    const tr_pql_vec *mask;
    bool is_whole, is_range = false;
    tr_pql_range range;
    TR_TRY(is_shared(run, op, level, rows->count, &is_whole));
    if (!is_whole)
        TR_TRY(find_range(run, op, level, &range, &is_range));
    if (is_range) {
        rows->count = tr_pql_range_keep(&range, rows->at, rows->count, out);
    } else {
        TR_TRY(is_whole ? tr_pql_value(run, op, level, &mask)
                        : value_of_rows(run, op, level, rows, &mask));
        rows->count = keep_true(mask, is_whole, rows->at, rows->count, out);
    }
    rows->at = out;
    return TR_OK;
}

tr_code tr_pql_take(tr_pql_run *run, const tr_pql_op *op, tr_pql_taken *out)
{
    tr_arena *arena = tr_pql_arena_of(run, op->over);
    const tr_pql_op **ops;
    uint32_t count;
    *out = (tr_pql_taken){.count = tr_pql_domain_of(run, op->over)->count};
    TR_TRY(conditions_of(run, op, arena, &ops, &count));
    if (count > 0)
        TR_TRY(tr_pql_true_rows(run, ops[0], op->over, &out->at, &out->count));
    uint32_t *rows =
        count < 2 ? NULL : tr_arena_alloc(arena, (size_t)out->count * sizeof *rows + 1);
    if (count > 1 && rows == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 1; i < count && out->count > 0; i++)
        TR_TRY(keep_rows(run, ops[i], op->over, out, rows));
    return tr_pql_rows_above(run, op->over, op->scope, &out->owner);
}
