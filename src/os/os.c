/* SPDX-License-Identifier: Apache-2.0 */
/* os.c - see os.h. */
#include "os/os.h"
#include "base/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int kernel_open(const char *path, int flags, int mode)
{
    return open(path, flags | O_CLOEXEC, mode);
}

static int kernel_mkdir(const char *path, int mode)
{
    return mkdir(path, (mode_t)mode);
}

const tr_os tr_os_kernel = {.open = kernel_open,
                            .write = write,
                            .pwrite = pwrite,
                            .pread = pread,
                            .fdatasync = fdatasync,
                            .fsync = fsync,
                            .close = close,
                            .rename = rename,
                            .unlink = unlink,
                            .mkdir = kernel_mkdir,
                            .link = link,
                            .statvfs = statvfs};

static const tr_os *os = &tr_os_kernel;
static _Atomic bool has_lost_sync;
static void (*_Atomic tell_of_lost_sync)(const char *name, int cause);

void tr_os_replace(const tr_os *table)
{
    os = table == NULL ? &tr_os_kernel : table;
    atomic_store(&has_lost_sync, false);
}

void tr_os_on_lost_sync(void (*tell)(const char *name, int cause))
{
    atomic_store(&tell_of_lost_sync, tell);
}

bool tr_os_has_lost_sync(void)
{
    return atomic_load(&has_lost_sync);
}

void tr_os_note_lost_sync(const char *name, int cause)
{
    void (*tell)(const char *, int) = atomic_load(&tell_of_lost_sync);
    if (!atomic_exchange(&has_lost_sync, true) && tell != NULL)
        tell(name, cause);
}

