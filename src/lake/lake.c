/* SPDX-License-Identifier: Apache-2.0 */
/* lake.c - stages, batches and how one becomes the other; see lake.h.
 *
 *     create, write, finish      staging/<stage>/part-00000.parquet      synced and hashed
 *     publish                    sync staging/<stage>
 *                                make data/<dataset>, sync all above it
 *                                rename staging/<stage> -> data/<dataset>/<batch>
 *                                sync both parents
 *
 * After a crash at any of these lines the folder is whole in one place or the other.
 */
#include "lake/lake_internal.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

bool tr_lake_is_id(const char *id)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    const size_t len = id == NULL ? 0 : strlen(id);
    return len >= 1 && len <= 64 && strspn(id, plain) == len;
}

bool tr_lake_is_name(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    const size_t len = name == NULL ? 0 : strlen(name);
    return len >= 1 && len <= 100 && name[0] != '.' && strspn(name, plain) == len;
}

tr_code tr_lake_check_id(const char *what, const char *id, tr_err *err)
{
    if (tr_lake_is_id(id))
        return TR_OK;
    return TR_FAIL(err, TR_INVALID, "\"%.64s\" cannot be the id of a %s", id == NULL ? "" : id,
                   what);
}

static tr_code check_name(const char *name, tr_err *err)
{
    if (tr_lake_is_name(name))
        return TR_OK;
    return TR_FAIL(err, TR_INVALID, "\"%.100s\" cannot be the name of a file",
                   name == NULL ? "" : name);
}

tr_code tr_lake_inside(const tr_lake *lake, const tr_tenant *tenant, char out[TR_LAKE_PATH_BYTES],
                       tr_err *err, const char *format, ...)
{
    va_list args;
    if (!tr_is_hex(tr_str_of(tenant->folder), 32))
        return TR_FAIL(err, TR_INVALID, "a tenant without a folder");
    int len = snprintf(out, TR_LAKE_PATH_BYTES, "%s/%s/", lake->root, tenant->folder);
    if (len > 0 && len < TR_LAKE_PATH_BYTES) {
        va_start(args, format);
        const int more = vsnprintf(out + len, TR_LAKE_PATH_BYTES - (size_t)len, format, args);
        va_end(args);
        len = more < 0 ? -1 : len + more;
    }
    return len > 0 && len < TR_LAKE_PATH_BYTES ? TR_OK
                                               : TR_FAIL(err, TR_LIMIT, "a path is too long");
}

/* Makes <root>/a/b/c level by level; each level is synced into the one above it. */
static tr_code make_levels(const tr_lake *lake, const char *path, tr_err *err)
{
    char partial[TR_LAKE_PATH_BYTES];
    const size_t len = strlen(path);
    size_t parent = strlen(lake->root);
    if (len >= sizeof partial)
        return TR_FAIL(err, TR_LIMIT, "a path is too long");
    for (size_t i = parent + 1; i <= len; i++) {
        if (i < len && path[i] != '/')
            continue;
        memcpy(partial, path, i);
        partial[i] = '\0';
        TR_TRY(tr_dir_make(partial, err));
        partial[parent] = '\0';
        TR_TRY(tr_dir_sync(partial, err));
        parent = i;
    }
    return TR_OK;
}

tr_code tr_lake_make_durable(tr_lake *lake, const char *path, tr_err *err)
{
    const tr_hash128 hash = tr_hash128_of(tr_str_of(path));
    tr_hash128 *slot = &lake->durable[hash.bytes[0]];
    tr_code code = TR_OK;
    (void)pthread_mutex_lock(&lake->mutex);
    if (memcmp(slot, &hash, sizeof hash) != 0 || !tr_path_exists(path)) {
        code = make_levels(lake, path, err);
        if (code == TR_OK)
            *slot = hash;
    }
    (void)pthread_mutex_unlock(&lake->mutex);
    return code;
}

