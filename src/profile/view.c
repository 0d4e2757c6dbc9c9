/* SPDX-License-Identifier: Apache-2.0 */
/* view.c - views: made, kept, let go; see profile.h.
 *
 * The version of the catalog is asked before a view is made and after: when both are the same,
 * the
 * view may be kept and is good until the version moves. One view is made at a time, so that a
 * publication does not set all threads to the same work.
 */
#include "profile/profile_internal.h"
#include "base/limits.h"
#include "policy/policy.h"
#include "segment/stitch.h"
#include "xdm/fields.h"

#include <stdio.h>
#include <time.h>

enum { TRIES = 8, WAIT_US = 200, WAITS_MAX = 10000 };

static void drop_stale(void *ctx);

tr_code tr_profiles_open(const tr_profiles_parts *parts, tr_profiles **out, tr_err *err)
{
    tr_profiles *profiles = tr_alloc_zeroed(1, sizeof *profiles);
    if (profiles == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for lookups");
    profiles->parts = *parts;
    (void)pthread_mutex_init(&profiles->lock, NULL);
    (void)pthread_mutex_init(&profiles->making, NULL);
    (void)pthread_mutex_init(&profiles->reporting, NULL);
    tr_store_on_retire(parts->store, drop_stale, profiles);
    *out = profiles;
    return TR_OK;
}

static void free_view(tr_profiles *profiles, tr_profile_view *view)
{
    tr_merge_plan_close(view->plan);
    tr_membership_close(view->membership);
    tr_store_release(profiles->parts.store, view->snapshot);
    json_decref(view->policy);
    json_decref(view->names);
    (void)pthread_mutex_destroy(&view->names_lock);
    tr_arena_free(&view->arena);
    tr_free(view);
}

void tr_profiles_close(tr_profiles *profiles)
{
    if (profiles == NULL)
        return;
    tr_store_on_retire(profiles->parts.store, NULL, NULL);
    while (profiles->views != NULL) {
        tr_profile_view *view = profiles->views;
        profiles->views = view->next;
        free_view(profiles, view);
    }
    (void)pthread_mutex_destroy(&profiles->lock);
    (void)pthread_mutex_destroy(&profiles->making);
    (void)pthread_mutex_destroy(&profiles->reporting);
    tr_free(profiles);
}

/* Takes idle views out of the list that are of another version, or over the number kept. The lock
 * is held; returns what is to be freed without it. */
static tr_profile_view *take_idle(tr_profiles *profiles, uint64_t version)
{
    tr_profile_view *gone = NULL;
    uint32_t kept = 0;
    for (tr_profile_view **at = &profiles->views; *at != NULL;) {
        tr_profile_view *view = *at;
        const bool is_old = view->version != version || kept >= TR_LOOKUP_VIEWS_MAX;
        if (is_old && view->holders == 0) {
            *at = view->next;
            view->next = gone;
            gone = view;
        } else {
            kept++;
            at = &view->next;
        }
    }
    return gone;
}

static void free_views(tr_profiles *profiles, tr_profile_view *gone)
{
    while (gone != NULL) {
        tr_profile_view *next = gone->next;
        free_view(profiles, gone);
        gone = next;
    }
}

static void drop_stale(void *ctx)
{
    tr_profiles *profiles = ctx;
    const uint64_t version = tr_catalog_profile_version(profiles->parts.catalog);
    (void)pthread_mutex_lock(&profiles->lock);
    tr_profile_view *gone = take_idle(profiles, version);
    (void)pthread_mutex_unlock(&profiles->lock);
    free_views(profiles, gone);
}

void tr_profile_view_close(tr_profiles *profiles, tr_profile_view *view)
{
    if (view == NULL)
        return;
    const uint64_t version = tr_catalog_profile_version(profiles->parts.catalog);
    (void)pthread_mutex_lock(&profiles->lock);
    view->holders--;
    tr_profile_view *gone = view->version == version ? NULL : take_idle(profiles, version);
    (void)pthread_mutex_unlock(&profiles->lock);
    free_views(profiles, gone);
}

/* Making ------------------------------------------------------------------------------------- */

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a view of profiles");
}

static tr_code find_policy(tr_profiles *profiles, const tr_tenant *tenant, const char *id,
                           tr_profile_view *view, tr_err *err)
{
    tr_catalog *catalog = profiles->parts.catalog;
    TR_TRY(id == NULL ? tr_policy_default(catalog, tenant, &view->policy, err)
                      : tr_policy_get(catalog, tenant, id, 0, &view->policy, err));
    view->is_stitched = tr_policy_is_stitched(view->policy);
    return TR_OK;
}

static tr_code select_events(const tr_type *element, tr_str fields, tr_arena *arena, tr_shape *out,
                             tr_err *err)
{
    tr_type *root = NULL;
    TR_TRY(tr_xdm_event_fields_select(element, fields, arena, &root, err));
    return tr_shape_make(arena, root, out, err);
}

