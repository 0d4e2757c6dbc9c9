/* SPDX-License-Identifier: Apache-2.0 */
/* column_test.c - columns built, picked and joined.
 *
 * Goal: whatever is done to columns, every row keeps its levels and values. Method: random columns,
 * each beside a model that holds every entry with its value in full; and shapes worked out by hand.
 */
#include "base/check.h"
#include "base/test.h"
#include "parquet/column.h"

#include <string.h>

enum { ROWS_MAX = 60, ENTRIES_MAX = 400 };

/* An entry in full: text stands for the value, whatever its storage is. */
typedef struct entry {
    uint8_t rep, def;
    bool has_value;
    char text[17];
} entry;

typedef struct model {
    uint32_t rows, entries;
    uint32_t start[ROWS_MAX * 4 + 1];
    entry at[ENTRIES_MAX * 4];
} model;

static model m, want;  /* of the test that runs: too large for the stack */
static tr_arena types; /* of the leaves below */
static tr_shape shape;
static uint64_t seed;

static void make_shape(void)
{
    tr_type *root = tr_type_make(&types, TR_KIND_OBJECT, tr_str_of(""));
    tr_type *object = tr_type_make(&types, TR_KIND_OBJECT, tr_str_of("o"));
    const tr_kind kinds[] = {TR_KIND_INT64, TR_KIND_STRING, TR_KIND_KEY};
    TR_ASSERT(tr_type_add(&types, root, object));
    for (size_t i = 0; i < 3; i++)
        TR_ASSERT(tr_type_add(&types, object, tr_type_make(&types, kinds[i], tr_str_of("flat"))));
    for (size_t i = 0; i < 2; i++) {
        tr_type *list = tr_type_make(&types, TR_KIND_ARRAY, tr_str_of("list"));
        TR_ASSERT(tr_type_add(&types, object, list));
        TR_ASSERT(tr_type_add(&types, list, tr_type_make(&types, kinds[i], tr_str_of(""))));
    }
    TR_ASSERT(tr_shape_make(&types, root, &shape, NULL) == TR_OK);
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(tr_test_random(&seed) >> 33) % n;
}

static void text_of(tr_storage storage, uint32_t number, char out[17])
{
    memset(out, 0, 17);
    if (storage == TR_STORAGE_STRING)
        (void)snprintf(out, 17, number == 0 ? "" : "v%.*u", (int)(number % 9), number);
    else
        (void)snprintf(out, 17, "%08x", number);
}

static tr_code add_value(tr_column_builder *builder, tr_storage storage, uint8_t rep,
                         const char text[17])
{
    uint64_t word;
    memcpy(&word, text, sizeof word);
    if (storage == TR_STORAGE_WORD)
        return tr_column_add_word(builder, rep, word, NULL);
    if (storage == TR_STORAGE_STRING)
        return tr_column_add_string(builder, rep, tr_str_of(text), NULL);
    return tr_column_add_key(builder, (const uint8_t *)text, NULL);
}

static bool is_entry(const tr_column *column, uint32_t e, const entry *in_full)
{
    const uint32_t code = column->codes[e];
    if (column->def != NULL && (column->def[e] != in_full->def || column->rep[e] != in_full->rep))
        return false;
    if ((code != 0) != in_full->has_value || code > column->values.count)
        return false;
    if (code == 0)
        return true;
    if (column->values.storage == TR_STORAGE_STRING)
        return tr_str_is(tr_column_string(column, e), in_full->text);
    if (column->values.storage == TR_STORAGE_KEY)
        return memcmp(column->values.keys[code - 1], in_full->text, 16) == 0;
    const uint64_t word = tr_column_word(column, e);
    return memcmp(&word, in_full->text, 8) == 0;
}

