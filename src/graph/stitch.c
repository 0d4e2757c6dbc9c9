/* SPDX-License-Identifier: Apache-2.0 */
/* stitch.c - the runs of a snapshot by cluster; see graph.h.
 *
 *     graph  --freeze-->  moves, anchors  --look-->  runs with rows that move  --find or make-->
 *     ids
 *                                         --------->  members' runs            --find or make-->
 *                                         ids
 *
 * A stitched run is found again by a digest of the moves of its rows, so what did not change is not
 * made again, also after a restart. What a tenant's snapshot was last stitched into is remembered
 * with the graph's version: then nothing is looked at. Tenants do not wait for each other; of one
 * tenant one snapshot is stitched at a time, its runs on several threads. The graph is locked while
 * it is frozen and its members are written, not while runs are.
 */
#include "graph/freeze.h"
#include "graph/graph_internal.h"
#include "store/stitched.h"

#include <stdio.h>
#include <unistd.h>

enum { THREADS_MAX = 8, CLUSTERS_PER_RUN = 256 * 1024, KNOWN_MIN = 1024 };
#define MEMBERS_FOLDER "members" /* stands for a dataset in the lake */

/* ---- who stitches, and what was stitched last */

typedef struct tenant_work {
    struct tenant_work *next;
    int64_t tenant;
    bool is_busy;
    uint64_t version; /* of the graph */
    json_t *runs; /* {"<run>": "<what stands for it>", "": [members' runs]}; NULL: nothing yet */
} tenant_work;

struct tr_stitcher {
    pthread_mutex_t mutex;
    pthread_cond_t is_free;
    tenant_work *tenants;
};

tr_code tr_stitcher_open(tr_stitcher **out, tr_err *err)
{
    tr_stitcher *stitcher = tr_alloc_zeroed(1, sizeof *stitcher);
    if (stitcher == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to stitch");
    (void)pthread_mutex_init(&stitcher->mutex, NULL);
    (void)pthread_cond_init(&stitcher->is_free, NULL);
    *out = stitcher;
    return TR_OK;
}

void tr_stitcher_close(tr_stitcher *stitcher)
{
    if (stitcher == NULL)
        return;
    while (stitcher->tenants != NULL) {
        tenant_work *next = stitcher->tenants->next;
        json_decref(stitcher->tenants->runs);
        tr_free(stitcher->tenants);
        stitcher->tenants = next;
    }
    (void)pthread_mutex_destroy(&stitcher->mutex);
    (void)pthread_cond_destroy(&stitcher->is_free);
    tr_free(stitcher);
}

/* The tenant's place, for nobody else until `leave`. */
static tr_code enter(tr_stitcher *stitcher, int64_t tenant, tenant_work **out, tr_err *err)
{
    tr_code code = TR_OK;
    (void)pthread_mutex_lock(&stitcher->mutex);
    tenant_work *own = stitcher->tenants;
    while (own != NULL && own->tenant != tenant)
        own = own->next;
    if (own == NULL) {
        own = tr_alloc_zeroed(1, sizeof *own);
        if (own == NULL) {
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory to stitch");
        } else {
            own->tenant = tenant;
            own->next = stitcher->tenants;
            stitcher->tenants = own;
        }
    }
    while (code == TR_OK && own->is_busy)
        (void)pthread_cond_wait(&stitcher->is_free, &stitcher->mutex);
    if (code == TR_OK)
        own->is_busy = true;
    (void)pthread_mutex_unlock(&stitcher->mutex);
    *out = own;
    return code;
}

static void leave(tr_stitcher *stitcher, tenant_work *own)
{
    (void)pthread_mutex_lock(&stitcher->mutex);
    own->is_busy = false;
    (void)pthread_cond_broadcast(&stitcher->is_free);
    (void)pthread_mutex_unlock(&stitcher->mutex);
}

/* ---- one snapshot */

typedef struct work {
    tr_graph *graph;
    const tr_tenant *tenant;
    const tr_graph_order *order;
    tr_frozen frozen;
    uint32_t count;      /* runs of the snapshot, then memberships */
    char (*ids)[48];     /* what stands for each; of a membership "": nothing moved */
    char (*digests)[33]; /* "": nothing moved */
    _Atomic uint32_t next;
    pthread_mutex_t mutex; /* code, why */
    tr_code code;
    tr_err why;
} work;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to stitch a snapshot");
}