tr_code tr_lake_discard(tr_lake *lake, const char *path, const char *trash_folder, tr_err *err)
{
    char trash[TR_LAKE_PATH_BYTES];
    if (!tr_path_exists(path))
        return TR_OK;
    if (snprintf(trash, sizeof trash, "%s/" TR_LAKE_TRASH "%s", trash_folder, tr_id_ulid().text) >=
        (int)sizeof trash)
        return TR_FAIL(err, TR_LIMIT, "a path is too long");
    (void)pthread_mutex_lock(&lake->mutex);
    memset(lake->durable, 0, sizeof lake->durable);
    (void)pthread_mutex_unlock(&lake->mutex);
    TR_TRY(tr_dir_make(trash_folder, err));
    const tr_code code = tr_path_rename(path, trash, err);
    if (code == TR_NOT_FOUND && !tr_path_exists(path))
        return TR_OK; /* another hand was faster */
    TR_TRY(code);
    tr_crash_point("lake_discarded");
    return tr_dir_remove(trash, err);
}

/* A text of `folder` and a constant end; NULL: no memory. */
static char *join(const char *folder, const char *end)
{
    const size_t len = strlen(folder), more = strlen(end);
    char *text = tr_alloc(len + more + 1);
    if (text != NULL) {
        memcpy(text, folder, len);
        memcpy(text + len, end, more + 1);
    }
    return text;
}

tr_code tr_lake_open(const char *folder, tr_lake **out, tr_err *err)
{
    tr_lake *lake = tr_alloc_zeroed(1, sizeof *lake);
    if (lake == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the lake");
    (void)pthread_mutex_init(&lake->mutex, NULL);
    lake->root = join(folder, "/lake");
    lake->scratch = join(folder, "/lake/scratch");
    tr_code code = lake->root == NULL || lake->scratch == NULL
                       ? TR_FAIL(err, TR_NO_MEMORY, "no memory for the lake")
                       : tr_dir_make(lake->scratch, err);
    if (code == TR_OK)
        code = tr_dir_sync(lake->root, err);
    if (code == TR_OK)
        code = tr_dir_sync(folder, err);
    if (code == TR_OK)
        *out = lake;
    else
        tr_lake_close(lake);
    return code;
}

void tr_lake_close(tr_lake *lake)
{
    if (lake == NULL)
        return;
    (void)pthread_mutex_destroy(&lake->mutex);
    tr_free(lake->root);
    tr_free(lake->scratch);
    tr_free(lake);
}

const char *tr_lake_scratch(const tr_lake *lake)
{
    return lake->scratch;
}

tr_code tr_lake_space(const tr_lake *lake, uint64_t *left, uint64_t *all, tr_err *err)
{
    return tr_dir_space(lake->root, left, all, err);
}

static tr_code stage_path(const tr_lake *lake, const tr_tenant *tenant, const char *stage,
                          char out[TR_LAKE_PATH_BYTES], tr_err *err)
{
    TR_TRY(tr_lake_check_id("stage", stage, err));
    return tr_lake_inside(lake, tenant, out, err, TR_LAKE_STAGING "/%s", stage);
}

/* name NULL: the batch's folder. */
static tr_code batch_path(const tr_lake *lake, const tr_tenant *tenant, const char *dataset,
                          const char *batch, const char *name, char out[TR_LAKE_PATH_BYTES],
                          tr_err *err)
{
    TR_TRY(tr_lake_check_id("dataset", dataset, err));
    TR_TRY(tr_lake_check_id("batch", batch, err));
    if (name == NULL)
        return tr_lake_inside(lake, tenant, out, err, TR_LAKE_DATA "/%s/%s", dataset, batch);
    TR_TRY(check_name(name, err));
    return tr_lake_inside(lake, tenant, out, err, TR_LAKE_DATA "/%s/%s/%s", dataset, batch, name);
}

tr_code tr_lake_create(tr_lake *lake, const tr_tenant *tenant, const char *stage, const char *name,
                       tr_lake_file *out, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES];
    tr_lake_file file = {.file = TR_FILE_NONE};
    TR_TRY(check_name(name, err));
    TR_TRY(stage_path(lake, tenant, stage, path, err));
    TR_TRY(tr_dir_make(path, err));
    TR_TRY(tr_lake_inside(lake, tenant, path, err, TR_LAKE_STAGING "/%s/%s", stage, name));
    file.hash = tr_hash_stream_open();
    file.path = tr_copy_text(tr_str_of(path));
    const tr_code code = file.hash == NULL || file.path == NULL
                             ? TR_FAIL(err, TR_NO_MEMORY, "no memory to write \"%s\"", name)
                             : tr_file_replace(path, &file.file, err);
    if (code == TR_OK) {
        *out = file;
        return TR_OK;
    }
    tr_hash_stream_close(file.hash);
    tr_free(file.path);
    return code;
}

