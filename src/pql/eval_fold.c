/* SPDX-License-Identifier: Apache-2.0 */
/* eval_fold.c - items back to the scope above: any, all, count, sum, average, min, max.
 *
 * Between the two scopes there may be several (a select of several variables). A product of arrays
 * that would have more than TR_PQL_PAIRS_MAX rows is walked in chunks of its parent's rows; results
 * are added up in order, so that chunks do not show.
 */
#include "pql/eval_internal.h"

/* ---- masks of the innermost scope */

static tr_code owners_of(tr_pql_run *run, const tr_pql_op *op, const uint32_t **out)
{
    TR_TRY(tr_pql_rows_above(run, op->over, op->scope, out));
    return TR_OK;
}

tr_code tr_pql_masks_of(tr_pql_run *run, const tr_pql_op *op, tr_pql_rows_in *out)
{
    tr_arena *arena = tr_pql_arena_of(run, op->over);
    const uint32_t count = tr_pql_domain_of(run, op->over)->count,
                   masks = op->arg_count - op->fixed;
    const tr_pql_op **ops = tr_arena_array(arena, masks, sizeof(tr_pql_op *));
    const tr_pql_vec *vec;
    *out = (tr_pql_rows_in){.count = count, .mask = tr_arena_alloc(arena, (size_t)count + 1)};
    if (ops == NULL || out->mask == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < masks; i++)
        ops[i] = op->args[op->fixed + i];
    tr_pql_sort_by_weight(ops, masks);
    memset(out->mask, 1, count);
    for (uint32_t i = 0; i < masks && memchr(out->mask, 1, count) != NULL; i++) {
        TR_TRY(tr_pql_value(run, ops[i], op->over, &vec));
        tr_pql_join_mask(vec, count, true, out->mask);
    }
    return owners_of(run, op, &out->owner);
}

tr_code tr_pql_starts(tr_pql_run *run, const tr_pql_rows_in *rows, uint32_t owners, tr_arena *arena,
                      uint32_t **out)
{
    uint32_t *start = tr_arena_array(arena, (size_t)owners + 1, sizeof *start);
    if (start == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < rows->count; i++)
        start[rows->owner[i] + 1]++;
    for (uint32_t i = 0; i < owners; i++)
        start[i + 1] += start[i];
    *out = start;
    return TR_OK;
}

/* ---- one reduction */

typedef struct fold {
    tr_pql_run *run;
    const tr_pql_op *op;
    const tr_pql_level
        *chain[TR_PQL_DEPTH_MAX * 2]; /* from the scope below the fold's own inwards */
    uint32_t chain_count;
    tr_pql_base *out; /* INT or NUM for sums; BOOL for any, all */
    int64_t *counts;  /* AVERAGE */
} fold;

static void add_integer(const fold *f, uint32_t owner, int64_t value)
{
    int64_t sum;
    double both;
    if (!__builtin_add_overflow(f->out->ints[owner], value, &sum)) {
        f->out->ints[owner] = sum;
        return;
    }
    both = (double)f->out->ints[owner] + (double)value;
    memcpy(&f->out->ints[owner], &both, sizeof both);
    f->out->valid[owner] = TR_PQL_DOUBLE_VALUE;
}

static void set_double(const fold *f, uint32_t owner, double number)
{
    if (f->out->kind == TR_PQL_VEC_NUM) {
        f->out->numbers[owner] = number;
        return;
    }
    memcpy(&f->out->ints[owner], &number, sizeof number);
    f->out->valid[owner] = TR_PQL_DOUBLE_VALUE;
}

static void add(const fold *f, uint32_t owner, const tr_pql_base *base, uint32_t at)
{
    if (tr_pql_is_integer_at(f->out, owner) && tr_pql_is_integer_at(base, at))
        add_integer(f, owner, base->ints[at]);
    else
        set_double(f, owner, tr_pql_number_at(f->out, owner) + tr_pql_number_at(base, at));
}

static bool is_better(const fold *f, uint32_t owner, const tr_pql_base *base, uint32_t at)
{
    const bool is_min = f->op->reduction == TR_PQL_REDUCE_MIN;
    if (f->out->valid[owner] == TR_PQL_NO_VALUE)
        return true;
    if (tr_pql_is_integer_at(f->out, owner) && tr_pql_is_integer_at(base, at))
        return is_min ? base->ints[at] < f->out->ints[owner] : base->ints[at] > f->out->ints[owner];
    const double old = tr_pql_number_at(f->out, owner), other = tr_pql_number_at(base, at);
    return is_min ? other < old : other > old;
}

static void take(const fold *f, uint32_t owner, const tr_pql_base *base, uint32_t at)
{
    f->out->valid[owner] = TR_PQL_VALUE;
    if (f->out->kind == TR_PQL_VEC_INT && tr_pql_is_integer_at(base, at))
        f->out->ints[owner] = base->ints[at];
    else
        set_double(f, owner, tr_pql_number_at(base, at));
}

