/* SPDX-License-Identifier: Apache-2.0 */
/* fakes_segment.c - the room of segments for tests of a job's life: there are none. */
#include "export/fakes_internal.h"

#include "segment/stitch.h"

bool tr_policy_is_stitched(const json_t *policy)
{
    (void)policy;
    return false;
}

const tr_segment_parts *tr_segment_parts_of(const tr_segment *segment)
{
    (void)segment;
    return NULL;
}

tr_code tr_segment_stitch(const tr_segment_parts *parts, const tr_tenant *tenant,
                          const json_t *runs, const json_t *memberships, const atomic_bool *cancel,
                          json_t **out, tr_err *err)
{
    (void)parts, (void)tenant, (void)runs, (void)memberships, (void)cancel, (void)out;
    return TR_FAIL(err, TR_INVALID, "nothing is stitched here");
}

tr_code tr_segment_graph_version(const tr_segment_parts *parts, const tr_tenant *tenant,
                                 const json_t *policy, uint64_t *out, tr_err *err)
{
    (void)parts, (void)tenant, (void)policy, (void)err;
    *out = 0;
    return TR_OK;
}

tr_code tr_membership_now(tr_catalog *catalog, const tr_tenant *tenant, const char *policy,
                          char out[32], tr_err *err)
{
    (void)catalog, (void)tenant, (void)policy, (void)err;
    out[0] = '\0';
    return TR_OK;
}

tr_code tr_memberships_open(tr_catalog *catalog, tr_lake *lake, const tr_tenant *tenant,
                            const json_t *ids, tr_memberships *out, tr_err *err)
{
    (void)catalog, (void)lake, (void)tenant;
    if (json_array_size(ids) > 0)
        return TR_FAIL(err, TR_NOT_FOUND, "no membership \"%s\"",
                       json_string_value(json_array_get(ids, 0)));
    *out = (tr_memberships){0};
    return TR_OK;
}

void tr_memberships_close(tr_memberships *memberships)
{
    (void)memberships;
}

tr_code tr_merge_view_unit(tr_merge_view *view, uint32_t unit, const bool *wanted, tr_arena *arena,
                           tr_column *columns, tr_err *err)
{
    (void)view, (void)unit, (void)wanted, (void)arena, (void)columns;
    return TR_FAIL(err, TR_INVALID, "nothing is kept by columns here");
}

tr_code tr_merge_view_member_rows(tr_merge_view *view, tr_arena *arena, tr_column *columns,
                                  tr_merge_members *out, bool *is_all, tr_err *err)
{
    (void)view, (void)arena, (void)columns, (void)out, (void)is_all;
    return TR_FAIL(err, TR_INVALID, "nothing is kept by members here");
}

uint32_t tr_merge_view_count(const tr_merge_view *view)
{
    (void)view;
    return 0;
}

void tr_segment_tell_ends(tr_segment *segment, tr_segment_on_end tell, void *ctx)
{
    (void)segment, (void)tell, (void)ctx;
}

tr_code tr_segment_job_state(tr_segment *segment, const tr_tenant *tenant, const char *id,
                             char out[32], tr_err *err)
{
    (void)segment, (void)tenant, (void)id, (void)err;
    out[0] = '\0';
    return TR_OK;
}

