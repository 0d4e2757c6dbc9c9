/* SPDX-License-Identifier: Apache-2.0 */
/* membership.c - runs of members: found, opened, replaced, read; see membership.h. Writing them is in
 * membership_write.c.
 */
#include "segment/membership.h"

#include <stdio.h>

struct tr_membership {
    tr_map *maps;
    tr_run **runs;
    uint32_t count;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a membership");
}

tr_code tr_membership_now(tr_catalog *catalog, const tr_tenant *tenant, const char *policy,
                          char out[32], tr_err *err)
{
    tr_object object = {0};
    const tr_code code = tr_catalog_get(catalog, tenant, "membership", policy, &object, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    (void)snprintf(out, 32, "%s", code == TR_OK ? tr_json_text(object.doc, "run", "") : "");
    tr_object_clear(&object);
    return TR_OK;
}

static tr_code open_files(tr_membership *m, tr_lake *lake, const tr_tenant *tenant, const char *run,
                          const json_t *files, tr_err *err)
{
    const size_t count = json_array_size(files);
    m->maps = tr_alloc_zeroed(count + 1, sizeof *m->maps);
    m->runs = tr_alloc_zeroed(count + 1, sizeof *m->runs);
    if (m->maps == NULL || m->runs == NULL)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        const char *name = tr_json_text(json_array_get(files, i), "name", "");
        TR_TRY(tr_lake_map(lake, tenant, TR_MEMBERSHIP_FOLDER, run, name, &m->maps[i], err));
        m->count++; /* closed with the rest from here on */
        TR_TRY(tr_run_open(m->maps[i].bytes, run, TR_MEMBERSHIP_FOLDER, &m->runs[i], err));
    }
    return TR_OK;
}

tr_code tr_membership_open(tr_catalog *catalog, tr_lake *lake, const tr_tenant *tenant,
                           const char *run, tr_membership **out, tr_err *err)
{
    tr_object object = {0};
    tr_membership *m = tr_alloc_zeroed(1, sizeof *m);
    if (m == NULL)
        return no_memory(err);
    tr_code code = TR_OK;
    if (run[0] != '\0') {
        code = tr_catalog_get(catalog, tenant, "membership_run", run, &object, err);
        if (code == TR_NOT_FOUND)
            code = TR_FAIL(err, TR_NOT_FOUND, "the membership \"%.40s\" has been replaced", run);
    }
    if (code == TR_OK && run[0] != '\0')
        code = open_files(m, lake, tenant, run, json_object_get(object.doc, "files"), err);
    tr_object_clear(&object);
    if (code == TR_OK)
        *out = m;
    else
        tr_membership_close(m);
    return code;
}

void tr_membership_close(tr_membership *m)
{
    if (m == NULL)
        return;
    for (uint32_t i = 0; i < m->count; i++) {
        tr_run_close(m->runs[i]);
        tr_map_close(&m->maps[i]);
    }
    tr_free(m->maps);
    tr_free(m->runs);
    tr_free(m);
}

const tr_run *const *tr_membership_runs(const tr_membership *m, uint32_t *count)
{
    *count = m->count;
    return (const tr_run *const *)m->runs;
}

/* ---- one run after the other */

static tr_code put(tr_catalog *catalog, const tr_tenant *tenant, const char *policy, json_t *doc,
                   bool is_new, tr_err *err)
{
    tr_object object = {.doc = doc};
    if (doc == NULL)
        return no_memory(err);
    (void)snprintf(object.id, sizeof object.id, "%s", policy);
    const tr_code code = is_new ? tr_catalog_insert(catalog, tenant, "membership", &object, err)
                                : tr_catalog_put(catalog, tenant, "membership", &object, 0, err);
    json_decref(doc);
    return code;
}

tr_code tr_membership_replace(tr_catalog *catalog, const tr_tenant *tenant, const char *policy,
                              const char *run, const json_t *files, char gone[32], tr_err *err)
{
    tr_object before = {0}, object = {0};
    char last[32] = "", oldest[32] = "";
    tr_code code = tr_catalog_get(catalog, tenant, "membership", policy, &before, err);
    const bool is_new = code == TR_NOT_FOUND;
    if (code != TR_OK && !is_new)
        return code;
    if (!is_new) {
        (void)snprintf(last, sizeof last, "%s", tr_json_text(before.doc, "run", ""));
        (void)snprintf(oldest, sizeof oldest, "%s", tr_json_text(before.doc, "before", ""));
    }
    tr_object_clear(&before);
    (void)snprintf(object.id, sizeof object.id, "%s", run);
    (void)snprintf(object.parent, sizeof object.parent, "%s", policy);
    object.doc = json_pack("{s:O}", "files", files);
    code = object.doc == NULL
               ? no_memory(err)
               : tr_catalog_insert(catalog, tenant, "membership_run", &object, err);
    json_decref(object.doc);
    if (code == TR_OK)
        code = put(catalog, tenant, policy, json_pack("{s:s, s:s}", "run", run, "before", last),
                   is_new, err);
    if (code == TR_OK && oldest[0] != '\0')
        code = tr_catalog_remove(catalog, tenant, "membership_run", oldest, err);
    if (code == TR_OK)
        (void)snprintf(gone, 32, "%s", oldest);
    return code;
}

/* ---- entries */

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
