/* SPDX-License-Identifier: Apache-2.0 */
/* jwt.c - see jwt_internal.h; the keys are in jwt_keys.c. */
#include "api/jwt_keys_internal.h"
#include "base/clock.h"

#include <openssl/evp.h>
#include <stdio.h>

enum { HEADER_BYTES_MAX = 1024, DEPTH_MAX = 8 };

/* Making ------------------------------------------------------------------------------------- */

/* Whether a text may stand in a claim: JSON needs no escape, base64url no '-' and no '_'. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++)
        if (*text < 0x20 || *text >= 0x7f || strchr("\"\\<>?~", *text) != NULL)
            return false;
    return true;
}

static tr_code write_claims(const tr_jwt_claims *c, tr_buf *out, tr_err *err)
{
    if (!is_plain(c->id) || !is_plain(c->client_id) || !is_plain(c->user_id) || !is_plain(c->org) ||
        !is_plain(c->scope))
        return TR_FAIL(err, TR_INVALID, "a claim of a token has other characters than it may");
    return tr_buf_format(
        out, err,
        "{\"id\":\"%s\",\"type\":\"access_token\",\"client_id\":\"%s\",\"user_id\":\"%s\","
        "\"as\":\"ims-na1\",\"scope\":\"%s\",\"created_at\":\"%lld\",\"expires_in\":\"%lld\","
        "\"iss\":\"" TR_TOKEN_ISSUER "\",\"org\":\"%s\",\"iat\":%lld,\"exp\":%lld}",
        c->id, c->client_id, c->user_id, c->scope, (long long)c->created_ms,
        (long long)(c->expires_ms - c->created_ms), c->org, (long long)(c->created_ms / 1000),
        (long long)(c->expires_ms / 1000));
}

static tr_code sign(EVP_PKEY *key, tr_str text, tr_buf *out, tr_err *err)
{
    uint8_t signature[TR_SIGNATURE_BYTES_MAX];
    size_t len = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const bool is_good = ctx != NULL &&
                         EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                         EVP_DigestSign(ctx, signature, &len, text.at, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    if (!is_good)
        return TR_FAIL(err, TR_NO_MEMORY, "the token could not be signed");
    return tr_base64url((tr_str){signature, len}, out, err);
}

tr_code tr_jwt_make(const tr_jwt *jwt, const tr_jwt_claims *claims, tr_buf *out, tr_err *err)
{
    static const tr_str dot = {(const uint8_t *)".", 1};
    const tr_jwt_key *key = &jwt->keys[jwt->key_count - 1];
    tr_buf part = {0};
    const size_t from = out->len;
    tr_code code = tr_buf_format(&part, err, "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
                                 key->kid);
    if (code == TR_OK)
        code = tr_base64url(tr_buf_str(&part), out, err);
    if (code == TR_OK)
        code = tr_buf_append(out, dot, err);
    part.len = 0;
    if (code == TR_OK)
        code = write_claims(claims, &part, err);
    if (code == TR_OK)
        code = tr_base64url(tr_buf_str(&part), out, err);
    tr_buf_free(&part);
    if (code == TR_OK)
        code = sign(key->key, tr_str_from(tr_buf_str(out), from), &part, err);
    if (code == TR_OK)
        code = tr_buf_append(out, dot, err);
    if (code == TR_OK)
        code = tr_buf_append(out, tr_buf_str(&part), err);
    tr_buf_free(&part);
    return code;
}

/* Verifying ---------------------------------------------------------------------------------- */

#define REFUSE(err, text) TR_FAIL((err), TR_UNAUTHORIZED, "%s", (text))

typedef struct token_parts {
    tr_str header, claims, signature;
    tr_str signed_text;
} token_parts;

static bool cut_token(tr_str token, token_parts *out)
{
    const uint8_t *end = token.at + token.len;
    const uint8_t *first = memchr(token.at, '.', token.len);
    const uint8_t *second =
        first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
        return false;
    out->header = (tr_str){token.at, (size_t)(first - token.at)};
    out->claims = (tr_str){first + 1, (size_t)(second - first - 1)};
    out->signature = (tr_str){second + 1, (size_t)(end - second - 1)};
    out->signed_text = (tr_str){token.at, (size_t)(second - token.at)};
    return out->header.len > 0 && out->claims.len > 0 && out->signature.len > 0;
}

