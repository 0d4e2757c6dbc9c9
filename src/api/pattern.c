/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.c - regular expressions that clients send, where they cannot hurt.
 *
 * glibc compiles x+ as xx*: repetitions of repetitions double with each level, and twenty of them,
 * in sixty bytes, take a gigabyte. So does counting, and back references make matching exponential.
 */
#include "api/pattern.h"

#include <ctype.h>
#include <string.h>

enum { DOUBLINGS_MAX = 6 };

static bool is_repetition(char c)
{
    return c == '+' || c == '*' || c == '?';
}

bool tr_pattern_is_cheap(const char *pattern)
{
    int doublings = 0;
    if (strlen(pattern) > TR_PATTERN_BYTES_MAX || strchr(pattern, '{') != NULL)
        return false;
    for (const char *at = pattern; *at != '\0'; at++) {
        if (*at == '\\' && (at[1] == '\0' || (isalnum((unsigned char)at[1]) &&
                                              strchr("wWsSbB", at[1]) == NULL)))
            return false;
        doublings += *at == '+' && at > pattern && (at[-1] == ')' || is_repetition(at[-1]));
        at += *at == '\\';
    }
    return doublings <= DOUBLINGS_MAX;
}

bool tr_pattern_compile(const char *pattern, regex_t *out)
{
    return tr_pattern_is_cheap(pattern) && regcomp(out, pattern, REG_EXTENDED | REG_NOSUB) == 0;
}
