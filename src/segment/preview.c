/* SPDX-License-Identifier: Apache-2.0 */
/* preview.c - see preview.h. */
#include "segment/preview.h"
#include "segment/stitch.h"

#include "segment/evaluate.h"
#include "segment/membership.h"
#include "segment/segment_internal.h"

#include <math.h>

enum { KEPT_MAX = 64, RESULTS_MAX = 1000 };

typedef enum state { NEW, RUNNING, READY, FAILED } state;
static const char *const state_names[] = {"NEW", "RUNNING", "RESULT_READY", "FAILED"};

typedef struct preview {
    struct preview *next;
    uint32_t users; /* the list, and who works on it; guarded by the lock, as all of these */
    state state;
    json_t *results;    /* [{"namespace","id"}] */
    json_t *namespaces; /* {code: profiles} */
    uint64_t matched, read, sample_rows, all_rows;
    char error[480];
    /* set before it is shared */
    tr_previews *previews;
    tr_tenant tenant;
    char id[64];
    json_t *definitions; /* one */
    atomic_bool cancel;
} preview;

struct tr_previews {
    tr_segment_parts parts;
    pthread_mutex_t lock;
    preview *list; /* newest first */
    int64_t number;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a preview");
}

tr_code tr_previews_open(const tr_segment_parts *parts, tr_previews **out, tr_err *err)
{
    tr_previews *previews = tr_alloc_zeroed(1, sizeof *previews);
    if (previews == NULL)
        return no_memory(err);
    previews->parts = *parts;
    pthread_mutex_init(&previews->lock, NULL);
    *out = previews;
    return TR_OK;
}

/* The lock is held. */
static void let_go(preview *p)
{
    if (--p->users > 0)
        return;
    json_decref(p->results);
    json_decref(p->namespaces);
    json_decref(p->definitions);
    tr_free(p);
}

void tr_previews_close(tr_previews *previews)
{
    if (previews == NULL)
        return;
    while (previews->list != NULL) {
        preview *p = previews->list;
        previews->list = p->next;
        let_go(p);
    }
    pthread_mutex_destroy(&previews->lock);
    tr_free(previews);
}

/* ---- the work */

typedef struct working {
    preview *preview;
    tr_evaluator *evaluator;
    tr_merge_plan *merge;
    uint32_t stride; /* every so manyth partition is looked at */
} working;

static json_t *identity_of(const tr_column *spaces, const tr_column *ids, uint32_t profile)
{
    const uint32_t space = spaces->row_start[profile], id = ids->row_start[profile];
    if (spaces->codes[space] == 0 || ids->codes[id] == 0)
        return NULL;
    return json_pack("{s:o, s:o}", "namespace", tr_json_str(tr_column_string(spaces, space)), "id",
                     tr_json_str(tr_column_string(ids, id)));
}

/* The lock is held. */
static void note_profile(preview *p, const tr_column *spaces, const tr_column *ids,
                         uint32_t profile)
{
    p->matched++;
    if (spaces == NULL)
        return;
    for (uint32_t e = spaces->row_start[profile]; e < spaces->row_start[profile + 1]; e++) {
        if (spaces->codes[e] == 0)
            continue;
        const tr_str code = tr_column_string(spaces, e);
        const json_t *before = json_object_getn(p->namespaces, (const char *)code.at, code.len);
        (void)json_object_setn_new(p->namespaces, (const char *)code.at, code.len,
                                   json_integer(json_integer_value(before) + 1));
    }
    json_t *found = ids == NULL || json_array_size(p->results) >= RESULTS_MAX
                        ? NULL
                        : identity_of(spaces, ids, profile);
    if (found != NULL)
        (void)json_array_append_new(p->results, found);
}

