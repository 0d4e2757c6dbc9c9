/* SPDX-License-Identifier: Apache-2.0 */
/* row_write.c - the builders' columns, and the two that are the same in every row, into a run. */
#include "ingest/row_internal.h"

#include <string.h>

enum { BOOK_INGESTED = 4, BOOK_BATCH = 5 };

/* Units that the last rows did not touch. */
static tr_code fill_units(tr_row_reader *reader, tr_err *err)
{
    for (uint32_t u = 0; u < reader->shape.unit_count; u++) {
        const tr_row_unit *unit = &reader->units[u];
        if (unit->filled >= reader->rows || reader->builders[unit->first_leaf] == NULL)
            continue;
        TR_TRY(tr_row_unit_begin(reader, u, err));
        reader->units[u].filled = reader->rows;
    }
    return TR_OK;
}

static tr_code constant_column(tr_row_reader *reader, tr_arena *arena, uint32_t leaf,
                               tr_column *out, tr_err *err)
{
    uint32_t *codes = tr_arena_alloc(arena, (size_t)reader->rows * sizeof *codes + 1);
    uint64_t *word = tr_arena_array(arena, 1, sizeof *word);
    tr_str *text = tr_arena_array(arena, 1, sizeof *text);
    if (codes == NULL || word == NULL || text == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a column of %u rows", reader->rows);
    for (uint32_t row = 0; row < reader->rows; row++)
        codes[row] = 1;
    *out = (tr_column){.leaf = &reader->shape.leaves[leaf],
                       .rows = reader->rows,
                       .entries = reader->rows,
                       .codes = codes,
                       .values = {.is_distinct = true, .count = 1}};
    if (leaf == reader->book + BOOK_INGESTED) {
        word[0] = (uint64_t)reader->options.ingested_us;
        out->values.storage = TR_STORAGE_WORD;
        out->values.words = word;
    } else {
        text[0] = tr_str_of(reader->options.batch);
        out->values.storage = TR_STORAGE_STRING;
        out->values.strings = text;
    }
    return TR_OK;
}

tr_code tr_row_columns(tr_row_reader *reader, tr_arena *arena, tr_column **out, tr_err *err)
{
    const uint32_t leaves = reader->shape.leaf_count;
    tr_column *columns = tr_arena_array(arena, leaves, sizeof *columns);
    if (columns == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u columns", leaves);
    TR_TRY(fill_units(reader, err));
    for (uint32_t leaf = 0; leaf < leaves; leaf++) {
        if (reader->builders[leaf] != NULL)
            TR_TRY(tr_column_builder_view(reader->builders[leaf], &columns[leaf], err));
        else
            TR_TRY(constant_column(reader, arena, leaf, &columns[leaf], err));
    }
    *out = columns;
    return TR_OK;
}

static tr_code write_run(tr_row_reader *reader, tr_arena *arena, tr_sink sink, tr_err *err)
{
    tr_column *columns;
    TR_TRY(tr_row_columns(reader, arena, &columns, err));
    return tr_run_write(
        &(tr_run_rows){.shape = &reader->shape,
                       .columns = columns,
                       .rows = reader->rows,
                       .is_event = reader->options.schema->behavior == TR_XDM_EVENT},
        sink, err);
}

tr_code tr_row_reader_write(tr_row_reader *reader, tr_sink sink, tr_err *err)
{
    tr_arena arena = {0};
    const tr_code code = write_run(reader, &arena, sink, err);
    tr_arena_free(&arena);
    if (code != TR_OK)
        return code;
    for (uint32_t leaf = 0; leaf < reader->shape.leaf_count; leaf++)
        if (reader->builders[leaf] != NULL)
            tr_column_builder_reset(reader->builders[leaf]);
    for (uint32_t u = 0; u < reader->shape.unit_count; u++)
        reader->units[u].filled = 0;
    reader->rows = 0;
    reader->bytes = 0;
    return TR_OK;
}
