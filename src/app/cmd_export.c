/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_export.c - tributary export: a job on a server, watched until it ends, and its files.
 *
 *     job 12  [#############.......]  64 %  812,345 profiles  94.1 MB  3 s left      (a terminal)
 *     job 12  PROCESSING  64 %                                                      (a pipe)
 *
 * Progress goes to stderr; the summary, or with --json the job, to stdout.
 */
#include "app/bar.h"
#include "app/batch_files.h"
#include "app/commands.h"
#include "app/remote.h"
#include "os/os.h"

#include <stdio.h>
#include <unistd.h>

#define JOBS "/data/core/ups/export/jobs"

static const char usage[] =
    "usage: tributary export --dataset ID [--fields PATH,PATH...] [--policy ID] [--events]\n"
    "                        [--empty-profiles] [--since TIME] [--out DIR] [--json]\n"
    "Exports the merged profiles of a sandbox into a dataset on the profile union schema, and "
    "waits.\n"
    "  --fields PATHS    only these columns, e.g. identityMap,person.name\n"
    "  --policy ID       merge by this policy instead of the sandbox's default\n"
    "  --events          every profile's events as well, as timeSeriesEvents\n"
    "  --empty-profiles  profiles that have events only, too\n"
    "  --since TIME      only profiles that changed after this RFC 3339 time\n"
    "  --out DIR         downloads the batch's files into DIR\n"
    "  --json            the finished job on stdout\n" TR_REMOTE_USAGE;

enum { POLL_US = 200 * 1000 };

typedef struct options {
    tr_remote_options remote;
    const char *dataset, *fields, *policy, *since, *out;
    bool with_events, with_empty, is_json;
} options;

static json_t *body_of(const options *o)
{
    json_t *body = json_pack("{s:{s:s}, s:{s:s}}", "destination", "datasetId", o->dataset, "schema",
                             "name", "_xdm.context.profile");
    if (o->fields != NULL)
        (void)json_object_set_new(body, "fields", json_string(o->fields));
    if (o->policy != NULL)
        (void)json_object_set_new(body, "mergePolicy", json_pack("{s:s}", "id", o->policy));
    if (o->with_events)
        (void)json_object_set_new(body, "additionalFields", json_pack("{s:{}}", "eventList"));
    json_t *filter = json_object();
    if (o->since != NULL)
        (void)json_object_set_new(filter, "fromIngestTimestamp", json_string(o->since));
    if (o->with_empty)
        (void)json_object_set_new(filter, "emptyProfiles", json_true());
    (void)json_object_set_new(body, "filter", filter);
    return body;
}

static bool is_over(const json_t *job)
{
    const char *status = tr_json_text(job, "status", "");
    return strcmp(status, "NEW") != 0 && strcmp(status, "PROCESSING") != 0;
}

static void draw_bar(const json_t *job)
{
    char label[32], left[32] = "";
    const json_t *progress = json_object_get(job, "progress");
    const json_t *eta = json_object_get(progress, "etaMs");
    if (json_is_integer(eta))
        (void)snprintf(left, sizeof left, "  %.1f s left", (double)json_integer_value(eta) / 1e3);
    (void)snprintf(label, sizeof label, "job %lld", (long long)tr_json_int(job, "id", 0));
    tr_bar_draw(label, json_number_value(json_object_get(progress, "percent")) / 100,
                "%s profiles  %.1f MB%s",
                tr_group_digits(tr_json_int(progress, "profiles", 0)).text,
                (double)tr_json_int(progress, "bytes", 0) / 1e6, left);
}

/* One line whenever the status or the tenth of the work changes. */
static void print_line(const json_t *job, char *last, size_t size)
{
    char line[128];
    const json_t *progress = json_object_get(job, "progress");
    const int percent = (int)json_number_value(json_object_get(progress, "percent"));
    (void)snprintf(line, sizeof line, "job %lld  %s  %d %%", (long long)tr_json_int(job, "id", 0),
                   tr_json_text(job, "status", ""), is_over(job) ? 100 : percent / 10 * 10);
    if (strcmp(line, last) == 0)
        return;
    fprintf(stderr, "%s\n", line);
    (void)snprintf(last, size, "%s", line);
}

/* Polls until the job ends; *job is replaced by each answer. */
static tr_code watch(tr_remote *remote, json_t **job, tr_err *err)
{
    char path[128], last[128] = "";
    const bool is_tty = tr_bar_is_shown();
    (void)snprintf(path, sizeof path, JOBS "/%lld", (long long)tr_json_int(*job, "id", 0));
    while (!is_over(*job)) {
        json_t *next = NULL;
        if (is_tty)
            draw_bar(*job);
        else
            print_line(*job, last, sizeof last);
        usleep(POLL_US);
        TR_TRY(tr_remote_call(remote, "GET", path, NULL, &next, err));
        json_decref(*job);
        *job = next;
    }
    if (is_tty)
        tr_bar_clear();
    else
        print_line(*job, last, sizeof last);
    return TR_OK;
}

typedef struct download {
    tr_remote *remote;
    const char *folder;
    uint32_t files;
} download;

static tr_code fetch(void *ctx, const char *path, const char *name, tr_err *err)
{
    char to[1024];
    download *d = ctx;
    if (snprintf(to, sizeof to, "%s/%s", d->folder, name) >= (int)sizeof to)
        return TR_FAIL(err, TR_INVALID, "the name of the folder is too long");
    TR_TRY(tr_remote_download(d->remote, path, to, err));
    d->files++;
    return TR_OK;
}

static void print_summary(const json_t *job, const options *o, uint32_t files)
{
    const json_t *metrics = json_object_get(job, "metrics");
    printf("batch %s: %lld profiles in %.2f s",
           tr_json_text(json_object_get(job, "destination"), "batchId", ""),
           (long long)tr_json_int(metrics, "totalExportedProfileCounter", 0),
           (double)tr_json_int(json_object_get(metrics, "totalTime"), "totalTimeInMs", 0) / 1e3);
    if (o->out != NULL)
        printf(", %u files in %s", files, o->out);
    printf("\n");
}

static tr_code run(const options *o, tr_err *err)
{
    tr_remote *remote = NULL;
    json_t *body = body_of(o), *job = NULL;
    tr_code code = tr_remote_open(&o->remote, &remote, err);
    download to = {.remote = remote, .folder = o->out};
    if (code == TR_OK)
        code = tr_remote_call(remote, "POST", JOBS, body, &job, err);
    if (code == TR_OK)
        code = watch(remote, &job, err);
    if (code == TR_OK && strcmp(tr_json_text(job, "status", ""), "SUCCEEDED") != 0)
        code = TR_FAIL(err, TR_CANCELLED, "the job ended %s %s", tr_json_text(job, "status", ""),
                       tr_json_text(json_array_get(json_object_get(job, "errors"), 0), "msg", ""));
    if (code == TR_OK && o->out != NULL)
        code = tr_dir_make(o->out, err);
    if (code == TR_OK && o->out != NULL)
        code =
            tr_batch_files(remote, tr_json_text(json_object_get(job, "destination"), "batchId", ""),
                           fetch, &to, err);
    if (o->is_json && job != NULL) {
        (void)json_dumpf(job, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (code == TR_OK) {
        print_summary(job, o, to.files);
    }
    json_decref(job);
    json_decref(body);
    tr_remote_close(remote);
    return code;
}

int tr_cmd_export(int argc, char **argv)
{
    options o = {0};
    tr_arena arena = {0};
    tr_err err = {0};
    int words;
    const tr_arg args[] = {TR_REMOTE_ARGS(o.remote),
                           {"dataset", TR_ARG_TEXT, &o.dataset},
                           {"fields", TR_ARG_TEXT, &o.fields},
                           {"policy", TR_ARG_TEXT, &o.policy},
                           {"events", TR_ARG_SWITCH, &o.with_events},
                           {"empty-profiles", TR_ARG_SWITCH, &o.with_empty},
                           {"since", TR_ARG_TEXT, &o.since},
                           {"out", TR_ARG_TEXT, &o.out},
                           {"json", TR_ARG_SWITCH, &o.is_json},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {.name = "export", .usage = usage, .args = args};
    int status = tr_args_read(&command, argc, argv, &words);
    if (status != -1)
        return status;
    if (o.dataset == NULL)
        return tr_args_refuse(&command, "--dataset is missing");
    tr_code code = tr_remote_complete(&o.remote, &arena, &err);
    if (code != TR_OK) {
        status = tr_args_refuse(&command, "%s", err.text);
    } else {
        code = run(&o, &err);
        status = code != TR_OK;
        if (code != TR_OK)
            fprintf(stderr, "tributary export: %s\n", err.text);
    }
    tr_arena_free(&arena);
    return status;
}
