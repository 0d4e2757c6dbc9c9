/* SPDX-License-Identifier: Apache-2.0 */
/* batch_cut.c - the raw files of a batch into blocks of rows.
 *
 * file a   |------ block 0 ------|------ block 1 ---|          a block is about
 * TR_INGEST_BLOCK_BYTES:
 * file b                                            |--|       cut between rows, over several files
 *     file c                                               |-|     when these are small
 *
 * CSV and Parquet become JSON lines first, in the scratch folder, file by file on the workers.
 * Files are taken in the order of their paths and rows in the order of their file, so the same
 * uploads give the same runs, whoever uploaded first.
 */
#include "ingest/ingest_internal.h"

/* The start of a path, for messages. */
#define SHOWN(path) (int)((path).len < 200 ? (path).len : 200), (const char *)(path).at

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to read a batch");
}

/* ---- the files */

static tr_code check_limits(const tr_batch_run *run, tr_err *err)
{
    const bool has_many = run->file_count > TR_BATCH_FILES_MAX;
    const bool is_large = run->bytes_in > TR_BATCH_BYTES_MAX;
    if (run->file_count == 0)
        return TR_FAIL(err, TR_SEMANTIC, "the batch was completed without any file");
    if (has_many && is_large)
        return TR_FAIL(err, TR_INVALID,
                       "the batch exceeds limits: %u files (at most %d), %llu bytes (at most "
                       "%llu)",
                       run->file_count, TR_BATCH_FILES_MAX, (unsigned long long)run->bytes_in,
                       (unsigned long long)TR_BATCH_BYTES_MAX);
    if (has_many)
        return TR_FAIL(err, TR_INVALID, "the batch exceeds a limit: %u files (at most %d)",
                       run->file_count, TR_BATCH_FILES_MAX);
    if (is_large)
        return TR_FAIL(err, TR_INVALID, "the batch exceeds a limit: %llu bytes (at most %llu)",
                       (unsigned long long)run->bytes_in, (unsigned long long)TR_BATCH_BYTES_MAX);
    return TR_OK;
}

static tr_code add_file(tr_batch_run *run, const json_t *upload, tr_batch_file *file, tr_err *err)
{
    const tr_ingest_active *active = run->active;
    tr_buf path = {0};
    tr_arena *arena = &run->arena;
    const tr_ingest_parts *parts = &active->ingest->parts;
    file->path = tr_arena_copy(arena, tr_str_of(tr_json_text(upload, "path", "")));
    file->bytes = (uint64_t)tr_json_int(upload, "bytes", 0);
    run->bytes_in += file->bytes;
    tr_code code = file->path.at == NULL
                       ? no_memory(err)
                       : tr_lake_upload_path(parts->lake, &active->tenant, active->batch,
                                             file->path, &path, err);
    if (code == TR_OK)
        file->upload_path = tr_arena_text(arena, tr_buf_str(&path));
    path.len = 0;
    if (code == TR_OK && strcmp(run->format, "json") != 0) {
        code = tr_buf_format(&path, err, "%s/%s-%u.jsonl", tr_lake_scratch(parts->lake),
                             active->batch, (uint32_t)(file - run->files));
        if (code == TR_OK)
            file->scratch_path = tr_arena_text(arena, tr_buf_str(&path));
        if (code == TR_OK && file->scratch_path == NULL)
            code = no_memory(err);
    }
    tr_buf_free(&path);
    return code == TR_OK && file->upload_path == NULL ? no_memory(err) : code;
}

static tr_code list_files(tr_batch_run *run, tr_err *err)
{
    json_t *uploads = NULL;
    const tr_ingest_active *active = run->active;
    TR_TRY(tr_upload_list(active->ingest, &active->tenant, active->batch, &uploads, err));
    run->file_count = (uint32_t)json_array_size(uploads);
    run->files = tr_arena_array(&run->arena, run->file_count, sizeof *run->files);
    tr_code code = run->files != NULL || run->file_count == 0 ? TR_OK : no_memory(err);
    for (uint32_t f = 0; f < run->file_count && code == TR_OK; f++)
        code = add_file(run, json_array_get(uploads, f), &run->files[f], err);
    json_decref(uploads);
    return code == TR_OK ? check_limits(run, err) : code;
}

/* ---- CSV and Parquet */

static tr_code convert_task(void *ctx, uint32_t index, tr_err *err)
{
    tr_batch_run *run = ctx;
    tr_batch_file *file = &run->files[index];
    TR_TRY(tr_file_remove(file->scratch_path, err)); /* of an earlier attempt */
    file->is_converted = true;
    const tr_code code = tr_query_convert(run->active->ingest->parts.query, run->options,
                                          file->upload_path, file->scratch_path, err);
    if (code != TR_OK)
        tr_err_context(err, "file \"%.*s\"", SHOWN(file->path));
    return code;
}

static tr_code convert_files(tr_batch_run *run, tr_err *err)
{
    if (strcmp(run->format, "json") == 0)
        return TR_OK;
    return tr_compute_run(run->active->ingest->parts.compute, run->file_count, convert_task, run,
                          &run->active->cancel, err);
}