static tr_code keep(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep_it, tr_err *err)
{
    working *w = ctx;
    preview *p = w->preview;
    const tr_shape *probe = tr_evaluator_probe(w->evaluator);
    const uint32_t unit = tr_shape_unit(probe, tr_str_of("identityMap"));
    const uint32_t count = tr_merge_view_count(view);
    const tr_column *spaces = NULL, *ids = NULL;
    tr_arena arena = {0};
    (void)partition, (void)keep_it;
    uint8_t *mask = tr_arena_array(&arena, count, 1);
    tr_code code = mask == NULL ? no_memory(err)
                                : tr_evaluate(w->evaluator, view, &mask, NULL, &p->cancel, err);
    if (code == TR_OK && unit != UINT32_MAX && probe->units[unit].type->kind == TR_KIND_MAP) {
        const tr_type *item = probe->units[unit].type->children[0]->children[0];
        const tr_type *id = tr_type_member(item, tr_str_of("id"));
        tr_column *columns = tr_arena_array(&arena, probe->units[unit].leaf_count, sizeof *columns);
        code = columns == NULL ? no_memory(err)
                               : tr_merge_view_unit(view, unit, NULL, &arena, columns, err);
        spaces = columns;
        ids = id == NULL ? NULL : &columns[id->first_leaf - probe->units[unit].first_leaf];
    }
    pthread_mutex_lock(&p->previews->lock);
    p->read += code == TR_OK ? count : 0;
    for (uint32_t i = 0; code == TR_OK && i < count; i++)
        if (mask[i] != 0)
            note_profile(p, spaces, ids, i);
    pthread_mutex_unlock(&p->previews->lock);
    tr_arena_free(&arena);
    return code;
}

static tr_code look(void *ctx, uint32_t index, tr_err *err)
{
    const working *w = ctx;
    tr_merge_stats stats;
    return tr_merge_look(w->merge, index * w->stride, &w->preview->cancel, &stats, err);
}

static uint64_t count_rows(const tr_snapshot *snapshot)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < snapshot->run_count; i++)
        rows += snapshot->runs[i]->is_event ? 0 : snapshot->runs[i]->rows;
    return rows;
}

static tr_code work_on(working *w, const json_t *policy, const tr_snapshot *snapshot,
                       const tr_membership *members, tr_materialized_run *merged, tr_err *err)
{
    preview *p = w->preview;
    const uint64_t rows = count_rows(snapshot);
    tr_merge_spec spec = {.snapshot = snapshot,
                          .output = tr_evaluator_probe(w->evaluator),
                          .probe = tr_evaluator_probe(w->evaluator),
                          .with_probe_events = tr_evaluator_reads_events(w->evaluator),
                          .with_event_only = true,
                          .updated_after_us = TR_TIME_NONE,
                          .event_after_us = TR_TIME_NONE,
                          .event_before_us = TR_TIME_NONE,
                          .keep = keep,
                          .keep_ctx = w};
    tr_arena arena = {0}; /* the policy is borrowed for the call */
    spec.members = tr_membership_runs(members, &spec.member_count);
    tr_code code = tr_policy_read(policy, &arena, &spec.policy, err);
    if (code == TR_OK)
        code = tr_materialized_take(p->previews->parts.materialized, &p->tenant, snapshot,
                                    &spec.policy, NULL, merged, err);
    spec.merged = tr_materialized_run_of(merged);
    if (code == TR_OK)
        code = tr_merge_plan_open(&spec, &w->merge, err);
    tr_arena_free(&arena);
    TR_TRY(code);
    const uint32_t partitions = tr_merge_partition_count(w->merge);
    w->stride = rows > PREVIEW_ROWS_MAX ? (uint32_t)(rows / PREVIEW_ROWS_MAX) + 1 : 1;
    if (w->stride > partitions)
        w->stride = partitions;
    const uint32_t tasks = (partitions + w->stride - 1) / w->stride;
    code = tr_compute_run(p->previews->parts.compute, tasks, look, w, &p->cancel, err);
    pthread_mutex_lock(&p->previews->lock);
    p->sample_rows = p->read;
    p->all_rows = tasks == partitions ? p->read : p->read * partitions / tasks;
    pthread_mutex_unlock(&p->previews->lock);
    return code;
}

