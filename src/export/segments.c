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

tr_code tr_export_memberships(tr_export *export, const tr_tenant *tenant, const json_t *policy,
                              const json_t *own, json_t *out, tr_err *err)
{
    char run[32];
    const char *id = tr_json_text(policy, "id", "");
    TR_TRY(tr_membership_now(export->parts.catalog, tenant, id, run, err));
    if (run[0] != '\0')
        TR_TRY(add_once(out, run, err));
    for (size_t i = 0; i < json_array_size(own); i++) {
        TR_TRY(tr_membership_now(export->parts.catalog, tenant,
                                 json_string_value(json_array_get(own, i)), run, err));
        if (run[0] != '\0')
            TR_TRY(add_once(out, run, err));
    }
    return TR_OK;
}

tr_code tr_export_evaluate(tr_export *export, const tr_tenant *tenant,
                           const tr_export_request *request, const char *request_id, json_t *plan,
                           tr_err *err)
{
    const tr_segment_order order = {.request_id = request_id, .source = "export"};
    json_t *body = json_array(), *job = NULL;
    tr_code code = body == NULL ? no_memory(err) : TR_OK;
    for (size_t i = 0; i < json_array_size(request->segments) && code == TR_OK; i++) {
        const json_t *segment = json_array_get(request->segments, i);
        const char *namespace = tr_json_text(segment, "segmentNs", TR_SEGMENT_NS);
        if (!tr_str_equal_folded(tr_str_of(namespace), tr_str_of(TR_SEGMENT_NS)))
            continue;
        if (json_array_append_new(
                body, json_pack("{s:s}", "segmentId", tr_json_text(segment, "segmentId", ""))) != 0)
            code = no_memory(err);
    }
    if (code == TR_OK && json_array_size(body) > 0)
        code = tr_segment_job_create(export->parts.segment, tenant, body, &order, &job, err);
    if (code == TR_OK && job != NULL &&
        json_object_set(plan, "segmentJob", json_object_get(job, "id")) != 0)
        code = no_memory(err);
    json_decref(body);
    json_decref(job);
    return code;
}

tr_code tr_export_settle(tr_export *export, const tr_tenant *tenant, tr_object *stored, tr_err *err)
{
    const char *id = tr_json_text(stored->doc, "segmentJob", "");
    char state[32];
    if (id[0] == '\0' || tr_json_bool(stored->doc, "isEvaluated", false))
        return TR_OK;
    TR_TRY(tr_segment_job_state(export->parts.segment, tenant, id, state, err));
    if (strcmp(state, "FAILED") == 0 || strcmp(state, "CANCELLED") == 0 || state[0] == '\0')
        return TR_FAIL(err, TR_SEMANTIC, "segment job %s, which evaluates its segments, ended %s",
                       id, state[0] == '\0' ? "with the sandbox" : state);
    if (strcmp(state, "SUCCEEDED") != 0)
        return TR_FAIL(err, TR_CANCELLED, "segment job %s has not ended", id);
    json_t *memberships = json_array();
    if (memberships == NULL || json_object_set_new(stored->doc, "memberships", memberships) != 0 ||
        json_object_set_new(stored->doc, "isEvaluated", json_true()) != 0)
        return no_memory(err);
    TR_TRY(tr_export_memberships(export, tenant, json_object_get(stored->doc, "policy"),
                                 json_object_get(stored->doc, "segmentPolicies"), memberships,
                                 err));
    stored->updated_ms = 0;
    return tr_catalog_put(export->parts.catalog, tenant, "export_plan", stored, 0, err);
}
