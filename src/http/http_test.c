/* SPDX-License-Identifier: Apache-2.0 */
/* http_test.c - goal: well-formed requests arrive as they were sent, everything else is refused,
 * and nobody can hold the server up. Method: a real server, raw bytes over loopback. */
#include "base/clock.h"
#include "base/limits.h"
#include "base/test.h"
#include "http/http.h"
#include "http/test_client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

static tr_http_server *server;
static char scratch[] = "/tmp/tributary_http_XXXXXX";
static int slow_gate[2]; /* a handler of /slow waits until a byte comes */

/* The server under test ----------------------------------------------------------------------- */

static uint64_t body_max(void *ctx, const tr_http_request *head)
{
    (void)ctx;
    return tr_str_is(head->segments[0], "tiny") ? 10 : UINT64_C(600) << 20;
}

static uint32_t sum_of(tr_str bytes)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.len; i++)
        sum = sum * 31 + bytes.at[i];
    return sum;
}

static tr_code describe(const tr_http_request *request, tr_buf *out)
{
    TR_TRY(tr_buf_format(out, NULL, "%s", request->method));
    for (uint32_t i = 0; i < request->segment_count; i++)
        TR_TRY(tr_buf_format(out, NULL, " [%.*s]", TR_STR_ARG(request->segments[i])));
    for (uint32_t i = 0; i < request->query_count; i++)
        TR_TRY(tr_buf_format(out, NULL, " {%.*s=%.*s}", TR_STR_ARG(request->query[i].name),
                             TR_STR_ARG(request->query[i].value)));
    return tr_buf_format(out, NULL, " x=%.*s last=%.*s body=%zu/%u",
                         TR_STR_ARG(tr_http_header(request, "x-a")),
                         TR_STR_ARG(tr_http_query(request, "q")), request->body.len,
                         sum_of(request->body));
}

static void handle(void *ctx, const tr_http_request *request, tr_http_response *response)
{
    (void)ctx;
    char byte;
    const tr_str first = request->segment_count > 0 ? request->segments[0] : (tr_str){0};
    if (tr_str_is(first, "slow") && request->may_defer) {
        response->is_deferred = true;
        return;
    }
    if (tr_str_is(first, "slow"))
        CHECK(read(slow_gate[0], &byte, 1) == 1);
    if (tr_str_is(first, "file")) {
        response->status = 206;
        response->content_type = "application/octet-stream";
        response->file_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
        response->file_from = 1;
        response->file_bytes = 3;
        return;
    }
    if (tr_str_is(first, "empty")) {
        response->status = 204;
        return;
    }
    response->content_type = "text/plain";
    CHECK(tr_http_add_header(response, request->arena, "X-Test", tr_str_of("yes"), NULL) == TR_OK);
    CHECK(describe(request, &response->body) == TR_OK);
}

static const tr_http_handler handler = {.body_max = body_max, .handle = handle};

static void start(uint32_t connections_max, uint32_t timeout_s)
{
    tr_err err = {0};
    const tr_http_options options = {.listen = "127.0.0.1:0",
                                     .thread_count = 4,
                                     .connections_max = connections_max,
                                     .timeout_s = timeout_s,
                                     .scratch_folder = scratch};
    if (tr_http_start(&options, &handler, &server, &err) != TR_OK) {
        printf("%s\n", err.text);
        exit(1);
    }
}

/* A raw client -------------------------------------------------------------------------------- */

static int dial(void)
{
    return dial_at(tr_http_port(server));
}

/* One request on a connection of its own. */
static int ask(const char *bytes, size_t len, char *out, size_t size)
{
    const int fd = dial();
    say(fd, bytes, len);
    const int status = hear(fd, out, size, true);
    (void)close(fd);
    return status;
}

static int ask_text(const char *text, char *out, size_t size)
{
    return ask(text, strlen(text), out, size);
}

/* Whether the server ends the connection; what it still sends is not another answer of ours. */
static bool is_closed(int fd)
{
    char rest[4096];
    ssize_t got;
    while ((got = recv(fd, rest, sizeof rest - 1, 0)) > 0) {
        rest[got] = '\0';
        if (strstr(rest, "body=") != NULL)
            return false;
    }
    return got == 0 || errno == ECONNRESET;
}

/* Tests --------------------------------------------------------------------------------------- */

