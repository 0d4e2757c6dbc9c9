/* SPDX-License-Identifier: Apache-2.0 */
/* find.c - lookups in a view, and their rows as JSON; see profile.h. */
#include "profile/profile_internal.h"
#include "parquet/cache.h"
#include "parquet/row_json.h"

const char *tr_profile_view_policy(const tr_profile_view *view)
{
    return tr_json_text(view->policy, "id", "");
}

const tr_shape *tr_profile_view_shape(const tr_profile_view *view)
{
    return &view->shape;
}

static tr_code fold_name(tr_str code, char *out, size_t size, tr_err *err)
{
    if (code.len >= size)
        return TR_FAIL(err, TR_LIMIT, "a namespace is longer than %zu bytes", size - 1);
    for (size_t i = 0; i < code.len; i++)
        out[i] = (char)(code.at[i] >= 'A' && code.at[i] <= 'Z' ? code.at[i] + 32 : code.at[i]);
    out[code.len] = '\0';
    return TR_OK;
}

/* Names that are too long for a code can never be asked for. */
static tr_code add_names(json_t *names, const tr_column *column, tr_err *err)
{
    char name[256];
    for (uint32_t i = 0; i < column->values.count; i++)
        if (fold_name(column->values.strings[i], name, sizeof name, NULL) == TR_OK &&
            json_object_get(names, name) == NULL &&
            json_object_set_new(names, name, json_true()) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for the names of namespaces");
    return TR_OK;
}

static tr_code collect_names(const tr_snapshot *snapshot, json_t *names, tr_err *err)
{
    tr_arena arena = {0};
    tr_code code = TR_OK;
    for (uint32_t r = 0; r < snapshot->run_count && code == TR_OK; r++) {
        const tr_run *run = snapshot->runs[r];
        for (uint32_t g = 0; g < tr_parquet_group_count(run->file) && code == TR_OK; g++) {
            tr_column column;
            code = tr_parquet_read(run->file, g, run->namespace_leaf, 0,
                                   tr_parquet_group_rows(run->file, g), &arena, &column, err);
            if (code == TR_OK)
                code = add_names(names, &column, err);
            tr_arena_reset(&arena);
        }
    }
    tr_arena_free(&arena);
    return code;
}

tr_code tr_profile_knows(tr_profile_view *view, tr_str namespace_code, bool *out, tr_err *err)
{
    char name[256];
    TR_TRY(fold_name(namespace_code, name, sizeof name, err));
    (void)pthread_mutex_lock(&view->names_lock);
    tr_code code = TR_OK;
    if (view->names == NULL)
        view->names = json_object();
    if (view->names == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the names of namespaces");
    else if (!view->has_names && view->snapshot != NULL)
        code = collect_names(view->snapshot, view->names, err);
    view->has_names = code == TR_OK;
    if (code == TR_OK)
        *out = json_object_get(view->names, name) != NULL;
    (void)pthread_mutex_unlock(&view->names_lock);
    return code;
}

bool tr_profile_view_is_stitched(const tr_profile_view *view)
{
    return view->is_stitched;
}

/* Who is looked for -------------------------------------------------------------------------- */

static tr_code copy_member(const tr_clusters *clusters, uint32_t node, tr_arena *arena,
                           tr_merge_identity *out, tr_err *err)
{
    tr_node found;
    tr_clusters_describe(clusters, node, &found);
    memcpy(out->key, found.key, sizeof out->key);
    out->code = tr_arena_copy(arena, found.code);
    out->id = tr_arena_copy(arena, found.id);
    return out->code.at != NULL && out->id.at != NULL
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory for the identities of a profile");
}

/* The members of the identity's cluster instead of itself, when it has links. */
static tr_code take_cluster(const tr_profile_view *view, tr_arena *arena, tr_profile_found *out,
                            tr_err *err)
{
    tr_graph_reading *reading = NULL;
    const uint32_t *members = NULL;
    TR_TRY(tr_graph_read(view->parts->graph, &view->tenant, &reading, err));
    const tr_clusters *clusters = tr_graph_clusters(reading);
    const uint32_t node = tr_clusters_find(clusters, out->identities[0].key);
    const uint32_t count = node == TR_NODE_NONE ? 0 : tr_clusters_members(clusters, node, &members);
    tr_merge_identity *all = count < 2 ? NULL : tr_arena_array(arena, count, sizeof *all);
    tr_code code = count >= 2 && all == NULL
                       ? TR_FAIL(err, TR_NO_MEMORY, "no memory for %u identities", count)
                       : TR_OK;
    for (uint32_t i = 0; i < count && all != NULL && code == TR_OK; i++)
        code = copy_member(clusters, members[i], arena, &all[i], err);
    tr_graph_done(reading);
    if (code == TR_OK && all != NULL) {
        out->identities = all;
        out->identity_count = count;
    }
    return code;
}

/* A view that is not of the newest version is being replaced: the graph has something to take in
 * first, which may take long. */
static tr_code find_identities(const tr_profile_view *view, const tr_profile_who *who,
                               tr_arena *arena, tr_profile_found *out, tr_err *err)
{
    tr_merge_identity *self = tr_arena_array(arena, 1, sizeof *self);
    if (self == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for an identity");
    self->code = who->identity.code;
    self->id = who->identity.id;
    tr_profile_key(view->secret, self->code, self->id, self->key);
    out->identities = self;
    out->identity_count = 1;
    if (!view->is_stitched)
        return TR_OK;
    if (!who->may_wait && tr_catalog_profile_version(view->parts->catalog) != view->version)
        return TR_FAIL(err, TR_BUSY, "the identity graph is being brought up to date");
    return take_cluster(view, arena, out, err);
}

/* Lookups ------------------------------------------------------------------------------------ */

tr_code tr_profile_find(const tr_profile_view *view, const tr_profile_who *who, tr_arena *arena,
                        tr_profile_found *out, tr_err *err)
{
    tr_profile_found found = {.identity_count = 0};
    if (view->plan == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "no profile has this identity");
    TR_TRY(find_identities(view, who, arena, &found, err));
    tr_cache_may_decode(who->may_wait);
    const tr_code code = tr_merge_profile_get(view->plan, found.identities, found.identity_count,
                                              arena, &found.merged, err);
    tr_cache_may_decode(true);
    if (code == TR_OK)
        *out = found;
    return code;
}

static tr_code choose(void *ctx, const tr_column *columns, uint32_t count, bool *keep, tr_err *err)
{
    (void)err;
    for (uint32_t row = 0; row < count; row++)
        keep[row] = tr_property_hold(ctx, columns, row);
    return TR_OK;
}

tr_code tr_profile_events(const tr_profile_view *view, const tr_profile_who *who,
                          const tr_merge_page *page, const tr_properties *properties,
                          tr_arena *arena, tr_merge_events *out, tr_err *err)
{
    tr_profile_found found = {.identity_count = 0};
    tr_properties bound = *properties;
    tr_merge_page own = *page;
    if (view->plan == NULL) {
        *out = (tr_merge_events){.count = 0};
        return TR_OK;
    }
    if (bound.count > 0) {
        TR_TRY(tr_property_bind(&bound, &view->probe, err));
        own.choose = choose;
        own.choose_ctx = &bound;
    }
    TR_TRY(find_identities(view, who, arena, &found, err));
    tr_cache_may_decode(who->may_wait);
    const tr_code code = tr_merge_events_get(view->plan, found.identities, found.identity_count,
                                             &own, arena, out, err);
    tr_cache_may_decode(true);
    return code;
}

tr_code tr_profile_write(const tr_profile_view *view, const tr_column *columns, uint32_t row,
                         tr_buf *out, tr_err *err)
{
    tr_row_json *printer = NULL;
    TR_TRY(tr_row_json_open(&view->shape, columns, &printer, err));
    const tr_code code = tr_row_json_write(printer, row, out, err);
    tr_row_json_close(printer);
    return code;
}
