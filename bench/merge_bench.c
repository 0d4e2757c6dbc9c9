/* SPDX-License-Identifier: Apache-2.0 */
/* merge_bench.c - how long merging a snapshot takes, without server, catalog or lake.
 *
 *     merge_bench generate DIR [--profiles N]              five runs, DIR/<dataset>.parquet
 *     merge_bench run DIR [--threads T] [--out DIR2] [--fields a,b] [--repeat R]
 *
 * The runs are ordinary Parquet: peers read the same files (bookkeeping in _tributary: namespace, id,
 * updated). Five datasets know 100, 60, 70, 50 and 40 % of the people; 20 leaves; a tenth of all values are null.
 * The same N gives the same files.
 */
#include "base/clock.h"
#include "merge/merge.h"
#include "os/os.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATASETS = 5, LEAVES = 20, THREADS_MAX = 64 };

typedef struct leaf_plan {
    const char *path;
    tr_kind kind;
    uint32_t distinct; /* 0: as many values as people */
    uint32_t datasets; /* bit per dataset that has it */
    const char *format; /* of strings */
    uint64_t base, step; /* of numbers: base + value * step */
} leaf_plan;

static const struct {
    const char *id;
    uint32_t percent;
} datasets[DATASETS] = {{"crm", 100}, {"loyalty", 60}, {"web", 70}, {"shop", 50}, {"mobile", 40}};

static const leaf_plan leaves[LEAVES] = {
    {"consents.marketing", TR_KIND_BOOLEAN, 2, 0x19, NULL, 0, 1},
    {"homeAddress.city", TR_KIND_STRING, 3000, 0x15, "City of %u", 0, 0},
    {"homeAddress.country", TR_KIND_STRING, 60, 0x15, "Country %u", 0, 0},
    {"loyalty.joined", TR_KIND_DATE, 3650, 0x02, NULL, 16000, 1},
    {"loyalty.points", TR_KIND_INT32, 20000, 0x02, NULL, 0, 5},
    {"loyalty.tier", TR_KIND_STRING, 4, 0x0a, "tier-%u", 0, 0},
    {"mobile.appVersion", TR_KIND_STRING, 40, 0x10, "%u.1.0", 0, 0},
    {"mobilePhone.number", TR_KIND_STRING, 0, 0x09, "+49170%08u", 0, 0},
    {"person.birthDate", TR_KIND_DATE, 22000, 0x03, NULL, 0, 1},
    {"person.birthYear", TR_KIND_INT32, 90, 0x03, NULL, 1930, 1},
    {"person.gender", TR_KIND_STRING, 3, 0x13, "gender-%u", 0, 0},
    {"person.name.firstName", TR_KIND_STRING, 5000, 0x1b, "First%u", 0, 0},
    {"person.name.lastName", TR_KIND_STRING, 20000, 0x19, "Last%u", 0, 0},
    {"personalEmail.address", TR_KIND_STRING, 0, 0x1d, "person%u@mail.example.com", 0, 0},
    {"shop.lastOrder", TR_KIND_TIMESTAMP, 0, 0x08, NULL, 1700000000000000, 1013000000},
    {"shop.orders", TR_KIND_INT32, 100, 0x08, NULL, 0, 1},
    {"shop.value", TR_KIND_DOUBLE, 0, 0x08, NULL, 0, 1},
    {"web.device", TR_KIND_STRING, 12, 0x04, "device-%u", 0, 0},
    {"web.lastVisit", TR_KIND_TIMESTAMP, 0, 0x14, NULL, 1710000000000000, 977000000},
    {"web.visits", TR_KIND_INT64, 500, 0x04, NULL, 0, 1},
};

