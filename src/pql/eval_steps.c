/* SPDX-License-Identifier: Apache-2.0 */
/* eval_steps.c - the elements of a sequence one after the other, for all profiles at a time; see
 * eval_internal.h.
 *
 * The earliest end of an element is the best one when only the order counts, so that a step is one
 * pass over bits, a bit an event, profiles end to end:
 *
 *     last      . . . # . . . . #        of its profile
 *     A         . # . . # . . # .
 *     behind A  . . # # . # # # #        flood: bits run on until the last of their profile
 *     B         . . . # . . . . .
 *     A, B      . . . # . . . . .        B & behind A
 *
 * Running on is an addition: a mark added to a row of ones carries to its end. Events of one time
 * are not behind each other; they are TIED to the one before, and what begins behind a mark begins
 * at the first of such a group.
 *
 * An element that wants n events is n steps, of which only the last one looks at times.
 */
#include "pql/eval_internal.h"

enum { STEPS_MAX = 64 };

struct tr_pql_order {
    bool is_ascending;     /* within each parent row, as far as there are times */
    const uint64_t *ties;  /* rows as late as the one before; NULL: none */
    const uint64_t *timed; /* rows that have a time; NULL: all */
};

typedef struct step {
    const uint64_t *match;
    bool ends_element;
    uint64_t flood, move, tie; /* carried on to the next word */
} step;

typedef struct steps {
    step at[STEPS_MAX];
    uint32_t count;
} steps;

/* ---- the order of events */

typedef struct ordering {
    uint64_t *ties, *timed;
    bool has_ties, has_gaps, is_ascending;
} ordering;

/* Rows that all have a time; false: not all have. */
static bool look_at_all(const tr_pql_domain *domain, const tr_pql_vec *time, ordering *o)
{
    const uint32_t *parent = domain->parent, *index = time->index;
    const int64_t *ints = time->base->ints;
    const uint8_t *valid = time->base->valid;
    uint32_t owner = TR_PQL_NO_ROW;
    unsigned are_timed = !time->is_constant && valid != NULL, is_ascending = 1;
    int64_t before = 0;
    for (uint32_t from = 0; from < domain->count && are_timed; from += 64) {
        const uint32_t rows = domain->count - from < 64 ? domain->count - from : 64;
        uint64_t ties = 0;
        for (uint32_t i = 0; i < rows; i++) {
            const uint32_t row = from + i, at = index == NULL ? row : index[row];
            const int64_t now = ints[at];
            const unsigned is_same = parent[row] == owner;
            are_timed &= valid[at] != TR_PQL_NO_VALUE;
            is_ascending &= (is_same ^ 1U) | (unsigned)(now >= before);
            ties |= (uint64_t)(is_same & (unsigned)(now == before)) << i;
            owner = parent[row];
            before = now;
        }
        o->ties[from / 64] = ties;
        o->has_ties = o->has_ties || ties != 0;
    }
    o->is_ascending = is_ascending;
    return are_timed;
}

static void look_at_some(const tr_pql_domain *domain, const tr_pql_vec *time, ordering *o)
{
    uint32_t owner = TR_PQL_NO_ROW;
    bool has_before = false;
    int64_t before = 0;
    o->has_gaps = o->is_ascending = true;
    for (uint32_t row = 0; row < domain->count; row++) {
        const uint32_t at = tr_pql_at(time, row);
        const uint64_t bit = UINT64_C(1) << row % 64;
        const bool is_first = domain->parent[row] != owner;
        if (is_first) {
            owner = domain->parent[row];
            has_before = false;
        }
        o->ties[row / 64] &= ~bit;
        if (tr_pql_base_is_null(time->base, at)) { /* passes on what is before it */
            o->ties[row / 64] |= is_first ? 0 : bit;
            continue;
        }
        const int64_t now = time->base->ints[at];
        o->timed[row / 64] |= bit;
        if (has_before && now == before)
            o->ties[row / 64] |= bit;
        o->is_ascending = o->is_ascending && (!has_before || now >= before);
        before = now;
        has_before = true;
    }
}

static tr_code order_of(tr_pql_run *run, const tr_pql_op *op, const tr_pql_order **out)
{
    const tr_pql_domain *domain = tr_pql_domain_of(run, op->over);
    tr_arena *arena = tr_pql_arena_of(run, op->over);
    const tr_pql_vec *time;
    TR_TRY(tr_pql_value(run, op->args[0], op->over, &time));
    tr_pql_slot *slot = tr_pql_slot_of(run, op->args[0], op->over);
    if (slot->order == NULL) {
        const size_t words = tr_pql_words(domain->count);
        tr_pql_order *made = tr_arena_array(arena, 1, sizeof *made);
        ordering o = {.ties = tr_arena_array(arena, words, sizeof *o.ties),
                      .timed = tr_arena_array(arena, words, sizeof *o.timed),
                      .is_ascending = time->base->kind == TR_PQL_VEC_TIME};
        if (made == NULL || o.ties == NULL || o.timed == NULL)
            return tr_pql_out_of_memory(run);
        if (o.is_ascending && !look_at_all(domain, time, &o))
            look_at_some(domain, time, &o);
        *made = (tr_pql_order){.is_ascending = o.is_ascending,
                               .ties = o.has_ties || o.has_gaps ? o.ties : NULL,
                               .timed = o.has_gaps ? o.timed : NULL};
        slot->order = made;
    }
    *out = slot->order;
    return TR_OK;
}

/* ---- one word of events */

