/* SPDX-License-Identifier: Apache-2.0 */
/* parquet_read_columns.c - prints what our reader makes of somebody else's file.
 *
 *     parquet_read_columns FILE [FROM ROWS]     rows [FROM, FROM + ROWS) of each row group
 *
 * One line of JSON a column chunk: its path, the entries as [rep, def, value], row_start. Levels
 * are as in column.h; -1 where a column has none. Strings and keys are in hex. A failure is one
 * line "error CODE: text", and exit status 1.
 */
#include "os/os.h"
#include "parquet/parquet.h"

#include <stdio.h>

static void print_hex(tr_str bytes)
{
    printf("\"");
    for (size_t i = 0; i < bytes.len; i++)
        printf("%02x", bytes.at[i]);
    printf("\"]");
}

static void print_entry(const tr_column *column, uint32_t e)
{
    const tr_values *values = &column->values;
    printf("%s[%d,%d,", e == 0 ? "" : ",", column->rep == NULL ? 0 : column->rep[e],
           column->def == NULL ? -1 : column->def[e]);
    if (column->codes[e] == 0)
        printf("null]");
    else if (values->storage == TR_STORAGE_WORD)
        printf("%lld]", (long long)values->words[column->codes[e] - 1]);
    else if (values->storage == TR_STORAGE_KEY)
        print_hex((tr_str){values->keys[column->codes[e] - 1], 16});
    else
        print_hex(values->strings[column->codes[e] - 1]);
}

static void print_column(const tr_column *column, uint32_t group)
{
    printf("{\"group\":%u,\"path\":\"%.*s\",\"entries\":[", group, TR_STR_ARG(column->leaf->path));
    for (uint32_t e = 0; e < column->entries; e++)
        print_entry(column, e);
    printf("],\"row_start\":[");
    for (uint32_t row = 0; column->row_start != NULL && row <= column->rows; row++)
        printf("%s%u", row == 0 ? "" : ",", column->row_start[row]);
    printf("]}\n");
}

static tr_code print_file(const tr_parquet_file *file, uint32_t from, uint32_t rows, tr_err *err)
{
    TR_TRY(tr_parquet_verify(file, err));
    for (uint32_t group = 0; group < tr_parquet_group_count(file); group++)
        for (uint32_t leaf = 0; leaf < tr_parquet_shape(file)->leaf_count; leaf++) {
            const uint32_t all = tr_parquet_group_rows(file, group);
            const uint32_t first = from < all ? from : all;
            const uint32_t count = rows < all - first ? rows : all - first;
            tr_arena arena = {0};
            tr_column column;
            const tr_code code =
                tr_parquet_read(file, group, leaf, first, count, &arena, &column, err);
            if (code == TR_OK)
                print_column(&column, group);
            tr_arena_free(&arena);
            TR_TRY(code);
        }
    return TR_OK;
}

int main(int argc, char **argv)
{
    tr_map map = {0};
    tr_err err = {0};
    tr_parquet_file *file = NULL;
    int64_t from = 0, rows = UINT32_MAX;
    if (argc < 2 || (argc > 3 && (!tr_str_to_i64(tr_str_of(argv[2]), &from) ||
                                  !tr_str_to_i64(tr_str_of(argv[3]), &rows))))
        return 2;
    tr_code code = tr_map_open(argv[1], &map, &err);
    if (code == TR_OK)
        code = tr_parquet_open(map.bytes, &file, &err);
    if (code == TR_OK)
        code = print_file(file, (uint32_t)from, (uint32_t)rows, &err);
    tr_parquet_close(file);
    tr_map_close(&map);
    if (code != TR_OK)
        printf("error %d: %s\n", (int)code, err.text);
    return code != TR_OK;
}
