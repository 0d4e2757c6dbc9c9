/* SPDX-License-Identifier: Apache-2.0 */
/* rekey.c - see rekey.h. Here: which rows move, and the chunks they are sorted in; the walk is
 * refold.c's. */
#include "store/rekey.h"
#include "os/os.h"
#include "store/run.h"

#include <stdio.h>
#include <string.h>

enum { CHUNK_CELLS = 16 * 1000 * 1000 }; /* of a wide run a chunk has fewer rows */

/* The first move whose `from` is not below the key. */
static uint32_t lower_bound(const tr_moves *moves, const uint8_t key[16])
{
    uint32_t low = 0, high = moves->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (memcmp(moves->at[middle].from, key, 16) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const tr_moved *tr_moves_find(const tr_moves *moves, const uint8_t key[16])
{
    const uint32_t at = lower_bound(moves, key);
    return at < moves->count && memcmp(moves->at[at].from, key, 16) == 0 ? &moves->at[at] : NULL;
}

/* The move of every row of a row group, or NULL: keys and moves both ascend. */
static tr_code find_moves(const tr_run *run, uint32_t group, const tr_moves *moves,
                          const tr_moved **out, uint32_t *moved, tr_err *err)
{
    const uint32_t rows = tr_parquet_group_rows(run->file, group);
    uint8_t(*keys)[16] = tr_alloc_array((size_t)rows + 1, sizeof *keys);
    if (keys == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the keys of %u rows", rows);
    const tr_code code = tr_parquet_read_keys(run->file, group, run->key_leaf, keys, err);
    uint32_t at = code == TR_OK && rows > 0 ? lower_bound(moves, keys[0]) : 0;
    *moved = 0;
    for (uint32_t i = 0; i < rows && code == TR_OK; i++) {
        while (at < moves->count && memcmp(moves->at[at].from, keys[i], 16) < 0)
            at++;
        const bool is_its = at < moves->count && memcmp(moves->at[at].from, keys[i], 16) == 0;
        out[i] = is_its ? &moves->at[at] : NULL;
        *moved += is_its;
    }
    tr_free(keys);
    return code;
}

/* Room for the moves of the largest row group. */
static tr_code make_room(const tr_run *run, const tr_moved ***out, tr_err *err)
{
    uint32_t most = 0;
    for (uint32_t g = 0; g < tr_parquet_group_count(run->file); g++)
        if (tr_parquet_group_rows(run->file, g) > most)
            most = tr_parquet_group_rows(run->file, g);
    *out = tr_alloc_array((size_t)most + 1, sizeof **out);
    return *out != NULL ? TR_OK : TR_FAIL(err, TR_NO_MEMORY, "no memory for %u rows", most);
}

/* Whether some move is of a row group's partition: else its keys need not be read. */
static bool may_move(const tr_run *run, uint32_t group, const tr_moves *moves)
{
    const uint32_t partition = run->group_partition[group], bits = run->partition_bits;
    const uint32_t first = bits == 0 ? 0 : partition << (32 - bits);
    const uint8_t key[16] = {(uint8_t)(first >> 24), (uint8_t)(first >> 16), (uint8_t)(first >> 8),
                             (uint8_t)first};
    const uint32_t at = lower_bound(moves, key);
    return at < moves->count &&
           tr_key_partition(moves->at[at].from, run->partition_bits) == partition;
}

tr_code tr_rekey_look_at(const tr_run *run, const tr_moves *moves, tr_rekey_look *out, tr_err *err)
{
    const tr_moved **found = NULL;
    tr_rekey_look look = {.rows = 0};
    tr_hash_stream *hash = tr_hash_stream_open();
    tr_code code = hash == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory to look at a run")
                                : make_room(run, &found, err);
    const tr_moved *before = NULL;
    for (uint32_t g = 0; code == TR_OK && g < tr_parquet_group_count(run->file); g++) {
        uint32_t moved = 0;
        if (may_move(run, g, moves))
            code = find_moves(run, g, moves, found, &moved, err);
        look.rows += moved;
        for (uint32_t i = 0; code == TR_OK && moved > 0 && i < tr_parquet_group_rows(run->file, g);
             i++) {
            if (found[i] == NULL || found[i] == before)
                continue;
            before = found[i];
            tr_hash_stream_add(hash, (tr_str){before->from, sizeof *before});
        }
    }
    if (code == TR_OK) {
        look.digest = tr_hash_stream_now(hash);
        *out = look;
    }
    tr_free(found);
    tr_hash_stream_close(hash);
    return code;
}

/* ---- chunks */

typedef struct spill {
    tr_map map;
    tr_run *run;
} spill;

typedef struct rekeyer {
    const tr_run *run;
    const tr_moves *moves;
    const char *scratch;
    uint32_t chunk_rows;
    tr_arena arena;         /* as long as the work */
    tr_arena chunk;         /* as long as a chunk */
    tr_arena scratch_arena; /* as long as a leaf of a row group */
    tr_shape shape;         /* the run's, with identityKey */
    uint32_t key_leaf, identity_leaf;
    const tr_moved **found; /* of one row group */
    spill *spills;
    uint32_t spill_count;
} rekeyer;

static tr_code make_shape(rekeyer *r, tr_err *err)
{
    uint32_t leaves[TR_RUN_MEMBER_COUNT];
    tr_type *root = tr_type_copy(&r->arena, tr_parquet_shape(r->run->file)->root);
    tr_type *book = root == NULL ? NULL : tr_type_member(root, tr_str_of(TR_BOOKKEEPING));
    tr_type *own = tr_type_make(&r->arena, TR_KIND_KEY, tr_str_of(TR_RUN_IDENTITY_KEY));
    if (book == NULL || own == NULL || !tr_type_add(&r->arena, book, own))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to stitch run %s", r->run->id);
    TR_TRY(tr_shape_make(&r->arena, root, &r->shape, err));
    TR_TRY(tr_run_find_bookkeeping(&r->shape, leaves, err));
    if (r->chunk_rows > CHUNK_CELLS / r->shape.leaf_count + 1)
        r->chunk_rows = CHUNK_CELLS / r->shape.leaf_count + 1;
    r->key_leaf = leaves[TR_RUN_KEY];
    r->identity_leaf = tr_run_find_identity_key(&r->shape);
    return TR_OK;
}

/* The rows of row groups [from, to) that move. */
typedef struct chunk {
    uint32_t from, to;
    uint32_t rows;
    uint32_t **pick; /* per group: which of its rows */
    uint32_t *picked;
    uint8_t (*keys)[16]; /* their new ones */
} chunk;

static tr_code choose_rows(rekeyer *r, chunk *c, tr_err *err)
{
    const uint32_t groups = tr_parquet_group_count(r->run->file);
    c->to = c->from;
    c->pick = tr_arena_array(&r->chunk, groups - c->from, sizeof *c->pick);
    c->picked = tr_arena_array(&r->chunk, groups - c->from, sizeof *c->picked);
    if (c->pick == NULL || c->picked == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u row groups", groups);
    c->keys = tr_alloc_array(r->chunk_rows, sizeof *c->keys);
    uint32_t cap = r->chunk_rows;
    tr_code code =
        c->keys == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a chunk of keys") : TR_OK;
    for (; code == TR_OK && c->to < groups && c->rows < r->chunk_rows; c->to++) {
        const uint32_t rows = tr_parquet_group_rows(r->run->file, c->to), g = c->to - c->from;
        uint32_t moved = 0;
        code = find_moves(r->run, c->to, r->moves, r->found, &moved, err);
        c->pick[g] = tr_arena_alloc(&r->chunk, ((size_t)moved + 1) * sizeof **c->pick);
        if (code == TR_OK && c->rows + moved > cap) {
            cap = c->rows + moved;
            uint8_t(*grown)[16] = tr_grow_array(c->keys, cap, sizeof *grown);
            c->keys = grown != NULL ? grown : c->keys;
            if (grown == NULL)
                code = TR_FAIL(err, TR_NO_MEMORY, "no memory for %u keys", cap);
        }
        if (code == TR_OK && c->pick[g] == NULL)
            code = TR_FAIL(err, TR_NO_MEMORY, "no memory for %u rows", moved);
        for (uint32_t i = 0; code == TR_OK && i < rows; i++)
            if (r->found[i] != NULL) {
                memcpy(c->keys[c->rows++], r->found[i]->to, sizeof *c->keys);
                c->pick[g][c->picked[g]++] = i;
            }
    }
    return code;
}

/* Gives a column, whose codes are in the arena and in nobody else's hands, a table of its own: of
 * the values that it has. spare: as many numbers as the table it came with has values, and one. */
static tr_code own_values(tr_arena *arena, uint32_t *codes, uint32_t *spare, tr_column *column,
                          tr_err *err)
{
    tr_values own = {.storage = column->values.storage, .is_distinct = column->values.is_distinct};
    const size_t size = tr_storage_bytes(own.storage);
    for (uint32_t e = 0; e < column->entries; e++)
        spare[codes[e]] = UINT32_MAX;
    for (uint32_t v = 1; v <= column->values.count; v++)
        own.count += spare[v] != 0;
    uint8_t *table = tr_arena_alloc(arena, (size_t)own.count * size + 1);
    if (table == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u values", own.count);
    own.words = (const uint64_t *)(const void *)table;
    for (uint32_t v = 1, to = 0; v <= column->values.count; v++) {
        if (spare[v] == 0)
            continue;
        if (own.storage == TR_STORAGE_STRING) {
            const tr_str text = column->values.strings[v - 1];
            const tr_str copy = tr_arena_copy(arena, text);
            if (copy.at == NULL && text.len > 0)
                return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u values", own.count);
            memcpy(table + to * size, &copy, size);
        } else {
            memcpy(table + to * size, (const uint8_t *)column->values.words + (v - 1) * size, size);
        }
        spare[v] = ++to;
    }
    spare[0] = 0;
    for (uint32_t e = 0; e < column->entries; e++)
        codes[e] = spare[codes[e]];
    column->codes = codes;
    column->values = own;
    return TR_OK;
}

/* The rows of one row group that move, with nothing borrowed from it. */
static tr_code pick_group(rekeyer *r, const chunk *c, uint32_t g, uint32_t source, tr_column *out,
                          tr_err *err)
{
    tr_column column;
    const uint32_t group = c->from + g;
    tr_arena_reset(&r->scratch_arena);
    TR_TRY(tr_parquet_read(r->run->file, group, source, 0,
                           tr_parquet_group_rows(r->run->file, group), &r->scratch_arena, &column,
                           err));
    TR_TRY(tr_column_pick(&r->chunk, &column, c->pick[g], c->picked[g], out, err));
    uint32_t *codes = tr_arena_alloc(&r->chunk, ((size_t)out->entries + 1) * sizeof *codes);
    uint32_t *spare =
        tr_arena_array(&r->scratch_arena, (size_t)out->values.count + 1, sizeof *spare);
    if (codes == NULL || spare == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u rows", out->rows);
    memcpy(codes, out->codes, out->entries * sizeof *codes);
    return own_values(&r->chunk, codes, spare, out, err);
}

/* A leaf of the run for the rows of a chunk. */
static tr_code pick_leaf(rekeyer *r, const chunk *c, uint32_t source, const tr_leaf *leaf,
                         tr_column *out, tr_err *err)
{
    const uint32_t groups = c->to - c->from;
    tr_column *picked = tr_arena_array(&r->chunk, groups, sizeof *picked);
    const tr_column **parts = tr_arena_array(&r->chunk, groups, sizeof *parts);
    if (picked == NULL || parts == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u row groups", groups);
    for (uint32_t g = 0; g < groups; g++) {
        parts[g] = &picked[g];
        if (c->picked[g] == 0)
            TR_TRY(tr_column_absent(&r->chunk, leaf, 0, &picked[g], err));
        else
            TR_TRY(pick_group(r, c, g, source, &picked[g], err));
    }
    return tr_column_join(&r->chunk, leaf, parts, c->picked, groups, out, err);
}

static tr_code pick_columns(rekeyer *r, const chunk *c, tr_column *columns, tr_err *err)
{
    uint32_t *codes = tr_arena_alloc(&r->chunk, (size_t)c->rows * sizeof *codes);
    if (codes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u rows", c->rows);
    for (uint32_t i = 0; i < c->rows; i++)
        codes[i] = i + 1;
    for (uint32_t leaf = 0; leaf < r->shape.leaf_count; leaf++) {
        const tr_leaf *own = &r->shape.leaves[leaf];
        const uint32_t source = leaf == r->identity_leaf  ? r->run->key_leaf
                                : leaf > r->identity_leaf ? leaf - 1
                                                          : leaf;
        if (leaf != r->key_leaf) {
            TR_TRY(pick_leaf(r, c, source, own, &columns[leaf], err));
            continue;
        }
        columns[leaf] = (tr_column){.leaf = own,
                                    .rows = c->rows,
                                    .entries = c->rows,
                                    .codes = codes,
                                    .values = {.storage = TR_STORAGE_KEY, .count = c->rows}};
        columns[leaf].values.keys = (const uint8_t(*)[16])c->keys;
    }
    return TR_OK;
}

static tr_code put_file(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_file_write(ctx, bytes, err);
}

/* The file is mapped, then has no name any more: whatever happens, nothing is left. */
static tr_code write_spill(rekeyer *r, const tr_run_rows *rows, tr_err *err)
{
    char path[4096];
    tr_file file = TR_FILE_NONE;
    spill *own = &r->spills[r->spill_count];
    if ((size_t)snprintf(path, sizeof path, "%s-%u", r->scratch, r->spill_count) >= sizeof path)
        return TR_FAIL(err, TR_INVALID, "a scratch file's path is too long");
    TR_TRY(tr_file_replace(path, &file, err));
    tr_code code = tr_run_write(rows, (tr_sink){put_file, &file}, err);
    tr_file_close(&file);
    if (code == TR_OK)
        code = tr_map_open(path, &own->map, err);
    const tr_code removed = tr_file_remove(path, code == TR_OK ? err : NULL);
    if (code == TR_OK)
        r->spill_count++; /* closed with the rest from here on */
    if (code == TR_OK)
        code = removed;
    if (code == TR_OK)
        code = tr_run_open(own->map.bytes, r->run->id, r->run->dataset, &own->run, err);
    if (code == TR_OK) { /* rows carry what they carried */
        own->run->is_upsert = r->run->is_upsert;
        own->run->written_us = r->run->written_us;
        own->run->ingested_us = r->run->ingested_us;
        own->run->ingested_min_us = r->run->ingested_min_us;
    }
    return code;
}

static tr_code spill_chunk(rekeyer *r, uint32_t *group, tr_err *err)
{
    chunk c = {.from = *group};
    tr_column *columns = tr_alloc_zeroed(r->shape.leaf_count, sizeof *columns);
    tr_code code = columns == NULL ? TR_FAIL(err, TR_NO_MEMORY, "no memory for a chunk of rows")
                                   : choose_rows(r, &c, err);
    if (code == TR_OK && c.rows > 0)
        code = pick_columns(r, &c, columns, err);
    const tr_run_rows rows = {
        .shape = &r->shape, .columns = columns, .rows = c.rows, .is_event = r->run->is_event,
        .keeps_arrival = true};
    if (code == TR_OK && c.rows > 0)
        code = write_spill(r, &rows, err);
    *group = c.to;
    tr_free(c.keys);
    tr_free(columns);
    tr_arena_reset(&r->chunk);
    return code;
}

static tr_code spill_all(rekeyer *r, tr_err *err)
{
    const uint32_t groups = tr_parquet_group_count(r->run->file);
    TR_TRY(make_shape(r, err));
    TR_TRY(make_room(r->run, &r->found, err));
    r->spills = tr_alloc_zeroed((size_t)groups + 1, sizeof *r->spills);
    if (r->spills == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to stitch run %s", r->run->id);
    for (uint32_t group = 0; group < groups;)
        TR_TRY(spill_chunk(r, &group, err));
    return TR_OK;
}

static void close_all(rekeyer *r)
{
    for (uint32_t i = 0; i < r->spill_count; i++) {
        tr_run_close(r->spills[i].run);
        tr_map_close(&r->spills[i].map);
    }
    tr_free(r->spills);
    tr_free(r->found);
    tr_arena_free(&r->arena);
    tr_arena_free(&r->chunk);
    tr_arena_free(&r->scratch_arena);
}

tr_code tr_rekey(const tr_run *run, const tr_moves *moves, const char *scratch, uint32_t chunk_rows,
                 tr_sink sink, tr_refolded *out, tr_err *err)
{
    rekeyer r = {.run = run, .moves = moves, .scratch = scratch, .chunk_rows = chunk_rows};
    tr_code code = spill_all(&r, err);
    const tr_run **runs =
        code == TR_OK ? tr_arena_array(&r.arena, (size_t)r.spill_count + 1, sizeof *runs) : NULL;
    if (code == TR_OK && runs == NULL)
        code = TR_FAIL(err, TR_NO_MEMORY, "no memory to stitch run %s", run->id);
    if (code == TR_OK) {
        runs[0] = run;
        for (uint32_t i = 0; i < r.spill_count; i++)
            runs[i + 1] = r.spills[i].run;
        code = tr_refold_moved(runs, r.spill_count + 1, moves, sink, out, err);
    }
    close_all(&r);
    return code;
}
