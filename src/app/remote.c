/* SPDX-License-Identifier: Apache-2.0 */
/* remote.c - see remote.h: libcurl, one connection, no redirects. */
#include "app/remote.h"

#include "os/os.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONNECT_TIMEOUT_S = 10, SILENCE_S = 120, ANSWER_BYTES_MAX = 64 * 1024 * 1024 };

struct tr_remote {
    CURL *curl;
    char *base;       /* the url without slashes at its end */
    char token[9000]; /* "Bearer ..."; empty before there is one */
    char client_id[128], org[128], sandbox[128];
    char failure[CURL_ERROR_SIZE];
    long status;
};

/* One request, and where its answer goes: to `out`, and when that is NULL to `file`. */
typedef struct request {
    const char *method, *path, *content_type, *content_range;
    tr_str body;
    tr_buf *out;
    tr_file *file;
    tr_remote_progress progress;
    void *ctx;
    /* while it runs */
    tr_remote *remote;
    tr_buf error_text; /* the body of an answer of 400 or more */
    size_t sent;
    tr_err err;
} request;

static size_t take(char *at, size_t size, size_t count, void *ctx)
{
    request *r = ctx;
    const tr_str bytes = {(const uint8_t *)at, size * count};
    long status = 0;
    (void)curl_easy_getinfo(r->remote->curl, CURLINFO_RESPONSE_CODE, &status);
    tr_code code;
    if (status >= 400)
        code = tr_buf_append(&r->error_text, bytes, &r->err);
    else if (r->out != NULL)
        code = tr_buf_append(r->out, bytes, &r->err);
    else
        code = tr_file_write(r->file, bytes, &r->err);
    return code == TR_OK ? bytes.len : CURL_WRITEFUNC_ERROR;
}

static size_t give(char *at, size_t size, size_t count, void *ctx)
{
    request *r = ctx;
    const size_t room = size * count, left = r->body.len - r->sent;
    const size_t len = left < room ? left : room;
    if (len > 0)
        memcpy(at, r->body.at + r->sent, len);
    r->sent += len;
    if (r->progress != NULL)
        r->progress(r->ctx, r->sent);
    return len;
}

static int rewind_body(void *ctx, curl_off_t offset, int origin)
{
    request *r = ctx;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > r->body.len)
        return CURL_SEEKFUNC_FAIL;
    r->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static void add_header(struct curl_slist **list, const char *name, const char *value)
{
    char line[9200];
    (void)snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer != NULL) /* without the header the server refuses, and says which is missing */
        *list = longer;
}

static struct curl_slist *headers_of(const request *r)
{
    const tr_remote *remote = r->remote;
    struct curl_slist *list = NULL;
    add_header(&list, "Expect", ""); /* do not wait for "100 Continue" */
    if (r->content_type != NULL)
        add_header(&list, "Content-Type", r->content_type);
    if (r->content_range != NULL)
        add_header(&list, "Content-Range", r->content_range);
    if (remote->token[0] == '\0')
        return list;
    add_header(&list, "Authorization", remote->token);
    add_header(&list, "x-api-key", remote->client_id);
    add_header(&list, "x-gw-ims-org-id", remote->org);
    add_header(&list, "x-sandbox-name", remote->sandbox);
    return list;
}

static void set_up(CURL *curl, request *r, const char *url, struct curl_slist *headers)
{
    curl_easy_reset(curl);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, r->method);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, r->remote->failure);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)SILENCE_S);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, r);
    if (strcmp(r->method, "GET") == 0)
        return;
    (void)curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, give);
    (void)curl_easy_setopt(curl, CURLOPT_READDATA, r);
    (void)curl_easy_setopt(curl, CURLOPT_SEEKFUNCTION, rewind_body);
    (void)curl_easy_setopt(curl, CURLOPT_SEEKDATA, r);
    (void)curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->body.len);
}

