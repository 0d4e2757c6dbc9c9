/* SPDX-License-Identifier: Apache-2.0 */
/* eval_chain.c - sequences of events; see eval_internal.h.
 *
 * Most sequences are decided by the order of their elements (eval_steps.c). Profiles that have it,
 * but conditions between elements or exact numbers of them besides, are looked at one by one; so
 * are all when the events are not in order of time.
 *
 * The algorithm is the reference's (PQL, section 9): the earliest end of an element is the best
 * one, unless a later WHEN names its label; only then are later ends tried. What was found
 * impossible is noted where nothing but the place in the events decides about it, so that trying
 * again is cheap.
 */
#include "pql/eval_internal.h"

enum { ELEMENTS_MAX = 256 };

typedef struct sequence {
    tr_pql_run *run;
    const tr_pql_op *op;
    tr_pql_taken rows; /* those that the masks let in and some element wants */
    const tr_pql_vec *time;
    const tr_pql_vec **values; /* of the operation's arguments */
    uint32_t *order;           /* rows of the events of one owner that have a time, ascending */
    uint32_t *spare;
    uint32_t count;
    int64_t label_time[ELEMENTS_MAX];
    bool has_label_time[ELEMENTS_MAX];
    bool is_used_later[ELEMENTS_MAX]; /* the element's label */
    bool is_noted[ELEMENTS_MAX];      /* only the place decides whether the rest can follow */
    uint8_t *failed;                  /* [element * (count + 1) + from] */
    uint64_t steps;
} sequence;

static int64_t time_at(const sequence *s, uint32_t row)
{
    return s->time->base->ints[tr_pql_at(s->time, row)];
}

static tr_pql_anchor anchor_at(const sequence *s, const tr_pql_element *element, int side,
                               uint32_t row, bool *is_there)
{
    const uint32_t label = element->label[side];
    if (label != TR_PQL_NO_LABEL) {
        *is_there = s->has_label_time[label];
        return (tr_pql_anchor){.span = {s->label_time[label], s->label_time[label]},
                               .is_instant = true};
    }
    const tr_pql_vec *v = s->values[element->anchor[side]];
    const uint32_t at = tr_pql_at(v, row);
    const bool is_time = v->base->kind == TR_PQL_VEC_TIME || v->base->kind == TR_PQL_VEC_SPAN;
    *is_there = is_time && !tr_pql_base_is_null(v->base, at);
    if (!*is_there)
        return (tr_pql_anchor){.is_instant = true};
    return (tr_pql_anchor){.span = tr_pql_span_at(v->base, at),
                           .is_instant = v->base->kind == TR_PQL_VEC_TIME};
}

static bool does_match(const sequence *s, const tr_pql_element *element, uint32_t row)
{
    bool has_first, has_second = true;
    if (!tr_pql_is_true(s->values[element->match], row))
        return false;
    if (!element->has_when)
        return true;
    const tr_pql_anchor first = anchor_at(s, element, 0, row, &has_first);
    tr_pql_anchor second = first;
    if (element->time.kind == TR_PQL_TIME_BETWEEN)
        second = anchor_at(s, element, 1, row, &has_second);
    return has_first && has_second &&
           tr_pql_occurs(&element->time, time_at(s, row), first, second.span);
}

/* The first event later than the one at this place. */
static uint32_t after(const sequence *s, uint32_t place)
{
    const int64_t time = time_at(s, s->order[place]);
    while (place < s->count && time_at(s, s->order[place]) <= time)
        place++;
    return place;
}

static tr_code match(sequence *s, uint32_t index, uint32_t from, bool *out);

/* COUNT(= n): all that match from here on are exactly n. */
static tr_code match_exactly(sequence *s, uint32_t index, uint32_t from, bool *out)
{
    const tr_pql_element *element = &s->op->elements[index];
    int64_t found = 0;
    uint32_t last = 0;
    for (uint32_t place = from; place < s->count; place++)
        if (does_match(s, element, s->order[place])) {
            found++;
            last = place;
        }
    s->steps += s->count - from;
    *out = found == element->amount;
    s->has_label_time[index] = *out && found > 0;
    if (!*out)
        return TR_OK;
    if (found == 0)
        return match(s, index + 1, from, out);
    s->label_time[index] = time_at(s, s->order[last]);
    return match(s, index + 1, after(s, last), out);
}

