/* SPDX-License-Identifier: Apache-2.0 */
/* method.c - which ways of evaluation an expression allows (reference: segmentation API, 12.3 and
 * 12.4).
 *
 * A TERM is one place where events are tested: a chain, a filter, a quantifier, a select. Streaming
 * and edge allow at most one, whose events are of the last 24 hours, and no counting over them.
 */
#include "segment/segment_internal.h"

typedef struct facts {
    uint32_t terms;
    bool is_counted;  /* an aggregate, a group, "all" or "none" over events */
    bool is_open;     /* a term looks further back than a day */
    bool is_sequence; /* a chain of several elements */
    bool uses_segment;
} facts;

static bool is_events(const tr_pql_node *node)
{
    return node != NULL && node->kind == TR_PQL_FIELD && tr_str_is(node->name, "xEvent") &&
           node->items[0]->kind == TR_PQL_PARAMETER;
}

static bool is_within_a_day(const tr_pql_node *time)
{
    static const int64_t per_day[TR_PQL_UNIT_COUNT] = {[TR_PQL_MILLISECOND] = 86400000,
                                                       [TR_PQL_SECOND] = 86400,
                                                       [TR_PQL_MINUTE] = 1440,
                                                       [TR_PQL_HOUR] = 24,
                                                       [TR_PQL_DAY] = 1};
    const tr_pql_node *anchor = time->items[0];
    const tr_pql_time *t = &time->time;
    if (t->kind == TR_PQL_TIME_ON)
        return (anchor->kind == TR_PQL_APPLY && anchor->fn == TR_PQL_TODAY) ||
               (anchor->kind == TR_PQL_RELATIVE && anchor->time.which == TR_PQL_THIS &&
                anchor->time.unit <= TR_PQL_DAY);
    return t->kind == TR_PQL_TIME_RELATIVE && t->direction == TR_PQL_BEFORE &&
           (t->comparison == TR_PQL_LT || t->comparison == TR_PQL_LE) &&
           anchor->kind == TR_PQL_APPLY && anchor->fn == TR_PQL_NOW && t->unit <= TR_PQL_DAY &&
           t->amount <= per_day[t->unit];
}

/* Whether a condition on one event holds its age to a day. */
static bool is_bounded(const tr_pql_node *node)
{
    if (node == NULL)
        return false;
    if (node->kind == TR_PQL_LAMBDA)
        return is_bounded(node->items[0]);
    if (node->kind != TR_PQL_APPLY)
        return false;
    if (node->fn == TR_PQL_OCCURS)
        return node->items[1]->kind == TR_PQL_TIME && is_within_a_day(node->items[1]);
    bool is_any = node->fn == TR_PQL_FILTER && is_bounded(node->items[0]);
    for (uint32_t i = 0; node->fn == TR_PQL_AND && i < node->count; i++)
        is_any = is_any || is_bounded(node->items[i]);
    return is_any || (node->fn == TR_PQL_FILTER && is_bounded(node->items[1]));
}

static void look_at_chain(const tr_pql_node *chain, facts *f)
{
    f->terms++;
    f->is_sequence = f->is_sequence || chain->count > 3;
    for (uint32_t i = 2; i < chain->count; i++) {
        const tr_pql_node *element = chain->items[i];
        const tr_pql_node *when = element->items[TR_PQL_WHEN];
        f->is_counted = f->is_counted || element->count_amount > 1;
        if (when == NULL || !is_within_a_day(when))
            f->is_open = true;
    }
}

/* The events behind filters: xEvent[a][b]. */
static bool is_filtered_events(const tr_pql_node *node, bool *has_bound)
{
    while (node != NULL && node->kind == TR_PQL_APPLY && node->fn == TR_PQL_FILTER) {
        *has_bound = *has_bound || is_bounded(node->items[1]);
        node = node->items[0];
    }
    return is_events(node);
}

static void add_term(facts *f, bool is_counted, bool has_bound)
{
    f->terms++;
    f->is_counted = f->is_counted || is_counted;
    f->is_open = f->is_open || !has_bound;
}

static void look(const tr_pql_node *node, facts *f);

static void look_below(const tr_pql_node *node, uint32_t from, facts *f)
{
    for (uint32_t i = from; i < node->count; i++)
        if (node->items[i] != NULL)
            look(node->items[i], f);
}

/* Declarations of a select or a quantifier. */
static void look_at_decls(const tr_pql_node *node, bool is_counted, facts *f)
{
    for (uint32_t i = 0; i < node->count; i++) {
        const tr_pql_node *decl = node->items[i];
        bool has_bound = decl->count > 1 && is_bounded(decl->items[1]);
        if (decl->kind == TR_PQL_DECL && is_filtered_events(decl->items[0], &has_bound))
            add_term(f, is_counted, has_bound);
        else
            look(decl, f);
    }
}

static void look(const tr_pql_node *node, facts *f)
{
    bool has_bound = false;
    if (node->kind == TR_PQL_CHAIN) {
        look_at_chain(node, f);
    } else if (node->kind == TR_PQL_SELECT) {
        look_at_decls(node, false, f);
    } else if (node->kind == TR_PQL_QUANTIFY) {
        look_at_decls(node, node->quantifier != TR_PQL_SOME, f);
    } else if (node->kind == TR_PQL_APPLY && is_filtered_events(node->items[0], &has_bound)) {
        if (node->fn == TR_PQL_EXISTS || node->fn == TR_PQL_FILTER)
            has_bound = has_bound || is_bounded(node->items[1]);
        add_term(f, node->fn != TR_PQL_EXISTS && node->fn != TR_PQL_FILTER, has_bound);
    } else if (is_events(node)) {
        add_term(f, false, false);
    } else {
        f->uses_segment =
            f->uses_segment || (node->kind == TR_PQL_APPLY && node->fn == TR_PQL_IN_SEGMENT);
        look_below(node, 0, f);
    }
}

const char *tr_method_refusal(const tr_pql_node *root, tr_method method)
{
    facts f = {0};
    if (method == TR_METHOD_BATCH)
        return NULL;
    look(root, &f);
    if (f.terms == 0)
        return NULL;
    if (f.terms > 1)
        return "it tests events in several places: one chain may";
    if (f.is_counted)
        return "it counts or compares all events";
    if (f.is_open)
        return "it looks at events further back than 24 hours";
    if (root->kind == TR_PQL_APPLY && root->fn == TR_PQL_NOT)
        return "it is the absence of an event and nothing else";
    if (method == TR_METHOD_EDGE && (f.is_sequence || f.uses_segment))
        return "it has a sequence of events, or events and inSegment";
    return NULL;
}
