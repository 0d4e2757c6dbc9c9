/* SPDX-License-Identifier: Apache-2.0 */
/* clusters.c - see clusters.h: nodes by key, what a node is, a row's links; the layout is in
 * clusters_internal.h.
 */
#include "identity/clusters_internal.h"
#include "base/clock.h"
#include "codec/hash.h"

enum { SLOT_BITS_FIRST = 10, CODE_SLOTS = 16384, CODES_MAX = 8192, TEXT_BYTES = 64 * 1024 };

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for an identity graph");
}

tr_code tr_clusters_grow(void *array, uint32_t count, uint32_t *cap, size_t size, tr_err *err)
{
    void *old;
    if (count < *cap)
        return TR_OK;
    const uint64_t wanted = *cap < 64 ? 64 : *cap + (uint64_t)*cap / 2;
    if (wanted >= TR_NODE_NONE)
        return TR_FAIL(err, TR_LIMIT, "an identity graph of more than %u entries", *cap);
    memcpy(&old, array, sizeof old);
    void *fresh = tr_grow_array(old, wanted, size);
    if (fresh == NULL)
        return no_memory(err);
    memcpy(array, &fresh, sizeof fresh);
    *cap = (uint32_t)wanted;
    return TR_OK;
}

tr_code tr_clusters_new(tr_clusters **out, tr_err *err)
{
    tr_clusters *clusters = tr_alloc_zeroed(1, sizeof *clusters);
    if (clusters == NULL)
        return no_memory(err);
    clusters->slot_bits = SLOT_BITS_FIRST;
    clusters->link_free = clusters->group_free = TR_CLUSTER_NO;
    clusters->texts.bytes_max = SIZE_MAX;
    clusters->slots = tr_alloc_zeroed((size_t)1 << SLOT_BITS_FIRST, sizeof *clusters->slots);
    clusters->code_slots = tr_alloc_zeroed(CODE_SLOTS, sizeof *clusters->code_slots);
    if (clusters->slots == NULL || clusters->code_slots == NULL) {
        tr_clusters_free(clusters);
        return no_memory(err);
    }
    *out = clusters;
    return TR_OK;
}

void tr_clusters_free(tr_clusters *clusters)
{
    if (clusters == NULL)
        return;
    tr_free(clusters->slots);
    tr_free(clusters->nodes);
    tr_arena_free(&clusters->texts);
    tr_free(clusters->codes);
    tr_free(clusters->code_slots);
    tr_free(clusters->links);
    tr_u32_pool_free(&clusters->batches);
    tr_free(clusters->groups);
    tr_u32_pool_free(&clusters->members);
    tr_free(clusters->births);
    tr_free(clusters->entries);
    tr_free(clusters->drops);
    tr_free(clusters);
}

/* Nodes by key --------------------------------------------------------------------------------- */

/* Keys are hashes already. */
static uint32_t tag_of(const uint8_t key[16])
{
    uint32_t tag;
    memcpy(&tag, key + 8, sizeof tag);
    return tag;
}

static uint32_t slot_of(const tr_clusters *clusters, uint32_t tag)
{
    return tag >> (32 - clusters->slot_bits);
}

/* The node of the key, or TR_NODE_NONE with the slot where it would be. */
static uint32_t look_up(const tr_clusters *clusters, const uint8_t key[16], uint32_t *slot)
{
    const uint32_t tag = tag_of(key), mask = (1u << clusters->slot_bits) - 1;
    for (uint32_t at = slot_of(clusters, tag);; at = (at + 1) & mask) {
        const uint64_t entry = clusters->slots[at];
        const uint32_t node = (uint32_t)entry - 1;
        if ((uint32_t)entry == 0) {
            *slot = at;
            return TR_NODE_NONE;
        }
        if ((uint32_t)(entry >> 32) == tag && memcmp(clusters->nodes[node].key, key, 16) == 0)
            return node;
    }
}

void tr_clusters_expect_key(const tr_clusters *clusters, const uint8_t key[16])
{
    __builtin_prefetch(&clusters->slots[slot_of(clusters, tag_of(key))]);
}

void tr_clusters_expect_node(const tr_clusters *clusters, const uint8_t key[16])
{
    const uint64_t entry = clusters->slots[slot_of(clusters, tag_of(key))];
    if ((uint32_t)entry != 0)
        __builtin_prefetch(&clusters->nodes[(uint32_t)entry - 1]);
}

static void expect_cluster(const tr_clusters *clusters, uint32_t group, uint32_t step)
{
    enum { MEMBERS_MAX = 4 }; /* most clusters are small */
    const uint32_t *members = tr_group_members(clusters, group);
    const uint32_t count = clusters->groups[group].count;
    if (step == 2)
        __builtin_prefetch(members);
    for (uint32_t i = 0; step == 3 && i < count && i < MEMBERS_MAX; i++)
        __builtin_prefetch(&clusters->nodes[members[i]]);
}

