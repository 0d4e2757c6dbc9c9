/* SPDX-License-Identifier: Apache-2.0 */
/* catalog_vfs.c - the files of SQLite, as it makes them itself; but a sync that fails is the last.
 *
 *     SQLite --> this layer --> SQLite's own files
 *
 * SQLite gives up the statement whose sync failed, and goes on: the next commit would sync the same
 * log again, and a checkpoint whose sync fails it does not even tell of. Both would build on pages
 * that the kernel has dropped (see tr_os_on_lost_sync). So syncs pass through here: one that fails
 * is noted, and from there on they fail untried, also the checkpoint of the last connection's end,
 * which leaves the log to the next process.
 */
#include "catalog/catalog_internal.h"
#include "os/os.h"

#include <errno.h>
#include <stdio.h>

typedef struct tr_vfs_file {
    sqlite3_file base; /* first: SQLite's view of it */
    const char *name;  /* last part of its path; SQLite keeps it while the file is open */
    bool is_new;       /* its name may not be in its folder on the disk */
    char folder[512];
    sqlite3_file *real; /* behind this struct */
} tr_vfs_file;

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((tr_vfs_file *)file)->real;
}

/* Handed on as they are ----------------------------------------------------------------------- */

#define REAL(file, call, ...) real_of(file)->pMethods->call(real_of(file), ##__VA_ARGS__)

static int vfs_close(sqlite3_file *file)
{
    return REAL(file, xClose);
}

static int vfs_read(sqlite3_file *file, void *at, int len, sqlite3_int64 offset)
{
    return REAL(file, xRead, at, len, offset);
}

static int vfs_write(sqlite3_file *file, const void *at, int len, sqlite3_int64 offset)
{
    return REAL(file, xWrite, at, len, offset);
}

static int vfs_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return REAL(file, xTruncate, size);
}

static int vfs_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return REAL(file, xFileSize, size);
}

static int vfs_lock(sqlite3_file *file, int level)
{
    return REAL(file, xLock, level);
}

static int vfs_unlock(sqlite3_file *file, int level)
{
    return REAL(file, xUnlock, level);
}

static int vfs_is_reserved(sqlite3_file *file, int *out)
{
    return REAL(file, xCheckReservedLock, out);
}

static int vfs_control(sqlite3_file *file, int operation, void *arg)
{
    return REAL(file, xFileControl, operation, arg);
}

static int vfs_sector(sqlite3_file *file)
{
    return REAL(file, xSectorSize);
}

static int vfs_device(sqlite3_file *file)
{
    return REAL(file, xDeviceCharacteristics);
}

static int vfs_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return REAL(file, xShmMap, page, size, extend, out);
}

static int vfs_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return REAL(file, xShmLock, offset, count, flags);
}

static void vfs_shm_barrier(sqlite3_file *file)
{
    REAL(file, xShmBarrier);
}

static int vfs_shm_unmap(sqlite3_file *file, int must_remove)
{
    return REAL(file, xShmUnmap, must_remove);
}

/* Syncs --------------------------------------------------------------------------------------- */

/* A new file's name, which SQLite syncs too, but without looking whether that succeeds. */
static int sync_folder(tr_vfs_file *file)
{
    if (!file->is_new)
        return SQLITE_OK;
    if (tr_dir_sync(file->folder, NULL) != TR_OK)
        return SQLITE_IOERR_DIR_FSYNC;
    file->is_new = false;
    return SQLITE_OK;
}

static int vfs_sync(sqlite3_file *base, int flags)
{
    tr_vfs_file *file = (tr_vfs_file *)base;
    if (tr_os_has_lost_sync())
        return SQLITE_IOERR_FSYNC;
    const int folder_result = sync_folder(file);
    if (folder_result != SQLITE_OK)
        return folder_result;
    errno = 0;
    const int result = file->real->pMethods->xSync(file->real, flags);
    if (result != SQLITE_OK)
        tr_os_note_lost_sync(file->name, errno);
    return result;
}

/* Opening ------------------------------------------------------------------------------------- */

