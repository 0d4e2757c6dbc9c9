/* SPDX-License-Identifier: Apache-2.0 */
/* beside.c - the graph that will be, read beside the one in force.
 *
 *     files of the catalog   f1 f2 f3      state in force   f1 f2 f3     lookups go on
 *     a deletion wrote       f2r7 for f2   state prepared   f1 f2r7 f3   read meanwhile
 *     its transaction        f1 f2r7 f3    whoever asks now finds the prepared one to be of
 *                                          these files, and the two change places (update.c)
 *
 * A batch that is reverted or replaced, or a dataset that is removed: the same without its files.
 *
 * That a graph was read from a list of files, each known by its hash, is all there is to it: a list
 * that the catalog does not have is of no use, and does no harm. It costs the memory of a second
 * graph for a while, so it is done only where there is plenty.
 */
#include "base/limits.h"
#include "base/log.h"
#include "base/priority.h"
#include "graph/graph_internal.h"

#include <stdio.h>
#include <stdlib.h>

enum { NODE_BYTES = 150, LINK_BYTES = 100 }; /* measured: 583 MB of 3.15 and 2.2 million */

/* A number in a file of the kernel's, behind `name`; false: there is none. */
static bool read_number(const char *path, const char *name, uint64_t *out)
{
    char line[128];
    bool is_found = false;
    FILE *file = fopen(path, "re");
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        const char *at = line + strlen(name);
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        at += strspn(at, " ");
        int64_t value = 0;
        is_found = tr_str_to_i64((tr_str){(const uint8_t *)at, strspn(at, "0123456789")}, &value);
        *out = (uint64_t)value;
    }
    if (file != NULL)
        (void)fclose(file);
    return is_found;
}

/* Of this machine, and of the group of processes that a container is. 0: not known. */
static uint64_t memory_available(void)
{
    uint64_t kilobytes = 0, most = 0, now = 0;
    if (!read_number("/proc/meminfo", "MemAvailable:", &kilobytes))
        return 0;
    uint64_t bytes = kilobytes * 1024;
    if (read_number("/sys/fs/cgroup/memory.max", "", &most) &&
        read_number("/sys/fs/cgroup/memory.current", "", &now)) {
        const uint64_t left = most > now ? most - now : 0;
        bytes = left < bytes ? left : bytes;
    }
    return bytes;
}

static bool is_taken_back(const tr_graph_file *file, const tr_graph_preparation *p)
{
    bool is_gone = p->dataset != NULL && strcmp(file->dataset, p->dataset) == 0;
    for (uint32_t i = 0; i < p->batch_count && !is_gone; i++)
        is_gone = strcmp(file->batch, p->batches[i]) == 0;
    return is_gone;
}

/* Whether the graph in force was read from a file that goes: else nothing has to be read again. */
static bool is_touched(tr_graph_reading *own, const tr_graph_preparation *p)
{
    (void)pthread_rwlock_rdlock(&own->lock);
    const tr_graph_files *files = &own->state.files;
    bool is_its = p->count > 0;
    for (uint32_t i = 0; i < files->count && !is_its; i++)
        is_its = is_taken_back(&files->list[i], p);
    (void)pthread_rwlock_unlock(&own->lock);
    return is_its;
}

/* Whether there is a graph in force, and memory for another one twice. */
static bool is_worth_it(tr_graph_reading *own)
{
    tr_clusters_stats stats = {0};
    (void)pthread_rwlock_rdlock(&own->lock);
    const bool is_known = own->state.is_whole && own->state.clusters != NULL;
    if (is_known)
        tr_clusters_stats_of(own->state.clusters, &stats);
    (void)pthread_rwlock_unlock(&own->lock);
    return is_known &&
           2 * (stats.nodes * NODE_BYTES + stats.links * LINK_BYTES) <= memory_available();
}

static int compare_old_ids(const void *left, const void *right)
{
    return strcmp((*(const tr_exchanged_file *const *)left)->old_id,
                  (*(const tr_exchanged_file *const *)right)->old_id);
}

static const tr_exchanged_file *find_exchanged(const tr_graph_file *file,
                                               const tr_exchanged_file *const *by_id,
                                               uint32_t count)
{
    const tr_exchanged_file key = {.old_id = file->id}, *const wanted = &key;
    const tr_exchanged_file *const *found =
        bsearch(&wanted, by_id, count, sizeof(const tr_exchanged_file *), compare_old_ids);
    return found == NULL ? NULL : *found;
}

/* False: the file goes. */
static bool exchange_file(tr_graph_file *file, const tr_exchanged_file *exchanged)
{
    const tr_rewritten_file *by = exchanged->file;
    (void)snprintf(file->id, sizeof file->id, "%s", exchanged->new_id);
    (void)snprintf(file->name, sizeof file->name, "%s", by->name);
    (void)snprintf(file->xxh128, sizeof file->xxh128, "%s", by->written.xxh128);
    file->bytes = by->written.bytes;
    file->rows = by->rows.rows;
    return by->name[0] != '\0';
}

