/* SPDX-License-Identifier: Apache-2.0 */
/* test_world.c - see test_world.h. */
#include "parquet/test_world.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t draw(tr_world *w)
{
    w->seed ^= w->seed >> 12;
    w->seed ^= w->seed << 25;
    w->seed ^= w->seed >> 27;
    return w->seed * UINT64_C(2685821657736338717);
}

static uint32_t below(tr_world *w, uint32_t bound)
{
    return (uint32_t)((draw(w) >> 32) % bound);
}

static void need(bool is_fine)
{
    if (!is_fine)
        abort();
}

static void done(tr_code code)
{
    need(code == TR_OK);
}

/* Keys are bookkeeping: builders know them only where a row has one. */
static tr_type *random_type(tr_world *w, uint32_t depth, uint32_t number, bool is_inside)
{
    static const tr_kind kinds[] = {
        TR_KIND_BOOLEAN, TR_KIND_INT32,  TR_KIND_INT64, TR_KIND_DOUBLE, TR_KIND_STRING,
        TR_KIND_STRING,  TR_KIND_STRING, TR_KIND_DATE,  TR_KIND_KEY,    TR_KIND_TIMESTAMP,
        TR_KIND_OBJECT,  TR_KIND_OBJECT, TR_KIND_ARRAY, TR_KIND_ARRAY,  TR_KIND_MAP,
        TR_KIND_MAP};
    const uint32_t scalars = 10, all = sizeof kinds / sizeof *kinds;
    tr_kind kind = kinds[below(w, depth == 0 ? scalars : all)];
    if (kind == TR_KIND_KEY && is_inside)
        kind = TR_KIND_STRING;
    char name[16];
    (void)snprintf(name, sizeof name, "f%u", number);
    tr_type *type = tr_type_make(&w->arena, kind, tr_str_of(name));
    need(type != NULL);
    const uint32_t children = kind == TR_KIND_OBJECT ? 1 + below(w, 3)
                              : tr_kind_is_scalar(kind) ? 0
                                                        : 1;
    const bool is_within = is_inside || kind != TR_KIND_OBJECT;
    for (uint32_t i = 0; i < children; i++)
        need(tr_type_add(&w->arena, type, random_type(w, depth - 1, i, is_within)));
    return type;
}

static void add_value(tr_world *w, uint32_t leaf, uint8_t rep)
{
    tr_column_builder *builder = w->builders[leaf];
    const tr_kind kind = w->shape.leaves[leaf].kind;
    const uint32_t n = below(w, w->value_range);
    uint64_t word = n * UINT64_C(0x9E3779B97F4A7C15);
    if (kind == TR_KIND_STRING) {
        char text[64];
        const int len = snprintf(text, sizeof text, "%.*sv%u", (int)(n % 20),
                                 "--------------------", n);
        done(tr_column_add_string(builder, rep, (tr_str){(uint8_t *)text, (size_t)len}, NULL));
    } else if (kind == TR_KIND_KEY) {
        uint8_t key[16] = {0};
        memcpy(key, &word, sizeof word);
        done(tr_column_add_key(builder, key, NULL));
    } else {
        if (kind == TR_KIND_BOOLEAN)
            word = n % 2;
        if (kind == TR_KIND_INT32 || kind == TR_KIND_DATE)
            word = (uint64_t)(int64_t)(int32_t)word;
        done(tr_column_add_word(builder, rep, word, NULL));
    }
}

typedef struct place {
    uint8_t rep, def, rep_max;
} place;

static void add_nulls(tr_world *w, const tr_type *type, place at)
{
    for (uint32_t i = 0; i < type->leaf_count; i++)
        done(tr_column_add_null(w->builders[type->first_leaf + i], at.rep, at.def, NULL));
}

static void add_random(tr_world *w, const tr_type *type, place at);

static void add_entries(tr_world *w, const tr_type *type, place at)
{
    static const uint32_t lengths[] = {0, 1, 1, 2, 3, 9};
    const uint32_t length = lengths[below(w, 6)];
    if (length == 0)
        add_nulls(w, type, at);
    for (uint32_t i = 0; i < length; i++) {
        const place inner = {.rep = i == 0 ? at.rep : (uint8_t)(at.rep_max + 1),
                             .def = (uint8_t)(at.def + 1), .rep_max = (uint8_t)(at.rep_max + 1)};
        if (type->kind == TR_KIND_MAP)
            add_value(w, type->first_leaf, inner.rep);
        add_random(w, type->children[0], inner);
    }
}

/* A value of the type, or none; `at.def` is the level of what is above it. */
static void add_random(tr_world *w, const tr_type *type, place at)
{
    if (below(w, 100) < w->absent_percent) {
        add_nulls(w, type, at);
        return;
    }
    at.def++;
    if (tr_kind_is_scalar(type->kind))
        add_value(w, type->first_leaf, at.rep);
    else if (type->kind == TR_KIND_OBJECT)
        for (uint32_t i = 0; i < type->child_count; i++)
            add_random(w, type->children[i], at);
    else
        add_entries(w, type, at);
}