tr_code tr_lake_write(void *ctx, tr_str bytes, tr_err *err)
{
    tr_lake_file *file = ctx;
    TR_TRY(tr_file_write(&file->file, bytes, err));
    tr_hash_stream_add(file->hash, bytes);
    return TR_OK;
}

tr_code tr_lake_finish(tr_lake_file *file, tr_lake_written *out, tr_err *err)
{
    TR_TRY(tr_file_sync(&file->file, err));
    out->bytes = file->file.bytes;
    tr_hash128_text(tr_hash_stream_now(file->hash), out->xxh128);
    tr_free(file->path);
    file->path = NULL;
    tr_lake_abandon(file);
    tr_crash_point("lake_finished");
    return TR_OK;
}

void tr_lake_abandon(tr_lake_file *file)
{
    tr_file_close(&file->file);
    tr_hash_stream_close(file->hash);
    file->hash = NULL;
    if (file->path != NULL && tr_file_remove(file->path, NULL) != TR_OK)
        tr_log(TR_LOG_WARN, "lake", "unfinished_file_kept", "name=%s", file->file.name);
    tr_free(file->path);
    file->path = NULL;
}

tr_code tr_lake_publish(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                        const char *dataset, const char *batch, tr_err *err)
{
    char from[TR_LAKE_PATH_BYTES], to[TR_LAKE_PATH_BYTES], parent[TR_LAKE_PATH_BYTES];
    TR_TRY(stage_path(lake, tenant, stage, from, err));
    TR_TRY(batch_path(lake, tenant, dataset, batch, NULL, to, err));
    TR_TRY(tr_lake_inside(lake, tenant, parent, err, TR_LAKE_DATA "/%s", dataset));
    const bool is_staged = tr_path_exists(from), is_there = tr_path_exists(to);
    if (is_staged && is_there)
        return TR_FAIL(err, TR_CONFLICT, "batch \"%s\" is already published", batch);
    if (!is_staged && !is_there)
        return TR_FAIL(err, TR_NOT_FOUND, "there is no stage \"%s\" to publish", stage);
    if (is_staged)
        TR_TRY(tr_dir_sync(from, err));
    TR_TRY(tr_lake_make_durable(lake, parent, err));
    if (is_there) /* renamed before a crash, perhaps before it was synced */
        return tr_dir_sync(parent, err);
    tr_crash_point("lake_staged");
    TR_TRY(tr_path_rename(from, to, err));
    tr_crash_point("lake_renamed");
    return TR_OK;
}

tr_code tr_lake_add(tr_lake *lake, const tr_tenant *tenant, const char *stage, const char *name,
                    const char *dataset, const char *batch, const char *new_name, tr_err *err)
{
    char from[TR_LAKE_PATH_BYTES], to[TR_LAKE_PATH_BYTES];
    TR_TRY(check_name(name, err));
    TR_TRY(tr_lake_check_id("stage", stage, err));
    TR_TRY(tr_lake_inside(lake, tenant, from, err, TR_LAKE_STAGING "/%s/%s", stage, name));
    TR_TRY(batch_path(lake, tenant, dataset, batch, new_name, to, err));
    return tr_path_rename(from, to, err);
}

