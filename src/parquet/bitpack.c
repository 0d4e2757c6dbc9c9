/* SPDX-License-Identifier: Apache-2.0 */
/* bitpack.c - see bitpack_internal.h.
 *
 * PLAIN: 32 values at a time, a loop unrolled for each width, every shift a constant.
 *
 * AVX2, codes of up to 25 bits: 8 values at a time. Each lies within 4 bytes, so a byte shuffle
 * puts those 4 bytes into its lane, a shift per lane and a mask make the value. Lanes 4 to 7 are
 * shuffled out of a second load, since a shuffle stays within 16 bytes.
 *
 *     bytes   |aaaaabbb|bbcccccd|dddd...        width 5
 *     lane 0  bytes 0..3 >> 0      lane 1  bytes 0..3 >> 5      lane 2  bytes 1..4 >> 2 ...
 *
 * BMI2, levels: 8 values are `width` bytes; one bit deposit makes them 8 bytes.
 *
 * Loads may be wider than what is needed; the last values go through a padded copy.
 */
#include "parquet/bitpack_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HAS_VECTORS 1
#else
#define HAS_VECTORS 0
#endif

enum { BATCH = 32, GROUP = 8 };

static bool is_plain_only;

void tr_bitpack_plain(bool is_plain)
{
    is_plain_only = is_plain;
}

#define WIDTHS(X)                                                                         \
    X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) \
    X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30)    \
    X(31) X(32)

static inline uint32_t load32(const uint8_t *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* 32 values from 4 * width bytes. Called with a constant width only. */
__attribute__((always_inline)) static inline void unpack_batch(const uint8_t *in,
                                                               const uint32_t width, uint32_t *out)
{
    const uint32_t mask = width == 32 ? UINT32_MAX : (UINT32_C(1) << width) - 1;
#pragma GCC unroll 32
    for (uint32_t i = 0; i < BATCH; i++) {
        const uint32_t bit = i * width, word = bit / 32, shift = bit % 32;
        uint32_t value = load32(in + (size_t)4 * word) >> shift;
        if (shift + width > 32)
            value |= load32(in + (size_t)4 * (word + 1)) << (32 - shift);
        out[i] = value & mask;
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

#define DEFINE_WIDTH(n)                                                    \
    static void unpack_##n(const uint8_t *in, size_t batches, uint32_t *out) \
    {                                                                      \
        for (; batches > 0; batches--, in += 4 * (n), out += BATCH)        \
            unpack_batch(in, n, out);                                      \
    }                                                                      \
    static void pack_##n(const uint32_t *in, size_t batches, uint8_t *out) \
    {                                                                      \
        for (; batches > 0; batches--, in += BATCH, out += 4 * (n))        \
            pack_batch(in, n, out);                                        \
    }
WIDTHS(DEFINE_WIDTH)

typedef void (*unpack_function)(const uint8_t *in, size_t batches, uint32_t *out);
typedef void (*pack_function)(const uint32_t *in, size_t batches, uint8_t *out);

#define UNPACK_ENTRY(n) unpack_##n,
#define PACK_ENTRY(n) pack_##n,
static const unpack_function unpack_by_width[] = {NULL, WIDTHS(UNPACK_ENTRY)};
static const pack_function pack_by_width[] = {NULL, WIDTHS(PACK_ENTRY)};

size_t tr_pack(const uint32_t *in, uint32_t width, size_t count, uint8_t *out)
{
    const size_t batches = count / BATCH, rest = count % BATCH;
    const size_t rest_bytes = (rest + GROUP - 1) / GROUP * width;
    pack_by_width[width](in, batches, out);
    if (rest > 0) {
        uint8_t packed[4 * TR_BITPACK_WIDTH_MAX];
        uint32_t values[BATCH] = {0};
        memcpy(values, in + batches * BATCH, rest * sizeof *in);
        pack_by_width[width](values, 1, packed);
        memcpy(out + 4 * width * batches, packed, rest_bytes);
    }
    return 4 * width * batches + rest_bytes;
}

/* Values without add; bytes are there for all groups of 8 that are touched. */
static void unpack_plain(const uint8_t *in, uint32_t width, uint32_t count, uint32_t *out)
{
    const uint32_t batches = count / BATCH, rest = count % BATCH;
    unpack_by_width[width](in, batches, out);
    if (rest > 0) {
        uint8_t padded[4 * TR_BITPACK_WIDTH_MAX] = {0};
        uint32_t values[BATCH];
        memcpy(padded, in + (size_t)4 * width * batches,
               (size_t)(rest + GROUP - 1) / GROUP * width);
        unpack_by_width[width](padded, 1, values);
        memcpy(out + (size_t)batches * BATCH, values, rest * sizeof *out);
    }
}

static uint32_t add_to_all(uint32_t *values, uint32_t count, uint32_t add)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        most = values[i] > most ? values[i] : most;
        values[i] += add;
    }
    return most;
}

static uint32_t codes_plain(const uint8_t *in, uint32_t width, uint32_t count, uint32_t add,
                            uint32_t *out)
{
    enum { PIECE = 1024 }; /* so that the values are still in the first cache when added to */
    uint32_t most = 0;
    for (uint32_t done = 0, n; done < count; done += n) {
        n = count - done < PIECE ? count - done : PIECE;
        unpack_plain(in + (size_t)done / GROUP * width, width, n, out + done);
        const uint32_t top = add_to_all(out + done, n, add);
        most = top > most ? top : most;
    }
    return most;
}

static void levels_plain(const uint8_t *in, uint32_t width, uint32_t count, uint8_t *out)
{
    for (uint32_t done = 0, n; done < count; done += n) {
        uint32_t values[BATCH];
        n = count - done < BATCH ? count - done : BATCH;
        unpack_plain(in + (size_t)done / GROUP * width, width, n, values);
        for (uint32_t i = 0; i < n; i++)
            out[done + i] = (uint8_t)values[i];
    }
}

static void spread_plain(const uint8_t *def, uint8_t full, uint32_t entries, const uint32_t *values,
                         uint32_t *codes)
{
    for (uint32_t i = 0; i < entries; i++) {
        const uint32_t has_value = def[i] == full;
        codes[i] = *values & (0 - has_value);
        values += has_value;
    }
}

#if HAS_VECTORS

enum { LOAD_BYTES = 16, VECTOR_WIDTH_MAX = 25 };

#define LANE_AT(w, i) (uint8_t)((i) * (w) / 8 - (i) / 4 * ((w) / 2))
#define LANE(w, i) LANE_AT(w, i), LANE_AT(w, i) + 1, LANE_AT(w, i) + 2, LANE_AT(w, i) + 3
#define SHIFT(w, i) (i) * (w) % 8
typedef struct vector_plan {
    uint8_t lanes[32];
    uint32_t shifts[8];
} vector_plan;
#define VECTOR_PLAN(w)                                                                   \
    {{LANE(w, 0), LANE(w, 1), LANE(w, 2), LANE(w, 3), LANE(w, 4), LANE(w, 5), LANE(w, 6), \
      LANE(w, 7)},                                                                       \
     {SHIFT(w, 0), SHIFT(w, 1), SHIFT(w, 2), SHIFT(w, 3), SHIFT(w, 4), SHIFT(w, 5),      \
      SHIFT(w, 6), SHIFT(w, 7)}},
/* Widths above VECTOR_WIDTH_MAX are listed by WIDTHS and never used. */
static const vector_plan vector_plans[] = {{{0}, {0}}, WIDTHS(VECTOR_PLAN)};

static bool has_vectors(void)
{
    return !is_plain_only && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
}

__attribute__((target("avx2"))) static __m256i load_both(const uint8_t *low, const uint8_t *high)
{
    const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)low);
    const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)high);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
}

