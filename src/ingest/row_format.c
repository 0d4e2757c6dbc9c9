/* SPDX-License-Identifier: Apache-2.0 */
/* row_format.c - the formats of strings that are checked. Any other format is a label. */
#include "ingest/row_internal.h"

#include <arpa/inet.h>
#include <string.h>

tr_str tr_row_cut(tr_str text, size_t bytes_max)
{
    size_t bad_at;
    if (text.len > bytes_max)
        text.len = bytes_max;
    if (!tr_str_is_utf8(text, &bad_at))
        text.len = bad_at;
    return text;
}

tr_row_text_format tr_row_format_of(tr_str name)
{
    static const struct {
        const char *name;
        tr_row_text_format format;
    } known[] = {{"email", TR_TEXT_EMAIL},
                 {"uri", TR_TEXT_URI},
                 {"uri-reference", TR_TEXT_URI_REFERENCE},
                 {"ipv4", TR_TEXT_IPV4},
                 {"ipv6", TR_TEXT_IPV6},
                 {"uuid", TR_TEXT_UUID},
                 {"hostname", TR_TEXT_HOSTNAME}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (tr_str_is(name, known[i].name))
            return known[i].format;
    return TR_TEXT_ANY;
}

static bool is_alpha(uint8_t byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

static bool has_blank(tr_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] == 0x7f)
            return true;
    return false;
}

/* Something, an @, and a domain of labels: as RFC 5321 has it, without its rarities. */
static bool is_email(tr_str text)
{
    size_t at = text.len; /* one past the last @ */
    while (at > 0 && text.at[at - 1] != '@')
        at--;
    if (at <= 1 || has_blank(text))
        return false;
    const tr_str domain = tr_str_from(text, at);
    return domain.len > 0 && domain.at[0] != '.' && domain.at[0] != '-' &&
           domain.at[domain.len - 1] != '.';
}

static bool is_scheme_byte(uint8_t byte)
{
    return is_alpha(byte) || is_digit(byte) || byte == '+' || byte == '-' || byte == '.';
}

static bool is_reference(tr_str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] == '<' || text.at[i] == '>' || text.at[i] == '"')
            return false;
    return true;
}

static bool is_uri(tr_str text)
{
    size_t at = 0;
    if (text.len == 0 || !is_alpha(text.at[0]))
        return false;
    while (at < text.len && is_scheme_byte(text.at[at]))
        at++;
    return at < text.len && text.at[at] == ':' && is_reference(text);
}

static bool is_address(int family, tr_str text)
{
    char copy[INET6_ADDRSTRLEN + 1];
    uint8_t address[16];
    if (text.len >= sizeof copy || (text.len > 0 && memchr(text.at, '\0', text.len) != NULL))
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, address) == 1;
}

static bool is_uuid(tr_str text)
{
    if (text.len != 36)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t byte = text.at[i];
        const bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash ? byte != '-' : !is_digit(byte) && ((byte | 0x20) < 'a' || (byte | 0x20) > 'f'))
            return false;
    }
    return true;
}

static bool is_hostname(tr_str text)
{
    size_t label = 0;
    for (size_t i = 0; i < text.len; i++) {
        const uint8_t byte = text.at[i];
        if (byte == '.' && (label == 0 || text.at[i - 1] == '-'))
            return false;
        label = byte == '.' ? 0 : label + 1;
        if (label > 63 || (byte == '-' && label == 1) ||
            (byte != '.' && byte != '-' && !is_alpha(byte) && !is_digit(byte)))
            return false;
    }
    return text.len <= 253 && label > 0 && text.at[text.len - 1] != '-';
}

bool tr_row_format_fits(tr_row_text_format format, tr_str text)
{
    switch (format) {
    case TR_TEXT_EMAIL: return is_email(text);
    case TR_TEXT_URI: return is_uri(text);
    case TR_TEXT_URI_REFERENCE: return is_reference(text);
    case TR_TEXT_IPV4: return is_address(AF_INET, text);
    case TR_TEXT_IPV6: return is_address(AF_INET6, text);
    case TR_TEXT_UUID: return is_uuid(text);
    case TR_TEXT_HOSTNAME: return is_hostname(text);
    case TR_TEXT_ANY: break;
    }
    return true;
}
