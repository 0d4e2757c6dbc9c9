/* SPDX-License-Identifier: Apache-2.0 */
/* update.c - brings a tenant's graph up to date with the catalog.
 *
 *     files of the catalog   f1 f2 f3 f4 f5            files that are in   f1 f2 f3    -> f4 f5 are
 *     read
 *                            f1 f3 f4                                      f1 f2 f3    -> all is
 *                            read again
 *
 * New batches always come behind the old ones, so reading on is the same as reading all. Each batch
 * is linked when all of its rows are there. Readers are kept out while that is done; a replay keeps
 * them out until it is whole, unless somebody saw it coming (beside.c).
 */
#include "graph/graph_internal.h"
#include "base/check.h"
#include "os/os.h"
#include "store/sort.h"

#include <stdio.h>
#include <string.h>

enum { TRIES = 8, AHEAD = 12 };

/* The rows of one batch, as they arrived. */
typedef struct batch_rows {
    tr_sheet_row *rows; /* `first` counts in nodes */
    uint32_t row_count, row_cap;
    uint32_t *nodes;
    uint32_t node_count, node_cap;
    uint32_t *order, *spare; /* [order_cap] */
    uint32_t order_cap;
    uint32_t *of_identity; /* the nodes of a sheet's identities */
    uint32_t of_identity_cap;
} batch_rows;

typedef struct updating {
    tr_graph *graph;
    const tr_tenant *tenant;
    tr_graph_state *state;
    bool has_changed; /* its clusters may have */
    tr_graph_classes classes;
    tr_graph_files files;
    uint8_t secret[192];
    batch_rows rows;
    bool is_beside; /* nobody waits for it: it ends when the server stops */
} updating;

