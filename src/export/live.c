/* SPDX-License-Identifier: Apache-2.0 */
/* live.c - see live.h. */
#include "export/live.h"

#include "export/export_internal.h"
#include "segment/stitch.h"

struct tr_live {
    tr_export *export;
    tr_tenant tenant;
    json_t *json; /* the plan */
    char key[33];
    tr_export_plan plan; /* once it has begun */
    bool has_begun;
};

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for live profiles");
}

/* Of all that the plan says but the columns, and of the graph: a namespace that comes changes it,
 * and runs that come back after a revert do not bring back the links that it had meanwhile. */
tr_code tr_live_name(tr_live *live, tr_err *err)
{
    tr_buf text = {0};
    uint64_t version = 0;
    TR_TRY(tr_segment_graph_version(tr_segment_parts_of(live->export->parts.segment), &live->tenant,
                                    json_object_get(live->json, "policy"), &version, err));
    json_t *rest = json_copy(live->json);
    const bool is_good = rest != NULL && json_object_del(rest, "output") == 0 &&
                         json_object_set_new(rest, "graph", json_integer((json_int_t)version)) == 0;
    tr_code code = is_good ? tr_json_write(rest, &text, err) : no_memory(err);
    if (code == TR_OK)
        tr_hash128_text(tr_hash128_of(tr_buf_str(&text)), live->key);
    json_decref(rest);
    tr_buf_free(&text);
    return code;
}

typedef struct decision {
    tr_live *live;
    const char *policy_id;
} decision;

/* Policy, members and runs: of one moment, by tr_catalog_read_at_once. */
static tr_code decide(void *ctx, tr_err *err)
{
    const decision *d = ctx;
    tr_live *live = d->live;
    const tr_export_request request = {.policy_id = d->policy_id,
                                       .with_event_only = true,
                                       .updated_after_us = TR_TIME_NONE,
                                       .event_after_us = TR_TIME_NONE,
                                       .event_before_us = TR_TIME_NONE,
                                       .qualified_from_us = TR_TIME_NONE,
                                       .qualified_until_us = TR_TIME_NONE};
    json_t *policy = NULL;
    json_decref(live->json);
    live->json = NULL;
    const tr_code code =
        tr_export_plan_of(live->export, &live->tenant, &request, &policy, &live->json, err);
    json_decref(policy);
    return code;
}

tr_code tr_live_open(tr_export *export, const tr_tenant *tenant, const char *policy_id,
                     tr_live **out, tr_err *err)
{
    tr_live *live = tr_alloc_zeroed(1, sizeof *live);
    if (live == NULL)
        return no_memory(err);
    live->export = export;
    live->tenant = *tenant;
    decision d = {live, policy_id};
    const tr_code code = tr_catalog_read_at_once(export->parts.catalog, decide, &d, err);
    if (code == TR_OK)
        *out = live;
    else
        tr_live_close(live);
    return code;
}

void tr_live_close(tr_live *live)
{
    if (live == NULL)
        return;
    if (live->has_begun)
        tr_export_plan_close(&live->plan);
    json_decref(live->json);
    tr_free(live);
}

const char *tr_live_key(const tr_live *live)
{
    return live->key;
}

const json_t *tr_live_columns(const tr_live *live)
{
    return json_object_get(json_object_get(live->json, "output"), "c");
}

const char *tr_live_policy(const tr_live *live)
{
    return tr_json_text(json_object_get(live->json, "policy"), "id", "");
}

tr_code tr_live_narrow(tr_live *live, bool (*wants)(void *ctx, const char *column), void *ctx,
                       tr_err *err)
{
    size_t i;
    json_t *column, *kept = json_array();
    json_t *output = json_object_get(live->json, "output");
    const json_t *columns = json_object_get(output, "c");
    tr_code code = kept == NULL ? no_memory(err) : TR_OK;
    json_array_foreach (columns, i, column)
        if (code == TR_OK && wants(ctx, tr_json_text(column, "n", "")) &&
            json_array_append(kept, column) != 0)
            code = no_memory(err);
    if (code == TR_OK && json_array_size(kept) == 0 && json_array_size(columns) > 0 &&
        json_array_append(kept, json_array_get(columns, 0)) != 0) /* rows need a column */
        code = no_memory(err);
    if (code == TR_OK && json_object_set(output, "c", kept) != 0)
        code = no_memory(err);
    json_decref(kept);
    return code;
}

tr_code tr_live_begin(tr_live *live, tr_err *err)
{
    bool is_changed = false;
    TR_TRY(tr_export_plan_stitch(live->json, &live->export->parts, &live->tenant, NULL, &is_changed,
                                 err));
    TR_TRY(tr_export_plan_open(live->json, &live->export->parts, &live->tenant, NULL, &live->plan,
                               err));
    live->has_begun = true;
    return TR_OK;
}

uint32_t tr_live_partitions(const tr_live *live)
{
    return live->plan.partitions;
}

tr_code tr_live_write(const tr_live *live, uint32_t partition, tr_sink sink,
                      const atomic_bool *cancel, uint64_t *profiles, tr_err *err)
{
    tr_merge_stats stats = {0};
    const tr_code code = tr_merge_partition(live->plan.slots[0].merge, partition, sink, cancel,
                                            NULL, NULL, &stats, err);
    if (tr_export_plan_is_to_begin_again(&live->plan, &live->export->parts, &live->tenant, code))
        return TR_FAIL(err, TR_NOT_FOUND, "merged run %s was damaged", live->plan.merged.id);
    TR_TRY(code);
    *profiles = stats.profiles;
    return TR_OK;
}

tr_code tr_live_write_columns(tr_live *live, tr_sink sink, tr_err *err)
{
    uint64_t none;
    json_t *whole = live->json;
    live->json = json_copy(whole);
    tr_code code = TR_OK;
    if (live->json == NULL || json_object_set_new(live->json, "runs", json_array()) != 0 ||
        json_object_set_new(live->json, "stitched", json_array()) != 0 ||
        json_object_set_new(live->json, "memberships", json_array()) != 0)
        code = no_memory(err);
    if (code == TR_OK)
        code = tr_live_begin(live, err);
    if (code == TR_OK)
        code = tr_live_write(live, 0, sink, NULL, &none, err);
    json_decref(whole);
    return code;
}
