/* SPDX-License-Identifier: Apache-2.0 */
/* schema.c - see schema.h. parquet_schema() lists the nodes of the tree depth first, each with how
 * many children follow it.
 */
#include "schema.h"
#include "base/limits.h"

#include <ctype.h>
#include <stdlib.h>

typedef struct node {
    tr_str name; /* arena */
    size_t parent;
    int64_t left; /* children not yet met */
} node;

typedef struct nodes {
    tr_arena arena;
    node *at;
    size_t count, cap;
} nodes;

static int compare_folded(tr_str a, tr_str b)
{
    for (size_t i = 0; i < a.len && i < b.len; i++) {
        const int x = tolower(a.at[i]), y = tolower(b.at[i]);
        if (x != y)
            return x - y;
    }
    return (a.len > b.len) - (a.len < b.len);
}

static int by_parent_and_name(const void *a, const void *b)
{
    const node *x = a, *y = b;
    if (x->parent != y->parent)
        return x->parent < y->parent ? -1 : 1;
    return compare_folded(x->name, y->name);
}

static tr_code add(nodes *all, tr_str name, int64_t children, size_t parent, tr_err *err)
{
    if (all->count == all->cap) {
        const size_t cap = all->cap == 0 ? 256 : all->cap * 2;
        node *grown = tr_grow_array(all->at, cap, sizeof *grown);
        if (grown == NULL)
            return TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a file");
        all->at = grown;
        all->cap = cap;
    }
    const tr_str copy = tr_arena_copy(&all->arena, name);
    if (copy.at == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for the columns of a file");
    all->at[all->count++] = (node){.name = copy, .parent = parent, .left = children};
    return TR_OK;
}

static tr_str string_at(duckdb_vector vector, uint64_t row)
{
    duckdb_string_t *s = (duckdb_string_t *)duckdb_vector_get_data(vector) + row;
    return (tr_str){(const uint8_t *)duckdb_string_t_data(s), duckdb_string_t_length(*s)};
}

static tr_code take_chunk(nodes *all, duckdb_data_chunk chunk, tr_err *err)
{
    duckdb_vector names = duckdb_data_chunk_get_vector(chunk, 0);
    const int64_t *children =
        duckdb_vector_get_data(duckdb_data_chunk_get_vector(chunk, 1));
    for (uint64_t row = 0; row < duckdb_data_chunk_get_size(chunk); row++) {
        size_t parent = all->count == 0 ? 0 : all->count - 1;
        while (parent > 0 && all->at[parent].left == 0)
            parent = all->at[parent].parent;
        if (all->count > 0)
            all->at[parent].left--;
        TR_TRY(add(all, string_at(names, row), children[row], parent, err));
    }
    return TR_OK;
}

static tr_code read_nodes(duckdb_result *result, nodes *all, tr_err *err)
{
    for (;;) {
        duckdb_data_chunk chunk;
        TR_TRY(tr_engine_next(result, &chunk, err));
        if (chunk == NULL)
            return TR_OK;
        const tr_code code = take_chunk(all, chunk, err);
        duckdb_destroy_data_chunk(&chunk);
        TR_TRY(code);
    }
}

static tr_code check(nodes *all, tr_err *err)
{
    if (all->count < 2)
        return TR_OK;
    /* The root is the parent of itself and of the columns: leave it out. */
    qsort(all->at + 1, all->count - 1, sizeof *all->at, by_parent_and_name);
    for (size_t i = 2; i < all->count; i++)
        if (by_parent_and_name(all->at + i - 1, all->at + i) == 0)
            return TR_FAIL(err, TR_INVALID,
                           "two columns of one level differ by case only: \"%.*s\" and \"%.*s\"",
                           TR_STR_ARG(all->at[i - 1].name), TR_STR_ARG(all->at[i].name));
    return TR_OK;
}

tr_code tr_schema_check(tr_engine *engine, const char *path, tr_err *err)
{
    nodes all = {0};
    duckdb_result result;
    tr_buf sql = {0};
    tr_code code = tr_buf_format(&sql, err,
                                 "SELECT name, coalesce(num_children, 0)::BIGINT FROM"
                                 " parquet_schema('%s')", path);
    if (code == TR_OK)
        code = tr_engine_start(engine, (const char *)sql.at, &result, err);
    if (code == TR_OK) {
        code = read_nodes(&result, &all, err);
        duckdb_destroy_result(&result);
    }
    if (code == TR_OK)
        code = check(&all, err);
    tr_buf_free(&sql);
    tr_free(all.at);
    tr_arena_free(&all.arena);
    return code;
}
