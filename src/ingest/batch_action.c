/* SPDX-License-Identifier: Apache-2.0 */
/* batch_action.c - what a producer may say of a batch.
 *
 *     COMPLETE   loading -> loaded, and a job is queued; later than that it changes nothing
 *     ABORT      loading, loaded, processing -> aborted; until the batch is visible
 *     FAIL       loading -> failure
 *     REVERT     success -> inactive, and its bytes go -> deleted
 */
#include "ingest/ingest_internal.h"

#include "base/log.h"

typedef struct change {
    tr_ingest *ingest;
    const tr_tenant *tenant;
    json_t *shown; /* the batch's document afterwards; returned */
    char dataset[32];
    bool has_changed;
} change;

static tr_code show(change *c, const tr_object *batch, tr_err *err)
{
    json_decref(c->shown);
    c->shown = NULL;
    (void)snprintf(c->dataset, sizeof c->dataset, "%.31s", batch->parent);
    return tr_batch_show(batch->doc, &c->shown, err);
}

/* An edit that leaves the batch as it is must not count as a change of it. */
typedef tr_code (*transition)(change *c, tr_object *batch, tr_err *err);

static tr_code run_inside(change *c, const char *id, transition move, tr_err *err)
{
    tr_object batch = {0};
    tr_catalog *catalog = c->ingest->parts.catalog;
    TR_TRY(tr_batch_get(c->ingest, c->tenant, id, &batch, err));
    const int64_t revision = batch.revision;
    tr_code code = move(c, &batch, err);
    if (code == TR_OK && c->has_changed)
        code = tr_catalog_put(catalog, c->tenant, "batch", &batch, revision, err);
    if (code == TR_OK)
        code = show(c, &batch, err);
    tr_object_clear(&batch);
    return code;
}

static tr_code run(change *c, const char *id, transition move, tr_err *err)
{
    TR_TRY(tr_catalog_begin(c->ingest->parts.catalog, err));
    return tr_catalog_end(c->ingest->parts.catalog, run_inside(c, id, move, err), err);
}

static tr_code refuse(const tr_object *batch, const char *action, const char *when, tr_err *err)
{
    return TR_FAIL(err, TR_INVALID, "batch %s is \"%s\": %s is possible only %s", batch->id,
                   batch->state, action, when);
}

static tr_code check_own(const tr_object *batch, const char *action, tr_err *err)
{
    return json_object_get(batch->doc, "_options") != NULL
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "batch %s was not made by this service: no %s", batch->id,
                         action);
}

/* ---- COMPLETE */