void tr_clusters_expect_link(const tr_clusters *clusters, const uint32_t *nodes, uint32_t count,
                             uint32_t step)
{
    enum { NODES_MAX = 4 };
    for (uint32_t i = 0; i < count && i < NODES_MAX; i++) {
        const tr_cluster_node *node = &clusters->nodes[nodes[i]];
        if (step == 0)
            __builtin_prefetch(node);
        else if (node->group != TR_CLUSTER_NO && step == 1)
            __builtin_prefetch(&clusters->groups[node->group]);
        else if (node->group != TR_CLUSTER_NO)
            expect_cluster(clusters, node->group, step);
    }
}

/* Twice as many slots. A slot's place depends on the part of the key that it holds. */
static tr_code widen(tr_clusters *clusters, tr_err *err)
{
    const uint32_t bits = clusters->slot_bits + 1, mask = bits > 31 ? 0 : (1u << bits) - 1;
    if (bits > 31)
        return TR_FAIL(err, TR_LIMIT, "an identity graph of more than %u identities",
                       clusters->node_count);
    uint64_t *slots = tr_alloc_zeroed((size_t)1 << bits, sizeof *slots);
    if (slots == NULL)
        return no_memory(err);
    for (size_t i = 0; i < (size_t)1 << clusters->slot_bits; i++) {
        const uint64_t entry = clusters->slots[i];
        if (entry == 0)
            continue;
        uint32_t at = (uint32_t)(entry >> 32) >> (32 - bits);
        while (slots[at] != 0)
            at = (at + 1) & mask;
        slots[at] = entry;
    }
    tr_free(clusters->slots);
    clusters->slots = slots;
    clusters->slot_bits = bits;
    return TR_OK;
}

/* The number of a namespace code; it is kept when it is new. */
static tr_code intern(tr_clusters *clusters, tr_str code, uint16_t *out, tr_err *err)
{
    uint32_t at = (uint32_t)tr_hash64_of(code) % CODE_SLOTS;
    for (; clusters->code_slots[at] != 0; at = (at + 1) % CODE_SLOTS)
        if (tr_str_equal(clusters->codes[clusters->code_slots[at] - 1], code)) {
            *out = (uint16_t)(clusters->code_slots[at] - 1);
            return TR_OK;
        }
    if (clusters->code_count == CODES_MAX)
        return TR_FAIL(err, TR_LIMIT, "an identity graph of more than %d namespaces", CODES_MAX);
    TR_TRY(tr_clusters_grow(&clusters->codes, clusters->code_count, &clusters->code_cap,
                            sizeof *clusters->codes, err));
    const tr_str own = tr_arena_copy(&clusters->texts, code);
    if (own.at == NULL)
        return no_memory(err);
    *out = (uint16_t)clusters->code_count;
    clusters->codes[clusters->code_count++] = own;
    clusters->code_slots[at] = (uint16_t)clusters->code_count;
    return TR_OK;
}

/* Ids follow each other without gaps: an arena's objects would be aligned. */
static uint8_t *take_text(tr_clusters *clusters, size_t bytes)
{
    if (bytes > clusters->text_left) {
        const size_t piece = bytes > TEXT_BYTES ? bytes : TEXT_BYTES;
        clusters->text = tr_arena_alloc(&clusters->texts, piece);
        clusters->text_left = clusters->text == NULL ? 0 : piece;
        if (clusters->text == NULL)
            return NULL;
    }
    uint8_t *text = clusters->text;
    clusters->text += bytes;
    clusters->text_left -= bytes;
    return text;
}

static tr_code make_node(tr_clusters *clusters, const uint8_t key[16], tr_str code, tr_str id,
                         tr_node_class kind, tr_err *err)
{
    if (id.len > UINT16_MAX)
        return TR_FAIL(err, TR_LIMIT, "an identity of %zu bytes", id.len);
    TR_TRY(tr_clusters_grow(&clusters->nodes, clusters->node_count, &clusters->node_cap,
                            sizeof *clusters->nodes, err));
    tr_cluster_node *node = &clusters->nodes[clusters->node_count];
    *node = (tr_cluster_node){.first_us = TR_TIME_NONE,
                              .last_us = TR_TIME_NONE,
                              .self = clusters->node_count,
                              .group = TR_CLUSTER_NO,
                              .link = TR_CLUSTER_NO,
                              .entry = TR_CLUSTER_NO,
                              .kind = (uint8_t)kind};
    TR_TRY(intern(clusters, code, &node->code, err));
    uint8_t *text = take_text(clusters, id.len);
    if (text == NULL)
        return no_memory(err);
    if (id.len > 0)
        memcpy(text, id.at, id.len);
    memcpy(node->key, key, sizeof node->key);
    node->id = text;
    node->id_len = (uint16_t)id.len;
    return TR_OK;
}

