/* SPDX-License-Identifier: Apache-2.0 */
/* batch_rows.c - a block of rows into staged runs; what is wrong with bad rows.
 *
 * A task reads one block with a reader of its own and writes one run, named by the block's number;
 * only a block whose rows take very much more memory than text becomes several:
 *
 *     block 12   part-00012.parquet   part-00012_001.parquet   part-00012_002.parquet
 *
 * in the order of their names, which is the order of their rows (store/README.md).
 */
#include "ingest/ingest_internal.h"

enum { CHECK_EVERY = 4096 };

typedef struct block_task {
    tr_batch_run *run;
    tr_block_result *result;
    tr_row_reader *reader;
    uint32_t block;
    uint32_t parts;
    uint32_t file;
} block_task;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to read a block of rows");
}

void tr_block_result_free(tr_block_result *result)
{
    for (tr_bad_row *bad = result->bad; bad != NULL; bad = bad->next)
        json_decref(bad->why);
    json_decref(result->codes);
    json_decref(result->unknown);
    json_decref(result->unknown_namespaces);
    tr_arena_free(&result->arena);
    *result = (tr_block_result){0};
}

/* ---- good rows */

static tr_code write_staged(block_task *t, const tr_batch_part *part, tr_lake_written *written,
                            tr_err *err)
{
    const tr_ingest_active *active = t->run->active;
    tr_lake_file file = {.file = TR_FILE_NONE};
    TR_TRY(tr_lake_create(active->ingest->parts.lake, &active->tenant, t->run->stage, part->name,
                          &file, err));
    tr_code code = tr_row_reader_write(t->reader, (tr_sink){tr_lake_write, &file}, err);
    if (code == TR_OK)
        code = tr_lake_finish(&file, written, err);
    tr_lake_abandon(&file);
    return code;
}

static tr_code write_part(block_task *t, tr_err *err)
{
    tr_batch_part *part = tr_arena_array(&t->result->arena, 1, sizeof *part);
    if (part == NULL)
        return no_memory(err);
    if (t->parts == 0)
        (void)snprintf(part->name, sizeof part->name, "part-%05u.parquet", t->block);
    else
        (void)snprintf(part->name, sizeof part->name, "part-%05u_%03u.parquet", t->block, t->parts);
    t->parts++;
    part->rows = tr_row_reader_rows(t->reader);
    TR_TRY(write_staged(t, part, &part->written, err));
    tr_crash_point("ingest_part_written");
    if (t->result->last_part == NULL)
        t->result->parts = part;
    else
        t->result->last_part->next = part;
    t->result->last_part = part;
    return TR_OK;
}

/* ---- bad rows */

static tr_code count_in(json_t *counts, const char *name, json_int_t more, tr_err *err)
{
    const json_int_t sum = json_integer_value(json_object_get(counts, name)) + more;
    return json_object_set_new(counts, name, json_integer(sum)) == 0 ? TR_OK : no_memory(err);
}

/* why is taken. */
static tr_code note_bad_row(block_task *t, tr_str row, uint64_t number, json_t *why, tr_err *err)
{
    tr_block_result *result = t->result;
    tr_code code = why != NULL ? count_in(result->codes, tr_json_text(why, "code", ""), 1, err)
                               : no_memory(err);
    result->rows_bad++;
    if (code != TR_OK || result->bad_kept == TR_INGEST_DIAGNOSTICS_MAX) {
        json_decref(why);
        return code;
    }
    tr_bad_row *bad = tr_arena_array(&result->arena, 1, sizeof *bad);
    if (bad == NULL) {
        json_decref(why);
        return no_memory(err);
    }
    *bad = (tr_bad_row){.why = why, .file = t->file, .number = number};
    if (t->run->has_diagnostics && result->bad_bytes + row.len <= TR_INGEST_REJECTED_BYTES_MAX) {
        bad->row = tr_arena_copy(&result->arena, row);
        result->bad_bytes += row.len;
    }
    if (result->last_bad == NULL)
        result->bad = bad;
    else
        result->last_bad->next = bad;
    result->last_bad = bad;
    result->bad_kept++;
    return TR_OK;
}

/* A line of the converter that stands for a row of CSV which could not be cut into cells. */
static bool is_corrupt_line(const block_task *t, tr_str row)
{
    static const char start[] = "{\"__corrupt\":";
    return t->run->files[t->file].is_converted && row.len >= sizeof start - 1 &&
           memcmp(row.at, start, sizeof start - 1) == 0;
}

static tr_code note_corrupt_line(block_task *t, tr_str row, tr_err *err)
{
    json_t *line = NULL;
    TR_TRY(tr_json_parse(row, &line, err));
    const tr_str text = tr_str_of(tr_json_text(line, "__corrupt", ""));
    json_t *why = json_pack("{s:s, s:s}", "code", "1401", "message",
                            tr_json_text(line, "__error", "the row cannot be cut into cells"));
    const uint64_t number = (uint64_t)tr_json_int(line, "__line", 0);
    const tr_code code = note_bad_row(t, text, number, why, err);
    json_decref(line);
    return code;
}

/* ---- the walk */

