/* SPDX-License-Identifier: Apache-2.0 */
/* http_head.c - request line and headers: what is refused, and the parsed request.
 *
 * MHD is lenient where a proxy in front of us may read otherwise, and the difference is how
 * requests are smuggled. What it lets through is refused here: bare line feeds, folded lines,
 * NULs, names that are no tokens, two lengths, two hosts. MHD overwrites each line end with
 * zeros, one for LF and two for CRLF, in the buffer that names and values point into: so the
 * bytes behind a value tell how its line ended. There are always at least two, because an empty
 * line ends the headers.
 */
#include "base/limits.h"
#include "http/http_internal.h"

enum { HEADERS_MAX = 200, QUERY_MAX = 1000 };

/* RFC 9110's tchar, one bit a byte. */
static const uint32_t token_bytes[8] = {[1] = 0x03ff6cfa, [2] = 0xc7fffffe, [3] = 0x57ffffff};

static bool is_token(tr_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((token_bytes[s.at[i] >> 5] >> (s.at[i] & 31) & 1) == 0)
            return false;
    return s.len > 0;
}

static bool has_control_byte(tr_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.at[i] < 0x20 && s.at[i] != '\t') || s.at[i] == 0x7f)
            return true;
    return false;
}

static bool ends_with_crlf(const char *end)
{
    return end[0] == '\0' && end[1] == '\0';
}

/* What a pass over the headers finds. */
typedef struct headers_seen {
    size_t bytes;
    uint32_t count, hosts, lengths, encodings;
    tr_str encoding;
    const char *end; /* of the last line */
    const char *fault;
} headers_seen;

/* before: the end of the line above */
static const char *header_fault(const char *before, tr_str name, tr_str value)
{
    if (!is_token(name))
        return "a header has no valid name";
    if (has_control_byte(value))
        return "a header has control characters in its value";
    /* Name and value stand where the line above ended in CR LF. A folded line makes MHD move the
     * name; a bare line feed, a zero or a skipped line change the distance. */
    if ((const char *)name.at != before + 2 || !ends_with_crlf(before) ||
        value.at <= name.at + name.len)
        return "a header line is folded or does not end in CR LF";
    for (const uint8_t *at = name.at + name.len + 1; at < value.at; at++)
        if (*at != ' ' && *at != '\t')
            return "a header line is folded or does not end in CR LF";
    return NULL;
}

static enum MHD_Result see_header(void *ctx, enum MHD_ValueKind kind, const char *key,
                                  size_t key_len, const char *value, size_t value_len)
{
    headers_seen *seen = ctx;
    (void)kind;
    const tr_str name = {(const uint8_t *)key, key_len};
    const tr_str text = {(const uint8_t *)value, value_len};
    seen->bytes += key_len + value_len + 4;
    seen->count++;
    seen->fault = value == NULL ? "a header has no value" : header_fault(seen->end, name, text);
    seen->end = value == NULL ? seen->end : value + value_len;
    if (tr_str_equal_folded(name, tr_str_of("Host")))
        seen->hosts++;
    else if (tr_str_equal_folded(name, tr_str_of("Content-Length")))
        seen->lengths++;
    else if (tr_str_equal_folded(name, tr_str_of("Transfer-Encoding"))) {
        seen->encodings++;
        seen->encoding = text;
    }
    return seen->fault == NULL ? MHD_YES : MHD_NO;
}

static const char *framing_fault(const headers_seen *seen, const char *version)
{
    if (seen->hosts > 1)
        return "the request has more than one Host";
    if (seen->lengths > 1)
        return "the request has more than one Content-Length";
    if (seen->encodings > 0 && seen->lengths > 0)
        return "the request has both Content-Length and Transfer-Encoding";
    if (seen->encodings > 1)
        return "the request has more than one Transfer-Encoding";
    if (seen->encodings == 1 && !tr_str_equal_folded(seen->encoding, tr_str_of("chunked")))
        return "the Transfer-Encoding is not \"chunked\"";
    if (seen->encodings == 1 && strcmp(version, "HTTP/1.0") == 0)
        return "HTTP/1.0 has no Transfer-Encoding";
    return NULL;
}

static const char *request_line_fault(const tr_connection *c)
{
    if (!is_token(tr_str_of(c->method)))
        return "the method is not valid";
    /* Exactly one space on both sides of the target; a NUL inside would end it early. */
    if (c->uri_in_mhd == NULL || c->uri_in_mhd != c->method + strlen(c->method) + 1 ||
        c->version != c->uri_in_mhd + c->uri.len + 1)
        return "the request line is not valid";
    if (!ends_with_crlf(c->version + strlen(c->version)))
        return "a line does not end in CR LF";
    return NULL;
}

