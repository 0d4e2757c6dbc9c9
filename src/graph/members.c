/* SPDX-License-Identifier: Apache-2.0 */
/* members.c - clusters' identities as a run, a row a cluster; see freeze.h.
 *
 *     identityMap { namespace [ {id, primary} ] }    members by namespace and id, as fragments'
 *     rows _tributary  { key, namespace, id ... }         of the identity that the cluster stands
 *     for
 */
#include "graph/freeze.h"
#include "store/fold.h"

#include <string.h>

enum { CODE, ID, PRIMARY, KEY, OWN_CODE, OWN_ID, UPDATED, INGESTED, BATCH, LEAVES };

typedef struct writing {
    const tr_clusters *clusters;
    tr_arena arena;
    tr_shape shape;
    tr_column_builder *builders[LEAVES];
} writing;

static tr_code make_shape(writing *w, tr_err *err)
{
    tr_arena *arena = &w->arena;
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    if (root == NULL || !tr_run_add_identity_map(arena, root, true) ||
        tr_run_add_bookkeeping(arena, root) == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to write clusters");
    return tr_shape_make(arena, root, &w->shape, err);
}

static bool is_before(const tr_node *a, const tr_node *b)
{
    return tr_identity_compare(a->code, a->id, b->code, b->id) < 0;
}

/* Members by namespace and id; returns how many. */
static uint32_t sort_members(const writing *w, uint32_t anchor, tr_node out[TR_CLUSTER_MEMBERS_MAX])
{
    const uint32_t *members;
    const uint32_t count = tr_clusters_members(w->clusters, anchor, &members);
    for (uint32_t i = 0; i < count; i++) {
        tr_node own;
        uint32_t at = i;
        tr_clusters_describe(w->clusters, members[i], &own);
        for (; at > 0 && is_before(&own, &out[at - 1]); at--)
            out[at] = out[at - 1];
        out[at] = own;
    }
    return count;
}

static tr_code add_member(writing *w, const tr_node *before, const tr_node *own, bool is_anchor,
                          tr_err *err)
{
    const bool is_new = before == NULL || !tr_str_equal(before->code, own->code);
    const uint8_t rep = before == NULL ? 0 : is_new ? 1 : 2;
    if (is_new)
        TR_TRY(tr_column_add_string(w->builders[CODE], rep, own->code, err));
    TR_TRY(tr_column_add_string(w->builders[ID], rep, own->id, err));
    return tr_column_add_word(w->builders[PRIMARY], rep, is_anchor, err);
}

static tr_code add_cluster(writing *w, const tr_frozen_anchor *anchor, tr_err *err)
{
    tr_node members[TR_CLUSTER_MEMBERS_MAX], own;
    const uint32_t count = sort_members(w, anchor->node, members);
    tr_clusters_describe(w->clusters, anchor->node, &own);
    for (uint32_t i = 0; i < count; i++)
        TR_TRY(add_member(w, i == 0 ? NULL : &members[i - 1], &members[i],
                          memcmp(members[i].key, anchor->key, sizeof anchor->key) == 0, err));
    TR_TRY(tr_column_add_key(w->builders[KEY], anchor->key, err));
    TR_TRY(tr_column_add_string(w->builders[OWN_CODE], 0, own.code, err));
    TR_TRY(tr_column_add_string(w->builders[OWN_ID], 0, own.id, err));
    TR_TRY(tr_column_add_word(w->builders[UPDATED], 0, 0, err));
    TR_TRY(tr_column_add_word(w->builders[INGESTED], 0, 0, err));
    return tr_column_add_null(w->builders[BATCH], 0, 0, err);
}

static tr_code write_rows(writing *w, const tr_frozen *frozen, uint32_t from, uint32_t to,
                          tr_sink sink, tr_err *err)
{
    tr_column columns[LEAVES];
    const tr_run_rows rows = {.shape = &w->shape,
                              .columns = columns,
                              .rows = to - from,
                              .is_members = true,
                              .bits_min = tr_run_bits_for(frozen->anchor_count)};
    for (uint32_t i = from; i < to; i++)
        TR_TRY(add_cluster(w, &frozen->anchors[i], err));
    for (uint32_t i = 0; i < LEAVES; i++)
        TR_TRY(tr_column_builder_view(w->builders[i], &columns[i], err));
    return tr_run_write(&rows, sink, err);
}

tr_code tr_members_write(const tr_clusters *clusters, const tr_frozen *frozen, uint32_t from,
                         uint32_t to, tr_sink sink, tr_err *err)
{
    writing w = {.clusters = clusters};
    tr_code code = make_shape(&w, err);
    for (uint32_t i = 0; i < LEAVES && code == TR_OK; i++)
        code = tr_column_builder_open(&w.shape.leaves[i], &w.builders[i], err);
    if (code == TR_OK)
        code = write_rows(&w, frozen, from, to, sink, err);
    for (uint32_t i = 0; i < LEAVES; i++)
        if (w.builders[i] != NULL)
            tr_column_builder_close(w.builders[i]);
    tr_arena_free(&w.arena);
    return code;
}