static void a_request_arrives_as_it_was_sent(void)
{
    char out[4096];
    CHECK(ask_text("GET /a%2Fb//c%20d/?q=1&q=2+3&q=&n&p=50%25&s=5% HTTP/1.1\r\n" HOST
                   "X-A: v w \r\n\r\n",
                   out, sizeof out) == 200);
    CHECK(strstr(out, "GET [a/b] [c d] {q=1} {q=2 3} {q=} {n=} {p=50%} {s=5%} x=v w last=2 3 "
                      "body=0/0") != NULL);
    CHECK(strstr(out, "X-Test: yes\r\n") != NULL);
    CHECK(strstr(out, "Content-Type: text/plain\r\n") != NULL);
    CHECK(ask_text("GET http://other/p HTTP/1.1\r\n" HOST "\r\n", out, sizeof out) == 200);
    CHECK(strstr(out, "GET [p] x=") != NULL);
    CHECK(ask_text("GET / HTTP/1.0\r\n\r\n", out, sizeof out) == 200);
    CHECK(ask_text("PATCH /p HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", out, sizeof out) ==
          200);
    CHECK(strstr(out, "PATCH [p] x= last= body=3/96354") != NULL);
}

static void a_connection_serves_request_after_request(void)
{
    char out[4096];
    const char *two = "GET /1 HTTP/1.1\r\n" HOST "\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n";
    const char *post = "POST /3 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx";
    const int fd = dial();
    say(fd, two, strlen(two));
    CHECK(hear(fd, out, sizeof out, true) == 200 && strstr(out, "GET [1]") != NULL);
    CHECK(hear(fd, out, sizeof out, true) == 200 && strstr(out, "GET [2]") != NULL);
    for (int i = 0; i < 50; i++) {
        say(fd, post, strlen(post));
        CHECK(hear(fd, out, sizeof out, true) == 200 && strstr(out, "POST [3]") != NULL);
    }
    (void)close(fd);
}

static void head_and_204_have_no_body(void)
{
    char out[4096];
    const char *head = "HEAD /p HTTP/1.1\r\n" HOST "\r\n";
    const char *empty = "DELETE /empty HTTP/1.1\r\n" HOST "\r\n";
    const char *get = "GET /q HTTP/1.1\r\n" HOST "\r\n";
    const int fd = dial();
    say(fd, head, strlen(head));
    CHECK(hear(fd, out, sizeof out, false) == 200);
    CHECK(strstr(out, "Content-Length: 30\r\n") != NULL || strstr(out, "Content-Length: ") != NULL);
    say(fd, empty, strlen(empty));
    CHECK(hear(fd, out, sizeof out, false) == 204);
    CHECK(strstr(out, "Content-Type") == NULL);
    say(fd, get, strlen(get)); /* nothing is left of the answers before */
    CHECK(hear(fd, out, sizeof out, true) == 200 && strstr(out, "GET [q]") != NULL);
    (void)close(fd);
}

static void a_file_is_sent_in_part(void)
{
    char out[4096];
    CHECK(ask_text("GET /file HTTP/1.1\r\n" HOST "\r\n", out, sizeof out) == 206);
    CHECK(strstr(out, "\r\n\r\nELF") != NULL);
    CHECK(strstr(out, "Content-Length: 3\r\n") != NULL);
}

typedef struct hostile {
    const char *request;
    size_t len;
    int status; /* 0: closed without an answer */
} hostile;

