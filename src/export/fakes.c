/* SPDX-License-Identifier: Apache-2.0 */
/* fakes.c - see fakes_internal.h. Only for tests. */
#include "export/fakes_internal.h"

#include <unistd.h>

#include "base/check.h"

#include <stdlib.h>

tr_fake_faults tr_fake_now;
jmp_buf tr_fake_crash;
uint64_t tr_fake_profiles[8];
uint32_t tr_fake_partitions;
int tr_fake_merges;
int64_t tr_fake_snapshot_ms;
tr_export *tr_fake_export;

/* ---- crashes */
static int passages;

void tr_crash_point(const char *name)
{
    if (tr_fake_now.crash_at != NULL && strcmp(name, tr_fake_now.crash_at) == 0 &&
        ++passages == tr_fake_now.crash_passage) {
        tr_fake_now.crash_at = NULL;
        longjmp(tr_fake_crash, 1);
    }
}

/* ---- catalog: rows in a JSON array, a copy of it while a transaction is open */
static json_t *rows, *saved; /* saved: to go back to */
static int depth;
static int64_t clock_ms, sequence;

static json_t *find(const char *kind, const char *id, size_t *index)
{
    size_t i;
    json_t *row;
    json_array_foreach (rows, i, row) {
        if (strcmp(tr_json_text(row, "kind", ""), kind) == 0 &&
            strcmp(tr_json_text(row, "id", ""), id) == 0) {
            if (index != NULL)
                *index = i;
            return row;
        }
    }
    return NULL;
}

tr_code tr_catalog_begin(tr_catalog *catalog, tr_err *err)
{
    (void)catalog, (void)err;
    if (depth++ == 0)
        saved = json_deep_copy(rows);
    return TR_OK;
}

void tr_catalog_rollback(tr_catalog *catalog)
{
    (void)catalog;
    if (depth == 0)
        return;
    depth = 0;
    json_decref(rows);
    rows = saved;
    saved = NULL;
}

tr_code tr_catalog_commit(tr_catalog *catalog, tr_err *err)
{
    if (depth == 1 && tr_fake_now.merge_code == TR_CODE_COUNT && tr_fake_now.catalog_failures > 0) {
        tr_fake_now.catalog_failures--;
        tr_catalog_rollback(catalog);
        return TR_FAIL(err, TR_NO_SPACE, "disk is full");
    }
    if (--depth == 0) {
        json_decref(saved);
        saved = NULL;
    }
    return TR_OK;
}

tr_code tr_catalog_end(tr_catalog *catalog, tr_code code, tr_err *err)
{
    if (code == TR_OK)
        return tr_catalog_commit(catalog, err);
    tr_catalog_rollback(catalog);
    return code;
}

void tr_object_clear(tr_object *object)
{
    json_decref(object->doc);
    *object = (tr_object){0};
}

static void read_row(const json_t *row, tr_object *out)
{
    *out = (tr_object){.created_ms = tr_json_int(row, "created", 0),
                       .doc = json_deep_copy(json_object_get(row, "doc"))};
    (void)snprintf(out->id, sizeof out->id, "%s", tr_json_text(row, "id", ""));
    (void)snprintf(out->parent, sizeof out->parent, "%s", tr_json_text(row, "parent", ""));
    (void)snprintf(out->state, sizeof out->state, "%s", tr_json_text(row, "state", ""));
}

tr_code tr_catalog_get(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                       const char *id, tr_object *out, tr_err *err)
{
    (void)catalog, (void)tenant;
    const json_t *row = find(kind, id, NULL);
    if (row == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "no %s with id \"%s\"", kind, id);
    read_row(row, out);
    return TR_OK;
}

static json_t *row_of(const char *kind, const tr_object *object)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:o}", "kind", kind, "id", object->id, "parent",
                     object->parent, "state", object->state, "created",
                     (json_int_t)(object->created_ms != 0 ? object->created_ms : ++clock_ms), "doc",
                     json_deep_copy(object->doc));
}

tr_code tr_catalog_insert(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                          const tr_object *object, tr_err *err)
{
    (void)catalog, (void)tenant;
    if (find(kind, object->id, NULL) != NULL)
        return TR_FAIL(err, TR_CONFLICT, "%s exists", kind);
    json_array_append_new(rows, row_of(kind, object));
    return TR_OK;
}

