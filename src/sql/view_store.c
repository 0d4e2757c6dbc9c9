/* SPDX-License-Identifier: Apache-2.0 */
/* view_store.c - see view_store.h. */
#include "sql/view_store.h"

#include "base/limits.h"
#include "sql/live_tables.h"
#include "sql/stamp.h"
#include "sql/translate.h"

#include <ctype.h>
#include <stdio.h>

#define TABLE_KIND "table"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for the views");
}

/* A name that can be one, in lower case; .at NULL: it cannot. */
static const char *fold(tr_str name, char out[64])
{
    if (name.len == 0 || name.len > TR_TABLE_NAME_BYTES_MAX)
        return NULL;
    for (size_t i = 0; i < name.len; i++) {
        if (name.at[i] >= 128 || (!isalnum(name.at[i]) && name.at[i] != '_'))
            return NULL;
        out[i] = (char)tolower(name.at[i]);
    }
    out[name.len] = '\0';
    return out;
}

tr_code tr_view_name(tr_str name, char out[64], const char **state, tr_err *err)
{
    *state = "42602";
    if (fold(name, out) == NULL)
        return TR_FAIL(err, TR_INVALID,
                       "\"%.*s\" is no name of a view: it has letters, digits and _, at most %d",
                       name.len > 100 ? 100 : (int)name.len, (const char *)name.at,
                       TR_TABLE_NAME_BYTES_MAX);
    return tr_is_hex(name, 24)
               ? TR_FAIL(err, TR_INVALID, "\"%s\" is no name of a view: it could be a dataset's id",
                         out)
               : TR_OK;
}

/* Found ---------------------------------------------------------------------------------------- */

typedef struct search {
    tr_catalog *catalog;
    const tr_tenant *tenant;
    const tr_views_wanted *wanted;
    char new_name[64];
    json_t *names;         /* of all that are kept, as keys */
    json_t *found, *queue; /* queue: names whose texts have to be looked through */
} search;

const char *tr_view_text(const json_t *table)
{
    return tr_json_text(table, "view", NULL);
}

tr_code tr_view_break(json_t *view, const char *why, tr_err *err)
{
    char text[sizeof err->text];
    (void)snprintf(text, sizeof text, "%s", why);
    tr_text_mend(text);
    return json_object_set_new(view, "broken", json_string(text)) == 0 ? TR_OK : no_memory(err);
}

/* The text in the worker's words; one that cannot be read any more says so when it is read. */
static tr_code translate(const tr_tenant *tenant, tr_str sql, json_t *entry, tr_err *err)
{
    const tr_plan_session session = {
        .user = tenant->org, .database = "all", .application_name = "API"};
    tr_arena arena = {0};
    tr_plan plan = {0};
    const char *state;
    tr_err why = {0};
    tr_code code = tr_translate(sql, &session, &arena, &plan, &state, &why);
    if (code == TR_INVALID)
        code = tr_view_break(entry, why.text, err);
    else if (code != TR_OK)
        code = TR_FAIL(err, code, "%s", why.text);
    else if (json_object_set_new(entry, "view", tr_json_str(plan.sql)) != 0)
        code = no_memory(err);
    tr_arena_free(&arena);
    return code;
}

/* columns: borrowed, or NULL */
static tr_code add(search *s, const char *name, tr_str sql, json_t *columns, tr_err *err)
{
    json_t *entry = json_pack("{s:[],s:s,s:o,s:O*}", "files", "view", "", "definition",
                              tr_json_str(sql), "names", columns);
    tr_code code = entry == NULL ? no_memory(err) : translate(s->tenant, sql, entry, err);
    if (code == TR_OK && (json_object_set(s->found, name, entry) != 0 ||
                          json_array_append_new(s->queue, json_string(name)) != 0))
        code = no_memory(err);
    json_decref(entry);
    return code;
}

static json_t *columns_of(const tr_write *write)
{
    json_t *columns = json_array();
    for (size_t i = 0; i < write->column_count; i++)
        (void)json_array_append_new(columns, tr_json_str(write->columns[i]));
    return columns;
}

static tr_code add_new(search *s, tr_err *err)
{
    json_t *columns = columns_of(s->wanted->new_view);
    const tr_code code = add(s, s->new_name, s->wanted->new_view->query, columns, err);
    json_decref(columns);
    return code;
}

static tr_code add_kept(search *s, const char *name, tr_err *err)
{
    tr_object view = {0};
    TR_TRY(tr_catalog_get(s->catalog, s->tenant, TR_VIEW_KIND, name, &view, err));
    const tr_code code = add(s, name, tr_str_of(tr_json_text(view.doc, "sql", "")),
                             json_object_get(view.doc, "columns"), err);
    tr_object_clear(&view);
    return code;
}

