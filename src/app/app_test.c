/* SPDX-License-Identifier: Apache-2.0 */
/* app_test.c - arguments, settings, the data folder's lock and address, and the demo's people.
 *
 * Goal: every mistake in a command line or settings file is named, and nothing is read silently.
 */
#include "app/args.h"
#include "app/bar.h"
#include "app/demo_data.h"
#include "app/server.h"
#include "app/server_internal.h"
#include "app/settings.h"
#include "base/test.h"
#include "codec/json.h"

#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/tr_app_test_XXXXXX";

typedef struct values {
    const char *text;
    bool is_on;
    uint32_t number;
    tr_arg_list list;
    int words;
} values;

enum { WORDS_MOST = 2 };

/* Reads the words of `line`; the status of tr_args_read. Its messages go nowhere. */
static int read_line(const char *line, values *v, char **argv)
{
    static char copy[512];
    char *rest = copy;
    int argc = 1;
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *word; (word = strsep(&rest, " ")) != NULL;)
        if (*word != '\0')
            argv[argc++] = word;
    const tr_arg args[] = {{"text", TR_ARG_TEXT, &v->text},
                           {"on", TR_ARG_SWITCH, &v->is_on},
                           {"number", TR_ARG_NUMBER, &v->number},
                           {"list", TR_ARG_LIST, &v->list},
                           {NULL, TR_ARG_TEXT, NULL}};
    const tr_command command = {
        .name = "test", .usage = "", .args = args, .words_most = WORDS_MOST};
    return tr_args_read(&command, argc, argv, &v->words);
}

static void every_kind_of_argument_is_read(void)
{
    values v = {0};
    char *argv[64];
    CHECK(read_line("a --text=x=y --on --number 7 b --list p --list=q", &v, argv) == -1);
    CHECK(strcmp(v.text, "x=y") == 0 && v.is_on && v.number == 7);
    CHECK(v.list.count == 2 && strcmp(v.list.texts[1], "q") == 0 && v.list.texts[2] == NULL);
    CHECK(v.words == 2 && strcmp(argv[1], "a") == 0 && strcmp(argv[2], "b") == 0);
}

static void behind_two_dashes_everything_is_a_word(void)
{
    values v = {0};
    char *argv[64];
    CHECK(read_line("-- --on -x", &v, argv) == -1);
    CHECK(!v.is_on && v.words == 2 && strcmp(argv[1], "--on") == 0);
}

static void a_mistake_in_an_argument_is_refused(void)
{
    static const char *const lines[] = {
        "--nothing",    "--text", "--number x", "--number -1", "--on=yes",
        "--number 1e3", "-o",     "a b c",      "--tex x",     "--number 1000000001"};
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        values v = {0};
        char *argv[64];
        CHECK(read_line(lines[i], &v, argv) == 2);
    }
}

static void as_many_list_items_as_have_room_are_taken(void)
{
    char line[512] = "";
    char *argv[128];
    for (int extra = 0; extra <= 1; extra++) {
        values v = {0};
        line[0] = '\0';
        for (int i = 0; i < TR_ARG_LIST_MAX + extra; i++)
            (void)snprintf(line + strlen(line), sizeof line - strlen(line), "--list=%d ", i);
        CHECK(read_line(line, &v, argv) == (extra == 0 ? -1 : 2));
    }
}

/* Writes `text` to a file and reads it as settings. */
static tr_code read_settings(const char *text, tr_settings *out, tr_arena *arena, tr_err *err)
{
    char path[TR_DATA_PATH_BYTES];
    TR_TRY(tr_data_path(folder, "settings", path, err));
    TR_TRY(tr_file_put(path, tr_str_of(text), err));
    return tr_settings_read(out, path, arena, err);
}

