/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_links.c - links as lists of their nodes, and the batches that support each. */
#include "identity/clusters_internal.h"

#include <stdlib.h>

static uint32_t *batches_of(tr_clusters *clusters, tr_cluster_link *link)
{
    return link->batch_count == 1 ? &link->batch : clusters->batches.at + link->batch;
}

/* Ascending, each once. Batches mostly come in order. */
static tr_code add_batch(tr_clusters *clusters, tr_cluster_link *link, uint32_t batch, tr_err *err)
{
    const uint32_t count = link->batch_count;
    const uint32_t *list = batches_of(clusters, link);
    uint32_t at = count, offset = link->batch;
    while (at > 0 && list[at - 1] > batch)
        at--;
    if (at > 0 && list[at - 1] == batch)
        return TR_OK;
    TR_TRY(tr_u32_pool_resize(&clusters->batches, &offset, count == 1 ? 0 : count, count + 1, err));
    uint32_t *grown = clusters->batches.at + offset;
    if (count == 1)
        grown[0] = link->batch;
    memmove(grown + at + 1, grown + at, (count - at) * sizeof *grown);
    grown[at] = batch;
    link->batch = offset;
    link->batch_count++;
    return TR_OK;
}

/* Walks the shorter list. */
static uint32_t find_link(const tr_clusters *clusters, uint32_t a, uint32_t b)
{
    const bool is_a = clusters->nodes[a].degree <= clusters->nodes[b].degree;
    const uint32_t from = is_a ? a : b, to = is_a ? b : a;
    uint32_t at = clusters->nodes[from].link;
    while (at != TR_CLUSTER_NO && tr_link_other(&clusters->links[at], from) != to)
        at = tr_link_next(&clusters->links[at], from);
    return at;
}

static tr_code make_link(tr_clusters *clusters, uint32_t a, uint32_t b, const tr_link_row *row,
                         tr_err *err)
{
    tr_cluster_node *left = &clusters->nodes[a], *right = &clusters->nodes[b];
    uint32_t at = clusters->link_free;
    if (at == TR_CLUSTER_NO) {
        TR_TRY(tr_clusters_grow(&clusters->links, clusters->link_count, &clusters->link_cap,
                                sizeof *clusters->links, err));
        at = clusters->link_count++;
    } else {
        clusters->link_free = clusters->links[at].next_a;
    }
    clusters->links[at] = (tr_cluster_link){.a = a,
                                            .b = b,
                                            .next_a = left->link,
                                            .next_b = right->link,
                                            .first_us = row->time_us,
                                            .last_us = row->time_us,
                                            .batch_count = 1,
                                            .batch = row->batch};
    left->link = right->link = at;
    clusters->stats.linked_nodes += (left->degree == 0 ? 1u : 0) + (right->degree == 0 ? 1u : 0);
    left->degree++;
    right->degree++;
    clusters->stats.links++;
    return TR_OK;
}

tr_code tr_link_add(tr_clusters *clusters, uint32_t a, uint32_t b, const tr_link_row *row,
                    tr_err *err)
{
    const uint32_t at = find_link(clusters, a, b);
    if (at == TR_CLUSTER_NO)
        return make_link(clusters, a, b, row, err);
    tr_cluster_link *link = &clusters->links[at];
    if (row->time_us < link->first_us)
        link->first_us = row->time_us;
    if (row->time_us > link->last_us)
        link->last_us = row->time_us;
    return add_batch(clusters, link, row->batch, err);
}

/* Takes a link out of a node's list. */
static void unchain(tr_clusters *clusters, uint32_t node, uint32_t at)
{
    uint32_t *place = &clusters->nodes[node].link;
    while (*place != at) {
        tr_cluster_link *link = &clusters->links[*place];
        place = link->a == node ? &link->next_a : &link->next_b;
    }
    *place = tr_link_next(&clusters->links[at], node);
    clusters->nodes[node].degree--;
    clusters->stats.linked_nodes -= clusters->nodes[node].degree == 0 ? 1u : 0;
}

tr_code tr_link_remove_all(tr_clusters *clusters, uint32_t node, uint32_t *others, uint32_t *count,
                           tr_err *err)
{
    *count = 0;
    while (clusters->nodes[node].link != TR_CLUSTER_NO) {
        const uint32_t at = clusters->nodes[node].link;
        tr_cluster_link *link = &clusters->links[at];
        const uint32_t other = tr_link_other(link, node);
        others[(*count)++] = other;
        unchain(clusters, node, at);
        unchain(clusters, other, at);
        if (link->batch_count > 1)
            TR_TRY(tr_u32_pool_resize(&clusters->batches, &link->batch, link->batch_count, 0, err));
        link->next_a = clusters->link_free;
        clusters->link_free = at;
        clusters->stats.links--;
    }
    return TR_OK;
}

typedef struct key_order {
    const uint8_t *a, *b;
    tr_link link;
} key_order;

static int compare_links(const void *left, const void *right)
{
    const key_order *l = left, *r = right;
    const int order = memcmp(l->a, r->a, 16);
    return order != 0 ? order : memcmp(l->b, r->b, 16);
}

/* The links of a member to those it comes before by key: so each link of a cluster is met once. */
static uint32_t links_from(const tr_clusters *clusters, uint32_t node, key_order *out)
{
    uint32_t count = 0;
    for (uint32_t at = clusters->nodes[node].link; at != TR_CLUSTER_NO;
         at = tr_link_next(&clusters->links[at], node)) {
        const tr_cluster_link *link = &clusters->links[at];
        if (link->a != node)
            continue;
        if (out != NULL)
            out[count] = (key_order){.a = clusters->nodes[link->a].key,
                                     .b = clusters->nodes[link->b].key,
                                     .link = {.a = link->a,
                                              .b = link->b,
                                              .first_us = link->first_us,
                                              .last_us = link->last_us,
                                              .batches = link->batch_count == 1
                                                             ? &link->batch
                                                             : clusters->batches.at + link->batch,
                                              .batch_count = link->batch_count}};
        count++;
    }
    return count;
}

tr_code tr_clusters_links(const tr_clusters *clusters, uint32_t node, tr_arena *arena,
                          const tr_link **out, uint32_t *count, tr_err *err)
{
    const uint32_t *members;
    const uint32_t member_count = tr_clusters_members(clusters, node, &members);
    uint32_t links = 0, at = 0;
    for (uint32_t i = 0; i < member_count; i++)
        links += links_from(clusters, members[i], NULL);
    key_order *ordered = tr_arena_array(arena, links, sizeof *ordered);
    tr_link *list = tr_arena_array(arena, links, sizeof *list);
    if (ordered == NULL || list == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for %u links", links);
    for (uint32_t i = 0; i < member_count; i++)
        at += links_from(clusters, members[i], ordered + at);
    if (links > 1)
        qsort(ordered, links, sizeof *ordered, compare_links);
    for (uint32_t i = 0; i < links; i++)
        list[i] = ordered[i].link;
    *out = list;
    *count = links;
    return TR_OK;
}
