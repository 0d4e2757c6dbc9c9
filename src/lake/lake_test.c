/* SPDX-License-Identifier: Apache-2.0 */
/* lake_test.c - a batch is there whole or not at all, whatever fails and wherever the process dies.
 *
 * Method: one scenario (stage two files, publish, upload, remove) is run again and again with a
 * replaced table of system calls, each time failing at the next call, until it runs through; and in
 * a child process that is killed at each crash point. After every one the lake is looked at.
 */
#include "base/test.h"
#include "lake/lake.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define DATASET "64b0c0ffee0000000000a001"
#define BATCH "01HB3K4W6T9N4S3J2M8Q7R5V1A"
#define STAGE "export-1"

static char folder[] = "/tmp/tr_lake_test_XXXXXX";
static const tr_tenant ours = {.folder = "00000000000000000000000000000001"};
static const tr_tenant theirs = {.folder = "00000000000000000000000000000002"};

static const char *inside(const char *rest)
{
    static char path[300];
    (void)snprintf(path, sizeof path, "%s/lake%s", folder, rest);
    return path;
}

static tr_lake *open_lake(void)
{
    tr_lake *lake = NULL;
    if (tr_lake_open(folder, &lake, NULL) != TR_OK)
        exit(1);
    return lake;
}

/* An empty lake. */
static tr_lake *fresh_lake(void)
{
    if (tr_dir_remove(inside(""), NULL) != TR_OK)
        exit(1);
    return open_lake();
}

static tr_code stage_file(tr_lake *lake, const tr_tenant *tenant, const char *name,
                          const char *text, tr_lake_written *out, tr_err *err)
{
    tr_lake_file file;
    TR_TRY(tr_lake_create(lake, tenant, STAGE, name, &file, err));
    tr_code code = tr_lake_write(&file, tr_str_of(text), err);
    if (code == TR_OK)
        code = tr_lake_write(&file, tr_str_of("."), err);
    if (code == TR_OK)
        code = tr_lake_finish(&file, out, err);
    tr_lake_abandon(&file);
    return code;
}

static bool has_bytes(tr_lake *lake, const tr_tenant *tenant, const char *name, const char *text)
{
    tr_map map = {{NULL, 0}};
    if (tr_lake_map(lake, tenant, DATASET, BATCH, name, &map, NULL) != TR_OK)
        return false;
    const bool has = tr_str_is(map.bytes, text);
    tr_map_close(&map);
    return has;
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *listing = opendir("/proc/self/fd");
    while (listing != NULL && readdir(listing) != NULL)
        count++;
    if (listing != NULL)
        (void)closedir(listing);
    return count;
}

static void a_published_batch_is_read_back(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written = {0};
    char hash[33];
    CHECK(stage_file(lake, &ours, "part-0", "one", &written, NULL) == TR_OK);
    tr_hash128_text(tr_hash128_of(tr_str_of("one.")), hash);
    CHECK(written.bytes == 4 && strcmp(written.xxh128, hash) == 0);
    CHECK(!has_bytes(lake, &ours, "part-0", "one."));
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, NULL) == TR_OK);
    CHECK(has_bytes(lake, &ours, "part-0", "one."));
    CHECK(!tr_path_exists(inside("/00000000000000000000000000000001/staging/" STAGE)));
    CHECK(tr_lake_remove_batch(lake, &ours, DATASET, BATCH, NULL) == TR_OK);
    CHECK(!has_bytes(lake, &ours, "part-0", "one."));
    CHECK(tr_lake_remove_batch(lake, &ours, DATASET, BATCH, NULL) == TR_OK);
    tr_lake_close(lake);
}

static void a_reader_keeps_a_batch_that_is_removed(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written;
    tr_map map = {{NULL, 0}};
    CHECK(stage_file(lake, &ours, "part-0", "kept", &written, NULL) == TR_OK);
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, NULL) == TR_OK);
    CHECK(tr_lake_map(lake, &ours, DATASET, BATCH, "part-0", &map, NULL) == TR_OK);
    CHECK(tr_lake_remove_batch(lake, &ours, DATASET, BATCH, NULL) == TR_OK);
    CHECK(tr_str_is(map.bytes, "kept."));
    tr_map_close(&map);
    tr_lake_close(lake);
}

