/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_test.c - goal: only tokens that we made, unaltered and now, are accepted; secrets are kept as
 * hashes. Method: real keys; every single-byte change, and a corpus of hostile tokens, some of them
 * properly signed. */
#include "api/core_internal.h"
#include "base/clock.h"
#include "base/test.h"
#include "api/jwt_keys_internal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <unistd.h>

#define NOW INT64_C(1714608000000)
#define ORG "0123456789ABCDEF01234567@AdobeOrg"

static tr_jwt *jwt;
static tr_buf pem;
static int accepted, tried;

static const tr_jwt_claims good_claims = {.id = "1714608000000_ab",
                                          .client_id = "c0ffee",
                                          .user_id = "AB@techacct.adobe.com",
                                          .org = ORG,
                                          .scope = "openid,session",
                                          .created_ms = NOW,
                                          .expires_ms = NOW + 86399000};

static bool is_accepted(tr_str token, int64_t now)
{
    tr_jwt_claims out = {.id = "untouched"};
    tr_err err = {0};
    const tr_code code = tr_jwt_verify(jwt, token, now, &out, &err);
    CHECK(code == TR_OK || code == TR_UNAUTHORIZED);
    CHECK(code == TR_OK || (strcmp(out.id, "untouched") == 0 && err.text[0] != '\0'));
    return code == TR_OK;
}

static void expect_refused(const char *what, tr_str token)
{
    tried++;
    if (is_accepted(token, NOW)) {
        accepted++;
        printf("accepted: %s\n", what);
    }
}

static tr_buf make(const tr_jwt_claims *claims)
{
    tr_buf token = {0};
    CHECK(tr_jwt_make(jwt, claims, &token, NULL) == TR_OK);
    return token;
}

/* header.claims.signature of any texts, signed with our key as we would. */
static tr_buf sign_texts(const char *header, const char *claims)
{
    tr_buf out = {0};
    uint8_t signature[TR_SIGNATURE_BYTES_MAX];
    size_t len = sizeof signature;
    CHECK(tr_base64url(tr_str_of(header), &out, NULL) == TR_OK);
    CHECK(tr_buf_append(&out, tr_str_of("."), NULL) == TR_OK);
    CHECK(tr_base64url(tr_str_of(claims), &out, NULL) == TR_OK);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, jwt->keys[0].key) == 1);
    CHECK(EVP_DigestSign(ctx, signature, &len, out.at, out.len) == 1);
    EVP_MD_CTX_free(ctx);
    CHECK(tr_buf_append(&out, tr_str_of("."), NULL) == TR_OK);
    CHECK(tr_base64url((tr_str){signature, len}, &out, NULL) == TR_OK);
    return out;
}

static char header_text[200];
static const char claims_text[] =
    "{\"id\":\"x\",\"type\":\"access_token\",\"client_id\":\"c\",\"user_id\":\"u\",\"org\":\"" ORG
    "\",\"scope\":\"openid\",\"iss\":\"tributary\",\"created_at\":\"1714608000000\","
    "\"expires_in\":\"86399000\",\"iat\":1714608000,\"exp\":1714694399}";

static void a_token_of_ours_is_accepted_while_it_is_valid(void)
{
    tr_buf token = make(&good_claims);
    tr_jwt_claims out;
    CHECK(tr_jwt_verify(jwt, tr_buf_str(&token), NOW, &out, NULL) == TR_OK);
    CHECK(strcmp(out.client_id, "c0ffee") == 0 && strcmp(out.org, ORG) == 0);
    CHECK(strcmp(out.scope, "openid,session") == 0 && out.created_ms == NOW);
    CHECK(out.expires_ms == NOW + 86399000);
    CHECK(is_accepted(tr_buf_str(&token), NOW + 86399000 + 60000));
    CHECK(!is_accepted(tr_buf_str(&token), NOW + 86399000 + 60001));
    CHECK(is_accepted(tr_buf_str(&token), NOW - 60000));
    CHECK(!is_accepted(tr_buf_str(&token), NOW - 60001));
    tr_buf_free(&token);
    token = sign_texts(header_text, claims_text); /* what the hostile ones below differ from */
    CHECK(is_accepted(tr_buf_str(&token), NOW));
    tr_buf_free(&token);
}

