/* SPDX-License-Identifier: Apache-2.0 */
/* bench_world.c - made people: every value follows from a hash of person, dataset and leaf. */
#include "bench_world.h"
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAVES = 20, EVENT_LEAVES = 5, EVENTS = TR_BENCH_DATASETS - 1 };

typedef struct leaf_plan {
    const char *path;
    tr_kind kind;
    uint32_t distinct; /* 0: as many values as people */
    uint32_t datasets; /* bit per dataset that has it */
    const char *format; /* of strings */
    uint64_t base, step; /* of numbers: base + value * step */
} leaf_plan;

const char *const tr_bench_datasets[TR_BENCH_DATASETS] = {"crm",  "loyalty", "web",
                                                          "shop", "mobile",  "events"};
static const uint32_t percent[TR_BENCH_RECORD_DATASETS] = {100, 60, 70, 50, 40};

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

static const leaf_plan event_leaves[EVENT_LEAVES] = {
    {"_id", TR_KIND_STRING, 0, 0x20, "event-%09u", 0, 0},
    {"eventType", TR_KIND_STRING, 8, 0x20, "type-%u", 0, 0},
    {"page", TR_KIND_STRING, 2000, 0x20, "https://shop.example.com/page/%u", 0, 0},
    {"timestamp", TR_KIND_TIMESTAMP, 0, 0x20, NULL, 1700000000000000, 1000000},
    {"value", TR_KIND_DOUBLE, 0, 0x20, NULL, 0, 1},
};

void tr_bench_fail(const char *what, const tr_err *err)
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
static void add_leaf(tr_arena *arena, tr_type *root, tr_kind kind, const char *path)
{
    tr_type *object = root;
    const char *at = path;
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
    tr_type *scalar = tr_type_make(arena, kind, tr_str_of(at));
    if (scalar == NULL || !tr_type_add(arena, object, scalar))
        exit(3);
}

static void path_of(char out[128], const tr_bench_world *world, uint32_t copy,
                    const leaf_plan *plan)
{
    if (world->copies == 1)
        (void)snprintf(out, 128, "%s", plan->path);
    else
        (void)snprintf(out, 128, "c%02u.%s", copy, plan->path);
}

/* True when the comma-separated list names the path. */
static bool is_chosen(const char *fields, const char *path)
{
    const size_t len = strlen(path);
    for (const char *at = fields; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, path, len) == 0 && (at[len] == 0 || at[len] == ','))
            return true;
    }
    return fields == NULL;
}

static tr_shape shape_of(tr_arena *arena, tr_type *root)
{
    tr_err err = {0};
    tr_shape shape;
    if (tr_shape_make(arena, root, &shape, &err) != TR_OK)
        tr_bench_fail("shape", &err);
    return shape;
}

/* The columns of a dataset's run. */
static tr_shape run_shape(tr_arena *arena, const tr_bench_world *world, uint32_t dataset)
{
    char path[128];
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    if (dataset == EVENTS)
        for (uint32_t i = 0; i < EVENT_LEAVES; i++)
            add_leaf(arena, root, event_leaves[i].kind, event_leaves[i].path);
    else
        for (uint32_t copy = 0; copy < world->copies; copy++)
            for (uint32_t i = 0; i < LEAVES; i++)
                if ((leaves[i].datasets >> dataset & 1) != 0) {
                    path_of(path, world, copy, &leaves[i]);
                    add_leaf(arena, root, leaves[i].kind, path);
                }
    if (tr_run_add_bookkeeping(arena, root) == NULL)
        exit(3);
    return shape_of(arena, root);
}

tr_shape tr_bench_output(tr_arena *arena, const tr_bench_world *world, const char *fields)
{
    char path[128];
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    for (uint32_t copy = 0; copy < world->copies; copy++)
        for (uint32_t i = 0; i < LEAVES; i++) {
            path_of(path, world, copy, &leaves[i]);
            if (is_chosen(fields, path))
                add_leaf(arena, root, leaves[i].kind, path);
        }
    if (world->events > 0) {
        tr_type *array = tr_type_make(arena, TR_KIND_ARRAY, tr_str_of("timeSeriesEvents"));
        tr_type *event = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of("element"));
        for (uint32_t i = 0; i < EVENT_LEAVES; i++)
            add_leaf(arena, event, event_leaves[i].kind, event_leaves[i].path);
        if (!tr_type_add(arena, array, event) || !tr_type_add(arena, root, array))
            exit(3);
    }
    return shape_of(arena, root);
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

typedef struct bench_rows {
    uint32_t dataset, rows, profiles;
    const uint32_t *people; /* whose each row is */
} bench_rows;

