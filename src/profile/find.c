/* SPDX-License-Identifier: Apache-2.0 */
/* find.c - lookups in a view, and their rows as JSON; see profile.h. */
#include "profile/profile_internal.h"
#include "parquet/row_json.h"

const char *tr_profile_view_policy(const tr_profile_view *view)
{
    return tr_json_text(view->policy, "id", "");
}

const tr_shape *tr_profile_view_shape(const tr_profile_view *view)
{
    return &view->shape;
}

static tr_code fold_name(tr_str code, char *out, size_t size, tr_err *err)
{
    if (code.len >= size)
        return TR_FAIL(err, TR_LIMIT, "a namespace is longer than %zu bytes", size - 1);
    for (size_t i = 0; i < code.len; i++)
        out[i] = (char)(code.at[i] >= 'A' && code.at[i] <= 'Z' ? code.at[i] + 32 : code.at[i]);
    out[code.len] = '\0';
    return TR_OK;
}

/* Names that are too long for a code can never be asked for. */
static tr_code add_names(json_t *names, const tr_column *column, tr_err *err)
{
    char name[256];
    for (uint32_t i = 0; i < column->values.count; i++)
        if (fold_name(column->values.strings[i], name, sizeof name, NULL) == TR_OK &&
            json_object_get(names, name) == NULL &&
            json_object_set_new(names, name, json_true()) != 0)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for the names of namespaces");
    return TR_OK;
}

static tr_code collect_names(const tr_snapshot *snapshot, json_t *names, tr_err *err)
{
    tr_arena arena = {0};
    tr_code code = TR_OK;
    for (uint32_t r = 0; r < snapshot->run_count && code == TR_OK; r++) {
        const tr_run *run = snapshot->runs[r];
        for (uint32_t g = 0; g < tr_parquet_group_count(run->file) && code == TR_OK; g++) {
            tr_column column;
            code = tr_parquet_read(run->file, g, run->namespace_leaf, 0,
                                   tr_parquet_group_rows(run->file, g), &arena, &column, err);
            if (code == TR_OK)
                code = add_names(names, &column, err);
            tr_arena_reset(&arena);
        }
    }
    tr_arena_free(&arena);
    return code;
}

tr_code tr_profile_knows(tr_profile_view *view, tr_str namespace_code, bool *out, tr_err *err)
{
    char name[256];
    TR_TRY(fold_name(namespace_code, name, sizeof name, err));
    (void)pthread_mutex_lock(&view->names_lock);
    tr_code code = TR_OK;
    if (view->names == NULL)
        view->names = json_object();
    if (view->names == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory for the names of namespaces");
    else if (!view->has_names && view->snapshot != NULL)
        code = collect_names(view->snapshot, view->names, err);
    view->has_names = code == TR_OK;
    if (code == TR_OK)
        *out = json_object_get(view->names, name) != NULL;
    (void)pthread_mutex_unlock(&view->names_lock);
    return code;
}

tr_code tr_profile_find(const tr_profile_view *view, tr_identity identity, tr_arena *arena,
                        tr_merge_profile *out, tr_err *err)
{
    tr_merge_identity asked = {.code = identity.code, .id = identity.id};
    tr_profile_key(view->secret, identity.code, identity.id, asked.key);
    if (view->plan == NULL)
        return TR_FAIL(err, TR_NOT_FOUND, "no profile has this identity");
    return tr_merge_profile_get(view->plan, &asked, 1, arena, out, err);
}

tr_code tr_profile_events(const tr_profile_view *view, tr_identity identity,
                          const tr_merge_page *page, tr_arena *arena, tr_merge_events *out,
                          tr_err *err)
{
    tr_merge_identity asked = {.code = identity.code, .id = identity.id};
    tr_profile_key(view->secret, identity.code, identity.id, asked.key);
    if (view->plan == NULL) {
        *out = (tr_merge_events){.count = 0};
        return TR_OK;
    }
    return tr_merge_events_get(view->plan, &asked, 1, page, arena, out, err);
}

tr_code tr_profile_write(const tr_profile_view *view, const tr_column *columns, uint32_t row,
                         tr_buf *out, tr_err *err)
{
    tr_row_json *printer = NULL;
    TR_TRY(tr_row_json_open(&view->shape, columns, &printer, err));
    const tr_code code = tr_row_json_write(printer, row, out, err);
    tr_row_json_close(printer);
    return code;
}