__attribute__((target("avx2"))) static uint32_t largest_of(__m256i values)
{
    uint32_t each[8], most = 0;
    _mm256_storeu_si256((__m256i *)(void *)each, values);
    for (int i = 0; i < 8; i++)
        most = each[i] > most ? each[i] : most;
    return most;
}

/* Whole groups of 8 values, as long as both loads stay within `len` bytes: *done values. */
__attribute__((target("avx2"))) static uint32_t
codes_avx2(const uint8_t *in, size_t len, uint32_t width, uint32_t count, uint32_t add,
           uint32_t *out, uint32_t *done)
{
    const vector_plan *plan = &vector_plans[width];
    const __m256i lanes = _mm256_loadu_si256((const __m256i *)(const void *)plan->lanes);
    const __m256i shifts = _mm256_loadu_si256((const __m256i *)(const void *)plan->shifts);
    const __m256i mask = _mm256_set1_epi32((int)((UINT32_C(1) << width) - 1));
    const __m256i plus = _mm256_set1_epi32((int)add);
    __m256i most = _mm256_setzero_si256();
    const size_t high = width / 2, reach = high + LOAD_BYTES;
    uint32_t i = 0;
    for (size_t at = 0; i + GROUP <= count && at + reach <= len; at += width, i += GROUP) {
        __m256i values = _mm256_shuffle_epi8(load_both(in + at, in + at + high), lanes);
        values = _mm256_and_si256(_mm256_srlv_epi32(values, shifts), mask);
        most = _mm256_max_epu32(most, values);
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm256_add_epi32(values, plus));
    }
    *done = i;
    return largest_of(most);
}

