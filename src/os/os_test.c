/* SPDX-License-Identifier: Apache-2.0 */
/* os_test.c - files appear whole or not at all, and a failing disk is a code and a text, not a crash. */
#include "base/test.h"
#include "os/os.h"

#include <errno.h>
#include <unistd.h>

static char folder[] = "/tmp/tr_os_test_XXXXXX";

static const char *inside(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void what_is_put_is_read_back(void)
{
    tr_buf bytes = {0};
    CHECK(tr_file_put(inside("a"), tr_str_of("one"), NULL) == TR_OK);
    CHECK(tr_file_put(inside("a"), tr_str_of("two"), NULL) == TR_OK);
    CHECK(tr_file_read_all(inside("a"), &bytes, NULL) == TR_OK);
    CHECK(tr_str_is(tr_buf_str(&bytes), "two"));
    tr_buf_free(&bytes);
}

static void an_absent_file_is_not_found_and_no_path_is_told(void)
{
    tr_map map = {{NULL, 0}};
    tr_err err;
    CHECK(tr_map_open(inside("absent"), &map, &err) == TR_NOT_FOUND);
    CHECK(strstr(err.text, "absent") != NULL && strstr(err.text, "tmp") == NULL);
}

static void a_file_opened_for_reading_is_neither_made_nor_changed(void)
{
    tr_file file = TR_FILE_NONE;
    char byte = 0;
    CHECK(tr_file_open(inside("absent"), &file, NULL) == TR_NOT_FOUND);
    CHECK(!tr_path_exists(inside("absent")) && file.fd == -1);
    CHECK(tr_file_put(inside("read"), tr_str_of("x"), NULL) == TR_OK);
    CHECK(tr_file_open(inside("read"), &file, NULL) == TR_OK);
    CHECK(read(file.fd, &byte, 1) == 1 && byte == 'x');
    CHECK(tr_file_write(&file, tr_str_of("y"), NULL) == TR_IO);
    tr_file_close(&file);
}

static void folders_are_removed_with_all_in_them(void)
{
    CHECK(tr_dir_make(inside("x/y/z"), NULL) == TR_OK);
    CHECK(tr_file_put(inside("x/y/f"), tr_str_of("1"), NULL) == TR_OK);
    CHECK(tr_dir_remove(inside("x"), NULL) == TR_OK && !tr_path_exists(inside("x")));
    CHECK(tr_dir_remove(inside("x"), NULL) == TR_OK);
}

static ssize_t write_nothing(int fd, const void *at, size_t len)
{
    (void)fd, (void)at, (void)len;
    errno = ENOSPC;
    return -1;
}

static ssize_t write_one_byte(int fd, const void *at, size_t len)
{
    return write(fd, at, len > 1 ? 1 : len);
}

static void a_full_disk_leaves_the_old_file(void)
{
    tr_os table = tr_os_kernel;
    tr_buf bytes = {0};
    tr_err err;
    CHECK(tr_file_put(inside("kept"), tr_str_of("old"), NULL) == TR_OK);
    table.write = write_nothing;
    tr_os_replace(&table);
    CHECK(tr_file_put(inside("kept"), tr_str_of("new"), &err) == TR_NO_SPACE);
    tr_os_replace(NULL);
    CHECK(tr_file_read_all(inside("kept"), &bytes, NULL) == TR_OK);
    CHECK(tr_str_is(tr_buf_str(&bytes), "old"));
    tr_buf_free(&bytes);
}

static void short_writes_are_continued(void)
{
    tr_os table = tr_os_kernel;
    tr_buf bytes = {0};
    table.write = write_one_byte;
    tr_os_replace(&table);
    CHECK(tr_file_put(inside("short"), tr_str_of("0123456789"), NULL) == TR_OK);
    tr_os_replace(NULL);
    CHECK(tr_file_read_all(inside("short"), &bytes, NULL) == TR_OK && bytes.len == 10);
    tr_buf_free(&bytes);
}

static int syncs, told;

static int sync_badly(int fd)
{
    (void)fd;
    syncs++;
    errno = ENOSPC;
    return -1;
}

static void count_told(const char *name, int cause)
{
    told += strcmp(name, "lost") == 0 && cause == ENOSPC;
}

static void a_sync_that_fails_is_the_last(void)
{
    tr_os table = tr_os_kernel;
    tr_file file = TR_FILE_NONE;
    table.fdatasync = table.fsync = sync_badly;
    tr_os_on_lost_sync(count_told);
    tr_os_replace(&table);
    CHECK(tr_file_create(inside("lost"), &file, NULL) == TR_OK);
    CHECK(!tr_os_has_lost_sync());
    CHECK(tr_file_sync(&file, NULL) == TR_NO_SPACE);
    CHECK(tr_os_has_lost_sync() && told == 1);
    CHECK(tr_file_sync(&file, NULL) == TR_IO); /* not tried: it would succeed now */
    CHECK(tr_dir_sync(inside("."), NULL) == TR_IO);
    CHECK(tr_file_put(inside("other"), tr_str_of("x"), NULL) == TR_IO);
    CHECK(!tr_path_exists(inside("other")));
    CHECK(syncs == 1 && told == 1);
    tr_file_close(&file);
    tr_os_replace(NULL); /* another disk */
    tr_os_on_lost_sync(NULL);
    CHECK(!tr_os_has_lost_sync());
    CHECK(tr_file_put(inside("other"), tr_str_of("x"), NULL) == TR_OK);
}

static int link_nowhere(const char *from, const char *to)
{
    (void)from, (void)to;
    errno = EXDEV;
    return -1;
}

static void check_linked(const char *name)
{
    tr_buf bytes = {0};
    char from[256], to[256];
    (void)snprintf(from, sizeof from, "%s", inside("first"));
    (void)snprintf(to, sizeof to, "%s", inside(name));
    CHECK(tr_file_put(from, tr_str_of("bytes"), NULL) == TR_OK);
    CHECK(tr_file_link(from, to, NULL) == TR_OK);
    CHECK(tr_file_remove(from, NULL) == TR_OK);
    CHECK(tr_file_read_all(to, &bytes, NULL) == TR_OK && tr_str_is(tr_buf_str(&bytes), "bytes"));
    CHECK(tr_file_link(from, to, NULL) == TR_NOT_FOUND);
    tr_buf_free(&bytes);
}

static void a_second_name_keeps_a_file_that_is_removed(void)
{
    tr_os table = tr_os_kernel;
    check_linked("second");
    table.link = link_nowhere; /* another file system: a copy */
    tr_os_replace(&table);
    check_linked("third");
    tr_os_replace(NULL);
}

static void the_space_of_a_folder_is_part_of_its_disk(void)
{
    uint64_t left = 1, all = 0;
    CHECK(tr_dir_space(inside("."), &left, &all, NULL) == TR_OK);
    CHECK(all > 0 && left <= all);
    CHECK(tr_dir_space(inside("nowhere"), &left, &all, NULL) == TR_NOT_FOUND);
}

int main(void)
{
    int passed = 0, failed = 0;
    if (mkdtemp(folder) == NULL)
        return 1;
    RUN(what_is_put_is_read_back);
    RUN(an_absent_file_is_not_found_and_no_path_is_told);
    RUN(a_file_opened_for_reading_is_neither_made_nor_changed);
    RUN(folders_are_removed_with_all_in_them);
    RUN(a_full_disk_leaves_the_old_file);
    RUN(short_writes_are_continued);
    RUN(a_sync_that_fails_is_the_last);
    RUN(a_second_name_keeps_a_file_that_is_removed);
    RUN(the_space_of_a_folder_is_part_of_its_disk);
    if (tr_dir_remove(folder, NULL) != TR_OK)
        return 1;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
