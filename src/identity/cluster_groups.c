/* SPDX-License-Identifier: Apache-2.0 */
/* cluster_groups.c - clusters as lists of members: how they become one, which ids they have, which
 * a node was in.
 *
 *     row (A, X)      {A B C} #1 + {X Y} #2   ->   {A B C X Y} #1      only X and Y are moved
 *     too many        #1 + #2 -> a union without groups -> limited -> parts, each a group again
 */
#include "identity/clusters_internal.h"
#include "base/check.h"
#include "codec/hash.h"

/* The groups that the nodes of one row are in. */
typedef struct row_sides {
    uint32_t groups[TR_LINK_IDENTITIES_MAX], group_count;
    uint32_t singles[TR_LINK_IDENTITIES_MAX], single_count;
    uint32_t largest; /* TR_CLUSTER_NO: none */
    uint32_t members;
} row_sides;

static void find_sides(const tr_clusters *clusters, const uint32_t *nodes, uint32_t count,
                       row_sides *out)
{
    *out = (row_sides){.largest = TR_CLUSTER_NO};
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t group = clusters->nodes[nodes[i]].group;
        if (group == TR_CLUSTER_NO) {
            out->singles[out->single_count++] = nodes[i];
            continue;
        }
        bool is_known = false;
        for (uint32_t j = 0; j < out->group_count && !is_known; j++)
            is_known = out->groups[j] == group;
        if (is_known)
            continue;
        const tr_cluster_group *own = &clusters->groups[group], *best = NULL;
        if (out->largest != TR_CLUSTER_NO)
            best = &clusters->groups[out->largest];
        if (best == NULL || own->count > best->count ||
            (own->count == best->count && own->serial < best->serial))
            out->largest = group;
        out->groups[out->group_count++] = group;
        out->members += own->count;
    }
    out->members += out->single_count;
}

/* Nearly in order already: a few came to the end, or a time moved. */
static void order_members(const tr_clusters *clusters, uint32_t *members, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        const uint32_t node = members[i];
        uint32_t at = i;
        for (; at > 0 && tr_compare_anchors(clusters, node, members[at - 1]) < 0; at--)
            members[at] = members[at - 1];
        members[at] = node;
    }
}

static uint32_t best_anchor(const tr_clusters *clusters, const uint32_t *nodes, uint32_t count)
{
    uint32_t best = nodes[0];
    for (uint32_t i = 1; i < count; i++)
        if (tr_compare_anchors(clusters, nodes[i], best) < 0)
            best = nodes[i];
    return best;
}

/* A cluster begins with its anchor: a new serial. Whoever began one was in it; it may have come
 * back into an earlier one since. */
static tr_code give_birth(tr_clusters *clusters, uint32_t anchor, uint32_t *serial, tr_err *err)
{
    uint32_t generation = 1;
    for (uint32_t at = clusters->nodes[anchor].entry; at != TR_CLUSTER_NO;
         at = clusters->entries[at].older) {
        const tr_cluster_birth *birth = &clusters->births[clusters->entries[at].serial];
        if (birth->node == anchor && birth->generation >= generation)
            generation = birth->generation + 1;
    }
    TR_TRY(tr_clusters_grow(&clusters->births, clusters->birth_count, &clusters->birth_cap,
                            sizeof *clusters->births, err));
    *serial = clusters->birth_count;
    clusters->births[clusters->birth_count++] = (tr_cluster_birth){anchor, generation};
    return TR_OK;
}

static tr_code make_group(tr_clusters *clusters, uint32_t serial, uint32_t *out, tr_err *err)
{
    uint32_t group = clusters->group_free;
    if (group == TR_CLUSTER_NO) {
        TR_TRY(tr_clusters_grow(&clusters->groups, clusters->group_count, &clusters->group_cap,
                                sizeof *clusters->groups, err));
        group = clusters->group_count++;
    } else {
        clusters->group_free = clusters->groups[group].members;
    }
    clusters->groups[group] = (tr_cluster_group){.serial = serial};
    clusters->stats.clusters++;
    *out = group;
    return TR_OK;
}