tr_code tr_catalog_put(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                       const tr_object *object, int64_t if_revision, tr_err *err)
{
    size_t index = 0;
    (void)catalog, (void)tenant, (void)if_revision;
    if (find(kind, object->id, &index) == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "no %s", kind);
    json_array_set_new(rows, index, row_of(kind, object));
    return TR_OK;
}

tr_code tr_catalog_remove(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                          const char *id, tr_err *err)
{
    size_t index = 0;
    (void)catalog, (void)tenant;
    if (find(kind, id, &index) == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "no %s", kind);
    json_array_remove(rows, index);
    return TR_OK;
}

tr_code tr_catalog_next(tr_catalog *catalog, const tr_tenant *tenant, const char *name,
                        int64_t *out, tr_err *err)
{
    (void)catalog, (void)tenant, (void)name, (void)err;
    *out = ++sequence;
    return TR_OK;
}

tr_code tr_catalog_clock(tr_catalog *catalog, const tr_tenant *tenant, int64_t *us, tr_err *err)
{
    (void)catalog, (void)tenant, (void)err;
    *us = tr_time_now_us();
    return TR_OK;
}

static bool passes(const json_t *row, const char *kind, const char *parent, const char *state)
{
    return strcmp(tr_json_text(row, "kind", ""), kind) == 0 &&
           (parent == NULL || strcmp(tr_json_text(row, "parent", ""), parent) == 0) &&
           (state == NULL || strstr(state, tr_json_text(row, "state", "?")) != NULL);
}

tr_code tr_catalog_list(tr_catalog *catalog, const tr_tenant *tenant, const char *kind,
                        const tr_catalog_filter *filter, tr_catalog_each each, void *ctx,
                        tr_err *err)
{
    (void)catalog, (void)tenant;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        tr_object object;
        if (!passes(json_array_get(rows, i), kind, filter->parent, filter->state))
            continue;
        read_row(json_array_get(rows, i), &object);
        const tr_code code = each(ctx, &object, err);
        tr_object_clear(&object);
        TR_TRY(code);
    }
    return TR_OK;
}

tr_code tr_catalog_scan(tr_catalog *catalog, const char *kind, const char *state,
                        tr_catalog_each_tenant each, void *ctx, tr_err *err)
{
    static const tr_tenant tenant = {.id = 1, .org = "O@AdobeOrg", .sandbox = "prod"};
    (void)catalog;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        tr_object object;
        if (!passes(json_array_get(rows, i), kind, NULL, state))
            continue;
        read_row(json_array_get(rows, i), &object);
        const tr_code code = each(ctx, &tenant, &object, err);
        tr_object_clear(&object);
        TR_TRY(code);
    }
    return TR_OK;
}

static tr_xdm_schema union_schema;

tr_code tr_catalog_schema_open(tr_catalog *catalog, const tr_tenant *tenant, tr_str id,
                               const tr_xdm_schema **out, tr_err *err)
{
    (void)catalog, (void)tenant, (void)id;
    if (union_schema.shape.root == NULL) {
        tr_type *root = tr_type_make(&union_schema.arena, TR_KIND_OBJECT, tr_str_of(""));
        tr_type *name = tr_type_make(&union_schema.arena, TR_KIND_STRING, tr_str_of("name"));
        TR_ASSERT(root != NULL && name != NULL && tr_type_add(&union_schema.arena, root, name));
        TR_TRY(tr_shape_make(&union_schema.arena, root, &union_schema.shape, err));
    }
    *out = &union_schema;
    return TR_OK;
}

void tr_catalog_schema_close(tr_catalog *catalog, const tr_xdm_schema *schema)
{
    (void)catalog, (void)schema;
}

/* ---- lake: {"stage/export-1/part": text, "data/<dataset>/<batch>/part": text} */
static json_t *files;
static char writing[128], written_text[256];

tr_code tr_lake_create(tr_lake *lake, const tr_tenant *tenant, const char *stage, const char *name,
                       tr_lake_file *out, tr_err *err)
{
    (void)lake, (void)tenant, (void)err;
    *out = (tr_lake_file){.file = {.fd = 1}};
    (void)snprintf(writing, sizeof writing, "stage/%s/%s", stage, name);
    written_text[0] = '\0';
    json_object_set_new(files, writing, json_string("unfinished"));
    return TR_OK;
}

