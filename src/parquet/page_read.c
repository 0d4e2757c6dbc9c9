/* SPDX-License-Identifier: Apache-2.0 */
/* page_read.c - one page: its header, its checksum, its values decompressed.
 *
 * Nothing in a header is believed further than it can be checked here: sizes against the chunk's
 * bytes, counts against the chunk's entries, an uncompressed size against what zstd can make of so
 * few bytes (RATIO_MAX) and against what the frame itself says. What is left, the decoders check.
 */
#define ZSTD_STATIC_LINKING_ONLY /* ZSTD_createDCtx_advanced: memory from our allocator */
#include "parquet/read_internal.h"
#include "base/limits.h"
#include "codec/hash.h"

#include <pthread.h>
#include <zstd.h>

enum {
    RATIO_MAX = 32768, /* a zstd block makes at most 128 KiB of 4 bytes */
    SLOT_BYTES_KEPT = 4 * 1024 * 1024,
};

/* What a header says, before it is believed. */
typedef struct raw_page {
    int64_t type, bytes, compressed, crc;
    int64_t entries, nulls, rows, encoding, def_bytes, rep_bytes;
    bool is_compressed, has_crc, has_dictionary, has_v2;
} raw_page;

static void read_v2(tr_thrift_reader *r, raw_page *raw)
{
    tr_thrift_field f = {0};
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_V2_VALUES)
            raw->entries = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_V2_NULLS)
            raw->nulls = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_V2_ROWS)
            raw->rows = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_V2_ENCODING)
            raw->encoding = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_V2_DEF_BYTES)
            raw->def_bytes = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_V2_REP_BYTES)
            raw->rep_bytes = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_V2_IS_COMPRESSED)
            raw->is_compressed = tr_thrift_bool(r, &f);
        else
            tr_thrift_skip(r, &f);
    }
}

static void read_dictionary_head(tr_thrift_reader *r, raw_page *raw)
{
    tr_thrift_field f = {0};
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_DICTIONARY_VALUES)
            raw->entries = tr_thrift_i32(r, &f);
        else if (f.id == TR_PQ_DICTIONARY_ENCODING)
            raw->encoding = tr_thrift_i32(r, &f);
        else
            tr_thrift_skip(r, &f);
    }
}

static void read_raw_page(tr_thrift_reader *r, raw_page *raw)
{
    tr_thrift_field f = {0};
    *raw = (raw_page){.type = -1, .bytes = -1, .compressed = -1, .entries = -1, .nulls = -1,
                      .rows = -1, .encoding = -1, .def_bytes = -1, .rep_bytes = -1,
                      .is_compressed = true};
    tr_thrift_enter(r);
    while (tr_thrift_next(r, &f)) {
        if (f.id == TR_PQ_PAGE_TYPE) {
            raw->type = tr_thrift_i32(r, &f);
        } else if (f.id == TR_PQ_PAGE_BYTES) {
            raw->bytes = tr_thrift_i32(r, &f);
        } else if (f.id == TR_PQ_PAGE_COMPRESSED) {
            raw->compressed = tr_thrift_i32(r, &f);
        } else if (f.id == TR_PQ_PAGE_CRC) {
            raw->crc = tr_thrift_i32(r, &f);
            raw->has_crc = true;
        } else if (f.id == TR_PQ_PAGE_DICTIONARY) {
            tr_thrift_struct(r, &f);
            read_dictionary_head(r, raw);
            raw->has_dictionary = true;
        } else if (f.id == TR_PQ_PAGE_DATA_V2) {
            tr_thrift_struct(r, &f);
            read_v2(r, raw);
            raw->has_v2 = true;
        } else {
            tr_thrift_skip(r, &f);
        }
    }
}

static const char *encoding_name(int64_t encoding)
{
    static const char *const names[] = {
        "PLAIN", "an unknown encoding", "PLAIN_DICTIONARY", "RLE", "BIT_PACKED",
        "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY", "RLE_DICTIONARY",
        "BYTE_STREAM_SPLIT"};
    return encoding >= 0 && encoding < 10 ? names[encoding] : names[1];
}

