/* SPDX-License-Identifier: Apache-2.0 */
/* jwt_keys_internal.h - the signing keys: two at most, so that tokens of the old one outlive a
 * rotation. */
#ifndef TR_API_JWT_KEYS_INTERNAL_H
#define TR_API_JWT_KEYS_INTERNAL_H

#include "api/jwt_internal.h"

#include <openssl/types.h>

#define TR_TOKEN_ISSUER "tributary"
#define TR_SIGNATURE_BYTES_MAX 1024 /* RSA of 8,192 bits; in base64url, RSA of 6,144 */

enum { TR_JWT_KEYS_MAX = 2 };

typedef struct tr_jwt_key {
    EVP_PKEY *key;
    char kid[64];
} tr_jwt_key;

struct tr_jwt {
    tr_jwt_key keys[TR_JWT_KEYS_MAX];
    uint32_t key_count; /* the last one signs */
};

#endif
