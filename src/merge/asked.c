/* SPDX-License-Identifier: Apache-2.0 */
/* asked.c - the identities a lookup asks for: the rows of their keys, whose each row is, and the
 * cluster's members as a run in memory. In a partition the same comes from stitched runs.
 */
#include "merge/merge_internal.h"

#include <string.h>

tr_code tr_merge_one_group(const tr_rows *rows, tr_arena *arena, tr_groups *out, tr_err *err)
{
    const uint32_t count = rows->end - 1;
    out->count = 1;
    out->start = tr_arena_alloc(arena, 2 * sizeof *out->start);
    out->rows = tr_arena_alloc(arena, ((size_t)count + 1) * sizeof *out->rows);
    if (out->start == NULL || out->rows == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u rows", count);
    out->start[0] = 0;
    out->start[1] = count;
    for (uint32_t i = 0; i < count; i++)
        out->rows[i] = i + 1;
    return TR_OK;
}

static int compare(const tr_merge_identity *a, const tr_merge_identity *b)
{
    return tr_identity_compare(a->code, a->id, b->code, b->id);
}

tr_code tr_merge_ask(const tr_merge_identity *identities, uint32_t count, tr_arena *arena,
                     tr_merge_asked *out, tr_err *err)
{
    static const uint8_t nobody[16];
    uint8_t(*keys)[16] = tr_arena_array(arena, (size_t)count + 1, sizeof *keys);
    uint32_t *place = tr_arena_array(arena, (size_t)count + 1, sizeof *place);
    if (keys == NULL || place == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to look up %u identities", count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = i;
        if (memcmp(identities[i].key, nobody, sizeof nobody) == 0)
            return TR_FAIL(err, TR_NOT_FOUND, "no profile has this identity");
        for (; at > 0 && compare(&identities[i], &identities[place[at - 1]]) < 0; at--)
            place[at] = place[at - 1];
        place[at] = i;
    }
    for (uint32_t i = 0; i < count; i++)
        memcpy(keys[i], identities[place[i]].key, sizeof *keys);
    *out = (tr_merge_asked){identities, count, (const uint8_t(*)[16])keys, place};
    return TR_OK;
}

tr_code tr_merge_find(const tr_merge_side *side, const tr_merge_asked *who, tr_arena *arena,
                      tr_rows *rows, uint32_t **key_of, tr_err *err)
{
    return tr_rows_of_keys(side->runs, side->run_count, who->keys, who->count, arena, rows, key_of,
                           err);
}

/* The members of a cluster as the row of a members' run. */
tr_code tr_merge_hold_members(tr_merge_work *work, const tr_merge_asked *who, tr_err *err)
{
    const tr_shape *shape = &work->plan->members_shape;
    tr_arena *arena = &work->memory->rows;
    enum { CODE, ID, PRIMARY, LEAVES };
    static const uint64_t words[] = {false, true};
    const uint32_t n = who->count;
    tr_column *columns = tr_arena_array(arena, LEAVES, sizeof *columns);
    tr_run *run = tr_arena_array(arena, 1, sizeof *run);
    const tr_run **runs = tr_arena_array(arena, 1, sizeof *runs);
    tr_slice *slice = tr_arena_array(arena, 1, sizeof *slice);
    tr_str *texts = tr_arena_array(arena, 2 * (size_t)n, sizeof *texts);
    uint32_t *codes = tr_arena_array(arena, 2 * (size_t)n + 2, sizeof *codes);
    uint8_t *levels = tr_arena_array(arena, 4 * (size_t)n, 1);
    if (columns == NULL || run == NULL || runs == NULL || slice == NULL || texts == NULL ||
        codes == NULL || levels == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u members", n);
    uint32_t *primaries = codes + n, *start = codes + 2 * (size_t)n;
    for (uint32_t i = 0; i < n; i++) {
        texts[i] = who->identities[who->place[i]].code;
        texts[n + i] = who->identities[who->place[i]].id;
        codes[i] = i + 1;
        primaries[i] = who->place[i] == 0 ? 2 : 1;
        levels[i] = i == 0 ? 0 : 1; /* every member in an entry of its own: merging joins them */
    }
    start[1] = n;
    for (uint32_t leaf = 0; leaf < LEAVES; leaf++) {
        const bool is_word = leaf == PRIMARY;
        uint8_t *def = levels + (leaf + 1) * (size_t)n;
        const tr_leaf *own = &shape->leaves[leaf];
        memset(def, tr_type_def(shape->units[0].type, own->type) + (leaf == CODE), n);
        columns[leaf] =
            (tr_column){.leaf = own,
                        .rows = 1,
                        .entries = n,
                        .codes = is_word ? primaries : codes,
                        .rep = levels,
                        .def = def,
                        .row_start = start,
                        .values = {.storage = is_word ? TR_STORAGE_WORD : TR_STORAGE_STRING,
                                   .is_distinct = is_word,
                                   .count = is_word ? 2 : n}};
        if (is_word)
            columns[leaf].values.words = words;
        else
            columns[leaf].values.strings = texts + (leaf == ID ? n : 0);
    }
    *run = (tr_run){.is_members = true, .rows = 1, .held_shape = shape, .held = columns};
    runs[0] = run;
    slice[0] = (tr_slice){.rows = 1, .base = 1};
    work->clusters =
        (tr_rows){.runs = runs, .run_count = 1, .slices = slice, .slice_count = 1, .end = 2};
    return tr_merge_one_group(&work->clusters, arena, &work->cluster_groups, err);
}

/* Every row's owner: the identity whose key found its slice. */
static tr_code own_asked(const tr_merge_work *work, const tr_merge_side *side, tr_fold *fold,
                         tr_err *err)
{
    const tr_rows *rows = fold->rows;
    const tr_merge_asked *who = work->asked;
    tr_arena *arena = &work->memory->rows;
    const uint32_t *key_of = rows == &work->events ? work->event_keys : work->record_keys;
    tr_owners *owners = NULL;
    TR_TRY(tr_owners_make(rows, fold->run_of, side->lane, arena, &owners, err));
    uint8_t(*keys)[16] = tr_arena_array(arena, rows->end, sizeof *keys);
    tr_str *codes = tr_arena_array(arena, rows->end, sizeof *codes);
    tr_str *ids = tr_arena_array(arena, rows->end, sizeof *ids);
    if (keys == NULL || codes == NULL || ids == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the owners of %u rows", rows->end);
    for (uint32_t s = 0; s < rows->slice_count; s++)
        for (uint32_t i = 0; i < rows->slices[s].rows; i++) {
            const uint32_t row = rows->slices[s].base + i;
            memcpy(keys[row], who->keys[key_of[s]], sizeof *keys);
            codes[row] = who->identities[who->place[key_of[s]]].code;
            ids[row] = who->identities[who->place[key_of[s]]].id;
        }
    owners->keys = (const uint8_t(*)[16])keys;
    owners->codes = codes;
    owners->ids = ids;
    fold->owners = owners;
    return TR_OK;
}

tr_code tr_merge_own(const tr_merge_work *work, const tr_merge_side *side, tr_fold *fold,
                     tr_err *err)
{
    if (work->asked != NULL)
        return work->asked->count < 2 ? TR_OK : own_asked(work, side, fold, err);
    if (!work->plan->is_stitched)
        return TR_OK;
    TR_TRY(tr_owners_make(fold->rows, fold->run_of, side->lane, &work->memory->rows, &fold->owners,
                          err));
    fold->owners->is_unordered = side == &work->plan->events; /* settled events stand by time */
    return TR_OK;
}
