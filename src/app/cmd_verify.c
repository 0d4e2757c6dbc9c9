/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_verify.c - tributary verify: every page checksum and level of Parquet files, or of a batch.
 *
 *     part-00000.parquet  ok  rows=50000 bytes=812345 xxh128=5c0f...
 *     part-00001.parquet  DAMAGED  leaf "person.name": page checksum ...
 *
 * Exit status: 0 all good, 1 damage or no answer, 2 usage.
 */
#include "app/batch_files.h"
#include "app/commands.h"
#include "app/remote.h"
#include "codec/hash.h"
#include "os/os.h"
#include "parquet/parquet.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
    "usage: tributary verify FILE... [--json]\n"
    "       tributary verify --batch ID [--json]\n"
    "Reads every page of Parquet files, checks every checksum and level, prints rows, bytes and\n"
    "hash; of files that merging reads, also the order of their rows. Exit status 1: something is\n"
    "damaged.\n"
    "  --batch ID        the files of a batch on a server, downloaded one by one\n"
    "  --json            the result as one JSON object\n" TR_REMOTE_USAGE;

typedef struct tally {
    bool is_json;
    uint32_t files, damaged;
    uint64_t rows, bytes;
    json_t *list; /* with is_json */
} tally;

/* What the file of a dataset that feeds Profile says of its rows, too. */
static tr_code check_run(tr_str bytes, tr_err *err)
{
    tr_run *run = NULL;
    TR_TRY(tr_run_open(bytes, "", "", &run, err));
    const tr_code code = tr_run_verify(run, err);
    tr_run_close(run);
    return code;
}

static tr_code check_bytes(tr_str bytes, uint64_t *rows, tr_err *err)
{
    tr_parquet_file *file = NULL;
    TR_TRY(tr_parquet_open(bytes, &file, err));
    tr_code code = tr_parquet_verify(file, err);
    if (code == TR_OK && tr_parquet_metadata(file, TR_RUN_FOOTER).at != NULL)
        code = check_run(bytes, err);
    *rows = tr_parquet_rows(file);
    tr_parquet_close(file);
    return code;
}

static void check_file(const char *name, tr_str bytes, tally *t)
{
    tr_err err = {0};
    char hash[33];
    uint64_t rows = 0;
    const bool is_good = check_bytes(bytes, &rows, &err) == TR_OK;
    tr_hash128_text(tr_hash128_of(bytes), hash);
    t->files++;
    t->damaged += !is_good;
    t->rows += is_good ? rows : 0;
    t->bytes += bytes.len;
    if (t->is_json)
        (void)json_array_append_new(
            t->list, json_pack("{s:s, s:b, s:I, s:I, s:s, s:s?}", "name", name, "ok", is_good,
                               "rows", (json_int_t)rows, "bytes", (json_int_t)bytes.len, "xxh128",
                               hash, "error", is_good ? NULL : err.text));
    else if (is_good)
        printf("%s  ok  rows=%llu bytes=%zu xxh128=%s\n", name, (unsigned long long)rows, bytes.len,
               hash);
    else
        printf("%s  DAMAGED  %s\n", name, err.text);
}

static tr_code check_path(const char *path, tally *t, tr_err *err)
{
    tr_map map = {0};
    TR_TRY(tr_map_open(path, &map, err));
    check_file(path, map.bytes, t);
    tr_map_close(&map);
    return TR_OK;
}

typedef struct fetching {
    tr_remote *remote;
    const char *folder;
    tally *t;
} fetching;

/* Fetches one file into the scratch folder, checks it there and removes it. */
static tr_code check_remote(void *ctx, const char *path, const char *name, tr_err *err)
{
    fetching *f = ctx;
    char to[512];
    tr_map map = {0};
    (void)snprintf(to, sizeof to, "%.200s/%.200s", f->folder, name);
    tr_code code = tr_remote_download(f->remote, path, to, err);
    if (code == TR_OK)
        code = tr_map_open(to, &map, err);
    if (code == TR_OK)
        check_file(name, map.bytes, f->t);
    tr_map_close(&map);
    (void)unlink(to);
    return code;
}

static tr_code check_batch(const tr_remote_options *options, const char *batch, tally *t,
                           tr_err *err)
{
    char folder[] = "/tmp/tributary-verify-XXXXXX";
    tr_remote *remote = NULL;
    if (mkdtemp(folder) == NULL)
        return TR_FAIL(err, TR_IO, "cannot make a folder for downloads");
    tr_code code = tr_remote_open(options, &remote, err);
    if (code == TR_OK) {
        fetching f = {.remote = remote, .folder = folder, .t = t};
        code = tr_batch_files(remote, batch, check_remote, &f, err);
    }
    tr_remote_close(remote);
    (void)rmdir(folder);
    return code;
}

typedef struct options {
    tr_remote_options remote;
    const char *batch;
    bool is_json;
} options;

static void print_totals(tally *t)
{
    if (t->is_json) {
        json_t *all =
            json_pack("{s:b, s:I, s:I, s:O}", "ok", t->damaged == 0, "rows", (json_int_t)t->rows,
                      "bytes", (json_int_t)t->bytes, "files", t->list);
        (void)json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
        json_decref(all);
    } else if (t->files > 1) {
        printf("%u files, %u damaged, %llu rows, %llu bytes\n", t->files, t->damaged,
               (unsigned long long)t->rows, (unsigned long long)t->bytes);
    }
}

static int run(const options *o, int count, char **files)
{
    tr_err err = {0};
    tr_code code = TR_OK;
    tally t = {.is_json = o->is_json, .list = json_array()};
    if (o->batch != NULL)
        code = check_batch(&o->remote, o->batch, &t, &err);
    for (int i = 0; i < count && code == TR_OK; i++)
        code = check_path(files[i], &t, &err);
    print_totals(&t);
    json_decref(t.list);
    if (code != TR_OK)
        fprintf(stderr, "tributary verify: %s\n", err.text);
    return code != TR_OK || t.damaged > 0;
}

int tr_cmd_verify(int argc, char **argv)
{
    options o = {0};
    tr_arena arena = {0};
    tr_err err = {0};
    int files;
    const tr_arg args[] = {TR_REMOTE_ARGS(o.remote),
                           {"batch", TR_ARG_TEXT, &o.batch},
                           {"json", TR_ARG_SWITCH, &o.is_json},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {
        .name = "verify", .usage = usage, .args = args, .words_most = 100000};
    int status = tr_args_read(&command, argc, argv, &files);
    if (status != -1)
        return status;
    if ((o.batch != NULL) == (files > 0))
        return tr_args_refuse(&command, "give files, or --batch ID");
    if (o.batch != NULL && tr_remote_complete(&o.remote, &arena, &err) != TR_OK)
        status = tr_args_refuse(&command, "%s", err.text);
    else
        status = run(&o, files, argv + 1);
    tr_arena_free(&arena);
    return status;
}
