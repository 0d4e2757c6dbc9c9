/* SPDX-License-Identifier: Apache-2.0 */
/* clusters.h - links between identities, and who is one person because of them. Pure memory: no
 * catalog, no files.
 *
 * An identity is a NODE, known by its profile key (store.h). The identities of a row are linked
 * with each other; nodes that links connect are a CLUSTER of at most TR_CLUSTER_MEMBERS_MAX. Rows
 * must come in one fixed order: the same rows in the same order give the same clusters, anchors,
 * drops and history.
 *
 *     row (ECID 1, Email a)    -> link, cluster {ECID 1, Email a}
 *     row (Email a, CRMID 7)   -> link, cluster {CRMID 7, ECID 1, Email a}: CRMID 7 stands for it
 *
 * Rules: reference identity 10-11 and docs/decisions/0008.
 *   - fewer than two distinct identities: no link; more than TR_LINK_IDENTITIES_MAX: none either,
 *     counted
 *   - all identities of a row are linked, each with each
 *   - nodes of class `unlinked` (NON_PEOPLE, B2B, PARTNER) never link
 *   - a link keeps its first and last time and every batch that supports it
 *   - a 51st member makes the oldest go that is not in the row: cookies, then devices, then
 *     persons; of these the one whose last link is oldest, ties by key. A node that lost its last
 *     link leaves the cluster as well; what falls apart becomes clusters of its own
 *   - a node's times are those of the links it got since it last had none; a link that was dropped
 *     does not take them back, so that an anchor stays
 *
 * Threads: one writer, or many readers. Memory: its own, freed by tr_clusters_free. After a failure
 * of tr_clusters_node or _link only tr_clusters_free is of use: the rows must come again.
 */
#ifndef TR_IDENTITY_CLUSTERS_H
#define TR_IDENTITY_CLUSTERS_H

#include "base/limits.h"
#include "base/memory.h"

#define TR_CLUSTER_MEMBERS_MAX ((uint32_t)TR_IDENTITIES_PER_PROFILE_MAX)
#define TR_NODE_NONE UINT32_MAX

/* In the order in which they stand for a cluster. */
typedef enum tr_node_class {
    TR_NODE_PERSON,   /* CROSS_DEVICE, EMAIL, PHONE */
    TR_NODE_DEVICE,   /* DEVICE, MOBILE */
    TR_NODE_COOKIE,
    TR_NODE_UNLINKED, /* everything else: is known, never links */
} tr_node_class;

typedef struct tr_clusters tr_clusters;

typedef struct tr_node {
    const uint8_t *key; /* [16] */
    tr_str code, id;    /* namespace code as the org writes it */
    tr_node_class kind;
    int64_t first_us, last_us; /* of its links; TR_TIME_NONE: it has none */
} tr_node;

TR_MUST_CHECK tr_code tr_clusters_new(tr_clusters **out, tr_err *err);
void tr_clusters_free(tr_clusters *clusters); /* accepts NULL */

/* The node of a key, made when it is new; code and id are copied then. */
TR_MUST_CHECK tr_code tr_clusters_node(tr_clusters *clusters, const uint8_t key[16], tr_str code,
                                       tr_str id, tr_node_class kind, uint32_t *out, tr_err *err);

/* For callers with many: fetches from memory what will be asked for soon. The place of a key, later
 * its node; of a row that will be linked, step by step (0 to 3, each a while after the one before),
 * its nodes, their clusters, the lists of members, and the members. */
void tr_clusters_expect_key(const tr_clusters *clusters, const uint8_t key[16]);
void tr_clusters_expect_node(const tr_clusters *clusters, const uint8_t key[16]);
void tr_clusters_expect_link(const tr_clusters *clusters, const uint32_t *nodes, uint32_t count,
                             uint32_t step);

typedef struct tr_link_row {
    const uint32_t *nodes; /* repeats are allowed */
    uint32_t count;
    uint32_t batch;      /* the caller's number of the batch that says so */
    int64_t time_us;     /* of the link: an event's timestamp, a record's ingestion */
    int64_t recorded_us; /* for the history: the batch's ingestion */
} tr_link_row;

/* Links the distinct nodes of one row with each other. */
TR_MUST_CHECK tr_code tr_clusters_link(tr_clusters *clusters, const tr_link_row *row, tr_err *err);

/* TR_NODE_NONE: nobody knows it. */
uint32_t tr_clusters_find(const tr_clusters *clusters, const uint8_t key[16]);
void tr_clusters_describe(const tr_clusters *clusters, uint32_t node, tr_node *out);

/* The node that the node's cluster stands for: itself when it has no links. */
uint32_t tr_clusters_anchor(const tr_clusters *clusters, uint32_t node);
/* Members, the anchor first, then as the anchor is chosen; borrowed until the next write. A node
 * without links: itself alone. */
uint32_t tr_clusters_members(const tr_clusters *clusters, uint32_t node, const uint32_t **out);

typedef struct tr_link {
    uint32_t a, b; /* a's key is the smaller */
    int64_t first_us, last_us;
    const uint32_t *batches; /* ascending; borrowed until the next write */
    uint32_t batch_count;
} tr_link;
/* The links within the node's cluster, ordered by (a, b)'s keys; in the arena. */
TR_MUST_CHECK tr_code tr_clusters_links(const tr_clusters *clusters, uint32_t node, tr_arena *arena,
                                        const tr_link **out, uint32_t *count, tr_err *err);

/* Who had to go. */
typedef struct tr_drop {
    uint32_t node;
    uint32_t batch;    /* whose link was one too many */
    int64_t time_us;   /* of that link */
    bool is_left_over; /* it went because its last link did */
} tr_drop;
/* In the order in which they went; borrowed until the next write. */
uint32_t tr_clusters_drops(const tr_clusters *clusters, const tr_drop **out);

/* A cluster's id: 16 bytes made from the key of the node that began it, which was its anchor, and
 * how many it had begun. The larger side keeps its id at a merge (ties: the one that began
 * earlier), the anchor's part at a split. A node without links has an id of its own. */
void tr_clusters_id(const tr_clusters *clusters, uint32_t node, uint8_t out[16]);
typedef struct tr_cluster_change {
    uint8_t cluster[16];
    int64_t recorded_us;
} tr_cluster_change;
/* The clusters that a node came into, newest first; in the arena. */
TR_MUST_CHECK tr_code tr_clusters_history(const tr_clusters *clusters, uint32_t node,
                                          tr_arena *arena, const tr_cluster_change **out,
                                          uint32_t *count, tr_err *err);

typedef struct tr_clusters_stats {
    uint64_t nodes, links, clusters, linked_nodes, drops, rows_too_wide;
} tr_clusters_stats; /* now, but drops and rows: ever */
void tr_clusters_stats_of(const tr_clusters *clusters, tr_clusters_stats *out);

#endif