static void a_file_is_added_to_a_published_batch_and_another_goes(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written;
    tr_map map = {{NULL, 0}};
    CHECK(stage_file(lake, &ours, "part-0", "old", &written, NULL) == TR_OK);
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, NULL) == TR_OK);
    CHECK(stage_file(lake, &ours, "part-0", "new", &written, NULL) == TR_OK);
    CHECK(tr_lake_add(lake, &ours, STAGE, "part-1", DATASET, BATCH, "x", NULL) == TR_NOT_FOUND);
    CHECK(tr_lake_add(lake, &ours, STAGE, "part-0", DATASET, BATCH, "../x", NULL) == TR_INVALID);
    CHECK(tr_lake_add(lake, &ours, STAGE, "part-0", DATASET, BATCH, "part-0.r1", NULL) == TR_OK);
    CHECK(has_bytes(lake, &ours, "part-0", "old.") && has_bytes(lake, &ours, "part-0.r1", "new."));
    CHECK(tr_lake_has(lake, &ours, DATASET, BATCH, "part-0.r1", &written));
    CHECK(tr_lake_map(lake, &ours, DATASET, BATCH, "part-0", &map, NULL) == TR_OK);
    CHECK(tr_lake_remove_file(lake, &ours, DATASET, BATCH, "part-0", NULL) == TR_OK);
    CHECK(tr_lake_remove_file(lake, &ours, DATASET, BATCH, "part-0", NULL) == TR_OK);
    CHECK(!has_bytes(lake, &ours, "part-0", "old.") && tr_str_is(map.bytes, "old."));
    CHECK(has_bytes(lake, &ours, "part-0.r1", "new."));
    tr_map_close(&map);
    tr_lake_close(lake);
}

static void a_stage_knows_its_finished_files(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written, other;
    tr_lake_file file;
    CHECK(stage_file(lake, &ours, "part-0", "one", &written, NULL) == TR_OK);
    CHECK(tr_lake_stage_has(lake, &ours, STAGE, "part-0", &written));
    CHECK(!tr_lake_stage_has(lake, &ours, STAGE, "part-1", &written));
    CHECK(!tr_lake_stage_has(lake, &theirs, STAGE, "part-0", &written));
    other = written;
    other.xxh128[0] ^= 1;
    CHECK(!tr_lake_stage_has(lake, &ours, STAGE, "part-0", &other));
    other = written;
    other.bytes++;
    CHECK(!tr_lake_stage_has(lake, &ours, STAGE, "part-0", &other));
    CHECK(tr_lake_create(lake, &ours, STAGE, "part-0", &file, NULL) == TR_OK); /* again */
    CHECK(!tr_lake_stage_has(lake, &ours, STAGE, "part-0", &written));
    tr_lake_abandon(&file);
    tr_lake_abandon(&file);
    CHECK(tr_lake_drop_stage(lake, &ours, STAGE, NULL) == TR_OK);
    CHECK(tr_lake_drop_stage(lake, &ours, STAGE, NULL) == TR_OK);
    tr_lake_close(lake);
}

static void a_published_file_is_known_by_bytes_and_hash(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written, other;
    CHECK(stage_file(lake, &ours, "part-0", "one", &written, NULL) == TR_OK);
    CHECK(!tr_lake_has(lake, &ours, DATASET, BATCH, "part-0", &written));
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, NULL) == TR_OK);
    CHECK(tr_lake_has(lake, &ours, DATASET, BATCH, "part-0", &written));
    CHECK(!tr_lake_has(lake, &ours, DATASET, BATCH, "part-1", &written));
    CHECK(!tr_lake_has(lake, &theirs, DATASET, BATCH, "part-0", &written));
    other = written;
    other.xxh128[0] ^= 1;
    CHECK(!tr_lake_has(lake, &ours, DATASET, BATCH, "part-0", &other));
    other = written;
    other.bytes++;
    CHECK(!tr_lake_has(lake, &ours, DATASET, BATCH, "part-0", &other));
    tr_lake_close(lake);
}