/* The shape of the answers, and what filters look at; without a type of events no shape. */
static tr_code make_shape(tr_profiles *profiles, const tr_tenant *tenant,
                          const tr_profile_view_spec *spec, tr_profile_view *view, tr_err *err)
{
    const tr_xdm_schema *schema = NULL;
    tr_type *root = NULL;
    TR_TRY(tr_catalog_schema_open(profiles->parts.catalog, tenant, tr_str_of(TR_XDM_PROFILE_UNION),
                                  &schema, err));
    const tr_type *events = tr_type_member(schema->shape.root, tr_str_of("timeSeriesEvents"));
    const tr_xdm_fields fields = {.fields = spec->fields};
    tr_code code = TR_OK;
    if (!spec->is_of_events)
        code = tr_xdm_fields_select(schema->shape.root, &fields, &view->arena, &root, err);
    else if (events != NULL)
        code = select_events(events->children[0], spec->fields, &view->arena, &view->shape, err);
    if (code == TR_OK && spec->is_of_events && events != NULL && spec->properties.len > 0) {
        code =
            select_events(events->children[0], spec->properties, &view->arena, &view->probe, err);
        if (code == TR_INVALID)
            tr_err_context(err, "property");
    }
    tr_catalog_schema_close(profiles->parts.catalog, schema);
    if (code == TR_OK && root != NULL)
        code = tr_shape_make(&view->arena, root, &view->shape, err);
    return code;
}

/* Those of deleted segments. */
static tr_code hide_members(const tr_profiles *profiles, const tr_tenant *tenant,
                            tr_profile_view *view, tr_merge_spec *merge, tr_err *err)
{
    json_t *ids = json_array();
    tr_code code = ids == NULL ? no_memory(err)
                               : tr_membership_hidden(profiles->parts.catalog, tenant,
                                                      tr_json_text(view->policy, "id", ""), ids,
                                                      err);
    if (code == TR_OK)
        code = tr_membership_hidden_of(ids, &view->arena, merge, err);
    json_decref(ids);
    return code;
}

static tr_code open_members(tr_profiles *profiles, const tr_tenant *tenant, tr_profile_view *view,
                            tr_merge_spec *merge, tr_err *err)
{
    char run[32];
    uint32_t count = 0;
    const tr_profiles_parts *parts = &profiles->parts;
    TR_TRY(
        tr_membership_now(parts->catalog, tenant, tr_json_text(view->policy, "id", ""), run, err));
    TR_TRY(tr_membership_open(parts->catalog, parts->lake, tenant, run, &view->membership, err));
    const tr_run *const *runs = tr_membership_runs(view->membership, &count);
    for (uint32_t i = 0; i < count; i++)
        TR_TRY(tr_store_use_cache(parts->store, runs[i], err));
    merge->members = runs;
    merge->member_count = count;
    return hide_members(profiles, tenant, view, merge, err);
}

/* Now, and not when somebody waits on an event thread. */
static tr_code take_in_links(tr_profiles *profiles, const tr_tenant *tenant, tr_err *err)
{
    tr_graph_reading *reading = NULL;
    TR_TRY(tr_graph_read(profiles->parts.graph, tenant, &reading, err));
    tr_graph_done(reading);
    return TR_OK;
}

static tr_code fill_view(tr_profiles *profiles, const tr_tenant *tenant,
                         const tr_profile_view_spec *spec, tr_profile_view *view, tr_err *err)
{
    const tr_profiles_parts *parts = &profiles->parts;
    tr_merge_spec merge = {.output = &view->shape,
                           .with_event_only = true,
                           .is_lookup = true,
                           .is_of_events = spec->is_of_events,
                           .updated_after_us = TR_TIME_NONE,
                           .event_after_us = TR_TIME_NONE,
                           .event_before_us = TR_TIME_NONE};
    TR_TRY(find_policy(profiles, tenant, spec->policy_id, view, err));
    if (view->is_stitched)
        TR_TRY(take_in_links(profiles, tenant, err));
    TR_TRY(make_shape(profiles, tenant, spec, view, err));
    TR_TRY(tr_catalog_secret(parts->catalog, tenant, view->secret, err));
    if (view->shape.leaf_count == 0)
        return TR_OK;
    if (!spec->is_of_events) {
        TR_TRY(open_members(profiles, tenant, view, &merge, err));
    }
    if (view->probe.leaf_count > 0)
        merge.probe = &view->probe;
    TR_TRY(tr_store_snapshot(parts->store, tenant, &view->snapshot, err));
    TR_TRY(tr_policy_read(view->policy, &view->arena, &merge.policy, err));
    merge.snapshot = view->snapshot;
    return tr_merge_plan_open(&merge, &view->plan, err);
}

