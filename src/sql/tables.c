/* SPDX-License-Identifier: Apache-2.0 */
/* tables.c - see tables.h. */
#include "sql/tables.h"

#include "sql/lex.h"
#include "sql/snapshots.h"
#include "sql/view_store.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the tables");
}

static const char *table_name(const tr_object *dataset)
{
    const json_t *tag = json_object_get(json_object_get(dataset->doc, "tags"), "adobe/pqs/table");
    const char *name = json_string_value(json_is_array(tag) ? json_array_get(tag, 0) : tag);
    return name != NULL && name[0] != '\0' ? name : dataset->id;
}

typedef struct files {
    tr_catalog *catalog;
    tr_lake *lake; /* NULL: only count */
    const tr_tenant *tenant;
    json_t *paths;
    uint64_t count, rows;
} files;

static tr_code add_file(void *ctx, const tr_object *file, tr_err *err)
{
    files *f = ctx;
    tr_buf path = {0};
    f->count++;
    f->rows += (uint64_t)tr_json_int(file->doc, "rows", 0);
    if (f->lake == NULL)
        return TR_OK;
    tr_code code = tr_lake_path(f->lake, f->tenant, tr_json_text(file->doc, "dataSetId", ""),
                                tr_json_text(file->doc, "batchId", file->parent),
                                tr_json_text(file->doc, "name", ""), &path, err);
    if (code == TR_OK && json_array_append_new(f->paths, tr_json_str(tr_buf_str(&path))) != 0)
        code = no_memory(err);
    tr_buf_free(&path);
    return code;
}

static tr_code add_batch(void *ctx, const tr_object *batch, tr_err *err)
{
    files *f = ctx;
    return json_array_append_new(f->paths, json_string(batch->id)) == 0 ? TR_OK : no_memory(err);
}

/* Fills *f with the files of the finished batches of a dataset. */
static tr_code find_files(files *f, const char *dataset, tr_err *err)
{
    const tr_catalog_filter done = {.parent = dataset, .state = "success,active"};
    size_t i;
    json_t *batch, *batches = json_array();
    f->paths = batches;
    tr_code code = batches == NULL
                       ? no_memory(err)
                       : tr_catalog_list(f->catalog, f->tenant, "batch", &done, add_batch, f, err);
    f->paths = json_array();
    if (code == TR_OK && f->paths == NULL)
        code = no_memory(err);
    json_array_foreach (batches, i, batch) {
        const tr_catalog_filter filter = {.parent = json_string_value(batch),
                                          .state = "profile,lake"};
        if (code == TR_OK)
            code = tr_catalog_list(f->catalog, f->tenant, "file", &filter, add_file, f, err);
    }
    json_decref(batches);
    return code;
}

static tr_code add_dataset(void *ctx, const tr_object *dataset, tr_err *err)
{
    if (tr_json_bool(dataset->doc, "_hidden", false)) /* a table that is being made */
        return TR_OK;
    json_t *row = json_pack("{s:s, s:s, s:s, s:O*}", "table", table_name(dataset), "dataset",
                            dataset->id, "name", tr_json_text(dataset->doc, "name", ""), "added",
                            json_object_get(dataset->doc, "_added"));
    return row != NULL && json_array_append_new(ctx, row) == 0 ? TR_OK : no_memory(err);
}

/* Every dataset: [{"table","dataset","name"}] */
static tr_code list_datasets(tr_catalog *catalog, const tr_tenant *tenant, json_t **out,
                             tr_err *err)
{
    const tr_catalog_filter all = {0};
    json_t *list = json_array();
    const tr_code code =
        list == NULL ? no_memory(err)
                     : tr_catalog_list(catalog, tenant, "dataset", &all, add_dataset, list, err);
    if (code == TR_OK)
        *out = list;
    else
        json_decref(list);
    return code;
}