tr_code tr_lake_write(void *ctx, tr_str bytes, tr_err *err)
{
    (void)ctx, (void)err;
    (void)snprintf(written_text + strlen(written_text), sizeof written_text - strlen(written_text),
                   "%.*s", TR_STR_ARG(bytes));
    return TR_OK;
}

tr_code tr_lake_finish(tr_lake_file *file, tr_lake_written *out, tr_err *err)
{
    (void)err;
    out->bytes = strlen(written_text);
    tr_hash128_text(tr_hash128_of(tr_str_of(written_text)), out->xxh128);
    if (tr_fake_now.part_rots && strstr(writing, "00001") != NULL)
        written_text[0] ^= 1;
    json_object_set_new(files, writing, json_string(written_text));
    file->file.fd = -1;
    return TR_OK;
}

void tr_lake_abandon(tr_lake_file *file)
{
    if (file->file.fd >= 0)
        json_object_del(files, writing);
    file->file.fd = -1;
}

static bool is_same(const char *text, const tr_lake_written *expected)
{
    char hash[33];
    if (text == NULL)
        return false;
    tr_hash128_text(tr_hash128_of(tr_str_of(text)), hash);
    return strlen(text) == expected->bytes && strcmp(hash, expected->xxh128) == 0;
}

bool tr_lake_stage_has(tr_lake *lake, const tr_tenant *tenant, const char *stage, const char *name,
                       const tr_lake_written *expected)
{
    char path[128];
    (void)lake, (void)tenant;
    (void)snprintf(path, sizeof path, "stage/%s/%s", stage, name);
    return is_same(tr_json_text(files, path, NULL), expected);
}

/* Moves (to != NULL) or removes everything under a prefix. */
static int move_all(const char *from, const char *to)
{
    const char *path;
    json_t *text, *old = files;
    int moved = 0;
    files = json_object();
    json_object_foreach (old, path, text) {
        char next[160];
        if (strncmp(path, from, strlen(from)) != 0) {
            json_object_set(files, path, text);
            continue;
        }
        moved++;
        (void)snprintf(next, sizeof next, "%s%s", to == NULL ? "" : to, path + strlen(from));
        if (to != NULL)
            json_object_set(files, next, text);
    }
    json_decref(old);
    return moved;
}

tr_code tr_lake_publish(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                        const char *dataset, const char *batch, tr_err *err)
{
    char from[64], to[128];
    (void)lake, (void)tenant;
    (void)snprintf(from, sizeof from, "stage/%s/", stage);
    (void)snprintf(to, sizeof to, "data/%s/%s/", dataset, batch);
    return move_all(from, to) > 0 ? TR_OK : TR_FAIL(err, TR_NOT_FOUND, "no stage");
}

tr_code tr_lake_drop_stage(tr_lake *lake, const tr_tenant *tenant, const char *stage, tr_err *err)
{
    char from[64];
    (void)lake, (void)tenant, (void)err;
    (void)snprintf(from, sizeof from, "stage/%s/", stage);
    (void)move_all(from, NULL);
    return TR_OK;
}

tr_code tr_lake_remove_batch(tr_lake *lake, const tr_tenant *tenant, const char *dataset,
                             const char *batch, tr_err *err)
{
    char from[128];
    (void)lake, (void)tenant, (void)err;
    (void)snprintf(from, sizeof from, "data/%s/%s/", dataset, batch);
    (void)move_all(from, NULL);
    return TR_OK;
}

tr_code tr_lake_map(tr_lake *lake, const tr_tenant *tenant, const char *dataset, const char *batch,
                    const char *name, tr_map *out, tr_err *err)
{
    char path[160];
    (void)lake, (void)tenant;
    (void)snprintf(path, sizeof path, "data/%s/%s/%s", dataset, batch, name);
    const char *text = tr_json_text(files, path, NULL);
    if (text == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "no file");
    out->bytes = tr_str_of(text);
    return TR_OK;
}

bool tr_lake_has(tr_lake *lake, const tr_tenant *tenant, const char *dataset, const char *batch,
                 const char *name, const tr_lake_written *expected)
{
    tr_map map = {0};
    return tr_lake_map(lake, tenant, dataset, batch, name, &map, NULL) == TR_OK &&
           is_same((const char *)map.bytes.at, expected);
}

void tr_map_close(tr_map *map)
{
    map->bytes = (tr_str){0};
}