/* Kinds of pages and encodings that are not ours, said in words. */
static tr_code refuse_foreign(const raw_page *raw, uint64_t at, tr_err *err)
{
    const unsigned long long place = at;
    if (raw->type == TR_PQ_DATA_PAGE)
        return TR_FAIL(err, TR_INVALID, "the page at byte %llu is a data page V1: only V2 is read",
                       place);
    if (raw->type != TR_PQ_DICTIONARY_PAGE && raw->type != TR_PQ_DATA_PAGE_V2)
        return TR_FAIL(err, TR_INVALID, "the page at byte %llu is of unknown type %lld", place,
                       (long long)raw->type);
    const bool is_dictionary = raw->type == TR_PQ_DICTIONARY_PAGE;
    if (is_dictionary ? !raw->has_dictionary : !raw->has_v2)
        return TR_FAIL(err, TR_CORRUPT, "the page at byte %llu lacks the header of its type", place);
    if (!raw->has_crc)
        return TR_FAIL(err, TR_INVALID, "the page at byte %llu has no checksum", place);
    if (raw->encoding == TR_PQ_PLAIN || (!is_dictionary && raw->encoding == TR_PQ_RLE_DICTIONARY))
        return TR_OK;
    return TR_FAIL(err, TR_INVALID,
                   "the page at byte %llu is encoded as %s: only PLAIN and RLE_DICTIONARY are read",
                   place, encoding_name(raw->encoding));
}

static bool are_sizes_sound(const raw_page *raw, const tr_page *page, size_t left)
{
    if (raw->bytes < 0 || raw->bytes > TR_PARQUET_PAGE_BYTES_MAX || raw->compressed < 0 ||
        raw->compressed > TR_PARQUET_PAGE_BYTES_MAX || (uint64_t)raw->compressed > left)
        return false;
    const int64_t levels = raw->has_v2 ? raw->rep_bytes + raw->def_bytes : 0;
    if (raw->has_v2 && (raw->rep_bytes < 0 || raw->def_bytes < 0))
        return false;
    if (levels > raw->bytes || levels > raw->compressed)
        return false;
    const int64_t values = raw->bytes - levels, stored = raw->compressed - levels;
    return page->is_compressed ? values <= stored * RATIO_MAX : values == stored;
}

/* A dictionary's values take part of its bytes: 1 bit at least would do for this bound. */
static bool are_counts_sound(const raw_page *raw, const tr_page *page, const tr_chunk *chunk)
{
    if (page->is_dictionary)
        return raw->entries >= 0 && raw->entries <= raw->bytes;
    return raw->rows > 0 && raw->rows <= raw->entries && raw->nulls >= 0 &&
           raw->nulls <= raw->entries && raw->entries <= chunk->entries;
}

tr_code tr_page_head(const tr_parquet_file *file, const tr_chunk *chunk, uint64_t at, tr_page *out,
                     tr_err *err)
{
    if (at >= chunk->end)
        return TR_FAIL(err, TR_CORRUPT, "its pages end before its last row");
    const tr_str bytes = {file->bytes.at + at, (size_t)(chunk->end - at)};
    tr_thrift_reader r = tr_thrift_reader_of(bytes);
    raw_page raw;
    read_raw_page(&r, &raw);
    if (r.problem != NULL)
        return TR_FAIL(err, TR_CORRUPT, "the page header at byte %llu is damaged: %s",
                       (unsigned long long)at, r.problem);
    TR_TRY(refuse_foreign(&raw, at, err));
    tr_page page = {.at = at, .is_dictionary = raw.type == TR_PQ_DICTIONARY_PAGE};
    page.is_compressed = chunk->codec == TR_PQ_ZSTD && (page.is_dictionary || raw.is_compressed);
    if (!are_sizes_sound(&raw, &page, (size_t)(r.end - r.at)))
        return TR_FAIL(err, TR_CORRUPT, "the page at byte %llu has impossible sizes",
                       (unsigned long long)at);
    if (!are_counts_sound(&raw, &page, chunk))
        return TR_FAIL(err, TR_CORRUPT, "the page at byte %llu has impossible counts",
                       (unsigned long long)at);
    page.body = (tr_str){r.at, (size_t)raw.compressed};
    page.encoding = (uint8_t)raw.encoding;
    page.entries = (uint32_t)raw.entries;
    page.crc = (uint32_t)raw.crc;
    page.values_bytes = (uint32_t)raw.bytes;
    if (!page.is_dictionary) {
        page.nulls = (uint32_t)raw.nulls;
        page.rows = (uint32_t)raw.rows;
        page.rep_bytes = (uint32_t)raw.rep_bytes;
        page.def_bytes = (uint32_t)raw.def_bytes;
        page.values_bytes -= page.rep_bytes + page.def_bytes;
    }
    *out = page;
    return TR_OK;
}

uint64_t tr_page_end(const tr_parquet_file *file, const tr_page *page)
{
    return (uint64_t)(page->body.at - file->bytes.at) + page->body.len;
}

tr_code tr_page_check(const tr_page *page, tr_err *err)
{
#ifndef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION /* no mutation would get behind it */
    if (tr_crc32(page->body) != page->crc)
        return TR_FAIL(err, TR_CORRUPT, "the page at byte %llu fails its checksum",
                       (unsigned long long)page->at);
#endif
    (void)err;
    return TR_OK;
}

