/* SPDX-License-Identifier: Apache-2.0 */
/* ims.c - /ims: access tokens for client credentials, and what verifies them (reference:
 * sandboxes and auth, 2).
 *
 * Parameters come in a form, in the query, or mixed, as real clients do. Error bodies are OAuth
 * 2.0's; an unknown client, a wrong secret and a disabled client get one answer, in one time.
 */
#include "api/core_internal.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>

enum { FORM_BYTES_MAX = 64 * 1024, PAIRS_MAX = 64 };

static const char *const scopes_known[] = {"openid",
                                           "AdobeID",
                                           "read_organizations",
                                           "additional_info.projectedProductContext",
                                           "additional_info.roles",
                                           "additional_info.job_function",
                                           "adobeio_api",
                                           "acp.foundation",
                                           "session"};
enum { SCOPE_COUNT = sizeof scopes_known / sizeof scopes_known[0] };

typedef struct form_read {
    tr_http_pair pairs[PAIRS_MAX];
    uint32_t count;
} form_read;

static tr_code refuse(tr_call *call, int status, const char *error, const char *text, tr_err *err)
{
    TR_TRY(tr_reply_header(call, "Pragma", "no-cache", err));
    return tr_reply_json(
        call, status, json_pack("{s:s, s:s}", "error", error, "error_description", text), err);
}

/* Reading the form --------------------------------------------------------------------------- */

static int hex_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool form_decode(tr_arena *arena, tr_str raw, tr_str *out)
{
    size_t len = 0, bad_at;
    uint8_t *to = tr_arena_alloc(arena, raw.len + 1);
    for (size_t i = 0; to != NULL && i < raw.len; i++) {
        uint8_t byte = raw.at[i] == '+' ? ' ' : raw.at[i];
        if (byte == '%') {
            const int high = i + 2 < raw.len ? hex_of(raw.at[i + 1]) : -1;
            const int low = high < 0 ? -1 : hex_of(raw.at[i + 2]);
            if (low < 0)
                return false;
            byte = (uint8_t)(high * 16 + low);
            i += 2;
        }
        if (byte == '\0')
            return false;
        to[len++] = byte;
    }
    *out = (tr_str){to, len};
    return to != NULL && tr_str_is_utf8(*out, &bad_at);
}

static bool add_pair(form_read *form, tr_str name, tr_str value)
{
    if (form->count == PAIRS_MAX)
        return false;
    form->pairs[form->count++] = (tr_http_pair){name, value};
    return true;
}

static bool read_urlencoded(tr_call *call, form_read *form)
{
    tr_str rest = call->request->body;
    while (rest.len > 0) {
        tr_str name, value = {0};
        const uint8_t *end = memchr(rest.at, '&', rest.len);
        const tr_str pair = {rest.at, end == NULL ? rest.len : (size_t)(end - rest.at)};
        rest = tr_str_from(rest, end == NULL ? pair.len : pair.len + 1);
        if (pair.len == 0)
            continue;
        const uint8_t *equals = memchr(pair.at, '=', pair.len);
        const size_t name_len = equals == NULL ? pair.len : (size_t)(equals - pair.at);
        if (!form_decode(call->request->arena, (tr_str){pair.at, name_len}, &name))
            return false;
        if (equals != NULL &&
            !form_decode(call->request->arena, tr_str_from(pair, name_len + 1), &value))
            return false;
        if (!add_pair(form, name, value))
            return false;
    }
    return true;
}

static const uint8_t *find(tr_str in, tr_str what)
{
    return in.at == NULL || what.at == NULL ? NULL : memmem(in.at, in.len, what.at, what.len);
}

/* The value of name="..." in a part's head. */
static bool part_name(tr_str head, tr_str *out)
{
    static const char wanted[] = "name=\"";
    const uint8_t *at = find(head, tr_str_of(wanted));
    if (at == NULL)
        return false;
    const tr_str rest = tr_str_from(head, (size_t)(at - head.at) + sizeof wanted - 1);
    const uint8_t *end = memchr(rest.at, '"', rest.len);
    *out = (tr_str){rest.at, end == NULL ? 0 : (size_t)(end - rest.at)};
    return end != NULL;
}

