/* SPDX-License-Identifier: Apache-2.0 */
/* row_json.c - see row_json.h.
 *
 * Above units of merging an object is there when something in it is. Inside a unit the levels tell:
 * every leaf has a cursor, and reading a value moves the cursors of all leaves below it by exactly
 * the entries that the value takes. `depth` is the definition level at which the parent is present:
 *
 *     level <= depth       absent
 *     level == depth + 1   an empty array or map; an object that is there
 *     level >= depth + 2   at least one element; the next one follows while its repetition level
 *                          is the array's own
 */
#include "parquet/row_json.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct tr_row_json {
    const tr_shape *shape;
    const tr_column *columns;
    uint32_t row;
    uint32_t *next; /* per leaf: the entry to be read */
    uint32_t *end;  /* per leaf: one past the row's last entry */
    tr_buf *out;
};

tr_code tr_row_json_open(const tr_shape *shape, const tr_column *columns, tr_row_json **out,
                         tr_err *err)
{
    tr_row_json *printer = tr_alloc_zeroed(1, sizeof *printer);
    if (printer == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to print rows");
    printer->shape = shape;
    printer->columns = columns;
    printer->next = tr_alloc_array(shape->leaf_count + 1, sizeof *printer->next);
    printer->end = tr_alloc_array(shape->leaf_count + 1, sizeof *printer->end);
    if (printer->next == NULL || printer->end == NULL) {
        tr_row_json_close(printer);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to print rows");
    }
    *out = printer;
    return TR_OK;
}

void tr_row_json_close(tr_row_json *printer)
{
    if (printer == NULL)
        return;
    tr_free(printer->next);
    tr_free(printer->end);
    tr_free(printer);
}

static tr_code put(tr_row_json *p, const char *text, tr_err *err)
{
    return tr_buf_append(p->out, tr_str_of(text), err);
}

/* The bytes of the UTF-8 character at s.at[0]; 0: it is not one. */
static size_t character_bytes(tr_str s)
{
    const size_t most = s.len < 4 ? s.len : 4;
    size_t bad;
    for (size_t len = 1; len <= most; len++)
        if (tr_str_is_utf8((tr_str){s.at, len}, &bad))
            return len;
    return 0;
}

static tr_code put_escape(tr_row_json *p, uint8_t byte, tr_err *err)
{
    static const char *const named[] = {
        ['"'] = "\\\"", ['\\'] = "\\\\", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t"};
    char text[8];
    if (byte < sizeof named / sizeof named[0] && named[byte] != NULL)
        return put(p, named[byte], err);
    (void)snprintf(text, sizeof text, "\\u%04x", byte);
    return put(p, text, err);
}

static tr_code put_string(tr_row_json *p, tr_str s, tr_err *err)
{
    TR_TRY(put(p, "\"", err));
    while (s.len > 0) {
        size_t plain = 0;
        while (plain < s.len && s.at[plain] >= 0x20 && s.at[plain] < 0x80 && s.at[plain] != '"' &&
               s.at[plain] != '\\')
            plain++;
        TR_TRY(tr_buf_append(p->out, (tr_str){s.at, plain}, err));
        s = tr_str_from(s, plain);
        if (s.len == 0)
            break;
        if (s.at[0] < 0x80) {
            TR_TRY(put_escape(p, s.at[0], err));
            s = tr_str_from(s, 1);
            continue;
        }
        const size_t bytes = character_bytes(s);
        TR_TRY(bytes == 0 ? put(p, "\xEF\xBF\xBD", err)
                          : tr_buf_append(p->out, (tr_str){s.at, bytes}, err));
        s = tr_str_from(s, bytes == 0 ? 1 : bytes);
    }
    return put(p, "\"", err);
}

static tr_code put_double(tr_row_json *p, uint64_t word, tr_err *err)
{
    char text[40];
    double value;
    memcpy(&value, &word, sizeof value);
    if (!isfinite(value))
        return put(p, "null", err);
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        const double back = strtod(text, NULL);
        if (memcmp(&back, &value, sizeof back) == 0)
            break;
    }
    return put(p, text, err);
}

static tr_code put_key(tr_row_json *p, const uint8_t key[16], tr_err *err)
{
    char text[40];
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(text + 1 + 2 * i, 3, "%02x", key[i]);
    text[0] = text[33] = '"';
    text[34] = '\0';
    return put(p, text, err);
}

static tr_code put_date(tr_row_json *p, int64_t days, tr_err *err)
{
    int64_t year;
    unsigned month, day;
    tr_time_civil_from_days(days, &year, &month, &day);
    return tr_buf_format(p->out, err, "\"%04lld-%02u-%02u\"", (long long)year, month, day);
}

/* The value of an entry that has one. */
static tr_code put_scalar(tr_row_json *p, uint32_t leaf, uint32_t entry, tr_err *err)
{
    const tr_column *column = &p->columns[leaf];
    char time[TR_TIME_TEXT_BYTES];
    switch (p->shape->leaves[leaf].kind) {
    case TR_KIND_STRING:
        return put_string(p, tr_column_string(column, entry), err);
    case TR_KIND_BOOLEAN:
        return put(p, tr_column_word(column, entry) != 0 ? "true" : "false", err);
    case TR_KIND_INT32:
    case TR_KIND_INT64:
        return tr_buf_format(p->out, err, "%lld", (long long)tr_column_word(column, entry));
    case TR_KIND_DOUBLE:
        return put_double(p, tr_column_word(column, entry), err);
    case TR_KIND_DATE:
        return put_date(p, (int64_t)tr_column_word(column, entry), err);
    case TR_KIND_TIMESTAMP:
        return tr_buf_format(p->out, err, "\"%s\"",
                             tr_time_format((int64_t)tr_column_word(column, entry), time));
    case TR_KIND_KEY:
        return put_key(p, column->values.keys[column->codes[entry] - 1], err);
    case TR_KIND_OBJECT:
    case TR_KIND_ARRAY:
    case TR_KIND_MAP:
        break;
    }
    return TR_FAIL(err, TR_INVALID, "a leaf that is no scalar");
}

static tr_code contradicting(const tr_row_json *p, uint32_t leaf, tr_err *err)
{
    const tr_str path = p->shape->leaves[leaf].path;
    return TR_FAIL(err, TR_CORRUPT, "leaf \"%.*s\", row %u: its levels contradict another leaf's",
                   (int)(path.len < 100 ? path.len : 100), (const char *)path.at, p->row);
}

/* The definition level at the first cursor below a type. */
static tr_code level_of(const tr_row_json *p, const tr_type *type, uint32_t *out, tr_err *err)
{
    const uint32_t leaf = type->first_leaf;
    if (p->next[leaf] >= p->end[leaf])
        return contradicting(p, leaf, err);
    *out = p->columns[leaf].def[p->next[leaf]];
    return TR_OK;
}

/* An absent or empty value takes one entry of every leaf below it. */
static tr_code skip(tr_row_json *p, const tr_type *type, tr_err *err)
{
    for (uint32_t leaf = type->first_leaf; leaf < type->first_leaf + type->leaf_count; leaf++)
        if (p->next[leaf]++ >= p->end[leaf])
            return contradicting(p, leaf, err);
    return TR_OK;
}

static tr_code put_nested(tr_row_json *p, const tr_type *type, uint32_t depth, uint32_t rep,
                          tr_err *err);

static tr_code put_name(tr_row_json *p, tr_str name, bool *is_first, tr_err *err)
{
    if (!*is_first)
        TR_TRY(put(p, ",", err));
    *is_first = false;
    TR_TRY(put_string(p, name, err));
    return put(p, ":", err);
}

static tr_code put_nested_object(tr_row_json *p, const tr_type *type, uint32_t depth, uint32_t rep,
                                 tr_err *err)
{
    bool is_first = true;
    TR_TRY(put(p, "{", err));
    for (uint32_t i = 0; i < type->child_count; i++) {
        const tr_type *member = type->children[i];
        uint32_t level;
        TR_TRY(level_of(p, member, &level, err));
        if (level <= depth + 1) {
            TR_TRY(skip(p, member, err));
            continue;
        }
        TR_TRY(put_name(p, member->name, &is_first, err));
        TR_TRY(put_nested(p, member, depth + 1, rep, err));
    }
    return put(p, "}", err);
}

/* Whether the next entry of a leaf goes on with the array or map of this repetition level. */
static bool goes_on(const tr_row_json *p, uint32_t leaf, uint32_t rep)
{
    return p->next[leaf] < p->end[leaf] && p->columns[leaf].rep[p->next[leaf]] == rep;
}

static tr_code put_array(tr_row_json *p, const tr_type *type, uint32_t depth, uint32_t rep,
                         tr_err *err)
{
    TR_TRY(put(p, "[", err));
    for (bool is_first = true; is_first || goes_on(p, type->first_leaf, rep + 1);
         is_first = false) {
        if (!is_first)
            TR_TRY(put(p, ",", err));
        TR_TRY(put_nested(p, type->children[0], depth + 2, rep + 1, err));
    }
    return put(p, "]", err);
}

static tr_code put_map(tr_row_json *p, const tr_type *type, uint32_t depth, uint32_t rep,
                       tr_err *err)
{
    const uint32_t keys = type->first_leaf;
    bool is_first = true;
    TR_TRY(put(p, "{", err));
    do {
        const uint32_t entry = p->next[keys]++;
        if (p->columns[keys].codes[entry] == 0)
            return contradicting(p, keys, err);
        TR_TRY(put_name(p, tr_column_string(&p->columns[keys], entry), &is_first, err));
        TR_TRY(put_nested(p, type->children[0], depth + 2, rep + 1, err));
    } while (goes_on(p, keys, rep + 1));
    return put(p, "}", err);
}

static tr_code put_nested_scalar(tr_row_json *p, const tr_type *type, tr_err *err)
{
    const uint32_t leaf = type->first_leaf, entry = p->next[leaf]++;
    return p->columns[leaf].codes[entry] == 0 ? put(p, "null", err)
                                              : put_scalar(p, leaf, entry, err);
}

static tr_code put_nested(tr_row_json *p, const tr_type *type, uint32_t depth, uint32_t rep,
                          tr_err *err)
{
    const bool is_list = type->kind == TR_KIND_ARRAY || type->kind == TR_KIND_MAP;
    uint32_t level;
    TR_TRY(level_of(p, type, &level, err));
    if (tr_kind_is_scalar(type->kind))
        return put_nested_scalar(p, type, err);
    if (level <= depth || (is_list && level == depth + 1)) {
        TR_TRY(skip(p, type, err));
        return put(p, level <= depth ? "null" : type->kind == TR_KIND_ARRAY ? "[]" : "{}", err);
    }
    if (type->kind == TR_KIND_ARRAY)
        return put_array(p, type, depth, rep, err);
    return type->kind == TR_KIND_MAP ? put_map(p, type, depth, rep, err)
                                     : put_nested_object(p, type, depth, rep, err);
}

/* Whether a type above or at a unit is there: something in it is. */
static bool is_present(const tr_row_json *p, const tr_type *type)
{
    if (type->kind != TR_KIND_OBJECT) {
        const tr_column *column = &p->columns[type->first_leaf];
        if (column->row_start == NULL)
            return column->codes[p->row] != 0;
        return column->def[column->row_start[p->row]] != 0;
    }
    for (uint32_t i = 0; i < type->child_count; i++)
        if (is_present(p, type->children[i]))
            return true;
    return false;
}

/* A unit that is an array or map, with the cursors of its leaves at the row's entries. */
static tr_code put_unit(tr_row_json *p, const tr_type *type, tr_err *err)
{
    const uint32_t last = type->first_leaf + type->leaf_count;
    for (uint32_t leaf = type->first_leaf; leaf < last; leaf++) {
        const tr_column *column = &p->columns[leaf];
        p->next[leaf] = column->row_start[p->row];
        p->end[leaf] = column->row_start[p->row + 1];
    }
    TR_TRY(put_nested(p, type, 0, 0, err));
    for (uint32_t leaf = type->first_leaf; leaf < last; leaf++)
        if (p->next[leaf] != p->end[leaf])
            return contradicting(p, leaf, err);
    return TR_OK;
}

static tr_code put_object(tr_row_json *p, const tr_type *type, tr_err *err)
{
    bool is_first = true;
    TR_TRY(put(p, "{", err));
    for (uint32_t i = 0; i < type->child_count; i++) {
        const tr_type *member = type->children[i];
        if (!is_present(p, member) ||
            (type->parent == NULL && tr_str_is(member->name, TR_BOOKKEEPING)))
            continue;
        TR_TRY(put_name(p, member->name, &is_first, err));
        if (member->kind == TR_KIND_OBJECT)
            TR_TRY(put_object(p, member, err));
        else if (tr_kind_is_scalar(member->kind))
            TR_TRY(put_scalar(p, member->first_leaf, p->row, err));
        else
            TR_TRY(put_unit(p, member, err));
    }
    return put(p, "}", err);
}

tr_code tr_row_json_write(tr_row_json *printer, uint32_t row, tr_buf *out, tr_err *err)
{
    const size_t len = out->len;
    printer->row = row;
    printer->out = out;
    const tr_code code = put_object(printer, printer->shape->root, err);
    if (code != TR_OK)
        out->len = len;
    return code;
}
