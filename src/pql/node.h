/* SPDX-License-Identifier: Apache-2.0 */
/* node.h - a PQL expression as a tree, the same tree whether it came as text or as JSON.
 *
 * Names are resolved: a bare first step of the text ("eventType" inside a filter) is a FIELD of the
 * VARIABLE or PARAMETER that it stands for, and a condition on items is a LAMBDA. So the tree
 * maps one to one to pql/json, and nobody after the parser knows of scopes or carets.
 *
 *     xEvent[eventType = "x"]       APPLY filter
 *                                     FIELD xEvent of PARAMETER 1
 *                                     LAMBDA x1 (implicit)
 *                                       APPLY =
 *                                         FIELD eventType of VARIABLE x1
 *                                         LITERAL "x"
 *
 * Ownership: nodes live in the arena given to whoever makes them; strings too. Limits: at most
 * TR_PQL_DEPTH_MAX levels and TR_PQL_NODES_MAX nodes, checked by both makers, so that whoever walks
 * a tree may recurse.
 */
#ifndef TR_PQL_NODE_H
#define TR_PQL_NODE_H

#include "base/memory.h"
#include "base/str.h"

typedef enum tr_pql_kind {
    TR_PQL_LITERAL,
    TR_PQL_LIST,      /* items */
    TR_PQL_OBJECT,    /* items, named by names */
    TR_PQL_PARAMETER, /* position: 1 is the profile */
    TR_PQL_VARIABLE,  /* name */
    TR_PQL_FIELD,     /* name of items[0] */
    TR_PQL_APPLY,     /* fn of items; a method's receiver is items[0] */
    TR_PQL_LAMBDA,    /* names are its variables, items[0] its body */
    TR_PQL_SELECT,    /* items are DECLs */
    TR_PQL_QUANTIFY,  /* quantifier over items, which are DECLs */
    TR_PQL_DECL,      /* name from items[0] where items[1] (NULL: all) */
    TR_PQL_LET,       /* name = items[0] in items[1] */
    TR_PQL_CHAIN,     /* items[0] array, items[1] LAMBDA of its timestamp, then ELEMENTs */
    TR_PQL_ELEMENT,   /* name is the label or empty; items: what, where or NULL (LAMBDAs), when or
                     * NULL */
    TR_PQL_RELATIVE,  /* this, last or next unit */
    TR_PQL_TIME       /* what follows `occurs`; items: time, or two with BETWEEN */
} tr_pql_kind;

/* How a function is written in text. */
typedef enum tr_pql_form {
    TR_PQL_INFIX,  /* a and b */
    TR_PQL_PREFIX, /* not a */
    TR_PQL_METHOD, /* a.count() */
    TR_PQL_PLAIN,  /* date(2024, 1, 1) */
    TR_PQL_WORD    /* now: only as a time */
} tr_pql_form;

/* id, name, fewest and most parameters (the receiver is one), form, the parameter that is evaluated
 * per item (0: none) */
