/* SPDX-License-Identifier: Apache-2.0 */
/* segments.c - what the segments of a request bring along: their merge policies, and the runs of
 * members in force.
 */
#include "export/export_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan an export");
}

static tr_code add_once(json_t *texts, const char *text, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(texts); i++)
        if (strcmp(json_string_value(json_array_get(texts, i)), text) == 0)
            return TR_OK;
    return json_array_append_new(texts, json_string(text)) == 0 ? TR_OK : no_memory(err);
}

static tr_code add_policy(tr_export *export, const tr_tenant *tenant, const tr_selected *item,
                          uint32_t index, json_t *own, tr_err *err)
{
    tr_object segment = {0};
    char id[256];
    (void)snprintf(id, sizeof id, "%.*s", item->segment.len > 200 ? 200 : (int)item->segment.len,
                   (const char *)item->segment.at);
    if (!tr_str_equal_folded(item->namespace, tr_str_of("ups")))
        return TR_OK;
    tr_code code = tr_catalog_get(export->parts.catalog, tenant, "segment", id, &segment, err);
    if (code == TR_NOT_FOUND)
        code = TR_FAIL(err, TR_NOT_FOUND,
                       "filter.segments[%u].segmentId: no segment definition with id \"%.60s\"",
                       index, id);
    if (code == TR_OK)
        code = add_once(own, tr_json_text(segment.doc, "mergePolicyId", ""), err);
    tr_object_clear(&segment);
    return code;
}

tr_code tr_export_segment_policies(tr_export *export, const tr_tenant *tenant,
                                   const json_t *segments, json_t *own, tr_err *err)
{
    tr_arena arena = {0};
    tr_selection selection = {0};
    tr_code code = TR_OK;
    if (segments != NULL)
        code = tr_selection_read(segments, &arena, &selection, err);
    for (uint32_t i = 0; i < selection.count && code == TR_OK; i++)
        code = add_policy(export, tenant, &selection.items[i], i, own, err);
    tr_arena_free(&arena);
    return code;
}

static tr_code add_membership(tr_export *export, const tr_tenant *tenant, const char *policy,
                              json_t *runs, json_t *hidden, tr_err *err)
{
    char run[32];
    TR_TRY(tr_membership_now(export->parts.catalog, tenant, policy, run, err));
    if (run[0] == '\0')
        return TR_OK;
    TR_TRY(add_once(runs, run, err));
    return tr_membership_hidden(export->parts.catalog, tenant, policy, hidden, err);
}

tr_code tr_export_memberships(tr_export *export, const tr_tenant *tenant, json_t *plan, tr_err *err)
{
    const json_t *own = json_object_get(plan, "segmentPolicies");
    json_t *runs = json_array(), *hidden = json_array();
    tr_code code = runs == NULL || hidden == NULL
                       ? no_memory(err)
                       : add_membership(export, tenant,
                                        tr_json_text(json_object_get(plan, "policy"), "id", ""),
                                        runs, hidden, err);
    for (size_t i = 0; i < json_array_size(own) && code == TR_OK; i++)
        code = add_membership(export, tenant, json_string_value(json_array_get(own, i)), runs,
                              hidden, err);
    if (code == TR_OK && (json_object_set(plan, "memberships", runs) != 0 ||
                          json_object_set(plan, "hidden", hidden) != 0))
        code = no_memory(err);
    json_decref(runs);
    json_decref(hidden);
    return code;
}