static tr_code reduce_numbers(fold *f, const tr_pql_taken *rows)
{
    const tr_pql_vec *value;
    const bool is_extreme = f->op->reduction >= TR_PQL_REDUCE_MIN;
    TR_TRY(tr_pql_value_at(f->run, f->op->args[0], f->op->over, rows, &value));
    const tr_pql_base *base = value->base;
    if (base->kind != TR_PQL_VEC_INT && base->kind != TR_PQL_VEC_NUM)
        return TR_OK;
    for (uint32_t i = 0; i < rows->count; i++) {
        const uint32_t at = tr_pql_at(value, i);
        const uint32_t owner = tr_pql_owner_of(rows, i);
        if (tr_pql_base_is_null(base, at))
            continue;
        if (f->counts != NULL)
            f->counts[owner]++;
        if (!is_extreme)
            add(f, owner, base, at);
        else if (is_better(f, owner, base, at))
            take(f, owner, base, at);
    }
    return TR_OK;
}

static tr_code reduce_all(fold *f, const tr_pql_taken *rows)
{
    const tr_pql_vec *condition;
    TR_TRY(tr_pql_value_at(f->run, f->op->args[0], f->op->over, rows, &condition));
    for (uint32_t i = 0; i < rows->count; i++)
        if (!tr_pql_is_true(condition, i))
            f->out->bools[tr_pql_owner_of(rows, i)] = TR_PQL_FALSE;
    return TR_OK;
}

static tr_code reduce_rows(fold *f)
{
    tr_pql_taken rows;
    TR_TRY(tr_pql_take(f->run, f->op, &rows));
    if (rows.count == 0)
        return TR_OK;
    switch (f->op->reduction) {
    case TR_PQL_REDUCE_ANY:
        for (uint32_t i = 0; i < rows.count; i++)
            f->out->bools[tr_pql_owner_of(&rows, i)] = TR_PQL_TRUE;
        return TR_OK;
    case TR_PQL_REDUCE_COUNT:
        for (uint32_t i = 0; i < rows.count; i++)
            f->out->ints[tr_pql_owner_of(&rows, i)]++;
        return TR_OK;
    case TR_PQL_REDUCE_ALL: return reduce_all(f, &rows);
    case TR_PQL_REDUCE_SUM:
    case TR_PQL_REDUCE_AVERAGE:
    case TR_PQL_REDUCE_MIN:
    case TR_PQL_REDUCE_MAX: break;
    }
    return reduce_numbers(f, &rows);
}

/* ---- chunks */

/* The parent's rows [from, *to) whose items are at most so many, but at least one row. */
static void cut(uint64_t pairs_max, const tr_pql_vec *lists, uint32_t from, uint32_t rows,
                uint32_t *to)
{
    uint64_t total = 0;
    for (*to = from; *to < rows; (*to)++) {
        const uint32_t at = tr_pql_at(lists, *to);
        if (!tr_pql_base_is_null(lists->base, at))
            total += lists->base->end[at] - lists->base->start[at];
        if (total > pairs_max && *to > from)
            return;
    }
}

static tr_code walk(fold *f, uint32_t depth);

static tr_code walk_chunks(fold *f, uint32_t depth, const tr_pql_vec *lists, uint32_t rows)
{
    const tr_pql_level *level = f->chain[depth];
    tr_pql_level_state *state = &f->run->states[level->id];
    tr_arena memory = {0};
    tr_code code = TR_OK;
    uint32_t to;
    state->own = &memory;
    for (uint32_t from = 0; from < rows && code == TR_OK; from = to) {
        cut(f->run->pairs_max, lists, from, rows, &to);
        tr_arena_reset(&memory);
        code = tr_pql_enter_part(f->run, level, from, to, &memory);
        if (code == TR_OK)
            code = walk(f, depth + 1);
    }
    state->own = NULL;
    state->epoch = 0; /* the last chunk is not the domain */
    tr_arena_free(&memory);
    return code;
}

static tr_code walk(fold *f, uint32_t depth)
{
    const tr_pql_vec *lists;
    uint32_t to;
    if (depth == f->chain_count)
        return reduce_rows(f);
    const tr_pql_level *level = f->chain[depth];
    if (level->is_product) {
        TR_TRY(tr_pql_value(f->run, level->array, level->parent, &lists));
        const uint32_t rows = tr_pql_domain_of(f->run, level->parent)->count;
        cut(f->run->pairs_max, lists, 0, rows, &to);
        if (to < rows)
            return walk_chunks(f, depth, lists, rows);
    }
    TR_TRY(tr_pql_enter(f->run, level));
    return walk(f, depth + 1);
}

