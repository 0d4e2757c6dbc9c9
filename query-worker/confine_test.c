/* SPDX-License-Identifier: Apache-2.0 */
/* confine_test.c - the inner walls, each without the one outside of it.
 *
 * Method: the process confines itself as the worker does, with one folder of two Parquet files of
 * which it may read one. First the system is asked directly (a worker whose engine was taken
 * over); then DuckDB is given hostile SQL that no statement check has seen. argv[1]: the folder of
 * the files.
 */
#include "base/test.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char ours[512], theirs[512], made[512], folder_of_ours[512];
static bool is_walled; /* by Landlock, too */
static tr_engine engine;

static bool can_open(const char *path, int flags)
{
    const int fd = open(path, flags | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    return fd >= 0;
}

static void only_the_named_file_can_be_read(void)
{
    CHECK(can_open(ours, O_RDONLY));
    if (!is_walled)
        return;
    CHECK(!can_open(theirs, O_RDONLY));
    CHECK(!can_open("/etc/passwd", O_RDONLY));
    CHECK(!can_open("/proc/self/environ", O_RDONLY));
    CHECK(!can_open("/proc/self/mem", O_RDWR));
    CHECK(!can_open(folder_of_ours, O_RDONLY | O_DIRECTORY));
    CHECK(!can_open("/", O_RDONLY | O_DIRECTORY));
}

static void nothing_can_be_written_made_or_removed(void)
{
    CHECK(link(ours, made) != 0 && symlink(ours, made) != 0 && rename(ours, made) != 0);
    CHECK(chmod(ours, 0666) != 0 && truncate(ours, 0) != 0);
    if (!is_walled)
        return;
    CHECK(!can_open(ours, O_WRONLY) && !can_open(ours, O_RDWR));
    CHECK(!can_open(made, O_WRONLY | O_CREAT));
    CHECK(unlink(ours) != 0 && mkdir(made, 0700) != 0);
}

static void there_is_no_network(void)
{
    CHECK(socket(AF_INET, SOCK_STREAM, 0) < 0 && socket(AF_UNIX, SOCK_STREAM, 0) < 0);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0);
}

static void no_process_can_be_started_signalled_or_watched(void)
{
    char name[] = "/bin/true";
    char *const argv[] = {name, NULL};
    CHECK(fork() < 0);
    CHECK(execve("/bin/true", argv, NULL) < 0);
    CHECK(kill(getppid(), 0) < 0);
    CHECK(ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) < 0);
    CHECK(memfd_create("x", 0) < 0);
}

static void limits_cannot_be_raised(void)
{
    struct rlimit now;
    CHECK(getrlimit(RLIMIT_CORE, &now) == 0 && now.rlim_max == 0);
    CHECK(getrlimit(RLIMIT_CPU, &now) == 0 && now.rlim_max == 60);
    now = (struct rlimit){1, RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_CPU, &now) != 0);
}

static void threads_still_work(void)
{
    tr_err err = {0};
    CHECK(tr_engine_run(&engine, "SELECT sum(i) FROM range(3000000) t(i)", &err) == TR_OK);
}

