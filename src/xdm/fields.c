/* SPDX-License-Identifier: Apache-2.0 */
/* fields.c - the columns that `fields` asks for, as a row type.
 *
 *     fields "person.name, visits.url"      union            kept
 *                                           person           person
 *                                           +- name          +- name (all below it)
 *                                           +- birthYear
 *                                           visits[]         visits[]
 *                                           +- at            +- url
 *                                           +- url
 *
 * Types are marked first (whole, or on the way to something kept), then copied. Arrays and maps are
 * stepped through silently; "*" stands for the keys of a map. The two system maps are always taken
 * whole: they are united item by item, which needs every leaf of an item.
 */
#include "xdm/fields.h"

#include "base/limits.h"

enum { MARK_NONE, MARK_PATH, MARK_WHOLE };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to choose columns");
}

static tr_str trim(tr_str s)
{
    while (s.len > 0 && (s.at[0] == ' ' || s.at[0] == '\t' || s.at[0] == '\n' || s.at[0] == '\r'))
        s = tr_str_from(s, 1);
    while (s.len > 0 && (s.at[s.len - 1] == ' ' || s.at[s.len - 1] == '\t' ||
                         s.at[s.len - 1] == '\n' || s.at[s.len - 1] == '\r'))
        s.len--;
    return s;
}

/* A selector on its way to paths. */
typedef struct selector {
    tr_str text;
    size_t at;
    tr_buf below; /* "addresses.city.": what stands before every path within these parentheses */
    tr_buf *out;
} selector;

static tr_code put_path(selector *s, tr_str path, tr_err *err)
{
    if (s->out->len > 0)
        TR_TRY(tr_buf_append(s->out, tr_str_of(","), err));
    TR_TRY(tr_buf_append(s->out, tr_buf_str(&s->below), err));
    return tr_buf_append(s->out, path, err);
}

/* Up to the next of ",()", or to the end. */
static tr_str take_path(selector *s)
{
    const size_t from = s->at;
    while (s->at < s->text.len && memchr(",()", s->text.at[s->at], 3) == NULL)
        s->at++;
    return trim((tr_str){s->text.at + from, s->at - from});
}

static tr_code put_items(selector *s, uint32_t depth, tr_err *err);

/* What stands within the '(' behind `path`, up to behind its ')'. */
static tr_code put_group(selector *s, tr_str path, uint32_t depth, tr_err *err)
{
    const size_t opened_at = s->at + 1, below = s->below.len, before = s->out->len;
    if (path.len == 0)
        return TR_FAIL(err, TR_INVALID, "fields: '(' at %zu stands behind no path", opened_at);
    s->at++;
    TR_TRY(tr_buf_append(&s->below, path, err));
    TR_TRY(tr_buf_append(&s->below, tr_str_of("."), err));
    TR_TRY(put_items(s, depth + 1, err));
    s->below.len = below;
    if (s->at == s->text.len)
        return TR_FAIL(err, TR_INVALID, "fields: '(' at %zu is never closed", opened_at);
    if (s->out->len == before)
        return TR_FAIL(err, TR_INVALID, "fields: nothing stands within '(' at %zu", opened_at);
    s->at++;
    if (take_path(s).len > 0 || (s->at < s->text.len && s->text.at[s->at] == '('))
        return TR_FAIL(err, TR_INVALID, "fields: expected ',' or ')' before %zu", s->at + 1);
    return TR_OK;
}

/* The items up to the ')' that closes them, which is left where it stands, or to the end. */
static tr_code put_items(selector *s, uint32_t depth, tr_err *err)
{
    if (depth > TR_SELECTOR_DEPTH_MAX)
        return TR_FAIL(err, TR_INVALID, "fields: more than %d parentheses within each other at %zu",
                       TR_SELECTOR_DEPTH_MAX, s->at);
    for (;; s->at++) {
        const tr_str path = take_path(s);
        if (s->at < s->text.len && s->text.at[s->at] == '(')
            TR_TRY(put_group(s, path, depth, err));
        else if (path.len > 0)
            TR_TRY(put_path(s, path, err));
        if (s->at == s->text.len || s->text.at[s->at] == ')')
            return TR_OK;
    }
}

