/* SPDX-License-Identifier: Apache-2.0 */
/* read_flip_test.c - a damaged file is an error or the same values. Goal: no flip, truncation or
 * overwritten stretch of a file crashes the reader, makes it read outside of the file, or yields a
 * value that was not written. Method: every bit of a file somebody else made (tests/golden/parquet)
 * and of one of our own, in a block of exactly its size; what still opens with the same schema must
 * hold the same values.
 * Also that parts of a column are what the whole column says.
 *
 *     read_flip_test PEER.parquet
 */
#include "base/test.h"
#include "codec/hash.h"
#include "os/os.h"
#include "parquet/read_internal.h"
#include "parquet/test_world.h"

static int passed, failed;
static tr_str peer; /* the file as it was made */
static tr_arena arena = {.bytes_max = 64 << 20};

static uint64_t mix(uint64_t digest, uint64_t value)
{
    return (digest ^ value) * UINT64_C(0x9E3779B97F4A7C15) + (digest >> 29);
}

static uint64_t mix_entry(uint64_t digest, const tr_column *column, uint32_t entry)
{
    digest = mix(digest, column->rep == NULL ? 0 : column->rep[entry]);
    digest = mix(digest, column->def == NULL ? 0 : column->def[entry]);
    if (column->codes[entry] == 0)
        return mix(digest, 77);
    const uint32_t at = column->codes[entry] - 1;
    if (column->values.storage == TR_STORAGE_WORD)
        return mix(digest, column->values.words[at]);
    if (column->values.storage == TR_STORAGE_KEY)
        return mix(digest, tr_hash64_of((tr_str){column->values.keys[at], 16}));
    return mix(digest, tr_hash64_of(column->values.strings[at]));
}

/* All values of rows [from, from + rows) of each group; in pieces of `step` rows. */
static tr_code digest_of(const tr_parquet_file *file, uint32_t step, uint64_t *out)
{
    uint64_t digest = tr_parquet_rows(file);
    const tr_shape *shape = tr_parquet_shape(file);
    for (uint32_t group = 0; group < tr_parquet_group_count(file); group++)
        for (uint32_t leaf = 0; leaf < shape->leaf_count; leaf++) {
            const uint32_t rows = tr_parquet_group_rows(file, group);
            for (uint64_t from = 0; from < rows; from += step) {
                const uint32_t left = rows - (uint32_t)from, count = left < step ? left : step;
                tr_column column;
                const tr_code code =
                    tr_parquet_read(file, group, leaf, (uint32_t)from, count, &arena, &column, NULL);
                for (uint32_t e = 0; code == TR_OK && e < column.entries; e++)
                    digest = mix_entry(digest, &column, e);
                tr_arena_reset(&arena);
                if (code != TR_OK)
                    return code;
            }
        }
    *out = digest;
    return TR_OK;
}

/* Opens, verifies and reads damaged bytes. True: all of it succeeded, with the peer's schema. */
static bool survives(tr_str bytes, const tr_parquet_file *good, uint32_t step, uint64_t *digest)
{
    tr_parquet_file *file = NULL;
    if (tr_parquet_open(bytes, &file, NULL) != TR_OK)
        return false;
    const bool is_whole =
        digest_of(file, step, digest) == TR_OK && tr_parquet_verify(file, NULL) == TR_OK &&
        tr_type_equal(tr_parquet_shape(file)->root, tr_parquet_shape(good)->root);
    (void)tr_parquet_metadata(file, "some key");
    tr_parquet_close(file);
    return is_whole;
}

static void pieces_are_the_whole(void)
{
    tr_parquet_file *file = NULL;
    uint64_t whole = 0;
    CHECK(tr_parquet_open(peer, &file, NULL) == TR_OK);
    if (file == NULL)
        return;
    CHECK(tr_parquet_rows(file) > 0);
    CHECK(tr_parquet_group_count(file) > 1);
    CHECK(digest_of(file, 100, &whole) == TR_OK);
    for (uint32_t step = 1; step < 20; step++) {
        uint64_t digest = 0;
        CHECK(digest_of(file, step, &digest) == TR_OK);
        CHECK(digest == whole);
    }
    CHECK(tr_parquet_verify(file, NULL) == TR_OK);
    tr_parquet_close(file);
}

/* True when the byte belongs to the body of a page, which its checksum covers. */
static bool is_in_page(const tr_parquet_file *file, size_t at)
{
    const size_t chunks = (size_t)file->group_count * file->shape.leaf_count;
    for (size_t i = 0; i < chunks; i++) {
        const tr_chunk *chunk = &file->chunks[i];
        for (uint64_t next = chunk->at; next < chunk->end;) {
            tr_page page;
            if (tr_page_head(file, chunk, next, &page, NULL) != TR_OK)
                abort();
            next = tr_page_end(file, &page);
            if (at < next && at >= next - page.body.len)
                return true;
        }
    }
    return false;
}

