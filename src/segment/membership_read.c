/* SPDX-License-Identifier: Apache-2.0 */
/* membership_read.c - the entries of a column of segmentMembership; see membership.h. */
#include "segment/membership.h"

static uint32_t find_leaf(const tr_type *object, const char *name, tr_kind kind, uint32_t first)
{
    const tr_type *member = tr_type_member(object, tr_str_of(name));
    return member == NULL || member->kind != kind ? UINT32_MAX : member->first_leaf - first;
}

tr_code tr_membership_find_leaves(const tr_shape *shape, uint32_t unit, tr_membership_leaves *out,
                                  tr_err *err)
{
    const tr_type *outer = shape->units[unit].type;
    const tr_type *inner = outer->kind == TR_KIND_MAP ? outer->children[0] : NULL;
    const tr_type *item = inner != NULL && inner->kind == TR_KIND_MAP ? inner->children[0] : NULL;
    const uint32_t first = shape->units[unit].first_leaf;
    if (item == NULL || item->kind != TR_KIND_OBJECT)
        return TR_FAIL(err, TR_INVALID, "segmentMembership is not a map of maps of objects");
    *out = (tr_membership_leaves){
        .namespace = 0,
        .segment = inner->first_leaf - first,
        .status = find_leaf(item, "status", TR_KIND_STRING, first),
        .time = find_leaf(item, "lastQualificationTime", TR_KIND_TIMESTAMP, first),
        .until = find_leaf(item, "validUntil", TR_KIND_TIMESTAMP, first)};
    return TR_OK;
}

void tr_membership_begin(tr_membership_walk *walk, const tr_column *columns,
                         const tr_membership_leaves *leaves, uint32_t profile)
{
    const tr_column *segments = &columns[leaves->segment];
    *walk = (tr_membership_walk){.columns = columns,
                                 .leaves = leaves,
                                 .at = segments->row_start[profile],
                                 .end = segments->row_start[profile + 1],
                                 .outer = columns[leaves->namespace].row_start[profile]};
}

/* The time of an entry: leaves of an item have an entry where its key has one. */
static int64_t time_at(const tr_membership_walk *walk, uint32_t leaf, uint32_t entry)
{
    const tr_column *column = leaf == UINT32_MAX ? NULL : &walk->columns[leaf];
    if (column == NULL || column->entries != walk->columns[walk->leaves->segment].entries ||
        column->codes[entry] == 0)
        return TR_TIME_NONE;
    return (int64_t)tr_column_word(column, entry);
}

bool tr_membership_next(tr_membership_walk *walk)
{
    const tr_column *namespaces = &walk->columns[walk->leaves->namespace];
    const tr_column *segments = &walk->columns[walk->leaves->segment];
    const tr_column *statuses =
        walk->leaves->status == UINT32_MAX ? NULL : &walk->columns[walk->leaves->status];
    for (; walk->at < walk->end; walk->at++) {
        const uint32_t entry = walk->at;
        const bool is_first = walk->namespace.at == NULL && walk->segment.at == NULL;
        if (!is_first && segments->rep[entry] <= 1)
            walk->outer++;
        walk->segment = (tr_str){.at = (const uint8_t *)""}; /* no longer the first */
        if (segments->codes[entry] == 0 || namespaces->codes[walk->outer] == 0)
            continue;
        walk->namespace = tr_column_string(namespaces, walk->outer);
        walk->segment = tr_column_string(segments, entry);
        walk->until_us = time_at(walk, walk->leaves->until, entry);
        walk->member = (tr_member){TR_REALIZED, time_at(walk, walk->leaves->time, entry)};
        if (statuses != NULL && statuses->entries == segments->entries &&
            statuses->codes[entry] != 0)
            walk->member.status = tr_status_of(tr_column_string(statuses, entry));
        walk->at++;
        return true;
    }
    return false;
}

tr_code tr_membership_hidden_of(const json_t *ids, tr_arena *arena, tr_merge_spec *spec,
                                tr_err *err)
{
    const size_t count = json_array_size(ids);
    tr_str *hidden = tr_arena_array(arena, count + 1, sizeof *hidden);
    if (hidden == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to hide %zu segments", count);
    for (size_t i = 0; i < count; i++) {
        hidden[i] = tr_arena_copy(arena, tr_str_of(json_string_value(json_array_get(ids, i))));
        if (hidden[i].at == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to hide %zu segments", count);
    }
    spec->hidden = hidden;
    spec->hidden_count = (uint32_t)count;
    return TR_OK;
}
