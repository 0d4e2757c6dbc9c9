/* SPDX-License-Identifier: Apache-2.0 */
/* view_maker.c - see view_maker.h. */
#include "view_maker.h"

#include "base/limits.h"
#include "fork.h"
#include "spark_macros.h"
#include "views.h"

#include <stdio.h>

#define PLAIN "plain"
#define TOO_DEEP "54001"

typedef enum made_state { NOT_MADE, BEING_MADE, IS_MADE, HAS_FAILED } made_state;

typedef struct made_view {
    const char *name; /* a key of `tables`, or of `plain` */
    made_state is;
    unsigned height;   /* 1: it reads no views */
    uint64_t reads;    /* of views, for one of it: itself, and those of its text, each time */
    bool is_plain;     /* a table as it is, for views of ?FLATTEN: not a view */
    const char *state; /* SQLSTATE of the failure */
    tr_err why;
} made_view;

struct tr_view_maker {
    tr_engine *engine;
    json_t *tables; /* of the statement, or of those before with the same tables */
    made_view **made; /* each stays where it is while the list grows */
    size_t count;
    uint32_t cap;
    unsigned depth;  /* of views being made */
    unsigned height; /* of what the one being made reads */
    uint64_t reads;  /* of views by the text that is being checked, so far */
    bool is_apart;   /* names mean something else to a view */
    bool has_schema; /* "plain" is there */
    bool is_listed;  /* pgc.user_views is of these tables */
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a view");
}

bool tr_is_query_view(const json_t *table)
{
    return tr_json_text(table, "view", NULL) != NULL;
}

tr_code tr_view_maker_open(tr_engine *engine, tr_view_maker **out, tr_err *err)
{
    tr_view_maker *maker = tr_alloc_zeroed(1, sizeof *maker);
    if (maker == NULL)
        return no_memory(err);
    maker->engine = engine;
    *out = maker;
    return TR_OK;
}

static void forget(tr_view_maker *maker)
{
    for (size_t i = 0; i < maker->count; i++)
        tr_free(maker->made[i]);
    maker->count = 0;
}

void tr_view_maker_close(tr_view_maker *maker)
{
    if (maker == NULL)
        return;
    forget(maker);
    json_decref(maker->tables);
    tr_free(maker->made);
    tr_free(maker);
}

static tr_code run(tr_view_maker *maker, tr_buf *sql, tr_err *err)
{
    TR_TRY(tr_buf_append(sql, (tr_str){(const uint8_t *)"", 1}, err));
    return tr_engine_run(maker->engine, (const char *)sql->at, err);
}

static tr_code drop(tr_view_maker *maker, const char *name, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code = tr_buf_append(&sql, tr_str_of("DROP VIEW IF EXISTS main."), err);
    if (code == TR_OK)
        code = tr_sql_name(&sql, tr_str_of(name), err);
    if (code == TR_OK)
        code = run(maker, &sql, err);
    tr_buf_free(&sql);
    return code;
}

static tr_code drop_all(tr_view_maker *maker, tr_err *err)
{
    for (size_t i = 0; i < maker->count; i++)
        if (!maker->made[i]->is_plain)
            TR_TRY(drop(maker, maker->made[i]->name, err));
    if (maker->has_schema)
        TR_TRY(tr_engine_run(maker->engine, "DROP SCHEMA " PLAIN " CASCADE", err));
    maker->has_schema = false;
    return TR_OK;
}

tr_code tr_view_maker_begin(tr_view_maker *maker, const json_t *tables, tr_err *err)
{
    const char *name;
    const json_t *table;
    maker->depth = maker->height = 0;
    if (maker->tables != NULL && json_equal(maker->tables, tables))
        return TR_OK; /* what is made is as it would be made now */
    const tr_code code = drop_all(maker, err);
    forget(maker); /* its names are those of the old tables */
    json_decref(maker->tables);
    maker->tables = NULL;
    maker->is_apart = maker->is_listed = false;
    TR_TRY(code);
    maker->tables = json_incref((json_t *)(uintptr_t)tables);
    json_object_foreach (maker->tables, name, table)
        maker->is_apart = maker->is_apart || tr_json_bool(table, "flat", false) ||
                          tr_view_is_temporary(table);
    return TR_OK;
}

/* Making --------------------------------------------------------------------------------------- */

/* The name that a view knows it by: "name@public" is the name. */
static tr_str own_name(const char *key)
{
    const char *at = strstr(key, "@public");
    return at == NULL ? tr_str_of(key) : (tr_str){(const uint8_t *)key, (size_t)(at - key)};
}

static made_view *find(const tr_view_maker *maker, const char *name)
{
    for (size_t i = 0; i < maker->count; i++)
        if (strcmp(maker->made[i]->name, name) == 0)
            return maker->made[i];
    return NULL;
}

static made_view *add(tr_view_maker *maker, const char *name)
{
    made_view *view = tr_alloc_zeroed(1, sizeof *view);
    if (view == NULL || !tr_list_room(&maker->made, maker->count, &maker->cap, sizeof(view))) {
        tr_free(view);
        return NULL;
    }
    *view = (made_view){.name = name, .is = NOT_MADE};
    maker->made[maker->count++] = view;
    return view;
}

