/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - see log.h; also the last words of a failed assertion, which belong to the same stream. */
#include "base/log.h"
#include "base/check.h"
#include "base/clock.h"

#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static tr_log_level level_most = TR_LOG_INFO;

void tr_log_set_level(tr_log_level most)
{
    level_most = most;
}

void tr_log(tr_log_level level, const char *room, const char *event, const char *format, ...)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    char line[1200], when[TR_TIME_TEXT_BYTES];
    if (level > level_most)
        return;
    int len = snprintf(line, sizeof line - 1, "t=%s lvl=%s room=%s ev=%s ",
                       tr_time_format(tr_time_now_ms() * 1000, when), names[level], room, event);
    va_list args;
    va_start(args, format);
    const int more = vsnprintf(line + len, sizeof line - 1 - (size_t)len, format, args);
    va_end(args);
    len += more < 0 ? 0 : more;
    if ((size_t)len > sizeof line - 2)
        len = (int)sizeof line - 2;
    for (int i = 0; i < len; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) /* they would steer a terminal */
            line[i] = ' ';
    line[len] = '\n';
    if (write(STDERR_FILENO, line, (size_t)len + 1) < 0)
        return; /* nobody is left to tell */
}

_Noreturn void tr_assert_failed(const char *expression, const char *file, int line)
{
    void *frames[32];
    tr_log(TR_LOG_ERROR, "base", "assert_failed", "at=%s:%d expression=\"%s\"", file, line,
           expression);
    backtrace_symbols_fd(frames, backtrace(frames, 32), STDERR_FILENO);
    abort();
}