/* Nothing was read yet. */
static void forget_results(preview *p)
{
    pthread_mutex_lock(&p->previews->lock);
    (void)json_array_clear(p->results);
    (void)json_object_clear(p->namespaces);
    p->matched = p->read = 0;
    pthread_mutex_unlock(&p->previews->lock);
}

/* *is_again: a damaged merged run was met, and is no more */
static tr_code work_once(preview *p, bool *is_again, tr_err *err)
{
    const tr_segment_parts *parts = &p->previews->parts;
    working w = {.preview = p};
    tr_snapshot *snapshot = NULL;
    tr_materialized_run merged = {0};
    tr_membership *members = NULL;
    json_t *policy = NULL, *problems = json_array();
    char run[32] = "";
    tr_code code = problems == NULL ? no_memory(err)
                                    : tr_policy_default(parts->catalog, &p->tenant, &policy, err);
    if (code == TR_OK)
        code =
            tr_membership_now(parts->catalog, &p->tenant, tr_json_text(policy, "id", ""), run, err);
    if (code == TR_OK)
        code = tr_membership_open(parts->catalog, parts->lake, &p->tenant, run, &members, err);
    if (code == TR_OK)
        code = tr_evaluator_open(parts->catalog, &p->tenant, p->definitions, tr_time_now_us(),
                                 problems, &w.evaluator, err);
    if (code == TR_OK && json_array_size(problems) > 0)
        code = TR_FAIL(err, TR_INVALID, "%s",
                       tr_json_text(json_array_get(problems, 0), "msg", "it does not fit"));
    if (code == TR_OK)
        code = tr_segment_snapshot(parts, &p->tenant, policy, run, &p->cancel, &snapshot, err);
    if (code == TR_OK)
        code = work_on(&w, policy, snapshot, members, &merged, err);
    *is_again = code == TR_CORRUPT && merged.at != NULL;
    if (*is_again)
        tr_materialized_drop(parts->materialized, &p->tenant, merged.id);
    tr_merge_plan_close(w.merge);
    tr_evaluator_close(w.evaluator);
    tr_membership_close(members);
    tr_store_release(parts->store, merged.at);
    tr_store_release(parts->store, snapshot);
    json_decref(policy);
    json_decref(problems);
    return code;
}

static tr_code work(preview *p, tr_err *err)
{
    bool is_again = false;
    const tr_code code = work_once(p, &is_again, err);
    if (!is_again)
        return code;
    forget_results(p);
    return work_once(p, &is_again, err);
}

static void run_preview(void *ctx)
{
    preview *p = ctx;
    tr_err err = {0};
    pthread_mutex_lock(&p->previews->lock);
    p->state = RUNNING;
    pthread_mutex_unlock(&p->previews->lock);
    const tr_code code = work(p, &err);
    pthread_mutex_lock(&p->previews->lock);
    p->state = code == TR_OK ? READY : FAILED;
    if (code != TR_OK)
        (void)snprintf(p->error, sizeof p->error, "%s", err.text);
    pthread_mutex_unlock(&p->previews->lock);
}

static void drop_preview(void *ctx)
{
    preview *p = ctx;
    tr_previews *previews = p->previews;
    pthread_mutex_lock(&previews->lock);
    let_go(p);
    pthread_mutex_unlock(&previews->lock);
}

/* ---- requests */

/* What inSegment names is there: of a deleted segment nobody is a member. */
static tr_code check_uses(const tr_previews *previews, const tr_tenant *tenant,
                          const tr_pql_node *root, tr_err *err)
{
    json_t *uses = json_array();
    tr_code code = uses == NULL ? no_memory(err) : tr_expression_uses(root, uses, err);
    for (size_t i = 0; i < json_array_size(uses) && code == TR_OK; i++) {
        tr_object object = {0};
        const char *id = json_string_value(json_array_get(uses, i));
        code = tr_catalog_get(previews->parts.catalog, tenant, "segment", id, &object, err);
        tr_object_clear(&object);
        if (code == TR_NOT_FOUND)
            code = TR_FAIL(err, TR_INVALID,
                           "predicateExpression: inSegment names \"%.60s\", which is not a segment "
                           "of this sandbox",
                           id);
    }
    json_decref(uses);
    return code;
}

