/* SPDX-License-Identifier: Apache-2.0 */
/* http_reply.c - answers: from a buffer that MHD frees, or from a file that the kernel sends. */
#include "http/http_internal.h"

#include <unistd.h>

tr_code tr_http_add_header(tr_http_response *response, tr_arena *arena, const char *name,
                           tr_str value, tr_err *err)
{
    const uint32_t most = sizeof response->headers / sizeof response->headers[0];
    for (size_t i = 0; i < value.len; i++)
        if (value.at[i] < 0x20 || value.at[i] == 0x7f)
            return TR_FAIL(err, TR_INVALID, "the value of header %s has control characters", name);
    if (response->header_count == most)
        return TR_FAIL(err, TR_LIMIT, "an answer has at most %u headers", most);
    const tr_str copy = tr_arena_copy(arena, value);
    if (copy.at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for header %s", name);
    response->headers[response->header_count++] = (tr_http_pair){tr_str_of(name), copy};
    return TR_OK;
}

void tr_http_response_clear(tr_http_response *response)
{
    tr_buf_free(&response->body);
    if (response->file_fd >= 0)
        (void)close(response->file_fd);
    *response = (tr_http_response){.file_fd = -1};
}

void tr_http_refuse(tr_connection *c, int status, const char *text)
{
    const tr_http_handler *handler = &c->server->handler;
    tr_http_response_clear(&c->response);
    c->response.status = status;
    if (handler->refuse != NULL) {
        handler->refuse(handler->ctx, status, text, &c->response);
    } else {
        c->response.content_type = "text/plain; charset=utf-8";
        if (tr_buf_format(&c->response.body, NULL, "%s\n", text) != TR_OK)
            c->response.body.len = 0; /* the status says it */
    }
}

/* MHD's response over what c->response owns; that is taken, also on failure. */
static struct MHD_Response *make_response(tr_http_response *response)
{
    struct MHD_Response *made = NULL;
    if (response->file_fd >= 0 && response->file_bytes > 0) {
        made = MHD_create_response_from_fd_at_offset64(response->file_bytes, response->file_fd,
                                                       response->file_from);
        if (made != NULL)
            response->file_fd = -1;
    } else if (response->body.len > 0) {
        made = MHD_create_response_from_buffer_with_free_callback(
            response->body.len, response->body.at, tr_free);
        if (made != NULL)
            response->body = (tr_buf){0};
    } else {
        static char nothing[1];
        made = MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    }
    return made;
}

static bool add_headers(struct MHD_Response *made, const tr_http_response *response,
                        bool has_content, bool must_close)
{
    bool is_good = true;
    if (has_content)
        is_good = MHD_add_response_header(made, "Content-Type",
                                          response->content_type == NULL
                                              ? "application/json"
                                              : response->content_type) == MHD_YES;
    for (uint32_t i = 0; i < response->header_count; i++)
        is_good = MHD_add_response_header(made, (const char *)response->headers[i].name.at,
                                          (const char *)response->headers[i].value.at) ==
                      MHD_YES &&
                  is_good;
    if (must_close)
        is_good = MHD_add_response_header(made, "Connection", "close") == MHD_YES && is_good;
    return is_good;
}

void tr_http_make(tr_connection *c)
{
    tr_http_response *response = &c->response;
    const bool must_close = c->must_close || atomic_load(&c->server->is_stopping);
    c->status = response->status == 0 ? 200 : response->status;
    c->bytes_to_send =
        response->file_fd >= 0 ? response->file_bytes : (uint64_t)response->body.len;
    c->made = make_response(response);
    if (c->made != NULL && !add_headers(c->made, response, c->bytes_to_send > 0, must_close)) {
        MHD_destroy_response(c->made);
        c->made = NULL;
    }
    tr_http_response_clear(response);
}

enum MHD_Result tr_http_send(tr_connection *c)
{
    if (c->made == NULL)
        return MHD_NO; /* no memory: the connection is closed */
    const enum MHD_Result result = MHD_queue_response(c->mhd, (unsigned)c->status, c->made);
    MHD_destroy_response(c->made);
    c->made = NULL;
    tr_phase_enter(c, TR_PHASE_SENDING, c->bytes_to_send);
    return result;
}

static bool is_digits(tr_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
    return s.len > 0;
}

/* A number of a range; one that no file is as large as becomes the largest. */
static uint64_t number(tr_str digits)
{
    int64_t value;
    return tr_str_to_i64(digits, &value) ? (uint64_t)value : INT64_MAX;
}

bool tr_http_range(tr_str header, uint64_t total, uint64_t *from, uint64_t *bytes,
                   bool *is_satisfiable)
{
    static const char unit[] = "bytes=";
    const tr_str start = {header.at, sizeof unit - 1};
    if (header.len <= start.len || !tr_str_equal_folded(start, tr_str_of(unit)))
        return false;
    const tr_str range = tr_str_from(header, start.len);
    const uint8_t *dash = memchr(range.at, '-', range.len);
    if (dash == NULL)
        return false;
    const tr_str first = {range.at, (size_t)(dash - range.at)};
    const tr_str last = tr_str_from(range, first.len + 1);
    if ((first.len > 0 && !is_digits(first)) || (last.len > 0 && !is_digits(last)) ||
        first.len + last.len == 0)
        return false;
    if (first.len == 0) { /* the last n bytes */
        const uint64_t n = number(last);
        *bytes = n < total ? n : total;
        *from = total - *bytes;
        *is_satisfiable = *bytes > 0;
        return true;
    }
    const uint64_t a = number(first), b = last.len == 0 ? INT64_MAX : number(last);
    if (b < a)
        return false;
    *is_satisfiable = a < total;
    *from = a;
    *bytes = a >= total ? 0 : (b < total ? b + 1 : total) - a;
    return true;
}
