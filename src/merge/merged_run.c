/* SPDX-License-Identifier: Apache-2.0 */
/* merged_run.c - the merged records of a snapshot as a run (merge.h): partition by partition, with
 * all that the fragments have.
 *
 *     pass 1   keys alone: how many profiles each partition has, because a run's footer says how it
 *              is cut
 *     pass 2   keys, ranks, columns: as for an export of everything
 *
 * Of the bookkeeping only what plans read is written: the key, and the newest ingestion of the
 * profile's fragments, which filters ask for. Identities that only the members of clusters list are
 * left to the plan that reads the run: it unites them as it does with those of fragments.
 */
#include "merge/merge_internal.h"
#include "store/refold.h"
#include "store/run.h"

typedef struct merging {
    tr_arena arena;
    tr_snapshot records;
    tr_shape output; /* all that fragments have, */
    tr_shape shape;  /* and the bookkeeping behind it: leaves have the same numbers in both */
    uint32_t book[TR_RUN_MEMBER_COUNT];
    tr_merge_plan *plan;
    const atomic_bool *cancel;
    tr_run_cut cut;
    uint64_t rows;
    tr_parquet_writer *writer;
} merging;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to keep merged profiles");
}

/* The runs of records. */
static tr_code choose_records(merging *m, const tr_snapshot *snapshot, tr_err *err)
{
    const tr_run **runs = tr_arena_array(&m->arena, (size_t)snapshot->run_count + 1, sizeof *runs);
    if (runs == NULL)
        return no_memory(err);
    m->cut.ingested_min_us = INT64_MAX;
    m->cut.ingested_max_us = INT64_MIN;
    for (uint32_t r = 0; r < snapshot->run_count; r++) {
        const tr_run *run = snapshot->runs[r];
        if (run->is_event || run->is_members || run->is_membership || run->rows == 0)
            continue;
        runs[m->records.run_count++] = run;
        if (run->ingested_min_us < m->cut.ingested_min_us)
            m->cut.ingested_min_us = run->ingested_min_us;
        if (run->ingested_us > m->cut.ingested_max_us)
            m->cut.ingested_max_us = run->ingested_us;
    }
    m->records.runs = runs;
    return m->records.run_count > 0 ? TR_OK
                                    : TR_FAIL(err, TR_NOT_FOUND, "there are no records to merge");
}

static tr_code make_shapes(merging *m, tr_err *err)
{
    tr_type *all = NULL;
    tr_type *output = tr_type_make(&m->arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *shape = tr_type_make(&m->arena, TR_KIND_OBJECT, tr_str_of(""));
    TR_TRY(tr_refold_unite(m->records.runs, m->records.run_count, &m->arena, &all, err));
    for (uint32_t i = 0; i < all->child_count; i++) {
        tr_type *own = tr_type_copy(&m->arena, all->children[i]),
                *also = tr_type_copy(&m->arena, all->children[i]);
        if (tr_str_is(all->children[i]->name, TR_BOOKKEEPING))
            continue;
        if (output == NULL || shape == NULL || own == NULL || also == NULL ||
            !tr_type_add(&m->arena, output, own) || !tr_type_add(&m->arena, shape, also))
            return no_memory(err);
    }
    if (output == NULL || shape == NULL || tr_run_add_bookkeeping(&m->arena, shape) == NULL)
        return no_memory(err);
    TR_TRY(tr_shape_make(&m->arena, output, &m->output, err));
    TR_TRY(tr_shape_make(&m->arena, shape, &m->shape, err));
    return tr_run_find_bookkeeping(&m->shape, m->book, err);
}

static tr_code count_partition(merging *m, uint32_t partition, tr_err *err)
{
    tr_merge_work work = {.plan = m->plan, .index = partition};
    TR_TRY(tr_merge_begin(&work, m->cancel, err));
    tr_code code = tr_merge_walk(&work, err);
    const uint32_t count = work.record_groups.count;
    tr_merge_memory_give(m->plan->pool, work.memory);
    if (code == TR_OK && count > 0)
        code = tr_run_cut_add(&m->cut, &m->arena, partition, count, err);
    m->rows += code == TR_OK ? count : 0;
    return code;
}

static tr_code put_column(void *ctx, uint32_t leaf, const tr_column *column, tr_err *err)
{
    return tr_parquet_put(((const merging *)ctx)->writer, leaf, column, err);
}

static tr_code put_keys(const merging *m, const tr_merge_work *work, uint32_t from, uint32_t rows,
                        tr_err *err)
{
    tr_arena *arena = &work->memory->scratch[0];
    tr_arena_reset(arena);
    uint32_t *codes = tr_arena_alloc(arena, rows * sizeof *codes);
    if (codes == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < rows; i++)
        codes[i] = i + 1;
    const uint32_t leaf = m->book[TR_RUN_KEY];
    const tr_column column = {.leaf = &m->shape.leaves[leaf],
                              .rows = rows,
                              .entries = rows,
                              .codes = codes,
                              .values = {.storage = TR_STORAGE_KEY,
                                         .count = rows,
                                         .keys = (const uint8_t(*)[16])(work->keys + from)}};
    return tr_parquet_put(m->writer, leaf, &column, err);
}

static int64_t newest_of(const tr_merge_work *work, uint32_t g)
{
    const tr_groups *groups = &work->record_groups;
    int64_t newest = INT64_MIN;
    for (uint32_t i = groups->start[g]; i < groups->start[g + 1]; i++)
        if (work->record_fold.ingested[groups->rows[i]] > newest)
            newest = work->record_fold.ingested[groups->rows[i]];
    return newest;
}

/* Nobody asks when a merged row was updated: the same time stands for it. */
static tr_code put_times(const merging *m, const tr_merge_work *work, uint32_t from, uint32_t rows,
                         tr_err *err)
{
    const uint32_t leaves[] = {m->book[TR_RUN_UPDATED], m->book[TR_RUN_INGESTED]};
    tr_column_builder *builder = NULL;
    tr_column column;
    TR_TRY(tr_column_builder_open(&m->shape.leaves[leaves[0]], &builder, err));
    tr_code code = TR_OK;
    for (uint32_t g = from; g < from + rows && code == TR_OK; g++)
        code = tr_column_add_word(builder, 0, (uint64_t)newest_of(work, g), err);
    if (code == TR_OK)
        code = tr_column_builder_view(builder, &column, err);
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves && code == TR_OK; i++)
        code = tr_parquet_put(m->writer, leaves[i], &column, err);
    tr_column_builder_close(builder);
    return code;
}