static tr_code add_by_name(search *s, const char *name, tr_err *err)
{
    if (json_object_get(s->found, name) != NULL)
        return TR_OK;
    if (strcmp(name, s->new_name) == 0)
        return add_new(s, err);
    return json_object_get(s->names, name) != NULL ? add_kept(s, name, err) : TR_OK;
}

/* "name@public" is the one that a temporary table hides (temporary.h). */
static tr_str without_public(tr_str name)
{
    const tr_str end = tr_str_of("@public");
    const bool has_end =
        name.len > end.len && memcmp(name.at + name.len - end.len, end.at, end.len) == 0;
    return has_end ? (tr_str){name.at, name.len - end.len} : name;
}

/* The views that a text names. */
static tr_code add_named(search *s, tr_str sql, tr_err *err)
{
    char name[64];
    tr_arena arena = {0};
    tr_tokens tokens = {0};
    tr_code code = tr_lex(sql, &arena, &tokens, err);
    for (size_t i = 0; i < tokens.count && code == TR_OK; i++)
        if (tr_is_table_place(&tokens, i) &&
            fold(without_public(tr_token_name(tokens.at + i, &arena)), name) != NULL)
            code = add_by_name(s, name, err);
    tr_arena_free(&arena);
    return code;
}

static tr_code add_name(void *ctx, const tr_object *view, tr_err *err)
{
    return json_object_set_new(ctx, view->id, json_null()) == 0 ? TR_OK : no_memory(err);
}

static tr_code find_all(search *s, tr_err *err)
{
    const char *name;
    json_t *none;
    const tr_catalog_filter all = {.is_brief = true};
    const tr_write *new_view = s->wanted->new_view;
    if (new_view != NULL && fold(new_view->table, s->new_name) == NULL)
        return TR_FAIL(err, TR_INVALID, "a view without a name");
    TR_TRY(tr_catalog_list(s->catalog, s->tenant, TR_VIEW_KIND, &all, add_name, s->names, err));
    if (json_object_size(s->names) == 0 && new_view == NULL)
        return TR_OK;
    if (s->wanted->is_all)
        json_object_foreach (s->names, name, none)
            TR_TRY(add_by_name(s, name, err));
    TR_TRY(add_named(s, s->wanted->sql, err));
    for (size_t i = 0; i < json_array_size(s->queue); i++) { /* it grows meanwhile */
        const char *text =
            tr_view_text(json_object_get(s->found, json_string_value(json_array_get(s->queue, i))));
        TR_TRY(add_named(s, tr_str_of(text), err));
    }
    return TR_OK;
}

tr_code tr_views_find(tr_catalog *catalog, const tr_tenant *tenant, const tr_views_wanted *wanted,
                      json_t **out, tr_err *err)
{
    search s = {.catalog = catalog,
                .tenant = tenant,
                .wanted = wanted,
                .names = json_object(),
                .found = json_object(),
                .queue = json_array()};
    const tr_code code =
        s.names == NULL || s.found == NULL || s.queue == NULL ? no_memory(err) : find_all(&s, err);
    json_decref(s.names);
    json_decref(s.queue);
    if (code == TR_OK)
        *out = s.found;
    else
        json_decref(s.found);
    return code;
}

static tr_code add_row(void *ctx, const tr_object *view, tr_err *err)
{
    json_t *row = json_pack("{s:s,s:s}", "table", view->id, "description", "a view");
    return row != NULL && json_array_append_new(ctx, row) == 0 ? TR_OK : no_memory(err);
}

tr_code tr_views_list(tr_catalog *catalog, const tr_tenant *tenant, json_t **out, tr_err *err)
{
    const tr_catalog_filter all = {.is_brief = true};
    json_t *list = json_array();
    const tr_code code =
        list == NULL ? no_memory(err)
                     : tr_catalog_list(catalog, tenant, TR_VIEW_KIND, &all, add_row, list, err);
    if (code == TR_OK)
        *out = list;
    else
        json_decref(list);
    return code;
}

bool tr_view_is_kept(tr_catalog *catalog, const tr_tenant *tenant, tr_str name)
{
    char folded[64];
    tr_object view = {0};
    if (fold(name, folded) == NULL ||
        tr_catalog_get(catalog, tenant, TR_VIEW_KIND, folded, &view, NULL) != TR_OK)
        return false;
    tr_object_clear(&view);
    return true;
}

/* Kept and dropped ----------------------------------------------------------------------------- */

/* The name is this view's from now on. */
static tr_code take_name(tr_catalog *catalog, const tr_tenant *tenant, const char *name,
                         tr_err *err)
{
    tr_object table = {.state = "view", .doc = json_object()};
    (void)snprintf(table.id, sizeof table.id, "%s", name);
    const tr_code code = table.doc == NULL
                             ? no_memory(err)
                             : tr_catalog_insert(catalog, tenant, TABLE_KIND, &table, err);
    tr_object_clear(&table);
    return code == TR_CONFLICT ? TR_FAIL(err, TR_INVALID, "the table \"%s\" is there already", name)
                               : code;
}

