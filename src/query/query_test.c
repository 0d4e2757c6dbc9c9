/* SPDX-License-Identifier: Apache-2.0 */
/* query_test.c - the door: what a call answers whatever becomes of its worker.
 *
 * Method: workers that misbehave are shell scripts in the worker's place; conversions and queries
 * run the real one, named in TR_QUERY_WORKER (those tests are skipped, and say so, when it was not
 * built).
 */
#include "query_internal.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/test.h"
#include "os/os.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/query_test_XXXXXX";
static char paths[4][256];
static tr_query *real;

static const char *path_of(unsigned slot, const char *name)
{
    (void)snprintf(paths[slot], sizeof paths[slot], "%s/%s", folder, name);
    return paths[slot];
}

static const char *put_file(unsigned slot, const char *name, const char *text)
{
    tr_file file;
    const char *path = path_of(slot, name);
    CHECK(tr_file_replace(path, &file, NULL) == TR_OK);
    CHECK(tr_file_write(&file, tr_str_of(text), NULL) == TR_OK);
    tr_file_close(&file);
    return path;
}

/* Runs `script` as the worker of a one-row CSV conversion, with a deadline of one second. */
static tr_code run_script(const char *script, tr_err *err)
{
    char text[512];
    tr_query *query = NULL;
    json_t *options = json_pack("{s:s}", "format", "csv");
    (void)snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    const char *worker = put_file(0, "worker.sh", text);
    CHECK(chmod(worker, 0700) == 0);
    CHECK(tr_query_open(&(tr_query_options){.worker_path = worker, .deadline_s = 1}, &query,
                        NULL) == TR_OK);
    const tr_code code = tr_query_convert(query, options, put_file(1, "in.csv", "a\n1\n"),
                                          path_of(2, "out.jsonl"), err);
    if (code != TR_OK)
        CHECK(!tr_path_exists(paths[2]));
    tr_query_close(query);
    json_decref(options);
    return code;
}