static void fail(const char *what, const tr_err *err)
{
    (void)fprintf(stderr, "%s: %s\n", what, err->text);
    exit(1);
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static void *get(tr_arena *arena, size_t count, size_t size)
{
    void *memory = tr_arena_array(arena, count, size);
    if (memory == NULL)
        exit(3);
    return memory;
}

/* Objects along a dotted path, then the scalar. */
static void add_leaf(tr_arena *arena, tr_type *root, const leaf_plan *plan)
{
    tr_type *object = root;
    const char *at = plan->path;
    for (const char *dot = strchr(at, '.'); dot != NULL; at = dot + 1, dot = strchr(at, '.')) {
        const tr_str name = {(const uint8_t *)at, (size_t)(dot - at)};
        tr_type *next = tr_type_member(object, name);
        if (next == NULL) {
            next = tr_type_make(arena, TR_KIND_OBJECT, name);
            if (next == NULL || !tr_type_add(arena, object, next))
                exit(3);
        }
        object = next;
    }
    tr_type *scalar = tr_type_make(arena, plan->kind, tr_str_of(at));
    if (scalar == NULL || !tr_type_add(arena, object, scalar))
        exit(3);
}

static tr_shape make_shape(tr_arena *arena, uint32_t dataset, const char *fields, bool is_run)
{
    tr_err err = {0};
    tr_shape shape;
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    for (uint32_t i = 0; i < LEAVES; i++)
        if ((leaves[i].datasets >> dataset & 1) != 0 || !is_run)
            if (fields == NULL || strstr(fields, leaves[i].path) != NULL)
                add_leaf(arena, root, &leaves[i]);
    if (is_run && tr_run_add_bookkeeping(arena, root) == NULL)
        exit(3);
    if (tr_shape_make(arena, root, &shape, &err) != TR_OK)
        fail("shape", &err);
    return shape;
}

static uint64_t number_of(const leaf_plan *plan, uint64_t value)
{
    if (plan->kind != TR_KIND_DOUBLE)
        return plan->base + value * plan->step;
    const double real = (double)value / 7;
    uint64_t word;
    memcpy(&word, &real, sizeof word);
    return word;
}

static tr_str text_of(tr_arena *arena, const char *format, uint64_t value)
{
    char text[64];
    /* The formats stand above, one %u each. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    const int len = snprintf(text, sizeof text, format, (unsigned)value);
#pragma GCC diagnostic pop
    return tr_arena_copy(arena, (tr_str){(const uint8_t *)text, (size_t)len});
}

/* Values of one leaf for the people of a dataset. */
static tr_column make_column(tr_arena *arena, const leaf_plan *plan, uint32_t leaf, uint32_t dataset,
                             const uint32_t *people, uint32_t rows, uint32_t profiles)
{
    uint32_t *codes = get(arena, rows, sizeof *codes), count = plan->distinct == 0 ? 0 : plan->distinct;
    const uint32_t room = plan->distinct == 0 ? rows : plan->distinct;
    uint64_t *words = get(arena, room, sizeof(uint64_t));
    tr_str *strings = plan->kind == TR_KIND_STRING ? get(arena, room, sizeof *strings) : NULL;
    for (uint32_t i = 0; i < count; i++)
        if (strings != NULL)
            strings[i] = text_of(arena, plan->format, i);
        else
            words[i] = number_of(plan, i);
    for (uint32_t row = 0; row < rows; row++) {
        const uint64_t chance = mix((uint64_t)people[row] << 16 | dataset << 8 | leaf);
        if (chance % 10 == 0)
            continue;
        const uint64_t value = chance / 10;
        if (plan->distinct != 0) {
            codes[row] = 1 + (uint32_t)(value % plan->distinct);
            continue;
        }
        if (strings != NULL)
            strings[count] = text_of(arena, plan->format, people[row] + (uint64_t)dataset % 2 * profiles);
        else
            words[count] = number_of(plan, value % 100000);
        codes[row] = ++count;
    }
    tr_column column = {.rows = rows, .entries = rows, .codes = codes,
                        .values = {.storage = tr_kind_storage(plan->kind), .is_distinct = plan->distinct != 0,
                                   .count = count}};
    if (strings != NULL)
        column.values.strings = strings;
    else
        column.values.words = words;
    return column;
}

static tr_column constant(tr_arena *arena, uint32_t rows, tr_values values)
{
    uint32_t *codes = get(arena, rows, sizeof *codes);
    for (uint32_t row = 0; row < rows; row++)
        codes[row] = values.is_distinct ? 1 : row + 1;
    return (tr_column){.rows = rows, .entries = rows, .codes = codes, .values = values};
}

static void make_bookkeeping(tr_arena *arena, uint32_t dataset, const uint32_t *people, uint32_t rows, tr_column *out)
{
    static const uint8_t secret[192] = {42};
    uint8_t(*keys)[16] = get(arena, rows, sizeof *keys);
    tr_str *ids = get(arena, rows, sizeof *ids), *one = get(arena, 2, sizeof *one);
    uint64_t *updated = get(arena, rows, sizeof *updated), *ingested = get(arena, 1, sizeof *ingested);
    one[0] = tr_str_of("CRMID");
    one[1] = tr_str_of(datasets[dataset].id);
    ingested[0] = 1720000000000000 + dataset;
    for (uint32_t row = 0; row < rows; row++) {
        ids[row] = text_of(arena, "crm-%09u", people[row]);
        tr_profile_key(secret, one[0], ids[row], keys[row]);
        updated[row] = 1700000000000000 + mix((uint64_t)people[row] << 8 | dataset) % 10000000 * 1000000;
    }
    out[0] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_KEY, .count = rows,
                                               .keys = (const uint8_t(*)[16])keys});
    out[1] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_STRING, .is_distinct = true, .count = 1, .strings = one});
    out[2] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_STRING, .count = rows, .strings = ids});
    out[3] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_WORD, .count = rows, .words = updated});
    out[4] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_WORD, .is_distinct = true, .count = 1, .words = ingested});
    out[5] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_STRING, .is_distinct = true, .count = 1, .strings = one + 1});
}

