/* SPDX-License-Identifier: Apache-2.0 */
/* sweep.c - which folders of the lake belong to something, asked once at start-up.
 *
 *     stage/<id>           an export or a segment job that goes on: its finished parts are kept
 *     uploads/<batch>      a batch that is not done: its raw files are read (again)
 *     data/<ds>/<batch>    files that the catalog lists; a compacted or stitched run; or an export
 *                          between its rename and its commit, which goes on from there;
 *                          diagnostics that their batch lists
 *
 * Everything else is what a crash left. When the catalog cannot answer, nothing is removed.
 */
#include "app/server_internal.h"

#include <stdio.h>

#define DIAGNOSTICS "-diagnostics"

typedef struct known {
    tr_catalog *catalog;
    tr_tenant *tenants; /* those that have datasets: nobody else can have files */
    uint32_t count;
    json_t *export_batches; /* "<tenant folder>/<batch>" of exports under way */
} known;

static tr_code add_export(void *ctx, const tr_tenant *tenant, const tr_object *job, tr_err *err)
{
    known *k = ctx;
    char name[128];
    const json_t *to = json_object_get(job->doc, "destination");
    const json_t *batches = json_object_get(to, "batches");
    const size_t count = json_is_array(batches) ? json_array_size(batches) : 1;
    for (size_t i = 0; i < count; i++) {
        const json_t *at = json_is_array(batches) ? json_array_get(batches, i) : to;
        (void)snprintf(name, sizeof name, "%s/%.64s", tenant->folder,
                       tr_json_text(at, "batchId", ""));
        if (json_object_set_new(k->export_batches, name, json_true()) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to sweep");
    }
    return TR_OK;
}

/* Runs of members between their rename and their commit. */
static tr_code add_plan(void *ctx, const tr_tenant *tenant, const tr_object *plan, tr_err *err)
{
    known *k = ctx;
    const json_t *evaluation = json_object_get(plan->doc, "evaluation"); /* of an export */
    const json_t *groups =
        json_object_get(evaluation == NULL ? plan->doc : evaluation, "groups");
    for (size_t i = 0; i < json_array_size(groups); i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "%s/%.64s", tenant->folder,
                       tr_json_text(json_array_get(groups, i), "run", ""));
        if (json_object_set_new(k->export_batches, name, json_true()) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to sweep");
    }
    return TR_OK;
}

static const tr_tenant *find_tenant(const known *k, const char *folder)
{
    for (uint32_t i = 0; i < k->count; i++)
        if (strcmp(k->tenants[i].folder, folder) == 0)
            return &k->tenants[i];
    return NULL;
}

/* The state of an object; "" when there is none; NULL when the catalog cannot say. */
static const char *state_of(const known *k, const tr_tenant *tenant, const char *kind,
                            const char *id, tr_object *object)
{
    const tr_code code = tr_catalog_get(k->catalog, tenant, kind, id, object, NULL);
    if (code == TR_OK)
        return object->state;
    return code == TR_NOT_FOUND ? "" : NULL;
}

static bool is_one_of(const char *state, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(state, *list) == 0)
            return true;
    return false;
}

/* "<job>-<group>" of a segment job; a job's id is a uuid. */
static bool is_segment_known(const known *k, const tr_tenant *tenant, const char *stage)
{
    static const char *const under_way[] = {"NEW", "QUEUED", "PROCESSING", "CANCELLING", NULL};
    enum { UUID_BYTES = 36 };
    tr_object object = {0};
    char id[UUID_BYTES + 1];
    (void)snprintf(id, sizeof id, "%s", stage);
    const char *state = state_of(k, tenant, "segment_job", id, &object);
    const bool is_known = state == NULL || is_one_of(state, under_way);
    tr_object_clear(&object);
    return is_known;
}

static bool is_stage_known(const known *k, const tr_tenant *tenant, const char *stage)
{
    static const char *const under_way[] = {"NEW", "PROCESSING", NULL};
    const char prefix[] = "export-";
    tr_object object = {0};
    if (strncmp(stage, "segment-", 8) == 0)
        return is_segment_known(k, tenant, stage + 8);
    if (strncmp(stage, prefix, sizeof prefix - 1) != 0)
        return false;
    char id[32]; /* "7" of "export-7" and of "export-7-2" */
    (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(stage + sizeof prefix - 1, "-"),
                   stage + sizeof prefix - 1);
    const char *state = state_of(k, tenant, "export", id, &object);
    const bool is_known = state == NULL || is_one_of(state, under_way);
    tr_object_clear(&object);
    return is_known;
}

