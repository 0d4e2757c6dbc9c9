/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_internal.h - access tokens: JWTs signed with RS256 by keys of our own, and nothing else.
 *
 *     base64url(header) . base64url(claims) . base64url(signature)
 *     header  {"alg":"RS256","typ":"JWT","kid":"<RFC 7638 thumbprint>"}
 *     claims  {"id","type":"access_token","client_id","user_id","as","scope","created_at",
 *              "expires_in","iss","org","iat","exp"}
 *
 * created_at and expires_in are texts of milliseconds, as AEP has them.
 *
 * The algorithm is fixed here, never by the token; a key is found by kid among our own; jku,
 * jwk, x5u are not looked at and crit is refused. The signature is checked before a claim is
 * read. Claims are plain ASCII that never gives '-' or '_' in base64url: a client is known that
 * decodes with the other alphabet.
 *
 * Threads: any.
 */
#ifndef TR_API_JWT_INTERNAL_H
#define TR_API_JWT_INTERNAL_H

#include "catalog/catalog.h"
#include "codec/base64.h"

#define TR_TOKEN_BYTES_MAX 8192
#define TR_TOKEN_LIFETIME_S 86399
#define TR_TOKEN_SKEW_S 60

typedef struct tr_jwt tr_jwt;

typedef struct tr_jwt_claims {
    char id[64];
    char client_id[80];
    char user_id[80];
    char org[80];
    char scope[512];
    int64_t created_ms;
    int64_t expires_ms;
} tr_jwt_claims;

/* Reads the signing keys of the catalog; makes the first one. */
TR_MUST_CHECK tr_code tr_jwt_open(tr_catalog *catalog, tr_jwt **out, tr_err *err);
/* The same from a PEM text of a private key, outside of any catalog (tests). */
TR_MUST_CHECK tr_code tr_jwt_open_pem(tr_str pem, tr_jwt **out, tr_err *err);
void tr_jwt_close(tr_jwt *jwt); /* accepts NULL */

/* Appends the token to `out`. */
TR_MUST_CHECK tr_code tr_jwt_make(const tr_jwt *jwt, const tr_jwt_claims *claims, tr_buf *out,
                                  tr_err *err);
/* TR_UNAUTHORIZED: anything but a token that we made and that is valid now; the text is for our
 * log. */
TR_MUST_CHECK tr_code tr_jwt_verify(const tr_jwt *jwt, tr_str token, int64_t now_ms,
                                    tr_jwt_claims *out, tr_err *err);
/* {"keys":[...]} of RFC 7517; returned. */
TR_MUST_CHECK tr_code tr_jwt_jwks(const tr_jwt *jwt, json_t **out, tr_err *err);

/* A new RSA key as PEM, appended to `out`. */
TR_MUST_CHECK tr_code tr_jwt_new_key(uint32_t bits, tr_buf *out, tr_err *err);

#endif