static tr_code check_cancel(const work *w, tr_err *err)
{
    if (w->order->cancel != NULL && atomic_load_explicit(w->order->cancel, memory_order_relaxed))
        return TR_FAIL(err, TR_CANCELLED, "the work was cancelled");
    return TR_OK;
}

static const tr_run *run_at(const work *w, uint32_t index)
{
    const uint32_t own = w->order->snapshot->run_count;
    return index < own ? w->order->snapshot->runs[index] : w->order->memberships[index - own];
}

typedef struct rekeying {
    const work *work;
    const tr_run *run;
    tr_sink sink;
    char scratch[4096];
} rekeying;

static tr_code put_bytes(void *ctx, tr_str bytes, tr_err *err)
{
    const rekeying *r = ctx;
    TR_TRY(check_cancel(r->work, err));
    return r->sink.write(r->sink.ctx, bytes, err);
}

static tr_code write_run(void *ctx, tr_sink sink, uint64_t *rows, tr_err *err)
{
    rekeying *r = ctx;
    tr_refolded refolded;
    r->sink = sink;
    TR_TRY(tr_rekey(r->run, &r->work->frozen.moves, r->scratch, TR_REKEY_CHUNK_ROWS,
                    (tr_sink){put_bytes, r}, &refolded, err));
    *rows = refolded.rows;
    return TR_OK;
}

/* The name of a run's file, and of the kind of its object. */
static tr_code find_source(const work *w, const tr_run *run, tr_object *source, const char **kind,
                           tr_err *err)
{
    *kind = "file";
    tr_code code = tr_catalog_get(w->graph->catalog, w->tenant, *kind, run->id, source, err);
    if (code == TR_NOT_FOUND) {
        *kind = "run";
        code = tr_catalog_get(w->graph->catalog, w->tenant, *kind, run->id, source, err);
    }
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_NOT_FOUND, "run %s is gone", run->id) : code;
}

static tr_code make_run(const work *w, uint32_t index, tr_err *err)
{
    const tr_run *run = run_at(w, index);
    const bool is_membership = index >= w->order->snapshot->run_count;
    const char *kind = "membership_run";
    tr_object source = {0};
    rekeying *r = tr_alloc_zeroed(1, sizeof *r);
    if (r == NULL)
        return no_memory(err);
    *r = (rekeying){.work = w, .run = run};
    (void)snprintf(r->scratch, sizeof r->scratch, "%s/stitch-%s", tr_lake_scratch(w->graph->lake),
                   tr_id_ulid().text);
    tr_code code = is_membership ? TR_OK : find_source(w, run, &source, &kind, err);
    const tr_stitched_new of = {.source = run->id,
                                .source_kind = kind,
                                .digest = w->digests[index],
                                .dataset = run->dataset,
                                .name = is_membership ? "membership.parquet"
                                                      : tr_json_text(source.doc, "name", ""),
                                .behavior = is_membership ? "membership" : NULL};
    if (code == TR_OK)
        code = tr_stitched_make(w->graph->store, w->tenant, &of, write_run, r, w->ids[index], err);
    tr_object_clear(&source);
    tr_free(r);
    return code;
}

