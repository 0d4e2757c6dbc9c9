/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_keys.c - the signing keys: made once, kept in the catalog, named by their RFC 7638
 * thumbprint. */
#include "api/jwt_keys_internal.h"
#include "codec/hash.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>

enum { KEY_BITS = 3072, KEY_BITS_MIN = 2048, MODULUS_BYTES_MAX = 768 };

/* PEM texts, one behind the other; the last signs. */
static const char kept_under[] = "signing_keys";

tr_code tr_jwt_new_key(uint32_t bits, tr_buf *out, tr_err *err)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);
    BIO *pem = BIO_new(BIO_s_secmem());
    char *text = NULL;
    tr_code code = TR_OK;
    if (key == NULL || pem == NULL ||
        PEM_write_bio_PrivateKey(pem, key, NULL, NULL, 0, NULL, NULL) != 1) {
        code = TR_FAIL(err, TR_NO_MEMORY, "a signing key could not be made");
    } else {
        const long len = BIO_get_mem_data(pem, &text);
        code = tr_buf_append(out, (tr_str){(const uint8_t *)text, (size_t)len}, err);
    }
    BIO_free(pem);
    EVP_PKEY_free(key);
    return code;
}

/* A number of the public key, big-endian, as base64url. */
static tr_code public_number(const EVP_PKEY *key, const char *name, tr_buf *out, tr_err *err)
{
    uint8_t bytes[MODULUS_BYTES_MAX];
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &number) != 1 ||
        BN_num_bytes(number) > (int)sizeof bytes) {
        BN_free(number);
        return TR_FAIL(err, TR_CORRUPT, "a signing key is not an RSA key of a usual size");
    }
    const int len = BN_bn2bin(number, bytes);
    BN_free(number);
    return tr_base64url((tr_str){bytes, (size_t)len}, out, err);
}

/* The members of RFC 7638's order: {"e":"AQAB","kty":"RSA","n":"..."} */
static tr_code public_text(const EVP_PKEY *key, tr_buf *out, tr_err *err)
{
    TR_TRY(tr_buf_append(out, tr_str_of("{\"e\":\""), err));
    TR_TRY(public_number(key, OSSL_PKEY_PARAM_RSA_E, out, err));
    TR_TRY(tr_buf_append(out, tr_str_of("\",\"kty\":\"RSA\",\"n\":\""), err));
    TR_TRY(public_number(key, OSSL_PKEY_PARAM_RSA_N, out, err));
    return tr_buf_append(out, tr_str_of("\"}"), err);
}

static tr_code name_key(tr_jwt_key *key, tr_err *err)
{
    uint8_t hash[32];
    tr_buf text = {0};
    tr_code code = public_text(key->key, &text, err);
    if (code == TR_OK) {
        tr_sha256(tr_buf_str(&text), hash);
        text.len = 0;
        code = tr_base64url((tr_str){hash, sizeof hash}, &text, err);
    }
    if (code == TR_OK)
        (void)snprintf(key->kid, sizeof key->kid, "%.*s", TR_STR_ARG(tr_buf_str(&text)));
    tr_buf_free(&text);
    return code;
}

static tr_code add_key(tr_jwt *jwt, EVP_PKEY *key, tr_err *err)
{
    if (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < KEY_BITS_MIN ||
        EVP_PKEY_get_size(key) > TR_SIGNATURE_BYTES_MAX / 4 * 3 ||
        jwt->key_count == TR_JWT_KEYS_MAX) {
        EVP_PKEY_free(key);
        return TR_FAIL(err, TR_CORRUPT, "the signing keys are not one or two RSA keys of %d bits",
                       KEY_BITS_MIN);
    }
    jwt->keys[jwt->key_count].key = key;
    return name_key(&jwt->keys[jwt->key_count++], err);
}

static tr_code read_keys(tr_jwt *jwt, BIO *pem, tr_err *err)
{
    EVP_PKEY *key;
    while ((key = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL)) != NULL)
        TR_TRY(add_key(jwt, key, err));
    return jwt->key_count > 0 ? TR_OK : TR_FAIL(err, TR_CORRUPT, "the signing keys are unreadable");
}

tr_code tr_jwt_open_pem(tr_str pem, tr_jwt **out, tr_err *err)
{
    tr_jwt *jwt = tr_alloc_zeroed(1, sizeof *jwt);
    BIO *bio = pem.len > INT32_MAX ? NULL : BIO_new_mem_buf(pem.at, (int)pem.len);
    const tr_code code = jwt == NULL || bio == NULL
                             ? TR_FAIL(err, TR_NO_MEMORY, "no memory for the signing keys")
                             : read_keys(jwt, bio, err);
    BIO_free(bio);
    if (code == TR_OK)
        *out = jwt;
    else
        tr_jwt_close(jwt);
    return code;
}

/* Two servers that start on one catalog at once must agree on the key: asked again inside. */
static tr_code make_first_key(tr_catalog *catalog, tr_buf *pem, tr_err *err)
{
    tr_buf made = {0};
    tr_code code = tr_jwt_new_key(KEY_BITS, &made, err);
    if (code == TR_OK)
        code = tr_catalog_begin(catalog, err);
    if (code == TR_OK) {
        code = tr_catalog_value_get(catalog, kept_under, pem, err);
        if (code == TR_NOT_FOUND) {
            code = tr_catalog_value_put(catalog, kept_under, tr_buf_str(&made), err);
            if (code == TR_OK)
                code = tr_buf_append(pem, tr_buf_str(&made), err);
        }
        code = tr_catalog_end(catalog, code, err);
    }
    OPENSSL_cleanse(made.at, made.len);
    tr_buf_free(&made);
    return code;
}

tr_code tr_jwt_open(tr_catalog *catalog, tr_jwt **out, tr_err *err)
{
    tr_buf pem = {0};
    tr_code code = tr_catalog_value_get(catalog, kept_under, &pem, err);
    if (code == TR_NOT_FOUND)
        code = make_first_key(catalog, &pem, err);
    if (code == TR_OK)
        code = tr_jwt_open_pem(tr_buf_str(&pem), out, err);
    if (pem.len > 0)
        OPENSSL_cleanse(pem.at, pem.len);
    tr_buf_free(&pem);
    return code;
}

void tr_jwt_close(tr_jwt *jwt)
{
    if (jwt == NULL)
        return;
    for (uint32_t i = 0; i < jwt->key_count; i++)
        EVP_PKEY_free(jwt->keys[i].key);
    tr_free(jwt);
}

static json_t *public_key(const tr_jwt_key *key, tr_err *err)
{
    tr_buf text = {0};
    json_t *out = NULL;
    if (public_text(key->key, &text, err) == TR_OK)
        out = json_loadb((const char *)text.at, text.len, 0, NULL);
    tr_buf_free(&text);
    if (out != NULL && (json_object_set_new(out, "kid", json_string(key->kid)) != 0 ||
                        json_object_set_new(out, "use", json_string("sig")) != 0 ||
                        json_object_set_new(out, "alg", json_string("RS256")) != 0)) {
        json_decref(out);
        out = NULL;
    }
    return out;
}

tr_code tr_jwt_jwks(const tr_jwt *jwt, json_t **out, tr_err *err)
{
    json_t *keys = json_array();
    for (uint32_t i = 0; i < jwt->key_count; i++)
        if (json_array_append_new(keys, public_key(&jwt->keys[i], err)) != 0) {
            json_decref(keys);
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for the public keys");
        }
    *out = json_pack("{s:o}", "keys", keys);
    return *out == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for the public keys") : TR_OK;
}
