/* SPDX-License-Identifier: Apache-2.0 */
/* regex.h - regular expressions as Java reads them, run by PCRE2 with UTF and limits.
 *
 * \d \w \s mean ASCII, as in Java; "." stops at any line end. A match that needs more than
 * TR_PQL_REGEX_STEPS_MAX steps counts as no match. Machine code takes fewer steps for the same
 * match, so whether it is used is the caller's to say, and not a matter of how often.
 *
 * Threads: a regex is immutable; a matcher belongs to one thread.
 */
#ifndef TR_PQL_REGEX_H
#define TR_PQL_REGEX_H

#include "base/memory.h"
#include "base/str.h"

typedef struct tr_pql_regex tr_pql_regex;
typedef struct tr_pql_matcher tr_pql_matcher;

/* In the arena, pattern included.
 * TR_INVALID  what is wrong with it, and where */
TR_MUST_CHECK tr_code tr_pql_regex_make(tr_str pattern, tr_arena *arena, tr_pql_regex **out,
                                        tr_err *err);
uint32_t tr_pql_regex_groups(const tr_pql_regex *regex);

TR_MUST_CHECK tr_code tr_pql_matcher_open(tr_pql_matcher **out, tr_err *err);
void tr_pql_matcher_close(tr_pql_matcher *matcher); /* accepts NULL */
/* Before many texts are searched for one regex: it becomes machine code, kept until close, if the
 * machine lets it. Borrowed until close. */
void tr_pql_matcher_use(tr_pql_matcher *matcher, const tr_pql_regex *regex);
/* Finds the first match anywhere in the text. group_text: the text of `group` (0: all of it),
 * borrowed from text; .at NULL when the group took no part; may be NULL. */
bool tr_pql_regex_find(const tr_pql_regex *regex, tr_pql_matcher *matcher, tr_str text,
                       uint32_t group, tr_str *group_text);
/* How many matches were given up at the limit since open. */
uint64_t tr_pql_matcher_given_up(const tr_pql_matcher *matcher);

#endif