struct tr_scratch {
    ZSTD_DCtx *zstd;
    void *slots[TR_SCRATCH_SLOTS];
    size_t sizes[TR_SCRATCH_SLOTS];
};

static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static bool has_scratch_key;

static void free_scratch(void *memory)
{
    tr_scratch *scratch = memory;
    (void)ZSTD_freeDCtx(scratch->zstd);
    for (int slot = 0; slot < TR_SCRATCH_SLOTS; slot++)
        tr_free(scratch->slots[slot]);
    tr_free(scratch);
}

static void make_scratch_key(void)
{
    has_scratch_key = pthread_key_create(&scratch_key, free_scratch) == 0;
}

static void *zstd_alloc(void *opaque, size_t size)
{
    (void)opaque;
    return tr_alloc(size);
}

static void zstd_free(void *opaque, void *memory)
{
    (void)opaque;
    tr_free(memory);
}

tr_scratch *tr_scratch_of_thread(void)
{
    (void)pthread_once(&scratch_once, make_scratch_key);
    if (!has_scratch_key)
        return NULL;
    tr_scratch *scratch = pthread_getspecific(scratch_key);
    if (scratch != NULL)
        return scratch;
    scratch = tr_alloc_zeroed(1, sizeof *scratch);
    if (scratch == NULL)
        return NULL;
    scratch->zstd = ZSTD_createDCtx_advanced(
        (ZSTD_customMem){.customAlloc = zstd_alloc, .customFree = zstd_free});
    if (scratch->zstd == NULL || pthread_setspecific(scratch_key, scratch) != 0) {
        free_scratch(scratch);
        return NULL;
    }
    return scratch;
}

void *tr_scratch_get(tr_scratch *scratch, int slot, size_t bytes)
{
    if (bytes > scratch->sizes[slot] || scratch->slots[slot] == NULL) {
        const size_t size = bytes + bytes / 2 + 64;
        void *grown = tr_grow_array(scratch->slots[slot], size, 1);
        if (grown == NULL)
            return NULL;
        scratch->slots[slot] = grown;
        scratch->sizes[slot] = size;
    }
    return scratch->slots[slot];
}

void tr_scratch_trim(tr_scratch *scratch)
{
    for (int slot = 0; slot < TR_SCRATCH_SLOTS; slot++)
        if (scratch->sizes[slot] > SLOT_BYTES_KEPT) {
            tr_free(scratch->slots[slot]);
            scratch->slots[slot] = NULL;
            scratch->sizes[slot] = 0;
        }
}

/* One frame that says its size, and that size is the header's. */
static bool is_frame_sound(tr_str stored, uint32_t values_bytes)
{
    return ZSTD_getFrameContentSize(stored.at, stored.len) == values_bytes &&
           ZSTD_findFrameCompressedSize(stored.at, stored.len) == stored.len;
}

tr_code tr_page_inflate(tr_scratch *scratch, const tr_page *page, uint8_t *into, tr_err *err)
{
    const tr_str stored = tr_page_stored(page);
    if (!page->is_compressed) {
        if (stored.len > 0)
            memcpy(into, stored.at, stored.len);
        return TR_OK;
    }
    if (stored.len == 0 && page->values_bytes == 0)
        return TR_OK;
    if (!is_frame_sound(stored, page->values_bytes))
        return TR_FAIL(err, TR_CORRUPT,
                       "the page at byte %llu is not one zstd frame of the size in its header",
                       (unsigned long long)page->at);
    const size_t len = ZSTD_decompressDCtx(scratch->zstd, into, page->values_bytes, stored.at,
                                           stored.len);
    if (ZSTD_isError(len) || len != page->values_bytes)
        return TR_FAIL(err, TR_CORRUPT, "the page at byte %llu does not decompress: %s",
                       (unsigned long long)page->at,
                       ZSTD_isError(len) ? ZSTD_getErrorName(len) : "it is too short");
    return TR_OK;
}

tr_code tr_page_values(tr_scratch *scratch, const tr_page *page, tr_str *out, tr_err *err)
{
    if (!page->is_compressed) {
        *out = tr_page_stored(page);
        return TR_OK;
    }
    uint8_t *into = tr_scratch_get(scratch, TR_SCRATCH_VALUES, page->values_bytes);
    if (into == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a page of %u bytes", page->values_bytes);
    TR_TRY(tr_page_inflate(scratch, page, into, err));
    *out = (tr_str){into, page->values_bytes};
    return TR_OK;
}
