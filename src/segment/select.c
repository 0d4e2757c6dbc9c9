/* SPDX-License-Identifier: Apache-2.0 */
/* select.c - see select.h. */
#include "segment/select.h"

#include "segment/membership.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to select by segments");
}

static tr_str text_of(const json_t *value)
{
    return (tr_str){(const uint8_t *)json_string_value(value), json_string_length(value)};
}

static tr_code read_status(const json_t *value, size_t index, tr_selected *out, tr_err *err)
{
    const tr_status status = json_is_string(value) ? tr_status_of(text_of(value)) : TR_STATUS_NONE;
    if (status == TR_STATUS_NONE)
        return TR_FAIL(err, TR_INVALID,
                       "filter.segments[%zu].status: \"%.40s\" is not realized, existing or exited",
                       index, json_is_string(value) ? json_string_value(value) : "");
    out->statuses[status] = true;
    return TR_OK;
}

/* An array, or one text as some samples have it; none is realized and existing. */
static tr_code read_statuses(const json_t *item, size_t index, tr_selected *out, tr_err *err)
{
    const json_t *status = json_object_get(item, "status");
    if (json_is_string(status))
        return read_status(status, index, out, err);
    if (status != NULL && !json_is_null(status) && !json_is_array(status))
        return TR_FAIL(err, TR_INVALID, "filter.segments[%zu].status must be an array of strings",
                       index);
    for (size_t i = 0; i < json_array_size(status); i++)
        TR_TRY(read_status(json_array_get(status, i), index, out, err));
    if (json_array_size(status) == 0)
        out->statuses[TR_REALIZED] = out->statuses[TR_EXISTING] = true;
    return TR_OK;
}

static tr_code read_item(const json_t *item, size_t index, tr_arena *arena, tr_selected *out,
                         tr_err *err)
{
    const json_t *id = json_object_get(item, "segmentId");
    const json_t *namespace = json_object_get(item, "segmentNs");
    if (!json_is_object(item) || !json_is_string(id) || json_string_length(id) == 0)
        return TR_FAIL(err, TR_INVALID, "filter.segments[%zu].segmentId is required: a string",
                       index);
    if (namespace != NULL && !json_is_null(namespace) && !json_is_string(namespace))
        return TR_FAIL(err, TR_INVALID, "filter.segments[%zu].segmentNs must be a string", index);
    out->segment = tr_arena_copy(arena, text_of(id));
    out->namespace = json_string_length(namespace) > 0 ? tr_arena_copy(arena, text_of(namespace))
                                                       : tr_str_of("ups");
    if (out->segment.at == NULL || out->namespace.at == NULL)
        return no_memory(err);
    return read_statuses(item, index, out, err);
}

tr_code tr_selection_read(const json_t *json, tr_arena *arena, tr_selection *out, tr_err *err)
{
    tr_selection selection = {.count = (uint32_t)json_array_size(json),
                              .from_us = TR_TIME_NONE,
                              .until_us = TR_TIME_NONE,
                              .now_us = tr_time_now_us()};
    selection.items = tr_arena_array(arena, selection.count, sizeof *selection.items);
    if (selection.items == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < selection.count; i++)
        TR_TRY(read_item(json_array_get(json, i), i, arena, &selection.items[i], err));
    *out = selection;
    return TR_OK;
}

tr_type *tr_selection_probe(tr_arena *arena)
{
    static const struct {
        const char *name;
        tr_kind kind;
    } members[] = {{"lastQualificationTime", TR_KIND_TIMESTAMP},
                   {"status", TR_KIND_STRING},
                   {"validUntil", TR_KIND_TIMESTAMP}};
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *map = tr_type_make(arena, TR_KIND_MAP, tr_str_of("segmentMembership"));
    tr_type *inner = tr_type_make(arena, TR_KIND_MAP, tr_str_of("value"));
    tr_type *item = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of("value"));
    if (root == NULL || map == NULL || inner == NULL || item == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        tr_type *member = tr_type_make(arena, members[i].kind, tr_str_of(members[i].name));
        if (member == NULL || !tr_type_add(arena, item, member))
            return NULL;
    }
    return tr_type_add(arena, inner, item) && tr_type_add(arena, map, inner) &&
                   tr_type_add(arena, root, map)
               ? root
               : NULL;
}

