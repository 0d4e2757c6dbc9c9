/* SPDX-License-Identifier: Apache-2.0 */
/* row_reader.c - the events of a row, walked down the schema's nodes into column builders.
 *
 * What happens at each event, for a value whose node is known:
 *
 *     scalar        converted, checked, captured when it is an identity, added to its builder
 *     array, map    levels begin; an empty array is a value, an empty map is none
 *     object ends   required members; inside a unit, the leaves of absent members get their null
 *
 * See row_internal.h for levels, laziness and how a bad row is undone.
 */
#include "ingest/row_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAP_KEYS_MIN = 256, BYTES_EVERY = 1024 };

/* ---- a bad row */

static void path_add(char *path, size_t *len, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void path_add(char *path, size_t *len, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int added = vsnprintf(path + *len, TR_ROW_PATH_BYTES_MAX - *len, format, args);
    va_end(args);
    if (added > 0)
        *len += (size_t)added;
    if (*len >= TR_ROW_PATH_BYTES_MAX)
        *len = TR_ROW_PATH_BYTES_MAX - 1;
}

/* "visits[2].url": where the value under way stands. */
static void write_path(tr_row_reader *reader)
{
    size_t len = 0;
    reader->why_path[0] = '\0';
    for (uint32_t f = 0; f < reader->depth; f++) {
        const tr_row_frame *frame = &reader->frames[f];
        const char *dot = len > 0 ? "." : "";
        if (frame->node->kind == TR_KIND_ARRAY) {
            path_add(reader->why_path, &len, "[%u]", frame->index == 0 ? 0 : frame->index - 1);
            continue;
        }
        if (frame->node->kind == TR_KIND_OBJECT && frame->current == UINT32_MAX)
            continue;
        const tr_str name =
            tr_row_cut(frame->node->kind == TR_KIND_MAP ? frame->key
                                                        : frame->node->members[frame->current].name,
                       200);
        path_add(reader->why_path, &len, "%s%.*s", dot, TR_STR_ARG(name));
    }
}

tr_code tr_row_bad(tr_row_reader *reader, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reader->why_text, sizeof reader->why_text, format, args);
    va_end(args);
    (void)snprintf(reader->why_code, sizeof reader->why_code, "%s", code);
    write_path(reader);
    return TR_INVALID;
}

static const char *kind_word(tr_kind kind)
{
    switch (kind) {
    case TR_KIND_BOOLEAN: return "a boolean";
    case TR_KIND_INT32:
    case TR_KIND_INT64: return "an integer";
    case TR_KIND_DOUBLE: return "a number";
    case TR_KIND_DATE: return "a date";
    case TR_KIND_TIMESTAMP: return "a date-time";
    case TR_KIND_OBJECT: return "an object";
    case TR_KIND_MAP: return "a map";
    case TR_KIND_ARRAY: return "an array";
    case TR_KIND_STRING:
    case TR_KIND_KEY: break;
    }
    return "a string";
}

static tr_code bad_kind(tr_row_reader *reader, const tr_row_node *node, const char *found)
{
    return tr_row_bad(reader, TR_ROW_TYPE, "%s where %s is expected", found, kind_word(node->kind));
}

/* ---- into the builders */

static tr_code fill_leaf(tr_column_builder *builder, uint32_t count, tr_err *err)
{
    for (uint32_t i = 0; i < count; i++)
        TR_TRY(tr_column_add_null(builder, 0, 0, err));
    return TR_OK;
}

tr_code tr_row_unit_begin(tr_row_reader *reader, uint32_t unit, tr_err *err)
{
    tr_row_unit *u = &reader->units[unit];
    for (uint32_t leaf = u->first_leaf; leaf < u->first_leaf + u->leaf_count; leaf++) {
        if (u->filled < reader->rows)
            TR_TRY(fill_leaf(reader->builders[leaf], reader->rows - u->filled, err));
        if (u->is_repeated)
            reader->row_entries[leaf] = tr_column_builder_entries(reader->builders[leaf]);
    }
    u->filled = reader->rows + 1;
    return TR_OK;
}