#define TEXT(request, status) {request, sizeof(request) - 1, status}
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST /p HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const hostile hostiles[] = {
    /* framing */
    TEXT(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Content-Length: 3\r\ntransfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3, 3\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: +3\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: -3\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 0x3\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3 \t\r\n\r\nabc", 400),
    TEXT(POST "Content-Length:\r\n\r\n", 400),
    TEXT(POST "Content-Length: 99999999999999999999\r\n\r\n", 413),
    TEXT(POST "Content-Length: 9223372036854775807\r\n\r\n", 413),
    TEXT(POST "Transfer-Encoding: identity\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding:\x0b" "chunked\r\n\r\n0\r\n\r\n", 400),
    TEXT("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc\r\n", 413),
    TEXT(POST "Transfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "5\r\nhello\r\n0\r\nContent-Length: 5\r\n bad\x01\r\n", 0),
    TEXT(CHUNKED "0x5\r\nhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "5 \r\nhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED " 5\r\nhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "+5\r\nhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "5\r\nhelloX\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "5\r\nhel\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "5\rhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "\r\nhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED ";x\r\nhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "g\r\nhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "5\0\r\nhello\r\n0\r\n\r\n", 400),
    TEXT(CHUNKED "10000000000000000\r\nhello\r\n0\r\n\r\n", 413),
    TEXT(CHUNKED "-5\r\nhello\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunked\0\r\nX: y\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding: chunk\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    TEXT(POST "Content-Length: 3\r\nContent-Length : 4\r\n\r\nabc", 400),
    TEXT(POST "Content-Length\0: 3\r\nX: y\r\n\r\nabc", 400),
    TEXT(POST "X: y\0\r\nContent-Length: 3\r\n\r\nabc", 400),
    TEXT(POST "X: y\r\n: z\r\nContent-Length: 3\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3\r\n Content-Length: 4\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3\nContent-Length: 4\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3\rContent-Length: 4\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3\0\r\nX: y\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3abc\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 3.0\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 1e3\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: \xd9\xa3\r\n\r\nabc", 400),
    TEXT(POST "Content-Length: 18446744073709551619\r\n\r\nabc", 413),
    /* hosts */
    TEXT("GET / HTTP/1.1\r\n\r\n", 400),
    TEXT(GET "Host: y\r\n\r\n", 400),
    TEXT(GET "host: x\r\n\r\n", 400),
    /* lines */
    TEXT(GET "X-A: a\r\n b\r\n\r\n", 400),
    TEXT(GET "X-A: a\r\n\tb\r\nX-B: c\r\n\r\n", 400),
    TEXT(GET "X-A:\r\n Content-Length: 5\r\n\r\n", 400),
    TEXT("GET / HTTP/1.1\r\n " HOST "\r\n", 400),
    TEXT("GET / HTTP/1.1\n" HOST "\r\n", 400),
    TEXT(GET "X-A: a\nX-B: b\r\n\r\n", 400),
    TEXT(GET "X-A: a\rX-B: b\r\n\r\n", 400),
    TEXT(GET "X-A: a\0b\r\n\r\n", 400),
    TEXT(GET "X\0-A: a\r\n\r\n", 400),
    TEXT(GET "no colon\r\n\r\n", 400),
    TEXT(GET ": nameless\r\n\r\n", 400),
    TEXT(GET ": nameless\r\nGET /2 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET / HTTP/1.0\r\n: nameless\r\n\r\n", 400),
    TEXT(GET "\nGET /2 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT(GET "X A: a\r\n\r\n", 400),
    TEXT(GET "X-A\t: a\r\n\r\n", 400),
    TEXT(GET "X(A): a\r\n\r\n", 400),
    TEXT(GET "X-A: \x01\r\n\r\n", 400),
    TEXT(GET "X-A: \x7f\r\n\r\n", 400),
    /* request line */
    TEXT("GET /a b HTTP/1.1\r\n" HOST "\r\n", 0),
    TEXT("GET  / HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /  HTTP/1.1\r\n" HOST "\r\n", 0),
    TEXT("GET / HTTP/1.1 \r\n" HOST "\r\n", 400),
    TEXT("GET /a\0b HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /?a\0b HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("G@T / HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /\r\n" HOST "\r\n", 400),
    TEXT("GET / HTTP/1.1x\r\n" HOST "\r\n", 400),
    TEXT("GET / http/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET / HTTP/2.0\r\n" HOST "\r\n", 505),
    TEXT("GET / HTTP/0.9\r\n" HOST "\r\n", 505),
    TEXT("GET p HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("CONNECT x:80 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET ftp://x/p HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /p#f HTTP/1.1\r\n" HOST "\r\n", 400),
    /* paths and queries */
    TEXT("GET /../p HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /a/.. HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /a/%2e%2e/p HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /a/.%2E HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /a%2F..%2Fp HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /%00 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /a%0d%0ab HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /%7f HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /\x01 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /%ff HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /%c0%ae HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /%ed%a0%80 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /%zz HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /%4 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /% HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /?q=%00 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /?q=%ff HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("GET /?%ff=1 HTTP/1.1\r\n" HOST "\r\n", 400),
    TEXT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 0),
};

static void what_could_be_read_in_two_ways_is_refused_and_the_connection_closed(void)
{
    for (size_t i = 0; i < sizeof hostiles / sizeof hostiles[0]; i++) {
        char out[4096];
        const hostile *h = &hostiles[i];
        const int fd = dial();
        say(fd, h->request, h->len);
        (void)shutdown(fd, SHUT_WR);
        const int status = hear(fd, out, sizeof out, true);
        if (status != h->status || strstr(out, "body=") != NULL)
            printf("hostile %zu: status %d, expected %d: %.60s\n", i, status, h->status,
                   h->request);
        CHECK(status == h->status && strstr(out, "body=") == NULL);
        CHECK(is_closed(fd));
        (void)close(fd);
    }
}

/* A GET whose URL and header block have these lengths. */
static int ask_of_size(size_t url_len, size_t block_len)
{
    static char out[128 * 1024];
    tr_buf request = {0};
    const size_t own = strlen("Hostx") + 4 + strlen("X-A") + 4;
    char *url = calloc(1, url_len + 1), *value = calloc(1, block_len - own + 1);
    memset(url, 'u', url_len);
    memset(value, 'v', block_len - own);
    url[0] = '/';
    CHECK(tr_buf_format(&request, NULL, "GET %s HTTP/1.1\r\n" HOST "X-A: %s\r\n\r\n", url, value) ==
          TR_OK);
    const int status = ask((const char *)request.at, request.len, out, sizeof out);
    free(url);
    free(value);
    tr_buf_free(&request);
    return status;
}

static void url_and_headers_have_limits(void)
{
    CHECK(ask_of_size(TR_URL_BYTES_MAX, 100) == 200);
    CHECK(ask_of_size(TR_URL_BYTES_MAX + 1, 100) == 414);
    CHECK(ask_of_size(10, TR_HEADER_BLOCK_BYTES_MAX) == 200);
    CHECK(ask_of_size(10, TR_HEADER_BLOCK_BYTES_MAX + 1) == 431);
    CHECK(ask_of_size(TR_URL_BYTES_MAX, TR_HEADER_BLOCK_BYTES_MAX) == 200);
    CHECK(ask_of_size(10, 60000) == 431);
    CHECK(ask_of_size(60000, 100) == 414);
}

static bool ask_with_body(size_t bytes, bool is_chunked)
{
    char head[256], out[4096], wanted[64];
    uint8_t *body = malloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++)
        body[i] = (uint8_t)(i * 7 + i / 251);
    (void)snprintf(head, sizeof head,
                   is_chunked ? POST "Transfer-Encoding: chunked\r\n\r\n%zx\r\n"
                              : POST "Content-Length: %zu\r\n\r\n",
                   bytes);
    (void)snprintf(wanted, sizeof wanted, "body=%zu/%u", bytes, sum_of((tr_str){body, bytes}));
    const int fd = dial();
    say(fd, head, strlen(head));
    say(fd, (const char *)body, bytes);
    if (is_chunked)
        say(fd, "\r\n0\r\n\r\n", 7);
    const bool is_good =
        hear(fd, out, sizeof out, true) == 200 && strstr(out, wanted) != NULL;
    (void)close(fd);
    free(body);
    return is_good;
}

static void bodies_arrive_whole_small_and_large(void)
{
    CHECK(ask_with_body(1, true));
    CHECK(ask_with_body(TR_BODY_MEMORY_BYTES_MAX, false));
    CHECK(ask_with_body(TR_BODY_MEMORY_BYTES_MAX + 1, false));
    CHECK(ask_with_body(TR_BODY_MEMORY_BYTES_MAX + 1, true));
    CHECK(ask_with_body(9 << 20, false));
    CHECK(ask_with_body(9 << 20, true));
    char command[128];
    (void)snprintf(command, sizeof command, "test -z \"$(ls -A %s)\"", scratch);
    CHECK(system(command) == 0);
}

static void a_body_that_is_too_large_is_refused_before_it_arrives(void)
{
    char out[4096];
    const char *expects = "POST /tiny HTTP/1.1\r\n" HOST
                          "Content-Length: 11\r\nExpect: 100-continue\r\n\r\n";
    int fd = dial();
    say(fd, expects, strlen(expects));
    CHECK(hear(fd, out, sizeof out, true) == 413);
    CHECK(strstr(out, "Connection: close\r\n") != NULL && is_closed(fd));
    (void)close(fd);
    const char *fits = "POST /tiny HTTP/1.1\r\n" HOST
                       "Content-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    fd = dial();
    say(fd, fits, strlen(fits));
    CHECK(hear(fd, out, sizeof out, true) == 100);
    say(fd, "0123456789", 10);
    CHECK(hear(fd, out, sizeof out, true) == 200 && strstr(out, "body=10/") != NULL);
    (void)close(fd);
    CHECK(ask_text("POST /tiny HTTP/1.1\r\n" HOST
                   "Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n",
                   out, sizeof out) == 413);
}

/* others  what is asked while all of the threads, and more, have such a request */
static void hold_with(const char *request, const char *others)
{
    char out[4096];
    enum { SLOW = 6, OTHERS = 40 };
    int slow[SLOW];
    for (int i = 0; i < SLOW; i++) {
        slow[i] = dial();
        say(slow[i], request, strlen(request));
    }
    for (int i = 0; i < OTHERS; i++)
        CHECK(ask_text(others, out, sizeof out) == 200);
    for (int i = 0; i < SLOW; i++)
        CHECK(write(slow_gate[1], "x", 1) == 1);
    for (int i = 0; i < SLOW; i++) {
        CHECK(hear(slow[i], out, sizeof out, true) == 200);
        (void)close(slow[i]);
    }
}

static void a_slow_handler_holds_nobody_else(void)
{
    hold_with("POST /slow HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", GET "\r\n");
}

static void a_read_that_is_put_off_holds_nobody_either(void)
{
    hold_with("GET /slow HTTP/1.1\r\n" HOST "\r\n", GET "\r\n");
}

static void reads_that_are_put_off_leave_threads_for_the_rest(void)
{
    hold_with("GET /slow HTTP/1.1\r\n" HOST "\r\n",
              "POST /a HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx");
}

static void ranges_are_read_as_rfc_9110_says(void)
{
    static const struct {
        const char *header;
        uint64_t total;
        bool is_range, is_satisfiable;
        uint64_t from, bytes;
    } cases[] = {{"bytes=0-0", 10, true, true, 0, 1},
                 {"bytes=0-9", 10, true, true, 0, 10},
                 {"bytes=0-10", 10, true, true, 0, 10},
                 {"Bytes=4-", 10, true, true, 4, 6},
                 {"bytes=9-9", 10, true, true, 9, 1},
                 {"bytes=10-", 10, true, false, 0, 0},
                 {"bytes=10-20", 10, true, false, 0, 0},
                 {"bytes=-3", 10, true, true, 7, 3},
                 {"bytes=-30", 10, true, true, 0, 10},
                 {"bytes=-0", 10, true, false, 0, 0},
                 {"bytes=0-", 0, true, false, 0, 0},
                 {"bytes=0-99999999999999999999", 10, true, true, 0, 10},
                 {"bytes=99999999999999999999-", 10, true, false, 0, 0},
                 {"bytes=5-4", 10, false, false, 0, 0},
                 {"bytes=0-1,3-4", 10, false, false, 0, 0},
                 {"bytes=-", 10, false, false, 0, 0},
                 {"bytes=", 10, false, false, 0, 0},
                 {"bytes=a-b", 10, false, false, 0, 0},
                 {"bytes=--5", 10, false, false, 0, 0},
                 {"bytes= 1-2", 10, false, false, 0, 0},
                 {"items=0-1", 10, false, false, 0, 0},
                 {"", 10, false, false, 0, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t from = 0, bytes = 0;
        bool is_satisfiable = false;
        const bool is_range = tr_http_range(tr_str_of(cases[i].header), cases[i].total, &from,
                                            &bytes, &is_satisfiable);
        if (is_range != cases[i].is_range)
            printf("%s\n", cases[i].header);
        CHECK(is_range == cases[i].is_range);
        CHECK(!is_range || is_satisfiable == cases[i].is_satisfiable);
        CHECK(!is_range || !is_satisfiable ||
              (from == cases[i].from && bytes == cases[i].bytes));
    }
}

static void a_client_that_goes_away_is_forgotten(void)
{
    char out[4096];
    const char *unfinished = POST "Content-Length: 100\r\n\r\nabc";
    for (int i = 0; i < 50; i++) {
        const int fd = dial();
        say(fd, unfinished, strlen(unfinished));
        (void)close(fd);
    }
    CHECK(ask_text(GET "\r\n", out, sizeof out) == 200);
}

static void half_a_request_that_ends_is_closed(void)
{
    const int64_t begun = tr_time_monotonic_us();
    const char *half = POST "Content-Length: 9\r\n\r\nabc";
    const int fd = dial();
    say(fd, half, strlen(half));
    (void)shutdown(fd, SHUT_WR);
    CHECK(is_closed(fd));
    CHECK(tr_time_monotonic_us() - begun < 3000000);
    (void)close(fd);
}

static void a_client_that_drips_is_cut(void)
{
    const int64_t begun = tr_time_monotonic_us();
    const struct timespec pause = {.tv_nsec = 100000000};
    char byte;
    const int fd = dial();
    for (int i = 0; i < 50; i++) {
        if (send(fd, "G", 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, MSG_DONTWAIT) == 0)
            break;
        (void)nanosleep(&pause, NULL);
    }
    (void)close(fd);
    CHECK(tr_time_monotonic_us() - begun < 4000000);
}

static void idle_connections_make_room(void)
{
    enum { IDLE = 24 };
    int idle[IDLE];
    char out[4096];
    tr_http_stop(server);
    start(16, 30);
    for (int i = 0; i < IDLE; i++)
        idle[i] = dial();
    CHECK(ask_text(GET "\r\n", out, sizeof out) == 200);
    for (int i = 0; i < IDLE; i++)
        (void)close(idle[i]);
}

static void *stop(void *ctx)
{
    (void)ctx;
    tr_http_stop(server);
    return NULL;
}

static void stopping_lets_requests_finish(void)
{
    char out[4096];
    pthread_t thread;
    const struct timespec pause = {.tv_nsec = 100000000};
    const char *post = "POST /slow HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n";
    const int fd = dial();
    say(fd, post, strlen(post));
    (void)nanosleep(&pause, NULL);
    CHECK(pthread_create(&thread, NULL, stop, NULL) == 0);
    (void)nanosleep(&pause, NULL);
    CHECK(write(slow_gate[1], "x", 1) == 1);
    CHECK(hear(fd, out, sizeof out, true) == 200);
    CHECK(strstr(out, "POST [slow]") != NULL && strstr(out, "Connection: close\r\n") != NULL);
    CHECK(pthread_join(thread, NULL) == 0);
    (void)close(fd);
}

static void a_wrong_address_is_an_error(void)
{
    static const char *const wrong[] = {"",     "8080",   ":8080",          "127.0.0.1:",
                                        "x:y:", "1.2.3:", "127.0.0.1:999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tr_err err = {0};
        tr_http_server *none = NULL;
        const tr_http_options options = {.listen = wrong[i], .thread_count = 1};
        CHECK(tr_http_start(&options, &handler, &none, &err) != TR_OK);
        CHECK(none == NULL && err.text[0] != '\0');
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (mkdtemp(scratch) == NULL || pipe(slow_gate) != 0)
        return 1;
    start(0, 1);
    RUN(a_request_arrives_as_it_was_sent);
    RUN(a_connection_serves_request_after_request);
    RUN(head_and_204_have_no_body);
    RUN(a_file_is_sent_in_part);
    RUN(what_could_be_read_in_two_ways_is_refused_and_the_connection_closed);
    RUN(url_and_headers_have_limits);
    RUN(bodies_arrive_whole_small_and_large);
    RUN(a_body_that_is_too_large_is_refused_before_it_arrives);
    RUN(a_slow_handler_holds_nobody_else);
    RUN(a_read_that_is_put_off_holds_nobody_either);
    RUN(reads_that_are_put_off_leave_threads_for_the_rest);
    RUN(ranges_are_read_as_rfc_9110_says);
    RUN(a_client_that_goes_away_is_forgotten);
    RUN(half_a_request_that_ends_is_closed);
    RUN(a_client_that_drips_is_cut);
    RUN(idle_connections_make_room);
    RUN(stopping_lets_requests_finish);
    RUN(a_wrong_address_is_an_error);
    (void)rmdir(scratch);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