/* The profiles [from, from + rows) as a row group. */
static tr_code write_group(merging *m, tr_merge_work *work, uint32_t from, uint32_t rows,
                           tr_err *err)
{
    tr_merge_out out = {.work = work, .cancel = m->cancel, .put = put_column, .ctx = m};
    TR_TRY(tr_parquet_begin_group(m->writer, rows, err));
    TR_TRY(tr_merge_system_rows(work, &out, err));
    TR_TRY(tr_merge_columns(&out, from, from + rows, err));
    TR_TRY(put_keys(m, work, from, rows, err));
    TR_TRY(put_times(m, work, from, rows, err));
    return tr_parquet_end_group(m->writer, err);
}

/* *next  the number of the next row group of the cut */
static tr_code write_partition(merging *m, uint32_t partition, uint32_t *next, tr_err *err)
{
    tr_merge_work work = {.plan = m->plan, .index = partition};
    TR_TRY(tr_merge_begin(&work, m->cancel, err));
    tr_code code = tr_merge_walk(&work, err);
    if (code == TR_OK)
        code = tr_merge_find_keys(&work, err); /* ranking may drop rows that have them */
    if (code == TR_OK)
        code = tr_merge_rank(&work, err);
    for (uint32_t from = 0;
         code == TR_OK && *next < m->cut.group_count && m->cut.partition[*next] == partition;
         ++*next) {
        code = write_group(m, &work, from, m->cut.rows[*next], err);
        from += m->cut.rows[*next];
    }
    tr_merge_memory_give(m->plan->pool, work.memory);
    return code;
}

static tr_code write_all(merging *m, tr_sink sink, tr_err *err)
{
    tr_buf footer = {0};
    uint32_t next = 0;
    tr_code code = tr_run_footer(&m->cut, &footer, err);
    if (code == TR_OK) {
        const char *metadata[] = {TR_RUN_FOOTER, (const char *)footer.at, NULL};
        const tr_parquet_options options = {.metadata = metadata, .is_uncompressed = true};
        code = tr_parquet_writer_open(sink, &m->shape, &options, &m->writer, err);
        for (uint32_t p = 0; p < tr_merge_partition_count(m->plan) && code == TR_OK; p++)
            code = write_partition(m, p, &next, err);
        if (code == TR_OK)
            code = tr_parquet_finish(m->writer, err);
    }
    tr_buf_free(&footer);
    return code;
}

static tr_code merge_all(merging *m, const tr_snapshot *snapshot, const tr_merge_policy *policy,
                         tr_sink sink, tr_err *err)
{
    TR_TRY(choose_records(m, snapshot, err));
    TR_TRY(make_shapes(m, err));
    const tr_merge_spec spec = {.snapshot = &m->records,
                                .policy = *policy,
                                .output = &m->output,
                                .updated_after_us = TR_TIME_NONE,
                                .event_after_us = TR_TIME_NONE,
                                .event_before_us = TR_TIME_NONE};
    TR_TRY(tr_merge_plan_open(&spec, &m->plan, err));
    m->cut.bits = m->plan->bits;
    for (uint32_t p = 0; p < tr_merge_partition_count(m->plan); p++)
        TR_TRY(count_partition(m, p, err));
    return write_all(m, sink, err);
}

tr_code tr_merge_write_run(const tr_snapshot *snapshot, const tr_merge_policy *policy, tr_sink sink,
                           const atomic_bool *cancel, tr_merged_run *out, tr_err *err)
{
    merging m = {.cancel = cancel};
    const tr_code code = merge_all(&m, snapshot, policy, sink, err);
    if (code == TR_OK)
        *out = (tr_merged_run){.rows = m.rows, .ingested_us = m.cut.ingested_max_us};
    tr_parquet_writer_close(m.writer);
    tr_merge_plan_close(m.plan);
    tr_arena_free(&m.arena);
    return code;
}
