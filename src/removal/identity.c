/* SPDX-License-Identifier: Apache-2.0 */
/* identity.c - jobs about identities: several of one tenant are done together, their files
 * rewritten once.
 *
 *     begin       IN-PROGRESS, with a number: rewritten files are named by it
 *     prepare     files, runs and runs of members that name one of them, rewritten without them
 *                 the graph that will be, read beside the one in force
 *     ONE transaction   the new ones in the places of the old ones; each job lists the
 *                       bytes that go
 *     bytes       the old ones are removed, and runs that only plans under way could read
 *     end         SUCCESS; a job that is over says no more whose data it was
 *
 * Killed before the transaction, it is done again with the same number, so nothing is left twice;
 * killed after it, only the bytes are left to do. Batches that become visible while it prepares are
 * looked at before the transaction is committed: then nothing names the identities any more.
 */
#include "removal/removal_internal.h"

#include "base/log.h"
#include "segment/membership.h"
#include "store/stitched.h"

#include <unistd.h>

enum { TRIES = 100 }; /* of batches that come while others are looked at */

typedef struct work {
    tr_removals *removals;
    const tr_tenant *tenant;
    const tr_removal_waiting *const *jobs;
    uint32_t count;
    tr_arena arena;
    tr_forgotten *forgotten; /* [count] */
    bool *is_over;           /* [count] forgotten by a client, or in force already */
    json_t *bytes;           /* files whose bytes go */
    int64_t number;
    bool is_resumed;
    uint64_t rows;
} work;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to delete identities");
}

/* ---- beginning */

typedef struct beginning {
    work *w;
    uint32_t index;
} beginning;

static tr_code read_identity(work *w, uint32_t index, const json_t *own, tr_err *err)
{
    tr_forgotten *f = &w->forgotten[index];
    uint8_t secret[192];
    const json_t *id = json_object_get(own, "id");
    f->code = tr_arena_copy(&w->arena, tr_str_of(tr_json_text(own, "code", "")));
    f->id = tr_arena_copy(&w->arena,
                          (tr_str){(const uint8_t *)json_string_value(id), json_string_length(id)});
    if (f->code.at == NULL || f->id.at == NULL)
        return no_memory(err);
    TR_TRY(tr_catalog_secret(w->removals->parts.catalog, w->tenant, secret, err));
    tr_profile_key(secret, f->code, f->id, f->key);
    return TR_OK;
}

/* A number that a killed attempt had is kept; the others take the first one's. */
static tr_code begin(void *ctx, tr_object *job, tr_err *err)
{
    const beginning *b = ctx;
    work *w = b->w;
    json_t *own = json_object_get(job->doc, "_");
    const json_t *bytes = json_object_get(own, "bytes");
    const int64_t number = tr_json_int(own, "number", 0);
    if (bytes != NULL) { /* it is in force: only bytes are left to do */
        w->is_over[b->index] = true;
        w->rows += (uint64_t)tr_json_int(own, "rows", 0);
        return json_array_extend(w->bytes, (json_t *)(uintptr_t)bytes) == 0 ? TR_OK
                                                                            : no_memory(err);
    }
    TR_TRY(read_identity(w, b->index, own, err));
    if (number > 0) {
        w->is_resumed = true;
        w->number = number;
    }
    if (w->number == 0)
        TR_TRY(tr_catalog_next(w->removals->parts.catalog, w->tenant, "removal", &w->number, err));
    if (json_object_set_new(own, "number", json_integer((json_int_t)w->number)) != 0)
        return no_memory(err);
    return tr_removal_move(job, "IN-PROGRESS", err);
}

static tr_code begin_all(work *w, tr_err *err)
{
    for (uint32_t i = 0; i < w->count; i++) {
        beginning b = {w, i};
        const tr_code code =
            tr_removal_edit(w->removals, w->tenant, w->jobs[i]->id, begin, &b, err);
        w->is_over[i] = w->is_over[i] || code == TR_NOT_FOUND;
        if (code != TR_NOT_FOUND)
            TR_TRY(code);
    }
    return TR_OK;
}

/* ---- the transaction */

typedef struct removing {
    work *w;
    tr_store_removal *store;
    tr_membership_removal *members;
    tr_graph_preparation *coming;
} removing;

