/* SPDX-License-Identifier: Apache-2.0 */
/* stitched.c - see stitched.h. */
#include "store/stitched.h"
#include "base/clock.h"
#include "base/log.h"
#include "store/store_internal.h"

#include <stdio.h>
#include <string.h>

static const char kind[] = "stitched";

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a stitched run");
}

/* ---- finding */

typedef struct finding {
    const char *digest;
    tr_object found;
    bool is_found;
} finding;

static tr_code match(void *ctx, const tr_object *object, tr_err *err)
{
    finding *f = ctx;
    (void)err;
    if (f->is_found || strcmp(tr_json_text(object->doc, "digest", ""), f->digest) != 0)
        return TR_OK;
    f->found = *object;
    f->found.doc = json_incref(object->doc);
    f->is_found = true;
    return TR_OK;
}

static tr_code set_state(tr_store *store, const tr_tenant *tenant, tr_object *object,
                         const char *state, tr_err *err)
{
    (void)snprintf(object->state, sizeof object->state, "%s", state);
    object->updated_ms = 0;
    return tr_catalog_put(store->catalog, tenant, kind, object, 0, err);
}

/* A sweep that was killed half-way, or a hand, left the object without its file. */
static bool is_lost(tr_store *store, const tr_tenant *tenant, const tr_object *object)
{
    tr_map map = {0};
    const tr_code code =
        tr_lake_map(store->lake, tenant, tr_json_text(object->doc, "dataSetId", ""), object->id,
                    tr_json_text(object->doc, "name", ""), &map, NULL);
    tr_map_close(&map);
    return code == TR_NOT_FOUND;
}

static tr_code take(tr_store *store, const tr_tenant *tenant, tr_object *object, tr_err *err)
{
    if (is_lost(store, tenant, object)) {
        const tr_code code = tr_catalog_remove(store->catalog, tenant, kind, object->id, err);
        return code == TR_OK || code == TR_NOT_FOUND
                   ? TR_FAIL(err, TR_NOT_FOUND, "stitched run %s was lost", object->id)
                   : code;
    }
    return strcmp(object->state, "gone") == 0 /* it is of use again */
               ? set_state(store, tenant, object, "profile", err)
               : TR_OK;
}

tr_code tr_stitched_find(tr_store *store, const tr_tenant *tenant, const char *source,
                         const char *digest, char id[48], tr_err *err)
{
    const tr_catalog_filter filter = {.parent = source};
    finding f = {.digest = digest};
    tr_code code = tr_catalog_list(store->catalog, tenant, kind, &filter, match, &f, err);
    if (code == TR_OK && !f.is_found)
        return TR_FAIL(err, TR_NOT_FOUND, "nothing was stitched of %s", source);
    if (code == TR_OK)
        code = take(store, tenant, &f.found, err);
    if (code == TR_OK)
        (void)snprintf(id, 48, "%s", f.found.id);
    tr_object_clear(&f.found);
    return code;
}

bool tr_stitched_is_there(tr_store *store, const tr_tenant *tenant, const char *id)
{
    tr_object object = {0};
    const bool is_its = tr_catalog_get(store->catalog, tenant, kind, id, &object, NULL) == TR_OK &&
                        strcmp(object.state, "profile") == 0 && !is_lost(store, tenant, &object);
    tr_object_clear(&object);
    return is_its;
}

/* ---- making */

/* Live, or retired and still readable. */
static tr_code check_source(tr_store *store, const tr_tenant *tenant, const tr_stitched_new *of,
                            tr_object *source, tr_err *err)
{
    if (of->runs != NULL)
        TR_TRY(tr_store_has_runs(store, tenant, of->runs, err));
    if (of->source_kind[0] == '\0')
        return TR_OK;
    tr_code code = tr_catalog_get(store->catalog, tenant, of->source_kind, of->source, source, err);
    if (code == TR_OK && tr_run_is_withdrawn(of->source_kind, source->state)) {
        tr_object_clear(source);
        code = TR_NOT_FOUND;
    }
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_NOT_FOUND, "run %s is gone", of->source) : code;
}

