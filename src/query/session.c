/* SPDX-License-Identifier: Apache-2.0 */
/* session.c - one worker that runs many statements; see query.h and query-worker/session.c.
 *
 *     memfd     --0-->  worker  --1-->  answers        commands go over a socket: a send to a
 *     commands  --4-->          --3-->  the verdict    worker that has died is an error, no signal
 *
 * The verdict is only looked at when the answers break off.
 */
#include "base/clock.h"
#include "base/log.h"
#include "os/os.h"
#include "query_internal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 5,
    READ_BYTES = 64 * 1024,
    SEND_S = 30,
    VERDICT_BYTES = 4096
};
/* One row of any length that the worker lets through. */
#define ANSWER_BYTES_MAX ((size_t)256 * 1024 * 1024)

static tr_code start(tr_query_session *s, tr_query *query, tr_err *err)
{
    int ends[2];
    tr_buf request = {0};
    const struct timeval patience = {.tv_sec = SEND_S};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return TR_FAIL(err, TR_IO, "starting the SQL worker: %s", strerrordesc_np(errno));
    s->command_fd = ends[0];
    (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    tr_code code = tr_query_session_request(query, &s->hold, &s->spill, &request, err);
    if (code == TR_OK) {
        const tr_worker_run run = {.path = tr_query_worker_path(query),
                                   .request = tr_buf_str(&request),
                                   .input_fd = ends[1],
                                   .result_fd = -1};
        code = tr_worker_start(&s->child, &run, err);
    }
    (void)close(ends[1]);
    tr_buf_free(&request);
    return code;
}

tr_code tr_query_session_make(tr_query *query, tr_query_session **out, tr_err *err)
{
    tr_query_session *s = tr_alloc_zeroed(1, sizeof *s);
    if (s == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a session");
    s->query = query;
    s->child = TR_WORKER_CHILD_NONE;
    s->command_fd = s->watched_fd = -1;
    s->deadline_s = tr_query_deadline_s(query);
    s->read.bytes_max = ANSWER_BYTES_MAX + 2 * READ_BYTES;
    (void)pthread_mutex_init(&s->mutex, NULL);
    const tr_code code = start(s, query, err);
    if (code == TR_OK)
        *out = s;
    else
        tr_query_session_end(s);
    return code;
}

tr_code tr_query_session_take(tr_query *query, const tr_query_turn *turn, tr_query_session **out,
                              tr_err *err)
{
    return tr_query_pool_take(tr_query_pool_of(query), turn, out, err);
}

void tr_query_session_give_back(tr_query_session *s)
{
    s->watched_fd = -1;
    tr_query_pool_give_back(tr_query_pool_of(s->query), s, !s->is_killed && !s->is_over);
}

void tr_query_session_close(tr_query_session *s)
{
    if (s != NULL)
        tr_query_pool_give_back(tr_query_pool_of(s->query), s, false);
}

static int end(tr_query_session *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    const int status = tr_worker_end(&s->child);
    (void)pthread_mutex_unlock(&s->mutex);
    return status;
}

void tr_query_session_end(tr_query_session *s)
{
    if (s == NULL)
        return;
    (void)end(s);
    tr_worker_free(&s->child);
    if (s->command_fd >= 0)
        (void)close(s->command_fd);
    tr_query_drop_spill(s->spill);
    tr_query_hold_close(&s->hold);
    tr_buf_free(&s->read);
    (void)pthread_mutex_destroy(&s->mutex);
    tr_free(s);
}

void tr_query_session_kill(tr_query_session *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->is_killed = true;
    if (s->child.pid > 0)
        (void)kill(s->child.pid, SIGKILL);
    (void)pthread_mutex_unlock(&s->mutex);
}

int64_t tr_query_session_deadline_us(const tr_query_session *s)
{
    return atomic_load(&s->deadline_us);
}

void tr_query_session_limit(tr_query_session *s, uint32_t deadline_s)
{
    if (deadline_s < s->deadline_s)
        s->deadline_s = deadline_s;
}

/* A second name, and the first one goes: a rename would be synced, which scratch need not be. */
tr_code tr_query_session_take_kept(tr_query_session *s, const char *path, uint64_t *bytes,
                                   tr_err *err)
{
    char made[4096];
    struct stat about;
    if (s->spill == NULL)
        return TR_FAIL(err, TR_SEMANTIC, "a session of the SQL worker needs a scratch folder");
    (void)snprintf(made, sizeof made, "%s/kept.parquet", s->spill); /* TR_KEPT_FILE */
    if (lstat(made, &about) != 0 || !S_ISREG(about.st_mode))
        return TR_FAIL(err, TR_IO, "the SQL worker left no file of the rows");
    const tr_code code = tr_file_link(made, path, err);
    if (code == TR_OK)
        *bytes = (uint64_t)about.st_size;
    tr_query_note_kept(tr_file_remove(made, NULL));
    return code;
}

void tr_query_session_watch(tr_query_session *s, int fd)
{
    s->watched_fd = fd;
}

/* For whoever looks after the server: which statement it was, and nothing of its text. */
static void note_lost(const tr_query_session *s, int status, const char *why)
{
    tr_log(TR_LOG_WARN, "query", "worker_lost", "statement=%s signal=%d reason=\"%s\"",
           s->statement[0] != '\0' ? s->statement : "-", WIFSIGNALED(status) ? WTERMSIG(status) : 0,
           why);
}

/* Why the answers broke off. */
static tr_code explain(tr_query_session *s, tr_err *err)
{
    json_t *verdict = NULL;
    const int status = end(s);
    if (s->is_killed)
        return TR_FAIL(err, TR_CANCELLED, "canceling statement due to user request");
    if (tr_buf_reserve(&s->child.verdict, VERDICT_BYTES, NULL) == TR_OK) {
        const ssize_t got = read(s->child.verdict_read, s->child.verdict.at, VERDICT_BYTES);
        s->child.verdict.len = got > 0 ? (size_t)got : 0;
    }
    tr_err why = {0};
    tr_code code = tr_worker_judge(&s->child, status, &verdict, &why);
    json_decref(verdict);
    if (code == TR_OK)
        code = TR_FAIL(&why, TR_IO, "the SQL worker ended before its answer did");
    if (code == TR_INVALID || code == TR_IO)
        note_lost(s, status, why.text);
    return TR_FAIL(err, code, "%s", why.text);
}

static tr_code send_all(tr_query_session *s, tr_str bytes, tr_err *err)
{
    while (bytes.len > 0) {
        const ssize_t sent = send(s->command_fd, bytes.at, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return explain(s, err);
        bytes = tr_str_from(bytes, (size_t)sent);
    }
    return TR_OK;
}

/* The command with the files' held names in it; returned. */
static tr_code hold(tr_query_session *s, const json_t *command, json_t **out, tr_err *err)
{
    json_t *held = NULL;
    TR_TRY(tr_query_hold_tables(&s->hold, json_object_get(command, "tables"), &held, err));
    json_t *copy = json_copy((json_t *)(uintptr_t)command);
    if (copy == NULL || json_object_set_new(copy, "tables", held) != 0) {
        json_decref(copy);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a statement");
    }
    *out = copy;
    return TR_OK;
}

tr_code tr_query_session_send(tr_query_session *s, const json_t *command, tr_err *err)
{
    tr_buf text = {0};
    json_t *own = NULL;
    static const uint8_t room[4] = {0};
    (void)snprintf(s->statement, sizeof s->statement, "%s", tr_json_text(command, "id", ""));
    TR_TRY(hold(s, command, &own, err));
    tr_code code = tr_buf_append(&text, (tr_str){room, sizeof room}, err);
    if (code == TR_OK)
        code = tr_json_write(own, &text, err);
    json_decref(own);
    if (code == TR_OK) {
        const size_t len = text.len - sizeof room;
        for (unsigned i = 0; i < sizeof room; i++)
            text.at[i] = (uint8_t)(len >> 8 * (3 - i));
        tr_query_pace_begin(s);
        s->deadline_us = tr_time_monotonic_us() + (int64_t)s->deadline_s * 1000000;
        code = send_all(s, tr_buf_str(&text), err);
    }
    tr_buf_free(&text);
    return code;
}

/* Reads more; waits until the deadline. */
static tr_code more(tr_query_session *s, tr_err *err)
{
    struct pollfd fds[] = {{.fd = s->child.result_read, .events = POLLIN},
                           {.fd = s->watched_fd, .events = POLLRDHUP}};
    const int64_t left_us = s->deadline_us - tr_time_monotonic_us();
    if (left_us <= 0) {
        (void)end(s);
        return TR_FAIL(err, TR_LIMIT, "stopped: it took longer than the limit of %u s",
                       s->deadline_s);
    }
    const int ready = poll(fds, 2, (int)(left_us / 1000 > 60000 ? 60000 : left_us / 1000 + 1));
    if (ready < 0 && errno != EINTR)
        return TR_FAIL(err, TR_IO, "watching the SQL worker: %s", strerrordesc_np(errno));
    if (ready <= 0)
        return TR_OK;
    if (fds[1].revents != 0)
        tr_query_session_kill(s);
    if (fds[0].revents == 0 && fds[1].revents == 0)
        return TR_OK;
    if (s->at > 0) {
        memmove(s->read.at, s->read.at + s->at, s->read.len - s->at);
        s->read.len -= s->at;
        s->at = 0;
    }
    TR_TRY(tr_buf_reserve(&s->read, READ_BYTES, err));
    const ssize_t got =
        read(s->child.result_read, s->read.at + s->read.len, s->read.cap - s->read.len);
    if (got < 0 && errno == EINTR)
        return TR_OK;
    if (got <= 0)
        return explain(s, err);
    s->read.len += (size_t)got;
    atomic_store_explicit(&s->has_answered, true, memory_order_relaxed);
    return TR_OK;
}

tr_code tr_query_session_next(tr_query_session *s, tr_query_answer *out, tr_err *err)
{
    if (s->is_over) {
        *out = (tr_query_answer){.kind = 'Z'};
        return TR_OK;
    }
    for (;;) {
        const uint8_t *head = s->read.at + s->at;
        const size_t there = s->read.len - s->at;
        if (there >= HEAD_BYTES) {
            const size_t len = (size_t)head[1] << 24 | (size_t)head[2] << 16 |
                               (size_t)head[3] << 8 | head[4];
            if (len > ANSWER_BYTES_MAX)
                return TR_FAIL(err, TR_LIMIT, "a row of the result is too large");
            if (there - HEAD_BYTES >= len) {
                s->is_over = head[0] == 'F';
                *out = (tr_query_answer){s->is_over ? 'E' : (char)head[0],
                                         {head + HEAD_BYTES, len}};
                s->at += HEAD_BYTES + len;
                if (s->is_over)
                    note_lost(s, 0, "the engine stopped with an internal error");
                return TR_OK;
            }
        }
        atomic_store_explicit(&s->is_awaited, true, memory_order_relaxed);
        const tr_code code = more(s, err);
        atomic_store_explicit(&s->is_awaited, false, memory_order_relaxed);
        TR_TRY(code);
    }
}
