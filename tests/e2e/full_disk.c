/* SPDX-License-Identifier: Apache-2.0 */
/* full_disk.c - preloaded into a server: a disk that is full, or slow, while a file says so.
 *
 * FULL_DISK names a file. While it exists, with "<errno> <part of a path>" in it, nothing with that
 * part in its path can be made or written: open that creates, write, mkdir, rename to it. With
 * "0 <part>" a write to such a file waits until the file is gone. FULL_DISK.seen is made as soon as
 * one fails or waits.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NOTHING = -1, LOOK_US = 2000 };

static void path_of(int fd, char out[PATH_MAX])
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t len = readlink(link, out, PATH_MAX - 1);
    out[len < 0 ? 0 : len] = '\0';
}

/* The errno that the order has for this path, or NOTHING. */
static int ordered(const char *path)
{
    int cause = NOTHING;
    char part[256] = "", text[320] = "", seen[PATH_MAX + 8];
    const char *order = getenv("FULL_DISK");
    if (order == NULL || path[0] != '/')
        return NOTHING;
    /* not by open(), which is below */
    const int fd = (int)syscall(SYS_openat, AT_FDCWD, order, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0)
        return NOTHING;
    const ssize_t len = read(fd, text, sizeof text - 1);
    (void)close(fd);
    if (len <= 0 || sscanf(text, "%d %255s", &cause, part) != 2 || strstr(path, part) == NULL)
        return NOTHING;
    (void)snprintf(seen, sizeof seen, "%s.seen", order);
    (void)close((int)syscall(SYS_openat, AT_FDCWD, seen, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    return cause;
}

static bool is_refused(const char *path)
{
    const int saved = errno, cause = ordered(path);
    errno = cause > 0 ? cause : saved;
    return cause > 0;
}

static bool is_write_refused(int fd)
{
    char path[PATH_MAX];
    const int saved = errno;
    path_of(fd, path);
    int cause = ordered(path);
    while (cause == 0) {
        (void)usleep(LOOK_US);
        cause = ordered(path);
    }
    errno = cause > 0 ? cause : saved;
    return cause > 0;
}

static bool is_creation_refused(const char *path, int flags)
{
    struct stat about;
    return (flags & O_CREAT) != 0 && stat(path, &about) != 0 && is_refused(path);
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))
typedef int (*open_fn)(const char *, int, ...);
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);

static int open_as(const char *name, const char *path, int flags, mode_t mode)
{
    return is_creation_refused(path, flags) ? -1 : REAL(open_fn, name)(path, flags, mode);
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        const mode_t mode = (mode_t)va_arg(args, int);                                             \
        va_end(args);                                                                              \
        return open_as(#name, path, flags, mode);                                                  \
    }
OPEN(open)
OPEN(open64)

ssize_t write(int fd, const void *at, size_t len)
{
    return is_write_refused(fd) ? -1
                                : REAL(ssize_t(*)(int, const void *, size_t), "write")(fd, at, len);
}

#define PWRITE(name)                                                                               \
    ssize_t name(int fd, const void *at, size_t len, off_t offset)                                 \
    {                                                                                              \
        return is_write_refused(fd) ? -1 : REAL(pwrite_fn, #name)(fd, at, len, offset);            \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

int mkdir(const char *path, mode_t mode)
{
    struct stat about;
    if (stat(path, &about) != 0 && is_refused(path))
        return -1;
    return REAL(int (*)(const char *, mode_t), "mkdir")(path, mode);
}

int rename(const char *from, const char *to)
{
    return is_refused(to) ? -1 : REAL(int (*)(const char *, const char *), "rename")(from, to);
}