static void every_flipped_bit_is_an_error_or_harmless(void)
{
    tr_parquet_file *good = NULL;
    uint64_t whole = 0, digest = 0;
    uint32_t harmless = 0, wrong = 0, unnoticed = 0;
    uint8_t *bytes = tr_alloc(peer.len);
    CHECK(tr_parquet_open(peer, &good, NULL) == TR_OK);
    if (good == NULL || bytes == NULL || digest_of(good, 9, &whole) != TR_OK)
        abort();
    memcpy(bytes, peer.at, peer.len);
    for (size_t bit = 0; bit < peer.len * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        const uint32_t step = bit % 8 == 0 ? 9 : UINT32_MAX; /* pieces need the page index */
        if (survives((tr_str){bytes, peer.len}, good, step, &digest)) {
            harmless++;
            wrong += digest != whole;
            unnoticed += is_in_page(good, bit / 8);
            if (digest != whole)
                printf("bit %zu of byte %zu gives other values\n", bit % 8, bit / 8);
        }
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    printf("%zu flips, %u harmless\n", peer.len * 8, harmless);
    CHECK(wrong == 0);
    CHECK(unnoticed == 0);
    CHECK(harmless < peer.len * 8 / 2); /* statistics, and what else is not read */
    if (tr_parquet_metadata(good, TR_PQ_HASH_NAME).at != NULL)
        CHECK(harmless == 0); /* the file's own checksum covers the rest */
    tr_parquet_close(good);
    tr_free(bytes);
}

static void every_truncation_is_refused(void)
{
    for (size_t len = 0; len < peer.len; len++) {
        uint8_t *bytes = tr_alloc(len);
        tr_parquet_file *file = NULL;
        tr_err err = {0};
        if (bytes == NULL)
            abort();
        memcpy(bytes, peer.at, len);
        const tr_code code = tr_parquet_open((tr_str){bytes, len}, &file, &err);
        CHECK(code == (len < 4 ? TR_INVALID : TR_CORRUPT));
        CHECK(file == NULL);
        CHECK(err.text[0] != '\0');
        tr_free(bytes);
    }
}

/* Bytes cut out of the middle, with the footer still in place. */
static void missing_bytes_are_noticed(void)
{
    tr_parquet_file *good = NULL;
    uint64_t whole = 0, digest = 0;
    uint8_t *bytes = tr_alloc(peer.len);
    if (tr_parquet_open(peer, &good, NULL) != TR_OK || bytes == NULL ||
        digest_of(good, 9, &whole) != TR_OK)
        abort();
    for (size_t cut = 1; cut < 40; cut++)
        for (size_t at = 4; at + cut < peer.len; at += 61) {
            memcpy(bytes, peer.at, at);
            memcpy(bytes + at, peer.at + at + cut, peer.len - at - cut);
            if (survives((tr_str){bytes, peer.len - cut}, good, 9, &digest))
                CHECK(digest == whole);
        }
    tr_parquet_close(good);
    tr_free(bytes);
}

static void random_damage_never_gives_other_values(void)
{
    uint64_t seed = tr_test_seed(4711), whole = 0, digest = 0;
    tr_parquet_file *good = NULL;
    uint8_t *bytes = tr_alloc(peer.len);
    if (tr_parquet_open(peer, &good, NULL) != TR_OK || bytes == NULL ||
        digest_of(good, 9, &whole) != TR_OK)
        abort();
    for (int round = 0; round < 2000; round++) {
        memcpy(bytes, peer.at, peer.len);
        for (uint64_t n = 1 + tr_test_random(&seed) % 5; n > 0; n--) {
            const size_t at = tr_test_random(&seed) % peer.len;
            bytes[at] = (uint8_t)(bytes[at] + 1 + tr_test_random(&seed) % 3 * 85);
        }
        if (survives((tr_str){bytes, peer.len}, good, 9, &digest))
            CHECK(digest == whole);
    }
    tr_parquet_close(good);
    tr_free(bytes);
}

static void run_all(void)
{
    RUN(pieces_are_the_whole);
    RUN(every_flipped_bit_is_an_error_or_harmless);
    RUN(every_truncation_is_refused);
    RUN(missing_bytes_are_noticed);
    RUN(random_damage_never_gives_other_values);
}

int main(int argc, char **argv)
{
    tr_map map;
    if (argc != 2 || tr_map_open(argv[1], &map, NULL) != TR_OK) {
        printf("FAIL the_file_is_there\n");
        return 1;
    }
    peer = map.bytes;
    run_all();
    tr_buf own = {0};
    tr_world world;
    tr_world_make(&world, (tr_world_options){.seed = 57, .rows = 12, .depth_max = 3});
    if (tr_world_write(&world, 7, 4, &own, NULL) != TR_OK)
        failed++;
    peer = tr_buf_str(&own);
    run_all();
    tr_world_free(&world);
    tr_buf_free(&own);
    tr_arena_free(&arena);
    tr_map_close(&map);
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}