static void an_abandoned_file_is_in_no_batch(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written;
    tr_lake_file file;
    tr_map map = {{NULL, 0}};
    CHECK(stage_file(lake, &ours, "part-0", "kept", &written, NULL) == TR_OK);
    CHECK(tr_lake_create(lake, &ours, STAGE, "part-1", &file, NULL) == TR_OK);
    CHECK(tr_lake_write(&file, tr_str_of("half"), NULL) == TR_OK);
    tr_lake_abandon(&file);
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, NULL) == TR_OK);
    CHECK(has_bytes(lake, &ours, "part-0", "kept."));
    CHECK(tr_lake_map(lake, &ours, DATASET, BATCH, "part-1", &map, NULL) == TR_NOT_FOUND);
    tr_map_close(&map);
    tr_lake_close(lake);
}

static void a_batch_is_published_once(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written;
    tr_err err;
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, &err) == TR_NOT_FOUND);
    CHECK(stage_file(lake, &ours, "part-0", "first", &written, NULL) == TR_OK);
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, NULL) == TR_OK);
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, NULL) == TR_OK); /* after a crash */
    CHECK(stage_file(lake, &ours, "part-0", "second", &written, NULL) == TR_OK);
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, &err) == TR_CONFLICT);
    CHECK(strstr(err.text, BATCH) != NULL && strstr(err.text, "tmp") == NULL);
    CHECK(has_bytes(lake, &ours, "part-0", "first."));
    tr_lake_close(lake);
}

static void names_that_could_leave_the_folder_are_refused(void)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "../a",
        "a\nb",
        "a b",
        "a%2Fb",
        "\xC3\xA4",
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890"};
    tr_lake *lake = fresh_lake();
    tr_lake_file file;
    tr_map map;
    tr_buf path = {0};
    const tr_tenant nobody = {.folder = ".."};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(tr_lake_create(lake, &ours, STAGE, bad[i], &file, NULL) == TR_INVALID);
        CHECK(tr_lake_create(lake, &ours, bad[i], "part", &file, NULL) == TR_INVALID);
        CHECK(tr_lake_map(lake, &ours, bad[i], BATCH, "part", &map, NULL) == TR_INVALID);
        CHECK(tr_lake_map(lake, &ours, DATASET, bad[i], "part", &map, NULL) == TR_INVALID);
        CHECK(tr_lake_map(lake, &ours, DATASET, BATCH, bad[i], &map, NULL) == TR_INVALID);
        CHECK(tr_lake_remove_batch(lake, &ours, bad[i], BATCH, NULL) == TR_INVALID);
        CHECK(tr_lake_upload_put(lake, &ours, bad[i], tr_str_of("x"), tr_str_of("y"), NULL) ==
              TR_INVALID);
    }
    CHECK(tr_lake_path(lake, &nobody, DATASET, BATCH, "part", &path, NULL) == TR_INVALID);
    CHECK(tr_lake_remove_tenant(lake, &nobody, NULL) == TR_INVALID);
    CHECK(path.len == 0);
    tr_buf_free(&path);
    tr_lake_close(lake);
}

static void the_longest_name_is_a_file(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written;
    char name[101];
    memset(name, 'n', 100);
    name[100] = '\0';
    CHECK(stage_file(lake, &ours, name, "one", &written, NULL) == TR_OK);
    tr_lake_close(lake);
}

static bool upload_is(tr_lake *lake, const tr_tenant *tenant, tr_str path, const char *text)
{
    tr_buf at = {0}, bytes = {0};
    CHECK(tr_lake_upload_path(lake, tenant, BATCH, path, &at, NULL) == TR_OK);
    const bool is_same = tr_file_read_all((const char *)at.at, &bytes, NULL) == TR_OK &&
                         tr_str_is(tr_buf_str(&bytes), text);
    tr_buf_free(&at);
    tr_buf_free(&bytes);
    return is_same;
}

