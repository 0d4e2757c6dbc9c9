/* SPDX-License-Identifier: Apache-2.0 */
/* run_write.c - rows into a run: sorted, cut at partition borders, footer written; see store.h. */
#include "store/run.h"
#include "store/settle.h"
#include "store/sort.h"
#include "base/check.h"
#include "codec/hash.h"
#include "codec/json.h"

#include <string.h>

static const struct {
    const char *name;
    tr_kind kind;
} members[TR_RUN_MEMBER_COUNT] = {
    [TR_RUN_KEY] = {"key", TR_KIND_KEY},
    [TR_RUN_NAMESPACE] = {"namespace", TR_KIND_STRING},
    [TR_RUN_ID] = {"id", TR_KIND_STRING},
    [TR_RUN_UPDATED] = {"updated", TR_KIND_TIMESTAMP},
    [TR_RUN_INGESTED] = {"ingested", TR_KIND_TIMESTAMP},
    [TR_RUN_BATCH] = {"batch", TR_KIND_STRING},
};

uint8_t tr_run_bits_for(uint64_t rows)
{
    uint8_t bits = 0;
    while (bits < TR_RUN_PARTITION_BITS_MAX && rows >> bits > TR_RUN_PARTITION_ROWS * 3 / 2)
        bits++;
    return bits;
}

void tr_profile_key(const uint8_t secret[192], tr_str namespace_code, tr_str id, uint8_t out[16])
{
    uint8_t text[2048];
    const size_t bytes = namespace_code.len + 1 + id.len;
    uint8_t *at = bytes <= sizeof text ? text : tr_alloc(bytes);
    TR_ASSERT(at != NULL); /* an identity is bounded by the row it came in: memory for it was there */
    for (size_t i = 0; i < namespace_code.len; i++) {
        const uint8_t c = namespace_code.at[i];
        at[i] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
    }
    at[namespace_code.len] = 0;
    if (id.len > 0)
        memcpy(at + namespace_code.len + 1, id.at, id.len);
    const tr_hash128 hash = tr_hash128_keyed((tr_str){at, bytes}, (tr_str){secret, 192});
    memcpy(out, hash.bytes, sizeof hash.bytes);
    if (at != text)
        tr_free(at);
}

tr_type *tr_run_add_bookkeeping(tr_arena *arena, tr_type *root)
{
    tr_type *book = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(TR_BOOKKEEPING));
    if (book == NULL)
        return NULL;
    for (size_t i = 0; i < TR_RUN_MEMBER_COUNT; i++) {
        tr_type *member = tr_type_make(arena, members[i].kind, tr_str_of(members[i].name));
        if (member == NULL || !tr_type_add(arena, book, member))
            return NULL;
    }
    return tr_type_add(arena, root, book) ? book : NULL;
}

bool tr_run_add_identity_map(tr_arena *arena, tr_type *root, bool with_primary)
{
    tr_type *map = tr_type_make(arena, TR_KIND_MAP, tr_str_of("identityMap"));
    tr_type *list = tr_type_make(arena, TR_KIND_ARRAY, tr_str_of("value"));
    tr_type *item = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of("element"));
    tr_type *id = tr_type_make(arena, TR_KIND_STRING, tr_str_of("id"));
    tr_type *primary = tr_type_make(arena, TR_KIND_BOOLEAN, tr_str_of("primary"));
    return map != NULL && list != NULL && item != NULL && id != NULL && primary != NULL &&
           tr_type_add(arena, item, id) && (!with_primary || tr_type_add(arena, item, primary)) &&
           tr_type_add(arena, list, item) && tr_type_add(arena, map, list) &&
           tr_type_add(arena, root, map);
}

