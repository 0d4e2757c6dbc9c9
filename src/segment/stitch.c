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

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to stitch");
}

tr_code tr_segment_stitch(const tr_segment_parts *parts, const tr_tenant *tenant,
                          const json_t *runs, const json_t *memberships, const atomic_bool *cancel,
                          json_t **out, tr_err *err)
{
    tr_snapshot *snapshot = NULL;
    tr_memberships members = {0};
    tr_code code = tr_store_snapshot_of(parts->store, tenant, runs, &snapshot, err);
    if (code == TR_OK)
        code = tr_memberships_open(parts->catalog, parts->lake, tenant, memberships, &members, err);
    const tr_graph_order order = {.snapshot = snapshot,
                                  .memberships = members.runs,
                                  .membership_count = members.run_count,
                                  .cancel = cancel};
    if (code == TR_OK)
        code = tr_graph_stitch(parts->graph, tenant, &order, out, err);
    tr_memberships_close(&members);
    tr_store_release(parts->store, snapshot);
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
