/* SPDX-License-Identifier: Apache-2.0 */
/* http_accept_test.c - goal: connections fall evenly on the event threads whatever came before,
 * and at a limit they wait, without an answer and without work. Method: a real server whose answers
 * say which thread gave them; the descriptors of this process say when it has closed one. */
#include "base/clock.h"
#include "base/test.h"
#include "http/http.h"
#include "http/test_client.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, OPEN = 16, LIMIT = 16, HOG_BYTES = 16 * 1024 };

static tr_http_server *server;
static int slow_gate[2]; /* a handler of a POST waits until a byte comes */

/* The server under test ----------------------------------------------------------------------- */

static void **hogged; /* a list of all the memory that a handler of /hog gets */

static void hog_memory(void)
{
    void **piece;
    while ((piece = malloc(HOG_BYTES)) != NULL) {
        *piece = hogged;
        hogged = (void **)piece;
    }
}

static void free_hogged(void)
{
    while (hogged != NULL) {
        void **next = *hogged;
        free(hogged);
        hogged = next;
    }
}

static void handle(void *ctx, const tr_http_request *request, tr_http_response *response)
{
    char byte;
    (void)ctx;
    if (strcmp(request->method, "POST") == 0)
        CHECK(read(slow_gate[0], &byte, 1) == 1);
    if (request->segment_count > 0)
        hog_memory();
    CHECK(tr_buf_format(&response->body, NULL, "thread=%d", gettid()) == TR_OK);
}

static void start(uint32_t connections_max, uint32_t timeout_s)
{
    tr_err err = {0};
    const tr_http_handler handler = {.handle = handle};
    const tr_http_options options = {.listen = "127.0.0.1:0",
                                     .thread_count = 4,
                                     .event_thread_count = THREADS,
                                     .connections_max = connections_max,
                                     .timeout_s = timeout_s};
    if (tr_http_start(&options, &handler, &server, &err) != TR_OK) {
        printf("%s\n", err.text);
        exit(1);
    }
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count;
}

static void pause_ms(int ms)
{
    const struct timespec pause = {.tv_nsec = ms * 1000000L};
    (void)nanosleep(&pause, NULL);
}

/* The server learns of an end on its own time, and closes its side behind having noted it. */
static bool come_down_to(int descriptors)
{
    for (int i = 0; i < 1000 && open_descriptors() > descriptors; i++)
        pause_ms(5);
    return open_descriptors() == descriptors;
}

/* Clients ------------------------------------------------------------------------------------- */

static const char get[] = "GET / HTTP/1.1\r\n" HOST "\r\n";
static const char hog[] = "GET /hog HTTP/1.1\r\n" HOST "\r\n";
static const char post[] = "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n";

/* The thread that answered; 0: none did. */
static int hear_thread(int fd)
{
    char out[1024];
    if (hear(fd, out, sizeof out, true) != 200)
        return 0;
    const char *thread = strstr(out, "thread=");
    return thread == NULL ? 0 : (int)number_at(thread + 7);
}

static int ask(int fd)
{
    say(fd, get, sizeof get - 1);
    return hear_thread(fd);
}

static bool is_answered(int fd, int ms)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};
    return poll(&one, 1, ms) == 1;
}

typedef struct crowd {
    int fds[OPEN];     /* -1: none */
    int threads[OPEN]; /* that serve them */
} crowd;

static void fill(crowd *all)
{
    for (int i = 0; i < OPEN; i++)
        if (all->fds[i] < 0)
            all->fds[i] = dial_at(tr_http_port(server));
    for (int i = 0; i < OPEN; i++)
        all->threads[i] = ask(all->fds[i]);
}

static int leave(crowd *all, int i)
{
    if (all->fds[i] < 0)
        return 0;
    (void)close(all->fds[i]);
    all->fds[i] = -1;
    return 1;
}

static int served_by(const crowd *all, int thread)
{
    int count = 0;
    for (int i = 0; i < OPEN; i++)
        count += all->threads[i] == thread;
    return count;
}

/* Half of them on the thread of the first, the other half on one other. */
static bool is_even(const crowd *all)
{
    for (int i = 0; i < OPEN; i++)
        if (all->threads[i] == 0 || served_by(all, all->threads[i]) != OPEN / THREADS)
            return false;
    return true;
}

/* Tests --------------------------------------------------------------------------------------- */

static void connections_fall_evenly_on_the_event_threads(void)
{
    crowd all;
    memset(all.fds, 0xff, sizeof all.fds);
    start(0, 30);
    fill(&all);
    CHECK(is_even(&all));
    for (int i = 0; i < OPEN; i++)
        (void)leave(&all, i);
    tr_http_stop(server);
}

static void they_still_do_when_a_thousand_came_and_went(void)
{
    crowd all;
    int gone = 0;
    uint64_t seed = tr_test_seed(16);
    memset(all.fds, 0xff, sizeof all.fds);
    start(0, 30);
    const int none = open_descriptors();
    for (int round = 0; gone < 1000; round++) {
        int left = OPEN;
        fill(&all);
        if (!is_even(&all))
            printf("round %d, %d gone: uneven\n", round, gone);
        CHECK(is_even(&all));
        const int thread = all.threads[0]; /* every third time all of one thread go */
        for (int i = 0; i < OPEN; i++)
            if (round % 3 == 0 ? all.threads[i] == thread : tr_test_random(&seed) % 4 > 0)
                left -= leave(&all, i);
        gone += OPEN - left;
        CHECK(come_down_to(none + 2 * left)); /* both ends are ours */
    }
    for (int i = 0; i < OPEN; i++)
        (void)leave(&all, i);
    tr_http_stop(server);
}

