/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - starts, watches and ends the worker process; see query_internal.h.
 *
 *     memfd  --0-->  worker  --1-->  a file, or a pipe that is read here
 *     input  --4-->          --3-->  the verdict
 *
 * posix_spawn, because the server has many threads: between fork and exec nothing but what it does
 * itself would be safe. The request is a memory file, so nothing here writes to a pipe that the
 * worker may have left (SIGPIPE), and nobody waits for nobody. A worker is over when both its
 * pipes are closed; it is killed then, too, which changes nothing if it has exited, and ends it if
 * it lives on.
 */
#include "base/check.h"
#include "base/clock.h"
#include "query_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { VERDICT_BYTES_MAX = 64 * 1024, FIRST_FREE_FD = 10, READ_BYTES = 64 * 1024 };

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

static tr_code failed(tr_err *err, const char *what)
{
    return TR_FAIL(err, TR_IO, "%s: %s", what, strerrordesc_np(errno));
}

/* Above the numbers that the worker uses, so that giving it one does not overwrite another. */
static tr_code lift(int *fd, tr_err *err)
{
    const int lifted = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    if (lifted < 0)
        return failed(err, "starting the SQL worker");
    (void)close(*fd);
    *fd = lifted;
    return TR_OK;
}

static tr_code make_pipe(int *read_end, int *write_end, tr_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return failed(err, "starting the SQL worker");
    *read_end = ends[0];
    *write_end = ends[1];
    TR_TRY(lift(read_end, err));
    TR_TRY(lift(write_end, err));
    return TR_OK;
}

static tr_code make_request(tr_str text, int *fd, tr_err *err)
{
    *fd = memfd_create("request", MFD_CLOEXEC);
    if (*fd < 0)
        return failed(err, "starting the SQL worker");
    TR_TRY(lift(fd, err));
    for (size_t at = 0; at < text.len;) {
        const ssize_t written = write(*fd, text.at + at, text.len - at);
        if (written < 0 && errno != EINTR)
            return failed(err, "starting the SQL worker");
        at += written < 0 ? 0 : (size_t)written;
    }
    if (lseek(*fd, 0, SEEK_SET) != 0)
        return failed(err, "starting the SQL worker");
    return TR_OK;
}

static int give_fds(posix_spawn_file_actions_t *actions, const tr_worker_child *c, int input_fd,
                    int result_fd)
{
    int why = posix_spawn_file_actions_adddup2(actions, c->request_fd, 0);
    if (why == 0)
        why = posix_spawn_file_actions_adddup2(actions, result_fd, 1);
    if (why == 0)
        why = posix_spawn_file_actions_addopen(actions, 2, "/dev/null", O_WRONLY, 0);
    if (why == 0)
        why = posix_spawn_file_actions_adddup2(actions, c->verdict_write, 3);
    if (why == 0 && input_fd >= 0)
        why = posix_spawn_file_actions_adddup2(actions, input_fd, 4);
    if (why == 0)
        why = posix_spawn_file_actions_addclosefrom_np(actions, input_fd >= 0 ? 5 : 4);
    return why;
}

static int spawn(tr_worker_child *c, const char *path, const posix_spawn_file_actions_t *actions)
{
    static char name[] = "tributary-query";
    static char *const argv[] = {name, NULL}, *const no_environment[] = {NULL};
    static const int ours[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD, SIGXFSZ, SIGQUIT};
    posix_spawnattr_t attributes;
    sigset_t none, defaults;
    int why = posix_spawnattr_init(&attributes);
    if (why != 0)
        return why;
    (void)sigemptyset(&none);
    (void)sigemptyset(&defaults);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        (void)sigaddset(&defaults, ours[i]);
    /* A group of its own: Ctrl-C at the terminal is for the server, and it ends its workers. */
    why = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                    POSIX_SPAWN_SETPGROUP);
    if (why == 0)
        why = posix_spawnattr_setsigmask(&attributes, &none);
    if (why == 0)
        why = posix_spawnattr_setsigdefault(&attributes, &defaults);
    if (why == 0)
        why = posix_spawn(&c->pid, path, actions, &attributes, argv, no_environment);
    (void)posix_spawnattr_destroy(&attributes);
    return why;
}