tr_code tr_lake_remove_file(tr_lake *lake, const tr_tenant *tenant, const char *dataset,
                            const char *batch, const char *name, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES];
    TR_TRY(batch_path(lake, tenant, dataset, batch, name, path, err));
    return tr_file_remove(path, err);
}

tr_code tr_lake_drop_stage(tr_lake *lake, const tr_tenant *tenant, const char *stage, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES];
    TR_TRY(stage_path(lake, tenant, stage, path, err));
    return tr_dir_remove(path, err);
}

static bool is_same(tr_str bytes, const tr_lake_written *expected)
{
    char hash[33];
    if (bytes.len != expected->bytes)
        return false;
    tr_hash128_text(tr_hash128_of(bytes), hash);
    return strcmp(hash, expected->xxh128) == 0;
}

tr_code tr_lake_map_stage(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                          const char *name, tr_map *out, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES];
    TR_TRY(tr_lake_check_id("stage", stage, err));
    TR_TRY(check_name(name, err));
    TR_TRY(tr_lake_inside(lake, tenant, path, err, TR_LAKE_STAGING "/%s/%s", stage, name));
    return tr_map_open(path, out, err);
}

bool tr_lake_stage_has(tr_lake *lake, const tr_tenant *tenant, const char *stage, const char *name,
                       const tr_lake_written *expected)
{
    tr_map map;
    if (tr_lake_map_stage(lake, tenant, stage, name, &map, NULL) != TR_OK)
        return false;
    const bool has = is_same(map.bytes, expected);
    tr_map_close(&map);
    return has;
}

tr_code tr_lake_map(tr_lake *lake, const tr_tenant *tenant, const char *dataset, const char *batch,
                    const char *name, tr_map *out, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES];
    TR_TRY(check_name(name, err));
    TR_TRY(batch_path(lake, tenant, dataset, batch, name, path, err));
    return tr_map_open(path, out, err);
}

bool tr_lake_has(tr_lake *lake, const tr_tenant *tenant, const char *dataset, const char *batch,
                 const char *name, const tr_lake_written *expected)
{
    tr_map map = {0};
    if (tr_lake_map(lake, tenant, dataset, batch, name, &map, NULL) != TR_OK)
        return false;
    const bool has = is_same(map.bytes, expected);
    tr_map_close(&map);
    return has;
}

tr_code tr_lake_path(tr_lake *lake, const tr_tenant *tenant, const char *dataset, const char *batch,
                     const char *name, tr_buf *out, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES];
    TR_TRY(batch_path(lake, tenant, dataset, batch, name, path, err));
    TR_TRY(tr_buf_reserve(out, strlen(path) + 1, err));
    memcpy(out->at + out->len, path, strlen(path) + 1);
    out->len += strlen(path);
    return TR_OK;
}

tr_code tr_lake_data_folder(tr_lake *lake, const tr_tenant *tenant, tr_buf *out, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES];
    TR_TRY(tr_lake_inside(lake, tenant, path, err, TR_LAKE_DATA));
    TR_TRY(tr_lake_make_durable(lake, path, err));
    TR_TRY(tr_buf_reserve(out, strlen(path) + 1, err));
    memcpy(out->at + out->len, path, strlen(path) + 1);
    out->len += strlen(path);
    return TR_OK;
}

tr_code tr_lake_remove_batch(tr_lake *lake, const tr_tenant *tenant, const char *dataset,
                             const char *batch, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES], staging[TR_LAKE_PATH_BYTES];
    TR_TRY(batch_path(lake, tenant, dataset, batch, NULL, path, err));
    TR_TRY(tr_lake_inside(lake, tenant, staging, err, TR_LAKE_STAGING));
    return tr_lake_discard(lake, path, staging, err);
}

tr_code tr_lake_remove_tenant(tr_lake *lake, const tr_tenant *tenant, tr_err *err)
{
    char path[TR_LAKE_PATH_BYTES];
    TR_TRY(tr_lake_inside(lake, tenant, path, err, "."));
    path[strlen(path) - 2] = '\0';
    return tr_lake_discard(lake, path, lake->scratch, err);
}
