/* SPDX-License-Identifier: Apache-2.0 */
/* row_pattern.c - patterns of strings: ECMA's regular expressions without what needs backtracking.
 *
 *     text of the pattern --parse--> tree --emit--> program --run--> yes or no
 *
 * The program is a nondeterministic automaton; all its states advance together, character by
 * character, so a hostile pattern costs its size times the text's length, never more. Characters
 * are code points.
 *
 * Understood: . [ ] [^ ] | ( ) (?: ) (?<name> ) * + ? {n} {n,} {n,m} and their lazy forms, ^ $ \b
 * \B, \d \w \s and their opposites, the usual escapes, \xHH \uHHHH. Not understood, and then not
 * checked: back references, lookaround, \p.
 */
#include "ingest/row_internal.h"

#include <string.h>

enum {
    PROGRAM_MAX = 2000,
    REPEAT_MAX = 1000,
    GROUP_DEPTH_MAX = 50,
    SOURCE_BYTES_MAX = 4096,
    TEXT_BYTES_MAX = 64 * 1024, /* longer ones do not fit any pattern */
    UNBOUNDED = -1
};

typedef struct range {
    uint32_t from, to;
} range;

typedef enum op {
    OP_CLASS,
    OP_SPLIT,
    OP_JUMP,
    OP_BEGIN,
    OP_END,
    OP_WORD,
    OP_NOT_WORD,
    OP_MATCH
} op;

typedef enum expr_kind {
    EXPR_EMPTY,
    EXPR_CLASS,
    EXPR_ASSERT,
    EXPR_CAT,
    EXPR_ALT,
    EXPR_REPEAT
} expr_kind;

typedef struct expr expr;
struct expr {
    expr_kind kind;
    op assert;
    range *ranges;
    uint32_t range_count;
    bool is_negated;
    expr *a, *b;
    int least, most;
};

typedef struct instruction {
    op op;
    uint32_t x, y;
    const range *ranges;
    uint32_t range_count;
    bool is_negated;
} instruction;

typedef struct state_set {
    uint16_t dense[PROGRAM_MAX];
    uint32_t count;
} state_set;

struct tr_row_pattern {
    tr_arena arena;
    instruction *program;
    uint32_t count;
    /* of a run */
    uint32_t mark[PROGRAM_MAX]; /* the step in which a state was last added */
    uint16_t stack[PROGRAM_MAX + 2];
    state_set sets[2];
};

typedef struct parser {
    tr_str text;
    size_t at;
    tr_arena *arena;
    uint32_t depth;
    bool is_bad; /* not understood */
    bool has_no_memory;
} parser;

/* ---- parsing */

static void *get(parser *p, size_t count, size_t size)
{
    void *memory = tr_arena_array(p->arena, count, size);
    p->has_no_memory = p->has_no_memory || memory == NULL;
    p->is_bad = p->is_bad || memory == NULL;
    return memory;
}

static expr *make(parser *p, expr_kind kind)
{
    expr *e = get(p, 1, sizeof *e);
    if (e != NULL)
        e->kind = kind;
    return e;
}

static uint32_t next_code_point(tr_str text, size_t *at)
{
    const uint8_t first = text.at[(*at)++];
    const uint32_t more = first < 0xc0 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    uint32_t point = more == 0 ? first : first & (0x3fu >> more);
    for (uint32_t i = 0; i < more && *at < text.len; i++)
        point = point << 6 | (text.at[(*at)++] & 0x3fu);
    return point;
}

static bool take(parser *p, char byte)
{
    if (p->at >= p->text.len || p->text.at[p->at] != (uint8_t)byte)
        return false;
    p->at++;
    return true;
}

static bool looks_at(const parser *p, const char *text)
{
    const size_t len = strlen(text);
    return len <= p->text.len - p->at && memcmp(p->text.at + p->at, text, len) == 0;
}