static tr_code match_at_least(sequence *s, uint32_t index, uint32_t from, bool *out)
{
    const tr_pql_element *element = &s->op->elements[index];
    const int64_t wanted = tr_pql_wanted_of(element);
    int64_t found = 0;
    s->has_label_time[index] = false;
    if (wanted <= 0)
        return match(s, index + 1, from, out);
    *out = false;
    for (uint32_t place = from; place < s->count; place++) {
        s->steps++;
        if (!does_match(s, element, s->order[place]) || ++found < wanted)
            continue;
        s->label_time[index] = time_at(s, s->order[place]);
        s->has_label_time[index] = true;
        TR_TRY(match(s, index + 1, after(s, place), out));
        if (*out || !s->is_used_later[index])
            return TR_OK;
    }
    return TR_OK;
}

static tr_code match(sequence *s, uint32_t index, uint32_t from, bool *out)
{
    if (index == s->op->element_count) {
        *out = true;
        return TR_OK;
    }
    if (s->steps > TR_PQL_CHAIN_STEPS_MAX)
        return TR_FAIL(s->run->err, TR_LIMIT,
                       "a sequence needs more than %d steps for the events of one profile",
                       TR_PQL_CHAIN_STEPS_MAX);
    uint8_t *failed = &s->failed[(size_t)index * (s->count + 1) + from];
    if (s->is_noted[index] && *failed) {
        *out = false;
        return TR_OK;
    }
    TR_TRY(s->op->elements[index].comparison == TR_PQL_EQ ? match_exactly(s, index, from, out)
                                                          : match_at_least(s, index, from, out));
    *failed = !*out;
    return TR_OK;
}

/* ---- one profile after the other */

static void sort_by_time(sequence *s)
{
    bool is_sorted = true;
    for (uint32_t i = 1; i < s->count && is_sorted; i++)
        is_sorted = time_at(s, s->order[i - 1]) <= time_at(s, s->order[i]);
    for (uint32_t width = 1; width < s->count && !is_sorted; width *= 2) {
        for (uint32_t from = 0; from < s->count; from += 2 * width) {
            const uint32_t middle = from + width < s->count ? from + width : s->count;
            const uint32_t end = middle + width < s->count ? middle + width : s->count;
            uint32_t left = from, right = middle;
            for (uint32_t at = from; at < end; at++) {
                const bool is_left =
                    left < middle &&
                    (right == end || time_at(s, s->order[left]) <= time_at(s, s->order[right]));
                s->spare[at] = is_left ? s->order[left++] : s->order[right++];
            }
        }
        memcpy(s->order, s->spare, s->count * sizeof *s->order);
    }
}

/* The rows are [begin, end) of those taken. */
static tr_code match_owner(sequence *s, uint32_t begin, uint32_t end, bool *out)
{
    const bool has_time = s->time->base->kind == TR_PQL_VEC_TIME;
    s->count = 0;
    for (uint32_t i = begin; i < end && has_time; i++)
        if (!tr_pql_is_null_at(s->time, s->rows.at[i]))
            s->order[s->count++] = s->rows.at[i];
    sort_by_time(s);
    memset(s->failed, 0, (size_t)s->op->element_count * (s->count + 1));
    s->steps = 0;
    return match(s, 0, 0, out);
}

static void find_labels(sequence *s)
{
    const tr_pql_op *op = s->op;
    for (uint32_t i = 0; i < op->element_count; i++) {
        s->is_noted[i] = true;
        for (uint32_t later = i; later < op->element_count; later++)
            for (int side = 0; side < 2; side++) {
                const uint32_t label = op->elements[later].label[side];
                if (!op->elements[later].has_when || label == TR_PQL_NO_LABEL)
                    continue;
                s->is_used_later[label] = true;
                if (label < i && (label != i - 1 || op->elements[label].amount == 0))
                    s->is_noted[i] = false;
            }
    }
}

/* Two ascending lists of rows as one; returns how many. */
static uint32_t unite(const uint32_t *a, uint32_t a_count, const uint32_t *b, uint32_t b_count,
                      uint32_t *out)
{
    uint32_t i = 0, j = 0, count = 0;
    while (i < a_count && j < b_count) {
        const uint32_t left = a[i], right = b[j];
        out[count++] = left < right ? left : right;
        i += left <= right;
        j += right <= left;
    }
    while (i < a_count)
        out[count++] = a[i++];
    while (j < b_count)
        out[count++] = b[j++];
    return count;
}

/* Rows of `rows` that are in the ascending list as well; returns how many. */
static uint32_t intersect(const tr_pql_taken *rows, const uint32_t *list, uint32_t count,
                          uint32_t *out)
{
    uint32_t kept = 0, at = 0;
    for (uint32_t i = 0; i < rows->count; i++) {
        while (at < count && list[at] < rows->at[i])
            at++;
        out[kept] = rows->at[i];
        kept += at < count && list[at] == rows->at[i];
    }
    return kept;
}

