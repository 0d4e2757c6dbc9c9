/* SPDX-License-Identifier: Apache-2.0 */
/* rle.c - see rle.h.
 *
 * ENCODING goes by groups of 8. A group of equal values starts a look-ahead; the run becomes an RLE
 * run when it is so long that it saves more than a new header costs. Otherwise groups gather in a
 * literal stretch that is bit-packed as one run when something ends it.
 */
#include "parquet/rle.h"
#include "base/check.h"
#include "parquet/bitpack_internal.h"

#include <string.h>

enum { HEADER_BYTES_MAX = 5 };

static size_t value_bytes(uint32_t width)
{
    return (width + 7) / 8;
}

size_t tr_rle_bytes_max(size_t count, uint32_t width)
{
    /* An RLE run stands only where it is no longer than packing, common headers included; longer
     * headers come with stretches of thousands of values. */
    return 4 * HEADER_BYTES_MAX + (count + 7) / 8 * width + count / 1024;
}

static size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        out[len++] = (uint8_t)(value | 0x80);
    out[len++] = (uint8_t)value;
    return len;
}

static size_t put_literal(uint8_t *out, const uint32_t *values, size_t count, uint32_t width)
{
    if (count == 0)
        return 0;
    const size_t head = put_varint(out, (uint64_t)(count + 7) / 8 << 1 | 1);
    return head + tr_pack(values, width, count, out + head);
}

static size_t put_run(uint8_t *out, uint32_t value, size_t count, uint32_t width)
{
    size_t len = put_varint(out, (uint64_t)count << 1);
    for (size_t i = 0; i < value_bytes(width); i++)
        out[len++] = (uint8_t)(value >> (8 * i));
    return len;
}

/* Two headers (its own, and that of the literal stretch it cuts) and a value must cost less. Up to
 * 8,191 values or groups a header has two bytes. */
static size_t shortest_run(uint32_t width)
{
    const size_t cost = 2 * 2 + value_bytes(width);
    const size_t values = (cost * 8 + width) / width;
    return values < 8 ? 8 : values;
}

/* How many values from here on are the same. */
static size_t run_length(const uint32_t *values, size_t count)
{
    size_t run = 1;
    while (run < count && run < 8 && values[run] == values[0])
        run++;
    if (run < 8)
        return run;
    for (; run + 8 <= count; run += 8) { /* eight at a time */
        uint32_t other = 0;
        for (size_t i = 0; i < 8; i++)
            other |= values[run + i] ^ values[0];
        if (other != 0)
            break;
    }
    while (run < count && values[run] == values[0])
        run++;
    return run;
}

tr_code tr_rle_encode(tr_buf *out, const uint32_t *values, size_t count, uint32_t width,
                      tr_err *err)
{
    TR_ASSERT(width <= TR_RLE_WIDTH_MAX);
    TR_TRY(tr_buf_reserve(out, tr_rle_bytes_max(count, width), err));
    uint8_t *const start = out->at + out->len;
    uint8_t *at = start;
    size_t literal = 0, i = 0; /* values[literal..i) wait to be packed: whole groups */
    const size_t enough = width == 0 ? 1 : shortest_run(width);
    while (i < count) {
        const size_t run = run_length(values + i, count - i);
        if (run >= enough || run == count) {
            at += put_literal(at, values + literal, i - literal, width);
            at += put_run(at, values[i], run, width);
            i += run;
            literal = i;
        } else {
            i += run < 8 ? 8 : run & ~(size_t)7;
        }
    }
    at += put_literal(at, values + literal, count - literal, width);
    out->len += (size_t)(at - start);
    return TR_OK;
}

/* How many levels from here on are the same; of fewer than eight it does not matter how many. */
static size_t level_run(const uint8_t *levels, size_t count)
{
    const uint64_t same = levels[0] * UINT64_C(0x0101010101010101);
    uint64_t eight = ~same;
    size_t run = 0;
    for (; run + 8 <= count; run += 8) {
        memcpy(&eight, levels + run, sizeof eight);
        if (eight != same)
            break;
    }
    while (run > 0 && run < count && levels[run] == levels[0])
        run++;
    return run == 0 ? 1 : run;
}

static size_t put_levels(uint8_t *out, const uint8_t *levels, size_t count, uint32_t width,
                         uint32_t *wide)
{
    for (size_t i = 0; i < count; i++)
        wide[i] = levels[i];
    return put_literal(out, wide, count, width);
}