tr_code tr_clusters_node(tr_clusters *clusters, const uint8_t key[16], tr_str code, tr_str id,
                         tr_node_class kind, uint32_t *out, tr_err *err)
{
    uint32_t slot, node = look_up(clusters, key, &slot);
    if (node == TR_NODE_NONE) {
        if ((clusters->node_count + 1) > (1u << clusters->slot_bits) / 8 * 5) {
            TR_TRY(widen(clusters, err));
            (void)look_up(clusters, key, &slot);
        }
        TR_TRY(make_node(clusters, key, code, id, kind, err));
        node = clusters->node_count++;
        clusters->slots[slot] = (uint64_t)tag_of(key) << 32 | (node + 1);
    }
    *out = node;
    return TR_OK;
}

uint32_t tr_clusters_find(const tr_clusters *clusters, const uint8_t key[16])
{
    uint32_t slot;
    return look_up(clusters, key, &slot);
}

void tr_clusters_describe(const tr_clusters *clusters, uint32_t node, tr_node *out)
{
    const tr_cluster_node *own = &clusters->nodes[node];
    *out = (tr_node){.key = own->key,
                     .code = clusters->codes[own->code],
                     .id = {own->id, own->id_len},
                     .kind = (tr_node_class)own->kind,
                     .first_us = own->first_us,
                     .last_us = own->last_us};
}

int tr_compare_anchors(const tr_clusters *clusters, uint32_t a, uint32_t b)
{
    const tr_cluster_node *left = &clusters->nodes[a], *right = &clusters->nodes[b];
    if (left->kind != right->kind)
        return left->kind < right->kind ? -1 : 1;
    if (left->first_us != right->first_us)
        return left->first_us < right->first_us ? -1 : 1;
    const int order = tr_str_compare(clusters->codes[left->code], clusters->codes[right->code]);
    return order != 0 ? order
                      : tr_str_compare((tr_str){left->id, left->id_len},
                                       (tr_str){right->id, right->id_len});
}

/* Linking ------------------------------------------------------------------------------------ */

/* The row's nodes that may link, once each and ordered by key. False: the row is too wide. */
static bool distinct_nodes(const tr_clusters *clusters, const tr_link_row *row,
                           uint32_t out[TR_LINK_IDENTITIES_MAX], uint32_t *count)
{
    uint32_t all[TR_LINK_IDENTITIES_MAX], all_count = 0;
    for (uint32_t i = 0; i < row->count; i++) {
        uint32_t at = all_count;
        while (at > 0 && tr_compare_keys(clusters, row->nodes[i], all[at - 1]) < 0)
            at--;
        if (at > 0 && all[at - 1] == row->nodes[i])
            continue;
        if (all_count == TR_LINK_IDENTITIES_MAX)
            return false;
        memmove(all + at + 1, all + at, (all_count - at) * sizeof *all);
        all[at] = row->nodes[i];
        all_count++;
    }
    *count = 0;
    for (uint32_t i = 0; i < all_count; i++)
        if (clusters->nodes[all[i]].kind != TR_NODE_UNLINKED)
            out[(*count)++] = all[i];
    return true;
}

static void see_node(tr_cluster_node *node, int64_t time_us)
{
    if (node->first_us == TR_TIME_NONE || time_us < node->first_us)
        node->first_us = time_us;
    if (node->last_us == TR_TIME_NONE || time_us > node->last_us)
        node->last_us = time_us;
}

tr_code tr_clusters_link(tr_clusters *clusters, const tr_link_row *row, tr_err *err)
{
    uint32_t nodes[TR_LINK_IDENTITIES_MAX], count;
    if (!distinct_nodes(clusters, row, nodes, &count)) {
        clusters->stats.rows_too_wide++;
        return TR_OK;
    }
    if (count < 2)
        return TR_OK;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = i + 1; j < count; j++)
            TR_TRY(tr_link_add(clusters, nodes[i], nodes[j], row, err));
    for (uint32_t i = 0; i < count; i++)
        see_node(&clusters->nodes[nodes[i]], row->time_us);
    return tr_groups_unite(clusters, nodes, count, row, err);
}

/* Answers ------------------------------------------------------------------------------------ */

uint32_t tr_clusters_anchor(const tr_clusters *clusters, uint32_t node)
{
    const uint32_t group = clusters->nodes[node].group;
    return group == TR_CLUSTER_NO ? node : *tr_group_members(clusters, group);
}

uint32_t tr_clusters_drops(const tr_clusters *clusters, const tr_drop **out)
{
    *out = clusters->drops;
    return clusters->drop_count;
}

void tr_clusters_stats_of(const tr_clusters *clusters, tr_clusters_stats *out)
{
    *out = clusters->stats;
    out->nodes = clusters->node_count;
    out->drops = clusters->drop_count;
}
