/* SPDX-License-Identifier: Apache-2.0 */
/* lake_sweep.c - what a crash left behind goes, before anything else starts.
 *
 * One folder that cannot be removed does not keep the others: the sweep goes on and tells the first
 * failure at its end.
 */
#include "lake/lake_internal.h"

#include "base/log.h"

#include <stdio.h>

typedef struct sweep {
    tr_lake *lake;
    tr_lake_is_known is_known;
    void *ctx;
    const char *tenant;     /* folder name, while inside one */
    const char *kind;       /* of the entries of `path` */
    const char *path;       /* of the folder that is being listed */
    tr_dir_entry each_kept; /* called with every entry that stays; may be NULL */
    uint64_t kept, removed;
    tr_code code;
    tr_err err; /* of the first failure */
} sweep;

static void note(sweep *s, tr_code code, const tr_err *err)
{
    if (code != TR_OK && s->code == TR_OK) {
        s->code = code;
        s->err = *err;
    }
}

static tr_code list(sweep *s, const char *path, tr_dir_entry each)
{
    tr_err err = {0};
    const char *before = s->path;
    if (!tr_path_exists(path))
        return TR_OK;
    s->path = path;
    const tr_code code = tr_dir_list(path, each, s, &err);
    s->path = before;
    note(s, code, &err);
    return TR_OK;
}

static void remove_path(sweep *s, const char *path)
{
    tr_err err = {0};
    const tr_code code = tr_dir_remove(path, &err);
    note(s, code, &err);
    s->removed += code == TR_OK;
}

static bool path_of(sweep *s, const char *name, char out[TR_LAKE_PATH_BYTES])
{
    tr_err err = {0};
    if (snprintf(out, TR_LAKE_PATH_BYTES, "%s/%s", s->path, name) < TR_LAKE_PATH_BYTES)
        return true;
    note(s, TR_FAIL(&err, TR_LIMIT, "a path is too long"), &err);
    return false;
}

/* A stage, the uploads of a batch, or a batch. */
static tr_code sweep_entry(void *ctx, const char *name, tr_err *err)
{
    sweep *s = ctx;
    char path[TR_LAKE_PATH_BYTES];
    (void)err;
    const bool is_trash = strncmp(name, TR_LAKE_TRASH, sizeof TR_LAKE_TRASH - 1) == 0;
    if (!is_trash && s->is_known(s->ctx, s->tenant, s->kind, name))
        s->kept++;
    else if (path_of(s, name, path))
        remove_path(s, path);
    return TR_OK;
}

/* A folder of entries; it goes too when nothing in it stays. */
static void sweep_folder(sweep *s, const char *path, tr_dir_entry each)
{
    tr_err err = {0};
    const uint64_t kept = s->kept;
    (void)list(s, path, each);
    if (s->kept == kept && s->code == TR_OK) {
        const tr_code code = tr_dir_remove(path, &err);
        note(s, code, &err);
    }
}

static tr_code sweep_dataset(void *ctx, const char *name, tr_err *err)
{
    sweep *s = ctx;
    char path[TR_LAKE_PATH_BYTES];
    (void)err;
    if (path_of(s, name, path))
        sweep_folder(s, path, sweep_entry);
    return TR_OK;
}

static tr_code sweep_kind(void *ctx, const char *name, tr_err *err)
{
    sweep *s = ctx;
    char path[TR_LAKE_PATH_BYTES];
    (void)err;
    if (!path_of(s, name, path))
        return TR_OK;
    if (strcmp(name, TR_LAKE_STAGING) == 0) {
        s->kind = "stage";
        sweep_folder(s, path, sweep_entry);
    } else if (strcmp(name, TR_LAKE_UPLOADS) == 0) {
        s->kind = "upload";
        sweep_folder(s, path, sweep_entry);
    } else if (strcmp(name, TR_LAKE_DATA) == 0) {
        s->kind = "batch";
        sweep_folder(s, path, sweep_dataset);
    } else {
        s->kept++; /* nobody knows what it is: not ours to remove */
    }
    return TR_OK;
}

static tr_code sweep_tenant(void *ctx, const char *name, tr_err *err)
{
    sweep *s = ctx;
    char path[TR_LAKE_PATH_BYTES];
    (void)err;
    if (!tr_is_hex(tr_str_of(name), 32) || !path_of(s, name, path))
        return TR_OK;
    s->tenant = name;
    sweep_folder(s, path, sweep_kind);
    return TR_OK;
}

static tr_code empty_scratch(void *ctx, const char *name, tr_err *err)
{
    sweep *s = ctx;
    char path[TR_LAKE_PATH_BYTES];
    tr_err why = {0};
    (void)err;
    if (!path_of(s, name, path))
        return TR_OK;
    tr_code code = tr_file_remove(path, &why); /* EISDIR: a folder */
    if (code != TR_OK)
        code = tr_dir_remove(path, &why);
    note(s, code, &why);
    return TR_OK;
}

tr_code tr_lake_sweep(tr_lake *lake, tr_lake_is_known is_known, void *ctx, tr_err *err)
{
    sweep s = {.lake = lake, .is_known = is_known, .ctx = ctx};
    (void)list(&s, lake->scratch, empty_scratch);
    (void)list(&s, lake->root, sweep_tenant);
    if (s.removed > 0)
        tr_log(TR_LOG_INFO, "lake", "lake_swept", "removed=%llu kept=%llu",
               (unsigned long long)s.removed, (unsigned long long)s.kept);
    if (s.code != TR_OK && err != NULL)
        *err = s.err;
    return s.code;
}
