/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_export.c - tributary export: a job on a server, watched until it ends, and its files.
 *
 *     job 12  [#############.......]  64 %  812,345 profiles  94.1 MB  3 s left      (a terminal)
 *     job 12  PROCESSING  64 %                                                      (a pipe)
 *
 * Progress goes to stderr; the summary, or with --json the job, to stdout. Exit status: 0 done, 1 failed,
 * 2 usage.
 */
#include "app/batch_files.h"
#include "app/commands.h"
#include "app/remote.h"
#include "os/os.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#define JOBS "/data/core/ups/export/jobs"

static const char usage[] =
    "usage: tributary export --url URL --client-id ID --client-secret SECRET --org ORG [--sandbox NAME]\n"
    "                        --dataset ID [--fields PATH,PATH...] [--policy ID] [--events]\n"
    "                        [--empty-profiles] [--since TIME] [--out DIR] [--json]\n"
    "Exports the merged profiles of a sandbox into a dataset on the profile union schema.\n"
    "  --since TIME   only profiles that changed after this RFC 3339 time\n"
    "  --out DIR      downloads the batch's files into DIR\n";

enum { POLL_US = 200 * 1000, BAR_CELLS = 24 };

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
    char cells[BAR_CELLS + 1];
    const json_t *progress = json_object_get(job, "progress");
    const json_t *eta = json_object_get(progress, "etaMs");
    const double percent = json_number_value(json_object_get(progress, "percent"));
    for (int i = 0; i < BAR_CELLS; i++)
        cells[i] = i * 100 < (int)(percent * BAR_CELLS) ? '#' : '.';
    cells[BAR_CELLS] = '\0';
    fprintf(stderr, "\r\033[Kjob %lld  [%s] %5.1f %%  %lld profiles  %.1f MB",
            (long long)tr_json_int(job, "id", 0), cells, percent,
            (long long)tr_json_int(progress, "profiles", 0),
            (double)tr_json_int(progress, "bytes", 0) / 1e6);
    if (json_is_integer(eta))
        fprintf(stderr, "  %.1f s left", (double)json_integer_value(eta) / 1e3);
    (void)fflush(stderr);
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
    const bool is_tty = isatty(STDERR_FILENO) == 1;
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
        fprintf(stderr, "\r\033[K");
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
    printf("batch %s: %lld profiles in %.2f s", tr_json_text(json_object_get(job, "destination"), "batchId", ""),
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
        code = tr_batch_files(
            remote, tr_json_text(json_object_get(job, "destination"), "batchId", ""), fetch, &to,
            err);
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

/* False: usage. */
static bool read_options(int argc, char **argv, options *o)
{
    static const struct option known[] = {
        {"url", 1, NULL, 'u'},       {"client-id", 1, NULL, 'i'}, {"client-secret", 1, NULL, 's'},
        {"org", 1, NULL, 'o'},       {"sandbox", 1, NULL, 'b'},   {"dataset", 1, NULL, 'd'},
        {"fields", 1, NULL, 'f'},    {"policy", 1, NULL, 'p'},    {"events", 0, NULL, 'e'},
        {"since", 1, NULL, 't'},     {"out", 1, NULL, 'O'},       {"empty-profiles", 0, NULL, 'E'},
        {"json", 0, NULL, 'j'},      {NULL, 0, NULL, 0}};
    int letter;
    optind = 1;
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1)
        switch (letter) {
        case 'u': o->remote.url = optarg; break;
        case 'i': o->remote.client_id = optarg; break;
        case 's': o->remote.client_secret = optarg; break;
        case 'o': o->remote.org = optarg; break;
        case 'b': o->remote.sandbox = optarg; break;
        case 'd': o->dataset = optarg; break;
        case 'f': o->fields = optarg; break;
        case 'p': o->policy = optarg; break;
        case 'e': o->with_events = true; break;
        case 't': o->since = optarg; break;
        case 'O': o->out = optarg; break;
        case 'E': o->with_empty = true; break;
        case 'j': o->is_json = true; break;
        default: return false;
        }
    return optind == argc && o->remote.url != NULL && o->remote.client_id != NULL &&
           o->remote.client_secret != NULL && o->remote.org != NULL && o->dataset != NULL;
}

int tr_cmd_export(int argc, char **argv)
{
    options o = {0};
    tr_err err = {0};
    if (!read_options(argc, argv, &o)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    if (run(&o, &err) == TR_OK)
        return 0;
    fprintf(stderr, "tributary export: %s\n", err.text);
    return 1;
}
