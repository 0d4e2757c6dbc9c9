/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - what is the same for all partitions: which runs take part, in which order, which of their
 * columns are which, and where partitions begin in them.
 */
#include "merge/merge_internal.h"
#include "store/sort.h"

#include <string.h>

/* The lane of a dataset, or UINT32_MAX when it takes no part. Without precedence the lane is the number of
 * the first run of that dataset: the snapshot is ordered by dataset id. */
static uint32_t lane_of(const tr_merge_spec *spec, uint32_t run)
{
    const tr_run *const *runs = spec->snapshot->runs;
    if (spec->policy.is_precedence) {
        for (uint32_t i = 0; i < spec->policy.order_count; i++)
            if (strcmp(spec->policy.order[i], runs[run]->dataset) == 0)
                return i;
        return UINT32_MAX;
    }
    while (run > 0 && strcmp(runs[run - 1]->dataset, runs[run]->dataset) == 0)
        run--;
    return run;
}

typedef struct by_lane {
    const uint32_t *lane;
} by_lane;

static int compare_lanes(const void *ctx, uint32_t a, uint32_t b)
{
    const uint32_t *lane = ((const by_lane *)ctx)->lane;
    return lane[a] < lane[b] ? -1 : lane[a] > lane[b];
}

/* Fills a side with the runs that take part, ordered by lane; the sort is stable, so a dataset's runs stay
 * in the order of ingestion. */
