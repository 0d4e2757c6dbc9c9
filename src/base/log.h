/* SPDX-License-Identifier: Apache-2.0 */
/* log.h - one logfmt line on stderr per event: t= lvl= room= ev= and the caller's own fields.
 *
 * `event` is a stable snake_case name listed in docs/events.md. Never log payloads, tokens, profile
 * fields or query strings. Threads: any; a line is written with one call.
 */
#ifndef TR_BASE_LOG_H
#define TR_BASE_LOG_H

typedef enum tr_log_level { TR_LOG_ERROR, TR_LOG_WARN, TR_LOG_INFO, TR_LOG_DEBUG } tr_log_level;

void tr_log_set_level(tr_log_level most);
void tr_log(tr_log_level level, const char *room, const char *event, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
