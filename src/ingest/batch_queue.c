/* SPDX-License-Identifier: Apache-2.0 */
/* batch_queue.c - which batch is worked on, and who is still uploading to it.
 *
 * COMPLETE -> active list, in order:   D1: batch 7 (submitted)   D1: batch 9   D2: batch 8
 * (submitted)
 *
 * The first batch of each dataset is with compute; when its job is over, the dataset's next one is
 * submitted. So batches of a dataset never overtake each other, and a thread never waits for
 * another.
 *
 * A GATE counts the uploads to a batch that are under way. COMPLETE closes it and waits: an upload
 * that was begun before is part of the batch, one after is refused, and no file changes under the
 * job.
 */
#include "base/log.h"
#include "ingest/ingest_internal.h"

struct tr_ingest_gate {
    tr_ingest_gate *next;
    int64_t tenant;
    char batch[64];
    uint32_t uploads;
    uint32_t closers;
};

tr_code tr_ingest_open(const tr_ingest_parts *parts, tr_ingest **out, tr_err *err)
{
    tr_ingest *ingest = tr_alloc_zeroed(1, sizeof *ingest);
    if (ingest == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for ingestion");
    ingest->parts = *parts;
    ingest->compacting = json_object();
    if (ingest->compacting == NULL) {
        tr_free(ingest);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for ingestion");
    }
    (void)pthread_mutex_init(&ingest->lock, NULL);
    (void)pthread_cond_init(&ingest->gate_moved, NULL);
    *out = ingest;
    return TR_OK;
}

void tr_ingest_close(tr_ingest *ingest)
{
    if (ingest == NULL)
        return;
    while (ingest->active != NULL) { /* those that were never submitted */
        tr_ingest_active *next = ingest->active->next;
        tr_free(ingest->active);
        ingest->active = next;
    }
    (void)pthread_cond_destroy(&ingest->gate_moved);
    (void)pthread_mutex_destroy(&ingest->lock);
    json_decref(ingest->compacting);
    tr_free(ingest);
}

/* ---- gates; the lock is held */

static tr_ingest_gate *find_gate(tr_ingest *ingest, const tr_tenant *tenant, const char *batch)
{
    for (tr_ingest_gate *gate = ingest->gates; gate != NULL; gate = gate->next)
        if (gate->tenant == tenant->id && strcmp(gate->batch, batch) == 0)
            return gate;
    return NULL;
}

static tr_ingest_gate *make_gate(tr_ingest *ingest, const tr_tenant *tenant, const char *batch)
{
    tr_ingest_gate *gate = find_gate(ingest, tenant, batch);
    if (gate != NULL)
        return gate;
    gate = tr_alloc_zeroed(1, sizeof *gate);
    if (gate == NULL)
        return NULL;
    gate->tenant = tenant->id;
    (void)snprintf(gate->batch, sizeof gate->batch, "%s", batch);
    gate->next = ingest->gates;
    ingest->gates = gate;
    return gate;
}

static void drop_idle_gate(tr_ingest *ingest, const tr_ingest_gate *gate)
{
    if (gate->uploads > 0 || gate->closers > 0)
        return;
    for (tr_ingest_gate **at = &ingest->gates; *at != NULL; at = &(*at)->next)
        if (*at == gate) {
            tr_ingest_gate *idle = *at;
            *at = idle->next;
            tr_free(idle);
            return;
        }
}

/* Ids of batches are short; a longer one is nobody's. */
static tr_code check_length(const char *batch, tr_err *err)
{
    return strlen(batch) < sizeof((tr_ingest_gate *)0)->batch
               ? TR_OK
               : TR_FAIL(err, TR_NOT_FOUND, "no batch with id \"%.80s\"", batch);
}

tr_code tr_gate_enter(tr_ingest *ingest, const tr_tenant *tenant, const char *batch, tr_err *err)
{
    TR_TRY(check_length(batch, err));
    tr_code code = TR_OK;
    (void)pthread_mutex_lock(&ingest->lock);
    tr_ingest_gate *gate = make_gate(ingest, tenant, batch);
    if (gate == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for an upload");
    else if (gate->closers > 0)
        code = TR_FAIL(err, TR_INVALID, "batch %.64s is being completed and takes no more files",
                       batch);
    else
        gate->uploads++;
    (void)pthread_mutex_unlock(&ingest->lock);
    return code;
}

void tr_gate_leave(tr_ingest *ingest, const tr_tenant *tenant, const char *batch)
{
    (void)pthread_mutex_lock(&ingest->lock);
    tr_ingest_gate *gate = find_gate(ingest, tenant, batch);
    gate->uploads--;
    drop_idle_gate(ingest, gate);
    (void)pthread_cond_broadcast(&ingest->gate_moved);
    (void)pthread_mutex_unlock(&ingest->lock);
}

tr_code tr_gate_close(tr_ingest *ingest, const tr_tenant *tenant, const char *batch, tr_err *err)
{
    TR_TRY(check_length(batch, err));
    (void)pthread_mutex_lock(&ingest->lock);
    tr_ingest_gate *gate = make_gate(ingest, tenant, batch);
    if (gate != NULL) {
        gate->closers++;
        while (gate->uploads > 0)
            (void)pthread_cond_wait(&ingest->gate_moved, &ingest->lock);
    }
    (void)pthread_mutex_unlock(&ingest->lock);
    return gate != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory to complete a batch");
}

void tr_gate_open(tr_ingest *ingest, const tr_tenant *tenant, const char *batch)
{
    (void)pthread_mutex_lock(&ingest->lock);
    tr_ingest_gate *gate = find_gate(ingest, tenant, batch);
    gate->closers--;
    drop_idle_gate(ingest, gate);
    (void)pthread_mutex_unlock(&ingest->lock);
}

/* ---- the queue */

static bool is_of_dataset(const tr_ingest_active *a, const tr_ingest_active *b)
{
    return a->tenant.id == b->tenant.id && strcmp(a->dataset, b->dataset) == 0;
}

static void drop_active(void *ctx);

/* Submits the first batch of `like`'s dataset, unless it is submitted. Without the lock: submitting
 * may run `drop` at once. */
static void submit_next(tr_ingest *ingest, const tr_ingest_active *like)
{
    tr_err err = {0};
    (void)pthread_mutex_lock(&ingest->lock);
    tr_ingest_active *first = ingest->active;
    while (first != NULL && !is_of_dataset(first, like))
        first = first->next;
    if (first != NULL && first->is_submitted)
        first = NULL;
    if (first != NULL)
        first->is_submitted = true;
    (void)pthread_mutex_unlock(&ingest->lock);
    if (first == NULL)
        return;
    char batch[64];
    memcpy(batch, first->batch, sizeof batch);
    if (tr_compute_submit(ingest->parts.compute, tr_batch_run_job, drop_active, first, &err) !=
        TR_OK)
        tr_log(TR_LOG_WARN, "ingest", "ingest_not_queued", "batch=%s reason=\"%s\"", batch,
               err.text);
}

/* A job is over, or never ran: its dataset's next one may begin. */
static void drop_active(void *ctx)
{
    tr_ingest_active *active = ctx;
    tr_ingest *ingest = active->ingest;
    (void)pthread_mutex_lock(&ingest->lock);
    for (tr_ingest_active **at = &ingest->active; *at != NULL; at = &(*at)->next)
        if (*at == active) {
            *at = active->next;
            break;
        }
    (void)pthread_mutex_unlock(&ingest->lock);
    if (!tr_compute_is_stopping(ingest->parts.compute))
        submit_next(ingest, active);
    tr_free(active);
}

tr_code tr_queue_add(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                     const char *dataset, tr_err *err)
{
    tr_ingest_active *active = tr_alloc_zeroed(1, sizeof *active);
    if (active == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to queue a batch");
    const tr_ingest_active like = {.tenant = *tenant};
    tr_ingest_active key = like;
    active->ingest = ingest;
    active->tenant = *tenant;
    (void)snprintf(active->batch, sizeof active->batch, "%s", batch);
    (void)snprintf(active->dataset, sizeof active->dataset, "%s", dataset);
    memcpy(key.dataset, active->dataset, sizeof key.dataset);
    (void)pthread_mutex_lock(&ingest->lock);
    tr_ingest_active **end = &ingest->active;
    while (*end != NULL)
        end = &(*end)->next;
    *end = active;
    (void)pthread_mutex_unlock(&ingest->lock);
    submit_next(ingest, &key);
    return TR_OK;
}

bool tr_queue_cancel(tr_ingest *ingest, const tr_tenant *tenant, const char *batch)
{
    bool is_found = false;
    (void)pthread_mutex_lock(&ingest->lock);
    for (tr_ingest_active *active = ingest->active; active != NULL; active = active->next)
        if (active->tenant.id == tenant->id && strcmp(active->batch, batch) == 0) {
            atomic_store(&active->cancel, true);
            is_found = true;
        }
    (void)pthread_mutex_unlock(&ingest->lock);
    return is_found;
}

/* ---- smaller jobs */

typedef struct chore {
    tr_ingest *ingest;
    tr_tenant tenant;
    char id[64]; /* of a batch, or a dataset */
} chore;

static tr_code submit_chore(tr_ingest *ingest, const tr_tenant *tenant, const char *id,
                            tr_job_fn run, tr_job_fn drop, tr_err *err)
{
    chore *c = tr_alloc_zeroed(1, sizeof *c);
    if (c == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a job");
    c->ingest = ingest;
    c->tenant = *tenant;
    (void)snprintf(c->id, sizeof c->id, "%s", id);
    return tr_compute_submit(ingest->parts.compute, run, drop, c, err);
}

static tr_code set_deleted(void *ctx, tr_object *batch, tr_err *err)
{
    (void)ctx;
    json_object_del(batch->doc, "_isLeaving");
    json_object_del(batch->doc, "_diagnostics");
    const json_t *replaced = json_object_get(batch->doc, "_isReplaced");
    return json_is_true(replaced) ? TR_OK : tr_batch_move(batch, "deleted", err);
}

static tr_code retire_file(void *ctx, const tr_object *file, tr_err *err)
{
    const chore *c = ctx;
    (void)err;
    tr_store_retire(c->ingest->parts.store, c->tenant.id, file->id);
    return TR_OK;
}

/* What the store has of a batch: its files, opened, and runs that it was folded into. */
static tr_code leave_store(chore *c, const char *dataset, tr_err *err)
{
    const tr_catalog_filter of_batch = {.parent = c->id};
    TR_TRY(tr_catalog_list(c->ingest->parts.catalog, &c->tenant, "file", &of_batch, retire_file, c,
                           err));
    return tr_store_sweep(c->ingest->parts.store, &c->tenant, dataset, err);
}

/* The bytes of a batch that is no longer read. */
static tr_code remove_bytes(chore *c, tr_err *err)
{
    tr_object batch = {0};
    char diagnostics[96];
    tr_lake *lake = c->ingest->parts.lake;
    TR_TRY(tr_batch_get(c->ingest, &c->tenant, c->id, &batch, err));
    (void)snprintf(diagnostics, sizeof diagnostics, "%.64s-diagnostics", batch.id);
    tr_code code = tr_lake_remove_batch(lake, &c->tenant, batch.parent, batch.id, err);
    tr_crash_point("ingest_removing");
    if (code == TR_OK)
        code = tr_lake_remove_batch(lake, &c->tenant, batch.parent, diagnostics, err);
    if (code == TR_OK)
        code = leave_store(c, batch.parent, err);
    tr_object_clear(&batch);
    if (code == TR_OK)
        code = tr_batch_edit(c->ingest, &c->tenant, c->id, set_deleted, NULL, err);
    tr_crash_point("ingest_removed");
    return code;
}

static void run_removal(void *ctx)
{
    chore *c = ctx;
    tr_err err = {0};
    const tr_code code = remove_bytes(c, &err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        tr_log(TR_LOG_WARN, "ingest", "ingest_not_removed", "batch=%s reason=\"%s\"", c->id,
               err.text);
}

tr_code tr_queue_removal(tr_ingest *ingest, const tr_tenant *tenant, const char *batch, tr_err *err)
{
    return submit_chore(ingest, tenant, batch, run_removal, tr_free, err);
}

static void run_drop(void *ctx)
{
    const chore *c = ctx;
    tr_err err = {0};
    if (tr_lake_upload_drop(c->ingest->parts.lake, &c->tenant, c->id, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "ingest", "ingest_uploads_kept", "batch=%s reason=\"%s\"", c->id,
               err.text);
}

void tr_queue_drop(tr_ingest *ingest, const tr_tenant *tenant, const char *batch)
{
    tr_err err = {0};
    if (submit_chore(ingest, tenant, batch, run_drop, tr_free, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "ingest", "ingest_uploads_kept", "batch=%s reason=\"%s\"", batch,
               err.text);
}

static void compaction_key(const tr_tenant *tenant, const char *dataset, char out[64])
{
    (void)snprintf(out, 64, "%lld %.32s", (long long)tenant->id, dataset);
}

static void forget_compaction(tr_ingest *ingest, const tr_tenant *tenant, const char *dataset)
{
    char key[64];
    compaction_key(tenant, dataset, key);
    (void)pthread_mutex_lock(&ingest->lock);
    (void)json_object_del(ingest->compacting, key);
    (void)pthread_mutex_unlock(&ingest->lock);
}

static void run_compaction(void *ctx)
{
    const chore *c = ctx;
    uint32_t folded = 0;
    tr_err err = {0};
    forget_compaction(c->ingest, &c->tenant, c->id); /* batches from now on ask for their own */
    if (tr_store_compact(c->ingest->parts.store, &c->tenant, c->id, &folded, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "ingest", "compaction_failed", "dataset=%s reason=\"%s\"", c->id,
               err.text);
    else if (folded > 0)
        tr_log(TR_LOG_INFO, "ingest", "compacted", "dataset=%s runs=%u", c->id, folded);
}

static void drop_compaction(void *ctx)
{
    const chore *c = ctx;
    forget_compaction(c->ingest, &c->tenant, c->id);
    tr_free(ctx);
}

void tr_queue_compaction(tr_ingest *ingest, const tr_tenant *tenant, const char *dataset)
{
    char key[64];
    tr_err err = {0};
    compaction_key(tenant, dataset, key);
    (void)pthread_mutex_lock(&ingest->lock);
    const bool is_waiting = json_object_get(ingest->compacting, key) != NULL ||
                            json_object_set_new(ingest->compacting, key, json_true()) != 0;
    (void)pthread_mutex_unlock(&ingest->lock);
    if (!is_waiting &&
        submit_chore(ingest, tenant, dataset, run_compaction, drop_compaction, &err) != TR_OK)
        forget_compaction(ingest, tenant, dataset); /* the next batch tries again */
}

/* ---- after a restart */

/* Batches that were completed, in that order, and those whose bytes are going. */
static bool is_waiting(const tr_object *batch, int64_t *number)
{
    *number = tr_json_int(batch->doc, "_number", 0);
    return strcmp(batch->state, "inactive") == 0 ? tr_json_bool(batch->doc, "_isLeaving", false)
                                                 : json_object_get(batch->doc, "_options") != NULL;
}

typedef struct resuming {
    tr_ingest *ingest;
    size_t count;
} resuming;

static tr_code resume_one(void *ctx, const tr_tenant *tenant, const char *id, tr_err *err)
{
    resuming *r = ctx;
    tr_object batch = {0};
    int64_t number = 0;
    tr_code code = tr_batch_get(r->ingest, tenant, id, &batch, err);
    if (code == TR_OK && is_waiting(&batch, &number)) { /* one before it may have replaced it */
        r->count++;
        code = strcmp(batch.state, "inactive") == 0
                   ? tr_queue_removal(r->ingest, tenant, id, err)
                   : tr_queue_add(r->ingest, tenant, id, batch.parent, err);
    }
    tr_object_clear(&batch);
    return code;
}

tr_code tr_ingest_resume(tr_ingest *ingest, tr_err *err)
{
    static const char *const states[] = {"loaded", "processing", "inactive", NULL};
    const tr_catalog_waiting waiting = {
        .kind = "batch", .states = states, .choose = is_waiting, .resume = resume_one};
    resuming r = {.ingest = ingest};
    TR_TRY(tr_catalog_resume_waiting(ingest->parts.catalog, &waiting, &r, err));
    if (r.count > 0)
        tr_log(TR_LOG_INFO, "ingest", "ingest_resumed", "batches=%zu", r.count);
    return TR_OK;
}