static unsigned open_files(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

static void a_worker_that_is_not_there_is_said_to_be_missing(void)
{
    tr_query *query = NULL;
    tr_err err = {0};
    json_t *options = json_pack("{s:s}", "format", "csv");
    CHECK(tr_query_open(&(tr_query_options){.worker_path = "/nonexistent/x"}, &query, NULL) ==
          TR_OK);
    CHECK(tr_query_convert(query, options, put_file(1, "in.csv", "a\n"), path_of(2, "out"), &err) ==
          TR_SEMANTIC);
    CHECK(strstr(err.text, "not installed") != NULL && strstr(err.text, "/nonexistent") == NULL);
    tr_query_close(query);
    json_decref(options);
}

static void a_worker_that_never_ends_is_killed_at_the_deadline(void)
{
    tr_err err = {0};
    const int64_t start = tr_time_monotonic_us();
    CHECK(run_script("exec sleep 60", &err) == TR_LIMIT);
    CHECK(strstr(err.text, "limit of 1 s") != NULL);
    CHECK(tr_time_monotonic_us() - start < 3000000);
}

static void a_worker_that_crashes_or_is_killed_fails_one_call(void)
{
    tr_err err = {0};
    CHECK(run_script("kill -SEGV $$", &err) == TR_INVALID);
    CHECK(strstr(err.text, "crashed") != NULL);
    CHECK(run_script("kill -ABRT $$", &err) == TR_INVALID);
    CHECK(run_script("kill -KILL $$", &err) == TR_IO);
    CHECK(strstr(err.text, "killed") != NULL);
    CHECK(run_script("exit 3", &err) == TR_IO);
    CHECK(run_script("exit 0", &err) == TR_IO);
}

static void a_worker_that_closes_its_pipes_and_stays_is_killed(void)
{
    tr_err err = {0};
    const int64_t start = tr_time_monotonic_us();
    CHECK(run_script("exec 3>&- 1>&-; exec sleep 60", &err) == TR_IO);
    CHECK(tr_time_monotonic_us() - start < 900000);
}

static void a_verdict_is_believed_only_when_it_is_one(void)
{
    tr_err err = {0};
    CHECK(run_script("echo '{\"code\":\"OK\",\"confined\":true}' >&3", &err) == TR_OK);
    CHECK(run_script("echo '{\"code\":\"INVALID\",\"text\":\"bad cell\"}' >&3", &err) ==
          TR_INVALID);
    CHECK(strcmp(err.text, "bad cell") == 0);
    CHECK(run_script("echo '{\"code\":\"NONE\"}' >&3", &err) == TR_IO);
    CHECK(run_script("echo '{\"co' >&3", &err) == TR_IO);
    CHECK(run_script("while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done >&3", &err) ==
          TR_LIMIT);
}

static void a_worker_gets_no_environment_and_no_other_descriptors(void)
{
    tr_err err = {0};
    CHECK(setenv("TR_SECRET", "1", 1) == 0);
    /* PWD and the like are the shell's own. */
    CHECK(run_script("[ -z \"$TR_SECRET$HOME$PATH_INFO$USER\" ] || exit 1;"
                     " for fd in /proc/$$/fd/*; do case $fd in */[0-4]|*/10) ;; *) [ -e $fd ] && "
                     "exit 1;; esac; done;"
                     " echo '{\"code\":\"OK\"}' >&3",
                     &err) == TR_OK);
}

static void no_call_leaves_a_descriptor_or_a_child_behind(void)
{
    tr_err err = {0};
    (void)run_script("exit 0", &err);
    const unsigned before = open_files();
    for (unsigned i = 0; i < 5; i++)
        (void)run_script(i % 2 ? "exit 1" : "kill -SEGV $$", &err);
    CHECK(open_files() == before);
}

static void check_csv(const char *options_text, const char *csv, const char *expected)
{
    tr_err err = {0};
    tr_buf lines = {0};
    json_t *options = json_loads(options_text, 0, NULL);
    CHECK(tr_query_convert(real, options, put_file(1, "in.csv", csv), path_of(2, "out.jsonl"),
                           &err) == TR_OK);
    CHECK(tr_file_read_all(paths[2], &lines, &err) == TR_OK);
    const bool is_same = tr_str_is(tr_buf_str(&lines), expected);
    CHECK(is_same);
    if (!is_same)
        printf("  %s\n  got:      %.*s\n  expected: %s\n", err.text, TR_STR_ARG(tr_buf_str(&lines)),
               expected);
    tr_buf_free(&lines);
    json_decref(options);
}

#define CSV "{\"format\":\"csv\"}"

static void csv_cells_become_strings_and_empty_ones_are_left_out(void)
{
    check_csv(CSV, "a,b\n1,x\n,\n\"\",2\n",
              "{\"a\":\"1\",\"b\":\"x\"}\n{}\n{\"a\":\"\",\"b\":\"2\"}\n");
    check_csv("{\"format\":\"csv\",\"nullMarker\":\"NA\"}", "a,b\nNA,\"NA\"\n,1\n",
              "{\"b\":\"NA\"}\n{\"b\":\"1\"}\n");
}

static void rows_end_with_lf_crlf_or_cr_and_a_byte_order_mark_is_skipped(void)
{
    check_csv(CSV, "\xef\xbb\xbf" "a,b\r\n1,2\r3,4\n\n5,6",
              "{\"a\":\"1\",\"b\":\"2\"}\n{\"a\":\"3\",\"b\":\"4\"}\n{\"a\":\"5\",\"b\":\"6\"}\n");
}

static void quoted_cells_hold_delimiters_line_ends_and_quotes(void)
{
    check_csv(CSV, "a,b\n\"x,y\",\"l1\nl2\"\n\"q\"\"q\",\"e\\\"e\\\\ \\n\"\n5\" pipe,C:\\d\n",
              "{\"a\":\"x,y\",\"b\":\"l1\\nl2\"}\n{\"a\":\"q\\\"q\",\"b\":\"e\\\"e\\\\ \\\\n\"}\n"
              "{\"a\":\"5\\\" pipe\",\"b\":\"C:\\\\d\"}\n");
}

static void other_delimiters_quotes_and_charsets_are_options(void)
{
    check_csv("{\"format\":\"csv\",\"delimiter\":\"|\",\"quote\":\"'\",\"escape\":\"\"}",
              "a|b\n'x|y'|'C:\\'\n", "{\"a\":\"x|y\",\"b\":\"C:\\\\\"}\n");
    check_csv("{\"format\":\"csv\",\"delimiter\":\"\\t\",\"charset\":\"iso-8859-1\"}",
              "a\tb\n\xe9\t1\n", "{\"a\":\"\xc3\xa9\",\"b\":\"1\"}\n");
    check_csv("{\"format\":\"csv\",\"header\":false}", "1,2\n", "{\"_c0\":\"1\",\"_c1\":\"2\"}\n");
}

static void a_row_of_another_width_is_told_with_its_line(void)
{
    check_csv(CSV, "a,b\n\"x\ny\",1\n1,2,3\n7\n4,5\n",
              "{\"a\":\"x\\ny\",\"b\":\"1\"}\n"
              "{\"__corrupt\":\"1,2,3\",\"__error\":\"3 cells; the header has 2\",\"__line\":4}\n"
              "{\"__corrupt\":\"7\",\"__error\":\"1 cells; the header has 2\",\"__line\":5}\n"
              "{\"a\":\"4\",\"b\":\"5\"}\n");
}

static void a_quote_that_nothing_closes_costs_its_own_line(void)
{
    check_csv(CSV, "a,b\n1,\"x\n2,y\n3,z\n",
              "{\"__corrupt\":\"1,\\\"x\",\"__error\":\"cell 2: its quote is never "
              "closed\",\"__line\":2}\n"
              "{\"a\":\"2\",\"b\":\"y\"}\n{\"a\":\"3\",\"b\":\"z\"}\n");
}

static void text_behind_a_closing_quote_costs_the_row(void)
{
    check_csv(
        CSV, "a,b\n\"x\"y,1\n2,3\n",
        "{\"__corrupt\":\"\\\"x\\\"y,1\",\"__error\":\"cell 1: text behind its closing quote\","
        "\"__line\":2}\n{\"a\":\"2\",\"b\":\"3\"}\n");
}

static void cells_that_are_not_utf8_cost_the_row(void)
{
    check_csv(
        CSV, "a\n\xff\nok\n",
        "{\"__corrupt\":\"\xef\xbf\xbd\",\"__error\":\"column \\\"a\\\": text that is not UTF-8\","
        "\"__line\":2}\n{\"a\":\"ok\"}\n");
}

static void check_refused(const char *options_text, const char *csv, const char *why)
{
    tr_err err = {0};
    json_t *options = json_loads(options_text, 0, NULL);
    CHECK(tr_query_convert(real, options, put_file(1, "in.csv", csv), path_of(2, "out.jsonl"),
                           &err) == TR_INVALID);
    const bool says_why = strstr(err.text, why) != NULL && strstr(err.text, folder) == NULL;
    CHECK(says_why);
    if (!says_why)
        printf("  got: %s\n", err.text);
    CHECK(!tr_path_exists(paths[2]));
    json_decref(options);
}

static void a_file_that_is_not_what_it_should_be_is_refused(void)
{
    check_refused(CSV, "", "the file is empty");
    check_refused(CSV, "a,,b\n", "column 2 has no name");
    check_refused(CSV, "a,b,a\n", "\"a\" twice");
    check_refused(CSV, "\"a\n", "header in line 1");
    check_refused(CSV, "PAR1....", "a Parquet file");
    check_refused("{\"format\":\"csv\",\"delimiter\":\",,\"}", "a\n", "one ASCII character");
    check_refused("{\"format\":\"xlsx\"}", "a\n", "neither parquet nor csv");
    check_refused("{\"format\":\"parquet\"}", "PAR1....", "the file");
    check_refused("{\"format\":\"parquet\"}", "not parquet at all", "the file");
}

/* The files of tests/golden/query as table t. */
static json_t *tables(void)
{
    char one[512], two[512];
    const char *files = getenv("TR_QUERY_TABLES");
    (void)snprintf(one, sizeof one, "%s/ours.parquet", files);
    (void)snprintf(two, sizeof two, "%s/theirs.parquet", files);
    return json_pack("{s:[s,s]}", "t", one, two);
}

static tr_code run_select(const char *sql, const char *format, size_t bytes_max, tr_buf *out,
                          tr_err *err)
{
    json_t *t = tables();
    const tr_code code = tr_query_select(real, t, tr_str_of(sql), format, bytes_max, out, err);
    json_decref(t);
    return code;
}

static void check_select(const char *sql, const char *format, const char *expected)
{
    tr_err err = {0};
    tr_buf out = {0};
    CHECK(tr_buf_append(&out, tr_str_of("before "), NULL) == TR_OK);
    CHECK(run_select(sql, format, 10000, &out, &err) == TR_OK);
    const tr_str got = out.len < 7 ? tr_buf_str(&out) : tr_str_from(tr_buf_str(&out), 7);
    CHECK(tr_str_is(got, expected));
    if (!tr_str_is(got, expected))
        printf("  %s\n  got:      %.*s\n  expected: %s\n", err.text, TR_STR_ARG(got), expected);
    tr_buf_free(&out);
}

static void a_select_unites_the_files_and_hides_bookkeeping(void)
{
    check_select("SELECT * FROM t ORDER BY _id", "csv",
                 "_id,n,extra\na,1,\nb,,\nc,,x\nd,,\"y,\"\"z\"\"\"\n");
    check_select("SELECT * FROM t WHERE n IS NOT NULL", "json",
                 "{\"_id\":\"a\",\"n\":1,\"extra\":null}\n");
    check_select("SELECT count(*) AS c FROM t", "table", " c\n---\n 4\n(1 row)\n");
}

static void a_select_that_is_wrong_says_what_without_paths(void)
{
    tr_err err = {0};
    tr_buf out = {0};
    CHECK(run_select("SELECT nope FROM t", "csv", 10000, &out, &err) == TR_INVALID);
    CHECK(strstr(err.text, "nope") != NULL && strstr(err.text, "parquet") == NULL);
    CHECK(run_select("SELECT 1; SELECT 2", "csv", 10000, &out, &err) == TR_INVALID);
    CHECK(run_select("SELECT 1", "xml", 10000, &out, &err) == TR_INVALID);
    CHECK(run_select("SELECT '\xff'", "csv", 10000, &out, &err) == TR_INVALID);
    CHECK(run_select("COPY t TO '/tmp/x'", "csv", 10000, &out, &err) == TR_INVALID);
    CHECK(out.len == 0);
    tr_buf_free(&out);
}

static void a_result_over_its_limit_appends_nothing(void)
{
    tr_err err = {0};
    tr_buf out = {0};
    CHECK(run_select("SELECT * FROM range(100000)", "csv", 5000, &out, &err) == TR_LIMIT);
    CHECK(out.len == 0 && strstr(err.text, "5000") != NULL);
    tr_buf_free(&out);
}

static void a_statement_at_its_limit_runs_and_one_byte_more_does_not(void)
{
    tr_err err = {0};
    tr_buf sql = {0}, out = {0};
    CHECK(tr_buf_format(&sql, NULL, "SELECT 1 --%*s", TR_SQL_BYTES_MAX - 11, "") == TR_OK);
    CHECK(run_select((const char *)sql.at, "csv", 100, &out, &err) == TR_OK);
    CHECK(tr_buf_format(&sql, NULL, " ") == TR_OK);
    CHECK(run_select((const char *)sql.at, "csv", 100, &out, &err) == TR_LIMIT);
    tr_buf_free(&sql);
    tr_buf_free(&out);
}

static void a_query_that_never_ends_is_stopped_and_leaves_no_scratch(void)
{
    tr_err err = {0};
    tr_buf out = {0};
    tr_query *query = NULL;
    json_t *none = json_object();
    const tr_query_options options = {.worker_path = getenv("TR_QUERY_WORKER"),
                                      .deadline_s = 1,
                                      .scratch_folder = path_of(3, "scratch")};
    CHECK(tr_query_open(&options, &query, NULL) == TR_OK);
    CHECK(tr_query_select(query, none,
                          tr_str_of("SELECT count(*) FROM range(10000000) a, range(10000000) b"),
                          "csv", 1000, &out, &err) == TR_LIMIT);
    CHECK(rmdir(paths[3]) == 0); /* it is empty */
    tr_query_close(query);
    json_decref(none);
    tr_buf_free(&out);
}

static void the_scratch_of_a_dead_process_is_swept_and_of_a_living_one_is_kept(void)
{
    char dead[300], living[300];
    tr_query *query = NULL;
    const char *scratch = path_of(3, "scratch");
    (void)snprintf(dead, sizeof dead, "%s/spill-%d-0", scratch, INT32_MAX);
    (void)snprintf(living, sizeof living, "%s/spill-%d-0", scratch, getpid());
    CHECK(tr_dir_make(dead, NULL) == TR_OK && tr_dir_make(living, NULL) == TR_OK);
    CHECK(tr_query_open(&(tr_query_options){.worker_path = "/bin/true", .scratch_folder = scratch},
                        &query, NULL) == TR_OK);
    CHECK(!tr_path_exists(dead) && tr_path_exists(living));
    CHECK(tr_dir_remove(scratch, NULL) == TR_OK);
    tr_query_close(query);
}

static void *convert_some(void *failures)
{
    char in[256], out[256];
    json_t *options = json_loads(CSV, 0, NULL);
    (void)snprintf(in, sizeof in, "%s/shared.csv", folder);
    (void)snprintf(out, sizeof out, "%s/out-%lx", folder, (unsigned long)pthread_self());
    for (unsigned i = 0; i < 5; i++)
        *(int *)failures += tr_query_convert(real, options, in, out, NULL) != TR_OK;
    json_decref(options);
    return NULL;
}

static void calls_run_side_by_side(void)
{
    pthread_t threads[4];
    int failures[4] = {0};
    (void)put_file(1, "shared.csv", "a,b\n1,2\n");
    for (unsigned i = 0; i < 4; i++)
        CHECK(pthread_create(threads + i, NULL, convert_some, failures + i) == 0);
    for (unsigned i = 0; i < 4; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(failures[i] == 0);
    }
}

/* The first and second answer to a statement, by a worker that is a script. */
static tr_code ask_script(const char *script, tr_query_answer *first, char *second, tr_err *err)
{
    char text[512];
    tr_query *query = NULL;
    tr_query_session *s = NULL;
    const tr_query_turn turn = {.sandbox = 1, .client_fd = -1};
    json_t *command = json_pack("{s:s,s:s,s:{},s:s}", "do", "run", "sql", "SELECT 1", "tables",
                                "id", "7.1");
    (void)snprintf(text, sizeof text, "#!/bin/sh\n%s\n", script);
    const char *worker = put_file(0, "worker.sh", text);
    CHECK(chmod(worker, 0700) == 0);
    const tr_query_options options = {
        .worker_path = worker, .scratch_folder = path_of(3, "scratch"), .deadline_s = 5};
    CHECK(tr_query_open(&options, &query, NULL) == TR_OK);
    CHECK(tr_query_session_take(query, &turn, &s, NULL) == TR_OK);
    tr_code code = tr_query_session_send(s, command, err);
    if (code == TR_OK)
        code = tr_query_session_next(s, first, err);
    if (code == TR_OK) {
        tr_query_answer next;
        CHECK(tr_query_session_next(s, &next, err) == TR_OK);
        *second = next.kind;
        tr_query_session_give_back(s); /* its folders go with it */
    } else {
        tr_query_session_close(s);
    }
    tr_query_close(query);
    json_decref(command);
    CHECK(tr_dir_remove(path_of(3, "scratch"), NULL) == TR_OK);
    return code;
}

/* The pool's keeper may find out that a statement was slow when its end has been read. */
static void a_worker_that_was_slowed_down_is_not_kept_for_the_next(void)
{
    tr_query *query = NULL;
    tr_query_session *s = NULL;
    const tr_query_turn turn = {.sandbox = 1, .client_fd = -1};
    const char *worker = put_file(0, "worker.sh", "#!/bin/sh\nexec sleep 30\n");
    CHECK(chmod(worker, 0700) == 0);
    const tr_query_options options = {
        .worker_path = worker, .scratch_folder = path_of(3, "scratch"), .deadline_s = 5};
    CHECK(tr_query_open(&options, &query, NULL) == TR_OK);
    for (int slow = 0; slow < 2; slow++) {
        CHECK(tr_query_session_take(query, &turn, &s, NULL) == TR_OK);
        const pid_t first = s->child.pid;
        atomic_store(&s->is_slow, slow == 1);
        tr_query_pool_give_back(tr_query_pool_of(query), s, true);
        CHECK(tr_query_session_take(query, &turn, &s, NULL) == TR_OK);
        CHECK((s->child.pid == first) == (slow == 0) && !atomic_load(&s->is_slow));
        tr_query_session_give_back(s);
    }
    tr_query_close(query);
    CHECK(tr_dir_remove(path_of(3, "scratch"), NULL) == TR_OK);
}

static void a_worker_that_ends_with_its_answer_has_answered_and_is_used_once(void)
{
    static const char script[] = "head -c 4 <&4 >/dev/null; "
                                 "printf 'F\\000\\000\\000\\002{}'; exit 0";
    tr_query_answer answer = {0};
    char second = 0;
    tr_err err = {0};
    CHECK(ask_script(script, &answer, &second, &err) == TR_OK);
    CHECK(answer.kind == 'E' && second == 'Z');
}

static void a_statement_on_which_the_worker_dies_fails_by_what_killed_it(void)
{
    tr_query_answer answer;
    char second;
    tr_err err = {0};
    CHECK(ask_script("head -c 4 <&4 >/dev/null; kill -SEGV $$", &answer, &second, &err) ==
          TR_INVALID);
    CHECK(strstr(err.text, "crashed") != NULL);
    CHECK(ask_script("head -c 4 <&4 >/dev/null; kill -KILL $$", &answer, &second, &err) == TR_IO);
    CHECK(ask_script("head -c 4 <&4 >/dev/null; exit 0", &answer, &second, &err) == TR_IO);
}

static atomic_bool is_over;

static void *take_one_more(void *query)
{
    tr_query_session *s = NULL;
    const tr_query_turn turn = {.sandbox = 1, .cancel = &is_over, .client_fd = -1};
    const tr_code code = tr_query_session_take(query, &turn, &s, NULL);
    tr_query_session_close(s);
    return code == TR_CANCELLED ? query : NULL;
}

static void a_sandbox_that_keeps_its_workers_leaves_some_to_others(void)
{
    enum { WORKERS = 4, SHARE = 3 };
    tr_query *query = NULL;
    tr_query_session *kept[SHARE] = {NULL}, *other = NULL;
    pthread_t thread;
    void *was_cancelled = NULL;
    const tr_query_turn one = {.sandbox = 1, .client_fd = -1};
    const tr_query_turn two = {.sandbox = 2, .client_fd = -1};
    const tr_query_options options = {.worker_path = getenv("TR_QUERY_WORKER"),
                                      .scratch_folder = path_of(3, "scratch"),
                                      .deadline_s = 60,
                                      .workers_max = WORKERS};
    CHECK(tr_query_open(&options, &query, NULL) == TR_OK);
    for (int i = 0; i < SHARE; i++)
        CHECK(tr_query_session_take(query, &one, &kept[i], NULL) == TR_OK);
    CHECK(pthread_create(&thread, NULL, take_one_more, query) == 0);
    (void)usleep(50000); /* it waits */
    CHECK(tr_query_session_take(query, &two, &other, NULL) == TR_OK);
    atomic_store(&is_over, true);
    CHECK(pthread_join(thread, &was_cancelled) == 0 && was_cancelled == query);
    tr_query_session_close(other);
    for (int i = 0; i < SHARE; i++)
        tr_query_session_close(kept[i]);
    tr_query_close(query);
    CHECK(tr_dir_remove(path_of(3, "scratch"), NULL) == TR_OK);
}

typedef struct folders {
    int spilled, held;
} folders;

static tr_code count_folder(void *ctx, const char *name, tr_err *err)
{
    (void)err;
    folders *f = ctx;
    f->spilled += strncmp(name, "spill-", 6) == 0;
    f->held += strncmp(name, "held-", 5) == 0;
    return TR_OK;
}

/* A door starts two workers more than are taken; each worker has one folder of either kind. */
static void two_doors_to_one_scratch_folder_share_nothing_in_it(void)
{
    enum { DOORS = 2, FOLDERS = 6, LOOKS = 400 };
    tr_query *doors[DOORS] = {NULL};
    tr_query_session *taken[DOORS] = {NULL};
    folders found = {0};
    const tr_query_turn turn = {.sandbox = 1, .client_fd = -1};
    const tr_query_options options = {.worker_path = getenv("TR_QUERY_WORKER"),
                                      .scratch_folder = path_of(3, "scratch"),
                                      .deadline_s = 60};
    for (int i = 0; i < DOORS; i++) {
        CHECK(tr_query_open(&options, &doors[i], NULL) == TR_OK);
        CHECK(tr_query_session_take(doors[i], &turn, &taken[i], NULL) == TR_OK);
    }
    for (int i = 0; i < LOOKS && found.held + found.spilled < 2 * FOLDERS; i++) {
        (void)usleep(20000);
        found = (folders){0};
        CHECK(tr_dir_list(path_of(3, "scratch"), count_folder, &found, NULL) == TR_OK);
    }
    CHECK(found.held == FOLDERS && found.spilled == FOLDERS);
    for (int i = 0; i < DOORS; i++) {
        tr_query_session_close(taken[i]);
        tr_query_close(doors[i]);
    }
    CHECK(tr_dir_remove(path_of(3, "scratch"), NULL) == TR_OK);
}

static void a_worker_that_is_kept_beyond_its_deadline_is_given_up(void)
{
    tr_query *query = NULL;
    tr_query_session *kept = NULL, *other = NULL;
    tr_query_answer answer;
    tr_err err = {0};
    const tr_query_turn one = {.sandbox = 1, .client_fd = -1};
    const tr_query_turn two = {.sandbox = 2, .client_fd = -1};
    json_t *command = json_pack("{s:s,s:s,s:{}}", "do", "run", "sql",
                                "SELECT * FROM range(10000000)", "tables");
    const tr_query_options options = {.worker_path = getenv("TR_QUERY_WORKER"),
                                      .scratch_folder = path_of(3, "scratch"),
                                      .deadline_s = 2,
                                      .workers_max = 1};
    CHECK(tr_query_open(&options, &query, NULL) == TR_OK);
    CHECK(tr_query_session_take(query, &one, &kept, NULL) == TR_OK);
    CHECK(tr_query_session_send(kept, command, NULL) == TR_OK);
    (void)usleep(1200000); /* a cursor: nobody reads */
    CHECK(tr_query_session_take(query, &two, &other, &err) == TR_OK);
    CHECK(tr_query_session_next(kept, &answer, &err) == TR_LIMIT);
    tr_query_session_close(kept);
    tr_query_session_close(other);
    CHECK(tr_query_session_take(query, &one, &kept, NULL) == TR_OK); /* the count is right */
    tr_query_session_close(kept);
    tr_query_close(query);
    json_decref(command);
    CHECK(tr_dir_remove(path_of(3, "scratch"), NULL) == TR_OK);
}

/* The first answer to a command of a new worker, as text; the worker is returned. `command` is
 * taken. */
static tr_query_session *ask(tr_query *query, json_t *command, char kinds[3], tr_buf *first)
{
    tr_query_answer answer = {0};
    tr_query_session *s = NULL;
    const tr_query_turn turn = {.sandbox = 0, .client_fd = -1};
    CHECK(tr_query_session_take(query, &turn, &s, NULL) == TR_OK);
    CHECK(tr_query_session_send(s, command, NULL) == TR_OK);
    json_decref(command);
    CHECK(tr_query_session_next(s, &answer, NULL) == TR_OK);
    kinds[0] = answer.kind;
    first->len = 0;
    CHECK(tr_buf_append(first, answer.bytes, NULL) == TR_OK);
    CHECK(tr_query_session_next(s, &answer, NULL) == TR_OK);
    kinds[1] = answer.kind;
    return s;
}

static void rows_are_kept_in_a_file_that_another_worker_reads_as_they_were(void)
{
    char path[400], kinds[3] = "", *room = NULL;
    uint64_t bytes = 0;
    tr_buf told = {0};
    json_t *kept = NULL;
    tr_query *query = NULL;
    const tr_query_options options = {.worker_path = getenv("TR_QUERY_WORKER"),
                                      .scratch_folder = path_of(3, "scratch")};
    CHECK(tr_query_open(&options, &query, NULL) == TR_OK);
    CHECK(tr_query_make_room(query, &room, NULL) == TR_OK);
    (void)snprintf(path, sizeof path, "%s/0.parquet", room);
    tr_query_session *s = ask(query,
                              json_pack("{s:s,s:s,s:{}}", "do", "keep", "sql",
                                        "SELECT 170141183460469231731::HUGEINT AS \"h\"\"1\"",
                                        "tables"),
                              kinds, &told);
    CHECK(strcmp(kinds, "TZ") == 0);
    CHECK(tr_query_session_take_kept(s, path, &bytes, NULL) == TR_OK && bytes > 0);
    CHECK(tr_query_session_take_kept(s, path, &bytes, NULL) == TR_IO); /* it has gone from there */
    tr_query_session_close(s);
    CHECK(tr_json_parse(tr_buf_str(&told), &kept, NULL) == TR_OK);
    CHECK(json_integer_value(json_object_get(kept, "rows")) == 1);
    CHECK(json_object_set_new(kept, "files", json_pack("[s]", path)) == 0);
    s = ask(query, json_pack("{s:s,s:s,s:{s:O}}", "do", "run", "sql", "SELECT \"h\"\"1\" FROM t",
                             "tables", "t", kept), kinds, &told);
    CHECK(strcmp(kinds, "TD") == 0 && memmem(told.at, told.len, "1700", 4) != NULL);
    tr_query_session_close(s);
    s = ask(query, json_pack("{s:s,s:s,s:{}}", "do", "keep", "sql", "SELECT 1 AS a, 2 AS A",
                             "tables"), kinds, &told);
    CHECK(strcmp(kinds, "EZ") == 0 && memmem(told.at, told.len, "42701", 5) != NULL);
    CHECK(tr_query_session_take_kept(s, path, &bytes, NULL) == TR_IO);
    tr_query_session_close(s);
    json_decref(kept);
    tr_buf_free(&told);
    tr_free(room);
    tr_query_close(query);
    CHECK(tr_dir_remove(path_of(3, "scratch"), NULL) == TR_OK);
}

int main(void)
{
    int passed = 0, failed = 0;
    if (mkdtemp(folder) == NULL)
        return 2;
    RUN(a_worker_that_is_not_there_is_said_to_be_missing);
    RUN(a_worker_that_crashes_or_is_killed_fails_one_call);
    RUN(a_worker_that_closes_its_pipes_and_stays_is_killed);
    RUN(a_verdict_is_believed_only_when_it_is_one);
    RUN(a_worker_gets_no_environment_and_no_other_descriptors);
    RUN(no_call_leaves_a_descriptor_or_a_child_behind);
    RUN(a_worker_that_was_slowed_down_is_not_kept_for_the_next);
    RUN(a_worker_that_ends_with_its_answer_has_answered_and_is_used_once);
    RUN(a_statement_on_which_the_worker_dies_fails_by_what_killed_it);
    RUN(the_scratch_of_a_dead_process_is_swept_and_of_a_living_one_is_kept);
    const char *worker = getenv("TR_QUERY_WORKER");
    if (worker == NULL) {
        printf("skip the real worker: it was not built, .deps/duckdb is absent\n");
        /* else a query that never ends is killed */
        RUN(a_worker_that_never_ends_is_killed_at_the_deadline);
    } else if (tr_query_open(&(tr_query_options){.worker_path = worker}, &real, NULL) == TR_OK) {
        RUN(csv_cells_become_strings_and_empty_ones_are_left_out);
        RUN(rows_end_with_lf_crlf_or_cr_and_a_byte_order_mark_is_skipped);
        RUN(quoted_cells_hold_delimiters_line_ends_and_quotes);
        RUN(other_delimiters_quotes_and_charsets_are_options);
        RUN(a_row_of_another_width_is_told_with_its_line);
        RUN(a_quote_that_nothing_closes_costs_its_own_line);
        RUN(text_behind_a_closing_quote_costs_the_row);
        RUN(cells_that_are_not_utf8_cost_the_row);
        RUN(a_file_that_is_not_what_it_should_be_is_refused);
        RUN(a_select_unites_the_files_and_hides_bookkeeping);
        RUN(a_select_that_is_wrong_says_what_without_paths);
        RUN(a_result_over_its_limit_appends_nothing);
        RUN(a_statement_at_its_limit_runs_and_one_byte_more_does_not);
        RUN(a_query_that_never_ends_is_stopped_and_leaves_no_scratch);
        RUN(calls_run_side_by_side);
        RUN(a_sandbox_that_keeps_its_workers_leaves_some_to_others);
        RUN(two_doors_to_one_scratch_folder_share_nothing_in_it);
        RUN(a_worker_that_is_kept_beyond_its_deadline_is_given_up);
        RUN(rows_are_kept_in_a_file_that_another_worker_reads_as_they_were);
        tr_query_close(real);
    }
    failed += tr_dir_remove(folder, NULL) != TR_OK;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