/* Leaves only the events that some element wants. */
static tr_code keep_wanted(sequence *s, tr_arena *arena)
{
    const uint32_t *wanted = NULL;
    uint32_t wanted_count = 0;
    for (uint32_t i = 0; i < s->op->element_count; i++) {
        const uint32_t *own;
        uint32_t count;
        TR_TRY(tr_pql_true_rows(s->run, s->op->args[s->op->elements[i].match], s->op->over, &own,
                                &count));
        uint32_t *both = tr_arena_alloc(arena, ((size_t)wanted_count + count) * sizeof *both + 1);
        if (both == NULL)
            return tr_pql_out_of_memory(s->run);
        wanted_count = unite(wanted, wanted_count, own, count, both);
        wanted = both;
    }
    if (s->rows.at == NULL) {
        s->rows.at = wanted;
        s->rows.count = wanted_count;
        return TR_OK;
    }
    uint32_t *rows = tr_arena_alloc(arena, (size_t)s->rows.count * sizeof *rows + 1);
    if (rows == NULL)
        return tr_pql_out_of_memory(s->run);
    s->rows.count = intersect(&s->rows, wanted, wanted_count, rows);
    s->rows.at = rows;
    return TR_OK;
}

/* The end of the rows of the owner whose first row is at `from`. */
static uint32_t end_of_owner(const sequence *s, uint32_t from)
{
    uint32_t to = from + 1;
    while (to < s->rows.count && s->rows.owner[s->rows.at[to]] == s->rows.owner[s->rows.at[from]])
        to++;
    return to;
}

static tr_code open(tr_pql_run *run, const tr_pql_op *op, tr_arena *arena, sequence *s)
{
    uint32_t most = 0;
    TR_TRY(tr_pql_enter(run, op->over));
    TR_TRY(tr_pql_take(run, op, &s->rows));
    s->values = tr_arena_array(arena, op->fixed, sizeof(tr_pql_vec *));
    if (s->values == NULL)
        return tr_pql_out_of_memory(run);
    for (uint32_t i = 0; i < op->fixed; i++)
        TR_TRY(tr_pql_value(run, op->args[i], op->over, &s->values[i]));
    s->time = s->values[0];
    find_labels(s);
    TR_TRY(keep_wanted(s, arena));
    for (uint32_t from = 0, to; from < s->rows.count; from = to) {
        to = end_of_owner(s, from);
        most = to - from > most ? to - from : most;
    }
    s->order = tr_arena_alloc(arena, (size_t)most * sizeof *s->order + 1);
    s->spare = tr_arena_alloc(arena, (size_t)most * sizeof *s->spare + 1);
    s->failed = tr_arena_alloc(arena, (size_t)op->element_count * ((size_t)most + 1));
    return s->order == NULL || s->spare == NULL || s->failed == NULL ? tr_pql_out_of_memory(run)
                                                                     : TR_OK;
}

/* Those that may have the sequence, one after the other. */
static tr_code match_owners(tr_pql_run *run, const tr_pql_op *op, const uint8_t *may, uint8_t *out)
{
    tr_arena *arena = tr_pql_arena_of(run, op->scope);
    sequence s = {.run = run, .op = op};
    bool does = false;
    TR_TRY(open(run, op, arena, &s));
    TR_TRY(match_owner(&s, 0, 0, &does)); /* the same for all that have no event of these */
    memset(out, does, tr_pql_domain_of(run, op->scope)->count);
    for (uint32_t from = 0, to; from < s.rows.count; from = to) {
        const uint32_t owner = s.rows.owner[s.rows.at[from]];
        to = end_of_owner(&s, from);
        does = false;
        if (may == NULL || may[owner])
            TR_TRY(match_owner(&s, from, to, &does));
        out[owner] = does;
    }
    return TR_OK;
}

tr_code tr_pql_chain_op(tr_pql_run *run, const tr_pql_op *op, const tr_pql_vec **out)
{
    tr_arena *arena = tr_pql_arena_of(run, op->scope);
    const uint32_t owners = tr_pql_domain_of(run, op->scope)->count;
    bool is_exact;
    uint8_t *may;
    tr_pql_base *base;
    if (op->element_count > ELEMENTS_MAX)
        return TR_FAIL(run->err, TR_LIMIT, "a sequence has more than %d elements", ELEMENTS_MAX);
    TR_TRY(tr_pql_base_make(arena, TR_PQL_VEC_BOOL, owners, &base, run->err));
    TR_TRY(tr_pql_chain_steps(run, op, &may, &is_exact));
    if (is_exact)
        memcpy(base->bools, may, owners);
    else
        TR_TRY(match_owners(run, op, may, base->bools));
    *out = tr_pql_vec_make(arena, base);
    return *out == NULL ? tr_pql_out_of_memory(run) : TR_OK;
}
