/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_demo.c - tributary demo: the whole tutorial, on a server of its own.
 *
 * The server runs inside this process, on a folder that goes away, so nothing can be left running;
 * the demo talks to it over HTTP like any client. Steps and results go to stdout.
 */
#include "app/client.h"
#include "app/commands.h"
#include "app/demo.h"

#include "base/clock.h"
#include "base/log.h"
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: tributary demo [--data DIR] [--people N]\n"
    "Starts a server of its own, loads made-up retail data of three systems, and walks the "
    "tutorial\n"
    "through its API: schemas, identities, datasets, ingest, a lookup, merge policies, export, "
    "download,\n"
    "SQL. Prints every call and what it gave. Leaves nothing behind.\n"
    "  --data DIR        keeps everything in DIR, to look around in afterwards\n"
    "  --people N        how many people the shop has (5000)\n";

static const char org[] = "0123456789ABCDEF01234567@AdobeOrg";

typedef struct options {
    const char *data, *worker;
    uint32_t people;
} options;

static void interrupt(int signal_number)
{
    (void)signal_number;
    tr_demo_interrupted = 1;
}

static tr_code get_in(tr_demo *demo, tr_err *err)
{
    json_t *client = NULL;
    const tr_new_client wanted = {.data = demo->data, .org = org, .name = "demo", .role = "admin"};
    tr_demo_step(demo, "Getting in: a client of an org, and a token for it");
    tr_demo_command(demo, "client add --data DIR --org %s --name demo --role admin", org);
    TR_TRY(tr_client_add(&wanted, &client, err));
    const tr_remote_options to = {.url = tr_server_url(demo->server),
                                  .client_id = tr_json_text(client, "client_id", ""),
                                  .client_secret = tr_json_text(client, "client_secret", ""),
                                  .org = org};
    tr_demo_note(demo, "client_id %s, client_secret (shown once, kept as a hash)", to.client_id);
    const tr_code code = tr_demo_get_in(demo, &to, err);
    if (code == TR_OK)
        tr_demo_note(demo, "a token for a day; every call below carries it, with org and sandbox");
    json_decref(client);
    return code;
}

static tr_code run(tr_demo *demo, tr_err *err)
{
    const tr_settings settings = {
        .data = demo->data, .listen = "127.0.0.1:0", .query_worker = demo->worker};
    TR_TRY(tr_server_open(&settings, &demo->server, err));
    printf("Tributary %s: from three systems to one profile.\n", TR_VERSION);
    printf("Server %s, folder %s\n", tr_server_url(demo->server), demo->data);
    TR_TRY(get_in(demo, err));
    return tr_demo_run(demo, err);
}

/* The exit status. */
static int play(const options *o, const char *data)
{
    tr_err err = {0};
    tr_demo demo = {.data = data, .worker = o->worker, .has_colour = isatty(STDOUT_FILENO) == 1};
    const int64_t begin = tr_time_monotonic_us();
    tr_code code = tr_dir_make(data, &err);
    if (code == TR_OK)
        code = tr_demo_data_make(o->people, o->people / 12, &demo.people, &err);
    if (code == TR_OK)
        code = run(&demo, &err);
    tr_remote_close(demo.remote);
    tr_server_close(demo.server);
    tr_demo_data_free(&demo.people);
    if (code != TR_OK) {
        fprintf(stderr, "\ntributary demo: %s\n", err.text);
        return 1;
    }
    printf("\nDone in %.1f s. ", (double)(tr_time_monotonic_us() - begin) / 1e6);
    if (o->data != NULL)
        printf("Look around: tributary serve --data %s\n", data);
    else
        printf("Nothing is left running. Your own: tributary serve --data ./data, and README.md\n");
    return 0;
}

static int play_in_scratch(const options *o)
{
    char folder[512];
    tr_err err = {0};
    const char *base = getenv("TMPDIR");
    (void)snprintf(folder, sizeof folder, "%.400s/tributary-demo-XXXXXX",
                   base != NULL && base[0] != '\0' ? base : "/tmp");
    if (mkdtemp(folder) == NULL) {
        fprintf(stderr, "tributary demo: cannot make a folder %s\n", folder);
        return 1;
    }
    const int status = play(o, folder);
    if (tr_dir_remove(folder, &err) != TR_OK)
        fprintf(stderr, "tributary demo: %s is left: %s\n", folder, err.text);
    return status;
}

int tr_cmd_demo(int argc, char **argv)
{
    options o = {.people = TR_DEMO_PEOPLE};
    int words;
    const tr_arg args[] = {{"data", TR_ARG_TEXT, &o.data},
                           {"worker", TR_ARG_TEXT, &o.worker},
                           {"people", TR_ARG_NUMBER, &o.people},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {.name = "demo", .usage = usage, .args = args};
    const struct sigaction action = {.sa_handler = interrupt};
    const int status = tr_args_read(&command, argc, argv, &words);
    if (status != -1)
        return status;
    if (o.people < 10 || o.people > 1000000)
        return tr_args_refuse(&command, "--people: from 10 to 1000000");
    if (o.data != NULL && tr_path_exists(o.data))
        return tr_args_refuse(&command, "--data: %s is there already; the demo wants a new folder",
                              o.data);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    tr_log_set_level(TR_LOG_WARN);
    return o.data != NULL ? play(&o, o.data) : play_in_scratch(&o);
}