static bool is_upload_known(const known *k, const tr_tenant *tenant, const char *batch)
{
    static const char *const done[] = {"",        "success",   "active",   "failure", "failed",
                                       "aborted", "abandoned", "inactive", "deleted", NULL};
    tr_object object = {0};
    const char *state = state_of(k, tenant, "batch", batch, &object);
    const bool is_known = state == NULL || !is_one_of(state, done);
    tr_object_clear(&object);
    return is_known;
}

static tr_code note_one(void *ctx, const tr_object *object, tr_err *err)
{
    (void)err;
    if (strcmp(object->state, "gone") != 0)
        *(bool *)ctx = true;
    return TR_OK;
}

/* What was wrong with a batch's rows stays as long as the batch tells of it. */
static bool are_diagnostics_known(const known *k, const tr_tenant *tenant, const char *batch)
{
    tr_object object = {0};
    const char *state = state_of(k, tenant, "batch", batch, &object);
    const bool is_known =
        state == NULL || (strcmp(state, "deleted") != 0 &&
                          json_array_size(json_object_get(object.doc, "_diagnostics")) > 0);
    tr_object_clear(&object);
    return is_known;
}

/* Whether an object of a kind is there: a stitched run, a run of members in force or before. */
static bool has_object(const known *k, const tr_tenant *tenant, const char *kind, const char *id)
{
    tr_object object = {0};
    const tr_code code = tr_catalog_get(k->catalog, tenant, kind, id, &object, NULL);
    tr_object_clear(&object);
    return code != TR_NOT_FOUND; /* when the catalog cannot say, it stays */
}

static bool is_batch_known(const known *k, const tr_tenant *tenant, const char *batch)
{
    char name[128];
    bool has_file = false;
    tr_object object = {0};
    const tr_catalog_filter files = {.parent = batch};
    const size_t len = strlen(batch), end = sizeof DIAGNOSTICS - 1;
    if (len > end && strcmp(batch + len - end, DIAGNOSTICS) == 0) {
        (void)snprintf(name, sizeof name, "%.*s", (int)(len - end), batch);
        return are_diagnostics_known(k, tenant, name);
    }
    (void)snprintf(name, sizeof name, "%s/%.64s", tenant->folder, batch);
    if (json_object_get(k->export_batches, name) != NULL)
        return true;
    if (tr_catalog_list(k->catalog, tenant, "file", &files, note_one, &has_file, NULL) != TR_OK)
        return true;
    if (has_file)
        return true;
    const char *run = state_of(k, tenant, "run", batch, &object);
    const bool is_known = run == NULL || run[0] != '\0';
    tr_object_clear(&object);
    return is_known || has_object(k, tenant, "membership_run", batch) ||
           has_object(k, tenant, "stitched", batch);
}

static bool is_known(void *ctx, const char *tenant_folder, const char *kind, const char *id)
{
    const known *k = ctx;
    const tr_tenant *tenant = find_tenant(k, tenant_folder);
    if (tenant == NULL)
        return false;
    if (strcmp(kind, "stage") == 0)
        return is_stage_known(k, tenant, id);
    if (strcmp(kind, "upload") == 0)
        return is_upload_known(k, tenant, id);
    return is_batch_known(k, tenant, id);
}

tr_code tr_sweep(tr_catalog *catalog, tr_lake *lake, tr_err *err)
{
    known k = {.catalog = catalog, .export_batches = json_object()};
    tr_code code =
        k.export_batches != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory to sweep");
    if (code == TR_OK)
        code = tr_catalog_tenants_with(catalog, "dataset", &k.tenants, &k.count, err);
    if (code == TR_OK)
        code = tr_catalog_scan(catalog, "export", "NEW", add_export, &k, err);
    if (code == TR_OK)
        code = tr_catalog_scan(catalog, "export", "PROCESSING", add_export, &k, err);
    if (code == TR_OK)
        code = tr_catalog_scan(catalog, "segment_plan", NULL, add_plan, &k, err);
    if (code == TR_OK)
        code = tr_catalog_scan(catalog, "export_plan", NULL, add_plan, &k, err);
    if (code == TR_OK)
        code = tr_lake_sweep(lake, is_known, &k, err);
    tr_free(k.tenants);
    json_decref(k.export_batches);
    return code;
}
