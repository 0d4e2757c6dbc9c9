/* SPDX-License-Identifier: Apache-2.0 */
/* value.c - which values are somebody's (reference: identity, section 10). */
#include "identity/identity.h"

enum { ECID_DIGITS = 38 };

static bool is_blank(tr_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] > ' ')
            return false;
    return true;
}

static bool is_ecid(tr_str id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.at[i] < '0' || id.at[i] > '9')
            return false;
    return id.len == ECID_DIGITS;
}

static size_t count_characters(tr_str text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++)
        count += (text.at[i] & 0xc0) != 0x80; /* not a later byte of a character */
    return count;
}

bool tr_identity_links(tr_identity identity)
{
    static const char *const nobody[] = {"null", "anonymous", "invalid"};
    for (size_t i = 0; i < sizeof nobody / sizeof nobody[0]; i++)
        if (tr_str_equal_folded(identity.id, tr_str_of(nobody[i])))
            return false;
    if (tr_str_equal_folded(identity.code, tr_str_of("ECID")))
        return is_ecid(identity.id);
    return !is_blank(identity.id) && (identity.id.len <= TR_IDENTITY_CHARACTERS_MAX ||
                                      count_characters(identity.id) <= TR_IDENTITY_CHARACTERS_MAX);
}