static void a_settings_file_is_read(void)
{
    tr_settings s = {0};
    tr_arena arena = {0};
    tr_err err = {0};
    CHECK(read_settings("# all of it\n\n data = /srv/d  # there\r\nworkers=3\nlisten = [::1]:0", &s,
                        &arena, &err) == TR_OK);
    CHECK(strcmp(s.data, "/srv/d") == 0 && s.workers == 3 && strcmp(s.listen, "[::1]:0") == 0);
    CHECK(tr_settings_check(&s, &err) == TR_OK);
    tr_arena_free(&arena);
}

static void a_mistake_in_a_settings_file_is_named_with_its_line(void)
{
    static const char *const wrong[][2] = {
        {"data = x\nlistenn = y\n", "line 2: there is no setting"},
        {"\n\ndata\n", "line 3: \"data\" is not of the form"},
        {"data =\n", "line 1: data has no value"},
        {"workers = many\n", "line 1: workers: \"many\""}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tr_settings s = {0};
        tr_arena arena = {0};
        tr_err err = {0};
        CHECK(read_settings(wrong[i][0], &s, &arena, &err) == TR_INVALID);
        CHECK(strstr(err.text, wrong[i][1]) != NULL);
        tr_arena_free(&arena);
    }
}

static void settings_that_do_not_fit_are_refused(void)
{
    static const tr_settings wrong[] = {{.listen = "127.0.0.1:1"},
                                        {.data = "d", .listen = "8080"},
                                        {.data = "d", .listen = ":8080"},
                                        {.data = "d", .listen = "127.0.0.1:65536"},
                                        {.data = "d", .listen = "127.0.0.1:-1"},
                                        {.data = "d", .listen = "localhost:8080"},
                                        {.data = "d", .listen = "1.2.3.4.5:8080"},
                                        {.data = "d", .pg_listen = "5433"},
                                        {.data = "d", .pg_listen = "127.0.0.1:65536"},
                                        {.data = "d", .pg_listen = "127.0.0.1:p"},
                                        {.data = "d", .public_url = "example.com"},
                                        {.data = "d", .workers = 1025},
                                        {.data = "d", .http_threads = 1025},
                                        {.data = "d", .tls_key = "k"},
                                        {.data = "d", .log_level = "loud"}};
    tr_settings good = {.data = "d"};
    CHECK(tr_settings_check(&good, NULL) == TR_OK && strcmp(good.listen, "127.0.0.1:8080") == 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tr_settings s = wrong[i];
        CHECK(tr_settings_check(&s, NULL) == TR_INVALID);
    }
}

static void sql_is_served_unless_told_otherwise(void)
{
    tr_settings s = {.data = "d"}, none = {.data = "d", .pg_listen = "none"},
                own = {.data = "d", .pg_listen = "127.0.0.1:0"};
    CHECK(tr_settings_check(&s, NULL) == TR_OK && !s.is_pg_listen_given);
    CHECK(strcmp(s.pg_listen, "127.0.0.1:5433") == 0);
    CHECK(tr_settings_check(&none, NULL) == TR_OK && none.pg_listen == NULL);
    CHECK(tr_settings_check(&own, NULL) == TR_OK && own.is_pg_listen_given);
    CHECK(strcmp(own.pg_listen, "127.0.0.1:0") == 0);
}

