/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - the graphs of tenants: found, locked, forgotten. Bringing one up to date is update.c.
 *
 * A graph that nobody asked for is not there. Whoever asks makes it, others who ask meanwhile wait
 * for that; when nothing was committed since, asking costs two locks and no look into the catalog.
 */
#include "graph/graph_internal.h"

tr_code tr_graph_open(tr_catalog *catalog, tr_lake *lake, tr_store *store, tr_graph **out,
                      tr_err *err)
{
    tr_graph *graph = tr_alloc_zeroed(1, sizeof *graph);
    if (graph == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for identity graphs");
    graph->catalog = catalog;
    graph->lake = lake;
    graph->store = store;
    const tr_code code = tr_stitcher_open(&graph->stitcher, err);
    if (code != TR_OK) {
        tr_free(graph);
        return code;
    }
    (void)pthread_mutex_init(&graph->mutex, NULL);
    atomic_init(&graph->is_stopping, false);
    *out = graph;
    return TR_OK;
}

void tr_graph_stop(tr_graph *graph)
{
    if (graph != NULL)
        atomic_store(&graph->is_stopping, true);
}

void tr_graph_state_free(tr_graph_state *state)
{
    tr_clusters_free(state->clusters);
    tr_free(state->batches);
    tr_graph_files_free(&state->files);
    *state = (tr_graph_state){0};
}

static void free_reading(tr_graph_reading *own)
{
    tr_graph_state_free(&own->state);
    tr_graph_state_free(&own->prepared);
    tr_graph_files_free(&own->known);
    (void)pthread_rwlock_destroy(&own->lock);
    (void)pthread_mutex_destroy(&own->updating);
    (void)pthread_mutex_destroy(&own->preparing);
    tr_free(own);
}

void tr_graph_close(tr_graph *graph)
{
    if (graph == NULL)
        return;
    while (graph->tenants != NULL) {
        tr_graph_reading *next = graph->tenants->next;
        free_reading(graph->tenants);
        graph->tenants = next;
    }
    tr_stitcher_close(graph->stitcher);
    (void)pthread_mutex_destroy(&graph->mutex);
    tr_free(graph);
}

/* Takes a retired graph that nobody holds out of the list. The mutex is held. */
static tr_graph_reading *take_retired(tr_graph *graph)
{
    for (tr_graph_reading **at = &graph->tenants; *at != NULL; at = &(*at)->next)
        if ((*at)->is_retired && (*at)->holders == 0) {
            tr_graph_reading *own = *at;
            *at = own->next;
            return own;
        }
    return NULL;
}

static void free_retired(tr_graph *graph)
{
    tr_graph_reading *own;
    do {
        (void)pthread_mutex_lock(&graph->mutex);
        own = take_retired(graph);
        (void)pthread_mutex_unlock(&graph->mutex);
        if (own != NULL)
            free_reading(own);
    } while (own != NULL);
}

void tr_graph_retire_tenant(tr_graph *graph, int64_t tenant)
{
    (void)pthread_mutex_lock(&graph->mutex);
    for (tr_graph_reading *own = graph->tenants; own != NULL; own = own->next)
        own->is_retired = own->is_retired || own->tenant == tenant;
    (void)pthread_mutex_unlock(&graph->mutex);
    free_retired(graph);
}

/* Reading ------------------------------------------------------------------------------------ */

#define NEVER_SEEN UINT64_MAX /* a version that no catalog gets to */

static tr_graph_reading *find_held(tr_graph *graph, int64_t tenant)
{
    for (tr_graph_reading *own = graph->tenants; own != NULL; own = own->next)
        if (own->tenant == tenant && !own->is_retired) {
            own->holders++;
            return own;
        }
    return NULL;
}

static tr_graph_reading *make_reading(tr_graph *graph, int64_t tenant)
{
    pthread_rwlockattr_t kind;
    tr_graph_reading *own = tr_alloc_zeroed(1, sizeof *own);
    if (own == NULL)
        return NULL;
    own->graph = graph;
    own->tenant = tenant;
    own->holders = 1;
    atomic_init(&own->seen, NEVER_SEEN);
    (void)pthread_mutex_init(&own->preparing, NULL);
    (void)pthread_mutex_init(&own->updating, NULL);
    (void)pthread_rwlockattr_init(&kind); /* whoever brings it up to date must not wait for long */
    (void)pthread_rwlockattr_setkind_np(&kind, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    (void)pthread_rwlock_init(&own->lock, &kind);
    (void)pthread_rwlockattr_destroy(&kind);
    return own;
}

static tr_code hold(tr_graph *graph, int64_t tenant, tr_graph_reading **out, tr_err *err)
{
    (void)pthread_mutex_lock(&graph->mutex);
    tr_graph_reading *own = find_held(graph, tenant);
    if (own == NULL && (own = make_reading(graph, tenant)) != NULL) {
        own->next = graph->tenants;
        graph->tenants = own;
    }
    (void)pthread_mutex_unlock(&graph->mutex);
    if (own == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for an identity graph");
    *out = own;
    return TR_OK;
}

tr_graph_reading *tr_graph_hold_known(tr_graph *graph, int64_t tenant)
{
    (void)pthread_mutex_lock(&graph->mutex);
    tr_graph_reading *own = find_held(graph, tenant);
    (void)pthread_mutex_unlock(&graph->mutex);
    return own;
}

void tr_graph_let_go(tr_graph_reading *own)
{
    tr_graph *graph = own->graph;
    (void)pthread_mutex_lock(&graph->mutex);
    const bool is_last = --own->holders == 0 && own->is_retired;
    (void)pthread_mutex_unlock(&graph->mutex);
    if (is_last)
        free_retired(graph);
}

/* Everything that was committed before the call is in the graph afterwards. */
static tr_code bring_up_to_date(tr_graph *graph, const tr_tenant *tenant, tr_graph_reading *own,
                                tr_err *err)
{
    tr_code code = TR_OK;
    if (atomic_load(&own->seen) == tr_catalog_profile_version(graph->catalog))
        return TR_OK;
    (void)pthread_mutex_lock(&own->updating);
    const uint64_t version = tr_catalog_profile_version(graph->catalog);
    if (atomic_load(&own->seen) != version) {
        code = tr_graph_update(graph, tenant, own, err);
        /* odd: something was being committed, and may be in or not */
        atomic_store(&own->seen, code == TR_OK && version % 2 == 0 ? version : NEVER_SEEN);
    }
    (void)pthread_mutex_unlock(&own->updating);
    return code;
}

tr_code tr_graph_read(tr_graph *graph, const tr_tenant *tenant, tr_graph_reading **out, tr_err *err)
{
    tr_graph_reading *own = NULL;
    TR_TRY(hold(graph, tenant->id, &own, err));
    for (;;) {
        const tr_code code = bring_up_to_date(graph, tenant, own, err);
        if (code != TR_OK) {
            tr_graph_let_go(own);
            return code;
        }
        (void)pthread_rwlock_rdlock(&own->lock);
        if (own->state.is_whole) { /* else a replay began, and failed, since */
            *out = own;
            return TR_OK;
        }
        (void)pthread_rwlock_unlock(&own->lock);
    }
}

void tr_graph_done(tr_graph_reading *reading)
{
    if (reading == NULL)
        return;
    (void)pthread_rwlock_unlock(&reading->lock);
    tr_graph_let_go(reading);
}

const tr_clusters *tr_graph_clusters(const tr_graph_reading *reading)
{
    return reading->state.clusters;
}

void tr_graph_batch(const tr_graph_reading *reading, uint32_t number, tr_str *batch,
                    tr_str *dataset)
{
    *batch = tr_str_of(reading->state.batches[number].id);
    *dataset = tr_str_of(reading->state.batches[number].dataset);
}

tr_graph_counts tr_graph_counts_of(const tr_graph_reading *reading)
{
    return reading->state.counts;
}

uint64_t tr_graph_version(const tr_graph_reading *reading)
{
    return reading->version;
}

static tr_code copy_keys(const tr_clusters *clusters, const uint8_t key[16], tr_arena *arena,
                         const uint8_t (**out)[16], uint32_t *count, tr_err *err)
{
    const uint32_t node = tr_clusters_find(clusters, key);
    const uint32_t *members = NULL;
    const uint32_t found = node == TR_NODE_NONE ? 0 : tr_clusters_members(clusters, node, &members);
    uint8_t(*keys)[16] = tr_arena_alloc(arena, (found == 0 ? 1 : found) * sizeof *keys);
    if (keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u identities", found);
    if (found == 0)
        memcpy(keys[0], key, sizeof *keys);
    for (uint32_t i = 0; i < found; i++) {
        tr_node member;
        tr_clusters_describe(clusters, members[i], &member);
        memcpy(keys[i], member.key, sizeof *keys);
    }
    *out = (const uint8_t(*)[16])keys;
    *count = found == 0 ? 1 : found;
    return TR_OK;
}

tr_code tr_graph_keys(tr_graph *graph, const tr_tenant *tenant, const uint8_t key[16],
                      tr_arena *arena, const uint8_t (**out)[16], uint32_t *count, tr_err *err)
{
    tr_graph_reading *reading = NULL;
    TR_TRY(tr_graph_read(graph, tenant, &reading, err));
    const tr_code code = copy_keys(tr_graph_clusters(reading), key, arena, out, count, err);
    tr_graph_done(reading);
    return code;
}