static tr_code end_group(tr_clusters *clusters, uint32_t group, tr_err *err)
{
    tr_cluster_group *own = &clusters->groups[group];
    TR_TRY(tr_u32_pool_resize(&clusters->members, &own->members, own->count, 0, err));
    *own = (tr_cluster_group){.members = clusters->group_free};
    clusters->group_free = group;
    clusters->stats.clusters--;
    return TR_OK;
}

/* The node is in a cluster that it was not in before. */
static tr_code note_entry(tr_clusters *clusters, uint32_t node, uint32_t serial,
                          int64_t recorded_us, tr_err *err)
{
    TR_TRY(tr_clusters_grow(&clusters->entries, clusters->entry_count, &clusters->entry_cap,
                            sizeof *clusters->entries, err));
    clusters->entries[clusters->entry_count] = (tr_cluster_entry){
        .older = clusters->nodes[node].entry, .serial = serial, .recorded_us = recorded_us};
    clusters->nodes[node].entry = clusters->entry_count++;
    return TR_OK;
}

static tr_code move_in(tr_clusters *clusters, uint32_t group, uint32_t *place, uint32_t node,
                       int64_t recorded_us, tr_err *err)
{
    *place = node;
    clusters->nodes[node].group = group;
    return note_entry(clusters, node, clusters->groups[group].serial, recorded_us, err);
}

/* The smaller sides move into the largest. */
static tr_code join(tr_clusters *clusters, const row_sides *sides, const tr_link_row *row,
                    tr_err *err)
{
    uint32_t group = sides->largest;
    if (group == TR_CLUSTER_NO) { /* all are singles */
        uint32_t serial;
        const uint32_t anchor = best_anchor(clusters, sides->singles, sides->single_count);
        TR_TRY(give_birth(clusters, anchor, &serial, err));
        TR_TRY(make_group(clusters, serial, &group, err));
    }
    tr_cluster_group *own = &clusters->groups[group];
    uint32_t at = own->count;
    TR_TRY(tr_u32_pool_resize(&clusters->members, &own->members, own->count, sides->members, err));
    own->count = sides->members;
    uint32_t *members = tr_group_members(clusters, group); /* stays: nothing takes lists below */
    for (uint32_t i = 0; i < sides->single_count; i++)
        TR_TRY(move_in(clusters, group, &members[at++], sides->singles[i], row->recorded_us, err));
    for (uint32_t i = 0; i < sides->group_count; i++) {
        const uint32_t other = sides->groups[i];
        if (other == group)
            continue;
        const uint32_t *moved = tr_group_members(clusters, other);
        for (uint32_t j = 0; j < clusters->groups[other].count; j++)
            TR_TRY(move_in(clusters, group, &members[at++], moved[j], row->recorded_us, err));
        TR_TRY(end_group(clusters, other, err));
    }
    TR_DCHECK(at == sides->members);
    return TR_OK;
}

/* A part of a union becomes a group. Its nodes still know the groups they came from. */
static tr_code settle(tr_clusters *clusters, const uint32_t *nodes, uint32_t count, uint32_t serial,
                      const tr_link_row *row, tr_err *err)
{
    uint32_t group;
    TR_TRY(make_group(clusters, serial, &group, err));
    tr_cluster_group *own = &clusters->groups[group];
    TR_TRY(tr_u32_pool_resize(&clusters->members, &own->members, 0, count, err));
    own->count = count;
    uint32_t *members = tr_group_members(clusters, group);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t old = clusters->nodes[nodes[i]].group;
        members[i] = nodes[i];
        clusters->nodes[nodes[i]].group = group;
        if (old == TR_CLUSTER_NO || clusters->groups[old].serial != serial)
            TR_TRY(note_entry(clusters, nodes[i], serial, row->recorded_us, err));
    }
    order_members(clusters, members, count);
    return TR_OK;
}

/* Too many for one: all are taken together, some go, what is left and connected is a group. The
 * part of the best anchor keeps the id that a merge would have kept. */