static void an_upload_may_have_any_name(void)
{
    tr_lake *lake = fresh_lake();
    const tr_str evil = tr_str_of("../../../../etc/passwd"), empty = {NULL, 0},
                 zero = {(const uint8_t *)"a\0b", 3};
    CHECK(tr_lake_upload_put(lake, &ours, BATCH, evil, tr_str_of("1"), NULL) == TR_OK);
    CHECK(tr_lake_upload_put(lake, &ours, BATCH, empty, tr_str_of(""), NULL) == TR_OK);
    CHECK(tr_lake_upload_put(lake, &ours, BATCH, zero, tr_str_of("3"), NULL) == TR_OK);
    CHECK(upload_is(lake, &ours, evil, "1") && upload_is(lake, &ours, zero, "3"));
    CHECK(upload_is(lake, &ours, empty, "") && !upload_is(lake, &theirs, evil, "1"));
    CHECK(tr_lake_upload_put(lake, &ours, BATCH, evil, tr_str_of("new"), NULL) == TR_OK);
    CHECK(upload_is(lake, &ours, evil, "new"));
    CHECK(tr_lake_upload_drop(lake, &ours, BATCH, NULL) == TR_OK);
    CHECK(!upload_is(lake, &ours, evil, "new"));
    CHECK(tr_lake_upload_put(lake, &ours, BATCH, evil, tr_str_of("2"), NULL) == TR_OK);
    CHECK(upload_is(lake, &ours, evil, "2"));
    tr_lake_close(lake);
}

static void parts_arrive_in_any_order(void)
{
    tr_lake *lake = fresh_lake();
    const tr_str path = tr_str_of("big.json");
    CHECK(tr_lake_upload_part(lake, &ours, BATCH, path, 3, tr_str_of("def"), NULL) == TR_OK);
    CHECK(tr_lake_upload_part(lake, &ours, BATCH, path, 0, tr_str_of("abc"), NULL) == TR_OK);
    CHECK(upload_is(lake, &ours, path, "abcdef"));
    CHECK(tr_lake_upload_part(lake, &ours, BATCH, path, INT64_MAX, path, NULL) == TR_LIMIT);
    CHECK(tr_lake_upload_part(lake, &ours, BATCH, path, UINT64_MAX, path, NULL) == TR_LIMIT);
    CHECK(upload_is(lake, &ours, path, "abcdef"));
    tr_lake_close(lake);
}

typedef struct uploader {
    tr_lake *lake;
    pthread_t thread;
    char letter;
    bool has_failed;
} uploader;

static void *upload_again_and_again(void *ctx)
{
    uploader *u = ctx;
    char text[3000];
    memset(text, u->letter, sizeof text);
    for (int i = 0; i < 20; i++)
        if (tr_lake_upload_put(u->lake, &ours, BATCH, tr_str_of("same"),
                               (tr_str){(const uint8_t *)text, sizeof text}, NULL) != TR_OK)
            u->has_failed = true;
    return NULL;
}

static void of_two_uploads_at_once_one_is_kept_whole(void)
{
    enum { HANDS = 4 };
    tr_lake *lake = fresh_lake();
    tr_buf at = {0}, bytes = {0};
    uploader hands[HANDS];
    for (int i = 0; i < HANDS; i++) {
        hands[i] = (uploader){.lake = lake, .letter = (char)('a' + i)};
        CHECK(pthread_create(&hands[i].thread, NULL, upload_again_and_again, &hands[i]) == 0);
    }
    for (int i = 0; i < HANDS; i++) {
        CHECK(pthread_join(hands[i].thread, NULL) == 0);
        CHECK(!hands[i].has_failed);
    }
    CHECK(tr_lake_upload_path(lake, &ours, BATCH, tr_str_of("same"), &at, NULL) == TR_OK);
    CHECK(tr_file_read_all((const char *)at.at, &bytes, NULL) == TR_OK && bytes.len == 3000);
    for (size_t i = 1; i < bytes.len; i++)
        CHECK(bytes.at[i] == bytes.at[0]);
    tr_buf_free(&at);
    tr_buf_free(&bytes);
    tr_lake_close(lake);
}

static void tenants_do_not_meet(void)
{
    tr_lake *lake = fresh_lake();
    tr_lake_written written;
    CHECK(stage_file(lake, &ours, "part-0", "ours", &written, NULL) == TR_OK);
    CHECK(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, NULL) == TR_OK);
    CHECK(stage_file(lake, &theirs, "part-0", "theirs", &written, NULL) == TR_OK);
    CHECK(tr_lake_publish(lake, &theirs, STAGE, DATASET, BATCH, NULL) == TR_OK);
    CHECK(tr_lake_remove_tenant(lake, &theirs, NULL) == TR_OK);
    CHECK(has_bytes(lake, &ours, "part-0", "ours."));
    CHECK(!has_bytes(lake, &theirs, "part-0", "theirs."));
    CHECK(!tr_path_exists(inside("/00000000000000000000000000000002")));
    CHECK(tr_lake_remove_tenant(lake, &theirs, NULL) == TR_OK);
    tr_lake_close(lake);
}