static tr_code describe(const tr_stitched_new *of, const tr_object *source,
                        const tr_lake_written *written, uint64_t rows, json_t **out, tr_err *err)
{
    static const char *const copied[] = {"batchId", "behavior", "ingestedUs", "isUpsert"};
    json_t *doc =
        json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:b}", "dataSetId", of->dataset, "name",
                  of->name, "bytes", (json_int_t)written->bytes, "rows", (json_int_t)rows, "xxh128",
                  written->xxh128, "digest", of->digest, "sourceKind", of->source_kind,
                  "isCompacted", (int)(strcmp(of->source_kind, "file") != 0));
    bool is_good = doc != NULL;
    for (size_t i = 0; i < sizeof copied / sizeof *copied && is_good && source->doc != NULL; i++) {
        json_t *value = json_object_get(source->doc, copied[i]);
        is_good = value == NULL || json_object_set(doc, copied[i], value) == 0;
    }
    if (is_good && of->runs != NULL)
        is_good = json_object_set_new(doc, "runs", json_deep_copy(of->runs)) == 0;
    if (is_good && of->behavior != NULL)
        is_good = json_object_set_new(doc, "behavior", json_string(of->behavior)) == 0;
    if (!is_good) {
        json_decref(doc);
        return no_memory(err);
    }
    *out = doc;
    return TR_OK;
}

/* One transaction: the source is still there, and the run of it is, too. */
static tr_code insert(tr_store *store, const tr_tenant *tenant, const tr_stitched_new *of,
                      const tr_lake_written *written, uint64_t rows, const char *id, tr_err *err)
{
    tr_object source = {0}, object = {.state = "profile"};
    (void)snprintf(object.id, sizeof object.id, "%s", id);
    (void)snprintf(object.parent, sizeof object.parent, "%s", of->source);
    TR_TRY(tr_catalog_begin(store->catalog, err));
    tr_code code = check_source(store, tenant, of, &source, err);
    if (code == TR_OK)
        code = describe(of, &source, written, rows, &object.doc, err);
    if (code == TR_OK)
        code = tr_catalog_insert(store->catalog, tenant, kind, &object, err);
    json_decref(object.doc);
    tr_object_clear(&source);
    return tr_catalog_end(store->catalog, code, err);
}

static tr_code write_file(tr_store *store, const tr_tenant *tenant, const char *stage,
                          const tr_stitched_new *of, tr_stitched_write write, void *ctx,
                          uint64_t *rows, tr_lake_written *written, tr_err *err)
{
    tr_lake_file file;
    TR_TRY(tr_lake_create(store->lake, tenant, stage, of->name, &file, err));
    tr_code code = write(ctx, (tr_sink){tr_lake_write, &file}, rows, err);
    if (code == TR_OK)
        code = tr_lake_finish(&file, written, err);
    tr_lake_abandon(&file);
    return code;
}

/* A folder's rename may need room that a full disk has not: then its bytes go, and it at the next
 * start. */
static bool take_back(tr_store *store, const tr_tenant *tenant, const tr_stitched_new *of,
                      const char *id)
{
    return tr_lake_remove_batch(store->lake, tenant, of->dataset, id, NULL) == TR_OK ||
           tr_lake_remove_file(store->lake, tenant, of->dataset, id, of->name, NULL) == TR_OK;
}

