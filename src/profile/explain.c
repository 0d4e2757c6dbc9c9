/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c - where each field of a profile comes from; see profile.h.
 *
 * Under a policy that asks the graph, a fragment is told with its identity, and so are those that
 * had to leave the profile's cluster: all of a graph are looked through, for nobody asks this
 * often.
 *
 * The fragments of a found profile stand best first, and a unit is taken from the first that has
 * it:
 * so the answer needs only to know who has it. Maps are united key by key, of all that have any.
 */
#include "profile/profile_internal.h"
#include "base/clock.h"

static tr_code put(tr_buf *out, const char *text, tr_err *err)
{
    return tr_buf_append(out, tr_str_of(text), err);
}

static tr_code put_text(tr_str text, tr_buf *out, tr_err *err)
{
    json_t *value = tr_json_str(text);
    if (value == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to explain a profile");
    const tr_code code = tr_json_write(value, out, err);
    json_decref(value);
    return code;
}

/* Without braces, so that more can follow. */
static tr_code put_identity(tr_str code, tr_str id, tr_buf *out, tr_err *err)
{
    TR_TRY(put(out, "\"id\":", err));
    TR_TRY(put_text(id, out, err));
    TR_TRY(put(out, ",\"namespace\":{\"code\":", err));
    TR_TRY(put_text(code, out, err));
    return put(out, "}", err);
}

typedef struct telling {
    const tr_profile_found *found;
    bool with_identities;
    tr_buf *out;
} telling;

/* Ids of datasets and batches are plain letters and digits: nothing to be escaped. */
static tr_code put_fragment(const telling *t, uint32_t number, bool with_identity, tr_err *err)
{
    const tr_merge_fragment *fragment = &t->found->merged.fragments[number];
    char updated[TR_TIME_TEXT_BYTES], ingested[TR_TIME_TEXT_BYTES];
    TR_TRY(tr_buf_format(t->out, err,
                         "{\"dataSetId\":\"%s\",\"batchId\":\"%.*s\",\"updatedAt\":\"%s\","
                         "\"ingestedAt\":\"%s\"",
                         fragment->run->dataset, TR_STR_ARG(fragment->batch),
                         tr_time_format(fragment->updated_us, updated),
                         tr_time_format(fragment->ingested_us, ingested)));
    if (with_identity) {
        const tr_merge_identity *own = &t->found->identities[fragment->identity];
        TR_TRY(put(t->out, ",\"identity\":{", err));
        TR_TRY(put_identity(own->code, own->id, t->out, err));
        TR_TRY(put(t->out, "}", err));
    }
    return put(t->out, "}", err);
}

static tr_code put_list(const telling *t, const bool *has, uint32_t from, tr_err *err)
{
    bool is_first = true;
    TR_TRY(put(t->out, "[", err));
    for (uint32_t i = from; i < t->found->merged.fragment_count; i++) {
        if (!has[i])
            continue;
        if (!is_first)
            TR_TRY(put(t->out, ",", err));
        is_first = false;
        TR_TRY(put_fragment(t, i, t->with_identities, err));
    }
    return put(t->out, "]", err);
}

static tr_code put_unit(const telling *t, const tr_unit *unit, const bool *has, uint32_t first,
                        tr_err *err)
{
    TR_TRY(put_text(unit->path, t->out, err));
    if (unit->type->kind == TR_KIND_MAP) {
        TR_TRY(put(t->out, ":{\"from\":", err));
        TR_TRY(put_list(t, has, first, err));
        return put(t->out, "}", err);
    }
    TR_TRY(put(t->out, ":{\"winner\":", err));
    TR_TRY(put_fragment(t, first, t->with_identities, err));
    TR_TRY(put(t->out, ",\"losers\":", err));
    TR_TRY(put_list(t, has, first + 1, err));
    return put(t->out, "}", err);
}

tr_code tr_profile_explain(const tr_profile_view *view, const tr_profile_found *found,
                           tr_arena *arena, tr_buf *out, tr_err *err)
{
    const telling t = {found, view->is_stitched, out};
    const uint32_t count = found->merged.fragment_count;
    bool is_first = true;
    bool *has = tr_arena_array(arena, (size_t)count + 1, sizeof *has);
    if (has == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to explain a profile");
    TR_TRY(put(out, "{", err));
    for (uint32_t u = 0; u < view->shape.unit_count; u++) {
        uint32_t first = 0;
        TR_TRY(tr_merge_who_has(view->plan, &found->merged, u, arena, has, err));
        while (first < count && !has[first])
            first++;
        if (first == count)
            continue;
        if (!is_first)
            TR_TRY(put(out, ",", err));
        is_first = false;
        TR_TRY(put_unit(&t, &view->shape.units[u], has, first, err));
    }
    return put(out, "}", err);
}

/* The graph ---------------------------------------------------------------------------------- */

static tr_code put_member(const telling *t, uint32_t number, tr_err *err)
{
    const tr_merge_profile *merged = &t->found->merged;
    const tr_merge_identity *own = &t->found->identities[number];
    bool is_first = true;
    TR_TRY(put(t->out, number == 0 ? "{" : ",{", err));
    TR_TRY(put_identity(own->code, own->id, t->out, err));
    TR_TRY(put(t->out, ",\"fragments\":[", err));
    for (uint32_t i = 0; i < merged->fragment_count; i++) {
        if (merged->fragments[i].identity != number)
            continue;
        if (!is_first)
            TR_TRY(put(t->out, ",", err));
        is_first = false;
        TR_TRY(put_fragment(t, i, false, err));
    }
    return put(t->out, "]}", err);
}

/* Ids of the clusters that the profile's identities were in. */
typedef struct known_clusters {
    const uint8_t (*ids)[16];
    uint32_t count;
} known_clusters;

static tr_code find_clusters(const tr_clusters *clusters, const tr_profile_found *found,
                             tr_arena *arena, known_clusters *out, tr_err *err)
{
    uint32_t all = 0;
    const tr_cluster_change **changes =
        tr_arena_array(arena, found->identity_count, sizeof *changes);
    uint32_t *counts = tr_arena_array(arena, found->identity_count, sizeof *counts);
    if (changes == NULL || counts == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to explain a profile");
    for (uint32_t i = 0; i < found->identity_count; i++) {
        const uint32_t node = tr_clusters_find(clusters, found->identities[i].key);
        if (node != TR_NODE_NONE)
            TR_TRY(tr_clusters_history(clusters, node, arena, &changes[i], &counts[i], err));
        all += counts[i];
    }
    uint8_t(*ids)[16] = tr_arena_array(arena, (size_t)all + 1, sizeof *ids);
    if (ids == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to explain a profile");
    out->count = 0;
    for (uint32_t i = 0; i < found->identity_count; i++)
        for (uint32_t c = 0; c < counts[i]; c++)
            memcpy(ids[out->count++], changes[i][c].cluster, sizeof *ids);
    out->ids = (const uint8_t(*)[16])ids;
    return TR_OK;
}

static tr_code was_among(const tr_clusters *clusters, uint32_t node, const known_clusters *known,
                         bool *out, tr_err *err)
{
    tr_arena arena = {0};
    const tr_cluster_change *changes = NULL;
    uint32_t count = 0;
    const tr_code code = tr_clusters_history(clusters, node, &arena, &changes, &count, err);
    *out = false;
    for (uint32_t i = 0; i < count && code == TR_OK; i++)
        for (uint32_t k = 0; k < known->count && !*out; k++)
            *out = memcmp(changes[i].cluster, known->ids[k], sizeof *known->ids) == 0;
    tr_arena_free(&arena);
    return code;
}

static tr_code put_drop(const tr_graph_reading *reading, const tr_drop *drop, bool is_first,
                        tr_buf *out, tr_err *err)
{
    tr_node node;
    tr_str batch, dataset;
    char when[TR_TIME_TEXT_BYTES];
    tr_clusters_describe(tr_graph_clusters(reading), drop->node, &node);
    tr_graph_batch(reading, drop->batch, &batch, &dataset);
    TR_TRY(put(out, is_first ? "{" : ",{", err));
    TR_TRY(put_identity(node.code, node.id, out, err));
    return tr_buf_format(
        out, err, ",\"reason\":\"%s\",\"dataSetId\":\"%.*s\",\"batchId\":\"%.*s\",\"at\":\"%s\"}",
        drop->is_left_over ? "its last link went with another identity"
                           : "the cluster had more than 50 identities",
        TR_STR_ARG(dataset), TR_STR_ARG(batch), tr_time_format(drop->time_us, when));
}

static tr_code put_drops(const tr_graph_reading *reading, const tr_profile_found *found,
                         tr_arena *arena, tr_buf *out, tr_err *err)
{
    const tr_clusters *clusters = tr_graph_clusters(reading);
    const tr_drop *drops = NULL;
    known_clusters known = {0};
    bool is_first = true, is_its = false;
    const uint32_t count = tr_clusters_drops(clusters, &drops);
    TR_TRY(find_clusters(clusters, found, arena, &known, err));
    for (uint32_t i = 0; i < count; i++) {
        TR_TRY(was_among(clusters, drops[i].node, &known, &is_its, err));
        if (!is_its)
            continue;
        TR_TRY(put_drop(reading, &drops[i], is_first, out, err));
        is_first = false;
    }
    return TR_OK;
}

tr_code tr_profile_explain_graph(const tr_profile_view *view, const tr_profile_found *found,
                                 tr_buf *out, tr_err *err)
{
    const telling t = {found, false, out};
    tr_graph_reading *reading = NULL;
    tr_arena arena = {0};
    TR_TRY(put(out, "{\"identities\":[", err));
    for (uint32_t i = 0; i < found->identity_count; i++)
        TR_TRY(put_member(&t, i, err));
    TR_TRY(put(out, "],\"dropped\":[", err));
    TR_TRY(tr_graph_read(view->parts->graph, &view->tenant, &reading, err));
    const tr_code code = put_drops(reading, found, &arena, out, err);
    tr_graph_done(reading);
    tr_arena_free(&arena);
    return code == TR_OK ? put(out, "]}", err) : code;
}