static bool is_synced(int (*sync)(int fd), int fd, const char *name)
{
    if (tr_os_has_lost_sync()) {
        errno = EIO;
        return false;
    }
    if (sync(fd) == 0)
        return true;
    const int cause = errno;
    tr_os_note_lost_sync(name, cause);
    errno = cause;
    return false;
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static tr_code failed(tr_err *err, const char *operation, const char *path)
{
    const int cause = errno;
    const tr_code code = cause == ENOSPC || cause == EDQUOT ? TR_NO_SPACE
                         : cause == ENOENT                  ? TR_NOT_FOUND
                         : cause == EEXIST                  ? TR_CONFLICT
                         : cause == ENOMEM                  ? TR_NO_MEMORY
                                                            : TR_IO;
    char text[128];
    return TR_FAIL(err, code, "%s \"%s\": %s", operation, last_part(path),
                   strerror_r(cause, text, sizeof text));
}

static tr_code open_file(const char *path, int flags, tr_file *out, tr_err *err)
{
    const int fd = os->open(path, flags, 0640);
    if (fd < 0)
        return failed(err, "open", path);
    *out = (tr_file){.fd = fd};
    (void)snprintf(out->name, sizeof out->name, "%s", last_part(path));
    return TR_OK;
}

tr_code tr_file_create(const char *path, tr_file *out, tr_err *err)
{
    return open_file(path, O_WRONLY | O_CREAT | O_EXCL, out, err);
}

tr_code tr_file_replace(const char *path, tr_file *out, tr_err *err)
{
    return open_file(path, O_WRONLY | O_CREAT | O_TRUNC, out, err);
}

tr_code tr_file_open(const char *path, tr_file *out, tr_err *err)
{
    return open_file(path, O_RDONLY, out, err);
}

tr_code tr_file_open_rw(const char *path, tr_file *out, tr_err *err)
{
    return open_file(path, O_RDWR | O_CREAT, out, err);
}

tr_code tr_file_write(tr_file *file, tr_str bytes, tr_err *err)
{
    while (bytes.len > 0) {
        const ssize_t written = os->write(file->fd, bytes.at, bytes.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return failed(err, "write", file->name);
        bytes = tr_str_from(bytes, (size_t)written);
        file->bytes += (uint64_t)written;
    }
    return TR_OK;
}

tr_code tr_file_write_at(tr_file *file, uint64_t offset, tr_str bytes, tr_err *err)
{
    while (bytes.len > 0) {
        const ssize_t written = os->pwrite(file->fd, bytes.at, bytes.len, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return failed(err, "write", file->name);
        bytes = tr_str_from(bytes, (size_t)written);
        offset += (uint64_t)written;
    }
    return TR_OK;
}

tr_code tr_file_sync(tr_file *file, tr_err *err)
{
    return is_synced(os->fdatasync, file->fd, file->name) ? TR_OK
                                                          : failed(err, "sync", file->name);
}

void tr_file_close(tr_file *file)
{
    if (file->fd >= 0)
        (void)os->close(file->fd); /* what had to reach the disk was synced before */
    file->fd = -1;
}

tr_code tr_map_open(const char *path, tr_map *out, tr_err *err)
{
    struct stat about;
    const int fd = os->open(path, O_RDONLY, 0);
    if (fd < 0)
        return failed(err, "open", path);
    tr_code code = TR_OK;
    void *at = NULL;
    if (fstat(fd, &about) != 0)
        code = failed(err, "stat", path);
    else if (about.st_size > 0) {
        at = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
            code = failed(err, "map", path);
    }
    (void)os->close(fd);
    if (code == TR_OK)
        *out = (tr_map){{at, (size_t)about.st_size}};
    return code;
}

void tr_map_close(tr_map *map)
{
    union { const uint8_t *in; void *out; } at = {.in = map->bytes.at}; /* munmap takes no const */
    if (map->bytes.len > 0)
        (void)munmap(at.out, map->bytes.len);
    map->bytes = (tr_str){NULL, 0};
}

tr_code tr_file_read_all(const char *path, tr_buf *out, tr_err *err)
{
    tr_map map;
    TR_TRY(tr_map_open(path, &map, err));
    const tr_code code = tr_buf_append(out, map.bytes, err);
    tr_map_close(&map);
    return code;
}

/* The folder of path, as a NUL-terminated copy in `out`. */
static tr_code folder_of(const char *path, char out[4096], tr_err *err)
{
    const char *slash = strrchr(path, '/');
    const size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    if (len >= 4096)
        return TR_FAIL(err, TR_LIMIT, "a path of %zu bytes is too long", len);
    if (slash == NULL)
        (void)snprintf(out, 4096, ".");
    else
        (void)snprintf(out, 4096, "%.*s", (int)(len == 0 ? 1 : len), path);
    return TR_OK;
}

tr_code tr_file_put(const char *path, tr_str bytes, tr_err *err)
{
    char temporary[4096];
    tr_file file = TR_FILE_NONE;
    if (snprintf(temporary, sizeof temporary, "%s.tmp", path) >= (int)sizeof temporary)
        return TR_FAIL(err, TR_LIMIT, "a path is too long");
    tr_code code = tr_file_replace(temporary, &file, err);
    if (code == TR_OK)
        code = tr_file_write(&file, bytes, err);
    if (code == TR_OK)
        code = tr_file_sync(&file, err);
    tr_file_close(&file);
    if (code == TR_OK)
        code = tr_path_rename(temporary, path, err);
    return code;
}

tr_code tr_dir_make(const char *path, tr_err *err)
{
    char partial[4096];
    const size_t len = strlen(path);
    if (len >= sizeof partial)
        return TR_FAIL(err, TR_LIMIT, "a path of %zu bytes is too long", len);
    for (size_t i = 1; i <= len; i++) {
        if (i < len && path[i] != '/')
            continue;
        memcpy(partial, path, i);
        partial[i] = '\0';
        if (os->mkdir(partial, 0750) != 0 && errno != EEXIST)
            return failed(err, "make folder", partial);
    }
    return TR_OK;
}

tr_code tr_dir_sync(const char *path, tr_err *err)
{
    const int fd = os->open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return failed(err, "open folder", path);
    const tr_code code = is_synced(os->fsync, fd, last_part(path))
                             ? TR_OK
                             : failed(err, "sync folder", path);
    (void)os->close(fd);
    return code;
}

tr_code tr_path_rename(const char *from, const char *to, tr_err *err)
{
    char from_folder[4096], to_folder[4096];
    TR_TRY(folder_of(from, from_folder, err));
    TR_TRY(folder_of(to, to_folder, err));
    if (os->rename(from, to) != 0)
        return failed(err, "rename", from);
    TR_TRY(tr_dir_sync(to_folder, err));
    return strcmp(from_folder, to_folder) == 0 ? TR_OK : tr_dir_sync(from_folder, err);
}

tr_code tr_file_remove(const char *path, tr_err *err)
{
    if (os->unlink(path) == 0 || errno == ENOENT)
        return TR_OK;
    return failed(err, "remove", path);
}

typedef struct removal {
    const char *folder;
} removal;

static tr_code remove_entry(void *ctx, const char *name, tr_err *err)
{
    const removal *inside = ctx;
    char path[4096];
    struct stat about;
    if (snprintf(path, sizeof path, "%s/%s", inside->folder, name) >= (int)sizeof path)
        return TR_FAIL(err, TR_LIMIT, "a path is too long");
    if (lstat(path, &about) != 0)
        return errno == ENOENT ? TR_OK : failed(err, "stat", path);
    return S_ISDIR(about.st_mode) ? tr_dir_remove(path, err) : tr_file_remove(path, err);
}

tr_code tr_dir_remove(const char *path, tr_err *err)
{
    removal inside = {path};
    if (!tr_path_exists(path))
        return TR_OK;
    TR_TRY(tr_dir_list(path, remove_entry, &inside, err));
    return rmdir(path) == 0 || errno == ENOENT ? TR_OK : failed(err, "remove folder", path);
}

bool tr_path_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

tr_code tr_file_bytes(const char *path, uint64_t *out, tr_err *err)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return failed(err, "stat", path);
    *out = (uint64_t)about.st_size;
    return TR_OK;
}

tr_code tr_dir_space(const char *path, uint64_t *left, uint64_t *all, tr_err *err)
{
    struct statvfs about;
    if (os->statvfs(path, &about) != 0)
        return failed(err, "look at the space of", path);
    *left = (uint64_t)about.f_bavail * about.f_frsize;
    *all = (uint64_t)about.f_blocks * about.f_frsize;
    return TR_OK;
}

static int is_real_entry(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

tr_code tr_dir_list(const char *path, tr_dir_entry each, void *ctx, tr_err *err)
{
    struct dirent **entries = NULL;
    const int count = scandir(path, &entries, is_real_entry, by_bytes);
    if (count < 0)
        return failed(err, "list folder", path);
    tr_code code = TR_OK;
    for (int i = 0; i < count; i++) {
        if (code == TR_OK)
            code = each(ctx, entries[i]->d_name, err);
        free(entries[i]); /* tidy: scandir's own memory, so libc's own free */
    }
    free(entries); /* tidy: the same */
    return code;
}

/* What stands behind "<name>:" in an environment variable, "" behind "<name>" alone; NULL: it is
 * not there, or names another point. */
static const char *told_of_point(const char *variable, const char *name)
{
    const char *wanted = getenv(variable);
    const size_t len = strlen(name);
    if (wanted == NULL || strncmp(wanted, name, len) != 0)
        return NULL;
    return wanted[len] == ':' ? wanted + len + 1 : wanted[len] == '\0' ? wanted + len : NULL;
}

static void hold(const char *path)
{
    char held[4096];
    (void)snprintf(held, sizeof held, "%s.held", path);
    while (tr_path_exists(path)) {
        const int fd = open(held, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
        if (fd >= 0)
            (void)close(fd);
        (void)usleep(1000);
    }
}

void tr_crash_point(const char *name)
{
    static _Atomic long passages;
    const char *path = told_of_point("TR_HOLD_AT", name);
    const char *passage = told_of_point("TR_CRASH_AT", name);
    if (path != NULL)
        hold(path);
    if (passage == NULL)
        return;
    /* tidy: strtol, because only tests set it and any number will do */
    if (atomic_fetch_add(&passages, 1) + 1 >= (*passage == '\0' ? 1 : strtol(passage, NULL, 10)))
        (void)kill(getpid(), SIGKILL);
}

/* Links --------------------------------------------------------------------------------------- */

static tr_code copy_file(const char *from, const char *to, tr_err *err)
{
    tr_map map = {0};
    tr_file file = TR_FILE_NONE;
    TR_TRY(tr_map_open(from, &map, err));
    tr_code code = tr_file_replace(to, &file, err);
    if (code == TR_OK)
        code = tr_file_write(&file, map.bytes, err);
    tr_file_close(&file);
    tr_map_close(&map);
    return code;
}

tr_code tr_file_link(const char *from, const char *to, tr_err *err)
{
    if (os->link(from, to) == 0)
        return TR_OK;
    /* another file system, one without links, too many of them, or another owner's file */
    if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == EOPNOTSUPP ||
        errno == ENOSYS)
        return copy_file(from, to, err);
    return failed(err, "hold", from);
}