tr_code tr_stitched_make(tr_store *store, const tr_tenant *tenant, const tr_stitched_new *of,
                         tr_stitched_write write, void *ctx, char id[48], tr_err *err)
{
    const tr_id own = tr_id_ulid();
    char stage[64];
    uint64_t rows = of->rows;
    tr_lake_written written;
    (void)snprintf(stage, sizeof stage, "stitch-%s", own.text);
    tr_code code = write_file(store, tenant, stage, of, write, ctx, &rows, &written, err);
    if (code == TR_OK) {
        tr_crash_point("stitch_before_publish");
        code = tr_lake_publish(store->lake, tenant, stage, of->dataset, own.text, err);
    }
    if (code == TR_OK) {
        tr_crash_point("stitch_before_commit");
        code = insert(store, tenant, of, &written, rows, own.text, err);
        if (code != TR_OK && !take_back(store, tenant, of, own.text))
            tr_log(TR_LOG_WARN, "store", "orphan_left", "dataset=%s run=%s", of->dataset, own.text);
    } else if (tr_lake_drop_stage(store->lake, tenant, stage, NULL) != TR_OK) {
        tr_log(TR_LOG_WARN, "store", "orphan_left", "dataset=%s stage=%s", of->dataset, stage);
    }
    if (code == TR_OK) {
        tr_crash_point("stitch_committed");
        (void)snprintf(id, 48, "%s", own.text);
    }
    return code;
}

/* ---- going */

typedef struct stitched_list {
    tr_object *objects;
    uint32_t count, cap;
} stitched_list;

static tr_code collect(void *ctx, const tr_object *object, tr_err *err)
{
    stitched_list *list = ctx;
    if (!tr_list_room(&list->objects, list->count, &list->cap, sizeof *list->objects))
        return no_memory(err);
    list->objects[list->count] = *object;
    list->objects[list->count++].doc = json_incref(object->doc);
    return TR_OK;
}

static void clear_list(stitched_list *list)
{
    for (uint32_t i = 0; i < list->count; i++)
        json_decref(list->objects[i].doc);
    tr_free(list->objects);
}

static bool is_listed(const char *digest, const char *const *digests, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(digest, digests[i]) == 0)
            return true;
    return false;
}

typedef enum use { OF_USE, OF_USE_FOR_PLANS, OF_NO_USE } use;

static tr_code is_live(tr_store *store, const tr_tenant *tenant, const char *id, bool *out,
                       tr_err *err)
{
    static const char *const kinds[] = {"file", "run", "stitched"};
    tr_code code = TR_NOT_FOUND;
    *out = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && code == TR_NOT_FOUND; i++) {
        tr_object run = {0};
        code = tr_catalog_get(store->catalog, tenant, kinds[i], id, &run, err);
        *out = code == TR_OK && strcmp(run.state, "profile") == 0;
        tr_object_clear(&run);
    }
    return code == TR_NOT_FOUND ? TR_OK : code;
}

tr_code tr_stitched_are_live(tr_store *store, const tr_tenant *tenant, const json_t *runs,
                             bool *out, tr_err *err)
{
    *out = true;
    for (size_t i = 0; i < json_array_size(runs) && *out; i++) {
        const char *id = json_string_value(json_array_get(runs, i));
        *out = id != NULL;
        if (id != NULL)
            TR_TRY(is_live(store, tenant, id, out, err));
    }
    return TR_OK;
}

static tr_code use_of(tr_store *store, const tr_tenant *tenant, const tr_object *object,
                      bool is_taken_back, use *out, tr_err *err)
{
    const char *source_kind = tr_json_text(object->doc, "sourceKind", "");
    const bool is_old = strcmp(object->state, "gone") == 0 &&
                        object->updated_ms <= tr_time_now_ms() - TR_RUN_RETIRED_MS;
    tr_object source = {0};
    *out = is_old ? OF_NO_USE : strcmp(object->state, "gone") == 0 ? OF_USE_FOR_PLANS : OF_USE;
    const json_t *runs = json_object_get(object->doc, "runs");
    if (runs != NULL && !is_taken_back) { /* what is made of them anew serves plans as well */
        bool are_live = false;
        TR_TRY(tr_stitched_are_live(store, tenant, runs, &are_live, err));
        *out = are_live ? *out : OF_NO_USE;
    }
    if (is_taken_back && *out == OF_USE_FOR_PLANS) /* it may hold what was taken back */
        *out = OF_NO_USE;
    if (source_kind[0] == '\0' || strcmp(source_kind, "membership_run") == 0) {
        /* made of everything, also of what was taken back */
        *out = is_taken_back ? OF_NO_USE : *out;
        if (source_kind[0] == '\0' || *out == OF_NO_USE)
            return TR_OK;
    }
    const tr_code code =
        tr_catalog_get(store->catalog, tenant, source_kind, object->parent, &source, err);
    if (code != TR_OK && code != TR_NOT_FOUND)
        return code;
    const bool has_state = source.state[0] != '\0'; /* membership runs have none */
    if (code == TR_NOT_FOUND || tr_run_is_withdrawn(source_kind, source.state))
        *out = OF_NO_USE;
    else if (*out == OF_USE && has_state && strcmp(source.state, "profile") != 0)
        *out = OF_USE_FOR_PLANS;
    tr_object_clear(&source);
    return TR_OK;
}

