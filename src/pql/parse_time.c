/* SPDX-License-Identifier: Apache-2.0 */
/* parse_time.c - what follows `occurs`, and names of units. */
#include "pql/parse_internal.h"

const char *const tr_pql_unit_names[TR_PQL_UNIT_COUNT][2] = {{"millisecond", "milliseconds"},
                                                             {"second", "seconds"},
                                                             {"minute", "minutes"},
                                                             {"hour", "hours"},
                                                             {"day", "days"},
                                                             {"week", "weeks"},
                                                             {"month", "months"},
                                                             {"year", "years"},
                                                             {"decade", "decades"},
                                                             {"century", "centuries"},
                                                             {"millennium", "millennia"}};

/* True when the word is a unit; *is_plural unless NULL. "millenium" is an old spelling. */
static bool unit_at(const tr_pql_parser *p, uint32_t ahead, tr_pql_unit *out)
{
    for (unsigned u = 0; u < TR_PQL_UNIT_COUNT; u++)
        if (tr_pql_is_word(p, ahead, tr_pql_unit_names[u][0]) ||
            tr_pql_is_word(p, ahead, tr_pql_unit_names[u][1])) {
            *out = (tr_pql_unit)u;
            return true;
        }
    *out = TR_PQL_MILLENNIUM;
    return tr_pql_is_word(p, ahead, "millenium");
}

static bool direction_here(const tr_pql_parser *p, tr_pql_direction *out)
{
    static const char *const words[] = {"before", "after", "from"};
    for (unsigned i = 0; i < 3; i++)
        if (tr_pql_is_word(p, 0, words[i])) {
            *out = (tr_pql_direction)i;
            return true;
        }
    return false;
}

static tr_code parse_anchor(tr_pql_parser *p, tr_pql_node **out)
{
    static const char *const which[] = {"this", "last", "next"};
    const tr_pql_token *here = tr_pql_peek(p, 0);
    tr_pql_unit unit;
    for (unsigned i = 0; i < 3; i++)
        if (tr_pql_is_word(p, 0, which[i]) && unit_at(p, 1, &unit)) {
            TR_TRY(tr_pql_make(p, TR_PQL_RELATIVE, here, 0, out));
            (*out)->time = (tr_pql_time){.which = (tr_pql_which)i, .unit = unit};
            p->at += 2;
            return TR_OK;
        }
    for (unsigned fn = TR_PQL_NOW; fn <= TR_PQL_TOMORROW; fn++)
        if (tr_pql_is_word(p, 0, tr_pql_functions[fn].name)) {
            p->at++;
            return tr_pql_make_apply(p, (tr_pql_fn)fn, here, 0, out);
        }
    return tr_pql_parse_add(p, out);
}

/* <= 3 days before now */
static tr_code parse_relative(tr_pql_parser *p, tr_pql_node *node)
{
    node->time.kind = TR_PQL_TIME_RELATIVE;
    node->time.comparison = tr_pql_find_function(tr_pql_peek(p, 0)->text, TR_PQL_INFIX);
    p->at++;
    if (tr_pql_peek(p, 0)->kind != TR_PQL_TOKEN_INTEGER)
        return tr_pql_refuse(p, "a whole number of time units");
    node->time.amount = tr_pql_peek(p, 0)->integer;
    p->at++;
    if (!unit_at(p, 0, &node->time.unit))
        return tr_pql_refuse(p, "a unit of time such as \"days\"");
    p->at++;
    if (!direction_here(p, &node->time.direction))
        return tr_pql_refuse(p, "\"before\", \"after\" or \"from\"");
    p->at++;
    return parse_anchor(p, &node->items[0]);
}

static bool is_comparison(const tr_pql_parser *p)
{
    if (tr_pql_peek(p, 0)->kind != TR_PQL_TOKEN_SYMBOL)
        return false;
    const tr_pql_fn fn = tr_pql_find_function(tr_pql_peek(p, 0)->text, TR_PQL_INFIX);
    return fn >= TR_PQL_EQ && fn <= TR_PQL_GE;
}

tr_code tr_pql_parse_time(tr_pql_parser *p, tr_pql_node **out)
{
    const tr_pql_token *here = tr_pql_peek(p, 0);
    const bool is_between = tr_pql_is_word(p, 0, "between");
    tr_pql_node *node;
    TR_TRY(tr_pql_make(p, TR_PQL_TIME, here, is_between ? 2 : 1, &node));
    *out = node;
    if (is_comparison(p))
        return parse_relative(p, node);
    if (direction_here(p, &node->time.direction)) {
        node->time.kind = TR_PQL_TIME_DIRECTION;
        p->at++;
        return parse_anchor(p, &node->items[0]);
    }
    if (!is_between) {
        (void)tr_pql_take_word(p, "on");
        return parse_anchor(p, &node->items[0]);
    }
    node->time.kind = TR_PQL_TIME_BETWEEN;
    p->at++;
    TR_TRY(parse_anchor(p, &node->items[0]));
    TR_TRY(tr_pql_expect_word(p, "and"));
    return parse_anchor(p, &node->items[1]);
}
