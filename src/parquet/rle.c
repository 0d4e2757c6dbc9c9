/* SPDX-License-Identifier: Apache-2.0 */
/* rle.c - see rle.h.
 *
 * ENCODING goes by groups of 8. A group of equal values starts a look-ahead; the run becomes an RLE
 * run when it is so long that it saves more than a new header costs. Otherwise groups gather in a
 * literal stretch that is bit-packed as one run when something ends it.
 */
#include "parquet/rle.h"
#include "base/check.h"

enum { BATCH = 32, HEADER_BYTES_MAX = 5 };

static inline uint32_t load32(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* 32 values from 4 * width bytes. Called with a constant width only, so every shift is a constant. */
__attribute__((always_inline)) static inline void
unpack_batch(const uint8_t *in, const uint32_t width, uint32_t add, uint32_t *out)
{
    const uint32_t mask = width == 32 ? UINT32_MAX : (UINT32_C(1) << width) - 1;
#pragma GCC unroll 32
    for (uint32_t i = 0; i < BATCH; i++) {
        const uint32_t bit = i * width, word = bit / 32, shift = bit % 32;
        uint32_t value = load32(in + (size_t)4 * word) >> shift;
        if (shift + width > 32)
            value |= load32(in + (size_t)4 * (word + 1)) << (32 - shift);
        out[i] = (value & mask) + add;
    }
}

__attribute__((always_inline)) static inline void pack_batch(const uint32_t *in,
                                                             const uint32_t width, uint8_t *out)
{
    uint32_t words[BATCH] = {0};
#pragma GCC unroll 32
    for (uint32_t i = 0; i < BATCH; i++) {
        const uint32_t bit = i * width, word = bit / 32, shift = bit % 32;
        words[word] |= in[i] << shift;
        if (shift + width > 32)
            words[word + 1] |= in[i] >> (32 - shift);
    }
    memcpy(out, words, (size_t)4 * width);
}

#define WIDTHS(X)                                                                         \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) \
    X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30)    \
    X(31) X(32)

#define DEFINE_WIDTH(n)                                                               \
    static void unpack_##n(const uint8_t *in, size_t batches, uint32_t add,           \
                           uint32_t *out)                                             \
    {                                                                                 \
        for (; batches > 0; batches--, in += (size_t)4 * (n), out += BATCH)           \
            unpack_batch(in, n, add, out);                                            \
    }                                                                                 \
    static void pack_##n(const uint32_t *in, size_t batches, uint8_t *out)            \
    {                                                                                 \
        for (; batches > 0; batches--, in += BATCH, out += (size_t)4 * (n))           \
            pack_batch(in, n, out);                                                   \
    }
WIDTHS(DEFINE_WIDTH)

typedef void (*unpack_function)(const uint8_t *in, size_t batches, uint32_t add, uint32_t *out);
typedef void (*pack_function)(const uint32_t *in, size_t batches, uint8_t *out);

#define UNPACK_ENTRY(n) unpack_##n,
#define PACK_ENTRY(n) pack_##n,
static const unpack_function unpack_by_width[TR_RLE_WIDTH_MAX + 1] = {NULL, WIDTHS(UNPACK_ENTRY)};
static const pack_function pack_by_width[TR_RLE_WIDTH_MAX + 1] = {NULL, WIDTHS(PACK_ENTRY)};

/* `count` values from a run of whole groups; bytes are there for all groups of 8 that are touched. */
static void unpack(const uint8_t *in, uint32_t width, uint32_t count, uint32_t add, uint32_t *out)
{
    const uint32_t batches = count / BATCH, rest = count % BATCH;
    unpack_by_width[width](in, batches, add, out);
    if (rest > 0) {
        uint8_t padded[4 * TR_RLE_WIDTH_MAX] = {0};
        uint32_t values[BATCH];
        memcpy(padded, in + (size_t)4 * width * batches, (size_t)(rest + 7) / 8 * width);
        unpack_by_width[width](padded, 1, add, values);
        memcpy(out + (size_t)batches * BATCH, values, rest * sizeof *out);
    }
}

/* Packs and pads with zeros to a whole group; returns the bytes written. */
static size_t pack(const uint32_t *in, uint32_t width, size_t count, uint8_t *out)
{
    const size_t batches = count / BATCH, rest = count % BATCH;
    const size_t rest_bytes = (rest + 7) / 8 * width;
    pack_by_width[width](in, batches, out);
    out += 4 * width * batches;
    if (rest > 0) {
        uint8_t packed[4 * TR_RLE_WIDTH_MAX];
        uint32_t values[BATCH] = {0};
        memcpy(values, in + batches * BATCH, rest * sizeof *in);
        pack_by_width[width](values, 1, packed);
        memcpy(out, packed, rest_bytes);
    }
    return 4 * width * batches + rest_bytes;
}

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
    return head + pack(values, width, count, out + head);
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
        size_t run = 1;
        while (i + run < count && values[i + run] == values[i])
            run++;
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

tr_code tr_rle_encode_levels(tr_buf *out, const uint8_t *levels, size_t count, uint32_t width,
                             tr_err *err)
{
    TR_ASSERT(width <= 8);
    uint32_t *wide = tr_alloc_array(count, sizeof *wide);
    if (wide == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %zu levels", count);
    for (size_t i = 0; i < count; i++)
        wide[i] = levels[i];
    const tr_code code = tr_rle_encode(out, wide, count, width, err);
    tr_free(wide);
    return code;
}

typedef struct run_head {
    bool is_packed;
    uint32_t count;       /* values to take: not more than were asked for */
    uint32_t value;       /* of an RLE run */
    const uint8_t *bytes; /* of a bit-packed run */
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
        out->bytes = *at;
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

static uint32_t largest(const uint32_t *values, uint32_t count)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++)
        most = values[i] > most ? values[i] : most;
    return most;
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
        if (!run.is_packed || width == 0) {
            for (uint32_t i = 0; i < run.count; i++)
                out[i] = run.value + add;
        } else {
            enum { PIECE = 1024 }; /* so that the values are still in the first cache */
            for (uint32_t done = 0, n; done < run.count; done += n) {
                n = run.count - done < PIECE ? run.count - done : PIECE;
                unpack(run.bytes + (size_t)done / 8 * width, width, n, 0, out + done);
                const uint32_t piece_top = largest(out + done, n);
                top = piece_top > top ? piece_top : top;
                for (uint32_t i = 0; add != 0 && i < n; i++)
                    out[done + i] += add;
            }
        }
        *most = top > *most ? top : *most;
        out += run.count;
        count -= run.count;
    }
    return at == end;
}

bool tr_rle_decode_levels(tr_str bytes, uint32_t width, uint32_t count, uint8_t *out,
                          uint8_t *most)
{
    const uint8_t *at = bytes.at, *const end = bytes.at + bytes.len;
    *most = 0;
    if (width > 8)
        return false;
    while (count > 0) {
        run_head run = {0};
        if (!next_run(&at, end, width, count, &run))
            return false;
        uint8_t top = (uint8_t)run.value;
        if (!run.is_packed || width == 0) {
            memset(out, (int)run.value, run.count);
        } else {
            for (uint32_t done = 0, n; done < run.count; done += n) {
                uint32_t values[BATCH];
                n = run.count - done < BATCH ? run.count - done : BATCH;
                unpack(run.bytes + (size_t)done / 8 * width, width, n, 0, values);
                for (uint32_t i = 0; i < n; i++) {
                    out[done + i] = (uint8_t)values[i];
                    top = out[done + i] > top ? out[done + i] : top;
                }
            }
        }
        *most = top > *most ? top : *most;
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
