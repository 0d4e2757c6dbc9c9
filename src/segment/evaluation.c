/* SPDX-License-Identifier: Apache-2.0 */
/* evaluation.c - an evaluation planned, opened, and its parts counted up; see evaluation.h. */
#include "segment/evaluation_internal.h"

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory to evaluate segments");
}

/* ---- what is to be evaluated */

static tr_code add_definition(tr_segment *segment, const tr_tenant *tenant, const char *id,
                              size_t index, json_t *documents, tr_err *err)
{
    tr_object object = {0};
    for (size_t i = 0; i < json_array_size(documents); i++)
        if (strcmp(tr_json_text(json_array_get(documents, i), "id", ""), id) == 0)
            return TR_OK;
    tr_code code = tr_catalog_get(segment->parts.catalog, tenant, "segment", id, &object, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_INVALID, "segments[%zu].segmentId: no segment with id \"%.60s\"",
                       index, id);
    TR_TRY(code);
    if (strcmp(object.state, "inactive") == 0 || strcmp(object.state, "archived") == 0)
        code = TR_FAIL(err, TR_INVALID, "segments[%zu].segmentId: segment \"%.60s\" is %s", index,
                       id, object.state);
    else if (json_array_append(documents, object.doc) != 0)
        code = no_memory(err);
    tr_object_clear(&object);
    return code;
}

static tr_code add_published(void *ctx, const tr_object *object, tr_err *err)
{
    return json_array_append(ctx, object->doc) == 0 ? TR_OK : no_memory(err);
}

static tr_code add_all(tr_segment *segment, const tr_tenant *tenant, json_t *documents, tr_err *err)
{
    const tr_catalog_filter published = {.state = "published"};
    return tr_catalog_list(segment->parts.catalog, tenant, "segment", &published, add_published,
                           documents, err);
}

tr_code tr_evaluation_find(tr_segment *segment, const tr_tenant *tenant, const json_t *ids,
                           json_t *documents, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *item = json_array_get(ids, i);
        const char *id =
            json_is_string(item) ? json_string_value(item) : tr_json_text(item, "segmentId", NULL);
        if (id == NULL || id[0] == '\0')
            return TR_FAIL(err, TR_INVALID, "segments[%zu].segmentId is required: a string", i);
        if (strcmp(id, "*") == 0)
            TR_TRY(add_all(segment, tenant, documents, err));
        else
            TR_TRY(add_definition(segment, tenant, id, i, documents, err));
    }
    return TR_OK;
}

typedef struct planning {
    tr_segment *segment;
    const tr_tenant *tenant;
    json_t *groups;
} planning;

static json_t *find_group(const json_t *groups, const char *policy)
{
    for (size_t i = 0; i < json_array_size(groups); i++) {
        json_t *group = json_array_get(groups, i);
        if (strcmp(tr_json_text(json_object_get(group, "policy"), "id", ""), policy) == 0)
            return group;
    }
    return NULL;
}

static tr_code add_group(const planning *p, const char *id, json_t **out, tr_err *err)
{
    tr_catalog *catalog = p->segment->parts.catalog;
    json_t *policy = NULL;
    char before[32];
    TR_TRY(tr_membership_now(catalog, p->tenant, id, before, err));
    const tr_code code = tr_policy_get(catalog, p->tenant, id, 0, &policy, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_SEMANTIC, "the merge policy \"%.60s\" of a segment has been deleted",
                       id);
    TR_TRY(code);
    json_t *group = json_pack("{s:o, s:s, s:s, s:[], s:[]}", "policy", policy, "before", before,
                              "run", tr_id_ulid().text, "definitions", "carried");
    if (json_array_append_new(p->groups, group) != 0)
        return no_memory(err);
    *out = group;
    return TR_OK;
}

static tr_code group_definitions(const planning *p, const json_t *documents, tr_err *err)
{
    for (size_t i = 0; i < json_array_size(documents); i++) {
        json_t *definition = json_array_get(documents, i);
        const char *policy = tr_json_text(definition, "mergePolicyId", "");
        json_t *group = find_group(p->groups, policy);
        if (group == NULL)
            TR_TRY(add_group(p, policy, &group, err));
        if (json_array_append(json_object_get(group, "definitions"), definition) != 0)
            return no_memory(err);
    }
    return TR_OK;
}

static tr_code carry(void *ctx, const tr_object *object, tr_err *err)
{
    const planning *p = ctx;
    const json_t *group = find_group(p->groups, tr_json_text(object->doc, "mergePolicyId", ""));
    const json_t *definitions = json_object_get(group, "definitions");
    for (size_t i = 0; i < json_array_size(definitions); i++)
        if (strcmp(tr_json_text(json_array_get(definitions, i), "id", ""), object->id) == 0)
            return TR_OK;
    if (group == NULL)
        return TR_OK;
    return json_array_append_new(json_object_get(group, "carried"), json_string(object->id)) == 0
               ? TR_OK
               : no_memory(err);
}

