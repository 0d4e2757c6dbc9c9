/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_explain.c - tributary explain: one profile, and for each field where it comes from.
 *
 *     loyalty.tier = "gold"
 *         from 5b61...  batch 01M8...  2024-03-01T10:00:00Z
 *         over 7c02...  batch 01M7...  2024-02-11T08:30:00Z
 *
 * Under a policy that asks the identity graph, with whose fragment it is, the identities that the
 * profile is made of, and those that had to leave its cluster.
 */
#include "app/commands.h"
#include "app/remote.h"

#include <stdio.h>
#include <string.h>

#define ENTITIES "/data/core/ups/access/entities?schema.name=_xdm.context.profile&explain=true"

static const char usage[] =
    "usage: tributary explain [--policy ID] [--fields PATH,PATH...] [--json] NAMESPACE:ID\n"
    "One merged profile: each field, the fragment it comes from and those that lost. Under a "
    "policy that\n"
    "asks the identity graph, as the default does, it is found by any identity of the person, and "
    "shown with\n"
    "those that it is made of and those that had to leave; else by the primary identity of its "
    "records.\n"
    "  --policy ID       merge by this policy instead of the sandbox's default\n"
    "  --fields PATHS    only these fields, e.g. identityMap,person.name\n"
    "  --json            the server's answer as it is\n" TR_REMOTE_USAGE "\n"
    "  tributary explain --client client.json Email:ann@example.org\n";

typedef struct options {
    tr_remote_options remote;
    const char *policy, *fields;
    bool is_json;
} options;

enum { TERM_BYTES = 4096, PATH_BYTES = 16384 };

static tr_code add_parameter(tr_buf *path, const char *name, tr_str value, tr_err *err)
{
    char term[TERM_BYTES];
    if (value.len == 0)
        return TR_OK;
    TR_TRY(tr_remote_escape(value, term, sizeof term, err));
    return tr_buf_format(path, err, "&%s=%s", name, term);
}

static tr_code make_path(const options *o, const char *identity, tr_buf *path, tr_err *err)
{
    const char *colon = strchr(identity, ':');
    if (colon == NULL || colon == identity || colon[1] == '\0')
        return TR_FAIL(err, TR_INVALID,
                       "\"%.100s\" is not NAMESPACE:ID, e.g. Email:ann@example.org", identity);
    TR_TRY(tr_buf_format(path, err, "%s", ENTITIES));
    TR_TRY(add_parameter(path, "entityIdNS",
                         (tr_str){(const uint8_t *)identity, (size_t)(colon - identity)}, err));
    TR_TRY(add_parameter(path, "entityId", tr_str_of(colon + 1), err));
    TR_TRY(add_parameter(path, "mergePolicyId", tr_str_of(o->policy), err));
    TR_TRY(add_parameter(path, "fields", tr_str_of(o->fields), err));
    return tr_buf_append(path, (tr_str){(const uint8_t *)"", 1}, err);
}

/* The value at a dotted path; names may have dots themselves, so the longest member is tried
 * first. */
static const json_t *value_at(const json_t *object, const char *path)
{
    char name[512];
    const json_t *whole = json_object_get(object, path);
    for (const char *dot = path + strlen(path); whole == NULL && dot > path; dot--) {
        if (*dot != '.' || (size_t)(dot - path) >= sizeof name)
            continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
        if (json_object_get(object, name) != NULL)
            whole = value_at(json_object_get(object, name), dot + 1);
    }
    return whole;
}

static const char *code_of(const json_t *identity)
{
    return tr_json_text(json_object_get(identity, "namespace"), "code", "?");
}

static void show_fragment(const char *word, const json_t *fragment)
{
    const json_t *identity = json_object_get(fragment, "identity");
    printf("    %s %s  batch %s  %s", word, tr_json_text(fragment, "dataSetId", "?"),
           tr_json_text(fragment, "batchId", "?"), tr_json_text(fragment, "updatedAt", "?"));
    if (identity != NULL)
        printf("  of %s:%s", code_of(identity), tr_json_text(identity, "id", "?"));
    printf("\n");
}