/* Finds or makes what stands for a run. */
static tr_code do_run(const work *w, uint32_t index, tr_err *err)
{
    const tr_run *run = run_at(w, index);
    const bool is_membership = index >= w->order->snapshot->run_count;
    tr_rekey_look look;
    TR_TRY(check_cancel(w, err));
    TR_TRY(tr_rekey_look_at(run, &w->frozen.moves, &look, err));
    if (look.rows == 0) {
        if (!is_membership)
            (void)snprintf(w->ids[index], sizeof w->ids[index], "%s", run->id);
        return TR_OK;
    }
    tr_hash128_text(look.digest, w->digests[index]);
    const tr_code code = tr_stitched_find(w->graph->store, w->tenant, run->id, w->digests[index],
                                          w->ids[index], err);
    return code == TR_NOT_FOUND ? make_run(w, index, err) : code;
}

static void *do_runs(void *ctx)
{
    work *w = ctx;
    for (;;) {
        tr_err err = {0};
        const uint32_t index = atomic_fetch_add(&w->next, 1);
        if (index >= w->count)
            return NULL;
        const tr_code code = do_run(w, index, &err);
        if (code == TR_OK)
            continue;
        (void)pthread_mutex_lock(&w->mutex);
        if (w->code == TR_OK) {
            w->code = code;
            w->why = err;
        }
        (void)pthread_mutex_unlock(&w->mutex);
        atomic_store(&w->next, w->count); /* nobody begins another */
        return NULL;
    }
}

static tr_code do_all(work *w, tr_err *err)
{
    pthread_t threads[THREADS_MAX];
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t started = 0;
    (void)pthread_mutex_init(&w->mutex, NULL);
    for (; started + 1 < w->count && started + 1 < THREADS_MAX && (long)started + 1 < cores;
         started++)
        if (pthread_create(&threads[started], NULL, do_runs, w) != 0)
            break; /* this one does it all */
    (void)do_runs(w);
    for (uint32_t i = 0; i < started; i++)
        (void)pthread_join(threads[i], NULL);
    (void)pthread_mutex_destroy(&w->mutex);
    if (w->code != TR_OK)
        return TR_FAIL(err, w->code, "%s", w->why.text);
    return TR_OK;
}

/* What was stitched of these runs by other clusters is of use no more. */
static tr_code supersede(const work *w, tr_err *err)
{
    const char **digests = tr_alloc_array((size_t)w->count + 1, sizeof *digests);
    if (digests == NULL)
        return no_memory(err);
    tr_code code = TR_OK;
    for (uint32_t from = 0, to; from < w->count && code == TR_OK; from = to) {
        uint32_t count = 0;
        const char *source = run_at(w, from)->id;
        for (to = from; to < w->count && strcmp(run_at(w, to)->id, source) == 0; to++)
            digests[count++] = w->digests[to];
        code = tr_stitched_supersede(w->graph->store, w->tenant, source, digests, count, err);
    }
    tr_free(digests);
    return code;
}

/* ---- members */

typedef struct listing {
    const tr_clusters *clusters;
    const tr_frozen *frozen;
    uint32_t from, to;
} listing;

static tr_code write_members(void *ctx, tr_sink sink, uint64_t *rows, tr_err *err)
{
    const listing *l = ctx;
    *rows = l->to - l->from;
    return tr_members_write(l->clusters, l->frozen, l->from, l->to, sink, err);
}

