/* SPDX-License-Identifier: Apache-2.0 */
/* compact_test.c - snapshots and compaction with a real catalog and lake in a temporary folder.
 *
 * Goal: a compaction is one step for everybody: who holds a snapshot reads on, who takes one reads the
 * folded run, and every identity has the newest row of its dataset.
 * Method: batches of one row per person, published as ingest does.
 */
#include "base/clock.h"
#include "base/test.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

enum { PEOPLE = 200, BATCHES = 9 };

typedef struct house {
    char folder[64];
    tr_catalog *catalog;
    tr_lake *lake;
    tr_store *store;
    tr_tenant tenant;
    char files[BATCHES][32];
} house;

static const char dataset[] = "64b0c0ffee0000000000a001";

static void *get(tr_arena *arena, size_t count, size_t size)
{
    void *memory = tr_arena_array(arena, count, size);
    if (memory == NULL)
        exit(3);
    return memory;
}

static tr_column column_of(tr_arena *arena, tr_storage storage, const void *values, uint32_t count)
{
    uint32_t *codes = get(arena, PEOPLE, sizeof *codes);
    for (uint32_t row = 0; row < PEOPLE; row++)
        codes[row] = count == 1 ? 1 : row + 1;
    return (tr_column){.rows = PEOPLE, .entries = PEOPLE, .codes = codes,
                       .values = {.storage = storage, .is_distinct = count == 1, .count = count, .words = values}};
}

