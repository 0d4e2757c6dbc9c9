/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - see report.h: one look at every profile, partition by partition. */
#include "profile/report.h"

#include "base/clock.h"
#include "policy/policy.h"
#include "profile/profile_internal.h"
#include "profile/tally.h"
#include "segment/stitch.h"
#include "xdm/fields.h"
#include "xdm/xdm.h"

static const char REPORT[] = "profile_report";
static const int window_days[] = {7, 30, 60, 90, 120};
enum { WINDOWS = sizeof window_days / sizeof window_days[0] };
static const int64_t DAY_US = INT64_C(86400000000);

typedef struct count {
    uint64_t profiles, events;
} count;

typedef struct window {
    count all, by_namespace[TR_TALLY_NAMES_MAX];
} window;

typedef struct counting {
    tr_shape shape; /* identityMap alone */
    int64_t now_us;
    uint64_t profiles, events, fragments, documents;
    int64_t newest_us; /* ingestion of the newest run */
    char batch[32];    /* its batch; "" when it was folded */
    tr_tally datasets, namespaces;
    uint64_t namespace_documents[TR_TALLY_NAMES_MAX];
    window windows[WINDOWS];
} counting;

static tr_code no_memory(tr_err *err)
{
    return TR_FAIL(err, TR_NO_MEMORY, "no memory for a report of profiles");
}

/* Looking ------------------------------------------------------------------------------------ */

static void note_unstitched(counting *c, const tr_merge_origin *origin,
                               const uint64_t names[TR_TALLY_WORDS])
{
    for (int w = 0; w < WINDOWS; w++) {
        const int64_t since = c->now_us - window_days[w] * DAY_US;
        window *own = &c->windows[w];
        if (origin->newest_event_us != TR_TIME_NONE && origin->newest_event_us >= since)
            return; /* and so in all longer ones */
        own->all.profiles++;
        own->all.events += origin->events;
        for (uint32_t i = 0; i < c->namespaces.name_count; i++)
            if ((names[i / 64] >> i % 64 & 1) != 0) {
                own->by_namespace[i].profiles++;
                own->by_namespace[i].events += origin->events;
            }
    }
}

/* The numbers of a column's values among the names of a tally; in the arena. */
static tr_code number_values(tr_tally *tally, const tr_column *column, tr_arena *arena,
                             uint32_t **out, tr_err *err)
{
    *out = tr_arena_array(arena, (size_t)column->values.count + 1, sizeof **out);
    if (*out == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < column->values.count; i++)
        TR_TRY(tr_tally_name(tally, column->values.strings[i], &(*out)[i], err));
    return TR_OK;
}

static tr_code note_profiles(counting *c, const tr_merge_origins *origins, const tr_column *codes,
                             uint32_t profiles, tr_arena *arena, tr_err *err)
{
    uint32_t *dataset = tr_arena_array(arena, (size_t)origins->dataset_count + 1, sizeof *dataset);
    uint32_t *space = NULL;
    if (dataset == NULL)
        return no_memory(err);
    for (uint32_t i = 0; i < origins->dataset_count; i++)
        TR_TRY(tr_tally_name(&c->datasets, tr_str_of(origins->datasets[i]), &dataset[i], err));
    TR_TRY(number_values(&c->namespaces, codes, arena, &space, err));
    for (uint32_t p = 0; p < profiles; p++) {
        uint64_t sources[TR_TALLY_WORDS] = {0}, names[TR_TALLY_WORDS] = {0};
        for (uint32_t i = 0; i < origins->dataset_count; i++)
            if ((origins->sets[(size_t)p * origins->words + i / 64] >> i % 64 & 1) != 0)
                sources[dataset[i] / 64] |= UINT64_C(1) << dataset[i] % 64;
        for (uint32_t e = codes->row_start[p]; e < codes->row_start[p + 1]; e++)
            if (codes->codes[e] != 0) {
                const uint32_t name = space[codes->codes[e] - 1];
                names[name / 64] |= UINT64_C(1) << name % 64;
            }
        TR_TRY(tr_tally_add(&c->datasets, sources, err));
        TR_TRY(tr_tally_add(&c->namespaces, names, err));
        c->events += origins->profiles[p].events;
        c->fragments += origins->profiles[p].fragments;
        if (origins->profiles[p].fragments == 1)
            note_unstitched(c, &origins->profiles[p], names);
    }
    c->profiles += profiles;
    return TR_OK;
}

