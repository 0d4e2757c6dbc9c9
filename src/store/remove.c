/* SPDX-License-Identifier: Apache-2.0 */
/* remove.c - see remove.h.
 *
 * What is looked at: the store's live runs, and files of batches that feed Profile and were folded
 * into one: SQL and Data Access read them. A run that was folded and is live is rewritten as well;
 * runs that are not live any more are for plans under way only: they are withdrawn in the
 * transaction, and their bytes go at once (tr_store_sweep).
 */
#include "store/remove.h"
#include "base/log.h"
#include "store/store_internal.h"

#include <stdio.h>
#include <string.h>

typedef struct item { /* a file or run that was looked at */
    tr_run_entry entry;
    tr_rewritten_file file;
    bool is_in_force;
    char new_id[48];
} item;

struct tr_store_removal {
    tr_store *store;
    tr_tenant tenant;
    int64_t number;
    const tr_forget_list *list;
    item *items;
    uint32_t count, cap;
    json_t *known; /* their ids: there may be a hundred thousand, and everybody waits for `apply` */
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to remove identities");
}

/* ---- names */

/* "part-00000.parquet", "part-00000.r3.parquet" -> "part-00000.r7.parquet" */
void tr_store_removal_name(const char *old, int64_t number, char out[104])
{
    const char *end = strrchr(old, '.');
    size_t len = end == NULL ? strlen(old) : (size_t)(end - old);
    for (size_t i = len; i > 1 && old[i - 1] != '.'; i--) /* an earlier removal's number */
        if (old[i - 1] == 'r' && old[i - 2] == '.' && strspn(old + i, "0123456789") == len - i) {
            len = i - 2;
            break;
        }
    (void)snprintf(out, 104, "%.*s.r%lld%s", (int)len, old, (long long)number,
                   end == NULL ? "" : end);
}

/* Ids of batches' files are of hexadecimal digits and capitals. */
static void name_id(const char *old, int64_t number, char out[48])
{
    (void)snprintf(out, 48, "%.*sr%lld", (int)strcspn(old, "r"), old, (long long)number);
}

static void name_stage(const tr_rewrite_order *order, char out[64])
{
    (void)snprintf(out, 64, "removal-%lld-%.40s", (long long)order->number, order->folder);
}

/* ---- one file */

static tr_code stage_file(tr_lake *lake, const tr_rewrite_order *order, const char *stage,
                          const tr_run *run, const tr_forget_list *list, tr_rewritten_file *out,
                          tr_err *err)
{
    tr_lake_file file;
    TR_TRY(tr_lake_create(lake, order->tenant, stage, order->name, &file, err));
    tr_code code = tr_run_rewrite(run, list, (tr_sink){tr_lake_write, &file}, &out->rows, err);
    if (code == TR_OK && out->rows.rows > 0)
        code = tr_lake_finish(&file, &out->written, err);
    tr_lake_abandon(&file);
    return code;
}

/* Where the catalog's transaction will look for it. */
static tr_code place_file(tr_lake *lake, const tr_rewrite_order *order, const char *stage,
                          tr_rewritten_file *out, tr_err *err)
{
    if (order->new_folder != NULL) {
        (void)snprintf(out->name, sizeof out->name, "%s", order->name);
        return tr_lake_publish(lake, order->tenant, stage, order->dataset, order->new_folder, err);
    }
    tr_store_removal_name(order->name, order->number, out->name);
    return tr_lake_add(lake, order->tenant, stage, order->name, order->dataset, order->folder,
                       out->name, err);
}

static tr_code write_file(tr_lake *lake, const tr_rewrite_order *order, const tr_run *run,
                          const tr_forget_list *list, tr_rewritten_file *out, tr_err *err)
{
    char stage[64];
    name_stage(order, stage);
    TR_TRY(tr_lake_drop_stage(lake, order->tenant, stage, err));
    tr_code code = stage_file(lake, order, stage, run, list, out, err);
    if (code == TR_OK && out->rows.rows > 0) {
        tr_crash_point("removal_rewritten");
        code = place_file(lake, order, stage, out, err);
        tr_crash_point("removal_placed");
    }
    const tr_code dropped =
        tr_lake_drop_stage(lake, order->tenant, stage, code == TR_OK ? err : NULL);
    return code != TR_OK ? code : dropped;
}