int tr_http_check_head(const tr_connection *c, const char **text)
{
    headers_seen seen = {.end = c->version + strlen(c->version)};
    if (c->uri.len > TR_URL_BYTES_MAX) {
        *text = "the URL is too long";
        return 414;
    }
    (void)MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, see_header, &seen);
    *text = request_line_fault(c);
    if (*text == NULL)
        *text = seen.fault;
    /* MHD takes a line that begins with a colon, or a bare line feed, for the empty line. */
    if (*text == NULL && !(ends_with_crlf(seen.end) && ends_with_crlf(seen.end + 2)))
        *text = "the headers do not end with an empty line";
    if (*text != NULL)
        return 400;
    if (seen.bytes > TR_HEADER_BLOCK_BYTES_MAX || seen.count > HEADERS_MAX) {
        *text = "the headers are too large";
        return 431;
    }
    *text = framing_fault(&seen, c->version);
    return *text == NULL ? 0 : 400;
}

bool tr_http_has_body(struct MHD_Connection *mhd, uint64_t *content_length, bool *is_chunked)
{
    int64_t length = 0;
    const char *text = MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Content-Length");
    *is_chunked =
        MHD_lookup_connection_value(mhd, MHD_HEADER_KIND, "Transfer-Encoding") != NULL;
    if (text != NULL && !tr_str_to_i64(tr_str_of(text), &length))
        length = INT64_MAX;
    *content_length = (uint64_t)length;
    return *is_chunked || length > 0;
}

/* Path and query ------------------------------------------------------------------------------ */

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

/* Decodes into the arena. is_query: '+' is a blank, and a '%' that is not followed by two digits
 * stands for itself (clients send "50%"). False when malformed; .at NULL: no memory. */
static bool percent_decode(tr_arena *arena, tr_str raw, bool is_query, tr_str *out)
{
    size_t len = 0;
    if (memchr(raw.at, '%', raw.len) == NULL &&
        (!is_query || memchr(raw.at, '+', raw.len) == NULL)) {
        *out = raw; /* the URI outlives the request */
        return true;
    }
    uint8_t *to = tr_arena_alloc(arena, raw.len + 1);
    for (size_t i = 0; to != NULL && i < raw.len; i++) {
        const int high = raw.at[i] == '%' && i + 2 < raw.len ? hex_digit(raw.at[i + 1]) : -1;
        const int low = high >= 0 ? hex_digit(raw.at[i + 2]) : -1;
        if (low >= 0) {
            to[len++] = (uint8_t)(high * 16 + low);
            i += 2;
        } else if (raw.at[i] == '%' && !is_query) {
            return false;
        } else {
            to[len++] = is_query && raw.at[i] == '+' ? ' ' : raw.at[i];
        }
    }
    *out = (tr_str){to, len};
    return true;
}

/* ".." as a whole piece between slashes, as it may hide behind %2F. */
static bool climbs(tr_str segment)
{
    size_t from = 0;
    for (size_t i = 0; i <= segment.len; i++) {
        if (i < segment.len && segment.at[i] != '/')
            continue;
        if (i - from == 2 && segment.at[from] == '.' && segment.at[from + 1] == '.')
            return true;
        from = i + 1;
    }
    return false;
}

static const char *segment_fault(tr_str segment)
{
    size_t bad_at;
    for (size_t i = 0; i < segment.len; i++)
        if (segment.at[i] < 0x20 || segment.at[i] == 0x7f)
            return "the path has control characters";
    if (!tr_str_is_utf8(segment, &bad_at))
        return "the path is not UTF-8";
    if (climbs(segment))
        return "the path has \"..\"";
    return NULL;
}

static size_t count_bytes(tr_str s, uint8_t byte)
{
    size_t count = 0;
    for (size_t i = 0; i < s.len; i++)
        count += s.at[i] == byte;
    return count;
}

/* The piece of s up to the next `byte`; *s moves behind it. */
static tr_str cut(tr_str *s, uint8_t byte)
{
    const uint8_t *end = memchr(s->at, byte, s->len);
    const size_t len = end == NULL ? s->len : (size_t)(end - s->at);
    const tr_str piece = {s->at, len};
    *s = tr_str_from(*s, end == NULL ? len : len + 1);
    return piece;
}

static int parse_path(tr_str path, tr_arena *arena, tr_http_request *out, const char **text)
{
    tr_str *segments = tr_arena_array(arena, count_bytes(path, '/') + 1, sizeof *segments);
    if (segments == NULL) {
        *text = "out of memory";
        return 503;
    }
    out->raw_path = path;
    out->segments = segments;
    while (path.len > 0) {
        const tr_str raw = cut(&path, '/');
        tr_str *segment = &segments[out->segment_count];
        if (raw.len == 0)
            continue;
        if (!percent_decode(arena, raw, false, segment)) {
            *text = "the path has a '%' without two hexadecimal digits";
            return 400;
        }
        *text = segment->at == NULL ? "out of memory" : segment_fault(*segment);
        if (*text != NULL)
            return segment->at == NULL ? 503 : 400;
        out->segment_count++;
    }
    return 0;
}