/* ---- store and merge */
static const tr_run run_a = {.id = "run-a"}, run_b = {.id = "run-b"};
static const tr_run *runs[] = {&run_a, &run_b};
static tr_snapshot snapshot = {.runs = runs, .run_count = 1};
static bool is_newer; /* data has come since the first plan: the newest snapshot has it */

tr_code tr_store_snapshot(tr_store *store, const tr_tenant *tenant, tr_snapshot **out, tr_err *err)
{
    (void)store, (void)tenant, (void)err;
    tr_fake_snapshot_ms = tr_time_now_ms();
    (void)usleep(2000); /* opening runs takes a while */
    if (is_newer)
        snapshot.run_count = 2;
    *out = &snapshot;
    return TR_OK;
}

tr_code tr_store_snapshot_of(tr_store *store, const tr_tenant *tenant, const json_t *run_ids,
                             tr_snapshot **out, tr_err *err)
{
    (void)store, (void)tenant, (void)run_ids;
    if (tr_fake_now.runs_are_gone > 0) {
        tr_fake_now.runs_are_gone--;
        snapshot.run_count = 2;
        return TR_FAIL(err, TR_NOT_FOUND, "run is gone");
    }
    *out = &snapshot;
    return TR_OK;
}

tr_code tr_store_has_runs(tr_store *store, const tr_tenant *tenant, const json_t *run_ids,
                          tr_err *err)
{
    (void)store, (void)tenant, (void)run_ids, (void)err;
    return TR_OK;
}

void tr_store_release(tr_store *store, tr_snapshot *held)
{
    (void)store, (void)held;
}

tr_code tr_materialized_take(tr_materialized *materialized, const tr_tenant *tenant,
                             const tr_snapshot *held, const tr_merge_policy *policy,
                             const char *named, tr_materialized_run *out, tr_err *err)
{
    (void)materialized, (void)tenant, (void)held, (void)policy;
    *out = (tr_materialized_run){0};
    if (named != NULL && named[0] != '\0' && tr_fake_now.merged_is_gone > 0) {
        tr_fake_now.merged_is_gone--;
        is_newer = true;
        return TR_FAIL(err, TR_NOT_FOUND, "merged run %s is gone", named);
    }
    if (tr_fake_now.merged != NULL && (named == NULL || named[0] != '\0'))
        (void)snprintf(out->id, sizeof out->id, "%s", tr_fake_now.merged);
    return TR_OK;
}

void tr_materialized_drop(tr_materialized *materialized, const tr_tenant *tenant, const char *id)
{
    (void)materialized, (void)tenant, (void)id;
}

struct tr_merge_plan {
    uint32_t runs;
};

tr_code tr_merge_plan_open(const tr_merge_spec *spec, tr_merge_plan **out, tr_err *err)
{
    (void)err;
    *out = tr_alloc_zeroed(1, sizeof **out);
    (*out)->runs = spec->snapshot->run_count;
    return TR_OK;
}

void tr_merge_plan_close(tr_merge_plan *plan)
{
    tr_free(plan);
}

uint32_t tr_merge_partition_count(const tr_merge_plan *plan)
{
    (void)plan;
    return tr_fake_partitions;
}

tr_code tr_merge_look(const tr_merge_plan *plan, uint32_t index, const atomic_bool *cancel,
                      tr_merge_stats *stats, tr_err *err)
{
    (void)plan, (void)cancel, (void)err;
    const uint64_t profiles = tr_fake_profiles[index];
    *stats = (tr_merge_stats){
        .profiles = profiles, .profiles_seen = profiles, .profiles_kept = profiles};
    return TR_OK;
}

tr_code tr_merge_partition(const tr_merge_plan *plan, uint32_t index, tr_sink sink,
                           const atomic_bool *cancel, tr_merge_count_namespace count,
                           void *count_ctx, tr_merge_stats *stats, tr_err *err)
{
    char text[64];
    tr_fake_merges++;
    if (tr_fake_now.cancel_in_partition == index) {
        static const tr_tenant tenant = {.id = 1, .org = "O@AdobeOrg", .sandbox = "prod"};
        tr_fake_now.cancel_in_partition = UINT32_MAX;
        TR_TRY(tr_export_cancel(tr_fake_export, &tenant, "1", err));
    }
    if (cancel != NULL && atomic_load(cancel))
        return TR_FAIL(err, TR_CANCELLED, "cancelled");
    if (tr_fake_now.merge_code != TR_OK && tr_fake_now.merge_code != TR_CODE_COUNT &&
        tr_fake_now.merge_partition == index) {
        const tr_code code = tr_fake_now.merge_code;
        tr_fake_now.merge_code = TR_CODE_COUNT; /* from now on commits may fail, too */
        return TR_FAIL(err, code, "part %u: disk is full", index);
    }
    (void)snprintf(text, sizeof text, "[%u: %u runs, %llu profiles]", index, plan->runs,
                   (unsigned long long)tr_fake_profiles[index]);
    TR_TRY(sink.write(sink.ctx, tr_str_of(text), err));
    if (tr_fake_profiles[index] > 0 && count != NULL)
        count(count_ctx, tr_str_of("CRMID"), tr_fake_profiles[index]);
    *stats = (tr_merge_stats){.profiles = tr_fake_profiles[index]};
    return TR_OK;
}

