/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - JSON twice: trees for requests and the catalog, events for rows.
 *
 * Trees are jansson's json_t: every room may use <jansson.h> directly; here are only the doors
 * that keep our promises (limits, error texts with line and column, duplicate keys: last wins).
 *
 * Rows: a batch may hold millions of rows, so they are never built as trees. tr_json_rows walks the
 * text with simdjson and calls back once per value.
 */
#ifndef TR_CODEC_JSON_H
#define TR_CODEC_JSON_H

#include "base/err.h"
#include "base/memory.h"
#include "base/str.h"

#include <jansson.h>

/* Parses one JSON value. *out is returned: json_decref it.
 * TR_INVALID  the text names line, column and what was wrong, for "the request body" etc. */
TR_MUST_CHECK tr_code tr_json_parse(tr_str text, json_t **out, tr_err *err);
/* Compact text, object keys in insertion order. */
TR_MUST_CHECK tr_code tr_json_write(const json_t *value, tr_buf *out, tr_err *err);
/* NULL-safe reads of an object's member; `otherwise` when absent or of another type. */
const char *tr_json_text(const json_t *object, const char *key, const char *otherwise);
int64_t tr_json_int(const json_t *object, const char *key, int64_t otherwise);
bool tr_json_bool(const json_t *object, const char *key, bool otherwise);
/* The first object of a list whose member is this text (that of one which has none is ""); NULL: none. */
const json_t *tr_json_find(const json_t *list, const char *key, const char *text);
/* Members of a request's body; null counts as absent.
 * where       the path of the object, for messages: "" or ends in "."
 * *out        NULL when absent
 * TR_INVALID  "filter.emptyProfiles must be true or false" */
typedef enum tr_want {
    TR_WANT_OBJECT,
    TR_WANT_ARRAY,
    TR_WANT_STRING,
    TR_WANT_BOOLEAN,
    TR_WANT_INTEGER
} tr_want;
TR_MUST_CHECK tr_code tr_want_member(const json_t *object, const char *where, const char *key,
                                     tr_want type, const json_t **out, tr_err *err);
/* A string that must be there and not empty. */
TR_MUST_CHECK tr_code tr_want_text(const json_t *object, const char *where, const char *key,
                                   const char **out, tr_err *err);
/* A json string of any bytes that are valid UTF-8. */
json_t *tr_json_str(tr_str s);

/* One scalar of a row. */
typedef enum tr_json_kind {
    TR_JSON_NULL,
    TR_JSON_BOOL,
    TR_JSON_INT,    /* fits int64 */
    TR_JSON_DOUBLE, /* any other number */
    TR_JSON_STRING
} tr_json_kind;

typedef struct tr_json_scalar {
    tr_json_kind kind;
    bool boolean;
    int64_t integer;
    double real;
    tr_str string; /* unescaped UTF-8, borrowed for the call */
} tr_json_scalar;

/* What a reader of rows implements. Any member may return a code other than TR_OK to stop the walk. */
typedef struct tr_json_events {
    tr_code (*object_begin)(void *ctx, tr_err *err);
    tr_code (*key)(void *ctx, tr_str name, tr_err *err);
    tr_code (*object_end)(void *ctx, tr_err *err);
    tr_code (*array_begin)(void *ctx, size_t count, tr_err *err);
    tr_code (*array_end)(void *ctx, tr_err *err);
    tr_code (*scalar)(void *ctx, const tr_json_scalar *value, tr_err *err);
} tr_json_events;

typedef struct tr_json_walker tr_json_walker; /* parser memory, reused from row to row; one thread */
TR_MUST_CHECK tr_code tr_json_walker_open(size_t row_bytes_max, tr_json_walker **out, tr_err *err);
void tr_json_walker_close(tr_json_walker *walker);

/* Walks ONE JSON value, calling `events`.
 * TR_INVALID  not JSON (deeper than TR_JSON_DEPTH_MAX, invalid UTF-8 included), nothing was called
 * TR_LIMIT    longer than row_bytes_max, nothing was called
 * other       what an event returned */
TR_MUST_CHECK tr_code tr_json_walk(tr_json_walker *walker, tr_str text,
                                   const tr_json_events *events, void *ctx, tr_err *err);

/* Cuts the bytes of an upload into rows without parsing them: JSON lines, or the elements of one
 * array (a leading '[' decides, whatever the batch says), or concatenated objects.
 * Usage: tr_json_cutter c = {.text = file}; while (tr_json_next_row(&c, &row)) ...
 * Afterwards c.is_broken tells that the rest could not be cut (an array or object that does not
 * close, garbage between values); c.row_number is 1-based, of the last row returned. */
typedef struct tr_json_cutter {
    tr_str text;
    size_t at;
    uint64_t row_number;
    int mode; /* 0 before the first row */
    bool is_broken;
} tr_json_cutter;
bool tr_json_next_row(tr_json_cutter *cutter, tr_str *row);

#endif
