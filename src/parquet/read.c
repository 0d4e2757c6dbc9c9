/* SPDX-License-Identifier: Apache-2.0 */
/* read.c - the rows of a column chunk: pages found, levels and codes decoded into a tr_column.
 *
 *     gather    headers of the pages that hold the rows: what memory is needed is then known
 *     table     the dictionary; or room for the PLAIN values of those pages
 *     pages     each decoded whole, behind the one before it
 *     slice     the rows asked for are a stretch of that: pointers move, nothing is copied
 *
 * LEVELS. The file's definition levels count from the root, a column's from the unit; what is
 * between is objects, so a level at or below base_def means that the unit is absent. An entry with
 * repetition level r goes on in the r-th list above it: it and the entry before it must both be at
 * least as defined as that list's entries are (`need`), or the levels are not those of any row.
 */
#include "parquet/read_internal.h"
#include "base/check.h"
#include "parquet/cache.h"
#include "parquet/bitpack_internal.h"
#include "parquet/rle.h"

typedef struct reading {
    const tr_parquet_file *file;
    const tr_chunk *chunk;
    const tr_leaf *leaf;
    tr_scratch *scratch;
    tr_arena *arena;
    uint32_t group_rows;
    bool is_levels; /* no values */
    /* pages gathered */
    tr_page *pages; /* in the scratch */
    uint32_t page_count;
    uint32_t first_row; /* of the first page */
    uint32_t rows;      /* of all gathered pages, */
    uint32_t entries;   /* ... and their entries, */
    uint32_t nulls;     /* ... and how many of these have no value */
    /* the column of those pages */
    uint32_t *codes;
    uint8_t *def, *rep;
    uint32_t *row_start;
    tr_values table;
    uint32_t entries_done, rows_done, values_done;
    uint8_t base_def;
    uint8_t need[256]; /* by repetition level */
} reading;

