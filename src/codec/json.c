/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - trees and the cutting of rows; see json.h. The walk itself is in json_walk.cpp. */
#include "codec/json.h"

#include <string.h>

enum { MODE_UNKNOWN, MODE_LINES, MODE_VALUES, MODE_ARRAY, MODE_END };

tr_code tr_json_parse(tr_str text, json_t **out, tr_err *err)
{
    json_error_t why;
    static const char flag[] = " without JSON_ALLOW_NUL"; /* jansson's advice to programmers */
    json_t *value = json_loadb((const char *)text.at, text.len, JSON_DECODE_ANY, &why);
    if (value == NULL) {
        char *advice = strstr(why.text, flag);
        if (advice != NULL)
            memmove(advice, advice + sizeof flag - 1, strlen(advice + sizeof flag - 1) + 1);
        return TR_FAIL(err, TR_INVALID, "not valid JSON at line %d, column %d: %s", why.line,
                       why.column, why.text);
    }
    *out = value;
    return TR_OK;
}

static int append_dump(const char *at, size_t len, void *ctx)
{
    return tr_buf_append(ctx, (tr_str){(const uint8_t *)at, len}, NULL) == TR_OK ? 0 : -1;
}

tr_code tr_json_write(const json_t *value, tr_buf *out, tr_err *err)
{
    if (json_dump_callback(value, append_dump, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to write JSON");
    return TR_OK;
}

const char *tr_json_text(const json_t *object, const char *key, const char *otherwise)
{
    const json_t *member = json_object_get(object, key);
    return json_is_string(member) ? json_string_value(member) : otherwise;
}

const json_t *tr_json_find(const json_t *list, const char *key, const char *text)
{
    size_t i;
    const json_t *one;
    json_array_foreach (list, i, one)
        if (strcmp(tr_json_text(one, key, ""), text) == 0)
            return one;
    return NULL;
}

int64_t tr_json_int(const json_t *object, const char *key, int64_t otherwise)
{
    const json_t *member = json_object_get(object, key);
    return json_is_integer(member) ? json_integer_value(member) : otherwise;
}

bool tr_json_bool(const json_t *object, const char *key, bool otherwise)
{
    const json_t *member = json_object_get(object, key);
    return json_is_boolean(member) ? json_is_true(member) : otherwise;
}

json_t *tr_json_str(tr_str s)
{
    return json_stringn((const char *)s.at, s.len);
}

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static void skip_space(tr_json_cutter *cutter)
{
    while (cutter->at < cutter->text.len && is_space(cutter->text.at[cutter->at]))
        cutter->at++;
}

/* The end of the string that opens at `from`, one past its closing quote; 0 when it does not close. */
static size_t string_end(tr_str text, size_t from)
{
    for (size_t i = from + 1; i < text.len; i++) {
        if (text.at[i] == '\\')
            i++;
        else if (text.at[i] == '"')
            return i + 1;
    }
    return 0;
}

/* One past the value that starts at `from`, by counting brackets outside strings; 0 if it is open. */
static size_t value_end(tr_str text, size_t from)
{
    size_t depth = 0;
    for (size_t i = from; i < text.len; i++) {
        const uint8_t byte = text.at[i];
        if (byte == '"') {
            i = string_end(text, i);
            if (i == 0)
                return 0;
            if (depth == 0)
                return i;
            i--;
        } else if (byte == '{' || byte == '[') {
            depth++;
        } else if (byte == '}' || byte == ']') {
            if (depth == 0)
                return i; /* the enclosing array ends after a bare scalar */
            if (--depth == 0)
                return i + 1;
        } else if (depth == 0 && (byte == ',' || is_space(byte))) {
            return i;
        }
    }
    return depth == 0 ? text.len : 0;
}

static bool next_line(tr_json_cutter *cutter, tr_str *row)
{
    skip_space(cutter);
    const size_t left = cutter->text.len - cutter->at;
    if (left == 0)
        return false;
    const uint8_t *start = cutter->text.at + cutter->at;
    const uint8_t *newline = memchr(start, '\n', left);
    size_t len = newline == NULL ? left : (size_t)(newline - start);
    cutter->at += len;
    while (len > 0 && is_space(start[len - 1]))
        len--;
    *row = (tr_str){start, len};
    return true;
}

/* The next value of an array, or of a sequence of objects that span lines. */
static bool next_value(tr_json_cutter *cutter, tr_str *row)
{
    skip_space(cutter);
    const tr_str text = cutter->text;
    if (cutter->mode == MODE_ARRAY && cutter->at < text.len && cutter->row_number > 0) {
        if (text.at[cutter->at] == ',') {
            cutter->at++;
            skip_space(cutter);
        } else if (text.at[cutter->at] != ']') {
            cutter->is_broken = true;
            return false;
        }
    }
    if (cutter->at == text.len) {
        cutter->is_broken = true; /* the array does not close */
        return false;
    }
    if (text.at[cutter->at] == ']') {
        cutter->at++;
        skip_space(cutter);
        cutter->mode = MODE_END;
        cutter->is_broken = cutter->at != text.len;
        return false;
    }
    const size_t end = value_end(text, cutter->at);
    if (end <= cutter->at) {
        cutter->is_broken = true;
        return false;
    }
    *row = (tr_str){text.at + cutter->at, end - cutter->at};
    cutter->at = end;
    return true;
}

/* True when the first line is a whole value: then lines are rows, and one bad line is one bad row. */
static bool first_line_is_whole(const tr_json_cutter *cutter)
{
    tr_json_cutter probe = *cutter;
    tr_str line;
    return !next_line(&probe, &line) || value_end(line, 0) == line.len;
}

static int first_mode(tr_json_cutter *cutter)
{
    if (cutter->text.len >= 3 && memcmp(cutter->text.at, "\xEF\xBB\xBF", 3) == 0)
        cutter->at = 3; /* a byte order mark */
    skip_space(cutter);
    if (cutter->at == cutter->text.len)
        return MODE_END;
    if (cutter->text.at[cutter->at] != '[')
        return first_line_is_whole(cutter) ? MODE_LINES : MODE_VALUES;
    cutter->at++;
    return MODE_ARRAY;
}

/* A pretty-printed object: cut at its closing bracket; where there is none, the line is the row. */
static bool next_object(tr_json_cutter *cutter, tr_str *row)
{
    skip_space(cutter);
    if (cutter->at == cutter->text.len)
        return false;
    const size_t end = value_end(cutter->text, cutter->at);
    if (end <= cutter->at)
        return next_line(cutter, row);
    *row = (tr_str){cutter->text.at + cutter->at, end - cutter->at};
    cutter->at = end;
    return true;
}

bool tr_json_next_row(tr_json_cutter *cutter, tr_str *row)
{
    bool is_row = false;
    if (cutter->mode == MODE_UNKNOWN)
        cutter->mode = first_mode(cutter);
    if (cutter->is_broken || cutter->mode == MODE_END)
        return false;
    if (cutter->mode == MODE_ARRAY)
        is_row = next_value(cutter, row);
    else
        is_row = cutter->mode == MODE_LINES ? next_line(cutter, row) : next_object(cutter, row);
    cutter->row_number += is_row ? 1 : 0;
    return is_row;
}

tr_code tr_want_member(const json_t *object, const char *where, const char *key, tr_want type,
                       const json_t **out, tr_err *err)
{
    static const char *const names[] = {"an object", "an array", "a string", "true or false",
                                        "an integer"};
    const json_t *value = json_object_get(object, key);
    const bool fits[] = {json_is_object(value), json_is_array(value), json_is_string(value),
                         json_is_boolean(value), json_is_integer(value)};
    if (value == NULL || json_is_null(value)) {
        *out = NULL;
        return TR_OK;
    }
    if (!fits[type])
        return TR_FAIL(err, TR_INVALID, "%s%s must be %s", where, key, names[type]);
    *out = value;
    return TR_OK;
}

tr_code tr_want_text(const json_t *object, const char *where, const char *key, const char **out,
                     tr_err *err)
{
    const json_t *value = NULL;
    TR_TRY(tr_want_member(object, where, key, TR_WANT_STRING, &value, err));
    if (value == NULL || json_string_length(value) == 0)
        return TR_FAIL(err, TR_INVALID, "%s%s is required: a string that is not empty", where, key);
    *out = json_string_value(value);
    return TR_OK;
}
