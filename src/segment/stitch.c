/* SPDX-License-Identifier: Apache-2.0 */
/* stitch.c - see stitch.h. */
#include "segment/stitch.h"

#include "segment/membership.h"
#include "segment/segment_internal.h"

bool tr_policy_is_stitched(const json_t *policy)
{
    const json_t *graph = json_object_get(policy, "identityGraph");
    return strcmp(tr_json_text(graph, "type", "none"), "pdg") == 0;
}

tr_code tr_segment_graph_version(const tr_segment_parts *parts, const tr_tenant *tenant,
                                 const json_t *policy, uint64_t *out, tr_err *err)
{
    tr_graph_reading *reading = NULL;
    *out = 0;
    if (!tr_policy_is_stitched(policy))
        return TR_OK;
    TR_TRY(tr_graph_read(parts->graph, tenant, &reading, err));
    *out = tr_graph_version(reading);
    tr_graph_done(reading);
    return TR_OK;
}

typedef struct held {
    tr_snapshot *snapshot;
    tr_membership **memberships;
    uint32_t count;
    const tr_run **runs; /* of the memberships */
    uint32_t run_count;
} held;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to stitch");
}

static tr_code hold_memberships(const tr_segment_parts *parts, const tr_tenant *tenant,
                                const json_t *ids, held *h, tr_err *err)
{
    uint32_t own = 0, all = 0;
    h->memberships = tr_alloc_zeroed(json_array_size(ids) + 1, sizeof *h->memberships);
    if (h->memberships == NULL)
        return no_memory(err);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        TR_TRY(tr_membership_open(parts->catalog, parts->lake, tenant, id == NULL ? "" : id,
                                  &h->memberships[h->count], err));
        h->count++;
        (void)tr_membership_runs(h->memberships[h->count - 1], &own);
        all += own;
    }
    h->runs = tr_alloc_zeroed((size_t)all + 1, sizeof *h->runs);
    if (h->runs == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < h->count; i++) {
        const tr_run *const *list = tr_membership_runs(h->memberships[i], &own);
        for (uint32_t r = 0; r < own; r++)
            h->runs[h->run_count++] = list[r];
    }
    return TR_OK;
}

tr_code tr_segment_stitch(const tr_segment_parts *parts, const tr_tenant *tenant,
                          const json_t *runs, const json_t *memberships, const atomic_bool *cancel,
                          json_t **out, tr_err *err)
{
    held h = {.count = 0};
    tr_code code = tr_store_snapshot_of(parts->store, tenant, runs, &h.snapshot, err);
    if (code == TR_OK)
        code = hold_memberships(parts, tenant, memberships, &h, err);
    const tr_graph_order order = {.snapshot = h.snapshot,
                                  .memberships = h.runs,
                                  .membership_count = h.run_count,
                                  .cancel = cancel};
    if (code == TR_OK)
        code = tr_graph_stitch(parts->graph, tenant, &order, out, err);
    for (uint32_t i = 0; i < h.count; i++)
        tr_membership_close(h.memberships[i]);
    tr_free(h.memberships);
    tr_free(h.runs);
    tr_store_release(parts->store, h.snapshot);
    return code;
}

static tr_code stitch_snapshot(const tr_segment_parts *parts, const tr_tenant *tenant,
                               const tr_snapshot *snapshot, const char *membership,
                               const atomic_bool *cancel, tr_snapshot **out, tr_err *err)
{
    json_t *runs = tr_store_run_ids(snapshot), *memberships = json_pack("[s]", membership);
    json_t *stitched = NULL;
    tr_code code =
        runs == NULL || memberships == NULL
            ? no_memory(err)
            : tr_segment_stitch(parts, tenant, runs, memberships, cancel, &stitched, err);
    if (code == TR_OK)
        code = tr_store_snapshot_of(parts->store, tenant, stitched, out, err);
    json_decref(runs);
    json_decref(memberships);
    json_decref(stitched);
    return code;
}

static tr_code snapshot_once(const tr_segment_parts *parts, const tr_tenant *tenant,
                             const json_t *policy, const char *membership,
                             const atomic_bool *cancel, tr_snapshot **out, tr_err *err)
{
    tr_snapshot *snapshot = NULL;
    TR_TRY(tr_store_snapshot(parts->store, tenant, &snapshot, err));
    if (!tr_policy_is_stitched(policy)) {
        *out = snapshot;
        return TR_OK;
    }
    const tr_code code = stitch_snapshot(parts, tenant, snapshot, membership, cancel, out, err);
    tr_store_release(parts->store, snapshot);
    return code;
}

/* Data may be taken back between the list of runs and their stitching: then it is made again. */
tr_code tr_segment_snapshot(const tr_segment_parts *parts, const tr_tenant *tenant,
                            const json_t *policy, const char *membership, const atomic_bool *cancel,
                            tr_snapshot **out, tr_err *err)
{
    tr_code code = TR_NOT_FOUND;
    for (int i = 0; i < TR_PLANS_IN_A_ROW_MAX && code == TR_NOT_FOUND; i++)
        code = snapshot_once(parts, tenant, policy, membership, cancel, out, err);
    return code == TR_NOT_FOUND ? TR_FAIL(err, TR_BUSY, "the data changes too fast to look at it")
                                : code;
}