static void the_claims_survive_the_other_base64_alphabet(void)
{
    tr_buf token = make(&good_claims);
    const char *claims = strchr((const char *)token.at, '.') + 1;
    const size_t len = strcspn(claims, ".");
    CHECK(memchr(claims, '-', len) == NULL && memchr(claims, '_', len) == NULL);
    tr_buf_free(&token);
    tr_jwt_claims odd = good_claims;
    (void)snprintf(odd.scope, sizeof odd.scope, "a\",\"org\":\"other");
    CHECK(tr_jwt_make(jwt, &odd, &token, NULL) == TR_INVALID);
    tr_buf_free(&token);
}

static void any_changed_byte_is_refused(void)
{
    static const char other[] = "Ab9-_=. ~/+\n";
    tr_buf token = make(&good_claims);
    for (size_t i = 0; i < token.len; i++) {
        const uint8_t before = token.at[i];
        for (size_t o = 0; o < sizeof other; o++) {
            token.at[i] = (uint8_t)other[o];
            if (token.at[i] != before)
                CHECK(!is_accepted(tr_buf_str(&token), NOW));
        }
        token.at[i] = before;
    }
    for (size_t len = 0; len < token.len; len++)
        CHECK(!is_accepted((tr_str){token.at, len}, NOW));
    CHECK(tr_buf_append(&token, tr_str_of("="), NULL) == TR_OK);
    CHECK(!is_accepted(tr_buf_str(&token), NOW));
    token.at[token.len - 1] = ' ';
    CHECK(!is_accepted(tr_buf_str(&token), NOW));
    token.len--;
    CHECK(is_accepted(tr_buf_str(&token), NOW));
    tr_buf_free(&token);
}

/* Replaces the first `from` of a text. */
static void replaced(const char *text, const char *from, const char *to, char *out, size_t size)
{
    const char *at = strstr(text, from);
    if (at == NULL) {
        printf("not there: %s\n", from);
        CHECK(false);
        return;
    }
    (void)snprintf(out, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void headers_that_are_not_ours_are_refused(void)
{
    static const char *const forms[] = {
        "{\"alg\":\"none\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"None\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":null,\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":[\"RS256\"],\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"rs256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"RS384\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"PS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"RS256\\u0000\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"RS256\",\"kid\":\"%s\"}",
        "{\"alg\":\"RS256\",\"typ\":\"at+jwt\",\"kid\":\"%s\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWE\",\"kid\":\"%s\"}",
        "{\"alg\":\"RS256\",\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"none\",\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"x\",\"kid\":\"%s\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\",\"crit\":[]}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"} ,",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"",
        "[{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}]",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\",\"x\":[[[[[[[[[1]]]]]]]]]}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"../%s\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s' OR '1'='1\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s \"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":[\"%s\"]}",
        "\"%s\"",
        "%s"};
    static const char *const fixed[] = {
        "", "null", "1", "{}", "[]", "{\"alg\":\"RS256\",\"typ\":\"JWT\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"/dev/null\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"unknown\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":null}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"jku\":\"http://127.0.0.1/keys\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"x5u\":\"http://127.0.0.1/cert\"}",
        "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"jwk\":{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQ\"}}"};
    accepted = tried = 0;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        char text[300];
        replaced(forms[i], "%s", jwt->keys[0].kid, text, sizeof text);
        tr_buf token = sign_texts(text, claims_text);
        expect_refused(text, tr_buf_str(&token));
        tr_buf_free(&token);
    }
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++) {
        tr_buf token = sign_texts(fixed[i], claims_text);
        expect_refused(fixed[i], tr_buf_str(&token));
        tr_buf_free(&token);
    }
    CHECK(accepted == 0 && tried == 44);
}

