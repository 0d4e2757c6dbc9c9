/* SPDX-License-Identifier: Apache-2.0 */
/* parquet_bench.c - how long writing takes, when everything is codes already; and reading it back.
 *
 *     parquet_bench [ROWS] [FILE]
 *
 * 20 leaves like those of customer profiles: strings with dictionaries of 3 to 100,000 values,
 * numbers, dates, times; half of them in objects, most with nulls. Then the same with two columns
 * more that have no dictionary: a key, and an e-mail address. Making the columns is not counted.
 * Reading is into codes again, a column of a row group at a time, with every checksum; opening is
 * timed on its own. FILE gets the last file written, for others to read.
 */
#include "base/check.h"
#include "parquet/parquet.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { GROUP_ROWS = 1000 * 1000, LEAVES = 22, ROUNDS = 5 };

typedef struct leaf_plan {
    const char *object; /* NULL: at the root */
    const char *name;
    tr_kind kind;
    uint32_t values; /* 0: one a row */
    uint32_t nulls;  /* percent */
} leaf_plan;

static const leaf_plan plans[LEAVES] = {
    {"person", "firstName", TR_KIND_STRING, 5000, 10},
    {"person", "lastName", TR_KIND_STRING, 40000, 10},
    {"person", "gender", TR_KIND_STRING, 3, 20},
    {"person", "birthDate", TR_KIND_DATE, 25000, 30},
    {"homeAddress", "city", TR_KIND_STRING, 8000, 25},
    {"homeAddress", "postalCode", TR_KIND_STRING, 30000, 25},
    {"homeAddress", "countryCode", TR_KIND_STRING, 60, 25},
    {"homeAddress", "street", TR_KIND_STRING, 100000, 25},
    {"loyalty", "tier", TR_KIND_STRING, 5, 50},
    {"loyalty", "points", TR_KIND_INT64, 20000, 50},
    {"loyalty", "joined", TR_KIND_DATE, 4000, 50},
    {NULL, "language", TR_KIND_STRING, 40, 5},
    {NULL, "timeZone", TR_KIND_STRING, 100, 5},
    {NULL, "consent", TR_KIND_BOOLEAN, 2, 0},
    {NULL, "orders", TR_KIND_INT32, 300, 0},
    {NULL, "spent", TR_KIND_DOUBLE, 50000, 15},
    {NULL, "segment", TR_KIND_STRING, 12, 40},
    {NULL, "channel", TR_KIND_STRING, 7, 0},
    {NULL, "lastSeen", TR_KIND_TIMESTAMP, 100000, 0},
    {NULL, "store", TR_KIND_STRING, 900, 60},
    {NULL, "key", TR_KIND_KEY, 0, 0},
    {NULL, "email", TR_KIND_STRING, 0, 10},
};

static tr_arena arena = {.bytes_max = (size_t)8 << 30};
static uint64_t state = 88172645463325252;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void *get(size_t count, size_t size)
{
    void *memory = tr_arena_array(&arena, count, size);
    TR_ASSERT(memory != NULL);
    return memory;
}

static void make_shape(uint32_t leaves, tr_shape *shape)
{
    tr_type *root = tr_type_make(&arena, TR_KIND_OBJECT, tr_str_of(""));
    for (uint32_t i = 0; i < leaves; i++) {
        tr_type *parent = root;
        if (plans[i].object != NULL) {
            parent = tr_type_member(root, tr_str_of(plans[i].object));
            if (parent == NULL) {
                parent = tr_type_make(&arena, TR_KIND_OBJECT, tr_str_of(plans[i].object));
                TR_ASSERT(tr_type_add(&arena, root, parent));
            }
        }
        TR_ASSERT(tr_type_add(&arena, parent,
                              tr_type_make(&arena, plans[i].kind, tr_str_of(plans[i].name))));
    }
    TR_ASSERT(tr_shape_make(&arena, root, shape, NULL) == TR_OK);
}

static void make_values(const leaf_plan *plan, tr_column *column, uint32_t count)
{
    tr_values *values = &column->values;
    values->storage = tr_kind_storage(plan->kind);
    values->is_distinct = plan->values != 0;
    values->count = count;
    if (values->storage == TR_STORAGE_KEY) {
        uint8_t(*keys)[16] = get(count, 16);
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t half = 0; half < 2; half++)
                memcpy(keys[i] + 8 * half, &(uint64_t){next_random()}, 8);
        values->keys = (const uint8_t(*)[16])keys;
    } else if (values->storage == TR_STORAGE_WORD) {
        uint64_t *words = get(count, sizeof *words);
        for (uint32_t i = 0; i < count; i++) {
            const double real = (double)i * 1.25;
            words[i] =
                plan->kind == TR_KIND_TIMESTAMP ? 1700000000000000 + i * UINT64_C(977131) : i;
            if (plan->kind == TR_KIND_DOUBLE)
                memcpy(&words[i], &real, sizeof real);
        }
        values->words = words;
    } else {
        tr_str *strings = get(count, sizeof *strings);
        for (uint32_t i = 0; i < count; i++) {
            char text[48];
            if (plan->values == 0)
                (void)snprintf(text, sizeof text, "%llx.%u@example.com",
                               (unsigned long long)next_random() >> 30, i);
            else
                (void)snprintf(text, sizeof text, "%s %u", plan->name, i);
            strings[i] = tr_arena_copy(&arena, tr_str_of(text));
            TR_ASSERT(strings[i].at != NULL);
        }
        values->strings = strings;
    }
}

