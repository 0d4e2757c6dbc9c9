/* SPDX-License-Identifier: Apache-2.0 */
/* scram.c - see scram.h. */
#include "sql/scram.h"

#include "base/id.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>

enum { KEY_BYTES = TR_SCRAM_KEY_BYTES, OWN_NONCE_BYTES = 18, CLIENT_NONCE_MAX = 100 };

static tr_code malformed(tr_err *err)
{
    return TR_FAIL(err, TR_INVALID, "a message of SCRAM-SHA-256 that is not well formed");
}

static void sign(const uint8_t key[KEY_BYTES], tr_str text, uint8_t out[KEY_BYTES])
{
    unsigned len = KEY_BYTES;
    (void)HMAC(EVP_sha256(), key, KEY_BYTES, text.at, text.len, out, &len);
}

tr_code tr_scram_make(tr_str secret, tr_scram_verifier *out, tr_err *err)
{
    uint8_t salted[KEY_BYTES], client_key[KEY_BYTES];
    out->iterations = TR_SCRAM_ITERATIONS;
    tr_random_bytes(out->salt, sizeof out->salt);
    const bool is_good =
        secret.len > 0 && secret.len < 4096 &&
        PKCS5_PBKDF2_HMAC((const char *)secret.at, (int)secret.len, out->salt, sizeof out->salt,
                          TR_SCRAM_ITERATIONS, EVP_sha256(), KEY_BYTES, salted) == 1;
    if (is_good) {
        sign(salted, tr_str_of("Client Key"), client_key);
        (void)SHA256(client_key, KEY_BYTES, out->stored_key);
        sign(salted, tr_str_of("Server Key"), out->server_key);
    }
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client_key, sizeof client_key);
    return is_good ? TR_OK : TR_FAIL(err, TR_INVALID, "a secret that no verifier can be made of");
}

static uint8_t pretence[KEY_BYTES];

static void make_pretence(void)
{
    tr_random_bytes(pretence, sizeof pretence);
}

void tr_scram_pretend(const char *name, tr_scram_verifier *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint8_t salt[KEY_BYTES];
    (void)pthread_once(&once, make_pretence);
    sign(pretence, tr_str_of(name), salt);
    memcpy(out->salt, salt, sizeof out->salt);
    out->iterations = TR_SCRAM_ITERATIONS;
    tr_random_bytes(out->stored_key, sizeof out->stored_key);
    tr_random_bytes(out->server_key, sizeof out->server_key);
}

/* The next attribute, "x=value"; false: it is another one, or none. */
static bool take(tr_str *rest, char name, tr_str *value)
{
    if (rest->len < 2 || rest->at[0] != (uint8_t)name || rest->at[1] != '=')
        return false;
    const uint8_t *comma = memchr(rest->at, ',', rest->len);
    const size_t len = comma == NULL ? rest->len : (size_t)(comma - rest->at);
    *value = (tr_str){rest->at + 2, len - 2};
    *rest = tr_str_from(*rest, comma == NULL ? len : len + 1);
    return true;
}

static bool is_printable(tr_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < 0x21 || text.at[i] > 0x7e || text.at[i] == ',')
            return false;
    return text.len > 0;
}

tr_code tr_scram_begin(tr_scram *scram, tr_str client_first, char out[300], tr_err *err)
{
    tr_str rest = client_first, user, nonce;
    uint8_t own[OWN_NONCE_BYTES];
    unsigned char own_text[40], salt_text[40];
    if (rest.len < 3 || (rest.at[0] != 'n' && rest.at[0] != 'y') || rest.at[1] != ',' ||
        rest.at[2] != ',') /* no binding, no other identity */
        return malformed(err);
    rest = tr_str_from(rest, 3);
    if (rest.len >= sizeof scram->client_first || memchr(rest.at, '\0', rest.len) != NULL)
        return malformed(err);
    (void)snprintf(scram->client_first, sizeof scram->client_first, "%.*s", TR_STR_ARG(rest));
    const char binding = (char)client_first.at[0];
    if (!take(&rest, 'n', &user) || !take(&rest, 'r', &nonce) || rest.len > 0 ||
        nonce.len > CLIENT_NONCE_MAX || !is_printable(nonce))
        return malformed(err);
    tr_random_bytes(own, sizeof own);
    (void)EVP_EncodeBlock(own_text, own, sizeof own);
    (void)EVP_EncodeBlock(salt_text, scram->verifier.salt, sizeof scram->verifier.salt);
    (void)snprintf(scram->nonce, sizeof scram->nonce, "%c%.*s%s", binding, TR_STR_ARG(nonce),
                   own_text);
    (void)snprintf(scram->server_first, sizeof scram->server_first, "r=%s,s=%s,i=%u",
                   scram->nonce + 1, salt_text, scram->verifier.iterations);
    (void)snprintf(out, 300, "%s", scram->server_first);
    return TR_OK;
}

/* 32 bytes as base64. */
static bool decode_key(tr_str text, uint8_t out[KEY_BYTES])
{
    uint8_t bytes[48];
    if (text.len != 44 || text.at[43] != '=' || text.at[42] == '=')
        return false;
    if (EVP_DecodeBlock(bytes, text.at, 44) != 33)
        return false;
    memcpy(out, bytes, KEY_BYTES);
    return true;
}

tr_code tr_scram_end(tr_scram *scram, tr_str client_final, char out[80], tr_err *err)
{
    tr_str rest = client_final, binding, nonce, proof;
    uint8_t given[KEY_BYTES], signature[KEY_BYTES], key_hash[KEY_BYTES], mine[KEY_BYTES];
    unsigned char text[48];
    char message[900];
    if (!take(&rest, 'c', &binding) || !take(&rest, 'r', &nonce))
        return malformed(err);
    const size_t without_proof = client_final.len - rest.len - 1;
    if (!take(&rest, 'p', &proof) || rest.len > 0 || !decode_key(proof, given) ||
        !tr_str_is(binding, scram->nonce[0] == 'n' ? "biws" : "eSws") ||
        !tr_str_is(nonce, scram->nonce + 1))
        return malformed(err);
    const int len = snprintf(message, sizeof message, "%s,%s,%.*s", scram->client_first,
                             scram->server_first, (int)without_proof,
                             (const char *)client_final.at);
    if (len < 0 || len >= (int)sizeof message)
        return malformed(err);
    const tr_str said = {(const uint8_t *)message, (size_t)len};
    sign(scram->verifier.stored_key, said, signature);
    for (size_t i = 0; i < KEY_BYTES; i++)
        given[i] ^= signature[i]; /* the client's key */
    (void)SHA256(given, KEY_BYTES, key_hash);
    OPENSSL_cleanse(given, sizeof given);
    if (CRYPTO_memcmp(key_hash, scram->verifier.stored_key, KEY_BYTES) != 0)
        return TR_FAIL(err, TR_UNAUTHORIZED, "unknown client or wrong secret");
    sign(scram->verifier.server_key, said, mine);
    (void)EVP_EncodeBlock(text, mine, KEY_BYTES);
    (void)snprintf(out, 80, "v=%s", text);
    return TR_OK;
}
