/* SPDX-License-Identifier: Apache-2.0 */
/* plain.c - the values of one page, one after the other: Parquet's PLAIN encoding.
 *
 *     strings   4 bytes of length (little-endian), then the bytes
 *     boolean   a bit each, lowest first
 *     numbers   4 or 8 bytes, little-endian as memory is; keys 16 bytes
 *
 * The page's extremes are found on the way, while a value is in the first cache.
 */
#include "base/limits.h"
#include "parquet/writer_internal.h"

static tr_code encode_strings(const tr_leaf *leaf, const tr_column *column, const tr_out_page *page,
                              tr_buf *raw, tr_extremes *x, tr_err *err)
{
    const tr_values *values = &column->values;
    const uint32_t *codes = column->codes + page->entry;
    uint64_t bytes = 0;
    for (uint32_t e = 0; e < page->entries; e++)
        bytes += codes[e] == 0 ? 0 : values->strings[codes[e] - 1].len + 4;
    if (bytes > TR_PARQUET_PAGE_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT,
                       "column \"%.*s\", row %u: %llu bytes of text are more than the %d of a page",
                       TR_STR_ARG(leaf->path), page->row, (unsigned long long)bytes,
                       TR_PARQUET_PAGE_BYTES_MAX);
    if (bytes == 0) /* no values, and maybe no buffer yet */
        return TR_OK;
    TR_TRY(tr_buf_reserve(raw, bytes, err));
    uint8_t *to = raw->at + raw->len;
    for (uint32_t e = 0; e < page->entries; e++) {
        if (codes[e] == 0)
            continue;
        const tr_str s = values->strings[codes[e] - 1];
        const uint32_t len = (uint32_t)s.len;
        memcpy(to, &len, sizeof len);
        if (len > 0)
            memcpy(to + sizeof len, s.at, len);
        to += sizeof len + len;
        tr_extremes_add(x, values, codes[e], tr_order_of_string(s));
    }
    raw->len += bytes;
    return TR_OK;
}

static void encode_bits(const tr_column *column, const tr_out_page *page, uint8_t *to,
                        tr_extremes *x)
{
    const uint32_t *codes = column->codes + page->entry;
    uint32_t count = 0;
    memset(to, 0, (page->values + 7) / 8);
    for (uint32_t e = 0; e < page->entries; e++) {
        if (codes[e] == 0)
            continue;
        const uint64_t bit = column->values.words[codes[e] - 1] & 1;
        to[count / 8] = (uint8_t)(to[count / 8] | bit << count % 8);
        count++;
        tr_extremes_add(x, &column->values, codes[e], bit);
    }
}

/* Numbers and keys: `each` is a constant wherever this is inlined. */
__attribute__((always_inline)) static inline void encode_fixed(tr_kind kind,
                                                               const tr_column *column,
                                                               const tr_out_page *page, uint8_t *to,
                                                               const uint32_t each, tr_extremes *x)
{
    const uint32_t *codes = column->codes + page->entry;
    const tr_values *values = &column->values;
    for (uint32_t e = 0; e < page->entries; e++) {
        const uint32_t code = codes[e];
        if (code == 0)
            continue;
        memcpy(to, each == 16 ? values->keys[code - 1] : (const uint8_t *)&values->words[code - 1],
               each);
        to += each;
        if (kind == TR_KIND_DOUBLE && tr_is_nan(kind, values->words[code - 1]))
            x->has_nan = true;
        else
            tr_extremes_add(x, values, code, tr_order_of(kind, values, code));
    }
}

tr_code tr_plain_encode(const tr_leaf *leaf, const tr_column *column, const tr_out_page *page,
                        tr_buf *raw, tr_extremes *x, tr_err *err)
{
    const uint32_t each = tr_plain_bytes(leaf->kind);
    if (leaf->kind == TR_KIND_STRING)
        return encode_strings(leaf, column, page, raw, x, err);
    const uint64_t bytes = each == 0 ? (page->values + 7) / 8 : (uint64_t)page->values * each;
    if (bytes > TR_PARQUET_PAGE_BYTES_MAX)
        return TR_FAIL(err, TR_LIMIT,
                       "column \"%.*s\", row %u: %u values are more than a page holds",
                       TR_STR_ARG(leaf->path), page->row, page->values);
    if (bytes == 0)
        return TR_OK;
    TR_TRY(tr_buf_reserve(raw, bytes, err));
    uint8_t *to = raw->at + raw->len;
    if (each == 0)
        encode_bits(column, page, to, x);
    else if (each == 4)
        encode_fixed(leaf->kind, column, page, to, 4, x);
    else if (each == 8)
        encode_fixed(leaf->kind, column, page, to, 8, x);
    else
        encode_fixed(leaf->kind, column, page, to, 16, x);
    raw->len += bytes;
    return TR_OK;
}