/* ---- the whole */

static tr_code open_result(fold *f, uint32_t owners, tr_arena *arena)
{
    const tr_pql_reduction r = f->op->reduction;
    const bool is_bool = r == TR_PQL_REDUCE_ANY || r == TR_PQL_REDUCE_ALL;
    const bool is_integer =
        f->op->type->kind == TR_PQL_IS_INTEGER ||
        (r == TR_PQL_REDUCE_AVERAGE && f->op->args[0]->type->kind == TR_PQL_IS_INTEGER);
    const tr_pql_vec_kind kind = is_bool      ? TR_PQL_VEC_BOOL
                                 : is_integer ? TR_PQL_VEC_INT
                                              : TR_PQL_VEC_NUM;
    TR_TRY(tr_pql_base_make(arena, kind, owners, &f->out, f->run->err));
    if (r == TR_PQL_REDUCE_AVERAGE) {
        f->counts = tr_arena_array(arena, owners, sizeof *f->counts);
        if (f->counts == NULL)
            return tr_pql_out_of_memory(f->run);
    }
    if (is_bool) {
        memset(f->out->bools, r == TR_PQL_REDUCE_ALL, owners);
        return TR_OK;
    }
    memset(f->out->values, 0, (size_t)owners * 8); /* 0 and 0.0 */
    memset(f->out->valid, r >= TR_PQL_REDUCE_MIN ? TR_PQL_NO_VALUE : TR_PQL_VALUE, owners);
    return TR_OK;
}

/* Sums into averages; in an integer base the sum was exact as long as it could be. */
static tr_code finish_average(fold *f, uint32_t owners, tr_arena *arena)
{
    tr_pql_base *averages;
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_NUM, owners, &averages, f->run->err));
    for (uint32_t i = 0; i < owners; i++) {
        averages->valid[i] = f->counts[i] > 0;
        averages->numbers[i] =
            f->counts[i] > 0 ? tr_pql_number_at(f->out, i) / (double)f->counts[i] : 0;
    }
    f->out = averages;
    return TR_OK;
}

tr_code tr_pql_fold_op(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out)
{
    tr_arena *arena = tr_pql_arena_of(run, op->scope);
    const uint32_t owners = tr_pql_domain_of(run, op->scope)->count;
    fold f = {.run = run, .op = op};
    const tr_pql_level *levels[sizeof f.chain / sizeof f.chain[0]];
    uint32_t count = 0;
    for (const tr_pql_level *l = op->over; l != op->scope; l = l->parent) {
        if (count == sizeof levels / sizeof levels[0])
            return TR_FAIL(run->err, TR_LIMIT, "an expression has too many arrays in each other");
        levels[count++] = l;
    }
    while (count > 0)
        f.chain[f.chain_count++] = levels[--count];
    TR_TRY(open_result(&f, owners, arena));
    TR_TRY(walk(&f, 0));
    if (op->reduction == TR_PQL_REDUCE_AVERAGE)
        TR_TRY(finish_average(&f, owners, arena));
    *out = tr_pql_vec_make(arena, f.out);
    return *out == NULL ? tr_pql_out_of_memory(run) : TR_OK;
}

/* ---- folds that are only compared with a constant: rows are ascending, those of one owner follow
 * each other, and no owner's value is kept */

/* A fold of one array that nobody else wants, never in chunks. */
static bool is_single(const tr_pql_op *op, tr_pql_reduction reduction)
{
    return op->kind == TR_PQL_OP_REDUCE && op->reduction == reduction && op->uses == 1 &&
           op->over->parent == op->scope && !op->over->is_product;
}

/* count() compared with a whole number is count() >= `least`, or (is_below) the opposite. False: it
 * is something else. */
static bool is_threshold(const tr_pql_op *op, const tr_pql_op **counted, int64_t *least,
                         bool *is_below)
{
    const bool is_turned = op->args[0]->kind == TR_PQL_OP_CONST;
    const tr_pql_op *number = op->args[!is_turned];
    const bool is_greater = op->fn == (is_turned ? TR_PQL_LT : TR_PQL_GT);
    const bool is_at_most = op->fn == (is_turned ? TR_PQL_GE : TR_PQL_LE);
    *counted = op->args[is_turned];
    *is_below = is_at_most || op->fn == (is_turned ? TR_PQL_GT : TR_PQL_LT);
    if (op->fn < TR_PQL_LT || op->fn > TR_PQL_GE || number->kind != TR_PQL_OP_CONST ||
        number->literal.kind != TR_PQL_INTEGER || number->literal.integer == INT64_MAX)
        return false;
    *least = number->literal.integer + (is_greater || is_at_most);
    return is_single(*counted, TR_PQL_REDUCE_COUNT);
}