static tr_code check_uploads(const change *c, const tr_object *batch, tr_err *err)
{
    json_t *uploads = NULL;
    TR_TRY(tr_upload_list(c->ingest, c->tenant, batch->id, &uploads, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(uploads) && code == TR_OK; i++) {
        const json_t *upload = json_array_get(uploads, i);
        if (strcmp(tr_json_text(upload, "state", ""), "done") != 0)
            code = TR_FAIL(err, TR_INVALID,
                           "file \"%.200s\" is not complete: POST it with action=COMPLETE "
                           "first",
                           tr_json_text(upload, "path", ""));
    }
    json_decref(uploads);
    return code;
}

static tr_code to_loaded(change *c, tr_object *batch, tr_err *err)
{
    int64_t number = 0;
    c->has_changed = false;
    TR_TRY(check_own(batch, "COMPLETE", err));
    if (strcmp(batch->state, "loading") != 0)
        return TR_OK; /* said before: safe to repeat */
    TR_TRY(check_uploads(c, batch, err));
    TR_TRY(tr_catalog_next(c->ingest->parts.catalog, c->tenant, "batch_complete", &number, err));
    TR_TRY(tr_batch_set(batch->doc, "_number", json_integer((json_int_t)number), err));
    c->has_changed = true;
    return tr_batch_move(batch, "loaded", err);
}

static tr_code complete(change *c, const char *id, tr_err *err)
{
    tr_err queued = {0};
    TR_TRY(tr_gate_close(c->ingest, c->tenant, id, err));
    tr_code code = run(c, id, to_loaded, err);
    tr_crash_point("ingest_loaded");
    if (code == TR_OK && c->has_changed &&
        tr_queue_add(c->ingest, c->tenant, id, c->dataset, &queued) != TR_OK)
        tr_log(TR_LOG_WARN, "ingest", "ingest_not_queued", "batch=%s reason=\"%s\"", id,
               queued.text);
    tr_gate_open(c->ingest, c->tenant, id);
    return code;
}

/* ---- ABORT, FAIL */

static tr_code to_aborted(change *c, tr_object *batch, tr_err *err)
{
    c->has_changed = false;
    TR_TRY(check_own(batch, "ABORT", err));
    if (strcmp(batch->state, "aborted") == 0)
        return TR_OK;
    if (!tr_batch_is_one_of(batch->state, "loading,loaded,processing"))
        return refuse(batch, "ABORT", "until it is promoted", err);
    TR_TRY(tr_upload_forget(c->ingest, c->tenant, batch->id, err));
    c->has_changed = true;
    TR_TRY(tr_batch_set(batch->doc, "completed", json_integer((json_int_t)tr_time_now_ms()), err));
    return tr_batch_move(batch, "aborted", err);
}

static tr_code to_failure(change *c, tr_object *batch, tr_err *err)
{
    c->has_changed = false;
    TR_TRY(check_own(batch, "FAIL", err));
    if (strcmp(batch->state, "loading") != 0)
        return refuse(batch, "FAIL", "while it is \"loading\"", err);
    json_t *errors = json_array();
    tr_code code = tr_batch_add_error(errors, "INGEST-1002-400",
                                      "the producer declared the batch failed", -1, err);
    if (code == TR_OK)
        code = tr_batch_set(batch->doc, "errors", json_incref(errors), err);
    json_decref(errors);
    TR_TRY(code);
    TR_TRY(tr_upload_forget(c->ingest, c->tenant, batch->id, err));
    c->has_changed = true;
    TR_TRY(tr_batch_set(batch->doc, "completed", json_integer((json_int_t)tr_time_now_ms()), err));
    return tr_batch_move(batch, "failure", err);
}

/* Ends a batch without data; its raw files go, at the latest with the next start. */
static tr_code give_up(change *c, const char *id, transition move, tr_err *err)
{
    TR_TRY(tr_gate_close(c->ingest, c->tenant, id, err));
    tr_code code = run(c, id, move, err);
    tr_crash_point("ingest_given_up");
    /* A job that runs reads them still: it removes them itself when it sees that it is cancelled.
     * */
    if (code == TR_OK && c->has_changed && !tr_queue_cancel(c->ingest, c->tenant, id))
        tr_queue_drop(c->ingest, c->tenant, id);
    tr_gate_open(c->ingest, c->tenant, id);
    return code;
}

/* ---- REVERT */

static tr_code to_inactive(change *c, tr_object *batch, tr_err *err)
{
    c->has_changed = false;
    if (tr_batch_is_one_of(batch->state, "inactive,deleted"))
        return TR_OK;
    if (!tr_batch_is_one_of(batch->state, "success,active"))
        return refuse(batch, "REVERT", "after its success", err);
    c->has_changed = true;
    TR_TRY(tr_batch_withdraw(c->ingest, c->tenant, batch->id, NULL, err));
    TR_TRY(tr_batch_set(batch->doc, "_isLeaving", json_true(), err));
    return tr_batch_move(batch, "inactive", err);
}

static void queue_removal(tr_ingest *ingest, const tr_tenant *tenant, const char *id)
{
    tr_err err = {0};
    if (tr_queue_removal(ingest, tenant, id, &err) != TR_OK)
        tr_log(TR_LOG_WARN, "ingest", "ingest_not_queued", "batch=%s reason=\"%s\"", id, err.text);
}

/* Lookups over the graph would wait behind the commit until it is read anew: it is read before. */
static tr_code revert(change *c, const char *id, tr_err *err)
{
    tr_graph *graph = c->ingest->parts.graph;
    tr_graph_preparation coming = {.batches = &id, .batch_count = 1};
    tr_graph_prepare(graph, c->tenant, &coming);
    tr_crash_point("ingest_reverting");
    const tr_code code = run(c, id, to_inactive, err);
    tr_graph_prepare_end(graph, c->tenant, &coming, code == TR_OK);
    TR_TRY(code);
    tr_crash_point("ingest_reverted");
    if (c->has_changed)
        queue_removal(c->ingest, c->tenant, id);
    return TR_OK;
}

/* ---- several at once */

static tr_code add_rows(void *ctx, const tr_object *file, tr_err *err)
{
    uint64_t *rows = ctx;
    (void)err;
    if (strcmp(file->state, "gone") != 0)
        *rows += (uint64_t)tr_json_int(file->doc, "rows", 0);
    return TR_OK;
}

tr_code tr_ingest_take_back(tr_ingest *ingest, const tr_tenant *tenant, const char *dataset,
                            const char *batch, json_t *batches, uint64_t *rows, tr_err *err)
{
    tr_catalog *catalog = ingest->parts.catalog;
    const tr_catalog_filter good = {.parent = dataset, .state = "success,active"};
    const size_t first = json_array_size(batches);
    change c = {.ingest = ingest, .tenant = tenant};
    tr_code code = TR_OK;
    if (batch == NULL)
        code = tr_catalog_ids(catalog, tenant, "batch", &good, batches, err);
    else if (json_array_append_new(batches, json_string(batch)) != 0)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory to take a batch back");
    for (size_t i = first; i < json_array_size(batches) && code == TR_OK; i++) {
        const char *id = json_string_value(json_array_get(batches, i));
        const tr_catalog_filter files = {.parent = id};
        code = tr_catalog_list(catalog, tenant, "file", &files, add_rows, rows, err);
        if (code == TR_OK)
            code = run_inside(&c, id, to_inactive, err);
    }
    json_decref(c.shown);
    return code;
}

void tr_ingest_remove_bytes(tr_ingest *ingest, const tr_tenant *tenant, const json_t *batches)
{
    for (size_t i = 0; i < json_array_size(batches); i++)
        queue_removal(ingest, tenant, json_string_value(json_array_get(batches, i)));
}

tr_code tr_ingest_action(tr_ingest *ingest, const tr_tenant *tenant, const char *batch,
                         tr_str action, json_t **result, tr_err *err)
{
    change c = {.ingest = ingest, .tenant = tenant};
    tr_code code;
    if (tr_str_equal_folded(action, tr_str_of("COMPLETE")))
        code = complete(&c, batch, err);
    else if (tr_str_equal_folded(action, tr_str_of("ABORT")))
        code = give_up(&c, batch, to_aborted, err);
    else if (tr_str_equal_folded(action, tr_str_of("FAIL")))
        code = give_up(&c, batch, to_failure, err);
    else if (tr_str_equal_folded(action, tr_str_of("REVERT")))
        code = revert(&c, batch, err);
    else
        code =
            TR_FAIL(err, TR_INVALID, "action is \"%.*s\": expected COMPLETE, ABORT, FAIL or REVERT",
                    (int)(action.len < 40 ? action.len : 40), (const char *)action.at);
    if (code != TR_OK) {
        json_decref(c.shown);
        return code;
    }
    *result = c.shown;
    return TR_OK;
}
