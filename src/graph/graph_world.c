/* SPDX-License-Identifier: Apache-2.0 */
/* graph_world.c - see graph_world.h. */
#include "graph/graph_world.h"

#include <stdio.h>
#include <stdlib.h>

enum { TIMESTAMP, NAMESPACES, IDS, KEY, CODE, ID, UPDATED, INGESTED, BATCH, LEAF_COUNT };

static const char *const paths[LEAF_COUNT] = {"timestamp",
                                              "identityMap.key_value.key",
                                              "identityMap.key_value.value.list.element.id",
                                              "_tributary.key",
                                              "_tributary.namespace",
                                              "_tributary.id",
                                              "_tributary.updated",
                                              "_tributary.ingested",
                                              "_tributary.batch"};

struct tr_world_run {
    tr_arena arena;
    tr_shape shape;
    tr_column_builder *builders[LEAF_COUNT];
    uint8_t secret[192];
    bool is_event;
    int64_t written_us;
    uint32_t rows;
};

/* { timestamp, identityMap: map of lists of { id }, _tributary } */
static tr_code make_shape(tr_world_run *run, tr_err *err)
{
    tr_arena *arena = &run->arena;
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *time = tr_type_make(arena, TR_KIND_TIMESTAMP, tr_str_of("timestamp"));
    if (root == NULL || time == NULL || !tr_type_add(arena, root, time) ||
        !tr_run_add_identity_map(arena, root, false) || tr_run_add_bookkeeping(arena, root) == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a run");
    return tr_shape_make(arena, root, &run->shape, err);
}

tr_code tr_world_run_open(const uint8_t secret[192], bool is_event, int64_t written_us,
                          tr_world_run **out, tr_err *err)
{
    tr_world_run *run = tr_alloc_zeroed(1, sizeof *run);
    if (run == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a run");
    run->is_event = is_event;
    run->written_us = written_us;
    memcpy(run->secret, secret, sizeof run->secret);
    tr_code code = make_shape(run, err);
    for (uint32_t i = 0; i < LEAF_COUNT && code == TR_OK; i++) {
        const uint32_t leaf = tr_shape_leaf(&run->shape, tr_str_of(paths[i]));
        code = tr_column_builder_open(&run->shape.leaves[leaf], &run->builders[i], err);
    }
    if (code == TR_OK)
        *out = run;
    else
        tr_world_run_close(run);
    return code;
}

static tr_code add_map(tr_world_run *run, const tr_world_identity *identities, uint32_t count,
                       tr_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        bool is_first = true;
        for (uint32_t j = 0; j < i && is_first; j++)
            is_first = !tr_str_equal(identities[j].code, identities[i].code);
        if (!is_first)
            continue;
        uint8_t rep = i == 0 ? 0 : 1;
        TR_TRY(tr_column_add_string(run->builders[NAMESPACES], rep, identities[i].code, err));
        for (uint32_t j = i; j < count; j++) {
            if (!tr_str_equal(identities[j].code, identities[i].code))
                continue;
            TR_TRY(tr_column_add_string(run->builders[IDS], rep, identities[j].id, err));
            rep = 2;
        }
    }
    return TR_OK;
}

tr_code tr_world_run_add(tr_world_run *run, const tr_world_identity *identities, uint32_t count,
                         int64_t time_us, tr_err *err)
{
    uint8_t key[16] = {0};
    tr_column_builder **to = run->builders;
    run->rows++;
    TR_TRY(tr_column_add_word(to[TIMESTAMP], 0, (uint64_t)time_us, err));
    TR_TRY(tr_column_add_word(to[UPDATED], 0, (uint64_t)run->written_us, err));
    TR_TRY(tr_column_add_word(to[INGESTED], 0, (uint64_t)run->written_us, err));
    TR_TRY(tr_column_add_string(to[BATCH], 0, tr_str_of("a batch"), err));
    if (count > 0)
        tr_profile_key(run->secret, identities[0].code, identities[0].id, key);
    TR_TRY(tr_column_add_key(to[KEY], key, err));
    if (count == 0) {
        for (uint32_t i = NAMESPACES; i <= IDS; i++)
            TR_TRY(tr_column_add_null(to[i], 0, 0, err));
        TR_TRY(tr_column_add_null(to[CODE], 0, 0, err));
        return tr_column_add_null(to[ID], 0, 0, err);
    }
    TR_TRY(tr_column_add_string(to[CODE], 0, identities[0].code, err));
    TR_TRY(tr_column_add_string(to[ID], 0, identities[0].id, err));
    return add_map(run, identities, count, err);
}

tr_code tr_world_run_write(tr_world_run *run, tr_sink sink, uint64_t *rows, tr_err *err)
{
    tr_column *columns = tr_arena_array(&run->arena, run->shape.leaf_count, sizeof *columns);
    if (columns == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a run");
    for (uint32_t i = 0; i < run->shape.leaf_count; i++)
        TR_TRY(tr_column_absent(&run->arena, &run->shape.leaves[i], run->rows, &columns[i], err));
    for (uint32_t i = 0; i < LEAF_COUNT; i++) {
        const uint32_t leaf = tr_shape_leaf(&run->shape, tr_str_of(paths[i]));
        TR_TRY(tr_column_builder_view(run->builders[i], &columns[leaf], err));
    }
    *rows = run->rows;
    return tr_run_write(
        &(tr_run_rows){
            .shape = &run->shape, .columns = columns, .rows = run->rows, .is_event = run->is_event},
        sink, err);
}

void tr_world_run_close(tr_world_run *run)
{
    if (run == NULL)
        return;
    for (uint32_t i = 0; i < LEAF_COUNT; i++)
        tr_column_builder_close(run->builders[i]);
    tr_arena_free(&run->arena);
    tr_free(run);
}

/* The house ---------------------------------------------------------------------------------- */

static const char org[] = "0123456789ABCDEF01234567@AdobeOrg";

static tr_code open_rooms(tr_world_house *house, tr_err *err)
{
    char path[600];
    (void)snprintf(path, sizeof path, "%s/catalog.db", house->folder);
    TR_TRY(tr_catalog_open(path, &house->catalog, err));
    TR_TRY(tr_lake_open(house->folder, &house->lake, err));
    TR_TRY(tr_store_open(house->catalog, house->lake, &house->store, err));
    TR_TRY(tr_graph_open(house->catalog, house->lake, house->store, &house->graph, err));
    TR_TRY(tr_catalog_org_ensure(house->catalog, org, err));
    TR_TRY(tr_catalog_tenant(house->catalog, org, "prod", &house->tenant, err));
    return tr_catalog_secret(house->catalog, &house->tenant, house->secret, err);
}

static void close_rooms(tr_world_house *house)
{
    tr_graph_close(house->graph);
    tr_store_close(house->store);
    tr_lake_close(house->lake);
    tr_catalog_close(house->catalog);
    house->graph = NULL;
    house->store = NULL;
    house->lake = NULL;
    house->catalog = NULL;
}

tr_code tr_world_house_open(tr_world_house *house, tr_err *err)
{
    *house = (tr_world_house){.is_temporary = true, .folder = "/tmp/tr-graph-XXXXXX"};
    if (mkdtemp(house->folder) == NULL)
        return TR_FAIL(err, TR_IO, "no temporary folder");
    return open_rooms(house, err);
}

tr_code tr_world_house_open_in(tr_world_house *house, const char *folder, tr_err *err)
{
    *house = (tr_world_house){0};
    (void)snprintf(house->folder, sizeof house->folder, "%s", folder);
    return open_rooms(house, err);
}

tr_code tr_world_house_reopen(tr_world_house *house, tr_err *err)
{
    close_rooms(house);
    return open_rooms(house, err);
}

void tr_world_house_close(tr_world_house *house)
{
    close_rooms(house);
    if (house->is_temporary && tr_dir_remove(house->folder, NULL) != TR_OK)
        (void)fprintf(stderr, "%s stays\n", house->folder);
}

static void name_file(uint32_t number, char name[32])
{
    (void)snprintf(name, 32, "part-%05u.parquet", number);
}

static tr_code insert_file(tr_world_house *house, const tr_world_batch *batch, uint32_t number,
                           const tr_lake_written *written, uint64_t rows, tr_err *err)
{
    char name[32];
    tr_object object = {.state = "profile"};
    name_file(number, name);
    (void)snprintf(object.id, sizeof object.id, "%.26s-%04x", batch->id, number);
    (void)snprintf(object.parent, sizeof object.parent, "%s", batch->id);
    object.doc =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:b, s:b}", "dataSetId", batch->dataset,
                  "batchId", batch->id, "name", name, "bytes", (json_int_t)written->bytes, "rows",
                  (json_int_t)rows, "xxh128", written->xxh128, "behavior",
                  batch->is_event ? "event" : "record", "ingestedUs",
                  (json_int_t)batch->ingested_us, "isUpsert", 0, "isProfile", 1);
    const tr_code code = tr_catalog_insert(house->catalog, &house->tenant, "file", &object, err);
    json_decref(object.doc);
    return code;
}

