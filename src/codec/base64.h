/* SPDX-License-Identifier: Apache-2.0 */
/* base64.h - base64url (RFC 4648, section 5) without padding: tokens and opaque ids. */
#ifndef TR_CODEC_BASE64_H
#define TR_CODEC_BASE64_H

#include "base/memory.h"

/* base64url without padding; appended. */
TR_MUST_CHECK tr_code tr_base64url(tr_str bytes, tr_buf *out, tr_err *err);
/* Strict: no padding, no other byte, no bits left over. False: malformed. *len: at most text.len
 * * 3 / 4. */
bool tr_base64url_decode(tr_str text, uint8_t *out, size_t *len);

#endif
