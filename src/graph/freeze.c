/* SPDX-License-Identifier: Apache-2.0 */
/* freeze.c - see freeze.h. Keys are uniform, so they are dealt into buckets by their first bits,
 * which are then sorted one by one.
 */
#include "graph/freeze.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKET_BITS_MAX = 18 };

static uint32_t bucket_of(const uint8_t key[16], uint32_t bits)
{
    return bits == 0 ? 0 : (uint32_t)(tr_key_token(key) >> (64 - bits));
}

/* Both kinds of entries begin with their key. */
static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

/* Sorts `count` entries of `size` bytes by the key they begin with. */
static tr_code sort_entries(void *entries, uint32_t count, size_t size, tr_err *err)
{
    uint32_t bits = 0;
    while (bits < BUCKET_BITS_MAX && count >> bits > 16)
        bits++;
    const uint32_t buckets = 1u << bits;
    uint8_t *from = entries, *to = tr_alloc_array((size_t)count + 1, size);
    uint32_t *starts = tr_alloc_zeroed((size_t)buckets + 1, sizeof *starts);
    if (to == NULL || starts == NULL) {
        tr_free(to);
        tr_free(starts);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to sort %u identities", count);
    }
    for (uint32_t i = 0; i < count; i++)
        starts[bucket_of(from + i * size, bits) + 1]++;
    for (uint32_t b = 0; b < buckets; b++)
        starts[b + 1] += starts[b];
    for (uint32_t i = 0; i < count; i++)
        memcpy(to + size * starts[bucket_of(from + i * size, bits)]++, from + i * size, size);
    for (uint32_t b = 0; b < buckets; b++) { /* starts[b] is now the end of bucket b */
        const uint32_t first = b == 0 ? 0 : starts[b - 1];
        qsort(to + first * size, starts[b] - first, size, compare_keys);
    }
    if (count > 0)
        memcpy(from, to, count * size);
    tr_free(to);
    tr_free(starts);
    return TR_OK;
}

static void count_all(const tr_clusters *clusters, uint32_t nodes, uint32_t *moved,
                      uint32_t *anchors)
{
    *moved = *anchors = 0;
    for (uint32_t node = 0; node < nodes; node++) {
        const uint32_t *members;
        if (tr_clusters_anchor(clusters, node) != node)
            ++*moved;
        else if (tr_clusters_members(clusters, node, &members) > 1)
            ++*anchors;
    }
}

static void fill(const tr_clusters *clusters, uint32_t nodes, tr_frozen *out)
{
    tr_node own, anchor;
    for (uint32_t node = 0; node < nodes; node++) {
        const uint32_t *members;
        const uint32_t to = tr_clusters_anchor(clusters, node);
        if (to == node && tr_clusters_members(clusters, node, &members) < 2)
            continue;
        tr_clusters_describe(clusters, node, &own);
        if (to == node) {
            tr_frozen_anchor *at = &out->anchors[out->anchor_count++];
            memcpy(at->key, own.key, sizeof at->key);
            at->node = node;
            continue;
        }
        tr_clusters_describe(clusters, to, &anchor);
        tr_moved *at = &out->moved[out->moves.count++];
        memcpy(at->from, own.key, sizeof at->from);
        memcpy(at->to, anchor.key, sizeof at->to);
    }
    out->moves.at = out->moved;
}

tr_code tr_freeze(const tr_clusters *clusters, tr_frozen *out, tr_err *err)
{
    tr_frozen frozen = {.moved = NULL};
    tr_clusters_stats stats;
    uint32_t moved, anchors;
    tr_clusters_stats_of(clusters, &stats);
    const uint32_t nodes = (uint32_t)stats.nodes;
    count_all(clusters, nodes, &moved, &anchors);
    frozen.moved = tr_alloc_array((size_t)moved + 1, sizeof *frozen.moved);
    frozen.anchors = tr_alloc_array((size_t)anchors + 1, sizeof *frozen.anchors);
    tr_code code =
        frozen.moved == NULL || frozen.anchors == NULL
            ? TR_FAIL(err, TR_NO_MEMORY, "no memory for the clusters of %u identities", nodes)
            : TR_OK;
    if (code == TR_OK) {
        fill(clusters, nodes, &frozen);
        code = sort_entries(frozen.moved, moved, sizeof *frozen.moved, err);
    }
    if (code == TR_OK)
        code = sort_entries(frozen.anchors, anchors, sizeof *frozen.anchors, err);
    if (code != TR_OK) {
        tr_frozen_clear(&frozen);
        return code;
    }
    tr_hash128_text(
        tr_hash128_of((tr_str){(const uint8_t *)frozen.moved, moved * sizeof *frozen.moved}),
        frozen.digest);
    *out = frozen;
    return TR_OK;
}

void tr_frozen_clear(tr_frozen *frozen)
{
    tr_free(frozen->moved);
    tr_free(frozen->anchors);
    *frozen = (tr_frozen){0};
}