static void those_over_the_limit_wait_until_one_ends(void)
{
    int busy[LIMIT];
    start(LIMIT, 30);
    for (int i = 0; i < LIMIT; i++) {
        busy[i] = dial_at(tr_http_port(server));
        say(busy[i], post, sizeof post - 1);
    }
    pause_ms(100); /* they are under way, so that none makes room */
    const int one_more = dial_at(tr_http_port(server));
    say(one_more, get, sizeof get - 1);
    CHECK(!is_answered(one_more, 300));
    (void)close(busy[0]);
    for (int i = 0; i < LIMIT; i++)
        CHECK(write(slow_gate[1], "x", 1) == 1);
    CHECK(hear_thread(one_more) > 0);
    for (int i = 1; i < LIMIT; i++) {
        CHECK(hear_thread(busy[i]) > 0);
        (void)close(busy[i]);
    }
    (void)close(one_more);
    tr_http_stop(server);
}

static int64_t cpu_us(void)
{
    struct rusage used;
    CHECK(getrusage(RUSAGE_SELF, &used) == 0);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * INT64_C(1000000) +
           used.ru_utime.tv_usec + used.ru_stime.tv_usec;
}

static int use_up_descriptors(int *files, int size)
{
    int count = 0;
    while (count < size && (files[count] = dup(slow_gate[0])) >= 0)
        count++;
    CHECK(count < size);
    return count;
}

static void without_descriptors_they_wait_and_nobody_spins(void)
{
    enum { FILES = 200, CLIENTS = 3 };
    int files[FILES], clients[CLIENTS], answered = 0;
    struct rlimit before, few;
    start(0, 30);
    const struct sockaddr_in at = {.sin_family = AF_INET,
                                   .sin_port = htons(tr_http_port(server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = (struct rlimit){.rlim_cur = 100, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    int count = use_up_descriptors(files, FILES);
    for (int i = 0; i < CLIENTS; i++) {
        CHECK(connect(clients[i], (const struct sockaddr *)&at, sizeof at) == 0);
        say(clients[i], get, sizeof get - 1);
    }
    const int64_t begun = cpu_us();
    pause_ms(400);
    CHECK(cpu_us() - begun < 80000);
    for (int i = 0; i < CLIENTS; i++)
        answered += is_answered(clients[i], 0);
    CHECK(answered <= 1); /* an accept that waits has its descriptor already */
    while (count > 0)
        (void)close(files[--count]);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    for (int i = 0; i < CLIENTS; i++) { /* none of them ended: it tries again by itself */
        CHECK(hear_thread(clients[i]) > 0);
        (void)close(clients[i]);
    }
    tr_http_stop(server);
}

static void connections_without_memory_do_not_count_for_ever(void)
{
    int fds[LIMIT];
    struct rlimit before, none;
    start(LIMIT, 1);
    const int descriptors = open_descriptors();
    for (int i = 0; i < THREADS; i++)
        fds[i] = dial_at(tr_http_port(server));
    CHECK(ask(fds[0]) != ask(fds[1]));
    CHECK(getrlimit(RLIMIT_DATA, &before) == 0);
    none = (struct rlimit){.rlim_cur = 1, .rlim_max = before.rlim_max};
    CHECK(setrlimit(RLIMIT_DATA, &none) == 0);
    for (int i = 0; i < THREADS; i++) {
        say(fds[i], hog, sizeof hog - 1);
        CHECK(hear_thread(fds[i]) > 0);
    }
    for (int i = THREADS; i < LIMIT; i++) {
        fds[i] = dial_at(tr_http_port(server));
        CHECK(ask(fds[i]) == 0); /* closed without an answer */
    }
    free_hogged();
    CHECK(setrlimit(RLIMIT_DATA, &before) == 0);
    const int fd = dial_at(tr_http_port(server));
    say(fd, get, sizeof get - 1);
    CHECK(!is_answered(fd, 50)); /* the others count still */
    CHECK(hear_thread(fd) > 0);
    (void)close(fd);
    for (int i = 0; i < LIMIT; i++)
        (void)close(fds[i]);
    CHECK(come_down_to(descriptors));
    tr_http_stop(server);
}

static void nothing_is_left_of_a_server_that_stops(void)
{
    const int before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        start(0, 30);
        const int asked = dial_at(tr_http_port(server)), silent = dial_at(tr_http_port(server));
        CHECK(ask(asked) > 0);
        tr_http_stop(server);
        (void)close(asked);
        (void)close(silent);
    }
    CHECK(open_descriptors() == before);
}

int main(void)
{
    int passed = 0, failed = 0;
    bool is_plain = false;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (pipe(slow_gate) != 0)
        return 1;
    RUN(connections_fall_evenly_on_the_event_threads);
    RUN(they_still_do_when_a_thousand_came_and_went);
    RUN(those_over_the_limit_wait_until_one_ends);
    RUN(without_descriptors_they_wait_and_nobody_spins);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    is_plain = true;
#endif
    if (is_plain) /* the sanitizers need memory for themselves, or end the process */
        RUN(connections_without_memory_do_not_count_for_ever);
    RUN(nothing_is_left_of_a_server_that_stops);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