static tr_code note_bytes(void *ctx, tr_object *job, tr_err *err)
{
    const work *w = ctx;
    json_t *own = json_object_get(job->doc, "_");
    if (json_object_set(own, "bytes", w->bytes) != 0 ||
        json_object_set_new(own, "rows", json_integer((json_int_t)w->rows)) != 0)
        return no_memory(err);
    return tr_removal_move(job, "IN-PROGRESS", err);
}

/* A client that forgets one of the jobs meanwhile stops them all: what was prepared is without that
 * identity. */
static tr_code apply(const removing *r, bool *is_complete, tr_err *err)
{
    work *w = r->w;
    bool has_members = false;
    *is_complete = false;
    TR_TRY(tr_store_removal_apply(r->store, w->bytes, is_complete, err));
    TR_TRY(tr_membership_removal_apply(r->members, w->bytes, &has_members, err));
    *is_complete = *is_complete && has_members;
    if (!*is_complete)
        return TR_CONFLICT; /* undoes what was applied */
    w->rows = tr_store_removal_rows(r->store);
    for (uint32_t i = 0; i < w->count; i++)
        if (!w->is_over[i])
            TR_TRY(tr_removal_edit(w->removals, w->tenant, w->jobs[i]->id, note_bytes, w, err));
    tr_crash_point("removal_committing");
    return TR_OK;
}

/* Lookups over the graph would wait behind the commit until it is read anew. */
static tr_code prepare_graph(const removing *r, tr_err *err)
{
    work *w = r->w;
    tr_arena arena = {0};
    tr_graph_preparation *coming = r->coming;
    const tr_code code =
        tr_store_removal_exchanged(r->store, &arena, &coming->exchanged, &coming->count, err);
    if (code == TR_OK)
        tr_graph_prepare(w->removals->parts.graph, w->tenant, coming);
    coming->count = 0; /* the list goes with the arena */
    tr_arena_free(&arena);
    return code;
}

static tr_code commit(const removing *r, tr_err *err)
{
    tr_catalog *catalog = r->w->removals->parts.catalog;
    const size_t before = json_array_size(r->w->bytes);
    for (int i = 0; i < TRIES; i++) {
        bool is_complete = false;
        if (tr_compute_is_stopping(r->w->removals->parts.compute))
            return TR_FAIL(err, TR_CANCELLED, "the server stops");
        TR_TRY(tr_store_removal_prepare(r->store, err));
        TR_TRY(tr_membership_removal_prepare(r->members, err));
        TR_TRY(prepare_graph(r, err));
        tr_crash_point("removal_prepared");
        TR_TRY(tr_catalog_begin(catalog, err));
        const tr_code code = tr_catalog_end(catalog, apply(r, &is_complete, err), err);
        if (code != TR_CONFLICT || is_complete)
            return code;
        while (json_array_size(r->w->bytes) > before)
            (void)json_array_remove(r->w->bytes, json_array_size(r->w->bytes) - 1);
    }
    return TR_FAIL(err, TR_BUSY, "batches came faster than they could be looked at");
}

static tr_code remove_from(work *w, const tr_forget_list *list, tr_err *err)
{
    const tr_removal_parts *parts = &w->removals->parts;
    const tr_membership_place place = {parts->catalog, parts->lake, w->tenant, w->number};
    tr_graph_preparation coming = {0};
    removing r = {.w = w, .coming = &coming};
    if (w->is_resumed) {
        TR_TRY(tr_store_removal_clean(parts->store, w->tenant, w->number, err));
        TR_TRY(tr_membership_removal_clean(&place, err));
    }
    TR_TRY(tr_store_removal_open(parts->store, w->tenant, w->number, list, &r.store, err));
    tr_code code = tr_membership_removal_open(&place, list, &r.members, err);
    if (code == TR_OK)
        code = commit(&r, err);
    tr_graph_prepare_end(parts->graph, w->tenant, &coming, code == TR_OK);
    tr_membership_removal_close(r.members, code == TR_OK);
    tr_store_removal_close(r.store, code == TR_OK);
    return code;
}

/* ---- after it */

static tr_code note_dataset(void *ctx, const tr_object *run, tr_err *err)
{
    return json_object_set_new(ctx, run->parent, json_true()) == 0 ? TR_OK : no_memory(err);
}

/* What was stitched of data that has gone goes; of runs of members, which keep their ids, it is of
 * no use any more. */
