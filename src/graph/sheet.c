/* SPDX-License-Identifier: Apache-2.0 */
/* sheet.c - the identities of a row group's rows, each hashed once.
 *
 * Two columns of identityMap are read: the map's keys, which are namespaces, and the ids below
 * them.
 *
 *     row  {"ECID":[{id:1},{id:2}],"Email":[{id:a}]}      keys  ECID       Email
 *                                                         ids   1     2    a
 *                                                         rep   0     2    1      1: the next key
 *
 * What an id is worth is asked once per value of the column's table and namespace, not per row.
 * Identities of unknown namespaces, and values that are nobody's, are counted and link nothing.
 */
#include "graph/graph_internal.h"
#include "identity/identity.h"

static const char key_path[] = "identityMap.key_value.key";
static const char id_path[] = "identityMap.key_value.value.list.element.id";

enum { NOT_ASKED = UINT32_MAX - 1 };

typedef struct row_item {
    uint32_t code, class;
} row_item;

typedef struct reading {
    const tr_sheet_source *source;
    tr_sheet *sheet;
    tr_column namespaces, ids, times;
    bool has_times;
    uint8_t (*keys)[16];
    uint32_t *class_of; /* [values of namespaces] */
    uint32_t *known;    /* [values of ids]: the last identity made of a value + 1 */
    row_item *items;    /* of the row being read: those that link */
    uint32_t item_count, item_cap;
} reading;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to read identities");
}

static uint32_t class_of_entry(reading *r, uint32_t entry)
{
    const uint32_t code = r->namespaces.codes[entry];
    if (code == 0)
        return TR_GRAPH_NO_CLASS;
    uint32_t *class = &r->class_of[code - 1];
    if (*class == NOT_ASKED)
        *class = tr_graph_class_find(r->source->classes, r->namespaces.values.strings[code - 1]);
    return *class;
}

/* Adds it to the row's items if it links. */
static tr_code add_item(reading *r, uint32_t key_entry, uint32_t code, tr_err *err)
{
    const uint32_t class = class_of_entry(r, key_entry);
    if (class == TR_GRAPH_NO_CLASS) {
        r->sheet->counts.unknown_namespaces++;
        return TR_OK;
    }
    const tr_graph_class *own = &r->source->classes->list[class];
    if (own->kind == TR_NODE_UNLINKED)
        return TR_OK;
    if (!tr_identity_links(
            (tr_identity){.code = own->code, .id = r->ids.values.strings[code - 1]})) {
        r->sheet->counts.bad_values++;
        return TR_OK;
    }
    TR_TRY(tr_graph_room(&r->items, r->item_count, 1, &r->item_cap, sizeof *r->items, err));
    r->items[r->item_count++] = (row_item){.code = code, .class = class};
    return TR_OK;
}

static tr_code collect_items(reading *r, uint32_t row, tr_err *err)
{
    uint32_t key = r->namespaces.row_start[row];
    const uint32_t keys_end = r->namespaces.row_start[row + 1];
    const uint32_t first = r->ids.row_start[row], end = r->ids.row_start[row + 1];
    r->item_count = 0;
    for (uint32_t entry = first; entry < end; entry++) {
        key += entry > first && r->ids.rep[entry] == 1;
        if (key >= keys_end)
            return TR_FAIL(err, TR_CORRUPT, "identityMap has more lists than namespaces");
        if (r->ids.codes[entry] != 0)
            TR_TRY(add_item(r, key, r->ids.codes[entry], err));
    }
    return TR_OK;
}

static tr_code place_item(reading *r, row_item item, tr_err *err)
{
    tr_sheet *sheet = r->sheet;
    uint32_t *known = &r->known[item.code - 1];
    if (*known == 0 || sheet->identities[*known - 1].class != item.class) {
        const tr_str id = r->ids.values.strings[item.code - 1];
        TR_TRY(tr_graph_room(&sheet->identities, sheet->identity_count, 1, &sheet->identity_cap,
                             sizeof *sheet->identities, err));
        tr_sheet_identity *identity = &sheet->identities[sheet->identity_count++];
        *identity = (tr_sheet_identity){.id = id, .class = item.class};
        tr_profile_key(r->source->secret, r->source->classes->list[item.class].code, id,
                       identity->key);
        *known = sheet->identity_count;
    }
    TR_TRY(tr_graph_room(&sheet->places, sheet->place_count, 1, &sheet->place_cap,
                         sizeof *sheet->places, err));
    sheet->places[sheet->place_count++] = *known - 1;
    return TR_OK;
}