tr_code tr_worker_start(tr_worker_child *c, const tr_worker_run *run, tr_err *err)
{
    posix_spawn_file_actions_t actions;
    int input_fd = -1, result_fd = -1, why;
    TR_TRY(make_request(run->request, &c->request_fd, err));
    TR_TRY(make_pipe(&c->verdict_read, &c->verdict_write, err));
    if (run->result_fd < 0)
        TR_TRY(make_pipe(&c->result_read, &c->result_write, err));
    result_fd = run->result_fd < 0 ? c->result_write
                                   : fcntl(run->result_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    if (run->input_fd >= 0)
        input_fd = fcntl(run->input_fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
    why = result_fd < 0 || (run->input_fd >= 0 && input_fd < 0)
              ? errno : posix_spawn_file_actions_init(&actions);
    if (why == 0) {
        why = give_fds(&actions, c, input_fd, result_fd);
        if (why == 0)
            why = spawn(c, run->path, &actions);
        (void)posix_spawn_file_actions_destroy(&actions);
    }
    if (run->result_fd >= 0)
        close_fd(&result_fd);
    close_fd(&input_fd);
    close_fd(&c->request_fd);
    close_fd(&c->verdict_write);
    close_fd(&c->result_write);
    if (why == ENOENT)
        return TR_FAIL(err, TR_SEMANTIC, "the SQL worker tributary-query is not installed");
    if (why != 0)
        return TR_FAIL(err, TR_IO, "starting the SQL worker: %s", strerrordesc_np(why));
    return TR_OK;
}

/* Takes what is there; closes at the end. TR_LIMIT: more than bytes_max. */
static tr_code take(int *fd, tr_buf *into, size_t bytes_max, size_t *bytes, tr_err *err)
{
    TR_TRY(tr_buf_reserve(into, READ_BYTES, err));
    const ssize_t got = read(*fd, into->at + into->len, READ_BYTES);
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return TR_OK;
    if (got <= 0) {
        close_fd(fd);
        return TR_OK;
    }
    if ((size_t)got > bytes_max - *bytes)
        return TR_FAIL(err, TR_LIMIT, "the result is larger than %zu bytes", bytes_max);
    into->len += (size_t)got;
    *bytes += (size_t)got;
    return TR_OK;
}

/* Reads until both pipes are closed or the time is up. */
static tr_code watch(tr_worker_child *c, uint32_t deadline_s, tr_err *err)
{
    const int64_t deadline_us = tr_time_monotonic_us() + (int64_t)deadline_s * 1000000;
    size_t result_bytes = 0, verdict_bytes = 0;
    while (c->verdict_read >= 0 || c->result_read >= 0) {
        struct pollfd fds[] = {{.fd = c->verdict_read, .events = POLLIN},
                               {.fd = c->result_read, .events = POLLIN}};
        const int64_t left_us = deadline_us - tr_time_monotonic_us();
        if (left_us <= 0)
            return TR_FAIL(err, TR_LIMIT, "stopped: it took longer than the limit of %u s",
                           deadline_s);
        const int ready = poll(fds, 2, (int)(left_us / 1000 > 60000 ? 60000 : left_us / 1000 + 1));
        if (ready < 0 && errno != EINTR)
            return failed(err, "watching the SQL worker");
        if (ready <= 0)
            continue;
        if (fds[0].revents != 0)
            TR_TRY(take(&c->verdict_read, &c->verdict, VERDICT_BYTES_MAX, &verdict_bytes, err));
        if (fds[1].revents != 0)
            TR_TRY(take(&c->result_read, c->result, c->result_bytes_max, &result_bytes, err));
    }
    return TR_OK;
}

/* What became of a worker that gave no verdict. */
static tr_code explain(int status, tr_err *err)
{
    if (!WIFSIGNALED(status))
        return TR_FAIL(err, TR_IO, "the SQL worker ended without an answer");
    if (WTERMSIG(status) == SIGKILL)
        return TR_FAIL(err, TR_IO, "the SQL worker was killed, perhaps because memory ran out");
    if (WTERMSIG(status) == SIGXCPU)
        return TR_FAIL(err, TR_LIMIT, "stopped: it needed more processor time than the limit");
    return TR_FAIL(err, TR_INVALID, "the engine crashed on this input (signal %d)",
                   WTERMSIG(status));
}

tr_code tr_worker_judge(const tr_worker_child *c, int status, json_t **verdict, tr_err *err)
{
#define NAME_OF(name, http, title) #name,
    static const char *const names[] = {TR_CODES(NAME_OF)};
    json_t *said = NULL;
    if (c->verdict.len == 0 || tr_json_parse(tr_buf_str(&c->verdict), &said, NULL) != TR_OK)
        return explain(status, err);
    const char *name = tr_json_text(said, "code", "");
    int code = 0;
    while (code < TR_CODE_COUNT && strcmp(names[code], name) != 0)
        code++;
    if (code == TR_OK) {
        *verdict = said;
        return TR_OK;
    }
    const tr_code known = code == TR_CODE_COUNT ? TR_IO : (tr_code)code;
    (void)TR_FAIL(err, known, "%s", tr_json_text(said, "text", "the SQL worker gave no reason"));
    json_decref(said);
    return known;
}

int tr_worker_end(tr_worker_child *c)
{
    int status = 0;
    if (c->pid > 0) {
        (void)kill(c->pid, SIGKILL); /* not reaped yet, so the number is still its own */
        while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    c->pid = -1;
    return status;
}

void tr_worker_free(tr_worker_child *c)
{
    close_fd(&c->request_fd);
    close_fd(&c->result_read);
    close_fd(&c->result_write);
    close_fd(&c->verdict_read);
    close_fd(&c->verdict_write);
    tr_buf_free(&c->verdict);
}

tr_code tr_worker(const tr_worker_run *run, json_t **verdict, tr_err *err)
{
    tr_worker_child c = TR_WORKER_CHILD_NONE;
    c.result = run->result;
    c.result_bytes_max = run->bytes_max;
    tr_code code = tr_worker_start(&c, run, err);
    if (code == TR_OK) {
        code = watch(&c, run->deadline_s, err);
        const int status = tr_worker_end(&c);
        if (code == TR_OK)
            code = tr_worker_judge(&c, status, verdict, err);
    }
    tr_worker_free(&c);
    return code;
}
