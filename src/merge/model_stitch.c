/* SPDX-License-Identifier: Apache-2.0 */
/* model_stitch.c - a world's runs re-keyed by its clusters, on JSON rows: read, changed, sorted,
 * written. */
#include "merge/model_internal.h"
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void hex_of(const uint8_t key[16], char out[33])
{
    for (size_t i = 0; i < 16; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", key[i]);
}

/* By key, then namespace and id; the sort is stable, so arrival stays. */
static int compare_rows(const json_t *a, const json_t *b)
{
    static const char *const members[] = {"key", "namespace", "id"};
    const json_t *x = json_object_get(a, TR_BOOKKEEPING), *y = json_object_get(b, TR_BOOKKEEPING);
    int order = 0;
    for (size_t i = 0; i < 3 && order == 0; i++) {
        const char *left = json_string_value(json_object_get(x, members[i]));
        const char *right = json_string_value(json_object_get(y, members[i]));
        order = i == 2 ? strcmp(left, right) : strcasecmp(left, right);
    }
    return order;
}

/* Gives a row its anchor's key; true: it moved. */
static bool move(const model_world *w, json_t *row)
{
    json_t *book = json_object_get(row, TR_BOOKKEEPING);
    const char *code = json_string_value(json_object_get(book, "namespace"));
    const char *id = json_string_value(json_object_get(book, "id"));
    char key[33];
    for (uint32_t p = 0; p < w->people; p++) {
        if (strcmp(w->id[p], id) != 0 || strcasecmp(w->code[p], code) != 0 || w->anchor[p] == p)
            continue;
        (void)json_object_set(book, TR_RUN_IDENTITY_KEY, json_object_get(book, "key"));
        hex_of(w->keys[w->anchor[p]], key);
        (void)json_object_set_new(book, "key", json_string(key));
        return true;
    }
    return false;
}

static tr_code write_rows(tr_arena *arena, const tr_type *type, json_t *rows, const tr_run *run,
                          tr_buf *out, tr_err *err)
{
    const uint32_t count = (uint32_t)json_array_size(rows);
    json_t **sorted = tr_arena_array(arena, count, sizeof *sorted);
    tr_shape *shape = tr_arena_alloc(arena, sizeof *shape);
    tr_type *root = tr_type_copy(arena, type);
    TR_ASSERT(sorted != NULL && shape != NULL && root != NULL);
    tr_type *book = tr_type_member(root, tr_str_of(TR_BOOKKEEPING));
    TR_ASSERT(
        tr_type_add(arena, book, tr_type_make(arena, TR_KIND_KEY, tr_str_of(TR_RUN_IDENTITY_KEY))));
    TR_TRY(tr_shape_make(arena, root, shape, err));
    for (uint32_t i = 0; i < count; i++) {
        json_t *row = json_array_get(rows, i);
        uint32_t at = i;
        for (; at > 0 && compare_rows(sorted[at - 1], row) > 0; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = row;
    }
    const tr_model_kind kind = run->is_event ? TR_MODEL_EVENTS : TR_MODEL_RECORDS;
    return tr_model_write_run(shape, sorted, count, kind, run->partition_bits, out, err);
}

static tr_code stitch_run(const model_world *w, const tr_run *run, tr_buf *bytes, tr_run **out,
                          tr_err *err)
{
    tr_arena arena = {0};
    json_t *rows = NULL;
    bool is_moved = false;
    TR_TRY(tr_model_read(run->file, &rows, err));
    for (size_t i = 0; i < json_array_size(rows); i++)
        is_moved = move(w, json_array_get(rows, i)) || is_moved;
    tr_code code = TR_OK;
    if (is_moved)
        code = write_rows(&arena, tr_parquet_shape(run->file)->root, rows, run, bytes, err);
    if (code == TR_OK && is_moved)
        code = tr_run_open(tr_buf_str(bytes), run->id, run->dataset, out, err);
    if (code == TR_OK && is_moved) {
        (*out)->is_upsert = run->is_upsert;
        TR_ASSERT((*out)->rows == run->rows);
    }
    json_decref(rows);
    tr_arena_free(&arena);
    return code;
}

uint32_t model_members(const model_world *w, uint32_t anchor,
                       tr_merge_identity out[MODEL_MEMBERS_MAX])
{
    uint32_t count = 1;
    for (uint32_t p = 0; p < w->people; p++)
        if (w->anchor[p] == anchor) {
            tr_merge_identity *own = &out[p == anchor ? 0 : count++];
            *own = (tr_merge_identity){.code = tr_str_of(w->code[p]), .id = tr_str_of(w->id[p])};
            memcpy(own->key, w->keys[p], sizeof own->key);
        }
    return count;
}

static json_t *members_row(const model_world *w, uint32_t anchor)
{
    json_t *map = json_object();
    char key[33];
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->people; i++) {
        const uint32_t p = w->by_identity[i];
        if (w->anchor[p] != anchor)
            continue;
        if (json_object_get(map, w->code[p]) == NULL)
            (void)json_object_set_new(map, w->code[p], json_array());
        (void)json_array_append_new(
            json_object_get(map, w->code[p]),
            json_pack("{s:s, s:b}", "id", w->id[p], "primary", (int)(p == anchor)));
        count++;
    }
    hex_of(w->keys[anchor], key);
    if (count > 1)
        return json_pack("{s:o, s:{s:s, s:s, s:s, s:i, s:i, s:s}}", "identityMap", map,
                         TR_BOOKKEEPING, "key", key, "namespace", w->code[anchor], "id",
                         w->id[anchor], "updated", 0, "ingested", 0, "batch", "");
    json_decref(map);
    return NULL;
}

static tr_code add(tr_arena *arena, tr_type *parent, tr_kind kind, const char *name, tr_type **out)
{
    *out = tr_type_make(arena, kind, tr_str_of(name));
    TR_ASSERT(*out != NULL && tr_type_add(arena, parent, *out));
    return TR_OK;
}

static tr_code write_members(const model_world *w, tr_buf *bytes, tr_run **out, tr_err *err)
{
    tr_arena arena = {0};
    tr_shape shape;
    json_t *rows[MODEL_PEOPLE_MAX];
    uint32_t count = 0;
    tr_type *root = tr_type_make(&arena, TR_KIND_OBJECT, tr_str_of("")), *map, *list, *item, *leaf;
    TR_ASSERT(root != NULL);
    TR_TRY(add(&arena, root, TR_KIND_MAP, "identityMap", &map));
    TR_TRY(add(&arena, map, TR_KIND_ARRAY, "value", &list));
    TR_TRY(add(&arena, list, TR_KIND_OBJECT, "element", &item));
    TR_TRY(add(&arena, item, TR_KIND_STRING, "id", &leaf));
    TR_TRY(add(&arena, item, TR_KIND_BOOLEAN, "primary", &leaf));
    TR_ASSERT(tr_run_add_bookkeeping(&arena, root) != NULL);
    for (uint32_t p = 0; p < w->people; p++) {
        rows[count] = w->anchor[p] == p ? members_row(w, p) : NULL;
        count += rows[count] != NULL;
    }
    tr_code code = tr_shape_make(&arena, root, &shape, err);
    if (code == TR_OK)
        code = tr_model_write_run(&shape, rows, count, TR_MODEL_RECORDS, 1, bytes, err);
    if (code == TR_OK)
        code = tr_run_open(tr_buf_str(bytes), "members", "", out, err);
    if (code == TR_OK)
        (*out)->is_members = true;
    for (uint32_t i = 0; i < count; i++)
        json_decref(rows[i]);
    tr_arena_free(&arena);
    return code;
}

tr_code model_stitch(const model_world *w, model_stitched *out, tr_err *err)
{
    const tr_run *runs[MODEL_RUNS_MAX * MODEL_DATASETS_MAX];
    const uint32_t count = model_list_runs(w, runs);
    memset(out, 0, sizeof *out);
    tr_code code = write_members(w, &out->bytes[count], &out->owned[count], err);
    for (uint32_t r = 0; r < count && code == TR_OK; r++) {
        code = stitch_run(w, runs[r], &out->bytes[r], &out->owned[r], err);
        out->runs[r] = out->owned[r] != NULL ? out->owned[r] : runs[r];
    }
    out->runs[count] = out->owned[count];
    out->run_count = count + 1;
    return code;
}

void model_stitched_close(model_stitched *stitched)
{
    for (size_t r = 0; r < sizeof stitched->owned / sizeof *stitched->owned; r++) {
        tr_run_close(stitched->owned[r]);
        tr_buf_free(&stitched->bytes[r]);
    }
}