static tr_code want_schema(tr_view_maker *maker, tr_err *err)
{
    if (!maker->has_schema)
        TR_TRY(tr_engine_run(maker->engine, "CREATE SCHEMA " PLAIN, err));
    maker->has_schema = true;
    return TR_OK;
}

/* The table as views know it. */
static tr_code make_plain(tr_view_maker *maker, const char *name, const json_t *table, tr_err *err)
{
    made_view *made = find(maker, name);
    if (made == NULL)
        made = add(maker, name);
    if (made == NULL)
        return no_memory(err);
    if (made->is == IS_MADE)
        return TR_OK;
    made->is_plain = true;
    TR_TRY(want_schema(maker, err));
    char *own = tr_copy_text(own_name(name));
    const tr_code code =
        own == NULL ? no_memory(err) : tr_view_make_plain(maker->engine, PLAIN, own, table, err);
    tr_free(own);
    made->is = code == TR_OK ? IS_MADE : NOT_MADE;
    return code;
}

/* CREATE VIEW schema."name"("a", "b") AS (sql) */
static tr_code put_view(const json_t *view, const char *schema, const char *name, const char *text,
                        tr_buf *sql, tr_err *err)
{
    size_t i;
    const json_t *column;
    TR_TRY(tr_buf_format(sql, err, "CREATE OR REPLACE VIEW %s.", schema));
    TR_TRY(tr_sql_name(sql, own_name(name), err));
    json_array_foreach (json_object_get(view, "names"), i, column) {
        TR_TRY(tr_buf_append(sql, tr_str_of(i == 0 ? "(" : ", "), err));
        TR_TRY(tr_sql_name(sql, tr_str_of(json_string_value(column)), err));
    }
    if (i > 0)
        TR_TRY(tr_buf_append(sql, tr_str_of(")"), err));
    /* on lines of its own: it may end in a comment */
    return tr_buf_format(sql, err, " AS (\n%s\n)", text);
}

typedef struct making {
    tr_view_maker *maker;
    const json_t *view;
    const char *name, *schema;
} making;

static tr_code too_deep(tr_err *err)
{
    tr_engine_note(TOO_DEEP);
    return TR_FAIL(err, TR_INVALID, "views read each other more than %d deep", TR_VIEW_DEPTH_MAX);
}

/* One choice of its forks: it is bound when it is made. */
static tr_code try(void *ctx, const char *text, tr_err *err)
{
    const making *m = ctx;
    tr_buf sql = {0};
    if (m->maker->height == TR_VIEW_DEPTH_MAX)
        return too_deep(err);
    tr_code code = put_view(m->view, m->schema, m->name, text, &sql, err);
    if (code == TR_OK)
        code = run(m->maker, &sql, err);
    tr_buf_free(&sql);
    return code;
}

/* What the statement sees of a view that was made apart. */
static tr_code make_seen(tr_view_maker *maker, const char *name, bool is_flat, tr_err *err)
{
    tr_buf sql = {0};
    tr_code code = tr_buf_append(&sql, tr_str_of("SELECT * FROM " PLAIN "."), err);
    if (code == TR_OK)
        code = tr_sql_name(&sql, own_name(name), err);
    if (code == TR_OK)
        code = tr_view_make_of(maker->engine, name, tr_buf_str(&sql), is_flat, err);
    tr_buf_free(&sql);
    return code;
}

static tr_code make(tr_view_maker *maker, const char *name, const json_t *view, tr_err *err)
{
    tr_buf text = {0};
    const char *sql = tr_json_text(view, "view", ""), *why = tr_json_text(view, "broken", NULL);
    const bool is_flat = tr_json_bool(view, "flat", false);
    making m = {maker, view, name, maker->is_apart ? PLAIN : "main"};
    const tr_statement_rules rules = {
        .tables = maker->tables, .maker = maker, .is_of_view = true, .try = try, .ctx = &m};
    if (why != NULL) {
        tr_engine_note("22023");
        return TR_FAIL(err, TR_INVALID, "%s", why);
    }
    if (maker->is_apart)
        TR_TRY(want_schema(maker, err));
    TR_TRY(tr_spark_macros_make(maker->engine, sql, err));
    tr_code code = tr_fork_take(maker->engine, &rules, sql, &text, err);
    tr_buf_free(&text);
    return code == TR_OK && maker->is_apart ? make_seen(maker, name, is_flat, err) : code;
}

/* The engine binds a view wherever it is named: by views that read others twice, that is a number
 * of times that grows with a power of the depth. */
static tr_code count_reads(tr_view_maker *maker, const made_view *made, tr_err *err)
{
    maker->reads += made->reads;
    if (maker->reads <= TR_VIEW_READS_MAX)
        return TR_OK;
    tr_engine_note("54000");
    return TR_FAIL(err, TR_INVALID, "views are read more than %d times, by way of each other",
                   TR_VIEW_READS_MAX);
}