tr_code tr_store_rewrite(tr_lake *lake, const tr_rewrite_order *order, const tr_forget_list *list,
                         tr_rewritten_file *out, tr_err *err)
{
    tr_map map = {0};
    tr_run *run = NULL;
    tr_rewritten_file done = {0};
    TR_TRY(tr_lake_map(lake, order->tenant, order->dataset, order->folder, order->name, &map, err));
    tr_code code = tr_run_open(map.bytes, order->folder, order->dataset, &run, err);
    if (code == TR_OK && order->is_of_batch)
        (void)snprintf(run->batch, sizeof run->batch, "%s", order->folder);
    if (code == TR_OK)
        code = tr_run_names(run, list, &done.is_rewritten, err);
    if (code == TR_OK && done.is_rewritten)
        code = write_file(lake, order, run, list, &done, err);
    if (code != TR_OK)
        tr_err_context(err, "%s of %s", order->name, order->folder);
    tr_run_close(run);
    tr_map_close(&map);
    if (code == TR_OK)
        *out = done;
    return code;
}

/* ---- all of them */

tr_code tr_store_removal_open(tr_store *store, const tr_tenant *tenant, int64_t number,
                              const tr_forget_list *list, tr_store_removal **out, tr_err *err)
{
    tr_store_removal *removal = tr_alloc_zeroed(1, sizeof *removal);
    if (removal == NULL)
        return no_memory(err);
    *removal = (tr_store_removal){
        .store = store, .tenant = *tenant, .number = number, .list = list, .known = json_object()};
    if (removal->known == NULL) {
        tr_free(removal);
        return no_memory(err);
    }
    (void)pthread_mutex_lock(&store->compacting);
    *out = removal;
    return TR_OK;
}

static tr_code add_file(void *ctx, const tr_object *object, tr_err *err)
{
    const bool is_run =
        strcmp(object->state, "profile") == 0 ||
        (strcmp(object->state, "lake") == 0 && tr_json_bool(object->doc, "isProfile", false));
    return is_run ? tr_run_list_add(ctx, object, TR_RUN_OF_FILE, err) : TR_OK;
}

static tr_code add_run(void *ctx, const tr_object *object, tr_err *err)
{
    return tr_run_list_add(ctx, object, TR_RUN_COMPACTED, err);
}

/* Within a transaction, or in one of its own. */
static tr_code list_all(const tr_store_removal *removal, tr_run_list *list, tr_err *err)
{
    tr_catalog *catalog = removal->store->catalog;
    const tr_catalog_filter files = {.state = "profile,lake"}, runs = {.state = "profile"};
    TR_TRY(tr_catalog_begin(catalog, err));
    tr_code code = tr_catalog_list(catalog, &removal->tenant, "file", &files, add_file, list, err);
    if (code == TR_OK)
        code = tr_catalog_list(catalog, &removal->tenant, "run", &runs, add_run, list, err);
    return tr_catalog_end(catalog, code, err);
}

static bool was_looked_at(const tr_store_removal *removal, const tr_run_entry *entry)
{
    return json_object_get(removal->known, entry->id) != NULL;
}

static tr_code look_at(tr_store_removal *removal, const tr_run_entry *entry, tr_err *err)
{
    if (!tr_list_room(&removal->items, removal->count, &removal->cap, sizeof *removal->items))
        return no_memory(err);
    item *own = &removal->items[removal->count];
    *own = (item){.entry = *entry};
    name_id(entry->id, removal->number, own->new_id);
    const tr_rewrite_order order = {.tenant = &removal->tenant,
                                    .dataset = entry->dataset,
                                    .folder = entry->folder,
                                    .name = entry->name,
                                    .new_folder = entry->is_compacted ? own->new_id : NULL,
                                    .number = removal->number,
                                    .is_of_batch = !entry->is_compacted};
    const tr_code code =
        tr_store_rewrite(removal->store->lake, &order, removal->list, &own->file, err);
    if (code ==
        TR_NOT_FOUND) /* its batch was taken back meanwhile: apply does not find it either */
        return TR_OK;
    TR_TRY(code);
    removal->count++; /* first: what it placed is removed at the end */
    return json_object_set_new(removal->known, entry->id, json_true()) == 0 ? TR_OK
                                                                            : no_memory(err);
}