/* A run of PEOPLE rows whose column "batch" is the batch's number. */
static tr_code write_batch_run(uint32_t batch, tr_sink sink, tr_err *err)
{
    static const uint8_t secret[192] = {9};
    tr_arena arena = {0};
    tr_shape shape;
    tr_column columns[7];
    tr_type *root = tr_type_make(&arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *n = tr_type_make(&arena, TR_KIND_INT64, tr_str_of("batch"));
    CHECK(tr_type_add(&arena, root, n) && tr_run_add_bookkeeping(&arena, root) != NULL);
    CHECK(tr_shape_make(&arena, root, &shape, err) == TR_OK);
    uint8_t(*keys)[16] = get(&arena, PEOPLE, sizeof *keys);
    uint64_t *words = get(&arena, 3, sizeof *words);
    tr_str *texts = get(&arena, PEOPLE + 2, sizeof *texts);
    words[0] = batch;
    words[1] = (uint64_t)(batch + 1) * 1000;
    texts[PEOPLE] = tr_str_of("CRMID");
    texts[PEOPLE + 1] = tr_str_of("a batch");
    words[2] = 5; /* every second row has a time of its own */
    uint32_t *own_times = get(&arena, PEOPLE, sizeof *own_times);
    for (uint32_t p = 0; p < PEOPLE; p++) {
        char id[16];
        own_times[p] = 1 + p % 2;
        (void)snprintf(id, sizeof id, "%u", p % 150 + batch % 2); /* some twice, the later row wins */
        texts[p] = tr_arena_copy(&arena, tr_str_of(id));
        tr_profile_key(secret, texts[PEOPLE], texts[p], keys[p]);
    }
    columns[0] = column_of(&arena, TR_STORAGE_WORD, words, 1);
    columns[1] = column_of(&arena, TR_STORAGE_KEY, keys, PEOPLE);
    columns[2] = column_of(&arena, TR_STORAGE_STRING, texts + PEOPLE, 1);
    columns[3] = column_of(&arena, TR_STORAGE_STRING, texts, PEOPLE);
    columns[4] = columns[5] = column_of(&arena, TR_STORAGE_WORD, words + 1, 1);
    columns[4].codes = own_times;
    columns[4].values.count = 2;
    columns[6] = column_of(&arena, TR_STORAGE_STRING, texts + PEOPLE + 1, 1);
    const tr_code code = tr_run_write(&(tr_run_rows){.shape = &shape, .columns = columns, .rows = PEOPLE}, sink, err);
    tr_arena_free(&arena);
    return code;
}

/* When the catalog says a batch was ingested: a while after it was written. */
static int64_t ingested_of(uint32_t batch)
{
    return (int64_t)(batch + 1) * 1000 + 7;
}

/* As ingest publishes: stage, rename, then the catalog. */
static tr_code publish(house *h, uint32_t batch, tr_err *err)
{
    tr_lake_file file;
    tr_lake_written written;
    const tr_id stage = tr_id_ulid(), batch_id = tr_id_ulid(), file_id = tr_id_ulid();
    TR_TRY(tr_lake_create(h->lake, &h->tenant, stage.text, "part.parquet", &file, err));
    TR_TRY(write_batch_run(batch, (tr_sink){tr_lake_write, &file}, err));
    TR_TRY(tr_lake_finish(&file, &written, err));
    TR_TRY(tr_lake_publish(h->lake, &h->tenant, stage.text, dataset, batch_id.text, err));
    tr_object object = {.state = "profile"};
    (void)snprintf(object.id, sizeof object.id, "%s", file_id.text);
    (void)snprintf(object.parent, sizeof object.parent, "%s", batch_id.text);
    (void)snprintf(h->files[batch], sizeof h->files[batch], "%.31s", file_id.text);
    object.doc = json_pack("{s:s, s:s, s:s, s:I, s:i, s:s, s:I, s:b}", "dataSetId", dataset, "batchId", batch_id.text,
                           "name", "part.parquet", "bytes", (json_int_t)written.bytes, "rows", PEOPLE, "behavior",
                           "record", "ingestedUs", (json_int_t)ingested_of(batch), "isUpsert", 0);
    const tr_code code = tr_catalog_insert(h->catalog, &h->tenant, "file", &object, err);
    json_decref(object.doc);
    return code;
}

static tr_code open_house(house *h, tr_err *err)
{
    static const char org[] = "0123456789ABCDEF01234567@AdobeOrg";
    char path[128];
    memset(h, 0, sizeof *h);
    (void)snprintf(h->folder, sizeof h->folder, "/tmp/tr-store-XXXXXX");
    if (mkdtemp(h->folder) == NULL)
        return TR_FAIL(err, TR_IO, "no temporary folder");
    (void)snprintf(path, sizeof path, "%s/catalog.db", h->folder);
    TR_TRY(tr_catalog_open(path, &h->catalog, err));
    TR_TRY(tr_lake_open(h->folder, &h->lake, err));
    TR_TRY(tr_store_open(h->catalog, h->lake, &h->store, err));
    TR_TRY(tr_catalog_org_ensure(h->catalog, org, err));
    TR_TRY(tr_catalog_tenant(h->catalog, org, "prod", &h->tenant, err));
    for (uint32_t batch = 0; batch < BATCHES; batch++)
        TR_TRY(publish(h, batch, err));
    return TR_OK;
}

static void close_house(house *h)
{
    tr_store_close(h->store);
    tr_lake_close(h->lake);
    tr_catalog_close(h->catalog);
    CHECK(tr_dir_remove(h->folder, NULL) == TR_OK);
}

/* The sum of column "batch" over all rows of a snapshot. */
static uint64_t sum_of(const tr_snapshot *snapshot, uint64_t *rows)
{
    uint64_t sum = 0;
    tr_arena arena = {0};
    *rows = 0;
    for (uint32_t r = 0; r < snapshot->run_count; r++) {
        const tr_parquet_file *file = snapshot->runs[r]->file;
        const uint32_t leaf = tr_shape_leaf(tr_parquet_shape(file), tr_str_of("batch"));
        for (uint32_t g = 0; g < tr_parquet_group_count(file); g++) {
            tr_column column;
            const uint32_t count = tr_parquet_group_rows(file, g);
            CHECK(tr_parquet_read(file, g, leaf, 0, count, &arena, &column, NULL) == TR_OK);
            for (uint32_t row = 0; row < count; row++)
                sum += tr_column_word(&column, row);
            *rows += count;
        }
    }
    tr_arena_free(&arena);
    return sum;
}

/* Rows of the folded run: of batch 7 or 8 each, with the catalog's time of that batch, and with their own
 * time where they had one. */
static bool has_real_times(const tr_run *run)
{
    tr_arena arena = {0};
    tr_column n, updated, ingested;
    const uint32_t rows = tr_parquet_group_rows(run->file, 0);
    const uint32_t leaf = tr_shape_leaf(tr_parquet_shape(run->file), tr_str_of("batch"));
    CHECK(tr_parquet_read(run->file, 0, leaf, 0, rows, &arena, &n, NULL) == TR_OK);
    CHECK(tr_parquet_read(run->file, 0, run->updated_leaf, 0, rows, &arena, &updated, NULL) == TR_OK);
    CHECK(tr_parquet_read(run->file, 0, run->ingested_leaf, 0, rows, &arena, &ingested, NULL) == TR_OK);
    uint32_t own = 0, good = 0;
    for (uint32_t row = 0; row < rows; row++) {
        const uint64_t real = (uint64_t)ingested_of((uint32_t)tr_column_word(&n, row));
        own += tr_column_word(&updated, row) == 5;
        good += tr_column_word(&ingested, row) == real &&
                (tr_column_word(&updated, row) == 5 || tr_column_word(&updated, row) == real);
    }
    tr_arena_free(&arena);
    return good == rows && own > 0 && own < rows;
}

static void an_empty_sandbox_has_nothing_to_compact(void)
{
    static const char org[] = "AAAAAAAAAAAAAAAAAAAAAAAA@AdobeOrg";
    house h;
    tr_tenant empty;
    uint32_t folded = 9;
    CHECK(open_house(&h, NULL) == TR_OK);
    CHECK(tr_catalog_org_ensure(h.catalog, org, NULL) == TR_OK);
    CHECK(tr_catalog_tenant(h.catalog, org, "prod", &empty, NULL) == TR_OK);
    CHECK(tr_store_compact(h.store, &empty, dataset, &folded, NULL) == TR_OK && folded == 0);
    close_house(&h);
}

static void a_compaction_is_one_step_for_everybody(void)
{
    house h;
    tr_err err = {0};
    tr_snapshot *before = NULL, *after = NULL, *old = NULL;
    uint32_t folded = 0;
    uint64_t rows, sum;
    tr_object object = {0};
    if (open_house(&h, &err) != TR_OK) {
        printf("%s\n", err.text);
        CHECK(false);
        return;
    }
    CHECK(tr_store_snapshot(h.store, &h.tenant, &before, &err) == TR_OK);
    CHECK(before != NULL && before->run_count == BATCHES);
    for (uint32_t r = 1; before != NULL && r < before->run_count; r++)
        CHECK(before->runs[r - 1]->ingested_us < before->runs[r]->ingested_us);
    sum = sum_of(before, &rows);
    CHECK(rows == (uint64_t)BATCHES * PEOPLE);
    CHECK(tr_store_compact(h.store, &h.tenant, dataset, &folded, &err) == TR_OK);
    CHECK(folded == BATCHES);
    CHECK(sum_of(before, &rows) == sum);
    CHECK(tr_store_snapshot(h.store, &h.tenant, &after, &err) == TR_OK);
    CHECK(after != NULL && after->run_count == 1 && after->runs[0]->batch[0] == '\0');
    /* People 0..149 have batch 8 (the last even one); person 150 is only in odd batches: 7. */
    CHECK(after != NULL && sum_of(after, &rows) == 150 * 8 + 7 && rows == 151);
    CHECK(after != NULL && has_real_times(after->runs[0]));
    CHECK(after != NULL && after->runs[0]->ingested_us == ingested_of(8) &&
          after->runs[0]->ingested_min_us == ingested_of(7));
    CHECK(tr_catalog_get(h.catalog, &h.tenant, "file", h.files[0], &object, &err) == TR_OK);
    CHECK(strcmp(object.state, "lake") == 0);
    tr_object_clear(&object);
    tr_store_release(h.store, before);
    json_t *ids = json_array();
    for (uint32_t b = 0; b < BATCHES; b++)
        (void)json_array_append_new(ids, json_string(h.files[b]));
    CHECK(tr_store_snapshot_of(h.store, &h.tenant, ids, &old, &err) == TR_OK);
    CHECK(old != NULL && sum_of(old, &rows) == sum);
    (void)json_array_append_new(ids, json_string("01HB3K4W6T9N4S3J2M8Q7R5V1A"));
    tr_snapshot *none = NULL;
    CHECK(tr_store_snapshot_of(h.store, &h.tenant, ids, &none, &err) == TR_NOT_FOUND && none == NULL);
    json_decref(ids);
    CHECK(tr_store_compact(h.store, &h.tenant, dataset, &folded, &err) == TR_OK && folded == 0);
    tr_store_release(h.store, old);
    tr_store_release(h.store, after);
    close_house(&h);
}

/* As an API call removes a batch: the catalog first, then the bytes. */
static tr_code withdraw(house *h, uint32_t batch, tr_err *err)
{
    tr_object file = {0};
    TR_TRY(tr_catalog_get(h->catalog, &h->tenant, "file", h->files[batch], &file, err));
    (void)snprintf(file.state, sizeof file.state, "gone");
    tr_code code = tr_catalog_put(h->catalog, &h->tenant, "file", &file, 0, err);
    if (code == TR_OK)
        code = tr_lake_remove_batch(h->lake, &h->tenant, dataset, file.parent, err);
    tr_object_clear(&file);
    return code;
}

/* As if a batch had come as the file of another one beside its own. */
static tr_code tie(house *h, uint32_t batch, uint32_t to, tr_err *err)
{
    tr_object file = {0};
    TR_TRY(tr_catalog_get(h->catalog, &h->tenant, "file", h->files[batch], &file, err));
    (void)json_object_set_new(file.doc, "ingestedUs", json_integer((json_int_t)ingested_of(to)));
    const tr_code code = tr_catalog_put(h->catalog, &h->tenant, "file", &file, 0, err);
    tr_object_clear(&file);
    return code;
}

static void files_of_one_batch_are_folded_by_themselves(void)
{
    house h;
    tr_err err = {0};
    tr_snapshot *after = NULL;
    uint32_t folded = 0;
    uint64_t rows = 0;
    CHECK(open_house(&h, &err) == TR_OK);
    for (uint32_t batch = 0; batch < 4; batch++)
        CHECK(withdraw(&h, batch, &err) == TR_OK);
    CHECK(tr_store_compact(h.store, &h.tenant, dataset, &folded, &err) == TR_OK && folded == 0);
    CHECK(tie(&h, 6, 7, &err) == TR_OK && tie(&h, 4, 5, &err) == TR_OK);
    CHECK(tr_store_compact(h.store, &h.tenant, dataset, &folded, &err) == TR_OK && folded == 2);
    CHECK(tr_store_compact(h.store, &h.tenant, dataset, &folded, &err) == TR_OK && folded == 2);
    CHECK(tr_store_compact(h.store, &h.tenant, dataset, &folded, &err) == TR_OK && folded == 0);
    CHECK(tr_store_snapshot(h.store, &h.tenant, &after, &err) == TR_OK && after->run_count == 3);
    for (uint32_t r = 0; after != NULL && r < after->run_count; r++) {
        CHECK(after->runs[r]->ingested_us == ingested_of(r < 2 ? 5 + 2 * r : 8));
        CHECK((after->runs[r]->batch[0] == '\0') == (r < 2));
    }
    CHECK(after != NULL && sum_of(after, &rows) == 150 * 5 + 4 + 150 * 7 + 6 + PEOPLE * 8);
    CHECK(rows == 151 + 151 + PEOPLE);
    tr_store_release(h.store, after);
    close_house(&h);
}

static house *leaving; /* its batch 3 is removed when its file is opened */

static int open_too_late(const char *path, int flags, int mode)
{
    house *h = leaving;
    if (h != NULL && strstr(path, "/data/") != NULL) {
        leaving = NULL;
        CHECK(withdraw(h, 3, NULL) == TR_OK);
    }
    return tr_os_kernel.open(path, flags, mode);
}

static void a_batch_that_goes_while_a_snapshot_is_taken_is_not_in_it(void)
{
    house h;
    tr_err err = {0};
    tr_snapshot *snapshot = NULL;
    tr_os table = tr_os_kernel;
    table.open = open_too_late;
    CHECK(open_house(&h, &err) == TR_OK);
    leaving = &h;
    tr_os_replace(&table);
    CHECK(tr_store_snapshot(h.store, &h.tenant, &snapshot, &err) == TR_OK);
    tr_os_replace(NULL);
    CHECK(snapshot != NULL && snapshot->run_count == BATCHES - 1);
    tr_store_release(h.store, snapshot);
    close_house(&h);
}

static tr_code note_run(void *ctx, const tr_object *run, tr_err *err)
{
    (void)err;
    return json_array_append_new(ctx, json_string(run->id)) == 0 ? TR_OK : TR_NO_MEMORY;
}

/* A folded run is there for plans that name it; one of data that was taken back is not, even before its bytes go. */
static void a_withdrawn_run_is_no_plans_any_more(void)
{
    house h;
    tr_err err = {0};
    uint32_t folded = 0;
    tr_object run = {0};
    tr_snapshot *snapshot = NULL;
    const tr_catalog_filter all = {0};
    json_t *ids = json_array();
    CHECK(open_house(&h, &err) == TR_OK);
    CHECK(tr_store_compact(h.store, &h.tenant, dataset, &folded, &err) == TR_OK && folded == BATCHES);
    CHECK(tr_catalog_list(h.catalog, &h.tenant, "run", &all, note_run, ids, &err) == TR_OK);
    CHECK(json_array_size(ids) == 1);
    const char *id = json_string_value(json_array_get(ids, 0)), *states[] = {"profile", "gone", TR_RUN_WITHDRAWN};
    for (int i = 0; i < 3; i++) {
        const tr_code expected = i == 2 ? TR_NOT_FOUND : TR_OK;
        CHECK(tr_catalog_get(h.catalog, &h.tenant, "run", id, &run, &err) == TR_OK);
        (void)snprintf(run.state, sizeof run.state, "%s", states[i]);
        CHECK(tr_catalog_put(h.catalog, &h.tenant, "run", &run, 0, &err) == TR_OK);
        tr_object_clear(&run);
        CHECK(tr_store_has_runs(h.store, &h.tenant, ids, &err) == expected);
        snapshot = NULL;
        CHECK(tr_store_snapshot_of(h.store, &h.tenant, ids, &snapshot, &err) == expected);
        tr_store_release(h.store, snapshot);
    }
    CHECK(tr_store_sweep(h.store, &h.tenant, dataset, &err) == TR_OK);
    CHECK(tr_catalog_get(h.catalog, &h.tenant, "run", id, &run, &err) == TR_NOT_FOUND);
    json_decref(ids);
    close_house(&h);
}

static void a_live_run_without_a_file_is_damage(void)
{
    house h;
    tr_err err = {0};
    tr_object file = {0};
    tr_snapshot *snapshot = NULL;
    CHECK(open_house(&h, &err) == TR_OK);
    CHECK(tr_catalog_get(h.catalog, &h.tenant, "file", h.files[3], &file, &err) == TR_OK);
    CHECK(tr_lake_remove_batch(h.lake, &h.tenant, dataset, file.parent, &err) == TR_OK);
    tr_object_clear(&file);
    CHECK(tr_store_snapshot(h.store, &h.tenant, &snapshot, &err) == TR_CORRUPT);
    CHECK(strstr(err.text, h.files[3]) != NULL);
    close_house(&h);
}

/* Whether this process maps files of the folder that have no name any more. */
static bool holds_removed_files(const house *h)
{
    char line[1024];
    bool is_found = false;
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps != NULL && !is_found && fgets(line, sizeof line, maps) != NULL)
        is_found = strstr(line, h->folder) != NULL && strstr(line, "(deleted)") != NULL;
    if (maps != NULL)
        (void)fclose(maps);
    return is_found;
}