tr_code tr_rle_encode_levels(tr_buf *out, const uint8_t *levels, size_t count, uint32_t width,
                             tr_err *err)
{
    TR_ASSERT(width <= 8);
    TR_TRY(tr_buf_reserve(out, tr_rle_bytes_max(count, width), err));
    uint8_t *const start = out->at + out->len;
    uint8_t *at = start;
    if (count > 0 && memcmp(levels, levels + 1, count - 1) == 0) { /* one run, as below */
        out->len += put_run(at, levels[0], count, width);
        return TR_OK;
    }
    uint32_t *wide = tr_alloc_array(count, sizeof *wide);
    if (wide == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %zu levels", count);
    const size_t enough = width == 0 ? 8 : shortest_run(width);
    size_t literal = 0, i = 0; /* as in tr_rle_encode, whose bytes these are */
    while (i < count) {
        const size_t run = level_run(levels + i, count - i);
        if (run >= enough) {
            at += put_levels(at, levels + literal, i - literal, width, wide);
            at += put_run(at, levels[i], run, width);
            i += run;
            literal = i;
        } else {
            i += run < 8 ? 8 : run & ~(size_t)7;
        }
    }
    at += put_levels(at, levels + literal, count - literal, width, wide);
    tr_free(wide);
    out->len += (size_t)(at - start);
    return TR_OK;
}

typedef struct run_head {
    bool is_packed;
    uint32_t count; /* values to take: not more than were asked for */
    uint32_t value; /* of an RLE run */
    tr_str bytes;   /* from a bit-packed run on */
} run_head;

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *out)
{
    uint64_t value = 0;
    for (uint32_t shift = 0; shift < 35; shift += 7) {
        if (*at == end)
            return false;
        const uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* Reads one run's head and steps over the run. */
static bool next_run(const uint8_t **at, const uint8_t *end, uint32_t width, uint32_t left,
                     run_head *out)
{
    uint64_t head;
    if (!get_varint(at, end, &head) || head >> 1 == 0)
        return false;
    const uint64_t n = head >> 1;
    const size_t bytes_left = (size_t)(end - *at);
    out->is_packed = head & 1;
    if (out->is_packed) {
        const uint64_t groups_left = ((uint64_t)left + 7) / 8;
        if (n > groups_left || n * width > bytes_left)
            return false;
        out->count = n * 8 < left ? (uint32_t)(n * 8) : left;
        out->bytes = (tr_str){*at, bytes_left};
        *at += n * width;
        return true;
    }
    if (n > left || value_bytes(width) > bytes_left)
        return false;
    out->count = (uint32_t)n;
    out->value = 0;
    for (size_t i = 0; i < value_bytes(width); i++)
        out->value |= (uint32_t)*(*at)++ << (8 * i);
    return width == 32 || out->value >> width == 0;
}

bool tr_rle_decode(tr_str bytes, uint32_t width, uint32_t count, uint32_t add, uint32_t *out,
                   uint32_t *most)
{
    const uint8_t *at = bytes.at, *const end = bytes.at + bytes.len;
    *most = 0;
    if (width > TR_RLE_WIDTH_MAX)
        return false;
    while (count > 0) {
        run_head run = {0};
        if (!next_run(&at, end, width, count, &run))
            return false;
        uint32_t top = run.value;
        if (run.is_packed && width > 0)
            top = tr_unpack_codes(run.bytes, width, run.count, add, out);
        else
            for (uint32_t i = 0; i < run.count; i++)
                out[i] = run.value + add;
        *most = top > *most ? top : *most;
        out += run.count;
        count -= run.count;
    }
    return at == end;
}

bool tr_rle_decode_levels(tr_str bytes, uint32_t width, uint32_t count, uint8_t *out)
{
    const uint8_t *at = bytes.at, *const end = bytes.at + bytes.len;
    if (width > 8)
        return false;
    while (count > 0) {
        run_head run = {0};
        if (!next_run(&at, end, width, count, &run))
            return false;
        if (run.is_packed && width > 0)
            tr_unpack_levels(run.bytes, width, run.count, out);
        else
            memset(out, (int)run.value, run.count);
        out += run.count;
        count -= run.count;
    }
    return at == end;
}

bool tr_rle_is_constant(tr_str bytes, uint32_t width, uint32_t count, uint32_t *value)
{
    const uint8_t *at = bytes.at, *const end = bytes.at + bytes.len;
    run_head run = {0};
    if (width > TR_RLE_WIDTH_MAX || count == 0 || !next_run(&at, end, width, count, &run))
        return false;
    if (run.is_packed || run.count != count || at != end)
        return false;
    *value = run.value;
    return true;
}