static bool values_are_distinct(const tr_values *values)
{
    for (uint32_t i = 0; i < values->count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (values->storage == TR_STORAGE_WORD ? values->words[i] == values->words[k]
                : values->storage == TR_STORAGE_STRING
                    ? tr_str_equal(values->strings[i], values->strings[k])
                    : memcmp(values->keys[i], values->keys[k], 16) == 0)
                return false;
    return true;
}

/* The column is what the model says. */
static bool is_like(const tr_column *column, const model *to)
{
    if (column->rows != to->rows || column->entries != to->entries)
        return false;
    if (column->values.is_distinct && !values_are_distinct(&column->values))
        return false;
    for (uint32_t row = 0; column->row_start != NULL && row <= to->rows; row++)
        if (column->row_start[row] != to->start[row])
            return false;
    for (uint32_t e = 0; e < to->entries; e++)
        if (!is_entry(column, e, &to->at[e]))
            return false;
    return true;
}

static void model_add(model *to, const entry *e)
{
    if (e->rep == 0)
        to->start[to->rows++] = to->entries;
    to->at[to->entries++] = *e;
    to->start[to->rows] = to->entries;
}

static void add_random_row(tr_column_builder *builder, const tr_leaf *leaf, uint32_t distinct,
                           model *to)
{
    const uint32_t count = leaf->rep_max == 0 ? 1 : 1 + below(4);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t full = leaf->rep_max == 0 ? 1 : 3, low = i == 0 && count == 1 ? 0 : 2;
        const uint32_t number = below(distinct);
        entry e = {.rep = i > 0, .has_value = below(4) != 0};
        e.def = e.has_value ? full : leaf->rep_max == 0 ? 0 : (uint8_t)(low + below(full - low));
        if (e.has_value) {
            text_of(tr_kind_storage(leaf->kind), number, e.text);
            CHECK(add_value(builder, tr_kind_storage(leaf->kind), e.rep, e.text) == TR_OK);
        } else {
            CHECK(tr_column_add_null(builder, e.rep, e.def, NULL) == TR_OK);
        }
        model_add(to, &e);
    }
}

static tr_column_builder *random_column(const tr_leaf *leaf, model *to, tr_column *out)
{
    tr_column_builder *builder = NULL;
    const uint32_t rows = below(ROWS_MAX), distinct = 1 + below(40);
    *to = (model){0};
    CHECK(tr_column_builder_open(leaf, &builder, NULL) == TR_OK);
    for (uint32_t row = 0; row < rows; row++)
        add_random_row(builder, leaf, distinct, to);
    CHECK(tr_column_builder_view(builder, out, NULL) == TR_OK);
    return builder;
}

static void a_built_column_holds_what_was_added(void)
{
    for (uint32_t round = 0; round < 300; round++) {
        tr_column column;
        tr_column_builder *builder =
            random_column(&shape.leaves[round % shape.leaf_count], &m, &column);
        CHECK(is_like(&column, &m) && column.values.is_distinct);
        CHECK(tr_column_builder_entries(builder) == m.entries &&
              tr_column_builder_bytes(builder) > 0);
        tr_column_builder_close(builder);
    }
}

static void a_truncated_builder_is_as_if_the_rows_had_never_come(void)
{
    for (uint32_t round = 0; round < 300; round++) {
        const tr_leaf *leaf = &shape.leaves[round % shape.leaf_count];
        tr_column column;
        tr_column_builder *builder = random_column(leaf, &m, &column);
        want = m;
        for (uint32_t i = 0; i < 30; i++)
            add_random_row(builder, leaf, 100, &m);
        const uint32_t cut = below(want.rows + 1);
        want.rows = cut;
        want.entries = want.start[cut];
        tr_column_builder_truncate(builder, want.entries);
        CHECK(tr_column_builder_view(builder, &column, NULL) == TR_OK && is_like(&column, &want));
        uint32_t used = 0;
        for (uint32_t e = 0; e < column.entries; e++)
            used = column.codes[e] > used ? column.codes[e] : used;
        CHECK(column.values.count == used); /* no value of a forgotten row */
        for (uint32_t i = 0; i < 10; i++)
            add_random_row(builder, leaf, 100, &want);
        CHECK(tr_column_builder_view(builder, &column, NULL) == TR_OK && is_like(&column, &want));
        tr_column_builder_close(builder);
    }
}