static void claims_that_do_not_hold_are_refused_even_when_signed(void)
{
    static const char *const changes[][2] = {
        {"access_token", "refresh_token"},
        {"\"type\":\"access_token\",", ""},
        {"\"type\":\"access_token\"", "\"type\":[\"access_token\"]"},
        {"\"iss\":\"tributary\"", "\"iss\":\"other\""},
        {"\"iss\":\"tributary\",", ""},
        {"\"org\":\"" ORG "\",", ""},
        {"\"org\":\"" ORG "\"", "\"org\":null"},
        {"\"org\":\"" ORG "\"", "\"org\":[\"" ORG "\"]"},
        {"\"org\":\"" ORG "\"", "\"org\":\"" ORG "\",\"org\":\"" ORG "\""},
        {"\"client_id\":\"c\"", "\"client_id\":\"\""},
        {"\"client_id\":\"c\"", "\"client_id\":\"c\",\"client_id\":\"d\""},
        {"\"client_id\":\"c\"", "\"client_id\":7"},
        {"\"client_id\":\"c\"", "\"client_id\":\"c\\u0000\""},
        {"\"user_id\":\"u\",", ""},
        {"\"id\":\"x\",", ""},
        {"\"exp\":1714694399", "\"exp\":1714607939"},
        {"\"exp\":1714694399", "\"exp\":\"1714694399\""},
        {"\"exp\":1714694399", "\"exp\":1714694399.5"},
        {"\"exp\":1714694399", "\"exp\":9223372036854775807"},
        {"\"exp\":1714694399", "\"exp\":99999999999999999999"},
        {"\"exp\":1714694399", "\"exp\":-1"},
        {"\"exp\":1714694399", "\"exp\":null"},
        {",\"exp\":1714694399", ""},
        {"\"1714608000000\"", "1714608000000"},
        {"\"1714608000000\"", "\"1714608060001\""},
        {"\"1714608000000\"", "\"1714500000000\""},
        {"\"1714608000000\"", "\"-1\""},
        {"\"1714608000000\"", "\"\""},
        {"\"1714608000000\"", "\"9223372036854775807\""},
        {"\"1714608000000\"", "\"9223372036854775808\""},
        {"\"1714608000000\"", "\" 1714608000000\""},
        {"\"86399000\"", "86399000"},
        {"\"86399000\"", "\"-86399000\""},
        {"\"86399000\"", "\"9223372036854775807\""},
        {"\"86399000\"", "\"1e9\""},
        {"\"86399000\"", "\"0x1\""},
        {"\"scope\":\"openid\"", "\"scope\":[[[[[[[[1]]]]]]]]"},
        {"{\"id\"", "[{\"id\""},
        {"{\"id\"", "{\"id\":\"y\",\"id\""},
        {"}", "}}"},
        {"}", "} x"},
        {"}", ",}"},
        {"\"x\"", "\"\xff\""},
        {"\"x\"", "\"\\ud800\""}};
    accepted = tried = 0;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char text[1000];
        replaced(claims_text, changes[i][0], changes[i][1], text, sizeof text);
        tr_buf token = sign_texts(header_text, text);
        expect_refused(text, tr_buf_str(&token));
        tr_buf_free(&token);
    }
    CHECK(accepted == 0 && tried == 44);
}

/* Signed with HMAC, the public key's text or nothing as its key: the classic confusion. */
static void an_hmac_is_no_signature(void)
{
    static const char *const algorithms[] = {"HS256", "RS256", "none", "hs256"};
    char *public = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_PUBKEY(bio, jwt->keys[0].key) == 1);
    const int public_len = (int)BIO_get_mem_data(bio, &public);
    accepted = tried = 0;
    for (size_t a = 0; a < 4; a++)
        for (int with_key = 0; with_key < 2; with_key++) {
            char header[200];
            uint8_t mac[32];
            unsigned len = 0;
            tr_buf token = {0};
            (void)snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%s\"}",
                           algorithms[a], jwt->keys[0].kid);
            CHECK(tr_base64url(tr_str_of(header), &token, NULL) == TR_OK);
            CHECK(tr_buf_append(&token, tr_str_of("."), NULL) == TR_OK);
            CHECK(tr_base64url(tr_str_of(claims_text), &token, NULL) == TR_OK);
            CHECK(HMAC(EVP_sha256(), public, with_key ? public_len : 0, token.at, token.len, mac,
                       &len) != NULL);
            CHECK(tr_buf_append(&token, tr_str_of("."), NULL) == TR_OK);
            expect_refused("an empty signature", tr_buf_str(&token));
            CHECK(tr_base64url((tr_str){mac, len}, &token, NULL) == TR_OK);
            expect_refused(header, tr_buf_str(&token));
            tr_buf_free(&token);
        }
    BIO_free(bio);
    CHECK(accepted == 0 && tried == 16);
}

