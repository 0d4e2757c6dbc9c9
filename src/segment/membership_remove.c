/* SPDX-License-Identifier: Apache-2.0 */
/* membership_remove.c - identities out of runs of members; see membership.h. */
#include "segment/membership.h"

#include "base/log.h"

#include <stdio.h>

typedef struct item { /* a file that was looked at */
    char run[32], name[104];
    tr_rewritten_file file;
    bool is_in_force;
} item;

struct tr_membership_removal {
    tr_membership_place place;
    tr_tenant tenant;
    const tr_forget_list *list;
    item *items;
    uint32_t count, cap;
    json_t *places; /* {"<run>/<name>": place in items} */
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to remove members");
}

tr_code tr_membership_removal_open(const tr_membership_place *place, const tr_forget_list *list,
                                   tr_membership_removal **out, tr_err *err)
{
    tr_membership_removal *removal = tr_alloc_zeroed(1, sizeof *removal);
    if (removal == NULL)
        return no_memory(err);
    *removal = (tr_membership_removal){.place = *place, .tenant = *place->tenant, .list = list};
    removal->place.tenant = &removal->tenant;
    removal->places = json_object();
    if (removal->places == NULL) {
        tr_free(removal);
        return no_memory(err);
    }
    *out = removal;
    return TR_OK;
}

static tr_code add_files(void *ctx, const tr_object *run, tr_err *err)
{
    json_t *all = ctx;
    const json_t *files = json_object_get(run->doc, "files");
    for (size_t i = 0; i < json_array_size(files); i++)
        if (json_array_append_new(
                all, json_pack("{s:s, s:s}", "run", run->id, "name",
                               tr_json_text(json_array_get(files, i), "name", ""))) != 0)
            return no_memory(err);
    return TR_OK;
}

/* {"run","name"} of every file of every run of members. */
static tr_code list_all(const tr_membership_place *place, json_t **out, tr_err *err)
{
    const tr_catalog_filter all = {0};
    json_t *files = json_array();
    const tr_code code = files == NULL
                             ? no_memory(err)
                             : tr_catalog_list(place->catalog, place->tenant, "membership_run",
                                               &all, add_files, files, err);
    if (code == TR_OK)
        *out = files;
    else
        json_decref(files);
    return code;
}

static item *find(const tr_membership_removal *removal, const char *run, const char *name)
{
    char key[160];
    (void)snprintf(key, sizeof key, "%s/%s", run, name);
    const json_t *place = json_object_get(removal->places, key);
    return place == NULL ? NULL : &removal->items[json_integer_value(place)];
}

static tr_code look_at(tr_membership_removal *removal, const char *run, const char *name,
                       tr_err *err)
{
    if (!tr_list_room(&removal->items, removal->count, &removal->cap, sizeof *removal->items))
        return no_memory(err);
    item *own = &removal->items[removal->count];
    *own = (item){0};
    (void)snprintf(own->run, sizeof own->run, "%s", run);
    (void)snprintf(own->name, sizeof own->name, "%s", name);
    const tr_rewrite_order order = {.tenant = &removal->tenant,
                                    .dataset = TR_MEMBERSHIP_FOLDER,
                                    .folder = run,
                                    .name = name,
                                    .number = removal->place.number};
    const tr_code code =
        tr_store_rewrite(removal->place.lake, &order, removal->list, &own->file, err);
    if (code == TR_NOT_FOUND) /* it has been replaced meanwhile */
        return TR_OK;
    TR_TRY(code);
    char key[160];
    (void)snprintf(key, sizeof key, "%s/%s", run, name);
    const json_int_t place = removal->count++; /* what it placed is removed at the end */
    return json_object_set_new(removal->places, key, json_integer(place)) == 0 ? TR_OK
                                                                               : no_memory(err);
}