/* The list of files as it will be. */
static tr_code exchange(tr_graph_files *files, const tr_graph_preparation *p, tr_err *err)
{
    uint32_t kept = 0;
    const tr_exchanged_file **by_id = tr_alloc_array(p->count + 1, sizeof *by_id);
    if (by_id == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u files", p->count);
    for (uint32_t i = 0; i < p->count; i++)
        by_id[i] = &p->exchanged[i];
    qsort(by_id, p->count, sizeof(const tr_exchanged_file *), compare_old_ids);
    for (uint32_t i = 0; i < files->count; i++) {
        tr_graph_file file = files->list[i];
        const bool is_gone = is_taken_back(&file, p);
        const tr_exchanged_file *by = is_gone ? NULL : find_exchanged(&file, by_id, p->count);
        if (!is_gone && (by == NULL || exchange_file(&file, by)))
            files->list[kept++] = file;
    }
    files->count = kept;
    tr_graph_files_sort(files);
    tr_free(by_id);
    return TR_OK;
}

static tr_code read_beside(tr_graph *graph, const tr_tenant *tenant, const tr_graph_preparation *p,
                           tr_graph_state *out, tr_err *err)
{
    tr_graph_files known = {0}, files = {0};
    TR_TRY(tr_graph_files_read(graph->catalog, tenant, &known, &files, err));
    const tr_graph_replay replay = {.graph = graph, .tenant = tenant, .files = &files};
    tr_code code = exchange(&files, p, err);
    if (code == TR_OK)
        code = tr_graph_replay_beside(&replay, out, err);
    tr_graph_files_free(&known);
    tr_graph_files_free(&files);
    return code;
}

typedef struct coming_state {
    tr_graph *graph;
    const tr_tenant *tenant;
    const tr_graph_preparation *preparation;
    tr_graph_state state;
    tr_code code;
    tr_err err;
} coming_state;

static void *read_standing_back(void *ctx)
{
    coming_state *r = ctx;
    tr_thread_stand_back(TR_NICE_COMPUTE); /* and the threads that it makes */
    r->code = read_beside(r->graph, r->tenant, r->preparation, &r->state, &r->err);
    return NULL;
}

/* Whoever asks for it may answer over HTTP: a thread that stood back could not come forward again,
 * so the reading has its own. */
static tr_code read_behind_lookups(coming_state *r)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_standing_back, r) != 0)
        return TR_FAIL(&r->err, TR_NO_MEMORY, "no thread to read the graph");
    (void)pthread_join(thread, NULL);
    return r->code;
}

static void put_prepared(tr_graph_reading *own, tr_graph_state state)
{
    (void)pthread_mutex_lock(&own->updating);
    tr_graph_state old = own->prepared;
    own->prepared = state;
    (void)pthread_mutex_unlock(&own->updating);
    tr_graph_state_free(&old);
}

/* Turns ------------------------------------------------------------------------------------- */

static bool enter(tr_graph *graph)
{
    (void)pthread_mutex_lock(&graph->mutex);
    const bool is_in = graph->preparations < TR_GRAPH_PREPARATIONS_MAX;
    graph->preparations += is_in;
    (void)pthread_mutex_unlock(&graph->mutex);
    return is_in;
}

static void leave(tr_graph *graph)
{
    (void)pthread_mutex_lock(&graph->mutex);
    graph->preparations--;
    (void)pthread_mutex_unlock(&graph->mutex);
}

/* What the next one prepares begins with what this one commits. NULL: it is not its turn. */
static tr_graph_reading *take_turn(tr_graph *graph, const tr_tenant *tenant,
                                   const tr_graph_preparation *p)
{
    tr_graph_reading *own = tr_graph_hold_known(graph, tenant->id);
    if (own == NULL)
        return NULL;
    if (!is_touched(own, p) || !enter(graph)) {
        tr_graph_let_go(own);
        return NULL;
    }
    (void)pthread_mutex_lock(&own->preparing);
    return own;
}

void tr_graph_prepare(tr_graph *graph, const tr_tenant *tenant, tr_graph_preparation *p)
{
    coming_state r = {.graph = graph, .tenant = tenant, .preparation = p};
    if (p->held == NULL)
        p->held = take_turn(graph, tenant, p);
    if (p->held == NULL)
        return;
    put_prepared(p->held, r.state); /* an earlier try's: not three at once */
    if (!is_touched(p->held, p) || !is_worth_it(p->held))
        return;
    if (read_behind_lookups(&r) == TR_OK)
        put_prepared(p->held, r.state);
    else
        tr_log(TR_LOG_INFO, "graph", "graph_not_prepared", "text=\"%s\"", r.err.text);
}

void tr_graph_prepare_end(tr_graph *graph, const tr_tenant *tenant, tr_graph_preparation *p,
                          bool is_in_force)
{
    tr_graph_reading *reading = NULL;
    if (p->held == NULL)
        return;
    if (is_in_force && tr_graph_read(graph, tenant, &reading, NULL) == TR_OK)
        tr_graph_done(reading); /* it has taken it */
    put_prepared(p->held, (tr_graph_state){0});
    (void)pthread_mutex_unlock(&p->held->preparing);
    leave(graph);
    tr_graph_let_go(p->held);
    p->held = NULL;
}