static void a_picked_column_has_the_rows_that_were_picked(void)
{
    for (uint32_t round = 0; round < 300; round++) {
        const tr_leaf *leaf = &shape.leaves[round % shape.leaf_count];
        tr_column column, picked;
        tr_arena arena = {0};
        uint32_t pick[ROWS_MAX], count = below(ROWS_MAX);
        want = (model){0};
        tr_column_builder *builder = random_column(leaf, &m, &column);
        for (uint32_t i = 0; i < count; i++) {
            pick[i] = m.rows == 0 || below(6) == 0 ? UINT32_MAX : below(m.rows);
            if (i > 0 && below(2) == 0 && pick[i - 1] != UINT32_MAX && pick[i - 1] + 1 < m.rows)
                pick[i] = pick[i - 1] + 1;
            if (pick[i] == UINT32_MAX)
                model_add(&want, &(entry){0});
            else
                for (uint32_t e = m.start[pick[i]]; e < m.start[pick[i] + 1]; e++)
                    model_add(&want, &m.at[e]);
        }
        CHECK(tr_column_pick(&arena, &column, pick, count, &picked, NULL) == TR_OK &&
              is_like(&picked, &want));
        tr_column_builder_close(builder);
        tr_arena_free(&arena);
    }
}

static void a_joined_column_has_the_rows_of_all_parts(void)
{
    for (uint32_t round = 0; round < 300; round++) {
        const tr_leaf *leaf = &shape.leaves[round % shape.leaf_count];
        tr_column_builder *builders[4] = {0};
        tr_column columns[4], joined;
        const tr_column *parts[4] = {0};
        uint32_t part_rows[4] = {0};
        bool is_distinct = true;
        tr_arena arena = {0};
        want = (model){0};
        for (uint32_t i = 0; i < 4; i++) {
            part_rows[i] = below(3);
            if (below(4) == 0) {
                for (uint32_t row = 0; row < part_rows[i]; row++)
                    model_add(&want, &(entry){0});
                continue;
            }
            builders[i] = random_column(leaf, &m, &columns[i]);
            columns[i].values.is_distinct = round % 3 != 0 || below(3) != 0;
            is_distinct =
                is_distinct && (columns[i].values.is_distinct || columns[i].values.count == 0);
            parts[i] = &columns[i];
            for (uint32_t e = 0; e < m.entries; e++)
                model_add(&want, &m.at[e]);
        }
        CHECK(tr_column_join(&arena, leaf, parts, part_rows, 4, &joined, NULL) == TR_OK);
        CHECK(is_like(&joined, &want) && joined.values.is_distinct == is_distinct);
        for (uint32_t i = 0; i < 4; i++)
            tr_column_builder_close(builders[i]);
        tr_arena_free(&arena);
    }
}

static void joined_tables_are_in_order_of_first_occurrence(void)
{
    const uint64_t left[] = {5, 9}, right[] = {7, 9, 1};
    const uint32_t left_codes[] = {2, 0, 1}, right_codes[] = {2, 3, 1, 0};
    const tr_column a = {.rows = 3,
                         .entries = 3,
                         .codes = left_codes,
                         .values = {.is_distinct = true, .count = 2, .words = left}};
    const tr_column b = {.rows = 4,
                         .entries = 4,
                         .codes = right_codes,
                         .values = {.is_distinct = true, .count = 3, .words = right}};
    const tr_column *parts[] = {&a, NULL, &b};
    const uint32_t rows[] = {3, 1, 4}, codes[] = {2, 0, 1, 0, 2, 4, 3, 0};
    tr_column joined;
    tr_arena arena = {0};
    CHECK(tr_column_join(&arena, &shape.leaves[0], parts, rows, 3, &joined, NULL) == TR_OK);
    CHECK(joined.values.count == 4 && joined.values.words[0] == 5 && joined.values.words[1] == 9 &&
          joined.values.words[2] == 7 && joined.values.words[3] == 1);
    CHECK(joined.rows == 8 && memcmp(joined.codes, codes, sizeof codes) == 0);
    tr_arena_free(&arena);
}