static tr_code code_of(long status)
{
    for (int code = 0; code < TR_CODE_COUNT; code++)
        if (tr_code_http_status((tr_code)code) == status)
            return (tr_code)code;
    return status < 500 ? TR_INVALID : TR_IO;
}

/* The words of an error body: the services of the API have several shapes. */
static tr_code refuse(const request *r, tr_err *err)
{
    static const char *const names[] = {"detail", "message", "error_description",
                                        "title",  "error",   "errorMessage"};
    json_t *body = NULL;
    const char *words = "";
    if (tr_json_parse(tr_buf_str(&r->error_text), &body, NULL) == TR_OK)
        for (size_t i = 0; words[0] == '\0' && i < sizeof names / sizeof *names; i++)
            words = tr_json_text(body, names[i], "");
    const tr_code code = TR_FAIL(err, code_of(r->remote->status), "%s %.*s: %ld %s", r->method,
                                 (int)strcspn(r->path, "?"), r->path, r->remote->status,
                                 words[0] != '\0' ? words : "(the answer does not say why)");
    json_decref(body);
    return code;
}

static tr_code conclude(request *r, CURLcode result, tr_err *err)
{
    const char *why =
        r->remote->failure[0] != '\0' ? r->remote->failure : curl_easy_strerror(result);
    if (r->err.code != TR_OK) { /* our own callback stopped it */
        if (err != NULL)
            *err = r->err;
        return r->err.code;
    }
    if (result == CURLE_COULDNT_CONNECT)
        return TR_FAIL(err, TR_BUSY, "no server answers at %s (is `tributary serve` running?)",
                       r->remote->base);
    if (result != CURLE_OK)
        return TR_FAIL(err, TR_IO, "%s %s: %s", r->method, r->remote->base, why);
    return r->remote->status >= 400 ? refuse(r, err) : TR_OK;
}

static tr_code perform(tr_remote *remote, request *r, tr_err *err)
{
    tr_buf url = {0};
    r->remote = remote;
    r->error_text.bytes_max = ANSWER_BYTES_MAX;
    remote->failure[0] = '\0';
    remote->status = 0;
    tr_code code = tr_buf_format(&url, err, "%s%s", remote->base, r->path);
    if (code == TR_OK)
        code = tr_buf_append(&url, (tr_str){(const uint8_t *)"", 1}, err);
    if (code == TR_OK) {
        struct curl_slist *headers = headers_of(r);
        set_up(remote->curl, r, (const char *)url.at, headers);
        const CURLcode result = curl_easy_perform(remote->curl);
        (void)curl_easy_getinfo(remote->curl, CURLINFO_RESPONSE_CODE, &remote->status);
        code = conclude(r, result, err);
        curl_slist_free_all(headers);
    }
    tr_buf_free(&url);
    tr_buf_free(&r->error_text);
    return code;
}

tr_code tr_remote_call(tr_remote *remote, const char *method, const char *path, const json_t *body,
                       json_t **out, tr_err *err)
{
    tr_buf sent = {0}, got = {.bytes_max = ANSWER_BYTES_MAX};
    json_t *value = NULL;
    tr_code code = body == NULL ? TR_OK : tr_json_write(body, &sent, err);
    if (code == TR_OK) {
        request r = {.method = method,
                     .path = path,
                     .body = tr_buf_str(&sent),
                     .out = &got,
                     .content_type = "application/json"};
        code = perform(remote, &r, err);
    }
    if (code == TR_OK && got.len > 0) {
        code = tr_json_parse(tr_buf_str(&got), &value, err);
        if (code != TR_OK)
            tr_err_context(err, "%s %s: the answer", method, path);
    } else if (code == TR_OK) {
        value = json_null();
    }
    if (code == TR_OK && out != NULL)
        *out = json_incref(value);
    json_decref(value);
    tr_buf_free(&sent);
    tr_buf_free(&got);
    return code;
}

