/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - standard names in compatibility mode, and short ids of documents.
 *
 *     xdm:firstName                                firstName
 *     @id                                          _id
 *     repo:createDate                              _repo / createDate
 *     https://ns.adobe.com/xdm/channels/email      _channels / email
 *     https://ns.adobe.com/experience/mcid         _experience / mcid
 *     https://ns.thirdparty.com/color              _ns / thirdparty / com / color
 */
#include "xdm/xdm_internal.h"

#include <stdio.h>

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* Appends bytes up to any of `stops` as one part; false when the name does not fit. */
static bool add_part(tr_xdm_name *name, size_t *used, const char *lead, const char *at, size_t len)
{
    const size_t lead_len = strlen(lead);
    if (name->part_count == TR_XDM_NAME_PARTS_MAX ||
        *used + lead_len + len + 1 > TR_XDM_NAME_BYTES_MAX)
        return false;
    char *to = name->text + *used;
    memcpy(to, lead, lead_len);
    memcpy(to + lead_len, at, len);
    to[lead_len + len] = '\0';
    name->parts[name->part_count++] = to;
    *used += lead_len + len + 1;
    return true;
}

/* The segments of what is behind the scheme of a uri; a host is cut at its dots. */
static bool split_uri(const char *rest, bool has_host, tr_xdm_name *out)
{
    size_t used = 0;
    const char *stops = has_host ? "./" : "/";
    while (*rest != '\0') {
        const size_t len = strcspn(rest, stops);
        if (len > 0 && !add_part(out, &used, out->part_count == 0 ? "_" : "", rest, len))
            return false;
        rest += len;
        if (*rest == '/')
            stops = "/";
        rest += *rest != '\0';
    }
    return out->part_count > 0;
}

static bool split(const char *standard, tr_xdm_name *out)
{
    size_t used = 0;
    if (begins_with(standard, "xdm:"))
        return add_part(out, &used, "", standard + 4, strlen(standard + 4));
    if (standard[0] == '@')
        return add_part(out, &used, "_", standard + 1, strlen(standard + 1));
    if (begins_with(standard, TR_XDM_PREFIX "xdm/"))
        return split_uri(standard + strlen(TR_XDM_PREFIX "xdm/"), false, out);
    if (begins_with(standard, TR_XDM_PREFIX))
        return split_uri(standard + strlen(TR_XDM_PREFIX), false, out);
    if (begins_with(standard, "https://") || begins_with(standard, "http://"))
        return split_uri(strstr(standard, "://") + 3, true, out);
    const char *colon = strchr(standard, ':');
    if (colon == NULL || colon == standard || colon[1] == '\0')
        return false;
    return add_part(out, &used, "_", standard, (size_t)(colon - standard)) &&
           add_part(out, &used, "", colon + 1, strlen(colon + 1));
}

void tr_xdm_name_split(const char *standard, tr_xdm_name *out)
{
    out->part_count = 0;
    if (!split(standard, out)) {
        out->parts[0] = standard;
        out->part_count = 1;
    }
}

size_t tr_xdm_path_push(tr_xdm_path *path, const char *name)
{
    const size_t before = path->len;
    const int written = snprintf(path->text + before, sizeof path->text - before, "%s%s",
                                 before == 0 ? "" : ".", name);
    path->len = written < 0 ? before : before + (size_t)written;
    if (path->len >= sizeof path->text)
        path->len = sizeof path->text - 1;
    return before;
}

void tr_xdm_path_pop(tr_xdm_path *path, size_t len)
{
    path->len = len;
    path->text[len] = '\0';
}

tr_str tr_xdm_alt_id(tr_arena *arena, tr_str id)
{
    static const char *const starts[] = {TR_XDM_PREFIX, "https://www.", "http://www.", "https://",
                                         "http://"};
    size_t skip = 0;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0] && skip == 0; i++) {
        const size_t len = strlen(starts[i]);
        skip = id.len > len && memcmp(id.at, starts[i], len) == 0 ? len : 0;
    }
    if (skip == 0)
        return tr_arena_copy(arena, id);
    char *text = tr_arena_alloc(arena, id.len - skip + 2);
    if (text == NULL)
        return (tr_str){NULL, 0};
    text[0] = '_';
    for (size_t i = skip; i < id.len; i++)
        text[i - skip + 1] = id.at[i] == '/' ? '.' : (char)id.at[i];
    text[id.len - skip + 1] = '\0';
    return (tr_str){(const uint8_t *)text, id.len - skip + 1};
}