static tr_code look_at(void *ctx, uint32_t partition, tr_merge_view *view, bool *keep, tr_err *err)
{
    counting *c = ctx;
    tr_arena arena = {0};
    tr_merge_origins origins;
    (void)partition, (void)keep;
    tr_column *columns = tr_arena_array(&arena, c->shape.units[0].leaf_count, sizeof *columns);
    tr_code code =
        columns == NULL ? no_memory(err) : tr_merge_view_unit(view, 0, NULL, &arena, columns, err);
    if (code == TR_OK)
        code = tr_merge_view_origins(view, &arena, &origins, err);
    if (code == TR_OK)
        code = note_profiles(c, &origins, &columns[0], tr_merge_view_count(view), &arena, err);
    tr_arena_free(&arena);
    return code;
}

static tr_code look_at_all(const tr_merge_spec *spec, const atomic_bool *cancel, tr_err *err)
{
    tr_merge_plan *plan = NULL;
    TR_TRY(tr_merge_plan_open(spec, &plan, err));
    tr_code code = TR_OK;
    const uint32_t partitions = tr_merge_partition_count(plan);
    for (uint32_t i = 0; i < partitions && code == TR_OK; i++) {
        tr_merge_stats stats;
        code = tr_merge_look(plan, i, cancel, &stats, err);
    }
    tr_merge_plan_close(plan);
    return code;
}

/* Rows in the store, by the namespace that they are stored under. */
static tr_code count_documents(counting *c, const tr_snapshot *snapshot, tr_err *err)
{
    tr_arena arena = {0};
    tr_code code = TR_OK;
    for (uint32_t r = 0; r < snapshot->run_count && code == TR_OK; r++) {
        const tr_run *run = snapshot->runs[r];
        if (run->is_members || run->is_membership)
            continue; /* made of others */
        c->documents += run->rows;
        if (run->ingested_us > c->newest_us) {
            c->newest_us = run->ingested_us;
            (void)snprintf(c->batch, sizeof c->batch, "%s", run->batch);
        }
        for (uint32_t g = 0; g < tr_parquet_group_count(run->file) && code == TR_OK; g++) {
            tr_column column;
            uint32_t *space = NULL;
            const uint32_t rows = tr_parquet_group_rows(run->file, g);
            code =
                tr_parquet_read(run->file, g, run->namespace_leaf, 0, rows, &arena, &column, err);
            if (code == TR_OK)
                code = number_values(&c->namespaces, &column, &arena, &space, err);
            for (uint32_t i = 0; code == TR_OK && i < rows; i++)
                if (column.codes[i] != 0)
                    c->namespace_documents[space[column.codes[i] - 1]]++;
            tr_arena_reset(&arena);
        }
    }
    tr_arena_free(&arena);
    return code;
}

