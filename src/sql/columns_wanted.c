/* SPDX-License-Identifier: Apache-2.0 */
/* columns_wanted.c - which columns of a table a statement can see, by its tokens alone.
 *
 * Whatever is not understood means: all. A column can be seen by its name; by *, COLUMNS, DESCRIBE,
 * SUMMARIZE, NATURAL, PIVOT; by the table's or its alias's name where a value stands (a whole
 * row); by a list of names behind the alias; and by FROM without SELECT.
 */
#include "sql/live_tables.h"
#include "sql/rewrite_internal.h"

/* The text of a name without its quotes. One with a quote in it is no name of ours. */
static tr_str bare(const tr_tokens *t, size_t i)
{
    const tr_str text = t->at[i].text;
    if (t->at[i].kind != TR_TOKEN_QUOTED || text.len < 2)
        return text;
    return (tr_str){text.at + 1, text.len - 2};
}

static bool has_name(const tr_tokens *t, size_t i, tr_str name)
{
    return tr_token_is_name(t, i) && tr_str_equal_folded(bare(t, i), name);
}

bool tr_is_table_place(const tr_tokens *t, size_t i)
{
    static const char *const before[] = {"from",     "join",      ",",     "(",       "table",
                                         "describe", "desc",      "pivot", "unpivot", ":",
                                         "show",     "summarize", "pivot_wider",
                                         "pivot_longer", NULL};
    if (!tr_token_is_name(t, i) || i == 0)
        return false;
    if (tr_token_is(t, i - 1, "."))
        return i >= 2 && (tr_token_is(t, i - 2, "main") || tr_token_is(t, i - 2, "public"));
    return tr_word_is_one_of(t, i - 1, before);
}

/* "a.b.c" is a column of ?FLATTEN, made of a. */
bool tr_names_column(const tr_tokens *t, const char *column)
{
    for (size_t i = 0; i < t->count; i++) {
        tr_str name = bare(t, i);
        const uint8_t *dot = name.len == 0 ? NULL : memchr(name.at, '.', name.len);
        if (dot != NULL)
            name.len = (size_t)(dot - name.at);
        if (tr_token_is_name(t, i) && tr_str_equal_folded(name, tr_str_of(column)))
            return true;
    }
    return false;
}

/* FROM that belongs to no SELECT before it: all columns are what it gives. */
static bool is_from_first(const tr_tokens *t, size_t at)
{
    static const char *const borders[] = {"union", "except", "intersect", NULL};
    size_t depth = 0;
    for (size_t i = at; i-- > 0;) {
        if (tr_token_is(t, i, ")"))
            depth++;
        else if (tr_token_is(t, i, "(") && depth-- == 0)
            return true;
        else if (depth == 0 && tr_token_is(t, i, "select"))
            return false;
        else if (depth == 0 && tr_word_is_one_of(t, i, borders))
            return true;
    }
    return true;
}

/* count(*) and a product are not all columns. */
static bool is_all_columns(const tr_tokens *t, size_t i)
{
    static const char *const heads[] = {"select", "distinct", "all", ",", "(", ".", NULL};
    static const char *const tails[] = {"from",  "exclude", "replace", "rename", "like",
                                        "ilike", ",",       ")",       ";",      NULL};
    if (i >= 2 && tr_token_is(t, i - 1, "(") && tr_token_is(t, i - 2, "count") &&
        tr_token_is(t, i + 1, ")"))
        return false;
    return i == 0 || i + 1 >= t->count || tr_word_is_one_of(t, i - 1, heads) ||
           tr_word_is_one_of(t, i + 1, tails);
}

/* The place of the alias behind a table's name; 0: there is none. */
static size_t find_alias(const tr_tokens *t, size_t table)
{
    static const char *const none[] = {
        "where",     "on",     "join",   "left",    "right",       "inner", "outer",  "full",
        "cross",     "order",  "group",  "limit",   "union",       "using", "having", "qualify",
        "window",    "offset", "fetch",  "except",  "tablesample", "semi",  "anti",   "positional",
        "intersect", "asof",   "select", "lateral", NULL};
    const size_t at = tr_token_is(t, table + 1, "as") ? table + 2 : table + 1;
    const bool is_alias =
        tr_token_is_name(t, at) && (at == table + 2 || t->at[at].kind == TR_TOKEN_QUOTED ||
                                    !tr_word_is_one_of(t, at, none));
    return is_alias ? at : 0;
}

/* A member of something: x.name. main.name is the table again. */
static bool is_member(const tr_tokens *t, size_t i)
{
    return i > 0 && tr_token_is(t, i - 1, ".") &&
           !(i > 1 && (tr_token_is(t, i - 2, "main") || tr_token_is(t, i - 2, "memory")));
}

/* The name stands where a value does: the whole row. skip  its own place in FROM */
static bool is_a_value(const tr_tokens *t, tr_str name, size_t skip)
{
    for (size_t i = 0; i < t->count; i++)
        if (i != skip && has_name(t, i, name) && !tr_token_is(t, i + 1, ".") && !is_member(t, i))
            return true;
    return false;
}

static bool is_whole_word(const tr_tokens *t, size_t i)
{
    static const char *const words[] = {"columns", "describe", "desc",    "summarize",
                                        "natural", "pivot",    "unpivot", "table",
                                        "#",       ":",        "show",    NULL};
    const bool is_ordering = tr_token_is(t, i, "desc") && i > 0; /* ORDER BY x DESC */
    return tr_word_is_one_of(t, i, words) && !is_ordering;
}

bool tr_needs_whole_rows(const tr_tokens *t, const char *table)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->at[i].kind == TR_TOKEN_STRING || t->at[i].kind == TR_TOKEN_QUOTED)
            continue;
        if (is_whole_word(t, i) || (tr_token_is(t, i, "*") && is_all_columns(t, i)) ||
            (tr_token_is(t, i, "from") && is_from_first(t, i)))
            return true;
    }
    for (size_t i = 0; i < t->count; i++) {
        if (!has_name(t, i, tr_str_of(table)) || !tr_is_table_place(t, i))
            continue;
        const size_t alias = find_alias(t, i);
        if (is_a_value(t, tr_str_of(table), i))
            return true;
        if (alias != 0 && (tr_token_is(t, alias + 1, "(") || is_a_value(t, bare(t, alias), alias)))
            return true;
    }
    return false;
}
