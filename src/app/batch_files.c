/* SPDX-License-Identifier: Apache-2.0 */
/* batch_files.c - see batch_files.h: the Data Access API, page by page. */
#include "app/batch_files.h"

#include <stdio.h>

#define FILES "/data/foundation/export"

enum { PAGE = 100 };

/* A name that a server gives becomes a file here: no folders, no dots in front, nothing encoded. */
static bool is_safe(const char *name)
{
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return name[0] != '\0' && name[0] != '.' && strlen(name) < 200 &&
           strspn(name, plain) == strlen(name);
}

static tr_code each_of_entry(tr_remote *remote, const char *id, tr_batch_file each, void *ctx,
                             tr_err *err)
{
    char path[512];
    json_t *entry = NULL;
    tr_code code = TR_OK;
    if (!is_safe(id))
        return TR_FAIL(err, TR_INVALID, "the server names a file entry \"%.80s\"", id);
    (void)snprintf(path, sizeof path, FILES "/files/%.200s", id);
    TR_TRY(tr_remote_call(remote, "GET", path, NULL, &entry, err));
    const json_t *files = json_object_get(entry, "data");
    for (size_t i = 0; i < json_array_size(files) && code == TR_OK; i++) {
        const char *name = tr_json_text(json_array_get(files, i), "name", "");
        if (!is_safe(name)) {
            code = TR_FAIL(err, TR_INVALID, "the server names a file \"%.80s\"", name);
            break;
        }
        (void)snprintf(path, sizeof path, FILES "/files/%.200s?path=%.200s", id, name);
        code = each(ctx, path, name, err);
    }
    json_decref(entry);
    return code;
}

tr_code tr_batch_files(tr_remote *remote, const char *batch, tr_batch_file each, void *ctx,
                       tr_err *err)
{
    char path[256];
    tr_code code = TR_OK;
    size_t found = PAGE;
    if (!is_safe(batch))
        return TR_FAIL(err, TR_INVALID, "\"%.80s\" is no batch id", batch);
    for (size_t start = 0; code == TR_OK && found == PAGE; start += PAGE) {
        json_t *page = NULL;
        (void)snprintf(path, sizeof path, FILES "/batches/%.100s/files?start=%zu&limit=%d", batch,
                       start, PAGE);
        TR_TRY(tr_remote_call(remote, "GET", path, NULL, &page, err));
        const json_t *entries = json_object_get(page, "data");
        found = json_array_size(entries);
        for (size_t i = 0; i < found && code == TR_OK; i++) {
            const char *id = tr_json_text(json_array_get(entries, i), "dataSetFileId", "");
            code = each_of_entry(remote, id, each, ctx, err);
        }
        json_decref(page);
    }
    return code;
}
