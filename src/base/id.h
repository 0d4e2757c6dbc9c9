/* SPDX-License-Identifier: Apache-2.0 */
/* id.h - random bytes and the identifiers AEP uses, each NUL-terminated.
 *
 *     hex24   datasets                 64b0c0ffee0000000000a001
 *     hex32   XDM resources            0f2c9c2f8a7e4c1db0a5b7e9d1234567
 *     ulid    batches, files; sorted by time of creation   01HB3K4W6T9N4S3J2M8Q7R5V1A
 *     uuid    policies, segments, sandboxes
 */
#ifndef TR_BASE_ID_H
#define TR_BASE_ID_H

#include "base/str.h"

enum { TR_ID_BYTES_MAX = 64 };

typedef struct tr_id {
    char text[TR_ID_BYTES_MAX];
} tr_id;

void tr_random_bytes(uint8_t *out, size_t len); /* from the kernel; aborts when it has none */
tr_id tr_id_hex(size_t digits);                 /* at most 63 */
tr_id tr_id_ulid(void);
tr_id tr_id_uuid(void);

bool tr_is_hex(tr_str s, size_t digits);

#endif