tr_code tr_run_find_bookkeeping(const tr_shape *shape, uint32_t leaves[TR_RUN_MEMBER_COUNT],
                                tr_err *err)
{
    const tr_type *book = tr_type_member(shape->root, tr_str_of(TR_BOOKKEEPING));
    for (size_t i = 0; i < TR_RUN_MEMBER_COUNT; i++) {
        const tr_type *member = book != NULL && book->kind == TR_KIND_OBJECT
                                    ? tr_type_member(book, tr_str_of(members[i].name)) : NULL;
        if (member == NULL || member->kind != members[i].kind)
            return TR_FAIL(err, TR_INVALID, "not a run: column %s.%s is missing or of another type",
                           TR_BOOKKEEPING, members[i].name);
        leaves[i] = member->first_leaf;
    }
    return TR_OK;
}

uint32_t tr_run_find_identity_key(const tr_shape *shape)
{
    const tr_type *book = tr_type_member(shape->root, tr_str_of(TR_BOOKKEEPING));
    const tr_type *member = book == NULL ? NULL : tr_type_member(book, tr_str_of(TR_RUN_IDENTITY_KEY));
    return member == NULL || member->kind != TR_KIND_KEY ? UINT32_MAX : member->first_leaf;
}

tr_code tr_run_footer(const tr_run_cut *cut, tr_buf *out, tr_err *err)
{
    TR_TRY(tr_buf_format(out, err, "{\"bits\":%u,\"partitions\":[", cut->bits));
    for (uint32_t g = 0; g < cut->group_count; g++)
        TR_TRY(tr_buf_format(out, err, g == 0 ? "%u" : ",%u", cut->partition[g]));
    const char *behavior = cut->is_members ? "members" : cut->is_event ? "event" : "record";
    TR_TRY(tr_buf_format(out, err, "],\"behavior\":\"%s\",\"ingested\":[%lld,%lld]", behavior,
                         (long long)cut->ingested_min_us, (long long)cut->ingested_max_us));
    if (cut->knows_settled) {
        TR_TRY(tr_buf_format(out, err, ",\"unsettled\":["));
        for (uint32_t i = 0; i < cut->unsettled_count; i++)
            TR_TRY(tr_buf_format(out, err, i == 0 ? "%u" : ",%u", cut->unsettled[i]));
        TR_TRY(tr_buf_format(out, err, "]"));
    }
    return tr_buf_format(out, err, "}%c", '\0');
}

tr_code tr_run_cut_add(tr_run_cut *cut, tr_arena *arena, uint32_t partition, uint32_t rows, tr_err *err)
{
    const uint32_t pieces = rows <= TR_RUN_GROUP_ROWS_MAX
                                ? 1 : (rows + TR_RUN_PARTITION_ROWS - 1) / TR_RUN_PARTITION_ROWS;
    uint32_t left = rows;
    for (uint32_t piece = 0; piece < pieces; piece++) {
        if (cut->group_count == cut->group_cap) {
            const uint32_t cap = cut->group_cap == 0 ? 64 : cut->group_cap * 2;
            uint32_t *both = tr_arena_array(arena, (size_t)cap * 2, sizeof *both);
            if (both == NULL)
                return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u row groups", cap);
            if (cut->group_count > 0) {
                memcpy(both, cut->partition, cut->group_count * sizeof *both);
                memcpy(both + cap, cut->rows, cut->group_count * sizeof *both);
            }
            cut->partition = both;
            cut->rows = both + cap;
            cut->group_cap = cap;
        }
        const uint32_t here = left / (pieces - piece);
        cut->partition[cut->group_count] = partition;
        cut->rows[cut->group_count++] = here;
        left -= here;
    }
    return TR_OK;
}

