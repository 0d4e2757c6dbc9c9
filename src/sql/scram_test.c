/* SPDX-License-Identifier: Apache-2.0 */
/* scram_test.c - a conversation of RFC 7677's kind, and what is no such conversation. The
 * client's side is worked out here from the RFC's formulas.
 */
#include "sql/scram.h"
#include "base/test.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

static void hmac(const uint8_t key[32], const char *text, uint8_t out[32])
{
    unsigned len = 32;
    (void)HMAC(EVP_sha256(), key, 32, (const uint8_t *)text, strlen(text), out, &len);
}

/* client-final for what the server said, by somebody who knows `secret`. */
static void prove(const tr_scram *s, const char *bare, const char *server_first, const char *secret,
                  char out[400])
{
    uint8_t salted[32], key[32], stored[32], signature[32];
    unsigned char proof[48];
    char message[900], rest[300];
    const int nonce_len = (int)(strchr(server_first, ',') - server_first);
    (void)snprintf(rest, sizeof rest, "c=biws,%.*s", nonce_len, server_first);
    CHECK(PKCS5_PBKDF2_HMAC(secret, (int)strlen(secret), s->verifier.salt, TR_SCRAM_SALT_BYTES,
                            4096, EVP_sha256(), 32, salted) == 1);
    hmac(salted, "Client Key", key);
    (void)SHA256(key, 32, stored);
    (void)snprintf(message, sizeof message, "%s,%s,%s", bare, server_first, rest);
    hmac(stored, message, signature);
    for (int i = 0; i < 32; i++)
        key[i] ^= signature[i];
    (void)EVP_EncodeBlock(proof, key, 32);
    (void)snprintf(out, 400, "%s,p=%s", rest, proof);
}

static tr_code converse(const char *kept, const char *known)
{
    tr_scram s = {0};
    char first[300], last[80], final[400];
    if (kept == NULL)
        tr_scram_pretend("nobody", &s.verifier);
    else
        CHECK(tr_scram_make(tr_str_of(kept), &s.verifier, NULL) == TR_OK);
    CHECK(tr_scram_begin(&s, tr_str_of("n,,n=,r=abc"), first, NULL) == TR_OK);
    CHECK(strncmp(first, "r=abc", 5) == 0);
    prove(&s, "n=,r=abc", first, known, final);
    const tr_code code = tr_scram_end(&s, tr_str_of(final), last, NULL);
    if (code == TR_OK)
        CHECK(strncmp(last, "v=", 2) == 0 && strlen(last) == 46);
    return code;
}

static void who_knows_the_secret_comes_in_and_nobody_else(void)
{
    CHECK(converse("p8e-secret", "p8e-secret") == TR_OK);
    CHECK(converse("p8e-secret", "p8e-secreT") == TR_UNAUTHORIZED);
    CHECK(converse(NULL, "p8e-secret") == TR_UNAUTHORIZED);
}

static void a_stranger_sees_the_same_salt_again(void)
{
    tr_scram_verifier a, b, c;
    tr_scram_pretend("one", &a);
    tr_scram_pretend("one", &b);
    tr_scram_pretend("two", &c);
    CHECK(memcmp(a.salt, b.salt, sizeof a.salt) == 0 && memcmp(a.salt, c.salt, sizeof a.salt) != 0);
}

static void what_is_not_well_formed_is_refused(void)
{
    static const char *const firsts[] = {"", "n,,", "n,,n=,r=", "p=tls-unique,,n=,r=abc",
                                         "n,a=x,n=,r=abc", "n,,n=,r=a b", "n,,r=abc",
                                         "n,,n=,r=abc,x=1"};
    static const char *const finals[] = {"", "c=biws", "c=biws,r=abc", "c=biws,r=abc,p=AAAA",
                                         "c=eSws,r=%s,p=%s", "c=biws,r=x,p=%s"};
    char out[300], last[80], text[300];
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        tr_scram s = {0};
        CHECK(tr_scram_begin(&s, tr_str_of(firsts[i]), out, NULL) == TR_INVALID);
    }
    for (size_t i = 0; i < sizeof finals / sizeof finals[0]; i++) {
        tr_scram s = {0};
        CHECK(tr_scram_make(tr_str_of("x"), &s.verifier, NULL) == TR_OK);
        CHECK(tr_scram_begin(&s, tr_str_of("n,,n=,r=abc"), out, NULL) == TR_OK);
        (void)snprintf(text, sizeof text, "%s", finals[i]);
        CHECK(tr_scram_end(&s, tr_str_of(text), last, NULL) == TR_INVALID);
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(who_knows_the_secret_comes_in_and_nobody_else);
    RUN(a_stranger_sees_the_same_salt_again);
    RUN(what_is_not_well_formed_is_refused);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
