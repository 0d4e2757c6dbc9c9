/* SPDX-License-Identifier: Apache-2.0 */
/* serve.c - tributary serve: the server in the foreground, until a signal ends it.
 *
 * SIGTERM, SIGINT and SIGHUP end it: requests under way are answered, jobs stop where they go on at
 * the next start. Whatever is not over after STOP_S is cut off; a second signal cuts off at once,
 * but not within ONE_SIGNAL_US: timeout(1) and some supervisors send one to the process and to its
 * group. Nothing is lost by that: everything acknowledged is on the disk. A disk that did not keep
 * what it was given (tr_os_on_lost_sync) ends the server, too, with status 1: whoever supervises it
 * may start it again, which reads what is there.
 */
#include "app/commands.h"
#include "app/server.h"

#include "base/clock.h"
#include "base/log.h"
#include "os/os.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

enum { STOP_S = 9, ONE_SIGNAL_US = 1000000, DISK_FAILED = SIGUSR1 };

static int64_t stopping_us; /* since when */

static const char usage[] =
    "usage: tributary serve --data DIR [--listen 127.0.0.1:8080] [--pg-listen 127.0.0.1:5433]\n"
    "                       [--config FILE] [--NAME VALUE]...\n"
    "Serves the HTTP API on a data folder, which is made when it is missing. Logs to stderr, one\n"
    "event a line. SIGTERM or Ctrl-C ends it cleanly. GET /healthz answers 200 when it is ready.\n"
    "\n"
    "  --data DIR               everything is kept in there; one server a folder\n"
    "  --listen ADDRESS:PORT    only this machine can connect unless told otherwise; port 0: any\n"
    "  --pg-listen ADDRESS:PORT SQL by the PostgreSQL protocol; none: not at all. Unless given it "
    "is\n"
    "                           127.0.0.1:5433, if that is free\n"
    "  --config FILE            settings, one `name = value` a line; options here go over it\n"
    "  --public-url URL         how clients reach it, for links in answers\n"
    "  --tls-certificate FILE --tls-key FILE      PEM files\n"
    "  --log-level LEVEL        error, warn, info (as given) or debug\n"
    "  --workers N              threads that merge (one a core)\n"
    "  --jobs N                 exports and ingests at a time (4)\n"
    "  --pg-connections-max N   sessions of SQL at a time (100)\n"
    "  --pg-idle-s N            a session of SQL that says nothing so long ends (7,200); 0: never\n"
    "  --http-threads N --connections-max N --http-timeout-s N\n"
    "  --query-worker FILE --query-memory-mb N --query-deadline-s N --query-threads N\n"
    "                           the process that runs SQL and reads foreign files\n"
    "  --query-rows-max N       rows to a client whose query has no LIMIT (50,000)\n"
    "  --query-temporary-mb N   temporary tables of a session of SQL (8192)\n"
    "  --merged-mb-max N --merged-rows-min N\n"
    "                           merged profiles kept on disk (8192, 100000); 0: none\n"
    "  --query-jobs N --query-job-deadline-s N    queries that run as jobs (4, a day)\n"
    "All of them: docs/configuration.md\n";

/* The command line goes over the file, so it is read twice. */
static int read_settings(int argc, char **argv, tr_settings *settings, tr_arena *arena)
{
    tr_arg args[TR_SETTINGS_ARGS_MAX + 1];
    const tr_command command = {.name = "serve", .usage = usage, .args = args};
    const char *config = NULL;
    tr_err err = {0};
    int words;
    tr_settings_args(settings, args + 1);
    args[0] = (tr_arg){"config", TR_ARG_TEXT, &config};
    const int status = tr_args_read(&command, argc, argv, &words);
    if (status != -1)
        return status;
    if (config != NULL) {
        *settings = tr_settings_none;
        if (tr_settings_read(settings, config, arena, &err) != TR_OK)
            return tr_args_refuse(&command, "%s", err.text);
        (void)tr_args_read(&command, argc, argv, &words);
    }
    if (tr_settings_check(settings, &err) != TR_OK)
        return tr_args_refuse(&command, "%s", err.text);
    return -1;
}

static void cut_off(int signal_number)
{
    static const char line[] = "lvl=warn room=app ev=server_cut_off\n";
    if (signal_number != SIGALRM && tr_time_monotonic_us() - stopping_us < ONE_SIGNAL_US)
        return;
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
    _exit(signal_number == SIGALRM ? 1 : 128 + signal_number);
}

/* Requests under way are still answered: those that write with a 5xx, as nothing is written now. */
static void end_without_disk(const char *name, int cause)
{
    tr_log(TR_LOG_ERROR, "app", "disk_failed", "file=\"%s\" text=\"%s\"", name,
           cause == 0 ? "a sync failed" : strerrordesc_np(cause));
    (void)kill(getpid(), DISK_FAILED);
}

static void arm_cut_off(sigset_t *ending)
{
    const struct sigaction action = {.sa_handler = cut_off, .sa_flags = SA_RESTART};
    (void)sigaction(SIGALRM, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
    (void)sigdelset(ending, DISK_FAILED); /* it may come once more, and means nothing now */
    (void)pthread_sigmask(SIG_UNBLOCK, ending, NULL);
    (void)alarm(STOP_S);
}

static int serve(const tr_settings *settings)
{
    tr_server *server = NULL;
    tr_err err = {0};
    sigset_t ending;
    int signal_number = 0;
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigaddset(&ending, SIGHUP);
    (void)sigaddset(&ending, DISK_FAILED);
    (void)pthread_sigmask(SIG_BLOCK, &ending, NULL); /* inherited by every thread */
    tr_os_on_lost_sync(end_without_disk);
    if (tr_server_open(settings, &server, &err) != TR_OK) {
        fprintf(stderr, "tributary serve: %s\n", err.text);
        return 1;
    }
    tr_log(TR_LOG_INFO, "app", "server_ready", "url=%s pg=%s version=%s pid=%d",
           tr_server_url(server), tr_server_sql_address(server), TR_VERSION, (int)getpid());
    while (sigwait(&ending, &signal_number) != 0)
        ;
    stopping_us = tr_time_monotonic_us();
    arm_cut_off(&ending);
    tr_log(TR_LOG_INFO, "app", "server_stopping", "signal=%d", signal_number);
    tr_server_close(server);
    tr_log(TR_LOG_INFO, "app", "server_stopped", "pid=%d", (int)getpid());
    return tr_os_has_lost_sync() ? 1 : 0;
}

int tr_cmd_serve(int argc, char **argv)
{
    tr_settings settings = tr_settings_none;
    tr_arena arena = {0};
    int status = read_settings(argc, argv, &settings, &arena);
    if (status == -1)
        status = serve(&settings);
    tr_arena_free(&arena);
    return status;
}