static void an_absent_column_has_one_entry_a_row(void)
{
    tr_arena arena = {0};
    tr_column column;
    for (uint32_t i = 0; i < shape.leaf_count; i++)
        for (uint32_t rows = 0; rows < 5; rows++) {
            m = (model){0};
            for (uint32_t row = 0; row < rows; row++)
                model_add(&m, &(entry){0});
            CHECK(tr_column_absent(&arena, &shape.leaves[i], rows, &column, NULL) == TR_OK);
            CHECK(is_like(&column, &m) && column.values.is_distinct && column.values.count == 0);
        }
    tr_arena_free(&arena);
}

static void a_dictionary_that_does_not_pay_is_given_up(void)
{
    tr_column_builder *builder = NULL;
    tr_column column;
    CHECK(tr_column_builder_open(&shape.leaves[0], &builder, NULL) == TR_OK);
    for (uint64_t i = 0; i < 4096 + 4094; i++) /* half of the values are new */
        CHECK(tr_column_add_word(builder, 0, i / 2, NULL) == TR_OK);
    CHECK(tr_column_builder_view(builder, &column, NULL) == TR_OK && column.values.is_distinct);
    CHECK(column.values.count == 4095);
    for (uint64_t i = 0; i < 3; i++)
        CHECK(tr_column_add_word(builder, 0, 4095 + i, NULL) == TR_OK);
    CHECK(tr_column_builder_view(builder, &column, NULL) == TR_OK && !column.values.is_distinct);
    CHECK(column.values.count == 8193 && tr_column_word(&column, 8192) == 4097);
    tr_column_builder_truncate(builder, 8190);
    CHECK(tr_column_builder_view(builder, &column, NULL) == TR_OK && column.values.is_distinct);
    tr_column_builder_reset(builder);
    for (uint64_t i = 0; i < 210000; i++)
        CHECK(tr_column_add_word(builder, 0, i / 3, NULL) == TR_OK);
    CHECK(tr_column_builder_view(builder, &column, NULL) == TR_OK && column.values.is_distinct);
    CHECK(column.entries == 210000 && column.values.count == 70000);
    tr_column_builder_reset(builder);
    for (uint64_t i = 0; i < 20000; i++) /* nearly all of the first ones are new: given up */
        CHECK(tr_column_add_word(builder, 0, i < 4090 ? i : 7, NULL) == TR_OK);
    CHECK(tr_column_builder_view(builder, &column, NULL) == TR_OK && !column.values.is_distinct);
    CHECK(column.values.count == 20000 && tr_column_word(&column, 19999) == 7);
    tr_column_builder_close(builder);
}

static void running_out_of_memory_leaves_a_sound_builder(void)
{
    for (uint64_t after = 0; after < 40; after++) {
        tr_column_builder *builder = NULL;
        tr_column column;
        uint32_t added = 0;
        tr_memory_fail_after(after);
        const tr_code opened = tr_column_builder_open(&shape.leaves[4], &builder, NULL);
        for (uint32_t i = 0; opened == TR_OK && i < 500; i++)
            added +=
                tr_column_add_string(builder, 0, tr_str_of("some text" + i % 9), NULL) == TR_OK;
        tr_memory_fail_after(UINT64_MAX);
        CHECK(opened == TR_OK || opened == TR_NO_MEMORY);
        if (opened == TR_OK) {
            CHECK(tr_column_builder_view(builder, &column, NULL) == TR_OK);
            CHECK(column.entries == added && column.rows == added &&
                  column.row_start[added] == added);
        }
        tr_column_builder_close(builder);
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    seed = tr_test_seed(UINT64_C(0x5eed0c01));
    make_shape();
    RUN(a_built_column_holds_what_was_added);
    RUN(a_truncated_builder_is_as_if_the_rows_had_never_come);
    RUN(a_picked_column_has_the_rows_that_were_picked);
    RUN(a_joined_column_has_the_rows_of_all_parts);
    RUN(joined_tables_are_in_order_of_first_occurrence);
    RUN(an_absent_column_has_one_entry_a_row);
    RUN(a_dictionary_that_does_not_pay_is_given_up);
    RUN(running_out_of_memory_leaves_a_sound_builder);
    tr_arena_free(&types);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