/* ---- sweeping */

static bool knows(void *ctx, const char *tenant_folder, const char *kind, const char *id)
{
    (void)ctx;
    if (strcmp(tenant_folder, ours.folder) != 0)
        return false;
    return strcmp(id, BATCH) == 0 ? strcmp(kind, "batch") == 0 || strcmp(kind, "upload") == 0
                                  : strcmp(id, STAGE) == 0 && strcmp(kind, "stage") == 0;
}

static void put(const char *rest)
{
    char path[400];
    (void)snprintf(path, sizeof path, "%s", inside(rest));
    *strrchr(path, '/') = '\0';
    CHECK(tr_dir_make(path, NULL) == TR_OK);
    CHECK(tr_file_put(inside(rest), tr_str_of("x"), NULL) == TR_OK);
}

#define OURS "/00000000000000000000000000000001"

static void a_sweep_takes_what_nobody_knows_and_nothing_else(void)
{
    static const char *const kept[] = {OURS "/data/" DATASET "/" BATCH "/part",
                                       OURS "/uploads/" BATCH "/00", OURS "/staging/" STAGE "/part",
                                       "/notes/mine"};
    static const char *const gone[] = {OURS "/data/" DATASET "/01HB3K4W6T9N4S3J2M8Q7R5V1B/part",
                                       OURS "/data/64b0c0ffee0000000000a002/orphan/part",
                                       OURS "/uploads/01HB3K4W6T9N4S3J2M8Q7R5V1B/00",
                                       OURS "/staging/trash-01HB3K4W6T9N4S3J2M8Q7R5V1B/part",
                                       OURS "/staging/" BATCH "/part",
                                       "/scratch/query-1/a",
                                       "/scratch/body",
                                       "/00000000000000000000000000000002/data/a/b/part"};
    tr_lake *lake = fresh_lake();
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        put(kept[i]);
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        put(gone[i]);
    CHECK(tr_lake_sweep(lake, knows, NULL, NULL) == TR_OK);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        CHECK(tr_path_exists(inside(kept[i])));
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++)
        CHECK(!tr_path_exists(inside(gone[i])));
    CHECK(!tr_path_exists(inside(OURS "/data/64b0c0ffee0000000000a002")));
    CHECK(!tr_path_exists(inside("/00000000000000000000000000000002")));
    CHECK(tr_path_exists(tr_lake_scratch(lake)));
    tr_lake_close(lake);
}

/* ---- failing system calls */

static uint64_t calls, failing; /* the call that fails; UINT64_MAX: none */
static int failure;             /* errno; 0: writes only, short, and the rest fails with ENOSPC */

static bool is_next(void)
{
    if (calls++ != failing)
        return false;
    errno = failure == 0 ? ENOSPC : failure;
    return true;
}

static bool fails(void)
{
    return failure != 0 && is_next();
}

static int bad_open(const char *path, int flags, int mode)
{
    return fails() ? -1 : tr_os_kernel.open(path, flags, mode);
}
static ssize_t bad_write(int fd, const void *at, size_t len)
{
    if (!is_next())
        return tr_os_kernel.write(fd, at, len);
    if (failure != 0 || len < 2)
        return -1;
    failing++; /* the next one fails outright */
    return tr_os_kernel.write(fd, at, len / 2);
}
static ssize_t bad_pwrite(int fd, const void *at, size_t len, off_t offset)
{
    return fails() ? -1 : tr_os_kernel.pwrite(fd, at, len, offset);
}
static int bad_fdatasync(int fd)
{
    return fails() ? -1 : tr_os_kernel.fdatasync(fd);
}
static int bad_fsync(int fd)
{
    return fails() ? -1 : tr_os_kernel.fsync(fd);
}
static int bad_close(int fd)
{
    (void)tr_os_kernel.close(fd);
    return fails() ? -1 : 0;
}
static int bad_rename(const char *from, const char *to)
{
    return fails() ? -1 : tr_os_kernel.rename(from, to);
}
static int bad_unlink(const char *path)
{
    return fails() ? -1 : tr_os_kernel.unlink(path);
}
static int bad_mkdir(const char *path, int mode)
{
    return fails() ? -1 : tr_os_kernel.mkdir(path, mode);
}