static tr_code add_row(block_task *t, tr_str row, uint64_t number, tr_err *err)
{
    json_t *why = NULL;
    if (is_corrupt_line(t, row))
        return note_corrupt_line(t, row, err);
    const tr_code code = tr_row_reader_add(t->reader, row, &why, err);
    if (code == TR_INVALID)
        return note_bad_row(t, row, number, why, err);
    TR_TRY(code);
    t->result->rows_good++;
    return tr_row_reader_bytes(t->reader) > TR_INGEST_READER_BYTES_MAX ? write_part(t, err) : TR_OK;
}

static tr_code read_rows(block_task *t, const tr_batch_segment *segment, tr_str text, tr_err *err)
{
    tr_json_cutter cutter = segment->from;
    tr_str row;
    cutter.text = text;
    while (cutter.at < segment->to && tr_json_next_row(&cutter, &row)) {
        t->result->rows_in++;
        TR_TRY(add_row(t, row, cutter.row_number, err));
        if (cutter.row_number % CHECK_EVERY == 0 && atomic_load(&t->run->active->cancel))
            return TR_FAIL(err, TR_CANCELLED, "the batch was aborted");
    }
    return TR_OK;
}

static tr_code read_segments(block_task *t, tr_err *err)
{
    const tr_batch_block *block = &t->run->blocks[t->block];
    for (uint32_t s = 0; s < block->segment_count; s++) {
        const tr_batch_segment *segment = &t->run->segments[block->first_segment + s];
        tr_map map = {0};
        tr_str text;
        t->file = segment->file;
        TR_TRY(tr_batch_map_file(t->run, segment->file, &map, &text, err));
        const tr_code code = read_rows(t, segment, text, err);
        tr_map_close(&map);
        TR_TRY(code);
    }
    return tr_row_reader_rows(t->reader) > 0 ? write_part(t, err) : TR_OK;
}

static tr_code open_reader(block_task *t, tr_err *err)
{
    const tr_batch_run *run = t->run;
    const tr_row_options options = {.schema = run->schema,
                                    .secret = run->secret,
                                    .batch = run->active->batch,
                                    .ingested_us = run->written_us,
                                    .namespaces = run->namespaces,
                                    .is_profile = run->is_profile,
                                    .unknown_is_error = run->unknown_is_error,
                                    .is_unconstrained = run->is_unconstrained,
                                    .is_text = strcmp(run->format, "csv") == 0,
                                    .own_root = run->own_root};
    return tr_row_reader_open(&options, &t->reader, err);
}

static tr_code run_task(void *ctx, uint32_t index, tr_err *err)
{
    tr_batch_run *run = ctx;
    block_task t = {.run = run, .block = index, .result = &run->results[index]};
    t.result->codes = json_object();
    if (t.result->codes == NULL)
        return no_memory(err);
    TR_TRY(open_reader(&t, err));
    tr_code code = read_segments(&t, err);
    if (code == TR_OK) {
        t.result->rows_without_identity = tr_row_reader_rows_without_identity(t.reader);
        t.result->rows_with_bad_identity = tr_row_reader_rows_with_bad_identity(t.reader);
        code = tr_row_reader_unknown_namespaces(t.reader, &t.result->unknown_namespaces, err);
        t.result->unknown = json_deep_copy(tr_row_reader_unknown_fields(t.reader));
        if (code == TR_OK && t.result->unknown == NULL)
            code = no_memory(err);
    }
    tr_row_reader_close(t.reader);
    return code;
}

static tr_code add_counts(json_t *into, const json_t *from, tr_err *err)
{
    const char *name;
    json_t *count;
    json_object_foreach ((json_t *)(uintptr_t)from, name, count)
        TR_TRY(count_in(into, name, json_integer_value(count), err));
    return TR_OK;
}

static tr_code add_up(tr_batch_run *run, tr_err *err)
{
    tr_block_result *total = &run->total;
    total->codes = json_object();
    total->unknown = json_object();
    total->unknown_namespaces = json_object();
    if (total->codes == NULL || total->unknown == NULL || total->unknown_namespaces == NULL)
        return no_memory(err);
    for (uint32_t b = 0; b < run->block_count; b++) {
        const tr_block_result *result = &run->results[b];
        total->rows_in += result->rows_in;
        total->rows_good += result->rows_good;
        total->rows_bad += result->rows_bad;
        total->rows_without_identity += result->rows_without_identity;
        total->rows_with_bad_identity += result->rows_with_bad_identity;
        TR_TRY(add_counts(total->codes, result->codes, err));
        TR_TRY(add_counts(total->unknown, result->unknown, err));
        TR_TRY(add_counts(total->unknown_namespaces, result->unknown_namespaces, err));
    }
    return TR_OK;
}

tr_code tr_batch_read(tr_batch_run *run, tr_err *err)
{
    run->results = tr_alloc_zeroed(run->block_count, sizeof *run->results);
    if (run->results == NULL)
        return no_memory(err);
    TR_TRY(tr_compute_run(run->active->ingest->parts.compute, run->block_count, run_task, run,
                          &run->active->cancel, err));
    return add_up(run, err);
}