tr_code tr_store_removal_prepare(tr_store_removal *removal, tr_err *err)
{
    tr_run_list list = {0};
    tr_code code = list_all(removal, &list, err);
    for (uint32_t i = 0; i < list.count && code == TR_OK; i++)
        if (!was_looked_at(removal, &list.entries[i]))
            code = look_at(removal, &list.entries[i], err);
    tr_free(list.entries);
    return code;
}

/* The document of the file that takes the place of `old`. NULL: no memory. */
static json_t *describe(const item *own, const json_t *old)
{
    json_t *doc = json_copy((json_t *)(uintptr_t)old);
    const bool is_good =
        doc != NULL &&
        (json_object_get(old, "id") == NULL ||
         json_object_set_new(doc, "id", json_string(own->new_id)) == 0) &&
        json_object_set_new(doc, "name", json_string(own->file.name)) == 0 &&
        json_object_set_new(doc, "bytes", json_integer((json_int_t)own->file.written.bytes)) == 0 &&
        json_object_set_new(doc, "rows", json_integer((json_int_t)own->file.rows.rows)) == 0 &&
        json_object_set_new(doc, "xxh128", json_string(own->file.written.xxh128)) == 0;
    if (is_good)
        return doc;
    json_decref(doc);
    return NULL;
}

static tr_code note_bytes(const tr_run_entry *entry, json_t *bytes, tr_err *err)
{
    return json_array_append_new(bytes, json_pack("{s:s, s:s, s:s}", "dataset", entry->dataset,
                                                  "batch", entry->folder, "name",
                                                  entry->is_compacted ? "" : entry->name)) == 0
               ? TR_OK
               : no_memory(err);
}

/* It may have been folded, unfolded or taken back since: its state is that of now. */
static tr_code replace(tr_store_removal *removal, item *own, json_t *bytes, tr_err *err)
{
    tr_catalog *catalog = removal->store->catalog;
    const char *kind = own->entry.is_compacted ? "run" : "file";
    tr_object object = {0};
    own->is_in_force = false; /* whatever an earlier try found */
    tr_code code = tr_catalog_get(catalog, &removal->tenant, kind, own->entry.id, &object, err);
    if (code == TR_NOT_FOUND)
        return TR_OK;
    TR_TRY(code);
    own->is_in_force =
        strcmp(object.state, "gone") != 0 && strcmp(object.state, TR_RUN_WITHDRAWN) != 0;
    if (own->is_in_force)
        code = note_bytes(&own->entry, bytes, err);
    if (code == TR_OK && own->is_in_force)
        code = tr_catalog_remove(catalog, &removal->tenant, kind, own->entry.id, err);
    if (code == TR_OK && own->is_in_force && own->file.name[0] != '\0') {
        json_t *old = object.doc;
        object.doc = describe(own, old);
        json_decref(old);
        (void)snprintf(object.id, sizeof object.id, "%s", own->new_id);
        object.updated_ms = 0;
        code = object.doc == NULL
                   ? no_memory(err)
                   : tr_catalog_insert(catalog, &removal->tenant, kind, &object, err);
    }
    tr_object_clear(&object);
    return code;
}

static tr_code withdraw_run(const tr_store_removal *removal, const char *id, tr_err *err)
{
    tr_object run = {0};
    TR_TRY(tr_catalog_get(removal->store->catalog, &removal->tenant, "run", id, &run, err));
    (void)snprintf(run.state, sizeof run.state, TR_RUN_WITHDRAWN);
    run.updated_ms = 0;
    const tr_code code =
        tr_catalog_put(removal->store->catalog, &removal->tenant, "run", &run, 0, err);
    tr_object_clear(&run);
    return code;
}

/* Runs that were folded have the rows, too: whoever evaluated over them must see that they go. */
static tr_code withdraw_folded(const tr_store_removal *removal, tr_err *err)
{
    const tr_catalog_filter folded = {.state = "gone"};
    json_t *ids = json_array();
    tr_code code = ids == NULL ? no_memory(err)
                               : tr_catalog_ids(removal->store->catalog, &removal->tenant, "run",
                                                &folded, ids, err);
    for (size_t i = 0; i < json_array_size(ids) && code == TR_OK; i++)
        code = withdraw_run(removal, json_string_value(json_array_get(ids, i)), err);
    json_decref(ids);
    return code;
}