static void settings_are_what_we_set(void)
{
    static const char *const expected[][2] = {
        {"enable_external_access", "false"},       {"lock_configuration", "true"},
        {"autoinstall_known_extensions", "false"}, {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},   {"allow_unsigned_extensions", "false"},
        {"allow_persistent_secrets", "false"},     {"threads", "2"},
        {"max_temp_directory_size", "1.0 MiB"},    {"temp_directory", ""},
        {"preserve_insertion_order", "true"},      {"memory_limit", "192.0 MiB"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        char sql[128];
        tr_buf value = {0};
        (void)snprintf(sql, sizeof sql, "SELECT current_setting('%s')::VARCHAR", expected[i][0]);
        CHECK(tr_engine_text(&engine, sql, &value, NULL) == TR_OK);
        const bool is_same = tr_str_is(tr_buf_str(&value), expected[i][1]);
        CHECK(is_same);
        if (!is_same)
            printf("  %s is \"%.*s\"\n", expected[i][0], TR_STR_ARG(tr_buf_str(&value)));
        tr_buf_free(&value);
    }
}

static void the_engine_alone_refuses_files_network_and_settings(void)
{
    static const char *const hostile[] = {
        "SELECT * FROM read_parquet('%s')",
        "SELECT * FROM '%s'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/confine_test_out'",
        "ATTACH '/tmp/confine_test.db'",
        "EXPORT DATABASE '/tmp/confine_test_out'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '/tmp/x.so'",
        "SET enable_external_access=true",
        "SET lock_configuration=false",
        "SET threads=8",
        "SET allowed_paths=['/']",
        "RESET lock_configuration",
        "PRAGMA memory_limit='9GB'",
        "SELECT * FROM read_parquet('http://127.0.0.1/x')",
        "CREATE PERSISTENT SECRET x (TYPE S3)",
        "SELECT getenv('PATH')",
    };
    for (size_t i = 0; i < sizeof hostile / sizeof hostile[0]; i++) {
        const char *path = strstr(hostile[i], "'%s'");
        char sql[700];
        if (path != NULL)
            (void)snprintf(sql, sizeof sql, "%.*s'%s'%s", (int)(path - hostile[i]), hostile[i],
                           theirs, path + 4);
        else
            (void)snprintf(sql, sizeof sql, "%s", hostile[i]);
        const tr_code code = tr_engine_run(&engine, sql, NULL);
        CHECK(code != TR_OK);
        if (code == TR_OK)
            printf("  ran: %s\n", sql);
    }
    CHECK(access("/tmp/confine_test_out", F_OK) != 0 && access("/tmp/confine_test.db", F_OK) != 0);
}

static void the_engine_alone_reads_the_named_file_and_cannot_write_it(void)
{
    char sql[700];
    (void)snprintf(sql, sizeof sql, "SELECT * FROM read_parquet('%s')", ours);
    CHECK(tr_engine_run(&engine, sql, NULL) == TR_OK);
    (void)snprintf(sql, sizeof sql, "COPY (SELECT 1) TO '%s' (FORMAT parquet, use_tmp_file false)",
                   ours);
    if (is_walled)
        CHECK(tr_engine_run(&engine, sql, NULL) != TR_OK);
}

/* As main.c does it. */
static bool confine_as_the_worker(void)
{
    tr_err err = {0};
    const tr_engine_options options = {.memory_mb = 192, .spill_bytes_max = 1024 * 1024};
    char allowed[600];
    const tr_request request = {
        .tables = json_pack("{s:[s]}", "t", ours), .bytes_max = 1 << 20, .memory_mb = 256,
        .thread_count = 2, .cpu_s = 60};
    (void)snprintf(allowed, sizeof allowed, "'%s'", ours);
    tr_code code = tr_confine_resources(&request, &err);
    if (code == TR_OK)
        code = tr_engine_open(&options, &engine, &err);
    if (code == TR_OK)
        code = tr_confine(&request, &is_walled, &err);
    if (code == TR_OK)
        code = tr_engine_lock(&engine, tr_str_of(allowed), NULL, 2, &err);
    if (code != TR_OK)
        printf("not confined: %s\n", err.text);
    return code == TR_OK;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    if (argc != 2)
        return 2;
    (void)snprintf(folder_of_ours, sizeof folder_of_ours, "%s", argv[1]);
    (void)snprintf(ours, sizeof ours, "%s/ours.parquet", argv[1]);
    (void)snprintf(theirs, sizeof theirs, "%s/theirs.parquet", argv[1]);
    (void)snprintf(made, sizeof made, "%s/made", argv[1]);
    if (!confine_as_the_worker())
        return 2;
    if (!is_walled)
        printf("skip what Landlock does: this kernel has none\n");
    RUN(only_the_named_file_can_be_read);
    RUN(nothing_can_be_written_made_or_removed);
    RUN(there_is_no_network);
    RUN(no_process_can_be_started_signalled_or_watched);
    RUN(limits_cannot_be_raised);
    RUN(threads_still_work);
    RUN(settings_are_what_we_set);
    RUN(the_engine_alone_refuses_files_network_and_settings);
    RUN(the_engine_alone_reads_the_named_file_and_cannot_write_it);
    printf("%d passed, %d failed\n", passed, failed);
    (void)fflush(stdout);
    _exit(failed != 0); /* no destructors: the walls would be in their way */
}