static tr_code rebuild(tr_clusters *clusters, const uint32_t *nodes, uint32_t count,
                       const row_sides *sides, const tr_link_row *row, tr_err *err)
{
    tr_union all = {.count = sides->single_count};
    memcpy(all.nodes, sides->singles, sides->single_count * sizeof *all.nodes);
    for (uint32_t i = 0; i < sides->group_count; i++) {
        const uint32_t members = clusters->groups[sides->groups[i]].count;
        memcpy(all.nodes + all.count, tr_group_members(clusters, sides->groups[i]),
               members * sizeof *all.nodes);
        all.count += members;
    }
    TR_TRY(tr_union_limit(clusters, &all, nodes, count, row, err));
    const uint32_t kept = clusters->groups[sides->largest].serial;
    const uint32_t best = best_anchor(clusters, all.nodes, all.count);
    for (uint32_t at = 0; at < all.count;) {
        uint32_t *part = all.nodes + at;
        const uint32_t from = at == 0 ? nodes[0] : best_anchor(clusters, part, all.count - at);
        const uint32_t members = tr_union_part(clusters, part, all.count - at, from);
        const uint32_t anchor = best_anchor(clusters, part, members);
        uint32_t serial = kept;
        if (anchor != best)
            TR_TRY(give_birth(clusters, anchor, &serial, err));
        TR_TRY(settle(clusters, part, members, serial, row, err));
        at += members;
    }
    for (uint32_t i = 0; i < sides->group_count; i++)
        TR_TRY(end_group(clusters, sides->groups[i], err));
    return TR_OK;
}

tr_code tr_groups_unite(tr_clusters *clusters, const uint32_t *nodes, uint32_t count,
                        const tr_link_row *row, tr_err *err)
{
    row_sides sides;
    find_sides(clusters, nodes, count, &sides);
    if (sides.members > TR_CLUSTER_MEMBERS_MAX)
        return rebuild(clusters, nodes, count, &sides, row, err);
    if (sides.single_count > 0 || sides.group_count > 1)
        TR_TRY(join(clusters, &sides, row, err));
    const uint32_t group = clusters->nodes[nodes[0]].group;
    order_members(clusters, tr_group_members(clusters, group), clusters->groups[group].count);
    return TR_OK;
}

/* Answers ------------------------------------------------------------------------------------ */

uint32_t tr_clusters_members(const tr_clusters *clusters, uint32_t node, const uint32_t **out)
{
    const uint32_t group = clusters->nodes[node].group;
    if (group == TR_CLUSTER_NO) {
        *out = &clusters->nodes[node].self;
        return 1;
    }
    *out = tr_group_members(clusters, group);
    return clusters->groups[group].count;
}

static void make_id(const tr_clusters *clusters, uint32_t node, uint32_t generation,
                    uint8_t out[16])
{
    uint8_t text[20];
    memcpy(text, clusters->nodes[node].key, 16);
    for (uint32_t i = 0; i < 4; i++)
        text[16 + i] = (uint8_t)(generation >> (24 - 8 * i));
    const tr_hash128 hash = tr_hash128_of((tr_str){text, sizeof text});
    memcpy(out, hash.bytes, 16);
}

static void serial_id(const tr_clusters *clusters, uint32_t serial, uint8_t out[16])
{
    make_id(clusters, clusters->births[serial].node, clusters->births[serial].generation, out);
}

void tr_clusters_id(const tr_clusters *clusters, uint32_t node, uint8_t out[16])
{
    const uint32_t group = clusters->nodes[node].group;
    if (group == TR_CLUSTER_NO)
        make_id(clusters, node, 0, out);
    else
        serial_id(clusters, clusters->groups[group].serial, out);
}

tr_code tr_clusters_history(const tr_clusters *clusters, uint32_t node, tr_arena *arena,
                            const tr_cluster_change **out, uint32_t *count, tr_err *err)
{
    uint32_t entries = 0;
    for (uint32_t at = clusters->nodes[node].entry; at != TR_CLUSTER_NO;
         at = clusters->entries[at].older)
        entries++;
    tr_cluster_change *list = tr_arena_array(arena, entries, sizeof *list);
    if (list == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory for a history of %u clusters", entries);
    uint32_t at = clusters->nodes[node].entry;
    for (uint32_t i = 0; i < entries; i++, at = clusters->entries[at].older) {
        list[i].recorded_us = clusters->entries[at].recorded_us;
        serial_id(clusters, clusters->entries[at].serial, list[i].cluster);
    }
    *out = list;
    *count = entries;
    return TR_OK;
}