tr_code tr_tables_list(tr_catalog *catalog, const tr_tenant *tenant, json_t **out, tr_err *err)
{
    size_t i;
    json_t *list = NULL, *row;
    TR_TRY(list_datasets(catalog, tenant, &list, err));
    tr_code code = TR_OK;
    json_array_foreach (list, i, row) {
        files f = {.catalog = catalog, .tenant = tenant};
        if (code == TR_OK)
            code = find_files(&f, tr_json_text(row, "dataset", ""), err);
        if (code == TR_OK &&
            (json_object_set_new(row, "files", json_integer((json_int_t)f.count)) != 0 ||
             json_object_set_new(row, "rows", json_integer((json_int_t)f.rows)) != 0))
            code = no_memory(err);
        json_decref(f.paths);
    }
    if (code == TR_OK)
        *out = list;
    else
        json_decref(list);
    return code;
}

/* A word of `sql`, in any case: a table can only be named by its name. */
static bool occurs(tr_str sql, const char *name)
{
    const size_t len = strlen(name);
    for (size_t i = 0; i + len <= sql.len; i++) {
        const bool is_begin = i == 0 || (!isalnum(sql.at[i - 1]) && sql.at[i - 1] != '_');
        const bool is_end =
            i + len == sql.len || (!isalnum(sql.at[i + len]) && sql.at[i + len] != '_');
        if (is_begin && is_end && tr_str_equal_folded((tr_str){sql.at + i, len}, tr_str_of(name)))
            return true;
    }
    return false;
}

/* In the statement, or in a view that it may read. */
static bool is_named(tr_str sql, const json_t *views, const char *name)
{
    const char *view;
    const json_t *entry;
    if (occurs(sql, name))
        return true;
    json_object_foreach ((json_t *)(uintptr_t)views, view, entry)
        if (occurs(tr_str_of(tr_view_text(entry)), name))
            return true;
    return false;
}

tr_code tr_tables_named(tr_catalog *catalog, const tr_tenant *tenant, tr_str sql, json_t **out,
                        tr_err *err)
{
    size_t i;
    const tr_views_wanted wanted = {.sql = sql};
    json_t *list = NULL, *views = NULL, *row, *ids = json_array();
    tr_code code = ids == NULL ? no_memory(err) : list_datasets(catalog, tenant, &list, err);
    if (code == TR_OK)
        code = tr_views_find(catalog, tenant, &wanted, &views, err);
    json_array_foreach (list, i, row)
        if (code == TR_OK &&
            (is_named(sql, views, tr_json_text(row, "table", "")) ||
             is_named(sql, views, tr_json_text(row, "dataset", ""))) &&
            json_array_append(ids, json_object_get(row, "dataset")) != 0)
            code = no_memory(err);
    json_decref(list);
    json_decref(views);
    if (code == TR_OK)
        *out = ids;
    else
        json_decref(ids);
    return code;
}

static tr_code tell_names(const json_t *list, tr_err *err)
{
    char names[300] = "";
    size_t i, at = 0;
    json_t *row;
    json_array_foreach (list, i, row)
        if (at + 1 < sizeof names)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i == 0 ? "" : ", ",
                                   tr_json_text(row, "table", ""));
    return TR_FAIL(err, TR_NOT_FOUND,
                   "the SQL names no table of this sandbox; there are: %s, and profile, "
                   "segment_membership, batches, export_jobs",
                   names[0] != '\0' ? names : "no datasets");
}

/* `table`, taken, with the columns that ALTER TABLE has added to its dataset; NULL: no memory. */
static json_t *with_added(json_t *table, const json_t *row)
{
    json_t *added = json_object_get(row, "added");
    if (added == NULL || table == NULL)
        return table;
    json_t *shown = json_is_object(table) ? table : json_pack("{s:o}", "files", table);
    if (shown == NULL || json_object_set(shown, "added", added) == 0)
        return shown;
    json_decref(shown);
    return NULL;
}

/* name  its own, or its dataset's id */
static tr_code add_table(files *f, json_t *tables, const json_t *row, const char *name,
                         bool may_be_empty, tr_err *err)
{
    tr_code code = find_files(f, tr_json_text(row, "dataset", ""), err);
    if (code == TR_OK && json_array_size(f->paths) == 0 && !may_be_empty)
        code = TR_FAIL(err, TR_NOT_FOUND, "table %s has no rows yet", name);
    if (code == TR_OK &&
        json_object_set_new(tables, name, with_added(json_incref(f->paths), row)) != 0)
        code = no_memory(err);
    json_decref(f->paths);
    return code;
}

