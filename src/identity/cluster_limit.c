/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_limit.c - who has to go when a row would make a cluster too large.
 *
 * One member goes at a time: of the worst class the one whose last link is oldest, never one of the
 * row itself. With it go its links, and members that have none left. What is then no longer
 * connected with the row does not count any more. */
#include "identity/clusters_internal.h"
#include "base/clock.h"

#include <stdlib.h>

enum { MARK_REACHED = 1, MARK_ROW = 2 };

uint32_t tr_union_part(tr_clusters *clusters, uint32_t *nodes, uint32_t count, uint32_t from)
{
    uint32_t queue[TR_CLUSTER_UNION_MAX + TR_LINK_IDENTITIES_MAX], rest_count = 0, part = 0;
    uint32_t reached = 1;
    queue[0] = from;
    clusters->nodes[from].mark |= MARK_REACHED;
    for (uint32_t i = 0; i < reached; i++)
        for (uint32_t at = clusters->nodes[queue[i]].link; at != TR_CLUSTER_NO;
             at = tr_link_next(&clusters->links[at], queue[i])) {
            const uint32_t other = tr_link_other(&clusters->links[at], queue[i]);
            if ((clusters->nodes[other].mark & MARK_REACHED) == 0)
                queue[reached++] = other;
            clusters->nodes[other].mark |= MARK_REACHED;
        }
    for (uint32_t i = 0; i < count; i++) { /* the queue is done with: it takes what stays behind */
        if ((clusters->nodes[nodes[i]].mark & MARK_REACHED) != 0)
            nodes[part++] = nodes[i];
        else
            queue[rest_count++] = nodes[i];
    }
    for (uint32_t i = 0; i < part; i++)
        clusters->nodes[nodes[i]].mark &= (uint8_t)~MARK_REACHED;
    memcpy(nodes + part, queue, rest_count * sizeof *nodes);
    return part;
}

/* < 0: `a` goes before `b`. */
static int compare_victims(const tr_clusters *clusters, uint32_t a, uint32_t b)
{
    const tr_cluster_node *left = &clusters->nodes[a], *right = &clusters->nodes[b];
    if (left->kind != right->kind)
        return left->kind > right->kind ? -1 : 1;
    if (left->last_us != right->last_us)
        return left->last_us < right->last_us ? -1 : 1;
    return tr_compare_keys(clusters, a, b);
}

/* There is one: a row has fewer nodes than a cluster may. */
static uint32_t choose_victim(const tr_clusters *clusters, const uint32_t *nodes, uint32_t count)
{
    uint32_t victim = TR_NODE_NONE;
    for (uint32_t i = 0; i < count; i++)
        if ((clusters->nodes[nodes[i]].mark & MARK_ROW) == 0 &&
            (victim == TR_NODE_NONE || compare_victims(clusters, nodes[i], victim) < 0))
            victim = nodes[i];
    return victim;
}

/* The node is alone now. `active` counts the members that come first and still matter. */
static tr_code leave(tr_clusters *clusters, tr_union *all, uint32_t *active, const tr_drop *drop,
                     tr_err *err)
{
    tr_cluster_node *node = &clusters->nodes[drop->node];
    TR_TRY(tr_clusters_grow(&clusters->drops, clusters->drop_count, &clusters->drop_cap,
                            sizeof *clusters->drops, err));
    clusters->drops[clusters->drop_count++] = *drop;
    node->first_us = node->last_us = TR_TIME_NONE;
    node->group = TR_CLUSTER_NO;
    uint32_t at = 0;
    while (all->nodes[at] != drop->node)
        at++;
    all->nodes[at] = all->nodes[--*active];
    all->nodes[*active] = all->nodes[--all->count];
    return TR_OK;
}

static void sort_by_key(const tr_clusters *clusters, uint32_t *nodes, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t node = nodes[i];
        uint32_t at = i;
        for (; at > 0 && tr_compare_keys(clusters, node, nodes[at - 1]) < 0; at--)
            nodes[at] = nodes[at - 1];
        nodes[at] = node;
    }
}

/* Takes a member out, and those that were linked with it alone. *linked: how many others it had
 * that have other links, too. */
static tr_code drop_member(tr_clusters *clusters, tr_union *all, uint32_t *active, tr_drop drop,
                           uint32_t *linked, tr_err *err)
{
    uint32_t others[TR_CLUSTER_UNION_MAX + TR_LINK_IDENTITIES_MAX], count, lonely = 0;
    TR_TRY(tr_link_remove_all(clusters, drop.node, others, &count, err));
    for (uint32_t i = 0; i < count; i++)
        if (clusters->nodes[others[i]].link == TR_CLUSTER_NO)
            others[lonely++] = others[i];
    *linked = count - lonely;
    sort_by_key(clusters, others, lonely);
    TR_TRY(leave(clusters, all, active, &drop, err));
    drop.is_left_over = true;
    for (uint32_t i = 0; i < lonely; i++) {
        drop.node = others[i];
        TR_TRY(leave(clusters, all, active, &drop, err));
    }
    return TR_OK;
}

static void mark_row(tr_clusters *clusters, const uint32_t *nodes, uint32_t count, uint8_t mark)
{
    for (uint32_t i = 0; i < count; i++)
        clusters->nodes[nodes[i]].mark = mark;
}

tr_code tr_union_limit(tr_clusters *clusters, tr_union *all, const uint32_t *row_nodes,
                       uint32_t row_count, const tr_link_row *row, tr_err *err)
{
    uint32_t active = all->count, linked;
    tr_drop drop = {.batch = row->batch, .time_us = row->time_us};
    mark_row(clusters, row_nodes, row_count, MARK_ROW);
    while (active > TR_CLUSTER_MEMBERS_MAX) {
        drop.node = choose_victim(clusters, all->nodes, active);
        TR_TRY(drop_member(clusters, all, &active, drop, &linked, err));
        if (linked > 1)
            active = tr_union_part(clusters, all->nodes, active, row_nodes[0]);
    }
    mark_row(clusters, row_nodes, row_count, 0);
    return TR_OK;
}