tr_code tr_segment_job_create(tr_segment *segment, const tr_tenant *tenant, const json_t *body,
                              const tr_segment_order *order, json_t **job, tr_err *err)
{
    (void)segment, (void)tenant, (void)body, (void)order, (void)job;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

tr_code tr_segment_resume(tr_segment *segment, tr_err *err)
{
    (void)segment, (void)err;
    return TR_OK;
}

tr_code tr_segment_ask_turn(tr_segment *segment, const tr_tenant *tenant, const char *id,
                            void (*begin)(void *ctx), void *ctx, tr_err *err)
{
    (void)segment, (void)tenant, (void)id, (void)err;
    begin(ctx);
    return TR_OK;
}

void tr_segment_end_turn(tr_segment *segment, const tr_tenant *tenant, const char *id)
{
    (void)segment, (void)tenant, (void)id;
}

tr_code tr_evaluation_find(tr_segment *segment, const tr_tenant *tenant, const json_t *ids,
                           json_t *documents, tr_err *err)
{
    (void)segment, (void)tenant, (void)ids, (void)documents;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

tr_code tr_evaluation_plan(tr_segment *segment, const tr_tenant *tenant, const json_t *documents,
                           json_t **plan, tr_err *err)
{
    (void)segment, (void)tenant, (void)documents, (void)plan;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

tr_code tr_evaluation_open(tr_segment *segment, const tr_tenant *tenant, const json_t *plan,
                           uint32_t group, json_t *problems, tr_evaluation **out, tr_err *err)
{
    (void)segment, (void)tenant, (void)plan, (void)group, (void)problems, (void)out;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

void tr_evaluation_close(tr_evaluation *evaluation)
{
    (void)evaluation;
}

void tr_evaluation_ask(const tr_evaluation *evaluation, tr_merge_spec *spec)
{
    (void)evaluation, (void)spec;
}

tr_code tr_evaluation_run(const tr_evaluation *evaluation, tr_merge_view *view, uint8_t bits,
                          const atomic_bool *cancel, tr_buf *file, tr_evaluated *out, tr_err *err)
{
    (void)evaluation, (void)view, (void)bits, (void)cancel, (void)file, (void)out;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

tr_code tr_evaluated_write(tr_evaluated *part, tr_lake *lake, const tr_tenant *tenant,
                           const char *stage, uint32_t partition, tr_str bytes, tr_err *err)
{
    (void)part, (void)lake, (void)tenant, (void)stage, (void)partition, (void)bytes;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

json_t *tr_evaluated_to_json(const tr_evaluated *part)
{
    (void)part;
    return NULL;
}

tr_code tr_evaluated_of_json(const json_t *json, tr_evaluated *out, tr_err *err)
{
    (void)json, (void)out;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

json_t *tr_evaluated_files(const tr_evaluated *parts, uint32_t count)
{
    (void)parts, (void)count;
    return NULL;
}

tr_code tr_evaluated_begin_metrics(json_t *metrics, tr_err *err)
{
    (void)metrics, (void)err;
    return TR_OK;
}

tr_code tr_evaluated_add_metrics(json_t *metrics, const json_t *plan, uint32_t group,
                                 const tr_evaluated *parts, uint32_t count, tr_err *err)
{
    (void)metrics, (void)plan, (void)group, (void)parts, (void)count, (void)err;
    return TR_OK;
}

tr_code tr_membership_replace(tr_catalog *catalog, const tr_tenant *tenant, const json_t *group,
                              const json_t *list, char gone[32], tr_err *err)
{
    (void)catalog, (void)tenant, (void)group, (void)list, (void)gone;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

tr_code tr_merge_view_set_members(tr_merge_view *view, const tr_run *run, tr_err *err)
{
    (void)view, (void)run;
    return TR_FAIL(err, TR_INVALID, "nothing is evaluated here");
}

tr_code tr_lake_map_stage(tr_lake *lake, const tr_tenant *tenant, const char *stage,
                          const char *name, tr_map *out, tr_err *err)
{
    (void)lake, (void)tenant, (void)stage, (void)out;
    return TR_FAIL(err, TR_NOT_FOUND, "no staged \"%s\"", name);
}

tr_code tr_run_open(tr_str bytes, const char *id, const char *dataset, tr_run **out, tr_err *err)
{
    (void)bytes, (void)dataset, (void)out;
    return TR_FAIL(err, TR_NOT_FOUND, "no run \"%s\"", id);
}

void tr_run_close(tr_run *run)
{
    (void)run;
}

tr_code tr_membership_hidden(tr_catalog *catalog, const tr_tenant *tenant, const char *policy,
                             json_t *ids, tr_err *err)
{
    (void)catalog, (void)tenant, (void)policy, (void)ids, (void)err;
    return TR_OK;
}