static tr_code check_predicate(tr_previews *previews, const tr_tenant *tenant,
                               const json_t *definition, tr_err *err)
{
    const tr_xdm_schema *schema = NULL;
    tr_expression read = {0};
    tr_arena arena = {0};
    TR_TRY(tr_catalog_schema_open(previews->parts.catalog, tenant, tr_str_of(TR_XDM_PROFILE_UNION),
                                  &schema, err));
    tr_code code =
        tr_expression_read(json_object_get(definition, "expression"), &arena, &read, err);
    if (code == TR_OK)
        code = tr_expression_check(&read, schema, &arena, err);
    if (code == TR_OK)
        code = check_uses(previews, tenant, read.root, err);
    tr_arena_free(&arena);
    tr_catalog_schema_close(previews->parts.catalog, schema);
    return code;
}

/* Newest first; the oldest beyond the limit goes. The lock is held. */
static void add_to_list(tr_previews *previews, preview *p)
{
    uint32_t count = 1;
    p->next = previews->list;
    previews->list = p;
    for (preview *at = p; at->next != NULL; at = at->next) {
        if (++count <= KEPT_MAX)
            continue;
        preview *oldest = at->next;
        at->next = NULL;
        atomic_store(&oldest->cancel, true);
        let_go(oldest);
        return;
    }
}

tr_code tr_preview_create(tr_previews *previews, const tr_tenant *tenant, const json_t *body,
                          json_t **out, tr_err *err)
{
    const char *text = NULL;
    const json_t *type = NULL;
    if (!json_is_object(body))
        return TR_FAIL(err, TR_INVALID, "the request body must be a JSON object");
    TR_TRY(tr_want_text(body, "", "predicateExpression", &text, err));
    TR_TRY(tr_want_member(body, "", "predicateType", TR_WANT_STRING, &type, err));
    preview *p = tr_alloc_zeroed(1, sizeof *p);
    if (p == NULL)
        return no_memory(err);
    const tr_id id = tr_id_hex(40);
    p->users = 1;
    p->previews = previews;
    p->tenant = *tenant;
    p->results = json_array();
    p->namespaces = json_object();
    (void)snprintf(p->id, sizeof p->id, "%s", id.text);
    p->definitions =
        json_pack("[{s:s, s:{s:s, s:s, s:s}}]", "id", "preview", "expression", "type", "PQL",
                  "format", type == NULL ? "pql/text" : json_string_value(type), "value", text);
    tr_code code = p->results == NULL || p->namespaces == NULL || p->definitions == NULL
                       ? no_memory(err)
                       : check_predicate(previews, tenant, json_array_get(p->definitions, 0), err);
    pthread_mutex_lock(&previews->lock);
    const int64_t number = ++previews->number;
    if (code == TR_OK) {
        p->users = 2; /* the list, and the job */
        add_to_list(previews, p);
    } else {
        let_go(p);
    }
    pthread_mutex_unlock(&previews->lock);
    TR_TRY(code);
    TR_TRY(tr_compute_submit(previews->parts.compute, run_preview, drop_preview, p, err));
    *out = json_pack("{s:s, s:s, s:s, s:s, s:I}", "state", "NEW", "previewQueryId",
                     tr_id_uuid().text, "previewQueryStatus", "NEW", "previewId", id.text,
                     "previewExecutionId", (json_int_t)number);
    return *out == NULL ? no_memory(err) : TR_OK;
}

