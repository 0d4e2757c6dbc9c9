/* SPDX-License-Identifier: Apache-2.0 */
/* hold.c - the files of a statement under names of its own, so that they stay; see
 * query_internal.h.
 *
 *     lake/.../data/<dataset>/<batch>/part-0.parquet     removed meanwhile, perhaps
 *     scratch/held-<pid>-<n>/7.parquet                   the same bytes by another name
 *
 * A file that the next statement does not name keeps its name here, so that the worker need not
 * look at it again; it goes when it was removed from the lake, or when there are many.
 */
#include "os/os.h"
#include "query_internal.h"

#include <stdio.h>
#include <sys/stat.h>

enum { IDLE_FILES_MAX = 1000 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the tables of a statement");
}

tr_code tr_query_hold_open(const char *scratch_folder, tr_query_hold *out, tr_err *err)
{
    tr_query_hold hold = {.links = json_object()};
    const tr_code code = hold.links == NULL
                             ? no_memory(err)
                             : tr_query_make_folder(scratch_folder, "held", &hold.folder, err);
    if (code == TR_OK)
        *out = hold;
    else
        tr_query_hold_close(&hold);
    return code;
}

void tr_query_hold_close(tr_query_hold *hold)
{
    if (hold->folder != NULL)
        tr_query_note_kept(tr_dir_remove(hold->folder, NULL));
    tr_free(hold->folder);
    json_decref(hold->links);
    *hold = (tr_query_hold){0};
}

/* A number and the end of the file's own name, which tells DuckDB what is in it. */
static tr_code name_link(const tr_query_hold *hold, const char *path, uint64_t number,
                         char out[4096], tr_err *err)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash == NULL ? path : slash, '.');
    const int len = snprintf(out, 4096, "%s/%llu%s", hold->folder, (unsigned long long)number,
                             dot == NULL ? "" : dot);
    return len < 4096 ? TR_OK : TR_FAIL(err, TR_LIMIT, "the scratch folder's name is too long");
}

/* The second name of one file: {path: name}; `kept` gets it. */
static tr_code hold_file(tr_query_hold *hold, json_t *kept, const char *path, json_t **out,
                         tr_err *err)
{
    char name[4096];
    json_t *link = json_object_get(kept, path);
    if (link == NULL)
        link = json_object_get(hold->links, path);
    if (link == NULL) {
        TR_TRY(name_link(hold, path, hold->count++, name, err));
        TR_TRY(tr_file_link(path, name, err));
        link = json_string(name);
        if (link == NULL || json_object_set_new(kept, path, link) != 0)
            return no_memory(err);
    } else if (json_object_set(kept, path, link) != 0) {
        return no_memory(err);
    }
    *out = link; /* borrowed from `kept` */
    return TR_OK;
}

static tr_code hold_files(tr_query_hold *hold, json_t *kept, const json_t *files, json_t **out,
                          tr_err *err)
{
    size_t i;
    const json_t *file;
    json_t *held = json_array(), *link = NULL;
    tr_code code = held == NULL ? no_memory(err) : TR_OK;
    json_array_foreach(files, i, file)
    {
        const char *path = json_string_value(file);
        if (code == TR_OK && path == NULL)
            code = TR_FAIL(err, TR_INVALID, "a table's file without a name");
        if (code == TR_OK)
            code = hold_file(hold, kept, path, &link, err);
        if (code == TR_OK && json_array_append(held, link) != 0)
            code = no_memory(err);
    }
    if (code == TR_OK)
        *out = held;
    else
        json_decref(held);
    return code;
}

/* A table is a list of files, or an object with such a list among others. */
static tr_code hold_table(tr_query_hold *hold, json_t *kept, const json_t *table, json_t **out,
                          tr_err *err)
{
    json_t *files = NULL;
    if (!json_is_object(table))
        return hold_files(hold, kept, table, out, err);
    TR_TRY(hold_files(hold, kept, json_object_get(table, "files"), &files, err));
    json_t *copy = json_copy((json_t *)(uintptr_t)table);
    if (copy == NULL || json_object_set_new(copy, "files", files) != 0) {
        json_decref(copy);
        return no_memory(err);
    }
    *out = copy;
    return TR_OK;
}

/* The lake still has it, so that keeping it costs no space. */
static bool is_shared(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && about.st_nlink > 1;
}

/* Removes what `links` has and `kept` has not; what costs nothing is added to `kept`, unless
 * NULL. */
static void drop_others(const json_t *links, const json_t *kept, json_t *idle)
{
    const char *path;
    json_t *link;
    json_object_foreach((json_t *)(uintptr_t)links, path, link)
    {
        const char *name = json_string_value(link);
        if (json_object_get(kept, path) != NULL)
            continue;
        if (idle == NULL || json_object_size(idle) >= IDLE_FILES_MAX || !is_shared(name) ||
            json_object_set(idle, path, link) != 0)
            tr_query_note_kept(tr_file_remove(name, NULL));
    }
}

tr_code tr_query_hold_tables(tr_query_hold *hold, const json_t *tables, json_t **out, tr_err *err)
{
    const char *name;
    const json_t *table;
    json_t *held = json_object(), *kept = json_object(), *one = NULL;
    tr_code code = held == NULL || kept == NULL ? no_memory(err) : TR_OK;
    json_object_foreach((json_t *)(uintptr_t)tables, name, table)
    {
        if (code == TR_OK)
            code = hold_table(hold, kept, table, &one, err);
        if (code == TR_OK && json_object_set_new(held, name, one) != 0)
            code = no_memory(err);
    }
    if (code != TR_OK) { /* what was made for it goes, what was there stays */
        drop_others(kept, hold->links, NULL);
        json_decref(kept);
        json_decref(held);
        return code;
    }
    drop_others(hold->links, kept, kept);
    json_decref(hold->links);
    hold->links = kept;
    *out = held;
    return TR_OK;
}
