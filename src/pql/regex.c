/* SPDX-License-Identifier: Apache-2.0 */
/* regex.c - see regex.h. Compiled patterns are in an arena: PCRE2 is given its allocator. */
#include "pql/regex.h"

#include "base/limits.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { GROUPS_MAX = 99, HEAP_KIB_MAX = 16 * 1024, PATTERN_BYTES_MAX = 64 * 1024 };

struct tr_pql_regex {
    tr_str pattern;
    pcre2_code *code;
    uint32_t groups;
};

typedef struct fast {
    const tr_pql_regex *regex;
    pcre2_code *code; /* with machine code; NULL: it could not be made */
    struct fast *next;
} fast;

struct tr_pql_matcher {
    fast *made, *used; /* used: the last one that was asked for */
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_match_data *data;
    uint64_t given_up;
};

static void *take_from_arena(size_t bytes, void *arena)
{
    return tr_arena_alloc(arena, bytes);
}

static void leave_in_arena(void *memory, void *arena)
{
    (void)memory;
    (void)arena;
}

static void *take(size_t bytes, void *unused)
{
    (void)unused;
    return tr_alloc(bytes);
}

static void give(void *memory, void *unused)
{
    (void)unused;
    tr_free(memory);
}

static pcre2_code *compile(tr_str pattern, pcre2_general_context *memory, int *error, size_t *at)
{
    pcre2_code *code = NULL;
    pcre2_compile_context *rules = memory == NULL ? NULL : pcre2_compile_context_create(memory);
    *error = PCRE2_ERROR_HEAP_FAILED;
    if (rules == NULL)
        return NULL;
    (void)pcre2_set_newline(rules, PCRE2_NEWLINE_ANY);
    (void)pcre2_set_max_pattern_length(rules, PATTERN_BYTES_MAX);
    code = pcre2_compile(pattern.len == 0 ? (PCRE2_SPTR) "" : pattern.at, pattern.len,
                         PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, error, at, rules);
    pcre2_compile_context_free(rules);
    return code;
}

tr_code tr_pql_regex_make(tr_str pattern, tr_arena *arena, tr_pql_regex **out, tr_err *err)
{
    PCRE2_UCHAR text[160];
    int error;
    size_t at;
    tr_pql_regex *regex = tr_arena_array(arena, 1, sizeof *regex);
    pcre2_general_context *memory =
        pcre2_general_context_create(take_from_arena, leave_in_arena, arena);
    if (regex == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a regular expression");
    regex->pattern = tr_arena_copy(arena, pattern);
    regex->code = regex->pattern.at == NULL ? NULL : compile(pattern, memory, &error, &at);
    if (regex->pattern.at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a regular expression");
    if (regex->code == NULL && error == PCRE2_ERROR_HEAP_FAILED)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a regular expression");
    if (regex->code == NULL) {
        (void)pcre2_get_error_message(error, text, sizeof text);
        return TR_FAIL(err, TR_INVALID, "the regular expression fails at its byte %zu: %s", at + 1,
                       (const char *)text);
    }
    (void)pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
    if (regex->groups > GROUPS_MAX)
        return TR_FAIL(err, TR_INVALID, "the regular expression has more than %d groups",
                       GROUPS_MAX);
    *out = regex;
    return TR_OK;
}

uint32_t tr_pql_regex_groups(const tr_pql_regex *regex)
{
    return regex->groups;
}

tr_code tr_pql_matcher_open(tr_pql_matcher **out, tr_err *err)
{
    tr_pql_matcher *matcher = tr_alloc_zeroed(1, sizeof *matcher);
    if (matcher == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for regular expressions");
    matcher->memory = pcre2_general_context_create(take, give, NULL);
    if (matcher->memory != NULL) {
        matcher->limits = pcre2_match_context_create(matcher->memory);
        matcher->data = pcre2_match_data_create(GROUPS_MAX + 1, matcher->memory);
    }
    if (matcher->limits == NULL || matcher->data == NULL) {
        tr_pql_matcher_close(matcher);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for regular expressions");
    }
    (void)pcre2_set_match_limit(matcher->limits, TR_PQL_REGEX_STEPS_MAX);
    (void)pcre2_set_heap_limit(matcher->limits, HEAP_KIB_MAX);
    *out = matcher;
    return TR_OK;
}

void tr_pql_matcher_close(tr_pql_matcher *matcher)
{
    if (matcher == NULL)
        return;
    while (matcher->made != NULL) {
        fast *next = matcher->made->next;
        pcre2_code_free(matcher->made->code);
        tr_free(matcher->made);
        matcher->made = next;
    }
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->limits);
    pcre2_general_context_free(matcher->memory);
    tr_free(matcher);
}

/* Compiled once more: the regex's own code is shared by threads, and its memory is an arena's. */
static pcre2_code *to_machine_code(const tr_pql_regex *regex, pcre2_general_context *memory)
{
    int error;
    size_t at;
    pcre2_code *code = compile(regex->pattern, memory, &error, &at);
    if (code != NULL && pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) != 0) {
        pcre2_code_free(code);
        return NULL;
    }
    return code;
}

void tr_pql_matcher_use(tr_pql_matcher *matcher, const tr_pql_regex *regex)
{
    for (matcher->used = matcher->made; matcher->used != NULL; matcher->used = matcher->used->next)
        if (matcher->used->regex == regex)
            return;
    fast *own = tr_alloc_zeroed(1, sizeof *own);
    if (own == NULL) /* slower, then */
        return;
    *own = (fast){
        .regex = regex, .code = to_machine_code(regex, matcher->memory), .next = matcher->made};
    matcher->made = matcher->used = own;
}

static int search(const tr_pql_regex *regex, tr_pql_matcher *matcher, tr_str text)
{
    const PCRE2_SPTR at = text.len == 0 ? (PCRE2_SPTR) "" : text.at;
    const fast *used = matcher->used;
    int found = PCRE2_ERROR_JIT_STACKLIMIT;
    if (used != NULL && used->regex == regex && used->code != NULL)
        found = pcre2_match(used->code, at, text.len, 0, 0, matcher->data, matcher->limits);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(regex->code, at, text.len, 0, 0, matcher->data, matcher->limits);
    return found;
}

bool tr_pql_regex_find(const tr_pql_regex *regex, tr_pql_matcher *matcher, tr_str text,
                       uint32_t group, tr_str *group_text)
{
    const int found = search(regex, matcher, text);
    if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_DEPTHLIMIT ||
        found == PCRE2_ERROR_HEAPLIMIT)
        matcher->given_up++;
    if (found < 0)
        return false;
    if (group_text != NULL) {
        const size_t *places = pcre2_get_ovector_pointer(matcher->data);
        const size_t from = places[2 * (size_t)group], to = places[2 * (size_t)group + 1];
        const bool is_there = group <= regex->groups && from != PCRE2_UNSET && from <= to;
        *group_text =
            is_there ? (tr_str){text.len == 0 ? (const uint8_t *)"" : text.at + from, to - from}
                     : (tr_str){0};
    }
    return true;
}

uint64_t tr_pql_matcher_given_up(const tr_pql_matcher *matcher)
{
    return matcher->given_up;
}