#define TR_PQL_MANY 4096
/* clang-format off */
#define TR_PQL_FUNCTIONS(X)                                  \
    X(AND,                "and",                1, TR_PQL_MANY, INFIX,  0) \
    X(OR,                 "or",                 1, TR_PQL_MANY, INFIX,  0) \
    X(NOT,                "not",                1, 1, PREFIX, 0) \
    X(EQ,                 "=",                  2, 2, INFIX,  0) \
    X(NE,                 "!=",                 2, 2, INFIX,  0) \
    X(LT,                 "<",                  2, 2, INFIX,  0) \
    X(LE,                 "<=",                 2, 2, INFIX,  0) \
    X(GT,                 ">",                  2, 2, INFIX,  0) \
    X(GE,                 ">=",                 2, 2, INFIX,  0) \
    X(IN,                 "in",                 2, 2, INFIX,  0) \
    X(NOT_IN,             "notIn",              2, 2, INFIX,  0) \
    X(LIKE,               "like",               2, 2, INFIX,  0) \
    X(OCCURS,             "occurs",             2, 2, INFIX,  0) \
    X(ADD,                "+",                  2, 2, INFIX,  0) \
    X(SUB,                "-",                  1, 2, INFIX,  0) \
    X(MUL,                "*",                  2, 2, INFIX,  0) \
    X(DIV,                "/",                  2, 2, INFIX,  0) \
    X(MOD,                "%",                  2, 2, INFIX,  0) \
    X(MATCHES,            "matches",            2, 2, METHOD, 0) \
    X(STARTS_WITH,        "startsWith",         2, 3, METHOD, 0) \
    X(NOT_STARTS_WITH,    "doesNotStartWith",   2, 3, METHOD, 0) \
    X(ENDS_WITH,          "endsWith",           2, 3, METHOD, 0) \
    X(NOT_ENDS_WITH,      "doesNotEndWith",     2, 3, METHOD, 0) \
    X(CONTAINS,           "contains",           2, 3, METHOD, 0) \
    X(NOT_CONTAINS,       "doesNotContain",     2, 3, METHOD, 0) \
    X(EQUALS,             "equals",             2, 3, METHOD, 0) \
    X(NOT_EQUAL_TO,       "notEqualTo",         2, 3, METHOD, 0) \
    X(REGEX_GROUP,        "regexGroup",         3, 3, METHOD, 0) \
    X(INCLUDES,           "includes",           2, 2, METHOD, 0) \
    X(INTERSECTS,         "intersects",         2, 2, METHOD, 0) \
    X(INTERSECTION,       "intersection",       2, 2, METHOD, 0) \
    X(SUBSET_OF,          "subsetOf",           2, 2, METHOD, 0) \
    X(SUPERSET_OF,        "supersetOf",         2, 2, METHOD, 0) \
    X(DISTINCT,           "distinct",           1, 1, METHOD, 0) \
    X(FILTER,             "filter",             2, 2, METHOD, 1) \
    X(EXISTS,             "exists",             2, 2, METHOD, 1) \
    X(MAP,                "map",                2, 2, METHOD, 1) \
    X(GROUP_BY,           "groupBy",            2, 2, METHOD, 1) \
    X(TOP_N,              "topN",               3, 3, METHOD, 1) \
    X(BOTTOM_N,           "bottomN",            3, 3, METHOD, 1) \
    X(HEAD,               "head",               1, 1, METHOD, 0) \
    X(COUNT,              "count",              1, 1, METHOD, 0) \
    X(SUM,                "sum",                1, 2, METHOD, 1) \
    X(AVERAGE,            "average",            1, 2, METHOD, 1) \
    X(MIN,                "min",                1, 2, METHOD, 1) \
    X(MAX,                "max",                1, 2, METHOD, 1) \
    X(GET,                "get",                2, 2, METHOD, 0) \
    X(KEYS,               "keys",               1, 1, METHOD, 0) \
    X(VALUES,             "values",             1, 1, METHOD, 0) \
    X(IS_NULL,            "isNull",             1, 1, METHOD, 0) \
    X(IS_NOT_NULL,        "isNotNull",          1, 1, METHOD, 0) \
    X(GET_YEAR,           "getYear",            1, 1, METHOD, 0) \
    X(GET_MONTH,          "getMonth",           1, 1, METHOD, 0) \
    X(GET_DAY_OF_MONTH,   "getDayOfMonth",      1, 1, METHOD, 0) \
    X(IF,                 "if",                 3, 3, PLAIN,  0) \
    X(DATE,               "date",               3, 3, PLAIN,  0) \
    X(IN_SEGMENT,         "inSegment",          1, 1, PLAIN,  0) \
    X(MAP_ENTRY,          "mapEntry",           2, 2, PLAIN,  0) \
    X(CURRENT_YEAR,       "currentYear",        0, 0, PLAIN,  0) \
    X(CURRENT_MONTH,      "currentMonth",       0, 0, PLAIN,  0) \
    X(CURRENT_DAY,        "currentDayOfMonth",  0, 0, PLAIN,  0) \
    X(NOW,                "now",                0, 0, WORD,   0) \
    X(TODAY,              "today",              0, 0, WORD,   0) \
    X(YESTERDAY,          "yesterday",          0, 0, WORD,   0) \
    X(TOMORROW,           "tomorrow",           0, 0, WORD,   0)

#define TR_PQL_FUNCTION_ID(id, name, least, most, form, item) TR_PQL_##id,
typedef enum tr_pql_fn { TR_PQL_FUNCTIONS(TR_PQL_FUNCTION_ID) TR_PQL_FN_COUNT } tr_pql_fn;
/* clang-format on */

