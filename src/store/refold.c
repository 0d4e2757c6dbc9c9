/* SPDX-License-Identifier: Apache-2.0 */
/* refold.c - compaction's work on rows: the same walk, fold and gather as merging, with the runs' own columns
 * as output, partition by partition. How the run is cut is noted on the way and said in its footer. Events come out
 * settled (settle.h).
 */
#include "store/rekey.h"
#include "store/fold.h"
#include "store/gather.h"
#include "store/run.h"
#include "store/settle.h"
#include "store/sort.h"

#include <string.h>

/* Rows of a profile. */
typedef struct span {
    uint32_t from, to;
} span;

typedef struct refolder {
    const tr_run *const *runs;
    uint32_t run_count;
    bool is_event;
    const tr_moves *moves; /* NULL: rows keep their keys, and are folded */
    tr_arena arena;     /* as long as the refolding */
    tr_arena rows;      /* as long as a partition */
    tr_arena scratch[2];
    tr_shape shape;
    tr_match *matches;
    uint32_t *lanes; /* zeros */
    uint32_t book[TR_RUN_MEMBER_COUNT]; /* leaves of the bookkeeping column */
    tr_borders borders;
    tr_run_cut cut;
    span *spans; /* of a partition: profiles that are not settled, ascending */
    uint32_t span_count;
    tr_parquet_writer *writer;
} refolder;

/* Adds to `into` what `from` has more. Both are objects, or alike in kind. */
static tr_code unite_types(tr_arena *arena, tr_type *into, const tr_type *from, tr_err *err)
{
    if (into->kind != from->kind)
        return TR_FAIL(err, TR_SEMANTIC, "field \"%.*s\" has another type in an older run", TR_STR_ARG(from->name));
    if (into->kind == TR_KIND_ARRAY || into->kind == TR_KIND_MAP)
        return unite_types(arena, into->children[0], from->children[0], err);
    for (uint32_t i = 0; into->kind == TR_KIND_OBJECT && i < from->child_count; i++) {
        tr_type *own = tr_type_member(into, from->children[i]->name);
        if (own != NULL) {
            TR_TRY(unite_types(arena, own, from->children[i], err));
            continue;
        }
        tr_type *copy = tr_type_copy(arena, from->children[i]);
        if (copy == NULL || !tr_type_add(arena, into, copy))
            return TR_FAIL(err, TR_NO_MEMORY, "no memory to unite two schemas");
    }
    return TR_OK;
}

