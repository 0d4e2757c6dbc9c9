/* SPDX-License-Identifier: Apache-2.0 */
/* bar.h - one line of progress on stderr, drawn again and again on a terminal; nothing on a pipe.
 *
 *     job 12  [#############...........]  54.2 %  812,345 profiles  94.1 MB
 */
#ifndef TR_APP_BAR_H
#define TR_APP_BAR_H

#include <stdbool.h>
#include <stdint.h>

bool tr_bar_is_shown(void); /* stderr is a terminal that can move its cursor */
/* fraction: 0 .. 1. The rest is a printf text behind the percentage. */
void tr_bar_draw(const char *label, double fraction, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tr_bar_clear(void);

/* 1234567 as "1,234,567". */
typedef struct tr_grouped {
    char text[32];
} tr_grouped;
tr_grouped tr_group_digits(int64_t number);

#endif