static tr_code write_file(tr_world_house *house, const char *stage, uint32_t number,
                          tr_world_run *run, tr_lake_written *written, uint64_t *rows, tr_err *err)
{
    char name[32];
    tr_lake_file out;
    name_file(number, name);
    TR_TRY(tr_lake_create(house->lake, &house->tenant, stage, name, &out, err));
    tr_code code = tr_world_run_write(run, (tr_sink){tr_lake_write, &out}, rows, err);
    if (code == TR_OK)
        code = tr_lake_finish(&out, written, err);
    tr_lake_abandon(&out);
    return code;
}

tr_code tr_world_publish(tr_world_house *house, const tr_world_batch *batch,
                         tr_world_run *const *runs, uint32_t run_count, tr_err *err)
{
    enum { FILES_MAX = 16 };
    tr_lake_written written[FILES_MAX];
    uint64_t rows[FILES_MAX];
    const tr_id stage = tr_id_ulid();
    if (run_count > FILES_MAX)
        return TR_FAIL(err, TR_LIMIT, "%u files in one batch", run_count);
    for (uint32_t i = 0; i < run_count; i++)
        TR_TRY(write_file(house, stage.text, i, runs[i], &written[i], &rows[i], err));
    TR_TRY(
        tr_lake_publish(house->lake, &house->tenant, stage.text, batch->dataset, batch->id, err));
    TR_TRY(tr_catalog_begin(house->catalog, err));
    tr_code code = TR_OK;
    for (uint32_t i = 0; i < run_count && code == TR_OK; i++)
        code = insert_file(house, batch, i, &written[i], rows[i], err);
    return tr_catalog_end(house->catalog, code, err);
}