static const range digits[] = {{'0', '9'}};
static const range words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
static const range spaces[] = {
    {9, 13},          {' ', ' '},       {0xa0, 0xa0},     {0x1680, 0x1680}, {0x2000, 0x200a},
    {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
static const range newlines[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

static bool add_range(parser *p, expr *class, uint32_t from, uint32_t to)
{
    /* Grown by doubling at powers of two; what it outgrew stays in the arena. */
    const uint32_t count = class->range_count;
    if ((count & (count - 1)) == 0) {
        range *grown = get(p, count == 0 ? 1 : (size_t)count * 2, sizeof *grown);
        if (grown == NULL)
            return false;
        if (count > 0)
            memcpy(grown, class->ranges, count * sizeof *grown);
        class->ranges = grown;
    }
    class->ranges[class->range_count++] = (range){from, to};
    return true;
}

static void add_ranges(parser *p, expr *class, const range *list, size_t count, bool is_opposite)
{
    uint32_t from = 0;
    for (size_t i = 0; i < count && !p->is_bad; i++) {
        if (!is_opposite)
            (void)add_range(p, class, list[i].from, list[i].to);
        else if (list[i].from > from)
            (void)add_range(p, class, from, list[i].from - 1);
        from = list[i].to + 1;
    }
    if (is_opposite && !p->is_bad)
        (void)add_range(p, class, from, 0x10ffff);
}

/* \d \w \s and their opposites; false: it is none of them. */
static bool add_shorthand(parser *p, expr *class, uint8_t letter)
{
    const bool is_opposite = letter < 'a';
    switch (letter | 0x20) {
    case 'd': add_ranges(p, class, digits, 1, is_opposite); return true;
    case 'w': add_ranges(p, class, words, 4, is_opposite); return true;
    case 's':
        add_ranges(p, class, spaces, sizeof spaces / sizeof spaces[0], is_opposite);
        return true;
    default: return false;
    }
}

static uint32_t take_hex(parser *p, size_t digits_wanted)
{
    uint32_t value = 0;
    for (size_t i = 0; i < digits_wanted; i++) {
        const uint8_t byte = p->at < p->text.len ? p->text.at[p->at++] : 0;
        const uint8_t lower = byte | 0x20;
        if (byte >= '0' && byte <= '9')
            value = value * 16 + (byte - '0');
        else if (lower >= 'a' && lower <= 'f')
            value = value * 16 + (uint32_t)(lower - 'a') + 10;
        else
            p->is_bad = true;
    }
    return value;
}

/* The character that stands behind a backslash. */
static uint32_t take_escape(parser *p)
{
    static const char letters[] = "tnrvf0", values[] = "\t\n\r\v\f";
    if (p->at >= p->text.len) {
        p->is_bad = true;
        return 0;
    }
    const uint32_t point = next_code_point(p->text, &p->at);
    const char *known = point < 0x80 && point != 0 ? strchr(letters, (int)point) : NULL;
    if (known != NULL)
        return (uint8_t)values[known - letters];
    if (point == 'x')
        return take_hex(p, 2);
    if (point == 'u')
        return take_hex(p, 4);
    const bool is_word =
        (point >= '0' && point <= '9') || ((point | 0x20) >= 'a' && (point | 0x20) <= 'z');
    p->is_bad = p->is_bad || is_word; /* \1, \k, \p and the like */
    return point;
}

/* One end of a range in brackets; false: a shorthand was added instead. */
static bool take_class_point(parser *p, expr *class, uint32_t *point)
{
    if (!take(p, '\\')) {
        *point = next_code_point(p->text, &p->at);
        return true;
    }
    if (p->at < p->text.len && add_shorthand(p, class, p->text.at[p->at])) {
        p->at++;
        return false;
    }
    if (take(p, 'b'))
        *point = '\b';
    else
        *point = take_escape(p);
    return true;
}

static expr *parse_brackets(parser *p)
{
    expr *class = make(p, EXPR_CLASS);
    if (class == NULL)
        return NULL;
    class->is_negated = take(p, '^');
    while (!p->is_bad && !take(p, ']')) {
        uint32_t from, to;
        if (p->at >= p->text.len) {
            p->is_bad = true;
            break;
        }
        if (!take_class_point(p, class, &from))
            continue;
        to = from;
        if (looks_at(p, "-") && !looks_at(p, "-]")) {
            p->at++;
            if (p->at >= p->text.len || !take_class_point(p, class, &to) || to < from)
                p->is_bad = true;
        }
        if (!p->is_bad)
            (void)add_range(p, class, from, to);
    }
    return class;
}

static expr *parse_alternatives(parser *p);

static expr *parse_group(parser *p)
{
    if (take(p, '?')) {
        if (take(p, '<')) {
            if (looks_at(p, "=") || looks_at(p, "!"))
                p->is_bad = true;
            while (p->at < p->text.len && p->text.at[p->at] != '>')
                p->at++;
            p->is_bad = p->is_bad || !take(p, '>');
        } else if (!take(p, ':')) {
            p->is_bad = true;
        }
    }
    if (++p->depth > GROUP_DEPTH_MAX)
        p->is_bad = true;
    expr *inner = p->is_bad ? NULL : parse_alternatives(p);
    p->depth--;
    p->is_bad = p->is_bad || !take(p, ')');
    return inner;
}

static expr *make_assert(parser *p, op assert)
{
    expr *e = make(p, EXPR_ASSERT);
    if (e != NULL)
        e->assert = assert;
    return e;
}

static expr *parse_atom(parser *p)
{
    if (take(p, '('))
        return parse_group(p);
    if (take(p, '['))
        return parse_brackets(p);
    if (take(p, '^'))
        return make_assert(p, OP_BEGIN);
    if (take(p, '$'))
        return make_assert(p, OP_END);
    if (looks_at(p, "\\b") || looks_at(p, "\\B")) {
        p->at += 2;
        return make_assert(p, p->text.at[p->at - 1] == 'b' ? OP_WORD : OP_NOT_WORD);
    }
    expr *class = make(p, EXPR_CLASS);
    if (class == NULL)
        return NULL;
    if (take(p, '.')) {
        class->is_negated = true;
        add_ranges(p, class, newlines, 3, false);
    } else if (take(p, '\\')) {
        if (p->at < p->text.len && add_shorthand(p, class, p->text.at[p->at]))
            p->at++;
        else {
            const uint32_t point = take_escape(p);
            (void)add_range(p, class, point, point);
        }
    } else {
        const uint32_t point = next_code_point(p->text, &p->at);
        p->is_bad = p->is_bad || point == '*' || point == '+' || point == '?';
        (void)add_range(p, class, point, point);
    }
    return class;
}

static bool take_count(parser *p, int *out)
{
    const size_t from = p->at;
    *out = 0;
    while (p->at < p->text.len && p->text.at[p->at] >= '0' && p->text.at[p->at] <= '9') {
        *out = *out * 10 + (p->text.at[p->at++] - '0');
        if (*out > REPEAT_MAX) {
            *out = REPEAT_MAX + 1;
            p->is_bad = true;
        }
    }
    return p->at > from;
}

/* {n}, {n,} or {n,m}; anything else is a brace like any other character. */
static bool take_braces(parser *p, int *least, int *most)
{
    const size_t from = p->at;
    if (!take(p, '{'))
        return false;
    bool is_good = take_count(p, least);
    *most = *least;
    if (is_good && take(p, ','))
        if (!take_count(p, most))
            *most = UNBOUNDED;
    is_good = is_good && take(p, '}');
    if (is_good && *most != UNBOUNDED && *most < *least)
        p->is_bad = true;
    if (!is_good)
        p->at = from;
    return is_good;
}

static expr *parse_repeat(parser *p)
{
    expr *atom = parse_atom(p);
    while (!p->is_bad) {
        int least = 0, most = UNBOUNDED;
        if (take(p, '+'))
            least = 1;
        else if (take(p, '?'))
            most = 1;
        else if (!take(p, '*') && !take_braces(p, &least, &most))
            break;
        (void)take(p, '?'); /* lazy: it finds the same texts */
        expr *repeat = make(p, EXPR_REPEAT);
        if (repeat == NULL || (atom != NULL && atom->kind == EXPR_ASSERT)) {
            p->is_bad = true;
            break;
        }
        repeat->a = atom;
        repeat->least = least;
        repeat->most = most;
        atom = repeat;
    }
    return atom;
}

static expr *parse_sequence(parser *p)
{
    expr *sequence = make(p, EXPR_EMPTY);
    while (!p->is_bad && p->at < p->text.len && !looks_at(p, "|") && !looks_at(p, ")")) {
        expr *next = parse_repeat(p);
        expr *both = p->is_bad ? NULL : make(p, EXPR_CAT);
        if (both == NULL)
            break;
        both->a = sequence;
        both->b = next;
        sequence = both;
    }
    return sequence;
}

static expr *parse_alternatives(parser *p)
{
    expr *left = parse_sequence(p);
    while (!p->is_bad && take(p, '|')) {
        expr *right = parse_sequence(p);
        expr *both = p->is_bad ? NULL : make(p, EXPR_ALT);
        if (both == NULL)
            break;
        both->a = left;
        both->b = right;
        left = both;
    }
    return left;
}

/* ---- emitting */

static uint32_t put(tr_row_pattern *pattern, instruction i)
{
    if (pattern->count < PROGRAM_MAX)
        pattern->program[pattern->count] = i;
    return pattern->count++; /* counts on, so that the end knows it was too long */
}

static void patch(tr_row_pattern *pattern, uint32_t at, uint32_t x, uint32_t y)
{
    if (at < PROGRAM_MAX) {
        pattern->program[at].x = x;
        pattern->program[at].y = y;
    }
}

static void emit(tr_row_pattern *pattern, const expr *e);

static void emit_repeat(tr_row_pattern *pattern, const expr *e)
{
    for (int i = 0; i < e->least && pattern->count < PROGRAM_MAX; i++)
        emit(pattern, e->a);
    if (e->most == UNBOUNDED) {
        const uint32_t split = put(pattern, (instruction){.op = OP_SPLIT});
        emit(pattern, e->a);
        (void)put(pattern, (instruction){.op = OP_JUMP, .x = split});
        patch(pattern, split, split + 1, pattern->count);
        return;
    }
    for (int i = e->least; i < e->most && pattern->count < PROGRAM_MAX; i++) {
        const uint32_t split = put(pattern, (instruction){.op = OP_SPLIT});
        emit(pattern, e->a);
        patch(pattern, split, split + 1, pattern->count);
    }
}

static void emit(tr_row_pattern *pattern, const expr *e)
{
    if (pattern->count >= PROGRAM_MAX) {
        pattern->count = PROGRAM_MAX + 1;
        return;
    }
    switch (e->kind) {
    case EXPR_CLASS:
        (void)put(pattern, (instruction){.op = OP_CLASS,
                                         .ranges = e->ranges,
                                         .range_count = e->range_count,
                                         .is_negated = e->is_negated});
        break;
    case EXPR_ASSERT: (void)put(pattern, (instruction){.op = e->assert}); break;
    case EXPR_CAT:
        emit(pattern, e->a);
        emit(pattern, e->b);
        break;
    case EXPR_ALT: {
        const uint32_t split = put(pattern, (instruction){.op = OP_SPLIT});
        emit(pattern, e->a);
        const uint32_t jump = put(pattern, (instruction){.op = OP_JUMP});
        patch(pattern, split, split + 1, pattern->count);
        emit(pattern, e->b);
        patch(pattern, jump, pattern->count, 0);
        break;
    }
    case EXPR_REPEAT: emit_repeat(pattern, e); break;
    case EXPR_EMPTY: break;
    }
}

tr_code tr_row_pattern_open(tr_str source, tr_row_pattern **out, tr_err *err)
{
    tr_row_pattern *pattern = tr_alloc_zeroed(1, sizeof *pattern);
    if (pattern == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a pattern");
    tr_arena tree = {0};
    parser p = {.text = source, .arena = &tree, .is_bad = source.len > SOURCE_BYTES_MAX};
    p.arena = &pattern->arena;
    pattern->program = get(&p, PROGRAM_MAX, sizeof *pattern->program);
    const expr *root = p.is_bad ? NULL : parse_alternatives(&p);
    p.is_bad = p.is_bad || p.at != source.len;
    if (!p.is_bad) {
        emit(pattern, root);
        (void)put(pattern, (instruction){.op = OP_MATCH});
    }
    if (p.is_bad || pattern->count > PROGRAM_MAX) {
        tr_row_pattern_close(pattern);
        return p.has_no_memory ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a pattern")
                               : TR_FAIL(err, TR_INVALID, "pattern \"%.*s\" cannot be checked",
                                         TR_STR_ARG(tr_row_cut(source, 100)));
    }
    *out = pattern;
    return TR_OK;
}

void tr_row_pattern_close(tr_row_pattern *pattern)
{
    if (pattern == NULL)
        return;
    tr_arena_free(&pattern->arena);
    tr_free(pattern);
}

/* ---- running */

static bool is_in(const instruction *i, uint32_t point)
{
    bool is_found = false;
    for (uint32_t r = 0; r < i->range_count && !is_found; r++)
        is_found = point >= i->ranges[r].from && point <= i->ranges[r].to;
    return is_found != i->is_negated;
}

static bool is_word_byte(tr_str text, size_t at)
{
    const uint8_t byte = at < text.len ? text.at[at] : 0;
    return (byte >= '0' && byte <= '9') || byte == '_' ||
           ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

static bool holds(op assert, tr_str text, size_t at)
{
    const bool is_border = (at > 0 && is_word_byte(text, at - 1)) != is_word_byte(text, at);
    return assert == OP_BEGIN ? at == 0
           : assert == OP_END ? at == text.len
                              : is_border == (assert == OP_WORD);
}

/* Adds a state and all that it leads to without a character; true: a match is among them. */
static bool add_state(tr_row_pattern *r, state_set *set, uint32_t step, uint32_t first, tr_str text,
                      size_t at)
{
    uint32_t depth = 0;
    r->stack[depth++] = (uint16_t)first;
    while (depth > 0) {
        const uint32_t state = r->stack[--depth];
        const instruction *i = &r->program[state];
        if (r->mark[state] == step)
            continue;
        r->mark[state] = step;
        switch (i->op) {
        case OP_MATCH: return true;
        case OP_SPLIT:
            r->stack[depth++] = (uint16_t)i->y;
            r->stack[depth++] = (uint16_t)i->x;
            break;
        case OP_JUMP: r->stack[depth++] = (uint16_t)i->x; break;
        case OP_BEGIN:
        case OP_END:
        case OP_WORD:
        case OP_NOT_WORD:
            if (holds(i->op, text, at))
                r->stack[depth++] = (uint16_t)(state + 1);
            break;
        case OP_CLASS: set->dense[set->count++] = (uint16_t)state; break;
        }
    }
    return false;
}

bool tr_row_pattern_fits(tr_row_pattern *pattern, tr_str text)
{
    if (text.len > TEXT_BYTES_MAX)
        return false;
    memset(pattern->mark, 0, pattern->count * sizeof pattern->mark[0]);
    state_set *now = &pattern->sets[0], *next = &pattern->sets[1];
    now->count = 0;
    uint32_t step = 1;
    for (size_t at = 0;; step++) {
        if (add_state(pattern, now, step, 0, text, at)) /* a match may begin here */
            return true;
        if (at >= text.len)
            return false;
        const uint32_t point = next_code_point(text, &at);
        next->count = 0;
        for (uint32_t s = 0; s < now->count; s++)
            if (is_in(&pattern->program[now->dense[s]], point))
                if (add_state(pattern, next, step + 1, now->dense[s] + 1u, text, at))
                    return true;
        state_set *swap = now;
        now = next;
        next = swap;
    }
}
