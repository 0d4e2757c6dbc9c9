/* SPDX-License-Identifier: Apache-2.0 */
/* owners.c - whose the rows of a stitched group are; see fold.h.
 *
 * Within a stitched run the rows of a key stand by namespace and id: row numbers order them. Only
 * when rows of two runs tie, which takes equal times of different batches, are the texts themselves
 * needed: they are read then, once for all rows.
 */
#include "store/fold.h"

#include <string.h>

static tr_code read_keys(const tr_rows *rows, uint8_t (*keys)[16], tr_err *err)
{
    tr_arena scratch = {0};
    tr_code code = TR_OK;
    for (uint32_t s = 0; s < rows->slice_count && code == TR_OK; s++) {
        const tr_slice *slice = &rows->slices[s];
        const tr_run *run = rows->runs[slice->run];
        tr_column column;
        if (run->identity_key_leaf == UINT32_MAX || run->file == NULL)
            continue;
        code = tr_run_read(run, slice->group, run->identity_key_leaf, slice->from, slice->rows,
                           &scratch, &column, err);
        for (uint32_t i = 0; code == TR_OK && i < slice->rows; i++)
            if (column.codes[i] != 0)
                memcpy(keys[slice->base + i], column.values.keys[column.codes[i] - 1],
                       sizeof *keys);
        tr_arena_reset(&scratch);
    }
    tr_arena_free(&scratch);
    return code;
}

tr_code tr_owners_make(const tr_rows *rows, const uint32_t *run_of, const uint32_t *lane,
                       tr_arena *arena, tr_owners **out, tr_err *err)
{
    tr_owners *owners = tr_arena_array(arena, 1, sizeof *owners);
    uint8_t(*keys)[16] = tr_arena_array(arena, rows->end, sizeof *keys);
    if (owners == NULL || keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the owners of %u rows", rows->end);
    TR_TRY(read_keys(rows, keys, err));
    *owners = (tr_owners){.rows = rows,
                          .run_of = run_of,
                          .lane = lane,
                          .keys = (const uint8_t(*)[16])keys,
                          .arena = arena};
    *out = owners;
    return TR_OK;
}

bool tr_owners_are_same(const tr_owners *owners, uint32_t a, uint32_t b)
{
    return memcmp(owners->keys[a], owners->keys[b], sizeof *owners->keys) == 0;
}

static tr_code read_texts(const tr_rows *rows, bool is_id, tr_arena *arena, const tr_str **out,
                          tr_err *err)
{
    tr_str *texts = tr_arena_array(arena, rows->end, sizeof *texts);
    if (texts == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the identities of %u rows", rows->end);
    for (uint32_t s = 0; s < rows->slice_count; s++) {
        const tr_slice *slice = &rows->slices[s];
        const tr_run *run = rows->runs[slice->run];
        tr_column column;
        TR_TRY(tr_run_read(run, slice->group, is_id ? run->id_leaf : run->namespace_leaf,
                           slice->from, slice->rows, arena, &column, err));
        for (uint32_t i = 0; i < slice->rows; i++)
            if (column.codes[i] != 0)
                texts[slice->base + i] = tr_column_string(&column, i);
    }
    *out = texts;
    return TR_OK;
}

/* As profile keys are made: a namespace is the same in any case. */
int tr_identity_compare(tr_str code_a, tr_str id_a, tr_str code_b, tr_str id_b)
{
    const int order = tr_str_compare_folded(code_a, code_b);
    return order != 0 ? order : tr_str_compare(id_a, id_b);
}

static bool has_texts(tr_owners *owners)
{
    if (owners->codes == NULL && owners->code == TR_OK)
        owners->code = read_texts(owners->rows, true, owners->arena, &owners->ids, &owners->err);
    if (owners->codes == NULL && owners->code == TR_OK)
        owners->code = read_texts(owners->rows, false, owners->arena, &owners->codes, &owners->err);
    return owners->code == TR_OK;
}

int tr_owners_compare(tr_owners *owners, uint32_t a, uint32_t b)
{
    const uint32_t run_a = owners->run_of[a], run_b = owners->run_of[b];
    if (owners->lane[run_a] != owners->lane[run_b])
        return owners->lane[run_a] < owners->lane[run_b] ? -1 : 1;
    if (tr_owners_are_same(owners, a, b))
        return 0;
    if ((run_a == run_b && !owners->is_unordered) || !has_texts(owners))
        return a < b ? -1 : 1;
    return tr_identity_compare(owners->codes[a], owners->ids[a], owners->codes[b], owners->ids[b]);
}

tr_code tr_owners_check(const tr_owners *owners, tr_err *err)
{
    if (owners == NULL || owners->code == TR_OK)
        return TR_OK;
    return TR_FAIL(err, owners->code, "%s", owners->err.text);
}
