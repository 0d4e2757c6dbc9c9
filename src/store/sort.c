/* SPDX-License-Identifier: Apache-2.0 */
/* sort.c - see sort.h. Keys are uniform, so one counting pass on their top bits leaves
 * buckets of about eight rows, which an insertion sort finishes; a bucket that is larger after all (one
 * identity with many events, rows without an identity) goes through a merge sort.
 */
#include "store/sort.h"
#include "base/memory.h"

#include <string.h>

enum { BUCKET_BITS_MAX = 18, INSERTION_ROWS_MAX = 24 };

static uint32_t bucket_bits(uint32_t rows)
{
    uint32_t bits = 0;
    while (bits < BUCKET_BITS_MAX && rows >> bits > 8)
        bits++;
    return bits;
}

static void insertion_sort(uint32_t *rows, uint32_t count,
                           int (*compare)(const void *, uint32_t, uint32_t), const void *ctx)
{
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t row = rows[i];
        uint32_t at = i;
        while (at > 0 && compare(ctx, rows[at - 1], row) > 0) {
            rows[at] = rows[at - 1];
            at--;
        }
        rows[at] = row;
    }
}

void tr_sort_rows(uint32_t *rows, uint32_t *spare, uint32_t count,
                  int (*compare)(const void *ctx, uint32_t a, uint32_t b), const void *ctx)
{
    if (count <= INSERTION_ROWS_MAX) {
        insertion_sort(rows, count, compare, ctx);
        return;
    }
    const uint32_t half = count / 2;
    tr_sort_rows(rows, spare, half, compare, ctx);
    tr_sort_rows(rows + half, spare, count - half, compare, ctx);
    if (compare(ctx, rows[half - 1], rows[half]) <= 0)
        return;
    memcpy(spare, rows, half * sizeof *rows);
    uint32_t left = 0, right = half, to = 0;
    while (left < half && right < count)
        rows[to++] = compare(ctx, spare[left], rows[right]) <= 0 ? spare[left++] : rows[right++];
    while (left < half)
        rows[to++] = spare[left++];
}

static int compare_keys(const void *ctx, uint32_t a, uint32_t b)
{
    const tr_column *column = ctx;
    return memcmp(column->values.keys[column->codes[a] - 1],
                  column->values.keys[column->codes[b] - 1], 16);
}

static tr_code count_buckets(const tr_column *column, uint32_t shift, uint32_t *starts, tr_err *err)
{
    for (uint32_t row = 0; row < column->rows; row++) {
        if (column->codes[row] == 0)
            return TR_FAIL(err, TR_INVALID, "row %u has no profile key", row);
        const uint64_t token = tr_key_token(column->values.keys[column->codes[row] - 1]);
        starts[(shift == 64 ? 0 : token >> shift) + 1]++;
    }
    return TR_OK;
}

tr_code tr_sort_by_key(const tr_column *column, uint32_t *order, tr_err *err)
{
    const uint32_t bits = bucket_bits(column->rows);
    const uint32_t buckets = 1u << bits, shift = 64 - bits;
    uint32_t *starts = tr_alloc_zeroed(buckets + 1, sizeof *starts);
    uint32_t *spare = tr_alloc_array(column->rows, sizeof *spare);
    tr_code code = TR_OK;
    if (starts == NULL || spare == NULL) {
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory to sort %u rows", column->rows);
        goto done;
    }
    code = count_buckets(column, shift, starts, err);
    if (code != TR_OK)
        goto done;
    for (uint32_t b = 0; b < buckets; b++)
        starts[b + 1] += starts[b];
    for (uint32_t row = 0; row < column->rows; row++) {
        const uint64_t token = tr_key_token(column->values.keys[column->codes[row] - 1]);
        order[starts[shift == 64 ? 0 : token >> shift]++] = row;
    }
    for (uint32_t b = 0; b < buckets; b++) { /* starts[b] is now the end of bucket b */
        const uint32_t from = b == 0 ? 0 : starts[b - 1];
        tr_sort_rows(order + from, spare, starts[b] - from, compare_keys, column);
    }
done:
    tr_free(spare);
    tr_free(starts);
    return code;
}