/* Adds the ids of the members' runs to `ids`; the graph is held for reading. */
static tr_code list_members(const work *w, const tr_clusters *clusters, json_t *ids, tr_err *err)
{
    const tr_frozen *frozen = &w->frozen;
    const uint32_t pieces = (frozen->anchor_count + CLUSTERS_PER_RUN - 1) / CLUSTERS_PER_RUN;
    char digest[64], id[48];
    const char **digests = tr_alloc_array((size_t)pieces + 1, sizeof *digests);
    char(*texts)[64] = tr_alloc_array((size_t)pieces + 1, sizeof *texts);
    tr_code code = digests == NULL || texts == NULL ? no_memory(err) : TR_OK;
    for (uint32_t p = 0; p < pieces && code == TR_OK; p++) {
        listing l = {.clusters = clusters, .frozen = frozen, .from = p * CLUSTERS_PER_RUN};
        const uint32_t left = frozen->anchor_count - l.from;
        l.to = l.from + (left < CLUSTERS_PER_RUN ? left : CLUSTERS_PER_RUN);
        (void)snprintf(digest, sizeof digest, "%s-%u", frozen->digest, p);
        memcpy(texts[p], digest, sizeof digest);
        digests[p] = texts[p];
        const tr_stitched_new of = {.source = TR_STITCHED_MEMBERS,
                                    .source_kind = "",
                                    .digest = digest,
                                    .dataset = MEMBERS_FOLDER,
                                    .name = "members.parquet",
                                    .behavior = "members"};
        code = check_cancel(w, err);
        if (code == TR_OK)
            code = tr_stitched_find(w->graph->store, w->tenant, of.source, digest, id, err);
        if (code == TR_NOT_FOUND)
            code = tr_stitched_make(w->graph->store, w->tenant, &of, write_members, &l, id, err);
        if (code == TR_OK && json_array_append_new(ids, json_string(id)) != 0)
            code = no_memory(err);
    }
    if (code == TR_OK)
        code = tr_stitched_supersede(w->graph->store, w->tenant, TR_STITCHED_MEMBERS, digests,
                                     pieces, err);
    tr_free(digests);
    tr_free(texts);
    return code;
}

/* ---- all of it */

/* Whether what an earlier answer named is still there. */
static bool is_there(const work *w, const char *id)
{
    return tr_stitched_is_there(w->graph->store, w->tenant, id);
}

enum { KEY_BYTES = 96 };

/* What tells a run from others of any snapshot: of a membership its place in it, and its rows, as
 * all its files have the membership's id. */
static void name_run(const work *w, uint32_t index, char out[KEY_BYTES])
{
    const tr_run *run = run_at(w, index);
    uint32_t first = index;
    if (index < w->order->snapshot->run_count) {
        (void)snprintf(out, KEY_BYTES, "%s", run->id);
        return;
    }
    while (first > w->order->snapshot->run_count && strcmp(run_at(w, first - 1)->id, run->id) == 0)
        first--;
    (void)snprintf(out, KEY_BYTES, "%s:%u:%llu", run->id, index - first,
                   (unsigned long long)run->rows);
}

/* The answer as remembered; *out stays NULL when something has to be done. */
static tr_code recall(const work *w, const json_t *known, json_t **out, tr_err *err)
{
    json_t *ids = json_copy(json_object_get(known, ""));
    bool is_known = ids != NULL;
    for (size_t i = 0; is_known && i < json_array_size(ids); i++)
        is_known = is_there(w, json_string_value(json_array_get(ids, i)));
    for (uint32_t i = 0; is_known && i < w->count; i++) {
        char key[KEY_BYTES];
        name_run(w, i, key);
        const char *id = tr_json_text(known, key, NULL);
        is_known =
            id != NULL && (id[0] == '\0' || strcmp(id, run_at(w, i)->id) == 0 || is_there(w, id));
        if (is_known && id[0] != '\0' && json_array_append_new(ids, json_string(id)) != 0) {
            json_decref(ids);
            return no_memory(err);
        }
    }
    if (is_known)
        *out = ids;
    else
        json_decref(ids);
    return TR_OK;
}

/* Remembers the answer, and gives it. members  ids */
static tr_code remember(const work *w, tenant_work *own, uint64_t version, json_t *members,
                        json_t **out, tr_err *err)
{
    const size_t most = 4 * (size_t)w->count + KNOWN_MIN; /* of what was folded since, nothing */
    const bool is_more = own->runs != NULL && own->version == version && /* of other runs, too */
                         json_object_size(own->runs) < most;
    json_t *known = is_more ? json_copy(own->runs) : json_object();
    json_t *ids = json_copy(members);
    bool is_good = known != NULL && ids != NULL && json_object_set(known, "", members) == 0;
    for (uint32_t i = 0; is_good && i < w->count; i++) {
        char key[KEY_BYTES];
        name_run(w, i, key);
        is_good = json_object_set_new(known, key, json_string(w->ids[i])) == 0;
        if (is_good && w->ids[i][0] != '\0')
            is_good = json_array_append_new(ids, json_string(w->ids[i])) == 0;
    }
    if (!is_good) {
        json_decref(known);
        json_decref(ids);
        return no_memory(err);
    }
    json_decref(own->runs);
    own->runs = known;
    own->version = version;
    *out = ids;
    return TR_OK;
}

