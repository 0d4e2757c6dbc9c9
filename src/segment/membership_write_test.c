/* SPDX-License-Identifier: Apache-2.0 */
/* membership_write_test.c - random members written as a run and read back, entry by entry; of as
 * many profiles as arrays have room for before they grow, and one less and more. */
#include "base/test.h"
#include "parquet/parquet.h"
#include "segment/membership.h"

enum { SEGMENTS = 130, ENTRIES_MAX = 5, PROFILES_MAX = 4000 };

typedef struct profile {
    uint8_t key[16];
    tr_membership_entry entries[ENTRIES_MAX];
    uint32_t count;
} profile;

static profile profiles[PROFILES_MAX];
static char ids[SEGMENTS][8];

static tr_code append(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

/* Keys ascend; segments of a profile do. Some profiles have no entries. */
static void make_profiles(uint32_t count, uint64_t *random)
{
    for (uint32_t p = 0; p < count; p++) {
        uint32_t segment = 0;
        profiles[p] = (profile){.count = 0};
        for (int i = 0; i < 4; i++)
            profiles[p].key[i] = (uint8_t)(p >> (24 - 8 * i));
        memcpy(profiles[p].key + 8, random, 8);
        for (uint32_t wanted = (uint32_t)(tr_test_random(random) % (ENTRIES_MAX + 1)); wanted > 0;
             wanted--) {
            segment += 1 + (uint32_t)(tr_test_random(random) % (SEGMENTS / ENTRIES_MAX - 1));
            profiles[p].entries[profiles[p].count++] = (tr_membership_entry){
                .segment = segment,
                .member = {(tr_status)(1 + tr_test_random(random) % 3),
                           (int64_t)(tr_test_random(random) % 700) * 1000000}};
        }
    }
}

static void write_profiles(uint32_t count, tr_buf *out)
{
    tr_membership_writer *writer = NULL;
    uint32_t numbers[SEGMENTS];
    CHECK(tr_membership_writer_open(1000, "batch", &writer, NULL) == TR_OK);
    for (uint32_t s = SEGMENTS; s-- > 0;) /* a number is not a place in an order */
        CHECK(tr_membership_segment(writer, tr_str_of(ids[s]), &numbers[s], NULL) == TR_OK);
    for (uint32_t p = 0; p < count; p++) {
        tr_membership_entry own[ENTRIES_MAX];
        for (uint32_t i = 0; i < profiles[p].count; i++)
            own[i] = (tr_membership_entry){numbers[profiles[p].entries[i].segment],
                                           profiles[p].entries[i].member};
        CHECK(tr_membership_add(writer, profiles[p].key, own, profiles[p].count, NULL) == TR_OK);
    }
    CHECK(tr_membership_write(writer, 0, (tr_sink){append, out}, NULL) == TR_OK);
    tr_membership_writer_close(writer);
}

typedef struct reading {
    tr_parquet_file *file;
    tr_arena arena;
    tr_column columns[4], keys;
    tr_membership_leaves leaves;
} reading;

static void read_group(reading *r, uint32_t group)
{
    const tr_shape *shape = tr_parquet_shape(r->file);
    const uint32_t unit = tr_shape_unit(shape, tr_str_of("segmentMembership"));
    const uint32_t rows = tr_parquet_group_rows(r->file, group);
    const uint32_t first = shape->units[unit].first_leaf;
    const tr_type *book = tr_type_member(shape->root, tr_str_of("_tributary"));
    CHECK(tr_membership_find_leaves(shape, unit, &r->leaves, NULL) == TR_OK);
    for (uint32_t leaf = 0; leaf < 4; leaf++)
        CHECK(tr_parquet_read(r->file, group, first + leaf, 0, rows, &r->arena, &r->columns[leaf],
                              NULL) == TR_OK);
    CHECK(tr_parquet_read(r->file, group, tr_type_member(book, tr_str_of("key"))->first_leaf, 0,
                          rows, &r->arena, &r->keys, NULL) == TR_OK);
}

static void check_profile(const reading *r, uint32_t row, const profile *wanted)
{
    tr_membership_walk walk;
    uint32_t found = 0;
    CHECK(memcmp(r->keys.values.keys[r->keys.codes[row] - 1], wanted->key, 16) == 0);
    tr_membership_begin(&walk, r->columns, &r->leaves, row);
    for (; tr_membership_next(&walk); found++) {
        CHECK(found < wanted->count && tr_str_is(walk.namespace, "ups"));
        if (found == wanted->count)
            return;
        const tr_membership_entry *entry = &wanted->entries[found];
        CHECK(tr_str_is(walk.segment, ids[entry->segment]));
        CHECK(walk.member.status == entry->member.status);
        CHECK(walk.member.since_us == entry->member.since_us);
    }
    CHECK(found == wanted->count);
}

static void check_round_trip(uint32_t count, uint64_t *random)
{
    tr_buf bytes = {0};
    reading r = {.file = NULL};
    uint32_t next = 0;
    make_profiles(count, random);
    write_profiles(count, &bytes);
    CHECK(tr_parquet_open(tr_buf_str(&bytes), &r.file, NULL) == TR_OK);
    CHECK(tr_parquet_verify(r.file, NULL) == TR_OK);
    for (uint32_t group = 0; group < tr_parquet_group_count(r.file); group++) {
        read_group(&r, group);
        for (uint32_t row = 0; row < r.keys.rows && next < count; row++, next++) {
            while (next < count && profiles[next].count == 0)
                next++;
            check_profile(&r, row, &profiles[next]);
        }
    }
    while (next < count && profiles[next].count == 0)
        next++;
    CHECK(next == count);
    tr_parquet_close(r.file);
    tr_arena_free(&r.arena);
    tr_buf_free(&bytes);
}

static void make_ids(void)
{
    for (uint32_t s = 0; s < SEGMENTS; s++)
        (void)snprintf(ids[s], sizeof ids[s], "s%03u", s);
}

static void members_are_read_as_they_were_written(void)
{
    static const uint32_t sizes[] = {1, 2, 300, 306, 307, 308, 1000, 2147, 2150, PROFILES_MAX};
    uint64_t random = tr_test_seed(20240315);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        check_round_trip(sizes[i], &random);
}

/* Profiles with an entry each: so many that an array is just full. */
static void any_number_of_rows_is_written(void)
{
    static const uint32_t sizes[] = {255, 256, 257, 767, 768, 769, 1791, 1792, 1793, 3840};
    uint64_t random = tr_test_seed(20240316);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        tr_buf bytes = {0};
        reading r = {.file = NULL};
        make_profiles(sizes[i], &random);
        for (uint32_t p = 0; p < sizes[i]; p++) {
            profiles[p].count = 1;
            profiles[p].entries[0] =
                (tr_membership_entry){p % SEGMENTS, {TR_REALIZED, (int64_t)p * 1000}};
        }
        write_profiles(sizes[i], &bytes);
        CHECK(tr_parquet_open(tr_buf_str(&bytes), &r.file, NULL) == TR_OK);
        CHECK(tr_parquet_rows(r.file) == sizes[i] && tr_parquet_group_count(r.file) == 1);
        read_group(&r, 0);
        for (uint32_t row = 0; row < sizes[i]; row++)
            check_profile(&r, row, &profiles[row]);
        tr_parquet_close(r.file);
        tr_arena_free(&r.arena);
        tr_buf_free(&bytes);
    }
}

int main(void)
{
    int passed = 0, failed = 0;
    make_ids();
    RUN(members_are_read_as_they_were_written);
    RUN(any_number_of_rows_is_written);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