tr_code tr_remote_send(tr_remote *remote, const tr_remote_upload *upload, tr_err *err)
{
    tr_buf got = {.bytes_max = ANSWER_BYTES_MAX};
    request r = {.method = upload->method,
                 .path = upload->path,
                 .body = upload->bytes,
                 .content_type = "application/octet-stream",
                 .out = &got,
                 .content_range = upload->content_range,
                 .progress = upload->progress,
                 .ctx = upload->ctx};
    const tr_code code = perform(remote, &r, err);
    tr_buf_free(&got);
    return code;
}

tr_code tr_remote_get(tr_remote *remote, const char *path, tr_buf *out, tr_err *err)
{
    request r = {.method = "GET", .path = path, .out = out};
    return perform(remote, &r, err);
}

tr_code tr_remote_download(tr_remote *remote, const char *path, const char *to, tr_err *err)
{
    tr_file file = TR_FILE_NONE;
    TR_TRY(tr_file_replace(to, &file, err));
    request r = {.method = "GET", .path = path, .file = &file};
    const tr_code code = perform(remote, &r, err);
    tr_file_close(&file);
    if (code != TR_OK)
        (void)unlink(to);
    return code;
}

tr_code tr_remote_escape(tr_str text, char *out, size_t size, tr_err *err)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-~";
    size_t at = 0;
    for (size_t i = 0; i < text.len; i++) {
        const int letter = text.at[i];
        if (at + 4 > size)
            return TR_FAIL(err, TR_INVALID, "\"%.*s...\" is too long", 40, (const char *)text.at);
        if (letter != '\0' && strchr(plain, letter) != NULL)
            out[at++] = (char)letter;
        else
            at += (size_t)snprintf(out + at, size - at, "%%%02X", (unsigned)letter);
    }
    out[at] = '\0';
    return TR_OK;
}

int tr_remote_status(const tr_remote *remote)
{
    return (int)remote->status;
}