/* The policy's profiles, with their identities. */
static tr_code count_profiles(tr_profiles *profiles, const tr_tenant *tenant, const json_t *policy,
                              counting *c, tr_arena *arena, tr_err *err)
{
    const tr_profiles_parts *parts = &profiles->parts;
    const tr_segment_parts stitching = {.catalog = parts->catalog,
                                        .lake = parts->lake,
                                        .store = parts->store,
                                        .graph = parts->graph};
    const tr_xdm_schema *schema = NULL;
    const tr_xdm_fields fields = {.fields = tr_str_of("identityMap")};
    tr_snapshot *snapshot = NULL;
    tr_type *root = NULL;
    tr_merge_spec spec = {.output = &c->shape,
                          .probe = &c->shape,
                          .with_event_only = true,
                          .with_origins = true,
                          .updated_after_us = TR_TIME_NONE,
                          .event_after_us = TR_TIME_NONE,
                          .event_before_us = TR_TIME_NONE,
                          .keep = look_at,
                          .keep_ctx = c};
    TR_TRY(tr_catalog_schema_open(parts->catalog, tenant, tr_str_of(TR_XDM_PROFILE_UNION), &schema,
                                  err));
    tr_code code = tr_xdm_fields_select(schema->shape.root, &fields, arena, &root, err);
    tr_catalog_schema_close(parts->catalog, schema);
    if (code == TR_OK)
        code = tr_shape_make(arena, root, &c->shape, err);
    if (code == TR_OK)
        code = tr_policy_read(policy, arena, &spec.policy, err);
    if (code == TR_OK)
        code = tr_segment_snapshot(&stitching, tenant, policy, "", NULL, &snapshot, err);
    spec.snapshot = snapshot;
    if (code == TR_OK)
        code = count_documents(c, snapshot, err);
    if (code == TR_OK)
        code = look_at_all(&spec, &profiles->is_stopping, err);
    tr_store_release(parts->store, snapshot);
    return code;
}

/* The document ------------------------------------------------------------------------------- */

static json_t *count_json(const count *own)
{
    return json_pack("{s:I, s:I}", "countOfProfiles", (json_int_t)own->profiles, "eventsAssociated",
                     (json_int_t)own->events);
}

static void set_named(json_t *object, tr_str name, json_t *value)
{
    (void)json_object_setn_new(object, (const char *)name.at, name.len, value);
}

static json_t *unstitched_json(const counting *c)
{
    json_t *out = json_object();
    for (int w = 0; w < WINDOWS; w++) {
        char name[16];
        const window *own = &c->windows[w];
        json_t *spread = json_object(), *shown = count_json(&own->all);
        for (uint32_t i = 0; i < c->namespaces.name_count; i++)
            if (own->by_namespace[i].profiles > 0)
                set_named(spread, c->namespaces.names[i], count_json(&own->by_namespace[i]));
        (void)json_object_set_new(shown, "nsDistribution", spread);
        (void)snprintf(name, sizeof name, "%ddays", window_days[w]);
        (void)json_object_set_new(out, name, shown);
    }
    return out;
}

/* "2026-05-01T10:00:00.000", as the service writes it. */
static json_t *stamp(int64_t us)
{
    char text[TR_TIME_TEXT_BYTES], seconds[20];
    (void)snprintf(seconds, sizeof seconds, "%.19s", tr_time_format(us, text));
    return json_sprintf("%s.%03d", seconds, (int)(us / 1000 % 1000));
}

static json_t *report_json(const counting *c, const json_t *policy)
{
    json_t *documents = json_object();
    for (uint32_t i = 0; i < c->namespaces.name_count; i++)
        set_named(documents, c->namespaces.names[i],
                  json_integer((json_int_t)c->namespace_documents[i]));
    return json_pack(
        "{s:o, s:s, s:I, s:I, s:I, s:I, s:s*, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "timestamp",
        stamp(c->now_us), "policy", tr_json_text(policy, "id", ""), "profiles",
        (json_int_t)c->profiles, "events", (json_int_t)c->events, "fragments",
        (json_int_t)c->fragments, "documents", (json_int_t)c->documents, "batch",
        c->batch[0] == '\0' ? NULL : c->batch, "batchTimestamp", (json_int_t)(c->newest_us / 1000),
        "datasets", tr_tally_each(&c->datasets), "datasetOverlap", tr_tally_sets(&c->datasets),
        "namespaces", tr_tally_each(&c->namespaces), "namespaceDocuments", documents,
        "namespaceOverlap", tr_tally_sets(&c->namespaces), "unstitched", unstitched_json(c));
}