static void another_key_signs_in_vain(void)
{
    tr_buf other_pem = {0};
    tr_jwt *other = NULL, *ours = jwt;
    CHECK(tr_jwt_new_key(2048, &other_pem, NULL) == TR_OK);
    CHECK(tr_jwt_open_pem(tr_buf_str(&other_pem), &other, NULL) == TR_OK);
    jwt = other;
    tr_buf stranger = make(&good_claims);
    (void)snprintf(other->keys[0].kid, sizeof other->keys[0].kid, "%s", ours->keys[0].kid);
    tr_buf pretender = make(&good_claims);
    jwt = ours;
    CHECK(!is_accepted(tr_buf_str(&stranger), NOW));
    CHECK(!is_accepted(tr_buf_str(&pretender), NOW));
    /* After a rotation both are valid. */
    tr_buf both = {0};
    tr_jwt *rotated = NULL;
    CHECK(tr_buf_append(&both, tr_buf_str(&pem), NULL) == TR_OK);
    CHECK(tr_buf_append(&both, tr_buf_str(&other_pem), NULL) == TR_OK);
    CHECK(tr_jwt_open_pem(tr_buf_str(&both), &rotated, NULL) == TR_OK);
    tr_buf old = make(&good_claims);
    jwt = rotated;
    CHECK(is_accepted(tr_buf_str(&old), NOW) && is_accepted(tr_buf_str(&stranger), NOW));
    tr_buf new = make(&good_claims);
    jwt = ours;
    CHECK(!is_accepted(tr_buf_str(&new), NOW));
    tr_buf *all[] = {&stranger, &pretender, &old, &new, &both, &other_pem};
    for (size_t i = 0; i < 6; i++)
        tr_buf_free(all[i]);
    tr_jwt_close(rotated);
    tr_jwt_close(other);
}

static void a_token_has_8_kib_at_most(void)
{
    char *text = calloc(1, 9000);
    int lengths = 0;
    for (int n = 5000; n < 6200; n++) {
        (void)snprintf(text, 9000, "{\"pad\":\"%*s\",%s", n, "", claims_text + 1);
        tr_buf token = {0};
        const size_t len = (strlen(header_text) * 8 + 5) / 6 + (strlen(text) * 8 + 5) / 6 + 514;
        if (len > TR_TOKEN_BYTES_MAX - 4 && len <= TR_TOKEN_BYTES_MAX + 4) {
            token = sign_texts(header_text, text);
            lengths |= len == TR_TOKEN_BYTES_MAX ? 1 : len == TR_TOKEN_BYTES_MAX + 1 ? 2 : 4;
            CHECK(token.len == len);
            CHECK(is_accepted(tr_buf_str(&token), NOW) == (len <= TR_TOKEN_BYTES_MAX));
            tr_buf_free(&token);
        }
    }
    CHECK((lengths & 3) != 0 && (lengths & 4) != 0); /* base64 skips some lengths */
    free(text);
}

static void base64url_is_strict(void)
{
    static const char *const bad[] = {"A", "AAAAA", "AA=", "AA==", "AB", "AAB", "A+AA", "A/AA",
                                      "AA AA", "AA\nA", "\xc3\x84"};
    uint8_t out[64];
    size_t len;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK(!tr_base64url_decode(tr_str_of(bad[i]), out, &len));
    for (size_t n = 0; n < 40; n++) {
        uint8_t bytes[40];
        tr_buf text = {0};
        tr_random_bytes(bytes, sizeof bytes);
        CHECK(tr_base64url((tr_str){bytes, n}, &text, NULL) == TR_OK);
        CHECK(tr_base64url_decode(tr_buf_str(&text), out, &len) && len == n);
        CHECK(memcmp(out, bytes, n) == 0);
        tr_buf_free(&text);
    }
}

/* A client whose secret is older than SCRAM gets its verifier when the secret is next seen. */
static void check_scram(tr_catalog *catalog, const char *id, tr_str secret)
{
    tr_scram_verifier verifier;
    json_t *doc = NULL;
    bool is_good = false;
    CHECK(tr_client_verifier(catalog, id, &verifier, NULL) == TR_OK);
    CHECK(tr_client_verifier(catalog, "00000000000000000000000000000000", &verifier, NULL) ==
          TR_NOT_FOUND);
    CHECK(tr_catalog_client_get(catalog, id, &doc, NULL) == TR_OK);
    CHECK(json_object_del(json_array_get(json_object_get(doc, "secrets"), 0), "scram") == 0);
    CHECK(tr_catalog_client_put(catalog, id, doc, NULL) == TR_OK);
    json_decref(doc);
    CHECK(tr_client_verifier(catalog, id, &verifier, NULL) == TR_SEMANTIC);
    CHECK(tr_client_check(catalog, tr_str_of(id), tr_str_of("wrong"), &is_good, &doc, NULL) ==
              TR_OK && !is_good);
    CHECK(tr_client_verifier(catalog, id, &verifier, NULL) == TR_SEMANTIC);
    CHECK(tr_client_check(catalog, tr_str_of(id), secret, &is_good, &doc, NULL) == TR_OK &&
          is_good);
    json_decref(doc);
    CHECK(tr_client_verifier(catalog, id, &verifier, NULL) == TR_OK);
}

