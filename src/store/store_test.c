/* SPDX-License-Identifier: Apache-2.0 */
/* store_test.c - runs: their order, their cuts, what a damaged footer does; keys; the sort.
 *
 * Goal: a run is sorted, stable and cut at borders, and nothing that a file says is believed unchecked.
 * Method: small runs in memory; the sort against a slow one on random keys.
 */
#include "base/test.h"
#include "store/rows.h"
#include "store/sort.h"
#include "store/store.h"

#include <string.h>

static tr_code into_buf(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

typedef struct sample {
    tr_arena arena;
    tr_shape shape;
    tr_column columns[7];
    uint32_t rows;
    tr_buf bytes;
} sample;

static void *get(sample *s, size_t count, size_t size)
{
    void *memory = tr_arena_array(&s->arena, count, size);
    if (memory == NULL)
        exit(3);
    return memory;
}

static tr_column column_of(sample *s, tr_storage storage, const void *values, uint32_t count)
{
    uint32_t *codes = get(s, s->rows, sizeof *codes);
    for (uint32_t row = 0; row < s->rows; row++)
        codes[row] = count == 1 ? 1 : row + 1;
    return (tr_column){.rows = s->rows, .entries = s->rows, .codes = codes,
                       .values = {.storage = storage, .is_distinct = count == 1, .count = count, .words = values}};
}

/* Rows with the given keys; column "n" counts them. */
static void make_sample(sample *s, const uint8_t (*keys)[16], uint32_t rows)
{
    *s = (sample){.rows = rows};
    tr_type *root = tr_type_make(&s->arena, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *n = tr_type_make(&s->arena, TR_KIND_INT64, tr_str_of("n"));
    CHECK(tr_type_add(&s->arena, root, n) && tr_run_add_bookkeeping(&s->arena, root) != NULL);
    CHECK(tr_shape_make(&s->arena, root, &s->shape, NULL) == TR_OK);
    CHECK(s->shape.leaf_count == 7);
    uint64_t *numbers = get(s, rows, sizeof *numbers), *time = get(s, 1, sizeof *time);
    tr_str *text = get(s, 1, sizeof *text);
    for (uint32_t row = 0; row < rows; row++)
        numbers[row] = row;
    time[0] = 1000;
    text[0] = tr_str_of("x");
    s->columns[0] = column_of(s, TR_STORAGE_WORD, numbers, rows);
    s->columns[1] = column_of(s, TR_STORAGE_KEY, keys, rows);
    s->columns[2] = s->columns[3] = s->columns[6] = column_of(s, TR_STORAGE_STRING, text, 1);
    s->columns[4] = s->columns[5] = column_of(s, TR_STORAGE_WORD, time, 1);
}

static tr_code write_sample(sample *s, uint8_t bits_min)
{
    return tr_run_write(&(tr_run_rows){.shape = &s->shape, .columns = s->columns, .rows = s->rows,
                                       .bits_min = bits_min}, (tr_sink){into_buf, &s->bytes}, NULL);
}

static void free_sample(sample *s)
{
    tr_buf_free(&s->bytes);
    tr_arena_free(&s->arena);
}

static void random_keys(uint64_t *random, uint8_t (*keys)[16], uint32_t rows, uint32_t distinct)
{
    uint8_t pool[64][16];
    for (uint32_t i = 0; i < 64 * 2; i++) {
        const uint64_t word = tr_test_random(random);
        memcpy(&pool[i / 2][i % 2 * 8], &word, 8);
    }
    memset(pool[0], 0, 16);
    for (uint32_t row = 0; row < rows; row++)
        memcpy(keys[row], pool[tr_test_random(random) % distinct], 16);
}

static void rows_of_a_run_are_sorted_by_key_and_stay_in_order_of_arrival(void)
{
    enum { ROWS = 3000 };
    static uint8_t keys[ROWS][16];
    uint64_t random = tr_test_seed(0x51f15eed);
    random_keys(&random, keys, ROWS, 40);
    sample s;
    tr_run *run = NULL;
    make_sample(&s, (const uint8_t(*)[16])keys, ROWS);
    CHECK(write_sample(&s, 3) == TR_OK);
    CHECK(tr_run_open(tr_buf_str(&s.bytes), "r", "d", &run, NULL) == TR_OK);
    uint32_t seen = 0, before_n = 0;
    uint8_t before[16] = {0};
    for (uint32_t g = 0; run != NULL && g < tr_parquet_group_count(run->file); g++) {
        const uint32_t rows = tr_parquet_group_rows(run->file, g);
        tr_column key, n;
        CHECK(tr_parquet_read(run->file, g, run->key_leaf, 0, rows, &s.arena, &key, NULL) == TR_OK);
        CHECK(tr_parquet_read(run->file, g, 0, 0, rows, &s.arena, &n, NULL) == TR_OK);
        for (uint32_t row = 0; row < rows; row++, seen++) {
            const uint8_t *own = key.values.keys[key.codes[row] - 1];
            const uint32_t number = (uint32_t)tr_column_word(&n, row);
            const int order = memcmp(before, own, 16);
            CHECK(order < 0 || (order == 0 && (seen == 0 || before_n < number)));
            CHECK(memcmp(own, keys[number], 16) == 0);
            CHECK(tr_key_partition(own, run->partition_bits) == run->group_partition[g]);
            memcpy(before, own, 16);
            before_n = number;
        }
    }
    CHECK(seen == ROWS);
    CHECK(run != NULL && run->partition_bits == 3 && !run->is_event && run->ingested_us == 1000);
    tr_run_close(run);
    free_sample(&s);
}

/* Whether both walks found the same profiles, with the same records. */
static bool are_same_groups(const tr_groups *a, const tr_groups *b, uint8_t (*a_keys)[16],
                            uint8_t (*b_keys)[16])
{
    return a->count == b->count && memcmp(a_keys, b_keys, a->count * sizeof *a_keys) == 0 &&
           memcmp(a->start, b->start, (a->count + 1) * sizeof *a->start) == 0 &&
           memcmp(a->rows, b->rows, a->start[a->count] * sizeof *a->rows) == 0;
}

static void check_walk(const tr_rows *records, const tr_rows *events, bool with_event_only)
{
    tr_arena arena = {0}, scratch = {0};
    uint8_t(*keys)[16] = NULL, (*all_keys)[16] = NULL;
    tr_groups all = {0}, all_events = {0}, found = {0}, none = {0};
    tr_walk walk = {.records = records, .events = events, .with_event_only = with_event_only,
                    .scratch = &scratch, .keys = &all_keys};
    CHECK(tr_walk_profiles(&walk, &arena, &all, &all_events, NULL) == TR_OK);
    walk.keys = &keys;
    walk.is_by_key = true;
    CHECK(tr_walk_profiles(&walk, &arena, &found, &none, NULL) == TR_OK);
    CHECK(none.start == NULL && are_same_groups(&all, &found, all_keys, keys));
    tr_arena_free(&scratch);
    tr_arena_free(&arena);
}

/* Few runs and many, which are walked otherwise; cut finer than they are, and as they are. */
static void who_has_events_is_told_without_counting_them(void)
{
    enum { RUNS = 30, ROWS = 700, EVENTS = 1500 };
    static uint8_t keys[ROWS][16], more[EVENTS][16];
    static sample s[RUNS];
    const tr_run *runs[RUNS];
    uint64_t random = tr_test_seed(0xe7e27);
    const uint64_t pool = random; /* the same keys in all runs */
    for (uint32_t r = 0; r < RUNS; r++) {
        uint64_t own = pool;
        tr_run *run = NULL;
        random_keys(&own, more, EVENTS, r % 2 == 0 ? 64 : 40);
        for (uint32_t i = 0; i < ROWS; i++)
            memcpy(keys[i], more[tr_test_random(&random) % EVENTS], 16);
        make_sample(&s[r], (const uint8_t(*)[16])keys, ROWS);
        CHECK(write_sample(&s[r], (uint8_t)(r % 3)) == TR_OK);
        CHECK(tr_run_open(tr_buf_str(&s[r].bytes), "r", "d", &run, NULL) == TR_OK);
        runs[r] = run;
    }
    for (uint32_t count = 3; count <= RUNS; count += RUNS - 3) {
        tr_arena arena = {0};
        tr_borders borders, event_borders;
        CHECK(tr_borders_make(runs, 1, 2, &arena, &borders, NULL) == TR_OK);
        CHECK(tr_borders_make(runs + 1, count - 1, 2, &arena, &event_borders, NULL) == TR_OK);
        for (uint32_t p = 0; p < 4; p++) {
            tr_rows records, events;
            CHECK(tr_rows_of(&borders, p, &arena, &records, NULL) == TR_OK);
            CHECK(tr_rows_of(&event_borders, p, &arena, &events, NULL) == TR_OK);
            check_walk(&records, &events, true);
            check_walk(&records, &events, false);
        }
        tr_arena_free(&arena);
    }
    for (uint32_t r = 0; r < RUNS; r++) {
        union { const tr_run *in; tr_run *out; } run = {.in = runs[r]};
        tr_run_close(run.out);
        free_sample(&s[r]);
    }
}

static void check_later(const tr_rows *rows, int64_t after_us)
{
    tr_arena arena = {0};
    const int64_t *times = NULL;
    uint32_t *found = NULL, count = 0, at = 0;
    CHECK(tr_rows_times(rows, TR_ROW_INGESTED, &arena, &times, NULL) == TR_OK);
    CHECK(tr_rows_ingested_after(rows, after_us, &arena, &found, &count, NULL) == TR_OK);
    for (uint32_t number = 1; number < rows->end; number++)
        if (times[number] > after_us)
            CHECK(at < count && found[at++] == number);
    CHECK(at == count);
    tr_arena_free(&arena);
}

/* A run of one time, one of three, and one of a time a row. */
static void who_is_newer_is_told_by_times(void)
{
    enum { RUNS = 3, ROWS = 900 };
    static uint8_t keys[ROWS][16];
    static uint64_t times[ROWS];
    static sample s[RUNS];
    const tr_run *runs[RUNS];
    tr_arena arena = {0};
    tr_borders borders;
    uint64_t random = tr_test_seed(0x1a7e);
    for (uint32_t r = 0; r < RUNS; r++) {
        tr_run *run = NULL;
        random_keys(&random, keys, ROWS, 64);
        make_sample(&s[r], (const uint8_t(*)[16])keys, ROWS);
        for (uint32_t row = 0; row < ROWS; row++)
            times[row] = 1000 + (r == 1 ? row % 3 : row);
        if (r > 0)
            s[r].columns[5] = column_of(&s[r], TR_STORAGE_WORD, times, ROWS);
        CHECK(write_sample(&s[r], 1) == TR_OK);
        CHECK(tr_run_open(tr_buf_str(&s[r].bytes), "r", "d", &run, NULL) == TR_OK);
        CHECK(run->ingested_min_us == 1000 && run->ingested_us == (r == 0   ? 1000
                                                                   : r == 1 ? 1002
                                                                            : 1000 + ROWS - 1));
        runs[r] = run;
    }
    CHECK(tr_borders_make(runs, RUNS, 1, &arena, &borders, NULL) == TR_OK);
    for (uint32_t p = 0; p < 2; p++) {
        tr_rows rows;
        CHECK(tr_rows_of(&borders, p, &arena, &rows, NULL) == TR_OK);
        for (int64_t after_us = 998; after_us < 1004; after_us++)
            check_later(&rows, after_us);
        check_later(&rows, 1000 + ROWS);
    }
    tr_arena_free(&arena);
    for (uint32_t r = 0; r < RUNS; r++) {
        union { const tr_run *in; tr_run *out; } run = {.in = runs[r]};
        tr_run_close(run.out);
        free_sample(&s[r]);
    }
}

static int compare_words(const void *ctx, uint32_t a, uint32_t b)
{
    const uint64_t *words = ctx;
    return words[a] < words[b] ? -1 : words[a] > words[b];
}

static void the_sort_is_stable(void)
{
    enum { ROWS = 1000 };
    static uint64_t words[ROWS];
    static uint32_t rows[ROWS], spare[ROWS];
    uint64_t random = tr_test_seed(0xabc);
    for (uint32_t count = 0; count < ROWS; count = count * 3 / 2 + 1) {
        for (uint32_t i = 0; i < count; i++) {
            words[i] = tr_test_random(&random) % 50;
            rows[i] = i;
        }
        tr_sort_rows(rows, spare, count, compare_words, words);
        for (uint32_t i = 1; i < count; i++)
            CHECK(words[rows[i - 1]] < words[rows[i]] ||
                  (words[rows[i - 1]] == words[rows[i]] && rows[i - 1] < rows[i]));
    }
}

static void a_run_of_no_rows_opens(void)
{
    sample s;
    tr_run *run = NULL;
    make_sample(&s, NULL, 0);
    CHECK(write_sample(&s, 0) == TR_OK);
    CHECK(tr_run_open(tr_buf_str(&s.bytes), "r", "d", &run, NULL) == TR_OK);
    CHECK(run != NULL && run->rows == 0);
    tr_run_close(run);
    free_sample(&s);
}

/* Replaces a text in the file by one of the same length. */
static bool patch(tr_buf *bytes, const char *from, const char *to)
{
    const size_t len = strlen(from);
    uint8_t *at = memmem(bytes->at, bytes->len, from, len);
    if (at == NULL || strlen(to) != len)
        return false;
    memcpy(at, to, len);
    return true;
}

static void a_footer_that_lies_is_refused(void)
{
    static const char *const lies[][2] = {
        {"\"bits\":1,", "\"bits\":0,"},                  /* a partition beyond the last */
        {"\"partitions\":[0,1]", "\"partitions\":[1,0]"}, /* out of order */
        {"\"partitions\":[0,1]", "\"partitions\":[001]"}, /* not JSON */
        {"\"record\"", "\"recall\""},
        {"tributary.run", "tributary.ran"},
    };
    static const uint8_t keys[2][16] = {{1}, {200}};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        sample s;
        tr_run *run = NULL;
        tr_err err = {0};
        make_sample(&s, keys, 2);
        CHECK(write_sample(&s, 1) == TR_OK);
        CHECK(patch(&s.bytes, lies[i][0], lies[i][1]));
        const tr_code code = tr_run_open(tr_buf_str(&s.bytes), "r", "d", &run, &err);
        CHECK(code == TR_CORRUPT || code == TR_INVALID);
        CHECK(run == NULL);
        free_sample(&s);
    }
}

static void spelling_of_a_namespace_does_not_change_the_key(void)
{
    static const uint8_t secret[192] = {7}, other[192] = {8};
    uint8_t a[16], b[16], c[16], d[16];
    tr_profile_key(secret, tr_str_of("Email"), tr_str_of("Noor@example.org"), a);
    tr_profile_key(secret, tr_str_of("EMAIL"), tr_str_of("Noor@example.org"), b);
    tr_profile_key(secret, tr_str_of("Email"), tr_str_of("noor@example.org"), c);
    tr_profile_key(other, tr_str_of("Email"), tr_str_of("Noor@example.org"), d);
    CHECK(memcmp(a, b, 16) == 0);
    CHECK(memcmp(a, c, 16) != 0);
    CHECK(memcmp(a, d, 16) != 0);
    static const char long_id[2000] = {'x'};
    tr_profile_key(secret, tr_str_of("Email"), (tr_str){(const uint8_t *)long_id, sizeof long_id}, c);
    CHECK(memcmp(a, c, 16) != 0);
}

static void partitions_hold_about_as_many_rows_as_planned(void)
{
    CHECK(tr_run_bits_for(0) == 0);
    CHECK(tr_run_bits_for(TR_RUN_PARTITION_ROWS) == 0);
    CHECK(tr_run_bits_for(TR_RUN_PARTITION_ROWS * 2) == 1);
    CHECK(tr_run_bits_for(UINT64_MAX) == TR_RUN_PARTITION_BITS_MAX);
}

/* The finer borders of a coarse run hold all its rows, each in its place. */
static void a_coarse_run_is_cut_finer_without_loss(void)
{
    enum { ROWS = 500, BITS = 4 };
    static uint8_t keys[ROWS][16];
    uint64_t random = tr_test_seed(0x77);
    random_keys(&random, keys, ROWS, 64);
    sample s;
    tr_run *run = NULL;
    tr_borders borders;
    make_sample(&s, (const uint8_t(*)[16])keys, ROWS);
    CHECK(write_sample(&s, 1) == TR_OK);
    CHECK(tr_run_open(tr_buf_str(&s.bytes), "r", "d", &run, NULL) == TR_OK);
    const tr_run *const runs[] = {run};
    CHECK(tr_borders_make(runs, 1, BITS, &s.arena, &borders, NULL) == TR_OK);
    uint32_t seen = 0;
    for (uint32_t p = 0; p < 1u << BITS; p++) {
        tr_rows rows;
        CHECK(tr_rows_of(&borders, p, &s.arena, &rows, NULL) == TR_OK);
        for (uint32_t i = 0; i < rows.slice_count; i++) {
            tr_column key;
            const tr_slice *slice = &rows.slices[i];
            CHECK(tr_parquet_read(run->file, slice->group, run->key_leaf, slice->from, slice->rows, &s.arena,
                                  &key, NULL) == TR_OK);
            for (uint32_t row = 0; row < slice->rows; row++)
                CHECK(tr_key_partition(key.values.keys[key.codes[row] - 1], BITS) == p);
            seen += slice->rows;
        }
    }
    CHECK(seen == ROWS);
    tr_run_close(run);
    free_sample(&s);
}

int main(void)
{
    int passed = 0, failed = 0;
    RUN(who_has_events_is_told_without_counting_them);
    RUN(who_is_newer_is_told_by_times);
    RUN(rows_of_a_run_are_sorted_by_key_and_stay_in_order_of_arrival);
    RUN(the_sort_is_stable);
    RUN(a_run_of_no_rows_opens);
    RUN(a_footer_that_lies_is_refused);
    RUN(spelling_of_a_namespace_does_not_change_the_key);
    RUN(partitions_hold_about_as_many_rows_as_planned);
    RUN(a_coarse_run_is_cut_finer_without_loss);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