static tr_code sweep_stitched(const work *w, tr_err *err)
{
    tr_store *store = w->removals->parts.store;
    for (size_t i = 0; i < json_array_size(w->bytes); i++) {
        const json_t *file = json_array_get(w->bytes, i);
        if (strcmp(tr_json_text(file, "dataset", ""), TR_MEMBERSHIP_FOLDER) == 0)
            TR_TRY(tr_stitched_supersede(store, w->tenant, tr_json_text(file, "batch", ""), NULL, 0,
                                         err));
    }
    return tr_stitched_sweep(store, w->tenant, true, err);
}

/* Runs that compaction would keep for a while have the rows, too. */
static tr_code sweep_runs(const work *w, tr_err *err)
{
    const tr_removal_parts *parts = &w->removals->parts;
    const tr_catalog_filter gone = {.state = "gone," TR_RUN_WITHDRAWN};
    const char *dataset;
    json_t *datasets = json_object(), *value;
    tr_code code = datasets == NULL ? no_memory(err)
                                    : tr_catalog_list(parts->catalog, w->tenant, "run", &gone,
                                                      note_dataset, datasets, err);
    json_object_foreach (datasets, dataset, value)
        if (code == TR_OK)
            code = tr_store_sweep(parts->store, w->tenant, dataset, err);
    json_decref(datasets);
    return code;
}

static tr_code to_success(void *ctx, tr_object *job, tr_err *err)
{
    const work *w = ctx;
    json_t *own = json_object_get(job->doc, "_");
    TR_TRY(tr_removal_tell(job, w->rows, err));
    (void)json_object_del(own, "id");
    (void)json_object_del(own, "bytes");
    return tr_removal_move(job, "SUCCESS", err);
}

static tr_code end_all(work *w, tr_err *err)
{
    TR_TRY(tr_store_remove_bytes(w->removals->parts.store, w->tenant, w->bytes, err));
    TR_TRY(sweep_runs(w, err));
    TR_TRY(sweep_stitched(w, err));
    tr_crash_point("removal_bytes_gone");
    w->removals->parts.forget(w->removals->parts.ctx, w->tenant);
    for (uint32_t i = 0; i < w->count; i++) {
        const tr_code code =
            tr_removal_edit(w->removals, w->tenant, w->jobs[i]->id, to_success, w, err);
        if (code != TR_NOT_FOUND)
            TR_TRY(code);
    }
    tr_log(TR_LOG_INFO, "removal", "removal_succeeded",
           "job=%s type=DELETE_IDENTITY jobs=%u rows=%llu", w->jobs[0]->id, w->count,
           (unsigned long long)w->rows);
    return TR_OK;
}

/* The data is out of sight: the bytes are tried again and again, for a while; then at the next
 * start. */
static void end_surely(work *w)
{
    enum { ENDS = 20, WAIT_US = 500 * 1000 };
    for (int i = 0; i < ENDS && !tr_compute_is_stopping(w->removals->parts.compute); i++) {
        tr_err err = {0};
        if (end_all(w, &err) == TR_OK)
            return;
        tr_log(TR_LOG_WARN, "removal", "removal_bytes_kept", "job=%s reason=\"%s\"", w->jobs[0]->id,
               err.text);
        usleep(WAIT_US);
    }
}

static tr_code run(work *w, tr_err *err)
{
    w->forgotten = tr_arena_array(&w->arena, w->count, sizeof *w->forgotten);
    w->is_over = tr_arena_array(&w->arena, w->count, sizeof *w->is_over);
    w->bytes = json_array();
    if (w->forgotten == NULL || w->is_over == NULL || w->bytes == NULL)
        return no_memory(err);
    TR_TRY(begin_all(w, err));
    tr_crash_point("removal_begun");
    tr_forget_list list = {.at = w->forgotten};
    for (uint32_t i = 0; i < w->count; i++)
        if (!w->is_over[i])
            w->forgotten[list.count++] = w->forgotten[i];
    if (list.count > 0)
        TR_TRY(remove_from(w, &list, err));
    tr_crash_point("removal_committed");
    end_surely(w);
    return TR_OK;
}

tr_code tr_removal_run_identities(tr_removals *removals, const tr_removal_waiting *const *jobs,
                                  uint32_t count, tr_err *err)
{
    tr_code code = TR_NOT_FOUND;
    for (int i = 0; i < TRIES && code == TR_NOT_FOUND;
         i++) { /* a client forgot one of them meanwhile */
        work w = {.removals = removals, .tenant = &jobs[0]->tenant, .jobs = jobs, .count = count};
        code = run(&w, err);
        json_decref(w.bytes);
        tr_arena_free(&w.arena);
    }
    return code;
}
