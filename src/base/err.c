/* SPDX-License-Identifier: Apache-2.0 */
/* err.c - formatting of error reports; see err.h for the rules. */
#include "base/err.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

tr_code tr_err_set(tr_err *err, tr_code code, const char *file, int line, const char *format, ...)
{
    if (err == NULL)
        return code;
    va_list args;
    va_start(args, format);
    err->code = code;
    err->file = file;
    err->line = line;
    (void)vsnprintf(err->text, sizeof err->text, format, args); /* truncation is acceptable here */
    va_end(args);
    tr_text_mend(err->text); /* messages quote what others sent, cut anywhere */
    return code;
}

void tr_err_context(tr_err *err, const char *format, ...)
{
    if (err == NULL)
        return;
    char joined[sizeof err->text];
    va_list args;
    va_start(args, format);
    const int prefix = vsnprintf(joined, sizeof joined, format, args);
    va_end(args);
    if (prefix < 0 || (size_t)prefix >= sizeof joined)
        return; /* a context that fills the text would hide the cause */
    (void)snprintf(joined + prefix, sizeof joined - (size_t)prefix, ": %s", err->text);
    tr_text_mend(joined);
    memcpy(err->text, joined, sizeof joined);
}

/* clang-format off */
#define TR_CODE_HTTP(name, http, title) http,
#define TR_CODE_TITLE(name, http, title) title,
/* clang-format on */

int tr_code_http_status(tr_code code)
{
    static const int status[] = {TR_CODES(TR_CODE_HTTP)};
    return code < TR_CODE_COUNT ? status[code] : 500;
}

const char *tr_code_title(tr_code code)
{
    static const char *const titles[] = {TR_CODES(TR_CODE_TITLE)};
    return code < TR_CODE_COUNT ? titles[code] : "unknown";
}