static void nothing_is_kept_of_a_tenant_that_goes(void)
{
    house h;
    tr_err err = {0};
    tr_snapshot *snapshot = NULL;
    CHECK(open_house(&h, &err) == TR_OK);
    CHECK(tr_store_snapshot(h.store, &h.tenant, &snapshot, &err) == TR_OK);
    CHECK(tr_lake_remove_tenant(h.lake, &h.tenant, &err) == TR_OK);
    CHECK(holds_removed_files(&h));
    tr_store_retire_tenant(h.store, h.tenant.id);
    CHECK(holds_removed_files(&h)); /* somebody reads them */
    tr_store_release(h.store, snapshot);
    CHECK(!holds_removed_files(&h));
    close_house(&h);
}

static const char *retired_id; /* of the run that goes once its file is open */

static int open_too_early(const char *path, int flags, int mode)
{
    house *h = leaving;
    const int fd = tr_os_kernel.open(path, flags, mode);
    if (h != NULL && strstr(path, "/data/") != NULL) {
        leaving = NULL;
        CHECK(withdraw(h, 0, NULL) == TR_OK);
        tr_store_retire(h->store, h->tenant.id, retired_id);
    }
    return fd;
}

static void nothing_is_kept_of_a_run_that_goes_while_it_is_opened(void)
{
    house h;
    tr_err err = {0};
    tr_snapshot *snapshot = NULL;
    tr_os table = tr_os_kernel;
    table.open = open_too_early;
    CHECK(open_house(&h, &err) == TR_OK);
    leaving = &h;
    retired_id = h.files[0];
    tr_os_replace(&table);
    CHECK(tr_store_snapshot(h.store, &h.tenant, &snapshot, &err) == TR_OK);
    tr_os_replace(NULL);
    CHECK(leaving == NULL && holds_removed_files(&h));
    tr_store_release(h.store, snapshot);
    CHECK(!holds_removed_files(&h));
    snapshot = NULL;
    CHECK(tr_store_snapshot(h.store, &h.tenant, &snapshot, &err) == TR_OK);
    CHECK(snapshot != NULL && snapshot->run_count == BATCHES - 1);
    tr_store_release(h.store, snapshot);
    close_house(&h);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(an_empty_sandbox_has_nothing_to_compact);
    RUN(a_compaction_is_one_step_for_everybody);
    RUN(files_of_one_batch_are_folded_by_themselves);
    RUN(a_batch_that_goes_while_a_snapshot_is_taken_is_not_in_it);
    RUN(a_withdrawn_run_is_no_plans_any_more);
    RUN(a_live_run_without_a_file_is_damage);
    RUN(nothing_is_kept_of_a_tenant_that_goes);
    RUN(nothing_is_kept_of_a_run_that_goes_while_it_is_opened);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