static bool lets_in(const tr_selection *selection, const tr_selected *item,
                    const tr_membership_walk *entry)
{
    const int64_t since = entry->member.since_us;
    if (!item->statuses[entry->member.status] || !tr_str_equal(item->segment, entry->segment) ||
        !tr_str_equal_folded(item->namespace, entry->namespace))
        return false;
    if (entry->until_us != TR_TIME_NONE && entry->until_us < selection->now_us)
        return false;
    const bool is_own = tr_str_equal_folded(entry->namespace, tr_str_of("ups"));
    if (is_own && since != TR_TIME_NONE && tr_member_is_over(&entry->member, selection->now_us))
        return false;
    if (selection->from_us != TR_TIME_NONE && (since == TR_TIME_NONE || since < selection->from_us))
        return false;
    return selection->until_us == TR_TIME_NONE ||
           (since != TR_TIME_NONE && since < selection->until_us);
}

static bool is_in(const tr_selection *selection, uint32_t from, uint32_t to,
                  tr_membership_walk *walk)
{
    while (tr_membership_next(walk))
        for (uint32_t i = from; i < to; i++)
            if (lets_in(selection, &selection->items[i], walk))
                return true;
    return false;
}

/* Those of `keep` who are in by the rows of members; nobody else is. */
static tr_code keep_rows(const tr_selection *selection, const uint32_t items[2],
                         const tr_column *columns, const tr_membership_leaves *leaves,
                         const tr_merge_members *rows, uint32_t count, bool *keep, tr_err *err)
{
    bool *are_in = tr_alloc_zeroed((size_t)count + 1, sizeof *are_in);
    if (are_in == NULL)
        return no_memory(err);
    for (uint32_t r = 0; r < rows->count; r++) {
        tr_membership_walk walk;
        const uint32_t profile = rows->profiles[r];
        if (profile == UINT32_MAX || !keep[profile])
            continue;
        tr_membership_begin(&walk, columns, leaves, r);
        are_in[profile] = is_in(selection, items[0], items[1], &walk);
    }
    memcpy(keep, are_in, count * sizeof *keep);
    tr_free(are_in);
    return TR_OK;
}

tr_code tr_selection_apply(const tr_selection *selection, uint32_t only, const tr_shape *probe,
                           tr_merge_view *view, bool *keep, tr_err *err)
{
    const uint32_t unit = tr_shape_unit(probe, tr_str_of("segmentMembership"));
    const uint32_t from = only == UINT32_MAX ? 0 : only;
    const uint32_t to = only == UINT32_MAX ? selection->count : only + 1;
    const uint32_t count = tr_merge_view_count(view);
    tr_membership_leaves leaves;
    tr_arena arena = {0};
    TR_TRY(tr_membership_find_leaves(probe, unit, &leaves, err));
    tr_column *columns = tr_arena_array(&arena, probe->units[unit].leaf_count, sizeof *columns);
    tr_merge_members rows = {0};
    bool is_all = false;
    tr_code code = columns == NULL
                       ? no_memory(err)
                       : tr_merge_view_member_rows(view, &arena, columns, &rows, &is_all, err);
    if (code == TR_OK && is_all)
        code = keep_rows(selection, (const uint32_t[]){from, to}, columns, &leaves, &rows, count,
                         keep, err);
    else if (code == TR_OK)
        code = tr_merge_view_unit(view, unit, NULL, &arena, columns, err);
    for (uint32_t p = 0; p < count && code == TR_OK && !is_all; p++) {
        tr_membership_walk walk;
        tr_membership_begin(&walk, columns, &leaves, p);
        keep[p] = keep[p] && is_in(selection, from, to, &walk);
    }
    tr_arena_free(&arena);
    return code;
}