static const tr_os bad_os = {bad_open,  bad_write, bad_pwrite, pread,      bad_fdatasync,
                             bad_fsync, bad_close, bad_rename, bad_unlink, bad_mkdir};

typedef struct progress { /* how far a scenario got */
    bool is_published, is_uploaded, has_part, is_removed;
} progress;

/* Everything the lake does for a batch, in the order of its life. */
static tr_code live(tr_lake *lake, progress *done, tr_err *err)
{
    tr_lake_written written;
    TR_TRY(tr_lake_upload_put(lake, &ours, BATCH, tr_str_of("a"), tr_str_of("upload"), err));
    done->is_uploaded = true;
    TR_TRY(tr_lake_upload_part(lake, &ours, BATCH, tr_str_of("b"), 2, tr_str_of("part"), err));
    done->has_part = true;
    if (!done->is_published) {
        TR_TRY(stage_file(lake, &ours, "part-0", "one", &written, err));
        TR_TRY(stage_file(lake, &ours, "part-1", "two", &written, err));
    }
    TR_TRY(tr_lake_publish(lake, &ours, STAGE, DATASET, BATCH, err));
    done->is_published = true;
    return TR_OK;
}

static tr_code end(tr_lake *lake, progress *done, tr_err *err)
{
    done->is_removed = true; /* from here on it may be gone, whatever is returned */
    TR_TRY(tr_lake_remove_batch(lake, &ours, DATASET, BATCH, err));
    return tr_lake_upload_drop(lake, &ours, BATCH, err);
}

/* The folder of the batch, if it is there, holds both files whole. */
static bool is_whole_or_absent(tr_lake *lake)
{
    if (!tr_path_exists(inside(OURS "/data/" DATASET "/" BATCH)))
        return true;
    return has_bytes(lake, &ours, "part-0", "one.") && has_bytes(lake, &ours, "part-1", "two.");
}

/* Goes on where a failure stopped: what a job does on its next attempt. */
static void go_on(tr_lake *lake, progress *done)
{
    const bool is_there = tr_path_exists(inside(OURS "/data/" DATASET "/" BATCH));
    CHECK(!done->is_published || is_there || done->is_removed);
    done->is_published = is_there;
    if (!done->is_removed) {
        CHECK(live(lake, done, NULL) == TR_OK);
        CHECK(has_bytes(lake, &ours, "part-0", "one.") && has_bytes(lake, &ours, "part-1", "two."));
        CHECK(upload_is(lake, &ours, tr_str_of("a"), "upload"));
    }
    CHECK(end(lake, done, NULL) == TR_OK);
    CHECK(!is_whole_or_absent(lake) || !has_bytes(lake, &ours, "part-0", "one."));
    CHECK(!upload_is(lake, &ours, tr_str_of("a"), "upload"));
}

static void fail_each_call_once(int with)
{
    bool has_failed = true;
    failure = with;
    for (uint64_t n = 0; has_failed && n < 400; n++) {
        progress done = {0};
        tr_err err = {0};
        tr_lake *lake = fresh_lake();
        const int descriptors = open_descriptors();
        calls = 0;
        failing = n;
        tr_os_replace(&bad_os);
        tr_code code = live(lake, &done, &err);
        if (code == TR_OK)
            code = end(lake, &done, &err);
        tr_os_replace(NULL);
        has_failed = calls > n;
        CHECK(code == TR_OK || code == (with == EIO ? TR_IO : TR_NO_SPACE));
        CHECK(code == TR_OK || (err.text[0] != '\0' && strstr(err.text, "/tmp") == NULL));
        CHECK(open_descriptors() == descriptors);
        CHECK(is_whole_or_absent(lake));
        go_on(lake, &done);
        tr_lake_close(lake);
    }
    CHECK(!has_failed);
}

static void a_full_disk_at_any_call_leaves_a_lake_to_go_on_with(void)
{
    fail_each_call_once(ENOSPC);
}

static void a_broken_disk_at_any_call_leaves_a_lake_to_go_on_with(void)
{
    fail_each_call_once(EIO);
}

static void a_short_write_at_any_call_leaves_a_lake_to_go_on_with(void)
{
    fail_each_call_once(0);
}