static tr_code make_now(tr_view_maker *maker, made_view *made, const json_t *view, tr_err *err)
{
    const unsigned above = maker->height;
    const uint64_t before = maker->reads;
    if (maker->depth == TR_VIEW_DEPTH_MAX)
        return too_deep(err);
    made->is = BEING_MADE;
    maker->depth++;
    maker->height = 0;
    made->why = (tr_err){0};
    const tr_code code = make(maker, made->name, view, &made->why);
    maker->depth--;
    made->height = maker->height + 1;
    maker->height = above;
    made->reads = maker->reads + 1;
    maker->reads = before;
    made->is = code == TR_OK ? IS_MADE : HAS_FAILED;
    if (code == TR_OK)
        return TR_OK;
    made->state = tr_engine_sqlstate();
    if (strcmp(made->state, TOO_DEEP) == 0) /* perhaps only from where it was met */
        made->is = NOT_MADE;
    tr_err_context(&made->why, "view \"%.63s\"", made->name);
    *err = made->why;
    return code;
}

/* It is read once more. */
static tr_code make_once(tr_view_maker *maker, const char *name, const json_t *view, tr_err *err)
{
    made_view *made = find(maker, name);
    if (made == NULL)
        made = add(maker, name);
    if (made == NULL)
        return no_memory(err);
    if (made->is == BEING_MADE) {
        tr_engine_note("42P17");
        return TR_FAIL(err, TR_INVALID, "view \"%.63s\" reads itself", name);
    }
    if (made->is == HAS_FAILED) {
        tr_engine_note(made->state);
        *err = made->why;
        return TR_INVALID;
    }
    if (made->is == NOT_MADE)
        TR_TRY(make_now(maker, made, view, err));
    if (made->height > maker->height)
        maker->height = made->height;
    return count_reads(maker, made, err);
}

/* What a temporary table hides. */
static tr_code find_hidden(const tr_view_maker *maker, const char **name, tr_err *err)
{
    const char *key;
    const json_t *table;
    const tr_str own = tr_str_of(*name);
    json_object_foreach (maker->tables, key, table)
        if (strlen(key) > own.len && tr_str_equal_folded(own_name(key), own)) {
            *name = key;
            return TR_OK;
        }
    tr_engine_note("42P01");
    return TR_FAIL(err, TR_INVALID, "there is no table \"%.80s\": a view reads no temporary table",
                   *name);
}

void tr_view_maker_begin_text(tr_view_maker *maker)
{
    maker->reads = 0;
}

tr_code tr_view_maker_meet(tr_view_maker *maker, const char *name, tr_err *err)
{
    const bool is_of_view = maker->depth > 0;
    name = json_object_iter_key(json_object_iter_at(maker->tables, name));
    if (is_of_view && tr_view_is_temporary(json_object_get(maker->tables, name)))
        TR_TRY(find_hidden(maker, &name, err));
    const json_t *table = json_object_get(maker->tables, name);
    if (tr_is_query_view(table))
        return make_once(maker, name, table, err);
    return is_of_view && maker->is_apart ? make_plain(maker, name, table, err) : TR_OK;
}

/* Listing -------------------------------------------------------------------------------------- */

static tr_code put_row(tr_buf *sql, const char *name, const json_t *view, const char *why,
                       tr_err *err)
{
    TR_TRY(tr_buf_append(sql, tr_str_of(", ("), err));
    TR_TRY(tr_sql_literal(sql, tr_str_of(name), err));
    TR_TRY(tr_buf_append(sql, tr_str_of(", "), err));
    TR_TRY(tr_sql_literal(sql, tr_str_of(tr_json_text(view, "definition", "")), err));
    TR_TRY(tr_buf_append(sql, tr_str_of(", "), err));
    TR_TRY(why == NULL ? tr_buf_append(sql, tr_str_of("NULL"), err)
                       : tr_sql_literal(sql, tr_str_of(why), err));
    return tr_buf_append(sql, tr_str_of(")"), err);
}

tr_code tr_view_maker_list(tr_view_maker *maker, tr_err *err)
{
    const char *name;
    const json_t *table;
    tr_buf sql = {0};
    if (maker->is_listed)
        return TR_OK;
    tr_code code =
        tr_buf_append(&sql,
                      tr_str_of("CREATE OR REPLACE TABLE pgc.user_views AS SELECT * FROM"
                                " (VALUES (NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR)"),
                      err);
    json_object_foreach (maker->tables, name, table) {
        tr_err why = {0};
        if (code != TR_OK || !tr_is_query_view(table))
            continue;
        tr_view_maker_begin_text(maker);
        const tr_code made = tr_view_maker_meet(maker, name, &why);
        if (tr_engine_is_broken())
            code = TR_FAIL(err, made, "%s", why.text);
        else
            code = put_row(&sql, name, table, made == TR_OK ? NULL : why.text, err);
    }
    if (code == TR_OK)
        code = tr_buf_append(&sql,
                             tr_str_of(") t(view_name, definition, why)"
                                       " WHERE view_name IS NOT NULL"),
                             err);
    if (code == TR_OK)
        code = run(maker, &sql, err);
    maker->is_listed = code == TR_OK;
    tr_buf_free(&sql);
    return code;
}
