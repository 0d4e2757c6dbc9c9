/* SPDX-License-Identifier: Apache-2.0 */
/* data_folder.c - the server's own folder, and the address it listens on. */
#include "app/server.h"
#include "app/server_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

tr_code tr_data_path(const char *data, const char *name, char out[TR_DATA_PATH_BYTES], tr_err *err)
{
    return snprintf(out, TR_DATA_PATH_BYTES, "%s/%s", data, name) < TR_DATA_PATH_BYTES
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "the path of the data folder is too long");
}

tr_code tr_data_absolute(const char *data, char out[TR_DATA_PATH_BYTES], tr_err *err)
{
    char path[PATH_MAX];
    if (realpath(data, path) == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "the data folder %s: %s", data, strerror(errno));
    return snprintf(out, TR_DATA_PATH_BYTES, "%s", path) < TR_DATA_PATH_BYTES
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "the path of the data folder is too long");
}

static tr_code tell_owner(int fd, const char *data, tr_err *err)
{
    char owner[24] = "";
    const ssize_t len = pread(fd, owner, sizeof owner - 1, 0);
    owner[len > 0 ? len : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    return TR_FAIL(err, TR_CONFLICT,
                   "the data folder %s is in use by another server (process %s): stop it, or take "
                   "another folder",
                   data, owner[0] != '\0' ? owner : "unknown");
}

tr_code tr_data_lock(const char *data, int *out, tr_err *err)
{
    char path[TR_DATA_PATH_BYTES], owner[24];
    TR_TRY(tr_data_path(data, TR_DATA_LOCK, path, err));
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return TR_FAIL(err, TR_IO, "%s: cannot be written (%s)", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        const tr_code code = errno == EWOULDBLOCK ? tell_owner(fd, data, err)
                                                  : TR_FAIL(err, TR_IO, "%s: cannot be locked (%s)",
                                                            path, strerror(errno));
        (void)close(fd);
        return code;
    }
    const int len = snprintf(owner, sizeof owner, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, owner, (size_t)len, 0) != len) {
        (void)close(fd);
        return TR_FAIL(err, TR_IO, "%s: cannot be written (%s)", path, strerror(errno));
    }
    *out = fd;
    return TR_OK;
}

static tr_code lock_readers(const char *data, int how, int *out, tr_err *err)
{
    char path[TR_DATA_PATH_BYTES];
    TR_TRY(tr_data_path(data, TR_DATA_READERS, path, err));
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return TR_FAIL(err, TR_IO, "%s: cannot be written (%s)", path, strerror(errno));
    if (flock(fd, how) != 0) {
        const int why = errno;
        (void)close(fd);
        return TR_FAIL(err, why == EWOULDBLOCK ? TR_BUSY : TR_IO, "%s: cannot be locked (%s)", path,
                       strerror(why));
    }
    *out = fd;
    return TR_OK;
}

tr_code tr_data_share(const char *data, int *out, tr_err *err)
{
    return lock_readers(data, LOCK_SH, out, err);
}

tr_code tr_data_keep_readers_out(const char *data, int *out, tr_err *err)
{
    return lock_readers(data, LOCK_EX | LOCK_NB, out, err);
}

/* Cuts "127.0.0.1:8080" or "[::1]:8080" and looks it up: numbers only. */
static tr_code look_up(const char *listen, struct addrinfo **out, size_t *host_len, tr_err *err)
{
    char host[96];
    const char *colon = strrchr(listen, ':');
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    size_t from = 0, to = colon == NULL ? 0 : (size_t)(colon - listen);
    *host_len = to;
    if (to >= 2 && listen[0] == '[' && listen[to - 1] == ']') {
        from++;
        to--;
    }
    if (to <= from || to - from >= sizeof host)
        return TR_FAIL(err, TR_INVALID, "\"%s\" is not of the form 127.0.0.1:8080", listen);
    memcpy(host, listen + from, to - from);
    host[to - from] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, out) != 0)
        return TR_FAIL(err, TR_INVALID, "\"%s\" is no address and port", listen);
    return TR_OK;
}

tr_code tr_listen_check(const char *listen, tr_err *err)
{
    struct addrinfo *found = NULL;
    size_t host_len;
    TR_TRY(look_up(listen, &found, &host_len, err));
    freeaddrinfo(found);
    return TR_OK;
}

bool tr_is_loopback(const char *listen)
{
    struct addrinfo *found = NULL;
    size_t host_len;
    if (look_up(listen, &found, &host_len, NULL) != TR_OK)
        return false;
    bool is_loopback = false;
    if (found->ai_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, found->ai_addr, sizeof v4);
        is_loopback = ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    } else if (found->ai_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, found->ai_addr, sizeof v6);
        is_loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    freeaddrinfo(found);
    return is_loopback;
}

/* A port that was free a moment ago. */
static int free_port(const struct addrinfo *at)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    char port[8];
    int number = -1;
    const int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, at->ai_addr, at->ai_addrlen) == 0 &&
        getsockname(fd, (struct sockaddr *)&bound, &len) == 0 &&
        getnameinfo((struct sockaddr *)&bound, len, NULL, 0, port, sizeof port, NI_NUMERICSERV) ==
            0) {
        int64_t value;
        if (tr_str_to_i64(tr_str_of(port), &value))
            number = (int)value;
    }
    if (fd >= 0)
        (void)close(fd);
    return number;
}

tr_code tr_listen_address(const char *listen, char out[128], tr_err *err)
{
    struct addrinfo *found = NULL;
    size_t host_len;
    const char *colon = strrchr(listen, ':');
    TR_TRY(look_up(listen, &found, &host_len, err));
    tr_code code = TR_OK;
    if (strcmp(colon + 1, "0") != 0) {
        (void)snprintf(out, 128, "%s", listen);
    } else {
        const int port = free_port(found);
        (void)snprintf(out, 128, "%.*s:%d", (int)host_len, listen, port);
        if (port <= 0)
            code = TR_FAIL(err, TR_IO, "no free port at \"%.*s\"", (int)host_len, listen);
    }
    freeaddrinfo(found);
    return code;
}