static tr_code add_nulls(tr_row_reader *reader, const tr_row_node *node, uint8_t rep, uint8_t def,
                         tr_err *err)
{
    reader->row_values += node->leaf_count;
    if (reader->row_values > TR_ROW_VALUES_MAX)
        return tr_row_bad(reader, TR_ROW_RANGE, "more than %d values in one row",
                          TR_ROW_VALUES_MAX);
    for (uint32_t leaf = node->first_leaf; leaf < node->first_leaf + node->leaf_count; leaf++)
        TR_TRY(tr_column_add_null(reader->builders[leaf], rep, def, err));
    return TR_OK;
}

static tr_code add_scalar(tr_row_reader *reader, const tr_row_node *node, uint8_t rep,
                          const tr_row_value *value, tr_err *err)
{
    if (node->builder == NULL)
        return TR_OK;
    if (!node->is_in_unit) {
        if (*node->filled < reader->rows)
            TR_TRY(fill_leaf(node->builder, reader->rows - *node->filled, err));
        *node->filled = reader->rows + 1;
    }
    return node->kind == TR_KIND_STRING
               ? tr_column_add_string(node->builder, rep, value->string, err)
               : tr_column_add_word(node->builder, rep, value->word, err);
}

/* ---- the walk */

static tr_row_frame *top(tr_row_reader *reader)
{
    return &reader->frames[reader->depth - 1];
}

static tr_row_frame *push(tr_row_reader *reader, tr_row_node *node, uint8_t rep)
{
    tr_row_frame *frame = &reader->frames[reader->depth++];
    frame->node = node;
    frame->instance = reader->instance += 2;
    frame->current = UINT32_MAX;
    frame->guess = node->first;
    frame->index = 0;
    frame->present = 0;
    frame->rep = rep;
    return frame;
}

/* The level of the next item or entry of an array or map. */
static uint8_t next_rep(const tr_row_frame *frame)
{
    return frame->index == 0 ? frame->rep : frame->node->rep;
}

/* A value that is not null begins: its node, or NULL when the schema lacks it. */
static tr_code enter(tr_row_reader *reader, tr_row_node **node, uint8_t *rep, tr_err *err)
{
    tr_row_frame *frame = top(reader);
    reader->row_values++;
    if (frame->node->kind == TR_KIND_OBJECT) {
        *node = reader->target;
        *rep = frame->rep;
        frame->present += frame->current < frame->node->known_count;
        return TR_OK;
    }
    *node = frame->node->child;
    *rep = next_rep(frame);
    frame->index++;
    if (frame->node->builder != NULL && frame->node->kind == TR_KIND_MAP)
        return tr_column_add_string(frame->node->builder, *rep, frame->key, err);
    return TR_OK;
}

static tr_code on_object_begin(void *ctx, tr_err *err)
{
    tr_row_reader *reader = ctx;
    tr_row_node *node = reader->root;
    uint8_t rep = 0;
    if (reader->skip > 0) {
        reader->skip++;
        return TR_OK;
    }
    if (reader->depth > 0)
        TR_TRY(enter(reader, &node, &rep, err));
    if (node == NULL) {
        reader->skip = 1;
        return TR_OK;
    }
    if (node->kind == TR_KIND_MAP) {
        if (node->is_unit && node->unit != UINT32_MAX)
            TR_TRY(tr_row_unit_begin(reader, node->unit, err));
    } else if (node->kind != TR_KIND_OBJECT) {
        return bad_kind(reader, node, "an object");
    }
    if (node->role == TR_ROLE_ITEM)
        TR_TRY(tr_row_item_begin(reader, err));
    (void)push(reader, node, rep);
    return TR_OK;
}