tr_code tr_evaluation_plan(tr_segment *segment, const tr_tenant *tenant, const json_t *documents,
                           json_t **plan, tr_err *err)
{
    const tr_catalog_filter all = {0};
    planning p = {.segment = segment, .tenant = tenant, .groups = json_array()};
    tr_code code = p.groups == NULL ? no_memory(err) : group_definitions(&p, documents, err);
    if (code == TR_OK)
        code = tr_catalog_list(segment->parts.catalog, tenant, "segment", &all, carry, &p, err);
    if (code != TR_OK) {
        json_decref(p.groups);
        return code;
    }
    *plan = json_pack("{s:I, s:i, s:o}", "now", (json_int_t)tr_time_now_us(), "states",
                      segment->parts.has_two_states ? 2 : 3, "groups", p.groups);
    return *plan == NULL ? no_memory(err) : TR_OK;
}

/* ---- a group, opened */

typedef struct by_id {
    const json_t *definitions;
} by_id;

static int compare_ids(const void *a, const void *b, void *ctx)
{
    const by_id *c = ctx;
    return strcmp(tr_json_text(json_array_get(c->definitions, *(const uint32_t *)a), "id", ""),
                  tr_json_text(json_array_get(c->definitions, *(const uint32_t *)b), "id", ""));
}

static tr_code sort_definitions(tr_evaluation *e, tr_err *err)
{
    const uint32_t count = (uint32_t)json_array_size(e->definitions);
    by_id ctx = {e->definitions};
    e->order = tr_arena_array(&e->arena, count, sizeof *e->order);
    if (e->order == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < count; i++)
        e->order[i] = i;
    qsort_r(e->order, count, sizeof *e->order, compare_ids, &ctx);
    return TR_OK;
}

tr_code tr_evaluation_open(tr_segment *segment, const tr_tenant *tenant, const json_t *plan,
                           uint32_t group, json_t *problems, tr_evaluation **out, tr_err *err)
{
    const tr_segment_parts *parts = &segment->parts;
    tr_evaluation *e = tr_alloc_zeroed(1, sizeof *e);
    if (e == NULL)
        return no_memory(err);
    e->json = json_array_get(json_object_get(plan, "groups"), group);
    e->definitions = json_object_get(e->json, "definitions");
    e->now_us = tr_json_int(plan, "now", 0);
    e->has_three_states = tr_json_int(plan, "states", 3) == 3;
    tr_code code = sort_definitions(e, err);
    if (code == TR_OK)
        code = tr_evaluator_open(parts->catalog, tenant, e->definitions, e->now_us, problems,
                                 &e->evaluator, err);
    if (code == TR_OK)
        code = tr_membership_open(parts->catalog, parts->lake, tenant,
                                  tr_json_text(e->json, "before", ""), &e->before, err);
    if (code == TR_OK)
        *out = e;
    else
        tr_evaluation_close(e);
    return code;
}

void tr_evaluation_close(tr_evaluation *e)
{
    if (e == NULL)
        return;
    tr_membership_close(e->before);
    tr_evaluator_close(e->evaluator);
    tr_arena_free(&e->arena);
    tr_free(e);
}

void tr_evaluation_ask(const tr_evaluation *e, tr_merge_spec *spec)
{
    spec->probe = tr_evaluator_probe(e->evaluator);
    spec->with_probe_events = tr_evaluator_reads_events(e->evaluator);
    spec->members = tr_membership_runs(e->before, &spec->member_count);
}

/* ---- parts, as they are kept */

json_t *tr_evaluated_to_json(const tr_evaluated *part)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:s, s:O}", "name", part->name, "rows",
                     (json_int_t)part->rows, "profiles", (json_int_t)part->profiles, "bytes",
                     (json_int_t)part->written.bytes, "xxh128", part->written.xxh128, "segments",
                     part->segments);
}

tr_code tr_evaluated_of_json(const json_t *json, tr_evaluated *out, tr_err *err)
{
    tr_evaluated part = {.is_done = true,
                         .rows = (uint64_t)tr_json_int(json, "rows", 0),
                         .profiles = (uint64_t)tr_json_int(json, "profiles", 0),
                         .written.bytes = (uint64_t)tr_json_int(json, "bytes", 0),
                         .segments = json_incref(json_object_get(json, "segments"))};
    (void)snprintf(part.name, sizeof part.name, "%s", tr_json_text(json, "name", ""));
    (void)snprintf(part.written.xxh128, sizeof part.written.xxh128, "%s",
                   tr_json_text(json, "xxh128", ""));
    if (part.segments == NULL)
        return no_memory(err);
    *out = part;
    return TR_OK;
}