/* The lock is held. */
static tr_code find(tr_previews *previews, const tr_tenant *tenant, const char *id, preview **out,
                    tr_err *err)
{
    for (preview *p = previews->list; p != NULL; p = p->next)
        if (p->tenant.id == tenant->id && strcmp(p->id, id) == 0) {
            *out = p;
            return TR_OK;
        }
    return TR_FAIL(err, TR_NOT_FOUND, "no preview with id \"%.60s\"", id);
}

tr_code tr_preview_get(tr_previews *previews, const tr_tenant *tenant, const char *id, json_t **out,
                       tr_err *err)
{
    preview *p = NULL;
    json_t *shown = NULL;
    pthread_mutex_lock(&previews->lock);
    tr_code code = find(previews, tenant, id, &p, err);
    if (code == TR_OK) {
        json_t *results = p->state == READY ? json_copy(p->results) : json_array();
        shown = json_pack("{s:s, s:o}", "state", state_names[p->state], "results", results);
        code = shown == NULL ? no_memory(err) : TR_OK;
    }
    pthread_mutex_unlock(&previews->lock);
    if (code == TR_OK)
        *out = shown;
    return code;
}

/* Of a share of the profiles, scaled to all; 0 when all were read. */
static int64_t standard_error(const preview *p)
{
    if (p->sample_rows == 0 || p->sample_rows >= p->all_rows)
        return 0;
    const double n = (double)p->sample_rows, all = (double)p->all_rows;
    const double share = (double)p->matched / n;
    return (int64_t)ceil(all * sqrt(share * (1 - share) / n * (1 - n / all)));
}

static json_t *distribution(const preview *p)
{
    json_t *list = json_array();
    const char *code;
    json_t *count;
    json_object_foreach (p->namespaces, code, count)
        (void)json_array_append_new(
            list, json_pack("{s:s, s:O}", "namespaceId", code, "profilesMatchedSoFar", count));
    return list;
}

tr_code tr_preview_estimate(tr_previews *previews, const tr_tenant *tenant, const char *id,
                            json_t **out, tr_err *err)
{
    preview *p = NULL;
    json_t *shown = NULL;
    pthread_mutex_lock(&previews->lock);
    tr_code code = find(previews, tenant, id, &p, err);
    if (code == TR_OK) {
        const double scale = p->sample_rows == 0 ? 1 : (double)p->all_rows / (double)p->sample_rows;
        shown = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:o, s:{s:s, s:s}}", "state",
                          state_names[p->state], "estimatedSize",
                          (json_int_t)((double)p->matched * scale + 0.5), "profilesMatchedSoFar",
                          (json_int_t)p->matched, "profilesReadSoFar", (json_int_t)p->read,
                          "numRowsToRead", (json_int_t)p->sample_rows, "totalRows",
                          (json_int_t)p->all_rows, "standardError", (json_int_t)standard_error(p),
                          "confidenceInterval", "95%", "estimatedNamespaceDistribution",
                          distribution(p), "error", "description", p->error, "traceback", "");
        code = shown == NULL ? no_memory(err) : TR_OK;
    }
    pthread_mutex_unlock(&previews->lock);
    if (code == TR_OK)
        *out = shown;
    return code;
}

tr_code tr_preview_remove(tr_previews *previews, const tr_tenant *tenant, const char *id,
                          tr_err *err)
{
    preview *p = NULL;
    pthread_mutex_lock(&previews->lock);
    const tr_code code = find(previews, tenant, id, &p, err);
    if (code == TR_OK) {
        preview **at = &previews->list;
        while (*at != p)
            at = &(*at)->next;
        *at = p->next;
        atomic_store(&p->cancel, true);
        let_go(p);
    }
    pthread_mutex_unlock(&previews->lock);
    return code;
}

void tr_previews_forget(tr_previews *previews, const tr_tenant *tenant)
{
    pthread_mutex_lock(&previews->lock);
    for (preview **at = &previews->list; *at != NULL;) {
        preview *p = *at;
        if (p->tenant.id != tenant->id) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        atomic_store(&p->cancel, true);
        let_go(p);
    }
    pthread_mutex_unlock(&previews->lock);
}