void tr_world_make(tr_world *w, tr_world_options options)
{
    static const uint32_t percents[] = {0, 2, 30, 95, 100}, ranges[] = {1, 2, 7, 300, 1000000};
    *w = (tr_world){.seed = options.seed == 0 ? 1 : options.seed, .rows = options.rows};
    tr_type *root = tr_type_make(&w->arena, TR_KIND_OBJECT, tr_str_of(""));
    need(root != NULL);
    for (uint32_t i = 0, n = 1 + below(w, 5); i < n; i++)
        need(tr_type_add(&w->arena, root, random_type(w, options.depth_max, i, false)));
    done(tr_shape_make(&w->arena, root, &w->shape, NULL));
    w->absent_percent = percents[below(w, 5)];
    w->value_range = ranges[below(w, 5)];
    w->builders = tr_arena_array(&w->arena, w->shape.leaf_count, sizeof(tr_column_builder *));
    w->columns = tr_arena_array(&w->arena, w->shape.leaf_count, sizeof *w->columns);
    need(w->builders != NULL && w->columns != NULL);
    for (uint32_t i = 0; i < w->shape.leaf_count; i++)
        done(tr_column_builder_open(&w->shape.leaves[i], &w->builders[i], NULL));
    for (uint32_t row = 0; row < w->rows; row++)
        for (uint32_t u = 0; u < w->shape.unit_count; u++)
            add_random(w, w->shape.units[u].type, (place){0});
    for (uint32_t i = 0; i < w->shape.leaf_count; i++) {
        done(tr_column_builder_view(w->builders[i], &w->columns[i], NULL));
        if (below(w, 2) == 0)
            w->columns[i].values.is_distinct = false; /* so that it is written PLAIN */
    }
}

void tr_world_free(tr_world *w)
{
    for (uint32_t i = 0; i < w->shape.leaf_count; i++)
        tr_column_builder_close(w->builders[i]);
    tr_arena_free(&w->arena);
}

/* Some rows of a column; its own memory, since row_start counts from the first. */
static tr_code pick(tr_arena *arena, const tr_column *in, uint32_t from, uint32_t rows,
                    tr_column *out, tr_err *err)
{
    uint32_t *wanted = tr_arena_alloc(arena, rows * sizeof *wanted);
    need(wanted != NULL);
    for (uint32_t i = 0; i < rows; i++)
        wanted[i] = from + i;
    return tr_column_pick(arena, in, wanted, rows, out, err);
}

static tr_code write_group(tr_world *w, tr_parquet_writer *writer, uint32_t from, uint32_t rows,
                           tr_err *err)
{
    tr_arena arena = {0};
    tr_code code = tr_parquet_begin_group(writer, rows, err);
    for (uint32_t leaf = 0; code == TR_OK && leaf < w->shape.leaf_count; leaf++) {
        tr_column column;
        code = pick(&arena, &w->columns[leaf], from, rows, &column, err);
        if (code == TR_OK)
            code = tr_parquet_put(writer, leaf, &column, err);
    }
    if (code == TR_OK)
        code = tr_parquet_end_group(writer, err);
    tr_arena_free(&arena);
    return code;
}

static tr_code append(void *ctx, tr_str bytes, tr_err *err)
{
    return tr_buf_append(ctx, bytes, err);
}

tr_code tr_world_write(tr_world *w, uint32_t group_rows, uint32_t page_rows, tr_buf *out,
                       tr_err *err)
{
    static const char *const metadata[] = {"empty", "", "tributary", "a world", NULL};
    tr_parquet_writer *writer = NULL;
    tr_code code = tr_parquet_writer_open(
        (tr_sink){append, out}, &w->shape,
        &(tr_parquet_options){.page_rows = page_rows, .metadata = metadata}, &writer, err);
    for (uint32_t from = 0; code == TR_OK && from < w->rows; from += group_rows) {
        const uint32_t left = w->rows - from;
        code = write_group(w, writer, from, left < group_rows ? left : group_rows, err);
    }
    if (code == TR_OK)
        code = tr_parquet_finish(writer, err);
    tr_parquet_writer_close(writer);
    return code;
}

static bool is_same_value(const tr_values *a, uint32_t x, const tr_values *b, uint32_t y)
{
    if (a->storage == TR_STORAGE_WORD)
        return a->words[x] == b->words[y];
    if (a->storage == TR_STORAGE_KEY)
        return memcmp(a->keys[x], b->keys[y], 16) == 0;
    return tr_str_equal(a->strings[x], b->strings[y]);
}

bool tr_world_is_same(const tr_column *a, const tr_column *b)
{
    if (a->rows != b->rows || a->entries != b->entries || a->values.storage != b->values.storage ||
        (a->row_start == NULL) != (b->row_start == NULL))
        return false;
    for (uint32_t e = 0; e < a->entries; e++) {
        if ((a->codes[e] == 0) != (b->codes[e] == 0))
            return false;
        if (a->row_start != NULL && (a->rep[e] != b->rep[e] || a->def[e] != b->def[e]))
            return false;
        if (a->codes[e] != 0 &&
            !is_same_value(&a->values, a->codes[e] - 1, &b->values, b->codes[e] - 1))
            return false;
    }
    for (uint32_t row = 0; a->row_start != NULL && row <= a->rows; row++)
        if (a->row_start[row] != b->row_start[row])
            return false;
    return true;
}
