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
    (void)pthread_mutex_init(&graph->mutex, NULL);
    *out = graph;
    return TR_OK;
}

void tr_graph_state_free(tr_graph_state *state)
{
    tr_clusters_free(state->clusters);
    tr_free(state->batches);
    *state = (tr_graph_state){0};
}

static void free_reading(tr_graph_reading *own)
{
    tr_graph_state_free(&own->state);
    (void)pthread_rwlock_destroy(&own->lock);
    (void)pthread_mutex_destroy(&own->updating);
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
