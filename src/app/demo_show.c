/* SPDX-License-Identifier: Apache-2.0 */
/* demo_show.c - how the demo prints: a title, the calls under it, what they gave. */
#include "app/demo.h"

#include <stdarg.h>
#include <stdio.h>

enum { PATH_COLUMNS = 74 };

volatile sig_atomic_t tr_demo_interrupted;

static const char *colour(const tr_demo *demo, const char *code)
{
    return demo->has_colour ? code : "";
}

#define BOLD "\033[1m"
#define CALL "\033[36m"
#define GOOD "\033[32m"
#define BAD "\033[31m"
#define PLAIN "\033[0m"

void tr_demo_step(tr_demo *demo, const char *title)
{
    printf("\n%s%d  %s%s\n", colour(demo, BOLD), ++demo->step, title, colour(demo, PLAIN));
    (void)fflush(stdout);
}

void tr_demo_note(const tr_demo *demo, const char *format, ...)
{
    va_list values;
    (void)demo;
    printf("      ");
    va_start(values, format);
    (void)vprintf(format, values);
    va_end(values);
    printf("\n");
    (void)fflush(stdout);
}

void tr_demo_command(const tr_demo *demo, const char *format, ...)
{
    va_list values;
    printf("   %s$ tributary ", colour(demo, CALL));
    va_start(values, format);
    (void)vprintf(format, values);
    va_end(values);
    printf("%s\n", colour(demo, PLAIN));
    (void)fflush(stdout);
}

static void print_call(const tr_demo *demo, const char *method, const char *path)
{
    printf("   %s%-4s %-*s%s ", colour(demo, CALL), method, PATH_COLUMNS, path,
           colour(demo, PLAIN));
    (void)fflush(stdout);
}

static void print_status(const tr_demo *demo, int status)
{
    printf("%s%d%s\n", colour(demo, status > 0 && status < 400 ? GOOD : BAD), status,
           colour(demo, PLAIN));
    (void)fflush(stdout);
}

tr_code tr_demo_get_in(tr_demo *demo, const tr_remote_options *client, tr_err *err)
{
    print_call(demo, "POST", "/ims/token/v3");
    const tr_code code = tr_remote_open(client, &demo->remote, err);
    if (code == TR_OK)
        print_status(demo, tr_remote_status(demo->remote));
    return code;
}

static tr_code check_interrupted(tr_err *err)
{
    return tr_demo_interrupted ? TR_FAIL(err, TR_CANCELLED, "interrupted") : TR_OK;
}

tr_code tr_demo_call(tr_demo *demo, const char *method, const char *path, const json_t *body,
                     json_t **out, tr_err *err)
{
    TR_TRY(check_interrupted(err));
    print_call(demo, method, path);
    const tr_code code = tr_remote_call(demo->remote, method, path, body, out, err);
    print_status(demo, tr_remote_status(demo->remote));
    return code;
}

tr_code tr_demo_send(tr_demo *demo, const char *path, tr_str bytes, tr_err *err)
{
    const tr_remote_upload upload = {.method = "PUT", .path = path, .bytes = bytes};
    TR_TRY(check_interrupted(err));
    print_call(demo, "PUT", path);
    const tr_code code = tr_remote_send(demo->remote, &upload, err);
    print_status(demo, tr_remote_status(demo->remote));
    return code;
}

tr_code tr_demo_fetch(tr_demo *demo, const char *path, const char *to, tr_err *err)
{
    TR_TRY(check_interrupted(err));
    print_call(demo, "GET", path);
    const tr_code code = tr_remote_download(demo->remote, path, to, err);
    print_status(demo, tr_remote_status(demo->remote));
    return code;
}

tr_code tr_demo_poll(tr_demo *demo, const char *path, json_t **out, tr_err *err)
{
    TR_TRY(check_interrupted(err));
    return tr_remote_call(demo->remote, "GET", path, NULL, out, err);
}
