/* SPDX-License-Identifier: Apache-2.0 */
/* membership.c - runs of members: found, opened, replaced; see membership.h. */
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

/* ---- what is hidden */

static tr_code add_once(json_t *ids, const char *id, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(ids); i++)
        if (strcmp(json_string_value(json_array_get(ids, i)), id) == 0)
            return TR_OK;
    return json_array_append_new(ids, json_string(id)) == 0 ? TR_OK : no_memory(err);
}

tr_code tr_membership_hidden(tr_catalog *catalog, const tr_tenant *tenant, const char *policy,
                             json_t *ids, tr_err *err)
{
    tr_object object = {0};
    tr_code code = tr_catalog_get(catalog, tenant, "membership", policy, &object, err);
    if (code == TR_NOT_FOUND)
        return TR_OK;
    TR_TRY(code);
    const json_t *hidden = json_object_get(object.doc, "hidden");
    for (size_t i = 0; i < json_array_size(hidden) && code == TR_OK; i++)
        code = add_once(ids, json_string_value(json_array_get(hidden, i)), err);
    tr_object_clear(&object);
    return code;
}

static tr_code hide_in(tr_catalog *catalog, const tr_tenant *tenant, const char *policy,
                       const char *segment, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(catalog, tenant, "membership", policy, &object, err));
    if (json_object_get(object.doc, "hidden") == NULL)
        (void)json_object_set_new(object.doc, "hidden", json_array());
    tr_code code = add_once(json_object_get(object.doc, "hidden"), segment, err);
    if (code == TR_OK)
        code = tr_catalog_put(catalog, tenant, "membership", &object, 0, err);
    tr_object_clear(&object);
    return code;
}

tr_code tr_membership_hide(tr_catalog *catalog, const tr_tenant *tenant, const char *segment,
                           tr_err *err)
{
    const tr_catalog_filter all = {0};
    json_t *policies = json_array();
    tr_code code = policies == NULL
                       ? no_memory(err)
                       : tr_catalog_ids(catalog, tenant, "membership", &all, policies, err);
    for (size_t i = 0; i < json_array_size(policies) && code == TR_OK; i++)
        code =
            hide_in(catalog, tenant, json_string_value(json_array_get(policies, i)), segment, err);
    json_decref(policies);
    return code;
}

static bool lists(const json_t *ids, const char *id)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *item = json_array_get(ids, i);
        const char *own =
            json_is_string(item) ? json_string_value(item) : tr_json_text(item, "id", "");
        if (strcmp(own, id) == 0)
            return true;
    }
    return false;
}

/* Of those hidden so far the ones that a run of this group may hold: deleted after it began. */
static json_t *still_hidden(const json_t *hidden, const json_t *group)
{
    json_t *still = json_array();
    for (size_t i = 0; i < json_array_size(hidden); i++) {
        const char *id = json_string_value(json_array_get(hidden, i));
        if (lists(json_object_get(group, "definitions"), id) ||
            lists(json_object_get(group, "carried"), id))
            (void)json_array_append_new(still, json_string(id));
    }
    return still;
}

/* ---- runs */

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

static tr_code open_all(tr_catalog *catalog, tr_lake *lake, const tr_tenant *tenant,
                        const json_t *ids, tr_memberships *all, tr_err *err)
{
    uint32_t runs = 0;
    all->at = tr_alloc_zeroed(json_array_size(ids) + 1, sizeof *all->at);
    if (all->at == NULL)
        return no_memory(err);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        TR_TRY(tr_membership_open(catalog, lake, tenant, id == NULL ? "" : id, &all->at[i], err));
        all->count++;
        runs += all->at[i]->count;
    }
    all->runs = tr_alloc_zeroed((size_t)runs + 1, sizeof *all->runs);
    if (all->runs == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < all->count; i++)
        for (uint32_t r = 0; r < all->at[i]->count; r++)
            all->runs[all->run_count++] = all->at[i]->runs[r];
    return TR_OK;
}

tr_code tr_memberships_open(tr_catalog *catalog, tr_lake *lake, const tr_tenant *tenant,
                            const json_t *ids, tr_memberships *out, tr_err *err)
{
    tr_memberships all = {0};
    const tr_code code = open_all(catalog, lake, tenant, ids, &all, err);
    if (code == TR_OK)
        *out = all;
    else
        tr_memberships_close(&all);
    return code;
}

void tr_memberships_close(tr_memberships *memberships)
{
    for (uint32_t i = 0; i < memberships->count; i++)
        tr_membership_close(memberships->at[i]);
    tr_free(memberships->at);
    tr_free(memberships->runs);
    *memberships = (tr_memberships){0};
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

tr_code tr_membership_replace(tr_catalog *catalog, const tr_tenant *tenant, const json_t *group,
                              const json_t *files, char gone[32], tr_err *err)
{
    const char *policy = tr_json_text(json_object_get(group, "policy"), "id", "");
    const char *run = tr_json_text(group, "run", "");
    tr_object before = {0}, object = {0};
    char last[32] = "", oldest[32] = "";
    json_t *hidden = NULL;
    tr_code code = tr_catalog_get(catalog, tenant, "membership", policy, &before, err);
    const bool is_new = code == TR_NOT_FOUND;
    if (code != TR_OK && !is_new)
        return code;
    if (!is_new) {
        (void)snprintf(last, sizeof last, "%s", tr_json_text(before.doc, "run", ""));
        (void)snprintf(oldest, sizeof oldest, "%s", tr_json_text(before.doc, "before", ""));
    }
    if (strcmp(last, tr_json_text(group, "before", "")) == 0)
        hidden = still_hidden(json_object_get(before.doc, "hidden"), group);
    tr_object_clear(&before);
    if (strcmp(last, tr_json_text(group, "before", "")) != 0)
        return TR_FAIL(err, TR_CONFLICT,
                       "the membership of merge policy \"%.60s\" was replaced meanwhile", policy);
    (void)snprintf(object.id, sizeof object.id, "%s", run);
    (void)snprintf(object.parent, sizeof object.parent, "%s", policy);
    object.doc = json_pack("{s:O}", "files", files);
    code = object.doc == NULL ? no_memory(err)
                              : tr_catalog_insert(catalog, tenant, "membership_run", &object, err);
    json_decref(object.doc);
    if (code == TR_OK)
        code = put(catalog, tenant, policy,
                   json_pack("{s:s, s:s, s:O}", "run", run, "before", last, "hidden", hidden),
                   is_new, err);
    json_decref(hidden);
    if (code == TR_OK && oldest[0] != '\0')
        code = tr_catalog_remove(catalog, tenant, "membership_run", oldest, err);
    if (code == TR_OK)
        (void)snprintf(gone, 32, "%s", oldest);
    return code;
}
