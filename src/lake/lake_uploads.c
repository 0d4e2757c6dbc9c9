/* SPDX-License-Identifier: Apache-2.0 */
/* lake_uploads.c - raw files of a batch, under the hash of the client's name for them.
 *
 *     uploads/<batch>/<sha-256 of the path>              acknowledged
 *     uploads/<batch>/<sha-256 of the path>.<ulid>       being written by one PUT
 *
 * Two PUTs of one path, say a client's second try while the first still runs, write two files; the
 * last rename wins. Parts go into the acknowledged file, each at its offset and synced: which of
 * them have arrived is the catalog's to know.
 */
#include "lake/lake_internal.h"

#include <stdio.h>

static tr_code upload_folder(const tr_lake *lake, const tr_tenant *tenant, const char *batch,
                             char out[TR_LAKE_PATH_BYTES], tr_err *err)
{
    TR_TRY(tr_lake_check_id("batch", batch, err));
    return tr_lake_inside(lake, tenant, out, err, TR_LAKE_UPLOADS "/%s", batch);
}

static void path_hash(tr_str path, char out[65])
{
    uint8_t hash[32];
    tr_sha256(path, hash);
    for (size_t i = 0; i < sizeof hash; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", hash[i]);
}

static tr_code upload_file(const tr_lake *lake, const tr_tenant *tenant, const char *batch,
                           tr_str path, char out[TR_LAKE_PATH_BYTES], tr_err *err)
{
    char hash[65];
    TR_TRY(tr_lake_check_id("batch", batch, err));
    path_hash(path, hash);
    return tr_lake_inside(lake, tenant, out, err, TR_LAKE_UPLOADS "/%s/%s", batch, hash);
}

static tr_code write_all(const char *path, tr_str bytes, tr_err *err)
{
    tr_file file = TR_FILE_NONE;
    TR_TRY(tr_file_create(path, &file, err));
    tr_code code = tr_file_write(&file, bytes, err);
    if (code == TR_OK)
        code = tr_file_sync(&file, err);
    tr_file_close(&file);
    return code;
}

tr_code tr_lake_upload_put(tr_lake *lake, const tr_tenant *tenant, const char *batch, tr_str path,
                           tr_str bytes, tr_err *err)
{
    char folder[TR_LAKE_PATH_BYTES], to[TR_LAKE_PATH_BYTES], from[TR_LAKE_PATH_BYTES];
    TR_TRY(upload_folder(lake, tenant, batch, folder, err));
    TR_TRY(upload_file(lake, tenant, batch, path, to, err));
    if (snprintf(from, sizeof from, "%s.%s", to, tr_id_ulid().text) >= (int)sizeof from)
        return TR_FAIL(err, TR_LIMIT, "a path is too long");
    TR_TRY(tr_lake_make_durable(lake, folder, err));
    tr_code code = write_all(from, bytes, err);
    if (code == TR_OK) {
        tr_crash_point("lake_upload_written");
        code = tr_path_rename(from, to, err);
    }
    if (code == TR_OK)
        tr_crash_point("lake_uploaded");
    else if (tr_file_remove(from, NULL) != TR_OK)
        return code; /* it goes with its batch */
    return code;
}

tr_code tr_lake_upload_part(tr_lake *lake, const tr_tenant *tenant, const char *batch, tr_str path,
                            uint64_t offset, tr_str bytes, tr_err *err)
{
    char folder[TR_LAKE_PATH_BYTES], to[TR_LAKE_PATH_BYTES];
    tr_file file = TR_FILE_NONE;
    if (offset > INT64_MAX || bytes.len > INT64_MAX - offset)
        return TR_FAIL(err, TR_LIMIT, "a part that ends behind byte %lld", (long long)INT64_MAX);
    TR_TRY(upload_folder(lake, tenant, batch, folder, err));
    TR_TRY(upload_file(lake, tenant, batch, path, to, err));
    TR_TRY(tr_lake_make_durable(lake, folder, err));
    TR_TRY(tr_file_open_rw(to, &file, err));
    tr_code code = tr_file_write_at(&file, offset, bytes, err);
    if (code == TR_OK)
        code = tr_file_sync(&file, err);
    tr_file_close(&file);
    if (code == TR_OK)
        code = tr_dir_sync(folder, err);
    if (code == TR_OK)
        tr_crash_point("lake_part_uploaded");
    return code;
}

tr_code tr_lake_upload_path(tr_lake *lake, const tr_tenant *tenant, const char *batch, tr_str path,
                            tr_buf *out, tr_err *err)
{
    char at[TR_LAKE_PATH_BYTES];
    TR_TRY(upload_file(lake, tenant, batch, path, at, err));
    TR_TRY(tr_buf_reserve(out, strlen(at) + 1, err));
    memcpy(out->at + out->len, at, strlen(at) + 1);
    out->len += strlen(at);
    return TR_OK;
}

tr_code tr_lake_upload_drop(tr_lake *lake, const tr_tenant *tenant, const char *batch, tr_err *err)
{
    char folder[TR_LAKE_PATH_BYTES], staging[TR_LAKE_PATH_BYTES];
    TR_TRY(upload_folder(lake, tenant, batch, folder, err));
    TR_TRY(tr_lake_inside(lake, tenant, staging, err, TR_LAKE_STAGING));
    return tr_lake_discard(lake, folder, staging, err);
}