static tr_code to_file(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_file_write(ctx, bytes, err);
}

static void generate(const char *dir, uint32_t dataset, uint32_t profiles)
{
    tr_arena arena = {.bytes_max = (size_t)1 << 36};
    tr_err err = {0};
    char path[512];
    tr_file file = TR_FILE_NONE;
    const tr_shape shape = make_shape(&arena, dataset, NULL, true);
    uint32_t *people = get(&arena, profiles, sizeof *people), rows = 0, column = 0;
    for (uint32_t p = 0; p < profiles; p++)
        if (mix((uint64_t)p << 4 | dataset) % 100 < datasets[dataset].percent)
            people[rows++] = p;
    tr_column *columns = get(&arena, shape.leaf_count, sizeof *columns);
    for (uint32_t i = 0; i < LEAVES; i++)
        if ((leaves[i].datasets >> dataset & 1) != 0)
            columns[column++] = make_column(&arena, &leaves[i], i, dataset, people, rows, profiles);
    make_bookkeeping(&arena, dataset, people, rows, columns + column);
    (void)snprintf(path, sizeof path, "%s/%s.parquet", dir, datasets[dataset].id);
    if (tr_file_replace(path, &file, &err) != TR_OK ||
        tr_run_write(&(tr_run_rows){.shape = &shape, .columns = columns, .rows = rows}, (tr_sink){to_file, &file},
                     &err) != TR_OK)
        fail("generate", &err);
    printf("%-8s %9u rows %6.1f MB\n", datasets[dataset].id, rows, (double)file.bytes / 1e6);
    tr_file_close(&file);
    tr_arena_free(&arena);
}

typedef struct merging {
    const tr_merge_plan *plan;
    const char *out; /* NULL: nowhere */
    atomic_uint next;
    atomic_ullong bytes, profiles, fragments;
} merging;

static tr_code to_nowhere(void *ctx, tr_str bytes, tr_err *err)
{
    (void)err;
    atomic_fetch_add((atomic_ullong *)ctx, bytes.len);
    return TR_OK;
}