tr_code tr_membership_removal_prepare(tr_membership_removal *removal, tr_err *err)
{
    json_t *files = NULL;
    TR_TRY(list_all(&removal->place, &files, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(files) && code == TR_OK; i++) {
        const char *run = tr_json_text(json_array_get(files, i), "run", "");
        const char *name = tr_json_text(json_array_get(files, i), "name", "");
        if (find(removal, run, name) == NULL)
            code = look_at(removal, run, name, err);
    }
    json_decref(files);
    return code;
}

/* The run's list of files with the new ones in the places of the old ones; *out is returned. */
static tr_code replace_files(tr_membership_removal *removal, const tr_object *run, json_t *bytes,
                             json_t **out, bool *has_changed, tr_err *err)
{
    const json_t *old = json_object_get(run->doc, "files");
    json_t *files = json_array();
    int bad = files == NULL;
    for (size_t i = 0; i < json_array_size(old) && bad == 0; i++) {
        json_t *file = json_array_get(old, i);
        item *own = find(removal, run->id, tr_json_text(file, "name", ""));
        if (own == NULL || !own->file.is_rewritten) {
            bad = json_array_append(files, file);
            continue;
        }
        *has_changed = own->is_in_force = true;
        bad = json_array_append_new(bytes,
                                    json_pack("{s:s, s:s, s:s}", "dataset", TR_MEMBERSHIP_FOLDER,
                                              "batch", run->id, "name", own->name));
        if (bad == 0 && own->file.name[0] != '\0')
            bad = json_array_append_new(files,
                                        json_pack("{s:s, s:I, s:I, s:s}", "name", own->file.name,
                                                  "bytes", (json_int_t)own->file.written.bytes,
                                                  "rows", (json_int_t)own->file.rows.rows, "xxh128",
                                                  own->file.written.xxh128));
    }
    if (bad != 0) {
        json_decref(files);
        return no_memory(err);
    }
    *out = files;
    return TR_OK;
}

static tr_code replace(tr_membership_removal *removal, const char *id, json_t *bytes, tr_err *err)
{
    tr_object run = {0};
    json_t *files = NULL;
    bool has_changed = false;
    TR_TRY(
        tr_catalog_get(removal->place.catalog, &removal->tenant, "membership_run", id, &run, err));
    tr_code code = replace_files(removal, &run, bytes, &files, &has_changed, err);
    if (code == TR_OK && has_changed) {
        code = json_object_set(run.doc, "files", files) == 0 ? TR_OK : no_memory(err);
        run.updated_ms = 0;
        if (code == TR_OK)
            code = tr_catalog_put(removal->place.catalog, &removal->tenant, "membership_run", &run,
                                  0, err);
    }
    json_decref(files);
    tr_object_clear(&run);
    return code;
}

tr_code tr_membership_removal_apply(tr_membership_removal *removal, json_t *bytes,
                                    bool *is_complete, tr_err *err)
{
    json_t *files = NULL;
    bool has_all = true;
    TR_TRY(list_all(&removal->place, &files, err));
    for (size_t i = 0; i < json_array_size(files) && has_all; i++)
        has_all = find(removal, tr_json_text(json_array_get(files, i), "run", ""),
                       tr_json_text(json_array_get(files, i), "name", "")) != NULL;
    for (uint32_t i = 0; i < removal->count; i++)
        removal->items[i].is_in_force = false; /* whatever an earlier try found */
    tr_code code = TR_OK;
    const char *last = "";
    for (size_t i = 0; i < json_array_size(files) && has_all && code == TR_OK; i++) {
        const char *run = tr_json_text(json_array_get(files, i), "run", "");
        if (strcmp(run, last) != 0) /* files of one run follow each other */
            code = replace(removal, run, bytes, err);
        last = run;
    }
    json_decref(files);
    if (code == TR_OK)
        *is_complete = has_all;
    return code;
}

void tr_membership_removal_close(tr_membership_removal *removal, bool is_in_force)
{
    if (removal == NULL)
        return;
    for (uint32_t i = 0; i < removal->count; i++) {
        const item *own = &removal->items[i];
        if (own->file.name[0] == '\0' || (is_in_force && own->is_in_force))
            continue;
        if (tr_lake_remove_file(removal->place.lake, &removal->tenant, TR_MEMBERSHIP_FOLDER,
                                own->run, own->file.name, NULL) != TR_OK)
            tr_log(TR_LOG_WARN, "segment", "membership_folder_kept", "run=%s", own->run);
    }
    json_decref(removal->places);
    tr_free(removal->items);
    tr_free(removal);
}

tr_code tr_membership_removal_clean(const tr_membership_place *place, tr_err *err)
{
    json_t *files = NULL;
    TR_TRY(list_all(place, &files, err));
    tr_code code = TR_OK;
    for (size_t i = 0; i < json_array_size(files) && code == TR_OK; i++) {
        const char *old = tr_json_text(json_array_get(files, i), "name", "");
        char name[104];
        tr_store_removal_name(old, place->number, name);
        if (strcmp(name, old) != 0)
            code =
                tr_lake_remove_file(place->lake, place->tenant, TR_MEMBERSHIP_FOLDER,
                                    tr_json_text(json_array_get(files, i), "run", ""), name, err);
    }
    json_decref(files);
    return code;
}
