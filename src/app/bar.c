/* SPDX-License-Identifier: Apache-2.0 */
/* bar.c - see bar.h. */
#include "app/bar.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CELLS = 24 };

bool tr_bar_is_shown(void)
{
    const char *terminal = getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && (terminal == NULL || strcmp(terminal, "dumb") != 0);
}

void tr_bar_draw(const char *label, double fraction, const char *format, ...)
{
    char cells[CELLS + 1], tail[160];
    va_list values;
    if (!tr_bar_is_shown())
        return;
    const double part = fraction < 0 ? 0 : fraction > 1 ? 1 : fraction;
    const size_t full = (size_t)(part * CELLS);
    memset(cells, '#', full);
    memset(cells + full, '.', CELLS - full);
    cells[CELLS] = '\0';
    va_start(values, format);
    (void)vsnprintf(tail, sizeof tail, format, values);
    va_end(values);
    fprintf(stderr, "\r\033[K%s  [%s] %5.1f %%  %s", label, cells, part * 100, tail);
    (void)fflush(stderr);
}

void tr_bar_clear(void)
{
    if (!tr_bar_is_shown())
        return;
    fprintf(stderr, "\r\033[K");
    (void)fflush(stderr);
}

tr_grouped tr_group_digits(int64_t number)
{
    char digits[24];
    tr_grouped out;
    size_t at = 0;
    const int len = snprintf(digits, sizeof digits, "%lld", (long long)number);
    for (int i = 0; i < len; i++) {
        const int left = len - i;
        if (i > 0 && left % 3 == 0 && digits[i - 1] != '-')
            out.text[at++] = ',';
        out.text[at++] = digits[i];
    }
    out.text[at] = '\0';
    return out;
}