tr_code tr_xdm_selector_paths(tr_str text, tr_buf *out, tr_err *err)
{
    selector s = {.text = text, .below = {.bytes_max = TR_SELECTOR_BYTES_MAX}, .out = out};
    tr_code code = put_items(&s, 0, err);
    if (code == TR_OK && s.at < text.len)
        code = TR_FAIL(err, TR_INVALID, "fields: ')' at %zu closes nothing", s.at + 1);
    tr_buf_free(&s.below);
    return code;
}

/* A list of paths without parentheses; *out is in the arena when it is another text. */
static tr_code plain_list(tr_str list, tr_arena *arena, tr_str *out, tr_err *err)
{
    *out = list;
    if (list.len == 0 || memchr(list.at, '(', list.len) == NULL)
        return list.len == 0 || memchr(list.at, ')', list.len) == NULL
                   ? TR_OK
                   : TR_FAIL(err, TR_INVALID, "fields: ')' closes nothing");
    tr_buf paths = {.bytes_max = TR_SELECTOR_BYTES_MAX};
    tr_code code = tr_xdm_selector_paths(list, &paths, err);
    if (code == TR_OK) {
        *out = tr_arena_copy(arena, tr_buf_str(&paths));
        if (out->at == NULL)
            code = no_memory(err);
    }
    tr_buf_free(&paths);
    return code;
}

/* Takes what stands before the next `mark` off the front of *rest; false at the end. */
static bool next_part(tr_str *rest, uint8_t mark, tr_str *out)
{
    if (rest->at == NULL)
        return false;
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->at, mark, rest->len);
    *out = (tr_str){rest->at, end == NULL ? rest->len : (size_t)(end - rest->at)};
    *rest = end == NULL ? (tr_str){0} : tr_str_from(*rest, out->len + 1);
    return true;
}

/* The type a dotted path leads to, or NULL. */
static const tr_type *follow(const tr_type *type, tr_str path)
{
    tr_str part;
    while (next_part(&path, '.', &part)) {
        while (type->kind == TR_KIND_ARRAY || (type->kind == TR_KIND_MAP && !tr_str_is(part, "*")))
            type = type->children[0];
        if (type->kind == TR_KIND_MAP)
            type = type->children[0]; /* the "*" */
        else if (type->kind == TR_KIND_OBJECT)
            type = tr_type_member(type, part);
        else
            type = NULL;
        if (type == NULL)
            return NULL;
    }
    return type;
}

static bool is_system_map(const tr_type *type)
{
    return type->parent != NULL && type->parent->parent == NULL &&
           (tr_str_is(type->name, "identityMap") || tr_str_is(type->name, "segmentMembership"));
}

static void mark(const tr_type *type, uint8_t *marks)
{
    for (const tr_type *up = type; up->parent != NULL; up = up->parent)
        if (is_system_map(up))
            type = up;
    marks[type->id] = MARK_WHOLE;
    for (type = type->parent; type != NULL; type = type->parent)
        if (marks[type->id] == MARK_NONE)
            marks[type->id] = MARK_PATH;
}

/* Marks every path of a comma-separated list below `from`; a blank list is everything. */
static tr_code mark_list(const tr_type *from, tr_str list, bool is_event, uint8_t *marks,
                         tr_err *err)
{
    const char *member = is_event ? "additionalFields.eventList.fields" : "fields";
    tr_str part, rest = trim(list);
    bool is_blank = true;
    while (rest.len > 0 && next_part(&rest, ',', &part)) {
        part = trim(part);
        if (part.len == 0)
            continue;
        is_blank = false;
        const bool is_old =
            !is_event && (tr_str_is(part, "identities") ||
                          (part.len > 11 && memcmp(part.at, "identities.", 11) == 0));
        const tr_type *found = follow(from, part);
        if (found == NULL && is_old) /* the flattened view of the same data */
            found = tr_type_member(from, tr_str_of("identityMap"));
        if (found == NULL)
            return TR_FAIL(err, TR_INVALID, "%s: \"%.*s\" is not a field of the %s schema", member,
                           part.len > 200 ? 200 : (int)part.len, (const char *)part.at,
                           is_event ? "event" : "profile union");
        mark(found, marks);
    }
    if (is_blank)
        mark(from, marks);
    return TR_OK;
}