/* ---- compute: a queue that the test runs itself */
static struct {
    tr_job_fn run, drop;
    void *ctx;
} queue[64];
static int queued, next_job;

tr_code tr_compute_submit(tr_compute *compute, tr_job_fn run, tr_job_fn drop, void *ctx,
                          tr_err *err)
{
    (void)compute, (void)err;
    TR_ASSERT(queued < 64);
    queue[queued].run = run, queue[queued].drop = drop, queue[queued++].ctx = ctx;
    return TR_OK;
}

bool tr_compute_is_stopping(const tr_compute *compute)
{
    (void)compute;
    return false;
}

tr_code tr_compute_run(tr_compute *compute, uint32_t count, tr_task_fn task, void *ctx,
                       const atomic_bool *cancel, tr_err *err)
{
    (void)compute;
    for (uint32_t i = 0; i < count; i++) {
        if (cancel != NULL && atomic_load(cancel))
            return TR_FAIL(err, TR_CANCELLED, "cancelled");
        TR_TRY(task(ctx, i, err));
    }
    return TR_OK;
}

/* ---- the test's own door */
void tr_fake_run_queue(void)
{
    while (next_job < queued) {
        const int at = next_job++;
        queue[at].run(queue[at].ctx);
        queue[at].drop(queue[at].ctx);
    }
    queued = next_job = 0;
}

void tr_fake_restart(void)
{
    tr_catalog_rollback(NULL);
    queued = next_job = 0;
    passages = 0;
}

void tr_fake_reset(void)
{
    tr_fake_restart();
    json_decref(rows);
    json_decref(files);
    rows = json_array();
    files = json_object();
    sequence = 0;
    snapshot.run_count = 1;
    is_newer = false;
    tr_fake_merges = 0;
    tr_fake_now = (tr_fake_faults){.cancel_in_partition = UINT32_MAX};
}

int tr_fake_files(const char *prefix)
{
    const char *path;
    json_t *text;
    int count = 0;
    json_object_foreach (files, path, text)
        count += strncmp(path, prefix, strlen(prefix)) == 0;
    return count;
}

char *tr_fake_bytes(const char *batch)
{
    char *out = calloc(1, 4096);
    for (int part = 0; part < 8; part++) {
        const char *path;
        json_t *text;
        char name[32];
        (void)snprintf(name, sizeof name, "part-%05d", part);
        json_object_foreach (files, path, text) {
            if (strncmp(path, "data/", 5) == 0 && strstr(path, batch) != NULL &&
                strstr(path, name) != NULL)
                strncat(out, json_string_value(text), 4095 - strlen(out));
        }
    }
    return out;
}

const json_t *tr_fake_doc(const char *kind, const char *id, const char **state)
{
    const json_t *row = find(kind, id, NULL);
    if (state != NULL)
        *state = tr_json_text(row, "state", "");
    return json_object_get(row, "doc");
}

int tr_fake_count(const char *kind)
{
    int count = 0;
    for (size_t i = 0; i < json_array_size(rows); i++)
        count += strcmp(tr_json_text(json_array_get(rows, i), "kind", ""), kind) == 0;
    return count;
}

void tr_fake_put_dataset(const char *id, const char *schema)
{
    tr_object object = {.doc = json_pack("{s:{s:s}}", "schemaRef", "id", schema)};
    (void)snprintf(object.id, sizeof object.id, "%s", id);
    TR_ASSERT(tr_catalog_insert(NULL, NULL, "dataset", &object, NULL) == TR_OK);
    json_decref(object.doc);
}
