/* SPDX-License-Identifier: Apache-2.0 */
/* rewrite.c - see rewrite.h. Two passes over the row groups: the first finds what goes, because a
 * run's footer says how it is cut before its first row group is written.
 */
#include "store/rewrite.h"
#include "store/rows.h"
#include "store/run.h"

#include <string.h>

enum { SEEN_BITS = 4096 };

typedef struct group {
    uint8_t *gone;     /* [rows] 1: the row goes; NULL: none does */
    uint8_t *mentions; /* [entries of the ids] 1: the item goes; NULL: none does */
    uint32_t rows, left;
} group;

typedef struct rewriter {
    const tr_run *run;
    const tr_forget_list *list;
    const tr_shape *shape;
    const tr_unit *map;          /* identityMap; NULL: the run has none */
    uint32_t id;                 /* leaf of the items' ids */
    uint8_t seen[SEEN_BITS / 8]; /* hashes of the ids that are forgotten */
    tr_arena arena, scratch;     /* as long as the rewriting; as long as a leaf of a group */
    group *groups;
    uint32_t group_count;
    tr_rewritten done;
    tr_parquet_writer *writer;
} rewriter;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to rewrite a run");
}

/* ---- what goes */

/* identityMap is a map of arrays of objects with an id; anything else names nobody. */
static void find_map(rewriter *w)
{
    const uint32_t unit = tr_shape_unit(w->shape, tr_str_of("identityMap"));
    const tr_type *type = unit == UINT32_MAX ? NULL : w->shape->units[unit].type;
    const tr_type *array = type != NULL && type->kind == TR_KIND_MAP ? type->children[0] : NULL;
    const tr_type *item = array != NULL && array->kind == TR_KIND_ARRAY ? array->children[0] : NULL;
    const tr_type *id =
        item != NULL && item->kind == TR_KIND_OBJECT ? tr_type_member(item, tr_str_of("id")) : NULL;
    if (id == NULL || id->kind != TR_KIND_STRING)
        return;
    w->map = &w->shape->units[unit];
    w->id = id->first_leaf;
    for (uint32_t i = 0; i < w->list->count; i++) {
        const uint64_t bit = tr_hash64_of(w->list->at[i].id) % SEEN_BITS;
        w->seen[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
}

static bool may_be_forgotten(const rewriter *w, tr_str id)
{
    const uint64_t bit = tr_hash64_of(id) % SEEN_BITS;
    if ((w->seen[bit / 8] >> bit % 8 & 1) == 0)
        return false;
    for (uint32_t i = 0; i < w->list->count; i++)
        if (tr_str_equal(w->list->at[i].id, id))
            return true;
    return false;
}

static bool is_forgotten(const rewriter *w, tr_str code, tr_str id)
{
    for (uint32_t i = 0; i < w->list->count; i++)
        if (tr_str_equal(w->list->at[i].id, id) && tr_str_equal_folded(w->list->at[i].code, code))
            return true;
    return false;
}

static tr_code read_leaf(rewriter *w, uint32_t g, uint32_t leaf, tr_arena *arena, tr_column *out,
                         tr_err *err)
{
    return tr_parquet_read(w->run->file, g, leaf, 0, tr_parquet_group_rows(w->run->file, g), arena,
                           out, err);
}

/* By the table of ids: most groups name none of them. */
static tr_code names_any(const rewriter *w, const tr_column *ids, tr_arena *arena, uint8_t **codes,
                         bool *out, tr_err *err)
{
    *out = false;
    *codes = tr_arena_array(arena, (size_t)ids->values.count + 1, sizeof **codes);
    if (*codes == NULL)
        return no_memory(err);
    for (uint32_t v = 0; v < ids->values.count; v++)
        if (may_be_forgotten(w, ids->values.strings[v])) {
            (*codes)[v + 1] = 1;
            *out = true;
        }
    return TR_OK;
}

/* Calls for every item its entry among the ids, and its namespace's among the keys. */
static tr_code mark_mentions(rewriter *w, uint32_t g, const tr_column *ids, const uint8_t *codes,
                             tr_err *err)
{
    tr_column keys;
    group *own = &w->groups[g];
    TR_TRY(read_leaf(w, g, w->map->first_leaf, &w->scratch, &keys, err));
    uint8_t *mentions = tr_arena_array(&w->arena, ids->entries, sizeof *mentions);
    if (mentions == NULL)
        return no_memory(err);
    for (uint32_t row = 0; row < ids->rows; row++) {
        bool has_changed = false;
        uint32_t key = keys.row_start[row];
        for (uint32_t e = ids->row_start[row]; e < ids->row_start[row + 1]; e++) {
            key += ids->rep[e] == 1;
            if (ids->codes[e] == 0 || codes[ids->codes[e]] == 0 || keys.codes[key] == 0 ||
                !is_forgotten(w, tr_column_string(&keys, key), tr_column_string(ids, e)))
                continue;
            mentions[e] = 1;
            has_changed = true;
        }
        if (has_changed && (own->gone == NULL || own->gone[row] == 0)) {
            w->done.changed++;
            own->mentions = mentions;
        }
    }
    return TR_OK;
}

static tr_code find_mentions(rewriter *w, uint32_t g, tr_err *err)
{
    tr_column ids;
    uint8_t *codes;
    bool is_named;
    if (w->map == NULL)
        return TR_OK;
    tr_arena_reset(&w->scratch);
    TR_TRY(read_leaf(w, g, w->id, &w->scratch, &ids, err));
    TR_TRY(names_any(w, &ids, &w->scratch, &codes, &is_named, err));
    return is_named ? mark_mentions(w, g, &ids, codes, err) : TR_OK;
}

static tr_code find_rows(rewriter *w, const uint8_t (*key)[16], tr_err *err)
{
    tr_rows rows;
    tr_arena_reset(&w->scratch);
    TR_TRY(tr_rows_of_keys(&w->run, 1, key, 1, &w->scratch, &rows, NULL, err));
    for (uint32_t s = 0; s < rows.slice_count; s++) {
        const tr_slice *slice = &rows.slices[s];
        group *own = &w->groups[slice->group];
        if (own->gone == NULL)
            own->gone = tr_arena_array(&w->arena, own->rows, sizeof *own->gone);
        if (own->gone == NULL)
            return no_memory(err);
        if (own->gone[slice->from] != 0) /* the same identity twice */
            continue;
        memset(own->gone + slice->from, 1, slice->rows);
        own->left -= slice->rows;
        w->done.removed += slice->rows;
    }
    return TR_OK;
}

static tr_code open_rewriter(rewriter *w, tr_err *err)
{
    w->shape = tr_parquet_shape(w->run->file);
    w->group_count = tr_parquet_group_count(w->run->file);
    w->groups = tr_arena_array(&w->arena, w->group_count, sizeof *w->groups);
    if (w->groups == NULL)
        return no_memory(err);
    for (uint32_t g = 0; g < w->group_count; g++)
        w->groups[g].rows = w->groups[g].left = tr_parquet_group_rows(w->run->file, g);
    find_map(w);
    for (uint32_t i = 0; i < w->list->count; i++)
        TR_TRY(find_rows(w, &w->list->at[i].key, err));
    return TR_OK;
}

static void close_rewriter(rewriter *w)
{
    tr_parquet_writer_close(w->writer);
    tr_arena_free(&w->arena);
    tr_arena_free(&w->scratch);
}

tr_code tr_run_names(const tr_run *run, const tr_forget_list *list, bool *out, tr_err *err)
{
    rewriter w = {.run = run, .list = list};
    tr_code code = open_rewriter(&w, err);
    for (uint32_t g = 0; g < w.group_count && code == TR_OK && w.done.removed + w.done.changed == 0;
         g++)
        code = find_mentions(&w, g, err);
    if (code == TR_OK)
        *out = w.done.removed + w.done.changed > 0;
    close_rewriter(&w);
    return code;
}

/* ---- what stays */

static tr_code copy_entry(tr_column_builder *builder, const tr_column *from, uint32_t e,
                          uint8_t rep, tr_err *err)
{
    if (from->codes[e] == 0)
        return tr_column_add_null(builder, rep, from->def[e], err);
    if (from->values.storage == TR_STORAGE_STRING)
        return tr_column_add_string(builder, rep, tr_column_string(from, e), err);
    return tr_column_add_word(builder, rep, tr_column_word(from, e), err);
}

/* Which items of a row stay, as levels of their own: items of one namespace follow each other. */
typedef struct kept_row {
    const tr_column *ids;
    const uint8_t *mentions;
    uint32_t row;
} kept_row;

/* A leaf of the items. */
static tr_code put_items(tr_column_builder *builder, const tr_column *from, const kept_row *k,
                         tr_err *err)
{
    bool is_first = true, is_new = true;
    for (uint32_t e = from->row_start[k->row]; e < from->row_start[k->row + 1]; e++) {
        is_new = is_new || from->rep[e] <= 1;
        if (k->mentions[e] != 0)
            continue;
        TR_TRY(copy_entry(builder, from, e, is_first ? 0 : is_new ? 1 : 2, err));
        is_first = is_new = false;
    }
    return is_first ? tr_column_add_null(builder, 0, 0, err) : TR_OK; /* the whole map has gone */
}

/* The namespaces: those that have an item left. */
static tr_code put_keys(tr_column_builder *builder, const tr_column *from, const kept_row *k,
                        tr_err *err)
{
    bool is_first = true;
    uint32_t e = k->ids->row_start[k->row];
    const uint32_t end = k->ids->row_start[k->row + 1];
    for (uint32_t key = from->row_start[k->row]; key < from->row_start[k->row + 1]; key++) {
        bool is_left = false;
        do
            is_left = is_left || k->mentions[e] == 0;
        while (++e < end && k->ids->rep[e] == 2);
        if (!is_left)
            continue;
        TR_TRY(copy_entry(builder, from, key, is_first ? 0 : 1, err));
        is_first = false;
    }
    return is_first ? tr_column_add_null(builder, 0, 0, err) : TR_OK;
}

static tr_code put_map_leaf(rewriter *w, uint32_t g, uint32_t leaf, const tr_column *ids,
                            tr_err *err)
{
    const group *own = &w->groups[g];
    tr_column from, to;
    tr_column_builder *builder = NULL;
    kept_row k = {.ids = ids, .mentions = own->mentions};
    TR_TRY(read_leaf(w, g, leaf, &w->scratch, &from, err));
    if (leaf != w->map->first_leaf && from.entries != ids->entries)
        return TR_FAIL(err, TR_CORRUPT, "run %s: identityMap has items of different lengths",
                       w->run->id);
    TR_TRY(tr_column_builder_open(&w->shape->leaves[leaf], &builder, err));
    tr_code code = TR_OK;
    for (k.row = 0; k.row < own->rows && code == TR_OK; k.row++) {
        if (own->gone != NULL && own->gone[k.row] != 0)
            continue;
        code = leaf == w->map->first_leaf ? put_keys(builder, &from, &k, err)
                                          : put_items(builder, &from, &k, err);
    }
    if (code == TR_OK)
        code = tr_column_builder_view(builder, &to, err);
    if (code == TR_OK)
        code = tr_parquet_put(w->writer, leaf, &to, err);
    tr_column_builder_close(builder);
    return code;
}

static tr_code put_leaf(rewriter *w, uint32_t g, uint32_t leaf, const uint32_t *pick, tr_err *err)
{
    const group *own = &w->groups[g];
    tr_column from, to;
    tr_arena_reset(&w->scratch);
    if (own->mentions != NULL && leaf >= w->map->first_leaf &&
        leaf < w->map->first_leaf + w->map->leaf_count) {
        tr_column ids;
        TR_TRY(read_leaf(w, g, w->id, &w->scratch, &ids, err));
        return put_map_leaf(w, g, leaf, &ids, err);
    }
    TR_TRY(read_leaf(w, g, leaf, &w->scratch, &from, err));
    if (own->left == own->rows)
        return tr_parquet_put(w->writer, leaf, &from, err);
    TR_TRY(tr_column_pick(&w->scratch, &from, pick, own->left, &to, err));
    return tr_parquet_put(w->writer, leaf, &to, err);
}

static tr_code write_group(rewriter *w, uint32_t g, tr_err *err)
{
    const group *own = &w->groups[g];
    uint32_t *pick = tr_alloc_array(own->left, sizeof *pick);
    uint32_t count = 0;
    if (pick == NULL)
        return no_memory(err);
    for (uint32_t row = 0; row < own->rows; row++)
        if (own->gone == NULL || own->gone[row] == 0)
            pick[count++] = row;
    tr_code code = tr_parquet_begin_group(w->writer, own->left, err);
    for (uint32_t leaf = 0; leaf < w->shape->leaf_count && code == TR_OK; leaf++)
        code = put_leaf(w, g, leaf, pick, err);
    if (code == TR_OK)
        code = tr_parquet_end_group(w->writer, err);
    tr_free(pick);
    return code;
}

/* What the footer of the run says, of the groups that are left. A batch's file carries one time in
 * all rows, whatever the catalog says of it (store.h). */
static tr_code write_footer(rewriter *w, tr_buf *out, tr_err *err)
{
    const tr_run *run = w->run;
    const bool is_of_batch = run->batch[0] != '\0';
    tr_run_cut cut = {.bits = run->partition_bits,
                      .is_event = run->is_event,
                      .is_members = run->is_members,
                      .ingested_min_us = is_of_batch ? run->written_us : run->ingested_min_us,
                      .ingested_max_us = run->written_us};
    cut.partition = tr_arena_array(&w->arena, w->group_count, sizeof *cut.partition);
    if (cut.partition == NULL)
        return no_memory(err);
    cut.knows_settled = run->group_settled != NULL;
    for (uint32_t g = 0; g < w->group_count; g++) {
        if (w->groups[g].left == 0)
            continue;
        if (cut.knows_settled && !run->group_settled[g])
            TR_TRY(tr_run_cut_unsettle(&cut, &w->arena, cut.group_count, err));
        cut.partition[cut.group_count++] = run->group_partition[g];
    }
    return tr_run_footer(&cut, out, err);
}

tr_code tr_run_rewrite(const tr_run *run, const tr_forget_list *list, tr_sink sink,
                       tr_rewritten *out, tr_err *err)
{
    rewriter w = {.run = run, .list = list};
    tr_buf footer = {0};
    tr_code code = open_rewriter(&w, err);
    for (uint32_t g = 0; g < w.group_count && code == TR_OK; g++)
        code = find_mentions(&w, g, err);
    if (code == TR_OK)
        code = write_footer(&w, &footer, err);
    if (code == TR_OK) {
        const char *metadata[] = {TR_RUN_FOOTER, (const char *)footer.at, NULL};
        code = tr_parquet_writer_open(sink, w.shape, &(tr_parquet_options){.metadata = metadata},
                                      &w.writer, err);
    }
    for (uint32_t g = 0; g < w.group_count && code == TR_OK; g++)
        if (w.groups[g].left > 0)
            code = write_group(&w, g, err);
    if (code == TR_OK)
        code = tr_parquet_finish(w.writer, err);
    w.done.rows = run->rows - w.done.removed;
    if (code == TR_OK)
        *out = w.done;
    tr_buf_free(&footer);
    close_rewriter(&w);
    return code;
}
