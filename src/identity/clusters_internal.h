/* SPDX-License-Identifier: Apache-2.0 */
/* clusters_internal.h - how the graph lies in memory.
 *
 *     slots    key -> node: open addressing; a slot has 32 bits of the key beside the node
 *     nodes    64 bytes each: a cache line
 *     links    40 bytes each, in a list of each of its two nodes
 *     groups   clusters as lists of members, in the order in which they would be the anchor
 *     births   every cluster that ever began, by serial number: who began it. A group has a serial
 *     entries  the history: one entry for each time a node came into a cluster, chained by node
 *
 * Members move only when their cluster is the smaller one of a merge. Groups, links and lists that
 * end are used again; nodes, births, entries and drops are kept.
 */
#ifndef TR_IDENTITY_CLUSTERS_INTERNAL_H
#define TR_IDENTITY_CLUSTERS_INTERNAL_H

#include "identity/clusters.h"
#include "identity/u32_pool.h"

#define TR_CLUSTER_NO UINT32_MAX /* no link, group, entry */

typedef struct tr_cluster_node {
    uint8_t key[16];
    int64_t first_us, last_us;
    const uint8_t *id;
    uint32_t self;  /* its own number: the members of a node alone */
    uint32_t group; /* TR_CLUSTER_NO: it has no links */
    uint32_t link;  /* the first of its list */
    uint32_t entry; /* the newest of its history */
    uint16_t id_len, code;
    uint16_t degree; /* at most TR_CLUSTER_MEMBERS_MAX but while a row is linked */
    uint8_t kind;
    uint8_t mark; /* zero but while a row is linked */
} tr_cluster_node;
_Static_assert(sizeof(tr_cluster_node) == 64, "a node is a cache line");

typedef struct tr_cluster_link {
    uint32_t a, b; /* a's key is the smaller */
    uint32_t next_a, next_b;
    int64_t first_us, last_us;
    uint32_t batch_count;
    uint32_t batch; /* the only one, or the offset of the list */
} tr_cluster_link;

typedef struct tr_cluster_group {
    uint32_t serial;
    uint32_t count;   /* 0: free */
    uint32_t members; /* offset; free: the next free one */
} tr_cluster_group;

typedef struct tr_cluster_birth {
    uint32_t node, generation;
} tr_cluster_birth;

typedef struct tr_cluster_entry {
    uint32_t older, serial;
    int64_t recorded_us;
} tr_cluster_entry;

/* The largest set that is ever taken together: each node of a row brings a whole cluster. */
#define TR_CLUSTER_UNION_MAX (TR_LINK_IDENTITIES_MAX * TR_CLUSTER_MEMBERS_MAX)

struct tr_clusters {
    uint64_t
        *slots; /* [2^slot_bits]: upper half 32 bits of the key, lower half node + 1; 0: free */
    uint32_t slot_bits;

    tr_cluster_node *nodes;
    uint32_t node_count, node_cap;
    tr_arena texts; /* ids, codes */
    uint8_t *text;  /* where the next id goes */
    size_t text_left;

    tr_str *codes;
    uint32_t code_count, code_cap;
    uint16_t *code_slots; /* a hash table: code + 1 */

    tr_cluster_link *links;
    uint32_t link_count, link_cap, link_free; /* ever made, room, the first free one */
    tr_u32_pool batches;

    tr_cluster_group *groups;
    uint32_t group_count, group_cap, group_free;
    tr_u32_pool members;

    tr_cluster_birth *births;
    uint32_t birth_count, birth_cap;
    tr_cluster_entry *entries;
    uint32_t entry_count, entry_cap;
    tr_drop *drops;
    uint32_t drop_count, drop_cap;

    tr_clusters_stats stats;
};

/* Makes room for one more in an array that grows by half. `array` is a pointer to the array's
 * pointer. */
TR_MUST_CHECK tr_code tr_clusters_grow(void *array, uint32_t count, uint32_t *cap, size_t size,
                                       tr_err *err);

static inline uint32_t *tr_group_members(const tr_clusters *clusters, uint32_t group)
{
    return clusters->members.at + clusters->groups[group].members;
}

static inline int tr_compare_keys(const tr_clusters *clusters, uint32_t a, uint32_t b)
{
    return memcmp(clusters->nodes[a].key, clusters->nodes[b].key, 16);
}

/* < 0: `a` would rather be the anchor than `b`. */
int tr_compare_anchors(const tr_clusters *clusters, uint32_t a, uint32_t b);

/* Links (cluster_links.c). */
static inline uint32_t tr_link_next(const tr_cluster_link *link, uint32_t node)
{
    return link->a == node ? link->next_a : link->next_b;
}
static inline uint32_t tr_link_other(const tr_cluster_link *link, uint32_t node)
{
    return link->a == node ? link->b : link->a;
}
/* Adds what the row says of a link, which is made when there is none. a's key is the smaller. */
TR_MUST_CHECK tr_code tr_link_add(tr_clusters *clusters, uint32_t a, uint32_t b,
                                  const tr_link_row *row, tr_err *err);
/* Removes all links of a node. others[UNION_MAX]  the nodes they led to */
TR_MUST_CHECK tr_code tr_link_remove_all(tr_clusters *clusters, uint32_t node, uint32_t *others,
                                         uint32_t *count, tr_err *err);

/* Clusters (cluster_groups.c). */
/* The row's nodes, distinct, were linked with each other: their clusters become one. */
TR_MUST_CHECK tr_code tr_groups_unite(tr_clusters *clusters, const uint32_t *nodes, uint32_t count,
                                      const tr_link_row *row, tr_err *err);

/* What had to go (cluster_limit.c). */
typedef struct tr_union {
    uint32_t nodes[TR_CLUSTER_UNION_MAX + TR_LINK_IDENTITIES_MAX];
    uint32_t count;
} tr_union;
/* Takes members out of the union until the part that the row's nodes are in has at most
 * TR_CLUSTER_MEMBERS_MAX. */
TR_MUST_CHECK tr_code tr_union_limit(tr_clusters *clusters, tr_union *all,
                                     const uint32_t *row_nodes, uint32_t row_count,
                                     const tr_link_row *row, tr_err *err);
/* Moves the part of the union that `from` is connected with to its front: how many they are. */
uint32_t tr_union_part(tr_clusters *clusters, uint32_t *nodes, uint32_t count, uint32_t from);

#endif
