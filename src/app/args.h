/* SPDX-License-Identifier: Apache-2.0 */
/* args.h - reads a command's arguments: --name value, --name=value, --switch, and words.
 *
 * One table says what a command knows. A mistake is answered with its name, not with a page of
 * usage. Texts point into argv.
 */
#ifndef TR_APP_ARGS_H
#define TR_APP_ARGS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum tr_arg_kind {
    TR_ARG_TEXT,   /* to: const char *           */
    TR_ARG_SWITCH, /* to: bool                   */
    TR_ARG_NUMBER, /* to: uint32_t, 0 .. 10^9    */
    TR_ARG_LIST    /* to: tr_arg_list; may be repeated */
} tr_arg_kind;

enum { TR_ARG_LIST_MAX = 32 };

typedef struct tr_arg_list {
    const char *texts[TR_ARG_LIST_MAX + 1]; /* NULL behind the last */
    uint32_t count;
} tr_arg_list;

typedef struct tr_arg {
    const char *name; /* without the dashes; NULL ends a table */
    tr_arg_kind kind;
    void *to;
} tr_arg;

typedef struct tr_command {
    const char *name;  /* "export" */
    const char *usage; /* the whole text of --help */
    const tr_arg *args;
    int words_least, words_most; /* arguments without dashes */
} tr_command;

/* Sets what argv[1] and on give; the words are moved to argv[1], argv[2] ... and counted in *words.
 * -1: go on; else the exit status: 0 after --help (usage on stdout), 2 after a mistake (stderr). */
int tr_args_read(const tr_command *command, int argc, char **argv, int *words);

/* For mistakes that only the command can see: prints "tributary <command>: <text>"; 2. */
int tr_args_refuse(const tr_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
