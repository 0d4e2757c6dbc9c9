/* SPDX-License-Identifier: Apache-2.0 */
/* args.c - see args.h. */
#include "app/args.h"

#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

enum { NUMBER_MAX = 1000000000 };

int tr_args_refuse(const tr_command *command, const char *format, ...)
{
    va_list values;
    fprintf(stderr, "tributary %s: ", command->name);
    va_start(values, format);
    (void)vfprintf(stderr, format, values);
    va_end(values);
    fprintf(stderr, "\nSee: tributary help %s\n", command->name);
    return 2;
}

static const tr_arg *find(const tr_command *command, tr_str name)
{
    for (const tr_arg *arg = command->args; arg->name != NULL; arg++)
        if (tr_str_is(name, arg->name))
            return arg;
    return NULL;
}

/* -1, or the exit status. */
static int set(const tr_command *command, const tr_arg *arg, const char *value)
{
    int64_t number;
    tr_arg_list *list = arg->to;
    switch (arg->kind) {
    case TR_ARG_TEXT: *(const char **)arg->to = value; return -1;
    case TR_ARG_SWITCH: *(bool *)arg->to = true; return -1;
    case TR_ARG_NUMBER:
        if (!tr_str_to_i64(tr_str_of(value), &number) || number < 0 || number > NUMBER_MAX)
            return tr_args_refuse(command, "--%s: \"%s\" is no whole number between 0 and %d",
                                  arg->name, value, NUMBER_MAX);
        *(uint32_t *)arg->to = (uint32_t)number;
        return -1;
    case TR_ARG_LIST:
        if (list->count == TR_ARG_LIST_MAX)
            return tr_args_refuse(command, "--%s: more than %d", arg->name, TR_ARG_LIST_MAX);
        list->texts[list->count++] = value;
        return -1;
    }
    return -1;
}

/* One argument that begins with --; *i moves on when its value is the next one. */
static int read_option(const tr_command *command, int argc, char **argv, int *i)
{
    const char *text = argv[*i] + 2, *equals = strchr(text, '=');
    const size_t len = equals != NULL ? (size_t)(equals - text) : strlen(text);
    const tr_arg *arg = find(command, (tr_str){(const uint8_t *)text, len});
    if (arg == NULL)
        return tr_args_refuse(command, "there is no option --%.*s", (int)len, text);
    if (arg->kind == TR_ARG_SWITCH) {
        if (equals != NULL)
            return tr_args_refuse(command, "--%s takes no value", arg->name);
        return set(command, arg, NULL);
    }
    if (equals != NULL)
        return set(command, arg, equals + 1);
    if (*i + 1 == argc)
        return tr_args_refuse(command, "--%s needs a value", arg->name);
    *i += 1;
    return set(command, arg, argv[*i]);
}

int tr_args_read(const tr_command *command, int argc, char **argv, int *words)
{
    int count = 0, status = -1;
    bool is_rest = false; /* behind "--" */
    for (int i = 1; i < argc && status == -1; i++) {
        if (!is_rest && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            (void)fputs(command->usage, stdout);
            return 0;
        }
        if (!is_rest && strcmp(argv[i], "--") == 0)
            is_rest = true;
        else if (!is_rest && strncmp(argv[i], "--", 2) == 0)
            status = read_option(command, argc, argv, &i);
        else if (!is_rest && argv[i][0] == '-' && argv[i][1] != '\0')
            status = tr_args_refuse(command, "there is no option %s", argv[i]);
        else
            argv[++count] = argv[i];
    }
    if (status != -1)
        return status;
    if (count > command->words_most)
        return tr_args_refuse(command, "\"%s\" is not expected here",
                              argv[command->words_most + 1]);
    if (count < command->words_least)
        return tr_args_refuse(command, "an argument is missing");
    *words = count;
    return -1;
}
