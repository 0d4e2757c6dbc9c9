/* SPDX-License-Identifier: Apache-2.0 */
/* scram.h - SCRAM-SHA-256 (RFC 5802, 7677), the server's side: a client proves that it knows a
 * secret without sending it, and we keep nothing that the secret could be taken from.
 *
 *     client-first  n,,n=,r=<its nonce>
 *     server-first  r=<both nonces>,s=<salt>,i=<iterations>
 *     client-final  c=biws,r=<both nonces>,p=<proof>
 *     server-final  v=<signature>
 *
 * Somebody whom we do not know has the same conversation with a salt of his own, always the same,
 * and fails at its end. No channel binding.
 */
#ifndef TR_SQL_SCRAM_H
#define TR_SQL_SCRAM_H

#include "base/memory.h"

enum { TR_SCRAM_SALT_BYTES = 16, TR_SCRAM_KEY_BYTES = 32, TR_SCRAM_ITERATIONS = 4096 };

typedef struct tr_scram_verifier {
    uint8_t salt[TR_SCRAM_SALT_BYTES];
    uint8_t stored_key[TR_SCRAM_KEY_BYTES], server_key[TR_SCRAM_KEY_BYTES];
    uint32_t iterations;
} tr_scram_verifier;

/* What is kept of a secret; the salt is random. */
TR_MUST_CHECK tr_code tr_scram_make(tr_str secret, tr_scram_verifier *out, tr_err *err);
/* One that no secret fits, the same for the same name as long as the process lives. */
void tr_scram_pretend(const char *name, tr_scram_verifier *out);

typedef struct tr_scram {
    tr_scram_verifier verifier;
    char nonce[160], client_first[200], server_first[300];
} tr_scram;

/* Reads client-first and writes server-first. TR_INVALID: it is not well formed, or wants what is
 * not there */
TR_MUST_CHECK tr_code tr_scram_begin(tr_scram *scram, tr_str client_first, char out[300],
                                     tr_err *err);
/* Reads client-final and writes server-final. TR_UNAUTHORIZED: the proof is wrong */
TR_MUST_CHECK tr_code tr_scram_end(tr_scram *scram, tr_str client_final, char out[80], tr_err *err);

#endif
