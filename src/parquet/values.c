/* SPDX-License-Identifier: Apache-2.0 */
/* values.c - PLAIN values into a table: words, strings or keys; and the table of a dictionary.
 *
 * A value's bytes are moved once: 8-byte words and keys are decompressed where they stay, strings
 * point into their page. Every count is held against the bytes before memory is made for it.
 */
#include "parquet/read_internal.h"

/* Bytes of a PLAIN value, or the fewest that a string can have. */
static uint32_t plain_bytes(tr_kind kind)
{
    if (kind == TR_KIND_KEY)
        return 16;
    if (kind == TR_KIND_STRING || kind == TR_KIND_INT32 || kind == TR_KIND_DATE)
        return 4;
    return 8;
}

tr_code tr_values_fit(tr_kind kind, uint32_t count, uint32_t values_bytes, tr_err *err)
{
    uint64_t needed = (uint64_t)count * plain_bytes(kind);
    if (kind == TR_KIND_BOOLEAN)
        needed = ((uint64_t)count + 7) / 8;
    if (kind == TR_KIND_STRING ? needed <= values_bytes : needed == values_bytes)
        return TR_OK;
    return TR_FAIL(err, TR_CORRUPT, "%u values do not have %u bytes", count, values_bytes);
}

tr_code tr_values_make(tr_arena *arena, tr_storage storage, uint32_t count, tr_values *out,
                       tr_err *err)
{
    const size_t size = storage == TR_STORAGE_WORD ? sizeof(uint64_t)
                        : storage == TR_STORAGE_KEY ? 16
                                                    : sizeof(tr_str);
    size_t bytes;
    void *memory = tr_mul_size(count, size, &bytes) ? tr_arena_alloc(arena, bytes) : NULL;
    if (memory == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u values", count);
    *out = (tr_values){.storage = storage, .count = count};
    if (storage == TR_STORAGE_WORD)
        out->words = memory;
    else if (storage == TR_STORAGE_KEY)
        out->keys = memory;
    else
        out->strings = memory;
    return TR_OK;
}

static tr_code read_strings(tr_str bytes, uint32_t count, tr_str *out, tr_err *err)
{
    const uint8_t *at = bytes.at, *const end = bytes.at + bytes.len;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t len;
        if ((size_t)(end - at) < sizeof len)
            return TR_FAIL(err, TR_CORRUPT, "a page ends before its last string");
        memcpy(&len, at, sizeof len);
        at += sizeof len;
        if (len > (size_t)(end - at))
            return TR_FAIL(err, TR_CORRUPT, "a string is longer than its page");
        out[i] = (tr_str){at, len};
        at += len;
    }
    if (at != end)
        return TR_FAIL(err, TR_CORRUPT, "a page goes on behind its last string");
    return TR_OK;
}

/* Strings outlive the page, so a compressed one is inflated into the arena. */
static tr_code read_string_page(tr_scratch *scratch, tr_arena *arena, const tr_page *page,
                                uint32_t count, tr_str *out, tr_err *err)
{
    tr_str bytes = tr_page_stored(page);
    if (page->is_compressed) {
        uint8_t *into = tr_arena_alloc(arena, page->values_bytes);
        if (into == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for a page of %u bytes",
                           page->values_bytes);
        TR_TRY(tr_page_inflate(scratch, page, into, err));
        bytes = (tr_str){into, page->values_bytes};
    }
    return read_strings(bytes, count, out, err);
}

static tr_code read_int32_page(tr_scratch *scratch, const tr_page *page, uint32_t count,
                               uint64_t *out, tr_err *err)
{
    tr_str bytes;
    TR_TRY(tr_page_values(scratch, page, &bytes, err));
    for (uint32_t i = 0; i < count; i++) {
        int32_t value;
        memcpy(&value, bytes.at + (size_t)4 * i, sizeof value);
        out[i] = (uint64_t)(int64_t)value;
    }
    return TR_OK;
}

/* The table is const to all but its makers. */
static void *entry_of(const tr_values *table, uint32_t from)
{
    if (table->storage == TR_STORAGE_WORD)
        return (void *)(uintptr_t)(table->words + from);
    if (table->storage == TR_STORAGE_KEY)
        return (void *)(uintptr_t)(table->keys + from);
    return (void *)(uintptr_t)(table->strings + from);
}

tr_code tr_values_read(tr_scratch *scratch, tr_arena *arena, const tr_page *page, tr_kind kind,
                       uint32_t count, tr_values *table, uint32_t from, tr_err *err)
{
    TR_TRY(tr_values_fit(kind, count, page->values_bytes, err));
    void *into = entry_of(table, from);
    if (kind == TR_KIND_STRING)
        return read_string_page(scratch, arena, page, count, into, err);
    if (kind == TR_KIND_INT32 || kind == TR_KIND_DATE)
        return read_int32_page(scratch, page, count, into, err);
    return tr_page_inflate(scratch, page, into, err);
}

tr_code tr_dictionary_read(tr_scratch *scratch, tr_arena *arena, const tr_parquet_file *file,
                           const tr_chunk *chunk, tr_kind kind, tr_values *out, tr_err *err)
{
    tr_page page;
    tr_values table;
    TR_TRY(tr_page_head(file, chunk, chunk->at, &page, err));
    if (!page.is_dictionary || kind == TR_KIND_BOOLEAN ||
        tr_page_end(file, &page) != chunk->data_at)
        return TR_FAIL(err, TR_CORRUPT, "the page before its data pages is not its dictionary");
    TR_TRY(tr_page_check(&page, err));
    TR_TRY(tr_values_fit(kind, page.entries, page.values_bytes, err));
    TR_TRY(tr_values_make(arena, tr_kind_storage(kind), page.entries, &table, err));
    TR_TRY(tr_values_read(scratch, arena, &page, kind, page.entries, &table, 0, err));
    table.is_distinct = true;
    *out = table;
    return TR_OK;
}
