/* SPDX-License-Identifier: Apache-2.0 */
/* settings.c - see settings.h. */
#include "app/settings.h"
#include "app/server_internal.h"

#include "base/limits.h"
#include "base/log.h"
#include "os/os.h"

#include <assert.h>

enum { MERGED_MB_MAX = 8192, MERGED_ROWS_MIN = 100 * 1000, THREADS_MAX = 1024 };

void tr_settings_args(tr_settings *s, tr_arg out[TR_SETTINGS_ARGS_MAX])
{
    const tr_arg all[] = {{"data", TR_ARG_TEXT, &s->data},
                          {"listen", TR_ARG_TEXT, &s->listen},
                          {"pg-listen", TR_ARG_TEXT, &s->pg_listen},
                          {"public-url", TR_ARG_TEXT, &s->public_url},
                          {"tls-certificate", TR_ARG_TEXT, &s->tls_certificate},
                          {"tls-key", TR_ARG_TEXT, &s->tls_key},
                          {"query-worker", TR_ARG_TEXT, &s->query_worker},
                          {"log-level", TR_ARG_TEXT, &s->log_level},
                          {"workers", TR_ARG_NUMBER, &s->workers},
                          {"jobs", TR_ARG_NUMBER, &s->jobs},
                          {"http-threads", TR_ARG_NUMBER, &s->http_threads},
                          {"connections-max", TR_ARG_NUMBER, &s->connections_max},
                          {"pg-connections-max", TR_ARG_NUMBER, &s->pg_connections_max},
                          {"pg-idle-s", TR_ARG_NUMBER, &s->pg_idle_s},
                          {"http-timeout-s", TR_ARG_NUMBER, &s->http_timeout_s},
                          {"query-memory-mb", TR_ARG_NUMBER, &s->query_memory_mb},
                          {"query-deadline-s", TR_ARG_NUMBER, &s->query_deadline_s},
                          {"query-threads", TR_ARG_NUMBER, &s->query_threads},
                          {"query-rows-max", TR_ARG_NUMBER, &s->query_rows_max},
                          {"query-temporary-mb", TR_ARG_NUMBER, &s->query_temporary_mb},
                          {"query-jobs", TR_ARG_NUMBER, &s->query_jobs},
                          {"query-job-deadline-s", TR_ARG_NUMBER, &s->query_job_deadline_s},
                          {"segment-states", TR_ARG_NUMBER, &s->segment_states},
                          {"merged-mb-max", TR_ARG_NUMBER, &s->merged_mb_max},
                          {"merged-rows-min", TR_ARG_NUMBER, &s->merged_rows_min},
                          {NULL, TR_ARG_TEXT, NULL}};
    static_assert(sizeof all / sizeof *all <= TR_SETTINGS_ARGS_MAX, "all settings have room");
    memcpy(out, all, sizeof all);
}

static tr_str trim(tr_str s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
        s = tr_str_from(s, 1);
    while (s.len > 0 && strchr(" \t\r", s.at[s.len - 1]) != NULL)
        s.len--;
    return s;
}

static tr_str cut(tr_str *rest, uint8_t at)
{
    const uint8_t *found = rest->len > 0 ? memchr(rest->at, at, rest->len) : NULL;
    const size_t len = found != NULL ? (size_t)(found - rest->at) : rest->len;
    const tr_str out = {rest->at, len};
    *rest = tr_str_from(*rest, found != NULL ? len + 1 : len);
    return out;
}