static void *merge_some(void *ctx)
{
    merging *m = ctx;
    tr_err err = {0};
    for (uint32_t p; (p = atomic_fetch_add(&m->next, 1)) < tr_merge_partition_count(m->plan);) {
        tr_merge_stats stats;
        tr_file file = TR_FILE_NONE;
        char path[512];
        if (m->out != NULL) {
            (void)snprintf(path, sizeof path, "%s/part-%05u.parquet", m->out, p);
            if (tr_file_replace(path, &file, &err) != TR_OK)
                fail("part", &err);
        }
        const tr_sink sink = m->out == NULL ? (tr_sink){to_nowhere, &m->bytes} : (tr_sink){to_file, &file};
        if (tr_merge_partition(m->plan, p, sink, NULL, NULL, NULL, &stats, &err) != TR_OK)
            fail("merge", &err);
        if (m->out != NULL)
            atomic_fetch_add(&m->bytes, file.bytes);
        tr_file_close(&file);
        atomic_fetch_add(&m->profiles, stats.profiles);
        atomic_fetch_add(&m->fragments, stats.fragments);
    }
    return NULL;
}

static void run(const char *dir, uint32_t threads, const char *out, const char *fields)
{
    tr_err err = {0};
    tr_arena arena = {0};
    tr_map maps[DATASETS];
    tr_run *runs[DATASETS];
    pthread_t ids[THREADS_MAX];
    tr_merge_plan *plan = NULL;
    const int64_t start_us = tr_time_monotonic_us();
    for (uint32_t d = 0; d < DATASETS; d++) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s.parquet", dir, datasets[d].id);
        if (tr_map_open(path, &maps[d], &err) != TR_OK ||
            tr_run_open(maps[d].bytes, datasets[d].id, datasets[d].id, &runs[d], &err) != TR_OK)
            fail("open", &err);
    }
    const tr_shape shape = make_shape(&arena, 0, fields, false);
    const tr_run *sorted[DATASETS] = {runs[0], runs[1], runs[4], runs[3], runs[2]}; /* by dataset id */
    const tr_snapshot snapshot = {sorted, DATASETS};
    const tr_merge_spec spec = {.snapshot = &snapshot, .output = &shape, .updated_after_us = TR_TIME_NONE,
                                .event_after_us = TR_TIME_NONE, .event_before_us = TR_TIME_NONE};
    if (tr_merge_plan_open(&spec, &plan, &err) != TR_OK)
        fail("plan", &err);
    const int64_t planned_us = tr_time_monotonic_us();
    merging m = {.plan = plan, .out = out};
    tr_memory_reset_peak();
    for (uint32_t t = 0; t < threads; t++)
        if (pthread_create(&ids[t], NULL, merge_some, &m) != 0)
            exit(3);
    for (uint32_t t = 0; t < threads; t++)
        (void)pthread_join(ids[t], NULL);
    const int64_t done_us = tr_time_monotonic_us();
    printf("open %.3f s, merge %.3f s, %u threads, %u partitions: %llu profiles of %llu fragments, %.1f MB, peak %.1f MB\n",
           (double)(planned_us - start_us) / 1e6, (double)(done_us - planned_us) / 1e6, threads,
           tr_merge_partition_count(plan), atomic_load(&m.profiles), atomic_load(&m.fragments),
           (double)atomic_load(&m.bytes) / 1e6, (double)tr_memory_bytes_peak() / 1e6);
    tr_merge_plan_close(plan);
    for (uint32_t d = 0; d < DATASETS; d++) {
        tr_run_close(runs[d]);
        tr_map_close(&maps[d]);
    }
    tr_arena_free(&arena);
}

int main(int argc, char **argv)
{
    uint32_t profiles = 2000000, threads = 2, repeat = 1;
    const char *out = NULL, *fields = NULL;
    for (int i = 3; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--profiles") == 0)
            profiles = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0)
            threads = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--repeat") == 0)
            repeat = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--out") == 0)
            out = argv[i + 1];
        else if (strcmp(argv[i], "--fields") == 0)
            fields = argv[i + 1];
    }
    if (argc < 3 || threads == 0 || threads > THREADS_MAX) {
        (void)fprintf(stderr, "usage: merge_bench generate|run DIR [--profiles N] [--threads T] [--out DIR] "
                              "[--fields PATHS] [--repeat R]\n");
        return 2;
    }
    if (strcmp(argv[1], "generate") == 0)
        for (uint32_t d = 0; d < DATASETS; d++)
            generate(argv[2], d, profiles);
    else
        for (uint32_t r = 0; r < repeat; r++)
            run(argv[2], threads, out, fields);
    return 0;
}
