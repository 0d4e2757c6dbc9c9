/* SPDX-License-Identifier: Apache-2.0 */
/* fail_sync.c - preloaded into a server: a disk whose sync fails once.
 *
 * FAIL_SYNC names a file. As soon as it exists, with "<errno> <part of a path>" in it, the next
 * sync of a file or folder with that part in its path fails so. From then on every sync is noted in
 * FAIL_SYNC.seen, one path a line, the failed one first; and none fails any more: who tried again
 * would be told that all is well.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool has_failed;

static void path_of(int fd, char out[PATH_MAX])
{
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t len = readlink(link, out, PATH_MAX - 1);
    out[len < 0 ? 0 : len] = '\0';
}

/* The errno to fail with, or 0. */
static int wanted(const char *order, const char *path)
{
    int cause = 0;
    char part[256] = "";
    FILE *file = fopen(order, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%d %255s", &cause, part) != 2 || strstr(path, part) == NULL)
        cause = 0;
    (void)fclose(file);
    return cause;
}

static void note(const char *order, const char *path)
{
    char name[PATH_MAX + 8];
    (void)snprintf(name, sizeof name, "%s.seen", order);
    const int fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    (void)dprintf(fd, "%s\n", path);
    (void)close(fd);
}

/* The errno that this sync fails with, or 0. */
static int cause_of(int fd)
{
    char path[PATH_MAX];
    int cause = 0;
    const char *order = getenv("FAIL_SYNC");
    if (order == NULL)
        return 0;
    path_of(fd, path);
    (void)pthread_mutex_lock(&lock);
    if (!has_failed)
        cause = wanted(order, path);
    if (has_failed || cause != 0)
        note(order, path);
    has_failed = has_failed || cause != 0;
    (void)pthread_mutex_unlock(&lock);
    return cause;
}

static int sync_as(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const int cause = cause_of(fd);
    if (cause == 0)
        return real(fd);
    errno = cause;
    return -1;
}

int fsync(int fd)
{
    return sync_as("fsync", fd);
}

int fdatasync(int fd)
{
    return sync_as("fdatasync", fd);
}
