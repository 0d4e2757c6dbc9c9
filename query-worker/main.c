/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - tributary-query: one request, one verdict. Started by the server (src/query), never by
 * hand except to look at it; README.md shows how.
 */
#include "base/priority.h"
#include "out.h"
#include "worker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

void tr_on_engine_failure(void (*no_memory)(void), void (*terminated)(void));

/* The last act of a process: no destructors, which can take long and have nothing to give back. */
static _Noreturn void leave(const void *verdict, size_t len)
{
    const uint8_t *at = verdict;
    while (len > 0) {
        const ssize_t written = write(TR_WORKER_VERDICT_FD, at, len);
        if (written <= 0)
            break;
        at += written;
        len -= (size_t)written;
    }
    _exit(len == 0 ? 0 : 1);
}

static _Noreturn void leave_with(const char *verdict)
{
    leave(verdict, strlen(verdict));
}

static void on_no_memory(void)
{
    leave_with("{\"code\":\"LIMIT\",\"text\":\"more memory was needed than one query may have\"}");
}

static void on_terminate(void)
{
    leave_with("{\"code\":\"INVALID\",\"text\":\"the engine stopped with an internal error\"}");
}

static _Noreturn void fail(tr_code code, const tr_err *err)
{
#define NAME_OF(name, http, title) #name,
    static const char *const names[] = {TR_CODES(NAME_OF)};
    tr_out out;
    tr_out_open(&out, TR_WORKER_VERDICT_FD, UINT64_MAX);
    tr_put_text(&out, "{\"code\":\"");
    tr_put_text(&out, names[code]);
    tr_put_text(&out, "\",\"text\":");
    (void)tr_put_json(&out, tr_str_of(err->text));
    tr_put_byte(&out, '}');
    if (out.failure != TR_OK)
        on_no_memory();
    leave(out.buf.at, out.buf.len);
}

enum { SESSION_NICE = 10 }; /* what others ask of the machine goes before SQL */

static tr_code work(const tr_request *request, tr_verdict *verdict, tr_err *err)
{
    const bool is_convert = strcmp(request->verb, "convert") == 0;
    const bool is_csv = is_convert && strcmp(request->format, "csv") == 0;
    const tr_engine_options options = {
        .memory_mb = request->memory_mb * 3 / 4, /* DuckDB goes over its limit */
        .spill_folder = request->spill_folder,
        .spill_bytes_max = request->spill_bytes_max,
    };
    tr_engine engine = {0};
    if (strcmp(request->verb, "session") == 0)
        tr_thread_stand_back(SESSION_NICE);
    TR_TRY(tr_confine_resources(request, err));
    if (!is_csv)
        TR_TRY(tr_engine_open(&options, &engine, err));
    TR_TRY(tr_confine(request, &verdict->is_confined, err));
    if (is_csv)
        return tr_convert_csv(request, verdict, err);
    if (is_convert && strcmp(request->format, "parquet") == 0)
        return tr_convert_parquet(request, &engine, verdict, err);
    if (strcmp(request->verb, "select") == 0)
        return tr_select(request, &engine, verdict, err);
    if (strcmp(request->verb, "session") == 0 && request->folder != NULL)
        return tr_session(request, &engine, verdict, err);
    return TR_FAIL(err, TR_INVALID, "nothing is known about \"%s\" of \"%s\"", request->verb,
                   request->format);
}

/* When the machine runs out of memory, this process goes before the server. */
static void volunteer(void)
{
    const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (write(fd, "1000", 4) < 0)
            return; /* a courtesy, not a promise */
        (void)close(fd);
    }
}

int main(void)
{
    tr_request request;
    tr_verdict verdict = {0};
    tr_err err = {0};
    /* The server may be killed: nobody waits any more. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    volunteer();
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)close_range(TR_WORKER_INPUT_FD + 1, ~0U, 0); /* the server has closed them, too */
    if (chdir("/") != 0)
        fail(TR_FAIL(&err, TR_IO, "the worker cannot start"), &err);
    tr_on_engine_failure(on_no_memory, on_terminate);
    tr_code code = tr_request_read(STDIN_FILENO, &request, &err);
    if (code == TR_OK)
        code = work(&request, &verdict, &err);
    if (code != TR_OK)
        fail(code, &err);
    char text[128];
    const int len =
        snprintf(text, sizeof text, "{\"code\":\"OK\",\"rows\":%llu,\"bad\":%llu,\"confined\":%s}",
                 (unsigned long long)verdict.rows, (unsigned long long)verdict.bad_rows,
                 verdict.is_confined ? "true" : "false");
    leave(text, (size_t)len);
}