static tr_code remove_one(tr_store *store, const tr_tenant *tenant, const tr_object *object,
                          tr_err *err)
{
    tr_store_retire(store, tenant->id, object->id);
    TR_TRY(tr_lake_remove_batch(store->lake, tenant, tr_json_text(object->doc, "dataSetId", ""),
                                object->id, err));
    const tr_code code = tr_catalog_remove(store->catalog, tenant, kind, object->id, err);
    tr_store_retire(store, tenant->id, object->id); /* a plan may have opened it again */
    return code == TR_NOT_FOUND ? TR_OK : code;     /* another sweep was faster */
}

tr_code tr_stitched_remove(tr_store *store, const tr_tenant *tenant, const char *id, tr_err *err)
{
    tr_object object = {0};
    tr_code code = tr_catalog_get(store->catalog, tenant, kind, id, &object, err);
    if (code == TR_OK)
        code = remove_one(store, tenant, &object, err);
    tr_object_clear(&object);
    return code == TR_NOT_FOUND ? TR_OK : code;
}

/* A graph that changes every minute must not fill the disk: the newest of them stay for plans. */
tr_code tr_stitched_supersede(tr_store *store, const tr_tenant *tenant, const char *source,
                              const char *const *digests, uint32_t digest_count, tr_err *err)
{
    stitched_list list = {0};
    const tr_catalog_filter filter = {.parent = source, .is_descending = true};
    tr_code code = tr_catalog_list(store->catalog, tenant, kind, &filter, collect, &list, err);
    uint64_t left = TR_STITCHED_KEPT * (uint64_t)(digest_count == 0 ? 1 : digest_count);
    for (uint32_t i = 0; i < list.count && code == TR_OK; i++) {
        tr_object *object = &list.objects[i];
        if (is_listed(tr_json_text(object->doc, "digest", ""), digests, digest_count))
            continue;
        if (left == 0)
            code = remove_one(store, tenant, object, err);
        else if (strcmp(object->state, "profile") == 0)
            code = set_state(store, tenant, object, "gone", err);
        left -= left > 0;
    }
    clear_list(&list);
    return code;
}

tr_code tr_stitched_sweep(tr_store *store, const tr_tenant *tenant, bool is_taken_back, tr_err *err)
{
    stitched_list list = {0};
    const tr_catalog_filter all = {0};
    tr_code code = tr_catalog_list(store->catalog, tenant, kind, &all, collect, &list, err);
    for (uint32_t i = 0; i < list.count && code == TR_OK; i++) {
        use own = OF_USE;
        tr_object *object = &list.objects[i];
        code = use_of(store, tenant, object, is_taken_back, &own, err);
        if (code == TR_OK && own == OF_NO_USE)
            code = remove_one(store, tenant, object, err);
        else if (code == TR_OK && own == OF_USE_FOR_PLANS && strcmp(object->state, "gone") != 0)
            code = set_state(store, tenant, object, "gone", err);
    }
    clear_list(&list);
    return code;
}