/* multipart/form-data of plain fields: --B CRLF head CRLF CRLF value CRLF --B ... --B-- */
static bool read_multipart(tr_call *call, tr_str type, form_read *form)
{
    static const char wanted[] = "boundary=";
    char text[128];
    const uint8_t *at = find(type, tr_str_of(wanted));
    if (at == NULL)
        return false;
    tr_str mark = tr_str_from(type, (size_t)(at - type.at) + sizeof wanted - 1);
    const uint8_t *end = mark.len == 0 ? NULL : memchr(mark.at, ';', mark.len);
    mark.len = end == NULL ? mark.len : (size_t)(end - mark.at);
    if (mark.len > 2 && mark.at[0] == '"')
        mark = (tr_str){mark.at + 1, mark.len - 2};
    const int len = snprintf(text, sizeof text, "\r\n--%.*s", TR_STR_ARG(mark));
    if (mark.len == 0 || len < 0 || (size_t)len >= sizeof text)
        return false;
    const tr_str line = tr_str_of(text), first = tr_str_from(line, 2), gap = tr_str_of("\r\n\r\n");
    tr_str rest = call->request->body;
    const uint8_t *from = find(rest, first);
    if (from == NULL)
        return false;
    rest = tr_str_from(rest, (size_t)(from - rest.at) + first.len);
    while (rest.len >= 2 && memcmp(rest.at, "--", 2) != 0) {
        tr_str name;
        const uint8_t *body = find(rest, gap);
        const uint8_t *stop = find(rest, line);
        if (body == NULL || stop == NULL || stop < body + gap.len ||
            !part_name((tr_str){rest.at, (size_t)(body - rest.at)}, &name) ||
            !add_pair(form, name,
                      (tr_str){body + gap.len, (size_t)(stop - body) - gap.len}))
            return false;
        rest = tr_str_from(rest, (size_t)(stop - rest.at) + line.len);
    }
    return rest.len >= 2;
}

static bool read_form(tr_call *call, form_read *out)
{
    static const char multipart[] = "multipart/form-data";
    const tr_str type = tr_http_header(call->request, "Content-Type");
    const size_t len = sizeof multipart - 1;
    for (uint32_t i = 0; i < call->request->query_count; i++)
        if (!add_pair(out, call->request->query[i].name, call->request->query[i].value))
            return false;
    if (type.len >= len && call->request->body.len > 0 &&
        tr_str_equal_folded((tr_str){type.at, len}, tr_str_of(multipart)))
        return read_multipart(call, type, out);
    return read_urlencoded(call, out);
}

/* False: it is there twice with different values. *out is empty when it is not there. */
static bool parameter(const form_read *form, const char *name, tr_str *out)
{
    *out = (tr_str){0};
    for (uint32_t i = 0; i < form->count; i++) {
        const tr_http_pair *pair = &form->pairs[i];
        if (!tr_str_is(pair->name, name) || pair->value.len == 0)
            continue;
        if (out->len > 0 && !tr_str_equal(*out, pair->value))
            return false;
        *out = pair->value;
    }
    return true;
}

/* Granting ----------------------------------------------------------------------------------- */

static bool is_known_scope(tr_str word)
{
    for (size_t i = 0; i < SCOPE_COUNT; i++)
        if (tr_str_is(word, scopes_known[i]))
            return true;
    return false;
}

/* The known ones of what was asked for; all when nothing of it is known. Lists are copied from a
 * console, so an unknown scope is no error. */
static void grant_scopes(tr_str asked, char *out, size_t size)
{
    size_t len = 0;
    out[0] = '\0';
    while (asked.len > 0) {
        size_t end = 0;
        while (end < asked.len && asked.at[end] != ',' && asked.at[end] != ' ')
            end++;
        const tr_str word = {asked.at, end};
        asked = tr_str_from(asked, end == asked.len ? end : end + 1);
        if (is_known_scope(word) && len + word.len + 2 < size)
            len += (size_t)snprintf(out + len, size - len, "%s%.*s", len == 0 ? "" : ",",
                                    TR_STR_ARG(word));
    }
    const bool takes_all = len == 0;
    for (size_t i = 0; takes_all && i < SCOPE_COUNT; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i == 0 ? "" : ",", scopes_known[i]);
}