static int64_t time_of(const reading *r, uint32_t row)
{
    if (r->has_times && r->times.codes[row] != 0)
        return (int64_t)tr_column_word(&r->times, row);
    return r->source->file->ingested_us;
}

static tr_code read_row(reading *r, uint32_t row, tr_err *err)
{
    tr_sheet *sheet = r->sheet;
    TR_TRY(collect_items(r, row, err));
    if (r->item_count < 2)
        return TR_OK;
    TR_TRY(tr_graph_room(&sheet->rows, sheet->row_count, 1, &sheet->row_cap, sizeof *sheet->rows,
                         err));
    sheet->rows[sheet->row_count++] = (tr_sheet_row){.time_us = time_of(r, row),
                                                     .token = tr_key_token(r->keys[row]),
                                                     .first = sheet->place_count,
                                                     .count = r->item_count};
    for (uint32_t i = 0; i < r->item_count; i++)
        TR_TRY(place_item(r, r->items[i], err));
    return TR_OK;
}

/* The columns of the group. *is_there false: the rows have no identities. */
static tr_code read_columns(reading *r, uint32_t group, bool *is_there, tr_err *err)
{
    const tr_run *run = r->source->run;
    const tr_shape *shape = tr_parquet_shape(run->file);
    const uint32_t rows = tr_parquet_group_rows(run->file, group);
    const uint32_t key = tr_shape_leaf(shape, tr_str_of(key_path));
    const uint32_t id = tr_shape_leaf(shape, tr_str_of(id_path));
    const uint32_t time = tr_shape_leaf(shape, tr_str_of("timestamp"));
    tr_arena *arena = &r->sheet->arena;
    *is_there = key != UINT32_MAX && id != UINT32_MAX;
    if (!*is_there)
        return TR_OK;
    const tr_leaf *id_leaf = &shape->leaves[id];
    if (id_leaf->kind != TR_KIND_STRING || id_leaf->rep_max != 2 || shape->leaves[key].rep_max != 1)
        return TR_FAIL(err, TR_CORRUPT, "identityMap is not a map of lists of identities");
    TR_TRY(tr_parquet_read(run->file, group, key, 0, rows, arena, &r->namespaces, err));
    TR_TRY(tr_parquet_read(run->file, group, id, 0, rows, arena, &r->ids, err));
    r->has_times = r->source->file->is_event && time != UINT32_MAX &&
                   shape->leaves[time].kind == TR_KIND_TIMESTAMP &&
                   shape->leaves[time].rep_max == 0;
    if (r->has_times)
        TR_TRY(tr_parquet_read(run->file, group, time, 0, rows, arena, &r->times, err));
    r->keys = tr_arena_alloc(arena, (size_t)rows * 16);
    r->class_of = tr_arena_array(arena, r->namespaces.values.count, sizeof *r->class_of);
    r->known = tr_arena_array(arena, r->ids.values.count, sizeof *r->known);
    if (r->keys == NULL || r->class_of == NULL || r->known == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < r->namespaces.values.count; i++)
        r->class_of[i] = NOT_ASKED;
    return tr_parquet_read_keys(run->file, group, run->key_leaf, r->keys, err);
}

tr_code tr_sheet_read(const tr_sheet_source *source, uint32_t group, tr_sheet *out, tr_err *err)
{
    bool is_there;
    tr_sheet sheet = {0};
    reading r = {.source = source, .sheet = &sheet};
    const uint32_t rows = tr_parquet_group_rows(source->run->file, group);
    tr_code code = read_columns(&r, group, &is_there, err);
    for (uint32_t row = 0; row < rows && code == TR_OK && is_there; row++)
        code = read_row(&r, row, err);
    tr_free(r.items);
    sheet.counts.rows = rows;
    if (code == TR_OK)
        *out = sheet;
    else
        tr_sheet_free(&sheet);
    return code;
}

void tr_sheet_free(tr_sheet *sheet)
{
    tr_free(sheet->identities);
    tr_free(sheet->rows);
    tr_free(sheet->places);
    tr_arena_free(&sheet->arena);
    *sheet = (tr_sheet){0};
}