static tr_code set(const tr_arg *args, tr_str name, tr_str value, tr_arena *arena, tr_err *err)
{
    int64_t number;
    const tr_arg *arg = args;
    while (arg->name != NULL && !tr_str_is(name, arg->name))
        arg++;
    if (arg->name == NULL)
        return TR_FAIL(err, TR_INVALID, "there is no setting \"%.*s\"", TR_STR_ARG(name));
    if (value.len == 0)
        return TR_FAIL(err, TR_INVALID, "%s has no value", arg->name);
    if (arg->kind == TR_ARG_NUMBER) {
        if (!tr_str_to_i64(value, &number) || number < 0 || number > 1000000000)
            return TR_FAIL(err, TR_INVALID, "%s: \"%.*s\" is no whole number", arg->name,
                           TR_STR_ARG(value));
        *(uint32_t *)arg->to = (uint32_t)number;
        return TR_OK;
    }
    char *text = tr_arena_text(arena, value);
    if (text == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the settings");
    *(const char **)arg->to = text;
    return TR_OK;
}

static tr_code read_lines(const tr_arg *args, tr_str rest, tr_arena *arena, tr_err *err)
{
    for (int number = 1; rest.len > 0; number++) {
        tr_str line = cut(&rest, '\n');
        line = trim(cut(&line, '#'));
        if (line.len == 0)
            continue;
        tr_code code;
        if (memchr(line.at, '=', line.len) == NULL) {
            code = TR_FAIL(err, TR_INVALID, "\"%.*s\" is not of the form name = value",
                           TR_STR_ARG(line));
        } else {
            const tr_str name = trim(cut(&line, '='));
            code = set(args, name, trim(line), arena, err);
        }
        if (code != TR_OK) {
            tr_err_context(err, "line %d", number);
            return code;
        }
    }
    return TR_OK;
}

tr_code tr_settings_read(tr_settings *settings, const char *path, tr_arena *arena, tr_err *err)
{
    tr_arg args[TR_SETTINGS_ARGS_MAX];
    tr_buf text = {.bytes_max = 1024 * 1024};
    tr_settings_args(settings, args);
    tr_code code = tr_file_read_all(path, &text, err);
    if (code == TR_OK) {
        code = read_lines(args, tr_buf_str(&text), arena, err);
        if (code != TR_OK)
            tr_err_context(err, "%s", path);
    }
    tr_buf_free(&text);
    return code;
}

static tr_code check_level(const char *text, tr_err *err)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int level = TR_LOG_ERROR; level <= TR_LOG_DEBUG; level++)
        if (strcmp(text, names[level]) == 0) {
            tr_log_set_level((tr_log_level)level);
            return TR_OK;
        }
    return TR_FAIL(err, TR_INVALID, "log-level: \"%s\" is not error, warn, info or debug", text);
}

static tr_code check_address(const char *name, const char *text, const char *like, tr_err *err)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    if (colon == NULL || colon == text || !tr_str_to_i64(tr_str_of(colon + 1), &port) || port < 0 ||
        port > 65535)
        return TR_FAIL(err, TR_INVALID, "%s: \"%.100s\" is not of the form %s", name, text, like);
    return TR_OK;
}

static tr_code check_doors(tr_settings *s, tr_err *err)
{
    if (s->listen == NULL)
        s->listen = "127.0.0.1:8080";
    TR_TRY(check_address("listen", s->listen, "127.0.0.1:8080", err));
    TR_TRY(tr_listen_check(s->listen, err));
    s->is_pg_listen_given = s->pg_listen != NULL;
    if (s->pg_listen == NULL)
        s->pg_listen = "127.0.0.1:5433";
    else if (strcmp(s->pg_listen, "none") == 0)
        s->pg_listen = NULL;
    if (s->pg_listen != NULL)
        TR_TRY(check_address("pg-listen", s->pg_listen, "127.0.0.1:5433, and not none", err));
    if (s->public_url != NULL && strncmp(s->public_url, "http://", 7) != 0 &&
        strncmp(s->public_url, "https://", 8) != 0)
        return TR_FAIL(err, TR_INVALID, "public-url: \"%.100s\" does not begin with http",
                       s->public_url);
    if (s->http_threads > THREADS_MAX || s->workers > THREADS_MAX)
        return TR_FAIL(err, TR_INVALID, "%s: at most %d",
                       s->workers > THREADS_MAX ? "workers" : "http-threads", THREADS_MAX);
    return TR_OK;
}

tr_code tr_settings_check(tr_settings *s, tr_err *err)
{
    if (s->data == NULL || s->data[0] == '\0')
        return TR_FAIL(err, TR_INVALID, "data is missing: the folder that everything is kept in");
    TR_TRY(check_doors(s, err));
    if ((s->tls_certificate == NULL) != (s->tls_key == NULL))
        return TR_FAIL(err, TR_INVALID, "tls-certificate and tls-key go together");
    if (s->segment_states != 0 && s->segment_states != 2 && s->segment_states != 3)
        return TR_FAIL(err, TR_INVALID, "segment-states: %u is neither 2 nor 3", s->segment_states);
    if (s->pg_idle_s == TR_SETTINGS_UNSET)
        s->pg_idle_s = TR_SQL_IDLE_S;
    if (s->merged_mb_max == TR_SETTINGS_UNSET)
        s->merged_mb_max = MERGED_MB_MAX;
    if (s->merged_rows_min == TR_SETTINGS_UNSET)
        s->merged_rows_min = MERGED_ROWS_MIN;
    return s->log_level == NULL ? TR_OK : check_level(s->log_level, err);
}