tr_code tr_evaluated_write(tr_evaluated *part, tr_lake *lake, const tr_tenant *tenant,
                           const char *stage, uint32_t partition, tr_str bytes, tr_err *err)
{
    tr_lake_file file = {.file = TR_FILE_NONE};
    part->name[0] = '\0';
    if (bytes.len == 0)
        return TR_OK;
    (void)snprintf(part->name, sizeof part->name, "part-%05u.parquet", partition);
    tr_code code = tr_lake_create(lake, tenant, stage, part->name, &file, err);
    if (code == TR_OK)
        code = tr_lake_write(&file, bytes, err);
    if (code == TR_OK)
        code = tr_lake_finish(&file, &part->written, err);
    tr_lake_abandon(&file);
    return code;
}

json_t *tr_evaluated_files(const tr_evaluated *parts, uint32_t count)
{
    json_t *files = json_array();
    for (uint32_t p = 0; p < count; p++) {
        if (parts[p].name[0] == '\0')
            continue;
        json_t *file = json_pack("{s:s, s:I, s:I, s:s}", "name", parts[p].name, "bytes",
                                 (json_int_t)parts[p].written.bytes, "rows",
                                 (json_int_t)parts[p].rows, "xxh128", parts[p].written.xxh128);
        if (json_array_append_new(files, file) != 0) {
            json_decref(files);
            return NULL;
        }
    }
    return files;
}

/* ---- counters */

tr_code tr_evaluated_begin_metrics(json_t *metrics, tr_err *err)
{
    json_t *fresh = json_pack("{s:i, s:{}, s:{}, s:{}, s:{}, s:{}}", "totalProfiles", 0,
                              "totalProfilesByMergePolicy", "segmentedProfileCounter",
                              "segmentedProfileByNamespaceCounter",
                              "segmentedProfileByStatusCounter", "segmentEvaluationTimeInUs");
    const int bad = fresh == NULL ? 1 : json_object_update(metrics, fresh);
    json_decref(fresh);
    return bad == 0 ? TR_OK : no_memory(err);
}

static int64_t add_to(json_t *object, const char *key, int64_t more)
{
    const int64_t sum = tr_json_int(object, key, 0) + more;
    (void)json_object_set_new(object, key, json_integer(sum));
    return sum;
}

/* One segment's counts of one part. */
static void add_counts(json_t *metrics, const char *id, const json_t *counts, bool has_three)
{
    const char *code;
    json_t *value;
    json_t *statuses = json_object_get(metrics, "segmentedProfileByStatusCounter");
    json_t *namespaces = json_object_get(metrics, "segmentedProfileByNamespaceCounter");
    if (json_object_get(statuses, id) == NULL) {
        (void)json_object_set_new(statuses, id, json_object());
        (void)json_object_set_new(namespaces, id, json_object());
    }
    const int64_t realized = tr_json_int(counts, "realized", 0);
    const int64_t existing = tr_json_int(counts, "existing", 0);
    (void)add_to(json_object_get(statuses, id), "realized", realized);
    if (has_three)
        (void)add_to(json_object_get(statuses, id), "existing", existing);
    (void)add_to(json_object_get(statuses, id), "exited", tr_json_int(counts, "exited", 0));
    (void)add_to(json_object_get(metrics, "segmentedProfileCounter"), id, realized + existing);
    (void)add_to(json_object_get(metrics, "segmentEvaluationTimeInUs"), id,
                 tr_json_int(counts, "us", 0));
    json_object_foreach (json_object_get(counts, "namespaces"), code, value)
        (void)add_to(json_object_get(namespaces, id), code, json_integer_value(value));
}

tr_code tr_evaluated_add_metrics(json_t *metrics, const json_t *plan, uint32_t group,
                                 const tr_evaluated *parts, uint32_t count, tr_err *err)
{
    const json_t *json = json_array_get(json_object_get(plan, "groups"), group);
    const char *policy = tr_json_text(json_object_get(json, "policy"), "id", "");
    json_t *by_policy = json_object_get(metrics, "totalProfilesByMergePolicy");
    const bool has_three = tr_json_int(plan, "states", 3) == 3;
    if (by_policy == NULL)
        return no_memory(err);
    for (uint32_t p = 0; p < count; p++) {
        const char *id;
        json_t *counts;
        (void)add_to(metrics, "totalProfiles", (int64_t)parts[p].profiles);
        (void)add_to(by_policy, policy, (int64_t)parts[p].profiles);
        json_object_foreach (parts[p].segments, id, counts)
            add_counts(metrics, id, counts, has_three);
    }
    return TR_OK;
}