static void the_catalog_keeps_one_key(void)
{
    char folder[] = "/tmp/tributary_jwt_XXXXXX", path[64], command[80];
    tr_catalog *catalog = NULL;
    tr_jwt *first = NULL, *second = NULL;
    json_t *keys = NULL;
    CHECK(mkdtemp(folder) != NULL);
    (void)snprintf(path, sizeof path, "%s/catalog.db", folder);
    CHECK(tr_catalog_open(path, &catalog, NULL) == TR_OK);
    CHECK(tr_jwt_open(catalog, &first, NULL) == TR_OK);
    CHECK(tr_jwt_open(catalog, &second, NULL) == TR_OK);
    CHECK(first->key_count == 1 && strcmp(first->keys[0].kid, second->keys[0].kid) == 0);
    CHECK(tr_jwt_jwks(first, &keys, NULL) == TR_OK);
    const json_t *key = json_array_get(json_object_get(keys, "keys"), 0);
    CHECK(strcmp(tr_json_text(key, "kid", ""), first->keys[0].kid) == 0);
    CHECK(strcmp(tr_json_text(key, "kty", ""), "RSA") == 0 && json_object_get(key, "d") == NULL);
    json_decref(keys);
    tr_jwt_close(first);
    tr_jwt_close(second);

    json_t *made = NULL, *doc = NULL;
    tr_buf stored = {0};
    bool is_good = false;
    CHECK(tr_api_client_add(catalog, ORG, "test", "editor", NULL, &made, NULL) == TR_OK);
    const tr_str id = tr_str_of(tr_json_text(made, "client_id", ""));
    const tr_str secret = tr_str_of(tr_json_text(made, "client_secret", ""));
    CHECK(tr_client_check(catalog, id, secret, &is_good, &doc, NULL) == TR_OK && is_good);
    CHECK(tr_json_write(doc, &stored, NULL) == TR_OK);
    CHECK(memmem(stored.at, stored.len, secret.at, secret.len) == NULL);
    tr_buf_free(&stored);
    json_decref(doc);
    CHECK(tr_client_check(catalog, id, (tr_str){secret.at, secret.len - 1}, &is_good, &doc, NULL) ==
              TR_OK && !is_good);
    CHECK(tr_client_check(catalog, secret, secret, &is_good, &doc, NULL) == TR_OK && !is_good);
    CHECK(tr_client_check(catalog, id, (tr_str){0}, &is_good, &doc, NULL) == TR_OK && !is_good);
    check_scram(catalog, tr_json_text(made, "client_id", ""), secret);
    json_decref(made);
    static const char *const no_names[] = {"Prod", NULL};
    CHECK(tr_api_client_add(catalog, "x", "n", "admin", NULL, &made, NULL) == TR_INVALID);
    CHECK(tr_api_client_add(catalog, ORG, "", "admin", NULL, &made, NULL) == TR_INVALID);
    CHECK(tr_api_client_add(catalog, ORG, "n", "owner", NULL, &made, NULL) == TR_INVALID);
    CHECK(tr_api_client_add(catalog, ORG, "n", "admin", no_names, &made, NULL) == TR_INVALID);
    tr_catalog_close(catalog);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    CHECK(system(command) == 0);
}

int main(void)
{
    int passed = 0, failed = 0;
    if (tr_jwt_new_key(3072, &pem, NULL) != TR_OK ||
        tr_jwt_open_pem(tr_buf_str(&pem), &jwt, NULL) != TR_OK)
        return 1;
    (void)snprintf(header_text, sizeof header_text,
                   "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"%s\"}", jwt->keys[0].kid);
    RUN(a_token_of_ours_is_accepted_while_it_is_valid);
    RUN(the_claims_survive_the_other_base64_alphabet);
    RUN(any_changed_byte_is_refused);
    RUN(headers_that_are_not_ours_are_refused);
    RUN(claims_that_do_not_hold_are_refused_even_when_signed);
    RUN(an_hmac_is_no_signature);
    RUN(another_key_signs_in_vain);
    RUN(a_token_has_8_kib_at_most);
    RUN(base64url_is_strict);
    RUN(the_catalog_keeps_one_key);
    tr_jwt_close(jwt);
    tr_buf_free(&pem);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