static void a_data_folder_has_one_server(void)
{
    int fd = -1, status = 0;
    tr_err err = {0};
    CHECK(tr_data_lock(folder, &fd, &err) == TR_OK);
    const pid_t child = fork();
    if (child == 0) {
        int other = -1;
        (void)close(fd); /* a copy: the lock stays with the parent */
        const bool is_refused = tr_data_lock(folder, &other, &err) == TR_CONFLICT;
        char owner[40];
        (void)snprintf(owner, sizeof owner, "process %d", (int)getppid());
        _exit(is_refused && strstr(err.text, owner) != NULL ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    (void)close(fd);
    CHECK(tr_data_lock(folder, &fd, &err) == TR_OK);
    (void)close(fd);
}

static void port_zero_becomes_a_free_port(void)
{
    char at[128];
    CHECK(tr_listen_address("127.0.0.1:0", at, NULL) == TR_OK);
    CHECK(strncmp(at, "127.0.0.1:", 10) == 0 && strcmp(at, "127.0.0.1:0") != 0);
    CHECK(tr_listen_address("127.0.0.1:8080", at, NULL) == TR_OK &&
          strcmp(at, "127.0.0.1:8080") == 0);
    CHECK(tr_listen_address("somewhere:1", at, NULL) == TR_INVALID);
    CHECK(tr_listen_address("127.0.0.1", at, NULL) == TR_INVALID);
    CHECK(tr_listen_address(":80", at, NULL) == TR_INVALID);
}

static void only_loopback_is_loopback(void)
{
    CHECK(tr_is_loopback("127.0.0.1:80") && tr_is_loopback("127.9.9.9:80") &&
          tr_is_loopback("[::1]:80"));
    CHECK(!tr_is_loopback("0.0.0.0:80") && !tr_is_loopback("[::]:80") &&
          !tr_is_loopback("10.0.0.1:80"));
}

static void digits_are_grouped(void)
{
    CHECK(strcmp(tr_group_digits(0).text, "0") == 0);
    CHECK(strcmp(tr_group_digits(999).text, "999") == 0);
    CHECK(strcmp(tr_group_digits(1000).text, "1,000") == 0);
    CHECK(strcmp(tr_group_digits(-1234567).text, "-1,234,567") == 0);
    CHECK(strcmp(tr_group_digits(INT64_MIN).text, "-9,223,372,036,854,775,808") == 0);
}

static uint32_t count_rows(tr_str lines)
{
    tr_json_cutter cutter = {.text = lines};
    uint32_t count = 0;
    tr_str line;
    while (tr_json_next_row(&cutter, &line)) {
        json_t *row = NULL;
        count += tr_json_parse(line, &row, NULL) == TR_OK &&
                 json_object_size(json_object_get(row, "identityMap")) > 0;
        json_decref(row);
    }
    CHECK(!cutter.is_broken);
    return count;
}

static void the_demos_people_are_valid_and_always_the_same(void)
{
    tr_demo_data one = {0}, two = {0};
    CHECK(tr_demo_data_make(300, 20, &one, NULL) == TR_OK);
    CHECK(tr_demo_data_make(300, 20, &two, NULL) == TR_OK);
    CHECK(tr_str_equal(tr_buf_str(&one.crm), tr_buf_str(&two.crm)));
    CHECK(tr_str_equal(tr_buf_str(&one.web), tr_buf_str(&two.web)));
    CHECK(one.crm_rows == 240 && count_rows(tr_buf_str(&one.crm)) == 240);
    CHECK(one.loyalty_rows == 180 && count_rows(tr_buf_str(&one.loyalty)) == 180);
    CHECK(one.web_rows > 120 && count_rows(tr_buf_str(&one.web)) == one.web_rows);
    tr_demo_data_free(&one);
    tr_demo_data_free(&two);
}

int main(void)
{
    int passed = 0, failed = 0;
    if (mkdtemp(folder) == NULL || freopen("/dev/null", "w", stderr) == NULL)
        return 1;
    RUN(every_kind_of_argument_is_read);
    RUN(behind_two_dashes_everything_is_a_word);
    RUN(a_mistake_in_an_argument_is_refused);
    RUN(as_many_list_items_as_have_room_are_taken);
    RUN(a_settings_file_is_read);
    RUN(a_mistake_in_a_settings_file_is_named_with_its_line);
    RUN(settings_that_do_not_fit_are_refused);
    RUN(sql_is_served_unless_told_otherwise);
    RUN(a_data_folder_has_one_server);
    RUN(port_zero_becomes_a_free_port);
    RUN(only_loopback_is_loopback);
    RUN(digits_are_grouped);
    RUN(the_demos_people_are_valid_and_always_the_same);
    if (tr_dir_remove(folder, NULL) != TR_OK)
        return 1;
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
