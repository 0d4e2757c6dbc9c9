/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.h - POSIX extended regular expressions that clients send: compiled only when neither that
 * nor matching can take long. */
#ifndef TR_API_PATTERN_H
#define TR_API_PATTERN_H

#include <regex.h>
#include <stdbool.h>

enum { TR_PATTERN_BYTES_MAX = 128 };

/* No counting, no back references, few repetitions of repetitions. */
bool tr_pattern_is_cheap(const char *pattern);
/* True: *out is to be freed (regfree). False: it is not a pattern, or not a cheap one. */
bool tr_pattern_compile(const char *pattern, regex_t *out);

#endif