static tr_code insert(tr_catalog *catalog, const tr_tenant *tenant, const tr_object *view,
                      const char **state, tr_err *err)
{
    *state = "53400";
    TR_TRY(tr_stamp_check_room(catalog, tenant, TR_VIEW_KIND, NULL, TR_VIEWS_MAX, "views", err));
    *state = "42P07";
    TR_TRY(take_name(catalog, tenant, view->id, err));
    return tr_catalog_insert(catalog, tenant, TR_VIEW_KIND, view, err);
}

tr_code tr_view_keep(tr_catalog *catalog, const tr_tenant *tenant, const tr_write *write,
                     const char *client_id, const char **state, tr_err *err)
{
    char name[64];
    tr_object view = {0};
    TR_TRY(tr_view_name(write->table, name, state, err));
    *state = "54000";
    if (write->query.len > TR_VIEW_BYTES_MAX)
        return TR_FAIL(err, TR_INVALID, "the query of a view has %zu bytes; the limit is %d",
                       write->query.len, TR_VIEW_BYTES_MAX);
    const bool is_there = tr_view_is_kept(catalog, tenant, write->table);
    if (is_there && write->is_lenient)
        return TR_OK;
    *state = "42P07";
    if (is_there && !write->is_replacing)
        return TR_FAIL(err, TR_INVALID, "the view \"%s\" is there already", name);
    (void)snprintf(view.id, sizeof view.id, "%s", name);
    view.doc = json_pack("{s:o,s:o,s:s}", "sql", tr_json_str(write->query), "columns",
                         columns_of(write), "clientId", client_id);
    const tr_code code = view.doc == NULL ? no_memory(err)
                         : is_there ? tr_catalog_put(catalog, tenant, TR_VIEW_KIND, &view, 0, err)
                                    : insert(catalog, tenant, &view, state, err);
    tr_object_clear(&view);
    return code;
}

tr_code tr_view_drop(tr_catalog *catalog, const tr_tenant *tenant, const tr_write *write,
                     const char **state, tr_err *err)
{
    char name[64];
    tr_object table = {0};
    if (tr_view_is_kept(catalog, tenant, write->table)) {
        if (write->is_restricted)
            TR_TRY(tr_view_check_unread(catalog, tenant, write->table, state, err));
        (void)fold(write->table, name);
        TR_TRY(tr_catalog_remove(catalog, tenant, TR_VIEW_KIND, name, err));
        return tr_catalog_remove(catalog, tenant, TABLE_KIND, name, err);
    }
    *state = "42809";
    if (fold(write->table, name) != NULL &&
        tr_catalog_get(catalog, tenant, TABLE_KIND, name, &table, NULL) == TR_OK) {
        tr_object_clear(&table);
        return TR_FAIL(err, TR_INVALID, "\"%s\" is a table: DROP TABLE drops it", name);
    }
    *state = "42P01";
    return write->is_lenient ? TR_OK
                             : TR_FAIL(err, TR_INVALID, "there is no view \"%.*s\"",
                                       write->table.len > 100 ? 100 : (int)write->table.len,
                                       (const char *)write->table.at);
}

typedef struct reader {
    tr_str name;    /* looked for */
    char view[256]; /* that names it; "": none does */
} reader;

static tr_code look_through(void *ctx, const tr_object *view, tr_err *err)
{
    reader *r = ctx;
    tr_arena arena = {0};
    tr_tokens tokens = {0};
    const tr_code code =
        tr_lex(tr_str_of(tr_json_text(view->doc, "sql", "")), &arena, &tokens, err);
    for (size_t i = 0; code == TR_OK && i < tokens.count; i++)
        if (tr_is_table_place(&tokens, i) &&
            tr_str_equal_folded(tr_token_name(tokens.at + i, &arena), r->name))
            memcpy(r->view, view->id, sizeof r->view);
    tr_arena_free(&arena);
    return code;
}

tr_code tr_view_check_unread(tr_catalog *catalog, const tr_tenant *tenant, tr_str name,
                             const char **state, tr_err *err)
{
    const tr_catalog_filter all = {0};
    reader r = {.name = name};
    TR_TRY(tr_catalog_list(catalog, tenant, TR_VIEW_KIND, &all, look_through, &r, err));
    *state = "2BP01";
    return r.view[0] == '\0'
               ? TR_OK
               : TR_FAIL(err, TR_INVALID, "\"%.*s\" is not dropped: the view \"%.63s\" reads it",
                         name.len > 100 ? 100 : (int)name.len, (const char *)name.at, r.view);
}