static bool is_shallow(tr_str text)
{
    int depth = 0, deepest = 0;
    for (size_t i = 0; i < text.len; i++) { /* brackets inside strings only make it stricter */
        depth += text.at[i] == '{' || text.at[i] == '[';
        depth -= text.at[i] == '}' || text.at[i] == ']';
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest <= DEPTH_MAX;
}

/* An object of a token's part, without duplicate names; NULL when it is anything else. */
static json_t *read_part(tr_str part, uint8_t *room)
{
    size_t len;
    if (!tr_base64url_decode(part, room, &len) || !is_shallow((tr_str){room, len}))
        return NULL;
    json_t *value = json_loadb((const char *)room, len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(value))
        return value;
    json_decref(value);
    return NULL;
}

static tr_code key_of(const tr_jwt *jwt, tr_str part, const tr_jwt_key **out, tr_err *err)
{
    uint8_t room[HEADER_BYTES_MAX];
    const tr_jwt_key *found = NULL;
    if (part.len > sizeof room)
        return REFUSE(err, "the header is too long");
    json_t *header = read_part(part, room);
    const bool is_ours = strcmp(tr_json_text(header, "alg", ""), "RS256") == 0 &&
                         strcmp(tr_json_text(header, "typ", ""), "JWT") == 0 &&
                         json_object_get(header, "crit") == NULL;
    const char *kid = tr_json_text(header, "kid", "");
    for (uint32_t i = 0; is_ours && i < jwt->key_count; i++)
        if (strcmp(jwt->keys[i].kid, kid) == 0)
            found = &jwt->keys[i];
    json_decref(header);
    if (!is_ours)
        return REFUSE(err, "the header is not one of ours");
    if (found == NULL)
        return REFUSE(err, "no key of ours has this kid");
    *out = found;
    return TR_OK;
}

static tr_code check_signature(const tr_jwt_key *key, const token_parts *parts, tr_err *err)
{
    uint8_t signature[TR_SIGNATURE_BYTES_MAX];
    size_t len = 0;
    if (parts->signature.len > sizeof signature ||
        !tr_base64url_decode(parts->signature, signature, &len) ||
        len != (size_t)EVP_PKEY_get_size(key->key))
        return REFUSE(err, "the signature has the wrong form");
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    const bool is_good = ctx != NULL &&
                         EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->key) == 1 &&
                         EVP_DigestVerify(ctx, signature, len, parts->signed_text.at,
                                          parts->signed_text.len) == 1;
    EVP_MD_CTX_free(ctx);
    return is_good ? TR_OK : REFUSE(err, "the signature is wrong");
}

static bool copy_claim(const json_t *claims, const char *name, char *out, size_t size)
{
    const char *text = tr_json_text(claims, name, NULL);
    const int len = text == NULL ? -1 : snprintf(out, size, "%s", text);
    return len > 0 && (size_t)len < size;
}

static bool number_claim(const json_t *claims, const char *name, int64_t *out)
{
    const char *text = tr_json_text(claims, name, NULL);
    return text != NULL && tr_str_to_i64(tr_str_of(text), out) && *out >= 0;
}

static tr_code check_claims(const json_t *claims, int64_t now_ms, tr_jwt_claims *out, tr_err *err)
{
    const int64_t skew = TR_TOKEN_SKEW_S * 1000;
    int64_t lasts_ms = 0, expires_ms = 0;
    const json_t *exp = json_object_get(claims, "exp");
    if (strcmp(tr_json_text(claims, "type", ""), "access_token") != 0 ||
        strcmp(tr_json_text(claims, "iss", ""), TR_TOKEN_ISSUER) != 0)
        return REFUSE(err, "it is not an access token of ours");
    if (!copy_claim(claims, "id", out->id, sizeof out->id) ||
        !copy_claim(claims, "client_id", out->client_id, sizeof out->client_id) ||
        !copy_claim(claims, "user_id", out->user_id, sizeof out->user_id) ||
        !copy_claim(claims, "org", out->org, sizeof out->org) ||
        !number_claim(claims, "created_at", &out->created_ms) ||
        !number_claim(claims, "expires_in", &lasts_ms) || !json_is_integer(exp))
        return REFUSE(err, "a claim is missing or malformed");
    (void)copy_claim(claims, "scope", out->scope, sizeof out->scope);
    if (__builtin_add_overflow(out->created_ms, lasts_ms, &out->expires_ms) ||
        __builtin_mul_overflow((int64_t)json_integer_value(exp), (int64_t)1000, &expires_ms))
        return REFUSE(err, "a time is out of range");
    if (expires_ms < out->expires_ms)
        out->expires_ms = expires_ms;
    if (now_ms > out->expires_ms + skew)
        return REFUSE(err, "it has expired");
    if (out->created_ms > now_ms + skew)
        return REFUSE(err, "it is from the future");
    return TR_OK;
}

tr_code tr_jwt_verify(const tr_jwt *jwt, tr_str token, int64_t now_ms, tr_jwt_claims *out,
                      tr_err *err)
{
    token_parts parts;
    const tr_jwt_key *key = NULL;
    tr_jwt_claims claims = {0};
    if (token.len == 0 || token.len > TR_TOKEN_BYTES_MAX || !cut_token(token, &parts))
        return REFUSE(err, "it is not a token");
    TR_TRY(key_of(jwt, parts.header, &key, err));
    TR_TRY(check_signature(key, &parts, err));
    uint8_t *room = tr_alloc(parts.claims.len);
    if (room == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read a token");
    json_t *read = read_part(parts.claims, room);
    const tr_code code = read == NULL ? REFUSE(err, "the claims are no JSON object")
                                      : check_claims(read, now_ms, &claims, err);
    json_decref(read);
    tr_free(room);
    if (code == TR_OK)
        *out = claims;
    return code;
}
