/* SPDX-License-Identifier: Apache-2.0 */
/* os.h - every system call on files that can fail, behind one table that tests replace.
 *
 * tr_os is a table of functions with the kernel's own meaning (-1 and errno). The calls below it
 * turn a failure into a tr_code and a text that names the operation and the last part of the path
 * (never the whole path: messages reach clients). A test swaps the table with tr_os_replace to make
 * the n-th write short, the disk full, or the process die at a sync.
 *
 * Threads: all calls are safe from any thread; tr_os_replace is called before threads start.
 */
#ifndef TR_OS_OS_H
#define TR_OS_OS_H

#include "base/err.h"
#include "base/memory.h"
#include "base/str.h"

#include <sys/types.h>

struct statvfs;

typedef struct tr_os {
    int (*open)(const char *path, int flags, int mode);
    ssize_t (*write)(int fd, const void *at, size_t len);
    ssize_t (*pwrite)(int fd, const void *at, size_t len, off_t offset);
    ssize_t (*pread)(int fd, void *at, size_t len, off_t offset);
    int (*fdatasync)(int fd);
    int (*fsync)(int fd);
    int (*close)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, int mode);
    int (*link)(const char *from, const char *to);
    int (*statvfs)(const char *path, struct statvfs *out);
} tr_os;

extern const tr_os tr_os_kernel;
void tr_os_replace(const tr_os *table); /* NULL: the kernel again. A lost sync is forgotten */

/* A sync that fails is the last one. What is on the disk then, nobody knows, and the kernel tells of
 * it once only: the pages count as clean, so a second try would succeed and have written nothing.
 * From there on every sync fails without being tried: nothing more is acknowledged until a new
 * process has read what there is. `tell` is called once, when it happens, to bring that about. */
void tr_os_on_lost_sync(void (*tell)(const char *name, int cause)); /* NULL: nobody */
bool tr_os_has_lost_sync(void);
/* For files that a library syncs: one of them failed. cause  of errno; 0: not known */
void tr_os_note_lost_sync(const char *name, int cause);

/* A file being written from its start to its end. */
typedef struct tr_file {
    int fd;             /* -1 when closed */
    uint64_t bytes;     /* written so far */
    char name[256];     /* last part of the path, for messages */
} tr_file;

#define TR_FILE_NONE ((tr_file){.fd = -1})

/* Creates a new file (an existing one of that name is an error: TR_CONFLICT). */
TR_MUST_CHECK tr_code tr_file_create(const char *path, tr_file *out, tr_err *err);
/* Creates it, or empties what is there. */
TR_MUST_CHECK tr_code tr_file_replace(const char *path, tr_file *out, tr_err *err);
/* Opens an existing file for reading: file->fd, to be mapped, sent or handed on. */
TR_MUST_CHECK tr_code tr_file_open(const char *path, tr_file *out, tr_err *err);
/* Opens an existing or new file for tr_file_write_at. */
TR_MUST_CHECK tr_code tr_file_open_rw(const char *path, tr_file *out, tr_err *err);
TR_MUST_CHECK tr_code tr_file_write(tr_file *file, tr_str bytes, tr_err *err);
TR_MUST_CHECK tr_code tr_file_write_at(tr_file *file, uint64_t offset, tr_str bytes, tr_err *err);
TR_MUST_CHECK tr_code tr_file_sync(tr_file *file, tr_err *err); /* see tr_os_on_lost_sync */
void tr_file_close(tr_file *file);                              /* idempotent */

/* A whole file mapped for reading; the bytes are borrowed until tr_map_close. An empty file maps to
 * an empty tr_str. */
typedef struct tr_map {
    tr_str bytes;
} tr_map;
TR_MUST_CHECK tr_code tr_map_open(const char *path, tr_map *out, tr_err *err);
void tr_map_close(tr_map *map); /* idempotent */

TR_MUST_CHECK tr_code tr_file_read_all(const char *path, tr_buf *out, tr_err *err); /* appends */
/* Writes `bytes` to a temporary neighbour, syncs, renames over path, syncs the folder. */
TR_MUST_CHECK tr_code tr_file_put(const char *path, tr_str bytes, tr_err *err);

TR_MUST_CHECK tr_code tr_dir_make(const char *path, tr_err *err); /* and its parents; may exist */
TR_MUST_CHECK tr_code tr_dir_sync(const char *path, tr_err *err);
/* Renames, then syncs the parent folders of both names. */
TR_MUST_CHECK tr_code tr_path_rename(const char *from, const char *to, tr_err *err);
TR_MUST_CHECK tr_code tr_file_remove(const char *path, tr_err *err); /* absent is fine */
TR_MUST_CHECK tr_code tr_dir_remove(const char *path, tr_err *err);  /* with all in it; absent is fine */
/* A second name for a file, so that its bytes stay when the first one goes; a copy of it where the file
 * system has no such thing. TR_NOT_FOUND: the file has gone already */
TR_MUST_CHECK tr_code tr_file_link(const char *from, const char *to, tr_err *err);
bool tr_path_exists(const char *path);
TR_MUST_CHECK tr_code tr_file_bytes(const char *path, uint64_t *out, tr_err *err);
/* Bytes of the file system that a folder is on: left to this process, and all. */
TR_MUST_CHECK tr_code tr_dir_space(const char *path, uint64_t *left, uint64_t *all, tr_err *err);

/* Calls `each` with the name of every entry but . and .., in byte order. */
typedef tr_code (*tr_dir_entry)(void *ctx, const char *name, tr_err *err);
TR_MUST_CHECK tr_code tr_dir_list(const char *path, tr_dir_entry each, void *ctx, tr_err *err);

/* For tests: kills the process here, by SIGKILL, when the environment has TR_CRASH_AT=<name>, or
 * TR_CRASH_AT=<name>:<n> at the n-th passage; waits here, when it has TR_HOLD_AT=<name>:<path>, as
 * long as a file of that path is there, and makes one of the path with ".held" behind it meanwhile.
 * Nothing in a release build started without them. */
void tr_crash_point(const char *name);

#endif