tr_code tr_graph_room(void *array, uint32_t count, uint64_t more, uint32_t *cap, size_t size,
                      tr_err *err)
{
    void *old;
    if (count + more <= *cap)
        return TR_OK;
    uint64_t wanted = *cap + (uint64_t)*cap / 2 + 64;
    wanted = wanted < count + more ? count + more : wanted;
    memcpy(&old, array, sizeof old);
    void *fresh = wanted > UINT32_MAX ? NULL : tr_grow_array(old, wanted, size);
    if (fresh == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the identity graph");
    memcpy(array, &fresh, sizeof fresh);
    *cap = (uint32_t)wanted;
    return TR_OK;
}

static void free_rows(batch_rows *rows)
{
    tr_free(rows->rows);
    tr_free(rows->nodes);
    tr_free(rows->order);
    tr_free(rows->spare);
    tr_free(rows->of_identity);
}

/* Every identity is somewhere else in memory: it is fetched while others are looked at. */
static void expect_identity(const tr_clusters *clusters, const tr_sheet *sheet, uint32_t at)
{
    if (at + 2 * AHEAD < sheet->identity_count)
        tr_clusters_expect_key(clusters, sheet->identities[at + 2 * AHEAD].key);
    if (at + AHEAD < sheet->identity_count)
        tr_clusters_expect_node(clusters, sheet->identities[at + AHEAD].key);
}

static void expect_rows(const tr_clusters *clusters, const batch_rows *rows, uint32_t at)
{
    for (uint32_t step = 0; step < 4; step++) {
        const uint32_t ahead = at + (4 - step) * AHEAD / 2;
        if (ahead >= rows->row_count)
            continue;
        const tr_sheet_row *row = &rows->rows[rows->order[ahead]];
        tr_clusters_expect_link(clusters, rows->nodes + row->first, row->count, step);
    }
}

/* A sheet's identities become nodes, its rows are kept until the batch is complete. */
static tr_code take_sheet(updating *u, const tr_sheet *sheet, tr_err *err)
{
    batch_rows *rows = &u->rows;
    tr_clusters *clusters = u->state->clusters;
    TR_TRY(tr_graph_room(&rows->of_identity, 0, sheet->identity_count, &rows->of_identity_cap,
                         sizeof *rows->of_identity, err));
    TR_TRY(tr_graph_room(&rows->rows, rows->row_count, sheet->row_count, &rows->row_cap,
                         sizeof *rows->rows, err));
    TR_TRY(tr_graph_room(&rows->nodes, rows->node_count, sheet->place_count, &rows->node_cap,
                         sizeof *rows->nodes, err));
    for (uint32_t i = 0; i < sheet->identity_count; i++) {
        const tr_sheet_identity *identity = &sheet->identities[i];
        const tr_graph_class *class = &u->classes.list[identity->class];
        expect_identity(clusters, sheet, i);
        TR_TRY(tr_clusters_node(clusters, identity->key, class->code, identity->id, class->kind,
                                &rows->of_identity[i], err));
    }
    for (uint32_t i = 0; i < sheet->row_count; i++) {
        rows->rows[rows->row_count] = sheet->rows[i];
        rows->rows[rows->row_count++].first += rows->node_count;
    }
    for (uint32_t i = 0; i < sheet->place_count; i++)
        rows->nodes[rows->node_count++] = rows->of_identity[sheet->places[i]];
    u->state->counts.rows += sheet->counts.rows;
    u->state->counts.unknown_namespaces += sheet->counts.unknown_namespaces;
    u->state->counts.bad_values += sheet->counts.bad_values;
    return TR_OK;
}

static int compare_tokens(const void *ctx, uint32_t a, uint32_t b)
{
    const tr_sheet_row *rows = ctx;
    return rows[a].token < rows[b].token ? -1 : rows[a].token > rows[b].token;
}

/* Stably, digit by digit from the last: as many digits as the batch's times differ in. */
static void sort_by_time(batch_rows *rows)
{
    enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (uint32_t i = 0; i < rows->row_count; i++) {
        least = rows->rows[i].time_us < least ? rows->rows[i].time_us : least;
        most = rows->rows[i].time_us > most ? rows->rows[i].time_us : most;
    }
    const uint64_t range = (uint64_t)most - (uint64_t)least;
    for (uint32_t shift = 0; shift < 64 && range >> shift != 0; shift += DIGIT_BITS) {
        uint32_t ends[DIGITS + 1] = {0};
        for (uint32_t i = 0; i < rows->row_count; i++)
            ends[(((uint64_t)rows->rows[i].time_us - (uint64_t)least) >> shift) % DIGITS + 1]++;
        for (uint32_t digit = 0; digit < DIGITS; digit++)
            ends[digit + 1] += ends[digit];
        for (uint32_t i = 0; i < rows->row_count; i++) {
            const uint32_t row = rows->order[i];
            const uint64_t after = (uint64_t)rows->rows[row].time_us - (uint64_t)least;
            rows->spare[ends[(after >> shift) % DIGITS]++] = row;
        }
        uint32_t *sorted = rows->spare;
        rows->spare = rows->order;
        rows->order = sorted;
    }
}

/* By time, then token, then arrival. Files come sorted by token, so that the first sort has little
 * to do. */
static tr_code order_rows(batch_rows *rows, tr_err *err)
{
    const uint32_t count = rows->row_count;
    uint32_t cap = rows->order_cap;
    TR_TRY(tr_graph_room(&rows->order, 0, count, &cap, sizeof *rows->order, err));
    TR_TRY(tr_graph_room(&rows->spare, 0, count, &rows->order_cap, sizeof *rows->spare, err));
    for (uint32_t i = 0; i < count; i++)
        rows->order[i] = i;
    tr_sort_rows(rows->order, rows->spare, count, compare_tokens, rows->rows);
    sort_by_time(rows);
    return TR_OK;
}

static tr_code add_batch(tr_graph_state *state, const tr_graph_file *file, tr_err *err)
{
    TR_TRY(tr_graph_room(&state->batches, state->batch_count, 1, &state->batch_cap,
                         sizeof *state->batches, err));
    tr_graph_batch_entry *entry = &state->batches[state->batch_count++];
    (void)snprintf(entry->id, sizeof entry->id, "%s", file->batch);
    (void)snprintf(entry->dataset, sizeof entry->dataset, "%s", file->dataset);
    return TR_OK;
}

/* All rows of the batch are there: [first, end) are its files. */
static tr_code link_batch(updating *u, uint32_t first, uint32_t end, tr_err *err)
{
    batch_rows *rows = &u->rows;
    tr_graph_state *state = u->state;
    if (rows->row_count > 0) {
        TR_TRY(order_rows(rows, err));
        TR_TRY(add_batch(state, &u->files.list[first], err));
        u->has_changed = true;
    }
    for (uint32_t i = 0; i < rows->row_count; i++) {
        const tr_sheet_row *row = &rows->rows[rows->order[i]];
        expect_rows(state->clusters, rows, i);
        const tr_link_row link = {.nodes = rows->nodes + row->first,
                                  .count = row->count,
                                  .batch = state->batch_count - 1,
                                  .time_us = row->time_us,
                                  .recorded_us = u->files.list[first].ingested_us};
        TR_TRY(tr_clusters_link(state->clusters, &link, err));
    }
    rows->row_count = rows->node_count = 0;
    for (uint32_t i = first; i < end; i++)
        TR_TRY(tr_graph_files_add(&state->files, &u->files.list[i], err));
    return TR_OK;
}

static bool is_same_batch(const tr_graph_file *a, const tr_graph_file *b)
{
    return strcmp(a->batch, b->batch) == 0 && a->ingested_us == b->ingested_us;
}

/* Links batch by batch, and keeps the last one's rows until it is known to be complete. What a
 * batch that fails half-way counted is taken back. */
static tr_code read_on(updating *u, tr_feed *feed, uint32_t from, tr_err *err)
{
    const tr_graph_files *files = &u->files;
    tr_graph_counts *counts = &u->state->counts, before = *counts;
    const tr_sheet *sheet = NULL;
    uint32_t first = from, file = 0;
    do {
        const tr_code code = tr_feed_next(feed, &sheet, &file, err);
        if (code != TR_OK) {
            *counts = before;
            return code;
        }
        file += from;
        while (first < files->count &&
               (sheet == NULL || !is_same_batch(&files->list[first], &files->list[file]))) {
            uint32_t end = first + 1;
            while (end < files->count && is_same_batch(&files->list[first], &files->list[end]))
                end++;
            TR_TRY(link_batch(u, first, end, err));
            before = *counts;
            first = end;
        }
        if (sheet != NULL)
            TR_TRY(take_sheet(u, sheet, err));
        if (u->is_beside && atomic_load(&u->graph->is_stopping))
            return TR_FAIL(err, TR_CANCELLED, "the server stops");
    } while (sheet != NULL);
    return TR_OK;
}

/* How many of the files that are in are the first of the catalog's: all of them, or it must be read
 * anew. */
static bool is_read_on(const tr_graph_state *state, const tr_graph_files *files,
                       const tr_graph_classes *classes)
{
    if (state->clusters == NULL || state->files.count > files->count)
        return false;
    if (state->class_digest != classes->digest && state->counts.unknown_namespaces > 0)
        return false;
    for (uint32_t i = 0; i < state->files.count; i++)
        if (!tr_graph_file_same(&state->files.list[i], &files->list[i]))
            return false;
    return true;
}

/* Reads what of the files the state has not. */
static tr_code read_rest(updating *u, tr_err *err)
{
    tr_feed *feed = NULL;
    tr_graph_state *state = u->state;
    const uint32_t from = state->files.count;
    state->class_digest = u->classes.digest;
    const tr_feed_spec spec = {.lake = u->graph->lake,
                               .tenant = u->tenant,
                               .files = u->files.list + from,
                               .file_count = u->files.count - from,
                               .classes = &u->classes,
                               .secret = u->secret};
    if (from == u->files.count) {
        state->is_whole = true;
        return TR_OK;
    }
    TR_TRY(tr_feed_open(&spec, &feed, err));
    const tr_code code = read_on(u, feed, from, err);
    tr_feed_close(feed);
    state->is_whole = state->is_whole || code == TR_OK;
    if (code == TR_NO_MEMORY || code == TR_LIMIT) /* it may have ended within a row */
        tr_graph_state_free(state);
    return code;
}

/* The lock is held for writing. What was prepared is what a replay would give, if the catalog's
 * files are those that it was made of: then the two change places; the old one is freed by who
 * prepared, while nobody waits. */
static tr_code apply(updating *u, tr_graph_reading *own, tr_err *err)
{
    if (is_read_on(&own->state, &u->files, &u->classes))
        return read_rest(u, err);
    u->has_changed = true;
    if (is_read_on(&own->prepared, &u->files, &u->classes)) {
        const tr_graph_state old = own->state;
        own->state = own->prepared;
        own->prepared = old;
    } else {
        tr_graph_state_free(&own->state);
        TR_TRY(tr_clusters_new(&own->state.clusters, err));
    }
    return read_rest(u, err);
}

static void end_update(updating *u)
{
    free_rows(&u->rows);
    u->rows = (batch_rows){0};
    tr_graph_classes_free(&u->classes);
    tr_graph_files_free(&u->files);
}

static tr_code update_once(updating *u, tr_graph_reading *own, tr_err *err)
{
    tr_code code = tr_graph_classes_read(u->graph->catalog, u->tenant, &u->classes, err);
    if (code == TR_OK)
        code = tr_graph_files_read(u->graph->catalog, u->tenant, &own->known, &u->files, err);
    if (code == TR_OK)
        code = tr_catalog_secret(u->graph->catalog, u->tenant, u->secret, err);
    if (code == TR_OK) {
        (void)pthread_rwlock_wrlock(&own->lock);
        u->has_changed = false;
        code = apply(u, own, err);
        own->version += u->has_changed;
        (void)pthread_rwlock_unlock(&own->lock);
    }
    end_update(u);
    return code;
}

tr_code tr_graph_replay_beside(const tr_graph_replay *replay, tr_graph_state *out, tr_err *err)
{
    updating u = {
        .graph = replay->graph, .tenant = replay->tenant, .state = out, .is_beside = true};
    tr_catalog *catalog = replay->graph->catalog;
    tr_crash_point("graph_read_beside");
    tr_code code = tr_graph_classes_read(catalog, replay->tenant, &u.classes, err);
    if (code == TR_OK)
        code = tr_catalog_secret(catalog, replay->tenant, u.secret, err);
    if (code == TR_OK)
        code = tr_clusters_new(&out->clusters, err);
    u.files = *replay->files; /* borrowed */
    if (code == TR_OK)
        code = read_rest(&u, err);
    u.files = (tr_graph_files){0};
    end_update(&u);
    if (code != TR_OK)
        tr_graph_state_free(out);
    return code;
}

/* A batch may be removed between the catalog's answer and the opening of its file: then the catalog
 * is asked again. A file that is missing every time is damage. */
tr_code tr_graph_update(tr_graph *graph, const tr_tenant *tenant, tr_graph_reading *own,
                        tr_err *err)
{
    updating u = {.graph = graph, .tenant = tenant, .state = &own->state};
    tr_code code = TR_NOT_FOUND;
    for (int i = 0; i < TRIES && code == TR_NOT_FOUND; i++)
        code = update_once(&u, own, err);
    if (code != TR_NOT_FOUND)
        return code;
    const tr_err why = err == NULL ? (tr_err){0} : *err;
    return TR_FAIL(err, TR_CORRUPT, "a file of the identity graph is missing: %s", why.text);
}