static tr_code add_page(reading *r, const tr_page *page, uint32_t row, tr_err *err)
{
    const size_t bytes = ((size_t)r->page_count + 1) * sizeof *page;
    r->pages = tr_scratch_get(r->scratch, TR_SCRATCH_PAGES, bytes);
    if (r->pages == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u page headers", r->page_count + 1);
    if (page->entries > r->chunk->entries - r->entries)
        return TR_FAIL(err, TR_CORRUPT, "its pages have more than its %u values",
                       r->chunk->entries);
    if (r->page_count == 0)
        r->first_row = row;
    r->pages[r->page_count++] = *page;
    r->rows += page->rows;
    r->entries += page->entries;
    r->nulls += page->nulls;
    return TR_OK;
}

static tr_code check_page_head(const reading *r, const tr_page *page, uint32_t row, tr_err *err)
{
    if (page->is_dictionary || page->rows > r->group_rows - row)
        return TR_FAIL(err, TR_CORRUPT, "the page at byte %llu does not belong to its rows",
                       (unsigned long long)page->at);
    if (r->leaf->rep_max == 0 && page->rows != page->entries)
        return TR_FAIL(err, TR_CORRUPT, "the page at byte %llu has %u values for %u rows",
                       (unsigned long long)page->at, page->entries, page->rows);
    if ((page->encoding == TR_PQ_RLE_DICTIONARY) != r->chunk->has_dictionary)
        return TR_FAIL(err, TR_INVALID,
                       "the page at byte %llu is %s: chunks that mix both are not read",
                       (unsigned long long)page->at,
                       r->chunk->has_dictionary ? "PLAIN behind a dictionary"
                                                : "dictionary-encoded without a dictionary");
    return TR_OK;
}

static tr_code gather_pages(reading *r, uint32_t from, uint32_t rows, tr_err *err)
{
    tr_index_place first = {.at = r->chunk->data_at};
    if (from > 0 && r->chunk->index_bytes > 0)
        TR_TRY(tr_index_seek(r->file, r->chunk, r->group_rows, from, &first, err));
    uint64_t at = first.at;
    uint32_t row = first.first_row;
    while (row < from + rows) {
        tr_page page;
        TR_TRY(tr_page_head(r->file, r->chunk, at, &page, err));
        TR_TRY(check_page_head(r, &page, row, err));
        if (page.rows > from || row > from - page.rows)
            TR_TRY(add_page(r, &page, row, err));
        at = tr_page_end(r->file, &page);
        row += page.rows;
    }
    if (r->rows == r->group_rows && (r->entries != r->chunk->entries || at != r->chunk->end))
        return TR_FAIL(err, TR_CORRUPT, "its pages have %u values, its chunk %u", r->entries,
                       r->chunk->entries);
    return TR_OK;
}

static const uint64_t booleans[2] = {0, 1};

static tr_code make_table(reading *r, tr_err *err)
{
    if (r->is_levels) {
        r->table = (tr_values){.storage = tr_kind_storage(r->leaf->kind), .is_distinct = true};
        return TR_OK;
    }
    if (r->chunk->has_dictionary)
        return tr_dictionary_read(r->scratch, r->arena, r->file, r->chunk, r->leaf->kind, &r->table,
                                  err);
    if (r->leaf->kind == TR_KIND_BOOLEAN) {
        r->table = (tr_values){.storage = TR_STORAGE_WORD, .is_distinct = true, .count = 2};
        r->table.words = booleans;
        return TR_OK;
    }
    for (uint32_t i = 0; i < r->page_count; i++)
        TR_TRY(tr_values_fit(r->leaf->kind, r->pages[i].entries - r->pages[i].nulls,
                             r->pages[i].values_bytes, err));
    return tr_values_make(r->arena, tr_kind_storage(r->leaf->kind), r->entries - r->nulls, &r->table,
                          err);
}

static tr_code make_entries(reading *r, tr_err *err)
{
    const size_t entries = r->entries;
    r->codes = tr_arena_alloc(r->arena, entries * sizeof *r->codes);
    if (r->leaf->rep_max > 0) {
        r->def = tr_arena_alloc(r->arena, entries);
        r->rep = tr_arena_alloc(r->arena, entries);
        r->row_start = tr_arena_alloc(r->arena, ((size_t)r->rows + 1) * sizeof *r->row_start);
        if (r->def == NULL || r->rep == NULL || r->row_start == NULL)
            r->codes = NULL;
    }
    if (r->codes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u entries", r->entries);
    return TR_OK;
}

static tr_code read_bits(const tr_page *page, tr_str bytes, uint32_t count, uint32_t *into,
                         tr_err *err)
{
    TR_TRY(tr_values_fit(TR_KIND_BOOLEAN, count, page->values_bytes, err));
    for (uint32_t i = 0; i < count; i++)
        into[i] = 1 + (bytes.at[i / 8] >> (i % 8) & 1);
    return TR_OK;
}

static tr_code read_file_codes(const reading *r, const tr_page *page, tr_str bytes, uint32_t count,
                               uint32_t *into, tr_err *err)
{
    uint32_t most;
    if (count == 0 && bytes.len <= 1)
        return TR_OK;
    if (bytes.len == 0 ||
        !tr_rle_decode(tr_str_from(bytes, 1), bytes.at[0], count, 1, into, &most))
        return TR_FAIL(err, TR_CORRUPT, "the codes of the page at byte %llu are damaged",
                       (unsigned long long)page->at);
    if (count > 0 && most >= r->table.count)
        return TR_FAIL(err, TR_CORRUPT,
                       "the page at byte %llu has code %u, its dictionary only %u values",
                       (unsigned long long)page->at, most, r->table.count);
    return TR_OK;
}

/* The codes of the page's `count` values. */
static tr_code read_codes(reading *r, const tr_page *page, uint32_t count, uint32_t *into,
                          tr_err *err)
{
    if (r->is_levels) {
        for (uint32_t i = 0; i < count; i++)
            into[i] = 1;
        return TR_OK;
    }
    if (r->chunk->has_dictionary || r->leaf->kind == TR_KIND_BOOLEAN) {
        tr_str bytes;
        TR_TRY(tr_page_values(r->scratch, page, &bytes, err));
        return r->chunk->has_dictionary ? read_file_codes(r, page, bytes, count, into, err)
                                        : read_bits(page, bytes, count, into, err);
    }
    TR_TRY(tr_values_read(r->scratch, r->arena, page, r->leaf->kind, count, &r->table,
                          r->values_done, err));
    for (uint32_t i = 0; i < count; i++)
        into[i] = r->values_done + 1 + i;
    r->values_done += count;
    return TR_OK;
}

static tr_code bad_levels(const tr_page *page, tr_err *err)
{
    return TR_FAIL(err, TR_CORRUPT, "the levels of the page at byte %llu are damaged",
                   (unsigned long long)page->at);
}

/* Levels into `out`; *found is how many of them are `level`. */
static tr_code read_levels(const tr_page *page, tr_str bytes, uint8_t level_max, uint8_t level,
                           uint8_t *out, uint32_t *found, tr_err *err)
{
    uint8_t most = 0;
    if (!tr_rle_decode_levels(bytes, tr_pq_width(level_max), page->entries, out))
        return bad_levels(page, err);
    *found = tr_count_level(out, page->entries, level, &most);
    return most <= level_max ? TR_OK : bad_levels(page, err);
}

static tr_code read_entry_codes(reading *r, const tr_page *page, const uint8_t *def,
                                uint32_t values, tr_err *err)
{
    uint32_t *codes = r->codes + r->entries_done;
    if (page->entries - values != page->nulls)
        return TR_FAIL(err, TR_CORRUPT, "the page at byte %llu claims %u nulls and has %u",
                       (unsigned long long)page->at, page->nulls, page->entries - values);
    if (values == page->entries)
        return read_codes(r, page, values, codes, err);
    uint32_t *some = tr_scratch_get(r->scratch, TR_SCRATCH_CODES,
                                    ((size_t)values + TR_SPREAD_SLACK) * sizeof *some);
    if (some == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u codes", values);
    TR_TRY(read_codes(r, page, values, some, err));
    if (values == 0) {
        memset(codes, 0, page->entries * sizeof *codes);
        return TR_OK;
    }
    memset(some + values, 0, TR_SPREAD_SLACK * sizeof *some);
    tr_spread_codes(def, r->leaf->def_max, page->entries, some, codes);
    return TR_OK;
}

static tr_code read_flat_page(reading *r, const tr_page *page, tr_err *err)
{
    uint32_t level, values = 0;
    uint8_t *def = NULL;
    if (page->rep_bytes != 0)
        return bad_levels(page, err);
    if (tr_rle_is_constant(tr_page_def(page), tr_pq_width(r->leaf->def_max), page->entries,
                           &level)) {
        if (level > r->leaf->def_max)
            return bad_levels(page, err);
        values = level == r->leaf->def_max ? page->entries : 0;
    } else {
        def = tr_scratch_get(r->scratch, TR_SCRATCH_LEVELS, page->entries);
        if (def == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u levels", page->entries);
        TR_TRY(read_levels(page, tr_page_def(page), r->leaf->def_max, r->leaf->def_max, def, &values,
                           err));
    }
    return read_entry_codes(r, page, def, values, err);
}

/* Checks that the levels are those of rows, notes where rows begin, and counts levels from the
 * unit. row_start has room for one more row than there are. */
static bool link_entries(reading *r, uint32_t entries)
{
    const uint8_t *rep = r->rep + r->entries_done;
    uint8_t *def = r->def + r->entries_done;
    uint32_t *row_start = r->row_start + r->rows_done;
    const uint8_t base = r->base_def;
    uint8_t before = 0;
    uint32_t bad = 0;
    for (uint32_t i = 0; i < entries; i++) {
        const uint8_t level = def[i], need = r->need[rep[i]];
        bad |= (level < need) | (before < need);
        before = level;
        *row_start = r->entries_done + i;
        row_start += rep[i] == 0;
        def[i] = level > base ? (uint8_t)(level - base) : 0;
    }
    return bad == 0;
}

/* Levels of one entry a row, all of them alike: the entries of most maps. False: they are not so. */
static bool read_even_levels(reading *r, const tr_page *page, uint32_t *values)
{
    const tr_leaf *leaf = r->leaf;
    uint32_t rep, def;
    if (page->rows != page->entries ||
        !tr_rle_is_constant(tr_page_rep(page), tr_pq_width(leaf->rep_max), page->entries, &rep) ||
        !tr_rle_is_constant(tr_page_def(page), tr_pq_width(leaf->def_max), page->entries, &def) ||
        rep != 0 || def > leaf->def_max)
        return false;
    memset(r->rep + r->entries_done, 0, page->entries);
    memset(r->def + r->entries_done, def > r->base_def ? (int)(def - r->base_def) : 0,
           page->entries);
    for (uint32_t i = 0; i < page->rows; i++)
        r->row_start[r->rows_done + i] = r->entries_done + i;
    *values = def == leaf->def_max ? page->entries : 0;
    return true;
}

static tr_code read_nested_page(reading *r, const tr_page *page, tr_err *err)
{
    uint8_t *rep = r->rep + r->entries_done, *def = r->def + r->entries_done;
    uint32_t rows = 0, values = 0;
    if (read_even_levels(r, page, &values))
        return read_entry_codes(r, page, def, values, err);
    TR_TRY(read_levels(page, tr_page_rep(page), r->leaf->rep_max, 0, rep, &rows, err));
    TR_TRY(read_levels(page, tr_page_def(page), r->leaf->def_max, r->leaf->def_max, def, &values,
                       err));
    if (rows != page->rows)
        return bad_levels(page, err);
    TR_TRY(read_entry_codes(r, page, def, values, err));
    return link_entries(r, page->entries) ? TR_OK : bad_levels(page, err);
}

static tr_code read_pages(reading *r, tr_err *err)
{
    for (uint32_t i = 0; i < r->page_count; i++) {
        const tr_page *page = &r->pages[i];
        TR_TRY(tr_page_check(page, err));
        TR_TRY(r->leaf->rep_max == 0 ? read_flat_page(r, page, err)
                                     : read_nested_page(r, page, err));
        r->entries_done += page->entries;
        r->rows_done += page->rows;
    }
    if (r->row_start != NULL)
        r->row_start[r->rows] = r->entries;
    return TR_OK;
}

/* need[k]: the definition level, from the root, of an entry of the k-th list or map. */
static void find_needs(reading *r)
{
    const tr_leaf *leaf = r->leaf;
    const tr_type *type = leaf->type;
    uint32_t def = leaf->def_max, rep = leaf->rep_max;
    if (leaf->is_map_key) {
        r->need[rep--] = (uint8_t)def;
        def -= 2;
    } else {
        def -= 1;
    }
    for (type = type->parent; type != NULL && type->parent != NULL; type = type->parent) {
        if (type->kind != TR_KIND_OBJECT) {
            r->need[rep--] = (uint8_t)def;
            def--;
        }
        def--;
    }
    TR_ASSERT(def == 0);
    TR_ASSERT(rep == 0);
}

static void slice(const reading *r, uint32_t from, uint32_t rows, tr_column *out)
{
    const uint32_t skip = from - r->first_row;
    tr_column column = {.leaf = r->leaf, .rows = rows, .entries = rows, .values = r->table};
    uint32_t first = skip;
    if (r->row_start != NULL) {
        uint32_t *row_start = r->row_start + skip;
        first = row_start[0];
        column.entries = row_start[rows] - first;
        for (uint32_t i = 0; first > 0 && i <= rows; i++)
            row_start[i] -= first;
        column.row_start = row_start;
        column.def = r->def + first;
        column.rep = r->rep + first;
    }
    column.codes = r->codes + first;
    *out = column;
}

static tr_code read_rows(reading *r, uint32_t from, uint32_t rows, tr_column *out, tr_err *err)
{
    if (rows > 0)
        TR_TRY(gather_pages(r, from, rows, err));
    else
        r->first_row = from;
    if (r->leaf->rep_max > 0)
        find_needs(r);
    TR_TRY(make_table(r, err));
    TR_TRY(make_entries(r, err));
    TR_TRY(read_pages(r, err));
    slice(r, from, rows, out);
    return TR_OK;
}

tr_code tr_parquet_read(const tr_parquet_file *file, uint32_t group, uint32_t leaf, uint32_t from,
                        uint32_t rows, tr_arena *arena, tr_column *out, tr_err *err)
{
    TR_ASSERT(group < file->group_count);
    TR_ASSERT(leaf < file->shape.leaf_count);
    TR_ASSERT(from <= file->group_rows[group]);
    TR_ASSERT(rows <= file->group_rows[group] - from);
    if (file->cache != NULL && rows <= TR_CACHE_ROWS_MAX)
        return tr_cache_read(file, group, leaf, from, rows, arena, out, err);
    if (file->cache != NULL)
        TR_TRY(tr_cache_check_decode(err));
    return tr_parquet_read_past_cache(file, group, leaf, from, rows, arena, out, err);
}

static tr_code read_chunk(const tr_parquet_file *file, uint32_t group, uint32_t leaf, uint32_t from,
                          uint32_t rows, bool is_levels, tr_arena *arena, tr_column *out,
                          tr_err *err)
{
    reading r = {.file = file, .chunk = tr_chunk_of(file, group, leaf),
                 .leaf = &file->shape.leaves[leaf], .scratch = tr_scratch_of_thread(),
                 .arena = arena, .group_rows = file->group_rows[group], .is_levels = is_levels};
    r.base_def = file->shape.units[r.leaf->unit].base_def;
    if (r.scratch == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read a column");
    const tr_code code = read_rows(&r, from, rows, out, err);
    if (code != TR_OK)
        tr_chunk_context(file, group, leaf, err);
    tr_scratch_trim(r.scratch);
    return code;
}

tr_code tr_parquet_read_past_cache(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                                   uint32_t from, uint32_t rows, tr_arena *arena, tr_column *out,
                                   tr_err *err)
{
    return read_chunk(file, group, leaf, from, rows, false, arena, out, err);
}

tr_code tr_parquet_read_levels(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                               uint32_t from, uint32_t rows, tr_arena *arena, tr_column *out,
                               tr_err *err)
{
    TR_ASSERT(group < file->group_count);
    TR_ASSERT(leaf < file->shape.leaf_count);
    TR_ASSERT(from <= file->group_rows[group]);
    TR_ASSERT(rows <= file->group_rows[group] - from);
    if (file->cache != NULL)
        TR_TRY(tr_cache_check_decode(err));
    return read_chunk(file, group, leaf, from, rows, true, arena, out, err);
}

/* Keys of a page behind a dictionary. */
static tr_code spread_keys(reading *r, const tr_page *page, uint8_t (*out)[16], tr_err *err)
{
    uint32_t *codes =
        tr_scratch_get(r->scratch, TR_SCRATCH_CODES, ((size_t)page->entries + 1) * sizeof *codes);
    if (codes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u codes", page->entries);
    TR_TRY(read_codes(r, page, page->entries, codes, err));
    for (uint32_t i = 0; i < page->entries; i++)
        memcpy(out[i], r->table.keys[codes[i] - 1], sizeof *out);
    return TR_OK;
}

static tr_code check_key_page(const reading *r, const tr_page *page, tr_err *err)
{
    uint32_t level;
    if (page->nulls != 0 || page->rep_bytes != 0 ||
        !tr_rle_is_constant(tr_page_def(page), tr_pq_width(r->leaf->def_max), page->entries,
                            &level) ||
        level != r->leaf->def_max)
        return TR_FAIL(err, TR_INVALID, "keys without nulls were expected");
    return tr_page_check(page, err);
}

static tr_code read_key_page(reading *r, const tr_page *page, uint8_t (*out)[16], tr_err *err)
{
    TR_TRY(check_key_page(r, page, err));
    if (r->chunk->has_dictionary)
        return spread_keys(r, page, out, err);
    TR_TRY(tr_values_fit(TR_KIND_KEY, page->entries, page->values_bytes, err));
    return tr_page_inflate(r->scratch, page, *out, err);
}

/* Whether every code is that of the row before, or the next one. *last: 0 before the first page. */
static bool are_ascending(const uint32_t *codes, uint32_t count, uint32_t *last)
{
    uint32_t most = count > 0 ? codes[0] - *last : 0;
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t step = codes[i] - codes[i - 1];
        most = step > most ? step : most;
    }
    *last = count > 0 ? codes[count - 1] : *last;
    return most <= 1;
}

/* *is_all: the rows have the keys of the dictionary one after the other. */
static tr_code look_at_codes(reading *r, bool *is_all, tr_err *err)
{
    uint32_t last = 0;
    *is_all = true;
    for (uint32_t i = 0; *is_all && i < r->page_count; i++) {
        const tr_page *page = &r->pages[i];
        uint32_t *codes = tr_scratch_get(r->scratch, TR_SCRATCH_CODES,
                                         ((size_t)page->entries + 1) * sizeof *codes);
        if (codes == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u codes", page->entries);
        TR_TRY(check_key_page(r, page, err));
        TR_TRY(read_codes(r, page, page->entries, codes, err));
        *is_all = are_ascending(codes, page->entries, &last);
    }
    *is_all = *is_all && last == r->table.count;
    return TR_OK;
}

/* All pages, by the dictionary when there is one. */
static tr_code open_keys(reading *r, tr_arena *arena, tr_err *err)
{
    if (r->scratch == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to read keys");
    if (r->leaf->kind != TR_KIND_KEY || r->leaf->rep_max != 0)
        return TR_FAIL(err, TR_INVALID, "it is not a column of keys");
    TR_TRY(gather_pages(r, 0, r->group_rows, err));
    return r->chunk->has_dictionary ? tr_dictionary_read(r->scratch, arena, r->file, r->chunk,
                                                         r->leaf->kind, &r->table, err)
                                    : TR_OK;
}

static tr_code read_all_keys(reading *r, uint8_t (*out)[16], tr_err *err)
{
    for (uint32_t i = 0; i < r->page_count; i++) {
        TR_TRY(read_key_page(r, &r->pages[i], out + r->rows_done, err));
        r->rows_done += r->pages[i].rows;
    }
    return TR_OK;
}

static tr_code read_keys_once(reading *r, uint8_t (*out)[16], uint32_t *count, tr_err *err)
{
    bool is_all = false;
    if (r->chunk->has_dictionary)
        TR_TRY(look_at_codes(r, &is_all, err));
    *count = is_all ? r->table.count : r->group_rows;
    if (!is_all)
        return read_all_keys(r, out, err);
    memcpy(out, r->table.keys, (size_t)*count * sizeof *out);
    return TR_OK;
}

static tr_code read_keys(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                         uint8_t (*out)[16], uint32_t *count, tr_err *err)
{
    TR_ASSERT(group < file->group_count);
    TR_ASSERT(leaf < file->shape.leaf_count);
    reading r = {.file = file, .chunk = tr_chunk_of(file, group, leaf),
                 .leaf = &file->shape.leaves[leaf], .scratch = tr_scratch_of_thread(),
                 .group_rows = file->group_rows[group]};
    tr_arena arena = {0}; /* of the dictionary */
    tr_code code = open_keys(&r, &arena, err);
    if (code == TR_OK)
        code = count == NULL ? read_all_keys(&r, out, err) : read_keys_once(&r, out, count, err);
    if (code != TR_OK)
        tr_chunk_context(file, group, leaf, err);
    tr_arena_free(&arena);
    if (r.scratch != NULL)
        tr_scratch_trim(r.scratch);
    return code;
}

tr_code tr_parquet_read_keys(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                             uint8_t (*out)[16], tr_err *err)
{
    return read_keys(file, group, leaf, out, NULL, err);
}

tr_code tr_parquet_read_keys_once(const tr_parquet_file *file, uint32_t group, uint32_t leaf,
                                   uint8_t (*out)[16], uint32_t *count, tr_err *err)
{
    return read_keys(file, group, leaf, out, count, err);
}