static tr_code reply_token(tr_call *call, const char *client_id, const json_t *client, tr_str scope,
                           tr_err *err)
{
    tr_buf token = {0};
    const int64_t now = tr_time_now_ms();
    tr_jwt_claims claims = {.created_ms = now,
                            .expires_ms = now + (int64_t)TR_TOKEN_LIFETIME_S * 1000};
    (void)snprintf(claims.id, sizeof claims.id, "%lld_%s", (long long)now, tr_id_hex(24).text);
    (void)snprintf(claims.client_id, sizeof claims.client_id, "%s", client_id);
    (void)snprintf(claims.user_id, sizeof claims.user_id, "%s",
                   tr_json_text(client, "technicalAccountId", ""));
    (void)snprintf(claims.org, sizeof claims.org, "%s", tr_json_text(client, "org", ""));
    grant_scopes(scope, claims.scope, sizeof claims.scope);
    tr_code code = tr_jwt_make(call->api->jwt, &claims, &token, err);
    if (code == TR_OK)
        code = tr_reply_header(call, "Pragma", "no-cache", err);
    if (code == TR_OK)
        code = tr_reply_json(call, 200,
                             json_pack("{s:s%, s:s, s:i}", "access_token", (const char *)token.at,
                                       token.len, "token_type", "bearer", "expires_in",
                                       TR_TOKEN_LIFETIME_S),
                             err);
    tr_buf_free(&token);
    if (code == TR_OK && tr_api_may_log(call->api))
        tr_log(TR_LOG_INFO, "api", "token_issued", "req=%s client=%s org=%s token=%s",
               call->request_id, claims.client_id, claims.org, claims.id);
    return code;
}

static tr_code refuse_client(tr_call *call, tr_str id, tr_err *err)
{
    if (tr_api_may_log(call->api))
        tr_log(TR_LOG_INFO, "api", "token_refused", "req=%s client=%.*s", call->request_id,
               tr_client_is_id(id) ? 32 : 1, tr_client_is_id(id) ? (const char *)id.at : "-");
    return refuse(call, 401, "invalid_client",
                  "client_id and client_secret are not those of an enabled client", err);
}

static tr_code post_token(tr_call *call, tr_err *err)
{
    form_read form = {0};
    tr_str grant, id, secret, scope;
    json_t *client = NULL;
    bool is_good = false;
    if (!read_form(call, &form))
        return refuse(call, 400, "invalid_request",
                      "the body is not a form (application/x-www-form-urlencoded)", err);
    if (!parameter(&form, "grant_type", &grant) || !parameter(&form, "client_id", &id) ||
        !parameter(&form, "client_secret", &secret) || !parameter(&form, "scope", &scope))
        return refuse(call, 400, "invalid_request",
                      "a parameter is there twice with different values", err);
    if (grant.len == 0 || id.len == 0 || secret.len == 0)
        return refuse(call, 400, "invalid_request",
                      grant.len == 0 ? "grant_type is required: client_credentials"
                      : id.len == 0  ? "client_id is required"
                                     : "client_secret is required",
                      err);
    if (!tr_str_is(grant, "client_credentials"))
        return refuse(call, 400, "unsupported_grant_type",
                      "grant_type must be client_credentials", err);
    TR_TRY(tr_client_check(call->parts->catalog, id, secret, &is_good, &client, err));
    if (!is_good)
        return refuse_client(call, id, err);
    char id_text[33];
    (void)snprintf(id_text, sizeof id_text, "%.*s", TR_STR_ARG(id));
    const tr_code code = reply_token(call, id_text, client, scope, err);
    json_decref(client);
    return code;
}

/* Verifying elsewhere ------------------------------------------------------------------------ */

static tr_code get_keys(tr_call *call, tr_err *err)
{
    json_t *keys = NULL;
    TR_TRY(tr_jwt_jwks(call->api->jwt, &keys, err));
    return tr_reply_json(call, 200, keys, err);
}

static tr_code get_configuration(tr_call *call, tr_err *err)
{
    const char *url = call->parts->public_url == NULL ? "" : call->parts->public_url;
    return tr_reply_json(
        call, 200,
        json_pack("{s:s, s:s+, s:s+, s:[s], s:[s,s], s:[s], s:[s], s:[s]}", "issuer", url,
                  "token_endpoint", url, "/ims/token/v3", "jwks_uri", url, "/ims/keys",
                  "grant_types_supported", "client_credentials",
                  "token_endpoint_auth_methods_supported", "client_secret_post",
                  "client_secret_query", "id_token_signing_alg_values_supported", "RS256",
                  "response_types_supported", "token", "subject_types_supported", "public"),
        err);
}

#define FORM(path) {"POST", path, TR_SCOPE_OPEN, post_token, FORM_BYTES_MAX}

const tr_endpoint tr_api_ims[] = {
    FORM("/ims/token/v1"),
    FORM("/ims/token/v2"),
    FORM("/ims/token/v3"),
    {"GET", "/ims/keys", TR_SCOPE_OPEN, get_keys, 0},
    {"GET", "/ims/.well-known/openid-configuration", TR_SCOPE_OPEN, get_configuration, 0},
    {0}};