tr_code tr_run_cut_unsettle(tr_run_cut *cut, tr_arena *arena, uint32_t group, tr_err *err)
{
    if (cut->unsettled_count > 0 && cut->unsettled[cut->unsettled_count - 1] == group)
        return TR_OK;
    if (cut->unsettled_count == cut->unsettled_cap) {
        const uint32_t cap = cut->unsettled_cap == 0 ? 64 : cut->unsettled_cap * 2;
        uint32_t *grown = tr_arena_array(arena, cap, sizeof *grown);
        if (grown == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u row groups", cap);
        if (cut->unsettled_count > 0)
            memcpy(grown, cut->unsettled, cut->unsettled_count * sizeof *grown);
        cut->unsettled = grown;
        cut->unsettled_cap = cap;
    }
    cut->unsettled[cut->unsettled_count++] = group;
    return TR_OK;
}

/* Walks the sorted keys and notes where partitions end. */
static tr_code cut_at_borders(const tr_column *keys, const uint32_t *order, tr_arena *arena,
                              tr_run_cut *cut, tr_err *err)
{
    uint32_t from = 0;
    while (from < keys->rows) {
        const uint32_t partition =
            tr_key_partition(keys->values.keys[keys->codes[order[from]] - 1], cut->bits);
        uint32_t to = from + 1;
        while (to < keys->rows &&
               tr_key_partition(keys->values.keys[keys->codes[order[to]] - 1], cut->bits) == partition)
            to++;
        TR_TRY(tr_run_cut_add(cut, arena, partition, to - from, err));
        from = to;
    }
    return TR_OK;
}

static tr_code find_ingested(const tr_column *column, tr_run_cut *cut, tr_err *err)
{
    for (uint32_t row = 0; row < column->rows; row++) {
        if (column->codes[row] == 0)
            return TR_FAIL(err, TR_INVALID, "row %u has no ingestion time", row);
        const int64_t us = (int64_t)tr_column_word(column, row);
        if (row == 0 || us < cut->ingested_min_us)
            cut->ingested_min_us = us;
        if (row == 0 || us > cut->ingested_max_us)
            cut->ingested_max_us = us;
    }
    return TR_OK;
}

/* The rows [from, to) of the order are a profile that is not settled: so are the row groups that have any of them.
 * *group, *end: a row group that is not behind them, and where it ends. */
static tr_code note_unsettled(tr_run_cut *cut, tr_arena *arena, uint32_t from, uint32_t to, uint32_t *group,
                              uint32_t *end, tr_err *err)
{
    while (*end <= from)
        *end += cut->rows[++*group];
    for (;; *end += cut->rows[++*group]) {
        TR_TRY(tr_run_cut_unsettle(cut, arena, *group, err));
        if (*end >= to)
            return TR_OK;
    }
}

/* Puts every profile's events in order; see settle.h. */
static tr_code settle(const tr_run_rows *rows, const tr_column *keys, uint32_t *order, tr_arena *arena,
                      tr_run_cut *cut, tr_err *err)
{
    static const uint8_t nobody[16];
    tr_event_facts facts;
    if (!rows->is_event || rows->keeps_arrival || rows->rows == 0)
        return TR_OK;
    uint32_t *spare = tr_arena_alloc(arena, 2 * (size_t)rows->rows * sizeof *spare);
    if (spare == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to sort %u events", rows->rows);
    TR_TRY(tr_event_facts_of(rows->shape, rows->columns, rows->rows, arena, &facts, err));
    for (uint32_t from = 0, to, group = 0, end = cut->rows[0]; from < rows->rows; from = to) {
        const uint8_t *key = keys->values.keys[keys->codes[order[from]] - 1];
        to = from + 1;
        while (to < rows->rows && memcmp(keys->values.keys[keys->codes[order[to]] - 1], key, 16) == 0)
            to++;
        if (to - from > 1 && memcmp(key, nobody, sizeof nobody) != 0 &&
            !tr_events_settle(&facts, order + from, spare, to - from))
            TR_TRY(note_unsettled(cut, arena, from, to, &group, &end, err));
    }
    cut->knows_settled = true;
    return TR_OK;
}

static bool is_in_order(const uint32_t *order, uint32_t count)
{
    uint32_t row = 0;
    while (row < count && order[row] == row)
        row++;
    return row == count;
}

tr_code tr_run_fold_keys(tr_arena *arena, tr_column *keys, tr_err *err)
{
    uint32_t *codes = tr_arena_alloc(arena, ((size_t)keys->rows + 1) * sizeof *codes), count = 0;
    uint8_t(*table)[16] = tr_arena_alloc(arena, ((size_t)keys->rows + 1) * sizeof *table);
    if (codes == NULL || table == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u rows", keys->rows);
    for (uint32_t row = 0; row < keys->rows; row++) {
        const uint8_t *key = keys->values.keys[keys->codes[row] - 1];
        if (count == 0 || memcmp(table[count - 1], key, sizeof *table) != 0)
            memcpy(table[count++], key, sizeof *table);
        codes[row] = count;
    }
    keys->codes = codes;
    keys->values = (tr_values){.storage = TR_STORAGE_KEY, .is_distinct = true, .count = count};
    keys->values.keys = (const uint8_t(*)[16])table;
    return TR_OK;
}

static tr_code write_groups(const tr_run_rows *rows, uint32_t key_leaf, const uint32_t *order,
                            const tr_run_cut *cut, tr_parquet_writer *writer, tr_err *err)
{
    tr_arena arena = {0};
    tr_code code = TR_OK;
    const bool is_as_it_is = cut->group_count == 1 && is_in_order(order, rows->rows);
    for (uint32_t g = 0, from = 0; g < cut->group_count && code == TR_OK; from += cut->rows[g++]) {
        code = tr_parquet_begin_group(writer, cut->rows[g], err);
        for (uint32_t leaf = 0; leaf < rows->shape->leaf_count && code == TR_OK; leaf++) {
            tr_column column = rows->columns[leaf];
            if (!is_as_it_is)
                code = tr_column_pick(&arena, &rows->columns[leaf], order + from, cut->rows[g], &column, err);
            if (code == TR_OK && leaf == key_leaf && rows->is_event)
                code = tr_run_fold_keys(&arena, &column, err);
            if (code == TR_OK)
                code = tr_parquet_put(writer, leaf, &column, err);
            tr_arena_reset(&arena);
        }
        if (code == TR_OK)
            code = tr_parquet_end_group(writer, err);
    }
    tr_arena_free(&arena);
    return code;
}

tr_code tr_run_write(const tr_run_rows *rows, tr_sink sink, tr_err *err)
{
    tr_code code;
    uint32_t leaves[TR_RUN_MEMBER_COUNT];
    tr_run_cut cut = {.bits = tr_run_bits_for(rows->rows), .is_event = rows->is_event,
                      .is_members = rows->is_members};
    tr_arena arena = {0};
    tr_buf footer = {0};
    tr_parquet_writer *writer = NULL;

    if (cut.bits < rows->bits_min)
        cut.bits = rows->bits_min < TR_RUN_PARTITION_BITS_MAX ? rows->bits_min : TR_RUN_PARTITION_BITS_MAX;
    TR_TRY(tr_run_find_bookkeeping(rows->shape, leaves, err));
    const tr_column *keys = &rows->columns[leaves[TR_RUN_KEY]];
    uint32_t *order = tr_alloc_array(rows->rows, sizeof *order);
    if (order == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to sort %u rows", rows->rows);
    code = tr_sort_by_key(keys, order, err);
    if (code == TR_OK)
        code = cut_at_borders(keys, order, &arena, &cut, err);
    if (code == TR_OK)
        code = settle(rows, keys, order, &arena, &cut, err);
    if (code == TR_OK)
        code = find_ingested(&rows->columns[leaves[TR_RUN_INGESTED]], &cut, err);
    if (code == TR_OK)
        code = tr_run_footer(&cut, &footer, err);
    if (code != TR_OK)
        goto done;
    const char *metadata[] = {TR_RUN_FOOTER, (const char *)footer.at, NULL};
    code = tr_parquet_writer_open(sink, rows->shape, &(tr_parquet_options){.metadata = metadata}, &writer, err);
    if (code == TR_OK)
        code = write_groups(rows, leaves[TR_RUN_KEY], order, &cut, writer, err);
    if (code == TR_OK)
        code = tr_parquet_finish(writer, err);
done:
    tr_parquet_writer_close(writer);
    tr_buf_free(&footer);
    tr_arena_free(&arena);
    tr_free(order);
    return code;
}
