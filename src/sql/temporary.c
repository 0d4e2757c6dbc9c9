/* SPDX-License-Identifier: Apache-2.0 */
/* temporary.c - see temporary.h. */
#include "sql/temporary.h"

#include "sql/view_store.h"

#include <stdio.h>

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for temporary tables");
}

const json_t *tr_temporary_find(const json_t *tables, tr_str name)
{
    const char *key;
    json_t *table;
    json_object_foreach ((json_t *)(uintptr_t)tables, key, table)
        if (tr_str_equal_folded(tr_str_of(key), name))
            return table;
    return NULL;
}

static bool is_named(const tr_tokens *tokens, const char *name, tr_arena *arena)
{
    for (size_t i = 0; i < tokens->count; i++)
        if (tr_token_is_name(tokens, i) &&
            tr_str_equal_folded(tr_token_name(tokens->at + i, arena), tr_str_of(name)))
            return true;
    return false;
}

static tr_code put_named(const json_t *tables, const tr_tokens *tokens, tr_arena *arena,
                         json_t *into, tr_err *err)
{
    const char *name;
    json_t *table;
    json_object_foreach ((json_t *)(uintptr_t)tables, name, table)
        if (is_named(tokens, name, arena) && json_object_set(into, name, table) != 0)
            return no_memory(err);
    return TR_OK;
}

tr_code tr_temporary_named(const json_t *tables, tr_str sql, json_t **out, tr_err *err)
{
    tr_tokens tokens;
    tr_arena arena = {0};
    *out = NULL;
    if (json_object_size(tables) == 0)
        return TR_OK;
    json_t *named = json_object();
    tr_code code = named == NULL ? no_memory(err) : tr_lex(sql, &arena, &tokens, err);
    if (code == TR_OK)
        code = put_named(tables, &tokens, &arena, named, err);
    if (code == TR_OK && json_object_size(named) > 0)
        *out = json_incref(named);
    json_decref(named);
    tr_arena_free(&arena);
    return code;
}

static bool has_views(const json_t *tables)
{
    const char *key;
    const json_t *table;
    json_object_foreach ((json_t *)(uintptr_t)tables, key, table)
        if (tr_view_text(table) != NULL)
            return true;
    return false;
}

/* What has the name in any case goes: the engine's names have none. */
static tr_code remove_named(json_t *into, const char *name, bool is_kept, tr_err *err)
{
    const char *key;
    json_t *table, *found = NULL;
    void *next;
    json_object_foreach_safe (into, next, key, table)
        if (tr_str_equal_folded(tr_str_of(key), tr_str_of(name))) {
            json_decref(found);
            found = json_incref(table);
            (void)json_object_del(into, key);
        }
    char aside[300];
    (void)snprintf(aside, sizeof aside, "%s@public", name);
    tr_code code = TR_OK;
    if (found != NULL && is_kept && json_object_get(into, aside) == NULL &&
        json_object_set(into, aside, found) != 0)
        code = no_memory(err);
    json_decref(found);
    return code;
}

tr_code tr_temporary_put(const json_t *tables, tr_str sql, bool is_all, json_t *into, tr_err *err)
{
    const char *name;
    json_t *table, *named = NULL;
    if (!is_all)
        TR_TRY(tr_temporary_named(tables, sql, &named, err));
    tr_code code = TR_OK;
    const bool is_kept = has_views(into);
    json_object_foreach (is_all ? (json_t *)(uintptr_t)tables : named, name, table) {
        if (code == TR_OK)
            code = remove_named(into, name, is_kept, err);
        if (code == TR_OK && json_object_set(into, name, table) != 0)
            code = no_memory(err);
    }
    json_decref(named);
    return code;
}