static tr_code choose_runs(tr_merge_plan *plan, bool is_event, tr_merge_side *side, tr_err *err)
{
    const tr_snapshot *snapshot = plan->spec.snapshot;
    const uint32_t count = snapshot->run_count;
    uint32_t *lane = tr_arena_array(&plan->arena, count, sizeof *lane);
    uint32_t *order = tr_arena_array(&plan->arena, count, sizeof *order);
    uint32_t *spare = tr_arena_array(&plan->arena, count, sizeof *spare);
    side->runs = tr_arena_array(&plan->arena, (size_t)count + 1, sizeof *side->runs);
    side->lane = tr_arena_array(&plan->arena, (size_t)count + 1, sizeof *side->lane);
    if (lane == NULL || order == NULL || spare == NULL || side->runs == NULL || side->lane == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge of %u runs", count);
    uint32_t chosen = 0;
    for (uint32_t r = 0; r < count; r++) {
        const tr_run *run = snapshot->runs[r];
        lane[r] = lane_of(&plan->spec, r);
        const bool has_fragments = run->rows > 0 && !run->is_members && !run->is_membership;
        if (has_fragments && run->is_event == is_event && lane[r] != UINT32_MAX)
            order[chosen++] = r;
    }
    tr_sort_rows(order, spare, chosen, compare_lanes, &(by_lane){lane});
    for (uint32_t i = 0; i < chosen; i++) {
        side->runs[i] = snapshot->runs[order[i]];
        side->lane[i] = lane[order[i]];
        plan->is_stitched = plan->is_stitched || side->runs[i]->identity_key_leaf != UINT32_MAX;
    }
    side->run_count = chosen;
    return TR_OK;
}

/* All that the chosen records say is in one run, merged. */
static void replace_records(tr_merge_plan *plan)
{
    tr_merge_side *records = &plan->records;
    records->run_count = 0;
    plan->is_merged = true;
    if (plan->spec.merged->rows == 0)
        return;
    records->runs[0] = plan->spec.merged;
    records->lane[0] = 0;
    records->run_count = 1;
}

/* A lookup brings its members along: their rows look like those of this run, which has none. */
static tr_code make_held_members(tr_merge_plan *plan, tr_err *err)
{
    tr_merge_side *clusters = &plan->clusters;
    tr_run *run = tr_arena_array(&plan->arena, 1, sizeof *run);
    clusters->runs = tr_arena_array(&plan->arena, 1, sizeof *clusters->runs);
    if (run == NULL || clusters->runs == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a lookup");
    run->is_members = true;
    run->held_shape = &plan->members_shape;
    clusters->runs[clusters->run_count++] = run;
    return TR_OK;
}

/* The runs of clusters' members. */
static tr_code choose_clusters(tr_merge_plan *plan, tr_err *err)
{
    const tr_snapshot *snapshot = plan->spec.snapshot;
    tr_merge_side *clusters = &plan->clusters;
    if (plan->spec.is_lookup)
        return make_held_members(plan, err);
    clusters->runs = tr_arena_array(&plan->arena, snapshot->run_count, sizeof *clusters->runs);
    if (clusters->runs == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge of %u runs", snapshot->run_count);
    for (uint32_t r = 0; r < snapshot->run_count; r++)
        if (snapshot->runs[r]->is_members && snapshot->runs[r]->rows > 0)
            clusters->runs[clusters->run_count++] = snapshot->runs[r];
    plan->is_stitched = plan->is_stitched || clusters->run_count > 0;
    return TR_OK;
}

/* Partitions so that a fragment's and a profile's columns both fit caches: by the largest dataset,
 * which bounds profiles from below, and by a quarter of all rows. Of events whose keys alone are
 * walked a row is that much less. */
static uint8_t choose_bits(const tr_merge_side *records, const tr_merge_side *events,
                           bool is_by_key)
{
    enum { KEYS_PER_ROW = 8 };
    uint64_t all = 0, largest = 0;
    for (const tr_merge_side *side = records; side != NULL; side = side == records ? events : NULL) {
        uint64_t lane_rows = 0;
        for (uint32_t r = 0; r < side->run_count; r++) {
            lane_rows = r > 0 && side->lane[r] == side->lane[r - 1] ? lane_rows : 0;
            const uint64_t rows =
                side->runs[r]->rows / (is_by_key && side == events ? KEYS_PER_ROW : 1);
            lane_rows += rows;
            all += rows;
            largest = lane_rows > largest ? lane_rows : largest;
        }
    }
    const uint8_t by_dataset = tr_run_bits_for(largest), by_all = tr_run_bits_for(all / 4);
    return by_dataset > by_all ? by_dataset : by_all;
}

/* Which runs have what was ingested after updated_after: nobody without a row in one of them passes that filter.
 * Worth asking while they are few of all rows. */
static tr_code choose_leads(tr_merge_plan *plan, tr_err *err)
{
    enum { FEW_OF = 4 };
    const tr_merge_spec *spec = &plan->spec;
    const uint32_t records = plan->records.run_count, count = records + plan->events.run_count;
    uint64_t all = 0, led = 0;
    if (spec->updated_after_us == TR_TIME_NONE || spec->keep_evaluates || spec->is_lookup)
        return TR_OK;
    bool *leads = tr_arena_array(&plan->arena, (size_t)count + 1, sizeof *leads);
    if (leads == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge of %u runs", count);
    for (uint32_t r = 0; r < count; r++) {
        const tr_run *run = r < records ? plan->records.runs[r] : plan->events.runs[r - records];
        leads[r] = run->ingested_us > spec->updated_after_us && (r < records || spec->with_event_only);
        all += run->rows;
        led += leads[r] ? run->rows : 0;
    }
    if (led < all / FEW_OF)
        plan->leads = leads;
    return TR_OK;
}

static tr_code match_runs(tr_merge_plan *plan, const tr_shape *shape, const tr_type *root,
                          const tr_merge_side *side, tr_match *out, tr_err *err)
{
    for (uint32_t r = 0; r < side->run_count; r++)
        TR_TRY(tr_match_make(&plan->arena, shape, root, tr_run_shape(side->runs[r]), &out[r], err));
    return TR_OK;
}

static tr_code match_side(tr_merge_plan *plan, const tr_type *root, tr_merge_side *side, tr_err *err)
{
    side->matches = tr_arena_array(&plan->arena, side->run_count, sizeof *side->matches);
    if (side->matches == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to match %u runs", side->run_count);
    return match_runs(plan, plan->spec.output, root, side, side->matches, err);
}

/* A shape of identityMap alone. */
static tr_code make_identity_shape(tr_merge_plan *plan, bool with_primary, tr_shape *out, tr_err *err)
{
    tr_arena *arena = &plan->arena;
    tr_type *root = tr_type_make(arena, TR_KIND_OBJECT, tr_str_of(""));
    if (root == NULL || !tr_run_add_identity_map(arena, root, with_primary))
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge");
    return tr_shape_make(arena, root, out, err);
}

/* identityMap is gathered from records, for profiles without any from events, and from clusters' members. */
static tr_code match_identities_of(tr_merge_plan *plan, const tr_shape *shape, tr_match **out, tr_err *err)
{
    const tr_merge_side *const sides[] = {&plan->records, &plan->events, &plan->clusters};
    const uint32_t runs = plan->records.run_count + plan->events.run_count + plan->clusters.run_count;
    tr_match *matches = tr_arena_array(&plan->arena, runs, sizeof *matches);
    if (matches == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to match %u runs", runs);
    *out = matches;
    for (size_t i = 0; i < sizeof sides / sizeof *sides; matches += sides[i++]->run_count)
        TR_TRY(match_runs(plan, shape, shape->root, sides[i], matches, err));
    return TR_OK;
}

static tr_code match_identities(tr_merge_plan *plan, tr_err *err)
{
    const uint32_t runs = plan->records.run_count + plan->events.run_count + plan->clusters.run_count +
                          plan->members.run_count;
    plan->all_lanes = tr_arena_array(&plan->arena, (size_t)runs + 1, sizeof *plan->all_lanes);
    if (plan->all_lanes == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to match %u runs", runs);
    TR_TRY(match_identities_of(plan, plan->spec.output, &plan->identity_matches, err));
    return match_identities_of(plan, &plan->identity_shape, &plan->counting_matches, err);
}

static tr_code find_events_unit(tr_merge_plan *plan, const tr_type **element, tr_err *err)
{
    const tr_shape *output = plan->spec.output;
    plan->events_unit = UINT32_MAX;
    plan->identity_unit = tr_shape_unit(output, tr_str_of("identityMap"));
    *element = plan->spec.is_of_events ? output->root : NULL;
    if (plan->spec.is_of_events) {
        plan->identity_unit = UINT32_MAX;
        return TR_OK;
    }
    const uint32_t unit = tr_shape_unit(output, tr_str_of("timeSeriesEvents"));
    if (!plan->spec.with_events || unit == UINT32_MAX)
        return TR_OK;
    const tr_type *array = output->units[unit].type;
    if (array->kind != TR_KIND_ARRAY || array->children[0]->kind != TR_KIND_OBJECT)
        return TR_FAIL(err, TR_INVALID, "timeSeriesEvents is not an array of objects");
    plan->events_unit = unit;
    *element = array->children[0];
    return TR_OK;
}

/* The members' runs as they came; nothing decides between them. */
static tr_code take_members(tr_merge_plan *plan, tr_err *err)
{
    tr_merge_side *members = &plan->members;
    const tr_snapshot *snapshot = plan->spec.snapshot;
    const uint32_t count = plan->spec.member_count;
    members->runs = tr_arena_array(&plan->arena, (size_t)count + snapshot->run_count, sizeof *members->runs);
    if (members->runs == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge of %u runs", count);
    for (uint32_t r = 0; r < count; r++)
        if (plan->spec.members[r]->rows > 0)
            members->runs[members->run_count++] = plan->spec.members[r];
    for (uint32_t r = 0; r < snapshot->run_count; r++) /* the same under the keys of today */
        if (snapshot->runs[r]->is_membership && snapshot->runs[r]->rows > 0)
            members->runs[members->run_count++] = snapshot->runs[r];
    return TR_OK;
}

/* Matches of the records', then the members' (or the events') runs. */
static tr_code match_both(tr_merge_plan *plan, const tr_shape *shape, const tr_merge_side *second, tr_match **out,
                          tr_err *err)
{
    *out = tr_arena_array(&plan->arena, (size_t)plan->records.run_count + second->run_count, sizeof **out);
    if (*out == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to match %u runs", second->run_count);
    TR_TRY(match_runs(plan, shape, shape->root, &plan->records, *out, err));
    return match_runs(plan, shape, shape->root, second, *out + plan->records.run_count, err);
}

/* element  what an event's row stands for in the probe */
static tr_code match_event_probe(tr_merge_plan *plan, const tr_type *element, tr_err *err)
{
    plan->probe.events = tr_arena_array(&plan->arena, plan->events.run_count, sizeof *plan->probe.events);
    if (plan->probe.events == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to match %u runs", plan->events.run_count);
    return match_runs(plan, plan->spec.probe, element, &plan->events, plan->probe.events, err);
}

static tr_code match_probe(tr_merge_plan *plan, tr_err *err)
{
    const tr_shape *probe = plan->spec.probe;
    if (probe == NULL)
        return TR_OK;
    TR_TRY(match_both(plan, probe, &plan->members, &plan->probe.records, err));
    if (plan->probe.identity_unit != UINT32_MAX)
        TR_TRY(match_identities_of(plan, probe, &plan->probe.identities, err));
    if (plan->probe.events_unit == UINT32_MAX)
        return TR_OK;
    return match_event_probe(plan, probe->units[plan->probe.events_unit].type->children[0], err);
}

static tr_code find_probe_units(tr_merge_plan *plan, tr_err *err)
{
    const tr_shape *probe = plan->spec.probe;
    plan->probe.events_unit = plan->probe.identity_unit = plan->probe.membership_unit = UINT32_MAX;
    if (probe == NULL)
        return TR_OK;
    plan->probe.events_unit = tr_shape_unit(probe, tr_str_of("timeSeriesEvents"));
    plan->probe.identity_unit = tr_shape_unit(probe, tr_str_of("identityMap"));
    plan->probe.membership_unit = tr_shape_unit(probe, tr_str_of("segmentMembership"));
    if (!plan->spec.with_probe_events)
        plan->probe.events_unit = UINT32_MAX;
    if (plan->probe.events_unit == UINT32_MAX)
        return TR_OK;
    const tr_type *array = probe->units[plan->probe.events_unit].type;
    if (array->kind != TR_KIND_ARRAY || array->children[0]->kind != TR_KIND_OBJECT)
        return TR_FAIL(err, TR_INVALID, "timeSeriesEvents is not an array of objects");
    return TR_OK;
}

/* element  what an event's row stands for in the output; NULL: no event does */
static tr_code match_all(tr_merge_plan *plan, const tr_type *element, tr_err *err)
{
    plan->membership_unit = UINT32_MAX;
    if (element != NULL)
        TR_TRY(match_side(plan, element, &plan->events, err));
    if (plan->spec.is_of_events)
        return plan->spec.probe == NULL ? TR_OK : match_event_probe(plan, plan->spec.probe->root, err);
    TR_TRY(match_side(plan, plan->spec.output->root, &plan->records, err));
    TR_TRY(match_identities(plan, err));
    if (plan->members.run_count > 0 || plan->spec.keep_evaluates)
        plan->membership_unit = tr_shape_unit(plan->spec.output, tr_str_of("segmentMembership"));
    if (plan->membership_unit != UINT32_MAX)
        TR_TRY(match_both(plan, plan->spec.output, &plan->members, &plan->membership_matches, err));
    return match_probe(plan, err);
}

static tr_code fill_plan(tr_merge_plan *plan, tr_err *err)
{
    const tr_type *element;
    TR_TRY(find_events_unit(plan, &element, err));
    TR_TRY(find_probe_units(plan, err));
    TR_TRY(take_members(plan, err));
    TR_TRY(make_identity_shape(plan, false, &plan->identity_shape, err));
    TR_TRY(make_identity_shape(plan, true, &plan->members_shape, err));
    TR_TRY(choose_clusters(plan, err));
    TR_TRY(choose_runs(plan, false, &plan->records, err));
    if (tr_merge_reads_events(plan))
        TR_TRY(choose_runs(plan, true, &plan->events, err));
    if (!plan->spec.is_lookup) /* as the fragments have it: a merged run changes no border */
        plan->bits = choose_bits(
            &plan->records, &plan->events,
            plan->spec.is_cut_by_keys && tr_merge_walks_keys_alone(plan));
    if (plan->spec.merged != NULL)
        replace_records(plan);
    plan->is_run_per_lane = true;
    for (uint32_t r = 0; r < plan->records.run_count; r++) {
        plan->has_upsert = plan->has_upsert || plan->records.runs[r]->is_upsert;
        if (r > 0 && plan->records.lane[r] == plan->records.lane[r - 1])
            plan->is_run_per_lane = false;
    }
    TR_TRY(choose_leads(plan, err));
    if (plan->spec.is_lookup) {
        TR_TRY(match_all(plan, element, err));
        TR_TRY(tr_merge_list_leaves(plan, &plan->records, err));
        return tr_merge_list_leaves(plan, &plan->events, err);
    }
    if (plan->bits < plan->spec.bits_min)
        plan->bits = plan->spec.bits_min < TR_RUN_PARTITION_BITS_MAX ? plan->spec.bits_min
                                                                     : TR_RUN_PARTITION_BITS_MAX;
    tr_merge_side *const sides[] = {&plan->records, &plan->events, &plan->members, &plan->clusters};
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++)
        TR_TRY(tr_borders_make(sides[i]->runs, sides[i]->run_count, plan->bits, &plan->arena,
                               &sides[i]->borders, err));
    return match_all(plan, element, err);
}

tr_merge_memory *tr_merge_memory_take(tr_merge_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    tr_merge_memory *memory = pool->idle;
    if (memory != NULL)
        pool->idle = memory->next;
    (void)pthread_mutex_unlock(&pool->mutex);
    return memory != NULL ? memory : tr_alloc_zeroed(1, sizeof *memory);
}

void tr_merge_memory_give(tr_merge_pool *pool, tr_merge_memory *memory)
{
    (void)pthread_mutex_lock(&pool->mutex);
    memory->next = pool->idle;
    pool->idle = memory;
    (void)pthread_mutex_unlock(&pool->mutex);
}

static void close_pool(tr_merge_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->idle != NULL) {
        tr_merge_memory *memory = pool->idle;
        pool->idle = memory->next;
        tr_arena_free(&memory->rows);
        tr_arena_free(&memory->index);
        tr_arena_free(&memory->scratch[0]);
        tr_arena_free(&memory->scratch[1]);
        tr_free(memory->numbers);
        tr_free(memory);
    }
    (void)pthread_mutex_destroy(&pool->mutex);
    tr_free(pool);
}

tr_code tr_merge_plan_open(const tr_merge_spec *spec, tr_merge_plan **out, tr_err *err)
{
    tr_merge_plan *plan = tr_alloc_zeroed(1, sizeof *plan);
    if (plan == NULL)
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge");
    plan->pool = tr_alloc_zeroed(1, sizeof *plan->pool);
    if (plan->pool == NULL) {
        tr_free(plan);
        return TR_FAIL(err, TR_NO_MEMORY, "no memory to plan a merge");
    }
    (void)pthread_mutex_init(&plan->pool->mutex, NULL);
    plan->spec = *spec;
    plan->is_precedence = spec->policy.is_precedence;
    const tr_code code = fill_plan(plan, err);
    if (code != TR_OK) {
        tr_merge_plan_close(plan);
        return code;
    }
    *out = plan;
    return TR_OK;
}

void tr_merge_plan_close(tr_merge_plan *plan)
{
    if (plan == NULL)
        return;
    close_pool(plan->pool);
    tr_arena_free(&plan->arena);
    tr_free(plan);
}

uint32_t tr_merge_partition_count(const tr_merge_plan *plan)
{
    return 1u << plan->bits;
}