tr_code tr_store_removal_apply(tr_store_removal *removal, json_t *bytes, bool *is_complete,
                               tr_err *err)
{
    tr_run_list list = {0};
    bool has_all = true;
    tr_code code = list_all(removal, &list, err);
    for (uint32_t i = 0; i < list.count && code == TR_OK; i++)
        has_all = has_all && was_looked_at(removal, &list.entries[i]);
    tr_free(list.entries);
    for (uint32_t i = 0; i < removal->count && code == TR_OK && has_all; i++)
        if (removal->items[i].file.is_rewritten)
            code = replace(removal, &removal->items[i], bytes, err);
    if (code == TR_OK && has_all)
        code = withdraw_folded(removal, err);
    if (code == TR_OK)
        *is_complete = has_all;
    return code;
}

tr_code tr_store_removal_exchanged(const tr_store_removal *removal, tr_arena *arena,
                                   const tr_exchanged_file **out, uint32_t *count, tr_err *err)
{
    uint32_t found = 0;
    tr_exchanged_file *list = tr_arena_array(arena, removal->count + 1, sizeof *list);
    if (list == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < removal->count; i++) {
        const item *own = &removal->items[i];
        if (own->file.is_rewritten && !own->entry.is_compacted)
            list[found++] = (tr_exchanged_file){own->entry.id, own->new_id, &own->file};
    }
    *out = list;
    *count = found;
    return TR_OK;
}

uint64_t tr_store_removal_rows(const tr_store_removal *removal)
{
    uint64_t rows = 0;
    for (uint32_t i = 0; i < removal->count; i++)
        rows += removal->items[i].entry.is_compacted ? 0 : removal->items[i].file.rows.removed;
    return rows;
}

static void end_item(tr_store_removal *removal, const item *own, bool is_in_force)
{
    tr_err err = {0};
    if (is_in_force && own->is_in_force) {
        tr_store_retire(removal->store, removal->tenant.id, own->entry.id);
        return;
    }
    if (own->file.name[0] == '\0')
        return;
    const tr_code code =
        own->entry.is_compacted
            ? tr_lake_remove_batch(removal->store->lake, &removal->tenant, own->entry.dataset,
                                   own->new_id, &err)
            : tr_lake_remove_file(removal->store->lake, &removal->tenant, own->entry.dataset,
                                  own->entry.folder, own->file.name, &err);
    if (code != TR_OK)
        tr_log(TR_LOG_WARN, "store", "orphan_left", "dataset=%s batch=%s reason=\"%s\"",
               own->entry.dataset, own->entry.folder, err.text);
}

void tr_store_removal_close(tr_store_removal *removal, bool is_in_force)
{
    if (removal == NULL)
        return;
    for (uint32_t i = 0; i < removal->count; i++)
        if (removal->items[i].file.is_rewritten)
            end_item(removal, &removal->items[i], is_in_force);
    (void)pthread_mutex_unlock(&removal->store->compacting);
    json_decref(removal->known);
    tr_free(removal->items);
    tr_free(removal);
}

/* ---- bytes */

tr_code tr_store_removal_clean(tr_store *store, const tr_tenant *tenant, int64_t number,
                               tr_err *err)
{
    const tr_store_removal removal = {.store = store, .tenant = *tenant};
    tr_run_list list = {0};
    tr_code code = list_all(&removal, &list, err);
    for (uint32_t i = 0; i < list.count && code == TR_OK; i++) {
        const tr_run_entry *entry = &list.entries[i];
        char name[104];
        tr_store_removal_name(entry->name, number, name);
        if (!entry->is_compacted && strcmp(name, entry->name) != 0)
            code =
                tr_lake_remove_file(store->lake, tenant, entry->dataset, entry->folder, name, err);
    }
    tr_free(list.entries);
    return code;
}

tr_code tr_store_remove_bytes(tr_store *store, const tr_tenant *tenant, const json_t *bytes,
                              tr_err *err)
{
    for (size_t i = 0; i < json_array_size(bytes); i++) {
        const json_t *file = json_array_get(bytes, i);
        const char *dataset = tr_json_text(file, "dataset", "");
        const char *folder = tr_json_text(file, "batch", "");
        const char *name = tr_json_text(file, "name", "");
        TR_TRY(name[0] == '\0'
                   ? tr_lake_remove_batch(store->lake, tenant, dataset, folder, err)
                   : tr_lake_remove_file(store->lake, tenant, dataset, folder, name, err));
    }
    return TR_OK;
}
