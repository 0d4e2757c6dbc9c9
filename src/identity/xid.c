/* SPDX-License-Identifier: Apache-2.0 */
/* xid.c - see identity.h. */
#include "identity/identity.h"
#include "codec/base64.h"

enum {
    XID_MARK = 0x05,
    CODE_BYTES_MAX = 128,
    XID_BYTES_MAX = (2 + CODE_BYTES_MAX + TR_IDENTITY_ID_BYTES_MAX)
};

tr_code tr_xid_write(tr_identity identity, tr_buf *out, tr_err *err)
{
    uint8_t bytes[XID_BYTES_MAX];
    size_t len = 0;
    if (identity.code.len > CODE_BYTES_MAX || identity.id.len > TR_IDENTITY_ID_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT, "an identity is longer than %d bytes",
                       TR_IDENTITY_ID_BYTES_MAX);
    bytes[len++] = XID_MARK;
    for (size_t i = 0; i < identity.code.len; i++) {
        const uint8_t c = identity.code.at[i];
        bytes[len++] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
    }
    bytes[len++] = 0;
    if (identity.id.len > 0)
        memcpy(bytes + len, identity.id.at, identity.id.len);
    return tr_base64url((tr_str){bytes, len + identity.id.len}, out, err);
}

static tr_code no_xid(tr_str xid, tr_err *err)
{
    return TR_FAIL(err, TR_INVALID, "\"%.*s\" is not an XID", xid.len > 80 ? 80 : (int)xid.len,
                   (const char *)xid.at);
}

/* "411|2521": false when there is no number before a bar. */
static bool read_old(tr_str xid, tr_identity *out)
{
    int64_t number;
    const uint8_t *bar = xid.len == 0 ? NULL : memchr(xid.at, '|', xid.len);
    if (bar == NULL)
        return false;
    const tr_str digits = {xid.at, (size_t)(bar - xid.at)};
    *out = (tr_identity){.code = digits, .id = tr_str_from(xid, digits.len + 1)};
    return tr_str_to_i64(digits, &number) && number >= 0 && out->id.len > 0;
}

tr_code tr_xid_read(tr_str xid, tr_arena *arena, tr_identity *out, tr_err *err)
{
    size_t len = 0, bad_at = 0;
    tr_identity old;
    if (read_old(xid, &old)) {
        *out = old;
        return TR_OK;
    }
    if (xid.len == 0 || xid.len > XID_BYTES_MAX * 4 / 3 + 4)
        return no_xid(xid, err);
    uint8_t *bytes = tr_arena_alloc(arena, xid.len);
    if (bytes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read an XID");
    if (!tr_base64url_decode(xid, bytes, &len) || len < 4 || bytes[0] != XID_MARK)
        return no_xid(xid, err);
    const uint8_t *end = memchr(bytes + 1, 0, len - 1);
    if (end == NULL)
        return no_xid(xid, err);
    const tr_identity identity = {.code = {bytes + 1, (size_t)(end - bytes - 1)},
                                  .id = {end + 1, len - (size_t)(end - bytes) - 1}};
    if (identity.code.len == 0 || identity.id.len == 0 || !tr_str_is_utf8(identity.code, &bad_at) ||
        !tr_str_is_utf8(identity.id, &bad_at))
        return no_xid(xid, err);
    *out = identity;
    return TR_OK;
}