static tr_code note_id(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append_new(ctx, json_string(object->id)) == 0
               ? TR_OK
               : TR_FAIL(err, TR_NO_MEMORY, "no memory for ids");
}

static tr_code set_state(tr_world_house *house, const char *id, const char *state, tr_err *err)
{
    tr_object object = {0};
    TR_TRY(tr_catalog_get(house->catalog, &house->tenant, "file", id, &object, err));
    (void)snprintf(object.state, sizeof object.state, "%s", state);
    const tr_code code = tr_catalog_put(house->catalog, &house->tenant, "file", &object, 0, err);
    tr_object_clear(&object);
    return code;
}

tr_code tr_world_set_state(tr_world_house *house, const char *batch, const char *state, tr_err *err)
{
    const tr_catalog_filter of_batch = {.parent = batch};
    json_t *ids = json_array();
    tr_code code =
        tr_catalog_list(house->catalog, &house->tenant, "file", &of_batch, note_id, ids, err);
    if (code == TR_OK)
        code = tr_catalog_begin(house->catalog, err);
    if (code == TR_OK) {
        for (size_t i = 0; i < json_array_size(ids) && code == TR_OK; i++)
            code = set_state(house, json_string_value(json_array_get(ids, i)), state, err);
        code = tr_catalog_end(house->catalog, code, err);
    }
    json_decref(ids);
    return code;
}