static void a_failed_open_leaves_nothing_behind(void)
{
    failure = EIO;
    for (uint64_t n = 0; n < 12; n++) {
        tr_lake *lake = NULL;
        const int descriptors = open_descriptors();
        calls = 0;
        failing = n;
        tr_os_replace(&bad_os);
        const tr_code code = tr_lake_open(folder, &lake, NULL);
        tr_os_replace(NULL);
        CHECK((code == TR_OK) == (lake != NULL));
        CHECK(open_descriptors() == descriptors);
        tr_lake_close(lake);
    }
}

/* ---- crashes */

static void die_at(const char *point)
{
    const pid_t child = fork();
    if (child == 0) {
        progress done = {0};
        (void)setenv("TR_CRASH_AT", point, 1);
        tr_lake *lake = open_lake();
        if (live(lake, &done, NULL) == TR_OK)
            (void)end(lake, &done, NULL);
        _exit(7); /* the point was not reached */
    }
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static bool knows_nothing(void *ctx, const char *tenant_folder, const char *kind, const char *id)
{
    (void)ctx, (void)tenant_folder, (void)kind, (void)id;
    return false;
}

static const char *const points[] = {"lake_upload_written", "lake_uploaded",   "lake_part_uploaded",
                                     "lake_finished",       "lake_finished:2", "lake_staged",
                                     "lake_renamed",        "lake_discarded",  "lake_discarded:2"};

static void after_a_crash_at_any_point_the_work_goes_on(void)
{
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        tr_lake_close(fresh_lake());
        die_at(points[i]);
        progress done = {.is_removed = strstr(points[i], "discarded") != NULL};
        tr_lake *lake = open_lake();
        CHECK(is_whole_or_absent(lake));
        go_on(lake, &done);
        tr_lake_close(lake);
    }
}

static void after_a_crash_at_any_point_a_sweep_leaves_nothing(void)
{
    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        tr_lake_close(fresh_lake());
        die_at(points[i]);
        tr_lake *lake = open_lake();
        CHECK(tr_lake_sweep(lake, knows_nothing, NULL, NULL) == TR_OK);
        CHECK(!tr_path_exists(inside(OURS)));
        tr_lake_close(lake);
    }
}

static void without_memory_nothing_leaks(void)
{
    for (uint64_t n = 0; n < 40; n++) {
        tr_lake *lake = NULL;
        tr_lake_written written;
        const int descriptors = open_descriptors();
        tr_memory_fail_after(n);
        if (tr_lake_open(folder, &lake, NULL) == TR_OK)
            (void)stage_file(lake, &ours, "part-0", "one", &written, NULL);
        tr_memory_fail_after(UINT64_MAX);
        CHECK(open_descriptors() == descriptors);
        tr_lake_close(lake);
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    if (mkdtemp(folder) == NULL)
        return 1;
    RUN(a_published_batch_is_read_back);
    RUN(a_reader_keeps_a_batch_that_is_removed);
    RUN(a_file_is_added_to_a_published_batch_and_another_goes);
    RUN(a_stage_knows_its_finished_files);
    RUN(a_published_file_is_known_by_bytes_and_hash);
    RUN(an_abandoned_file_is_in_no_batch);
    RUN(a_batch_is_published_once);
    RUN(names_that_could_leave_the_folder_are_refused);
    RUN(the_longest_name_is_a_file);
    RUN(an_upload_may_have_any_name);
    RUN(parts_arrive_in_any_order);
    RUN(of_two_uploads_at_once_one_is_kept_whole);
    RUN(tenants_do_not_meet);
    RUN(a_sweep_takes_what_nobody_knows_and_nothing_else);
    RUN(a_full_disk_at_any_call_leaves_a_lake_to_go_on_with);
    RUN(a_broken_disk_at_any_call_leaves_a_lake_to_go_on_with);
    RUN(a_short_write_at_any_call_leaves_a_lake_to_go_on_with);
    RUN(a_failed_open_leaves_nothing_behind);
    RUN(after_a_crash_at_any_point_the_work_goes_on);
    RUN(after_a_crash_at_any_point_a_sweep_leaves_nothing);
    RUN(without_memory_nothing_leaks);
    if (tr_dir_remove(folder, NULL) != TR_OK)
        return 1;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
