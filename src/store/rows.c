/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - which rows of which row groups belong to a partition, and their times; see rows.h. */
#include "store/rows.h"
#include "parquet/cache.h"

#include <string.h>

static uint32_t lower_group(const tr_run *run, uint32_t partition)
{
    uint32_t low = 0, high = tr_parquet_group_count(run->file);
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (run->group_partition[middle] < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Row numbers at which the finer partitions of one row group begin. */
static tr_code cut_group(const tr_run *run, uint32_t group, uint8_t bits, uint32_t *starts, tr_err *err)
{
    const uint32_t rows = tr_parquet_group_rows(run->file, group);
    const uint32_t parts = 1u << (bits - run->partition_bits);
    const uint32_t first = run->group_partition[group] << (bits - run->partition_bits);
    uint8_t(*keys)[16] = tr_alloc_array(rows, sizeof *keys);
    if (keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u rows", rows);
    tr_code code = tr_parquet_read_keys(run->file, group, run->key_leaf, keys, err);
    uint32_t part = 0;
    for (uint32_t row = 0; code == TR_OK && row < rows; row++) {
        const uint32_t own = tr_key_partition(keys[row], bits) - first;
        if (own >= parts || (part > 0 && own < part - 1))
            code = TR_FAIL(err, TR_CORRUPT, "run %s: a key is out of order", run->id);
        else
            while (part <= own)
                starts[part++] = row;
    }
    while (part <= parts)
        starts[part++] = rows;
    tr_free(keys);
    return code;
}

tr_code tr_borders_make(const tr_run *const *runs, uint32_t run_count, uint8_t bits, tr_arena *arena,
                        tr_borders *out, tr_err *err)
{
    tr_borders borders = {.runs = runs, .run_count = run_count, .bits = bits};
    borders.starts = tr_arena_array(arena, run_count, sizeof *borders.starts);
    if (borders.starts == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the borders of %u runs", run_count);
    for (uint32_t r = 0; r < run_count; r++) {
        if (runs[r]->partition_bits >= bits)
            continue;
        const uint32_t groups = tr_parquet_group_count(runs[r]->file);
        const uint32_t stride = (1u << (bits - runs[r]->partition_bits)) + 1;
        borders.starts[r] = tr_arena_array(arena, (size_t)groups * stride, sizeof *borders.starts[r]);
        if (borders.starts[r] == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for the borders of %u runs", run_count);
        for (uint32_t g = 0; g < groups; g++)
            TR_TRY(cut_group(runs[r], g, bits, borders.starts[r] + (size_t)g * stride, err));
    }
    *out = borders;
    return TR_OK;
}

/* The groups [*from, *to) of a run that may hold rows of a partition. */
static void groups_of(const tr_borders *borders, uint32_t r, uint32_t partition, uint32_t *from, uint32_t *to)
{
    const tr_run *run = borders->runs[r];
    if (run->partition_bits >= borders->bits) {
        const uint32_t finer = run->partition_bits - borders->bits;
        *from = lower_group(run, partition << finer);
        *to = lower_group(run, (partition + 1) << finer);
    } else {
        const uint32_t own = partition >> (borders->bits - run->partition_bits);
        *from = lower_group(run, own);
        *to = lower_group(run, own + 1);
    }
}

static tr_slice slice_of(const tr_borders *borders, uint32_t r, uint32_t partition, uint32_t group)
{
    const tr_run *run = borders->runs[r];
    if (borders->starts[r] == NULL)
        return (tr_slice){.run = r, .group = group, .rows = tr_parquet_group_rows(run->file, group)};
    const uint32_t parts = 1u << (borders->bits - run->partition_bits);
    const uint32_t *starts = borders->starts[r] + (size_t)group * (parts + 1) + (partition & (parts - 1));
    return (tr_slice){.run = r, .group = group, .from = starts[0], .rows = starts[1] - starts[0]};
}

tr_code tr_rows_of(const tr_borders *borders, uint32_t partition, tr_arena *arena, tr_rows *out, tr_err *err)
{
    tr_rows rows = {.runs = borders->runs, .run_count = borders->run_count, .end = 1};
    uint32_t slices = 0;
    for (uint32_t r = 0; r < borders->run_count; r++) {
        uint32_t from, to;
        groups_of(borders, r, partition, &from, &to);
        slices += to - from;
    }
    rows.slices = tr_arena_array(arena, slices, sizeof *rows.slices);
    rows.first_slice = tr_arena_array(arena, (size_t)borders->run_count + 1, sizeof *rows.first_slice);
    if (rows.slices == NULL || rows.first_slice == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a partition of %u row groups", slices);
    for (uint32_t r = 0; r < borders->run_count; r++) {
        uint32_t from, to;
        groups_of(borders, r, partition, &from, &to);
        for (uint32_t g = from; g < to; g++) {
            tr_slice slice = slice_of(borders, r, partition, g);
            if (slice.rows == 0)
                continue;
            slice.base = rows.end;
            if (__builtin_add_overflow(rows.end, slice.rows, &rows.end))
                return TR_FAIL(err, TR_LIMIT, "a partition has more than 2^32 rows");
            rows.slices[rows.slice_count++] = slice;
        }
        rows.first_slice[r + 1] = rows.slice_count;
    }
    *out = rows;
    return TR_OK;
}

/* Row groups that a key may be in: those of its partition. */
static void groups_of_key(const tr_run *run, const uint8_t key[16], uint32_t *from, uint32_t *to)
{
    const uint32_t partition = tr_key_partition(key, run->partition_bits);
    *from = lower_group(run, partition);
    *to = lower_group(run, partition + 1);
}

/* Adds the slices of one key in one run. */
static tr_code add_key(tr_rows *rows, uint32_t r, const uint8_t key[16], tr_err *err)
{
    const tr_run *run = rows->runs[r];
    uint32_t from, to;
    groups_of_key(run, key, &from, &to);
    for (uint32_t g = from; g < to; g++) {
        tr_slice slice = {.run = r, .group = g, .base = rows->end};
        TR_TRY(tr_parquet_find_key(run->file, g, run->key_leaf, key, &slice.from, &slice.rows, err));
        if (slice.rows == 0)
            continue;
        if (__builtin_add_overflow(rows->end, slice.rows, &rows->end))
            return TR_FAIL(err, TR_LIMIT, "an identity has more than 2^32 rows");
        rows->slices[rows->slice_count++] = slice;
    }
    return TR_OK;
}

tr_code tr_rows_of_keys(const tr_run *const *runs, uint32_t run_count, const uint8_t (*keys)[16],
                        uint32_t key_count, tr_arena *arena, tr_rows *out, uint32_t **key_of, tr_err *err)
{
    tr_rows rows = {.runs = runs, .run_count = run_count, .end = 1};
    uint32_t slices = 0, from, to;
    for (uint32_t r = 0; r < run_count; r++)
        for (uint32_t k = 0; k < key_count; k++) {
            groups_of_key(runs[r], keys[k], &from, &to);
            slices += to - from;
        }
    uint32_t *numbers = tr_arena_array(arena, slices, sizeof *numbers);
    rows.slices = tr_arena_array(arena, slices, sizeof *rows.slices);
    rows.first_slice = tr_arena_array(arena, (size_t)run_count + 1, sizeof *rows.first_slice);
    if (rows.slices == NULL || rows.first_slice == NULL || numbers == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to look into %u row groups", slices);
    for (uint32_t r = 0; r < run_count; r++) {
        for (uint32_t k = 0; k < key_count; k++) {
            const uint32_t before = rows.slice_count;
            TR_TRY(add_key(&rows, r, keys[k], err));
            for (uint32_t s = before; s < rows.slice_count; s++)
                numbers[s] = k;
        }
        rows.first_slice[r + 1] = rows.slice_count;
    }
    if (key_of != NULL)
        *key_of = numbers;
    *out = rows;
    return TR_OK;
}

uint32_t tr_rows_slice(const tr_rows *rows, uint32_t number)
{
    uint32_t low = 0, high = rows->slice_count; /* the last slice with base <= number */
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (rows->slices[middle].base <= number)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* When a row was ingested, or updated, whose bookkeeping says `us`. */
static int64_t time_of(const tr_run *run, int64_t us)
{
    return us == run->written_us ? run->ingested_us : us;
}

static tr_code no_time(const tr_run *run, tr_err *err)
{
    return TR_FAIL(err, TR_CORRUPT, "run %s: a row has no bookkeeping time", run->id);
}

static tr_code read_times(const tr_rows *rows, const tr_slice *slice, uint32_t leaf, tr_arena *scratch,
                          int64_t *out, tr_err *err)
{
    tr_column column;
    const tr_run *run = rows->runs[slice->run];
    TR_TRY(tr_parquet_read(run->file, slice->group, leaf, slice->from, slice->rows, scratch, &column, err));
    for (uint32_t i = 0; i < slice->rows; i++) {
        if (column.codes[i] == 0)
            return no_time(run, err);
        out[i] = time_of(run, (int64_t)tr_column_word(&column, i));
    }
    return TR_OK;
}

/* Times are few: each is compared once. */
static tr_code list_later(const tr_rows *rows, const tr_slice *slice, int64_t after_us, tr_arena *scratch,
                          uint32_t *numbers, uint32_t *count, tr_err *err)
{
    tr_column column;
    const tr_run *run = rows->runs[slice->run];
    TR_TRY(tr_parquet_read(run->file, slice->group, run->ingested_leaf, slice->from, slice->rows, scratch, &column,
                           err));
    const tr_values *table = &column.values;
    bool *is_later = tr_arena_array(scratch, (size_t)table->count + 1, sizeof *is_later);
    if (is_later == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u times", table->count);
    for (uint32_t i = 0; i < table->count; i++)
        is_later[i + 1] = time_of(run, (int64_t)table->words[i]) > after_us;
    uint32_t to = *count, without = 0;
    for (uint32_t i = 0; i < slice->rows; i++) {
        numbers[to] = slice->base + i;
        to += is_later[column.codes[i]];
        without += column.codes[i] == 0;
    }
    *count = to;
    return without == 0 ? TR_OK : no_time(run, err);
}

tr_code tr_rows_ingested_after(const tr_rows *rows, int64_t after_us, tr_arena *arena, uint32_t **out,
                               uint32_t *count, tr_err *err)
{
    tr_arena scratch = {0};
    tr_code code = TR_OK;
    uint32_t found = 0;
    uint32_t *numbers = tr_arena_alloc(arena, (size_t)rows->end * sizeof *numbers);
    if (numbers == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the numbers of %u rows", rows->end);
    for (uint32_t s = 0; s < rows->slice_count && code == TR_OK; s++) {
        const tr_slice *slice = &rows->slices[s];
        const tr_run *run = rows->runs[slice->run];
        if (run->ingested_min_us < run->ingested_us) {
            code = list_later(rows, slice, after_us, &scratch, numbers, &found, err);
            tr_arena_reset(&scratch);
            continue;
        }
        for (uint32_t i = 0; i < slice->rows && run->ingested_us > after_us; i++)
            numbers[found++] = slice->base + i;
    }
    tr_arena_free(&scratch);
    if (code != TR_OK)
        return code;
    *out = numbers;
    *count = found;
    return TR_OK;
}

tr_code tr_rows_times(const tr_rows *rows, tr_row_time which, tr_arena *arena, const int64_t **out, tr_err *err)
{
    tr_arena scratch = {0};
    tr_code code = TR_OK;
    int64_t *times = tr_arena_array(arena, rows->end, sizeof *times);
    if (times == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the times of %u rows", rows->end);
    for (uint32_t s = 0; s < rows->slice_count && code == TR_OK; s++) {
        const tr_slice *slice = &rows->slices[s];
        const tr_run *run = rows->runs[slice->run];
        if (which == TR_ROW_INGESTED && run->ingested_min_us == run->ingested_us) {
            for (uint32_t i = 0; i < slice->rows; i++)
                times[slice->base + i] = run->ingested_us;
            continue;
        }
        const uint32_t leaf = which == TR_ROW_UPDATED ? run->updated_leaf : run->ingested_leaf;
        code = read_times(rows, slice, leaf, &scratch, times + slice->base, err);
        tr_arena_reset(&scratch);
    }
    tr_arena_free(&scratch);
    if (code == TR_OK)
        *out = times;
    return code;
}

tr_code tr_rows_keys(const tr_rows *rows, tr_arena *arena, const uint8_t (**out)[16], tr_err *err)
{
    tr_arena scratch = {0};
    tr_code code = TR_OK;
    uint8_t(*keys)[16] = tr_arena_array(arena, rows->end, sizeof *keys);
    if (keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u rows", rows->end);
    for (uint32_t s = 0; s < rows->slice_count && code == TR_OK; s++) {
        tr_column column;
        const tr_slice *slice = &rows->slices[s];
        const tr_run *run = rows->runs[slice->run];
        code = tr_parquet_read(run->file, slice->group, run->key_leaf, slice->from, slice->rows, &scratch,
                               &column, err);
        for (uint32_t i = 0; code == TR_OK && i < slice->rows; i++) {
            if (column.codes[i] == 0)
                code = TR_FAIL(err, TR_CORRUPT, "run %s: a row has no key", run->id);
            else
                memcpy(keys[slice->base + i], column.values.keys[column.codes[i] - 1], sizeof *keys);
        }
        tr_arena_reset(&scratch);
    }
    tr_arena_free(&scratch);
    if (code == TR_OK)
        *out = (const uint8_t(*)[16])keys;
    return code;
}