/* The marks, and all that they reach while the rows behind them let them through. */
static uint64_t flood(uint64_t marks, uint64_t through, uint64_t *carry)
{
    unsigned long long sum, all;
    const bool is_over = __builtin_uaddll_overflow(marks & through, through, &sum);
    const bool is_over_too = __builtin_uaddll_overflow(sum, *carry, &all);
    *carry = is_over || is_over_too;
    return (all ^ through) | marks;
}

/* Rows behind the marks, of the same parent row. */
static uint64_t behind(uint64_t marks, uint64_t last, step *s)
{
    const uint64_t left = flood(marks, ~last, &s->flood) & ~last;
    const uint64_t moved = left << 1 | s->move;
    s->move = left >> 63;
    return moved;
}

typedef struct walked {
    size_t words;
    const uint64_t *last, *rows; /* rows NULL: all */
    const tr_pql_order *order;
} walked;

/* Behind the marks and later than them. */
static uint64_t later(uint64_t marks, const walked *w, size_t at, step *s)
{
    const uint64_t rows = behind(marks, w->last[at], s), *ties = w->order->ties;
    if (ties == NULL)
        return rows;
    const uint64_t next = at + 1 < w->words ? ties[at + 1] << 63 : 0;
    return flood(rows & ~ties[at], ties[at] >> 1 | next, &s->tie);
}

static uint64_t walk_word(steps *all, const walked *w, size_t at)
{
    uint64_t marks = w->rows == NULL ? UINT64_MAX : w->rows[at];
    if (w->order->timed != NULL)
        marks &= w->order->timed[at];
    const uint64_t may = marks;
    for (uint32_t i = 0; i < all->count; i++) {
        step *s = &all->at[i];
        marks &= s->match[at];
        if (i + 1 == all->count)
            break;
        marks = may & (s->ends_element ? later(marks, w, at, s) : behind(marks, w->last[at], s));
    }
    return marks;
}

/* ---- a whole scope */

/* False: there are more steps than are looked at. */
static tr_code list_steps(tr_pql_run *run, const tr_pql_op *op, steps *out, bool *are_all)
{
    *are_all = true;
    for (uint32_t i = 0; i < op->element_count; i++) {
        const tr_pql_element *element = &op->elements[i];
        const int64_t wanted = tr_pql_wanted_of(element);
        const uint64_t *match;
        if (wanted <= 0)
            continue;
        if (wanted > STEPS_MAX - (int64_t)out->count) {
            *are_all = false;
            return TR_OK;
        }
        TR_TRY(tr_pql_true_bits(run, op->args[element->match], op->over, &match));
        for (int64_t n = 1; n <= wanted; n++)
            out->at[out->count++] = (step){.match = match, .ends_element = n == wanted};
    }
    return TR_OK;
}

/* The rows that a fold's masks let in; NULL: all. */
static tr_code masked_rows(tr_pql_run *run, const tr_pql_op *op, const uint64_t **out)
{
    const size_t words = tr_pql_words(tr_pql_domain_of(run, op->over)->count);
    uint64_t *both = NULL;
    *out = NULL;
    for (uint32_t i = op->fixed; i < op->arg_count; i++) {
        const uint64_t *one;
        TR_TRY(tr_pql_true_bits(run, op->args[i], op->over, &one));
        if (*out == NULL) {
            *out = one;
            continue;
        }
        if (both == NULL)
            both = tr_arena_array(tr_pql_arena_of(run, op->over), words, sizeof *both);
        if (both == NULL)
            return tr_pql_out_of_memory(run);
        for (size_t w = 0; w < words; w++)
            both[w] = (*out)[w] & one[w];
        *out = both;
    }
    return TR_OK;
}

/* Whether conditions between elements, or an exact number of them, are still to be looked at. */
static bool is_plain(const tr_pql_op *op)
{
    for (uint32_t i = 0; i < op->element_count; i++)
        if (op->elements[i].has_when || op->elements[i].comparison == TR_PQL_EQ)
            return false;
    return true;
}

tr_code tr_pql_chain_steps(tr_pql_run *run, const tr_pql_op *op, uint8_t **may, bool *is_exact)
{
    walked w = {.words = 0};
    steps all = {.count = 0};
    bool are_all;
    *may = NULL;
    *is_exact = false;
    if (op->over->parent != op->scope)
        return TR_OK;
    TR_TRY(tr_pql_enter(run, op->over));
    TR_TRY(order_of(run, op, &w.order));
    if (!w.order->is_ascending)
        return TR_OK;
    TR_TRY(list_steps(run, op, &all, &are_all));
    TR_TRY(masked_rows(run, op, &w.rows));
    TR_TRY(tr_pql_last_bits(run, op->over, &w.last));
    const tr_pql_domain *domain = tr_pql_domain_of(run, op->over);
    const uint32_t owners = tr_pql_domain_of(run, op->scope)->count;
    *may = tr_arena_alloc(tr_pql_arena_of(run, op->scope), (size_t)owners + 1);
    if (*may == NULL)
        return tr_pql_out_of_memory(run);
    memset(*may, all.count == 0, owners);
    w.words = tr_pql_words(domain->count);
    for (size_t at = 0; at < w.words && all.count > 0; at++)
        for (uint64_t left = walk_word(&all, &w, at); left != 0; left &= left - 1)
            (*may)[domain->parent[at * 64 + (uint32_t)__builtin_ctzll(left)]] = true;
    *is_exact = are_all && is_plain(op);
    return TR_OK;
}