__attribute__((target("bmi2"))) static uint32_t levels_bmi2(const uint8_t *in, size_t len,
                                                            uint32_t width, uint32_t count,
                                                            uint8_t *out)
{
    const uint64_t places = ((UINT64_C(1) << width) - 1) * UINT64_C(0x0101010101010101);
    uint32_t i = 0;
    for (size_t at = 0; i + GROUP <= count && at + sizeof(uint64_t) <= len;
         at += width, i += GROUP) {
        uint64_t bits;
        memcpy(&bits, in + at, sizeof bits);
        const uint64_t bytes = _pdep_u64(bits, places);
        memcpy(out + i, &bytes, sizeof bytes);
    }
    return i;
}

/* The k-th entry with a value takes value k: k is a sum over the entries before it, which a
 * multiplication makes of 8 flags at once. */
__attribute__((target("avx2"))) static uint32_t spread_avx2(const uint8_t *def, uint8_t full,
                                                            uint32_t entries,
                                                            const uint32_t **values,
                                                            uint32_t *codes)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const __m128i wanted = _mm_set1_epi8((char)full);
    uint32_t i = 0;
    for (; i + GROUP <= entries; i += GROUP) {
        const __m128i levels = _mm_loadl_epi64((const __m128i *)(const void *)(def + i));
        const __m128i is_full = _mm_cmpeq_epi8(levels, wanted);
        const uint64_t flags = (uint64_t)_mm_cvtsi128_si64(is_full) & ones;
        const uint64_t sums = flags * ones;
        const __m256i from = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)(sums << 8)));
        const __m256i next = _mm256_loadu_si256((const __m256i *)(const void *)*values);
        const __m256i spread = _mm256_permutevar8x32_epi32(next, from);
        _mm256_storeu_si256((__m256i *)(void *)(codes + i),
                            _mm256_and_si256(spread, _mm256_cvtepi8_epi32(is_full)));
        *values += sums >> 56;
    }
    return i;
}

__attribute__((target("avx2"))) static uint32_t count_avx2(const uint8_t *levels, uint32_t count,
                                                           uint8_t level, uint8_t *most,
                                                           uint32_t *done)
{
    enum { STEP = 32, ROUNDS_MAX = 255 /* what a byte can count */ };
    const __m256i wanted = _mm256_set1_epi8((char)level), zero = _mm256_setzero_si256();
    __m256i top = _mm256_set1_epi8((char)*most), sums = zero;
    uint32_t i = 0;
    while (i + STEP <= count) {
        __m256i here = zero;
        for (uint32_t n = 0; n < ROUNDS_MAX && i + STEP <= count; n++, i += STEP) {
            const __m256i some = _mm256_loadu_si256((const __m256i *)(const void *)(levels + i));
            here = _mm256_sub_epi8(here, _mm256_cmpeq_epi8(some, wanted));
            top = _mm256_max_epu8(top, some);
        }
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(here, zero));
    }
    uint64_t parts[4];
    uint8_t tops[STEP];
    _mm256_storeu_si256((__m256i *)(void *)parts, sums);
    _mm256_storeu_si256((__m256i *)(void *)tops, top);
    for (int k = 0; k < STEP; k++)
        *most = tops[k] > *most ? tops[k] : *most;
    *done = i;
    return (uint32_t)(parts[0] + parts[1] + parts[2] + parts[3]);
}

#endif

uint32_t tr_unpack_codes(tr_str bytes, uint32_t width, uint32_t count, uint32_t add, uint32_t *out)
{
    uint32_t done = 0, most = 0;
#if HAS_VECTORS
    if (width <= VECTOR_WIDTH_MAX && has_vectors())
        most = codes_avx2(bytes.at, bytes.len, width, count, add, out, &done);
#endif
    const uint32_t top = codes_plain(bytes.at + (size_t)done / GROUP * width, width, count - done,
                                     add, out + done);
    return top > most ? top : most;
}

void tr_unpack_levels(tr_str bytes, uint32_t width, uint32_t count, uint8_t *out)
{
    uint32_t done = 0;
#if HAS_VECTORS
    if (has_vectors())
        done = levels_bmi2(bytes.at, bytes.len, width, count, out);
#endif
    levels_plain(bytes.at + (size_t)done / GROUP * width, width, count - done, out + done);
}

uint32_t tr_count_level(const uint8_t *levels, uint32_t count, uint8_t level, uint8_t *most)
{
    uint32_t found = 0, done = 0;
#if HAS_VECTORS
    if (has_vectors())
        found = count_avx2(levels, count, level, most, &done);
#endif
    for (; done < count; done++) {
        found += levels[done] == level;
        *most = levels[done] > *most ? levels[done] : *most;
    }
    return found;
}

void tr_spread_codes(const uint8_t *def, uint8_t full, uint32_t entries, const uint32_t *values,
                     uint32_t *codes)
{
    uint32_t done = 0;
#if HAS_VECTORS
    if (has_vectors())
        done = spread_avx2(def, full, entries, &values, codes);
#endif
    spread_plain(def + done, full, entries - done, values, codes + done);
}