static tr_code make_view(tr_profiles *profiles, const tr_tenant *tenant,
                         const tr_profile_view_spec *spec, tr_str name, tr_profile_view **out,
                         tr_err *err)
{
    tr_profile_view *view = tr_alloc_zeroed(1, sizeof *view);
    if (view == NULL)
        return no_memory(err);
    (void)pthread_mutex_init(&view->names_lock, NULL);
    view->parts = &profiles->parts;
    view->tenant = *tenant;
    view->name = tr_arena_copy(&view->arena, name);
    const tr_code code =
        view->name.at == NULL ? no_memory(err) : fill_view(profiles, tenant, spec, view, err);
    if (code == TR_OK)
        *out = view;
    else
        free_view(profiles, view);
    return code;
}

/* Finding ------------------------------------------------------------------------------------ */

/* What tells the views of a tenant apart. A policy's id is no longer than a path segment. */
static tr_code name_view(const tr_profile_view_spec *spec, tr_buf *out, tr_err *err)
{
    return tr_buf_format(out, err, "%c%s\n%.*s\n%.*s", spec->is_of_events ? 'e' : 'p',
                         spec->policy_id == NULL ? "" : spec->policy_id, TR_STR_ARG(spec->fields),
                         TR_STR_ARG(spec->properties));
}

/* A kept view of this version, held, or NULL. */
static tr_profile_view *find_kept(tr_profiles *profiles, int64_t tenant, tr_str name,
                                  uint64_t version)
{
    (void)pthread_mutex_lock(&profiles->lock);
    tr_profile_view **at = &profiles->views;
    while (*at != NULL && ((*at)->version != version || (*at)->tenant.id != tenant ||
                           !tr_str_equal((*at)->name, name)))
        at = &(*at)->next;
    tr_profile_view *view = *at;
    if (view != NULL) { /* to the front: the last is let go first */
        view->holders++;
        *at = view->next;
        view->next = profiles->views;
        profiles->views = view;
    }
    (void)pthread_mutex_unlock(&profiles->lock);
    return view;
}

/* The version once nothing is being committed. */
static uint64_t settled_version(tr_catalog *catalog)
{
    uint64_t version = tr_catalog_profile_version(catalog);
    for (int i = 0; version % 2 != 0 && i < WAITS_MAX; i++) {
        (void)nanosleep(&(struct timespec){.tv_nsec = WAIT_US * 1000}, NULL);
        version = tr_catalog_profile_version(catalog);
    }
    return version;
}

/* Adds a view, held. It is listed even when the version moved while it was made: whoever holds it
 * reads what was there when it asked, and nobody else finds it. */
static void keep_view(tr_profiles *profiles, tr_profile_view *view, uint64_t before)
{
    const uint64_t version = tr_catalog_profile_version(profiles->parts.catalog);
    view->version = version == before ? version : UINT64_MAX;
    view->holders = 1;
    (void)pthread_mutex_lock(&profiles->lock);
    view->next = profiles->views;
    profiles->views = view;
    tr_profile_view *gone = take_idle(profiles, version);
    (void)pthread_mutex_unlock(&profiles->lock);
    free_views(profiles, gone);
}

/* One at a time. A run of members may be replaced twice while it is opened: then it is tried
 * again. */
static tr_code open_fresh(tr_profiles *profiles, const tr_tenant *tenant,
                          const tr_profile_view_spec *spec, tr_str name, tr_profile_view **out,
                          tr_err *err)
{
    tr_catalog *catalog = profiles->parts.catalog;
    tr_code code = TR_OK;
    for (int i = 0; i < TRIES; i++) {
        const uint64_t version = settled_version(catalog);
        tr_profile_view *view = find_kept(profiles, tenant->id, name, version);
        if (view == NULL) {
            code = make_view(profiles, tenant, spec, name, &view, err);
            if (code == TR_OK)
                keep_view(profiles, view, version);
        }
        if (code == TR_OK)
            *out = view;
        if (code != TR_NOT_FOUND || tr_catalog_profile_version(catalog) == version)
            return code;
    }
    return code;
}

tr_code tr_profile_view_open(tr_profiles *profiles, const tr_tenant *tenant,
                             const tr_profile_view_spec *spec, tr_profile_view **out, tr_err *err)
{
    tr_buf name = {0};
    TR_TRY(name_view(spec, &name, err));
    tr_code code = TR_OK;
    tr_profile_view *view = find_kept(profiles, tenant->id, tr_buf_str(&name),
                                      tr_catalog_profile_version(profiles->parts.catalog));
    if (view != NULL) {
        *out = view;
    } else if (!spec->may_wait) {
        code = TR_FAIL(err, TR_BUSY, "the view is not there yet");
    } else {
        (void)pthread_mutex_lock(&profiles->making);
        code = open_fresh(profiles, tenant, spec, tr_buf_str(&name), out, err);
        (void)pthread_mutex_unlock(&profiles->making);
    }
    tr_buf_free(&name);
    return code;
}