static void show_graph(const json_t *graph)
{
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(graph, "identities"), i, one)
    {
        printf("identity %s:%s  fragments %zu\n", code_of(one), tr_json_text(one, "id", "?"),
               json_array_size(json_object_get(one, "fragments")));
    }
    json_array_foreach(json_object_get(graph, "dropped"), i, one)
    {
        printf("dropped %s:%s  %s\n    by %s  batch %s  %s\n", code_of(one),
               tr_json_text(one, "id", "?"), tr_json_text(one, "reason", "?"),
               tr_json_text(one, "dataSetId", "?"), tr_json_text(one, "batchId", "?"),
               tr_json_text(one, "at", "?"));
    }
}

static void show_profile(const json_t *profile)
{
    const char *path;
    json_t *field;
    const json_t *entity = json_object_get(profile, "entity"), *fragment;
    size_t i;
    json_object_foreach(json_object_get(profile, "explain"), path, field)
    {
        const json_t *value = value_at(entity, path);
        tr_buf text = {0};
        if (value == NULL || tr_json_write(value, &text, NULL) != TR_OK)
            text.len = 0;
        printf("%s = %.*s\n", path, (int)text.len, (const char *)text.at);
        tr_buf_free(&text);
        if (json_object_get(field, "winner") != NULL)
            show_fragment("from", json_object_get(field, "winner"));
        json_array_foreach(json_object_get(field, "from"), i, fragment)
        {
            show_fragment("from", fragment);
        }
        json_array_foreach(json_object_get(field, "losers"), i, fragment)
        {
            show_fragment("over", fragment);
        }
    }
    show_graph(json_object_get(profile, "explainGraph"));
}

static tr_code explain(const options *o, const char *identity, tr_err *err)
{
    tr_remote *remote = NULL;
    tr_buf path = {.bytes_max = PATH_BYTES};
    json_t *answer = NULL;
    const char *xid;
    json_t *profile;
    tr_code code = make_path(o, identity, &path, err);
    if (code == TR_OK)
        code = tr_remote_open(&o->remote, &remote, err);
    if (code == TR_OK)
        code = tr_remote_call(remote, "GET", (const char *)path.at, NULL, &answer, err);
    if (code == TR_OK && o->is_json) {
        (void)json_dumpf(answer, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (code == TR_OK) {
        json_object_foreach(answer, xid, profile)
        {
            show_profile(profile);
        }
    }
    json_decref(answer);
    tr_remote_close(remote);
    tr_buf_free(&path);
    return code;
}

int tr_cmd_explain(int argc, char **argv)
{
    options o = {.policy = ""};
    tr_err err = {0};
    tr_arena arena = {0};
    int words;
    const tr_arg args[] = {TR_REMOTE_ARGS(o.remote),
                           {"policy", TR_ARG_TEXT, &o.policy},
                           {"fields", TR_ARG_TEXT, &o.fields},
                           {"json", TR_ARG_SWITCH, &o.is_json},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {.name = "explain", .usage = usage, .args = args, .words_most = 1};
    const int status = tr_args_read(&command, argc, argv, &words);
    if (status != -1)
        return status;
    if (words != 1)
        return tr_args_refuse(&command,
                              "whom? NAMESPACE:ID is missing, e.g. Email:ann@example.org");
    if (tr_remote_complete(&o.remote, &arena, &err) != TR_OK) {
        const int refused = tr_args_refuse(&command, "%s", err.text);
        tr_arena_free(&arena);
        return refused;
    }
    const tr_code code = explain(&o, argv[1], &err);
    if (code != TR_OK)
        fprintf(stderr, "tributary explain: %s\n", err.text);
    tr_arena_free(&arena);
    return code != TR_OK;
}