static tr_type *copy_kept(const tr_type *type, const uint8_t *marks, tr_arena *arena)
{
    if (marks[type->id] == MARK_WHOLE)
        return tr_type_copy(arena, type);
    tr_type *copy = tr_type_make(arena, type->kind, type->name);
    for (uint32_t i = 0; copy != NULL && i < type->child_count; i++) {
        if (marks[type->children[i]->id] == MARK_NONE)
            continue;
        tr_type *child = copy_kept(type->children[i], marks, arena);
        if (child == NULL || !tr_type_add(arena, copy, child))
            return NULL;
    }
    return copy;
}

static void clear_below(const tr_type *type, uint8_t *marks)
{
    marks[type->id] = MARK_NONE;
    for (uint32_t i = 0; i < type->child_count; i++)
        clear_below(type->children[i], marks);
}

/* Everything at the root but the events is marked on its own, so that the events can be left
 * out. */
static tr_code mark_root(const tr_type *root, const tr_xdm_fields *request, uint8_t *marks,
                         tr_err *err)
{
    const tr_type *events = tr_type_member(root, tr_str_of("timeSeriesEvents"));
    TR_TRY(mark_list(root, request->fields, false, marks, err));
    if (marks[root->id] == MARK_WHOLE) {
        marks[root->id] = MARK_PATH;
        for (uint32_t i = 0; i < root->child_count; i++)
            marks[root->children[i]->id] = MARK_WHOLE;
    }
    if (events == NULL)
        return TR_OK;
    if (!request->with_events) {
        marks[events->id] = MARK_NONE;
        return TR_OK;
    }
    /* Which leaves of an event are kept is said by eventList.fields alone. */
    clear_below(events, marks);
    return mark_list(events->children[0], request->event_fields, true, marks, err);
}

static uint32_t count_types(const tr_type *type)
{
    uint32_t count = 1;
    for (uint32_t i = 0; i < type->child_count; i++)
        count += count_types(type->children[i]);
    return count;
}

tr_code tr_xdm_fields_select(const tr_type *root, const tr_xdm_fields *fields, tr_arena *arena,
                             tr_type **out, tr_err *err)
{
    uint8_t *marks = tr_arena_array(arena, count_types(root), sizeof *marks);
    if (marks == NULL)
        return no_memory(err);
    tr_xdm_fields plain = *fields;
    TR_TRY(plain_list(fields->fields, arena, &plain.fields, err));
    TR_TRY(plain_list(fields->event_fields, arena, &plain.event_fields, err));
    TR_TRY(mark_root(root, &plain, marks, err));
    tr_type *copy = copy_kept(root, marks, arena);
    if (copy == NULL)
        return no_memory(err);
    if (copy->child_count == 0)
        return TR_FAIL(err, TR_INVALID,
                       "fields: only timeSeriesEvents is selected, which needs "
                       "additionalFields.eventList");
    *out = copy;
    return TR_OK;
}

tr_code tr_xdm_event_fields_select(const tr_type *element, tr_str event_fields, tr_arena *arena,
                                   tr_type **out, tr_err *err)
{
    const tr_type *root = element;
    while (root->parent != NULL)
        root = root->parent;
    uint8_t *marks = tr_arena_array(arena, count_types(root), sizeof *marks);
    if (marks == NULL)
        return no_memory(err);
    TR_TRY(plain_list(event_fields, arena, &event_fields, err));
    TR_TRY(mark_list(element, event_fields, true, marks, err));
    tr_type *copy = copy_kept(element, marks, arena);
    if (copy == NULL)
        return no_memory(err);
    copy->name = tr_str_of("");
    *out = copy;
    return TR_OK;
}