static tr_code make_report(tr_profiles *profiles, const tr_tenant *tenant, json_t **out,
                           tr_err *err)
{
    tr_arena arena = {0};
    json_t *policy = NULL;
    counting *c = tr_alloc_zeroed(1, sizeof *c);
    if (c == NULL)
        return no_memory(err);
    c->now_us = tr_time_now_us();
    tr_code code = tr_policy_default(profiles->parts.catalog, tenant, &policy, err);
    if (code == TR_OK)
        code = count_profiles(profiles, tenant, policy, c, &arena, err);
    if (code == TR_OK) {
        *out = report_json(c, policy);
        code = *out != NULL ? TR_OK : no_memory(err);
    }
    json_decref(policy);
    tr_tally_free(&c->datasets);
    tr_tally_free(&c->namespaces);
    tr_free(c);
    tr_arena_free(&arena);
    return code;
}

/* Kept ones ---------------------------------------------------------------------------------- */

static void today(char out[16])
{
    char text[TR_TIME_TEXT_BYTES];
    (void)snprintf(out, 16, "%.10s", tr_time_format(tr_time_now_us(), text));
}

/* Replaces the day's. */
static tr_code keep_report(tr_profiles *profiles, const tr_tenant *tenant, const char *date,
                           json_t *doc, tr_err *err)
{
    tr_object object = {.doc = doc};
    (void)snprintf(object.id, sizeof object.id, "%s", date);
    const tr_code code = tr_catalog_put(profiles->parts.catalog, tenant, REPORT, &object, 0, NULL);
    return code == TR_NOT_FOUND
               ? tr_catalog_insert(profiles->parts.catalog, tenant, REPORT, &object, err)
               : code;
}

tr_code tr_profile_report_of(tr_profiles *profiles, const tr_tenant *tenant, const char *date,
                             json_t **out, tr_err *err)
{
    tr_object object = {0};
    int32_t days;
    TR_TRY(tr_time_parse_date(tr_str_of(date), &days, err));
    const tr_code code =
        tr_catalog_get(profiles->parts.catalog, tenant, REPORT, date, &object, err);
    if (code == TR_NOT_FOUND)
        return TR_FAIL(err, TR_NOT_FOUND, "no report was made on %.10s", date);
    TR_TRY(code);
    *out = json_incref(object.doc);
    tr_object_clear(&object);
    return TR_OK;
}

static tr_code report_now(tr_profiles *profiles, const tr_tenant *tenant, json_t **out, tr_err *err)
{
    char date[16];
    today(date);
    (void)pthread_mutex_lock(&profiles->reporting);
    const uint64_t version = tr_catalog_profile_version(profiles->parts.catalog);
    const bool is_current = version % 2 == 0 && profiles->report_version == version &&
                            profiles->report_tenant == tenant->id;
    tr_code code =
        is_current ? tr_profile_report_of(profiles, tenant, date, out, err) : TR_NOT_FOUND;
    if (code == TR_NOT_FOUND) {
        json_t *doc = NULL;
        code = make_report(profiles, tenant, &doc, err);
        if (code == TR_OK)
            code = keep_report(profiles, tenant, date, doc, err);
        if (code == TR_OK) {
            profiles->report_version = version;
            profiles->report_tenant = tenant->id;
            *out = doc;
        } else {
            json_decref(doc);
        }
    }
    (void)pthread_mutex_unlock(&profiles->reporting);
    return code;
}

/* Reports are made one at a time: whoever waits for one mostly wants the same. Few may wait: each
 * holds a thread that others need. */
tr_code tr_profile_report(tr_profiles *profiles, const tr_tenant *tenant, json_t **out, tr_err *err)
{
    enum { ASKED_MAX = 3 };
    const bool has_place = atomic_fetch_add(&profiles->reports_asked, 1) < ASKED_MAX;
    const tr_code code =
        has_place ? report_now(profiles, tenant, out, err)
                  : TR_FAIL(err, TR_BUSY, "other reports are being made: ask again in a moment");
    atomic_fetch_sub(&profiles->reports_asked, 1);
    return code == TR_CANCELLED ? TR_FAIL(err, TR_BUSY, "the server is shutting down") : code;
}

void tr_profiles_stop(tr_profiles *profiles)
{
    if (profiles != NULL)
        atomic_store(&profiles->is_stopping, true);
}