static int parse_query(tr_str query, tr_arena *arena, tr_http_request *out, const char **text)
{
    size_t bad_at;
    const size_t most = count_bytes(query, '&') + 1;
    tr_http_pair *pairs = most > QUERY_MAX ? NULL : tr_arena_array(arena, most, sizeof *pairs);
    *text = most > QUERY_MAX ? "the query has too many parameters" : "out of memory";
    if (pairs == NULL)
        return most > QUERY_MAX ? 400 : 503;
    out->query = pairs;
    while (query.len > 0) {
        tr_str value = cut(&query, '&');
        if (value.len == 0)
            continue;
        const tr_str name = cut(&value, '=');
        tr_http_pair *pair = &pairs[out->query_count++];
        (void)percent_decode(arena, name, true, &pair->name);
        (void)percent_decode(arena, value, true, &pair->value);
        if (pair->name.at == NULL || pair->value.at == NULL)
            return 503;
        *text = "the query is not UTF-8 or has a zero byte";
        if (memchr(pair->value.at, '\0', pair->value.len) != NULL ||
            !tr_str_is_utf8(pair->name, &bad_at) || !tr_str_is_utf8(pair->value, &bad_at))
            return 400;
    }
    return 0;
}

/* "http://host/path" -> "/path": a server must take the absolute form, too. */
static bool cut_authority(tr_str *target)
{
    static const char *const schemes[] = {"http://", "https://"};
    if (target->len > 0 && target->at[0] == '/')
        return true;
    for (size_t i = 0; i < 2; i++) {
        const tr_str scheme = tr_str_of(schemes[i]);
        if (target->len <= scheme.len ||
            !tr_str_equal_folded((tr_str){target->at, scheme.len}, scheme))
            continue;
        const tr_str rest = tr_str_from(*target, scheme.len);
        const uint8_t *slash = memchr(rest.at, '/', rest.len);
        *target = slash == NULL ? (tr_str){(const uint8_t *)"/", 1}
                                : tr_str_from(rest, (size_t)(slash - rest.at));
        return true;
    }
    return false;
}

typedef struct header_list {
    tr_http_pair *pairs;
    uint32_t count, cap;
} header_list;

static enum MHD_Result add_header(void *ctx, enum MHD_ValueKind kind, const char *key,
                                  size_t key_len, const char *value, size_t value_len)
{
    header_list *list = ctx;
    (void)kind;
    if (list->count == list->cap)
        return MHD_NO;
    while (value_len > 0 && (value[value_len - 1] == ' ' || value[value_len - 1] == '\t'))
        value_len--;
    list->pairs[list->count++] = (tr_http_pair){{(const uint8_t *)key, key_len},
                                                {(const uint8_t *)value, value_len}};
    return MHD_YES;
}

int tr_http_parse_head(const tr_connection *c, tr_arena *arena, tr_http_request *out,
                       const char **text)
{
    tr_str target = tr_buf_str(&c->uri);
    *out = (tr_http_request){.method = c->method, .arena = arena};
    header_list list = {.cap = HEADERS_MAX};
    list.pairs = tr_arena_alloc(arena, HEADERS_MAX * sizeof *list.pairs);
    if (list.pairs == NULL) {
        *text = "out of memory";
        return 503;
    }
    (void)MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, add_header, &list);
    out->headers = list.pairs;
    out->header_count = list.count;
    if (!cut_authority(&target) || memchr(target.at, '#', target.len) != NULL) {
        *text = "the request target is not a path";
        return 400;
    }
    const tr_str path = cut(&target, '?');
    const int status = parse_path(path, arena, out, text);
    return status != 0 || target.len == 0 ? status : parse_query(target, arena, out, text);
}

tr_str tr_http_header(const tr_http_request *request, const char *name)
{
    const tr_str wanted = tr_str_of(name);
    for (uint32_t i = 0; i < request->header_count; i++)
        if (tr_str_equal_folded(request->headers[i].name, wanted))
            return request->headers[i].value;
    return (tr_str){0};
}

tr_str tr_http_query(const tr_http_request *request, const char *name)
{
    const tr_str wanted = tr_str_of(name);
    for (uint32_t i = request->query_count; i > 0; i--)
        if (tr_str_equal(request->query[i - 1].name, wanted) && request->query[i - 1].value.len > 0)
            return request->query[i - 1].value;
    return (tr_str){0};
}
