/* SPDX-License-Identifier: Apache-2.0 */
/* parquet_fuzz.c - any bytes as a Parquet file: opened, verified, read whole and in pieces.
 *
 * Two programs from one source. With libFuzzer (tests/fuzz/run.sh parquet) it searches; page
 * checksums are then not looked at, or no mutation would get behind them. Without, it replays the
 * files it is given, which is how every find stays found:
 *
 *     parquet_replay FOLDER|FILE...
 */
#include "os/os.h"
#include "parquet/parquet.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Looks at every byte that a column says it has, so that a sanitizer sees them. */
static uint64_t touch(const tr_column *column)
{
    uint64_t sum = 0;
    for (uint32_t e = 0; e < column->entries; e++) {
        if (column->row_start != NULL)
            sum += (uint64_t)column->rep[e] + column->def[e];
        const uint32_t code = column->codes[e];
        if (code == 0)
            continue;
        if (column->values.storage == TR_STORAGE_WORD)
            sum += column->values.words[code - 1];
        else if (column->values.storage == TR_STORAGE_KEY)
            sum += column->values.keys[code - 1][15];
        else if (column->values.strings[code - 1].len > 0)
            sum += column->values.strings[code - 1].at[column->values.strings[code - 1].len - 1];
    }
    for (uint32_t row = 0; column->row_start != NULL && row < column->rows; row++)
        if (column->row_start[row] >= column->row_start[row + 1])
            __builtin_trap(); /* every row has an entry */
    return sum;
}

static uint64_t read_leaf(const tr_parquet_file *file, uint32_t group, uint32_t leaf)
{
    const uint32_t rows = tr_parquet_group_rows(file, group);
    const uint32_t froms[] = {0, rows / 3, rows - rows / 4};
    uint64_t sum = 0;
    for (int i = 0; i < 3; i++) {
        tr_arena arena = {.bytes_max = 256 << 20};
        tr_column column;
        const uint32_t count = i == 0 ? rows : (rows - froms[i]) / 2;
        if (tr_parquet_read(file, group, leaf, froms[i], count, &arena, &column, NULL) == TR_OK)
            sum += touch(&column);
        tr_arena_free(&arena);
    }
    uint8_t(*keys)[16] = rows < 100000 ? tr_alloc_array(rows, 16) : NULL;
    if (keys != NULL && tr_parquet_read_keys(file, group, leaf, keys, NULL) == TR_OK)
        for (uint32_t row = 0; row < rows; row++)
            sum += keys[row][0];
    tr_free(keys);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tr_parquet_file *file = NULL;
    tr_err err = {0};
    uint64_t sum = 0;
    if (tr_parquet_open((tr_str){data, size}, &file, &err) != TR_OK)
        return 0;
    for (uint32_t group = 0; group < tr_parquet_group_count(file); group++)
        for (uint32_t leaf = 0; leaf < tr_parquet_shape(file)->leaf_count; leaf++)
            sum += read_leaf(file, group, leaf) + tr_parquet_chunk_bytes(file, group, leaf);
    const tr_code code = tr_parquet_verify(file, &err);
    sum += tr_parquet_metadata(file, "tributary").len + (uint64_t)code;
    tr_parquet_close(file);
    volatile uint64_t sink = sum;
    (void)sink;
    return 0;
}

#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
static tr_code replay(const char *path, int *count, tr_err *err)
{
    tr_buf bytes = {0};
    TR_TRY(tr_file_read_all(path, &bytes, err));
    uint8_t *copy = tr_alloc(bytes.len); /* exactly as long as the file */
    if (copy != NULL && bytes.len > 0)
        memcpy(copy, bytes.at, bytes.len);
    if (copy != NULL)
        (void)LLVMFuzzerTestOneInput(copy, bytes.len);
    tr_free(copy);
    tr_buf_free(&bytes);
    ++*count;
    return copy == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for '%s'", path) : TR_OK;
}

typedef struct folder {
    const char *path;
    int *count;
} folder;

static tr_code replay_entry(void *ctx, const char *name, tr_err *err)
{
    const folder *in = ctx;
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", in->path, name);
    return replay(path, in->count, err);
}

int main(int argc, char **argv)
{
    tr_err err = {0};
    int count = 0;
    for (int i = 1; i < argc; i++) {
        folder in = {argv[i], &count};
        if (tr_dir_list(argv[i], replay_entry, &in, NULL) == TR_OK)
            continue;
        if (replay(argv[i], &count, &err) != TR_OK) {
            printf("FAIL what_was_found_stays_found: %s\n", err.text);
            return 1;
        }
    }
    printf("%s what_was_found_stays_found (%d files)\n", count > 0 ? "ok  " : "FAIL", count);
    return count == 0;
}
#endif