/* name=value, percent-encoded */
static tr_code add_field(CURL *curl, tr_buf *form, const char *name, const char *value, tr_err *err)
{
    char *safe = curl_easy_escape(curl, value, 0);
    if (safe == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a token request");
    const tr_code code = tr_buf_format(form, err, "%s%s=%s", form->len == 0 ? "" : "&", name, safe);
    curl_free(safe);
    return code;
}

static tr_code fetch_token(tr_remote *remote, const char *secret, tr_err *err)
{
    tr_buf form = {0}, got = {.bytes_max = ANSWER_BYTES_MAX};
    json_t *answer = NULL;
    request r = {.method = "POST",
                 .path = "/ims/token/v3",
                 .out = &got,
                 .content_type = "application/x-www-form-urlencoded"};
    tr_code code = add_field(remote->curl, &form, "grant_type", "client_credentials", err);
    if (code == TR_OK)
        code = add_field(remote->curl, &form, "client_id", remote->client_id, err);
    if (code == TR_OK)
        code = add_field(remote->curl, &form, "client_secret", secret, err);
    if (code == TR_OK)
        code = add_field(remote->curl, &form, "scope", "openid,AdobeID,read_organizations", err);
    r.body = tr_buf_str(&form);
    if (code == TR_OK)
        code = perform(remote, &r, err);
    if (code == TR_OK)
        code = tr_json_parse(tr_buf_str(&got), &answer, err);
    const char *token = tr_json_text(answer, "access_token", "");
    if (code == TR_OK && (token[0] == '\0' || strlen(token) + 8 > sizeof remote->token))
        code = TR_FAIL(err, TR_IO, "POST /ims/token/v3: the answer holds no token");
    if (code == TR_OK)
        (void)snprintf(remote->token, sizeof remote->token, "Bearer %s", token);
    json_decref(answer);
    tr_buf_free(&form);
    tr_buf_free(&got);
    return code;
}

static tr_code copy_text(char *out, size_t size, const char *what, const char *text, tr_err *err)
{
    const int len = snprintf(out, size, "%s", text);
    return len < (int)size ? TR_OK : TR_FAIL(err, TR_INVALID, "the %s is too long", what);
}

tr_code tr_remote_open(const tr_remote_options *options, tr_remote **out, tr_err *err)
{
    tr_remote *remote = tr_alloc_zeroed(1, sizeof *remote);
    if (remote == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a connection");
    size_t len = strlen(options->url);
    while (len > 0 && options->url[len - 1] == '/')
        len--;
    remote->base = tr_copy_text((tr_str){(const uint8_t *)options->url, len});
    remote->curl = curl_easy_init();
    tr_code code = TR_OK;
    if (remote->base == NULL || remote->curl == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for a connection");
    if (code == TR_OK)
        code = copy_text(remote->client_id, sizeof remote->client_id, "client id",
                         options->client_id, err);
    if (code == TR_OK)
        code = copy_text(remote->org, sizeof remote->org, "org id", options->org, err);
    if (code == TR_OK)
        code = copy_text(remote->sandbox, sizeof remote->sandbox, "sandbox's name",
                         options->sandbox != NULL ? options->sandbox : "prod", err);
    if (code == TR_OK)
        code = fetch_token(remote, options->client_secret, err);
    if (code != TR_OK) {
        tr_remote_close(remote);
        return code;
    }
    *out = remote;
    return TR_OK;
}

void tr_remote_close(tr_remote *remote)
{
    if (remote == NULL)
        return;
    curl_easy_cleanup(remote->curl);
    tr_free(remote->base);
    explicit_bzero(remote->token, sizeof remote->token);
    tr_free(remote);
}

/* Takes what a client file says for members that are still missing. */
static tr_code read_client_file(tr_remote_options *options, tr_arena *arena, tr_err *err)
{
    tr_buf text = {.bytes_max = 65536};
    json_t *client = NULL;
    tr_code code = tr_file_read_all(options->client_file, &text, err);
    if (code == TR_OK)
        code = tr_json_parse(tr_buf_str(&text), &client, err);
    const struct {
        const char **to;
        const char *name;
    } members[] = {{&options->client_id, "client_id"},
                   {&options->client_secret, "client_secret"},
                   {&options->org, "org_id"}};
    for (size_t i = 0; code == TR_OK && i < sizeof members / sizeof *members; i++) {
        const char *value = tr_json_text(client, members[i].name, NULL);
        if (*members[i].to != NULL)
            continue;
        if (value == NULL)
            code =
                TR_FAIL(err, TR_INVALID, "the client file has no member \"%s\"", members[i].name);
        else if ((*members[i].to = tr_arena_text(arena, tr_str_of(value))) == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the client file");
    }
    json_decref(client);
    tr_buf_free(&text);
    return code;
}

static void otherwise(const char **value, const char *name)
{
    const char *found = getenv(name);
    if (*value == NULL && found != NULL && found[0] != '\0')
        *value = found;
}

tr_code tr_remote_complete(tr_remote_options *options, tr_arena *arena, tr_err *err)
{
    otherwise(&options->url, "TRIBUTARY_URL");
    otherwise(&options->sandbox, "TRIBUTARY_SANDBOX");
    if (options->url == NULL)
        options->url = "http://127.0.0.1:8080";
    if (options->client_id == NULL && options->client_file == NULL)
        otherwise(&options->client_file, "TRIBUTARY_CLIENT");
    if (options->client_file != NULL)
        TR_TRY(read_client_file(options, arena, err));
    otherwise(&options->client_id, "TRIBUTARY_CLIENT_ID");
    otherwise(&options->client_secret, "TRIBUTARY_CLIENT_SECRET");
    otherwise(&options->org, "TRIBUTARY_ORG");
    const char *missing = options->client_id == NULL       ? "client-id"
                          : options->client_secret == NULL ? "client-secret"
                          : options->org == NULL           ? "org"
                                                           : NULL;
    if (missing != NULL)
        return TR_FAIL(err, TR_INVALID, "--%s is missing (or --client FILE)", missing);
    return TR_OK;
}