static tr_code note_map_key(tr_row_reader *reader, const tr_row_frame *frame, tr_str name,
                            tr_err *err)
{
    if (reader->map_key_count * 2 >= reader->map_key_cap) {
        const uint32_t cap = reader->map_key_cap == 0 ? MAP_KEYS_MIN : reader->map_key_cap * 4;
        uint64_t *keys = tr_alloc_zeroed(cap, sizeof *keys);
        if (keys == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u keys of maps", cap);
        for (uint32_t i = 0; i < reader->map_key_cap; i++) {
            const uint64_t key = reader->map_keys[i];
            uint32_t at = (uint32_t)(key >> 32) & (cap - 1);
            while (key != 0 && keys[at] != 0)
                at = (at + 1) & (cap - 1);
            if (key != 0)
                keys[at] = key;
        }
        tr_free(reader->map_keys);
        reader->map_keys = keys;
        reader->map_key_cap = cap;
    }
    uint64_t key = tr_hash64_of(name) ^ frame->instance * UINT64_C(0x9e3779b97f4a7c15);
    key += key == 0;
    uint32_t at = (uint32_t)(key >> 32) & (reader->map_key_cap - 1);
    while (reader->map_keys[at] != 0 && reader->map_keys[at] != key)
        at = (at + 1) & (reader->map_key_cap - 1);
    /* Two keys of one hash are taken for one: then the row is walked again, without duplicates. */
    reader->has_duplicate = reader->has_duplicate || reader->map_keys[at] == key;
    reader->map_key_count += reader->map_keys[at] == 0;
    reader->map_keys[at] = key;
    return TR_OK;
}

static tr_code on_map_key(tr_row_reader *reader, tr_row_frame *frame, tr_str name, tr_err *err)
{
    frame->key = name;
    if (frame->node->role == TR_ROLE_MAP)
        reader->map_namespace = name;
    if (reader->is_deduplicated)
        return TR_OK;
    TR_TRY(note_map_key(reader, frame, name, err));
    return reader->has_duplicate ? TR_INVALID : TR_OK;
}

static tr_code count_unknown(tr_row_reader *reader, tr_row_frame *frame, uint32_t member)
{
    const tr_row_options *options = &reader->options;
    if (options->unknown_is_error && !options->is_unconstrained) {
        frame->current = member;
        return tr_row_bad(reader, TR_ROW_UNKNOWN, "the schema has no such field");
    }
    frame->node->members[member].row_count++;
    reader->has_row_unknown = true;
    return TR_OK;
}

/* The member was not the one that came next in the object before. */
static tr_code find_member(tr_row_reader *reader, tr_row_frame *frame, tr_str name, uint32_t *out,
                           tr_err *err)
{
    tr_row_node *node = frame->node;
    uint32_t found = tr_row_member_find(node, name);
    if (found == UINT32_MAX && node->is_open) {
        *out = found;
        return TR_OK;
    }
    if (found == UINT32_MAX)
        TR_TRY(tr_row_member_add(reader, node, name, &found, err));
    if (frame->current == UINT32_MAX)
        node->first = found;
    else
        node->members[frame->current].follower = found;
    *out = found;
    return TR_OK;
}

/* Two loads that overlap instead of a call: names are short. */
static inline bool is_name(tr_str a, tr_str b)
{
    uint64_t a8[2], b8[2];
    uint32_t a4[2], b4[2];
    if (a.len != b.len)
        return false;
    if (a.len >= 8 && a.len <= 16) {
        memcpy(&a8[0], a.at, 8);
        memcpy(&b8[0], b.at, 8);
        memcpy(&a8[1], a.at + a.len - 8, 8);
        memcpy(&b8[1], b.at + b.len - 8, 8);
        return a8[0] == b8[0] && a8[1] == b8[1];
    }
    if (a.len >= 4 && a.len < 8) {
        memcpy(&a4[0], a.at, 4);
        memcpy(&b4[0], b.at, 4);
        memcpy(&a4[1], a.at + a.len - 4, 4);
        memcpy(&b4[1], b.at + b.len - 4, 4);
        return a4[0] == b4[0] && a4[1] == b4[1];
    }
    return memcmp(a.at, b.at, a.len) == 0;
}

static tr_code on_key(void *ctx, tr_str name, tr_err *err)
{
    tr_row_reader *reader = ctx;
    if (reader->skip > 0)
        return TR_OK;
    tr_row_frame *frame = top(reader);
    if (frame->node->kind == TR_KIND_MAP)
        return on_map_key(reader, frame, name, err);
    uint32_t found = frame->guess;
    if (found >= frame->node->member_count || !is_name(frame->node->members[found].name, name)) {
        TR_TRY(find_member(reader, frame, name, &found, err));
        if (found == UINT32_MAX) {
            reader->target = NULL;
            return TR_OK;
        }
    }
    tr_row_member *member = &frame->node->members[found];
    if (member->node == NULL) {
        TR_TRY(count_unknown(reader, frame, found));
    } else if (member->seen >= frame->instance) {
        reader->has_duplicate = true;
        return TR_INVALID;
    }
    member->seen = frame->instance;
    frame->current = found;
    frame->guess = member->follower;
    reader->target = member->node;
    return TR_OK;
}

static tr_code end_map(tr_row_reader *reader, const tr_row_frame *frame, tr_err *err)
{
    const tr_row_node *node = frame->node;
    if (frame->index > 0 || node->unit == UINT32_MAX)
        return TR_OK;
    if (!node->is_unit)
        return add_nulls(reader, node, frame->rep, node->def, err);
    *node->filled = reader->rows; /* an empty map is no value: as if it had not been there */
    return TR_OK;
}

static tr_code end_object(tr_row_reader *reader, tr_row_frame *frame, tr_err *err)
{
    const tr_row_node *node = frame->node;
    for (uint32_t i = 0; i < node->required_count; i++) {
        const uint32_t member = node->required[i];
        if (node->members[member].seen == frame->instance)
            continue;
        frame->current = member;
        return tr_row_bad(reader, TR_ROW_REQUIRED, "a required field is %s",
                          node->members[member].seen > frame->instance ? "null" : "missing");
    }
    if (!node->is_in_unit || frame->present == node->known_count || node->leaf_count == 0)
        return TR_OK;
    for (uint32_t m = 0; m < node->known_count; m++)
        if (node->members[m].seen != frame->instance)
            TR_TRY(add_nulls(reader, node->members[m].node, frame->rep, node->def, err));
    return TR_OK;
}

static tr_code on_object_end(void *ctx, tr_err *err)
{
    tr_row_reader *reader = ctx;
    if (reader->skip > 0) {
        reader->skip--;
        return TR_OK;
    }
    tr_row_frame *frame = top(reader);
    if (frame->node->kind == TR_KIND_MAP)
        TR_TRY(end_map(reader, frame, err));
    else
        TR_TRY(end_object(reader, frame, err));
    if (frame->node->role == TR_ROLE_ITEM)
        tr_row_item_end(reader);
    reader->depth--;
    return TR_OK;
}

static tr_code on_array_begin(void *ctx, size_t count, tr_err *err)
{
    tr_row_reader *reader = ctx;
    tr_row_node *node;
    uint8_t rep;
    if (reader->skip > 0) {
        reader->skip++;
        return TR_OK;
    }
    if (reader->depth == 0)
        return tr_row_bad(reader, TR_ROW_CORRUPT, "a row is a JSON object, not an array");
    TR_TRY(enter(reader, &node, &rep, err));
    if (node == NULL) {
        reader->skip = 1;
        return TR_OK;
    }
    if (node->kind != TR_KIND_ARRAY)
        return bad_kind(reader, node, "an array");
    if (node->is_unit && node->unit != UINT32_MAX)
        TR_TRY(tr_row_unit_begin(reader, node->unit, err));
    if (count == 0)
        TR_TRY(add_nulls(reader, node, rep, node->def, err));
    (void)push(reader, node, rep);
    return TR_OK;
}

static tr_code on_array_end(void *ctx, tr_err *err)
{
    (void)err;
    tr_row_reader *reader = ctx;
    if (reader->skip > 0)
        reader->skip--;
    else
        reader->depth--;
    return TR_OK;
}

/* Null is no value; only as an item of an array it keeps its place. */
static tr_code on_null(tr_row_reader *reader, tr_err *err)
{
    tr_row_frame *frame = top(reader);
    if (frame->node->kind == TR_KIND_OBJECT) {
        if (reader->target != NULL)
            frame->node->members[frame->current].seen = frame->instance + 1;
        return TR_OK;
    }
    if (frame->node->kind == TR_KIND_MAP)
        return TR_OK;
    const uint8_t rep = next_rep(frame);
    frame->index++;
    return add_nulls(reader, frame->node->child, rep, (uint8_t)(frame->node->def + 1), err);
}

static const char *scalar_word(tr_json_kind kind)
{
    return kind == TR_JSON_STRING ? "a string" : kind == TR_JSON_BOOL ? "a boolean" : "a number";
}

static tr_code on_scalar(void *ctx, const tr_json_scalar *value, tr_err *err)
{
    tr_row_reader *reader = ctx;
    tr_row_node *node;
    tr_row_value converted;
    uint8_t rep;
    if (reader->skip > 0)
        return TR_OK;
    if (reader->depth == 0)
        return tr_row_bad(reader, TR_ROW_CORRUPT, "a row is a JSON object, not %s",
                          value->kind == TR_JSON_NULL ? "null" : scalar_word(value->kind));
    if (value->kind == TR_JSON_NULL)
        return on_null(reader, err);
    TR_TRY(enter(reader, &node, &rep, err));
    if (node == NULL)
        return TR_OK;
    if (!tr_kind_is_scalar(node->kind))
        return bad_kind(reader, node, scalar_word(value->kind));
    if (value->kind == TR_JSON_STRING && node->kind == TR_KIND_STRING && !node->has_rule &&
        !reader->has_overflow)
        converted.string = value->string;
    else
        TR_TRY(tr_row_convert(reader, node, value, &converted));
    if (node->role != TR_ROLE_NONE)
        TR_TRY(tr_row_capture(reader, node, converted, err));
    return add_scalar(reader, node, rep, &converted, err);
}

static const tr_json_events events = {.object_begin = on_object_begin,
                                      .key = on_key,
                                      .object_end = on_object_end,
                                      .array_begin = on_array_begin,
                                      .array_end = on_array_end,
                                      .scalar = on_scalar};

/* ---- rows */

tr_code tr_row_reader_open(const tr_row_options *options, tr_row_reader **out, tr_err *err)
{
    tr_row_reader *reader = tr_alloc_zeroed(1, sizeof *reader);
    if (reader == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a reader of rows");
    reader->options = *options;
    reader->unknown = json_object();
    tr_code code = reader->unknown != NULL
                       ? TR_OK
                       : TR_FAIL(err, TR_NO_MEMORY, "no memory for a reader of rows");
    if (code == TR_OK)
        code = tr_json_walker_open(TR_ROW_BYTES_MAX, &reader->walker, err);
    if (code == TR_OK)
        code = tr_row_plan(reader, err);
    if (code == TR_OK)
        code = tr_row_namespaces(reader, err);
    if (code != TR_OK) {
        tr_row_reader_close(reader);
        return code;
    }
    *out = reader;
    return TR_OK;
}

void tr_row_reader_close(tr_row_reader *reader)
{
    if (reader == NULL)
        return;
    for (uint32_t leaf = 0; reader->builders != NULL && leaf < reader->shape.leaf_count; leaf++)
        tr_column_builder_close(reader->builders[leaf]);
    for (uint32_t i = 0; i < reader->pattern_count; i++)
        tr_row_pattern_close(reader->patterns[i]);
    tr_free(reader->patterns);
    tr_free(reader->unknown_nodes);
    tr_free(reader->map_keys);
    tr_free(reader->identities);
    tr_free(reader->spellings);
    tr_json_walker_close(reader->walker);
    json_decref(reader->unknown);
    tr_arena_free(&reader->row_arena);
    tr_arena_free(&reader->arena);
    tr_free(reader);
}

static void begin_row(tr_row_reader *reader)
{
    reader->row_serial++;
    reader->row_values = 0;
    reader->has_overflow = false;
    reader->depth = reader->skip = 0;
    reader->target = NULL;
    reader->has_duplicate = false;
    reader->identity_count = 0;
    reader->is_item = false;
    reader->updated_us = TR_TIME_NONE;
    reader->why_code[0] = '\0';
    if (reader->map_key_count > 0) {
        memset(reader->map_keys, 0, reader->map_key_cap * sizeof *reader->map_keys);
        reader->map_key_count = 0;
    }
    if (reader->row_arena.last != NULL)
        tr_arena_reset(&reader->row_arena);
}

/* Counts the row's unknown fields for good, or forgets them. */
static void settle_unknown(tr_row_reader *reader, bool is_kept)
{
    for (uint32_t n = 0; n < reader->unknown_node_count; n++) {
        tr_row_node *node = reader->unknown_nodes[n];
        for (uint32_t m = node->known_count; m < node->member_count; m++) {
            tr_row_member *member = &node->members[m];
            member->count += is_kept ? member->row_count : 0;
            member->row_count = 0;
        }
    }
    reader->has_row_unknown = false;
}

static void undo_row(tr_row_reader *reader)
{
    for (uint32_t u = 0; u < reader->shape.unit_count; u++) {
        tr_row_unit *unit = &reader->units[u];
        if (unit->filled <= reader->rows)
            continue;
        for (uint32_t leaf = unit->first_leaf; leaf < unit->first_leaf + unit->leaf_count; leaf++)
            tr_column_builder_truncate(reader->builders[leaf], unit->is_repeated
                                                                   ? reader->row_entries[leaf]
                                                                   : reader->rows);
        unit->filled = reader->rows;
    }
    settle_unknown(reader, false);
}

/* Walks the row without its duplicate keys: the last of them wins. A bad row is walked so as well:
 * what is bad in it may be a value that does not count. */
static tr_code walk_deduplicated(tr_row_reader *reader, tr_str row, tr_err *err)
{
    json_t *tree = NULL;
    tr_buf text = {0};
    tr_code code = tr_json_parse(row, &tree, err);
    if (code == TR_OK)
        code = tr_json_write(tree, &text, err);
    if (code == TR_OK) {
        const bool has_overflow = reader->has_overflow;
        undo_row(reader);
        begin_row(reader);
        reader->has_overflow = has_overflow;
        reader->is_deduplicated = true;
        /* Borrowed strings of the row live in the walker, not in `text`. */
        code = tr_json_walk(reader->walker, tr_buf_str(&text), &events, reader, err);
        reader->is_deduplicated = false;
    }
    json_decref(tree);
    tr_buf_free(&text);
    return code;
}

/* Rewrites numbers that the parser does not take: a whole number too long for 64 bits as a real
 * one; one that no double holds as a text that begins with TR_ROW_OVERFLOW, which no field takes,
 * by name. False: there is none. */
static bool rewrite_numbers(tr_row_reader *reader, tr_str row, tr_buf *out)
{
    bool has_any = false, is_text = false;
    size_t from = 0;
    tr_code code = TR_OK;
    for (size_t i = 0; i < row.len && code == TR_OK; i++) {
        const uint8_t byte = row.at[i];
        if (is_text) {
            i += byte == '\\';
            is_text = byte != '"';
            continue;
        }
        is_text = byte == '"';
        if (byte != '-' && (byte < '0' || byte > '9'))
            continue;
        size_t end = i + 1;
        while (end < row.len && strchr("0123456789+-.eE", row.at[end]) != NULL &&
               row.at[end] != '\0')
            end++;
        const tr_str number = {row.at + i, end - i};
        const tr_row_number kind = tr_row_number_of(number);
        i = end - 1;
        if (kind == TR_NUMBER_PLAIN)
            continue;
        code = tr_buf_append(out, (tr_str){row.at + from, end - number.len - from}, NULL);
        if (code == TR_OK)
            code = tr_buf_format(out, NULL, kind == TR_NUMBER_LONG ? "%.*s.0" : "\"\\u0001%.*s\"",
                                 TR_STR_ARG(number));
        reader->has_overflow = reader->has_overflow || kind == TR_NUMBER_OVERFLOW;
        from = end;
        has_any = true;
    }
    if (has_any && code == TR_OK)
        code = tr_buf_append(out, tr_str_from(row, from), NULL);
    return has_any && code == TR_OK;
}

static tr_code walk_row(tr_row_reader *reader, tr_str row, tr_err *err)
{
    tr_buf quoted = {0};
    tr_code code = tr_json_walk(reader->walker, row, &events, reader, err);
    const bool is_unparsed =
        code == TR_INVALID && reader->why_code[0] == '\0' && !reader->has_duplicate;
    if (is_unparsed && rewrite_numbers(reader, row, &quoted)) {
        tr_err other = {0};
        const tr_code again =
            tr_json_walk(reader->walker, tr_buf_str(&quoted), &events, reader, &other);
        row = tr_buf_str(&quoted);
        if (again != TR_INVALID || reader->why_code[0] != '\0' || reader->has_duplicate)
            code = again;
    }
    if (code == TR_INVALID && (reader->has_duplicate || reader->why_code[0] != '\0'))
        code = walk_deduplicated(reader, row, err);
    tr_buf_free(&quoted);
    return code;
}

static json_t *why_document(const tr_row_reader *reader)
{
    const tr_str text = tr_row_cut(tr_str_of(reader->why_text), sizeof reader->why_text);
    const tr_str path = tr_row_cut(tr_str_of(reader->why_path), sizeof reader->why_path);
    json_t *why = json_pack("{s:s, s:o}", "code", reader->why_code, "message", tr_json_str(text));
    if (why != NULL && path.len > 0 && json_object_set_new(why, "column", tr_json_str(path)) != 0) {
        json_decref(why);
        why = NULL;
    }
    return why;
}

static uint64_t builders_bytes(const tr_row_reader *reader)
{
    uint64_t bytes = 0;
    for (uint32_t leaf = 0; leaf < reader->shape.leaf_count; leaf++)
        if (reader->builders[leaf] != NULL)
            bytes += tr_column_builder_bytes(reader->builders[leaf]);
    return bytes;
}

static void keep_row(tr_row_reader *reader, size_t row_bytes)
{
    if (reader->has_row_unknown)
        settle_unknown(reader, true);
    reader->rows++;
    reader->bytes += row_bytes; /* a guess until the builders are asked again */
    if (reader->rows % BYTES_EVERY == 0)
        reader->bytes = builders_bytes(reader);
}

tr_code tr_row_reader_add(tr_row_reader *reader, tr_str row, json_t **why, tr_err *err)
{
    tr_err text = {0};
    begin_row(reader);
    tr_code code = walk_row(reader, row, &text);
    if (code == TR_OK)
        code = tr_row_identify(reader, row, &text);
    if (code == TR_OK) {
        keep_row(reader, row.len);
        return TR_OK;
    }
    undo_row(reader);
    if (code != TR_INVALID && code != TR_LIMIT) {
        *why = NULL;
        return TR_FAIL(err, code, "%s", text.text);
    }
    if (reader->why_code[0] == '\0') { /* the parser's own words */
        reader->depth = 0;
        (void)tr_row_bad(reader, TR_ROW_CORRUPT, "%s", text.text);
    }
    *why = why_document(reader);
    return *why != NULL ? TR_INVALID : TR_FAIL(err, TR_NO_MEMORY, "no memory to report a bad row");
}

uint32_t tr_row_reader_rows(const tr_row_reader *reader)
{
    return reader->rows;
}

uint64_t tr_row_reader_bytes(const tr_row_reader *reader)
{
    return reader->bytes;
}

uint64_t tr_row_reader_rows_without_identity(const tr_row_reader *reader)
{
    return reader->rows_without_identity;
}

const json_t *tr_row_reader_unknown_fields(const tr_row_reader *reader)
{
    for (uint32_t n = 0; n < reader->unknown_node_count; n++) {
        const tr_row_node *node = reader->unknown_nodes[n];
        for (uint32_t m = node->known_count; m < node->member_count; m++) {
            const tr_row_member *member = &node->members[m];
            if (member->count > 0)
                (void)json_object_setn_new(reader->unknown, (const char *)member->path.at,
                                           member->path.len,
                                           json_integer((json_int_t)member->count));
        }
    }
    return reader->unknown;
}