/* Codes are skewed, as values of people are: a few are frequent. */
static void make_column(const leaf_plan *plan, uint32_t rows, tr_column *out)
{
    uint32_t *codes = get(rows, sizeof *codes);
    for (uint32_t row = 0; row < rows; row++) {
        const uint64_t random = next_random();
        const double part = (double)(random >> 32) / 4294967296.0;
        codes[row] = random % 100 < plan->nulls ? 0
                     : plan->values == 0        ? row + 1
                                                : 1 + (uint32_t)(part * part * plan->values);
    }
    *out = (tr_column){.rows = rows, .entries = rows, .codes = codes};
    make_values(plan, out, plan->values == 0 ? rows : plan->values);
}

typedef struct counter {
    uint64_t bytes;
    FILE *file;
    tr_buf *kept; /* may be NULL */
} counter;

static tr_code count_bytes(void *ctx, tr_str bytes, tr_err *err)
{
    counter *c = ctx;
    c->bytes += bytes.len;
    if (c->kept != NULL)
        TR_TRY(tr_buf_append(c->kept, bytes, err));
    if (c->file != NULL && fwrite(bytes.at, 1, bytes.len, c->file) != bytes.len)
        return TR_FAIL(err, TR_IO, "the file cannot be written");
    return TR_OK;
}

/* Of this process: others may use the machine, too. */
static double now(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_once(const tr_shape *shape, const tr_column *columns, uint32_t groups, counter *c)
{
    tr_err err = {0};
    tr_parquet_writer *writer = NULL;
    tr_code code = tr_parquet_writer_open((tr_sink){count_bytes, c}, shape, NULL, &writer, &err);
    for (uint32_t g = 0; g < groups && code == TR_OK; g++) {
        code = tr_parquet_begin_group(writer, columns[0].rows, &err);
        for (uint32_t leaf = 0; leaf < shape->leaf_count && code == TR_OK; leaf++)
            code = tr_parquet_put(writer, leaf, &columns[leaf], &err);
        if (code == TR_OK)
            code = tr_parquet_end_group(writer, &err);
    }
    if (code == TR_OK)
        code = tr_parquet_finish(writer, &err);
    tr_parquet_writer_close(writer);
    if (code != TR_OK) {
        (void)fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
}

static tr_code read_once(const tr_parquet_file *file, tr_arena *memory, uint64_t *entries,
                         tr_err *err)
{
    for (uint32_t group = 0; group < tr_parquet_group_count(file); group++)
        for (uint32_t leaf = 0; leaf < tr_parquet_shape(file)->leaf_count; leaf++) {
            tr_column column;
            TR_TRY(tr_parquet_read(file, group, leaf, 0, tr_parquet_group_rows(file, group), memory,
                                   &column, err));
            *entries += column.entries;
            tr_arena_reset(memory);
        }
    return TR_OK;
}

static void run_read(const tr_shape *shape, const tr_column *columns, uint32_t groups)
{
    tr_buf bytes = {0};
    tr_arena memory = {0};
    tr_err err = {0};
    double best = 1e9, best_open = 1e9;
    uint64_t entries = 0;
    write_once(shape, columns, groups, &(counter){.kept = &bytes});
    for (uint32_t round = 0; round < ROUNDS; round++) {
        tr_parquet_file *file = NULL;
        const double from = now();
        tr_code code = tr_parquet_open(tr_buf_str(&bytes), &file, &err);
        const double opened = now();
        if (code == TR_OK)
            code = read_once(file, &memory, &entries, &err);
        const double seconds = now() - opened;
        tr_parquet_close(file);
        if (code != TR_OK) {
            (void)fprintf(stderr, "%s\n", err.text);
            exit(1);
        }
        best = seconds < best ? seconds : best;
        best_open = opened - from < best_open ? opened - from : best_open;
    }
    printf("  read back: %.3f s of CPU, %.2f ns an entry; opened in %.3f ms\n", best,
           best * 1e9 * ROUNDS / (double)entries, best_open * 1e3);
    tr_arena_free(&memory);
    tr_buf_free(&bytes);
}

static void run(const char *what, uint32_t leaves, const tr_column *columns, uint32_t groups,
                const char *path)
{
    tr_shape shape;
    double best = 1e9;
    counter c = {0};
    make_shape(leaves, &shape);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        c = (counter){0};
        const double from = now();
        write_once(&shape, columns, groups, &c);
        const double seconds = now() - from;
        best = seconds < best ? seconds : best;
    }
    printf("%s: %u rows x %u columns: %.3f s of CPU, %llu bytes, peak %llu MB\n", what,
           columns[0].rows * groups, leaves, best, (unsigned long long)c.bytes,
           (unsigned long long)tr_memory_bytes_peak() >> 20);
    run_read(&shape, columns, groups);
    if (path == NULL)
        return;
    c = (counter){.file = fopen(path, "wb")};
    TR_ASSERT(c.file != NULL);
    write_once(&shape, columns, groups, &c);
    TR_ASSERT(fclose(c.file) == 0);
}

int main(int argc, char **argv)
{
    tr_column columns[LEAVES];
    const uint32_t rows = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 2 * GROUP_ROWS;
    const uint32_t groups = (rows + GROUP_ROWS - 1) / GROUP_ROWS;
    for (uint32_t i = 0; i < LEAVES; i++)
        make_column(&plans[i], rows / groups, &columns[i]);
    run("codes", LEAVES - 2, columns, groups, NULL);
    run("codes, key and e-mail", LEAVES, columns, groups, argc > 2 ? argv[2] : NULL);
    tr_arena_free(&arena);
    return 0;
}
