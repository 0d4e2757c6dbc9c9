/* SPDX-License-Identifier: Apache-2.0 */
/* identity.h - one identity as an opaque text, the XID, and back.
 *
 *     XID = base64url( 0x05 | namespace code in lower case | 0x00 | id )
 *
 * It is computed, not looked up: the same identity has the same XID in every sandbox and after
 * every restart,
 * whether or not anything is known of it. The code and not the number of a namespace stands in
 * it, because
 * data may speak of a namespace that its org never defined. "<number>|<id>" is read as well:
 * what old
 * documents show.
 *
 * Threads: any.
 */
#ifndef TR_IDENTITY_IDENTITY_H
#define TR_IDENTITY_IDENTITY_H

#include "base/memory.h"

#define TR_IDENTITY_ID_BYTES_MAX 1024 /* AEP's limit of a value */
#define TR_IDENTITY_CHARACTERS_MAX 1024u /* of a value that links */

typedef struct tr_identity {
    tr_str code; /* of the namespace, or a number's digits; in lower case when read from an XID */
    tr_str id;
} tr_identity;

/* Whether a value is one person's or device's, so that it may be linked with others: not blank,
 * "null", "anonymous" or "invalid" in any case, not over TR_IDENTITY_CHARACTERS_MAX; an ECID has 38
 * digits. Whether namespaces of its kind link is the caller's to know. */
bool tr_identity_links(tr_identity identity);

/* Appends the XID. */
TR_MUST_CHECK tr_code tr_xid_write(tr_identity identity, tr_buf *out, tr_err *err);
/* The identity of an XID, in the arena. TR_INVALID: it is none. */
TR_MUST_CHECK tr_code tr_xid_read(tr_str xid, tr_arena *arena, tr_identity *out, tr_err *err);

#endif