/* xFetch is left out (version 2): nothing is mapped. */
static const sqlite3_io_methods methods = {.iVersion = 2,
                                           .xClose = vfs_close,
                                           .xRead = vfs_read,
                                           .xWrite = vfs_write,
                                           .xTruncate = vfs_truncate,
                                           .xSync = vfs_sync,
                                           .xFileSize = vfs_size,
                                           .xLock = vfs_lock,
                                           .xUnlock = vfs_unlock,
                                           .xCheckReservedLock = vfs_is_reserved,
                                           .xFileControl = vfs_control,
                                           .xSectorSize = vfs_sector,
                                           .xDeviceCharacteristics = vfs_device,
                                           .xShmMap = vfs_shm_map,
                                           .xShmLock = vfs_shm_lock,
                                           .xShmBarrier = vfs_shm_barrier,
                                           .xShmUnmap = vfs_shm_unmap};

static sqlite3_vfs *real_vfs(sqlite3_vfs *vfs)
{
    return vfs->pAppData;
}

static int vfs_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *base, int flags,
                    int *out_flags)
{
    tr_vfs_file *file = (tr_vfs_file *)base;
    const char *slash = path == NULL ? NULL : strrchr(path, '/');
    *file = (tr_vfs_file){.name = slash == NULL ? "catalog" : slash + 1,
                          .real = (sqlite3_file *)(file + 1)};
    const size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (len >= sizeof file->folder)
        return SQLITE_CANTOPEN;
    (void)snprintf(file->folder, sizeof file->folder, "%.*s", (int)len, len == 0 ? "/" : path);
    file->is_new = slash != NULL && (flags & SQLITE_OPEN_CREATE) != 0;
    const int result = real_vfs(vfs)->xOpen(real_vfs(vfs), path, file->real, flags, out_flags);
    /* SQLite closes what has methods, even when it did not open */
    file->base.pMethods = file->real->pMethods == NULL ? NULL : &methods;
    return result;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *path, int must_sync)
{
    if (must_sync && tr_os_has_lost_sync())
        return SQLITE_IOERR_DIR_FSYNC;
    const int result = real_vfs(vfs)->xDelete(real_vfs(vfs), path, must_sync);
    if (result == SQLITE_IOERR_DIR_FSYNC)
        tr_os_note_lost_sync("catalog", errno);
    return result;
}

static sqlite3_vfs layer;

static void register_layer(void)
{
    sqlite3_vfs *real = sqlite3_vfs_find(NULL);
    if (real == NULL)
        return;
    layer = *real; /* its other calls do not look at which of the two they are called with */
    layer.pNext = NULL;
    layer.zName = "tributary";
    layer.pAppData = real;
    layer.szOsFile = (int)sizeof(tr_vfs_file) + real->szOsFile;
    layer.xOpen = vfs_open;
    layer.xDelete = vfs_delete;
    (void)sqlite3_vfs_register(&layer, 0);
}

const char *tr_catalog_vfs(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_layer);
    return layer.zName;
}

/* The log of a process that lost a sync may be in the kernel's memory only, and count as clean. */
tr_code tr_catalog_rewrite_log(sqlite3 *db, tr_err *err)
{
    enum { PIECE_BYTES = 64 * 1024 };
    sqlite3_file *log = NULL;
    sqlite3_int64 size = 0;
    tr_code code = TR_OK;
    int result = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (result != SQLITE_OK || log == NULL || log->pMethods == NULL)
        return TR_OK; /* no log, nothing in it */
    uint8_t *piece = tr_alloc_array(PIECE_BYTES, 1);
    if (piece == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to open the catalog");
    result = log->pMethods->xFileSize(log, &size);
    for (sqlite3_int64 at = 0; result == SQLITE_OK && at < size; at += PIECE_BYTES) {
        const int len = size - at < PIECE_BYTES ? (int)(size - at) : PIECE_BYTES;
        result = log->pMethods->xRead(log, piece, len, at);
        if (result == SQLITE_OK)
            result = log->pMethods->xWrite(log, piece, len, at);
    }
    if (result == SQLITE_OK && size > 0)
        result = log->pMethods->xSync(log, SQLITE_SYNC_FULL);
    if (result != SQLITE_OK)
        code = tr_catalog_failed(result, "open the catalog", err);
    tr_free(piece);
    return code;
}