/* Values of one leaf for the people of a dataset; `leaf` numbers it among all of the world. */
static tr_column make_column(tr_arena *arena, const leaf_plan *plan, uint32_t leaf,
                             const bench_rows *crowd)
{
    const uint32_t dataset = crowd->dataset, rows = crowd->rows, *people = crowd->people;
    const bool is_event = dataset == EVENTS;
    uint32_t *codes = get(arena, rows, sizeof *codes), count = plan->distinct;
    const uint32_t room = plan->distinct == 0 ? rows : plan->distinct;
    uint64_t *words = get(arena, room, sizeof(uint64_t));
    tr_str *strings = plan->kind == TR_KIND_STRING ? get(arena, room, sizeof *strings) : NULL;
    for (uint32_t i = 0; i < count; i++)
        if (strings != NULL)
            strings[i] = text_of(arena, plan->format, i);
        else
            words[i] = number_of(plan, i);
    for (uint32_t row = 0; row < rows; row++) {
        const uint64_t who = is_event ? row : people[row];
        const uint64_t chance = mix(who << 24 | (uint64_t)dataset << 16 | leaf);
        if (chance % 10 == 0 && !is_event)
            continue;
        const uint64_t value = chance / 10;
        if (plan->distinct != 0) {
            codes[row] = 1 + (uint32_t)(value % plan->distinct);
            continue;
        }
        if (strings != NULL)
            strings[count] = text_of(arena, plan->format,
                                     is_event ? row : people[row] + dataset % 2 * crowd->profiles);
        else
            words[count] = number_of(plan, value % (is_event ? 10000000 : 100000));
        codes[row] = ++count;
    }
    tr_column column = {.rows = rows, .entries = rows, .codes = codes,
                        .values = {.storage = tr_kind_storage(plan->kind),
                                   .is_distinct = plan->distinct != 0, .count = count}};
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

static tr_column one_text(tr_arena *arena, uint32_t rows, const char *text)
{
    tr_str *one = get(arena, 1, sizeof *one);
    one[0] = tr_str_of(text);
    return constant(arena, rows, (tr_values){.storage = TR_STORAGE_STRING, .is_distinct = true,
                                             .count = 1, .strings = one});
}

static void make_bookkeeping(tr_arena *arena, const bench_rows *crowd, tr_column *out)
{
    static const uint8_t secret[192] = {42};
    const uint32_t rows = crowd->rows, dataset = crowd->dataset;
    uint8_t(*keys)[16] = get(arena, rows, sizeof *keys);
    tr_str *ids = get(arena, rows, sizeof *ids);
    uint64_t *updated = get(arena, rows, sizeof *updated), *ingested = get(arena, 1, 8);
    ingested[0] = 1720000000000000 + dataset;
    for (uint32_t row = 0; row < rows; row++) {
        ids[row] = text_of(arena, "crm-%09u", crowd->people[row]);
        tr_profile_key(secret, tr_str_of("CRMID"), ids[row], keys[row]);
        updated[row] = 1700000000000000 +
                       mix((uint64_t)crowd->people[row] << 8 | dataset) % 10000000 * 1000000;
    }
    out[0] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_KEY, .count = rows,
                                               .keys = (const uint8_t(*)[16])keys});
    out[1] = one_text(arena, rows, "CRMID");
    out[2] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_STRING, .count = rows,
                                               .strings = ids});
    out[3] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_WORD, .count = rows,
                                               .words = updated});
    out[4] = constant(arena, rows, (tr_values){.storage = TR_STORAGE_WORD, .is_distinct = true,
                                               .count = 1, .words = ingested});
    out[5] = one_text(arena, rows, tr_bench_datasets[dataset]);
}

tr_code tr_bench_to_file(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_file_write(ctx, bytes, err);
}

static bench_rows people_of(tr_arena *arena, const tr_bench_world *world, uint32_t dataset)
{
    const uint32_t most = dataset == EVENTS ? world->events : world->profiles;
    uint32_t *people = get(arena, most, sizeof *people), rows = 0;
    for (uint32_t i = 0; i < most; i++)
        if (dataset == EVENTS)
            people[rows++] = (uint32_t)(mix(i * UINT64_C(7919)) % world->profiles);
        else if (mix((uint64_t)i << 4 | dataset) % 100 < percent[dataset])
            people[rows++] = i;
    return (bench_rows){dataset, rows, world->profiles, people};
}

static void generate(const char *dir, const tr_bench_world *world, uint32_t dataset)
{
    tr_arena arena = {.bytes_max = (size_t)1 << 36};
    tr_err err = {0};
    char path[512];
    tr_file file = TR_FILE_NONE;
    const bool is_event = dataset == EVENTS;
    const tr_shape shape = run_shape(&arena, world, dataset);
    const bench_rows crowd = people_of(&arena, world, dataset);
    uint32_t column = 0;
    tr_column *columns = get(&arena, shape.leaf_count, sizeof *columns);
    for (uint32_t copy = 0; copy < (is_event ? 1 : world->copies); copy++)
        for (uint32_t i = 0; i < (is_event ? EVENT_LEAVES : LEAVES); i++) {
            const leaf_plan *plan = is_event ? &event_leaves[i] : &leaves[i];
            if ((plan->datasets >> dataset & 1) != 0)
                columns[column++] = make_column(&arena, plan, copy * LEAVES + i, &crowd);
        }
    make_bookkeeping(&arena, &crowd, columns + column);
    (void)snprintf(path, sizeof path, "%s/%s.parquet", dir, tr_bench_datasets[dataset]);
    const tr_run_rows all = {.shape = &shape, .columns = columns, .rows = crowd.rows,
                             .is_event = is_event};
    if (tr_file_replace(path, &file, &err) != TR_OK ||
        tr_run_write(&all, (tr_sink){tr_bench_to_file, &file}, &err) != TR_OK)
        tr_bench_fail("generate", &err);
    printf("%-8s %9u rows %6.1f MB\n", tr_bench_datasets[dataset], crowd.rows,
           (double)file.bytes / 1e6);
    tr_file_close(&file);
    tr_arena_free(&arena);
}

void tr_bench_generate(const char *dir, const tr_bench_world *world)
{
    for (uint32_t dataset = 0; dataset < TR_BENCH_DATASETS; dataset++)
        if (dataset != EVENTS || world->events > 0)
            generate(dir, world, dataset);
}