typedef struct tr_pql_function {
    const char *name;
    uint16_t least, most;
    tr_pql_form form;
    uint8_t item;
} tr_pql_function;
extern const tr_pql_function tr_pql_functions[TR_PQL_FN_COUNT];
/* The function with this name and form; TR_PQL_FN_COUNT: none. */
tr_pql_fn tr_pql_find_function(tr_str name, tr_pql_form form);

typedef enum tr_pql_literal_kind {
    TR_PQL_NULL,
    TR_PQL_BOOLEAN,
    TR_PQL_INTEGER,
    TR_PQL_NUMBER,
    TR_PQL_STRING
} tr_pql_literal_kind;

typedef struct tr_pql_literal {
    tr_pql_literal_kind kind;
    bool boolean;
    int64_t integer;
    double number;
    tr_str string;
} tr_pql_literal;

typedef enum tr_pql_quantifier {
    TR_PQL_SOME,
    TR_PQL_ALL,
    TR_PQL_NONE,
    TR_PQL_ONE
} tr_pql_quantifier;

typedef enum tr_pql_unit {
    TR_PQL_MILLISECOND,
    TR_PQL_SECOND,
    TR_PQL_MINUTE,
    TR_PQL_HOUR,
    TR_PQL_DAY,
    TR_PQL_WEEK,
    TR_PQL_MONTH,
    TR_PQL_YEAR,
    TR_PQL_DECADE,
    TR_PQL_CENTURY,
    TR_PQL_MILLENNIUM,
    TR_PQL_UNIT_COUNT
} tr_pql_unit;
extern const char *const tr_pql_unit_names[TR_PQL_UNIT_COUNT][2]; /* singular, plural */

typedef enum tr_pql_direction { TR_PQL_BEFORE, TR_PQL_AFTER, TR_PQL_FROM } tr_pql_direction;
typedef enum tr_pql_which { TR_PQL_THIS, TR_PQL_LAST, TR_PQL_NEXT } tr_pql_which;
typedef enum tr_pql_time_kind {
    TR_PQL_TIME_ON,        /* occurs TIME */
    TR_PQL_TIME_DIRECTION, /* occurs before TIME */
    TR_PQL_TIME_RELATIVE,  /* occurs <= 3 days before TIME */
    TR_PQL_TIME_BETWEEN    /* occurs between TIME and TIME */
} tr_pql_time_kind;

/* Of a RELATIVE or a TIME. */
typedef struct tr_pql_time {
    tr_pql_time_kind kind;
    tr_pql_which which;
    tr_pql_unit unit;
    tr_pql_direction direction;
    tr_pql_fn comparison; /* EQ NE LT LE GT GE */
    int64_t amount;
} tr_pql_time;

struct tr_pql_type;
struct tr_pql_regex;

typedef struct tr_pql_node tr_pql_node;
struct tr_pql_node {
    tr_pql_kind kind;
    uint32_t line, column; /* 1-based, in characters; 0: from JSON */
    tr_str name;
    tr_str *names; /* OBJECT: as many as items; LAMBDA: name_count */
    uint32_t name_count;
    tr_pql_node **items;
    uint32_t count;
    uint32_t position; /* PARAMETER */
    bool is_implicit;  /* LAMBDA: its variable has a made name */
    tr_pql_fn fn;      /* APPLY */
    tr_pql_quantifier quantifier;
    tr_pql_fn
        count_comparison; /* ELEMENT: EQ, GE or GT; count_amount 1 and GE when COUNT is not given */
    int64_t count_amount;
    tr_pql_literal literal;
    tr_pql_time time;
    /* Written by tr_pql_check, NULL or false before. */
    const struct tr_pql_type *type;
    tr_pql_literal value;             /* LITERAL: as its type wants it; instants are integers, ms */
    const struct tr_pql_regex *regex; /* APPLY matches, regexGroup with a literal pattern */
    bool is_item;       /* FIELD: the item is a scalar, and its bare name means the item itself */
    bool is_of_profile; /* FIELD: of the profile, whatever items[0] says */
};

/* Items of an ELEMENT: two LAMBDAs and a TIME. */
enum tr_pql_part { TR_PQL_WHAT, TR_PQL_WHERE, TR_PQL_WHEN, TR_PQL_ELEMENT_ITEMS };

/* Levels of the tree. */
uint32_t tr_pql_depth(const tr_pql_node *node);

/* True when both say the same: variables are compared by what they stand for, not by their names,
 * and a label that nothing refers to does not count. */
bool tr_pql_equal(const tr_pql_node *a, const tr_pql_node *b);

#endif