tr_code tr_refold_unite(const tr_run *const *runs, uint32_t run_count, tr_arena *arena, tr_type **out,
                        tr_err *err)
{
    tr_type *root = tr_type_copy(arena, tr_parquet_shape(runs[0]->file)->root);
    if (root == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to unite two schemas");
    for (uint32_t r = 1; r < run_count; r++)
        TR_TRY(unite_types(arena, root, tr_parquet_shape(runs[r]->file)->root, err));
    *out = root;
    return TR_OK;
}

static tr_code prepare(refolder *f, tr_err *err)
{
    uint64_t rows = 0;
    tr_type *root = NULL;
    TR_TRY(tr_refold_unite(f->runs, f->run_count, &f->arena, &root, err));
    TR_TRY(tr_shape_make(&f->arena, root, &f->shape, err));
    TR_TRY(tr_run_find_bookkeeping(&f->shape, f->book, err));
    f->matches = tr_arena_array(&f->arena, f->run_count, sizeof *f->matches);
    f->lanes = tr_arena_array(&f->arena, f->run_count, sizeof *f->lanes);
    if (f->matches == NULL || f->lanes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to compact %u runs", f->run_count);
    for (uint32_t r = 0; r < f->run_count; r++) {
        rows += f->runs[r]->rows;
        TR_TRY(tr_match_make(&f->arena, &f->shape, root, tr_parquet_shape(f->runs[r]->file), &f->matches[r], err));
    }
    rows = f->moves != NULL ? f->runs[0]->rows : rows;
    f->cut = (tr_run_cut){.bits = tr_run_bits_for(rows), .is_event = f->is_event,
                          .knows_settled = f->is_event, .ingested_min_us = INT64_MAX, .ingested_max_us = INT64_MIN};
    return tr_borders_make(f->runs, f->run_count, f->cut.bits, &f->arena, &f->borders, err);
}

/* Every row that stays is a row of the output. */
static tr_code one_row_each(tr_groups *groups, tr_arena *arena, tr_err *err)
{
    const uint32_t rows = groups->start[groups->count];
    uint32_t *start = tr_arena_alloc(arena, ((size_t)rows + 1) * sizeof *start);
    if (start == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u events", rows);
    for (uint32_t i = 0; i <= rows; i++)
        start[i] = i;
    *groups = (tr_groups){.count = rows, .start = start, .rows = groups->rows};
    return TR_OK;
}

/* Every row but those that moved away, each as a row of the output; by owner, unless they are settled. */
static tr_code arrange_moved(refolder *f, const tr_rows *rows, tr_groups *groups, tr_fold *fold, tr_err *err)
{
    const uint8_t(*keys)[16] = NULL;
    uint32_t to = 0;
    tr_unsettled unsettled = {.count = 0};
    tr_event_facts facts = {.ids = NULL};
    TR_TRY(tr_rows_keys(rows, &f->rows, &keys, err));
    TR_TRY(tr_owners_make(rows, fold->run_of, f->lanes, &f->rows, &fold->owners, err));
    fold->owners->is_unordered = true;
    if (f->is_event)
        TR_TRY(tr_unsettled_find(rows, groups, false, &f->rows, &unsettled, err));
    if (unsettled.count > 0)
        TR_TRY(tr_event_facts_read(rows, unsettled.rows, &f->rows, &facts, err));
    f->spans = tr_arena_alloc(&f->rows, ((size_t)unsettled.count + 1) * sizeof *f->spans);
    if (f->spans == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u profiles", unsettled.count);
    for (uint32_t g = 0; g < groups->count; g++) {
        uint32_t *own = groups->rows + groups->start[g];
        const uint32_t count = groups->start[g + 1] - groups->start[g];
        const bool is_gone = fold->run_of[own[0]] == 0 && tr_moves_find(f->moves, keys[own[0]]) != NULL;
        if (is_gone)
            continue;
        if (count > 1)
            tr_sort_rows(own, fold->spare, count, tr_fold_by_owner, fold);
        if (unsettled.groups != NULL && unsettled.groups[g] && !tr_events_settle(&facts, own, fold->spare, count))
            f->spans[f->span_count++] = (span){to, to + count};
        memmove(groups->rows + to, own, count * sizeof *own);
        to += count;
    }
    groups->count = 1;
    groups->start[1] = to;
    TR_TRY(one_row_each(groups, &f->rows, err));
    return tr_owners_check(fold->owners, err);
}

static tr_code fold_events(const tr_rows *rows, tr_groups *groups, const tr_fold *fold, tr_arena *arena, tr_err *err)
{
    tr_unsettled unsettled;
    tr_event_facts facts;
    TR_TRY(tr_unsettled_find(rows, groups, false, arena, &unsettled, err));
    if (unsettled.count > 0) {
        TR_TRY(tr_event_facts_read(rows, unsettled.rows, arena, &facts, err));
        TR_TRY(tr_fold_events(fold, &unsettled, &facts, groups, err));
    }
    return one_row_each(groups, arena, err);
}

/* The output rows of a partition: groups of rows, best first. */
static tr_code select_rows(refolder *f, uint32_t partition, tr_rows *rows, tr_groups *groups, tr_fold *fold,
                           tr_err *err)
{
    tr_arena *arena = &f->rows;
    tr_arena_reset(arena);
    f->span_count = 0;
    TR_TRY(tr_rows_of(&f->borders, partition, arena, rows, err));
    TR_TRY(tr_walk_profiles(&(tr_walk){.records = rows, .scratch = &f->scratch[0]}, arena, groups, NULL, err));
    TR_TRY(tr_fold_make(rows, groups, arena, fold, err));
    if (f->moves != NULL)
        return arrange_moved(f, rows, groups, fold, err);
    if (f->is_event)
        return fold_events(rows, groups, fold, arena, err);
    uint32_t to = 0;
    for (uint32_t g = 0; g < groups->count; g++) {
        const uint32_t from = groups->start[g];
        const uint32_t kept = tr_fold_records(fold, groups->rows + from, groups->start[g + 1] - from);
        memmove(groups->rows + to, groups->rows + from, kept * sizeof *groups->rows);
        groups->start[g] = to;
        to += kept;
    }
    groups->start[groups->count] = to;
    return TR_OK;
}

/* How the run is cut, and which of the partition's row groups are not settled. */
static tr_code note_partition(refolder *f, uint32_t partition, const tr_groups *groups, const tr_fold *fold,
                              tr_err *err)
{
    const uint32_t first = f->cut.group_count;
    for (uint32_t g = 0; g < groups->count; g++) {
        const int64_t us = fold->ingested[groups->rows[groups->start[g]]];
        f->cut.ingested_min_us = us < f->cut.ingested_min_us ? us : f->cut.ingested_min_us;
        f->cut.ingested_max_us = us > f->cut.ingested_max_us ? us : f->cut.ingested_max_us;
    }
    TR_TRY(tr_run_cut_add(&f->cut, &f->arena, partition, groups->count, err));
    for (uint32_t group = first, from = 0, at = 0; group < f->cut.group_count; from += f->cut.rows[group++]) {
        const uint32_t to = from + f->cut.rows[group];
        while (at < f->span_count && f->spans[at].to <= from)
            at++;
        if (at < f->span_count && f->spans[at].from < to)
            TR_TRY(tr_run_cut_unsettle(&f->cut, &f->arena, group, err));
    }
    return TR_OK;
}

static tr_code put_column(void *ctx, uint32_t leaf, const tr_column *column, tr_err *err)
{
    refolder *f = ctx;
    tr_column own = *column;
    if (f->is_event && leaf == f->book[TR_RUN_KEY])
        TR_TRY(tr_run_fold_keys(&f->rows, &own, err));
    return tr_parquet_put(f->writer, leaf, &own, err);
}

/* One of the bookkeeping times, of the best row of each group: the rows' own columns may hold the time at
 * which their batch was written, see store.h. */
static tr_code put_times(refolder *f, const tr_rows *rows, const tr_groups *groups, tr_row_time which,
                         uint32_t leaf, tr_err *err)
{
    const int64_t *times;
    tr_column_builder *builder = NULL;
    tr_column column;
    tr_arena_reset(&f->scratch[0]);
    TR_TRY(tr_rows_times(rows, which, &f->scratch[0], &times, err));
    TR_TRY(tr_column_builder_open(&f->shape.leaves[leaf], &builder, err));
    tr_code code = TR_OK;
    for (uint32_t g = 0; g < groups->count && code == TR_OK; g++)
        code = tr_column_add_word(builder, 0, (uint64_t)times[groups->rows[groups->start[g]]], err);
    if (code == TR_OK)
        code = tr_column_builder_view(builder, &column, err);
    if (code == TR_OK)
        code = tr_parquet_put(f->writer, leaf, &column, err);
    tr_column_builder_close(builder);
    return code;
}

static tr_code put_unit(refolder *f, const tr_gather *gather, const tr_groups *groups, uint32_t unit, tr_err *err)
{
    const uint32_t leaf = f->shape.units[unit].first_leaf;
    if (leaf == f->book[TR_RUN_UPDATED])
        return put_times(f, gather->rows, groups, TR_ROW_UPDATED, leaf, err);
    if (leaf == f->book[TR_RUN_INGESTED])
        return put_times(f, gather->rows, groups, TR_ROW_INGESTED, leaf, err);
    return tr_gather_unit(gather, unit, err);
}

/* Writes the row groups of one partition. */
static tr_code write_partition(refolder *f, uint32_t partition, tr_err *err)
{
    tr_rows rows;
    tr_groups groups;
    tr_fold fold;
    tr_gather gather = {.shape = &f->shape, .rows = &rows, .matches = f->matches, .lane = f->lanes,
                        .is_one_per_lane = f->is_event || !f->runs[0]->is_upsert || f->moves != NULL,
                        .is_verbatim = f->is_event || !f->runs[0]->is_upsert || f->moves != NULL, .arenas = f->scratch,
                        .put = put_column, .ctx = f};
    const uint32_t first = f->cut.group_count;
    tr_code code = select_rows(f, partition, &rows, &groups, &fold, err);
    if (code == TR_OK && groups.count > 0)
        code = note_partition(f, partition, &groups, &fold, err);
    for (uint32_t g = first, from = 0; code == TR_OK && g < f->cut.group_count; g++) {
        const tr_groups part = {.count = f->cut.rows[g], .start = groups.start + from, .rows = groups.rows};
        from += part.count;
        code = tr_parquet_begin_group(f->writer, part.count, err);
        if (code == TR_OK)
            code = tr_gather_index(&part, &f->rows, &gather, err);
        for (uint32_t unit = 0; unit < f->shape.unit_count && code == TR_OK; unit++)
            code = put_unit(f, &gather, &part, unit, err);
        if (code == TR_OK)
            code = tr_parquet_end_group(f->writer, err);
    }
    return code;
}

static tr_code write_footer(refolder *f, tr_err *err)
{
    tr_buf footer = {0};
    if (f->cut.group_count == 0) /* only rows without an identity */
        f->cut.ingested_min_us = f->cut.ingested_max_us = f->runs[f->run_count - 1]->ingested_us;
    tr_code code = tr_run_footer(&f->cut, &footer, err);
    if (code == TR_OK)
        code = tr_parquet_put_metadata(f->writer, TR_RUN_FOOTER, (const char *)footer.at, err);
    tr_buf_free(&footer);
    return code == TR_OK ? tr_parquet_finish(f->writer, err) : code;
}

static tr_code refold(refolder *f, tr_sink sink, tr_refolded *out, tr_err *err)
{
    tr_refolded refolded = {0};
    tr_code code = prepare(f, err);
    if (code == TR_OK)
        code = tr_parquet_writer_open(sink, &f->shape, NULL, &f->writer, err);
    for (uint32_t p = 0; code == TR_OK && p < 1u << f->cut.bits; p++)
        code = write_partition(f, p, err);
    if (code == TR_OK)
        code = write_footer(f, err);
    for (uint32_t g = 0; g < f->cut.group_count; g++)
        refolded.rows += f->cut.rows[g];
    refolded.partition_bits = f->cut.bits;
    refolded.ingested_us = f->cut.ingested_max_us;
    tr_parquet_writer_close(f->writer);
    tr_arena_free(&f->arena);
    tr_arena_free(&f->rows);
    tr_arena_free(&f->scratch[0]);
    tr_arena_free(&f->scratch[1]);
    if (code == TR_OK)
        *out = refolded;
    return code;
}

tr_code tr_refold(const tr_run *const *runs, uint32_t run_count, tr_sink sink, tr_refolded *out, tr_err *err)
{
    refolder f = {.runs = runs, .run_count = run_count, .is_event = runs[0]->is_event};
    return refold(&f, sink, out, err);
}

tr_code tr_refold_moved(const tr_run *const *runs, uint32_t run_count, const tr_moves *moves, tr_sink sink,
                        tr_refolded *out, tr_err *err)
{
    refolder f = {.runs = runs, .run_count = run_count, .is_event = runs[0]->is_event, .moves = moves};
    return refold(&f, sink, out, err);
}
