/* SPDX-License-Identifier: Apache-2.0 */
/* test_client.h - a client for the tests that sends bytes as they are, over loopback. */
#ifndef TR_HTTP_TEST_CLIENT_H
#define TR_HTTP_TEST_CLIENT_H

#include "base/str.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#define HOST "Host: x\r\n"

/* Waits 10 s at most for what it reads. Exits when nobody listens. */
static inline int dial_at(uint16_t port)
{
    const struct timeval patience = {.tv_sec = 10};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        exit(1);
    return fd;
}

static inline void say(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t sent = send(fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server has closed: its answer is what counts */
        bytes += sent;
        len -= (size_t)sent;
    }
}

static inline int64_t number_at(const char *text)
{
    int64_t value = 0;
    (void)!tr_str_to_i64((tr_str){(const uint8_t *)text, strspn(text, "0123456789")}, &value);
    return value;
}

/* Reads one answer with a Content-Length into `out`; its status, or 0 when the connection ended. */
static inline int hear(int fd, char *out, size_t size, bool has_body)
{
    size_t len = 0, wanted = SIZE_MAX;
    int status = 0;
    out[0] = '\0';
    while (len < wanted && len + 1 < size) {
        const size_t room = size - 1 - len;
        const size_t more = wanted == SIZE_MAX ? 1 : wanted - len;
        const ssize_t got = recv(fd, out + len, more < room ? more : room, 0);
        if (got <= 0)
            return status;
        len += (size_t)got;
        out[len] = '\0';
        if (wanted != SIZE_MAX || len < 4 || strcmp(out + len - 4, "\r\n\r\n") != 0)
            continue;
        const char *length = strstr(out, "Content-Length: ");
        status = (int)number_at(out + 9);
        wanted = len + (length == NULL || !has_body ? 0 : (size_t)number_at(length + 16));
    }
    return status;
}

#endif