void tr_batch_remove_scratch(tr_batch_run *run)
{
    for (uint32_t f = 0; f < run->file_count && run->files != NULL; f++)
        if (run->files[f].is_converted && tr_file_remove(run->files[f].scratch_path, NULL) == TR_OK)
            run->files[f].is_converted = false;
}

/* ---- blocks */

static tr_code add_block(tr_batch_run *run, tr_err *err)
{
    if (run->block_count == run->block_cap) {
        const uint32_t cap = run->block_cap == 0 ? 64 : run->block_cap * 2;
        tr_batch_block *grown = tr_grow_array(run->blocks, cap, sizeof *grown);
        if (grown == NULL)
            return no_memory(err);
        run->blocks = grown;
        run->block_cap = cap;
    }
    run->blocks[run->block_count++] = (tr_batch_block){.first_segment = run->segment_count};
    return TR_OK;
}

static tr_code add_segment(tr_batch_run *run, const tr_batch_segment *segment, uint64_t rows,
                           tr_err *err)
{
    if (run->segment_count == run->segment_cap) {
        const uint32_t cap = run->segment_cap == 0 ? 64 : run->segment_cap * 2;
        tr_batch_segment *grown = tr_grow_array(run->segments, cap, sizeof *grown);
        if (grown == NULL)
            return no_memory(err);
        run->segments = grown;
        run->segment_cap = cap;
    }
    run->segments[run->segment_count++] = *segment;
    run->blocks[run->block_count - 1].segment_count++;
    run->blocks[run->block_count - 1].rows += rows;
    return TR_OK;
}

/* Goes through one file without parsing it. *room is what the last block may still take. */
static tr_code cut_text(tr_batch_run *run, uint32_t number, tr_str text, size_t *room, tr_err *err)
{
    tr_json_cutter cutter = {.text = text};
    tr_batch_segment segment = {.file = number, .to = SIZE_MAX};
    tr_str row;
    bool has_rows = false;
    while (tr_json_next_row(&cutter, &row)) {
        has_rows = true;
        if (cutter.at - segment.from.at < *room)
            continue;
        segment.to = cutter.at;
        TR_TRY(add_segment(run, &segment, cutter.row_number - segment.from.row_number, err));
        TR_TRY(add_block(run, err));
        *room = TR_INGEST_BLOCK_BYTES;
        segment = (tr_batch_segment){.file = number, .from = cutter, .to = SIZE_MAX};
        if (atomic_load(&run->active->cancel))
            return TR_FAIL(err, TR_CANCELLED, "the batch was aborted");
    }
    if (cutter.is_broken)
        return TR_FAIL(err, TR_INVALID,
                       "file \"%.*s\": behind row %llu, at byte %zu, the rest is not JSON "
                       "that can be read",
                       SHOWN(run->files[number].path), (unsigned long long)cutter.row_number,
                       cutter.at + 1);
    const size_t left = text.len - segment.from.at;
    if (has_rows && cutter.row_number > segment.from.row_number)
        TR_TRY(add_segment(run, &segment, cutter.row_number - segment.from.row_number, err));
    *room = left < *room ? *room - left : 0;
    return TR_OK;
}

tr_code tr_batch_map_file(const tr_batch_run *run, uint32_t number, tr_map *map, tr_str *text,
                          tr_err *err)
{
    const tr_batch_file *file = &run->files[number];
    tr_code code =
        tr_map_open(file->is_converted ? file->scratch_path : file->upload_path, map, err);
    if (code == TR_OK && !file->is_converted && map->bytes.len < file->bytes) {
        code = TR_FAIL(err, TR_CORRUPT, "%zu of %llu uploaded bytes are there", map->bytes.len,
                       (unsigned long long)file->bytes);
        tr_map_close(map);
    }
    if (code != TR_OK) {
        tr_err_context(err, "file \"%.*s\"", SHOWN(file->path));
        return code;
    }
    *text = map->bytes;
    if (!file->is_converted)
        text->len = (size_t)file->bytes; /* a part of a file that was begun anew may lie behind */
    return TR_OK;
}

static tr_code cut_file(tr_batch_run *run, uint32_t number, size_t *room, tr_err *err)
{
    tr_map map = {0};
    tr_str text;
    TR_TRY(tr_batch_map_file(run, number, &map, &text, err));
    const tr_code code = cut_text(run, number, text, room, err);
    tr_map_close(&map);
    return code;
}

tr_code tr_batch_cut(tr_batch_run *run, tr_err *err)
{
    size_t room = TR_INGEST_BLOCK_BYTES;
    TR_TRY(list_files(run, err));
    TR_TRY(convert_files(run, err));
    tr_crash_point("ingest_converted");
    TR_TRY(add_block(run, err));
    for (uint32_t f = 0; f < run->file_count; f++) {
        if (room == 0) {
            TR_TRY(add_block(run, err));
            room = TR_INGEST_BLOCK_BYTES;
        }
        TR_TRY(cut_file(run, f, &room, err));
    }
    if (run->blocks[run->block_count - 1].segment_count == 0)
        run->block_count--;
    return run->block_count > 0 ? TR_OK : TR_FAIL(err, TR_SEMANTIC, "the batch has no rows");
}