static tr_code count_test(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out)
{
    const tr_pql_op *counted;
    int64_t least;
    bool is_below;
    tr_pql_taken rows;
    tr_pql_base *base;
    if (!is_threshold(op, &counted, &least, &is_below))
        return TR_OK;
    tr_arena *arena = tr_pql_arena_of(run, op->scope);
    const uint32_t owners = tr_pql_domain_of(run, op->scope)->count;
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_BOOL, owners, &base, run->err));
    memset(base->bools, is_below != (least <= 0), owners);
    TR_TRY(tr_pql_enter(run, counted->over));
    TR_TRY(tr_pql_take(run, counted, &rows));
    uint32_t before = TR_PQL_NO_ROW;
    int64_t seen = 0;
    for (uint32_t i = 0; i < rows.count; i++) { /* those of one owner follow each other */
        const uint32_t owner = tr_pql_owner_of(&rows, i);
        seen = owner == before ? seen + 1 : 1;
        before = owner;
        if (seen == least)
            base->bools[owner] = !is_below;
    }
    *out = tr_pql_vec_make(arena, base);
    return *out == NULL ? tr_pql_out_of_memory(run) : TR_OK;
}

/* A sum of doubles, one row at a time, and what it is compared with. */
typedef struct sum_test {
    tr_pql_base base;
    tr_pql_vec vec;
    double sum;
    uint8_t valid;
    tr_pql_range range;
} sum_test;

static bool is_sum_in(sum_test *t, double sum)
{
    uint8_t is_in = false;
    t->sum = sum;
    tr_pql_range_test(&t->range, &t->vec, 1, &is_in);
    return is_in;
}

static tr_code open_sum(tr_pql_run *run, const tr_pql_op *op, bool is_turned, sum_test *t,
                        bool *is_it)
{
    const tr_pql_vec *args[2];
    *t = (sum_test){.valid = TR_PQL_VALUE};
    t->base = (tr_pql_base){.kind = TR_PQL_VEC_NUM, .count = 1, .null_row = TR_PQL_NO_ROW};
    t->base.numbers = &t->sum;
    t->base.valid = &t->valid;
    t->vec = (tr_pql_vec){.base = &t->base, .count = 1};
    args[is_turned] = &t->vec;
    TR_TRY(tr_pql_value(run, op->args[!is_turned], op->scope, &args[!is_turned]));
    *is_it = tr_pql_range_of(op, args, &t->range);
    return TR_OK;
}

static tr_code test_sums(tr_pql_run *run, const tr_pql_op *summed, sum_test *t, uint8_t *out)
{
    tr_pql_taken rows;
    const tr_pql_vec *value;
    memset(out, is_sum_in(t, 0), tr_pql_domain_of(run, summed->scope)->count);
    TR_TRY(tr_pql_enter(run, summed->over));
    TR_TRY(tr_pql_take(run, summed, &rows));
    if (rows.count == 0)
        return TR_OK;
    TR_TRY(tr_pql_value_at(run, summed->args[0], summed->over, &rows, &value));
    const tr_pql_base *base = value->base;
    if (base->kind != TR_PQL_VEC_INT && base->kind != TR_PQL_VEC_NUM)
        return TR_OK;
    uint32_t before = tr_pql_owner_of(&rows, 0);
    double sum = 0;
    for (uint32_t i = 0; i < rows.count; i++) {
        const uint32_t at = tr_pql_at(value, i), owner = tr_pql_owner_of(&rows, i);
        if (owner != before) {
            out[before] = is_sum_in(t, sum);
            before = owner;
            sum = 0;
        }
        if (!tr_pql_base_is_null(base, at))
            sum += tr_pql_number_at(base, at);
    }
    out[before] = is_sum_in(t, sum);
    return TR_OK;
}

tr_code tr_pql_fold_test(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out)
{
    const bool is_turned = op->args[0]->scope == run->program->constant;
    const tr_pql_op *summed = op->args[is_turned];
    tr_pql_base *base;
    sum_test t;
    bool is_it;
    *out = NULL;
    TR_TRY(count_test(run, op, out));
    if (*out != NULL || op->args[!is_turned]->scope != run->program->constant ||
        !is_single(summed, TR_PQL_REDUCE_SUM) || summed->type->kind == TR_PQL_IS_INTEGER)
        return TR_OK;
    TR_TRY(open_sum(run, op, is_turned, &t, &is_it));
    if (!is_it)
        return TR_OK;
    tr_arena *arena = tr_pql_arena_of(run, op->scope);
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_BOOL, tr_pql_domain_of(run, op->scope)->count, &base,
                            run->err));
    TR_TRY(test_sums(run, summed, &t, base->bools));
    *out = tr_pql_vec_make(arena, base);
    return *out == NULL ? tr_pql_out_of_memory(run) : TR_OK;
}