/* Snapshots ------------------------------------------------------------------------------------ */

typedef struct history {
    files f; /* of one batch after the other */
    tr_snapshot_batch *batches;
    size_t count;
} history;

/* A file's time is its batch's: the latest, should they differ. */
static tr_code add_timed_file(void *ctx, const tr_object *file, tr_err *err)
{
    history *h = ctx;
    tr_snapshot_batch *batch = h->batches + h->count;
    const int64_t us = tr_json_int(file->doc, "ingestedUs", file->created_ms * 1000);
    if (us > batch->id)
        batch->id = us;
    batch->rows += tr_json_int(file->doc, "rows", 0);
    return add_file(&h->f, file, err);
}

static int compare_batches(const void *a, const void *b)
{
    const tr_snapshot_batch *x = a, *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

/* Fills *h with the finished batches of a dataset and their files, by time. `ids` keeps the
 * texts. */
static tr_code read_history(history *h, const char *dataset, json_t *ids, tr_err *err)
{
    size_t i;
    const json_t *id;
    const tr_catalog_filter done = {.parent = dataset, .state = "success,active"};
    h->f.paths = ids;
    TR_TRY(tr_catalog_list(h->f.catalog, h->f.tenant, "batch", &done, add_batch, &h->f, err));
    h->batches = tr_alloc_zeroed(json_array_size(ids) + 1, sizeof *h->batches);
    if (h->batches == NULL)
        return no_memory(err);
    json_array_foreach (ids, i, id) {
        const tr_catalog_filter filter = {.parent = json_string_value(id), .state = "profile,lake"};
        tr_snapshot_batch *batch = h->batches + h->count;
        batch->batch = json_string_value(id);
        batch->files = h->f.paths = json_array();
        if (batch->files == NULL)
            return no_memory(err);
        TR_TRY(tr_catalog_list(h->f.catalog, h->f.tenant, "file", &filter, add_timed_file, h, err));
        if (json_array_size(batch->files) > 0) /* one without files changed nothing */
            h->count++;
        else
            json_decref(batch->files);
    }
    qsort(h->batches, h->count, sizeof *h->batches, compare_batches);
    return TR_OK;
}

/* The whole table, whose own name means another here. */
static tr_code put_public(const files *f, tr_str name, const json_t *row, json_t *tables,
                          tr_err *err)
{
    files all = *f;
    tr_code code = find_files(&all, tr_json_text(row, "dataset", ""), err);
    if (code == TR_OK && json_object_setn_new(tables, (const char *)name.at, name.len,
                                              with_added(json_incref(all.paths), row)) != 0)
        code = no_memory(err);
    json_decref(all.paths);
    return code;
}

static tr_code add_snapshot(const files *f, const tr_tables_wanted *wanted, const json_t *list,
                            tr_str name, json_t *tables, tr_err *err)
{
    size_t i;
    const json_t *row;
    tr_str table, what;
    history h = {.f = *f};
    json_t *made = NULL, *ids = NULL;
    const char *dataset = NULL;
    if (!tr_snapshot_name(name, &table, &what))
        return TR_OK;
    json_array_foreach (list, i, row)
        if (tr_str_equal_folded(table, tr_str_of(tr_json_text(row, "table", ""))) ||
            tr_str_is(table, tr_json_text(row, "dataset", "")))
            dataset = tr_json_text(row, "dataset", "");
    const bool is_view = dataset == NULL && tr_view_is_kept(f->catalog, f->tenant, table);
    if (tr_str_is(what, "exists")) {
        TR_TRY(tr_snapshot_exists(dataset != NULL || is_view, &made, err));
        return json_object_setn_new(tables, (const char *)name.at, name.len, made) == 0
                   ? TR_OK
                   : no_memory(err);
    }
    if (is_view && tr_str_is(what, "public")) /* found as a view: temporary.c */
        return TR_OK;
    if (is_view)
        return TR_FAIL(err, TR_SEMANTIC,
                       "\"%.*s\" is a view: SNAPSHOT and history_meta are of tables, also of those "
                       "in a view's query",
                       TR_STR_ARG(table));
    if (dataset == NULL)
        return TR_OK;
    if (tr_str_is(what, "public"))
        return put_public(f, name, tr_json_find(list, "dataset", dataset), tables, err);
    ids = json_array();
    tr_code code = ids == NULL ? no_memory(err) : read_history(&h, dataset, ids, err);
    if (code == TR_OK)
        code = tr_snapshot_table(table, what, h.batches, h.count, wanted->falls_back, &made, err);
    if (code == TR_OK && !tr_str_is(what, "history"))
        made = with_added(made, tr_json_find(list, "dataset", dataset));
    if (code == TR_OK && json_object_setn_new(tables, (const char *)name.at, name.len, made) != 0)
        code = no_memory(err);
    for (size_t k = 0; k < h.count; k++)
        json_decref(h.batches[k].files);
    tr_free(h.batches);
    json_decref(ids);
    return code;
}

/* sql  a statement, or a view's text */
static tr_code add_snapshots(const files *f, const tr_tables_wanted *wanted, tr_str sql,
                             const json_t *list, json_t *tables, tr_err *err)
{
    tr_arena arena = {0};
    tr_tokens tokens = {0};
    if (sql.len == 0 || memchr(sql.at, '@', sql.len) == NULL)
        return TR_OK;
    tr_code code = tr_lex(sql, &arena, &tokens, err);
    for (size_t i = 0; i < tokens.count && code == TR_OK; i++)
        if (tokens.at[i].kind == TR_TOKEN_QUOTED)
            code = add_snapshot(f, wanted, list, tr_token_name(tokens.at + i, &arena), tables, err);
    tr_arena_free(&arena);
    return code;
}

/* What views read; one whose snapshot is no more cannot be read, which is told when one does. */
static tr_code add_snapshots_of_views(const files *f, const tr_tables_wanted *wanted,
                                      const json_t *list, const json_t *views, json_t *tables,
                                      tr_err *err)
{
    const char *name;
    json_t *view;
    json_object_foreach ((json_t *)(uintptr_t)views, name, view) {
        tr_err why = {0};
        const tr_code code =
            add_snapshots(f, wanted, tr_str_of(tr_view_text(view)), list, tables, &why);
        if (code == TR_INVALID || code == TR_SEMANTIC)
            TR_TRY(tr_view_break(view, why.text, err));
        else if (code != TR_OK)
            return TR_FAIL(err, code, "%s", why.text);
    }
    return TR_OK;
}

/* ---------------------------------------------------------------------------------------------- */

typedef struct search {
    tr_catalog *catalog;
    tr_lake *lake;
    const tr_tenant *tenant;
    const tr_tables_wanted *wanted;
    json_t *tables; /* found */
} search;

static tr_code find_views(const search *s, json_t **out, tr_err *err)
{
    const tr_views_wanted wanted = {.sql = s->wanted->sql,
                                    .is_all = s->wanted->is_all,
                                    .new_view = s->wanted->new_view};
    return tr_views_find(s->catalog, s->tenant, &wanted, out, err);
}

static tr_code find_once(void *ctx, tr_err *err)
{
    size_t i;
    search *s = ctx;
    json_t *list = NULL, *views = NULL, *row;
    const tr_str sql = s->wanted->sql;
    json_decref(s->tables);
    s->tables = json_object();
    tr_code code =
        s->tables == NULL ? no_memory(err) : list_datasets(s->catalog, s->tenant, &list, err);
    if (code == TR_OK)
        code = find_views(s, &views, err);
    json_array_foreach (list, i, row) {
        files f = {.catalog = s->catalog, .lake = s->lake, .tenant = s->tenant};
        const char *name = tr_json_text(row, "table", ""), *id = tr_json_text(row, "dataset", "");
        if (code == TR_OK && (s->wanted->is_all || is_named(sql, views, name)))
            code = add_table(&f, s->tables, row, name, s->wanted->may_be_empty, err);
        if (code == TR_OK && is_named(sql, views, id))
            code = add_table(&f, s->tables, row, id, s->wanted->may_be_empty, err);
    }
    if (code == TR_OK) {
        const files f = {.catalog = s->catalog, .lake = s->lake, .tenant = s->tenant};
        code = add_snapshots(&f, s->wanted, sql, list, s->tables, err);
        if (code == TR_OK)
            code = add_snapshots_of_views(&f, s->wanted, list, views, s->tables, err);
    }
    if (code == TR_OK && json_object_update_missing(s->tables, views) != 0)
        code = no_memory(err);
    if (code == TR_OK && json_object_size(s->tables) == 0 && !s->wanted->may_be_empty)
        code = tell_names(list, err);
    json_decref(list);
    json_decref(views);
    return code;
}

tr_code tr_tables_find(tr_catalog *catalog, tr_lake *lake, const tr_tenant *tenant,
                       const tr_tables_wanted *wanted, json_t **out, tr_err *err)
{
    search s = {.catalog = catalog, .lake = lake, .tenant = tenant, .wanted = wanted};
    const tr_code code = tr_catalog_read_at_once(catalog, find_once, &s, err);
    if (code == TR_OK)
        *out = s.tables;
    else
        json_decref(s.tables);
    return code;
}

tr_code tr_tables_flatten(json_t *tables, tr_err *err)
{
    const char *name;
    json_t *table;
    void *next;
    json_object_foreach_safe (tables, next, name, table) {
        json_t *flat =
            json_is_object(table) ? json_copy(table) : json_pack("{s:O}", "files", table);
        if (flat == NULL || json_object_set_new(flat, "flat", json_true()) != 0 ||
            json_object_set_new(tables, name, flat) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

bool tr_tables_option(const char *database, bool *is_flat)
{
    const char *option = strchr(database, '?');
    *is_flat = option != NULL && strcasecmp(option, "?FLATTEN") == 0;
    return *is_flat == (option != NULL);
}

tr_code tr_tables_of(tr_catalog *catalog, tr_lake *lake, const tr_tenant *tenant, tr_str sql,
                     json_t **out, tr_err *err)
{
    const tr_tables_wanted wanted = {.sql = sql};
    return tr_tables_find(catalog, lake, tenant, &wanted, out, err);
}

tr_code tr_tables_has(tr_catalog *catalog, const tr_tenant *tenant, const char *name, bool *has,
                      tr_err *err)
{
    size_t i;
    json_t *list = NULL, *row;
    *has = tr_view_is_kept(catalog, tenant, tr_str_of(name));
    if (*has)
        return TR_OK;
    TR_TRY(list_datasets(catalog, tenant, &list, err));
    json_array_foreach (list, i, row)
        *has = *has || strcasecmp(name, tr_json_text(row, "table", "")) == 0 ||
               strcmp(name, tr_json_text(row, "dataset", "")) == 0;
    json_decref(list);
    return TR_OK;
}

typedef struct owner {
    const char *sandbox;
    char *org;
} owner;

static tr_code note_org(void *ctx, const tr_tenant *tenant, const tr_object *object, tr_err *err)
{
    owner *o = ctx;
    (void)object;
    if (strcmp(tenant->sandbox, o->sandbox) != 0 || strcmp(tenant->org, o->org) == 0)
        return TR_OK;
    if (o->org[0] != '\0')
        return TR_FAIL(err, TR_INVALID,
                       "several orgs have datasets here, %s and %s among them: give --org", o->org,
                       tenant->org);
    (void)snprintf(o->org, 80, "%s", tenant->org);
    return TR_OK;
}

tr_code tr_tables_org(tr_catalog *catalog, const char *sandbox, char out[80], tr_err *err)
{
    owner o = {.sandbox = sandbox, .org = out};
    out[0] = '\0';
    TR_TRY(tr_catalog_scan(catalog, "dataset", NULL, note_org, &o, err));
    return out[0] != '\0'
               ? TR_OK
               : TR_FAIL(err, TR_NOT_FOUND, "no sandbox \"%s\" has a dataset here", sandbox);
}