/* Holds the graph for as long as it is frozen and its members are written. */
static tr_code freeze(work *w, tenant_work *own, uint64_t *version, json_t *members, json_t **out,
                      tr_err *err)
{
    tr_graph_reading *reading = NULL;
    TR_TRY(tr_graph_read(w->graph, w->tenant, &reading, err));
    *version = tr_graph_version(reading);
    tr_code code = TR_OK;
    if (own->runs != NULL && own->version == *version)
        code = recall(w, own->runs, out, err);
    if (code == TR_OK && *out == NULL)
        code = tr_freeze(tr_graph_clusters(reading), &w->frozen, err);
    if (code == TR_OK && *out == NULL)
        code = list_members(w, tr_graph_clusters(reading), members, err);
    tr_graph_done(reading);
    return code;
}

static tr_code stitch(work *w, tenant_work *own, json_t **out, tr_err *err)
{
    uint64_t version = 0;
    json_t *members = json_array();
    w->ids = tr_alloc_zeroed((size_t)w->count + 1, sizeof *w->ids);
    w->digests = tr_alloc_zeroed((size_t)w->count + 1, sizeof *w->digests);
    tr_code code = w->ids == NULL || w->digests == NULL || members == NULL ? no_memory(err) : TR_OK;
    if (code == TR_OK)
        code = freeze(w, own, &version, members, out, err);
    const bool is_recalled = code == TR_OK && *out != NULL;
    if (code == TR_OK && !is_recalled)
        code = do_all(w, err);
    if (code == TR_OK && !is_recalled)
        code = supersede(w, err);
    if (code == TR_OK && !is_recalled)
        code = remember(w, own, version, members, out, err);
    json_decref(members);
    tr_frozen_clear(&w->frozen);
    tr_free(w->ids);
    tr_free(w->digests);
    return code;
}

tr_code tr_graph_stitch(tr_graph *graph, const tr_tenant *tenant, const tr_graph_order *order,
                        json_t **runs, tr_err *err)
{
    tenant_work *own = NULL;
    json_t *ids = NULL;
    work w = {.graph = graph,
              .tenant = tenant,
              .order = order,
              .count = order->snapshot->run_count + order->membership_count};
    TR_TRY(enter(graph->stitcher, tenant->id, &own, err));
    const tr_code code = stitch(&w, own, &ids, err);
    leave(graph->stitcher, own);
    if (code == TR_OK)
        *runs = ids;
    return code;
}

tr_code tr_graph_snapshot_of(tr_graph *graph, const tr_tenant *tenant, const json_t *runs,
                             tr_snapshot **out, tr_err *err)
{
    return tr_store_snapshot_of(graph->store, tenant, runs, out, err);
}

tr_code tr_graph_sweep(tr_graph *graph, const tr_tenant *tenant, tr_err *err)
{
    return tr_stitched_sweep(graph->store, tenant, false, err);
}

tr_code tr_graph_sweep_all(tr_graph *graph, tr_err *err)
{
    tr_tenant *tenants = NULL;
    uint32_t count = 0;
    tr_code code = tr_catalog_tenants_with(graph->catalog, "stitched", &tenants, &count, err);
    for (uint32_t i = 0; i < count && code == TR_OK; i++)
        code = tr_graph_sweep(graph, &tenants[i], err);
    tr_free(tenants);
    return code;
}
