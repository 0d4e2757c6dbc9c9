/* SPDX-License-Identifier: Apache-2.0 */
/* freeze.h - a graph as it is at one moment, in the form in which runs are stitched by it. */
#ifndef TR_GRAPH_FREEZE_H
#define TR_GRAPH_FREEZE_H

#include "codec/hash.h"
#include "graph/graph.h"
#include "store/rekey.h"

/* A cluster by the key of the identity that it stands for. */
typedef struct tr_frozen_anchor {
    uint8_t key[16];
    uint32_t node;
} tr_frozen_anchor;

typedef struct tr_frozen {
    tr_moved *moved;           /* every identity whose cluster stands for another, by its key */
    tr_moves moves;            /* the same */
    char digest[33];           /* of them: equal digests are equal clusters */
    tr_frozen_anchor *anchors; /* clusters of several identities, by key */
    uint32_t anchor_count;
} tr_frozen;

/* Of clusters that are held for reading. */
TR_MUST_CHECK tr_code tr_freeze(const tr_clusters *clusters, tr_frozen *out, tr_err *err);
void tr_frozen_clear(tr_frozen *frozen); /* idempotent */

/* Writes the members of the clusters [from, to) as a members' run (store.h). */
TR_MUST_CHECK tr_code tr_members_write(const tr_clusters *clusters, const tr_frozen *frozen,
                                       uint32_t from, uint32_t to, tr_sink sink, tr_err *err);

#endif
