/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - tributary: one binary, a command for each thing it does. */
#include "app/commands.h"
#include "base/memory.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *does;
} command;

static int show_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("tributary %s\n", TR_VERSION);
    return 0;
}

static int show_help(int argc, char **argv);

static const command commands[] = {
    {"demo", tr_cmd_demo, "the whole tutorial in a minute, on a folder that goes away"},
    {"serve", tr_cmd_serve, "the server: HTTP API on a data folder"},
    {"client", tr_cmd_client, "client add: credentials for somebody who calls the API"},
    {"ingest", tr_cmd_ingest, "files of JSON, CSV or Parquet into a dataset"},
    {"export", tr_cmd_export, "merged profiles into a batch, and its files to here"},
    {"explain", tr_cmd_explain, "one merged profile, and where each of its fields comes from"},
    {"query", tr_cmd_query, "a SELECT over the datasets of a data folder"},
    {"verify", tr_cmd_verify, "every checksum of Parquet files, or of a batch"},
    {"version", show_version, "which version this is"},
    {"help", show_help, "this text, or `help COMMAND`: all about one command"}};

enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static const char intro[] =
    "tributary keeps what many systems know of the same people, merges it on demand into one\n"
    "profile by a merge policy, and exports merged profiles as Parquet. It speaks the HTTP API\n"
    "of Adobe Experience Platform.\n"
    "\n"
    "usage: tributary COMMAND [--option value]...\n"
    "\n";

static const char first_steps[] =
    "\n"
    "First steps:\n"
    "  tributary demo                        see all of it happen\n"
    "  tributary serve --data ./data         then, in another terminal:\n"
    "  tributary client add --data ./data --org 0123456789ABCDEF01234567@AdobeOrg \\\n"
    "      --name me --role admin > client.json\n"
    "  tributary ingest --client client.json --dataset ID people.json\n"
    "  tributary export --client client.json --dataset ID --out profiles/\n"
    "\n"
    "Exit status: 0 done, 1 failed (the reason is on stderr), 2 a mistake in the command line.\n";

static const command *find(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static void print_help(FILE *to)
{
    (void)fputs(intro, to);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].does);
    (void)fputs(first_steps, to);
}

static int refuse_unknown(const char *name)
{
    fprintf(stderr, "tributary: there is no command \"%s\"; the commands are", name);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(stderr, "%s %s", i == 0 ? "" : ",", commands[i].name);
    fprintf(stderr, "\nSee: tributary help\n");
    return 2;
}

static int show_help(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        print_help(stdout);
        return 0;
    }
    const command *found = find(argv[1]);
    if (found == NULL)
        return refuse_unknown(argv[1]);
    if (found->run == show_help || found->run == show_version) {
        printf("usage: tributary %s\n%s\n", found->name, found->does);
        return 0;
    }
    char help[] = "--help";
    char *words[] = {argv[1], help, NULL};
    return found->run(2, words);
}

int main(int argc, char **argv)
{
    tr_memory_keep_freed();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)umask(077); /* what it writes are secrets and other people's data */
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return show_help(1, argv);
    if (strcmp(argv[1], "--version") == 0)
        return show_version(1, argv);
    const command *found = find(argv[1]);
    return found != NULL ? found->run(argc - 1, argv + 1) : refuse_unknown(argv[1]);
}
